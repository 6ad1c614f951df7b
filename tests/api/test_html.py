"""What notebooks show: well formed, complete, and safe whatever a name says."""
from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

import goheap as gh
from goheap import marking

EVIL = "<script>alert('x')</script>&\"'"
SVG = "{http://www.w3.org/2000/svg}"


class Node(gh.Struct):
    left: gh.Ptr["Node"]
    right: gh.Ptr["Node"]
    key: gh.int64


class Balance(HTMLParser):
    """Every element is closed by its own end; no script, no handler."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.tags = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        assert tag != "script" and not any(a.startswith("on") for a, _ in attrs), (tag, attrs)
        if tag != "input":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def shown(thing):
    """Its HTML, checked, and the words in it."""
    html = thing._repr_html_()
    b = Balance()
    b.feed(html)
    b.close()
    assert b.open == []
    for svg in re.findall(r"<svg.*?</svg>", html, re.S):
        root = ET.fromstring(svg)
        assert root.find(SVG + "title").text and root.get("role") == "img"
    return html, " ".join(b.text)


@pytest.fixture
def heap():
    with gh.Heap(mode="virtual", memory_limit="64MiB") as heap:
        yield heap


def test_heap(heap):
    kept = [heap.new(Node) for _ in range(100)]
    heap.collect()
    html, words = shown(heap)
    assert "64 MiB" in words and "virtual" in words and "collections 1" in words
    assert re.search(r"live 2\.3 KiB", words) and "goal 4 MiB" in words and len(kept) == 100
    heap.close()
    assert shown(heap)[1] == "Heap, closed"


def test_mem_stats_has_every_figure(heap):
    heap.alloc(100)
    words = shown(heap.stats())[1]
    left_out = {"PauseNs", "PauseEnd", "BySize", "EnableGC", "DebugGC"}
    for name in set(gh.MemStats.go_names.values()) - left_out:
        assert name in words, name
    assert "112 1 0 1" in words
    assert "MemStatsDiff" in shown(heap.stats() - heap.stats())[1]


def test_cycle(heap):
    cycle = heap.collect()
    html, words = shown(cycle)
    assert str(cycle).replace(">", "&gt;") in html and "marking" in words
    bar = ET.fromstring(html[:html.index("</svg>") + 6])
    widths = [float(r.get("width")) for r in bar.iter(SVG + "rect")]
    assert abs(sum(widths) - 400) < 0.1 and len(widths) == 3


def test_layout():
    html, words = shown(gh.type_info(Node))
    fills = re.findall(r"fill='(#\w+)' stroke", html)
    assert fills == ["#0072B2", "#0072B2", "#e8e8e8"]
    assert "right 8 8 Ptr[Node]" in words
    wide = gh.words("Wide", 8000, ptrs="all")
    assert "936 more words" in shown(gh.type_info(wide))[1]


def test_classes_in_ipython():
    class Formatter(dict):
        def for_type(self, cls, fn):
            self[cls] = fn

    class IPython:
        display_formatter = type("D", (), {"formatters": {"text/html": Formatter()}})

    gh.load_ipython_extension(IPython)
    (cls, fn), = IPython.display_formatter.formatters["text/html"].items()
    assert isinstance(Node, cls) and "Ptr[Node]" in fn(Node)


def test_hostile_names(heap):
    T = gh.struct("T", {EVIL: gh.Ptr})
    info = gh.type_info(T)._replace(name=EVIL)
    ref = heap.new(T)
    heap.label(ref, EVIL)
    for thing in (info, heap.snapshot(), heap.snapshot().objects,
                  marking.MarkingView(heap).run()):
        html, words = shown(thing)
        assert "<script" not in html
    assert EVIL in shown(info)[1]


# ---- the view of marking ----------------------------------------------------------------


def fills(svg):
    """The colours drawn for each label."""
    names = {"#ffffff": "white", "#a8a8a8": "grey", "#222222": "black"}
    out = {}
    for r in ET.fromstring(svg).iter(SVG + "rect"):
        title = r.find(SVG + "title").text
        out[title.partition(":")[0]] = names[r.get("fill")]
    return out


@pytest.mark.parametrize("mode", ["stw", "virtual"])
@pytest.mark.parametrize("n", [1, 2])
def test_marking_view_against_heap_color(mode, n):
    edges = {"A": ["B", "C"], "B": ["D", "A"], "C": ["D"], "D": [None, "E"], "E": ["E"],
             "X": ["Y"], "Y": ["X"], "R": ["E"]}
    with gh.Heap(gogc="off", mode=mode) as heap:
        top = heap.graph(edges, roots=["A", "R"])
        view = marking.MarkingView(heap)
        frame = view.frame

        def checked(note="", step=None):
            made = frame(note, step)
            for name in made.colors:
                assert made.colors[name] == heap.color(name), (note, name)
            assert fills(made.svg) == made.colors
            return made
        view.frame = checked
        assert view.run(n) is view
        assert view[1].colors["A"] == view[1].colors["R"] == "grey"
        assert set(view[-1].colors) == {"A", "B", "C", "D", "E", "R"}
        assert view[-2].colors == {**dict.fromkeys("ABCDER", "black"), "X": "white", "Y": "white"}
        assert "2 objects are gone (X, Y)" in view[-1].note
        steps = [f.step for f in view if f.step]
        assert sum(len(s.scanned) for s in steps) == 6
        shown(view)
        assert len(top) == 2


def test_marking_view_while_one_stores():
    """A grey object loses its pointer: the barrier greys the target."""
    with gh.Heap(gogc="off") as heap:
        top = heap.graph({"A": ["B"], "B": []}, roots=["A"])
        view = marking.MarkingView(heap)
        heap.gc_start()
        assert view.frame("start").colors == {"A": "grey", "B": "white"}
        top[0][0] = None
        assert view.frame("stored").colors == {"A": "grey", "B": "grey"}
        with pytest.raises(gh.HeapStateError, match="a cycle is running"):
            view.run()
        heap.gc_finish()
        assert [f.note for f in view] == ["start", "stored"]


def test_a_graph_too_large_to_draw(heap):
    top = heap.graph({f"n{i}": [] for i in range(61)}, roots=[f"n{i}" for i in range(61)])
    with pytest.raises(ValueError, match="61 objects are too many for a picture; at most 60"):
        marking.graph_svg(heap.snapshot(edges=True))
    assert len(top) == 61
