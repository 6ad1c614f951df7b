"""Four Python threads on one heap.

    python tests/long/stress.py [--seconds N] [JOB ...]

Each job runs for that long on a heap of its own: all threads do it, and besides the
little that it needs. A job fails if something that was reachable is lost, a number is
not what was written, or verify() finds anything."""
from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections.abc import Callable

import goheap as gh

THREADS = 4
SLOTS = 500


class Node(gh.Struct):
    left: gh.Ptr[Node]
    any: gh.Ptr
    key: gh.int64
    twice: gh.int64  # 2 * key, so that a torn or reused object is seen


class World:
    """One heap and what the threads share: a block of roots and a list of handles."""

    def __init__(self, mode: str) -> None:
        self.heap = gh.Heap(procs=3, gogc=60, mode=mode,
                            policy=gh.Policy(sweep="lazy", min_heap="256KiB"))
        self.roots = self.heap.new_many(Node, SLOTS)
        self.handles: list[object] = [None] * 64
        self.deadline = 0.0
        self.steps = [0] * THREADS
        self.errors: list[BaseException] = []


def node(w: World, rng: random.Random) -> Node:
    key = rng.randrange(1 << 40)
    return w.heap.new(Node, key=key, twice=2 * key)


def check(ref: Node | None) -> None:
    if ref is not None and type(ref) is Node:
        key, twice = ref.key, ref.twice
        assert twice == 2 * key, (key, twice)


def alloc(w: World, rng: random.Random) -> None:
    for _ in range(20):
        block = w.heap.alloc(rng.choice((0, 1, 9, 100, 1000, 20_000, 100_000)))
        if len(block):
            view = memoryview(block)
            assert view[-1] == 0
            view[-1] = 255
        made = node(w, rng)
        made.any = block
        w.roots[rng.randrange(SLOTS)] = made
    if rng.random() < 0.1:
        many = w.heap.new_many(Node, rng.randrange(1, 300))
        many.store("key", range(len(many)))
        many.store("twice", range(0, 2 * len(many), 2))


def store(w: World, rng: random.Random) -> None:
    for _ in range(40):
        a, b = w.roots[rng.randrange(SLOTS)], w.roots[rng.randrange(SLOTS)]
        check(a)
        if a is not None:
            a.left = None if rng.random() < 0.2 else b
            check(a.left)
    if rng.random() < 0.2:
        w.roots[rng.randrange(SLOTS)] = node(w, rng)
    if rng.random() < 0.02:
        try:
            w.roots[:50].store("left", w.roots[50:100])
        except ValueError as e:
            assert "is nil" in str(e), e  # another thread cleared a slot


def drop(w: World, rng: random.Random) -> None:
    """Handles go, in threads that did not make them, in any phase."""
    for _ in range(20):
        i = rng.randrange(len(w.handles))
        w.handles[i] = node(w, rng) if rng.random() < 0.5 else None
        w.roots[rng.randrange(SLOTS)] = None
        w.roots[rng.randrange(SLOTS)] = w.handles[rng.randrange(len(w.handles))]
    if rng.random() < 0.1:
        a = rng.randrange(SLOTS)
        w.roots[a:a + 30].clear()


def collect(w: World, rng: random.Random) -> None:
    what = rng.randrange(8)
    heap = w.heap
    try:
        if what < 3:
            heap.collect()
        elif what == 3:
            heap.gc_start()
        elif what == 4:
            heap.gc_step(rng.randrange(200))
        elif what == 5:
            heap.gc_finish()
        elif what == 6:
            heap.free_os_memory()
        else:
            heap.gogc = rng.choice((None, 20, 100, 300))
            heap.procs = rng.randrange(1, 5)
    except gh.HeapStateError:
        pass  # another thread was first
    store(w, rng)
    alloc(w, rng)


def snapshot(w: World, rng: random.Random) -> None:
    snap = w.heap.snapshot(edges=rng.random() < 0.5)
    there = {a: t for a, t in zip(snap.objects["addr"], snap.objects["type"])}
    assert len(there) == len(snap.objects)
    if rng.random() < 0.3:
        snap.census()
        repr(w.heap.stats()), w.heap.heap_goal
    with w.heap.watch() as log:
        alloc(w, rng)
    assert all(e.t_ns >= 0 for e in log)
    drop(w, rng)


def everything(w: World, rng: random.Random) -> None:
    rng.choice((alloc, store, drop, collect, snapshot))(w, rng)
    if rng.random() < 0.01:
        w.heap.verify()
    try:
        with w.heap.on_p(rng.randrange(w.heap.procs)):
            alloc(w, rng)
    except ValueError:
        pass  # that P ended meanwhile


JOBS: dict[str, Callable[[World, random.Random], None]] = {
    f.__name__: f for f in (alloc, store, drop, collect, snapshot, everything)}


def run(job: str, seconds: float, mode: str = "stw") -> str:
    """Runs a job; returns what was done. Raises what a thread raised."""
    w = World(mode)
    w.deadline = time.monotonic() + seconds

    def work(number: int) -> None:
        rng = random.Random(f"{job} {number}")
        try:
            while time.monotonic() < w.deadline and not w.errors:
                JOBS[job](w, rng)
                w.steps[number] += 1
        except BaseException as e:
            w.errors.append(e)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(seconds + 120)
        assert not t.is_alive(), f"{job}: a thread hangs"
    if w.errors:
        raise w.errors[0]
    w.heap.verify()
    for ref in w.roots:
        check(ref)
    w.heap.collect()
    w.heap.verify()
    cycles = w.heap.num_gc
    w.roots.clear()
    w.handles.clear()
    del ref
    w.heap.collect()
    left = w.heap.stats().heap_objects
    assert left == 0, f"{job}: {left} objects stay"
    w.heap.close()
    return f"{job} ({mode}): {sum(w.steps)} steps, {cycles} cycles, verify() clean"


def main() -> int:
    p = argparse.ArgumentParser()
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--mode", default="stw", choices=("stw", "virtual", "concurrent"))
    p.add_argument("jobs", nargs="*", default=list(JOBS))
    args = p.parse_args()
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"{THREADS} threads, {'with' if gil else 'without'} the GIL, {args.seconds:g} s each")
    for job in args.jobs:
        print(run(job, args.seconds, args.mode), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
