"""Heap.metrics: Go's names, units, edges and sums; MemStats' fields of the collector."""
from __future__ import annotations

import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import goheap as gh

# Of Go's list, what a heap has no part in.
LEFT_OUT = re.compile(r"/cgo/|/sync/|/godebug/|/sched/(goroutines|latencies|threads)")

# runtime/metrics of Go 1.26.8 without those.
NAMES = """
/cpu/classes/gc/mark/assist:cpu-seconds /cpu/classes/gc/mark/dedicated:cpu-seconds
/cpu/classes/gc/mark/idle:cpu-seconds /cpu/classes/gc/pause:cpu-seconds
/cpu/classes/gc/total:cpu-seconds /cpu/classes/idle:cpu-seconds
/cpu/classes/scavenge/assist:cpu-seconds /cpu/classes/scavenge/background:cpu-seconds
/cpu/classes/scavenge/total:cpu-seconds /cpu/classes/total:cpu-seconds
/cpu/classes/user:cpu-seconds /gc/cleanups/executed:cleanups /gc/cleanups/queued:cleanups
/gc/cycles/automatic:gc-cycles /gc/cycles/forced:gc-cycles /gc/cycles/total:gc-cycles
/gc/finalizers/executed:finalizers /gc/finalizers/queued:finalizers /gc/gogc:percent
/gc/gomemlimit:bytes /gc/heap/allocs-by-size:bytes /gc/heap/allocs:bytes
/gc/heap/allocs:objects /gc/heap/frees-by-size:bytes /gc/heap/frees:bytes
/gc/heap/frees:objects /gc/heap/goal:bytes /gc/heap/live:bytes /gc/heap/objects:objects
/gc/heap/tiny/allocs:objects /gc/limiter/last-enabled:gc-cycle /gc/pauses:seconds
/gc/scan/globals:bytes /gc/scan/heap:bytes /gc/scan/stack:bytes /gc/scan/total:bytes
/gc/stack/starting-size:bytes /memory/classes/heap/free:bytes
/memory/classes/heap/objects:bytes /memory/classes/heap/released:bytes
/memory/classes/heap/stacks:bytes /memory/classes/heap/unused:bytes
/memory/classes/metadata/mcache/free:bytes /memory/classes/metadata/mcache/inuse:bytes
/memory/classes/metadata/mspan/free:bytes /memory/classes/metadata/mspan/inuse:bytes
/memory/classes/metadata/other:bytes /memory/classes/os-stacks:bytes
/memory/classes/other:bytes /memory/classes/profiling/buckets:bytes
/memory/classes/total:bytes /sched/gomaxprocs:threads /sched/pauses/stopping/gc:seconds
/sched/pauses/stopping/other:seconds /sched/pauses/total/gc:seconds
/sched/pauses/total/other:seconds
""".split()


class Node(gh.Struct):
    next: gh.Ptr[Node]
    rest: gh.Fixed[int] = gh.fixed(gh.int64, 7)


def worked(mode="stw", procs=1, **options):
    """A heap with garbage and live objects of all sizes behind it."""
    heap = gh.Heap(mode=mode, procs=procs, costs=gh.Costs(scan_byte=4), **options)
    kept = heap.roots(5000)
    for i in range(60_000):
        if i % 50 == 0:
            with heap.on_p(i // 50 % procs):
                heap.alloc(40_000)
        kept[i * 7919 % 5000] = heap.new(Node) if i % 3 else heap.alloc(1 + i % 1500)
    heap.collect()
    return heap, kept


def test_names_are_gos_in_its_order():
    with gh.Heap() as heap:
        assert list(heap.metrics()) == NAMES == sorted(NAMES)


def test_names_are_those_of_the_go_that_is_installed():
    if not shutil.which("go"):
        pytest.skip("needs go")
    root = subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True).stdout.strip()
    text = Path(root, "src/runtime/metrics/description.go").read_text()
    listed = re.findall(r'Name: +"([^"]+)"', text)
    assert len(listed) > 60
    assert sorted(n for n in listed if not LEFT_OUT.match(n)) == NAMES


