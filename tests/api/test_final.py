"""Finalizers, cleanups, weak handles and pins: Go's rules, a test for each.

csrc/design/finalizers.md has the table of rules; each row names its test here. The names of
Go's own tests (mfinal_test.go, mcleanup_test.go, weak/pointer_test.go, pinner_test.go) stand
in the docstrings of those that carry them over.
"""
from __future__ import annotations

import gc
import pathlib
import re
import sys
import threading
import weakref

import pytest

import goheap as gh


class Node(gh.Struct):
    next: gh.Ptr[Node]
    key: gh.int64


class Small(gh.Struct):
    a: gh.int32


class Parts(gh.Struct):
    p: gh.Ptr
    a: gh.Embed[Small]
    b: gh.Embed[Small]
    c: gh.Embed[Small]


@pytest.fixture(params=["eager", "lazy", "virtual"])
def heap(request):
    mode = "virtual" if request.param == "virtual" else "stw"
    policy = gh.Policy(sweep="lazy") if request.param == "lazy" else gh.Policy()
    with gh.Heap(gogc="off", mode=mode, policy=policy) as h:
        yield h
        if not h.closed:
            h.verify()


@pytest.fixture
def unraisable(monkeypatch):
    # Not the exceptions: their tracebacks would keep handles.
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda u: told.append((u.exc_type, u.object)))
    return told


# ---- finalizers -------------------------------------------------------------------------

def test_finalizer_gets_the_object(heap):
    """TestFinalizerType, TestFinalizerInterfaceBig: the object, whole, as its class."""
    told = []
    for cls, fields in ((Node, {"key": 97531}), (Parts, {})):
        ref = heap.new(cls, **fields)
        addr = gh.address_of(ref)
        heap.set_finalizer(ref, lambda x, addr=addr: told.append(
            (type(x), gh.address_of(x) == addr, getattr(x, "key", None))))
        del ref
        heap.collect()
    many = heap.array(Node, 3)
    heap.set_finalizer(many, lambda x: told.append((len(x), isinstance(x, gh.Array))))
    long = heap.alloc(100000)
    heap.set_finalizer(long, lambda x: told.append(len(memoryview(x))))
    del many, long
    heap.collect()
    assert told[:2] == [(Node, True, 97531), (Parts, True, None)]
    assert sorted(told[2:], key=str) == [(3, True), 100000]


def test_finalizer_runs_once_and_the_object_is_freed_a_cycle_later(heap):
    told = []
    ref = heap.new(Node, key=1)
    addr = gh.address_of(ref)
    heap.set_finalizer(ref, lambda x: told.append(x.key))
    heap.collect()
    assert told == [] and heap.pending == 0
    del ref
    heap.collect()
    assert told == [1]
    heap.info(addr)  # still there
    heap.collect()
    assert told == [1]
    with pytest.raises(LookupError):
        heap.info(addr)


def test_finalizers_of_one_sweep_run_last_first(heap):
    """[gc:71,95] Six in one sweep ran 15,14,...: in blocks of 101, the last first; so 150 do."""
    told = []
    refs = [heap.new(Node, key=i) for i in range(150)]
    for ref in refs:
        heap.set_finalizer(ref, lambda x: told.append(x.key))
    del ref, refs
    heap.collect()
    assert told == list(range(149, -1, -1))


def test_finalizers_run_in_dependency_order(heap):
    """A points at B: A's in cycle 1, B's in cycle 2."""
    told = []
    b = heap.new(Node, key=2)
    a = heap.new(Node, next=b, key=1)
    for ref in (a, b):
        heap.set_finalizer(ref, lambda x: told.append((heap.num_gc, x.key)))
    del a, b, ref
    heap.collect()
    assert told == [(1, 1)]
    heap.collect()
    assert told == [(1, 1), (2, 2)]


def test_ring_with_a_finalizer_is_never_freed(heap):
    told = []
    a = heap.new(Node)
    b = heap.new(Node, next=a)
    a.next = b
    addr = gh.address_of(a)
    heap.set_finalizer(a, told.append)
    del a, b
    for _ in range(3):
        heap.collect()
    assert told == [] and heap.info(addr)


