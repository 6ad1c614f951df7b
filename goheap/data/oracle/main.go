// Oracle: runs an allocation script against Go's own heap and writes what
// the runtime did as JSON. See SCHEMA.md for the language and the output.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// ---- memory outside the Go heap -------------------------------------------

func offheap(n uintptr) unsafe.Pointer {
	p, _, e := syscall.Syscall6(syscall.SYS_MMAP, 0, n, 3, 0x4022, ^uintptr(0), 0)
	if e != 0 {
		panic(e)
	}
	return *(*unsafe.Pointer)(unsafe.Pointer(&p))
}

// abiType mirrors internal/abi.Type; only size, pointer bytes and mask matter here.
type abiType struct {
	Size, PtrBytes uintptr
	Hash           uint32
	TFlag          uint8
	Align, FAlign  uint8
	Kind           uint8
	Equal          unsafe.Pointer
	GCData         *byte
	Str, PtrToThis int32
}

var (
	typeArena    unsafe.Pointer
	typeArenaOff uintptr
)

const typeArenaSize = 256 << 20

func arenaAlloc(n uintptr) unsafe.Pointer {
	n = (n + 15) &^ 15
	if typeArenaOff+n > typeArenaSize {
		panic("type arena full")
	}
	p := unsafe.Add(typeArena, typeArenaOff)
	typeArenaOff += n
	return p
}

// mask spec: none | all | list of words and ranges a-b[/step]
type maskSpec struct {
	all  bool
	rngs [][3]int
}

type tkey struct {
	size uintptr
	mask int32
	typ  *abiType
}

var (
	masks   []maskSpec
	maskIDs = map[string]int32{}
	ttab    []tkey // open addressing, off heap
)

const ttabN = 1 << 16

func makeType(size uintptr, m *maskSpec) *abiType {
	t := (*abiType)(arenaAlloc(unsafe.Sizeof(abiType{})))
	words := size / 8
	mb := (words+7)/8 + 8
	data := arenaAlloc(mb)
	last := -1
	set := func(w int) {
		if uintptr(w) < words {
			b := (*byte)(unsafe.Add(data, w/8))
			*b |= 1 << (w % 8)
			if w > last {
				last = w
			}
		}
	}
	if m.all {
		for w := 0; w < int(words); w++ {
			set(w)
		}
	}
	for _, r := range m.rngs {
		for w := r[0]; w <= r[1]; w += r[2] {
			set(w)
		}
	}
	t.Size = size
	t.PtrBytes = uintptr(last+1) * 8
	t.Align, t.FAlign, t.Kind = 8, 8, 25
	t.GCData = (*byte)(data)
	return t
}

func getType(size uintptr, mask int32) *abiType {
	h := (uint64(size)*0x9E3779B97F4A7C15 ^ uint64(mask)*0xC2B2AE3D27D4EB4F) >> 20
	for i := h & (ttabN - 1); ; i = (i + 1) & (ttabN - 1) {
		k := &ttab[i]
		if k.typ == nil {
			k.size, k.mask = size, mask
			k.typ = makeType(size, &masks[mask])
			return k.typ
		}
		if k.size == size && k.mask == mask {
			return k.typ
		}
	}
}

func parseMask(s string) int32 {
	if id, ok := maskIDs[s]; ok {
		return id
	}
	var m maskSpec
	switch s {
	case "all":
		m.all = true
	case "none":
	default:
		for _, f := range strings.Split(s, ",") {
			step := 1
			if i := strings.IndexByte(f, '/'); i >= 0 {
				step = atoi(f[i+1:])
				f = f[:i]
			}
			a, b, ok := strings.Cut(f, "-")
			lo := atoi(a)
			hi := lo
			if ok {
				hi = atoi(b)
			}
			m.rngs = append(m.rngs, [3]int{lo, hi, step})
		}
	}
	id := int32(len(masks))
	masks = append(masks, m)
	maskIDs[s] = id
	return id
}

// ---- expressions -----------------------------------------------------------

type expr struct {
	k    byte // 'n' number, 'v' variable, + - * / %
	n    int64
	l, r *expr
}

var vars [32]int64
var varIDs = map[string]int{}

func (e *expr) eval() int64 {
	switch e.k {
	case 'n':
		return e.n
	case 'v':
		return vars[e.n]
	case '+':
		return e.l.eval() + e.r.eval()
	case '-':
		return e.l.eval() - e.r.eval()
	case '*':
		return e.l.eval() * e.r.eval()
	case '/':
		return e.l.eval() / e.r.eval()
	case '%':
		return e.l.eval() % e.r.eval()
	}
	panic("expr")
}

type eparser struct {
	s string
	i int
}

