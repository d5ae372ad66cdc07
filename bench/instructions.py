#!/usr/bin/env python3
"""instructions.py - what a run of `whimbrel` executes: instructions by function and by line of source, with valgrind.

    bench/instructions.py [--executable build/release/whimbrel] [--top N] -- run model.onnx --random
    bench/instructions.py -- run model.gguf -p "Once upon a time" -n 1

One thread; only what the device computes is counted, so also what it packs of the weights. No clock is read: two builds
can be compared on a busy machine, to the instruction. On a processor whose other hardware thread is busy this number
says more about the time than what the ports of a quiet one could do. (`rep movs` counts as one for each byte.)"""

import argparse
import collections
import os
import re
import subprocess
import sys
import tempfile

REGIONS = ("wh_team_run", "wh_team_run_alone")  # core/base/team.h: everything that a CPU device computes


def costs(path):
    """Of a file of callgrind's: its own instructions of each function, and of each line."""
    names, functions, lines = {}, collections.Counter(), collections.Counter()
    file = function = None
    number, called = 0, False
    for line in open(path):
        if m := re.match(r"(fl|fi|fe|fn|cfn|cfi|cfl)=\((\d+)\)(?: (.*))?", line):
            what, index, name = m.groups()
            kind = "function" if what.endswith("fn") else "file"
            if name:
                names[kind, index] = name
            if what == "fn":
                function = names[kind, index]
            elif what in ("fl", "fi", "fe"):
                file = names[kind, index]
        elif line.startswith("calls="):
            called = True  # the next line has what the callee took
        elif m := re.match(r"([+-]?\d+|\*) (\d+)$", line):
            at, n = m.groups()
            number = number if at == "*" else number + int(at) if at[0] in "+-" else int(at)
            if not called:
                functions[function] += int(n)
                lines[f"{os.path.basename(file or '?')}:{number}"] += int(n)
            called = False
    return functions, lines


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--executable", default="build/release/whimbrel")
    p.add_argument("--top", type=int, default=20, metavar="N", help="rows of each table")
    p.add_argument("command", nargs="+", help="of whimbrel; behind --")
    o = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "callgrind")
        tool = ["valgrind", "--tool=callgrind", "--collect-atstart=no", f"--callgrind-out-file={out}",
                *(f"--toggle-collect={r}" for r in REGIONS)]
        try:
            done = subprocess.run([*tool, o.executable, *o.command, "--threads", "1"], capture_output=True, text=True)
        except FileNotFoundError:
            sys.exit("instructions: there is no valgrind (apt-get install valgrind)")
        if done.returncode:
            said = [l for l in done.stderr.splitlines() if not l.startswith("==")]
            sys.exit(f"instructions: exit code {done.returncode}: {said[-1] if said else 'valgrind failed'}")
        functions, lines = costs(out)
    total = sum(functions.values())
    if not total:
        sys.exit("instructions: nothing was counted: has the executable its symbols?")
    print(f"{total / 1e6:.2f} million instructions")
    for title, table in (("function", functions), ("line", lines)):
        print(f"\n{'million':>10}  share  {title}")
        for name, n in table.most_common(o.top):
            print(f"{n / 1e6:10.3f}  {100 * n / total:4.1f}%  {name}")


if __name__ == "__main__":
    main()
