"""Every OS call of a heap fails once, and from then on: an exception or success, and a
heap that verifies and goes on."""
from __future__ import annotations

import collections
import random

import pytest
from test_replay import sample_history

import goheap as gh
from goheap import _core, testing

pytestmark = pytest.mark.thread_unsafe(reason="calls of the OS fail for the whole process")


class Node(gh.Struct):
    left: gh.Ptr[Node]
    right: gh.Ptr[Node]
    key: gh.int64


class Wide(gh.Struct):
    a: gh.Ptr
    pad: gh.Fixed[int] = gh.fixed(gh.uintptr, 90)  # 736 bytes: an object with a header


def step(heap, fn, *args, **kw):
    """A step that is tried again when the system refused: it left the heap sound."""
    try:
        return fn(*args, **kw)
    except gh.HeapMemoryError:
        heap.verify()
        return fn(*args, **kw)


def careful(heap, fn, *args, **kw):
    """The same, and a step that failed has added no object and changed no setting."""
    before = heap.stats().heap_objects, heap.gogc, heap.procs
    try:
        return fn(*args, **kw)
    except gh.HeapMemoryError:
        heap.verify()
        after = heap.stats().heap_objects, heap.gogc, heap.procs
        assert after[0] <= before[0] and after[1:] == before[1:]  # garbage may have gone
        return fn(*args, **kw)


def create():
    gh.Heap(procs=3, address_space="4GiB").close()


def small():
    with gh.Heap(gogc=None) as heap:
        kept = [step(heap, heap.alloc, size) for size in range(0, 2000, 40) for _ in range(4)]
        kept += [step(heap, heap.new, Node, key=i) for i in range(2000)]
        assert [n.key for n in kept[-2000:]] == list(range(2000))
        heap.verify()


def large():
    with gh.Heap(gogc=50) as heap:
        kept = []
        for i in range(12):
            block = step(heap, heap.alloc, (i + 1) << 20)
            memoryview(block)[-1] = i
            kept.append(block)
            step(heap, heap.alloc, "3MiB")
        assert [memoryview(b)[-1] for b in kept] == list(range(12))
        heap.verify()


def arrays():
    with gh.Heap() as heap:
        a = step(heap, heap.array, gh.Ptr, 40_000)
        nodes = step(heap, heap.array, Node, 300)
        for i in range(0, 40_000, 100):
            a[i] = step(heap, heap.new, Wide, a=nodes)
        step(heap, heap.collect)
        assert all(a[i].a == nodes for i in range(0, 40_000, 100))
        heap.verify()


def growth():
    """Past one arena of 64 MiB, whose tables are mapped as it is reached."""
    with gh.Heap(gogc=None) as heap:
        kept = [step(heap, heap.alloc, "30MiB") for _ in range(7)]
        kept += [step(heap, heap.alloc, 16) for _ in range(5000)]
        heap.verify()


def huge():
    """Huge pages that are refused: the heap goes on with small ones."""
    with gh.Heap(gogc=None, huge_pages=True) as heap:
        assert heap.huge_pages in ("on", "refused")
        kept = [step(heap, heap.alloc, "3MiB") for _ in range(5)]
        for block in kept:
            memoryview(block)[::4096] = b"x" * 768
        kept.clear()
        del block
        step(heap, heap.free_os_memory)
        assert heap.huge_pages in ("on", "refused")
        heap.verify()


def collect():
    """A wide tree: the marker needs more than one of its buffers."""
    with gh.Heap(gogc=None, policy=gh.Policy(sweep="lazy")) as heap:
        top = step(heap, heap.array, gh.Ptr, 5_000)
        for i in range(5_000):
            top[i] = step(heap, heap.new, Node, key=i)
        for _ in range(2):
            step(heap, heap.collect)
            for i in range(0, 5_000, 3):
                top[i] = step(heap, heap.new, Node, left=top[i], key=i)
        assert all(top[i].key == i for i in range(0, 5_000, 97))
        heap.verify()


def automatic():
    """Cycles that allocation starts."""
    with gh.Heap(gogc=25, policy=gh.Policy(min_heap="256KiB")) as heap:
        ring = step(heap, heap.array, Node, 50)
        rng = random.Random(7)
        for i in range(6000):
            ring[rng.randrange(50)].left = step(heap, heap.new, Node, key=i)
            if i % 50 == 0:
                step(heap, heap.alloc, 20_000)
        # Without memory for the marker no cycle begins, until the heap cannot grow.
        assert heap.num_gc > 2 or heap.heap_live > heap.heap_goal
        heap.verify()


