"""Snapshots, tables, logs and series: against models, and that asking changes nothing."""
from __future__ import annotations

import copy
import pickle
import random
import sys
import threading
import time
from collections import Counter, deque

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import goheap as gh


class Node(gh.Struct):
    a: gh.Ptr
    b: gh.Ptr
    n: gh.int64


class Big(gh.Struct):
    data: gh.fixed(gh.uint64, 100)
    p: gh.Ptr
    q: gh.Ptr


# ---- a model of the graph -------------------------------------------------------------------


def reach(edges, roots, without=None):
    """Numbers of what is reachable when one object is taken away."""
    seen = set()
    stack = [r for r in roots if r != without]
    while stack:
        v = stack.pop()
        if v not in seen:
            seen.add(v)
            stack += [w for w in edges[v] if w != without]
    return seen


def distances(edges, roots):
    dist = {r: 0 for r in roots}
    queue = deque(dist)
    while queue:
        v = queue.popleft()
        for w in edges[v]:
            if w not in dist:
                dist[w] = dist[v] + 1
                queue.append(w)
    return dist


graphs = st.integers(1, 12).flatmap(lambda n: st.tuples(
    st.lists(st.lists(st.integers(0, n - 1), max_size=4), min_size=n, max_size=n),
    st.sets(st.integers(0, n - 1), max_size=3), st.booleans(), st.integers(1, 3)))


@given(graphs)
@settings(max_examples=300, deadline=None)
# Dominators that aren't the parents in a depth-first walk; a loop; a diamond; nothing.
@example(([[1, 2], [3], [3], [4], [1]], {0}, False, 1))
@example(([[0]], {0}, False, 1))
@example(([[1, 2], [4, 5], [3], [5], [3], [2, 6], []], {0}, False, 2))
@example(([[1], [0]], set(), False, 1))
def test_graph_questions_against_a_model(drawn):
    edges, roots, collect, procs = drawn
    with gh.Heap(procs=procs, gogc=None, address_space="1GiB") as heap:
        made = []
        for i, out in enumerate(edges):
            with heap.on_p(i % procs):
                made.append(heap.array(gh.Ptr, len(out) + i % 2 * 70) if len(out) + i % 2 else
                            heap.new(Node))
        for v, out in enumerate(edges):
            for k, w in enumerate(out):
                made[v][k] = made[w]
        addr = [gh.address_of(m) for m in made]
        held = {r: made[r] for r in roots}
        del made
        if collect:
            heap.collect()
        snap = heap.snapshot(edges=True)
        heap.verify()
    live = reach(edges, roots)
    there = live if collect else set(range(len(edges)))
    number = {addr[v]: v for v in there}
    assert sorted(number) == snap.objects["addr"].tolist()
    size = {number[o.addr]: o.elemsize for o in snap.objects}
    want = Counter((addr[v], 8 * k, addr[w]) for v in there for k, w in enumerate(edges[v]))
    assert Counter(snap.edges) == want
    assert sorted(r.target for r in snap.roots) == sorted(addr[r] for r in held)
    dist = distances(edges, roots)
    whole = sum(size[v] for v in live)
    for v in there:
        path = snap.why(addr[v])
        if v in live:
            assert len(path) == dist[v]
            at = None
            for e in path:
                assert number[e.source] in roots if at is None else e.source == at
                assert (e.source, e.offset, e.target) in want
                at = e.target
            assert at == addr[v] if path else v in roots
        else:
            assert path is None
        assert snap.retained(addr[v]) == whole - sum(size[w] for w in reach(edges, roots, v))
        assert Counter(snap.referrers(addr[v])) == Counter(
            {e: n for e, n in want.items() if e[2] == addr[v]})


