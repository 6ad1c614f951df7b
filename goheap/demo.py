"""goheap demo: the Go compiler's history under four settings, beside real Go."""

from __future__ import annotations

import argparse
import importlib.resources
import json
import sys
import time
from typing import TextIO

from .errors import HeapError
from .replay import Replay, replay

TRACE = "compile-json.gogc20.ghtrace"
TRUTH = "compile-json.truth.json"
SETTINGS = (50, 100, 200, 400)
BAR = 30

LEFT_OUT = ("A stop-the-world replay leaves out what the program allocates while "
            "the collector marks: real Go keeps all of that alive until the next "
            "cycle, so it collects a little less often.")


class _Bar:
    """A progress bar on a terminal; nothing elsewhere."""

    def __init__(self, out: TextIO, label: str) -> None:
        self._out = out if out.isatty() else None
        self._label = label
        self._draw(0, 1)

    def _draw(self, done: int, total: int) -> None:
        if self._out is not None:
            n = BAR * done // max(total, 1)
            self._out.write("\r%-10s [%s%s] %3d%%" % (
                self._label, "#" * n, "." * (BAR - n),
                100 * done // max(total, 1)))
            self._out.flush()

    __call__ = _draw

    def end(self) -> None:
        if self._out is not None:
            self._out.write("\r%s\r" % (" " * (BAR + 20)))
            self._out.flush()


def add_demo_parser(subparsers: argparse._SubParsersAction) -> None:
    p = subparsers.add_parser(
        "demo", help="replay the Go compiler under four settings of GOGC",
        description="Replay the recorded history of the Go compiler at GOGC "
                    "50, 100, 200 and 400 and compare with what real Go did.")
    p.add_argument("--out", default="goheap-demo.png", metavar="FILE",
                   help="the picture; default %(default)s")
    p.set_defaults(function=run_demo)


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else "%d-%d" % (low, high)


def _picture(runs: list[Replay], path: str) -> bool:
    """Heap, goal and live over time; False if matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    mib = 1 << 20
    fig = Figure(figsize=(10, 6.5), layout="constrained")
    FigureCanvasAgg(fig)
    axes = fig.subplots(2, 2, sharex=True, sharey=True).flat
    top = max(s.heap_live for r in runs for s in r.series) / mib * 1.3
    for ax, r in zip(axes, runs):
        # The heap rises from sample to sample and falls at a cycle's end.
        heap = [(s.t_ns, s.heap_live) for s in r.series]
        for c in r.cycles:
            heap += [(c.start_ns, c.heap_start), (c.end_ns, c.heap_marked)]
        heap.sort()
        ax.plot([t / 1e9 for t, _ in heap], [b / mib for _, b in heap],
                lw=1, color="#1f77b4", label="heap")
        goals = [(s.t_ns / 1e9, s.heap_goal / mib) for s in r.series]
        ax.step(*zip(*goals), where="post", lw=1.2, color="#d62728",
                label="goal")
        live = [(s.t_ns / 1e9, s.heap_marked / mib) for s in r.series]
        ax.step(*zip(*live), where="post", lw=1.2, color="#2ca02c",
                label="live at the last collection")
        ax.set_title("GOGC=%s: %d collections" % (r.gogc, r.automatic_gc),
                     fontsize=10)
        ax.set_ylim(0, top)
        ax.grid(alpha=0.25)
    fig.supxlabel("seconds", fontsize=10)
    fig.supylabel("MiB", fontsize=10)
    fig.axes[0].legend(fontsize=8, loc="upper left")
    fig.suptitle("The Go compiler on encoding/json, replayed", fontsize=11)
    fig.savefig(path, dpi=110)
    return True


def run_demo(args: argparse.Namespace) -> int:
    """0: done; 1: the history or the picture's file was wrong."""
    data = importlib.resources.files("goheap") / "data"
    truth = json.loads((data / TRUTH).read_text(encoding="utf-8"))
    real = {s["gogc"]: s["automatic_gc"] for s in truth["settings"]}
    print("The history of the Go compiler (encoding/json, recorded at GOGC=20), "
          "replayed:\n")
    print("%-10s %23s %24s %11s %8s" % (
        "", "collections predicted", "by real Go (three runs)", "peak heap",
        "seconds"))
    runs = []
    try:
        with importlib.resources.as_file(data / TRACE) as path:
            for gogc in SETTINGS:
                bar = _Bar(sys.stderr, "GOGC=%d" % gogc)
                began = time.perf_counter()
                try:
                    r = replay(path, gogc=gogc, progress=bar)
                finally:
                    bar.end()
                runs.append(r)
                print("%-10s %23d %24s %7.1f MiB %8.2f" % (
                    "GOGC=%d" % gogc, r.automatic_gc, _range(real[gogc]),
                    r.peak_heap_bytes / (1 << 20), time.perf_counter() - began),
                    flush=True)
        print("\n" + LEFT_OUT)
        if _picture(runs, args.out):
            print("Heap, goal and live over time: %s" % args.out)
        else:
            print("No picture: matplotlib is missing. Install it with "
                  "`pip install matplotlib`.")
    except (HeapError, OSError, ValueError) as e:
        print(f"goheap demo: {e}", file=sys.stderr)
        return 1
    return 0
