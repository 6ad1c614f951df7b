// Package debug stands in for runtime/debug.
package debug

import rt "peer/runtime"

func SetGCPercent(percent int) int { return rt.SetGCPercent(percent) }
