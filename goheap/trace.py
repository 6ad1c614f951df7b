"""Recorded histories: GHTRACE1 files, and what becomes one.

A GHTRACE1 file is 8 bytes of magic, the length of a JSON header, the header, and
one zlib stream for each column. Opening one reads the header only; columns are read
in pieces, so a file may be larger than memory. A Go execution trace is turned into
one on the way in, in a file without a name.
"""

from __future__ import annotations

import copy
import json
import os
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Self

from . import _core, gotrace, made, tracewrite
from .aliases import Path, Progress, Size
from .errors import TraceError
from .table import Column as TableColumn
from .table import Table
from .types import TypeInfo

__all__ = ["Trace"]

MAGIC = b"GHTRACE1"
PIECE = 1 << 17  # bytes, compressed and raw, that a reader handles at a time

# Types of objects that the recorder itself allocates.
RECORDER_TYPES = frozenset(
    ("runtime.traceFrame", "runtime.Frames", "runtime.untracedG")
)


@dataclass(frozen=True)
class Column:
    """One column, as the header says."""

    name: str
    enc: str
    count: int
    raw_bytes: int
    start: int  # offset in the file
    length: int  # bytes of the zlib stream


def _whole(value: object, limit: int = 1 << 63) -> bool:
    return type(value) is int and 0 <= value < limit


class TraceFile:
    """An open recording: its header, checked, and readers of its columns."""

    def __init__(self, path: str | os.PathLike[str], /, *, fd: int = -1,
                 named: bool = False) -> None:
        """fd, where given, is the file, and belongs to this object; path is its name."""
        self.path = os.fspath(path)
        if fd < 0:
            named = True
            fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        self._fd = fd
        self.named = named  # can be opened again by its path
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def reopened(self) -> TraceFile:
        """The same file once more, to be closed by itself. Reading moves no position."""
        again = copy.copy(self)
        again._fd = (os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
                     if self.named else os.dup(self._fd))
        return again

    def __enter__(self) -> TraceFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def error(self, message: str, offset: int = 0) -> TraceError:
        """A TraceError about this file."""
        return TraceError(message, self.path, offset)

    def read_at(self, offset: int, size: int) -> bytes:
        try:
            return os.pread(self._fd, size, offset)
        except IsADirectoryError:
            raise self.error("is a directory") from None

    def _read_header(self) -> None:
        size = os.fstat(self._fd).st_size
        start = self.read_at(0, 12)
        if start[:8] != MAGIC:
            raise self.error("not a GHTRACE1 recording or Go execution trace")
        if len(start) < 12:
            raise self.error("the file ends before its header", len(start))
        length = int.from_bytes(start[8:12], "little")
        base = 12 + length
        if base > size:
            raise self.error("the file ends inside its header", size)
        try:
            header = json.loads(self.read_at(12, length).decode("utf-8"))
        except (ValueError, RecursionError) as e:
            raise self.error(f"the header is not JSON: {e}", 12) from None
        if not isinstance(header, dict):
            raise self.error("the header is not a JSON object", 12)
        for key, want in (("format", "GHTRACE1"), ("compression", "zlib")):
            if header.get(key) != want:
                raise self.error(f'header: {key} is not "{want}"', 12)
        self.header: dict[str, Any] = header
        self.size = size
        self._read_tables(base)

    def _list(self, key: str) -> list[Any]:
        value = self.header.get(key)
        if not isinstance(value, list):
            raise self.error(f"header: no list {key}", 12)
        return value

    def _read_tables(self, base: int) -> None:
        ops = self._list("ops")
        if not all(isinstance(o, str) and "\0" not in o for o in ops):
            raise self.error("header: an op is not a name", 12)
        self.ops: tuple[str, ...] = tuple(ops)

        columns = []
        for c in self._list("columns"):
            if not isinstance(c, dict):
                raise self.error("header: a column is not an object", 12)
            name, enc = c.get("name"), c.get("enc")
            if not isinstance(name, str) or not isinstance(enc, str):
                raise self.error("header: a column without name or encoding", 12)
            numbers: list[Any] = [
                c.get(k) for k in ("count", "raw_bytes", "offset", "bytes")]
            if not all(map(_whole, numbers)):
                raise self.error(f"header: column {name} has a bad number", 12)
            count, raw, offset, length = numbers
            if base + offset + length > self.size:
                raise self.error(
                    f"the file ends inside column {name}", self.size
                )
            if raw < count:
                raise self.error(f"header: column {name} has fewer bytes than "
                                 "values", 12)
            columns.append(Column(name, enc, count, raw, base + offset, length))
        self.columns: tuple[Column, ...] = tuple(columns)

        classes = self._list("class_to_size")
        if not all(_whole(s, 1 << 32) for s in classes):
            raise self.error("header: a size class is not a number", 12)
        self.class_to_size: tuple[int, ...] = tuple(classes)

        types: list[tuple[str, int, int, bool]] = []
        for t in self._list("types"):
            if (
                not isinstance(t, dict)
                or not isinstance(t.get("name"), str)
                or not _whole(t.get("size"))
                or not _whole(t.get("ptrdata"))
            ):
                raise self.error(f"header: type {len(types)} is not sound", 12)
            name = t["name"].encode("utf-8", "replace").decode()
            name = name.replace("\0", "?")
            types.append((name, t["size"], t["ptrdata"], name in RECORDER_TYPES))
        self.types: tuple[tuple[str, int, int, bool], ...] = tuple(types)

    @property
    def forced_cycles(self) -> list[int] | None:
        """The collections that were asked for, by number from 0; None: not known."""
        value = self.header.get("forced_cycles")
        if isinstance(value, list) and all(_whole(v, 1 << 32) for v in value):
            return value
        return None

    def run(self, *keys: str) -> int | str | None:
        """A figure of the recorded run, e.g. run("End", "HeapSys"); None if the
        header doesn't have it."""
        value: Any = self.header.get("run")
        for key in keys:
            if not isinstance(value, dict):
                return None
            value = value.get(key)
        if isinstance(value, str):
            return value
        return int(value) if _whole(value) else None

    def run_number(self, *keys: str) -> int:
        """The same for a number; 0 if the header doesn't have it."""
        value = self.run(*keys)
        return value if isinstance(value, int) else 0

    def reader(self, index: int) -> ColumnReader:
        return ColumnReader(self, self.columns[index])


