// replaytype.c: goheap._core.ReplayEngine, a heap type around one gh_replay.
//
// goheap.replay drives it: step until a column is wanted, feed that column, step
// again. An engine without a base surveys a history; one with a base, a finished
// survey of the same history, replays it on a heap of its own.
//
// Threads: step works detached from the interpreter, on memory that only the
// engine knows. busy keeps a second thread out meanwhile.
//
// It needs nothing of the module but a place to put its type, and the switch of
// faults.h.

#include "replaytype.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "faults.h"
#include "goheap.h"
#include "replay.h"

typedef struct {
    PyObject_HEAD
    gh_replay *replay;  // owned; NULL before __new__ is done
    PyObject *base;     // owned: the survey whose lifetimes are used, or NULL
    _Atomic int busy;   // a thread works on replay
} replay_object;

// set_status sets the exception for a status that is not GH_OK.
static PyObject *
set_status(gh_status st)
{
    if (st == GH_ERR_NOMEM) {
        return PyErr_NoMemory();
    }
    PyErr_Format(PyExc_ValueError, "replay: %s", gh_status_name(st));
    return NULL;
}

// take keeps other threads out; false with RuntimeError.
static bool
take(replay_object *self)
{
    int idle = 0;
    if (atomic_compare_exchange_strong(&self->busy, &idle, 1)) {
        return true;
    }
    PyErr_SetString(PyExc_RuntimeError, "another thread uses this ReplayEngine");
    return false;
}

static void
give(replay_object *self)
{
    atomic_store(&self->busy, 0);
}

// ---- the constructor ------------------------------------------------------------

// tables is what the config points at while the constructor runs. The strings
// belong to the tuples that were passed.
typedef struct tables {
    const char **ops;
    gh_replay_column *columns;
    gh_replay_type *types;
    uint32_t *classes;
} tables;

static void
tables_free(tables *t)
{
    PyMem_Free(t->ops);
    PyMem_Free(t->columns);
    PyMem_Free(t->types);
    PyMem_Free(t->classes);
}

static void *
table_new(PyObject *items, size_t elem)
{
    void *table = PyMem_Calloc((size_t)PyTuple_GET_SIZE(items) + 1, elem);
    if (table == NULL) {
        PyErr_NoMemory();
    }
    return table;
}

static int
tables_read(tables *t, gh_replay_config *cfg, PyObject *ops, PyObject *columns,
            PyObject *types, PyObject *classes)
{
    cfg->nops = (size_t)PyTuple_GET_SIZE(ops);
    cfg->ncolumns = (size_t)PyTuple_GET_SIZE(columns);
    cfg->ntypes = (size_t)PyTuple_GET_SIZE(types);
    cfg->nclasses = (size_t)PyTuple_GET_SIZE(classes);
    t->ops = table_new(ops, sizeof(*t->ops));
    t->columns = table_new(columns, sizeof(*t->columns));
    t->types = table_new(types, sizeof(*t->types));
    t->classes = table_new(classes, sizeof(*t->classes));
    if (t->ops == NULL || t->columns == NULL || t->types == NULL
        || t->classes == NULL) {
        return -1;
    }
    for (size_t i = 0; i < cfg->nops; i++) {
        t->ops[i] = PyUnicode_AsUTF8(PyTuple_GET_ITEM(ops, (Py_ssize_t)i));
        if (t->ops[i] == NULL) {
            return -1;
        }
    }
    for (size_t i = 0; i < cfg->ncolumns; i++) {
        unsigned long long count;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(columns, (Py_ssize_t)i),
                              "ssK;a column is (name, encoding, count)",
                              &t->columns[i].name, &t->columns[i].enc,
                              &count)) {
            return -1;
        }
        t->columns[i].count = count;
    }
    for (size_t i = 0; i < cfg->ntypes; i++) {
        unsigned long long size, ptrdata;
        int recorder;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(types, (Py_ssize_t)i),
                              "sKKp;a type is (name, size, ptrdata, recorder)",
                              &t->types[i].name, &size, &ptrdata, &recorder)) {
            return -1;
        }
        t->types[i].size = size;
        t->types[i].ptrdata = ptrdata;
        t->types[i].recorder = recorder != 0;
    }
    for (size_t i = 0; i < cfg->nclasses; i++) {
        const unsigned long size =
            PyLong_AsUnsignedLong(PyTuple_GET_ITEM(classes, (Py_ssize_t)i));
        if (PyErr_Occurred()) {
            return -1;
        }
        if (size > UINT32_MAX) {
            PyErr_SetString(PyExc_ValueError, "a size class of 4 GiB or more");
            return -1;
        }
        t->classes[i] = (uint32_t)size;
    }
    cfg->ops = t->ops;
    cfg->columns = t->columns;
    cfg->types = t->types;
    cfg->class_to_size = t->classes;
    return 0;
}

