# SPDX-License-Identifier: Apache-2.0
"""Doing things as somebody else, for plays that run on a local directory and on the mount and are compared.

    import identity
    identity.call('read', open, path, who=identity.Who(4001, groups=[4100]))    # prints "read: EACCES"

Each call is a process of its own, so nothing is carried over from one identity to the next.
"""
import ctypes
import os
import struct
import sys

import probe_sys

CAPS = {name: number for number, name in enumerate(
    'chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service '
    'net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin '
    'sys_boot sys_nice sys_resource'.split())}
_libc = ctypes.CDLL(None, use_errno=True)
_SYS_CAPSET, _PR_SET_KEEPCAPS = 126, 8
if os.uname().machine == 'aarch64':
    _SYS_CAPSET = 91


def _check(result):
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def capset(names):
    """Exactly these, effective and permitted."""
    bits = sum(1 << CAPS[name] for name in names)
    low, high = bits & 0xffffffff, bits >> 32
    header = ctypes.create_string_buffer(struct.pack('Ii', 0x20080522, 0))
    data = ctypes.create_string_buffer(struct.pack('6I', low, low, 0, high, high, 0))
    _check(_libc.syscall(_SYS_CAPSET, header, data))


class Who:
    """uid, gid, supplementary groups; caps: names of capabilities (None: what the uid has); fsuid and fsgid if they differ."""

    def __init__(self, uid=0, gid=None, groups=(), caps=None, fsuid=None, fsgid=None, umask=0o022):
        self.uid, self.gid, self.groups = uid, uid if gid is None else gid, list(groups)
        self.caps, self.fsuid, self.fsgid, self.umask = caps, fsuid, fsgid, umask

    def become(self):
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        if self.fsgid is not None:
            _libc.setfsgid(self.fsgid)
        if self.caps is not None and self.uid != 0:
            _check(_libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
        if self.fsuid is not None and self.uid == 0:
            _libc.setfsuid(self.fsuid)
        os.setresuid(self.uid, self.uid, self.uid) if self.uid != 0 else None
        if self.fsuid is not None and self.uid != 0:
            raise ValueError('only root has an fsuid of its own')
        if self.caps is not None:
            capset(self.caps)
        os.umask(self.umask)


def attempt(function, *arguments, who=None):
    """What it returned as text, or the name of its errno. In a child process if `who` is given."""
    if who is None:
        try:
            value = function(*arguments)
            return 'OK' if value is None or hasattr(value, 'fileno') else f'OK {value}'
        except OSError as error:
            return probe_sys.errno_name(error.errno)
    sys.stdout.flush()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            who.become()
            os.write(writer, attempt(function, *arguments).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, encoding='utf-8') as stream:
        text = stream.read()
    status = os.waitpid(pid, 0)[1]
    return text if status == 0 else f'{text} status {status}'


def call(what, function, *arguments, who=None):
    print(f'{what}: {attempt(function, *arguments, who=who)}')


def show(path, hide=0):
    """Type, mode (less the bits to hide) and owner of the object itself."""
    st = os.lstat(path)
    print(f'{os.path.basename(path)}: {st.st_mode & ~hide:o} {st.st_uid}:{st.st_gid} links {st.st_nlink}')


def create(path, mode=0o666, flags=0):
    """An empty file that must not exist."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | flags, mode))


def append(path, data=b'x'):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(fd, data)
    os.close(fd)


def read(path):
    with open(path, 'rb') as stream:
        return stream.read()
