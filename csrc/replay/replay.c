// replay.c: a recorded allocation history, run on a heap. See replay.h.
//
// Deaths are a calendar: soon[pos % SOON] is the list of the slots to clear before
// object number pos is allocated, linked through a word beside each slot, for the
// SOON positions of the present page of the calendar. Deaths on a later page wait in
// that page's list and are spread over soon when it is turned up [inv:replay.page].
// So nothing is sorted, an object's death is drawn when it is born, and the calendar
// is as large as what is alive, whatever the length of the history.
//
// What is known of each object of the history, and nothing else is, grows with it:
// it spills into a file (spill.h).

#include "replay.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "lifetime.h"
#include "spill.h"
#include "trace.h"

#define NUM_SPAN_CLASSES 136u
#define PAGE_BYTES       8192u
#define MAX_PAGES        ((uint64_t)1 << 28)  // 2 TiB in one object
#define MAX_OBJECTS      (UINT32_MAX - 1)
#define NEVER            UINT32_MAX
// In gh_lifetimes.freed: the other bits are the position of an exact death.
#define EXACT            ((uint32_t)1 << 31)
#define NO_P             255u
#define MAX_MASK_BYTES   ((uint64_t)1 << 20)  // of ptrdata, for a type's mask
// The recorder holds noscan buffers of this size from before the first event.
#define RECORDER_BUFFER  ((uint64_t)1 << 20)
// And beside each of them so many labels, of type unsafe.Pointer.
#define RECORDER_TAGS    ((uint64_t)8 << 14)
// Time stamps reach the heap's clock every so many events.
#define CLOCK_EVERY      GH_DIGEST_BLOCK
// Fewer objects of one kind say nothing of a pool.
#define MIN_POOLED       64
// Two frees that are further apart say nothing of the recorder's price.
#define FREE_GAP_NS      1000
// Shorter times without an event of a P are not counted one by one.
#define MIN_GAP_NS       1024
#define MIN_FREES        1000

#define SOON_BITS 16
#define SOON      (1u << SOON_BITS)
#define AHEAD     16u
// What a survey keeps in memory of each of its arrays, bytes. A
// replay reads what stays from end to end and lets go behind itself.
#define KEEP         ((size_t)8 << 20)
#define RELEASE_BITS 20  // of 4 bytes

#define SLOT_BLOCK_BITS 15
#define SLOT_BLOCK      (1u << SLOT_BLOCK_BITS)

typedef enum op {
    OP_ALLOC, OP_TINY, OP_FREE, OP_EXIST, OP_GC_BEGIN, OP_GC_END,
    OP_HEAP_GOAL, OP_HEAP_LIVE, OP_GOMAXPROCS, OP_SPAN, OP_STACK, OP_STW,
    OP_STW_END, OP_DEAD,
    OP_BAD
} op;

static const struct {
    const char *name;
    op op;
} op_names[] = {
    {"alloc", OP_ALLOC}, {"tiny", OP_TINY}, {"free", OP_FREE},
    {"exist", OP_EXIST}, {"gc_begin", OP_GC_BEGIN}, {"gc_end", OP_GC_END},
    {"heap_goal", OP_HEAP_GOAL}, {"heap_live", OP_HEAP_LIVE},
    {"gomaxprocs", OP_GOMAXPROCS}, {"span_alloc", OP_SPAN},
    {"span_free", OP_SPAN}, {"span_exist", OP_SPAN},
    {"stack_alloc", OP_STACK}, {"stack_free", OP_STACK},
    {"stack_exist", OP_STACK}, {"stw_begin", OP_STW}, {"stw_end", OP_STW_END},
    {"dead", OP_DEAD},
};

// The columns that a pass may read. Span and stack events, goroutines and slot
// addresses are not used; their columns stay untouched.
typedef enum col {
    COL_OP, COL_T, COL_P, COL_SPANCLASS, COL_PAGES, COL_TYPE, COL_TINY,
    COL_FREE, COL_VAL,
    NUM_COLS
} col;

static const struct {
    const char *name;
    gh_enc enc;
    bool survey, replay;
} col_specs[NUM_COLS] = {
    [COL_OP] = {"ev.op", GH_ENC_U8, true, true},
    [COL_T] = {"ev.t", GH_ENC_DELTA, true, true},
    [COL_P] = {"ev.p", GH_ENC_U8, true, true},
    [COL_SPANCLASS] = {"obj.spanclass", GH_ENC_U8, true, true},
    [COL_PAGES] = {"obj.pages", GH_ENC_UVARINT, true, true},
    [COL_TYPE] = {"obj.type", GH_ENC_UVARINT, true, true},
    [COL_TINY] = {"tiny.back", GH_ENC_UVARINT, false, true},
    [COL_FREE] = {"free.back", GH_ENC_UVARINT, true, false},
    [COL_VAL] = {"val", GH_ENC_UVARINT, true, true},
};

// cycle_mark is one recorded collection.
typedef struct cycle_mark {
    uint32_t begin, end;  // objects allocated when marking began, ended
    bool forced;
    // Where between the marked heap (0) and the goal (1) it began.
    double distance;
} cycle_mark;

// pool is the objects of one type and span class, if they die as those of a
// sync.Pool do.
typedef struct pool {
    uint32_t type;
    uint8_t spanclass;
    uint32_t *last;  // [k]: number of the last one born before mark k began, + 1
} pool;

// common is a kind of objects with an age curve of its own.
typedef struct common {
    uint32_t type;
    uint8_t spanclass;
    uint16_t curve;  // in gh_lifetimes.ages; 0: an empty place
} common;

// memo is what the first replays leave to the later ones. Each part is made by one
// replay while others do without it, and never changes once it is ready: the states
// are read and written with acquire and release [inv:replay.memo].
typedef enum memo_state {
    MEMO_NONE, MEMO_MAKING, MEMO_READY, MEMO_REFUSED,  // no memory for it
} memo_state;

typedef struct memo {
    int digest_state, drawn_state;  // a memo_state each
    gh_digest digest;
    uint64_t count[NUM_COLS];  // of the columns that it was made of
    gh_spill drawn;   // uint32_t of each object: where it dies, GH_DEATHS_DRAWN
    uint64_t seed;    // with this one
} memo;

struct gh_lifetimes {
    uint32_t nobj;
    memo *memo;         // owned; NULL: there is no place for one
    bool exact;         // all known deaths are: nothing needs to be drawn
    gh_spill freed;     // uint32_t of each object: number of mark begins before
                        // the free + 1, 0: none; with EXACT objects born before
                        // the death
    char *spill_dir;    // owned; NULL: all is kept in memory
    cycle_mark *cycle;  // ncycles of them
    gh_recorded_cycle *recorded;  // likewise
    uint32_t ncycles;
    int64_t duration_ns, mark_ns, stopped_ns;
    pool *pool;  // npools of them
    uint32_t npools;
    uint64_t free_ns, frees;  // frees in a row on one P
    uint64_t recorder_bytes;
    uint64_t gaps[GH_GAP_BUCKETS], gap_ns[GH_GAP_BUCKETS];
    uint32_t ps;
    // How long objects live: those of a span class, and those of a kind of
    // which there were many. NULL: nothing is known of it.
    gh_age_curve *ages;  // NUM_SPAN_CLASSES and ncommon of them
    common *common;      // open addressing: COMMON_SLOTS of them
    uint32_t ncommon;
};

// kind is what a survey counts of the objects of one type and span class.
typedef struct kind {
    uint32_t type;
    uint8_t spanclass;
    uint32_t born;
    uint32_t dead[4];  // by the marks that they survived: 0, 1, 2, more
} kind;

// A kind has a curve of its own if there are so many objects of it; and how many of
// its span class's, and of all, are mixed in.
#define MIN_COMMON   1000u
#define MAX_COMMON   255u
#define COMMON_SLOTS 1024u
#define MIXED_IN     50.0

#define MAX_KINDS   4096u
#define KIND_SLOTS  (4 * MAX_KINDS)

// birth is what a survey knows of each object.
typedef struct birth {
    uint16_t kind;  // its number; 0: too many kinds
    uint8_t spanclass;
} birth;

// survey_state is what a survey needs and its result doesn't.
typedef struct survey_state {
    gh_spill born;       // of each object
    size_t obj_cap;      // of this and of gh_lifetimes.freed
    kind *kind;          // nkinds of them; number 0 stands for those too many
    uint32_t nkinds;
    uint32_t *kind_at;   // open addressing, by type and span class
    size_t cycle_cap, recorded_cap;
    uint64_t heap_live, heap_before, heap_goal, heap_marked;
    bool marking;
    int64_t last_t, mark_began, stop_began;
    uint8_t last_p, last_op;
    int64_t p_t[NO_P];  // stamp of each P's last event
    uint64_t gaps[GH_GAP_BUCKETS], gap_ns[GH_GAP_BUCKETS];
    bool p_seen[NO_P];
} survey_state;

typedef struct next_slot {
    uint32_t link;  // next slot on a death list or the free list, + 1
    uint32_t pos;   // of its death
} next_slot;

typedef struct slot_block {
    gh_slots *slots;
    gh_slot *slot;
    next_slot *next;
    uint16_t *pool;  // number of the slot's pool, + 1; 0: none; NULL: no pools
} slot_block;

struct gh_replay {
    gh_column col[NUM_COLS];
    int index[NUM_COLS];  // in config.columns
    uint64_t count[NUM_COLS];
    uint8_t op_of[256];
    uint32_t size_of[NUM_SPAN_CLASSES];  // 0: large
    uint64_t pointer_type;  // number of unsafe.Pointer; UINT64_MAX: not there
    uint64_t num_forced;
    uint32_t *forced;  // which ones; NULL: not known. Owned
    size_t nforced;
    uint64_t globals_scan;
    uint64_t *stacks;  // by recorded collection. Owned
    size_t nstacks;

    uint64_t events;  // done
    uint32_t nobj;    // objects so far, with those left out
    uint64_t nlarge, ntiny, nfree, nval;
    gh_replay_result ended;  // GH_REPLAY_BUDGET: not yet
    gh_replay_error error;

    // ---- survey
    bool is_survey;
    gh_lifetimes life;
    survey_state *sv;  // owned; NULL in a replay

