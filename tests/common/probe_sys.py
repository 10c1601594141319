# SPDX-License-Identifier: Apache-2.0
"""What the operating system has and Python's os module has not; and small things of the harness."""
import ctypes
import errno
import fcntl
import os
import re
import socket
import struct
import sys

AT_FDCWD = -100
RENAME_FLAGS = {'NOREPLACE': 1, 'EXCHANGE': 2, 'WHITEOUT': 4}
FALLOC_FLAGS = {'KEEP_SIZE': 1, 'PUNCH_HOLE': 2, 'COLLAPSE_RANGE': 8, 'ZERO_RANGE': 16,
                'INSERT_RANGE': 32, 'UNSHARE_RANGE': 64}
SHUTDOWN = 0x8004587d       # EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN: _IOR('X', 125, __u32)
SHUTDOWN_NOLOGFLUSH = 2
_libc = ctypes.CDLL(None, use_errno=True)


class Usage(Exception):
    pass


def errno_name(value):
    """One name for each number: EAGAIN, EOPNOTSUPP, EDEADLK, whichever Python would prefer."""
    for name in ('EAGAIN', 'EOPNOTSUPP', 'EDEADLK'):
        if value == getattr(errno, name):
            return name
    return errno.errorcode.get(value, str(value))


def same_errno(name, other):
    """EWOULDBLOCK is EAGAIN, ENOTSUP is EOPNOTSUPP."""
    if name != 'OK' and not hasattr(errno, name):
        raise Usage(f"unknown errno '{name}'")
    return name == other or (name != 'OK' and getattr(errno, name) == getattr(errno, other, None))


def number(text):
    """4096, -1, 0x10, 12k, 3M, 1G, 5B4 (five blocks of 4096)."""
    units = {'': 1, 'k': 1 << 10, 'M': 1 << 20, 'G': 1 << 30, 'T': 1 << 40, 'B4': 4096}
    found = re.fullmatch(r'(-?)(0x[0-9a-fA-F]+|[0-9]+)(|k|M|G|T|B4)', text)
    if not found:
        raise Usage(f"not a number: '{text}'")
    value = int(found.group(2), 16 if found.group(2).startswith('0x') else 10) * units[found.group(3)]
    return -value if found.group(1) else value


def mode(text):
    try:
        return int(text, 8)
    except ValueError:
        raise Usage(f"not a mode: '{text}'") from None


def flags(text, table=None, prefix=''):
    """Names joined by |, or a number: flags('O_RDWR|O_CREAT')."""
    value = 0
    for name in text.split('|'):
        if name in ('', '0'):
            continue
        short = name.removeprefix(prefix)
        if table is not None and short in table:
            value |= table[short]
        elif table is None and hasattr(os, prefix + short):
            value |= getattr(os, prefix + short)
        elif name[0].isdigit():
            value |= number(name)
        else:
            raise Usage(f"unknown flag '{name}'")
    return value


def _check(result):
    if result < 0:
        number_ = ctypes.get_errno()
        raise OSError(number_, os.strerror(number_))
    return result


def renameat2(old, new, flag_bits):
    return _check(_libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), ctypes.c_uint(flag_bits)))


def fallocate(fd, mode_bits, offset, nbytes):
    return _check(_libc.fallocate64(fd, ctypes.c_int(mode_bits), ctypes.c_int64(offset), ctypes.c_int64(nbytes)))


def eaccess(path, how):
    effective = 0x200
    return _check(_libc.faccessat(AT_FDCWD, os.fsencode(path), ctypes.c_int(how), effective))


def linkat_fd(fd, path):
    """Gives a file made with O_TMPFILE a name."""
    follow = 0x400
    return _check(_libc.linkat(AT_FDCWD, os.fsencode(f'/proc/self/fd/{fd}'), AT_FDCWD, os.fsencode(path), follow))


def afalg(kind, name):
    s = socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
    with s:
        s.bind((kind, name))


def shutdown(directory):
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(fd, SHUTDOWN, struct.pack('=I', SHUTDOWN_NOLOGFLUSH))
    finally:
        os.close(fd)


def pid_of(argument):
    """Prints the pid of the one process, this one's ancestors aside, that has `argument` among its arguments."""
    skip = set()
    pid = os.getpid()
    while pid > 1:
        skip.add(pid)
        with open(f'/proc/{pid}/stat', 'rb') as f:
            pid = int(f.read().rsplit(b') ', 1)[1].split()[1])
    found = []
    for name in os.listdir('/proc'):
        if name.isdigit() and int(name) not in skip:
            try:
                with open(f'/proc/{name}/cmdline', 'rb') as f:
                    if os.fsencode(argument) in f.read().split(b'\0')[1:]:
                        found.append(int(name))
            except OSError:
                pass
    if len(found) != 1:
        print(f"pid-of: {len(found)} processes have '{argument}'", file=sys.stderr)
        return 1
    print(found[0])
    return 0


def filter_paths(*names):
    """The longest value wins, and only whole path components count."""
    paths = {os.environ[n].rstrip('/'): n for n in reversed(names) if os.environ.get(n)}
    paths.pop('', None)
    text = sys.stdin.buffer.read().decode(errors='surrogateescape')
    if paths:
        longest_first = '|'.join(re.escape(p) for p in sorted(paths, key=len, reverse=True))
        text = re.sub(rf'({longest_first})(?![\w-]|\.\w)', lambda m: paths[m.group(1)], text)
    sys.stdout.buffer.write(text.encode(errors='surrogateescape'))