def test_dominators_of_larger_random_graphs():
    rnd = random.Random(7)
    for n, degree in ((200, 1), (200, 2), (120, 5)):
        with gh.Heap(gogc=None, address_space="1GiB") as heap:
            nodes = [heap.array(gh.Ptr, degree) for _ in range(n)]
            edges = [[rnd.randrange(n) for _ in range(degree)] for _ in range(n)]
            for v, out in enumerate(edges):
                for k, w in enumerate(out):
                    nodes[v][k] = nodes[w]
            addr = [gh.address_of(x) for x in nodes]
            roots = rnd.sample(range(n), 3)
            held = [nodes[r] for r in roots]
            del nodes
            snap = heap.snapshot(edges=True)
            assert len(held) == 3
        whole = reach(edges, roots)
        for v in range(n):
            lost = whole - reach(edges, roots, v)
            assert snap.retained(addr[v]) == len(lost) * snap.objects["elemsize"][0]


def test_deep_chain_and_wide_star():
    with gh.Heap(gogc=None) as heap:
        many = heap.new_many(Node, 50_000)
        many[:-1].store(Node.a, many[1:])
        head = many[0]
        many.clear()
        snap = heap.snapshot(edges=True)
        last = snap.objects["addr"][-1]
        assert len(snap.why(last)) == 49_999 and snap.retained(head) == 50_000 * 24
        assert snap.retained(last) == 24
        star = heap.array(gh.Ptr, 50_000)
        del head
        for i in range(0, 50_000, 7):
            star[i] = heap.new(Node)
        heap.collect()
        snap = heap.snapshot(edges=True)
        assert snap.retained(star) == snap.stats.heap_alloc
        assert len(snap.edges) == len(range(0, 50_000, 7))


def test_interior_pointers_headers_and_large_objects():
    with gh.Heap() as heap:
        b, c = heap.new(Big), heap.array(Big, 100)
        end = heap.alloc(100)
        b.p, b.q = c[50], b
        c[99].q = end
        snap = heap.snapshot(edges=True)
        base, row = gh.address_of(b), gh.address_of(c)
        last = row + 99 * gh.sizeof(Big) + 808
        assert set(snap.edges) == {(base, 800, row + 50 * gh.sizeof(Big)), (base, 808, base),
                                   (row, last - row, gh.address_of(end))}
        assert snap.why(end) == [] and snap.referrers(end)[0].source == row
        inside = heap.snapshot(edges=True)
        assert inside.referrers(row + 12345) == inside.referrers(c) != []
        where = gh.address_of(end)
        del c, end
        snap = heap.snapshot(edges=True)
        assert [e.source for e in snap.why(where)] == [base, row]
        assert snap.why(where + 99) == snap.why(where)


# ---- what stands in the tables ----------------------------------------------------------------


def check_sums(heap, snap):
    """What the tables must agree on with each other and with the figures."""
    s = snap.stats
    assert s == heap.stats()
    assert len(snap.objects) == s.heap_objects
    assert sum(snap.objects["elemsize"]) == s.heap_alloc
    assert sum(snap.spans["npages"]) * 8192 == s.heap_inuse
    assert sum(snap.spans["allocated"]) == s.heap_objects
    at = 0xC000000000
    of = Counter()
    for p in snap.pages:
        assert p.addr == at and p.npages > 0
        at += 8192 * p.npages
        of[p.state.rstrip("0123456789")] += 8192 * p.npages
    assert at - 0xC000000000 == 1 << 30
    assert of["in use"] == s.heap_inuse
    assert of["free"] + of["scavenged"] + of["cached by P"] == s.heap_idle
    spans = {x.base: x for x in snap.spans}
    assert [p.addr for p in snap.pages if p.state == "in use"] == sorted(spans)
    for o in snap.objects:
        span = spans[o.span]
        assert o.elemsize == span.elemsize and o.slot < span.nelems and o.base == o.addr
        assert o.size <= o.elemsize and o.color == "white"
        assert 0 <= o.addr - o.span - o.slot * o.elemsize <= 8
    cached = {x.base: x.place for x in snap.spans if x.place.startswith("mcache")}
    assert cached == {c.span: f"mcache[{c.p}]" for c in snap.caches}
    for c in snap.caches:
        assert c.free == spans[c.span].nelems - spans[c.span].allocated
        assert c.spanclass == spans[c.span].spanclass
    for by in ("type", "class", "spanclass", "label"):
        rows = snap.census(by)
        assert sum(r.objects for r in rows) == len(snap.objects)
        assert sum(r.bytes for r in rows) == s.heap_alloc
        assert sum(r.size for r in rows) == sum(snap.objects["size"])
        assert list(rows["bytes"]) == sorted(rows["bytes"], reverse=True)
    o = snap.occupancy()
    assert sum(o["used"]) == s.heap_objects and sum(o["spans"]) == len(spans)
    assert sum(o["rounding"]) + sum(o["free"]) + sum(o["tails"]) + sum(snap.objects["size"]) \
        == s.heap_inuse


