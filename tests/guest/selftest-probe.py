#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the kernel offers: one "name: result" line for each argument. Used by selftest, inside the guest."""

import errno
import hashlib
import os
import socket
import subprocess
import sys
import tempfile

KEY = bytes.fromhex("2718281828459045235360287471352662497757247093699959574966967627"
                    "3141592653589793238462643383279502884197169399375105820974944592")
IV = b"\xff" + bytes(15)
ANSWER = "e97e974fa393af794f7a4684395814cf820de60a01eaec677d87b452e316b364"  # IEEE 1619-2007 vector 10
NETLINK_CRYPTO = 21
FUSE_INIT = 26


def af_alg():
    socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET).close()
    return "yes"


def xts():
    with socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET) as tfm:
        tfm.bind(("skcipher", "xts(aes)"))
        tfm.setsockopt(socket.SOL_ALG, socket.ALG_SET_KEY, KEY)
        op, _ = tfm.accept()
        with op:
            op.sendmsg_afalg([bytes(range(256)) * 2], op=socket.ALG_OP_ENCRYPT, iv=IV)
            right = hashlib.sha256(op.recv(512)).hexdigest() == ANSWER
    return "right" if right else "wrong"


def netlink():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_CRYPTO).close()
    return "yes"


def fuse():
    """Mount with fusermount3 as libfuse does and wait for the kernel's first request."""
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryDirectory() as where:
        subprocess.run(["fusermount3", "-o", "fsname=probe", "--", where], check=True,
                       env={**os.environ, "_FUSE_COMMFD": str(theirs.fileno())}, pass_fds=[theirs.fileno()])
        _, (device,), _, _ = socket.recv_fds(ours, 1, 1)
        opcode = int.from_bytes(os.read(device, 65536)[4:8], sys.byteorder)
        os.close(device)
        subprocess.run(["umount", "-l", where], check=True)
    return "yes" if opcode == FUSE_INIT else "no"


def ext4():
    """A filesystem in a file, through a loop device."""
    with tempfile.TemporaryDirectory() as where:
        image, top = os.path.join(where, "image"), os.path.join(where, "top")
        os.mkdir(top)
        with open(image, "wb") as file:
            file.truncate(16 << 20)
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, top], check=True)
        with open(os.path.join(top, "file"), "w") as file:
            file.write("x")
        subprocess.run(["umount", top], check=True)
    return "yes"


def loopback():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        socket.create_connection(server.getsockname(), timeout=10).close()
    return "yes"


for name in sys.argv[1:]:
    try:
        result = globals()[name]()
    except OSError as error:
        result = errno.errorcode.get(error.errno, str(error))
    except subprocess.CalledProcessError as error:
        result = str(error)
    print(f"{name}: {result}")
