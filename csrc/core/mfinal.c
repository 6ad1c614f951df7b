// mfinal.c: finalizers, cleanups, weak pointers, pins. See mfinal.h.

#include "mfinal.h"

#include <stdlib.h>

#include "mbarrier.h"
#include "mcheckmark.h"
#include "mgcmark.h"
#include "mgcsweep.h"

// place is a byte of a live object.
typedef struct place {
    gh_mspan *s;
    unsigned index;
    uintptr_t data;  // where the object begins, after a header
} place;

// find finds what slot holds, and sweeps its span. GH_AGAIN: the zero-size object,
// to which nothing is ever attached.
static gh_status
find(gh_heap *h, const gh_slot *slot, place *at)
{
    if (slot->word == gh_zerobase(h)) {
        return GH_AGAIN;
    }
    at->s = slot->word == 0 ? NULL : gh_find_object(h, slot->word, &at->index);
    if (at->s == NULL) {
        return GH_ERR_BADPTR;
    }
    gh_ensure_swept(h, at->s);
    at->data = gh_mspan_obj_base(at->s, at->index);
    if (!gh_spanclass_noscan(at->s->spanclass) && at->s->div_mul != 0
        && !gh_heap_bits_in_span(at->s->elemsize)) {
        at->data += GH_MALLOC_HEADER_SIZE;
    }
    return gh_lost_check(h, slot->word);
}

// drop_slot gives a handle back that nobody has seen.
static void
drop_slot(gh_heap *h, uint32_t id)
{
    if (id != 0) {
        gh_handle_drop(h, id);
    }
}

// ---- finalizers ---------------------------------------------------------------------

gh_status
gh_finalizer_set(gh_mut *m, const gh_slot *slot, bool inner, uint64_t token,
                 bool *set)
{
    gh_heap *h = m->heap;
    place o;
    gh_status st = find(h, slot, &o);
    if (st == GH_AGAIN) {
        *set = false;
        return GH_OK;
    }
    if (st != GH_OK) {
        return st;
    }
    if (slot->word != o.data && !inner) {
        return GH_ERR_INVAL;
    }
    const uint64_t off = slot->word - o.s->base;
    bool exists;
    gh_special **at =
        gh_special_find(o.s, off, GH_SPECIAL_FINALIZER, &exists);
    if (exists) {
        return GH_ERR_STATE;
    }
    gh_callable *f = malloc(sizeof(*f));
    if (f == NULL) {
        return GH_ERR_NOMEM;
    }
    uint32_t id;
    st = gh_handles_alloc(&h->handles, &id);
    if (st != GH_OK) {
        free(f);
        return st;
    }
    *gh_handles_link(&h->handles, id) = GH_HANDLE_FINALIZER;
    *f = (gh_callable){
        .node.call = {.kind = GH_CALL_FINALIZER, .token = token, .handle = id},
        .special = {.offset = off, .kind = GH_SPECIAL_FINALIZER},
    };
    gh_special_insert(h, o.s, at, &f->special);
    h->finalizers_set++;
    if (h->phase == GH_PHASE_MARK) {
        gh_gc_mark_finalized(h, o.s, o.index);
    }
    *set = true;
    return GH_OK;
}

bool
gh_finalizer_clear(gh_mut *m, const gh_slot *slot, uint64_t *token)
{
    gh_heap *h = m->heap;
    place o;
    if (find(h, slot, &o) != GH_OK) {
        return false;
    }
    bool exists;
    gh_special **at = gh_special_find(o.s, slot->word - o.s->base,
                                      GH_SPECIAL_FINALIZER, &exists);
    if (!exists) {
        return false;
    }
    gh_callable *f = gh_callable_of(gh_special_remove(h, o.s, at));
    *token = f->node.call.token;
    drop_slot(h, f->node.call.handle);
    free(f);
    h->finalizers_cleared++;
    return true;
}

// ---- cleanups -----------------------------------------------------------------------

// Go gives a cleanup two blocks of 16 bytes, for its argument and for the
// function that calls it with it; we only keep them alive.
#define BOX_BYTES 16u

static gh_status
make_boxes(gh_mut *m, uint32_t box[2])
{
    gh_heap *h = m->heap;
    for (int i = 0; i < 2; i++) {
        gh_status st = gh_handles_alloc(&h->handles, &box[i]);
        if (st != GH_OK) {
            return st;
        }
        *gh_handles_link(&h->handles, box[i]) = GH_HANDLE_CLEANUP;
        st = gh_alloc(m, gh_handles_slot(&h->handles, box[i]), BOX_BYTES);
        if (st != GH_OK) {
            return st;
        }
    }
    return GH_OK;
}

