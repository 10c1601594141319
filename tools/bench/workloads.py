# SPDX-License-Identifier: Apache-2.0
"""What is measured. A suite is a list of steps on one mount of a fresh filesystem; each yields (name, unit, measurement).

A step's figure is its seconds, or, with an amount, amount per second in the unit; "s" is better when lower, all else when higher.
"Cold" steps come after caches were dropped.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess

import meter

MIB = 1 << 20


class Bench:
    """What the steps get: the system, sizes, and places outside of what is measured."""

    def __init__(self, system, work, scale):
        self.system, self.work, self.scale = system, work, scale

    @property
    def top(self):
        return self.system.top

    def step(self):
        return meter.Step(self.system)

    def cold(self):
        meter.drop_caches()

    def count(self, full):
        return max(int(full * self.scale), 16)


def processor_time(bench, name, step):
    """Of the daemon, if there is one."""
    if bench.system.pids():
        yield f"{name}: processor time", "CPU s per GiB", meter.Value(step.cpu / step.amount * 1024, step)


def stream(bench):
    """1 GiB (250 MiB in a short run) in pieces of 128 KiB, as the peers' own benchmarks do."""
    mebibytes = max(int(1024 * bench.scale), 64)
    file = bench.top / "stream"
    with bench.step() as step:
        meter.run("dd", "if=/dev/zero", f"of={file}", "bs=128k", f"count={mebibytes * 8}", "conv=fsync")
    step.amount = mebibytes
    yield "write 128 KiB", "MiB/s", step
    yield from processor_time(bench, "write 128 KiB", step)
    for name, cold in (("read 128 KiB, cached", False), ("read 128 KiB, cold", True)):
        if cold:
            bench.cold()
        with bench.step() as step:
            meter.run("dd", f"if={file}", "of=/dev/null", "bs=128k")
        step.amount = mebibytes
        yield name, "MiB/s", step
        if cold:
            yield from processor_time(bench, name, step)


def fio_step(bench, name, unit, **job):
    """One job of fio; the file it uses is made by it first, and is not part of the measurement. Random ones take a time, but what reads
    through the page cache has each block once, or it would soon be that cache which is measured."""
    directory = bench.top / "fio"
    directory.mkdir(exist_ok=True)
    seconds = max(int(10 * bench.scale), 2)
    options = {"name": "job", "directory": directory, "filename_format": "f.$jobnum", "size": f"{max(int(512 * bench.scale), 64)}m",
               "ioengine": "libaio", "numjobs": 1, "iodepth": 1, "group_reporting": 1, "randseed": 1, "thread": 1, "invalidate": 0,
               "fallocate": "none", **job}
    words = ["fio", "--output-format=json"] + [f"--{key}={value}" for key, value in options.items()]
    if options["rw"].startswith("rand") and (options["rw"] != "randread" or options.get("direct")):
        words += ["--time_based=1", f"--runtime={seconds}"]
    try:
        meter.run(*words, "--create_only=1")
        bench.cold()
        with bench.step() as step:
            output = meter.run(*words)
    except RuntimeError as error: # O_DIRECT is not for all of them
        said = re.search(r"fio: .*", str(error))
        return name, unit, RuntimeError(said.group() if said else str(error)[-200:])
    result = json.loads(output[output.index(b"{"):])["jobs"][0]
    step.seconds = 1
    if unit == "MiB/s":
        step.amount = sum(result[kind]["bw_bytes"] for kind in ("read", "write")) / MIB
    else:
        step.amount = sum(result[kind]["iops"] for kind in ("read", "write"))
    return name, unit, step


