"""The pictures show what the figures say. Needs matplotlib; `make check-tools` has it."""
from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

pytest.importorskip("matplotlib", reason="needs matplotlib, which make check-tools installs")
import matplotlib  # noqa: E402

matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402

import goheap as gh  # noqa: E402
from goheap import plots  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TRACE = os.path.join(ROOT, "goheap/data/compile-json.gogc20.ghtrace")
Node = gh.struct("Node", next=gh.Ptr, rest=gh.fixed(gh.int64, 5))
MIB = 1 << 20


@pytest.fixture(autouse=True)
def no_open_figures():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def replay():
    return gh.replay(TRACE, gogc=100, memory_limit="64MiB", mode="virtual", series="even")


@pytest.fixture(scope="module")
def experiment():
    """A heap with cycles, its log of spans and a snapshot."""
    rnd = random.Random(3)
    heap = gh.Heap(mode="virtual", procs=4)
    kept = []
    with heap.watch("span") as log:
        for _ in range(60000):
            k = rnd.random()
            made = (heap.new(Node) if k < 0.5 else heap.alloc(int(rnd.expovariate(1 / 300)))
                    if k < 0.999 else heap.alloc(rnd.randrange(40000, 200000)))
            if rnd.random() < 0.2:
                kept.append(made)
            if len(kept) > 3000:
                kept[rnd.randrange(len(kept))] = kept.pop()
        snap = heap.snapshot()
    yield heap, log, snap
    heap.close()


def line(ax, label):
    return next(x for x in ax.get_lines() if x.get_label() == label)


def boxes(ax, label):
    return next(c for c in ax.collections if c.get_label() == label).get_paths()


def test_every_plot_is_in_the_registry_and_says_what_it_needs():
    files = {f[:-3] for f in os.listdir(os.path.dirname(plots.__file__))
             if f.endswith(".py") and not f.startswith("_")}
    assert files == set(plots.PLOTS)
    for p in plots.PLOTS.values():
        assert p.title and p.needs and len(p.info) > 40


def test_a_plot_of_ones_own():
    mine = plots.Plot("mine", "Mine", "anything", "nothing", lambda data, ax: (data, ax))
    plots.register(mine)
    try:
        assert plots.draw("mine", 7) == (7, None)
        with pytest.raises(ValueError, match="'mine' already"):
            plots.register(mine)
    finally:
        del plots._plots["mine"]


def test_heap(replay):
    ax = replay.plot()
    drawn = line(ax, "heap").get_ydata()
    assert max(drawn) * MIB == max(max(c.heap_start, c.heap_end) for c in replay.cycles)\
        or max(drawn) * MIB == max(s.heap_live for s in replay.series)
    assert len(boxes(ax, "marking")) == len(replay.cycles)
    goal = line(ax, "goal").get_ydata()
    assert [round(g * MIB) for g in goal[:-1]] == [c.heap_goal for c in replay.cycles]
    assert list(line(ax, "limit").get_ydata()) == [64, 64]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("seconds", "MiB")
    assert "GOGC=100, GOMEMLIMIT=64 MiB" in ax.get_title(loc="left")
    assert ax.get_ylim()[1] >= max(drawn)


def test_heap_of_a_heap_and_of_cycles(experiment):
    heap = experiment[0]
    a, b = heap.plot(), plots.draw("heap", list(heap.cycles))
    assert list(line(a, "heap").get_ydata()) == list(line(b, "heap").get_ydata())
    assert len(boxes(a, "marking")) == heap.num_gc > 1


def test_pauses(replay):
    ax = replay.plot("pauses")
    both = [t for t in ax.get_lines() if "termination" in t.get_label()]
    assert [len(t.get_ydata()) for t in both] == [len(replay.cycles)] * 2
    assert [list(t.get_ydata()) for t in both] == [
        [c.pause_ns[i] / 1e3 for c in replay.cycles] for i in range(2)]
    assert ax.get_yscale() == "log"


def test_nothing_to_see_is_said():
    with gh.Heap(costs=gh.Costs(stop=0)) as heap:
        heap.collect()
        ax = heap.plot("pauses")
    assert [t.get_text() for t in ax.texts] == ["no stop and no assist took time"]
    with gh.Heap() as heap:
        for name in ("heap", "pauses", "pacer"):
            heap.plot(name).figure.canvas.draw()
        for name in ("pages", "size_classes"):
            heap.snapshot().plot(name).figure.canvas.draw()