gh_status
gh_cleanup_add(gh_mut *m, const gh_slot *slot, uint64_t token, uint64_t *id)
{
    gh_heap *h = m->heap;
    place o;
    gh_status st = find(h, slot, &o);
    if (st != GH_OK && st != GH_AGAIN) {
        return st;
    }
    if (st == GH_AGAIN) {
        *id = 0;
        return GH_OK;
    }
    gh_callable *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return GH_ERR_NOMEM;
    }
    st = make_boxes(m, c->node.box);
    if (st != GH_OK) {
        drop_slot(h, c->node.box[0]);
        drop_slot(h, c->node.box[1]);
        free(c);
        return st;
    }
    // The boxes may have brought a cycle about: the span may want a sweep again.
    gh_ensure_swept(h, o.s);
    c->node.call = (gh_call){.kind = GH_CALL_CLEANUP, .token = token};
    c->special.kind = GH_SPECIAL_CLEANUP;
    c->special.offset = slot->word - o.s->base;
    c->id = ++h->cleanup_id;
    bool exists;  // any number may; the newest is first
    gh_special **at = gh_special_find(o.s, c->special.offset,
                                      GH_SPECIAL_CLEANUP, &exists);
    gh_special_insert(h, o.s, at, &c->special);
    *id = c->id;
    return GH_OK;
}

bool
gh_cleanup_stop(gh_mut *m, uint64_t addr, uint64_t id)
{
    gh_heap *h = m->heap;
    // The object may be gone, and something else be there.
    gh_mspan *s = gh_span_of(h, h->base + (uintptr_t)(addr - GH_ADDR_BASE));
    if (id == 0 || s == NULL) {
        return false;
    }
    gh_ensure_swept(h, s);
    s = gh_span_of(h, h->base + (uintptr_t)(addr - GH_ADDR_BASE));
    if (s == NULL) {
        return false;
    }
    const uint64_t off =
        h->base + (uintptr_t)(addr - GH_ADDR_BASE) - s->base;
    bool exists;
    gh_special **at = gh_special_find(s, off, GH_SPECIAL_CLEANUP, &exists);
    while (exists && gh_callable_of(*at)->id != id) {
        at = &(*at)->next;
        exists = *at != NULL && (*at)->offset == off
                 && (*at)->kind == GH_SPECIAL_CLEANUP;
    }
    if (!exists) {
        return false;
    }
    gh_callable *c = gh_callable_of(gh_special_remove(h, s, at));
    drop_slot(h, c->node.box[0]);
    drop_slot(h, c->node.box[1]);
    free(c);
    h->cleanups_stopped++;
    return true;
}

// ---- weak pointers --------------------------------------------------------------------

// A box holds the address as shown: a client may read it.
static uint64_t *
box_word(uintptr_t box)
{
    return (uint64_t *)box;
}

gh_status
gh_weak_make(gh_mut *m, gh_slot *box, const gh_slot *slot)
{
    gh_heap *h = m->heap;
    place o;
    gh_status st = find(h, slot, &o);
    if (st == GH_AGAIN) {
        // It never dies, so it is its own box.
        gh_slot_write(m, box, slot->word);
        return GH_OK;
    }
    if (st != GH_OK) {
        return st;
    }
    const uint64_t off = slot->word - o.s->base;
    bool exists;
    gh_special **at = gh_special_find(o.s, off, GH_SPECIAL_WEAK, &exists);
    if (exists) {
        gh_slot_write(m, box, ((gh_weak *)*at)->box);
        return GH_OK;
    }
    gh_weak *w = malloc(sizeof(*w));
    if (w == NULL) {
        return GH_ERR_NOMEM;
    }
    st = gh_alloc(m, box, BOX_BYTES);
    if (st != GH_OK) {
        free(w);
        return st;
    }
    // The box may have brought a cycle about: the span may want a sweep again.
    // While a cycle marks, the box is black, like all that is new.
    gh_ensure_swept(h, o.s);
    *w = (gh_weak){
        .special = {.offset = off, .kind = GH_SPECIAL_WEAK},
        .box = box->word,
    };
    *box_word(w->box) = gh_addr_show(h, slot->word);
    gh_special_insert(h, o.s, gh_special_find(o.s, off, GH_SPECIAL_WEAK, &exists),
                      &w->special);
    return GH_OK;
}

// weak_target finds the object that a box stands for, or 0. What the box says is
// believed only if the object has that box: a client may have written to it.
static uintptr_t
weak_target(gh_heap *h, uintptr_t box)
{
    if (box == 0 || box == gh_zerobase(h)) {
        return box;
    }
    const uint64_t addr = *box_word(box);
    const uintptr_t p = h->base + (uintptr_t)(addr - GH_ADDR_BASE);
    gh_mspan *s = addr == 0 ? NULL : gh_span_of(h, p);
    if (s == NULL) {
        return 0;
    }
    // It may be dead and its span not swept: the sweep clears the box then.
    gh_ensure_swept(h, s);
    if (*box_word(box) != addr || gh_span_of(h, p) != s) {
        return 0;
    }
    bool exists;
    gh_special **at =
        gh_special_find(s, p - s->base, GH_SPECIAL_WEAK, &exists);
    return exists && ((gh_weak *)*at)->box == box ? p : 0;
}

