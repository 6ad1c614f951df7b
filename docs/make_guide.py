"""make guide: what the commands of choosing-gomemlimit.md say, and its picture.

Each command is run on the recording that goheap carries, and the block below it, if there is
one, gets what it printed. Words around the blocks that tell figures are yours to look at.
"""
from __future__ import annotations

import contextlib
import importlib.resources
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
import textwrap
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402

from goheap import cli, plots  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = "choosing-gomemlimit"
SAID = re.compile(r"(```sh\n(goheap [^\n]*)\n```\n\n)```\n.*?```", re.S)
PROGRAM = re.compile(r"```python\n(.*?)```", re.S)


def said(command: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = cli.main(shlex.split(command)[1:])
    if status != 0:
        raise SystemExit(f"make guide: {command}: status {status}")
    return "\n".join(line if line.startswith(("GOGC", "recorded")) or "  " in line
                     else textwrap.fill(line, 96) for line in out.getvalue().splitlines())


def draw(page: str, path: str) -> None:
    """The two replays of the page's first program, side by side."""
    program = PROGRAM.search(page)
    assert program is not None
    names: dict[str, Any] = {}
    exec(program[1], names)
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    for ax, r in zip(axes, (names["roomy"], names["tight"])):
        plots.draw("heap", r, ax)
        ax.set_title(f"GOGC=off GOMEMLIMIT={r.memory_limit >> 20}MiB: "
                     f"{r.automatic_gc} collections", loc="left", fontsize=10.5)
        ax.get_legend().remove()
    figure.legend(handles=axes[1].get_legend_handles_labels()[0], loc="lower center", ncol=7,
                  fontsize=9, frameon=False)
    axes[1].set_ylabel("")
    # Both limits are to be seen.
    axes[0].set_ylim(0, 1.07 * max(names[k].memory_limit for k in ("roomy", "tight")) / 2**20)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    figure.savefig(path, dpi=100, metadata={"Software": None})
    pyplot.close(figure)


def main(folder: str = HERE) -> int:
    with open(os.path.join(HERE, PAGE + ".md"), encoding="utf-8") as f:
        page = f.read()
    back = os.getcwd()
    folder = os.path.abspath(folder)
    with tempfile.TemporaryDirectory() as work:
        data = importlib.resources.files("goheap") / "data" / "compile-json.gogc20.ghtrace"
        with importlib.resources.as_file(data) as path:
            shutil.copy(path, os.path.join(work, "app.ghtrace"))
        os.chdir(work)
        try:
            page = SAID.sub(lambda m: f"{m[1]}```\n{said(m[2])}\n```", page)
            draw(page, os.path.join(folder, PAGE + ".png"))
        finally:
            os.chdir(back)
    with open(os.path.join(folder, PAGE + ".md"), "w", encoding="utf-8") as f:
        f.write(page)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
