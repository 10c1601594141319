# SPDX-License-Identifier: Apache-2.0
"""CTAPHID as an authenticator speaks it: reports of 64 bytes, channels, messages in pieces. Two ways to be reached.

uhid: a HID device of the kernel's, /dev/hidrawN, as a real one on USB. Needs /dev/uhid.
pty: a terminal in raw mode. libfido2 opens any character device that is named to it, and takes the usual length of
reports where there is no descriptor to be had; VMIN makes a read give a whole report or nothing. Needs nothing.
"""
import glob
import os
import select
import struct
import termios
import time
import tty

REPORT = 64
BROADCAST = 0xffffffff
PING, MSG, INIT, CBOR, CANCEL, KEEPALIVE, ERROR = 0x01, 0x03, 0x06, 0x10, 0x11, 0x3b, 0x3f
DESCRIPTOR = bytes.fromhex("06d0f10901a1010920150026ff007508954081020921150026ff00750895409102c0")


class Pty:
    def __init__(self, name):
        self.fd, self.slave = os.openpty()
        tty.setraw(self.slave)
        mode = termios.tcgetattr(self.slave)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = REPORT, 0
        termios.tcsetattr(self.slave, termios.TCSANOW, mode)
        self.path = os.ttyname(self.slave)
        os.close(os.open(self.path, os.O_RDWR))  # ours from now on: it does not become that of a program that opens it
        self.pending = b""

    def receive(self):
        self.pending += os.read(self.fd, 4096)
        reports = []
        while len(self.pending) >= 1 + REPORT:
            reports.append(self.pending[1:1 + REPORT])
            self.pending = self.pending[1 + REPORT:]
        return reports

    def send(self, report):
        os.write(self.fd, report)


class Uhid:
    DESTROY, OUTPUT, CREATE, INPUT = 1, 6, 11, 12

    def __init__(self, name):
        self.fd = os.open("/dev/uhid", os.O_RDWR)
        os.write(self.fd, struct.pack("<I128s64s64sHHIIII", self.CREATE, name.encode(), b"", name.encode(),
                                      len(DESCRIPTOR), 3, 0x1209, 0x0001, 0, 0) + DESCRIPTOR.ljust(4096, b"\0"))
        self.path = None
        while not self.path:  # made by the kernel soon after
            for uevent in glob.glob("/sys/class/hidraw/hidraw*/device/uevent"):
                with open(uevent, encoding="latin-1") as file:
                    if "HID_UNIQ=%s\n" % name in file.read():
                        self.path = "/dev/" + uevent.split("/")[4]
            time.sleep(0.01)
        while not os.path.exists(self.path):
            time.sleep(0.01)

    def receive(self):
        event = os.read(self.fd, 4380)
        if struct.unpack_from("<I", event)[0] != self.OUTPUT:
            return []
        size = struct.unpack_from("<H", event, 4 + 4096)[0]
        return [event[4:4 + size][-REPORT:]]  # the number of the report may stand before it

    def send(self, report):
        os.write(self.fd, struct.pack("<IH", self.INPUT, len(report)) + report)


class Hid:
    """handle(command, bytes) gives the answer; wait() is for what takes its time."""

    def __init__(self, device, handle):
        self.device, self.handle = device, handle
        self.channel, self.message, self.missing, self.command = 0, b"", 0, 0
        self.last_channel, self.cancelled = 0, False

    def answer(self, channel, command, data):
        self.device.send((struct.pack(">IBH", channel, 0x80 | command, len(data)) + data[:57]).ljust(REPORT, b"\0"))
        for i, at in enumerate(range(57, len(data), 59)):
            self.device.send((struct.pack(">IB", channel, i) + data[at:at + 59]).ljust(REPORT, b"\0"))

    def take(self, report):
        """A report; the message that it completes, or None."""
        channel, command = struct.unpack_from(">IB", report)
        if command & 0x80:
            count = struct.unpack_from(">H", report, 5)[0]
            self.channel, self.command, self.message, self.missing = channel, command & 0x7f, report[7:7 + count], count
        elif channel == self.channel:
            self.message += report[5:5 + self.missing]
        else:
            return None
        self.missing = max(0, self.missing - (57 if command & 0x80 else 59))
        return (self.command, self.message) if self.missing == 0 else None

    def receive(self, timeout_s):
        if not select.select([self.device.fd], [], [], timeout_s)[0]:
            return
        for report in self.device.receive():
            message = self.take(report)
            if message and message[0] == CANCEL:
                self.cancelled = True
            elif message:
                self.serve(*message)

    def serve(self, command, message):
        channel = self.channel
        if command == INIT:
            self.last_channel += 1
            self.answer(channel, INIT, message[:8] + struct.pack(">IBBBBB", self.last_channel, 2, 1, 0, 0, 0x04 | 0x08))
        elif command == PING:
            self.answer(channel, PING, message)
        elif command == CBOR:
            self.cancelled = False
            self.answer(channel, CBOR, self.handle(message))
        else:
            self.answer(channel, ERROR, b"\x01")

    def keep_alive(self):
        """The user is waited for. Was it taken back?"""
        self.answer(self.channel, KEEPALIVE, b"\x02")
        self.receive(0.02)
        return not self.cancelled
