// Added to package runtime through `go build -overlay`. It adds read-outs and
// a few start-state helpers; no existing runtime file is altered.

package runtime

import (
	"internal/runtime/gc"
	"unsafe"
)

type OracleSpan struct {
	Base, Npages, Elemsize, Nelems, AllocCount, FreeIndex, Class, Noscan, ObjIndex, State uintptr
}

func OracleSpanOf(p unsafe.Pointer, o *OracleSpan) bool {
	s := spanOf(uintptr(p))
	if s == nil {
		return false
	}
	o.Base, o.Npages, o.Elemsize = s.base(), s.npages, s.elemsize
	o.Nelems, o.AllocCount, o.FreeIndex = uintptr(s.nelems), uintptr(s.allocCount), uintptr(s.freeindex)
	o.Class = uintptr(s.spanclass.sizeclass())
	o.Noscan = 0
	if s.spanclass.noscan() {
		o.Noscan = 1
	}
	o.State = uintptr(s.state.get())
	o.ObjIndex = (uintptr(p) - s.base()) / s.elemsize
	return true
}

const OraclePacerN = 24

var OraclePacerNames = [OraclePacerN]string{
	"heap_live", "heap_marked", "heap_scan", "triggered", "heap_goal", "trigger",
	"gcpercent_goal", "last_heap_scan", "last_stack_scan", "globals_scan", "max_stack_scan",
	"runway", "sweep_min_trigger", "heap_inuse", "heap_free", "heap_released",
	"total_alloc", "total_free", "mapped_ready", "cons_mark_ppm", "heap_minimum",
	"scav_eager", "scav_bg", "scav_gcpercent_goal",
}

func OraclePacer(o *[OraclePacerN]uint64) {
	c := &gcController
	o[0] = c.heapLive.Load()
	o[1] = c.heapMarked
	o[2] = c.heapScan.Load()
	o[3] = c.triggered
	t, g := c.trigger()
	o[4] = g
	o[5] = t
	o[6] = c.gcPercentHeapGoal.Load()
	o[7] = c.lastHeapScan
	o[8] = c.lastStackScan.Load()
	o[9] = c.globalsScan.Load()
	o[10] = c.maxStackScan.Load()
	o[11] = c.runway.Load()
	o[12] = c.sweepDistMinTrigger.Load()
	o[13] = c.heapInUse.load()
	o[14] = c.heapFree.load()
	o[15] = c.heapReleased.load()
	o[16] = c.totalAlloc.Load()
	o[17] = c.totalFree.Load()
	o[18] = c.mappedReady.Load()
	o[19] = uint64(c.consMark * 1e6)
	o[20] = c.heapMinimum
	o[21] = uint64(mheap_.pages.scav.releasedEager.Load())
	o[22] = uint64(mheap_.pages.scav.releasedBg.Load())
	o[23] = scavenge.gcPercentGoal.Load()
}

func OracleCycles() (started, ended uint32) { return work.cycles.Load(), memstats.numgc }

type OracleCounts struct {
	Spans, Pages, Objs, Free [136]uint64
	Unswept                  uint64
	SmallAlloc, SmallFree    [68]uint64
	LargeAlloc, LargeFree    uint64
	LargeAllocN, LargeFreeN  uint64
	Tiny                     uint64
	Committed, Released      uint64
	InHeap, InStacks, InWork uint64
	PagesInUse               uint64
}

// OracleCount walks all spans; it flushes nothing.
func OracleCount(o *OracleCounts) {
	*o = OracleCounts{}
	systemstack(func() {
		lock(&mheap_.lock)
		sg := mheap_.sweepgen
		for _, s := range mheap_.allspans {
			if s.state.get() != mSpanInUse {
				continue
			}
			i := int(s.spanclass)
			o.Spans[i]++
			o.Pages[i] += uint64(s.npages)
			o.Objs[i] += uint64(s.allocCount)
			o.Free[i] += uint64(s.nelems - s.allocCount)
			if s.sweepgen == sg-2 || s.sweepgen == sg-1 || s.sweepgen == sg+1 {
				o.Unswept++
			}
		}
		unlock(&mheap_.lock)
		o.PagesInUse = uint64(mheap_.pagesInUse.Load())
		var d heapStatsDelta
		memstats.heapStats.unsafeRead(&d)
		for i := range d.smallAllocCount {
			o.SmallAlloc[i] = d.smallAllocCount[i]
			o.SmallFree[i] = d.smallFreeCount[i]
		}
		o.LargeAlloc, o.LargeFree = d.largeAlloc, d.largeFree
		o.LargeAllocN, o.LargeFreeN = d.largeAllocCount, d.largeFreeCount
		o.Tiny = d.tinyAllocCount
		o.Committed, o.Released = uint64(d.committed), uint64(d.released)
		o.InHeap, o.InStacks, o.InWork = uint64(d.inHeap), uint64(d.inStacks), uint64(d.inWorkBufs)
	})
}

// OracleMalloc is mallocgc with a caller-made type.
func OracleMalloc(size uintptr, typ unsafe.Pointer) unsafe.Pointer {
	return mallocgc(size, (*_type)(typ), true)
}

