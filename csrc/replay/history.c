// history.c: a history of one's own. See history.h.
//
// The deaths to come lie in a binary heap by time. A tiny block dies with the last
// of its parts, which may come after the block's entry was made: block_death has the
// time that holds, and an entry that comes up too early goes back. A block that is
// dead and still being filled waits for its P's next block, because a further part
// brings it back to life.

#include "history.h"

#include <math.h>
#include <string.h>

#include "columns_out.h"
#include "idmap.h"
#include "splitmix.h"

#define PAGE_BYTES  8192u
#define TINY_SIZE   16u
#define TINY_CLASS  5u  // 16 bytes, no pointers
#define HEADER      8u  // the type's word in front of larger objects
#define MAX_OBJECTS ((uint32_t)INT32_MAX)
#define MAX_TYPES   ((size_t)1 << 16)

enum { OP_ALLOC, OP_TINY, OP_DEAD, NUM_OPS };
enum {
    C_OP, C_T, C_P, C_SPANCLASS, C_PAGES, C_TYPE, C_TINY, C_FREE, C_VAL,
    NUM_COLUMNS
};

static const char *const op_names[NUM_OPS] = {"alloc", "tiny", "dead"};

static const gh_history_column columns[NUM_COLUMNS] = {
    [C_OP] = {"ev.op", "u8"},
    [C_T] = {"ev.t", "delta-svarint"},
    [C_P] = {"ev.p", "u8"},
    [C_SPANCLASS] = {"obj.spanclass", "u8"},
    [C_PAGES] = {"obj.pages", "uvarint"},
    [C_TYPE] = {"obj.type", "uvarint"},
    [C_TINY] = {"tiny.back", "uvarint"},
    [C_FREE] = {"free.back", "uvarint"},
    [C_VAL] = {"val", "uvarint"},
};

typedef struct death {
    int64_t at;
    uint32_t obj;    // number + 1
    uint32_t pages;  // of a large object; else ~ the size class
} death;

// tiny_block is a P's block that is being filled. obj is its number + 1; 0: none.
typedef struct tiny_block {
    uint32_t obj, used;
    bool dead;  // all parts so far, and its entry is gone
} tiny_block;

struct gh_history {
    gh_colout col[NUM_COLUMNS];
    bool taken;
    uint64_t ops[NUM_OPS];
    gh_policy policy;
    death *heap;
    size_t n, cap;
    gh_idmap block_death;  // tiny block, number + 1: its death, as an int64
    tiny_block tiny[GH_HISTORY_MAX_P + 1];
    gh_idmap type_of;  // hash of a type: its index
    gh_history_type *type;
    size_t ntypes, type_cap;
    uint32_t nobj;
    int64_t last_birth;
    gh_history_summary sum;
};

gh_status
gh_history_new(gh_history **out)
{
    gh_history *h = calloc(1, sizeof(*h));
    if (h == NULL) {
        return GH_ERR_NOMEM;
    }
    gh_policy_init(&h->policy);
    h->type = calloc(64, sizeof(*h->type));
    if (h->type == NULL) {
        free(h);
        return GH_ERR_NOMEM;
    }
    h->type_cap = 64;
    h->ntypes = 1;
    *out = h;
    return GH_OK;
}

void
gh_history_free(gh_history *h)
{
    if (h == NULL) {
        return;
    }
    for (size_t i = 0; i < NUM_COLUMNS; i++) {
        gh_colout_fini(&h->col[i]);
    }
    free(h->heap);
    free(h->type);
    gh_idmap_fini(&h->block_death);
    gh_idmap_fini(&h->type_of);
    free(h);
}

// ---- deaths -------------------------------------------------------------------------

static bool
push(gh_history *h, death d)
{
    if (h->n == h->cap) {
        const size_t cap = h->cap == 0 ? 1024 : h->cap * 2;
        death *heap = realloc(h->heap, cap * sizeof(*heap));
        if (heap == NULL) {
            return false;
        }
        h->heap = heap;
        h->cap = cap;
    }
    size_t i = h->n++;
    for (; i > 0 && h->heap[(i - 1) / 2].at > d.at; i = (i - 1) / 2) {
        h->heap[i] = h->heap[(i - 1) / 2];
    }
    h->heap[i] = d;
    return true;
}

static death
pop(gh_history *h)
{
    const death top = h->heap[0], last = h->heap[--h->n];
    size_t i = 0;
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= h->n) {
            break;
        }
        if (c + 1 < h->n && h->heap[c + 1].at < h->heap[c].at) {
            c++;
        }
        if (last.at <= h->heap[c].at) {
            break;
        }
        h->heap[i] = h->heap[c];
        i = c;
    }
    h->heap[i] = last;
    return top;
}

