// gotrace_heap.c: from memory events to columns. See gotrace.h.
//
// An event names an object by its address. The span that it lies in says how
// large its slot is and where the slot begins, since a type header moves an object
// 8 bytes up. In a slot stands the number of its object, so a free, which comes
// from the sweeper, finds the object that it ends.
//
// Follows the converter that made the first GHTRACE1 files, repairs included.

#include "gotrace.h"

#include <string.h>

#include "gotrace_int.h"

#define PAGE_BYTES  8192u
#define GRANULE     8u
#define MAX_OBJECTS (UINT32_MAX - 1)
#define MAX_PAGES   ((uint64_t)1 << 28)  // 2 TiB in one object
#define NUM_CLASSES 136u                 // span classes
#define TINY_CLASS  5u                   // 16 bytes, no pointers
#define MAX_CLASS_PAGES 16u              // Go's classes have at most 10

static const char *const op_names[GT_NUM_OPS] = {
    "alloc", "tiny", "free", "exist", "gc_begin", "gc_end", "heap_goal",
    "heap_live", "gomaxprocs", "span_alloc", "span_free", "span_exist",
    "stack_alloc", "stack_free", "stack_exist", "stw_begin", "stw_end",
};

static const gh_gotrace_column columns[NUM_COLUMNS] = {
    [C_OP] = {"ev.op", "u8"},
    [C_T] = {"ev.t", "delta-svarint"},
    [C_P] = {"ev.p", "u8"},
    [C_SPANCLASS] = {"obj.spanclass", "u8"},
    [C_PAGES] = {"obj.pages", "uvarint"},
    [C_TYPE] = {"obj.type", "uvarint"},
    [C_G] = {"obj.g", "delta-svarint"},
    [C_ADDR] = {"obj.addr", "delta-svarint"},
    [C_TINY_BACK] = {"tiny.back", "uvarint"},
    [C_TINY_TYPE] = {"tiny.type", "uvarint"},
    [C_FREE_BACK] = {"free.back", "uvarint"},
    [C_SPAN_ID] = {"span.id", "delta-svarint"},
    [C_SPAN_PAGES] = {"span.pages", "uvarint"},
    [C_SPAN_CLASS] = {"span.spanclass", "uvarint"},
    [C_STACK_ID] = {"stack.id", "delta-svarint"},
    [C_STACK_ORDER] = {"stack.order", "uvarint"},
    [C_VAL] = {"val", "uvarint"},
};

static const char *const repair_names[GT_NUM_REPAIRS] = {
    [GT_ALLOC_OUTSIDE] = "alloc_outside_heap_span",
    [GT_ALLOC_OVER_LIVE] = "alloc_over_live",
    [GT_EXIST_TWICE] = "exist_twice",
    [GT_FREE_OUTSIDE] = "free_outside_heap_span",
    [GT_FREE_NOT_LIVE] = "free_not_live",
    [GT_LIVE_AT_SPAN_FREE] = "object_live_at_span_free",
    [GT_SPAN_OVER_LIVE] = "span_alloc_over_live_span",
    [GT_SPAN_FREE_UNKNOWN] = "span_free_unknown",
    [GT_TYPE_UNKNOWN] = "type_unknown",
    [GT_CUT_BYTES] = "cut_bytes",
};

// ---- types ------------------------------------------------------------------------

static bool
damaged(gh_gotrace *g, const gt_batch *b, const uint8_t *p)
{
    g->at = b->offset + (uint64_t)(p - b->data);
    return gt_bad(g, "the table of types is damaged");
}

static uint64_t
hash_type(uint64_t addr, const uint8_t *name, uint64_t len)
{
    uint64_t h = addr * 0x9e3779b97f4a7c15u + 0xcbf29ce484222325u;
    for (uint64_t i = 0; i < len; i++) {
        h = (h ^ name[i]) * 0x100000001b3u;
    }
    return h;
}

