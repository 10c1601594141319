# SPDX-License-Identifier: Apache-2.0
"""Reading one backing file: section 9."""
import os

from ref_crypto import B, INLINE_S, Refused, le64, pad16, xts
from ref_layout import GROUP, INLINE_MAX, block, is_meta, sectors_to_stored, stored_to_plain, tail

INLINE, SPARSE, CLEAN = 1, 2, 4
ZERO16 = bytes(16)


def pread(fd, n, off):
    out = b""
    while len(out) < n:
        part = os.pread(fd, n - len(out), off + len(out))
        if not part:
            break
        out += part
    return out


def next_data(fd, off):
    """The first offset >= off that is not in a hole of the backing file, None if there is none."""
    try:
        return os.lseek(fd, off, os.SEEK_DATA)
    except OSError:
        return None


def growing(block, g, allowed):
    """The growing record of a header or meta block of group g: (plain size, tag), or None. Section 9.8."""
    p, tag = int.from_bytes(block[56:64], "little"), block[64:80]
    if p == 0:
        if tag != ZERO16:
            raise Refused("EUCLEAN", "a growing tag without a size")
        return None
    if not allowed:
        raise Refused("EUCLEAN", "a growing record where none can be")
    if p % B == 0 or p // B // GROUP != g:
        raise Refused("EUCLEAN", "a growing record of size %d in group %d" % (p, g))
    return p, tag


class Header:
    def __init__(self, sets, block0, c):
        """sets: the volume's keys; in re-encryption the new ones, then the old ones. block0: the first min(c, B) bytes."""
        keys = sets[0]
        if c < 128:
            raise Refused("EUCLEAN", "stored length %d: no room for a header" % c)
        if block0[:8] != b"xtsfs.f1":
            raise Refused("EUCLEAN", "no magic")
        self.version = int.from_bytes(block0[8:12], "little")
        self.flags = int.from_bytes(block0[12:16], "little")
        self.id = block0[16:32]
        self.size = int.from_bytes(block0[32:40], "little")
        self.dir_hint = block0[40:56]
        self.tag = block0[112:128]
        self.inline = bool(self.flags & INLINE)
        self.sparse = bool(self.flags & SPARSE)
        self.clean = bool(self.flags & CLEAN)
        if self.inline:
            if not 1 <= self.size <= INLINE_MAX:
                raise Refused("EUCLEAN", "INLINE header with size %d" % self.size)
            if c < 128 + pad16(self.size):
                raise Refused("EUCLEAN", "INLINE content of %d bytes in %d stored bytes" % (self.size, c))
        elif c < B:
            raise Refused("EUCLEAN", "stored length %d without INLINE" % c)
        if self.version == 1 and not self.flags & ~7:
            self.renewed = int.from_bytes(block0[80:88], "little")
            if block0[88:112] != bytes(24) or (self.renewed and (len(sets) == 1 or self.inline)):
                raise Refused("EUCLEAN", "reserved bytes of the header are not zero")
            self.growing = growing(block0, 0, not self.inline and keys.integrity != "none")
            if self.inline and self.flags != INLINE | CLEAN:
                raise Refused("EUCLEAN", "INLINE header with flags %#x" % self.flags)
            if not self.clean and self.size:
                raise Refused("EUCLEAN", "header without CLEAN with size %d" % self.size)
        fits = [k for k in sets if k.header_tag(block0, self.size if self.inline else None) == self.tag]
        if not fits:
            raise Refused("EIO", "the tag of the header does not verify")
        self.keys = fits[0]
        if self.version != 1:
            raise Refused("EPROTO", "header version %d" % self.version)
        if self.flags & ~7:
            raise Refused("EPROTO", "unknown header flags %#x" % (self.flags & ~7))
        if self.renewed and self.keys is not keys:
            raise Refused("EUCLEAN", "renewed groups under the old key")
        if not self.inline and keys.integrity == "none" and block0[128:] != bytes(B - 128):
            raise Refused("EUCLEAN", "integrity none, but block 0 has entries")