    // ---- replay
    const gh_lifetimes *lt;
    // Read in place of columns (NULL: not), and written (NULL: not): see digest.h.
    const gh_digest *digest;
    gh_digest *digest_out;
    struct {
        size_t at, end;  // in words; end of the present block
        uint64_t block;  // first event of the block after it
        size_t released;
        uint8_t p;       // of the objects to come
    } cursor;
    // Deaths of all objects, read or written likewise.
    const uint32_t *drawn;
    uint32_t *drawn_out;
    gh_heap *heap;
    gh_mut *m;  // between enter and leave of a step
    int32_t procs;
    bool follow_procs;
    uint8_t last_p;  // as recorded
    int32_t cur_p;
    gh_deaths deaths;
    uint64_t seed;
    bool profile;     // samples are wanted
    const gh_type **type;  // NULL: no mask is known
    uint8_t *type_recorder;
    size_t ntypes;
    uint32_t *soon;   // death lists of this page of the calendar: slot number + 1
    uint32_t *later;  // of each page
    uint32_t page;    // the present one
    uint32_t released;  // of lt->freed, in 1 << RELEASE_BITS
    slot_block *block;
    size_t nblocks, block_cap;
    uint32_t nslots;    // ever used
    uint32_t free_slot; // free list, + 1
    uint32_t cycle;     // recorded mark begins so far
    // Released objects that wait for their next use, as in a sync.Pool: lists
    // of slots, + 1. A cycle's begin drops the victims and makes victims of
    // the rest.
    struct { uint32_t local, victim; } *pools;
    bool *type_pooled;  // some pool is of this type
    uint64_t reused;
    uint64_t objects, bytes, left_out, left_out_bytes, live, peak_live;
    uint64_t peak_committed;
    int64_t paused_ns;  // of all cycles so far
    bool is_virtual, keep_recorder;
    int32_t gogc;         // set with the first allocation
    int64_t memory_limit;
    bool begun;
    double event_ns, gc_share;
    double program_ns;    // not yet passed to the heap; may be a debt
    int64_t last_t;       // stamp of the last event
    bool stopped, marking;  // in the recording
    uint64_t cycles_seen;
    int64_t longest_pause_ns;
    uint64_t peak_gc_heap, peak_end_heap;  // when cycles began, and when marking ended
    uint64_t forced_gc;
    int64_t assist_ns, background_ns, idle_ns;
    uint64_t work, limited;
    uint64_t series_ns, series_objects;
    bool series_cycles;
    int64_t next_sample_ns;
    uint64_t next_sample_objects, cycles_sampled;
    gh_replay_sample *sample;
    size_t nsamples, sample_cap;
};

void
gh_replay_config_init(gh_replay_config *cfg)
{
    *cfg = (gh_replay_config){
        .struct_size = sizeof(*cfg),
        .gogc = 100,
        .memory_limit = GH_LIMIT_OFF,
        .procs = 1,
        .deaths = GH_DEATHS_DRAWN,
    };
    gh_policy_init(&cfg->policy);
    // Sweep as the recorded program did, between allocations: the next goal is
    // then never less than 1 MiB away.
    cfg->policy.eager_sweep = false;
    gh_costs_init(&cfg->costs);
}

// ---- errors -------------------------------------------------------------------

static void
set_error(gh_replay_error *err, int column, uint64_t offset, const char *format,
          va_list args)
{
    err->column = column;
    err->offset = offset;
    vsnprintf(err->message, sizeof(err->message), format, args);
}

static gh_status
refuse(gh_replay_error *err, int column, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_error(err, column, 0, format, args);
    va_end(args);
    return GH_ERR_INVAL;
}

// bad ends the pass: c is the column at fault.
static gh_replay_result
bad(gh_replay *r, col c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_error(&r->error, r->index[c], gh_column_offset(&r->col[c]), format,
              args);
    va_end(args);
    r->ended = GH_REPLAY_BAD;
    return GH_REPLAY_BAD;
}

static gh_replay_result
no_memory(gh_replay *r)
{
    r->ended = GH_REPLAY_NOMEM;
    return GH_REPLAY_NOMEM;
}

// bad_value ends the pass after a value that could not be taken.
static gh_replay_result
bad_value(gh_replay *r, col c)
{
    if (r->col[c].p >= r->col[c].end) {
        return bad(r, c, "column %s ends after event %llu of %llu",
                   col_specs[c].name, (unsigned long long)r->events,
                   (unsigned long long)r->count[COL_OP]);
    }
    return bad(r, c, "column %s holds a number of more than 64 bits",
               col_specs[c].name);
}

// ---- making -------------------------------------------------------------------

// grow makes room for one element more.
static bool
grow(void **array, size_t n, size_t *cap, size_t elem)
{
    if (n < *cap) {
        return true;
    }
    const size_t want = *cap == 0 ? 64 : *cap * 2;
    if (want > SIZE_MAX / elem) {
        return false;
    }
    void *a = realloc(*array, want * elem);
    if (a == NULL) {
        return false;
    }
    *array = a;
    *cap = want;
    return true;
}

static gh_status
read_tables(gh_replay *r, const gh_replay_config *cfg, gh_replay_error *err)
{
    memset(r->op_of, OP_BAD, sizeof(r->op_of));
    if (cfg->nops > sizeof(r->op_of)) {
        return refuse(err, -1, "more than 256 kinds of events");
    }
    for (size_t i = 0; i < cfg->nops; i++) {
        const size_t n = sizeof(op_names) / sizeof(op_names[0]);
        size_t j = 0;
        while (j < n && strcmp(op_names[j].name, cfg->ops[i]) != 0) {
            j++;
        }
        if (j == n) {
            return refuse(err, -1, "unknown kind of event \"%.60s\"",
                          cfg->ops[i]);
        }
        r->op_of[i] = (uint8_t)op_names[j].op;
    }

    if (cfg->nclasses != gh_num_size_classes()) {
        return refuse(err, -1, "%zu size classes, not %u", cfg->nclasses,
                      gh_num_size_classes());
    }
    for (uint32_t i = 0; i < gh_num_size_classes(); i++) {
        const uint32_t size = gh_size_class_get(i).size;
        if (cfg->class_to_size[i] != size) {
            return refuse(err, -1,
                          "size class %u has %u bytes, not %u: recorded with a "
                          "Go of other size classes",
                          i, cfg->class_to_size[i], size);
        }
        r->size_of[2 * i] = r->size_of[2 * i + 1] = size;
    }

    r->pointer_type = UINT64_MAX;
    for (size_t i = 0; i < cfg->ntypes; i++) {
        if (strcmp(cfg->types[i].name, "unsafe.Pointer") == 0) {
            r->pointer_type = i;
            break;
        }
    }

    for (int c = 0; c < NUM_COLS; c++) {
        r->index[c] = -1;
        size_t i = 0;
        while (i < cfg->ncolumns
               && strcmp(cfg->columns[i].name, col_specs[c].name) != 0) {
            i++;
        }
        if (!(r->is_survey ? col_specs[c].survey : col_specs[c].replay)) {
            continue;
        }
        if (i == cfg->ncolumns) {
            return refuse(err, -1, "column %s is missing", col_specs[c].name);
        }
        const gh_replay_column *def = &cfg->columns[i];
        gh_enc enc;
        if (!gh_enc_by_name(def->enc, &enc) || enc != col_specs[c].enc) {
            return refuse(err, (int)i, "column %s has encoding \"%.30s\"",
                          def->name, def->enc);
        }
        r->index[c] = (int)i;
        r->count[c] = def->count;
        gh_column_init(&r->col[c], enc);
        if (def->count == 0) {
            gh_status st = gh_column_feed(&r->col[c], NULL, 0, true);
            if (st != GH_OK) {
                return st;
            }
        }
    }
    for (int c = COL_T; c <= COL_P; c++) {
        if (r->count[c] != r->count[COL_OP]) {
            return refuse(err, r->index[c],
                          "columns ev.op and %s differ in length",
                          col_specs[c].name);
        }
    }
    return GH_OK;
}

static gh_status
make_type(gh_replay *r, const gh_replay_type *def, size_t i,
          gh_replay_error *err)
{
    r->type[i] = NULL;
    r->type_recorder[i] = def->recorder;
    if (def->ptrdata > def->size || def->ptrdata % 8 != 0) {
        return refuse(err, -1, "type %zu (%.60s) has %llu bytes and pointers up "
                      "to %llu", i, def->name, (unsigned long long)def->size,
                      (unsigned long long)def->ptrdata);
    }
    if (i == 0 || def->ptrdata == 0 || def->ptrdata > MAX_MASK_BYTES
        || def->size > MAX_PAGES * PAGE_BYTES) {
        return GH_OK;
    }
    // Masks aren't recorded, only where the last pointer ends.
    const uint64_t words = def->ptrdata / 8;
    uint64_t *mask = malloc((words + 63) / 64 * sizeof(*mask));
    if (mask == NULL) {
        return GH_ERR_NOMEM;
    }
    memset(mask, 0xff, (words + 63) / 64 * sizeof(*mask));
    if (words % 64 != 0) {
        mask[words / 64] = ((uint64_t)1 << (words % 64)) - 1;
    }
    const gh_type_desc desc = {
        .name = def->name,
        .size = def->size,
        .align = 8,
        .ptrdata = def->ptrdata,
        .mask = mask,
    };
    gh_status st = def->size % 8 != 0
                       ? GH_OK  // not a layout of Go's: as if untyped
                       : gh_type_new(r->m, &desc, &r->type[i]);
    free(mask);
    return st;
}

static void clear_pools(void *arg);

// ---- what replays leave to one another -----------------------------------------

