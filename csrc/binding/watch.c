// watch.c: what listens to a heap while Python code runs: the log of its slow path
// (Heap.watch) and series of its figures (Heap.record).
//
// A tap belongs to two: the heap's entry, whose list the core's one listener goes
// through, and the capsule that Python holds. It fills plain C columns, and only
// the holder of a P touches them, so reading means entering the heap. When the
// heap has ended nobody writes any more, and the capsule's holder reads alone
// [inv:tap.holder].
//
// Nothing a tap does changes a figure of the heap.

#include "columns.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define TAP_NAME "goheap.tap"

// ---- figures that a series may have ------------------------------------------------

typedef enum source { CLOCK, STATS, PACER, CYCLE } source;

typedef struct figure {
    const char *name;
    source from;
    char format;      // of the cells: 'Q', 'q' or 'd'
    uint8_t size;     // bytes in its struct
    uint16_t offset;
} figure;

#define STAT(f)  {#f, STATS, 'Q', sizeof(((gh_memstats *)0)->f),              \
                  offsetof(gh_memstats, f)}
#define PACE(f)  {#f, PACER, 'Q', sizeof(((gh_pacer_stats *)0)->f),           \
                  offsetof(gh_pacer_stats, f)}
#define CYC(k, f) {#f, CYCLE, k, sizeof(((gh_cycle *)0)->f),                  \
                   offsetof(gh_cycle, f)}

// Names are those of Heap, MemStats and, for what only a cycle has, GCCycle.
static const figure figures[] = {
    {"now_ns", CLOCK, 'q', 8, 0},
    PACE(heap_live), PACE(heap_goal), PACE(trigger), PACE(heap_marked),
    STAT(alloc), STAT(total_alloc), STAT(sys), STAT(lookups), STAT(mallocs),
    STAT(frees), STAT(heap_alloc), STAT(heap_sys), STAT(heap_idle),
    STAT(heap_inuse), STAT(heap_released), STAT(heap_objects),
    STAT(stack_inuse), STAT(stack_sys), STAT(mspan_inuse), STAT(mspan_sys),
    STAT(mcache_inuse), STAT(mcache_sys), STAT(buck_hash_sys), STAT(gc_sys),
    STAT(other_sys), STAT(next_gc), STAT(last_gc), STAT(pause_total_ns),
    STAT(num_gc), STAT(num_forced_gc),
    {"gc_cpu_fraction", STATS, 'd', 8, offsetof(gh_memstats, gc_cpu_fraction)},
    CYC('Q', n), CYC('Q', forced), CYC('q', start_ns), CYC('q', mark_start_ns),
    CYC('q', mark_end_ns), CYC('q', end_ns), CYC('Q', heap_start),
    CYC('Q', heap_end), CYC('Q', stack_scan), CYC('Q', globals_scan),
    CYC('Q', scan_work), CYC('Q', swept_bytes), CYC('q', assist_ns),
    CYC('q', background_ns), CYC('q', idle_ns), CYC('d', cons_mark),
};

#define NUM_FIGURES (sizeof(figures) / sizeof(figures[0]))
_Static_assert(NUM_FIGURES < COLUMNS_MAX, "all figures and the time fit");

static const uint8_t series_widths[COLUMNS_MAX] = {
    8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8,
    8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8,
    8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8,
};

// ---- taps ----------------------------------------------------------------------------

enum { EVENT_T, EVENT_P, EVENT_KIND, EVENT_ADDR, EVENT_SIZE, EVENT_CLASS };
static const uint8_t event_widths[] = {8, 4, 4, 8, 8, 1};

struct tap {
    tap *next;               // in the entry's list
    _Atomic uint32_t refs;
    _Atomic bool dropped;    // the capsule is gone: no more rows
    const gh_heap *heap;
    uint32_t mask;           // kinds wanted, 1 << gh_event_kind
    bool series;             // rows are figures, not events
    int64_t every_ns;        // of a series; 0: each cycle
    int64_t next_ns;         // the tick that the next row is for
    uint8_t what[COLUMNS_MAX];  // figures of a series; the time comes first
    columns rows;
    uint64_t missed;         // rows that found no memory
};

static void
tap_unref(tap *t)
{
    if (atomic_fetch_sub(&t->refs, 1) == 1) {
        columns_fini(&t->rows);
        free(t);
    }
}

void
taps_end(tap *t)
{
    while (t != NULL) {
        tap *next = t->next;
        tap_unref(t);
        t = next;
    }
}

// row adds a row, or counts that it couldn't.
static bool
row(tap *t)
{
    if (!columns_add(&t->rows)) {
        t->missed++;
        return false;
    }
    return true;
}

static uint64_t
read_figure(const figure *f, const gh_memstats *stats,
            const gh_pacer_stats *pacer, const gh_cycle *cycle, int64_t now)
{
    const void *const structs[] = {&now, stats, pacer, cycle};
    const char *at = (const char *)structs[f->from] + f->offset;
    if (f->size == 8) {
        uint64_t v;
        memcpy(&v, at, 8);
        return v;
    }
    if (f->size == 1) {
        return *(const bool *)at;
    }
    uint32_t v;
    memcpy(&v, at, 4);
    return v;
}

