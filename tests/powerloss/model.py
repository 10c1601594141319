# SPDX-License-Identifier: Apache-2.0
"""What a crash may leave, as ext4 gives it: of everything a history of values, and the calls that made some of them sure.

Each history is a list of (begin, end, position, value): when the call began and ended by the workload's own clock, and
how many entries the block log had when it began. A sync is (begin, position): it makes sure what had ended before it began, in
every crash at or after that position. So at a crash the value is that of the last sync or a later one that had begun.

- content: pages of 4096 bytes, each for itself; the length for itself, between the shortest and the longest.
- attributes: each for itself.
- names: each (directory, name) for itself; and an object whose name was sure stays reachable as long as it has names.
- fsync of a file makes sure also its names, and the directories on the way that were made and not renamed: the journals of
  the local filesystems do so, and programs rely on it."""

PAGE = 4096
ANY = 'any value'


class History(list):
    def add(self, begin, end, position, value):
        self.append((begin, end, position, value))

    def window(self, syncs, count):
        """(index of the sure one or -1, index of the last that may be there or -1)."""
        begin = max((s[0] for s in syncs if s[1] <= count), default=-1)
        sure = last = -1
        for i, (_b, end, position, _v) in enumerate(self):
            if end < begin:
                sure = i
            if position <= count:
                last = i
        return sure, max(sure, last)

    def allowed(self, syncs, count, initial=None):
        """(values that may be there, is the first of them sure)."""
        sure, last = self.window(syncs, count)
        values = [v for _b, _e, _p, v in self[max(sure, 0):last + 1]]
        return (values, True) if sure >= 0 else ([initial] + values, False)

class Object:
    def __init__(self, number, kind):
        self.number, self.kind = number, kind
        self.content = History()     # bytes; of a symlink its target
        self.attributes = {}         # name to History
        self.links = History()       # frozensets of keys
        self.syncs = []              # whole content
        self.range_syncs = []        # (begin, position, from, to)
        self.attribute_syncs = []

    def attribute(self, name):
        return self.attributes.setdefault(name, History())

def _change_links(found, when, keys):
    """One call changes them at once."""
    if found.links[-1][0] == when[0]:
        found.links.pop()
    found.links.add(*when, keys)


class Model:
    def __init__(self):
        self.objects = []
        self.names = {}              # (directory's number, name) to History of numbers or None
        self.name_syncs = {}         # the same keys, to lists of syncs
        self.made = {}               # key to: was its value made there, and not renamed
        self.global_syncs = []
        self.root = self.new('dir', (0, 0, 0)).number
        self.secrets = History()     # tuples of names of secrets that open the volume
        self.secret_syncs = []

    # While the workload runs. when = (begin, end, position).

    def new(self, kind, when, content=b''):
        made = Object(len(self.objects), kind)
        self.objects.append(made)
        made.links.add(*when, frozenset())
        if kind != 'dir':
            made.content.add(*when, content)
        return made

    def now(self, key):
        history = self.names.get(key)
        return history[-1][3] if history else None

    def resolve(self, path):
        number = self.root
        for part in [p for p in path.split('/') if p]:
            number = self.now((number, part))
            if number is None:
                raise KeyError(path)
        return self.objects[number]

    def key(self, path):
        parent, _, name = path.rpartition('/')
        return self.resolve(parent).number, name

    def set_name(self, when, key, number, made=False):
        before = self.now(key)
        if before is not None:
            old = self.objects[before]
            _change_links(old, when, old.links[-1][3] - {key})
        self.names.setdefault(key, History()).add(*when, number)
        self.made[key] = made
        if number is not None:
            new = self.objects[number]
            _change_links(new, when, new.links[-1][3] | {key})

    def sync_names_of(self, found, sync):
        for key in found.links[-1][3]:
            self.name_syncs.setdefault(key, []).append(sync)
            parent = self.objects[key[0]]
            if self._was_made(parent):
                self.sync_names_of(parent, sync)

    def _was_made(self, found):
        return found.number != self.root and all(self.made[key] for key in found.links[-1][3])

    def sync_entries_of(self, directory, sync):
        for key in self.names:
            if key[0] == directory.number:
                self.name_syncs.setdefault(key, []).append(sync)

    # At a crash.

    def syncs_of_name(self, key):
        return self.name_syncs.get(key, []) + self.global_syncs

    def content_syncs(self, found):
        return found.syncs + self.global_syncs

    def settle(self, flush_before):
        """Positions of syncs become those of the last flush before them: what was logged after it was not promised."""
        def moved(syncs):
            syncs[:] = [(s[0], flush_before(s[1]), *s[2:]) for s in syncs]
        for found in self.objects:
            moved(found.syncs)
            moved(found.range_syncs)
            moved(found.attribute_syncs)
        for syncs in self.name_syncs.values():
            moved(syncs)
        moved(self.global_syncs)
        moved(self.secret_syncs)

class ContentAt:
    """What the content of an object may be at a crash."""

    def __init__(self, model, found, count):
        self.history = found.content
        self.sure, self.last = found.content.window(model.content_syncs(found), count)
        self.ranges = []
        lowest = 0
        for begin, position, start, end in found.range_syncs:
            if position > count:
                continue
            index = -1
            for i, (_b, e, _p, _v) in enumerate(self.history):
                if e < begin:
                    index = i
            if index > self.sure:
                self.ranges.append((index, start // PAGE, (end + PAGE - 1) // PAGE))
                self.last = max(self.last, index)
                sizes = [min(len(v), end) for _b, _e, _p, v in self.history[index:self.last + 1]]
                lowest = max(lowest, min(sizes))
        sizes = [len(v) for _b, _e, _p, v in self.history[max(self.sure, 0):self.last + 1]] or [0]
        self.shortest = max(min(sizes), lowest) if self.sure >= 0 else lowest
        self.longest = max(sizes)
        self.is_sure = self.sure >= 0

    def sure_index(self, page):
        return max([self.sure] + [i for i, first, end in self.ranges if first <= page < end])

    def page_is_sure(self, page):
        """Is there content in this page that is promised?"""
        index = self.sure_index(page)
        return index >= 0 and min(len(v) for _b, _e, _p, v in self.history[index:self.last + 1]) > page * PAGE

    def sure_bytes(self, page):
        """How many bytes at the beginning of the page are promised."""
        index = self.sure_index(page)
        if index < 0:
            return 0
        shortest = min(len(v) for _b, _e, _p, v in self.history[index:self.last + 1])
        return max(0, min(PAGE, shortest - page * PAGE))

    def page_is_allowed(self, page, data):
        index = self.sure_index(page)
        if index < 0 and not any(data):
            return True
        start = page * PAGE
        for _b, _e, _p, value in self.history[max(index, 0):self.last + 1]:
            part = value[start:start + len(data)]
            if part + bytes(len(data) - len(part)) == data:
                return True
        return False
