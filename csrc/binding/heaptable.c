// heaptable.c: heaps by number, and how an operation gets into one.
//
// A handle knows its heap by a number of 32 bits: 16 bits of index into the
// table of the module state, 16 bits of generation. The generation grows when
// a heap ends, so the number of an ended heap is never found again; an index
// whose generations are used up is retired [inv:binding.heapid].
//
// Locking: the table's lock guards free list, type slots, choices and runners. With a
// GIL, the GIL does, and the lock is not taken.

#include "binding.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef Py_GIL_DISABLED
#define LOCK(t)   PyThread_acquire_lock((t)->lock, WAIT_LOCK)
#define UNLOCK(t) PyThread_release_lock((t)->lock)
#else
#define LOCK(t)   ((void)(t))
#define UNLOCK(t) ((void)(t))
#endif

int
table_init(heap_table *t)
{
    t->lock = PyThread_allocate_lock();
    if (t->lock == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    t->pid = (long)getpid();
    return 0;
}

void
table_fini(heap_table *t)
{
    for (size_t i = 0; i < HEAP_CHUNK; i++) {
        heap_entry *chunk = atomic_load(&t->chunk[i]);
        if (chunk == NULL) {
            continue;
        }
        for (size_t k = 0; k < HEAP_CHUNK; k++) {
            free(chunk[k].choices);
            free(chunk[k].types);
        }
        free(chunk);
        atomic_store(&t->chunk[i], NULL);
    }
    if (t->lock != NULL) {
        PyThread_free_lock(t->lock);
        t->lock = NULL;
    }
}

// take_entry finds a free place. The caller holds the lock.
static heap_entry *
take_entry(heap_table *t)
{
    if (t->free_head != 0) {
        heap_entry *e = table_entry(t, t->free_head - 1);
        t->free_head = e->next_free;
        return e;
    }
    if (t->made == HEAP_CHUNK * HEAP_CHUNK) {
        return NULL;
    }
    const uint32_t i = t->made;
    if (i % HEAP_CHUNK == 0) {
        heap_entry *chunk = calloc(HEAP_CHUNK, sizeof(*chunk));
        if (chunk == NULL) {
            return NULL;
        }
        for (uint32_t k = 0; k < HEAP_CHUNK; k++) {
            // Generations begin at 1: no handle has heap number 0.
            atomic_store(&chunk[k].id, 1u << HEAP_INDEX_BITS | (i + k));
            atomic_store(&chunk[k].users, ENTRY_DEAD | ENTRY_ENDED);
        }
        atomic_store_explicit(&t->chunk[i / HEAP_CHUNK], chunk,
                              memory_order_release);
    }
    t->made++;
    return table_entry(t, i);
}

heap_entry *
table_add(module_state *state, gh_heap *heap, PyObject *owner)
{
    PyObject *weak = PyWeakref_NewRef(owner, NULL);
    if (weak == NULL) {
        return NULL;
    }
    heap_table *t = &state->heaps;
    LOCK(t);
    heap_entry *e = take_entry(t);
    UNLOCK(t);
    if (e == NULL) {
        Py_DECREF(weak);
        PyErr_SetString(state->memory_error, "Heap: too many heaps at once");
        return NULL;
    }
    e->heap = heap;
    e->can_lose = gh_can_lose(heap);
    e->state = state;
    e->weak = weak;
    e->end = END_NONE;
    atomic_store(&e->lost, false);
    (void)atomic_fetch_and(&e->users, ~(ENTRY_DEAD | ENTRY_ENDED));
    return e;
}

void
entry_end(module_state *state, heap_entry *e)
{
    uint64_t idle = ENTRY_DEAD;
    if (!atomic_compare_exchange_strong(&e->users, &idle,
                                        ENTRY_DEAD | ENTRY_ENDED)) {
        return;
    }
    gh_heap *heap = e->heap;
    PyObject *weak = e->weak;
    type_slot **types = e->types;
    const uint32_t cap = e->types_cap;
    e->heap = NULL;
    e->weak = NULL;
    e->types = NULL;
    tap *taps = e->taps;
    e->taps = NULL;
    while (e->nspares > 0) {
        PyObject_Free(e->spare[--e->nspares]);  // the slots go with the heap
    }
    e->ntypes = e->types_cap = 0;
    atomic_store(&e->nchoices, 0);

    // The generation grows before anything else may run: from here on the
    // number is nobody's.
    const uint32_t id = atomic_load(&e->id);
    atomic_store(&e->id, id + (1u << HEAP_INDEX_BITS));
    Py_BEGIN_ALLOW_THREADS
    gh_heap_free(heap);
    Py_END_ALLOW_THREADS
    // A thread of that heap told this entry of what it did until now.
    heap_table *t = &state->heaps;
    if (id >> HEAP_INDEX_BITS != UINT16_MAX) {
        LOCK(t);
        e->next_free = t->free_head;
        t->free_head = (id & ((1u << HEAP_INDEX_BITS) - 1)) + 1;
        UNLOCK(t);
    }
    taps_end(taps);
    for (uint32_t i = 0; i < cap; i++) {
        if (types[i] != NULL) {
            Py_DECREF(types[i]->cls);
            free(types[i]);
        }
    }
    free(types);
    Py_DECREF(weak);
}

bool
runner_enter(heap_table *t, runner *r, uint32_t id)
{
    r->thread = PyThread_get_thread_ident();
    r->pid = (long)getpid();
    r->heap = id;
    LOCK(t);
    const runner *x = t->runners;
    while (x != NULL && x->thread != r->thread
           && (x->heap != id || x->pid != r->pid)) {
        x = x->next;
    }
    if (x == NULL) {
        r->next = t->runners;
        t->runners = r;
    }
    UNLOCK(t);
    return x == NULL;
}

void
runner_leave(heap_table *t, runner *r)
{
    LOCK(t);
    runner **at = &t->runners;
    while (*at != r) {
        at = &(*at)->next;
    }
    *at = r->next;
    UNLOCK(t);
}

void
table_forked(heap_table *t)
{
    // Whoever held it is not in this process. The old one is lost.
    PyThread_type_lock lock = PyThread_allocate_lock();
    if (lock != NULL) {
        t->lock = lock;
    }
    t->runners = NULL;
    for (uint32_t i = 0; i < t->made; i++) {
        heap_entry *e = table_entry(t, i);
        const uint64_t users = atomic_load(&e->users);
        atomic_store(&e->lost, (users & ENTRY_ENDED) != 0);
        if ((users & ENTRY_ENDED) == 0
            && ((users & ~ENTRY_DEAD) != 0
                || gh_heap_mode(e->heap) == GH_MODE_CONCURRENT)) {
            gh_heap_forked(e->heap);
            e->end = END_FORKED;
            // The one user is who will close it.
            atomic_store(&e->users, ENTRY_DEAD + 1);
        }
    }
    t->pid = (long)getpid();
}

bool
table_lost(heap_table *t, uint32_t id)
{
    return t->pid != (long)getpid() || atomic_load(&table_entry(t, id)->lost);
}

bool
entry_try_close(heap_entry *e)
{
    uint64_t none = 0;
    return atomic_compare_exchange_strong(&e->users, &none, ENTRY_DEAD);
}

void
entry_kill(module_state *state, heap_entry *e)
{
    if (atomic_fetch_or(&e->users, ENTRY_DEAD) == 0) {
        entry_end(state, e);
    }
}

heap_entry *
entry_hold(module_state *state, uint32_t id)
{
    heap_entry *e = table_entry(&state->heaps, id);
    if (e == NULL) {
        return NULL;
    }
    uint64_t users = atomic_load(&e->users);
    do {
        if ((users & ENTRY_ENDED) != 0 || atomic_load(&e->id) != id) {
            return NULL;
        }
    } while (!atomic_compare_exchange_weak(&e->users, &users, users + 1));
    if (atomic_load(&e->id) != id) {
        entry_unuse(state, e);  // ended and begun anew in between
        return NULL;
    }
    return e;
}

int32_t
entry_choice(module_state *state, heap_entry *e)
{
    if (atomic_load_explicit(&e->nchoices, memory_order_relaxed) == 0) {
        return GH_ANY_P;
    }
    const unsigned long me = PyThread_get_thread_ident();
    int32_t p = GH_ANY_P;
    LOCK(&state->heaps);
    const uint32_t n = atomic_load_explicit(&e->nchoices, memory_order_relaxed);
    for (uint32_t i = 0; i < n; i++) {
        if (e->choices[i].thread == me) {
            p = e->choices[i].p;
            break;
        }
    }
    UNLOCK(&state->heaps);
    return p;
}

int
entry_choose(module_state *state, heap_entry *e, int32_t p, int32_t *old)
{
    const unsigned long me = PyThread_get_thread_ident();
    int result = 0;
    LOCK(&state->heaps);
    const uint32_t n = atomic_load_explicit(&e->nchoices, memory_order_relaxed);
    uint32_t i = 0;
    while (i < n && e->choices[i].thread != me) {
        i++;
    }
    *old = i < n ? e->choices[i].p : GH_ANY_P;
    if (i < n && p == GH_ANY_P) {
        e->choices[i] = e->choices[n - 1];
        atomic_store(&e->nchoices, n - 1);
    } else if (i < n) {
        e->choices[i].p = p;
    } else if (p != GH_ANY_P) {
        if (n == e->choices_cap) {
            const uint32_t cap = n == 0 ? 4 : n * 2;
            p_choice *more = realloc(e->choices, cap * sizeof(*more));
            if (more == NULL) {
                result = -1;
            } else {
                e->choices = more;
                e->choices_cap = cap;
            }
        }
        if (result == 0) {
            e->choices[n] = (p_choice){.thread = me, .p = p};
            atomic_store(&e->nchoices, n + 1);
        }
    }
    UNLOCK(&state->heaps);
    if (result < 0) {
        PyErr_NoMemory();
    }
    return result;
}

#define LOOK_NS 50000000  // between two looks at signals while waiting for a P

// run_detached: alone stops the world around fn.
static gh_status
run_detached(heap_entry *e, int32_t p, bool alone, op_fn fn, void *arg)
{
    for (;;) {
        bool ran = false;
        gh_status st;
        Py_BEGIN_ALLOW_THREADS
        gh_mut *m;
        st = gh_enter_until(e->heap, p, LOOK_NS, &m);
        if (st == GH_OK) {
            ran = true;
            if (alone) {
                gh_stop_world(m);
            }
            st = fn(m, arg);
            if (st == GH_ERR_LOST) {
                entry_note_lost(e, m);
            }
            if (alone) {
                gh_start_world(m);
            }
            gh_leave(m);
        }
        Py_END_ALLOW_THREADS
        if (ran || st != GH_AGAIN || PyErr_CheckSignals() < 0) {
            return st;
        }
    }
}

void
entry_around_cycle(void *arg, bool begins)
{
    PyThreadState **ts = arg;
    if (begins) {
        *ts = PyEval_SaveThread();
    } else {
        PyEval_RestoreThread(*ts);
    }
}

gh_status
entry_run_detached(module_state *state, heap_entry *e, op_fn fn, void *arg)
{
    return run_detached(e, entry_choice(state, e), false, fn, arg);
}

typedef struct alone_args {
    op_fn fn;
    void *arg;
} alone_args;

static gh_status
op_alone(gh_mut *m, void *arg)
{
    const alone_args *a = arg;
    gh_stop_world(m);
    const gh_status st = a->fn(m, a->arg);
    gh_start_world(m);
    return st;
}

gh_status
entry_run_alone(module_state *state, heap_entry *e, op_fn fn, void *arg)
{
    alone_args a = {fn, arg};
    return entry_run(state, e, op_alone, &a);
}

gh_status
entry_look_detached(heap_entry *e, op_fn fn, void *arg)
{
    return run_detached(e, GH_ANY_P, true, fn, arg);
}

static uint32_t
type_hash(const class_object *c)
{
    return (uint32_t)((uintptr_t)c >> 4) * 0x9e3779b1u;
}

// find_slot returns the place of c in the table, or the empty one to put it.
static type_slot **
find_slot(type_slot **types, uint32_t cap, const class_object *c)
{
    uint32_t i = type_hash(c) & (cap - 1);
    while (types[i] != NULL && types[i]->cls != c) {
        i = (i + 1) & (cap - 1);
    }
    return &types[i];
}

// add_type_slot enters c. The caller holds the lock.
static type_slot *
add_type_slot(heap_entry *e, class_object *c)
{
    if (2 * (e->ntypes + 1) > e->types_cap) {
        const uint32_t cap = e->types_cap == 0 ? 8 : 2 * e->types_cap;
        type_slot **more = calloc(cap, sizeof(*more));
        if (more == NULL) {
            return NULL;
        }
        for (uint32_t i = 0; i < e->types_cap; i++) {
            if (e->types[i] != NULL) {
                *find_slot(more, cap, e->types[i]->cls) = e->types[i];
            }
        }
        free(e->types);
        e->types = more;
        e->types_cap = cap;
    }
    type_slot *slot = malloc(sizeof(*slot));
    if (slot == NULL) {
        return NULL;
    }
    Py_INCREF(c);
    *slot = (type_slot){.cls = c};
    *find_slot(e->types, e->types_cap, c) = slot;
    e->ntypes++;
    return slot;
}

type_slot *
entry_type(module_state *state, heap_entry *e, class_object *c)
{
    LOCK(&state->heaps);
    type_slot *slot =
        e->types_cap == 0 ? NULL : *find_slot(e->types, e->types_cap, c);
    if (slot == NULL) {
        slot = add_type_slot(e, c);
    }
    UNLOCK(&state->heaps);
    if (slot == NULL) {
        PyErr_NoMemory();
    }
    return slot;
}

const gh_type *
entry_type_made(const heap_entry *e, const class_object *c)
{
    const type_slot *slot =
        e->types_cap == 0 ? NULL : *find_slot(e->types, e->types_cap, c);
    return slot == NULL
               ? NULL
               : atomic_load_explicit(&slot->type, memory_order_acquire);
}

gh_status
type_slot_get(gh_mut *m, type_slot *slot, const gh_type **out)
{
    const gh_type *t = atomic_load(&slot->type);
    if (t == NULL) {
        // An array's type is that of its elements, under the array's class:
        // so a pointer to one finds the array again.
        const class_object *c = slot->cls;
        const gh_type_desc desc = {
            .name = c->type.ht_type.tp_name,
            .size = c->role == ROLE_ARRAY ? c->elem.size : c->size,
            .align = c->align,
            .ptrdata = c->ptrdata,
            .mask = c->mask,
            .user = (uintptr_t)c,
        };
        gh_status st = gh_type_new(m, &desc, &t);
        if (st != GH_OK) {
            return st;
        }
        const gh_type *none = NULL;
        if (!atomic_compare_exchange_strong(&slot->type, &none, t)) {
            t = none;  // another thread was first
        }
    }
    *out = t;
    return GH_OK;
}
