// half.go: the counterpart of c/half.c on real Go.
//
//	half N
package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

type node struct {
	edge [4]*node
	data [4]uint64
}

var row []*node
var made *node

func main() {
	n := number(1)
	debug.SetGCPercent(-1)
	row = make([]*node, n)
	for i := range row {
		row[i] = new(node)
		row[i].data[0] = uint64(i) // pages are touched before, not later
	}
	runtime.GC()
	s, dead := uint64(0x9e3779b97f4a7c15), 0
	for i := range row {
		if random(&s)&(1<<20) != 0 {
			row[i] = nil
			dead++
		}
	}
	m := begin()
	runtime.GC()
	half, _ := m.elapsed()
	m = begin()
	for range dead {
		made = new(node)
	}
	d, w := m.elapsed()
	m.look()
	m.answer(d, w, uint64(dead), fmt.Sprintf(", \"half_s\": %.6f", half))
}