// find_type is the number of a type in our table, where each (address, name)
// stands once; 0: the reading has ended.
static size_t
find_type(gh_gotrace *g, const gt_type *want, const uint8_t *name)
{
    uint64_t h = hash_type(want->addr, name, want->len);
    const gh_idval *v;
    while ((v = gh_idmap_get(&g->type_by_hash, h)) != NULL) {
        const gt_type *t = &g->type[v->a];
        if (t->addr == want->addr && t->len == want->len
            && memcmp(t->name, name, want->len) == 0) {
            return (size_t)v->a;
        }
        h++;  // another type of the same hash
    }
    if (!gt_grow(g, (void **)&g->type, g->ntypes, &g->type_cap,
                 sizeof(*g->type)) || !gt_hold(g, want->len + 1)) {
        return 0;
    }
    char *text = malloc(want->len + 1);
    gh_idval *put = text == NULL ? NULL : gt_put(g, &g->type_by_hash, h);
    if (put == NULL) {
        free(text);
        if (g->ended == GH_GOTRACE_BUDGET) {
            gt_no_memory(g);
        }
        return 0;
    }
    memcpy(text, name, want->len);
    put->a = g->ntypes;
    g->type[g->ntypes] = *want;
    g->type[g->ntypes].name = text;
    return g->ntypes++;
}

static bool
read_types(gh_gotrace *g, const gt_batch *b)
{
    const uint8_t *p = b->data + 1, *const end = b->data + b->len;
    while (p < end) {
        uint64_t id, len;
        gt_type t = {0};
        if (!gt_uvarint(&p, end, &id) || !gt_uvarint(&p, end, &t.addr)
            || !gt_uvarint(&p, end, &t.size)
            || !gt_uvarint(&p, end, &t.ptrdata) || !gt_uvarint(&p, end, &len)
            || len > (uint64_t)(end - p)) {
            return damaged(g, b, p);
        }
        t.len = (size_t)len;
        const size_t i = find_type(g, &t, p);
        gh_idval *v = i == 0 ? NULL : gt_put(g, &g->type_of, id);
        if (v == NULL) {
            return false;
        }
        v->a = i;
        p += len;
    }
    return true;
}

static bool
read_info(gh_gotrace *g, const gt_batch *b)
{
    const uint8_t *p = b->data + 1, *const end = b->data + b->len;
    gh_gotrace_summary *s = &g->sum;
    if (!gt_uvarint(&p, end, &s->min_heap_addr)
        || !gt_uvarint(&p, end, &s->page_size)
        || !gt_uvarint(&p, end, &s->heap_align)
        || !gt_uvarint(&p, end, &s->stack_align)) {
        return damaged(g, b, p);
    }
    if (s->page_size != PAGE_BYTES || s->heap_align != GRANULE) {
        g->at = b->offset;
        return gt_bad(g, "recorded with pages of %llu and objects at multiples of "
                      "%llu bytes; read are %u and %u",
                      (unsigned long long)s->page_size,
                      (unsigned long long)s->heap_align, PAGE_BYTES, GRANULE);
    }
    g->info = true;
    return true;
}

bool
gt_heap_types(gh_gotrace *g)
{
    if (g->types.first == NULL) {
        return true;
    }
    gt_release(g, (uint64_t)g->type_of.cap * sizeof(*g->type_of.slot));
    gh_idmap_fini(&g->type_of);
    for (const gt_batch *b = g->types.first; b != NULL; b = b->next) {
        const uint8_t kind = b->len > 0 ? b->data[0] : 255;
        if ((kind == 0 && !read_types(g, b)) || (kind == 1 && !read_info(g, b))) {
            return false;
        }
    }
    return true;
}

// type_number translates this generation's number of a type.
static uint64_t
type_number(gh_gotrace *g, uint64_t id)
{
    if (id == 0) {
        return 0;
    }
    const gh_idval *v = gh_idmap_get(&g->type_of, id);
    if (v == NULL) {
        g->repairs[GT_TYPE_UNKNOWN]++;
        return 0;
    }
    return v->a;
}

// ---- events out ---------------------------------------------------------------------

static void
emit(gh_gotrace *g, gt_op op, uint64_t p)
{
    g->sum.counts[op]++;
    gh_colout_u8(&g->col[C_OP], (uint8_t)op);
    gh_colout_delta(&g->col[C_T], (uint64_t)(g->last_time - g->start_time));
    gh_colout_u8(&g->col[C_P], p > 254 ? 255 : (uint8_t)p);
}

static void
emit_free(gh_gotrace *g, const gt_span *s, uint32_t slot, uint64_t p)
{
    emit(g, GT_FREE, p);
    gh_colout_uvarint(&g->col[C_FREE_BACK], g->nobj - s->live[slot]);
    const uint64_t size = s->size != 0 ? s->size : s->pages * PAGE_BYTES;
    g->sum.end_bytes -= size;
    g->sum.free_bytes += size;
    s->live[slot] = 0;
}

// ---- spans ----------------------------------------------------------------------------

