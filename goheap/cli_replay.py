"""goheap replay: one recorded history under one setting."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from .aliases import TraceKind
from .cli_source import add_recorded, source
from .errors import HeapError
from .settings import Costs
from .replay import DEATHS, MODES, Replay, replay
from .whatif import Interval, what_if

COSTS: dict[str, Callable[[], Any]] = {
    "fitted": lambda: "fitted", "shipped": Costs, "measured": Costs.measured}


def _percent(text: str) -> int | str:
    if text in ("off", "recorded"):
        return text
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << 31:
        raise argparse.ArgumentTypeError(
            f"{text!r}: a whole number of percent, off or recorded")
    return value


def _limit(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def _procs(text: str) -> int | str:
    if text == "recorded":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: a whole number or recorded") from None


def add_replay_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "replay", help="replay a recorded history under other settings",
        description="Replay a recorded history: GHTRACE1, a Go execution trace, or the "
                    "workload behind a log of gctrace. What isn't given is "
                    "as recorded.")
    p.add_argument("file", metavar="FILE")
    p.add_argument("--gogc", type=_percent, default="recorded", metavar="N",
                   help="percent, or off")
    p.add_argument("--memory-limit", type=_limit, default="recorded",
                   metavar="L", help="bytes, a size such as 64MiB, or off")
    p.add_argument("--procs", type=_procs, default="recorded", metavar="N",
                   help="GOMAXPROCS")
    p.add_argument("--mode", choices=MODES, default="virtual",
                   help="cycles beside the program on the virtual clock (default), or with "
                        "the world stopped")
    p.add_argument("--gctrace", action="store_true",
                   help="print the line of every collection, as Go does")
    p.add_argument("--scavtrace", action="store_true",
                   help="print what each sweep left to give back, as Go does")
    p.add_argument("--pacertrace", action="store_true",
                   help="print what the pacer planned and measured, as Go does")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    p.add_argument("--perfetto", metavar="OUT",
                   help="write the collections to a file that Perfetto and Chrome open")
    p.add_argument("--deaths", choices=DEATHS, default="drawn",
                   help="where in the known interval an object dies")
    p.add_argument("--costs", choices=tuple(COSTS), default="fitted",
                   help="the virtual clock's prices: fitted to the recording (default), the "
                        "same everywhere, or measured on this machine (see goheap calibrate)")
    p.add_argument("--seed", type=int, default=0, metavar="N",
                   help="of drawn deaths")
    add_recorded(p)
    p.set_defaults(function=run_replay)


def _mib(n: int | None) -> str:
    return "not recorded" if n is None else "%.1f MiB" % (n / (1 << 20))


SEEDS = 3  # for the intervals
ENDS = ("automatic_gc", "peak_heap_bytes", "peak_rss_bytes", "gc_cpu_fraction")
Ends = dict[str, Interval | None]


def _intervals(args: argparse.Namespace, of: Any, r: Replay) -> Ends:
    """Between what the figures of this run lie. With fitted costs: as what_if has it, the
    model's error in it. Else the model has no known error: the earliest and the latest deaths,
    and other seeds."""
    others: Ends = {}
    if args.mode == "virtual" and args.costs == "fitted":
        p = what_if(of, gogc=[r.gogc], memory_limit=[r.memory_limit], procs=[args.procs],
                    seeds=SEEDS)[0]
        others = {name: getattr(p, name) for name in ENDS}
    else:
        ways = [("early", 0), ("late", 0), *(("drawn", seed) for seed in range(SEEDS))]
        runs = [replay(of, gogc=args.gogc, memory_limit=args.memory_limit, procs=args.procs,
                       mode=args.mode, costs=r.costs, deaths=deaths, seed=seed,  # type: ignore[arg-type]
                       series="none") for deaths, seed in ways]
        for name in ENDS:
            values = [getattr(x, name) for x in runs]
            others[name] = None if None in values else Interval(0, min(values), max(values))
    found: Ends = {}
    for name, i in others.items():
        value = getattr(r, name)
        found[name] = None if i is None or value is None else Interval(
            value, min(value, i.low), max(value, i.high))
    return found


def _ends(intervals: Ends) -> dict[str, Any]:
    def plain(name: str, value: float) -> float:
        return value if name.endswith("fraction") else round(value)

    return {name + end: None if i is None else plain(name, getattr(i, end[1:]))
            for name, i in intervals.items() for end in ("_low", "_high")}


def _text(r: Replay, intervals: Ends) -> str:
    def ends(name: str, scale: float, unit: str) -> str:
        i = intervals[name]
        return "" if i is None else ", %.0f to %.0f%s" % (i.low / scale, i.high / scale, unit)

    off = "off"
    rows = (
        ("GOGC", off if r.gogc is None else r.gogc),
        ("memory limit", off if r.memory_limit is None else _mib(r.memory_limit)),
        ("procs", r.procs),
        ("objects", "%d (%s)" % (r.objects, _mib(r.bytes))),
        ("collections", "%d automatic%s; %d forced" % (
            r.automatic_gc, ends("automatic_gc", 1, ""), r.forced_gc)),
        ("peak heap", "%s at a collection, %s at any time" % (
            _mib(r.peak_heap_bytes), _mib(r.peak_live_bytes))),
        ("peak RSS", _mib(r.peak_rss_bytes) + ends("peak_rss_bytes", 1 << 20, " MiB")),
        ("GC CPU", "%.2f%%%s" % (
            100 * r.gc_cpu_fraction, ends("gc_cpu_fraction", 0.01, "%"))),
        ("longest pause", "%.3f ms" % (r.longest_pause_ns / 1e6)),
        ("costs", "as shipped" if r.costs == Costs() else r.costs),
    )
    return "".join("%-14s%s\n" % row for row in rows)


def run_replay(args: argparse.Namespace) -> int:
    """0: done; 1: a file or a setting was wrong."""
    try:
        of = source("replay", args)
        r = replay(of, gogc=args.gogc, memory_limit=args.memory_limit,
                   procs=args.procs, mode=args.mode, deaths=args.deaths, seed=args.seed,
                   costs=COSTS[args.costs]())
        intervals = _intervals(args, of, r)
        if args.perfetto is not None:
            r.to_perfetto(args.perfetto)
    except (HeapError, OSError, ValueError, TypeError, MemoryError) as e:
        print(f"goheap replay: {e}", file=sys.stderr)
        return 1
    flags: tuple[tuple[TraceKind, bool], ...] = (
        ("gctrace", args.gctrace), ("scavtrace", args.scavtrace),
        ("gcpacertrace", args.pacertrace))
    kinds: list[TraceKind] = [kind for kind, wanted in flags if wanted]
    if kinds:
        # Beside JSON the lines go where Go's runtime writes them.
        (sys.stderr if args.json else sys.stdout).write(r.gctrace(*kinds))
    if args.json:
        json.dump({**r.to_dict(), **_ends(intervals)}, sys.stdout)
        sys.stdout.write("\n")
    else:
        sys.stdout.write(_text(r, intervals))
    return 0
