"""Prices measured on this machine, and that every result names the prices it was made with."""
from __future__ import annotations

import dataclasses
import json
import math
import pickle
from pathlib import Path

import goheap as gh
from goheap import cli

TRACE = Path(gh.__file__).parent / "data" / "compile-json.gogc20.ghtrace"
NAMES = ["alloc", "alloc_byte", "scan_byte", "sweep_page", "page_fault", "stop"]


def sound(prices):
    """How large they are is the machine's business."""
    return list(prices) == NAMES and all(
        math.isfinite(v) and 0 <= v < 1e12 for v in prices.values()) and all(
        v > 0 for k, v in prices.items() if k != "alloc_byte")


def test_measured_prices_are_costs_like_others():
    c = gh.Costs.measured()
    assert type(c) is gh.Costs and sound(dataclasses.asdict(c)) and c != gh.Costs()
    assert pickle.loads(pickle.dumps(c)) == c
    with gh.Heap(mode="virtual", costs=c) as heap:
        assert heap.costs == c
        heap.collect()
        assert heap.now_ns > 0


def test_calibrate_prints_them_beside_the_shipped_ones(capsys):
    assert cli.main(["calibrate"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["price,", "ns", "shipped", "here"] and len(lines) == 10
    shipped = [float(line.split()[-2]) for line in lines[1:7]]
    assert shipped == [getattr(gh.Costs(), name) for name in NAMES]
    made = eval(lines[8], {"Costs": gh.Costs})
    assert [f"{getattr(made, name):g}" for name in NAMES] == [
        line.split()[-1] for line in lines[1:7]]
    assert "no longer the same everywhere" in lines[9]


def test_calibrate_as_json(capsys):
    assert cli.main(["calibrate", "--json"]) == 0
    d = json.loads(capsys.readouterr().out)
    assert d["shipped"] == dataclasses.asdict(gh.Costs()) and sound(d["measured"])
    assert d["unit"] == "ns" and d["go_version"] == gh.GO_VERSION
    assert "no longer the same everywhere" in d["note"]
    gh.Costs(**d["measured"])


def test_results_name_their_costs(capsys):
    slow = gh.Costs(scan_byte=2, stop=50_000)
    r = gh.replay(TRACE, gogc=400, costs=slow, mode="stw")
    assert r.costs == slow and r.to_dict()["costs"] == dataclasses.asdict(slow)
    assert r.gc_cpu_fraction > gh.replay(TRACE, gogc=400, costs=gh.Costs(),
                                         mode="stw").gc_cpu_fraction
    with gh.Heap(costs=slow) as heap:
        assert heap.costs == slow
    assert gh.Script("goheap-script 1\nalloc 0 100 noscan\nstats s\n").run().costs == gh.Costs()
    args = ["replay", str(TRACE), "--gogc", "off"]
    assert cli.main([*args, "--costs", "shipped"]) == 0
    assert "\ncosts         as shipped\n" in capsys.readouterr().out
    assert cli.main([*args, "--costs", "measured"]) == 0
    assert "\ncosts         Costs(alloc=" in capsys.readouterr().out
