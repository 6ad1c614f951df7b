"""goheap beside real Go and others: builds the drivers, runs them by turns, prints
one table, writes figures and a picture.

    python benchmarks/run.py [-n ROUNDS] [--only WORD,...] [--quick] [--list]
                             [--json FILE] [--picture FILE]

Needs a C compiler and make. Go, other allocators, matplotlib are used where they
are; what is missing is said by name. What is measured stands in README.md here.
"""
from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys

import picture
from drivers import (BUILD, SETTINGS, Command, Failed, answer, build)
from rows import ROWS, Case, Figure, Row, cases

SLACK = 1.3  # of one case of a row, beyond the bar
MEMORY = ("peak", "rss")  # rows that are taken from the other rows' runs


def commands_of(case: Case) -> list[Command]:
    figures = [case.ours, case.theirs, *case.beside.values()]
    of_go = case.memory_of_go()
    return ([c for f in figures if f is not None for c in f.commands]
            + ([] if of_go is None else [of_go]))


def wanted(case: Case, words: list[str]) -> bool:
    return not words or any(w == case.row or w in f"{case.row}: {case.name}"
                            for w in words)


def one_round(todo: list[Case], turn: int, broken: dict[Command, str]
              ) -> dict[Command, dict]:
    """Runs each command of the cases once. Every second round the sides' order is
    the other way round."""
    answers: dict[Command, dict] = {}
    for case in todo:
        order = commands_of(case)
        for command in order if turn % 2 == 0 else reversed(order):
            if command in answers or command in broken:
                continue
            try:
                answers[command] = answer(command)
            except (Failed, ValueError, IndexError) as e:
                broken[command] = str(e)
    return answers


def values(figure: Figure | None, rounds: list[dict[Command, dict]],
           broken: dict[Command, str]) -> list[float]:
    """The figure of each round; empty if it can't be had."""
    if figure is None or any(c in broken for c in figure.commands):
        return []
    return [figure.value(*(r[c] for c in figure.commands)) for r in rounds]


# What only goheap's drivers are told: how they do the work, not what it is.
MANNERS = {"huge", "beside", "beside2", "notypes"}


def check(answers: dict[Command, dict]) -> None:
    """All sides must have done the same work."""
    said: dict[tuple, tuple[Command, object]] = {}
    for command, told in answers.items():
        if command.side == "python":
            continue
        if "check" not in told:
            raise Failed(f"{command}: doesn't say what its work came to")
        work = command.name, tuple(a for a in command.args if a not in MANNERS)
        other, what = said.setdefault(work, (command, told["check"]))
        if what != told["check"]:
            raise Failed(f"{command}: its check is {told['check']}, that of {other} {what}")


def memory_cases(todo: list[Case], rounds: list[dict[Command, dict]]) -> list[Case]:
    """The rows of memory, from the same runs."""
    out = []
    for key in MEMORY:
        for case in todo:
            theirs = case.memory_of_go()
            if theirs is None:
                continue
            pair = case.ours.commands[0], theirs
            if all(r.get(c, {}).get(key) for r in rounds for c in pair):
                ours, go = (Figure((c,), lambda a, key=key: a[key] / 2**20)
                            for c in pair)
                out.append(Case(key, f"{case.row}: {case.name}", "MiB", ours, go))
    return out


def summary(case: Case, rounds: list[dict[Command, dict]],
            broken: dict[Command, str]) -> dict | None:
    """Medians, and the median and spread of the rounds' own ratios."""
    ours = values(case.ours, rounds, broken)
    theirs = values(case.theirs, rounds, broken)
    if not ours:
        return None
    out = {"row": case.row, "name": case.name, "unit": case.unit,
           "against": case.against, "ours": statistics.median(ours),
           "ours_all": ours,
           "commands": sorted({str(c) for c in commands_of(case)})}
    if theirs:
        ratios = [x / y for x, y in zip(ours, theirs)]
        out |= {"theirs": statistics.median(theirs), "theirs_all": theirs,
                "ratio": statistics.median(ratios), "ratios": ratios}
    out["beside"] = {name: statistics.median(v) for name, f in case.beside.items()
                     if (v := values(f, rounds, broken))}
    return out


def verdict(row: Row, of_row: list[dict]) -> dict:
    """Whether the row's bar is met: its geometric mean, and each case."""
    ratios = [r["ratio"] for r in of_row if "ratio" in r]
    out = {"row": row.name, "title": row.title, "at_most": row.at_most,
           "at_least": row.at_least}
    if not ratios:
        return out
    out["mean"] = statistics.geometric_mean(ratios)
    out["worst"] = max(ratios) if row.at_most is not None else min(ratios)
    if row.at_most is not None or row.at_least is not None:
        met = True
        if row.at_most is not None:
            met = out["mean"] <= row.at_most and max(ratios) <= SLACK * row.at_most
        if row.at_least is not None:
            met = (met and out["mean"] >= row.at_least
                   and min(ratios) >= row.at_least / SLACK)
        out["met"] = met
    return out


# ---- telling -----------------------------------------------------------------

