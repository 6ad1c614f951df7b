// faults.c: failing the calls that heaps make to the OS, for goheap.testing.
//
// While the switch of an interpreter is on, its new heaps get a table of OS
// calls that counts, over all of them, and fails the calls that were asked for.
// A heap keeps its table when the switch goes off; from then on no call fails.
//
// A fault_run lives as long as the switch is on, a heap is being made with it,
// or an address reserved through it has not been given back: a heap that ended
// may leave memory to a buffer. All three are one count [inv:faults.held].
//
// Threads: counters are atomic, since heaps of several threads share a run. The
// switch itself is guarded by the lock of the table of heaps.

#include "faults.h"

#include <errno.h>
#include <stdlib.h>

#ifdef Py_GIL_DISABLED
#define LOCK(s)   PyThread_acquire_lock((s)->heaps.lock, WAIT_LOCK)
#define UNLOCK(s) PyThread_release_lock((s)->heaps.lock)
#else
#define LOCK(s)   ((void)(s))
#define UNLOCK(s) ((void)(s))
#endif

typedef enum os_call {
    OS_RESERVE, OS_MAP, OS_UNUSED, OS_FAULT, OS_HUGE,
    NUM_OS_CALLS
} os_call;

static const char *const os_call_name[NUM_OS_CALLS] = {
    "reserve", "map", "unused", "fault", "huge",
};

// More than any sum of reserved bytes.
#define HOLDER ((uint64_t)1 << 56)

struct fault_run {
    uint64_t fail_from;           // number of the first call to fail, from 0
    _Atomic uint64_t fail_count;  // and of how many; 0 once the switch is off
    _Atomic uint64_t number;      // of the next call
    _Atomic uint64_t calls[NUM_OS_CALLS];
    _Atomic uint64_t failed[NUM_OS_CALLS];
    _Atomic uint64_t held;        // bytes reserved, and HOLDER for each holder
};

static void
run_release(fault_run *run, uint64_t share)
{
    if (atomic_fetch_sub(&run->held, share) == share) {
        free(run);
    }
}

// fails counts a call and says whether it is one that shall fail.
static bool
fails(fault_run *run, os_call call)
{
    const uint64_t number = atomic_fetch_add(&run->number, 1);
    atomic_fetch_add(&run->calls[call], 1);
    if (number < run->fail_from
        || number - run->fail_from >= atomic_load(&run->fail_count)) {
        return false;
    }
    atomic_fetch_add(&run->failed[call], 1);
    return true;
}

// ---- the table. What doesn't fail goes to the core's own counting table, whose
// record is of no use here and lives for one call.

static void *
run_reserve(void *ctx, size_t n)
{
    fault_run *run = ctx;
    if (fails(run, OS_RESERVE)) {
        return NULL;
    }
    gh_mem_fault pass = {0};
    void *v = gh_mem_fault_ops()->reserve(&pass, n);
    if (v != NULL) {
        atomic_fetch_add(&run->held, n);
    }
    return v;
}

static int
run_map(void *ctx, void *v, size_t n)
{
    gh_mem_fault pass = {0};
    return fails(ctx, OS_MAP) ? ENOMEM : gh_mem_fault_ops()->map(&pass, v, n);
}

static int
run_unused(void *ctx, void *v, size_t n)
{
    gh_mem_fault pass = {0};
    return fails(ctx, OS_UNUSED) ? EAGAIN
                                 : gh_mem_fault_ops()->unused(&pass, v, n);
}

static int
run_huge(void *ctx, void *v, size_t n)
{
    gh_mem_fault pass = {0};
    return fails(ctx, OS_HUGE) ? EINVAL : gh_mem_fault_ops()->huge(&pass, v, n);
}

static int
run_fault(void *ctx, void *v, size_t n)
{
    gh_mem_fault pass = {0};
    return fails(ctx, OS_FAULT) ? ENOMEM
                                : gh_mem_fault_ops()->fault(&pass, v, n);
}

static void
run_free(void *ctx, void *v, size_t n)
{
    gh_mem_fault pass = {.bytes = n};
    gh_mem_fault_ops()->free(&pass, v, n);
    run_release(ctx, n);
}

static const gh_mem_ops run_ops = {
    .reserve = run_reserve,
    .map = run_map,
    .unused = run_unused,
    .fault = run_fault,
    .free = run_free,
    .huge = run_huge,
};

