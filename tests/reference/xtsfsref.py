#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Independent decoder of the xtsfs on-disk format, written from docs/on-disk-format.md alone.

exit status of dump: 0 nothing wrong, 1 problems found, 2 the volume cannot be opened"""
import argparse
import json
import os
import resource
import sys

sys.dont_write_bytecode = True

import ref_layout
import ref_list
import ref_manifest
from ref_conf import ConfError
from ref_extract import Extract
from ref_tree import Volume


def secret_of(a):
    keyfile = open(a.keyfile, "rb").read() if a.keyfile else None
    if a.passfile:
        data = open(a.passfile, "rb").read()
        data = data[:-1] if data.endswith(b"\n") else data
        return ("passphrase+keyfile", (data, keyfile)) if a.keyfile else ("passphrase", data)
    if a.keyfile:
        return "keyfile", keyfile
    if not a.volume_key_hex_file:
        raise ConfError("nothing to open it with is given")
    return "volume-key", bytes.fromhex(open(a.volume_key_hex_file).read().strip())


def dump(a):
    try:
        volume = Volume(a.volume, *secret_of(a))
    except (ConfError, OSError, ValueError) as e:
        print("cannot open: %s" % e, file=sys.stderr)
        return 2
    sink = Extract(a.output) if a.output else None
    out = volume.walk(sink, a.hash_limit)
    if sink:
        sink.root_attributes(out[0])
        for c in sink.complaints:
            print("note: not extracted: %s" % c, file=sys.stderr)
    if a.list:
        sys.stdout.write(ref_list.dump_json(out))
    bad = {"problem", "warning", "final"} if a.require_final else {"problem"}
    if a.problems_json:
        with open(a.problems_json, "w") as f:
            json.dump(volume.problems, f, indent=1)
    count = 0
    for p in volume.problems:
        if p["severity"] in bad:
            count += 1
            label = "problem"
        elif p["severity"] == "final":
            continue
        else:
            label = p["severity"]
        print("%s: %s%s: %s%s" % (label, p["path"], " (%s)" % p["backing"] if p["backing"] else "",
                                  p["errno"] + ": " if p["errno"] else "", p["reason"]), file=sys.stderr)
    print("%d objects, %d problems" % (len(out), count), file=sys.stderr)
    return 1 if count else 0


def manifest(a):
    """Exit status: 0 it is what the volume is, 1 it is not, 2 volume or manifest cannot be opened."""
    try:
        volume = Volume(a.volume, *secret_of(a))
        wanted = ref_manifest.entries(volume.keys, volume.conf.uuid, open(a.file, "rb").read())
    except (ConfError, OSError, ValueError) as e:
        print("cannot open: %s" % e, file=sys.stderr)
        return 2
    lines = list(ref_manifest.differences(wanted, volume, volume.walk(None, 0, True)))
    print("".join(line + "\n" for line in lines), end="")
    print("%d entries, %d differences" % (len(wanted), len(lines)), file=sys.stderr)
    return 1 if lines else 0


def size_map(a):
    on = a.integrity == "on"
    for n in a.n:
        if a.direction == "cipher2plain":
            print(n, ref_layout.stored_to_plain(n, on))
        else:
            print(n, ref_layout.sectors_to_stored(n, on) if a.sectors and n else ref_layout.plain_to_stored(n, on))
    return 0


def main():
    p = argparse.ArgumentParser(prog="xtsfsref.py", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="command", required=True)
    secret = argparse.ArgumentParser(add_help=False)
    k = secret.add_argument_group("what opens it", "one of these, or the first two for a slot of both")
    k.add_argument("--passfile", help="file with the passphrase (one line feed at the end is not part of it)")
    k.add_argument("--keyfile")
    k.add_argument("--volume-key-hex-file", help="file with the 32-byte volume key in hexadecimal")
    d = sub.add_parser("dump", help="decode and check a whole volume", parents=[secret])
    d.add_argument("volume")
    d.add_argument("-o", "--output", metavar="OUTDIR", help="extract the plain tree to this (new) directory")
    d.add_argument("--list", action="store_true", help="print the canonical list as JSON")
    d.add_argument("--require-final", action="store_true", help="demand the state after a clean unmount")
    d.add_argument("--problems-json", metavar="FILE", help="write everything noticed, of any severity, as JSON")
    d.add_argument("--hash-limit", type=int, default=ref_list.HASH_LIMIT, metavar="BYTES",
                   help="longer files get sha256 null in the list")
    d.set_defaults(run=dump)
    f = sub.add_parser("manifest", help="decode a manifest and compare the volume with it", parents=[secret])
    f.add_argument("volume")
    f.add_argument("file")
    f.set_defaults(run=manifest)
    m = sub.add_parser("map", help="map plain sizes to stored ones or back")
    m.add_argument("direction", choices=("plain2cipher", "cipher2plain"))
    m.add_argument("n", nargs="+", type=int)
    m.add_argument("--integrity", choices=("on", "none"), default="on")
    m.add_argument("--sectors", action="store_true", help="plain2cipher: never INLINE")
    m.set_defaults(run=size_map)
    t = sub.add_parser("plainlist", help="the canonical list of an ordinary tree, for comparison with dump --list")
    t.add_argument("directory")
    t.add_argument("--holes", action="store_true", help="report holes as the filesystem does")
    t.add_argument("--hash-limit", type=int, default=ref_list.HASH_LIMIT, metavar="BYTES")
    t.set_defaults(run=lambda a: sys.stdout.write(ref_list.dump_json(
        ref_list.plain_list(a.directory, a.hash_limit, a.holes))) and 0)
    a = p.parse_args()
    return a.run(a)


if __name__ == "__main__":
    os.umask(0o077)
    sys.setrecursionlimit(10000)  # one open directory per level
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sys.exit(main())
