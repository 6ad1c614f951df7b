// ring.go: the counterpart of c/ring.c on real Go.
//
//	ring SIZE N
package main

const size = 256

var (
	ring16 [size]*[16]byte
	ring32 [size]*[32]byte
	ring48 [size]*[48]byte
	ring64 [size]*[64]byte
)

//go:noinline
func loop16(n int) {
	for i := range n {
		p := new([16]byte)
		p[15] = 1
		ring16[i%size] = p
	}
}

//go:noinline
func loop32(n int) {
	for i := range n {
		p := new([32]byte)
		p[31] = 1
		ring32[i%size] = p
	}
}

//go:noinline
func loop48(n int) {
	for i := range n {
		p := new([48]byte)
		p[47] = 1
		ring48[i%size] = p
	}
}

//go:noinline
func loop64(n int) {
	for i := range n {
		p := new([64]byte)
		p[63] = 1
		ring64[i%size] = p
	}
}

func main() {
	run := map[int]func(int){16: loop16, 32: loop32, 48: loop48,
		64: loop64}[number(1)]
	n := number(2)
	if run == nil {
		fail("no such loop")
	}
	run(n/10 + size)
	m := begin()
	run(n)
	d, w := m.elapsed()
	m.look()
	m.answer(d, w, m.mallocs(n))
}
