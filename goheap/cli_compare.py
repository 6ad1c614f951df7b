"""goheap compare: a script on our heap and in the Go that is installed."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from .errors import HeapError, ScriptError
from .gocompare import LEVELS, GoMissing, compare
from .script import Script


def add_compare_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "compare", help="run scripts in real Go, too, and print the differences",
        description="Run allocation scripts on our heap and in the Go 1.26 that is installed, and "
                    "print every figure that differs. Ends with 0: none; 1: some; 3: a script was "
                    "refused or wrong; 4: no Go 1.26.")
    p.add_argument("files", nargs="+", metavar="FILE", help="a script (goheap-script 1)")
    p.add_argument("--level", choices=LEVELS, default="core",
                   help="core: what any faithful heap must show (default); layout: page numbers "
                        "and addresses, too; all: Go's own records, too")
    p.add_argument("--go", metavar="GO", help="the go command; default: go on the path")
    p.add_argument("--json", action="store_true", help="print JSON")
    p.set_defaults(function=run_compare)


def run_compare(args: argparse.Namespace) -> int:
    differ = wrong = False
    shown = []
    for path in args.files:
        try:
            table = compare(Script.from_file(path), args.level, args.go)
        except GoMissing as e:
            print(f"goheap compare: {e}", file=sys.stderr)
            return 4
        except (ScriptError, HeapError, OSError, UnicodeDecodeError) as e:
            print(f"goheap compare: {path}: {e}", file=sys.stderr)
            wrong = True
            continue
        differ = differ or len(table) > 0
        shown.append({"file": path, "differences": [d._asdict() for d in table]})
        if not args.json:
            print(f"{path}: {len(table)} differences")
            for d in table:
                print(f"  {d.level:7} {d.figure}: Go has {d.go}, goheap {d.goheap}")
    if args.json:
        json.dump(shown, sys.stdout, indent=1)
        sys.stdout.write("\n")
    return 3 if wrong else 1 if differ else 0
