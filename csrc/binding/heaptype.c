// heaptype.c: HeapPart, the C part of goheap.Heap, and the functions on handles
// that ask a heap.
//
// The Heap object owns its heap: closing it, or losing it, ends the heap and
// with it every handle. An allocation is one step: arguments are converted
// first (which may run Python code), then the heap is entered, and what fails
// inside leaves no object behind that anything reaches.

#include "binding.h"

#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "structmember.h"

static bool
is_forked(const heap_object *self)
{
    return self->entry != NULL && atomic_load(&self->entry->id) == self->id
           && self->entry->end == END_FORKED;
}

heap_entry *
heap_use(heap_object *self, const char *what)
{
    heap_entry *e = entry_use_of(self->state, self->entry, self->id);
    if (e != NULL) {
        return e;
    }
    if (is_forked(self)) {
        PyErr_Format(self->state->state_error,
                     "Heap.%s: this heap came here by fork() with threads that "
                     "stayed behind: it can only be closed", what);
    } else {
        PyErr_Format(self->state->closed_error, "Heap.%s: this heap is closed",
                     what);
    }
    return NULL;
}

// ---- making and ending ------------------------------------------------------------

static int
read_options(PyObject *kwargs, gh_options *opt, bool *manual)
{
    static char *names[] = {"gogc", "memory_limit", "procs", "mode",
                            "hard_limit", "globals_scan", "stack_scan",
                            "address_space", "policy", "debug", "costs",
                            "manual", "seed", "huge_pages", NULL};
    unsigned long long seed;
    PyObject *gogc, *soft, *procs, *hard, *globals, *stacks, *space, *policy,
        *debug, *costs;
    int mode, by_hand, huge;
    PyObject *none = PyTuple_New(0);
    if (none == NULL) {
        return -1;
    }
    const int ok = PyArg_ParseTupleAndKeywords(
        none, kwargs, "$OOOiOOOOOOOpKp:Heap", names, &gogc, &soft, &procs,
        &mode, &hard, &globals, &stacks, &space, &policy, &debug, &costs,
        &by_hand, &seed, &huge);
    Py_DECREF(none);
    if (!ok) {
        return -1;
    }
    *manual = by_hand != 0;
    gh_options_init(opt);
    opt->track_types = true;
    opt->seed = seed;
    opt->huge_pages = huge != 0;
    opt->mode = (gh_mode)mode;
    int64_t n = 0, limit = GH_LIMIT_OFF;
    if (convert_percent(gogc, "gogc", &opt->gogc) < 0
        || convert_int(procs, "procs", 1, GH_MAX_PROCS, &n) < 0
        || convert_limit(soft, "memory_limit", &opt->memory_limit) < 0
        || convert_limit(hard, "hard_limit", &limit) < 0
        || convert_size(globals, "globals_scan", MAX_SETTING,
                        &opt->globals_scan) < 0
        || convert_size(stacks, "stack_scan", MAX_SETTING,
                        &opt->stack_scan) < 0
        || convert_size(space, "address_space", (uint64_t)1 << 46,
                        &opt->address_space) < 0
        || settings_policy(policy, opt->mode == GH_MODE_STW, &opt->policy) < 0
        || settings_debug(debug, &opt->debug) < 0
        || settings_costs(costs, &opt->costs) < 0) {
        return -1;
    }
    opt->procs = (int32_t)n;
    if (limit != GH_LIMIT_OFF) {
        opt->hard_limit = (uint64_t)limit;
    }
    if (opt->address_space < (uint64_t)1 << 30) {
        PyErr_Format(PyExc_ValueError,
                     "address_space must be at least 1 GiB, not %llu",
                     (unsigned long long)opt->address_space);
        return -1;
    }
    return 0;
}

static PyObject *
heap_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    module_state *state = state_of_type(type);
    if (state == NULL) {
        return NULL;
    }
    if (PyTuple_GET_SIZE(args) != 0) {
        PyErr_SetString(PyExc_TypeError,
                        "Heap takes its settings by name: Heap(gogc=50)");
        return NULL;
    }
    gh_options opt;
    bool manual;
    if (read_options(kwargs, &opt, &manual) < 0) {
        return NULL;
    }
    heap_object *self = (heap_object *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->state = state;
    self->manual = manual;
    self->concurrent = opt.mode == GH_MODE_CONCURRENT;
    opt.policy.portable_kernels = state->portable_kernels;
    gh_heap *heap;
    fault_run *faults = faults_enter(state, &opt.mem_ops, &opt.mem_ctx);
    const gh_status st = gh_heap_new(&opt, &heap);
    faults_leave(faults);
    if (st == GH_ERR_NOMEM && opt.hard_limit != UINT64_MAX) {
        Py_DECREF(self);
        PyErr_Format(state->memory_error, "Heap: a heap needs more than a "
                     "hard_limit of %llu bytes, or the system refused",
                     (unsigned long long)opt.hard_limit);
        return NULL;
    }
    if (st != GH_OK) {
        Py_DECREF(self);
        return set_status_error(state, st, "Heap");
    }
    heap_entry *e = table_add(state, heap, (PyObject *)self);
    if (e == NULL) {
        gh_heap_free(heap);
        Py_DECREF(self);
        return NULL;
    }
    self->entry = e;
    self->id = atomic_load(&e->id);
    return (PyObject *)self;
}

