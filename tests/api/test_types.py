"""Struct classes: layouts as Go's compiler makes them, values checked on the way in."""
from __future__ import annotations

import ctypes
import math
import pickle
import sys
import textwrap
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import goheap as gh

SCALARS = {
    gh.bool_: (ctypes.c_bool, "?"), gh.int8: (ctypes.c_int8, "b"),
    gh.int16: (ctypes.c_int16, "h"), gh.int32: (ctypes.c_int32, "i"),
    gh.int64: (ctypes.c_int64, "q"), gh.uint8: (ctypes.c_uint8, "B"),
    gh.uint16: (ctypes.c_uint16, "H"), gh.uint32: (ctypes.c_uint32, "I"),
    gh.uint64: (ctypes.c_uint64, "Q"), gh.uintptr: (ctypes.c_uint64, "Q"),
    gh.float32: (ctypes.c_float, "f"), gh.float64: (ctypes.c_double, "d"),
}
INTS = [k for k in SCALARS if k not in (gh.bool_, gh.float32, gh.float64)]


class Point(gh.Struct):
    x: gh.int32
    y: gh.float32


class Node(gh.Struct):
    left: gh.Ptr[Node]
    right: gh.Ptr[Node]
    key: gh.int64

    def depth(self) -> int:
        return 1 + max((n.depth() for n in (self.left, self.right) if n), default=0)


class Mixed(gh.Struct):
    n: gh.uint8
    p: gh.Embed[Point]
    halves: gh.Fixed[int] = gh.fixed(gh.uint16, 5)
    points: gh.Fixed[Point] = gh.fixed(Point, 2)
    kids: gh.Fixed[Mixed] = gh.fixed(gh.Ptr["Mixed"], 3)
    any: gh.Ptr


@pytest.fixture
def heap():
    with gh.Heap() as h:
        yield h
        h.verify()


def test_layout_and_mask():
    info = gh.type_info(Node)
    assert (info.size, info.align, info.ptrdata, info.gcmask) == (24, 8, 16, b"\x03")
    assert info.fields[2] == ("key", 16, 8, "int64")
    info = gh.type_info(Mixed)
    assert [f[1] for f in info.fields] == [0, 4, 12, 24, 40, 64]
    assert [f[3] for f in info.fields] == [
        "uint8", "Embed[Point]", "fixed(uint16, 5)", "fixed(Point, 2)", "fixed(Ptr[Mixed], 3)", "Ptr"]
    assert (info.size, info.ptrdata, info.gcmask) == (72, 72, b"\xe0\x01")


# cmd/compile/internal/types/size.go: an empty field at the end gets a byte
@pytest.mark.parametrize("fields,size,align", [
    ({}, 0, 1),
    ({"a": gh.bool_}, 1, 1),
    ({"a": gh.bool_, "b": gh.int64}, 16, 8),
    ({"a": gh.int64, "b": gh.bool_}, 16, 8),
    ({"a": gh.int32, "e": gh.fixed(gh.int64, 0)}, 16, 8),
    ({"a": gh.int64, "e": gh.fixed(gh.int8, 0)}, 16, 8),
    ({"e": gh.fixed(gh.int64, 0)}, 0, 8),
    ({"e": gh.fixed(gh.int64, 0), "a": gh.int8}, 8, 8),
])
def test_sizes_of_go(fields, size, align):
    info = gh.type_info(gh.struct("T", fields))
    assert (info.size, info.align) == (size, align)


def words(kind):
    """How many scalars a kind holds: kept small, nested arrays multiply."""
    if isinstance(kind, tuple):
        return kind[1] * words(kind[0])
    return sum(map(words, kind)) if isinstance(kind, list) else 1


# A kind, (kind, n) for an array, [kinds] for a struct inside.
kinds = st.recursive(
    st.sampled_from([*SCALARS, gh.Ptr]),
    lambda k: st.one_of(st.tuples(k, st.integers(1, 4)), st.lists(k, min_size=1, max_size=4)),
    max_leaves=8).filter(lambda k: words(k) <= 300)


def build(kind):
    """(goheap's kind, ctypes' type, offsets of pointers)"""
    if kind is gh.Ptr:
        return gh.Ptr, ctypes.c_void_p, [0]
    if isinstance(kind, tuple):
        inner, c, ptrs = build(kind[0])
        size = ctypes.sizeof(c)
        return gh.fixed(inner, kind[1]), c * kind[1], [
            i * size + p for i in range(kind[1]) for p in ptrs]
    if isinstance(kind, list):
        cls, c, ptrs = build_struct(kind)
        return gh.Embed[cls], c, ptrs
    return kind, SCALARS[kind][0], []