func parseExpr(s string) *expr {
	p := &eparser{s: s}
	e := p.sum()
	if p.i != len(s) {
		fail("bad expression " + s)
	}
	return e
}
func (p *eparser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}
func (p *eparser) sum() *expr {
	e := p.prod()
	for c := p.peek(); c == '+' || c == '-'; c = p.peek() {
		p.i++
		e = &expr{k: c, l: e, r: p.prod()}
	}
	return e
}
func (p *eparser) prod() *expr {
	e := p.atom()
	for c := p.peek(); c == '*' || c == '/' || c == '%'; c = p.peek() {
		p.i++
		e = &expr{k: c, l: e, r: p.atom()}
	}
	return e
}
func (p *eparser) atom() *expr {
	c := p.peek()
	if c == '(' {
		p.i++
		e := p.sum()
		if p.peek() != ')' {
			fail("missing )")
		}
		p.i++
		return e
	}
	j := p.i
	if c == '$' {
		j++
		for j < len(p.s) && (p.s[j] >= 'a' && p.s[j] <= 'z') {
			j++
		}
		id, ok := varIDs[p.s[p.i+1:j]]
		if !ok {
			fail("unknown variable " + p.s[p.i:j])
		}
		p.i = j
		return &expr{k: 'v', n: int64(id)}
	}
	for j < len(p.s) && p.s[j] >= '0' && p.s[j] <= '9' {
		j++
	}
	n := atoi(p.s[p.i:j])
	p.i = j
	return &expr{k: 'n', n: int64(n)}
}

// ---- ops -------------------------------------------------------------------

const (
	oAlloc = iota
	oAllocT
	oAllocArr
	oDrop
	oStore
	oLoad
	oRepeat
	oEnd
	oGC
	oStats
	oPeek
	oGogc
	oMemlimit
	oFreeos
	oAddr
	oHash
	oRandom
	oRandlink
	oRanddrop
	oOnp
	oPar
	oFin
)

type distSpec struct {
	kind byte // u, l(og), t(able)
	a, b uint64
	tab  []uint64
}

type op struct {
	code       uint8
	a, b, c, d *expr
	mask       int32 // -1: noscan
	typ        *abiType
	label      int32
	jump       int32
	v          int32
	dist       distSpec
	scanpct    uint64
	linkpct    uint64
	list       []*expr
}

var (
	lineNo  int
	prog    []op
	labels  []string
	header  = map[string]string{}
	types   = map[string]*abiType{}
	nslots  = 1024
	procsN  = 1
	stwMode = 0
	hasFin  bool
)

func fail(s string) {
	fmt.Fprintf(os.Stderr, "line %d: %s\n", lineNo, s)
	os.Exit(2)
}
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		fail(err.Error())
	}
	return n
}

func parseDist(s string) distSpec {
	k, r, _ := strings.Cut(s, ":")
	var d distSpec
	switch k {
	case "u", "log":
		a, b, _ := strings.Cut(r, "-")
		d.kind, d.a, d.b = k[0], uint64(atoi(a)), uint64(atoi(b))
	case "list":
		d.kind = 't'
		for _, f := range strings.Split(r, ",") {
			d.tab = append(d.tab, uint64(atoi(f)))
		}
	default:
		fail("bad distribution " + s)
	}
	return d
}

func (d *distSpec) draw(r uint64) uint64 {
	switch d.kind {
	case 'u':
		return d.a + r%(d.b-d.a+1)
	case 'l':
		k := d.a + r%(d.b-d.a+1)
		return 1<<k + (r>>32)%(1<<k)
	}
	return d.tab[r%uint64(len(d.tab))]
}

// readFile uses bare system calls: os.File brings cleanups and a poller.
func readFile(path string) string {
	fd, err := syscall.Open(path, syscall.O_RDONLY, 0)
	if err != nil {
		fail(err.Error())
	}
	const n = 4 << 20
	buf := unsafe.Slice((*byte)(offheap(n)), n)
	k := 0
	for {
		m, err := syscall.Read(fd, buf[k:])
		if err != nil || k == n {
			fail("read")
		}
		if m == 0 {
			break
		}
		k += m
	}
	syscall.Close(fd)
	return unsafe.String(&buf[0], k)
}

