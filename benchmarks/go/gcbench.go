// gcbench.go: the counterpart of c/gcbench.c on real Go.
//
//	gcbench
package main

const (
	stretch = 18
	long    = 16
	numbers = 500000
	least   = 4
	most    = 16
)

type node struct {
	l, r *node
	i, j int32
}

func treeSize(depth int) int { return 1<<(depth+1) - 1 }

func (n *node) count() uint64 {
	if n == nil {
		return 0
	}
	return 1 + n.l.count() + n.r.count()
}

func populate(depth int, n *node) {
	if depth <= 0 {
		return
	}
	n.l = new(node)
	n.r = new(node)
	populate(depth-1, n.l)
	populate(depth-1, n.r)
}

func build(depth int) *node {
	if depth <= 0 {
		return new(node)
	}
	l := build(depth - 1)
	r := build(depth - 1)
	return &node{l: l, r: r}
}

// Global, so that everything that hangs on it is in the heap.
var root *node

func main() {
	m := begin()
	root = build(stretch)
	root = nil
	m.look()
	kept := new(node)
	populate(long, kept)
	row := make([]float64, numbers)
	for i := range numbers / 2 {
		row[i] = 1 / float64(i+1)
	}
	trees := uint64(0)
	for d := least; d <= most; d += 2 {
		n := 2 * treeSize(stretch) / treeSize(d)
		for range n {
			root = new(node)
			populate(d, root)
			root = nil
			trees++
		}
		m.look()
		for range n {
			root = build(d)
			root = nil
			trees++
		}
		m.look()
	}
	d, w := m.elapsed()
	check := trees + kept.count()
	if row[1000] == 1.0/1001 {
		check++
	}
	m.answer(d, w, check)
}
