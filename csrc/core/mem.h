// mem.h: memory from the operating system, in Go's four states.
//
// Layer 1. Includes goheap.h, ghconst.h. Go: mem.go, mem_linux.go.
//
//   None      not ours. The default of every address.
//   Reserved  address space is ours; touching it faults.
//   Prepared  backed on demand and accessible; counts as released.
//   Ready     accessible and counted in mapped_ready.
//
//   gh_sys_alloc    None     -> Ready     (stat, mapped_ready grow)
//   gh_sys_reserve  None     -> Reserved  (nothing is counted)
//   gh_sys_map      Reserved -> Prepared  (stat grows)
//   gh_sys_used     Prepared -> Ready     (mapped_ready grows)
//   gh_sys_unused   Ready    -> Prepared  (mapped_ready shrinks; pages go back)
//   gh_sys_fault    Ready    -> Reserved  (mapped_ready shrinks)
//   gh_sys_free     any      -> None      (stat, mapped_ready shrink)
//   gh_sys_unreserve Reserved -> None
//
// On Linux, Prepared and Ready are the same mapping: the difference is in the
// books. [diff:mem.nomem] Where Go throws "out of memory", we return a status.
//
// Every call to the OS goes through the gh_mem_ops table of the gh_mem, so that
// a test can fail the n-th one (mem_fault.c).
//
// Locking: none of its own; the heap's holder [lock:world].

#ifndef MEM_H
#define MEM_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "ghconst.h"
#include "goheap.h"

// gh_sysstat counts bytes obtained from the OS for one MemStats line (...Sys).
typedef struct gh_sysstat {
    uint64_t bytes;
} gh_sysstat;

// gh_mem is a heap's account with the OS.
typedef struct gh_mem {
    const gh_mem_ops *ops;
    void *ctx;              // passed to every op
    uint64_t mapped_ready;  // bytes in state Ready (Go: gcController.mappedReady)
    uint64_t hard_limit;    // more than that is refused by who asks gh_sys_room
    uint64_t own;           // Ready, but in no figure: see gh_sys_map_own
} gh_mem;

// gh_sys_room is how many bytes more may become Ready.
static inline uint64_t
gh_sys_room(const gh_mem *m)
{
    return m->mapped_ready < m->hard_limit ? m->hard_limit - m->mapped_ready : 0;
}

// gh_mem_linux returns the table that asks Linux.
const gh_mem_ops *gh_mem_linux(void);

// gh_mem_address_limit is how many bytes of address space the process may have
// (RLIMIT_AS); UINT64_MAX for no limit.
uint64_t gh_mem_address_limit(void);

// gh_mem_init binds m to ops, or to Linux when ops is NULL.
void gh_mem_init(gh_mem *m, const gh_mem_ops *ops, void *ctx);

// n need not be a multiple of the OS page: it is rounded up, and the rounded
// figure is counted. *out is zeroed.
GH_NODISCARD gh_status gh_sys_alloc(gh_mem *m, size_t n, gh_sysstat *stat,
                                    void **out);
// gh_sys_reserve_aligned reserves n bytes aligned to align, a power of two.
GH_NODISCARD gh_status gh_sys_reserve_aligned(gh_mem *m, size_t n, size_t align,
                                              void **out);
GH_NODISCARD gh_status gh_sys_map(gh_mem *m, void *v, size_t n,
                                  gh_sysstat *stat);
// gh_sys_map_ready is gh_sys_map and gh_sys_used, within hard_limit.
GH_NODISCARD gh_status gh_sys_map_ready(gh_mem *m, void *v, size_t n,
                                        gh_sysstat *stat);
// gh_sys_map_own maps what Go has no counterpart of: it is Ready, yet in no Sys and
// in no mapped_ready, so that goals and limits are Go's. hard_limit counts it, by
// shrinking [diff:mem.own].
GH_NODISCARD gh_status gh_sys_map_own(gh_mem *m, void *v, size_t n);
// prepared is how many of the n bytes were Prepared; the rest was Ready.
void gh_sys_used(gh_mem *m, void *v, size_t n, size_t prepared);
// gh_sys_unused gives the pages back. On an error nothing has changed.
GH_NODISCARD gh_status gh_sys_unused(gh_mem *m, void *v, size_t n);
GH_NODISCARD gh_status gh_sys_fault(gh_mem *m, void *v, size_t n);
// gh_sys_trim gives the pages of Ready memory back that nobody reads before it
// writes them; it stays Ready in the books. Should the OS refuse, they stay.
void gh_sys_trim(gh_mem *m, void *v, size_t n);
// ready is how many of the n bytes were in state Ready.
void gh_sys_free(gh_mem *m, void *v, size_t n, size_t ready, gh_sysstat *stat);
void gh_sys_unreserve(gh_mem *m, void *v, size_t n);
// gh_sys_huge asks for huge pages at [v, v + n), whole ones; false: refused, and
// nothing has changed. Neither state nor books tell the difference [diff:mem.huge].
// Go: sysHugePage.
bool gh_sys_huge(gh_mem *m, void *v, size_t n);

#endif  // MEM_H
