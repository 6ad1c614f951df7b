// final.c: finalizers, cleanups, weak pointers and pins, for goheap.heap.
//
// Python functions lie outside the heap. The core has a number for each that is
// attached to an object; Heap._calls, a dict of the Heap's own, has what belongs to
// it: (function, class, length) of a finalizer, (function, arguments) of a cleanup.
// So the collector of Python sees them, and they go with the Heap.

#include "binding.h"

#define BOX_LENGTH 16  // of a weak pointer's box, which a Block handle holds

typedef struct final_args {
    gh_heap *heap;
    const gh_slot *slot;
    bool inner;
    uint64_t token;
    uint64_t id;
    bool done;
    uint32_t handle;
    uint64_t addr;
    // Of add_cleanup: handles that must not be of the same object.
    const gh_slot **other;
    Py_ssize_t nother;
    int refused;  // index + 1
} final_args;

// use_ref begins an operation on the object of a handle of this Heap; NULL with an
// exception.
static heap_entry *
use_ref(heap_object *self, PyObject *arg, const char *what, final_args *a)
{
    if (!handle_check(self->state, arg)) {
        PyErr_Format(PyExc_TypeError, "Heap.%s: a handle is needed, not "
                     "'%.100s'", what, Py_TYPE(arg)->tp_name);
        return NULL;
    }
    heap_entry *e = heap_use(self, what);
    if (e == NULL) {
        return NULL;
    }
    if (handle_of_heap(self->state, self->id, arg, what) < 0) {
        entry_unuse(self->state, e);
        return NULL;
    }
    a->heap = e->heap;
    a->slot = gh_handle_slot(e->heap, ((handle_object *)arg)->slot);
    return e;
}

// is_small: a pointer to what c describes, as Go sees it, is one to less than 16
// bytes without pointers.
static bool
is_small(const class_object *c)
{
    switch (c->role) {
    case ROLE_ABSTRACT:
        return false;
    case ROLE_BLOCK:
        return true;  // to a byte
    case ROLE_ARRAY: {
        const uint64_t n = c->fixed_n < 0 ? 1 : (uint64_t)c->fixed_n;
        return !codec_has_pointers(&c->elem) && n * c->elem.size < 16;
    }
    default:
        return c->ptrdata == 0 && c->size < 16;
    }
}

// ---- finalizers -----------------------------------------------------------------

static gh_status
op_set_finalizer(gh_mut *m, void *arg)
{
    final_args *a = arg;
    return gh_finalizer_set(m, a->slot, a->inner, a->token, &a->done);
}

// _set_finalizer(ref, token): whether it is set; not that of the zero-size object.
PyObject *
heap_set_finalizer(PyObject *op, PyObject *args)
{
    heap_object *self = (heap_object *)op;
    PyObject *ref;
    final_args a = {0};
    unsigned long long token;
    if (!PyArg_ParseTuple(args, "OK:_set_finalizer", &ref, &token)) {
        return NULL;
    }
    heap_entry *e = use_ref(self, ref, "set_finalizer", &a);
    if (e == NULL) {
        return NULL;
    }
    a.token = token;
    a.inner = is_small(handle_class((handle_object *)ref));
    const gh_status st = entry_run_alone(self->state, e, op_set_finalizer, &a);
    heap_unuse(self, e);
    switch (st) {
    case GH_OK:
        return PyBool_FromLong(a.done);
    case GH_ERR_STATE:
        return PyErr_Format(PyExc_ValueError, "Heap.set_finalizer: %R has a "
                            "finalizer; take it away with None first", ref);
    case GH_ERR_INVAL:
        return PyErr_Format(PyExc_ValueError, "Heap.set_finalizer: %R isn't the "
                            "beginning of its object", ref);
    default:
        return set_status_error(self->state, st, "Heap.set_finalizer");
    }
}

static gh_status
op_clear_finalizer(gh_mut *m, void *arg)
{
    final_args *a = arg;
    a->done = gh_finalizer_clear(m, a->slot, &a->token);
    return GH_OK;
}

// _clear_finalizer(ref): its token, or None.
PyObject *
heap_clear_finalizer(PyObject *op, PyObject *ref)
{
    heap_object *self = (heap_object *)op;
    final_args a = {0};
    heap_entry *e = use_ref(self, ref, "set_finalizer", &a);
    if (e == NULL) {
        return NULL;
    }
    const gh_status st = entry_run_alone(self->state, e, op_clear_finalizer, &a);
    heap_unuse(self, e);
    if (st != GH_OK) {
        return set_status_error(self->state, st, "Heap.set_finalizer");
    }
    if (!a.done) {
        Py_RETURN_NONE;
    }
    return PyLong_FromUnsignedLongLong(a.token);
}

