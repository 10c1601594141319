# SPDX-License-Identifier: Apache-2.0
"""One step measured: seconds, CPU seconds and memory of the daemon; and a fresh backing filesystem for each round."""
import contextlib
import os
import pathlib
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = pathlib.Path("/proc", str(pid), "stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICK


def resident_kib(pids, field="VmRSS"):
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in pathlib.Path("/proc", str(pid), "status").read_text().splitlines():
                if line.startswith(field + ":"):
                    total += int(line.split()[1])
    return total


def drop_caches():
    """What is in the page cache, and names and inodes. Dirty ones are written before."""
    os.sync()
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")


def run(*command, cwd=None, env=None):
    """A step that is a program; its output is not wanted, a failure is."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit status {done.returncode}: {done.stdout[-400:].decode(errors='replace')}")
    return done.stdout


class Step:
    """The measurement of one step, by "with"; .amount is what was done, for steps that are told as a rate."""

    def __init__(self, system):
        self.system, self.amount = system, None

    def __enter__(self):
        self.pids = self.system.pids()
        self.cpu = cpu_seconds(self.pids)
        self.start = time.perf_counter()
        return self

    def __exit__(self, kind, *_):
        self.seconds = time.perf_counter() - self.start
        if kind is None:
            self.cpu = cpu_seconds(self.pids) - self.cpu
            self.rss_kib = resident_kib(self.pids)


class Value:
    """A figure that is not a time: of a step that was measured, or of what it left."""

    def __init__(self, value, step):
        self.amount, self.seconds, self.cpu, self.rss_kib = value, 1, 0, step.rss_kib


class Backing:
    """A new ext4 in an image, for one system and one round: an old one's allocator remembers what was removed."""

    def __init__(self, directory, gibibytes):
        self.image, self.place, self.gibibytes = directory / "backing.img", directory / "backing", gibibytes

    def __enter__(self):
        with open(self.image, "wb") as file:
            file.truncate(self.gibibytes << 30)
        run("mkfs.ext4", "-q", "-i", "8192", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image)
        self.place.mkdir(exist_ok=True)
        run("mount", "-o", "loop", self.image, self.place)
        return self.place

    def __exit__(self, *_):
        for attempt in range(100): # who has looked into it may need a moment
            if subprocess.run(["umount", str(self.place)], stderr=subprocess.DEVNULL, check=False).returncode == 0:
                break
            time.sleep(0.1)
        else:
            raise SystemExit(f"bench: {self.place} cannot be unmounted: {run('sh', '-c', 'fuser -vm ' + str(self.place) + ' 2>&1 || true').decode()}")
        self.image.unlink()
