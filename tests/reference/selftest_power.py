# SPDX-License-Identifier: Apache-2.0
"""Growing records and what else section 9.8 accepts after a crash: what makes a record refused, and that nothing of it holds without a
valid marker, or one step beside the states of make_power.py (which the round trips of selftest.py read)."""
from make_power import Tail
from ref_tree import Volume
from ref_crypto import B, le64
from ref_encode import encode_inline, header, meta_block, whole
from ref_file import CLEAN, SPARSE
from ref_layout import block
from selftest_tamper import Bench, flip, put


def run(test, tmp):
    for integrity in ("aes-gmac", "hmac-sha256", "none"):
        b = Bench(tmp, integrity, "power-")
        records(test, b, integrity)
        if integrity == "none":
            zero_blocks(test, b)
        else:
            tails(test, b, integrity)
            absent(test, b, integrity)
        zero_headers(test, b, integrity)


def records(test, b, integrity):
    on = integrity != "none"
    name = integrity + ": "
    plain = b.rng(126 * B + 10)
    tag = b.rng(16)

    def authentic(g, value, off=56):
        data = b.sectors(plain)
        at = 125 * B * g
        block0 = put(data[at:at + B], off, value)
        return put(data, at, put(block0, 112, (b.keys.meta_tag if g else b.keys.header_tag)(block0)))

    @test(name + "growing record in a header: allowed for a tail of a sector of group 0 only, never with none; not final")
    def _():
        for p, want in ((1, 1), (B - 1, 1), (123 * B + 5, 1), (5 * B + 4095, 1), (B, 0), (124 * B, 0), (124 * B + 1, 0),
                        (2**63 + 1, 0), (2**64 - 1, 0)):
            r = b.read(authentic(0, le64(p) + tag))
            if r != ((plain, ["final"]) if want and on else "EUCLEAN"):
                return "%d: %r" % (p, r if isinstance(r, str) else r[1])
        return b.read(authentic(0, bytes(8) + tag)) == "EUCLEAN" and b.read(authentic(0, le64(5) + bytes(16))) == (
            (plain, ["final"]) if on else "EUCLEAN")

    @test(name + "reserved bytes before and behind the record are checked")
    def _():
        bad = [authentic(0, b"\1", off) for off in (80, 111)]
        if any(b.read(x) != "EUCLEAN" for x in bad):
            return "header"
        return not on or all("problem" in b.read(authentic(1, b"\1", off))[1] for off in (32, 55, 80, 111))

    @test(name + "growing record in an INLINE header: EUCLEAN")
    def _():
        data = encode_inline(b.keys, b.fid, b.dir, plain[:30])
        data = put(data, 56, le64(20) + tag)
        return b.read(put(data, 112, b.keys.header_tag(data, 30))) == "EUCLEAN"

    if not on:
        return

    @test(name + "growing record in a volume without marker: nothing wrong, but not final")
    def _():
        for g in (0, 1):
            path = b.w.stored(b"left-%d" % g, 0, [], {})
            open(path, "wb").write(authentic(g, le64(g * 124 * B + 7) + tag))
        v = Volume(b.path, "volume-key", b.keys.volume_key)
        v.walk(None)
        return [(p["path"], p["severity"]) for p in v.problems] == [("left-0", "final"), ("left-1", "final")] and \
            all("growing record" in p["reason"] for p in v.problems)

    @test(name + "growing record in a meta block: a tail of its own group, else EIO for the group; not final")
    def _():
        for p, want in ((124 * B + 1, 1), (247 * B + 4095, 1), (124 * B, 0), (123 * B + 1, 0), (248 * B + 1, 0), (1, 0)):
            r = b.read(authentic(1, le64(p) + tag))
            if (r == (plain, ["final"])) != bool(want) or (not want and (r[1] != ["problem"] or r[0].count(b"<bad>") != 3)):
                return "%d: %r" % (p, r[1])
        return b.read(authentic(1, bytes(8) + tag))[1] == ["problem"]

    @test(name + "the encoder's meta block with a record is what the table of 9.6 says")
    def _():
        m = meta_block(b.keys, 1, b.fid, bytes(B - 128), (124 * B + 3, tag))
        return m[:112] == b"xtsfs.m1" + le64(1) + b.fid + bytes(24) + le64(124 * B + 3) + tag + bytes(32) and \
            b.keys.meta_tag(m) == m[112:128]


