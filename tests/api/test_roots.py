"""Roots: many objects at once, views, fields from buffers, graphs and labels, words."""
from __future__ import annotations

import array
import copy
import gc
import os
import pickle
import random
import signal
import struct
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import goheap as gh


class Node(gh.Struct):
    left: gh.Ptr[Node]
    right: gh.Ptr[Node]
    key: gh.int64
    small: gh.uint8
    x: gh.float32
    flag: gh.bool_


class Other(gh.Struct):
    p: gh.Ptr
    n: gh.Embed[Node]


@pytest.fixture
def heap():
    with gh.Heap() as h:
        yield h
        h.verify()


def keys(roots):
    return [None if n is None else n.key for n in roots]


def test_new_many(heap):
    many = heap.new_many(Node, 1000)
    assert len(many) == 1000 and all(type(n) is Node for n in many)
    assert heap.stats().heap_objects == 1000
    addresses = many.addresses
    assert addresses.format == "Q" and len(set(addresses)) == 1000
    assert addresses[3] == gh.address_of(many[3])
    heap.collect()
    assert heap.stats().heap_objects == 1000
    del many
    heap.collect()
    assert heap.stats().heap_objects == 0


def test_slots_hold_and_let_go(heap):
    r = heap.roots(3)
    assert list(r) == [None] * 3 and list(r.addresses) == [0, 0, 0]
    r[0] = heap.new(Node, key=1)
    r[-1] = heap.alloc(5)
    heap.collect()
    assert r[0].key == 1 and len(r[2]) == 5 and r[1] is None
    r[0] = None
    heap.collect()
    assert heap.stats().heap_objects == 1
    r.clear()
    heap.collect()
    assert heap.stats().heap_objects == 0


def test_slices_are_views(heap):
    many = heap.new_many(Node, 10)
    many.store(Node.key, range(10))
    view = many[2:8:2]
    assert keys(view) == [2, 4, 6] and keys(view[::-1]) == [6, 4, 2] and keys(view[1:][0:1]) == [4]
    view[0] = None
    assert many[2] is None
    many[4] = many[9]
    assert keys(view) == [None, 9, 6]
    view.clear()
    assert keys(many) == [0, 1, None, 3, None, 5, None, 7, 8, 9]
    part = many[7:]
    del many, view
    heap.collect()
    assert keys(part) == [7, 8, 9]


@settings(deadline=None)
@given(st.integers(0, 12), st.data())
def test_slices_are_those_of_a_list(n, data):
    slices = st.slices(n)
    with gh.Heap() as heap:
        roots, model = heap.new_many(Node, n), list(range(n))
        roots.store(Node.key, range(n))
        for _ in range(3):
            a, b = data.draw(slices), data.draw(slices)
            assert keys(roots[a]) == model[a] and keys(roots[a][::-1]) == model[a][::-1]
            if len(model[a]) == len(model[b]):
                roots[a] = roots[b]  # may overlap
                model[a] = model[b]
            elif data.draw(st.booleans()):
                roots[a] = None
                model[a] = [None] * len(model[a])
            assert keys(roots) == model
        heap.verify()


def test_a_slice_takes_one_handle_for_all(heap):
    r = heap.roots(4)
    n = heap.new(Node, key=7)
    r[1:] = n
    assert keys(r) == [None, 7, 7, 7]


def test_store_and_load_pointers(heap):
    many = heap.new_many(Node, 100)
    index = [random.Random(1).randrange(100) for _ in range(100)]
    many.store(Node.left, many, index=index)
    many.store("right", list(many[1:]) + [None])
    for i in range(100):
        assert many[i].left == many[index[i]]
    assert [a for a in many.load("right").addresses] == list(many.addresses)[1:] + [0]
    many.store(Node.left, None)
    assert set(many.load(Node.left).addresses) == {0}
    many[1:].clear()
    heap.collect()
    assert heap.stats().heap_objects == 100


