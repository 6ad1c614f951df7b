"""README's table "what I want | the call": every call in it is run, as it stands there."""
from __future__ import annotations

import importlib.resources
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

import goheap as gh
from goheap.cli import main

README = Path(__file__).parents[2] / "README.md"
HEAD = "| what I want | the call |"

# What the calls find there, each in a namespace and a directory of its own.
SETUP = """
import goheap as gh
import goheap.testing

class Node(gh.Struct):
    next: gh.Ptr["Node"]
    key: gh.int64

class Point(gh.Struct):
    x: gh.float64
    y: gh.float64

heap = gh.Heap(procs=4, address_space="1GiB")
handle = heap.new(Node, key=1)
block = heap.alloc(100)
array = heap.array(gh.float64, 10)
many = heap.new_many(Node, 1000)
snap = heap.snapshot(edges=True)

def scenario():
    gh.Heap(address_space="1GiB").close()
"""

# The code around a call of the table: {} stands for the call.
AROUND = {
    "gh.Heap(gogc=100, procs=1)": "assert not {}.closed",
    "with": "{} heap:\n    pass\nassert heap.closed",
    ".close()": "heap{}\nassert heap.closed",
    "class Node(gh.Struct)":
        "{}:\n    key: gh.int64\nassert heap.new(Node, key=3).key == 3",
    "gh.Ptr[Node]": "assert gh.type_info({}).ptrdata == 8",
    "gh.Embed[Point]":
        "T = gh.struct('T', at={})\nassert heap.new(T).at.x == 0",
    "gh.fixed(gh.int32, 8)": "assert gh.sizeof({}) == 32",
    "heap.new(Node, key=3)": "assert {}.key == 3",
    "heap.array(gh.float64, 100)": "assert len({}) == 100",
    'heap.alloc("64KiB")': "assert len({}) == 1 << 16",
    "heap.new_many(Node, 1000)": "assert len({}) == 1000",
    "many.store(Node.key, range(1000))": "{}\nassert many[-1].key == 999",
    "many.load(Node.next)": "many[:1].store(Node.next, [handle])\nassert {}[0] == handle",
    'gh.Heap(mode="virtual", memory_limit="64MiB")':
        "assert ({}).memory_limit == 64 << 20",
    'gh.Heap(mode="concurrent", procs=2)':
        "with {} as h:\n    h.new_many(Node, 1000)\n    h.collect()\n    assert h.cycles",
    'gh.Heap(mode="concurrent", debug=gh.Debug(delays=1))':
        "with {} as h:\n    h.collect()\n    assert h.cycles",
    "gh.Heap(huge_pages=True)": 'assert ({}).huge_pages in ("on", "refused")',
    "heap.advance(10**9)": "{}\nassert heap.now_ns >= 10**9",
    "heap.set_finalizer(handle, print)": "{}",
    'heap.add_cleanup(handle, print, "gone").stop()': "assert {}",
    "heap.run_pending()": "assert {} == 0",
    "heap.weak(handle)()": "assert {} == handle",
    "with heap.pin(handle):": "{}\n    pass",
    'heap.profile_rate = "512KiB"': "{}\nassert heap.profile_rate == 1 << 19",
    "heap.profile().rows": "assert len({}) == 0",
    'heap.profile().save("heap.pb.gz")': "try:\n    {}\nexcept ImportError:\n    pass",
    'gh.replay("app.ghtrace", profile_rate="512KiB")': "assert {}.profile.rate",
    'heap.to_perfetto("gc.json")': "{}",
    'gh.replay("app.ghtrace").to_perfetto("gc.json")': "{}",
    "heap.gc_start()": "{}\nassert heap.phase == 'mark'",
    "heap.gc_step()": "heap.gc_start()\nassert not {}.assist_debt[0]",
    'heap.color("A")': "heap.label(handle, 'A')\nassert {} == 'white'",
    "heap.gc_finish()": "heap.gc_start()\nassert {}.n == 1",
    'heap.on_cycle(lambda cycle, knobs: setattr(knobs, "gogc", 50))':
        "{}\nheap.collect()\nassert heap.gogc == 50",
    'gh.replay("app.ghtrace", on_cycle=print)': "assert {}.automatic_gc > 0",
    "many[1:].clear()": "{}\nassert many[0] and not any(many[1:])",
    "heap.roots(100)": "slots = {}\nslots[99] = handle\nassert slots[99] == handle",
    "memoryview(block)": "view = {}\nview[0] = 7\nassert bytes(block)[0] == 7",
    "numpy.asarray(array)": "import numpy\n{}[3] = 2.5\nassert array[3] == 2.5",
    "heap.collect()": "assert {}.forced",
    "heap.cycles": "heap.collect()\nassert len({}) == 1",
    "heap.stats()": "assert {}.mallocs > 0",
    "heap.read_mem_stats()": "assert {}.mallocs > 0",
    'heap.metrics()["/gc/heap/live:bytes"]': "heap.collect()\nassert {} > 0",
    "heap.gctrace()": "heap.collect()\nassert {}.startswith('gc 1 @')",
    'heap.gctrace("scavtrace", "gcpacertrace")': "heap.collect()\nassert 'scav' in {}",
    "gh.Heap(costs=gh.Costs(scan_byte=2))": "assert {}.costs.scan_byte == 2",
    "gh.Costs.measured()": "assert {}.stop > 0",
    "b - a": "a = heap.stats()\nheap.alloc(100)\nb = heap.stats()\n"
             "assert ({}).total_alloc == 112",
    "heap.gogc = 50": "{}\nassert heap.gogc == 50",
    "heap.procs = 4": "heap.procs = 1\n{}\nassert heap.procs == 4",
    "with heap.on_p(2):": "{}\n    other = heap.alloc(100)\n"
                          "assert heap.info(other).span != heap.info(block).span",
    "heap.info(handle)": "assert {}.elemsize == 16",
    "gh.address_of(handle)": "assert {} >= 0xc000000000",
    "gh.explain(100)": "assert {}.elemsize == 112",
    "gh.explain(Node)": "assert {}.elemsize == 16",
    "gh.size_classes()": "assert len({}) == 67",
    'heap.graph({"A": ["B"], "B": []}, roots=["A"])':
        "top = {}\nassert heap.info('B').addr == gh.address_of(top[0][0])",
    'heap.label(handle, "top")': "{}\nassert heap.info(handle).label == 'top'",
    'heap.info("top")':
        "heap.label(handle, 'top')\nassert {}.addr == gh.address_of(handle)",
    "heap.snapshot(edges=True)": "assert len({}.objects) == 1003",
    'snap.objects["size"]': "assert sum({}) == 16 * 1001 + 100 + 80",
    "snap.census()": "assert {}.row(0).key == 'Node'",
    "snap.occupancy()": "assert len({}) == 3",
    "snap.why(handle)": "assert {} == []",
    "snap.referrers(handle)": "assert {} == []",
    "snap.retained(handle)": "assert {} == 16",
    "with heap.watch() as log:":
        "{}\n    heap.collect()\nassert log.row(0).kind == 'phase'",
    "log.story()": "with heap.watch() as log:\n    heap.collect()\nassert 'cycle' in {}",
    'with heap.record("1ms", "heap_live") as series:':
        "{}\n    heap.collect()\nassert 'heap_live' in series.names",
    'gh.Heap(hard_limit="512MiB")': "assert not {}.closed",
    "goheap.testing.fault_sweep(scenario)": "assert {} > 0",
    "class Machine(goheap.testing.HeapMachine)":
        "{}:\n    pass\nassert hasattr(Machine, 'make_heap')",
    "heap.verify()": "assert {} is None",
    'gh.Script.from_file("x.txt").run()':
        "assert {}.stats['end']['mem']['Mallocs'] > 0",
    'gh.replay("app.ghtrace", gogc=200)': "assert {}.automatic_gc > 0",
    'gh.Script.from_file("x.txt").compare_with_go()': "assert len({}) == 0",
    'gh.Trace.open("app.trace").info': "assert {}['source'] == 'go 1.26'",
    "gh.Trace.from_columns(size=[64], birth_ns=[0], death_ns=[-1]).events":
        "assert {}.row(0).op == 'alloc'",
    'gh.replay(gh.Workload(live="8MiB", alloc_rate="100MiB", seconds=1))':
        "assert {}.automatic_gc > 3",
    'gh.Workload.from_gctrace("gc.log")': "assert {}.live == 4 << 20",
    'gh.what_if("app.ghtrace", gogc=[50, 100, "off"], memory_limit=["3GiB"]).table()':
        "assert len({}) == 3",
    'gh.what_if("app.ghtrace").advise(max_rss="512MiB")': "assert 'GOGC' in str({})",
}
# Lines for a shell, and what they must print.
SHELL = {
    "goheap run x.txt --json": '"Mallocs"',
    "goheap calibrate": "an allocation",
    "goheap replay app.ghtrace --perfetto gc.json": "collections",
    "goheap replay app.ghtrace --pacertrace": "pacer: assist ratio=",
    "goheap replay app.ghtrace --gogc 200 --gctrace": "gc 1 @",
    "goheap compare x.txt": "x.txt: 0 differences",
    "goheap convert app.trace -o app.ghtrace": "repairs: none",
    "goheap what-if app.ghtrace --gogc 50,off": "recorded setting: 3",
    "goheap advise app.ghtrace --limit 512MiB --max-gc-cpu 10%": "Set GOGC=",
}


