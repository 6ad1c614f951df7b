// script_run.c: running a compiled script. See script.h, script_program.h.

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script.h"
#include "script_program.h"
#include "splitmix.h"

#define GLOBALS_SCAN 160810u
// Bytes of the dead weight that hold pointers, besides a word for each slot: the
// reference's own 770 to 819 KB, more or less with the number of slots.
#define BASE_SCAN 778232u
#define SWEEP_BATCH  10u  // spans in a turn of the background sweeper

// Bytes that the reference has mapped beside the heap, which a memory limit
// covers too. At the baseline:
#define NON_HEAP ((uint64_t)7 << 20)
// and more for the records of spans and their bits, and for the sets of spans, of
// which each span class has one block before the first cycle and four after it.
// Measured; there it comes in pieces of 256 KiB.
enum { RECORD_SPAN = 210, RECORD_SET = 4160, RECORD_STEP = 65536 };

// Bytes of stacks that a cycle scans in the reference: its own stack is as deep
// as the operation that started the cycle. Measured.
enum {
    STACK_SCAN_START = 2120,  // last cycle before the baseline
    STACK_SCAN_ALLOC = 2512,
    STACK_SCAN_RANDOM = 2640,
    STACK_SCAN_GC = 2432,
    STACK_SCAN_FREEOS = 2456,
    STACK_SCAN_SCAVENGER = 64,  // more while the background scavenger sleeps
    STACK_SCAN_P = 224,         // more for each P but the first: its mark worker,
    STACK_SCAN_P_LESS = 16,     // and less for all of them
    STACK_SCAN_PAR = 368,       // more in par: the worker, and who waits for it
    // For a tiny object a frame is smaller than usual, for a small one with
    // pointers larger.
    STACK_FRAME = 8,
    STACK_TINY = 16,
    STACK_SMALL_SCAN = 512
};

__attribute__((format(printf, 4, 5))) static bool
stop(gh_script_run *r, gh_script_status st, uint32_t column, const char *format,
     ...)
{
    const gh_op *op = &r->s->op[r->pc];
    va_list args;
    va_start(args, format);
    gh_script_error_set(r->s->text, r->s->len, op->line, column, &r->error,
                        format, args);
    va_end(args);
    r->status = st;
    return false;
}

static bool
out_of_memory(gh_script_run *r, const char *what)
{
    return stop(r, GH_SCRIPT_NOMEM, 0, "out of memory for %s", what);
}

static bool
grow(gh_script_run *r, void *array, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) {
        return true;
    }
    const size_t want = *cap == 0 ? 64 : *cap * 2;
    void *mem = realloc(*(void **)array, want * size);
    if (mem == NULL) {
        return out_of_memory(r, "the result");
    }
    *(void **)array = mem;
    *cap = want;
    return true;
}

#define GROW(r, array, n, cap) grow(r, &(array), n, &(cap), sizeof(*(array)))

uint64_t
gh_script_base_live(const gh_script *s)
{
    return ((uint64_t)2 << 20) + (((uint64_t)s->slots * 8 + 8191) & ~8191u);
}

// ---- expressions ---------------------------------------------------------------

static bool
eval_code(gh_script_run *r, const gh_expr *e, int64_t *out)
{
    int64_t stack[GH_EXPR_STACK];
    int n = 0;
    for (const gh_expr_op *op = &r->s->expr[e->code - 1];
         op->op != GH_EXPR_END; op++) {
        if (op->op == GH_EXPR_LIN) {
            stack[n++] = (int64_t)((uint64_t)op->c0
                                   + (uint64_t)op->c1 * (uint64_t)r->var[op->var]);
            continue;
        }
        const int64_t b = stack[--n], a = stack[n - 1];
        int64_t v = 0;
        switch (op->op) {
        case GH_EXPR_ADD: v = (int64_t)((uint64_t)a + (uint64_t)b); break;
        case GH_EXPR_SUB: v = (int64_t)((uint64_t)a - (uint64_t)b); break;
        case GH_EXPR_MUL: v = (int64_t)((uint64_t)a * (uint64_t)b); break;
        case GH_EXPR_DIV:
        case GH_EXPR_MOD:
            if (b == 0) {
                return stop(r, GH_SCRIPT_RUNTIME, e->column, "division by zero");
            }
            if (b == -1) {  // the one quotient that would overflow
                v = op->op == GH_EXPR_DIV ? (int64_t)(0 - (uint64_t)a) : 0;
            } else {
                v = op->op == GH_EXPR_DIV ? a / b : a % b;
            }
            break;
        default: break;
        }
        stack[n - 1] = v;
    }
    *out = stack[0];
    return true;
}

static inline bool
eval(gh_script_run *r, const gh_expr *e, int64_t *out)
{
    if (e->code == 0) {
        *out = (int64_t)((uint64_t)e->c0
                         + (uint64_t)e->c1 * (uint64_t)r->var[e->var]);
        return true;
    }
    return eval_code(r, e, out);
}

