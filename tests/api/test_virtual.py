"""mode="virtual": cycles beside the program on the virtual clock."""
from __future__ import annotations

import pathlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import goheap as gh

TRACE = pathlib.Path(gh.__file__).parent / "data" / "compile-json.gogc20.ghtrace"


class Node(gh.Struct):
    a: gh.Ptr[Node]
    b: gh.Ptr[Node]
    key: gh.int64


def churn(steps=100_000, live=5_000, seed=1, **options):
    rng = random.Random(seed)
    with gh.Heap(mode="virtual", **options) as heap:
        kept = [heap.new(Node, key=i) for i in range(live)]
        marking = 0
        for i in range(steps):
            x = rng.randrange(live)
            kind = rng.randrange(3)
            if kind == 0:
                kept[x] = heap.new(Node, key=i, a=kept[x].a, b=kept[rng.randrange(live)])
                kept[x].b = None
            elif kind == 1:
                kept[x].a = kept[rng.randrange(live)]
            else:
                heap.alloc(200)
            marking += heap.phase == "mark"
        heap.verify()
        return marking, heap.now_ns, [str(c) for c in heap.cycles], heap.stats(), list(heap.cycles)


@pytest.mark.parametrize("procs", [1, 2, 4])
def test_cycles_run_beside_the_program_and_repeat(procs):
    first = churn(procs=procs, gogc=50, policy=gh.Policy(min_heap="256KiB"))
    marking, _, lines, _, cycles = first
    assert len(lines) > 3 and marking > 10
    if procs == 1:  # with an idle P marking is over before the next span is fetched
        assert any(c.heap_end > c.heap_start for c in cycles)
    assert all(c.wall_ns > 0 and not c.forced for c in cycles)
    work = sum(c.assist_ns + c.background_ns + c.idle_ns for c in cycles)
    assert work > 0 and (sum(c.idle_ns for c in cycles) > 0) == (procs > 1)
    assert churn(procs=procs, gogc=50, policy=gh.Policy(min_heap="256KiB")) == first


def test_a_slow_marker_makes_the_program_assist_and_start_earlier():
    fast, slow = (churn(gogc=100, policy=gh.Policy(min_heap="512KiB"),
                        costs=gh.Costs(scan_byte=price))[4] for price in (0.1, 8.0))
    assert sum(c.assist_ns for c in slow) > sum(c.assist_ns for c in fast)
    assert slow[-1].cons_mark > fast[-1].cons_mark
    assert slow[-1].wall_ns > fast[-1].wall_ns


def test_the_memory_limit_holds_the_heap_down():
    with gh.Heap(mode="virtual", gogc="off", memory_limit="48MiB") as heap:
        kept = [heap.alloc(10_000) for _ in range(1_000)]
        for _ in range(30_000):
            heap.alloc(10_000)
        s = heap.stats()
        assert heap.num_gc > 5 and s.sys - s.heap_released <= (48 << 20) * 1.05
        heap.memory_limit = None
        assert heap.memory_limit is None
        before = heap.num_gc
        for _ in range(5_000):
            heap.alloc(10_000)
        assert heap.num_gc <= before + 1
        heap.verify()
        assert len(kept) == 1_000


def test_time_that_passes_lets_the_scavenger_and_the_timer_work():  # [gc:91]
    with gh.Heap(mode="virtual") as heap:
        big = [heap.alloc("1MiB") for _ in range(200)]
        del big
        heap.collect(), heap.collect()
        held = heap.stats()
        assert held.heap_idle - held.heap_released > 64 << 20
        heap.advance(60 * 10 ** 9)
        later = heap.stats()
        assert later.heap_released > held.heap_released + (32 << 20)
        n = heap.num_gc
        heap.advance(300 * 10 ** 9)  # Go collects at least every two minutes
        assert n + 2 <= heap.num_gc <= n + 3 and not heap.cycles[-1].forced
    with gh.Heap(mode="virtual") as heap:
        heap.advance(600 * 10 ** 9)
        assert heap.num_gc == 0  # but never before the first cycle
    with gh.Heap(mode="virtual", policy=gh.Policy(scavenger="off")) as heap:
        heap.alloc("64MiB")
        heap.collect()
        before = heap.stats().heap_released
        heap.advance(60 * 10 ** 9)
        assert heap.stats().heap_released == before


