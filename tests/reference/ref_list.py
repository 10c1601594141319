# SPDX-License-Identifier: Apache-2.0
"""The canonical list of a tree: one JSON object per entry, sorted by the bytes of the path.

Members: path ("." is the root), type, mode (octal string), uid, gid, nlink, mtime_ns; size of files and symlinks (0 for all
else); rdev of devices; for files sha256 (null: not readable, or longer than the hash limit) and holes ([[offset, length]],
only if there are any); target of symlinks; xattrs {name: hex} if there are any; same_as: the first path of a hard link;
error: why the content is not readable. Bytes that are not UTF-8 are lone surrogates (Python's surrogateescape)."""
import hashlib
import json
import os
import stat

TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo",
         stat.S_IFSOCK: "socket", stat.S_IFCHR: "chr", stat.S_IFBLK: "blk"}
HASH_LIMIT = 1 << 30
_ZEROS = bytes(1 << 20)


def text(b):
    return b.decode("utf-8", "surrogateescape")


def entry(path, st, seen):
    """path: bytes, st: an lstat result, seen: dict for hard links."""
    o = {"path": text(path or b"."), "type": TYPES[stat.S_IFMT(st.st_mode)], "mode": "%04o" % stat.S_IMODE(st.st_mode),
         "uid": st.st_uid, "gid": st.st_gid, "nlink": st.st_nlink, "mtime_ns": st.st_mtime_ns, "size": 0}
    if o["type"] in ("chr", "blk"):
        o["rdev"] = [os.major(st.st_rdev), os.minor(st.st_rdev)]
    if o["type"] != "dir" and st.st_nlink > 1:
        first = seen.setdefault((st.st_dev, st.st_ino), path)
        if first != path:
            o["same_as"] = text(first)
    return o


class ContentInfo:
    """Collects hash and holes of one file."""

    def __init__(self, size, limit=HASH_LIMIT):
        self.hash = hashlib.sha256() if size <= limit else None
        self.holes = []

    def add(self, off, length, data):
        if data is None:
            if self.holes and sum(self.holes[-1]) == off:
                self.holes[-1][1] += length
            else:
                self.holes.append([off, length])
        if self.hash:
            if data is not None:
                self.hash.update(data)
            else:
                while length:
                    n = min(length, len(_ZEROS))
                    self.hash.update(_ZEROS[:n])
                    length -= n

    def put(self, o, with_holes=True):
        o["sha256"] = self.hash.hexdigest() if self.hash else None
        if self.holes and with_holes:
            o["holes"] = self.holes


def dump_json(entries):
    entries = sorted(entries, key=lambda o: os.fsencode(o["path"]))
    return "[\n" + ",\n".join(json.dumps(o, sort_keys=True) for o in entries) + "\n]\n"


def plain_list(root, limit=HASH_LIMIT, holes=False):
    """The list of an ordinary tree (a mount, or what dump -o made)."""
    out, seen = [], {}

    def content(fd, size):
        info, off = ContentInfo(size, limit), 0
        while off < size:
            data = off
            if holes or size > limit:
                try:
                    data = os.lseek(fd, off, os.SEEK_DATA)
                except OSError:
                    data = size
            if data > off:
                info.add(off, min(data, size) - off, None)
                off = data
                continue
            end = size
            if holes or size > limit:
                end = min(size, os.lseek(fd, off, os.SEEK_HOLE))
            if info.hash is None:
                off = end
                continue
            part = os.pread(fd, min(1 << 20, end - off), off)
            if not part:
                raise OSError("short read at %d" % off)
            info.add(off, len(part), part)
            off += len(part)
        return info

    def attrs(path):
        d = {n: os.getxattr(path, n, follow_symlinks=False).hex()
             for n in os.listxattr(path, follow_symlinks=False)}
        return d

    def walk(dfd, path):
        names = [b"."] if not path and dfd is None else sorted(os.fsencode(n) for n in os.listdir(dfd))
        for name in names:
            if dfd is None:
                sub, st, proc = b"", os.stat(root), os.fsencode(root)
                fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
            else:
                sub = path + b"/" + name if path else name
                st = os.stat(name, dir_fd=dfd, follow_symlinks=False)
                proc, fd = b"/proc/self/fd/%d/%s" % (dfd, name), None
            o = entry(sub, st, seen)
            out.append(o)
            x = attrs(proc)
            if x:
                o["xattrs"] = x
            if o["type"] == "symlink":
                o["target"] = text(os.readlink(name, dir_fd=dfd))
                o["size"] = st.st_size
            elif o["type"] == "file":
                o["size"] = st.st_size
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=dfd)
                try:
                    content(fd, st.st_size).put(o, holes)
                except OSError as e:
                    o["sha256"], o["error"] = None, str(e)
                os.close(fd)
            elif o["type"] == "dir":
                if fd is None:
                    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=dfd)
                walk(fd, sub)
                os.close(fd)

    walk(None, b"")
    return out
