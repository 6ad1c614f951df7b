"""replay: what a recorded history gives under other settings, and damaged files."""
import functools
import importlib.resources
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import zlib

import pytest
from hypothesis import given, settings, strategies as st

import goheap
from goheap import Costs, HeapError, TraceError, _core, cli
from goheap.replay import Sample
from goheap.trace import TraceFile

PACKAGED = os.fspath(importlib.resources.files("goheap") / "data" / "compile-json.gogc20.ghtrace")
# Most of these are about the history, not about the collector beside the program.
replay = functools.partial(goheap.replay, mode="stw")
SIZES = tuple(c[0] for c in _core.size_classes())

OPS = ("alloc", "tiny", "free", "exist", "gc_begin", "gc_end", "heap_goal", "heap_live",
       "gomaxprocs", "span_alloc", "stack_alloc", "stw_begin")
COLUMNS = {"ev.op": "u8", "ev.t": "delta-svarint", "ev.p": "u8", "obj.spanclass": "u8",
           "obj.pages": "uvarint", "obj.type": "uvarint", "tiny.back": "uvarint",
           "free.back": "uvarint", "val": "uvarint"}
SCAN64, NOSCAN64, LARGE = 12, 13, 1


@functools.cache
def packaged(**kw):
    return replay(PACKAGED, **kw)


# ---- histories made by hand --------------------------------------------------------


def uvarint(v):
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7F | 0x80)
        v >>= 7
    return bytes(out) + bytes([v])


class History:
    """Events, each 1 us after the one before; file() is a GHTRACE1 recording."""

    def __init__(self, **run):
        self.raw = {name: bytearray() for name in COLUMNS}
        self.count = dict.fromkeys(COLUMNS, 0)
        self.header = {
            "format": "GHTRACE1", "compression": "zlib", "ops": list(OPS),
            "class_to_size": [0, *SIZES][-68:],
            "types": [{"name": "", "size": 0, "ptrdata": 0},
                      {"name": "node", "size": 64, "ptrdata": 16}],
            "duration_ns": 1_000_000, "run": run}

    def put(self, column, v):
        self.raw[column] += uvarint(v) if "varint" in COLUMNS[column] else bytes([v])
        self.count[column] += 1

    def event(self, op, p=0, **values):
        for column, v in {"ev.op": OPS.index(op), "ev.t": 2000, "ev.p": p, **values}.items():
            self.put(column.replace("_", "."), v)
        return self

    def object(self, spanclass=NOSCAN64, pages=None, type=0, op="alloc"):
        values = {"obj_spanclass": spanclass, "obj_type": type}
        if pages is not None:
            values["obj_pages"] = pages
        return self.event(op, **values)

    def free(self, back):
        return self.event("free", free_back=back)

    def mark(self):
        return self.event("gc_begin").event("gc_end")

    def file(self):
        streams, columns, offset = b"", [], 0
        for name, enc in COLUMNS.items():
            stream = zlib.compress(bytes(self.raw[name]))
            columns.append({"name": name, "enc": enc, "count": self.count[name],
                            "raw_bytes": len(self.raw[name]), "offset": offset,
                            "bytes": len(stream)})
            streams += stream
            offset += len(stream)
        header = json.dumps({**self.header, "columns": columns}).encode()
        return b"GHTRACE1" + len(header).to_bytes(4, "little") + header + streams


def sample_history():
    h = History(GOGC="100", GOMAXPROCS=2, End={"NumForcedGC": 1})
    h.event("heap_goal", val=4 << 20)
    for i in range(40):
        h.object(SCAN64, type=1, op="exist" if i < 3 else "alloc")
        h.object(LARGE, pages=1 + i % 5)
        h.event("tiny", p=1, tiny_back=i)
        h.event("heap_live", val=i << 14)
        if i % 10 == 9:
            h.mark()
            for k in range(5):
                h.free(k)
    return h


@pytest.fixture
def written(tmp_path):
    def write(data):
        path = tmp_path / f"{threading.get_ident()}.ghtrace"
        path.write_bytes(data.file() if isinstance(data, History) else data)
        return path
    return write


# ---- what a replay gives -----------------------------------------------------------


