# SPDX-License-Identifier: Apache-2.0
"""Walking a whole volume: sections 2 and 5 to 8, with checks of everything a reader must check."""
import os
import re
import stat

import ref_list
from ref_conf import Conf, ConfError, MAX_CONF
from ref_crypto import Keys, Refused, either
from ref_file import FileReader, check_unclean, pread
from ref_manifest import content_tag, link_tag
from ref_redo import MAX_REDO, Redo
from ref_names import ACLS, LONG, Dirid, decode_long_name, decode_name, decode_symlink, decode_xattr

_C43 = r"[A-Za-z0-9_-]{43}"
_LONG_ENTRY = re.compile(r"xtsfs\.long\." + _C43 + r"\Z")
_LONG_NAME = re.compile(r"xtsfs\.long\." + _C43 + r"\.name\Z")
_TMP = re.compile(r"xtsfs\.tmp\.[A-Za-z0-9_-]{22}\Z")
_ROOT_ONLY = ("xtsfs.conf", "xtsfs.conf.bak", "xtsfs.backup", "xtsfs.lock", "xtsfs.unclean", "xtsfs.redo", "xtsfs.lost+found")
DIR_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def read_small(name, dfd, limit):
    """Content of a regular file of at most limit bytes (ValueError otherwise)."""
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=dfd)
    try:
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode):
            raise ValueError("not a regular file")
        if st.st_size > limit:
            raise ValueError("%d bytes" % st.st_size)
        return pread(fd, limit, 0)
    finally:
        os.close(fd)