step = st.one_of(
    st.tuples(st.just("alloc"), st.one_of(st.integers(0, 40), st.sampled_from(
        [100, 512, 513, 5000, 32768, 32769, 100_000])), st.integers(0, 2)),
    st.tuples(st.just("new"), st.integers(1, 60), st.integers(0, 2)),
    st.tuples(st.just("store"), st.integers(0, 99), st.integers(0, 99)),
    st.tuples(st.just("drop"), st.integers(0, 99), st.just(0)),
    st.tuples(st.just("collect"), st.just(0), st.just(0)),
    st.tuples(st.just("many"), st.integers(1, 3000), st.integers(0, 2)),
    st.tuples(st.just("procs"), st.integers(1, 3), st.just(0)),
    st.tuples(st.just("free"), st.just(0), st.just(0)),
    st.tuples(st.just("label"), st.integers(0, 99), st.integers(0, 5)),
)


def run(heap, steps, ask):
    """A program; ask is called between its steps. Returns all that can be told of it."""
    held = []
    told = []
    for what, x, y in steps:
        with heap.on_p(y % heap.procs):
            if what == "alloc":
                held.append(heap.alloc(x))
            elif what == "new":
                held.append(heap.array(Node, x))
            elif what == "many":
                block = heap.new_many(Node, x)
                held.append(block[0])
                block.clear()
            elif what == "store" and held:
                at = held[x % len(held)]
                if isinstance(at, gh.Array):
                    at[y % len(at)].a = held[y % len(held)]
            elif what == "drop" and held:
                del held[x % len(held)]
            elif what == "collect":
                told.append(heap.collect())
            elif what == "free":
                heap.free_os_memory()
            elif what == "label" and held and gh.sizeof(held[x % len(held)]):
                try:
                    heap.label(held[x % len(held)], f"label{y}")
                except ValueError:
                    pass  # another one has it
        if what == "procs":
            heap.procs = x
        ask(heap, held)
        told += [gh.address_of(h) for h in held]
    told += list(heap.cycles)
    return told + [heap.stats(), heap.snapshot(edges=True), heap.now_ns]


@given(st.lists(step, max_size=40), st.sampled_from(["lazy", "eager"]),
       st.sampled_from([5, 100, None]))
@settings(max_examples=80, deadline=None)
def test_tables_agree_with_the_figures(steps, sweep, gogc):
    def ask(heap, held):
        pass
    with gh.Heap(procs=3, gogc=gogc, address_space="1GiB",
                 policy=gh.Policy(sweep=sweep, min_heap="64KiB")) as heap:
        snap = run(heap, steps, ask)[-2]
        if sweep == "eager":
            check_sums(heap, snap)
        # Lazily swept, objects found dead aren't shown though slots still count.
        assert len(snap.objects) <= snap.stats.heap_objects
        heap.collect()
        check_sums(heap, heap.snapshot(edges=True))


@given(st.lists(step, max_size=40), st.sampled_from(["lazy", "eager"]),
       st.integers(0, 2))
