#!/usr/bin/env python3
"""Checks barrier.pml with Spin, variant by variant, and the verdict of each.

    python3 run_model.py [--quick] [--only WORD] [--trail WORD]

Needs spin and a C compiler; without them it says "skipped" and ends well. Exit code 1 when a
verdict is not the expected one, or a search did not end. What the variants are and what
follows from them: csrc/design/barrier.md. --trail prints the steps of a counterexample.
"""
from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "barrier.pml")
CC = os.environ.get("CC") or "cc"
MEGABYTES = 1900   # of one search
SECONDS = 300      # for one search
DEPTH = 2_000_000  # steps on Spin's stack; a deeper search counts as not ended


@dataclass(frozen=True)
class Variant:
    """One search: switches of the model, and whether it must lose an object."""

    name: str
    switches: str
    lost: bool
    quick: bool = True
    n: int = 3  # objects
    h: int = 1  # root slots a mutator

    @property
    def bound(self) -> str:
        """How far the search goes, in the table's words."""
        steps = re.search(r"OPS=(\d+)", self.switches)
        return f"{steps[1]} steps" if steps else "all"


VARIANTS = (
    Variant("rule, one inside", "GATE", False, n=2, h=2),
    Variant("rule, one inside, slot by slot", "GATE SLOTWISE", False, n=2, h=2),
    Variant("rule", "", False, quick=False, n=2, h=2),
    Variant("rule", "", False, quick=False),
    Variant("rule, slot by slot", "SLOTWISE OPS=2", False),
    Variant("rule, slot by slot", "SLOTWISE", False, quick=False),
    Variant("no deletion half", "NO_DEL", True),
    Variant("no deletion half, slot by slot", "NO_DEL SLOTWISE", True, quick=False),
    Variant("allocate white", "ALLOC_WHITE", True),
    Variant("allocate white, slot by slot", "ALLOC_WHITE SLOTWISE", True, quick=False),
    Variant("no safe point", "NO_SAFE OPS=1", True),
    Variant("no safe point, slot by slot", "NO_SAFE SLOTWISE OPS=1", True, quick=False),
    Variant("no slot barrier, slot by slot", "NO_SLOT SLOTWISE", True),
    Variant("no slot barrier, one inside", "NO_SLOT GATE", False, quick=False, n=2, h=2),
    Variant("no barrier", "NO_DEL NO_INS NO_SLOT", True),
    Variant("insertion half only, one inside", "NO_DEL NO_SLOT GATE", True),
    Variant("insertion half only, of slots too", "NO_DEL NO_SLOT INS_SLOT", False),
    Variant("no insertion half, one inside, slot by slot", "NO_INS GATE SLOTWISE", False, n=2, h=2),
    Variant("no insertion half, slot by slot", "NO_INS SLOTWISE", False, quick=False),
    Variant("Go's rule on stacks", "GO", False),
    Variant("Go's rule on stacks", "GO OPS=3", False, quick=False, n=2, h=2),
    Variant("Go's rule, no insertion half", "GO NO_INS OPS=3", True, n=2, h=2),
)


@dataclass(frozen=True)
class Outcome:
    """What one search said. verdict: "lost", "none lost", or why there is neither."""

    verdict: str
    states: int
    megabytes: float
    seconds: float  # of the search, without generating and compiling it


def figure(pattern: str, text: str) -> float:
    """The number that pattern finds in text; 0 without one."""
    found = re.search(pattern, text, re.M)
    return float(found[1]) if found else 0.0


def judge(text: str) -> str:
    """The verdict in what a search printed."""
    if re.search(r"assertion violated \(mark\[\w+\]==2\)", text):
        return "lost"
    if "max search depth too small" in text:
        return "deeper than the stack"
    if "Search not completed" in text or not re.search(r"errors: 0$", text, re.M):
        return "search did not end"
    return "none lost"


def search(v: Variant, folder: str) -> Outcome:
    """Generates, compiles and runs one variant in folder."""
    shutil.copy(MODEL, folder)
    defines = [f"-D{s}" for s in (f"N={v.n}", f"H={v.h}", *v.switches.split())]
    subprocess.run(["spin", "-a", *defines, "barrier.pml"], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL)
    # COLLAPSE stores states whole, in parts: nothing is hashed away. Compiling better than
    # -O1 takes longer than a short search.
    subprocess.run([*CC.split(), "-w", "-O1" if v.quick else "-O2", "-DSAFETY", "-DCOLLAPSE",
                    f"-DMEMLIM={MEGABYTES}", "-o", "pan", "pan.c"], cwd=folder, check=True)
    begin = time.perf_counter()
    try:
        text = subprocess.run([os.path.join(folder, "pan"), f"-m{DEPTH}", "-w22"], cwd=folder,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=SECONDS).stdout
    except subprocess.TimeoutExpired:
        return Outcome(f"no end in {SECONDS} s", 0, 0, time.perf_counter() - begin)
    return Outcome(judge(text), int(figure(r"^\s*(\d+) states, stored", text)),
                   figure(r"^\s*([\d.]+)\s+total actual memory usage", text),
                   time.perf_counter() - begin)


def trail(v: Variant) -> None:
    """Prints the steps of v's counterexample and the globals that each changes."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = search(v, folder)
        if outcome.verdict != "lost":
            print(f"{v.name}: {outcome.verdict}")
            return
        defines = [f"-D{s}" for s in (f"N={v.n}", f"H={v.h}", *v.switches.split())]
        subprocess.run(["spin", "-t", "-p", "-g", *defines, "barrier.pml"], cwd=folder, check=True)


def main() -> int:
    """Runs the variants and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave out the long searches")
    parser.add_argument("--only", default="", metavar="WORD", help="variants whose name has WORD")
    parser.add_argument("--trail", metavar="WORD", help="print a counterexample and end")
    args = parser.parse_args()
    for tool in ("spin", CC.split()[0]):
        if not shutil.which(tool):
            print(f"skipped: barrier model (no {tool})")
            return 0
    chosen = [v for v in VARIANTS
              if (args.trail or args.only) in v.name and (v.quick or not args.quick)]
    if not chosen:
        parser.error(f"no variant has {args.trail or args.only!r} in its name")
    if args.trail:
        trail(next((v for v in chosen if v.lost), chosen[0]))
        return 0
    print(f"{'variant':44} objects slots  search  verdict    {'states':>10} {'MB':>6} {'s':>6}")
    failed = 0
    begin = time.perf_counter()
    for v in chosen:
        with tempfile.TemporaryDirectory() as folder:
            o = search(v, folder)
        expected = "lost" if v.lost else "none lost"
        print(f"{v.name:44} {v.n:7} {'2 x ' + str(v.h):>5} {v.bound:>8} {o.verdict:10} "
              f"{o.states:10} {o.megabytes:6.0f} {o.seconds:6.1f}", flush=True)
        if o.verdict != expected:
            failed += 1
            print(f"    WRONG: {expected} was expected", flush=True)
    print(f"{len(chosen) - failed} of {len(chosen)} verdicts as expected, "
          f"{time.perf_counter() - begin:.0f} s in all")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
