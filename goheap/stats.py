"""What a heap says of itself: immutable, picklable, valid without the heap."""
from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from . import _core
from .aliases import Color, TraceKind
from .settings import Policy

__all__ = ["BySize", "Explanation", "GCCycle", "Histogram", "MemStats", "MemStatsDiff", "ObjectInfo",
           "SizeClass", "Step", "explain", "size_classes"]


class BySize(NamedTuple):
    """One size class of MemStats.by_size; class 0 comes first and counts nothing."""

    size: int
    mallocs: int
    frees: int


@dataclass(frozen=True)
class MemStats:
    """runtime.MemStats: the same figures under Python's names, in bytes and ns.

    ``b - a`` is what happened in between. The Go name of a field:
    ``MemStats.go_names["heap_inuse"] == "HeapInuse"``.
    """

    alloc: int
    total_alloc: int
    sys: int
    lookups: int
    mallocs: int
    frees: int
    heap_alloc: int
    heap_sys: int
    heap_idle: int
    heap_inuse: int
    heap_released: int
    heap_objects: int
    stack_inuse: int
    stack_sys: int
    mspan_inuse: int
    mspan_sys: int
    mcache_inuse: int
    mcache_sys: int
    buck_hash_sys: int
    gc_sys: int
    other_sys: int
    next_gc: int
    last_gc: int
    pause_total_ns: int
    pause_ns: tuple[int, ...] = field(repr=False)  # circular: cycle n at (n+255) % 256
    pause_end: tuple[int, ...] = field(repr=False)
    num_gc: int
    num_forced_gc: int
    gc_cpu_fraction: float
    enable_gc: bool
    debug_gc: bool
    by_size: tuple[BySize, ...] = field(repr=False)

    go_names: ClassVar[Mapping[str, str]]

    @classmethod
    def _make(cls, row: tuple[Any, ...]) -> MemStats:
        figures: list[Any] = [*row[:-1], tuple(BySize(*r) for r in row[-1])]
        return cls(*figures)

    def __sub__(self, older: MemStats, /) -> MemStatsDiff:
        if not isinstance(older, MemStats):
            return NotImplemented
        row: dict[str, Any] = {}
        for f in fields(self):
            new, old = getattr(self, f.name), getattr(older, f.name)
            if not isinstance(new, (tuple, bool)):
                row[f.name] = new - old
            else:
                row[f.name] = new
        cycles = range(max(older.num_gc, self.num_gc - 256) + 1, self.num_gc + 1)
        for name in ("pause_ns", "pause_end"):
            row[name] = tuple(getattr(self, name)[(n + 255) % 256] for n in cycles)
        row["by_size"] = tuple(
            BySize(a.size, a.mallocs - b.mallocs, a.frees - b.frees)
            for a, b in zip(self.by_size, older.by_size))
        return MemStatsDiff(**row)

    def to_dict(self, *, go_names: bool = False) -> dict[str, Any]:
        """Plain values, ready for JSON; go_names: under the names of Go's struct."""
        d: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        d["pause_ns"], d["pause_end"] = list(self.pause_ns), list(self.pause_end)
        sizes = [b._asdict() for b in self.by_size]
        if not go_names:
            return {**d, "by_size": sizes}
        d["by_size"] = [{k.capitalize(): v for k, v in b.items()} for b in sizes]
        return {self.go_names[k]: v for k, v in d.items()}

    def _repr_html_(self) -> str:
        from . import _html
        return _html.mem_stats(self)


class MemStatsDiff(MemStats):
    """A difference: figures may be negative, pauses are those in between, oldest first;
    the flags are the newer ones."""


_SPELLED = {"mspan": "MSpan", "mcache": "MCache", "gc": "GC", "cpu": "CPU"}
MemStats.go_names = MappingProxyType({
    f.name: "".join(_SPELLED.get(w, w.capitalize()) for w in f.name.split("_"))
    for f in fields(MemStats)})


