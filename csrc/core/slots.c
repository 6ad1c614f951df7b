// slots.c: the handle table. See slots.h.

#include "slots.h"

#include <stdlib.h>
#include <string.h>

// An outgrown array of chunk pointers: a thread that drops a handle may still
// read it, so it stays until the table ends.
typedef struct old_array {
    struct old_array *next;
    gh_handle_chunk *chunk[];
} old_array;

static gh_status
add_chunk(gh_handles *t)
{
    gh_handle_chunk **chunks = gh_handles_chunks(t);
    if (t->nchunks == t->cap) {
        const uint32_t cap = t->cap == 0 ? 16 : t->cap * 2;
        old_array *a = calloc(1, sizeof(*a) + cap * sizeof(a->chunk[0]));
        if (a == NULL) {
            return GH_ERR_NOMEM;
        }
        if (t->nchunks > 0) {
            memcpy(a->chunk, chunks, t->nchunks * sizeof(a->chunk[0]));
        }
        a->next = t->old;
        t->old = a;
        chunks = a->chunk;
        atomic_store_explicit(&t->chunk, chunks, memory_order_release);
        t->cap = cap;
    }
    gh_handle_chunk *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return GH_ERR_NOMEM;
    }
    // Nobody asks for a number of the new chunk before it is handed out.
    chunks[t->nchunks++] = c;
    return GH_OK;
}

gh_status
gh_handles_alloc(gh_handles *t, uint32_t *id)
{
    if (t->free != 0) {
        *id = t->free;
        t->free = *gh_handles_link(t, *id);
        *gh_handles_link(t, *id) = GH_HANDLE_CLIENTS;
        t->live++;
        return GH_OK;
    }
    if (t->made == t->nchunks * GH_HANDLE_CHUNK) {
        if (t->made == UINT32_MAX - GH_HANDLE_CHUNK + 1) {
            return GH_ERR_NOMEM;
        }
        gh_status st = add_chunk(t);
        if (st != GH_OK) {
            return st;
        }
    }
    *id = ++t->made;
    t->live++;
    return GH_OK;
}

void
gh_handles_push_pending(gh_handles *t, uint32_t id)
{
    uint32_t *link = gh_handles_link(t, id);
    uint32_t head = atomic_load_explicit(&t->pending, memory_order_relaxed);
    do {
        // Who looks at handles in a stop may read it.
        __atomic_store_n(link, head, __ATOMIC_RELAXED);
    } while (!atomic_compare_exchange_weak_explicit(
        &t->pending, &head, id, memory_order_release, memory_order_relaxed));
}

uint32_t
gh_handles_release(gh_handles *t, uint32_t id)
{
    uint32_t *link = gh_handles_link(t, id);
    const uint32_t next = *link;
    GH_ASSERT(gh_handles_slot(t, id)->word == 0);
    GH_ASSERT(t->live > 0);
    *link = t->free;
    t->free = id;
    t->live--;
    return next;
}

void
gh_handles_fini(gh_handles *t)
{
    for (uint32_t i = 0; i < t->nchunks; i++) {
        free(gh_handles_chunks(t)[i]);
    }
    for (old_array *a = t->old; a != NULL;) {
        old_array *next = a->next;
        free(a);
        a = next;
    }
    memset(t, 0, sizeof(*t));
}
