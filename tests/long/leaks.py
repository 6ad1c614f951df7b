"""Nothing stays behind: heaps made, used and closed, made and lost, many at once.

    python tests/long/leaks.py [--heaps N]

Lines of the process's map, threads and file descriptors must be what they were;
resident memory may grow by 4 MiB over the last nine tenths."""
from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable

import goheap as gh

RSS_BOUND = 4 << 20


class Node(gh.Struct):
    left: gh.Ptr[Node]
    right: gh.Ptr
    key: gh.int64


def figures() -> dict[str, int]:
    """What a process holds."""
    gc.collect()
    with open("/proc/self/maps") as f:
        maps = sum(1 for line in f if "[heap]" not in line)
    with open("/proc/self/statm") as f:
        rss = int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {"maps": maps, "threads": len(os.listdir("/proc/self/task")),
            "files": len(os.listdir("/proc/self/fd")), "rss": rss}


def use(heap: gh.Heap) -> object:
    """Something of everything; returns handles and a buffer that outlive the heap."""
    kept = [heap.alloc(size) for size in (0, 3, 24, 500, 3000, 40_000, 300_000)]
    top = heap.array(gh.Ptr, 500)
    for i in range(500):
        top[i] = heap.new(Node, left=top[i - 1].left if i else None, right=kept[i % 7], key=i)
    many = heap.new_many(Node, 2000)
    many.store("key", range(2000))
    many[:-1].store("left", many[1:])
    many[1:].clear()
    with heap.watch(), heap.record("cycle"):
        heap.collect()
    heap.label(top, "top")
    heap.snapshot(edges=True).why("top")
    heap.gc_start()
    heap.gc_step(100)
    heap.procs = 3
    with heap.on_p(2):
        heap.alloc(100)
    try:
        heap.alloc("2TiB")
    except gh.HeapMemoryError as e:
        assert e.requested == 2 << 40
    return kept, many, memoryview(kept[4])


def closed() -> None:
    with gh.Heap(gogc=50) as heap:
        use(heap)


def closed_in_a_cycle() -> None:
    """Closed while a cycle is driven by hand, handles and a buffer alive."""
    heap = gh.Heap(mode="virtual", policy=gh.Policy(min_heap="64KiB"))
    left = use(heap)
    heap.close()
    del left


def lost() -> None:
    heap = gh.Heap()
    left = use(heap)
    del heap
    del left


def lost_in_a_cycle() -> None:
    """Lost with Python's garbage: only its collector ends the heap."""
    class Holder:
        pass
    a = Holder()
    a.me, a.heap = a, gh.Heap()
    a.left = use(a.heap)


def script() -> None:
    gh.Script("goheap-script 1\nslots 100\nprocs 2\nrandom 1 2000 sizes=u:1-900 base=0 live=100 "
              "scan=50 link=30\ngc\nstats s\n").run()


def repeat(make: Callable[[], None], n: int) -> dict[str, int]:
    """Runs make n times; how the figures grew in the last nine tenths."""
    for _ in range(n // 10):
        make()
    before = figures()
    for i in range(n - n // 10):
        make()
        if i % 50 == 0:
            gc.collect()
    after = figures()
    return {name: after[name] - before[name] for name in before}


def at_once(n: int = 64) -> None:
    """n heaps alive, each with its own contents; their ends in another order."""
    heaps = [gh.Heap(procs=1 + i % 4) for i in range(n)]
    tops = []
    for i, heap in enumerate(heaps):
        use(heap)
        tops.append(heap.new(Node, key=i))
    for i in range(n):
        try:
            tops[i].left = tops[i - 1]
        except gh.ForeignRefError:
            pass
        else:
            raise AssertionError("a handle of another heap was stored")
    for heap in heaps[1::2]:
        heap.close()
    for i in range(0, n, 2):
        assert tops[i].key == i
        heaps[i].collect()
        heaps[i].verify()
    for heap in heaps:
        heap.close()


KINDS = {"made, used and closed": closed, "closed in the middle of a cycle": closed_in_a_cycle,
         "made and lost": lost, "lost in a reference cycle": lost_in_a_cycle,
         "scripts run": script}


def wrong(grown: dict[str, int]) -> list[str]:
    """What grew more than it may."""
    return [f"{name} {by:+d}" for name, by in grown.items()
            if (by > RSS_BOUND if name == "rss" else by != 0)]


def main() -> int:
    p = argparse.ArgumentParser()
    p.add_argument("--heaps", type=int, default=1000)
    p.add_argument("--no-figures", action="store_true",
                   help="don't judge them: a sanitizer keeps memory back")
    args = p.parse_args()
    n = args.heaps
    failed = False
    for what, make in KINDS.items():
        t = time.monotonic()
        grown = repeat(make, n)
        bad = [] if args.no_figures else wrong(grown)
        failed = failed or bool(bad)
        print(f"{n} heaps {what}: map lines {grown['maps']:+d}, threads {grown['threads']:+d}, "
              f"descriptors {grown['files']:+d}, resident {grown['rss'] / 1024:+.0f} KiB over "
              f"the last {n - n // 10}; {time.monotonic() - t:.1f} s"
              + ("  WRONG: " + ", ".join(bad) if bad else ""), flush=True)
    at_once()  # the first time makes Python's own tables
    before = figures()
    at_once()
    after = figures()
    bad = wrong({name: after[name] - before[name] for name in before})
    if args.no_figures:
        bad = []
    print("64 heaps at once: " + ("WRONG: " + ", ".join(bad) if bad else "ended"
                                  if args.no_figures else "all as before"))
    return failed or bool(bad)


if __name__ == "__main__":
    sys.exit(main())
