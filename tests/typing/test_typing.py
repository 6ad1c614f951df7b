"""The typed programs that must check also run (make typing checks them)."""
import glob
import os
import runpy

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = sorted(set(glob.glob(os.path.join(HERE, "*.py")))
                  - {os.path.join(HERE, name) for name in ("refused.py", "test_typing.py")})


@pytest.mark.parametrize("path", PROGRAMS, ids=os.path.basename)
def test_program_runs(path: str) -> None:
    if path.endswith("with_numpy.py"):
        pytest.importorskip("numpy")
    runpy.run_path(path, run_name="__main__")


def test_refused_is_refused_line_by_line() -> None:
    with open(os.path.join(HERE, "refused.py"), encoding="utf-8") as f:
        marked = [line for line in f if "# type: ignore" in line]
    assert len(marked) > 20 and all("# type: ignore[" in line for line in marked)
