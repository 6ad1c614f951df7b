// mcheckmark.c: the second opinion, and lost objects. See mcheckmark.h.

#include "mcheckmark.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "delays.h"
#include "mgcmark.h"
#include "special.h"

// ---- tracing ----------------------------------------------------------------------

bool
gh_tracer_init(gh_tracer *t, gh_heap *h, bool keep)
{
    *t = (gh_tracer){.h = h, .keep = keep};
    t->seen = calloc((size_t)h->bm.mapped + 1, sizeof(*t->seen));
    t->lost = t->seen == NULL;
    return t->seen != NULL;
}

void
gh_tracer_fini(gh_tracer *t)
{
    free(t->seen);
    free(t->item);
}

// visit notes the object that v points at, if it is new.
static void
visit(gh_tracer *t, uintptr_t v, size_t parent, gh_root_kind root)
{
    unsigned i = 0;
    const gh_mspan *s =
        v == 0 || v == gh_zerobase(t->h) ? NULL : gh_find_object(t->h, v, &i);
    if (s == NULL || t->lost) {
        return;
    }
    uint64_t *word = &t->seen[s->bits + i / 64];
    if ((*word >> (i % 64) & 1) != 0) {
        return;
    }
    *word |= (uint64_t)1 << (i % 64);
    if (t->n == t->cap) {
        const size_t cap = t->cap == 0 ? 1024 : 2 * t->cap;
        gh_traced *more = realloc(t->item, cap * sizeof(*more));
        if (more == NULL) {
            t->lost = true;
            return;
        }
        t->item = more;
        t->cap = cap;
    }
    t->item[t->n++] = (gh_traced){gh_mspan_obj_base(s, i), parent, root};
}

// visit_words visits what the object at base points at: item number parent, or one
// that is no item and makes roots of that kind.
static void
visit_words(gh_tracer *t, uintptr_t base, size_t parent, gh_root_kind root)
{
    unsigned i = 0;
    const gh_mspan *s = gh_find_object(t->h, base, &i);
    for (uint64_t w = 0; w < s->elemsize / GH_PTR_SIZE; w += 64) {
        uint64_t mask = gh_slot_ptr_mask(t->h, s, i, w);
        for (; mask != 0; mask &= mask - 1) {
            visit(t, ((const uintptr_t *)base)[w + gh_ctz64(mask)], parent,
                  root);
        }
    }
}

static void
rest(gh_tracer *t)
{
    while (t->head < t->n && !t->lost) {
        if (t->keep) {
            visit_words(t, t->item[t->head].base, t->head, GH_ROOT_HANDLE);
            t->head++;
        } else {
            visit_words(t, t->item[--t->n].base, 0, GH_ROOT_HANDLE);
        }
    }
}

void
gh_tracer_grey(gh_tracer *t, uintptr_t v)
{
    visit(t, v, GH_TRACED_ROOT, GH_ROOT_HANDLE);
    rest(t);
}

void
gh_tracer_object(gh_tracer *t, uintptr_t v)
{
    unsigned i = 0;
    const gh_mspan *s = gh_find_object(t->h, v, &i);
    visit_words(t, gh_mspan_obj_base(s, i), GH_TRACED_ROOT, GH_ROOT_HANDLE);
    rest(t);
}

// visit_root traces at once, but in a search for paths: that has all roots first.
static void
visit_root(gh_tracer *t, uintptr_t v, gh_root_kind kind)
{
    visit(t, v, GH_TRACED_ROOT, kind);
    if (!t->keep) {
        rest(t);
    }
}

// visit_specials follows what the specials of s keep alive: boxes of weak handles,
// and what objects with finalizers point at.
static void
visit_specials(gh_tracer *t, const gh_mspan *s)
{
    for (const gh_special *x = s->specials; x != NULL; x = x->next) {
        if (x->kind == GH_SPECIAL_WEAK) {
            visit_root(t, ((const gh_weak *)x)->box, GH_ROOT_WEAK_BOX);
        } else if (x->kind == GH_SPECIAL_FINALIZER) {
            const uintptr_t p = s->base + (uintptr_t)x->offset;
            visit_words(t, gh_mspan_obj_base(s, gh_mspan_obj_index(s, p)),
                        GH_TRACED_ROOT, GH_ROOT_FINALIZER);
            visit_root(t, 0, GH_ROOT_FINALIZER);
        }
    }
}