// ---- cleanups --------------------------------------------------------------------

// same_object: as AddCleanup asks. Parts of one tiny block are different objects.
static bool
same_object(const final_args *a, const gh_slot *other)
{
    gh_object x, y;
    if (a->slot->word == other->word) {
        return true;
    }
    return gh_object_at(a->heap, a->slot, &x) == GH_OK
           && gh_object_at(a->heap, other, &y) == GH_OK && x.elemsize != 0
           && x.span_base == y.span_base && x.index == y.index
           && x.addr == y.addr;
}

static gh_status
op_add_cleanup(gh_mut *m, void *arg)
{
    final_args *a = arg;
    for (Py_ssize_t i = 0; i < a->nother; i++) {
        if (same_object(a, a->other[i])) {
            a->refused = (int)i + 1;
            return GH_ERR_INVAL;
        }
    }
    return gh_cleanup_add(m, a->slot, a->token, &a->id);
}

// _add_cleanup(ref, token, refs): its number; 0 of the zero-size object. refs is a
// list of handles that would keep the object alive for ever if they were its own.
PyObject *
heap_add_cleanup(PyObject *op, PyObject *args)
{
    heap_object *self = (heap_object *)op;
    PyObject *ref, *refs;
    final_args a = {0};
    unsigned long long token;
    if (!PyArg_ParseTuple(args, "OKO!:_add_cleanup", &ref, &token, &PyList_Type,
                          &refs)) {
        return NULL;
    }
    const Py_ssize_t n = PyList_GET_SIZE(refs);
    a.other = PyMem_Malloc(((size_t)n + 1) * sizeof(a.other[0]));
    if (a.other == NULL) {
        return PyErr_NoMemory();
    }
    heap_entry *e = use_ref(self, ref, "add_cleanup", &a);
    if (e == NULL) {
        PyMem_Free(a.other);
        return NULL;
    }
    a.token = token;
    for (Py_ssize_t i = 0; i < n; i++) {
        const handle_object *h = (handle_object *)PyList_GET_ITEM(refs, i);
        if (handle_check(self->state, (PyObject *)h) && h->heap == self->id) {
            a.other[a.nother++] = gh_handle_slot(e->heap, h->slot);
        }
    }
    const gh_status st = entry_run_alone(self->state, e, op_add_cleanup, &a);
    PyMem_Free(a.other);
    if (st == GH_ERR_NOMEM) {
        set_memory_error(self->state, e, 32, "Heap.add_cleanup");
    }
    heap_unuse(self, e);
    if (st == GH_ERR_INVAL) {
        return PyErr_Format(PyExc_ValueError, "Heap.add_cleanup: the function or "
                            "an argument of it keeps %R alive: it would never be "
                            "called", ref);
    }
    if (st == GH_ERR_NOMEM) {
        return NULL;
    }
    return st != GH_OK
               ? set_status_error(self->state, st, "Heap.add_cleanup")
               : PyLong_FromUnsignedLongLong(a.id);
}

static gh_status
op_stop_cleanup(gh_mut *m, void *arg)
{
    final_args *a = arg;
    a->done = gh_cleanup_stop(m, a->addr, a->id);
    return GH_OK;
}

// _stop_cleanup(addr, number): whether it was there.
PyObject *
heap_stop_cleanup(PyObject *op, PyObject *args)
{
    heap_object *self = (heap_object *)op;
    final_args a = {0};
    unsigned long long addr, id;
    if (!PyArg_ParseTuple(args, "KK:_stop_cleanup", &addr, &id)) {
        return NULL;
    }
    heap_entry *e = heap_use(self, "Cleanup.stop");
    if (e == NULL) {
        return NULL;
    }
    a.addr = addr;
    a.id = id;
    const gh_status st = entry_run_alone(self->state, e, op_stop_cleanup, &a);
    heap_unuse(self, e);
    return st != GH_OK ? set_status_error(self->state, st, "Cleanup.stop")
                       : PyBool_FromLong(a.done);
}

// ---- weak pointers -----------------------------------------------------------------

