"""Heap, live heap, goal and trigger over time, cycles shaded by phase."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._common import (BLUE, GREEN, GREY, MIB, ORANGE, RED, SKY, cycles_of, new_axes, series_of,
                      size, thin, tidy, what_was_run)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Heap over time"
NEEDS = "a Replay, a Heap, or a sequence of GCCycle"
INFO = ("heap_live rises with every refill and falls to heap_marked when a cycle ends; a cycle "
        "begins at the trigger and tries to end below the goal (GCCycle.heap_start, heap_marked, "
        "trigger, heap_goal; Sample.heap_live). Shaded: marking. Red ticks: the world stands.")


def _line(data: Any) -> tuple[list[float], list[float]]:
    points = []
    if hasattr(data, "series"):
        points += list(zip(*series_of(data, "t_ns", "heap_live")))
    for c in cycles_of(data):
        points += [(c.start_ns, c.heap_start), (c.mark_end_ns, c.heap_end),
                   (c.end_ns, c.heap_marked)]
    points.sort()
    return [t / 1e9 for t, _ in points], [b / MIB for _, b in points]


def draw(data: Any, ax: Axes | None = None) -> Axes:
    """MiB over seconds of the heap's clock."""
    cycles = cycles_of(data)
    t, heap = _line(data)
    ax = new_axes(ax)
    end = max(t[-1] if t else 0.0, 1e-9)
    if heap:
        t, heap = thin(t, heap)
        ax.fill_between(t, heap, color=BLUE, alpha=0.12, lw=0)
        ax.plot(t, heap, lw=1.2, color=BLUE, label="heap")
    at = [c.end_ns / 1e9 for c in cycles] + [end]
    if cycles:
        marked = [c.heap_marked / MIB for c in cycles]
        ax.step(at, [*marked, marked[-1]], where="post", lw=1.3, color=GREEN, label="live")
        # A cycle's goal and trigger hold from the end of the one before it.
        since = [0.0, *(c.end_ns / 1e9 for c in cycles)]
        for name, color, label in (("heap_goal", RED, "goal"), ("trigger", ORANGE, "trigger")):
            level = [getattr(c, name) / MIB for c in cycles]
            if name == "trigger":  # of a forced cycle it is what made it: none
                level = [min(a, c.heap_goal / MIB) for a, c in zip(level, cycles)]
            ax.step(since, [*level, level[-1]], where="post", lw=1.1, color=color, label=label,
                    ls="-" if name == "heap_goal" else ":")
        ax.broken_barh([(c.mark_start_ns / 1e9, (c.mark_end_ns - c.mark_start_ns) / 1e9)
                        for c in cycles], (0, 1), transform=ax.get_xaxis_transform(),
                       color=SKY, alpha=0.3, lw=0, label="marking")
        stops = [(c.start_ns / 1e9, (c.mark_start_ns - c.start_ns) / 1e9) for c in cycles]
        stops += [(c.mark_end_ns / 1e9, (c.end_ns - c.mark_end_ns) / 1e9) for c in cycles]
        if len(cycles) <= 200:
            ax.broken_barh(stops, (0, 0.02), transform=ax.get_xaxis_transform(), color=RED,
                           lw=0.5, ec=RED, label="world stopped")
    limit = getattr(data, "memory_limit", None)
    top = max([*heap, *(c.heap_goal / MIB for c in cycles if c.heap_goal < 1 << 50)], default=1.0)
    if limit is not None and limit / MIB < 1.6 * top:
        ax.axhline(limit / MIB, color=GREY, lw=1, ls="--", label="limit")
        top = max(top, limit / MIB)
    # A goal that is never reached must not press the heap to the ground.
    ax.set_ylim(0, 1.15 * min(top, 2.5 * max([*heap, 1e-9])))
    ax.set_xlim(0, end)
    title = ", ".join(filter(None, (what_was_run(data), f"{len(cycles)} collections")))
    return tidy(ax, f"{TITLE}: {title}", "seconds", "MiB")
