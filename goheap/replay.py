"""A recorded allocation history, run again under other settings.

The C engine decodes and replays; this module brings it the columns, piece by
piece, and makes the answer. Two passes over the file: the first finds when each
object died, the second allocates.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, NamedTuple

from . import _core
from .aliases import Limit, Path, Percent, Progress, Size, TraceKind
from .profile import HeapProfile, make as make_profile
from .settings import Costs, Knobs, Policy
from .stats import GCCycle, MemStats, trace_lines
from .table import Table, number_column
from .made import Workload
from .trace import Trace
from .watch import _every_ns
from . import history as histories

__all__ = ["Replay", "Sample", "replay"]

MODES = ("stw", "virtual")
DEATHS = ("early", "drawn", "late")
LIMIT_OFF = (1 << 63) - 1

_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
          "TiB": 1 << 40}


class Sample(NamedTuple):
    """The heap at one moment of a replay."""

    t_ns: int
    objects: int
    heap_live: int
    heap_goal: int
    heap_marked: int
    heap_inuse: int
    heap_free: int
    heap_released: int
    num_gc: int


@dataclass(frozen=True, slots=True)
class Replay:
    """One history under one setting: one run, no interval.

    peak_heap_bytes is the largest heap that a collection found, which is what
    gctrace shows; peak_live_bytes is the largest at any moment, the end of the
    run included. peak_rss_bytes adds to the heap's memory what the recorded
    process held beside its heap; None if the recording doesn't say. objects were allocated,
    reused is how often an object came out of a sync.Pool instead, as far as the history shows.

    series has the heap's figures over time, as often as replay's series= said, and of the last
    moment at its end; stats is MemStats of that moment.
    """

    path: str
    gogc: int | None
    memory_limit: int | None
    procs: int
    mode: str
    deaths: str
    policy: Policy
    costs: Costs
    seed: int
    automatic_gc: int
    forced_gc: int
    peak_heap_bytes: int
    peak_live_bytes: int
    peak_rss_bytes: int | None
    gc_cpu_fraction: float
    assist_fraction: float
    longest_pause_ns: int
    time_ns: int
    events: int
    objects: int
    reused: int
    tiny: int
    bytes: int
    cycles: tuple[GCCycle, ...] = field(repr=False)
    series: Table[Sample] = field(repr=False, hash=False)
    stats: MemStats = field(repr=False)
    profile: HeapProfile | None = field(repr=False, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, cycles and series too: ready for JSON."""
        d = {f.name: getattr(self, f.name) for f in fields(self)}
        d["policy"], d["costs"] = asdict(self.policy), asdict(self.costs)
        d["cycles"] = [c.to_dict() for c in self.cycles]
        d["series"] = [s._asdict() for s in self.series]
        d["stats"] = self.stats.to_dict()
        d["profile"] = None if self.profile is None else {
            "rate": self.profile.rate, "rows": [r._asdict() for r in self.profile.rows]}
        return d

    def gctrace(self, *kinds: TraceKind) -> str:
        """What Go prints with GODEBUG=kind=1, each line ended: see Heap.gctrace."""
        return trace_lines(self.cycles, kinds)

    def to_perfetto(self, path: Path, /) -> None:
        """Write cycles, pauses, assists and the heap's lines to a file that Perfetto
        (ui.perfetto.dev), Chrome and speedscope open: see goheap.perfetto."""
        from .perfetto import write
        write(self, path)

    def _repr_html_(self) -> str:
        from . import _html
        return _html.replay(self)

    def plot(self, name: str = "heap", ax: Any = None) -> Any:
        """Draw "heap", "pauses", "pacer" or "fragmentation" into ax, or into a new figure (goheap.plots; needs matplotlib)."""
        from .plots import draw
        return draw(name, self, ax)


def _limit(value: object) -> int:
    """A limit as the engine takes it: bytes, "512MiB", None or "off"."""
    if value is None or value == "off":
        return LIMIT_OFF
    if isinstance(value, str):
        digits = value.rstrip("BKMGTi")
        unit = _UNITS.get(value[len(digits):])
        if (unit is None or not (digits.isascii() and digits.isdigit())
                or len(digits) > 19):
            raise ValueError(f"memory_limit: {value!r} is not a size such as "
                             '"512MiB"')
        value = int(digits) * unit
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("memory_limit must be a size, None or \"off\", not "
                        f"{type(value).__name__!r}")
    if not 0 <= value <= LIMIT_OFF:
        raise ValueError(f"memory_limit: {value} is not in 0..{LIMIT_OFF}")
    return value


