"""Histories that nobody recorded: of columns of one's own, of a few numbers."""

from __future__ import annotations

import functools
import os
import re
import tempfile
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from . import _core
from .aliases import Path, Size
from .errors import TraceError
from .tracewrite import Writer

if TYPE_CHECKING:
    from .trace import Trace

__all__ = ["Workload"]

ROWS = 1 << 16  # objects between two looks at signals
MAX_OBJECTS = 1_000_000  # of a workload; more are lumped together
LONG_SHARE = 0.1  # of the bytes that a workload allocates, that replace live ones
STARTUP = 0.1  # of its seconds, in which its live objects are made
SHORT_NS = 1e5  # mean life of the others
PROCS = 4  # of a workload that doesn't know better


# ---- columns ---------------------------------------------------------------------


def _numbers(values: Any, name: str) -> array[int]:
    """A column as signed 64-bit numbers: from a buffer, an array or a sequence."""
    try:
        view = memoryview(values)
    except TypeError:
        view = None
    if view is not None and view.ndim != 1:
        raise ValueError(f"from_columns: {name} has {view.ndim} dimensions, not 1")
    try:
        if view is None:
            numbers = list(values)
        elif view.format in ("q", "l") and view.itemsize == 8:
            out = array("q")
            out.frombytes(view.cast("B") if view.contiguous else view.tobytes())
            return out
        else:
            numbers = view.tolist()
        if any(isinstance(v, float) for v in numbers[:1]):
            numbers = [int(v) for v in numbers]
        return array("q", numbers)
    except (TypeError, NotImplementedError):
        raise TypeError(f"from_columns: {name} must be numbers, not "
                        f"{type(values).__name__!r}") from None
    except OverflowError:
        raise ValueError(f"from_columns: {name} has a number that is no 64-bit integer") from None
    except ValueError:  # NaN
        raise ValueError(f"from_columns: {name} has a value that is no number") from None


def _header(s: Mapping[str, Any], source: str, run: Mapping[str, Any],
            names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "ops": list(s["counts"]),
        "class_to_size": [0, *(c[0] for c in _core.size_classes())][-68:],
        "types": [{"name": names.get(t, f"type {t}") if i else "", "size": size,
                   "ptrdata": ptrdata} for i, (t, size, ptrdata) in enumerate(s["types"])],
        "counts": s["counts"],
        "anomalies": {},
        "source": source,
        "forced_cycles": [],
        "bytes": {"alloc": s["alloc_bytes"], "peak_occupied": s["peak_bytes"],
                  "end_occupied": s["end_bytes"]},
        "duration_ns": s["last_ns"],
        "run": {"GOMAXPROCS": max(s["procs"], 1), **run},
    }


def _write(engine: _core.History, source: str, run: Mapping[str, Any],
           steps: Iterator[None], names: Mapping[int, str] = {}) -> int:
    """Runs steps, each of which leaves bytes to take; a descriptor of the GHTRACE1 file,
    which has no name."""
    writer = Writer(((name, enc) for name, enc, _ in engine.summary()["columns"]), level=1)
    try:
        for _ in steps:
            writer.add(engine.take())
        s = engine.summary()
        with tempfile.TemporaryFile() as out:
            writer.finish(out, _header(s, source, run, names),
                          [count for _, _, count in s["columns"]])
            out.flush()
            return os.dup(out.fileno())
    finally:
        writer.close()