void
gh_tracer_roots(gh_tracer *t)
{
    gh_heap *h = t->h;
    for (int32_t i = 0; i < h->procs; i++) {
        visit_root(t, h->allp[i]->mcache.tiny, GH_ROOT_TINY);
        visit_root(t, h->allp[i]->pending.word, GH_ROOT_HANDLE);
    }
    gh_lock(&h->roots_lock);
    for (const gh_slots *b = h->blocks; b != NULL; b = b->next) {
        for (size_t i = 0; i < b->n; i++) {
            visit_root(t, b->slot[i].word, GH_ROOT_SLOT);
        }
    }
    gh_unlock(&h->roots_lock);
    for (uint32_t id = 1; id <= h->handles.made; id++) {
        visit_root(t, gh_handles_slot(&h->handles, id)->word,
                   gh_handle_kind(&h->handles, id));
    }
    gh_lock(&h->window->lock);
    for (const gh_pin *pin = h->window->pins; pin != NULL; pin = pin->next) {
        visit_root(t, pin->slot.word, GH_ROOT_PIN);
    }
    gh_unlock(&h->window->lock);
    for (size_t w = 0; w < h->narenas * (GH_PAGES_PER_ARENA / 64); w++) {
        uint64_t bits = h->arenas[w / (GH_PAGES_PER_ARENA / 64)]
                            ->page_specials[w % (GH_PAGES_PER_ARENA / 64)];
        for (; bits != 0; bits &= bits - 1) {
            visit_specials(t, h->spans[w * 64 + gh_ctz64(bits)]);
        }
    }
    rest(t);
}

// ---- after a cycle ------------------------------------------------------------------

// gh_lost_find, among the first n notes.
static const gh_lost_object *
find_note(const gh_lost_list *l, size_t n, uintptr_t base)
{
    size_t lo = 0;
    while (lo < n) {
        const size_t mid = lo + (n - lo) / 2;
        if (l->at[mid].base == base) {
            return &l->at[mid];
        }
        if (l->at[mid].base < base) {
            lo = mid + 1;
        } else {
            n = mid;
        }
    }
    return NULL;
}

static void
mark_after_all(gh_heap *h, const gh_mspan *s, unsigned i)
{
    gh_mspan_mark_bits(&h->bm, s)[i / 64] |= (uint64_t)1 << (i % 64);
    h->bytes_marked += s->elemsize;
}

static void
note(gh_lost_list *l, uintptr_t base, uint32_t cycle)
{
    if (l->n == l->cap) {
        const size_t cap = l->cap == 0 ? 64 : 2 * l->cap;
        gh_lost_object *more = realloc(l->at, cap * sizeof(*more));
        if (more == NULL) {
            l->unnoted++;
            return;
        }
        l->at = more;
        l->cap = cap;
    }
    l->at[l->n++] = (gh_lost_object){base, cycle};
}

// keep_all marks every object: for want of memory nothing is known.
static void
keep_all(gh_heap *h)
{
    for (size_t w = 0; w < h->narenas * (GH_PAGES_PER_ARENA / 64); w++) {
        uint64_t bits = h->arenas[w / (GH_PAGES_PER_ARENA / 64)]
                            ->page_in_use[w % (GH_PAGES_PER_ARENA / 64)];
        for (; bits != 0; bits &= bits - 1) {
            const gh_mspan *s = h->spans[w * 64 + gh_ctz64(bits)];
            for (unsigned i = 0; i < s->nelems; i++) {
                if (gh_mspan_is_allocated(&h->bm, s, i)
                    && !gh_mspan_is_marked(&h->bm, s, i)) {
                    mark_after_all(h, s, i);
                }
            }
        }
    }
}

// compare looks at what was traced in s and is not marked. Notes are added
// behind the first known.
static void
compare(const gh_tracer *t, const gh_mspan *s, size_t known)
{
    gh_heap *h = t->h;
    const uint64_t *marks = gh_mspan_mark_bits(&h->bm, s);
    for (unsigned k = 0; k < s->nbits_words; k++) {
        uint64_t bad = t->seen[s->bits + k] & ~marks[k];
        if (bad != 0 && !gh_barrier_unsound(h)) {
            gh_delays_report(h);
            gh_throw(__FILE__, __LINE__, "checkmark found unmarked object");
        }
        for (; bad != 0; bad &= bad - 1) {
            const unsigned i = k * 64 + gh_ctz64(bad);
            const uintptr_t base = gh_mspan_obj_base(s, i);
            mark_after_all(h, s, i);
            if (find_note(&h->lost, known, base) == NULL) {
                note(&h->lost, base, h->rec.n);
            }
        }
    }
}

