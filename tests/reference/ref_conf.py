# SPDX-License-Identifier: Apache-2.0
"""xtsfs.conf: section 4. Reading (strict), unlocking, writing."""
import hashlib
import hmac
import json
import re
import uuid as _uuid

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ref_crypto import Keys, argon2id, b64d_n, b64e, hkdf_sha512

MAX_CONF = 256 * 1024
INTEGRITY = ("aes-gmac", "hmac-sha256", "none")
_END = re.compile(rb'"hmac": "([A-Za-z0-9_-]{43})"\n\}\n\Z')
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\Z")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


# Kind: the KDFs it may have.
KINDS = {"passphrase": ("argon2id",), "keyfile": ("hkdf-sha512",), "passphrase+keyfile": ("argon2id",),
         "recovery": ("hkdf-sha512",), "tpm2": ("argon2id", "hkdf-sha512"), "fido2": ("hkdf-sha512",)}
RECOVERY_CHARS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class ConfError(Exception):
    pass


class WrongKey(ConfError):
    pass


def need(ok, text):
    if not ok:
        raise ConfError("xtsfs.conf: " + text)


def is_int(v, low, high):
    return type(v) is int and low <= v <= high


def no_duplicates(pairs):
    d = dict(pairs)
    need(len(d) == len(pairs), "a member occurs twice")
    return d


def no_float(text):
    raise ConfError("xtsfs.conf: the number %s is not an integer" % text)


def get_b64(obj, member, n, what):
    try:
        return b64d_n(obj.get(member), n)
    except ValueError as e:
        raise ConfError("xtsfs.conf: %s.%s: %s" % (what, member, e)) from None


def slot_key(kind, kdf, secret):
    """secret: bytes, or for two factors the passphrase and the keyfile."""
    salt = b64d_n(kdf["salt"], 32)

    def stretched(text):
        return argon2id(text, salt, kdf["time"], kdf["memory_kib"], kdf["parallel"])

    if kind == "passphrase":
        return stretched(secret)
    if kind == "keyfile":
        return hkdf_sha512(secret, salt, b"xtsfs v1 keyfile", 32)
    if kind == "tpm2":  # what the TPM gave, or with a PIN that and the PIN
        token, pin = secret if kdf["type"] == "argon2id" else (secret, None)
        return hkdf_sha512((b"" if pin is None else stretched(pin)) + token, salt, b"xtsfs v1 tpm2", 32)
    if kind == "fido2":  # what the authenticator gave
        return hkdf_sha512(secret, salt, b"xtsfs v1 fido2", 32)
    if kind == "recovery":
        return hkdf_sha512(recovery_bytes(secret), salt, b"xtsfs v1 recovery", 32)
    passphrase, keyfile = secret
    factors = stretched(passphrase) + hkdf_sha512(keyfile, salt, b"xtsfs v1 keyfile", 32)
    return hkdf_sha512(factors, salt, b"xtsfs v1 passphrase+keyfile", 32)


def gf32(a, b):
    """Product in GF(2)[x] / (x^5 + x^2 + 1)."""
    product = 0
    for i in range(5):
        if b >> i & 1:
            product ^= a << i
    for i in range(8, 4, -1):
        if product >> i & 1:
            product ^= 0x25 << (i - 5)
    return product


def recovery_bytes(text):
    """The 25 bytes of a recovery key, or None."""
    letters = [c for c in text.decode("latin-1").upper() if c.isascii() and c.isalnum()]
    try:
        values = [RECOVERY_CHARS.index({"O": "0", "I": "1", "L": "1", "U": "V"}.get(c, c)) for c in letters]
    except ValueError:
        return None
    if len(values) != 48:
        return None
    bits = 0
    for group in range(8):
        v, weight, check = values[6 * group:6 * group + 6], 1, group + 1
        for x in v[:5]:
            weight = gf32(weight, 2)
            check ^= gf32(weight, x)
            bits = bits << 5 | x
        if check != v[5]:
            return None
    return bits.to_bytes(25, "big")


