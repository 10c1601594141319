# SPDX-License-Identifier: Apache-2.0
"""Independent writer: regular files (section 9) and whole volumes. Knows nothing of updating in place."""
import hashlib
import os
import stat

from ref_crypto import B, INLINE_S, le32, le64, pad16, xts, zpad
from ref_file import CLEAN, INLINE, SPARSE
from ref_layout import GROUP, INLINE_MAX, block, inline_to_stored, sectors_to_stored
from ref_names import encode_name, encode_symlink, encode_xattr, make_dirid


class Random:
    """With a seed (TESTS ONLY): SHA-256(seed ‖ le64(counter)), counter 0, 1, …; without: the kernel's random bytes."""

    def __init__(self, seed=None):
        self.seed, self.counter, self.rest = seed, 0, b""

    def __call__(self, n):
        if self.seed is None:
            return os.urandom(n)
        count = (max(0, n - len(self.rest)) + 31) // 32
        data = self.rest + b"".join(hashlib.sha256(self.seed + le64(self.counter + i)).digest() for i in range(count))
        self.counter += count
        self.rest = data[n:]
        return data[:n]


def record(growing):
    """growing: None or (plain size, tag), section 9.8."""
    p, tag = growing or (0, bytes(16))
    return le64(p) + tag + bytes(32)


def header(keys, flags, file_id, size, dir_id, rest, growing=None):
    """rest: what follows the header in block 0, as far as the tag covers it."""
    h = b"xtsfs.f1" + le32(1) + le32(flags) + file_id + le64(size) + dir_id + record(growing)
    assert len(h) == 112
    inline = size if flags & INLINE else None
    return h + keys.header_tag(h + bytes(16) + rest, inline) + rest


def meta_block(keys, g, file_id, entries, growing=None):
    h = b"xtsfs.m1" + le64(g) + file_id + bytes(24) + record(growing)
    assert len(h) == 112 and len(entries) == B - 128
    return h + keys.meta_tag(h + bytes(16) + entries) + entries


def encode_inline(keys, file_id, dir_id, plain):
    c = xts(keys.file_key(file_id), file_id, INLINE_S, zpad(plain), True)
    out = header(keys, INLINE | CLEAN, file_id, len(plain), dir_id, c)
    return out + bytes(inline_to_stored(len(plain)) - len(out))


