# SPDX-License-Identifier: Apache-2.0
"""States that a loss of power leaves (sections 9.8 and 10): every combination of what of a change became durable that a writer
allows for, each readable without loss. A *state* is (name, stored length, pieces, plain content, holes)."""
from ref_crypto import B, pad16, xts, zpad
from ref_encode import encode_sectors
from ref_file import CLEAN, SPARSE
from ref_layout import block, tail

# sector, plain bytes in it before and after, sectors behind it after, flags of the header
GROWN = ((0, 100, 200, 0, 0), (1, 1, 16, 0, 0), (1, 16, 17, 0, 0), (1, 100, 110, 0, SPARSE), (1, 100, 4080, 0, 0),
         (1, 100, 4085, 0, 0), (1, 100, B, 0, 0), (1, 100, B, 2, 0), (1, 4080, 4081, 0, 0), (1, 4085, 4090, 0, 0),
         (1, 4085, B, 0, 0), (1, 4085, B, 1, 0), (123, 4090, B, 1, 0), (124, 33, 700, 0, SPARSE), (124, 4000, B, 1, 0))
# sector, plain bytes in it before and after, sectors behind it before, flags
SHRUNK = ((0, 200, 100, 0, 0), (1, 17, 16, 0, 0), (1, 110, 100, 0, SPARSE), (1, 4080, 1, 0, 0), (1, 4085, 100, 0, 0),
          (1, B, 100, 0, 0), (1, B, 100, 1, 0), (1, B, 4085, 0, 0), (1, 4090, 4085, 0, 0), (1, B, 4085, 2, 0),
          (123, B, 50, 1, 0), (124, 700, 33, 0, SPARSE), (124, B, 4000, 1, 0))


