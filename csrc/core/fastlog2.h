// fastlog2.h: an approximate binary logarithm.
//
// Layer 2. Includes nothing of the core. Go: fastlog2.go, fastlog2table.go.
//
// Sampling of allocations draws from a geometric distribution, and its results
// are compared with Go's bit by bit, so this is Go's approximation: the exponent
// plus a straight line between table points at 1/32 steps of the mantissa, with
// 20 more bits of it as the place on the line.

#ifndef FASTLOG2_H
#define FASTLOG2_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

// gh_fastlog2 takes a positive normal number.
double gh_fastlog2(double x);

#endif  // FASTLOG2_H
