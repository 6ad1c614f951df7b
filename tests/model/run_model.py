#!/usr/bin/env python3
"""Checks the models with Spin, variant by variant, and the verdict of each.

    python3 run_model.py [--quick] [--only WORD] [--trail WORD] [--no-c]

Needs spin and a C compiler; without them it says "skipped" and ends well. Exit code 1 when a
verdict is not the expected one, or a search did not end. What the variants are and what
follows from them: csrc/design/barrier.md and models.md. WORD stands in a variant's name or is
its model's. --trail prints the steps of a counterexample. At the end the same bugs are planted
in the core and have to be found there (make -C csrc planted), unless --no-c is given.
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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

HERE = os.path.dirname(os.path.abspath(__file__))
CC = os.environ.get("CC") or "cc"
MEGABYTES = 1900   # of one search
SECONDS = 300      # for one search
DEPTH = 2_000_000  # steps on Spin's stack; a deeper search counts as not ended


@dataclass(frozen=True)
class Variant:
    """One search: switches of the model, and what it must say. A model holds, breaks (an
    assertion) or is stuck (somebody waits for ever); the barrier's loses an object or none."""

    name: str
    switches: str
    expected: str
    model: str
    quick: bool = True

    @property
    def broken(self) -> bool:
        """Whether there is a counterexample."""
        return self.expected in ("lost", "breaks", "stuck")

    @property
    def defines(self) -> list[str]:
        """The switches, as compilers want them."""
        return [f"-D{s}" for s in self.switches.split()]


def barrier(name: str, switches: str, lost: bool, *, quick: bool = True, n: int = 3,
            h: int = 1) -> Variant:
    """A variant of barrier.pml with n objects and h slots a mutator."""
    return Variant(name, f"N={n} H={h} {switches}", "lost" if lost else "none lost", "barrier",
                   quick)


