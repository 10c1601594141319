# SPDX-License-Identifier: Apache-2.0
"""Run a program on a terminal of its own and type at it: python3 common/terminal.py STEP... -- PROGRAM [ARG]...

Steps, in order: "expect:TEXT" waits until the program has written TEXT; "type:TEXT" types it (backslash escapes such as
\\n, \\x03, \\x04 are known).  Afterwards prints what was on the terminal, then "exit N" or "signal N", and whether echo is
on as it was before.
"""
import fcntl
import os
import select
import signal
import sys
import termios
import time

SECONDS = 20


def read_some(fd, seconds):
    ready, _, _ = select.select([fd], [], [], seconds)
    if not ready:
        return None
    try:
        return os.read(fd, 4096)
    except OSError:             # EIO: nobody has the terminal any more
        return b''


def main(arguments):
    at = arguments.index('--')
    steps, command = arguments[:at], arguments[at + 1:]
    master, slave = os.openpty()         # the slave is kept open, and with it the terminal and its settings
    before = termios.tcgetattr(slave)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for fd in (0, 1, 2):
            os.dup2(slave, fd)
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)
    shown, seen = b'', 0
    for step in steps:
        kind, text = step.split(':', 1)
        text = text.encode().decode('unicode_escape').encode('latin-1')
        if kind == 'type':
            os.write(master, text)
            continue
        end = time.monotonic() + SECONDS
        while text not in shown[seen:]:
            data = read_some(master, end - time.monotonic()) if end > time.monotonic() else None
            if not data:
                print(f'not seen: {step}')
                os.kill(pid, signal.SIGKILL)
                break
            shown += data
        seen = max(shown.find(text, seen) + len(text), seen)
    end = time.monotonic() + SECONDS
    done = 0
    while True:
        if not done:
            done, status = os.waitpid(pid, os.WNOHANG)
        data = read_some(master, 0.05)
        shown += data or b''
        if done and not data:
            break
        if time.monotonic() > end:
            print('still running')
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return 1
    after = termios.tcgetattr(slave)
    sys.stdout.write(shown.decode(errors='replace').replace('\r\n', '\n'))
    if shown and not shown.endswith(b'\n'):
        print()
    code = os.waitstatus_to_exitcode(status)
    print(f'exit {code}' if code >= 0 else f'signal {-code}')
    if after != before:
        print('the terminal has other settings than before')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
