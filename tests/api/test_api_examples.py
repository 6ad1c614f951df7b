"""Tasks that people bring to the package, from the first line to the answer.

Typed as a user's code is: `make typing` checks this file with mypy --strict and pyright.
"""
from __future__ import annotations

import gc
import importlib.resources
import random
import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import goheap as gh

RECORDING = Path(str(importlib.resources.files("goheap") / "data" / "compile-json.gogc20.ghtrace"))


class Tree(gh.Struct):
    """A binary search tree that lives in the heap, with its methods."""

    left: gh.Ptr[Tree]
    right: gh.Ptr[Tree]
    key: gh.int64

    def insert(self, heap: gh.Heap, key: int) -> None:
        node = self
        while True:
            child = node.left if key < node.key else node.right
            if child is None:
                break
            node = child
        if key < node.key:
            node.left = heap.new(Tree, key=key)
        else:
            node.right = heap.new(Tree, key=key)

    def walk(self) -> Iterator[int]:
        if self.left is not None:
            yield from self.left.walk()
        yield self.key
        if self.right is not None:
            yield from self.right.walk()


@contextmanager
def small_heap(gogc: int | None = 100, policy: gh.Policy = gh.Policy(),
               procs: int = 1) -> Iterator[gh.Heap]:
    with gh.Heap(gogc=gogc, procs=procs, policy=policy, address_space="1GiB") as heap:
        yield heap
        heap.verify()


def test_a_tree_outlives_the_collections_that_building_it_causes() -> None:
    keys = list(range(3000))
    random.Random(5).shuffle(keys)
    with small_heap(policy=gh.Policy(min_heap="64KiB")) as heap:
        root = heap.new(Tree, key=keys[0])
        for key in keys[1:]:
            root.insert(heap, key)
        assert heap.num_gc > 0
        assert list(root.walk()) == sorted(keys)
        heap.collect()
        assert heap.stats().heap_objects == len(keys)
        root.left = None
        heap.collect()
        assert heap.stats().heap_objects == sum(k >= keys[0] for k in keys)


# ---- a service: is there a better setting -----------------------------------------------


def test_one_history_under_other_settings() -> None:
    recorded = gh.replay(RECORDING)
    assert recorded.gogc == 20
    by_gogc = {gogc: gh.replay(RECORDING, gogc=gogc) for gogc in (50, 200)}
    assert recorded.automatic_gc > by_gogc[50].automatic_gc > by_gogc[200].automatic_gc > 0
    assert by_gogc[200].peak_heap_bytes > by_gogc[50].peak_heap_bytes
    assert by_gogc[50].gc_cpu_fraction > by_gogc[200].gc_cpu_fraction
    never = gh.replay(RECORDING, gogc="off")
    assert never.automatic_gc == 0 and never.gogc is None
    # Every collection found at most what a run without any holds at its end.
    assert max(c.heap_start for c in by_gogc[200].cycles) < never.peak_live_bytes


def test_the_order_of_fields_decides_the_size_class() -> None:
    loose = gh.struct("Loose", ok=gh.bool_, next=gh.Ptr, done=gh.bool_, n=gh.int64)
    tight = gh.struct("Tight", next=gh.Ptr, n=gh.int64, ok=gh.bool_, done=gh.bool_)
    assert (gh.sizeof(loose), gh.sizeof(tight)) == (32, 24)
    before, after = gh.explain(loose), gh.explain(tight)
    assert (before.elemsize, after.elemsize) == (32, 24)
    assert "size class 4" in str(before) and "size class 3" in str(after)
    with small_heap(gogc=None) as heap:
        for cls, slot in ((loose, 32), (tight, 24)):
            assert heap.info(heap.new(cls)).elemsize == slot


# ---- a lecture: what happens inside ------------------------------------------------------


def test_each_p_has_a_span_of_its_own() -> None:
    with small_heap(procs=2) as heap:
        here = heap.alloc(24)
        with heap.on_p(1):
            there = heap.alloc(24)
        assert heap.info(here).span != heap.info(there).span
        with heap.on_p(0):
            assert heap.info(heap.alloc(24)).span == heap.info(here).span