VARIANTS = (
    barrier("rule, one inside", "GATE", False, n=2, h=2),
    barrier("rule, one inside, slot by slot", "GATE SLOTWISE", False, n=2, h=2),
    barrier("rule", "", False, quick=False, n=2, h=2),
    barrier("rule", "", False, quick=False),
    barrier("rule, slot by slot", "SLOTWISE OPS=2", False),
    barrier("rule, slot by slot", "SLOTWISE", False, quick=False),
    barrier("no deletion half", "NO_DEL", True),
    barrier("no deletion half, slot by slot", "NO_DEL SLOTWISE", True, quick=False),
    barrier("allocate white", "ALLOC_WHITE", True),
    barrier("allocate white, slot by slot", "ALLOC_WHITE SLOTWISE", True, quick=False),
    barrier("no safe point", "NO_SAFE OPS=1", True),
    barrier("no safe point, slot by slot", "NO_SAFE SLOTWISE OPS=1", True, quick=False),
    barrier("no slot barrier, slot by slot", "NO_SLOT SLOTWISE", True),
    barrier("no slot barrier, one inside", "NO_SLOT GATE", False, quick=False, n=2, h=2),
    barrier("no barrier", "NO_DEL NO_INS NO_SLOT", True),
    barrier("insertion half only, one inside", "NO_DEL NO_SLOT GATE", True),
    barrier("insertion half only, of slots too", "NO_DEL NO_SLOT INS_SLOT", False),
    barrier("no insertion half, one inside, slot by slot", "NO_INS GATE SLOTWISE", False, n=2, h=2),
    barrier("no insertion half, slot by slot", "NO_INS SLOTWISE", False, quick=False),
    barrier("Go's rule on stacks", "GO", False),
    barrier("Go's rule on stacks", "GO OPS=3", False, quick=False, n=2, h=2),
    barrier("Go's rule, no insertion half", "GO NO_INS OPS=3", True, n=2, h=2),
    # Where marking ends. Two mutators and a worker, or one and two workers.
    Variant("two mutators, a worker", "OPS=2", "holds", "termination"),
    Variant("two mutators, a worker", "OPS=3", "holds", "termination", quick=False),
    Variant("a mutator, two workers", "MUTS=1 WORKERS=2", "holds", "termination"),
    Variant("no look in the stop", "NO_LOOK OPS=2", "breaks", "termination"),
    Variant("nobody is asked", "NO_RAGGED OPS=2", "holds", "termination"),
    Variant("nobody is asked, no look", "NO_RAGGED NO_LOOK OPS=2", "breaks", "termination"),
    Variant("barrier's buffer left out", "NO_WB OPS=2", "breaks", "termination"),
    Variant("two look at once", "NO_ENDING MUTS=1 WORKERS=2", "stuck", "termination"),
    Variant("phase not looked at in the stop", "END_TWICE OPS=2", "holds", "termination"),
    Variant("idle, then hands on", "IDLE_EARLY MUTS=1 WORKERS=2", "holds", "termination"),
    # Who owns a span.
    Variant("two mutators, a cycle", "OPS=3 CYCLES=1", "holds", "spans"),
    Variant("one mutator, three cycles", "MUTS=1 OPS=5 CYCLES=3", "holds", "spans"),
    Variant("two mutators, two cycles", "OPS=3 CYCLES=2", "holds", "spans", quick=False),
    Variant("no heap_lock", "SPLIT OPS=3 CYCLES=1", "holds", "spans"),
    Variant("no heap_lock, flushed late", "SPLIT LAZY OPS=2 CYCLES=1", "holds", "spans"),
    Variant("spans ahead, one mutator, two cycles", "AHEAD MUTS=1 OPS=5", "holds", "spans"),
    Variant("always spans ahead, two mutators", "AHEAD ALWAYS OPS=3 CYCLES=1", "holds", "spans"),
    Variant("spans ahead, three spans", "AHEAD SPANS=3 OPS=3 CYCLES=1", "holds", "spans",
            quick=False),
    Variant("spans ahead, no heap_lock", "AHEAD SPLIT OPS=3 CYCLES=1", "holds", "spans",
            quick=False),
    Variant("taken ahead while marking", "AHEAD TAKE_MARKING MUTS=1 OPS=5", "holds", "spans"),
    Variant("left ahead while marking", "AHEAD END_LATE MUTS=1 OPS=5", "holds", "spans"),
    Variant("empty ones kept, one mutator, two cycles", "AHEAD SPARE MUTS=1 OPS=5", "holds",
            "spans"),
    Variant("empty ones kept, two mutators", "AHEAD SPARE OPS=3 CYCLES=1", "holds", "spans"),
    Variant("empty ones kept, three spans", "AHEAD SPARE SPANS=3 OPS=3 CYCLES=1", "holds", "spans",
            quick=False),
    Variant("mcache not flushed", "NO_FLUSH CYCLES=1", "breaks", "spans"),
    Variant("stale span not swept", "NO_STALE CYCLES=1", "breaks", "spans"),
    Variant("swept into the wrong set", "WRONG_SET CYCLES=1", "breaks", "spans"),
    Variant("swept and left in its set", "KEEP_SET CYCLES=1", "breaks", "spans"),
    Variant("kept and put into a set", "PUSH_KEPT CYCLES=1", "breaks", "spans"),
    Variant("marks left as they are", "NO_CLEAR CYCLES=1", "breaks", "spans"),
    Variant("taken without a sweep", "NO_SWEEP MUTS=1 OPS=4", "breaks", "spans"),
    Variant("marking begins too early", "EARLY_MARK CYCLES=1", "breaks", "spans"),
    Variant("a stop leaves what is ahead", "AHEAD NO_END_AHEAD CYCLES=1", "breaks", "spans"),
    Variant("given back before all stand", "AHEAD END_EARLY MUTS=1 OPS=5", "breaks", "spans"),
    Variant("a stop leaves empty ones", "AHEAD SPARE NO_END_SPARE MUTS=1 OPS=5", "breaks", "spans"),
    Variant("full spans stay aside", "AHEAD NO_SETTLE CYCLES=1", "breaks", "spans"),
    # Grey objects on their way, and hungry workers.
    Variant("two workers, buffers of 3", "ASSISTS=0", "holds", "buffers"),
    Variant("and a mutator, buffers of 2", "ROOM=2 N=3", "holds", "buffers"),
    Variant("list taken from without a lock", "NO_LOCK", "breaks", "buffers"),
    Variant("list full, and not said", "NO_FLAG", "breaks", "buffers"),
    Variant("list said to be empty", "FLAG_CLEARED ROOM=2 N=3", "breaks", "buffers"),
    Variant("an entry lost in giving half", "SHARE_HALF ASSISTS=0", "breaks", "buffers"),
    Variant("only the top handed on", "FLUSH_TOP ROOM=2 ASSISTS=0", "breaks", "buffers"),
    Variant("sleeps without a last look", "NO_RECHECK N=3 ASSISTS=0", "stuck", "buffers"),
    Variant("ends an assist in silence", "NO_ASSIST_WAKE", "stuck", "buffers"),
    # Taking Ps, giving them back, stops.
    Variant("two mutators, a worker, two Ps", "", "holds", "parking"),
    Variant("two rounds, one P", "PS=1 ROUNDS=2", "holds", "parking"),
    Variant("two stops", "STOPS=2", "holds", "parking"),
    Variant("two rounds, two Ps", "ROUNDS=2", "holds", "parking", quick=False),
    Variant("three mutators", "MUTS=3 CLAIMS=0", "holds", "parking", quick=False),
    Variant("and a ragged barrier", "FLUSH", "holds", "parking"),
    Variant("leaves without a second look", "LEAVE_BLIND", "stuck", "parking"),
    Variant("leaves with a look at lookers", "LEAVE_LOOKERS", "stuck", "parking"),
    Variant("looks before it has left", "REORDERED", "stuck", "parking"),
    Variant("waits before it says so", "WAIT_LATE PS=1 CLAIMS=0 STOPS=0", "stuck", "parking"),
    Variant("wakes without the lock", "WAKE_UNLOCKED", "stuck", "parking"),
    Variant("looks, then says which P it wants", "WANT_LATE", "holds", "parking"),
    Variant("does not say which P it wants", "WANT_UNSAID", "stuck", "parking"),
    Variant("goes on saying so", "WANT_KEPT", "stuck", "parking"),
    Variant("has waited, and says nothing", "DONE_SILENT", "stuck", "parking"),
    Variant("polls without a look at wanted", "POLL_BLIND", "stuck", "parking"),
    Variant("gives way to who takes any P", "ANY_ONLY", "stuck", "parking"),
    Variant("stands and says nothing", "STAND_SILENT", "stuck", "parking"),
    Variant("starts the world in silence", "START_SILENT", "stuck", "parking"),
    Variant("does not wait in a stop", "STOP_BLIND", "breaks", "parking"),
    Variant("stops, and asks nobody to look", "STOP_UNSAID", "stuck", "parking"),
    Variant("ragged, and asks nobody to look", "FLUSH FLUSH_UNSAID", "stuck", "parking"),
    Variant("takes heap_lock before all stand", "LOCK_EARLY", "stuck", "parking"),
    Variant("gives a worker its P in a stop", "GIVES_AWAY MUTS=1 PS=1", "stuck", "parking"),
    Variant("gives a mutator its P in a stop", "GIVES_AWAY CLAIMS=0", "stuck", "parking"),
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


def judge(model: str, text: str) -> str:
    """The verdict in what a search of a model printed."""
    # An index beyond an array is Spin's own finding, of a model that has gone wrong.
    barriers = model == "barrier"
    if re.search(r"assertion violated \(mark\[\w+\]==2\)" if barriers
                 else r"assertion violated", text):
        return "lost" if barriers else "breaks"
    if "invalid end state" in re.sub(r"invalid end states\s+\+", "", text):
        return "stuck"
    if "max search depth too small" in text:
        return "deeper than the stack"
    if "Search not completed" in text or not re.search(r"errors: 0$", text, re.M):
        return "search did not end"
    return "none lost" if barriers else "holds"


def search(v: Variant, folder: str) -> Outcome:
    """Generates, compiles and runs one variant in folder."""
    shutil.copy(os.path.join(HERE, f"{v.model}.pml"), folder)
    subprocess.run(["spin", "-a", *v.defines, f"{v.model}.pml"], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL)
    # COLLAPSE stores states whole, in parts: nothing is hashed away. Compiling well takes
    # several times as long as a short search saves by it.
    subprocess.run([*CC.split(), "-w", "-O0" if v.quick else "-O2", "-DSAFETY", "-DCOLLAPSE",
                    f"-DMEMLIM={MEGABYTES}", "-o", "pan", "pan.c"], cwd=folder, check=True)
    begin = time.perf_counter()
    try:
        text = subprocess.run([os.path.join(folder, "pan"), f"-m{DEPTH}", "-w22"], cwd=folder,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=SECONDS).stdout
    except subprocess.TimeoutExpired:
        return Outcome(f"no end in {SECONDS} s", 0, 0, time.perf_counter() - begin)
    return Outcome(judge(v.model, text), int(figure(r"^\s*(\d+) states, stored", text)),
                   figure(r"^\s*([\d.]+)\s+total actual memory usage", text),
                   time.perf_counter() - begin)


def search_alone(v: Variant) -> Outcome:
    """Searches in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return search(v, folder)


def trail(v: Variant) -> None:
    """Prints the steps of v's counterexample and the globals that each changes."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = search(v, folder)
        if outcome.verdict not in ("lost", "breaks", "stuck"):
            print(f"{v.name}: {outcome.verdict}")
            return
        subprocess.run(["spin", "-t", "-p", "-g", *v.defines, f"{v.model}.pml"], cwd=folder,
                       check=True)


def planted() -> int:
    """Plants the bugs in the core; the exit code."""
    return subprocess.run(["make", "--no-print-directory", "-s", "-C",
                           os.path.join(HERE, "../../csrc"), "planted"], check=False).returncode


def main() -> int:
    """Runs the variants and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave out the long searches")
    parser.add_argument("--only", default="", metavar="WORD", help="variants whose name has WORD")
    parser.add_argument("--trail", metavar="WORD", help="print a counterexample and end")
    parser.add_argument("--no-c", action="store_true", help="plant no bugs in the core")
    args = parser.parse_args()
    for tool in ("spin", CC.split()[0]):
        if not shutil.which(tool):
            print(f"skipped: models (no {tool})")
            return 0
    word = args.trail or args.only
    chosen = sorted((v for v in VARIANTS if (word in v.name or word == v.model)
                     and (v.quick or not args.quick)), key=lambda v: not v.quick)
    if not chosen:
        parser.error(f"no variant has {word!r} in its name")
    if args.trail:
        trail(next((v for v in chosen if v.broken), chosen[0]))
        return 0
    print(f"{'model':11} {'variant':44} {'switches':36} verdict    {'states':>10} {'MB':>5} {'s':>5}")
    failed = 0
    begin = time.perf_counter()
    # Two short ones at a time; a long one may need all the memory.
    with ThreadPoolExecutor(2) as pool:
        for v, o in zip(chosen, chain(pool.map(search_alone, (v for v in chosen if v.quick)),
                                      map(search_alone, (v for v in chosen if not v.quick)))):
            print(f"{v.model:11} {v.name:44} {v.switches:36} {o.verdict:10} {o.states:10} "
                  f"{o.megabytes:5.0f} {o.seconds:5.1f}", flush=True)
            if o.verdict != v.expected:
                failed += 1
                print(f"    WRONG: {v.expected} was expected", flush=True)
    print(f"{len(chosen) - failed} of {len(chosen)} verdicts as expected, "
          f"{time.perf_counter() - begin:.0f} s in all", flush=True)
    if not args.no_c and not word:
        print("the same bugs in the core:", flush=True)
        failed += planted() != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