@settings(max_examples=80, deadline=None)
def test_asking_changes_nothing(steps, sweep, p):
    """The same program with and without questions, and with a log and series beside it."""
    def make():
        return gh.Heap(procs=3, gogc=10, address_space="1GiB",
                       policy=gh.Policy(sweep=sweep, min_heap="64KiB"))

    def nothing(heap, held):
        pass

    def ask(heap, held):
        with heap.on_p(p % heap.procs):
            snap = heap.snapshot(edges=True)
            repr(heap), repr(snap), heap.stats(), heap.verify()
            heap.heap_live, heap.trigger, heap.now_ns, heap.num_gc, list(heap.cycles)
            for h in held[:3]:
                repr(h), heap.info(h), gh.sizeof(h)
                if gh.sizeof(h):
                    snap.why(h), snap.retained(h), snap.referrers(h)
            snap.census(), snap.occupancy(), snap._repr_html_(), snap.to_dot()

    with make() as heap:
        plain = run(heap, steps, nothing)
    with make() as heap:
        assert run(heap, steps, ask) == plain
    with make() as heap, heap.watch() as log, heap.record("cycle") as cycles, \
            heap.record("50us", "heap_live", "mallocs") as ticks:
        assert run(heap, steps, lambda h, held: (len(log), log.story(), len(ticks))) == plain
    assert len(cycles) == plain[-3].num_gc


def test_types_labels_and_tiny_blocks():
    with gh.Heap(procs=2) as heap:
        keep = [heap.alloc(3), heap.alloc(4), heap.new(Node), heap.array(gh.int32, 9),
                heap.alloc(0)]
        heap.label(keep[2], "top")
        heap.label(keep[3], "été \u2603")
        snap = heap.snapshot(edges=True)
    rows = {o.type: o for o in snap.objects}
    assert len(rows) == len(snap.objects) == 3
    tiny = rows["tiny block"]
    assert (tiny.size, tiny.elemsize, tiny.label) == (7, 16, None)
    assert rows["Node"].label == "top" and rows["Array[int32]"].label == "été \u2603"
    assert [t.name for t in snap.types] == ["Node", "Array[int32]"]
    assert snap.types[0] == gh.type_info(Node)
    cache = next(c for c in snap.caches if c.tiny)
    assert (cache.spanclass, cache.tiny, cache.tiny_offset) == (5, tiny.addr, 8)
    assert snap.why("top") == [] and snap.retained("été \u2603") == 48
    assert Counter(r.kind for r in snap.roots) == {"handle": 5, "tiny block": 1}
    assert {r.key for r in snap.census("label")} == {"top", "été \u2603", None}
    with pytest.raises(LookupError, match="no object had the label 'x'"):
        snap.why("x")


def test_root_kinds():
    with gh.Heap() as heap:
        many = heap.new_many(Node, 3)
        view = memoryview(heap.alloc(100))
        held = heap.new(Node)
        snap = heap.snapshot()
        # A memoryview holds its handle, too.
        assert Counter(r.kind for r in snap.roots) == {"handle": 2, "roots": 3, "buffer": 1}
        assert gh.address_of(held) in snap.roots["target"]
        del many, view, held
        assert len(heap.snapshot().roots) == 0


def test_two_types_of_one_name_are_one_row_of_a_census():
    one, two = gh.struct("T", a=gh.int64), gh.struct("T", a=gh.int64, b=gh.Ptr)
    with gh.Heap(policy=gh.Policy(tiny=False)) as heap:
        keep = [heap.new(one), heap.new(two), heap.new(two)]
        snap = heap.snapshot()
        assert len(keep) == len(snap.objects)
    assert list(snap.census()) == [("T", 3, 40, 40)]
    assert snap.objects._column("type").unique()[1].count("T") == 1


def test_several_ps_have_their_own_caches():
    with gh.Heap(procs=3, address_space="1GiB") as heap:
        keep = []
        for p in range(3):
            with heap.on_p(p):
                keep += [heap.new(Node), heap.alloc(3), heap.alloc(100)]
        snap = heap.snapshot()
        check_sums(heap, snap)
        assert Counter(c.p for c in snap.caches) == {0: 3, 1: 3, 2: 3}
        assert len({c.tiny for c in snap.caches if c.tiny}) == 3
        assert {p.state for p in snap.pages} >= {"in use", "cached by P0", "reserved"}
        heap.procs = 1
        check_sums(heap, heap.snapshot())


# ---- a snapshot by itself -------------------------------------------------------------------------


