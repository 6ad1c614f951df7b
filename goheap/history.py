"""A history and what it says of itself: the model that replays it in virtual mode.

A recording holds more than its allocations: how long its collections took, what they
found, how much CPU time they had, what the process held beside its heap. From that, and
from nothing else, the model is made:

    event_ns        what the recorder took for one event: the usual time between two frees
                    that follow one another on one P, in the sweeper's loop
    gc_share        the share of the Ps' time that workers and assists had while the
                    recorded collector marked: /cpu/classes, over all marking
    busy_ns         how long after its last event a P is taken to be busy: such that the
                    recorded idle time comes out
    costs.scan_byte the recorded CPU time of marking, over the scan work of the replay at
                    the recorded setting
    cycle_delay_ns  how long a cycle goes on when nothing is left to mark, until every P has
                    noticed: such that the replay at the recorded setting collects as often
                    as the program did
    non_heap        what counts for GOMEMLIMIT beside the heap: what the process had before
                    recording began, and what a Go process adds (stacks, spans' records, the
                    memory profile's table); never more than it had at the end, which holds
                    the recorder's buffers
    rss_offset      resident bytes beside the heap: the recorded peak less the replay's, and
                    less what the recorder held

The replay at the recorded setting has the recorder's own objects in its heap and pays for
its events, because the recorded program did; every other replay leaves them out.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import threading
import weakref
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from . import _core
from .aliases import Path
from .settings import Costs, Policy
from .made import Workload, is_gctrace, traced
from .trace import Trace, TraceFile, open_source

STEP = 50_000  # events between two looks at signals: some 10 ms. A collection
# is one too.
SAMPLES = 400  # of a series, about
LIMIT_OFF = (1 << 63) - 1
UNPACKED = 24 << 20  # bytes of columns that are kept unzipped between passes
FIT_ROUNDS = 4  # of two replays, at most
BESIDE = 4_000_000  # events: of longer histories one replay runs at a time
FIT_CLOSE = 0.01  # cycles at the recorded setting, of the recorded number; or one cycle

# What a Go process maps beside its heap, bytes. START: what it has before main, stacks and
# memory profile apart, at least. PROFILE: the hash table of the memory profile
# (buckHashSize pointers), which is made at the first sample, so before or after recording
# begins. WORKERS: what the first collections add. PER_HEAP: one byte to so many of the heap,
# for spans' records (160 bytes to 8 KiB), their bits, work buffers.
START = 2 << 20
PROFILE = 179999 * 8
WORKERS = 512 << 10
PER_HEAP = 20

# Of Go's pacer: the least distance from the marked heap to the goal, and the least goal at
# GOGC=100. A goal says its inputs to some KiB.
LEAST_RUNWAY = 1 << 20
LEAST_HEAP = 4 << 20
STACKS_NOISE = 64 << 10

Watch = Callable[[_core.ReplayEngine], object]  # called between steps


@dataclass(frozen=True, slots=True)
class Model:
    """How a history is replayed in virtual mode: see the head of this module."""

    costs: Costs
    event_ns: float
    gc_share: float
    busy_ns: float
    cycle_delay_ns: float
    non_heap: int
    rss_offset: int | None  # None: the recording has no peak
    fitted: bool            # the costs are the recording's own
    cycles_recorded: int = 0
    cycles: int = 0         # automatic ones, of the replay at the recorded setting
    peak_heap_recorded: int = 0
    peak_heap: int = 0      # at a collection's begin
    gc_cpu_recorded: float = 0.0  # ns of marking, all kinds of workers and assists
    gc_cpu: float = 0.0

    @property
    def cycles_error(self) -> float:
        """Of the number of cycles at the recorded setting, relative."""
        return _error(self.cycles, self.cycles_recorded)

    @property
    def heap_error(self) -> float:
        return _error(self.peak_heap, self.peak_heap_recorded)

    @property
    def cpu_error(self) -> float:
        return _error(self.gc_cpu, self.gc_cpu_recorded)

    def calibration(self) -> dict[str, float]:
        """The recorded setting, replayed, beside what the recording says of itself."""
        return {
            "cycles_recorded": self.cycles_recorded,
            "cycles_replayed": self.cycles,
            "cycles_error": self.cycles_error,
            "peak_heap_recorded": self.peak_heap_recorded,
            "peak_heap_replayed": self.peak_heap,
            "peak_heap_error": self.heap_error,
            "mark_cpu_error": self.cpu_error,
            "scan_byte_ns": self.costs.scan_byte,
            "cycle_delay_ns": self.cycle_delay_ns,
            "event_ns": self.event_ns,
        }


def _error(got: float, want: float) -> float:
    return (got - want) / want if want else 0.0


class History:
    """A recording with its survey. Several threads may replay it at a time."""

    def __init__(self, trace: TraceFile, watch: Watch | None = None) -> None:
        # The header; what has a name is opened for each pass, else it is kept open.
        self.trace = trace.reopened()
        self._unpacked = _Unpacked()
        if trace.named:
            self.trace.close()
        try:
            self.survey = self._engine(spill_dir=tempfile.gettempdir())
            self.steps(self.survey, watch)
        except BaseException:
            self.trace.close()
            raise
        self.facts: dict[str, Any] = self.survey.facts()
        self.cycles = tuple(RecordedCycle(*c) for c in self.facts["cycles"])
        self.automatic = sum(not c.forced for c in self.cycles)
        self.stacks = self._stacks()

    def __del__(self) -> None:
        if hasattr(self, "trace"):
            self.trace.close()

    # ---- running

    def _engine(self, **settings: Any) -> _core.ReplayEngine:
        t = self.trace
        if t.forced_cycles is not None:
            settings["forced"] = array("I", t.forced_cycles).tobytes()
        try:
            return _core.ReplayEngine(
                t.ops, tuple((c.name, c.enc, c.count) for c in t.columns), t.types,
                t.class_to_size,
                # The recording's own count begins before its first event.
                max(0, t.run_number("End", "NumForcedGC")
                    - t.run_number("Start", "NumForcedGC")),
                **settings)
        except ValueError as e:
            raise t.error(f"header: {e}", 12) from None

    def engine(self, *, gogc: int, limit: int, procs: int, follow_procs: bool, deaths: int,
               seed: int, virtual: bool, policy: Policy, model: Model,
               keep_recorder: bool = False, series: str | int = "none", profile_rate: int = 0
               ) -> _core.ReplayEngine:
        """A replay of this history, not yet begun. series: "none", "cycle", "even", a number
        of objects, or of ns as text."""
        t = self.trace
        duration = t.header.get("duration_ns")
        known = isinstance(duration, int) and 0 < duration < 1 << 62
        return self._engine(
            base=self.survey, gogc=gogc, memory_limit=limit, procs=procs,
            follow_procs=follow_procs, deaths=deaths, seed=seed & ((1 << 64) - 1),
            globals_scan=t.run_number("Metrics", "/gc/scan/globals:bytes"),
            stack_scan=t.run_number("Metrics", "/gc/scan/stack:bytes"),
            stacks=array("Q", self.stacks).tobytes(),
            mode=int(virtual),
            # A stopped world cannot run past its limit, as Go's programs do.
            non_heap=model.non_heap if virtual else 0,
            policy=policy, costs=model.costs, profile_rate=profile_rate,
            series_cycles=series == "cycle",
            series_objects=series if isinstance(series, int) else 0,
            series_ns=int(series) if isinstance(series, str) and series.isdigit()
            else 0 if series != "even"
            else max(1, int(duration or 0) // SAMPLES) if known else 1_000_000,
            event_ns=model.event_ns, gc_share=model.gc_share, busy_ns=model.busy_ns,
            cycle_delay_ns=model.cycle_delay_ns, keep_recorder=keep_recorder)

    def steps(self, engine: _core.ReplayEngine, watch: Watch | None = None) -> None:
        """Runs an engine to its end; watch is called between two steps."""
        with self.trace.reopened() as trace:
            for _ in _steps(trace, engine, self._unpacked):
                if watch is not None:
                    watch(engine)
        if watch is not None:
            watch(engine)

    # ---- what the recording says

    def _metric(self, name: str) -> float:
        """Of /cpu/classes, in ns; 0 if the recording doesn't have it."""
        run = self.trace.header.get("run")
        metrics = run.get("Metrics") if isinstance(run, dict) else None
        value = metrics.get(f"/cpu/classes/{name}:cpu-seconds") \
            if isinstance(metrics, dict) else None
        ok = isinstance(value, (int, float)) and not isinstance(value, bool) \
            and 0 <= value < 1e12
        return float(value) * 1e9 if ok and value is not None else 0.0

    @property
    def gogc(self) -> int:
        from .replay import _percent
        value = self.trace.run("GOGC")
        try:
            return _percent(100 if value in ("", None) else value)
        except (TypeError, ValueError):
            raise self.trace.error(f"header: GOGC {value!r}", 12) from None

    @property
    def limit(self) -> int:
        from .replay import _limit
        try:
            return _limit(self.trace.run("GOMEMLIMIT") or None)
        except (TypeError, ValueError) as e:
            raise self.trace.error(f"header: {e}", 12) from None

    @property
    def procs(self) -> int:
        return min(max(self.trace.run_number("GOMAXPROCS"), 1), 1024)

    @property
    def non_heap(self) -> int:
        """Bytes that the process would have mapped beside its heap without the recorder;
        0: not known."""
        number = self.trace.run_number
        end = number("End", "Sys") - number("End", "HeapSys")
        if end <= 0:
            return 0
        start = number("Start", "Sys") - number("Start", "HeapSys")
        if start <= 0:
            return end
        stacks = number("Start", "StackInuse")
        if start - stacks < START + PROFILE // 2:
            start += PROFILE
        grown = max(0, number("End", "StackInuse") - stacks)
        heap = max((c.heap_start for c in self.cycles), default=0)
        return min(end, start + grown + WORKERS + heap // PER_HEAP)

    def _stacks(self) -> list[int]:
        """Bytes of stacks that each recorded collection scanned, as the goals say that it set:
        marked heap, stacks and globals, times GOGC. Goals that the least distance decided
        have only an upper bound; there it is what the nearest collection had. Empty: no goal
        says it."""
        if self.gogc <= 0 or self.limit != LIMIT_OFF or len(self.cycles) < 2:
            return []
        globals_ = self.trace.run_number("Metrics", "/gc/scan/globals:bytes")
        known: list[int | None] = []
        most = []
        for c, after in zip(self.cycles, self.cycles[1:]):
            runway = after.heap_goal - c.heap_marked
            stacks = runway * 100 // self.gogc - c.heap_marked - globals_
            most.append(max(0, stacks))
            if stacks < -STACKS_NOISE:  # another GOGC than the one it began with
                return []
            decided = runway <= LEAST_RUNWAY or after.heap_goal <= LEAST_HEAP * self.gogc // 100
            known.append(None if decided else most[-1])
        places = [i for i, n in enumerate(known) if n is not None]
        if not places:
            return []
        found, at = [], 0
        for i, bound in enumerate(most):
            while at + 1 < len(places) and abs(places[at + 1] - i) <= abs(places[at] - i):
                at += 1
            found.append(min(bound, known[places[at]] or 0))
        return [*found, found[-1]]

    @property
    def recorder(self) -> int:
        """Resident bytes that the recorder had, less what its objects take of the heap: it
        never writes those that it keeps for samples, and writes its buffers beside the heap."""
        number = self.trace.run_number
        non_heap = self.non_heap
        beside = number("End", "Sys") - number("End", "HeapSys") - non_heap if non_heap else 0
        return beside - int(self.facts["recorder_bytes"])

    @property
    def other(self) -> int | None:
        """What a workload says that the process holds beside its heap."""
        other = self.trace.run("other_bytes")
        return other if isinstance(other, int) else None

    @property
    def peak_rss(self) -> int:
        return self.trace.run_number("MaxRSSKiB") << 10

    # ---- the model

    def model(self, costs: Costs | None = None) -> Model:
        """The model that the recording alone gives: nothing fitted by replaying."""
        marking = self.facts["mark_ns"] * self.procs
        taken = self._metric("gc/mark/assist") + self._metric("gc/mark/dedicated")
        return Model(
            costs=costs or Costs(), event_ns=self.facts["event_ns"],
            gc_share=min(0.95, taken / marking) if marking > 0 else 0.0,
            busy_ns=self._busy_ns(), cycle_delay_ns=0.0, non_heap=self.non_heap,
            rss_offset=None, fitted=False, cycles_recorded=self.automatic,
            peak_heap_recorded=max((c.heap_start for c in self.cycles), default=0),
            gc_cpu_recorded=taken + self._metric("gc/mark/idle"))

    def _busy_ns(self) -> float:
        """0: the default."""
        idle = self._metric("idle") + self._metric("gc/mark/idle")
        if idle <= 0 or self._metric("total") <= 0:
            return 0.0
        # As of the last mark termination, as the gaps are.
        until = self.cycles[-1].end_ns if self.cycles else 0
        unused = max(0, self.procs - self.facts["ps"]) * until
        low, high = 1e4, 1e11
        while high / low > 1.01:
            ns = (low * high) ** 0.5
            gaps = sum(max(0.0, total - n * ns)
                       for n, total in self.facts["gaps"] if n and total > n * ns)
            if unused + gaps > idle:
                low = ns
            else:
                high = ns
        return high

    def measured(self, costs: Costs | None = None) -> Model:
        """The model without a fit, for a replay with prices of one's own."""
        model = self.model(costs)
        number = self.trace.run_number
        heap = number("End", "HeapSys") - number("End", "HeapReleased")
        known = self.peak_rss > heap > 0
        return dataclasses.replace(
            model, rss_offset=self.peak_rss - heap if known else self.other)

    def fit(self, costs: Costs | None = None, watch: Watch | None = None) -> Model:
        """The model, fitted at the recorded setting. Given costs stay as they are."""
        model = self.model(costs)
        if self.automatic == 0 or model.gc_cpu_recorded <= 0:
            return self._measured(model, self._calibrate(model, watch))
        # Rounds of two replays at the same time, whatever the number of processors. The first
        # one is for the price alone, if it isn't given, and for about where the delay is.
        price = model.costs.scan_byte
        if costs is None:
            price = min(1e6, model.gc_cpu_recorded / self._scanned())
        delay = max(5e4, 0.3 * self.facts["mark_ns"] / len(self.cycles))
        points = [0.0, delay / 4]
        tried: list[Model] = []
        rough: dict[float, float] = {}
        known: dict[float, float] = {}  # by delay: the error of the number of cycles
        for i in range(FIT_ROUNDS):
            models = [dataclasses.replace(
                model, cycle_delay_ns=d, fitted=costs is None and i > 0,
                costs=dataclasses.replace(model.costs, scan_byte=price)) for d in points]
            both = self._both(models, watch)
            found = [self._measured(m, got) for m, got in zip(models, both)]
            errors = {m.cycle_delay_ns: m.cycles_error for m in found}
            if i == 0:
                rough = errors
            if i > 0 or costs is not None:
                tried += found
                known |= errors
                close = max(FIT_CLOSE, 1 / self.automatic)
                if min(map(abs, known.values())) <= close or known.get(0.0, 1.0) <= 0:
                    break
            if costs is None:
                nearest, got = min(zip(found, both), key=lambda x: abs(x[0].cycles_error))
                if got["work"] > 0:  # as much more or less as there are cycles
                    price = min(1e6, model.gc_cpu_recorded * max(1, nearest.cycles)
                                / (got["work"] * self.automatic))
            points = _next_delays(known or rough, rough)
        return min(tried, key=lambda m: abs(m.cycles_error))

    def _scanned(self) -> float:
        """What the recorded program's collections scanned, about; bytes."""
        number = self.trace.run_number
        live = number("Metrics", "/gc/heap/live:bytes")
        share = min(1.0, number("Metrics", "/gc/scan/heap:bytes") / live) if live else 1.0
        marked = sum(c.heap_marked for c in self.cycles)
        return max(1.0, marked * share + len(self.cycles) * (
            number("Metrics", "/gc/scan/globals:bytes")
            + number("Metrics", "/gc/scan/stack:bytes")))

    def _both(self, models: list[Model], watch: Watch | None) -> list[dict[str, float]]:
        """Two replays at the recorded setting; of a small history at the same time."""
        if self.survey.total > BESIDE:
            return [self._calibrate(m, watch) for m in models]
        stop = threading.Event()

        def check(_: object) -> None:
            if stop.is_set():
                raise _Stopped

        from concurrent.futures import ThreadPoolExecutor  # slow to import
        with ThreadPoolExecutor(1) as pool:
            try:
                other = pool.submit(self._calibrate, models[1], check)
            except RuntimeError:  # no thread is to be had
                return [self._calibrate(m, watch) for m in models]
            try:
                return [self._calibrate(models[0], watch), other.result()]
            except BaseException:
                stop.set()
                raise

    def _calibrate(self, model: Model, watch: Watch | None) -> dict[str, float]:
        engine = self.engine(
            gogc=self.gogc, limit=self.limit, procs=self.procs, follow_procs=True, deaths=1,
            seed=0, virtual=True, policy=Policy(), model=model, keep_recorder=True)
        self.steps(engine, watch)
        return summary(engine)

    def _measured(self, model: Model, got: dict[str, float]) -> Model:
        return dataclasses.replace(
            model, cycles=int(got["automatic_gc"]), peak_heap=int(got["peak_gc_heap"]),
            gc_cpu=got["mark_ns"],
            rss_offset=self.peak_rss - self.recorder - int(got["peak_committed"])
            if self.peak_rss else self.other)


@dataclass(frozen=True, slots=True)
class RecordedCycle:
    """A collection of the recorded program; 0: the recording doesn't say."""

    begin_ns: int
    end_ns: int
    heap_start: int
    heap_end: int
    heap_marked: int
    heap_goal: int
    forced: bool


class _Stopped(Exception):
    """A replay beside another one is of no use any more."""


def _next_delays(known: dict[float, float], rough: dict[float, float]) -> list[float]:
    """Two delays to try, about where the error of the number of cycles goes through 0: more
    delay, fewer cycles. By delay: errors, and what they were about at the first price, 0
    among them, for the side that nothing is known of."""
    least, most = min(known), max(known)
    known = known | {1.5 * d: e for d, e in rough.items() if not least <= 1.5 * d <= most}
    high = min((d for d, e in known.items() if e <= 0), default=None)
    if high is None:
        error, near = known[0.0], known[most]
        far = most * error / (error - near) if error > near else 4 * most
        return [min(1.1 * far, 3 * most), min(1.5 * far, 4 * most)]
    low = max((d for d in known if d < high), default=0.0)
    if low == high:
        return [0.0, min(d for d in known if d > 0) / 2]
    share = min(0.8, max(0.2, known[low] / (known[low] - known[high])))
    return [low + (high - low) * share * x for x in (0.8, 1.2)]


def summary(engine: _core.ReplayEngine) -> dict[str, Any]:
    """What a finished replay came to, with sums over its cycles."""
    s: dict[str, Any] = engine.summary()
    s["mark_ns"] = s["assist_ns"] + s["background_ns"] + s["idle_ns"]
    return s


def peak_rss(s: dict[str, Any], model: Model, policy: Policy) -> int | None:
    """The peak of resident bytes; a ballast is memory that nobody touches."""
    if model.rss_offset is None:
        return None
    return max(0, int(s["peak_committed"]) + model.rss_offset - int(policy.ballast))


def assist_fraction(s: dict[str, Any], procs: int) -> float:
    """Of the Ps' time, what mutators spent marking."""
    return float(s["assist_ns"] / (s["time_ns"] * procs)) if s["time_ns"] > 0 else 0.0


class _Unpacked:
    """Columns as they were unzipped, for the next pass, while there are few bytes of them."""

    def __init__(self) -> None:
        self._pieces: dict[int, list[tuple[bytes, bool]]] = {}
        self._free = UNPACKED
        self._lock = threading.Lock()

    def reader(self, trace: TraceFile, index: int) -> Iterator[tuple[bytes, bool]]:
        """The pieces of a column, and whether each is the last."""
        kept = self._pieces.get(index)
        if kept is not None:
            yield from kept
            return
        size = trace.columns[index].raw_bytes
        with self._lock:
            keep = size <= self._free
            self._free -= size if keep else 0
        reader, pieces = trace.reader(index), []
        try:
            while not reader.ended:
                piece = reader.read()
                if keep:
                    pieces.append(piece)
                yield piece
        finally:
            with self._lock:
                if keep and reader.ended and index not in self._pieces:
                    self._pieces[index] = pieces
                elif keep:
                    self._free += size


def _steps(trace: TraceFile, engine: _core.ReplayEngine, unpacked: _Unpacked) -> Iterator[int]:
    """Runs a pass; yields the number of events done after each step."""
    readers: dict[int, Iterator[tuple[bytes, bool]]] = {}
    while True:
        need = engine.step(STEP)
        if need == -1:
            return
        if need == -2:
            yield engine.done
        elif isinstance(need, tuple):
            column, raw, message = need
            start = trace.columns[column].start if column >= 0 else 0
            raise trace.error(f"{message} (byte {raw} of the column)", start)
        else:
            reader = readers.get(need)
            if reader is None:
                reader = readers[need] = unpacked.reader(trace, need)
            engine.feed(need, *next(reader))


# ---- those at hand -----------------------------------------------------------------

_KEPT = 2  # files whose survey and fit are kept
Known = tuple["History", dict[Any, "Model"]]
_lock = threading.Lock()
_files: OrderedDict[tuple[Any, ...], Known] = OrderedDict()
_traces: weakref.WeakKeyDictionary[Trace, Known] = weakref.WeakKeyDictionary()


def name_of(source: Path | Trace | Workload) -> str:
    if isinstance(source, Workload):
        return "workload"
    return source._opened().path if isinstance(source, Trace) else os.fsdecode(source)


def opened(source: Path | Trace | Workload, watch: Watch | None = None) -> Known:
    """The history of a source and the models that were fitted to it. Of files the last few
    are kept, for as long as the file stays as it is."""
    if isinstance(source, Workload):
        source = traced(source)
    if isinstance(source, Trace):
        file = source._opened()
        with _lock:
            known = _traces.get(source)
        if known is None:
            known = History(file, watch), {}
            with _lock:
                known = _traces.setdefault(source, known)
        return known
    path = os.fspath(source)
    if is_gctrace(path):
        return opened(Workload.from_gctrace(path), watch)
    stat = os.stat(path)
    key = (os.path.abspath(path), stat.st_ino, stat.st_size, stat.st_mtime_ns)
    with _lock:
        known = _files.get(key)
        if known is not None:
            _files.move_to_end(key)
            return known
    with open_source(path) as file:
        known = History(file, watch), {}
    with _lock:
        known = _files.setdefault(key, known)
        while len(_files) > _KEPT:
            _files.popitem(last=False)
    return known


def fitted(source: Path | Trace | Workload, costs: Costs | None = None,
           watch: Watch | None = None) -> tuple[History, Model]:
    """The history and its model."""
    history, models = opened(source, watch)
    if costs not in models:
        models[costs] = history.fit(costs, watch)
    return history, models[costs]


__all__ = ["History", "Model", "RecordedCycle", "fitted", "name_of", "opened", "summary"]
