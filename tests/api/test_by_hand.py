"""A cycle driven by hand: tri-colour marking with the program in between."""
from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import goheap as gh


class Node(gh.Struct):
    a: gh.Ptr[Node]
    b: gh.Ptr[Node]
    key: gh.int64


MARKERS = ({"marker": "objects"}, {"marker": "greentea"},
           {"marker": "greentea", "scan_work": "dense"})


@pytest.fixture
def heap():
    with gh.Heap(gogc="off") as h:
        yield h
        h.verify()


def labels(heap, addresses):
    return [heap.info(a).label for a in addresses]


def test_step_by_step(heap):
    top = heap.graph({"A": ["B", "C"], "B": ["D"], "C": [], "D": [], "E": ["D"]}, roots=["A"])
    assert heap.phase == "off" and heap.color("A") == "white"
    heap.gc_start()
    assert heap.phase == "mark"
    story = [{n: heap.color(n) for n in "ABCDE"}]
    while True:
        step = heap.gc_step()
        story.append((labels(heap, step.scanned), labels(heap, step.greyed), step.left))
        if not step.left:
            break
    assert story == [dict(A="grey", B="white", C="white", D="white", E="white"),
                     (["A"], ["B", "C"], 2), (["B"], ["D"], 2), (["C"], [], 1), (["D"], [], 0)]
    assert {n: heap.color(n) for n in "ABCDE"} == dict(A="black", B="black", C="black", D="black",
                                                       E="white")
    cycle = heap.gc_finish()
    assert cycle.n == heap.num_gc == 1 and cycle.forced and heap.phase == "off"
    assert cycle.heap_marked == 8 * 4 + 8 and heap.stats().heap_objects == 4 and len(top) == 1
    with pytest.raises(LookupError):
        heap.info("E")


def test_many_steps_at_once_and_none(heap):
    top = heap.graph({"A": ["B"], "B": ["C"], "C": []}, roots=["A"])
    heap.gc_start()
    assert heap.gc_step(0) == ((), (), 1, (0,))
    step = heap.gc_step(100)
    assert labels(heap, step.scanned) == ["A", "B", "C"] and step.left == 0
    assert heap.gc_step() == ((), (), 0, (0,))
    heap.gc_finish()
    del top


def test_the_object_that_the_barrier_saves(heap):
    top = heap.graph({"A": [None], "B": ["C"], "C": []}, roots=["A", "B"])
    heap.gc_start()
    heap.gc_step()  # A is black, B grey, C white
    assert [heap.color(n) for n in "ABC"] == ["black", "grey", "white"]
    a, b = top
    a[0] = b[0]
    assert heap.color("C") == "grey"  # the insertion half
    b[0] = None
    heap.verify()
    heap.gc_finish()
    assert heap.info(a[0]).label == "C"


def test_deleting_the_last_pointer_shades(heap):
    top = heap.graph({"A": [], "B": ["C"], "C": []}, roots=["A", "B"])
    heap.gc_start()
    top[1][0] = None
    assert heap.color("C") == "grey"  # it floats to the next cycle
    heap.gc_finish()
    assert heap.info("C").label == "C"
    heap.collect()
    with pytest.raises(LookupError):
        heap.info("C")


def test_new_objects_are_black(heap):
    heap.gc_start()
    made = [heap.new(Node), heap.alloc(3), heap.alloc(100_000), heap.array(gh.Ptr, 200)]
    assert [heap.color(m) for m in made] == ["black"] * 4
    del made
    heap.gc_finish()
    assert heap.stats().heap_objects == 4  # floating garbage
    heap.collect()
    assert heap.stats().heap_objects == 0


def test_dropping_a_handle_shades(heap):
    parent = heap.new(Node, a=heap.new(Node, key=1), b=heap.new(Node, key=2))
    heap.gc_start()
    child = parent.a
    address = gh.address_of(child)
    assert heap.color(child) == "white"
    del child
    assert heap.color(address) == "grey"
    assert heap.color(gh.address_of(parent.b)) in ("white", "grey")
    heap.gc_finish()


