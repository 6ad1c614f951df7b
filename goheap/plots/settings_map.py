"""GOGC x limit: one figure of a what-if as a map, with its interval in each cell."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._common import GREY, MIB, RED, new_axes, size, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Settings"
NEEDS = "a WhatIf"
INFO = ("One figure of every Prediction: figure is automatic_gc, peak_heap_bytes, peak_rss_bytes, "
        "gc_cpu_fraction (the default), assist_fraction or longest_pause_ns. A cell has the value "
        "and below it from where to where it may lie. Red frame: the CPU limiter was on, or the "
        "collector thrashes (WhatIf.cliff).")
# name: (title, scale, unit, format)
FIGURES = {
    "gc_cpu_fraction": ("CPU of the collector", 0.01, "%", ".3g"),
    "assist_fraction": ("CPU of assists", 0.01, "%", ".3g"),
    "automatic_gc": ("collections", 1, "", ".0f"),
    "peak_heap_bytes": ("peak heap", MIB, "MiB", ".0f"),
    "peak_rss_bytes": ("peak resident memory", MIB, "MiB", ".0f"),
    "longest_pause_ns": ("longest stop", 1e3, "µs", ".3g"),
}


def limit_name(limit: int | None) -> str:
    """A limit as an axis says it."""
    return "off" if limit is None else size(limit)


def draw(data: Any, ax: Axes | None = None, *, figure: str = "gc_cpu_fraction") -> Axes:
    """A column for each GOGC, a row for each limit, none on top."""
    import numpy as np
    from matplotlib.patches import Rectangle

    if figure not in FIGURES:
        raise ValueError(f"settings_map: figure must be one of {', '.join(FIGURES)}, "
                         f"not {figure!r}")
    title, scale, unit, form = FIGURES[figure]
    top = 1 << 62
    columns = sorted({top if p.gogc is None else p.gogc for p in data})
    rows = sorted({top if p.memory_limit is None else p.memory_limit for p in data}, reverse=True)
    cells = np.full((len(rows), len(columns)), np.nan)
    ax = new_axes(ax, 2.0 + 1.25 * len(columns), 1.6 + 0.62 * len(rows))
    words = []
    for p in data:
        x = columns.index(top if p.gogc is None else p.gogc)
        y = rows.index(top if p.memory_limit is None else p.memory_limit)
        i = getattr(p, figure)
        if i is None:
            words.append((x, y, "not\nrecorded", 0.0))
            continue
        cells[y, x] = i.value / scale
        words.append((x, y, f"{i.value / scale:{form}}\n{i.low / scale:{form}} to "
                      f"{i.high / scale:{form}}", i.value / scale))
        cliff = data.cliff(p.gogc, p.procs)
        if p.limited or (cliff is not None and p.memory_limit is not None
                         and p.memory_limit <= cliff):
            ax.add_patch(Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, fill=False, ec=RED, lw=2))
    image = ax.imshow(cells, aspect="auto", cmap="cividis")
    low, high = image.get_clim()
    for x, y, text, value in words:
        dark = low is None or high is None or value < low + 0.6 * (high - low)
        ax.text(x, y, text, ha="center", va="center", fontsize=8,
                color="white" if dark else "black")
    ax.set_xticks(range(len(columns)), ["off" if c == top else str(c) for c in columns])
    ax.set_yticks(range(len(rows)), [limit_name(None if r == top else r) for r in rows])
    if not data:
        ax.text(0.5, 0.5, "no settings", transform=ax.transAxes, color=GREY, ha="center")
    tidy(ax, f"{TITLE}: {title}" + (f", {unit}" if unit else ""), "GOGC", "GOMEMLIMIT")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return ax
