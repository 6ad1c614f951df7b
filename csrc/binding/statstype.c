// statstype.c: what a heap says about itself, as tuples of plain numbers. The
// classes with names for them are in goheap.stats.

#include "binding.h"

// A list of values is packed one after the other; the first failure leaves an
// exception, and what follows is dropped.
typedef struct pack {
    PyObject *tuple;
    Py_ssize_t n;
} pack;

static void
put(pack *p, PyObject *v)
{
    if (p->tuple == NULL || v == NULL) {
        Py_XDECREF(v);
        Py_CLEAR(p->tuple);
        return;
    }
    PyTuple_SET_ITEM(p->tuple, p->n++, v);
}

static void
put_u64(pack *p, uint64_t v)
{
    put(p, PyLong_FromUnsignedLongLong(v));
}

static void
put_i64(pack *p, int64_t v)
{
    put(p, PyLong_FromLongLong(v));
}

static void
put_bool(pack *p, bool v)
{
    put(p, PyBool_FromLong(v));
}

static PyObject *
u64_tuple(const uint64_t *v, size_t n)
{
    pack p = {.tuple = PyTuple_New((Py_ssize_t)n)};
    for (size_t i = 0; i < n && p.tuple != NULL; i++) {
        put_u64(&p, v[i]);
    }
    return p.tuple;
}

PyObject *
memstats_tuple(const gh_memstats *s)
{
    const uint64_t first[] = {
        s->alloc, s->total_alloc, s->sys, s->lookups, s->mallocs, s->frees,
        s->heap_alloc, s->heap_sys, s->heap_idle, s->heap_inuse,
        s->heap_released, s->heap_objects, s->stack_inuse, s->stack_sys,
        s->mspan_inuse, s->mspan_sys, s->mcache_inuse, s->mcache_sys,
        s->buck_hash_sys, s->gc_sys, s->other_sys, s->next_gc, s->last_gc,
        s->pause_total_ns,
    };
    const size_t nfirst = sizeof(first) / sizeof(first[0]);
    const size_t nsizes = sizeof(s->by_size) / sizeof(s->by_size[0]);
    pack p = {.tuple = PyTuple_New((Py_ssize_t)nfirst + 8)};
    for (size_t i = 0; i < nfirst && p.tuple != NULL; i++) {
        put_u64(&p, first[i]);
    }
    put(&p, u64_tuple(s->pause_ns, 256));
    put(&p, u64_tuple(s->pause_end, 256));
    put_u64(&p, s->num_gc);
    put_u64(&p, s->num_forced_gc);
    put(&p, PyFloat_FromDouble(s->gc_cpu_fraction));
    put_bool(&p, s->enable_gc);
    put_bool(&p, s->debug_gc);
    pack sizes = {.tuple = PyTuple_New((Py_ssize_t)nsizes)};
    for (size_t i = 0; i < nsizes && sizes.tuple != NULL; i++) {
        put(&sizes, Py_BuildValue("(IKK)", (unsigned)s->by_size[i].size,
                                  (unsigned long long)s->by_size[i].mallocs,
                                  (unsigned long long)s->by_size[i].frees));
    }
    put(&p, sizes.tuple);
    return p.tuple;
}

static PyObject *
edges_tuple(const double *edges, size_t n)
{
    pack p = {.tuple = PyTuple_New((Py_ssize_t)n)};
    for (size_t i = 0; i < n && p.tuple != NULL; i++) {
        put(&p, PyFloat_FromDouble(edges[i]));
    }
    return p.tuple;
}