static inline bool
eval_slot(gh_script_run *r, const gh_expr *e, gh_slot **out)
{
    int64_t i;
    if (!eval(r, e, &i)) {
        return false;
    }
    if (r->nslots == 0) {
        return stop(r, GH_SCRIPT_RUNTIME, e->column,
                    "slot %" PRId64 ": the script has no slots", i);
    }
    if ((uint64_t)i >= r->nslots) {
        return stop(r, GH_SCRIPT_RUNTIME, e->column,
                    "slot %" PRId64 " is outside 0..%" PRIu64, i,
                    r->nslots - 1);
    }
    *out = &r->slot[i];
    return true;
}

static bool
eval_size(gh_script_run *r, const gh_expr *e, uint64_t *out)
{
    int64_t n;
    if (!eval(r, e, &n)) {
        return false;
    }
    if (n < 0 || n > GH_SCRIPT_MAX_SIZE) {
        return stop(r, GH_SCRIPT_RUNTIME, e->column,
                    "size %" PRId64 " is outside 0..%" PRId64, n,
                    (int64_t)GH_SCRIPT_MAX_SIZE);
    }
    *out = (uint64_t)n;
    return true;
}

// ---- types ---------------------------------------------------------------------------

static bool
make_type(gh_script_run *r, uint64_t size, uint32_t mask, const gh_type **out)
{
    const gh_mask *m = &r->s->mask[mask];
    const uint64_t words = size / 8;
    uint64_t *bits = NULL, last = 0;
    if (gh_mask_has_pointer(r->s, mask, words)) {
        if (size % 8 != 0) {
            return stop(r, GH_SCRIPT_RUNTIME, 0,
                        "size %" PRIu64 " of a type with pointers is no "
                        "multiple of 8", size);
        }
        if (size > (uint64_t)GH_SCRIPT_MAX_TYPE) {
            return stop(r, GH_SCRIPT_RUNTIME, 0, "type of %" PRIu64
                        " bytes is larger than %" PRId64, size,
                        (int64_t)GH_SCRIPT_MAX_TYPE);
        }
        bits = calloc(words / 64 + 1, sizeof(*bits));
        if (bits == NULL) {
            return out_of_memory(r, "a type");
        }
        for (uint64_t w = 0; m->all && w < words; w++) {
            bits[w / 64] |= (uint64_t)1 << (w % 64);
            last = w + 1;
        }
        for (size_t i = 0; i < m->n; i++) {
            const gh_mask_range *g = &r->s->range[m->first + i];
            for (uint64_t w = g->lo; w <= g->hi && w < words; w += g->step) {
                bits[w / 64] |= (uint64_t)1 << (w % 64);
                last = w + 1 > last ? w + 1 : last;
            }
        }
    }
    const gh_type_desc d = {.size = size, .align = 8, .ptrdata = last * 8,
                            .mask = bits};
    const gh_status st = gh_type_new(r->m, &d, out);
    free(bits);
    return st == GH_OK || out_of_memory(r, "a type");
}

static gh_type_entry *
type_place(gh_script_run *r, uint64_t size, uint32_t mask)
{
    const uint64_t hash =
        (size * 0x9e3779b97f4a7c15u ^ mask * 0xc2b2ae3d27d4eb4fu) >> 20;
    size_t i = (size_t)hash & (r->types_cap - 1);
    while (r->types[i].type != NULL
           && (r->types[i].size != size || r->types[i].mask != mask)) {
        i = (i + 1) & (r->types_cap - 1);
    }
    return &r->types[i];
}

// get_type finds or makes the unnamed type of a size and mask.
static bool
get_type(gh_script_run *r, uint64_t size, uint32_t mask, const gh_type **out)
{
    if (r->ntypes * 2 >= r->types_cap) {
        const size_t old_cap = r->types_cap;
        gh_type_entry *old = r->types;
        const size_t cap = old_cap == 0 ? 256 : old_cap * 2;
        gh_type_entry *table = calloc(cap, sizeof(*table));
        if (table == NULL) {
            return out_of_memory(r, "a type");
        }
        r->types = table;
        r->types_cap = cap;
        for (size_t i = 0; i < old_cap; i++) {
            if (old[i].type != NULL) {
                *type_place(r, old[i].size, old[i].mask) = old[i];
            }
        }
        free(old);
    }
    gh_type_entry *e = type_place(r, size, mask);
    if (e->type == NULL) {
        const gh_type *t;
        if (!make_type(r, size, mask, &t)) {
            return false;
        }
        *e = (gh_type_entry){size, mask, t};
        r->ntypes++;
    }
    *out = e->type;
    return true;
}

static bool
declared_type(gh_script_run *r, uint32_t i, const gh_type **out)
{
    if (r->declared[i] == NULL
        && !make_type(r, r->s->type[i].size, r->s->type[i].mask,
                      &r->declared[i])) {
        return false;
    }
    *out = r->declared[i];
    return true;
}

// ---- what is recorded -----------------------------------------------------------------------

static void
log_event(gh_script_run *r, bool end)
{
    if (r->nevent >= GH_SCRIPT_MAX_EVENTS) {
        r->events_dropped++;
        return;
    }
    gh_log_event *e = &r->event[r->nevent++];
    e->end = end;
    e->allocs = r->allocs;
    gh_pacer_get(r->heap, &e->pacer);
}

// stack_scan is what a cycle on procs Ps scans.
static uint64_t
stack_scan(uint64_t operation, int32_t procs)
{
    return procs == 1 ? operation
                      : operation + (uint64_t)(procs - 1) * STACK_SCAN_P
                            - STACK_SCAN_P_LESS;
}