def build_struct(kinds_):
    parts = [build(k) for k in kinds_]
    cls = gh.struct("S", {f"f{i}": p[0] for i, p in enumerate(parts)})
    c = type("S", (ctypes.Structure,),
             {"_fields_": [(f"f{i}", p[1]) for i, p in enumerate(parts)]})
    ptrs = [getattr(c, f"f{i}").offset + o for i, p in enumerate(parts) for o in p[2]]
    return cls, c, ptrs


@settings(max_examples=300, deadline=None)
@given(st.lists(kinds, min_size=1, max_size=6))
def test_layout_equals_that_of_c(kinds_):
    """Without empty fields Go lays structs out as C does; ctypes is the other opinion."""
    cls, c, ptrs = build_struct(kinds_)
    info = gh.type_info(cls)
    assert info.size == ctypes.sizeof(c) and info.align == ctypes.alignment(c)
    assert [f[1] for f in info.fields] == [getattr(c, f"f{i}").offset for i in range(len(kinds_))]
    mask = int.from_bytes(info.gcmask, "little")
    assert [8 * i for i in range(mask.bit_length()) if mask >> i & 1] == sorted(ptrs)
    assert info.ptrdata == (max(ptrs) + 8 if ptrs else 0)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(INTS), st.integers(-(1 << 66), 1 << 66))
def test_integers_keep_their_value_or_are_refused(kind, value):
    cls = gh.struct("One", v=kind)
    bits = 8 * gh.sizeof(kind)
    signed = kind.__name__.startswith("int")
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    with gh.Heap() as heap:
        one = heap.new(cls)
        if low <= value <= high:
            one.v = value
            assert one.v == value
        else:
            with pytest.raises(OverflowError, match=rf"One\.v: {value} is out of range .*{high}"):
                one.v = value
            assert one.v == 0


@given(st.floats(width=32), st.floats())
@settings(deadline=None)
def test_floats(narrow, wide):
    cls = gh.struct("F", a=gh.float32, b=gh.float64)
    with gh.Heap() as heap:
        f = heap.new(cls, a=narrow, b=wide)
        assert f.a == narrow or math.isnan(narrow) and math.isnan(f.a)
        assert f.b == wide or math.isnan(wide) and math.isnan(f.b)


def test_float32_refuses_what_would_become_infinite(heap):
    f = heap.new(gh.struct("F", a=gh.float32))
    with pytest.raises(OverflowError, match="F.a: 1e.300 is out of range for float32"):
        f.a = 1e300
    f.a = math.inf
    assert f.a == math.inf


@pytest.mark.parametrize("value", [2, -1, "x", None, 1.0])
def test_bool_takes_bools(heap, value):
    one = heap.new(gh.struct("B", v=gh.bool_), v=True)
    with pytest.raises((TypeError, ValueError), match=r"B\.v: bool takes True or False"):
        one.v = value
    assert one.v is True


def test_embedded_struct_and_array(heap):
    m = heap.new(Mixed, n=3)
    m.p.x = 5
    m.halves[4] = 9
    m.points[1].y = 2.5
    m.kids[2] = m
    assert (m.p.x, list(m.halves), m.points[1].y, m.kids[2]) == (5, [0, 0, 0, 0, 9], 2.5, m)
    other = heap.new(Point, x=-7, y=1.0)
    m.p = other
    assert (m.p.x, m.p.y) == (-7, 1.0)
    other.x = 1
    assert m.p.x == -7
    with pytest.raises(TypeError, match="Mixed.halves: an array inside an object is set element"):
        m.halves = [1]
    with pytest.raises(TypeError, match="Mixed.p: a struct is copied from a handle of Point"):
        m.p = m


def test_an_interior_handle_keeps_the_whole_object(heap):
    m = heap.new(Mixed, n=77)
    inside = m.points[1]
    base = gh.address_of(m)
    del m
    heap.collect()
    info = heap.info(inside)
    assert info.base == base and info.addr == base + 32 and info.type == "Mixed"
    inside.x = 4
    assert inside.x == 4
    del inside
    heap.collect()
    with pytest.raises(LookupError, match=hex(base)):
        heap.info(base)


def test_copying_a_struct_with_pointers_keeps_what_it_points_at(heap):
    Pair = gh.struct("Pair", n=gh.int64, node=gh.Ptr[Node], m=gh.int64)
    Two = gh.struct("Two", a=gh.Embed[Pair], b=gh.Embed[Pair])
    two = heap.new(Two)
    two.a.node = heap.new(Node, key=8)
    two.a.n, two.a.m = 1, 2
    two.b = two.a
    two.a.node = None
    heap.collect()
    assert (two.b.n, two.b.node.key, two.b.m) == (1, 8, 2)