PyObject *
metrics_dict(const gh_metrics *m, PyObject *histogram)
{
    double times[GH_METRIC_TIME_COUNTS + 1];
    gh_metric_time_edges(times);
    PyObject *sizes = edges_tuple(m->size_edges, GH_METRIC_SIZES + 1);
    PyObject *seconds = edges_tuple(times, GH_METRIC_TIME_COUNTS + 1);
    PyObject *dict = sizes == NULL || seconds == NULL ? NULL : PyDict_New();
    for (size_t i = 0; i < m->n && dict != NULL; i++) {
        const gh_metric *x = &m->metric[i];
        PyObject *v = NULL;
        switch (x->kind) {
        case GH_METRIC_U64:
            v = PyLong_FromUnsignedLongLong(x->u64);
            break;
        case GH_METRIC_F64:
            v = PyFloat_FromDouble(x->f64);
            break;
        case GH_METRIC_BY_SIZE:
            v = PyObject_CallFunction(histogram, "NO",
                                      u64_tuple(x->counts, GH_METRIC_SIZES),
                                      sizes);
            break;
        case GH_METRIC_TIMES:
            v = PyObject_CallFunction(
                histogram, "NO", u64_tuple(x->counts, GH_METRIC_TIME_COUNTS),
                seconds);
            break;
        }
        if (v == NULL || PyDict_SetItemString(dict, x->name, v) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(v);
    }
    Py_XDECREF(sizes);
    Py_XDECREF(seconds);
    return dict;
}

PyObject *
cycle_tuple(const gh_cycle *c)
{
    char text[2048];
    (void)gh_cycle_trace(c, GH_TRACE_GC | GH_TRACE_PACER | GH_TRACE_SCAV, text,
                         sizeof(text));
    pack p = {.tuple = PyTuple_New(26)};
    put_u64(&p, c->n);
    put_bool(&p, c->forced);
    put_i64(&p, c->start_ns);
    put_i64(&p, c->mark_start_ns);
    put_i64(&p, c->mark_end_ns);
    put_i64(&p, c->end_ns);
    put_u64(&p, c->heap_start);
    put_u64(&p, c->heap_end);
    put_u64(&p, c->heap_marked);
    put_u64(&p, c->heap_goal);
    put_u64(&p, c->trigger);
    put_u64(&p, c->stack_scan);
    put_u64(&p, c->globals_scan);
    put_u64(&p, c->scan_work);
    put(&p, PyFloat_FromDouble(c->cons_mark));
    put_bool(&p, c->limited);
    put(&p, Py_BuildValue("(LL)", (long long)c->pause_ns[0],
                          (long long)c->pause_ns[1]));
    put_i64(&p, c->assist_ns);
    put_i64(&p, c->background_ns);
    put_i64(&p, c->idle_ns);
    put(&p, PyFloat_FromDouble(c->gc_cpu_fraction));
    put_u64(&p, c->swept_bytes);
    put_i64(&p, c->procs);
    put(&p, c->gogc < 0 ? Py_NewRef(Py_None) : PyLong_FromLong(c->gogc));
    put(&p, c->memory_limit == GH_LIMIT_OFF
                ? Py_NewRef(Py_None)
                : PyLong_FromLongLong(c->memory_limit));
    put(&p, PyUnicode_FromString(text));
    return p.tuple;
}

static PyObject *
class_rows(const gh_policy *policy)
{
    gh_size_class classes[68];
    const uint32_t n = gh_size_classes_get(policy, classes);
    if (n == 0) {
        PyErr_SetString(PyExc_ValueError, "size_classes: no table of classes");
        return NULL;
    }
    pack p = {.tuple = PyTuple_New((Py_ssize_t)n - 1)};
    for (uint32_t i = 1; p.tuple != NULL && i < n; i++) {
        const gh_size_class *c = &classes[i];
        put(&p, Py_BuildValue("IIIIId", c->size, c->npages * 8192u,
                              c->nelems_noscan, c->nelems_scan, c->tail_waste,
                              c->max_waste));
    }
    return p.tuple;
}

// size_classes(): a tuple for each of Go's.
PyObject *
core_size_classes(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return class_rows(NULL);
}

// class_table(policy): the same of a policy.
PyObject *
core_class_table(PyObject *Py_UNUSED(module), PyObject *policy_arg)
{
    gh_policy policy;
    return settings_policy(policy_arg, true, &policy) < 0 ? NULL
                                                          : class_rows(&policy);
}

// explain(size, pointers, policy): (path, sizeclass, spanclass, header, elemsize,
// waste, npages, nelems).
PyObject *
core_explain(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *size_arg;
    PyObject *policy_arg;
    int pointers;
    uint64_t size;
    gh_policy policy;
    if (!PyArg_ParseTuple(args, "OpO:explain", &size_arg, &pointers, &policy_arg)
        || convert_size(size_arg, "size", (uint64_t)1 << 45, &size) < 0
        || settings_policy(policy_arg, true, &policy) < 0) {
        return NULL;
    }
    const gh_explanation x = gh_explain(size, pointers != 0, &policy);
    typedef unsigned long long ull;
    return Py_BuildValue("iKiiOKKKI", (int)x.path, (ull)x.size,
                         (int)x.sizeclass, (int)x.spanclass,
                         x.header ? Py_True : Py_False, (ull)x.elemsize,
                         (ull)x.waste, (ull)x.npages, (unsigned)x.nelems);
}
