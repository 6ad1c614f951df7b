"""What happens inside a heap: the log of its slow path, and series of its figures."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _core
from .settings import Policy
from .table import Column, Row, Table, number_column, text_column

if TYPE_CHECKING:
    from .heap import Heap

__all__ = ["Event", "EventLog"]


class Event(NamedTuple):
    """Something that the slow path of a heap did."""

    t_ns: int  # of the heap's clock
    p: int  # number of the P, -1: none in particular
    kind: str  # "refill", "large", "span", "grow", "phase", "sweep", "scavenge", "flush", "trigger"
    addr: int  # 0: none
    size: int  # free slots, bytes, pages or slots that came free: as the kind says
    spanclass: int
    note: str


# What the core tells of, by its number (gh_event_kind): our kind, and a note.
_EVENTS = (("refill", ""), ("large", ""), ("span", "taken"), ("span", "freed"), ("grow", ""),
           ("phase", "cycle begins"), ("phase", "cycle ends"), ("sweep", ""), ("scavenge", ""),
           ("flush", ""), ("trigger", ""))
(_REFILL, _LARGE, _SPAN, _FREED, _GROW, _BEGIN, _END, _SWEEP, _SCAVENGE, _FLUSH,
 _TRIGGER) = range(11)
_SLOW = tuple(dict.fromkeys(kind for kind, _ in _EVENTS))
_NOT_YET = {
    "barrier": "the write barrier tells nobody",
    "alloc": "the fast path of an allocation tells nobody",
    "all": '"alloc" and "barrier" are not in this version; "slow" is all there is',
}


def _mask(kinds: str | Iterable[str]) -> int:
    names = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if not names:
        raise ValueError("watch: no kinds were given")
    mask = 0
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"watch: a kind is a str, not {type(name).__name__!r}")
        if name in _NOT_YET:
            raise ValueError(f"watch: {name!r} is not in this version: {_NOT_YET[name]}")
        if name != "slow" and name not in _SLOW:
            raise ValueError(f"watch: no kind {name!r}; there are "
                             f"{', '.join(map(repr, ('slow', *_SLOW)))}")
        for i, (kind, _) in enumerate(_EVENTS):
            if name in ("slow", kind):
                mask |= 1 << i
    return mask


class _Tap:
    """What fills a table while a heap is used; ends with stop()."""

    def __init__(self, heap: Heap, mask: int, figures: tuple[int, ...] | None,
                 every_ns: int) -> None:
        self._heap = heap
        self._capsule = _core.tap_start(heap, mask, figures, every_ns)

    def read(self) -> tuple[tuple[bytes, ...], int]:
        return _core.tap_read(self._heap, self._capsule)

    def stop(self) -> tuple[tuple[bytes, ...], int]:
        return _core.tap_stop(self._heap, self._capsule)


class _Growing(Table[Row]):
    """A table that a tap fills until it is stopped; asked before, it tells what is there."""

    __slots__ = ("_tap", "_convert", "_missed")

    def __init__(self, row: type[Any] | tuple[str, ...], tap: _Tap,
                 convert: Callable[[tuple[bytes, ...]], Mapping[str, Column]]) -> None:
        self._tap: _Tap | None = tap
        self._convert = convert
        raw, self._missed = tap.read()
        super().__init__(row, convert(raw))

    def _now(self) -> dict[str, Column]:
        tap: _Tap | None = getattr(self, "_tap", None)
        if tap is not None:
            self._take(tap.read())
        return self._columns

    def _take(self, rows: tuple[tuple[bytes, ...], int]) -> None:
        raw, self._missed = rows
        self._columns = dict(self._convert(raw))

    def _stop(self) -> None:
        if self._tap is not None:
            tap, self._tap = self._tap, None
            self._take(tap.stop())


class EventLog(_Growing[Event]):
    """The events of a `heap.watch()` block, a table of Event.

    >>> from goheap import Heap
    >>> with Heap() as heap, heap.watch() as log:
    ...     block = heap.alloc(100)
    >>> [e.kind for e in log]
    ['grow', 'span', 'refill']
    >>> print(log.story())
    0.000 ms: the heap grew by 4194304 bytes at 0xc000000000.
    0.000 ms: 1 page at 0xc000000000 became a span of 112-byte slots without pointers.
    0.000 ms: P0 had no free slot of 112 bytes without pointers; it took the span at 0xc000000000, 72 slots free.
    """

    __slots__ = ("_sizes",)
    _sizes: tuple[int, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The heap's size classes: the slots of span class c have sizes[c // 2 - 1] bytes."""
        sizes: tuple[int, ...] | None = getattr(self, "_sizes", None)
        return tuple(c[0] for c in _core.class_table(Policy())) if sizes is None else sizes

    def __reduce__(self) -> tuple[Any, ...]:
        return (*super().__reduce__(), (None, {"_sizes": self.sizes}))

    def story(self) -> str:
        """The same in sentences, one a line; long rows of sweeping in one."""
        lines = list(_story(list(self), self.sizes))
        if getattr(self, "_missed", 0):
            lines.append(f"{self._missed} events more found no memory to be kept in.")
        return "\n".join(lines)

    def plot(self, name: str = "page_history", ax: Any = None) -> Any:
        """Draw "page_history" into ax, or into a new figure (goheap.plots; needs
        matplotlib)."""
        from .plots import draw
        return draw(name, self, ax)


