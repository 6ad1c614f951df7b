// status.c: gh_status to exception. The exceptions live in goheap.errors.

#include "binding.h"

#include <stdlib.h>
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
        {&state->lost_error, "LostObjectError"},
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

// ---- lost objects --------------------------------------------------------------

#define NOTE_LABEL 101  // bytes; longer ones there are not

typedef struct lost_step {
    uint64_t addr;
    char label[NOTE_LABEL];  // "": none
} lost_step;

// A path longer than this is kept by its first and last steps.
#define NOTE_STEPS 1000u

struct lost_note {
    gh_lost_info info;
    size_t n;                // steps of the path
    lost_step step[];        // the last step is always there
};

static void
note_step(void *arg, uint64_t addr, const char *label)
{
    lost_note *note = arg;
    if (note->n == NOTE_STEPS) {
        note->n--;
    }
    lost_step *s = &note->step[note->n++];
    s->addr = addr;
    s->label[0] = 0;
    if (label != NULL) {
        (void)snprintf(s->label, sizeof(s->label), "%s", label);
    }
}

// Without memory there is no note, and the exception has no path.
void
entry_note_lost(heap_entry *e, gh_mut *m)
{
    lost_note *note = malloc(sizeof(*note) + NOTE_STEPS * sizeof(note->step[0]));
    if (note != NULL) {
        note->n = 0;
        if (!gh_lost_path(m, &note->info, note_step, note)) {
            free(note);
            note = NULL;
        }
    }
    free(atomic_exchange(&e->state->lost, note));
}

static PyObject *
step_object(const lost_step *s)
{
    return s->label[0] == 0 ? PyLong_FromUnsignedLongLong(s->addr)
                            : PyUnicode_DecodeUTF8(
                                  s->label, (Py_ssize_t)strlen(s->label),
                                  "replace");
}

PyObject *
lost_path_take(module_state *state, PyObject **says)
{
    static const char *const roots[] = {"a handle", "roots", "a buffer",
                                        "a tiny block", "a finalizer",
                                        "a weak box", "a cleanup", "a pin"};
    lost_note *note = atomic_exchange(&state->lost, NULL);
    const size_t n = note == NULL ? 0 : note->n;
    PyObject *path = PyTuple_New((Py_ssize_t)n);
    *says = NULL;
    for (size_t i = 0; path != NULL && i < n; i++) {
        PyObject *o = step_object(&note->step[i]);
        if (o == NULL) {
            Py_CLEAR(path);
        } else {
            PyTuple_SET_ITEM(path, (Py_ssize_t)i, o);
        }
    }
    if (path != NULL && n == 0) {
        *says = PyUnicode_FromString("an object was freed and is reachable");
    } else if (path != NULL) {
        char addr[24];
        const lost_step *last = &note->step[n - 1];
        (void)snprintf(addr, sizeof(addr), "0x%llx",
                       (unsigned long long)last->addr);
        *says = PyUnicode_FromFormat(
            "%s%s%s was freed by cycle %u%s%s", last->label,
            last->label[0] == 0 ? "the object at " : " at ", addr,
            (unsigned)note->info.cycle,
            note->info.reachable ? " and is reachable, through "
                                 : "; nothing reaches it any more",
            note->info.reachable ? roots[note->info.root] : "");
    }
    free(note);
    if (*says == NULL) {
        Py_CLEAR(path);
    }
    return path;
}

static PyObject *
set_lost_error(module_state *state, const char *what)
{
    PyObject *says;
    PyObject *path = lost_path_take(state, &says);
    if (path == NULL) {
        return NULL;
    }
    PyObject *exc = PyObject_CallFunction(
        state->lost_error, "NN",
        PyUnicode_FromFormat("%s: %U", what, says), path);
    Py_DECREF(says);
    if (exc != NULL) {
        PyErr_SetObject(state->lost_error, exc);
        Py_DECREF(exc);
    }
    return NULL;
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
    case GH_ERR_LOST:
        return set_lost_error(state, what);
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
    } else if (e != NULL && atomic_load(&e->id) == h->heap
               && e->end == END_FORKED) {
        end = END_FORKED;
    }
    switch (end) {
    case END_FORKED:
        PyErr_Format(state->state_error,
                     "the heap of this %s came here by fork() with threads that "
                     "stayed behind: it can only be closed", name);
        break;
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
