// Command reference turns an execution trace into GHTRACE1 with Go's own parser: what
// goheap's reader is held against. reference.py builds it, with a copy of the parser
// that lies in the Go distribution, internal/trace.
//
//	reference in.trace out.ghtrace
package main

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"reference/trace"
)

const (
	opAlloc = iota
	opTiny
	opFree
	opExist
	opGCBegin
	opGCEnd
	opHeapGoal
	opHeapLive
	opGomaxprocs
	opSpanAlloc
	opSpanFree
	opSpanExist
	opStackAlloc
	opStackFree
	opStackExist
	opSTWBegin
	opSTWEnd
	nOps
)

var opNames = [...]string{"alloc", "tiny", "free", "exist", "gc_begin", "gc_end", "heap_goal", "heap_live",
	"gomaxprocs", "span_alloc", "span_free", "span_exist", "stack_alloc", "stack_free", "stack_exist", "stw_begin", "stw_end"}

var classSize = [...]uint16{0, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200, 3456, 4096, 4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384, 18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768}

type col struct {
	name, enc string
	n         int
	prev      int64
	b         []byte
}

func (c *col) u8(v byte)     { c.b = append(c.b, v); c.n++ }
func (c *col) uv(v uint64)   { c.b = binary.AppendUvarint(c.b, v); c.n++ }
func (c *col) delta(v int64) { c.b = binary.AppendVarint(c.b, v-c.prev); c.prev = v; c.n++ }

type span struct {
	id, npages uint64
	kc         uint64  // spanclass<<1, or 1 for a span that is not a heap span
	live       []int32 // object index + 1 per slot
}

// indexed is how many of its pages lead to it. A large object has the address of its span,
// and spans that are not the heap's hold no objects.
func (s *span) indexed() uint64 {
	if s.kc>>2 == 0 || s.kc&1 != 0 {
		return 1
	}
	return s.npages
}

type typ struct {
	Addr    uint64 `json:"-"`
	Size    uint64 `json:"size"`
	PtrData uint64 `json:"ptrdata"`
	Name    string `json:"name"`
}

