// replaytype.h: what module.c calls of replaytype.c.

#ifndef GOHEAP_REPLAYTYPE_H
#define GOHEAP_REPLAYTYPE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

// replay_type_init adds ReplayEngine to the module; -1 with an exception.
int replay_type_init(PyObject *module);

#endif  // GOHEAP_REPLAYTYPE_H