def test_second_finalizer_is_refused(heap):
    """Fatal in Go: "finalizer already set"."""
    ref = heap.new(Node)
    heap.set_finalizer(ref, print)
    with pytest.raises(ValueError, match="has a finalizer"):
        heap.set_finalizer(ref, print)
    heap.set_finalizer(ref, None)
    heap.set_finalizer(ref, print)
    heap.set_finalizer(ref, None)


def test_none_takes_the_finalizer_away(heap):
    """BenchmarkFinalizer does it a thousand times; TestFinalizerOnGlobal on what has none."""
    told = []
    for _ in range(100):
        refs = [heap.new(Node) for _ in range(10)]
        for ref in refs:
            heap.set_finalizer(ref, told.append)
        for ref in refs:
            heap.set_finalizer(ref, None)
            heap.set_finalizer(ref, None)
    del ref, refs
    heap.collect()
    assert told == [] and heap._calls == {}


def test_finalizer_needs_the_start_of_an_object(heap):
    """Fatal in Go, but where the pointer is to less than 16 bytes without pointers."""
    told = []
    many = heap.array(Node, 3)
    with pytest.raises(ValueError, match="beginning"):
        heap.set_finalizer(many[1], print)
    parts = heap.new(Parts)
    heap.set_finalizer(parts.b, lambda x: told.append(type(x)))
    heap.set_finalizer(parts, lambda x: told.append(type(x)))
    del parts
    heap.collect()
    assert told == [Small, Parts]


def test_zero_size_object_has_no_finalizer(heap):
    """TestFinalizerZeroSizedStruct, TestCleanupZeroSizedStruct: nothing, silently."""
    ref = heap.new(gh.struct("Empty"))
    heap.set_finalizer(ref, print)
    heap.set_finalizer(heap.alloc(0), print)
    cleanup = heap.add_cleanup(ref, print, "foo")
    assert not cleanup.stop() and heap._calls == {}
    weak = heap.weak(ref)
    del ref
    heap.collect()
    assert weak() is not None and weak == heap.weak(heap.alloc(0))


