"""Go's formats, by two that were not made for goheap: what the Go that is installed prints
matches the patterns of tests/api/test_gctrace.py, and a reader of gctrace logs reads ours.

Run by `make check-tools` (GOHEAP_TOOLS=1): it builds Go programs, one of them from the Go
module proxy. Each part is skipped by name where its tool can't be had."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))
from test_gctrace import KINDS, MODES, kind_of, logs  # noqa: E402

pytestmark = pytest.mark.skipif(os.environ.get("GOHEAP_TOOLS") != "1",
                                reason="make check-tools runs it")

# By the module's own command, gogctrace: JSON of each line.
READER = "github.com/tebeka/gctrace/cmd/gogctrace"

PROGRAM = """
package main

import (
	"runtime"
	"runtime/debug"
	"time"
)

type node struct {
	next *node
	rest [56]byte
}

var kept []*node

func work() {
	for i := 0; i < 200000; i++ {
		kept = append(kept, &node{})
	}
	kept = nil
}

func main() {
	work()
	runtime.GC()
	debug.FreeOSMemory()
	time.Sleep(20 * time.Millisecond)
	work()
	runtime.GC()
	time.Sleep(20 * time.Millisecond)
}
"""


@pytest.mark.parametrize("stopped", ["", ",gcstoptheworld=2"])
def test_the_installed_go_prints_what_the_patterns_say(tmp_path, stopped):
    if not shutil.which("go"):
        pytest.skip("go is not installed")
    (tmp_path / "go.mod").write_text("module x\n\ngo 1.26\n")
    (tmp_path / "main.go").write_text(PROGRAM)
    subprocess.run(["go", "build", "-o", "x", "."], cwd=tmp_path, check=True, timeout=300)
    env = {**os.environ, "GODEBUG": ",".join(f"{k}=1" for k in KINDS) + stopped}
    log = subprocess.run([tmp_path / "x"], env=env, capture_output=True, text=True, check=True,
                         timeout=60).stderr
    kinds = [kind_of(line) for line in log.splitlines()]
    assert set(kinds) == set(KINDS) and len(kinds) > 20


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    found = shutil.which("gogctrace")
    if found:
        return found
    if not shutil.which("go"):
        pytest.skip("go is not installed, nor is gogctrace")
    where = tmp_path_factory.mktemp("bin")
    made = subprocess.run(["go", "install", READER + "@latest"], capture_output=True, text=True,
                          env={**os.environ, "GOBIN": str(where)}, timeout=300)
    if made.returncode != 0:
        pytest.skip(f"gogctrace ({READER}) cannot be installed")
    return str(where / "gogctrace")


@pytest.mark.parametrize("mode, procs", MODES)
def test_a_reader_of_gctrace_reads_ours(reader, mode, procs):
    cycles, _ = logs(mode, procs)
    log = "".join(f"{c}\n" for c in cycles)
    out = subprocess.run([reader], input=log, capture_output=True, text=True, timeout=60)
    assert out.returncode == 0, out.stderr
    read = [json.loads(line) for line in out.stdout.splitlines()]
    assert len(read) == len(cycles) > 3
    for r, c in zip(read, cycles):
        assert (r["num"], r["cores"], r["start"]) == (c.n, c.procs, c.start_ns // 10**6 * 10**6)
        assert r["percentage"] == int(100 * c.gc_cpu_fraction)
        assert r["heap"] == {"before": c.heap_start >> 20, "after": c.heap_end >> 20,
                             "live": c.heap_marked >> 20, "goal": c.heap_goal >> 20}
        for shown, ns in ((r["wall"]["sweep_termination"], c.pause_ns[0]),
                          (r["wall"]["mark_and_scan"], c.mark_end_ns - c.mark_start_ns),
                          (r["wall"]["mark_termination"], c.pause_ns[1]),
                          (r["cpu"]["mark_assist"], c.assist_ns),
                          (r["cpu"]["mark_background"], c.background_ns),
                          (r["cpu"]["mark_idle"], c.idle_ns)):
            assert shown <= ns + 1 and ns - shown < max(1000, 0.1 * ns)
