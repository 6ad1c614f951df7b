"""The page map: what each page of the heap is used for."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._common import BLACK, GREY, ORANGE, PURPLE, class_label, new_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Page map"
NEEDS = "a Snapshot"
INFO = ("Snapshot.pages: a cell is a page of 8 KiB (or a group of pages, where the heap is large: "
        "then the use that most of them have), a row reads from left to right. Pages in use are "
        "coloured by the slot size of their span, dark small, light large; black is a large object.")
PAGE = 8192
MOST_ROWS = 96
COLUMNS = 128
_FREE, _SCAVENGED, _CACHED, _WORKBUF, _LARGE = range(5)
_PAINT = (GREY, "#f4f4f4", ORANGE, PURPLE, BLACK)
_NAMES = ("free", "given back", "cached by a P", "workbuf", "large object")


def draw(data: Any, ax: Axes | None = None) -> Axes:
    """Rows of pages from the heap's start on."""
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    sizes = {s.spanclass: s.elemsize if s.spanclass > 1 else 0 for s in data.spans}
    classes = sorted({c >> 1 for c in sizes if c > 1})
    shade = {c: _LARGE + 1 + i for i, c in enumerate(classes)}
    runs = [r for r in data.pages if r.state != "reserved"]
    pages = sum(r.npages for r in runs)
    codes = np.zeros(pages, np.int16)
    at = 0
    for r in runs:
        code = (_FREE if r.state == "free" else _SCAVENGED if r.state == "scavenged"
                else _CACHED if r.state.startswith("cached") else _WORKBUF
                if r.state == "workbuf" else shade.get(r.spanclass >> 1, _LARGE))
        codes[at:at + r.npages] = code
        at += r.npages
    group = max(1, -(-pages // (COLUMNS * MOST_ROWS)))
    kinds = _LARGE + 1 + len(classes)
    if group > 1:
        # The most frequent use of each group; the lowest code at a draw.
        padded = np.full(-(-pages // group) * group, _SCAVENGED, np.int16)
        padded[:pages] = codes
        n = len(padded) // group
        counts = np.zeros((n, kinds), np.int32)
        np.add.at(counts, (np.repeat(np.arange(n), group), padded), 1)
        codes = counts.argmax(1).astype(np.int16)
    cells = np.full(max(-(-len(codes) // COLUMNS), 1) * COLUMNS, -1, np.int16)
    cells[:len(codes)] = codes
    # Light enough at the top of the map to be told from large objects' black.
    tones = colormaps["viridis"](np.linspace(0.12, 0.85, max(len(classes), 1)))[:, :3]
    paint = np.vstack([[to_rgb(c) for c in _PAINT], tones, [(1.0, 1.0, 1.0)]])
    image = paint[cells.reshape(-1, COLUMNS)]  # -1, beyond the end, is the white one
    ax = new_axes(ax, 8.0, 2.0 + 4.0 * min(len(image) / MOST_ROWS, 1) ** 0.5)
    ax.imshow(image, aspect="auto", interpolation="nearest",
              extent=(0, COLUMNS * group * PAGE / 1024, len(image), 0))
    present = [Patch(fc=_PAINT[i], ec=GREY, lw=0.5, label=_NAMES[i]) for i in range(5)
               if (codes == i).any()]
    shown = [c for c in classes if (codes == shade[c]).any()]
    for c in shown if len(shown) <= 5 else [shown[0], shown[len(shown) // 2], shown[-1]]:
        elem = next(sizes[k] for k in (2 * c, 2 * c + 1) if k in sizes)
        present.append(Patch(color=tones[classes.index(c)], label=class_label(1, elem)))
    in_use = sum(r.npages for r in runs if r.state == "in use")
    tidy(ax, f"{TITLE}: {in_use} of {pages} pages in use"
         + (f", {group} pages a cell" if group > 1 else ""),
         "KiB from the start of the row", f"rows of {COLUMNS * group * PAGE // 1024} KiB",
         handles=present)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return ax
