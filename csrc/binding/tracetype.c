// tracetype.c: goheap._core.GoTrace, a heap type around one gh_gotrace.
//
// goheap.trace drives it: feed bytes, step, take the encoded columns, step again.
//
// Threads: step works detached from the interpreter, on memory that only this
// object knows. busy keeps a second thread out meanwhile.

#include "tracetype.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "goheap.h"
#include "gotrace.h"

typedef struct {
    PyObject_HEAD
    gh_gotrace *trace;  // owned; NULL before __new__ is done
    _Atomic int busy;   // a thread works on trace
} trace_object;

static bool
take(trace_object *self)
{
    int idle = 0;
    if (atomic_compare_exchange_strong(&self->busy, &idle, 1)) {
        return true;
    }
    PyErr_SetString(PyExc_RuntimeError, "another thread uses this GoTrace");
    return false;
}

static void
give(trace_object *self)
{
    atomic_store(&self->busy, 0);
}

static PyObject *
trace_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":GoTrace", names)) {
        return NULL;
    }
    trace_object *self = (trace_object *)type->tp_alloc(type, 0);
    if (self != NULL && gh_gotrace_new(&self->trace) != GH_OK) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void
trace_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    gh_gotrace_free(((trace_object *)op)->trace);
    type->tp_free(op);
    Py_DECREF(type);
}

PyDoc_STRVAR(trace_feed_doc,
"feed($self, data, last, /)\n--\n\n"
"Append bytes of the trace; last: there are no more.");

static PyObject *
trace_feed(PyObject *op, PyObject *args)
{
    trace_object *self = (trace_object *)op;
    int last;
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "y*p:feed", &data, &last)) {
        return NULL;
    }
    if (!take(self)) {
        PyBuffer_Release(&data);
        return NULL;
    }
    const gh_status st = gh_gotrace_feed(self->trace, data.buf,
                                         (size_t)data.len, last != 0);
    give(self);
    PyBuffer_Release(&data);
    if (st == GH_ERR_NOMEM) {
        return PyErr_NoMemory();
    }
    if (st != GH_OK) {
        PyErr_SetString(PyExc_ValueError, "GoTrace.feed: the last bytes were fed");
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(trace_step_doc,
"step($self, max_events, /)\n--\n\n"
"Handle further events. -1: the trace is done; -2: max_events are done; -3: more\n"
"bytes are wanted; (offset, message): damaged.");

static PyObject *
trace_step(PyObject *op, PyObject *arg)
{
    trace_object *self = (trace_object *)op;
    const unsigned long long max = PyLong_AsUnsignedLongLong(arg);
    if (PyErr_Occurred() || !take(self)) {
        return NULL;
    }
    gh_gotrace_error err;
    gh_gotrace_result res;
    Py_BEGIN_ALLOW_THREADS
    res = gh_gotrace_step(self->trace, max, &err);
    Py_END_ALLOW_THREADS
    give(self);
    switch (res) {
    case GH_GOTRACE_DONE:
        return PyLong_FromLong(-1);
    case GH_GOTRACE_BUDGET:
        return PyLong_FromLong(-2);
    case GH_GOTRACE_NEED:
        return PyLong_FromLong(-3);
    case GH_GOTRACE_BAD:
        return Py_BuildValue("(Ks)", (unsigned long long)err.offset, err.message);
    case GH_GOTRACE_NOMEM:
        break;
    }
    return PyErr_NoMemory();
}

PyDoc_STRVAR(trace_take_doc,
"take($self, /)\n--\n\n"
"The bytes of each column that the last step encoded.");

static PyObject *
trace_take(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    trace_object *self = (trace_object *)op;
    if (!take(self)) {
        return NULL;
    }
    const gh_gotrace_column *columns;
    const size_t n = gh_gotrace_columns(&columns);
    PyObject *all = PyTuple_New((Py_ssize_t)n);
    for (size_t i = 0; all != NULL && i < n; i++) {
        const uint8_t *data;
        const size_t size = gh_gotrace_take(self->trace, i, &data);
        PyObject *b = PyBytes_FromStringAndSize((const char *)data,
                                                (Py_ssize_t)size);
        if (b == NULL) {
            Py_CLEAR(all);
            break;
        }
        PyTuple_SET_ITEM(all, (Py_ssize_t)i, b);
    }
    give(self);
    return all;
}

// ---- what came out -------------------------------------------------------------------

// set_new puts a new value into a dict and gives it away.
static int
set_new(PyObject *dict, const char *key, PyObject *value)
{
    const int result = value == NULL ? -1 : PyDict_SetItemString(dict, key, value);
    Py_XDECREF(value);
    return result;
}

static int
set_number(PyObject *dict, const char *key, uint64_t value)
{
    return set_new(dict, key, PyLong_FromUnsignedLongLong(value));
}

static PyObject *
types_list(const gh_gotrace *g)
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < gh_gotrace_types(g); i++) {
        gh_gotrace_type t;
        gh_gotrace_type_get(g, i, &t);
        PyObject *item = Py_BuildValue(
            "(NKK)", PyUnicode_DecodeUTF8(t.name, (Py_ssize_t)t.name_len, "replace"),
            (unsigned long long)t.size, (unsigned long long)t.ptrdata);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    return list;
}

