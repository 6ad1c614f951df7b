"""goheap.replay of a made history: replay_growth.py EVENTS [MODE].

The same program, running longer: sizes from 16 bytes to 2 KiB, most objects dead after
a few hundred others, a few after fifty thousand. Half of the events are births. again_s
is the quickest of three replays, or the only one beyond 2e7 events; the file is made
and surveyed before.
"""
import itertools
import json
import operator
import os
import random
import sys
import time
from array import array

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import goheap  # noqa: E402

PATTERN = 10_007  # rows, again and again
NS = 100  # between two births

events = int(sys.argv[1])
mode = sys.argv[2] if len(sys.argv) > 2 else "stw"
n = events // 2
r = random.Random(1)
sizes = [int(16 * 2 ** r.expovariate(0.9)) for _ in range(PATTERN)]
sizes = [min(s, 2048) for s in sizes]
lives = [NS * (r.randrange(50_000) if r.random() < 0.05 else r.randrange(1, 500))
         for _ in range(PATTERN)]
times = -(-n // PATTERN)
births = array("q", range(0, n * NS, NS))
deaths = array("q", map(operator.add, births, itertools.cycle(lives)))
trace = goheap.Trace.from_columns(
    size=(array("q", sizes) * times)[:n], birth_ns=births, death_ns=deaths,
    scan=(array("q", (s // 8 * 8 if s > 32 else 0 for s in sizes)) * times)[:n])
del births, deaths
goheap.replay(trace, gogc=100, mode=mode)
best, wall = 1e9, 1e9
for _ in range(3 if events <= 20_000_000 else 1):
    cpu, clock = time.process_time(), time.monotonic()
    result = goheap.replay(trace, gogc=100, mode=mode)
    best = min(best, time.process_time() - cpu)
    wall = min(wall, time.monotonic() - clock)
print(json.dumps({"cpu_s": best, "wall_s": wall, "events": result.events,
                  "objects": result.objects, "again_s": best,
                  "gcs": result.automatic_gc + result.forced_gc}))