def test_edges():  # [alloc:70]
    with gh.Heap() as heap:
        m = heap.metrics()
    by_size = m["/gc/heap/allocs-by-size:bytes"]
    assert len(by_size.counts) == 68 and by_size.buckets == (
        1.0, *(c.size + 1.0 for c in gh.size_classes()), math.inf)
    times = m["/gc/pauses:seconds"]
    assert len(times.counts) == 162
    # Go's timeHistogramMetricsBuckets: four parts to each power of two, 64 ns to 39 hours.
    edges = [-math.inf, 0, 64e-9, 128e-9, 192e-9]
    for bits in range(8, 47):
        edges += [(2 ** bits + part * 2 ** (bits - 2)) / 1e9 for part in range(4)]
    assert times.buckets == (*edges, 2 ** 47 / 1e9, math.inf)


@pytest.mark.parametrize("mode, procs", [("stw", 1), ("stw", 3), ("virtual", 1), ("virtual", 4)])
def test_classes_sum_up(mode, procs):
    heap, kept = worked(mode, procs)
    with heap:
        m = heap.metrics()

        def total(kind):
            return sum(v for k, v in m.items() if k.startswith(kind) and "total" not in k)

        assert total("/memory/classes/") == m["/memory/classes/total:bytes"]
        cpu = {k[13:-12]: v for k, v in m.items() if k.startswith("/cpu/")}
        assert math.isclose(total("/cpu/classes/gc/"), cpu["gc/total"])
        assert math.isclose(total("/cpu/"), cpu["total"])
        assert min(cpu.values()) >= 0 and cpu["user"] > 0 and cpu["gc/total"] > 0
        if mode == "stw":
            assert (cpu["idle"] > 0) == (procs > 1)
        assert math.isclose(cpu["total"], procs * heap.now_ns / 1e9, rel_tol=0.05)
        assert math.isclose(heap.stats().gc_cpu_fraction,
                            (cpu["gc/total"] - cpu["gc/mark/idle"]) / cpu["total"])
        assert total("/gc/scan/") == m["/gc/scan/total:bytes"]
        assert (m["/gc/cycles/automatic:gc-cycles"] + m["/gc/cycles/forced:gc-cycles"]
                == m["/gc/cycles/total:gc-cycles"] == heap.num_gc)
        # Of each cycle two stops; what all marking and pauses took is in the cycles too.
        assert sum(m["/gc/pauses:seconds"].counts) == 2 * heap.num_gc
        assert m["/gc/pauses:seconds"] == m["/sched/pauses/total/gc:seconds"]
        for name, of in (("pause", [sum(c.pause_ns) * c.procs for c in heap.cycles]),
                         ("mark/assist", [c.assist_ns for c in heap.cycles]),
                         ("mark/dedicated", [c.background_ns for c in heap.cycles]),
                         ("mark/idle", [c.idle_ns for c in heap.cycles])):
            assert math.isclose(cpu["gc/" + name], sum(of) / 1e9)


