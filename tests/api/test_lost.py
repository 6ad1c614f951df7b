"""Unsound barriers: what is lost is found, named and refused, and nothing else is harmed."""
from __future__ import annotations

import gc
import pickle
import random

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

import goheap as gh

SOUND, UNSOUND = ("hybrid", "deletion"), ("insertion", "none")


class Inner(gh.Struct):
    x: gh.int64


class Node(gh.Struct):
    a: gh.Ptr[Node]
    b: gh.Ptr
    key: gh.int64
    inner: gh.Embed[Inner]


def make(barrier, **more):
    return gh.Heap(gogc=None, policy=gh.Policy(barrier=barrier), address_space="1GiB", **more)


def lose(heap):
    """A -> B -> C, held by roots; C moves to a handle behind the marker's back."""
    top = heap.graph({"A": ["B"], "B": ["C"], "C": []}, roots=["A"])
    b = top[0][0]
    heap.gc_start()
    c = b[0]
    b[0] = None
    heap.gc_finish()
    return top, c


@pytest.mark.parametrize("barrier", SOUND)
def test_a_sound_barrier_keeps_it(barrier):
    with make(barrier) as heap:
        top, c = lose(heap)
        assert heap.info(c).label == "C" and len(top) == 1
        heap.verify()


@pytest.mark.parametrize("barrier", UNSOUND)
def test_an_unsound_one_loses_it_and_says_so(barrier):
    with make(barrier) as heap:
        top, c = lose(heap)
        with pytest.raises(gh.LostObjectError, match="C at 0x[0-9a-f]+ was freed by cycle 1 and "
                                                     "is reachable, through a handle: C$") as e:
            heap.info(c)
        assert e.value.path == ("C",) and isinstance(e.value, gh.HeapCorruptionError)
        again = pickle.loads(pickle.dumps(e.value))
        assert again.path == ("C",) and str(again) == str(e.value)
        with pytest.raises(gh.LostObjectError, match="Heap.verify") as e:
            heap.verify()
        assert e.value.path == ("C",)
        assert e.value.violations == (
            "[inv:gc.lost] C was freed by cycle 1 and is reachable: a handle -> C",)
        del c, e, again
        gc.collect()
        heap.collect()
        heap.verify()
        assert heap.stats().heap_objects == 2 and len(top) == 1


def test_verify_names_it_before_the_cycle_ends():
    with make("none") as heap:
        top = heap.graph({"A": ["B"], "B": []}, roots=["A"])
        a = top[0]
        heap.gc_start()
        b = a[0]
        a[0] = None
        with pytest.raises(gh.HeapCorruptionError, match=", B is reachable and white"):
            heap.verify()
        del b
        heap.gc_finish()
        heap.verify()


def test_the_path_goes_from_a_root_to_the_lost_object():
    with make("none") as heap:
        top = heap.graph({"A": [None], "B": ["C"], "C": ["D"], "D": []}, roots=["A", "B"])
        heap.gc_start()
        heap.gc_step()
        a, b = top
        a[0] = b[0]
        b[0] = None
        del b
        heap.gc_finish()
        with pytest.raises(gh.LostObjectError) as e:
            top[0][0]
        assert e.value.path == ("A", "C")
        with pytest.raises(gh.LostObjectError) as e:
            heap.verify()
        assert [v.split("] ")[1] for v in e.value.violations] == [
            "C was freed by cycle 1 and is reachable: roots -> A -> C",
            "D was freed by cycle 1 and is reachable: roots -> A -> C -> D"]
        with pytest.raises(gh.LostObjectError, match="was freed"):
            heap.snapshot(edges=True)
        assert len(heap.snapshot().objects) == 2


