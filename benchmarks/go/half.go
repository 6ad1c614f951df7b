// half.go: the counterpart of c/half.c on real Go.
//
//	half N
package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

type node struct {
	edge [4]*node
	data [4]uint64
}

var row []*node
var made *node

// cycles is how many have ended; asking stops nobody.
func cycles() uint64 {
	metrics.Read(ended)
	return ended[0].Value.Uint64()
}

var ended = []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}

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
	before := cycles()
	debug.SetGCPercent(1)
	for cycles() == before {
		for range 1000 {
			made = new(node)
		}
	}
	debug.SetGCPercent(-1)
	m := begin()
	for range dead {
		made = new(node)
	}
	d, w := m.elapsed()
	m.look()
	m.answer(d, w, uint64(dead))
}
