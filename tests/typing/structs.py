# pyright: strict
"""Structs: what a field gives when it is read, on a handle and on the class."""
from typing import assert_type

import goheap as gh


class Point(gh.Struct):
    x: gh.float64
    y: gh.float32


class Node(gh.Struct):
    left: gh.Ptr["Node"]
    right: gh.Ptr["Node"]
    data: gh.Ptr[gh.Block]
    key: gh.int64
    flag: gh.bool_
    at: gh.Embed[Point]
    state: gh.Fixed[int] = gh.fixed(gh.uint32, 5)
    path: gh.Fixed[Point] = gh.fixed(Point, 2)

    def depth(self) -> int:
        below = [n.depth() for n in (self.left, self.right) if n is not None]
        return 1 + max(below, default=0)


class Board(gh.Struct):
    rows = gh.fixed(gh.fixed(gh.int8, 3), 2)
    marks = gh.fixed(gh.Ptr[Node], 2)


def fields(heap: gh.Heap) -> None:
    node = heap.new(Node, key=3)
    assert_type(node, Node)
    assert_type(node.key, int)
    assert_type(node.flag, bool)
    assert_type(node.left, Node | None)
    assert_type(node.data, gh.Block | None)
    assert_type(node.at, Point)
    assert_type(node.at.x, float)
    assert_type(node.state, gh.Array[int])
    assert_type(node.state[0], int)
    assert_type(node.path[1].y, float)
    node.left = heap.new(Node, key=node.key + 1)
    node.right = None
    node.at.x = 1
    node.state[4] = 7
    node.at = node.path[0]
    node.flag = node.key > 2
    assert node.depth() == 2


def nested(heap: gh.Heap) -> None:
    board = heap.new(Board)
    assert_type(board.rows[1], gh.Array[int])
    assert_type(board.rows[1][2], int)
    assert_type(board.marks[0], Node | None)
    board.marks[0] = heap.new(Node)


def on_the_class() -> None:
    assert_type(Node.key, gh.int64)
    assert_type(Node.left, gh.Ptr[Node])
    assert_type(Node.key.offset, int)
    info = gh.type_info(Node)
    assert_type(info, gh.TypeInfo)
    assert_type(info.gcmask, bytes)
    assert gh.sizeof(Node) == info.size
    assert gh.sizeof(gh.int64) + gh.sizeof(gh.fixed(gh.int16, 3)) == 14
    assert gh.type_info(gh.Ptr[Node]).ptrdata == 8


def made_up(heap: gh.Heap) -> None:
    pair = gh.struct("Pair", {"first": gh.int64, "second": gh.Ptr}, third=gh.uint8)
    p = heap.new(pair, first=1)
    assert p.first == 1
    empty: type[gh.Struct] = gh.struct("Later")
    gh.define(empty, back=gh.Ptr[Node])


def handles(heap: gh.Heap) -> None:
    node: gh.Ref = heap.new(Node)
    assert node in {node} and node == node and hash(node) == hash(node)
    assert isinstance(node, Node)
    assert_type(gh.cast(node, Node), Node)
    assert_type(gh.address_of(node), int)
    assert gh.heap_of(node) is heap


def main() -> None:
    with gh.Heap() as heap:
        fields(heap)
        nested(heap)
        made_up(heap)
        handles(heap)
    on_the_class()


if __name__ == "__main__":
    main()
