# SPDX-License-Identifier: Apache-2.0
"""Files in states made at random from the parts that section 9.8 looks at, most of which no writer leaves: two readers of the page must
agree on each of them, be it content or a refusal. Nothing is expected here."""
import random

from ref_crypto import B, le64, pad16, xts, zpad
from ref_encode import encode_sectors
from ref_file import CLEAN, SPARSE, make_unclean
from ref_layout import GROUP, block, tail

SIZES = (1, 15, 16, 17, 100, 112, 2000, 4064, 4079, 4080, 4081, 4085, 4095, B)


class Odd:
    def __init__(self, keys, r, fid, dir_id):
        self.keys, self.r, self.fid, self.dir = keys, r, fid, dir_id
        self.on = keys.integrity != "none"
        self.s = r.choice((0, 1, 1, 2, 123, 124))
        self.t1, self.t2 = r.choice(SIZES), r.choice(SIZES)
        plain = r.randbytes(B)
        other = plain[:r.randrange(self.t1)] + r.randbytes(B)
        key = keys.file_key(fid)
        self.c1 = xts(key, fid, self.s, zpad(plain[:self.t1]), True)
        self.c2 = xts(key, fid, self.s, zpad(other[:self.t2]), True)

    def sector(self):
        """What is stored in the place of sector s: B bytes."""
        c = self.r.choice((self.c1, self.c2, self.c1, self.c2, b""))
        c += bytes(B - len(c))
        if self.r.random() < .3:
            n = self.r.choice((pad16(self.t1), pad16(self.t2), tail(min(self.t1, 4095)), tail(min(self.t2, 4095)), 16))
            c = c[:n] + bytes(max(0, B - n))
        if self.r.random() < .1:
            i = 16 * self.r.randrange(256)
            c = c[:i] + self.r.choice((bytes(16), self.r.randbytes(16))) + c[i + 16:]
        return c[:B]

    def tag(self):
        c = self.r.choice((self.c1, self.c2))
        t = self.r.choice((self.t1, self.t2, self.t1, self.t2, B))
        return self.r.choice((bytes(16), self.r.randbytes(16)) + 4 * (
            self.keys.sector_tag(self.fid, self.s, t, (c + bytes(B))[:pad16(t)]),))

    def record(self):
        """8 + 16 + 32 bytes, from offset 56 on."""
        r = self.r.random()
        if r < .25 or (not self.on and r < .9):
            return bytes(56)
        t = self.r.choice((self.t1, self.t2))
        p = self.s * B + t
        if r < .35:
            p = self.r.choice((0, 1, B, 5 * B + 7, GROUP * B, GROUP * B - 1, 2 * GROUP * B + 5, 2**63 + 5, 2**64 - 1))
        return le64(p) + self.tag() + (bytes(32) if self.r.random() < .97 else bytes(31) + b"\1")

    def put_record(self, b, what):
        return b[:56] + what + (self.keys.header_tag if b[:8] == b"xtsfs.f1" else self.keys.meta_tag)(
            b[:56] + what + bytes(16) + b[128:]) + b[128:]

    def file(self):
        r, s = self.r, self.s
        more = r.choice((0, 0, 0, 1, 2))
        count = s + 1 + more
        flags = r.choice((0, 0, SPARSE, SPARSE, CLEAN, CLEAN | SPARSE))
        size = s * B + r.choice((self.t1, self.t2)) if more == 0 else count * B - r.choice((0, 0, 5, 4000))
        parts = {i: r.randbytes(min(B, size - i * B)) for i in range(count)}
        entries = [self.tag(), self.tag()]

        def edit(all_entries):
            all_entries[s] = entries
            for i in range(s + 1, count):
                if r.random() < .3:
                    all_entries[i][r.randrange(2)] = bytes(16)
        length, pieces = encode_sectors(self.keys, self.fid, self.dir, parts, size, flags, (), edit if self.on else None)
        pieces = dict(pieces)
        pieces[block(s, self.on) * B] = self.sector()
        for i in range(s + 1, count):
            if r.random() < .3:
                pieces[block(i, self.on) * B] = b""
        if not more and r.random() < .2:
            length = (block(s, self.on) + 1) * B + r.choice((0, 0, 0, 5, 15, 16))
        mine = 125 * B if self.on and s >= GROUP else 0
        for at in {0, mine}:
            if at == mine or r.random() < .1:
                pieces[at] = self.put_record(pieces[at], self.record())
        if r.random() < .05:
            pieces[0] = bytes(128) + pieces[0][128:]
            length = r.choice((length, length, 127, 128, 144, 1, B - 1))
        if self.on and mine and r.random() < .1:
            pieces[mine] = b""
        return length, [(o, d[:max(0, length - o)]) for o, d in sorted(pieces.items()) if o < length]


def odd_files(w, seed, count, marker):
    r = random.Random("%s %s %s" % (seed, w.keys.integrity, marker))
    if marker != "none":
        data = make_unclean(w.keys, 1700000000)
        w.put(w.path + b"/xtsfs.unclean", data if marker == "valid" else data[:-1] + bytes([data[-1] ^ 1]))
    for i in range(count):
        length, pieces = Odd(w.keys, r, w.rng(16), w.dir_ids[b""][1]).file()
        w.stored(b"odd-%d" % i, length, pieces, {})