def test_collect_waits_for_the_cycle_that_runs():
    with gh.Heap(mode="virtual", gogc=50, policy=gh.Policy(min_heap="128KiB")) as heap:
        kept = heap.new_many(Node, 50_000)
        while heap.phase == "off":
            heap.alloc(100)
        n = heap.num_gc
        cycle = heap.collect()
        assert cycle.n == n + 2 and cycle.forced and heap.phase == "off" and len(kept) == 50_000


def test_turning_gogc_off_ends_the_cycle_that_runs():
    """Go: setGCPercent waits for the mark phase, so that no collection runs after it."""
    with gh.Heap(mode="virtual", gogc=50, policy=gh.Policy(min_heap="128KiB")) as heap:
        kept = heap.new_many(Node, 50_000)
        while heap.phase == "off":
            heap.alloc(100)
        n, now = heap.num_gc, heap.now_ns
        heap.gogc = 80  # another percentage is no reason to wait
        assert heap.phase == "mark" and heap.now_ns == now
        heap.gogc = "off"
        assert heap.phase == "off" and heap.num_gc == n + 1 and heap.now_ns > now
        for _ in range(5_000):
            heap.alloc(1000)
        assert heap.num_gc == n + 1 and len(kept) == 50_000
    with gh.Heap(mode="virtual") as heap:
        heap.gc_start()
        heap.gogc = "off"
        assert heap.phase == "mark"  # nobody else marks a cycle driven by hand
        heap.gc_finish()


def test_by_hand_in_virtual_mode():
    with gh.Heap(mode="virtual", gogc="off") as heap:
        top = heap.graph({"A": ["B"], "B": []}, roots=["A"])
        heap.gc_start()
        heap.gc_step()
        assert heap.color("B") == "grey"
        heap.advance(10 ** 9)
        assert heap.color("B") == "grey"  # nobody else marks a cycle driven by hand
        heap.gc_finish()
        assert len(top) == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2 ** 32), st.integers(1, 4), st.sampled_from([5, 30, 100]))
def test_nothing_is_lost_with_cycles_all_the_time(seed, procs, gogc):
    rng = random.Random(seed)
    with gh.Heap(mode="virtual", gogc=gogc, procs=procs, address_space="1GiB",
                 policy=gh.Policy(min_heap="16KiB"), costs=gh.Costs(scan_byte=3)) as heap:
        kept, model = [None] * 40, [None] * 40
        for i in range(1500):
            x, y = rng.randrange(40), rng.randrange(40)
            kind = rng.randrange(5)
            if kind == 0:
                with heap.on_p(rng.randrange(procs)):
                    kept[x], model[x] = heap.new(Node, key=i), [i, None]
            elif kind == 1 and kept[x]:
                kept[x].a, model[x][1] = kept[y], model[y]
            elif kind == 2 and kept[x]:
                kept[y], model[y] = kept[x].a, model[x][1]
            elif kind == 3:
                kept[x] = model[x] = None
            else:
                heap.alloc(rng.randrange(2000))
            if i % 100 == 0:
                heap.verify()
        for k, m in zip(kept, model):
            for _ in range(10):
                assert (k is None) == (m is None)
                if k is None:
                    break
                assert k.key == m[0]
                k, m = k.a, m[1]


def test_replay_beside_the_program():
    stw, virtual = (gh.replay(TRACE, gogc=100, mode=m) for m in ("stw", "virtual"))
    assert virtual.mode == "virtual" and virtual == gh.replay(TRACE, gogc=100, mode="virtual")
    assert abs(virtual.automatic_gc - stw.automatic_gc) <= 3
    assert sum(c.idle_ns + c.background_ns for c in virtual.cycles) > 0
    tight = gh.replay(TRACE, gogc="off", memory_limit="64MiB", mode="virtual")
    loose = gh.replay(TRACE, gogc="off", memory_limit="256MiB", mode="virtual")
    assert tight.automatic_gc > loose.automatic_gc
    assert tight.peak_rss_bytes < loose.peak_rss_bytes