static gh_status
op_weak(gh_mut *m, void *arg)
{
    final_args *a = arg;
    gh_status st = gh_handle_new(m, &a->handle);
    if (st != GH_OK) {
        return st;
    }
    gh_slot *box = gh_handle_slot(a->heap, a->handle);
    st = gh_weak_make(m, box, a->slot);
    if (st != GH_OK) {
        gh_handle_drop(a->heap, a->handle);
        return st;
    }
    a->addr = gh_addr(a->heap, box);
    return GH_OK;
}

// _weak(ref): a handle of its box.
PyObject *
heap_weak(PyObject *op, PyObject *ref)
{
    heap_object *self = (heap_object *)op;
    final_args a = {0};
    heap_entry *e = use_ref(self, ref, "weak", &a);
    if (e == NULL) {
        return NULL;
    }
    const gh_status st = entry_run_alone(self->state, e, op_weak, &a);
    PyObject *box = NULL;
    if (st == GH_ERR_NOMEM) {
        set_memory_error(self->state, e, 16, "Heap.weak");
    } else if (st != GH_OK) {
        set_status_error(self->state, st, "Heap.weak");
    } else {
        box = handle_make(e, NULL, self->id, (class_object *)self->state->block,
                          a.handle, a.addr, BOX_LENGTH);
    }
    heap_unuse(self, e);
    return box;
}

static gh_status
op_strong(gh_mut *m, void *arg)
{
    final_args *a = arg;
    gh_status st = gh_handle_new(m, &a->handle);
    if (st != GH_OK) {
        return st;
    }
    gh_slot *dst = gh_handle_slot(a->heap, a->handle);
    st = gh_weak_get(m, dst, a->slot);
    a->addr = gh_addr(a->heap, dst);
    if (st != GH_OK || a->addr == 0) {
        gh_handle_drop(a->heap, a->handle);
    }
    return st;
}

// weak_strong(box, cls, length): the object that a box stands for, or None.
PyObject *
core_weak_strong(PyObject *module, PyObject *args)
{
    module_state *state = PyModule_GetState(module);
    PyObject *box, *cls;
    long long len;
    if (!PyArg_ParseTuple(args, "OOL:weak_strong", &box, &cls, &len)) {
        return NULL;
    }
    if (!handle_check(state, box) || !class_check(state, cls)) {
        PyErr_SetString(PyExc_TypeError, "weak_strong: no weak pointer");
        return NULL;
    }
    const handle_object *h = (handle_object *)box;
    if (handle_short_len(h) != BOX_LENGTH) {
        PyErr_SetString(PyExc_TypeError, "weak_strong: no weak pointer");
        return NULL;
    }
    heap_entry *e = handle_use(state, h);
    if (e == NULL) {
        return NULL;
    }
    final_args a = {.heap = e->heap,
                    .slot = gh_handle_slot(e->heap, h->slot)};
    gh_status st;
    do {
        // GH_AGAIN is mark termination's; it ends when nobody holds a P.
        st = entry_run_alone(state, e, op_strong, &a);
    } while (st == GH_AGAIN && !PyErr_Occurred());
    PyObject *strong = NULL;
    if (st == GH_AGAIN) {
        // a signal handler raised
    } else if (st != GH_OK) {
        set_status_error(state, st, "WeakRef");
    } else if (a.addr == 0) {
        strong = Py_NewRef(Py_None);
    } else {
        strong = handle_make(e, NULL, h->heap, (class_object *)cls, a.handle, a.addr,
                             len);
    }
    entry_unuse(state, e);
    return strong;
}

static gh_status
op_weak_addr(gh_mut *m, void *arg)
{
    final_args *a = arg;
    a->addr = gh_weak_addr(gh_mut_heap(m), a->slot);
    return GH_OK;
}

// _weak_addr(box): the address of what it stands for; 0: gone.
PyObject *
heap_weak_addr(PyObject *op, PyObject *box)
{
    heap_object *self = (heap_object *)op;
    final_args a = {0};
    heap_entry *e = use_ref(self, box, "info", &a);
    if (e == NULL) {
        return NULL;
    }
    const gh_status st = entry_look(e, op_weak_addr, &a);
    entry_unuse(self->state, e);
    return st != GH_OK ? set_status_error(self->state, st, "Heap.info")
                       : PyLong_FromUnsignedLongLong(a.addr);
}

static gh_status
op_ref_at(gh_mut *m, void *arg)
{
    final_args *a = arg;
    gh_status st = gh_handle_new(m, &a->handle);
    if (st != GH_OK) {
        return st;
    }
    st = gh_addr_to_slot(m, gh_handle_slot(a->heap, a->handle), a->addr);
    if (st != GH_OK) {
        gh_handle_drop(a->heap, a->handle);
    }
    return st;
}

