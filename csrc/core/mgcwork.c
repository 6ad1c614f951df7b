// mgcwork.c: buffers of the grey queue. See mgcwork.h.

#include "mgcwork.h"

// take_shared takes one that no P has; NULL: there is none.
static gh_workbuf *
take_shared(gh_heap *h)
{
    gh_conc *c = &h->conc;
    gh_lock(&c->work_lock);
    gh_workbuf *b = c->spare;
    if (b != NULL) {
        c->spare = b->below;
    }
    gh_unlock(&c->work_lock);
    return b;
}

static gh_status
new_buf(gh_heap *h, gh_gcwork *w, gh_workbuf **out)
{
    gh_workbuf *b = w->empty;
    if (b != NULL) {
        w->empty = b->below;
    } else {
        b = h->concurrent ? take_shared(h) : NULL;
        if (b == NULL) {
            void *mem;
            gh_lock_heap(h);
            gh_status st = gh_sys_alloc(&h->mem, GH_WORKBUF_BYTES,
                                        &h->gc_misc_sys, &mem);
            gh_unlock_heap(h);
            if (st != GH_OK) {
                return st;
            }
            b = mem;
        }
        w->nbufs++;
    }
    b->n = 0;
    b->below = NULL;
    *out = b;
    return GH_OK;
}

gh_status
gh_gcwork_prepare(gh_heap *h, gh_gcwork *w)
{
    if (w->top != NULL) {
        return GH_OK;
    }
    return new_buf(h, w, &w->top);
}

gh_workbuf *
gh_gcwork_take(gh_heap *h, gh_gcwork *w)
{
    gh_workbuf *b;
    return new_buf(h, w, &b) == GH_OK ? b : NULL;
}

bool
gh_gcwork_push_buf(gh_heap *h, gh_gcwork *w)
{
    gh_workbuf *b;
    if (new_buf(h, w, &b) != GH_OK) {
        return false;
    }
    b->below = w->top;
    w->top = b;
    return true;
}

bool
gh_gcwork_pop_buf(gh_gcwork *w)
{
    gh_workbuf *b = w->top;
    if (b->below == NULL) {
        return false;
    }
    w->top = b->below;
    b->below = w->empty;
    w->empty = b;
    return true;
}

static void
free_buf(gh_heap *h, gh_gcwork *w, gh_workbuf *b)
{
    gh_sys_free(&h->mem, b, GH_WORKBUF_BYTES, GH_WORKBUF_BYTES,
                &h->gc_misc_sys);
    w->nbufs--;
}

void
gh_gcwork_free_list(gh_heap *h, gh_workbuf *b)
{
    while (b != NULL) {
        gh_workbuf *below = b->below;
        gh_sys_free(&h->mem, b, GH_WORKBUF_BYTES, GH_WORKBUF_BYTES,
                    &h->gc_misc_sys);
        b = below;
    }
}

void
gh_gcwork_trim(gh_heap *h, gh_gcwork *w)
{
    while (w->empty != NULL) {
        gh_workbuf *b = w->empty;
        w->empty = b->below;
        free_buf(h, w, b);
    }
}

void
gh_gcwork_fini(gh_heap *h, gh_gcwork *w)
{
    gh_gcwork_trim(h, w);
    while (w->top != NULL) {
        gh_workbuf *b = w->top;
        w->top = b->below;
        free_buf(h, w, b);
    }
}
