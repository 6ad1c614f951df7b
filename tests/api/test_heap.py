"""Heap and handles: allocation, collection, figures, lifetimes, misuse."""
from __future__ import annotations

import copy
import gc
import pickle
import re
import sys
import threading
import weakref

import pytest

import goheap as gh


class Node(gh.Struct):
    left: gh.Ptr[Node]
    right: gh.Ptr[Node]
    key: gh.int64


@pytest.fixture
def heap():
    with gh.Heap() as h:
        yield h
        h.verify()


# ---- allocation ---------------------------------------------------------------------------


def test_addresses_are_those_of_a_go_heap_and_repeat():
    def run():
        with gh.Heap() as h:
            kept = [h.new(Node), h.alloc(5), h.alloc(100), h.new(Node), h.array(gh.int32, 9)]
            return [gh.address_of(k) for k in kept]
    first = run()
    assert first == run()
    assert first[0] == 0xC000000000 and first[3] == first[0] + 24
    assert all(a >> 38 == 0xC000000000 >> 38 for a in first)


def test_sizes(heap):
    for size, elemsize in ((1, 16), (16, 16), (17, 24), (100, 112), (1024, 1024), (32768, 32768),
                           (32769, 40960), ("64KiB", 65536)):
        b = heap.alloc(size)
        info = heap.info(b)
        assert info.elemsize == elemsize and info.type == "Block"
        assert len(b) == info.size == (65536 if size == "64KiB" else size)
        assert bytes(b) == bytes(len(b))


def test_zero_size_objects_are_one(heap):
    a, b = heap.alloc(0), heap.alloc(0)
    assert a == b and len(a) == 0 and bytes(a) == b""
    Empty = gh.struct("Empty")
    assert heap.new(Empty) == a and gh.sizeof(Empty) == 0
    assert heap.info(a)[1:4] == (gh.address_of(a), 0, 0) and heap.info(a).span == 0
    assert heap.stats().mallocs == 0


def test_tiny_objects_share_a_block_unless_the_policy_says_no(heap):
    a, b = heap.alloc(3), heap.alloc(2)
    assert gh.address_of(b) == gh.address_of(a) + 4 
    assert heap.info(a)[7:] == heap.info(b)[7:] and heap.info(b).size == 2
    with gh.Heap(policy=gh.Policy(tiny=False)) as h:
        a, b = h.alloc(3), h.alloc(2)
        assert abs(gh.address_of(b) - gh.address_of(a)) == 8


