"""What real Go does: programs recorded once and run under eight settings, into one JSON
file that benchmarks/whatif_truth.py reads.

    make.py DIR [--only NAME,...] [--runs 3]

DIR gets NAME.gogc20.ghtrace for each program and truth.json. Needs Go 1.26 and a machine
with nothing else to do: a collector that has to wait for a processor ends later, and so
collects less often.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(os.path.dirname(HERE)))

from goheap import record  # noqa: E402
from goheap.trace import convert  # noqa: E402

PROCS = 2
OWN = ("batch", "cache", "json", "pool", "server", "stacks")


def go(*args, cwd=HERE):
    return subprocess.run(["go", *args], cwd=cwd, check=True, capture_output=True,
                          text=True).stdout.strip()


def programs(folder):
    """{name: (main package, its folder, arguments)}"""
    root = go("env", "GOROOT")
    found = {name: (".", HERE, [name]) for name in OWN}
    found["gofmt-crypto"] = ("cmd/gofmt", HERE, ["-l", os.path.join(root, "src/crypto")])
    imports = os.path.join(folder, "importcfg")
    with open(imports, "w", encoding="utf-8") as f:
        f.write(go("list", "-export", "-deps", "-f",
                   "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}", "go/types"))
    types = os.path.join(root, "src/go/types")
    files = go("list", "-f", "{{range .GoFiles}}{{.}} {{end}}", "go/types").split()
    found["compile-types"] = ("cmd/compile", HERE, [
        "-p", "go/types", "-importcfg", imports, "-o", os.devnull, "-c=2", "-std",
        *(os.path.join(types, x) for x in files)])
    return found


def collections(log):
    """What gctrace said: sizes in MB of each cycle."""
    names = ("heap_at_start", "heap_at_mark_end", "live", "goal")
    rows = [[int(x) for x in m] for m in re.findall(
        r"^gc .* (\d+)->(\d+)->(\d+) MB, (\d+) MB goal", log, re.M)]
    return {name: [r[i] for r in rows] for i, name in enumerate(names)}


def run(program, args, gogc, limit, folder):
    """One run that nobody traces."""
    stats = os.path.join(folder, "stats")
    env = {**os.environ, "GOGC": gogc, "GOMAXPROCS": str(PROCS), "GODEBUG": "gctrace=1",
           "GOHEAP_STATS": stats}
    env.pop("GOMEMLIMIT", None)
    if limit:
        env["GOMEMLIMIT"] = limit
    log = subprocess.run([program, *args], env=env, check=True, stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True).stderr
    with open(stats, encoding="utf-8") as f:
        s = json.load(f)
    end, metrics = s["End"], s["Metrics"]
    return {
        "num_gc": end["NumGC"], "num_forced_gc": end["NumForcedGC"],
        "total_alloc": end["TotalAlloc"], "mallocs": end["Mallocs"],
        "heap_sys": end["HeapSys"], "sys": end["Sys"], "max_rss_kib": s["MaxRSSKiB"],
        "wall_ns": s["WallNs"], "user_ns": s["UserNs"], "sys_ns": s["SysNs"],
        "gc_cpu_s": metrics["/cpu/classes/gc/total:cpu-seconds"],
        "gc_idle_cpu_s": metrics["/cpu/classes/gc/mark/idle:cpu-seconds"],
        "cpu_total_s": metrics["/cpu/classes/total:cpu-seconds"],
        "gctrace_mb": collections(log),
    }


def truth(name, package, folder, args, out, runs):
    with tempfile.TemporaryDirectory() as work:
        program = os.path.join(work, name)
        os.chdir(folder)
        record.build(package, program)
        trace = os.path.join(work, "trace")
        env = record.environment("20", None)
        env.update(GOHEAP_TRACE=trace, GOMAXPROCS=str(PROCS))
        subprocess.run([program, *args], env=env, check=True, stdout=subprocess.DEVNULL)
        file = f"{name}.gogc20.ghtrace"
        convert(trace, os.path.join(out, file), note=" ".join((package, *args[:6])))
        settings = []

        def add(gogc, limit):
            took = [run(program, args, gogc, limit, work) for _ in range(runs)]
            settings.append({"GOGC": gogc, "GOMEMLIMIT": limit, "runs": took})
            return sorted(r["max_rss_kib"] for r in took)[runs // 2]

        peak = {gogc: add(gogc, None) for gogc in ("50", "100", "200", "400")}["100"]
        for share in (0.7, 1.3):
            limit = f"{round(share * peak / 1024)}MiB"
            for gogc in ("100", "off"):
                add(gogc, limit)
    return {"recorded": {"20": {"file": file}}, "settings": settings}


def main():
    ap = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out", metavar="DIR")
    ap.add_argument("--only", default="")
    ap.add_argument("--runs", type=int, default=3)
    args = ap.parse_args()
    out = os.path.abspath(args.out)
    os.makedirs(out, exist_ok=True)
    path = os.path.join(out, "truth.json")
    known = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            known = json.load(f)["programs"]
    for name, (package, folder, arguments) in programs(out).items():
        if args.only and name not in args.only.split(","):
            continue
        known[name] = truth(name, package, folder, arguments, out, args.runs)
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"go": go("env", "GOVERSION"), "gomaxprocs": PROCS,
                       "programs": known}, f, indent=1)
        print(name, [sorted(r["num_gc"] for r in s["runs"]) for s in known[name]["settings"]])


if __name__ == "__main__":
    main()