def test_same_seed_same_answer():
    a, b = packaged(gogc=100), replay(PACKAGED, gogc=100)
    assert a == b and a.cycles == b.cycles and a.series == b.series
    c = packaged(gogc=100, seed=1)
    assert c != a
    # What a pool keeps depends on when it got it.
    assert c.objects + c.reused == a.objects + a.reused
    assert (c.tiny, c.events) == (a.tiny, a.events)
    assert abs(c.automatic_gc - a.automatic_gc) <= 1


def test_lower_gogc_collects_more():
    runs = [packaged(gogc=g) for g in (25, 50, 100, 200, 400)]
    counts = [r.automatic_gc for r in runs]
    assert all(a > b for a, b in zip(counts, counts[1:])) and counts[-1] > 0
    assert runs[0].peak_heap_bytes < runs[-1].peak_heap_bytes
    assert runs[0].gc_cpu_fraction > runs[-1].gc_cpu_fraction > 0
    assert runs[0].peak_rss_bytes < runs[-1].peak_rss_bytes


@pytest.mark.parametrize("off", [None, "off"])
def test_gogc_off(off):
    r = replay(PACKAGED, gogc=off)
    assert r.gogc is None and r.automatic_gc == 0 and r.cycles == ()
    assert r.peak_live_bytes >= r.bytes and r.gc_cpu_fraction == 0
    assert r.peak_heap_bytes == r.peak_live_bytes


def test_near_real_go():
    # Three runs of real Go: goheap/data/compile-json.truth.json. The world is
    # stopped here, so there are some collections more.
    truth = json.loads((importlib.resources.files("goheap") / "data"
                        / "compile-json.truth.json").read_text())
    for row in truth["settings"]:
        r = packaged(gogc=row["gogc"])
        low, high = min(row["automatic_gc"]), max(row["automatic_gc"])
        assert low <= r.automatic_gc <= 1.25 * high + 1
        rss = sorted(row["max_rss_kib"])[1] << 10
        assert 0.85 * rss < r.peak_rss_bytes < 1.15 * rss


def test_memory_limit_enters_the_goal():
    r = packaged(gogc="off", memory_limit="48MiB")
    assert r.gogc is None and r.memory_limit == 48 << 20 and r.automatic_gc > 0
    assert packaged(gogc="off", memory_limit=48 << 20) == r


def test_recorded_settings():
    r = packaged()
    assert (r.gogc, r.memory_limit, r.procs, r.mode, r.deaths) == (20, None, 2, "stw", "drawn")


def test_procs():
    one, four = packaged(gogc=100, procs=1), packaged(gogc=100, procs=4)
    assert (one.procs, four.procs) == (1, 4)
    assert {c.procs for c in four.cycles} == {4}
    assert one.longest_pause_ns > four.longest_pause_ns  # as many Ps mark


def test_cycles_and_series_agree():
    r = packaged(gogc=100, series="even")
    assert [c.n for c in r.cycles] == list(range(1, r.automatic_gc + r.forced_gc + 1))
    assert r.peak_heap_bytes == max(c.heap_start for c in r.cycles)
    assert r.longest_pause_ns == max(c.wall_ns for c in r.cycles)
    assert all(c.heap_marked <= c.heap_start for c in r.cycles)
    times = [s.t_ns for s in r.series]
    assert times == sorted(times) and 200 < len(times) < 500
    assert [s.num_gc for s in r.series] == sorted(s.num_gc for s in r.series)
    last = r.series.row(-1)
    assert last.num_gc == len(r.cycles) and last.objects == r.objects
    assert r.time_ns == last.t_ns


def test_how_often_the_series_has_a_row():
    r = packaged(gogc=100, costs=Costs())  # "cycle"
    assert list(r.series["num_gc"]) == [*range(1, len(r.cycles) + 1), len(r.cycles)]
    ends = [c.end_ns for c in r.cycles]
    assert all(s.t_ns >= end for s, end in zip(r.series, ends))
    assert [s.heap_marked for s in r.series][:-1] == [c.heap_marked for c in r.cycles]
    assert r.series["objects"].readonly and r.series.names == Sample._fields
    by_number = packaged(gogc=100, costs=Costs(), series=100_000)
    assert by_number.cycles == r.cycles
    steps = [b - a for a, b in zip(by_number.series["objects"], by_number.series["objects"][1:])]
    assert len(steps) == r.objects // 100_000 and min(steps[:-1]) >= 100_000 > max(steps) - 64
    by_time = packaged(gogc=100, costs=Costs(), series="10ms")
    times = list(by_time.series["t_ns"])
    assert len(times) > 50 and all(b - a >= 10_000_000 for a, b in zip(times, times[1:-1]))
    assert len(packaged(gogc=100, costs=Costs(), series="none").series) == 0


