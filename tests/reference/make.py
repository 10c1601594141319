#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a small sample volume from docs/on-disk-format.md alone, to test readers with.

FOR TESTS ONLY: with --seed every random byte, the volume key included, follows from the seed."""
import argparse
import os
import struct
import sys
import uuid

sys.dont_write_bytecode = True

import ref_list
from make_crash import crash_files
from make_odd import odd_files
from ref_conf import make_conf, make_slot
from ref_crypto import B, Keys, b64e
from ref_encode import Random, Writer

SIZES = (0, 1, 15, 16, 17, 3953, 3954, 4080, 4081, 4095, 4096, 4097, 8192, 124 * B - 1, 124 * B, 124 * B + 1,
         125 * B + 4090, 249 * B)
ACL = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in (
    (1, 6, 0xffffffff), (2, 4, 12345), (4, 4, 0xffffffff), (16, 4, 0xffffffff), (32, 0, 0xffffffff)))


def samples(w, content):
    """content(n): n plain bytes that are never a whole zero sector."""
    for n in SIZES:
        w.file(b"size-%d" % n, content(n))
    for n in (1, 3953):
        w.file(b"sectors-%d" % n, content(n), inline=False)
    w.file(b"zeros-20000", bytes(20000))  # zeros that are content, not holes

    w.mkdir(b"sparse")

    def sparse(name, sectors, size, real_meta=()):
        w.sparse(b"sparse/" + name, {s: content(min(B, size - s * B)) for s in sectors}, size, real_meta)
    sparse(b"middle", (0, 1, 2, 7, 8, 9), 9 * B + 100)
    sparse(b"groups", (0, 3 * 124 + 5), (3 * 124 + 6) * B)       # groups 1 and 2: zero meta blocks
    sparse(b"real-meta", (1, 3 * 124), (3 * 124 + 1) * B, (1,))  # group 1: a meta block with 124 zero entries
    sparse(b"tail-10", (0,), 3 * B + 10)
    sparse(b"tail-4090", (0,), 3 * B + 4090)
    sparse(b"only-hole", (), 300 * B + 5)
    sparse(b"hole-first", (130,), 130 * B + 4095)
    sparse(b"no-hole", (0, 1), B + 1)

    w.mkdir(b"names")
    for n in (1, 16, 17, 159, 160, 161, 175, 176, 255):
        w.file(b"names/" + (b"%d-" % n + b"n" * n)[:n], b"name of %d bytes" % n)
    w.file("names/Straße-日本-🗝".encode(), b"utf-8")
    w.file(b"names/\xff\xfe\x01\n bytes", b"not utf-8")
    w.file(b"names/xtsfs.conf", b"a plain name like one of xtsfs' own")
    w.file(b"names/" + "ü".encode() * 127, b"254 bytes")
    w.mkdir(b"names/" + b"d" * 255)
    w.file(b"names/" + b"d" * 255 + b"/in a long directory", b"x")
    deep = b"deep"
    w.mkdir(deep)
    for i in range(12):
        deep += b"/%d" % i
        w.mkdir(deep)
    w.file(deep + b"/bottom", b"bottom\n")
    w.mkdir(b"empty-dir")

    w.mkdir(b"links")
    w.symlink(b"links/short", b"x")
    w.symlink(b"links/relative", b"../size-17")
    w.symlink(b"links/absolute", b"/nonexistent/" + "ä".encode() * 50)
    w.symlink(b"links/longest", b"t" * 3039)
    w.symlink(b"links/" + b"s" * 200, b"long name")
    w.link(b"size-8192", b"links/hard")
    w.link(b"size-8192", b"links/" + b"h" * 255)
    w.link(b"links/short", b"links/hard-symlink")
    w.fifo(b"fifo")

    w.file(b"attributes", content(100))
    for path in (b"attributes", b"empty-dir", b"size-0"):
        w.xattr(path, b"user.empty", b"")
        w.xattr(path, b"user.comment", b"a comment\0with NUL")
    w.xattr(b"attributes", b"user." + b"n" * 162, b"the longest name without long.")
    w.xattr(b"attributes", b"user." + b"n" * 163, b"the shortest name with long.")
    w.xattr(b"attributes", b"user." + b"l" * 250, b"")
    if os.geteuid() == 0:  # else nobody could set it on the extracted file
        w.xattr(b"attributes", b"trusted.t", bytes(1000))
    for path in (b"links/short", b"fifo"):
        w.xattr(path, b"trusted.t", b"on " + path)
        w.xattr(path, b"trusted." + b"n" * 156, b"the longest name without long.")
        w.xattr(path, b"trusted." + b"n" * 157, b"the shortest name with long.")
    w.file(b"acl", b"acl")
    w.xattr(b"acl", b"system.posix_acl_access", ACL)
    return {b"": 0o750, b"acl": 0o640, b"size-1": 0o400, b"size-15": 0o4755, b"empty-dir": 0o1777, b"fifo": 0o600,
            b"size-16": 0 if os.geteuid() == 0 else 0o600}


def expected(w):
    out, seen = [], {}
    for backing, path, info in sorted(w.made, key=lambda m: m[1].split(b"/")):
        o = ref_list.entry(path, os.lstat(backing), seen)
        for k, v in info.items():
            o[k] = ref_list.text(v) if isinstance(v, bytes) else v
        if not o.get("holes", True):
            del o["holes"]
        out.append(o)
    return ref_list.dump_json(out)


def make(path, integrity, content_keys=1, seed=None, passphrase=b"test", keyfile=None, kdf=(1, 8, 1), crash=False,
         bare=False, odd=None):
    """Returns the Writer. bare: only an empty root. odd: (seed, number of files, marker), see make_odd."""
    rng = Random(seed)
    volume_key, u, created = rng(32), rng(16), "2024-01-02T03:04:05Z"
    u = uuid.UUID(bytes=u[:6] + bytes([u[6] & 15 | 64, u[7], u[8] & 63 | 128]) + u[9:]).bytes
    slots = []
    if passphrase is not None:
        k = {"type": "argon2id", "salt": b64e(rng(32)), "time": kdf[0], "memory_kib": kdf[1], "parallel": kdf[2]}
        slots.append(make_slot(0, "passphrase", "", created, k, passphrase, volume_key, u, rng(12)))
    if keyfile is not None:
        k = {"type": "hkdf-sha512", "salt": b64e(rng(32))}
        slots.append(make_slot(len(slots), "keyfile", "key file", created, k, keyfile, volume_key, u, rng(12)))
    keys = Keys(volume_key, u, integrity, content_keys)
    conf = make_conf(volume_key, u, created, "xtsfs reference make.py", integrity, content_keys, slots)
    w = Writer(path, keys, conf, rng)
    modes = {}
    if not bare:
        modes = samples(w, Random(b"content" if seed is None else seed + b" content"))
    if crash:
        crash_files(w, Random(b"crash"))
    if odd:
        odd_files(w, *odd)
    w.finish(modes)
    return w


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("volume", help="directory to make")
    p.add_argument("--integrity", choices=("aes-gmac", "hmac-sha256", "none"), default="aes-gmac")
    p.add_argument("--content-keys", type=int, default=1)
    p.add_argument("--seed", help="TESTS ONLY: all random bytes from this text")
    p.add_argument("--passphrase", default="test")
    p.add_argument("--keyfile", help="adds a slot for this file, which must exist")
    p.add_argument("--no-passphrase", action="store_true")
    p.add_argument("--time", type=int, default=1)
    p.add_argument("--memory-kib", type=int, default=8)
    p.add_argument("--parallel", type=int, default=1)
    p.add_argument("--crash", action="store_true", help="add what a killed writer leaves, and an unclean marker")
    p.add_argument("--odd", type=int, default=0, metavar="N", help="an empty volume, and in it N files in states made at random")
    p.add_argument("--odd-marker", choices=("none", "valid", "invalid"), default="valid", help="the unclean marker with --odd")
    p.add_argument("--volume-key-hex-out", metavar="FILE")
    p.add_argument("--expected-list", action="store_true", help="print the canonical list of what was written")
    a = p.parse_args()
    w = make(a.volume, a.integrity, a.content_keys, a.seed.encode() if a.seed is not None else None,
             None if a.no_passphrase else a.passphrase.encode("utf-8", "surrogateescape"),
             open(a.keyfile, "rb").read() if a.keyfile else None, (a.time, a.memory_kib, a.parallel), a.crash,
             bool(a.odd), (a.seed, a.odd, a.odd_marker) if a.odd else None)
    if a.volume_key_hex_out:
        with open(a.volume_key_hex_out, "w") as f:
            f.write(w.keys.volume_key.hex() + "\n")
    if a.expected_list:
        sys.stdout.write(expected(w))


if __name__ == "__main__":
    main()