func parse(path string) {
	sc := bufio.NewScanner(strings.NewReader(readFile(path)))
	sc.Buffer(make([]byte, 1<<20), 1<<20)
	var loops []int
	addLabel := func(s string) int32 { labels = append(labels, s); return int32(len(labels) - 1) }
	for sc.Scan() {
		lineNo++
		line := sc.Text()
		if i := strings.IndexByte(line, '#'); i >= 0 {
			line = line[:i]
		}
		w := strings.Fields(line)
		if len(w) == 0 {
			continue
		}
		kv := map[string]string{}
		for _, x := range w {
			if k, v, ok := strings.Cut(x, "="); ok {
				kv[k] = v
			}
		}
		o := op{mask: -1, label: -1}
		slotField := func(s string) (*expr, *expr) {
			a, b, ok := strings.Cut(s, ".")
			if !ok {
				fail("want SLOT.FIELD")
			}
			return parseExpr(a), parseExpr(b)
		}
		switch w[0] {
		case "goheap-script":
			header["version"] = w[1]
			continue
		case "title", "lane":
			header[w[0]] = strings.Join(w[1:], " ")
			continue
		case "slots":
			nslots = atoi(w[1])
			continue
		case "procs":
			procsN = atoi(w[1])
			continue
		case "gcmode":
			stwMode = map[string]int{"concurrent": 0, "stw-mark": 1, "stw": 2}[w[1]]
			header["gcmode"] = w[1]
			continue
		case "type":
			m := parseMask(kv["ptr"])
			types[w[1]] = makeType(uintptr(atoi(w[2])), &masks[m])
			continue
		case "alloc":
			o.code = oAlloc
			o.a, o.b = parseExpr(w[1]), parseExpr(w[2])
			if p, ok := kv["ptrs"]; ok {
				o.mask = parseMask(p)
			} else if w[3] != "noscan" {
				fail("noscan or ptrs=")
			}
		case "alloctype":
			o.code, o.a, o.typ = oAllocT, parseExpr(w[1]), types[w[2]]
			if o.typ == nil {
				fail("unknown type")
			}
		case "allocarray":
			o.code, o.a, o.typ, o.b = oAllocArr, parseExpr(w[1]), types[w[2]], parseExpr(w[3])
			if o.typ == nil {
				fail("unknown type")
			}
		case "drop":
			o.code, o.a = oDrop, parseExpr(w[1])
		case "fin":
			o.code, o.a, hasFin = oFin, parseExpr(w[1]), true
		case "store":
			o.code = oStore
			o.a, o.b = slotField(w[1])
			if w[2] != "nil" {
				o.c = parseExpr(w[2])
			}
		case "load":
			o.code = oLoad
			o.a = parseExpr(w[1])
			o.b, o.c = slotField(w[2])
		case "repeat":
			o.code = oRepeat
			if _, ok := varIDs[w[1]]; !ok {
				varIDs[w[1]] = len(varIDs)
			}
			o.v = int32(varIDs[w[1]])
			o.a = parseExpr(w[2])
			loops = append(loops, len(prog))
		case "end":
			o.code = oEnd
			s := loops[len(loops)-1]
			loops = loops[:len(loops)-1]
			o.jump = int32(s)
			o.v = prog[s].v
			prog[s].jump = int32(len(prog))
		case "gc":
			o.code = oGC
		case "stats":
			o.code, o.label = oStats, addLabel(w[1])
		case "peek":
			o.code, o.label = oPeek, addLabel(w[1])
		case "gogc":
			o.code = oGogc
			if w[1] == "off" {
				o.a = &expr{k: 'n', n: -1}
			} else {
				o.a = parseExpr(w[1])
			}
		case "memlimit":
			o.code = oMemlimit
			if w[1] == "off" {
				o.a = &expr{k: 'n', n: 1<<63 - 1}
			} else {
				o.a = parseExpr(w[1])
			}
		case "freeos":
			o.code = oFreeos
		case "addr":
			o.code, o.label = oAddr, addLabel(w[1])
			o.a, o.b = parseExpr(w[2]), parseExpr(w[3])
		case "addrhash":
			o.code, o.label = oHash, addLabel(w[1])
			o.a, o.b = parseExpr(w[2]), parseExpr(w[3])
		case "random":
			o.code = oRandom
			o.a, o.b = parseExpr(w[1]), parseExpr(w[2])
			o.dist = parseDist(kv["sizes"])
			o.c, o.d = parseExpr(kv["base"]), parseExpr(kv["live"])
			if s, ok := kv["scan"]; ok {
				o.scanpct = uint64(atoi(s))
			}
			if s, ok := kv["link"]; ok {
				o.linkpct = uint64(atoi(s))
			}
			mk := kv["mask"]
			if mk == "" {
				mk = "0"
			}
			o.mask = parseMask(mk)
		case "randlink":
			o.code = oRandlink
			o.list = []*expr{parseExpr(w[1]), parseExpr(w[2]), parseExpr(w[3]), parseExpr(w[4]), parseExpr(w[5])}
		case "randdrop":
			o.code = oRanddrop
			o.list = []*expr{parseExpr(w[1]), parseExpr(w[2]), parseExpr(w[3]), parseExpr(w[4])}
		case "onp":
			o.code, o.a = oOnp, parseExpr(w[1])
		case "par":
			o.code, o.a, o.b, o.c = oPar, parseExpr(w[1]), parseExpr(w[2]), parseExpr(w[3])
		default:
			fail("unknown op " + w[0])
		}
		prog = append(prog, o)
	}
	if len(loops) != 0 {
		fail("missing end")
	}
	if header["version"] != "1" {
		fail("want goheap-script 1")
	}
}

// ---- run -------------------------------------------------------------------

type snap struct {
	label  int32
	full   bool
	nalloc uint64
	ms     runtime.MemStats
	pac    [runtime.OraclePacerN]uint64
	cnt    runtime.OracleCounts
	met    [32]uint64
}
type addrRec struct {
	label         int32
	hash          bool
	n, start      int64
	h, h2         uint64
	spans, nalloc uint64
	gcs           uint32
}
type gcEvent struct {
	end    bool
	cycle  uint32
	nalloc uint64
	pac    [runtime.OraclePacerN]uint64
}

const (
	maxSnap, maxAddr, maxEv = 512, 4096, 16384
	maxAddrWords            = 8 << 20
)

