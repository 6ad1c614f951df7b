// trees.go: the counterpart of c/trees.c on real Go.
//
//	trees DEPTH THREADS
package main

import (
	"sync"
	"sync/atomic"
)

type node struct{ l, r *node }

func build(depth int) *node {
	if depth == 0 {
		return &node{}
	}
	return &node{build(depth - 1), build(depth - 1)}
}

func (n *node) count() uint64 {
	if n.l == nil {
		return 1
	}
	return 1 + n.l.count() + n.r.count()
}

func main() {
	most, threads := number(1), number(2)
	m := begin()
	var sum atomic.Uint64
	sum.Add(build(most + 1).count())
	m.look()
	kept := build(most)
	m.look()
	var done sync.WaitGroup
	for part := range threads {
		done.Add(1)
		go func() {
			defer done.Done()
			mine := uint64(0)
			for d := 4; d <= most; d += 2 {
				n := 1 << (most - d + 4)
				for i := n * part / threads; i < n*(part+1)/threads; i++ {
					mine += build(d).count()
				}
				if part == 0 {
					m.look()
				}
			}
			sum.Add(mine)
		}()
	}
	done.Wait()
	sum.Add(kept.count())
	d, w := m.elapsed()
	m.answer(d, w, sum.Load())
}
