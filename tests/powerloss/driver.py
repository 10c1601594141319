# SPDX-License-Identifier: Apache-2.0
"""The calls a workload makes, each done on the mount and noted in the model, and between them the page cache's own
doings: pages that the kernel writes back at times of its choosing, in an order of its choosing."""
import ctypes
import os
import random
import threading

import blocklog
from model import ANY, Model

LIBC = ctypes.CDLL(None, use_errno=True)
SYNC_FILE_RANGE_ALL = 7
PUNCH_HOLE_KEEP_SIZE, ZERO_RANGE = 3, 16
AT_FDCWD, RENAME_NOREPLACE, RENAME_EXCHANGE = -100, 1, 2
PAGE = 4096


def _check(result):
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class Driver:
    """Paths are relative to the mount. lie: syncs are noted and not made, to see the checker find it."""

    def __init__(self, root, backing, other, log_fd, seed, lie=False):
        self.root, self.backing, self.other, self.log_fd, self.lie = root, backing, other, log_fd, lie
        self.rng = random.Random(seed)
        self.quiet = random.Random(seed + 1)
        self.model = Model()
        self.lock = threading.Lock()
        self.clock = 0
        self.held = {}
        self.shaking = True
        self.calls = 0
        self.change_keys = self.after_unmount = self.kill_and_repair = None

    # Time.

    def _tick(self):
        with self.lock:
            self.clock += 1
            return self.clock

    def _begin(self):
        self.calls += 1
        return self._tick(), blocklog.position(self.log_fd)

    def _when(self, begun):
        return begun[0], self._tick(), begun[1]

    def _sync(self, begun):
        return begun[0], blocklog.position(self.log_fd)

    def path(self, name):
        return os.path.join(self.root, name)

    def data(self, size):
        return self.rng.randbytes(size)

    # A file kept open: its pages stay in the mount's cache, and the daemon does not settle it between calls.

    def hold(self, name):
        self.held[self.model.resolve(name).number] = os.open(self.path(name), os.O_RDWR | os.O_CLOEXEC)

    def release(self, name):
        os.close(self.held.pop(self.model.resolve(name).number))

    def release_all(self):
        while self.held:
            os.close(self.held.popitem()[1])

    def _open(self, name, flags):
        with self.lock:
            held = self.held.get(self.model.resolve(name).number)
        if held is not None and not flags & (os.O_SYNC | os.O_DIRECTORY):
            return os.dup(held)
        return os.open(self.path(name), flags | os.O_CLOEXEC)

    # Content.

    def _touch(self, found, when):
        found.attribute('mtime').add(*when, ANY)

    def create(self, name, mode=0o644):
        begun = self._begin()
        os.close(os.open(self.path(name), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode))
        when = self._when(begun)
        with self.lock:
            key = self.model.key(name)
            found = self.model.new('file', when)
            found.attribute('mode').add(*when, mode)
            self._touch(found, when)
            self.model.set_name(when, key, found.number, made=True)
        self._shake(name)

    def _changed(self, name, begun, content):
        found = self.model.resolve(name)
        when = self._when(begun)
        found.content.add(*when, content)
        self._touch(found, when)
        return found

    def content(self, name):
        return self.model.resolve(name).content[-1][3]

    def write(self, name, offset, data, flags=0):
        """flags: O_SYNC or O_DSYNC make it a promise."""
        old = self.content(name)
        begun = self._begin()
        fd = self._open(name, os.O_WRONLY | (0 if self.lie else flags))
        try:
            if os.pwrite(fd, data, offset) != len(data):
                raise OSError('short write')
        finally:
            os.close(fd)
        new = old[:offset] + bytes(max(0, offset - len(old))) + data + old[offset + len(data):]
        found = self._changed(name, begun, new)
        if flags & os.O_DSYNC:
            # What it wrote itself is promised too: as if a sync had begun after it.
            sync = (self._tick(), blocklog.position(self.log_fd))
            found.range_syncs.append((*sync, offset, offset + len(data)))
            if flags & os.O_SYNC == os.O_SYNC:
                found.attribute_syncs.append(sync)
        self._shake(name)

    def append(self, name, data, flags=0):
        self.write(name, len(self.content(name)), data, flags)

    def truncate(self, name, size):
        old = self.content(name)
        begun = self._begin()
        os.truncate(self.path(name), size)
        self._changed(name, begun, old[:size] + bytes(max(0, size - len(old))))
        self._shake(name)

    def _fallocate(self, name, mode, offset, size):
        old = self.content(name)
        begun = self._begin()
        fd = self._open(name, os.O_RDWR)
        try:
            _check(LIBC.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(size)))
        finally:
            os.close(fd)
        if mode == PUNCH_HOLE_KEEP_SIZE:
            end = min(offset + size, len(old))
            new = old[:offset] + bytes(max(0, end - offset)) + old[end:]
        else:
            new = old[:offset] + bytes(max(0, offset - len(old))) + bytes(size) + old[offset + size:]
        self._changed(name, begun, new)
        self._shake(name)

    def punch(self, name, offset, size):
        self._fallocate(name, PUNCH_HOLE_KEEP_SIZE, offset, size)

    def zero_range(self, name, offset, size):
        self._fallocate(name, ZERO_RANGE, offset, size)

    # Promises.

    def _call_sync(self, name, call, flags=os.O_RDONLY):
        begun = self._begin()
        if not self.lie:
            fd = self._open(name, flags)
            try:
                call(fd)
            finally:
                os.close(fd)
        with self.lock:
            return self._sync(begun)

    def fsync(self, name):
        sync = self._call_sync(name, os.fsync)
        with self.lock:
            found = self.model.resolve(name)
            found.syncs.append(sync)
            found.attribute_syncs.append(sync)
            self.model.sync_names_of(found, sync)

    def fdatasync(self, name):
        sync = self._call_sync(name, os.fdatasync)
        with self.lock:
            found = self.model.resolve(name)
            found.syncs.append(sync)
            self.model.sync_names_of(found, sync)

    def fsync_dir(self, name=''):
        sync = self._call_sync(name, os.fsync, os.O_RDONLY | os.O_DIRECTORY)
        with self.lock:
            found = self.model.resolve(name)
            self.model.sync_entries_of(found, sync)
            found.attribute_syncs.append(sync)
            self.model.sync_names_of(found, sync)

    def syncfs(self):
        sync = self._call_sync('', lambda fd: _check(LIBC.syncfs(fd)))
        with self.lock:
            self.model.global_syncs.append(sync)

    def sync_file_range(self, name, offset, size):
        """Promises nothing, as its manual page says: neither the disk's cache nor anything of the metadata."""
        begun = self._begin()
        self._write_back(self.path(name), offset, size)
        return begun

    # Names.

    def mkdir(self, name, mode=0o755):
        begun = self._begin()
        os.mkdir(self.path(name), mode)
        when = self._when(begun)
        with self.lock:
            key = self.model.key(name)
            found = self.model.new('dir', when)
            found.attribute('mode').add(*when, mode)
            self.model.set_name(when, key, found.number, made=True)
        self._shake(None)

    def symlink(self, target, name):
        begun = self._begin()
        os.symlink(target, self.path(name))
        when = self._when(begun)
        with self.lock:
            found = self.model.new('symlink', when, os.fsencode(target))
            self.model.set_name(when, self.model.key(name), found.number, made=True)
        self._shake(None)

    def link(self, old, new):
        begun = self._begin()
        os.link(self.path(old), self.path(new))
        when = self._when(begun)
        with self.lock:
            self.model.set_name(when, self.model.key(new), self.model.resolve(old).number)
        self._shake(None)

    def _removed(self, name, begun):
        when = self._when(begun)
        with self.lock:
            self.model.set_name(when, self.model.key(name), None)
        self._shake(None)

    def unlink(self, name):
        begun = self._begin()
        os.unlink(self.path(name))
        self._removed(name, begun)

    def rmdir(self, name):
        begun = self._begin()
        os.rmdir(self.path(name))
        self._removed(name, begun)

    def rename(self, old, new):
        begun = self._begin()
        os.rename(self.path(old), self.path(new))
        when = self._when(begun)
        with self.lock:
            moved = self.model.resolve(old).number
            old_key, new_key = self.model.key(old), self.model.key(new)
            self.model.set_name(when, new_key, moved)
            self.model.set_name(when, old_key, None)
        self._shake(None)

    def exchange(self, one, other):
        begun = self._begin()
        _check(LIBC.renameat2(AT_FDCWD, os.fsencode(self.path(one)), AT_FDCWD, os.fsencode(self.path(other)),
                              RENAME_EXCHANGE))
        when = self._when(begun)
        with self.lock:
            first, second = self.model.resolve(one).number, self.model.resolve(other).number
            one_key, other_key = self.model.key(one), self.model.key(other)
            self.model.set_name(when, one_key, second)
            self.model.set_name(when, other_key, first)
        self._shake(None)

    # Attributes.

    def chmod(self, name, mode):
        begun = self._begin()
        os.chmod(self.path(name), mode)
        self.model.resolve(name).attribute('mode').add(*self._when(begun), mode)
        self._shake(None)

    def utimens(self, name, mtime_ns):
        begun = self._begin()
        os.utime(self.path(name), ns=(mtime_ns, mtime_ns))
        self.model.resolve(name).attribute('mtime').add(*self._when(begun), mtime_ns)
        self._shake(None)

    def setxattr(self, name, attribute, value):
        begun = self._begin()
        os.setxattr(self.path(name), attribute, value)
        self.model.resolve(name).attribute(attribute).add(*self._when(begun), value)
        self._shake(None)

    def removexattr(self, name, attribute):
        begun = self._begin()
        os.removexattr(self.path(name), attribute)
        self.model.resolve(name).attribute(attribute).add(*self._when(begun), None)
        self._shake(None)

    # Secrets of the volume: what runs is a command that returns when the change is durable.

    def secrets(self, names, command=None):
        begun = self._begin()
        if command:
            command()
        self.model.secrets.add(*self._when(begun), tuple(names))
        self.model.secret_syncs.append((self._tick(), blocklog.position(self.log_fd)))

    # The page cache. Nothing here promises anything.

    def _write_back(self, path, offset, size):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            _check(LIBC.sync_file_range(fd, ctypes.c_long(offset), ctypes.c_long(size), SYNC_FILE_RANGE_ALL))
        finally:
            os.close(fd)

    def _shake(self, name):
        if not self.shaking or threading.current_thread() is not threading.main_thread():
            return
        chance = self.quiet.random()
        try:
            if chance < 0.12 and name and self.root != self.backing:
                self._write_back(self.path(name), 0, 0)
            if chance < 0.10 or 0.12 <= chance < 0.20:
                self._write_back_some()
            elif 0.20 <= chance < 0.24:
                self.commit()
        except OSError:
            pass  # the file has just gone

    def _write_back_some(self):
        files = []
        for base, _dirs, names in os.walk(self.backing):
            files += [os.path.join(base, n) for n in names]
        files = [f for f in sorted(files) if os.path.isfile(f) and not os.path.islink(f)]
        # Those changed last, most of the time.
        files.sort(key=os.path.getmtime)
        for _ in range(3):
            if not files:
                return
            path = files[-1 - int(len(files) * self.quiet.random() ** 3)]
            pages = os.path.getsize(path) // PAGE + 1
            first = self.quiet.randrange(pages)
            self._write_back(path, first * PAGE, self.quiet.randint(1, 4) * PAGE)

    def commit(self):
        """What another program's fsync does: the journal is committed, our data is not written."""
        fd = os.open(self.other, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(fd, self.quiet.randbytes(100), 0)
            os.fsync(fd)
        finally:
            os.close(fd)
