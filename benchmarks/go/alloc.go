// alloc.go: the counterpart of c/alloc.c on real Go.
//
//	alloc SIZE PTRS N
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

type (
	n16  [16]byte
	n64  [64]byte
	n512 [512]byte
	p16  [2]unsafe.Pointer
	p64  [8]unsafe.Pointer
	p512 [64]unsafe.Pointer
)

// The one root; a variable for each type, so that no loop converts.
var root struct {
	n16  *n16
	n64  *n64
	n512 *n512
	p16  *p16
	p64  *p64
	p512 *p512
}

// One loop for each type: the compiler must see it.

//go:noinline
func noscan16(n int) {
	for i := 0; i < n; i++ {
		root.n16 = new(n16)
	}
}

//go:noinline
func noscan64(n int) {
	for i := 0; i < n; i++ {
		root.n64 = new(n64)
	}
}

//go:noinline
func noscan512(n int) {
	for i := 0; i < n; i++ {
		root.n512 = new(n512)
	}
}

//go:noinline
func pointers16(n int) {
	for i := 0; i < n; i++ {
		root.p16 = new(p16)
	}
}

//go:noinline
func pointers64(n int) {
	for i := 0; i < n; i++ {
		root.p64 = new(p64)
	}
}

//go:noinline
func pointers512(n int) {
	for i := 0; i < n; i++ {
		root.p512 = new(p512)
	}
}

var loops = map[string]func(int){
	"16 0": noscan16, "64 0": noscan64, "512 0": noscan512,
	"16 1": pointers16, "64 1": pointers64, "512 1": pointers512,
}

const clockProcessCPU = 2

func cpu() float64 {
	var ts syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockProcessCPU,
		uintptr(unsafe.Pointer(&ts)), 0)
	return float64(ts.Nano()) * 1e-9
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: alloc SIZE PTRS N")
		os.Exit(2)
	}
	run := loops[os.Args[1]+" "+os.Args[2]]
	n, err := strconv.Atoi(os.Args[3])
	if err != nil || run == nil {
		fmt.Fprintln(os.Stderr, "alloc: no such loop")
		os.Exit(2)
	}
	var before, after runtime.MemStats
	run(n/10 + 1)
	runtime.ReadMemStats(&before)
	c, t := cpu(), time.Now()
	run(n)
	d, w := cpu()-c, time.Since(t).Seconds()
	runtime.ReadMemStats(&after)
	fmt.Printf("{\"cpu_s\": %.6f, \"wall_s\": %.6f, \"gcs\": %d}\n", d, w,
		after.NumGC-before.NumGC)
}