class Volume:
    def __init__(self, path, kind, secret):
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.conf = Conf(read_small("xtsfs.conf", self.fd, MAX_CONF + 1))
        except ValueError as e:
            raise ConfError("xtsfs.conf: %s" % e) from None
        self.volume_key = self.conf.unlock(kind, secret)
        self.keys = Keys(self.volume_key, self.conf.uuid, self.conf.integrity, self.conf.content_keys)
        self.sets = [self.keys]
        old = self.conf.old_key(self.volume_key)
        if old:
            self.sets.append(Keys(old, self.conf.uuid, self.conf.integrity, self.conf.content_keys))
        self.problems = []
        self.marker = None
        try:
            marker = read_small("xtsfs.unclean", self.fd, 65)
            ok, why = max(check_unclean(keys, marker) for keys in self.sets)
            self.marker = "valid" if ok else "invalid"
            if not ok:
                self.problem("problem", "", b"", "xtsfs.unclean", why)
            self.problem("final", "", b"", "xtsfs.unclean", "the volume has an unclean marker")
        except FileNotFoundError:
            pass
        except (ValueError, OSError) as e:
            self.marker = "invalid"
            self.problem("problem", "", b"", "xtsfs.unclean", str(e))

        self.redo = self.read_redo()

    def read_redo(self):
        """Section 14.4: what a crash in re-encryption has left to do, or None."""
        try:
            raw = read_small("xtsfs.redo", self.fd, MAX_REDO)
            if len(self.sets) == 1:
                self.problem("warning", "", b"", "xtsfs.redo", "debris: a redo record, and no re-encryption")
                return None
            return Redo(self.keys, raw)
        except FileNotFoundError:
            return None
        except (ValueError, OSError) as e:
            self.problem("problem", "EIO", b"", "xtsfs.redo", str(e))
            return None

    def problem(self, severity, errno, path, backing, reason):
        """path: plain path (bytes) as far as known; backing: the entry in the backing directory, or ''."""
        self.problems.append({"severity": severity, "errno": errno, "path": ref_list.text(path or b"."),
                              "backing": backing, "reason": reason})

    def walk(self, sink, hash_limit=ref_list.HASH_LIMIT, with_tags=False):
        """The canonical list; sink (see ref_extract) is told of every object, or is None. with_tags: self.tags gets what a manifest says
        of each file, link and directory, {path: (id, tag of its content)}."""
        self.tags = {} if with_tags else None
        self.out, self.seen, self.sink, self.limit = [], {}, sink, hash_limit
        self.dirids = {}
        o = ref_list.entry(b"", os.fstat(self.fd), self.seen)
        self.attributes(o, "/proc/self/fd/%d" % self.fd, b"", "")
        self.out.append(o)
        self.directory(self.fd, b"", o)
        return self.out

    def attributes(self, o, proc, path, backing):
        user_ok = o["type"] in ("file", "dir")
        x, under = {}, {}
        try:
            names = os.listxattr(proc, follow_symlinks=backing == "")
        except OSError as e:
            self.problem("problem", "", path, backing, "listxattr: %s" % e.strerror)
            return
        for n in sorted(names):
            try:
                v = os.getxattr(proc, n, follow_symlinks=backing == "")
                if n in ACLS:
                    x[n] = v.hex()
                    continue
                r, keys = either(self.sets, lambda keys: decode_xattr(keys, user_ok, n, v))
                if r is None:
                    continue
                name = ref_list.text(r[0])
                if name in x and under[name] is keys:
                    self.problem("problem", "", path, backing, "attribute %s occurs twice" % name)
                if name in x and under[name] is self.keys:
                    continue # and under the old key: what a crash has left
                x[name], under[name] = r[1].hex(), keys
            except ValueError as e:
                self.problem("problem", "EIO", path, backing, "attribute %s: %s" % (n, e))
            except OSError as e:
                self.problem("problem", "", path, backing, "attribute %s: %s" % (n, e.strerror))
        if x:
            o["xattrs"] = x

    def directory(self, dfd, path, o):
        root = path == b""
        try:
            raw = read_small("xtsfs.dirid", dfd, 49)
            d = either(self.sets, lambda keys: Dirid(keys, raw))[0]
        except FileNotFoundError:
            self.problem("problem", "EUCLEAN", path, "xtsfs.dirid", "missing: the names in this directory are lost")
            o["error"] = "EUCLEAN"
            return
        except (ValueError, OSError) as e:
            self.problem("problem", "EUCLEAN", path, "xtsfs.dirid", str(e))
            o["error"] = "EUCLEAN"
            return
        if root and d.parent != bytes(16):
            self.problem("problem", "", path, "xtsfs.dirid", "parent id in the root")
        if d.id in self.dirids:
            self.problem("problem", "", path, "xtsfs.dirid", "same id as %r" % self.dirids[d.id])
        self.dirids[d.id] = path
        if self.tags is not None:
            self.tags[o["path"]] = d.id, bytes(16)
        found = {}
        entries = set(os.listdir(dfd))
        for e in sorted(entries, key=os.fsencode):
            name = self.plain_name(dfd, path, d, e, entries, root)
            if name is None:
                continue
            if name in found:
                self.problem("problem", "", path + b"/" + name, e, "the same name as %s" % found[name])
                continue
            found[name] = e
        for name in sorted(found):
            sub = path + b"/" + name if path else name
            try:
                self.object(dfd, sub, name, found[name])
            except OSError as err:
                self.problem("problem", "", sub, found[name], err.strerror or str(err))

    def plain_name(self, dfd, path, d, e, entries, root):
        """The decrypted name of the entry e, None if it is not one (a problem is noted where there is one)."""
        if "." not in e:
            try:
                return either(self.sets, lambda keys: decode_name(keys, d.id, e))[0]
            except ValueError as err:
                self.problem("problem", "", path, e, "foreign: %s" % err)
                return None
        if _LONG_ENTRY.match(e):
            if e + ".name" not in entries:
                self.problem("problem", "", path, e, "its .name file is missing: the name is lost")
                return None
            try:
                text = read_small(e + ".name", dfd, 4096)
                return either(self.sets, lambda keys: decode_long_name(keys, d.id, e, text))[0]
            except (ValueError, OSError) as err:
                self.problem("problem", "", path, e, "long name: %s" % err)
                return None
        if _LONG_NAME.match(e):
            if e[:-5] not in entries:
                self.problem("warning", "", path, e, "debris: a .name file without its entry")
        elif _TMP.match(e):
            self.problem("warning", "", path, e, "debris: a temporary object")
        elif root and e == "xtsfs.lost+found":
            self.problem("info", "", path, e, "not empty" if os.listdir("/proc/self/fd/%d/%s" % (dfd, e)) else "empty")
        elif e != "xtsfs.dirid" and not (root and e in _ROOT_ONLY):
            self.problem("problem", "", path, e, "foreign: a name with a dot")
        return None

    def object(self, dfd, path, name, e):
        st = os.stat(e, dir_fd=dfd, follow_symlinks=False)
        o = ref_list.entry(path, st, self.seen)
        self.attributes(o, "/proc/self/fd/%d/%s" % (dfd, e), path, e)
        self.out.append(o)
        sink = self.sink
        if o["type"] == "dir":
            fd = os.open(e, DIR_FLAGS, dir_fd=dfd)
            try:
                if sink:
                    sink.enter(name)
                self.directory(fd, path, o)
                if sink:
                    sink.leave(o)
            finally:
                os.close(fd)
            return
        if o["type"] == "symlink":
            try:
                stored = os.fsencode(os.readlink(e, dir_fd=dfd))
                target = either(self.sets, lambda keys: decode_symlink(keys, stored))[0]
                o["target"], o["size"] = ref_list.text(target), len(target)
                if self.tags is not None:
                    self.tags[o["path"]] = bytes(16), link_tag(self.keys, target)
            except ValueError as err:
                self.problem("problem", "EIO", path, e, "symlink: %s" % err)
                o["error"] = "EIO"
                return
        if o["type"] == "file":
            fd = os.open(e, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=dfd)
            try:
                self.regular(fd, st.st_size, o, path, name, e)
            finally:
                os.close(fd)
        elif sink:
            sink.other(name, o)

    def regular(self, fd, c, o, path, name, e):
        copy = self.sink and "same_as" not in o
        if self.sink and not copy:
            self.sink.link(name, o)
        try:
            f = FileReader(self.sets, fd, c, self.marker)
            if self.redo and f.header and f.header.id == self.redo.file_id:
                raise Refused("EIO", "a redo record is about it")
        except Refused as r:
            self.problem("problem", r.errno, path, e, r.reason)
            o["error"], o["sha256"] = r.errno, None
            return
        o["size"] = f.size
        if self.tags is not None and f.size:
            self.tags[o["path"]] = f.header.id, content_tag(f)
        info = ref_list.ContentInfo(f.size, self.limit)
        ofd = self.sink.create(name, f.size) if copy else None
        good = True
        for off, length, data, ok in f.content():
            good &= ok
            if ok:
                info.add(off, length, data)
                if copy and data is not None:
                    os.pwrite(ofd, data, off)
        info.put(o)
        if not good:
            o["error"], o["sha256"] = "EIO", None
        if copy:
            self.sink.finish(ofd, name, o)
        for severity, errno, reason in f.problems:
            self.problem(severity, errno, path, e, reason)
