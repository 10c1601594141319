# SPDX-License-Identifier: Apache-2.0
"""Canonical listings: of a tree, for comparing two trees as text; of the extents of a file."""
import errno
import hashlib
import os
import stat

from probe_sys import Usage

OPTIONS = {'--no-mtime', '--no-owner', '--no-xattr', '--no-content', '--dir-nlink', '--blocks', '--help'}
IGNORED_XATTRS = {'security.selinux'}
TREE_HELP = """probe tree [OPTION]... DIR: one line for each name, sorted:
  PATH TYPE MODE UID:GID SIZE nlink=N mtime=NS [sha256=…] [-> TARGET] [dev=MAJOR:MINOR] [= FIRST PATH] [xattr…=…]
Size and link count of directories are left out, as filesystems differ in them; a further name of a file is
shown as "= FIRST PATH".
  --no-mtime --no-owner --no-xattr --no-content   leave these out
  --dir-nlink                                     with the link count of directories
  --blocks                                        with st_blocks"""


def _quote(name):
    """Printable ASCII but blank, backslash and = as it is, the rest as \\xNN."""
    return ''.join(chr(b) if 0x21 <= b <= 0x7e and b not in b'\\=' else f'\\x{b:02x}' for b in os.fsencode(name))


def _sha256(path):
    digest = hashlib.sha256()
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while chunk := os.read(fd, 1 << 20):
            digest.update(chunk)
    finally:
        os.close(fd)
    return digest.hexdigest()


def _xattrs(path):
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as e:
        if e.errno == errno.ENOTSUP:
            return []
        raise
    return [f'{_quote(n)}=0x{os.getxattr(path, n, follow_symlinks=False).hex()}'
            for n in sorted(names) if n not in IGNORED_XATTRS]


def _line(path, name, options, seen):
    found = os.lstat(path)
    kind = stat.filemode(found.st_mode)[0]
    is_dir = kind == 'd'
    words = [_quote(name), kind, f'{stat.S_IMODE(found.st_mode):04o}']
    if '--no-owner' not in options:
        words.append(f'{found.st_uid}:{found.st_gid}')
    words.append(str(found.st_size) if kind in '-l' else '*')
    if not is_dir or '--dir-nlink' in options:
        words.append(f'nlink={found.st_nlink}')
    if '--no-mtime' not in options:
        words.append(f'mtime={found.st_mtime_ns}')
    if '--blocks' in options:
        words.append(f'blocks={found.st_blocks}')
    first = seen.setdefault((found.st_dev, found.st_ino), name)
    if not is_dir and first != name:
        words.append(f'= {_quote(first)}')
    elif kind == '-' and '--no-content' not in options:
        words.append('sha256=' + _sha256(path))
    elif kind == 'l':
        words.append('-> ' + _quote(os.readlink(path)))
    elif kind in 'bc':
        words.append(f'dev={os.major(found.st_rdev)}:{os.minor(found.st_rdev)}')
    if '--no-xattr' not in options:
        words += _xattrs(path)
    return ' '.join(words)


def tree(*arguments):
    options = {a for a in arguments if a.startswith('--')}
    directories = [a for a in arguments if not a.startswith('--')]
    if options - OPTIONS:
        raise Usage(f"tree: unknown option '{(options - OPTIONS).pop()}'")
    if '--help' in options:
        print(TREE_HELP)
        return
    if len(directories) != 1:
        raise Usage('tree: one directory')
    top, seen = directories[0], {}
    pending = ['.']
    while pending:
        name = pending.pop()
        path = os.path.join(top, name)
        print(_line(path, name, options, seen))
        if stat.S_ISDIR(os.lstat(path).st_mode):
            children = sorted(os.listdir(path), key=os.fsencode, reverse=True)
            pending += [os.path.normpath(os.path.join(name, c)) for c in children]


def extents(path):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size, at = os.fstat(fd).st_size, 0
        while at < size:
            try:
                data = os.lseek(fd, at, os.SEEK_DATA)
            except OSError as e:
                if e.errno != errno.ENXIO:
                    raise
                data = size
            if data > at:
                print(f'hole {at} {data}')
            if data < size:
                at = os.lseek(fd, data, os.SEEK_HOLE)
                print(f'data {data} {at}')
            else:
                at = size
        print(f'size {size}')
    finally:
        os.close(fd)
