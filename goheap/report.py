"""One self-contained HTML page about a replay, a what-if or a heap (extra ``report``: plotly).

The page opens from disk without a network: plotly's own script is in it. Everything that
comes from a file or a program, type names and paths, is escaped: in markup by escape(), in
scripts by _script_json(), and a policy in the page's head forbids it to load anything.
"""
from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from html import escape
from typing import Any, NamedTuple

from ._html import duration, size
from .aliases import Path
from .plots._common import (BLUE, GREEN, GREY, MIB, ORANGE, PURPLE, RED, SKY, YELLOW, class_label,
                            thin)
from .replay import Replay
from .stats import GCCycle
from .whatif import Advice, WhatIf

__all__ = ["write"]

MOST_ROWS = 500  # of a table: a page is to be read
MOST_TYPES = 30
_SHADED = 150    # cycles that are shaded; more would be a carpet
_FONT = {"family": "system-ui, sans-serif", "size": 13, "color": "#222"}


class Chart(NamedTuple):
    """A plotly figure and what stands in for it: words, and a table of its figures.

    choices: (name, numbers of the traces that are seen, title of the y axis), one at a time.
    """

    title: str
    words: str
    traces: list[dict[str, Any]]
    layout: dict[str, Any]
    table: str
    choices: Sequence[tuple[str, list[int], str]] = ()


