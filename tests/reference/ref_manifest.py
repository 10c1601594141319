# SPDX-License-Identifier: Apache-2.0
"""Manifests: docs/manifest-format.md."""
import hashlib
import os
import stat

import ref_list
from ref_crypto import B, INLINE_S, le64, pad16, siv_decrypt, zpad
from ref_file import ZERO16, pread
from ref_layout import GROUP, block
from ref_names import check_name

MAX_FRAME = 65552


def label(text):
    return zpad(text.encode("ascii"), 16)


def content_tag(f):
    """Of what a FileReader has read the header of, section 4."""
    h, sectors = f.header, (f.size + B - 1) // B

    def link(d, a, b, data):
        return h.keys.meta_mac(label("xtsfs mfile v1") + d + le64(a) + le64(b) + data)

    d = link(h.id, INLINE_S, f.size, f.block0[128:128 + pad16(f.size)] if h.inline else b"")
    for g in range(0 if h.inline else -(-sectors // GROUP)):
        some = range(GROUP * g, min(GROUP * (g + 1), sectors))
        if f.on:
            data = b"".join(f.entry(s)[0] for s in some)
        else:
            data = hashlib.sha256(pread(f.fd, len(some) * B, block(some[0], False) * B)).digest()
        d = link(d, g, len(some), data)
    return d


def link_tag(keys, target):
    return keys.meta_mac(label("xtsfs mlink v1") + target)


def attributes_tag(keys, attributes):
    """attributes: {name: hexadecimal value}."""
    total = 0
    for name, value in attributes.items():
        name = name.encode("utf-8", "surrogateescape")
        mac = keys.meta_mac(label("xtsfs mattr v1") + hashlib.sha256(name).digest() + hashlib.sha256(bytes.fromhex(value)).digest())
        total ^= int.from_bytes(mac, "big")
    return total.to_bytes(16, "big")


def frames(keys, uuid, data):
    """The plain bytes of a manifest's frames. ValueError for anything that a reader refuses."""
    head, at, number, last = data[:64], 64, 0, False
    if len(head) < 64 or head[:8] != b"xtsfs.mf" or head[8:16] != b"\1\0\0\0\0\0\0\0" or head[56:] != bytes(8):
        raise ValueError("no manifest of version 1")
    if head[16:32] != uuid:
        raise ValueError("the manifest of another volume")
    siv = keys.derive("manifest")
    while not last:
        n = int.from_bytes(data[at:at + 4], "little")
        if not 17 <= n <= MAX_FRAME or at + 4 + n > len(data):
            raise ValueError("frame %d: %d bytes" % (number, n))
        last = at + 4 + n == len(data)
        yield siv_decrypt(siv, head + le64(number) + bytes([last]), data[at + 4:at + 4 + n])
        at, number = at + 4 + n, number + 1


def entries(keys, uuid, data):
    """{path: what the manifest says of it}."""
    out, where = {}, []
    for frame in frames(keys, uuid, data):
        at = 0
        while at < len(frame):
            def number(offset, size, signed=False):
                return int.from_bytes(frame[at + offset:at + offset + size], "little", signed=signed)
            e = frame[at:at + 88]
            depth, length = number(0, 2), number(4, 2)
            name = frame[at + 88:at + 88 + length]
            if len(e) < 88 or len(name) != length or e[6:8] != bytes(2) or e[36:40] != bytes(4):
                raise ValueError("an entry with other bytes than there can be")
            if out:
                check_name(name)
            if depth > len(where) + 1 or bool(out) != bool(depth) or bool(out) != bool(length):
                raise ValueError("an entry of depth %d below %d directories" % (depth, len(where)))
            mode = number(2, 2)
            names = where[:depth - 1] + [name] if depth else []
            where = names if stat.S_ISDIR(mode) else names[:-1]
            path = ref_list.text(b"/".join(names) or b".")
            if path in out:
                raise ValueError("%r is there twice" % path)
            out[path] = {"type": ref_list.TYPES[stat.S_IFMT(mode)], "mode": "%04o" % stat.S_IMODE(mode), "uid": number(8, 4), "gid": number(12, 4),
                         "size": number(16, 8), "mtime_ns": number(24, 8, True) * 10**9 + number(32, 4),
                         "id": e[40:56], "content": e[56:72], "attributes": e[72:88]}
            at += 88 + length
    if not out:
        raise ValueError("without a root")
    return out


def differences(wanted, volume, found):
    """What entries() says against what the walk of the volume, which collected ids and tags, has found: lines of text."""
    found = {o["path"]: o for o in found}
    for path in sorted(set(wanted) - set(found)):
        yield "%s: not in the volume" % path
    for path in sorted(set(found) - set(wanted)):
        yield "%s: not in the manifest" % path
    for path in sorted(set(found) & set(wanted)):
        o, w = found[path], wanted[path]
        ident, content = volume.tags.get(path, (ZERO16, ZERO16))
        size = os.makedev(*o["rdev"]) if "rdev" in o else o["size"]
        have = {"type": o["type"], "mode": o["mode"], "uid": o["uid"], "gid": o["gid"], "size": size, "mtime_ns": o["mtime_ns"],
                "id": ident, "content": content, "attributes": attributes_tag(volume.keys, o.get("xattrs", {}))}
        for what in have:
            if have[what] != w[what]:
                yield "%s: %s: %r in the manifest, %r in the volume" % (path, what, w[what], have[what])