static gt_span *
span_at(const gh_gotrace *g, uint64_t page)
{
    const gh_idval *v = gh_idmap_get(&g->pages, page);
    return v == NULL ? NULL : (gt_span *)(uintptr_t)v->a;
}

// indexed is how many of a span's pages stand in the table. A large object has
// the address of its span, and other spans hold no objects.
static uint64_t
indexed(const gt_span *s)
{
    return s->heap && s->size != 0 ? s->pages : 1;
}

// drop_span forgets a span; what still lives in it ends here.
static void
drop_span(gh_gotrace *g, gt_span *s, uint64_t p)
{
    for (uint32_t i = 0; s->live != NULL && i < s->nslots; i++) {
        if (s->live[i] != 0) {
            g->repairs[GT_LIVE_AT_SPAN_FREE]++;
            emit_free(g, s, i, p);
        }
    }
    const uint64_t n = indexed(s);
    for (uint64_t i = 0; i < n; i++) {
        if (span_at(g, s->id + i) == s) {
            gh_idmap_delete(&g->pages, s->id + i);
        }
    }
    if (s->live != NULL) {
        gt_release(g, (uint64_t)s->nslots * sizeof(*s->live));
        free(s->live);
    }
    gt_release(g, sizeof(*s));
    free(s);
}

static bool
span_event(gh_gotrace *g, const gt_event *ev, uint64_t p)
{
    const uint64_t id = ev->args[0], pages = ev->args[1], kind = ev->args[2];
    const bool heap = (kind & 1) == 0;
    const uint64_t spanclass = kind >> 1;
    if (pages == 0 || pages > MAX_PAGES || id > UINT64_MAX / PAGE_BYTES - pages
        || (heap && spanclass >= NUM_CLASSES)
        || (heap && spanclass >> 1 != 0 && pages > MAX_CLASS_PAGES)) {
        return gt_bad(g, "a span of class %llu with %llu pages is impossible",
                      (unsigned long long)kind, (unsigned long long)pages);
    }
    if (!gt_hold(g, sizeof(gt_span))) {
        return false;
    }
    gt_span *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return gt_no_memory(g);
    }
    s->id = id;
    s->pages = pages;
    s->heap = heap;
    s->spanclass = (uint8_t)spanclass;
    s->nslots = 1;
    if (heap && spanclass >> 1 != 0) {
        s->size = gh_size_class_get((uint32_t)spanclass >> 1).size;
        s->nslots = (uint32_t)(pages * PAGE_BYTES / s->size);
    }
    const uint64_t n = indexed(s);
    for (uint64_t i = 0; i < n; i++) {
        gt_span *old = span_at(g, id + i);
        if (old != NULL) {
            g->repairs[GT_SPAN_OVER_LIVE]++;
            drop_span(g, old, p);
        }
        gh_idval *v = gt_put(g, &g->pages, id + i);
        if (v == NULL) {
            if (i == 0) {
                free(s);
            }
            return false;
        }
        v->a = (uint64_t)(uintptr_t)s;
    }
    emit(g, ev->type == EV_SPAN ? GT_SPAN_EXIST : GT_SPAN_ALLOC, p);
    gh_colout_delta(&g->col[C_SPAN_ID], id);
    gh_colout_uvarint(&g->col[C_SPAN_PAGES], pages);
    gh_colout_uvarint(&g->col[C_SPAN_CLASS], heap ? spanclass : 255);
    return true;
}

static bool
span_free(gh_gotrace *g, const gt_event *ev, uint64_t p)
{
    gt_span *s = span_at(g, ev->args[0]);
    if (s == NULL || s->id != ev->args[0]) {
        g->repairs[GT_SPAN_FREE_UNKNOWN]++;
        return true;
    }
    drop_span(g, s, p);
    emit(g, GT_SPAN_FREE, p);
    gh_colout_delta(&g->col[C_SPAN_ID], ev->args[0]);
    gh_colout_uvarint(&g->col[C_SPAN_PAGES], 0);
    gh_colout_uvarint(&g->col[C_SPAN_CLASS], 0);
    return true;
}

// ---- objects ----------------------------------------------------------------------------

// slot_of finds the slot that an address, in granules, lies in.
static gt_span *
slot_of(const gh_gotrace *g, uint64_t address, uint32_t *slot)
{
    gt_span *s = span_at(g, address / (PAGE_BYTES / GRANULE));
    if (s == NULL || !s->heap) {
        return NULL;
    }
    *slot = 0;
    if (s->size != 0) {
        const uint64_t i =
            (address * GRANULE - s->id * PAGE_BYTES) / s->size;
        if (i >= s->nslots) {
            return NULL;
        }
        *slot = (uint32_t)i;
    }
    return s;
}

