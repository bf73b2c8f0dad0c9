"""Prints the licences of all crates that a build of tagwall contains. scripts/package.sh puts them into packages.

licences.py [FEATURE-FLAG...]    as for cargo: --no-default-features --features nftables

Each text once, below the crates that come with it. What is only run at build time is no part of the program.
"""

import collections
import json
import pathlib
import re
import subprocess
import sys

TEXTS = re.compile(r"^(licen[cs]e|copying|notice|copyright|unlicense)", re.IGNORECASE)


def main(flags):
    names = crates(flags)
    texts, without, listed = collections.defaultdict(list), [], 0
    for package in metadata(flags):
        name = f"{package['name']} {package['version']}"
        if name not in names or package["source"] is None:
            continue
        listed += 1
        found = [path for path in sorted(pathlib.Path(package["manifest_path"]).parent.iterdir()) if TEXTS.match(path.name) and path.is_file()]
        for path in found:
            texts[path.read_text(errors="replace").strip()].append((name, package["license"]))
        if not found:
            without.append(f"{name}: {package['license']}, {package['repository']}")
    if listed == 0:
        sys.exit("no crate was found: the format of cargo's output has changed")
    print(f"tagwall contains {listed} crates of others.\n")
    for text, owners in sorted(texts.items(), key=lambda item: item[1]):
        print("=" * 80)
        for name, licence in owners:
            print(f"{name} ({licence})")
        print("-" * 80)
        print(f"{text}\n")
    print("=" * 80)
    print("These bring no text of their own; the licence is what they declare:\n")
    print("\n".join(without))


def crates(flags):
    """What is linked: neither build scripts' crates nor macros'."""
    tree = ["cargo", "tree", "--locked", "--offline", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}", *flags]
    lines = subprocess.run(tree, check=True, capture_output=True, text=True).stdout.splitlines()
    return {re.sub(r"^(\S+) v(\S+).*$", r"\1 \2", line) for line in lines}


def metadata(flags):
    command = ["cargo", "metadata", "--locked", "--offline", "--format-version", "1", *flags]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["packages"]


main(sys.argv[1:])