@pytest.mark.parametrize("field,fmt,values", [
    ("key", "q", [-(1 << 63), 0, (1 << 63) - 1]), ("small", "B", [0, 1, 255]),
    ("x", "f", [0.5, -2.0, float("inf")]), ("flag", "?", [True, False, True]),
])
def test_scalars_from_buffers_and_sequences(heap, field, fmt, values):
    many = heap.new_many(Node, 3)
    many.store(field, values)
    got = many.values(field)
    assert (got.format, got.readonly, list(got)) == (fmt, True, values)
    packed = memoryview(struct.pack(f"3{fmt}", *values[::-1])).cast(fmt)
    many.store(field, packed)
    assert list(many.values(field)) == values[::-1]
    many.store(field, packed[::-1])
    assert list(many.values(field)) == values
    assert [getattr(n, field) for n in many] == values
    many.store(field, values, index=[2, 0, 0])
    assert list(many.values(field)) == [values[2], values[0], values[0]]


@pytest.mark.parametrize("code", "bBhHiIlLqQ")
def test_integers_of_every_format(heap, code):
    many = heap.new_many(Node, 3)
    many.store(Node.key, array.array(code, [1, 2, 100]))
    many.store(Node.small, array.array(code, [1, 2, 100]))
    many.store(Node.x, array.array(code, [1, 2, 100]))
    assert list(many.values("key")) == list(many.values("small")) == list(many.values("x")) == [1, 2, 100]


def test_numpy_arrays(heap):
    np = pytest.importorskip("numpy")
    many = heap.new_many(Node, 5)
    for dtype in ("int8", "uint16", "int32", "int64", ">i4"):
        values = np.arange(5, dtype=dtype)
        if dtype == ">i4":
            with pytest.raises(TypeError, match="of format >i"):
                many.store("key", values)
        else:
            many.store("key", values[::-1])
            assert np.asarray(many.values("key")).tolist() == [4, 3, 2, 1, 0]
    many.store(Node.left, many, index=np.array([4, 3, 2, 1, 0]))
    assert many[0].left == many[4]


def test_elements_of_arrays_and_embedded_structs_are_objects_too(heap):
    others = heap.array(Other, 50)
    inside = heap.roots(50)
    for i, o in enumerate(others):
        inside[i] = o.n
    inside.store(Node.key, range(50))
    inside[:-1].store(Node.left, inside[1:])
    assert [o.n.key for o in others] == list(range(50))
    assert others[3].n.left == others[4].n
    heap.collect()
    assert list(inside.values("key")) == list(range(50))


@pytest.mark.parametrize("call,error,message,done", [
    (lambda m, o: m.store("key", [1]), ValueError, "3 objects, but 1 values", None),
    (lambda m, o: m.store("key", [1, 2, "x"]), TypeError, "Node.key: int64 takes an int, not 'str'", None),
    (lambda m, o: m.store("small", [1, 2, 256]), OverflowError, "256 is out of range for uint8", None),
    (lambda m, o: m.store("small", array.array("q", [1, 2, -1])), OverflowError, "-1 is out of range", None),
    (lambda m, o: m.store("key", 5), TypeError, "a buffer or a sequence is needed, not 'int'", None),
    (lambda m, o: m.store("key", "abc"), TypeError, "numbers are needed, not a str", None),
    (lambda m, o: m.store("key", m), TypeError, "int64 takes an int", None),
    (lambda m, o: m.store("nope", [1, 2, 3]), TypeError, "Node has no field 'nope'", None),
    (lambda m, o: m.store(3, [1, 2, 3]), TypeError, r"a field \(Node.key\) or its name", None),
    (lambda m, o: m.store(Other.n, m), TypeError, "neither a number nor a pointer", None),
    (lambda m, o: m.store(Node.left, 5), TypeError, "Roots, a sequence of handles or None", None),
    (lambda m, o: m.store(Node.left, [5, None, None]), TypeError, "a handle or None is needed, not 'int'", None),
    (lambda m, o: m.store(Node.left, None, index=[0, 0, 0]), TypeError, "nil needs no index", None),
    (lambda m, o: m.store(Node.left, m, index=[0, 1, 3]), IndexError, r"index\[2\] is 3, but there are 3 values", 2),
    (lambda m, o: m.store(Node.left, m, index=[0, -1, 2]), IndexError, r"index\[1\] is -1", 1),
    (lambda m, o: m.store(Node.left, m, index=[0, 1]), ValueError, "3 objects, but 2 indices", None),
    (lambda m, o: m.store(Node.left, m, index=[0, 1, 1.5]), TypeError, "index must be an int", None),
    (lambda m, o: m.store(Node.left, o), TypeError, "number 1 is no Node", 1),
    (lambda m, o: o.store(Node.key, [1, 2, 3]), TypeError, "number 1 is no Node", 1),
    (lambda m, o: o.values(Node.key), TypeError, "number 1 is no Node", 1),
    (lambda m, o: o.load(Node.left), TypeError, "number 1 is no Node", 1),
    (lambda m, o: m.load("key"), TypeError, "key is no pointer; see Roots.values", None),
    (lambda m, o: m.values("left"), TypeError, "left is no number; see Roots.load", None),
    (lambda m, o: m[0:0].values("key"), ValueError, "among no objects", None),
    (lambda m, o: m.__setitem__(slice(0, 2), m), ValueError, "2 slots cannot be set from 3", None),
    (lambda m, o: m.__setitem__(0, 5), TypeError, "not 'int'", None),
    (lambda m, o: m.__setitem__("a", None), TypeError, "an index is an int or a slice", None),
    (lambda m, o: m.__delitem__(0), TypeError, "not deleted", None),
    (lambda m, o: m[3], IndexError, r"index 3 out of range \(length 3\)", None),
    (lambda m, o: m[1 << 70], IndexError, "cannot fit", None),
    (lambda m, o: gh.Roots(), TypeError, "cannot create", None),
    (lambda m, o: copy.copy(m), TypeError, "neither copied nor pickled", None),
    (lambda m, o: pickle.dumps(m), TypeError, "neither copied nor pickled", None),
])
def test_misuse(heap, call, error, message, done):
    many = heap.new_many(Node, 3)
    mixed = heap.roots(3)
    mixed[0], mixed[1], mixed[2] = many[0], heap.new(Other), many[2]
    with pytest.raises(error, match=message or None) as e:
        call(many, mixed)
    assert getattr(e.value, "done", None) == done