class ColumnReader:
    """The raw bytes of one column, piece by piece."""

    def __init__(self, trace: TraceFile, column: Column) -> None:
        self.column = column
        self._trace = trace
        self._zlib = zlib.decompressobj()
        self._at = column.start
        self._left = column.length
        self._raw = 0  # bytes given out
        self.ended = False

    def read(self, limit: int = PIECE) -> tuple[bytes, bool]:
        """At most limit further bytes, and whether they are the last."""
        z = self._zlib
        name = self.column.name
        while True:
            data = z.unconsumed_tail
            if not data and self._left:
                data = self._trace.read_at(self._at, min(self._left, PIECE))
                if not data:
                    raise self._trace.error(
                        f"the file ends inside column {name}", self._at
                    )
                self._at += len(data)
                self._left -= len(data)
            try:
                out = z.decompress(data, limit)
            except zlib.error as e:
                raise self._trace.error(
                    f"column {name} is damaged: {e}", self._at
                ) from None
            self._raw += len(out)
            if z.eof:
                if z.unused_data or self._left:
                    raise self._trace.error(
                        f"column {name} goes on after its end", self._at
                    )
                if self._raw != self.column.raw_bytes:
                    break
                self.ended = True
                return out, True
            if out:
                if self._raw > self.column.raw_bytes:
                    break
                return out, False
            if not data:
                raise self._trace.error(
                    f"column {name} is cut off", self._at
                )
        raise self._trace.error(
            f"column {name} has {self._raw} bytes, the header says "
            f"{self.column.raw_bytes}",
            self._at,
        )


# ---- opening whatever it is -----------------------------------------------------


def _is_go(start: bytes) -> bool:
    return start[:5] == b"go 1." or start[:2] == gotrace.GZIP


def open_file(path: Path, progress: Progress | None = None) -> TraceFile:
    """A recording of either kind; a Go execution trace is converted first."""
    path = os.fspath(path)
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        start = os.pread(fd, 8, 0)
    except IsADirectoryError:
        start = b""  # TraceFile says so
    except BaseException:
        os.close(fd)
        raise
    if not _is_go(start):
        return TraceFile(path, fd=fd, named=True)
    name = os.fsdecode(path)
    with os.fdopen(fd, "rb") as file, tempfile.TemporaryFile() as out:
        gotrace.convert(file, name, out, progress=progress, level=1)
        out.flush()
        return TraceFile(name, fd=os.dup(out.fileno()))