def rows() -> list[tuple[str, list[str]]]:
    """Each wish of the table, with the calls in its second column."""
    lines = README.read_text(encoding="utf-8").splitlines()
    begin = lines.index(HEAD) + 2
    found = []
    for line in lines[begin:]:
        if not line.startswith("|"):
            break
        # A bar inside a call is written \\| in Markdown.
        wish, calls = re.split(r"(?<!\\)\|", line)[1:3]
        found.append((wish.strip(), [c.replace("\\|", "|")
                                     for c in re.findall(r"`([^`]+)`", calls)]))
    return found


CALLS = [call for _, calls in rows() for call in calls]


def test_every_row_has_a_call_and_every_call_is_tried() -> None:
    assert [wish for wish, calls in rows() if not calls] == []
    assert [call for call in CALLS if call not in AROUND and call not in SHELL] == []


def test_nothing_is_tried_that_the_table_has_not() -> None:
    assert [call for call in [*AROUND, *SHELL] if call not in CALLS] == []


def needs_go(call: str) -> None:
    if "compare" in call and not (os.environ.get("GOHEAP_TOOLS") and shutil.which("go")):
        pytest.skip("make check-tools, and Go")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the calls name, in the current directory."""
    (tmp_path / "x.txt").write_text("goheap-script 1\nalloc 0 100 noscan\ngc\nstats end\n")
    with importlib.resources.as_file(
            importlib.resources.files("goheap") / "data" / "compile-json.gogc20.ghtrace") as path:
        shutil.copy(path, tmp_path / "app.ghtrace")
    shutil.copy(README.parent / "tests" / "traces" / "go1.26.trace.gz", tmp_path / "app.trace")
    (tmp_path / "gc.log").write_text("".join(
        f"gc {i} @{i}.0s 1%: 0.1+0.2+0.1 ms clock, 0+0/0/0+0 ms cpu, 8->9->4 MB, 8 MB goal, "
        "0 MB stacks, 0 MB globals, 2 P\n" for i in range(1, 5)))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("call", [c for c in CALLS if c in AROUND])
def test_call(call: str, files: None) -> None:
    if call.startswith("numpy."):
        pytest.importorskip("numpy")
    needs_go(call)
    assert AROUND[call].count("{}") == 1
    names: dict[str, Any] = {"__name__": "readme"}
    exec(SETUP, names)
    heap = names["heap"]
    exec(AROUND[call].replace("{}", call), names)
    if not heap.closed:
        heap.verify()
        heap.close()


@pytest.mark.parametrize("line", [c for c in CALLS if c in SHELL])
def test_line_for_the_shell(line: str, files: None, capsys: pytest.CaptureFixture[str]) -> None:
    needs_go(line)
    command, *args = shlex.split(line)
    assert command == "goheap" and main(args) == 0
    assert SHELL[line] in capsys.readouterr().out