// OracleFreeSlots is the number of free slots in all small-object spans.
func OracleFreeSlots() (n int) {
	systemstack(func() {
		lock(&mheap_.lock)
		for _, s := range mheap_.allspans {
			if s.state.get() == mSpanInUse && s.spanclass.sizeclass() != 0 {
				n += int(s.nelems - s.allocCount)
			}
		}
		unlock(&mheap_.lock)
	})
	return
}

// OracleFill allocates until no small-object span has a free slot.
func OracleFill(hold []unsafe.Pointer, ptr8 unsafe.Pointer) int {
	k := 0
	for sc := 1; sc < gc.NumSizeClasses; sc++ {
		for ns := 0; ns < 2; ns++ {
			if sc == 1 && ns == 1 {
				continue
			}
			spc := makeSpanClass(uint8(sc), ns == 1)
			n := 0
			systemstack(func() {
				lock(&mheap_.lock)
				for _, s := range mheap_.allspans {
					if s.state.get() == mSpanInUse && s.spanclass == spc {
						n += int(s.nelems - s.allocCount)
					}
				}
				unlock(&mheap_.lock)
			})
			size := uintptr(gc.SizeClassToSize[sc])
			if !heapBitsInSpan(size) && ns == 0 {
				size -= gc.MallocHeaderSize
			}
			if sc == gc.NumSizeClasses-1 && ns == 1 {
				size -= gc.MallocHeaderSize
			}
			for ; n > 0; n-- {
				if k >= len(hold) {
					return -1
				}
				if ns == 1 {
					hold[k] = mallocgc(size, nil, true)
				} else {
					hold[k] = mallocgc(size, (*_type)(ptr8), true)
				}
				k++
			}
		}
	}
	return k
}

// OracleFillPages takes every free page of the page heap as one-page manual
// spans, so that the next span comes from a fresh 4 MiB growth.
func OracleFillPages() (n int) {
	systemstack(func() {
		me := getg().m.p.ptr()
		lock(&mheap_.lock)
		for _, pp := range allp {
			if pp != me && pp.pcache.cache != 0 {
				pp.pcache.flush(&mheap_.pages)
			}
		}
		unlock(&mheap_.lock)
		for i := 0; i < 1<<20; i++ {
			if me.pcache.empty() {
				lock(&mheap_.lock)
				addr, _ := mheap_.pages.find(1)
				unlock(&mheap_.lock)
				if addr == 0 {
					return
				}
			}
			mheap_.allocManual(1, spanAllocStack)
			n++
		}
		n = -1
	})
	return
}

// OracleNextGrow is the address the next heap growth starts at, when the
// current arena has room.
func OracleNextGrow() (uintptr, uintptr) { return mheap_.curArena.base, mheap_.curArena.end }

func OracleSetDebug(stw, noshrink int32) {
	debug.gcstoptheworld = stw
	debug.gcshrinkstackoff = noshrink
}

// OracleResetPacer forgets the cons/mark history (a fresh process has none).
func OracleResetPacer() {
	gcController.consMark = 0
	gcController.lastConsMark = [4]float64{}
	gcController.runway.Store(0)
}

func OraclePid() int32 { return getg().m.p.ptr().id }

// OracleSwitchP moves the calling goroutine's M to the idle P with this id.
func OracleSwitchP(id int32) (ok bool) {
	systemstack(func() {
		old := getg().m.p.ptr()
		if old.id == id {
			ok = true
			return
		}
		lock(&sched.lock)
		// All under sched.lock: a stop-the-world or a forEachP must not
		// begin between the two halves of the exchange.
		if sched.gcwaiting.Load() || !runqempty(old) || old.runSafePointFn != 0 || sched.safePointWait != 0 {
			unlock(&sched.lock)
			return
		}
		var saved, target *p
		for {
			pp, _ := pidleget(0)
			if pp == nil {
				break
			}
			if pp.id == id {
				target = pp
				break
			}
			pp.link.set(saved)
			saved = pp
		}
		for saved != nil {
			n := saved.link.ptr()
			pidleput(saved, 0)
			saved = n
		}
		if target == nil {
			unlock(&sched.lock)
			return
		}
		releasep()
		acquirep(target)
		pidleput(old, 0)
		unlock(&sched.lock)
		ok = true
	})
	return
}

func oracleFinalizer(*byte) {}

// OracleSetFinalizer is SetFinalizer without a type, of a function that does nothing.
// The goroutine that runs finalizers, if there is one, is left asleep.
func OracleSetFinalizer(p unsafe.Pointer) {
	f := oracleFinalizer
	var b any = (*byte)(nil)
	ot := (*ptrtype)(unsafe.Pointer(efaceOf(&b)._type))
	fingStatus.And(^fingWait)
	systemstack(func() {
		if !addfinalizer(p, *(**funcval)(unsafe.Pointer(&f)), 0, &ot.Type, ot) {
			throw("finalizer already set")
		}
	})
}

// OracleRunFinalizers empties the queue, as runFinalizers does.
func OracleRunFinalizers() {
	lock(&finlock)
	fb := finq
	finq = nil
	unlock(&finlock)
	for fb != nil {
		for i := fb.cnt; i > 0; i-- {
			fb.fin[i-1] = finalizer{}
		}
		n := fb.cnt
		fb.cnt = 0
		next := fb.next
		lock(&finlock)
		finexecuted += uint64(n)
		fb.next = finc
		finc = fb
		unlock(&finlock)
		fb = next
	}
}
