"""A state machine: what the program built is what the heap says, whatever the order."""
from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (Bundle, RuleBasedStateMachine, consumes, initialize, invariant,
                                 rule)

import goheap as gh


class Node(gh.Struct):
    a: gh.Ptr
    b: gh.Ptr[Node]
    n: gh.int64
    small: gh.uint8


class Obj:
    """The model of one object: what it holds, what it points at, and its handle.

    The bundle is of models: hypothesis keeps every value that it was given.
    """

    def __init__(self, kind, size):
        self.kind, self.size, self.handle = kind, size, None
        self.words = {}  # name or index -> Obj or a number
        self.data = bytearray(size) if kind == "block" else None


class HeapMachine(RuleBasedStateMachine):
    handles = Bundle("handles")  # Obj with a handle

    @initialize(procs=st.integers(1, 3), gogc=st.sampled_from([None, 5, 50, 100]),
                tiny=st.booleans(), sweep=st.sampled_from(["lazy", "eager"]),
                min_heap=st.sampled_from([0, "64KiB", "4MiB"]))
    def make(self, procs, gogc, tiny, sweep, min_heap):
        self.heap = gh.Heap(procs=procs, gogc=gogc, address_space="1GiB",
                            policy=gh.Policy(tiny=tiny, sweep=sweep, min_heap=min_heap))
        self.held = []  # Obj with a handle: the roots

    def keep(self, handle, obj):
        obj.handle = handle
        self.held.append(obj)
        return obj

    @rule(target=handles, size=st.one_of(st.integers(0, 64), st.integers(0, 3000),
                                         st.sampled_from([8192, 32768, 32769, 200_000])),
          p=st.integers(0, 2))
    def alloc(self, size, p):
        with self.heap.on_p(p % self.heap.procs):
            return self.keep(self.heap.alloc(size), Obj("block", size))

    @rule(target=handles, n=st.integers(-(1 << 63), (1 << 63) - 1))
    def new(self, n):
        o = Obj("node", 32)
        o.words["n"] = n
        return self.keep(self.heap.new(Node, n=n), o)

    @rule(target=handles, n=st.integers(0, 300), p=st.integers(0, 2))
    def pointers(self, n, p):
        with self.heap.on_p(p % self.heap.procs):
            return self.keep(self.heap.array(gh.Ptr, n), Obj("ptrs", 8 * n))

    @rule(target=handles, n=st.integers(1, 40))
    def nodes(self, n):
        return self.keep(self.heap.array(Node, n), Obj("nodes", 32 * n))

    @rule(x=handles, y=handles, i=st.integers(0, 1000), nil=st.booleans())
    def store(self, x, y, i, nil):
        (hx, ox), (hy, oy) = (x.handle, x), (y.handle, y)
        if nil:
            hy = oy = None
        if ox.kind == "node":
            hx.a = hy
            ox.words["a"] = oy
        elif ox.kind == "ptrs" and ox.size:
            hx[i % (ox.size // 8)] = hy
            ox.words[i % (ox.size // 8)] = oy
        elif ox.kind == "nodes":
            hx[i % (ox.size // 32)].a = hy
            ox.words[i % (ox.size // 32)] = oy

    @rule(x=handles, i=st.integers(0, 1 << 20), v=st.integers(0, 255))
    def write(self, x, i, v):
        h, o = x.handle, x
        if o.kind == "block" and o.size:
            memoryview(h)[i % o.size] = v
            o.data[i % o.size] = v

    @rule(x=consumes(handles))
    def drop(self, x):
        self.held.remove(x)
        x.handle = None

    @rule(x=handles)
    def load(self, x):
        h, o = x.handle, x
        if o.kind == "node":
            self.same(h.a, o.words.get("a"))
            assert h.n == o.words["n"]
        elif o.kind == "ptrs":
            for i, w in enumerate(h):
                self.same(w, o.words.get(i))
        elif o.kind == "nodes":
            for i, e in enumerate(h):
                self.same(e.a, o.words.get(i))
        else:
            assert bytes(h) == o.data

    def same(self, handle, obj):
        if obj is None:
            assert handle is None
        elif obj.size:
            assert gh.sizeof(handle) == obj.size or self.heap.info(handle).elemsize == 16
            if obj.kind == "block" and len(handle) == obj.size:
                assert bytes(handle) == obj.data

    @rule()
    def collect(self):
        self.heap.collect()
        live = {}
        stack = list(self.held)
        while stack:
            o = stack.pop()
            if id(o) not in live:
                live[id(o)] = o
                stack += [w for w in o.words.values() if isinstance(w, Obj)]
        s = self.heap.stats()
        # Zero-size objects are nowhere; parts of a tiny block die together.
        counted = [o for o in live.values() if o.size]
        if not any(o.kind == "block" and o.size < 16 for o in counted) \
                or not self.heap.policy.tiny:
            assert s.heap_objects == len(counted)
        assert s.mallocs - s.frees == s.heap_objects

    @rule(gogc=st.sampled_from([None, 1, 100, 1000]))
    def gogc(self, gogc):
        self.heap.gogc = gogc

    @rule(procs=st.integers(1, 3))
    def procs(self, procs):
        self.heap.procs = procs

    @rule()
    def figures(self):
        pure = self.heap.stats()
        assert pure == self.heap.read_mem_stats() == self.heap.stats()

    @invariant()
    def sound(self):
        if hasattr(self, "heap"):
            self.heap.verify()

    def teardown(self):
        if hasattr(self, "heap"):
            self.heap.collect()
            self.heap.verify()
            self.heap.close()


TestHeapMachine = HeapMachine.TestCase
TestHeapMachine.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