def encode_sectors(keys, file_id, dir_id, plain, size=None, flags=CLEAN, real_meta=(), edit=None,
                   growing=None):
    """plain: bytes (no holes), or a dict {sector: its plain bytes} with `size` and SPARSE in flags. Plain padding and filler
    are zeros. real_meta: groups that get an authentic meta block although all their entries are zero.
    edit(entries): may change {sector: [now, before]} before the meta blocks are made.
    growing: a growing record (plain size, tag), which goes to the group it belongs to.
    Returns (stored length, [(offset, bytes)])."""
    on = keys.integrity != "none"
    if not isinstance(plain, dict):
        size = len(plain)
        plain = {s: plain[s * B:s * B + B] for s in range((size + B - 1) // B)}
    key = keys.file_key(file_id)
    pieces, entries = [], {}
    count = (size + B - 1) // B
    for s, p in plain.items():
        t = min(B, size - s * B)
        assert 0 <= s < count and len(p) == t
        c = xts(key, file_id, s, zpad(p), True)
        pieces.append((block(s, on) * B, c))
        tag = keys.sector_tag(file_id, s, t, c)
        entries[s] = [tag, tag]
    if edit:
        edit(entries)
    area = {}
    where = growing[0] // B // GROUP if growing else None
    if on:
        for g in range((count + GROUP - 1) // GROUP):
            mine = {s: e for s, e in entries.items() if s // GROUP == g}
            if mine or g in real_meta or not flags & SPARSE:
                area[g] = b"".join(b"".join(mine.get(g * GROUP + i, (bytes(16), bytes(16)))) for i in range(GROUP))
                if g:
                    pieces.append((125 * g * B, meta_block(keys, g, file_id, area[g], growing if where == g else None)))
    first = header(keys, flags, file_id, size if flags & CLEAN else 0, dir_id, area.get(0, bytes(B - 128)),
                   growing if where == 0 else None)
    return sectors_to_stored(size, on), [(0, first)] + sorted(pieces)


def whole(length, pieces):
    out = bytearray(length)
    for off, data in pieces:
        out[off:off + len(data)] = data
    assert len(out) == length
    return bytes(out)


class Writer:
    """Makes a new volume. Collects what it wrote for the expected list in `made`: (backing path, plain path, kind, info)."""

    def __init__(self, path, keys, conf, rng):
        self.path, self.keys, self.rng, self.made = os.fsencode(path), keys, rng, []
        os.mkdir(self.path, 0o755)
        self.put(self.path + b"/xtsfs.conf", conf)
        self.put(self.path + b"/xtsfs.lock", b"")
        self.dir_ids = {b"": (self.path, rng(16))}
        self.put(self.path + b"/xtsfs.dirid", make_dirid(keys, self.dir_ids[b""][1], bytes(16)))
        self.made.append((self.path, b"", {}))

    @staticmethod
    def put(path, data):
        with open(path, "xb") as f:
            f.write(data)

    def place(self, path):
        """(backing path for the plain path, id of its directory); makes the .name file if one is needed."""
        parent, _, name = path.rpartition(b"/")
        backing, dir_id = self.dir_ids[parent]
        e, long_name = encode_name(self.keys, dir_id, name)
        if long_name is not None:
            self.put(backing + b"/" + e.encode() + b".name", long_name.encode())
        return backing + b"/" + e.encode(), dir_id

    def mkdir(self, path):
        parent = self.dir_ids[path.rpartition(b"/")[0]][1]
        backing, _ = self.place(path)
        os.mkdir(backing)
        self.dir_ids[path] = (backing, self.rng(16))
        self.put(backing + b"/xtsfs.dirid", make_dirid(self.keys, self.dir_ids[path][1], parent))
        self.made.append((backing, path, {}))

    def stored(self, path, length, pieces, info):
        backing, _ = self.place(path)
        with open(backing, "xb") as f:
            f.truncate(length)
            for off, data in pieces:
                os.pwrite(f.fileno(), data, off)
            f.truncate(length)
        self.made.append((backing, path, info))
        return backing

    def dir_of(self, path):
        return self.dir_ids[path.rpartition(b"/")[0]][1]

    def file(self, path, plain, inline=True):
        info = {"size": len(plain), "sha256": hashlib.sha256(plain).hexdigest()}
        if not plain:
            self.stored(path, 0, [], info)
        elif inline and len(plain) <= INLINE_MAX:
            data = encode_inline(self.keys, self.rng(16), self.dir_of(path), plain)
            self.stored(path, len(data), [(0, data)], info)
        else:
            self.stored(path, *encode_sectors(self.keys, self.rng(16), self.dir_of(path), plain), info)

    def sparse(self, path, sectors, size, real_meta=()):
        info = {"size": size, "holes": hole_list(sectors, size)}
        h = hashlib.sha256()
        for s in range((size + B - 1) // B):
            h.update(sectors.get(s, bytes(min(B, size - s * B))))
        info["sha256"] = h.hexdigest()
        self.stored(path, *encode_sectors(self.keys, self.rng(16), self.dir_of(path), sectors, size,
                                          SPARSE | CLEAN, real_meta), info)

    def symlink(self, path, target):
        backing, _ = self.place(path)
        os.symlink(encode_symlink(self.keys, target, self.rng(16)).encode(), backing)
        self.made.append((backing, path, {"target": target, "size": len(target)}))

    def fifo(self, path):
        backing, _ = self.place(path)
        os.mkfifo(backing)
        self.made.append((backing, path, {}))

    def link(self, old, new):
        source = next(b for b, p, _ in self.made if p == old)
        backing, _ = self.place(new)
        os.link(source, backing)
        info = next(i for _, p, i in self.made if p == old)
        self.made.append((backing, new, dict(info)))

    def xattr(self, path, name, value):
        """False if the backing filesystem or the privileges do not allow it."""
        backing, _, info = next(m for m in self.made if m[1] == path)
        mode = os.lstat(backing).st_mode
        user_ok = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
        if name.startswith(b"system."):
            n, v = name.decode(), value
        else:
            n, v = encode_xattr(self.keys, user_ok, name, value, self.rng(16))
        try:
            os.setxattr(backing, n, v, follow_symlinks=False)
        except OSError:
            return False
        for b, _, i in self.made:  # hard links share it
            if os.path.samestat(os.lstat(b), os.lstat(backing)):
                i.setdefault("xattrs", {})[name.decode("utf-8", "surrogateescape")] = value.hex()
        return True

    def finish(self, modes):
        """Sets modes and times, children before parents."""
        for i, (backing, path, info) in reversed(list(enumerate(self.made))):
            if path in modes:
                os.chmod(backing, modes[path])
            elif not os.path.islink(backing):
                os.chmod(backing, 0o755 if os.path.isdir(backing) else 0o644)
            ns = (1700000000 + i) * 10**9 + 123456789
            os.utime(backing, ns=(ns, ns), follow_symlinks=False)


def hole_list(sectors, size):
    out = []
    for s in range((size + B - 1) // B):
        if s in sectors:
            continue
        n = min(B, size - s * B)
        if out and sum(out[-1]) == s * B:
            out[-1][1] += n
        else:
            out.append([s * B, n])
    return out
