// history.go: the counterpart of c/history.c on real Go: the same file.
//
//	history FILE
package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// What Go keeps in the slot before an object with pointers of more than 512
// bytes.
const (
	minSizeForHeader = 512
	headerSize       = 8
)

// Words before the first event: slots, objects, 68 class sizes.
const header = 2 + 68

const lookEvery = 10000 // events

// The table of slots is in the heap; c/history.c has an object as large there.
var slots []unsafe.Pointer

//go:noinline
func play(size, words []uint32, m *measurement) {
	s := slots
	for i, events := 0, 0; i < len(words); i++ {
		w := words[i]
		if events++; events%lookEvery == 0 {
			m.look()
		}
		if w&1 == 0 {
			s[w>>1] = nil
			continue
		}
		spanclass := uint8(w >> 1)
		var n uintptr
		if spanclass>>1 != 0 {
			n = uintptr(size[spanclass>>1])
		} else {
			i++
			n = uintptr(words[i]) * 8192
		}
		if spanclass&1 != 0 {
			s[w>>9] = unsafe.Pointer(unsafe.SliceData(make([]byte, n)))
			continue
		}
		if n > minSizeForHeader && spanclass>>1 != 0 {
			n -= headerSize
		}
		s[w>>9] = unsafe.Pointer(
			unsafe.SliceData(make([]unsafe.Pointer, n/8)))
	}
}

// load maps the file: in the heap, it would move the goal.
func load(path string) []uint32 {
	f, err := os.Open(path)
	if err == nil {
		defer f.Close()
		var info os.FileInfo
		if info, err = f.Stat(); err == nil && info.Size() >= 4*header {
			var data []byte
			data, err = syscall.Mmap(int(f.Fd()), 0, int(info.Size()),
				syscall.PROT_READ, syscall.MAP_PRIVATE|syscall.MAP_POPULATE)
			if err == nil {
				return unsafe.Slice((*uint32)(unsafe.Pointer(&data[0])),
					len(data)/4)
			}
		}
	}
	fmt.Fprintln(os.Stderr, "history: cannot read", path, err)
	os.Exit(1)
	return nil
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: history FILE")
		os.Exit(2)
	}
	words := load(os.Args[1])
	slots = make([]unsafe.Pointer, words[0])
	runtime.GC()
	m := begin()
	play(words[2:header], words[header:], m)
	d, w := m.elapsed()
	held := uint64(0)
	for _, p := range slots {
		if p != nil {
			held++
		}
	}
	m.answer(d, w, held)
}
