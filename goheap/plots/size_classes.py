"""Where the bytes of each size class are: used, lost to rounding, free, at the ends."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._common import BLUE, GREY, MIB, ORANGE, SKY, class_label, new_axes, size, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Size classes"
NEEDS = "a Snapshot with objects"
INFO = ("Snapshot.occupancy(): each span class that has spans. Rounding is what a slot is larger "
        "than what was asked for, malloc headers included; tails are the ends of spans that hold "
        "no slot.")
MOST = 30  # bars; the rest, smallest first, becomes one


def draw(data: Any, ax: Axes | None = None) -> Axes:
    """MiB of each span class, a bar each, the greatest on top."""
    rows: list[tuple[Any, ...]] = []
    for r in data.occupancy():
        slots = r.used * r.elemsize if r.elemsize else 0
        if not r.elemsize:  # large objects: the spans say how much
            slots = sum(s.npages for s in data.spans if s.spanclass == r.spanclass) * 8192
            slots -= r.free + r.tails
        rows.append((class_label(r.spanclass, r.elemsize), slots - r.rounding, r.rounding, r.free,
                     r.tails))
    rows.sort(key=lambda r: sum(r[1:]), reverse=True)
    if len(rows) > MOST:
        rest = rows[MOST - 1:]
        rows = rows[:MOST - 1] + [(f"{len(rest)} others", *(sum(r[i] for r in rest)
                                                            for i in range(1, 5)))]
    total = sum(sum(r[1:]) for r in rows)
    wasted = sum(sum(r[2:]) for r in rows)
    ax = new_axes(ax, 8.0, 1.6 + 0.22 * max(len(rows), 4))
    left = [0.0] * len(rows)
    for i, (label, color) in enumerate((("asked for", BLUE), ("rounding", ORANGE),
                                        ("free slots", SKY), ("tails", GREY)), 1):
        width = [r[i] / MIB for r in rows]
        if any(width):
            ax.barh(range(len(rows)), width, left=left, color=color, label=label, height=0.8)
        left = [a + b for a, b in zip(left, width)]
    ax.set_yticks(range(len(rows)), [r[0] for r in rows], fontsize=8)
    tidy(ax, f"{TITLE}: {size(total)} in spans"
         + (f", {100 * wasted / total:.0f} % of it not asked for" if total else ""), "MiB",
         "slot size")
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    return ax
