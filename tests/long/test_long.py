"""The long runs, made short: `make leaks` and `make stress` are the long ones."""
from __future__ import annotations

import subprocess
import sys

import leaks
import pytest
import stress

SECONDS = 5
# A sanitizer keeps memory back, so that maps and resident memory tell nothing.
with open("/proc/self/maps") as _maps:
    SANITIZED = "/libasan" in _maps.read()


@pytest.mark.parametrize("kind", leaks.KINDS)
def test_nothing_stays(kind):
    # In a process of its own: others' garbage must not count.
    code = (f"import leaks; grown = leaks.repeat(leaks.KINDS[{kind!r}], 200); print(grown); "
            f"assert {SANITIZED} or not leaks.wrong(grown)")
    r = subprocess.run([sys.executable, "-c", code], cwd=leaks.__file__.rpartition("/")[0],
                       capture_output=True, text=True, timeout=100)
    assert r.returncode == 0, r.stdout + r.stderr


def test_64_heaps_at_once():
    leaks.at_once()


@pytest.mark.parametrize("job", stress.JOBS)
def test_four_threads(job):
    stress.run(job, SECONDS / 2)
    stress.run(job, SECONDS / 2, "virtual")
