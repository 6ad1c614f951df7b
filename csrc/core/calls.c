// calls.c: the queue of calls. See calls.h.

#include "calls.h"

#include <stdlib.h>

void
gh_calls_init(gh_calls *c)
{
    gh_mutex_init(&c->lock);
}

static size_t
free_list(gh_call_list *l)
{
    size_t n = 0;
    for (gh_call_node *node = l->first, *next; node != NULL; node = next) {
        next = node->next;
        free(node);
        n++;
    }
    *l = (gh_call_list){0};
    return n;
}

void
gh_calls_fini(gh_calls *c)
{
    (void)free_list(&c->due);
    for (unsigned i = 0; i < GH_CALL_KINDS; i++) {
        (void)free_list(&c->waiting[i]);
    }
    free(c->spare);
    gh_mutex_fini(&c->lock);
}

static void
append(gh_call_list *l, gh_call_node *node)
{
    node->next = NULL;
    if (l->first == NULL) {
        l->first = node;
    } else {
        l->last->next = node;
    }
    l->last = node;
}

static void
prepend(gh_call_list *l, gh_call_node *node)
{
    node->next = l->first;
    l->first = node;
    if (l->last == NULL) {
        l->last = node;
    }
}

// push is gh_calls_push with the lock held.
static void
push(gh_calls *c, gh_call_node *node)
{
    gh_call_list *l = &c->waiting[node->call.kind];
    if (node->call.kind == GH_CALL_FINALIZER) {
        prepend(l, node);
    } else {
        append(l, node);
    }
    c->queued[node->call.kind]++;
    atomic_fetch_add(&c->n, 1);
}

void
gh_calls_push(gh_calls *c, gh_call_node *node)
{
    gh_lock(&c->lock);
    push(c, node);
    gh_unlock(&c->lock);
}

void
gh_calls_push_block(gh_calls *c, gh_call_node *first, gh_call_node *last,
                    size_t n)
{
    const gh_call_kind kind = first->call.kind;
    gh_lock(&c->lock);
    gh_call_list *l = &c->waiting[kind];
    last->next = l->first;
    l->first = first;
    if (l->last == NULL) {
        l->last = last;
    }
    c->queued[kind] += n;
    atomic_fetch_add(&c->n, n);
    gh_unlock(&c->lock);
}

static gh_status
reserve(gh_calls *c)
{
    if (c->cycles && c->spare == NULL) {
        c->spare = malloc(sizeof(*c->spare));
        if (c->spare == NULL) {
            return GH_ERR_NOMEM;
        }
    }
    return GH_OK;
}

gh_status
gh_calls_reserve(gh_calls *c)
{
    gh_lock(&c->lock);
    const gh_status st = reserve(c);
    gh_unlock(&c->lock);
    return st;
}

void
gh_calls_cycle(gh_calls *c, uint64_t i)
{
    gh_lock(&c->lock);
    if (c->cycles) {
        c->spare->call = (gh_call){.kind = GH_CALL_CYCLE, .token = i};
        push(c, c->spare);
        c->spare = NULL;
    }
    gh_unlock(&c->lock);
}

// drop_cycles takes the calls about cycles out of what is due.
static size_t
drop_cycles(gh_calls *c)
{
    gh_call_list keep = {0};
    size_t dropped = 0;
    for (gh_call_node *node = c->due.first, *next; node != NULL; node = next) {
        next = node->next;
        if (node->call.kind == GH_CALL_CYCLE) {
            free(node);
            dropped++;
        } else {
            append(&keep, node);
        }
    }
    c->due = keep;
    c->ndue -= dropped;
    dropped += free_list(&c->waiting[GH_CALL_CYCLE]);
    c->taken[GH_CALL_CYCLE] += dropped;
    return dropped;
}

gh_status
gh_calls_set_cycles(gh_calls *c, bool on)
{
    gh_lock(&c->lock);
    const bool before = c->cycles;
    c->cycles = on;
    // A cycle may be under way that began without a record for it.
    const gh_status st = reserve(c);
    if (st != GH_OK) {
        c->cycles = before;
    } else if (!on) {
        atomic_fetch_sub(&c->n, drop_cycles(c));
    }
    gh_unlock(&c->lock);
    return st;
}

size_t
gh_calls_gather(gh_calls *c)
{
    gh_lock(&c->lock);
    for (unsigned i = 0; i < GH_CALL_KINDS; i++) {
        for (gh_call_node *node = c->waiting[i].first, *next; node != NULL;
             node = next) {
            next = node->next;
            append(&c->due, node);
            c->ndue++;
        }
        c->waiting[i] = (gh_call_list){0};
    }
    const size_t n = c->ndue;
    gh_unlock(&c->lock);
    return n;
}

bool
gh_calls_take(gh_calls *c, gh_call *out, uint32_t box[2])
{
    gh_lock(&c->lock);
    gh_call_node *node = c->due.first;
    if (node != NULL) {
        c->due.first = node->next;
        if (node->next == NULL) {
            c->due.last = NULL;
        }
        c->ndue--;
        c->taken[node->call.kind]++;
        atomic_fetch_sub(&c->n, 1);
    }
    gh_unlock(&c->lock);
    if (node == NULL) {
        return false;
    }
    *out = node->call;
    const bool boxed = node->call.kind == GH_CALL_CLEANUP;
    box[0] = boxed ? node->box[0] : 0;
    box[1] = boxed ? node->box[1] : 0;
    free(node);
    return true;
}

size_t
gh_calls_waiting(const gh_calls *c)
{
    return atomic_load_explicit(&c->n, memory_order_relaxed);
}

void
gh_calls_counts(gh_calls *c, uint64_t queued[GH_CALL_KINDS],
                uint64_t taken[GH_CALL_KINDS])
{
    gh_lock(&c->lock);
    for (unsigned i = 0; i < GH_CALL_KINDS; i++) {
        queued[i] = c->queued[i];
        taken[i] = c->taken[i];
    }
    gh_unlock(&c->lock);
}

static size_t
length(const gh_call_list *l)
{
    size_t n = 0;
    for (const gh_call_node *node = l->first; node != NULL; node = node->next) {
        n++;
    }
    return n;
}

size_t
gh_calls_count(gh_calls *c)
{
    gh_lock(&c->lock);
    size_t n = length(&c->due);
    for (unsigned i = 0; i < GH_CALL_KINDS; i++) {
        n += length(&c->waiting[i]);
    }
    gh_unlock(&c->lock);
    return n;
}