def free_os_memory():
    with gh.Heap() as heap:
        for _ in range(3):
            kept = [step(heap, heap.alloc, "1MiB") for _ in range(8)]
            for block in kept:
                memoryview(block)[::4096] = b"x" * 256
            del kept, block
            step(heap, heap.free_os_memory)
        heap.verify()


def many_procs():
    with gh.Heap(procs=2) as heap:
        for procs in (64, 3, 300, 1, 20):
            try:
                heap.procs = procs
            except gh.HeapMemoryError:
                heap.verify()
                heap.procs = procs
            assert heap.procs == procs
            with heap.on_p(procs - 1):
                step(heap, heap.alloc, 100)
                step(heap, heap.new, Node)
        step(heap, heap.read_mem_stats)
        heap.verify()


def many_types():
    with gh.Heap() as heap:
        kept = []
        for i in range(120):
            T = gh.struct("T", a=gh.Ptr, b=gh.fixed(gh.uintptr, i), c=gh.fixed(gh.Ptr, i))
            kept.append(step(heap, heap.new, T))
            kept.append(step(heap, heap.array, T, i))
        # A mask so long that it gets memory of its own.
        kept.append(step(heap, heap.new, gh.words("W", 8 << 20, ptrs="0-1000000")))
        heap.verify()


def two_heaps():
    """Each with objects of all ways, and the contents looked at after each failure."""
    with gh.Heap(address_space="1GiB") as one, gh.Heap(address_space="2GiB") as two:
        kept = []
        for i in range(200):
            kept.append(careful(one, one.alloc, 400 * i))
            kept.append(careful(two, two.new, Wide))
            kept.append(careful(two, two.array, gh.Ptr, 70 * i))
        careful(one, one.collect)
        one.verify()
        two.verify()


def script():
    """A script says at which line its heap had no more memory."""
    text = "\n".join(["goheap-script 1", "slots 5000", "procs 2", "type t 64 ptr=0,3-5",
                      "repeat i 3000", "alloctype $i t", "store $i.0 $i/2", "end", "onp 1",
                      "random 7 3000 sizes=log:3-12 base=0 live=1000 scan=50 link=40",
                      "gc", "stats a", "gogc 50", "random 8 900 sizes=u:1-9000 base=0 live=90",
                      "freeos", "addrhash h 0 5000", "stats b", ""])
    try:
        assert gh.Script(text).run().stats["b"]["mem"]["NumForcedGC"]
    except gh.ScriptError as e:
        assert ("bytes left" in str(e) or "out of memory" in str(e)) and e.line > 4
        raise MemoryError(str(e)) from e


def replay(path):
    return lambda: gh.replay(path)


def close():
    """A buffer that outlives its heap, and a heap that is lost."""
    heap = gh.Heap()
    view = memoryview(step(heap, heap.alloc, 100_000))
    step(heap, heap.collect)
    heap.close()
    view[5] = 9
    assert view[5] == 9 and len(view) == 100_000
    view.release()
    lost = gh.Heap()
    block = step(lost, lost.alloc, 10)
    del lost
    with pytest.raises(gh.HeapClosedError):
        len(block), gh.sizeof(block)


def roots():
    """A run that fails gives its roots back."""
    with gh.Heap(gogc=None) as heap:
        many = step(heap, heap.new_many, Node, 150_000)
        many.store("key", range(150_000))
        many[:-1].store(Node.left, many[1:])
        many[1:].clear()
        step(heap, heap.collect)
        assert heap.stats().heap_objects == 150_000
        assert list(many[:1].load("left").values("key")) == [1]
        heap.verify()


def by_hand():
    """A cycle with the program in between; what is made meanwhile is black."""
    with gh.Heap(gogc=None) as heap:
        top = step(heap, heap.array, gh.Ptr, 3000)
        for i in range(3000):
            top[i] = step(heap, heap.new, Node, key=i)
        step(heap, heap.gc_start)
        while heap.phase != "off" and step(heap, heap.gc_step, 400).left:
            for i in range(0, 3000, 50):
                top[i] = step(heap, heap.new, Node, left=top[i], right=top[(i + 7) % 3000])
                step(heap, heap.alloc, 9000)
            heap.verify()
        step(heap, heap.gc_finish)
        assert top[0].left is not None and heap.num_gc == 1
        heap.verify()


def virtual():
    """Cycles beside the program, assists, the scavenger and the memory limit."""
    with gh.Heap(mode="virtual", gogc=50, memory_limit="6MiB",
                 policy=gh.Policy(min_heap="256KiB")) as heap:
        ring = step(heap, heap.array, Node, 100)
        for i in range(2000):
            ring[i * 7 % 100].left = step(heap, heap.new, Node, key=i)
            if i % 20 == 0:
                step(heap, heap.alloc, 9000)
            if i % 1000 == 999:
                step(heap, heap.advance, 10**8)
        step(heap, heap.collect)
        assert all(ring[i * 7 % 100].left.key == i for i in range(1900, 2000))
        heap.verify()


