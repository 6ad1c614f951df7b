"""Snapshot: everything inside a heap at one instant, in memory of its own."""
from __future__ import annotations

import weakref
from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from . import _core
from .errors import ForeignRefError
from .stats import MemStats, ObjectInfo
from .table import Column, Table, number_column, text_column
from .types import Ref, TypeInfo, _class_info

if TYPE_CHECKING:
    from . import At
    from .heap import Heap

__all__ = ["CacheInfo", "CensusRow", "Edge", "OccupancyRow", "PageRun", "RootInfo", "Snapshot",
           "Span"]


class Span(NamedTuple):
    """A run of pages that holds objects of one span class."""

    base: int
    npages: int
    spanclass: int
    elemsize: int
    nelems: int
    allocated: int  # of a span that isn't swept yet: before the last cycle
    free_index: int
    sweepgen: int
    place: str  # "mcache[0]", "mcentral partial", "mcentral full", "large"


class PageRun(NamedTuple):
    """Pages of 8 KiB in a row that have the same use."""

    addr: int
    npages: int
    state: str  # "reserved", "free", "scavenged", "in use", "cached by P0", "workbuf"
    spanclass: int  # of pages in use, else 0


class Edge(NamedTuple):
    """A pointer word: of the object at source, offset bytes into it."""

    source: int
    offset: int
    target: int  # as the word holds it: perhaps inside an object


class RootInfo(NamedTuple):
    """What keeps an object alive from outside."""

    target: int
    # "handle", "roots", "buffer", "tiny block" (a P takes objects from it), "finalizer" (queued, or
    # what an object with one points at), "weak box", "cleanup" (its argument), "pin"
    kind: str


class CacheInfo(NamedTuple):
    """A span that a P allocates from."""

    p: int
    spanclass: int
    span: int
    free: int  # slots
    tiny: int  # with span class 5: the P's tiny block, 0 for none
    tiny_offset: int  # how much of it is used


class CensusRow(NamedTuple):
    """The objects that have something in common; the greatest in bytes come first."""

    key: Any
    objects: int
    size: int  # bytes asked for
    bytes: int  # of their slots


class OccupancyRow(NamedTuple):
    """A span class: where its bytes are."""

    spanclass: int
    elemsize: int  # 0 for large objects: each has its own
    spans: int
    slots: int
    used: int  # slots
    rounding: int  # bytes of used slots beyond what was asked for, malloc headers included
    free: int  # bytes of free slots
    tails: int  # bytes at the spans' ends


_ROOTS = ("handle", "roots", "buffer", "tiny block", "finalizer", "weak box", "cleanup", "pin")
_PAGES = ("reserved", "free", "scavenged", "in use", "cached by P", "workbuf")
_COLORS = ("white", "grey", "black")
_AT_ROOT, _NO_OBJECT = 2**32 - 2, 2**32 - 1
_BY = ("type", "class", "spanclass", "label")


