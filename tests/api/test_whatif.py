"""what_if: the model of a recording, its calibration, grids, intervals, advice, the command line."""
import concurrent.futures
import csv
import dataclasses
import io
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
import threading

import pytest

import goheap
from goheap import (Advice, Costs, Interval, Policy, WhatIf, _core, cli, history, made,
                    what_if)
from goheap.whatif import HEAD, _interval
from test_replay import PACKAGED, SCAN64, History, sample_history

MIB = 1 << 20
NO_SCAN_LARGE = 1


@pytest.fixture(scope="module")
def grid():
    return what_if(PACKAGED, gogc=[50, 100, 200, "off"], memory_limit=[None, "48MiB"], seeds=2)


@pytest.fixture
def written(tmp_path):
    def write(data):
        path = tmp_path / "t.ghtrace"
        path.write_bytes(data.file())
        return path
    return write


def truth():
    import importlib.resources
    return json.loads((importlib.resources.files("goheap") / "data"
                       / "compile-json.truth.json").read_text())["settings"]


# ---- the model ----------------------------------------------------------------------


def test_calibration_at_the_recorded_setting():
    _, m = history.fitted(PACKAGED)
    assert abs(m.cycles - m.cycles_recorded) <= max(1, 0.05 * m.cycles_recorded)
    assert abs(m.heap_error) < 0.1 and abs(m.cpu_error) < 0.3
    assert m.fitted and m.costs.scan_byte > 0 and m.event_ns > 10 and 0 < m.gc_share < 1


def test_the_fit_is_the_same_on_one_processor(monkeypatch):
    h, m = history.fitted(PACKAGED)
    monkeypatch.setattr(history, "BESIDE", 0)  # one replay at a time
    assert h.fit() == m


def test_a_fit_ends_with_what_its_watcher_raises():
    h, _ = history.fitted(PACKAGED)

    def watch(engine):
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        h.fit(Costs(), watch)
    assert threading.active_count() == before


@pytest.mark.parametrize("known, rough, low, high", [
    ({0.0: 0.5, 100.0: -0.5}, {0.0: 0.5}, 30, 70),     # between two
    ({0.0: 0.5, 100.0: 0.4}, {0.0: 0.5}, 300, 400),    # further on, not too far
    ({50.0: -0.2, 60.0: -0.3}, {0.0: 0.5}, 10, 45),    # down to what is about right
    ({50.0: 0.2, 60.0: 0.1}, {0.0: 0.5, 80.0: -0.1}, 60, 120),
    ({50.0: -0.2, 60.0: -0.3}, {0.0: -0.1}, 0, 25),    # perhaps there is none
])
def test_the_next_delays(known, rough, low, high):
    first, second = history._next_delays(known, rough)
    assert low <= first < second <= high


def test_facts_of_the_recording():
    h, _ = history.opened(PACKAGED)
    assert len(h.cycles) == 32 and h.automatic == 32
    for before, c in zip(h.cycles, h.cycles[1:]):
        assert before.end_ns <= c.begin_ns < c.end_ns
        assert 0 < c.heap_marked <= c.heap_end and c.heap_start <= c.heap_end
    f = h.facts
    assert 0 <= h.trace.header["duration_ns"] - f["duration_ns"] < 1e6 and f["ps"] == 2
    assert 0 < f["mark_ns"] < f["duration_ns"] and f["recorder_bytes"] >= 2 * MIB
    assert sum(s for _, s in f["gaps"]) <= 2 * f["duration_ns"]


