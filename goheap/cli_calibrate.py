"""goheap calibrate: the virtual clock's prices on this machine, beside the shipped ones."""
from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from . import GO_VERSION
from .settings import Costs

WHAT = {
    "alloc": "an allocation", "alloc_byte": "a byte of the slot handed out",
    "scan_byte": "a byte of scan work", "sweep_page": "a page swept",
    "page_fault": "a page first used", "stop": "stopping or starting the world",
}
NOTE = ("Figures under measured prices are this machine's own: they are no longer the same "
        "everywhere.")


def add_calibrate_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "calibrate", help="measure the virtual clock's prices on this machine",
        description="Measure what the virtual clock's steps cost on this machine, in a second "
                    "or two. Nothing is changed by it: who wants these prices passes them on.")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    p.set_defaults(function=run_calibrate)


def run_calibrate(args: argparse.Namespace) -> int:
    """0: done."""
    shipped, measured = Costs(), Costs.measured()
    if args.json:
        print(json.dumps({"go_version": GO_VERSION, "unit": "ns",
                          "shipped": dataclasses.asdict(shipped),
                          "measured": dataclasses.asdict(measured), "note": NOTE}))
        return 0
    print("%-32s %10s %10s" % ("price, ns", "shipped", "here"))
    for name, what in WHAT.items():
        print("%-32s %10g %10g" % (what, getattr(shipped, name), getattr(measured, name)))
    print(f"\n{measured!r}\n{NOTE}")
    return 0
