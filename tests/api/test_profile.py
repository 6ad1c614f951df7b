"""The heap profile: what is sampled, when it shows, and the files that pprof reads."""
from __future__ import annotations

import gzip
import os
import pathlib
import pickle
import re
import shutil
import subprocess
import sys

import pytest

import goheap as gh

TRACE = pathlib.Path(gh.__file__).parent / "data" / "compile-json.gogc20.ghtrace"


class Node(gh.Struct):
    next: gh.Ptr[Node]
    key: gh.int64


class Small(gh.Struct):
    a: gh.int32


def rows(heap):
    return {(r.type, r.label, r.size): r[3:] for r in heap.profile().rows}


def test_off_by_default():
    with gh.Heap() as heap:
        assert heap.profile_rate == 0
        heap.alloc(100)
        heap.collect()
        assert len(heap.profile().rows) == 0 and "0 objects" in repr(heap.profile())
        assert heap.stats().buck_hash_sys == 0


def test_every_allocation():
    with gh.Heap(gogc="off") as heap:
        heap.profile_rate = 1
        keep = [heap.new(Node) for _ in range(3)]
        keep += [heap.alloc(100), heap.array(Node, 100), heap.alloc("64KiB"), heap.alloc(0)]
        keep += [heap.new(Small), heap.new(Small)]  # one block
        want = {("Node", None, 16): (3, 48, 3, 48), ("Block", None, 112): (1, 112, 1, 112),
                ("Array[Node]", None, 1792): (1, 1792, 1, 1792),
                ("Block", None, 65536): (1, 65536, 1, 65536),
                ("Small", None, 16): (1, 16, 1, 16)}
        assert rows(heap) == want  # before the first collection all is shown
        heap.collect()
        assert rows(heap) == want
        del keep[0], keep[2]  # a Node and the Block
        heap.collect()
        want["Node", None, 16] = (3, 48, 2, 32)
        want["Block", None, 112] = (1, 112, 0, 0)
        assert rows(heap) == want
        inuse = list(heap.profile().rows["inuse_bytes"])
        assert inuse == sorted(inuse, reverse=True)
        heap.verify()


def test_what_shows_when():
    """[gc:96] 100 objects after GC1; 50 more not before GC2."""
    with gh.Heap(gogc="off", policy=gh.Policy(sweep="lazy")) as heap:
        heap.profile_rate = 1
        keep = [heap.new(Node) for _ in range(100)]
        heap.collect()
        key = ("Node", None, 16)
        assert rows(heap)[key][0] == 100
        keep += [heap.new(Node) for _ in range(50)]
        assert rows(heap)[key][0] == 100
        heap.collect()
        assert rows(heap)[key][0] == 150
        # An automatic one shows what was there at the one before.
        keep += [heap.new(Node) for _ in range(7)]
        for want in (150, 157):
            heap.gogc = 1
            keep.append(heap.alloc("4MiB"))
            heap.gogc = "off"
            assert rows(heap)[key][0] == want
        assert heap.num_gc == 4


def test_labels():
    with gh.Heap() as heap:
        heap.profile_rate = 1
        keep = [heap.alloc(100)]
        label = heap.profile_label("a")
        with label:
            keep.append(heap.alloc(100))
            with heap.profile_label("b"), label:
                keep.append(heap.alloc(100))
            keep.append(heap.alloc(100))
        keep.append(heap.alloc(100))
        heap.collect()
        assert rows(heap) == {("Block", None, 112): (2, 224, 2, 224),
                              ("Block", "a", 112): (3, 336, 3, 336)}
        with pytest.raises(ZeroDivisionError), heap.profile_label("c"):
            1 / 0
        with heap.profile_label("d"):
            heap.close()


def test_finalizer_keeps_its_object_in_the_profile():
    with gh.Heap() as heap:
        heap.profile_rate = 1
        heap.set_finalizer(heap.new(Node), lambda x: None)
        heap.collect()
        assert rows(heap)["Node", None, 16] == (1, 16, 1, 16)
        heap.collect()
        assert rows(heap)["Node", None, 16] == (1, 16, 0, 0)


def test_totals_over_twenty_seeds():
    """40,000 objects at a rate of 1,000 of them: off by its root, a few times."""
    sums = []
    for seed in range(20):
        with gh.Heap(gogc="off", seed=seed) as heap:
            heap.profile_rate = 4096
            many = heap.new_many(Node, 20_000)
            more = heap.new_many(gh.words("Big", 64, ptrs="0"), 5_000)
            heap.collect()
            found = rows(heap)
            # Samples: 78 of Node, and as many of Big; 11 % is one deviation.
            assert found["Node", None, 16][0] == pytest.approx(20_000, rel=0.5)
            assert found["Big", None, 64][3] == pytest.approx(320_000, rel=0.5)
            sums.append(sum(heap.profile().rows["alloc_bytes"]))
            del many, more
    assert sum(sums) / 20 == pytest.approx(640_000, rel=0.06)
    assert len(set(sums)) > 10  # chance


def test_seed_repeats():
    def samples(seed):
        with gh.Heap(seed=seed) as heap:
            heap.profile_rate = 1000
            heap.new_many(Node, 2000)
            heap.collect()
            return heap.profile()

    assert samples(1) == samples(1) != samples(2)
    assert samples(-1) == samples(2**64 - 1)


def test_scaling():
    """[gc:81-85] The figures of Go's formula."""
    from goheap import _core
    for count, size, rate, *want in ((1, 16, 524288, 32768, 524296),
                                     (1, 524288, 524288, 1, 829411),
                                     (10, 10240, 524288, 5125, 5248001),
                                     (1, 1048576, 524288, 1, 1212696),
                                     (3, 96, 4096, 385, 12336)):
        assert list(_core.profile_scale(rate, count, size)) == want