static void
heap_dealloc(PyObject *op)
{
    heap_object *self = (heap_object *)op;
    PyTypeObject *type = Py_TYPE(op);
    if (self->weaklist != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    if (self->entry != NULL && atomic_load(&self->entry->id) == self->id) {
        const bool forked = is_forked(self);
        self->entry->end = END_GONE;
        if (forked) {
            entry_unuse(self->state, self->entry);
        } else {
            entry_kill(self->state, self->entry);
        }
    }
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *
heap_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    heap_object *self = (heap_object *)op;
    heap_entry *e = self->entry;
    if (e == NULL || atomic_load(&e->id) != self->id) {
        Py_RETURN_NONE;
    }
    if (!is_forked(self) && !entry_try_close(e)) {
        if (atomic_load(&e->id) != self->id) {
            Py_RETURN_NONE;  // closed meanwhile by another thread
        }
        PyErr_SetString(self->state->state_error,
                        "Heap.close: another thread is inside this heap");
        return NULL;
    }
    if (is_forked(self)) {
        e->end = END_CLOSED;
        entry_unuse(self->state, e);
        Py_RETURN_NONE;
    }
    e->end = END_CLOSED;
    entry_end(self->state, e);
    Py_RETURN_NONE;
}

static PyObject *
heap_closed(PyObject *op, void *Py_UNUSED(closure))
{
    const heap_object *self = (heap_object *)op;
    return PyBool_FromLong(self->entry == NULL
                           || atomic_load(&self->entry->id) != self->id);
}

static PyObject *
heap_get_huge_pages(PyObject *op, void *Py_UNUSED(closure))
{
    static const char *const names[] = {
        [GH_HUGE_OFF] = "off", [GH_HUGE_ON] = "on", [GH_HUGE_REFUSED] = "refused",
    };
    heap_object *self = (heap_object *)op;
    heap_entry *e = heap_use(self, "huge_pages");
    if (e == NULL) {
        return NULL;
    }
    const char *name = names[gh_huge_pages(e->heap)];
    entry_unuse(self->state, e);
    return PyUnicode_FromString(name);
}

// ---- allocation -------------------------------------------------------------------

// new_args go into the operations that allocate. slot is NULL for a block.
typedef struct new_args {
    type_slot *slot;
    uint64_t n;   // elements, or bytes of a block
    uint32_t id;  // out; before: the slot of a spare handle, or 0
    uint64_t addr;
} new_args;

static gh_status
op_new(gh_mut *m, void *arg)
{
    new_args *a = arg;
    gh_heap *heap = gh_mut_heap(m);
    const gh_type *t = NULL;
    gh_status st = GH_OK;
    if (a->slot != NULL) {
        st = type_slot_get(m, a->slot, &t);
    }
    const bool own = a->id == 0;
    if (own && st == GH_OK) {
        st = gh_handle_new(m, &a->id);
    }
    if (st != GH_OK) {
        return st;
    }
    gh_slot *slot = gh_handle_slot(heap, a->id);
    st = t == NULL ? gh_alloc(m, slot, a->n) : gh_new(m, slot, t, a->n);
    if (st != GH_OK) {
        if (own) {
            gh_handle_drop(heap, a->id);
        }
        return st;
    }
    a->addr = gh_addr(heap, slot);
    return GH_OK;
}

// quick_object is make_object, heap_use and all, when the spare handle and the free
// slot are at hand and nobody else is about, which it mostly is; NULL, without an
// exception, if not. t is NULL for a block of n bytes.
static inline PyObject *
quick_object(heap_object *self, class_object *c, const gh_type *t, uint64_t n,
             int64_t len)
{
    heap_entry *e = self->entry;
    if (!entry_quiet(e, self->id) || e->nspares == 0
        || atomic_load_explicit(&e->nchoices, memory_order_relaxed) != 0) {
        return NULL;
    }
    handle_object *spare = e->spare[e->nspares - 1];
    const uint64_t addr = t == NULL ? gh_alloc_quick(e->heap, spare->slot, n)
                                    : gh_new_quick(e->heap, spare->slot, t);
    if (addr == 0) {
        return NULL;
    }
    e->nspares--;
    return handle_init(spare, self->id, c, addr, len);
}

// make_object allocates n elements of c, or n bytes if c is the class of
// blocks. bytes is the request, for the message.
static PyObject *
make_object(heap_object *self, heap_entry *e, class_object *c, uint64_t n,
            uint64_t bytes, int64_t len, const char *what)
{
    module_state *state = self->state;
    new_args a = {.n = n};
    if (c->role != ROLE_BLOCK) {
        a.slot = entry_type(state, e, c);
        if (a.slot == NULL) {
            return NULL;
        }
    }
    handle_object *spare = handle_take(e);
    if (spare != NULL) {
        a.id = spare->slot;
    }
    const gh_status st = entry_run(state, e, op_new, &a);
    if (st != GH_OK) {
        handle_put_back(e, spare);
        return st == GH_ERR_NOMEM ? set_memory_error(state, e, bytes, what)
                                  : set_status_error(state, st, what);
    }
    return handle_make(e, spare, self->id, c, a.id, a.addr, len);
}

class_object *
ready_class(module_state *state, PyObject *cls, const char *what)
{
    class_object *c = (class_object *)cls;
    if (class_check(state, cls) && c->ready && c->role == ROLE_WORDS) {
        return c;
    }
    if (!class_check(state, cls) || cls == state->ref || cls == state->struct_
        || !PyType_IsSubtype((PyTypeObject *)cls,
                             (PyTypeObject *)state->struct_)) {
        PyErr_Format(PyExc_TypeError,
                     "%s: a struct class (a subclass of Struct, or words()) is "
                     "needed, not %R", what, cls);
        return NULL;
    }
    if (!c->ready) {
        PyObject *types = state_types(state);
        PyObject *done = types == NULL
                             ? NULL
                             : PyObject_CallMethod(types, "_finish_empty", "O",
                                                   cls);
        if (done == NULL) {
            return NULL;
        }
        Py_DECREF(done);
    }
    return c;
}

// field_of finds the field that a keyword names.
static field_object *
field_of(const class_object *c, PyObject *name)
{
    PyObject *f = c->fields == NULL
                      ? NULL : PyDict_GetItemWithError(c->fields, name);
    if (f == NULL && !PyErr_Occurred()) {
        PyObject *names = c->fields == NULL ? PyList_New(0)
                                            : PyDict_Keys(c->fields);
        PyObject *sep = PyUnicode_FromString(", ");
        PyObject *all = names == NULL || sep == NULL
                            ? NULL : PyUnicode_Join(sep, names);
        if (all != NULL) {
            PyErr_Format(PyExc_TypeError,
                         "Heap.new: %s has no field %R (it has: %U)",
                         c->type.ht_type.tp_name, name, all);
        }
        Py_XDECREF(names);
        Py_XDECREF(sep);
        Py_XDECREF(all);
    }
    return (field_object *)f;
}

typedef struct pending {
    field_object *field;
    cell value;
} pending;

static PyObject *
new_with_fields(heap_object *self, class_object *c, pending *p, Py_ssize_t n)
{
    heap_entry *e = heap_use(self, "new");
    if (e == NULL) {
        return NULL;
    }
    PyObject *made = make_object(self, e, c, 1, c->size, -1, "Heap.new");
    for (Py_ssize_t i = 0; made != NULL && i < n; i++) {
        field_object *f = p[i].field;
        const place at = {.field = f, .cls = c};
        if (codec_put(self->state, e, &f->codec, &at, (handle_object *)made,
                      f->offset, &p[i].value) < 0) {
            Py_CLEAR(made);
        }
    }
    heap_unuse(self, e);
    return made;
}

#define FIELDS_ON_STACK 16

static PyObject *
heap_new_object(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    heap_object *self = (heap_object *)op;
    if (nargs != 1) {
        PyErr_Format(PyExc_TypeError,
                     "Heap.new takes a struct class, then fields by name; it "
                     "got %zd positional arguments", nargs);
        return NULL;
    }
    class_object *c = ready_class(self->state, args[0], "Heap.new");
    if (c == NULL) {
        return NULL;
    }
    const Py_ssize_t n = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    if (n == 0 && entry_quiet(self->entry, self->id)) {
        const gh_type *t = entry_type_made(self->entry, c);
        PyObject *quick = t == NULL ? NULL : quick_object(self, c, t, 1, -1);
        if (quick != NULL) {
            return quick;
        }
    }
    pending few[FIELDS_ON_STACK];
    pending *p = few;
    if (n > FIELDS_ON_STACK) {
        p = PyMem_Malloc((size_t)n * sizeof(*p));
        if (p == NULL) {
            return PyErr_NoMemory();
        }
    }
    PyObject *made = NULL;
    Py_ssize_t i = 0;
    for (; i < n; i++) {
        p[i].field = field_of(c, PyTuple_GET_ITEM(kwnames, i));
        if (p[i].field == NULL) {
            break;
        }
        const place at = {.field = p[i].field, .cls = c};
        if (codec_convert(self->state, &p[i].field->codec, &at, self->id,
                          args[1 + i], &p[i].value) < 0) {
            break;
        }
    }
    if (i == n) {
        made = new_with_fields(self, c, p, n);
    }
    if (p != few) {
        PyMem_Free(p);
    }
    return made;
}

// The largest request: half the largest window that a heap can ask for.
#define MAX_REQUEST ((uint64_t)1 << 45)

static PyObject *
heap_alloc(PyObject *op, PyObject *arg)
{
    heap_object *self = (heap_object *)op;
    uint64_t size;
    class_object *c = (class_object *)self->state->block;
    if (convert_small(arg, &size)) {
        PyObject *quick = quick_object(self, c, NULL, size, (int64_t)size);
        if (quick != NULL) {
            return quick;
        }
    }
    if (convert_size(arg, "size", MAX_REQUEST, &size) < 0) {
        return NULL;
    }
    heap_entry *e = heap_use(self, "alloc");
    if (e == NULL) {
        return NULL;
    }
    PyObject *made =
        make_object(self, e, c, size, size, (int64_t)size, "Heap.alloc");
    heap_unuse(self, e);
    return made;
}

// _array(cls, n): cls is the array class that goheap.types made.
static PyObject *
heap_array(PyObject *op, PyObject *args)
{
    heap_object *self = (heap_object *)op;
    PyObject *cls, *count;
    if (!PyArg_ParseTuple(args, "OO:array", &cls, &count)) {
        return NULL;
    }
    class_object *c = (class_object *)cls;
    if (!class_check(self->state, cls) || !c->ready || c->role != ROLE_ARRAY
        || c->fixed_n >= 0) {
        PyErr_SetString(PyExc_TypeError, "Heap.array: no class of arrays");
        return NULL;
    }
    const uint64_t size = c->elem.size;
    uint64_t n;
    if (PyBool_Check(count) || !PyIndex_Check(count)) {
        PyErr_Format(PyExc_TypeError, "n must be an int, not '%.100s'",
                     Py_TYPE(count)->tp_name);
        return NULL;
    }
    if (convert_size(count, "n", size == 0 ? INT64_MAX : MAX_REQUEST / size, &n)
        < 0) {
        return NULL;
    }
    heap_entry *e = heap_use(self, "array");
    if (e == NULL) {
        return NULL;
    }
    PyObject *made = make_object(self, e, c, n, n * size, (int64_t)n,
                                 "Heap.array");
    heap_unuse(self, e);
    return made;
}

// ---- the collector and the settings ------------------------------------------------

static gh_status
op_collect(gh_mut *m, void *arg)
{
    const gh_status st = gh_gc(m);
    if (st != GH_OK) {
        return st;
    }
    gh_heap *heap = gh_mut_heap(m);
    return gh_cycle_get(heap, gh_cycles(heap) - 1, arg);
}

static gh_status
op_gc_start(gh_mut *m, void *Py_UNUSED(arg))
{
    return gh_gc_start(m);
}

static gh_status
op_gc_finish(gh_mut *m, void *arg)
{
    const gh_status st = gh_gc_finish(m);
    if (st != GH_OK) {
        return st;
    }
    gh_heap *heap = gh_mut_heap(m);
    return gh_cycle_get(heap, gh_cycles(heap) - 1, arg);
}

// step_args collects the addresses of a step, without Python.
typedef struct addr_list {
    uint64_t *at;
    size_t n, cap;
} addr_list;

typedef struct step_args {
    uint64_t n, left;
    addr_list lists[2];  // greyed, scanned
    bool lost;           // an address found no memory
    int32_t procs;
} step_args;

static void
note_step(void *arg, bool scanned, uint64_t addr)
{
    step_args *a = arg;
    addr_list *l = &a->lists[scanned];
    if (l->n == l->cap) {
        const size_t cap = l->cap == 0 ? 16 : 2 * l->cap;
        uint64_t *more = realloc(l->at, cap * sizeof(*more));
        if (more == NULL) {
            a->lost = true;
            return;
        }
        l->at = more;
        l->cap = cap;
    }
    l->at[l->n++] = addr;
}

static gh_status
op_gc_step(gh_mut *m, void *arg)
{
    step_args *a = arg;
    a->procs = gh_procs(gh_mut_heap(m));
    return gh_gc_step(m, a->n, note_step, a, &a->left);
}

static gh_status
op_free_os_memory(gh_mut *m, void *Py_UNUSED(arg))
{
    return gh_free_os_memory(m);
}

static PyObject *
heap_collect(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    heap_object *self = (heap_object *)op;
    heap_entry *e = heap_use(self, "collect");
    if (e == NULL) {
        return NULL;
    }
    gh_cycle c;
    const gh_status st = entry_run_detached(self->state, e, op_collect, &c);
    heap_unuse(self, e);
    return st != GH_OK ? set_status_error(self->state, st, "Heap.collect")
                       : cycle_tuple(&c);
}

// by_hand_error is the error of a step that needs, or must not find, a cycle.
static PyObject *
by_hand_error(heap_object *self, gh_status st, const char *what)
{
    if (st != GH_ERR_STATE) {
        return set_status_error(self->state, st, what);
    }
    if (self->concurrent) {
        PyErr_Format(self->state->state_error, "%s: in mode \"concurrent\" "
                     "threads run the cycles; drive one by hand in \"stw\" or "
                     "\"virtual\"", what);
        return NULL;
    }
    PyErr_Format(self->state->state_error, "%s: %s", what,
                 strcmp(what, "Heap.gc_start") == 0
                     ? "a cycle runs already"
                     : "no cycle runs; begin one with gc_start()");
    return NULL;
}

static PyObject *
heap_gc_start(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    heap_object *self = (heap_object *)op;
    heap_entry *e = heap_use(self, "gc_start");
    if (e == NULL) {
        return NULL;
    }
    const gh_status st = entry_run_detached(self->state, e, op_gc_start, NULL);
    heap_unuse(self, e);
    if (st != GH_OK) {
        return by_hand_error(self, st, "Heap.gc_start");
    }
    Py_RETURN_NONE;
}

static PyObject *
heap_gc_finish(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    heap_object *self = (heap_object *)op;
    heap_entry *e = heap_use(self, "gc_finish");
    if (e == NULL) {
        return NULL;
    }
    gh_cycle c;
    const gh_status st = entry_run_detached(self->state, e, op_gc_finish, &c);
    heap_unuse(self, e);
    return st != GH_OK ? by_hand_error(self, st, "Heap.gc_finish")
                       : cycle_tuple(&c);
}

static PyObject *
addr_tuple(const addr_list *l)
{
    PyObject *t = PyTuple_New((Py_ssize_t)l->n);
    for (size_t i = 0; t != NULL && i < l->n; i++) {
        PyObject *a = PyLong_FromUnsignedLongLong(l->at[i]);
        if (a == NULL) {
            Py_CLEAR(t);
            break;
        }
        PyTuple_SET_ITEM(t, (Py_ssize_t)i, a);
    }
    return t;
}

// _gc_step(n): (scanned, greyed, left, procs)
static PyObject *
heap_gc_step(PyObject *op, PyObject *arg)
{
    heap_object *self = (heap_object *)op;
    step_args a = {0};
    int64_t n;
    if (convert_int(arg, "n", 0, INT64_MAX, &n) < 0) {
        return NULL;
    }
    a.n = (uint64_t)n;
    heap_entry *e = heap_use(self, "gc_step");
    if (e == NULL) {
        return NULL;
    }
    const gh_status st = entry_run_detached(self->state, e, op_gc_step, &a);
    heap_unuse(self, e);
    PyObject *result = NULL;
    if (st != GH_OK) {
        by_hand_error(self, st, "Heap.gc_step");
    } else if (a.lost) {
        PyErr_NoMemory();
    } else {
        PyObject *greyed = addr_tuple(&a.lists[0]);
        PyObject *scanned = greyed == NULL ? NULL : addr_tuple(&a.lists[1]);
        if (scanned != NULL) {
            result = Py_BuildValue("NNKi", scanned, greyed,
                                   (unsigned long long)a.left, (int)a.procs);
        } else {
            Py_XDECREF(greyed);
        }
    }
    free(a.lists[0].at);
    free(a.lists[1].at);
    return result;
}

static PyObject *
heap_free_os_memory(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    heap_object *self = (heap_object *)op;
    heap_entry *e = heap_use(self, "free_os_memory");
    if (e == NULL) {
        return NULL;
    }
    const gh_status st =
        entry_run_detached(self->state, e, op_free_os_memory, NULL);
    heap_unuse(self, e);
    if (st != GH_OK) {
        return set_status_error(self->state, st, "Heap.free_os_memory");
    }
    Py_RETURN_NONE;
}

static gh_status
op_set_memory_limit(gh_mut *m, void *arg)
{
    (void)gh_set_memory_limit(m, *(int64_t *)arg);
    return GH_OK;
}

static gh_status
op_advance(gh_mut *m, void *arg)
{
    gh_advance(m, *(int64_t *)arg);
    return GH_OK;
}

static gh_status
op_set_gogc(gh_mut *m, void *arg)
{
    (void)gh_set_gogc(m, *(int32_t *)arg);
    return GH_OK;
}

// op_set_procs moves to P 0 first: the caller's own P must stay.
static gh_status
op_set_procs(gh_mut *m, void *arg)
{
    return gh_set_procs(m, *(int32_t *)arg);
}

// _next_cycle(goal, trigger): for the next cycle; 0: the pacer's.
static gh_status
op_next_cycle(gh_mut *m, void *arg)
{
    const uint64_t *a = arg;
    gh_set_next_cycle(m, a[0], a[1]);
    return GH_OK;
}

static PyObject *
heap_next_cycle(PyObject *op, PyObject *args)
{
    heap_object *self = (heap_object *)op;
    unsigned long long goal, trigger;
    if (!PyArg_ParseTuple(args, "KK:_next_cycle", &goal, &trigger)) {
        return NULL;
    }
    heap_entry *e = heap_use(self, "on_cycle");
    if (e == NULL) {
        return NULL;
    }
    uint64_t a[2] = {goal, trigger};
    const gh_status st = entry_run(self->state, e, op_next_cycle, a);
    entry_unuse(self->state, e);
    if (st != GH_OK) {
        return set_status_error(self->state, st, "Heap.on_cycle");
    }
    Py_RETURN_NONE;
}

static int
no_delete(PyObject *value, const char *name)
{
    if (value == NULL) {
        PyErr_Format(PyExc_AttributeError, "Heap.%s can be set, not deleted",
                     name);
        return -1;
    }
    return 0;
}

static gh_status
op_gogc(gh_mut *m, void *arg)
{
    *(int64_t *)arg = gh_gogc(gh_mut_heap(m));
    return GH_OK;
}

static gh_status
op_memory_limit(gh_mut *m, void *arg)
{
    *(int64_t *)arg = gh_memory_limit(gh_mut_heap(m));
    return GH_OK;
}

static gh_status
op_procs(gh_mut *m, void *arg)
{
    *(int64_t *)arg = gh_procs(gh_mut_heap(m));
    return GH_OK;
}

// read_setting asks inside the heap: another thread may be changing it.
static int
read_setting(PyObject *op, op_fn fn, const char *what, int64_t *out)
{
    heap_object *self = (heap_object *)op;
    heap_entry *e = heap_use(self, what);
    if (e == NULL) {
        return -1;
    }
    const gh_status st = entry_look(e, fn, out);
    entry_unuse(self->state, e);
    if (st != GH_OK) {
        set_status_error(self->state, st, what);
        return -1;
    }
    return 0;
}

static PyObject *
heap_get_gogc(PyObject *op, void *Py_UNUSED(closure))
{
    int64_t v;
    if (read_setting(op, op_gogc, "gogc", &v) < 0) {
        return NULL;
    }
    if (v < 0) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLongLong(v);
}

static int
heap_set_gogc(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    heap_object *self = (heap_object *)op;
    int32_t percent;
    if (no_delete(value, "gogc") < 0
        || convert_percent(value, "gogc", &percent) < 0) {
        return -1;
    }
    heap_entry *e = heap_use(self, "gogc");
    if (e == NULL) {
        return -1;
    }
    const gh_status st = entry_run(self->state, e, op_set_gogc, &percent);
    heap_unuse(self, e);
    if (st != GH_OK) {
        set_status_error(self->state, st, "Heap.gogc");
        return -1;
    }
    return 0;
}

static PyObject *
heap_get_memory_limit(PyObject *op, void *Py_UNUSED(closure))
{
    int64_t v;
    if (read_setting(op, op_memory_limit, "memory_limit", &v) < 0) {
        return NULL;
    }
    if (v == GH_LIMIT_OFF) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLongLong(v);
}

static int
heap_set_memory_limit(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    heap_object *self = (heap_object *)op;
    int64_t limit;
    if (no_delete(value, "memory_limit") < 0
        || convert_limit(value, "memory_limit", &limit) < 0) {
        return -1;
    }
    heap_entry *e = heap_use(self, "memory_limit");
    if (e == NULL) {
        return -1;
    }
    const gh_status st = entry_run(self->state, e, op_set_memory_limit, &limit);
    heap_unuse(self, e);
    if (st != GH_OK) {
        set_status_error(self->state, st, "Heap.memory_limit");
        return -1;
    }
    return 0;
}

static PyObject *
heap_advance(PyObject *op, PyObject *arg)
{
    heap_object *self = (heap_object *)op;
    int64_t ns;
    if (convert_int(arg, "ns", 0, (int64_t)1 << 53, &ns) < 0) {
        return NULL;
    }
    heap_entry *e = heap_use(self, "advance");
    if (e == NULL) {
        return NULL;
    }
    if (self->concurrent) {
        entry_unuse(self->state, e);
        PyErr_SetString(self->state->state_error, "Heap.advance: in mode "
                        "\"concurrent\" time passes by itself");
        return NULL;
    }
    const gh_status st = entry_run_detached(self->state, e, op_advance, &ns);
    heap_unuse(self, e);
    if (st != GH_OK) {
        return set_status_error(self->state, st, "Heap.advance");
    }
    Py_RETURN_NONE;
}

static PyObject *
heap_get_procs(PyObject *op, void *Py_UNUSED(closure))
{
    int64_t v;
    return read_setting(op, op_procs, "procs", &v) < 0 ? NULL
                                                       : PyLong_FromLongLong(v);
}

static int
heap_set_procs(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    heap_object *self = (heap_object *)op;
    int64_t n;
    if (no_delete(value, "procs") < 0
        || convert_int(value, "procs", 1, GH_MAX_PROCS, &n) < 0) {
        return -1;
    }
    heap_entry *e = heap_use(self, "procs");
    if (e == NULL) {
        return -1;
    }
    int32_t procs = (int32_t)n;
    int32_t old = GH_ANY_P;
    // The Ps above the new number end; P 0 always stays. What on_p chose is
    // for the next entries, not for this one.
    gh_status st = GH_OK;
    int status = entry_choose(self->state, e, 0, &old);
    if (status == 0) {
        st = entry_run(self->state, e, op_set_procs, &procs);
        int32_t zero;
        status = entry_choose(self->state, e, old, &zero);
    }
    heap_unuse(self, e);
    if (status == 0 && st != GH_OK) {
        set_status_error(self->state, st, "Heap.procs");
        status = -1;
    }
    return status;
}

// _choose_p(p): the P that this thread enters on from now on, None for any;
// returns the choice before. For Heap.on_p.
static PyObject *
heap_choose_p(PyObject *op, PyObject *arg)
{
    heap_object *self = (heap_object *)op;
    int64_t p = GH_ANY_P, procs;
    if (read_setting(op, op_procs, "on_p", &procs) < 0
        || (arg != Py_None && convert_int(arg, "p", 0, procs - 1, &p) < 0)) {
        return NULL;
    }
    heap_entry *e = heap_use(self, "on_p");
    if (e == NULL) {
        return NULL;
    }
    int32_t old;
    const int status = entry_choose(self->state, e, (int32_t)p, &old);
    entry_unuse(self->state, e);
    if (status < 0) {
        return NULL;
    }
    if (old == GH_ANY_P) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLong(old);
}

// ---- numbers ------------------------------------------------------------------------

static gh_status
op_stats(gh_mut *m, void *arg)
{
    gh_stats(m, arg);
    return GH_OK;
}

static gh_status
op_read_mem_stats(gh_mut *m, void *arg)
{
    gh_read_mem_stats(m, arg);
    return GH_OK;
}

static PyObject *
stats_with(PyObject *op, op_fn fn, const char *what)
{
    heap_object *self = (heap_object *)op;
    heap_entry *e = heap_use(self, what);
    if (e == NULL) {
        return NULL;
    }
    gh_memstats *s = PyMem_Malloc(sizeof(*s));
    gh_status st = GH_ERR_NOMEM;
    if (s != NULL) {
        st = fn == op_stats ? entry_look(e, fn, s)
                            : entry_run(self->state, e, fn, s);
    }
    if (fn == op_stats) {
        entry_unuse(self->state, e);
    } else {
        heap_unuse(self, e);
    }
    PyObject *tuple = NULL;
    if (s == NULL) {
        PyErr_NoMemory();
    } else if (st != GH_OK) {
        set_status_error(self->state, st, what);
    } else {
        tuple = memstats_tuple(s);
    }
    PyMem_Free(s);
    return tuple;
}

static PyObject *
heap_stats(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return stats_with(op, op_stats, "stats");
}

static PyObject *
heap_read_mem_stats(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return stats_with(op, op_read_mem_stats, "read_mem_stats");
}

static gh_status
op_metrics(gh_mut *m, void *arg)
{
    gh_metrics_get(m, arg);
    return GH_OK;
}

// _metrics(histogram): a dict; histogram is the class of those that are one.
static PyObject *
heap_metrics(PyObject *op, PyObject *histogram)
{
    heap_object *self = (heap_object *)op;
    heap_entry *e = heap_use(self, "metrics");
    if (e == NULL) {
        return NULL;
    }
    gh_metrics *m = PyMem_Malloc(sizeof(*m));
    const gh_status st = m == NULL ? GH_ERR_NOMEM : entry_look(e, op_metrics, m);
    entry_unuse(self->state, e);
    PyObject *dict = NULL;
    if (m == NULL) {
        PyErr_NoMemory();
    } else if (st != GH_OK) {
        set_status_error(self->state, st, "Heap.metrics");
    } else {
        dict = metrics_dict(m, histogram);
    }
    PyMem_Free(m);
    return dict;
}

typedef enum gauge {
    HEAP_LIVE, HEAP_GOAL, TRIGGER, NUM_GC, NOW, PHASE, CHECKMARKS
} gauge;

static const struct {
    const char *name;
} gauges[] = {{"heap_live"}, {"heap_goal"}, {"trigger"}, {"num_gc"},
              {"now_ns"}, {"phase"}};

// gauge_args: read by the holder of a P, so that no gauge is half of a step.
typedef struct gauge_args {
    gauge which;
    uint64_t value;
} gauge_args;

static gh_status
op_gauge(gh_mut *m, void *arg)
{
    gauge_args *a = arg;
    const gh_heap *heap = gh_mut_heap(m);
    switch (a->which) {
    case HEAP_LIVE: a->value = gh_heap_live(heap); break;
    case HEAP_GOAL: a->value = gh_heap_goal(heap); break;
    case TRIGGER: a->value = gh_trigger(heap); break;
    case NUM_GC: a->value = gh_cycles(heap); break;
    case CHECKMARKS: a->value = gh_checkmarks(heap); break;
    case NOW: a->value = (uint64_t)gh_now(heap); break;
    case PHASE: a->value = (uint64_t)gh_gc_phase(heap); break;
    }
    return GH_OK;
}

static PyObject *
heap_gauge(PyObject *op, void *closure)
{
    heap_object *self = (heap_object *)op;
    gauge_args a = {.which = (gauge)(uintptr_t)closure};
    heap_entry *e = heap_use(self, gauges[a.which].name);
    if (e == NULL) {
        return NULL;
    }
    const gh_status st = entry_look(e, op_gauge, &a);
    entry_unuse(self->state, e);
    return st != GH_OK
               ? set_status_error(self->state, st, gauges[a.which].name)
               : PyLong_FromUnsignedLongLong(a.value);
}

typedef struct cycle_args {
    uint64_t i;
    gh_cycle cycle;
} cycle_args;

static gh_status
op_cycle(gh_mut *m, void *arg)
{
    cycle_args *a = arg;
    return gh_cycle_get(gh_mut_heap(m), a->i, &a->cycle);
}

// _cycle(i): cycle number i, from 0.
static PyObject *
heap_cycle(PyObject *op, PyObject *arg)
{
    heap_object *self = (heap_object *)op;
    cycle_args a;
    if (convert_uint64(arg, "cycle", &a.i) < 0) {
        return NULL;
    }
    heap_entry *e = heap_use(self, "cycles");
    if (e == NULL) {
        return NULL;
    }
    const gh_status st = entry_look(e, op_cycle, &a);
    entry_unuse(self->state, e);
    if (st == GH_ERR_INVAL) {
        PyErr_Format(PyExc_IndexError, "there is no cycle %llu",
                     (unsigned long long)a.i);
        return NULL;
    }
    return st != GH_OK ? set_status_error(self->state, st, "Heap.cycles")
                       : cycle_tuple(&a.cycle);
}

// ---- looking inside --------------------------------------------------------------------

// lines collects what gh_verify reports, without Python: it may run detached.
typedef struct lines {
    char *text;  // each line ends with '\n'
    size_t len, cap;
    bool lost;   // a line found no memory
} lines;

static void
add_line(void *arg, const char *line)
{
    lines *l = arg;
    const size_t n = strlen(line);
    if (l->len + n + 1 > l->cap) {
        const size_t cap = 2 * (l->cap + n + 1);
        char *more = realloc(l->text, cap);
        if (more == NULL) {
            l->lost = true;
            return;
        }
        l->text = more;
        l->cap = cap;
    }
    memcpy(l->text + l->len, line, n);
    l->len += n;
    l->text[l->len++] = '\n';
}

// op_verify answers GH_ERR_LOST if there are lost objects, for the path to one.
static gh_status
op_verify(gh_mut *m, void *arg)
{
    (void)gh_verify(m, add_line, arg);
    return gh_lost(gh_mut_heap(m)) > 0 ? GH_ERR_LOST : GH_OK;
}

// _verify(): what is broken, one line each, as one str; and of a lost object
// (what is said of it, its path), or None.
static PyObject *
heap_verify(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    heap_object *self = (heap_object *)op;
    heap_entry *e = heap_use(self, "verify");
    if (e == NULL) {
        return NULL;
    }
    lines l = {0};
    const gh_status st = entry_look_detached(e, op_verify, &l);
    entry_unuse(self->state, e);
    PyObject *result = NULL;
    const char *text = l.text == NULL ? "" : l.text;
    if (st != GH_OK && st != GH_ERR_LOST) {
        set_status_error(self->state, st, "Heap.verify");
    } else if (l.lost) {
        PyErr_NoMemory();
    } else if (st == GH_OK) {
        result = Py_BuildValue(
            "NO", PyUnicode_DecodeUTF8(text, (Py_ssize_t)l.len, "replace"),
            Py_None);
    } else {
        PyObject *says;
        PyObject *path = lost_path_take(self->state, &says);
        if (path != NULL) {
            result = Py_BuildValue(
                "N(NN)", PyUnicode_DecodeUTF8(text, (Py_ssize_t)l.len, "replace"),
                says, path);
        }
    }
    free(l.text);
    return result;
}

typedef struct info_args {
    const gh_slot *slot;  // or NULL: addr
    uint64_t addr;
    gh_object object;
    char name[128];       // of the type
    char label[128];      // "": none
    gh_color color;
} info_args;

// copy_name copies a name that may be too long: it is cut between two characters.
static void
copy_name(char *to, size_t cap, const char *name)
{
    size_t n = strlen(name);
    if (n > cap - 1) {
        n = cap - 1;
        while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80) {
            n--;
        }
    }
    memcpy(to, name, n);
    to[n] = 0;
}

