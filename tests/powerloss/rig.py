# SPDX-License-Identifier: Apache-2.0
"""The recorded device, the filesystem on it, and what is under test on that: nothing (bare), xtsfs, gocryptfs, or a
command. All mounts are in a mount namespace of the rig's own and go with it."""
import ctypes
import os
import shutil
import signal
import subprocess
import time

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS = 0x00020000
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get('BUILD_DIR', os.path.join(TOP, 'build'))
SIZES = {'ext4': 96 << 20, 'xfs': 320 << 20, 'btrfs': 256 << 20}
MKFS = {
    'ext4': ['mkfs.ext4', '-q', '-b', '4096', '-J', 'size=4', '-E', 'lazy_itable_init=0,lazy_journal_init=0,nodiscard'],
    'xfs': ['mkfs.xfs', '-q', '-K'],
    'btrfs': ['mkfs.btrfs', '-q', '-K', '-m', 'single', '-d', 'single'],
}
CHEAP = ['--kdf-time', '1', '--kdf-memory', '8M', '--kdf-parallel', '1']


class Failed(Exception):
    pass


def call(*command, **options):
    """Output of a command that must succeed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if done.returncode:
        raise Failed(f'{" ".join(command)}: exit {done.returncode}: {done.stdout.decode(errors="replace").strip()}')
    return done.stdout


def private_mounts():
    if LIBC.unshare(CLONE_NEWNS):
        raise Failed('no mount namespace of our own; root is needed')
    call('mount', '--make-rprivate', '/')


def umount(where):
    """The daemon behind it may hold the directory for a moment after its own umount."""
    deadline = time.monotonic() + 20
    while True:
        try:
            call('umount', where)
            return
        except Failed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def wait_gone(pid):
    deadline = time.monotonic() + 30
    while os.path.exists(f'/proc/{pid}'):
        with open(f'/proc/{pid}/stat') as f:
            if f.read().rpartition(')')[2].split()[0] == 'Z':
                return
        if time.monotonic() > deadline:
            raise Failed(f'process {pid} does not end')
        time.sleep(0.005)


def loop_of(path):
    return call('losetup', '--show', '-f', path).decode().strip()


class Recorder:
    """A loop device on a file that qemu-storage-daemon exports, which logs every write and flush."""

    def __init__(self, work, fs):
        self.size = SIZES[fs]
        self.log = os.path.join(work, 'log')
        self.disk = os.path.join(work, 'disk')
        self.export = os.path.join(work, 'export')
        self.pidfile = os.path.join(work, 'qsd.pid')
        self.device = None
        for path, size in ((self.disk, self.size), (self.log, 0), (self.export, 0)):
            with open(path, 'wb') as f:
                f.truncate(size)

    def start(self):
        call('qemu-storage-daemon', '--blockdev', f'driver=file,node-name=disk,filename={self.disk}',
             '--blockdev', f'driver=file,node-name=log,filename={self.log}',
             '--blockdev', 'driver=blklogwrites,node-name=top,file=disk,log=log,log-sector-size=512,'
             'log-super-update-interval=1',
             '--export', f'type=fuse,id=export,node-name=top,mountpoint={self.export},writable=on',
             '--pidfile', self.pidfile, '--daemonize')
        self.device = loop_of(self.export)

    def stop(self):
        if self.device:
            call('losetup', '-d', self.device)
            self.device = None
        if os.path.exists(self.pidfile):
            with open(self.pidfile) as f:
                pid = int(f.read())
            os.kill(pid, signal.SIGTERM)
            wait_gone(pid)


class Bare:
    """The backing filesystem itself: shows that the checker is right."""
    name = 'bare'
    has_fsck = False
    rounds = False  # check.py

    def __init__(self, options):
        self.options = options

    def make(self, backing):
        os.mkdir(os.path.join(backing, 'plain'))

    def files(self, backing):
        """Where its own files are, for the page cache's doings."""
        return os.path.join(backing, 'plain')

    def start(self, backing, where, read_only=False, secrets=None):
        return os.path.join(backing, 'plain')

    def stop(self):
        pass

    def change_keys(self, backing):
        """A function that runs a verb on the volume's keyslots, or None."""
        return None

    def kill_and_repair(self, backing):
        """A function that kills the daemon, repairs the volume and mounts it again, or None."""
        return None


