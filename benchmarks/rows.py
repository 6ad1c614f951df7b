"""The table of rows: what is measured, against what, and the bar.

To add a workload: write c/NAME.c and go/NAME.go (or NAME.py), each of which does
its work and says as its last line what it took,

    {"cpu_s": 1.5, "wall_s": 1.5, "check": 1000, ...}

(bench_answer in c/bench.h, answer in go/bench.go), and add cases to CASES below.
A run fails if the sides' "check" differ. With "peak" and "rss" in the answers
the case is in the rows of memory too, if real Go stands beside it (memory_of_go).
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from drivers import HISTORY, TRACE, Command

Answer = dict[str, float]


@dataclass(frozen=True)
class Row:
    """What is asked of a group of cases: of the geometric mean of their ratios;
    none of them may be past 1.3 times the bar."""

    name: str
    title: str
    at_most: float | None = None
    at_least: float | None = None


@dataclass(frozen=True)
class Figure:
    """A figure from the answers of some runs."""

    commands: tuple[Command, ...]
    value: Callable[..., float]


@dataclass(frozen=True)
class Case:
    """One line: ours beside theirs, and the ratio of the two."""

    row: str
    name: str
    unit: str
    ours: Figure
    theirs: Figure | None
    against: str = "Go"
    beside: dict[str, Figure] = field(default_factory=dict)  # for the reader
    memory: bool = True  # its answers' peak and rss count too
    like: Command | None = None  # Go's of which the memory counts; None: theirs

    def memory_of_go(self) -> Command | None:
        """Real Go's run whose memory ours is held against; None: there is none."""
        if not self.memory:
            return None
        if self.like is not None:
            return self.like
        if self.against == "Go" and self.theirs is not None:
            return self.theirs.commands[0]
        return None


def goheap(name: str, *args: object, cores: int = 1) -> Command:
    return Command("goheap", name, tuple(map(str, args)), cores)


def go(name: str, *args: object, cores: int = 1, **env: str) -> Command:
    return Command("go", name, tuple(map(str, args)), cores, tuple(env.items()))


def stopped(name: str, *args: object, cores: int = 1) -> Command:
    """Real Go with the world stopped while it marks, as goheap's does it on one core, and
    on two where nothing is left to mark: no heap grows meanwhile, so its memory can be held
    against ours."""
    return go(name, *args, cores=cores, GODEBUG="gcstoptheworld=1")


def apart(command: Command) -> Command:
    """Two processes of it at once, each on a core of its own: what the machine gives
    to two that share nothing but its caches, memory and power."""
    return replace(command, cores=1, copies=2)


def python(name: str, *args: object) -> Command:
    return Command("python", name, tuple(map(str, args)))


def peer(side: str, name: str, *args: object) -> Command:
    return Command(side, name, tuple(map(str, args)))


def of(command: Command, key: str, scale: float = 1.0) -> Figure:
    """Field key of a run's answer, times scale."""
    return Figure((command,), lambda a: a[key] * scale)


def over(a: Command, b: Command, key: str, scale: float = 1.0) -> Figure:
    """How much more a's answer is than b's."""
    return Figure((a, b), lambda x, y: x[key] / y[key] * scale)


