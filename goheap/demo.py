"""goheap demo: the Go compiler's history under four settings, beside real Go.

rich and matplotlib make it handsome; both are looked for here only, and neither
is needed.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.resources
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from .aliases import Progress
from .errors import HeapError
from .replay import Replay, replay

TRACE = "compile-json.gogc20.ghtrace"
TRUTH = "compile-json.truth.json"
SETTINGS = (50, 100, 200, 400)
BAR = 30

FITTED = ("The model is fitted to the recording (GOGC=20) and knows nothing of the runs "
          "beside it. goheap what-if says how sure each figure is.")

HEAD = ("setting", "collections predicted", "real Go, three runs", "peak heap",
        "seconds")
Row = tuple[str, str, str, str, str]


class _Plain:
    """A bar of characters on a terminal, and rows as they come."""

    FORMAT = "%-9s  %21s  %19s  %9s  %7s"

    def __init__(self) -> None:
        self._bar = sys.stderr if sys.stderr.isatty() else None
        print(self.FORMAT % HEAD)

    @contextlib.contextmanager
    def running(self, label: str) -> Iterator[Progress]:
        """Shows the bar; what it gives is called with (done, total)."""
        def draw(done: int, total: int) -> None:
            if self._bar is not None:
                n = BAR * done // max(total, 1)
                self._bar.write("\r%-9s [%s%s] %3d%%" % (
                    label, "#" * n, "." * (BAR - n),
                    100 * done // max(total, 1)))
                self._bar.flush()

        draw(0, 1)
        try:
            yield draw
        finally:
            if self._bar is not None:
                self._bar.write("\r%s\r" % (" " * (BAR + 20)))
                self._bar.flush()

    def row(self, cells: Row) -> None:
        print(self.FORMAT % cells, flush=True)

    def end(self) -> None:
        pass


class _Rich:
    """The same with rich: the table is shown when it is whole."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bars
        from rich.table import Table

        self._console = Console(highlight=False)
        bars = Console(stderr=True)
        self._bars = functools.partial(Bars, console=bars, transient=True,
                                       disable=not bars.is_terminal)
        self._table = Table()
        for i, name in enumerate(HEAD):
            self._table.add_column(name, justify="left" if i == 0 else "right")

    @contextlib.contextmanager
    def running(self, label: str) -> Iterator[Progress]:
        with self._bars() as bars:
            task = bars.add_task("%-9s" % label, total=1)
            yield lambda done, total: bars.update(task, completed=done,
                                                  total=total)

    def row(self, cells: Row) -> None:
        self._table.add_row(*cells)

    def end(self) -> None:
        self._console.print(self._table)


def _screen() -> _Plain | _Rich:
    try:
        return _Rich()
    except ImportError:
        return _Plain()


def add_demo_parser(subparsers: Any) -> None:
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


def _panel(ax: Any, r: Replay, title: str, top: float) -> None:
    """Draws one replay into axes that end at top MiB."""
    mib = 1 << 20
    # The heap rises from sample to sample and falls at a cycle's end.
    heap = [(s.t_ns, s.heap_live) for s in r.series]
    for c in r.cycles:
        heap += [(c.start_ns, c.heap_start), (c.end_ns, c.heap_marked)]
    heap.sort()
    t, size = [t / 1e9 for t, _ in heap], [b / mib for _, b in heap]
    ax.fill_between(t, size, color="#1f77b4", alpha=0.15, lw=0)
    ax.plot(t, size, lw=1.3, color="#1f77b4", label="heap")
    t = [s.t_ns / 1e9 for s in r.series]
    live = [s.heap_marked / mib for s in r.series]
    ax.fill_between(t, live, step="post", color="#2ca02c", alpha=0.25, lw=0)
    ax.step(t, live, where="post", lw=1.3, color="#2ca02c",
            label="live at the last collection")
    goal = [s.heap_goal / mib for s in r.series]
    ax.step(t, goal, where="post", lw=1.3, color="#d62728", label="goal")
    if goal[-1] > top:
        ax.annotate("goal %.0f MiB \u2191" % goal[-1], (t[-1], top),
                    xytext=(0, -4), textcoords="offset points", ha="right",
                    va="top", fontsize=9, color="#d62728")
    ax.plot([c.start_ns / 1e9 for c in r.cycles],
            [c.heap_start / mib for c in r.cycles], "o", ms=3.5,
            color="#1f77b4", label="collection")
    ax.set_title(title, fontsize=10, loc="left")
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)


def _picture(runs: list[Replay], real: dict[int, str], path: str) -> bool:
    """Heap, goal and live over time; False if matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    fig = Figure(figsize=(10, 6.6), layout="constrained")
    FigureCanvasAgg(fig)
    axes = fig.subplots(2, 2, sharex=True, sharey=True).ravel()
    axes[0].set_xlim(0, max(r.time_ns for r in runs) / 1e9)
    # The last goals aren't reached: the tallest heaps shall fill the picture.
    top = 1.3 * max(r.peak_live_bytes for r in runs) / (1 << 20)
    axes[0].set_ylim(0, top)
    for ax, r, gogc in zip(axes, runs, SETTINGS):
        _panel(ax, r, "GOGC=%d: %d collections (real Go %s)" % (
            gogc, r.automatic_gc, real[gogc]), top)
    for ax in axes[-2:]:
        ax.set_xlabel("seconds of the program")
    for ax in axes[::2]:
        ax.set_ylabel("MiB")
    fig.suptitle("One history of the Go compiler (encoding/json), replayed at "
                 "four settings of GOGC", fontsize=12)
    fig.legend(*fig.axes[0].get_legend_handles_labels(), ncols=4, fontsize=9,
               loc="outside lower center", frameon=False)
    fig.savefig(path, dpi=110, format="png")
    return True


def run_demo(args: argparse.Namespace) -> int:
    """0: done; 1: the history or the picture's file was wrong."""
    data = importlib.resources.files("goheap") / "data"
    truth = json.loads((data / TRUTH).read_text(encoding="utf-8"))
    real = {s["gogc"]: _range(s["automatic_gc"]) for s in truth["settings"]}
    print("The history of the Go compiler (encoding/json, recorded at GOGC=20), "
          "replayed:\n", flush=True)
    screen = _screen()
    runs = []
    try:
        with importlib.resources.as_file(data / TRACE) as path:
            for gogc in SETTINGS:
                label = "GOGC=%d" % gogc
                began = time.perf_counter()
                with screen.running(label) as progress:
                    r = replay(path, gogc=gogc, series="even", progress=progress)
                runs.append(r)
                screen.row((label, str(r.automatic_gc), real[gogc],
                            "%.1f MiB" % (r.peak_live_bytes / (1 << 20)),
                            "%.2f" % (time.perf_counter() - began)))
        screen.end()
        print("\n" + FITTED)
        if _picture(runs, real, args.out):
            print("Heap, goal and live over time: %s" % args.out)
        else:
            print("No picture: matplotlib is missing. Install it with "
                  "`pip install matplotlib`.")
    except (HeapError, OSError, ValueError) as e:
        print(f"goheap demo: {e}", file=sys.stderr)
        return 1
    return 0
