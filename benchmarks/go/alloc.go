// alloc.go: the counterpart of c/alloc.c on real Go.
//
//	alloc SIZE PTRS N [THREADS]
package main

import (
	"os"
	"sync"
	"unsafe"
)

// The one root of a thread; a variable for each type, so that no loop converts.
type roots struct {
	n8       *uint64
	n16      *[16]byte
	n24      *[24]byte
	n32      *[32]byte
	n48      *[48]byte
	n64      *[64]byte
	n96      *[96]byte
	n128     *[128]byte
	n256     *[256]byte
	n512     *[512]byte
	n1024    *[1024]byte
	n2048    *[2048]byte
	n4096    *[4096]byte
	n8192    *[8192]byte
	n16384   *[16384]byte
	n32768   *[32768]byte
	n65536   *[65536]byte
	n131072  *[131072]byte
	n262144  *[262144]byte
	n524288  *[524288]byte
	n1048576 *[1048576]byte
	p8       *[1]unsafe.Pointer
	p16      *[2]unsafe.Pointer
	p24      *[3]unsafe.Pointer
	p32      *[4]unsafe.Pointer
	p48      *[6]unsafe.Pointer
	p64      *[8]unsafe.Pointer
	p96      *[12]unsafe.Pointer
	p128     *[16]unsafe.Pointer
	p256     *[32]unsafe.Pointer
	p512     *[64]unsafe.Pointer
	p1024    *[128]unsafe.Pointer
	p2048    *[256]unsafe.Pointer
	p4096    *[512]unsafe.Pointer
	p8192    *[1024]unsafe.Pointer
	p16384   *[2048]unsafe.Pointer
	p32768   *[4096]unsafe.Pointer
	p65536   *[8192]unsafe.Pointer
	p131072  *[16384]unsafe.Pointer
	p262144  *[32768]unsafe.Pointer
	p524288  *[65536]unsafe.Pointer
	p1048576 *[131072]unsafe.Pointer
	_        [64]byte
}

// One loop for each type: the compiler must see it.

//go:noinline
func loopn8(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n8 = new(uint64)
	}
}

//go:noinline
func loopp8(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p8 = new([1]unsafe.Pointer)
	}
}

//go:noinline
func loopn16(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n16 = new([16]byte)
	}
}

//go:noinline
func loopp16(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p16 = new([2]unsafe.Pointer)
	}
}

//go:noinline
func loopn24(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n24 = new([24]byte)
	}
}

//go:noinline
func loopp24(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p24 = new([3]unsafe.Pointer)
	}
}

//go:noinline
func loopn32(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n32 = new([32]byte)
	}
}

//go:noinline
func loopp32(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p32 = new([4]unsafe.Pointer)
	}
}

//go:noinline
func loopn48(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n48 = new([48]byte)
	}
}

//go:noinline
func loopp48(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p48 = new([6]unsafe.Pointer)
	}
}

//go:noinline
func loopn64(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n64 = new([64]byte)
	}
}

//go:noinline
func loopp64(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p64 = new([8]unsafe.Pointer)
	}
}

//go:noinline
func loopn96(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n96 = new([96]byte)
	}
}

//go:noinline
func loopp96(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p96 = new([12]unsafe.Pointer)
	}
}

//go:noinline
func loopn128(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n128 = new([128]byte)
	}
}

//go:noinline
func loopp128(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p128 = new([16]unsafe.Pointer)
	}
}

//go:noinline
func loopn256(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n256 = new([256]byte)
	}
}

//go:noinline
func loopp256(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p256 = new([32]unsafe.Pointer)
	}
}

//go:noinline
func loopn512(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n512 = new([512]byte)
	}
}

//go:noinline
func loopp512(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p512 = new([64]unsafe.Pointer)
	}
}

//go:noinline
func loopn1024(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n1024 = new([1024]byte)
	}
}

//go:noinline
func loopp1024(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p1024 = new([128]unsafe.Pointer)
	}
}

//go:noinline
func loopn2048(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n2048 = new([2048]byte)
	}
}

//go:noinline
func loopp2048(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p2048 = new([256]unsafe.Pointer)
	}
}

