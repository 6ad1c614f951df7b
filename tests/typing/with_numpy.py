"""numpy's arrays as buffers of goheap, and the other way round; needs numpy."""
import numpy as np

import goheap as gh


class Node(gh.Struct):
    next: gh.Ptr["Node"]
    key: gh.int64
    weight: gh.float32


def main() -> None:
    rng = np.random.default_rng(2)
    with gh.Heap(address_space="1GiB") as heap:
        nodes = heap.new_many(Node, 1000)
        index = rng.integers(0, 1000, 1000)
        nodes.store(Node.next, nodes, index=index)
        nodes.store(Node.key, np.arange(1000))
        nodes.store("weight", rng.random(1000, dtype=np.float32))
        found = np.asarray(nodes.load(Node.next).values(Node.key))
        assert (found == index).all()
        numbers = np.asarray(heap.array(gh.float64, 10))
        numbers[3] = 2.5
        assert numbers.sum() == 2.5
        sizes = np.asarray(heap.snapshot().objects["size"])
        assert sizes.sum() == 1000 * 24 + 80


if __name__ == "__main__":
    main()
