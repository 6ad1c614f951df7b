"""goheap beside real Go: builds the drivers, runs both by turns, prints medians.

    python benchmarks/run.py [-n ROUNDS] [--only WORD] [--quick] [--json FILE]

Needs a C compiler and make; without Go only goheap's figures are shown. What is
measured stands in README.md here. The replay needs an importable goheap (built
in place); without it those two rows are left out, by name.
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BUILD = os.path.join(HERE, "build")
CSRC = os.path.join(ROOT, "csrc")
TRACE = os.path.join(ROOT, "goheap/data/compile-json.gogc20.ghtrace")
HISTORY = os.path.join(BUILD, "history.bin")

CFLAGS = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-Wall", "-Wextra",
          "-Wpedantic", "-I" + os.path.join(CSRC, "core")]
# What both sides run under. The rest of the environment stays.
SETTINGS = {"GOMAXPROCS": "1", "GOGC": "100"}
CLEARED = ("GODEBUG", "GOMEMLIMIT", "GOEXPERIMENT", "GOFLAGS")


@dataclass(frozen=True)
class Workload:
    """One row: what is run on each side, and the figure taken from its answer."""

    name: str
    unit: str
    ours: list[str]
    go: list[str] | None
    figure: Callable[[dict, str], float]  # of an answer and a clock, "cpu" ...
    more_is_better: bool = False


def c_program(name: str) -> str:
    return os.path.join(BUILD, "c", name)


def go_program(name: str) -> str:
    return os.path.join(BUILD, "go", name)


def workloads(quick: bool) -> list[Workload]:
    cut = 10 if quick else 1
    rows = []
    for pointers, kind in ((0, "no pointers"), (1, "pointers")):
        for size, count in ((16, 20_000_000), (64, 20_000_000),
                            (512, 5_000_000)):
            n = count // cut
            args = [str(size), str(pointers), str(n)]
            rows.append(Workload(
                f"allocate {size} B, {kind}", "ns", [c_program("alloc"), *args],
                [go_program("alloc"), *args],
                lambda a, clock, n=n: a[clock + "_s"] * 1e9 / n))
    for n, shape, what in ((1_000_000, "graph", "64 B nodes"),
                           (5_000_000, "graph", "64 B nodes"),
                           (1_000_000, "array", "64 B nodes, array of ten pointers to each"),
                           (1_000_000, "list", "64 B nodes, linked list")):
        args = [str(n // cut), "5", shape]
        rows.append(Workload(
            f"full mark, {n // cut:,} {what}", "ms", [c_program("mark"), *args],
            [go_program("mark"), *args], lambda a, clock: a[clock + "_s"] * 1e3))
    rows.append(Workload(
        "recorded allocations and deaths", "M objects/s",
        [c_program("history"), HISTORY], [go_program("history"), HISTORY],
        lambda a, clock: a["objects"] / a[clock + "_s"] * 1e-6, True))
    rows.append(Workload(
        "goheap.replay of the recording", "M events/s",
        [sys.executable, os.path.join(HERE, "replay_events.py"), TRACE], None,
        lambda a, clock: a["events"] / a[clock + "_s"] * 1e-6, True))
    return rows


def environment() -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if k not in CLEARED}
    # The toolchain that is there is used; nothing is fetched.
    return env | SETTINGS | {"GOTOOLCHAIN": "local", "GOPROXY": "off"}


def execute(command: list[str]) -> str:
    r = subprocess.run(command, env=environment(), text=True, cwd=HERE,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if r.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{r.stdout}{r.stderr}".rstrip())
    return r.stdout


def build_library() -> str:
    """Builds libgoheap.a as the release does; returns its path."""
    execute(["make", "-s", "-C", CSRC, "libgoheap.a"])
    return os.path.join(CSRC, "libgoheap.a")


def build_c(name: str, library: str) -> str:
    os.makedirs(os.path.join(BUILD, "c"), exist_ok=True)
    cc = os.environ.get("CC", "cc")
    execute([*cc.split(), *CFLAGS, "-o", c_program(name),
             os.path.join(HERE, "c", name + ".c"), library, "-lm", "-pthread"])
    return c_program(name)


def build_go(name: str) -> None:
    os.makedirs(os.path.join(BUILD, "go"), exist_ok=True)
    execute(["go", "build", "-o", go_program(name),
             os.path.join(HERE, "go", name + ".go")])


def can_replay() -> bool:
    r = subprocess.run([sys.executable, "-c", "import goheap"], cwd=ROOT,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return r.returncode == 0


def pin() -> None:
    """Keeps this process and what it starts on one core, where that exists."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def figure(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def summary(row: Workload, ours: list[dict], go: list[dict]) -> dict:
    """Medians on both clocks. The ratio is the median of the rounds' ratios of
    times, so less than 1 always means that goheap is quicker."""
    out: dict = {"name": row.name, "unit": row.unit}
    for clock in ("cpu", "wall"):
        a = [row.figure(x, clock) for x in ours]
        b = [row.figure(x, clock) for x in go]
        out[clock] = {"ours": statistics.median(a), "ours_all": a}
        if b:
            ratios = [y / x if row.more_is_better else x / y
                      for x, y in zip(a, b)]
            out[clock] |= {"go": statistics.median(b), "go_all": b,
                           "ratio": statistics.median(ratios)}
    for name, answers in (("ours", ours), ("go", go)):
        gcs = [x["gcs"] for x in answers if "gcs" in x]
        if gcs:
            out[name + "_gcs"] = statistics.median(gcs)
    return out


