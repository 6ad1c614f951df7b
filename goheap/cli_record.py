"""goheap record: a Go program's history into a GHTRACE1 file."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from . import record
from .errors import HeapError
from .trace import Trace


def add_record_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "record", help="record a Go program",
        description="Record what a Go program allocates and frees (Go 1.23 to 1.26) into a "
                    "GHTRACE1 file. A small GOGC tells more exactly when objects die. See "
                    "docs/recording.md.")
    p.add_argument("-o", dest="output", metavar="OUT", required=True)
    p.add_argument("--gogc", metavar="N", help="run with this GOGC (url: it runs with it)")
    p.add_argument("--memory-limit", metavar="L", help="likewise GOMEMLIMIT")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    way = p.add_subparsers(dest="way", required=True)
    w = way.add_parser("test", help="go test, of one package",
                       description="Runs go test with the arguments given after --.")
    w.add_argument("args", nargs=argparse.REMAINDER, metavar="-- ARGUMENTS")
    w = way.add_parser("run", help="a main package, from its first instruction on",
                       description="Builds the package with a recording file dropped in, no "
                                   "line of it changed, and runs it.")
    w.add_argument("package", metavar="PACKAGE")
    w.add_argument("args", nargs=argparse.REMAINDER, metavar="ARGUMENTS")
    w = way.add_parser("url", help="a server with net/http/pprof",
                       description="Asks a server for a trace. It must run with "
                                   "GODEBUG=traceallocfree=1, or set that by os.Setenv.")
    w.add_argument("--seconds", type=float, default=5.0, metavar="S")
    w.add_argument("url", metavar="URL", help="such as http://localhost:6060")
    p.set_defaults(function=run_record)


def run_record(args: argparse.Namespace) -> int:
    """0: recorded; 1: something was wrong."""
    if args.way != "url" and args.args[:1] == ["--"]:
        del args.args[0]
    known = {"gogc": args.gogc, "memory_limit": args.memory_limit}
    try:
        if args.way == "test":
            record.test(args.args, args.output, **known)
        elif args.way == "run":
            record.run(args.package, args.args, args.output, **known)
        else:
            record.url(args.url, args.output, seconds=args.seconds, **known)
        with Trace.open(args.output) as t:
            info, repairs = t.info, t.repairs
    except (HeapError, OSError, ValueError) as e:
        print(f"goheap record: {e}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({"path": args.output, "repairs": repairs, **info}))
        return 0
    counts = info["counts"]
    print("%s: %.2f MB, %d objects, %d collections, %.3f s; repairs: %s" % (
        args.output, os.stat(args.output).st_size / 1e6, counts["alloc"] + counts["exist"],
        counts["gc_begin"], info["duration_ns"] / 1e9,
        ", ".join(f"{n} {k}" for k, n in repairs.items()) or "none"), file=sys.stderr)
    return 0