static gh_status
op_info(gh_mut *m, void *arg)
{
    info_args *a = arg;
    gh_heap *heap = gh_mut_heap(m);
    const gh_status st = a->slot != NULL
                             ? gh_object_at(heap, a->slot, &a->object)
                             : gh_object_at_addr(heap, a->addr, &a->object);
    if (st != GH_OK) {
        return st;
    }
    const gh_type *t = a->object.type_id > GH_TYPE_BYTES
                           ? gh_type_by_id(heap, a->object.type_id) : NULL;
    const char *name = a->object.type_id == GH_TYPE_BYTES ? "Block" : "";
    if (t != NULL) {
        gh_type_desc desc;
        gh_type_get(t, &desc);
        name = desc.name;
    }
    copy_name(a->name, sizeof(a->name), name);
    (void)gh_color_at(heap, a->object.addr, &a->color);
    const char *label = gh_label_at(heap, a->object.addr);
    copy_name(a->label, sizeof(a->label), label == NULL ? "" : label);
    return GH_OK;
}

int
handle_of_heap(module_state *state, uint32_t id, PyObject *arg,
               const char *what)
{
    const handle_object *h = (handle_object *)arg;
    if (h->heap == id) {
        return 0;
    }
    heap_entry *other = entry_use(state, h->heap);
    if (other == NULL) {
        set_dead_error(state, h);
        return -1;
    }
    entry_unuse(state, other);
    PyErr_Format(state->foreign_error,
                 "%s: %R is a handle of another heap", what, arg);
    return -1;
}