def goals(stacks, gogc=100, globals_=0, marked=8 << 20):
    """A history whose goals say that its collections scanned these stacks."""
    h = History(GOGC=str(gogc), GOMAXPROCS=1,
                Metrics={"/gc/scan/globals:bytes": globals_, "/gc/scan/stack:bytes": 77})
    h.header["forced_cycles"] = list(range(len(stacks) + 1))
    for s in stacks:
        h.object()
        h.event("gc_begin").event("heap_live", val=marked).event("gc_end")
        h.event("heap_live", val=marked)
        h.event("heap_goal", val=max(marked + (1 << 20), marked + (marked + s + globals_)
                                     * gogc // 100))
    return h.mark()


@pytest.mark.parametrize("mode", ["stw", "virtual"])
def test_stacks_over_time_are_what_the_goals_say(written, mode):
    path = written(goals([3 << 20, 1 << 20, 1 << 12], globals_=1 << 16))
    h, _ = history.opened(path)
    assert h.stacks == [3 << 20, 1 << 20, 1 << 12, 1 << 12]
    r = goheap.replay(path, mode=mode)
    assert [c.stack_scan for c in r.cycles] == h.stacks
    assert {c.globals_scan for c in r.cycles} == {1 << 16}


@pytest.mark.parametrize("stacks, marked, want", [
    ([1 << 20, 0, 1 << 21], 4 << 20, [1 << 20, 0, 1 << 21, 1 << 21]),
    # The least distance to the goal decides: as much as the nearest, and no more than it allows.
    ([1 << 17] * 3, 4 << 20, []),
    ([0, (1 << 21) + 4, 0], (5 << 20) - 4096, [4096, (1 << 21) + 4, 4096, 4096]),
])
def test_goals_that_say_little_of_stacks(written, stacks, marked, want):
    gogc = 100 if want and marked == 4 << 20 else 20
    h, _ = history.opened(written(goals(stacks, gogc, marked=marked)))
    assert h.stacks == want


def test_goals_that_another_gogc_set(written):
    data = goals([1 << 20] * 3)
    data.header["run"]["GOGC"] = "200"
    h, _ = history.opened(written(data))
    assert h.stacks == []
    assert {c.stack_scan for c in goheap.replay(written(data), mode="stw").cycles} == {77}


def test_near_real_go(grid):
    # Nothing of the truth is in the model.
    for row in truth():
        (p,) = [p for p in grid if p.gogc == row["gogc"] and p.memory_limit is None] or [None]
        if p is None:
            continue
        low, high = min(row["automatic_gc"]), max(row["automatic_gc"])
        assert min(0.9 * low, low - 1) <= p.automatic_gc.value <= max(1.1 * high, high + 1)
        rss = [kib << 10 for kib in row["max_rss_kib"]]
        assert 0.9 * min(rss) <= p.peak_rss_bytes.value <= 1.1 * max(rss)


def test_a_recording_that_says_little(written):
    # No figures of the run: nothing to fit, the shipped prices.
    path = written(sample_history())
    _, m = history.fitted(path)
    assert not m.fitted and m.costs == Costs() and m.rss_offset is None
    w = what_if(path, gogc=[100], seeds=1)
    assert w[0].peak_rss_bytes is None and "not recorded" in str(w)
    assert w[0].to_dict()["peak_rss_bytes"] is None
    with pytest.raises(ValueError, match="max_rss"):
        w.advise(max_rss="1GiB")


def test_prices_of_ones_own():
    own = Costs(scan_byte=20.0)
    r = goheap.replay(PACKAGED, gogc=100, costs=own)
    assert r.costs == own and r.mode == "virtual"
    fitted = goheap.replay(PACKAGED, gogc=100)
    assert fitted.costs.scan_byte < 20 and r.gc_cpu_fraction > fitted.gc_cpu_fraction


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "t.ghtrace"
    path.write_bytes(sample_history().file())
    first = goheap.replay(path)
    h = History(GOGC="100", GOMAXPROCS=2)
    h.object()
    path.write_bytes(h.file())
    assert (first.objects, goheap.replay(path).objects) == (80, 1)


# ---- pools ----------------------------------------------------------------------------


def pooled_history(forced):
    """Forty times eight objects that a sync.Pool keeps: victims at the next collection, dead
    at the one after it. Then a third one, and the next eight must be made anew."""
    h = History(GOGC="100", GOMAXPROCS=1, End={"NumForcedGC": 120 if forced else 0})
    for _ in range(40):
        for _ in range(8):
            h.object()
        h.object(SCAN64, type=1)  # of another kind, between the last use and the collection
        h.mark().mark()
        for back in range(1, 9):
            h.free(back)
        h.mark()
    return h


def test_a_pool_is_found_and_reused_when_collections_are_rarer(written):
    # Collections as often as recorded empty the pool as often.
    often = goheap.replay(written(pooled_history(forced=True)), gogc="off", mode="stw")
    assert (often.objects, often.reused, often.forced_gc) == (360, 0, 120)
    never = goheap.replay(written(pooled_history(forced=False)), gogc="off", mode="stw")
    assert (never.objects, never.reused, never.forced_gc) == (8 + 40, 312, 0)


# ---- grids --------------------------------------------------------------------------


def test_grid_and_intervals(grid):
    assert isinstance(grid, WhatIf) and len(grid) == 8 and len(grid[2:4]) == 2
    assert [(p.gogc, p.memory_limit) for p in grid][:3] == [
        (50, None), (50, 48 * MIB), (100, None)]
    for p in grid:
        for name in ("automatic_gc", "peak_heap_bytes", "peak_rss_bytes", "gc_cpu_fraction",
                     "assist_fraction", "longest_pause_ns"):
            i = getattr(p, name)
            assert isinstance(i, Interval) and 0 <= i.low <= i.value <= i.high
        assert p.automatic_gc.low < p.automatic_gc.high and not p.extrapolated
    free = {p.gogc: p for p in grid if p.memory_limit is None}
    assert free[50].automatic_gc.value > free[100].automatic_gc.value > free[200].automatic_gc.value
    assert free[50].peak_rss_bytes.value < free[200].peak_rss_bytes.value
    assert grid.calibration["cycles_recorded"] == 32


def test_interval():
    assert _interval([10, 12, 11], [8, 15], 0.1, 1.0) == Interval(11.0, 7.0, 16.5)
    assert _interval([0], [], 0.1, 1.0) == Interval(0.0, 0.0, 1.0)


def test_same_in_threads_processes_and_the_default():
    kw = dict(gogc=[100], seeds=1)
    base = what_if(PACKAGED, **kw)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert what_if(PACKAGED, executor=pool, **kw) == base
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        assert what_if(PACKAGED, executor=pool, **kw) == base


def test_anything_with_submit():
    class Here:
        def submit(self, fn, *args):
            f = concurrent.futures.Future()
            f.set_result(fn(*args))
            return f

    seen = []
    w = what_if(PACKAGED, gogc=[400], seeds=1, executor=Here(),
                progress=lambda done, total: seen.append((done, total)))
    assert len(w) == 1 and seen == [(1, 3), (2, 3), (3, 3)]


def test_a_progress_that_raises_ends_it_and_its_threads():
    def stop(done, total):
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        what_if(PACKAGED, gogc=[50, 100, 200], seeds=2, progress=stop)
    assert threading.active_count() == before


def test_other_procs_are_extrapolated():
    w = what_if(PACKAGED, gogc=[200], procs=["recorded", 4], seeds=1)
    assert [(p.procs, p.extrapolated) for p in w] == [(2, False), (4, True)]
    assert "extrapolated" in str(w) and "GOMAXPROCS=4" in w[1].setting


def test_policies():
    w = what_if(PACKAGED, gogc=[100], policy=[Policy(), Policy(min_heap="64MiB")], seeds=1)
    assert w[0].automatic_gc.value > w[1].automatic_gc.value
    assert w[1].to_dict()["policy"]["min_heap"] == 64 * MIB


def test_table_json_csv(grid, tmp_path):
    t = grid.table()
    assert len(t) == 8 and t.row(1).memory_limit == "48MiB" and t.row(0).memory_limit is None
    assert t.row(0).automatic_gc_low <= t.row(0).automatic_gc <= t.row(0).automatic_gc_high
    grid.save(tmp_path / "w.json")
    d = json.loads((tmp_path / "w.json").read_text())
    assert d["schema"] == 1 and d["go_version"] == goheap.GO_VERSION
    assert d["predictions"][1]["memory_limit"] == 48 * MIB
    assert d["calibration"] == grid.calibration
    grid.save(tmp_path / "w.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "w.csv").read_text())))
    assert len(rows) == 8 and int(rows[0]["automatic_gc"]) == round(grid[0].automatic_gc.value)
    assert pickle.loads(pickle.dumps(grid)) == grid


def test_text(grid):
    first, head, *rows = str(grid).split("\n")
    assert first.startswith("recorded setting: 3") and head == HEAD and len(rows) == 8
    assert "<table>" in grid._repr_html_() and "8 settings" in repr(grid)


@pytest.mark.parametrize("kw, error, words", [
    (dict(gogc=100), TypeError, ["gogc"]), (dict(gogc=[]), ValueError, ["gogc"]),
    (dict(gogc=["x"]), ValueError, ["gogc", "x"]), (dict(gogc=[-1]), ValueError, ["-1"]),
    (dict(memory_limit="1GiB"), TypeError, ["memory_limit"]),
    (dict(memory_limit=["1GB"]), ValueError, ["1GB"]),
    (dict(procs=[0]), ValueError, ["1..1024"]), (dict(policy=[None]), TypeError, ["Policy"]),
    (dict(seeds=0), ValueError, ["seeds", "1..1000"]), (dict(seeds=1.5), TypeError, ["seeds"]),
    (dict(executor=3), TypeError, ["submit"]), (dict(progress=3), TypeError, ["progress"])])
def test_bad_arguments(kw, error, words):
    with pytest.raises(error) as e:
        what_if(PACKAGED, **kw)
    assert all(w in str(e.value) for w in words)


# ---- advice ---------------------------------------------------------------------------


def test_advice_within_the_bounds(grid):
    a = grid.advise(max_rss="96MiB")
    assert isinstance(a, Advice) and a.prediction.peak_rss_bytes.high <= 96 * MIB
    cheaper = [p for p in grid if p.peak_rss_bytes.high <= 96 * MIB
               and p.gc_cpu_fraction.high < a.prediction.gc_cpu_fraction.high]
    assert not cheaper
    assert "GOGC=" in str(a) and "96MiB" in str(a) and "32" in str(a)
    b = grid.advise(max_gc_cpu=0.5)
    assert b.prediction.peak_rss_bytes.high <= a.prediction.peak_rss_bytes.high
    assert grid.advise().prediction.gc_cpu_fraction.high == min(
        p.gc_cpu_fraction.high for p in grid)


def test_the_cliff(grid):
    assert grid.cliff(None) == 48 * MIB  # less than this program needs
    assert grid.advise(max_rss="1GiB").cliff in (None, 48 * MIB)
    assert "GOMEMLIMIT=48MiB" in str(dataclasses.replace(grid.advise(), cliff=48 * MIB))


@pytest.mark.parametrize("kw, words", [
    (dict(max_rss="10MiB"), ["max_rss=10MiB", "smallest peak"]),
    (dict(max_gc_cpu=0.0001), ["max_gc_cpu=0.0001"]),
    (dict(max_rss="96MiB", max_gc_cpu=0.0001), ["max_gc_cpu", "within max_rss=96MiB"]),
    (dict(max_gc_cpu=2), ["max_gc_cpu", "0..1"]), (dict(max_rss="1GB"), ["1GB"])])
def test_no_setting_or_bad_bound(grid, kw, words):
    some = WhatIf(grid.source, grid.calibration, grid[:6], grid.costs, grid.seeds)
    with pytest.raises(ValueError) as e:
        some.advise(**kw)
    assert all(w in str(e.value) for w in words)


# ---- the command line --------------------------------------------------------------------


def test_what_if_command(capsys):
    args = ["what-if", PACKAGED, "--gogc", "100,off", "--memory-limit", "90MiB", "--seeds", "1"]
    assert cli.main([*args, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(r["gogc"], r["memory_limit"], r["procs"]) for r in rows] == [
        (100, 90 * MIB, 2), (None, 90 * MIB, 2)]
    for r in rows:
        for name in ("automatic_gc", "peak_heap_bytes", "peak_rss_bytes", "gc_cpu_fraction"):
            assert r[name + "_low"] <= r[name] <= r[name + "_high"]
        assert r["calibration"]["cycles_recorded"] == 32
    assert cli.main(args) == 0
    assert capsys.readouterr().out.startswith("recorded setting: ")
    assert cli.main([*args, "--csv"]) == 0
    assert capsys.readouterr().out.startswith("gogc,memory_limit,")


def test_advise_command(capsys):
    args = ["advise", PACKAGED, "--gogc", "100,200", "--memory-limit", "off", "--seeds", "1"]
    assert cli.main([*args, "--limit", "100MiB", "--max-gc-cpu", "20%"]) == 0
    assert capsys.readouterr().out.startswith("Set GOGC=")
    assert cli.main([*args, "--limit", "100MiB", "--json"]) == 0
    d = json.loads(capsys.readouterr().out)
    assert d["gogc"] in (100, 200) and d["advice"].startswith("Set GOGC=") and "cliff" in d
    assert cli.main([*args, "--limit", "10MiB"]) == 3
    assert "max_rss=10MiB" in capsys.readouterr().err


@pytest.mark.parametrize("args, status, word", [
    (["what-if", "/nonexistent/file"], 1, "No such file"),
    (["what-if", __file__], 1, "not a GHTRACE1"),
    (["what-if", PACKAGED, "--memory-limit", "1GB"], 1, "1GB"),
    (["advise", PACKAGED, "--limit", "1GB"], 1, "1GB")])
def test_wrong_file_or_setting(capsys, args, status, word):
    assert cli.main(args) == status
    out = capsys.readouterr()
    assert out.out == "" and word in out.err and out.err.count("\n") == 1


@pytest.mark.parametrize("args", [["--gogc", "x"], ["--seeds", "0"], ["--procs", "x"]])
def test_usage(capsys, args):
    with pytest.raises(SystemExit) as e:
        cli.main(["what-if", PACKAGED, *args])
    assert e.value.code == 2 and args[0] in capsys.readouterr().err


# ---- larger than the machine --------------------------------------------------------------


def test_a_history_of_64_gib_live_runs_in_a_fraction_of_it(written):
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        pytest.skip("the address space is bounded here")
    h = History(GOGC="100", GOMAXPROCS=2)
    for _ in range(68 << 10):
        h.object(NO_SCAN_LARGE, pages=128)
    h.mark()
    for back in range(1 << 12):  # the newest 4 GiB die and come again
        h.free(back)
    for _ in range(1 << 12):
        h.object(NO_SCAN_LARGE, pages=128)
    code = ("import goheap, resource, sys; "
            "r = goheap.replay(sys.argv[1], gogc=5, costs=goheap.Costs()); "
            "print(r.peak_live_bytes, r.automatic_gc, "
            "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10)")
    out = subprocess.run([sys.executable, "-c", code, str(written(h))], capture_output=True,
                         text=True, check=True).stdout
    live, cycles, rss = map(int, out.split())
    assert live >= 64 << 30 and cycles > 10 and rss < 2 << 30


CHILD = """
import sys
def figure(name):
    with open("/proc/self/status") as f:
        return next(int(l.split()[1]) << 10 for l in f if l.startswith(name))
import goheap
base = figure("VmHWM")
r = goheap.replay(sys.argv[1], gogc=100, costs=goheap.Costs())
print(r.objects, r.automatic_gc, figure("VmHWM") - base)
"""


def test_a_long_history_takes_the_memory_of_what_is_live(tmp_path):
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    live = 20_000
    engine = _core.History(live=64 * live, alloc_rate=64 * 5e6, mean_size=64.0, scan_share=0.7,
                           long_share=0.1, short_ns=1e4, startup_ns=10 ** 8,
                           duration_ns=10 ** 9, procs=4, seed=1)

    def steps():
        while engine.work(1 << 16):
            yield
        yield

    path = tmp_path / "long.ghtrace"
    with os.fdopen(made._write(engine, "long", {"GOGC": "100"}, steps()), "rb") as f, \
            open(path, "wb") as out:
        f.seek(0)
        shutil.copyfileobj(f, out)
    out = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True,
                         text=True, check=True).stdout
    objects, cycles, grown = map(int, out.split())
    assert objects > 4_000_000 and cycles > 100
    assert grown < (64 << 20) + 64 * live


MADE = {
    "columns": "n = 69 << 10; s = goheap.Trace.from_columns(size=[1 << 20] * n, "
               "birth_ns=range(0, n * 1000, 1000), death_ns=[-1] * n, "
               "scan=[(1 << 20) * (i % 2) for i in range(n)])",
    "workload": "s = goheap.Workload(live='64GiB', alloc_rate='2GiB', mean_size=1 << 17, "
                "seconds=4)"}


@pytest.mark.parametrize("how", MADE)
def test_so_does_one_that_is_made_up(how):
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        pytest.skip("the address space is bounded here")
    code = (f"import goheap, resource; {MADE[how]}; r = goheap.replay(s, gogc=5); "
            "print(r.peak_live_bytes, r.automatic_gc, "
            "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10)")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                         check=True).stdout
    live, cycles, rss = map(int, out.split())
    assert live >= 64 << 30 and cycles > 3 and rss < 2 << 30


# ---- what a recording doesn't say, and who has none ---------------------------------------

RAW = os.path.join(os.path.dirname(__file__), "..", "traces", "go1.26.trace.gz")
FIELDS = ("gogc", "memory_limit", "procs",
          *(name + end for name in ("automatic_gc", "peak_heap_bytes", "peak_rss_bytes")
            for end in ("", "_low", "_high")), "gc_cpu_fraction")


@pytest.mark.parametrize("args", [
    ["replay", PACKAGED, "--gogc", "200", "--memory-limit", "64MiB"],
    ["replay", PACKAGED, "--mode", "stw"], ["replay", RAW, "--gogc", "off"],
    ["what-if", PACKAGED, "--gogc", "200,off", "--memory-limit", "64MiB,off", "--seeds", "1"],
    ["what-if", RAW, "--seeds", "1"]])
def test_json_has_the_fields_that_are_promised(capsys, args):
    assert cli.main([*args, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert isinstance(said, dict) == (args[0] == "replay")
    for d in [said] if args[0] == "replay" else said:
        assert [name for name in FIELDS if name not in d] == []
        assert d["gogc"] is None or type(d["gogc"]) is int
        assert d["memory_limit"] in (None, 64 * MIB) and type(d["procs"]) is int
        assert type(d["automatic_gc"]) is int and type(d["peak_heap_bytes"]) is int
        assert 0 <= d["gc_cpu_fraction"] <= 1
        assert (d["peak_rss_bytes"] is None) == (RAW in args)
        for name in ("automatic_gc", "peak_heap_bytes"):
            low, high = d[name + "_low"], d[name + "_high"]
            assert low <= d[name] <= high and low < high + (RAW in args)


def test_advise_for_the_least_memory(capsys):
    assert cli.main(["advise", PACKAGED, "--max-gc-cpu", "30%", "--seeds", "1", "--json"]) == 0
    d = json.loads(capsys.readouterr().out)
    assert d["memory_limit"] is not None and d["cliff"] < d["memory_limit"]
    assert d["gc_cpu_fraction_low"] <= d["gc_cpu_fraction"] <= d["gc_cpu_fraction_high"] <= 0.3
    assert cli.main(["advise", PACKAGED, "--limit", "80MiB", "--memory-limit", "off", "--gogc",
                     "20,30,50,400", "--seeds", "1"]) == 0
    assert capsys.readouterr().out.startswith("Set GOGC=50. That keeps the peak under 80MiB")


def test_what_a_bare_trace_does_not_say(capsys, tmp_path):
    out, stats = tmp_path / "t.ghtrace", tmp_path / "stats.json"
    stats.write_text('{"GOGC": ""}')
    assert cli.main(["convert", RAW, "-o", str(out), "--stats", str(stats)]) == 0
    said = capsys.readouterr().err
    assert "GOGC" in said and "--recorded-gogc" in said and "CPU time" in said
    assert "resident" in said and said.count("\n") == 1
    for command in ("replay", "what-if", "advise"):
        assert cli.main([command, str(out), "--json"]) == 0
        printed = capsys.readouterr()
        assert "GOGC" in printed.err
        first = json.loads(printed.out)
        assert cli.main([command, str(out), "--json", "--recorded-gogc", "50",
                         "--recorded-limit", "32MiB"]) == 0
        printed = capsys.readouterr()
        assert "GOGC" not in printed.err and "resident" in printed.err
        if command == "replay":
            assert first["gogc"] == 100 and first["memory_limit"] is None
            told = json.loads(printed.out)
            assert told["gogc"] == 50 and told["memory_limit"] == 32 * MIB
    assert cli.main(["convert", RAW, "-o", str(out), "--recorded-gogc", "off",
                     "--recorded-limit", "1GiB"]) == 0
    with goheap.Trace.open(out) as t:
        assert t.info["GOGC"] == "off" and t.info["GOMEMLIMIT"] == str(1 << 30)
    assert history.opened(out)[0].gogc == -1 and history.opened(out)[0].limit == 1 << 30


def test_a_recording_with_everything_is_not_complained_of(capsys):
    assert cli.main(["replay", PACKAGED]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("option", [["--recorded-gogc", "x"], ["--recorded-limit", "1GB"],
                                    ["--recorded-gogc", "-1"]])
@pytest.mark.parametrize("command", [["replay"], ["what-if"], ["advise"],
                                     ["convert", "-o", "/nowhere/at/all"]])
def test_recorded_settings_that_mean_nothing(capsys, command, option):
    assert cli.main([command[0], RAW, *command[1:], f"{option[0]}={option[1]}"]) == 1
    said = capsys.readouterr()
    assert said.out == "" and option[1] in said.err


LINE = ("gc {n} @{at:.3f}s 1%: 0.01+1.0+0.01 ms clock, 0.02+0.1/1.0/0+0.02 ms cpu, "
        "8->8->4 MB, 8 MB goal, 0 MB stacks, 0 MB globals, 2 P\n")


@pytest.fixture
def gctrace(tmp_path):
    path = tmp_path / "service.log"
    path.write_text("listening\n" + "".join(LINE.format(n=i, at=i * 0.1) for i in range(1, 8)))
    return path


def test_a_workload_under_many_settings(gctrace):
    w = goheap.Workload.from_gctrace(gctrace)
    grid = what_if(w, gogc=[50, 100, 200], memory_limit=[None, "7MiB"], seeds=1)
    gcs = {(p.gogc, p.memory_limit): p.automatic_gc.value for p in grid}
    assert gcs[50, None] > gcs[100, None] > gcs[200, None] > 0
    assert gcs[200, 7 * MIB] > gcs[200, None]
    assert all(p.peak_rss_bytes is None for p in what_if(
        goheap.Trace.from_columns(size=[64], birth_ns=[0], death_ns=[-1]), gogc=[100], seeds=1))
    # About as often as the log says: 7 collections.
    assert 4 <= gcs[100, None] <= 10
    advice = grid.advise(max_gc_cpu=0.9)
    assert advice.gogc in (50, 100, 200) and str(advice).startswith("Set GOGC=")


def test_a_log_stands_for_its_workload(gctrace, capsys):
    assert what_if(gctrace, gogc=[100], seeds=1)[0] == what_if(
        goheap.Workload.from_gctrace(gctrace), gogc=[100], seeds=1)[0]
    for args in (["replay", "--gogc", "100"], ["what-if", "--gogc", "100", "--seeds", "1"],
                 ["advise", "--max-gc-cpu", "90%", "--seeds", "1"]):
        assert cli.main([args[0], str(gctrace), *args[1:]]) == 0
        said = capsys.readouterr()
        assert "a log of gctrace" in said.err and "no bursts" in said.err.replace("without", "no")
    assert cli.main(["what-if", str(gctrace), "--recorded-gogc", "50"]) == 1
    assert "the log's goals say it" in capsys.readouterr().err


def test_a_workload_goes_to_other_processes():
    w = goheap.Workload(live="1MiB", alloc_rate="16MiB", seconds=1)
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        assert what_if(w, gogc=[100], seeds=1, executor=pool) == what_if(w, gogc=[100], seeds=1)