# ---- markup -------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    body = "".join("<tr>" + "".join(
        f"<th scope='row'>{escape(str(c))}</th>" if i == 0 else f"<td>{escape(str(c))}</td>"
        for i, c in enumerate(row)) + "</tr>" for row in rows)
    top = "".join(f"<th scope='col'>{escape(h)}</th>" for h in head)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (f"<div class='scroll' tabindex='0' role='region' aria-label='table'><table>{title}"
            f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>")


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def _paragraph(words: str) -> str:
    return f"<p>{escape(words)}</p>"


def _script_json(value: object) -> str:
    # No "<" can end the script, and no line separator the string.
    text = json.dumps(value, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _words(text: str) -> str:
    """Text for plotly, which reads some markup in labels."""
    return escape(text, quote=False)


_STYLE = """
:root{color-scheme:light}
body{font:16px/1.5 system-ui,sans-serif;color:#1c1c1c;background:#fff;margin:0 auto;
 padding:1rem;max-width:62rem}
h1{font-size:1.6rem;line-height:1.2}h2{font-size:1.25rem;margin-top:2rem;
 border-bottom:1px solid #767676}h3{font-size:1.05rem;margin-bottom:.3rem}
table{border-collapse:collapse;font-size:.95rem}th,td{padding:.2rem .6rem;text-align:right}
th[scope=row],caption,thead th:first-child{text-align:left}thead th{border-bottom:1px solid #767676}
tbody tr:nth-child(even){background:#f3f3f3}.scroll{overflow-x:auto}
.scroll:focus-visible,summary:focus-visible,select:focus-visible,a:focus-visible{
 outline:3px solid #0072B2;outline-offset:2px}
figure{margin:1.2rem 0}figcaption{margin:.2rem 0 .5rem}.chart{width:100%;height:24rem}
pre,code{font-size:.9rem;overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere}
select{font:inherit;padding:.25rem}.lead{font-size:1.1rem}
p,li,td,th{overflow-wrap:anywhere}td,th{overflow-wrap:normal}
@media (max-width:30rem){body{padding:.7rem}.chart{height:19rem}}
@media print{body{max-width:none}label.choice,details:not([open]){display:none}
 section,figure{break-inside:avoid}}
"""

_SCRIPT = """
for (const c of CHARTS) {
  const div = document.getElementById(c.id);
  const narrow = matchMedia('(max-width:30rem)').matches;
  if (narrow) Object.assign(c.layout.margin, {l: 48, r: 8});
  Plotly.newPlot(div, c.traces, c.layout, {responsive: true, displaylogo: false,
    displayModeBar: !narrow, modeBarButtonsToRemove: ['lasso2d', 'select2d']});
  const choice = document.getElementById(c.id + '-choice');
  if (choice) choice.addEventListener('change', () => {
    const [, seen, title] = c.choices[choice.selectedIndex];
    Plotly.update(div, {visible: c.traces.map((_, i) => seen.includes(i))},
                  {'yaxis.title.text': title});
  });
}
addEventListener('beforeprint', () => { for (const c of CHARTS) {
  const d = document.getElementById(c.id); Plotly.relayout(d, {width: 680}); } });
addEventListener('afterprint', () => { for (const c of CHARTS) {
  const d = document.getElementById(c.id); Plotly.relayout(d, {width: null, autosize: true}); } });
"""


def _page(title: str, lead: str, sections: Sequence[str], charts: Sequence[Chart]) -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as e:
        raise ImportError("goheap.report needs plotly: pip install 'goheap[report]'",
                          name=e.name) from e
    data = [{"id": f"chart{i}", "traces": c.traces, "layout": c.layout, "choices": c.choices}
            for i, c in enumerate(charts)]
    policy = ("default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
              "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'")
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<link rel='icon' href='data:,'><title>{escape(title)}</title>"
        f"<style>{_STYLE}</style></head><body><header><h1>{escape(title)}</h1>"
        f"<p class='lead'>{escape(lead)}</p></header><main>{''.join(sections)}</main>"
        f"<script>{get_plotlyjs()}</script>"
        f"<script>const CHARTS = {_script_json(data)};{_SCRIPT}</script></body></html>\n")


def _figures(charts: Sequence[Chart], first: int) -> str:
    out = []
    for i, c in enumerate(charts, first):
        choice = ""
        if c.choices:
            options = "".join(f"<option>{escape(name)}</option>" for name, _, _ in c.choices)
            choice = (f"<label class='choice'>Show <select id='chart{i}-choice'>{options}"
                      "</select></label>")
        out.append(f"<figure aria-labelledby='chart{i}-words'><h3>{escape(c.title)}</h3>"
                   f"<figcaption id='chart{i}-words'>{escape(c.words)}</figcaption>{choice}"
                   f"<div class='chart' id='chart{i}' role='img' aria-label='"
                   f"{escape(c.title)}'></div><details><summary>The figures as a table</summary>"
                   f"{c.table}</details></figure>")
    return "".join(out)


def _layout(x: str, y: str, **more: Any) -> dict[str, Any]:
    axis = {"gridcolor": "#e3e3e3", "zeroline": False, "automargin": True}
    return {"font": _FONT, "paper_bgcolor": "#fff", "plot_bgcolor": "#fff",
            "margin": {"l": 60, "r": 20, "t": 10, "b": 45}, "hovermode": "x unified",
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
            "xaxis": {**axis, "title": {"text": x}},
            "yaxis": {**axis, "title": {"text": y}, "rangemode": "tozero"}, **more}


def _line(name: str, x: Sequence[float], y: Sequence[float | None], color: str,
          **more: Any) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "name": _words(name), "x": list(x), "y": list(y),
            "line": {"color": color, "width": 1.6}, **more}


# ---- a replay, a heap -----------------------------------------------------------------------