static PyObject *
replay_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {
        "ops", "columns", "types", "classes", "num_forced", "base", "gogc",
        "memory_limit", "procs", "follow_procs", "deaths", "seed",
        "globals_scan", "stack_scan", "series_ns", "mode", "non_heap",
        "policy", "costs", "event_ns", "gc_share", "keep_recorder",
        "busy_ns", "cycle_delay_ns", "profile_rate", "forced", "spill_dir",
        "spill_keep", "series_objects", "series_cycles", "stacks", NULL};
    PyObject *ops, *columns, *types, *classes, *base = Py_None, *forced = NULL,
             *stacks = NULL;
    unsigned long long num_forced = 0, seed = 0, globals_scan = 0,
                       stack_scan = 0, series_ns = 0, series_objects = 0, non_heap = 0;
    PyObject *policy = NULL, *costs = NULL;
    int gogc = 100, procs = 1, follow_procs = 0, deaths = GH_DEATHS_DRAWN,
        mode = GH_MODE_STW, keep_recorder = 0, series_cycles = 0;
    double event_ns = 0, gc_share = 0, busy_ns = 0, cycle_delay_ns = 0;
    long long memory_limit = GH_LIMIT_OFF, profile_rate = 0;
    const char *spill_dir = NULL;
    Py_ssize_t spill_keep = 0;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O!O!O!O!K|O$iLipiKKKKiKOOddpddLO!znKpO!:ReplayEngine", names,
            &PyTuple_Type, &ops, &PyTuple_Type, &columns, &PyTuple_Type, &types,
            &PyTuple_Type, &classes, &num_forced, &base, &gogc, &memory_limit,
            &procs, &follow_procs, &deaths, &seed, &globals_scan, &stack_scan,
            &series_ns, &mode, &non_heap, &policy, &costs, &event_ns, &gc_share,
            &keep_recorder, &busy_ns, &cycle_delay_ns,
            &profile_rate, &PyBytes_Type, &forced, &spill_dir, &spill_keep,
            &series_objects, &series_cycles, &PyBytes_Type, &stacks)) {
        return NULL;
    }
    if (deaths < GH_DEATHS_EARLY || deaths > GH_DEATHS_LATE) {
        PyErr_SetString(PyExc_ValueError, "deaths: 0, 1 or 2");
        return NULL;
    }
    module_state *state = state_of_type(type);
    if (state == NULL) {
        return NULL;
    }
    gh_replay_config cfg;
    gh_replay_config_init(&cfg);
    cfg.num_forced = num_forced;
    if (forced != NULL) {  // 32-bit numbers of the machine
        cfg.forced = (const uint32_t *)(const void *)PyBytes_AS_STRING(forced);
        cfg.nforced = (size_t)PyBytes_GET_SIZE(forced) / sizeof(uint32_t);
    }
    if (stacks != NULL) {  // 64-bit ones
        cfg.stacks = (const uint64_t *)(const void *)PyBytes_AS_STRING(stacks);
        cfg.nstacks = (size_t)PyBytes_GET_SIZE(stacks) / sizeof(uint64_t);
    }
    cfg.spill_dir = spill_dir;
    cfg.spill_keep = spill_keep > 0 ? (size_t)spill_keep : 0;
    cfg.mode = (gh_mode)mode;
    cfg.non_heap = non_heap;
    cfg.event_ns = event_ns;
    cfg.gc_share = gc_share;
    cfg.busy_ns = busy_ns;
    cfg.cycle_delay_ns = cycle_delay_ns;
    cfg.keep_recorder = keep_recorder != 0;
    if ((policy != NULL && settings_policy(policy, false, &cfg.policy) < 0)
        || (costs != NULL && settings_costs(costs, &cfg.costs) < 0)) {
        return NULL;
    }
    cfg.gogc = gogc;
    cfg.memory_limit = memory_limit;
    cfg.procs = procs;
    cfg.follow_procs = follow_procs != 0;
    cfg.deaths = (gh_deaths)deaths;
    cfg.seed = seed;
    cfg.globals_scan = globals_scan;
    cfg.stack_scan = stack_scan;
    cfg.series_ns = series_ns;
    cfg.series_objects = series_objects;
    cfg.series_cycles = series_cycles != 0;
    cfg.profile_rate = profile_rate;
    if (base != Py_None) {
        if (Py_TYPE(base) != type) {
            PyErr_SetString(PyExc_TypeError, "base: a ReplayEngine or None");
            return NULL;
        }
        cfg.lifetimes = gh_replay_lifetimes(((replay_object *)base)->replay);
        if (cfg.lifetimes == NULL) {
            PyErr_SetString(PyExc_ValueError, "base: not a finished survey");
            return NULL;
        }
    }

    tables t = {0};
    replay_object *self = NULL;
    if (tables_read(&t, &cfg, ops, columns, types, classes) == 0) {
        self = (replay_object *)type->tp_alloc(type, 0);
    }
    if (self != NULL) {
        gh_replay_error err;
        cfg.policy.portable_kernels = state->portable_kernels;
        fault_run *faults = faults_enter(state, &cfg.mem_ops, &cfg.mem_ctx);
        const gh_status st = gh_replay_new(&cfg, &self->replay, &err);
        faults_leave(faults);
        if (st != GH_OK) {
            Py_CLEAR(self);
        }
        if (st == GH_ERR_INVAL) {
            PyErr_SetString(PyExc_ValueError, err.message);
        } else if (st != GH_OK) {
            set_status(st);
        }
    }
    tables_free(&t);
    if (self != NULL && base != Py_None) {
        Py_INCREF(base);
        self->base = base;
    }
    return (PyObject *)self;
}