def from_columns(size: Any, birth_ns: Any, death_ns: Any, scan: Any, type_id: Any,
                 p: Any, stacks: Size, globals_: Size) -> int:
    """See Trace.from_columns; a descriptor of the file."""
    roots: dict[str, int] = {}
    for k, v in (("stacks", stacks), ("globals", globals_)):
        roots[k] = _core.size(v, f"from_columns: {k}")
        if not 0 <= roots[k] < 1 << 47:
            raise ValueError(f"from_columns: {k} {roots[k]} is not in 0..2**47")
    given = {"size": size, "birth_ns": birth_ns, "death_ns": death_ns, "scan": scan,
             "type_id": type_id, "p": p}
    columns = {k: _numbers(v, k) if v is not None else array("q") for k, v in given.items()}
    for k in ("size", "birth_ns", "death_ns"):
        if given[k] is None:
            raise TypeError(f"from_columns: {k} must be numbers, not None")
    n = len(columns["size"])
    for k, column in columns.items():
        if given[k] is not None and len(column) != n:
            raise ValueError(f"from_columns: {k} has {len(column)} rows, size has {n}")
    births = columns["birth_ns"]
    rows: list[int] | range = range(n)
    if any(births[i] > births[i + 1] for i in range(n - 1)):
        rows = sorted(rows, key=births.__getitem__)
        columns = {k: array("q", (c[i] for i in rows)) if c else c
                   for k, c in columns.items()}
    engine = _core.History()

    def steps() -> Iterator[None]:
        for i in range(0, n, ROWS):
            wrong = engine.add(*(c[i:i + ROWS] for c in (
                columns[k] for k in ("size", "scan", "birth_ns", "death_ns", "type_id", "p"))))
            if wrong is not None:
                row = rows[i + wrong[0]]
                at = {k: c[i + wrong[0]] for k, c in columns.items() if c}
                raise ValueError(f"from_columns: row {row}: {wrong[1]} ("
                                 + ", ".join(f"{k} {v}" for k, v in at.items()) + ")")
            yield
        while engine.end((1 << 60), ROWS):
            yield
        yield

    run = {"Metrics": {"/gc/scan/globals:bytes": roots["globals"],
                       "/gc/scan/stack:bytes": roots["stacks"]}}
    return _write(engine, "columns", run, steps())


# ---- a workload ---------------------------------------------------------------------

_GC = re.compile(
    r"^gc (\d+) @([\d.]+)s \d+%: .*, (\d+)->(\d+)->(\d+) MB, (\d+) MB goal, "
    r"(?:(\d+) MB stacks, (\d+) MB globals, )?(\d+) P( \(forced\))?")


def is_gctrace(path: Path) -> bool:
    """Whether the file begins like a program's log with lines of gctrace in it."""
    if os.path.isdir(path):
        return False
    with open(os.fspath(path), "rb") as f:
        start = f.read(1 << 16)
    return not start.startswith((b"GHTRACE1", b"go 1.", b"\x1f\x8b")) \
        and re.search(rb"^gc \d+ @[\d.]+s \d+%: ", start, re.M) is not None


