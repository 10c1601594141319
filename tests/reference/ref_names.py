# SPDX-License-Identifier: Apache-2.0
"""Directories, names, symbolic links and extended attributes: sections 5 to 8."""
import hashlib

from ref_crypto import b64d, b64e, le16, pad16, siv_decrypt, siv_encrypt, zpad

LONG = "xtsfs.long."
XATTR_NAME_AD = b"xtsfs xattr name"
ACLS = ("system.posix_acl_access", "system.posix_acl_default")


class Dirid:
    def __init__(self, keys, data):
        if len(data) != 48:
            raise ValueError("%d bytes instead of 48" % len(data))
        if keys.dirid_tag(data[:32]) != data[32:]:
            raise ValueError("the tag does not verify")
        self.id, self.parent = data[:16], data[16:32]


def make_dirid(keys, dir_id, parent):
    return dir_id + parent + keys.dirid_tag(dir_id + parent)


def check_name(name):
    if not 1 <= len(name) <= 255:
        raise ValueError("name of %d bytes" % len(name))
    if name in (b".", b"..") or b"/" in name or b"\0" in name:
        raise ValueError("not a name: %r" % name)


def encode_name(keys, dir_id, name):
    """(entry, content of its .name file or None)"""
    check_name(name)
    c = siv_encrypt(keys.name, dir_id, zpad(name))
    e = b64e(c)
    if len(e) <= 255:
        return e, None
    return LONG + b64e(hashlib.sha256(c).digest()), e


def decode_name(keys, dir_id, e):
    """ValueError if it is to be refused."""
    c = b64d(e)
    p = siv_decrypt(keys.name, dir_id, c)
    if len(p) % 16:
        raise ValueError("decrypts to %d bytes" % len(p))
    name = p.rstrip(b"\0")
    if len(p) != pad16(len(name)):
        raise ValueError("16 or more bytes of padding")
    check_name(name)
    return name


def decode_long_name(keys, dir_id, entry, e):
    """entry: the xtsfs.long. entry; e: the content of its .name file."""
    if LONG + b64e(hashlib.sha256(b64d(e)).digest()) != entry:
        raise ValueError("the .name file does not hash to the entry")
    if len(e) <= 255:
        raise ValueError("a name that is not too long in an xtsfs.long. entry")
    return decode_name(keys, dir_id, e)


def encode_symlink(keys, target, r):
    return b64e(r + siv_encrypt(keys.symlink, r, target))


def decode_symlink(keys, stored):
    raw = b64d(stored)
    if len(raw) < 33:
        raise ValueError("symlink target of %d characters" % len(stored))
    if len(raw) - 32 != 3 * len(stored) // 4 - 32:
        raise ValueError("symlink length")
    target = siv_decrypt(keys.symlink, raw[:16], raw[16:])
    if b"\0" in target:
        raise ValueError("NUL in a symlink target")
    return target


def xattr_prefix(user_ok):
    """user_ok: a regular file or a directory."""
    return "user.xtsfs." if user_ok else "trusted.xtsfs."


def encode_xattr(keys, user_ok, name, value, r):
    """(backing name, backing value); name is bytes."""
    c = siv_encrypt(keys.xattr, XATTR_NAME_AD, name)
    stored = r + siv_encrypt(keys.xattr, r + name, value + b"\1")
    prefix = xattr_prefix(user_ok)
    if len(prefix + b64e(c)) <= 255:
        return prefix + b64e(c), stored
    return prefix + "long." + b64e(hashlib.sha256(c).digest()), le16(len(c)) + c + stored


def decode_xattr(keys, user_ok, backing, stored):
    """(name, value) or None for an attribute that is not ours; ValueError if it does not verify."""
    prefix = xattr_prefix(user_ok)
    if not backing.startswith(prefix):
        return None
    e = backing[len(prefix):]
    if e.startswith("long."):
        if len(stored) < 2:
            raise ValueError("long attribute of %d bytes" % len(stored))
        n = int.from_bytes(stored[:2], "little")
        c, stored = stored[2:2 + n], stored[2 + n:]
        if len(c) != n or b64e(hashlib.sha256(c).digest()) != e[5:]:
            raise ValueError("the name in the value does not hash to the attribute")
        if len(prefix + b64e(c)) <= 255:
            raise ValueError("a name that is not too long in a long. attribute")
    else:
        c = b64d(e)
    name = siv_decrypt(keys.xattr, XATTR_NAME_AD, c)
    if len(name) > 255 or b"\0" in name:
        raise ValueError("not an attribute name: %r" % name)
    if len(stored) < 33:
        raise ValueError("attribute value of %d bytes" % len(stored))
    value = siv_decrypt(keys.xattr, stored[:16] + name, stored[16:])
    if value[-1:] != b"\1":
        raise ValueError("attribute value does not end with 0x01")
    return name, value[:-1]