ROWS = [
    Row("small", "allocate and drop, 8 to 64 B", at_most=0.35),
    Row("middle", "allocate and drop, 96 B to 8 KiB", at_most=0.40),
    Row("upper", "allocate and drop, 16 and 32 KiB", at_most=0.55),
    Row("large", "allocate and drop, 64 KiB to 1 MiB", at_most=0.65),
    Row("ring", "beside mimalloc, freed 256 allocations later", at_most=1.2),
    Row("trees", "binary trees", at_most=0.45),
    Row("gcbench", "GCBench", at_most=0.45),
    Row("mark", "full mark, world stopped, random graph", at_most=0.25),
    Row("mark-huge", "full mark, world stopped, huge pages on", at_most=0.17),
    Row("mark-beside", "full mark, concurrent: one worker, barrier on", at_most=0.40),
    Row("markers", "the same, two workers against one, speed-up", at_least=1.8),
    Row("array", "full mark, array of pointers", at_most=0.50),
    Row("list", "full mark, linked list", at_most=0.85),
    Row("half", "sweep and refill of a half-dead heap", at_most=0.50),
    Row("limit", "GOMEMLIMIT=300 MiB, 200 MiB live", at_most=0.50),
    Row("two-cpu", "two threads against one, CPU for each allocation", at_most=1.1),
    Row("two-wall", "two threads against one, speed-up", at_least=1.8),
    Row("store-idle", "pointer store, collector idle", at_most=0.7),
    Row("store-mark", "pointer store, during marking", at_most=0.35),
    Row("stop", "1 GiB live, two threads allocate: longest stop", at_most=1.0),
    Row("stop-us", "the same, us", at_most=200),
    Row("batch", "the same: p99.9 of 16 allocations", at_most=1.0),
    Row("stall", "the same: longest stall", at_most=1.2),
    Row("marking", "the same: marking of a cycle"),
    Row("marking-two", "1 GiB, collected beside who waits: two workers against one"),
    Row("growth", "mark time an object, growth from 1e6 to 2e7 beside Go's",
        at_most=1.15),
    Row("call", "heap.alloc(64) beside object(), from Python", at_most=1.2),
    Row("many", "new_many(Node, 1e6), ns an object", at_most=10),
    Row("many-core", "new_many beside the core's own loop", at_most=1.5),
    Row("history", "recorded allocations and deaths"),
    Row("replay-stw", "replay again, stw mode, ns an event", at_most=50),
    Row("replay-virtual", "replay again, virtual mode, ns an event", at_most=100),
    Row("replay-first", "a first replay, the survey included, ns an event"),
    Row("replay-growth", "replay time an event, growth from 1e6 to 1e7 events",
        at_most=1.2),
    Row("peak", "peak of HeapInuse + HeapIdle - HeapReleased", at_most=1.05,
        at_least=0.95),
    Row("rss", "resident memory of the process", at_most=1.05),
]


