"""10,000 damaged recordings, of both kinds: each is read, or refused by a clear error, in
bounded memory. The same seed damages the same bytes.

    python tests/traces/fuzz.py [--count N] [--seed S]
"""
import argparse
import gzip
import os
import random
import resource
import sys
import tempfile
import time

import goheap
from goheap import Trace, TraceError

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from test_gotrace import SAMPLES, mutate, sample  # noqa: E402

MEMORY = 1 << 30  # bytes resident, at most


def sources(folder):
    """Name and bytes of what is damaged: Go's traces, plain and zipped, and GHTRACE1."""
    for name in SAMPLES:
        with gzip.open(sample(name)) as f:
            yield name, f.read()
    with open(sample("go1.26"), "rb") as f:
        yield "go1.26.gz", f.read()
    path = os.path.join(folder, "x.ghtrace")
    with Trace.open(sample("go1.26")) as t:
        t.save(path)
    with open(path, "rb") as f:
        yield "ghtrace", f.read()
    with Trace.from_columns(size=range(1, 500), birth_ns=range(499), death_ns=range(1000, 1499),
                            scan=[0, 0, 0] + [1] * 496, p=[i % 3 for i in range(499)]) as t:
        t.save(path)
    with open(path, "rb") as f:
        yield "columns", f.read()


def tried(path):
    """What came of it: "read", "repaired" or "refused". The errors that may come are named."""
    try:
        with Trace.open(path) as t:
            repairs = t.repairs
            len(t.events), t.types, dict(t.info)
            goheap.replay(t, gogc=100, memory_limit="off", procs=2, mode="stw")
            return "repaired" if repairs else "read"
    except TraceError as e:
        assert e.path == path and e.message and "\n" not in str(e)
        return "refused"
    except MemoryError as e:  # a sound header may ask for an object of a terabyte
        assert path in str(e)
        return "refused"


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--count", type=int, default=10_000)
    ap.add_argument("--seed", type=int, default=1)
    args = ap.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        kinds = list(sources(folder))
        counts = {name: {} for name, _ in kinds}
        path = os.path.join(folder, "damaged")
        for i in range(args.count):
            name, data = kinds[i % len(kinds)]
            with open(path, "wb") as f:
                f.write(mutate(data, random.Random(f"{args.seed}/{i}")))
            try:
                outcome = tried(path)
            except BaseException:
                print(f"number {i} ({name}), seed {args.seed}")
                raise
            counts[name][outcome] = counts[name].get(outcome, 0) + 1
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
            assert used < MEMORY, f"number {i} ({name}): {used >> 20} MiB"
    for name, found in counts.items():
        print("%-10s %s" % (name, ", ".join(f"{n} {k}" for k, n in sorted(found.items()))))
    print("%d files, %d MiB at most, %.0f s" % (args.count, used >> 20, time.monotonic() - began))


if __name__ == "__main__":
    main()
