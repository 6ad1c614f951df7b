"""The lines of GODEBUG=gctrace=1, scavtrace=1, gcpacertrace=1: Go's formats, for heaps and
replays. Whether the Go that is installed prints the same, and whether a reader of such logs
reads ours: tests/long/test_gctrace_reader.py."""
from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import pytest

import goheap as gh
from goheap import cli

TRACE = Path(gh.__file__).parent / "data" / "compile-json.gogc20.ghtrace"
KINDS = ("gctrace", "scavtrace", "gcpacertrace")

# fmtNSAsMS: nothing below a microsecond, two digits below 10 ms, whole ones from there.
MS = r"(?:0|0\.\d\d?\d?|[1-9]\.\d|[1-9]\d+)"
# What print makes of a float64.
FLOAT = r"(?:-?\d+(?:\.\d+)?(?:e[+-]\d\d+)?|[+-]Inf|NaN)"
LINES = {
    "gctrace": rf"GC forced|gc \d+ @\d+\.\d{{3}}s \d+%: {MS}\+{MS}\+{MS} ms clock, "
               rf"{MS}\+{MS}/{MS}/{MS}\+{MS} ms cpu, \d+->\d+->\d+ MB, \d+ MB goal, "
               r"\d+ MB stacks, \d+ MB globals, \d+ P(?: \(forced\))?",
    "scavtrace": r"scav \d+ KiB work \(bg\), \d+ KiB work \(eager\), \d+ KiB now, "
                 r"\d+% util(?: \(forced\)| \[controller reset\])?",
    "gcpacertrace": "|".join((
        rf"pacer: assist ratio={FLOAT} \(scan \d+ MB in \d+->\d+ MB\) workers=\d+\+{FLOAT}",
        r"pacer: -?\d+% CPU \(25 exp\.\) for \d+\+\d+\+\d+ B work \(\d+ B exp\.\) "
        rf"in \d+ B -> \d+ B \(∆goal -?\d+, cons/mark {FLOAT}\)",
        r"pacer: sweep done at heap size \d+MB; allocated \d+MB during sweep; "
        rf"swept \d+ pages at {FLOAT} pages/byte")),
}

# From Go 1.26.8.
GO = """\
pacer: assist ratio=2.614264201340428 (scan 15 MB in 41->47 MB) workers=0+0.25
pacer: 25% CPU (25 exp.) for 24325536+2352+153546 B work (15558098 B exp.) in 43906768 B -> 45012688 B (∆goal -4845314, cons/mark 5.288770493405809)
scav 0 KiB work (bg), 0 KiB work (eager), 1120 KiB now, 45% util
pacer: sweep done at heap size 24MB; allocated 0MB during sweep; swept 5580 pages at 0.0003293043905068508 pages/byte
gc 4 @0.052s 13%: 0.17+13+0.042 ms clock, 0.34+0/8.0/6.6+0.085 ms cpu, 41->42->24 MB, 47 MB goal, 0 MB stacks, 0 MB globals, 2 P
gc 5 @0.067s 13%: 0.14+5.5+0.040 ms clock, 0.28+0/1.8/5.6+0.080 ms cpu, 24->24->21 MB, 48 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)
scav 0 KiB work (bg), 17448 KiB work (eager), 101328 KiB now, 31% util (forced)
pacer: sweep done at heap size 3MB; allocated 3MB during sweep; swept 4746 pages at 0 pages/byte
"""


def kind_of(line):
    """Which setting of GODEBUG the line is of; fails for a line of none."""
    kinds = [kind for kind, pattern in LINES.items() if re.fullmatch(pattern, line)]
    assert len(kinds) == 1, line
    return kinds[0]


class Node(gh.Struct):
    next: gh.Ptr[Node]
    rest: gh.Fixed[int] = gh.fixed(gh.int64, 7)


@functools.cache
def logs(mode, procs):
    """(cycles, log of all kinds) of a heap with work of every kind."""
    with gh.Heap(mode=mode, procs=procs, globals_scan="2MiB", stack_scan=5000,
                 costs=gh.Costs(scan_byte=4)) as heap:
        kept = heap.roots(20_000)
        for i in range(150_000):
            kept[i * 7919 % 20_000] = heap.new(Node)
        heap.free_os_memory()
        kept.clear()
        heap.collect()
        heap.advance(130 * 10**9)
        heap.alloc("1MiB")
        return list(heap.cycles), heap.gctrace(*KINDS)


MODES = [("stw", 1), ("virtual", 1), ("virtual", 3)]


def test_the_patterns_know_gos_lines():
    assert {kind_of(line) for line in GO.splitlines()} == set(KINDS)


@pytest.mark.parametrize("mode, procs", MODES)
def test_a_heap_s_lines_are_gos(mode, procs):
    cycles, log = logs(mode, procs)
    lines = log.splitlines()
    kinds = [kind_of(line) for line in lines]
    forced = [line for line in lines if line.startswith("scav ") and "(forced)" in line]
    assert len(forced) == 1 and kinds.count("scavtrace") == len(cycles) + 1
    # With the world stopped nothing is measured, as in Go with gcstoptheworld.
    measured = sum("B exp.)" in line for line in lines)
    assert (measured > 0) == (mode == "virtual")
    assert kinds.count("gcpacertrace") == 2 * len(cycles) + measured
    assert [line for line in lines if line.startswith("gc ")] == [str(c) for c in cycles]
    # The two-minute timer says so before its cycle.
    periodic = [i for i, line in enumerate(lines) if line == "GC forced"]
    assert len(periodic) == (mode == "virtual")
    for i in periodic:
        assert lines[i + 1].startswith("pacer: assist") and " @120." in lines[i + 2]