def _heap_chart(data: Any) -> Chart:
    from .plots.heap import _line as heap_line

    cycles = list(data.cycles)
    t, heap = heap_line(data)
    t, heap = thin(t, heap) if t else (t, heap)
    end = t[-1] if t else 0.0
    traces = [_line("heap", t, heap, BLUE, fill="tozeroy", fillcolor="rgba(0,114,178,0.12)")]
    top = max(heap, default=1.0)
    shapes = []
    if cycles:
        x = [c.end_ns / 1e9 for c in cycles] + [end]
        live = [c.heap_marked / MIB for c in cycles]
        traces.append(_line("live", x, [*live, live[-1]], GREEN, line={
            "color": GREEN, "width": 1.6, "shape": "hv"}))
        goal = [c.heap_goal / MIB for c in cycles]
        x = [0.0, *(c.end_ns / 1e9 for c in cycles)]
        traces.append(_line("goal", x, [*goal, goal[-1]], RED, line={
            "color": RED, "width": 1.4, "shape": "hv"}))
        if len(cycles) <= _SHADED:
            shapes = [{"type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1,
                       "x0": c.mark_start_ns / 1e9, "x1": c.mark_end_ns / 1e9,
                       "fillcolor": SKY, "opacity": 0.3, "line": {"width": 0}, "layer": "below"}
                      for c in cycles]
    limit = None if data.memory_limit is None else data.memory_limit / MIB
    if limit is not None and limit < 1.6 * top:
        traces.append(_line("limit", [0, end], [limit] * 2, GREY, line={
            "color": GREY, "width": 1.4, "dash": "dash"}))
        top = max(top, limit)
    layout = _layout("seconds", "MiB", shapes=shapes)
    layout["yaxis"]["range"] = [0, 1.15 * top]
    shaded = " Shaded: the collector marks." if shapes else ""
    rows = [(c.n, f"{c.start_ns / 1e9:.3f}", size(c.heap_start), size(c.heap_end),
             size(c.heap_marked), size(c.heap_goal), "forced" if c.forced else "")
            for c in cycles[:MOST_ROWS]]
    return Chart("Heap over time",
                 f"The heap rises while the program allocates and falls to what lives when one of "
                 f"the {len(cycles)} collections ends; the goal says where a collection should "
                 f"be done.{shaded}", traces, layout,
                 _table(("cycle", "start s", "heap at start", "at end", "live", "goal", ""), rows))


_OF_A_CYCLE: tuple[tuple[str, str, Callable[[GCCycle], float], str], ...] = (
    ("stop: sweep termination", "µs", lambda c: c.pause_ns[0] / 1e3, BLUE),
    ("stop: mark termination", "µs", lambda c: c.pause_ns[1] / 1e3, RED),
    ("assists, all Ps", "µs", lambda c: c.assist_ns / 1e3, GREEN),
    ("marking took", "ms", lambda c: (c.mark_end_ns - c.mark_start_ns) / 1e6, SKY),
    ("scanned", "MiB", lambda c: c.scan_work / MIB, ORANGE),
    ("live heap", "MiB", lambda c: c.heap_marked / MIB, PURPLE),
    ("CPU of the collector so far", "% of CPU", lambda c: 100 * c.gc_cpu_fraction, RED),
)


def _cycles_chart(data: Any) -> Chart:
    cycles = list(data.cycles)
    x = [c.end_ns / 1e9 for c in cycles]
    traces = []
    for i, (name, unit, figure, color) in enumerate(_OF_A_CYCLE):
        traces.append(_line(name, x, [figure(c) for c in cycles], color, mode="lines+markers",
                            visible=i == 0, hovertemplate=f"%{{y:.4g}} {unit}"))
    longest = max((p for c in cycles for p in c.pause_ns), default=0)
    rows = [(c.n, *(f"{figure(c):.4g}" for _, _, figure, _ in _OF_A_CYCLE))
            for c in cycles[:MOST_ROWS]]
    return Chart("Each collection", f"One figure of every collection; the longest stop of all "
                 f"took {duration(longest)}.", traces, _layout("seconds", "µs"),
                 _table(("cycle", *(f"{n}, {u}" for n, u, _, _ in _OF_A_CYCLE)), rows),
                 [(name, [i], unit) for i, (name, unit, _, _) in enumerate(_OF_A_CYCLE)])


