# SPDX-License-Identifier: Apache-2.0
"""Talks to a control socket as no client should: python3 common/control.py SOCKET WHAT...

Each WHAT is done in order, on a connection of its own: "send:TEXT" (backslash escapes; "*N" behind it repeats it N times) prints the
first line of the reply, or "closed"; "both:TEXT|TEXT" sends two; "silent:N" opens N connections that stay open to the end and say nothing.
"""
import re
import socket
import sys

SECONDS = 30


def connect(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(path)             # waits while many others are on their way
    s.settimeout(SECONDS)
    return s


def main(path, *steps):
    kept = []
    for step in steps:
        kind, text = step.split(':', 1)
        if kind == 'silent':
            kept += [connect(path) for _ in range(int(text))]
            continue
        repeated = re.fullmatch(r'(.*)\*(\d+)', text)
        data = (repeated[1] * int(repeated[2]) if repeated else text).encode().decode('unicode_escape').encode('latin-1')
        try:
            s = connect(path)
        except OSError as e:
            print(f'cannot connect: {e.strerror}')
            continue
        try:
            for message in data.split(b'|') if kind == 'both' else [data]:
                s.send(message)
            reply = s.recv(65536)
        except (ConnectionError, BrokenPipeError):
            reply = b''
        print(reply.split(b'\n')[0].decode() if reply else 'closed')


main(*sys.argv[1:])
