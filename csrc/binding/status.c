// status.c: gh_status to exception. The exceptions live in goheap.errors.

#include "binding.h"

#include <string.h>

int
import_errors(module_state *state)
{
    PyObject *errors = PyImport_ImportModule("goheap.errors");
    if (errors == NULL) {
        return -1;
    }
    const struct {
        PyObject **slot;
        const char *name;
    } wanted[] = {
        {&state->heap_error, "HeapError"},
        {&state->closed_error, "HeapClosedError"},
        {&state->foreign_error, "ForeignRefError"},
        {&state->state_error, "HeapStateError"},
        {&state->memory_error, "HeapMemoryError"},
        {&state->corruption_error, "HeapCorruptionError"},
        {&state->script_error, "ScriptError"},
    };
    int result = 0;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        *wanted[i].slot = PyObject_GetAttrString(errors, wanted[i].name);
        if (*wanted[i].slot == NULL) {
            result = -1;
            break;
        }
    }
    Py_DECREF(errors);
    return result;
}

PyObject *
set_status_error(module_state *state, gh_status st, const char *what)
{
    switch (st) {
    case GH_ERR_NOMEM:
        PyErr_Format(state->memory_error,
                     "%s: the system refused the memory", what);
        return NULL;
    case GH_ERR_INVAL:
        PyErr_Format(PyExc_ValueError, "%s: not possible here", what);
        return NULL;
    case GH_ERR_BADPTR:
        PyErr_Format(PyExc_LookupError, "%s: no live object there", what);
        return NULL;
    case GH_ERR_STATE:
        PyErr_Format(state->state_error, "%s: not in this mode or phase", what);
        return NULL;
    case GH_AGAIN:
        if (PyErr_Occurred()) {
            return NULL;  // raised by a signal handler
        }
        break;
    case GH_OK:
        break;
    }
    PyErr_Format(PyExc_SystemError, "%s: %s", what, gh_status_name(st));
    return NULL;
}

static gh_status
op_in_use(gh_mut *m, void *arg)
{
    *(uint64_t *)arg = gh_mapped_ready(gh_mut_heap(m));
    return GH_OK;
}

PyObject *
set_memory_error(module_state *state, heap_entry *e, uint64_t requested,
                 const char *what)
{
    uint64_t bytes;
    const gh_status st = entry_look(e, op_in_use, &bytes);
    if (st != GH_OK) {
        return set_status_error(state, st, what);
    }
    const unsigned long long in_use = bytes;
    const uint64_t limit = gh_hard_limit(e->heap);
    const char *who = limit == UINT64_MAX
                          ? "the system or the heap's address space"
                          : "hard_limit, the system or the heap's address space";
    PyObject *exc = PyObject_CallFunction(
        state->memory_error, "N",
        PyUnicode_FromFormat("%s: %s has no room for %llu bytes more (%llu in "
                             "use)", what, who, (unsigned long long)requested,
                             in_use));
    if (exc == NULL) {
        return NULL;
    }
    PyObject *r = PyLong_FromUnsignedLongLong(requested);
    PyObject *u = PyLong_FromUnsignedLongLong(in_use);
    PyObject *l = limit == UINT64_MAX ? Py_NewRef(Py_None)
                                      : PyLong_FromUnsignedLongLong(limit);
    if (r != NULL && u != NULL && l != NULL
        && PyObject_SetAttrString(exc, "limit", l) == 0 && PyObject_SetAttrString(exc, "requested", r) == 0
        && PyObject_SetAttrString(exc, "in_use", u) == 0) {
        PyErr_SetObject(state->memory_error, exc);
    }
    Py_XDECREF(r);
    Py_XDECREF(u);
    Py_XDECREF(l);
    Py_DECREF(exc);
    return NULL;
}

PyObject *
set_dead_error(module_state *state, const handle_object *h)
{
    const char *name = Py_TYPE(h)->tp_name;
    const heap_entry *e = table_entry(&state->heaps, h->heap);
    heap_end end = END_NONE;
    if (e != NULL
        && atomic_load(&e->id) == h->heap + (1u << HEAP_INDEX_BITS)) {
        end = e->end;
    }
    switch (end) {
    case END_CLOSED:
        PyErr_Format(state->closed_error,
                     "the heap of this %s is closed: its handles ended with it",
                     name);
        break;
    case END_GONE:
        PyErr_Format(state->closed_error,
                     "the heap of this %s is gone: a handle keeps its object "
                     "alive, not its heap. Keep a reference to the Heap for as "
                     "long as its handles are used (a function that returns a "
                     "handle of a heap of its own must return the heap, too)",
                     name);
        break;
    case END_NONE:
        PyErr_Format(state->closed_error,
                     "the heap of this %s is closed or gone: keep a reference "
                     "to the Heap for as long as its handles are used", name);
        break;
    }
    return NULL;
}
