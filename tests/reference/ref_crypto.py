# SPDX-License-Identifier: Apache-2.0
"""Primitives and keys of the xtsfs on-disk format (docs/on-disk-format.md, sections 1, 3, 4)."""
import base64
import hashlib
import hmac as _hmac
import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

B = 4096
INLINE_S = 1 << 63


class Refused(Exception):
    """An object that the format tells a reader to refuse; errno is the name the page gives (or '')."""

    def __init__(self, errno, reason):
        super().__init__(reason)
        self.errno = errno
        self.reason = reason


def pad16(n):
    return (n + 15) // 16 * 16


def zpad(data, n=None):
    n = pad16(len(data)) if n is None else n
    return data + bytes(n - len(data))


def le16(n):
    return n.to_bytes(2, "little")


def le32(n):
    return n.to_bytes(4, "little")


def le64(n):
    return n.to_bytes(8, "little")


def b64e(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


_B64 = re.compile(rb"[A-Za-z0-9_-]*\Z")


def b64d(text):
    """Strict base64url without padding; ValueError for anything else."""
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogateescape")
    if not _B64.match(text):
        raise ValueError("a character outside base64url")
    if len(text) % 4 == 1:
        raise ValueError("base64url length of 1 mod 4")
    raw = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    if b64e(raw).encode("ascii") != text:
        raise ValueError("non-zero trailing bits in base64url")
    return raw


def b64d_n(text, n):
    if not isinstance(text, str):
        raise ValueError("not a string")
    raw = b64d(text)
    if len(raw) != n:
        raise ValueError("%d bytes instead of %d" % (len(raw), n))
    return raw


def hkdf_sha512(ikm, salt, info, length):
    return HKDF(algorithm=hashes.SHA512(), length=length, salt=salt, info=info).derive(ikm)


def argon2id(passphrase, salt, time, memory_kib, parallel, length=32):
    from argon2.low_level import Type, hash_secret_raw
    return hash_secret_raw(passphrase, salt, time, memory_kib, parallel, length, Type.ID, version=0x13)


def ecb_encrypt(key, data):
    enc = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return enc.update(data) + enc.finalize()


class Mac:
    """Section 3.1."""

    def __init__(self, algorithm, key):
        if len(key) != 64:
            raise ValueError("MAC key of %d bytes" % len(key))
        self.algorithm = algorithm
        self.key = key
        self.gcm = AESGCM(key[:32]) if algorithm == "aes-gmac" else None

    def __call__(self, message):
        message = bytes(message)
        if self.gcm:
            g = self.gcm.encrypt(bytes(12), b"", message)
            return ecb_encrypt(self.key[32:], g)
        return _hmac.new(self.key, message, hashlib.sha256).digest()[:16]


def siv_encrypt(key, ad, plaintext):
    return AESSIV(key).encrypt(plaintext, [ad])


def siv_decrypt(key, ad, data):
    """Returns the plaintext; ValueError if it does not verify."""
    if len(data) < 17:
        raise ValueError("SIV output of %d bytes" % len(data))
    try:
        return AESSIV(key).decrypt(data, [ad])
    except InvalidTag:
        raise ValueError("does not decrypt") from None


def tweak(file_id, s):
    return ((int.from_bytes(file_id, "little") + s) % (1 << 128)).to_bytes(16, "little")


def xts(key, file_id, s, data, encrypt):
    c = Cipher(algorithms.AES(key), modes.XTS(tweak(file_id, s)))
    op = c.encryptor() if encrypt else c.decryptor()
    return op.update(data) + op.finalize()


def either(sets, decode):
    """decode(keys) with the first of the sets of keys that does it (section 14.2): (result, its set). If none does, what the first said."""
    said = None
    for keys in sets:
        try:
            return decode(keys), keys
        except ValueError as e:
            said = said or e
    raise said


class Keys:
    """All keys of a volume."""

    def __init__(self, volume_key, uuid, integrity, content_keys):
        if len(volume_key) != 32 or len(uuid) != 16:
            raise ValueError("volume key or UUID of a wrong length")
        self.volume_key = volume_key
        self.uuid = uuid
        self.integrity = integrity
        self.content_keys = content_keys
        self.mac_algorithm = "hmac-sha256" if integrity == "hmac-sha256" else "aes-gmac"
        self.name = self.derive("name")
        self.symlink = self.derive("symlink")
        self.xattr = self.derive("xattr")
        self.sector_mac_key = self.derive("sector mac")
        self.meta_mac_key = self.derive("meta mac")
        self.sector_mac = Mac(self.mac_algorithm, self.sector_mac_key)
        self.meta_mac = Mac(self.mac_algorithm, self.meta_mac_key)
        self._content = {}

    def derive(self, label, length=64):
        return hkdf_sha512(self.volume_key, self.uuid, b"xtsfs v1 " + label.encode("ascii"), length)

    @staticmethod
    def config_key(volume_key, uuid):
        return hkdf_sha512(volume_key, uuid, b"xtsfs v1 config", 32)

    def content_key(self, i):
        if i not in self._content:
            key = self.derive("content %d" % i)
            if key[:32] == key[32:]:
                raise Refused("", "content key with key1 = key2")
            self._content[i] = key
        return self._content[i]

    def file_key(self, file_id):
        return self.content_key(file_id[15] % self.content_keys)

    # Tags, sections 5, 9.1, 9.6 and 10.
    def dirid_tag(self, first32):
        return self.meta_mac(zpad(b"xtsfs dirid v1") + first32)

    def header_tag(self, block0, inline_size=None):
        """inline_size: the plain size of an INLINE file, None for any other."""
        end = B if inline_size is None else 128 + pad16(inline_size)
        return self.meta_mac(zpad(b"xtsfs block0 v1") + block0[:112] + block0[128:end])

    def meta_tag(self, block):
        return self.meta_mac(zpad(b"xtsfs meta v1") + block[:112] + block[128:B])

    def sector_tag(self, file_id, s, t, ciphertext):
        assert len(ciphertext) == pad16(t)
        return self.sector_mac(file_id + le64(s) + le64(t) + ciphertext)

    def redo_tag(self, first112, rest):
        return self.meta_mac(zpad(b"xtsfs redo v1") + first112 + hashlib.sha256(rest).digest())

    def unclean_tag(self, first48):
        return self.meta_mac(zpad(b"xtsfs dirty v1") + first48)
