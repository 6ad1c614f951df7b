// mranges.h: ranges of addresses, and sorted sets of them.
//
// Layer 2. Includes persistentalloc.h. Go: mranges.go.
//
// Addresses are plain numbers that are never followed. Go views them relative
// to arenaBaseOffset, so that address order survives machines whose addresses
// have a sign; a heap here has one window [diff:ranges.offset].
//
// Locking: whoever holds what embeds the set.

#ifndef MRANGES_H
#define MRANGES_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "persistentalloc.h"

// gh_addr_range is [base, limit). Empty when limit <= base.
typedef struct gh_addr_range {
    uint64_t base, limit;
} gh_addr_range;

static inline uint64_t
gh_addr_range_size(gh_addr_range r)
{
    return r.base < r.limit ? r.limit - r.base : 0;
}

static inline bool
gh_addr_range_contains(gh_addr_range r, uint64_t addr)
{
    return r.base <= addr && addr < r.limit;
}

// gh_addr_ranges is a set of addresses as ranges in ascending order
// [inv:ranges.sorted], none empty, disjoint. Neighbours that touch are made one
// when they are added.
typedef struct gh_addr_ranges {
    gh_addr_range *ranges;   // of cap, from source; grows by doubling, and an
                             // old array stays with source
    size_t len, cap;
    uint64_t total_bytes;    // sum of the sizes [inv:ranges.total]
    gh_persistent *source;   // not owned
    gh_sysstat *stat;        // not owned; charged by source
} gh_addr_ranges;

// gh_addr_ranges_init makes an empty set with room for 16 ranges.
GH_NODISCARD gh_status gh_addr_ranges_init(gh_addr_ranges *a,
                                           gh_persistent *source,
                                           gh_sysstat *stat);

// gh_addr_ranges_add adds r, which is not empty and shares no address with the
// set. On GH_ERR_NOMEM the set is as before.
GH_NODISCARD gh_status gh_addr_ranges_add(gh_addr_ranges *a, gh_addr_range r);

// gh_addr_ranges_find_succ returns the index of the first range whose base is
// above addr; len if there is none.
size_t gh_addr_ranges_find_succ(const gh_addr_ranges *a, uint64_t addr);

// gh_addr_ranges_find_addr_greater_equal stores in *out the lowest address of
// the set that is >= addr, and returns whether there is one.
bool gh_addr_ranges_find_addr_greater_equal(const gh_addr_ranges *a,
                                            uint64_t addr, uint64_t *out);

bool gh_addr_ranges_contains(const gh_addr_ranges *a, uint64_t addr);

// gh_addr_ranges_remove_last cuts up to nbytes off the end of the last range
// and returns what was cut; an empty range if the set is empty.
gh_addr_range gh_addr_ranges_remove_last(gh_addr_ranges *a, uint64_t nbytes);

// gh_addr_ranges_remove_greater_equal removes every address >= addr.
void gh_addr_ranges_remove_greater_equal(gh_addr_ranges *a, uint64_t addr);

// gh_addr_ranges_clone_into makes b equal to a. b has been initialised. On
// GH_ERR_NOMEM b is as before.
GH_NODISCARD gh_status gh_addr_ranges_clone_into(const gh_addr_ranges *a,
                                                 gh_addr_ranges *b);

// gh_addr_ranges_check reports whether the invariants hold.
bool gh_addr_ranges_check(const gh_addr_ranges *a);

#endif  // MRANGES_H
