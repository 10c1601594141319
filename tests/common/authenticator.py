#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A FIDO2 authenticator in software, to be spoken to by the real libfido2: CTAP 2.0 with hmac-secret and a client PIN.

    authenticator.py OPTIONS DIR [-- OPTIONS DIR]...    [--uhid] [--pin PIN [--tries N]] [--needs-touch]
                        [--plain] [--later]

Several are a process each, and end with this one. DIR/seed makes one what it is: another seed, another authenticator; made
if it is not there. DIR/path is written when it can be reached, and holds its device; DIR/pid is its process. DIR/user, read
when somebody has to touch it, says what he does: touches (also where there is no such file), leaves it until it gives up,
denies, or pulls it out; DIR/asked counts how often that was.
--uhid: a HID device, else a terminal. --later: plugged in when there is DIR/plug. --tries: that are left for the PIN.
--needs-touch: it does not work without, as some. --plain: no hmac-secret.
Nothing else is kept: credentials are what the seed makes of their ids.
"""
import argparse
import hashlib
import hmac
import os
import signal
import struct
import sys
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import ctaphid

OK, INVALID_COMMAND, MISSING, UNSUPPORTED_ALGORITHM, DENIED = 0x00, 0x01, 0x14, 0x26, 0x27
UNSUPPORTED_OPTION, CANCELLED, NO_CREDENTIALS, TIMEOUT, PIN_INVALID = 0x2b, 0x2d, 0x2e, 0x2f, 0x31
PIN_BLOCKED, PIN_AUTH_INVALID, PIN_AUTH_BLOCKED, PIN_NOT_SET = 0x32, 0x33, 0x34, 0x35
ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551
UP, UV, ATTESTED, EXTENDED = 0x01, 0x04, 0x40, 0x80
TRIES, TRIES_AT_ONCE = 8, 3


class Refused(Exception):
    pass


def cbor(value):
    def head(major, number):
        for more, form, limit in ((24, ">B", 1 << 8), (25, ">H", 1 << 16), (26, ">I", 1 << 32)):
            if number < 24:
                return bytes([major << 5 | number])
            if number < limit:
                return bytes([major << 5 | more]) + struct.pack(form, number)
        raise ValueError(number)
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    return head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())


def parse(data, at=0):
    """The value, and where it ends."""
    major, number = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        return number == 21, at
    if number >= 24:
        size = 1 << number - 24
        number = int.from_bytes(data[at:at + size], "big")
        at += size
    if major < 2:
        return (number if major == 0 else -1 - number), at
    if major < 4:
        value = data[at:at + number]
        return (value if major == 2 else value.decode()), at + number
    items = []
    for _ in range(number * (major - 3)):
        value, at = parse(data, at)
        items.append(value)
    return (items if major == 4 else dict(zip(items[::2], items[1::2]))), at


def sha256(data):
    return hashlib.sha256(data).digest()


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def cose(key, algorithm):
    numbers = key.public_key().public_numbers()
    return {1: 2, 3: algorithm, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}


class Authenticator:
    def __init__(self, options):
        self.options, self.dir = options, options.dir
        seed = os.path.join(self.dir, "seed")
        if not os.path.exists(seed):
            with open(seed, "wb") as file:
                file.write(os.urandom(32))
        with open(seed, "rb") as file:
            self.seed = file.read()
        self.agreement = ec.generate_private_key(ec.SECP256R1())
        self.pin_token = os.urandom(16)
        self.pin_hash = sha256(options.pin.encode())[:16] if options.pin else None
        self.tries, self.at_once, self.asked = options.tries, TRIES_AT_ONCE, 0
        device = (ctaphid.Uhid if options.uhid else ctaphid.Pty)("xtsfs-test-%d" % os.getpid())
        self.hid = ctaphid.Hid(device, self.handle)
        with open(os.path.join(self.dir, "pid"), "w", encoding="ascii") as file:
            file.write("%d\n" % os.getpid())
        with open(os.path.join(self.dir, "path.new"), "w", encoding="ascii") as file:
            file.write(device.path + "\n")
        os.rename(os.path.join(self.dir, "path.new"), os.path.join(self.dir, "path"))

    def touch(self):
        self.asked += 1
        with open(os.path.join(self.dir, "asked"), "w", encoding="ascii") as file:
            file.write("%d\n" % self.asked)
        try:
            with open(os.path.join(self.dir, "user"), encoding="ascii") as file:
                what = file.read().strip()
        except FileNotFoundError:
            what = "touches"
        for _ in range(10 if what == "leaves" else 2):
            if not self.hid.keep_alive():
                raise Refused(CANCELLED)
        if what == "pulls":
            sys.exit(0)
        if what != "touches":
            raise Refused(TIMEOUT if what == "leaves" else DENIED)

    def shared(self, peer):
        numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(peer[-2], "big"), int.from_bytes(peer[-3], "big"), ec.SECP256R1())
        return sha256(self.agreement.exchange(ec.ECDH(), numbers.public_key()))

    @staticmethod
    def cipher(key):
        return Cipher(algorithms.AES(key), modes.CBC(bytes(16)))

    def decrypt(self, key, data):
        context = self.cipher(key).decryptor()
        return context.update(data) + context.finalize()

    def encrypt(self, key, data):
        context = self.cipher(key).encryptor()
        return context.update(data) + context.finalize()

    def info(self):
        info = {1: ["FIDO_2_0"], 2: [] if self.options.plain else ["hmac-secret"], 3: bytes(16),
                4: {"rk": False, "up": True, "clientPin": self.pin_hash is not None}, 5: 1200, 6: [1]}
        return info

    def check_pin(self, request):
        """getPinToken"""
        if self.pin_hash is None:
            raise Refused(PIN_NOT_SET)
        if self.tries == 0:
            raise Refused(PIN_BLOCKED)
        if self.at_once == 0:
            raise Refused(PIN_AUTH_BLOCKED)
        key = self.shared(request[3])
        self.tries -= 1
        self.at_once -= 1
        if self.decrypt(key, request[6]) != self.pin_hash:
            self.agreement = ec.generate_private_key(ec.SECP256R1())
            raise Refused(PIN_BLOCKED if self.tries == 0 else PIN_AUTH_BLOCKED if self.at_once == 0 else PIN_INVALID)
        self.tries, self.at_once = TRIES, TRIES_AT_ONCE
        return {2: self.encrypt(key, self.pin_token)}

    def client_pin(self, request):
        if request[2] == 1:
            return {3: self.tries}
        if request[2] == 2:
            return {1: cose(self.agreement, -25)}
        if request[2] == 5:
            return self.check_pin(request)
        raise Refused(INVALID_COMMAND)

    def verified(self, request, hash_at, auth_at):
        """Was the PIN given, by the parameter that proves it?"""
        if auth_at not in request:
            return False
        if not hmac.compare_digest(mac(self.pin_token, request[hash_at])[:16], request[auth_at]):
            raise Refused(PIN_AUTH_INVALID)
        return True

    def credential(self, nonce, rp_hash):
        """Its id and its key."""
        tag = mac(self.seed, b"id" + nonce + rp_hash)
        number = int.from_bytes(mac(self.seed, b"key" + nonce), "big") % (ORDER - 1) + 1
        return nonce + tag, ec.derive_private_key(number, ec.SECP256R1())

    def make_credential(self, request):
        rp_hash = sha256(request[2]["id"].encode())
        if not any(item["alg"] == -7 for item in request[4]):
            raise Refused(UNSUPPORTED_ALGORITHM)
        uv = self.verified(request, 1, 8)
        if self.pin_hash and not uv:
            raise Refused(0x36)  # CTAP 2.0: none is made without the PIN
        self.touch()
        ident, key = self.credential(os.urandom(32), rp_hash)
        wanted = request.get(6, {}).get("hmac-secret") and not self.options.plain
        data = rp_hash + struct.pack(">BI16xH", UP | UV * uv | ATTESTED | EXTENDED * bool(wanted), 1, len(ident)) + ident
        data += cbor(cose(key, -7)) + (cbor({"hmac-secret": True}) if wanted else b"")
        signature = key.sign(data + request[1], ec.ECDSA(hashes.SHA256()))
        return {1: "packed", 2: data, 3: {"alg": -7, "sig": signature}}

    def get_assertion(self, request):
        rp_hash = sha256(request[1].encode())
        uv = self.verified(request, 2, 6)
        up = request.get(5, {}).get("up", True)
        for item in request.get(3, []):
            ident, key = self.credential(item["id"][:32], rp_hash)
            if ident == item["id"]:
                break
        else:
            raise Refused(NO_CREDENTIALS)
        wanted = request.get(4, {}).get("hmac-secret")
        if wanted and not up and self.options.needs_touch:
            raise Refused(UNSUPPORTED_OPTION)
        if up:
            self.touch()
        data = rp_hash + struct.pack(">BI", UP * up | UV * uv | EXTENDED * bool(wanted), 1)
        if wanted:
            secret = self.shared(wanted[1])
            if not hmac.compare_digest(mac(secret, wanted[2])[:16], wanted[3]):
                raise Refused(PIN_AUTH_INVALID)
            random = mac(self.seed, (b"verified" if uv else b"random") + ident)
            data += cbor({"hmac-secret": self.encrypt(secret, mac(random, self.decrypt(secret, wanted[2])))})
        return {1: {"id": ident, "type": "public-key"}, 2: data, 3: key.sign(data + request[2], ec.ECDSA(hashes.SHA256()))}

    def handle(self, message):
        commands = {1: self.make_credential, 2: self.get_assertion, 4: lambda request: self.info(), 6: self.client_pin}
        try:
            request = parse(message, 1)[0] if len(message) > 1 else {}
            return bytes([OK]) + cbor(commands[message[0]](request))
        except Refused as refused:
            return bytes([refused.args[0]])
        except KeyError:
            return bytes([MISSING])

    def run(self):
        while True:
            self.hid.receive(None)


def run_one(arguments):
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--uhid", action="store_true")
    p.add_argument("--pin")
    p.add_argument("--tries", type=int, default=8)
    p.add_argument("--needs-touch", action="store_true")
    p.add_argument("--plain", action="store_true")
    p.add_argument("--later", action="store_true")
    p.add_argument("dir")
    options = p.parse_args(arguments)
    os.setsid()
    while options.later and not os.path.exists(os.path.join(options.dir, "plug")):
        time.sleep(0.01)
    try:
        Authenticator(options).run()
    except OSError:
        pass  # the other side has gone


def main():
    arguments, children = sys.argv[1:], []
    while arguments:
        at = arguments.index("--") if "--" in arguments else len(arguments)
        child = os.fork()
        if child == 0:
            run_one(arguments[:at])
            os._exit(0)
        children.append(child)
        arguments = arguments[at + 1:]

    def end(number, frame):
        for child in running:
            os.kill(child, signal.SIGTERM)
    running = set(children)
    signal.signal(signal.SIGTERM, end)
    while running:
        running.discard(os.wait()[0])


if __name__ == "__main__":
    main()
