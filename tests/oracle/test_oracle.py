"""The recorded scripts on our heap, held against what real Go did on them."""
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = sorted(f[:-4] for f in os.listdir(os.path.join(HERE, "scripts")) if f.endswith(".txt"))


def lane(name):
    with open(os.path.join(HERE, "scripts", name + ".txt")) as f:
        return next(line.split()[1] for line in f if line.startswith("lane "))


REFUSED = [n for n in SCRIPTS if lane(n) in ("concurrent", "limit", "parallel")]
RUN = [n for n in SCRIPTS if n not in REFUSED]


def goheap(*args):
    return subprocess.run([sys.executable, "-m", "goheap", *args], capture_output=True, text=True)


def test_lanes():
    assert [sum(lane(n) == w for n in RUN) for w in ("exact", "pacer", "multi")] == [23, 10, 2]


@pytest.mark.parametrize("name", RUN)
def test_as_go(name, tmp_path):
    r = goheap("run", os.path.join(HERE, "scripts", name + ".txt"), "-o", str(tmp_path))
    assert r.returncode == 0, r.stderr
    level = "layout" if lane(name) == "exact" else "core"
    c = subprocess.run([sys.executable, os.path.join(HERE, "compare.py"), "--level", level,
                        os.path.join(HERE, "golden", name + ".json"),
                        str(tmp_path / (name + ".json"))], capture_output=True, text=True)
    assert c.returncode == 0, c.stdout


def test_comparison_can_fail(tmp_path):
    other = os.path.join(HERE, "golden", "tiny.json")
    c = subprocess.run([sys.executable, os.path.join(HERE, "compare.py"), "--level", "core",
                        os.path.join(HERE, "golden", "linked_list.json"), other],
                       capture_output=True, text=True)
    assert c.returncode == 1


def test_refused(tmp_path):
    files = [os.path.join(HERE, "scripts", n + ".txt") for n in REFUSED + ["tiny"]]
    r = goheap("run", *files, "-o", str(tmp_path))
    assert r.returncode == 3
    assert os.listdir(tmp_path) == ["tiny.json"]
    assert len(r.stderr.splitlines()) == len(REFUSED)
