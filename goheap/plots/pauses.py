"""How long the program was held up: both stops of each cycle, and assists."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._common import BLUE, GREEN, RED, cycles_of, new_axes, tidy, what_was_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Pauses and assists"
NEEDS = "a Replay, a Heap, or a sequence of GCCycle"
INFO = ("GCCycle.pause_ns: the stop that begins marking (sweep termination) and the one that "
        "ends it (mark termination). GCCycle.assist_ns: time in which allocations had to mark "
        "first, summed over all Ps. Nothing is drawn where a time is zero.")


def draw(data: Any, ax: Axes | None = None) -> Axes:
    """Microseconds of each cycle, on a logarithmic axis, over seconds."""
    cycles = cycles_of(data)
    ax = new_axes(ax)
    t = [c.start_ns / 1e9 for c in cycles]
    for values, color, mark, label in (
            ([c.pause_ns[0] for c in cycles], BLUE, "o", "sweep termination"),
            ([c.pause_ns[1] for c in cycles], RED, "x", "mark termination"),
            ([c.assist_ns for c in cycles], GREEN, "^", "assists, all Ps")):
        seen = [(x, v / 1e3) for x, v in zip(t, values) if v > 0]
        if seen:
            # Rings and crosses: where both stops take the same time, both are seen.
            ax.plot(*zip(*seen), mark, ms=5 if len(seen) < 300 else 3, color=color, mew=1,
                    mfc="none" if mark == "o" else color,
                    label=f"{label}: up to {_time(max(v for _, v in seen))}")
    ax.set_yscale("log")
    ax.set_xlim(0, 1.02 * max(t, default=1.0) or 1.0)
    if not ax.has_data():
        ax.text(0.5, 0.5, "no stop and no assist took time", transform=ax.transAxes, ha="center")
    return tidy(ax, ": ".join(filter(None, (TITLE, what_was_run(data)))), "seconds",
                "µs, logarithmic")


def _time(us: float) -> str:
    return f"{us / 1e3:.3g} ms" if us >= 1000 else f"{us:.3g} µs"
