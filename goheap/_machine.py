"""HeapMachine, behind goheap.testing: a heap, step by step, beside a model in dicts."""
from __future__ import annotations

import struct as _struct
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (Bundle, RuleBasedStateMachine, consumes, initialize, invariant,
                                 precondition, rule)

from . import (Array, Embed, Fixed, ForeignRefError, Heap, HeapClosedError, HeapStateError,
               Interface, Ptr, Ref, Slice, String, Struct, _core, bool_, float32, float64, int8,
               int16, int32, int64, sizeof, uint8, uint16, uint32, uint64, uintptr)
from .testing import policies, structs

__all__ = ["Block", "HeapMachine", "Object", "Target"]

# By the codes of csrc/binding/binding.h, enum kind.
_KINDS: tuple[Any, ...] = (bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64,
                           uintptr, float32, float64, Ptr, Embed, Fixed, String, Slice, Interface)
_POINTERS = (Ptr, String, Slice, Interface)
_ELEMENTS = tuple(k for k in _KINDS if k not in (Embed, Fixed))
_MAX_HEAPS = 3
_MAX_LEAVES = 3000  # of one object: each is a Python value in the model


class Target:
    """A pointer of the model: to an object, or to a place inside one."""

    __slots__ = ("object", "address")

    def __init__(self, object: Object, address: int) -> None:
        self.object, self.address = object, address


class Object:
    """The model of one object: its heap, class and contents.

    handle is None once it was dropped. value is what the object holds: the bytes of a
    block, a dict by field name, a list by index; in them numbers, Targets and None.
    """

    def __init__(self, heap: Heap, handle: Any, value: Any) -> None:
        self.heap, self.handle, self.value = heap, handle, value
        self.cls, self.size, self.address = type(handle), sizeof(handle), _core.address_of(handle)

    def __repr__(self) -> str:
        return f"<{self.cls.__name__} of {self.size} bytes at {self.address:#x}>"


class Block:
    """The model of a Roots: what each slot holds."""

    def __init__(self, heap: Heap, roots: Any, slots: list[Object | None]) -> None:
        self.heap, self.roots, self.slots = heap, roots, slots


def _elem(array: Any) -> tuple[Any, Any]:
    """Kind and target of the elements of a class of arrays."""
    layout = _core.class_layout(array)
    assert layout is not None
    return _KINDS[layout[6]], layout[7]


def _fields(cls: Any) -> Any:
    layout = _core.class_layout(cls)
    return (layout[5] or {}).values() if layout is not None else ()


def _zero(kind: Any, target: Any) -> Any:
    """What a place of this kind holds at first."""
    if kind in _POINTERS:
        return None
    if kind is Embed:
        return {f.name: _zero(type(f), f._target) for f in _fields(target)}
    if kind is Fixed:
        return [_zero(*_elem(target)) for _ in range(_core.class_layout(target)[8])]
    return False if kind is bool_ else 0.0 if kind in (float32, float64) else 0


def _leaves(kind: Any, target: Any) -> int:
    if kind is Embed:
        return 1 + sum(_leaves(type(f), f._target) for f in _fields(target))
    if kind is Fixed:
        layout = _core.class_layout(target)
        assert layout is not None
        return 1 + int(layout[8]) * _leaves(*_elem(target))
    return 1


def _scalar(kind: Any, bits: int) -> Any:
    """A value of the kind, made of 64 bits."""
    if kind is bool_:
        return bool(bits & 1)
    if kind is float64:
        value = _struct.unpack("<d", bits.to_bytes(8, "little"))[0]
        return value if value == value else 0.5  # a NaN equals nothing
    if kind is float32:
        value = _struct.unpack("<f", (bits & 0xffffffff).to_bytes(4, "little"))[0]
        return value if value == value else 0.5
    width = 8 * kind._size
    value = bits & ((1 << width) - 1)
    signed = kind in (int8, int16, int32, int64)
    return value - (1 << width) if signed and value >> (width - 1) else value


class _Node(Struct):
    next: Ptr[_Node]
    any: Ptr
    key: int64


