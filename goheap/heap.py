"""Heap: a Go heap of its own in this process."""
from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Literal, overload

from . import _core
from .aliases import Color, Mode, Path, Phase, TraceKind
from . import watch as _watch
from .errors import HeapClosedError, HeapCorruptionError, LostObjectError
from .final import Cleanup, WeakRef, held_by, make_cleanup, make_weak
from .profile import HeapProfile, Labelled, make as make_profile
from .settings import Costs, Debug, Knobs, Policy
from .snapshot import Snapshot
from .stats import GCCycle, Histogram, MemStats, ObjectInfo, Step, trace_lines
from .table import Table
from .types import Ref, _array_class, words
from .watch import EventLog

__all__ = ["Heap", "address_of", "cast", "heap_of"]

address_of = _core.address_of
cast = _core.cast
heap_of = _core.heap_of

_CYCLE = 0  # the kinds of calls: gh_call_kind
_PHASES: tuple[Phase, ...] = ("off", "mark", "marktermination")
_MODES: tuple[Mode, ...] = ("stw", "virtual", "concurrent")
_DEFAULT_POLICY = Policy()
_DEFAULT_DEBUG = Debug()
_DEFAULT_COSTS = Costs()


@functools.cache
def _node_class(n: int) -> Any:
    """The class of a graph's objects with n pointer words."""
    # With one pointer word at least: an object of its own, not a part of a tiny block.
    return words(f"node{n}", 8 * max(n, 1), ptrs="all")


class _Cycles(Sequence[GCCycle]):
    """The cycles of a heap, oldest first: a live view."""

    __slots__ = ("_heap",)

    def __init__(self, heap: Heap) -> None:
        self._heap = heap

    def __len__(self) -> int:
        return self._heap.num_gc

    @overload
    def __getitem__(self, i: int) -> GCCycle: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[GCCycle]: ...
    def __getitem__(self, i: int | slice) -> GCCycle | Sequence[GCCycle]:
        n = len(self)
        if isinstance(i, slice):
            return tuple(self[k] for k in range(*i.indices(n)))
        if not hasattr(type(i), "__index__"):
            raise TypeError(f"cycles: an index is an int, not {type(i).__name__!r}")
        k = i.__index__()
        k = k + n if k < 0 else k
        if not 0 <= k < n:
            raise IndexError(f"cycles: index {i} out of range (length {n})")
        return GCCycle(*self._heap._cycle(k))

    def __repr__(self) -> str:
        return f"<cycles: {len(self)}>"


class _OnP(AbstractContextManager[None]):
    """What Heap.on_p returns; may be entered again, also by another thread."""

    __slots__ = ("_heap", "_p", "_before")

    def __init__(self, heap: Heap, p: int) -> None:
        self._heap, self._p = heap, p
        self._before: list[int | None] = []

    def __enter__(self) -> None:
        self._before.append(self._heap._choose_p(self._p))

    def __exit__(self, t: type[BaseException] | None, v: BaseException | None,
                 tb: TracebackType | None, /) -> None:
        before = self._before.pop()
        if not self._heap.closed:
            self._heap._choose_p(before)