def test_stats_are_of_the_last_moment():
    r = packaged(gogc=100, costs=Costs())
    last = r.series.row(-1)
    assert r.stats.num_gc == len(r.cycles) and r.stats.num_forced_gc == r.forced_gc
    assert r.stats.mallocs == r.objects + r.tiny and r.stats.total_alloc == r.bytes
    assert r.stats.heap_inuse == last.heap_inuse and r.stats.next_gc == last.heap_goal
    assert r.stats.heap_released == last.heap_released


@pytest.mark.parametrize("series, error", [
    ("often", ValueError), ("", ValueError), ("1", ValueError), ("0.1ns", ValueError),
    (0, ValueError), (-1, ValueError), (1 << 62, ValueError), (True, TypeError),
    (None, TypeError), (1.5, TypeError)])
def test_series_that_mean_nothing(series, error):
    with pytest.raises(error, match="series"):
        replay(PACKAGED, series=series)



def test_deaths_early_and_late():
    early, drawn, late = (packaged(gogc=50, deaths=d) for d in ("early", "drawn", "late"))
    # The later objects die, the more a collection finds alive.
    assert early.automatic_gc >= drawn.automatic_gc >= late.automatic_gc
    assert early.automatic_gc > late.automatic_gc
    assert early.peak_heap_bytes < late.peak_heap_bytes


@pytest.mark.parametrize("deaths, marked", [
    # Object 0 is dead after mark 0, 1 and 3 after mark 1; 3 was born in mark 0.
    ("early", (2 * 64, 2 * 64)), ("drawn", (2 * 64, 2 * 64)), ("late", (3 * 64, 4 * 64))])
def test_known_deaths(written, deaths, marked):
    h = History(End={"NumForcedGC": 2})
    h.object().object().object()
    h.event("gc_begin").object().event("gc_end").free(3)
    h.object()
    h.event("gc_begin").object().event("gc_end").free(4).free(2)
    r = replay(written(h), gogc="off", deaths=deaths)
    assert (r.forced_gc, r.automatic_gc, r.objects, r.bytes) == (2, 0, 6, 6 * 64)
    assert tuple(c.heap_marked for c in r.cycles) == marked
    assert all(c.forced and str(c).endswith("(forced)") for c in r.cycles)


def test_forced_collections_stay_whatever_gogc_is(written):
    path = written(sample_history())
    for gogc in ("off", 10, 100):
        assert replay(path, gogc=gogc).forced_gc == 1
    h = sample_history()
    h.header["run"]["Start"] = {"NumForcedGC": 1}
    assert replay(written(h), gogc="off").forced_gc == 0


def test_globals_and_stacks_enter_the_goal(written):
    goals = []
    for metrics in ({}, {"/gc/scan/globals:bytes": 1 << 20},
                    {"/gc/scan/globals:bytes": 1 << 20, "/gc/scan/stack:bytes": 2 << 20}):
        h = History(Metrics=metrics, End={"NumForcedGC": 1})
        for _ in range(20):
            h.object(LARGE, pages=128)
        h.mark()
        goals.append(replay(written(h), gogc=100).series.row(-1).heap_goal)
    assert goals[1] - goals[0] == 1 << 20 and goals[2] - goals[0] == 3 << 20


def test_recorders_own_objects_are_left_out(written):
    h = History()
    h.header["types"].append({"name": "runtime.traceFrame", "size": 64, "ptrdata": 8})
    h.object(LARGE, pages=128, op="exist").object(SCAN64, type=2).object()
    r = replay(written(h))
    assert (r.objects, r.bytes) == (1, 64)


def test_empty_history(written):
    r = replay(written(History()))
    assert (r.objects, r.events, r.automatic_gc, r.peak_rss_bytes) == (0, 0, 0, None)