@contextmanager
def open_source(source: Path | Trace | made.Workload, progress: Progress | None = None
                ) -> Iterator[TraceFile]:
    """The open recording of what is to be replayed; closed afterwards only if opened
    here."""
    if isinstance(source, Trace):
        yield source._opened()
        return
    if isinstance(source, made.Workload):
        yield made.traced(source)._opened()
        return
    file = open_file(source, progress)
    try:
        yield file
    finally:
        file.close()


class TraceEvent(NamedTuple):
    """One event of a history. -1: it has none; p -1: on no P."""

    t_ns: int
    op: str  # "alloc", "free", ...: csrc/design/trace-format.md
    p: int
    object: int  # number of the object, in the order of birth
    size: int    # of its slot, bytes
    type: str | None
    goroutine: int
    value: int   # heap_live, heap_goal, gomaxprocs: that; span_*: pages; stack_*: bytes


def _whole_column(file: TraceFile, index: int) -> bytes:
    reader, pieces = file.reader(index), []
    while not reader.ended:
        pieces.append(reader.read()[0])
    return b"".join(pieces)


def _events(file: TraceFile) -> Table[TraceEvent]:
    index = {c.name: i for i, c in enumerate(file.columns) if c.count}
    used = ("ev.op", "ev.t", "ev.p", "obj.spanclass", "obj.pages", "obj.type", "obj.g",
            "tiny.back", "free.back", "span.pages", "stack.order", "val")
    columns = {name: _whole_column(file, index[name]) for name in used if name in index}
    n = file.columns[index["ev.op"]].count if "ev.op" in index else 0
    rows = _core.trace_rows(file.ops, columns, n, len(file.types))
    if len(rows) == 3:
        name, offset, message = rows
        raise file.error(f"{message} (byte {offset} of the column)",
                         file.columns[index[name]].start if name in index else 0)
    t, op, p, obj, size, kind, g, value = rows
    return Table(TraceEvent, {
        "t_ns": TableColumn(t, "q"), "op": TableColumn(op, "i", file.ops),
        "p": TableColumn(p, "i"), "object": TableColumn(obj, "q"),
        "size": TableColumn(size, "q"),
        "type": TableColumn(kind, "i", tuple(x[0] for x in file.types)),
        "goroutine": TableColumn(g, "q"), "value": TableColumn(value, "q")})


