"""What was predicted beside what the program really did."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._common import BLUE, MIB, ORANGE, new_axes, size, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Predicted and real"
NEEDS = "(a WhatIf, a sequence of mappings with gogc, memory_limit and lists of real figures)"
INFO = ("Blue: a Prediction's value and interval; orange: what the program did in each of its "
        "runs under that setting. figure: automatic_gc (the default; key automatic_gc) or "
        "peak_rss_bytes (key max_rss_kib).")
_KEYS = {"automatic_gc": ("automatic_gc", 1.0, "collections"),
         "peak_rss_bytes": ("max_rss_kib", 1024.0, "peak resident memory, MiB")}


def draw(data: Any, ax: Axes | None = None, *, figure: str = "automatic_gc") -> Axes:
    """A column for each setting that both have."""
    if figure not in _KEYS:
        raise ValueError(f"predicted: figure must be one of {', '.join(_KEYS)}, not {figure!r}")
    if not (isinstance(data, Sequence) and len(data) == 2 and isinstance(data[1], Sequence)
            and all(isinstance(row, Mapping) for row in data[1])):
        raise TypeError(f"predicted: {NEEDS} is needed, not {type(data).__name__!r}")
    key, scale, label = _KEYS[figure]
    unit = MIB if figure == "peak_rss_bytes" else 1
    real = {(r["gogc"], r.get("memory_limit")): r[key] for r in data[1] if key in r}
    both = [(p, real[p.gogc, p.memory_limit]) for p in data[0]
            if (p.gogc, p.memory_limit) in real and getattr(p, figure) is not None]
    ax = new_axes(ax, max(5.0, 1.6 + 0.7 * len(both)), 4.2)
    hits = 0
    for x, (p, runs) in enumerate(both):
        i = getattr(p, figure)
        ax.errorbar([x - 0.12], [i.value / unit], fmt="o", color=BLUE, capsize=4,
                    yerr=[[(i.value - i.low) / unit], [(i.high - i.value) / unit]],
                    label="predicted, with interval" if x == 0 else None)
        ys = sorted(v * scale for v in runs)
        ax.plot([x + 0.12] * len(ys), [y / unit for y in ys], "D", ms=4, color=ORANGE, mew=0,
                alpha=0.8, label="real runs" if x == 0 else None)
        hits += i.low <= ys[len(ys) // 2] <= i.high
    ax.set_xticks(range(len(both)), [
        f"{'off' if p.gogc is None else p.gogc}"
        + ("" if p.memory_limit is None else f"\n{size(p.memory_limit)}") for p, _ in both],
        fontsize=8)
    ax.set_ylim(bottom=0)
    return tidy(ax, f"{TITLE}: {hits} of {len(both)} real medians lie in the interval",
                "GOGC, and limit below", label)