// sample adds a row for time t_ns with the figures as they are.
static void
sample(tap *t, int64_t t_ns)
{
    gh_memstats stats;
    gh_pacer_stats pacer;
    gh_cycle cycle = {0};
    const uint64_t n = gh_cycles(t->heap);
    gh_stats_peek(t->heap, &stats);
    gh_pacer_get(t->heap, &pacer);
    if (n > 0 && gh_cycle_get(t->heap, n - 1, &cycle) != GH_OK) {
        return;  // cannot be: there are n of them
    }
    if (row(t)) {
        PUT(&t->rows, 0, int64_t, t_ns);
        for (unsigned c = 1; c < t->rows.ncols; c++) {
            PUT(&t->rows, c, uint64_t,
                read_figure(&figures[t->what[c]], &stats, &pacer, &cycle,
                     gh_now(t->heap)));
        }
    }
}

// sample_ticks adds a row for each tick that the clock has passed.
static void
sample_ticks(tap *t)
{
    const int64_t now = gh_now(t->heap);
    for (; t->next_ns <= now; t->next_ns += t->every_ns) {
        sample(t, t->next_ns);
    }
}

static void
log_event(tap *t, const gh_event *e)
{
    if (row(t)) {
        PUT(&t->rows, EVENT_T, int64_t, e->t_ns);
        PUT(&t->rows, EVENT_P, int32_t, e->p);
        PUT(&t->rows, EVENT_KIND, int32_t, (int32_t)e->kind);
        PUT(&t->rows, EVENT_ADDR, uint64_t, e->addr);
        PUT(&t->rows, EVENT_SIZE, uint64_t, e->size);
        PUT(&t->rows, EVENT_CLASS, uint8_t, e->spanclass);
    }
}

// on_event is the one listener of a heap; arg is its entry.
static void
on_event(void *arg, const gh_event *e)
{
    for (tap *t = ((heap_entry *)arg)->taps; t != NULL; t = t->next) {
        if ((t->mask >> e->kind & 1) == 0
            || atomic_load_explicit(&t->dropped, memory_order_relaxed)) {
            continue;
        }
        if (!t->series) {
            log_event(t, e);
        } else if (t->every_ns == 0) {
            sample(t, e->t_ns);
        } else {
            sample_ticks(t);
        }
    }
}

typedef struct tap_args {
    heap_entry *entry;
    tap *tap;
    columns copy;
    bool lost;
} tap_args;

static void
listen(gh_mut *m, heap_entry *e)
{
    uint32_t mask = 0;
    for (const tap *t = e->taps; t != NULL; t = t->next) {
        mask |= t->mask;
    }
    gh_listen(m, mask, mask == 0 ? NULL : on_event, e);
}

static gh_status
op_tap_start(gh_mut *m, void *arg)
{
    tap_args *a = arg;
    tap *t = a->tap;
    t->heap = gh_mut_heap(m);
    t->next_ns = gh_now(t->heap) + t->every_ns;
    t->next = a->entry->taps;
    a->entry->taps = t;
    atomic_fetch_add(&t->refs, 1);
    listen(m, a->entry);
    return GH_OK;
}

static gh_status
op_tap_stop(gh_mut *m, void *arg)
{
    tap_args *a = arg;
    tap *t = a->tap;
    for (tap **at = &a->entry->taps; *at != NULL; at = &(*at)->next) {
        if (*at != t) {
            continue;
        }
        if (t->series && t->every_ns != 0) {
            sample_ticks(t);
        }
        *at = t->next;
        listen(m, a->entry);
        tap_unref(t);  // the capsule's reference stays
        break;
    }
    return GH_OK;
}

// copy_rows copies what is there so far.
static void
copy_rows(tap_args *a)
{
    const columns *rows = &a->tap->rows;
    a->copy = (columns){.ncols = rows->ncols, .width = rows->width};
    a->lost = !columns_reserve(&a->copy, rows->n + 1);
    for (unsigned c = 0; !a->lost && c < rows->ncols && rows->n > 0; c++) {
        memcpy(a->copy.col[c], rows->col[c], rows->n * rows->width[c]);
    }
    a->copy.n = rows->n;
}

static gh_status
op_tap_read(gh_mut *m, void *arg)
{
    (void)m;
    copy_rows(arg);
    return GH_OK;
}

// ---- Python --------------------------------------------------------------------------

static void
capsule_destroy(PyObject *capsule)
{
    tap *t = PyCapsule_GetPointer(capsule, TAP_NAME);
    if (t != NULL) {
        atomic_store(&t->dropped, true);
        tap_unref(t);
    }
}