static uint64_t
operation_stack(gh_op_code code)
{
    switch (code) {
    case GH_OP_GC:     return STACK_SCAN_GC;
    case GH_OP_FREEOS: return STACK_SCAN_FREEOS;
    case GH_OP_RANDOM: return STACK_SCAN_RANDOM;
    case GH_OP_PAR:    return STACK_SCAN_ALLOC + STACK_SCAN_PAR;
    default:           return STACK_SCAN_ALLOC;
    }
}

// set_root_scan: t is the type of the object that may start a cycle, NULL
// without pointers; Go has a function of its own for each kind of small object,
// with a frame of its own. (malloc.go:mallocgc)
static inline void
set_root_scan(gh_script_run *r, const gh_type *t, uint64_t size)
{
    uint64_t n = stack_scan(operation_stack(r->s->op[r->pc].code), r->s->procs);
    n += r->scavenging ? STACK_SCAN_SCAVENGER : 0;
    gh_type_desc d = {0};
    if (t != NULL) {
        gh_type_get(t, &d);
    }
    if (d.ptrdata > 0) {
        n += size <= STACK_SMALL_SCAN ? STACK_FRAME : 0;
    } else {
        n -= size < STACK_TINY ? STACK_FRAME : 0;
    }
    gh_set_root_scan(r->m, GLOBALS_SCAN, n);
}

// count_span follows how many spans there were at most, and of which classes:
// what the reference has made records for.
static void
count_span(void *arg, const gh_event *e)
{
    gh_script_run *r = arg;
    if (e->kind == GH_EV_SPAN_FREE) {
        r->spans--;
        return;
    }
    r->spans++;
    if (r->spans > r->most_spans) {
        r->most_spans = r->spans;
    }
    uint64_t *seen = &r->class_seen[e->spanclass / 64];
    const uint64_t bit = (uint64_t)1 << (e->spanclass % 64);
    r->classes += (*seen & bit) == 0;
    *seen |= bit;
}

static int64_t
records(const gh_script_run *r)
{
    const uint64_t sets = r->classes * (r->cycles > 0 ? 4 : 1);
    return (int64_t)(sets * RECORD_SET + r->most_spans * RECORD_SPAN);
}

// limit_memory sets the limit that `memlimit` asked for: over what the reference
// has mapped at the baseline, less what its records have grown by.
static void
limit_memory(gh_script_run *r)
{
    const int64_t n = r->memlimit, base = (int64_t)r->mapped;
    int64_t limit = GH_LIMIT_OFF;
    if (n < GH_LIMIT_OFF - base) {
        r->records = records(r);
        limit = base + n - r->records;
    }
    (void)gh_set_memory_limit(r->m, limit > 0 ? limit : 0);
}

static inline void
follow_records(gh_script_run *r)
{
    if (r->memlimit != GH_LIMIT_OFF && records(r) >= r->records + RECORD_STEP) {
        limit_memory(r);
    }
}

// poll looks whether cycles have run since the last look. Several between two
// looks show as one, as they do in the reference.
static inline bool
poll(gh_script_run *r)
{
    const uint64_t ended = gh_cycles(r->heap);
    const uint64_t begun = ended + (gh_gc_phase(r->heap) != GH_PHASE_OFF);
    if (begun == r->begun && ended == r->cycles) {
        follow_records(r);
        return true;
    }
    if (r->nevent < GH_SCRIPT_MAX_EVENTS
        && (!GROW(r, r->event, r->nevent, r->event_cap)
            || !GROW(r, r->event, r->nevent + 1, r->event_cap))) {
        return false;
    }
    if (begun != r->begun) {
        r->begun = begun;
        log_event(r, false);
    }
    if (ended != r->cycles) {
        r->cycles = ended;
        if (r->s->mode == GH_MODE_STW) {
            // The background sweeper has one turn before the program goes on, and
            // no other in a program that never waits; so has the scavenger, which
            // then sleeps until the next cycle, or parks if there was nothing to do.
            gh_sweep_some(r->m, SWEEP_BATCH);
            r->scavenging = gh_scavenge_some(r->m) > 0;
        }
        follow_records(r);
        log_event(r, true);
    }
    return true;
}

static void
take_snap(gh_script_run *r, gh_snap *s, uint32_t label, bool full)
{
    memset(s, 0, sizeof(*s));
    s->label = label;
    s->full = full;
    s->allocs = r->allocs;
    gh_stop_world(r->m);
    gh_pacer_get(r->heap, &s->pacer);
    if (full) {
        gh_memstats m;
        gh_read_mem_stats(r->m, &m);
        gh_pacer_get(r->heap, &s->after);
        s->gogc = gh_gogc(r->heap);
        s->total_alloc = m.total_alloc;
        s->mallocs = m.mallocs;
        s->frees = m.frees;
        s->heap_alloc = m.heap_alloc;
        s->heap_sys = m.heap_sys;
        s->heap_idle = m.heap_idle;
        s->heap_inuse = m.heap_inuse;
        s->heap_released = m.heap_released;
        s->heap_objects = m.heap_objects;
        s->stack_inuse = m.stack_inuse;
        s->stack_sys = m.stack_sys;
        s->sys = m.sys;
        s->mspan_inuse = m.mspan_inuse;
        s->mspan_sys = m.mspan_sys;
        s->mcache_inuse = m.mcache_inuse;
        s->gc_sys = m.gc_sys;
        s->other_sys = m.other_sys;
        s->next_gc = m.next_gc;
        s->num_gc = m.num_gc;
        s->num_forced_gc = m.num_forced_gc;
    }
    gh_counts_get(r->heap, &s->counts);
    gh_start_world(r->m);
}