def test_pacer(replay):
    ax = replay.plot("pacer")
    share = line(ax, "CPU of the collector so far").get_ydata()
    assert list(share) == [100 * c.gc_cpu_fraction for c in replay.cycles]
    ratio = ax.figure.axes[1].get_lines()[0].get_ydata()
    assert list(ratio) == [c.cons_mark for c in replay.cycles]


def test_fragmentation(replay):
    ax = replay.plot("fragmentation")
    top = max(p.vertices[:, 1].max() for c in ax.collections for p in c.get_paths())
    kept = max(s.heap_inuse + s.heap_free for s in replay.series)
    assert abs(top * MIB - kept) <= 0.01 * kept


def test_size_classes(experiment):
    snap = experiment[2]
    ax = snap.plot("size_classes")
    whole = sum(p.get_width() for c in ax.containers for p in c) * MIB
    assert abs(whole - sum(s.npages for s in snap.spans) * 8192) < 1000


def test_pages(experiment):
    snap = experiment[2]
    ax = snap.plot()
    image = ax.images[0].get_array()
    black = (abs(image - [0x22 / 255] * 3) < 1e-6).all(axis=2).sum()
    large = sum(s.npages for s in snap.spans if s.spanclass < 2)
    assert black == large > 0
    pages = sum(r.npages for r in snap.pages if r.state != "reserved")
    assert image.shape[0] * image.shape[1] >= pages > (image.shape[0] - 1) * image.shape[1]


def test_pages_of_a_large_heap():
    with gh.Heap(gogc="off") as heap:
        held = heap.new_many(Node, 3_000_000)
        ax = heap.snapshot(objects=False).plot()
        image = ax.images[0].get_array()
    assert image.shape[0] <= 96 and "pages a cell" in ax.get_title(loc="left")
    assert len(held) == 3_000_000


def test_page_history(experiment):
    log = experiment[1]
    ax = log.plot()
    taken = sum(e.kind == "span" and e.note == "taken" for e in log)
    assert len(ax.collections[0].get_paths()) == taken
    top = max(e.addr + e.size * 8192 for e in log) - min(e.addr for e in log)
    assert abs(ax.get_ylim()[1] * MIB - top) < 1


@pytest.fixture(scope="module")
def grid():
    return gh.what_if(TRACE, gogc=(100, 400), memory_limit=("off", "40MiB"), seeds=2)


def texts(ax):
    return [t.get_text() for t in ax.texts]