def test_valid_after_close_and_pickles():
    with gh.Heap() as heap:
        top = heap.graph({"A": ["B", "C"], "B": ["C"], "C": []}, roots=["A"])
        snap = heap.snapshot(edges=True)
        with heap.record("cycle", "n") as cycles, heap.watch() as log:
            heap.collect()
        before = (list(snap.objects), list(snap.edges), snap.why("C"), snap.retained("A"))
    assert len(top) == 1
    for s in (snap, pickle.loads(pickle.dumps(snap)), copy.deepcopy(snap)):
        assert (list(s.objects), list(s.edges), s.why("C"), s.retained("A")) == before
        assert s == snap and s.stats == snap.stats and s.types == snap.types
        assert repr(s) == repr(snap) and s.to_dot() == snap.to_dot()
    for table in (cycles, log, snap.objects, snap.occupancy()):
        again = pickle.loads(pickle.dumps(table))
        assert again == table and list(again) == list(table) and type(again) is type(table)
        assert again.names == table.names
    assert pickle.loads(pickle.dumps(log)).story() == log.story()
    with pytest.raises(TypeError, match="unhashable"):
        hash(snap)
    assert snap != 1 and snap.objects != 1 and snap.objects != snap.edges


def test_what_was_not_asked_for_says_so():
    with gh.Heap() as heap:
        a = heap.new(Node)
        thin = heap.snapshot(objects=False)
        plain = heap.snapshot()
        for call in (lambda: thin.objects, thin.census, thin.occupancy):
            with pytest.raises(ValueError, match=r"heap.snapshot\(objects=True\)"):
                call()
        for call in (lambda: plain.edges, lambda: plain.why(a), lambda: plain.referrers(a),
                     lambda: plain.retained(a), plain.to_dot):
            with pytest.raises(ValueError, match=r"heap.snapshot\(edges=True\)"):
                call()
        with pytest.raises(ValueError, match="edges=True needs objects=True"):
            heap.snapshot(objects=False, edges=True)
        with pytest.raises(ValueError, match="by must be one of 'type'.*not 'x'"):
            plain.census("x")
        assert len(thin.spans) == 1 and "1 span" in thin._repr_html_()
        assert thin == pickle.loads(pickle.dumps(thin)) != plain


def test_places():
    with gh.Heap() as heap, gh.Heap() as other:
        a, foreign = heap.new(Node), other.new(Node)
        snap = heap.snapshot(edges=True)
        late = heap.new(Node)
        where = gh.address_of(a)
        assert snap.why(a) == snap.why(where) == snap.why(where + 23) == []
        for bad in (where - 1, 0, 1 << 70, -1, gh.address_of(late), late):
            with pytest.raises(LookupError, match="Snapshot.why: no object was at"):
                snap.why(bad)
        with pytest.raises(gh.ForeignRefError, match="not a handle of the heap"):
            snap.why(foreign)
        for bad in (None, 1.0, True, b"A", [a]):
            with pytest.raises(TypeError, match="a handle, an address or a label is needed"):
                snap.retained(bad)
        loaded = pickle.loads(pickle.dumps(snap))
        with pytest.raises(gh.ForeignRefError):
            loaded.why(a)
        assert loaded.why(where) == []
    with pytest.raises(gh.HeapClosedError):
        snap.why(a)
    for call in (heap.snapshot, heap.watch, heap.record):
        with pytest.raises(gh.HeapClosedError):
            with call():
                pass


def test_dot():
    with gh.Heap() as heap:
        top = heap.graph({"A": ['q"\\', "A"], 'q"\\': []}, roots=["A"])
        dot = heap.snapshot(edges=True).to_dot()
        assert len(top) == 1
    assert dot.startswith("digraph heap {") and dot.count(" -> ") == 3
    assert 'label="q\\"\\\\: node0, 8 B\\n0x' in dot and 'label="roots"' in dot
    assert dot.count('[label="+0"]') == dot.count('[label="+8"]') == 1


# ---- tables ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def snap():
    with gh.Heap() as heap:
        keep = [heap.new(Node) for _ in range(5000)]
        heap.label(keep[7], "seven")
        return heap.snapshot(edges=True)