def _log_columns(raw: tuple[bytes, ...], mask: int) -> dict[str, Column]:
    columns = [Column(data, format) for data, format in zip(raw, "qiiQQB")]
    codes = columns[2].view().tolist()
    kinds, notes = [], []
    keep = []
    before = -1
    for i, code in enumerate(codes):
        kind, note = _EVENTS[code]
        if code == _BEGIN:
            note += ", at its trigger" if before == _TRIGGER else ", forced"
        before = code
        if mask >> code & 1:
            keep.append(i)
            kinds.append(kind)
            notes.append(note)
    if len(keep) < len(codes):
        # Triggers that were only listened to for the sake of the notes.
        views = [c.view() for c in columns]
        columns = [number_column([v[i] for i in keep], c.format) for v, c in zip(views, columns)]
    return dict(zip(Event._fields, [columns[0], columns[1], text_column(kinds), columns[3],
                                    columns[4], columns[5], text_column(notes)]))


def _slots(spanclass: int, sizes: Sequence[int]) -> str:
    pointers = "without" if spanclass & 1 else "with"
    if spanclass < 2:
        return f"one large object {pointers} pointers"
    return f"{sizes[(spanclass >> 1) - 1]}-byte slots {pointers} pointers"


def _n(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _sentence(e: Event, sizes: Sequence[int]) -> str:
    if e.kind == "refill":
        size = _slots(e.spanclass, sizes).replace("-byte slots", " bytes")
        return (f"P{e.p} had no free slot of {size}; it took the span at {e.addr:#x}, "
                f"{_n(e.size, 'slot')} free.")
    if e.kind == "large":
        return f"P{e.p} got {e.size} bytes at {e.addr:#x} for {_slots(e.spanclass, sizes)}."
    if e.kind == "span" and e.note == "taken":
        return (f"{_n(e.size, 'page')} at {e.addr:#x} became a span of "
                f"{_slots(e.spanclass, sizes)}.")
    if e.kind == "span":
        return (f"the span at {e.addr:#x} held nothing any more: {_n(e.size, 'page')} "
                f"{'is' if e.size == 1 else 'are'} free again.")
    if e.kind == "grow":
        return f"the heap grew by {e.size} bytes at {e.addr:#x}."
    if e.kind == "trigger":
        return f"heap_live met its trigger with {e.size} bytes."
    if e.kind == "phase" and e.note == "cycle ends":
        return f"the cycle ended with {e.size} bytes marked."
    if e.kind == "phase":
        how = "was forced to begin" if e.note.endswith("forced") else "began at its trigger"
        return f"a cycle {how}, heap_live was {e.size} bytes."
    if e.kind == "sweep":
        return f"sweeping the span at {e.addr:#x} freed {_n(e.size, 'slot')}."
    if e.kind == "scavenge":
        return f"{e.size} bytes at {e.addr:#x} went back to the system."
    return f"P{e.p} gave back its spans."


def _is_sweeping(e: Event) -> bool:
    return e.kind == "sweep" or (e.kind == "span" and e.note == "freed")


def _story(events: list[Event], sizes: Sequence[int]) -> Iterator[str]:
    i = 0
    while i < len(events):
        k = i
        while k < len(events) and _is_sweeping(events[k]):
            k += 1
        time = f"{events[i].t_ns / 1e6:.3f} ms: "
        if k - i > 3:
            swept = [e.size for e in events[i:k] if e.kind == "sweep"]
            freed = [e.size for e in events[i:k] if e.kind == "span"]
            yield (f"{time}sweeping freed {_n(sum(swept), 'slot')} in {_n(len(swept), 'span')}; "
                   f"{_n(len(freed), 'span')} gave back {_n(sum(freed), 'page')}.")
            i = k
        else:
            yield time + _sentence(events[i], sizes)
            i += 1


class _Block(AbstractContextManager[Any]):
    """A with block in which a table grows."""

    def __init__(self, begin: Callable[[], _Growing[Any]]) -> None:
        self._begin = begin
        self._tables: list[_Growing[Any]] = []

    def __enter__(self) -> Any:
        self._tables.append(self._begin())
        return self._tables[-1]

    def __exit__(self, t: type[BaseException] | None, v: BaseException | None,
                 tb: TracebackType | None, /) -> None:
        self._tables.pop()._stop()


def watch(heap: Heap, kinds: str | Iterable[str]) -> AbstractContextManager[EventLog]:
    """Heap.watch."""
    mask = _mask(kinds)
    # A cycle's note tells whether its trigger came just before.
    listen = mask | 1 << _TRIGGER if mask >> _BEGIN & 1 else mask

    def begin() -> EventLog:
        log = EventLog(Event, _Tap(heap, listen, None, 0), lambda raw: _log_columns(raw, mask))
        log._sizes = tuple(c[0] for c in _core.class_table(heap.policy))
        return log

    return _Block(begin)


# ---- series -----------------------------------------------------------------------------

_FIGURES = {name: (i, format, cycle)
            for i, (name, format, cycle) in enumerate(_core.tap_columns())}
_DEFAULT = ("num_gc", "heap_live", "heap_goal", "heap_alloc", "heap_inuse", "heap_idle",
            "heap_released", "mallocs", "frees")
_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000}