static bool
snapshot(gh_script_run *r, uint32_t label, bool full)
{
    if (r->nsnap >= GH_SCRIPT_MAX_SNAPS) {
        return stop(r, GH_SCRIPT_RUNTIME, 0, "more than %u snapshots",
                    GH_SCRIPT_MAX_SNAPS);
    }
    if (!GROW(r, r->snap, r->nsnap, r->snap_cap)) {
        return false;
    }
    take_snap(r, &r->snap[r->nsnap++], label, full);
    return true;
}

static bool
record_addresses(gh_script_run *r, const gh_op *op, bool hashed)
{
    int64_t lo, hi;
    if (!eval(r, &op->a, &lo) || !eval(r, &op->b, &hi)) {
        return false;
    }
    if (lo < 0 || hi < lo || (uint64_t)hi > r->nslots) {
        return stop(r, GH_SCRIPT_RUNTIME, op->a.column,
                    "slots %" PRId64 "..%" PRId64 " are outside 0..%" PRIu64, lo,
                    hi, r->nslots);
    }
    if (!GROW(r, r->record, r->nrecord, r->record_cap)) {
        return false;
    }
    gh_addr_record rec = {
        .label = op->x, .hashed = hashed, .n = hi - lo,
        .gcs = gh_cycles(r->heap), .first = r->nentry,
        .hash = 0xcbf29ce484222325u, .order_hash = 0xcbf29ce484222325u,
    };
    const uint64_t page0 = UINT64_C(0xc000000000);
    uint64_t last_span = UINT64_MAX - 1;
    for (int64_t i = lo; i < hi; i++) {
        gh_addr_entry e = {.off = UINT64_MAX, .span_base = UINT64_MAX};
        gh_object o;
        uint64_t v = 0, v2 = UINT64_MAX;
        if (r->slot[i].word != 0) {
            v = e.off = gh_addr(r->heap, &r->slot[i]) - page0;
            if (gh_object_at(r->heap, &r->slot[i], &o) == GH_OK
                && o.elemsize > 0) {
                e.span_base = o.span_base - page0;
                e.index = o.index;
                e.nelems = o.nelems;
                e.spanclass = o.spanclass;
            }
            v2 = (uint64_t)e.index * 2 + 1;
            if (e.span_base != last_span) {
                rec.switches++;
                last_span = e.span_base;
                v2--;
            }
        }
        if (!hashed) {
            if (r->nentry >= GH_SCRIPT_MAX_ADDRS) {
                return stop(r, GH_SCRIPT_RUNTIME, 0,
                            "more than %zu addresses recorded",
                            GH_SCRIPT_MAX_ADDRS);
            }
            if (!GROW(r, r->entry, r->nentry, r->entry_cap)) {
                return false;
            }
            r->entry[r->nentry++] = e;
            continue;
        }
        rec.hash = (rec.hash ^ v) * 0x100000001b3u;
        rec.hash ^= rec.hash >> 29;
        rec.order_hash = (rec.order_hash ^ v2) * 0x100000001b3u;
        rec.order_hash ^= rec.order_hash >> 29;
    }
    r->record[r->nrecord++] = rec;
    return true;
}

// ---- operations -----------------------------------------------------------------------------

static bool
no_room(gh_script_run *r, uint64_t size)
{
    return stop(r, GH_SCRIPT_RUNTIME, 0,
                "the heap has no %" PRIu64 " bytes left", size);
}

static bool
allocated(gh_script_run *r, gh_status st, uint64_t size)
{
    if (st != GH_OK) {
        return no_room(r, size);
    }
    r->allocs++;
    return poll(r);
}

static bool
alloc_bytes(gh_script_run *r, gh_slot *slot, uint64_t size)
{
    set_root_scan(r, NULL, size);
    return allocated(r, gh_alloc(r->m, slot, size), size);
}

static bool
alloc_typed(gh_script_run *r, gh_slot *slot, const gh_type *t, uint64_t n,
            uint64_t size)
{
    set_root_scan(r, t, size);
    return allocated(r, gh_new(r->m, slot, t, n), size);
}

static bool
store(gh_script_run *r, const gh_slot *obj, int64_t word, const gh_slot *src,
      uint32_t column)
{
    if (obj->word == 0) {
        return stop(r, GH_SCRIPT_RUNTIME, column,
                    "store into a slot that holds nil");
    }
    if (word < 0 || gh_store_any(r->m, obj, (uint64_t)word, src) != GH_OK) {
        return stop(r, GH_SCRIPT_RUNTIME, column,
                    "word %" PRId64 " lies outside the object", word);
    }
    return true;
}