def _percent(value: object) -> int:
    """GOGC as the engine takes it; -1 is off."""
    if value is None or value == "off":
        return -1
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit() and len(value) < 20):
            raise ValueError(f"gogc: {value!r} is not a whole number of percent")
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError('gogc must be a whole number of percent, None or "off", '
                        f"not {value!r}")
    if not 0 <= value < 1 << 31:
        raise ValueError(f"gogc: {value} is not in 0..{(1 << 31) - 1}")
    return value


class _Turner:
    """Tells an on_cycle function of the cycles of a replay, and turns what it turned."""

    def __init__(self, gogc: int, memory_limit: int) -> None:
        self.told = 0
        self.gogc, self.memory_limit = gogc, memory_limit  # as the engine takes them

    def tell(self, engine: _core.ReplayEngine,
             on_cycle: Callable[[GCCycle, Knobs], object]) -> None:
        for row in engine.cycles(self.told):
            self.told += 1
            knobs = Knobs(None if self.gogc < 0 else self.gogc,
                          None if self.memory_limit == LIMIT_OFF else self.memory_limit)
            on_cycle(GCCycle(*row), knobs)
            changed = knobs._changed()
            if "gogc" in changed:
                self.gogc = _percent(changed["gogc"])
            if "memory_limit" in changed:
                self.memory_limit = _limit(changed["memory_limit"])
            engine.turn(self.gogc, self.memory_limit, knobs.goal or 0, knobs.trigger or 0)


def _check(mode: object, deaths: object, policy: object, costs: object, seed: object,
           on_cycle: object, progress: object) -> None:
    if mode not in MODES:
        raise ValueError(f'mode must be "virtual" or "stw", not {mode!r}')
    if deaths not in DEATHS:
        raise ValueError(f'deaths must be "early", "drawn" or "late", not '
                         f"{deaths!r}")
    if not isinstance(policy, Policy):
        raise TypeError(f"policy must be a Policy, not {type(policy).__name__!r}")
    if not isinstance(costs, Costs) and costs != "fitted":
        raise TypeError('costs must be a Costs or "fitted", not '
                        f"{type(costs).__name__!r}")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise TypeError(f"seed must be an int, not {type(seed).__name__!r}")
    if on_cycle is not None and not callable(on_cycle):
        raise TypeError("on_cycle must be callable or None, not "
                        f"{type(on_cycle).__name__!r}")
    if progress is not None and not callable(progress):
        raise TypeError("progress must be callable or None, not "
                        f"{type(progress).__name__!r}")


def _series(every: object) -> str | int:
    """How often the engine takes a sample: see History.engine."""
    if every in ("none", "cycle", "even"):
        return str(every)
    if isinstance(every, int) and not isinstance(every, bool):
        if not 1 <= every < 1 << 62:
            raise ValueError(f"series: {every} objects is not in 1..2**62")
        return every
    if not isinstance(every, str):
        raise TypeError('series must be "cycle", "none", "even", a time ("1ms") or a number of '
                        f"objects, not {type(every).__name__!r}")
    try:
        return str(_every_ns(every))
    except ValueError:
        raise ValueError('series: "cycle", "none", "even", a time from "1us" on or a number of '
                         f"objects, not {every!r}") from None


def _table(rows: list[tuple[int, ...]]) -> Table[Sample]:
    return Table(Sample, {name: number_column([r[i] for r in rows], "q")
                          for i, name in enumerate(Sample._fields)})


def _procs(value: object) -> int | None:
    """GOMAXPROCS as the engine takes it; None: as recorded."""
    if value == "recorded":
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f'procs must be an int or "recorded", not {value!r}')
    if not 1 <= value <= 1024:
        raise ValueError(f"procs: {value} is not in 1..1024")
    return value