static int
compare_notes(const void *a, const void *b)
{
    const uintptr_t x = ((const gh_lost_object *)a)->base;
    const uintptr_t y = ((const gh_lost_object *)b)->base;
    return x < y ? -1 : x > y;
}

// forget_freed drops the notes of objects that this cycle frees.
static void
forget_freed(const gh_tracer *t)
{
    gh_heap *h = t->h;
    size_t kept = 0;
    for (size_t k = 0; k < h->lost.n; k++) {
        unsigned i = 0;
        const gh_mspan *s = gh_find_object(h, h->lost.at[k].base, &i);
        if (gh_mspan_is_marked(&h->bm, s, i)
            || (t->seen[s->bits + i / 64] >> (i % 64) & 1) != 0) {
            h->lost.at[kept++] = h->lost.at[k];
        }
    }
    h->lost.n = kept;
}

void
gh_checkmark(gh_heap *h)
{
    if (!h->opt.debug.checkmark && !gh_barrier_unsound(h)) {
        return;
    }
    gh_tracer t;
    if (gh_tracer_init(&t, h, false)) {
        gh_tracer_roots(&t);
    }
    if (t.lost) {
        if (gh_barrier_unsound(h)) {
            keep_all(h);
        }
        gh_tracer_fini(&t);
        return;
    }
    h->checkmarks++;
    forget_freed(&t);
    const size_t known = h->lost.n;
    for (size_t w = 0; w < h->narenas * (GH_PAGES_PER_ARENA / 64); w++) {
        uint64_t bits = h->arenas[w / (GH_PAGES_PER_ARENA / 64)]
                            ->page_in_use[w % (GH_PAGES_PER_ARENA / 64)];
        for (; bits != 0; bits &= bits - 1) {
            compare(&t, h->spans[w * 64 + gh_ctz64(bits)], known);
        }
    }
    if (h->lost.n > known) {
        qsort(h->lost.at, h->lost.n, sizeof(h->lost.at[0]), compare_notes);
    }
    gh_tracer_fini(&t);
}

// ---- what was lost --------------------------------------------------------------------

const gh_lost_object *
gh_lost_find(const gh_heap *h, uintptr_t v)
{
    unsigned i = 0;
    const gh_mspan *s = h->lost.n == 0 ? NULL : gh_find_object(h, v, &i);
    return s == NULL ? NULL
                     : find_note(&h->lost, h->lost.n, gh_mspan_obj_base(s, i));
}

gh_status
gh_lost_check_slow(gh_heap *h, uintptr_t v)
{
    const gh_lost_object *o = gh_lost_find(h, v);
    if (o == NULL) {
        return GH_OK;
    }
    h->lost.last = o->base;
    return GH_ERR_LOST;
}

gh_status
gh_check_lost(gh_mut *m, const gh_slot *slot)
{
    return gh_lost_check(m->heap, slot->word);
}

size_t
gh_lost(const gh_heap *h)
{
    return h->lost.n;
}

uint64_t
gh_checkmarks(const gh_heap *h)
{
    return h->checkmarks;
}

bool
gh_can_lose(const gh_heap *h)
{
    return gh_barrier_unsound(h);
}

uint64_t
gh_shown_object(gh_heap *h, uintptr_t base, const char **label)
{
    unsigned i = 0;
    const gh_mspan *s = gh_find_object(h, base, &i);
    *label = NULL;
    const uint64_t from = i * s->elemsize;
    for (const gh_special *x = s->specials; x != NULL; x = x->next) {
        if (x->offset >= from && x->offset < from + s->elemsize
            && x->kind == GH_SPECIAL_LABEL) {
            *label = ((const gh_label *)x)->name;
            break;
        }
    }
    const bool header = !gh_spanclass_noscan(s->spanclass) && s->div_mul != 0
                        && !gh_heap_bits_in_span(s->elemsize);
    return gh_addr_show(h, base) + (header ? GH_MALLOC_HEADER_SIZE : 0);
}

// item_of finds the item of the object at base; GH_TRACED_ROOT: none.
static size_t
item_of(const gh_tracer *t, uintptr_t base)
{
    for (size_t k = 0; k < t->n && !t->lost; k++) {
        if (t->item[k].base == base) {
            return k;
        }
    }
    return GH_TRACED_ROOT;
}