# How the lines of each setting of GODEBUG begin.
_LINES = {"gctrace": ("gc ", "GC "), "scavtrace": ("scav ",), "gcpacertrace": ("pacer: ",)}


def trace_lines(cycles: Iterable[GCCycle], kinds: tuple[TraceKind, ...]) -> str:
    """The lines of those kinds about the cycles."""
    for kind in kinds:
        if not isinstance(kind, str):
            raise TypeError(f"gctrace: a kind is a str, not {type(kind).__name__!r}")
        if kind not in _LINES:
            raise ValueError(f"gctrace: {kind!r} is none of {', '.join(_LINES)}")
    wanted = tuple(begin for kind in kinds or ("gctrace",) for begin in _LINES[kind])
    return "".join(line + "\n" for c in cycles for line in c.text.splitlines()
                   if line.startswith(wanted))


@dataclass(frozen=True, slots=True)
class GCCycle:
    """One collection; str() is its gctrace line. Bytes, and ns of the heap's clock.

    heap_goal is the goal that the cycle ran to, trigger the heap_live that began it.
    """

    n: int
    forced: bool
    start_ns: int
    mark_start_ns: int
    mark_end_ns: int
    end_ns: int
    heap_start: int
    heap_end: int
    heap_marked: int
    heap_goal: int
    trigger: int
    stack_scan: int
    globals_scan: int
    scan_work: int
    cons_mark: float
    limited: bool
    pause_ns: tuple[int, int]
    assist_ns: int
    background_ns: int
    idle_ns: int
    gc_cpu_fraction: float
    swept_bytes: int
    procs: int
    gogc: int | None
    memory_limit: int | None
    text: str = field(repr=False, compare=False)  # all lines of gctrace()

    @property
    def wall_ns(self) -> int:
        """From the start of the cycle to its end."""
        return self.end_ns - self.start_ns

    def __str__(self) -> str:
        return next(line for line in self.text.splitlines() if line.startswith("gc "))

    def gctrace(self, *kinds: TraceKind) -> str:
        """What Go prints about this cycle with GODEBUG=kind=1, each line ended.

        kinds: "gctrace" (also if none is given), "scavtrace", "gcpacertrace". The lines come
        in Go's order. What is said of the sweep is there once it has ended.

        >>> from goheap import Heap
        >>> with Heap() as heap:
        ...     print(heap.collect().gctrace("gctrace", "scavtrace"), end="")
        scav 0 KiB work (bg), 0 KiB work (eager), 0 KiB now, 0% util
        gc 1 @0.000s 100%: 0.010+0+0.010 ms clock, 0.010+0/0/0+0.010 ms cpu, 0->0->0 MB, 4 MB \
goal, 0 MB stacks, 0 MB globals, 1 P (forced)
        """
        return trace_lines((self,), kinds)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        d = dataclasses.asdict(self)
        del d["text"]
        d["wall_ns"] = self.wall_ns
        d["pause_ns"] = list(self.pause_ns)
        return d

    def _repr_html_(self) -> str:
        from . import _html
        return _html.cycle(self)


class Histogram(NamedTuple):
    """A histogram of runtime/metrics: counts[i] is of values from buckets[i] up to, without
    it, buckets[i + 1]. The outermost edges may be infinite."""

    counts: tuple[int, ...]
    buckets: tuple[float, ...]


class ObjectInfo(NamedTuple):
    """The object that contains an address."""

    addr: int
    base: int  # start of the object that contains addr
    size: int  # asked for
    elemsize: int  # the slot
    type: str
    label: str | None
    color: Color  # outside a mark phase everything is white
    span: int  # its base
    slot: int  # its number in the span


class Step(NamedTuple):
    """What one gc_step did. Addresses; of a large object, of its 128 KiB pieces."""

    scanned: tuple[int, ...]  # became black
    greyed: tuple[int, ...]
    left: int  # grey items that remain
    assist_debt: tuple[int, ...]  # bytes, each P; nothing assists a cycle driven by hand