def test_out_of_order(heap):
    for call in (heap.gc_step, heap.gc_finish):
        with pytest.raises(gh.HeapStateError, match="no cycle runs; begin one with gc_start"):
            call()
    heap.gc_start()
    with pytest.raises(gh.HeapStateError, match="a cycle runs already"):
        heap.gc_start()
    for bad, error in ((-1, ValueError), (1.0, TypeError), (True, TypeError), ("1", TypeError)):
        with pytest.raises(error, match="n must be"):
            heap.gc_step(bad)
    kept = heap.new(Node)
    assert heap.collect().n == 2  # the cycle by hand ends first
    assert heap.phase == "off" and heap.num_gc == 2 and heap.color(kept) == "white"


def test_no_cycle_begins_by_itself_meanwhile():
    with gh.Heap(gogc=1) as heap:
        heap.gc_start()
        for _ in range(20_000):
            heap.alloc(1000)
        assert heap.num_gc == 0
        heap.gc_finish()
        assert heap.num_gc == 1
        heap.alloc(1 << 20)
        heap.verify()


def test_closed_in_the_middle():
    heap = gh.Heap()
    many = heap.new_many(Node, 1000)
    view = memoryview(heap.alloc(100))
    heap.gc_start()
    del many
    heap.gc_step(10)
    view.release()
    heap.close()


def test_stats_and_procs_in_the_middle(heap):
    kept = heap.new_many(Node, 100)
    heap.gc_start()
    heap.gc_step(5)
    heap.procs = 3
    with heap.on_p(2):
        late = heap.new(Node)
    assert heap.color(late) == "black" and heap.stats() == heap.read_mem_stats()
    heap.procs = 1
    heap.gogc = 50
    heap.free_os_memory()
    assert heap.num_gc == 2 and len(kept) == 100


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2 ** 32), st.sampled_from(["lazy", "eager"]), st.sampled_from(MARKERS))
def test_any_interleaving_loses_nothing(seed, sweep, marker):
    """A program and the marker by turns; the heap's own check after each step."""
    rng = random.Random(seed)
    policy = gh.Policy(sweep=sweep, **marker)
    with gh.Heap(gogc="off", policy=policy, address_space="1GiB") as heap:
        names = {}  # variable -> number of its object
        held = {}
        model = {}  # number -> [a, b]
        for number in range(60):
            x, y = rng.randrange(5), rng.randrange(5)
            what = rng.randrange(8)
            if what <= 1:
                held[x] = heap.new(Node, key=number)
                names[x], model[number] = number, [None, None]
            elif what <= 3 and x in held:
                side = rng.randrange(2)
                setattr(held[x], "ab"[side], held.get(y))
                model[names[x]][side] = names.get(y)
            elif what == 4 and x in held:
                side = rng.randrange(2)
                child = getattr(held[x], "ab"[side])
                number_of = model[names[x]][side]
                assert (child is None) == (number_of is None)
                if child is not None:
                    assert child.key == number_of
                    held[y], names[y] = child, number_of
                del child
            elif what == 5:
                held.pop(x, None), names.pop(x, None)
            elif what == 6 and heap.phase == "off":
                heap.gc_start()
            elif heap.phase == "mark":
                if not heap.gc_step(rng.randrange(3)).left:
                    heap.gc_finish()
            heap.verify()
        heap.collect()
        reachable, stack = set(), list(names.values())
        while stack:
            n = stack.pop()
            if n not in reachable:
                reachable.add(n)
                stack += [k for k in model[n] if k is not None]
        assert heap.stats().heap_objects == len(reachable)


@pytest.mark.parametrize("mode", ["stw", "virtual"])
def test_a_snapshot_has_the_colours_of_the_moment(mode):
    """Each object as heap.color says, large ones in pieces too, after each step."""
    with gh.Heap(gogc="off", mode=mode) as heap:
        rnd = random.Random(5)
        names = [f"n{i}" for i in range(60)]
        top = heap.graph({a: rnd.choices([*names, None], k=3) for a in names}, roots=names[:3])
        large = heap.array(gh.Ptr, 50_000)  # four pieces
        large[49_999] = top[0]
        heap.gc_start()
        seen = set()
        while True:
            table = heap.snapshot().objects
            for o in table:
                assert o.color == heap.color(o.addr), o
                seen.add(o.color)
            if not heap.gc_step().left:
                break
        heap.gc_finish()
        assert seen == {"white", "grey", "black"}
        assert {o.color for o in heap.snapshot().objects} == {"white"}