static void
emit(gh_history *h, int op, int64_t at, int32_t p)
{
    h->ops[op]++;
    if (at < h->sum.last_ns) {
        at = h->sum.last_ns;  // a block that waited
    }
    h->sum.last_ns = at;
    gh_colout_u8(&h->col[C_OP], (uint8_t)op);
    gh_colout_delta(&h->col[C_T], (uint64_t)at);
    gh_colout_u8(&h->col[C_P], (uint8_t)p);
}

static void
emit_dead(gh_history *h, uint32_t obj, uint64_t size, int64_t at)
{
    emit(h, OP_DEAD, at, 255);
    gh_colout_uvarint(&h->col[C_FREE], h->nobj - obj);
    h->sum.end_bytes -= size;
}

static bool
filling(gh_history *h, uint32_t obj, tiny_block **out)
{
    for (int32_t p = 0; p < h->sum.procs; p++) {
        if (h->tiny[p].obj == obj) {
            *out = &h->tiny[p];
            return true;
        }
    }
    return false;
}

// bury emits what dies by until, at most max events; false: no memory.
static bool
bury(gh_history *h, int64_t until, uint64_t max, bool *more)
{
    while (h->n > 0 && h->heap[0].at <= until && max-- > 0) {
        death d = pop(h);
        uint64_t size = (uint64_t)d.pages * PAGE_BYTES;
        if (d.pages > UINT32_MAX - 256) {
            size = gh_size_class_get(~d.pages).size;
        }
        if (d.pages == ~(uint32_t)(TINY_CLASS >> 1)) {
            const gh_idval *v = gh_idmap_get(&h->block_death, d.obj);
            tiny_block *t;
            if (v != NULL && (int64_t)v->a == GH_HISTORY_NEVER) {
                gh_idmap_delete(&h->block_death, d.obj);
                continue;
            }
            if (v != NULL && (int64_t)v->a > d.at) {
                d.at = (int64_t)v->a;
                if (!push(h, d)) {
                    return false;
                }
                continue;
            }
            if (v != NULL && filling(h, d.obj, &t)) {
                t->dead = true;
                continue;
            }
            gh_idmap_delete(&h->block_death, d.obj);
        }
        emit_dead(h, d.obj, size, d.at);
    }
    *more = h->n > 0 && h->heap[0].at <= until;
    return true;
}

// ---- births -------------------------------------------------------------------------

// type_number finds or makes a type; 0 when the table is full: such an object's
// words all count as pointers.
static bool
type_number(gh_history *h, gh_history_type want, uint64_t *out)
{
    uint64_t key = ((uint64_t)want.type * 0x9e3779b97f4a7c15u + want.size)
                       * 0xbf58476d1ce4e5b9u + want.ptrdata;
    const gh_idval *v;
    while ((v = gh_idmap_get(&h->type_of, key)) != NULL) {
        const gh_history_type *t = &h->type[v->a];
        if (t->type == want.type && t->size == want.size
            && t->ptrdata == want.ptrdata) {
            *out = v->a;
            return true;
        }
        key++;
    }
    *out = 0;
    if (h->ntypes == MAX_TYPES) {
        return true;
    }
    if (h->ntypes == h->type_cap) {
        gh_history_type *type =
            realloc(h->type, h->type_cap * 2 * sizeof(*type));
        if (type == NULL) {
            return false;
        }
        h->type = type;
        h->type_cap *= 2;
    }
    gh_idval *put = gh_idmap_put(&h->type_of, key);
    if (put == NULL) {
        return false;
    }
    put->a = *out = h->ntypes;
    h->type[h->ntypes++] = want;
    return true;
}

static const char *
check(const gh_history *h, const gh_history_object *o)
{
    if (o->size < 1 || o->size > GH_HISTORY_MAX_SIZE) {
        return "size is not in 1..2199023255552";
    }
    if (o->scan < 0 || o->scan > o->size) {
        return "scan is not in 0..size";
    }
    if (o->birth_ns < 0 || o->birth_ns > GH_HISTORY_MAX_TIME) {
        return "birth_ns is not in 0..2**60";
    }
    if (o->death_ns != GH_HISTORY_NEVER
        && (o->death_ns < o->birth_ns || o->death_ns > GH_HISTORY_MAX_TIME)) {
        return "death_ns is before birth_ns, or beyond 2**60; -1 is never";
    }
    if (o->birth_ns < h->last_birth) {
        return "birth_ns goes down";
    }
    if (o->type < 0) {
        return "type_id is negative";
    }
    if (o->p < 0 || o->p > GH_HISTORY_MAX_P) {
        return "p is not in 0..254";
    }
    return h->nobj == MAX_OBJECTS ? "more than 2**31 - 1 objects" : NULL;
}

