"""Memory against CPU: what each setting costs, and which are worth having."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._common import BLUE, GREEN, GREY, MIB, RED, new_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Memory against CPU of the collector"
NEEDS = "a WhatIf; advice= an Advice of it"
INFO = ("Each Prediction: peak_rss_bytes (peak_heap_bytes where the recording has none) against "
        "gc_cpu_fraction, with the intervals. The line joins the settings that no other beats in "
        "both. Red: the collector thrashes, or the CPU limiter was on. Green ring: the advice.")


def draw(data: Any, ax: Axes | None = None, *, advice: Any = None) -> Axes:
    """Percent of CPU over MiB."""
    ax = new_axes(ax, 8.0, 4.8)
    points = []
    for p in data:
        memory = p.peak_heap_bytes if p.peak_rss_bytes is None else p.peak_rss_bytes
        cliff = data.cliff(p.gogc, p.procs)
        bad = p.limited or (cliff is not None and p.memory_limit is not None
                            and p.memory_limit <= cliff)
        points.append((memory, p.gc_cpu_fraction, p, bad))
    for bad, color, label in ((False, BLUE, "setting"), (True, RED, "thrashes")):
        some = [(m, c) for m, c, _, b in points if b == bad]
        if some:
            x, y = [m.value / MIB for m, _ in some], [100 * c.value for _, c in some]
            ax.errorbar(x, y, fmt="o", ms=5, color=color, ecolor=color, elinewidth=0.8, capsize=2,
                        xerr=[[m.value / MIB - m.low / MIB for m, _ in some],
                              [m.high / MIB - m.value / MIB for m, _ in some]],
                        yerr=[[100 * (c.value - c.low) for _, c in some],
                              [100 * (c.high - c.value) for _, c in some]], label=label, alpha=0.8)
    front = sorted(((m.value, c.value) for m, c, *_ in points))
    best = [(m, c) for m, c in front
            if not any((a <= m and b < c) or (a < m and b <= c) for a, b in front)]
    if len(best) > 1:
        ax.plot([m / MIB for m, _ in best], [100 * c for _, c in best], color=GREY, lw=1, ls="--",
                label="none is better in both", zorder=0)
    # Names above the points, the crowded ones left out: the map has them all.
    named: list[tuple[float, float]] = []
    if points:
        wide = max(m.value for m, *_ in points) or 1
        high = max(c.value for _, c, *_ in points) or 1
        for m, c, p, _ in sorted(points, key=lambda q: (q[0].value, q[1].value)):
            at = m.value / wide, c.value / high
            if all(abs(at[0] - x) > 0.09 or abs(at[1] - y) > 0.045 for x, y in named):
                named.append(at)
                ax.annotate(p.setting.replace("GOMEMLIMIT=", "").replace("GOGC=", ""),
                            (m.value / MIB, 100 * c.value), xytext=(4, 4),
                            textcoords="offset points", fontsize=7.5)
    if advice is not None:
        p = advice.prediction
        memory = p.peak_heap_bytes if p.peak_rss_bytes is None else p.peak_rss_bytes
        ax.plot(memory.value / MIB, 100 * p.gc_cpu_fraction.value, "o", ms=14, mfc="none",
                mec=GREEN, mew=2.5, label=f"advised: {p.setting}")
    ax.set_ylim(bottom=0)
    rss = any(p.peak_rss_bytes is not None for p in data)
    return tidy(ax, TITLE, f"peak {'resident memory' if rss else 'heap'}, MiB", "% of CPU")