@pytest.mark.parametrize("mode, procs", MODES)
def test_the_figures_are_the_cycle_s(mode, procs):
    def ms(text):
        return float(text) * 1e6

    for c in logs(mode, procs)[0]:
        lines = c.gctrace(*KINDS).splitlines()
        n, at, share, clock, cpu, heap, goal, stacks, globals_, p = re.fullmatch(
            r"gc (\d+) @([\d.]+)s (\d+)%: (.+) ms clock, (.+) ms cpu, (.+) MB, (\d+) MB goal, "
            r"(\d+) MB stacks, (\d+) MB globals, (\d+) P(?: \(forced\))?", str(c)).groups()
        assert (int(n), float(at)) == (c.n, c.start_ns // 10**6 / 1000)
        assert int(share) == int(100 * c.gc_cpu_fraction) and int(p) == c.procs
        a, b, e = (ms(t) for t in clock.split("+"))
        d, (assist, background, idle), f = cpu.split("+")[0], (
            cpu.split("+")[1].split("/")), cpu.split("+")[2]
        for shown, ns in ((a, c.pause_ns[0]), (b, c.mark_end_ns - c.mark_start_ns),
                          (e, c.pause_ns[1]), (ms(d), c.pause_ns[0] * c.procs),
                          (ms(assist), c.assist_ns), (ms(background), c.background_ns),
                          (ms(idle), c.idle_ns), (ms(f), c.pause_ns[1] * c.procs)):
            # Cut, not rounded: to two digits, and to whole microseconds or, from 10 ms on, ms.
            assert shown <= ns + 1 and ns - shown < max(1000, 0.1 * ns)
        assert heap == f"{c.heap_start >> 20}->{c.heap_end >> 20}->{c.heap_marked >> 20}"
        assert (int(goal), int(stacks), int(globals_)) == (c.heap_goal >> 20, 0, 2)
        assert str(c).endswith("(forced)") == c.forced
        plan = next(line for line in lines if line.startswith("pacer: assist"))
        assert f" MB in {c.heap_start >> 20}->" in plan
        assert plan.endswith("workers=%s" % ("%d+0" % procs if mode == "stw" else
                                             {1: "0+0.25", 3: "0+0.25"}[procs]))
        for line in lines:
            if "B exp.)" in line:
                assert (f"for {c.scan_work}+{c.stack_scan}+{c.globals_scan} B work" in line
                        and f"in {c.trigger} B -> {c.heap_end} B" in line
                        and f"∆goal {c.heap_end - c.heap_goal}," in line)


def test_the_order_is_gos():
    kinds = [kind_of(line) for line in logs("virtual", 1)[0][0].gctrace(*KINDS).splitlines()]
    assert kinds == ["gcpacertrace", "gcpacertrace", "gctrace", "gcpacertrace", "scavtrace"]
    # As with gcstoptheworld=2: the sweep is part of the second stop.
    kinds = [kind_of(line) for line in logs("stw", 1)[0][0].gctrace(*KINDS).splitlines()]
    assert kinds == ["gcpacertrace", "gcpacertrace", "scavtrace", "gctrace"]


def test_a_sweep_that_goes_on_says_nothing_yet():
    with gh.Heap(mode="virtual", gogc="off") as heap:
        kept = heap.new_many(Node, 10_000)
        heap.gc_start()
        heap.gc_finish()
        assert heap.gctrace("scavtrace").count("\n") == 1  # gc_finish sweeps
        heap.gogc = 100
        while heap.num_gc < 2:
            heap.alloc(5000)
        assert heap.gctrace("scavtrace").count("\n") == 1
        heap.advance(10**8)
        assert heap.gctrace("scavtrace").count("\n") == 2
        assert len(kept) == 10_000


def test_with_real_threads():
    with gh.Heap(mode="concurrent", procs=2) as heap:
        kept = heap.roots(2000)
        for i in range(60_000):
            kept[i % 2000] = heap.new(Node)
        heap.free_os_memory()
        kinds = [kind_of(line) for line in heap.gctrace(*KINDS).splitlines()]
        assert kinds.count("gctrace") == heap.num_gc and set(kinds) == set(KINDS)


def test_kinds():
    with gh.Heap() as heap:
        assert heap.gctrace(*KINDS) == ""
        cycle = heap.collect()
        assert cycle.gctrace() == heap.gctrace() == heap.gctrace("gctrace") == f"{cycle}\n"
        assert heap.gctrace("scavtrace").startswith("scav ")
        with pytest.raises(ValueError, match="'pacer' is none of gctrace, scavtrace, gcpacertr"):
            heap.gctrace("pacer")
        with pytest.raises(TypeError, match="a kind is a str, not 'int'"):
            cycle.gctrace(1)


def test_a_replay_s_lines(capsys):
    r = gh.replay(TRACE, gogc=100, mode="virtual", costs=gh.Costs())
    assert {kind_of(line) for line in r.gctrace(*KINDS).splitlines()} == set(KINDS)
    args = ["replay", str(TRACE), "--gogc", "100", "--mode", "virtual", "--costs", "shipped"]
    assert cli.main([*args, "--gctrace", "--pacertrace"]) == 0
    assert capsys.readouterr().out.startswith(r.gctrace("gctrace", "gcpacertrace"))
    assert cli.main([*args, "--scavtrace", "--json"]) == 0
    out = capsys.readouterr()
    assert out.err == r.gctrace("scavtrace") and json.loads(out.out)["automatic_gc"] > 0