@pytest.mark.parametrize("call,error,message", [
    (lambda h: h.alloc(-1), ValueError, "size must not be negative, but is -1"),
    (lambda h: h.alloc(1 << 70), OverflowError, "size must be below 2..64, not 1180591620717411303424"),
    (lambda h: h.alloc((1 << 45) + 1), OverflowError, "size must be at most 35184372088832"),
    (lambda h: h.alloc(1 << 45), gh.HeapMemoryError, "no room for 35184372088832 bytes more"),
    (lambda h: h.alloc(1.0), TypeError, "size must be an int or a string .* not 'float'"),
    (lambda h: h.alloc(True), TypeError, "not 'bool'"),
    (lambda h: h.alloc(None), TypeError, "not 'NoneType'"),
    (lambda h: h.alloc("64MB"), ValueError, "'64MB' is no size"),
    (lambda h: h.alloc("1" * 40), OverflowError, "size is too large"),
    (lambda h: h.alloc("1\0"), ValueError, "is no size"),
    (lambda h: h.alloc(), TypeError, "argument"),
    (lambda h: h.new(), TypeError, "got 0 positional"),
    (lambda h: h.new(Node, 1), TypeError, "got 2 positional"),
    (lambda h: h.new(int), TypeError, "a struct class .* is needed, not <class 'int'>"),
    (lambda h: h.new(None), TypeError, "not None"),
    (lambda h: h.new(gh.Struct), TypeError, "struct class"),
    (lambda h: h.new(gh.Block), TypeError, "struct class"),
    (lambda h: h.new(gh.Array[gh.int8]), TypeError, "struct class"),
    (lambda h: h.array(int, 3), TypeError, "int is no kind of field; write int64"),
    (lambda h: h.array(Node, -1), ValueError, "n must not be negative, but is -1"),
    (lambda h: h.array(Node, 1.0), TypeError, "n must be an int, not 'float'"),
    (lambda h: h.array(Node, "3"), TypeError, "n must be an int, not 'str'"),
    (lambda h: h.array(Node, True), TypeError, "not 'bool'"),
    (lambda h: h.array(Node, 1 << 60), OverflowError, "n must be at most"),
    (lambda h: h.array(gh.Ptr["Node"], 2), TypeError, "names a class where one is needed"),
    (lambda h: h.info("x"), LookupError, "no object is called 'x'"),
    (lambda h: h.info(1.5), TypeError, "a handle, an address or a label is needed, not 'float'"),
    (lambda h: h.info(-1), ValueError, "address must not be negative"),
    (lambda h: h.info(0xC000000000 + (1 << 37)), LookupError, "no live object at 0xe000000000"),
    (lambda h: h.on_p(1), ValueError, r"p must be 0\.\.0, not 1"),
    (lambda h: h.on_p(-1), ValueError, "p must be"),
    (lambda h: h.on_p("0"), TypeError, "p must be an int"),
    (lambda h: gh.Heap(3), TypeError, "positional"),
    (lambda h: gh.Heap(gogc=-1), ValueError, "gogc must not be negative, but is -1"),
    (lambda h: gh.Heap(gogc=1.5), TypeError, "gogc must be an int"),
    (lambda h: gh.Heap(gogc="200"), ValueError, "gogc must be a percentage"),
    (lambda h: gh.Heap(gogc=1 << 31), ValueError, "gogc must be 0..2147483647, not 2147483648"),
    (lambda h: gh.Heap(procs=0), ValueError, r"procs must be 1\.\.1024, not 0"),
    (lambda h: gh.Heap(procs=1025), ValueError, r"procs must be 1\.\.1024, not 1025"),
    (lambda h: gh.Heap(memory_limit=-1), ValueError, "memory_limit must not be negative"),
    (lambda h: setattr(h, "memory_limit", "1GB"), ValueError, "memory_limit: '1GB' is no size"),
    (lambda h: h.advance(-1), ValueError, "ns must be"),
    (lambda h: gh.Policy(scavenger="on"), ValueError, "scavenger must be"),
    (lambda h: gh.Heap(mode="fast"), ValueError, "mode must be \"stw\", \"virtual\" or \"concurrent\", not 'fast'"),
    (lambda h: gh.Heap(address_space="1MiB"), ValueError, "address_space must be at least 1 GiB"),
    (lambda h: gh.Heap(address_space=1 << 47), OverflowError, "address_space must be at most"),
    (lambda h: gh.Heap(globals_scan=-1), ValueError, "globals_scan must not be negative"),
    (lambda h: gh.Heap(policy={}), TypeError, "policy must be a Policy, not 'dict'"),
    (lambda h: gh.Heap(costs=3), TypeError, "costs must be a Costs"),
    (lambda h: gh.Heap(size=3), TypeError, "size"),
    (lambda h: gh.Policy(sweep="now"), ValueError, "sweep must be"),
    (lambda h: gh.Policy(tiny=1), TypeError, "tiny must be a bool"),
    (lambda h: gh.Policy(min_heap="4MB"), ValueError, "Policy: min_heap: '4MB' is no size"),
    (lambda h: gh.Costs(alloc=-1), ValueError, "alloc must be 0..1e12 ns, not -1"),
    (lambda h: gh.Costs(stop=float("nan")), ValueError, "stop must be"),
    (lambda h: gh.address_of(3), TypeError, "a handle is needed, not 'int'"),
    (lambda h: gh.heap_of(None), TypeError, "a handle is needed"),
    (lambda h: gh.cast(h.new(Node), int), TypeError, "to a struct class only"),
    (lambda h: gh.cast(3, Node), TypeError, "a handle is needed"),
    (lambda h: setattr(h, "gogc", -5), ValueError, "gogc must not be negative"),
    (lambda h: delattr(h, "gogc"), AttributeError, "can be set, not deleted"),
    (lambda h: setattr(h, "procs", 0), ValueError, "procs must be"),
    (lambda h: setattr(h, "heap_live", 0), AttributeError, "heap_live"),
    (lambda h: h.cycles[0], IndexError, "index 0 out of range .length 0."),
    (lambda h: h.cycles["a"], TypeError, "an index is an int"),
    (lambda h: gh.explain(-1), ValueError, "size must not be negative"),
    (lambda h: gh.explain(1.5), TypeError, "no kind of field"),
    (lambda h: gh.explain((Node, -1)), ValueError, "a count must not be negative"),
    (lambda h: gh.explain((Node, 1, 2)), TypeError, "element, count"),
    (lambda h: memoryview(h.new(Node)).__setitem__(0, 1), TypeError, "read-only"),
    (lambda h: h.array(gh.int8, 2)[2], IndexError, r"index 2 out of range \(length 2\)"),
    (lambda h: h.array(gh.int8, 2)["a"], TypeError, "an index is an int, not 'str'"),
    (lambda h: h.array(gh.int8, 2)[0:1], TypeError, "an index is an int, not 'slice'"),
    (lambda h: h.array(gh.int8, 2).__setitem__(0, 128), OverflowError, r"Array\[int8\]\[0\]: 128 is out of range"),
    (lambda h: h.array(gh.int8, 2).__delitem__(0), TypeError, "can be set, not deleted"),
    (lambda h: h.array(Node, 1).__setitem__(0, None), TypeError, "a struct is copied from a handle of Node"),
])
def test_misuse_is_told(heap, call, error, message):
    before = heap.stats()
    with pytest.raises(error, match=message):
        call(heap)
    after = heap.stats()
    if error in (ValueError, OverflowError) or "Heap(" in message:
        assert after.heap_objects - before.heap_objects <= 1  # what the call itself made first