class Tail:
    """A file whose last sector s has t1 bytes and its content before a change, and after it: t2."""

    def __init__(self, keys, rng, dir_id, content, s, t1, t2, more, flags):
        self.keys, self.rng, self.dir, self.s, self.t1, self.t2, self.more, self.flags = \
            keys, rng, dir_id, s, t1, t2, more, flags
        self.on = keys.integrity != "none"
        self.head = content(s * B)
        self.rest = content(more * B)
        self.at = block(s, self.on) * B
        if t2 > t1:  # a write over the last bytes that were there, and behind them
            self.old = content(t1)
            self.new = self.old[:t1 // 2] + content(t2 - t1 // 2)
        else:
            self.old = content(t1)
            self.new = self.old[:t2]
        self.new_id()

    def new_id(self):
        """Each state is a file of its own, with an id of its own."""
        self.fid = self.rng(16)
        key = self.keys.file_key(self.fid)
        self.c1, self.c2 = (xts(key, self.fid, self.s, zpad(p), True) for p in (self.old, self.new))

    def tag(self, t, c):
        return self.keys.sector_tag(self.fid, self.s, t, c[:pad16(t)])

    def record(self):
        if not self.on:
            return None
        if self.t2 > self.t1:
            return self.s * B + self.t1, self.tag(self.t1, self.c2)
        return self.s * B + self.t2, self.tag(self.t2, self.c1)

    def stored(self, entry_new, plain, sector, end=None, absent=False):
        """(stored length, pieces): entries and header before or after the change, length that of `plain`, or `end` bytes of
        the block of the sector; `sector`: what is in the place of sector s. absent: what is behind it is not there."""
        def edit(entries):
            was, now = self.tag(self.t1, self.c1), self.tag(self.t2, self.c1 if self.t2 < self.t1 else self.c2)
            entries[self.s] = [now, was] if entry_new else [was, was]
        length, pieces = encode_sectors(self.keys, self.fid, self.dir, plain, edit=edit if self.on else None,
                                        flags=self.flags if entry_new else self.flags | CLEAN,
                                        growing=self.record() if entry_new else None) \
            if not self.flags else self.sparse(entry_new, plain, edit)
        if end is not None:
            length = self.at + end
        pieces = [x for x in pieces if x[0] < self.at or x[0] % (125 * B) == 0 and self.on or x[0] > self.at and not absent]
        pieces.append((self.at, sector))
        return length, [(o, d[:length - o]) for o, d in sorted(pieces) if o < length]

    def sparse(self, entry_new, plain, edit):
        parts = {s: plain[s * B:s * B + B] for s in range((len(plain) + B - 1) // B)}
        return encode_sectors(self.keys, self.fid, self.dir, parts, len(plain), self.flags if entry_new else
                              self.flags | CLEAN, (), edit if self.on else None, self.record() if entry_new else None)

    def grown(self):
        h, t1, t2 = self.head, self.t1, self.t2
        was, will, longer = h + self.old, h + self.new + self.rest, h + self.old + bytes(t2 - t1)
        yield ("none",) + self.stored(False, was, self.c1) + (was,)
        self.new_id()
        yield ("entry",) + self.stored(True, was, self.c1) + (was,)
        self.new_id()
        yield ("entry-content",) + self.stored(True, was, self.c2) + (h + self.new[:t1],)
        self.new_id()
        yield ("all",) + self.stored(True, will, self.c2) + (will,)
        # With t1 >= 4081, exactly B and nothing behind, the tail rule comes first, and finds the old length.
        tail_rule = self.on and self.more == 0 and t2 == B and t1 > 4080
        self.new_id()
        yield ("entry-length",) + self.stored(True, will, self.c1) + (was if tail_rule else longer + self.rest,)
        if self.more and not self.on:
            self.new_id()
            yield ("absent",) + self.stored(True, will, self.c1, absent=True) + (longer + bytes(len(self.rest)),)
        if t1 <= 4080 < t2 < B:  # cut at the page border
            self.new_id()
            yield ("cut",) + self.stored(True, will, self.c2, B) + (will if self.on else will + bytes(B - t2),)
            self.new_id()
            yield ("cut-length",) + self.stored(True, will, self.c1, B) + (longer + bytes(B - t2),)

    def cut_sector(self):
        """The sector as shortening may leave it: zeros behind the new end, which need not be durable."""
        whole = self.c1 + bytes(tail(self.t1) - len(self.c1) if self.t1 < B else 0)
        end = tail(self.t2)
        out = whole[:end] + bytes(max(0, len(whole) - end))
        return out if self.on else self.zero_block(out)

    def zero_block(self, c):
        """Integrity none: the 16-byte block behind the new content is made zeros first."""
        n = pad16(self.t2)
        return (c[:n] + bytes(16) + c[n + 16:])[:max(len(c), n)]

    def zeros_read(self, c):
        """Integrity none: the plain bytes of the old length of stored bytes c, some of whose blocks are zeros."""
        return b"".join(self.old[i:i + 16] if any(c[i:i + 16]) else bytes(len(self.old[i:i + 16]))
                        for i in range(0, self.t1, 16))

    def shrunk(self):
        h, t1, t2 = self.head, self.t1, self.t2
        was, will = h + self.old + self.rest, h + self.new
        yield ("none",) + self.stored(False, was, self.c1) + (was,)
        self.new_id()
        if self.on:
            yield ("entry",) + self.stored(True, was, self.c1) + (was,)
            self.new_id()
            same = self.cut_sector()[:len(self.c1)] == self.c1  # all of the old content is still there
            yield ("entry-content",) + self.stored(True, was, self.cut_sector()) + (
                was if same else will + bytes(t1 - t2) + self.rest,)
        else:
            c = self.zero_block(self.c1)
            yield ("block",) + self.stored(True, was, c) + (h + self.zeros_read(c) + self.rest,)
            self.new_id()
            c = self.cut_sector()
            yield ("content",) + self.stored(True, was, c) + (h + self.zeros_read(c) + self.rest,)
        self.new_id()
        yield ("all",) + self.stored(True, will, self.cut_sector()[:tail(t2)]) + (will,)
        self.new_id()
        yield ("length",) + self.stored(True, will, self.c1[:tail(t2)]) + (will,)


def tail_states(keys, rng, dir_id, content):
    """All states of all changes of a tail."""
    for kind, changes in (("grown", GROWN), ("shrunk", SHRUNK)):
        for s, t1, t2, more, flags in changes:
            change = Tail(keys, rng, dir_id, content, s, t1, t2, more, flags)
            for state in getattr(change, kind)():
                name = "%s-%d-%d-%d-%d%s-%s" % (kind, s, t1, t2, more, "-sparse" if flags else "", state[0])
                yield (name.encode(),) + state[1:] + ([],)


def absent_states(keys, rng, dir_id, content):
    """Sectors that were written where nothing was: the entry or the sector is not there. Integrity on."""
    for flags in (0, SPARSE):
        for s, count in ((1, 3), (2, 3), (125, 127)):
            for what in ("entry", "sector", "both", "other", "punched"):
                p, fid = content(count * B - 96), rng(16)

                def edit(entries):
                    now = entries[s][0]
                    entries[s] = {"entry": [bytes(16)] * 2, "sector": [now, bytes(16)], "both": [bytes(16)] * 2,
                                  "other": [now, bytes(16)], "punched": [bytes(16), content(16)]}[what]
                parts = {i: p[i * B:i * B + B] for i in range(count)}
                length, pieces = encode_sectors(keys, fid, dir_id, parts, len(p), flags, (), edit)
                if what != "entry":
                    pieces = [x for x in pieces if x[0] != block(s, True) * B]
                t = min(B, len(p) - s * B)
                if what in ("other", "punched"):
                    pieces.append((block(s, True) * B, content(pad16(t))))
                name = "absent-%s-%d%s" % (what, s, "-sparse" if flags else "")
                yield name.encode(), length, pieces, p[:s * B] + bytes(t) + p[s * B + t:], \
                    [[s * B, t]] if flags and what in ("sector", "both") else []


def zero_states(keys, rng, dir_id, content):
    """Files whose header is not there; with integrity none, parts of sectors that are not."""
    p = content(2 * B + 50)
    _, pieces = encode_sectors(keys, rng(16), dir_id, p)
    yield b"zero-inline", 144, [], b"", []
    yield b"zero-block0", B, [], b"", []
    yield b"zero-all", 3 * B + 70, [], b"", []
    yield b"zero-header", 3 * B + 70, pieces[1:], b"", []
    yield b"zero-entries-only", 3 * B + 70, [(0, bytes(128) + pieces[0][1][128:])] + pieces[1:], b"", []
    if keys.integrity == "none":
        for flags in (0, SPARSE):
            for n in (0, 16, 48, B - 16, B):
                parts = {s: p[s * B:s * B + B] for s in range(3)}
                length, pieces = encode_sectors(keys, rng(16), dir_id, parts, len(p), flags)
                pieces = [(o, d[:n] if o == 2 * B else d) for o, d in pieces]
                name = b"none-%d%s" % (n, b"-sparse" if flags else b"")
                yield name, length, pieces, p[:B + n] + bytes(B - n) + p[2 * B:], \
                    [[B, B]] if flags and n == 0 else []


def power_states(keys, rng, dir_id, content):
    yield from tail_states(keys, rng, dir_id, content)
    if keys.integrity != "none":
        yield from absent_states(keys, rng, dir_id, content)
    yield from zero_states(keys, rng, dir_id, content)