var (
	table    []unsafe.Pointer
	hold     []unsafe.Pointer
	snaps    []snap
	nsnap    int
	addrs    []addrRec
	naddr    int
	evs      []gcEvent
	nev      int
	evDrop   int
	abuf     []uint64
	nabuf    int64
	nalloc   uint64
	lastS    uint32
	lastE    uint32
	curP     int32
	samples  []metrics.Sample
	pageBase uintptr
	onpFail  int
)

var metricNames = []string{
	"/memory/classes/heap/free:bytes",
	"/memory/classes/heap/objects:bytes",
	"/memory/classes/heap/released:bytes",
	"/memory/classes/heap/stacks:bytes",
	"/memory/classes/heap/unused:bytes",
	"/memory/classes/metadata/mspan/inuse:bytes",
	"/memory/classes/total:bytes",
	"/gc/heap/allocs:bytes",
	"/gc/heap/allocs:objects",
	"/gc/heap/frees:bytes",
	"/gc/heap/frees:objects",
	"/gc/heap/goal:bytes",
	"/gc/heap/live:bytes",
	"/gc/heap/objects:objects",
	"/gc/heap/tiny/allocs:objects",
	"/gc/cycles/automatic:gc-cycles",
	"/gc/cycles/forced:gc-cycles",
	"/gc/cycles/total:gc-cycles",
	"/gc/scan/globals:bytes",
	"/gc/scan/heap:bytes",
	"/gc/scan/stack:bytes",
	"/gc/gogc:percent",
}

func smix(s *uint64) uint64 {
	*s += 0x9E3779B97F4A7C15
	z := *s
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
	z = (z ^ (z >> 27)) * 0x94D049BB133111EB
	return z ^ (z >> 31)
}

//go:noinline
func poll() {
	s, e := runtime.OracleCycles()
	if s == lastS && e == lastE {
		return
	}
	if s != lastS {
		logEv(false, s)
	}
	if e != lastE {
		logEv(true, e)
	}
	lastS, lastE = s, e
}

func logEv(end bool, n uint32) {
	if nev >= maxEv {
		evDrop++
		return
	}
	v := &evs[nev]
	nev++
	v.end, v.cycle, v.nalloc = end, n, nalloc
	runtime.OraclePacer(&v.pac)
}

func takeSnap(label int32, full bool) {
	if nsnap >= maxSnap {
		panic("too many snapshots")
	}
	s := &snaps[nsnap]
	nsnap++
	s.label, s.full, s.nalloc = label, full, nalloc
	runtime.OraclePacer(&s.pac)
	if full {
		runtime.ReadMemStats(&s.ms)
		metrics.Read(samples)
		for i := range samples {
			if samples[i].Value.Kind() == metrics.KindUint64 {
				s.met[i] = samples[i].Value.Uint64()
			}
		}
	}
	runtime.OracleCount(&s.cnt)
}

func put(slot int64, p unsafe.Pointer) {
	table[slot] = p
}

func doMalloc(size uintptr, t *abiType) unsafe.Pointer {
	nalloc++
	return runtime.OracleMalloc(size, unsafe.Pointer(t))
}

func recordAddr(o *op, full bool) {
	lo, hi := o.a.eval(), o.b.eval()
	r := &addrs[naddr]
	naddr++
	r.label, r.hash, r.n, r.start, r.nalloc = o.label, !full, hi-lo, nabuf, nalloc
	_, e := runtime.OracleCycles()
	r.gcs = e
	var sp runtime.OracleSpan
	h := uint64(0xcbf29ce484222325)
	h2 := h
	var lastBase uintptr
	for i := lo; i < hi; i++ {
		p := uintptr(table[i])
		var v uint64
		v2 := ^uint64(0)
		if p != 0 {
			runtime.OracleSpanOf(table[i], &sp)
			v = uint64(p - pageBase)
			v2 = uint64(sp.ObjIndex)*2 + 1
			if sp.Base != lastBase {
				r.spans++
				lastBase = sp.Base
				v2--
			}
		}
		if full {
			if p == 0 {
				abuf[nabuf] = ^uint64(0)
				nabuf += 4
				continue
			}
			abuf[nabuf] = v
			abuf[nabuf+1] = uint64(sp.Base - pageBase)
			abuf[nabuf+2] = uint64(sp.ObjIndex)
			abuf[nabuf+3] = uint64(sp.Class)<<32 | uint64(sp.Noscan)<<31 | uint64(sp.Nelems)
			nabuf += 4
		} else {
			h = (h ^ v) * 0x100000001b3
			h ^= h >> 29
			h2 = (h2 ^ v2) * 0x100000001b3
			h2 ^= h2 >> 29
		}
	}
	r.h, r.h2 = h, h2
}

func fixP() {
	for i := 0; runtime.OraclePid() != curP; i++ {
		if runtime.OracleSwitchP(curP) {
			continue
		}
		runtime.Gosched()
		if i > 20 {
			// sleep without giving up the P, so that the other M drops its own
			ts := [2]int64{0, 50000}
			syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
		}
		if i > 20000 {
			onpFail++
			return
		}
	}
}

