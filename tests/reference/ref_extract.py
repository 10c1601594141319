# SPDX-License-Identifier: Apache-2.0
"""Writes the decoded tree to a directory: content (holes stay holes), links, special files, owner, mode, mtime, attributes."""
import os
import stat


class Extract:
    def __init__(self, outdir):
        os.makedirs(outdir, exist_ok=True)
        self.root = os.open(outdir, os.O_RDONLY | os.O_DIRECTORY)
        self.stack = [(self.root, None)]
        self.complaints = []

    @property
    def fd(self):
        return self.stack[-1][0]

    def proc(self, name, fd=None):
        return b"/proc/self/fd/%d/%s" % (self.fd if fd is None else fd, name)

    def enter(self, name):
        os.mkdir(name, 0o700, dir_fd=self.fd)
        self.stack.append((os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.fd), name))

    def leave(self, o):
        fd, name = self.stack.pop()
        os.close(fd)
        self.attributes(name, o)

    def root_attributes(self, o):
        self.set(b"/proc/self/fd/%d/." % self.root, o)

    def create(self, name, size):
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=self.fd)
        os.ftruncate(fd, size)
        return fd

    def finish(self, fd, name, o):
        os.close(fd)
        self.attributes(name, o)

    def link(self, name, o):
        try:
            os.link(os.fsencode(o["same_as"]), name, src_dir_fd=self.root, dst_dir_fd=self.fd, follow_symlinks=False)
        except OSError as e:
            self.complaints.append("%s: link: %s" % (o["path"], e.strerror))

    def other(self, name, o):
        if "same_as" in o:
            self.link(name, o)
            return
        try:
            if o["type"] == "symlink":
                os.symlink(os.fsencode(o["target"]), name, dir_fd=self.fd)
            else:
                kind = {"fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK, "chr": stat.S_IFCHR, "blk": stat.S_IFBLK}[o["type"]]
                os.mknod(name, kind | 0o600, os.makedev(*o["rdev"]) if "rdev" in o else 0, dir_fd=self.fd)
        except OSError as e:
            self.complaints.append("%s: %s" % (o["path"], e.strerror))
            return
        self.attributes(name, o)

    def attributes(self, name, o):
        self.set(self.proc(name), o)

    def set(self, path, o):
        link = o["type"] == "symlink"
        try:
            os.chown(path, o["uid"], o["gid"], follow_symlinks=False)
        except OSError as e:
            self.complaints.append("%s: chown: %s" % (o["path"], e.strerror))
        for n, v in o.get("xattrs", {}).items():
            try:
                os.setxattr(path, os.fsencode(n), bytes.fromhex(v), follow_symlinks=False)
            except OSError as e:
                self.complaints.append("%s: attribute %s: %s" % (o["path"], n, e.strerror))
        if not link:
            os.chmod(path, int(o["mode"], 8))
        os.utime(path, ns=(o["mtime_ns"], o["mtime_ns"]), follow_symlinks=False)
