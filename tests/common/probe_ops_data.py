# SPDX-License-Identifier: Apache-2.0
"""Ops on the content of files.  Transfers print their byte count, so a short one shows in the golden file."""
import fcntl
import hashlib
import mmap
import os

import probe_sys
from probe_data import pattern_bytes
from probe_op import Open, op
from probe_sys import flags, mode, number


@op
def open_(path, how='O_RDONLY', permissions='666'):
    with Open(path, flags(how, prefix='O_'), mode(permissions)):
        pass


@op
def create(path, permissions='666'):
    with Open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode(permissions)):
        pass


@op
def tmpfile(directory, name='', permissions='600'):
    """O_TMPFILE, given a name if there is one."""
    with Open(directory, os.O_RDWR | os.O_TMPFILE, mode(permissions)) as fd:
        if name:
            probe_sys.linkat_fd(fd, name)


@op
def pread(path, offset, nbytes, how='0'):
    with Open(path, os.O_RDONLY | flags(how, prefix='O_')) as fd:
        buffer = mmap.mmap(-1, max(number(nbytes), 1))              # page-aligned, for O_DIRECT
        return os.preadv(fd, [memoryview(buffer)[:number(nbytes)]], number(offset))


@op
def pwrite(path, offset, nbytes, seed='0', how='0'):
    with Open(path, os.O_WRONLY | flags(how, prefix='O_')) as fd:
        buffer = mmap.mmap(-1, max(number(nbytes), 1))
        buffer[:number(nbytes)] = pattern_bytes(seed, number(offset), number(nbytes))
        return os.pwritev(fd, [memoryview(buffer)[:number(nbytes)]], number(offset))


@op
def append(path, nbytes, seed='0'):
    with Open(path, os.O_WRONLY | os.O_APPEND) as fd:
        return os.write(fd, pattern_bytes(seed, 0, number(nbytes)))


@op
def sha256(path):
    digest = hashlib.sha256()
    with Open(path, os.O_RDONLY) as fd:
        while chunk := os.read(fd, 1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@op
def mmap_read(path, offset, nbytes):
    with Open(path, os.O_RDONLY) as fd, mmap.mmap(fd, 0, prot=mmap.PROT_READ) as m:
        return len(m[number(offset):number(offset) + number(nbytes)])


@op
def mmap_write(path, offset, nbytes, seed='0'):
    with Open(path, os.O_RDWR) as fd, mmap.mmap(fd, 0) as m:
        m[number(offset):number(offset) + number(nbytes)] = pattern_bytes(
            seed, number(offset), number(nbytes))
        m.flush()


@op
def truncate(path, size):
    os.truncate(path, number(size))


@op
def ftruncate(path, size):
    with Open(path, os.O_WRONLY) as fd:
        os.ftruncate(fd, number(size))


@op
def fallocate(path, modes, offset, nbytes):
    with Open(path, os.O_WRONLY) as fd:
        probe_sys.fallocate(fd, flags(modes, probe_sys.FALLOC_FLAGS, 'FALLOC_FL_'), number(offset), number(nbytes))


@op
def lseek(path, offset, whence):
    with Open(path, os.O_RDONLY) as fd:
        return os.lseek(fd, number(offset), getattr(os, 'SEEK_' + whence.removeprefix('SEEK_')))


@op
def copy_file_range(source, source_offset, target, target_offset, nbytes):
    with Open(source, os.O_RDONLY) as a, Open(target, os.O_WRONLY) as b:
        return os.copy_file_range(a, b, number(nbytes), number(source_offset), number(target_offset))


@op
def fsync(path):
    with Open(path, os.O_RDONLY) as fd:
        os.fsync(fd)


@op
def fdatasync(path):
    with Open(path, os.O_RDONLY) as fd:
        os.fdatasync(fd)


@op
def flock(path, how='EX'):
    with Open(path, os.O_RDWR) as fd:
        fcntl.flock(fd, getattr(fcntl, 'LOCK_' + how) | fcntl.LOCK_NB)


@op
def lockf(path, how='EX', start='0', nbytes='0'):
    with Open(path, os.O_RDWR) as fd:
        fcntl.lockf(fd, getattr(fcntl, 'LOCK_' + how) | fcntl.LOCK_NB, number(nbytes), number(start))