LOADS = {
    "a scalar": lambda w: w.lost.key,
    "a pointer": lambda w: w.lost.a,
    "a nil pointer": lambda w: w.lost.b,
    "a part": lambda w: w.lost.inner,
    "a scalar stored": lambda w: setattr(w.lost, "key", 5),
    "a pointer stored": lambda w: setattr(w.lost, "a", w.good),
    "a part stored": lambda w: setattr(w.lost, "inner", w.good.inner),
    "it stored": lambda w: setattr(w.good, "a", w.lost),
    "its part stored": lambda w: setattr(w.good, "inner", w.inner),
    "it in a new object": lambda w: w.heap.new(Node, a=w.lost),
    "it loaded": lambda w: w.holder.a,
    "an element": lambda w: w.array[0],
    "an element stored": lambda w: w.array.__setitem__(0, w.good),
    "a length": lambda w: len(w.array),
    "an iteration": lambda w: list(w.array),
    "a word": lambda w: w.words[0],
    "a word stored": lambda w: w.words.__setitem__(1, 3),
    "a buffer": lambda w: memoryview(w.lost) if hasattr(w.lost, "__buffer__") else (
        bytes(w.lost)),
    "its size": lambda w: gh.sizeof(w.lost),
    "a cast": lambda w: gh.cast(w.lost, Node),
    "a slot": lambda w: w.roots[0],
    "an iteration over slots": lambda w: list(w.roots),
    "a slot copied": lambda w: w.roots.__setitem__(1, w.roots[0]),
    "slots copied": lambda w: w.roots.__setitem__(slice(1, 2), w.roots[0:1]),
    "a slot set": lambda w: w.roots.__setitem__(1, w.lost),
    "loads of many": lambda w: w.roots[0:1].load("a"),
    "loads from many": lambda w: w.holders.load("a")[0],
    "stores to many": lambda w: w.roots[0:1].store(Node.a, None),
    "stores of many": lambda w: w.holders.store("a", w.roots[0:1]),
    "scalars of many": lambda w: w.roots[0:1].values(Node.key),
    "scalars to many": lambda w: w.roots[0:1].store(Node.key, [1]),
    "information": lambda w: w.heap.info(w.lost),
    "information by address": lambda w: w.heap.info(gh.address_of(w.lost)),
    "information by label": lambda w: w.heap.info("lost"),
    "a colour": lambda w: w.heap.color(w.lost),
    "a label": lambda w: w.heap.label(w.lost, "other"),
    "a weak handle": lambda w: w.weak(),
    "a weak handle made": lambda w: w.heap.weak(w.lost),
    "a finalizer": lambda w: w.heap.set_finalizer(w.lost, print),
    "a cleanup": lambda w: w.heap.add_cleanup(w.lost, print),
    "a pin": lambda w: w.heap.pin(w.lost).__enter__(),
    "edges": lambda w: w.heap.snapshot(edges=True),
    "verify": lambda w: w.heap.verify(),
}


class World:
    """A heap in which an object, an array and words are lost; others are as they were."""

    def __init__(self, heap):
        self.heap = heap
        Pair = gh.words("Pair", 16, ptrs=[0])
        self.good, self.holder = heap.new(Node, key=1), heap.new(Node, key=2)
        self.holders = heap.roots(1)
        self.holders[0] = self.holder
        self.roots = heap.roots(3)
        first = heap.new(Node, a=heap.new(Node, key=3))
        heap.label(first.a, "lost")
        self.weak = heap.weak(first.a)
        second = heap.new(Node, b=heap.array(gh.Ptr, 5))
        third = heap.new(Node, b=heap.new(Pair))
        heap.gc_start()
        heap.gc_step(2)  # good and holder are black
        self.lost, self.array, self.words = first.a, second.b, third.b
        first.a = second.b = third.b = None
        self.inner = self.lost.inner
        self.holder.a = self.lost
        self.roots[0] = self.lost
        heap.gc_finish()


@pytest.mark.parametrize("what", LOADS)
def test_every_way_to_it_is_checked(what):
    with make("none") as heap:
        world = World(heap)
        with pytest.raises(gh.LostObjectError) as e:
            LOADS[what](world)
        assert e.value.path and "was freed by cycle 1" in str(e.value)
        assert world.good.key == 1 and world.good.a is None and world.holder.key == 2
        assert [a for a in world.roots.addresses][1:] == [0, 0]
        with pytest.raises(gh.LostObjectError):
            heap.verify()


def test_what_needs_no_object_goes_on():
    with make("none") as heap:
        w = World(heap)
        assert w.lost == w.lost and hash(w.lost) == hash(w.lost) and bool(w.lost)
        assert repr(w.lost).endswith(", lost>") and "lost" in repr(w.array)
        assert gh.address_of(w.lost) == w.roots.addresses[0]
        w.roots[0] = None
        w.holder.a = None
        address = gh.address_of(w.lost)
        del w.lost, w.inner, w.array, w.words
        heap.collect()
        heap.verify()
        with pytest.raises(LookupError, match="no live object"):
            heap.info(address)


@pytest.mark.parametrize("barrier", UNSOUND)
def test_a_buffer_of_it_harms_nobody(barrier):
    with make(barrier) as heap:
        parent = heap.new(Node, b=heap.alloc(64))
        heap.gc_start()
        block = parent.b
        view = memoryview(block)
        parent.b = None
        heap.gc_finish()
        with pytest.raises(gh.LostObjectError):
            len(block)
        others = [heap.alloc(64) for _ in range(500)]
        view[:] = b"\xff" * 64
        assert all(bytes(o) == bytes(64) for o in others)
        del block
        heap.collect()
        with pytest.raises(gh.LostObjectError, match="a buffer|a handle"):
            heap.verify()
        assert bytes(view) == b"\xff" * 64
        view.release()
        heap.collect()
        heap.verify()


