#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Random patterns and paths: what git leaves out, and what the reverse view does.

ignore_git.py PROGRAM DIR SEED ROUNDS: PROGRAM is build/tests/unit/test-base-ignore, DIR an empty directory. Prints rounds
in which they differ."""
import os
import random
import subprocess
import sys

NAMES = ['a', 'b', 'ab', 'a.o', 'foo', 'bar', 'x y', '#h', '!n', 'a*b', '-', '\u00e9', '.d', '[a]', 'aab', ' ', 'a ', '\\q']
ATOMS = ['a', 'b', '*', '**', '?', '/', '/', '[a-b]', '[!a]', '[^b]', 'foo', 'bar', '.o', '\\', '[[:alpha:]]', '[a', '[]a]',
         '[a\\]', '\u00e9', '#', '!', ' ', '.', '-', '**/', '/**', 'aab', '[[:al', '[a-', '[b-a]', '[[:x:]]', '[]', '[!]', '\\ ']


def make_tree(top, rng):
    for _ in range(200):
        parts = [rng.choice(NAMES) for _ in range(rng.randint(1, 4))]
        where = os.path.join(top, *parts[:-1])
        try:
            os.makedirs(where, exist_ok=True)
            if rng.random() < 0.3:
                os.mkdir(os.path.join(where, parts[-1]))
            else:
                open(os.path.join(where, parts[-1]), 'x').close()
        except (FileExistsError, NotADirectoryError):
            pass
    paths = []
    for where, dirs, files in os.walk(top):
        if where == top and '.git' in dirs:
            dirs.remove('.git')
        paths += [os.path.relpath(os.path.join(where, name), top) + '/' for name in dirs]
        paths += [os.path.relpath(os.path.join(where, name), top) for name in files]
    return paths


def make_patterns(rng):
    lines = []
    for _ in range(rng.randint(1, 4)):
        line = ''.join(rng.choice(ATOMS) for _ in range(rng.randint(1, 5)))
        lines.append(('!' if rng.random() < 0.25 else '') + ('/' if rng.random() < 0.2 else '') + line +
                     ('/' if rng.random() < 0.2 else ''))
    return '\n'.join(lines) + '\n'


def output(command, data):
    return subprocess.run(command, input=data.encode(), stdout=subprocess.PIPE, check=False).stdout.decode()


program, top, seed, rounds = sys.argv[1], sys.argv[2] + '/tree', int(sys.argv[3]), int(sys.argv[4])
rng = random.Random(seed)
patterns = sys.argv[2] + '/patterns'
os.mkdir(top)
subprocess.run(['git', 'init', '-q', top], check=True)
paths = make_tree(top, rng)
left_out = 0
for turn in range(rounds):
    with open(patterns, 'w') as f:
        f.write(make_patterns(rng))
    theirs = output(['git', '-C', top, '-c', f'core.excludesFile={patterns}', 'check-ignore', '--no-index', '-z', '--stdin'],
                    ''.join(path.rstrip('/') + '\0' for path in paths))
    ours = output([program, patterns], ''.join(path + '\n' for path in paths))
    a = set(filter(None, theirs.split('\0')))
    b = {path.rstrip('/') for path in filter(None, ours.split('\n'))}
    left_out += len(a)
    if a != b:
        print(f'seed {seed}, round {turn}: {open(patterns).read()!r}: git alone {sorted(a - b)[:5]}, here alone {sorted(b - a)[:5]}')
if left_out < rounds:
    print(f'patterns leave out too little to tell: {left_out}')
