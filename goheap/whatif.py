"""What if: one recorded history under many settings, each figure with its interval.

The recorded setting comes first: it is replayed and held against what the recording says of
itself (WhatIf.calibration). Every other setting is replayed over several seeds, with deaths
as early and as late as the recording allows, and the interval is widened by the error of
the model.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import product
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, overload

from . import history as histories
from .aliases import Limit, Path, Percent, Progress
from .history import Model
from .replay import DEATHS, LIMIT_OFF, _limit, _percent, _procs
from .settings import Costs, Policy
from .made import Workload
from .trace import Trace
from .table import Column, Table, number_column, text_column

__all__ = ["Advice", "Interval", "Prediction", "WhatIf", "what_if"]

SCHEMA = 1
GRID = (50, 100, 200, 400)  # around the recorded setting
# What the model is off by where nothing else says it, as shares of the figure: the spread of
# its errors on four programs (benchmarks/whatif_truth.py). The calibration's error is added.
CYCLES_ERROR = 0.25
RSS_ERROR = 0.08
HEAP_ERROR = 0.12
CPU_ERROR = 0.4
RUNAWAY = 2.5  # times the GC CPU of the same GOGC without a limit: thrashing


class Executor(Protocol):
    """Anything with submit(), as concurrent.futures has it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any: ...


class Interval(NamedTuple):
    """A figure and between what it lies."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """One setting over several seeds and death times; to_dict() has name, name_low, name_high.

    automatic_gc counts collections that were not forced; peak_heap_bytes is the largest heap
    that a collection found; peak_rss_bytes is None if the recording has no peak.
    gc_cpu_fraction and assist_fraction are shares of procs Ps' time. limited: the CPU limiter
    was on. extrapolated: procs is not what was recorded, and nothing in a recording says how
    the program's work divides among other Ps.
    """

    gogc: int | None
    memory_limit: int | None
    procs: int
    policy: Policy
    automatic_gc: Interval
    peak_heap_bytes: Interval
    peak_rss_bytes: Interval | None
    gc_cpu_fraction: Interval
    assist_fraction: Interval
    longest_pause_ns: Interval
    limited: bool
    extrapolated: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        d: dict[str, Any] = {"gogc": self.gogc, "memory_limit": self.memory_limit,
                             "procs": self.procs}
        for name in FIGURES:
            i = getattr(self, name)
            for end, suffix in enumerate(("", "_low", "_high")):
                d[name + suffix] = None if i is None else _plain(name, i[end])
        d["limited"], d["extrapolated"] = self.limited, self.extrapolated
        d["policy"] = dataclasses.asdict(self.policy)
        return d

    @property
    def setting(self) -> str:
        """As Go's environment has it, e.g. GOGC=100 GOMEMLIMIT=48MiB."""
        text = f"GOGC={'off' if self.gogc is None else self.gogc}"
        if self.memory_limit is not None:
            text += f" GOMEMLIMIT={_size(self.memory_limit)}"
        if self.extrapolated:
            text += f" GOMAXPROCS={self.procs}"
        return text


FIGURES = ("automatic_gc", "peak_heap_bytes", "peak_rss_bytes", "gc_cpu_fraction",
           "assist_fraction", "longest_pause_ns")


def _plain(name: str, value: float) -> float | int:
    return round(value, 6) if name.endswith("fraction") else round(value)


def _size(n: int) -> str:
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if n and n % (1 << shift) == 0:
            return f"{n >> shift}{unit}"
    return str(n)


def _mib(n: float) -> str:
    return f"{n / (1 << 20):.1f} MiB" if n < 10 << 30 else f"{n / (1 << 30):.1f} GiB"


# ---- one run ----------------------------------------------------------------------------

@dataclass(frozen=True, slots=True)
class _Setting:
    gogc: int  # -1: off
    limit: int
    procs: int | None  # None: as recorded
    policy: Policy


class _Stopped(Exception):
    """what_if was interrupted: the run is of no use any more."""