static bool
new_object(gh_gotrace *g, gt_op op, gt_span *s, uint32_t slot, uint64_t type,
           uint64_t p, uint64_t goroutine)
{
    if (g->nobj == MAX_OBJECTS) {
        return gt_bad(g, "more than %u objects", (unsigned)MAX_OBJECTS);
    }
    if (s->live == NULL) {
        if (!gt_hold(g, (uint64_t)s->nslots * sizeof(*s->live))) {
            return false;
        }
        s->live = calloc(s->nslots, sizeof(*s->live));
        if (s->live == NULL) {
            return gt_no_memory(g);
        }
    }
    emit(g, op, p);
    gh_colout_u8(&g->col[C_SPANCLASS], s->spanclass);
    uint64_t size = s->size;
    if (size == 0) {
        gh_colout_uvarint(&g->col[C_PAGES], s->pages);
        size = s->pages * PAGE_BYTES;
    }
    gh_colout_uvarint(&g->col[C_TYPE], type_number(g, type));
    gh_colout_delta(&g->col[C_G], goroutine);
    gh_colout_delta(&g->col[C_ADDR], s->id * (PAGE_BYTES / GRANULE)
                                         + slot * (size / GRANULE));
    s->live[slot] = ++g->nobj;
    gh_gotrace_summary *sum = &g->sum;
    sum->end_bytes += size;
    if (op == GT_ALLOC) {
        sum->alloc_bytes += size;
    } else {
        sum->exist_bytes += size;
    }
    if (sum->end_bytes > sum->peak_bytes) {
        sum->peak_bytes = sum->end_bytes;
    }
    return true;
}

static bool
object_event(gh_gotrace *g, const gt_event *ev, uint64_t p, uint64_t goroutine)
{
    uint32_t slot;
    gt_span *s = slot_of(g, ev->args[0], &slot);
    if (s == NULL) {
        g->repairs[GT_ALLOC_OUTSIDE]++;
        return true;
    }
    const bool taken = s->live != NULL && s->live[slot] != 0;
    if (ev->type == EV_OBJECT) {
        if (taken) {
            g->repairs[GT_EXIST_TWICE]++;
            return true;
        }
        return new_object(g, GT_EXIST, s, slot, ev->args[1], p, goroutine);
    }
    if (taken && s->spanclass == TINY_CLASS) {
        // A tiny block that is being filled.
        emit(g, GT_TINY, p);
        gh_colout_uvarint(&g->col[C_TINY_BACK], g->nobj - s->live[slot]);
        gh_colout_uvarint(&g->col[C_TINY_TYPE], type_number(g, ev->args[1]));
        return true;
    }
    if (taken) {
        // The free of the object before comes late, on another P.
        g->repairs[GT_ALLOC_OVER_LIVE]++;
        emit_free(g, s, slot, p);
    }
    return new_object(g, GT_ALLOC, s, slot, ev->args[1], p, goroutine);
}

static bool
object_free(gh_gotrace *g, const gt_event *ev, uint64_t p)
{
    uint32_t slot;
    const gt_span *s = slot_of(g, ev->args[0], &slot);
    if (s == NULL) {
        g->repairs[GT_FREE_OUTSIDE]++;
    } else if (s->live == NULL || s->live[slot] == 0) {
        g->repairs[GT_FREE_NOT_LIVE]++;
    } else {
        emit_free(g, s, slot, p);
    }
    return true;
}

// ---- the rest ---------------------------------------------------------------------------

static void
value(gh_gotrace *g, gt_op op, uint64_t v, uint64_t p)
{
    emit(g, op, p);
    gh_colout_uvarint(&g->col[C_VAL], v);
}

static bool
gc_begin(gh_gotrace *g, const gt_event *ev, uint64_t p)
{
    if (g->in_gc) {
        return true;  // a generation repeats what is under way
    }
    g->in_gc = true;
    const uint32_t n = g->ngc_begin++;
    emit(g, GT_GC_BEGIN, p);
    if (ev->type != EV_GC_BEGIN
        || gh_idmap_get(&g->forced_stack, ev->args[1]) == NULL) {
        return true;
    }
    if (!gt_grow(g, (void **)&g->forced, g->nforced, &g->forced_cap,
                 sizeof(*g->forced))) {
        return false;
    }
    g->forced[g->nforced++] = n;
    return true;
}

