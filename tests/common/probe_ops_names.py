# SPDX-License-Identifier: Apache-2.0
"""Ops on names, attributes and extended attributes.  None follows a symlink but chmod and access."""
import os
import stat

import probe_sys
from probe_op import op
from probe_sys import Usage, flags, mode, number


def _bytes(text):
    return bytes.fromhex(text[2:]) if text.startswith('0x') else os.fsencode(text)


@op
def unlink(path):
    os.unlink(path)


@op
def rmdir(path):
    os.rmdir(path)


@op
def rename(old, new):
    os.rename(old, new)


@op
def link(old, new):
    os.link(old, new, follow_symlinks=False)


@op
def symlink(target, path):
    os.symlink(target, path)


@op
def readlink(path):
    return os.readlink(path)


@op
def mkdir(path, permissions='777'):
    os.mkdir(path, mode(permissions))


@op
def renameat2(old, new, how='0'):
    probe_sys.renameat2(old, new, flags(how, probe_sys.RENAME_FLAGS, 'RENAME_'))


@op
def mknod(path, kind, permissions='644', major='0', minor='0'):
    kinds = {'f': stat.S_IFREG, 'p': stat.S_IFIFO, 's': stat.S_IFSOCK, 'c': stat.S_IFCHR, 'b': stat.S_IFBLK}
    if kind not in kinds:
        raise Usage(f"mknod: kind is one of {' '.join(kinds)}")
    os.mknod(path, kinds[kind] | mode(permissions), os.makedev(number(major), number(minor)))


@op
def readdir(path):
    """Number of entries."""
    return len(os.listdir(path))


# Attributes

@op
def stat_(path, *fields):
    """Fields of lstat without st_: size mode nlink uid gid ino dev rdev blocks mtime_ns …, and type."""
    return _fields(os.lstat(path), fields)


@op
def statfs(path, *fields):
    found = os.statvfs(path)
    return ' '.join(f"{f}={getattr(found, 'f_' + f)}" for f in fields) or None


def _fields(found, names):
    def value(name):
        if name == 'type':
            return stat.filemode(found.st_mode)[0]
        if name == 'mode':
            return f'{stat.S_IMODE(found.st_mode):04o}'
        try:
            return getattr(found, 'st_' + name)
        except AttributeError:
            raise Usage(f"no field '{name}'") from None
    return ' '.join(f'{n}={value(n)}' for n in names) or None


@op
def chmod(path, permissions):
    os.chmod(path, mode(permissions))


@op
def chown(path, uid, gid):
    os.lchown(path, number(uid), number(gid))


@op
def utimens(path, atime_ns, mtime_ns):
    os.utime(path, ns=(number(atime_ns), number(mtime_ns)), follow_symlinks=False)


@op
def access(path, how):
    """One of F_OK R_OK W_OK X_OK, or several joined by |."""
    probe_sys.eaccess(path, flags(how))


@op
def getxattr(path, name):
    return '0x' + os.getxattr(path, _bytes(name), follow_symlinks=False).hex()


@op
def setxattr(path, name, value, how='0'):
    os.setxattr(path, _bytes(name), _bytes(value), flags(how, prefix='XATTR_'), follow_symlinks=False)


@op
def removexattr(path, name):
    os.removexattr(path, _bytes(name), follow_symlinks=False)


@op
def listxattr(path):
    return ' '.join(sorted(os.listxattr(path, follow_symlinks=False))) or None