static bool
set_finalizer(gh_script_run *r, const gh_slot *slot, uint32_t column)
{
    bool set;
    switch (gh_finalizer_set(r->m, slot, true, 0, &set)) {
    case GH_OK:
        return true;
    case GH_ERR_STATE:
        return stop(r, GH_SCRIPT_RUNTIME, column,
                    "the object has a finalizer already");
    case GH_ERR_NOMEM:
        return out_of_memory(r, "a finalizer");
    default:
        return stop(r, GH_SCRIPT_RUNTIME, column, "fin of a slot that holds nil");
    }
}

// run_finalizers lets those that wait do their nothing: the objects are let go.
static void
run_finalizers(gh_script_run *r)
{
    if (gh_call_count(r->heap) == 0) {
        return;
    }
    gh_call c;
    (void)gh_call_gather(r->heap);
    while (gh_call_take(r->heap, &c)) {
        gh_handle_drop(r->heap, c.handle);
    }
}

static bool
load(gh_script_run *r, const gh_op *op)
{
    gh_slot *dst = NULL, *obj = NULL;
    int64_t word;
    if (!eval_slot(r, &op->a, &dst) || !eval_slot(r, &op->b, &obj)
        || !eval(r, &op->c, &word)) {
        return false;
    }
    if (obj->word == 0) {
        return stop(r, GH_SCRIPT_RUNTIME, op->b.column,
                    "load from a slot that holds nil");
    }
    const gh_status st =
        word < 0 ? GH_ERR_INVAL : gh_load_any(r->m, dst, obj, (uint64_t)word);
    if (st == GH_ERR_BADPTR) {
        return stop(r, GH_SCRIPT_RUNTIME, op->c.column,
                    "word %" PRId64 " holds no live object", word);
    }
    return st == GH_OK
           || stop(r, GH_SCRIPT_RUNTIME, op->c.column,
                   "word %" PRId64 " lies outside the object", word);
}

static uint64_t
draw_size(const gh_script *s, const gh_dist *d, uint64_t x)
{
    switch (d->kind) {
    case GH_DIST_UNIFORM: return d->a + x % d->n;
    case GH_DIST_LOG: {
        const uint64_t k = d->a + x % d->n;
        return ((uint64_t)1 << k) + (x >> 32) % ((uint64_t)1 << k);
    }
    default: return s->list[d->a + x % d->n];
    }
}

static bool
random_round(gh_script_run *r, const gh_op *op)
{
    const gh_random *q = &r->s->random[op->x];
    uint64_t d[5];
    for (int i = 0; i < 5; i++) {
        d[i] = gh_splitmix64(&r->state);
    }
    gh_slot *slot = &r->slot[r->r_base + d[0] % r->r_live];
    uint64_t size = draw_size(r->s, &q->dist, d[1]);
    if (size > (uint64_t)GH_SCRIPT_MAX_SIZE) {
        return stop(r, GH_SCRIPT_RUNTIME, 0, "size %" PRIu64 " is too large",
                    size);
    }
    if (d[2] % 100 >= q->scan_percent) {
        return alloc_bytes(r, slot, size);
    }
    size = (size + 7) & ~(uint64_t)7;
    if (size < 8) {
        size = 8;
    }
    const gh_type *t;
    if (!get_type(r, size, q->mask, &t)) {
        return false;
    }
    if (d[3] % 100 >= q->link_percent) {
        return alloc_typed(r, slot, t, 1, size);
    }
    // Linked before the slot takes it: the link may come from this very slot.
    gh_slot *fresh = &r->slot[r->nslots];
    set_root_scan(r, t, size);
    const gh_status st = gh_new(r->m, fresh, t, 1);
    if (st == GH_OK) {
        (void)store(r, fresh, 0, &r->slot[r->r_base + d[4] % r->r_live], 0);
        gh_set(r->m, slot, fresh);
        gh_clear(r->m, fresh);
    }
    return allocated(r, st, size);
}

static bool
randlink_round(gh_script_run *r)
{
    const uint64_t a = gh_splitmix64(&r->state);
    const uint64_t f = gh_splitmix64(&r->state);
    const uint64_t b = gh_splitmix64(&r->state);
    const gh_slot *obj = &r->slot[r->r_base + a % r->r_live];
    return obj->word == 0
           || store(r, obj, (int64_t)(f % r->r_words),
                    &r->slot[r->r_base + b % r->r_live], 0);
}

// begin_rounds evaluates the operands of an operation of many rounds.
static bool
begin_rounds(gh_script_run *r, const gh_op *op)
{
    const gh_random *q = &r->s->random[op->x];
    int64_t seed, base, live, words = 1;
    if (!eval(r, &op->a, &seed) || !eval(r, &op->b, &r->rounds)
        || !eval(r, &q->base, &base) || !eval(r, &q->live, &live)
        || (op->code == GH_OP_RANDLINK && !eval(r, &q->words, &words))) {
        return false;
    }
    const int64_t span = op->code == GH_OP_RANDDROP ? r->rounds : live;
    if (r->rounds > 0
        && (base < 0 || span < 1 || words < 1 || base > (int64_t)r->nslots
            || span > (int64_t)r->nslots - base)) {
        return stop(r, GH_SCRIPT_RUNTIME, q->base.column,
                    "slots %" PRId64 " and %" PRId64
                    " more are outside 0..%" PRIu64, base, span, r->nslots);
    }
    r->state = (uint64_t)seed;
    r->r_base = (uint64_t)base;
    r->r_live = (uint64_t)live;
    r->r_words = (uint64_t)words;
    r->round = 0;
    r->in_rounds = true;
    return true;
}

