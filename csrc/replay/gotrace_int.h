// gotrace_int.h: what the three files of the trace reader share.

#ifndef GH_GOTRACE_INT_H
#define GH_GOTRACE_INT_H

#include "columns_out.h"
#include "gotrace.h"
#include "idmap.h"

// Event types of the wire format, as internal/trace/tracev2/events.go numbers
// them.
enum {
    EV_EVENT_BATCH = 1, EV_STACKS, EV_STACK, EV_STRINGS, EV_STRING,
    EV_CPU_SAMPLES, EV_CPU_SAMPLE, EV_FREQUENCY,
    EV_PROCS_CHANGE = 9, EV_PROC_START, EV_PROC_STOP, EV_PROC_STEAL,
    EV_PROC_STATUS,
    EV_GO_CREATE = 14, EV_GO_CREATE_SYSCALL, EV_GO_START, EV_GO_DESTROY,
    EV_GO_DESTROY_SYSCALL, EV_GO_STOP, EV_GO_BLOCK, EV_GO_UNBLOCK,
    EV_GO_SYSCALL_BEGIN, EV_GO_SYSCALL_END, EV_GO_SYSCALL_END_BLOCKED,
    EV_GO_STATUS,
    EV_STW_BEGIN = 26, EV_STW_END, EV_GC_ACTIVE, EV_GC_BEGIN, EV_GC_END,
    EV_SWEEP_ACTIVE, EV_SWEEP_BEGIN, EV_SWEEP_END,
    EV_ASSIST_ACTIVE = 34, EV_ASSIST_BEGIN, EV_ASSIST_END,
    EV_HEAP_ALLOC = 37, EV_HEAP_GOAL,
    EV_GO_LABEL = 39, EV_TASK_BEGIN, EV_TASK_END, EV_REGION_BEGIN,
    EV_REGION_END, EV_USER_LOG,
    EV_GO_SWITCH = 45, EV_GO_SWITCH_DESTROY, EV_GO_CREATE_BLOCKED,
    EV_GO_STATUS_STACK, EV_EXPERIMENTAL_BATCH,
    EV_SYNC = 50, EV_CLOCK_SNAPSHOT, EV_END_OF_GENERATION,
    EV_SPAN = 128, EV_SPAN_ALLOC, EV_SPAN_FREE,
    EV_OBJECT, EV_OBJECT_ALLOC, EV_OBJECT_FREE,
    EV_STACK_EXISTS, EV_STACK_ALLOC, EV_STACK_FREE,
    NUM_EVENTS
};

#define GT_MAX_ARGS 5
#define GT_NONE     UINT64_MAX  // no thread, no P, no goroutine

// gt_event is one event of a thread, with the time in ns.
typedef struct gt_event {
    uint8_t type;
    int64_t time;
    uint64_t args[GT_MAX_ARGS];  // without the time
} gt_event;

// gt_batch is one batch of events, waiting for its turn.
typedef struct gt_batch {
    struct gt_batch *next;
    uint64_t m, time;
    uint64_t offset;  // of its first data byte, in the trace
    uint32_t len;
    uint8_t exp;
    uint8_t data[];
} gt_batch;

typedef struct gt_list {
    gt_batch *first, **last;
} gt_list;

// gt_cursor is a thread's place in its batches of this generation.
typedef struct gt_cursor {
    uint64_t m;
    gt_list batches;
    uint32_t at;       // next byte of the first batch
    int64_t last_time; // 0: take the batch's
    gt_event ev;       // read, not yet advanced
} gt_cursor;

typedef enum gt_repair {
    GT_ALLOC_OUTSIDE, GT_ALLOC_OVER_LIVE, GT_EXIST_TWICE, GT_FREE_OUTSIDE,
    GT_FREE_NOT_LIVE, GT_LIVE_AT_SPAN_FREE, GT_SPAN_OVER_LIVE,
    GT_SPAN_FREE_UNKNOWN, GT_TYPE_UNKNOWN, GT_CUT_BYTES,
    GT_NUM_REPAIRS
} gt_repair;

typedef enum gt_op {
    GT_ALLOC, GT_TINY, GT_FREE, GT_EXIST, GT_GC_BEGIN, GT_GC_END,
    GT_HEAP_GOAL, GT_HEAP_LIVE, GT_GOMAXPROCS, GT_SPAN_ALLOC, GT_SPAN_FREE,
    GT_SPAN_EXIST, GT_STACK_ALLOC, GT_STACK_FREE, GT_STACK_EXIST,
    GT_STW_BEGIN, GT_STW_END,
    GT_NUM_OPS
} gt_op;

enum {
    C_OP, C_T, C_P, C_SPANCLASS, C_PAGES, C_TYPE, C_G, C_ADDR, C_TINY_BACK,
    C_TINY_TYPE, C_FREE_BACK, C_SPAN_ID, C_SPAN_PAGES, C_SPAN_CLASS,
    C_STACK_ID, C_STACK_ORDER, C_VAL,
    NUM_COLUMNS
};

typedef struct gt_type {
    char *name;  // owned
    size_t len;
    uint64_t addr, size, ptrdata;
} gt_type;

