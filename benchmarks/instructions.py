"""Counts the instructions of a 16-byte noscan allocation through
goheap_inline.h, and looks at those of its fast path.

    python benchmarks/instructions.py [--json FILE]

The count is callgrind's, the difference of two runs of different length, so it
holds refills, collections and sweeps at their share. The fast path is the
function alloc_16 of count_alloc.c: no locked instruction, no exchange with
memory, no division. Ends with 1 if a bar is missed, with 3 if a tool is missing or the
compiler is not gcc on x86-64.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys

from drivers import build_c, build_library

BAR = 46  # instructions for one allocation, all included: what they were before threads
LENGTHS = (500_000, 1_500_000)
FUNCTION = "alloc_16"


def collected(program: str, n: int) -> int:
    """Instructions of a run over n allocations."""
    r = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
         program, str(n)], capture_output=True, text=True)
    m = re.search(r"Collected : (\d+)", r.stderr)
    if r.returncode != 0 or m is None:
        sys.exit(f"valgrind: {r.stderr.strip()[-2000:]}")
    return int(m.group(1))


def disassembly(program: str) -> list[str]:
    """The instructions of FUNCTION, one a string."""
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", program],
        capture_output=True, text=True, check=True).stdout
    m = re.search(rf"^[0-9a-f]+ <{FUNCTION}>:\n(.*?)(?:\n\n|\Z)", text,
                  re.S | re.M)
    if m is None:
        sys.exit(f"objdump: no function {FUNCTION}")
    return [line.split(":", 1)[1].strip() for line in m.group(1).split("\n")
            if ":" in line]


def forbidden(instruction: str) -> bool:
    words = instruction.split()
    name = words[0] if words else ""
    if name == "lock" or name.startswith(("div", "idiv")):
        return True
    # An exchange with memory locks without saying so.
    return name.startswith("xchg") and "(" in instruction


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--json", metavar="FILE")
    args = p.parse_args()
    for tool in ("valgrind", "objdump"):
        if shutil.which(tool) is None:
            print(f"skipped: instructions of an allocation (no {tool})")
            return 3
    cc = os.environ.get("CC", "cc").split()
    said = subprocess.run([*cc, "--version"], capture_output=True, text=True).stdout
    if platform.machine() != "x86_64" or "Free Software Foundation" not in said:
        print("skipped: instructions of an allocation (the bar is gcc's on x86-64)")
        return 3
    program = build_c("count_alloc", build_library())
    short, long = LENGTHS
    per_alloc = ((collected(program, long) - collected(program, short))
                 / (long - short))
    code = disassembly(program)
    bad = [i for i in code if forbidden(i)]

    print(f"instructions of a 16 B noscan allocation: {per_alloc:.1f} "
          f"(bar: {BAR})")
    print(f"{FUNCTION}: {len(code)} instructions, "
          f"locked or dividing: {', '.join(bad) or 'none'}")
    if args.json:
        with open(args.json, "w") as f:
            json.dump({"per_allocation": per_alloc, "bar": BAR,
                       "fast_path": len(code), "forbidden": bad}, f, indent=1)
            f.write("\n")
    return 0 if per_alloc <= BAR and not bad else 1


if __name__ == "__main__":
    sys.exit(main())
