// Package time stands in for Go's: it is the clock of the library's heap.
package time

import rt "peer/runtime"

type Duration int64

const Millisecond Duration = 1e6

type Time int64

func Now() Time                { return Time(rt.HeapNow()) }
func (t Time) UnixNano() int64 { return int64(t) }
func Sleep(d Duration)         { rt.HeapSleep(int64(d)) }
