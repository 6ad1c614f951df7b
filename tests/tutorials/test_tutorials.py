"""The tutorials in docs/tutorials run from start to end. They need jupytext, nbclient,
ipykernel and matplotlib; `make check-tools` has them (`make notebooks`)."""
from __future__ import annotations

import glob
import os
import re

import pytest

for name in ("jupytext", "nbclient", "ipykernel", "matplotlib"):
    pytest.importorskip(name, reason=f"needs {name}, which make check-tools installs")

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FILES = sorted(glob.glob(os.path.join(ROOT, "docs/tutorials/*.md")))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", FILES, ids=os.path.basename)
def test_tutorial(path, tmp_path):
    import jupytext
    from nbclient import NotebookClient

    notebook = jupytext.read(path)
    NotebookClient(notebook, timeout=170, kernel_name="python3",
                   resources={"metadata": {"path": os.path.dirname(path)}}).execute()
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert len(code) >= 5 and all(c.execution_count for c in code)
    for cell in code:
        # A cell that plots has a picture, and nothing warns.
        kinds = {k for out in cell.outputs for k in out.get("data", {})}
        if ".plot(" in cell.source:
            assert "image/png" in kinds, cell.source
        assert not [o for o in cell.outputs if o.get("name") == "stderr"], cell.outputs


def test_they_are_numbered_and_named():
    names = [os.path.basename(f) for f in FILES]
    assert all(re.fullmatch(r"\d-[a-z-]+\.md", n) for n in names) and len(names) >= 5
    for path in FILES:
        with open(path, encoding="utf-8") as f:
            assert f"\n# {os.path.basename(path)[0]}. " in f.read()