func doRandom(o *op) {
	st := uint64(o.a.eval())
	n := o.b.eval()
	base, live := o.c.eval(), uint64(o.d.eval())
	for i := int64(0); i < n; i++ {
		r1, r2, r3, r4, r5 := smix(&st), smix(&st), smix(&st), smix(&st), smix(&st)
		slot := base + int64(r1%live)
		size := uintptr(o.dist.draw(r2))
		if r3%100 < o.scanpct {
			size = (size + 7) &^ 7
			if size < 8 {
				size = 8
			}
			t := getType(size, o.mask)
			p := doMalloc(size, t)
			if r4%100 < o.linkpct {
				*(*unsafe.Pointer)(p) = table[base+int64(r5%live)]
			}
			put(slot, p)
		} else {
			put(slot, doMalloc(size, nil))
		}
		poll()
	}
}

func run() {
	var cnt [32]int64
	multi := procsN > 1
	for pc := 0; pc < len(prog); pc++ {
		o := &prog[pc]
		if multi && o.code != oRepeat && o.code != oEnd && o.code != oPar {
			fixP()
		}
		switch o.code {
		case oAlloc:
			slot, size := o.a.eval(), uintptr(o.b.eval())
			if o.mask < 0 {
				put(slot, doMalloc(size, nil))
			} else {
				put(slot, doMalloc(size, getType(size, o.mask)))
			}
			poll()
		case oAllocT:
			slot := o.a.eval()
			put(slot, doMalloc(o.typ.Size, o.typ))
			poll()
		case oAllocArr:
			slot, n := o.a.eval(), uintptr(o.b.eval())
			put(slot, doMalloc(o.typ.Size*n, o.typ))
			poll()
		case oDrop:
			table[o.a.eval()] = nil
		case oFin:
			runtime.OracleSetFinalizer(table[o.a.eval()])
		case oStore:
			p := unsafe.Add(table[o.a.eval()], o.b.eval()*8)
			if o.c == nil {
				*(*unsafe.Pointer)(p) = nil
			} else {
				*(*unsafe.Pointer)(p) = table[o.c.eval()]
			}
		case oLoad:
			slot := o.a.eval()
			put(slot, *(*unsafe.Pointer)(unsafe.Add(table[o.b.eval()], o.c.eval()*8)))
		case oRepeat:
			vars[o.v] = 0
			cnt[o.v] = o.a.eval()
			if cnt[o.v] <= 0 {
				pc = int(o.jump)
			}
		case oEnd:
			vars[o.v]++
			if vars[o.v] < cnt[o.v] {
				pc = int(o.jump)
			}
		case oGC:
			runtime.GC()
			poll()
		case oStats:
			takeSnap(o.label, true)
		case oPeek:
			takeSnap(o.label, false)
		case oGogc:
			debug.SetGCPercent(int(o.a.eval()))
			poll()
		case oMemlimit:
			// relative to the memory mapped at the baseline, see SCHEMA.md
			if n := o.a.eval(); n == 1<<63-1 {
				debug.SetMemoryLimit(n)
			} else {
				debug.SetMemoryLimit(int64(snaps[0].pac[18]) + n)
			}
			poll()
		case oFreeos:
			debug.FreeOSMemory()
			poll()
		case oAddr:
			recordAddr(o, true)
		case oHash:
			recordAddr(o, false)
		case oRandom:
			doRandom(o)
		case oRandlink:
			st := uint64(o.list[0].eval())
			n, base, cntv, w := o.list[1].eval(), o.list[2].eval(), uint64(o.list[3].eval()), uint64(o.list[4].eval())
			for i := int64(0); i < n; i++ {
				a, f, b := smix(&st), smix(&st), smix(&st)
				p := table[base+int64(a%cntv)]
				if p != nil {
					*(*unsafe.Pointer)(unsafe.Add(p, (f%w)*8)) = table[base+int64(b%cntv)]
				}
			}
		case oRanddrop:
			st := uint64(o.list[0].eval())
			base, n, pct := o.list[1].eval(), o.list[2].eval(), uint64(o.list[3].eval())
			for i := int64(0); i < n; i++ {
				if smix(&st)%100 < pct {
					table[base+i] = nil
				}
			}
		case oOnp:
			curP = int32(o.a.eval())
			fixP()
		case oPar:
			k, n, size := o.a.eval(), o.b.eval(), uintptr(o.c.eval())
			var wg sync.WaitGroup
			var tot atomic.Uint64
			for i := int64(0); i < k; i++ {
				wg.Add(1)
				go func() {
					var keep unsafe.Pointer
					for j := int64(0); j < n; j++ {
						keep = runtime.OracleMalloc(size, nil)
					}
					runtime.KeepAlive(keep)
					tot.Add(uint64(n))
					wg.Done()
				}()
			}
			wg.Wait()
			nalloc += tot.Load()
			poll()
		}
		if hasFin {
			runtime.OracleRunFinalizers()
		}
	}
}

//go:noinline
func deep(n int) int {
	var a [1024]byte
	if n == 0 {
		return int(a[0])
	}
	a[n%1024] = byte(n)
	return deep(n-1) + int(a[(n+1)%1024])
}

