// ghassert.h: the checks that the core makes of itself.
//
// Layer 0. Includes nothing of the core. Three strengths; pick by what a wrong
// answer costs and what the check costs. None of them reports a caller's
// mistake: those are gh_status.
//
//   GH_THROW_IF     always on. The places where Go's runtime throws: going on
//                   would hand out memory twice. One compare and a branch.
//   GH_ASSERT       level 1 up. O(1) preconditions, postconditions, states.
//   GH_ASSERT_SLOW  level 2. Anything that walks a list or counts bits.
//
// GH_ASSERT_LEVEL is 0 in wheels, 1 in `make check`, 2 in `make check-deep`.
// A condition has no side effect, and is type-checked at every level. Split
// compound conditions: the message is the condition's text.

#ifndef GHASSERT_H
#define GHASSERT_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#ifndef GH_ASSERT_LEVEL
#define GH_ASSERT_LEVEL 0
#endif

// gh_throw prints "fatal error: msg", file and line to stderr and aborts. It
// allocates nothing and takes no lock. It is the core's only way to die.
_Noreturn void gh_throw(const char *file, int line, const char *msg);

#define GH_LIKELY(x)   __builtin_expect(!!(x), 1)
#define GH_UNLIKELY(x) __builtin_expect(!!(x), 0)

#define GH_THROW_IF(cond, msg)                                                 \
    do {                                                                       \
        if (GH_UNLIKELY(cond)) {                                               \
            gh_throw(__FILE__, __LINE__, (msg));                               \
        }                                                                      \
    } while (0)

// Off means: compiled for its types, then dropped.
#define GH_DISCARD(cond) ((void)sizeof((cond) ? 1 : 0))

#if GH_ASSERT_LEVEL >= 1
#define GH_ASSERT(cond) GH_THROW_IF(!(cond), "assertion failed: " #cond)
#else
#define GH_ASSERT(cond) GH_DISCARD(cond)
#endif

#if GH_ASSERT_LEVEL >= 2
#define GH_ASSERT_SLOW(cond) GH_THROW_IF(!(cond), "slow check failed: " #cond)
#else
#define GH_ASSERT_SLOW(cond) GH_DISCARD(cond)
#endif

// Structs that outlive a call and whose address others keep start with
// `uint32_t sig` (gh_mspan, of which there are many, does not). Init writes it last,
// fini overwrites it with GH_SIG_DEAD first. It is for checks alone: nothing
// decides by it. Values are listed in design/invariants.md, one per struct.
#define GH_SIG_DEAD 0xdeadu

#endif  // GHASSERT_H
