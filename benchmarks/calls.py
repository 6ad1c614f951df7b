"""What calls from Python cost, ns of CPU each, by turns with object(); the loop around
them is part of both.

    calls.py        heap.alloc(64) and object(); other calls beside them
    calls.py many   new_many(Node, 1e6) into a heap that was dropped and swept
"""
from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import goheap as gh  # noqa: E402

CALLS, ROUNDS = 50_000, 15
MANY = 1_000_000


class Node(gh.Struct):
    next: gh.Ptr[Node]
    other: gh.Ptr[Node]
    key: gh.int64


def loops(heap: gh.Heap) -> dict[str, Callable[[], None]]:
    node, other = heap.new(Node), heap.new(Node)
    turns = range(CALLS)

    def object_() -> None:
        for _ in turns:
            object()

    def alloc() -> None:
        for _ in turns:
            heap.alloc(64)

    def new() -> None:
        for _ in turns:
            heap.new(Node)

    def get_ref() -> None:
        for _ in turns:
            node.next

    def set_ref() -> None:
        for _ in turns:
            node.next = other

    def get_int() -> None:
        for _ in turns:
            node.key

    def set_int() -> None:
        for _ in turns:
            node.key = 7

    set_ref()
    return {"object": object_, "alloc": alloc, "new": new, "get_ref": get_ref,
            "set_ref": set_ref, "get_int": get_int, "set_int": set_int}


def calls() -> dict[str, float]:
    with gh.Heap() as heap:
        work = loops(heap)
        best = dict.fromkeys(work, 1e9)
        for _ in range(ROUNDS):
            for name, loop in work.items():
                t = time.process_time()
                loop()
                best[name] = min(best[name], time.process_time() - t)
        heap.verify()
    return {name + "_s": s / CALLS for name, s in best.items()}


def many() -> dict[str, float]:
    best = 1e9
    with gh.Heap(gogc="off") as heap:
        for _ in range(7):
            t = time.process_time()
            nodes = heap.new_many(Node, MANY)
            best = min(best, time.process_time() - t)
            assert heap.stats().heap_objects == MANY
            del nodes
            heap.collect()
    return {"cpu_s": best / MANY}


if __name__ == "__main__":
    print(json.dumps(many() if sys.argv[1:] == ["many"] else calls()))
