# SPDX-License-Identifier: Apache-2.0
"""The system calls of `probe expect EIO pread FILE 0 4096`: their table, and the commands that run them.

An op (probe_ops_data, probe_ops_names) returns what is to be printed after "OP: OK", or None.  Text arguments are
paths and values as they are; an xattr name or value may be given as 0x… bytes.
"""
import os
import shlex
import sys

from probe_sys import Usage, errno_name, same_errno

OPS = {}


def op(function):
    OPS[function.__name__.removesuffix('_').replace('_', '-')] = function
    return function


class Open:
    """A descriptor for a with-block; an error of close is the op's error."""

    def __init__(self, path, how, permissions=0o666):
        self.arguments = (path, how | os.O_CLOEXEC, permissions)
        self.fd = -1

    def __enter__(self):
        self.fd = os.open(*self.arguments)
        return self.fd

    def __exit__(self, *_):
        fd, self.fd = self.fd, -1
        os.close(fd)


def _run(name, arguments):
    """-> ('OK' or errno name, text)"""
    name = name.replace('_', '-')
    if name not in OPS:
        raise Usage(f"unknown op '{name}'")
    try:
        value = OPS[name](*arguments)
    except TypeError as e:
        if e.__traceback__.tb_next is not None:
            raise
        raise Usage(f'{name}: wrong number of arguments') from None
    except OSError as e:
        return errno_name(e.errno), errno_name(e.errno)
    return 'OK', 'OK' if value is None else f'OK {value}'


def expect(want, name, *arguments):
    got, text = _run(name, arguments)
    if [w for w in want.split('|') if same_errno(w, got)]:
        print(f'{name}: {text}', flush=True)
        return 0
    print(f"{name}: {text}, wanted {want}: {name} {' '.join(arguments)}", flush=True)
    return 1


def call(name, *arguments):
    print(f'{name}: {_run(name, arguments)[1]}', flush=True)


def script(path='-'):
    status = 0
    with (sys.stdin if path == '-' else open(path, encoding='utf-8')) as f:
        for line in f:
            words = shlex.split(line, comments=True)
            if words[:1] == ['expect']:
                status |= expect(*words[1:])
            elif words:
                call(*words)
    return status


def ops():
    for name in sorted(OPS):
        code = OPS[name].__code__
        rest = ['[FIELD]...'] if code.co_flags & 4 else []
        required = code.co_argcount - len(OPS[name].__defaults__ or ())
        print(name, *(n.upper() if i < required else f'[{n.upper()}]'
                      for i, n in enumerate(code.co_varnames[:code.co_argcount])), *rest)
