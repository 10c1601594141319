# SPDX-License-Identifier: Apache-2.0
"""What is done at one point: the disk as it is then, its filesystem mounted, the volume opened and compared with the
promises, checked by fsck, repaired, checked and compared again."""
import collections
import ctypes
import json
import os
import stat
import time

import blocklog
import rig
from check import Checker, Finding

Result = collections.namedtuple('Result', 'number promises broken unsynced reported seconds')
# broken: findings; unsynced: how many things never synced were unreadable; reported: how many of them by fsck
MOUNT_OPTIONS = {'ext4': 'noatime', 'xfs': 'noatime,nouuid', 'btrfs': 'noatime'}


def change(path):
    """Part of a page and part of the last one, and some more; returns what the file then has. Every other file is only read."""
    with open(path, 'rb') as f:
        content = f.read()
    number = len(content) + sum(path.encode())
    if number % 2:
        return content
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        for at, data in ((number % (len(content) + 1), b'a' * 100), (len(content), b'b' * (number % 5000))):
            os.pwrite(fd, data, at)
            content = content[:at] + data + content[at + len(data):]
    finally:
        os.close(fd)
    return content


class Bench:
    """Where one worker works: an image on a loop device, and mount points."""

    def __init__(self, work, options, recording):
        self.options, self.recording = options, recording
        self.subject = rig.SUBJECTS[options.subject](options)
        self.backing, self.where = os.path.join(work, 'backing'), os.path.join(work, 'mnt')
        for path in (work, self.backing, self.where):
            os.mkdir(path)
        self.log_fd = os.open(recording.log, os.O_RDONLY | os.O_CLOEXEC)
        self.disk = blocklog.Disk(self.log_fd, recording.entries, os.path.join(work, 'base'), recording.size)
        self.image_fd = os.open(os.path.join(work, 'image'), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        os.ftruncate(self.image_fd, recording.size)
        self.device = rig.loop_of(os.path.join(work, 'image'))

    def close(self):
        rig.call('losetup', '-d', self.device)

    def _mount(self):
        if rig.LIBC.mount(self.device.encode(), self.backing.encode(), self.options.fs.encode(), 1024,
                          MOUNT_OPTIONS[self.options.fs].replace('noatime,', '').replace('noatime', '').encode() or None):
            raise rig.Failed(f'{self.options.fs} cannot be mounted: {os.strerror(ctypes.get_errno())}')

    def _compare(self, point, read_only):
        model = self.recording.model
        secrets, _sure = model.secrets.allowed(model.secret_syncs, point.count, initial=('one',))
        wrong = self._secrets(secrets)
        if wrong:
            return wrong, 1
        try:
            root = self.subject.start(self.backing, self.where, read_only, self.secrets)
        except rig.Failed as e:
            return [Finding('volume', '/', f'cannot be mounted: {e}')], 1
        try:
            checker = Checker(model, point.count, root, self.subject.rounds)
            findings = checker.run()
        finally:
            self.subject.stop()
            self._show_log()
        return findings, checker.promises

    def _secrets(self, allowed):
        """Which secrets open the volume must be one of the sets that are allowed. Leaves in self.secrets what does."""
        self.secrets = ['one']
        names = sorted({name for _b, _e, _p, value in self.recording.model.secrets for name in value})
        if len(names) < 2 or not self.subject.has_fsck:
            return []
        self.secrets = [name for name in names if self.subject.opens(self.backing, name)]
        if set(self.secrets) in [set(a) for a in allowed]:
            return []
        return [Finding('keys', '/', f'opened by {self.secrets}, not by {" or ".join(map(str, allowed))}')]

    def _show_log(self):
        if self.options.verbose and os.path.exists(self.where + '.log'):
            with open(self.where + '.log', encoding='utf-8', errors='replace') as f:
                print(''.join('    ' + line for line in f), end='')
            os.truncate(self.where + '.log', 0)

    def run(self, point):
        begun = time.monotonic()
        self.disk.image(point, self.image_fd)
        try:
            self._mount()
        except rig.Failed as e:
            return Result(point.number, 0, [Finding('backing', '/', str(e))], 0, 0, time.monotonic() - begun)
        try:
            findings, promises = self._compare(point, read_only=True)
            broken = [f for f in findings if f.kind != 'unsynced']
            unsynced = [f for f in findings if f.kind == 'unsynced']
            reported = 0
            if self.options.verbose:
                for f in unsynced:
                    print(f'  {point.number}: never synced: {f.path}: {f.what}')
            if self.subject.has_fsck and not any(f.kind in ('volume', 'keys') for f in findings):
                if point.number % 4 == 3:
                    broken += self._write_on(findings)
                    unsynced = []
                else:
                    reported = self._fsck(point, findings, broken, unsynced)
        finally:
            rig.umount(self.backing)
        return Result(point.number, promises, broken, len(unsynced), reported, time.monotonic() - begun)

    # Going on without a repair, as most people do.

    def _write_on(self, findings):
        """Overwrites and appends to files that can be read; what was not touched stays, also after a repair."""
        touched = ['/' + f.path.lstrip('/') for f in findings]
        wanted, found, seen = {}, [], set()
        try:
            root = self.subject.start(self.backing, self.where, False, self.secrets)
            try:
                for base, dirs, names in os.walk(root):
                    dirs.sort()
                    for name in sorted(names):
                        path = os.path.join(base, name)
                        st = os.lstat(path)
                        if '/' + os.path.relpath(path, root) not in touched and stat.S_ISREG(st.st_mode) \
                                and st.st_ino not in seen:
                            seen.add(st.st_ino)
                            wanted[os.path.relpath(path, root)] = change(path)
            finally:
                self.subject.stop()
                self._show_log()
            found += self._read_back(wanted, 'after writing on')
            self._ctl_fsck('--repair')
            status, told = self._ctl_fsck('--repair', '--zero')
            status, told = self._ctl_fsck()
            if status:
                found.append(Finding('fsck', '/', f'exit {status} after writing on and repair: '
                                     + '; '.join(f'{i["path"]}: {i["code"]}' for i in told[:3])))
            found += self._read_back(wanted, 'after writing on and repair')
        except (rig.Failed, OSError) as e:
            found.append(Finding('after', '/', f'cannot be written on: {e}'))
        return found

    def _read_back(self, wanted, when):
        root, found = self.subject.start(self.backing, self.where, True, self.secrets), []
        try:
            for path, content in wanted.items():
                try:
                    with open(os.path.join(root, path), 'rb') as f:
                        same = f.read() == content
                except OSError as e:
                    found.append(Finding('after', path, f'{when}: {os.strerror(e.errno)}'))
                    continue
                if not same:
                    found.append(Finding('after', path, f'{when}: other content'))
        finally:
            self.subject.stop()
        return found

    # fsck.

    def _ctl_fsck(self, *arguments):
        done = self.subject.ctl('fsck', '--json', '--threads', '1', *arguments, '--passfile',
                                self.options.secret(self.subject.secret_used), self.subject.files(self.backing))
        try:
            told = json.loads(done.stdout)['findings']
            if self.options.verbose:
                print(f'  fsck {" ".join(arguments)}: exit {done.returncode}')
                for item in told:
                    print('   ', item['severity'], item['path'], item['code'], item['detail'], '|', item['outcome'],
                          item['action'])
            return done.returncode, told
        except (ValueError, KeyError):
            raise rig.Failed(f'fsck: exit {done.returncode}: {done.stderr.decode().strip()}') from None

    def _fsck(self, point, findings, broken, unsynced):
        try:
            return self._fsck_steps(point, findings, broken, unsynced)
        except rig.Failed as e:
            broken.append(Finding('fsck', '/', str(e)))
            return 0

    def _fsck_steps(self, point, findings, broken, unsynced):
        unreadable = {'/' + f.path.lstrip('/') for f in findings}
        if point.number % 8 == 0:  # what it says without a repair is the same, and costs time
            status, told = self._ctl_fsck()
            status, again = self._ctl_fsck('--repair')
            if {(i['path'], i['code']) for i in told} - {(i['path'], i['code']) for i in again}:
                broken.append(Finding('fsck', '/', 'with --repair it does not see what it saw without'))
        else:
            status, told = self._ctl_fsck('--repair')
        if status & ~5:
            broken.append(Finding('fsck', '/', f'exit {status}'))
        for item in told:
            path = '/' + item['path'].lstrip('/')
            if item['severity'] == 'error' and not any(path == u or u == '/' or path.startswith(u + '/') for u in unreadable):
                broken.append(Finding('fsck', path, f'{item["code"]}: {item["detail"]}'))
        reported = sum(any('/' + i['path'].lstrip('/') == '/' + u.path.lstrip('/') for i in told) for u in unsynced)
        if status & 4:
            status, told = self._ctl_fsck('--repair', '--zero')
        status, told = self._ctl_fsck()
        if status:
            broken.append(Finding('fsck', '/', f'exit {status} after repair: '
                                  + '; '.join(f'{i["path"]}: {i["code"]}' for i in told[:3])))
        again, _promises = self._compare(point, read_only=False)
        known = {(f.path) for f in findings}
        for found in again:
            if found.kind == 'back' and os.path.basename(found.path).startswith('xtsfs-recovered-'):
                continue  # what --zero calls the entries of a directory that was never synced
            if found.kind == 'unsynced':
                broken.append(Finding('fsck', found.path, f'still unreadable after repair: {found.what}'))
            elif found.path not in known:
                broken.append(Finding('repair', found.path, f'by repair: {found.kind}: {found.what}'))
        return reported