def replay(
    source: Path | Trace | Workload,
    /,
    *,
    gogc: Percent | Literal["recorded"] = "recorded",
    memory_limit: Limit = "recorded",
    procs: int | Literal["recorded"] = "recorded",
    mode: Literal["virtual", "stw"] = "virtual",
    deaths: Literal["early", "drawn", "late"] = "drawn",
    policy: Policy = Policy(),
    costs: Costs | Literal["fitted"] = "fitted",
    on_cycle: Callable[[GCCycle, Knobs], object] | None = None,
    series: Literal["cycle", "none", "even"] | str | int = "cycle",
    profile_rate: Size = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Replay:
    """Runs a recorded history once under the given settings: a Trace, a Workload, or the path of a
    GHTRACE1 file or Go execution trace.

    "recorded" keeps what the recorded program ran with; None and "off" mean off.
    mode "virtual" runs cycles beside the program on the virtual clock, "stw" stops the world
    for each. costs="fitted" takes the prices of the recording itself: the first time a file
    is replayed in virtual mode, the recorded setting is replayed some times before. The model
    is made in any case of what the recording says of itself: see goheap.history.
    deaths says where in the interval that is known each object dies: at its
    start ("early"), its end ("late") or somewhere in between ("drawn", by seed).
    on_cycle(cycle, knobs) is called after each collection, before the next event of the
    history, and what it turns holds from there on (see Heap.on_cycle). What it raises ends
    the replay. progress is called with (events done, events in all), all passes counted, at
    most ten times a second.

    series says how often Replay.series gets a row: after each collection ("cycle"), at a time's
    distance of the heap's clock ("1ms"), after so many objects (a number), about 400 times
    ("even"), or never ("none").

    profile_rate asks for Replay.profile, the heap profile by recorded types as of the last
    collections: bytes between two samples, "512KiB" is Go's own; 0: none.

    A file that is damaged, or not a recording, raises TraceError.
    """
    rate = _core.size(profile_rate, "profile_rate")
    every = _series(series)
    _check(mode, deaths, policy, costs, seed, on_cycle, progress)
    nprocs = _procs(procs)
    percent = None if gogc == "recorded" else _percent(gogc)
    limit = None if memory_limit == "recorded" else _limit(memory_limit)
    told = time.monotonic()
    done = 0  # events of passes that have ended
    passes = 2

    def watch(engine: _core.ReplayEngine) -> None:
        nonlocal told, done
        now = time.monotonic()
        if progress is not None and now - told >= 0.1:
            told = now
            total = max(passes * engine.total, done + engine.total)
            progress(min(done + engine.done, total), total)
        if engine.done == engine.total:
            done += engine.total

    try:
        if mode == "virtual" and costs == "fitted":
            passes += histories.FIT_ROUNDS
            history, model = histories.fitted(source, None, watch)
        else:
            history, _ = histories.opened(source, watch)
            model = history.measured(None if costs == "fitted" else costs)
        if percent is None:
            percent = history.gogc
        if limit is None:
            limit = history.limit
        turner = _Turner(percent, limit)
        engine = history.engine(
            gogc=percent, limit=limit, procs=nprocs or history.procs,
            follow_procs=nprocs is None, deaths=DEATHS.index(deaths), seed=seed,
            virtual=mode == "virtual", policy=policy, model=model, series=every,
            profile_rate=rate)

        def turn(engine: _core.ReplayEngine) -> None:
            if on_cycle is not None:
                turner.tell(engine, on_cycle)
            watch(engine)

        history.steps(engine, turn)
    except MemoryError as e:
        raise MemoryError(f"{histories.name_of(source)}: the system refused the memory that "
                          "this history needs") from e
    if progress is not None:
        progress(done, done)
    s = histories.summary(engine)
    return Replay(
        path=history.trace.path,
        gogc=None if percent < 0 else percent,
        memory_limit=None if limit == LIMIT_OFF else limit,
        procs=nprocs or history.procs,
        mode=mode,
        deaths=deaths,
        policy=policy,
        costs=model.costs,
        seed=seed,
        automatic_gc=s["automatic_gc"],
        forced_gc=s["forced_gc"],
        peak_heap_bytes=s["peak_gc_heap"] or s["peak_heap"],
        peak_live_bytes=s["peak_heap"],
        peak_rss_bytes=histories.peak_rss(s, model, policy),
        gc_cpu_fraction=s["gc_cpu_fraction"],
        assist_fraction=histories.assist_fraction(s, nprocs or history.procs),
        longest_pause_ns=s["longest_pause_ns"],
        time_ns=s["time_ns"],
        events=s["events"],
        objects=s["objects"],
        reused=s["reused"],
        tiny=s["tiny"],
        bytes=s["bytes"],
        cycles=tuple(GCCycle(*c) for c in engine.cycles()),
        series=_table([] if every == "none" else engine.samples()),
        stats=MemStats._make(engine.stats()),
        profile=make_profile(rate, engine.profile(), [None],
                             [t[0] for t in history.trace.types]) if rate else None,
    )