class Trace:
    """A recorded history: a Go execution trace (1.23 to 1.26), GHTRACE1, or columns of
    your own. Read in pieces, never loaded whole.

    info is what the recording says of itself: settings and figures of the recorded run,
    counts of events, duration_ns, forced_cycles (the cycles, from 0, that the program
    asked for). repairs counts by kind what had to be put right; empty for a sound one.

    >>> import importlib.resources
    >>> from goheap import Trace
    >>> folder = importlib.resources.files("goheap") / "data"
    >>> with Trace.open(folder / "compile-json.gogc20.ghtrace") as t:
    ...     t.info["counts"]["gc_end"], t.info["GOGC"], t.repairs
    (32, '20', {})
    """

    __slots__ = ("_file", "_path", "__weakref__")
    _file: TraceFile | None
    _path: str | None

    def __init__(self) -> None:
        raise TypeError("Trace: make one with Trace.open or Trace.from_columns")

    @classmethod
    def _of(cls, file: TraceFile, path: str | None) -> Self:
        self = cls.__new__(cls)
        self._file, self._path = file, path
        return self

    @classmethod
    def open(cls, path: Path, /, *, progress: Progress | None = None) -> Self:
        """Opens a GHTRACE1 file or a Go execution trace, gzip or not. A Go trace is
        converted first: progress is called with (bytes read, bytes in all).

        OSError: it can't be read. TraceError: damaged, not a recording, or one of a
        version that isn't read, with .path and .offset (of the unzipped bytes).
        """
        if progress is not None and not callable(progress):
            raise TypeError(f"progress must be callable or None, not "
                            f"{type(progress).__name__!r}")
        return cls._of(open_file(path, progress), os.fsdecode(path))

    @classmethod
    def from_columns(cls, *, size: Any, birth_ns: Any, death_ns: Any, scan: Any = None,
                     type_id: Any = None, p: Any = None, stacks: Size = 0,
                     globals: Size = 0) -> Self:
        """A history of your own, one row an object, in any order: bytes asked for, time of
        birth, time of death (-1: never), bytes up to the end of the last pointer (0, as
        without scan: none), the number of its type, the P it is made on. Each column is
        read through the buffer protocol (an array, numpy) or from a sequence. stacks and
        globals are what each collection scans beside the heap: bytes, or "1MiB".

        Slots and tiny blocks are what Go's allocator would give. Deaths are exact here,
        where those of a recording are known between two collections. It is held in a
        file without a name. ValueError: a number out of its range, with the row.

        >>> from goheap import Trace
        >>> with Trace.from_columns(size=[64, 8], birth_ns=[0, 10], death_ns=[20, -1]) as t:
        ...     t.info["counts"]
        {'alloc': 2, 'tiny': 0, 'dead': 1}
        """
        fd = made.from_columns(size, birth_ns, death_ns, scan, type_id, p, stacks, globals)
        return cls._of(TraceFile("columns", fd=fd), None)

    def _say(self, run: Mapping[str, Any]) -> None:
        """Adds to what the recording says of its run. It is then no longer what the file at
        its path is."""
        file = self._opened()
        old = file.header.get("run")
        file.header = {**file.header, "run": {**(old if isinstance(old, dict) else {}), **run}}
        self._path = None

    def _opened(self) -> TraceFile:
        if self._file is None:
            raise ValueError("Trace: it is closed")
        return self._file

    @property
    def info(self) -> Mapping[str, Any]:
        """Settings and figures of the recorded run, as far as it said."""
        h = self._opened().header
        run = h.get("run")
        keys = ("source", "generations", "source_trace_bytes", "duration_ns", "counts",
                "bytes", "forced_cycles", "note", "info")
        known = {k: h[k] for k in keys if k in h}
        return MappingProxyType({**known, **(run if isinstance(run, dict) else {})})

    @property
    def repairs(self) -> dict[str, int]:
        """How often each kind of repair was made."""
        found = self._opened().header.get("anomalies")
        return {str(k): v for k, v in found.items() if isinstance(v, int)} \
            if isinstance(found, dict) else {}

    @property
    def types(self) -> tuple[TypeInfo, ...]:
        """The types of the objects, number 0 for those without. A recording has no masks,
        only where the last pointer ends: gcmask is all ones up to there."""
        return tuple(TypeInfo(name, size, 8 if ptrdata else 1, ptrdata,
                              _mask(ptrdata), ())
                     for name, size, ptrdata, _ in self._opened().types)

    @property
    def events(self) -> Table[TraceEvent]:
        """Every event, a row each, in the order of time. It is made anew each time and
        holds all of them, 52 bytes a row: for histories that fit into memory."""
        return _events(self._opened())

    def save(self, path: Path, /) -> None:
        """Writes it as GHTRACE1. The file appears when it is complete."""
        file = self._opened()

        def write(out: Any) -> None:
            at = 0
            while data := file.read_at(at, 1 << 17):
                out.write(data)
                at += len(data)

        tracewrite.replace(path, write)

    def close(self) -> None:
        """Lets go of the file; again does nothing."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def __enter__(self) -> Self:
        self._opened()
        return self

    def __exit__(self, t: type[BaseException] | None, v: BaseException | None,
                 tb: TracebackType | None, /) -> None:
        self.close()

    def __del__(self) -> None:
        if os is not None and getattr(self, "_file", None) is not None:
            self.close()  # at the interpreter's end the system does

    def __reduce__(self) -> tuple[Any, ...]:
        if self._path is None:
            raise TypeError("Trace: one made of columns must be saved before it is pickled")
        return _reopen, (self._path,)

    def __repr__(self) -> str:
        if self._file is None:
            return "<Trace, closed>"
        counts = self._file.header.get("counts")
        n = counts.get("alloc", 0) if isinstance(counts, dict) else 0
        return f"<Trace of {n} allocations, {self._path or 'made of columns'}>"


def convert(path: Path, out: Path, *, stats: Mapping[str, Any] | None = None,
            note: str = "", progress: Progress | None = None) -> None:
    """Turns the Go execution trace at path into a GHTRACE1 file at out; stats is what is
    known of the recorded run. The file appears when it is complete."""
    with open(path, "rb") as file:
        if not _is_go(os.pread(file.fileno(), 8, 0)):
            raise TraceError("not a Go execution trace", os.fsdecode(path), 0)
        tracewrite.replace(out, lambda to: gotrace.convert(
            file, os.fsdecode(path), to, stats=stats, note=note, progress=progress))


def _reopen(path: str) -> Trace:
    return Trace.open(path)


def _mask(ptrdata: int) -> bytes:
    words = min(ptrdata, 1 << 20) // 8
    return ((1 << words) - 1).to_bytes((words + 7) // 8, "little")
