#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write through several mounts of one volume at once, and know what must come of it.

usage: writers.py [--rounds N] [--seed N] [--workers N] [--only TASK] [--victim PID] MOUNT MOUNT...

For each mount there are so many workers (default 1), and each does every task for so many rounds (default 20), all of them
at once. A worker knows what it wrote; a read must show every write that ended before it began, and no part of one:

  records   each writes records of its own into one file; they share sectors
  overlap   all write the same bytes; what is read is one write, and whole
  append    all append lines; each line is there once, in its writer's order
  resize    one file is cut, grown and written; each byte is that of its place, or zero
  counter   a number is read and written under a lock file made with O_EXCL
  tokens    files are renamed between names, also long ones; none is lost
  rooms     directories are made and removed while others put files into them; a file that could be made is not lost

With --victim the daemon with that process id, which serves the last MOUNT, is killed in the middle: the errors of its
workers are borne, what they had answered must be there, and the others must not notice.
Prints a line for each task and "N checks, M failed"; 1 if any failed.
"""
import argparse
import errno
import os
import random
import signal
import sys
import time
import traceback
from multiprocessing import Barrier, Process, Value, get_context

LONG = 'n' * 190


class Wrong(Exception):
    """What must not be."""


class Dead(Exception):
    """The mount of the victim is gone."""


def expect(condition, *what):
    if not condition:
        raise Wrong(' '.join(str(part) for part in what))


def fill(worker, serial, size):
    """Bytes that tell who wrote them, when, and whether all are there."""
    unit = b'<%02d:%06d>' % (worker, serial)
    return (unit * (size // len(unit) + 1))[:size]


def read_fill(data):
    """(worker, serial) of what fill() made; None for zeros."""
    if not data.strip(b'\0'):
        return None
    expect(data[:1] == b'<' and data[3:4] == b':', 'torn:', data[:24])
    worker, serial = int(data[1:3]), int(data[4:10])
    expect(data == fill(worker, serial, len(data)), 'a mixture:', data[:24], '...', data[-24:])
    return worker, serial


def place(offset, size):
    """What resize writes at an offset, anywhere."""
    return bytes(1 + (offset + i) * 7 % 251 for i in range(size))


class Worker:
    def __init__(self, options, number, mount, seed):
        self.number, self.mount, self.rounds = number, mount, options.rounds
        self.count, self.random, self.checks = options.count, random.Random(seed), 0
        self.doomed = options.victim and mount == options.mounts[-1]
        self.known = {}

    def path(self, name):
        return os.path.join(self.mount, name)

    def open(self, name, flags):
        return os.open(self.path(name), flags, 0o644)

    def check(self, condition, *what):
        self.checks += 1
        expect(condition, *what)

    # ---- content ----
    def records(self, serial):
        size, slots = 1700, 6
        fd = self.open('records', os.O_RDWR)
        mine = (self.number + serial % slots * self.count) * size
        os.pwrite(fd, fill(self.number, serial, size), mine)
        self.known[mine] = (self.number, serial)
        for _ in range(3):
            at = self.random.randrange(self.count * slots) * size
            found = read_fill(os.pread(fd, size, at))
            owner = at // size % self.count
            self.check(found is None or found[0] == owner, 'record of', owner, 'holds', found)
            before = self.known.get(at)
            self.check(before is None or (found is not None and found >= before), 'record', at, 'was', before, 'is', found)
            if owner == self.number:
                self.check(found == self.known.get(at), 'own record', at, 'is', found, 'not', self.known.get(at))
            elif found:
                self.known[at] = found
        os.close(fd)

    def overlap(self, serial):
        fd = self.open('overlap', os.O_RDWR)
        os.pwrite(fd, fill(self.number, serial, 9000), 100)
        found = read_fill(os.pread(fd, 9000, 100))
        self.check(found is not None, 'nothing, after a write')
        self.check(found[0] != self.number or found[1] == serial, 'an older one of our own:', found, 'not', serial)
        os.close(fd)

    def append(self, serial):
        fd = self.open('append', os.O_WRONLY | os.O_APPEND)
        line = b'%d %d ' % (self.number, serial)
        line += b'x' * self.random.choice((3, 30, 300, 5000)) + b'\n'
        self.check(os.write(fd, line) == len(line), 'a short append')
        os.close(fd)
        with open(self.path('append'), 'rb') as file:
            size = len(file.read())
        self.check(os.stat(self.path('append')).st_size >= size, 'its size is one from before')

    def resize(self, serial):
        del serial
        fd = self.open('resize', os.O_RDWR)
        at, size = self.random.randrange(60000), self.random.choice((1, 100, 4096, 9000))
        kind = self.random.randrange(3)
        if kind == 0:
            os.ftruncate(fd, at)
        elif kind == 1:
            os.pwrite(fd, place(at, size), at)
        else:
            data = os.pread(fd, size, at)
            wanted = place(at, len(data))
            for i, byte in enumerate(data):
                expect(byte in (0, wanted[i]), 'byte', at + i, 'is', byte, 'not', wanted[i])
            self.checks += 1
        os.close(fd)

    # ---- names ----
    def locked(self, name, action):
        for _ in range(20000):
            try:
                os.close(self.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                break
            except FileExistsError:
                time.sleep(0.001)
        else:
            raise Wrong('the lock file does not go away')
        action()
        os.unlink(self.path(name))

    def counter(self, serial):
        del serial

        def add():
            with open(self.path('counter'), 'r+b', buffering=0) as file:
                number = int(file.read())
                file.seek(0)
                file.write(b'%d' % (number + 1))
        self.locked('counter.lock' + LONG, add)
        self.checks += 1

    def tokens(self, serial):
        names = [f'token{i}{LONG if i % 2 else ""}' for i in range(4)]
        old, new = self.random.sample(names, 2)
        try:
            os.rename(self.path(old), self.path(new + '.w%d' % self.number))
        except FileNotFoundError:
            return
        # It is ours now.
        mine = self.path(new + '.w%d' % self.number)
        with open(mine, 'rb') as file:
            self.check(file.read() == b'token', 'a token has lost its content')
        for name in [new] + names:
            try:
                os.link(mine, self.path(name))
                break
            except FileExistsError:
                pass
        os.unlink(mine)

    def rooms(self, serial):
        room = 'room%d%s' % (serial % 2, LONG if serial % 2 else '')
        kind = self.random.randrange(4)
        if kind < 2:
            try:
                (os.mkdir if kind else os.rmdir)(self.path(room))
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOENT, errno.ENOTEMPTY, errno.EBUSY):
                    raise
            return
        name = '%s/guest.%d.%d' % (room, self.number, serial)
        try:
            with open(self.path(name), 'xb', buffering=0) as file:
                file.write(b'here')
        except (FileNotFoundError, OSError) as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                raise
            try: # what failed may be there, or not
                os.unlink(self.path(name))
            except OSError:
                pass
            return
        self.check(os.path.exists(self.path(name)), 'a file has vanished with its directory:', name)
        os.unlink(self.path(name))

    def run(self, task):
        try:
            for serial in range(1, self.rounds + 1):
                getattr(self, task)(serial)
        except OSError as error:
            if self.doomed and error.errno in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ENOENT):
                raise Dead() from error
            raise


TASKS = ('records', 'overlap', 'append', 'resize', 'counter', 'tokens', 'rooms')


def prepare(mount, tasks):
    for name in ('records', 'overlap', 'append', 'resize'):
        if name in tasks:
            with open(os.path.join(mount, name), 'wb'):
                pass
    if 'overlap' in tasks:
        with open(os.path.join(mount, 'overlap'), 'wb') as file:
            file.write(b'\0' * 100 + fill(0, 0, 9000))
    if 'counter' in tasks:
        with open(os.path.join(mount, 'counter'), 'wb') as file:
            file.write(b'0')
    if 'tokens' in tasks:
        for i in range(2):
            with open(os.path.join(mount, 'token%d' % (i * 2)), 'wb') as file:
                file.write(b'token')


def final(options, task, done):
    """What all of it must have come to, on every mount that is left."""
    for mount in options.mounts[:-1] if options.victim else options.mounts:
        if task == 'append':
            with open(os.path.join(mount, 'append'), 'rb') as file:
                lines = file.read().split(b'\n')
            expect(lines.pop() == b'', 'the last line is not whole')
            seen = {}
            for line in lines:
                words = line.split(b' ')
                if options.victim and (len(words) != 3 or words[2].strip(b'x')):
                    continue # the one that was under way
                expect(len(words) == 3 and not words[2].strip(b'x'), 'a torn line:', line[:40])
                number, serial = int(words[0]), int(words[1])
                expect(seen.get(number, 0) + 1 == serial, 'line', serial, 'of', number, 'follows', seen.get(number, 0))
                seen[number] = serial
            for number in range(options.count):
                expect(number in options.doomed or seen.get(number, 0) == options.rounds,
                       'of worker', number, 'there are', seen.get(number, 0), 'lines')
                expect(number not in options.doomed or seen.get(number, 0) >= done[number], 'lines of the victim are lost')
        elif task == 'counter':
            with open(os.path.join(mount, 'counter'), 'rb') as file:
                number = int(file.read())
            wanted = options.rounds * options.count
            expect(number == wanted or options.victim and number < wanted, 'the counter is', number, 'not', wanted)
        elif task == 'tokens':
            left = [name for name in os.listdir(mount) if name.startswith('token')]
            expect(len(left) == 2 or options.victim and len(left) <= 3, 'tokens:', left)
        elif task == 'rooms':
            for name in os.listdir(mount):
                if name.startswith('room'):
                    left = os.listdir(os.path.join(mount, name))
                    expect(not left or options.victim, 'left in a room:', left)
        elif task in ('records', 'overlap', 'resize'):
            with open(os.path.join(mount, task), 'rb') as file:
                content = file.read()
            expect(os.stat(os.path.join(mount, task)).st_size == len(content), 'size of', task)
            options.content.setdefault(task, content)
            expect(options.content[task] == content, task, 'differs between the mounts')


def work(options, number, mount, tasks, barrier, counts, done):
    failed, dead = 0, False
    for position, task in enumerate(tasks):
        if not dead or not options.victim:
            barrier.wait()
        worker = Worker(options, number, mount, options.seed * 1000 + position * 100 + number)
        try:
            if not dead:
                worker.run(task)
                if task == 'append':
                    done[number] = options.rounds
        except Dead:
            dead = True
            barrier.abort()
        except Exception as error: # pylint: disable=broad-except
            failed += 1
            print(f'FAIL {task}, worker {number} at {mount}: {error!r}', flush=True)
            if not isinstance(error, Wrong):
                traceback.print_exc()
        with counts[position].get_lock():
            counts[position].value += worker.checks
    sys.exit(1 if failed else 0)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split('\n\n')[1][7:])
    parser.add_argument('--rounds', type=int, default=20)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--workers', type=int, default=1)
    parser.add_argument('--only', action='append', choices=TASKS)
    parser.add_argument('--victim', type=int)
    parser.add_argument('mounts', nargs='+')
    options = parser.parse_args()
    options.count = options.workers * len(options.mounts)
    options.content = {}
    first_doomed = options.count - options.workers if options.victim else options.count
    options.doomed = set(range(first_doomed, options.count))
    tasks, failed, total = options.only or TASKS, 0, 0
    context = get_context('fork')
    for task in tasks: # one after the other, all workers at once
        prepare(options.mounts[0], [task])
        barrier, counts, done = Barrier(options.count), [Value('i', 0)], context.Array('i', options.count)
        workers = [Process(target=work, args=(options, i, options.mounts[i // options.workers], [task], barrier, counts, done))
                   for i in range(options.count)]
        begun = time.monotonic()
        for worker in workers:
            worker.start()
        if options.victim and task == tasks[-1]:
            while counts[0].value == 0 and any(worker.is_alive() for worker in workers):
                victim_ready = os.path.getsize(os.path.join(options.mounts[0], task)) if task == 'append' else 1
                if victim_ready > 3000:
                    break
                time.sleep(0.001)
            os.kill(options.victim, signal.SIGKILL)
        for worker in workers:
            worker.join()
        bad = sum(worker.exitcode != 0 for worker in workers)
        try:
            final(options, task, done)
            counts[0].value += 1
        except Exception as error: # pylint: disable=broad-except
            print(f'FAIL {task}, at the end: {error!r}')
            bad += 1
        print(f'{"FAIL" if bad else "ok"} {task}: {counts[0].value} checks in {time.monotonic() - begun:.2f} s', flush=True)
        failed, total = failed + bad, total + counts[0].value
    print(f'{total} checks, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
