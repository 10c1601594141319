# SPDX-License-Identifier: Apache-2.0
"""Comparing what is there after a crash with what was promised."""
import collections
import errno
import os
import stat

from model import ANY, PAGE, ContentAt

Finding = collections.namedtuple('Finding', 'kind path what')
# Kinds: README.md; all but "unsynced" are broken promises.
KINDS = {'file': stat.S_ISREG, 'dir': stat.S_ISDIR, 'symlink': stat.S_ISLNK}


def _error(e):
    return errno.errorcode.get(e.errno, str(e.errno))


class Checker:
    def __init__(self, model, count, root, rounds=False):
        """rounds: one that was to become 4081 to 4095 bytes longer than whole pages, and was not synced, may be as long as the
        next whole page (the format page, 9.7: half of the length is durable, and no content that tells)."""
        self.model, self.count, self.root, self.rounds = model, count, root, rounds
        self.findings = []
        self.promises = 0
        self.seen = collections.defaultdict(list)    # number of an object to the keys where it was found
        self.inodes = {}
        self.unsure = set()                          # keys of which it is not told which object is there
        self.children = collections.defaultdict(list)
        for key in model.names:
            self.children[key[0]].append(key)

    def run(self):
        self._directory(self.model.objects[self.model.root], '')
        self._reachable()
        return self.findings

    def _say(self, kind, path, what):
        self.findings.append(Finding(kind, path or '/', what))

    # Names.

    def _directory(self, found, path):
        try:
            names = set(os.listdir(os.path.join(self.root, path)))
        except OSError as e:
            self._say('EIO' if self._is_promised(found) else 'unsynced', path, f'directory cannot be listed: {_error(e)}')
            return
        self._attributes(found, os.path.join(self.root, path), path)
        for key in sorted(self.children[found.number], key=lambda k: k[1]):
            self._name(key, os.path.join(path, key[1]))
            names.discard(key[1])
        for name in sorted(names):
            self._say('back', os.path.join(path, name), 'a name that never was')

    def _is_promised(self, found):
        """Is some name of it sure?"""
        if found.number == self.model.root:
            return True
        for key in {k for _b, _e, p, keys in found.links if p <= self.count for k in keys}:
            values, sure = self.model.names[key].allowed(self.model.syncs_of_name(key), self.count)
            if sure and values[0] == found.number:
                return True
        return False

    def _name(self, key, path):
        values, sure = self.model.names[key].allowed(self.model.syncs_of_name(key), self.count)
        self.promises += sure
        full = os.path.join(self.root, path)
        try:
            st = os.lstat(full)
        except OSError as e:
            if e.errno != errno.ENOENT:
                promised = sure and None not in values
                self._say('EIO' if promised else 'unsynced', path, f'stat: {_error(e)}')
                self.unsure.add(key)
            elif sure and None not in values:
                self._say('lost', path, 'the name is missing')
            return
        candidates = [v for v in dict.fromkeys(values) if v is not None and KINDS[self.model.objects[v].kind](st.st_mode)]
        if not candidates:
            if any(v is not None for v in values):
                self._say('name', path, 'is another type of file')
            elif sure:
                self._say('back', path, 'was removed, and that was synced')
            else:
                self._say('back', path, 'is there before it was made')
            return
        best, fits = None, 0
        for number in candidates:
            trial = Checker(self.model, self.count, self.root, self.rounds)
            trial.inodes = dict(self.inodes)
            trial.children = self.children
            trial.seen[number].append(key)
            trial._object(self.model.objects[number], full, path, st)
            if best is None or len(trial.findings) < len(best.findings):
                best = trial
            fits += not trial.findings
        self.findings += best.findings
        self.promises += best.promises
        for number, keys in best.seen.items():
            self.seen[number] += keys
        self.unsure |= best.unsure
        if len(candidates) > 1 and (best.findings or fits > 1): # two empty files, say, one renamed over the other
            self.unsure.add(key)
        self.inodes = best.inodes
        if len(candidates) == 1 and self.inodes.setdefault(candidates[0], (st.st_ino, path))[0] != st.st_ino:
            self._say('link', path, f'is no longer the same file as {self.inodes[candidates[0]][1]}')

    def _reachable(self):
        """What had a sure name, and always had one since, is somewhere."""
        for found in self.model.objects[1:]:
            floor = -1
            for key in {k for _b, _e, _p, keys in found.links for k in keys}:
                history, syncs = self.model.names[key], self.model.syncs_of_name(key)
                sure, _last = history.window(syncs, self.count)
                if sure >= 0 and history[sure][3] == found.number:
                    floor = max(floor, max(s[0] for s in syncs if s[1] <= self.count))
            if floor < 0 or found.number in self.seen:
                continue
            first, last = found.links.window([(floor, 0)], self.count)
            sets = [keys for _b, _e, _p, keys in found.links[max(first, 0):last + 1]]
            if all(sets) and not self.unsure & set().union(*sets):
                names = sorted({name for keys in sets for _d, name in keys})
                if not any(f.kind == 'lost' and os.path.basename(f.path) in names for f in self.findings):
                    self._say('lost', '|'.join(names), 'is under none of its names')

    # Objects.

    def _object(self, found, full, path, st):
        if found.kind == 'dir':
            self._directory(found, path)
            return
        if found.kind == 'symlink':
            try:
                target = os.fsencode(os.readlink(full))
                self.promises += 1
                if target != found.content[-1][3]:
                    self._say('content', path, f'symbolic link to {target[:40]!r}')
            except OSError as e:
                self._say('EIO', path, f'readlink: {_error(e)}')
            return
        self._content(found, full, path, st)
        self._attributes(found, full, path)

    def _content(self, found, full, path, st):
        at = ContentAt(self.model, found, self.count)
        self.promises += at.is_sure
        longest = at.longest
        if self.rounds and at.shortest < longest and longest % PAGE > 4080:
            longest += -longest % PAGE
        if not at.shortest <= st.st_size <= longest:
            self._say('length', path, f'{st.st_size}, not {at.shortest} to {at.longest}')
        promised = at.shortest > 0
        try:
            fd = os.open(full, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as e:
            self._say('EIO' if promised else 'unsynced', path, f'open: {_error(e)}')
            return
        try:
            self._pages(at, fd, path, st.st_size)
        finally:
            os.close(fd)

    def _pages(self, at, fd, path, size):
        try:
            data = os.pread(fd, size + 1, 0)
            if len(data) != size:  # cut short by an error
                data = None
        except OSError:
            data = None
        bad, broken = [], []
        for page in range((size + PAGE - 1) // PAGE):
            try:
                part = os.pread(fd, PAGE, page * PAGE) if data is None else data[page * PAGE:(page + 1) * PAGE]
            except OSError as e:
                bad.append((page, _error(e)))
                continue
            self.promises += at.page_is_sure(page)
            part = part[:size - page * PAGE]
            if len(part) != min(PAGE, size - page * PAGE):
                self._say('content', path, f'page {page} of {size} bytes: only {len(part)} bytes are read')
            elif not at.page_is_allowed(page, part):
                broken.append((page, part))
        for kind, pages in (('EIO', [b for b in bad if at.page_is_sure(b[0])]),
                            ('unsynced', [b for b in bad if not at.page_is_sure(b[0])])):
            if pages:
                self._say(kind, path, f'pages {_ranges(p for p, _ in pages)} of {size} bytes: {pages[0][1]}')
        garbage = [b for b in broken if at.page_is_allowed(b[0], b[1][:at.sure_bytes(b[0])])]
        for kind, pages in (('content', [b for b in broken if b not in garbage]), ('garbage', garbage)):
            if pages:
                zeros = sum(not any(part) for _p, part in pages)
                self._say(kind, path, f'pages {_ranges(p for p, _ in pages)} of {size} bytes are none of those written'
                          + (f' ({zeros} of zeros)' if zeros else ''))

    def _attributes(self, found, full, path):
        for name, history in found.attributes.items():
            values, sure = history.allowed(found.attribute_syncs + self.model.global_syncs, self.count)
            if not sure or ANY in values:
                continue
            self.promises += 1
            try:
                if name == 'mode':
                    value = stat.S_IMODE(os.lstat(full).st_mode)
                elif name == 'mtime':
                    value = os.lstat(full).st_mtime_ns
                else:
                    value = os.getxattr(full, name, follow_symlinks=False)
            except OSError as e:
                if e.errno != errno.ENODATA:
                    self._say('EIO', path, f'{name}: {_error(e)}')
                    continue
                value = None
            if value not in values:
                self._say('attribute', path, f'{name}: {_short(value)}, not {" or ".join(_short(v) for v in values)}')


def _short(value):
    text = repr(value)
    return text if len(text) < 30 else text[:27] + '…'


def _ranges(numbers):
    found = []
    for n in numbers:
        if found and found[-1][1] == n - 1:
            found[-1][1] = n
        else:
            found.append([n, n])
    text = ','.join(str(a) if a == b else f'{a}-{b}' for a, b in found[:6])
    return text + (',…' if len(found) > 6 else '')