def test_methods_and_isinstance(heap):
    root = heap.new(Node, left=heap.new(Node, right=heap.new(Node)))
    assert root.depth() == 3 and isinstance(root, Node) and isinstance(root, gh.Struct)
    assert root.__class__ is Node


def test_pointers_check_the_class(heap):
    n = heap.new(Node)
    with pytest.raises(TypeError, match="Node.left: a pointer to Node takes such a handle or None, not 'Point'"):
        n.left = heap.new(Point)
    with pytest.raises(TypeError, match="not 'int'"):
        n.left = 0
    with pytest.raises(AttributeError, match="field left of Node can be set, not deleted"):
        del n.left
    free = heap.new(gh.struct("Free", p=gh.Ptr), p=n)
    assert free.p == n and type(free.p) is Node
    free.p = heap.alloc(10)
    assert type(free.p) is gh.Block and len(free.p) == 10


def test_unknown_names(heap):
    with pytest.raises(TypeError, match=r"Node has no field 'kye' \(it has: left, right, key\)"):
        heap.new(Node, kye=1)
    n = heap.new(Node)
    with pytest.raises(AttributeError, match="foo"):
        n.foo = 1
    with pytest.raises(AttributeError, match="foo"):
        n.foo
    with pytest.raises(TypeError, match="immutable"):
        Node.key = 3


def test_a_failed_new_makes_no_object(heap):
    before = heap.stats()
    with pytest.raises(OverflowError):
        heap.new(Point, x=1, y=1e300)
    assert heap.stats() == before


def local_pair():
    class A(gh.Struct):
        b: gh.Ptr[B]
        v: gh.int64

    class B(gh.Struct):
        a: gh.Ptr[A]

    return A, B


def test_local_classes_may_point_at_each_other(heap):
    A1, B1 = local_pair()
    A2, B2 = local_pair()
    for A, B in ((A1, B1), (A2, B2)):
        b = heap.new(B)
        a = heap.new(A, b=b)
        b.a = a
        assert a.b.a == a
    with pytest.raises(TypeError, match="a pointer to B"):
        heap.new(A1, b=heap.new(B2))


def test_threads_that_define_the_same_local_classes_keep_them_apart(heap):
    made = []
    turn = [threading.Event() for _ in range(2)]

    def define(first):
        class A(gh.Struct):
            b: gh.Ptr[B]

        if first:
            turn[0].set()
            turn[1].wait(10)

        class B(gh.Struct):
            a: gh.Ptr[A]

        made.append((A, B))

    waits = threading.Thread(target=define, args=(True,))
    waits.start()
    turn[0].wait(10)
    define(False)
    turn[1].set()
    waits.join()
    for A, B in made:
        assert heap.new(A, b=heap.new(B)).b.a is None


@pytest.mark.thread_unsafe(reason="changes sys.modules")
def test_a_class_defined_anew_is_followed(heap):
    """As when a notebook's cell is run a second time."""
    code = textwrap.dedent("""
        from __future__ import annotations
        import goheap as gh
        class A(gh.Struct):
            b: gh.Ptr[B]
        class B(gh.Struct):
            a: gh.Ptr[A]
    """)
    import types
    module = types.ModuleType("notebook_of_test")
    sys.modules["notebook_of_test"] = module
    try:
        for _ in range(2):
            exec(code, module.__dict__)
            b = heap.new(module.B)
            a = heap.new(module.A, b=b)
            b.a = a
            assert a.b == b
    finally:
        del sys.modules["notebook_of_test"]


def test_define():
    A, B = gh.struct("A"), gh.struct("B")
    gh.define(A, b=gh.Ptr[B])
    gh.define(B, a=gh.Ptr[A], n=gh.int8)
    with gh.Heap() as heap:
        a = heap.new(A, b=heap.new(B, n=-3))
        assert a.b.n == -3
    with pytest.raises(TypeError, match="A has its layout already"):
        gh.define(A, c=gh.int8)


def test_a_name_that_is_nowhere(heap):
    Lost = gh.struct("Lost", p=gh.Ptr["Nowhere"])
    x = heap.new(Lost)
    with pytest.raises(NameError, match="Lost: points at 'Nowhere'"):
        x.p = x


def test_a_base_with_methods_only(heap):
    class Methods(gh.Struct):
        def twice(self):
            return 2 * self.v

    class V(Methods):
        v: gh.int16

    assert heap.new(V, v=21).twice() == 42
    with pytest.raises(TypeError, match="V has a layout and no subclass"):
        class W(V):
            w: gh.int16


def bad_class(body, bases="gh.Struct"):
    exec(f"class T({bases}):\n" + textwrap.indent(body, "    "), {"gh": gh, "Node": Node})


