"""Histories that nobody recorded: of columns, of three numbers, of a gctrace log."""
import array
import json
import math
import os
import pickle
import random
import tracemalloc

import pytest
from hypothesis import given, settings, strategies as st

import goheap
from goheap import Trace, TraceError, Workload, made

DATA = os.path.join(os.path.dirname(goheap.__file__), "data")


def columns(**kw):
    return Trace.from_columns(**kw)


# ---- from_columns ------------------------------------------------------------------


def test_events_in_the_order_of_time():
    with columns(size=[64, 8, 3, 100_000], birth_ns=[5, 0, 1, 7], death_ns=[10, -1, 20, 8],
                 scan=[16, 0, 0, 8], type_id=[4, 0, 0, 9], p=[0, 1, 1, 2]) as t:
        rows = [(e.t_ns, e.op, e.p, e.object, e.size, e.type) for e in t.events]
        assert rows == [
            (0, "alloc", 1, 0, 16, None),  # a tiny block, and its second part
            (1, "tiny", 1, 0, 16, None),
            (5, "alloc", 0, 1, 64, "type 4"),
            (7, "alloc", 2, 2, 106_496, "type 9"),
            (8, "dead", -1, 2, 106_496, None),
            (10, "dead", -1, 1, 64, None)]
        assert t.info["counts"] == {"alloc": 3, "tiny": 1, "dead": 2}
        assert t.info["GOMAXPROCS"] == 3 and t.repairs == {}
        assert [(x.name, x.size, x.ptrdata) for x in t.types[1:]] == [
            ("type 4", 64, 16), ("type 9", 106_496, 8)]


@given(st.lists(st.tuples(st.integers(1, 40_000), st.booleans(), st.integers(0, 50),
                          st.one_of(st.none(), st.integers(0, 50))), max_size=60))
@settings(max_examples=60, deadline=None)
def test_against_a_list(rows):
    """Every object takes one slot, or a part of a tiny block, and is there from its birth to
    its death."""
    birth = [b for _, _, b, _ in rows]
    death = [-1 if d is None else b + d for _, _, b, d in rows]
    with columns(size=[s for s, *_ in rows], birth_ns=birth, death_ns=death,
                 scan=[8 if p and s >= 8 else 0 for s, p, *_ in rows]) as t:
        events = list(t.events)
    assert [e.t_ns for e in events] == sorted(e.t_ns for e in events)
    made = [e for e in events if e.op in ("alloc", "tiny")]
    assert sorted(e.t_ns for e in made) == sorted(birth)
    order = sorted(range(len(rows)), key=birth.__getitem__)
    blocks, sizes = {}, {}  # object: deaths of its parts, bytes
    for e, i in zip(made, order):
        size = rows[i][0]
        tiny = size < 16 and not (rows[i][1] and size >= 8)
        assert e.size >= size and (not tiny or e.size == 16)
        assert e.op == "alloc" or tiny
        blocks.setdefault(e.object, []).append(death[i])
        sizes[e.object] = e.size
    dead = {e.object: e.t_ns for e in events if e.op == "dead"}
    for obj, deaths in blocks.items():
        if -1 in deaths:
            assert obj not in dead
        elif obj in dead:  # a block that is being filled may stay
            assert dead[obj] == max(deaths) or sizes[obj] == 16 and dead[obj] > max(deaths)
        else:
            assert sizes[obj] == 16


def test_a_tiny_block_lives_as_long_as_its_parts():
    with columns(size=[4, 4, 4, 4, 4], birth_ns=[0, 1, 2, 3, 4], death_ns=[2, 9, 2, 3, 5]) as t:
        ops = [(e.t_ns, e.op, e.object) for e in t.events]
    # The fifth part opens a new block, which nobody follows.
    assert ops == [(0, "alloc", 0), (1, "tiny", 0), (2, "tiny", 0), (3, "tiny", 0),
                   (4, "alloc", 1), (9, "dead", 0)]


@pytest.mark.parametrize("make", [
    list, tuple, lambda v: array.array("q", v), lambda v: array.array("i", v),
    lambda v: memoryview(array.array("q", v)), lambda v: [float(x) for x in v],
    lambda v: memoryview(array.array("q", [x for y in v for x in (y, 7)]))[::2]])
def test_columns_of_any_kind(make):
    want = columns(size=[24, 48], birth_ns=[1, 2], death_ns=[3, -1]).events
    assert columns(size=make([24, 48]), birth_ns=make([1, 2]), death_ns=make([3, -1])).events == want