static int
replay_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((replay_object *)self)->base);
    return 0;
}

static void
replay_dealloc(PyObject *op)
{
    replay_object *self = (replay_object *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    gh_replay_free(self->replay);  // before the base: it reads its lifetimes
    Py_XDECREF(self->base);
    type->tp_free(op);
    Py_DECREF(type);
}

// ---- running ----------------------------------------------------------------------

PyDoc_STRVAR(replay_step_doc,
"step($self, max_events, /)\n--\n\n"
"Handle further events. -1: all are done; -2: max_events are done, or a\n"
"collection; another int: this column wants bytes; (column, offset, message):\n"
"damaged.");

static PyObject *
replay_step(PyObject *op, PyObject *arg)
{
    replay_object *self = (replay_object *)op;
    const unsigned long long max = PyLong_AsUnsignedLongLong(arg);
    if (PyErr_Occurred() || !take(self)) {
        return NULL;
    }
    int need = -1;
    gh_replay_error err;
    gh_replay_result res;
    Py_BEGIN_ALLOW_THREADS
    res = gh_replay_step(self->replay, max, &need, &err);
    Py_END_ALLOW_THREADS
    give(self);
    switch (res) {
    case GH_REPLAY_DONE:
        return PyLong_FromLong(-1);
    case GH_REPLAY_BUDGET:
        return PyLong_FromLong(-2);
    case GH_REPLAY_NEED:
        return PyLong_FromLong(need);
    case GH_REPLAY_BAD:
        return Py_BuildValue("(iKs)", err.column,
                             (unsigned long long)err.offset, err.message);
    case GH_REPLAY_NOMEM:
        break;
    }
    return PyErr_NoMemory();
}

PyDoc_STRVAR(replay_feed_doc,
"feed($self, column, data, last, /)\n--\n\n"
"Append raw bytes to a column; last: there are no more.");

static PyObject *
replay_feed(PyObject *op, PyObject *args)
{
    replay_object *self = (replay_object *)op;
    int column, last;
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "iy*p:feed", &column, &data, &last)) {
        return NULL;
    }
    if (!take(self)) {
        PyBuffer_Release(&data);
        return NULL;
    }
    const gh_status st = gh_replay_feed(self->replay, column, data.buf,
                                        (size_t)data.len, last != 0);
    give(self);
    PyBuffer_Release(&data);
    if (st != GH_OK) {
        return set_status(st);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(replay_wants_doc,
"wants($self, column, /)\n--\n\nWhether this pass reads the column.");

static PyObject *
replay_wants(PyObject *op, PyObject *arg)
{
    const long column = PyLong_AsLong(arg);
    if (PyErr_Occurred()) {
        return NULL;
    }
    return PyBool_FromLong(
        column >= 0 && column <= INT32_MAX
        && gh_replay_wants(((replay_object *)op)->replay, (int)column));
}

// ---- what came out -------------------------------------------------------------------

// heap_taken gives the heap of a replay that nobody steps; NULL with an exception,
// else give() must follow.
static gh_heap *
heap_taken(replay_object *self)
{
    gh_heap *heap = gh_replay_heap(self->replay);
    if (heap == NULL) {
        PyErr_SetString(PyExc_ValueError, "a survey has no heap");
        return NULL;
    }
    return take(self) ? heap : NULL;
}

PyDoc_STRVAR(replay_summary_doc,
"summary($self, /)\n--\n\nWhat has happened so far, as a dict.");

static PyObject *
replay_summary(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    replay_object *self = (replay_object *)op;
    if (heap_taken(self) == NULL) {
        return NULL;
    }
    gh_replay_summary s;
    gh_replay_summary_get(self->replay, &s);
    give(self);
    return Py_BuildValue(
        "{sK sK sK sK sK sK sK sK sK sK sK sK sK sK sL sL sd sL sL sL sK sK}",
        "events", (unsigned long long)s.events,
        "objects", (unsigned long long)s.objects,
        "reused", (unsigned long long)s.reused,
        "tiny", (unsigned long long)s.tiny,
        "bytes", (unsigned long long)s.bytes,
        "left_out", (unsigned long long)s.left_out,
        "left_out_bytes", (unsigned long long)s.left_out_bytes,
        "live_objects", (unsigned long long)s.live_objects,
        "peak_live_objects", (unsigned long long)s.peak_live_objects,
        "automatic_gc", (unsigned long long)s.automatic_gc,
        "forced_gc", (unsigned long long)s.forced_gc,
        "peak_heap", (unsigned long long)s.peak_heap,
        "peak_gc_heap", (unsigned long long)s.peak_gc_heap,
        "peak_committed", (unsigned long long)s.peak_committed,
        "time_ns", (long long)s.time_ns,
        "longest_pause_ns", (long long)s.longest_pause_ns,
        "gc_cpu_fraction", s.gc_cpu_fraction,
        "assist_ns", (long long)s.assist_ns,
        "background_ns", (long long)s.background_ns,
        "idle_ns", (long long)s.idle_ns, "work", (unsigned long long)s.work,
        "limited", (unsigned long long)s.limited);
}

PyDoc_STRVAR(replay_profile_doc,
"profile($self, /)\n--\n\n"
"Rows of the heap profile; a site is a type's number + 1.");

static PyObject *
replay_profile(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    replay_object *self = (replay_object *)op;
    gh_heap *heap = heap_taken(self);
    if (heap == NULL) {
        return NULL;
    }
    PyObject *rows = profile_of_heap(heap);
    give(self);
    return rows;
}

PyDoc_STRVAR(replay_cycles_doc,
"cycles($self, first=0, /)\n--\n\n"
"The cycles from number first on, each a tuple of the fields of GCCycle.");

static PyObject *
replay_cycles(PyObject *op, PyObject *args)
{
    replay_object *self = (replay_object *)op;
    unsigned long long first = 0;
    if (!PyArg_ParseTuple(args, "|K:cycles", &first)) {
        return NULL;
    }
    gh_heap *heap = heap_taken(self);
    if (heap == NULL) {
        return NULL;
    }
    PyObject *list = PyList_New(0);
    for (uint64_t i = first; list != NULL && i < gh_cycles(heap); i++) {
        gh_cycle c;
        PyObject *t = gh_cycle_get(heap, i, &c) == GH_OK ? cycle_tuple(&c)
                                                         : NULL;
        if (t == NULL || PyList_Append(list, t) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(t);
    }
    give(self);
    return list;
}

PyDoc_STRVAR(replay_turn_doc,
"turn($self, gogc, memory_limit, goal, trigger, /)\n--\n\n"
"Settings from now on, and goal and trigger of the next cycle (0: the pacer's).");

static PyObject *
replay_turn(PyObject *op, PyObject *args)
{
    replay_object *self = (replay_object *)op;
    int gogc;
    long long limit;
    unsigned long long goal, trigger;
    if (!PyArg_ParseTuple(args, "iLKK:turn", &gogc, &limit, &goal, &trigger)) {
        return NULL;
    }
    gh_heap *heap = heap_taken(self);
    if (heap == NULL) {
        return NULL;
    }
    gh_mut *m;
    const gh_status st = gh_enter(heap, GH_ANY_P, &m);
    if (st == GH_OK) {
        (void)gh_set_gogc(m, gogc);
        (void)gh_set_memory_limit(m, limit);
        gh_set_next_cycle(m, goal, trigger);
        gh_leave(m);
    }
    give(self);
    if (st != GH_OK) {
        return set_status(st);
    }
    Py_RETURN_NONE;
}

static PyObject *
sample_tuple(const gh_replay_sample *s)
{
    return Py_BuildValue("(LKKKKKKKK)", (long long)s->t_ns,
                         (unsigned long long)s->objects,
                         (unsigned long long)s->heap_live,
                         (unsigned long long)s->heap_goal,
                         (unsigned long long)s->heap_marked,
                         (unsigned long long)s->heap_inuse,
                         (unsigned long long)s->heap_free,
                         (unsigned long long)s->heap_released,
                         (unsigned long long)s->num_gc);
}

PyDoc_STRVAR(replay_samples_doc,
"samples($self, /)\n--\n\n"
"The series so far and the present moment at its end: tuples (t_ns, objects,\n"
"heap_live, heap_goal, heap_marked, heap_inuse, heap_free, heap_released,\n"
"num_gc).");

static PyObject *
replay_samples(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    replay_object *self = (replay_object *)op;
    if (heap_taken(self) == NULL) {
        return NULL;
    }
    const gh_replay_sample *samples;
    const size_t n = gh_replay_samples(self->replay, &samples);
    PyObject *list = PyList_New((Py_ssize_t)n + 1);
    for (size_t i = 0; list != NULL && i <= n; i++) {
        gh_replay_sample now;
        if (i == n) {
            gh_replay_sample_now(self->replay, &now);
        }
        PyObject *t = sample_tuple(i == n ? &now : &samples[i]);
        if (t == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, t);
    }
    give(self);
    return list;
}

PyDoc_STRVAR(replay_stats_doc,
"stats($self, /)\n--\n\nMemStats as of now, a tuple of its fields.");

static PyObject *
replay_stats(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    replay_object *self = (replay_object *)op;
    gh_heap *heap = heap_taken(self);
    if (heap == NULL) {
        return NULL;
    }
    gh_memstats *s = PyMem_Malloc(sizeof(*s));
    gh_mut *m;
    const gh_status st = s == NULL ? GH_ERR_NOMEM : gh_enter(heap, GH_ANY_P, &m);
    if (st == GH_OK) {
        gh_stats(m, s);
        gh_leave(m);
    }
    give(self);
    PyObject *tuple = st == GH_OK ? memstats_tuple(s) : set_status(st);
    PyMem_Free(s);
    return tuple;
}

PyDoc_STRVAR(replay_facts_doc,
"facts($self, /)\n--\n\n"
"What a finished survey found: a dict, with its cycles as tuples (begin_ns,\n"
"end_ns, heap_start, heap_end, heap_marked, heap_goal, forced).");

static PyObject *
replay_facts(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    gh_survey_facts f;
    if (!gh_replay_facts(((replay_object *)op)->replay, &f)) {
        PyErr_SetString(PyExc_ValueError, "not a finished survey");
        return NULL;
    }
    PyObject *cycles = PyList_New((Py_ssize_t)f.ncycles);
    for (uint32_t i = 0; cycles != NULL && i < f.ncycles; i++) {
        const gh_recorded_cycle *c = &f.cycle[i];
        PyObject *t = Py_BuildValue(
            "(LLKKKKO)", (long long)c->begin_ns, (long long)c->end_ns,
            (unsigned long long)c->heap_start, (unsigned long long)c->heap_end,
            (unsigned long long)c->heap_marked, (unsigned long long)c->heap_goal,
            c->forced ? Py_True : Py_False);
        if (t == NULL) {
            Py_CLEAR(cycles);
            break;
        }
        PyList_SET_ITEM(cycles, (Py_ssize_t)i, t);
    }
    PyObject *gaps = PyTuple_New(GH_GAP_BUCKETS);
    for (Py_ssize_t i = 0; gaps != NULL && i < GH_GAP_BUCKETS; i++) {
        PyObject *t = Py_BuildValue("(KK)", (unsigned long long)f.gaps[i],
                                    (unsigned long long)f.gap_ns[i]);
        if (t == NULL) {
            Py_CLEAR(gaps);
            break;
        }
        PyTuple_SET_ITEM(gaps, i, t);
    }
    if (cycles == NULL || gaps == NULL) {
        Py_XDECREF(cycles);
        Py_XDECREF(gaps);
        return NULL;
    }
    return Py_BuildValue(
        "{sN sI sL sL sL sd sK sN}", "gaps", gaps, "ps", (unsigned)f.ps, "duration_ns", (long long)f.duration_ns,
        "mark_ns", (long long)f.mark_ns, "stopped_ns", (long long)f.stopped_ns,
        "event_ns", f.event_ns,
        "recorder_bytes", (unsigned long long)f.recorder_bytes, "cycles", cycles);
}

static void
add_line(void *arg, const char *line)
{
    PyObject **list = arg;
    PyObject *s = *list == NULL ? NULL : PyUnicode_FromString(line);
    if (s == NULL || PyList_Append(*list, s) < 0) {
        Py_CLEAR(*list);
    }
    Py_XDECREF(s);
}

PyDoc_STRVAR(replay_verify_doc,
"verify($self, /)\n--\n\nThe broken invariants of the replay's heap, a list.");

static PyObject *
replay_verify(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    replay_object *self = (replay_object *)op;
    gh_heap *heap = heap_taken(self);
    if (heap == NULL) {
        return NULL;
    }
    PyObject *list = PyList_New(0);
    gh_mut *m;
    gh_status st = gh_enter(heap, GH_ANY_P, &m);
    if (st == GH_OK) {
        (void)gh_verify(m, add_line, &list);
        gh_leave(m);
    }
    give(self);
    if (st != GH_OK) {
        Py_XDECREF(list);
        return set_status(st);
    }
    return list;
}

static PyObject *
replay_get_done(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(
        gh_replay_events_done(((replay_object *)op)->replay));
}

static PyObject *
replay_get_total(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(
        gh_replay_events_total(((replay_object *)op)->replay));
}

static PyMethodDef replay_methods[] = {
    {"step", replay_step, METH_O, replay_step_doc},
    {"feed", replay_feed, METH_VARARGS, replay_feed_doc},
    {"wants", replay_wants, METH_O, replay_wants_doc},
    {"summary", replay_summary, METH_NOARGS, replay_summary_doc},
    {"cycles", replay_cycles, METH_VARARGS, replay_cycles_doc},
    {"turn", replay_turn, METH_VARARGS, replay_turn_doc},
    {"profile", replay_profile, METH_NOARGS, replay_profile_doc},
    {"facts", replay_facts, METH_NOARGS, replay_facts_doc},
    {"samples", replay_samples, METH_NOARGS, replay_samples_doc},
    {"stats", replay_stats, METH_NOARGS, replay_stats_doc},
    {"verify", replay_verify, METH_NOARGS, replay_verify_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef replay_getset[] = {
    {"done", replay_get_done, NULL, "Events handled so far.", NULL},
    {"total", replay_get_total, NULL, "Events of the history.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot replay_slots[] = {
    {Py_tp_doc, "One pass over a recorded history: see goheap.replay."},
    {Py_tp_new, (void *)(uintptr_t)replay_new},
    {Py_tp_dealloc, (void *)(uintptr_t)replay_dealloc},
    {Py_tp_traverse, (void *)(uintptr_t)replay_traverse},
    {Py_tp_methods, replay_methods},
    {Py_tp_getset, replay_getset},
    {0, NULL},
};

static PyType_Spec replay_spec = {
    .name = "goheap._core.ReplayEngine",
    .basicsize = sizeof(replay_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = replay_slots,
};

int
replay_type_init(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &replay_spec, NULL);
    if (type == NULL) {
        return -1;
    }
    const int result = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return result;
}
