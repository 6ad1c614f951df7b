"""The pacer: what share of the CPU marking took, cons/mark, and the limiter."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._common import BLUE, GREY, ORANGE, RED, cycles_of, new_axes, tidy, what_was_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Pacer"
NEEDS = "a Replay, a Heap, or a sequence of GCCycle"
INFO = ("While marking: (assist_ns + background_ns) of a cycle over procs times the time it "
        "marked; Go's pacer aims at 25 %. cons_mark: bytes allocated for each byte marked, the "
        "pacer's estimate. gc_cpu_fraction: the collector's share of all CPU time so far. "
        "Shaded: the CPU limiter was on, assists were forgone.")


def draw(data: Any, ax: Axes | None = None) -> Axes:
    """Percent of CPU on the left, cons/mark on the right, over seconds."""
    cycles = cycles_of(data)
    ax = new_axes(ax)
    t = [c.end_ns / 1e9 for c in cycles]
    used = []
    for c in cycles:
        span = (c.mark_end_ns - c.mark_start_ns) * c.procs
        used.append(100 * min((c.assist_ns + c.background_ns) / span, 1) if span > 0 else 0.0)
    dots = "o-" if len(t) < 100 else "-"
    ax.plot(t, used, dots, ms=3, lw=1, color=BLUE, label="CPU while marking")
    ax.plot(t, [100 * c.gc_cpu_fraction for c in cycles], lw=1.3, color=RED,
            label="CPU of the collector so far")
    ax.axhline(25, color=GREY, lw=1, ls="--", label="aim 25 %")
    limited = [c for c in cycles if c.limited]
    if limited:
        ax.broken_barh([(c.start_ns / 1e9, (c.end_ns - c.start_ns) / 1e9) for c in limited],
                       (0, 1), transform=ax.get_xaxis_transform(), color=RED, alpha=0.15, lw=0,
                       label=f"limiter on ({len(limited)} cycles)")
    ax.set_ylim(0, 105)
    ax.set_xlim(0, 1.02 * max(t, default=1.0) or 1.0)
    ratio = [c.cons_mark for c in cycles]
    if any(ratio):
        right = ax.twinx()
        right.plot(t, ratio, lw=1, color=ORANGE)
        right.set_ylabel("cons/mark, bytes allocated per byte marked", color=ORANGE)
        right.tick_params(axis="y", colors=ORANGE)
        right.set_ylim(0, 1.15 * max(ratio))
        right.spines["top"].set_visible(False)
        ax.plot([], [], lw=1, color=ORANGE, label="cons/mark (right)")
    return tidy(ax, ": ".join(filter(None, (TITLE, what_was_run(data)))), "seconds",
                "% of CPU")