def print_table(results: list[dict]) -> None:
    print(f"| {'CPU time':33} | unit        |  goheap | real Go | time ours/Go |")
    print(f"|{'-' * 35}|-------------|--------:|--------:|-------------:|")
    for r in results:
        c = r["cpu"]
        go = figure(c["go"]) if "go" in c else "–"
        ratio = f"{c['ratio']:.2f}" if "ratio" in c else "–"
        print(f"| {r['name']:33} | {r['unit']:11} | {figure(c['ours']):>7} | "
              f"{go:>7} | {ratio:>12} |")


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("-n", "--rounds", type=int, default=5)
    p.add_argument("--only", metavar="WORD", default="",
                   help="only rows whose name contains WORD")
    p.add_argument("--quick", action="store_true",
                   help="a tenth of the work: to see that everything runs")
    p.add_argument("--json", metavar="FILE",
                   help="write all figures there (-: to standard output)")
    args = p.parse_args()
    if args.rounds < 1:
        p.error("at least one round")

    rows = [w for w in workloads(args.quick) if args.only in w.name]
    skipped = []
    library = build_library()
    for name in ("alloc", "mark", "history"):
        build_c(name, library)
    have_go = shutil.which("go") is not None
    if have_go:
        for name in ("alloc", "mark", "history"):
            build_go(name)
    else:
        skipped.append("real Go's figures (no go)")
    if not can_replay():
        skipped.append("replay and recorded allocations (goheap is not built: "
                       "run `make build`)")
        rows = [w for w in rows if "recorded" not in w.name
                and "replay" not in w.name]
    elif any(HISTORY in w.ours for w in rows):
        execute([sys.executable, os.path.join(HERE, "history.py"), TRACE,
                 HISTORY])
    if not rows:
        p.error("no row is left")

    pin()
    answers: dict[str, tuple[list[dict], list[dict]]] = {
        w.name: ([], []) for w in rows}
    for n in range(args.rounds):
        print(f"round {n + 1} of {args.rounds}", file=sys.stderr)
        for w in rows:
            ours, go = answers[w.name]
            ours.append(json.loads(execute(w.ours)))
            if have_go and w.go is not None:
                go.append(json.loads(execute(w.go)))
    results = [summary(w, *answers[w.name]) for w in rows]

    if args.json != "-":
        print_table(results)
    for s in skipped:
        print("skipped:", s, file=sys.stderr)
    if args.json:
        text = json.dumps({"rounds": args.rounds, "quick": args.quick,
                           "settings": SETTINGS, "skipped": skipped,
                           "results": results}, indent=1)
        if args.json == "-":
            print(text)
        else:
            with open(args.json, "w") as f:
                f.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