class Command(Bare):
    """--mount: a command with {source} and {mountpoint}, which returns when it is mounted."""
    name = 'command'

    def __init__(self, options):
        super().__init__(options)
        self.where = None

    def start(self, backing, where, read_only=False, secrets=None):
        command = self.options.mount.format(source=self.files(backing), mountpoint=where)
        call('/bin/sh', '-c', command)
        if not os.path.ismount(where):
            raise Failed(f'{command}: nothing is mounted')
        self.where = where
        return where

    def stop(self):
        if self.where:
            umount(self.where)
            self.where = None


class Gocryptfs(Command):
    name = 'gocryptfs'

    def make(self, backing):
        super().make(backing)
        self.passfile = self.options.secret('one')
        call('gocryptfs', '-q', '-init', '-scryptn', '10', '-passfile', self.passfile, self.files(backing))

    def start(self, backing, where, read_only=False, secrets=None):
        call('gocryptfs', '-q', '-passfile', self.options.secret('one'), *(['-ro'] if read_only else []), self.files(backing),
             where)
        self.where = where
        return where


class Xtsfs(Bare):
    name = 'xtsfs'
    has_fsck = rounds = True

    def __init__(self, options):
        super().__init__(options)
        self.where = self.pidfile = None

    def files(self, backing):
        return os.path.join(backing, 'vol')

    def ctl(self, *arguments):
        return subprocess.run([os.path.join(BUILD, 'xtsfsctl'), *arguments], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def must(self, *arguments):
        done = self.ctl(*arguments)
        if done.returncode:
            raise Failed(f'xtsfsctl {arguments[0]}: exit {done.returncode}: {done.stderr.decode().strip()}')
        return done.stdout

    def make(self, backing):
        self.must('init', '--quiet', '--integrity', self.options.integrity, '--passfile', self.options.secret('one'), *CHEAP,
                  self.files(backing))

    def change_keys(self, backing):
        def change(*words):
            words = [self.options.secret(w) if before.endswith('passfile') else w
                     for before, w in zip(('',) + words, words)]
            after = [self.options.secret('backup')] if words[0] == 'header' else []
            self.must(*words, '--quiet', *(CHEAP if '--new-passfile' in words else []), self.files(backing), *after)
        return change

    def kill_and_repair(self, backing):
        def kill():
            where = self.where
            with open(self.pidfile) as f:
                pid = int(f.read())
            os.kill(pid, signal.SIGKILL)
            wait_gone(pid)
            umount(where)
            done = self.ctl('fsck', '--repair', '--passfile', self.options.secret('one'), self.files(backing))
            if done.returncode & ~1:
                raise Failed(f'fsck --repair: exit {done.returncode}: {done.stdout.decode()}')
            self.start(backing, where)
        return kill

    def opens(self, backing, name):
        return self.ctl('info', '--verify', '--passfile', self.options.secret(name), self.files(backing)).returncode == 0

    def start(self, backing, where, read_only=False, secrets=('one',)):
        """With the first of the secrets that opens it."""
        self.pidfile = where + '.pid'
        for name in secrets:
            done = subprocess.run(
                [os.path.join(BUILD, 'xtsfs'), '-o', f'passfile={self.options.secret(name)},pidfile={self.pidfile}'
                 + (',ro' if read_only else ''), self.files(backing), where], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                env=dict(os.environ, XTSFS_LOG_FILE=where + '.log'))
            if done.returncode == 0:
                self.where, self.secret_used = where, name
                return where
            if done.returncode != 3:
                break
        raise Failed(f'xtsfs: exit {done.returncode}: {done.stderr.decode().strip()}')

    def stop(self):
        if not self.where:
            return
        try:
            with open(self.pidfile) as f:
                pid = int(f.read())
        except OSError:
            pid = None
        umount(self.where)
        if pid:
            wait_gone(pid)
        self.where = None


SUBJECTS = {'bare': Bare, 'command': Command, 'gocryptfs': Gocryptfs, 'xtsfs': Xtsfs}


def remove_tree(path):
    shutil.rmtree(path, ignore_errors=True)
