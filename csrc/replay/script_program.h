// script_program.h: a compiled script and a run of it, as script.c,
// script_run.c and script_json.c share them.
//
// Internal to csrc/replay. A program is flat: an array of operations whose
// operands are expressions, mostly `c0 + c1 * variable`, which the runner
// computes without a branch; the few others are code for a stack machine. All
// arithmetic wraps at 64 bits, so that folding changes no value.

#ifndef GH_SCRIPT_PROGRAM_H
#define GH_SCRIPT_PROGRAM_H

#include <stdarg.h>

#include "script.h"

// Parentheses nest at most this deep; each level needs two stack entries.
#define GH_EXPR_NEST  64
#define GH_EXPR_STACK (2 * GH_EXPR_NEST + 4)

// Largest request that is taken to the heap, and largest type with pointers
// (whose mask takes 1/64 of its size).
#define GH_SCRIPT_MAX_SIZE ((int64_t)1 << 47)
#define GH_SCRIPT_MAX_TYPE ((int64_t)1 << 34)
#define GH_SCRIPT_MAX_SLOTS ((int64_t)1 << 30)
// Per run; beyond it the run ends with an error instead of eating the machine.
#define GH_SCRIPT_MAX_SNAPS 65536u
#define GH_SCRIPT_MAX_ADDRS ((size_t)8 << 20)
#define GH_SCRIPT_MAX_EVENTS 16384u  // as the reference: more are only counted
#define GH_SCRIPT_MAX_WORKERS ((int64_t)1 << 16)  // of one `par`

#define GH_NONE UINT32_MAX

// gh_expr is c0 + c1 * vars[var] if code is 0; otherwise the code that starts
// at exprs[code - 1]. Variable 0 is always 0, so constants have var 0, c1 0.
typedef struct gh_expr {
    int64_t c0, c1;
    uint32_t var;
    uint32_t code;
    uint32_t column;  // where it stands, for messages
} gh_expr;

typedef enum gh_expr_code {
    GH_EXPR_LIN,  // push c0 + c1 * vars[var]
    GH_EXPR_ADD, GH_EXPR_SUB, GH_EXPR_MUL, GH_EXPR_DIV, GH_EXPR_MOD,
    GH_EXPR_END
} gh_expr_code;

typedef struct gh_expr_op {
    gh_expr_code op;
    uint32_t var;
    int64_t c0, c1;
} gh_expr_op;

typedef enum gh_op_code {
    GH_OP_ALLOC,       // a slot, b size
    GH_OP_ALLOC_PTRS,  // a slot, b size, mask, cache
    GH_OP_ALLOC_TYPE,  // a slot, type
    GH_OP_ALLOC_ARRAY, // a slot, type, b count
    GH_OP_DROP,        // a slot
    GH_OP_FIN,         // a slot
    GH_OP_STORE,       // a slot, b field, c slot
    GH_OP_STORE_NIL,   // a slot, b field
    GH_OP_LOAD,        // a slot, b slot, c field
    GH_OP_REPEAT,      // var, a count, jump: its end
    GH_OP_END,         // var, jump: its repeat
    GH_OP_GC,
    GH_OP_FREEOS,
    GH_OP_GOGC,        // a percent
    GH_OP_MEMLIMIT,    // a bytes; INT64_MAX: off
    GH_OP_STATS,       // label
    GH_OP_PEEK,        // label
    GH_OP_ADDR,        // label, a, b
    GH_OP_ADDRHASH,    // label, a, b
    GH_OP_RANDOM,      // a seed, b count, random: c base, d live
    GH_OP_RANDLINK,    // a seed, b count, random: c base, d count, e words
    GH_OP_RANDDROP,    // a seed, b count, random: c base, d percent
    GH_OP_PAR,         // a workers, b count, c size
    GH_OP_ONP,         // a P
} gh_op_code;

// gh_op_has_rounds: a step may leave the operation in the middle.
static inline bool
gh_op_has_rounds(gh_op_code code)
{
    return code >= GH_OP_RANDOM && code <= GH_OP_PAR;
}

typedef struct gh_op {
    gh_op_code code;
    uint32_t line;
    uint32_t x;     // jump, label, type or number of the gh_random
    uint32_t var;   // of a loop
    uint32_t mask;
    uint32_t cache; // place in the run's cache of types
    gh_expr a, b, c;
} gh_op;

typedef enum gh_dist_kind {
    GH_DIST_UNIFORM, GH_DIST_LOG, GH_DIST_LIST
} gh_dist_kind;

typedef struct gh_dist {
    gh_dist_kind kind;
    uint64_t a, n;  // uniform, log: first value and number of values;
                    // list: first entry in lists and number of entries
} gh_dist;

typedef struct gh_random {
    gh_expr base, live, words;
    gh_dist dist;
    uint64_t scan_percent, link_percent;
    uint32_t mask;
} gh_random;

// gh_mask_range is words lo, lo+step, ... up to hi.
typedef struct gh_mask_range {
    uint64_t lo, hi, step;
} gh_mask_range;

typedef struct gh_mask {
    bool all;
    size_t first, n;  // in ranges
} gh_mask;

typedef struct gh_script_type {
    uint64_t size;
    uint32_t mask;
    uint32_t name;  // in type_names
} gh_script_type;

