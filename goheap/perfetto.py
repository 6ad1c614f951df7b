"""Collections as a trace that Perfetto, Chrome and speedscope open.

The format is Chrome's Trace Event Format, the JSON object form: slices ("X") for cycles,
marking and pauses, counters ("C") for the heap's lines and for who marks, names ("M").
"""
from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import _core
from .aliases import Path
from .heap import Heap
from .replay import Replay
from .stats import GCCycle
from .table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["trace_events", "write"]

_PID = 1
_CYCLES, _STOPS = 1, 2  # threads: one row of slices each
_LINES = ("heap_live", "heap_goal", "heap_marked", "heap_inuse", "heap_released")


def _us(ns: float) -> float:
    return ns / 1000


def _name(kind: str, name: str, tid: int = 0) -> dict[str, Any]:
    return {"ph": "M", "pid": _PID, "tid": tid, "name": kind, "args": {"name": name}}


def _slice(name: str, tid: int, start: int, end: int, args: Mapping[str, Any]) -> dict[str, Any]:
    return {"ph": "X", "pid": _PID, "tid": tid, "cat": "gc", "name": name, "ts": _us(start),
            "dur": _us(end - start), "args": dict(args)}


def _counter(name: str, ns: int, values: Mapping[str, float]) -> dict[str, Any]:
    return {"ph": "C", "pid": _PID, "tid": 0, "cat": "heap", "name": name, "ts": _us(ns),
            "args": dict(values)}


def _cycle(c: GCCycle) -> Iterator[dict[str, Any]]:
    args = c.to_dict()
    for key in ("n", "start_ns", "mark_start_ns", "mark_end_ns", "end_ns", "pause_ns"):
        del args[key]
    yield _slice(f"GC {c.n}" + (" (forced)" if c.forced else ""), _CYCLES, c.start_ns, c.end_ns,
                 args)
    yield _slice("mark", _CYCLES, c.mark_start_ns, c.mark_end_ns,
                 {"scan_work": c.scan_work, "assist_ns": c.assist_ns,
                  "background_ns": c.background_ns, "idle_ns": c.idle_ns})
    yield _slice("sweep termination", _STOPS, c.start_ns, c.start_ns + c.pause_ns[0],
                 {"cycle": c.n})
    yield _slice("mark termination", _STOPS, c.end_ns - c.pause_ns[1], c.end_ns, {"cycle": c.n})
    wall = c.mark_end_ns - c.mark_start_ns
    share = {"assists": c.assist_ns, "workers": c.background_ns, "idle": c.idle_ns}
    if wall > 0:
        yield _counter("Ps that mark", c.mark_start_ns, {k: v / wall for k, v in share.items()})
        yield _counter("Ps that mark", c.mark_end_ns, dict.fromkeys(share, 0))
    if c.limited:
        yield {"ph": "i", "s": "p", "pid": _PID, "tid": _CYCLES, "cat": "gc",
               "name": "CPU limiter on", "ts": _us(c.end_ns)}


def _lines_of_cycles(cycles: Iterable[GCCycle]) -> Iterator[dict[str, Any]]:
    for c in cycles:
        yield _counter("heap", c.start_ns, {"heap_live": c.heap_start, "heap_goal": c.heap_goal})
        yield _counter("heap", c.end_ns, {"heap_live": c.heap_marked, "heap_goal": c.heap_goal})


def _lines_of_rows(rows: Iterable[Any], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for row in rows:
        values = row._asdict()
        yield _counter("heap", values["t_ns"], {n: values[n] for n in names})


def trace_events(source: Heap | Replay, /, series: Table[Any] | None = None) -> dict[str, Any]:
    """The trace as plain values, for json.dump.

    series: what Heap.record made, for the heap's lines; without it a heap's are drawn from
    its cycles, a replay's from Replay.series.

    >>> import goheap as gh
    >>> from goheap import perfetto
    >>> with gh.Heap() as heap:
    ...     cycle = heap.collect()
    ...     trace = perfetto.trace_events(heap)
    >>> sorted(e["name"] for e in trace["traceEvents"] if e["ph"] == "X")
    ['GC 1 (forced)', 'mark', 'mark termination', 'sweep termination']
    """
    if not isinstance(source, (Heap, Replay)):
        raise TypeError("trace_events: a Heap or a Replay is needed, not "
                        f"{type(source).__name__!r}")
    if series is not None and not isinstance(series, Table):
        raise TypeError("trace_events: series must be a Table, as of Heap.record, not "
                        f"{type(series).__name__!r}")
    cycles = tuple(source.cycles)
    title = source.path if isinstance(source, Replay) else "heap"
    events = [e for c in cycles for e in _cycle(c)]
    if series is not None:
        names = [n for n in series.names if n in _LINES]
        if "t_ns" not in series.names or not names:
            raise ValueError(f"trace_events: series has the columns {series.names}; it needs "
                             f"t_ns and some of {_LINES}")
        events += _lines_of_rows(series, names)
    elif isinstance(source, Replay) and len(source.series):
        events += _lines_of_rows(source.series, _LINES)
    else:
        events += _lines_of_cycles(cycles)
    # By time; what contains others first.
    events.sort(key=lambda e: (e["ts"], -e.get("dur", 0)))
    settings = {"gogc": source.gogc, "memory_limit": source.memory_limit, "procs": source.procs,
                "mode": source.mode}
    return {
        "traceEvents": [
            _name("process_name", f"goheap: {os.path.basename(title)}"),
            _name("thread_name", "GC cycles", _CYCLES),
            _name("thread_name", "world stopped", _STOPS),
            *events],
        "displayTimeUnit": "ms",
        "otherData": {"go_version": _core.GO_VERSION,
                      **{k: "off" if v is None else v for k, v in settings.items()}},
    }


def write(source: Heap | Replay, path: Path, /, series: Table[Any] | None = None) -> None:
    """Write the trace to a file: open it at ui.perfetto.dev or chrome://tracing."""
    text = json.dumps(trace_events(source, series), separators=(",", ":"))
    with open(os.fspath(path), "w", encoding="utf-8") as f:
        f.write(text)