// _ref_at(addr): a handle of the live object there.
PyObject *
heap_ref_at(PyObject *op, PyObject *arg)
{
    heap_object *self = (heap_object *)op;
    final_args a = {0};
    if (PyBool_Check(arg) || !PyIndex_Check(arg)) {
        return PyErr_Format(PyExc_TypeError, "Heap.ref: a weak handle, an address "
                            "or a label is needed, not '%.100s'",
                            Py_TYPE(arg)->tp_name);
    }
    if (convert_uint64(arg, "address", &a.addr) < 0) {
        return NULL;
    }
    heap_entry *e = heap_use(self, "ref");
    if (e == NULL) {
        return NULL;
    }
    a.heap = e->heap;
    const gh_status st = entry_run_alone(self->state, e, op_ref_at, &a);
    PyObject *ref = NULL;
    if (st == GH_OK) {
        ref = handle_of_slot(self->state, e, self->id,
                             gh_handle_slot(e->heap, a.handle));
        gh_handle_drop(e->heap, a.handle);
    } else if (st == GH_ERR_BADPTR) {
        char text[32];
        (void)snprintf(text, sizeof(text), "0x%llx", (unsigned long long)a.addr);
        PyErr_Format(PyExc_LookupError, "Heap.ref: no live object at %s", text);
    } else {
        set_status_error(self->state, st, "Heap.ref");
    }
    heap_unuse(self, e);
    return ref;
}

// short_length(ref): what a handle knows of its own length; -1: nothing.
PyObject *
core_short_length(PyObject *module, PyObject *ref)
{
    module_state *state = PyModule_GetState(module);
    if (!handle_check(state, ref)) {
        PyErr_SetString(PyExc_TypeError, "short_length: no handle");
        return NULL;
    }
    return PyLong_FromLongLong(handle_short_len((handle_object *)ref));
}

// ---- pins --------------------------------------------------------------------------

static gh_status
op_pin(gh_mut *m, void *arg)
{
    final_args *a = arg;
    return gh_object_pin(m, a->slot, &a->handle);
}

static gh_status
op_unpin(gh_mut *m, void *arg)
{
    gh_object_unpin(m, ((final_args *)arg)->handle);
    return GH_OK;
}

PyDoc_STRVAR(pin_doc, "What Heap.pin gives: pins on entry, unpins on exit.");

// A pin_object is used up once it was left. It keeps its Heap alive: a pin is of a
// block of code that works on the heap.
typedef struct pin_object {
    PyObject_HEAD
    PyObject *heap;
    PyObject *ref;
    uint32_t pin;   // 0: not pinned
} pin_object;

// _pin(ref): what Heap.pin gives.
PyObject *
heap_pin(PyObject *op, PyObject *ref)
{
    heap_object *self = (heap_object *)op;
    final_args a = {0};
    heap_entry *e = use_ref(self, ref, "pin", &a);
    if (e == NULL) {
        return NULL;
    }
    entry_unuse(self->state, e);
    pin_object *p =
        PyObject_GC_New(pin_object, (PyTypeObject *)self->state->pin_type);
    if (p == NULL) {
        return NULL;
    }
    p->heap = Py_NewRef(op);
    p->ref = Py_NewRef(ref);
    p->pin = 0;
    PyObject_GC_Track(p);
    return (PyObject *)p;
}

static PyObject *
pin_enter(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    pin_object *p = (pin_object *)op;
    heap_object *self = (heap_object *)p->heap;
    if (p->pin != 0 || p->ref == NULL) {
        PyErr_SetString(self->state->state_error, "Heap.pin: entered already; a "
                        "block has a pin of its own");
        return NULL;
    }
    final_args a = {0};
    heap_entry *e = use_ref(self, p->ref, "pin", &a);
    if (e == NULL) {
        return NULL;
    }
    const gh_status st = entry_run_alone(self->state, e, op_pin, &a);
    if (st == GH_OK) {
        p->pin = a.handle;
        Py_CLEAR(p->ref);
    }
    heap_unuse(self, e);
    if (st != GH_OK) {
        return set_status_error(self->state, st, "Heap.pin");
    }
    Py_RETURN_NONE;
}

