// churn.go: the counterpart of c/churn.c on real Go.
//
//	churn LIVE_MIB TIMES LIMIT_MIB
package main

import (
	"runtime"
	"runtime/debug"
	"unsafe"
)

var sizes = []struct{ lo, hi, weight uint32 }{
	{8, 16, 180}, {17, 24, 80}, {25, 32, 140},
	{33, 48, 150}, {49, 64, 120}, {65, 96, 90},
	{97, 128, 60}, {129, 192, 45}, {193, 256, 35},
	{257, 512, 45}, {513, 1024, 25}, {1025, 2048, 14},
	{2049, 4096, 8}, {4097, 8192, 4}, {8193, 16384, 2},
	{16385, 32768, 1}, {32769, 131072, 1},
}

func draw(s *uint64) uint32 {
	r := uint32(random(s) % 1000)
	for _, h := range sizes {
		if r < h.weight {
			return h.lo + uint32(random(s)%uint64(h.hi-h.lo+1))
		}
		r -= h.weight
	}
	panic("no size")
}

func block(size uint32) *byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = 1
	}
	return unsafe.SliceData(b)
}

func main() {
	live, times, limit := uint64(number(1))<<20, uint64(number(2)), number(3)
	if limit != 0 {
		debug.SetMemoryLimit(int64(limit) << 20)
	}
	most := live / 40
	// Not in the heap: c/churn.c has it from malloc.
	size := outside[uint32](most)
	row := make([]*byte, most)

	m := begin()
	s, held, n, sum := uint64(0x9e3779b97f4a7c15), uint64(0), uint64(0), uint64(0)
	for held < live && n < most {
		size[n] = draw(&s)
		row[n] = block(size[n])
		held += uint64(size[n])
		n++
	}
	m.look()
	next := live / 16
	for sum < live*times {
		i, z := random(&s)%n, draw(&s)
		row[i] = block(z)
		held += uint64(z) - uint64(size[i])
		size[i] = z
		sum += uint64(z)
		if sum > next {
			next += live / 16
			m.look()
		}
	}
	d, w := m.elapsed()
	m.answer(d, w, held+sum)
	runtime.KeepAlive(row)
}
