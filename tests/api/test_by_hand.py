"""A cycle driven by hand: tri-colour marking with the program in between."""
from __future__ import annotations

import random
from collections.abc import Callable

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


class Program:
    """A program written as bytes, two a step; a model knows what it reaches.

    Steps: new objects, stores, loads, dropped variables, blocks; between them the marker
    does a little. After each step the heap checks itself: colours, barrier and accounting.
    """

    VARIABLES = 5

    def __init__(self, heap: gh.Heap) -> None:
        self.heap = heap
        self.held: dict[int, Node] = {}
        self.names: dict[int, int] = {}  # variable -> number of its object
        self.model: dict[int, list[int | None]] = {}  # number -> [a, b]
        self.mutated = self.marked = 0  # steps of each while a cycle marked

    def step(self, what: int, where: int) -> None:
        x, y = where % self.VARIABLES, where // self.VARIABLES % self.VARIABLES
        side = where // 128
        self.mutated += self.heap.phase == "mark"
        if what <= 1 or (what <= 5 and x not in self.held):
            number = len(self.model)
            self.held[x] = self.heap.new(Node, key=number)
            self.names[x], self.model[number] = number, [None, None]
        elif what <= 3:
            setattr(self.held[x], "ab"[side], self.held.get(y))
            self.model[self.names[x]][side] = self.names.get(y)
        elif what <= 5:
            child = getattr(self.held[x], "ab"[side])
            number_of = self.model[self.names[x]][side]
            assert (child is None) == (number_of is None)
            if child is not None and number_of is not None:
                assert child.key == number_of
                self.held[y], self.names[y] = child, number_of
        else:
            self.held.pop(x, None), self.names.pop(x, None)

    def run(self, program: bytes, marker: Callable[[int], None]) -> None:
        for what, where in zip(program[::2], program[1::2]):
            if what % 11 <= 6:
                self.step(what % 11, where)
            else:
                self.marked += self.heap.phase == "mark"
                marker(where)
            self.heap.verify()

    def end(self) -> None:
        """Nothing is lost, and nothing that isn't reached is kept."""
        self.heap.collect()
        reachable: set[int] = set()
        stack = list(self.names.values())
        while stack:
            n = stack.pop()
            if n not in reachable:
                reachable.add(n)
                stack += [k for k in self.model[n] if k is not None]
        assert self.heap.stats().heap_objects == len(reachable)
        self.heap.verify()


WANTED = 2000  # different interleavings in each mode
programs = st.binary(min_size=40, max_size=110)


def test_any_interleaving_loses_nothing_in_a_stopped_world(capsys):
    """A cycle by hand: the marker scans as many grey objects as the program says."""
    seen = set()

    @settings(max_examples=WANTED + 200, deadline=None, database=None)
    @given(programs, st.sampled_from(["lazy", "eager"]), st.sampled_from(["hybrid", "deletion"]),
           st.sampled_from(MARKERS))
    def interleave(program, sweep, barrier, kind):
        policy = gh.Policy(sweep=sweep, barrier=barrier, **kind)
        with gh.Heap(gogc="off", policy=policy, debug=gh.Debug(checkmark=True),
                     address_space="1GiB") as heap:
            p = Program(heap)

            def marker(where):
                if heap.phase == "off":
                    heap.gc_start()
                elif not heap.gc_step(where % 3).left:
                    heap.gc_finish()

            p.run(program, marker)
            p.end()
            if p.mutated and p.marked:
                seen.add((program, barrier, *kind.values()))

    interleave()
    with capsys.disabled():
        print(f"\ninterleavings, stw: {len(seen)}, each step verified", end=" ")
    assert len(seen) >= WANTED


def test_any_interleaving_loses_nothing_beside_the_program(capsys):
    """Cycles that begin by themselves; the marker gets as much time as the program says."""
    seen = set()

    @settings(max_examples=WANTED + 200, deadline=None, database=None)
    @given(programs, st.integers(1, 3), st.sampled_from(["hybrid", "deletion"]),
           st.sampled_from(["eager", "eager", "eager", "lazy"]), st.sampled_from(MARKERS))
    def interleave(program, procs, barrier, sweep, kind):
        policy = gh.Policy(min_heap="16KiB", barrier=barrier, sweep=sweep, **kind)
        # So dear that a few microseconds are a few objects.
        with gh.Heap(mode="virtual", gogc=100, procs=procs, policy=policy,
                     costs=gh.Costs(scan_byte=500), debug=gh.Debug(checkmark=True),
                     address_space="1GiB") as heap:
            p = Program(heap)

            def marker(where):
                if heap.phase == "off":
                    heap.alloc(40_000 if sweep == "eager" else 1_200_000)  # beyond the trigger
                else:
                    heap.advance(where * 100)

            p.run(program, marker)
            while heap.phase == "mark":
                heap.advance(100_000)
            p.end()
            if p.mutated and p.marked:
                seen.add((program, procs, barrier, sweep, *kind.values()))

    interleave()
    with capsys.disabled():
        print(f"\ninterleavings, virtual: {len(seen)}, each step verified", end=" ")
    assert len(seen) >= WANTED


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