def allocations(cut: int) -> list[Case]:
    cases = []
    for size in (8, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024, 2048, 4096, 8192,
                 16384, 32768, 65536, 262144, 1048576):
        row = ("small" if size <= 64 else "middle" if size <= 8192
               else "upper" if size <= 32768 else "large")
        n = min(10_000_000, 3_000_000_000 // size // 4) // cut
        for pointers, kind in ((0, "no pointers"), (1, "pointers")):
            cases.append(Case(
                row, f"{size_name(size)}, {kind}", "ns",
                of(goheap("alloc", size, pointers, n), "cpu_s", 1e9 / n),
                of(go("alloc", size, pointers, n), "cpu_s", 1e9 / n),
                like=stopped("alloc", size, pointers, n)))
    return cases


def size_name(size: int) -> str:
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= 16 * 1024 and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def rings(cut: int) -> list[Case]:
    n = 10_000_000 // cut
    return [
        Case("ring", f"{size} B", "ns",
             of(goheap("ring", size, n), "cpu_s", 1e9 / n),
             of(peer("mimalloc", "ring", size, n), "cpu_s", 1e9 / n), "mimalloc",
             {"Go": of(go("ring", size, n), "cpu_s", 1e9 / n),
              "jemalloc": of(peer("jemalloc", "ring", size, n), "cpu_s", 1e9 / n),
              "libc": of(peer("libc", "ring", size, n), "cpu_s", 1e9 / n)},
             like=stopped("ring", size, n))
        for size in (16, 32, 48, 64)]


def programs(cut: int) -> list[Case]:
    cases = []
    for depth in (16, 18) if cut == 1 else (12, 14):
        for threads in (1, 2):
            cases.append(Case(
                "trees", f"depth {depth}, {threads} thread{'s' * (threads - 1)}", "s",
                of(goheap("trees", depth, threads, cores=threads), "cpu_s"),
                of(go("trees", depth, threads, cores=threads), "cpu_s"),
                beside={"mimalloc": of(peer("mimalloc", "trees", depth, 1), "cpu_s"),
                        "libgc": of(peer("libgc", "trees", depth, 1), "cpu_s")}
                if threads == 1 else
                {"one thread, two apart":
                 of(apart(goheap("trees", depth, 1)), "cpu_s"),
                 "Go, one thread, two apart":
                 of(apart(go("trees", depth, 1)), "cpu_s")},
                like=stopped("trees", depth, threads) if threads == 1 else None))
    cases.append(Case(
        "gcbench", "GCBench", "s", of(goheap("gcbench"), "cpu_s"),
        of(go("gcbench"), "cpu_s"),
        beside={"mimalloc": of(peer("mimalloc", "gcbench"), "cpu_s"),
                "libgc": of(peer("libgc", "gcbench"), "cpu_s")},
        like=stopped("gcbench")))
    n = 4_000_000 // cut
    cases.append(Case(
        "half", f"{n / 1e6:g}e6 x 64 B", "ns/object",
        of(goheap("half", n), "cpu_s", 2e9 / n), of(go("half", n), "cpu_s", 2e9 / n),
        like=stopped("half", n)))
    times = 10 if cut == 1 else 1
    cases.append(Case(
        "limit", f"churn x {times}", "s",
        of(goheap("churn", 200, times, 300), "cpu_s"),
        of(go("churn", 200, times, 300), "cpu_s"),
        like=stopped("churn", 200, times, 300)))
    return cases


def marks(cut: int) -> list[Case]:
    cases = []
    for row, n, shape, what, ours in (
            ("mark", 1_000_000, "graph", "64 B", ()), ("mark", 5_000_000, "graph", "64 B", ()),
            ("mark", 20_000_000, "graph", "64 B", ()),
            ("mark", 1_000_000, "small", "32 B", ()), ("mark", 5_000_000, "small", "32 B", ()),
            ("mark-huge", 5_000_000, "graph", "64 B", ("huge",)),
            ("array", 1_000_000, "array", "64 B, ten pointers to each", ()),
            ("list", 1_000_000, "list", "64 B", ())):
        n //= cut
        reps = 5 if n <= 5_000_000 else 2
        cases.append(Case(
            row, f"{n / 1e6:g}e6 x {what}", "ms",
            of(goheap("mark", n, reps, shape, *ours), "cpu_s", 1e3),
            of(go("mark", n, reps, shape), "cpu_s", 1e3),
            memory=not ours,  # huge pages are there for time, and take whole ones
            like=stopped("mark", n, reps, shape) if not ours else None))
    for n, words, shape in ((1_000_000, ("graph",), "64 B"), (5_000_000, ("graph",), "64 B"),
                            (5_000_000, ("graph", "small"), "32 B")):
        n //= cut
        one, two = (goheap("mark", n, 5, *words, beside, cores=cores)
                    for beside, cores in (("beside", 1), ("beside2", 2)))
        g1, g2 = (go("mark", n, 5, *words, cores=cores) for cores in (1, 2))
        cases.append(Case(
            "mark-beside", f"{n / 1e6:g}e6 x {shape}", "ms", of(one, "cpu_s", 1e3),
            of(g1, "cpu_s", 1e3)))
        cases.append(Case(
            "markers", f"{n / 1e6:g}e6 x {shape}", "/s", marks_a_second(two),
            marks_a_second(one), "one worker",
            {"two apart": marks_a_second(apart(one), 2),
             "Go, two": marks_a_second(g2), "Go, one": marks_a_second(g1)},
            like=g2))
    few, many = 1_000_000 // cut, 20_000_000 // cut
    cases.append(Case(
        "growth", f"{few / 1e6:g}e6 to {many / 1e6:g}e6", "x",
        over(goheap("mark", many, 2, "graph"), goheap("mark", few, 5, "graph"),
             "cpu_s", few / many),
        over(go("mark", many, 2, "graph"), go("mark", few, 5, "graph"), "cpu_s",
             few / many), memory=False))
    return cases


def two_threads(cut: int) -> list[Case]:
    cases = []
    for size in (16, 64, 512):
        n = min(10_000_000, 1_500_000_000 // size) // cut
        one = goheap("alloc", size, 0, n, 1, cores=2)
        two = goheap("alloc", size, 0, n, 2, cores=2)
        g1 = go("alloc", size, 0, n, 1, cores=2)
        g2 = go("alloc", size, 0, n, 2, cores=2)
        cases.append(Case(
            "two-cpu", f"{size} B", "ns", of(two, "cpu_s", 0.5e9 / n),
            of(one, "cpu_s", 1e9 / n), "one thread",
            {"two apart": of(apart(one), "cpu_s", 1e9 / n),
             "Go, two": of(g2, "cpu_s", 0.5e9 / n), "Go, one": of(g1, "cpu_s", 1e9 / n)},
            like=stopped("alloc", size, 0, n, 2, cores=2)))
        cases.append(Case(
            "two-wall", f"{size} B", "M/s", rate(two, 2 * n), rate(one, n),
            "one thread", {"two apart": rate(apart(one), 2 * n),
                           "Go, two": rate(g2, 2 * n), "Go, one": rate(g1, n)},
            memory=False))
    return cases


def concurrent(cut: int) -> list[Case]:
    store = ("store", 384 // cut, 400)
    mine, real = (f("concurrent", *store, cores=2) for f in (goheap, go))
    cases = [Case("store-idle", "512 slots", "ns", of(mine, "idle_ns"),
                  of(real, "idle_ns"), beside={"no barrier": of(mine, "bare_ns")}),
             Case("store-mark", "512 slots", "ns", of(mine, "marking_ns"),
                  of(real, "marking_ns"), memory=False)]
    pauses = ("pauses", 1024 // cut, 3, 2, 25)
    mine, real = (f("concurrent", *pauses, cores=2) for f in (goheap, go))
    cases += [
        Case(row, f"{1024 // cut} MiB, GOGC=25, 3 cycles", "us", of(mine, key),
             of(real, key), memory=row == "stop")
        for row, key in (("stop", "stop_max_us"), ("batch", "p999_us"),
                         ("stall", "stall_us"))]
    cases.append(Case("stop-us", f"{1024 // cut} MiB, GOGC=25, 3 cycles", "us",
                      of(mine, "stop_max_us"), Figure((mine,), lambda a: 1.0), "1 us",
                      {"Go": of(real, "stop_max_us")}, memory=False))
    cases += [
        Case("marking", f"{1024 // cut} MiB, GOGC=25, {what}", "ms", of(mine, key, 1e3),
             of(real, key, 1e3), memory=False)
        for what, key in (("from begin to end", "mark_s"), ("CPU", "mark_cpu_s"))]
    n = (1 << 30) // 64 // cut
    one, two = (goheap("mark", n, 2, "graph", beside, cores=cores)
                for beside, cores in (("beside", 1), ("beside2", 2)))
    g1, g2 = (go("mark", n, 2, "graph", cores=cores) for cores in (1, 2))
    return [*cases, Case(
        "marking-two", f"{n / 1e6:.3g}e6 x 64 B", "/s", marks_a_second(two),
        marks_a_second(one), "one worker",
        {"two apart": marks_a_second(apart(one), 2),
         "Go, two": marks_a_second(g2), "Go, one": marks_a_second(g1)}, like=g2)]


def marks_a_second(command: Command, processes: int = 1) -> Figure:
    return Figure((command,), lambda a: processes / a["wall_s"])


def rate(command: Command, n: int) -> Figure:
    return Figure((command,), lambda a: n / a["wall_s"] * 1e-6)


def calls() -> list[Case]:
    one, many = python("calls"), python("calls", "many")
    return [
        Case("call", "heap.alloc(64), the loop included", "ns", of(one, "alloc_s", 1e9),
             of(one, "object_s", 1e9), "object()",
             {name: of(one, name.replace(" ", "_") + "_s", 1e9) for name in (
                 "new", "get ref", "set ref", "get int", "set int")}, memory=False),
        Case("many", "1e6 x 24 B", "ns", of(many, "cpu_s", 1e9),
             Figure((many,), lambda a: 1.0), "1 ns", memory=False),
        Case("many-core", "1e6 x 24 B", "ns", of(many, "cpu_s", 1e9),
             of(goheap("many", 1_000_000, 6), "cpu_s", 1e9), "the core", memory=False),
    ]


def recordings(cut: int) -> list[Case]:
    return [
        Case("history", "1.2e6 objects", "ms",
             of(goheap("history", HISTORY), "cpu_s", 1e3),
             of(go("history", HISTORY), "cpu_s", 1e3),
             like=stopped("history", HISTORY)),
        *(Case(row, f"{mode}, 2.3e6 events", "ns",
               Figure((replay := python("replay_events", TRACE, mode),),
                      lambda a, key=key: a[key] / a["events"] * 1e9),
               Figure((replay,), lambda a: 1.0), "1 ns", memory=False)
          for row, mode, key in (("replay-stw", "stw", "again_s"),
                                 ("replay-virtual", "virtual", "again_s"),
                                 ("replay-first", "stw", "cpu_s"),
                                 ("replay-first", "virtual", "cpu_s"))),
        replay_growth(1_000_000 // cut, 10_000_000 // cut),
    ]


def replay_growth(few: int, many: int) -> Case:
    """The time of an event in a long history beside that in a short one."""
    ours, theirs = (python("replay_growth", n) for n in (many, few))
    return Case("replay-growth", f"{few / 1e6:g}e6 to {many / 1e6:g}e6", "ns/event",
                of(ours, "again_s", 1e9 / many), of(theirs, "again_s", 1e9 / few),
                "the short one", memory=False)


def cases(quick: bool) -> list[Case]:
    cut = 10 if quick else 1
    return [*allocations(cut), *rings(cut), *programs(cut), *marks(cut),
            *two_threads(cut),
            *concurrent(cut), *calls(), *recordings(cut)]