def tails(test, b, integrity):
    name = integrity + ": "

    def change(t1, t2, s=1, more=0):
        return Tail(b.keys, b.rng, b.dir, b.rng, s, t1, t2, more, 0)

    @test(name + "growing tail: each state is read with a valid marker; none but those of 9.6 without one")
    def _():
        for t1, t2, s, more in ((100, 200, 1, 0), (100, B, 1, 2), (33, 4080, 124, 0), (4085, 4090, 0, 0), (4085, B, 1, 1)):
            for state in change(t1, t2, s, more).grown():
                data = whole(*state[1:3])
                r = b.read(data, "valid")
                if r[0] != state[3]:
                    return "%d %d %s: %r" % (t1, t2, state[0], r[1])
                by_record = state[0] in ("entry-content", "entry-length")
                if by_record != ("warning" in r[1]):
                    return "%d %d %s: %r" % (t1, t2, state[0], r[1])
                for marker in (None, "invalid"):
                    r = b.read(data, marker)
                    if (r[0] != state[3]) != by_record or ("problem" in r[1]) != by_record:
                        return "%d %d %s %s: %r" % (t1, t2, state[0], marker, r[1])

    @test(name + "shrinking tail: likewise")
    def _():
        for t1, t2, s, more in ((200, 100, 1, 0), (B, 100, 1, 1), (700, 33, 124, 0), (B, 4000, 0, 0), (4090, 4000, 1, 0)):
            for state in change(t1, t2, s, more).shrunk():
                data = whole(*state[1:3])
                r = b.read(data, "valid")
                if r[0] != state[3]:
                    return "%d %d %s: %r" % (t1, t2, state[0], r[1])
                r = b.read(data)
                if ("problem" in r[1]) != (state[0] == "entry-content" and t1 > 115):
                    return "%d %d %s without a marker: %r" % (t1, t2, state[0], r[1])

    @test(name + "states that a writer cannot leave, the entry being flushed first: refused with a marker, too")
    def _():
        for t1, t2 in ((100, 200), (100, 4080), (33, 49), (4085, B)):
            x = change(t1, t2)
            was, will = x.head + x.old, x.head + x.new
            for what, plain, c in (("content", was, x.c2), ("length", will, x.c1), ("both", will, x.c2)):
                if what == "length" and t1 > 4080:
                    continue  # the tail rule
                length, pieces = x.stored(False, plain, c)
                block0 = pieces[0][1]
                first = header(b.keys, 0, x.fid, 0, b.dir, block0[128:])  # not CLEAN: the length holds
                r = b.read(whole(length, [(0, first)] + pieces[1:]), "valid")
                if "problem" not in r[1]:
                    return "%d %d %s: %r" % (t1, t2, what, r[1])
        return True

    @test(name + "the record concerns its sector, its length and its tag alone")
    def _():
        x = change(100, 200)
        was, will = x.head + x.old, x.head + x.new
        old_length, new_length = whole(*x.stored(True, was, x.c2)), whole(*x.stored(True, will, x.c1))
        if b.read(old_length, "valid")[0] != x.head + x.new[:100] or b.read(new_length, "valid")[0] != was + bytes(100):
            return "as made"
        tag = x.record()[1]
        for what, p, t in (("another tag", B + 100, flip(tag, 3)), ("tag of the new length", B + 100, x.tag(200, x.c2)),
                           ("a shorter size", B + 99, tag), ("a longer size", B + 101, tag), ("another sector", 100, tag),
                           ("none", 0, bytes(16))):
            h = put(old_length[:B], 56, le64(p) + t)
            h = put(h, 112, b.keys.header_tag(h))
            if "problem" not in b.read(put(old_length, 0, h), "valid")[1]:
                return "old length: " + what
            length_matters = what not in ("another tag", "tag of the new length")  # its tag is that of now or before
            if ("problem" in b.read(put(new_length, 0, h), "valid")[1]) != length_matters:
                return "new length: " + what
        return "problem" in b.read(flip(old_length, 2 * B + 5), "valid")[1] and "problem" in b.read(flip(new_length, 2 * B + 5), "valid")[1]


