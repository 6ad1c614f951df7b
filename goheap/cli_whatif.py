"""goheap what-if, goheap advise: one recording under many settings."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from .aliases import Progress
from .cli_replay import _limit, _percent, _procs
from .cli_source import add_recorded, source
from .errors import HeapError
from .replay import LIMIT_OFF
from .replay import _limit as size
from .whatif import WhatIf, what_if

# What advise tries: GOGC alone, and with the limit alone or with Go's default beside it, the
# limit as shares of the bound.
ADVISE_GOGC = (50, 100, 200, 400)
ADVISE_WITH_LIMIT = ("off", 100)
ADVISE_SHARES = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5)


def _several(convert: Any) -> Any:
    def values(text: str) -> list[Any]:
        return [convert(part.strip()) for part in text.split(",")]
    return values


def _share(text: str) -> float:
    """0.1 or 10%."""
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: a share such as 10% or 0.1")
    return value


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number in 1..1000")
    return value


def _common(p: argparse.ArgumentParser) -> None:
    p.add_argument("file", metavar="FILE", help="a recording (GHTRACE1, a Go execution trace) or a "
                   "log of gctrace")
    add_recorded(p)
    p.add_argument("--seeds", type=_count, default=3, metavar="N",
                   help="replays with drawn deaths for each setting; default %(default)s")
    p.add_argument("--json", action="store_true", help="print JSON")


def add_whatif_parsers(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "what-if", help="predict a recorded program under other settings",
        description="Replay a recording under every combination of the settings, each several "
                    "times, and print figures with their intervals. Begins with the error at the "
                    "recorded setting. Without settings: a grid around the recorded one.")
    _common(p)
    p.add_argument("--gogc", type=_several(_percent), metavar="N,...",
                   help="percentages, or off")
    p.add_argument("--memory-limit", type=_several(_limit), metavar="L,...",
                   help="bytes, sizes such as 64MiB, or off")
    p.add_argument("--procs", type=_several(_procs), default=["recorded"], metavar="N,...",
                   help="GOMAXPROCS; what was not recorded is extrapolated")
    p.add_argument("--csv", action="store_true", help="print CSV")
    p.set_defaults(function=run_what_if)

    p = subparsers.add_parser(
        "advise", help="choose GOGC and GOMEMLIMIT within bounds",
        description="Choose the cheapest setting that stays within the bounds, by the "
                    "pessimistic end of each interval.")
    _common(p)
    p.add_argument("--limit", type=_limit, metavar="L",
                   help="the most memory that the process may have, e.g. 4GiB; without it the "
                        "least memory within --max-gc-cpu is looked for")
    p.add_argument("--max-gc-cpu", type=_share, metavar="X",
                   help="the most GC CPU, e.g. 10%%")
    p.add_argument("--gogc", type=_several(_percent), metavar="N,...",
                   help="what to try; default 50 to 400, and off and 100 with a limit")
    p.add_argument("--memory-limit", type=_several(_limit), metavar="L,...",
                   help="what to try; default off, and shares of --limit (without it: of what "
                        "GOGC=100 takes); off alone: the largest GOGC that fits")
    p.set_defaults(function=run_advise)


class _Bar:
    """A line on a terminal for what takes longer than a second."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        if sys.stderr.isatty() and time.monotonic() - self._began > 1:
            self._shown = True
            sys.stderr.write("\r%d of %d replays" % (done, total))
            sys.stderr.flush()

    def end(self) -> None:
        if self._shown:
            sys.stderr.write("\r%s\r" % (" " * 40))


def _grid(args: argparse.Namespace, progress: Progress, **grid: Any) -> WhatIf:
    return what_if(args.source, seeds=args.seeds, progress=progress, **grid)


def _failed(command: str, e: BaseException) -> int:
    print(f"goheap {command}: {e}", file=sys.stderr)
    return 1


def run_what_if(args: argparse.Namespace) -> int:
    """0: done; 1: a file or a setting was wrong."""
    bar = _Bar()
    try:
        args.source = source("what-if", args)
        w = _grid(args, bar, gogc=args.gogc, memory_limit=args.memory_limit, procs=args.procs)
    except (HeapError, OSError, ValueError, TypeError, MemoryError) as e:
        return _failed("what-if", e)
    finally:
        bar.end()
    if args.json:
        json.dump([{**p.to_dict(), "calibration": dict(w.calibration)} for p in w], sys.stdout,
                  indent=1)
        sys.stdout.write("\n")
    elif args.csv:
        sys.stdout.write(w.to_csv())
    else:
        print(w)
    return 0


def _advised(args: argparse.Namespace, bar: _Bar) -> WhatIf:
    """What advise chooses from."""
    if args.memory_limit is not None:
        return _grid(args, bar, gogc=args.gogc or ADVISE_GOGC, memory_limit=args.memory_limit)
    w = _grid(args, bar, gogc=args.gogc or ADVISE_GOGC, memory_limit=["off"])
    most = size(args.limit)
    if most == LIMIT_OFF:
        if args.max_gc_cpu is None:
            return w
        # The least memory is asked for: from what Go's default takes downwards.
        p = min(w, key=lambda p: abs((p.gogc or 0) - 100))
        most = int((p.peak_rss_bytes or p.peak_heap_bytes).value)
    limits = [max(1 << 20, int(most * s)) >> 20 << 20 for s in ADVISE_SHARES]
    more = _grid(args, bar, gogc=args.gogc or ADVISE_WITH_LIMIT, memory_limit=limits)
    return WhatIf(w.source, w.calibration, [*w, *more], w.costs, w.seeds)


def run_advise(args: argparse.Namespace) -> int:
    """0: done; 1: a file or a setting was wrong; 3: no setting is within the bounds."""
    bar = _Bar()
    try:
        args.source = source("advise", args)
        w = _advised(args, bar)
    except (HeapError, OSError, ValueError, TypeError, MemoryError) as e:
        return _failed("advise", e)
    finally:
        bar.end()
    try:
        advice = w.advise(max_rss=args.limit, max_gc_cpu=args.max_gc_cpu)
    except ValueError as e:
        _failed("advise", e)
        return 3
    if args.json:
        p = advice.prediction.to_dict()
        json.dump({**p, "cliff": advice.cliff, "advice": str(advice),
                   "calibration": dict(w.calibration)}, sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        print(advice)
    return 0