class FileReader:
    """Reads a whole backing file. problems: list of (severity, errno, text); severity is 'problem', 'warning' or
    'final' (only wrong in a volume that was unmounted cleanly)."""

    def __init__(self, sets, fd, c, marker):
        """sets: as Header has them. marker: None, 'valid' or 'invalid' (section 10, rule 6)."""
        self.sets, self.fd, self.c = sets, fd, c
        self.on = sets[0].integrity != "none"
        self.marker = marker == "valid"
        self.problems = []
        self.size = 0
        self.header = None
        self.block0 = b""
        self.group = (-1, None, None)
        self.bad_sectors = []
        if c == 0:
            return
        self.block0 = pread(fd, min(c, B), 0)
        if self.marker and not any(self.block0[:128]):
            self.note("warning", "", "zero header: the length became durable, the data did not; empty")
            return
        self.header = h = Header(sets, self.block0, c)
        if h.inline:
            self.size = h.size
            if c != 128 + tail(h.size):
                self.disagree("INLINE of %d bytes with stored length %d" % (h.size, c))
            return
        self.size = 0 if c == B else stored_to_plain(c, self.on)
        if h.clean and h.size != self.size:
            self.disagree("CLEAN size %d, but stored length %d denotes %d" % (h.size, c, self.size))
        if not h.clean:
            self.note("final", "", "the header is not CLEAN")
            self.tail_rule()
        self.note_growing(h.growing)
        if self.size == 0:
            self.note("final", "", "a file of 0 bytes with a header")
        elif sectors_to_stored(self.size, self.on) != c:
            self.note("final", "", "stored length %d ends in or behind a meta block" % c)

    def note(self, severity, errno, text):
        self.problems.append((severity, errno, text))

    def disagree(self, text):
        if not self.marker:
            raise Refused("EUCLEAN", text)
        self.note("warning", "", text)

    def note_growing(self, record):
        if record:
            self.note("final", "", "a growing record of size %d is left" % record[0])

    def tail_rule(self):
        c = self.c
        if not (self.on and self.marker and c % B == 0 and self.size and not is_meta(c // B - 1, True)):
            return
        s = self.size // B - 1
        now, bef = self.entry(s)
        data = pread(self.fd, B, block(s, True) * B)
        if self.good(s, B, data, now, bef):
            return
        fits = [t for t in range(4081, B) if self.good(s, t, data, now, bef)]
        if len(fits) == 1:
            self.size = s * B + fits[0]
            self.note("warning", "", "tail rule: the last sector has %d bytes" % fits[0])

    def keys_of(self, g):
        """The keys of a group: section 14.3."""
        return self.sets[1] if self.header.renewed and g >= self.header.renewed else self.header.keys

    def tags_of(self, g):
        """The entries of group g, b'' if they are all zero, or None after noting why the meta block is bad."""
        if self.group[0] != g:
            self.group = (g,) + self.load_group(g)
        return self.group[1]

    def load_group(self, g):
        """(entries as tags_of gives them, growing record or None)"""
        if g == 0:
            return self.block0[128:], self.header.growing
        m = pread(self.fd, B, 125 * g * B)
        if self.header.sparse and m == bytes(B):
            return b"", None
        bad = record = None
        if m[:8] != b"xtsfs.m1":
            bad = ("EIO", "no magic")
        elif self.keys_of(g).meta_tag(m) != m[112:128]:
            bad = ("EIO", "the tag does not verify")
        elif int.from_bytes(m[8:16], "little") != g:
            bad = ("EIO", "it is that of group %d" % int.from_bytes(m[8:16], "little"))
        elif m[16:32] != self.header.id:
            bad = ("EIO", "it is that of another file")
        elif m[32:56] != bytes(24) or m[80:112] != bytes(32):
            bad = ("EIO", "reserved bytes are not zero")
        else:
            try:
                record = growing(m, g, True)
            except Refused as r:
                bad = ("EIO", r.reason)
        if bad:
            self.note("problem", bad[0], "meta block of group %d: %s" % (g, bad[1]))
            return None, None
        self.note_growing(record)
        return m[128:], record

    def entry(self, s):
        e = self.tags_of(s // GROUP)
        if e is None:
            return None, None
        if e == b"":
            return ZERO16, ZERO16
        i = 32 * (s % GROUP)
        return e[i:i + 16], e[i + 16:i + 32]

    def good(self, s, t, data, now, bef):
        """'data', 'hole' or None."""
        n = pad16(t)
        hole = self.header.sparse and not any(data[:n]) and (now == ZERO16 or bef == ZERO16)
        if len(data) >= n and self.keys_of(s // GROUP).sector_tag(self.header.id, s, t, data[:n]) in (now, bef):
            return "data"
        return "hole" if hole else None

    def after_crash(self, s, t, data, now, bef):
        """Section 9.8: the t plain bytes of a sector that is not good by 9.6, or None."""
        h, record, keys = self.header, self.group[2], self.keys_of(s // GROUP)
        if record and record[0] // B == s:
            u = record[0] % B
            n = pad16(u)
            tag = keys.sector_tag(h.id, s, u, data[:n]) if u <= t and len(data) >= n else None
            if tag and (tag == record[1] if t == u else tag in (now, bef)):
                self.note("warning", "", "sector %d: %d bytes of it by the growing record" % (s, u))
                return xts(keys.file_key(h.id), h.id, s, data[:n], False)[:u] + bytes(t - u)
        if ZERO16 in (now, bef):
            self.note("warning", "", "sector %d: absent" % s)
            return bytes(t)
        return None

    def decrypt(self, s, data):
        h = self.header
        plain = xts(self.keys_of(s // GROUP).file_key(h.id), h.id, s, data, False)
        if self.on or not self.marker or ZERO16 not in data:
            return plain
        return b"".join(plain[i:i + 16] if data[i:i + 16] != ZERO16 else ZERO16 for i in range(0, len(data), 16))

    def sector(self, s):
        """(plaintext or None for a hole, ok)"""
        h = self.header
        t = min(B, self.size - s * B)
        data = pread(self.fd, pad16(t), block(s, self.on) * B)
        if self.on:
            now, bef = self.entry(s)
            if now is None:
                return None, False
            kind = self.good(s, t, data, now, bef)
            if kind is None:
                again = self.after_crash(s, t, data, now, bef) if self.marker else None
                if again is None:
                    self.bad_sectors.append(s)
                return again, again is not None
            if now != bef:
                self.note("final", "", "sector %d: before differs from now" % s)
            if kind == "hole":
                return None, True
        elif h.sparse and not any(data):
            return None, True
        return self.decrypt(s, data)[:t], True

    def skip_holes(self, s, count):
        """In a SPARSE file: the first sector >= s (s the first of a group >= 1) that may hold something."""
        b = 125 * (s // GROUP) if self.on else block(s, False)
        d = next_data(self.fd, b * B)
        if d is None:
            return count
        d //= B
        if d <= b:
            return s
        return min(count, GROUP * (d // 125) if self.on else d - 1)

    def content(self):
        """Yields (offset, length, bytes or None for a hole, ok), in order, covering the file."""
        if not self.size:
            return
        h = self.header
        if h.inline:
            data = self.block0[128:128 + pad16(h.size)]
            yield 0, h.size, xts(h.keys.file_key(h.id), h.id, INLINE_S, data, False)[:h.size], True
            return
        count = (self.size + B - 1) // B
        s = 0
        while s < count:
            if h.sparse and s and s % GROUP == 0:
                u = self.skip_holes(s, count)
                if u > s:
                    yield s * B, min(u * B, self.size) - s * B, None, True
                    s = u
                    continue
            data, ok = self.sector(s)
            yield s * B, min(B, self.size - s * B), data, ok
            s += 1
        for text in ranges(self.bad_sectors):
            self.note("problem", "EIO", "sector %s: the tag does not verify" % text)


def ranges(numbers):
    out = []
    for n in numbers:
        if out and out[-1][1] == n - 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return ["%d" % a if a == b else "%d to %d" % (a, b) for a, b in out]


def check_unclean(keys, data):
    """The 64 bytes of xtsfs.unclean: (valid, reason)."""
    if len(data) != 64:
        return False, "%d bytes instead of 64" % len(data)
    if data[:8] != b"xtsfs.u1":
        return False, "no magic"
    if keys.unclean_tag(data[:48]) != data[48:]:
        return False, "the tag does not verify"
    if data[16:48] != bytes(32):
        return False, "reserved bytes are not zero"
    return True, ""


def make_unclean(keys, seconds):
    body = b"xtsfs.u1" + le64(seconds) + bytes(32)
    return body + keys.unclean_tag(body)
