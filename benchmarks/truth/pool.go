package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"strconv"
	"sync"
)

// pool compresses small messages in three goroutines, with buffers and compressors out
// of sync.Pools, and keeps the last 500 results.
func pool() {
	buffers := sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, 16<<10)) }}
	writers := sync.Pool{New: func() any { return gzip.NewWriter(io.Discard) }}
	var kept [500][]byte
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			r := random(g)
			for i := range 3000 {
				b := buffers.Get().(*bytes.Buffer)
				b.Reset()
				w := writers.Get().(*gzip.Writer)
				w.Reset(b)
				for range 50 + r.next(100) {
					io.WriteString(w, "message "+strconv.Itoa(r.next(1000))+"\n")
				}
				w.Close()
				result := bytes.Clone(b.Bytes())
				writers.Put(w)
				buffers.Put(b)
				mu.Lock()
				kept[(g*3000+i)%500] = result
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}
