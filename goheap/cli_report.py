"""goheap report: one HTML page about a recorded history under one setting."""
from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from .cli_replay import _limit, _percent, _procs
from .errors import HeapError
from .replay import DEATHS, MODES, replay


def add_report_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "report", help="one HTML page about a recorded history",
        description="Replay a recorded history and write one self-contained page: settings, "
                    "figures, pictures (needs plotly).")
    p.add_argument("file", metavar="FILE")
    p.add_argument("-o", dest="output", default="goheap-report.html", metavar="PAGE",
                   help="default %(default)s")
    p.add_argument("--title", help="of the page")
    p.add_argument("--gogc", type=_percent, default="recorded", metavar="N",
                   help="percent, or off")
    p.add_argument("--memory-limit", type=_limit, default="recorded", metavar="L",
                   help="bytes, a size such as 64MiB, or off")
    p.add_argument("--procs", type=_procs, default="recorded", metavar="N", help="GOMAXPROCS")
    p.add_argument("--mode", choices=MODES, default="virtual",
                   help="cycles beside the program (default), or with the world stopped")
    p.add_argument("--deaths", choices=DEATHS, default="drawn",
                   help="where in the known interval an object dies")
    p.add_argument("--seed", type=int, default=0, metavar="N", help="of drawn deaths")
    p.add_argument("--json", action="store_true", help="say what was written as JSON")
    p.set_defaults(function=run_report)


def run_report(args: argparse.Namespace) -> int:
    """0: written; 1: a file or a setting was wrong, or plotly is missing."""
    from . import report
    try:
        r = replay(args.file, gogc=args.gogc, memory_limit=args.memory_limit, procs=args.procs,
                   mode=args.mode, deaths=args.deaths, seed=args.seed)
        report.write(r, args.output, title=args.title)
    except (HeapError, OSError, ValueError, TypeError, MemoryError, ImportError) as e:
        print(f"goheap report: {e}", file=sys.stderr)
        return 1
    n = os.path.getsize(args.output)
    print(json.dumps({"page": args.output, "bytes": n}) if args.json else
          f"{args.output}: {n / (1 << 20):.1f} MiB")
    return 0
