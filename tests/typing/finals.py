"""Finalizers, cleanups, weak handles, pins and the heap profile, as a checker sees them."""
from __future__ import annotations

from typing import assert_type

import goheap as gh


class Node(gh.Struct):
    next: gh.Ptr[Node]
    key: gh.int64


def close(node: Node) -> None:
    print(node.key)


def run() -> None:
    with gh.Heap(seed=1, callbacks="manual") as heap:
        node = heap.new(Node, key=1)
        weak = heap.weak(node)
        assert_type(weak, gh.WeakRef[Node])
        assert_type(weak(), Node | None)
        heap.set_finalizer(node, close)
        heap.set_finalizer(node, None)
        cleanup = heap.add_cleanup(node, print, "gone")
        assert_type(cleanup, gh.Cleanup)
        assert_type(cleanup.stop(), bool)
        assert_type(heap.ref(weak), gh.Ref)
        assert_type(heap.info(weak), gh.ObjectInfo)
        with heap.pin(node):
            pass
        heap.profile_rate = "512KiB"
        assert_type(heap.profile_rate, int)
        with heap.profile_label("parser"):
            heap.alloc(100)
        profile = heap.profile()
        assert_type(profile, gh.HeapProfile)
        for row in profile.rows:
            assert_type(row, gh.ProfileRow)
            assert_type(row.label, str | None)


if __name__ == "__main__":
    run()
