"""For tests of your own: strategies, a state machine, a fixture, and failing OS calls.

The strategies and HeapMachine need hypothesis, which is imported when the first of them
is used. For the fixture put `pytest_plugins = ["goheap.testing"]` into conftest.py.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from . import Heap, _core
from .errors import HeapCorruptionError
from .script import Script
from .settings import Policy
from .stats import size_classes
from .types import (Embed, Ptr, Struct, bool_, fixed, float32, float64, int8, int16, int32,
                    int64, sizeof, struct, uint8, uint16, uint32, uint64, uintptr)

if TYPE_CHECKING:
    from ._machine import HeapMachine

__all__ = ["HeapMachine", "fault_sweep", "heap", "policies", "scripts", "structs"]

_SCALARS = (bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64, uintptr, float32,
            float64)
_FOREVER = (1 << 64) - 1


def __getattr__(name: str) -> Any:
    if name == "HeapMachine":
        from ._machine import HeapMachine

        globals()[name] = HeapMachine
        return HeapMachine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _count(value: int, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
    return value


# ---- strategies ---------------------------------------------------------------------


def _shape(draw: Any, max_words: int) -> list[tuple[str, Any]]:
    """Fields of a struct whose words are pointers where a drawn mask says so."""
    from hypothesis import strategies as st

    sizes = sorted({c.size // 8 for c in size_classes() if c.size <= 8 * max_words})
    words = draw(st.integers(0, max_words) | st.sampled_from([0, *sizes]))
    mask = draw(st.sampled_from(["none", "all", "first", "last", "every other", "any"]))
    if mask == "any":
        bits = draw(st.integers(0, (1 << words) - 1))
    else:
        bits = {"none": 0, "all": (1 << words) - 1, "first": min(words, 1),
                "last": 1 << words >> 1, "every other": int("01" * words or "0", 2)}[mask]
        bits &= (1 << words) - 1
    fields: list[tuple[str, Any]] = []
    at = 0
    while at < words:
        end = at
        while end < words and bits >> end & 1 == bits >> at & 1:
            end += 1
        kind = Ptr if bits >> at & 1 else uintptr
        fields.append((f"w{at}", kind if end == at + 1 else fixed(kind, end - at)))
        at = end
    return fields


def _mixture(draw: Any, max_words: int, depth: int) -> list[tuple[str, Any]]:
    """Fields of all kinds, as many as fit."""
    from hypothesis import strategies as st

    plain = st.sampled_from((*_SCALARS, Ptr, Ptr["S"]))  # type: ignore[misc]
    fields: list[tuple[str, Any]] = []
    left = 8 * max_words
    for i in range(draw(st.integers(0, 8))):
        how = draw(st.sampled_from(["plain", "plain", "fixed", "embed", "array"]))
        if how in ("embed", "array") and depth > 0:
            inner = _struct(draw, max_words // 3, depth - 1)
            what = (Embed[inner] if how == "embed"  # type: ignore[misc]
                    else fixed(inner, draw(st.integers(0, 3))))
        elif how == "fixed":
            what = fixed(draw(st.sampled_from((*_SCALARS, Ptr))), draw(st.integers(0, 6)))
        else:
            what = draw(plain)
        # A struct of this field alone: its size and alignment bound what it adds.
        left -= sizeof(struct("S", [("f", what)])) + 7
        if left < 0:
            break
        fields.append((f"f{i}", what))
    return fields


def _struct(draw: Any, max_words: int, depth: int) -> Any:
    from hypothesis import strategies as st

    if draw(st.booleans()):
        fields = _shape(draw, max_words)
    else:
        fields = _mixture(draw, max_words, depth)
    return struct("S", fields)


def structs(*, max_words: int = 64) -> Any:
    """Strategy: struct classes of every size class and pointer shape.

    max_words bounds the size, in words of 8 bytes. Fields are of every kind, structs and
    arrays inside too; pointers are plain, or point at the class itself.
    """
    from hypothesis import strategies as st

    _count(max_words, "max_words", 0)
    return st.composite(lambda draw: _struct(draw, max_words, 2))()


def policies() -> Any:
    """Strategy: sound policies."""
    from hypothesis import strategies as st

    least = st.sampled_from([0, "64KiB", "4MiB"]) | st.integers(0, 1 << 24)
    marks = st.sampled_from([("objects", "object"), ("greentea", "object"), ("greentea", "dense")])
    sizes = st.sampled_from([*range(8, 1025, 8), *range(1152, 32769, 128)])
    tables = st.sets(sizes, max_size=60).map(lambda t: tuple(sorted(t | {16, 512, 32768})))
    rest = st.builds(Policy, tiny=st.booleans(), page_cache=st.booleans(),
                     size_classes=st.none() | tables,
                     barrier=st.sampled_from(["hybrid", "deletion"]),
                     sweep=st.sampled_from([None, "lazy", "eager"]),
                     scavenger=st.sampled_from(["go", "off"]), min_heap=least,
                     ballast=st.sampled_from([0, 0, 1, "1MiB", "20MiB"]))
    return st.builds(lambda m, p: p.replace(marker=m[0], scan_work=m[1]), marks, rest)


class _Object:
    """What a script knows of an object that it made: its pointer words."""

    def __init__(self, words: int, pointers: range) -> None:
        self.words, self.pointers = words, pointers
        self.holds: dict[int, _Object | None] = {}


class _Scripts:
    """Writes one script; slots is what each slot holds, as far as it is known."""

    def __init__(self, draw: Any) -> None:
        from hypothesis import strategies as st

        self.draw, self.st = draw, st
        n = draw(st.sampled_from([1, 4, 30, 500]))
        self.procs = draw(st.integers(1, 3))
        self.slots: list[_Object | None] = [None] * n
        self.types: list[tuple[int, range]] = []
        self.labels = 0
        self.lines = ["goheap-script 1", f"slots {n}"]
        if self.procs > 1:
            self.lines.append(f"procs {self.procs}")

    def number(self, least: int, most: int) -> int:
        return int(self.draw(self.st.integers(least, most)))

    def slot(self) -> int:
        return self.number(0, len(self.slots) - 1)

    def held(self) -> int | None:
        """A slot that holds an object with a pointer word."""
        there = [i for i, o in enumerate(self.slots) if o is not None and len(o.pointers)]
        return there[self.number(0, len(there) - 1)] if there else None

    def mask(self, words: int) -> tuple[str, range]:
        kind = self.draw(self.st.sampled_from(["none", "all", "part"]))
        if kind == "none" or words == 0:
            return "none", range(0)
        if kind == "all":
            return "all", range(words)
        first = self.number(0, words - 1)
        step = self.number(1, 3)
        return f"{first}-{words - 1}/{step}", range(first, words, step)

    def size(self) -> int:
        small = self.st.integers(0, 128) | self.st.integers(0, 4000)
        return int(self.draw(small | self.st.sampled_from([32760, 32768, 32769, 100_000])))

    def noscan(self) -> None:
        i, size = self.slot(), self.size()
        self.lines.append(f"alloc {i} {size} noscan")
        self.slots[i] = _Object(size // 8, range(0))

    def scan(self) -> None:
        i, words = self.slot(), self.number(1, 600)
        text, pointers = self.mask(words)
        self.lines.append(f"alloc {i} {8 * words} ptrs={text}")
        self.slots[i] = _Object(words, pointers)

    def typed(self) -> None:
        if not self.types or self.number(0, 2) == 0:
            words = self.number(1, 64)
            text, pointers = self.mask(words)
            self.lines.append(f"type t{len(self.types)} {8 * words} ptr={text}")
            self.types.append((words, pointers))
        t = self.number(0, len(self.types) - 1)
        words, pointers = self.types[t]
        i = self.slot()
        if self.number(0, 1):
            self.lines.append(f"alloctype {i} t{t}")
        else:
            n = self.number(1, 70)
            self.lines.append(f"allocarray {i} t{t} {n}")
            words *= n
        self.slots[i] = _Object(words, pointers)

    def loop(self) -> None:
        base = self.slot()
        n = self.number(0, len(self.slots) - base)
        size = self.size()
        self.lines += [f"repeat i {n}", f"alloc {base}+$i {size} noscan", "end"]
        self.slots[base:base + n] = [_Object(size // 8, range(0))] * n

    def drop(self) -> None:
        i = self.slot()
        self.lines.append(f"drop {i}")
        self.slots[i] = None

    def store(self) -> None:
        i = self.held()
        if i is not None:
            o = self.slots[i]
            assert o is not None
            word = o.pointers[self.number(0, len(o.pointers) - 1)]
            j = self.slot()
            nil = self.number(0, 3) == 0
            self.lines.append(f"store {i}.{word} {'nil' if nil else j}")
            o.holds[word] = None if nil else self.slots[j]

    def load(self) -> None:
        i, j = self.slot(), self.held()
        if j is not None:
            o = self.slots[j]
            assert o is not None
            word = o.pointers[self.number(0, len(o.pointers) - 1)]
            self.lines.append(f"load {i} {j}.{word}")
            self.slots[i] = o.holds.get(word)

    def random(self) -> None:
        base = self.slot()
        n = self.number(1, len(self.slots) - base)
        self.lines.append(f"random {self.number(0, 999)} {self.number(1, 300)} "
                          f"sizes=u:1-{self.number(1, 900)} base={base} live={n} "
                          f"scan={self.number(0, 100)} link={self.number(0, 100)}")
        # What they hold now depends on the draws of the script.
        self.slots[base:base + n] = [None] * n

    def settings(self) -> None:
        self.lines.append(self.draw(self.st.sampled_from(
            ["gc", "gogc off", f"gogc {self.number(1, 400)}", "freeos",
             f"onp {self.number(0, self.procs - 1)}" if self.procs > 1 else "gc"])))

    def look(self) -> None:
        self.labels += 1
        self.lines.append(self.draw(self.st.sampled_from(
            [f"stats l{self.labels}", f"peek l{self.labels}",
             f"addr l{self.labels} 0 {len(self.slots)}",
             f"addrhash l{self.labels} 0 {len(self.slots)}"])))

    def write(self, max_ops: int) -> Script:
        steps = [self.noscan, self.scan, self.typed, self.loop, self.drop, self.store, self.load,
                 self.random, self.settings, self.look]
        for step in self.draw(self.st.lists(self.st.sampled_from(steps), max_size=max_ops // 3)):
            step()
        return Script("\n".join(self.lines) + "\n", title="drawn")


def scripts(*, max_ops: int = 200) -> Any:
    """Strategy: scripts that run. max_ops bounds their lines, header not counted."""
    from hypothesis import strategies as st

    _count(max_ops, "max_ops", 0)
    return st.composite(lambda draw: _Scripts(draw).write(max_ops))()


# ---- failing OS calls -----------------------------------------------------------------


def _sound(heaps: list[Heap], note: str) -> None:
    for h in heaps:
        try:
            h.verify()
        except HeapCorruptionError as e:
            e.add_note(note)
            raise


def _failing(scenario: Callable[[], object], nth: int, count: int) -> bool:
    """Runs scenario with count OS calls failing from number nth on; whether one was made."""
    note = f"with OS call {nth + 1} failing, {'and all after it' if count > 1 else 'once'}"
    before = _core.live_heaps()
    known = {id(h) for h in before}
    refused: MemoryError | None = None
    _core.fault_begin(nth, count)
    try:
        scenario()
    except MemoryError as e:
        # Kept until the heaps have been looked at: its frames hold those that the
        # scenario didn't close.
        refused = e
    except BaseException as e:
        e.add_note(note)
        raise
    finally:
        calls = _core.fault_end()
    failed = sum(n for _, n in calls.values())
    if refused is not None and failed == 0:
        raise refused
    _sound([h for h in _core.live_heaps() if id(h) not in known], note)
    return failed > 0


def fault_sweep(scenario: Callable[[], object], /) -> int:
    """Run it with the 1st, 2nd, 3rd … OS call failing, until none does; how many.

    Each call fails once, and in a second run with all calls after it. Counted are the
    calls for memory of heaps that the scenario makes, those of scripts and replays too.
    A run must succeed or raise a MemoryError (HeapMemoryError is one), and the heaps that
    it leaves open must verify; anything else goes through, with a note that says which
    call failed.

    >>> def scenario():
    ...     with Heap(gogc=20) as heap:
    ...         kept = [heap.alloc("1MiB") for _ in range(9)]
    ...         heap.collect()
    >>> fault_sweep(scenario) > 10
    True
    """
    if not callable(scenario):
        raise TypeError(f"fault_sweep: scenario must be callable, not {type(scenario).__name__!r}")
    n = 0
    while _failing(scenario, n, 1):
        _failing(scenario, n, _FOREVER)
        n += 1
    return n


# ---- pytest ------------------------------------------------------------------------------


def heap() -> Iterator[Heap]:
    """pytest fixture: a heap, verified and closed at the end."""
    with Heap() as h:
        yield h
        if not h.closed:
            h.verify()


try:
    import pytest as _pytest
except ModuleNotFoundError:
    pass
else:
    heap = _pytest.fixture(heap)