// begin_par: the workers take turns of one allocation each, worker i on P
// i % procs. Of what they allocate each one holds the last.
static bool
begin_par(gh_script_run *r, const gh_op *op)
{
    int64_t workers, each;
    if (!eval(r, &op->a, &workers) || !eval(r, &op->b, &each)
        || !eval_size(r, &op->c, &r->r_size)) {
        return false;
    }
    if (workers > GH_SCRIPT_MAX_WORKERS) {
        return stop(r, GH_SCRIPT_RUNTIME, op->a.column,
                    "%" PRId64 " workers are more than %" PRId64, workers,
                    (int64_t)GH_SCRIPT_MAX_WORKERS);
    }
    workers = workers > 0 && each > 0 ? workers : 0;
    if (workers > 0 && each > INT64_MAX / workers) {
        return stop(r, GH_SCRIPT_RUNTIME, op->b.column,
                    "%" PRId64 " times %" PRId64 " allocations are too many",
                    workers, each);
    }
    if (workers > 0
        && gh_slots_new(r->heap, (size_t)workers, &r->workers) != GH_OK) {
        return out_of_memory(r, "the workers");
    }
    r->r_workers = (uint64_t)workers;
    r->rounds = workers > 0 ? workers * each : 0;
    r->round = 0;
    r->in_rounds = true;
    return true;
}

static bool
par_round(gh_script_run *r)
{
    const uint64_t worker = (uint64_t)r->round % r->r_workers;
    const int32_t p = (int32_t)(worker % (uint64_t)r->s->procs);
    gh_slot *slot = gh_slots_at(r->workers, worker);
    if (gh_switch_p(&r->m, p) != GH_OK) {
        return stop(r, GH_SCRIPT_RUNTIME, 0, "no P %" PRId32, p);
    }
    set_root_scan(r, NULL, r->r_size);
    if (gh_alloc(r->m, slot, r->r_size) != GH_OK) {
        return no_room(r, r->r_size);
    }
    r->allocs++;
    return true;
}

// par_thread is one worker of `par` where those are threads.
typedef struct par_thread {
    gh_script_run *r;
    gh_slot *slot;
    int64_t n, done;
    pthread_t id;
    bool started;
} par_thread;

static void *
par_main(void *arg)
{
    par_thread *t = arg;
    gh_mut *m;
    if (gh_enter(t->r->heap, GH_ANY_P, &m) != GH_OK) {
        return NULL;
    }
    while (t->done < t->n && gh_alloc(m, t->slot, t->r->r_size) == GH_OK) {
        t->done++;
        (void)gh_poll(m);
    }
    gh_leave(m);
    return NULL;
}

// par_at_once runs all workers to their end, each a thread on any P; this one
// has none meanwhile. A worker that no thread can be made for runs here.
static bool
par_at_once(gh_script_run *r)
{
    const uint64_t n = r->r_workers;
    par_thread *t = n == 0 ? NULL : calloc(n, sizeof(*t));
    if (n > 0 && t == NULL) {
        return out_of_memory(r, "the workers");
    }
    set_root_scan(r, NULL, r->r_size);
    gh_leave(r->m);
    for (uint64_t i = 0; i < n; i++) {
        t[i] = (par_thread){.r = r, .slot = gh_slots_at(r->workers, i),
                            .n = r->rounds / (int64_t)n};
        t[i].started = pthread_create(&t[i].id, NULL, par_main, &t[i]) == 0;
    }
    int64_t done = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (t[i].started) {
            (void)pthread_join(t[i].id, NULL);
        } else {
            (void)par_main(&t[i]);
        }
        done += t[i].done;
    }
    free(t);
    if (gh_enter(r->heap, r->p, &r->m) != GH_OK) {
        return false;
    }
    r->allocs += (uint64_t)done;
    r->done += (uint64_t)done;
    r->round = r->rounds;
    return done == r->rounds || no_room(r, r->r_size);
}

// end_par: cycles are looked for when all workers have ended, as the reference
// does.
static bool
end_par(gh_script_run *r)
{
    gh_slots_free(r->workers);
    r->workers = NULL;
    return gh_switch_p(&r->m, r->p) == GH_OK && poll(r);
}

// rounds runs at most *budget rounds of the operation.
static bool
rounds(gh_script_run *r, const gh_op *op, uint64_t *budget)
{
    const bool par = op->code == GH_OP_PAR;
    if (!r->in_rounds && !(par ? begin_par(r, op) : begin_rounds(r, op))) {
        return false;
    }
    if (par && r->threads && !par_at_once(r)) {
        return false;
    }
    for (; r->round < r->rounds && *budget > 0; r->round++, --*budget) {
        bool ok = true;
        if (par) {
            ok = par_round(r);
        } else if (op->code == GH_OP_RANDOM) {
            ok = random_round(r, op);
        } else if (op->code == GH_OP_RANDLINK) {
            ok = randlink_round(r);
        } else if (gh_splitmix64(&r->state) % 100 < r->r_live) {
            gh_clear(r->m, &r->slot[r->r_base + (uint64_t)r->round]);
        }
        if (!ok) {
            return false;
        }
        r->done++;
    }
    r->in_rounds = r->round < r->rounds;
    return !par || r->in_rounds || end_par(r);
}