def test_bytes_are_numbers_and_empty_is_nothing():
    assert columns(size=b"\x08\x40", birth_ns=[0, 1], death_ns=[-1, -1]).info["counts"]["alloc"] == 2
    t = columns(size=[], birth_ns=[], death_ns=[])
    assert len(t.events) == 0 and goheap.replay(t, gogc=100, mode="stw").objects == 0


@pytest.mark.parametrize("kw, error, words", [
    (dict(size=[0]), ValueError, ["row 0", "size", "1.."]),
    (dict(size=[1 << 42]), ValueError, ["row 0", "2199023255552"]),
    (dict(size=[8], scan=[9]), ValueError, ["scan", "0..size", "scan 9"]),
    (dict(size=[8], scan=[-1]), ValueError, ["scan"]),
    (dict(size=[8], birth_ns=[-1]), ValueError, ["birth_ns", "0..2**60"]),
    (dict(size=[8], birth_ns=[5], death_ns=[4]), ValueError, ["death_ns", "before birth_ns"]),
    (dict(size=[8], death_ns=[-2]), ValueError, ["death_ns"]),
    (dict(size=[8], type_id=[-5]), ValueError, ["type_id"]),
    (dict(size=[8], p=[255]), ValueError, ["p is not in 0..254"]),
    (dict(size=[8, 8]), ValueError, ["birth_ns has 1 rows, size has 2"]),
    (dict(size=[8], p=[0, 1]), ValueError, ["p has 2 rows"]),
    (dict(size=["8"]), TypeError, ["size", "numbers"]),
    (dict(size=8), TypeError, ["size", "int"]),
    (dict(size=None), TypeError, ["size", "None"]),
    (dict(size=[1 << 70]), ValueError, ["size", "64-bit"]),
    (dict(size=[math.nan]), ValueError, ["size", "no number"]),
    (dict(size=[math.inf]), ValueError, ["size"])])
def test_bad_columns(kw, error, words):
    with pytest.raises(error) as e:
        columns(**{"birth_ns": [0], "death_ns": [-1], **kw})
    assert all(w in str(e.value) for w in words), e.value


def test_the_row_is_that_of_the_caller():
    with pytest.raises(ValueError, match="row 0: death_ns"):
        columns(size=[8, 8, 8], birth_ns=[9, 1, 2], death_ns=[3, 4, 5])


def test_save_open_and_pickle(tmp_path):
    t = columns(size=[64] * 100, birth_ns=range(100), death_ns=range(100, 200))
    with pytest.raises(TypeError, match="saved"):
        pickle.dumps(t)
    t.save(tmp_path / "x.ghtrace")
    with Trace.open(tmp_path / "x.ghtrace") as again:
        assert again.events == t.events
        assert pickle.loads(pickle.dumps(again)).events == t.events
    t.close()
    t.close()
    for use in (lambda: t.info, lambda: t.events, lambda: t.types, lambda: t.repairs,
                lambda: t.save("x"), lambda: t.__enter__(), lambda: goheap.replay(t)):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert "closed" in repr(t)


def test_many_objects_need_little_python_memory():
    n = 300_000
    size = array.array("q", [64]) * n
    birth = array.array("q", range(n))
    tracemalloc.start()
    try:
        with columns(size=size, birth_ns=birth, death_ns=array.array("q", [-1]) * n) as t:
            assert t.info["counts"]["alloc"] == n
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * 8 * n + (32 << 20)  # the columns again, and the pieces


# ---- replayed ---------------------------------------------------------------------


@pytest.mark.parametrize("deaths", ["early", "drawn", "late"])
def test_deaths_are_exact(deaths):
    # 100 MiB pass by in objects of 1 MiB, three of which are alive at a time.
    n = 100
    with columns(size=[1 << 20] * n, birth_ns=[i * 1000 for i in range(n)],
                 death_ns=[i * 1000 + 2500 for i in range(n)]) as t:
        r = goheap.replay(t, gogc=100, mode="stw", deaths=deaths)
        off = goheap.replay(t, gogc="off", mode="stw")
    assert r.objects == n and off.automatic_gc == 0 and off.peak_live_bytes == n << 20
    assert r.automatic_gc > 20
    # The object that the collection waits for is not yet made.
    assert {c.heap_marked for c in r.cycles} <= {2 << 20, 3 << 20}


def test_stacks_and_globals_of_ones_own():
    n = 200_000
    with Trace.from_columns(size=[64] * n, birth_ns=range(0, n * 1000, 1000),
                            death_ns=range(10 ** 6, 10 ** 6 + n * 1000, 1000), stacks="1MiB",
                            globals=4096) as t:
        r = goheap.replay(t, mode="stw")
    assert {(c.stack_scan, c.globals_scan) for c in r.cycles} == {(1 << 20, 4096)}
    for bad, error, words in ((-1, ValueError, "-1"), ("1X", ValueError, "1X"),
                              (None, TypeError, "stacks")):
        with pytest.raises(error, match=words):
            Trace.from_columns(size=[8], birth_ns=[0], death_ns=[-1], stacks=bad)


