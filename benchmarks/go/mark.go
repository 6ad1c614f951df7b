// mark.go: the counterpart of c/mark.c on real Go: the same graph.
//
//	mark N REPS [list | array] [small]
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
)

type node struct {
	edge [4]*node
	data [4]uint64
}

type smallNode struct {
	edge [2]*smallNode
	data [2]uint64
}

var root *node
var smallRoot *smallNode
var row []*node

// What it and build need besides the graph is outside the heap, as c/mark.c's is; the
// collector is off meanwhile.
func permutation(n int) []uint32 {
	p := outside[uint32](uint64(n))
	for i := range p {
		p[i] = uint32(i)
	}
	s := uint64(88172645463325252)
	for i := n - 1; i > 0; i-- {
		j := random(&s) % uint64(i+1)
		p[i], p[j] = p[j], p[i]
	}
	return p
}

//go:noinline
func build(n int, shape string, m *measurement) {
	all := outside[*node](uint64(n))
	defer release(all)
	for i := range all {
		all[i] = new(node)
	}
	m.look()
	p := permutation(n)
	defer release(p)
	s := uint64(0x9e3779b97f4a7c15)
	for i := range all {
		o := all[p[i]]
		if shape == "list" && i+1 < n {
			o.edge[0] = all[p[i+1]]
		}
		for k := range o.edge {
			if shape != "graph" {
				break
			}
			if child := 2*i + 1 + k; k < 2 && child < n {
				o.edge[k] = all[p[child]]
			} else {
				o.edge[k] = all[random(&s)%uint64(n)]
			}
		}
	}
	if shape != "array" {
		root = all[p[0]]
		return
	}
	row = make([]*node, 10*n)
	for i := range row {
		if i < n {
			row[i] = all[p[i]]
		} else {
			row[i] = all[random(&s)%uint64(n)]
		}
	}
}

// buildSmall is build for a graph of small nodes.
//
//go:noinline
func buildSmall(n int, m *measurement) {
	all := outside[*smallNode](uint64(n))
	defer release(all)
	for i := range all {
		all[i] = new(smallNode)
	}
	m.look()
	p := permutation(n)
	defer release(p)
	s := uint64(0x9e3779b97f4a7c15)
	for i := range all {
		o := all[p[i]]
		for k := range o.edge {
			if child := 2*i + 1 + k; child < n {
				o.edge[k] = all[p[child]]
			} else {
				o.edge[k] = all[random(&s)%uint64(n)]
			}
		}
	}
	smallRoot = all[p[0]]
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: mark N REPS [list | array] [small]")
		os.Exit(2)
	}
	n, _ := strconv.Atoi(os.Args[1])
	reps, _ := strconv.Atoi(os.Args[2])
	debug.SetGCPercent(-1)
	m := begin()
	shape := "graph"
	if len(os.Args) > 3 && os.Args[3] != "small" {
		shape = os.Args[3]
	}
	if shape == "graph" && os.Args[len(os.Args)-1] == "small" {
		buildSmall(n, m)
	} else {
		build(n, shape, m)
	}
	m.look()
	runtime.GC() // what building left behind
	best, wall := 1e9, 1e9
	for r := 0; r <= reps; r++ {
		c, t := cpu(), time.Now()
		runtime.GC()
		d, w := cpu()-c, time.Since(t).Seconds()
		m.look()
		if r > 0 { // the first one warms up
			best, wall = min(best, d), min(wall, w)
		}
	}
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	if ms.HeapObjects < uint64(n) || ms.HeapObjects > uint64(n)+10000 {
		fmt.Fprintf(os.Stderr, "mark: %d objects live, not %d\n",
			ms.HeapObjects, n)
		os.Exit(1)
	}
	m.answer(best, wall, uint64(n))
}
