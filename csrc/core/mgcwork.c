// mgcwork.c: buffers of the grey queue. See mgcwork.h.

#include "mgcwork.h"

static gh_status
new_buf(gh_heap *h, gh_workbuf **out)
{
    gh_workbuf *b = h->work.empty;
    if (b != NULL) {
        h->work.empty = b->below;
    } else {
        void *mem;
        gh_status st = gh_sys_alloc(&h->mem, GH_WORKBUF_BYTES, &h->gc_misc_sys,
                                    &mem);
        if (st != GH_OK) {
            return st;
        }
        b = mem;
        h->work.nbufs++;
    }
    b->n = 0;
    b->below = NULL;
    *out = b;
    return GH_OK;
}

gh_status
gh_gcwork_prepare(gh_heap *h)
{
    if (h->work.top != NULL) {
        return GH_OK;
    }
    return new_buf(h, &h->work.top);
}

bool
gh_gcwork_push_buf(gh_heap *h)
{
    gh_workbuf *b;
    if (new_buf(h, &b) != GH_OK) {
        return false;
    }
    b->below = h->work.top;
    h->work.top = b;
    return true;
}

bool
gh_gcwork_pop_buf(gh_heap *h)
{
    gh_workbuf *b = h->work.top;
    if (b->below == NULL) {
        return false;
    }
    h->work.top = b->below;
    b->below = h->work.empty;
    h->work.empty = b;
    return true;
}

static void
free_buf(gh_heap *h, gh_workbuf *b)
{
    gh_sys_free(&h->mem, b, GH_WORKBUF_BYTES, GH_WORKBUF_BYTES,
                &h->gc_misc_sys);
    h->work.nbufs--;
}

void
gh_gcwork_trim(gh_heap *h)
{
    while (h->work.empty != NULL) {
        gh_workbuf *b = h->work.empty;
        h->work.empty = b->below;
        free_buf(h, b);
    }
}

void
gh_gcwork_fini(gh_heap *h)
{
    gh_gcwork_trim(h);
    while (h->work.top != NULL) {
        gh_workbuf *b = h->work.top;
        h->work.top = b->below;
        free_buf(h, b);
    }
}