def test_frozen_and_picklable():
    r = packaged(gogc=100)
    assert pickle.loads(pickle.dumps(r)) == r
    with pytest.raises(AttributeError):
        r.gogc = 5
    with pytest.raises(AttributeError):
        r.cycles[0].n = 5
    assert json.loads(json.dumps(r.to_dict()))["series"][-1]["objects"] == r.objects
    assert len(repr(r)) < 660 + len(r.path)


def test_progress_rises_to_the_end():
    calls = []
    r = replay(PACKAGED, gogc=10, progress=lambda *a: calls.append(a))
    done = [d for d, _ in calls]
    assert done == sorted(done) and {t for _, t in calls} == {2 * r.events}
    assert done[-1] == 2 * r.events


def test_path_objects_and_bytes(written):
    path = written(sample_history())
    for p in (path, str(path), os.fsencode(path)):
        assert replay(p).objects == 80


def test_two_threads():
    want, got = packaged(gogc=100), [None, None]

    def work(i):
        got[i] = replay(PACKAGED, gogc=100)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == [want, want]


@pytest.mark.parametrize("mode", ["stw", "virtual"])
def test_peak_at_any_time_counts_what_is_allocated_while_a_cycle_marks(mode):
    r = replay(PACKAGED, gogc=50, mode=mode, series="even")
    most = max(r.series["heap_live"])
    assert most <= r.peak_live_bytes
    assert most > r.peak_heap_bytes


# ---- stopping -------------------------------------------------------------------------


one_at_a_time = pytest.mark.thread_unsafe(reason="counts the process's open files")


def open_files():
    return len(os.listdir("/proc/self/fd"))


def interrupted(**kw):
    """Replays until a signal comes after 50 ms; returns how long it took to stop."""
    def stop(number, frame):
        raise KeyboardInterrupt

    before = open_files()
    old = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            while True:
                replay(PACKAGED, **kw)
        return time.monotonic() - began - 0.05
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        assert open_files() == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
@one_at_a_time
def test_a_progress_that_raises_stops(error):
    before = open_files()

    def progress(done, total):
        raise error

    with pytest.raises(error):
        replay(PACKAGED, gogc=1, progress=progress)
    assert open_files() == before


@pytest.mark.thread_unsafe(reason="signals go to the main thread")
def test_ctrl_c_stops_soon():
    assert interrupted(gogc=20) < 5


@pytest.mark.thread_unsafe(reason="signals go to the main thread")
def test_ctrl_c_stops_a_heap_that_only_collects():
    assert interrupted(gogc="off", memory_limit="1MiB") < 5


# ---- arguments ------------------------------------------------------------------------


@pytest.mark.parametrize("kw, error, words", [
    (dict(gogc=-1), ValueError, ["gogc", "-1", "0..2147483647"]),
    (dict(gogc=1 << 31), ValueError, ["gogc", "2147483648", "0..2147483647"]),
    (dict(gogc=1.5), TypeError, ["gogc", "1.5"]),
    (dict(gogc=True), TypeError, ["gogc", "True"]),
    (dict(gogc="many"), ValueError, ["gogc", "many"]),
    (dict(gogc="9" * 5000), ValueError, ["gogc"]),
    (dict(memory_limit=-5), ValueError, ["memory_limit", "-5", "0..9223372036854775807"]),
    (dict(memory_limit=1 << 63), ValueError, ["memory_limit", "9223372036854775808"]),
    (dict(memory_limit="9999999TiB"), ValueError, ["memory_limit", "0..9223372036854775807"]),
    (dict(memory_limit="9" * 5000), ValueError, ["memory_limit"]),
    (dict(memory_limit="12Q"), ValueError, ["memory_limit", "12Q", "512MiB"]),
    (dict(memory_limit="MiB"), ValueError, ["memory_limit", "MiB"]),
    (dict(memory_limit=2.0), TypeError, ["memory_limit", "float"]),
    (dict(memory_limit=True), TypeError, ["memory_limit", "bool"]),
    (dict(procs=0), ValueError, ["procs", "0", "1..1024"]),
    (dict(procs=1025), ValueError, ["procs", "1025", "1..1024"]),
    (dict(procs="two"), TypeError, ["procs", "two"]),
    (dict(procs=False), TypeError, ["procs", "False"]),
    (dict(mode="fast"), ValueError, ["mode", "stw", "fast"]),
    (dict(deaths="soon"), ValueError, ["deaths", "early", "soon"]),
    (dict(seed=1.0), TypeError, ["seed", "float"]),
    (dict(seed=None), TypeError, ["seed", "NoneType"]),
    (dict(progress=5), TypeError, ["progress", "int"]),
])
@one_at_a_time
def test_bad_arguments(kw, error, words):
    before = open_files()
    with pytest.raises(error) as e:
        replay(PACKAGED, **kw)
    assert all(w in str(e.value) for w in words), e.value
    assert open_files() == before