func main() {
	flag.Parse()
	f, err := os.Open(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	rawSize, _ := f.Seek(0, io.SeekEnd)
	f.Seek(0, 0)
	r, err := trace.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		log.Fatal(err)
	}
	cols := map[string]*col{}
	var order []*col
	mk := func(name, enc string) *col {
		c := &col{name: name, enc: enc}
		cols[name] = c
		order = append(order, c)
		return c
	}
	evOp, evT, evP := mk("ev.op", "u8"), mk("ev.t", "delta-svarint"), mk("ev.p", "u8")
	oSC, oPages, oType, oG, oAddr := mk("obj.spanclass", "u8"), mk("obj.pages", "uvarint"), mk("obj.type", "uvarint"), mk("obj.g", "delta-svarint"), mk("obj.addr", "delta-svarint")
	tObj, tType := mk("tiny.back", "uvarint"), mk("tiny.type", "uvarint")
	fObj := mk("free.back", "uvarint")
	sID, sPages, sClass := mk("span.id", "delta-svarint"), mk("span.pages", "uvarint"), mk("span.spanclass", "uvarint")
	kID, kOrder := mk("stack.id", "delta-svarint"), mk("stack.order", "uvarint")
	val := mk("val", "uvarint")

	// pages → span
	pageSpan := map[uint64]*span{}
	var spans = map[uint64]*span{}
	var types []typ
	typeIdx := map[string]int{} // key → index
	types = append(types, typ{Name: ""})
	var genTypes map[uint64]int
	info := map[string]uint64{}
	counts := make([]int64, nOps)
	anom := map[string]int64{}
	var nobj int32
	var t0 trace.Time
	started := false
	var liveBytes, peakLive, allocBytes, freeBytes, allocBytesNew int64
	inGC, inSTW := false, false
	var lastT trace.Time

	var end func(s *span, ev *trace.Event)
	setSpan := func(id, np, kc uint64, ev *trace.Event) *span {
		// Now and then the free of a span, or of its objects, comes after others have its pages.
		s := &span{id: id, npages: np, kc: kc}
		for i := uint64(0); i < s.indexed(); i++ {
			if old := pageSpan[id+i]; old != nil {
				anom["span_alloc_over_live_span"]++
				end(old, ev)
			}
		}
		if kc&1 == 0 {
			sc := kc >> 1
			cls := sc >> 1
			n := uint64(1)
			if cls != 0 {
				n = np * 8192 / uint64(classSize[cls])
			}
			s.live = make([]int32, n)
		}
		spans[id] = s
		for i := uint64(0); i < s.indexed(); i++ {
			pageSpan[id+i] = s
		}
		return s
	}
	lookup := func(hid uint64) (*span, int, uint64) {
		s := pageSpan[hid*8/8192]
		if s == nil || s.kc&1 != 0 {
			return nil, 0, 0
		}
		sc := s.kc >> 1
		cls := sc >> 1
		if cls == 0 {
			return s, 0, s.npages * 8192
		}
		sz := uint64(classSize[cls])
		i := int((hid*8 - s.id*8192) / sz)
		if i >= len(s.live) {
			return nil, 0, 0
		}
		return s, i, sz
	}
	emit := func(op byte, ev *trace.Event) {
		counts[op]++
		evOp.u8(op)
		evT.delta(int64(ev.Time() - t0))
		p := ev.Proc()
		if p < 0 || p > 254 {
			evP.u8(255)
		} else {
			evP.u8(byte(p))
		}
	}
	// What still lives in a span that goes away ends with it.
	end = func(s *span, ev *trace.Event) {
		size := int64(s.npages * 8192)
		if cls := s.kc >> 2; cls != 0 {
			size = int64(classSize[cls])
		}
		for i, o := range s.live {
			if o != 0 {
				anom["object_live_at_span_free"]++
				emit(opFree, ev)
				fObj.uv(uint64(nobj - o))
				s.live[i] = 0
				liveBytes -= size
				freeBytes += size
			}
		}
		for i := uint64(0); i < s.indexed(); i++ {
			delete(pageSpan, s.id+i)
		}
		delete(spans, s.id)
	}
	tid := func(id uint64) uint64 {
		if id == 0 {
			return 0
		}
		if i, ok := genTypes[id]; ok {
			return uint64(i)
		}
		anom["type_unknown"]++
		return 0
	}
	newObj := func(op byte, ev *trace.Event, s *span, slot int, size uint64, hid, tp uint64) {
		emit(op, ev)
		sc := s.kc >> 1
		oSC.u8(byte(sc))
		if sc>>1 == 0 {
			oPages.uv(s.npages)
		}
		oType.uv(tid(tp))
		oG.delta(int64(ev.Goroutine()))
		oAddr.delta(int64(s.id*1024) + int64(slot)*int64(size/8))
		nobj++
		s.live[slot] = nobj
		liveBytes += int64(size)
		allocBytes += int64(size)
		if op == opAlloc {
			allocBytesNew += int64(size)
		}
		if liveBytes > peakLive {
			peakLive = liveBytes
		}
	}
	for {
		ev, err := r.ReadEvent()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal("read: ", err)
		}
		if !started {
			t0, started = ev.Time(), true
		}
		if ev.Time() < lastT {
			anom["time_backwards"]++
		}
		lastT = ev.Time()
		switch ev.Kind() {
		case trace.EventSync:
			bs := ev.Sync().ExperimentalBatches["AllocFree"]
			if len(bs) == 0 {
				continue
			}
			genTypes = map[uint64]int{}
			for _, b := range bs {
				d := b.Data
				if len(d) == 0 {
					continue
				}
				kind := d[0]
				d = d[1:]
				rd := func() uint64 {
					v, n := binary.Uvarint(d)
					if n <= 0 {
						log.Fatal("bad varint in experimental batch")
					}
					d = d[n:]
					return v
				}
				switch kind {
				case 0:
					for len(d) > 0 {
						id := rd()
						t := typ{Addr: rd(), Size: rd(), PtrData: rd()}
						n := rd()
						t.Name = string(d[:n])
						d = d[n:]
						key := fmt.Sprintf("%x|%s", t.Addr, t.Name)
						i, ok := typeIdx[key]
						if !ok {
							i = len(types)
							types = append(types, t)
							typeIdx[key] = i
						}
						genTypes[id] = i
					}
				case 1:
					info["min_heap_addr"], info["page_size"], info["heap_align"], info["stack_align"] = rd(), rd(), rd(), rd()
				}
			}
		case trace.EventExperimental:
			x := ev.Experimental()
			a := func(i int) uint64 { return x.ArgValue(i).Uint64() }
			switch x.Name {
			case "Span", "SpanAlloc":
				id, np, kc := a(0), a(1), a(2)
				setSpan(id, np, kc, &ev)
				if x.Name == "Span" {
					emit(opSpanExist, &ev)
				} else {
					emit(opSpanAlloc, &ev)
				}
				sID.delta(int64(id))
				sPages.uv(np)
				if kc&1 == 1 {
					sClass.uv(255)
				} else {
					sClass.uv(kc >> 1)
				}
			case "SpanFree":
				id := a(0)
				s := spans[id]
				if s == nil {
					anom["span_free_unknown"]++
					continue
				}
				end(s, &ev)
				emit(opSpanFree, &ev)
				sID.delta(int64(id))
				sPages.uv(0)
				sClass.uv(0)
			case "HeapObject", "HeapObjectAlloc":
				s, i, sz := lookup(a(0))
				if s == nil {
					anom["alloc_outside_heap_span"]++
					continue
				}
				if x.Name == "HeapObject" {
					if s.live[i] != 0 {
						anom["exist_twice"]++
						continue
					}
					newObj(opExist, &ev, s, i, sz, a(0), a(1))
					continue
				}
				if s.live[i] != 0 {
					if s.kc>>1 == 5 { // 16-byte noscan: a tiny block being filled
						emit(opTiny, &ev)
						tObj.uv(uint64(nobj - s.live[i]))
						tType.uv(tid(a(1)))
						continue
					}
					anom["alloc_over_live"]++
					// keep the books right: the old object is gone
					emit(opFree, &ev)
					fObj.uv(uint64(nobj - s.live[i]))
					liveBytes -= int64(sz)
					freeBytes += int64(sz)
				}
				newObj(opAlloc, &ev, s, i, sz, a(0), a(1))
			case "HeapObjectFree":
				s, i, sz := lookup(a(0))
				if s == nil {
					anom["free_outside_heap_span"]++
					continue
				}
				if s.live[i] == 0 {
					anom["free_not_live"]++
					continue
				}
				emit(opFree, &ev)
				fObj.uv(uint64(nobj - s.live[i]))
				s.live[i] = 0
				liveBytes -= int64(sz)
				freeBytes += int64(sz)
			case "GoroutineStack", "GoroutineStackAlloc":
				if x.Name == "GoroutineStack" {
					emit(opStackExist, &ev)
				} else {
					emit(opStackAlloc, &ev)
				}
				kID.delta(int64(a(0)))
				kOrder.uv(a(1))
			case "GoroutineStackFree":
				emit(opStackFree, &ev)
				kID.delta(int64(a(0)))
				kOrder.uv(0)
			default:
				anom["unknown_experimental:"+x.Name]++
			}
		case trace.EventMetric:
			m := ev.Metric()
			switch m.Name {
			case "/memory/classes/heap/objects:bytes":
				emit(opHeapLive, &ev)
				val.uv(m.Value.Uint64())
			case "/gc/heap/goal:bytes":
				emit(opHeapGoal, &ev)
				val.uv(m.Value.Uint64())
			case "/sched/gomaxprocs:threads":
				emit(opGomaxprocs, &ev)
				val.uv(m.Value.Uint64())
			}
		case trace.EventRangeBegin, trace.EventRangeEnd, trace.EventRangeActive:
			rg := ev.Range()
			end := ev.Kind() == trace.EventRangeEnd
			switch {
			case rg.Name == "GC concurrent mark phase":
				if end {
					emit(opGCEnd, &ev)
					inGC = false
				} else if !inGC { // a new trace generation repeats an active range
					emit(opGCBegin, &ev)
					inGC = true
				}
			case strings.HasPrefix(rg.Name, "stop-the-world"):
				if end {
					emit(opSTWEnd, &ev)
					inSTW = false
				} else if !inSTW {
					emit(opSTWBegin, &ev)
					inSTW = true
				}
			}
		}
	}

	out, err := os.Create(flag.Arg(1))
	if err != nil {
		log.Fatal(err)
	}
	type cdesc struct {
		Name   string `json:"name"`
		Enc    string `json:"enc"`
		Count  int    `json:"count"`
		Raw    int    `json:"raw_bytes"`
		Offset int    `json:"offset"`
		Bytes  int    `json:"bytes"`
	}
	var descs []cdesc
	var body bytes.Buffer
	for _, c := range order {
		off := body.Len()
		zw, _ := zlib.NewWriterLevel(&body, 9)
		zw.Write(c.b)
		zw.Close()
		descs = append(descs, cdesc{c.name, c.enc, c.n, len(c.b), off, body.Len() - off})
	}
	cnt := map[string]int64{}
	for i, n := range counts {
		cnt[opNames[i]] = n
	}
	hdr := map[string]any{
		"format": "GHTRACE1", "compression": "zlib", "ops": opNames, "columns": descs,
		"class_to_size": classSize, "types": types, "counts": cnt, "anomalies": anom, "info": info,
		"source_trace_bytes": rawSize,
		"bytes":              map[string]int64{"alloc": allocBytesNew, "alloc_with_existing": allocBytes, "free": freeBytes, "peak_occupied": peakLive, "end_occupied": liveBytes},
		"duration_ns":        int64(lastT - t0),
	}
	hb, err := json.Marshal(hdr)
	if err != nil {
		log.Fatal(err)
	}
	out.WriteString("GHTRACE1")
	binary.Write(out, binary.LittleEndian, uint32(len(hb)))
	out.Write(hb)
	out.Write(body.Bytes())
	if err := out.Close(); err != nil {
		log.Fatal(err)
	}
}
