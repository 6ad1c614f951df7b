"""What a heap is made with: frozen, comparable, picklable, the same in every result."""
from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from . import _core
from .aliases import Size

__all__ = ["Costs", "Debug", "Knobs", "Policy"]


def _bool(owner: str, name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{owner}: {name} must be a bool, not {type(value).__name__!r}")


def _size(owner: str, name: str, value: object) -> int:
    """A size in bytes: the same conversion, and the same messages, as every size gets."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError(f"{owner}: {name} must be a size, not {type(value).__name__!r}")
    return _core.size(value, f"{owner}: {name}")


def _classes(table: object, tiny: bool) -> tuple[int, ...]:
    """A table of size classes, checked."""
    if isinstance(table, (str, bytes)) or not isinstance(table, Sequence):
        raise TypeError("Policy: size_classes must be a sequence of sizes or None, not "
                        f"{type(table).__name__!r}")
    sizes = []
    for size in table:
        if isinstance(size, bool) or not hasattr(type(size), "__index__"):
            raise TypeError(f"Policy: size_classes: a size is an int, not {type(size).__name__!r}")
        sizes.append(operator.index(size))
    if not 1 <= len(sizes) <= 67:
        raise ValueError(f"Policy: size_classes must have 1..67 sizes, not {len(sizes)}")
    last = 0
    for n in sizes:
        unit = 8 if n <= 1024 else 128
        if n <= 0 or n % unit:
            raise ValueError(f"Policy: size_classes: {n} is no multiple of {unit}, as a size "
                             f"{'up to' if unit == 8 else 'above'} 1024 must be")
        if n <= last:
            raise ValueError(f"Policy: size_classes must rise, but {n} comes after {last}")
        last = n
    if last != 32768:
        raise ValueError(f"Policy: size_classes must end with 32768, not {last}")
    for needed, why in ((512, "where pointer bits give way to headers"),
                        *(((16, "the size of tiny blocks; or set tiny=False"),) if tiny else ())):
        if needed not in sizes:
            raise ValueError(f"Policy: size_classes must have {needed} among them, {why}")
    return tuple(sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the heap is made of; the defaults decide as Go does.

    tiny: combine requests below 16 bytes without pointers into shared blocks.
    sweep: "eager" ends the sweep with the cycle (Go's gcstoptheworld=2), "lazy" leaves it
    to the next allocations (gcstoptheworld=1); None lets the mode decide: eager in "stw", lazy
    in "virtual".
    scavenger: "go" gives free memory back to the system as Go does, "off" only when asked.
    marker: "objects" marks object by object; "greentea" as Go does, which queues spans of
    small objects and scans what has come together in them. The same objects live.
    scan_work: "object" counts of each scanned object the bytes up to its last pointer, as Go
    does without AVX-512; "dense" counts the objects of a page that is scanned at once whole,
    as Go does with it. Only marker="greentea" scans pages, so "dense" needs it.
    size_classes: a table of your own in place of Go's: up to 67 sizes, rising, the last 32768;
    multiples of 8 up to 1024 and of 128 above; 512 among them, where pointer bits give way to
    headers, and 16 if tiny is on. Spans are chosen as Go chooses its own: the fewest pages that
    waste at most an eighth in the tail.
    page_cache: each P takes small spans from 64 pages of its own; False: all ask the page
    allocator.
    barrier: which halves of the write barrier are on, for fields and roots alike: "hybrid",
    as Go; "deletion", sound too; "insertion" and "none" lose objects: every load is checked
    then, and raises LostObjectError.
    min_heap: the least heap goal at GOGC=100, bytes or Go's spelling.
    ballast: bytes of a block without pointers that is allocated first and lives as long as
    the heap: it counts in every figure, and its memory is never touched. Being an allocation,
    it may start the first cycle.
    """

    tiny: bool = True
    marker: Literal["objects", "greentea"] = "objects"
    scan_work: Literal["object", "dense"] = "object"
    size_classes: Sequence[int] | None = None
    page_cache: bool = True
    sweep: Literal["lazy", "eager"] | None = None
    scavenger: Literal["go", "off"] = "go"
    barrier: Literal["hybrid", "deletion", "insertion", "none"] = "hybrid"
    min_heap: Size = "4MiB"
    ballast: Size = 0

    def __post_init__(self) -> None:
        _bool("Policy", "tiny", self.tiny)
        _bool("Policy", "page_cache", self.page_cache)
        if self.size_classes is not None:
            object.__setattr__(self, "size_classes", _classes(self.size_classes, self.tiny))
        if self.sweep not in (None, "lazy", "eager"):
            raise ValueError(f'Policy: sweep must be "lazy", "eager" or None, not {self.sweep!r}')
        if self.scavenger not in ("go", "off"):
            raise ValueError(f'Policy: scavenger must be "go" or "off", not {self.scavenger!r}')
        if self.marker not in ("objects", "greentea"):
            raise ValueError('Policy: marker must be "objects" or "greentea", not '
                             f"{self.marker!r}")
        if self.scan_work not in ("object", "dense"):
            raise ValueError('Policy: scan_work must be "object" or "dense", not '
                             f"{self.scan_work!r}")
        if self.scan_work == "dense" and self.marker != "greentea":
            raise ValueError('Policy: scan_work="dense" counts pages that are scanned at once, '
                             f'and marker={self.marker!r} scans none; it needs marker="greentea"')
        if self.barrier not in ("hybrid", "deletion", "insertion", "none"):
            raise ValueError('Policy: barrier must be "hybrid", "deletion", "insertion" or '
                             f'"none", not {self.barrier!r}')
        for name in ("min_heap", "ballast"):
            object.__setattr__(self, name, _size("Policy", name, getattr(self, name)))

    def replace(self, **changes: Any) -> Self:
        """The same policy with some choices changed."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Debug:
    """Checks to switch on; they cost time and change no figure.

    checkmark: when a cycle has marked, all is traced again by other code; an object that
    the marker missed ends the process with a message, as Go's gccheckmark does.
    clobber_free: sweeping fills the slots that it frees with 0xdeadbeef, as Go's
    GODEBUG=clobberfree=1 does.
    gc_every: n > 0 runs a whole cycle, as collect() does, before every n-th call that
    allocates (new, alloc, array; each object of new_many is one); those cycles do show in
    the figures. None begins while a cycle is driven by hand; threads whose turns come together
    may share one.
    delays: the seed, 1..2**50, of random delays of threads in mode "concurrent": in the write
    barrier, marking, the hand-over of work, the end of marking, stops, sweeping and the page
    cache. What happens rarely happens sooner then. They are drawn from the seed, but where
    threads are when they come is the machine's to say; a failure's report names the seed.
    """

    checkmark: bool = False
    clobber_free: bool = False
    gc_every: int = 0
    delays: int | None = None

    def __post_init__(self) -> None:
        _bool("Debug", "checkmark", self.checkmark)
        _bool("Debug", "clobber_free", self.clobber_free)
        if isinstance(self.gc_every, bool) or not hasattr(type(self.gc_every), "__index__"):
            raise TypeError(f"Debug: gc_every must be an int, not {type(self.gc_every).__name__!r}")
        object.__setattr__(self, "gc_every", operator.index(self.gc_every))
        if not 0 <= self.gc_every <= 1 << 50:
            raise ValueError(f"Debug: gc_every must be 0..2**50, not {self.gc_every}")
        if self.delays is None:
            return
        if isinstance(self.delays, bool) or not hasattr(type(self.delays), "__index__"):
            raise TypeError("Debug: delays must be an int or None, not "
                            f"{type(self.delays).__name__!r}")
        object.__setattr__(self, "delays", operator.index(self.delays))
        if not 1 <= self.delays <= 1 << 50:
            raise ValueError(f"Debug: delays must be 1..2**50, not {self.delays}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The virtual clock's prices in ns. The shipped ones, which are the defaults, are the same
    everywhere, so figures are too; every result names the ones it was made with.

    alloc: an allocation; alloc_byte: a byte of the slot handed out; scan_byte: a byte of
    scan work; sweep_page: a page swept; page_fault: a page first used; stop: stopping or
    starting the world.
    """

    alloc: float = _core.COSTS[0]
    alloc_byte: float = _core.COSTS[1]
    scan_byte: float = _core.COSTS[2]
    sweep_page: float = _core.COSTS[3]
    page_fault: float = _core.COSTS[4]
    stop: float = _core.COSTS[5]

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            v = getattr(self, f.name)
            if isinstance(v, bool) or not isinstance(v, (int, float)):
                raise TypeError(f"Costs: {f.name} must be a number of ns, not "
                                f"{type(v).__name__!r}")
            if not (math.isfinite(v) and 0 <= v <= 1e12):
                raise ValueError(f"Costs: {f.name} must be 0..1e12 ns, not {v!r}")
            object.__setattr__(self, f.name, float(v))

    @classmethod
    def measured(cls) -> Self:
        """Prices measured on this machine, to four digits: no longer the same everywhere, nor
        in two runs. Takes a second or two; what is measured is the core's own work of each
        kind."""
        return cls(**{f.name: float(f"{price:.4g}") for f, price in zip(
            dataclasses.fields(cls), _core.calibrate())})


_MAX_BYTES = 1 << 50
_BOUNDS = {"gogc": (0, (1 << 31) - 1), "memory_limit": (0, (1 << 63) - 1),
           "goal": (1, _MAX_BYTES), "trigger": (1, _MAX_BYTES)}


def _off_is_none(value: Any) -> Any:
    return None if isinstance(value, str) and value == "off" else value


class Knobs:
    """What an on_cycle function may change for the next cycle.

    gogc, memory_limit: as the heap has them; None is off. goal, trigger: bytes of heap_live,
    for the next cycle alone; None, as they always are at first: Go's pacer decides. A goal
    stands in place of GOGC's and of the limit's, and the cycle begins at the trigger, or where
    the pacer would begin it to meet that goal. A trigger above the pacer's goal counts as that.
    """

    __slots__ = ("gogc", "memory_limit", "goal", "trigger", "_before")

    gogc: int | None
    memory_limit: int | None
    goal: int | None
    trigger: int | None
    _before: tuple[int | None, int | None]

    def __init__(self, gogc: int | None, memory_limit: int | None) -> None:
        object.__setattr__(self, "_before", (gogc, memory_limit))
        self.gogc, self.memory_limit, self.goal, self.trigger = gogc, memory_limit, None, None

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _BOUNDS:
            raise AttributeError(f"Knobs has no {name!r}; it has {', '.join(_BOUNDS)}")
        if name in ("gogc", "memory_limit"):
            value = _off_is_none(value)
        if value is not None:
            low, high = _BOUNDS[name]
            if isinstance(value, bool) or not hasattr(type(value), "__index__"):
                raise TypeError(f"Knobs: {name} must be an int or None, not "
                                f"{type(value).__name__!r}")
            value = operator.index(value)
            if not low <= value <= high:
                raise ValueError(f"Knobs: {name} must be {low}..{high}, not {value}")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"Knobs: {name} can be set, not deleted")

    def __repr__(self) -> str:
        return "Knobs(" + ", ".join(f"{k}={getattr(self, k)}" for k in _BOUNDS) + ")"

    def _changed(self) -> dict[str, int | None]:
        """The settings that were turned. ValueError if goal and trigger don't fit."""
        if self.goal is not None and self.trigger is not None and self.trigger > self.goal:
            raise ValueError(f"Knobs: the trigger, {self.trigger}, is above the goal, {self.goal}")
        pairs = zip(("gogc", "memory_limit"), self._before)
        return {k: getattr(self, k) for k, old in pairs if getattr(self, k) != old}