var noNormal = flag.Bool("no-normalize", false, "skip filling the start heap (control experiment)")
var selfTest = flag.Bool("selftest", false, "check the hand-made types against the runtime")
var outPath = flag.String("o", "-", "output file")

func prepare() {
	debug.SetGCPercent(-1)
	typeArena = offheap(typeArenaSize)
	ttab = unsafe.Slice((*tkey)(offheap(ttabN*unsafe.Sizeof(tkey{}))), ttabN)
	snaps = unsafe.Slice((*snap)(offheap(maxSnap*unsafe.Sizeof(snap{}))), maxSnap)
	addrs = unsafe.Slice((*addrRec)(offheap(maxAddr*unsafe.Sizeof(addrRec{}))), maxAddr)
	evs = unsafe.Slice((*gcEvent)(offheap(maxEv*unsafe.Sizeof(gcEvent{}))), maxEv)
	abuf = unsafe.Slice((*uint64)(offheap(maxAddrWords*8)), maxAddrWords)
}

// baseLive is the number of live heap bytes every script starts from.
func baseLive() uint64 { return 2<<20 + (uint64(nslots)*8+8191)&^8191 }

// pad brings the live heap to exactly want bytes with full spans only.
// Full 24 B scan spans hold 330*24 = 8192-272 bytes, full 16 B noscan spans
// 504*16 = 8192-128, large objects whole pages.
func pad(hold []unsafe.Pointer, ptr8 unsafe.Pointer, live, want uint64) int {
	if want < live+(640<<10) {
		fmt.Fprintln(os.Stderr, "base live too large:", live, "want", want)
		os.Exit(3) // as below
	}
	r := want - live
	for k := uint64(0); k < 8; k++ {
		for j := uint64(0); j < 64; j++ {
			small := k*330*24 + j*504*16
			if (r-small)%8192 != 0 {
				continue
			}
			n := 0
			for i := uint64(0); i < k*330; i++ {
				hold[n] = runtime.OracleMalloc(24, ptr8)
				n++
			}
			for i := uint64(0); i < j*504; i++ {
				hold[n] = runtime.OracleMalloc(16, nil)
				n++
			}
			hold[n] = runtime.OracleMalloc(uintptr(r-small), nil)
			return n + 1
		}
	}
	panic("cannot pad")
}

func normalize() (holdUsed, pages int) {
	ptr8 := types["$ptr"]
	samples = make([]metrics.Sample, len(metricNames))
	for i, n := range metricNames {
		samples[i].Name = n
	}
	metrics.Read(samples)
	if n := runtime.GOMAXPROCS(procsN); n != procsN {
		_ = n
	}
	runtime.OracleSetDebug(int32(stwMode), 1)
	// slot table and ballast holder: plain pointer arrays in the heap
	tp := runtime.OracleMalloc(uintptr(nslots)*8, unsafe.Pointer(ptr8))
	table = unsafe.Slice((*unsafe.Pointer)(tp), nslots)
	hp := runtime.OracleMalloc(65536*8, unsafe.Pointer(ptr8))
	hold = unsafe.Slice((*unsafe.Pointer)(hp), 65536)
	deep(200)
	// wake everything that is lazily made: workers, stats buffers, caches
	for p := 0; p < 3; p++ {
		for i := 0; i < procsN; i++ {
			if procsN > 1 {
				curP = int32(i)
				fixP()
			}
			takeSnap(-1, true)
			runtime.Gosched()
		}
		runtime.GC()
		nsnap = 0
	}
	debug.FreeOSMemory()
	debug.SetMemoryLimit(1<<63 - 1)
	curP = 0
	if *noNormal {
		runtime.GC()
		fixP()
		g, _ := runtime.OracleNextGrow()
		pageBase = g
		runtime.OracleResetPacer()
		return
	}
	padded := false
	for i := 0; i < 40; i++ {
		runtime.GC()
		fixP()
		takeSnap(-1, true)
		live := snaps[0].pac[0]
		nsnap = 0
		if i >= 2 && runtime.OracleFreeSlots() == 0 && !padded {
			holdUsed += pad(hold[holdUsed:], unsafe.Pointer(ptr8), live, baseLive())
			padded = true
			continue
		}
		n := runtime.OracleFill(hold[holdUsed:], unsafe.Pointer(ptr8))
		if n < 0 {
			panic("ballast holder too small")
		}
		holdUsed += n
		if n == 0 && padded {
			break
		}
	}
	if !padded || runtime.OracleFreeSlots() != 0 {
		fmt.Fprintln(os.Stderr, "start state not reached")
		os.Exit(3) // the driver runs it again
	}
	fixP()
	pages = runtime.OracleFillPages()
	g, end := runtime.OracleNextGrow()
	if end-g < 4<<20 {
		g = end // the next growth asks for a new arena, which follows this one
	}
	pageBase = g
	runtime.OracleResetPacer()
	return
}