static PyObject *
pin_exit(PyObject *op, PyObject *Py_UNUSED(args))
{
    pin_object *p = (pin_object *)op;
    heap_object *self = (heap_object *)p->heap;
    final_args a = {.handle = p->pin};
    if (p->pin == 0) {
        PyErr_SetString(self->state->state_error, "Heap.pin: not entered");
        return NULL;
    }
    p->pin = 0;
    heap_entry *e = entry_use(self->state, self->id);
    if (e == NULL) {
        Py_RETURN_NONE;  // it went with its heap
    }
    const gh_status st = entry_run_alone(self->state, e, op_unpin, &a);
    heap_unuse(self, e);
    if (st != GH_OK) {
        p->pin = a.handle;
        return set_status_error(self->state, st, "Heap.pin");
    }
    Py_RETURN_NONE;
}

static int
pin_traverse(PyObject *op, visitproc visit, void *arg)
{
    pin_object *p = (pin_object *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(p->heap);
    Py_VISIT(p->ref);
    return 0;
}

static void
pin_dealloc(PyObject *op)
{
    // Pinned still: the pin stays, as that of a Pinner which nobody unpinned; Go
    // panics then, in a finalizer.
    pin_object *p = (pin_object *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    Py_XDECREF(p->heap);
    Py_XDECREF(p->ref);
    PyObject_GC_Del(op);
    Py_DECREF(type);
}

static PyMethodDef pin_methods[] = {
    {"__enter__", pin_enter, METH_NOARGS, NULL},
    {"__exit__", pin_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot pin_slots[] = {
    {Py_tp_doc, (void *)pin_doc},
    {Py_tp_methods, pin_methods},
    {Py_tp_traverse, pin_traverse},
    {Py_tp_dealloc, pin_dealloc},
    {0, NULL},
};

static PyType_Spec pin_spec = {
    .name = "goheap.Pin",
    .basicsize = sizeof(pin_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = pin_slots,
};

int
final_types_init(PyObject *module, module_state *state)
{
    state->pin_type = PyType_FromModuleAndSpec(module, &pin_spec, NULL);
    return state->pin_type == NULL ? -1 : 0;
}

// ---- running ---------------------------------------------------------------------------

// call_entry takes what belongs to a token out of Heap._calls; NULL with an
// exception.
static PyObject *
call_entry(heap_object *self, uint64_t token)
{
    PyObject *calls = PyObject_GetAttrString((PyObject *)self, "_calls");
    PyObject *what = calls == NULL
                         ? NULL
                         : PyObject_CallMethod(calls, "pop", "K",
                                               (unsigned long long)token);
    Py_XDECREF(calls);
    if (what != NULL && (!PyTuple_Check(what) || PyTuple_GET_SIZE(what) != 3)) {
        Py_CLEAR(what);
        PyErr_SetString(PyExc_RuntimeError, "Heap._calls was changed");
    }
    return what;
}

// object_of makes the handle that a finalizer gets; the slot is used up.
static PyObject *
object_of(heap_object *self, heap_entry *e, const gh_call *call, PyObject *what)
{
    PyObject *cls = what == NULL ? NULL : PyTuple_GET_ITEM(what, 1);
    if (cls == NULL || !class_check(self->state, cls)) {
        gh_handle_drop(e->heap, call->handle);
        return NULL;
    }
    const long long len = PyLong_AsLongLong(PyTuple_GET_ITEM(what, 2));
    return handle_make(e, NULL, self->id, (class_object *)cls, call->handle,
                       gh_addr(e->heap, gh_handle_slot(e->heap, call->handle)),
                       len);
}

void
final_run(heap_object *self, heap_entry *e, const gh_call *call)
{
    PyObject *what = call_entry(self, call->token);
    PyObject *ref = NULL;
    if (call->kind == GH_CALL_FINALIZER) {
        ref = object_of(self, e, call, what);
    }
    entry_unuse(self->state, e);
    PyObject *r = NULL;
    PyObject *fn = what == NULL ? (PyObject *)self : PyTuple_GET_ITEM(what, 0);
    if (what != NULL && call->kind == GH_CALL_CLEANUP) {
        PyObject *args = PyTuple_GET_ITEM(what, 1);
        r = PyTuple_Check(args) ? PyObject_CallObject(fn, args) : NULL;
    } else if (ref != NULL) {
        r = PyObject_CallOneArg(fn, ref);
    }
    if (r == NULL && PyErr_Occurred()) {
        PyErr_WriteUnraisable(fn);
    }
    Py_XDECREF(r);
    Py_XDECREF(ref);
    Py_XDECREF(what);
}