def looking():
    with gh.Heap() as heap, heap.watch() as log, heap.record() as series:
        kept = [step(heap, heap.new, Node, key=i) for i in range(3000)]
        step(heap, heap.label, kept[0], "first")
        step(heap, heap.collect)
        snap = step(heap, heap.snapshot, edges=True)
        assert len(snap.objects) == 3000 and len(log) > 3 and len(series) == 1
        heap.verify()


def hard_limit():
    """The heap's own limit and the system's refusals together."""
    with gh.Heap(hard_limit="16MiB") as heap:
        kept = []
        try:
            while len(kept) < 100:
                kept.append(heap.alloc("1MiB"))
        except gh.HeapMemoryError:
            heap.verify()
        assert len(kept) < 16
        kept.clear()
        step(heap, heap.alloc, "4MiB")
        heap.verify()


SCENARIOS = [create, small, large, arrays, growth, huge, collect, automatic, free_os_memory,
             many_procs, many_types, two_heaps, script, close, roots, by_hand, virtual, looking,
             hard_limit]
OS_CALLS = ("reserve", "map", "unused", "fault", "huge")
hit: collections.Counter[str] = collections.Counter()


@pytest.fixture
def counted(monkeypatch):
    """Sums up which calls were made to fail."""
    end = _core.fault_end

    def fault_end():
        calls = end()
        for name, (made, failed) in calls.items():
            hit[name, "made"] += made
            hit[name, "failed"] += failed
        return calls
    monkeypatch.setattr(_core, "fault_end", fault_end)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_sweep(scenario, counted):
    calls = testing.fault_sweep(scenario)
    assert calls >= 15
    hit["calls"] += calls


def test_sweep_replay(counted, tmp_path):
    path = tmp_path / "sample.ghtrace"
    path.write_bytes(sample_history().file())
    hit["calls"] += testing.fault_sweep(replay(path))


def test_every_kind_of_call_was_failed():
    if hit["calls"] == 0:
        pytest.skip("after the whole file only")
    print("OS calls failed, each once and with all after it: %d" % hit["calls"])
    for name in OS_CALLS:
        assert hit[name, "failed"] > 0 and hit[name, "made"] > hit[name, "failed"], (name, hit)


# ---- the sweep itself -----------------------------------------------------------------


def test_sweep_names_the_call():
    def wrong():
        try:
            gh.Heap(address_space="1GiB").close()
        except gh.HeapMemoryError:
            raise KeyError("not a MemoryError") from None
    with pytest.raises(KeyError) as e:
        testing.fault_sweep(wrong)
    assert "OS call 1 failing" in e.value.__notes__[0]


def test_sweep_finds_a_broken_heap(monkeypatch):
    kept = []

    def scenario():
        kept.append(gh.Heap(address_space="1GiB"))
    monkeypatch.setattr(gh.Heap, "_verify", lambda self: ("[inv:test] broken", None))
    with pytest.raises(gh.HeapCorruptionError) as e:
        testing.fault_sweep(scenario)
    assert "failing" in e.value.__notes__[0]


def test_sweep_lets_other_errors_through():
    def no_memory():
        raise MemoryError("of another kind")
    with pytest.raises(MemoryError, match="of another kind"):
        testing.fault_sweep(no_memory)
    with pytest.raises(TypeError, match="callable"):
        testing.fault_sweep(None)
    assert testing.fault_sweep(lambda: None) == 0  # and the switch is off again


def test_switch():
    with pytest.raises(gh.HeapStateError):
        _core.fault_end()
    _core.fault_begin(0, 0)
    with pytest.raises(gh.HeapStateError):
        _core.fault_begin(0, 1)
    heap = gh.Heap(address_space="1GiB")
    calls = _core.fault_end()
    assert calls["reserve"][0] > 0 and not any(failed for _, failed in calls.values())
    heap.alloc("5MiB")  # its table outlives the switch
    heap.verify()
    view = memoryview(heap.alloc(10))
    assert any(h is heap for h in _core.live_heaps())
    heap.close()
    assert not any(h is heap for h in _core.live_heaps())
    view.release()


@pytest.mark.parametrize("bad", [-1, 1 << 64, 1.5, "1", None, True])
def test_switch_arguments(bad):
    with pytest.raises((TypeError, ValueError, OverflowError)):
        _core.fault_begin(bad, 1)
    with pytest.raises((TypeError, ValueError, OverflowError)):
        _core.fault_begin(1, bad)
    with pytest.raises(gh.HeapStateError):
        _core.fault_end()