def test_settings_map(grid):
    ax = plots.draw("settings_map", grid)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["100", "400"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["off", "40 MiB"]
    cells = ax.images[0].get_array()
    for p in grid:
        x, y = (100, 400).index(p.gogc), int(p.memory_limit is not None)
        assert float(cells[y, x]) == pytest.approx(100 * p.gc_cpu_fraction.value)
    i = grid[0].automatic_gc
    ax = grid.plot("settings_map", figure="automatic_gc")
    assert f"{i.value:.0f}\n{i.low:.0f} to {i.high:.0f}" in texts(ax)
    framed = sum(r.get_edgecolor()[0] > 0.5 for r in ax.patches)
    assert framed == sum(p.memory_limit is not None and p.memory_limit <= (
        grid.cliff(p.gogc) or 0) or p.limited for p in grid)
    with pytest.raises(ValueError, match="figure must be one of gc_cpu_fraction, .*not 'heat'"):
        grid.plot("settings_map", figure="heat")


def test_pareto(grid):
    advice = grid.advise(max_rss="120MiB")
    ax = grid.plot("pareto", advice=advice)
    drawn = {(round(x, 3), round(y, 3)) for c in ax.containers
             for x, y in zip(*c[0].get_data())}
    assert drawn == {(round(p.peak_rss_bytes.value / MIB, 3),
                      round(100 * p.gc_cpu_fraction.value, 3)) for p in grid}
    ring = line(ax, f"advised: {advice.prediction.setting}")
    assert ring.get_xdata()[0] == advice.prediction.peak_rss_bytes.value / MIB
    front = line(ax, "none is better in both")
    assert list(front.get_ydata()) == sorted(front.get_ydata(), reverse=True)


def test_predicted(grid):
    real = [{"gogc": 100, "automatic_gc": [8, 9, 8], "max_rss_kib": [70_000, 71_000, 70_500]},
            {"gogc": 400, "automatic_gc": [50, 51, 52]}]
    ax = plots.draw("predicted", (grid, real))
    assert list(line(ax, "real runs").get_ydata()) == [8, 8, 9]
    lies = [i.low <= m <= i.high for i, m in (
        (p.automatic_gc, {100: 8, 400: 51}[p.gogc]) for p in grid if p.memory_limit is None)]
    assert f"{sum(lies)} of 2 real medians" in ax.get_title(loc="left") and not all(lies)
    ax = plots.draw("predicted", (grid, real), figure="peak_rss_bytes")
    assert "of 1 real medians" in ax.get_title(loc="left")
    with pytest.raises(TypeError, match="is needed, not 'WhatIf'"):
        plots.draw("predicted", grid)


def test_lifetimes():
    trace = gh.Trace.from_columns(size=[16, 16, 48, 4096], birth_ns=[0, 10, 20, 30],
                                  death_ns=[2_000, 5_000_010, 2_000_000_020, -1])
    ax = plots.draw("lifetimes", trace)
    objects = [b.get_height() for b in ax.containers[0]]
    assert objects[0] == 25 and sum(objects) == 75 and sum(h > 0 for h in objects) == 3
    alive = [p.get_height() for c in ax.containers for p in c if p.get_x() > len(objects)]
    assert alive == pytest.approx([25, 100 * 4096 / 4176])
    with pytest.raises(TypeError, match="a Trace, or its events is needed, not 'int'"):
        plots.draw("lifetimes", 3)


def test_long_lines_keep_their_peaks():
    from goheap.plots._common import MOST_POINTS, thin
    y = [0.0] * 100_000
    y[77_777] = 5.0
    x, thinned = thin(range(100_000), y)
    assert len(x) <= MOST_POINTS + 2 and max(thinned) == 5.0 and x[thinned.index(5.0)] == 77_777
    assert list(x) == sorted(x)


def test_wrong_data_and_axes(replay, experiment):
    with pytest.raises(ValueError, match="no plot 'heat'; there are heap, pauses"):
        replay.plot("heat")
    with pytest.raises(TypeError, match="ax must be a matplotlib Axes or None, not 'int'"):
        replay.plot(ax=3)
    for name in ("heap", "pauses", "pacer", "fragmentation"):
        with pytest.raises(TypeError, match="needed, not 'int'"):
            plots.draw(name, 3)
    with pytest.raises(ValueError, match="no column 'heap_inuse'; it has t_ns, heap_live"):
        with experiment[0].record("cycle", "heap_live") as table:
            experiment[0].collect()
        plots.draw("fragmentation", table)


def test_into_axes_of_ones_own(replay):
    _, axes = pyplot.subplots(1, 2)
    assert replay.plot("heap", axes[0]) is axes[0]
    assert replay.plot("pauses", axes[1]) is axes[1]
    assert pyplot.get_fignums() == [1]


def test_the_guide_is_made_anew(tmp_path):
    page = "choosing-gomemlimit"
    subprocess.run([sys.executable, os.path.join(ROOT, "docs", "make_guide.py"), tmp_path],
                   check=True)
    assert (tmp_path / f"{page}.png").stat().st_size > 10_000
    made = (tmp_path / f"{page}.md").read_text(encoding="utf-8")
    with open(os.path.join(ROOT, "docs", f"{page}.md"), encoding="utf-8") as f:
        there = f.read()
    assert [line for line in made.splitlines() if line.startswith("goheap ")] == \
        [line for line in there.splitlines() if line.startswith("goheap ")]
    assert "\nSet GOGC=" in made and "\nrecorded setting: " in made


def test_import_goheap_pulls_in_none_of_it():
    code = ("import sys; before = set(sys.modules); import goheap; "
            "print(*sorted({m.partition('.')[0] for m in set(sys.modules) - before}))")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    more = set(out.stdout.split()) - sys.stdlib_module_names
    assert more <= {"goheap"}