// tap_columns(): (name, format, whether only a cycle has it) of each figure.
PyObject *
core_tap_columns(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    PyObject *tuple = PyTuple_New((Py_ssize_t)NUM_FIGURES);
    for (size_t i = 0; tuple != NULL && i < NUM_FIGURES; i++) {
        PyObject *one = Py_BuildValue(
            "sCO", figures[i].name, (int)figures[i].format,
            figures[i].from == CYCLE ? Py_True : Py_False);
        if (one == NULL) {
            Py_CLEAR(tuple);
        } else {
            PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, one);
        }
    }
    return tuple;
}

// fill_series sets which figures t has, from a tuple of their numbers.
static int
fill_series(tap *t, PyObject *what)
{
    const Py_ssize_t n = PyTuple_GET_SIZE(what);
    if (n + 1 > (Py_ssize_t)COLUMNS_MAX) {
        PyErr_Format(PyExc_ValueError, "record: at most %u columns, not %zd",
                     COLUMNS_MAX - 1, n);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        int64_t k;
        if (convert_int(PyTuple_GET_ITEM(what, i), "column", 0,
                        (int64_t)NUM_FIGURES - 1, &k) < 0) {
            return -1;
        }
        t->what[i + 1] = (uint8_t)k;
    }
    t->rows.ncols = (unsigned)n + 1;
    t->rows.width = series_widths;
    t->series = true;
    // Between these the heap's figures belong together.
    t->mask = t->every_ns == 0
                  ? 1u << GH_EV_GC_END
                  : 1u << GH_EV_GC_END | 1u << GH_EV_REFILL | 1u << GH_EV_LARGE;
    return 0;
}

// tap_start(heap, mask, figures, every_ns): a capsule. figures None: a log of the
// events in mask; else a series of them, each every_ns of the clock, 0: each cycle.
PyObject *
core_tap_start(PyObject *module, PyObject *args)
{
    module_state *state = PyModule_GetState(module);
    PyObject *heap, *what;
    unsigned int mask;
    long long every;
    if (!PyArg_ParseTuple(args, "O!IOL:tap_start", state->heap_type, &heap,
                          &mask, &what, &every)) {
        return NULL;
    }
    if (every < 0 || every > INT64_MAX / 4 || mask >> GH_EV_KINDS != 0
        || !(what == Py_None || PyTuple_Check(what))) {
        PyErr_SetString(PyExc_ValueError, "tap_start: arguments out of range");
        return NULL;
    }
    tap *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return PyErr_NoMemory();
    }
    atomic_store(&t->refs, 1);
    t->every_ns = every;
    t->mask = mask;
    t->rows = (columns)COLUMNS(event_widths);
    PyObject *capsule = NULL;
    if (what == Py_None || fill_series(t, what) == 0) {
        capsule = PyCapsule_New(t, TAP_NAME, capsule_destroy);
    }
    if (capsule == NULL) {
        tap_unref(t);
        return NULL;
    }
    heap_entry *e = heap_use((heap_object *)heap, "watch");
    if (e == NULL) {
        Py_DECREF(capsule);
        return NULL;
    }
    tap_args a = {.entry = e, .tap = t};
    const gh_status st = entry_look(e, op_tap_start, &a);
    entry_unuse(state, e);
    if (st != GH_OK) {
        Py_DECREF(capsule);
        return set_status_error(state, st, "Heap.watch");
    }
    return capsule;
}

// tap_with runs fn inside the heap, if it still is, then copies the rows.
static PyObject *
tap_with(PyObject *module, PyObject *args, op_fn fn)
{
    module_state *state = PyModule_GetState(module);
    PyObject *heap, *capsule;
    if (!PyArg_ParseTuple(args, "O!O:tap", state->heap_type, &heap, &capsule)) {
        return NULL;
    }
    tap_args a = {.tap = PyCapsule_GetPointer(capsule, TAP_NAME)};
    if (a.tap == NULL) {
        return NULL;
    }
    heap_object *self = (heap_object *)heap;
    heap_entry *e = self->entry == NULL ? NULL : entry_use(state, self->id);
    if (e != NULL) {
        a.entry = e;
        const gh_status st = entry_look(e, fn, &a);
        entry_unuse(state, e);
        if (st != GH_OK) {
            return set_status_error(state, st, "Heap.watch");
        }
    }
    if (e == NULL || fn == op_tap_stop) {
        copy_rows(&a);
    }
    PyObject *result = NULL;
    if (a.lost) {
        PyErr_NoMemory();
    } else {
        result = Py_BuildValue("NK", columns_take(&a.copy),
                               (unsigned long long)a.tap->missed);
    }
    columns_fini(&a.copy);
    return result;
}

// tap_stop(heap, capsule): (columns, rows missed); the tap listens no more.
PyObject *
core_tap_stop(PyObject *module, PyObject *args)
{
    return tap_with(module, args, op_tap_stop);
}

// tap_read(heap, capsule): the same while it goes on listening.
PyObject *
core_tap_read(PyObject *module, PyObject *args)
{
    return tap_with(module, args, op_tap_read);
}
