// ghbits.h: bit counting and power-of-two rounding.
//
// Layer 0. Includes nothing of the core. Go: internal/runtime/sys/intrinsics.go,
// runtime/stubs.go (alignUp, alignDown, divRoundUp).

#ifndef GHBITS_H
#define GHBITS_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// gh_ctz64 returns the number of trailing zeros of x; 64 for 0, as Go does.
static inline unsigned
gh_ctz64(uint64_t x)
{
    return x == 0 ? 64u : (unsigned)__builtin_ctzll(x);
}

// gh_clz64 returns the number of leading zeros of x; 64 for 0.
static inline unsigned
gh_clz64(uint64_t x)
{
    return x == 0 ? 64u : (unsigned)__builtin_clzll(x);
}

// gh_set_bit sets bit i % 64 of *word, and returns all ones if it was clear, else 0. The
// compiler has no way to the flag that the instruction leaves.
static inline uint64_t
gh_set_bit(uint64_t *word, uint64_t i)
{
    uint64_t is_new;
#if defined(__x86_64__) && defined(__GNUC__)
    uint64_t w = *word;
    __asm__("xorl %k1, %k1\n\tbtsq %2, %0\n\tadcq $-1, %1"
            : "+r"(w), "=&r"(is_new)
            : "r"(i)
            : "cc");
    *word = w;
#else
    is_new = (*word >> (i % 64) & 1) - 1;
    *word |= (uint64_t)1 << (i % 64);
#endif
    return is_new;
}

static inline unsigned
gh_popcount64(uint64_t x)
{
    return (unsigned)__builtin_popcountll(x);
}

// gh_align_up rounds n up to a multiple of a, a power of two; wraps as Go does.
static inline uint64_t
gh_align_up(uint64_t n, uint64_t a)
{
    return (n + a - 1) & ~(a - 1);
}

static inline uint64_t
gh_align_down(uint64_t n, uint64_t a)
{
    return n & ~(a - 1);
}

static inline uint64_t
gh_div_round_up(uint64_t n, uint64_t a)
{
    return (n + a - 1) / a;
}

static inline bool
gh_is_pow2(uint64_t x)
{
    return x != 0 && (x & (x - 1)) == 0;
}

#endif  // GHBITS_H