def blocks(bench):
    """Large blocks by one and four jobs, small ones with several in flight."""
    for jobs in 1, 4:
        yield fio_step(bench, f"fio write 1 MiB, {jobs} jobs", "MiB/s", rw="write", bs="1m", numjobs=jobs, end_fsync=1)
        yield fio_step(bench, f"fio read 1 MiB, {jobs} jobs, cold", "MiB/s", rw="read", bs="1m", numjobs=jobs)
    yield fio_step(bench, "fio write 1 MiB, direct", "MiB/s", rw="write", bs="1m", direct=1, end_fsync=1)
    yield fio_step(bench, "fio read 1 MiB, direct", "MiB/s", rw="read", bs="1m", direct=1)
    for depth in 1, 4, 16:
        jobs = min(depth, 4)
        yield fio_step(bench, f"fio random read 4 KiB, {depth} in flight, cold", "per s", rw="randread", bs="4k", numjobs=jobs,
                       iodepth=depth // jobs, direct=1 if depth > 1 else 0)
        yield fio_step(bench, f"fio random write 4 KiB, {depth} in flight", "per s", rw="randwrite", bs="4k", numjobs=jobs,
                       iodepth=depth // jobs, end_fsync=1)
    yield fio_step(bench, "fio random write 4 KiB, fsync each", "per s", rw="randwrite", bs="4k", fsync=1)
    yield fio_step(bench, "fio random 70/30 4 KiB", "per s", rw="randrw", rwmixread=70, bs="4k", numjobs=4)
    yield fio_step(bench, "fio mmap 4 KiB", "per s", rw="randrw", ioengine="mmap", bs="4k", numjobs=1)


def source_archive(bench):
    """A Linux source as an uncompressed archive: all of it, or the parts of it that a short run has time for."""
    packed = sorted(pathlib.Path("/usr/src").glob("linux-source-*.tar.xz"))
    if not packed:
        raise RuntimeError("no /usr/src/linux-source-*.tar.xz; install the package linux-source-6.1")
    kept = bench.work.parent / f"linux-{'all' if bench.scale >= 1 else 'part'}.tar"
    if not kept.exists():
        more = [] if bench.scale >= 1 else ["--wildcards", "*/fs/*", "*/kernel/*", "*/mm/*", "*/crypto/*"]
        tree = bench.work / "unpacked"
        tree.mkdir()
        meter.run("tar", "-C", tree, "-xf", packed[-1], *more)
        meter.run("tar", "-C", tree, "-cf", kept, ".")
        shutil.rmtree(tree)
    return kept


def stored(bench, step):
    """What the tree takes on the backing filesystem."""
    for what, option in ("lengths", "--apparent-size"), ("blocks", "--block-size=1"):
        told = meter.run("du", "-s", "--block-size=1", option, bench.system.place)
        yield f"stored tree, {what}", "MiB", meter.Value(int(told.split()[0]) / MIB, step)


def tree(bench):
    """A source tree: unpacked, listed, read and removed, warm and cold."""
    archive = source_archive(bench)
    place = bench.top / "linux"
    place.mkdir()
    bench.cold()
    meter.run("cat", archive) # the archive is cached
    read_all = "find . -type f -print0 | xargs -0 -n 500 md5sum >/dev/null"
    for name, command in (("unpack", ["tar", "-xf", archive]), ("ls -lR", ["sh", "-c", "ls -lR >/dev/null"]),
                          ("ls -lR, again", ["sh", "-c", "ls -lR >/dev/null"]), ("md5sum", ["sh", "-c", read_all])):
        with bench.step() as step:
            meter.run(*command, cwd=place)
        yield name, "s", step
        if name == "unpack":
            yield from stored(bench, step)
    for name, command in (("ls -lR, cold", "ls -lR >/dev/null"), ("md5sum, cold", read_all), ("find -type f, cold", "find . -type f >/dev/null"),
                          ("du, cold", "du -s . >/dev/null"), ("rm -r, cold", "rm -rf ./*")):
        bench.cold()
        with bench.step() as step:
            meter.run("sh", "-c", command, cwd=place)
        yield name, "s", step


SMALL_FILES = """
import os, sys
kind, top, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.makedirs(top, exist_ok=True)
names = [f'{top}/{n // 1000}/{n}' for n in range(count)]
if kind == 'create':
    for n in range(0, count, 1000):
        os.mkdir(f'{top}/{n // 1000}')
    for name in names:
        with open(name, 'wb') as file:
            file.write(b'x' * 100)
elif kind == 'stat':
    for name in names:
        os.stat(name)
else:
    for name in names:
        os.unlink(name)
"""


def small(bench):
    """Files of 100 bytes, by one and four processes."""
    count = bench.count(100000)
    for jobs in 1, 4:
        for kind in "create", "stat", "unlink":
            if kind == "stat":
                bench.cold()
            with bench.step() as step:
                children = [subprocess.Popen(["python3", "-c", SMALL_FILES, kind, str(bench.top / f"small{jobs}.{job}"), str(count // jobs)])
                            for job in range(jobs)]
                if any([child.wait() for child in children]):
                    raise RuntimeError(f"{kind} of small files failed")
            step.amount = count // jobs * jobs
            yield f"{kind} small files, {jobs} processes" + (", cold" if kind == "stat" else ""), "per s", step


def million(bench):
    """A million empty files in a thousand directories, listed; what the daemon keeps of them."""
    directories, each = bench.count(1000), 1000
    make = "seq 0 %d | while read -r d; do mkdir $d; done; seq 0 %d | awk '{ print int($1 / %d) \"/\" $1 }' | xargs -n 1000 touch"
    with bench.step() as step:
        meter.run("sh", "-c", make % (directories - 1, directories * each - 1, each), cwd=bench.top)
    yield "create a million empty files", "s", step
    bench.cold()
    for name in "list a million files, cold", "list a million files again":
        with bench.step() as step:
            meter.run("sh", "-c", "ls -lR >/dev/null", cwd=bench.top)
        yield name, "s", step
    if bench.system.pids():
        yield "memory after a million files", "MiB", meter.Value(step.rss_kib / 1024, step)


def programs(bench):
    """git, a build and sqlite."""
    source, home = pathlib.Path(__file__).resolve().parents[2], {**os.environ, "HOME": str(bench.work)}
    (bench.work / ".gitconfig").write_text("[safe]\n\tdirectory = *\n[user]\n\tname = Bench\n\temail = bench@example.invalid\n")
    with bench.step() as step:
        meter.run("git", "clone", "-q", "--no-local", source, bench.top / "clone", env=home)
    yield "git clone", "s", step
    bench.cold()
    with bench.step() as step:
        meter.run("git", "status", cwd=bench.top / "clone", env=home)
    yield "git status, cold", "s", step
    bench.cold()
    parts = " ".join(f"src/{part}/libxtsfs-{part}.a" for part in ("base", "format", "store")) # of the time most is the compiler's anyway
    build = ["sh", "-c", f"meson setup -Dtests=false build >/dev/null && ninja -C build {parts} >/dev/null"]
    with bench.step() as step:
        meter.run(*build, cwd=bench.top / "clone", env=home)
    yield "meson setup and build", "s", step
    rows = bench.count(1000)
    script = "create table t (a integer primary key, b text);" + "insert into t(b) values (hex(randomblob(50)));" * rows
    with bench.step() as step:
        subprocess.run(["sqlite3", str(bench.top / "base.db")], input=script, text=True, check=True, stdout=subprocess.DEVNULL)
    step.amount = rows
    yield "sqlite inserts, one transaction each", "per s", step


def mounting(bench):
    """From the command to a mount that answers. The key derivation is the cheapest that each has."""
    bench.system.unmount()
    with bench.step() as step:
        bench.system.mount()
        os.listdir(bench.top)
    step.cpu = 0
    yield "mount", "s", step


SUITES = {"stream": stream, "blocks": blocks, "tree": tree, "small": small, "programs": programs, "mount": mounting, "million": million}
