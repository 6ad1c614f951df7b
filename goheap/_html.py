"""HTML and SVG for notebooks: tables and small drawings, with no library and no script.

Text from outside (type names, labels, paths) goes through escape() here and nowhere else.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

# Okabe and Ito's colours, as in goheap.plots.
BLUE, SKY, GREEN, ORANGE, RED, GREY = (
    "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#9a9a9a")


def size(n: float) -> str:
    """Bytes as a person says them: 512 KiB, 1.5 GiB."""
    for unit, scale in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if abs(n) >= scale:
            return f"{n / scale:.1f}".removesuffix(".0") + f" {unit}"
    return f"{n:.0f} B"


def duration(ns: float) -> str:
    """Nanoseconds as a person says them."""
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if abs(ns) >= scale:
            return f"{ns / scale:.3g} {unit}"
    return f"{ns:.0f} ns"


def table(rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """Rows of (name, value, ...); the first cell of each is its heading."""
    body = "".join(
        f"<tr><th style='text-align:left'>{escape(str(name))}</th>"
        + "".join(f"<td style='text-align:right'>{escape(str(v))}</td>" for v in values) + "</tr>"
        for name, *values in rows)
    head = f"<caption style='text-align:left'>{escape(caption)}</caption>" if caption else ""
    return f"<table>{head}<tbody>{body}</tbody></table>"


def details(summary: str, inner: str) -> str:
    """Something that is shown when one asks for it."""
    return f"<details><summary>{escape(summary)}</summary>{inner}</details>"


def svg(width: float, height: float, inner: str, title: str) -> str:
    """An inline drawing with a text alternative."""
    return (f"<svg xmlns='http://www.w3.org/2000/svg' role='img' viewBox='0 0 {width:g} "
            f"{height:g}' width='{width:g}' style='max-width:100%;height:auto;background:#fff' "
            f"font-family='sans-serif' font-size='11'><title>{escape(title)}</title>{inner}</svg>")


def rect(x: float, y: float, w: float, h: float, fill: str, title: str = "",
         more: str = "") -> str:
    """A box that says what it is when pointed at."""
    inner = f"<title>{escape(title)}</title>" if title else ""
    return (f"<rect x='{x:.2f}' y='{y:.2f}' width='{max(w, 0):.2f}' height='{h:.2f}' "
            f"fill='{fill}' {more}>{inner}</rect>")


def text(x: float, y: float, words: str, anchor: str = "start", fill: str = "#222") -> str:
    """Words at a place."""
    return (f"<text x='{x:.2f}' y='{y:.2f}' text-anchor='{anchor}' fill='{fill}'>"
            f"{escape(words)}</text>")


def line(points: Sequence[tuple[float, float]], color: str, width: float = 1.2,
         more: str = "") -> str:
    """A line through points of the drawing."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (f"<polyline points='{path}' fill='none' stroke='{color}' stroke-width='{width:g}' "
            f"{more}/>")


def levels(parts: Sequence[tuple[str, float, str]], title: str) -> str:
    """Levels on one bar: (name, bytes, colour), the first of them filled."""
    top = max((v for _, v, _ in parts), default=0) or 1
    inner = rect(0, 4, 400, 12, "#eeeeee")
    for i, (name, value, color) in enumerate(parts):
        x = 400 * value / top
        inner += (rect(0, 4, x, 12, color, f"{name} {size(value)}") if i == 0 else
                  rect(max(x - 1, 0), 2, 2, 16, color, f"{name} {size(value)}"))
    x = 0.0
    for name, value, color in parts:
        words = f"{name} {size(value)}"
        inner += rect(x, 23, 8, 8, color) + text(x + 11, 31, words)
        x += 22 + 6.2 * len(words)
    return svg(max(x, 402), 36, inner, title)


# ---- what results show ------------------------------------------------------------------


def heap(h: Any) -> str:
    """A heap: its settings, and where its size is between live and goal."""
    if h.closed:
        return "<p>Heap, closed</p>"
    s = h.stats()
    limit = "off" if h.memory_limit is None else size(h.memory_limit)
    rows = [("mode", h.mode), ("GOGC", "off" if h.gogc is None else h.gogc), ("limit", limit),
            ("procs", h.procs), ("collections", h.num_gc), ("phase", h.phase),
            ("clock", duration(h.now_ns)), ("objects", f"{s.heap_objects:,}"),
            ("in use, idle, given back",
             f"{size(s.heap_inuse)}, {size(s.heap_idle)}, {size(s.heap_released)}")]
    marked = h.cycles[-1].heap_marked if h.num_gc else 0
    parts = [("heap", h.heap_live, BLUE), ("live", marked, GREEN)]
    if h.heap_goal < 1 << 60:
        parts += [("trigger", h.trigger, ORANGE), ("goal", h.heap_goal, RED)]
    return levels(parts, "heap, live, trigger and goal") + table(rows, "Heap")


def mem_stats(s: Any) -> str:
    """MemStats under Go's names; the size classes are folded away."""
    names = s.go_names
    rows = []
    for name, value in s.to_dict().items():
        if name in ("pause_ns", "pause_end", "by_size", "enable_gc", "debug_gc"):
            continue
        shown = (f"{value:.3g}" if isinstance(value, float) else duration(value)
                 if name.endswith("_ns") or name == "last_gc" else f"{value:,}"
                 if name in ("mallocs", "frees", "heap_objects", "lookups", "num_gc",
                             "num_forced_gc") else size(value))
        rows.append((names[name], shown))
    sizes = [(b.size, f"{b.mallocs:,}", f"{b.frees:,}", f"{b.mallocs - b.frees:,}")
             for b in s.by_size if b.mallocs or b.frees]
    return table(rows, type(s).__name__) + details(
        "by size: mallocs, frees, live", table([("bytes", "mallocs", "frees", "live"), *sizes]))


