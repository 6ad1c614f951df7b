"""goheap replay: one recorded history under one setting."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from .aliases import TraceKind
from .errors import HeapError
from .settings import Costs
from .replay import DEATHS, MODES, Replay, replay


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
        description="Replay a recorded history (GHTRACE1). What isn't given is "
                    "as recorded.")
    p.add_argument("file", metavar="FILE")
    p.add_argument("--gogc", type=_percent, default="recorded", metavar="N",
                   help="percent, or off")
    p.add_argument("--memory-limit", type=_limit, default="recorded",
                   metavar="L", help="bytes, a size such as 64MiB, or off")
    p.add_argument("--procs", type=_procs, default="recorded", metavar="N",
                   help="GOMAXPROCS")
    p.add_argument("--mode", choices=MODES, default="stw",
                   help="cycles with the world stopped (default), or beside the "
                        "program on the virtual clock")
    p.add_argument("--gctrace", action="store_true",
                   help="print the line of every collection, as Go does")
    p.add_argument("--scavtrace", action="store_true",
                   help="print what each sweep left to give back, as Go does")
    p.add_argument("--pacertrace", action="store_true",
                   help="print what the pacer planned and measured, as Go does")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    p.add_argument("--deaths", choices=DEATHS, default="drawn",
                   help="where in the known interval an object dies")
    p.add_argument("--costs", choices=("shipped", "measured"), default="shipped",
                   help="the virtual clock's prices: the same everywhere (default), or "
                        "measured on this machine (see goheap calibrate)")
    p.add_argument("--seed", type=int, default=0, metavar="N",
                   help="of drawn deaths")
    p.set_defaults(function=run_replay)


def _mib(n: int | None) -> str:
    return "not recorded" if n is None else "%.1f MiB" % (n / (1 << 20))


def _text(r: Replay) -> str:
    off = "off"
    rows = (
        ("GOGC", off if r.gogc is None else r.gogc),
        ("memory limit", off if r.memory_limit is None else _mib(r.memory_limit)),
        ("procs", r.procs),
        ("objects", "%d (%s)" % (r.objects, _mib(r.bytes))),
        ("collections", "%d automatic, %d forced" % (r.automatic_gc, r.forced_gc)),
        ("peak heap", "%s at a collection, %s at any time" % (
            _mib(r.peak_heap_bytes), _mib(r.peak_live_bytes))),
        ("peak RSS", _mib(r.peak_rss_bytes)),
        ("GC CPU", "%.2f%%" % (100 * r.gc_cpu_fraction)),
        ("longest pause", "%.3f ms" % (r.longest_pause_ns / 1e6)),
        ("costs", "as shipped" if r.costs == Costs() else r.costs),
    )
    return "".join("%-14s%s\n" % row for row in rows)


def run_replay(args: argparse.Namespace) -> int:
    """0: done; 1: a file or a setting was wrong."""
    try:
        r = replay(args.file, gogc=args.gogc, memory_limit=args.memory_limit,
                   procs=args.procs, mode=args.mode, deaths=args.deaths, seed=args.seed,
                   costs=Costs() if args.costs == "shipped" else Costs.measured())
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
        json.dump(r.to_dict(), sys.stdout)
        sys.stdout.write("\n")
    else:
        sys.stdout.write(_text(r))
    return 0