def _run(source: Path | Trace | Workload, model: Model, setting: _Setting, deaths: int, seed: int,
         stop: threading.Event | None = None) -> dict[str, Any]:
    """One replay, its summary. Importable and with plain arguments: for any executor."""
    def watch(_: object) -> None:
        if stop is not None and stop.is_set():
            raise _Stopped

    history, _ = histories.opened(source, watch)
    procs = setting.procs or history.procs
    engine = history.engine(
        gogc=setting.gogc, limit=setting.limit, procs=procs,
        follow_procs=setting.procs is None, deaths=deaths, seed=seed, virtual=True,
        policy=setting.policy, model=model)
    history.steps(engine, watch)
    s = histories.summary(engine)
    rss = histories.peak_rss(s, model, setting.policy)
    return {
        "automatic_gc": s["automatic_gc"],
        "peak_heap_bytes": s["peak_gc_heap"] or s["peak_heap"],
        "peak_rss_bytes": rss,
        "gc_cpu_fraction": s["gc_cpu_fraction"],
        "assist_fraction": histories.assist_fraction(s, procs),
        "longest_pause_ns": s["longest_pause_ns"],
        "limited": s["limited"] > 0,
        "procs": procs,
    }


def _median(values: list[float]) -> float:
    v, half = sorted(values), len(values) // 2
    return float(v[half] if len(v) % 2 else (v[half - 1] + v[half]) / 2)


def _interval(drawn: list[float], others: list[float], error: float, least: float) -> Interval:
    """The median of the seeds; from the lowest to the highest of all, and the model's error,
    which is at least `least`."""
    value = _median(drawn)
    every = [*drawn, *others]
    return Interval(value, max(0.0, min(every) - max(error * min(every), least)),
                    max(every) + max(error * max(every), least))


def _predict(setting: _Setting, model: Model, recorded_procs: int, drawn: list[dict[str, Any]],
             others: list[dict[str, Any]]) -> Prediction:
    def interval(name: str, error: float, least: float = 0.0) -> Interval:
        return _interval([r[name] for r in drawn], [r[name] for r in others], error, least)

    cycles = CYCLES_ERROR + abs(model.cycles_error)
    share = interval("gc_cpu_fraction", CPU_ERROR)
    assists = interval("assist_fraction", CPU_ERROR)
    return Prediction(
        gogc=None if setting.gogc < 0 else setting.gogc,
        memory_limit=None if setting.limit == LIMIT_OFF else setting.limit,
        procs=drawn[0]["procs"], policy=setting.policy,
        automatic_gc=interval("automatic_gc", cycles, 1.0),
        peak_heap_bytes=interval("peak_heap_bytes", HEAP_ERROR),
        peak_rss_bytes=None if model.rss_offset is None
        else interval("peak_rss_bytes", RSS_ERROR),
        gc_cpu_fraction=Interval(share.value, share.low, min(1.0, share.high)),
        assist_fraction=Interval(assists.value, assists.low, min(1.0, assists.high)),
        longest_pause_ns=interval("longest_pause_ns", CPU_ERROR),
        limited=any(r["limited"] for r in [*drawn, *others]),
        extrapolated=setting.procs is not None and setting.procs != recorded_procs)


# ---- results ----------------------------------------------------------------------------

@dataclass(frozen=True, slots=True)
class Advice:
    """A setting, what it costs, and how sure that is; str() is the paragraph for the ticket.

    cliff is the largest limit of the grid at which the collector thrashes (or the CPU limiter
    steps in) with this GOGC, None if there is none: the limit must stay well above it.
    """

    gogc: int | None
    memory_limit: int | None
    prediction: Prediction
    cliff: int | None
    calibration: Mapping[str, float] = field(repr=False, hash=False)
    bounds: str = ""

    def __str__(self) -> str:
        p = self.prediction
        parts = [f"Set {p.setting}."]
        gc, cpu = p.automatic_gc, p.gc_cpu_fraction
        parts.append(
            f"That keeps {self.bounds}: expect {gc.value:.0f} collections "
            f"({gc.low:.0f} to {gc.high:.0f}) in a run like the recorded one, "
            f"{100 * cpu.value:.1f} % of the CPU for them (at most {100 * cpu.high:.1f} %)")
        if p.peak_rss_bytes is not None:
            rss = p.peak_rss_bytes
            parts[-1] += f", and a peak of {_mib(rss.value)} resident (at most {_mib(rss.high)})"
        parts[-1] += "."
        if self.cliff is not None:
            parts.append(f"Do not go down to GOMEMLIMIT={_size(self.cliff)}: there the collector "
                         "runs all the time.")
        elif p.memory_limit is not None:
            parts.append("No limit that was tried makes the collector run all the time.")
        c = self.calibration
        parts.append(
            f"How sure: at the recorded setting the model makes {c['cycles_replayed']:.0f} "
            f"collections, the program made {c['cycles_recorded']:.0f}; its largest heap is off "
            f"by {round(100 * c['peak_heap_error']):+d} %.")
        if p.extrapolated:
            parts.append("GOMAXPROCS was not recorded like this: that is extrapolated.")
        return " ".join(parts)