// tiny_part puts a small object without pointers into its P's tiny block, as
// mallocgcTiny does; false: it needs a new one.
static bool
tiny_part(gh_history *h, const gh_history_object *o, bool *ok)
{
    tiny_block *t = &h->tiny[o->p];
    const uint32_t size = (uint32_t)o->size;
    const uint32_t align = size % 8 == 0 ? 8 : size % 4 == 0 ? 4
                           : size % 2 == 0 ? 2 : 1;
    const uint32_t at = (t->used + align - 1) & ~(align - 1);
    *ok = true;
    if (t->obj == 0 || at + size > TINY_SIZE) {
        return false;
    }
    t->used = at + size;
    gh_idval *v = gh_idmap_put(&h->block_death, t->obj);
    if (v == NULL) {
        *ok = false;
        return true;
    }
    if (o->death_ns == GH_HISTORY_NEVER
        || ((int64_t)v->a != GH_HISTORY_NEVER && o->death_ns > (int64_t)v->a)) {
        v->a = (uint64_t)o->death_ns;
    }
    if (t->dead) {
        t->dead = false;
        if ((int64_t)v->a != GH_HISTORY_NEVER) {
            const death d = {.at = (int64_t)v->a, .obj = t->obj,
                             .pages = ~(uint32_t)(TINY_CLASS >> 1)};
            *ok = push(h, d);
        }
    }
    emit(h, OP_TINY, o->birth_ns, o->p);
    gh_colout_uvarint(&h->col[C_TINY], h->nobj - t->obj);
    return true;
}

// new_block makes the object just born its P's tiny block, unless the one that is
// there has more room left.
static bool
new_block(gh_history *h, const gh_history_object *o)
{
    tiny_block *t = &h->tiny[o->p];
    if (t->obj != 0 && (uint32_t)o->size >= t->used) {
        return true;
    }
    if (t->dead) {
        gh_idmap_delete(&h->block_death, t->obj);
        emit_dead(h, t->obj, TINY_SIZE, o->birth_ns);
    }
    *t = (tiny_block){.obj = h->nobj, .used = (uint32_t)o->size};
    gh_idval *v = gh_idmap_put(&h->block_death, t->obj);
    if (v != NULL) {
        v->a = (uint64_t)o->death_ns;
    }
    return v != NULL;
}

static bool
born(gh_history *h, const gh_history_object *o)
{
    const bool pointers = o->scan > 0;
    const gh_explanation e =
        gh_explain((uint64_t)o->size, pointers, &h->policy);
    const bool tiny = !pointers && o->size < TINY_SIZE;
    bool ok;
    if (tiny && tiny_part(h, o, &ok)) {
        return ok;
    }
    // A tiny block is 16 bytes whatever its first part has.
    const uint8_t spanclass = tiny ? TINY_CLASS : e.spanclass;
    const uint64_t size = tiny ? TINY_SIZE : e.elemsize;
    uint64_t type = 0;
    if (pointers || o->type != 0) {
        const uint64_t room = e.header ? size - HEADER : size;
        uint64_t ptrdata = ((uint64_t)o->scan + 7) / 8 * 8;
        ptrdata = ptrdata > room ? room : ptrdata;
        if (!type_number(h, (gh_history_type){o->type, room, ptrdata}, &type)) {
            return false;
        }
    }
    emit(h, OP_ALLOC, o->birth_ns, o->p);
    gh_colout_u8(&h->col[C_SPANCLASS], spanclass);
    uint32_t pages = ~(uint32_t)(spanclass >> 1);
    if (spanclass >> 1 == 0) {
        pages = (uint32_t)(size / PAGE_BYTES);
        gh_colout_uvarint(&h->col[C_PAGES], pages);
    }
    gh_colout_uvarint(&h->col[C_TYPE], type);
    h->nobj++;
    gh_history_summary *s = &h->sum;
    s->alloc_bytes += size;
    s->end_bytes += size;
    if (s->end_bytes > s->peak_bytes) {
        s->peak_bytes = s->end_bytes;
    }
    if (tiny && !new_block(h, o)) {
        return false;
    }
    return o->death_ns == GH_HISTORY_NEVER
           || push(h, (death){.at = o->death_ns, .obj = h->nobj, .pages = pages});
}

static void
forget_taken(gh_history *h)
{
    if (h->taken) {
        for (size_t i = 0; i < NUM_COLUMNS; i++) {
            h->col[i].n = 0;
        }
        h->taken = false;
    }
}