// step_to returns the item that comes after number at on the way to `to`.
static size_t
step_to(const gh_tracer *t, size_t at, size_t to)
{
    while (t->item[to].parent != at) {
        to = t->item[to].parent;
    }
    return to;
}

bool
gh_lost_path(gh_mut *m, gh_lost_info *out,
             void (*fn)(void *arg, uint64_t addr, const char *label), void *arg)
{
    gh_heap *h = m->heap;
    const gh_lost_object *o = gh_lost_find(h, h->lost.last);
    if (o == NULL && h->lost.n > 0) {
        o = &h->lost.at[0];
    }
    if (o == NULL) {
        return false;
    }
    const char *label;
    *out = (gh_lost_info){.addr = gh_shown_object(h, o->base, &label),
                          .cycle = o->cycle};
    gh_tracer t;
    if (gh_tracer_init(&t, h, true)) {
        gh_tracer_roots(&t);
    }
    const size_t to = item_of(&t, o->base);
    if (to == GH_TRACED_ROOT) {
        fn(arg, out->addr, label);
    } else {
        size_t at = step_to(&t, GH_TRACED_ROOT, to);
        out->reachable = true;
        out->root = t.item[at].root;
        for (;; at = step_to(&t, at, to)) {
            const uint64_t addr = gh_shown_object(h, t.item[at].base, &label);
            fn(arg, addr, label);
            if (at == to) {
                break;
            }
        }
    }
    gh_tracer_fini(&t);
    return true;
}

// ---- lines for verify -------------------------------------------------------------------

typedef struct text {
    char at[240];
    size_t n;
} text;

__attribute__((format(printf, 2, 3))) static void
add(text *x, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    const int n = vsnprintf(x->at + x->n, sizeof(x->at) - x->n, format, ap);
    va_end(ap);
    x->n = x->n + (size_t)n < sizeof(x->at) ? x->n + (size_t)n
                                            : sizeof(x->at) - 1;
}

static void
add_object(text *x, gh_heap *h, uintptr_t base)
{
    const char *label;
    const uint64_t addr = gh_shown_object(h, base, &label);
    if (label != NULL) {
        add(x, "%.40s", label);
    } else {
        add(x, "0x%" PRIx64, addr);
    }
}

// A path is shown by its first and last objects.
#define PATH_ENDS 2

static void
add_path(text *x, gh_heap *h, const gh_tracer *t, size_t to)
{
    static const char *const roots[] = {"a handle", "roots", "a buffer",
                                        "a tiny block", "a finalizer",
                                        "a weak box", "a cleanup", "a pin"};
    size_t len = 0;
    for (size_t k = to; k != GH_TRACED_ROOT; k = t->item[k].parent) {
        len++;
    }
    size_t at = step_to(t, GH_TRACED_ROOT, to);
    add(x, ": %s", roots[t->item[at].root]);
    for (size_t k = 0; k < len; k++) {
        if (k < PATH_ENDS || k >= len - PATH_ENDS) {
            add(x, " -> ");
            add_object(x, h, t->item[at].base);
        } else if (k == PATH_ENDS) {
            add(x, " -> (%zu more)", len - 2 * PATH_ENDS);
        }
        at = k + 1 < len ? step_to(t, at, to) : at;
    }
}

#define MAX_LINES 100  // of verify

void
gh_lost_report(gh_heap *h, void (*say)(void *arg, const char *line), void *arg)
{
    const gh_lost_list *l = &h->lost;
    gh_tracer t = {0};
    if (l->n > 0 && gh_tracer_init(&t, h, true)) {
        gh_tracer_roots(&t);
    }
    for (size_t k = 0; k < l->n && k < MAX_LINES; k++) {
        text x = {.n = 0};
        add(&x, "[inv:gc.lost] ");
        add_object(&x, h, l->at[k].base);
        add(&x, " was freed by cycle %" PRIu32, l->at[k].cycle);
        const size_t to = item_of(&t, l->at[k].base);
        if (to == GH_TRACED_ROOT) {
            add(&x, "; nothing reaches it any more");
        } else {
            add(&x, " and is reachable");
            add_path(&x, h, &t, to);
        }
        say(arg, x.at);
    }
    if (l->n > MAX_LINES || l->unnoted > 0) {
        text x = {.n = 0};
        add(&x, "[inv:gc.lost] %zu objects were lost, and %" PRIu64
                " that there was no memory to note", l->n, l->unnoted);
        say(arg, x.at);
    }
    gh_tracer_fini(&t);
}