// gt_span is a span of the recorded heap.
typedef struct gt_span {
    uint64_t id, pages;  // id: number of its first page
    uint8_t spanclass;
    bool heap;           // else a stack's, or free to the runtime
    uint32_t size;       // of a slot; 0: one large object
    uint32_t nslots;
    uint32_t *live;      // object number + 1 by slot; NULL: none so far. Owned
} gt_span;

struct gh_gotrace {
    // ---- bytes
    uint8_t *in;  // fed and not yet a batch; owned
    size_t in_at, in_end, in_cap;
    uint64_t in_offset;  // of in[in_at] in the trace
    uint64_t fed;
    bool last;
    int version;         // 0: the header hasn't been read

    // ---- the generation that is being read, or whose events are running
    uint64_t gen;        // 0: none has begun
    bool running;        // its events are running
    bool finished;       // no further generation
    uint64_t ngens;
    uint64_t gen_offset; // where it began
    uint64_t min_time;
    uint64_t freq;       // time units a second; 0: not read
    double ns;           // a time unit
    bool snapshot;       // a clock snapshot was read
    gt_cursor *cursor;   // by first appearance of the thread; owned
    size_t ncursors, cursor_cap;
    gh_idmap cursor_of;
    size_t *heap;        // numbers of cursors, least time first; owned
    size_t nheap;
    gt_list strings, stacks, types;
    gt_batch *spill;     // first batch of the next generation, before Go 1.26
    uint64_t spill_gen;
    int64_t *sample;     // times of CPU samples, in order; owned
    size_t nsamples, sample_at, sample_cap;
    // Numbers in this generation's tables; 0 with found false.
    uint64_t log_key;
    bool log_found, forced_found;
    gh_idmap forced_stack;  // stacks with runtime.GC on them

    // ---- order
    uint64_t first_gen;
    int64_t last_time;   // of the last event given out
    int64_t start_time;
    bool started;
    uint64_t gc_seq;
    int gc_state;
    gh_idmap ms, ps, gs;
    uint64_t at;         // offset of the event in hand, for messages

    // ---- heap
    gh_idmap pages;      // page: gt_span * (of large and other spans the first)
    gh_idmap type_of;    // this generation's type number: index
    gh_idmap type_by_hash;
    gt_type *type;       // owned
    size_t ntypes, type_cap;
    uint32_t nobj;
    bool in_gc, in_stw, info;
    uint32_t *forced;    // owned
    size_t nforced, forced_cap;
    uint32_t ngc_begin;
    char *log;           // owned
    size_t log_len, log_cap;

    // ---- out
    gh_colout col[NUM_COLUMNS];
    bool taken;          // columns are emptied before the next step
    uint64_t repairs[GT_NUM_REPAIRS];
    gh_gotrace_summary sum;
    uint64_t held;       // bytes of everything above that grows by the trace
    gh_gotrace_result ended;  // GH_GOTRACE_BUDGET: not yet
    gh_gotrace_error error;
};

// gt_bad ends the reading at g->at. It returns false for the callers that do too.
bool gt_bad(gh_gotrace *g, const char *format, ...);
bool gt_no_memory(gh_gotrace *g);
// gt_hold accounts for n bytes more; false: the reading has ended.
bool gt_hold(gh_gotrace *g, uint64_t n);
void gt_release(gh_gotrace *g, uint64_t n);
// gt_grow makes room for one element more.
bool gt_grow(gh_gotrace *g, void **array, size_t n, size_t *cap, size_t elem);
// gt_put is gh_idmap_put, accounted for.
gh_idval *gt_put(gh_gotrace *g, gh_idmap *m, uint64_t key);

// gt_uvarint decodes one number; false: it ends too early, or has over 64 bits.
static inline bool
gt_uvarint(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70 && *p < end; shift += 7) {
        const uint64_t b = *(*p)++;
        if (shift == 63 && b > 1) {
            return false;
        }
        v |= (b & 0x7f) << shift;
        if (b < 0x80) {
            *out = v;
            return true;
        }
    }
    return false;
}

typedef enum gt_advance {
    GT_ADVANCED,
    GT_WAIT,  // another thread's event comes first
    GT_FAILED,
} gt_advance;
// gt_order_advance takes the event of thread m if the order allows it.
gt_advance gt_order_advance(gh_gotrace *g, gt_event *ev, uint64_t m);

// gt_stamp gives an event its place in time: later than all before.
static inline void
gt_stamp(gh_gotrace *g, int64_t time)
{
    g->last_time = time > g->last_time ? time : g->last_time + 1;
}

// gt_heap_event is an event in its place; p and goroutine as before it.
bool gt_heap_event(gh_gotrace *g, const gt_event *ev, uint64_t p, uint64_t goroutine);
// gt_heap_types reads the tables of the alloc-free experiment.
bool gt_heap_types(gh_gotrace *g);
void gt_heap_fini(gh_gotrace *g);
// gt_wire_log adds a string of this generation to the log.
bool gt_wire_log(gh_gotrace *g, uint64_t string);

#endif  // GH_GOTRACE_INT_H