def test_which_collections_were_forced_is_known():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "go1.26.trace.gz")
    with Trace.open(path) as t:
        (forced,) = t.info["forced_cycles"]
        r = goheap.replay(t, gogc="off", mode="stw")
    assert (r.forced_gc, r.automatic_gc) == (1, 0) and forced == 1


def test_a_workload_is_replayed():
    w = Workload(live="8MiB", alloc_rate="64MiB", seconds=1, stacks="1MiB", other="20MiB")
    r = goheap.replay(w)
    assert (r.gogc, r.procs, r.memory_limit) == (100, 4, None)
    # About 9 MiB between two collections, and the way up to 8 MiB.
    assert 5 <= r.automatic_gc <= 14
    assert 15 << 20 <= r.peak_heap_bytes <= 24 << 20
    assert r.peak_rss_bytes > r.peak_heap_bytes + (20 << 20)
    assert goheap.replay(w, gogc=50).automatic_gc > r.automatic_gc


# ---- Workload ----------------------------------------------------------------------


def test_workload_is_steady():
    w = Workload(live="4MiB", alloc_rate="8MiB", seconds=2, scan_share=0.5)
    with w.trace() as t:
        info, events = t.info, t.events
    assert abs(info["bytes"]["alloc"] / ((4 << 20) + 2 * (8 << 20)) - 1) < 0.02
    assert abs(info["bytes"]["end_occupied"] / (4 << 20) - 1) < 0.08
    assert info["bytes"]["peak_occupied"] < 1.15 * (4 << 20)
    born = [i for i, op in enumerate(events["op"]) if events.strings("op")[op] == "alloc"]
    sizes, types = events["size"], events["type"]
    total = sum(sizes[i] for i in born)
    assert abs(sum(sizes[i] for i in born if types[i] >= 0) / total - 0.5) < 0.03
    assert abs(total / len(born) / 64 - 1) < 0.2
    assert info["duration_ns"] <= 2.2e9 and info["source"] == "workload" and info["lump"] == 1


def test_workload_repeats_by_seed():
    w = Workload(live="256KiB", alloc_rate="1MiB", seconds=1)
    a, b, c = (w.trace(seed=s).events for s in (1, 1, 2))
    assert a == b and a != c


def test_a_large_workload_is_lumped(monkeypatch):
    monkeypatch.setattr(made, "MAX_OBJECTS", 20_000)
    with Workload(live="1MiB", alloc_rate="4MiB", seconds=1, mean_size=8).trace() as t:
        assert t.info["lump"] > 20 and 15_000 < t.info["counts"]["alloc"] < 25_000


def test_no_allocation_and_nothing_alive():
    assert Workload(live=0, alloc_rate=0).trace().info["counts"]["alloc"] == 0
    assert Workload(live=1 << 20, alloc_rate=0, seconds=5).trace().info["counts"]["alloc"] > 9000
    assert Workload(live=0, alloc_rate=1 << 20, seconds=1).trace().info["counts"]["alloc"] > 9000


def test_workload_is_a_value():
    w = Workload(live="1MiB", alloc_rate=1000)
    assert w == Workload(live=1 << 20, alloc_rate=1000) and w.live == 1 << 20
    assert hash(w) == hash(pickle.loads(pickle.dumps(w)))
    with pytest.raises(AttributeError):
        w.live = 5


@pytest.mark.parametrize("kw, error, words", [
    (dict(live=-1), ValueError, ["live"]), (dict(live="many"), ValueError, ["live", "many"]),
    (dict(live=1.5), TypeError, ["live"]), (dict(live=1 << 50), ValueError, ["live", "2**47"]),
    (dict(alloc_rate=None), TypeError, ["alloc_rate"]),
    (dict(mean_size=7), ValueError, ["mean_size", "8..2**47"]),
    (dict(scan_share=1.5), ValueError, ["scan_share", "0..1"]),
    (dict(scan_share=math.nan), ValueError, ["scan_share"]),
    (dict(scan_share="0.5"), TypeError, ["scan_share", "str"]),
    (dict(seconds=-1), ValueError, ["seconds"]), (dict(seconds=True), TypeError, ["seconds"]),
    (dict(seconds=math.inf), ValueError, ["seconds"]),
    (dict(other="-5"), ValueError, ["other"])])