def test_table(snap):
    t = snap.objects
    assert t.names == gh.ObjectInfo._fields and len(t) == 5000
    rows = list(t)
    assert rows[0] == t.row(0) == t.row(-5000) and rows[-1] == t.row(-1)
    assert all(type(r) is gh.ObjectInfo for r in (rows[4096], t.row(4095)))
    assert t.to_dict() == {n: [getattr(r, n) for r in rows] for n in t.names}
    view = t["addr"]
    assert view.readonly and view.format == "Q" and view.tolist() == [r.addr for r in rows]
    assert t.strings("label") == ("seven",) and t["label"][7] == 0 and t["label"][8] == -1
    assert repr(t) == ("<Table of ObjectInfo: 5000 rows (addr, base, size, elemsize, type, label, "
                       "color, span, slot)>")
    html = t._repr_html_()
    assert html.count("<tr>") == 11 and "4990 more rows" in html and "0xc000000000" in html
    with pytest.raises(KeyError, match="no column 'x'; there are: addr, base"):
        t["x"]
    with pytest.raises(TypeError, match=r"a column's name, not 'int'.*table.row\(i\)"):
        t[0]
    with pytest.raises(TypeError, match="column 'addr' holds numbers"):
        t.strings("addr")
    for bad in (5000, -5001):
        with pytest.raises(IndexError, match=f"row {bad} of 5000"):
            t.row(bad)
    with pytest.raises(TypeError, match="a number is needed"):
        t.row("0")


def test_empty_tables():
    with gh.Heap() as heap:
        s = heap.snapshot(edges=True)
    for t in (s.objects, s.edges, s.spans, s.roots, s.caches, s.census(), s.occupancy()):
        assert len(t) == 0 and list(t) == [] and t._repr_html_()
        assert t.to_dict() == {n: [] for n in t.names}
        assert pickle.loads(pickle.dumps(t)) == t
    assert len(s.pages) == 1 and s.to_dot().count("\n") == 3


def test_numpy_takes_a_column_without_a_copy(snap):
    numpy = pytest.importorskip("numpy")
    view = snap.objects["addr"]
    a = numpy.asarray(view)
    assert a.dtype == numpy.uint64 and not a.flags.writeable
    assert a.__array_interface__["data"][0] == numpy.asarray(
        snap.objects["addr"]).__array_interface__["data"][0]


def test_pandas_and_arrow(snap):
    pytest.importorskip("numpy")
    pandas = pytest.importorskip("pandas")
    frame = snap.objects.to_pandas()
    assert frame.shape == (5000, 9) and frame["addr"].tolist() == snap.objects["addr"].tolist()
    assert frame["label"].tolist()[7] == "seven" and frame["label"].isna().sum() == 4999
    assert isinstance(frame["type"].dtype, pandas.CategoricalDtype)
    pytest.importorskip("pyarrow")
    table = snap.objects.to_arrow()
    assert table.column_names == list(gh.ObjectInfo._fields)
    assert table.to_pydict() == snap.objects.to_dict()
    assert snap.spans.to_arrow().to_pydict() == snap.spans.to_dict()


@pytest.mark.parametrize("method,package", [("to_pandas", "pandas"), ("to_arrow", "pyarrow")])
def test_a_missing_package_is_named(snap, monkeypatch, method, package):
    for name in ("numpy", "pandas", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=f"Table.{method} needs the package .*"
                                          f"pip install {package}"):
        getattr(snap.objects, method)()


# ---- logs --------------------------------------------------------------------------------------------


def test_log_of_a_program():
    with gh.Heap(procs=2, address_space="1GiB") as heap:
        with heap.watch() as log:
            a = heap.alloc(24)
            with heap.on_p(1):
                b = heap.alloc(24)
            assert [e.kind for e in log] == ["grow", "span", "refill", "span", "refill"]
            assert "P1 had no free slot of 24 bytes without pointers" in log.story()
            heap.collect()
            large = heap.alloc("8MiB")
            n = len(log)
        heap.alloc(5000)
        assert len(log) == n and repr(log).startswith("<EventLog of Event: ")
        refills = [e for e in log if e.kind == "refill"]
        assert [(e.p, e.addr, e.spanclass) for e in refills] == \
            [(0, gh.address_of(a), 7), (1, gh.address_of(b), 7)]
        assert [e.note for e in log if e.kind == "phase"] == \
            ["cycle begins, forced", "cycle ends", "cycle begins, at its trigger", "cycle ends"]
        assert [e.kind for e in log].count("trigger") == 1
        assert [e.size for e in log if e.kind == "large"] == [8 << 20]
        assert [(e.addr) for e in log if e.kind == "large"] == [gh.address_of(large)]
        times = log["t_ns"].tolist()
        assert times == sorted(times) and times[-1] <= heap.now_ns
    assert log.story().count("\n") + 1 <= len(log)