static void
stack_event(gh_gotrace *g, gt_op op, uint64_t id, uint64_t order, uint64_t p)
{
    emit(g, op, p);
    gh_colout_delta(&g->col[C_STACK_ID], id);
    gh_colout_uvarint(&g->col[C_STACK_ORDER], order);
}

bool
gt_heap_event(gh_gotrace *g, const gt_event *ev, uint64_t p, uint64_t goroutine)
{
    const uint64_t *a = ev->args;
    switch (ev->type) {
    case EV_OBJECT:
    case EV_OBJECT_ALLOC: return object_event(g, ev, p, goroutine);
    case EV_OBJECT_FREE: return object_free(g, ev, p);
    case EV_SPAN:
    case EV_SPAN_ALLOC: return span_event(g, ev, p);
    case EV_SPAN_FREE: return span_free(g, ev, p);
    case EV_STACK_EXISTS: stack_event(g, GT_STACK_EXIST, a[0], a[1], p); break;
    case EV_STACK_ALLOC: stack_event(g, GT_STACK_ALLOC, a[0], a[1], p); break;
    case EV_STACK_FREE: stack_event(g, GT_STACK_FREE, a[0], 0, p); break;
    case EV_HEAP_ALLOC: value(g, GT_HEAP_LIVE, a[0], p); break;
    case EV_HEAP_GOAL: value(g, GT_HEAP_GOAL, a[0], p); break;
    case EV_PROCS_CHANGE:
        if (g->sum.procs == 0) {
            g->sum.procs = a[0];
        }
        value(g, GT_GOMAXPROCS, a[0], p);
        break;
    case EV_GC_BEGIN:
    case EV_GC_ACTIVE: return gc_begin(g, ev, p);
    case EV_GC_END:
        g->in_gc = false;
        emit(g, GT_GC_END, p);
        break;
    case EV_STW_BEGIN:
        if (!g->in_stw) {
            g->in_stw = true;
            emit(g, GT_STW_BEGIN, p);
        }
        break;
    case EV_STW_END:
        g->in_stw = false;
        emit(g, GT_STW_END, p);
        break;
    case EV_USER_LOG:
        if (g->log_found && a[1] == g->log_key) {
            return gt_wire_log(g, a[2]);
        }
        break;
    default:
        break;
    }
    return true;
}

// ---- what comes out ---------------------------------------------------------------------

void
gt_heap_fini(gh_gotrace *g)
{
    for (size_t i = 0; i < g->pages.cap; i++) {
        const gh_idval *v = &g->pages.slot[i];
        gt_span *s = v->used ? (gt_span *)(uintptr_t)v->a : NULL;
        if (s == NULL) {
            continue;
        }
        // Its other pages must not find it again.
        const uint64_t n = indexed(s), id = s->id;
        for (uint64_t k = 0; k < n; k++) {
            gh_idval *page = gh_idmap_get(&g->pages, id + k);
            if (page != NULL && page->a == (uint64_t)(uintptr_t)s) {
                page->a = 0;
            }
        }
        free(s->live);
        free(s);
    }
    gh_idmap_fini(&g->pages);
    gh_idmap_fini(&g->type_of);
    gh_idmap_fini(&g->type_by_hash);
    for (size_t i = 0; i < g->ntypes; i++) {
        free(g->type[i].name);
    }
    free(g->type);
}

size_t
gh_gotrace_columns(const gh_gotrace_column **out)
{
    *out = columns;
    return NUM_COLUMNS;
}

size_t
gh_gotrace_ops(const char *const **out)
{
    *out = op_names;
    return GT_NUM_OPS;
}

size_t
gh_gotrace_take(gh_gotrace *g, size_t column, const uint8_t **data)
{
    *data = g->col[column].buf;
    return g->col[column].n;
}

uint64_t
gh_gotrace_count(const gh_gotrace *g, size_t column)
{
    return g->col[column].count;
}

size_t
gh_gotrace_types(const gh_gotrace *g)
{
    return g->ntypes;
}

void
gh_gotrace_type_get(const gh_gotrace *g, size_t i, gh_gotrace_type *out)
{
    const gt_type *t = &g->type[i];
    *out = (gh_gotrace_type){t->name, t->len, t->size, t->ptrdata};
}

const char *
gh_gotrace_repair_name(size_t kind)
{
    return kind < GT_NUM_REPAIRS ? repair_names[kind] : NULL;
}

uint64_t
gh_gotrace_repair(const gh_gotrace *g, size_t kind)
{
    return g->repairs[kind];
}
