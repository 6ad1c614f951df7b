"""Tests of Go's runtime that need a program around them, by hand and with Go's numbers.

tests/peer runs those that need none. What each of Go's other tests has in place of it
stands in tests/peer/README.md."""
from __future__ import annotations

import pytest

import goheap as gh

MIB = 1 << 20


@pytest.mark.parametrize("gogc", [100, "off"])
def test_memory_limit(gogc):
    """TestMemoryLimit, TestMemoryLimitNoGCPercent: live heaps of a tenth to seven tenths of
    the limit, made anew all the time, keep the sum within the limit and 16 MiB."""
    limit, unit = 256 * MIB, 8000
    with gh.Heap(mode="virtual", procs=4, gogc=gogc) as heap:
        assert heap.memory_limit is None
        heap.memory_limit = limit
        assert heap.memory_limit == limit
        for tenth in range(1, 8):
            n = limit // 10 * tenth // unit
            roots = heap.roots(n)
            for _ in range(2):
                for i in range(n):
                    roots[i] = heap.alloc(unit)
                s = heap.stats()
                assert s.sys - s.heap_released <= limit + 16 * MIB
            roots.clear()
        assert heap.num_gc > 5


def test_physical_memory_utilization():
    """TestPhysicalMemoryUtilization (GCPhys): 32 MiB in pieces of 64 KiB, every other one
    dropped; then 16 MiB at once, for which the heap has to grow: the holes go back."""
    total, piece, page_cache = 32 * MIB, 64 << 10, 64 * 8192
    with gh.Heap(gogc=100, mode="stw") as heap:
        saved, condemned = [], []
        for i in range(total // piece):
            (condemned if i % 2 else saved).append(heap.alloc(piece))
        heap.collect()
        condemned.clear()
        heap.collect()
        saved.append(heap.alloc(total // 2))
        s = heap.stats()
        backed = s.heap_sys - s.heap_released
        assert backed - s.heap_alloc - page_cache <= 0.05 * s.heap_alloc


def test_only_what_is_held_is_reachable():
    """TestGCTestIsReachable: of sixteen objects with a pointer word the even ones are held."""
    cell = gh.words("Cell", 8, ptrs="all")
    with gh.Heap(gogc="off") as heap:
        held = [heap.new(cell) for _ in range(16)]
        at = [gh.address_of(c) for c in held]
        for i in range(1, 16, 2):
            held[i] = None
        heap.collect()
        live = {o.addr for o in heap.snapshot().objects}
        assert live == {a for i, a in enumerate(at) if i % 2 == 0}