def test_tiny_parts_go_together(heap):
    """Objects that share a block die when the last of them does."""
    told = []
    refs = [heap.new(Small, a=i) for i in range(4)]
    assert len({gh.address_of(r) // 16 for r in refs}) == 1
    for ref in refs:
        heap.set_finalizer(ref, lambda x: told.append(x.a))
    weak = heap.weak(refs[0])
    heap.add_cleanup(refs[1], told.append, "c")
    keep = refs[2]
    heap.read_mem_stats()  # no P takes from it any more
    del ref, refs
    heap.collect()
    assert told == [] and weak().a == 0
    del keep
    heap.collect()
    assert told == [3, 2, 1, 0] and weak() is None
    heap.collect()
    assert told == [3, 2, 1, 0, "c"]


def test_empty_slice_does_not_hold_the_next_object(heap):
    """TestEmptySlice, TestEmptyString: a pointer past the end would."""
    told = []
    many = [heap.alloc(320) for _ in range(25)]
    x, y = next((a, b) for a in many for b in many
                if gh.address_of(a) + 320 == gh.address_of(b))
    heap.set_finalizer(y, lambda z: told.append(len(z)))
    view = memoryview(x)[320:]
    del many, y
    heap.collect()
    assert told == [320] and len(view) == 0


def test_a_use_keeps_alive(heap):
    """TestDeferKeepAlive: a handle is a use, as long as it is there."""
    told = []
    ref = heap.new(Node)
    heap.set_finalizer(ref, told.append)
    heap.collect()
    heap.collect()
    assert told == [] and ref.key == 0


def test_live_object_with_a_finalizer_counts_twice(heap):
    refs = [heap.new(Node) for _ in range(1000)]
    before = heap.collect()
    for ref in refs:
        heap.set_finalizer(ref, print)
    after = heap.collect()
    assert after.heap_marked - before.heap_marked == 16000
    assert after.scan_work - before.scan_work == 8000


def test_resurrected_object_may_have_a_finalizer_again(heap):
    kept, told = [], []

    def revive(x):
        told.append(x.key)
        x.key += 1
        kept.append(x)

    kept.append(heap.new(Node))
    for i in range(5):
        heap.set_finalizer(kept[0], revive)
        kept.clear()
        heap.collect()
        assert told == list(range(i + 1)) and kept[0].key == i + 1


# ---- cleanups -----------------------------------------------------------------------------

def test_cleanup(heap):
    """TestCleanup, TestCleanupMultiple: each once, newest first."""
    told = []
    ref = heap.new(Node)
    for i in (1, 2, 3):
        heap.add_cleanup(ref, told.append, i)
    heap.add_cleanup(ref, lambda *a: told.append(a))
    heap.add_cleanup(ref, lambda *a: told.append(a), 97531, "x")
    heap.collect()
    assert told == []
    del ref
    heap.collect()
    assert told == [(97531, "x"), (), 3, 2, 1]
    heap.collect()
    assert len(told) == 5


def test_cleanup_frees_at_once(heap):
    """No resurrection: the object is gone before the cleanup runs."""
    told = []
    ref = heap.new(Node)
    addr = gh.address_of(ref)

    def gone():
        with pytest.raises(LookupError):
            heap.info(addr)
        told.append(True)

    heap.add_cleanup(ref, gone)
    del ref
    heap.collect()
    assert told == [True]


def test_cleanup_after_finalizer(heap):
    """TestCleanupAfterFinalizer: finalizer in GC 1, cleanup in GC 2."""
    told = []
    ref = heap.new(Node)
    heap.add_cleanup(ref, told.append, 2)
    heap.set_finalizer(ref, lambda x: told.append(1))
    del ref
    heap.collect()
    assert told == [1]
    heap.collect()
    assert told == [1, 2]


def test_cleanup_of_the_inside(heap):
    """TestCleanupInteriorPointer: at three fields; by address."""
    told = []
    parts = heap.new(Parts)
    for name in "cab":
        heap.add_cleanup(getattr(parts, name), told.append, name)
    del parts
    heap.collect()
    assert told == ["a", "b", "c"]


def test_cleanups_of_many_objects_run_in_blocks(heap):
    """Blocks of 20, the last first; in a block by address. Go with one P did the same."""
    told = []
    refs = [heap.new(Node) for _ in range(45)]
    for i, ref in enumerate(refs):
        heap.add_cleanup(ref, told.append, i)
    del ref, refs
    heap.collect()
    assert told == [*range(40, 45), *range(20, 40), *range(20)]


def test_cleanup_stop(heap):
    """TestCleanupStop, TestCleanupStopMultiple."""
    ref = heap.new(Node)
    cleanup = heap.add_cleanup(ref, pytest.fail)
    assert [cleanup.stop() for _ in range(3)] == [True, False, False]
    assert heap._calls == {}
    del ref
    heap.collect()


def test_cleanup_stop_in_between(heap):
    """TestCleanupStopinterleavedMultiple."""
    told = []
    ref = heap.new(Node)
    heap.add_cleanup(ref, told.append, 1)
    heap.add_cleanup(ref, told.append, 2).stop()
    heap.add_cleanup(ref, told.append, 1)
    heap.add_cleanup(ref, told.append, 2).stop()
    heap.add_cleanup(ref, told.append, 1)
    del ref
    heap.collect()
    assert told == [1, 1, 1]


def test_cleanup_stop_after_it_ran(heap):
    """TestCleanupStopAfterCleanupRuns; and while it waits."""
    told = []
    ref = heap.new(Node)
    cleanup = heap.add_cleanup(ref, lambda: told.append(cleanup.stop()))
    other = heap.add_cleanup(ref, told.append, 1)
    del ref
    heap.collect()
    assert told == [1, False] and not cleanup.stop() and not other.stop()
    again = heap.new(Node)  # in the same place
    mine = heap.add_cleanup(again, told.append, 2)
    assert not cleanup.stop() and mine.stop()


def test_cleanup_of_itself_is_refused(heap):
    """TestCleanupPointerEqualsArg, TestCleanupUnreachablePointer,
    TestCleanupUnreachableClosure."""
    ref = heap.new(Node)
    parts = heap.new(Parts)
    with pytest.raises(ValueError, match="never"):
        heap.add_cleanup(ref, print, ref)
    with pytest.raises(ValueError, match="never"):
        heap.add_cleanup(ref, print, 1, gh.cast(ref, Node))
    with pytest.raises(ValueError, match="never"):
        heap.add_cleanup(parts, print, parts.b)
    with pytest.raises(ValueError, match="never"):
        heap.add_cleanup(ref, lambda: ref.key)
    heap.add_cleanup(ref, print, parts)  # another object may be
    heap.add_cleanup(ref, print, heap.weak(ref))
    a, b = heap.alloc(4), heap.alloc(4)
    assert gh.address_of(b) == gh.address_of(a) + 4
    heap.add_cleanup(a, print, b)  # as may another part of a tiny block
    heap.close()


def test_cleanups_are_not_lost(heap):
    """TestCleanupLost: 10,000."""
    got = []
    for _ in range(10_000):
        heap.add_cleanup(heap.new(Node), got.append, 97531)
    heap.collect()
    assert got == [97531] * 10_000


def test_cleanup_takes_two_blocks(heap):
    """Go: 2.0 allocations of 16 bytes for an int; they live until it has run."""
    ref = heap.new(Node)
    before = heap.stats()
    heap.add_cleanup(ref, print)
    after = heap.stats() - before
    assert (after.mallocs, after.total_alloc) == (2, 32)
    heap.collect()
    assert heap.stats().heap_objects == before.heap_objects + 2
    heap._calls.clear()
    heap.close()


# ---- weak handles ----------------------------------------------------------------------------

def test_weak(heap):
    """TestPointer."""
    ref = heap.new(Node, key=1)
    weak = heap.weak(ref)
    assert weak() == ref and type(weak()) is Node
    heap.collect()
    assert weak() == ref
    del ref
    heap.collect()
    assert weak() is None
    heap.collect()
    assert weak() is None


def test_weak_equality(heap):
    """TestPointerEquality: for each object and byte, before and after their death."""
    refs = [heap.new(Parts) for _ in range(10)]
    weak = [heap.weak(r) for r in refs]
    inner = [heap.weak(r.a) for r in refs]

    def check(alive):
        for i in range(10):
            if alive:
                strong = weak[i]()
                assert strong == refs[i] and heap.weak(strong) == weak[i]
                assert heap.weak(strong.a) == inner[i] and inner[i]() == strong.a
            else:
                assert weak[i]() is None and inner[i]() is None
            assert weak[i] != inner[i] and weak[i] != weak[i - 1] and weak[i] != 5
            assert hash(weak[i]) == hash(weak[i])
        assert len({*weak, *inner}) == 20

    check(True)
    heap.collect()
    check(True)
    refs.clear()
    heap.collect()
    check(False)


def test_weak_is_none_before_the_finalizer(heap):
    """TestPointerFinalizer; and a new one after the object came back is another one."""
    told, kept = [], []
    ref = heap.new(Node)
    weak = heap.weak(ref)

    def finalizer(x):
        told.append(weak())
        kept.append(x)

    heap.set_finalizer(ref, finalizer)
    heap.collect()
    assert weak() is not None
    del ref
    heap.collect()
    assert told == [None] and weak() is None
    again = heap.weak(kept[0])
    assert again != weak and again() == kept[0] and weak() is None
    heap.collect()
    assert weak() is None and again() is not None


def test_weak_is_none_before_the_cleanup(heap):
    """TestPointerCleanup."""
    told = []
    ref = heap.new(Node)
    weak = heap.weak(ref)
    heap.add_cleanup(ref, lambda: told.append(weak()))
    heap.collect()
    assert told == [] and weak() is not None
    del ref
    heap.collect()
    assert told == [None]


def test_weak_costs_sixteen_bytes(heap):
    """TestPointerSize; the box is the object's while it lives, then the WeakRef's."""
    ref = heap.new(Node)
    before = heap.stats()
    weak = heap.weak(ref)
    also = heap.weak(ref)
    after = heap.stats() - before
    assert (after.mallocs, after.total_alloc) == (1, 16)
    del weak, also
    heap.collect()
    assert heap.stats().heap_objects == 2
    weak = heap.weak(ref)
    del ref
    heap.collect()
    assert weak() is None and heap.stats().heap_objects == 1
    del weak
    heap.collect()
    assert heap.stats().heap_objects == 0


def test_weak_of_the_middle_of_a_large_object(heap):
    """TestIssue70739: two of one byte are equal."""
    big = heap.array(Node, 4 << 14)
    a, b = heap.weak(big[1 << 13]), heap.weak(big[1 << 13])
    assert a == b and a() == big[1 << 13]
    del big
    heap.collect()
    assert a() is None


def test_weak_of_tiny_parts(heap):
    """TestPointerTiny: no box shares a block with what it is of."""
    heap.read_mem_stats()
    weak = [heap.weak(heap.new(Small, a=i)) for i in range(1000)]
    heap.collect()
    assert sum(w() is None for w in weak) >= 750


def test_weak_upgrade_shades():
    """TestIssue69210: while a cycle marks, the only way to a white object."""
    for look in (lambda h, w: w(), lambda h, w: h.ref(w), lambda h, w: h.ref(h._address(w))):
        with gh.Heap(gogc="off") as heap:
            holder = heap.new(Node, next=heap.new(Node, key=7))
            weak = heap.weak(holder.next)
            other = heap.weak(heap.new(Node))
            heap.gc_start()
            holder.next = None
            heap.gc_step(100)
            assert heap.color(weak) != "white"  # the barrier saw it go
            assert heap.color(other) == "white"
            strong = look(heap, other)
            assert heap.color(strong) == "grey"
            heap.gc_finish()
            assert strong.key == 0 and other() == strong
            heap.verify()


def test_weak_handles_are_asked_after(heap):
    ref = heap.new(Node, key=3)
    weak = heap.weak(ref)
    assert heap.info(weak).addr == gh.address_of(ref) and heap.color(weak) == "white"
    heap.label(weak, "W")
    assert heap.info("W").addr == heap.info(weak).addr
    assert heap.ref(weak).key == heap.ref("W").key == heap.ref(gh.address_of(ref)).key == 3
    del ref
    heap.collect()
    for ask in (heap.info, heap.ref, heap.color):
        with pytest.raises(LookupError):
            ask(weak)


def test_weak_box_is_not_believed(heap):
    """A box is an object like any: who writes to it gets None, no wrong object."""
    ref = heap.new(Node)
    weak = heap.weak(ref)
    for value in (1, 2**64 - 1, gh.address_of(ref) + 8, gh.address_of(heap.new(Node))):
        memoryview(weak._box).cast("B")[:8] = value.to_bytes(8, "little")
        assert weak() is None
    memoryview(weak._box).cast("B")[:8] = gh.address_of(ref).to_bytes(8, "little")
    assert weak() == ref


def test_weak_dies_with_its_heap():
    with gh.Heap() as heap:
        ref = heap.new(Node)
        weak = heap.weak(ref)
    assert weak == weak and hash(weak) and "Node" in repr(weak)
    with pytest.raises(gh.HeapClosedError):
        weak()


# ---- pins --------------------------------------------------------------------------------------

def test_pin(heap):
    """TestPinnerSimple, TestPinnerPinTwice, TestPinnerPinKeepsAliveAndReleases and kin."""
    told = []
    ref = heap.new(Node)
    heap.set_finalizer(ref, told.append)
    with heap.pin(ref):
        with heap.pin(ref):
            del ref
            heap.collect()
        heap.collect()
        assert told == [] and [r.kind for r in heap.snapshot().roots] == ["pin"]
    heap.collect()
    assert len(told) == 1
    with heap.pin(heap.alloc(0)):
        heap.collect()


def test_pin_is_of_one_block(heap):
    pin = heap.pin(heap.new(Node))
    with pytest.raises(gh.HeapStateError):
        pin.__exit__(None, None, None)
    with pin:
        with pytest.raises(gh.HeapStateError):
            pin.__enter__()
    with pytest.raises(gh.HeapStateError):
        pin.__enter__()
    with heap.pin(heap.new(Node)):
        heap.close()


# ---- roots that these make ------------------------------------------------------------------------

def test_roots_in_snapshots():
    with gh.Heap(gogc="off", callbacks="manual") as heap:
        a = heap.new(Node, next=heap.new(Node))
        heap.set_finalizer(a, print)
        heap.weak(a)
        heap.add_cleanup(a, print)
        kinds = sorted(r.kind for r in heap.snapshot().roots)
        assert kinds == ["cleanup", "cleanup", "finalizer", "handle", "weak box"]
        b = heap.new(Node)
        heap.set_finalizer(b, print)
        heap._calls.clear()
        del b
        heap.collect()
        kinds = sorted(r.kind for r in heap.snapshot().roots)
        assert kinds == ["cleanup", "cleanup", "finalizer", "finalizer", "handle", "weak box"]


# ---- whatever a call does --------------------------------------------------------------------------

def test_call_may_allocate_store_collect_and_attach():
    """Nested collections wait: calls are never in each other."""
    told = []
    with gh.Heap(gogc="off") as heap:
        keep = heap.new(Node)

        def finalizer(x):
            told.append(("begin", x.key))
            keep.next = heap.new(Node, next=x, key=x.key)
            heap.set_finalizer(heap.new(Node, key=x.key + 10), finalizer) if x.key < 10 else None
            heap.collect()
            told.append(("end", x.key))

        for i in (1, 2):
            heap.set_finalizer(heap.new(Node, key=i), finalizer)
        heap.collect()
        assert told == [("begin", 2), ("end", 2), ("begin", 1), ("end", 1)]
        assert heap.pending == 2
        assert heap.run_pending(1) == 1 and heap.pending == 1
        assert told[4:] == [("begin", 11), ("end", 11)]  # queued in the second batch's order
        heap.alloc(1)  # the end of any method will do
        assert told[6:] == [("begin", 12), ("end", 12)] and heap.pending == 0
        heap.verify()


def test_call_may_raise(unraisable):
    with gh.Heap(gogc="off") as heap:
        told = []
        refs = [heap.new(Node, key=i) for i in range(3)]

        def finalizer(x):
            told.append(x.key)
            raise KeyboardInterrupt if x.key == 1 else ValueError(x.key)

        for ref in refs:
            heap.set_finalizer(ref, finalizer)
            heap.add_cleanup(ref, divmod, 1, 0)
        del ref, refs
        assert heap.collect().n == 1
        assert told == [2, 1, 0]
        heap.collect()
        assert [e for e, _ in unraisable] == [
            ValueError, KeyboardInterrupt, ValueError] + 3 * [ZeroDivisionError]
        assert [o for _, o in unraisable] == 3 * [finalizer] + 3 * [divmod]
        heap.verify()


def test_call_may_close_the_heap(unraisable):
    told = []
    heap = gh.Heap(gogc="off")
    refs = [heap.new(Node, key=i) for i in range(3)]

    def finalizer(x):
        told.append(x.key)
        heap.close()
        with pytest.raises(gh.HeapClosedError):
            x.key
        with pytest.raises(gh.HeapClosedError):
            heap.collect()

    for ref in refs:
        heap.set_finalizer(ref, finalizer)
    del ref, refs
    heap.collect()
    assert told == [2] and heap.closed and heap._calls == {} and unraisable == []


def test_call_may_let_the_heap_go(unraisable):
    told = []
    heap = gh.Heap(gogc="off")
    gone = weakref.ref(heap)
    ref = heap.new(Node)
    heap.set_finalizer(ref, lambda x: told.append(box.clear()))
    box = [heap]
    del heap, ref
    box[0].collect()
    gc.collect()
    assert told == [None] and gone() is None and unraisable == []


def test_call_may_block():
    """Another thread works on; it leaves the calls to who runs them."""
    with gh.Heap(gogc="off") as heap:
        started, go = threading.Event(), threading.Event()
        told = []

        def finalizer(x):
            started.set()
            assert go.wait(10)
            told.append(threading.get_ident())

        heap.set_finalizer(heap.new(Node), finalizer)
        other = threading.Thread(target=heap.collect)
        other.start()
        assert started.wait(10)
        heap.set_finalizer(heap.new(Node), lambda x: told.append(0))
        heap.collect()
        assert told == [] and heap.pending == 1 and heap.run_pending() == 0
        go.set()
        ident = other.ident
        other.join()
        heap.run_pending()
        assert told == [ident, 0]


def test_manual():
    told = []
    with gh.Heap(gogc="off", callbacks="manual") as heap:
        for i in range(10):
            heap.set_finalizer(heap.new(Node, key=i), lambda x: told.append(x.key))
            heap.add_cleanup(heap.new(Node), told.append, "c")
        heap.collect()
        heap.collect()
        assert told == [] and heap.pending == 20
        assert heap.run_pending(3) == 3 and told == [9, 8, 7] and heap.pending == 17
        assert heap.run_pending(0) == 0
        assert heap.run_pending() == 17
        assert told == [*range(9, -1, -1), *"c" * 10]
        assert heap.run_pending() == 0


def test_calls_run_at_the_end_of_methods_never_in_handles():
    with gh.Heap(gogc="off") as heap:
        told = []
        node = heap.new(Node)
        heap.set_finalizer(heap.new(Node), told.append)
        heap.gc_start()
        heap.gc_finish()
        assert len(told) == 1
        # Sweeping may find it inside a read or write: lazily, by a weak handle.
        with gh.Heap(policy=gh.Policy(sweep="lazy"), gogc="off") as lazy:
            w = lazy.weak(lazy.new(Node))
            lazy.set_finalizer(w(), told.append)
            keep = lazy.new(Node)
            lazy.read_mem_stats()
            lazy.gogc = 1
            lazy.alloc("40KiB")
            lazy.gogc = "off"
            assert lazy.num_gc == 1
            before = len(told)
            assert w() is None  # this swept
            keep.key = keep.key + 1
            assert len(told) == before and lazy.pending in (0, 1)
            lazy.run_pending()
        node.key = 5


def test_close_runs_nothing_and_frees_all():
    class Told:
        def __call__(self, *args):
            pytest.fail("called")

    with gh.Heap(gogc="off", callbacks="manual") as heap:
        gone = []
        for i in range(4):
            fn = Told()
            gone.append(weakref.ref(fn))
            ref = heap.new(Node)
            if i % 2:
                heap.set_finalizer(ref, fn)
            else:
                heap.add_cleanup(ref, fn, fn)
            if i < 2:
                del ref
                heap.collect()
        assert heap.pending == 2
        cleanup = heap.add_cleanup(ref, print)
        del fn
    assert all(g() is None for g in gone)
    with pytest.raises(gh.HeapClosedError):
        cleanup.stop()
    del heap
    gc.collect()
    with pytest.raises(gh.HeapClosedError):
        cleanup.stop()


def test_python_finds_rings_through_a_heap():
    """A function that closes over its Heap doesn't keep it for ever."""
    heap = gh.Heap()
    gone = weakref.ref(heap)
    ref = heap.new(Node)
    heap.set_finalizer(ref, lambda x: heap)
    heap.add_cleanup(ref, print, heap)
    del heap, ref
    gc.collect()
    assert gone() is None


def test_no_reference_leaks():
    fn = lambda *args: None  # noqa: E731
    with gh.Heap(gogc="off") as heap:

        def work():
            for _ in range(50):
                ref = heap.new(Node)
                heap.set_finalizer(ref, fn)
                heap.add_cleanup(ref, fn, fn)
                heap.add_cleanup(ref, fn).stop()
                weak = heap.weak(ref)
                weak()
                with heap.pin(ref), pytest.raises(ValueError):
                    heap.set_finalizer(ref, fn)
                with pytest.raises(ValueError):
                    heap.add_cleanup(ref, fn, ref)
                other = heap.new(Node)
                heap.set_finalizer(other, fn)
                heap.set_finalizer(other, None)
                heap.ref(weak)
            del ref, other, weak
            heap.collect()
            heap.collect()

        work()
        before = sys.getrefcount(fn), sys.getrefcount(Node), len(gc.get_objects())
        work()
        gc.collect()
        after = sys.getrefcount(fn), sys.getrefcount(Node), len(gc.get_objects())
        assert heap._calls == {}
        assert after[:2] == before[:2] and after[2] - before[2] < 20
        heap.collect()
        assert heap.stats().heap_objects == 0


def test_only_heap_makes_them():
    for cls in (gh.WeakRef, gh.Cleanup):
        with pytest.raises(TypeError):
            cls()
    import copy
    import pickle
    with gh.Heap() as heap:
        weak = heap.weak(heap.new(Node))
        for use in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                use(weak)


def test_the_page_of_rules_names_every_test():
    """Each row of the table has its test, and each test of a rule its row."""
    root = pathlib.Path(__file__).parents[2]
    page = (root / "csrc/design/finalizers.md").read_text()
    rows = set(re.findall(r"`(test_\w+)`", page))
    assert rows <= {n for n in globals() if n.startswith("test_")} | {
        "test_final_rules", "test_final_golden", "test_mfinal"}
    mine = {n for n in globals() if n.startswith("test_") and n != "test_the_page_of_rules_names_every_test"}
    assert mine - rows == set()