class Heap(_core.HeapPart):
    """A heap of its own. Owns its memory; closing it, or losing it, ends its handles.

    gogc: percent, None or "off". memory_limit: GOMEMLIMIT, bytes or Go's spelling. procs: the
    number of Ps, each with an mcache. mode: "stw" (the world stopped for a whole cycle) or
    "virtual" (cycles beside the program, with Go's workers, assists and pacing), both on a
    virtual clock, so that every run repeats exactly; or "concurrent" (the same by real
    threads on the real clock, and as many Python threads inside as there are Ps). hard_limit:
    most bytes of memory, metadata included; an allocation that would exceed it gives free
    pages back, collects, and raises HeapMemoryError if that didn't help.
    globals_scan, stack_scan: bytes of a program's globals and stacks, which enter the
    goal. callbacks: whether calls of on_cycle run at the end of methods by themselves, or
    ("manual") only in run_pending(). address_space: bytes of the window reserved for the heap, at least 1 GiB; halved
    while the system refuses. seed: decides where samples of the heap profile fall.
    huge_pages: ask the system for huge pages of 2 MiB for objects. Marking gets faster, and
    resident memory comes and goes in pieces of 2 MiB; see the attribute huge_pages for what
    the system said.

    >>> with Heap(gogc=50) as heap:
    ...     block = heap.alloc(100)
    ...     heap.info(block).elemsize
    112
    """

    _mode: Mode
    _policy: Policy
    _debug: Debug
    _costs: Costs
    _on_cycle: Callable[[GCCycle, Knobs], object] | None
    # What is to be called, by token; csrc/binding/final.c takes it out.
    _calls: dict[int, tuple[Any, Any, int]]
    _tokens: Iterator[int]
    _labels: dict[str | None, int]  # of the heap profile: the core knows their numbers

    def __new__(cls, *, gogc: Any = 100, memory_limit: Any = None, procs: int = 1,
                mode: Mode = "stw", hard_limit: Any = None, policy: Policy = _DEFAULT_POLICY,
                debug: Debug = _DEFAULT_DEBUG, costs: Costs | None = None,
                globals_scan: Any = 0, stack_scan: Any = 0,
                callbacks: Literal["inline", "manual"] = "inline",
                address_space: Any = "256GiB", seed: int = 0,
                huge_pages: bool = False) -> Heap:
        if mode not in _MODES:
            raise ValueError('Heap: mode must be "stw", "virtual" or "concurrent", not '
                             f"{mode!r}")
        if not isinstance(policy, Policy):
            raise TypeError(f"Heap: policy must be a Policy, not {type(policy).__name__!r}")
        if not isinstance(debug, Debug):
            raise TypeError(f"Heap: debug must be a Debug, not {type(debug).__name__!r}")
        if mode == "concurrent" and policy.marker != "objects":
            raise ValueError(f'Heap: marker {policy.marker!r} is not in mode "concurrent", where '
                             'several threads mark object by object: it takes "stw" or "virtual"')
        if mode == "concurrent" and policy.barrier in ("insertion", "none"):
            raise ValueError(f'Heap: barrier {policy.barrier!r} loses objects and is not in mode '
                             '"concurrent": it takes "stw" or "virtual"')
        if mode != "concurrent" and debug.delays is not None:
            raise ValueError('Heap: delays hold up the threads of mode "concurrent"; mode '
                             f'{mode!r} has none')
        costs = _DEFAULT_COSTS if costs is None else costs
        if not isinstance(costs, Costs):
            raise TypeError(f"Heap: costs must be a Costs or None, not {type(costs).__name__!r}")
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise TypeError(f"Heap: seed must be an int, not {type(seed).__name__!r}")
        if not isinstance(huge_pages, bool):
            raise TypeError("Heap: huge_pages must be True or False, not "
                            f"{type(huge_pages).__name__!r}")
        if callbacks not in ("inline", "manual"):
            raise ValueError('Heap: callbacks must be "inline" or "manual", not '
                             f"{callbacks!r}")
        self = super().__new__(
            cls, gogc=gogc, memory_limit=memory_limit, procs=procs, mode=_MODES.index(mode),
            hard_limit=hard_limit, globals_scan=globals_scan, stack_scan=stack_scan,
            address_space=address_space, policy=policy, debug=debug, costs=costs,
            manual=callbacks == "manual", seed=seed & ((1 << 64) - 1),
            huge_pages=huge_pages)
        self._mode, self._policy, self._debug, self._costs = mode, policy, debug, costs
        self._on_cycle = None
        self._calls, self._tokens = {}, itertools.count(1)
        self._labels = {None: 0}
        return self

    def close(self) -> None:
        """End it now; twice is fine. Memory that a live buffer shows stays mapped until that
        buffer goes. What waits to be called isn't called any more.

        HeapStateError while another thread is inside.
        """
        super().close()
        self._on_cycle = None
        self._calls.clear()

    @property
    def mode(self) -> Mode:
        """How cycles run: "stw", "virtual" or "concurrent"."""
        return self._mode

    @property
    def policy(self) -> Policy:
        """What the heap is made of."""
        return self._policy

    @property
    def debug(self) -> Debug:
        """The checks that are switched on."""
        return self._debug

    @property
    def costs(self) -> Costs:
        """The prices of the virtual clock."""
        return self._costs

    def __enter__(self) -> Heap:
        return self

    def __exit__(self, t: type[BaseException] | None, v: BaseException | None,
                 tb: TracebackType | None, /) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return "<Heap, closed>"
        gogc = "off" if self.gogc is None else self.gogc
        return (f"<Heap gogc={gogc} procs={self.procs} heap_live={self.heap_live} "
                f"num_gc={self.num_gc}>")

    def _repr_html_(self) -> str:
        from . import _html
        return _html.heap(self)

    def array(self, elem: Any, n: int, /) -> Any:
        """n zeroed elements as one object; elem is a struct class or a kind.

        >>> with Heap() as heap:
        ...     from goheap import int32
        ...     a = heap.array(int32, 3)
        ...     a[1] = 7
        ...     list(a)
        [0, 7, 0]
        """
        return self._array(_array_class(elem), n)

    def new_many(self, cls: Any, n: int, /) -> Any:
        """n zeroed objects of a struct class, held by one block of roots.

        On failure or Ctrl-C the roots are given back; the exception's done says how many
        objects there had been.

        >>> with Heap() as heap:
        ...     from goheap import Ptr, int64, struct
        ...     Node = struct("Node", next=Ptr["Node"], key=int64)
        ...     many = heap.new_many(Node, 1000)
        ...     many.store(Node.key, range(1000))
        ...     many[:-1].store(Node.next, many[1:])
        ...     many[1:].clear()
        ...     heap.collect().heap_marked
        16000
        """
        return self._new_many(cls, n)

    def graph(self, edges: Mapping[str, Sequence[str | None]], /,
              roots: Iterable[str]) -> Any:
        """Labelled objects that point as told; only roots are held, by the block returned.

        edges: for each label the labels that its pointer words hold, None for nil.

        >>> with Heap() as heap:
        ...     top = heap.graph({"A": ["B", None], "B": ["A"], "C": []}, roots=["A"])
        ...     cycle = heap.collect()
        ...     heap.info("B").label, heap.info(top[0][0]).label
        ('B', 'B')
        """
        if not isinstance(edges, Mapping):
            raise TypeError(f"graph: edges is a mapping, not {type(edges).__name__!r}")
        names = list(edges)
        number = {name: i for i, name in enumerate(names)}
        held = list(roots)
        for name in names:
            for target in (*edges[name], name):
                if target is not None and not isinstance(target, str):
                    raise TypeError(f"graph: a label is a str, not {target!r}")
                if target is not None and target not in number:
                    raise ValueError(f"graph: {name!r} points at {target!r}, which is no label "
                                     "of the graph")
        for name in held:
            if name not in number:
                raise ValueError(f"graph: the root {name!r} is no label of the graph")
        def build() -> Any:
            made = self.roots(len(names))
            try:
                for i, name in enumerate(names):
                    made[i] = self.new(_node_class(len(edges[name])))
                    self.label(made[i], name)
                for i, name in enumerate(names):
                    for k, target in enumerate(edges[name]):
                        if target is not None:
                            made[i][k] = made[number[target]]
                top = self.roots(len(held))
                for i, name in enumerate(held):
                    top[i] = made[number[name]]
            except BaseException:
                # No label stays of a graph that wasn't made.
                for ref in made:
                    if ref is not None:
                        self.label(ref, None)
                raise
            return top

        return self._quietly(build)

    def collect(self) -> GCCycle:
        """runtime.GC(): a whole cycle and its sweep. Not interruptible."""
        return GCCycle(*self._collect())

    def gc_step(self, n: int = 1, /) -> Step:
        """Scan n grey objects of a cycle that gc_start began, the longest grey first.

        With Policy(marker="greentea") it is n entries of its queues, in its order: an object,
        or all that is grey in a page of small objects. The Step says what was scanned, what became grey by it, and how much is left.
        Between two steps the program may do anything: the write barrier is on.

        >>> with Heap(gogc="off") as heap:
        ...     top = heap.graph({"A": ["B", "C"], "B": [], "C": []}, roots=["A"])
        ...     heap.gc_start()
        ...     step = heap.gc_step()
        ...     [heap.info(a).label for a in step.greyed], heap.color("A"), heap.color("B")
        (['B', 'C'], 'black', 'grey')
        """
        scanned, greyed, left, procs = self._gc_step(n)
        return Step(scanned, greyed, left, (0,) * procs)

    def gc_finish(self) -> GCCycle:
        """Mark to the end and sweep: the cycle that gc_start began."""
        return GCCycle(*self._gc_finish())

    @property
    def phase(self) -> Phase:
        """Go's gcphase: "off", "mark" or "marktermination"."""
        return _PHASES[self._phase]

    def color(self, at: Any, /) -> Color:
        """"white", "grey" or "black"; outside a mark phase everything is white."""
        return self.info(at).color

    def on_p(self, p: int, /) -> AbstractContextManager[None]:
        """Until the end of the block this thread enters on P number p (0..procs-1)."""
        if isinstance(p, bool) or not hasattr(type(p), "__index__"):
            raise TypeError(f"on_p: p must be an int, not {type(p).__name__!r}")
        if not 0 <= p.__index__() < self.procs:
            raise ValueError(f"on_p: p must be 0..{self.procs - 1}, not {p}")
        return _OnP(self, p.__index__())

    def stats(self) -> MemStats:
        """MemStats, exact, as if every cache were flushed; flushes none."""
        return MemStats._make(self._stats())

    def read_mem_stats(self) -> MemStats:
        """Go's ReadMemStats with its side effects: flushes every mcache, ends the tiny
        block."""
        return MemStats._make(self._read_mem_stats())

    def metrics(self) -> dict[str, int | float | Histogram]:
        """runtime/metrics by name: all of memory, the collector, its CPU time and its pauses.

        Figures are Go's, in the unit of their name, GOGC "off" as Go shows it (2**64 - 1). As
        in Go nothing is flushed: small allocations show when their span leaves its mcache, and
        the /cpu/classes stand as the last cycle left them. Goroutines, locks, cgo and GODEBUG
        are left out.

        >>> with Heap() as heap:
        ...     kept = heap.alloc(100_000)
        ...     heap.metrics()["/memory/classes/heap/objects:bytes"]
        106496
        """
        return self._metrics(Histogram)

    @property
    def cycles(self) -> Sequence[GCCycle]:
        """All cycles so far, oldest first: a live view."""
        return _Cycles(self)

    def gctrace(self, *kinds: TraceKind) -> str:
        """What Go prints with GODEBUG=kind=1, about all cycles so far, each line ended.

        kinds: "gctrace" (also if none is given), "scavtrace", "gcpacertrace". The formats are
        Go 1.26's, so that its readers read them.
        """
        return trace_lines(self.cycles, kinds)

    def info(self, at: Any, /) -> ObjectInfo:
        """What is known of the object at a handle, an address (address_of) or a label.

        LookupError if no live object is there. No root is made for asking.
        """
        at = self._address(at)
        addr, base, size, elemsize, name, label, color, span, slot, _, _ = self._info(at)
        return ObjectInfo(addr, base, size, elemsize, name, label, color, span, slot)

    def _address(self, at: Any) -> Any:
        """The address of what a label or weak handle stands for; anything else as it is."""
        if isinstance(at, str):
            return self._find_label(at)
        if isinstance(at, WeakRef):
            addr = self._weak_addr(at._box)
            if addr == 0:
                raise LookupError(f"no live object at {at!r}")
            return addr
        return at

    def label(self, at: Any, name: str | None, /) -> None:
        """Name an object for pictures, snapshots and questions; None takes the name away.

        A name belongs to one object at a time, and goes with its object.
        """
        if name is not None and not isinstance(name, str):
            raise TypeError(f"label: a label is a str or None, not {type(name).__name__!r}")
        self._label(self.info(at).addr, name)

    def snapshot(self, *, objects: bool = True, edges: bool = False) -> Snapshot:
        """Everything inside at one instant, in memory of its own; valid after close().

        objects: the table of objects, and census and occupancy. edges: the pointers too, and
        why, referrers, retained and to_dot, which need objects as well. No figure changes by it.

        >>> with Heap() as heap:
        ...     block = heap.alloc(100)
        ...     snap = heap.snapshot()
        >>> snap
        <Snapshot: 1 object of 112 bytes, 1 span, 1 root>
        """
        if edges and not objects:
            raise ValueError("snapshot: edges=True needs objects=True")
        return Snapshot(self, bool(objects), bool(edges))

    def watch(self, kinds: str | Iterable[str] = "slow", /) -> AbstractContextManager[EventLog]:
        """Log what happens inside, until the end of the block.

        kinds: "slow", which is all of "refill", "large", "span", "grow", "phase", "sweep",
        "scavenge", "flush", "trigger"; or some of them. Blocks may lie in each other.
        """
        return _watch.watch(self, kinds)

    def record(self, every: str = "cycle", /, *columns: str) -> AbstractContextManager[Table[Any]]:
        """A time series of figures, until the end of the block: a table with t_ns first.

        every: "cycle" gives a row at each cycle's end, a time ("1ms") one at each tick of the
        heap's clock; its figures are those after the first refill, large object or cycle that
        ended at the tick or after it. columns: names of figures of Heap and MemStats, and with
        "cycle" of what only a GCCycle has.

        >>> with Heap() as heap, heap.record("cycle", "heap_marked", "forced") as series:
        ...     cycle = heap.collect()
        >>> list(series)[0][1:]
        (0, 1)
        """
        return _watch.record(self, every, columns)

    def plot(self, name: str = "heap", ax: Any = None) -> Any:
        """Draw "heap", "pauses" or "pacer" into ax, or into a new figure (goheap.plots; needs matplotlib)."""
        from .plots import draw
        return draw(name, self, ax)

    def on_cycle(self, fn: Callable[[GCCycle, Knobs], object] | None, /) -> None:
        """Have fn(cycle, knobs) called after each cycle from now on; None: no more.

        knobs is what the next cycle goes by: fn may set its gogc and memory_limit, which stay,
        and its goal and trigger, for that one cycle. They take effect when fn returns.

        fn is called at the end of the method of Heap in which the cycle ended (or of the next
        one, if that was a read or write through a handle), on the same thread, and after the
        whole method: if more than one cycle ended in it, once for each, in their order. No
        other call runs inside of it, whatever it does; cycles that it brings about are told at
        the end of the next method. What it raises goes to sys.unraisablehook, and leaves the
        settings alone.

        >>> with Heap() as heap:
        ...     def tuner(cycle, knobs):
        ...         knobs.gogc = 200
        ...     heap.on_cycle(tuner)
        ...     cycle = heap.collect()
        ...     heap.gogc
        200
        """
        if fn is not None and not callable(fn):
            raise TypeError("on_cycle: a function or None is needed, not "
                            f"{type(fn).__name__!r}")
        self._cycle_calls(fn is not None)
        self._on_cycle = fn

    def set_finalizer(self, ref: Any, fn: Callable[[Any], object] | None, /) -> None:
        """runtime.SetFinalizer: have fn(ref) called once the object is unreachable.

        That brings the object back, without a finalizer, and keeps what it points at: of
        objects in a row the first one's runs first, the next one's a cycle later, and a ring
        with one is never freed. Of one sweep the last found runs first. None takes the
        finalizer away; a second one is a ValueError, as is a handle of the inside of an object.
        The handle that fn gets is new. An object of size 0 never dies, and of parts of one tiny
        block all die together.

        >>> with Heap() as heap:
        ...     block = heap.alloc(100)
        ...     heap.set_finalizer(block, lambda b: print("found dead, size", len(b)))
        ...     del block
        ...     cycle = heap.collect()
        found dead, size 100
        """
        if fn is None:
            token = self._clear_finalizer(ref)
            if token is not None:
                self._calls.pop(token, None)
            return
        if not callable(fn):
            raise TypeError("set_finalizer: a function or None is needed, not "
                            f"{type(fn).__name__!r}")
        if not isinstance(ref, Ref):
            raise TypeError(f"set_finalizer: a handle is needed, not {type(ref).__name__!r}")
        token = next(self._tokens)
        self._calls[token] = fn, type(ref), _core.short_length(ref)
        is_set = False
        try:
            is_set = self._set_finalizer(ref, token)
        finally:
            if not is_set:
                self._calls.pop(token, None)

    def add_cleanup(self, ref: Any, fn: Callable[..., object], /, *args: Any) -> Cleanup:
        """runtime.AddCleanup: have fn(*args) called once the object is freed.

        An object may have any number, also on its inside; those of one place run newest first.
        With a finalizer too, they run a cycle after it at the earliest. What keeps the object
        alive can't be an argument: ValueError for a handle of the object, among them or in what
        the function closes over. Takes 32 bytes of the heap, as in Go.

        >>> with Heap() as heap:
        ...     block = heap.alloc(100)
        ...     cleanup = heap.add_cleanup(block, print, "freed")
        ...     del block
        ...     cycle = heap.collect()
        freed
        """
        if not callable(fn):
            raise TypeError(f"add_cleanup: a function is needed, not {type(fn).__name__!r}")
        if not isinstance(ref, Ref):
            raise TypeError(f"add_cleanup: a handle is needed, not {type(ref).__name__!r}")
        held = held_by(fn, args)
        token = next(self._tokens)
        self._calls[token] = fn, args, 0
        number = 0
        try:
            number = self._add_cleanup(ref, token, held)
        finally:
            if not number:
                self._calls.pop(token, None)
        return make_cleanup(self, address_of(ref), number, token)

    def weak(self, ref: Any, /) -> WeakRef[Any]:
        """weak.Make: a handle that doesn't keep its object alive.

        >>> with Heap() as heap:
        ...     weak = heap.weak(heap.alloc(100))
        ...     cycle = heap.collect()
        ...     weak() is None
        True
        """
        return make_weak(self._weak(ref), ref)

    def ref(self, at: Any, /) -> Any:
        """A handle of the live object at a weak handle, an address or a label: the one way
        back from what was looked up. LookupError if no live object is there."""
        return self._ref_at(self._address(at))

    def pin(self, ref: Any, /) -> AbstractContextManager[None]:
        """runtime.Pinner: until the end of the block the object stays, whoever lets go of it.

        Objects never move here, so all that a pin does is to keep. Pins are counted.
        """
        held: AbstractContextManager[None] = self._pin(ref)
        return held

    def to_perfetto(self, path: Path, /, series: Table[Any] | None = None) -> None:
        """Write cycles, pauses, assists and the heap's lines to a file that Perfetto
        (ui.perfetto.dev), Chrome and speedscope open. series: what record made, for the lines;
        without it they are drawn from the cycles. See goheap.perfetto."""
        from .perfetto import write
        write(self, path, series)

    def profile(self) -> HeapProfile:
        """The heap profile, runtime.MemProfile: objects by type, label and size, estimated
        from a sample. Nothing is sampled until profile_rate is set.

        As in Go it shows the heap as of the last collection that was asked for, or the last
        but one that wasn't; before any it shows all there is.
        """
        rate, rows = self._profile()
        return make_profile(rate, rows, list(self._labels))

    def profile_label(self, name: str, /) -> AbstractContextManager[None]:
        """Until the end of the block the heap's samples are put down to that name.

        >>> with Heap() as heap:
        ...     heap.profile_rate = 1
        ...     with heap.profile_label("parser"):
        ...         block = heap.alloc(100)
        ...     [(r.label, r.inuse_bytes) for r in heap.profile().rows]
        [('parser', 112)]
        """
        if not isinstance(name, str):
            raise TypeError(f"profile_label: a name is a str, not {type(name).__name__!r}")
        return Labelled(self, self._labels.setdefault(name, len(self._labels)))

    def _call(self, kind: int, token: int) -> None:
        """Run one call that waited; for the C part."""
        assert kind == _CYCLE
        fn = self._on_cycle
        if fn is None:
            return  # taken away meanwhile
        try:
            cycle = GCCycle(*self._cycle(token))
            knobs = Knobs(self.gogc, self.memory_limit)
        except HeapClosedError:
            return  # by another thread
        try:
            fn(cycle, knobs)
            if not self.closed:
                self._turn(knobs)
        except BaseException as e:
            _core.unraisable(e, fn)

    def _turn(self, knobs: Knobs) -> None:
        changed = knobs._changed()
        if "gogc" in changed:
            self.gogc = changed["gogc"]
        if "memory_limit" in changed:
            self.memory_limit = changed["memory_limit"]
        self._next_cycle(knobs.goal or 0, knobs.trigger or 0)

    def verify(self) -> None:
        """Check every invariant; HeapCorruptionError lists what is broken.

        Under an unsound policy LostObjectError names what was lost, and the way to it.
        """
        text, lost = self._verify()
        broken = tuple(text.splitlines())
        if lost is not None:
            raise LostObjectError(f"Heap.verify: {lost[0]}", lost[1], broken)
        if broken:
            raise HeapCorruptionError(broken)


_core.heap_adopt(Heap)