def test_memory_error_has_its_figures(heap):
    with pytest.raises(gh.HeapMemoryError) as e:
        heap.alloc("16TiB")
    assert e.value.requested == 16 << 40 and 0 < e.value.in_use < 1 << 30
    assert isinstance(e.value, MemoryError) and isinstance(e.value, gh.HeapError)
    assert len(heap.alloc(10)) == 10


# ---- the collector ------------------------------------------------------------------------------


def test_collect_frees_what_no_handle_reaches(heap):
    root = heap.new(Node, left=heap.new(Node, key=1))
    for _ in range(1000):
        heap.new(Node)
    assert heap.stats().heap_objects == 1002
    cycle = heap.collect()
    assert heap.stats().heap_objects == 2 and cycle.forced and cycle.n == heap.num_gc == 1
    assert cycle.swept_bytes == 1000 * 24 and root.left.key == 1
    del root
    heap.collect()
    assert heap.stats().heap_objects == 0


def test_a_cycle_of_objects_is_freed(heap):
    a = heap.new(Node)
    a.left = heap.new(Node, right=a)
    del a
    heap.collect()
    assert heap.stats().heap_objects == 0


def test_a_uintptr_keeps_nothing(heap):
    Hidden = gh.struct("Hidden", p=gh.uintptr)
    target = heap.new(Node)
    h = heap.new(Hidden, p=gh.address_of(target))
    del target
    heap.collect()
    assert heap.stats().heap_objects == 1 and h.p == 0xC000000000


def test_a_list_of_a_million_nodes(heap):
    heap.gogc = None
    head = None
    for i in range(1_000_000):
        head = heap.new(Node, left=head, key=i)
    assert heap.collect().heap_marked >= 24_000_000
    assert heap.stats().heap_objects == 1_000_000
    n, total = head, 0
    while n is not None and total < 1000:
        n, total = n.left, total + 1
    del head, n
    heap.collect()
    assert heap.stats().heap_objects == 0


def test_gogc_decides_how_often():
    counts = []
    for gogc in (50, 100, 400, "off"):
        with gh.Heap(gogc=gogc) as h:
            kept = [h.alloc(1000) for _ in range(5000)]
            for _ in range(20000):
                h.alloc(1000)
            counts.append(h.num_gc)
            del kept
    assert counts[0] > counts[1] > counts[2] > counts[3] == 0


def test_gogc_is_read_back_and_changes_the_goal(heap):
    assert heap.gogc == 100 and heap.heap_goal == 4 << 20
    heap.gogc = 200
    assert heap.gogc == 200 and heap.heap_goal == 8 << 20
    heap.gogc = "off"
    assert heap.gogc is None and heap.heap_goal > 1 << 62
    heap.gogc = None
    assert heap.gogc is None and heap.stats().enable_gc


