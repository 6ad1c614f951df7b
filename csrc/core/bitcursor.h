// bitcursor.h: writing bits at any position.
//
// Layer 2. Includes nothing of the core. Go: type.go (bitCursor).
//
// Pointer masks are put together from pieces whose bits begin anywhere in a
// byte. Bit i of a bitmap is bit i % 8 of byte i / 8.

#ifndef BITCURSOR_H
#define BITCURSOR_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include <stdint.h>

// gh_bitcursor_write copies cnt bits, from bit 0 of data on, to bit off of dst
// and following. Other bits of dst stay; bytes of data beyond the last bit are
// not read.
void gh_bitcursor_write(uint8_t *dst, uint64_t off, const uint8_t *data,
                        uint64_t cnt);

#endif  // BITCURSOR_H