def test_sweeping_is_told_in_one_sentence():
    with gh.Heap(gogc=None) as heap:
        many = heap.new_many(Node, 20_000)
        many[::2].clear()
        with heap.watch(["sweep", "span"]) as log:
            heap.collect()
        assert len(many) == 20_000
    assert {e.kind for e in log} == {"sweep"} and sum(log["size"]) == 10_000
    assert log.story().endswith(f"sweeping freed 10000 slots in {len(log)} spans; 0 spans gave "
                                "back 0 pages.")


def test_kinds():
    with gh.Heap() as heap:
        for kind in ("barrier", "alloc", "all"):
            with pytest.raises(ValueError, match=f"'{kind}' is not in this version"):
                heap.watch(kind)
        with pytest.raises(ValueError, match="no kind 'x'; there are 'slow', 'refill', .*'trigger'"):
            heap.watch("x")
        with pytest.raises(ValueError, match="no kinds were given"):
            heap.watch([])
        for bad in ([1], [None]):
            with pytest.raises(TypeError, match="a kind is a str"):
                heap.watch(bad)
        with heap.watch("phase") as log, heap.watch(("grow", "refill")) as inner:
            keep = heap.alloc(100)
            heap.collect()
        assert [e.kind for e in log] == ["phase", "phase"]
        assert [e.kind for e in inner] == ["grow", "refill"] and len(keep) == 100


def test_blocks_lie_in_each_other_and_end_in_any_order():
    with gh.Heap() as heap:
        first, second = heap.watch("grow"), heap.watch("grow")
        a = first.__enter__()
        b = second.__enter__()
        keep = [heap.alloc("5MiB")]
        first.__exit__(None, None, None)
        keep.append(heap.alloc("64MiB"))
        second.__exit__(None, None, None)
        keep.append(heap.alloc("128MiB"))
        assert 0 < len(a) < len(b)
        again = heap.watch("refill")
        for n in (1, 2):
            with again as log:
                keep.append(heap.alloc(1000 * n))
            assert len(log) == 1


def test_a_log_outlives_its_heap_and_an_error():
    heap = gh.Heap()
    with heap.watch() as log:
        heap.alloc(100)
        heap.close()
        assert len(log) == 3
    assert len(log) == 3 and "grew" in log.story()
    with gh.Heap() as heap:
        with pytest.raises(ZeroDivisionError):
            with heap.watch() as log:
                heap.alloc(100)
                1 / 0
        assert len(log) == 3
    heap = gh.Heap()
    block = heap.watch()
    log = block.__enter__()
    del block  # never left: the log still tells, and nothing keeps the heap from ending
    assert len(log) == 0 and heap.alloc(10) is not None and len(log) == 3
    heap.close()
    assert len(log) == 3


# ---- series --------------------------------------------------------------------------------------------


def churn(heap, n=30_000):
    keep = heap.roots(500)
    for i in range(n):
        keep[i % 500] = heap.array(Node, i % 20 + 1)


def test_a_row_each_cycle():
    with gh.Heap(gogc=50) as heap:
        churn(heap, 3000)
        first = heap.num_gc
        with heap.record("cycle", "n", "num_gc", "forced", "heap_marked", "heap_goal", "start_ns",
                         "cons_mark", "mallocs") as series:
            churn(heap)
            assert len(series) == heap.num_gc - first > 2
            heap.collect()
        cycles = heap.cycles[first:]
        assert series.names[0] == "t_ns"
        assert [(r.n, r.num_gc, r.forced, r.heap_marked, r.start_ns, r.cons_mark) for r in series] \
            == [(c.n, c.n, c.forced, c.heap_marked, c.start_ns, c.cons_mark) for c in cycles]
        # The next cycle runs to the goal that stood at the end of the one before.
        assert series["heap_goal"].tolist()[:-1] == [c.heap_goal for c in cycles[1:]]
        assert list(series["t_ns"]) == sorted(series["t_ns"])
        churn(heap, 3000)
    assert len(series) == len(cycles)


