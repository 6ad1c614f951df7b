"""How long objects lived, from a recording."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._common import BLUE, GREEN, GREY, new_axes, size, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Lifetimes"
NEEDS = "a Trace, or its events"
INFO = ("Trace.events: from the alloc of an object to its free, which is when the sweep found it "
        "dead: an object lived at most that long, so a recording at a low GOGC tells more; or to "
        "its death, where columns of one's own say it. A group is a third of a decade of time; what was alive at the end stands apart.")


def draw(data: Any, ax: Axes | None = None) -> Axes:
    """Percent of all objects, and of all bytes, in each group of lifetimes."""
    import numpy as np

    events = getattr(data, "events", data)
    if not hasattr(events, "strings"):
        raise TypeError(f"lifetimes: {NEEDS} is needed, not {type(data).__name__!r}")
    names = events.strings("op")
    op = np.asarray(events["op"])
    t, number, slot = (np.asarray(events[n]) for n in ("t_ns", "object", "size"))
    code = {name: i for i, name in enumerate(names)}
    born = np.flatnonzero((op == code.get("alloc", -1)) | (op == code.get("exist", -1)))
    died = np.flatnonzero((op == code.get("free", -1)) | (op == code.get("dead", -1)))
    n = int(number[born].max()) + 1 if len(born) else 0
    birth, death, bytes_ = np.zeros(n, np.int64), np.full(n, -1, np.int64), np.zeros(n, np.int64)
    birth[number[born]], bytes_[number[born]] = t[born], slot[born]
    death[number[died]] = t[died]
    there = bytes_ > 0
    birth, death, bytes_ = birth[there], death[there], bytes_[there]
    ended = death >= 0
    lived = np.maximum(death[ended] - birth[ended], 1)
    edges = 10.0 ** np.arange(3, np.log10(max(lived.max(initial=1), 10_000)) + 1 / 3, 1 / 3)
    groups = np.clip(np.digitize(lived, edges) - 1, 0, len(edges) - 2)
    ax = new_axes(ax, 8.0, 4.0)
    x = np.arange(len(edges))
    for shift, weights, rest, color, label in (
            (-0.2, None, (~ended).sum(), BLUE, f"of {len(bytes_):,} objects"),
            (0.2, bytes_[ended], bytes_[~ended].sum(), GREEN, f"of {size(bytes_.sum())}")):
        parts = np.bincount(groups, weights, minlength=len(edges) - 1)
        whole = max(parts.sum() + rest, 1)
        ax.bar(x[:-1] + shift, 100 * parts / whole, 0.4, color=color, label=label)
        ax.bar([x[-1] + 0.6 + shift], [100 * rest / whole], 0.4, color=color)
    ax.axvline(x[-1] - 0.1, color=GREY, lw=0.8, ls=":")
    ticks = [i for i in range(0, len(edges) - 1, 3)]
    ax.set_xticks([*ticks, x[-1] + 0.6], [_time(edges[i]) for i in ticks] + ["alive"])
    return tidy(ax, TITLE, "lived at least (three groups a decade), and alive at the end", "%")


def _time(ns: float) -> str:
    for unit, scale in (("s", 1e9), ("ms", 1e6)):
        if ns >= scale:
            return f"{ns / scale:.0f} {unit}"
    return f"{ns / 1e3:.0f} µs"
