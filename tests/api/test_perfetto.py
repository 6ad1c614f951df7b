"""Traces for Perfetto: the format's rules, the figures, and another program that reads them."""
from __future__ import annotations

import base64
import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest

import goheap as gh
from goheap import perfetto
from goheap.cli import main

TRACE = pathlib.Path(gh.__file__).parent / "data" / "compile-json.gogc20.ghtrace"

# Trace Event Format, "JSON Object Format": what each phase that we use must have.
_BASE = {"ph": {"type": "string"}, "name": {"type": "string", "minLength": 1},
         "pid": {"type": "integer"}, "tid": {"type": "integer"}}
_TIMED = {**_BASE, "ts": {"type": "number", "minimum": 0}, "cat": {"type": "string"}}
_ARGS = {"type": "object"}


def _phase(ph, properties, **more):
    return {"type": "object", "additionalProperties": False,
            "required": [k for k in (*properties, *more)],
            "properties": {**properties, "ph": {"const": ph}, **more}}


SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object", "required": ["traceEvents"], "additionalProperties": False,
    "properties": {
        "displayTimeUnit": {"enum": ["ms", "ns"]},
        "otherData": {"type": "object", "additionalProperties": {"type": ["string", "integer"]}},
        "traceEvents": {"type": "array", "minItems": 1, "items": {"oneOf": [
            _phase("X", _TIMED, dur={"type": "number", "minimum": 0}, args=_ARGS),
            _phase("C", _TIMED, args={"type": "object", "minProperties": 1,
                                      "additionalProperties": {"type": "number"}}),
            _phase("i", _TIMED, s={"enum": ["g", "p", "t"]}),
            _phase("M", {**_BASE, "name": {"enum": ["process_name", "thread_name"]}},
                   args={"type": "object", "required": ["name"],
                         "properties": {"name": {"type": "string"}}}),
        ]}}}}


def fits(value, schema):
    """As much of JSON Schema as SCHEMA uses."""
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float)}
    want = schema.get("type")
    if want is not None:
        want = [want] if isinstance(want, str) else want
        if isinstance(value, bool) or not any(isinstance(value, kinds[k]) for k in want):
            return False
    if "const" in schema and value != schema["const"] or value not in schema.get("enum", [value]):
        return False
    if isinstance(value, (int, float)) and value < schema.get("minimum", value):
        return False
    if isinstance(value, str) and len(value) < schema.get("minLength", 0):
        return False
    if isinstance(value, list):
        return (len(value) >= schema.get("minItems", 0)
                and all(fits(v, schema.get("items", {})) for v in value))
    if isinstance(value, dict):
        rest = schema.get("additionalProperties", {})
        known = schema.get("properties", {})
        if not set(schema.get("required", ())) <= set(value) or len(value) < schema.get(
                "minProperties", 0):
            return False
        for k, v in value.items():
            if k in known:
                if not fits(v, known[k]):
                    return False
            elif rest is False or not fits(v, rest):
                return False
    return "oneOf" not in schema or sum(fits(value, s) for s in schema["oneOf"]) == 1


def check(trace):
    """The format's rules; slices of one row lie in each other or apart."""
    trace = json.loads(json.dumps(trace))
    assert fits(trace, SCHEMA)
    events = trace["traceEvents"]
    timed = [e for e in events if e["ph"] != "M"]
    assert [e["ts"] for e in timed] == sorted(e["ts"] for e in timed)
    rows = {}
    for e in timed:
        if e["ph"] == "X":
            open_ = rows.setdefault(e["tid"], [])
            end = e["ts"] + e["dur"]
            while open_ and open_[-1] <= e["ts"] + 1e-6:
                open_.pop()
            assert not open_ or end <= open_[-1] + 1e-6, e
            open_.append(end)
    named = {e["tid"] for e in events if e["name"] == "thread_name"}
    assert named == set(rows) or not rows
    return trace


def busy():
    class Node(gh.Struct):
        next: gh.Ptr

    heap = gh.Heap(mode="virtual", procs=2)
    many = heap.roots(20_000)
    with heap.record("100us", "heap_live", "heap_goal", "num_gc") as series:
        for i in range(100_000):
            many[i % 20_000] = heap.new(Node, next=many[(i * 7) % 20_000])
            heap.alloc(100)
        heap.collect()
    return heap, series


def test_heap():
    heap, series = busy()
    trace = check(perfetto.trace_events(heap))
    slices = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    cycles = list(heap.cycles)
    assert len(cycles) >= 3 and len(slices) == 4 * len(cycles)
    first = slices[0]
    c = cycles[0]
    assert (first["name"], first["ts"], first["dur"]) == ("GC 1", c.start_ns / 1000,
                                                         c.wall_ns / 1000)
    assert first["args"]["heap_marked"] == c.heap_marked and "n" not in first["args"]
    assert [e["name"] for e in slices if e["tid"] == 1][-2:] == [f"GC {len(cycles)} (forced)",
                                                                 "mark"]
    stops = [e["dur"] * 1000 for e in slices if e["tid"] == 2]
    assert stops == pytest.approx([p for c in cycles for p in c.pause_ns])
    # Who marks, in Ps: times the length of marking it is the time that the cycle says.
    share = [e for e in trace["traceEvents"] if e["name"] == "Ps that mark"]
    assert len(share) == 2 * len(cycles) and share[1]["args"] == {
        "assists": 0, "workers": 0, "idle": 0}
    wall = c.mark_end_ns - c.mark_start_ns
    assert share[0]["args"]["assists"] * wall == pytest.approx(c.assist_ns)
    assert share[0]["args"]["workers"] * wall == pytest.approx(c.background_ns)
    with_series = check(perfetto.trace_events(heap, series))
    lines = [e for e in with_series["traceEvents"] if e["name"] == "heap"]
    assert [e["args"]["heap_live"] for e in lines] == list(series["heap_live"])
    assert set(lines[0]["args"]) == {"heap_live", "heap_goal"}
    assert trace["otherData"]["mode"] == "virtual" and trace["otherData"]["memory_limit"] == "off"