@pytest.mark.parametrize("body,message", [
    ("x: int", "T.x: int is no kind of field; write int64"),
    ("x: float", "write float64"),
    ("x: bool", "write bool_"),
    ("x: str", "write fixed"),
    ("x: Node", r"write Ptr\[Node\] for a pointer"),
    ("x: gh.Embed", "Embed alone is no kind of field"),
    ("x: gh.Fixed", "Fixed alone is no kind of field"),
    ("x: gh.Ptr[3]", "Ptr takes a struct class or its name"),
    ("x: gh.Embed[gh.Block]", "Embed takes a struct class"),
    ("x: gh.int64 = 5", "takes no default"),
    ("x: gh.int64\ndef __init__(self): pass", "T.__init__"),
    ("x: gh.int64\ndef __eq__(self, o): pass", "T.__eq__"),
    ("def __del__(self): pass", "T.__del__"),
    ("__slots__ = ('a',)", "T.__slots__"),
    ("__x__: gh.int64", "a name of that form is Python's"),
])
def test_wrong_classes(body, message):
    with pytest.raises(TypeError, match=message):
        bad_class(body)


@pytest.mark.parametrize("bases,message", [
    ("gh.Ref", "one base"), ("gh.Block", "one base"), ("gh.Array", "one base"),
    ("gh.Struct, object", "one base"), ("gh.Struct, Node", "one base"),
    ("Node", "no subclass"),
])
def test_wrong_bases(bases, message):
    with pytest.raises(TypeError, match=message):
        bad_class("x: gh.int64", bases)


def test_fixed_checks_its_length():
    for n, error in ((-1, ValueError), (1.5, TypeError), (True, TypeError), (1 << 40, ValueError)):
        with pytest.raises(error, match="fixed: n must be"):
            gh.fixed(gh.int8, n)
    with pytest.raises(OverflowError, match="has at most 1073741824 bytes"):
        gh.struct("T", a=gh.fixed(gh.int64, 1 << 28))


def test_nothing_makes_a_handle_but_a_heap(heap):
    for cls in (Node, gh.Ref, gh.Struct, gh.Block, gh.Array):
        with pytest.raises(TypeError, match="made by a heap"):
            cls()
    n = heap.new(Node)
    with pytest.raises(AttributeError):
        n.__class__ = Point


def test_a_field_of_one_class_is_no_field_of_another(heap):
    with pytest.raises(TypeError, match="key is a field of Node, not of 'Point'"):
        Node.key.__get__(heap.new(Point), Point)
    assert repr(Node.key) == "<field Node.key: int64 at 16>"
    assert (Node.key.name, Node.key.offset, Node.key.size) == ("key", 16, 8)


def test_sizeof_and_type_info(heap):
    assert gh.sizeof(Node) == 24 and gh.sizeof(gh.int16) == 2 and gh.sizeof(gh.Ptr[Node]) == 8
    assert gh.sizeof(heap.alloc(99)) == 99
    a = heap.array(gh.int32, 7)
    assert gh.sizeof(a) == 28 and gh.type_info(a).size == 28
    assert gh.type_info(gh.float32) == ("float32", 4, 4, 0, b"", ())
    assert gh.type_info(gh.Ptr).gcmask == b"\x01"
    for bad in (gh.Block, gh.Array[gh.int8], gh.Ref, gh.Struct, 5, int, "x", None):
        with pytest.raises(TypeError):
            gh.sizeof(bad)


def test_cast(heap):
    Same = gh.struct("Same", a=gh.Ptr, b=gh.Ptr, c=gh.uint64)
    Other = gh.struct("Other", a=gh.Ptr, b=gh.int64, c=gh.Ptr)
    n = heap.new(Node, key=-1)
    s = gh.cast(n, Same)
    assert s == n and hash(s) == hash(n) and s.c == (1 << 64) - 1
    with pytest.raises(TypeError, match="cast: Other has other pointer words or more bytes than Node"):
        gh.cast(n, Other)


def test_struct_classes_pickle_by_name():
    assert pickle.loads(pickle.dumps(Node)) is Node


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the order of unannotated fields is not kept there")
def test_bare_fixed_fields_keep_their_place():
    ns: dict = {"gh": gh}
    exec("class T(gh.Struct):\n    a: gh.int8\n    b = gh.fixed(gh.int8, 3)\n"
         "    c: gh.int8\n    d = gh.fixed(gh.int8, 2)\n    e = gh.fixed(gh.int8, 1)\n", ns)
    assert [f[0] for f in gh.type_info(ns["T"]).fields] == ["a", "b", "c", "d", "e"]
