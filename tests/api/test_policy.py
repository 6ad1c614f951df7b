"""What a heap is made of, and the checks that can be switched on."""
from __future__ import annotations

import pickle

import pytest

import goheap as gh


class Node(gh.Struct):
    a: gh.Ptr[Node]
    key: gh.int64


CHOICES = (gh.Policy(), gh.Policy(page_cache=False, ballast="1MiB"), gh.Debug(),
           gh.Debug(clobber_free=True, gc_every=5))


@pytest.mark.parametrize("choice", CHOICES, ids=repr)
def test_settings_are_values(choice):
    assert pickle.loads(pickle.dumps(choice)) == choice and hash(choice) == hash(choice)
    with pytest.raises(AttributeError):
        setattr(choice, type(choice).__slots__[0], False)


@pytest.mark.parametrize("make, error, says", [
    (lambda: gh.Policy(page_cache=1), TypeError, "Policy: page_cache must be a bool, not 'int'"),
    (lambda: gh.Policy(ballast=True), TypeError, "Policy: ballast must be a size, not 'bool'"),
    (lambda: gh.Policy(ballast="5MB"), ValueError, "Policy: ballast: '5MB' is no size"),
    (lambda: gh.Policy(ballast="-1"), ValueError, "ballast"),
    (lambda: gh.Policy(ballast=1 << 51), OverflowError, "ballast must be at most 11258"),
    (lambda: gh.Debug(gc_every=-1), ValueError, r"gc_every must be 0\.\.2\*\*50, not -1"),
    (lambda: gh.Debug(gc_every=True), TypeError, "gc_every must be an int, not 'bool'"),
    (lambda: gh.Debug(clobber_free=None), TypeError, "clobber_free must be a bool"),
    (lambda: gh.Debug(delays=3), TypeError, "delays"),
    (lambda: gh.Heap(debug=gh.Policy()), TypeError, "debug must be a Debug, not 'Policy'"),
    (lambda: gh.Heap(policy=gh.Policy(ballast="1TiB")), gh.HeapMemoryError, "Heap"),
])
def test_what_is_refused(make, error, says):
    with pytest.raises(error, match=says):
        make()


def test_the_settings_stay_with_the_heap():
    policy, debug = gh.Policy(ballast="8MiB", page_cache=False), gh.Debug(gc_every=1)
    with gh.Heap(policy=policy, debug=debug) as heap:
        assert heap.policy is policy and heap.debug is debug
        assert heap.stats().heap_alloc == 8 << 20 and heap.num_gc == 1
        kept = [heap.new(Node, key=i) for i in range(10)]
        assert heap.num_gc == 11 and [k.key for k in kept] == list(range(10))
        heap.verify()


def test_a_ballast_makes_collections_rarer():
    def cycles(**more):
        with gh.Heap(policy=gh.Policy(**more)) as heap:
            for _ in range(20_000):
                heap.alloc(1000)
            return heap.num_gc

    assert cycles(ballast="40MiB") == 1 < cycles() == 5


def test_freed_bytes_are_filled():
    with gh.Heap(debug=gh.Debug(clobber_free=True), gogc=None) as heap:
        block = heap.alloc(64)
        neighbour = heap.alloc(64)
        memoryview(block)[:] = memoryview(neighbour)[:] = b"x" * 64
        del block
        heap.collect()
        assert bytes(neighbour) == b"x" * 64
        assert bytes(heap.alloc(64)) == bytes(64)
        heap.verify()
