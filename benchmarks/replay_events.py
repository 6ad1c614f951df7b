"""goheap.replay of a recording at GOGC=100: replay_events.py PATH [MODE].

The first replay of a file surveys it too; again_s is the quickest of five others,
which know its survey, as all but the first setting of a what-if do, and with the world
stopped read the digest that the first one left in place of the file.
"""
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import goheap  # noqa: E402

mode = sys.argv[2] if len(sys.argv) > 2 else "stw"
cpu, wall = time.process_time(), time.monotonic()
r = goheap.replay(sys.argv[1], gogc=100, mode=mode)
answer = {
    "cpu_s": time.process_time() - cpu, "wall_s": time.monotonic() - wall,
    "events": r.events, "objects": r.objects,
    "gcs": r.automatic_gc + r.forced_gc,
}
again = 1e9
for _ in range(5):
    t = time.process_time()
    goheap.replay(sys.argv[1], gogc=100, mode=mode)
    again = min(again, time.process_time() - t)
print(json.dumps(answer | {"again_s": again}))