class WhatIf(Sequence[Prediction]):
    """A grid of predictions with the error of the recorded setting first.

    calibration: the recorded setting, replayed, beside what the recording says of itself
    (cycles_recorded, cycles_replayed, cycles_error, peak_heap_error, mark_cpu_error, and what
    was fitted).
    """

    def __init__(self, source: str, calibration: Mapping[str, float],
                 predictions: Iterable[Prediction], costs: Costs, seeds: int) -> None:
        self.source = source
        self.calibration = dict(calibration)
        self.costs = costs
        self.seeds = seeds
        self._predictions = tuple(predictions)

    def __len__(self) -> int:
        return len(self._predictions)

    @overload
    def __getitem__(self, i: int, /) -> Prediction: ...
    @overload
    def __getitem__(self, i: slice, /) -> Sequence[Prediction]: ...
    def __getitem__(self, i: int | slice, /) -> Prediction | Sequence[Prediction]:
        return self._predictions[i]

    def __eq__(self, other: object, /) -> bool:
        if not isinstance(other, WhatIf):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def table(self) -> Table[Any]:
        """A row a setting: gogc and memory_limit as text, each figure with _low and _high."""
        rows = [p.to_dict() for p in self._predictions]
        columns: dict[str, Column] = {
            "gogc": text_column(["off" if p.gogc is None else str(p.gogc) for p in self]),
            "memory_limit": text_column([None if p.memory_limit is None
                                         else _size(p.memory_limit) for p in self]),
            "procs": number_column([p.procs for p in self], "q"),
        }
        for name in FIGURES:
            for key in (name, name + "_low", name + "_high"):
                values = [-1 if r[key] is None else r[key] for r in rows]
                columns[key] = number_column(values, "d" if "fraction" in name else "q")
        for key in ("limited", "extrapolated"):
            columns[key] = number_column([int(r[key]) for r in rows], "B")
        return Table(tuple(columns), columns)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        from . import GO_VERSION
        return {"schema": SCHEMA, "go_version": GO_VERSION, "source": self.source,
                "calibration": dict(self.calibration), "seeds": self.seeds,
                "costs": dataclasses.asdict(self.costs),
                "predictions": [p.to_dict() for p in self]}

    def to_csv(self) -> str:
        """The table as CSV, a heading first."""
        t = self.table()
        lines = [",".join(t.names)]
        lines += (",".join("" if v is None else str(v) for v in row) for row in t)
        return "\n".join(lines) + "\n"

    def save(self, path: Path, /) -> None:
        """As CSV if the name ends in .csv, else as JSON."""
        text = (self.to_csv() if os.fsdecode(path).endswith(".csv")
                else json.dumps(self.to_dict(), indent=1) + "\n")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)

    def cliff(self, gogc: int | None, procs: int | None = None) -> int | None:
        """The largest limit of the grid at which the collector thrashes with this GOGC."""
        same = [p for p in self if p.gogc == gogc and (procs is None or p.procs == procs)]
        free = min((p.gc_cpu_fraction.value for p in same), default=0.0)
        over = [p.memory_limit for p in same if p.memory_limit is not None and (
            p.limited or p.gc_cpu_fraction.value > max(0.1, RUNAWAY * free))]
        return max(over, default=None)

    def advise(self, *, max_rss: Limit = None, max_gc_cpu: float | None = None) -> Advice:
        """The cheapest setting within the bounds, by the pessimistic end of each interval.

        With max_rss: the least GC CPU that keeps the peak of resident memory under it. With
        max_gc_cpu (0..1) alone: the least memory that keeps GC CPU under it. ValueError that
        names the bound if no setting of the grid is within.
        """
        most = _limit(max_rss)
        share = _share(max_gc_cpu)
        fits: list[Prediction] = []
        bounds = []
        if most != LIMIT_OFF:
            if any(p.peak_rss_bytes is None for p in self):
                raise ValueError("max_rss: the recording doesn't say how much memory the process "
                                 "had (run.MaxRSSKiB)")
            bounds.append(f"the peak under {_size(most)}")
        if share is not None:
            bounds.append(f"GC CPU under {100 * share:g} %")
        rss = [p for p in self if most == LIMIT_OFF
               or p.peak_rss_bytes is not None and p.peak_rss_bytes.high <= most]
        if not rss:
            least = min(p.peak_rss_bytes.high for p in self if p.peak_rss_bytes is not None)
            raise ValueError(f"max_rss={_size(most)}: no setting of the grid stays under it; the "
                             f"smallest peak is {_mib(least)} at worst")
        fits = [p for p in rss if share is None or p.gc_cpu_fraction.high <= share]
        if not fits:
            best = min(rss, key=lambda p: p.gc_cpu_fraction.high)
            raise ValueError(f"max_gc_cpu={share:g}: no setting of the grid"
                             + (f" within max_rss={_size(most)}" if most != LIMIT_OFF else "")
                             + f" stays under it; {best.setting} takes "
                             f"{100 * best.gc_cpu_fraction.high:.1f} % at worst")

        def memory(p: Prediction) -> float:
            return (p.peak_heap_bytes if p.peak_rss_bytes is None else p.peak_rss_bytes).high

        if most != LIMIT_OFF or share is None:
            best = min(fits, key=lambda p: (p.gc_cpu_fraction.high, memory(p)))
        else:
            best = min(fits, key=lambda p: (memory(p), p.gc_cpu_fraction.high))
        return Advice(best.gogc, best.memory_limit, best, self.cliff(best.gogc, best.procs),
                      dict(self.calibration), " and ".join(bounds) or "GC CPU least")

    def __str__(self) -> str:
        c = self.calibration
        lines = ["recorded setting: %d collections replayed, %d recorded (%+.1f %%); largest "
                 "heap %+.1f %%; GC CPU %+.1f %%" % (
                     c["cycles_replayed"], c["cycles_recorded"], 100 * c["cycles_error"],
                     100 * c["peak_heap_error"], 100 * c["mark_cpu_error"]),
                 HEAD]
        lines += map(_line, self)
        return "\n".join(lines)

    def plot(self, name: str = "settings_map", ax: Any = None, **options: Any) -> Any:
        """Draw "settings_map" (figure=) or "pareto" (advice=) into ax, or into a new figure
        (goheap.plots; needs matplotlib)."""
        from .plots import draw
        return draw(name, self, ax, **options)

    def __repr__(self) -> str:
        return f"<WhatIf of {self.source}: {len(self)} settings>"

    def _repr_html_(self) -> str:
        first, _, *rows = str(self).split("\n")
        head = "<tr><th>" + "</th><th>".join(HEADS) + "</th></tr>"
        body = "".join("<tr><td>" + "</td><td>".join(escape(c) for c in _cells(p)) + "</td></tr>"
                       for p in self)
        return f"<p>{escape(first)}</p><table><thead>{head}</thead><tbody>{body}</tbody></table>"