// claim makes this replay the one that makes a part; false: it is another's, or
// made, or refused.
static bool
claim(int *state)
{
    int none = MEMO_NONE;
    return __atomic_compare_exchange_n(state, &none, MEMO_MAKING, false,
                                       __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static bool
is_ready(const int *state)
{
    return __atomic_load_n(state, __ATOMIC_ACQUIRE) == MEMO_READY;
}

// memo_begin takes up what is ready, and begins to make what isn't.
static void
memo_begin(gh_replay *r)
{
    memo *mo = r->lt->memo;
    if (mo == NULL) {
        return;
    }
    if (is_ready(&mo->digest_state)) {
        // Of another history's columns: decoded, and told.
        if (!r->is_virtual
            && memcmp(mo->count, r->count, sizeof(mo->count)) == 0) {
            r->digest = &mo->digest;
            r->cursor.p = NO_P;
        }
    } else if (!r->is_virtual && claim(&mo->digest_state)) {
        r->digest_out = &mo->digest;
        memcpy(mo->count, r->count, sizeof(mo->count));
    }
    if (r->deaths != GH_DEATHS_DRAWN || r->lt->exact || r->lt->nobj == 0) {
        return;
    }
    if (is_ready(&mo->drawn_state)) {
        if (mo->seed == r->seed) {
            r->drawn = (const uint32_t *)(const void *)mo->drawn.at;
        }
    } else if (claim(&mo->drawn_state)) {
        if (gh_spill_reserve(&mo->drawn, (size_t)r->lt->nobj * sizeof(uint32_t))
            == GH_OK) {
            mo->seed = r->seed;
            r->drawn_out = (uint32_t *)(void *)mo->drawn.at;
        } else {
            __atomic_store_n(&mo->drawn_state, MEMO_REFUSED, __ATOMIC_RELEASE);
        }
    }
}

// memo_end hands over what was made, or takes it back if the pass ended early.
static void
memo_end(gh_replay *r, bool done)
{
    if (r->digest_out != NULL) {
        memo *mo = r->lt->memo;
        const bool failed = mo->digest.failed;
        if (done && !failed) {
            gh_digest_end(&mo->digest, r->col[COL_T].prev);
        } else {
            gh_digest_fini(&mo->digest);
        }
        __atomic_store_n(&mo->digest_state,
                         failed ? MEMO_REFUSED : done ? MEMO_READY : MEMO_NONE,
                         __ATOMIC_RELEASE);
        r->digest_out = NULL;
    }
    if (r->drawn_out != NULL) {
        memo *mo = r->lt->memo;
        if (done) {
            gh_spill_release(&mo->drawn, 0, mo->drawn.bytes);
        } else {  // children of fork() may each want to draw into one of their own
            gh_spill_fini(&mo->drawn);
        }
        __atomic_store_n(&mo->drawn_state, done ? MEMO_READY : MEMO_NONE,
                         __ATOMIC_RELEASE);
        r->drawn_out = NULL;
    }
}

static gh_status
start_replay(gh_replay *r, const gh_replay_config *cfg, gh_replay_error *err)
{
    if (cfg->procs < 1 || cfg->procs > GH_MAX_PROCS) {
        return refuse(err, -1, "%d Ps", (int)cfg->procs);
    }
    gh_options opt;
    gh_options_init(&opt);
    // What exists when recording begins was not allocated under these settings:
    // they hold from the first allocation on.
    opt.mode = cfg->mode;
    opt.gogc = -1;
    opt.procs = cfg->procs;
    opt.globals_scan = cfg->globals_scan;
    opt.stack_scan = cfg->nstacks > 0 ? cfg->stacks[0] : cfg->stack_scan;
    opt.non_heap = cfg->non_heap;
    opt.costs = cfg->costs;
    opt.cycle_delay_ns = cfg->cycle_delay_ns;
    if (cfg->busy_ns > 0) {
        opt.busy_ns = cfg->busy_ns;
    }
    opt.track_types = false;
    opt.leaves = true;
    opt.seed = cfg->seed;
    opt.policy = cfg->policy;
    opt.mem_ops = cfg->mem_ops;
    opt.mem_ctx = cfg->mem_ctx;
    gh_status st = gh_heap_new(&opt, &r->heap);
    if (st != GH_OK) {
        if (st == GH_ERR_INVAL) {
            return refuse(err, -1, "the heap refuses these settings");
        }
        return st;
    }
    r->lt = cfg->lifetimes;
    r->procs = cfg->procs;
    r->follow_procs = cfg->follow_procs;
    r->last_p = NO_P;
    r->deaths = cfg->deaths;
    r->seed = cfg->seed;
    r->series_ns = cfg->series_ns;
    r->series_objects = cfg->series_objects;
    r->next_sample_objects = cfg->series_objects;
    r->series_cycles = cfg->series_cycles;
    r->profile = cfg->profile_rate > 0;
    r->is_virtual = cfg->mode == GH_MODE_VIRTUAL;
    r->keep_recorder = cfg->keep_recorder;
    r->gogc = cfg->gogc < 0 ? -1 : cfg->gogc;
    r->memory_limit = cfg->memory_limit;
    r->event_ns = cfg->keep_recorder ? 0 : cfg->event_ns;
    r->gc_share = cfg->gc_share;
    r->ntypes = cfg->ntypes;
    r->soon = calloc(SOON, sizeof(*r->soon));
    r->later = calloc(((size_t)r->lt->nobj >> SOON_BITS) + 1, sizeof(*r->later));
    r->type = calloc(cfg->ntypes + 1, sizeof(*r->type));
    r->type_recorder = calloc(cfg->ntypes + 1, 1);
    r->pools = calloc((size_t)r->lt->npools + 1, sizeof(*r->pools));
    r->type_pooled = calloc(cfg->ntypes + 1, sizeof(*r->type_pooled));
    if (r->pools == NULL || r->type_pooled == NULL) {
        return GH_ERR_NOMEM;
    }
    for (uint32_t k = 0; k < r->lt->npools; k++) {
        if (r->lt->pool[k].type < cfg->ntypes) {
            r->type_pooled[r->lt->pool[k].type] = true;
        }
    }
    if (r->soon == NULL || r->later == NULL || r->type == NULL || r->type_recorder == NULL) {
        return GH_ERR_NOMEM;
    }
    st = gh_enter(r->heap, 0, &r->m);
    if (st != GH_OK) {
        return st;
    }
    st = gh_profile_set_rate(r->m, cfg->profile_rate);
    if (r->lt->npools > 0) {
        gh_on_clear_pools(r->m, clear_pools, r);
    }
    for (size_t i = 0; i < cfg->ntypes && st == GH_OK; i++) {
        st = make_type(r, &cfg->types[i], i, err);
    }
    if (r->is_virtual) {
        gh_clock_pass(r->m, 0);
    } else {
        gh_clock_set(r->m, 0);
    }
    gh_leave(r->m);
    r->m = NULL;
    if (st == GH_OK) {
        memo_begin(r);
    }
    return st;
}

static gh_status
survey_init(gh_replay *r, const gh_replay_config *cfg)
{
    if (cfg->spill_dir != NULL) {
        const size_t n = strlen(cfg->spill_dir) + 1;
        r->life.spill_dir = malloc(n);
        if (r->life.spill_dir == NULL) {
            return GH_ERR_NOMEM;
        }
        memcpy(r->life.spill_dir, cfg->spill_dir, n);
    }
    const size_t keep = cfg->spill_keep != 0 ? cfg->spill_keep : KEEP;
    gh_spill_init(&r->life.freed, keep, r->life.spill_dir);
    r->life.exact = true;
    r->sv = calloc(1, sizeof(*r->sv));
    if (r->sv == NULL) {
        return GH_ERR_NOMEM;
    }
    if (r->life.spill_dir != NULL) {
        memo *mo = calloc(1, sizeof(*mo));
        if (mo == NULL) {
            return GH_ERR_NOMEM;
        }
        gh_digest_init(&mo->digest, keep, r->life.spill_dir);
        gh_spill_init(&mo->drawn, keep, r->life.spill_dir);
        r->life.memo = mo;
    }
    gh_spill_init(&r->sv->born, keep, r->life.spill_dir);
    r->sv->kind = calloc(MAX_KINDS, sizeof(*r->sv->kind));
    r->sv->kind_at = calloc(KIND_SLOTS, sizeof(*r->sv->kind_at));
    r->sv->nkinds = 1;
    return r->sv->kind == NULL || r->sv->kind_at == NULL ? GH_ERR_NOMEM : GH_OK;
}

gh_status
gh_replay_new(const gh_replay_config *cfg, gh_replay **out,
              gh_replay_error *err)
{
    *err = (gh_replay_error){.column = -1};
    gh_replay *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return GH_ERR_NOMEM;
    }
    r->ended = GH_REPLAY_BUDGET;
    r->is_survey = cfg->lifetimes == NULL;
    gh_spill_init(&r->life.freed, 0, NULL);
    r->num_forced = cfg->num_forced;
    r->nforced = cfg->forced == NULL ? 0 : cfg->nforced;
    if (cfg->forced != NULL) {
        r->forced = malloc((r->nforced + 1) * sizeof(*r->forced));
        if (r->forced == NULL) {
            free(r);
            return GH_ERR_NOMEM;
        }
        if (r->nforced > 0) {
            memcpy(r->forced, cfg->forced, r->nforced * sizeof(*r->forced));
        }
    }
    r->globals_scan = cfg->globals_scan;
    if (cfg->nstacks > 0) {
        r->stacks = malloc(cfg->nstacks * sizeof(*r->stacks));
        if (r->stacks == NULL) {
            gh_replay_free(r);
            return GH_ERR_NOMEM;
        }
        memcpy(r->stacks, cfg->stacks, cfg->nstacks * sizeof(*r->stacks));
        r->nstacks = cfg->nstacks;
    }
    gh_status st = read_tables(r, cfg, err);
    if (st == GH_OK && r->is_survey) {
        st = survey_init(r, cfg);
    } else if (st == GH_OK) {
        st = start_replay(r, cfg, err);
    }
    if (st != GH_OK) {
        gh_replay_free(r);
        return st;
    }
    *out = r;
    return GH_OK;
}

static void
survey_fini(survey_state *sv)
{
    if (sv != NULL) {
        gh_spill_fini(&sv->born);
        free(sv->kind);
        free(sv->kind_at);
        free(sv);
    }
}

void
gh_replay_free(gh_replay *r)
{
    if (r == NULL) {
        return;
    }
    for (int c = 0; c < NUM_COLS; c++) {
        gh_column_fini(&r->col[c]);
    }
    survey_fini(r->sv);
    free(r->forced);
    free(r->stacks);
    if (r->is_survey) {
        gh_spill_fini(&r->life.freed);
        if (r->life.memo != NULL) {
            gh_digest_fini(&r->life.memo->digest);
            gh_spill_fini(&r->life.memo->drawn);
            free(r->life.memo);
        }
        free(r->life.spill_dir);
    }
    if (r->lt != NULL) {
        memo_end(r, false);
    }
    free(r->life.cycle);
    free(r->life.recorded);
    for (uint32_t i = 0; i < r->life.npools; i++) {
        free(r->life.pool[i].last);
    }
    free(r->life.pool);
    free(r->life.ages);
    free(r->life.common);
    free(r->pools);
    free(r->type_pooled);
    for (size_t i = 0; i < r->nblocks; i++) {
        gh_slots_free(r->block[i].slots);
        free(r->block[i].next);
        free(r->block[i].pool);
    }
    free(r->block);
    free(r->type);
    free(r->type_recorder);
    free(r->soon);
    free(r->later);
    free(r->sample);
    if (r->heap != NULL) {
        gh_heap_free(r->heap);
    }
    free(r);
}

bool
gh_replay_wants(const gh_replay *r, int column)
{
    for (int c = 0; c < NUM_COLS; c++) {
        if (r->index[c] == column && column >= 0 && r->digest == NULL) {
            return true;
        }
    }
    return false;
}

gh_status
gh_replay_feed(gh_replay *r, int column, const uint8_t *data, size_t n,
               bool last)
{
    for (int c = 0; c < NUM_COLS; c++) {
        if (r->index[c] == column && column >= 0 && r->digest == NULL) {
            return gh_column_feed(&r->col[c], data, n, last);
        }
    }
    return GH_ERR_INVAL;
}

// ---- taking values ------------------------------------------------------------

// Each take is one value of the present event; false: it isn't there.
static inline bool
take_u8(gh_replay *r, col c, uint8_t *out)
{
    *out = gh_column_u8(&r->col[c]);
    return !gh_column_overrun(&r->col[c]);
}

static inline bool
take(gh_replay *r, col c, uint64_t *out)
{
    return gh_column_uvarint(&r->col[c], out)
           && !gh_column_overrun(&r->col[c]);
}

// take_object reads span class and size of the next object. GH_REPLAY_DONE when
// all is well.
static inline gh_replay_result
take_object(gh_replay *r, uint8_t *spanclass, uint64_t *size)
{
    if (!take_u8(r, COL_SPANCLASS, spanclass)) {
        return bad_value(r, COL_SPANCLASS);
    }
    if (*spanclass >= NUM_SPAN_CLASSES) {
        return bad(r, COL_SPANCLASS, "span class %u of object %u is impossible",
                   (unsigned)*spanclass, (unsigned)r->nobj);
    }
    *size = r->size_of[*spanclass];
    if (*size == 0) {
        uint64_t pages;
        if (!take(r, COL_PAGES, &pages)) {
            return bad_value(r, COL_PAGES);
        }
        if (pages == 0 || pages > MAX_PAGES) {
            return bad(r, COL_PAGES, "object %u of %llu pages is impossible",
                       (unsigned)r->nobj, (unsigned long long)pages);
        }
        *size = pages * PAGE_BYTES;
        r->nlarge++;
    }
    return GH_REPLAY_DONE;
}

// look decodes the next number of a column and leaves it there.
static bool
look(const gh_column *c, uint64_t *out)
{
    gh_column at = *c;
    return gh_column_uvarint(&at, out) && !gh_column_overrun(&at);
}

// recorder_buffer is the size of the next object, which was there when recording
// began, if that is one of the recorder's buffers for CPU samples, else 0. Nothing is
// taken. Go: traceInitReadCPU, newProfBuf.
static uint64_t
recorder_buffer(const gh_replay *r)
{
    const gh_column *c = &r->col[COL_SPANCLASS];
    if (c->p >= c->end || *c->p > 1) {
        return 0;
    }
    uint64_t n, type;
    if (!look(&r->col[COL_PAGES], &n)) {
        return 0;
    }
    const bool is_data = *c->p == 1 && n >= RECORDER_BUFFER / PAGE_BYTES
                         && n <= MAX_PAGES;
    const bool is_tags = *c->p == 0 && n == RECORDER_TAGS / PAGE_BYTES
                         && look(&r->col[COL_TYPE], &type)
                         && type == r->pointer_type;
    return is_data || is_tags ? n * PAGE_BYTES : 0;
}

static gh_replay_result
bad_op(gh_replay *r, uint8_t code)
{
    return bad(r, COL_OP, "event %llu is of the unknown kind %u",
               (unsigned long long)r->events, (unsigned)code);
}

// ---- the survey -----------------------------------------------------------------

static inline birth *
born_at(survey_state *sv, uint32_t obj)
{
    return gh_spill_touch(&sv->born, (size_t)obj * sizeof(birth));
}

static inline uint32_t *
freed_at(gh_replay *r, uint32_t obj)
{
    return gh_spill_touch(&r->life.freed, (size_t)obj * sizeof(uint32_t));
}

// kind_of finds or makes the number of a kind.
static uint16_t
kind_of(survey_state *sv, uint64_t type, uint8_t sc)
{
    if (type > UINT32_MAX) {
        return 0;
    }
    uint32_t i = (uint32_t)((type * NUM_SPAN_CLASSES + sc) * 0x9e3779b1u)
                 % KIND_SLOTS;
    for (;; i = (i + 1) % KIND_SLOTS) {
        const uint32_t k = sv->kind_at[i];
        if (k == 0) {
            break;
        }
        if (sv->kind[k].type == type && sv->kind[k].spanclass == sc) {
            return (uint16_t)k;
        }
    }
    if (sv->nkinds == MAX_KINDS) {
        return 0;
    }
    sv->kind_at[i] = sv->nkinds;
    sv->kind[sv->nkinds] = (kind){.type = (uint32_t)type, .spanclass = sc};
    return (uint16_t)sv->nkinds++;
}

// marks_begun is how many marks had begun when object obj was born.
static uint32_t
marks_begun(const gh_lifetimes *life, uint32_t obj)
{
    uint32_t lo = 0, hi = life->ncycles;
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (life->cycle[mid].begin <= obj) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

// is_pooled: what a sync.Pool lets go of has survived one mark, as a victim, and
// few of them another one; nothing of it dies sooner.
static bool
is_pooled(const kind *k)
{
    const uint64_t dead =
        (uint64_t)k->dead[0] + k->dead[1] + k->dead[2] + k->dead[3];
    return k->born >= MIN_POOLED && dead >= k->born / 2
           && (uint64_t)k->dead[0] * 50 <= dead
           && ((uint64_t)k->dead[1] + k->dead[2]) * 5 >= dead * 4;
}

// find_pools notes the kinds that are pooled and when each had been born last.
static bool
find_pools(gh_replay *r)
{
    survey_state *sv = r->sv;
    gh_lifetimes *life = &r->life;
    uint32_t n = 0;
    for (uint32_t k = 1; k < sv->nkinds; k++) {
        n += is_pooled(&sv->kind[k]);
    }
    if (n == 0) {
        return true;
    }
    life->pool = calloc(n, sizeof(*life->pool));
    uint32_t *number = calloc(sv->nkinds, sizeof(*number));  // + 1; 0: not pooled
    if (life->pool == NULL || number == NULL) {
        free(number);
        return false;
    }
    for (uint32_t k = 1; k < sv->nkinds; k++) {
        if (!is_pooled(&sv->kind[k])) {
            continue;
        }
        pool *p = &life->pool[life->npools];
        p->type = sv->kind[k].type;
        p->spanclass = sv->kind[k].spanclass;
        p->last = calloc((size_t)life->ncycles + 1, sizeof(*p->last));
        if (p->last == NULL) {
            free(number);
            return false;
        }
        number[k] = ++life->npools;
    }
    uint32_t mark = 0;
    for (uint32_t obj = 0; obj < r->nobj; obj++) {
        while (mark < life->ncycles && life->cycle[mark].begin <= obj) {
            mark++;
            for (uint32_t i = 0; i < life->npools; i++) {
                life->pool[i].last[mark] = life->pool[i].last[mark - 1];
            }
        }
        const uint32_t i = number[born_at(sv, obj)->kind];
        if (i != 0) {
            life->pool[i - 1].last[mark] = obj + 1;
        }
    }
    free(number);
    return true;
}

// common_slot is the place of a kind in the table, or the empty one that it may have.
static inline common *
common_slot(const gh_lifetimes *life, uint64_t type, uint8_t sc)
{
    uint32_t i = (uint32_t)((type * NUM_SPAN_CLASSES + sc) * 0x9e3779b1u) >> 8;
    for (;; i++) {
        common *c = &life->common[i & (COMMON_SLOTS - 1)];
        if (c->curve == 0 || (c->type == type && c->spanclass == sc)) {
            return c;
        }
    }
}

// count_ages counts between which ages the objects died, by curve.
static void
count_ages(gh_replay *r, const uint16_t *curve_of, gh_age_counts *counts)
{
    survey_state *sv = r->sv;
    const gh_lifetimes *life = &r->life;
    for (uint32_t obj = 0; obj < r->nobj; obj++) {
        const uint32_t freed = *freed_at(r, obj);
        if (freed >= EXACT || freed == 1) {
            continue;
        }
        // Of the last mark's dead not all need have been swept.
        const uint32_t end = freed != 0 ? freed - 2 : life->ncycles - 1;
        const uint32_t found = life->cycle[end].begin;
        const uint32_t before = end == 0 ? 0 : life->cycle[end - 1].begin;
        if (found <= obj) {
            continue;
        }
        const birth *b = born_at(sv, obj);
        const uint32_t alive = before > obj ? before - obj : 0;
        const uint32_t dead = freed != 0 ? found - obj : 0;
        gh_age_note(&counts[b->spanclass], alive, dead);
        if (curve_of[b->kind] != 0) {
            gh_age_note(&counts[curve_of[b->kind]], alive, dead);
        }
    }
}

// find_ages estimates how long the objects of each kind live.
static bool
find_ages(gh_replay *r)
{
    survey_state *sv = r->sv;
    gh_lifetimes *life = &r->life;
    if (life->ncycles == 0) {
        return true;
    }
    uint16_t *curve_of = calloc(sv->nkinds, sizeof(*curve_of));
    life->common = calloc(COMMON_SLOTS, sizeof(*life->common));
    if (curve_of == NULL || life->common == NULL) {
        free(curve_of);
        return false;
    }
    for (uint32_t k = 1; k < sv->nkinds && life->ncommon < MAX_COMMON; k++) {
        if (sv->kind[k].born >= MIN_COMMON) {
            curve_of[k] = (uint16_t)(NUM_SPAN_CLASSES + life->ncommon++);
            common *c = common_slot(life, sv->kind[k].type, sv->kind[k].spanclass);
            *c = (common){.type = sv->kind[k].type,
                          .spanclass = sv->kind[k].spanclass,
                          .curve = curve_of[k]};
        }
    }
    const size_t n = NUM_SPAN_CLASSES + life->ncommon;
    gh_age_counts *counts = calloc(n + 1, sizeof(*counts));
    life->ages = calloc(n, sizeof(*life->ages));
    if (counts == NULL || life->ages == NULL) {
        free(counts);
        free(curve_of);
        return false;
    }
    count_ages(r, curve_of, counts);
    gh_age_counts *all = &counts[n];
    for (size_t i = 0; i < NUM_SPAN_CLASSES; i++) {
        for (size_t j = 0; j < (GH_AGE_BINS + 1) * (GH_AGE_BINS + 1); j++) {
            (&all->n[0][0])[j] += (&counts[i].n[0][0])[j];
        }
    }
    gh_age_curve any;
    gh_age_estimate(all, NULL, 0, &any);
    for (size_t i = 0; i < NUM_SPAN_CLASSES; i++) {
        gh_age_estimate(&counts[i], &any, MIXED_IN, &life->ages[i]);
    }
    for (uint32_t k = 1; k < sv->nkinds; k++) {
        if (curve_of[k] != 0) {
            gh_age_estimate(&counts[curve_of[k]], &life->ages[sv->kind[k].spanclass],
                            MIXED_IN, &life->ages[curve_of[k]]);
        }
    }
    free(counts);
    free(curve_of);
    return true;
}

static gh_replay_result
survey_object(gh_replay *r)
{
    survey_state *sv = r->sv;
    uint8_t sc;
    uint64_t size;
    gh_replay_result res = take_object(r, &sc, &size);
    if (res != GH_REPLAY_DONE) {
        return res;
    }
    uint64_t type;
    if (!take(r, COL_TYPE, &type)) {
        return bad_value(r, COL_TYPE);
    }
    const uint32_t n = r->nobj;
    if (n == MAX_OBJECTS) {
        return bad(r, COL_SPANCLASS, "more than %u objects",
                   (unsigned)MAX_OBJECTS);
    }
    if (n == sv->obj_cap) {
        const size_t want = (size_t)n + 1;
        if (gh_spill_reserve(&sv->born, want * sizeof(birth)) != GH_OK
            || gh_spill_reserve(&r->life.freed, want * sizeof(uint32_t)) != GH_OK) {
            return no_memory(r);
        }
        const size_t a = sv->born.bytes / sizeof(birth),
                     b = r->life.freed.bytes / sizeof(uint32_t);
        sv->obj_cap = a < b ? a : b;
    }
    const uint16_t k = kind_of(sv, type, sc);
    *born_at(sv, n) = (birth){.kind = k, .spanclass = sc};
    sv->kind[k].born++;
    r->nobj = n + 1;
    return GH_REPLAY_DONE;
}

static gh_replay_result
survey_free(gh_replay *r, bool exact)
{
    survey_state *sv = r->sv;
    uint64_t back;
    if (!take(r, COL_FREE, &back)) {
        return bad_value(r, COL_FREE);
    }
    r->nfree++;
    if (back >= r->nobj) {
        return bad(r, COL_FREE,
                   "a free reaches back %llu objects of %u so far",
                   (unsigned long long)back, (unsigned)r->nobj);
    }
    const uint32_t obj = r->nobj - 1 - (uint32_t)back;
    uint32_t *freed = freed_at(r, obj);
    if (*freed != 0) {
        return bad(r, COL_FREE, "object %u is freed twice", (unsigned)obj);
    }
    if (exact) {
        if (r->nobj >= EXACT) {
            return bad(r, COL_FREE, "an exact death after 2^31 objects");
        }
        *freed = EXACT | r->nobj;
        return GH_REPLAY_DONE;
    }
    r->life.exact = false;
    *freed = r->life.ncycles + 1;
    const uint32_t begun = marks_begun(&r->life, obj);
    const uint32_t survived = r->life.ncycles > begun
                                  ? r->life.ncycles - begun - 1 : 0;
    const birth *b = born_at(sv, obj);
    sv->kind[b->kind].dead[survived < 3 ? survived : 3]++;
    return GH_REPLAY_DONE;
}

static gh_replay_result
survey_gc_begin(gh_replay *r)
{
    survey_state *sv = r->sv;
    gh_lifetimes *life = &r->life;
    if (life->ncycles == EXACT - 2
        || !grow((void **)&life->cycle, life->ncycles, &sv->cycle_cap,
                 sizeof(*life->cycle))) {
        return no_memory(r);
    }
    if (!grow((void **)&life->recorded, life->ncycles, &sv->recorded_cap,
              sizeof(*life->recorded))) {
        return no_memory(r);
    }
    life->recorded[life->ncycles] = (gh_recorded_cycle){
        .begin_ns = sv->last_t,
        .end_ns = sv->last_t,
        .heap_start = sv->heap_live,
        .heap_goal = sv->heap_goal,
    };
    sv->mark_began = sv->last_t;
    // A heap without a goal, or beyond it, did not wait to be forced.
    double distance = 1e9;
    if (sv->heap_goal > sv->heap_marked) {
        distance = ((double)sv->heap_live - (double)sv->heap_marked)
                   / (double)(sv->heap_goal - sv->heap_marked);
    }
    life->cycle[life->ncycles++] = (cycle_mark){
        .begin = r->nobj, .end = r->nobj, .distance = distance};
    sv->marking = true;
    return GH_REPLAY_DONE;
}

// note_gap notes how long it is since the last event of p.
static void
note_gap(gh_replay *r, uint8_t p)
{
    survey_state *sv = r->sv;
    const uint64_t gap = (uint64_t)(sv->last_t - sv->p_t[p]);
    r->life.ps += !sv->p_seen[p];
    sv->p_seen[p] = true;
    sv->p_t[p] = sv->last_t;
    if (gap < MIN_GAP_NS) {
        return;
    }
    unsigned b = 0;
    while (b + 1 < GH_GAP_BUCKETS && gap >> (b + 1) != 0) {
        b++;
    }
    sv->gaps[b]++;
    sv->gap_ns[b] += gap;
}

static gh_replay_result
survey_event(gh_replay *r)
{
    survey_state *sv = r->sv;
    uint8_t code, p;
    uint64_t stamp;
    if (!take_u8(r, COL_OP, &code)) {
        return bad_value(r, COL_OP);
    }
    if (!take_u8(r, COL_P, &p)) {
        return bad_value(r, COL_P);
    }
    if (!gh_column_delta(&r->col[COL_T], &stamp)
        || gh_column_overrun(&r->col[COL_T])) {
        return bad_value(r, COL_T);
    }
    const op o = r->op_of[code];
    const int64_t t = (int64_t)stamp;
    if (o == OP_FREE && sv->last_op == OP_FREE && p == sv->last_p
        && t - sv->last_t < FREE_GAP_NS) {
        r->life.free_ns += (uint64_t)(t > sv->last_t ? t - sv->last_t : 0);
        r->life.frees++;
    }
    sv->last_t = t > sv->last_t ? t : sv->last_t;
    if (p != NO_P) {
        note_gap(r, p);
    }
    sv->last_p = p;
    sv->last_op = (uint8_t)o;
    uint64_t val;
    switch (o) {
    case OP_EXIST:
        r->life.recorder_bytes += recorder_buffer(r);
        return survey_object(r);
    case OP_ALLOC:
        return survey_object(r);
    case OP_TINY:
        r->ntiny++;
        return GH_REPLAY_DONE;
    case OP_FREE:
    case OP_DEAD:
        return survey_free(r, o == OP_DEAD);
    case OP_GC_BEGIN:
        return survey_gc_begin(r);
    case OP_GC_END:
        // The last heap size before the end of marking is the marked heap. A
        // recording may begin inside a cycle: its end alone says nothing.
        if (sv->marking) {
            sv->marking = false;
            sv->heap_marked = sv->heap_live;
            r->life.cycle[r->life.ncycles - 1].end = r->nobj;
            gh_recorded_cycle *rec = &r->life.recorded[r->life.ncycles - 1];
            rec->end_ns = sv->last_t;
            rec->heap_end = sv->heap_before;
            rec->heap_marked = sv->heap_live;
            r->life.mark_ns += sv->last_t - sv->mark_began;
            // /cpu/classes are as of here.
            memcpy(r->life.gaps, sv->gaps, sizeof(sv->gaps));
            memcpy(r->life.gap_ns, sv->gap_ns, sizeof(sv->gap_ns));
        }
        return GH_REPLAY_DONE;
    case OP_HEAP_GOAL:
    case OP_HEAP_LIVE:
    case OP_GOMAXPROCS:
        if (!take(r, COL_VAL, &val)) {
            return bad_value(r, COL_VAL);
        }
        r->nval++;
        if (o == OP_HEAP_GOAL) {
            sv->heap_goal = val;
        } else if (o == OP_HEAP_LIVE) {
            sv->heap_before = sv->heap_live;
            sv->heap_live = val;
        }
        return GH_REPLAY_DONE;
    case OP_STW:
        sv->stop_began = sv->last_t;
        return GH_REPLAY_DONE;
    case OP_STW_END:
        r->life.stopped_ns += sv->last_t - sv->stop_began;
        return GH_REPLAY_DONE;
    case OP_SPAN:
    case OP_STACK:
        return GH_REPLAY_DONE;
    case OP_BAD:
        break;
    }
    return bad_op(r, code);
}

static int
nearer(const void *a, const void *b)
{
    const cycle_mark *x = *(cycle_mark *const *)a, *y = *(cycle_mark *const *)b;
    if (x->distance != y->distance) {
        return x->distance < y->distance ? -1 : 1;
    }
    return x < y ? -1 : x > y;
}

// survey_finish chooses the forced collections and computes the tail's shares.
static gh_replay_result
survey_finish(gh_replay *r)
{
    gh_lifetimes *life = &r->life;
    life->nobj = r->nobj;
    life->duration_ns = r->sv->last_t;
    for (size_t i = 0; i < r->nforced; i++) {
        if (r->forced[i] < life->ncycles) {
            life->cycle[r->forced[i]].forced = true;
            life->recorded[r->forced[i]].forced = true;
        }
    }
    if (r->forced == NULL && r->num_forced > 0 && life->ncycles > 0) {
        cycle_mark **order = malloc(life->ncycles * sizeof(*order));
        if (order == NULL) {
            return no_memory(r);
        }
        for (uint32_t i = 0; i < life->ncycles; i++) {
            order[i] = &life->cycle[i];
        }
        qsort(order, life->ncycles, sizeof(*order), nearer);
        for (uint32_t i = 0; i < life->ncycles && i < r->num_forced; i++) {
            order[i]->forced = true;
            life->recorded[order[i] - life->cycle].forced = true;
        }
        free(order);
    }
    if (!find_pools(r) || !find_ages(r)) {
        return no_memory(r);
    }
    gh_spill_release(&life->freed, 0, life->freed.bytes);
    survey_fini(r->sv);
    r->sv = NULL;
    return GH_REPLAY_DONE;
}

// ---- when an object dies ----------------------------------------------------------

// draw is a number below 2^32 that depends on the seed, the object and salt.
static uint32_t
draw(const gh_replay *r, uint32_t obj, uint32_t salt)
{
    uint64_t z = r->seed * 0x9e3779b97f4a7c15u
                 + ((uint64_t)salt << 32 | obj) * 0xd1b54a32d192ed03u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

// between is a place in lo..hi, by the cube of a uniform number.
static uint32_t
between(uint32_t lo, uint32_t hi, uint64_t u)
{
    const uint64_t cube = (u * u >> 32) * u >> 32;
    return lo + (uint32_t)((uint64_t)(hi - lo) * cube >> 32);
}

static inline uint32_t
freed_of(const gh_lifetimes *lt, uint32_t obj)
{
    return ((const uint32_t *)(const void *)lt->freed.at)[obj];
}

static inline const gh_age_curve *
curve_of(const gh_lifetimes *lt, uint64_t type, uint8_t sc)
{
    const uint32_t curve = common_slot(lt, type, sc)->curve;
    return &lt->ages[curve != 0 ? curve : sc];
}

// death_of returns before which object number obj, just born, is to be dropped.
static inline uint32_t
death_of(const gh_replay *r, uint32_t obj, uint64_t type, uint8_t spanclass)
{
    const gh_lifetimes *lt = r->lt;
    const uint32_t freed = freed_of(lt, obj);
    uint32_t lo = obj + 1, hi = lt->nobj;
    if (freed == 0) {
        if (r->deaths != GH_DEATHS_DRAWN || lt->ncycles == 0
            || obj < lt->cycle[lt->ncycles - 1].begin) {
            return NEVER;
        }
        const uint32_t age = gh_age_draw(curve_of(lt, type, spanclass), 1, UINT32_MAX,
                                         draw(r, obj, 0));
        return age < hi - obj ? obj + age : NEVER;
    }
    if (freed >= EXACT) {
        return freed & ~EXACT;
    }
    if (freed == 1) {
        return lo;  // already dead when recording began
    }
    const cycle_mark *mark = &lt->cycle[freed - 2];
    // Mark k-1 found it alive: it is dropped no sooner than at the first birth
    // after that mark began, because a forced collection runs before that.
    if (freed > 2 && mark[-1].begin >= lo) {
        lo = mark[-1].begin + 1;
    }
    if (r->deaths == GH_DEATHS_EARLY) {
        return lo;
    }
    hi = r->deaths == GH_DEATHS_LATE ? mark->end : mark->begin;
    if (hi <= lo) {
        return lo;
    }
    if (r->deaths == GH_DEATHS_LATE) {
        return hi;
    }
    return obj + gh_age_draw(curve_of(lt, type, spanclass), lo - obj, hi - obj,
                             draw(r, obj, 0));
}

// pooled_death returns before which object number obj goes back to its pool for
// the last time. Found dead by mark d, it was a victim at mark d-1; so it went back
// between the begins of d-2 and d-1, and after the last one of its kind was made:
// that one would have been taken out of the pool.
static uint32_t
pooled_death(const gh_replay *r, uint32_t obj, uint32_t k)
{
    const gh_lifetimes *lt = r->lt;
    const uint32_t freed = freed_of(lt, obj);
    if (freed == 0) {
        return NEVER;
    }
    if (freed >= EXACT) {
        return freed & ~EXACT;
    }
    uint32_t lo = obj + 1;
    if (freed < 3) {
        return lo;
    }
    const uint32_t hi = lt->cycle[freed - 3].begin;
    if (freed > 3 && lt->cycle[freed - 4].begin >= lo) {
        lo = lt->cycle[freed - 4].begin + 1;
    }
    const uint32_t last = lt->pool[k].last[freed - 3];
    if (last > lo) {
        lo = last;
    }
    if (hi <= lo || r->deaths == GH_DEATHS_EARLY) {
        return lo;
    }
    return r->deaths == GH_DEATHS_LATE ? hi : between(lo, hi, draw(r, obj, 0));
}

// ---- the replay ---------------------------------------------------------------------

static gh_replay_result
heap_refused(gh_replay *r, gh_status st)
{
    if (r->digest != NULL) {  // as far as the column had been decoded
        r->col[COL_SPANCLASS].base = r->nobj;
    }
    if (st == GH_ERR_NOMEM) {
        return no_memory(r);
    }
    return bad(r, COL_SPANCLASS, "the heap refuses object %u (%s)",
               (unsigned)r->nobj, gh_status_name(st));
}

static bool
add_slots(gh_replay *r)
{
    if (r->nslots > UINT32_MAX - 2 * SLOT_BLOCK
        || !grow((void **)&r->block, r->nblocks, &r->block_cap,
                 sizeof(*r->block))) {
        return false;
    }
    slot_block b = {.next = malloc(SLOT_BLOCK * sizeof(*b.next))};
    if (b.next == NULL) {
        return false;
    }
    if (gh_slots_new(r->heap, SLOT_BLOCK, &b.slots) != GH_OK) {
        free(b.next);
        return false;
    }
    b.slot = gh_slots_at(b.slots, 0);
    if (r->lt->npools > 0) {
        b.pool = calloc(SLOT_BLOCK, sizeof(*b.pool));
        if (b.pool == NULL) {
            gh_slots_free(b.slots);
            free(b.next);
            return false;
        }
    }
    r->block[r->nblocks++] = b;
    return true;
}

static inline gh_slot *
slot_at(const gh_replay *r, uint32_t i)
{
    return &r->block[i >> SLOT_BLOCK_BITS].slot[i & (SLOT_BLOCK - 1)];
}

static inline next_slot *
next_at(const gh_replay *r, uint32_t i)
{
    return &r->block[i >> SLOT_BLOCK_BITS].next[i & (SLOT_BLOCK - 1)];
}

static inline uint32_t *
link_at(const gh_replay *r, uint32_t i)
{
    return &next_at(r, i)->link;
}

static inline uint16_t *
pool_at(const gh_replay *r, uint32_t i)
{
    uint16_t *at = r->block[i >> SLOT_BLOCK_BITS].pool;
    return at == NULL ? NULL : &at[i & (SLOT_BLOCK - 1)];
}

// drop lets go of what slot i holds.
static inline void
drop(gh_replay *r, uint32_t i)
{
    gh_clear(r->m, slot_at(r, i));
    *link_at(r, i) = r->free_slot;
    r->free_slot = i + 1;
    r->live--;
}

// clear_pools is poolCleanup: see gh_on_clear_pools.
static void
clear_pools(void *arg)
{
    gh_replay *r = arg;
    for (uint32_t k = 0; k < r->lt->npools; k++) {
        uint32_t next = r->pools[k].victim;
        while (next != 0) {
            const uint32_t i = next - 1;
            next = *link_at(r, i);
            drop(r, i);
        }
        r->pools[k].victim = r->pools[k].local;
        r->pools[k].local = 0;
    }
}

// pool_of is the pool that objects of this type and span class come from: its
// number + 1; 0: none.
static inline uint32_t
pool_of(const gh_replay *r, uint64_t type, uint8_t spanclass)
{
    if (!r->type_pooled[type]) {
        return 0;
    }
    for (uint32_t k = 0; k < r->lt->npools; k++) {
        const pool *p = &r->lt->pool[k];
        if (p->type == type && p->spanclass == spanclass) {
            return k + 1;
        }
    }
    return 0;
}

// take_pooled takes a released object out of a pool: its slot + 1; 0: it's empty.
static uint32_t
take_pooled(gh_replay *r, uint32_t k)
{
    uint32_t *list = r->pools[k].local != 0 ? &r->pools[k].local
                                            : &r->pools[k].victim;
    const uint32_t i = *list;
    if (i != 0) {
        *list = *link_at(r, i - 1);
        r->reused++;
    }
    return i;
}

// turn_page takes up the page of the calendar that object number r->nobj is on. Of
// those that die at one position the last born is first, as on the present page.
static __attribute__((noinline)) void
turn_page(gh_replay *r)
{
    r->page = r->nobj >> SOON_BITS;
    uint32_t next = r->later[r->page], born_last = 0;
    r->later[r->page] = 0;
    while (next != 0) {  // turned round
        uint32_t *link = link_at(r, next - 1);
        const uint32_t i = next;
        next = *link;
        *link = born_last;
        born_last = i;
    }
    for (next = born_last; next != 0;) {
        next_slot *at = next_at(r, next - 1);
        uint32_t *head = &r->soon[at->pos & (SOON - 1)];
        const uint32_t i = next;
        next = at->link;
        at->link = *head;
        *head = i;
    }
    const uint32_t done = r->nobj >> RELEASE_BITS;
    if (done != r->released) {
        const size_t from = ((size_t)r->released << RELEASE_BITS) * 4,
                     to = ((size_t)done << RELEASE_BITS) * 4;
        gh_spill_release(&r->lt->freed, from, to);
        if (r->drawn != NULL || r->drawn_out != NULL) {
            gh_spill_release(&r->lt->memo->drawn, from, to);
        }
        r->released = done;
    }
}

// bury drops what dies before object number r->nobj.
static inline void
bury(gh_replay *r)
{
    if (r->nobj >> SOON_BITS != r->page) {
        turn_page(r);
    }
    // Who dies a little later was born a while ago: its words are on their way then.
    const uint32_t ahead = r->soon[(r->nobj + AHEAD) & (SOON - 1)];
    if (ahead != 0) {
        __builtin_prefetch(next_at(r, ahead - 1), 1);
        __builtin_prefetch(slot_at(r, ahead - 1), 1);
    }
    uint32_t *head = &r->soon[r->nobj & (SOON - 1)];
    uint32_t next = *head;
    while (next != 0) {
        const uint32_t i = next - 1;
        uint32_t *link = link_at(r, i);
        next = *link;
        const uint16_t *pooled = pool_at(r, i);
        if (pooled != NULL && *pooled != 0) {
            *link = r->pools[*pooled - 1].local;
            r->pools[*pooled - 1].local = i + 1;
        } else {
            drop(r, i);
        }
    }
    *head = 0;
}

static void
note_committed(gh_replay *r)
{
    gh_pacer_stats ps;
    gh_pacer_get(r->heap, &ps);
    if (ps.heap_inuse + ps.heap_free > r->peak_committed) {
        r->peak_committed = ps.heap_inuse + ps.heap_free;
    }
}

// note_cycles takes what the summary needs from cycles that have ended since.
static void
note_cycles(gh_replay *r)
{
    const uint64_t n = gh_cycles(r->heap);
    while (r->cycles_seen < n) {
        gh_cycle c;
        if (gh_cycle_get(r->heap, r->cycles_seen++, &c) != GH_OK) {
            break;
        }
        int64_t pause = c.end_ns - c.start_ns;
        r->paused_ns += pause;
        if (r->is_virtual) {  // most of the cycle was beside the program
            pause = c.pause_ns[c.pause_ns[1] > c.pause_ns[0]];
        }
        if (pause > r->longest_pause_ns) {
            r->longest_pause_ns = pause;
        }
        if (c.heap_start > r->peak_gc_heap) {
            r->peak_gc_heap = c.heap_start;
        }
        if (c.heap_end > r->peak_end_heap) {
            r->peak_end_heap = c.heap_end;
        }
        r->forced_gc += c.forced;
        r->assist_ns += c.assist_ns;
        r->background_ns += c.background_ns;
        r->idle_ns += c.idle_ns;
        r->work += c.scan_work + c.stack_scan + c.globals_scan;
        r->limited += c.limited;
        note_committed(r);
    }
}

// pass_time adds what the program had of the time since the last event: none of a
// stop, its share while the collector marked, and not the price of the event.
static inline void
pass_time(gh_replay *r, uint8_t p)
{
    const int64_t t = (int64_t)r->col[COL_T].prev;
    const int64_t d = t - r->last_t;
    if (d > 0) {
        r->last_t = t;
        if (!r->stopped) {
            r->program_ns += r->marking ? (double)d * (1 - r->gc_share)
                                        : (double)d;
        }
    }
    r->program_ns -= r->event_ns;
    (void)p;
}

// take_sample notes how the heap is if it is time to.
static bool
take_sample(gh_replay *r)
{
    const bool due =
        (r->series_ns != 0 && gh_now(r->heap) >= r->next_sample_ns)
        || (r->series_objects != 0 && r->objects >= r->next_sample_objects)
        || (r->series_cycles && r->cycles_seen != r->cycles_sampled);
    if (!due) {
        return true;
    }
    if (!grow((void **)&r->sample, r->nsamples, &r->sample_cap,
              sizeof(*r->sample))) {
        return false;
    }
    gh_replay_sample_now(r, &r->sample[r->nsamples]);
    r->next_sample_ns = r->sample[r->nsamples].t_ns + (int64_t)r->series_ns;
    r->next_sample_objects = r->objects + r->series_objects;
    r->cycles_sampled = r->cycles_seen;
    r->nsamples++;
    return true;
}

// tick moves the heap's clock. On a heap that stops the world for a cycle: the
// recording's stamp and the pauses that the replay added; the recording's own
// pauses stay in its stamps.
static bool
tick(gh_replay *r)
{
    note_cycles(r);
    note_committed(r);
    if (r->is_virtual) {
        if (r->program_ns > 0) {
            gh_clock_pass(r->m, r->program_ns);
            r->program_ns = 0;
        }
    } else {
        int64_t t = (int64_t)r->col[COL_T].prev;
        if (t > INT64_MAX / 2) {
            t = INT64_MAX / 2;
        }
        gh_clock_set(r->m, t + r->paused_ns);
    }
    return take_sample(r);
}

static gh_replay_result
go_to_p(gh_replay *r, uint8_t recorded)
{
    r->last_p = recorded;
    const int32_t p = (int32_t)recorded % r->procs;
    if (p != r->cur_p) {
        gh_status st = gh_switch_p(&r->m, p);
        if (st != GH_OK) {
            return heap_refused(r, st);
        }
        r->cur_p = p;
    }
    return GH_REPLAY_DONE;
}

static gh_replay_result
too_many(gh_replay *r)
{
    return bad(r, COL_SPANCLASS, "more objects than the survey counted");
}

static inline void
die_at(gh_replay *r, uint32_t i, uint32_t pos)
{
    if (pos < r->lt->nobj) {
        uint32_t *head = pos >> SOON_BITS == r->page ? &r->soon[pos & (SOON - 1)]
                                                     : &r->later[pos >> SOON_BITS];
        *next_at(r, i) = (next_slot){.link = *head, .pos = pos};
        *head = i + 1;
    }
}

// death is where object number n, just born, dies; pooled: its pool, + 1.
static inline uint32_t
death(gh_replay *r, uint32_t n, uint64_t type, uint8_t sc, uint32_t pooled)
{
    if (r->drawn != NULL) {
        return r->drawn[n];
    }
    const uint32_t pos = pooled != 0 ? pooled_death(r, n, pooled - 1)
                                     : death_of(r, n, type, sc);
    if (r->drawn_out != NULL) {
        r->drawn_out[n] = pos;
    }
    return pos;
}

static gh_replay_result
bad_type(gh_replay *r, uint64_t type)
{
    return bad(r, COL_TYPE, "object %u has type %llu of %zu", (unsigned)r->nobj,
               (unsigned long long)type, r->ntypes);
}

// leave_out counts an object of the recorder's, just born.
static gh_replay_result
leave_out(gh_replay *r, uint8_t sc, uint64_t size, uint64_t type)
{
    if (r->drawn_out != NULL) {  // another replay may not leave it out
        (void)death(r, r->nobj - 1, type, sc,
                    type < r->ntypes ? pool_of(r, type, sc) : 0);
    }
    r->left_out++;
    r->left_out_bytes += size;
    return GH_REPLAY_DONE;
}

// place gives the next object a slot of the heap and of the calendar.
static inline gh_replay_result
place(gh_replay *r, uint8_t sc, uint64_t size, uint64_t type)
{
    const uint32_t n = r->nobj;
    bury(r);
    r->nobj = n + 1;
    if (r->type_recorder[type] && !r->keep_recorder) {
        return leave_out(r, sc, size, type);
    }
    const uint32_t pooled = pool_of(r, type, sc);
    if (pooled != 0) {
        const uint32_t again = take_pooled(r, pooled - 1);
        if (again != 0) {
            die_at(r, again - 1, death(r, n, type, sc, pooled));
            return GH_REPLAY_DONE;
        }
    }
    if (r->free_slot == 0 && r->nslots == r->nblocks << SLOT_BLOCK_BITS
        && !add_slots(r)) {
        return no_memory(r);
    }
    uint32_t i = r->nslots;
    if (r->free_slot != 0) {
        i = r->free_slot - 1;
        r->free_slot = *link_at(r, i);
    } else {
        r->nslots++;
    }
    const gh_type *t = (sc & 1) != 0 ? NULL : r->type[type];
    if (r->profile) {
        (void)gh_profile_set_site(r->m, (uint32_t)type + 1);
    }
    gh_status st = gh_alloc_spanclass(r->m, slot_at(r, i), sc, size, t);
    if (st == GH_ERR_INVAL && t != NULL) {
        // A type that doesn't fit the slot: benign, as if it weren't known.
        st = gh_alloc_spanclass(r->m, slot_at(r, i), sc, size, NULL);
    }
    if (st != GH_OK) {
        return heap_refused(r, st);
    }
    r->objects++;
    r->bytes += size;
    if (++r->live > r->peak_live) {
        r->peak_live = r->live;
    }
    uint16_t *in_pool = pool_at(r, i);
    if (in_pool != NULL) {
        *in_pool = (uint16_t)pooled;
    }
    die_at(r, i, death(r, n, type, sc, pooled));
    return GH_REPLAY_DONE;
}

// replay_object decodes an object and places it. exists: it was there when recording
// began, and may be one of the recorder's buffers.
static gh_replay_result
replay_object(gh_replay *r, uint8_t p, bool exists)
{
    const bool is_buffer = exists && recorder_buffer(r) != 0;
    uint8_t sc;
    uint64_t size, type;
    gh_replay_result res = take_object(r, &sc, &size);
    if (res != GH_REPLAY_DONE) {
        return res;
    }
    if (!take(r, COL_TYPE, &type)) {
        return bad_value(r, COL_TYPE);
    }
    const bool leave = is_buffer && !r->keep_recorder;
    if (!leave && type >= r->ntypes) {
        return bad_type(r, type);
    }
    if (r->nobj >= r->lt->nobj) {
        return too_many(r);
    }
    if (r->digest_out != NULL) {
        gh_digest_object(r->digest_out,
                         is_buffer ? GH_DIGEST_BUFFER
                         : exists  ? GH_DIGEST_EXIST : GH_DIGEST_ALLOC,
                         r->events, p, sc, (uint32_t)(size / PAGE_BYTES),
                         type > UINT32_MAX ? UINT32_MAX : (uint32_t)type);
    }
    if (leave) {
        bury(r);
        r->nobj++;
        return leave_out(r, sc, size, type);
    }
    return place(r, sc, size, type);
}

static gh_replay_result
replay_gc_begin(gh_replay *r)
{
    const uint32_t k = r->cycle++;
    r->marking = true;
    if (k >= r->lt->ncycles) {
        return bad(r, COL_OP, "more collections than the survey counted");
    }
    if (k < r->nstacks) {
        gh_set_root_scan(r->m, r->globals_scan, r->stacks[k]);
    }
    if (!r->lt->cycle[k].forced) {
        return GH_REPLAY_DONE;
    }
    bury(r);
    if (!tick(r)) {
        return no_memory(r);
    }
    gh_status st = gh_gc(r->m);
    return st == GH_OK ? GH_REPLAY_DONE : heap_refused(r, st);
}

static gh_replay_result
change_procs(gh_replay *r, uint64_t val)
{
    if (!r->follow_procs || val == (uint64_t)r->procs) {
        return GH_REPLAY_DONE;
    }
    if (val < 1 || val > GH_MAX_PROCS) {
        return bad(r, COL_VAL, "GOMAXPROCS of %llu", (unsigned long long)val);
    }
    // P number 0 stays whatever the number of Ps.
    gh_status st = gh_switch_p(&r->m, 0);
    if (st == GH_OK) {
        r->cur_p = 0;
        r->last_p = NO_P;
        st = gh_set_procs(r->m, (int32_t)val);
    }
    if (st != GH_OK) {
        return heap_refused(r, st);
    }
    r->procs = (int32_t)val;
    return GH_REPLAY_DONE;
}

static gh_replay_result
replay_val(gh_replay *r, op o)
{
    uint64_t val;
    if (!take(r, COL_VAL, &val)) {
        return bad_value(r, COL_VAL);
    }
    r->nval++;
    if (o != OP_GOMAXPROCS) {
        return GH_REPLAY_DONE;
    }
    if (r->digest_out != NULL) {
        gh_digest_procs(r->digest_out, r->events, val,
                        gh_column_offset(&r->col[COL_VAL]));
    }
    return change_procs(r, val);
}

static void
begin_settings(gh_replay *r)
{
    if (!r->begun) {
        r->begun = true;
        (void)gh_set_gogc(r->m, r->gogc);
        (void)gh_set_memory_limit(r->m, r->memory_limit);
    }
}

static inline gh_replay_result
replay_event(gh_replay *r)
{
    uint8_t code, p;
    uint64_t t, back;
    if (!take_u8(r, COL_OP, &code)) {
        return bad_value(r, COL_OP);
    }
    if (!take_u8(r, COL_P, &p)) {
        return bad_value(r, COL_P);
    }
    if (!gh_column_delta(&r->col[COL_T], &t)
        || gh_column_overrun(&r->col[COL_T])) {
        return bad_value(r, COL_T);
    }
    if (r->is_virtual) {
        pass_time(r, p);
    }
    if ((r->events & (CLOCK_EVERY - 1)) == 0) {
        if (r->digest_out != NULL) {
            gh_digest_begin(r->digest_out, t);
        }
        if (!tick(r)) {
            return no_memory(r);
        }
    }
    const op o = r->op_of[code];
    switch (o) {
    case OP_ALLOC:
    case OP_EXIST:
        if (p != r->last_p && p != NO_P) {
            gh_replay_result res = go_to_p(r, p);
            if (res != GH_REPLAY_DONE) {
                return res;
            }
        }
        if (o == OP_ALLOC) {
            begin_settings(r);
        }
        return replay_object(r, p, o == OP_EXIST);
    case OP_TINY:
        if (!take(r, COL_TINY, &back)) {
            return bad_value(r, COL_TINY);
        }
        if (back >= r->nobj) {
            return bad(r, COL_TINY, "a tiny block %llu objects back, of %u",
                       (unsigned long long)back, (unsigned)r->nobj);
        }
        if (r->digest_out != NULL) {
            gh_digest_tiny(r->digest_out, r->events);
        }
        r->ntiny++;
        gh_count_tiny(r->m);
        return GH_REPLAY_DONE;
    case OP_FREE:
    case OP_DEAD:
        r->nfree++;
        return GH_REPLAY_DONE;
    case OP_GC_BEGIN:
        if (r->digest_out != NULL) {
            gh_digest_gc_begin(r->digest_out, r->events, t);
        }
        return replay_gc_begin(r);
    case OP_HEAP_GOAL:
    case OP_HEAP_LIVE:
    case OP_GOMAXPROCS:
        return replay_val(r, o);
    case OP_GC_END:
        r->marking = false;
        return GH_REPLAY_DONE;
    case OP_STW:
        r->stopped = true;
        return GH_REPLAY_DONE;
    case OP_STW_END:
        r->stopped = false;
        return GH_REPLAY_DONE;
    case OP_SPAN:
    case OP_STACK:
        return GH_REPLAY_DONE;
    case OP_BAD:
        break;
    }
    return bad_op(r, code);
}

// digest_object is replay_object for one of the digest: *at goes behind it.
static inline gh_replay_result
digest_object(gh_replay *r, gh_digest_kind what, const uint32_t **at)
{
    const uint32_t word = *(*at)++;
    const uint8_t p = r->cursor.p, sc = gh_digest_spanclass(word);
    uint32_t type = gh_digest_type(word);
    if (type == GH_DIGEST_FAR) {
        type = *(*at)++;
    }
    uint64_t size = r->size_of[sc];
    if (size == 0) {
        size = *(*at)++ * (uint64_t)PAGE_BYTES;
    }
    if (p != r->last_p && p != NO_P) {
        gh_replay_result res = go_to_p(r, p);
        if (res != GH_REPLAY_DONE) {
            return res;
        }
    }
    if (what == GH_DIGEST_ALLOC) {
        begin_settings(r);
    } else if (what == GH_DIGEST_BUFFER && !r->keep_recorder) {
        bury(r);
        r->nobj++;
        return leave_out(r, sc, size, type);
    }
    if (type >= r->ntypes) {
        return bad_type(r, type);
    }
    return place(r, sc, size, type);
}

// digest_event is what one word of the digest and those that belong to it say.
static inline gh_replay_result
digest_event(gh_replay *r, const uint32_t **at)
{
    const uint32_t word = **at;
    switch (gh_digest_kind_of(word)) {
    case GH_DIGEST_ALLOC:
        return digest_object(r, GH_DIGEST_ALLOC, at);
    case GH_DIGEST_EXIST:
    case GH_DIGEST_BUFFER:
        return digest_object(r, gh_digest_kind_of(word), at);
    case GH_DIGEST_TINY:
        *at += 1;
        r->ntiny++;
        gh_count_tiny(r->m);
        return GH_REPLAY_DONE;
    case GH_DIGEST_P:
        *at += 1;
        r->cursor.p = gh_digest_spanclass(word);
        return GH_REPLAY_DONE;
    case GH_DIGEST_GC_BEGIN:
        r->col[COL_T].prev = gh_digest_pair(*at + 1);
        *at += 3;
        return replay_gc_begin(r);
    case GH_DIGEST_PROCS:
        r->col[COL_VAL].base = gh_digest_pair(*at + 3);
        *at += 5;
        return change_procs(r, gh_digest_pair(*at - 4));
    }
    return GH_REPLAY_DONE;
}

// ---- stepping -------------------------------------------------------------------------

// sure returns how many events can be decoded without asking for bytes, at most
// max; 0: *need is the column that stands in the way.
static uint64_t
sure(const gh_replay *r, uint64_t max, int *need)
{
    for (int c = 0; c < NUM_COLS; c++) {
        if (r->index[c] < 0) {
            continue;
        }
        const uint64_t n = gh_column_ready(&r->col[c]);
        if (n < max) {
            max = n;
            if (n == 0) {
                *need = r->index[c];
                return 0;
            }
        }
    }
    return max;
}

// finish checks that every column ends where its events do.
static gh_replay_result
finish(gh_replay *r, int *need)
{
    const uint64_t used[NUM_COLS] = {
        [COL_OP] = r->events, [COL_T] = r->events, [COL_P] = r->events,
        [COL_SPANCLASS] = r->nobj, [COL_PAGES] = r->nlarge,
        [COL_TYPE] = r->nobj, [COL_TINY] = r->ntiny, [COL_FREE] = r->nfree,
        [COL_VAL] = r->nval,
    };
    for (int c = 0; c < NUM_COLS; c++) {
        if (r->index[c] < 0) {
            continue;
        }
        const gh_column *column = &r->col[c];
        if (!column->last) {
            *need = r->index[c];
            return GH_REPLAY_NEED;
        }
        if (used[c] != r->count[c]) {
            return bad(r, (col)c,
                       "column %s should have %llu values, the events use %llu",
                       col_specs[c].name, (unsigned long long)r->count[c],
                       (unsigned long long)used[c]);
        }
        if (column->p != column->end) {
            return bad(r, (col)c, "column %s goes on after its last value",
                       col_specs[c].name);
        }
    }
    gh_replay_result res = r->is_survey ? survey_finish(r) : GH_REPLAY_DONE;
    if (!r->is_survey) {
        if (r->nobj != r->lt->nobj) {
            return bad(r, COL_SPANCLASS, "fewer objects than the survey counted");
        }
        if (!tick(r)) {
            return no_memory(r);
        }
    }
    if (res == GH_REPLAY_DONE) {
        r->ended = GH_REPLAY_DONE;
        if (!r->is_survey) {
            memo_end(r, true);
        }
    }
    return res;
}

// run_digest is run for a replay that reads a digest. Events of which it says
// nothing have nothing to do.
static gh_replay_result
run_digest(gh_replay *r, uint64_t max_events)
{
    const uint64_t total = r->count[COL_OP];
    const uint64_t until =
        total - r->events < max_events ? total : r->events + max_events;
    const uint64_t cycles = gh_cycles(r->heap);
    const uint32_t *const words =
        (const uint32_t *)(const void *)r->digest->words.at;
    const uint32_t *at = words + r->cursor.at, *end = words + r->cursor.end;
    gh_replay_result res = GH_REPLAY_DONE;
    for (;;) {
        if (at == end) {
            if (r->cursor.block >= until) {
                break;
            }
            r->cursor.block += GH_DIGEST_BLOCK;
            r->col[COL_T].prev = gh_digest_pair(at + 1);
            end = at + GH_DIGEST_HEADER + at[0];
            at += GH_DIGEST_HEADER;
            if (!tick(r)) {
                res = no_memory(r);
                break;
            }
            continue;
        }
        const uint64_t event =
            r->cursor.block - GH_DIGEST_BLOCK + gh_digest_place(*at);
        if (event >= until) {
            break;
        }
        res = digest_event(r, &at);
        if (res != GH_REPLAY_DONE || gh_cycles(r->heap) != cycles) {
            r->events = event + 1;
            break;
        }
    }
    r->cursor.at = (size_t)(at - words);
    r->cursor.end = (size_t)(end - words);
    const size_t done = r->cursor.at * sizeof(uint32_t);
    if (done - r->cursor.released > (size_t)4 << RELEASE_BITS) {
        gh_spill_release(&r->digest->words, r->cursor.released, done);
        r->cursor.released = done;
    }
    if (res != GH_REPLAY_DONE) {
        return res;
    }
    if (gh_cycles(r->heap) != cycles) {
        return GH_REPLAY_BUDGET;
    }
    r->events = until;
    if (until < total) {
        return GH_REPLAY_BUDGET;
    }
    r->col[COL_T].prev = r->digest->end_stamp;
    if (!tick(r)) {
        return no_memory(r);
    }
    r->ended = GH_REPLAY_DONE;
    return GH_REPLAY_DONE;
}

static gh_replay_result
run(gh_replay *r, uint64_t max_events, int *need)
{
    if (r->digest != NULL) {
        return run_digest(r, max_events);
    }
    const uint64_t total = r->count[COL_OP];
    for (;;) {
        if (r->events == total) {
            return finish(r, need);
        }
        if (max_events == 0) {
            return GH_REPLAY_BUDGET;
        }
        uint64_t n = total - r->events < max_events ? total - r->events
                                                    : max_events;
        n = sure(r, n, need);
        if (n == 0) {
            return GH_REPLAY_NEED;
        }
        max_events -= n;
        gh_replay_result res = GH_REPLAY_DONE;
        const uint64_t cycles = r->is_survey ? 0 : gh_cycles(r->heap);
        if (r->is_survey) {
            for (; n > 0 && res == GH_REPLAY_DONE; n--) {
                res = survey_event(r);
                r->events++;
            }
        } else {
            while (n > 0 && res == GH_REPLAY_DONE
                   && gh_cycles(r->heap) == cycles) {
                res = replay_event(r);
                r->events++;
                n--;
            }
        }
        if (res != GH_REPLAY_DONE) {
            return res;
        }
        if (!r->is_survey && gh_cycles(r->heap) != cycles) {
            return GH_REPLAY_BUDGET;
        }
    }
}

gh_replay_result
gh_replay_step(gh_replay *r, uint64_t max_events, int *need,
               gh_replay_error *err)
{
    if (r->ended == GH_REPLAY_BUDGET) {
        if (!r->is_survey && gh_enter(r->heap, r->cur_p, &r->m) != GH_OK) {
            return no_memory(r);
        }
        gh_replay_result res = run(r, max_events, need);
        if (!r->is_survey) {
            note_cycles(r);
            note_committed(r);
            if (r->series_cycles && !take_sample(r)) {
                res = no_memory(r);
            }
            gh_leave(r->m);
            r->m = NULL;
        }
        if (res == GH_REPLAY_NEED || res == GH_REPLAY_BUDGET) {
            return res;
        }
        if (res != GH_REPLAY_DONE) {
            memo_end(r, false);  // another replay may make it
        }
    }
    if (r->ended == GH_REPLAY_BAD) {
        *err = r->error;
    }
    return r->ended;
}

// ---- what came out ----------------------------------------------------------------------

uint64_t
gh_replay_events_done(const gh_replay *r)
{
    return r->events;
}

uint64_t
gh_replay_events_total(const gh_replay *r)
{
    return r->count[COL_OP];
}

const gh_lifetimes *
gh_replay_lifetimes(const gh_replay *r)
{
    return r->is_survey && r->ended == GH_REPLAY_DONE ? &r->life : NULL;
}

bool
gh_replay_facts(const gh_replay *r, gh_survey_facts *out)
{
    const gh_lifetimes *life = gh_replay_lifetimes(r);
    if (life == NULL) {
        return false;
    }
    *out = (gh_survey_facts){
        .duration_ns = life->duration_ns,
        .mark_ns = life->mark_ns,
        .stopped_ns = life->stopped_ns,
        .event_ns = life->frees < MIN_FREES ? 0
                                            : (double)life->free_ns
                                                  / (double)life->frees,
        .recorder_bytes = life->recorder_bytes,
        .ncycles = life->ncycles,
        .cycle = life->recorded,
        .ps = life->ps,
    };
    memcpy(out->gaps, life->gaps, sizeof(out->gaps));
    memcpy(out->gap_ns, life->gap_ns, sizeof(out->gap_ns));
    return true;
}

gh_heap *
gh_replay_heap(gh_replay *r)
{
    return r->heap;
}

void
gh_replay_summary_get(gh_replay *r, gh_replay_summary *out)
{
    *out = (gh_replay_summary){
        .events = r->events,
        .objects = r->objects,
        .reused = r->reused,
        .tiny = r->ntiny,
        .bytes = r->bytes,
        .left_out = r->left_out,
        .left_out_bytes = r->left_out_bytes,
        .live_objects = r->live,
        .peak_live_objects = r->peak_live,
    };
    if (r->heap == NULL) {
        return;
    }
    const uint64_t live = gh_heap_live(r->heap);
    out->forced_gc = r->forced_gc;
    out->automatic_gc = r->cycles_seen - r->forced_gc;
    out->peak_gc_heap = r->peak_gc_heap;
    out->peak_heap = live;
    if (r->peak_gc_heap > out->peak_heap) {
        out->peak_heap = r->peak_gc_heap;
    }
    if (r->peak_end_heap > out->peak_heap) {  // beside a program that allocates
        out->peak_heap = r->peak_end_heap;
    }
    out->peak_committed = r->peak_committed;
    out->time_ns = gh_now(r->heap);
    out->longest_pause_ns = r->longest_pause_ns;
    out->assist_ns = r->assist_ns;
    out->background_ns = r->background_ns;
    out->idle_ns = r->idle_ns;
    out->work = r->work;
    out->limited = r->limited;
    gh_cycle last;
    if (r->cycles_seen > 0 && out->time_ns > 0
        && gh_cycle_get(r->heap, r->cycles_seen - 1, &last) == GH_OK) {
        // The last cycle's share was of the time up to its end.
        out->gc_cpu_fraction = last.gc_cpu_fraction * (double)last.end_ns
                               / (double)out->time_ns;
    }
}

size_t
gh_replay_samples(const gh_replay *r, const gh_replay_sample **out)
{
    *out = r->sample;
    return r->nsamples;
}

void
gh_replay_sample_now(gh_replay *r, gh_replay_sample *out)
{
    gh_pacer_stats ps;
    gh_pacer_get(r->heap, &ps);
    *out = (gh_replay_sample){
        .t_ns = gh_now(r->heap),
        .objects = r->objects,
        .heap_live = ps.heap_live,
        .heap_goal = ps.heap_goal,
        .heap_marked = ps.heap_marked,
        .heap_inuse = ps.heap_inuse,
        .heap_free = ps.heap_free,
        .heap_released = ps.heap_released,
        .num_gc = gh_cycles(r->heap),
    };
}
