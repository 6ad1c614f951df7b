// tracetype.h: what module.c calls of tracetype.c.

#ifndef GOHEAP_TRACETYPE_H
#define GOHEAP_TRACETYPE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

// trace_type_init adds GoTrace, History and trace_rows to the module; -1 with an exception.
int trace_type_init(PyObject *module);

#endif  // GOHEAP_TRACETYPE_H