def _memory_chart(r: Any) -> Chart:
    from .plots._common import series_of

    t, inuse, live, marked, free = thin(*series_of(
        r, "t_ns", "heap_inuse", "heap_live", "heap_marked", "heap_free"))
    kept = [min(m, n) for m, n in zip(marked, live)]
    parts = (("live at the last collection", kept, GREEN),
             ("allocated since", [max(n - k, 0) for n, k in zip(live, kept)], BLUE),
             ("in spans, but empty", [max(i - n, 0) for i, n in zip(inuse, live)], ORANGE),
             ("free pages", free, SKY))
    x = [v / 1e9 for v in t]
    traces = [_line(name, x, [b / MIB for b in part], color, stackgroup="one",
                    line={"color": color, "width": 0}, fillcolor=color) for name, part, color
              in parts]
    step = max(len(t) // 40, 1)
    rows = [(f"{x[i]:.3f}", *(size(part[i]) for _, part, _ in parts))
            for i in range(0, len(t), step)]
    return Chart("What the heap keeps", "Memory of the heap that was not given back to the "
                 "system, by what it is used for.", traces, _layout("seconds", "MiB"),
                 _table(("seconds", *(p[0] for p in parts)), rows))


def _settings(rows: Sequence[tuple[str, object]]) -> str:
    return _table(("setting", "value"), rows)


def _costs(costs: Any) -> tuple[tuple[str, object], ...]:
    if costs is None:
        return ()
    return tuple((f"price: {f.name}", f"{getattr(costs, f.name):g} ns") for f in fields(costs))


def _replay_parts(r: Replay) -> tuple[str, list[str], list[Chart]]:
    limit = "off" if r.memory_limit is None else size(r.memory_limit)
    gogc = "off" if r.gogc is None else str(r.gogc)
    rss = "" if r.peak_rss_bytes is None else f", peak resident {size(r.peak_rss_bytes)}"
    lead = (f"{r.automatic_gc} collections at GOGC={gogc}, limit {limit}: peak heap "
            f"{size(r.peak_heap_bytes)}{rss}, the collector took "
            f"{100 * r.gc_cpu_fraction:.2g} % of the CPU.")
    asked = _section("What was asked", _settings([
        ("recording", r.path), ("GOGC", gogc), ("memory limit", limit), ("procs", r.procs),
        ("mode", r.mode), ("deaths", r.deaths), ("seed", r.seed),
        *_costs(getattr(r, "costs", None))]))
    found = _section("What came out", _table(("figure", "value"), [
        ("collections", f"{r.automatic_gc} automatic, {r.forced_gc} forced"),
        ("peak heap at a collection", size(r.peak_heap_bytes)),
        ("peak resident", "not recorded" if r.peak_rss_bytes is None else size(r.peak_rss_bytes)),
        ("CPU of the collector", f"{100 * r.gc_cpu_fraction:.3g} %"),
        ("longest stop", duration(r.longest_pause_ns)), ("program ran", duration(r.time_ns)),
        ("objects", f"{r.objects:,} of {size(r.bytes)}")]))
    charts = [_heap_chart(r), _cycles_chart(r)] + ([_memory_chart(r)] if len(r.series) else [])
    flags = [f"--gogc {gogc}", "--memory-limit " + ("off" if r.memory_limit is None else
                                                    str(r.memory_limit)),
             f"--procs {r.procs}", f"--mode {r.mode}", f"--deaths {r.deaths}", f"--seed {r.seed}"]
    repeat = _repeat(f"goheap replay {r.path} {' '.join(flags)}")
    return lead, [asked, found, "", *_by_type(r), repeat], charts


def _by_type(r: Replay) -> list[str]:
    """The types that most was allocated of, if the replay sampled them."""
    if r.profile is None:
        return []
    sums: dict[str, list[int]] = {}
    for p in r.profile.rows:
        whole = sums.setdefault(p.type or "unknown", [0, 0, 0])
        whole[:] = (whole[0] + p.alloc_bytes, whole[1] + p.alloc_objects, whole[2] + p.inuse_bytes)
    rows = sorted(sums.items(), key=lambda row: -row[1][0])
    shown = [(name, size(a), f"{n:,}", size(i)) for name, (a, n, i) in rows[:MOST_TYPES]]
    return [_section(
        "By type", _paragraph(
            f"An estimate: one allocation in about {size(r.profile.rate)} was sampled. "
            f"{len(shown)} of {len(rows)} types, the greatest first."),
        _table(("type", "allocated", "objects", "in use at the last collection"), shown))]


def _heap_parts(h: Any) -> tuple[str, list[str], list[Chart]]:
    stats = h.stats()
    gogc = "off" if h.gogc is None else str(h.gogc)
    lead = (f"{h.num_gc} collections, {stats.heap_objects:,} objects of "
            f"{size(stats.heap_alloc)} now.")
    asked = _section("What was asked", _settings([
        ("mode", h.mode), ("GOGC", gogc),
        ("memory limit", "off" if h.memory_limit is None else size(h.memory_limit)),
        ("procs", h.procs), ("policy", repr(h.policy)), *_costs(h.costs)]))
    names = stats.go_names
    figures = [(names[k], f"{v:,}" if isinstance(v, int) else f"{v:.4g}")
               for k, v in stats.to_dict().items()
               if not isinstance(v, (bool, list))]
    found = _section("MemStats", _table(("figure", "value"), figures))
    snap = h.snapshot()
    types = _section("By type", _table(("type", "objects", "bytes asked for", "bytes of slots"),
                                       [(r.key or "unknown", f"{r.objects:,}", f"{r.size:,}",
                                         f"{r.bytes:,}") for r in snap.census()][:MOST_ROWS]))
    charts = [_occupancy_chart(snap)]
    if h.num_gc:
        charts = [_heap_chart(h), _cycles_chart(h), *charts]
    return lead, [asked, found, types, "", _repeat("goheap report is of a heap of a program: "
                                                   "run the program again")], charts


def _occupancy_chart(snap: Any) -> Chart:
    rows = sorted(snap.occupancy(), key=lambda r: r.used * r.elemsize + r.free)[-40:]
    labels = [_words(class_label(r.spanclass, r.elemsize)) for r in rows]
    whole = {r.spanclass: 0 for r in rows}
    for s in snap.spans:
        if s.spanclass in whole:
            whole[s.spanclass] += s.npages * 8192
    used = [whole[r.spanclass] - r.rounding - r.free - r.tails for r in rows]
    parts = (("asked for", used, BLUE), ("rounding", [r.rounding for r in rows], ORANGE),
             ("free slots", [r.free for r in rows], SKY), ("tails", [r.tails for r in rows],
                                                           YELLOW))
    traces = [{"type": "bar", "orientation": "h", "name": name, "y": labels,
               "x": [v / MIB for v in values], "marker": {"color": color}}
              for name, values, color in parts]
    layout = _layout("MiB", "slot size", barmode="stack")
    layout["hovermode"] = "y unified"
    layout["yaxis"] |= {"type": "category"}
    table = _table(("slot size", "spans", "slots", "used", "rounding", "free", "tails"),
                   [(class_label(r.spanclass, r.elemsize), r.spans, r.slots, r.used,
                     size(r.rounding), size(r.free), size(r.tails)) for r in reversed(rows)])
    return Chart("Size classes", "Where the bytes of each size class are.", traces, layout, table)


# ---- a what-if --------------------------------------------------------------------------------


def _limit_name(limit: int | None) -> str:
    return "off" if limit is None else size(limit)


def _gogc_name(gogc: int | None) -> str:
    return "off" if gogc is None else str(gogc)


def _between(i: Any, scale: float, form: str) -> str:
    if i is None:
        return "not recorded"
    return (f"{i.value / scale:{form}} ({i.low / scale:{form}} to {i.high / scale:{form}})")


def _map_chart(w: WhatIf) -> Chart:
    from .plots.settings_map import FIGURES

    top = 1 << 62
    columns = sorted({top if p.gogc is None else p.gogc for p in w})
    rows = sorted({top if p.memory_limit is None else p.memory_limit for p in w})
    x = ["off" if c == top else str(c) for c in columns]
    y = ["off" if r == top else size(r) for r in rows]
    traces: list[dict[str, Any]] = []
    choices: list[tuple[str, list[int], str]] = []
    for name, (title, scale, unit, form) in FIGURES.items():
        values: list[list[float | None]] = [[None] * len(x) for _ in y]
        words = [[""] * len(x) for _ in y]
        for p in w:
            i = getattr(p, name)
            at = (rows.index(top if p.memory_limit is None else p.memory_limit),
                  columns.index(top if p.gogc is None else p.gogc))
            words[at[0]][at[1]] = _between(i, scale, form).replace(" (", "<br>").rstrip(")")
            if i is not None:
                values[at[0]][at[1]] = i.value / scale
        choices.append((title, [len(traces)], "GOMEMLIMIT"))
        traces.append({"type": "heatmap", "x": x, "y": y, "z": values, "text": words,
                       "texttemplate": "%{text}", "colorscale": "Cividis", "xgap": 2, "ygap": 2,
                       "hovertemplate": "GOGC=%{x}, limit %{y}: %{text} " + unit
                       + "<extra></extra>", "visible": not traces, "colorbar": {"title": {
                           "text": unit}, "thickness": 12}})
    layout = _layout("GOGC", "GOMEMLIMIT")
    layout["hovermode"] = "closest"
    layout["xaxis"]["type"] = layout["yaxis"]["type"] = "category"
    del layout["yaxis"]["rangemode"]
    return Chart("The settings", "One figure under every setting, with the interval in which it "
                 "should lie.", traces, layout, _predictions(w), choices)


def _pareto_chart(w: WhatIf, advice: Advice | None) -> Chart:
    def memory(p: Any) -> Any:
        return p.peak_heap_bytes if p.peak_rss_bytes is None else p.peak_rss_bytes

    def bars(intervals: Sequence[Any], scale: float) -> dict[str, Any]:
        return {"type": "data", "symmetric": False, "thickness": 0.8, "width": 3,
                "array": [(i.high - i.value) / scale for i in intervals],
                "arrayminus": [(i.value - i.low) / scale for i in intervals]}

    kinds: dict[bool, list[Any]] = {False: [], True: []}
    for p in w:
        cliff = w.cliff(p.gogc, p.procs)
        kinds[p.limited or (cliff is not None and p.memory_limit is not None
                            and p.memory_limit <= cliff)].append(p)
    traces: list[dict[str, Any]] = []
    for bad, name, color in ((False, "setting", BLUE), (True, "thrashes", RED)):
        some = kinds[bad]
        if some:
            traces.append({
                "type": "scatter", "mode": "markers", "name": name,
                "marker": {"color": color, "size": 8}, "text": [_words(p.setting) for p in some],
                "x": [memory(p).value / MIB for p in some],
                "y": [100 * p.gc_cpu_fraction.value for p in some],
                "error_x": {**bars([memory(p) for p in some], MIB), "color": color},
                "error_y": {**bars([p.gc_cpu_fraction for p in some], 0.01), "color": color},
                "hovertemplate": "%{text}<br>%{x:.1f} MiB, %{y:.2f} % of CPU<extra></extra>"})
    if advice is not None:
        p = advice.prediction
        traces.append({"type": "scatter", "mode": "markers", "name": _words(
            f"advised: {p.setting}"), "x": [memory(p).value / MIB],
            "y": [100 * p.gc_cpu_fraction.value], "marker": {
                "color": "rgba(0,0,0,0)", "size": 18, "line": {"color": GREEN, "width": 3}}})
    layout = _layout("peak memory, MiB", "% of CPU")
    layout["hovermode"] = "closest"
    return Chart("Memory against CPU", "What each setting costs; further left is less memory, "
                 "lower is less CPU. A bar is the interval in which the figure should lie.",
                 traces, layout, _predictions(w))


def _predictions(w: WhatIf) -> str:
    return _table(("GOGC", "limit", "procs", "collections", "peak heap MiB", "peak resident MiB",
                   "GC CPU %", ""), [
        (_gogc_name(p.gogc), _limit_name(p.memory_limit), p.procs,
         _between(p.automatic_gc, 1, ".0f"), _between(p.peak_heap_bytes, MIB, ".1f"),
         _between(p.peak_rss_bytes, MIB, ".1f"), _between(p.gc_cpu_fraction, 0.01, ".2g"),
         ", ".join(n for n, on in (("limited", p.limited), ("extrapolated", p.extrapolated))
                   if on)) for p in w][:MOST_ROWS])


def _calibrated(name: str, value: float) -> str:
    if name.endswith("_error"):
        return f"{100 * value:+.1f} %"
    return size(value) if name.startswith("peak") else f"{value:.4g}"


def _whatif_parts(w: WhatIf, advice: Advice | None) -> tuple[str, list[str], list[Chart]]:
    lead = str(advice) if advice is not None else (
        f"{len(w)} settings of one recorded program, each replayed with {w.seeds} seeds.")
    gogc = list(dict.fromkeys(_gogc_name(p.gogc) for p in w))
    limits = list(dict.fromkeys("off" if p.memory_limit is None else str(p.memory_limit)
                                for p in w))
    asked = _section("What was asked", _settings([
        ("recording", w.source), ("GOGC", ", ".join(gogc)),
        ("memory limit", ", ".join(dict.fromkeys(_limit_name(p.memory_limit) for p in w))),
        ("procs", ", ".join(dict.fromkeys(str(p.procs) for p in w))), ("seeds", w.seeds),
        *_costs(w.costs)]))
    calibration = _section(
        "How far to trust it", _paragraph(
            "The recorded setting was replayed first, and held against what the recording says "
            "of itself. The prices were fitted there; nothing of other settings was used."),
        _table(("figure", "value"), [(k.replace("_", " "), _calibrated(k, v))
                                     for k, v in w.calibration.items()]))
    given = [calibration]
    if advice is not None:
        given.append(_section("Advice", f"<blockquote>{escape(str(advice))}</blockquote>"))
    charts = [_map_chart(w), _pareto_chart(w, advice)]
    repeat = _repeat(f"goheap what-if {w.source} --gogc {','.join(gogc)} "
                     f"--memory-limit {','.join(limits)} --seeds {w.seeds}")
    return lead, [asked, *given, "", repeat], charts


# ---- putting it together ----------------------------------------------------------------------


def _repeat(command: str) -> str:
    from . import GO_VERSION, __version__
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return _section("How to repeat it", f"<pre>{escape(command)}</pre>",
                    _paragraph(f"Made by goheap {__version__}, which imitates {GO_VERSION}, "
                               f"on {now}."))


def html(source: Any, /, *, title: str | None = None, advice: Advice | None = None) -> str:
    """The page as text; see write()."""
    from .heap import Heap

    if advice is not None and not (isinstance(advice, Advice) and isinstance(source, WhatIf)):
        raise TypeError("report: advice is an Advice of the WhatIf that is reported on, not "
                        f"{type(advice).__name__!r}")

    if isinstance(source, Replay):
        made, name = _replay_parts(source), "Replay"
    elif isinstance(source, Heap):
        made, name = _heap_parts(source), "Heap"
    elif isinstance(source, WhatIf):
        made, name = _whatif_parts(source, advice), "What if"
    else:
        raise TypeError("report: a Replay, a WhatIf or a Heap is needed, not "
                        f"{type(source).__name__!r}")
    lead, sections, charts = made
    sections[sections.index("")] = _section("Pictures", _figures(charts, 0))
    return _page(title or f"goheap: {name}", lead, sections, charts)


def write(source: Any, path: Path, /, *, title: str | None = None,
          advice: Advice | None = None) -> None:
    """Write the report on a Replay, a WhatIf or a Heap to path: one HTML page that needs
    nothing else.

    What was asked, what came out (of a WhatIf: its calibration, and advice if given),
    pictures with their figures as tables, and how to repeat it. ImportError without plotly;
    OSError if path cannot be written.
    """
    text = html(source, title=title, advice=advice)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
