# SPDX-License-Identifier: Apache-2.0
"""The block log (dm-log-writes format, as qemu's blklogwrites filter writes it): reading it, choosing points at which the
power goes away, and building the disk as it is then.

A point is a number of entries that were logged (count), of which those up to the last flush are on the disk, and of
the later ones only some. What a disk may do with writes that no flush has followed: keep or lose each, and of a write of
several pages some pages. Pages of 4096 bytes are never torn."""
import collections
import os
import random
import struct

MAGIC = 0x6a736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
PAGE = 4096

Entry = collections.namedtuple('Entry', 'disk_off bytes flags log_off')
Point = collections.namedtuple('Point', 'number kind count durable kept')
# kept: what is on the disk of the entries from durable to count: a list of (entry, None or the set of pages)


def position(log_fd):
    """How many entries the log has now."""
    magic, _version, entries, _sector = struct.unpack('<QQQI', os.pread(log_fd, 28, 0))
    return entries if magic == MAGIC else 0


def read_entries(log_fd):
    magic, version, count, sector = struct.unpack('<QQQI', os.pread(log_fd, 28, 0))
    if magic != MAGIC or version != 1:
        raise ValueError('not a block log')
    entries, at = [], sector
    for _ in range(count):
        disk_sector, sectors, flags, data_bytes = struct.unpack('<QQQQ', os.pread(log_fd, 32, at))
        at += sector
        entries.append(Entry(disk_sector * sector, sectors * sector, flags, at))
        if not flags & (DISCARD | MARK):
            at += sectors * sector
        elif flags & MARK:
            at += (data_bytes + sector - 1) // sector * sector
    return entries


def last_flush_before(entries, count):
    """Entries that are surely on the disk when count were logged."""
    for i in range(count - 1, -1, -1):
        if entries[i].flags & FLUSH:
            return i + 1
    return 0


def _pages(entry):
    return range((entry.bytes + PAGE - 1) // PAGE)


def _pick(rng, kind, writes, entries):
    """Which of the unflushed writes, numbers of entries, reach the disk."""
    if not writes or kind == 'none':
        return []
    if kind == 'all':
        return [(i, None) for i in writes]
    if kind == 'some':
        share = rng.choice((0.2, 0.5, 0.8))
        return [(i, None) for i in writes if rng.random() < share]
    if kind == 'last':
        return [(i, None) for i in writes[-rng.randint(1, len(writes)):]]
    if kind == 'less-one':
        lost = rng.choice(writes)
        return [(i, None) for i in writes if i != lost]
    if kind == 'one':
        return [(rng.choice(writes), None)]
    # torn: pages inside the large writes are kept or lost each by itself
    kept = []
    for i in writes:
        pages = _pages(entries[i])
        if len(pages) < 2:
            kept.append((i, None))
            continue
        how = rng.randrange(4)
        if how == 0:
            part = {p for p in pages if rng.random() < 0.5}
        elif how == 1:
            part = set(range(rng.randint(0, len(pages))))
        elif how == 2:
            part = set(pages) - {rng.choice(pages)}
        else:
            part = {rng.choice(pages)}
        kept.append((i, part))
    return kept


KINDS = (('some', 4), ('less-one', 4), ('one', 3), ('last', 3), ('torn', 4), ('all', 2))


def choose_points(entries, first, wanted, seed):
    """Points from entry number first on: flushes (a third of the points at most), and between them."""
    rng = random.Random(seed)
    flushes = [i for i in range(first, len(entries)) if entries[i].flags & FLUSH]
    at_flush = flushes if len(flushes) <= wanted // 3 else sorted(rng.sample(flushes, wanted // 3))
    found = [('flush', i + 1, i + 1, ()) for i in at_flush]
    windows = []
    for begin, end in zip([first] + [i + 1 for i in flushes], flushes + [len(entries)]):
        writes = [i for i in range(begin, end) if not entries[i].flags & FLUSH]
        if writes:
            windows.append((begin, end, writes))
    seen = set()
    tries = 0
    while windows and len(found) < wanted and tries < 20 * wanted:
        tries += 1
        begin, end, writes = rng.choice(windows)
        kind = rng.choices([k for k, _ in KINDS], [w for _, w in KINDS])[0]
        # Mostly all that was written before the flush: that is when most can be lost.
        upto = writes if rng.random() < 0.6 else writes[:rng.randint(1, len(writes))]
        kept = _pick(rng, kind, upto, entries)
        forced = {i for i in upto if entries[i].flags & FUA} - {i for i, _ in kept}
        kept = sorted(kept + [(i, None) for i in forced], key=lambda k: k[0])
        key = (upto[-1], tuple((i, tuple(sorted(p)) if p is not None else None) for i, p in kept))
        if key not in seen:
            seen.add(key)
            found.append((kind, upto[-1] + 1, begin, kept))
    found.sort(key=lambda p: (p[2], p[1]))
    return [Point(number, *p) for number, p in enumerate(found)]


def copy_sparse(source_fd, target_fd, size):
    """The target, a file on tmpfs, becomes what the source is."""
    os.ftruncate(target_fd, 0)
    os.ftruncate(target_fd, size)
    at = 0
    while at < size:
        try:
            start = os.lseek(source_fd, at, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            return
        end = os.lseek(source_fd, start, os.SEEK_HOLE)
        at = start
        while at < end:
            at += os.pwrite(target_fd, os.pread(source_fd, min(end - at, 1 << 22), at), at)


class Disk:
    """The disk as of the last flush, which moves forward only, and images of points made from it."""

    def __init__(self, log_fd, entries, path, size):
        self.log_fd, self.entries, self.size = log_fd, entries, size
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
        os.ftruncate(self.fd, size)
        self.applied = 0

    def _apply(self, fd, number, pages=None):
        entry = self.entries[number]
        if entry.flags & MARK or not entry.bytes:
            return
        if entry.flags & DISCARD:
            data = bytes(entry.bytes)
        else:
            data = os.pread(self.log_fd, entry.bytes, entry.log_off)
        if pages is None:
            os.pwrite(fd, data, entry.disk_off)
            return
        for p in pages:
            os.pwrite(fd, data[p * PAGE:(p + 1) * PAGE], entry.disk_off + p * PAGE)

    def image(self, point, fd):
        if point.durable < self.applied:
            raise ValueError('points are out of order')
        while self.applied < point.durable:
            self._apply(self.fd, self.applied)
            self.applied += 1
        copy_sparse(self.fd, fd, self.size)
        for number, pages in point.kept:
            self._apply(fd, number, pages)


def describe(point, entries):
    """A line for people: what was lost."""
    kept = dict(point.kept)
    lost = []
    for i in range(point.durable, point.count):
        if entries[i].flags & FLUSH:
            continue
        block, blocks = entries[i].disk_off // PAGE, len(_pages(entries[i]))
        if i not in kept:
            lost.append(f'{block}+{blocks}')
        elif kept[i] is not None and len(kept[i]) < blocks:
            lost.append(f'{block}+{blocks}(kept {len(kept[i])})')
    text = ' '.join(lost[:12]) + (' …' if len(lost) > 12 else '')
    return f'entry {point.count}, {point.kind}, durable {point.durable}' + (f', lost blocks {text}' if lost else '')
