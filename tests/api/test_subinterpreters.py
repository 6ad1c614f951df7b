"""Sub-interpreters: each has a goheap of its own, and from Python 3.12 on its own GIL."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A child process: what goes wrong here ends a process. Four interpreters at once, a thread
# each; argv is where goheap is, and how often.
CHILD = '''
import sys, threading
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

INSIDE = """
import sys
sys.path.insert(0, %r)
import goheap as gh

class Node(gh.Struct):
    next: gh.Ptr["Node"]

with gh.Heap(mode=%r, procs=2, address_space="1GiB") as heap:
    head = None
    for _ in range(5000):
        head = heap.new(Node, next=head)
    heap.collect()
    assert heap.info(head).size == 8 and heap.cycles
    assert not heap.verify(), heap.verify()
kept = gh.Heap(mode=%r, procs=2, address_space="1GiB")  # open when the interpreter ends
kept.alloc(64)
"""
wrong = []

def one(mode):
    inside = INSIDE % (sys.argv[1], mode, mode)
    for _ in range(int(sys.argv[2])):
        try:
            made = interpreters.create()
            said = getattr(interpreters, "exec", interpreters.run_string)(made, inside)
            if said is not None:
                wrong.append(said.formatted)
            interpreters.destroy(made)
        except Exception as e:
            wrong.append(repr(e))

threads = [threading.Thread(target=one, args=(mode,))
           for mode in ("stw", "virtual", "concurrent", "concurrent")]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(len(wrong), *wrong, sep="\\n")
'''


def test_heaps_of_four_interpreters_at_once() -> None:
    made = subprocess.run([sys.executable, "-c", CHILD, str(ROOT), "3"],
                          capture_output=True, text=True, timeout=120)
    if "No module named '_xxsubinterpreters'" in made.stderr:
        pytest.skip("this Python has no sub-interpreters")
    assert made.returncode == 0, made.stderr[-2000:]
    assert made.stdout.splitlines()[0] == "0", made.stdout


def test_import_brings_no_decimal() -> None:
    # _decimal keeps state of the process: two interpreters that import it at once, each
    # under its own GIL, corrupt the heap of CPython 3.12.
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import goheap; " \
           "print('_decimal' in sys.modules)"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          timeout=60)
    assert made.stdout.strip() == "False", made.stdout + made.stderr
