# SPDX-License-Identifier: Apache-2.0
"""What a case has left behind, found through /proc and /sys: processes, mounts, loop devices.

The supervisor of a case is a child subreaper, so whatever the case starts stays its descendant however often
it forks, changes session or daemonises: the exactness of a cgroup without needing one.  Processes that merely
use the work directory (a file open in it, their cwd in it) are looked for as well.
"""
import ctypes
import glob
import os
import re
import signal
import subprocess
import time

CLONE_NEWNS = 0x20000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8
_libc = ctypes.CDLL(None, use_errno=True)


def become_supervisor():
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    # A mount namespace that somebody else makes meanwhile would have a copy of the case's mounts, and keep their daemons
    # running after the case unmounted them. In one of its own nobody copies them.
    if os.geteuid() == 0 and _libc.unshare(CLONE_NEWNS) == 0:
        _libc.mount(None, b'/', None, MS_REC | MS_PRIVATE, None)


class Process:
    def __init__(self, pid):
        with open(f'/proc/{pid}/stat', 'rb') as f:
            stat = f.read()
        fields = stat[stat.rindex(b')') + 2:].split()       # comm may hold spaces and parentheses
        self.pid = pid
        self.comm = stat[stat.index(b'(') + 1:stat.rindex(b')')].decode(errors='replace')
        self.state = fields[0].decode()
        self.ppid = int(fields[1])
        self.session = int(fields[3])
        self.start = int(fields[19])

    @property
    def is_alive(self):
        return self.state not in 'ZX'

    def uses(self, directory):
        links = [f'/proc/{self.pid}/{x}' for x in ('cwd', 'root', 'exe')]
        try:
            links += [f'/proc/{self.pid}/fd/{fd}' for fd in os.listdir(f'/proc/{self.pid}/fd')]
        except OSError:
            pass                                            # not ours to look at, or gone
        return any(is_under(_readlink(link), directory) for link in links)

    def describe(self):
        try:
            with open(f'/proc/{self.pid}/cmdline', 'rb') as f:
                words = f.read().rstrip(b'\0').replace(b'\0', b' ').decode(errors='replace')
        except OSError:
            words = ''
        return f'{self.pid} {self.state} {(words or self.comm)[:100]}'


def is_under(path, directory):
    return path == directory or path.startswith(directory + '/')


def _readlink(path):
    try:
        return os.readlink(path)
    except OSError:
        return ''


def _snapshot():
    table = {}
    for name in os.listdir('/proc'):
        if name.isdigit():
            try:
                table[int(name)] = Process(int(name))
            except (OSError, ValueError):
                pass
    return table


def processes(work, session, remembered):
    """Live processes of a case.  `remembered`: [(pid, start time)] of its daemons."""
    table = _snapshot()
    me = os.getpid()
    ancestors = set()
    pid = me
    while pid in table:
        ancestors.add(pid)
        pid = table[pid].ppid

    def is_descendant(p):
        while p is not None and p.pid != me:
            p = table.get(p.ppid)
        return p is not None

    return [p for p in table.values() if p.is_alive and p.pid not in ancestors
            and (p.session == session or (p.pid, p.start) in remembered or is_descendant(p) or p.uses(work))]


def kill(victims):
    for p in victims:
        try:
            if Process(p.pid).start == p.start:
                os.kill(p.pid, signal.SIGKILL)
        except (OSError, ValueError):
            pass


def hang_report(victims):
    lines = []
    for p in victims:
        lines.append(p.describe())
        for name in ('wchan', 'stack'):
            try:
                with open(f'/proc/{p.pid}/{name}', encoding='utf-8') as f:
                    lines += [f'    {name}: {line}' for line in f.read().splitlines()]
            except OSError:
                pass
    return '\n'.join(lines) + '\n'


def mounts(work):
    """Mount points under the work directory, in mount order."""
    found = []
    with open('/proc/self/mountinfo', encoding='utf-8', errors='surrogateescape') as f:
        for line in f:
            path = re.sub(r'\\([0-7]{3})', lambda m: chr(int(m.group(1), 8)), line.split(' ')[4])
            if is_under(path, work):
                found.append(path)
    return found


def loops(work):
    """Loop devices on files under the work directory."""
    found = []
    for name in glob.glob('/sys/block/loop*/loop/backing_file'):
        try:
            with open(name, encoding='utf-8') as f:
                if is_under(f.read().strip(), work):
                    found.append('/dev/' + name.split('/')[3])
        except OSError:
            pass
    return found


def release(work):
    """Detach what is mounted under the work directory and its loop devices; never waits for a daemon."""
    for path in reversed(mounts(work)):
        if _libc.umount2(os.fsencode(path), MNT_DETACH | UMOUNT_NOFOLLOW) != 0:
            _try(['fusermount3', '-uzq', path])
    for device in loops(work):
        _try(['losetup', '-d', device])
    for _ in range(20):                     # the kernel frees a loop device a little later
        if not loops(work):
            break
        time.sleep(0.1)


def _try(command):
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        pass