def test_nil_objects_are_told(heap):
    many = heap.new_many(Node, 4)
    many[2] = None
    for call in (lambda: many.values(Node.key), lambda: many.load(Node.left),
                 lambda: many.store(Node.key, range(4)), lambda: many.store(Node.left, None)):
        with pytest.raises(ValueError, match="number 2 is nil") as e:
            call()
        assert e.value.done == 2


def test_foreign_and_dead(heap):
    with gh.Heap() as other:
        theirs = other.new_many(Node, 2)
        mine = heap.new_many(Node, 2)
        for call in (lambda: mine.__setitem__(0, theirs[0]), lambda: mine.store(Node.left, theirs),
                     lambda: mine.__setitem__(slice(None), theirs),
                     lambda: mine.store(Node.left, [theirs[0], None])):
            with pytest.raises(gh.ForeignRefError, match="another heap"):
                call()
    view = theirs[1:]
    for r in (theirs, view):
        for call in (lambda: r[0], lambda: list(r), lambda: r.clear(), lambda: r.addresses,
                     lambda: r.load(Node.left), lambda: r.values(Node.key),
                     lambda: r.store(Node.key, [1, 2][:len(r)]), lambda: r.__setitem__(0, None),
                     lambda: mine[:len(r)].__setitem__(slice(None), r)):
            with pytest.raises(gh.HeapClosedError, match="closed or gone"):
                call()
        assert "heap ended" in repr(r) and len(r) in (1, 2)


def test_roots_of_a_lost_heap():
    heap = gh.Heap()
    many = heap.new_many(Node, 1000)
    view = many[10:]
    del heap
    gc.collect()
    assert "heap ended" in repr(view)
    del many, view


def test_hard_limit_stops_a_run_and_leaves_the_heap_sound():
    with gh.Heap(hard_limit="64MiB", gogc=None) as heap:
        with pytest.raises(gh.HeapMemoryError) as e:
            heap.new_many(Node, 10_000_000)
        assert e.value.limit == 64 << 20 and e.value.requested == 40
        assert 100_000 < e.value.done < 10_000_000 and e.value.in_use <= (64 << 20) + (1 << 20)
        heap.verify()
        for _ in range(500):
            heap.alloc("1MiB")  # garbage makes room, with GOGC off too
        assert heap.num_gc > 5
        heap.verify()
    with pytest.raises(gh.HeapMemoryError, match="hard_limit of 1024"):
        gh.Heap(hard_limit=1024)