class HeapMachine(RuleBasedStateMachine):
    """A RuleBasedStateMachine against a dict model; subclass it and add rules.

    It makes up to three heaps and gives them objects of all kinds, stores, drops, loads,
    collects, by hand too, takes snapshots and changes settings on different Ps; after
    every step each heap verifies, and what is loaded is what was stored. `heap` is the
    first heap, `heaps` are those that are open, `objects` a Bundle of Objects that have a
    handle, `root_blocks` one of Blocks.

    Override make_heap to try a heap of your own; `drawn` has gogc, procs, mode and policy
    as hypothesis chose them for it. `keep` brings an object of a new rule into the model.

    >>> from hypothesis.stateful import rule
    >>> class Machine(HeapMachine):
    ...     @rule()
    ...     def free(self):
    ...         self.heap.free_os_memory()
    >>> TestMachine = Machine.TestCase
    """

    objects: Bundle[Any] = Bundle("objects")
    root_blocks: Bundle[Any] = Bundle("root_blocks")
    heap: Heap

    def __init__(self) -> None:
        super().__init__()
        self.heaps: list[Heap] = []
        self.held: list[Object] = []
        self.blocks: list[Block] = []
        self.drawn: dict[str, Any] = {}
        self._tiny: list[Heap] = []  # heaps whose tiny blocks were used

    def make_heap(self) -> Heap:
        """A new heap for this machine."""
        return Heap(address_space="1GiB", **self.drawn)

    def keep(self, heap: Heap, handle: Any, value: Any) -> Object:
        """Enters a new object: its handle and what it holds, as Object.value."""
        o = Object(heap, handle, value)
        self.held.append(o)
        if 0 < o.size < 16:
            self._tiny.append(heap)
        return o

    def at(self, i: int) -> Heap:
        """One of the open heaps."""
        return self.heaps[i % len(self.heaps)]

    # ---- making -------------------------------------------------------------------

    @initialize(gogc=st.sampled_from([None, 5, 50, 100]), procs=st.integers(1, 3),
                mode=st.sampled_from(["stw", "stw", "virtual"]), policy=policies())
    def first_heap(self, gogc: int | None, procs: int, mode: str, policy: Any) -> None:
        """Makes the heap of this run."""
        self.drawn = {"gogc": gogc, "procs": procs, "mode": mode, "policy": policy}
        self.heap = self.make_heap()
        self.heaps.append(self.heap)

    @precondition(lambda self: (len(self.heaps) < _MAX_HEAPS
                                and len(self.held) > 4 * len(self.heaps)))
    @rule(gogc=st.sampled_from([None, 50, 100]), procs=st.integers(1, 3),
          mode=st.sampled_from(["stw", "virtual"]), policy=policies())
    def another_heap(self, gogc: int | None, procs: int, mode: str, policy: Any) -> None:
        """Makes one more."""
        self.drawn = {"gogc": gogc, "procs": procs, "mode": mode, "policy": policy}
        self.heaps.append(self.make_heap())

    @rule(target=objects, i=st.integers(0, 2), p=st.integers(0, 2),
          size=st.integers(0, 64) | st.integers(0, 3000)
          | st.sampled_from([8192, 32760, 32768, 32769, 200_000]))
    def alloc(self, i: int, p: int, size: int) -> Object:
        """A block."""
        heap = self.at(i)
        with heap.on_p(p % heap.procs):
            return self.keep(heap, heap.alloc(size), bytearray(size))

    @rule(target=objects, i=st.integers(0, 2), p=st.integers(0, 2), cls=structs() | st.just(_Node),
          pick=st.integers(0, 1 << 30), bits=st.integers(0, (1 << 64) - 1))
    def new(self, i: int, p: int, cls: Any, pick: int, bits: int) -> Object:
        """A struct, one of its fields set if it has plain ones."""
        heap = self.at(i)
        value = _zero(Embed, cls)
        plain = [f for f in _fields(cls) if type(f) not in (*_POINTERS, Embed, Fixed)]
        given = {}
        if plain:
            f = plain[pick % len(plain)]
            given[f.name] = value[f.name] = _scalar(type(f), bits)
        with heap.on_p(p % heap.procs):
            return self.keep(heap, heap.new(cls, **given), value)

    @rule(target=objects, i=st.integers(0, 2), p=st.integers(0, 2), n=st.integers(0, 300),
          elem=st.just(Ptr) | st.sampled_from(_ELEMENTS) | structs(max_words=12))
    def array(self, i: int, p: int, n: int, elem: Any) -> Object:
        """An array of a kind or of a struct."""
        heap = self.at(i)
        kind, target = (Embed, elem) if issubclass(elem, Struct) else (elem, None)
        n = min(n, _MAX_LEAVES // _leaves(kind, target))
        with heap.on_p(p % heap.procs):
            return self.keep(heap, heap.array(elem, n), [_zero(kind, target) for _ in range(n)])

    @rule(target=objects, i=st.integers(0, 2), n=st.integers(2, 40),
          elem=st.sampled_from([_Node, _Node, Ptr]))
    def chain(self, i: int, n: int, elem: Any) -> Object:
        """Objects of which each points at the one before; only the last has a handle."""
        heap = self.at(i)
        last: Object | None = None
        handle: Any
        value: Any
        for k in range(n):
            if elem is Ptr:
                handle, value = heap.array(Ptr, 2), [None, None]
            else:
                handle, value = heap.new(_Node, key=k), {"next": None, "any": None, "key": k}
            o = self.keep(heap, handle, value)
            if last is not None:
                self.put(o, 1 if elem is Ptr else "next", last)
                self.drop(last)
            last = o
        assert last is not None
        return last

    def put(self, o: Object, key: int | str, to: Object) -> None:
        """Makes a pointer of o, by index or field name, point at another object."""
        if isinstance(key, int):
            o.handle[key] = to.handle
        else:
            setattr(o.handle, key, to.handle)
        o.value[key] = Target(to, to.address)

    @rule(target=root_blocks, i=st.integers(0, 2), n=st.integers(0, 60), linked=st.booleans())
    def new_many(self, i: int, n: int, linked: bool) -> Block:
        """Nodes in one call, held by a block of roots; linked: each points at the next."""
        heap = self.at(i)
        roots = heap.new_many(_Node, n)
        roots.store(_Node.key, range(n))
        slots: list[Object | None] = [
            Object(heap, roots[k], {"next": None, "any": None, "key": k}) for k in range(n)]
        for o in slots:
            assert o is not None
            o.handle = None
        if linked and n > 1:
            roots[:-1].store(_Node.next, roots[1:])
            for x, y in zip(slots, slots[1:]):
                assert x is not None and y is not None
                x.value["next"] = Target(y, y.address)
        self.blocks.append(Block(heap, roots, slots))
        return self.blocks[-1]

    @rule(b=root_blocks, x=objects, pick=st.integers(0, 1 << 20))
    def set_root(self, b: Block, x: Object, pick: int) -> None:
        """A slot of a block holds an object."""
        if b.heap.closed or self.ended(x) or not b.slots:
            return
        try:
            b.roots[pick % len(b.slots)] = x.handle
        except ForeignRefError:
            assert b.heap is not x.heap
        else:
            assert b.heap is x.heap
            b.slots[pick % len(b.slots)] = x

    @rule(b=root_blocks, a=st.integers(-70, 70), e=st.integers(-70, 70), step=st.integers(1, 3))
    def clear_roots(self, b: Block, a: int, e: int, step: int) -> None:
        """Some slots become nil."""
        if not b.heap.closed:
            b.roots[a:e:step].clear()
            for k in range(len(b.slots))[a:e:step]:
                b.slots[k] = None

    @rule(b=root_blocks)
    def read_roots(self, b: Block) -> None:
        """A block holds what was put there."""
        if b.heap.closed:
            return
        assert list(b.roots.addresses) == [0 if o is None else o.address for o in b.slots]
        for handle, o in zip(b.roots, b.slots, strict=True):
            assert (handle is None) == (o is None)
            if o is not None and type(handle) is o.cls:
                self.check(handle, o)

    @rule(b=consumes(root_blocks))
    def drop_roots(self, b: Block) -> None:
        """A block goes with all its slots."""
        self.blocks.remove(b)
        b.roots, b.slots = None, []

    # ---- using ----------------------------------------------------------------------

    def ended(self, o: Object) -> bool:
        """Whether the heap of o is closed; then o's handle must say so."""
        if not o.heap.closed:
            return False
        try:
            sizeof(o.handle)
        except HeapClosedError:
            assert hash(o.handle) == hash(o.handle) and o.handle == o.handle
            return True
        raise AssertionError(f"{o} is alive after its heap")

    def place(self, o: Object, pick: int) -> tuple[Any, Any, Any, Any, Any] | None:
        """A word of o, chosen by pick: (owner, key, model, kind, target).

        owner is a handle and key a field name or index of it; model holds the same under
        the same key. None: o has no such place.
        """
        handle, model, cls = o.handle, o.value, o.cls
        named = cls
        while True:
            if issubclass(cls, Array):
                if not model:
                    return None
                pick, key = divmod(pick, len(model))
                kind, target = _elem(cls)
            else:
                named = cls
                fields = list(_fields(cls))
                if not fields:
                    return None
                pick, k = divmod(pick, len(fields))
                key, kind, target = fields[k].name, type(fields[k]), fields[k]._target
            if kind not in (Embed, Fixed):
                # A pointer by name: the structs that are drawn name themselves only.
                if isinstance(target, str):
                    target = named
                return handle, key, model, kind, target
            handle = handle[key] if isinstance(key, int) else getattr(handle, key)
            model, cls = model[key], target

    def pointer_place(self, o: Object, pick: int) -> tuple[Any, Any, Any, Any, Any] | None:
        """The same, but a pointer word if some attempts find one."""
        place = None
        for _ in range(8):
            place = self.place(o, pick)
            if place is None or place[3] in _POINTERS:
                break
            pick = pick * 0x9e3779b1 + 0x7f4a7c15 & (1 << 40) - 1
        return place

    @rule(some=st.lists(objects, min_size=2, max_size=8), pick=st.integers(0, 1 << 40))
    def link(self, some: list[Object], pick: int) -> None:
        """A chain, or a ring: each of some points at the next."""
        for x, y in zip(some, some[1:] + some[:1], strict=True):
            self.store(x, y, pick, 0, pick, "ref")

    @rule(x=objects, y=objects, pick=st.integers(0, 1 << 40), inside=st.integers(0, 1 << 20),
          bits=st.integers(0, (1 << 64) - 1), how=st.sampled_from(["ref", "ref", "part", "nil"]))
    def store(self, x: Object, y: Object, pick: int, inside: int, bits: int, how: str) -> None:
        """Into a word of x: a scalar, or a pointer to y, to a part of it, or nil."""
        if self.ended(x) or self.ended(y):
            return
        if isinstance(x.value, bytearray):
            if x.value:
                memoryview(x.handle)[pick % x.size] = bits & 255
                x.value[pick % x.size] = bits & 255
            return
        place = self.place(x, pick) if how != "ref" else self.pointer_place(x, pick)
        if place is None:
            return
        owner, key, model, kind, target = place
        value = expect = None if kind in _POINTERS else _scalar(kind, bits)
        refused: Any = ()
        if kind in _POINTERS and how != "nil":
            part = None
            if how == "part" and not isinstance(y.value, bytearray):
                part = self.place(y, inside)
            value = y.handle if part is None else part[0]
            expect = Target(y, _core.address_of(value))
            if target is not None and not isinstance(value, target):
                refused = TypeError
            elif x.heap is not y.heap:
                refused = ForeignRefError
        try:
            if isinstance(key, int):
                owner[key] = value
            else:
                setattr(owner, key, value)
        except (ForeignRefError, TypeError) as e:
            assert refused and isinstance(e, refused), e
            return
        assert not refused, f"{value!r} was stored"
        model[key] = expect

    @rule(o=consumes(objects))
    def drop(self, o: Object) -> None:
        """The handle goes; the object stays as long as another one holds it."""
        self.held.remove(o)
        o.handle = None

    @rule(o=objects)
    def load(self, o: Object) -> None:
        """What the object holds is what was stored."""
        if not self.ended(o):
            self.check(o.handle, o)

    def check(self, handle: Any, o: Object) -> list[tuple[Any, Object]]:
        """Compares the object with the model; returns the pointers found in it."""
        assert _core.address_of(handle) == o.address
        if isinstance(o.value, bytearray):
            assert memoryview(handle) == o.value
            return []
        assert type(handle) is o.cls and sizeof(handle) == o.size
        return list(self._walk(handle, o.value, o.cls))

    def _walk(self, handle: Any, model: Any, cls: Any) -> Iterator[tuple[Any, Object]]:
        if issubclass(cls, Array):
            kind, target = _elem(cls)
            assert len(handle) == len(model)
            places = [(v, m, kind, target) for v, m in zip(handle, model, strict=True)]
        else:
            places = [(getattr(handle, f.name), model[f.name], type(f), f._target)
                      for f in _fields(cls)]
        for found, expect, kind, target in places:
            if kind in (Embed, Fixed):
                yield from self._walk(found, expect, target)
            elif kind not in _POINTERS or expect is None:
                assert found == expect and type(found) is type(expect)
            else:
                assert _core.address_of(found) == expect.address
                if expect.address == expect.object.address and type(found) is expect.object.cls:
                    yield found, expect.object

    def live(self, heap: Heap) -> list[Object]:
        """What the program reaches, by the model."""
        found: dict[int, Object] = {}
        stack = [o for o in self.held if o.heap is heap]
        stack += [o for b in self.blocks if b.heap is heap for o in b.slots if o is not None]
        while stack:
            o = stack.pop()
            if id(o) not in found:
                found[id(o)] = o
                stack += [t.object for t in _targets(o.value)]
        return list(found.values())

    @rule(i=st.integers(0, 2))
    def gc_start(self, i: int) -> None:
        """A cycle begins that is driven by hand; other rules run between its steps."""
        heap = self.at(i)
        if heap.phase == "off":
            heap.gc_start()

    @rule(i=st.integers(0, 2), n=st.integers(0, 40), finish=st.booleans())
    def gc_step(self, i: int, n: int, finish: bool) -> None:
        """Some grey objects are scanned; the cycle ends if none is left."""
        heap = self.at(i)
        if heap.phase == "off":
            return
        try:
            if not heap.gc_step(n).left and finish:
                heap.gc_finish()
        except HeapStateError:
            assert heap.mode == "virtual"  # a cycle that began by itself

    @rule(i=st.integers(0, 2))
    def snapshot(self, i: int) -> None:
        """A snapshot shows at least what the program reaches, and changes nothing."""
        heap = self.at(i)
        before = heap.stats(), heap.heap_live, heap.now_ns, heap.phase
        snap = heap.snapshot(edges=True)
        assert (heap.stats(), heap.heap_live, heap.now_ns, heap.phase) == before
        there = set(snap.objects["addr"])
        # The parts of a tiny block are one object.
        assert all(o.address in there for o in self.live(heap) if o.size >= 16)
        assert snap.stats == before[0]

    @rule(i=st.integers(0, 2))
    def collect(self, i: int) -> None:
        """A cycle: everything the program reaches is there, and nothing else."""
        heap = self.at(i)
        heap.collect()
        assert heap.phase == "off"
        live = self.live(heap)
        s = heap.stats()
        assert s.mallocs - s.frees == s.heap_objects
        # Objects of size zero are nowhere. Parts of a tiny block are one object, and a
        # pointer into it keeps them all.
        if not any(h is heap for h in self._tiny):
            ballast = heap.policy.ballast != 0  # an object that no handle holds
            assert s.heap_objects == sum(1 for o in live if o.size) + ballast
        seen = set()
        way = [(o.handle, o) for o in self.held if o.heap is heap]
        while way:
            handle, o = way.pop()
            if id(o) not in seen:
                seen.add(id(o))
                way += self.check(handle, o)

    # ---- settings -----------------------------------------------------------------------

    @rule(i=st.integers(0, 2), gogc=st.sampled_from([None, 1, 100, 1000]))
    def set_gogc(self, i: int, gogc: int | None) -> None:
        """GOGC, from now on."""
        self.at(i).gogc = gogc
        assert self.at(i).gogc == gogc

    @rule(i=st.integers(0, 2), limit=st.sampled_from([None, 0, 1 << 20, 1 << 30]))
    def set_memory_limit(self, i: int, limit: int | None) -> None:
        """GOMEMLIMIT, from now on."""
        self.at(i).memory_limit = limit
        assert self.at(i).memory_limit == limit

    @rule(i=st.integers(0, 2), ns=st.sampled_from([0, 1000, 10**6, 10**9, 3 * 10**11]))
    def advance(self, i: int, ns: int) -> None:
        """Virtual time passes: for the scavenger, and the timer of two minutes."""
        before = self.at(i).now_ns
        self.at(i).advance(ns)
        assert self.at(i).now_ns >= before + ns

    @rule(i=st.integers(0, 2), procs=st.integers(1, 3))
    def set_procs(self, i: int, procs: int) -> None:
        """More or fewer Ps."""
        self.at(i).procs = procs
        assert self.at(i).procs == procs

    @rule(i=st.integers(0, 2))
    def free_os_memory(self, i: int) -> None:
        """Free pages go back."""
        self.at(i).free_os_memory()

    @rule(i=st.integers(0, 2))
    def figures(self, i: int) -> None:
        """Go's way of reading the figures and ours agree."""
        heap = self.at(i)
        pure = heap.stats()
        assert pure == heap.read_mem_stats() == heap.stats()

    @precondition(lambda self: len(self.heaps) > 1)
    @rule(i=st.integers(1, 2))
    def close(self, i: int) -> None:
        """A heap ends, never the first one; its handles are dead from then on."""
        heap = self.heaps.pop(1 + i % (len(self.heaps) - 1))
        heap.close()

    @invariant()
    def sound(self) -> None:
        """Every open heap verifies."""
        for heap in self.heaps:
            heap.verify()

    def teardown(self) -> None:
        """Ends the heaps, after one more cycle each."""
        for i, heap in enumerate(self.heaps):
            if not heap.closed:
                self.collect(i)
                heap.verify()
                heap.close()


def _targets(value: Any) -> Iterator[Target]:
    """The pointers that a value of the model holds."""
    if isinstance(value, Target):
        yield value
    elif isinstance(value, (dict, list)):
        for v in value.values() if isinstance(value, dict) else value:
            if isinstance(v, (Target, dict, list)):
                yield from _targets(v)
