"""The recorded scripts on our heap, held against what real Go did on them."""
import os
import shutil
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = sorted(f[:-4] for f in os.listdir(os.path.join(HERE, "scripts")) if f.endswith(".txt"))


def lane(name):
    with open(os.path.join(HERE, "scripts", name + ".txt")) as f:
        return next(line.split()[1] for line in f if line.startswith("lane "))


LANES = {"exact": 23, "pacer": 11, "multi": 2, "limit": 2, "concurrent": 2, "parallel": 1}


def goheap(*args):
    return subprocess.run([sys.executable, "-m", "goheap", *args], capture_output=True, text=True)


def test_lanes():
    assert {w: sum(lane(n) == w for n in SCRIPTS) for w in LANES} == LANES
    assert len(SCRIPTS) == sum(LANES.values())


def compare(golden, candidate, level):
    return subprocess.run([sys.executable, os.path.join(HERE, "compare.py"), "--level", level,
                           str(golden), str(candidate)], capture_output=True, text=True)


@pytest.mark.parametrize("name", SCRIPTS)
def test_as_go(name, tmp_path):
    r = goheap("run", os.path.join(HERE, "scripts", name + ".txt"), "-o", str(tmp_path))
    assert r.returncode == 0, r.stderr
    c = compare(os.path.join(HERE, "golden", name + ".json"), tmp_path / (name + ".json"),
                "layout" if lane(name) in ("exact", "pacer", "multi") else "core")
    assert c.returncode == 0, c.stdout


@pytest.mark.parametrize("name", [n for n in SCRIPTS if lane(n) in ("concurrent", "parallel")])
def test_as_go_on_threads(name, tmp_path):
    """The same comparison where the collector and par's workers are real threads."""
    r = goheap("run", "--threads", os.path.join(HERE, "scripts", name + ".txt"), "-o", str(tmp_path))
    assert r.returncode == 0, r.stderr
    c = compare(os.path.join(HERE, "golden", name + ".json"), tmp_path / (name + ".json"), "core")
    assert c.returncode == 0, c.stdout


@pytest.mark.skipif(not (os.environ.get("GOHEAP_TOOLS") and shutil.which("go")),
                    reason="make check-tools, and Go")
def test_finalizers_in_go_again(tmp_path):
    """The golden is what the Go that is installed does now."""
    oracle = tmp_path / "oracle"
    subprocess.run(["sh", os.path.join(HERE, "build.sh"), str(oracle)], check=True)
    env = {k: v for k, v in os.environ.items() if k not in ("GOGC", "GOMEMLIMIT")}
    env |= {"GOMAXPROCS": "1", "GODEBUG": "cpu.avx512bw=off"}
    script = os.path.join(HERE, "scripts", "finalizers.txt")
    for _ in range(4):  # 3: the start state was not reached
        r = subprocess.run([oracle, "-o", str(tmp_path / "go.json"), script], env=env)
        if r.returncode != 3:
            break
    assert r.returncode == 0
    assert goheap("run", script, "-o", str(tmp_path)).returncode == 0
    c = compare(tmp_path / "go.json", tmp_path / "finalizers.json", "core")
    assert c.returncode == 0, c.stdout


@pytest.mark.parametrize("name", [n for n in SCRIPTS if lane(n) in ("limit", "concurrent", "parallel")])
def test_repeats(name):
    """Where Go varies from run to run, we don't."""
    path = os.path.join(HERE, "scripts", name + ".txt")
    first, second = (goheap("run", path, "--json") for _ in range(2))
    assert first.returncode == 0 and first.stdout == second.stdout


@pytest.mark.parametrize("name, old, new", [
    ("memlimit_off", "memlimit 25165824", "memlimit 20971520"),
    ("memlimit_gogc", "memlimit 16777216", "memlimit off"),
    ("conc_steady", "gogc 100", "gogc 50"),
    ("par_2", "par 2 50000 64", "par 2 50001 64")])
def test_comparison_sees(name, old, new, tmp_path):
    """Tolerances are wide in these lanes, but not so wide."""
    with open(os.path.join(HERE, "scripts", name + ".txt")) as f:
        text = f.read()
    assert text.count(old + "\n") == 1
    script = tmp_path / (name + ".txt")
    script.write_text(text.replace(old + "\n", new + "\n"))
    assert goheap("run", str(script), "-o", str(tmp_path)).returncode == 0
    c = compare(os.path.join(HERE, "golden", name + ".json"), tmp_path / (name + ".json"), "core")
    assert c.returncode == 1, c.stdout


def test_comparison_can_fail():
    golden = os.path.join(HERE, "golden")
    c = compare(os.path.join(golden, "linked_list.json"), os.path.join(golden, "tiny.json"), "core")
    assert c.returncode == 1


def test_refused(tmp_path):
    """A script of a later language is refused, the others still run."""
    later = tmp_path / "later.txt"
    later.write_text("goheap-script 2\nstats s\n")
    out = tmp_path / "out"
    r = goheap("run", str(later), os.path.join(HERE, "scripts", "tiny.txt"), "-o", str(out))
    assert r.returncode == 3
    assert os.listdir(out) == ["tiny.json"]
    assert len(r.stderr.splitlines()) == 1 and "goheap-script 2" in r.stderr
