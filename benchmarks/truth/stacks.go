package main

import "sync"

type tree struct {
	left, right *tree
	value       int
}

func grow(r *random, depth int) *tree {
	if depth == 0 {
		return nil
	}
	var room [256]byte // a frame of some size
	room[depth] = byte(r.next(256))
	return &tree{grow(r, depth-1), grow(r, depth-1-r.next(2)*min(depth-1, 1)), int(room[depth])}
}

func deep(n int, f func()) int {
	var room [512]byte
	if n == 0 {
		f()
		return 0
	}
	room[n%512] = 1
	return deep(n-1, f) + int(room[n%512])
}

// stacks makes and drops trees in 200 goroutines, four at a time, each of them on a
// stack of half a megabyte.
func stacks() {
	free := make(chan bool, 4)
	var wg sync.WaitGroup
	for g := range 200 {
		free <- true
		wg.Go(func() {
			r := random(g)
			deep(600, func() {
				for range 4 {
					if grow(&r, 15) == nil {
						panic("no tree")
					}
				}
			})
			<-free
		})
	}
	wg.Wait()
}
