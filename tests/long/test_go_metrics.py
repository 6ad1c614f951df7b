"""Heap.metrics beside runtime/metrics of the Go that is installed: names, kinds, edges, and
the figures of a program that does the same.

Run by `make check-tools` (GOHEAP_TOOLS=1): it builds a Go program. Skipped without Go."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import goheap as gh

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))
from test_metrics import LEFT_OUT, NAMES  # noqa: E402

pytestmark = pytest.mark.skipif(os.environ.get("GOHEAP_TOOLS") != "1",
                                reason="make check-tools runs it")

PROGRAM = """
package main

import (
	"encoding/json"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
)

type figure struct {
	Kind  string
	Edges []string
	Value []uint64
}

var keep [][]byte

func read() map[string]figure {
	all := metrics.All()
	s := make([]metrics.Sample, len(all))
	for i := range all {
		s[i].Name = all[i].Name
	}
	metrics.Read(s)
	out := map[string]figure{}
	for _, x := range s {
		switch x.Value.Kind() {
		case metrics.KindUint64:
			out[x.Name] = figure{Kind: "int", Value: []uint64{x.Value.Uint64()}}
		case metrics.KindFloat64:
			out[x.Name] = figure{Kind: "float"}
		default:
			h := x.Value.Float64Histogram()
			f := figure{Kind: "Histogram", Value: h.Counts}
			for _, e := range h.Buckets {
				f.Edges = append(f.Edges, strconv.FormatUint(math.Float64bits(e), 16))
			}
			out[x.Name] = f
		}
	}
	return out
}

func main() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(1 << 40)
	runtime.GC()
	before := read()
	for i := 0; i < 2000; i++ {
		keep = append(keep, make([]byte, 100+i%3000))
	}
	keep = append(keep, make([]byte, 1<<20))
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	after := read()
	json.NewEncoder(os.Stdout).Encode([]map[string]figure{before, after})
}
"""


@pytest.fixture(scope="module")
def go(tmp_path_factory):
    """Two samples: name -> {Kind, Edges, Value}."""
    if not shutil.which("go"):
        pytest.skip("go is not installed")
    where = tmp_path_factory.mktemp("go")
    (where / "go.mod").write_text("module x\n\ngo 1.26\n")
    (where / "main.go").write_text(PROGRAM)
    subprocess.run(["go", "build", "-o", "x", "."], cwd=where, check=True, timeout=300)
    out = subprocess.run([where / "x"], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(out.stdout)


def bits(x):
    import struct
    return format(struct.unpack(">Q", struct.pack(">d", x))[0], "x")


def test_names_kinds_and_edges(go):
    with gh.Heap() as heap:
        mine = heap.metrics()
    assert sorted(n for n in go[1] if not LEFT_OUT.match(n)) == NAMES
    for name, value in mine.items():
        theirs = go[1][name]
        assert type(value).__name__ == theirs["Kind"], name
        if isinstance(value, gh.Histogram):
            assert [bits(e) for e in value.buckets] == theirs["Edges"], name
            assert len(value.counts) == len(theirs["Value"])


def test_the_same_program_has_the_same_figures(go):
    with gh.Heap(gogc="off", memory_limit=1 << 40) as heap:
        before = heap.metrics()
        kept = [heap.alloc(100 + i % 3000) for i in range(2000)]
        kept.append(heap.alloc(1 << 20))
        heap.read_mem_stats()
        after = heap.metrics()
    for name in ("/gc/gogc:percent", "/gc/gomemlimit:bytes"):
        assert after[name] == go[1][name]["Value"][0]
    # The slices of the program's own table, and what the reading of metrics makes, are in
    # classes of 2048 bytes and more, or of few objects: look at the classes between.
    mine, theirs = (
        [b - a for a, b in zip(x.counts, y.counts)] for x, y in (
            (before["/gc/heap/allocs-by-size:bytes"], after["/gc/heap/allocs-by-size:bytes"]),
            (gh.Histogram(go[0]["/gc/heap/allocs-by-size:bytes"]["Value"], ()),
             gh.Histogram(go[1]["/gc/heap/allocs-by-size:bytes"]["Value"], ()))))
    classes = [c.size for c in gh.size_classes()]
    compared = 0
    for i, size in enumerate(classes):
        if 100 <= size <= 3072:
            assert 0 <= theirs[i] - mine[i] <= 20, size
            compared += mine[i]
    assert compared == 2000
    assert mine[-1] == 1 and theirs[-1] >= 1
