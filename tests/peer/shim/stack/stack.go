// Package stack reads the stack of the goroutine that calls it.
package stack

import "unsafe"

func hi() uintptr // where the stack begins

// Bounds returns where the callers' frames lie. Where a function is called, what
// is alive lies in its frame and in no register.
//
//go:noinline
func Bounds() (low, high uintptr) {
	var here uintptr
	return uintptr(unsafe.Pointer(&here)), hi()
}