def test_arguments_that_do_not_exist():
    with pytest.raises(TypeError):
        replay()
    with pytest.raises(TypeError):
        replay(PACKAGED, 100)
    with pytest.raises(TypeError):
        replay(PACKAGED, gcpercent=100)
    with pytest.raises(TypeError):
        replay(None)


def test_any_seed(written):
    path = written(sample_history())
    for seed in (-1, 0, 1 << 64, -(1 << 200)):
        assert replay(path, seed=seed).seed == seed


# ---- damaged files ------------------------------------------------------------------


def refused(path, match=None):
    before = open_files()
    with pytest.raises(TraceError, match=match) as e:
        replay(path)
    assert open_files() == before
    assert e.value.path == os.fspath(path) and str(e.value).startswith(os.fspath(path))
    assert pickle.loads(pickle.dumps(e.value)).args == e.value.args
    return e.value


@one_at_a_time
def test_missing_file_and_directory(tmp_path):
    with pytest.raises(FileNotFoundError):
        replay(tmp_path / "none")
    refused(tmp_path, "is a directory")
    with pytest.raises((OSError, ValueError)):
        replay("a\0b")


@pytest.mark.parametrize("data, match", [
    (b"", "not a GHTRACE1"), (b"GHTRACE", "not a GHTRACE1"),
    (b"A text file.\n" * 9, "not a GHTRACE1"), (b"GHTRACE1", "before its header"),
    (b"GHTRACE1\xff\xff\xff\xff{}", "inside its header"),
    (b"GHTRACE1\x02\0\0\0[]", "not a JSON object"), (b"GHTRACE1\x01\0\0\0{", "not JSON"),
    (b"GHTRACE1\x02\0\0\0\xff\xff", "not JSON"), (b"GHTRACE1\x02\0\0\0{}", "format"),
    (b"GHTRACE1\x00\x00\x02\x00" + b"[" * (1 << 17), "not JSON")])
@one_at_a_time
def test_not_a_recording(written, data, match):
    refused(written(data), match)


def test_truncated_anywhere(written):
    data = sample_history().file()
    path = written(data)
    assert replay(path).objects == 80
    for n in range(len(data)):
        with open(path, "r+b") as f:
            f.write(data)
            f.truncate(n)
        with pytest.raises(TraceError):
            replay(path)


@one_at_a_time
def test_packaged_truncated(tmp_path):
    with open(PACKAGED, "rb") as f:
        data = f.read()
    path = tmp_path / "t"
    for i in range(1, 20):
        path.write_bytes(data[:len(data) * i // 20])
        refused(path, "the file ends inside column")
    path.write_bytes(data[:-1])
    refused(path)


@one_at_a_time
def test_packaged_flipped(tmp_path):
    with TraceFile(PACKAGED) as trace:
        columns = [c for c in trace.columns if c.name in COLUMNS]
    with open(PACKAGED, "rb") as f:
        data = bytearray(f.read())
    path = tmp_path / "t"
    for c in columns:
        at = c.start + c.length // 20  # early: damage is found soon
        data[at] ^= 0x55
        path.write_bytes(data)
        data[at] ^= 0x55
        assert 0 < refused(path).offset <= len(data)


def survives(path):
    """Runs a file that may be damaged: an answer or a clear error."""
    try:
        return replay(path, gogc=10).objects
    except TraceError as e:
        assert e.path == os.fspath(path)
    except MemoryError as e:  # a header or column that asks for very much
        assert os.fspath(path) in str(e)
    return None


def test_each_byte_flipped(written):
    data = bytearray(sample_history().file())
    path = written(data)
    answers = 0
    with open(path, "r+b", buffering=0) as f:
        for i in range(len(data)):
            for bit in (1, 0x80) if i % 8 else (1, 2, 4, 8, 16, 32, 64, 128):
                f.seek(i)
                f.write(bytes([data[i] ^ bit]))
                answers += survives(path) is not None
            f.seek(i)
            f.write(data[i:i + 1])
    assert 0 < answers < 2 * len(data)  # a name in the header may be anything


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_columns_of_any_bytes(tmp_path_factory, data):
    # The zlib streams are sound here, so that the bytes reach the engine.
    h = sample_history()
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(COLUMNS)))
        raw = h.raw[name]
        at = data.draw(st.integers(0, len(raw)))
        raw[at:at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=12))
        if data.draw(st.booleans()):
            h.count[name] = data.draw(st.integers(0, len(raw)))
    path = tmp_path_factory.getbasetemp() / f"any{threading.get_ident()}.ghtrace"
    path.write_bytes(h.file())
    survives(path)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["alloc", "free", "tiny", "mark"]),
                          st.integers(2, 135), st.integers(0, 30)), max_size=120),
       st.sampled_from([0, 20, 100, "off"]), st.sampled_from(["early", "drawn", "late"]))
