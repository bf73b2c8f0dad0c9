"""Holds README.md and docs/ to what they say. `./dev test docs` runs it in namespaces of its own.

docs.py TAGWALL FILE...    each file in a clean folder that holds config/, with `tagwall` and a `sudo` that does nothing

Blocks, by what follows their language:
  ```toml file=NAME         is written to NAME
  ```sh run [exit=N]        is run; its last command has exit status N (0)
  ```text output            is what the block before it printed to stdout, to the letter
Relative links must lead somewhere, and `path::to::a_test` must be a test, or a folder of tests, in this repository.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```(\w+)[ ]?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#]+)(?:#[^)]*)?\)")
TEST = re.compile(r"`([a-z0-9_]+(?:::[a-z0-9_]+)+)`")


def main(tagwall, names):
    source = tests(sources())
    problems = []
    for name in names:
        path = pathlib.Path(name).resolve()
        text = path.read_text()
        blocks = BLOCK.findall(text)
        prose = BLOCK.sub("", text)
        problems += [f"{name}: the link to {link} leads nowhere" for link in LINK.findall(prose) if not leads(path, link)]
        problems += [f"{name}: there is no test {test}" for test in TEST.findall(prose) if not is_test(test, source)]
        ran, found = run_blocks(tagwall, name, blocks)
        problems += found
        print(f"{name}: {ran} blocks run")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def sources():
    return [path for top in ("src", "tests", "providers") for path in (ROOT / top).rglob("*.rs")]


def leads(path, link):
    return (path.parent / link).exists()


def tests(paths):
    """The names of all tests, each with the modules that its file stands for: `conformance::enforcing_conforms`."""
    found = set()
    for path in paths:
        modules = [part for part in path.relative_to(ROOT).with_suffix("").parts if part not in ("src", "tests", "mod", "main")]
        marked = re.findall(r"#\[(?:\w+::)?test(?:\([^\]]*\))?\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn (\w+)", path.read_text())
        found |= {"::".join([*modules, name]) for name in marked}
    return found


def is_test(test, known):
    """Whether there is a test of that name, or tests below it, in modules that end as the document writes them."""
    return any(f"::{name}::".find(f"::{test}::") >= 0 for name in known)


def run_blocks(tagwall, name, blocks):
    ran, problems, printed = 0, [], None
    with tempfile.TemporaryDirectory() as folder:
        environment = prepare(pathlib.Path(folder), tagwall)
        work = pathlib.Path(folder) / "work"
        for language, notes, body in blocks:
            notes = dict(note.partition("=")[::2] for note in notes.split())
            if "file" in notes:
                (work / notes["file"]).write_text(body)
            elif language == "sh" and "run" in notes:
                ran += 1
                command = ["bash", "-euo", "pipefail", "-c", body]
                done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=60)
                printed = done.stdout
                expected = int(notes.get("exit", 0))
                if done.returncode != expected:
                    problems.append(f"{name}: exit status {done.returncode}, not {expected}:\n{body}{done.stdout}{done.stderr}")
            elif "output" in notes and printed.rstrip() != body.rstrip():
                problems.append(f"{name}: this is not what is printed:\n{body}--- but:\n{printed}")
    return ran, problems


def prepare(folder, tagwall):
    shutil.copytree(ROOT / "config", folder / "work" / "config")
    programs = folder / "programs"
    programs.mkdir()
    shutil.copy(tagwall, programs / "tagwall")
    (programs / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (programs / "sudo").chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder), "STATE_DIRECTORY": str(folder / "state"), "LANG": "C.UTF-8"}


if __name__ == "__main__":
    # A namespace that was just made has no way out. Who is process 1, and in which, may not be ours to ask.
    if len(open("/proc/self/net/route").readlines()) > 1:
        sys.exit("the examples change the firewall: run this in a network namespace of its own, as `./dev test docs` does")
    sys.exit(main(sys.argv[1], sys.argv[2:]))