gh_status
gh_weak_get(gh_mut *m, gh_slot *dst, const gh_slot *box)
{
    gh_heap *h = m->heap;
    if (h->strong_from_weak_block) {
        return GH_AGAIN;
    }
    const uintptr_t p = weak_target(h, box->word);
    gh_status st = gh_lost_check(h, p);
    if (st != GH_OK) {
        return st;
    }
    if (h->phase == GH_PHASE_MARK) {
        // Nothing else may lead there: Yuasa's half, for a read.
        gh_shade(m, p);
    }
    gh_slot_write(m, dst, p);
    return GH_OK;
}

uint64_t
gh_weak_addr(gh_heap *h, const gh_slot *box)
{
    if (box->word == 0 || box->word == gh_zerobase(h)) {
        return gh_addr_of_word(h, box->word);
    }
    gh_object o;
    const uint64_t addr = *box_word(box->word);
    return addr != 0 && gh_object_at_addr(h, addr, &o) == GH_OK ? addr : 0;
}

bool
gh_weak_box_check(gh_heap *h, const gh_weak *x, uint64_t addr)
{
    gh_object o;
    const gh_slot box = {x->box};
    return gh_object_at(h, &box, &o) == GH_OK && o.elemsize == BOX_BYTES
           && *box_word(x->box) == addr;
}

// ---- pins --------------------------------------------------------------------------------

gh_status
gh_object_pin(gh_mut *m, const gh_slot *slot, uint32_t *pin)
{
    gh_heap *h = m->heap;
    place o;
    gh_status st = find(h, slot, &o);
    if (st != GH_OK && st != GH_AGAIN) {
        return st;
    }
    const bool counted = st == GH_OK;
    st = gh_handles_alloc(&h->handles, pin);
    if (st != GH_OK) {
        return st;
    }
    *gh_handles_link(&h->handles, *pin) = GH_HANDLE_PIN;
    gh_slot_write(m, gh_handles_slot(&h->handles, *pin), slot->word);
    if (!counted) {
        return GH_OK;
    }
    const uint64_t off = o.index * o.s->elemsize;
    bool exists;
    gh_special **at = gh_special_find(o.s, off, GH_SPECIAL_PIN, &exists);
    if (!exists) {
        gh_pinned *x = calloc(1, sizeof(*x));
        if (x == NULL) {
            gh_handle_drop(h, *pin);
            return GH_ERR_NOMEM;
        }
        x->special = (gh_special){.offset = off, .kind = GH_SPECIAL_PIN};
        gh_special_insert(h, o.s, at, &x->special);
    }
    ((gh_pinned *)*at)->n++;
    return GH_OK;
}

void
gh_object_unpin(gh_mut *m, uint32_t pin)
{
    gh_heap *h = m->heap;
    place o;
    if (find(h, gh_handles_slot(&h->handles, pin), &o) == GH_OK) {
        bool exists;
        gh_special **at = gh_special_find(o.s, o.index * o.s->elemsize,
                                          GH_SPECIAL_PIN, &exists);
        GH_THROW_IF(!exists, "object already unpinned");
        if (--((gh_pinned *)*at)->n == 0) {
            free(gh_special_remove(h, o.s, at));
        }
    }
    gh_handle_drop(h, pin);
}

uint64_t
gh_object_pins(gh_heap *h, const gh_slot *slot)
{
    unsigned i;
    gh_mspan *s = slot->word == 0 ? NULL : gh_find_object(h, slot->word, &i);
    if (s == NULL) {
        return 0;
    }
    bool exists;
    gh_special **at =
        gh_special_find(s, i * s->elemsize, GH_SPECIAL_PIN, &exists);
    return exists ? ((gh_pinned *)*at)->n : 0;
}

// ---- figures -------------------------------------------------------------------------------

void
gh_final_stats_get(gh_heap *h, gh_final_stats *out)
{
    *out = (gh_final_stats){
        .finalizers_set = h->finalizers_set,
        .finalizers_cleared = h->finalizers_cleared,
        .finalizers_attached = h->nspecials[GH_SPECIAL_FINALIZER],
        .cleanups_added = h->cleanup_id,
        .cleanups_stopped = h->cleanups_stopped,
        .cleanups_attached = h->nspecials[GH_SPECIAL_CLEANUP],
        .cleanups_queued = h->cleanups_queued,
        .weak_attached = h->nspecials[GH_SPECIAL_WEAK],
    };
    uint64_t queued[GH_CALL_KINDS], taken[GH_CALL_KINDS];
    gh_calls_counts(&h->calls, queued, taken);
    out->finalizers_queued = queued[GH_CALL_FINALIZER];
    out->finalizers_taken = taken[GH_CALL_FINALIZER];
    out->cleanups_taken = taken[GH_CALL_CLEANUP];
}