static bool
set_memlimit(gh_script_run *r, int64_t n, uint32_t column)
{
    if (n < -(int64_t)r->mapped) {
        return stop(r, GH_SCRIPT_RUNTIME, column,
                    "memlimit %" PRId64 " is below -%" PRIu64
                    ", all that is mapped at the start", n, r->mapped);
    }
    r->memlimit = n;
    limit_memory(r);
    return poll(r);
}

static bool
cycle(gh_script_run *r, gh_status st)
{
    if (st != GH_OK) {
        return out_of_memory(r, "a cycle");
    }
    return poll(r);
}

// execute carries out one operation and leaves pc at the next one less 1.
static bool
execute(gh_script_run *r, const gh_op *op, uint64_t *budget)
{
    gh_slot *slot = NULL, *src = NULL;
    const gh_type *t;
    uint64_t size = 0;
    int64_t n;
    switch (op->code) {
    case GH_OP_ALLOC:
        return eval_slot(r, &op->a, &slot) && eval_size(r, &op->b, &size)
               && alloc_bytes(r, slot, size);
    case GH_OP_ALLOC_PTRS: {
        if (!eval_slot(r, &op->a, &slot) || !eval_size(r, &op->b, &size)) {
            return false;
        }
        gh_type_entry *c = &r->cache[op->cache];
        if (c->type == NULL || c->size != size) {
            if (!get_type(r, size, op->mask, &t)) {
                return false;
            }
            *c = (gh_type_entry){size, op->mask, t};
        }
        return alloc_typed(r, slot, c->type, 1, size);
    }
    case GH_OP_ALLOC_TYPE:
        return eval_slot(r, &op->a, &slot) && declared_type(r, op->x, &t)
               && alloc_typed(r, slot, t, 1, r->s->type[op->x].size);
    case GH_OP_ALLOC_ARRAY: {
        if (!eval_slot(r, &op->a, &slot) || !eval(r, &op->b, &n)
            || !declared_type(r, op->x, &t)) {
            return false;
        }
        const uint64_t each = r->s->type[op->x].size;
        if (n < 0 || (each > 0 && (uint64_t)n > (uint64_t)GH_SCRIPT_MAX_SIZE / each)) {
            return stop(r, GH_SCRIPT_RUNTIME, op->b.column,
                        "%" PRId64 " elements of %" PRIu64
                        " bytes are too many", n, each);
        }
        return alloc_typed(r, slot, t, (uint64_t)n, each * (uint64_t)n);
    }
    case GH_OP_DROP:
        if (!eval_slot(r, &op->a, &slot)) {
            return false;
        }
        gh_clear(r->m, slot);
        return true;
    case GH_OP_FIN:
        return eval_slot(r, &op->a, &slot)
               && set_finalizer(r, slot, op->a.column);
    case GH_OP_STORE:
        return eval_slot(r, &op->a, &slot) && eval(r, &op->b, &n)
               && eval_slot(r, &op->c, &src)
               && store(r, slot, n, src, op->b.column);
    case GH_OP_STORE_NIL:
        return eval_slot(r, &op->a, &slot) && eval(r, &op->b, &n)
               && store(r, slot, n, NULL, op->b.column);
    case GH_OP_LOAD:
        return load(r, op);
    case GH_OP_REPEAT:
        r->var[op->var] = 0;
        if (!eval(r, &op->a, &r->bound[op->var])) {
            return false;
        }
        if (r->bound[op->var] <= 0) {
            r->pc = op->x;
        }
        return true;
    case GH_OP_END:
        if (++r->var[op->var] < r->bound[op->var]) {
            r->pc = op->x;
        }
        return true;
    case GH_OP_GC:
        set_root_scan(r, NULL, STACK_TINY);
        return cycle(r, gh_gc(r->m));
    case GH_OP_FREEOS:
        set_root_scan(r, NULL, STACK_TINY);
        return cycle(r, gh_free_os_memory(r->m));
    case GH_OP_GOGC:
        if (!eval(r, &op->a, &n)) {
            return false;
        }
        if (n > INT32_MAX) {
            return stop(r, GH_SCRIPT_RUNTIME, op->a.column,
                        "gogc %" PRId64 " is larger than %d", n, INT32_MAX);
        }
        (void)gh_set_gogc(r->m, n < 0 ? -1 : (int32_t)n);
        return poll(r);
    case GH_OP_MEMLIMIT:
        return eval(r, &op->a, &n) && set_memlimit(r, n, op->a.column);
    case GH_OP_STATS:
    case GH_OP_PEEK:
        return snapshot(r, op->x, op->code == GH_OP_STATS);
    case GH_OP_ADDR:
    case GH_OP_ADDRHASH:
        return record_addresses(r, op, op->code == GH_OP_ADDRHASH);
    case GH_OP_ONP:
        if (!eval(r, &op->a, &n)) {
            return false;
        }
        if (n < 0 || n >= r->s->procs) {
            return stop(r, GH_SCRIPT_RUNTIME, op->a.column,
                        "P %" PRId64 " is outside 0..%d", n, r->s->procs - 1);
        }
        r->p = (int32_t)n;
        return gh_switch_p(&r->m, r->p) == GH_OK;
    case GH_OP_RANDOM:
    case GH_OP_RANDLINK:
    case GH_OP_RANDDROP:
    case GH_OP_PAR:
        return rounds(r, op, budget);
    }
    return false;
}