class SizeClass(NamedTuple):
    """One row of Go's table of size classes (internal/runtime/gc/sizeclasses.go)."""

    size: int
    span_bytes: int
    objects: int  # of a noscan span
    objects_scan: int
    tail_waste: int
    max_waste: float


_POLICY = Policy()


def size_classes(policy: Policy = _POLICY, /) -> tuple[SizeClass, ...]:
    """The size classes, smallest first: Go's 67, or those of a policy.

    >>> size_classes()[4].size
    48
    """
    if not isinstance(policy, Policy):
        raise TypeError(f"size_classes: policy must be a Policy, not {type(policy).__name__!r}")
    return tuple(SizeClass(*row) for row in _core.class_table(policy))


_PATHS = ("zero", "tiny", "small noscan", "small scan", "small scan with header", "large")
_ZEROING = {
    "zero": "none: all objects of size 0 share one address",
    "tiny": "the 16-byte block is cleared when it is taken, not for each part",
    "small noscan": "cleared if the span was used before (needzero)",
    "small scan": "cleared if the span was used before (needzero)",
    "small scan with header": "cleared if the span was used before (needzero)",
    "large": "cleared after the span is in use if it was used before (delayed for noscan)",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """The way of one allocation through mallocgc; str() tells it."""

    size: int
    path: str  # "zero", "tiny", "small noscan", "small scan", "small scan with header", "large"
    sizeclass: int
    spanclass: int
    elemsize: int
    header: bool  # 8 bytes in front of the object tell its type
    waste: int  # bytes of the slot that the request leaves over, the header left out
    objects_per_span: int
    pages: int  # of 8 KiB, of the span
    zeroing: str

    def __str__(self) -> str:
        if self.path == "zero":
            return "0 bytes: no memory; every such object has the same address"
        if self.path == "tiny":
            return (f"{self.size} bytes without pointers: shares a {self.elemsize}-byte block "
                    f"(tiny allocator) of span class {self.spanclass}; "
                    f"{self.objects_per_span} blocks in {self.pages * 8} KiB; {self.zeroing}")
        if self.path == "large":
            return (f"{self.size} bytes: a span of its own, {self.pages} pages, "
                    f"{self.waste} bytes over; {self.zeroing}")
        header = ", 8 of them a header with the type" if self.header else ""
        return (f"{self.size} bytes: size class {self.sizeclass} (span class {self.spanclass}), "
                f"slots of {self.elemsize} bytes{header}, {self.waste} over; "
                f"{self.objects_per_span} slots in {self.pages * 8} KiB; {self.zeroing}")


def explain(what: Any, /, *, pointers: bool = False, policy: Policy = _POLICY) -> Explanation:
    """Which way an allocation takes: of a size ("64KiB"), a struct class, a kind, or
    (element, count). pointers is for a size; a class says it itself.

    >>> explain(40).elemsize
    48
    >>> print(explain(0))
    0 bytes: no memory; every such object has the same address
    """
    from .types import type_info

    if not isinstance(policy, Policy):
        raise TypeError(f"explain: policy must be a Policy, not {type(policy).__name__!r}")
    size: Any = what
    if isinstance(what, tuple):
        if len(what) != 2 or isinstance(what[1], bool) or not isinstance(what[1], int):
            raise TypeError(f"explain: (element, count), not {what!r}")
        if what[1] < 0:
            raise ValueError(f"explain: a count must not be negative, but is {what[1]}")
        info = type_info(what[0])
        size, pointers = info.size * what[1], info.ptrdata > 0 and what[1] > 0
    elif not isinstance(what, (int, str)):
        info = type_info(what)
        size, pointers = info.size, info.ptrdata > 0
    path, n, sizeclass, spanclass, header, elemsize, waste, npages, nelems = _core.explain(
        size, bool(pointers), policy)
    if header:
        waste -= 8
    name = _PATHS[path]
    return Explanation(n, name, sizeclass, spanclass, elemsize, header, waste, nelems, npages,
                       _ZEROING[name])
