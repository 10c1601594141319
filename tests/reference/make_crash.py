# SPDX-License-Identifier: Apache-2.0
"""States that a writer leaves when it is killed (section 10), all of them readable without loss, and the unclean marker."""
import hashlib

from ref_crypto import B, zpad, xts
from make_power import power_states
from ref_encode import encode_inline, encode_sectors, header
from ref_file import CLEAN, SPARSE, make_unclean
from ref_layout import block, sectors_to_stored, tail


def crash_files(w, content):
    keys, rng = w.keys, w.rng
    on = keys.integrity != "none"
    w.put(w.path + b"/xtsfs.unclean", make_unclean(keys, 1700000000))
    w.mkdir(b"crash")
    d = w.dir_ids[b"crash"][1]

    def add(name, length, pieces, plain, **more):
        w.stored(b"crash/" + name, length, pieces,
                 dict({"size": len(plain), "sha256": hashlib.sha256(plain).hexdigest()}, **more))

    # INLINE header with more behind it than it says: an interrupted conversion. The header holds.
    p = content(1000)
    data = encode_inline(keys, rng(16), d, p)
    add(b"inline-longer", 3 * B, [(0, data), (B, content(B))], p)
    add(b"inline-longer-1", len(data) + 1, [(0, data)], p)

    # Not CLEAN: the stored length says the size.
    p = content(2 * B + 77)
    add(b"not-clean", *encode_sectors(keys, rng(16), d, p, flags=0), p)
    p = content(B + 4090)
    add(b"not-clean-4090", *encode_sectors(keys, rng(16), d, p, flags=0), p)

    # CLEAN with a size that is not that of the stored length: the latter holds.
    p = content(2 * B)
    length, pieces = encode_sectors(keys, rng(16), d, p)
    longer = p + content(B)
    _, more = encode_sectors(keys, pieces[0][1][16:32], d, longer, flags=0)
    block0 = more[0][1]
    block0 = header(keys, CLEAN, block0[16:32], len(p), d, block0[128:])
    add(b"clean-longer", length + B, [(0, block0)] + more[1:], longer)

    # Only block 0, or a meta block and a part of one, behind the last sector.
    length, pieces = encode_sectors(keys, rng(16), d, b"", flags=0)
    add(b"only-header", B, pieces, b"")
    if on:
        p = content(124 * B)
        length, pieces = encode_sectors(keys, rng(16), d, p, flags=0)
        add(b"cut-meta", length + 1000, pieces, p)
        add(b"cut-behind-meta", length + B + 10, pieces, p)

        # The meta block is new, the sector still old; and the other way round of no matter.
        p, q, fid = content(3 * B), content(B), rng(16)
        new = keys.sector_tag(fid, 1, B, xts(keys.file_key(fid), fid, 1, q, True))

        def pending(entries):
            entries[1][0] = new
        add(b"now-pending", *encode_sectors(keys, fid, d, p, flags=CLEAN, edit=pending), p)

        def accepted(entries):
            entries[1][1] = new
        fid2 = rng(16)
        add(b"now-done", *encode_sectors(keys, fid2, d, p, flags=CLEAN, edit=accepted), p)

        # Tail rule: t from 100 to 4085, between writing B bytes and extending by 5.
        p, fid = content(B + 4085), rng(16)

        def growing(entries):
            entries[1][1] = content(16)
        length, pieces = encode_sectors(keys, fid, d, p, flags=0, edit=growing)
        assert length == (block(1, True) + 1) * B + 5
        add(b"tail-rule", length - 5, pieces, p)

        # The entry is for the longer tail, the file still has the shorter one.
        p, fid = content(B + 100), rng(16)
        c2 = xts(keys.file_key(fid), fid, 1, zpad(content(200)), True)

        def longer_tail(entries):
            entries[1][0] = keys.sector_tag(fid, 1, 200, c2)
        add(b"tail-pending", *encode_sectors(keys, fid, d, p, flags=0, edit=longer_tail), p)

        # Punched: the entry is {0, T(old)}; the sector is still old in one file and zero in the other.
        p = content(3 * B)

        def punched(entries):
            entries[1][0] = bytes(16)
        add(b"punch-pending", *encode_sectors(keys, rng(16), d, p, flags=SPARSE | CLEAN, edit=punched), p)
        length, pieces = encode_sectors(keys, rng(16), d, p, flags=SPARSE | CLEAN, edit=punched)
        pieces = [x for x in pieces if x[0] != block(1, True) * B]
        add(b"punch-done", length, pieces, p[:B] + bytes(B) + p[2 * B:], holes=[[B, B]])

        # Filling a hole: {T(new), 0} and the sector still zero.
        fid = rng(16)
        parts = {0: content(B), 2: content(40)}
        fill = keys.sector_tag(fid, 1, B, xts(keys.file_key(fid), fid, 1, content(B), True))

        def filling(entries):
            entries[1] = [fill, bytes(16)]
        add(b"fill-pending", *encode_sectors(keys, fid, d, parts, 2 * B + 40, flags=SPARSE, edit=filling),
            parts[0] + bytes(B) + parts[2], holes=[[B, B]])
    for name, length, pieces, p, holes in power_states(keys, rng, d, content):
        add(b"power-" + name, length, pieces, p, **({"holes": holes} if holes else {}))
    assert sectors_to_stored(1, on) == B + tail(1)
    w.put(w.dir_ids[b"crash"][0] + b"/xtsfs.tmp." + b"A" * 22, b"debris")
    w.put(w.dir_ids[b"crash"][0] + b"/xtsfs.long." + b"B" * 43 + b".name", b"debris")