@pytest.fixture
def ctrl_c():
    """As in a terminal: a shell's background job begins with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.thread_unsafe(reason="signals go to the main thread")
def test_ctrl_c_stops_a_run(ctrl_c):
    with gh.Heap(gogc=None) as heap:
        main = threading.main_thread().ident
        timer = threading.Timer(0.1, lambda: signal.pthread_kill(main, signal.SIGINT))
        timer.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt) as e:
            for _ in range(1000):
                heap.new_many(Node, 1_000_000)
        timer.join()
        assert time.monotonic() - began < 5
        done = getattr(e.value, "done", None)
        assert done is None or e.value.__notes__ == [f"{done} steps were done"] and done >= 0
        heap.verify()


# ---- graphs, labels, words ----------------------------------------------------------------------


def test_graph(heap):
    top = heap.graph({"A": ["B", None, "A"], "B": ["C"], "C": [], "D": ["C"]}, roots=["A", "D"])
    assert len(top) == 2
    a, d = top
    assert a[0][0] == d[0] and a[1] is None and a[2] == a and len(a) == 3
    assert heap.info("C").addr == gh.address_of(d[0]) and heap.info(a).label == "A"
    del d
    top[1] = None
    heap.collect()
    with pytest.raises(LookupError, match="no object is called 'D'"):
        heap.info("D")
    assert heap.info("C").label == "C" and heap.stats().heap_objects == 3
    del a, top
    heap.collect()
    assert heap.stats().heap_objects == 0
    heap.graph({"A": []}, roots=[])


def test_a_random_graph_in_a_few_calls(heap):
    n = 20_000
    rng = random.Random(5)
    many = heap.new_many(Node, n)
    left, right = ([rng.randrange(n) for _ in range(n)] for _ in range(2))
    many.store(Node.left, many, index=left)
    many.store(Node.right, many, index=right)
    many[1:].clear()
    heap.collect()
    seen, stack = {0}, [0]
    while stack:
        i = stack.pop()
        for j in (left[i], right[i]):
            if j not in seen:
                seen.add(j)
                stack.append(j)
    assert heap.stats().heap_objects == len(seen)


@pytest.mark.parametrize("edges,roots,error,message", [
    ({"A": ["B"]}, ["A"], ValueError, "'A' points at 'B', which is no label"),
    ({"A": []}, ["B"], ValueError, "the root 'B' is no label"),
    ({"A": [3]}, ["A"], TypeError, "a label is a str, not 3"),
    ({3: []}, [], TypeError, "a label is a str, not 3"),
    ([], [], TypeError, "edges is a mapping, not 'list'"),
    ({"": []}, [], ValueError, "a label has 1..100 bytes"),
])
def test_wrong_graphs(heap, edges, roots, error, message):
    with pytest.raises(error, match=message):
        heap.graph(edges, roots)
    heap.collect()
    assert heap.stats().heap_objects == 0


def test_labels(heap):
    a, b = heap.new(Node), heap.new(Node)
    heap.label(a, "a")
    heap.label(gh.address_of(b) + 8, "b")
    assert heap.info("b").addr == gh.address_of(b) and heap.info(b).label == "b"
    with pytest.raises(ValueError, match="another object is called 'a'"):
        heap.label(b, "a")
    heap.label("a", "α")
    assert heap.info(a).label == "α"
    heap.label(a, None)
    assert heap.info(a).label is None
    for bad, error in ((3, TypeError), ("x" * 101, ValueError), ("", ValueError), ("a\0b", ValueError)):
        with pytest.raises(error):
            heap.label(a, bad)
    with pytest.raises(LookupError, match="size 0"):
        heap.label(heap.alloc(0), "zero")
    del b
    heap.collect()
    heap.label(a, "b")


def test_asking_for_a_label_makes_no_root(heap):
    heap.label(heap.new(Node), "x")
    assert heap.info("x").label == "x"
    heap.collect()
    with pytest.raises(LookupError):
        heap.info("x")


def test_words(heap):
    T = gh.words("T", 40, ptrs="0,2-3")
    info = gh.type_info(T)
    assert (info.size, info.ptrdata, info.gcmask, info.align) == (40, 32, b"\x0d", 8)
    t = heap.new(T)
    assert len(t) == 5 and list(t[i] for i in range(5)) == [None, 0, None, None, 0]
    t[0] = heap.new(Node, key=3)
    t[1] = (1 << 64) - 1
    t[-2] = t
    heap.collect()
    assert (t[0].key, t[1], t[3]) == (3, (1 << 64) - 1, t)
    t[0] = None
    heap.collect()
    assert heap.stats().heap_objects == 1
    for call, error, message in (
            (lambda: t[5], IndexError, r"word 5 out of range \(5 words\)"),
            (lambda: t["a"], TypeError, "a word is an int"),
            (lambda: t.__setitem__(1, -1), OverflowError, r"T\[1\]: -1 is out of range"),
            (lambda: t.__setitem__(1, None), TypeError, r"T\[1\]: uint64 takes an int"),
            (lambda: t.__setitem__(0, 4), TypeError, r"T\[0\]: a pointer to anything takes"),
            (lambda: gh.words("T", -1), ValueError, "size must be 0..1073741824, not -1"),
            (lambda: gh.words("T", 8.0), TypeError, "size must be an int"),
            (lambda: gh.words("9", 8), ValueError, "is an identifier"),
            (lambda: gh.words("T", 8, ptrs="1"), ValueError, r"has the words 0\.\.0, not 1"),
            (lambda: gh.words("T", 8, ptrs="x"), ValueError, 'ptrs is "none", "all" or a list'),
            (lambda: gh.words("T", 8, ptrs=[1.5]), TypeError, "the number of a word is an int"),
            (lambda: gh.words("T", 16, ptrs="1-0"), ValueError, "has the words"),
            (lambda: gh.words("T", 12, ptrs="0"), ValueError, "consists of words of 8 bytes, not of 12")):
        with pytest.raises(error, match=message):
            call()


def test_words_without_pointers_may_have_any_size(heap):
    T = gh.words("T", 13)
    assert gh.type_info(T)[1:5] == (13, 1, 0, b"") and gh.sizeof(heap.new(T)) == 13
    assert len(heap.new(T)) == 1 and heap.new(T)[0] == 0


def test_words_in_bulk(heap):
    T = gh.words("T", 64, ptrs="all")
    many = heap.new_many(T, 100)
    for i in range(100):
        many[i][3] = many[(i + 1) % 100]
    many[1:].clear()
    heap.collect()
    assert heap.stats().heap_objects == 100


def test_strings_slices_interfaces(heap):
    G = gh.struct("G", s=gh.String, sl=gh.Slice, i=gh.Interface)
    info = gh.type_info(G)
    assert (info.size, info.align, info.gcmask) == (56, 8, b"\x45")
    assert gh.type_info(gh.Interface)[1:5] == (16, 8, 16, b"\x02")
    g = heap.new(G, s=heap.alloc(5), i=heap.new(Node, key=4))
    g.sl = heap.array(gh.int64, 3)
    heap.collect()
    assert len(g.s) == 5 and g.i.key == 4 and len(g.sl) == 3
    g.s = g.sl = g.i = None
    heap.collect()
    assert heap.stats().heap_objects == 1


def test_a_process_with_little_address_space():
    """RLIMIT_AS: the window shrinks to what there is, and the refusal is an exception."""
    # 3 GiB beyond what Python itself has: without the GIL it reserves a GiB at its start.
    code = ("import resource, goheap as gh\n"
            "with open('/proc/self/statm') as f: used = int(f.read().split()[0]) * 4096\n"
            "resource.setrlimit(resource.RLIMIT_AS, (used + (3 << 30),) * 2)\n"
            "heap = gh.Heap(gogc=None)\n"
            "kept = []\n"
            "try:\n"
            "    while True: kept.append(heap.alloc('16MiB'))\n"
            "except gh.HeapMemoryError as e:\n"
            "    assert e.requested == 16 << 20 and e.in_use > 0, e\n"
            "heap.verify()\n"
            "n = len(kept); del kept[1:]; heap.collect()\n"
            "assert len(heap.alloc('16MiB')) == 16 << 20 and n > 3\n"
            "heap.close(); print('fine', n)\n")
    if "asan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("AddressSanitizer needs more address space")
    r = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0 and r.stdout.startswith("fine"), r.stderr