@dataclass(frozen=True, kw_only=True, eq=True)
class Workload:
    """A steady service in a few numbers, for who has no recording. Sizes in bytes or as
    "64MiB", as Go counts them, in slots; alloc_rate is a second's, scan_share the share of the bytes that lie in
    objects with pointers, other what the process holds beside heap, stacks and globals.

    What is made of it: a start-up of a tenth of the seconds, before them, in which live
    bytes come to be; then alloc_rate, of which a tenth replaces live objects, each as
    likely as another, and the rest dies after 0.1 ms on average. Sizes are exponential
    around mean_size. There is no burst and no trend in it, and no more than a million
    objects: of more, many are lumped to one of their size.

    >>> from goheap import Workload
    >>> with Workload(live="8MiB", alloc_rate="64MiB", seconds=1).trace() as t:
    ...     t.info["source"], 60e6 < t.info["bytes"]["alloc"] < 100e6
    ('workload', True)
    """

    live: Size
    alloc_rate: Size
    mean_size: Size = 64
    scan_share: float = 0.7
    stacks: Size = 0
    globals: Size = 0
    other: Size = 0
    seconds: float = 60.0
    _gogc: int | None = field(default=100, init=False, repr=False)
    _procs: int = field(default=PROCS, init=False, repr=False)

    def __post_init__(self) -> None:
        for name, low in (("live", 0), ("alloc_rate", 0), ("mean_size", 8), ("stacks", 0),
                          ("globals", 0), ("other", 0)):
            value = _core.size(getattr(self, name), f"Workload: {name}")
            if not low <= value < 1 << 47:
                raise ValueError(f"Workload: {name} {value} is not in {low}..2**47")
            object.__setattr__(self, name, value)
        for name, low_f, high in (("scan_share", 0.0, 1.0), ("seconds", 0.0, 1e8)):
            x = getattr(self, name)
            if isinstance(x, bool) or not isinstance(x, (int, float)):
                raise TypeError(f"Workload: {name} must be a number, not {type(x).__name__!r}")
            if not low_f <= x <= high:
                raise ValueError(f"Workload: {name} {x!r} is not in {low_f:g}..{high:g}")
            object.__setattr__(self, name, float(x))

    @classmethod
    def from_gctrace(cls, path: Path, /) -> Self:
        """The workload behind a log of GODEBUG=gctrace=1: the median of what marking found
        alive, the bytes allocated between the first and the last collection, stacks and
        globals, and as recorded settings the number of Ps and the GOGC that explains the
        goals.

        The log has whole megabytes: a heap of less than some 20 MB comes out coarse. It
        says nothing of object sizes, pointers and other memory: dataclasses.replace sets
        them. Lines of other kinds are passed over. TraceError: fewer than three
        collections.
        """
        rows = []
        with open(os.fspath(path), encoding="utf-8", errors="replace") as f:
            for line in f:
                m = _GC.match(line[:1000])
                if m is not None:
                    rows.append(tuple(float(x) if "." in x else int(x)
                                      for x in (g or "0" for g in m.groups()[:9])))
                    if any(x > 1 << 40 for x in rows[-1]):
                        rows.pop()
        if len(rows) < 3:
            raise TraceError(f"{len(rows)} lines of gctrace; three collections are needed",
                             os.fsdecode(path), 0)
        first, last = rows[0], rows[-1]
        # From the end of one mark to the next: what it left is what was alive.
        mb = sum(b[3] - a[4] for a, b in zip(rows, rows[1:]))
        seconds = last[1] - first[1]
        if not seconds > 0:
            raise TraceError("all collections at the same time", os.fsdecode(path), 0)
        import statistics  # brings decimal, which interpreters side by side can't share

        live = statistics.median(r[4] for r in rows)
        stacks, globals_ = (statistics.median(r[i] for r in rows) for i in (6, 7))
        made = cls(live=int(live * (1 << 20)), alloc_rate=int(max(mb, 0) / seconds * (1 << 20)),
                   stacks=int(stacks) << 20, globals=int(globals_) << 20, seconds=seconds)
        object.__setattr__(made, "_procs", min(max(int(last[8]), 1), 254))
        shares = [100 * (b[5] - a[4]) / (a[4] + b[6] + b[7]) for a, b in zip(rows, rows[1:])
                  if a[4] >= 4 and b[5] > a[4]]
        if shares:
            object.__setattr__(made, "_gogc", max(1, round(statistics.median(shares))))
        return made

    def trace(self, *, seed: int = 0) -> Trace:
        """The history as a Trace, to look at, save or replay; another seed, another
        history. It lies in a file without a name, about 8 bytes for each object."""
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise TypeError(f"seed must be an int, not {type(seed).__name__!r}")
        from .trace import Trace, TraceFile
        live, rate, mean = (int(x) for x in (self.live, self.alloc_rate, self.mean_size))
        total = live + rate * self.seconds
        lump = max(1, -(-int(total) // (mean * MAX_OBJECTS)))
        engine = _core.History(
            live=live, alloc_rate=float(rate), mean_size=float(mean * lump),
            scan_share=self.scan_share, long_share=LONG_SHARE, short_ns=SHORT_NS,
            startup_ns=int(self.seconds * STARTUP * 1e9) if live else 0,
            duration_ns=int(self.seconds * 1e9), procs=self._procs, seed=seed & ((1 << 64) - 1))

        def steps() -> Iterator[None]:
            while engine.work(ROWS):
                yield
            yield

        other, stacks, globals_ = (int(x) for x in (self.other, self.stacks, self.globals))
        run = {
            "GOGC": "off" if self._gogc is None else str(self._gogc),
            "GOMAXPROCS": self._procs,
            "lump": lump,
            "other_bytes": other + stacks + globals_,
            "Metrics": {"/gc/scan/globals:bytes": globals_, "/gc/scan/stack:bytes": stacks},
            "End": {"Sys": other + stacks + live, "HeapSys": live},
        }
        fd = _write(engine, "workload", run, steps())
        return Trace._of(TraceFile("workload", fd=fd), None)


@functools.lru_cache(maxsize=2)
def traced(workload: Workload) -> Trace:
    """The history of a workload, kept for the next replay of it."""
    return workload.trace()