@pytest.mark.parametrize("mode", ["stw", "virtual"])
def test_they_agree_with_memstats_once_flushed(mode):
    heap, kept = worked(mode, 2)
    with heap:
        for _ in range(100):
            heap.alloc(5)
        s = heap.read_mem_stats()
        m = heap.metrics()
        tiny = m["/gc/heap/tiny/allocs:objects"]
        for name, figure in {
            "/memory/classes/heap/objects:bytes": s.heap_alloc,
            "/memory/classes/heap/unused:bytes": s.heap_inuse - s.heap_alloc,
            "/memory/classes/heap/free:bytes": s.heap_idle - s.heap_released,
            "/memory/classes/heap/released:bytes": s.heap_released,
            "/memory/classes/heap/stacks:bytes": s.stack_inuse,
            "/memory/classes/metadata/mspan/inuse:bytes": s.mspan_inuse,
            "/memory/classes/metadata/mspan/free:bytes": s.mspan_sys - s.mspan_inuse,
            "/memory/classes/metadata/mcache/inuse:bytes": s.mcache_inuse,
            "/memory/classes/metadata/mcache/free:bytes": s.mcache_sys - s.mcache_inuse,
            "/memory/classes/metadata/other:bytes": s.gc_sys,
            "/memory/classes/other:bytes": s.other_sys,
            "/memory/classes/profiling/buckets:bytes": s.buck_hash_sys,
            "/memory/classes/total:bytes": s.sys,
            "/gc/heap/allocs:bytes": s.total_alloc,
            "/gc/heap/frees:bytes": s.total_alloc - s.alloc,
            "/gc/heap/allocs:objects": s.mallocs - tiny,
            "/gc/heap/frees:objects": s.frees - tiny,
            "/gc/heap/objects:objects": s.heap_objects,
            "/gc/heap/goal:bytes": s.next_gc,
            "/gc/cycles/total:gc-cycles": s.num_gc,
            "/gc/cycles/forced:gc-cycles": s.num_forced_gc,
            "/sched/gomaxprocs:threads": heap.procs,
            "/gc/heap/live:bytes": heap.cycles[-1].heap_marked,
        }.items():
            assert (name, m[name]) == (name, figure)
        assert tiny >= 84  # parts after the first of 16 bytes: 100 parts of 5
        for kind, field in (("allocs", "mallocs"), ("frees", "frees")):
            counts = m[f"/gc/heap/{kind}-by-size:bytes"].counts
            assert list(counts[:60]) == [getattr(b, field) for b in s.by_size[1:]]
            assert sum(counts) == m[f"/gc/heap/{kind}:objects"]


def test_small_allocations_lag_until_a_flush():
    # The same in Go 1.26.8: ten 100-byte objects don't show before a ReadMemStats.
    with gh.Heap() as heap:
        kept = [heap.alloc(100) for _ in range(10)]
        assert heap.metrics()["/gc/heap/allocs:objects"] == 0 and heap.stats().mallocs == 10
        heap.alloc(100_000)  # large objects are told at once
        assert heap.metrics()["/gc/heap/allocs:objects"] == 1
        heap.read_mem_stats()
        assert heap.metrics()["/gc/heap/allocs:objects"] == 11
        del kept


def test_settings_and_their_off():
    with gh.Heap(gogc="off", memory_limit="1GiB", procs=3, globals_scan=100) as heap:
        m = heap.metrics()
        assert m["/gc/gogc:percent"] == 2**64 - 1 and m["/gc/gomemlimit:bytes"] == 1 << 30
        assert m["/sched/gomaxprocs:threads"] == 3 and m["/gc/scan/globals:bytes"] == 100
        heap.gogc, heap.memory_limit = 30, None
        m = heap.metrics()
        assert m["/gc/gogc:percent"] == 30 and m["/gc/gomemlimit:bytes"] == 2**63 - 1


def test_the_limiter_and_the_scavenger_show():
    heap = gh.Heap(mode="virtual", memory_limit="1MiB", costs=gh.Costs(scan_byte=50))
    with heap:
        more = heap.new_many(Node, 20_000)
        for _ in range(3000):
            heap.alloc(2000)
        heap.collect()
        m = heap.metrics()
        assert 0 < m["/gc/limiter/last-enabled:gc-cycle"] <= heap.num_gc + 1
        assert any(c.limited for c in heap.cycles)
        more.clear()
        heap.memory_limit = "20MiB"
        more = heap.new_many(Node, 100_000)
        more.clear()
        heap.collect()
        heap.advance(10**7)
        heap.collect()
        m = heap.metrics()
        assert m["/cpu/classes/scavenge/total:cpu-seconds"] > 0
        assert math.isclose(m["/cpu/classes/scavenge/total:cpu-seconds"],
                            m["/cpu/classes/scavenge/background:cpu-seconds"]
                            + m["/cpu/classes/scavenge/assist:cpu-seconds"])


