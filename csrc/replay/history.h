// history.h: a history of one's own, as the columns of a GHTRACE1 recording.
//
// Objects are given one by one in the order of birth, with the time of their death;
// what comes out are the events "alloc", "tiny" (a part of a tiny block, as Go's
// allocator fills them: one block for each P) and "dead", in the order of time. A
// "dead" event says that the object died at this very moment, where a recording's
// "free" only says that a sweeper found it.
//
// Memory: 16 bytes for each object that is alive and will die, 48 for a tiny block,
// and the encoded bytes until they are taken. So a history may be longer than memory.
//
// A gh_workload makes up the objects of a service in a steady state, from a few
// numbers; the same numbers and seed give the same history.
//
// Client of goheap.h: nothing of the core but its public interface is used.
//
// Threads: both belong to one thread at a time.

#ifndef GH_HISTORY_H
#define GH_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "goheap.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GH_HISTORY_NEVER    INT64_MIN             // a death that doesn't come
#define GH_HISTORY_MAX_TIME ((int64_t)1 << 60)    // some 36 years
#define GH_HISTORY_MAX_SIZE ((int64_t)1 << 41)    // 2 TiB
#define GH_HISTORY_MAX_P    254

typedef struct gh_history gh_history;

GH_NODISCARD gh_status gh_history_new(gh_history **out);
void gh_history_free(gh_history *h);

typedef struct gh_history_object {
    int64_t size;     // bytes asked for, 1 to GH_HISTORY_MAX_SIZE
    int64_t scan;     // bytes up to the end of the last pointer; 0: none
    int64_t birth_ns, death_ns;  // 0 to GH_HISTORY_MAX_TIME; GH_HISTORY_NEVER
    int64_t type;     // the caller's number for it, not negative
    int32_t p;        // 0 to GH_HISTORY_MAX_P
} gh_history_object;

// gh_history_add takes one object. GH_ERR_INVAL: *why says what is wrong with it;
// nothing has changed. GH_ERR_NOMEM ends the history.
GH_NODISCARD gh_status gh_history_add(gh_history *h, const gh_history_object *o,
                                      const char **why);
// gh_history_end lets at most max_events further objects die after the last
// birth, those that die by until_ns. *more: there are still some.
GH_NODISCARD gh_status gh_history_end(gh_history *h, int64_t until_ns,
                                      uint64_t max_events, bool *more);

// ---- what comes out -------------------------------------------------------------

typedef struct gh_history_column {
    const char *name, *enc;
} gh_history_column;
size_t gh_history_columns(const gh_history_column **out);
size_t gh_history_ops(const char *const **out);
uint64_t gh_history_count(const gh_history *h, size_t column);
uint64_t gh_history_op_count(const gh_history *h, size_t op);
// gh_history_take gives the bytes encoded since the last take and forgets them at
// the next call of add or end.
size_t gh_history_take(gh_history *h, size_t column, const uint8_t **data);

// A type of the table is one of the caller's with a slot size and an end of
// pointers. Number 0 is "no type".
typedef struct gh_history_type {
    int64_t type;
    uint64_t size, ptrdata;
} gh_history_type;
size_t gh_history_types(const gh_history *h);
void gh_history_type_get(const gh_history *h, size_t i, gh_history_type *out);

typedef struct gh_history_summary {
    uint64_t objects;      // slots
    uint64_t alloc_bytes;  // of slots
    uint64_t peak_bytes, end_bytes;  // alive, of slots
    int64_t last_ns;
    int32_t procs;         // the largest P's number and one
} gh_history_summary;
void gh_history_summary_get(const gh_history *h, gh_history_summary *out);

// ---- a workload -------------------------------------------------------------------

typedef struct gh_workload {
    uint64_t live;        // bytes of slots alive, from the start-up's end on
    int64_t startup_ns;   // in which they are made
    double alloc_rate;    // bytes of slots a second
    double mean_size;     // of an object
    double scan_share;    // of the bytes, in objects with pointers
    double long_share;    // of the bytes, that replace live ones; the others die young
    double short_ns;      // mean life of those
    int64_t duration_ns;  // after the start-up
    int32_t procs;
    // ---- the state
    uint64_t random;      // the seed at first
    bool running;         // the live ones are made
    double now_ns;
} gh_workload;

// gh_workload_add makes up to n objects more. *more: there are still some.
GH_NODISCARD gh_status gh_workload_add(gh_workload *w, gh_history *h, uint64_t n,
                                       bool *more);

#ifdef __cplusplus
}
#endif

#endif  // GH_HISTORY_H
