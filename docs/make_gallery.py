"""make gallery: every plot from a real trace, and the page of them.

Writes docs/gallery/*.png and docs/gallery.md. Runs are repeatable, so that a changed
picture is a changed goheap (or matplotlib).
"""
from __future__ import annotations

import importlib.resources
import json
import os
import sys
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402

import goheap as gh  # noqa: E402
from goheap import plots  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


def history(events: Any) -> tuple[Any, Any]:
    """The log of spans and the last snapshot of a heap in which the recorded program's
    objects are made, and dropped when it was found that they had died."""
    kinds: dict[int, Any] = {}
    heap = gh.Heap(mode="virtual", procs=2)
    kept: dict[int, Any] = {}
    with heap.watch("span") as log:
        for e in events:
            if e.op in ("free", "dead"):
                kept.pop(e.object, None)
            elif e.op in ("alloc", "exist") and e.size:
                if e.type is None or e.size < 16:
                    kept[e.object] = heap.alloc(e.size)
                else:  # above 512 bytes a slot begins with the type
                    n = e.size - 8 * (512 < e.size <= 32768)
                    kind = kinds.get(n) or kinds.setdefault(n, gh.words(f"w{n}", n, ptrs=[0]))
                    kept[e.object] = heap.new(kind)
        snap = heap.snapshot()
    heap.close()
    return log, snap


def main() -> int:
    data = importlib.resources.files("goheap") / "data"
    truth = json.loads((data / "compile-json.truth.json").read_text(encoding="utf-8"))
    with importlib.resources.as_file(data / "compile-json.gogc20.ghtrace") as path:
        trace = str(path)
        replay = gh.replay(trace, gogc=100, memory_limit="48MiB", series="even")
        grid = gh.what_if(trace, gogc=(50, 100, 200, 400),
                          memory_limit=("off", "64MiB", "56MiB", "48MiB", "40MiB"))
        with gh.Trace.open(trace) as t:
            events = t.events
    log, snap = history(events)
    advice = grid.advise(max_rss="80MiB")
    pictures: list[tuple[str, str, Any, dict[str, Any]]] = [
        ("heap", "heap", replay, {}), ("pauses", "pauses", replay, {}),
        ("pacer", "pacer", replay, {}), ("fragmentation", "fragmentation", replay, {}),
        ("lifetimes", "lifetimes", events, {}),
        ("settings-map-cpu", "settings_map", grid, {}),
        ("settings-map-rss", "settings_map", grid, {"figure": "peak_rss_bytes"}),
        ("pareto", "pareto", grid, {"advice": advice}),
        ("predicted", "predicted", (grid, truth["settings"]), {}),
        ("size-classes", "size_classes", snap, {}), ("pages", "pages", snap, {}),
        ("page-history", "page_history", log, {}),
    ]
    left_out = set(plots.PLOTS) - {name for _, name, _, _ in pictures}
    if left_out:
        print(f"make gallery: no picture of {', '.join(sorted(left_out))}", file=sys.stderr)
        return 1
    os.makedirs(os.path.join(HERE, "gallery"), exist_ok=True)
    page = ["# Gallery", "",
            "Every plot of `goheap.plots`, made by `make gallery` from the recorded history of "
            "the Go compiler (`goheap/data`): replayed, predicted, and for the last three made "
            "again object by object in a `Heap` (`docs/make_gallery.py`).", ""]
    shown: set[str] = set()
    for file, name, what, options in pictures:
        ax = plots.draw(name, what, **options)
        ax.figure.savefig(os.path.join(HERE, "gallery", file + ".png"), dpi=90,
                          metadata={"Software": None})
        pyplot.close(ax.figure)
        p = plots.PLOTS[name]
        if name not in shown:
            page += [f"## {p.title}", "", f"`plots.draw(\"{name}\", ...)` takes {p.needs}. "
                     f"{p.info}", ""]
            shown.add(name)
        page += [f"![{p.title}: {file}](gallery/{file}.png)", ""]
    page += ["The advice that the green ring marks:", "", f"> {advice}", ""]
    with open(os.path.join(HERE, "gallery.md"), "w", encoding="utf-8") as f:
        f.write("\n".join(page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
