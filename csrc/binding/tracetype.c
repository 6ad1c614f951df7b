// tracetype.c: goheap._core.GoTrace, a heap type around one gh_gotrace, and History,
// one around a gh_history; and trace_rows.
//
// goheap.gotrace and goheap.trace drive them: put something in, take the encoded
// columns out, go on.
//
// Threads: both work detached from the interpreter, on memory that only the object
// knows. busy keeps a second thread out meanwhile.

#include "tracetype.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "goheap.h"
#include "gotrace.h"
#include "history.h"
#include "rows.h"

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

// ---- History -------------------------------------------------------------------------

typedef struct {
    PyObject_HEAD
    gh_history *history;  // owned; NULL before __new__ is done
    gh_workload workload;
    _Atomic int busy;
} history_object;

static bool
history_use(history_object *self)
{
    int idle = 0;
    if (atomic_compare_exchange_strong(&self->busy, &idle, 1)) {
        return true;
    }
    PyErr_SetString(PyExc_RuntimeError, "another thread uses this History");
    return false;
}

static PyObject *
history_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"live", "alloc_rate", "mean_size", "scan_share",
                            "long_share", "short_ns", "startup_ns", "duration_ns",
                            "procs", "seed", NULL};
    gh_workload w = {.mean_size = 64, .procs = 1};
    unsigned long long live = 0, seed = 0;
    long long duration = 0, startup = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$KdddddLLiK:History", names,
                                     &live, &w.alloc_rate, &w.mean_size,
                                     &w.scan_share, &w.long_share, &w.short_ns,
                                     &startup, &duration, &w.procs, &seed)) {
        return NULL;
    }
    if (!(w.mean_size >= 8) || w.procs < 1 || w.procs > GH_HISTORY_MAX_P
        || duration < 0 || duration > GH_HISTORY_MAX_TIME / 2 || startup < 0
        || startup > GH_HISTORY_MAX_TIME / 2) {
        PyErr_SetString(PyExc_ValueError, "History: a number is out of its range");
        return NULL;
    }
    w.live = live;
    w.startup_ns = startup;
    w.duration_ns = duration;
    w.random = seed;
    history_object *self = (history_object *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->workload = w;
    if (gh_history_new(&self->history) != GH_OK) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void
history_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    gh_history_free(((history_object *)op)->history);
    type->tp_free(op);
    Py_DECREF(type);
}

PyDoc_STRVAR(history_add_doc,
"add($self, size, scan, birth_ns, death_ns, type_id, p, /)\n--\n\n"
"Add objects, a column of 64-bit numbers each; scan, type_id and p may be empty. None,\n"
"or (row, what is wrong with it).");

static PyObject *
history_add(PyObject *op, PyObject *args)
{
    enum { SIZE, SCAN, BIRTH, DEATH, TYPE, P, N };
    history_object *self = (history_object *)op;
    Py_buffer b[N];
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*y*:add", &b[0], &b[1], &b[2], &b[3],
                          &b[4], &b[5])) {
        return NULL;
    }
    const Py_ssize_t n = b[SIZE].len / 8;
    bool sound = true;
    for (int i = 0; i < N; i++) {
        const bool may_be_empty = i == SCAN || i == TYPE || i == P;
        sound = sound && (b[i].len == n * 8 || (may_be_empty && b[i].len == 0))
                && b[i].len % 8 == 0;
    }
    PyObject *result = NULL;
    if (!sound) {
        PyErr_SetString(PyExc_ValueError, "History.add: columns of different lengths");
    } else if (history_use(self)) {
        const int64_t *column[N];
        for (int i = 0; i < N; i++) {
            column[i] = b[i].len == 0 ? NULL : b[i].buf;
        }
        gh_status st = GH_OK;
        const char *why = NULL;
        Py_ssize_t row = 0;
        Py_BEGIN_ALLOW_THREADS
        for (; row < n; row++) {
            const int64_t p = column[P] == NULL ? 0 : column[P][row];
            const gh_history_object o = {
                .size = column[SIZE][row],
                .scan = column[SCAN] == NULL ? 0 : column[SCAN][row],
                .birth_ns = column[BIRTH][row],
                .death_ns = column[DEATH][row] == -1 ? GH_HISTORY_NEVER
                                                     : column[DEATH][row],
                .type = column[TYPE] == NULL ? 0 : column[TYPE][row],
                .p = p < 0 || p > GH_HISTORY_MAX_P ? -1 : (int32_t)p,
            };
            st = gh_history_add(self->history, &o, &why);
            if (st != GH_OK) {
                break;
            }
        }
        Py_END_ALLOW_THREADS
        atomic_store(&self->busy, 0);
        if (st == GH_OK) {
            result = Py_NewRef(Py_None);
        } else if (st == GH_ERR_INVAL) {
            result = Py_BuildValue("(ns)", row, why);
        } else {
            PyErr_NoMemory();
        }
    }
    for (int i = 0; i < N; i++) {
        PyBuffer_Release(&b[i]);
    }
    return result;
}

