"""What the plots share: colours, units, axes, and how figures come out of a result."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..stats import GCCycle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours: told apart by people with any kind of colour vision.
BLUE, SKY, GREEN, ORANGE, RED, PURPLE, YELLOW, BLACK = (
    "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#F0E442", "#222222")
GREY = "#9a9a9a"
MIB = 1 << 20
MOST_POINTS = 4000  # of a line: more than a screen is wide


def new_axes(ax: Axes | None, width: float = 8.0, height: float = 4.0) -> Axes:
    """ax itself, or the axes of a new figure."""
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as e:
        raise ImportError("goheap.plots needs matplotlib: pip install 'goheap[plot]'",
                          name=e.name) from e
    _, made = pyplot.subplots(figsize=(width, height), layout="constrained")
    return made


def tidy(ax: Axes, title: str, x: str, y: str, *, handles: list[Any] | None = None) -> Axes:
    """Title, axes with units, a light grid, and the legend, of handles if given, below."""
    ax.set_title(title, loc="left", fontsize=10.5)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.grid(alpha=0.25, lw=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    if handles is None:
        handles = ax.get_legend_handles_labels()[0]
    if handles:
        long = max(len(str(h.get_label())) for h in handles)
        fig = ax.get_figure(root=True)
        inch = (fig.get_figheight() if fig is not None else 4) * ax.get_position().height
        ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.5 / max(inch, 0.5)),
                  frameon=False, ncols=min(len(handles), 7 if long < 14 else 3), fontsize=8.5)
    return ax


def cycles_of(data: Any) -> Sequence[GCCycle]:
    """The cycles of a heap or a replay, or a sequence of cycles itself."""
    found = getattr(data, "cycles", data)
    if not isinstance(found, Sequence) or (len(found) and not isinstance(found[0], GCCycle)):
        raise TypeError("plots: a Replay, a Heap or a sequence of GCCycle is needed, not "
                        f"{type(data).__name__!r}")
    return found


def series_of(data: Any, *names: str) -> list[list[Any]]:
    """Columns of a replay's series, or of a table that Heap.record filled."""
    rows = getattr(data, "series", data)
    columns = getattr(rows, "names", None)
    if columns is None:
        rows = list(rows) if isinstance(rows, Iterable) else []
        columns = getattr(rows[0], "_fields", ()) if rows else ()
        missing = [n for n in names if n not in columns]
        if rows and not missing:
            return [[getattr(r, n) for r in rows] for n in names]
        if not rows and hasattr(data, "series"):
            return [[] for _ in names]
    else:
        missing = [n for n in names if n not in columns]
        if not missing:
            return [rows[n].tolist() for n in names]
    if not columns:
        raise TypeError("plots: a Replay or a recorded Table is needed, not "
                        f"{type(data).__name__!r}")
    raise ValueError(f"plots: the series has no column {missing[0]!r}; "
                     f"it has {', '.join(columns)}")


def what_was_run(data: Any) -> str:
    """The settings of a result, for a title."""
    parts = []
    if hasattr(data, "gogc"):
        parts.append(f"GOGC={'off' if data.gogc is None else data.gogc}")
    if getattr(data, "memory_limit", None) is not None:
        parts.append(f"GOMEMLIMIT={size(data.memory_limit)}")
    return ", ".join(parts)


def size(n: float) -> str:
    """Bytes as a person says them: 512 KiB, 1.5 GiB."""
    for unit, scale in (("GiB", 1 << 30), ("MiB", MIB), ("KiB", 1 << 10)):
        if abs(n) >= scale:
            text = f"{n / scale:.1f}"
            return f"{text.removesuffix('.0')} {unit}"
    return f"{n:.0f} B"


def thin(x: Sequence[Any], *ys: Sequence[Any]) -> list[Any]:
    """Columns with at most about MOST_POINTS rows: of each stretch that is left out, the
    rows with the least and the greatest first y stay."""
    if len(x) <= MOST_POINTS:
        return [x, *ys]
    step = 2 * len(x) // MOST_POINTS + 1
    keep: list[int] = []
    for i in range(0, len(x), step):
        part = range(i, min(i + step, len(x)))
        keep += sorted({min(part, key=ys[0].__getitem__), max(part, key=ys[0].__getitem__)})
    return [[column[i] for i in keep] for column in (x, *ys)]


def class_label(spanclass: int, elemsize: int) -> str:
    """A span class as its size: "48 B", "48 B ptrs", "large"."""
    name = size(elemsize) if elemsize else "large"
    return name if spanclass & 1 else f"{name} ptrs"