def cycle(c: Any) -> str:
    """A collection: its stops and its marking on one bar, and its figures."""
    whole = max(c.wall_ns, 1)
    inner, x = "", 0.0
    for name, begin, end, color in (
            ("sweep termination, world stopped", c.start_ns, c.mark_start_ns, RED),
            ("marking", c.mark_start_ns, c.mark_end_ns, SKY),
            ("mark termination, world stopped", c.mark_end_ns, c.end_ns, RED)):
        w = 400 * (end - begin) / whole
        inner += rect(x, 2, w, 16, color, f"{name} {duration(end - begin)}")
        x += w
    rows = [("forced" if c.forced else "automatic", f"number {c.n}"),
            ("took", duration(c.wall_ns)), ("stops", " + ".join(map(duration, c.pause_ns))),
            ("heap at start, at end, live",
             f"{size(c.heap_start)}, {size(c.heap_end)}, {size(c.heap_marked)}"),
            ("goal", size(c.heap_goal)), ("scanned", size(c.scan_work)),
            ("assists, workers, idle workers",
             ", ".join(map(duration, (c.assist_ns, c.background_ns, c.idle_ns)))),
            ("CPU of the collector so far", f"{100 * c.gc_cpu_fraction:.2g} %")]
    return (svg(400, 20, inner, "phases of the cycle") + table(rows, "GCCycle")
            + f"<pre>{escape(str(c))}</pre>")


def replay(r: Any) -> str:
    """A replay: heap and goal over time, and its figures."""
    rows = [("of", r.path), ("GOGC", "off" if r.gogc is None else r.gogc),
            ("limit", "off" if r.memory_limit is None else size(r.memory_limit)),
            ("procs", r.procs), ("mode", r.mode), ("collections", r.automatic_gc),
            ("forced", r.forced_gc), ("peak heap", size(r.peak_heap_bytes))]
    if r.peak_rss_bytes is not None:
        rows.append(("peak resident", size(r.peak_rss_bytes)))
    rows += [("CPU of the collector", f"{100 * r.gc_cpu_fraction:.2g} %"),
             ("longest stop", duration(r.longest_pause_ns)), ("ran for", duration(r.time_ns))]
    points = [(s.t_ns, s.heap_live, s.heap_goal) for s in r.series]
    for c in r.cycles:
        points += [(c.mark_end_ns, c.heap_end, c.heap_goal), (c.end_ns, c.heap_marked, None)]
    points.sort(key=lambda p: p[0])
    drawing = ""
    if points:
        end = max(points[-1][0], 1)
        top = 1.25 * max(p[1] for p in points) or 1
        step = len(points) // 1500 + 1
        heap_line = [(400 * t / end, 98 - 90 * v / top) for t, v, _ in points[::step]]
        goal_line = [(400 * t / end, 98 - 90 * min(g / top, 1.05)) for t, _, g in points[::step]
                     if g is not None]
        drawing = svg(400, 118, line(goal_line, RED, 1) + line(heap_line, BLUE)
                      + rect(0, 104, 8, 8, BLUE) + text(11, 112, f"heap, up to {size(top / 1.25)}")
                      + rect(150, 104, 8, 8, RED) + text(161, 112, "goal")
                      + text(398, 112, duration(end), "end"), "heap and goal over time")
    return drawing + table(rows, "Replay")


def layout(info: Any) -> str:
    """A type: its words, those with pointers filled, and its fields."""
    words = -(-info.size // 8)
    shown = min(words, 64)
    inner = ""
    for i in range(shown):
        pointer = i < info.ptrdata // 8 and info.gcmask[i // 8] >> i % 8 & 1
        inner += rect(1 + 24 * (i % 16), 1 + 24 * (i // 16), 22, 18,
                      BLUE if pointer else "#e8e8e8",
                      f"bytes {8 * i} to {min(8 * i + 8, info.size)}: "
                      + ("pointer" if pointer else "no pointer"), "stroke='#777'")
    height = 24 * -(-shown // 16) + 2
    rows = [("field", "offset", "bytes", "kind"), *info.fields]
    more = f"<p>{words - shown} more words</p>" if words > shown else ""
    return (table([(f"{info.name}: {info.size} bytes, align {info.align}, pointers in the first "
                    f"{info.ptrdata}",)])
            + svg(24 * 16 + 2, height, inner, f"words of {info.name}") + more + table(rows))


def pages(runs: Any) -> str:
    """The pages of a heap as one strip: what they are used for."""
    colors = {"free": GREY, "scavenged": "#f4f4f4", "workbuf": "#CC79A7"}
    used = [r for r in runs if r.state != "reserved"]
    total = sum(r.npages for r in used)
    if not total or len(used) > 4000:
        return ""
    inner, x = "", 0.0
    for r in used:
        w = 600 * r.npages / total
        color = colors.get(r.state, ORANGE if r.state.startswith("cached") else
                           "#222222" if r.spanclass < 2 else BLUE)
        inner += rect(x, 0, w, 18, color, f"{r.state}: {r.npages} pages at {r.addr:#x}")
        x += w
    return svg(600, 18, inner, f"{total} pages by use")


def show_classes(ipython: Any) -> None:
    """Teach IPython to draw struct classes: of classes it asks no _repr_html_."""
    from .types import StructMeta, type_info
    ipython.display_formatter.formatters["text/html"].for_type(
        StructMeta, lambda cls: layout(type_info(cls)))
