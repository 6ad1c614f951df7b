"""GHTRACE1 files: the allocation history of a Go program, in columns.

A file is 8 bytes of magic, the length of a JSON header, the header, and one
zlib stream for each column. Opening one reads the header only; columns are read
in pieces, so a file may be larger than memory.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass
from typing import Any

from .errors import TraceError

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

    def __init__(self, path: str | os.PathLike[str], /) -> None:
        self.path = os.fspath(path)
        self._fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

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
            raise self.error("not a GHTRACE1 recording")
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
