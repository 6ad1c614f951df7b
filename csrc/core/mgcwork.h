// mgcwork.h: the marker's queue of grey objects.
//
// Layer 6. Includes heap.h. Go: mgcwork.go.
//
// A stack of buffers, each a block of addresses. Entries are addresses of slots
// that hold pointers and whose mark bit is set; an address inside a large
// object stands for one of its oblets.
//
// Buffers are the OS's, not the page heap's as Go's are [diff:work.buffers]. If
// one can't be had while marking, the object is marked and not queued, and
// overflowed is set: the marker then rescans marked objects until nothing new
// turns up, so a cycle that has begun always ends [inv:gc.ends].

#ifndef MGCWORK_H
#define MGCWORK_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

#define GH_WORKBUF_BYTES   ((size_t)64 << 10)
#define GH_WORKBUF_ENTRIES ((GH_WORKBUF_BYTES - 16) / sizeof(uintptr_t))

// nbufs of a queue counts the buffers in it. In GH_MODE_CONCURRENT each P has a
// queue of its own, and the heap has buffers that are in none: see mgcpar.h.
struct gh_workbuf {
    gh_workbuf *below;  // next older buffer, full
    size_t n;           // entries in it, while it isn't on top
    uintptr_t obj[GH_WORKBUF_ENTRIES];
};

// gh_gcwork_prepare makes sure of one buffer: before a cycle begins.
GH_NODISCARD gh_status gh_gcwork_prepare(gh_heap *h, gh_gcwork *w);
// gh_gcwork_push_buf puts an empty buffer on top of the full one; false when
// there is none to be had.
bool gh_gcwork_push_buf(gh_heap *h, gh_gcwork *w);
// gh_gcwork_pop_buf drops the empty top buffer; false at the bottom.
bool gh_gcwork_pop_buf(gh_gcwork *w);
// gh_gcwork_take takes an empty buffer out of w, or from where w gets them; NULL
// when there is none to be had.
gh_workbuf *gh_gcwork_take(gh_heap *h, gh_gcwork *w);
// gh_gcwork_free_list gives back buffers that no queue counts.
void gh_gcwork_free_list(gh_heap *h, gh_workbuf *b);
// gh_gcwork_trim gives back all buffers but one; gh_gcwork_fini all of them.
void gh_gcwork_trim(gh_heap *h, gh_gcwork *w);
void gh_gcwork_fini(gh_heap *h, gh_gcwork *w);

#endif  // MGCWORK_H
