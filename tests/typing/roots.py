# pyright: strict
"""Roots: many handles at once, graphs, labels, and types without fields."""
from array import array
from typing import assert_type

import goheap as gh


class Leaf(gh.Struct):
    weight: gh.float64
    height: gh.float64


class Node(gh.Struct):
    next: gh.Ptr["Node"]
    leaf: gh.Ptr[Leaf]
    key: gh.int64


class Text(gh.Struct):
    name: gh.String
    lines: gh.Slice
    value: gh.Interface


def many(heap: gh.Heap) -> None:
    nodes = heap.new_many(Node, 100)
    assert_type(nodes, gh.Roots[Node])
    assert_type(nodes[0], Node | None)
    assert_type(nodes[1:50:2], gh.Roots[Node])
    assert_type([n for n in nodes if n], list[Node])
    nodes.store(Node.key, range(100))
    nodes.store(Node.key, array("q", range(100)))
    nodes.store("key", memoryview(array("q", range(100))), index=list(range(99, -1, -1)))
    nodes.store(Node.next, nodes, index=array("L", [7] * 100))
    nodes[:50].store(Node.leaf, heap.new_many(Leaf, 50))
    assert_type(nodes.load(Node.leaf), gh.Roots[Leaf])
    assert_type(nodes.load(Node.next)[3], Node | None)
    assert_type(nodes.values(Node.key)[3], int)
    assert_type(nodes.addresses, memoryview)
    nodes.store(Node.next, None)
    nodes[0] = None
    nodes[1:3] = nodes[3:5]
    nodes[50:].clear()
    assert len(nodes) == 100 and sum(n is not None for n in nodes) == 49


def globals_of_a_program(heap: gh.Heap) -> None:
    slots = heap.roots(3)
    slots[0] = heap.new(Node)
    slots[1] = heap.alloc(100)
    typed: gh.Roots[Node] = heap.roots(1)
    typed[0] = heap.new(Node)


def graph(heap: gh.Heap) -> None:
    top = heap.graph({"A": ["B", None], "B": ["A"]}, roots=["A"])
    assert_type(top, gh.Roots[gh.Words])
    a = top[0]
    assert a is not None and len(a) == 2
    a[1] = a
    heap.label(a, "first")
    heap.label("B", None)
    assert heap.info("first").addr == gh.address_of(a)


def by_mask(heap: gh.Heap) -> None:
    pair = gh.words("pair", 16, ptrs="0")
    assert_type(pair, type[gh.Words])
    w = heap.new(pair)
    w[1] = 5
    w[0] = w
    assert w[0] == w and w[1] == 5
    gh.words("other", 32, ptrs=[0, 3])


def go_types(heap: gh.Heap) -> None:
    text = heap.new(Text)
    assert_type(text.name, gh.Ref | None)
    text.name = heap.alloc(5)
    text.lines = text.value = None
    assert gh.sizeof(Text) == 56


def main() -> None:
    with gh.Heap(hard_limit="1GiB", address_space="4GiB") as heap:
        many(heap)
        globals_of_a_program(heap)
        graph(heap)
        by_mask(heap)
        go_types(heap)
        heap.verify()


if __name__ == "__main__":
    main()