//go:noinline
func loopn4096(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n4096 = new([4096]byte)
	}
}

//go:noinline
func loopp4096(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p4096 = new([512]unsafe.Pointer)
	}
}

//go:noinline
func loopn8192(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n8192 = new([8192]byte)
	}
}

//go:noinline
func loopp8192(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p8192 = new([1024]unsafe.Pointer)
	}
}

//go:noinline
func loopn16384(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n16384 = new([16384]byte)
	}
}

//go:noinline
func loopp16384(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p16384 = new([2048]unsafe.Pointer)
	}
}

//go:noinline
func loopn32768(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n32768 = new([32768]byte)
	}
}

//go:noinline
func loopp32768(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p32768 = new([4096]unsafe.Pointer)
	}
}

//go:noinline
func loopn65536(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n65536 = new([65536]byte)
	}
}

//go:noinline
func loopp65536(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p65536 = new([8192]unsafe.Pointer)
	}
}

//go:noinline
func loopn131072(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n131072 = new([131072]byte)
	}
}

//go:noinline
func loopp131072(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p131072 = new([16384]unsafe.Pointer)
	}
}

//go:noinline
func loopn262144(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n262144 = new([262144]byte)
	}
}

//go:noinline
func loopp262144(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p262144 = new([32768]unsafe.Pointer)
	}
}

//go:noinline
func loopn524288(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n524288 = new([524288]byte)
	}
}

//go:noinline
func loopp524288(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p524288 = new([65536]unsafe.Pointer)
	}
}

//go:noinline
func loopn1048576(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.n1048576 = new([1048576]byte)
	}
}

//go:noinline
func loopp1048576(r *roots, n int) {
	for i := 0; i < n; i++ {
		r.p1048576 = new([131072]unsafe.Pointer)
	}
}

var loops = map[string]func(*roots, int){
	"8 0": loopn8, "8 1": loopp8,
	"16 0": loopn16, "16 1": loopp16,
	"24 0": loopn24, "24 1": loopp24,
	"32 0": loopn32, "32 1": loopp32,
	"48 0": loopn48, "48 1": loopp48,
	"64 0": loopn64, "64 1": loopp64,
	"96 0": loopn96, "96 1": loopp96,
	"128 0": loopn128, "128 1": loopp128,
	"256 0": loopn256, "256 1": loopp256,
	"512 0": loopn512, "512 1": loopp512,
	"1024 0": loopn1024, "1024 1": loopp1024,
	"2048 0": loopn2048, "2048 1": loopp2048,
	"4096 0": loopn4096, "4096 1": loopp4096,
	"8192 0": loopn8192, "8192 1": loopp8192,
	"16384 0": loopn16384, "16384 1": loopp16384,
	"32768 0": loopn32768, "32768 1": loopp32768,
	"65536 0": loopn65536, "65536 1": loopp65536,
	"131072 0": loopn131072, "131072 1": loopp131072,
	"262144 0": loopn262144, "262144 1": loopp262144,
	"524288 0": loopn524288, "524288 1": loopp524288,
	"1048576 0": loopn1048576, "1048576 1": loopp1048576,
}

// looks at the heap's size while a thread works; c/alloc.c has as many.
const looks = 32

func main() {
	if len(os.Args) < 4 {
		fail("usage: alloc SIZE PTRS N [THREADS]")
	}
	run := loops[os.Args[1]+" "+os.Args[2]]
	n, threads := number(3), 1
	if run == nil {
		fail("no such loop")
	}
	if len(os.Args) > 4 {
		threads = number(4)
	}
	var ready, done sync.WaitGroup
	start := make(chan bool)
	var m *measurement
	for t := range threads {
		ready.Add(1)
		done.Add(1)
		go func() {
			defer done.Done()
			r := new(roots)
			run(r, n/10+1)
			ready.Done()
			<-start
			for i := range looks {
				run(r, n*(i+1)/looks-n*i/looks)
				if t == 0 {
					m.look()
				}
			}
		}()
	}
	ready.Wait()
	m = begin()
	close(start)
	done.Wait()
	d, w := m.elapsed()
	m.answer(d, w, m.mallocs(n*threads))
}
