"""The command line: goheap run, classes, replay, convert, record, report, calibrate, what-if,
advise, compare, demo."""
from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys

from . import GO_VERSION, Policy, Script, ScriptError, __version__, _core, explain
from .cli_calibrate import add_calibrate_parser
from .cli_convert import add_convert_parser
from .cli_record import add_record_parser
from .cli_replay import add_replay_parser
from .cli_report import add_report_parser
from .cli_compare import add_compare_parser
from .cli_whatif import add_whatif_parsers
from .demo import add_demo_parser

CLASS_KEYS = ("size", "span_bytes", "objects", "objects_scan", "tail_waste", "max_waste")


def run(args: argparse.Namespace) -> int:
    """0: all ran; 3: one was refused; 1: one was wrong."""
    refused = wrong = False
    for path in args.files:
        try:
            result = Script.from_file(path).run(threads=args.threads)
        except ScriptError as e:
            print("goheap run: %s: %s" % (path, e), file=sys.stderr)
            refused, wrong = refused or e.refused, wrong or not e.refused
            continue
        except (OSError, UnicodeDecodeError) as e:
            print("goheap run: %s: %s" % (path, e), file=sys.stderr)
            wrong = True
            continue
        if args.output:
            os.makedirs(args.output, exist_ok=True)
            stem = os.path.splitext(os.path.basename(path))[0]
            with open(os.path.join(args.output, stem + ".json"), "w", encoding="utf-8") as f:
                f.write(result.to_json())
        elif args.json:
            sys.stdout.write(result.to_json())
        else:
            print("%s: %d allocations, %d snapshots, %d cycles" % (
                path, result.data["allocs"], len(result.stats),
                sum(e["ev"] == "end" for e in result.gc_log)))
    return 1 if wrong else 3 if refused else 0


def classes(args: argparse.Namespace) -> int:
    try:
        policy = _policy(args)
    except ValueError as e:
        print("goheap classes: %s" % e, file=sys.stderr)
        return 2
    rows = _core.class_table(policy)
    if args.json:
        print(json.dumps([dict(zip(CLASS_KEYS, r)) for r in rows]))
        return 0
    print("class   size   span  objects  with pointers  tail  max waste")
    for i, (size, span, objects, scan, tail, waste) in enumerate(rows, 1):
        print("%5d %6d %6d %8d %14d %5d %9.2f%%" % (i, size, span, objects, scan, tail, waste * 100))
    return 0


def _policy(args: argparse.Namespace) -> Policy:
    """The policy of --sizes."""
    if args.sizes is None:
        return Policy()
    try:
        sizes = [int(s) for s in args.sizes.split(",")]
    except ValueError:
        raise ValueError("--sizes: whole numbers with commas, not %r" % args.sizes) from None
    return Policy(size_classes=sizes, tiny=16 in sizes)


def _size(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def explain_sizes(args: argparse.Namespace) -> int:
    try:
        policy = _policy(args)
        told = [explain(_size(s), pointers=args.pointers, policy=policy) for s in args.what]
    except (ValueError, OverflowError) as e:
        print("goheap explain: %s" % e, file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps([dataclasses.asdict(e) for e in told]))
    else:
        print("\n".join(str(e) for e in told))
    return 0


def main(argv: list[str] | None = None) -> int:
    ap = argparse.ArgumentParser(prog="goheap", description=__doc__)
    ap.add_argument("--version", action="version", version="goheap %s (%s)" % (__version__, GO_VERSION))
    sub = ap.add_subparsers(dest="command", required=True)
    p = sub.add_parser("run", help="run allocation scripts")
    p.add_argument("files", nargs="+", metavar="FILE")
    p.add_argument("--json", action="store_true", help="print the results as JSON")
    p.add_argument("-o", dest="output", metavar="DIR", help="write DIR/STEM.json for each")
    p.add_argument("--threads", action="store_true",
                   help="real threads where a script asks for concurrent collection or par")
    p.set_defaults(function=run)
    p = sub.add_parser("classes", help="the table of size classes")
    p.add_argument("--json", action="store_true")
    p.add_argument("--sizes", metavar="N,N,...", help="a table of your own, as Policy's size_classes")
    p.set_defaults(function=classes)
    p = sub.add_parser("explain", help="the way of an allocation of SIZE bytes")
    p.add_argument("what", nargs="+", metavar="SIZE", help='bytes, or Go\'s spelling ("64KiB")')
    p.add_argument("--pointers", action="store_true", help="of an object with pointers")
    p.add_argument("--sizes", metavar="N,N,...", help="another table of size classes")
    p.add_argument("--json", action="store_true")
    p.set_defaults(function=explain_sizes)
    add_replay_parser(sub)
    add_convert_parser(sub)
    add_record_parser(sub)
    add_report_parser(sub)
    add_calibrate_parser(sub)
    add_whatif_parsers(sub)
    add_compare_parser(sub)
    add_demo_parser(sub)
    args = ap.parse_args(argv)
    status: int = args.function(args)
    return status


if __name__ == "__main__":
    sys.exit(main())