def test_cycles_are_a_live_view(heap):
    cycles = heap.cycles
    assert len(cycles) == 0 and list(cycles) == []
    heap.collect(), heap.collect()
    assert [c.n for c in cycles] == [1, 2] == [cycles[0].n, cycles[-1].n]
    assert [c.n for c in cycles[1:]] == [2]
    assert re.fullmatch(r"gc 2 @\d+\.\d{3}s \d+%: [\d.]+\+[\d.]+\+[\d.]+ ms clock, .* MB, "
                        r"\d+ MB goal, \d+ MB stacks, \d+ MB globals, 1 P \(forced\)", str(cycles[1]))
    assert pickle.loads(pickle.dumps(cycles[0])) == cycles[0]
    d = cycles[0].to_dict()
    assert d["n"] == 1 and d["wall_ns"] == cycles[0].end_ns - cycles[0].start_ns and "text" not in d


def test_the_virtual_clock_repeats_and_costs_are_its_prices():
    def run(costs=None):
        with gh.Heap(costs=costs) as h:
            for _ in range(10000):
                h.alloc(1000)
            return h.now_ns, [str(c) for c in h.cycles]
    assert run() == run() and len(run()[1]) > 1
    free = gh.Costs(alloc=0, alloc_byte=0, scan_byte=0, sweep_page=0, page_fault=0, stop=0)
    assert run(free)[0] == 0


def test_lazy_sweep_leaves_the_work_to_later():
    def run(sweep):
        with gh.Heap(policy=gh.Policy(sweep=sweep)) as h:
            for _ in range(5000):
                h.new(Node)
            h.gogc = 100
            while h.num_gc == 0:
                h.alloc(1024)
            return h.stats().frees
    assert run("lazy") < run("eager") == run(None)


def test_min_heap():
    with gh.Heap(policy=gh.Policy(min_heap="64MiB")) as h:
        assert h.heap_goal == 64 << 20


def test_root_scan_enters_the_goal():
    with gh.Heap(globals_scan="10MiB") as h:
        h.collect()
        assert h.collect().globals_scan == 10 << 20 and h.heap_goal >= 10 << 20


# ---- Ps -----------------------------------------------------------------------------------------


def test_on_p_chooses_the_cache():
    with gh.Heap(procs=3) as h:
        a = h.alloc(100)
        with h.on_p(2):
            b = h.alloc(100)
            with h.on_p(1):
                c = h.alloc(100)
            d = h.alloc(100)
        assert len({h.info(x).span for x in (a, b, c)}) == 3
        assert h.info(d).span == h.info(b).span
        h.procs = 1
        assert h.procs == 1
        with pytest.raises(ValueError):
            h.on_p(2)
        h.verify()


def test_procs_may_shrink_from_within_on_p():
    with gh.Heap(procs=4) as h:
        with h.on_p(0):
            h.procs = 2
        h.procs = 8
        with h.on_p(7):
            h.alloc(64)
        h.procs = 1
        h.verify()


# ---- figures ------------------------------------------------------------------------------------


def test_stats_is_pure_and_read_mem_stats_gives_the_same_figures():
    def run(ask):
        with gh.Heap(procs=2) as h:
            kept = []
            for i in range(3000):
                kept.append(h.alloc(i % 300))
                with h.on_p(i % 2):
                    kept.append(h.new(Node))
                if i % 3 == 0:
                    del kept[: i % 7]
                if ask:
                    h.stats(), h.cycles, h.heap_live, h.info(kept[-1]), repr(kept[-1])
            pure = h.stats()
            assert pure == h.stats()
            read = h.read_mem_stats()
            return pure, read, [gh.address_of(k) for k in kept]
    pure, read, addresses = run(True)
    assert pure == read
    assert (pure, read, addresses) == run(False)


def test_every_field_of_memstats(heap):
    kept = [heap.alloc(100) for _ in range(1000)]
    s = heap.stats()
    assert s.alloc == s.heap_alloc == s.total_alloc == 112_000 and s.mallocs == s.heap_objects == 1000
    assert s.heap_sys == s.heap_inuse + s.heap_idle and s.heap_inuse % 8192 == 0
    assert s.sys == (s.heap_sys + s.stack_sys + s.mspan_sys + s.mcache_sys + s.buck_hash_sys
                     + s.gc_sys + s.other_sys)
    assert len(s.pause_ns) == len(s.pause_end) == 256 and len(s.by_size) == 61
    row = next(b for b in s.by_size if b.size == 112)
    assert row.mallocs == 1000 and row.frees == 0
    assert s.next_gc == heap.heap_goal and s.enable_gc and not s.debug_gc
    del kept
    assert sorted(gh.MemStats.go_names.values()) == sorted("""Alloc TotalAlloc Sys Lookups Mallocs
        Frees HeapAlloc HeapSys HeapIdle HeapInuse HeapReleased HeapObjects StackInuse StackSys
        MSpanInuse MSpanSys MCacheInuse MCacheSys BuckHashSys GCSys OtherSys NextGC LastGC
        PauseTotalNs PauseNs PauseEnd NumGC NumForcedGC GCCPUFraction EnableGC DebugGC
        BySize""".split())


