#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Copies files out of a reverse view while somebody changes them.

reverse_hammer.py SOURCE VIEW VOLUME SUCCESSES SECONDS: makes files in SOURCE and a process that rewrites them in place, cuts,
grows and appends to them, and copies each out of VIEW again and again, until so many copies of each file were made, and some
attempts have failed with EIO. The copies are files of the root of VOLUME, which is to have the view's xtsfs.conf and
xtsfs.dirid. Their names come from other files of the view.

reverse_hammer.py --check MOUNT: the files beneath MOUNT, which were copied so, are each as they were at one moment: all cells
of 16 bytes are of one version, or, from one place on, of the version before. Prints what is not."""
import errno
import os
import random
import signal
import sys
import time

SIZES = (3000, 90000, 1400000)
COPIES = 1000


def content(version, size):
    return (b'%015d\n' % version * (size // 16 + 1))[:size]


def write(top, rng):
    """Never ends. A version is written over the one before from the front on, in pieces."""
    version = 0
    while True:
        for number, size in enumerate(SIZES):
            version += 1
            fd = os.open(f'{top}/{number}', os.O_WRONLY)
            how = rng.randrange(4)
            if how == 0:
                os.ftruncate(fd, 0)
            elif how == 1:
                os.ftruncate(fd, rng.randrange(1, size) // 16 * 16)
            size = size // 16 * 16 + 16 * rng.randrange(4)
            data = content(version, size)
            step = rng.choice((64, 4096, 65536)) if size < 100000 else rng.choice((4096, 65536, 300000))
            for at in range(0, size, step):
                os.pwrite(fd, data[at:at + step], at)
            os.ftruncate(fd, size)
            os.close(fd)
        # Now and then there is time for somebody to read in peace.
        time.sleep(rng.choice((0, 0.001, 0.02, 0.08)))


def copy(source, target, rng):
    """In pieces, as programs do. False: EIO."""
    fd = os.open(source, os.O_RDONLY)
    try:
        parts = []
        while part := os.read(fd, rng.choice((4096, 131072, 1 << 20))):
            parts.append(part)
    except OSError as e:
        if e.errno == errno.EIO:
            return False
        raise
    finally:
        os.close(fd)
    with open(target, 'wb') as f:
        f.write(b''.join(parts))
    return True


def hammer(top, view, volume, wanted, seconds):
    rng = random.Random(7)
    for number, size in enumerate(SIZES):
        with open(f'{top}/{number}', 'wb') as f:
            f.write(content(0, size // 16 * 16))
    for number in range(COPIES):
        open(f'{top}/copy {number}', 'w').close()
    shown = {entry.inode(): entry.name for entry in os.scandir(view)}
    sources = [f'{view}/{shown[os.lstat(f"{top}/{number}").st_ino]}' for number in range(len(SIZES))]
    targets = (f'{volume}/{shown[os.lstat(f"{top}/copy {number}").st_ino]}' for number in range(COPIES))
    child = os.fork()
    if child == 0:
        try:
            write(top, rng)
        finally:
            os._exit(1)
    good, bad = [0] * len(SIZES), [0] * len(SIZES)
    end = time.monotonic() + seconds
    try:
        while min(good) < wanted or min(bad[1:]) < 1:
            if time.monotonic() > end:
                sys.exit(f'not enough in {seconds} s: copied {good}, refused {bad}')
            for number, path in enumerate(sources):
                if copy(path, next(targets), rng):
                    good[number] += 1
                else:
                    bad[number] += 1
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    print(f'copied {good}, refused {bad}', file=sys.stderr)


def check(top):
    for where, _, names in os.walk(top):
        for name in names:
            with open(f'{where}/{name}', 'rb') as f:
                data = f.read()
            cells = [int(data[at:at + 16]) for at in range(0, len(data), 16)]
            versions = sorted(set(cells), reverse=True)
            if len(data) % 16 or cells != sorted(cells, reverse=True) or len(versions) > 2:
                print(f'{where}/{name}: {len(data)} bytes, versions {versions[:9]}')


if sys.argv[1] == '--check':
    check(sys.argv[2])
else:
    hammer(*sys.argv[1:4], int(sys.argv[4]), float(sys.argv[5]))