def test_bad_workloads(kw, error, words):
    with pytest.raises(error) as e:
        Workload(**{"live": 1, "alloc_rate": 1, **kw})
    assert all(w in str(e.value) for w in words), e.value
    with pytest.raises(TypeError, match="seed"):
        Workload(live=1, alloc_rate=1).trace(seed="x")


# ---- gctrace -----------------------------------------------------------------------

LINE = ("gc {n} @{at:.3f}s 2%: 0.01+1.2+0.02 ms clock, 0.03+0.5/1.1/0.2+0.08 ms cpu, "
        "{a}->{b}->{c} MB, {goal} MB goal, 1 MB stacks, 2 MB globals, 8 P{forced}\n")


def log(tmp_path, cycles=20, live=100, goal=203, gap=0.5, start=195, end=199, forced=""):
    path = tmp_path / "gc.log"
    path.write_text("some other output\n" + "".join(
        LINE.format(n=i + 1, at=1 + i * gap, a=start, b=end, c=live, goal=goal, forced=forced)
        for i in range(cycles)) + "scvg: 4 MB released\n")
    return path


def test_from_gctrace(tmp_path):
    w = Workload.from_gctrace(log(tmp_path))
    assert w.live == 100 << 20 and w.stacks == 1 << 20 and w.globals == 2 << 20
    assert abs(w.seconds - 9.5) < 1e-9
    assert w.alloc_rate == int(19 * 99 / 9.5 * (1 << 20))
    info = w.trace().info
    assert info["GOGC"] == "100" and info["GOMAXPROCS"] == 8


def test_from_gctrace_of_goheap_itself(tmp_path):
    recorded = os.path.join(DATA, "compile-json.gogc20.ghtrace")
    r = goheap.replay(recorded, gogc=100, mode="stw")
    path = tmp_path / "gc.log"
    path.write_text("".join(f"{c}\n" for c in r.cycles))
    w = Workload.from_gctrace(path)
    lives = sorted(c.heap_marked for c in r.cycles)
    assert lives[0] <= w.live + (1 << 20) and w.live <= lives[-1]
    assert 90 <= int(w.trace().info["GOGC"]) <= 125  # whole megabytes


def test_bad_logs(tmp_path):
    with pytest.raises(FileNotFoundError):
        Workload.from_gctrace(tmp_path / "none")
    path = tmp_path / "gc.log"
    for text in ("", "hello\n" * 5, LINE.format(n=1, at=1, a=1, b=1, c=1, goal=4, forced="") * 2):
        path.write_text(text)
        with pytest.raises(TraceError, match="three collections") as e:
            Workload.from_gctrace(path)
        assert e.value.path == str(path) and e.value.offset == 0
    path.write_text(LINE.format(n=1, at=1, a=1, b=1, c=1, goal=4, forced="") * 5)
    with pytest.raises(TraceError, match="same time"):
        Workload.from_gctrace(path)
    r = random.Random(5)
    sound = log(tmp_path).read_bytes()
    for _ in range(100):
        data = bytearray(sound)
        for _ in range(20):
            data[r.randrange(len(data))] = r.randrange(256)
        path.write_bytes(data)
        try:
            Workload.from_gctrace(path)
        except (TraceError, ValueError) as e:
            assert str(e)


# ---- with the recordings that come with the package ------------------------------------


def test_events_of_a_recording():
    with Trace.open(os.path.join(DATA, "compile-json.gogc20.ghtrace")) as t:
        events, counts = t.events, t.info["counts"]
    kinds = events.strings("op")
    seen = {}
    for code in events["op"].tolist():
        seen[kinds[code]] = seen.get(kinds[code], 0) + 1
    assert seen == {k: n for k, n in counts.items() if n}
    assert max(events["object"]) + 1 == counts["alloc"] + counts["exist"]
    assert json.loads(json.dumps(events.row(7)))


def test_the_page_about_the_format_reads_one(tmp_path):
    page = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/ghtrace1.md")
    with open(page) as f:
        code = f.read().split("```python\n")[1].split("```")[0]
    names = {}
    exec(code, names)
    with columns(size=[64, 8, 3, 100_000], birth_ns=[5, 0, 1, 7], death_ns=[10, -1, 20, 8]) as t:
        t.save(tmp_path / "x.ghtrace")
        rows = list(t.events)
    header, got = names["read"](tmp_path / "x.ghtrace")
    assert [header["ops"][i] for i in got["ev.op"]] == [e.op for e in rows]
    assert got["ev.t"] == [e.t_ns for e in rows]
    assert len(got["obj.spanclass"]) == 3 and got["obj.pages"] == [13]