// _info(at): (addr, base, size, elemsize, type, label, color, span, slot,
// spanclass, header)
static PyObject *
heap_info(PyObject *op, PyObject *arg)
{
    heap_object *self = (heap_object *)op;
    module_state *state = self->state;
    info_args a = {0};
    const bool handle = handle_check(state, arg);
    if (!handle && (PyBool_Check(arg) || !PyIndex_Check(arg))) {
        PyErr_Format(PyExc_TypeError,
                     "Heap.info: a handle, an address or a label is needed, "
                     "not '%.100s'", Py_TYPE(arg)->tp_name);
        return NULL;
    }
    if (!handle && convert_uint64(arg, "address", &a.addr) < 0) {
        return NULL;
    }
    heap_entry *e = heap_use(self, "info");
    if (e == NULL) {
        return NULL;
    }
    PyObject *result = NULL;
    if (handle && handle_of_heap(state, self->id, arg, "Heap.info") < 0) {
        goto out;
    }
    if (handle) {
        a.slot = gh_handle_slot(e->heap, ((handle_object *)arg)->slot);
        a.addr = handle_addr((handle_object *)arg);
    }
    const gh_status st = entry_look(e, op_info, &a);
    if (st == GH_ERR_BADPTR || st == GH_ERR_INVAL) {
        char text[32];
        (void)snprintf(text, sizeof(text), "0x%llx",
                       (unsigned long long)a.addr);
        PyErr_Format(PyExc_LookupError, "Heap.info: no live object at %s",
                     text);
    } else if (st != GH_OK) {
        set_status_error(state, st, "Heap.info");
    } else {
        const gh_object *o = &a.object;
        typedef unsigned long long ull;
        static const char *const colors[] = {"white", "grey", "black"};
        result = Py_BuildValue("KKKKszsKIiO", (ull)a.addr, (ull)o->addr,
                               (ull)o->size, (ull)o->elemsize, a.name,
                               a.label[0] == 0 ? NULL : a.label,
                               colors[a.color],
                               (ull)o->span_base, (unsigned)o->index,
                               (int)o->spanclass,
                               o->header ? Py_True : Py_False);
    }
out:
    entry_unuse(state, e);
    return result;
}