def test_other_stops_are_counted_and_take_no_time():
    with gh.Heap() as heap:
        heap.read_mem_stats()
        heap.procs = 2
        m = heap.metrics()
        for name in ("total", "stopping"):
            h = m[f"/sched/pauses/{name}/other:seconds"]
            assert h.counts[1] == sum(h.counts) == 2 and h.buckets[1] == 0


def test_finalizers_and_cleanups_are_counted():
    with gh.Heap(callbacks="manual") as heap:
        for _ in range(3):
            node = heap.new(Node)
            heap.set_finalizer(node, lambda ref: None)
            heap.add_cleanup(heap.new(Node), int)
        del node
        heap.collect()

        def counts():
            m = heap.metrics()
            return [m[f"/gc/{k}/{what}:{k}"] for k in ("finalizers", "cleanups")
                    for what in ("queued", "executed")]

        assert counts() == [3, 0, 3, 0]
        assert heap.run_pending(4) == 4
        assert counts() == [3, 3, 3, 1]


def test_asking_changes_nothing():
    def run(ask):
        with gh.Heap(mode="virtual", procs=2, policy=gh.Policy(min_heap="256KiB")) as heap:
            kept = []
            for i in range(5000):
                kept.append(heap.alloc(i % 700))
                if ask and i % 7 == 0:
                    heap.metrics()
                kept = kept[-50:]
            return heap.now_ns, heap.stats(), heap.metrics()

    assert run(True) == run(False)


# ---- MemStats -----------------------------------------------------------------------------


def test_memstats_of_the_collector():
    """Each field against Go's meaning (mstats.go), after more cycles than the ring has."""
    with gh.Heap(policy=gh.Policy(min_heap="64KiB")) as heap:
        s = heap.stats()
        assert (s.last_gc, s.pause_total_ns, s.num_gc, s.num_forced_gc) == (0, 0, 0, 0)
        assert s.gc_cpu_fraction == 0 and set(s.pause_ns + s.pause_end) == {0}
        assert s.enable_gc and not s.debug_gc and s.lookups == 0
        kept = heap.new_many(Node, 500)
        for i in range(9000):
            heap.alloc(3000)
            if i % 400 == 0:
                heap.collect()
        s, cycles = heap.stats(), list(heap.cycles)
        assert s.num_gc == len(cycles) > 300
        assert s.num_forced_gc == sum(c.forced for c in cycles) == 23
        assert s.last_gc == cycles[-1].end_ns
        assert s.pause_total_ns == sum(sum(c.pause_ns) for c in cycles)
        assert s.pause_ns[(s.num_gc + 255) % 256] == sum(cycles[-1].pause_ns)
        for c in cycles[-256:]:
            at = (c.n + 255) % 256
            assert s.pause_ns[at] == sum(c.pause_ns) and s.pause_end[at] == c.end_ns
        assert s.next_gc == heap.heap_goal
        total = sum(c.background_ns + c.assist_ns + sum(c.pause_ns) * c.procs for c in cycles)
        assert math.isclose(s.gc_cpu_fraction, total / cycles[-1].end_ns, rel_tol=1e-4)
        # It stands still until the next mark termination.
        heap.alloc(8)
        heap.advance(10**9)
        assert heap.stats().gc_cpu_fraction == s.gc_cpu_fraction
        heap.gogc = None
        assert heap.stats().enable_gc  # Go's is always true, GOGC=off too
        assert len(kept) == 500


def test_the_fraction_counts_the_procs_that_there_were():
    with gh.Heap(procs=4) as heap:
        heap.advance(1_000_000)
        heap.procs = 1
        heap.advance(1_000_000)
        cycle = heap.collect()
        m = heap.metrics()
        gc = sum(cycle.pause_ns) + cycle.background_ns
        total = 4 * 1_000_000 + cycle.end_ns - 1_000_000
        assert math.isclose(heap.stats().gc_cpu_fraction, gc / total)
        assert math.isclose(m["/cpu/classes/total:cpu-seconds"], total / 1e9)
        assert math.isclose(m["/cpu/classes/idle:cpu-seconds"], 5 * 1_000_000 / 1e9)
