// Command sample records an execution trace of itself: a bit of everything that the
// reader of traces must put in order. go1.*.trace.gz beside it are its recordings.
//
//	go build -trimpath -o sample sample.go
//	GODEBUG=traceallocfree=1 GOMAXPROCS=3 ./sample x.trace && gzip -9n x.trace
package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"runtime/trace"
	"sync"
	"time"
)

type node struct {
	left, right *node
	value       [3]int
}

func build(depth int) *node {
	if depth == 0 {
		return &node{}
	}
	return &node{left: build(depth - 1), right: build(depth - 1)}
}

func numbers(yield func(*int) bool) {
	for i := 0; ; i++ {
		n := new(int)
		*n = i
		if !yield(n) {
			return
		}
	}
}

func work(id int, out chan<- *node) {
	var kept []*node
	next, stop := iter.Pull(iter.Seq[*int](numbers))
	defer stop()
	for i := range 8 {
		kept = append(kept, build(4))
		s := fmt.Sprint(id, i)
		m := map[string]int{s: i}
		large := make([]byte, 40000+1000*i)
		pointers := make([]*node, 200) // more than 512 bytes: with a header
		pointers[0] = kept[len(kept)-1]
		for range 3 {
			next()
		}
		if f, err := os.Open("/dev/null"); err == nil {
			f.Read(large[:1])
			f.Close()
		}
		if i%4 == 3 {
			kept = kept[2:]
		}
		if id == 0 && i == 5 {
			runtime.GC()
		}
		time.Sleep(time.Duration(100+30*id) * time.Millisecond)
		out <- pointers[0]
		runtime.KeepAlive(m)
	}
}

func main() {
	debug.SetGCPercent(100)
	f, err := os.Create(os.Args[1])
	if err != nil {
		panic(err)
	}
	before := build(5)
	pprof.StartCPUProfile(io.Discard)
	if err := trace.Start(f); err != nil {
		panic(err)
	}
	ctx := context.Background()
	trace.Log(ctx, "goheap", `{"GOGC":"100",`)
	out := make(chan *node)
	var workers sync.WaitGroup
	for id := range 3 {
		workers.Add(1)
		go func() {
			defer workers.Done()
			work(id, out)
		}()
	}
	go func() { workers.Wait(); close(out) }()
	var last *node
	for n := range out {
		last = n
	}
	// Enough for a collection of the heap's own accord.
	for range 300 {
		last = &node{left: last, right: before}
		b := make([]*node, 9000)
		b[0] = last
	}
	trace.Log(ctx, "goheap", `"GOMAXPROCS":3}`)
	trace.Stop()
	pprof.StopCPUProfile()
	f.Close()
	runtime.KeepAlive(last)
}