// run_some calls work or end.
static PyObject *
run_some(history_object *self, bool work, long long until, unsigned long long n)
{
    if (!history_use(self)) {
        return NULL;
    }
    bool more = false;
    gh_status st;
    Py_BEGIN_ALLOW_THREADS
    st = work ? gh_workload_add(&self->workload, self->history, n, &more)
              : gh_history_end(self->history, until, n, &more);
    Py_END_ALLOW_THREADS
    atomic_store(&self->busy, 0);
    if (st == GH_ERR_INVAL) {
        PyErr_SetString(PyExc_ValueError, "Workload: more than 2**31 - 1 objects");
        return NULL;
    }
    return st == GH_OK ? PyBool_FromLong(more) : PyErr_NoMemory();
}

PyDoc_STRVAR(history_work_doc,
"work($self, n, /)\n--\n\nMake n objects of the workload; whether there are more.");

static PyObject *
history_work(PyObject *op, PyObject *arg)
{
    const unsigned long long n = PyLong_AsUnsignedLongLong(arg);
    return PyErr_Occurred() ? NULL : run_some((history_object *)op, true, 0, n);
}

PyDoc_STRVAR(history_end_doc,
"end($self, until_ns, n, /)\n--\n\n"
"Let n objects die that do by then; whether there are more.");

static PyObject *
history_end(PyObject *op, PyObject *args)
{
    long long until;
    unsigned long long n;
    if (!PyArg_ParseTuple(args, "LK:end", &until, &n)) {
        return NULL;
    }
    return run_some((history_object *)op, false, until, n);
}

PyDoc_STRVAR(history_take_doc,
"take($self, /)\n--\n\nThe bytes of each column that were encoded since the last take.");

static PyObject *
history_take(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    history_object *self = (history_object *)op;
    if (!history_use(self)) {
        return NULL;
    }
    const gh_history_column *columns;
    const size_t n = gh_history_columns(&columns);
    PyObject *all = PyTuple_New((Py_ssize_t)n);
    for (size_t i = 0; all != NULL && i < n; i++) {
        const uint8_t *data;
        const size_t size = gh_history_take(self->history, i, &data);
        PyObject *bytes = PyBytes_FromStringAndSize((const char *)data,
                                                    (Py_ssize_t)size);
        if (bytes == NULL) {
            Py_CLEAR(all);
            break;
        }
        PyTuple_SET_ITEM(all, (Py_ssize_t)i, bytes);
    }
    atomic_store(&self->busy, 0);
    return all;
}

static PyObject *
history_columns(const gh_history *h)
{
    const gh_history_column *columns;
    const size_t n = gh_history_columns(&columns);
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < n; i++) {
        PyObject *c = Py_BuildValue("(ssK)", columns[i].name, columns[i].enc,
                                    (unsigned long long)gh_history_count(h, i));
        if (c == NULL || PyList_Append(list, c) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(c);
    }
    return list;
}

static PyObject *
history_ops(const gh_history *h)
{
    const char *const *names;
    const size_t n = gh_history_ops(&names);
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict != NULL && i < n; i++) {
        if (set_number(dict, names[i], gh_history_op_count(h, i)) < 0) {
            Py_CLEAR(dict);
        }
    }
    return dict;
}

static PyObject *
history_types(const gh_history *h)
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < gh_history_types(h); i++) {
        gh_history_type t;
        gh_history_type_get(h, i, &t);
        PyObject *item = Py_BuildValue("(LKK)", (long long)t.type,
                                       (unsigned long long)t.size,
                                       (unsigned long long)t.ptrdata);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    return list;
}

PyDoc_STRVAR(history_summary_doc,
"summary($self, /)\n--\n\nWhat has been made so far, as a dict.");

static PyObject *
history_summary(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    history_object *self = (history_object *)op;
    if (!history_use(self)) {
        return NULL;
    }
    gh_history_summary s;
    gh_history_summary_get(self->history, &s);
    PyObject *dict = PyDict_New();
    if (dict != NULL
        && (set_new(dict, "columns", history_columns(self->history)) < 0
            || set_new(dict, "counts", history_ops(self->history)) < 0
            || set_new(dict, "types", history_types(self->history)) < 0
            || set_number(dict, "objects", s.objects) < 0
            || set_number(dict, "alloc_bytes", s.alloc_bytes) < 0
            || set_number(dict, "peak_bytes", s.peak_bytes) < 0
            || set_number(dict, "end_bytes", s.end_bytes) < 0
            || set_number(dict, "last_ns", (uint64_t)s.last_ns) < 0
            || set_number(dict, "procs", (uint64_t)s.procs) < 0)) {
        Py_CLEAR(dict);
    }
    atomic_store(&self->busy, 0);
    return dict;
}