func main() {
	flag.Parse()
	prepare()
	maskAll := parseMask("all")
	types["$ptr"] = makeType(8, &masks[maskAll])
	if *selfTest {
		os.Exit(selftest())
	}
	parse(flag.Arg(0))
	hu, pg := normalize()
	lastS, lastE = runtime.OracleCycles()
	free0 := runtime.OracleFreeSlots()
	takeSnap(-1, true) // baseline
	run()
	// the script is over; from here on the heap may be disturbed
	debug.SetMemoryLimit(1<<63 - 1)
	debug.SetGCPercent(100)
	runtime.OracleSetDebug(0, 0)
	writeOut(hu, pg, free0)
}

// cap64 writes "no limit" as -1.
func cap64(v uint64) int64 {
	if v > 1<<60 {
		return -1
	}
	return int64(v)
}

func d64(a, b uint64) int64 { return int64(a - b) }

func labelKey(m map[string]int, l int32) string {
	s := labels[l]
	m[s]++
	if m[s] > 1 {
		s += "#" + strconv.Itoa(m[s])
	}
	return s
}

func spanTable(c, b *runtime.OracleCounts) map[string][]int64 {
	m := map[string][]int64{}
	for i := range c.Spans {
		v := []int64{d64(c.Spans[i], b.Spans[i]), d64(c.Pages[i], b.Pages[i]), d64(c.Objs[i], b.Objs[i]), d64(c.Free[i], b.Free[i])}
		if v[0]|v[1]|v[2]|v[3] != 0 {
			k := strconv.Itoa(i / 2)
			if i&1 == 1 {
				k += "n"
			} else {
				k += "s"
			}
			m[k] = v
		}
	}
	return m
}

