// columns.c: rows that grow in C. See columns.h.

#include "columns.h"

#include <stdlib.h>

bool
columns_reserve(columns *t, size_t cap)
{
    if (cap <= t->cap) {
        return true;
    }
    if (cap > (size_t)PY_SSIZE_T_MAX / 8) {
        return false;
    }
    for (unsigned c = 0; c < t->ncols; c++) {
        char *more = realloc(t->col[c], cap * t->width[c]);
        if (more == NULL) {
            return false;  // the columns that did grow are no harm
        }
        t->col[c] = more;
    }
    t->cap = cap;
    return true;
}

void
columns_fini(columns *t)
{
    for (unsigned c = 0; c < t->ncols; c++) {
        free(t->col[c]);
        t->col[c] = NULL;
    }
    t->n = t->cap = 0;
}

PyObject *
columns_take(columns *t)
{
    PyObject *tuple = PyTuple_New((Py_ssize_t)t->ncols);
    for (unsigned c = 0; tuple != NULL && c < t->ncols; c++) {
        PyObject *bytes = PyBytes_FromStringAndSize(
            t->col[c], (Py_ssize_t)(t->n * t->width[c]));
        free(t->col[c]);
        t->col[c] = NULL;
        if (bytes == NULL) {
            Py_CLEAR(tuple);
        } else {
            PyTuple_SET_ITEM(tuple, (Py_ssize_t)c, bytes);
        }
    }
    return tuple;
}