def absent(test, b, integrity):
    name = integrity + ": "
    plain = b.rng(3 * B)

    @test(name + "absent sectors: zeros with a valid marker if now or before is zero, whatever is stored; else EIO")
    def _():
        for flags in (0, SPARSE):
            for entry in ((bytes(16), bytes(16)), (b"\5" * 16, bytes(16)), (bytes(16), b"\5" * 16), (b"\5" * 16, b"\6" * 16)):
                data = b.sectors(plain, flags=flags | CLEAN, edit=lambda e: e.__setitem__(1, list(entry)))
                for stored in (bytes(B), b.rng(B)):
                    x = put(data, 2 * B, stored)
                    zero = bytes(16) in entry
                    r = b.read(x, "valid")
                    if (r[0] == plain[:B] + bytes(B) + plain[2 * B:]) != zero or ("problem" in r[1]) == zero:
                        return "%r %r" % (entry, r[1])
                    hole = flags and zero and not any(stored)
                    if any(("problem" in b.read(x, m)[1]) == bool(hole) for m in (None, "invalid")):
                        return "without a marker: %r" % (entry,)

    @test(name + "a sector that is there is not absent, and one whose meta block is not good is not looked at again")
    def _():
        data = b.sectors(plain, edit=lambda e: e[1].__setitem__(1, bytes(16)))
        if b.read(data, "valid") != (plain, ["final"]):
            return "there"
        big = b.sectors(b.rng(125 * B), edit=lambda e: e.__setitem__(124, [bytes(16)] * 2))
        return "problem" in b.read(flip(big, 125 * B + 3000), "valid")[1] and \
            "problem" in b.read(put(big, 125 * B, bytes(B)), "valid")[1]


def zero_headers(test, b, integrity):
    @test(integrity + ": 128 zero bytes at the beginning: an empty file with a valid marker, else EUCLEAN")
    def _():
        data = put(b.sectors(b.rng(2 * B + 9)), 0, bytes(128))
        for n in (1, 127, 128, 144, B, B + 1, 2 * B, len(data)):
            if b.read(data[:n], "valid") != (b"", ["warning"]):
                return "%d" % n
            if any(b.read(data[:n], m) != "EUCLEAN" for m in (None, "invalid")):
                return "%d without" % n
        return b.read(put(data, 127, b"\1"), "valid") == "EUCLEAN" == b.read((bytes(99) + b"\1")[:100], "valid")


def zero_blocks(test, b):
    @test("none: 16-byte blocks of zeros read as zeros with a valid marker only")
    def _():
        plain = b.rng(2 * B)
        at = block(1, False) * B
        for flags in (CLEAN, CLEAN | SPARSE):
            data = b.sectors(plain, flags=flags)
            for a, n in ((0, 16), (4080, 16), (160, 320)):
                want = plain[:B + a] + bytes(n) + plain[B + a + n:]
                x = put(data, at + a, bytes(n))
                if b.read(x, "valid") != (want, []) or any(b.read(x, m)[0] == want for m in (None, "invalid")):
                    return "%d %d" % (a, n)
            x = put(data, at + 8, bytes(16))  # not a whole block of the ciphertext
            if b.read(x, "valid")[0][B:B + 32] == bytes(32):
                return "part"