def slot(heap: gh.Heap, at: gh.Ref | int) -> tuple[int, int]:
    info = heap.info(at)
    return info.span, info.slot


def test_tiny_objects_share_a_block_and_live_together() -> None:
    with small_heap(gogc=None) as heap:
        a, b = heap.alloc(5), heap.alloc(3)
        assert slot(heap, a) == slot(heap, b)
        assert gh.address_of(b) - gh.address_of(a) == 5
        address = gh.address_of(a)
        del a
        heap.collect()
        assert slot(heap, address) == slot(heap, b)
        with pytest.raises(LookupError):
            del b
            heap.collect()
            heap.info(address)
    with small_heap(gogc=None, policy=gh.Policy(tiny=False)) as heap:
        a, b = heap.alloc(5), heap.alloc(3)
        assert slot(heap, a) != slot(heap, b)


def test_a_handle_into_an_object_keeps_the_whole_object() -> None:
    class Head(gh.Struct):
        kind: gh.uint8
        length: gh.uint32

    class Packet(gh.Struct):
        head: gh.Embed[Head]
        body: gh.Fixed[int] = gh.fixed(gh.uint8, 1000)

    with small_heap(gogc=None) as heap:
        packet = heap.new(Packet)
        packet.body[999] = 42
        head, base = packet.head, gh.address_of(packet)
        del packet
        heap.collect()
        head.length = 7
        assert heap.info(head).base == base
        assert gh.cast(head, Head).length == 7


# ---- research: policies beside each other -------------------------------------------------


def test_what_the_tiny_allocator_saves() -> None:
    rng = random.Random(1)
    sizes = [rng.choice((2, 4, 8, 12)) for _ in range(20_000)]
    bytes_used = {}
    for policy in (gh.Policy(), gh.Policy(tiny=False)):
        with small_heap(gogc=None, policy=policy) as heap:
            kept = [heap.alloc(n) for n in sizes]
            bytes_used[policy] = heap.stats().heap_alloc
            assert len(kept) == len(sizes)
    assert bytes_used[gh.Policy()] < bytes_used[gh.Policy(tiny=False)]


def test_a_series_of_cycles_as_columns() -> None:
    with small_heap(gogc=50, policy=gh.Policy(min_heap="256KiB")) as heap:
        kept = [heap.alloc(1000) for _ in range(4000)]
        live = array("q", (c.heap_marked for c in heap.cycles))
        goal = array("q", (c.heap_goal for c in heap.cycles))
        assert len(live) == heap.num_gc > 5
        assert list(live) == sorted(live)  # everything is kept: only growth
        assert all(g > m for g, m in zip(goal[1:], live[:-1]))
        assert len(kept) == 4000


# ---- a library on top: lifetimes, subclasses ----------------------------------------------


def test_a_buffer_outlives_its_heap() -> None:
    heap = gh.Heap(address_space="1GiB")
    block = heap.alloc(100)
    view = memoryview(block)
    numbers = memoryview(heap.array(gh.int32, 5))
    heap.close()
    view[0], numbers[4] = 1, -7
    assert view[0] == 1 and numbers.tolist() == [0, 0, 0, 0, -7]
    assert block in {block} and block == block
    with pytest.raises(gh.HeapClosedError):
        heap.info(block)
    with pytest.raises(gh.HeapClosedError):
        memoryview(block)


def test_a_handle_does_not_hold_its_heap() -> None:
    def node() -> Tree:
        return gh.Heap(address_space="1GiB").new(Tree, key=3)

    lost = node()
    gc.collect()
    assert isinstance(lost, Tree) and lost == lost
    with pytest.raises(gh.HeapClosedError):
        print(lost.key)


class Cache(gh.Heap):
    """A heap with state of its own: at most `most` blocks, the oldest goes first."""

    most: int
    held: dict[str, gh.Block]

    def open(self, most: int) -> Cache:
        self.most, self.held = most, {}
        return self

    def put(self, name: str, data: bytes) -> None:
        block = self.held[name] = self.alloc(len(data))
        memoryview(block)[:] = data
        if len(self.held) > self.most:
            del self.held[next(iter(self.held))]