gh_script_status
gh_script_run_step(gh_script_run *r, uint64_t max_ops, bool *finished,
                   gh_script_error *err)
{
    *finished = false;
    if (r->status == GH_SCRIPT_OK) {
        if (gh_enter(r->heap, r->p, &r->m) != GH_OK) {
            return GH_SCRIPT_RUNTIME;
        }
        uint64_t budget = max_ops;
        while (r->pc < r->s->nop && budget > 0) {
            const gh_op *op = &r->s->op[r->pc];
            if (!execute(r, op, &budget)) {
                break;
            }
            if (r->threads) {
                (void)gh_poll(r->m);
            }
            run_finalizers(r);
            if (r->in_rounds) {
                continue;  // the budget is used up
            }
            r->pc++;
            if (!gh_op_has_rounds(op->code)) {
                r->done++;
            }
            budget -= budget > 0;
        }
        *finished = r->pc >= r->s->nop;
        gh_leave(r->m);
        r->m = NULL;
    }
    if (r->status != GH_SCRIPT_OK && err != NULL) {
        *err = r->error;
    }
    return r->status;
}

// ---- birth and end -----------------------------------------------------------------------------

static bool
has_par(const gh_script *s)
{
    for (uint32_t i = 0; i < s->nop; i++) {
        if (s->op[i].code == GH_OP_PAR) {
            return true;
        }
    }
    return false;
}

gh_script_status
gh_script_run_new(const gh_script *s, gh_script_run **out, gh_script_error *err)
{
    return gh_script_run_new_on(s, NULL, NULL, false, out, err);
}

gh_script_status
gh_script_run_new_on(const gh_script *s, const gh_mem_ops *ops, void *ctx,
                     bool threads, gh_script_run **out, gh_script_error *err)
{
    memset(err, 0, sizeof(*err));
    gh_options o;
    gh_options_init(&o);
    o.gogc = -1;
    o.procs = s->procs;
    o.mode = s->mode;
    o.policy.eager_sweep = s->eager_sweep;
    threads = threads && (strcmp(s->gcmode, "concurrent") == 0 || has_par(s));
    if (threads) {
        o.mode = GH_MODE_CONCURRENT;
        o.policy.eager_sweep = false;
    } else if (!s->eager_sweep && s->mode == GH_MODE_STW) {
        // What is swept when depends on how the objects of a page were marked.
        o.policy.marker = GH_MARKER_GREENTEA;
    }
    o.non_heap = NON_HEAP;
    o.globals_scan = GLOBALS_SCAN;
    o.stack_scan = stack_scan(STACK_SCAN_START, s->procs);
    o.base_live = gh_script_base_live(s);
    o.base_scan = BASE_SCAN + (uint64_t)s->slots * 8;
    o.model_workbufs = true;
    o.track_types = false;
    o.mem_ops = ops;
    o.mem_ctx = ctx;
    gh_script_run *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        goto fail;
    }
    r->s = s;
    r->threads = threads;
    r->var = calloc(s->vars.n + 1, sizeof(*r->var));
    r->bound = calloc(s->vars.n + 1, sizeof(*r->bound));
    r->cache = calloc(s->ncache + 1, sizeof(*r->cache));
    r->declared = calloc(s->ntype + 1, sizeof(*r->declared));
    if (r->var == NULL || r->bound == NULL || r->cache == NULL
        || r->declared == NULL || gh_heap_new(&o, &r->heap) != GH_OK
        || gh_slots_new(r->heap, s->slots + 1, &r->block) != GH_OK) {
        goto fail;
    }
    r->slot = gh_slots_at(r->block, 0);
    r->nslots = s->slots;
    if (gh_enter(r->heap, 0, &r->m) != GH_OK) {
        goto fail;
    }
    take_snap(r, &r->base, 0, true);
    r->mapped = NON_HEAP + r->base.pacer.heap_inuse + r->base.pacer.heap_free;
    r->memlimit = GH_LIMIT_OFF;
    if (s->limited) {
        gh_listen(r->m, 1u << GH_EV_SPAN_ALLOC | 1u << GH_EV_SPAN_FREE,
                  count_span, r);
    }
    gh_leave(r->m);
    r->m = NULL;
    *out = r;
    return GH_SCRIPT_OK;

fail:
    gh_script_run_free(r);
    snprintf(err->message, sizeof(err->message),
             "out of memory for the script's heap");
    return GH_SCRIPT_NOMEM;
}

uint64_t
gh_script_run_done(const gh_script_run *r)
{
    return r->done;
}

gh_heap *
gh_script_run_heap(gh_script_run *r)
{
    return r->heap;
}

void
gh_script_run_free(gh_script_run *r)
{
    if (r == NULL) {
        return;
    }
    gh_slots_free(r->workers);
    gh_slots_free(r->block);
    gh_heap_free(r->heap);
    free(r->var);
    free(r->bound);
    free(r->cache);
    free(r->declared);
    free(r->types);
    free(r->snap);
    free(r->record);
    free(r->entry);
    free(r->event);
    free(r);
}