def test_any_sound_history(tmp_path_factory, events, gogc, deaths):
    h, alive, n, size = History(End={"NumForcedGC": 1}), [], 0, 0
    classes = [0, *SIZES][-68:]
    for what, spanclass, x in events:
        if what == "alloc":
            h.object(spanclass)
            alive.append(n)
            n, size = n + 1, size + classes[spanclass // 2]
        elif what == "free" and alive:
            h.free(n - 1 - alive.pop(x % len(alive)))
        elif what == "tiny" and n:
            h.event("tiny", tiny_back=x % n)
        elif what == "mark":
            h.mark()
    path = tmp_path_factory.getbasetemp() / f"sound{threading.get_ident()}.ghtrace"
    path.write_bytes(h.file())
    r = replay(path, gogc=gogc, deaths=deaths)
    assert (r.objects, r.bytes, r.events) == (n, size, h.count["ev.op"])
    assert r.forced_gc == any(what == "mark" for what, _, _ in events)


@pytest.mark.parametrize("change, match", [
    (lambda h: h.pop("ops"), "no list ops"),
    (lambda h: h["ops"].append(5), "not a name"),
    (lambda h: h["ops"].append("jump"), "unknown kind of event"),
    (lambda h: h.update(columns=[3]), "not an object"),
    (lambda h: h["columns"][0].update(count=-1), "bad number"),
    (lambda h: h["columns"][0].update(count=True), "bad number"),
    (lambda h: h["columns"][0].update(count=1 << 80), "bad number"),
    (lambda h: h["columns"][0].update(count=1 << 62, raw_bytes=1 << 62), "ev.op"),
    (lambda h: h["columns"][0].update(count=1 << 62), "fewer bytes than values"),
    (lambda h: h["columns"][0].update(raw_bytes=h["columns"][0]["raw_bytes"] + 1), "header says"),
    (lambda h: h["columns"][0].update(offset=1 << 62), "ends inside column ev.op"),
    (lambda h: h["columns"][0].update(bytes=0), "cut off"),
    (lambda h: h["columns"][0].update(bytes=h["columns"][0]["bytes"] - 1), "cut off"),
    (lambda h: h["columns"][0].update(enc="lz4"), "encoding"),
    (lambda h: h["columns"].pop(0), "missing"),
    (lambda h: h.update(class_to_size=[0, 8, 16]), "size classes"),
    (lambda h: h["class_to_size"].__setitem__(3, 25), "size class 3"),
    (lambda h: h["types"].append({}), "type 2"),
    (lambda h: h["types"].append({"name": "x", "size": 8, "ptrdata": 16}), "type 2"),
    (lambda h: h["run"].update(GOGC="lots"), "GOGC"),
    (lambda h: h["run"].update(GOMEMLIMIT="lots"), "memory_limit"),
    (lambda h: h.update(format="GHTRACE2"), "format"),
    (lambda h: h.update(compression="zstd"), "compression"),
])
@one_at_a_time
def test_unsound_header(written, change, match):
    data = sample_history().file()
    length = int.from_bytes(data[8:12], "little")
    header = json.loads(data[12:12 + length])
    change(header)
    text = json.dumps(header).encode()
    refused(written(b"GHTRACE1" + len(text).to_bytes(4, "little") + text + data[12 + length:]),
            match)


def test_a_file_that_shrinks_meanwhile(tmp_path):
    path = tmp_path / "t"
    with open(PACKAGED, "rb") as f:
        path.write_bytes(f.read())
    def shrink(done, total):
        os.truncate(path, 100_000)
    # Told, if anything was left to read; in any case no crash.
    try:
        replay(path, gogc=5, progress=shrink)
    except TraceError as e:
        assert "ends inside" in str(e)


def test_the_engine_by_itself():
    make = _core.ReplayEngine
    with pytest.raises(TypeError):
        make()
    with pytest.raises(TypeError):
        make((), (), (), [], 0)
    with pytest.raises(ValueError, match="0 size classes"):
        make((), (), (), (), 0)
    with pytest.raises(TypeError):
        make((5,), (), (), (), 0)
    with pytest.raises(TypeError):
        make((), (("a", "u8"),), (), (), 0)
    columns = tuple((name, enc, 0) for name, enc in COLUMNS.items())
    args = (OPS, columns, (), tuple([0, *SIZES][-68:]), 0)
    survey = make(*args)
    with pytest.raises(ValueError, match="finished survey"):
        make(*args, base=survey)
    with pytest.raises(TypeError):
        make(*args, base=5)
    assert survey.step(1) == -1 and (survey.done, survey.total) == (0, 0)
    for f in (survey.summary, survey.cycles, survey.samples, survey.verify):
        with pytest.raises(ValueError, match="no heap"):
            f()
    with pytest.raises(ValueError):
        survey.feed(0, b"", True)  # all of its no bytes are in
    with pytest.raises(ValueError):
        survey.feed(99, b"", True)
    with pytest.raises(TypeError):
        survey.feed(0, "text", True)
    with pytest.raises((OverflowError, ValueError)):
        survey.step(-1)
    with pytest.raises(ValueError):
        make(*args, base=survey, procs=0)
    with pytest.raises(ValueError):
        make(*args, base=survey, deaths=3)
    engine = make(*args, base=survey)
    del survey
    assert engine.step(1) == -1 and engine.verify() == []
    assert engine.summary()["objects"] == 0 and engine.cycles() == []


def test_the_replays_heap_is_sound():
    with TraceFile(PACKAGED) as trace:
        columns = tuple((c.name, c.enc, c.count) for c in trace.columns)
        args = (trace.ops, columns, trace.types, trace.class_to_size, 0)
        engine = None
        for _ in range(2):
            kw = {} if engine is None else {"base": engine, "gogc": 50, "procs": 2}
            engine, readers = _core.ReplayEngine(*args, **kw), {}
            while (need := engine.step(1 << 62)) != -1:
                if need >= 0:
                    reader = readers.setdefault(need, trace.reader(need))
                    engine.feed(need, *reader.read())
        assert engine.verify() == []


# ---- the command line -------------------------------------------------------------------

# What a reader of GODEBUG=gctrace=1 expects of a line.
GCTRACE = re.compile(
    r"gc \d+ @\d+\.\d{3}s \d+%: [\d.]+\+[\d.]+\+[\d.]+ ms clock, "
    r"[\d.]+\+[\d.]+/[\d.]+/[\d.]+\+[\d.]+ ms cpu, \d+->\d+->\d+ MB, \d+ MB goal, "
    r"\d+ MB stacks, \d+ MB globals, \d+ P( \(forced\))?")


def test_json(capsys):
    assert cli.main(["replay", PACKAGED, "--gogc", "100", "--json"]) == 0
    out = capsys.readouterr()
    d = json.loads(out.out)
    assert out.err == "" and out.out.count("\n") == 1
    r = goheap.replay(PACKAGED, gogc=100)
    assert d["mode"] == r.mode == "virtual"
    for key in ("gogc", "memory_limit", "procs", "automatic_gc", "peak_heap_bytes",
                "peak_rss_bytes", "gc_cpu_fraction"):
        assert d[key] == getattr(r, key), key
    for key in ("automatic_gc", "peak_heap_bytes", "peak_rss_bytes", "gc_cpu_fraction"):
        assert d[key + "_low"] < d[key] < d[key + "_high"], key


def test_json_settings(capsys):
    assert cli.main(["replay", PACKAGED, "--gogc", "off", "--memory-limit", "48MiB", "--procs",
                     "1", "--deaths", "late", "--seed", "3", "--mode", "stw", "--json"]) == 0
    d = json.loads(capsys.readouterr().out)
    assert (d["gogc"], d["memory_limit"], d["procs"]) == (None, 48 << 20, 1)
    assert (d["deaths"], d["seed"]) == ("late", 3)


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_gctrace(capsys, flags):
    assert cli.main(["replay", PACKAGED, "--gogc", "100", "--mode", "stw",
                     "--gctrace", *flags]) == 0
    out = capsys.readouterr()
    text = out.err if flags else out.out  # Go's runtime writes them to stderr
    lines = [line for line in text.splitlines() if line.startswith("gc ")]
    r = packaged(gogc=100)
    assert len(lines) == r.automatic_gc
    assert all(GCTRACE.fullmatch(line) for line in lines), lines
    assert lines == [str(c) for c in r.cycles]
    if flags:
        json.loads(out.out)


def test_gctrace_of_forced(written, capsys):
    assert cli.main(["replay", str(written(sample_history())), "--gogc", "off", "--gctrace"]) == 0
    line, *rest = capsys.readouterr().out.splitlines()
    assert GCTRACE.fullmatch(line).group(1) and not any(s.startswith("gc ") for s in rest)


def test_text(capsys):
    assert cli.main(["replay", PACKAGED, "--gogc", "off"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^GOGC +off$", out, re.M) and "0 automatic" in out


@pytest.mark.parametrize("args, word", [
    ([PACKAGED, "--procs", "0"], "1..1024"), ([PACKAGED, "--memory-limit", "x"], "memory_limit"),
    (["/nonexistent/file"], "No such file"), ([__file__], "not a GHTRACE1")])
def test_wrong_file_or_setting_ends_with_1(capsys, args, word):
    assert cli.main(["replay", *args]) == 1
    out = capsys.readouterr()
    assert out.out == "" and word in out.err and out.err.count("\n") == 1


@pytest.mark.parametrize("args", [["--gogc", "x"], ["--gogc=-1"], ["--deaths", "x"], ["--procs", "x"]])
def test_usage_ends_with_2(capsys, args):
    with pytest.raises(SystemExit) as e:
        cli.main(["replay", PACKAGED, *args])
    assert e.value.code == 2 and args[0].split("=")[0] in capsys.readouterr().err


# ---- the demo ---------------------------------------------------------------------------


def run_demo(path, hidden):
    code = ("import sys; sys.modules.update(dict.fromkeys(%r)); from goheap import cli; "
            "sys.exit(cli.main(['demo', '--out', %r]))" % (hidden, str(path)))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env={**os.environ, "COLUMNS": "100"})


def test_demo_without_anything_else(tmp_path):
    r = run_demo(tmp_path / "p.png", ["rich", "matplotlib"])
    assert r.returncode == 0 and r.stderr == ""
    assert [int(x) for x in re.findall(r"^GOGC=\d+ +(\d+) ", r.stdout, re.M)] == [
        goheap.replay(PACKAGED, gogc=g).automatic_gc for g in (50, 100, 200, 400)]
    assert "fitted to the recording" in r.stdout
    assert "matplotlib is missing" in r.stdout and not (tmp_path / "p.png").exists()


def test_demo_with_table_and_picture(tmp_path):
    for name in ("rich", "matplotlib"):
        pytest.importorskip(name, reason="needs %s, which make demo installs" % name)
    r = run_demo(tmp_path / "p.png", [])
    assert r.returncode == 0 and r.stderr == ""
    assert [int(x) for x in re.findall(r"GOGC=\d+\W+(\d+) ", r.stdout)] == [
        goheap.replay(PACKAGED, gogc=g).automatic_gc for g in (50, 100, 200, 400)]
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"


def test_demo_tells_what_is_wrong(monkeypatch, capsys):
    monkeypatch.setattr("goheap.demo.TRACE", "none")
    assert cli.main(["demo"]) == 1
    err = capsys.readouterr().err
    assert "No such file" in err and err.count("\n") == 1


def test_import_takes_only_the_standard_library():
    code = ("import sys, goheap, goheap.cli; print([m for m in sys.modules "
            "if m.split('.')[0] in ('rich', 'matplotlib', 'numpy')])")
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
