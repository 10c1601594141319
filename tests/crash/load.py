# SPDX-License-Identifier: Apache-2.0
"""One process that works on the mount until the daemon is gone: random calls, each noted in the model of tests/powerloss, with
what a killed daemon (and not a lost machine) promises.

- Names, links, modes, symbolic links and extended attributes are there once the call has returned: noted as synced.
- Content and lengths are there once a sync has returned; what was written since is old or new, page by page.
- The call under way when the daemon went has an effect or none: noted without an end."""
import ctypes
import errno
import mmap
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'powerloss'))
from check import Checker  # pylint: disable=wrong-import-position
from model import Model  # pylint: disable=wrong-import-position

LIBC = ctypes.CDLL(None, use_errno=True)
PUNCH_HOLE, ZERO_RANGE, KEEP_SIZE = 3, 16, 17
AT_FDCWD, RENAME_NOREPLACE, RENAME_EXCHANGE = -100, 1, 2
# EIO is what close() and fsync() make of pages that could not be written back.
GONE = (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)
EVER = float('inf')
GROUP = 124 * 4096
EDGES = (0, 1, 16, 100, 3953, 3954, 4080, 4081, 4095, 4096, 4097, 8192, 12288)
ATTRIBUTES = ('user.a', 'user.comment')


class Dead(Exception):
    """The daemon has gone."""


def _check(result):
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


