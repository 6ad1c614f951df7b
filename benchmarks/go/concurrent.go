// concurrent.go: the counterpart of c/concurrent.c on real Go.
//
//	concurrent pauses MIB CYCLES THREADS GOGC
//	concurrent store MIB ROUNDS
//
// pauses runs itself once more with GODEBUG=gctrace=1 and takes stops and times
// of marking from what that prints. Needs -ldflags=-checklinkname=0: store asks
// the runtime whether it marks.
package main

import (
	"bytes"
	"fmt"
	"math/bits"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

type node struct {
	edge [4]*node
	data [4]uint64
}

var row []*node

const batch = 16
const lookAt = 16 // every so many

const clockThreadCPU = 3

func threadCPU() float64 {
	var ts syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockThreadCPU,
		uintptr(unsafe.Pointer(&ts)), 0)
	return float64(ts.Nano()) * 1e-9
}

// Latencies.

const parts = 32

type latencies struct {
	count [64 * parts]uint64
	n     uint64
	worst int64
}

func (l *latencies) note(ns int64) {
	v := uint64(ns) + parts
	top := 63 - bits.LeadingZeros64(v)
	l.count[uint64(top)*parts+(v>>(top-5))&(parts-1)]++
	l.n++
	l.worst = max(l.worst, ns)
}

func (l *latencies) add(o *latencies) {
	for i := range l.count {
		l.count[i] += o.count[i]
	}
	l.n += o.n
	l.worst = max(l.worst, o.worst)
}

func (l *latencies) us(q float64) float64 {
	left := uint64(float64(l.n) * q)
	i := 0
	for i < len(l.count)-1 && left >= l.count[i] {
		left -= l.count[i]
		i++
	}
	low := float64(uint64(1) << (i / parts))
	return (low*(1+float64(i%parts)/parts) - parts) * 1e-3
}

func live(n int) {
	debug.SetGCPercent(-1)
	row = make([]*node, n)
	for i := range row {
		row[i] = new(node)
	}
	s := uint64(0x9e3779b97f4a7c15)
	for _, o := range row {
		for k := range o.edge {
			o.edge[k] = row[random(&s)%uint64(n)]
		}
	}
	runtime.GC()
}

// pauses

func churn(seed uint64, over *atomic.Bool, l *latencies) {
	n := uint64(len(row))
	s := seed
	start := time.Now()
	t0 := time.Duration(0)
	for !over.Load() {
		for k := 0; k < batch; k++ {
			o := new(node)
			i := random(&s) % n
			o.edge[0] = row[random(&s)%n]
			row[i] = o
		}
		t := time.Since(start)
		l.note(int64(t - t0))
		t0 = t
	}
}

// A cleanup of an object that is garbage at once runs after each cycle.
func count(cycles *atomic.Int64, want int64, over *atomic.Bool) {
	runtime.AddCleanup(new([64]byte), func(int) {
		if cycles.Add(1) >= want {
			over.Store(true)
			return
		}
		count(cycles, want, over)
	}, 0)
}

func pausesChild(mib, cycles, threads, gogc int) {
	runtime.GOMAXPROCS(threads)
	live(mib << 20 / 64)
	debug.SetGCPercent(gogc)
	fmt.Fprintln(os.Stderr, "begin")
	var over atomic.Bool
	var done atomic.Int64
	count(&done, int64(cycles), &over)
	m := begin()
	m.look()
	l := make([]latencies, threads)
	var wg sync.WaitGroup
	c, t := cpu(), time.Now()
	for i := range l {
		wg.Add(1)
		go func() {
			defer wg.Done()
			churn(0x9e3779b97f4a7c15*uint64(i+1), &over, &l[i])
		}()
	}
	wg.Wait()
	d, w := cpu()-c, time.Since(t).Seconds()
	fmt.Fprintln(os.Stderr, "end")
	m.look()
	held := 0 // of those looked at, objects that still point at one
	for i := 0; i < len(row); i += lookAt {
		if o := row[i]; o != nil && o.edge[0] != nil {
			held++
		}
	}
	for i := range l[1:] {
		l[0].add(&l[i+1])
	}
	fmt.Printf("\"cpu_s\": %.6f, \"wall_s\": %.6f, \"objects\": %d, "+
		"\"p50_us\": %.3f, \"p99_us\": %.3f, \"p999_us\": %.3f, "+
		"\"stall_us\": %.1f, \"peak\": %d, \"rss\": %d, \"check\": %d", d, w,
		l[0].n*batch, l[0].us(0.5), l[0].us(0.99), l[0].us(0.999),
		float64(l[0].worst)*1e-3, m.peak, rss(), held)
}

