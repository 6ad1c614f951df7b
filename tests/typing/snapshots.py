# pyright: strict
"""Snapshots, tables, the log of a heap and series of its figures."""
import pickle
from typing import assert_type

import goheap as gh


class Node(gh.Struct):
    next: gh.Ptr["Node"]
    key: gh.int64


def snapshots(heap: gh.Heap) -> gh.Snapshot:
    head = heap.new(Node, key=1, next=heap.new(Node, key=2))
    heap.label(head, "head")
    snap = heap.snapshot(edges=True)
    assert_type(snap.objects, gh.Table[gh.ObjectInfo])
    assert_type([o.label for o in snap.objects], list[str | None])
    assert_type(snap.objects.row(0), gh.ObjectInfo)
    assert_type(snap.objects["size"][0], int)
    assert_type(snap.spans.row(0).place, str)
    assert_type(snap.pages.row(-1).state, str)
    assert_type(snap.roots.row(0), gh.RootInfo)
    assert_type(snap.caches.row(0).free, int)
    assert_type([t.name for t in snap.types], list[str])
    assert_type(snap.stats, gh.MemStats)
    assert_type(snap.census("label").row(0).bytes, int)
    assert_type(snap.occupancy().row(0).rounding, int)
    path = snap.why("head")
    assert_type(path, list[gh.Edge] | None)
    assert path == [] and snap.referrers(gh.address_of(head)) == []
    assert snap.retained(head) == 32
    assert len(snap.to_dot()) > 0
    return snap


def tables(snap: gh.Snapshot) -> None:
    table = snap.objects
    assert table.to_dict()["size"] == [16, 16]
    assert len(table) == 2 and "addr" in table.names
    assert pickle.loads(pickle.dumps(snap)) == snap


def log(heap: gh.Heap) -> None:
    with heap.watch() as log, heap.watch(["phase", "sweep"]) as phases:
        assert_type(log, gh.EventLog)
        heap.collect()
    assert_type([e.kind for e in log], list[str])
    assert_type(log.row(0), gh.Event)
    assert_type(log.story(), str)
    assert 0 < len(phases) <= len(log)


def series(heap: gh.Heap) -> None:
    with heap.record("cycle", "heap_live", "num_gc") as figures:
        heap.collect()
        heap.collect()
    assert_type(figures["heap_live"][-1], int)
    assert len(figures) == 2


def main() -> None:
    with gh.Heap(address_space="1GiB") as heap:
        snap = snapshots(heap)
        log(heap)
        series(heap)
    tables(snap)


if __name__ == "__main__":
    main()
