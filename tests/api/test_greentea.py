"""Policy's marker and scan_work: Go's Green Tea beside the marker of objects."""
from __future__ import annotations

import contextlib
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import goheap as gh
from goheap import _core

GREENTEA = gh.Policy(marker="greentea")
DENSE = gh.Policy(marker="greentea", scan_work="dense")
ALL = (gh.Policy(), GREENTEA, DENSE)
TRACE = os.path.join(os.path.dirname(gh.__file__), "data", "compile-json.gogc20.ghtrace")


class Node(gh.Struct):
    a: gh.Ptr[Node]
    b: gh.Ptr[Node]
    key: gh.int64


@contextlib.contextmanager
def no_avx512():
    """Heaps made in it scan pages in portable C, as on a CPU without AVX-512."""
    _core.portable_kernels(True)
    try:
        yield
    finally:
        _core.portable_kernels(False)


@pytest.mark.parametrize("make, says", [
    (lambda: gh.Policy(marker="green tea"), 'marker must be "objects" or "greentea", not \'green'),
    (lambda: gh.Policy(marker=None), "not None"),
    (lambda: gh.Policy(scan_work="sparse"), 'scan_work must be "object" or "dense", not \'sparse'),
    (lambda: gh.Policy(scan_work="dense"), "marker='objects' scans none; it needs"),
    (lambda: DENSE.replace(marker="objects"), 'scan_work="dense" counts pages'),
])
def test_what_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_step_by_step():
    """A step is an object of the other queue, or what is grey of a page."""
    with gh.Heap(gogc="off", policy=GREENTEA) as heap:
        top = heap.graph({"A": ["B", "C"], "B": ["D"], "C": ["E"], "D": [None], "E": [None],
                          "F": []}, roots=["A"])
        heap.gc_start()
        story = []
        while True:
            heap.verify()
            step = heap.gc_step()
            story.append(([heap.info(x).label for x in step.scanned],
                          [heap.info(x).label for x in step.greyed], step.left,
                          "".join(heap.color(n)[0] for n in "ABCDEF")))
            if not step.left:
                break
        # A lies in a page of its own class; C is of 8 bytes and goes first; B, D and E share
        # one of 8 bytes too, object by object.
        assert story == [(["A"], ["B", "C"], 2, "bggwww"), (["C"], ["E"], 2, "bgbwgw"),
                         (["E"], [], 1, "bgbwbw"), (["B"], ["D"], 1, "bbbgbw"),
                         (["D"], [], 0, "bbbbbw")]
        assert heap.gc_finish().n == 1 and len(top) == 1


def test_a_page_comes_together():
    with gh.Heap(gogc="off", policy=GREENTEA) as heap:
        roots = heap.new_many(Node, 100)
        for i in range(99):
            roots[i].a = heap.new(Node)
        heap.gc_start()
        step = heap.gc_step()
        assert len(step.scanned) == 100 and len(step.greyed) == 99 and step.left == 1
        late = heap.new(Node)  # black; not scanned with the page that waits
        step = heap.gc_step()
        assert len(step.scanned) == 99 and step.left == 0 and heap.color(late) == "black"
        heap.gc_finish()


def graph(policy, edges, mode="stw"):
    """A heap with the graph: (heap_marked, scan_work, keys that live)."""
    with gh.Heap(gogc="off", policy=policy, mode=mode, address_space="1GiB") as heap:
        nodes = heap.new_many(Node, len(edges))
        nodes.store(Node.key, range(len(edges)))
        for i, (a, b) in enumerate(edges):
            nodes[i].a = nodes[a] if a is not None else None
            nodes[i].b = nodes[b] if b is not None else None
        top = nodes[0]
        where = {gh.address_of(n): i for i, n in enumerate(nodes)}
        del nodes
        cycle = heap.collect()
        heap.verify()
        lives = {where[o.addr] for o in heap.snapshot().objects if o.addr in where}
        assert gh.address_of(top) in where
        return cycle.heap_marked, cycle.scan_work, lives


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_same_lives(data):
    n = data.draw(st.sampled_from([1, 5, 400, 1500]), "nodes")
    rng = random.Random(data.draw(st.integers(0, 2 ** 32), "seed"))
    none = data.draw(st.sampled_from([0.1, 0.5, 0.9]), "nil")
    near = data.draw(st.booleans(), "near")

    def target(i):
        if rng.random() < none:
            return None
        return min(n - 1, i + rng.randrange(20)) if near else rng.randrange(n)

    edges = [(target(i), target(i)) for i in range(n)]
    edges[0] = (n - 1, n // 2)
    reached, stack = {0}, [0]
    while stack:
        for k in edges[stack.pop()]:
            if k is not None and k not in reached:
                reached.add(k)
                stack.append(k)
    want = graph(ALL[0], edges)
    assert want == (24 * len(reached), 16 * len(reached), reached)
    assert graph(GREENTEA, edges) == want
    marked, work, lives = graph(DENSE, edges)
    assert (marked, lives) == (want[0], want[2]) and want[1] <= work <= want[0]
    assert graph(DENSE, edges, "virtual") == (marked, work, lives)


def churn(policy, mode):
    """All that a heap says of a busy life."""
    rng = random.Random(7)
    with gh.Heap(gogc=50, mode=mode, procs=3, policy=policy.replace(min_heap="128KiB"),
                 address_space="1GiB") as heap, heap.watch() as log:
        kept = heap.roots(300)
        for i in range(8000):
            with heap.on_p(rng.randrange(3)):
                k = rng.randrange(300)
                new = heap.new(Node, key=i, a=kept[rng.randrange(300)], b=kept[k])
                kept[k] = new if rng.random() < 0.9 else None
            if i % 1000 == 0:
                heap.verify()
        heap.collect()
        heap.verify()
        return (repr(heap.stats()),
                repr(([c.to_dict() for c in heap.cycles], list(log), list(heap.snapshot().objects))))


@pytest.mark.parametrize("mode", ["stw", "virtual"])
@pytest.mark.parametrize("policy", ALL, ids=["objects", "greentea", "dense"])
def test_every_run_and_every_cpu_says_the_same(policy, mode):
    first = churn(policy, mode)
    assert churn(policy, mode) == first
    with no_avx512():
        assert churn(policy, mode) == first


def test_markers_show_where_they_should():
    # Stopped, by object: nothing tells the two apart but the memory of Green Tea's own
    # records. Beside the program order does.
    (stats, rest), (tea_stats, tea_rest) = churn(ALL[0], "stw"), churn(GREENTEA, "stw")
    assert rest == tea_rest and stats != tea_stats
    assert churn(ALL[0], "virtual")[1] != churn(GREENTEA, "virtual")[1]
    assert tea_rest != churn(DENSE, "stw")[1]


@pytest.mark.parametrize("mode", ["stw", "virtual"])
def test_a_trace_says_the_same_on_every_cpu(mode):
    def run(policy):
        d = gh.replay(TRACE, gogc=50, mode=mode, policy=policy).to_dict()
        return repr({k: v for k, v in d.items() if k not in ("seconds", "elapsed_s", "wall_s")})

    first = run(DENSE)
    assert "greentea" in first
    with no_avx512():
        assert run(DENSE) == first