def test_differences(heap):
    a = heap.stats()
    heap.alloc(1 << 20)
    heap.collect(), heap.collect()
    b = heap.stats()
    d = b - a
    assert d.mallocs == 1 and d.frees == 1 and d.num_gc == d.num_forced_gc == 2
    assert d.total_alloc == 1 << 20 and d.heap_alloc == 0 and len(d.pause_ns) == 2
    assert sum(d.pause_ns) == d.pause_total_ns
    assert (a - b).mallocs == -1
    assert pickle.loads(pickle.dumps(b)) == b
    assert b.to_dict(go_names=True)["BySize"][1] == {"Size": 8, "Mallocs": 0, "Frees": 0}
    with pytest.raises(TypeError):
        b - 3


def test_free_os_memory(heap):
    b = heap.alloc("64MiB")
    del b
    heap.free_os_memory()
    s = heap.stats()
    assert s.heap_released >= 64 << 20 and s.heap_idle - s.heap_released < 1 << 20


# ---- buffers ----------------------------------------------------------------------------------------


def test_buffers(heap):
    raw = heap.alloc(8)
    view = memoryview(raw)
    view[:] = b"abcdefgh"
    assert bytes(raw) == b"abcdefgh" and view.format == "B" and not view.readonly
    numbers = heap.array(gh.float64, 4)
    view = memoryview(numbers)
    view[2] = 2.5
    assert (view.format, view.itemsize, view.shape, numbers[2]) == ("d", 8, (4,), 2.5)
    node = memoryview(heap.new(Node, key=-1))
    assert node.readonly and node[16:] == b"\xff" * 8
    Flat = gh.struct("Flat", a=gh.uint16, b=gh.uint16)
    flat = heap.new(Flat, b=0x0201)
    assert bytes(flat) == b"\0\0\1\2" and not memoryview(flat).readonly
    assert memoryview(heap.array(Flat, 3)).nbytes == 12


def test_a_buffer_keeps_its_object_and_outlives_the_heap():
    heap = gh.Heap()
    big, small = heap.alloc("1MiB"), heap.alloc(20)
    views = memoryview(big), memoryview(small)
    for v in views:
        v[0], v[-1] = 7, 9
    del big, small
    heap.collect()
    assert heap.stats().heap_objects == 2
    heap.close()
    gc.collect()
    for v in views:
        assert (v[0], v[-1], sum(v)) == (7, 9, 16)
        v[1] = 1
        v.release()


def test_a_dead_handle_gives_no_buffer():
    heap = gh.Heap()
    b = heap.alloc(8)
    heap.close()
    with pytest.raises(gh.HeapClosedError):
        memoryview(b)


# ---- lifetimes ------------------------------------------------------------------------------------------


def end_by_close():
    heap = gh.Heap()
    made = [heap.new(Node, key=3), heap.array(Node, 2), heap.alloc(3), heap.array(gh.int8, 70_000)]
    heap.close()
    heap.close()
    return made, "closed"


def end_by_loss():
    heap = gh.Heap()
    return [heap.new(Node, key=3), heap.array(Node, 2), heap.alloc(3), heap.array(gh.int8, 70_000)], "gone"


@pytest.mark.parametrize("end", [end_by_close, end_by_loss])
def test_dead_handles(end):
    (node, array, block, long), why = end()
    for x in (node, array, block, long):
        assert x == x and hash(x) == hash(x) and bool(x) and "heap ended" in repr(x)
        assert isinstance(x, gh.Ref) and x in {x} and x != 3
    other = gh.Heap()
    fresh = other.new(Node)
    assert node != fresh
    for call in (lambda: node.key, lambda: node.left, lambda: setattr(node, "key", 1),
                 lambda: array[0], lambda: list(array), lambda: len(long), lambda: memoryview(block),
                 lambda: array.__setitem__(0, fresh), lambda: gh.address_of(node),
                 lambda: gh.heap_of(node), lambda: gh.sizeof(node), lambda: gh.cast(node, Node),
                 lambda: other.info(node), lambda: setattr(fresh, "left", node),
                 lambda: other.new(Node, left=node)):
        with pytest.raises(gh.HeapClosedError, match="heap of this|closed") as e:
            call()
        assert isinstance(e.value, ValueError) and (why in str(e.value) or "closed" in str(e.value))