var clockLine = regexp.MustCompile(
	`([\d.]+)\+([\d.]+)\+([\d.]+) ms clock, ([\d.]+)\+([\d.]+)/([\d.]+)/([\d.]+)\+([\d.]+) ms cpu`)

func pauses(args []string) {
	c := exec.Command(os.Args[0], append([]string{"pauses-child"}, args...)...)
	c.Env = append(os.Environ(), "GODEBUG=gctrace=1")
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err, stderr.String())
		os.Exit(1)
	}
	_, text, _ := bytes.Cut(stderr.Bytes(), []byte("begin\n"))
	text, _, _ = bytes.Cut(text, []byte("end\n"))
	os.Stderr.Write(text)
	longest, sum, mark, work, assist, n := 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
	for _, m := range clockLine.FindAllSubmatch(text, -1) {
		var ms [8]float64
		for i := range ms {
			ms[i], _ = strconv.ParseFloat(string(m[i+1]), 64)
		}
		longest = max(longest, ms[0], ms[2])
		sum += ms[0] + ms[2]
		mark += ms[1]
		work += ms[4] + ms[5] + ms[6]
		assist += ms[4]
		n++
	}
	fmt.Printf("{%s, \"gcs\": %.0f, \"stop_max_us\": %.1f, \"stop_mean_us\": %.1f, "+
		"\"mark_s\": %.4f, \"mark_cpu_s\": %.4f, \"assist_cpu_s\": %.4f}\n",
		stdout.String(), n, longest*1e3, sum*1e3/(2*n), mark*1e-3/n,
		work*1e-3/n, assist*1e-3/n)
}

// store

//go:linkname gcBlackenEnabled runtime.gcBlackenEnabled
var gcBlackenEnabled uint32

const stores = 1 << 16

//go:noinline
func storeSome(target *[512]*node, value *[1024]*node) {
	for i := 0; i < stores; i++ {
		target[i%512].edge[i%4] = value[i%1024]
	}
}

func store(mib, rounds int) {
	runtime.GOMAXPROCS(2)
	runtime.LockOSThread()
	target, value := new([512]*node), new([1024]*node)
	for i := range target {
		target[i] = new(node)
	}
	for i := range value {
		value[i] = new(node)
	}
	live(mib << 20 / 64)
	m := begin()
	m.look()
	var over atomic.Bool
	var done sync.WaitGroup
	var median [2]float64
	for k := range median {
		if k == 1 {
			done.Add(1)
			go func() {
				defer done.Done()
				for !over.Load() {
					runtime.GC()
				}
			}()
		}
		var ns []float64
		for len(ns) < rounds {
			before := atomic.LoadUint32(&gcBlackenEnabled)
			t := threadCPU()
			storeSome(target, value)
			d := threadCPU() - t
			after := atomic.LoadUint32(&gcBlackenEnabled)
			if before == uint32(k) && after == before {
				ns = append(ns, d*1e9/stores)
			}
		}
		slices.Sort(ns)
		median[k] = ns[len(ns)/2]
	}
	over.Store(true)
	m.look()
	right := 0 // what the last round of stores left
	for i := stores - len(target); i < stores; i++ {
		if target[i%512].edge[i%4] == value[i%1024] {
			right++
		}
	}
	done.Wait()
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	fmt.Printf("{\"idle_ns\": %.4f, \"marking_ns\": %.4f, \"cycles\": %d, "+
		"\"peak\": %d, \"rss\": %d, \"check\": %d}\n",
		median[0], median[1], ms.NumGC, m.peak, rss(), right)
	runtime.KeepAlive(target)
}

func main() {
	number := func(i int) int {
		n, err := strconv.Atoi(os.Args[i])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		return n
	}
	switch {
	case len(os.Args) == 6 && os.Args[1] == "pauses":
		pauses(os.Args[2:])
	case len(os.Args) == 6 && os.Args[1] == "pauses-child":
		pausesChild(number(2), number(3), number(4), number(5))
	case len(os.Args) == 4 && os.Args[1] == "store":
		store(number(2), number(3))
	default:
		fmt.Fprintln(os.Stderr, "usage: concurrent pauses MIB CYCLES THREADS GOGC | "+
			"store MIB ROUNDS")
		os.Exit(2)
	}
}
