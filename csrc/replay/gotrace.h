// gotrace.h: a Go execution trace with alloc and free events, read into the
// columns of a GHTRACE1 recording.
//
// A trace of Go 1.23 to 1.26 is a line with the version and then batches. Each
// holds events of one thread (M), or a table: strings, stacks, clock, types.
// Batches form generations of about a second; a generation's tables may follow
// the events that use them, so a generation is held until its last batch is in,
// and no more than that.
//
//   gotrace.c        wire format: batches, generations, tables, the clock
//   gotrace_order.c  which thread's event comes next: what Ps and Gs allow
//   gotrace_heap.c   spans, slots, objects; writes the columns
//
// Bytes are pushed in, in pieces of any size (gh_gotrace_feed); encoded columns
// are taken out after each step (gh_gotrace_take). Events come in the order that
// Go's own parser gives them, with its times to the nanosecond.
//
// What doesn't fit is repaired where the rule is clear, and counted
// (gh_gotrace_repair): see gh_gotrace_repair_name. Everything else that is wrong
// ends the reading with a message and the offset of the byte.
//
// Memory. A number in the trace never says how much to allocate: tables grow by
// what was read, and all together may hold GH_GOTRACE_MEMORY plus 64 bytes for
// each byte that was fed. A trace that would need more is refused.
//
// Client of goheap.h: nothing of the core but its public interface is used.
//
// Threads: a gh_gotrace belongs to one thread at a time.

#ifndef GH_GOTRACE_H
#define GH_GOTRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "goheap.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GH_GOTRACE_MEMORY ((uint64_t)64 << 20)

typedef struct gh_gotrace gh_gotrace;

typedef struct gh_gotrace_error {
    uint64_t offset;  // of the trace, in bytes
    char message[200];
} gh_gotrace_error;

typedef enum gh_gotrace_result {
    GH_GOTRACE_DONE = 0,
    GH_GOTRACE_NEED,    // more bytes are wanted
    GH_GOTRACE_BUDGET,  // max_events are done
    GH_GOTRACE_BAD,     // damaged, or a trace that isn't read: *err says why
    GH_GOTRACE_NOMEM,
} gh_gotrace_result;

GH_NODISCARD gh_status gh_gotrace_new(gh_gotrace **out);
void gh_gotrace_free(gh_gotrace *g);

// gh_gotrace_feed appends n bytes; last: there are no more. GH_ERR_STATE after
// the last piece.
GH_NODISCARD gh_status gh_gotrace_feed(gh_gotrace *g, const uint8_t *data,
                                       size_t n, bool last);

// gh_gotrace_step handles at most max_events further events of the trace. After
// BAD and NOMEM the reading has ended for good and gives the same answer again.
gh_gotrace_result gh_gotrace_step(gh_gotrace *g, uint64_t max_events,
                                  gh_gotrace_error *err);

// ---- what comes out -------------------------------------------------------------

typedef struct gh_gotrace_column {
    const char *name, *enc;
} gh_gotrace_column;
// gh_gotrace_columns are the columns, in the order of the file.
size_t gh_gotrace_columns(const gh_gotrace_column **out);
// gh_gotrace_ops are the names of the op codes.
size_t gh_gotrace_ops(const char *const **out);

// gh_gotrace_take gives the bytes of a column that were encoded since the last
// take; they hold until the next step. Returns how many.
size_t gh_gotrace_take(gh_gotrace *g, size_t column, const uint8_t **data);
// gh_gotrace_count is how many values a column has had so far.
uint64_t gh_gotrace_count(const gh_gotrace *g, size_t column);

typedef struct gh_gotrace_type {
    const char *name;  // not ended by a zero byte
    size_t name_len;
    uint64_t size, ptrdata;
} gh_gotrace_type;
// gh_gotrace_type_get: type 0 is "no type". They are complete at DONE.
size_t gh_gotrace_types(const gh_gotrace *g);
void gh_gotrace_type_get(const gh_gotrace *g, size_t i, gh_gotrace_type *out);

// gh_gotrace_repair counts repairs of a kind; the name is NULL after the last.
const char *gh_gotrace_repair_name(size_t kind);
uint64_t gh_gotrace_repair(const gh_gotrace *g, size_t kind);

typedef struct gh_gotrace_summary {
    int version;  // 23 for a trace of format go 1.23
    uint64_t fed;  // bytes
    uint64_t generations;
    uint64_t counts[24];  // events of each op
    uint64_t objects;
    int64_t duration_ns;
    // Slot bytes.
    uint64_t alloc_bytes, exist_bytes, free_bytes, peak_bytes, end_bytes;
    // What the runtime says of itself: 0 until it was read.
    uint64_t min_heap_addr, page_size, heap_align, stack_align;
    uint64_t procs;  // first GOMAXPROCS
} gh_gotrace_summary;
void gh_gotrace_summary_get(const gh_gotrace *g, gh_gotrace_summary *out);

// gh_gotrace_log is what the program said by runtime/trace.Log under the
// category "goheap", joined: the hook's account of the run. Returns its length.
size_t gh_gotrace_log(const gh_gotrace *g, const char **out);

// gh_gotrace_forced are the numbers (from 0) of the recorded gc_begin events that
// were asked for: runtime.GC is on the stack of the event.
size_t gh_gotrace_forced(const gh_gotrace *g, const uint32_t **out);

#ifdef __cplusplus
}
#endif

#endif  // GH_GOTRACE_H
