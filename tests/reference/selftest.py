#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Self test of the independent decoder and encoder: known answers, own second implementations of the primitives, round
trips, tampering. Prints one line per test and `N passed, N failed`."""
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback

sys.dont_write_bytecode = True

from cryptography.hazmat.primitives.ciphers.aead import AESSIV

import ref_layout as lay
from ref_crypto import B, Mac, argon2id, b64d, ecb_encrypt, hkdf_sha512, siv_encrypt, tweak, xts, zpad

HERE = os.path.dirname(os.path.abspath(__file__))
H = bytes.fromhex
PASSED, FAILED = [], []


def test(name):
    def run(f):
        try:
            r = f()
            ok, why = (r, "") if isinstance(r, bool) else (r is None, "" if r is None else str(r))
        except Exception:  # a test that breaks has failed
            ok, why = False, traceback.format_exc()
        (PASSED if ok else FAILED).append(name)
        print("%s: %s%s" % ("ok" if ok else "FAILED", name, "" if not why else "\n    " + why))
        sys.stdout.flush()
        return f
    return run


# Second implementations, on AES-ECB and hashlib only.

def own_hkdf(algorithm, ikm, salt, info, length):
    prk = hmac.new(salt, ikm, algorithm).digest()
    t = out = b""
    for i in range(1, 256):
        t = hmac.new(prk, t + info + bytes([i]), algorithm).digest()
        out += t
        if len(out) >= length:
            return out[:length]


def double_le(t):
    n = int.from_bytes(t, "little") << 1
    return ((n & ((1 << 128) - 1)) ^ (0x87 if n >> 128 else 0)).to_bytes(16, "little")


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def own_xts(key, tw, data):
    half = len(key) // 2
    t, out = ecb_encrypt(key[half:], tw), b""
    for i in range(0, len(data), 16):
        out += xor(ecb_encrypt(key[:half], xor(data[i:i + 16], t)), t)
        t = double_le(t)
    return out


def double_be(t):
    return double_le(t[::-1])[::-1]


def own_cmac(key, data):
    k1 = double_be(ecb_encrypt(key, bytes(16)))
    if data and len(data) % 16 == 0:
        last, data = xor(data[-16:], k1), data[:-16]
    else:
        n = len(data) // 16 * 16
        last, data = xor((data[n:] + b"\x80" + bytes(15))[:16], double_be(k1)), data[:n]
    x = bytes(16)
    for i in range(0, len(data), 16):
        x = ecb_encrypt(key, xor(x, data[i:i + 16]))
    return ecb_encrypt(key, xor(x, last))


def own_siv(key, ad, plain):
    half = len(key) // 2
    d = xor(double_be(own_cmac(key[:half], bytes(16))), own_cmac(key[:half], ad))
    if len(plain) >= 16:
        v = own_cmac(key[:half], plain[:-16] + xor(plain[-16:], d))
    else:
        v = own_cmac(key[:half], xor(double_be(d), (plain + b"\x80" + bytes(15))[:16]))
    q = int.from_bytes(v, "big") & ~(1 << 63) & ~(1 << 31)
    stream = b"".join(ecb_encrypt(key[half:], ((q + i) % (1 << 128)).to_bytes(16, "big"))
                      for i in range((len(plain) + 15) // 16))
    return v + xor(plain, stream)


def own_gmac(key, data):
    """GMAC with a nonce of 12 zero bytes."""
    h = int.from_bytes(ecb_encrypt(key, bytes(16)), "big")
    y = 0
    padded = zpad(data) + (8 * len(data)).to_bytes(8, "big") + bytes(8)
    for i in range(0, len(padded), 16):
        x, v, z = y ^ int.from_bytes(padded[i:i + 16], "big"), h, 0
        for bit in range(127, -1, -1):
            if x >> bit & 1:
                z ^= v
            v = v >> 1 ^ (0xe1 << 120 if v & 1 else 0)
        y = z
    return xor(y.to_bytes(16, "big"), ecb_encrypt(key, bytes(15) + b"\1"))


def rfc9106():
    from argon2.low_level import core, ffi
    out = ffi.new("uint8_t[]", 32)
    parts = {"pwd": b"\1" * 32, "salt": b"\2" * 16, "secret": b"\3" * 8, "ad": b"\4" * 12}
    buffers = {k: ffi.new("uint8_t[]", v) for k, v in parts.items()}
    c = {k: v for k, v in buffers.items()}
    c.update({k + "len": len(v) for k, v in parts.items()})
    c.update({"out": out, "outlen": 32, "version": 0x13, "t_cost": 3, "m_cost": 32, "lanes": 4, "threads": 4,
              "allocate_cbk": ffi.NULL, "free_cbk": ffi.NULL, "flags": 0})
    rc = core(ffi.new("argon2_context *", c), 2)
    return rc == 0 and bytes(ffi.buffer(out, 32)) == H("0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659")


def known_answers():
    @test("RFC 5297 A.1 (AES-SIV, 256-bit key)")
    def _():
        key = H("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
        ad, p = H("101112131415161718191a1b1c1d1e1f2021222324252627"), H("112233445566778899aabbccddee")
        want = H("85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c")
        return siv_encrypt(key, ad, p) == want == own_siv(key, ad, p)

    @test("RFC 5297 A.2 (AES-SIV, 256-bit key, three components)")
    def _():
        key = H("7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f")
        ad = [H("00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100"),
              H("102030405060708090a0"), H("09f911029d74e35bd84156c5635688c0")]
        want = H("7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17dba77ceb094fa663b7a3f748ba8af829"
                 "ea64ad544a272e9c485b62a3fd5c0d")
        return AESSIV(key).encrypt(b"this is some plaintext to encrypt using SIV-AES", ad) == want

    @test("AES-256-SIV (64-byte key) against an own S2V and CTR")
    def _():
        key = bytes(range(64))
        return all(siv_encrypt(key, ad, bytes(range(n))) == own_siv(key, ad, bytes(range(n)))
                   for n in (1, 15, 16, 17, 32, 255) for ad in (b"a", bytes(16), bytes(range(17)), bytes(40)))

    @test("RFC 5869 A.1 with SHA-256 for the own HKDF; SHA-512 with the same input")
    def _():
        a = (b"\x0b" * 22, bytes(range(13)), bytes(range(0xf0, 0xfa)), 42)
        own = own_hkdf("sha256", *a)
        if own != H("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"):
            return False
        want = H("832390086cda71fb47625bb5ceb168e4c8e26a1a16ed34d9fc7fe92c1481579338da362cb8d9f925d7cb")
        return hkdf_sha512(*a) == want == own_hkdf("sha512", *a)

    test("RFC 9106 section 5.3 (Argon2id)")(rfc9106)

    @test("Argon2id as used here depends on every parameter")
    def _():
        base = (b"pw", bytes(32), 2, 64, 2)
        seen = {argon2id(*base)} | {argon2id(*base[:i], v, *base[i + 1:]) for i, v in
                                    enumerate((b"px", b"\1" * 32, 3, 65, 1))}
        # 64 and 65 KiB with 2 lanes are the same number of blocks, but the parameter is hashed
        return len(seen) == 6

    @test("IEEE 1619-2007 vector 10 (AES-256-XTS, 512 and 4096 bytes)")
    def _():
        key = H("27182818284590452353602874713526624977572470936999595749669676273141592653589793238462643383279502"
                "884197169399375105820974944592")
        fid = b"\xff" + bytes(15)
        data = bytes(range(256)) * 2
        c = xts(key, fid, 0, data, True)
        return (c == own_xts(key, fid, data) and xts(key, fid, 0, c, False) == data
                and c.hex().startswith("1c3b3a102f770386e4836c99e370cf9b")
                and hashlib.sha256(c).hexdigest() == "e97e974fa393af794f7a4684395814cf820de60a01eaec677d87b452e316b364"
                and hashlib.sha256(xts(key, fid, 0, data * 8, True)).hexdigest()
                == "d74aad83ceba041c9697f0cd1a0f94a1efd98cb9740ce630724e964be6b85436")

    @test("XTS tweak arithmetic against an own XTS")
    def _():
        key = bytes(range(64))
        return all(xts(key, f, s, bytes(48), True)
                   == own_xts(key, bytes((sum(b << 8 * i for i, b in enumerate(f)) + s >> 8 * i) & 255
                                         for i in range(16)), bytes(48))
                   for f in (bytes(16), b"\xff" * 16, b"\xff" * 8 + bytes(8)) for s in (0, 1, 255, 2**63)) and \
            tweak(b"\xff" * 16, 1) == bytes(16)

    @test("GMAC: AES-256-GCM test case 13 (SP 800-38D submission) and an own GHASH")
    def _():
        if own_gmac(bytes(32), b"") != H("530f8afbc74536b9a963b4f1c4cb738b"):
            return False
        key = bytes(range(64))
        m = Mac("aes-gmac", key)
        return all(m(bytes(range(n))) == ecb_encrypt(key[32:], own_gmac(key[:32], bytes(range(n))))
                   for n in (0, 1, 15, 16, 17, 33, 250))

    @test("hmac-sha256 MAC: RFC 4231 case 2 truncated")
    def _():
        k = zpad(b"Jefe", 64)  # HMAC pads a short key with zeros, so this is the same key
        return Mac("hmac-sha256", k)(b"what do ya want for nothing?") == H("5bdcc146bf60754e6a042426089575c7")

    @test("base64url: refuses padding, foreign characters, 1 mod 4, trailing bits")
    def _():
        for bad in ("A", "AB", "AAB", "AA==", "AA+A", "AA/A", "AAA\n", "AAAAA", "AA A"):
            try:
                b64d(bad)
                return "accepted %r" % bad
            except ValueError:
                pass
        return b64d("") == b"" and b64d("AQ") == b"\1" and b64d("-_8") == b"\xfb\xff"


def layout():
    @test("size mapping: stored_to_plain inverts it, both layouts")
    def _():
        for on in (True, False):
            sizes = list(range(1, 3 * B)) + [s * B + t for s in (122, 123, 124, 125, 247, 248, 371, 2**28)
                                             for t in range(B)]
            for p in sizes:
                c = lay.sectors_to_stored(p, on)
                if lay.stored_to_plain(c, on) != p:
                    return "p %d c %d on %s" % (p, c, on)
        for p in range(1, 3954):
            if lay.stored_to_plain(lay.inline_to_stored(p), False) != p:
                return "inline %d" % p

    @test("size mapping: every stored length, 1 to 260 blocks, is that of its plain size or ends in or behind a meta block")
    def _():
        for on in (True, False):
            for c in range(B + 1, 260 * B):
                p = lay.stored_to_plain(c, on)
                n, r = divmod(c, B)
                in_meta = lay.is_meta(n, on) and r >= 16 or lay.is_meta(n - 1, on) and r < 16
                if (lay.sectors_to_stored(p, on) == c) == in_meta:
                    return "c %d p %d" % (c, p)

    @test("size mapping: before(b) counts sector blocks, block(s) names each once")
    def _():
        for on in (True, False):
            where = {lay.block(s, on): s for s in range(1000)}
            count = 0
            for b in range(1, 1000):
                if lay.before(b, on) != count or (b in where) == lay.is_meta(b, on):
                    return "block %d" % b
                count += b in where


def vectors():
    @test("tests/vectors/format-v1.json is what make-vectors.py makes")
    def _():
        return subprocess.run([sys.executable, os.path.join(HERE, "make-vectors.py"), "--check"],
                              stdout=subprocess.DEVNULL).returncode == 0

    @test("section 13 of the specification is what make-vectors.py --markdown prints")
    def _():
        r = subprocess.run([sys.executable, os.path.join(HERE, "make-vectors.py"), "--markdown"], capture_output=True)
        page = open(os.path.join(HERE, "../../docs/on-disk-format.md"), "rb").read()
        section = page[page.index(b"## 13. Worked examples"):page.index(b"## 14. ")]
        return r.stdout.split(b"\n", 1)[1].rstrip() == section.rstrip()

    @test("tests/vectors/format-v1.json: samples recomputed with the second implementations")
    def _():
        v = json.load(open(os.path.join(HERE, "..", "vectors", "format-v1.json")))
        vk, salt = H(v["volume_key"]), H(v["uuid"].replace("-", ""))
        for label, key in v["keys"].items():
            if own_hkdf("sha512", vk, salt, b"xtsfs v1 " + label.encode(), len(key) // 2).hex() != key:
                return label
        mac = H(v["keys"]["meta mac"])
        gm = lambda m: ecb_encrypt(mac[32:], own_gmac(mac[:32], m))
        f = H(next(x for x in v["inline_files"] if x["plain_length"] == 13)["stored_hex"])
        if gm(b"xtsfs block0 v1\0" + f[:112] + f[128:144]) != f[112:128] or len(f) != 156:
            return "inline header"
        c = own_xts(H(v["keys"]["content 0"]), (int.from_bytes(f[16:32], "little") + 2**63).to_bytes(16, "little"),
                    b"hello, world\n\0\0\0")
        if f[128:144] != c or f[144:] != bytes(12):
            return "inline content"
        n = v["names"][0]
        if b64d(n["entry"]) != own_siv(H(v["keys"]["name"]), H(v["directory_id"]), b"a" + bytes(15)):
            return "name"
        for x in v["dirid"]:
            d = H(x["file"])
            m = b"xtsfs dirid v1\0\0" + d[:32]
            if d[32:] != (gm(m) if x["mac"] == "aes-gmac" else hmac.new(mac, m, "sha256").digest()[:16]):
                return "dirid"


def round_trips(tmp):
    py = [sys.executable]
    passfile = os.path.join(tmp, "pass")
    keyfile = os.path.join(tmp, "key")
    open(passfile, "wb").write(b"secret \xc3\xa4\n")
    open(keyfile, "wb").write(bytes(range(100)))

    def decoder(*args):
        r = subprocess.run(py + [os.path.join(HERE, "xtsfsref.py")] + list(args), capture_output=True)
        return r.returncode, r.stdout.decode(), r.stderr.decode()

    for integrity, n in (("aes-gmac", 1), ("hmac-sha256", 4), ("none", 256)):
        vol, out = os.path.join(tmp, integrity), os.path.join(tmp, integrity + ".out")
        made = subprocess.run(py + [os.path.join(HERE, "make.py"), vol, "--integrity", integrity, "--content-keys", str(n),
                                    "--passphrase", "secret ä", "--keyfile", keyfile, "--expected-list",
                                    "--seed", "selftest", "--volume-key-hex-out", vol + ".vk"],
                              capture_output=True, check=True).stdout.decode()

        @test("round trip %s: dump --require-final --list is the expected list" % integrity)
        def _():
            code, text, err = decoder("dump", vol, "--passfile", passfile, "--require-final", "--list", "-o", out)
            return None if code == 0 and text == made else err

        @test("round trip %s: what was extracted is what was listed" % integrity)
        def _():
            text = decoder("plainlist", out)[1]
            a, b = json.loads(made), json.loads(text)
            for o in a:
                o.pop("holes", None)
            return None if a == b else next(str((x, y)) for x, y in zip(a, b) if x != y)

        @test("round trip %s: holes stay holes" % integrity)
        def _():
            st = os.stat(os.path.join(out, "sparse", "only-hole"))
            return st.st_size == 300 * B + 5 and st.st_blocks == 0

        @test("round trip %s: keyfile and volume key open it, others do not" % integrity)
        def _():
            return [decoder("dump", vol, *a)[0] for a in (
                ("--keyfile", keyfile), ("--volume-key-hex-file", vol + ".vk"), ("--keyfile", passfile),
                ("--passfile", keyfile))] == [0, 0, 2, 2]

    for integrity in ("aes-gmac", "hmac-sha256", "none"):
        vol = os.path.join(tmp, "crash-" + integrity)
        made = subprocess.run(py + [os.path.join(HERE, "make.py"), vol, "--integrity", integrity, "--crash",
                                    "--passphrase", "secret ä", "--expected-list"],
                              capture_output=True, check=True).stdout.decode()

        @test("states a killed writer leaves, %s: all readable; not final" % integrity)
        def _():
            code, text, err = decoder("dump", vol, "--passfile", passfile, "--list")
            if code or text != made:
                return err
            code, _, err = decoder("dump", vol, "--passfile", passfile, "--require-final")
            return code == 1 and ("a growing record of size" in err) == (integrity != "none")

        @test("states a killed writer leaves, %s: without the marker the contradictory ones are refused" % integrity)
        def _():
            os.unlink(os.path.join(vol, "xtsfs.unclean"))
            code, _, err = decoder("dump", vol, "--passfile", passfile)
            bad = [line.split(" ")[1] for line in err.splitlines() if line.startswith("problem")]
            power = {x.split("-")[1] for x in bad if x.startswith("crash/power-")}
            bad = sorted(x for x in bad if not x.startswith("crash/power-"))
            want = ["crash/clean-longer", "crash/inline-longer", "crash/inline-longer-1"]
            if integrity != "none":
                want.append("crash/tail-rule")
            powers = {"zero"} if integrity == "none" else {"zero", "absent", "grown", "shrunk"}
            return None if code == 1 and bad == want and power == powers else err


def main():
    import selftest_power
    import selftest_tamper
    known_answers()
    layout()
    vectors()
    tmp = tempfile.mkdtemp(prefix="xtsfs-selftest-")
    try:
        round_trips(tmp)
        selftest_tamper.run(test, tmp)
        selftest_power.run(test, tmp)
    finally:
        shutil.rmtree(tmp)
    print("%d passed, %d failed" % (len(PASSED), len(FAILED)))
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