func writeOut(hu, pg, free0 int) {
	b := &snaps[0]
	base := map[string]any{
		"ballast_objects": hu, "filled_pages": pg, "free_slots": free0,
		"heap_marked": b.pac[1], "heap_live": b.pac[0], "stack_scan": b.pac[8],
		"globals_scan": b.pac[9], "last_heap_scan": b.pac[7], "num_gc": b.ms.NumGC,
		"base_live": baseLive(), "mapped_ready": b.pac[18], "heap_inuse": b.pac[13],
		"heap_free": b.pac[14], "heap_released": b.pac[15], "heap_alloc": b.ms.HeapAlloc,
		"sys": b.ms.Sys, "unswept": b.cnt.Unswept,
	}
	stats := map[string]any{}
	seen := map[string]int{}
	order := []string{}
	for i := 1; i < nsnap; i++ {
		s := &snaps[i]
		k := labelKey(seen, s.label)
		order = append(order, k)
		o := map[string]any{"allocs": s.nalloc}
		pac := map[string]any{}
		for j, n := range runtime.OraclePacerNames {
			switch n {
			case "heap_live", "heap_inuse", "heap_free", "heap_released", "total_alloc", "total_free", "mapped_ready", "scav_eager", "scav_bg", "heap_scan", "last_heap_scan":
				pac[n] = d64(s.pac[j], b.pac[j])
			default:
				if s.pac[j] > 1<<60 {
					pac[n] = -1
				} else {
					pac[n] = s.pac[j]
				}
			}
		}
		o["pacer"] = pac
		o["spans"] = spanTable(&s.cnt, &b.cnt)
		o["unswept"] = s.cnt.Unswept
		o["workbuf_bytes"] = d64(s.cnt.InWork, b.cnt.InWork)
		o["stack_bytes"] = d64(s.cnt.InStacks, b.cnt.InStacks)
		if s.full {
			m, p := &s.ms, &b.ms
			o["mem"] = map[string]int64{
				"TotalAlloc": d64(m.TotalAlloc, p.TotalAlloc), "Mallocs": d64(m.Mallocs, p.Mallocs),
				"Frees": d64(m.Frees, p.Frees), "HeapAlloc": d64(m.HeapAlloc, p.HeapAlloc),
				"HeapSys": d64(m.HeapSys, p.HeapSys), "HeapIdle": d64(m.HeapIdle, p.HeapIdle),
				"HeapInuse": d64(m.HeapInuse, p.HeapInuse), "HeapReleased": d64(m.HeapReleased, p.HeapReleased),
				"HeapObjects": d64(m.HeapObjects, p.HeapObjects), "StackInuse": d64(m.StackInuse, p.StackInuse),
				"StackSys": d64(m.StackSys, p.StackSys), "Sys": d64(m.Sys, p.Sys),
				"MSpanInuse": d64(m.MSpanInuse, p.MSpanInuse), "MSpanSys": d64(m.MSpanSys, p.MSpanSys),
				"MCacheInuse": d64(m.MCacheInuse, p.MCacheInuse), "GCSys": d64(m.GCSys, p.GCSys),
				"OtherSys": d64(m.OtherSys, p.OtherSys),
				"NumGC":    int64(m.NumGC - p.NumGC), "NumForcedGC": int64(m.NumForcedGC - p.NumForcedGC),
			}
			if m.NextGC > 1<<60 {
				o["NextGC"] = -1
			} else {
				o["NextGC"] = m.NextGC
			}
			by := map[string][]int64{}
			for c := 0; c < 68; c++ {
				a, f := d64(s.cnt.SmallAlloc[c], b.cnt.SmallAlloc[c]), d64(s.cnt.SmallFree[c], b.cnt.SmallFree[c])
				if a|f != 0 {
					by[strconv.Itoa(c)] = []int64{a, f}
				}
			}
			o["by_class"] = by
			o["large"] = map[string]int64{"allocs": d64(s.cnt.LargeAllocN, b.cnt.LargeAllocN), "alloc_bytes": d64(s.cnt.LargeAlloc, b.cnt.LargeAlloc),
				"frees": d64(s.cnt.LargeFreeN, b.cnt.LargeFreeN), "free_bytes": d64(s.cnt.LargeFree, b.cnt.LargeFree)}
			o["tiny_allocs"] = d64(s.cnt.Tiny, b.cnt.Tiny)
			// public BySize must agree with the internal counters
			bad := 0
			for c := 0; c < 61; c++ {
				if m.BySize[c].Mallocs != s.cnt.SmallAlloc[c] || m.BySize[c].Frees != s.cnt.SmallFree[c] {
					bad++
				}
			}
			if bad > 0 {
				o["bysize_mismatch"] = bad
			}
			mt := map[string]int64{}
			for j, n := range metricNames {
				v := s.met[j]
				switch {
				case strings.Contains(n, "goal") || strings.Contains(n, "live") || strings.Contains(n, "gogc") || n == "/gc/scan/globals:bytes" || n == "/gc/scan/stack:bytes":
					if v > 1<<60 {
						mt[n] = -1
					} else {
						mt[n] = int64(v)
					}
				default:
					mt[n] = d64(v, b.met[j])
				}
			}
			o["metrics"] = mt
		}
		stats[k] = o
	}
	seen = map[string]int{}
	addr := map[string]any{}
	for i := 0; i < naddr; i++ {
		r := &addrs[i]
		k := labelKey(seen, r.label)
		o := map[string]any{"n": r.n, "gcs": int64(r.gcs - b.ms.NumGC)}
		if r.hash {
			o["hash"] = fmt.Sprintf("%016x", r.h)
			o["order_hash"] = fmt.Sprintf("%016x", r.h2)
			o["span_switches"] = r.spans
		} else {
			var off, delta, span, idx, page []int64
			var cls []string
			ids := map[uint64]int64{}
			var prev uint64
			have := false
			for j := int64(0); j < r.n; j++ {
				q := abuf[r.start+4*j : r.start+4*j+4]
				if q[0] == ^uint64(0) {
					off, delta, span, idx, page = append(off, -1), append(delta, 0), append(span, -1), append(idx, -1), append(page, -1)
					cls = append(cls, "")
					continue
				}
				id, ok := ids[q[1]]
				if !ok {
					id = int64(len(ids))
					ids[q[1]] = id
				}
				c := strconv.Itoa(int(q[3] >> 32))
				if q[3]>>31&1 == 1 {
					c += "n"
				} else {
					c += "s"
				}
				c += ":" + strconv.Itoa(int(q[3]&0x7fffffff))
				off = append(off, int64(q[0]&8191))
				if have {
					delta = append(delta, int64(q[0]-prev))
				} else {
					delta = append(delta, 0)
				}
				have = true
				prev = q[0]
				span, idx = append(span, id), append(idx, int64(q[2]))
				page = append(page, int64(q[1])/8192)
				cls = append(cls, c)
			}
			o["off"], o["delta"], o["span"], o["idx"], o["page"] = off, delta, span, idx, page
			same := true
			for _, c := range cls {
				same = same && c == cls[0]
			}
			if same && len(cls) > 0 {
				o["cls"] = cls[0]
			} else {
				o["cls"] = cls
			}
		}
		addr[k] = o
	}
	var log []any
	for i := 0; i < nev; i++ {
		v := &evs[i]
		if v.end {
			log = append(log, map[string]any{"ev": "end", "at": v.nalloc, "live": v.pac[0], "marked": v.pac[1], "goal": cap64(v.pac[4]), "trigger": cap64(v.pac[5]),
				"scan": d64(v.pac[7], b.pac[7]), "stack": v.pac[8], "globals": v.pac[9], "inuse": d64(v.pac[13], b.pac[13]), "free": d64(v.pac[14], b.pac[14]), "released": d64(v.pac[15], b.pac[15]), "runway": cap64(v.pac[11])})
		} else {
			e := map[string]any{"ev": "start", "at": v.nalloc}
			if v.pac[3] < 1<<60 {
				e["triggered"] = v.pac[3]
			}
			log = append(log, e)
		}
	}
	out := map[string]any{
		"schema": 1, "title": header["title"], "lane": header["lane"], "go": runtime.Version(),
		"procs": procsN, "gcmode": header["gcmode"], "slots": nslots,
		"allocs": nalloc, "baseline": base, "stats": stats, "stats_order": order, "addr": addr,
		"gc_log": log, "gc_log_dropped": evDrop, "onp_failures": onpFail,
	}
	js, err := json.Marshal(out)
	if err != nil {
		panic(err)
	}
	js = append(js, '\n')
	if *outPath == "-" {
		os.Stdout.Write(js)
	} else if err := os.WriteFile(*outPath, js, 0o644); err != nil {
		panic(err)
	}
}