def test_profile_outlives_its_heap():
    with gh.Heap() as heap:
        heap.profile_rate = "1KiB"
        assert heap.profile_rate == 1024
        keep = heap.new_many(Node, 1000)
        heap.collect()
        profile = heap.profile()
        del keep
    assert pickle.loads(pickle.dumps(profile)) == profile and profile != 5
    assert profile.rate == 1024 and len(profile.samples) == len(profile.rows) == 1
    row = profile.samples.row(0)
    assert (row.alloc_objects * 16, row.inuse_objects * 16) == (row.alloc_bytes, row.inuse_bytes)
    assert profile.rows.row(0).alloc_objects > row.alloc_objects


def test_sampling_changes_no_other_figure():
    def run(rate):
        with gh.Heap(mode="virtual") as heap:
            heap.profile_rate = rate
            keep = heap.roots(1000)
            for i in range(60_000):
                keep[i % 1000] = heap.new(Node, key=i)
                heap.alloc(i % 300)
            return ([(c.heap_start, c.heap_marked, c.end_ns) for c in heap.cycles],
                    gh.address_of(keep[5]))

    assert run(0) == run(1) == run(512 << 10)
    assert run(0)[0]


def test_replay():
    run = gh.replay(TRACE, mode="stw", profile_rate="64KiB")
    profile = run.profile
    assert profile.rate == 65536 and gh.replay(TRACE, mode="stw").profile is None
    # 1,548 samples: off by 3 % and what the last collection didn't see.
    assert sum(profile.rows["alloc_bytes"]) == pytest.approx(run.bytes, rel=0.15)
    assert "obj.Prog" in {r.type for r in profile.rows}
    assert gh.replay(TRACE, mode="stw", profile_rate="64KiB").profile == profile
    assert gh.replay(TRACE, mode="stw", profile_rate="64KiB", seed=1).profile != profile
    assert run.to_dict()["profile"]["rate"] == 65536
    without = gh.replay(TRACE, mode="stw")
    assert [c.heap_marked for c in without.cycles] == [c.heap_marked for c in run.cycles]


# ---- pprof -----------------------------------------------------------------------------------


def labelled():
    with gh.Heap() as heap:
        heap.profile_rate = 1
        keep = [heap.new(Node) for _ in range(100)]
        with heap.profile_label("parser"):
            keep += [heap.alloc(100) for _ in range(10)]
        heap.collect()
        del keep[:50]
        heap.collect()
        return heap.profile()


def test_pprof_without_protobuf(monkeypatch):
    from goheap import _pprof
    _pprof.profile_class.cache_clear()
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(ImportError, match=r"goheap\[pprof\]"):
        labelled().to_pprof()


def test_pprof_file(tmp_path):
    pytest.importorskip("google.protobuf")
    from goheap._pprof import profile_class
    data = labelled().to_pprof()
    assert data == labelled().to_pprof()  # no time in it
    message = profile_class()()
    message.ParseFromString(gzip.decompress(data))
    text = message.string_table
    assert text[0] == "" and [(text[t.type], text[t.unit]) for t in message.sample_type] == [
        ("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"),
        ("inuse_space", "bytes")]
    assert (text[message.period_type.type], message.period) == ("space", 1)
    assert {tuple(s.value) for s in message.sample} == {(100, 1600, 50, 800), (10, 1120, 10, 1120)}
    labels = {tuple(sorted((text[la.key], text[la.str], la.num) for la in s.label))
              for s in message.sample}
    assert labels == {(("bytes", "", 16),), (("bytes", "", 112), ("label", "parser", 0))}
    for path, error in ((5, TypeError), (tmp_path, OSError), (tmp_path / "no" / "f", OSError)):
        with pytest.raises(error):
            labelled().save(path)
    labelled().save(tmp_path / "heap.pb.gz")
    assert (tmp_path / "heap.pb.gz").read_bytes() == data


@pytest.mark.skipif(not (os.environ.get("GOHEAP_TOOLS") and shutil.which("go")),
                    reason="make check-tools, and Go")
def test_go_tool_pprof(tmp_path):
    pytest.importorskip("google.protobuf")
    path = tmp_path / "heap.pb.gz"
    labelled().save(path)

    def pprof(*args):
        r = subprocess.run(["go", "tool", "pprof", *args, str(path)], capture_output=True,
                           text=True)
        assert r.returncode == 0, r.stderr
        return r.stdout

    raw = pprof("-raw")
    assert "PeriodType: space bytes\nPeriod: 1\n" in raw
    assert "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes[dflt]" in raw
    assert re.search(r"100 +1600 +50 +800: (\d+) *\n +bytes:\[16 bytes\]", raw)
    assert re.search(r"10 +1120 +10 +1120: \d+ *\n +label:\[parser\]\n +bytes:\[112 bytes\]", raw)
    top = pprof("-top")
    assert "Type: inuse_space" in top
    assert re.search(r"1120B 58.33% 58.33% +1120B 58.33%  Block\n +800B 41.67% +100%"
                     r" +800B 41.67%  Node\n", top)
    top = pprof("-top", "-sample_index=alloc_objects")
    assert re.search(r"100 90.91% 90.91% +100 90.91%  Node\n", top)
    assert "parser" in pprof("-tags")
    gh.replay(TRACE, mode="stw", profile_rate="64KiB").profile.save(path)
    assert "obj.Prog" in pprof("-top")
