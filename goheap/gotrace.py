"""Go execution traces with alloc and free events, turned into GHTRACE1.

The C engine (csrc/replay/gotrace.h) reads the events; this module brings it bytes,
unzipped where they are zipped, and writes its columns. A trace of any length passes
through: what is held is one generation of it, about a second.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from . import _core
from .errors import TraceError
from .tracewrite import Writer

PIECE = 1 << 17  # bytes read at a time
STEP = 50_000  # events between two looks at signals
GZIP = b"\x1f\x8b"


class _Pieces:
    """The bytes of a file in pieces, unzipped if it is a gzip file."""

    def __init__(self, file: IO[bytes], path: str) -> None:
        self._file = file
        self._path = path
        self.read_bytes = 0  # of the file
        self.cut = False  # a gzip file ends early

    def __iter__(self) -> Iterator[bytes]:
        first = self._read()
        if first[:2] != GZIP:
            while first:
                yield first
                first = self._read()
            return
        z = zlib.decompressobj(wbits=31)
        data = first
        while data:
            try:
                out = z.decompress(data, PIECE)
            except zlib.error as e:
                raise TraceError(f"the gzip file is damaged: {e}", self._path,
                                 self.read_bytes - len(data)) from None
            if out:
                yield out
            data = z.unconsumed_tail
            if z.eof:
                data = z.unused_data or self._read()
                if data and data[:2] != GZIP:
                    raise TraceError("the gzip file goes on after its end", self._path,
                                     self.read_bytes - len(data))
                z = zlib.decompressobj(wbits=31)
            elif not data:
                data = self._read()
                self.cut = not data

    def _read(self) -> bytes:
        data = self._file.read(PIECE)
        self.read_bytes += len(data)
        return data


def _run(log: bytes, stats: Mapping[str, Any] | None, procs: int) -> dict[str, Any]:
    """What is known of the recorded run: from a statistics file, from the trace's own
    log, from its events."""
    run: dict[str, Any] = {"GOMAXPROCS": procs} if procs else {}
    text, at = log.decode("utf-8", "replace"), 0
    while at < len(text):  # one object after the other; the last may be cut off
        try:
            said, at = json.JSONDecoder().raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        if isinstance(said, dict):
            run.update(said)
    run.update(stats or {})
    return run


def convert(file: IO[bytes], path: str, out: IO[bytes], *,
            stats: Mapping[str, Any] | None = None, note: str = "",
            progress: Callable[[int, int], object] | None = None,
            level: int = 6) -> dict[str, Any]:
    """Reads a trace from file (path is for messages) and writes GHTRACE1 to out; returns
    the header. progress is called with bytes read and bytes in all; level is zlib's."""
    engine = _core.GoTrace()
    size = os.fstat(file.fileno()).st_size
    source = _Pieces(file, path)
    pieces = iter(source)
    writer: Writer | None = None
    last = False
    try:
        while True:
            state = engine.step(STEP)
            if writer is None:
                writer = Writer(((name, enc) for name, enc, _ in engine.summary()["columns"]),
                                level)
            writer.add(engine.take())
            if isinstance(state, tuple):
                offset, message = state
                raise TraceError(message, path, offset)
            if state == -1:
                break
            if state == -3:
                if progress is not None:
                    progress(source.read_bytes, size)
                piece = b"" if last else next(pieces, b"")
                last = not piece
                engine.feed(piece, last)
        s = engine.summary()
        repairs = dict(s["repairs"])
        if source.cut:
            repairs["gzip_cut"] = 1
        names = ("min_heap_addr", "page_size", "heap_align", "stack_align")
        header = {
            "ops": list(s["counts"]),
            "class_to_size": [0, *(c[0] for c in _core.size_classes())][-68:],
            "types": [{"name": n, "size": b, "ptrdata": p} for n, b, p in s["types"]],
            "counts": s["counts"],
            "anomalies": repairs,
            "info": {k: s[k] for k in names},
            "source": f"go 1.{s['version']}",
            "generations": s["generations"],
            "source_trace_bytes": s["fed"],
            "note": note,
            "forced_cycles": s["forced"],
            "bytes": {"alloc": s["alloc_bytes"],
                      "alloc_with_existing": s["alloc_bytes"] + s["exist_bytes"],
                      "free": s["free_bytes"], "peak_occupied": s["peak_bytes"],
                      "end_occupied": s["end_bytes"]},
            "duration_ns": s["duration_ns"],
            "run": _run(s["log"], stats, s["procs"]),
        }
        writer.finish(out, header, [count for _, _, count in s["columns"]])
    finally:
        if writer is not None:
            writer.close()
    if progress is not None:
        progress(size, size)
    return header
