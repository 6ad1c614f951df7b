"""One goheap.replay of the recording named on the command line at GOGC=100;
prints its events and seconds as JSON."""
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import goheap  # noqa: E402

cpu, wall = time.process_time(), time.monotonic()
r = goheap.replay(sys.argv[1], gogc=100, mode="stw")
print(json.dumps({
    "cpu_s": time.process_time() - cpu, "wall_s": time.monotonic() - wall,
    "events": r.events, "objects": r.objects,
    "gcs": r.automatic_gc + r.forced_gc,
}))
