"""The marking of a heap, step by step, as drawings: who is white, grey and black when.

A drawing shows the objects with labels and what lies between them, roots on the left,
each object in the column of its distance from a root.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from . import _html
from .aliases import Color
from .errors import HeapStateError

if TYPE_CHECKING:
    from .heap import Heap
    from .snapshot import Snapshot
    from .stats import Step

__all__ = ["Frame", "MarkingView", "graph_svg"]

MOST_OBJECTS = 60
_FILL = {"white": "#ffffff", "grey": "#a8a8a8", "black": "#222222"}
_INK = {"white": "#222222", "grey": "#000000", "black": "#ffffff"}
_W, _H, _GAP_X, _GAP_Y, _TOP = 64, 26, 52, 18, 22


def graph_svg(snap: Snapshot, note: str = "") -> str:
    """The objects of a snapshot with edges, their colours and pointers, as SVG.

    ValueError for more than 60 objects: a picture of that many says nothing.
    """
    from .snapshot import _NO_OBJECT

    objects = list(snap.objects)
    snap.edges
    if len(objects) > MOST_OBJECTS:
        raise ValueError(f"graph_svg: {len(objects)} objects are too many for a picture; "
                         f"at most {MOST_OBJECTS}")
    rooted = {i for i in memoryview(snap._rooted).cast("I") if i != _NO_OBJECT}
    edges = [(a, b) for a, b in zip(memoryview(snap._from).cast("I"),
                                    memoryview(snap._to).cast("I")) if b != _NO_OBJECT]
    place = _places(len(objects), rooted, edges)
    columns = max((x for x, _ in place), default=0) + 1
    rows = max((y for _, y in place), default=0) + 1
    width = 30 + columns * (_W + _GAP_X)
    height = _TOP + rows * (_H + _GAP_Y) + 6

    def corner(i: int) -> tuple[float, float]:
        x, y = place[i]
        return 30 + x * (_W + _GAP_X), _TOP + y * (_H + _GAP_Y)

    out = ["<defs><marker id='gh-arrow' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' "
           "markerHeight='7' orient='auto'><path d='M0,0 L8,4 L0,8 z' fill='#555'/></marker>"
           "</defs>", _html.text(2, 14, note)]
    for a, b in edges:
        out.append(_arrow(corner(a), corner(b), a == b))
    for i in sorted(rooted):
        x, y = corner(i)
        out.append(f"<path d='M{x - 20},{y + _H / 2} L{x},{y + _H / 2}' stroke='{_html.BLUE}' "
                   "stroke-width='2' marker-end='url(#gh-arrow)'><title>a root holds it</title>"
                   "</path>")
    for i, o in enumerate(objects):
        x, y = corner(i)
        name = o.label or f"{o.addr & 0xffffff:x}"
        out.append(_html.rect(x, y, _W, _H, _FILL[o.color],
                              f"{name}: {o.color}, {o.type or 'object'}, {o.size} B, {o.addr:#x}",
                              "rx='6' stroke='#222222'"))
        out.append(_html.text(x + _W / 2, y + 17, name if len(name) < 10 else name[:8] + "…",
                              "middle", _INK[o.color]))
    return _html.svg(width, height, "".join(out), note or "the objects of a heap")


def _places(n: int, rooted: set[int], edges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Column and row of each object: its distance from a root, and a row near those that
    point at it. What no root reaches stands in columns of its own on the right."""
    out: dict[int, list[int]] = {}
    for a, b in edges:
        out.setdefault(a, []).append(b)
    column: dict[int, int] = {}
    last = -1

    def spread(wave: list[int], x: int) -> int:
        while wave:
            for i in wave:
                column[i] = x
            wave = list(dict.fromkeys(b for a in wave for b in out.get(a, ())
                                      if b not in column))
            x += 1
        return x - 1

    last = spread(sorted(rooted), 0)
    for i in range(n):
        if i not in column:
            last = max(last, spread([i], last + 1))
    row: dict[int, int] = {}
    for x in range(last + 1):
        here = [i for i in range(n) if column[i] == x]
        above = {i: [row[a] for a, b in edges if b == i and a in row] for i in here}
        here.sort(key=lambda i: (sum(above[i]) / len(above[i]) if above[i] else i, i))
        row |= {i: y for y, i in enumerate(here)}
    return [(column[i], row[i]) for i in range(n)]