static PyObject *
forced_list(const gh_gotrace *g)
{
    const uint32_t *forced;
    const size_t n = gh_gotrace_forced(g, &forced);
    PyObject *list = PyList_New((Py_ssize_t)n);
    for (size_t i = 0; list != NULL && i < n; i++) {
        PyObject *item = PyLong_FromUnsignedLong(forced[i]);
        if (item == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, item);
    }
    return list;
}

static PyObject *
counts_dict(const gh_gotrace_summary *s)
{
    const char *const *names;
    const size_t n = gh_gotrace_ops(&names);
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict != NULL && i < n; i++) {
        if (set_number(dict, names[i], s->counts[i]) < 0) {
            Py_CLEAR(dict);
        }
    }
    return dict;
}

static PyObject *
repairs_dict(const gh_gotrace *g)
{
    PyObject *dict = PyDict_New();
    const char *name;
    for (size_t i = 0;
         dict != NULL && (name = gh_gotrace_repair_name(i)) != NULL; i++) {
        const uint64_t n = gh_gotrace_repair(g, i);
        if (n > 0 && set_number(dict, name, n) < 0) {
            Py_CLEAR(dict);
        }
    }
    return dict;
}

static PyObject *
columns_tuple(const gh_gotrace *g)
{
    const gh_gotrace_column *columns;
    const size_t n = gh_gotrace_columns(&columns);
    PyObject *all = PyTuple_New((Py_ssize_t)n);
    for (size_t i = 0; all != NULL && i < n; i++) {
        PyObject *c = Py_BuildValue("(ssK)", columns[i].name, columns[i].enc,
                                    (unsigned long long)gh_gotrace_count(g, i));
        if (c == NULL) {
            Py_CLEAR(all);
            break;
        }
        PyTuple_SET_ITEM(all, (Py_ssize_t)i, c);
    }
    return all;
}

PyDoc_STRVAR(trace_summary_doc,
"summary($self, /)\n--\n\nWhat has been read so far, as a dict.");

static PyObject *
trace_summary(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    trace_object *self = (trace_object *)op;
    if (!take(self)) {
        return NULL;
    }
    const gh_gotrace *g = self->trace;
    gh_gotrace_summary s;
    gh_gotrace_summary_get(g, &s);
    const char *log;
    const size_t log_len = gh_gotrace_log(g, &log);
    PyObject *dict = PyDict_New();
    if (dict != NULL
        && (set_new(dict, "columns", columns_tuple(g)) < 0
            || set_new(dict, "counts", counts_dict(&s)) < 0
            || set_new(dict, "repairs", repairs_dict(g)) < 0
            || set_new(dict, "types", types_list(g)) < 0
            || set_new(dict, "forced", forced_list(g)) < 0
            || set_new(dict, "log",
                       PyBytes_FromStringAndSize(log, (Py_ssize_t)log_len)) < 0
            || set_number(dict, "version", (uint64_t)s.version) < 0
            || set_number(dict, "generations", s.generations) < 0
            || set_number(dict, "fed", s.fed) < 0
            || set_number(dict, "objects", s.objects) < 0
            || set_number(dict, "duration_ns", (uint64_t)s.duration_ns) < 0
            || set_number(dict, "alloc_bytes", s.alloc_bytes) < 0
            || set_number(dict, "exist_bytes", s.exist_bytes) < 0
            || set_number(dict, "free_bytes", s.free_bytes) < 0
            || set_number(dict, "peak_bytes", s.peak_bytes) < 0
            || set_number(dict, "end_bytes", s.end_bytes) < 0
            || set_number(dict, "min_heap_addr", s.min_heap_addr) < 0
            || set_number(dict, "page_size", s.page_size) < 0
            || set_number(dict, "heap_align", s.heap_align) < 0
            || set_number(dict, "stack_align", s.stack_align) < 0
            || set_number(dict, "procs", s.procs) < 0)) {
        Py_CLEAR(dict);
    }
    give(self);
    return dict;
}

static PyMethodDef trace_methods[] = {
    {"feed", trace_feed, METH_VARARGS, trace_feed_doc},
    {"step", trace_step, METH_O, trace_step_doc},
    {"take", trace_take, METH_NOARGS, trace_take_doc},
    {"summary", trace_summary, METH_NOARGS, trace_summary_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot trace_slots[] = {
    {Py_tp_doc, "A Go execution trace on its way into columns: see goheap.trace."},
    {Py_tp_new, (void *)(uintptr_t)trace_new},
    {Py_tp_dealloc, (void *)(uintptr_t)trace_dealloc},
    {Py_tp_methods, trace_methods},
    {0, NULL},
};

static PyType_Spec trace_spec = {
    .name = "goheap._core.GoTrace",
    .basicsize = sizeof(trace_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = trace_slots,
};

int
trace_type_init(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &trace_spec, NULL);
    if (type == NULL) {
        return -1;
    }
    const int result = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return result;
}