typedef struct label_args {
    uint64_t addr;
    const char *name;  // NULL: take it away
} label_args;

static gh_status
op_label(gh_mut *m, void *arg)
{
    const label_args *a = arg;
    return gh_label_set(m, a->addr, a->name);
}

static gh_status
op_find_label(gh_mut *m, void *arg)
{
    label_args *a = arg;
    return gh_label_find(gh_mut_heap(m), a->name, &a->addr);
}

#define MAX_LABEL 100  // bytes

// _label(address, name or None)
static PyObject *
heap_label(PyObject *op, PyObject *args)
{
    heap_object *self = (heap_object *)op;
    unsigned long long addr;
    Py_ssize_t len = 0;
    label_args a = {0};
    if (!PyArg_ParseTuple(args, "Kz#:label", &addr, &a.name, &len)) {
        return NULL;
    }
    if (a.name != NULL && (len == 0 || len > MAX_LABEL
                           || strlen(a.name) != (size_t)len)) {
        PyErr_Format(PyExc_ValueError, "Heap.label: a label has 1..%d bytes and "
                     "no zero byte, not %zd", MAX_LABEL, len);
        return NULL;
    }
    heap_entry *e = heap_use(self, "label");
    if (e == NULL) {
        return NULL;
    }
    a.addr = addr;
    const gh_status st = entry_run_alone(self->state, e, op_label, &a);
    heap_unuse(self, e);
    if (st == GH_ERR_STATE) {
        PyErr_Format(PyExc_ValueError, "Heap.label: another object is called "
                     "'%s'", a.name);
    } else if (st == GH_ERR_BADPTR) {
        PyErr_SetString(PyExc_LookupError, "Heap.label: no live object there, or "
                        "one of size 0, and those are all the same");
    } else if (st != GH_OK) {
        set_status_error(self->state, st, "Heap.label");
    } else {
        Py_RETURN_NONE;
    }
    return NULL;
}