def test_a_row_each_tick():
    def once():
        with gh.Heap(gogc=50) as heap, heap.record("100us", "now_ns", "mallocs", "heap_live",
                                                   "num_gc", "gc_cpu_fraction") as series:
            begin = heap.now_ns
            churn(heap)
            end = heap.now_ns
            last = heap.stats().mallocs
        return series, begin, end, last
    series, begin, end, last = once()
    assert series["t_ns"].tolist() == list(range(begin + 100_000, end + 1, 100_000))
    for name in ("now_ns", "mallocs", "num_gc"):
        assert series[name].tolist() == sorted(series[name])
    assert all(r.t_ns <= r.now_ns <= end for r in series) and series.row(-1).mallocs <= last
    assert series["gc_cpu_fraction"].format == "d" and once()[0] == series


@pytest.mark.parametrize("every,columns,error,message", [
    (1000, (), ValueError, "each 1000 allocations is not in this version"),
    (True, (), TypeError, 'every is "cycle" or a time'),
    (None, (), TypeError, "not None"),
    ("1", (), ValueError, "not '1'"),
    ("1 ms", (), ValueError, "not '1 ms'"),
    ("999ns", (), ValueError, 'from "1us"'),
    ("0.0000001ms", (), ValueError, "whole ns"),
    ("cycle", ("x",), ValueError, "no column 'x'; there are: now_ns, heap_live"),
    ("cycle", (1,), TypeError, "a column's name is a str"),
    ("cycle", ("n", "n"), ValueError, "stands twice"),
    ("1ms", ("scan_work",), ValueError, "only each \"cycle\" has 'scan_work'"),
])
def test_record_refuses(every, columns, error, message):
    with gh.Heap() as heap, pytest.raises(error, match=message):
        heap.record(every, *columns)


def test_all_columns_at_once_and_units():
    from goheap.watch import _FIGURES, _every_ns
    assert [_every_ns(x) for x in ("1us", "1µs", "1.5ms", "2s", "1000ns")] == \
        [1000, 1000, 1_500_000, 2 * 10**9, 1000]
    with gh.Heap(gogc=50) as heap:
        with heap.record("cycle", *_FIGURES) as series:
            heap.collect()
            stats = heap.stats()
        row = series.row(0)
        for name in _FIGURES:
            if hasattr(stats, name):
                assert getattr(row, name) == getattr(stats, name)
            if not callable(getattr(heap, name, len)):
                assert getattr(row, name) == getattr(heap, name)


# ---- threads ---------------------------------------------------------------------------------------------


def test_snapshots_while_threads_work():
    with gh.Heap(procs=4, gogc=20, address_space="1GiB",
                 policy=gh.Policy(min_heap="256KiB")) as heap:
        stop = threading.Event()
        errors = []

        def work(seed):
            rnd = random.Random(seed)
            keep = []
            try:
                while not stop.is_set():
                    keep.append(heap.array(Node, rnd.randrange(1, 30)))
                    keep[rnd.randrange(len(keep))][0].a = keep[-1]
                    if len(keep) > 200:
                        del keep[:100]
            except BaseException as e:
                errors.append(e)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        with heap.watch() as log, heap.record("100us") as series:
            for _ in range(30):
                snap = heap.snapshot(edges=True)
                assert len(snap.objects) == snap.stats.heap_objects
                assert sum(snap.objects["elemsize"]) == snap.stats.heap_alloc
                assert min(snap._to and memoryview(snap._to).cast("I"), default=0) != 2**32 - 1
                snap.retained(snap.objects["addr"][0]) if len(snap.objects) else None
                len(log), len(series)
            while not len(log):
                time.sleep(0.001)
        stop.set()
        for t in threads:
            t.join()
        assert not errors
        heap.verify()
    assert len(log) > 0
