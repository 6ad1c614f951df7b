"""goheap report: one HTML page about a recorded history."""
from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from .cli_replay import _limit, _percent, _procs
from .cli_whatif import _count, _several, _share
from .errors import HeapError
from .replay import DEATHS, MODES, replay
from .whatif import what_if


def add_report_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "report", help="one HTML page about a recorded history",
        description="Replay a recorded history and write one self-contained page: settings, "
                    "figures, pictures (needs plotly). With --what-if: under every combination "
                    "of the settings, with intervals and advice.")
    p.add_argument("file", metavar="FILE")
    p.add_argument("-o", dest="output", default="goheap-report.html", metavar="PAGE",
                   help="default %(default)s")
    p.add_argument("--title", help="of the page")
    p.add_argument("--what-if", action="store_true",
                   help="predict; --gogc and --memory-limit may name several, with commas")
    p.add_argument("--gogc", type=_several(_percent), metavar="N", help="percent, or off")
    p.add_argument("--memory-limit", type=_several(_limit), metavar="L",
                   help="bytes, a size such as 64MiB, or off")
    p.add_argument("--procs", type=_procs, default="recorded", metavar="N", help="GOMAXPROCS")
    p.add_argument("--max-rss", type=_limit, metavar="L",
                   help="with --what-if: advise within this much memory")
    p.add_argument("--max-gc-cpu", type=_share, metavar="X",
                   help="with --what-if: advise within this much GC CPU, e.g. 10%%")
    p.add_argument("--seeds", type=_count, default=3, metavar="N",
                   help="with --what-if: replays of each setting; default %(default)s")
    p.add_argument("--mode", choices=MODES, default="virtual",
                   help="cycles beside the program (default), or with the world stopped")
    p.add_argument("--deaths", choices=DEATHS, default="drawn",
                   help="where in the known interval an object dies")
    p.add_argument("--seed", type=int, default=0, metavar="N", help="of drawn deaths")
    p.add_argument("--json", action="store_true", help="say what was written as JSON")
    p.set_defaults(function=run_report)


def _one(name: str, values: list[Any] | None) -> Any:
    if values is not None and len(values) != 1:
        raise ValueError(f"--{name}: several values need --what-if")
    return "recorded" if values is None else values[0]


def _write(args: argparse.Namespace) -> None:
    from . import report
    if not args.what_if:
        if args.max_rss is not None or args.max_gc_cpu is not None:
            raise ValueError("--max-rss, --max-gc-cpu: advice needs --what-if")
        r = replay(args.file, gogc=_one("gogc", args.gogc),
                   memory_limit=_one("memory-limit", args.memory_limit), procs=args.procs,
                   mode=args.mode, deaths=args.deaths, seed=args.seed, series="even",
                   profile_rate="64KiB")
        report.write(r, args.output, title=args.title)
        return
    grid = what_if(args.file, gogc=args.gogc, memory_limit=args.memory_limit,
                   procs=[args.procs], seeds=args.seeds)
    advice = None
    if args.max_rss is not None or args.max_gc_cpu is not None:
        advice = grid.advise(max_rss=args.max_rss, max_gc_cpu=args.max_gc_cpu)
    report.write(grid, args.output, title=args.title, advice=advice)


def run_report(args: argparse.Namespace) -> int:
    """0: written; 1: a file or a setting was wrong, or plotly is missing."""
    try:
        _write(args)
    except (HeapError, OSError, ValueError, TypeError, MemoryError, ImportError) as e:
        print(f"goheap report: {e}", file=sys.stderr)
        return 1
    n = os.path.getsize(args.output)
    print(json.dumps({"page": args.output, "bytes": n}) if args.json else
          f"{args.output}: {n / (1 << 20):.1f} MiB")
    return 0