def figure(value: float) -> str:
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def bar_text(v: dict) -> str:
    if v["at_most"] is None and v["at_least"] is None:
        return ""
    if v["at_most"] is None:
        bar = f"at least {v['at_least']:g}"
    elif v["at_least"] is None:
        bar = f"at most {v['at_most']:g}"
    else:
        bar = f"{v['at_least']:g} to {v['at_most']:g}"
    return bar + (": " + ("met" if v["met"] else "MISSED") if "met" in v else "")


def extremes(of_row: list[dict]) -> list[dict]:
    """The cases with the smallest and the largest ratio."""
    by_ratio = sorted(of_row, key=lambda r: r["ratio"])
    return [by_ratio[0], by_ratio[-1]] if len(by_ratio) > 1 else by_ratio


def table(results: list[dict], verdicts: list[dict]) -> str:
    lines = [f"| {'work':43} | unit      |   goheap |   beside | what       |"
             f" ratio | spread      | bar |",
             f"|{'-' * 45}|-----------|---------:|---------:|------------|"
             f"------:|-------------|-----|"]
    for v in verdicts:
        of_row = [r for r in results if r["row"] == v["row"]]
        mean = f"{v['mean']:.2f}" if "mean" in v else ""
        lines.append(f"| **{v['title'] + '**':41} |           |          |          |"
                     f"            | {mean:>5} |             | {bar_text(v)} |")
        if v["row"] in MEMORY:
            of_row = extremes(of_row)  # the figures' file has all of them
        for r in of_row:
            ratio = spread = theirs = ""
            if "ratio" in r:
                theirs = figure(r["theirs"])
                ratio = f"{r['ratio']:.2f}"
                spread = f"{min(r['ratios']):.2f}–{max(r['ratios']):.2f}"
            others = ", ".join(f"{k} {figure(x)}" for k, x in r["beside"].items())
            lines.append(f"| {r['name']:43} | {r['unit']:9} | "
                         f"{figure(r['ours']):>8} | {theirs:>8} | "
                         f"{r['against'] if theirs else '':10} | {ratio:>5} | "
                         f"{spread:11} | {others} |")
    return "\n".join(lines)


def machine() -> dict:
    model = ""
    try:
        with open("/proc/cpuinfo") as f:
            model = next((x.split(":", 1)[1].strip() for x in f
                          if x.startswith("model name")), "")
    except OSError:
        pass
    return {"system": platform.system(), "machine": platform.machine(),
            "cpu": model, "cores": os.cpu_count(),
            "python": platform.python_version()}


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("-n", "--rounds", type=int, default=7)
    p.add_argument("--only", metavar="WORD,...", default="",
                   help="rows of that name, and cases whose name has it")
    p.add_argument("--quick", action="store_true",
                   help="a tenth of the work: to see that everything runs")
    p.add_argument("--list", action="store_true", help="say what there is, and end")
    p.add_argument("--json", metavar="FILE",
                   default=os.path.join(BUILD, "bench.json"))
    p.add_argument("--picture", metavar="FILE",
                   default=os.path.join(BUILD, "bench.png"))
    args = p.parse_args()
    if args.rounds < 1:
        p.error(f"--rounds: {args.rounds} is less than 1")
    return args


def main() -> int:
    args = arguments()
    words = [w for w in args.only.split(",") if w]
    todo = [c for c in cases(args.quick) if wanted(c, words)]
    only_memory = bool(words) and all(w in MEMORY for w in words)
    if only_memory:
        todo = cases(args.quick)
    if args.list:
        for c in todo:
            print(f"{c.row}: {c.name}")
        return 0
    if not todo:
        print(f"no row is left of --only {args.only}; --list says what there is",
              file=sys.stderr)
        return 2
    os.makedirs(BUILD, exist_ok=True)
    try:
        broken = build({c for case in todo for c in commands_of(case)})
    except Failed as e:
        sys.exit(str(e))
    skipped = sorted(set(broken.values()))
    for s in skipped:
        print("skipped:", s, file=sys.stderr)

    rounds = []
    missing = set(broken)
    for n in range(args.rounds):
        print(f"round {n + 1} of {args.rounds}", file=sys.stderr)
        rounds.append(one_round(todo, n, broken))
        try:
            check(rounds[-1])
        except Failed as e:
            sys.exit(str(e))
    failures = {str(c): why for c, why in broken.items() if c not in missing}
    for c, why in failures.items():
        print(f"failed: {c}: {why}", file=sys.stderr)

    every = todo + memory_cases(todo, rounds)
    if only_memory:
        every = [c for c in every if c.row in words]
    results = [r for c in every if (r := summary(c, rounds, broken)) is not None]
    shown = {r["row"] for r in results}
    verdicts = [verdict(row, [r for r in results if r["row"] == row.name])
                for row in ROWS if row.name in shown]
    print(table(results, verdicts))
    with open(args.json, "w") as f:
        json.dump({"rounds": args.rounds, "quick": args.quick, "settings": SETTINGS,
                   "machine": machine(), "skipped": skipped, "failed": failures,
                   "rows": verdicts, "results": results}, f, indent=1)
        f.write("\n")
    print(f"figures: {args.json}", file=sys.stderr)
    print(picture.draw(verdicts, results, args.picture), file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
