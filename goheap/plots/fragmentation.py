"""Fragmentation over time: what the heap holds against what lives in it."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._common import (BLACK, BLUE, GREEN, MIB, ORANGE, SKY, new_axes, series_of, size, thin, tidy,
                      what_was_run)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Fragmentation"
NEEDS = "a Replay, or a table of Heap.record with heap_live, heap_marked, heap_inuse, ..."
INFO = ("From below: live at the last collection (heap_marked), allocated since (heap_live), "
        "slots and tails of spans in use that hold nothing (heap_inuse), and free pages that "
        "were not given back (heap_free). Their sum is what the heap keeps from the system.")
NAMES = ("t_ns", "heap_inuse", "heap_live", "heap_marked", "heap_free")


def draw(data: Any, ax: Axes | None = None) -> Axes:
    """MiB, stacked, over seconds."""
    t, inuse, live, marked, free = thin(*series_of(data, *NAMES))
    ax = new_axes(ax)
    kept = [min(m, n) for m, n in zip(marked, live)]
    parts = (kept, [max(n - k, 0) for n, k in zip(live, kept)],
             [max(i - max(n, 0), 0) for i, n in zip(inuse, live)], free)
    ax.stackplot([x / 1e9 for x in t], [[b / MIB for b in part] for part in parts],
                 colors=(GREEN, BLUE, ORANGE, SKY), alpha=0.8,
                 labels=("live at the last collection", "allocated since",
                         "in spans, but empty", "free pages"))
    if t:
        worst = max(range(len(t)), key=lambda i: inuse[i] + free[i])
        whole = inuse[worst] + free[worst]
        ax.annotate(f"{size(whole)} kept, {size(live[worst])} used", (t[worst] / 1e9, whole / MIB),
                    xytext=(0, 5), textcoords="offset points", fontsize=9, color=BLACK,
                    ha="right" if worst > len(t) / 2 else "left")
        ax.set_xlim(0, t[-1] / 1e9)
        ax.set_ylim(0, 1.12 * whole / MIB)
    return tidy(ax, ": ".join(filter(None, (TITLE, what_was_run(data)))), "seconds", "MiB")