class Snapshot:
    """One instant of a heap: ``heap.snapshot()``. Valid after the heap is closed.

    The tables: spans, pages (of the whole address space), objects, edges, roots and
    caches; types and stats beside them. Objects that are garbage already, but that no
    cycle has found, are there; objects of unswept spans that the last cycle found dead
    aren't. The parts of a tiny block live and die together: they are one object.

    With ``edges=True``: why, referrers, retained and to_dot. A place in the heap is given
    by a handle, an address or a label.

    >>> from goheap import Heap
    >>> with Heap() as heap:
    ...     top = heap.graph({"A": ["B"], "B": ["C"], "C": []}, roots=["A"])
    ...     snap = heap.snapshot(edges=True)
    >>> [snap.objects.row(i).label for i in range(3)]
    ['A', 'B', 'C']
    >>> len(snap.why("C")), snap.retained("B")
    (2, 16)
    """

    spans: Table[Span]
    pages: Table[PageRun]
    roots: Table[RootInfo]
    caches: Table[CacheInfo]
    types: Sequence[TypeInfo]
    stats: MemStats

    def __init__(self, heap: Heap, objects: bool, edges: bool) -> None:
        (spans, pages, objs, refs, roots, caches, types, labels,
         stats) = _core.snapshot(heap, objects, edges)
        self._heap: weakref.ref[Heap] | None = weakref.ref(heap)
        self.stats = MemStats._make(stats)
        names = ("", "Block", *(t[0] for t in types), "tiny block")
        # The first is the core's own: of objects of which only their size is known.
        self.types = tuple(
            TypeInfo(name, size, align, ptrdata, mask,
                     () if cls is None else _class_info(cls).fields)
            for name, size, align, ptrdata, mask, cls in types[1:])
        self.spans = _spans(spans)
        self.pages = _pages(pages)
        self.roots = Table(RootInfo, {"target": Column(roots[0], "Q"),
                                      "kind": Column(roots[1], "i", _ROOTS)})
        self.caches = Table(CacheInfo, {
            name: Column(data, format)
            for name, data, format in zip(CacheInfo._fields, caches, "iBQIQI")})
        self._objects: Table[ObjectInfo] | None = None
        self._edges: Table[Edge] | None = None
        if objects:
            addr = Column(objs[0], "Q")
            self._objects = Table(ObjectInfo, {
                "addr": addr, "base": addr, "size": Column(objs[1], "Q"),
                "elemsize": Column(objs[2], "Q"), "type": Column(objs[3], "i", names),
                "label": Column(objs[4], "i", tuple(labels)),
                "color": Column(objs[5], "i", _COLORS), "span": Column(objs[6], "Q"),
                "slot": Column(objs[7], "I")})
        # By number of object: span class and end; of edges their ends, of roots theirs.
        self._spanclass: bytes = objs[8]
        self._end: bytes = objs[9]
        self._from: bytes = refs[3]
        self._to: bytes = refs[4]
        self._rooted: bytes = roots[2]
        if edges:
            self._edges = Table(Edge, {name: Column(data, "Q")
                                       for name, data in zip(Edge._fields, refs)})
        self._paths: memoryview | None = None
        self._retained: memoryview | None = None

    def __getstate__(self) -> dict[str, Any]:
        # What can be computed again isn't carried along.
        return {**self.__dict__, "_heap": None, "_paths": None, "_retained": None}

    @property
    def objects(self) -> Table[ObjectInfo]:
        """All objects by address; ValueError if they weren't asked for."""
        if self._objects is None:
            raise ValueError("this snapshot has no objects: take it with "
                             "heap.snapshot(objects=True)")
        return self._objects

    @property
    def edges(self) -> Table[Edge]:
        """All pointer words that hold something; ValueError if they weren't asked for."""
        if self._edges is None:
            raise ValueError("this snapshot has no edges: take it with "
                             "heap.snapshot(edges=True)")
        return self._edges

    # ---- sums -------------------------------------------------------------------------

    def census(self, by: Literal["type", "class", "spanclass", "label"] = "type",
               ) -> Table[CensusRow]:
        """Objects and bytes by "type", size "class", "spanclass" or "label"."""
        if by not in _BY:
            raise ValueError(f"census: by must be one of {', '.join(map(repr, _BY))}, not {by!r}")
        columns = self.objects
        keys: memoryview | list[int]
        if by in ("type", "label"):
            keys, strings = columns[by], columns.strings(by)
        elif by == "class":
            keys, strings = [c >> 1 for c in self._spanclass], None
        else:
            keys, strings = memoryview(self._spanclass), None
        sums: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
        for key, size, elemsize in zip(keys, columns["size"], columns["elemsize"]):
            row = sums[key]
            row[0] += 1
            row[1] += size
            row[2] += elemsize
        if strings is None:
            rows: list[tuple[Any, ...]] = [(key, *row) for key, row in sums.items()]
        else:
            # Two types may have one name.
            named: defaultdict[str | None, list[int]] = defaultdict(lambda: [0, 0, 0])
            for key, row in sums.items():
                whole = named[None if key < 0 else strings[key]]
                whole[:] = [a + b for a, b in zip(whole, row)]
            rows = [(key, *row) for key, row in named.items()]
        rows.sort(key=lambda r: (-r[3], r[0] is None, r[0] if r[0] is not None else 0))
        first: list[Any] = [r[0] for r in rows]
        return Table(CensusRow, {
            "key": number_column(first, "q") if strings is None else text_column(first),
            **{name: number_column([r[i] for r in rows], "Q")
               for i, name in enumerate(CensusRow._fields[1:], 1)}})

    def occupancy(self) -> Table[OccupancyRow]:
        """For each span class: spans, slots, used ones, and the bytes lost to rounding, to
        free slots, to the spans' ends."""
        columns = self.objects
        lost: defaultdict[int, int] = defaultdict(int)
        for spanclass, size, elemsize in zip(self._spanclass, columns["size"],
                                             columns["elemsize"]):
            lost[spanclass] += elemsize - size
        sums: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
        sizes = {}
        for s in self.spans:
            sizes[s.spanclass] = s.elemsize if s.spanclass > 1 else 0
            row = sums[s.spanclass]
            row[0] += 1
            row[1] += s.nelems
            row[2] += s.allocated
            row[3] += (s.nelems - s.allocated) * s.elemsize
            row[4] += s.npages * 8192 - s.nelems * s.elemsize
        rows = [(c, sizes[c], *row[:3], lost[c], *row[3:]) for c, row in sorted(sums.items())]
        return Table(OccupancyRow, {name: number_column([r[i] for r in rows], "Q")
                                    for i, name in enumerate(OccupancyRow._fields)})

    # ---- the graph -----------------------------------------------------------------------

    def _number(self, at: Any, what: str) -> int:
        """The number of the object at a handle, an address or a label."""
        columns = self.objects
        if isinstance(at, str):
            try:
                code = columns.strings("label").index(at)
            except ValueError:
                raise LookupError(f"Snapshot.{what}: no object had the label {at!r}") from None
            codes: array[int] = array("i", columns["label"].tobytes())
            return codes.index(code)
        if isinstance(at, Ref):
            heap = None if self._heap is None else self._heap()
            if _core.heap_of(at) is not heap:
                raise ForeignRefError(f"Snapshot.{what}: {at!r} is not a handle of the heap "
                                      "that this snapshot was taken of")
            at = _core.address_of(at)
        elif isinstance(at, bool) or not hasattr(type(at), "__index__"):
            raise TypeError(f"Snapshot.{what}: a handle, an address or a label is needed, "
                            f"not {type(at).__name__!r}")
        addr = at.__index__()
        i = bisect_right(columns["addr"], addr) - 1
        if i < 0 or addr >= memoryview(self._end).cast("Q")[i]:
            raise LookupError(f"Snapshot.{what}: no object was at {addr:#x}")
        return i

    def why(self, at: At, /) -> list[Edge] | None:
        """A shortest path of pointers from a root to the object; empty if it is a root's
        itself, None if there is none."""
        edges = self.edges
        i = self._number(at, "why")
        if self._paths is None:
            self._paths = memoryview(_core.graph_paths(
                len(self.objects), self._from, self._to, self._rooted)).cast("I")
        path = []
        source = memoryview(self._from).cast("I")
        while (k := self._paths[i]) != _AT_ROOT:
            if k == _NO_OBJECT:
                return None
            path.append(edges.row(k))
            i = source[k]
        return path[::-1]

    def referrers(self, at: At, /) -> list[Edge]:
        """The pointers that lead to the object, or into it."""
        edges = self.edges
        found = _core.graph_referrers(self._to, self._number(at, "referrers"))
        return [edges.row(k) for k in memoryview(found).cast("I")]

    def retained(self, at: At, /) -> int:
        """Bytes of slots that would come free without this object: its own, and those of
        all that is reachable through it only. 0 for an object that isn't reachable."""
        self.edges
        i = self._number(at, "retained")
        if self._retained is None:
            self._retained = memoryview(_core.graph_retained(
                len(self.objects), self._from, self._to, self._rooted,
                self.objects["elemsize"])).cast("Q")
        return self._retained[i]

    def to_dot(self) -> str:
        """The graph in Graphviz's language: objects, their pointers, and the roots."""
        self.edges
        lines = ["digraph heap {", "  node [shape=box];"]
        for i, o in enumerate(self.objects):
            name = o.type or "object"
            title = f"{name}, {o.size} B" if o.label is None else f"{o.label}: {name}, {o.size} B"
            lines.append(f'  o{i} [label="{_quote(title)}\\n{o.addr:#x}"];')
        for i, (to, root) in enumerate(zip(memoryview(self._rooted).cast("I"), self.roots)):
            if to != _NO_OBJECT:
                lines.append(f'  r{i} [shape=plaintext, label="{root.kind}"];')
                lines.append(f"  r{i} -> o{to};")
        for a, b, offset in zip(memoryview(self._from).cast("I"), memoryview(self._to).cast("I"),
                                self.edges["offset"]):
            if b != _NO_OBJECT:
                lines.append(f'  o{a} -> o{b} [label="+{offset}"];')
        lines.append("}")
        return "\n".join(lines) + "\n"

    # ---- how it shows itself ---------------------------------------------------------------

    def __eq__(self, other: object, /) -> bool:
        if not isinstance(other, Snapshot):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name)
                   for name in ("stats", "spans", "pages", "roots", "caches", "types", "_objects",
                                "_edges"))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        def count(n: int, what: str) -> str:
            return f"{n} {what}" if n == 1 else f"{n} {what}s"

        parts = [f"{count(self.stats.heap_objects, 'object')} of {self.stats.heap_alloc} bytes",
                 count(len(self.spans), "span"), count(len(self.roots), "root")]
        if self._edges is not None:
            parts.insert(1, count(len(self._edges), "edge"))
        return f"<Snapshot: {', '.join(parts)}>"

    def plot(self, name: str = "pages", ax: Any = None) -> Any:
        """Draw "pages" or "size_classes" into ax, or into a new figure (goheap.plots; needs matplotlib)."""
        from .plots import draw
        return draw(name, self, ax)

    def _repr_html_(self) -> str:
        from . import _html
        shown = f"<p>{escape(repr(self)[1:-1])}</p>" + _html.pages(self.pages)
        if self._objects is None:
            return shown + self.spans._repr_html_()
        return shown + self.census()._repr_html_()


def _quote(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _spans(columns: tuple[bytes, ...]) -> Table[Span]:
    formats = "QQBQIIIIi"
    made = [Column(data, format) for data, format in zip(columns, formats)]
    places = []
    for spanclass, nelems, allocated, p in zip(made[2].view(), made[4].view(), made[5].view(),
                                               made[8].view()):
        if p >= 0:
            places.append(f"mcache[{p}]")
        elif spanclass < 2:
            places.append("large")
        else:
            places.append("mcentral full" if allocated == nelems else "mcentral partial")
    return Table(Span, dict(zip(Span._fields, [*made[:8], text_column(places)])))


def _pages(columns: tuple[bytes, ...]) -> Table[PageRun]:
    addr, npages, states, ps, spanclass = columns
    names = [_PAGES[state] + (str(p) if p >= 0 else "")
             for state, p in zip(states, memoryview(ps).cast("i"))]
    return Table(PageRun, {"addr": Column(addr, "Q"), "npages": Column(npages, "Q"),
                           "state": text_column(names), "spanclass": Column(spanclass, "B")})
