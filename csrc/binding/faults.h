// faults.h: what other files of the binding call of faults.c.

#ifndef GOHEAP_FAULTS_H
#define GOHEAP_FAULTS_H

#include "binding.h"

// faults_enter is called before a heap is made: it sets *ops and *ctx to what
// the heap shall ask for memory, and leaves them alone while the switch is off.
// Whatever it returns goes to faults_leave when the heap is made, or isn't.
fault_run *faults_enter(module_state *state, const gh_mem_ops **ops, void **ctx);
void faults_leave(fault_run *run);

// faults_drop is for the end of the module.
void faults_drop(module_state *state);

PyObject *core_fault_begin(PyObject *module, PyObject *args);
PyObject *core_fault_end(PyObject *module, PyObject *ignored);
PyObject *core_live_heaps(PyObject *module, PyObject *ignored);

#endif  // GOHEAP_FAULTS_H
