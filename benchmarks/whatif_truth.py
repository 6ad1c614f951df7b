"""What_if against real runs: a table, and how many figures are where they should be.

    whatif_truth.py TRUTH.json [--traces DIR] [--only PROGRAM,...] [--gogc 20]

TRUTH.json: {"programs": {name: {"recorded": {"20": {"file": ...}}, "settings": [{"GOGC",
"GOMEMLIMIT", "median", "range", "runs"}]}}}, each setting run three times by real Go. A
prediction is right if collections are within 0.9 times the lowest to 1.1 times the highest of
the runs (at least 1 off), and the peak of resident memory within 10 % of their range.
"""
import argparse
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from goheap.whatif import what_if  # noqa: E402


def limit(text):
    return None if not text else int(text[:-3]) << 20


def predicted(path, settings):
    """{(gogc, limit): Prediction} and the calibration."""
    found, calibration = {}, {}
    for limits in sorted({s["GOMEMLIMIT"] or "" for s in settings}):
        gogc = [s["GOGC"] for s in settings if (s["GOMEMLIMIT"] or "") == limits]
        w = what_if(path, gogc=gogc, memory_limit=[limits or None])
        calibration = w.calibration
        found.update({(p.gogc, p.memory_limit): p for p in w})
    return found, calibration


def main():
    ap = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("truth")
    ap.add_argument("--traces", help="where the recordings are; default: beside TRUTH")
    ap.add_argument("--only", default="")
    ap.add_argument("--gogc", default="20", help="which recording; default %(default)s")
    args = ap.parse_args()
    with open(args.truth, encoding="utf-8") as f:
        programs = json.load(f)["programs"]
    folder = args.traces or os.path.dirname(args.truth)
    score = dict.fromkeys(("free", "limited", "rss", "interval", "rss interval"), 0)
    total = dict.fromkeys(score, 0)
    began = time.monotonic()
    for name, program in programs.items():
        if args.only and name not in args.only.split(","):
            continue
        path = os.path.join(folder, program["recorded"][args.gogc]["file"])
        found, c = predicted(path, program["settings"])
        print("%s: recorded setting %d collections, %d recorded" % (
            name, c["cycles_replayed"], c["cycles_recorded"]))
        for s in program["settings"]:
            p = found[None if s["GOGC"] == "off" else int(s["GOGC"]), limit(s["GOMEMLIMIT"])]
            gc = [r["num_gc"] - r["num_forced_gc"] for r in s["runs"]]
            rss = [r["max_rss_kib"] << 10 for r in s["runs"]]
            n, peak = p.automatic_gc, p.peak_rss_bytes
            middle, middle_rss = sorted(gc)[len(gc) // 2], sorted(rss)[len(rss) // 2]
            right = {
                "limited" if s["GOMEMLIMIT"] else "free":
                    min(0.9 * min(gc), min(gc) - 1) <= n.value <= max(1.1 * max(gc), max(gc) + 1),
                "rss": 0.9 * min(rss) <= peak.value <= 1.1 * max(rss),
                "interval": n.low <= middle <= n.high,
                "rss interval": peak.low <= middle_rss <= peak.high,
            }
            for key, ok in right.items():
                score[key] += ok
                total[key] += 1
            print("  GOGC=%-4s %-8s gc %3.0f (%.0f-%.0f), real %d-%d   rss %5.1f (%.1f-%.1f) MiB, "
                  "real %.1f-%.1f%s" % (
                      s["GOGC"], s["GOMEMLIMIT"] or "", *n, min(gc), max(gc),
                      *(b / (1 << 20) for b in (*peak, min(rss), max(rss))),
                      "".join(" !" + key for key, ok in right.items() if not ok)))
    print(", ".join("%s %d of %d" % (k, score[k], total[k]) for k in score),
          "in %.0f s" % (time.monotonic() - began))


if __name__ == "__main__":
    main()
