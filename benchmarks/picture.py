"""A picture of the ratios: a dot for each case, a mark at each row's bar."""
from __future__ import annotations


def draw(verdicts: list[dict], results: list[dict], path: str) -> str:
    """Draws what run.py found into path; says where, or why not."""
    try:
        import matplotlib
    except ImportError:
        return "skipped: the picture (no matplotlib)"
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    # A row beside "1 ns" or "1 us" is a time; it would leave no room for the ratios.
    times = {r["row"] for r in results if r["against"] in ("1 ns", "1 us")}
    rows = [v for v in verdicts if "mean" in v and v["row"] not in times]
    if not rows:
        return "skipped: the picture (no ratios)"
    fig, ax = plt.subplots(figsize=(9, 0.9 + 0.42 * len(rows)),
                           layout="constrained")
    for y, v in enumerate(rows):
        for r in (r for r in results if r["row"] == v["row"] and "ratio" in r):
            ax.plot([min(r["ratios"]), max(r["ratios"])], [y, y], color="0.8",
                    linewidth=6, solid_capstyle="butt", zorder=1)
            ax.plot(r["ratio"], y, "o", color="tab:blue", markersize=4, zorder=3)
        color = {True: "tab:green", False: "tab:red"}.get(v.get("met"), "0.5")
        for bar in (v["at_most"], v["at_least"]):
            if bar is not None:
                ax.plot([bar, bar], [y - 0.36, y + 0.36], color=color, linewidth=2,
                        zorder=2)
    ax.axvline(1, color="0.4", linewidth=0.8, linestyle=":")
    ax.set_xscale("log")
    ax.set_xlabel("ours / theirs; a dot a case, grey its rounds;\n"
                  "the bar green if met, red if not")
    ax.set_yticks(range(len(rows)), [v["title"] for v in rows])
    ax.invert_yaxis()
    ticks = [0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10]
    low, high = ax.get_xlim()
    ticks = [t for t in ticks if low <= t <= high]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set_title("goheap beside real Go (and others where a row says so)")
    fig.savefig(path, dpi=110)
    plt.close(fig)
    return f"picture: {path}"