def test_a_subclass_with_state() -> None:
    with Cache(gogc=100, address_space="1GiB", policy=gh.Policy(min_heap="64KiB")).open(3) as cache:
        for i in range(2000):
            cache.put(str(i), i.to_bytes(8, "little") * 20)
        assert list(cache.held) == ["1997", "1998", "1999"]
        assert bytes(memoryview(cache.held["1999"])[:8]) == (1999).to_bytes(8, "little")
        assert cache.num_gc > 0
        cache.collect()
        assert cache.stats().heap_objects == 3
        cache.verify()


def test_two_heaps_do_not_mix() -> None:
    with small_heap() as one, small_heap() as other:
        mine, theirs = one.new(Tree), other.new(Tree)
        assert gh.address_of(mine) == gh.address_of(theirs) and mine != theirs
        with pytest.raises(gh.ForeignRefError):
            mine.left = theirs
        assert mine.left is None


# ---- many objects at once -------------------------------------------------------------------


class Node(gh.Struct):
    left: gh.Ptr[Node]
    right: gh.Ptr[Node]
    key: gh.int64


def reachable(first: int, *edges: list[int]) -> set[int]:
    """The numbers that edges lead to from the first, by a search of our own."""
    seen, todo = {first}, [first]
    while todo:
        i = todo.pop()
        for column in edges:
            if column[i] not in seen:
                seen.add(column[i])
                todo.append(column[i])
    return seen


def test_a_random_graph_in_a_few_calls() -> None:
    n = 100_000
    rng = random.Random(2)
    left, right = ([rng.randrange(n) for _ in range(n)] for _ in range(2))
    with small_heap(gogc=None) as heap:
        many = heap.new_many(Node, n)
        many.store(Node.left, many, index=array("Q", left))
        many.store(Node.right, many, index=right)
        many.store(Node.key, range(n))
        assert many.load(Node.left).values(Node.key).tolist() == left
        assert heap.collect().heap_marked == 24 * n
        many[1:].clear()
        alive = reachable(0, left, right)
        assert heap.collect().heap_marked == 24 * len(alive)
        assert heap.stats().heap_objects == len(alive)
        first = many[0]
        assert first is not None and first.left is not None and first.left.key == left[0]


def test_a_graph_on_the_blackboard() -> None:
    with small_heap(gogc=None) as heap:
        top = heap.graph({"A": ["B", "C"], "B": ["D"], "C": [], "D": [], "E": ["D"]}, roots=["A"])
        assert {name: heap.info(name).label for name in "ABCDE"} == {c: c for c in "ABCDE"}
        heap.collect()
        for name in "ABCD":
            assert heap.info(name).label == name
        with pytest.raises(LookupError):
            heap.info("E")
        a = top[0]
        assert a is not None
        d = a[0][0]
        assert heap.info(d).label == "D"
        a[0] = None
        del d
        heap.collect()
        for name in "BD":
            with pytest.raises(LookupError):
                heap.info(name)
        assert heap.info("C").addr == gh.address_of(a[1])


def test_threads_on_one_heap() -> None:
    with small_heap(procs=4, policy=gh.Policy(min_heap="64KiB")) as heap:
        root = heap.new(Tree, key=500)
        seen: list[int] = []

        def work(seed: int) -> None:
            rng = random.Random(seed)
            last: Tree | None = None
            for _ in range(2000):
                last = heap.new(Tree, key=rng.randrange(1000), left=last)
            length = 0
            while last is not None:
                length, last = length + 1, last.left
            seen.append(length)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert seen == [2000] * 4 and heap.num_gc > 0
        heap.collect()
        root.insert(heap, 3)
        assert list(root.walk()) == [3, 500]
        assert heap.stats().heap_objects == 2


def test_a_limit_says_no_in_time() -> None:
    with gh.Heap(hard_limit="16MiB", address_space="1GiB") as heap:
        kept: list[gh.Block] = []
        with pytest.raises(gh.HeapMemoryError) as caught:
            while len(kept) < 100:
                kept.append(heap.alloc("1MiB"))
        assert 8 <= len(kept) < 16
        assert caught.value.requested == 1 << 20 and caught.value.limit == 16 << 20
        heap.verify()
        del kept[1:]
        assert len(heap.alloc("4MiB")) == 4 << 20
        heap.verify()


