#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/vectors/format-v1.json (deterministic). With --check only compares. With --markdown prints the
worked examples."""
import argparse
import hashlib
import json
import os
import sys
import uuid

sys.dont_write_bytecode = True

import ref_layout as lay
from ref_conf import Conf, make_conf, make_slot
from ref_crypto import B, INLINE_S, Keys, Mac, b64d, b64e, siv_encrypt, tweak, xts, zpad
from ref_encode import encode_inline, encode_sectors, meta_block, whole
from ref_file import CLEAN, SPARSE, make_unclean
from make_power import Tail
from ref_names import XATTR_NAME_AD, encode_name, encode_symlink, encode_xattr, make_dirid

HERE = os.path.dirname(os.path.abspath(__file__))
FILE = os.path.join(HERE, "..", "vectors", "format-v1.json")
VOLUME_KEY = bytes(range(32))
UUID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff").bytes
DIR_ID, PARENT_ID = bytes(range(0xa0, 0xb0)), bytes(range(0xb0, 0xc0))
FILE_ID, R = bytes(range(0x40, 0x50)), bytes(range(0xc0, 0xd0))
RECOVERY = b"40GJ41-8S44MR-K2EA13-958NJF-RB9E5H-WR32CG-HK6GT3-KCDSR7"
TOKEN = bytes(range(0x10, 0x30))
DEVICE = {"pcrs": [0, 7], "parent": b64e(bytes(range(34))), "public": b64e(bytes(range(80))), "private": b64e(bytes(range(200)))}
AUTHENTICATOR = {"credential": b64e(bytes(range(64))), "salt": b64e(bytes(range(0x40, 0x60))), "touch": True, "user": "pin"}
KDF_SALT, NONCE = bytes(range(0x60, 0x80)), bytes(range(0x80, 0x8c))
INTEGRITY = ("aes-gmac", "hmac-sha256", "none")


def pattern(n):
    return bytes(i % 251 for i in range(n))


def sha(b):
    return hashlib.sha256(b).hexdigest()


def keys_for(integrity, n=1):
    return Keys(VOLUME_KEY, UUID, integrity, n)


def derived():
    k = keys_for("aes-gmac", 256)
    out = {"content %d" % i: k.content_key(i).hex() for i in (0, 1, 2, 3, 10, 255)}
    out.update({"name": k.name.hex(), "symlink": k.symlink.hex(), "xattr": k.xattr.hex(),
                "sector mac": k.sector_mac_key.hex(), "meta mac": k.meta_mac_key.hex(),
                "config": k.config_key(VOLUME_KEY, UUID).hex()})
    return out


def macs():
    out = []
    for a in ("aes-gmac", "hmac-sha256"):
        for n in (0, 1, 16, 33, 4128):
            out.append({"algorithm": a, "key": "sector mac", "length": n,
                        "tag": Mac(a, keys_for(a).sector_mac_key)(pattern(n)).hex()})
    return out


def dirids():
    return [{"mac": a, "id": DIR_ID.hex(), "parent": p.hex(), "file": make_dirid(keys_for(a), DIR_ID, p).hex()}
            for a in ("aes-gmac", "hmac-sha256") for p in (bytes(16), PARENT_ID)]


def names():
    k, out = keys_for("aes-gmac"), []
    plain = [b"a", b"hello.txt"] + [(b"%d-" % n + b"n" * n)[:n] for n in (16, 17, 159, 160, 161, 176, 177, 255)]
    plain += ["Straße".encode(), b"\xff\xfe", b"xtsfs.conf"]
    for p in plain:
        e, long_name = encode_name(k, DIR_ID, p)
        out.append({"length": len(p), "name_hex": p.hex(), "entry": e, "name_file": long_name})
    return out


def refused_names():
    """Entries that are authentic base64url of the right directory and still to be refused."""
    k, out = keys_for("aes-gmac"), []
    for why, p in (("16 bytes of padding", b"a" * 16 + bytes(16)), ("non-zero byte after a zero", b"a\0b" + bytes(13)),
                   ("empty", bytes(16)), ("dot", zpad(b".")), ("dot dot", zpad(b"..")), ("slash", zpad(b"a/b")),
                   ("not a multiple of 16", b"abc")):
        out.append({"why": why, "entry": b64e(siv_encrypt(k.name, DIR_ID, p))})
    e = encode_name(k, DIR_ID, b"a")[0]
    out.append({"why": "another directory's id", "entry": encode_name(k, PARENT_ID, b"a")[0]})
    last = "AEIMQUYcgkosw048".find(e[-1])
    out.append({"why": "non-zero trailing bits", "entry": e[:-1] + "BFJNRVZdhlptx159"[last]} if last >= 0 else
               {"why": "padding character", "entry": e + "="})
    out.append({"why": "length of 1 mod 4", "entry": e + "AA" if len(e) % 4 == 3 else e + "A"})
    out.append({"why": "truncated", "entry": e[:-4]})
    return out


def symlinks():
    k = keys_for("aes-gmac")
    return [{"target_length": len(t), "target_hex": t.hex() if len(t) < 100 else None,
             "target": None if len(t) < 100 else "byte i is 1 + i mod 250", "r": R.hex(), "stored_length": len(s),
             "stored": s if len(t) < 100 else None, "stored_sha256": sha(s.encode())}
            for t, s in ((t, encode_symlink(k, t, R)) for t in (b"x", b"../some/target", bytes(1 + i % 250 for i in range(3039))))]


def xattrs():
    k, out = keys_for("aes-gmac"), []
    for user_ok, name, value in ((True, b"user.comment", b"hello"), (True, b"user.empty", b""),
                                 (True, b"user." + b"n" * 162, b"v"), (True, b"user." + b"n" * 163, b"v"),
                                 (True, b"user." + b"n" * 250, b""), (False, b"trusted.t", b"v"),
                                 (False, b"trusted." + b"n" * 156, b"v"), (False, b"trusted." + b"n" * 157, b"v")):
        n, v = encode_xattr(k, user_ok, name, value, R)
        c = siv_encrypt(k.xattr, XATTR_NAME_AD, name)
        out.append({"object": "file or directory" if user_ok else "other", "name_length": len(name),
                    "name": name.decode(), "value_hex": value.hex(), "r": R.hex(), "c": c.hex(),
                    "backing_name": n, "backing_value": v.hex()})
    return out


def inline_files():
    out = []
    for a in INTEGRITY:
        for plain in (b"hello, world\n", b"x", pattern(16), pattern(17), pattern(3953)):
            data = encode_inline(keys_for(a), FILE_ID, DIR_ID, plain)
            out.append({"integrity": a, "plain_length": len(plain), "plain_hex": plain.hex() if len(plain) < 99 else None,
                        "plain": None if len(plain) < 99 else "pattern", "stored_length": len(data),
                        "stored_hex": data.hex() if len(data) < 999 else None, "stored_sha256": sha(data),
                        "header": data[:128].hex()})
    return out


def sector_files():
    out = []
    for a in INTEGRITY:
        k = keys_for(a, 4)
        for n in (1, 4080, 4081, 4095, 4096, 4100, 8191, 124 * B, 124 * B + 1, 125 * B + 4090):
            data = whole(*encode_sectors(k, FILE_ID, DIR_ID, pattern(n)))
            o = {"integrity": a, "content_keys": 4, "plain": "pattern", "plain_length": n, "stored_length": len(data),
                 "stored_sha256": sha(data), "header": data[:128].hex()}
            if n == 4100:
                o["block0_128_to_256"] = data[128:256].hex()
                o["sector0_first_32"] = data[4096:4128].hex()
                o["sector1"] = data[8192:].hex()
            if n == 124 * B + 1 and a != "none":
                o["meta1_first_160"] = data[125 * B:125 * B + 160].hex()
            out.append(o)
        parts = {0: pattern(B), 300: pattern(100)}
        data = whole(*encode_sectors(k, FILE_ID, DIR_ID, parts, 300 * B + 100, SPARSE | CLEAN))
        out.append({"integrity": a, "content_keys": 4, "plain": "sparse: sector 0 is pattern of 4096 bytes, sector 300 "
                    "pattern of 100 bytes, the rest holes; the meta block of group 1 is zeros", "plain_length":
                    300 * B + 100, "stored_length": len(data), "stored_sha256": sha(data), "header": data[:128].hex()})
    return out


def growing_files():
    """Pattern of 4100 bytes, then 96 bytes of pattern from its byte 4100 on are appended: what a loss of power may leave."""
    out = []
    for a in ("aes-gmac", "hmac-sha256"):
        x = Tail(keys_for(a, 4), lambda n: FILE_ID, DIR_ID, bytes, 1, 4, 100, 0, 0)
        x.head, x.old, x.new = pattern(B), pattern(4100)[B:], pattern(4196)[B:]
        x.new_id()
        was, will = x.head + x.old, x.head + x.new
        p, tag = x.record()
        for new, plain, c, reads, what in (
                (False, was, x.c1, was, "nothing of it"), (True, was, x.c1, was, "block 0"),
                (True, was, x.c2, was, "block 0 and the sector"),
                (True, will, x.c1, was + bytes(96), "block 0 and the length"), (True, will, x.c2, will, "all of it")):
            data = whole(*x.stored(new, plain, c))
            out.append({"integrity": a, "content_keys": 4, "durable": what, "growing_from": p if new else 0,
                        "growing_tag": tag.hex() if new else bytes(16).hex(), "stored_length": len(data), "header": data[:128].hex(),
                        "entry_of_sector_1": data[160:192].hex(), "sector_1_first_16": data[8192:8208].hex(),
                        "stored_sha256": sha(data), "plain_length": len(reads), "plain_sha256": sha(reads)})
    return out


def meta_blocks():
    entries = b"".join(sha(b"entry %d" % i).encode()[:32] for i in range(124))
    return [{"mac": a, "group": g, "entries": "entry i: the first 32 characters of the lower case hexadecimal SHA-256 of "
             "'entry ' followed by i in decimal", "first_128": meta_block(keys_for(a), g, FILE_ID, entries)[:128].hex()}
            for a in ("aes-gmac", "hmac-sha256") for g in (1, 2**40)]


def tweaks():
    out = []
    for fid in (FILE_ID, b"\xff" * 16, bytes(8) + b"\xff" * 8, b"\xff" * 8 + bytes(8)):
        for s in (0, 1, 124, 2**32, INLINE_S):
            c = xts(keys_for("none").content_key(0), fid, s, pattern(16), True)
            out.append({"file_id": fid.hex(), "s": s, "tweak": tweak(fid, s).hex(), "ciphertext_of_pattern_16": c.hex()})
    return out


def mapping():
    sizes = set(range(0, 3)) | {3952, 3953, 3954}
    for s in (0, 1, 2, 3, 122, 123, 124, 125, 126, 247, 248, 249, 371, 372, 1000, 2**28):
        for t in (0, 1, 15, 16, 17, 2048, 4079, 4080, 4081, 4094, 4095):
            sizes.add(s * B + t)
    back = set(range(0, 130, 43)) | {143, 144, 145, 4095, 4096}
    for n in (1, 2, 3, 124, 125, 126, 127, 249, 250, 251, 252, 1000):
        for r in (0, 1, 14, 15, 16, 17, 4094, 4095):
            back.add(n * B + r)
    return {"plain_to_stored": {"columns": ["plain", "integrity on", "integrity none"], "note":
            "what a file has that is not INLINE (0: the empty file)", "rows":
            [[p] + [lay.sectors_to_stored(p, on) if p else 0 for on in (True, False)] for p in sorted(sizes)]},
            "inline_to_stored": [[p, lay.inline_to_stored(p)] for p in (1, 2, 15, 16, 17, 100, 3937, 3952, 3953)],
            "stored_to_plain": {"columns": ["stored", "integrity on", "integrity none"], "note":
            "from the stored length alone; up to 4096 as INLINE", "rows":
            [[c] + [lay.stored_to_plain(c, on) for on in (True, False)] for c in sorted(back)]},
            "tail": [[t, lay.tail(t)] for t in (1, 2, 15, 16, 17, 31, 32, 4064, 4065, 4079, 4080, 4081, 4082, 4095)]}


def slots():
    kf = bytes(range(64))
    salt = b64e(KDF_SALT)
    out = []
    for kdf in ((1, 8, 1), (2, 64, 2), (3, 256, 4)):
        k = {"type": "argon2id", "salt": salt, "time": kdf[0], "memory_kib": kdf[1], "parallel": kdf[2]}
        out.append((b"correct horse battery staple", make_slot(
            len(out), "passphrase", "", "2024-01-02T03:04:05Z", k, b"correct horse battery staple", VOLUME_KEY, UUID, NONCE)))
    out.append((kf, make_slot(3, "keyfile", "usb", "2024-01-02T03:04:05Z", {"type": "hkdf-sha512", "salt": salt}, kf,
                              VOLUME_KEY, UUID, NONCE)))
    return out


def more_slots():
    """Kinds that came after the first two: what is given for them, and the slot."""
    argon2 = {"type": "argon2id", "salt": b64e(KDF_SALT), "time": 1, "memory_kib": 8, "parallel": 1}
    kf = bytes(range(64))
    word = b"correct horse battery staple"
    return [({"passphrase_hex": word.hex(), "keyfile_hex": kf.hex()}, (word, kf), make_slot(
        4, "passphrase+keyfile", "both", "2024-01-02T03:04:05Z", argon2, (word, kf), VOLUME_KEY, UUID, NONCE)),
            ({"passphrase_hex": RECOVERY.hex()}, RECOVERY, make_slot(
                5, "recovery", "paper", "2024-01-02T03:04:05Z", {"type": "hkdf-sha512", "salt": b64e(KDF_SALT)}, RECOVERY,
                VOLUME_KEY, UUID, NONCE)),
            ({"token_hex": TOKEN.hex()}, TOKEN, make_slot(
                6, "tpm2", "board", "2024-01-02T03:04:05Z", {"type": "hkdf-sha512", "salt": b64e(KDF_SALT)}, TOKEN,
                VOLUME_KEY, UUID, NONCE, tpm2=DEVICE)),
            ({"token_hex": TOKEN.hex(), "pin_hex": b"1234".hex()}, (TOKEN, b"1234"), make_slot(
                7, "tpm2", "board and PIN", "2024-01-02T03:04:05Z", argon2, (TOKEN, b"1234"),
                VOLUME_KEY, UUID, NONCE, tpm2=DEVICE)),
            ({"hmac_hex": TOKEN[::-1].hex()}, TOKEN[::-1], make_slot(
                8, "fido2", "on the ring", "2024-01-02T03:04:05Z", {"type": "hkdf-sha512", "salt": b64e(KDF_SALT)}, TOKEN[::-1],
                VOLUME_KEY, UUID, NONCE, fido2=AUTHENTICATOR))]


def build():
    s = slots()
    out = {"license": "SPDX-License-Identifier: Apache-2.0", "about": "Test vectors of the xtsfs on-disk format, version 1. Made by tests/reference/make-vectors.py. "
           "pattern of n bytes: byte i is i mod 251. Plain padding and filler are zeros in all of them.",
           "volume_key": VOLUME_KEY.hex(), "uuid": str(uuid.UUID(bytes=UUID)), "uuid_bytes": UUID.hex(),
           "directory_id": DIR_ID.hex(), "parent_id": PARENT_ID.hex(), "file_id": FILE_ID.hex(),
           "keys": derived(), "mac": macs(), "dirid": dirids(), "names": names(), "names_refused": refused_names(),
           "symlinks": symlinks(), "xattrs": xattrs(), "tweaks": tweaks(), "inline_files": inline_files(),
           "sector_files": sector_files(), "growing_files": growing_files(), "meta_blocks": meta_blocks(), "mapping": mapping()}
    out["slots"] = []
    conf_slots = [o for _, o in s]
    conf = Conf(make_conf(VOLUME_KEY, UUID, "2024-01-02T03:04:05Z", "test vectors", "aes-gmac", 1, conf_slots))
    for secret, o in s:
        slot = next(x for x in conf.slots if x.id == o["id"])
        assert slot.unwrap(secret, UUID) == VOLUME_KEY
        out["slots"].append({"secret_hex": secret.hex(), "slot_key": slot.slot_key(secret).hex(), "slot": o})
    out["conf"] = []
    for integrity, n in (("aes-gmac", 1), ("hmac-sha256", 4), ("none", 256)):
        text = make_conf(VOLUME_KEY, UUID, "2024-01-02T03:04:05Z", "test vectors", integrity, n, conf_slots)
        at = text.rindex(b'"hmac"')
        assert len(text) - at == 56
        out["conf"].append({"integrity": integrity, "content_keys": n, "text": text.decode(), "covered_bytes": at,
                            "hmac_hex": b64d(text[at + 9:at + 52]).hex()})
    more = more_slots()
    text = make_conf(VOLUME_KEY, UUID, "2024-01-02T03:04:05Z", "test vectors", "aes-gmac", 1, [o for _, _, o in more])
    slots_of = {slot.id: slot for slot in Conf(text).slots}
    assert all(slots_of[o["id"]].unwrap(secret, UUID) == VOLUME_KEY for _, secret, o in more)
    out["more_slots"] = [dict(given, slot_key=slots_of[o["id"]].slot_key(secret).hex(), slot=o) for given, secret, o in more]
    out["more_conf"] = text.decode()
    out["unclean"] = [{"mac": a, "seconds": 1700000000, "file": make_unclean(keys_for(a), 1700000000).hex()}
                      for a in ("aes-gmac", "hmac-sha256")]
    return out


def to_text(out):
    """JSON, one line per element of a list."""
    def short(v):
        return json.dumps(v, ensure_ascii=True)

    def dump(v, pad):
        if isinstance(v, dict) and pad < 2 and any(isinstance(x, (list, dict)) for x in v.values()):
            return "{\n" + ",\n".join(" " * (pad + 1) + short(k) + ": " + dump(x, pad + 1) for k, x in v.items()) + "\n" + " " * pad + "}"
        if isinstance(v, list) and v and not isinstance(v[0], (int, str)):
            return "[\n" + ",\n".join(" " * (pad + 1) + short(x) for x in v) + "\n" + " " * pad + "]"
        if isinstance(v, dict) and pad < 2:
            return "{\n" + ",\n".join(" " * (pad + 1) + short(k) + ": " + short(x) for k, x in v.items()) + "\n" + " " * pad + "}"
        if isinstance(v, dict):
            return "{" + ", ".join(short(k) + ": " + dump(x, pad + 1) for k, x in v.items()) + "}"
        return short(v)
    return dump(out, 0) + "\n"


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    p.add_argument("--markdown", action="store_true", help="print section 13 of the specification")
    a = p.parse_args()
    out = build()
    if a.markdown:
        import worked_examples
        sys.stdout.write(worked_examples.text(out))
        return 0
    text = to_text(out)
    assert json.loads(text) == json.loads(json.dumps(out))
    if a.check:
        ok = open(FILE, encoding="ascii").read() == text
        print("format-v1.json is %s" % ("as made" if ok else "not what make-vectors.py makes"))
        return 0 if ok else 1
    with open(FILE, "w", encoding="ascii") as f:
        f.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
