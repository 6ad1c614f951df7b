// settings.c: Policy, Debug and Costs of goheap.settings as the core takes them.
//
// They come as they are; each field is read by name. goheap.settings has checked
// their values.

#include "binding.h"

static int
get_bool(PyObject *o, const char *name, bool *out)
{
    PyObject *v = PyObject_GetAttrString(o, name);
    const int truth = v == NULL ? -1 : PyObject_IsTrue(v);
    Py_XDECREF(v);
    *out = truth > 0;
    return truth < 0 ? -1 : 0;
}

static int
get_size(PyObject *o, const char *name, uint64_t *out)
{
    PyObject *v = PyObject_GetAttrString(o, name);
    const int status = v == NULL ? -1 : convert_size(v, name, MAX_SETTING, out);
    Py_XDECREF(v);
    return status;
}

// get_seed reads a seed from 1 on; 0: None.
static int
get_seed(PyObject *o, const char *name, uint64_t *out)
{
    PyObject *v = PyObject_GetAttrString(o, name);
    int64_t seed = 0;
    const int status = v == NULL      ? -1
                       : v == Py_None ? 0
                                      : convert_int(v, name, 1, MAX_SETTING, &seed);
    *out = (uint64_t)seed;
    Py_XDECREF(v);
    return status;
}

static int
get_price(PyObject *o, const char *name, double *out)
{
    PyObject *v = PyObject_GetAttrString(o, name);
    *out = v == NULL ? -1 : PyFloat_AsDouble(v);
    Py_XDECREF(v);
    return PyErr_Occurred() ? -1 : 0;
}

// get_choice finds which of words an attribute is: its number, -1 for None, -2
// with an exception.
static int
get_choice(PyObject *o, const char *name, const char *const *words)
{
    PyObject *v = PyObject_GetAttrString(o, name);
    if (v == NULL) {
        return -2;
    }
    int found = v == Py_None ? -1 : -2;
    for (int i = 0; found == -2 && words[i] != NULL; i++) {
        if (PyUnicode_Check(v)
            && PyUnicode_CompareWithASCIIString(v, words[i]) == 0) {
            found = i;
        }
    }
    if (found == -2) {
        PyErr_Format(PyExc_ValueError, "%s: %R is no choice", name, v);
    }
    Py_DECREF(v);
    return found;
}

// get_classes reads size_classes, a tuple of ints or None.
static int
get_classes(PyObject *o, gh_policy *out)
{
    PyObject *v = PyObject_GetAttrString(o, "size_classes");
    if (v == NULL) {
        return -1;
    }
    const size_t most = sizeof(out->size_class) / sizeof(out->size_class[0]);
    int status = 0;
    if (v != Py_None && (!PyTuple_Check(v) || PyTuple_GET_SIZE(v) == 0
                         || (size_t)PyTuple_GET_SIZE(v) > most)) {
        PyErr_SetString(PyExc_ValueError, "size_classes: a tuple of 1..67 sizes");
        status = -1;
    }
    const Py_ssize_t n = v == Py_None || status < 0 ? 0 : PyTuple_GET_SIZE(v);
    for (Py_ssize_t i = 0; i < n && status == 0; i++) {
        int64_t size = 0;
        status = convert_int(PyTuple_GET_ITEM(v, i), "size_classes", 1,
                             UINT16_MAX, &size);
        out->size_class[i] = (uint16_t)size;
    }
    out->num_size_classes = (uint16_t)n;
    Py_DECREF(v);
    return status;
}

int
settings_policy(PyObject *o, bool eager, gh_policy *out)
{
    static const char *const sweeps[] = {"lazy", "eager", NULL};
    static const char *const scavengers[] = {"off", "go", NULL};
    static const char *const markers[] = {"objects", "greentea", NULL};
    static const char *const scan_works[] = {"object", "dense", NULL};
    static const char *const barriers[] = {"hybrid", "deletion", "insertion",
                                           "none", NULL};
    gh_policy_init(out);
    int sweep, scavenger, marker, scan_work, barrier;
    if ((sweep = get_choice(o, "sweep", sweeps)) == -2
        || (scavenger = get_choice(o, "scavenger", scavengers)) == -2
        || (marker = get_choice(o, "marker", markers)) == -2
        || (scan_work = get_choice(o, "scan_work", scan_works)) == -2
        || (barrier = get_choice(o, "barrier", barriers)) == -2) {
        return -1;
    }
    out->eager_sweep = sweep == -1 ? eager : sweep == 1;
    out->scavenger = scavenger == 1;
    out->marker = (gh_marker)marker;
    out->scan_work = (gh_scan_work)scan_work;
    out->barrier = barrier < 0 ? GH_BARRIER_HYBRID : (gh_barrier)barrier;
    return get_bool(o, "tiny", &out->tiny) < 0
                   || get_bool(o, "page_cache", &out->page_cache) < 0
                   || get_classes(o, out) < 0
                   || get_size(o, "min_heap", &out->min_heap) < 0
                   || get_size(o, "ballast", &out->ballast) < 0
               ? -1 : 0;
}

int
settings_debug(PyObject *o, gh_debug *out)
{
    gh_debug_init(out);
    return get_bool(o, "checkmark", &out->checkmark) < 0
                   || get_bool(o, "clobber_free", &out->clobber_free) < 0
                   || get_size(o, "gc_every", &out->gc_every) < 0
                   || get_seed(o, "delays", &out->delays) < 0
               ? -1 : 0;
}

int
settings_costs(PyObject *o, gh_costs *out)
{
    gh_costs_init(out);
    return get_price(o, "alloc", &out->alloc) < 0
                   || get_price(o, "alloc_byte", &out->alloc_byte) < 0
                   || get_price(o, "scan_byte", &out->scan_byte) < 0
                   || get_price(o, "sweep_page", &out->sweep_page) < 0
                   || get_price(o, "page_fault", &out->page_fault) < 0
                   || get_price(o, "stop", &out->stop) < 0
               ? -1 : 0;
}