# ---- questions to a heap -----------------------------------------------------------------------


def test_the_story_of_two_allocations() -> None:
    with small_heap(procs=2) as heap:
        with heap.watch() as log:
            with heap.on_p(0):
                heap.alloc(24)
            with heap.on_p(1):
                heap.alloc(24)
        refills = [e for e in log if e.kind == "refill"]
        assert [e.p for e in refills] == [0, 1]
        assert refills[0].addr != refills[1].addr
        sentences = log.story().splitlines()
        assert len(sentences) == len(log)
        assert sum("P1" in s for s in sentences) == 1


def test_who_keeps_the_memory() -> None:
    class Session(gh.Struct):
        user: gh.int64
        page: gh.Ptr[gh.Block]

    with small_heap(gogc=None) as heap:
        table = heap.array(gh.Ptr[Session], 100)
        heap.label(table, "sessions")
        for i in range(0, 100, 2):
            table[i] = heap.new(Session, user=i, page=heap.alloc(4000))
        loose = heap.new(Session, page=heap.alloc(4000))
        heap.collect()
        snap = heap.snapshot(edges=True)
        big = next(iter(snap.census()))
        assert (big.key, big.objects, big.size) == ("Block", 51, 51 * 4000)
        page = next(o.addr for o in snap.objects if o.type == "Block")
        path = snap.why(page)
        assert path is not None and len(path) == 2
        assert path[0].source == heap.info("sessions").addr
        assert [e.target for e in path] == [path[1].source, page]
        own = heap.info(table).elemsize
        each = heap.info(loose).elemsize + 4096
        assert snap.retained("sessions") == own + 50 * each
        assert snap.retained(loose) == each
    # What a snapshot says it says for good.
    assert snap.retained(page) == 4096


def test_fragmentation_over_time() -> None:
    rng = random.Random(3)
    with small_heap(policy=gh.Policy(min_heap="256KiB")) as heap:
        kept: list[gh.Block] = []
        with heap.record("cycle", "heap_live", "heap_inuse") as series:
            for _ in range(20_000):
                kept.append(heap.alloc(rng.randrange(16, 200)))
                if len(kept) > 3000:
                    kept[rng.randrange(3000)] = kept.pop()
        assert len(series) == heap.num_gc > 3
        for live, inuse in zip(series["heap_live"], series["heap_inuse"]):
            assert 0 < live <= inuse
        sums = heap.snapshot().occupancy()
        spans = sum(r.used * r.elemsize + r.free + r.tails for r in sums if r.elemsize)
        assert spans <= heap.stats().heap_inuse


# ---- a tuner, and another pacer ----------------------------------------------------------


def test_my_tuner_on_a_recording() -> None:
    room = 48 << 20  # the live heap ends at some 28 MB

    def tuner(cycle: gh.GCCycle, knobs: gh.Knobs) -> None:
        # As tuners of Go services do it: a GOGC that lets the heap grow to room.
        knobs.gogc = max(25, min(400, 100 * room // max(1, cycle.heap_marked) - 100))

    base, mine = gh.replay(RECORDING, gogc=25), gh.replay(RECORDING, gogc=25, on_cycle=tuner)
    assert mine.automatic_gc < base.automatic_gc
    assert base.peak_heap_bytes < mine.peak_heap_bytes


def test_another_pacer_keeps_a_constant_distance() -> None:
    distance = 8 << 20

    def pacer(cycle: gh.GCCycle, knobs: gh.Knobs) -> None:
        knobs.goal = cycle.heap_marked + distance

    r = gh.replay(RECORDING, on_cycle=pacer)
    for before, after in zip(r.cycles, r.cycles[1:]):
        assert after.heap_goal == before.heap_marked + distance


def test_a_subclass_tunes_itself() -> None:
    class Tuned(gh.Heap):
        turned = 0

        def start(self) -> None:
            self.on_cycle(self.turn)

        def turn(self, cycle: gh.GCCycle, knobs: gh.Knobs) -> None:
            self.turned += 1
            knobs.gogc = 50

    with Tuned(address_space="1GiB") as heap:
        heap.start()
        heap.collect()
        assert heap.gogc == 50 and heap.turned == 1