HEADS = ("GOGC", "limit", "procs", "collections", "peak heap MiB", "peak RSS MiB", "GC CPU %", "")
FORMAT = "%-5s %-9s %-5s %17s %21s %21s %16s %s"
HEAD = (FORMAT % HEADS).rstrip()


def _cells(p: Prediction) -> tuple[str, ...]:
    def text(i: Interval | None, scale: float, digits: int) -> str:
        if i is None:
            return "not recorded"
        return "%.*f (%.*f-%.*f)" % (digits, i.value / scale, digits, i.low / scale,
                                     digits, i.high / scale)

    notes = [n for n, on in (("limited", p.limited), ("extrapolated", p.extrapolated)) if on]
    return ("off" if p.gogc is None else str(p.gogc),
            "off" if p.memory_limit is None else _size(p.memory_limit), str(p.procs),
            text(p.automatic_gc, 1, 0), text(p.peak_heap_bytes, 1 << 20, 1),
            text(p.peak_rss_bytes, 1 << 20, 1), text(p.gc_cpu_fraction, 0.01, 1),
            ", ".join(notes))


def _line(p: Prediction) -> str:
    return (FORMAT % _cells(p)).rstrip()


def _share(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"max_gc_cpu must be a number, not {type(value).__name__!r}")
    if not 0 < value <= 1:
        raise ValueError(f"max_gc_cpu: {value!r} is not in 0..1")
    return float(value)