def test_a_lost_object_is_found_in_seconds():
    """A user's property test: the shortest program that loses something is a few steps."""
    shortest = []

    @settings(max_examples=2000, deadline=None, database=None, derandomize=True,
              phases=[Phase.generate, Phase.shrink])
    @given(st.lists(st.tuples(st.sampled_from(["load", "cut", "new", "scan"]),
                              st.integers(0, 2), st.integers(0, 2)), max_size=30))
    def program(steps):
        shortest[:] = steps
        with make("none") as heap:
            held = {0: heap.new(Node, a=heap.new(Node, a=heap.new(Node)))}
            heap.gc_start()
            for what, x, y in steps:
                if what == "new":
                    held[x] = heap.new(Node, a=held.get(y))
                elif what == "load" and x in held and held[x].a is not None:
                    held[y] = held[x].a
                elif what == "cut" and x in held:
                    held[x].a = None
                elif what == "scan":
                    heap.gc_step(x)
            heap.gc_finish()
            heap.verify()

    with pytest.raises(gh.LostObjectError) as e:
        program()
    assert len(shortest) == 2 and e.value.path and "was freed by cycle" in str(e.value)


@settings(max_examples=250, deadline=None)
@given(st.integers(0, 2 ** 32), st.sampled_from(UNSOUND), st.sampled_from(["stw", "virtual"]))
@example(221, "insertion", "stw")  # a pin of a lost object
def test_no_sequence_of_calls_does_more_than_raise(seed, barrier, mode):
    rng = random.Random(seed)
    with gh.Heap(gogc=None if mode == "stw" else 50, mode=mode, procs=2, address_space="1GiB",
                 policy=gh.Policy(barrier=barrier, min_heap="16KiB"),
                 debug=gh.Debug(clobber_free=seed % 2 == 0),
                 costs=gh.Costs(scan_byte=100)) as heap:
        held, views, lost = [heap.new(Node, key=i) for i in range(4)], [], 0
        finals = seed % 3 == 0
        roots, weak, pinned = heap.roots(4), [], []

        def some():
            return rng.choice(held)

        def pin():  # only what was entered is left again
            made = heap.pin(some())
            made.__enter__()
            pinned.append(made)

        calls = [
            lambda: held.append(heap.new(Node, a=rng.choice([None, *held]), key=5)),
            lambda: held.append(some().a or some()),
            lambda: held.append(some().b or some()) if len(held) < 50 else held.clear(),
            lambda: setattr(some(), "a", rng.choice([None, some()])),
            lambda: setattr(some(), "b", rng.choice([None, some(), heap.alloc(24)])),
            lambda: setattr(some(), "key", 7),
            lambda: held.pop(rng.randrange(len(held))) if len(held) > 2 else None,
            lambda: roots.__setitem__(rng.randrange(4), some()),
            lambda: held.append(roots[rng.randrange(4)] or some()),
            lambda: roots[1:3].load(Node.a), lambda: roots.store(Node.a, roots[::-1]),
            lambda: roots[0:1].values(Node.key), lambda: roots[2:].clear(),
            lambda: views.append(memoryview(heap.alloc(16))),
            lambda: views.append(memoryview(some().b)) if len(views) < 9 else views.clear(),
            lambda: [v.__setitem__(slice(None), b"\xff" * len(v)) for v in views if not v.readonly],
            lambda: heap.info(some()), lambda: heap.snapshot(edges=True), lambda: repr(some()),
            lambda: heap.label(some(), f"n{rng.random()}"),
            lambda: heap.set_finalizer(some(), lambda o: held.append(o)) if finals else None,
            lambda: weak.append(heap.weak(some())),
            lambda: held.append(rng.choice(weak)() or some()) if weak else None,
            lambda: heap.add_cleanup(some(), weak.append, heap.weak(some())),
            pin,
            lambda: heap.gc_start(), lambda: heap.gc_step(2), lambda: heap.gc_step(1),
            lambda: heap.advance(rng.randrange(30_000)), lambda: heap.alloc(30_000),
            lambda: heap.gc_finish(), lambda: heap.collect() if rng.random() < 0.2 else None,
        ]
        for _ in range(150):
            try:
                rng.choice(calls)()
            except gh.LostObjectError as e:
                lost += 1
                assert e.path
            except (gh.HeapStateError, TypeError, ValueError, AttributeError):
                pass  # out of turn, nil, or of another class
            held = held or [heap.new(Node)]
            try:
                heap.verify()
            except gh.LostObjectError:
                lost += 1
            except gh.HeapCorruptionError as e:
                assert all("[inv:gc.tricolour]" in v for v in e.violations)
        while pinned:
            pinned.pop().__exit__(None, None, None)
        del held[:], views[:], weak[:], pinned, roots, calls
        if heap.phase == "mark" and mode == "stw":
            heap.gc_finish()
        for _ in range(10):  # finalizers bring objects back, one layer a cycle
            del held[:], weak[:]
            heap.collect()
        heap.verify()
        # A cycle of objects with a finalizer stays, as in Go.
        assert finals or heap.stats().heap_objects == 0