def test_a_closed_heap_refuses_everything(heap):
    h = gh.Heap()
    h.close()
    assert h.closed and repr(h) == "<Heap, closed>"
    for call in (lambda: h.alloc(1), lambda: h.new(Node), lambda: h.array(Node, 1), h.collect,
                 h.stats, h.read_mem_stats, h.verify, h.free_os_memory, lambda: h.gogc,
                 lambda: setattr(h, "gogc", 5), lambda: h.procs, lambda: setattr(h, "procs", 1),
                 lambda: h.heap_live, lambda: h.heap_goal, lambda: h.trigger, lambda: h.num_gc,
                 lambda: h.now_ns, lambda: len(h.cycles), lambda: h.info(0xC000000000),
                 lambda: h.on_p(0)):
        with pytest.raises(gh.HeapClosedError, match="this heap is closed"):
            call()


def test_with_does_not_hide_an_exception():
    with pytest.raises(KeyError), gh.Heap() as h:
        with h.on_p(0):
            h.close()
            raise KeyError


def test_handles_of_another_heap_are_refused(heap):
    with gh.Heap() as other:
        foreign = other.new(Node)
        mine = heap.new(Node)
        assert foreign != mine and gh.address_of(foreign) == gh.address_of(mine)
        for call in (lambda: setattr(mine, "left", foreign), lambda: heap.info(foreign),
                     lambda: heap.new(Node, left=foreign),
                     lambda: heap.array(gh.Ptr[Node], 1).__setitem__(0, foreign)):
            with pytest.raises(gh.ForeignRefError, match="a handle of another heap"):
                call()


def test_handles_are_small_untracked_and_stay_here(heap):
    n = heap.new(Node)
    assert not gc.is_tracked(n)
    if not getattr(sys.flags, "gil", 1) == 0:
        assert sys.getsizeof(n) == 32
    with pytest.raises(TypeError):
        weakref.ref(n)
    for f in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            f(n)
    assert gh.heap_of(n) is heap


def test_equality_is_by_place(heap):
    a = heap.new(Node)
    b = heap.new(Node, left=a)
    assert b.left == a and b.left is not a and hash(b.left) == hash(a) and len({a, b.left, b}) == 2
    assert (a == None) is False and a != "x"  # noqa: E711
    with pytest.raises(TypeError):
        a < b


def test_a_heap_is_not_kept_by_its_handles():
    heap = gh.Heap()
    kept = [heap.new(Node) for _ in range(10)]
    ref = weakref.ref(heap)
    del heap
    assert ref() is None
    assert repr(kept[0]) == "<Node at 0xc000000000, heap ended>"


def test_heaps_come_and_go():
    """The number of a heap is used again, under another generation."""
    old = []
    for i in range(300):
        h = gh.Heap(address_space="1GiB")
        n = h.new(Node, key=i)
        assert n.key == i
        old.append(n)
        if i % 2:
            h.close()
    for n in old[:-1]:
        with pytest.raises(gh.HeapClosedError):
            n.key


def maps():
    with open("/proc/self/maps") as f:
        lines = f.readlines()
    if any("/libasan" in line for line in lines):
        pytest.skip("AddressSanitizer keeps memory back")
    return len(lines)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/maps")
def test_a_closed_heap_leaves_no_mapping():
    def once():
        with gh.Heap(procs=2) as h:
            kept = [h.new(Node) for _ in range(2000)]
            h.collect()
            return len(kept)
    once()
    gc.collect()
    before = maps()
    for _ in range(20):
        once()
    assert abs(maps() - before) <= 2


def test_a_subclass_with_state():
    class Cached(gh.Heap):
        def fill(self):
            self.root = self.new(Node, key=9)

    with Cached(gogc=50) as h:
        h.fill()
        h.collect()
        assert h.root.key == 9 and h.gogc == 50 and gh.heap_of(h.root) is h


