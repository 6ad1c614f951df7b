"""The benchmarks' drivers build, and each row names files that are there."""
import glob
import os
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BENCH = os.path.join(ROOT, "benchmarks")


def test_c_drivers_compile(tmp_path):
    cc = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if cc is None:
        pytest.skip("no C compiler")
    for source in sorted(glob.glob(os.path.join(BENCH, "c/*.c"))):
        r = subprocess.run(
            [cc, "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra",
             "-Wpedantic", "-Werror", "-fsyntax-only",
             "-I" + os.path.join(ROOT, "csrc/core"), source],
            capture_output=True, text=True)
        assert r.returncode == 0, r.stderr


@pytest.mark.parametrize("quick", [False, True])
def test_rows_name_drivers_and_bars(quick, monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    import rows

    bars = {r.name for r in rows.ROWS}
    for case in rows.cases(quick):
        assert case.row in bars, case
        for figure in (case.ours, case.theirs, *case.beside.values()):
            for command in figure.commands if figure else ():
                folder, end = {"go": ("go", "go"), "python": ("", "py")}.get(
                    command.side, ("c", "c"))
                path = os.path.join(BENCH, folder, f"{command.name}.{end}")
                assert os.path.exists(path), path
    for name in ("rows", "drivers"):
        sys.modules.pop(name, None)
