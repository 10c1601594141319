# SPDX-License-Identifier: Apache-2.0
"""The text of section 13 of docs/on-disk-format.md, from the vectors (make-vectors.py --markdown)."""


def rows(head, lines):
    return "| " + " | ".join(head) + " |\n|" + "---|" * len(head) + "\n" + "".join(
        "| " + " | ".join(str(c) for c in line) + " |\n" for line in lines)


def code(x):
    return "`%s`" % x


def both(h):
    return code(h[:16] + "…" + h[-16:])


def text(v):
    out = ["<!-- SPDX-License-Identifier: Apache-2.0 -->", "## 13. Worked examples", "",
           "All from `tests/vectors/format-v1.json` (`tests/reference/make-vectors.py`), which has many more and every byte. Volume key `00 01 … 1f`,",
           "UUID `%s` (as bytes `0011…eeff`), directory id `a0 a1 … af`, file id `40 41 … 4f`, every r" % v["uuid"],
           "`c0 c1 … cf`. *pattern* of n bytes: byte i is i mod 251. Plain padding and filler are zeros. `…`: left out.", "",
           "### 13.1 Keys (first and last 8 bytes)", ""]
    out.append(rows(("label", "key"), [(code("xtsfs v1 " + k), both(x)) for k, x in v["keys"].items()
                                       if k in ("content 0", "content 3", "name", "symlink", "xattr", "sector mac", "meta mac", "config")]))
    out += ["### 13.2 MAC under the sector MAC key", ""]
    tags = {(m["algorithm"], m["length"]): m["tag"] for m in v["mac"]}
    out.append(rows(("pattern of", "`aes-gmac`", "`hmac-sha256`"),
                    [("%d byte%s" % (n, "" if n == 1 else "s"), code(tags["aes-gmac", n]), code(tags["hmac-sha256", n])) for n in (0, 1, 16, 33, 4128)]))
    d = next(x for x in v["dirid"] if x["mac"] == "aes-gmac")
    out += ["### 13.3 Directory, names, links, attributes (`aes-gmac`)", "",
            "`xtsfs.dirid` of the root: `a0a1…af`, 16 zero bytes, tag `%s`." % d["file"][64:], ""]
    n = {x["length"]: x for x in v["names"]}
    out.append(rows(("name", "entry"), [(code("a"), code(n[1]["entry"])), (code("hello.txt"), code(n[9]["entry"])), (
        "`161-` and 157 times `n`", code(n[161]["entry"]) + ", and a `.name` file of %d characters" % len(n[161]["name_file"]))]))
    s = v["symlinks"][1]
    x = v["xattrs"][0]
    e = v["xattrs"][1]
    out += ["Symlink to `../some/target`: `%s`." % s["stored"], "",
            "`user.comment` = `hello` on a file: `%s` = `%s`." % (x["backing_name"], x["backing_value"]),
            "`user.empty`, empty: `%s` = `%s`." % (e["backing_name"], e["backing_value"]), "",
            "### 13.4 An inline file: `hello, world⏎`, 13 bytes, stored in 128 + 13 + 15 = 156 (`aes-gmac`, one content key)", ""]
    h = v["inline_files"][0]["stored_hex"]
    cut = [(0, 8, "magic"), (8, 12, "version"), (12, 16, "flags `INLINE`, `CLEAN`"), (16, 32, "file id"), (32, 40, "size"),
           (40, 56, "directory id hint"), (56, 112, "growing record, reserved"), (112, 128, "tag"), (128, 144, "one block, s = 2^63"),
           (144, 156, "filler")]
    out.append(rows(("offset", "bytes", "what"), [
        (a, "56 zeros" if a == 56 else "12 zeros" if a == 144 else code(h[2 * a:2 * b]), w) for a, b, w in cut]))
    out += ["### 13.5 A sector file: pattern of 4100 bytes, stored in 4096 + 4096 + 4 + 15 = 8211 (four content keys, key 0x4f mod 4 = 3)", ""]
    files = [f for f in v["sector_files"] if f["plain_length"] == 4100]
    f = files[0]
    out.append(rows(("offset", "bytes (`aes-gmac`)", "what"), [
        (12, code(f["header"][24:32]), "flags `CLEAN`"), (32, code(f["header"][64:80]), "size"),
        (112, code(f["header"][224:]), "tag of block 0"),
        (128, code(f["block0_128_to_256"][:32]) + " twice", "`now` and `before` of sector 0, t = 4096"),
        (160, code(f["block0_128_to_256"][64:96]) + " twice", "those of sector 1, t = 4; then zeros to 4096"),
        (4096, code(f["sector0_first_32"][:32]) + " …", "sector 0"),
        (8192, code(f["sector1"][:32]), "sector 1, one block; then 3 bytes of filler")]))
    out.append(rows(("integrity", "tag of block 0", "SHA-256 of the 8211 bytes"),
                    [(code(f["integrity"]), code(f["header"][224:]), code(f["stored_sha256"])) for f in files]))
    out += ["### 13.6 Sizes", ""]
    inline = dict(v["mapping"]["inline_to_stored"])
    table = {r[0]: r for r in v["mapping"]["plain_to_stored"]["rows"]}
    B = 4096
    show = (3954, 4080, 4081, 4095, 4096, 4097, 123 * B + 4095, 124 * B, 124 * B + 1, 248 * B, 248 * B + 1)
    more = {f["plain_length"]: f["stored_length"] for f in v["sector_files"] if f["integrity"] == "aes-gmac"}
    none = {f["plain_length"]: f["stored_length"] for f in v["sector_files"] if f["integrity"] == "none"}
    lines = [(p, inline[p], inline[p]) for p in (1, 16, 3953)]
    lines += [tuple(table[p]) if p in table else (p, more[p], none[p]) for p in show]
    out.append(rows(("plain", "stored, integrity on", "stored, `none`"), lines))
    out += ["Up to 3953 as `INLINE`. The stored length does not grow with the plain one everywhere: 4095 bytes take more than 4096.", "",
            "### 13.7 Keyslot, configuration, marker", ""]
    k = v["slots"][0]["slot"]
    kf = v["slots"][3]["slot"]
    out += ["Salt `60 61 … 7f`, nonce `80 81 … 8b`.",
            "Passphrase `correct horse battery staple`, time 1, memory_kib 8, parallel 1: slot key `%s`, wrapped key" % v["slots"][0]["slot_key"],
            "`%s`, tag `%s`." % (k["wrap"]["key"], k["wrap"]["tag"]),
            "Keyfile `00 01 … 3f`: slot key `%s`, wrapped key" % v["slots"][3]["slot_key"],
            "`%s`, tag `%s`." % (kf["wrap"]["key"], kf["wrap"]["tag"]),
            "Both of them: slot key `%s`, wrapped key" % v["more_slots"][0]["slot_key"],
            "`%s`, tag `%s`." % tuple(v["more_slots"][0]["slot"]["wrap"][x] for x in ("key", "tag")),
            "The vectors have whole configuration files with their HMAC.", "",
            "`xtsfs.unclean` of second 1700000000 (`aes-gmac`): `78747366732e7531`, `%s`, 32 zero bytes, tag `%s`."
            % (v["unclean"][0]["file"][16:32], v["unclean"][0]["file"][96:])]
    g = [x for x in v["growing_files"] if x["integrity"] == "aes-gmac"]
    out += ["", "### 13.8 A tail that grew: the file of 13.5, and 96 bytes of *pattern* from its byte 4100 on appended (`aes-gmac`)", "",
            "Entry of sector 1: `now` `%s`, `before` `%s`. Growing from 4100," % (g[1]["entry_of_sector_1"][:32], g[1]["entry_of_sector_1"][32:]),
            "growing tag `%s`. Sector 1 begins with `%s` before and `%s` after it." % (
                g[1]["growing_tag"], g[1]["sector_1_first_16"], g[2]["sector_1_first_16"]), ""]
    out.append(rows(("durable", "stored", "tag of block 0", "reads as"), [
        (x["durable"], x["stored_length"], code(x["header"][224:]), r) for x, r in zip(g, (
            "4100 bytes", "4100 bytes", "4100 bytes, by the growing tag", "4100 bytes, then 96 zeros", "4196 bytes"))])[:-1])
    return "\n".join(out) + "\n"