static bool
failed(const gh_history *h)
{
    for (size_t i = 0; i < NUM_COLUMNS; i++) {
        if (h->col[i].failed) {
            return true;
        }
    }
    return false;
}

gh_status
gh_history_add(gh_history *h, const gh_history_object *o, const char **why)
{
    *why = check(h, o);
    if (*why != NULL) {
        return GH_ERR_INVAL;
    }
    forget_taken(h);
    h->last_birth = o->birth_ns;
    if (o->p >= h->sum.procs) {
        h->sum.procs = o->p + 1;
    }
    bool more;
    if (!bury(h, o->birth_ns, UINT64_MAX, &more) || !born(h, o) || failed(h)) {
        return GH_ERR_NOMEM;
    }
    return GH_OK;
}

gh_status
gh_history_end(gh_history *h, int64_t until_ns, uint64_t max_events, bool *more)
{
    forget_taken(h);
    return bury(h, until_ns, max_events, more) && !failed(h) ? GH_OK
                                                             : GH_ERR_NOMEM;
}

// ---- what comes out ---------------------------------------------------------------

size_t
gh_history_columns(const gh_history_column **out)
{
    *out = columns;
    return NUM_COLUMNS;
}

size_t
gh_history_ops(const char *const **out)
{
    *out = op_names;
    return NUM_OPS;
}

uint64_t
gh_history_count(const gh_history *h, size_t column)
{
    return h->col[column].count;
}

uint64_t
gh_history_op_count(const gh_history *h, size_t op)
{
    return h->ops[op];
}

size_t
gh_history_take(gh_history *h, size_t column, const uint8_t **data)
{
    h->taken = true;
    *data = h->col[column].buf;
    return h->col[column].n;
}

size_t
gh_history_types(const gh_history *h)
{
    return h->ntypes;
}

void
gh_history_type_get(const gh_history *h, size_t i, gh_history_type *out)
{
    *out = h->type[i];
}

void
gh_history_summary_get(const gh_history *h, gh_history_summary *out)
{
    *out = h->sum;
    out->objects = h->nobj;
}

// ---- a workload ---------------------------------------------------------------------

// uniform is in (0, 1].
static double
uniform(gh_workload *w)
{
    return (double)((gh_splitmix64(&w->random) >> 11) + 1) * 0x1p-53;
}

static double
exponential(gh_workload *w, double mean)
{
    return -log(uniform(w)) * mean;
}

// The live objects come first, in a start-up of their own; from then on each has the
// rest of its life before it, which for lives without a memory is as long as a whole
// one.
gh_status
gh_workload_add(gh_workload *w, gh_history *h, uint64_t n, bool *more)
{
    const double long_ns = w->long_share * w->alloc_rate > 0
                               ? (double)w->live * 1e9
                                     / (w->long_share * w->alloc_rate)
                               : INFINITY;
    const double end = (double)w->startup_ns + (double)w->duration_ns;
    const double startup_rate =
        w->startup_ns > 0 ? (double)w->live * 1e9 / (double)w->startup_ns : 0;
    for (; n > 0; n--) {
        const bool first = !w->running && h->sum.alloc_bytes < w->live;
        w->running = !first;
        if (!first && (w->now_ns >= end || !(w->alloc_rate > 0))) {
            break;
        }
        double size = 8 * ceil(exponential(w, w->mean_size - 4) / 8);
        if (size > 64 * w->mean_size) {
            size = 64 * w->mean_size;
        }
        gh_history_object o = {.size = size < 8 ? 8 : (int64_t)size};
        o.scan = uniform(w) <= w->scan_share ? o.size / 8 * 8 : 0;
        const bool lasts = first || uniform(w) <= w->long_share;
        double life = exponential(w, lasts ? long_ns : w->short_ns);
        if (first) {
            life += (double)w->startup_ns - w->now_ns;
        }
        o.birth_ns = (int64_t)w->now_ns;
        o.death_ns = w->now_ns + life <= end ? (int64_t)(w->now_ns + life)
                                             : GH_HISTORY_NEVER;
        o.p = (int32_t)(gh_splitmix64(&w->random) % (uint64_t)w->procs);
        const char *why;
        const uint64_t before = h->sum.alloc_bytes;
        const gh_status st = gh_history_add(h, &o, &why);
        if (st != GH_OK) {
            return st;
        }
        // Go counts slots, too: a part of a tiny block is free.
        const double rate = first ? startup_rate : w->alloc_rate;
        if (rate > 0) {
            w->now_ns += (double)(h->sum.alloc_bytes - before) * 1e9 / rate;
        }
    }
    *more = n == 0;
    return GH_OK;
}