// _find_label(name): the address; LookupError.
static PyObject *
heap_find_label(PyObject *op, PyObject *arg)
{
    heap_object *self = (heap_object *)op;
    label_args a = {.name = PyUnicode_AsUTF8(arg)};
    if (a.name == NULL) {
        return NULL;
    }
    heap_entry *e = heap_use(self, "label");
    if (e == NULL) {
        return NULL;
    }
    const gh_status st = entry_look(e, op_find_label, &a);
    entry_unuse(self->state, e);
    if (st == GH_ERR_LOST) {
        return set_status_error(self->state, st, "label");
    }
    if (st != GH_OK) {
        PyErr_Format(PyExc_LookupError, "no object is called %R", arg);
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(a.addr);
}

// ---- functions on handles -----------------------------------------------------------------

static handle_object *
handle_arg(PyObject *module, PyObject *arg, const char *what)
{
    module_state *state = PyModule_GetState(module);
    if (!handle_check(state, arg)) {
        PyErr_Format(PyExc_TypeError, "%s: a handle is needed, not '%.100s'",
                     what, Py_TYPE(arg)->tp_name);
        return NULL;
    }
    return (handle_object *)arg;
}

PyObject *
ref_heap_of(PyObject *module, PyObject *arg)
{
    module_state *state = PyModule_GetState(module);
    const handle_object *h = handle_arg(module, arg, "heap_of");
    heap_entry *e = h == NULL ? NULL : handle_use(state, h);
    if (e == NULL) {
        return NULL;
    }
#if PY_VERSION_HEX >= 0x030d0000
    PyObject *heap;
    const int found = PyWeakref_GetRef(e->weak, &heap);
#else
    PyObject *heap = PyWeakref_GetObject(e->weak);
    const int found = heap == NULL ? -1 : heap != Py_None;
    heap = found > 0 ? Py_NewRef(heap) : NULL;
#endif
    entry_unuse(state, e);
    return found == 0 ? set_dead_error(state, h) : heap;  // 0: just being lost
}

PyObject *
ref_address_of(PyObject *module, PyObject *arg)
{
    module_state *state = PyModule_GetState(module);
    const handle_object *h = handle_arg(module, arg, "address_of");
    heap_entry *e = h == NULL ? NULL : handle_use(state, h);
    if (e == NULL) {
        return NULL;
    }
    entry_unuse(state, e);
    return PyLong_FromUnsignedLongLong(handle_addr(h));
}

PyObject *
ref_sizeof(PyObject *module, PyObject *arg)
{
    module_state *state = PyModule_GetState(module);
    const handle_object *h = handle_arg(module, arg, "sizeof");
    heap_entry *e = h == NULL ? NULL : handle_use(state, h);
    if (e == NULL) {
        return NULL;
    }
    const int64_t size = handle_check_lost(state, e, h, "sizeof") < 0
                             ? -1 : handle_size(state, e, h);
    entry_unuse(state, e);
    return size < 0 ? NULL : PyLong_FromLongLong(size);
}

// ---- the type -------------------------------------------------------------------------------

#define METHOD(f) (PyCFunction)(void (*)(void))(f)

static PyMethodDef heap_methods[] = {
    {"close", heap_close, METH_NOARGS,
     "close($self, /)\n--\n\n"
     "End this heap now; twice is fine. Its handles are dead from then on; "
     "memory\nthat a live buffer shows stays until that buffer goes. "
     "HeapStateError while\nanother thread is inside."},
    {"new", METHOD(heap_new_object), METH_FASTCALL | METH_KEYWORDS,
     "new($self, cls, /, **fields)\n--\n\n"
     "A zeroed object of a struct class, then its fields set in order."},
    {"alloc", heap_alloc, METH_O,
     "alloc($self, size, /)\n--\n\n"
     "size bytes without pointers, zeroed, as make([]byte, size). size is an "
     "int or\nGo's spelling (\"64KiB\"); 0 gives Go's one zero-size object."},
    {"free_os_memory", heap_free_os_memory, METH_NOARGS,
     "free_os_memory($self, /)\n--\n\n"
     "debug.FreeOSMemory(): collect, then return every free page."},
    {"roots", heap_roots, METH_O,
     "roots($self, n, /)\n--\n\n"
     "n empty root slots: a program's global variables."},
    {"_new_many", heap_new_many, METH_VARARGS, NULL},
    {"_label", heap_label, METH_VARARGS, NULL},
    {"_find_label", heap_find_label, METH_O, NULL},
    {"advance", heap_advance, METH_O,
     "advance($self, ns, /)\n--\n\n"
     "Let virtual time pass: workers, sweeper, scavenger and the two-minute "
     "timer get\ntheirs. HeapStateError in mode \"concurrent\"."},
    {"_array", heap_array, METH_VARARGS, NULL},
    {"run_pending", heap_run_pending, METH_VARARGS,
     "run_pending($self, limit=None, /)\n--\n\n"
     "Run calls that wait now, at most limit; returns how many. They run in order: "
     "those\nof on_cycle, then finalizers, then cleanups. 0 inside such a call, "
     "and while another\nthread runs this heap's."},
    {"_quietly", heap_quietly, METH_O, NULL},
    {"_set_finalizer", heap_set_finalizer, METH_VARARGS, NULL},
    {"_clear_finalizer", heap_clear_finalizer, METH_O, NULL},
    {"_add_cleanup", heap_add_cleanup, METH_VARARGS, NULL},
    {"_stop_cleanup", heap_stop_cleanup, METH_VARARGS, NULL},
    {"_weak", heap_weak, METH_O, NULL},
    {"_weak_addr", heap_weak_addr, METH_O, NULL},
    {"_ref_at", heap_ref_at, METH_O, NULL},
    {"_pin", heap_pin, METH_O, NULL},
    {"_profile", heap_profile, METH_NOARGS, NULL},
    {"_profile_site", heap_profile_site, METH_O, NULL},
    {"_cycle_calls", heap_cycle_calls, METH_O, NULL},
    {"_next_cycle", heap_next_cycle, METH_VARARGS, NULL},
    {"gc_start", heap_gc_start, METH_NOARGS,
     "gc_start($self, /)\n--\n\n"
     "Begin a cycle that is driven by hand: what the roots hold is grey, the "
     "write barrier\nis on, new objects are black. HeapStateError if one runs, "
     "and in mode \"concurrent\"."},
    {"_gc_step", heap_gc_step, METH_O, NULL},
    {"_gc_finish", heap_gc_finish, METH_NOARGS, NULL},
    {"_collect", heap_collect, METH_NOARGS, NULL},
    {"_stats", heap_stats, METH_NOARGS, NULL},
    {"_read_mem_stats", heap_read_mem_stats, METH_NOARGS, NULL},
    {"_metrics", heap_metrics, METH_O, NULL},
    {"_cycle", heap_cycle, METH_O, NULL},
    {"_verify", heap_verify, METH_NOARGS, NULL},
    {"_info", heap_info, METH_O, NULL},
    {"_choose_p", heap_choose_p, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

// heap_adopt makes the methods that cls does not override its own: the interpreter
// has its quick way of calling one only for objects of just the type that the method
// was made for.
PyObject *
heap_adopt(PyObject *module, PyObject *cls)
{
    const module_state *state = PyModule_GetState(module);
    if (!PyType_Check(cls)
        || !PyType_IsSubtype((PyTypeObject *)cls, state->heap_type)) {
        PyErr_SetString(PyExc_TypeError, "heap_adopt: a subclass of HeapPart");
        return NULL;
    }
    for (PyMethodDef *m = heap_methods; m->ml_name != NULL; m++) {
        PyObject *inherited =
            PyObject_GetAttrString((PyObject *)state->heap_type, m->ml_name);
        PyObject *present = PyObject_GetAttrString(cls, m->ml_name);
        int status = inherited == NULL || present == NULL ? -1 : 0;
        if (inherited == present && status == 0) {
            PyObject *own = PyDescr_NewMethod((PyTypeObject *)cls, m);
            status = own == NULL
                         ? -1 : PyObject_SetAttrString(cls, m->ml_name, own);
            Py_XDECREF(own);
        }
        Py_XDECREF(inherited);
        Py_XDECREF(present);
        if (status < 0) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

static PyGetSetDef heap_getset[] = {
    {"closed", heap_closed, NULL, "Whether close() was called.", NULL},
    {"huge_pages", heap_get_huge_pages, NULL,
     "What became of huge_pages=True: \"on\"; \"refused\" once the system said no to a part "
     "of the\nheap, which has small pages there and works as ever; \"off\" when it was not "
     "asked for.", NULL},
    {"gogc", heap_get_gogc, heap_set_gogc,
     "GOGC in percent, None when off. It may be set at any time, to a "
     "percentage, None\nor \"off\".", NULL},
    {"memory_limit", heap_get_memory_limit, heap_set_memory_limit,
     "GOMEMLIMIT in bytes, None when off. It may be set at any time.", NULL},
    {"procs", heap_get_procs, heap_set_procs,
     "GOMAXPROCS: the number of Ps, each with its mcache. Ps that end give "
     "back\ntheir spans.", NULL},
    {"heap_live", heap_gauge, NULL,
     "Bytes that the pacer counts as live: marked by the last cycle and "
     "allocated since.", (void *)HEAP_LIVE},
    {"heap_goal", heap_gauge, NULL, "Bytes that the next cycle aims at.",
     (void *)HEAP_GOAL},
    {"trigger", heap_gauge, NULL, "heap_live at which the next cycle begins.",
     (void *)TRIGGER},
    {"profile_rate", heap_get_profile_rate, heap_set_profile_rate,
     "Bytes between two samples of the heap profile, on average (MemProfileRate): "
     "0 none,\n1 all. Go's own default is \"512KiB\".", NULL},
    {"num_gc", heap_gauge, NULL, "Finished cycles.", (void *)NUM_GC},
    {"_phase", heap_gauge, NULL, NULL, (void *)PHASE},
    {"pending", heap_pending, NULL,
     "Calls of on_cycle, finalizers and cleanups that wait.", NULL},
    {"_checkmarks", heap_gauge, NULL, NULL, (void *)CHECKMARKS},
    {"now_ns", heap_gauge, NULL, "The heap's clock, ns since its birth: virtual in \"stw\" and "
     "\"virtual\", monotonic in\n\"concurrent\".",
     (void *)NOW},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef heap_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(heap_object, weaklist), READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot heap_slots[] = {
    {Py_tp_doc, "C part of goheap.Heap."},
    {Py_tp_new, (void *)(uintptr_t)heap_new},
    {Py_tp_dealloc, (void *)(uintptr_t)heap_dealloc},
    {Py_tp_methods, heap_methods},
    {Py_tp_getset, heap_getset},
    {Py_tp_members, heap_members},
    {0, NULL},
};

static PyType_Spec heap_spec = {
    .name = "goheap._core.HeapPart",
    .basicsize = sizeof(heap_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = heap_slots,
};

int
heap_type_init(PyObject *module, module_state *state)
{
    state->heap_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &heap_spec, NULL);
    if (state->heap_type == NULL) {
        return -1;
    }
    return PyModule_AddType(module, state->heap_type);
}