class Slot:
    def __init__(self, o):
        need(isinstance(o, dict), "a slot that is not an object")
        need(is_int(o.get("id"), 0, 15), "slot id")
        what = "slot %d" % o["id"]
        self.id = o["id"]
        self.usable = False
        name = o.get("name")
        need(isinstance(name, str) and len(name.encode("utf-8", "surrogatepass")) <= 64, what + ": name")
        self.kind = o.get("kind")
        need(isinstance(self.kind, str), what + ": kind")
        need(isinstance(o.get("created"), str) and _TIME.match(o["created"]), what + ": created")
        kdf = o.get("kdf")
        need(isinstance(kdf, dict) and isinstance(kdf.get("type"), str), what + ": kdf")
        self.kdf = kdf
        if kdf["type"] not in KINDS.get(self.kind, ()):
            return  # unknown (or mixed) kind or KDF: kept, never tried
        self.salt = get_b64(kdf, "salt", 32, what)
        if kdf["type"] == "argon2id":
            need(is_int(kdf.get("parallel"), 1, 16), what + ": parallel")
            need(is_int(kdf.get("time"), 1, 1024), what + ": time")
            need(is_int(kdf.get("memory_kib"), 8 * kdf["parallel"], 4194304), what + ": memory_kib")
            need(kdf["time"] * kdf["memory_kib"] <= 1 << 28, what + ": time x memory_kib")
        if self.kind == "tpm2":
            device = o.get("tpm2")
            need(isinstance(device, dict) and isinstance(device.get("pcrs"), list), what + ": tpm2")
            need(all(is_int(x, 0, 23) for x in device["pcrs"]), what + ": pcrs")
            get_b64(device, "parent", 34, what)
            for k in ("public", "private"):
                need(isinstance(device.get(k), str) and 1 <= len(device[k]) * 3 // 4 <= 512, what + ": " + k)
                get_b64(device, k, len(device[k]) * 3 // 4, what)
        if self.kind == "fido2":
            device = o.get("fido2")
            need(isinstance(device, dict) and isinstance(device.get("touch"), bool), what + ": fido2")
            need(device.get("user") in ("any", "pin", "built-in"), what + ": user")
            need(isinstance(device.get("credential"), str) and 1 <= len(device["credential"]) * 3 // 4 <= 1023, what + ": credential")
            get_b64(device, "credential", len(device["credential"]) * 3 // 4, what)
            get_b64(device, "salt", 32, what)
        wrap = o.get("wrap")
        need(isinstance(wrap, dict), what + ": wrap")
        self.nonce = get_b64(wrap, "nonce", 12, what)
        self.key = get_b64(wrap, "key", 32, what)
        self.tag = get_b64(wrap, "tag", 16, what)
        self.usable = True

    def slot_key(self, secret):
        return slot_key(self.kind, self.kdf, secret)

    def unwrap(self, secret, uuid):
        try:
            return AESGCM(self.slot_key(secret)).decrypt(
                self.nonce, self.key + self.tag, b"xtsfs v1 slot" + uuid)
        except InvalidTag:
            return None


class Conf:
    def __init__(self, text):
        need(len(text) <= MAX_CONF, "longer than 256 KiB")
        m = _END.search(text)
        need(m, 'does not end with the "hmac" member')
        self.covered = text[:m.start()]
        try:
            self.hmac = b64d_n(m.group(1).decode("ascii"), 32)
            o = json.loads(text.decode("utf-8"), object_pairs_hook=no_duplicates,
                           parse_float=no_float, parse_constant=no_float)
        except ConfError:
            raise
        except (ValueError, RecursionError) as e:
            raise ConfError("xtsfs.conf: %s" % e) from None
        need(isinstance(o, dict), "not an object")
        need(list(o)[-1:] == ["hmac"], '"hmac" is not the last member')
        need(is_int(o.get("xtsfs"), 1, 1), "format version %r" % (o.get("xtsfs"),))
        features = o.get("features")
        need(isinstance(features, dict), "features")
        for k in ("incompatible", "compatible"):
            a = features.get(k)
            need(isinstance(a, list) and all(isinstance(x, str) for x in a), "features." + k)
        unknown = [x for x in features["incompatible"] if x != "reencrypt"]
        need(not unknown, "unknown incompatible feature %s" % ", ".join(unknown))
        self.key_generation = o.get("key_generation", 0)
        need(is_int(self.key_generation, 0, (1 << 31) - 1), "key_generation")
        need(("reencrypt" in o) == ("reencrypt" in features["incompatible"]), "reencrypt: the member without the feature, or the other way round")
        self.old = None
        if "reencrypt" in o:
            need(isinstance(o["reencrypt"], dict), "reencrypt")
            self.old = [get_b64(o["reencrypt"], k, n, "reencrypt") for k, n in (("nonce", 12), ("key", 32), ("tag", 16))]
        u = o.get("uuid")
        need(isinstance(u, str) and _UUID.match(u), "uuid")
        self.uuid = _uuid.UUID(u).bytes
        need(isinstance(o.get("created"), str) and _TIME.match(o["created"]), "created")
        need(isinstance(o.get("writer"), str), "writer")
        need(is_int(o.get("sector_bytes"), 4096, 4096), "sector_bytes")
        self.integrity = o.get("integrity")
        need(self.integrity in INTEGRITY, "integrity")
        self.content_keys = o.get("content_keys")
        need(is_int(self.content_keys, 1, 256) and self.content_keys & (self.content_keys - 1) == 0, "content_keys")
        slots = o.get("slots")
        need(isinstance(slots, list) and len(slots) <= 16, "slots")
        self.slots = [Slot(s) for s in slots]
        need(len({s.id for s in self.slots}) == len(self.slots), "two slots of one id")

    def verify(self, volume_key):
        want = hmac.new(Keys.config_key(volume_key, self.uuid), self.covered, hashlib.sha256).digest()
        if not hmac.compare_digest(want, self.hmac):
            raise ConfError("xtsfs.conf: the HMAC does not verify")

    def old_key(self, volume_key):
        """Section 14.1: the volume key that is being replaced, None if none is."""
        if not self.old:
            return None
        nonce, key, tag = self.old
        wrapping = hkdf_sha512(volume_key, self.uuid, b"xtsfs v1 reencrypt", 32)
        try:
            return AESGCM(wrapping).decrypt(nonce, key + tag, b"xtsfs v1 reencrypt" + self.uuid)
        except InvalidTag:
            raise ConfError("xtsfs.conf: the old volume key does not open with the new one") from None

    def unlock(self, kind, secret):
        """The volume key; kind is that of a slot, or volume-key."""
        if kind == "volume-key":
            need(len(secret) == 32, "a volume key has 32 bytes")
            self.verify(secret)
            return secret
        if kind == "keyfile" and not 32 <= len(secret) <= 8 << 20:
            raise ConfError("a keyfile has 32 bytes to 8 MiB")
        for slot in self.slots:
            if slot.usable and (slot.kind == kind or (slot.kind == "recovery" and kind == "passphrase" and recovery_bytes(secret))):
                key = slot.unwrap(secret, self.uuid)
                if key is not None:
                    self.verify(key)
                    return key
        raise WrongKey("no slot opens with this %s" % kind.replace("+", " and "))


def make_slot(slot_id, kind, name, created, kdf, secret, volume_key, uuid, nonce, **more):
    """kdf: the member as it is stored."""
    key = slot_key(kind, kdf, secret)
    out = AESGCM(key).encrypt(nonce, volume_key, b"xtsfs v1 slot" + uuid)
    return {"id": slot_id, "name": name, "kind": kind, "created": created, "kdf": kdf, **more,
            "wrap": {"nonce": b64e(nonce), "key": b64e(out[:32]), "tag": b64e(out[32:])}}


def make_conf(volume_key, uuid, created, writer, integrity, content_keys, slots):
    o = {"xtsfs": 1, "uuid": str(_uuid.UUID(bytes=uuid)), "created": created, "writer": writer,
         "features": {"incompatible": [], "compatible": []}, "sector_bytes": 4096,
         "integrity": integrity, "content_keys": content_keys, "slots": slots}
    text = json.dumps(o, indent=2)
    assert text.endswith("\n}")
    covered = (text[:-2] + ",\n  ").encode("utf-8")
    mac = hmac.new(Keys.config_key(volume_key, uuid), covered, hashlib.sha256).digest()
    return covered + ('"hmac": "%s"\n}\n' % b64e(mac)).encode("ascii")
