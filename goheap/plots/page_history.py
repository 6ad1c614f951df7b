"""Which class a page served when: spans as rectangles of pages and time."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._common import BLACK, MIB, class_label, new_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Which class a page served"
NEEDS = 'an EventLog of heap.watch("span") or of more kinds'
INFO = ('Events of kind "span": taken and freed. A rectangle is a span: its pages upward, its '
        "time to the right, its colour the slot size, dark small, light large, black a large "
        "object.")
PAGE = 8192


def draw(data: Any, ax: Axes | None = None) -> Axes:
    """MiB from the heap's lowest page seen, over seconds."""
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.collections import PolyCollection
    from matplotlib.patches import Patch

    sizes = [0, *data.sizes]
    open_: dict[int, Any] = {}
    boxes = []  # (from ns, to ns, addr, pages, size class)
    last = 0
    for e in data:
        last = max(last, e.t_ns)
        if e.kind != "span":
            continue
        if e.note == "taken":
            open_[e.addr] = e
        elif e.addr in open_:
            began = open_.pop(e.addr)
            boxes.append((began.t_ns, e.t_ns, e.addr, began.size, began.spanclass >> 1))
    boxes += [(e.t_ns, last, e.addr, e.size, e.spanclass >> 1) for e in open_.values()]
    ax = new_axes(ax, 8.0, 4.5)
    handles = []
    base = min((b[2] for b in boxes), default=0)
    if boxes:
        a = np.array(boxes, float)
        x0, x1 = a[:, 0] / 1e9, a[:, 1] / 1e9
        y0 = (a[:, 2] - base) / MIB
        y1 = y0 + a[:, 3] * PAGE / MIB
        corners = np.stack([np.stack([x0, y0], 1), np.stack([x1, y0], 1),
                            np.stack([x1, y1], 1), np.stack([x0, y1], 1)], 1)
        classes = sorted({b[4] for b in boxes if b[4]})
        tones = colormaps["viridis"](np.linspace(0.12, 0.85, max(len(classes), 1)))
        colors: list[Any] = [BLACK if not b[4] else tones[classes.index(b[4])] for b in boxes]
        # A thin edge of its own colour: a span that lived for no time is seen too.
        ax.add_collection(PolyCollection(list(corners), facecolors=colors, edgecolors=colors, lw=0.4))
        ax.set_xlim(0, last / 1e9 or 1e-9)
        ax.set_ylim(0, y1.max())
        shown = classes if len(classes) <= 5 else [classes[0], classes[len(classes) // 2],
                                                   classes[-1]]
        handles = [Patch(color=tones[classes.index(c)], label=class_label(1, sizes[c]))
                   for c in shown]
        if len(classes) < len({b[4] for b in boxes}):
            handles.append(Patch(color=BLACK, label="large object"))
    return tidy(ax, f"{TITLE}: {len(boxes)} spans", "seconds", "MiB of the heap",
                handles=handles)
