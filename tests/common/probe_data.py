# SPDX-License-Identifier: Apache-2.0
"""File content: deterministic patterns and their check, and edits of stored bytes.

The byte at offset o of pattern SEED depends on SEED and o alone, so ranges written in any order and in any
pieces can be checked as one.  No two aligned blocks of a pattern are equal, nor are two seeds: a block in the
wrong place or from the wrong file is told from a damaged one.
"""
import functools
import hashlib
import os

from probe_sys import Usage, number

BLOCK_BYTES = 4096
CHUNK_BYTES = 1 << 20


@functools.lru_cache(maxsize=64)
def _block(seed, block_no):
    return hashlib.shake_128(f'{seed}/{block_no}'.encode()).digest(BLOCK_BYTES)


def pattern_bytes(seed, offset, nbytes):
    if seed == 'zero':
        return bytes(nbytes)
    first, last = offset // BLOCK_BYTES, (offset + nbytes + BLOCK_BYTES - 1) // BLOCK_BYTES
    data = b''.join(_block(seed, n) for n in range(first, last))
    start = offset - first * BLOCK_BYTES
    return data[start:start + nbytes]


def _chunks(offset, nbytes):
    while nbytes > 0:
        n = min(nbytes, CHUNK_BYTES - offset % CHUNK_BYTES)
        yield offset, n
        offset += n
        nbytes -= n


def _write_all(fd, data, offset):
    while data:
        n = os.pwrite(fd, data, offset)
        data, offset = data[n:], offset + n


def pattern(path, offset, nbytes, seed):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        for at, n in _chunks(number(offset), number(nbytes)):
            _write_all(fd, pattern_bytes(seed, at, n), at)
    finally:
        os.close(fd)


def _read_all(fd, nbytes, offset):
    parts = []
    while nbytes and (part := os.pread(fd, nbytes, offset)):
        parts.append(part)
        nbytes, offset = nbytes - len(part), offset + len(part)
    return b''.join(parts)


def verify(path, offset, nbytes, seed):
    """Silent if all is well; else prints what the first wrong byte is and how many there are."""
    first, wrong = None, 0
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for at, n in _chunks(number(offset), number(nbytes)):
            got, want = _read_all(fd, n, at), pattern_bytes(seed, at, n)
            if len(got) < n:
                print(f'verify: {os.path.basename(path)} ends at {at + len(got)}')
                return 1
            if got != want:
                bad = [i for i in range(n) if got[i] != want[i]]
                wrong += len(bad)
                first = first or (at + bad[0], got[bad[0]], want[bad[0]], _origin(got, bad[0], at, seed))
    finally:
        os.close(fd)
    if first is None:
        return 0
    print(f'verify: {os.path.basename(path)} at {first[0]}: {first[1]:02x}, wanted {first[2]:02x}; '
          f'{wrong} bytes wrong; {first[3]}')
    return 1


def _origin(got, index, at, seed):
    """What the 16 bytes after the first wrong one look like."""
    piece = got[index:index + 16]
    if not any(piece):
        return 'zeros'
    offset = at + index
    for block_no in range(offset // BLOCK_BYTES + 64):
        other = _block(seed, block_no)
        if piece == other[offset % BLOCK_BYTES:][:len(piece)]:
            return f'block {block_no} of the same pattern'
    return 'neither zeros nor this pattern'


# Edits of stored bytes.  Each refuses to be without effect.

def _flip(fd, size, offset, mask='1'):
    offset = number(offset) + (size if offset.startswith('-') else 0)
    byte = _exact(fd, offset, 1)
    if not 0 < number(mask) < 256:
        raise Usage('mask must change a byte')
    os.pwrite(fd, bytes([byte[0] ^ number(mask)]), offset)


def _exact(fd, offset, nbytes):
    data = os.pread(fd, nbytes, offset) if offset >= 0 else b''
    if len(data) != nbytes:
        raise Usage(f'{nbytes} bytes at {offset} are not within the file')
    return data


def _changed(old, new):
    if old == new:
        raise Usage('the edit would change nothing')
    return new


def _zero(fd, _size, offset, nbytes):
    offset, nbytes = number(offset), number(nbytes)
    _write_all(fd, _changed(_exact(fd, offset, nbytes), bytes(nbytes)), offset)


def _random(fd, _size, offset, nbytes):
    offset, nbytes = number(offset), number(nbytes)
    _write_all(fd, _changed(_exact(fd, offset, nbytes), os.urandom(nbytes)), offset)


def _truncate(fd, size, new_size):
    if number(new_size) >= size:
        raise Usage(f'{size} bytes are not more than {new_size}')
    os.ftruncate(fd, number(new_size))


def _extend(fd, size, nbytes):
    _write_all(fd, os.urandom(_changed(0, number(nbytes))), size)


def _swap(fd, _size, offset_a, offset_b, nbytes):
    a, b, n = number(offset_a), number(offset_b), number(nbytes)
    if abs(a - b) < n:
        raise Usage('the ranges overlap')
    data_a, data_b = _exact(fd, a, n), _exact(fd, b, n)
    _write_all(fd, _changed(data_a, data_b), a)
    _write_all(fd, data_a, b)


def _paste(fd, _size, offset, source, source_offset, nbytes):
    source_fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = _exact(source_fd, number(source_offset), number(nbytes))
    finally:
        os.close(source_fd)
    _write_all(fd, _changed(_exact(fd, number(offset), len(data)), data), number(offset))


EDITS = {'flip': _flip, 'zero': _zero, 'random': _random, 'truncate': _truncate, 'extend': _extend,
         'swap': _swap, 'paste': _paste}


def edit(name, path, *arguments):
    """The file keeps its times, as a careful attacker would see to."""
    if name not in EDITS:
        raise Usage(f"unknown edit '{name}'")
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        before = os.fstat(fd)
        EDITS[name](fd, before.st_size, *arguments)
        os.utime(fd, ns=(before.st_atime_ns, before.st_mtime_ns))
    finally:
        os.close(fd)


def fill(path, bytes_left):
    """Writes until ENOSPC, then gives back `bytes_left`."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for step in (CHUNK_BYTES, BLOCK_BYTES):
            try:
                while True:
                    os.write(fd, os.urandom(step))
                    if step == BLOCK_BYTES:
                        os.fsync(fd)
            except OSError as e:
                if e.errno != 28:
                    raise
        size = os.fstat(fd).st_size
        os.ftruncate(fd, max(0, size - number(bytes_left)))
        os.fsync(fd)
    finally:
        os.close(fd)