# ---- the grid ---------------------------------------------------------------------------

T = TypeVar("T")


def _each(name: str, values: object, convert: Callable[[Any], T]) -> list[T]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be several values, e.g. a list, not {values!r}")
    made = [convert(v) for v in values]
    if not made:
        raise ValueError(f"{name}: no values")
    return list(dict.fromkeys(made))


def _policy(value: object) -> Policy:
    if not isinstance(value, Policy):
        raise TypeError(f"policy: a Policy is needed, not {type(value).__name__!r}")
    return value


def what_if(
    source: Path | Trace | Workload,
    /,
    *,
    gogc: Iterable[Percent] | None = None,
    memory_limit: Iterable[Limit] | None = None,
    procs: Iterable[int | Literal["recorded"]] = ("recorded",),
    policy: Iterable[Policy] = (Policy(),),
    seeds: int = 5,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> WhatIf:
    """Every combination of the settings, predicted from one recording: a Trace, a Workload, or the path of
    a GHTRACE1 file or Go execution trace.

    Without gogc: 50, 100, 200, 400 and what was recorded; without memory_limit: what was
    recorded. Each setting is replayed with `seeds` seeds of drawn deaths, once with the
    earliest and once with the latest deaths. executor is anything with submit(), such as
    concurrent.futures has it; None: as many threads as the machine has processors (a replay
    works without the GIL). progress is called with (replays done, replays in all).
    """
    if not isinstance(seeds, int) or isinstance(seeds, bool):
        raise TypeError(f"seeds must be an int, not {type(seeds).__name__!r}")
    if not 1 <= seeds <= 1000:
        raise ValueError(f"seeds: {seeds} is not in 1..1000")
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(f"executor: {type(executor).__name__!r} has no submit()")
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be callable or None, not {type(progress).__name__!r}")
    percents = None if gogc is None else _each("gogc", gogc, _percent)
    limits = None if memory_limit is None else _each("memory_limit", memory_limit, _limit)
    counts = _each("procs", procs, _procs)
    policies = _each("policy", policy, _policy)

    history, model = histories.fitted(source)
    if isinstance(source, Trace) and source._path is not None:
        source = source._path  # other processes open it, too
    if percents is None:
        percents = list(dict.fromkeys([*GRID, history.gogc]))
    if limits is None:
        limits = [history.limit]
    grid = [_Setting(*s) for s in product(percents, limits, counts, policies)]
    ways = [(DEATHS.index("drawn"), seed) for seed in range(seeds)]
    ways += [(DEATHS.index("early"), 0), (DEATHS.index("late"), 0)]
    runs = _all(executor, [(source, model, s, *way) for s in grid for way in ways], progress)
    n = len(ways)
    return WhatIf(history.trace.path, model.calibration(), (
        _predict(s, model, history.procs, runs[i * n:i * n + seeds],
                 runs[i * n + seeds:(i + 1) * n])
        for i, s in enumerate(grid)), model.costs, seeds)


def _all(executor: Executor | None, tasks: list[tuple[Any, ...]],
         progress: Progress | None) -> list[dict[str, Any]]:
    """Runs the tasks and gives their results in order."""
    from concurrent.futures import ThreadPoolExecutor
    stop = threading.Event()
    own: ThreadPoolExecutor | None = None
    futures: list[Any] = []
    try:
        if executor is None:
            own = ThreadPoolExecutor(min(len(tasks), os.cpu_count() or 1))
            run = functools.partial(_run, stop=stop)
            futures = [own.submit(run, *t) for t in tasks]
        else:
            futures = [executor.submit(_run, *t) for t in tasks]
        results = []
        for f in futures:
            results.append(f.result())
            if progress is not None:
                progress(len(results), len(tasks))
        return results
    except BaseException:
        stop.set()
        for f in futures:
            cancel = getattr(f, "cancel", None)
            if cancel is not None:
                cancel()
        raise
    finally:
        if own is not None:
            own.shutdown(wait=True, cancel_futures=True)
