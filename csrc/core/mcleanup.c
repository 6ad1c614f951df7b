// mcleanup.c: the queue of cleanups. See mcleanup.h.

#include "mcleanup.h"

#include <stdlib.h>

static void
append(gh_cleanup_block *b, gh_call_node *node)
{
    node->next = NULL;
    if (b->n++ == 0) {
        b->first = node;
    } else {
        b->last->next = node;
    }
    b->last = node;
}

static void
push(gh_heap *h, gh_cleanup_block *b)
{
    if (b->n > 0) {
        gh_calls_push_block(&h->calls, b->first, b->last, b->n);
        *b = (gh_cleanup_block){0};
    }
}

void
gh_cleanup_enqueue(gh_heap *h, gh_call_node *node)
{
    gh_p *p = h->inside != NULL ? h->inside : h->allp[0];
    append(&p->cleanups, node);
    h->cleanups_queued++;
    if (p->cleanups.n == GH_CLEANUP_BLOCK) {
        push(h, &p->cleanups);
    }
}

// take moves what there is room for from b to the end of a: all of it from its
// beginning, or else as much from its end. Go: cleanupBlock.take.
static void
take(gh_cleanup_block *a, gh_cleanup_block *b)
{
    const unsigned room = GH_CLEANUP_BLOCK - a->n;
    const unsigned stay = b->n > room ? b->n - room : 0;
    gh_cleanup_block kept = {0};
    for (gh_call_node *x = b->first, *next; b->n > 0; x = next, b->n--) {
        next = x->next;
        append(kept.n < stay ? &kept : a, x);
    }
    *b = kept;
}

void
gh_cleanups_flush(gh_heap *h)
{
    gh_cleanup_block all = {0};
    for (int32_t i = 0; i < h->procs; i++) {
        gh_cleanup_block *b = &h->allp[i]->cleanups;
        if (b->n == 0) {
            continue;
        }
        take(&all, b);
        if (all.n == GH_CLEANUP_BLOCK) {
            push(h, &all);
            all = *b;
        }
        *b = (gh_cleanup_block){0};
    }
    push(h, &all);
}

void
gh_cleanups_flush_p(gh_heap *h, gh_p *p)
{
    push(h, &p->cleanups);
}

size_t
gh_cleanups_blocked(const gh_heap *h)
{
    size_t n = 0;
    for (int32_t i = 0; i < h->procs; i++) {
        n += h->allp[i]->cleanups.n;
    }
    return n;
}

void
gh_cleanups_fini(gh_heap *h)
{
    for (int32_t i = 0; i < h->procs; i++) {
        gh_cleanup_block *b = &h->allp[i]->cleanups;
        for (gh_call_node *x = b->first, *next; b->n > 0; x = next, b->n--) {
            next = x->next;
            free(x);
        }
    }
}