def _arrow(a: tuple[float, float], b: tuple[float, float], same: bool) -> str:
    style = "fill='none' stroke='#555' marker-end='url(#gh-arrow)'"
    (ax, ay), (bx, by) = a, b
    if same:
        x, y = ax + _W, ay + _H / 2
        return f"<path d='M{x - 12},{ay} C{x - 12},{ay - 18} {x + 18},{y} {x},{y}' {style}/>"
    if bx > ax:
        x0, y0, x1, y1 = ax + _W, ay + _H / 2, bx, by + _H / 2
        bend = max((x1 - x0) / 2, 20)
        return (f"<path d='M{x0},{y0} C{x0 + bend},{y0} {x1 - bend},{y1} {x1},{y1}' {style}/>")
    # Back, or to its own column: below the boxes.
    x0, y0, x1, y1 = ax + _W / 2, ay + _H, bx + _W / 2 + 8, by + _H
    down = max(y0, y1) + 16
    if by > ay and bx == ax:
        return f"<path d='M{x0},{y0} L{bx + _W / 2},{by}' {style}/>"
    return f"<path d='M{x0},{y0} C{x0},{down} {x1},{down} {x1},{y1}' {style}/>"


@dataclass(frozen=True, slots=True)
class Frame:
    """One drawing of a view: a moment of the cycle."""

    note: str
    colors: dict[str, Color]  # of the objects with labels
    step: Step | None  # the step that led here
    svg: str

    @property
    def height(self) -> float:
        """Of the drawing."""
        return float(self.svg.partition("viewBox='0 0 ")[2].partition("'")[0].split()[1])

    def _repr_html_(self) -> str:
        return self.svg


class MarkingView(Sequence[Frame]):
    """Drawings of a heap's objects while it is marked; shown in a notebook one at a time.

    run() drives a whole cycle by hand and takes a frame after each step; frame() takes one
    of what is there now, for cycles driven by oneself with stores in between.

    >>> from goheap import Heap
    >>> with Heap() as heap:
    ...     top = heap.graph({"A": ["B"], "B": [], "C": []}, roots=["A"])
    ...     view = MarkingView(heap).run()
    >>> [f.colors for f in view][1:3]
    [{'A': 'grey', 'B': 'white', 'C': 'white'}, {'A': 'black', 'B': 'grey', 'C': 'white'}]
    >>> view[-1].note
    'swept: 1 object is gone (C)'
    """

    def __init__(self, heap: Heap) -> None:
        self._heap = heap
        self._frames: list[Frame] = []

    def frame(self, note: str = "", step: Step | None = None) -> Frame:
        """Take a frame of the heap as it is now."""
        snap = self._heap.snapshot(edges=True)
        colors: dict[str, Color] = {o.label: o.color for o in snap.objects if o.label is not None}
        made = Frame(note, colors, step, graph_svg(snap, note))
        self._frames.append(made)
        return made

    def run(self, n: int = 1) -> MarkingView:
        """A whole cycle in steps of n objects; HeapStateError while one runs."""
        heap = self._heap
        if heap.phase != "off":
            raise HeapStateError("MarkingView.run: a cycle is running; take frames with frame()")
        before = self.frame("before the cycle").colors
        heap.gc_start()
        self.frame("roots are marked: what they hold is grey")
        while True:
            step = heap.gc_step(n)
            if step.scanned:
                self.frame(f"scanned {self._names(step.scanned)}"
                           + (f", greyed {self._names(step.greyed)}" if step.greyed else ""), step)
            if not step.left:
                break
        heap.gc_finish()
        after = self.frame().colors
        gone = [name for name in before if name not in after]
        last = self._frames.pop()
        note = ("swept: nothing is gone" if not gone else
                f"swept: {len(gone)} object{'s are' if len(gone) > 1 else ' is'} gone "
                f"({', '.join(gone)})")
        self._frames.append(Frame(note, last.colors, None,
                                  graph_svg(heap.snapshot(edges=True), note)))
        return self

    def _names(self, addresses: Sequence[int]) -> str:
        return ", ".join(self._heap.info(a).label or f"{a:#x}" for a in addresses)

    def __len__(self) -> int:
        return len(self._frames)

    @overload
    def __getitem__(self, i: int) -> Frame: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Frame]: ...
    def __getitem__(self, i: Any) -> Any:
        return self._frames[i]

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)

    def __repr__(self) -> str:
        return f"<MarkingView: {len(self)} frames>"

    def _repr_html_(self) -> str:
        # One frame at a time without a script: radio buttons, and the drawing that follows
        # the one that is checked.
        group = f"gh{id(self):x}"
        parts = [f"<div class='{group}'><style>.{group} .f{{display:none}}"
                 f".{group} input:checked+label+.f{{display:block}}"
                 f".{group}{{position:relative}}"
                 f".{group} label{{padding:0 .35em;cursor:pointer}}"
                 f".{group} .f{{position:absolute;left:0;top:2.2em;width:100%}}</style>"]
        height = 60.0
        for i, f in enumerate(self._frames):
            parts.append(f"<input type='radio' name='{group}' id='{group}-{i}'"
                         f"{' checked' if i == 0 else ''}><label for='{group}-{i}'>{i}</label>"
                         f"<div class='f'>{f.svg}</div>")
            height = max(height, f.height)
        return "".join(parts) + f"<div style='height:{height}px'></div></div>"
