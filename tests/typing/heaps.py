# pyright: strict
"""Heaps: settings, allocation, collections and figures."""
import pickle
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import assert_type

import goheap as gh


class Node(gh.Struct):
    next: gh.Ptr["Node"]
    key: gh.int64


class Counting(gh.Heap):
    """A heap with state of its own."""

    made: int

    def node(self, key: int) -> Node:
        self.made = key
        return self.new(Node, key=key)


def settings() -> None:
    policy = gh.Policy(tiny=False, min_heap="64KiB").replace(sweep="lazy")
    assert_type(policy, gh.Policy)
    assert pickle.loads(pickle.dumps(policy)) == policy
    with Counting(gogc="off", procs=2, policy=policy, costs=gh.Costs(alloc=30)) as heap:
        assert_type(heap, Counting)
        assert_type(heap.node(4).next, Node | None)
        assert_type(heap.gogc, int | None)
        heap.gogc = 50
        heap.gogc = None
        heap.gogc = "off"
        heap.procs = 4
        assert_type(heap.policy, gh.Policy)
        assert heap.made == 4 and heap.mode == "stw"
    assert heap.closed


def allocation(heap: gh.Heap) -> None:
    block = heap.alloc("64KiB")
    assert_type(block, gh.Block)
    view = memoryview(block)
    view[0] = 255
    assert len(block) == 1 << 16
    assert_type(heap.array(gh.float64, 3)[0], float)
    assert_type(heap.array(Node, 3)[0], Node)
    assert_type(heap.array(gh.Ptr[Node], 3)[0], Node | None)
    assert_type(heap.array(gh.fixed(gh.int8, 4), 3)[0], gh.Array[int])
    numbers = heap.array(gh.int32, 4)
    numbers[-1] = 2
    assert_type([x + 1 for x in numbers], list[int])
    with heap.on_p(0):
        other = heap.alloc(24)
    info = heap.info(other)
    assert_type(info, gh.ObjectInfo)
    assert info.base == heap.info(gh.address_of(other)).base
    assert_type(info.label, str | None)


def figures(heap: gh.Heap) -> None:
    before = heap.stats()
    cycle = heap.collect()
    assert_type(cycle, gh.GCCycle)
    assert_type(cycle.pause_ns, tuple[int, int])
    assert_type(heap.cycles, Sequence[gh.GCCycle])
    assert_type(heap.cycles[-1], gh.GCCycle)
    assert_type(heap.stats() - before, gh.MemStatsDiff)
    assert_type((heap.read_mem_stats() - before).by_size[3].mallocs, int)
    assert heap.num_gc == 1 and heap.now_ns >= 0 and heap.heap_goal >= heap.trigger
    heap.free_os_memory()
    heap.verify()


def tables() -> None:
    assert_type([c.size for c in gh.size_classes()], list[int])
    for what in (gh.explain(100), gh.explain("1KiB", pointers=True), gh.explain(Node),
                 gh.explain((Node, 10)), gh.explain(gh.int64)):
        assert_type(what.elemsize, int)


def scripts() -> None:
    result = gh.Script("goheap-script 1\nalloc 0 100 noscan\nstats s\n").run()
    assert_type(result, gh.ScriptResult)
    assert_type(result.to_json(), str)


@contextmanager
def fresh() -> Generator[gh.Heap, None, None]:
    """A heap, verified at the end."""
    with gh.Heap(gogc=100) as heap:
        yield heap
        heap.verify()


def metrics(heap: gh.Heap) -> None:
    figure = heap.metrics()["/gc/pauses:seconds"]
    assert_type(figure, int | float | gh.Histogram)
    assert isinstance(figure, gh.Histogram)
    assert_type(figure.counts, tuple[int, ...])
    assert_type(figure.buckets, tuple[float, ...])


def prices() -> None:
    assert_type(gh.Costs.measured(), gh.Costs)
    assert_type(gh.Script("goheap-script 1\n").run().costs, gh.Costs)


def lines(heap: gh.Heap) -> None:
    assert_type(heap.gctrace("scavtrace", "gcpacertrace"), str)
    assert_type(heap.collect().gctrace(), str)


def callbacks() -> None:
    def tuner(cycle: gh.GCCycle, knobs: gh.Knobs) -> None:
        knobs.goal = cycle.heap_marked + (8 << 20)
        assert_type(knobs.gogc, int | None)

    with gh.Heap(callbacks="manual") as heap:
        heap.on_cycle(tuner)
        heap.on_cycle(lambda cycle, knobs: setattr(knobs, "gogc", 50 + cycle.n))
        heap.collect()
        assert_type(heap.pending, int)
        assert_type(heap.run_pending(3), int)
        heap.on_cycle(None)


def errors() -> None:
    with fresh() as heap:
        node = heap.new(Node)
    try:
        heap.info(node)
    except gh.HeapClosedError as e:
        error: ValueError = e
        assert "closed" in str(error)
    try:
        gh.Script("no script").run()
    except gh.ScriptError as e:
        assert_type(e.line, int)


def main() -> None:
    settings()
    with fresh() as heap:
        allocation(heap)
        figures(heap)
        metrics(heap)
        lines(heap)
    tables()
    scripts()
    callbacks()
    prices()
    errors()


if __name__ == "__main__":
    main()
