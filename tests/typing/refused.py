# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""Wrong programs: a checker must object to every line that bears a comment."""
import goheap as gh


class Point(gh.Struct):
    x: gh.float64


class Node(gh.Struct):
    next: gh.Ptr["Node"]
    key: gh.int64
    at: gh.Embed[Point]
    state: gh.Fixed[int] = gh.fixed(gh.uint32, 5)


def stores(heap: gh.Heap) -> None:
    node, point = heap.new(Node), heap.new(Point)
    node.key = "three"  # type: ignore[assignment]
    node.key = None  # type: ignore[assignment]
    node.next = point  # type: ignore[assignment]
    node.next = 0xC000000000  # type: ignore[assignment]
    node.at = node  # type: ignore[assignment]
    node.state[0] = 1.5  # type: ignore[assignment]
    node.left = None  # type: ignore[attr-defined]
    node.next.key = 1  # type: ignore[union-attr]


def reads(heap: gh.Heap) -> None:
    node = heap.new(Node)
    wrong: str = node.key  # type: ignore[assignment]
    other: Point = heap.new(Node)  # type: ignore[assignment]
    text: str = heap.array(gh.int32, 3)[0]  # type: ignore[assignment]
    print(wrong, other, text, node.elemsize)  # type: ignore[attr-defined]


def calls(heap: gh.Heap) -> None:
    heap.new(int)  # type: ignore[type-var]
    heap.alloc(1.5)  # type: ignore[arg-type]
    heap.array(Node)  # type: ignore[call-overload]
    heap.info(3.0)  # type: ignore[arg-type]
    heap.gogc = "always"  # type: ignore[assignment]
    heap.num_gc = 3  # type: ignore[misc]
    heap.mode = "stw"  # type: ignore[misc]
    gh.address_of(heap)  # type: ignore[arg-type]
    gh.explain(1.5)  # type: ignore[arg-type]
    gh.fixed(int, 3)  # type: ignore[type-var]


def settings() -> None:
    gh.Heap(100)  # type: ignore[call-arg]
    gh.Heap(gogc="always")  # type: ignore[arg-type]
    gh.Heap(mode="parallel")  # type: ignore[arg-type]
    gh.Heap(colour="red")  # type: ignore[call-arg]
    gh.Policy(tiny=1.5)  # type: ignore[arg-type]
    gh.Policy().tiny = True  # type: ignore[misc]


def roots(heap: gh.Heap) -> None:
    nodes, points = heap.new_many(Node, 3), heap.new_many(Point, 3)
    nodes[0] = heap.new(Point)  # type: ignore[call-overload]
    nodes[1:] = points  # type: ignore[assignment]
    nodes.load(Node.key)  # type: ignore[arg-type, type-var]
    nodes[0].key = 3  # type: ignore[union-attr]
    nodes.store(Node.key, 3)  # type: ignore[arg-type]
    heap.graph({"A": ["B"]})  # type: ignore[call-arg]
    heap.label("A")  # type: ignore[call-arg]


def callbacks(heap: gh.Heap) -> None:
    heap.gctrace("pacertrace")  # type: ignore[arg-type]
    heap.on_cycle(lambda cycle: None)  # type: ignore[arg-type, misc]
    gh.Heap(callbacks="later")  # type: ignore[arg-type]
    gh.Knobs(100, None).goal = 1.5  # type: ignore[assignment]


def snapshots(heap: gh.Heap) -> None:
    snap = heap.snapshot()
    snap.census("colour")  # type: ignore[arg-type]
    snap.why(1.5)  # type: ignore[arg-type]
    snap.objects.row(0).addr = 3  # type: ignore[misc]
    snap.objects[0]  # type: ignore[index]
    with heap.watch(3):  # type: ignore[arg-type]
        pass
