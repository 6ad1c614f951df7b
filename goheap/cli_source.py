"""What the commands replay: a file, and what it does not say of itself."""

from __future__ import annotations

import argparse
import sys

from .made import Workload, is_gctrace
from .replay import LIMIT_OFF, _limit, _percent
from .trace import MAGIC, Trace


def add_recorded(p: argparse.ArgumentParser) -> None:
    p.add_argument("--recorded-gogc", metavar="N", default=None,
                   help="what the program was recorded with, if the file doesn't say")
    p.add_argument("--recorded-limit", metavar="L", default=None,
                   help="likewise its GOMEMLIMIT")


def recorded(args: argparse.Namespace) -> dict[str, str]:
    """What the options say, as a recording has it."""
    run = {}
    if args.recorded_gogc is not None:
        _percent(args.recorded_gogc)
        run["GOGC"] = args.recorded_gogc
    if args.recorded_limit is not None:
        limit = _limit(args.recorded_limit if not args.recorded_limit.isdigit()
                       else int(args.recorded_limit))
        run["GOMEMLIMIT"] = "off" if limit == LIMIT_OFF else str(limit)
    return run


def missing(trace: Trace) -> str:
    """What the recording doesn't say, as a sentence; empty if nothing is missing."""
    info = trace.info
    said = []
    if info.get("GOGC") in (None, ""):
        said.append("the GOGC it ran with: Go's default of 100 is taken (--recorded-gogc)")
    metrics = info.get("Metrics")
    if not isinstance(metrics, dict) or "/cpu/classes/total:cpu-seconds" not in metrics:
        said.append("what CPU time its collector took: nothing is fitted, prices are as shipped "
                    "(record with the hook, or convert with --stats)")
    if info.get("MaxRSSKiB") in (None, 0):
        said.append("its peak of resident memory: none is predicted")
    return "the recording doesn't say " + "; nor ".join(said) if said else ""


LOG = ("a log of gctrace, not a recording: a steady workload like it is replayed, without bursts "
       "and trends, with made-up sizes and lifetimes, and no resident memory is predicted")


def source(command: str, args: argparse.Namespace) -> str | Trace | Workload:
    """The file to replay, with what the options say of it; what it lacks is said on stderr."""
    run = recorded(args)
    path: str = args.file
    if is_gctrace(path):
        print(f"goheap {command}: {path}: {LOG}", file=sys.stderr)
        if run:
            raise ValueError("--recorded-gogc, --recorded-limit: the log's goals say it")
        return Workload.from_gctrace(path)
    trace = Trace.open(path)
    if run:
        trace._say(run)
    lacks = missing(trace)
    if lacks:
        print(f"goheap {command}: {path}: {lacks}", file=sys.stderr)
    with open(path, "rb") as f:
        plain = f.read(8) == MAGIC
    if plain and not run:
        trace.close()
        return path
    return trace