static PyMethodDef history_methods[] = {
    {"add", history_add, METH_VARARGS, history_add_doc},
    {"work", history_work, METH_O, history_work_doc},
    {"end", history_end, METH_VARARGS, history_end_doc},
    {"take", history_take, METH_NOARGS, history_take_doc},
    {"summary", history_summary, METH_NOARGS, history_summary_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot history_slots[] = {
    {Py_tp_doc, "A history of one's own on its way into columns: see goheap.trace."},
    {Py_tp_new, (void *)(uintptr_t)history_tp_new},
    {Py_tp_dealloc, (void *)(uintptr_t)history_dealloc},
    {Py_tp_methods, history_methods},
    {0, NULL},
};

static PyType_Spec history_spec = {
    .name = "goheap._core.History",
    .basicsize = sizeof(history_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = history_slots,
};

// ---- rows ----------------------------------------------------------------------------

PyDoc_STRVAR(trace_rows_doc,
"trace_rows($module, ops, columns, n, ntypes, /)\n--\n\n"
"The events of a recording as arrays: (t_ns, op, p, object, size, type, goroutine,\n"
"value), bytes each; or (column or -1, offset, message). columns: name to bytes.");

static PyObject *
trace_rows(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *ops, *columns;
    Py_ssize_t n, ntypes;
    if (!PyArg_ParseTuple(args, "O!O!nn:trace_rows", &PyTuple_Type, &ops,
                          &PyDict_Type, &columns, &n, &ntypes)) {
        return NULL;
    }
    const char *names[256];
    const Py_ssize_t nops = PyTuple_GET_SIZE(ops);
    if (nops > 256 || n < 0 || n > PY_SSIZE_T_MAX / 64) {
        PyErr_SetString(PyExc_ValueError, "trace_rows: too many kinds or events");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < nops; i++) {
        names[i] = PyUnicode_AsUTF8(PyTuple_GET_ITEM(ops, i));
        if (names[i] == NULL) {
            return NULL;
        }
    }
    const uint8_t *data[GH_ROWS_COLUMNS];
    size_t bytes[GH_ROWS_COLUMNS];
    for (int c = 0; c < GH_ROWS_COLUMNS; c++) {
        PyObject *b = PyDict_GetItemString(columns, gh_rows_column_name(c));
        data[c] = b != NULL && PyBytes_Check(b)
                      ? (const uint8_t *)PyBytes_AS_STRING(b) : NULL;
        bytes[c] = data[c] != NULL ? (size_t)PyBytes_GET_SIZE(b) : 0;
    }
    static const int width[8] = {8, 4, 4, 8, 8, 4, 8, 8};
    PyObject *all = PyTuple_New(8);
    void *at[8];
    for (int i = 0; all != NULL && i < 8; i++) {
        PyObject *b = PyBytes_FromStringAndSize(NULL, n * width[i]);
        if (b == NULL) {
            Py_CLEAR(all);
            break;
        }
        at[i] = PyBytes_AS_STRING(b);
        PyTuple_SET_ITEM(all, i, b);
    }
    if (all == NULL) {
        return NULL;
    }
    const gh_rows_out out = {at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7]};
    gh_rows_error err;
    gh_status st;
    Py_BEGIN_ALLOW_THREADS
    st = gh_rows(names, (size_t)nops, data, bytes, (size_t)n, (size_t)ntypes, &out,
                 &err);
    Py_END_ALLOW_THREADS
    if (st == GH_OK) {
        return all;
    }
    Py_DECREF(all);
    if (st != GH_ERR_INVAL) {
        return PyErr_NoMemory();
    }
    return Py_BuildValue("(sKs)", err.column < 0 ? "" : gh_rows_column_name(err.column),
                         (unsigned long long)err.offset, err.message);
}

static PyMethodDef functions[] = {
    {"trace_rows", trace_rows, METH_VARARGS, trace_rows_doc},
    {NULL, NULL, 0, NULL},
};

static int
add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type == NULL) {
        return -1;
    }
    const int result = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return result;
}

int
trace_type_init(PyObject *module)
{
    if (add_type(module, &trace_spec) < 0 || add_type(module, &history_spec) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}