// ---- the switch --------------------------------------------------------------------

fault_run *
faults_enter(module_state *state, const gh_mem_ops **ops, void **ctx)
{
    LOCK(state);
    fault_run *run = state->faults;
    if (run != NULL) {
        atomic_fetch_add(&run->held, HOLDER);
    }
    UNLOCK(state);
    if (run != NULL) {
        *ops = &run_ops;
        *ctx = run;
    }
    return run;
}

void
faults_leave(fault_run *run)
{
    if (run != NULL) {
        run_release(run, HOLDER);
    }
}

// switch_off takes the run out of the state; NULL if the switch is off.
static fault_run *
switch_off(module_state *state)
{
    LOCK(state);
    fault_run *run = state->faults;
    state->faults = NULL;
    UNLOCK(state);
    if (run != NULL) {
        atomic_store(&run->fail_count, 0);
    }
    return run;
}

void
faults_drop(module_state *state)
{
    if (state->faults != NULL) {
        faults_leave(switch_off(state));
    }
}

// fault_begin(fail_from, count): heaps made from now on fail that many calls,
// from number fail_from (0 is the first) on.
PyObject *
core_fault_begin(PyObject *module, PyObject *args)
{
    module_state *state = PyModule_GetState(module);
    PyObject *from, *count;
    uint64_t fail_from, fail_count;
    if (!PyArg_ParseTuple(args, "OO:fault_begin", &from, &count)
        || convert_uint64(from, "fail_from", &fail_from) < 0
        || convert_uint64(count, "count", &fail_count) < 0) {
        return NULL;
    }
    fault_run *run = calloc(1, sizeof(*run));
    if (run == NULL) {
        return PyErr_NoMemory();
    }
    run->fail_from = fail_from;
    atomic_store(&run->fail_count, fail_count);
    atomic_store(&run->held, HOLDER);
    LOCK(state);
    const bool free_place = state->faults == NULL;
    if (free_place) {
        state->faults = run;
    }
    UNLOCK(state);
    if (!free_place) {
        free(run);
        PyErr_SetString(state->state_error,
                        "fault_begin: OS calls are being failed already");
        return NULL;
    }
    Py_RETURN_NONE;
}

// fault_end(): {name of the call: (calls, of which failed)}.
PyObject *
core_fault_end(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    module_state *state = PyModule_GetState(module);
    fault_run *run = switch_off(state);
    if (run == NULL) {
        PyErr_SetString(state->state_error,
                        "fault_end: without a fault_begin");
        return NULL;
    }
    PyObject *out = PyDict_New();
    for (int i = 0; i < NUM_OS_CALLS && out != NULL; i++) {
        PyObject *pair = Py_BuildValue(
            "KK", (unsigned long long)atomic_load(&run->calls[i]),
            (unsigned long long)atomic_load(&run->failed[i]));
        if (pair == NULL
            || PyDict_SetItemString(out, os_call_name[i], pair) < 0) {
            Py_CLEAR(out);
        }
        Py_XDECREF(pair);
    }
    faults_leave(run);
    return out;
}

// add_heap appends the Heap of number i, if it is alive.
static int
add_heap(module_state *state, uint32_t i, PyObject *list)
{
    heap_entry *e = table_entry(&state->heaps, i);
    if (e == NULL) {
        return 0;
    }
    e = entry_use(state, atomic_load(&e->id));
    if (e == NULL) {
        return 0;
    }
#if PY_VERSION_HEX >= 0x030d0000
    PyObject *heap;
    const int found = PyWeakref_GetRef(e->weak, &heap);
#else
    PyObject *heap = PyWeakref_GetObject(e->weak);
    const int found = heap == NULL ? -1 : heap != Py_None;
    heap = found > 0 ? Py_NewRef(heap) : NULL;
#endif
    entry_unuse(state, e);
    if (found <= 0) {
        return found;
    }
    const int status = PyList_Append(list, heap);
    Py_DECREF(heap);
    return status;
}

// live_heaps(): every open Heap of this interpreter.
PyObject *
core_live_heaps(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    module_state *state = PyModule_GetState(module);
    LOCK(state);
    const uint32_t made = state->heaps.made;
    UNLOCK(state);
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; i < made && list != NULL; i++) {
        if (add_heap(state, i, list) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}