// gh_names gives equal texts equal numbers, counted from 0.
typedef struct gh_name {
    char *text;
    size_t len;
    uint64_t hash;
} gh_name;

typedef struct gh_names {
    gh_name *name;
    uint32_t n, cap;
    uint32_t *index;  // open addressing; number + 1, 0: free
    uint32_t index_cap;
} gh_names;

struct gh_script {
    char *text;  // the source, for messages
    size_t len;
    char *name, *title, *lane, *gcmode;  // never NULL
    int procs;
    size_t slots;
    gh_mode mode;        // what gcmode means for our heap
    bool eager_sweep;
    bool limited;        // it has a `memlimit`

    gh_op *op;
    uint32_t nop, op_cap;
    gh_expr_op *expr;
    uint32_t nexpr, expr_cap;
    gh_random *random;
    uint32_t nrandom, random_cap;
    gh_mask *mask;
    uint32_t nmask, mask_cap;
    gh_mask_range *range;
    uint32_t nrange, range_cap;
    uint64_t *list;  // of GH_DIST_LIST
    uint32_t nlist, list_cap;
    gh_script_type *type;
    uint32_t ntype, type_cap;
    uint32_t ncache;
    gh_names labels, vars, mask_names, type_names;
};

// gh_mask_has_pointer tells whether a type of so many words has a pointer.
bool gh_mask_has_pointer(const gh_script *s, uint32_t mask, uint64_t words);

// gh_script_error_set fills err; the text is line number line of s. Column 0:
// the first field of the line.
void gh_script_error_set(const char *source, size_t len, uint32_t line,
                         uint32_t column, gh_script_error *err,
                         const char *format, va_list args);

// ---- a run -------------------------------------------------------------------

typedef struct gh_snap {
    uint32_t label;
    bool full;         // `stats`
    uint64_t allocs;
    gh_pacer_stats pacer;
    gh_counts counts;
    // Only `stats`: after the flush.
    gh_pacer_stats after;
    int64_t gogc;
    uint64_t total_alloc, mallocs, frees, heap_alloc, heap_sys, heap_idle,
        heap_inuse, heap_released, heap_objects, stack_inuse, stack_sys, sys,
        mspan_inuse, mspan_sys, mcache_inuse, gc_sys, other_sys, next_gc;
    uint32_t num_gc, num_forced_gc;
} gh_snap;

// gh_addr_entry describes the object in one slot. nil: off is UINT64_MAX.
typedef struct gh_addr_entry {
    uint64_t off;        // from page 0
    uint64_t span_base;  // likewise; UINT64_MAX: in no span
    uint32_t index;
    uint32_t nelems;
    uint8_t spanclass;
} gh_addr_entry;

typedef struct gh_addr_record {
    uint32_t label;
    bool hashed;         // `addrhash`
    int64_t n;
    uint64_t gcs;
    size_t first;        // in entries; `addr` only
    uint64_t hash, order_hash, switches;
} gh_addr_record;

typedef struct gh_log_event {
    bool end;
    uint64_t allocs;
    gh_pacer_stats pacer;
} gh_log_event;

typedef struct gh_type_entry {
    uint64_t size;
    uint32_t mask;
    const gh_type *type;  // NULL: free
} gh_type_entry;

struct gh_script_run {
    const gh_script *s;
    gh_heap *heap;
    gh_mut *m;            // while a step runs
    int32_t p;            // P of the next step
    bool threads;         // GH_MODE_CONCURRENT, and par by threads
    gh_slots *block;      // the table and one slot more, for an object on its
                          // way to a linked place
    gh_slot *slot;
    uint64_t nslots;

    uint32_t pc;
    uint64_t done, allocs;
    int64_t *var, *bound;  // of loops; var[0] is 0
    // An operation of many rounds that a step may leave in the middle.
    bool in_rounds;
    uint64_t state;
    int64_t round, rounds;
    uint64_t r_base, r_live, r_words;
    gh_slots *workers;     // of `par`: what each one holds
    uint64_t r_workers, r_size;

    gh_type_entry *cache;         // by gh_op.cache: the last type used there
    const gh_type **declared;     // by type number, NULL: not made yet
    gh_type_entry *types;         // open addressing
    size_t ntypes, types_cap;

    uint64_t begun, cycles;       // begun and ended, as last seen
    bool scavenging;              // the background scavenger has worked, and sleeps
    uint64_t mapped;              // at the baseline, as the limit counts it
    int64_t memlimit;             // bytes more, as the script says
    int64_t records;              // bytes taken off it for the reference's records
    uint64_t spans, most_spans, classes;  // now, at most, span classes so far
    uint64_t class_seen[3];
    gh_snap base;
    gh_snap *snap;
    size_t nsnap, snap_cap;
    gh_addr_record *record;
    size_t nrecord, record_cap;
    gh_addr_entry *entry;
    size_t nentry, entry_cap;
    gh_log_event *event;
    size_t nevent, event_cap;
    uint64_t events_dropped;

    gh_script_status status;
    gh_script_error error;
};

// gh_script_base_live is the dead weight of the start state in bytes.
uint64_t gh_script_base_live(const gh_script *s);

#endif  // GH_SCRIPT_PROGRAM_H
