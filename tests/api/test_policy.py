"""What a heap is made of, and the checks that can be switched on."""
from __future__ import annotations

import importlib.resources
import json
import pickle

import pytest

import goheap as gh


class Node(gh.Struct):
    a: gh.Ptr[Node]
    key: gh.int64


CHOICES = (gh.Policy(), gh.Policy(size_classes=[16, 512, 32768]), gh.Policy(page_cache=False, ballast="1MiB"), gh.Debug(),
           gh.Debug(clobber_free=True, gc_every=5, delays=7))


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
    (lambda: gh.Debug(delays=True), TypeError, "delays must be an int or None, not 'bool'"),
    (lambda: gh.Debug(delays=0), ValueError, r"delays must be 1\.\.2\*\*50, not 0"),
    (lambda: gh.Heap(debug=gh.Debug(delays=3)), ValueError, 'threads of mode "concurrent"'),
    (lambda: gh.Policy(barrier="dijkstra"), ValueError, "barrier must be .*, not 'dijkstra'"),
    (lambda: gh.Heap(mode="concurrent", policy=gh.Policy(barrier="none")), ValueError,
     "barrier 'none' loses objects and is not in mode"),
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


TABLE = (16, 40, 200, 512, 1024, 4096, 32768)


@pytest.mark.parametrize("table, error, says", [
    ("16,512", TypeError, "size_classes must be a sequence of sizes or None, not 'str'"),
    ({16, 512, 32768}, TypeError, "not 'set'"),
    ([16, 512.0, 32768], TypeError, "a size is an int, not 'float'"),
    ([], ValueError, r"must have 1\.\.67 sizes, not 0"),
    (range(8, 8 * 70, 8), ValueError, r"must have 1\.\.67 sizes, not 69"),
    ([12, 512, 32768], ValueError, "12 is no multiple of 8, as a size up to 1024 must be"),
    ([16, 512, 1160, 32768], ValueError, "1160 is no multiple of 128, as a size above 1024"),
    ([-8, 512, 32768], ValueError, "-8 is no multiple of 8"),
    ([512, 16, 32768], ValueError, "must rise, but 16 comes after 512"),
    ([16, 16, 512, 32768], ValueError, "must rise, but 16 comes after 16"),
    ([16, 512, 65536], ValueError, "must end with 32768, not 65536"),
    ([16, 1024, 32768], ValueError, "must have 512 among them, where pointer bits give way"),
    ([8, 512, 32768], ValueError, "must have 16 among them, the size of tiny blocks; or set tiny=F"),
])
def test_tables_that_are_refused(table, error, says):
    with pytest.raises(error, match=says):
        gh.Policy(size_classes=table)


def test_a_table_of_ones_own():
    policy = gh.Policy(size_classes=list(TABLE))
    assert policy.size_classes == TABLE and pickle.loads(pickle.dumps(policy)) == policy
    assert [c.size for c in gh.size_classes(policy)] == list(TABLE)
    assert [c.span_bytes for c in gh.size_classes(policy)] == [8192] * 6 + [32768]
    with gh.Heap(policy=policy, debug=gh.Debug(checkmark=True)) as heap, heap.watch() as log:
        for size in (1, 16, 17, 40, 41, 200, 513, 1025, 4097, 32760, 40000):
            block = heap.alloc(size)
            told = gh.explain(size, policy=policy)
            assert heap.info(block).elemsize == told.elemsize
            assert told.elemsize == next((c for c in TABLE if c >= size), 40960)
        node = heap.new(Node, key=3)
        assert heap.info(node).elemsize == gh.explain(Node, policy=policy).elemsize == 16
        big = heap.array(gh.Ptr, 100)  # 800 bytes and a header
        assert heap.info(big).elemsize == gh.explain((gh.Ptr, 100), policy=policy).elemsize == 1024
        heap.collect()
        heap.verify()
        assert [b.size for b in heap.stats().by_size[:9]] == [0, *TABLE, 0]
        edges = heap.metrics()["/gc/heap/allocs-by-size:bytes"].buckets
        assert edges[:8] == (1, *(n + 1 for n in TABLE)) and list(edges) == sorted(set(edges))
        spans = [s for s in heap.snapshot().spans if s.spanclass > 1]
        assert {(s.spanclass >> 1, s.elemsize) for s in spans} <= set(enumerate(TABLE, 1))
    assert "200-byte slots without pointers" in log.story() and log.sizes == TABLE
    assert pickle.loads(pickle.dumps(log)).story() == log.story()


def test_gos_table_given_back_is_gos():
    policy = gh.Policy(size_classes=[c.size for c in gh.size_classes()])
    assert gh.size_classes(policy) == gh.size_classes()


def test_a_history_under_other_classes():
    path = str(importlib.resources.files("goheap") / "data" / "compile-json.gogc20.ghtrace")
    powers = gh.Policy(size_classes=[16 << i for i in range(12)])
    go, other = (gh.replay(path, mode="stw", policy=p) for p in (gh.Policy(), powers))
    assert other.policy == powers and go.policy == gh.Policy()
    assert pickle.loads(pickle.dumps(other)) == other
    assert (other.events, other.tiny) == (go.events, go.tiny)
    assert other.peak_live_bytes > go.peak_live_bytes


def test_classes_and_explain_on_the_command_line(capsys):
    from goheap.cli import main

    assert main(["classes", "--sizes", "16,128,512,32768", "--json"]) == 0
    assert [c["size"] for c in json.loads(capsys.readouterr().out)] == [16, 128, 512, 32768]
    assert main(["explain", "100", "64KiB", "--pointers", "--json"]) == 0
    small, large = json.loads(capsys.readouterr().out)
    assert (small["elemsize"], small["path"], large["path"]) == (112, "small scan", "large")
    assert main(["explain", "100", "--sizes", "16,512,32768"]) == 0
    assert "slots of 512 bytes" in capsys.readouterr().out
    for bad in (["explain", "5MB"], ["explain", "8", "--sizes", "16,x"],
                ["classes", "--sizes", "16,512"]):
        assert main(bad) == 2 and capsys.readouterr().err.startswith("goheap ")