def test_no_cycle():
    with gh.Heap() as heap:
        trace = check(perfetto.trace_events(heap))
        assert {e["ph"] for e in trace["traceEvents"]} == {"M"}
        heap.collect()
        cycles = heap.cycles
        assert len(check(perfetto.trace_events(heap))["traceEvents"]) > 5 and cycles


def test_limiter_is_marked():
    run = gh.replay(TRACE)
    limited = [c for c in run.cycles if c.limited]
    trace = check(perfetto.trace_events(run))
    assert len([e for e in trace["traceEvents"] if e["ph"] == "i"]) == len(limited)


def test_replay_and_command(tmp_path, capsys):
    run = gh.replay(TRACE, mode="virtual")
    trace = check(perfetto.trace_events(run))
    lines = [e for e in trace["traceEvents"] if e["name"] == "heap"]
    assert [e["args"]["heap_live"] for e in lines] == [s.heap_live for s in run.series]
    path = tmp_path / "out.json"
    run.to_perfetto(path)
    assert json.loads(path.read_text()) == trace
    again = tmp_path / "again.json"
    assert main(["replay", str(TRACE), "--mode", "virtual", "--perfetto", str(again)]) == 0
    assert again.read_text() == path.read_text()
    capsys.readouterr()
    assert main(["replay", str(TRACE), "--perfetto", str(tmp_path / "no" / "f")]) == 1
    assert "no" in capsys.readouterr().err
    heap, series = busy()
    heap.to_perfetto(path, series)
    assert json.loads(path.read_text()) == check(perfetto.trace_events(heap, series))


def test_wrong_use(tmp_path):
    with gh.Heap() as heap:
        heap.collect()
        with pytest.raises(TypeError, match="Heap or a Replay"):
            perfetto.trace_events(5)
        with pytest.raises(TypeError, match="Table"):
            perfetto.trace_events(heap, [1])
        with pytest.raises(ValueError, match="t_ns"):
            perfetto.trace_events(heap, heap.snapshot().objects)
        with pytest.raises(OSError):
            heap.to_perfetto(tmp_path)
    with pytest.raises(gh.HeapClosedError):
        heap.to_perfetto(tmp_path / "f")


def test_the_check_sees():
    with gh.Heap() as heap:
        heap.collect()
        trace = perfetto.trace_events(heap)
    for break_it in (lambda e: e.pop("ts"), lambda e: e.update(dur=-1), lambda e: e.update(ph="Y"),
                     lambda e: e.update(pid="1"), lambda e: e.update(extra=1),
                     lambda e: e.update(dur=1e9)):
        copy = json.loads(json.dumps(trace))
        slices = [e for e in copy["traceEvents"] if e["ph"] == "X"]
        break_it(next(e for e in slices if e["name"] == "mark"))
        with pytest.raises((AssertionError, KeyError)):
            check(copy)


TOOLS = pytest.mark.skipif(not os.environ.get("GOHEAP_TOOLS"), reason="make check-tools")


@TOOLS
def test_json_schema():
    jsonschema = pytest.importorskip("jsonschema")
    heap, series = busy()
    for trace in (perfetto.trace_events(heap, series),
                  perfetto.trace_events(gh.replay(TRACE, mode="virtual"))):
        jsonschema.validate(trace, SCHEMA)


@TOOLS
def test_speedscope_opens_it(tmp_path):
    """speedscope, as npm has it, in a browser without a window."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    driver, chromium, npm = map(shutil.which, ("chromedriver", "chromium", "npm"))
    if not (driver and chromium and npm):
        pytest.skip("needs npm, chromium and chromium-driver")
    r = subprocess.run([npm, "pack", "--silent", "speedscope@1"], cwd=tmp_path,
                       capture_output=True, text=True)
    if r.returncode != 0:
        pytest.skip("npm has no speedscope")
    subprocess.run(["tar", "xzf", r.stdout.strip()], cwd=tmp_path, check=True)
    page = next(tmp_path.glob("package/dist/release/index.html"))
    run = gh.replay(TRACE, mode="virtual")
    data = json.dumps(perfetto.trace_events(run)).encode()
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for arg in ("--headless=new", "--no-sandbox", "--disable-gpu",
                f"--user-data-dir={tmp_path / 'chromium'}"):
        options.add_argument(arg)
    with webdriver.Chrome(options, webdriver.ChromeService(driver)) as browser:
        # As its own command line does.
        script = tmp_path / "gc.js"
        script.write_text(f"speedscope.loadFileFromBase64('gc.json', "
                          f"'{base64.b64encode(data).decode()}')")
        browser.get(f"{page.as_uri()}#localProfilePath={script}")
        # It shows one row at a time, and says which, of how many.
        want = f"goheap: {TRACE.name} (pid 1), GC cycles (tid 1) (1/2)"
        end = time.monotonic() + 20
        while want not in (text := browser.find_element("css selector", "body").text):
            assert time.monotonic() < end, text
            time.sleep(0.1)
