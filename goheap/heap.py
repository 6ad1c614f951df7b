"""Heap: a Go heap of its own in this process."""
from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, overload

from . import _core
from .errors import HeapCorruptionError
from .settings import Costs, Policy
from .stats import GCCycle, MemStats, ObjectInfo
from .types import _array_class

__all__ = ["Heap", "address_of", "cast", "heap_of"]

address_of = _core.address_of
cast = _core.cast
heap_of = _core.heap_of

_DEFAULT_POLICY = Policy()
_DEFAULT_COSTS = Costs()


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

    gogc: percent, None or "off". procs: the number of Ps, each with an mcache. mode: "stw"
    (the world stopped for a whole cycle, on a virtual clock: repeats exactly).
    globals_scan, stack_scan: bytes of a program's globals and stacks, which enter the
    goal. address_space: bytes of the window reserved for the heap, at least 1 GiB; halved
    while the system refuses.

    >>> with Heap(gogc=50) as heap:
    ...     block = heap.alloc(100)
    ...     heap.info(block).elemsize
    112
    """

    mode: str
    policy: Policy
    costs: Costs

    def __new__(cls, *, gogc: Any = 100, procs: int = 1, mode: str = "stw",
                policy: Policy = _DEFAULT_POLICY, costs: Costs | None = None,
                globals_scan: Any = 0, stack_scan: Any = 0,
                address_space: Any = "256GiB") -> Heap:
        if mode in ("virtual", "concurrent"):
            raise ValueError(f'Heap: mode {mode!r} is not in this version; it has "stw"')
        if mode != "stw":
            raise ValueError(f'Heap: mode must be "stw", not {mode!r}')
        if not isinstance(policy, Policy):
            raise TypeError(f"Heap: policy must be a Policy, not {type(policy).__name__!r}")
        costs = _DEFAULT_COSTS if costs is None else costs
        if not isinstance(costs, Costs):
            raise TypeError(f"Heap: costs must be a Costs or None, not {type(costs).__name__!r}")
        self = super().__new__(
            cls, gogc=gogc, procs=procs, globals_scan=globals_scan, stack_scan=stack_scan,
            address_space=address_space, tiny=policy.tiny, eager_sweep=policy.sweep != "lazy",
            min_heap=policy.min_heap,
            costs=(costs.alloc, costs.alloc_byte, costs.scan_byte, costs.sweep_page,
                   costs.page_fault, costs.stop))
        self.mode, self.policy, self.costs = mode, policy, costs
        return self

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

    def collect(self) -> GCCycle:
        """runtime.GC(): a whole cycle and its sweep. Not interruptible."""
        return GCCycle(*self._collect())

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

    @property
    def cycles(self) -> Sequence[GCCycle]:
        """All cycles so far, oldest first: a live view."""
        return _Cycles(self)

    def info(self, at: Any, /) -> ObjectInfo:
        """What is known of the object at a handle or at an address (address_of).

        LookupError if no live object is there. No root is made for asking.
        """
        addr, base, size, elemsize, name, span, slot, _, _ = self._info(at)
        return ObjectInfo(addr, base, size, elemsize, name, None, "white", span, slot)

    def verify(self) -> None:
        """Check every invariant; HeapCorruptionError lists what is broken."""
        broken = tuple(self._verify().splitlines())
        if broken:
            raise HeapCorruptionError(broken)
