"""goheap convert: a Go execution trace as a GHTRACE1 file."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from .cli_source import add_recorded, missing, recorded
from .errors import HeapError
from .trace import Trace, convert


def add_convert_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "convert", help="turn a Go execution trace into a GHTRACE1 file",
        description="Turn a Go execution trace with alloc and free events (Go 1.23 to 1.26, "
                    "GODEBUG=traceallocfree=1), gzip or not, into a GHTRACE1 file, about a "
                    "third as long. See docs/recording.md.")
    p.add_argument("file", metavar="FILE")
    p.add_argument("-o", dest="output", metavar="OUT", required=True)
    p.add_argument("--stats", metavar="FILE",
                   help="JSON with settings and figures of the recorded run, such as "
                        '{"GOGC": "20", "End": {"Sys": 9000000}}')
    p.add_argument("--note", default="", metavar="TEXT", help="kept in the file")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    add_recorded(p)
    p.set_defaults(function=run_convert)


def _stats(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as f:
        try:
            stats = json.load(f)
        except (ValueError, RecursionError) as e:
            raise ValueError(f"{path}: not JSON: {e}") from None
    if not isinstance(stats, dict):
        raise ValueError(f"{path}: not a JSON object")
    return stats


def run_convert(args: argparse.Namespace) -> int:
    """0: done; 1: a file was wrong."""
    try:
        stats = {**(_stats(args.stats) if args.stats else {}), **recorded(args)}
        convert(args.file, args.output, stats=stats, note=args.note)
        with Trace.open(args.output) as t:
            info, repairs, lacks = t.info, t.repairs, missing(t)
    except (HeapError, OSError, ValueError, TypeError, MemoryError) as e:
        print(f"goheap convert: {e}", file=sys.stderr)
        return 1
    if lacks:
        print(f"goheap convert: {lacks}", file=sys.stderr)
    sizes = [os.stat(p).st_size for p in (args.file, args.output)]
    if args.json:
        print(json.dumps({"bytes_in": sizes[0], "bytes_out": sizes[1],
                          "repairs": repairs, **info}))
        return 0
    counts = info["counts"]
    print("%s: %.2f MB -> %.2f MB" % (args.output, sizes[0] / 1e6, sizes[1] / 1e6))
    print("%d objects, %d tiny, %d freed, %d collections (%d of them forced), %.3f s" % (
        counts["alloc"] + counts["exist"], counts["tiny"], counts["free"],
        counts["gc_begin"], len(info["forced_cycles"]), info["duration_ns"] / 1e9))
    print("repairs: " + (", ".join(f"{n} {k}" for k, n in repairs.items()) or "none"))
    return 0
