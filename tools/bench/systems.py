# SPDX-License-Identifier: Apache-2.0
"""The filesystems that are compared: how each is made, mounted and unmounted.

Each works on a directory of a fresh backing filesystem, "place", and is seen at "top": the directory a workload uses. All are made
with the cheapest key derivation that they have, which no workload but the mount itself sees, and mounted as their manuals say.
"""
import os
import pathlib
import shutil
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("BUILD_DIR", HERE.parent.parent / "build")).resolve()
PASSPHRASE = "benchmark"


class Failed(Exception):
    """A system that cannot be used here; its text says why."""


def call(*command, **more):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          **({} if "input" in more else {"stdin": subprocess.DEVNULL}), **more)
    if done.returncode:
        raise Failed(f"{command[0]}: exit status {done.returncode}: {done.stdout.strip()[-400:]}")
    return done.stdout


class System:
    """One that needs no daemon: the bare backing filesystem."""
    name, label, package = "native", "backing filesystem", None

    def __init__(self, work):
        self.work, self.place, self.top, self.options = work, None, None, ""

    def make(self, place):
        """On a new backing filesystem."""
        self.place = self.top = place / "bare"
        self.top.mkdir()

    def mount(self):
        pass

    def unmount(self):
        pass

    def pids(self):
        return []

    def version(self):
        return os.uname().release


class Fuse(System):
    """What has a daemon, found by its command line, which names the mount point."""
    program = None

    def make(self, place):
        self.place, self.top = place / "store", self.work / f"mnt-{self.name}"
        self.place.mkdir()
        self.top.mkdir(exist_ok=True)
        self.passfile = self.work / "pass"
        self.passfile.write_text(PASSPHRASE + "\n")
        self.passfile.chmod(0o600)
        self.create()

    def create(self):
        pass

    def start(self):
        raise NotImplementedError

    def mount(self):
        self.start()
        deadline = time.monotonic() + 30
        while not os.path.ismount(self.top):
            if time.monotonic() > deadline:
                raise Failed(f"{self.name}: not mounted after 30 s")
            time.sleep(0.01)

    def unmount(self):
        pids = self.pids()
        for attempt in range(50):
            if subprocess.run(["umount", str(self.top)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0:
                break
            time.sleep(0.1)
        else:
            raise Failed(f"{self.name}: cannot be unmounted")
        deadline = time.monotonic() + 60
        while any(is_alive(pid) for pid in pids):
            if time.monotonic() > deadline:
                raise Failed(f"{self.name}: its daemon does not end")
            time.sleep(0.01)

    def pids(self):
        """Daemons of the mount, and what they have started."""
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                words = pathlib.Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if bytes(self.top) in words and os.path.basename(words[0]).decode(errors="replace").startswith(self.program):
                found.append(int(entry))
        return found

    def version(self):
        done = subprocess.run([self.program, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.stdout.strip().splitlines()[0] if done.stdout.strip() else "unknown"


def is_alive(pid):
    try:
        return pathlib.Path("/proc", str(pid), "stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Xtsfs(Fuse):
    program = "xtsfs"

    def __init__(self, work, integrity, more=""):
        super().__init__(work)
        self.integrity, self.options = integrity, more
        self.name = f"xtsfs-{integrity}" if not more else f"xtsfs-{integrity}+{more}"
        self.label = f"xtsfs, {integrity}" + (f", {more}" if more else "")

    def create(self):
        call(BUILD / "xtsfsctl", "init", "--passfile", self.passfile, "--kdf-time", 1, "--kdf-memory", "8M", "--kdf-parallel", 1,
             "--integrity", self.integrity, self.place)

    def start(self):
        call(BUILD / "xtsfs", self.place, self.top, "-o", f"passfile={self.passfile}" + ("," + self.options if self.options else ""))

    def version(self):
        return call(BUILD / "xtsfs", "--version").splitlines()[0]


class Passthrough(Fuse):
    name, label, program = "passthrough", "pass-through of libfuse", "passthrough_hp"

    def start(self):
        self.path = call(HERE / "passthrough").strip()
        with open(self.work / "passthrough.log", "ab") as log:
            # It stays in the foreground with its descriptors otherwise closed too late for a clean end. In a session of its own like
            # the others: the kernel shares the processor out by sessions.
            self.process = subprocess.Popen([self.path, "--foreground", str(self.place), str(self.top)], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True)

    def unmount(self):
        super().unmount()
        self.process.wait()

    def version(self):
        return "libfuse " + call("pkg-config", "--modversion", "fuse3").strip()


class Peer(Fuse):
    """A peer; with @checked as a mount that other users may enter: the kernel checks permissions there, as it always does for xtsfs."""
    more = ()

    def __init__(self, work, checked=False):
        super().__init__(work)
        self.name = self.label = self.program
        if checked:
            self.name, self.label = f"{self.program}+allow_other", f"{self.program}, allow_other"
            self.options = " ".join(self.checked_words)
            self.more = self.checked_words


class Gocryptfs(Peer):
    program = package = "gocryptfs"
    checked_words = ("-allow_other",) # which sets default_permissions

    def create(self):
        call("gocryptfs", "-q", "-init", "-scryptn", 10, "-passfile", self.passfile, self.place)

    def start(self):
        call("gocryptfs", "-q", *self.more, "-passfile", self.passfile, self.place, self.top)


class Securefs(Peer):
    program = package = "securefs"
    checked_words = ("-o", "allow_other", "-o", "default_permissions")

    def create(self):
        self.config = self.work / "securefs.json"
        self.config.unlink(missing_ok=True)
        call("securefs", "create", "--format", "4", "--rounds", 1, "--pass", PASSPHRASE, "--config", self.config, self.place)

    def start(self):
        call("securefs", "mount", "--background", *self.more, "--pass", PASSPHRASE, "--config", self.config, "--log", self.work / "securefs.log", self.place,
             self.top)

    def version(self):
        return call("securefs", "version").splitlines()[0]


class Encfs(Peer):
    program = package = "encfs"

    def create(self):
        call("encfs", "--standard", "--stdinpass", self.place, self.top, input=PASSPHRASE + "\n")
        super().unmount()

    def start(self):
        call("encfs", "--stdinpass", self.place, self.top, input=PASSPHRASE + "\n")


class Cryfs(Peer):
    program = package = "cryfs"

    def environment(self):
        return {**os.environ, "CRYFS_FRONTEND": "noninteractive", "CRYFS_LOCAL_STATE_DIR": str(self.work / "cryfs-state"),
                "CRYFS_NO_UPDATE_CHECK": "true"}

    def create(self):
        shutil.rmtree(self.work / "cryfs-state", ignore_errors=True) # it remembers what was made where

    def start(self):
        call("cryfs", self.place, self.top, input=PASSPHRASE + "\n", env=self.environment())


def all_systems(work):
    """In the order of tables."""
    return [System(work), Passthrough(work), Xtsfs(work, "aes-gmac"), Xtsfs(work, "hmac-sha256"), Xtsfs(work, "none"),
            Xtsfs(work, "aes-gmac", "noxattr"), Gocryptfs(work),
            Securefs(work), Encfs(work), Cryfs(work), Gocryptfs(work, checked=True), Securefs(work, checked=True)]
