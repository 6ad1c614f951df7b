// bench.go: what the drivers on real Go share; built with each of them. c/bench.h
// says the same for the other side.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const clockProcessCPU = 2

func cpu() float64 {
	var ts syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockProcessCPU,
		uintptr(unsafe.Pointer(&ts)), 0)
	return float64(ts.Nano()) * 1e-9
}

func random(state *uint64) uint64 {
	x := *state
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	*state = x
	return x
}

// number is argument i of the program.
func number(i int) int {
	if i < len(os.Args) {
		if n, err := strconv.Atoi(os.Args[i]); err == nil {
			return n
		}
	}
	fail("argument", i, "is missing or no number")
	return 0
}

func fail(what ...any) {
	fmt.Fprintln(os.Stderr, append([]any{os.Args[0] + ":"}, what...)...)
	os.Exit(1)
}

// A measurement is a measured stretch of work.
type measurement struct {
	cpu    float64
	wall   time.Time
	before runtime.MemStats
	peak   uint64 // of HeapInuse + HeapIdle - HeapReleased
}

// Their sum is HeapInuse + HeapIdle - HeapReleased; reading them stops nobody.
var heapParts = []metrics.Sample{
	{Name: "/memory/classes/heap/objects:bytes"},
	{Name: "/memory/classes/heap/unused:bytes"},
	{Name: "/memory/classes/heap/free:bytes"},
}

// heapMemory is how much memory of the OS the heap has.
func heapMemory() uint64 {
	metrics.Read(heapParts)
	now := uint64(0)
	for _, s := range heapParts {
		now += s.Value.Uint64()
	}
	return now
}

// What the runtime has for itself before the program begins: half a megabyte, of
// which goheap's heap has nothing.
var own = heapMemory()

// look notes how much of it there is at this moment, the runtime's own left out.
func (r *measurement) look() {
	if now := heapMemory(); now > own {
		r.peak = max(r.peak, now-own)
	}
}

func begin() *measurement {
	r := new(measurement)
	metrics.Read(heapParts)
	runtime.ReadMemStats(&r.before)
	r.cpu, r.wall = cpu(), time.Now()
	return r
}

// elapsed is how long it has taken so far: CPU time, wall time.
func (r *measurement) elapsed() (float64, float64) {
	return cpu() - r.cpu, time.Since(r.wall).Seconds()
}

// rss is the most memory that the process ever had, in bytes.
func rss() uint64 {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
			return kb * 1024
		}
	}
	return 0
}

// answer prints what the work took: d and w are elapsed's. check is what it came
// to: both sides must say the same. more: further figures, each with a comma before
// it.
func (r *measurement) answer(d, w float64, check uint64, more ...string) {
	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	fmt.Printf("{\"cpu_s\": %.6f, \"wall_s\": %.6f, \"gcs\": %d, \"peak\": %d, "+
		"\"rss\": %d, \"check\": %d%s}\n", d, w, after.NumGC-r.before.NumGC, r.peak,
		rss(), check, strings.Join(more, ""))
}

// mallocs is about, if about that many objects were made since begin, else how
// many were: the runtime makes a few of its own.
func (r *measurement) mallocs(about int) uint64 {
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	n := now.Mallocs - r.before.Mallocs
	if n >= uint64(about) && n < uint64(about)+5000 {
		return uint64(about)
	}
	return n
}

// outside is n of T outside the heap. The collector doesn't know them: what they point to
// is theirs only while no cycle runs.
func outside[T any](n uint64) []T {
	var t T
	b, err := syscall.Mmap(-1, 0, int(n)*int(unsafe.Sizeof(t)),
		syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		fail(err)
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

// release gives what outside made back.
func release[T any](s []T) {
	var t T
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))),
		len(s)*int(unsafe.Sizeof(t)))
	if err := syscall.Munmap(b); err != nil {
		fail(err)
	}
}
