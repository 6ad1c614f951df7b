"""docs/many-settings.md: the ways to run a grid, as the page has them, give one result."""
import importlib.resources
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import goheap as gh

PAGE = Path(__file__).parents[2] / "docs" / "many-settings.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
SAVED = '\n    grid.save("grid.json")\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("grids")
    data = importlib.resources.files("goheap") / "data" / "compile-json.gogc20.ghtrace"
    with importlib.resources.as_file(data) as recording:
        shutil.copy(recording, path / "app.ghtrace")
    return path


@pytest.fixture(scope="module")
def by_threads(folder):
    return run(PROGRAMS[0] + 'grid.save("grid.json")\n', folder)[0]


def run(program, folder):
    """What it saved, and what it printed. In a folder of its own: this test may run in several
    threads at once."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        here = Path(name)
        (here / "app.ghtrace").symlink_to(folder / "app.ghtrace")
        (here / "program.py").write_text(program)
        ran = subprocess.run([sys.executable, "program.py"], cwd=here, capture_output=True,
                             text=True, timeout=300)
        assert ran.returncode == 0, ran.stderr
        return (here / "grid.json").read_text(), ran.stdout


def test_what_is_there():
    assert len(PROGRAMS) == 3
    assert [("ProcessPoolExecutor" in p, "LocalCluster" in p) for p in PROGRAMS] == [
        (False, False), (True, False), (False, True)]


def test_processes_give_what_threads_give(folder, by_threads):
    assert run(PROGRAMS[1] + SAVED, folder)[0] == by_threads


def test_dask_on_a_local_cluster_gives_what_threads_give(folder, by_threads):
    pytest.importorskip("distributed", reason='needs distributed, which make check-tools installs')
    saved, said = run(PROGRAMS[2] + SAVED, folder)
    assert saved == by_threads
    lines = [line for line in said.splitlines() if line.endswith(" replays")]
    assert lines == [f"{i} of 16 replays" for i in range(1, 17)]


def test_the_executor_of_a_dask_client(folder):
    distributed = pytest.importorskip(
        "distributed", reason="needs distributed, which make check-tools installs")
    path = folder / "app.ghtrace"
    settings = {"gogc": [200], "memory_limit": ["off"], "seeds": 1}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1,
                                  dashboard_address=None) as cluster, \
            distributed.Client(cluster) as client:
        there = gh.what_if(path, executor=client.get_executor(), **settings)
    assert there == gh.what_if(path, **settings)
