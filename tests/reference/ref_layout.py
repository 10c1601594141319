# SPDX-License-Identifier: Apache-2.0
"""Where things are in the backing file of a regular file: sections 9.3 to 9.5. `on` is integrity on or not."""
from ref_crypto import B

GROUP = 124
INLINE_MAX = 3953


def tail(t):
    if not 1 <= t <= 4095:
        raise ValueError("tail of %d bytes" % t)
    return t + 15 if t <= 4080 else t + 16


def block(s, on):
    return 1 + s + s // GROUP if on else 1 + s


def is_meta(b, on):
    return b % 125 == 0 if on else b == 0


def before(b, on):
    return b - (b + 124) // 125 if on else b - 1


def sectors_to_stored(p, on):
    """Stored length of a file of p plain bytes that is not INLINE (p = 0: only block 0)."""
    if p == 0:
        return B
    f, t = divmod(p, B)
    if t:
        return block(f, on) * B + tail(t)
    return (block(f - 1, on) + 1) * B


def inline_to_stored(p):
    if not 1 <= p <= INLINE_MAX:
        raise ValueError("inline file of %d bytes" % p)
    return 128 + tail(p)


def plain_to_stored(p, on):
    """What a file written in one go takes."""
    if p == 0:
        return 0
    return inline_to_stored(p) if p <= INLINE_MAX else sectors_to_stored(p, on)


def stored_to_plain(c, on):
    """From the stored length alone (a file of at most one block is taken as INLINE)."""
    if c <= B:
        return c - 143 if c >= 144 else 0
    n, r = divmod(c, B)
    if r >= 16:
        return B * before(n, on) + (0 if is_meta(n, on) else r - 15)
    if r == 0:
        return B * before(n, on)
    if is_meta(n - 1, on):
        return B * before(n, on)
    return B * (before(n, on) - 1) + 4080 + r
