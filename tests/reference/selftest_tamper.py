# SPDX-License-Identifier: Apache-2.0
"""Tampering with backing files: what the page promises to detect must be detected, what it calls meaningless must not matter,
and what it cannot detect is written down here as a test too."""
import os

import make
from ref_conf import Conf, ConfError
from ref_crypto import B, Refused, pad16
from ref_encode import Random, encode_inline, encode_sectors, whole
from ref_file import CLEAN, SPARSE, FileReader, check_unclean, make_unclean
from ref_layout import block
from ref_tree import Volume


class Bench:
    """One volume and a scratch backing file."""

    def __init__(self, tmp, integrity, name="tamper-"):
        self.path = os.path.join(tmp, name + integrity)
        self.w = make.make(self.path, integrity, seed=b"tamper", bare=True)
        self.keys, self.rng = self.w.keys, Random(b"tamper content")
        self.dir = self.w.dir_ids[b""][1]
        self.fd = os.open(os.path.join(tmp, "scratch-" + name + integrity), os.O_RDWR | os.O_CREAT)
        self.fid = bytes(range(1, 17))

    def read(self, data, marker=None):
        """(plain with bad sectors as None, [severity …]) or the errno of a refusal."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, data, 0)
        try:
            f = FileReader([self.keys], self.fd, len(data), marker)
            plain = b"".join(d if d is not None else bytes(n) if ok else b"<bad>" for _, n, d, ok in f.content())
        except Refused as r:
            return r.errno
        return plain, sorted({p[0] for p in f.problems})

    def sectors(self, plain, **k):
        return whole(*encode_sectors(self.keys, k.pop("fid", self.fid), self.dir, plain, **k))


def flip(data, i, bit=1):
    return data[:i] + bytes([data[i] ^ bit]) + data[i + 1:]


def put(data, off, part):
    return data[:off] + part + data[off + len(part):]


def detected(r):
    return isinstance(r, str) or "problem" in r[1]


def run(test, tmp):
    for integrity in ("aes-gmac", "hmac-sha256", "none"):
        files(test, Bench(tmp, integrity), integrity)
    trees(test, tmp)


def files(test, b, integrity):
    on = integrity != "none"
    name = integrity + ": "

    @test(name + "inline file, every byte flipped: header and content refused, filler ignored")
    def _():
        p = b.rng(37)
        data = encode_inline(b.keys, b.fid, b.dir, p)
        for i in range(len(data)):
            r = b.read(flip(data, i, 1 << i % 8))
            want = i < 128 + pad16(37)
            if detected(r) != want or (not want and r != (p, [])):
                return "byte %d: %r" % (i, r)
            if want and (r == "EUCLEAN") != (i < 8 or 56 <= i < 112) and i not in range(12, 16) and i not in range(32, 40):
                return "byte %d: %r" % (i, r)

    @test(name + "inline file cut to any length but 0, or extended: EUCLEAN")
    def _():
        data = encode_inline(b.keys, b.fid, b.dir, b.rng(37))
        for n in list(range(1, len(data))) + [len(data) + 1, 4096, 4097, 8192 + 20]:
            r = b.read((data + bytes(9000))[:n])
            if r != "EUCLEAN":
                return "%d: %r" % (n, r)

    plain = b.rng(B + 100)
    small = b.sectors(plain)

    @test(name + "sector file, bytes flipped: block 0 refused, sectors EIO (if there are tags), filler ignored")
    def _():
        for i in list(range(0, 260)) + list(range(260, len(small), 61)) + list(range(2 * B, len(small))):
            r = b.read(flip(small, i, 1 << i % 8))
            want = i < B or (on and i < 2 * B + pad16(100))
            if detected(r) != want:
                return "byte %d: %r" % (i, r)
            if i >= 2 * B + pad16(100) and r != (plain, []):
                return "filler byte %d" % i

    @test(name + "CLEAN sector file cut to any length but 0, or extended: EUCLEAN without a marker, read with a valid one")
    def _():
        for n in list(range(1, 200, 7)) + list(range(B - 2, B + 20)) + list(range(2 * B - 3, len(small))) + \
                [len(small) + i for i in (1, 2, 14, 15, 16, 5000)]:
            data = (small + bytes(9000))[:n]
            for marker in (None, "invalid"):
                r = b.read(data, marker)
                if r != "EUCLEAN":
                    return "%d %s: %r" % (n, marker, r)
            r = b.read(data, "valid")
            if (n < B) != (r == "EUCLEAN") or (n >= B and "warning" not in r[1]):
                return "%d with a marker: %r" % (n, r)

    @test(name + "stored length 0 is the empty file (not detected, by design)")
    def _():
        return b.read(b"") == (b"", [])

    big_plain = b.rng(125 * B + 4090)
    big = b.sectors(big_plain)
    at = lambda s: block(s, on) * B

    @test(name + "two sectors swapped, a sector copied from another file, a sector of an older version")
    def _():
        one, two = big[at(3):at(4)], big[at(4):at(5)]
        other = b.sectors(big_plain, fid=b"\7" * 16)
        older = b.sectors(b.rng(len(big_plain)))
        for what, data in (("swap", put(put(big, at(3), two), at(4), one)),
                           ("copy", put(big, at(3), other[at(3):at(4)])), ("old", put(big, at(3), older[at(3):at(4)])),
                           ("last old", put(big, at(125), older[at(125):])),
                           ("zeroed", put(big, at(3), bytes(B))), ("last zeroed", put(big, at(125), bytes(B)))):
            r = b.read(data)
            if detected(r) != on or (on and r[0].count(b"<bad>") != (2 if what == "swap" else 1)):
                return what
        return b.read(older)[1] == []  # a whole older file: not detected, by design

    if on:
        @test(name + "meta block: flips, zeros, from another group or file, from an older version")
        def _():
            m = 125 * B
            other = b.sectors(big_plain, fid=b"\7" * 16)
            older = b.sectors(b.rng(len(big_plain)))
            cases = [("flip %d" % i, flip(big, m + i, 1 << i % 8)) for i in list(range(0, 200, 3)) + list(range(200, B, 211))]
            cases += [("zeros", put(big, m, bytes(B))), ("other file", put(big, m, other[m:m + B])),
                      ("older", put(big, m, older[m:m + B])), ("block 0", put(big, m, big[:B]))]
            three = b.sectors(b.rng(300 * B))
            cases.append(("group 2", put(three, m, three[2 * m:2 * m + B])))
            for what, data in cases:
                r = b.read(data)
                if r == "EIO" or "problem" not in r[1] or r[0].count(b"<bad>") < 2:
                    return what

        @test(name + "now and before: either is good, none else; --require-final wants them equal")
        def _():
            def edit(i, value):
                return lambda entries: entries[1].__setitem__(i, value)
            for i in (0, 1):
                r = b.read(b.sectors(plain, edit=edit(i, b"\5" * 16)))
                if r != (plain, ["final"]):
                    return "entry %d: %r" % (i, r)
            r = b.read(b.sectors(plain, edit=lambda e: e.__setitem__(1, [b"\5" * 16, b"\6" * 16])))
            return "problem" in r[1]

        @test(name + "a zero entry is a hole in a SPARSE file only")
        def _():
            zero = lambda e: e.__setitem__(0, [bytes(16), bytes(16)])
            data = put(b.sectors(plain, edit=zero), B, bytes(B))
            if not detected(b.read(data)):
                return "not SPARSE"
            data = put(b.sectors(plain, flags=SPARSE | CLEAN, edit=zero), B, bytes(B))
            if b.read(data) != (bytes(B) + plain[B:], []):
                return "SPARSE"
            return detected(b.read(flip(data, B + 5)))

        @test(name + "SPARSE file: zeroed sector EIO, zeroed meta block EIO; a whole group zeroed is not detected, by design")
        def _():
            parts = {s: b.rng(B) for s in range(250)}
            data = whole(*encode_sectors(b.keys, b.fid, b.dir, parts, 250 * B, SPARSE | CLEAN))
            if not detected(b.read(put(data, at(7), bytes(B)))):
                return "sector"
            if not detected(b.read(put(data, 125 * B, bytes(B)))):
                return "meta block"
            r = b.read(put(data, 125 * B, bytes(125 * B)))
            return r[1] == [] and r[0][124 * B:248 * B] == bytes(124 * B)

        @test(name + "tail rule: only without CLEAN and with a valid marker, only if exactly one t fits")
        def _():
            p = b.rng(B + 4085)
            data = b.sectors(p, flags=0)[:-5]
            r = b.read(data, "valid")
            if r != (p, ["final", "warning"]):
                return repr(r)[:200]
            return all(detected(b.read(data, m)) for m in (None, "invalid")) and detected(b.read(flip(data, 2 * B), "valid"))

    if on:
        @test(name + "stored lengths that end in or right behind a meta block mean the sectors before it; they are not final")
        def _():
            p = b.rng(124 * B)
            data = b.sectors(p)
            return all(b.read(data + b"x" * n) == (p, ["final"]) for n in (16, 100, B - 1, B, B + 1, B + 15)) and \
                all(b.read(data + b"x" * n) == "EUCLEAN" for n in (1, 15, B + 16, 2 * B))

    @test(name + "authentic header with an unknown version or flag: EPROTO; with non-zero reserved bytes or a stray size: EUCLEAN")
    def _():
        def change(off, value):
            x = put(small, off, value)
            return put(x, 112, b.keys.header_tag(x[:B]))
        for off, value, want in ((8, b"\2", "EPROTO"), (12, b"\x0c", "EPROTO"), (15, b"\1", "EPROTO"),
                                 (80, b"\1", "EUCLEAN"), (111, b"\1", "EUCLEAN"), (12, b"\0", "EUCLEAN")):
            r = b.read(change(off, value))
            if r != want:
                return "offset %d: %r" % (off, r)
        r = b.read(change(32, b"\1"))
        return r == "EUCLEAN"

    @test(name + "unclean marker: every byte flipped, cut, extended")
    def _():
        m = make_unclean(b.keys, 1)
        return check_unclean(b.keys, m)[0] and not any(
            check_unclean(b.keys, x)[0] for x in [flip(m, i) for i in range(64)] + [m[:63], m + b"\0", b""])


def trees(test, tmp):
    path = os.path.join(tmp, "tree")
    w = make.make(path, "aes-gmac", seed=b"tree", bare=True)
    w.mkdir(b"a")
    w.mkdir(b"b")
    w.file(b"a/file", b"one")
    w.file(b"b/file", b"two")
    w.file(b"a/" + b"l" * 200, b"long")
    w.symlink(b"a/link", b"target")
    have_xattr = all([w.xattr(b"a/file", b"user.x", b"1"), w.xattr(b"a/file", b"user.y", b"2"),
                      w.xattr(b"a/file", b"user." + b"z" * 200, b"3")])
    where = {p: os.fsdecode(bk) for bk, p, _ in w.made}

    def problems():
        v = Volume(path, "volume-key", w.keys.volume_key)
        v.walk(None)
        return [p for p in v.problems if p["severity"] == "problem"]

    def changed(name, file, new):
        """Replaces the content of a file for one look at the volume."""
        old = open(file, "rb").read()
        open(file, "wb").write(new)
        try:
            return problems()
        finally:
            open(file, "wb").write(old)

    @test("tree: clean to begin with")
    def _():
        return problems() == []

    @test("xtsfs.conf: every byte flipped is refused")
    def _():
        text = open(os.path.join(path, "xtsfs.conf"), "rb").read()
        Conf(text).unlock("volume-key", w.keys.volume_key)
        for x in [flip(text, i) for i in range(len(text))] + [flip(text, i, 32) for i in range(len(text))] + \
                [text + b"\n", text[:-1], b" " + text, text.replace(b"\n", b"\r\n"), b""]:
            try:
                Conf(x).unlock("volume-key", w.keys.volume_key)
                return "accepted: %r" % x[:2000]
            except ConfError:
                pass

    @test("xtsfs.dirid: every byte flipped, cut, extended, missing: EUCLEAN")
    def _():
        f = where[b"a"] + "/xtsfs.dirid"
        old = open(f, "rb").read()
        for x in [flip(old, i) for i in range(48)] + [old[:47], old + b"\0", b""]:
            p = changed("dirid", f, x)
            if [q["errno"] for q in p] != ["EUCLEAN"]:
                return str(p)
        os.rename(f, f + "x")
        p = problems()
        os.rename(f + "x", f)
        return [q["errno"] for q in p] == ["EUCLEAN"]

    @test("xtsfs.dirid of another directory: no name decrypts, and the id occurs twice")
    def _():
        p = changed("dirid", where[b"a"] + "/xtsfs.dirid", open(where[b"b"] + "/xtsfs.dirid", "rb").read())
        return sum("foreign" in q["reason"] for q in p) == 2 and any("same id" in q["reason"] for q in p)

    @test("names: one character changed, entry moved to another directory")
    def _():
        f = where[b"a/file"]
        d, e = os.path.split(f)
        other = os.path.split(where[b"b/file"])[1]
        for new in (d + "/" + e[:5] + ("A" if e[5] != "A" else "B") + e[6:], d + "/" + e + "A", d + "/" + e[:-1],
                    d + "/x." + e, os.path.dirname(where[b"b/file"]) + "/" + e, d + "/" + other):
            os.rename(f, new)
            p = problems()
            os.rename(new, f)
            if not p:
                return new

    @test("long names: .name missing, changed, of another name")
    def _():
        f = where[b"a/" + b"l" * 200] + ".name"
        old = open(f, "rb").read()
        good = problems() == [] and all(changed("name", f, x) for x in (
            b"", old + b"\n", old[:-1], flip(old, 0), os.fsencode(os.path.basename(where[b"a/file"]))))
        os.rename(f, f[:-9] + "x.name")
        p = problems()
        os.rename(f[:-9] + "x.name", f)
        return good and bool(p)

    @test("symlink: target changed")
    def _():
        f = where[b"a/link"]
        old = os.readlink(f)
        for new in (old[:-1], old + "A", ("B" if old[0] != "B" else "C") + old[1:], "plain", old[:22]):
            os.unlink(f)
            os.symlink(new, f)
            p = problems()
            if [q["errno"] for q in p] != ["EIO"]:
                return new
        os.unlink(f)
        os.symlink(old, f)
        return problems() == []

    if have_xattr:
        @test("extended attributes: bytes flipped, cut, values exchanged between names; foreign ones are not shown")
        def _():
            f = where[b"a/file"]
            names = [n for n in os.listxattr(f) if n.startswith("user.xtsfs.")]
            values = {n: os.getxattr(f, n) for n in names}
            for n, v in values.items():
                for x in [flip(v, i) for i in range(len(v))] + [v[:-1], v + b"\0", b"", v[:20]]:
                    os.setxattr(f, n, x)
                    if not problems():
                        return "%s: %s" % (n, x.hex())
                os.setxattr(f, n, v)
            short = [n for n in names if ".long." not in n]
            os.setxattr(f, short[0], values[short[1]])
            if not problems():
                return "exchanged"
            os.setxattr(f, short[0], values[short[0]])
            os.setxattr(f, "user.foreign", b"x")
            return problems() == []

    @test("debris and foreign names: with and without --require-final")
    def _():
        for name, severity in (("xtsfs.tmp." + "A" * 22, "warning"), ("xtsfs.long." + "A" * 43 + ".name", "warning"),
                               ("xtsfs.tmp.short", "problem"), ("a.b", "problem"), ("foreign", "problem")):
            f = os.path.join(path, name)
            open(f, "w").close()
            v = Volume(path, "volume-key", w.keys.volume_key)
            v.walk(None)
            os.unlink(f)
            if [p["severity"] for p in v.problems] != [severity]:
                return name
