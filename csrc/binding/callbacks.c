// callbacks.c: when Python code that a heap owes a call is run.
//
// The core queues calls (gh_call). They are run at the end of a method of Heap
// that may change it, on the thread that called it, when nobody is inside for
// its sake: what runs may do anything to the heap, end it too. Never in the
// middle of a method, never in a read or write through a handle, never in what
// only looks.
//
// One thread at a time runs the calls of a heap, so they keep their order, and a
// thread that runs one starts no other, of whatever heap [inv:calls.nested]: who
// comes meanwhile leaves them to the runner, or to the next method. A batch is
// what waited when it began; what its calls bring about waits for the next.
//
// Heap._call finds the function for a cycle's call, and runs it; final.c does so
// for the others.

#include "binding.h"

// save_error takes the present exception away; restore_error puts it back.
#if PY_VERSION_HEX >= 0x030c0000
typedef PyObject *saved_error;

static saved_error
save_error(void)
{
    return PyErr_GetRaisedException();
}

static void
restore_error(saved_error e)
{
    PyErr_SetRaisedException(e);
}
#else
typedef struct saved_error {
    PyObject *type, *value, *tb;
} saved_error;

static saved_error
save_error(void)
{
    saved_error e;
    PyErr_Fetch(&e.type, &e.value, &e.tb);
    return e;
}

static void
restore_error(saved_error e)
{
    PyErr_Restore(e.type, e.value, e.tb);
}
#endif

// run_one runs the next call that is due; false if there is none any more.
static bool
run_one(heap_object *self)
{
    heap_entry *e = entry_use(self->state, self->id);
    if (e == NULL) {
        return false;  // the call before ended the heap
    }
    gh_call call;
    if (!gh_call_take(e->heap, &call)) {
        entry_unuse(self->state, e);
        return false;
    }
    if (call.kind != GH_CALL_CYCLE) {
        final_run(self, e, &call);
        return true;
    }
    entry_unuse(self->state, e);
    PyObject *r = PyObject_CallMethod((PyObject *)self, "_call", "iK",
                                      (int)call.kind,
                                      (unsigned long long)call.token);
    if (r == NULL) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    Py_XDECREF(r);
    return true;
}

// run_batch runs at most max of the calls that wait now, and returns how many.
static size_t
run_batch(heap_object *self, size_t max)
{
    runner me;
    if (!runner_enter(&self->state->heaps, &me, self->id)) {
        return 0;
    }
    size_t n = 0, done = 0;
    heap_entry *e = entry_use(self->state, self->id);
    if (e != NULL) {
        n = gh_call_gather(e->heap);
        entry_unuse(self->state, e);
    }
    while (done < n && done < max && run_one(self)) {
        done++;
    }
    runner_leave(&self->state->heaps, &me);
    return done;
}

void
callbacks_run(heap_object *self)
{
    saved_error e = save_error();
    (void)run_batch(self, SIZE_MAX);
    restore_error(e);
}

// _quietly(fn): fn(), a method made of other methods; calls run at its end.
PyObject *
heap_quietly(PyObject *op, PyObject *fn)
{
    heap_object *self = (heap_object *)op;
    runner me;
    const bool entered = runner_enter(&self->state->heaps, &me, self->id);
    PyObject *result = PyObject_CallNoArgs(fn);
    if (entered) {
        runner_leave(&self->state->heaps, &me);
        heap_entry *e = entry_use(self->state, self->id);
        if (e != NULL) {
            heap_unuse(self, e);
        }
    }
    return result;
}

PyObject *
heap_run_pending(PyObject *op, PyObject *args)
{
    heap_object *self = (heap_object *)op;
    PyObject *limit = Py_None;
    int64_t max = INT64_MAX;
    if (!PyArg_ParseTuple(args, "|O:run_pending", &limit)
        || (limit != Py_None
            && convert_int(limit, "limit", 0, INT64_MAX, &max) < 0)) {
        return NULL;
    }
    heap_entry *e = heap_use(self, "run_pending");
    if (e == NULL) {
        return NULL;
    }
    entry_unuse(self->state, e);
    return PyLong_FromSize_t(run_batch(self, (size_t)max));
}

PyObject *
heap_pending(PyObject *op, void *Py_UNUSED(closure))
{
    heap_object *self = (heap_object *)op;
    heap_entry *e = heap_use(self, "pending");
    if (e == NULL) {
        return NULL;
    }
    const size_t n = gh_call_count(e->heap);
    entry_unuse(self->state, e);
    return PyLong_FromSize_t(n);
}

// _cycle_calls(on): whether cycles from now on are to be called about.
PyObject *
heap_cycle_calls(PyObject *op, PyObject *arg)
{
    heap_object *self = (heap_object *)op;
    heap_entry *e = heap_use(self, "on_cycle");
    if (e == NULL) {
        return NULL;
    }
    const gh_status st = gh_call_cycles(e->heap, arg == Py_True);
    entry_unuse(self->state, e);
    if (st != GH_OK) {
        return set_status_error(self->state, st, "Heap.on_cycle");
    }
    Py_RETURN_NONE;
}

// unraisable(error, of): tell sys.unraisablehook about an exception of a call.
PyObject *
core_unraisable(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *error, *of;
    if (!PyArg_ParseTuple(args, "OO:unraisable", &error, &of)) {
        return NULL;
    }
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    PyErr_WriteUnraisable(of);
    Py_RETURN_NONE;
}