class Load:
    """Works in the directory `name` below `mount`. lie: syncs are noted and not made. seeks: asks for holes, too."""

    def __init__(self, mount, name, seed, lie=False, seeks=False):
        self.mount, self.name, self.lie, self.seeks = mount, name, lie, seeks
        self.rng = random.Random(seed)
        self.model = Model()
        self.clock = self.calls = 0
        self.held = {}
        self.died = None         # (when, errno)
        self.wrong = []          # what was not as noted while the daemon lived
        self.large = 0

    def tick(self):
        self.clock += 1
        return self.clock

    def call(self, function, *arguments):
        """(begin, end, position) for the model, and the result. A call that ends with the daemon has no end."""
        begin = self.tick()
        self.calls += 1
        try:
            result = function(*arguments)
            return (begin, self.tick(), begin), result
        except OSError as e:
            if e.errno not in GONE:
                raise
            self.died = (time.monotonic(), e.errno)
            return (begin, EVER, begin), None

    def settle(self):
        """At the end of each call's notes."""
        if self.died:
            raise Dead

    def sync(self):
        """What has ended is sure from now on."""
        tick = self.tick()
        return tick, tick

    # Which object.

    def paths(self, kind, limit=2):
        """Of all objects of a kind by all their names."""
        found = []

        def walk(number, prefix, depth):
            for key, history in self.model.names.items():
                if key[0] == number and history[-1][3] is not None:
                    child = self.model.objects[history[-1][3]]
                    if child.kind == kind:
                        found.append(prefix + key[1])
                    if child.kind == 'dir' and depth < limit:
                        walk(child.number, prefix + key[1] + '/', depth + 1)
        walk(self.model.root, '', 0)
        return sorted(found)

    def pick(self, kind):
        return self.rng.choice(self.paths(kind) or [None])

    def free_name(self):
        directory = self.rng.choice([''] + [p + '/' for p in self.paths('dir', 1)])
        for _ in range(20):
            name = f'n{self.rng.randrange(12)}' if self.rng.random() < 0.8 else 'long-' * 40 + str(self.rng.randrange(3))
            if self.model.now(self.model.key(directory + name)) is None:
                return directory + name
        return None

    def content(self, path):
        return self.model.resolve(path).content[-1][3]

    # Names.

    def named(self, when, *changes):
        """(path, number or None, made) are changed by one call."""
        for key, number, made in changes:
            self.model.set_name(when, key, number, made)
        if not self.died:
            for key, _number, _made in changes:
                self.model.name_syncs.setdefault(key, [])[:] = [self.sync()]
        self.settle()

    def _fill(self, path, size):
        """Of a new file, in one write of the same call or by the first change."""
        if size:
            self.write(path, 0, self.rng.randbytes(size))

    def op_create(self):
        path = self.free_name()
        if not path:
            return
        mode = self.rng.choice((0o644, 0o600))
        when, fd = self.call(os.open, path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, mode)
        found = self.model.new('file', when)
        found.attribute('mode').add(*when, mode)
        self.named(when, (self.model.key(path), found.number, True))
        found.attribute_syncs[:] = [self.sync()]
        if self.rng.random() < 0.5:
            self.held[found.number] = fd
        else:
            self.close(fd)
        size = self.rng.choice(EDGES + (20000, 60000))
        if self.rng.random() < 0.06 and self.large < 2:
            self.large += 1
            size = GROUP + self.rng.choice((-5000, -1, 0, 15, 9000))
        self._fill(path, size)

    def op_mkdir(self):
        path = self.free_name()
        if not path or path.count('/') > 1 or len(self.paths('dir')) > 6:
            return
        when, _ = self.call(os.mkdir, path, 0o755)
        self.named(when, (self.model.key(path), self.model.new('dir', when).number, True))

    def op_symlink(self):
        path = self.free_name()
        if not path:
            return
        target = 't' * self.rng.choice((1, 60, 3039))
        when, _ = self.call(os.symlink, target, path)
        self.named(when, (self.model.key(path), self.model.new('symlink', when, target.encode()).number, True))

    def op_link(self):
        old, new = self.pick('file'), self.free_name()
        if not old or not new:
            return
        when, _ = self.call(os.link, old, new)
        self.named(when, (self.model.key(new), self.model.resolve(old).number, False))

    def _forget(self, found):
        if not found.links[-1][3] and found.number in self.held:
            self.close(self.held.pop(found.number))

    def op_unlink(self):
        path = self.pick(self.rng.choice(('file', 'file', 'symlink')))
        if not path:
            return
        found = self.model.resolve(path)
        when, _ = self.call(os.unlink, path)
        self.named(when, (self.model.key(path), None, False))
        self._forget(found)

    def op_rmdir(self):
        path = self.pick('dir')
        if not path:
            return
        number = self.model.resolve(path).number
        if any(key[0] == number and history[-1][3] is not None for key, history in self.model.names.items()):
            return
        when, _ = self.call(os.rmdir, path)
        self.named(when, (self.model.key(path), None, False))

    def op_rename(self):
        """To a new name, over a file, or exchanged with one."""
        old = self.pick(self.rng.choice(('file', 'file', 'file', 'symlink')))
        how = self.rng.randrange(3)
        new = self.free_name() if how == 0 else self.pick('file')
        if not old or not new:
            return
        moved, old_key, new_key = self.model.resolve(old), self.model.key(old), self.model.key(new)
        other = self.model.now(new_key)
        if other == moved.number:
            return
        flags = (RENAME_NOREPLACE, 0, RENAME_EXCHANGE)[how]
        when, _ = self.call(lambda: _check(LIBC.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags)))
        if how == 2:
            self.named(when, (old_key, other, False), (new_key, moved.number, False))
        else:
            self.named(when, (new_key, moved.number, False), (old_key, None, False))
        if how == 1:
            self._forget(self.model.objects[other])

    def op_move_directory(self):
        path, new = self.pick('dir'), self.free_name()
        if not path or not new or (new + '/').startswith(path + '/') or '/' in new:
            return
        when, _ = self.call(os.rename, path, new)
        number = self.model.resolve(path).number
        self.named(when, (self.model.key(new), number, False), (self.model.key(path), None, False))

    # Attributes.

    def _attribute(self, path, name, value, function, *arguments):
        when, _ = self.call(function, *arguments)
        found = self.model.resolve(path)
        found.attribute(name).add(*when, value)
        self.settle()
        found.attribute_syncs[:] = [self.sync()]

    def op_chmod(self):
        path, mode = self.pick('file'), self.rng.choice((0o600, 0o644, 0o755))
        if path:
            self._attribute(path, 'mode', mode, os.chmod, path, mode)

    def op_xattr(self):
        path, name = self.pick(self.rng.choice(('file', 'dir'))), self.rng.choice(ATTRIBUTES)
        if not path:
            return
        history = self.model.resolve(path).attributes.get(name)
        if history and history[-1][3] is not None and self.rng.random() < 0.3:
            self._attribute(path, name, None, os.removexattr, path, name)
        else:
            value = self.rng.randbytes(self.rng.choice((0, 5, 300)))
            self._attribute(path, name, value, os.setxattr, path, name, value)

    # Content.

    def close(self, fd):
        _when, _ = self.call(os.close, fd)
        self.settle()

    def _with(self, path, function, flags=0):
        """The call on a descriptor of its own or on the one that is held."""
        held = self.held.get(self.model.resolve(path).number)
        if held is not None and not flags:
            return function(held)
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags)
        try:
            return function(fd)
        finally:
            os.close(fd)

    def change(self, path, new, function, flags=0):
        """The content of it will be `new`."""
        when, result = self.call(self._with, path, function, flags)
        self.model.resolve(path).content.add(*when, new)
        self.settle()
        return result

    def write(self, path, offset, data, flags=0):
        old = self.content(path)
        new = old[:offset] + bytes(max(0, offset - len(old))) + data + old[offset + len(data):]
        self.change(path, new, lambda fd: os.pwrite(fd, data, offset), 0 if self.lie else flags)
        if flags:
            self.model.resolve(path).range_syncs.append((*self.sync(), offset, offset + len(data)))

    def _offset(self, size):
        kind = self.rng.randrange(4)
        if kind == 0:
            return size
        if kind == 1:
            return self.rng.randrange(size // 4096 + 1) * 4096
        if kind == 2:
            return max(0, min(size, self.rng.choice(EDGES) + self.rng.randrange(-3, 4)))
        return self.rng.randrange(size + 1)

    def op_write(self):
        path = self.pick('file')
        if path:
            size = self.rng.choice((1, 20, 700, 4096, 4096, 8192, 5000, 30000))
            flags = self.rng.choice((0,) * 12 + (os.O_DSYNC, os.O_SYNC))
            self.write(path, self._offset(len(self.content(path))), self.rng.randbytes(size), flags)

    def op_write_held(self):
        """Only these wait in the kernel's cache and in the daemon's memory."""
        held = [p for p in self.paths('file') if self.model.resolve(p).number in self.held]
        if held:
            path = self.rng.choice(held)
            self.write(path, self._offset(len(self.content(path))), self.rng.randbytes(self.rng.choice((20, 4096, 9000))))

    op_write_again = op_write

    def op_map(self):
        path = self.pick('file')
        size = len(self.content(path)) if path else 0
        if not size:
            return
        at = self.rng.randrange(size)
        data = self.rng.randbytes(min(self.rng.choice((10, 5000)), size - at))
        old = self.content(path)

        def store(fd):
            """By a process of its own: a page that cannot be read any more is SIGBUS."""
            pid = os.fork()
            if pid == 0:
                try:
                    with mmap.mmap(fd, size) as mapping:
                        mapping[at:at + len(data)] = data
                        mapping.flush()
                finally:
                    os._exit(0)
            if os.waitpid(pid, 0)[1]:
                raise OSError(errno.EIO, 'killed at a mapped page')
        self.change(path, old[:at] + data + old[at + len(data):], store)

    def op_truncate(self):
        path = self.pick('file')
        if not path:
            return
        old = self.content(path)
        size = self.rng.choice((0, len(old) // 2, max(0, len(old) - 7), len(old) + 5000, self.rng.choice(EDGES)))
        new = old[:size] + bytes(max(0, size - len(old)))
        self.change(path, new, lambda fd: os.ftruncate(fd, size))

    def op_fallocate(self):
        path = self.pick('file')
        if not path:
            return
        old, size = self.content(path), self.rng.choice((1, 4096, 9000, 40000))
        at, mode = self._offset(len(old)), self.rng.choice((PUNCH_HOLE, ZERO_RANGE, KEEP_SIZE))
        end = min(at + size, len(old)) if mode != ZERO_RANGE else at + size
        new = old[:at] + bytes(max(0, at - len(old))) + bytes(end - at) + old[end:] if end > at else old
        if mode == ZERO_RANGE:
            new = old[:at].ljust(at, b'\0') + bytes(size) + old[at + size:]
        self.change(path, new, lambda fd: _check(LIBC.fallocate(fd, mode, ctypes.c_long(at), ctypes.c_long(size))))

    def seek(self):
        path = self.pick('file')
        if not path or not self.content(path):
            return
        _when, result = self.call(self._with, path, lambda fd: os.lseek(fd, 0, os.SEEK_HOLE))
        self.settle()
        if any(self.content(path)[result:result + 4096 - result % 4096]):
            self.wrong.append(f'{path}: a hole is said to be at {result}')

    def op_read(self):
        path = self.pick('file')
        if not path:
            return
        _when, data = self.call(self._with, path, lambda fd: os.pread(fd, 4 << 20, 0))
        self.settle()
        if self.content(path).startswith(data):
            self._poll()         # a read that the end of the daemon cut short
        if data != self.content(path):
            self.wrong.append(f'{path}: reads {len(data)} bytes that were not written')

    # Promises.

    def op_sync(self):
        """Mostly of a file that is held: closing hands the others over by itself."""
        held = [p for p in self.paths('file') if self.model.resolve(p).number in self.held]
        path = self.rng.choice(held) if held and self.rng.random() < 0.6 else self.pick('file')
        if not path:
            return
        before = self.tick()
        function = self.rng.choice((os.fsync, os.fdatasync))
        _when, _ = self.call(self._with, path, (lambda fd: None) if self.lie else function)
        self.settle()
        found = self.model.resolve(path)
        found.syncs[:] = [(before, before)]
        found.range_syncs.clear()
        found.content[:] = found.content[-1:]    # none has begun since

    op_sync_more = op_sync

    def op_sync_directory(self):
        path = self.pick('dir') or '.'

        def sync():
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        self.call(sync)
        self.settle()

    def op_hold(self):
        path = self.pick('file')
        if not path:
            return
        number = self.model.resolve(path).number
        if number in self.held:
            self.close(self.held.pop(number))
        elif len(self.held) < 4:
            _when, fd = self.call(os.open, path, os.O_RDWR | os.O_CLOEXEC)
            self.settle()
            self.held[number] = fd

    # The process.

    def work(self, progress, rest):
        """Until the daemon is gone. progress: shared, counts operations. rest: after so many it only waits."""
        operations = [getattr(self, name) for name in sorted(dir(self)) if name.startswith('op_')] + [self.seek] * self.seeks
        done = 0
        try:
            self.call(os.chdir, os.path.join(self.mount, self.name))
            self.settle()
            while True:
                if done < 6:
                    self.op_create()
                self.rng.choice(operations)()
                done += 1
                with progress.get_lock():
                    progress.value += 1
                while done == rest:
                    self._poll()
                    time.sleep(0.003)
        except Dead:
            pass

    def _poll(self):
        """Is it still there? Attributes the kernel may know."""
        self.call(os.statvfs, '.')
        self.settle()

    def leave(self):
        os.chdir('/')
        for fd in self.held.values():
            try:
                os.close(fd)
            except OSError:
                pass
        self.held.clear()

    def check(self):
        """(findings, promises) of what is there now."""
        checker = Checker(self.model, EVER, os.path.join(self.mount, self.name))
        findings = [f'{f.kind}: {self.name}/{f.path.lstrip("/")}: {f.what}' for f in checker.run()]
        return findings, checker.promises


def process(connection, mount, name, seed, options, progress, rest):
    """What a worker does: works until the daemon is gone, then answers "leave", "check" and "end"."""
    load = Load(mount, name, seed, options.lie, options.seeks)
    try:
        load.work(progress, rest)
        connection.send(('died', load.died, load.calls, load.wrong))
    except Exception as e:  # pylint: disable=broad-except
        connection.send(('failed', f'{type(e).__name__}: {e}', load.calls, load.wrong))
    while True:
        what = connection.recv()
        if what == 'leave':
            load.leave()
            connection.send('left')
        elif what == 'check':
            try:
                connection.send(load.check())
            except Exception as e:  # pylint: disable=broad-except
                connection.send(([f'check: {type(e).__name__}: {e}'], 0))
        else:
            return