class Series(_Growing[Any]):
    """The figures of a `heap.record()` block."""

    __slots__ = ()


def _every_ns(every: Any) -> int:
    """0: each cycle."""
    if every == "cycle":
        return 0
    if isinstance(every, int) and not isinstance(every, bool):
        raise ValueError(f"record: each {every} allocations is not in this version, since the "
                         'fast path of an allocation tells nobody; "cycle" and a time ("1ms") are')
    if not isinstance(every, str):
        raise TypeError(f'record: every is "cycle" or a time ("1ms"), not {every!r}')
    m = re.fullmatch(r"(\d{1,9})(?:\.(\d{1,9}))?(ns|us|µs|ms|s)", every)
    if m is None:
        raise ValueError(f'record: every is "cycle" or a time ("1ms"), not {every!r}')
    whole, part, unit = m.groups()
    part = part or ""
    ns, rest = divmod(int(whole + part) * _UNITS[unit], int(10 ** len(part)))
    if rest or not 1_000 <= ns <= 10**15:
        raise ValueError(f'record: every must be whole ns, from "1us" to "1000000s", not {every!r}')
    return ns


def record(heap: Heap, every: Any, columns: tuple[str, ...]) -> AbstractContextManager[Table[Any]]:
    """Heap.record."""
    every_ns = _every_ns(every)
    names = columns or _DEFAULT
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"record: a column's name is a str, not {type(name).__name__!r}")
        if name not in _FIGURES:
            raise ValueError(f"record: no column {name!r}; there are: {', '.join(_FIGURES)}")
        if every_ns and _FIGURES[name][2]:
            raise ValueError(f'record: only each "cycle" has {name!r}')
    if len(set(names)) < len(names):
        raise ValueError(f"record: a column stands twice in {names}")
    numbers = tuple(_FIGURES[name][0] for name in names)
    fields = ("t_ns", *names)
    formats = ("q", *(_FIGURES[name][1] for name in names))

    def convert(raw: tuple[bytes, ...]) -> dict[str, Column]:
        return {name: Column(data, format) for name, data, format in zip(fields, raw, formats)}

    return _Block(lambda: Series(fields, _Tap(heap, 0, numbers, every_ns), convert))