# ---- threads and interpreters --------------------------------------------------------------------------------


def test_threads_share_a_heap():
    with gh.Heap(procs=4) as h:
        failed = []
        start = threading.Barrier(4)

        def work(seed):
            try:
                start.wait()
                top = None
                for i in range(3000):
                    with h.on_p((seed + i) % 4):
                        top = h.new(Node, left=top, key=seed * 10000 + i)
                    if i % 500 == 499:
                        h.collect()
                for i in reversed(range(3000)):
                    assert top.key == seed * 10000 + i
                    top = top.left
            except BaseException as e:  # noqa: BLE001
                failed.append(e)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failed
        h.verify()
        assert h.num_gc >= 24
        h.collect()
        assert h.stats().heap_objects == 0


def test_another_interpreter():
    try:
        import _interpreters as interpreters
    except ImportError:
        interpreters = pytest.importorskip("_xxsubinterpreters")
    code = ("import goheap as gh\n"
            "class N(gh.Struct):\n    p: gh.Ptr['N']\n    v: gh.int32\n"
            "with gh.Heap() as h:\n    n = h.new(N, v=4)\n    n.p = n\n    h.collect()\n"
            "    assert n.p.v == 4\n"
            "x = gh.Heap().alloc(3)\n")
    for _ in range(3):
        i = interpreters.create()
        try:
            result = interpreters.run_string(i, code)
            assert not result, result
        finally:
            interpreters.destroy(i)


# ---- what needs no heap --------------------------------------------------------------------------------------


def test_size_classes():
    classes = gh.size_classes()
    assert len(classes) == 67 and classes[0] == (8, 8192, 1024, 1008, 0, 0.875)
    assert classes[-1].size == 32768


def test_explain():
    for what, path, elemsize in ((0, "zero", 0), (1, "tiny", 16), (16, "small noscan", 16),
                                 (Node, "small scan", 24), ((Node, 100), "small scan with header", 2688),
                                 ((gh.int8, 40_000), "large", 40960), ("1MiB", "large", 1 << 20)):
        x = gh.explain(what)
        assert (x.path, x.elemsize) == (path, elemsize), what
        assert str(x).startswith(str(x.size))
    assert gh.explain(3, policy=gh.Policy(tiny=False)).elemsize == 8
    assert gh.explain(600, pointers=True).header and gh.explain(600, pointers=True).waste == 640 - 608
    with gh.Heap() as h:
        for size in (1, 8, 100, 513, 5000, 32768, 32769):
            assert h.info(h.alloc(size)).elemsize == gh.explain(size).elemsize


def test_versions():
    assert gh.GO_VERSION == "go1.26.8"
    assert not [n for n in gh.__all__ if not hasattr(gh, n)]


def vm_flags(block):
    """What /proc says of the memory that block lies in."""
    import ctypes
    at = ctypes.addressof(ctypes.c_char.from_buffer(block))
    inside = False
    with open("/proc/self/smaps") as lines:
        for line in lines:
            word = line.split()[0]
            if not word.endswith(":"):
                low, high = (int(x, 16) for x in word.split("-"))
                inside = low <= at < high
            elif word == "VmFlags:" and inside:
                return line.split()[1:]
    raise AssertionError("no mapping holds the block")


@pytest.mark.parametrize("mode", ["stw", "virtual", "concurrent"])
def test_huge_pages(mode):
    with gh.Heap(mode=mode, address_space="1GiB") as heap:
        assert heap.huge_pages == "off"
        assert "hg" not in vm_flags(heap.alloc("1MiB"))
        heap.alloc("20MiB")
        plain = heap.stats()
    with gh.Heap(mode=mode, address_space="1GiB", huge_pages=True) as heap:
        block = heap.alloc("1MiB")
        state = heap.huge_pages
        assert state in ("on", "refused")
        assert ("hg" in vm_flags(block)) == (state == "on")
        heap.alloc("20MiB")
        stats = heap.stats()
        assert (stats.heap_sys, stats.sys) == (plain.heap_sys, plain.sys)  # the books are Go's
        heap.free_os_memory()
        assert ("hg" in vm_flags(block)) == (heap.huge_pages == "on")
    with pytest.raises(gh.HeapClosedError):
        heap.huge_pages
    with pytest.raises(TypeError, match="huge_pages must be True or False, not 'int'"):
        gh.Heap(huge_pages=1)
