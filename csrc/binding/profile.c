// profile.c: the heap profile, as rows for goheap.profile.

#include "binding.h"

typedef struct profile_walk {
    gh_heap *heap;
    gh_profile_record *row;
    size_t n, cap;
    int64_t rate;
    bool nomem;
} profile_walk;

static bool
keep_record(void *arg, const gh_profile_record *r)
{
    profile_walk *k = arg;
    if (k->n == k->cap) {
        const size_t cap = k->cap == 0 ? 64 : 2 * k->cap;
        gh_profile_record *more = realloc(k->row, cap * sizeof(*more));
        if (more == NULL) {
            k->nomem = true;
            return false;
        }
        k->row = more;
        k->cap = cap;
    }
    k->row[k->n++] = *r;
    return true;
}

static gh_status
op_profile(gh_mut *m, void *arg)
{
    profile_walk *k = arg;
    k->heap = gh_mut_heap(m);
    k->rate = gh_profile_rate(k->heap);
    gh_profile_walk(m, keep_record, k);
    return k->nomem ? GH_ERR_NOMEM : GH_OK;
}

static const char *
type_name(const gh_heap *h, uint32_t id)
{
    const gh_type *t = id > GH_TYPE_BYTES ? gh_type_by_id(h, id) : NULL;
    if (t == NULL) {
        return id == GH_TYPE_BYTES ? "Block" : "";
    }
    gh_type_desc d;
    gh_type_get(t, &d);
    return d.name;
}

// rows_of makes (type, site, slot size, allocs, alloc bytes, frees, free bytes) of
// each record, and frees them.
static PyObject *
rows_of(profile_walk *k)
{
    typedef unsigned long long ull;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < k->n; i++) {
        const gh_profile_record *r = &k->row[i];
        PyObject *t = Py_BuildValue(
            "sIKKKKK", type_name(k->heap, r->type_id), (unsigned)r->site,
            (ull)r->size, (ull)r->allocs, (ull)r->alloc_bytes, (ull)r->frees,
            (ull)r->free_bytes);
        if (t == NULL || PyList_Append(list, t) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(t);
    }
    free(k->row);
    return list;
}

PyObject *
profile_of_heap(gh_heap *heap)
{
    profile_walk k = {0};
    gh_mut *m;
    gh_status st = gh_enter(heap, GH_ANY_P, &m);
    if (st == GH_OK) {
        st = op_profile(m, &k);
        gh_leave(m);
    }
    if (st != GH_OK) {
        free(k.row);
        return PyErr_NoMemory();
    }
    return rows_of(&k);
}

// _profile(): (rate, rows)
PyObject *
heap_profile(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    heap_object *self = (heap_object *)op;
    profile_walk k = {0};
    heap_entry *e = heap_use(self, "profile");
    if (e == NULL) {
        return NULL;
    }
    const gh_status st = entry_look(e, op_profile, &k);
    PyObject *rows = NULL;
    if (st == GH_OK) {
        rows = rows_of(&k);
    } else {
        free(k.row);
        set_status_error(self->state, st, "Heap.profile");
    }
    entry_unuse(self->state, e);
    return rows == NULL ? NULL : Py_BuildValue("LN", (long long)k.rate, rows);
}

static gh_status
op_set_rate(gh_mut *m, void *arg)
{
    return gh_profile_set_rate(m, *(int64_t *)arg);
}

PyObject *
heap_get_profile_rate(PyObject *op, void *Py_UNUSED(closure))
{
    heap_object *self = (heap_object *)op;
    heap_entry *e = heap_use(self, "profile_rate");
    if (e == NULL) {
        return NULL;
    }
    const int64_t rate = gh_profile_rate(e->heap);
    entry_unuse(self->state, e);
    return PyLong_FromLongLong(rate);
}

int
heap_set_profile_rate(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    heap_object *self = (heap_object *)op;
    uint64_t size;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "profile_rate can't be deleted");
        return -1;
    }
    if (convert_size(value, "profile_rate", MAX_SETTING, &size) < 0) {
        return -1;
    }
    heap_entry *e = heap_use(self, "profile_rate");
    if (e == NULL) {
        return -1;
    }
    int64_t rate = (int64_t)size;
    const gh_status st = entry_run(self->state, e, op_set_rate, &rate);
    heap_unuse(self, e);
    if (st != GH_OK) {
        set_status_error(self->state, st, "Heap.profile_rate");
        return -1;
    }
    return 0;
}

static gh_status
op_set_site(gh_mut *m, void *arg)
{
    uint32_t *site = arg;
    *site = gh_profile_set_site(m, *site);
    return GH_OK;
}

// _profile_site(n): the number before.
PyObject *
heap_profile_site(PyObject *op, PyObject *arg)
{
    heap_object *self = (heap_object *)op;
    int64_t n;
    if (convert_int(arg, "site", 0, UINT32_MAX, &n) < 0) {
        return NULL;
    }
    heap_entry *e = heap_use(self, "profile_label");
    if (e == NULL) {
        return NULL;
    }
    uint32_t site = (uint32_t)n;
    const gh_status st = entry_run(self->state, e, op_set_site, &site);
    entry_unuse(self->state, e);
    return st != GH_OK
               ? set_status_error(self->state, st, "Heap.profile_label")
               : PyLong_FromUnsignedLong(site);
}

// profile_scale(rate, count, size): an estimate of what there was.
PyObject *
core_profile_scale(PyObject *Py_UNUSED(module), PyObject *args)
{
    long long rate, count, size;
    if (!PyArg_ParseTuple(args, "LLL:profile_scale", &rate, &count, &size)) {
        return NULL;
    }
    int64_t c = count, s = size;
    gh_profile_scale(rate, &c, &s);
    return Py_BuildValue("LL", (long long)c, (long long)s);
}
