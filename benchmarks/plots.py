"""How long each plot takes, from data of a million events and more to a drawn picture.

Usage: python benchmarks/plots.py [TRACE]. Aim: at most 2 s each. Needs matplotlib.
"""
from __future__ import annotations

import importlib.resources
import sys
import time

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402

import goheap as gh  # noqa: E402
from goheap import plots  # noqa: E402

Node = gh.struct("Node", next=gh.Ptr, rest=gh.fixed(gh.int64, 5))


def main() -> int:
    trace = sys.argv[1] if len(sys.argv) > 1 else str(
        importlib.resources.files("goheap") / "data" / "compile-json.gogc20.ghtrace")
    replay = gh.replay(trace, gogc=100, costs=gh.Costs(), series="even")
    grid = gh.what_if(trace, gogc=(100, 400), memory_limit=("off", "48MiB"), seeds=1)
    with gh.Trace.open(trace) as t:
        events = t.events
    heap = gh.Heap(mode="virtual")
    with heap.watch("span") as log:
        kept = [heap.new_many(Node, 1000) for _ in range(1000)]
        snap = heap.snapshot()
    truth = [{"gogc": 100, "automatic_gc": [8, 9, 8]}]
    data = {"heap": replay, "pauses": replay, "pacer": replay, "fragmentation": replay,
            "size_classes": snap, "pages": snap, "page_history": log, "lifetimes": events,
            "settings_map": grid, "pareto": grid, "predicted": (grid, truth)}
    print(f"{len(events):,} events, {len(snap.objects):,} objects in {len(kept):,} blocks")
    slow = 0
    for name in plots.PLOTS:
        began = time.perf_counter()
        ax = plots.draw(name, data[name])
        ax.figure.canvas.draw()
        took = time.perf_counter() - began
        pyplot.close(ax.figure)
        slow += took > 2
        print(f"{name:14} {took:6.2f} s{'  over 2 s' if took > 2 else ''}")
    return slow > 0


if __name__ == "__main__":
    sys.exit(main())
