// rootstype.c: Roots, a block of root slots outside the heap, and what is done
// to many objects at once.
//
// A Roots owns a block of slots or is a view (a slice) of another one's. Like a
// handle it knows its heap by number and keeps none alive.
//
// Runs. A bulk operation is a run of steps, each all or nothing, in chunks: a
// chunk is one stay inside the heap, detached from the interpreter; between two
// chunks signals are served. Within a chunk the heap is handed to whoever waits
// for it (gh_poll). What Python has to say about values (their type, their
// range) is asked before the first step; so a step touches no Python object.
//
// Classes. A step must know that an object has the field in question. The
// answer is kept by (type, offset) in a small table; an object that isn't
// covered interrupts the chunk, and the class is looked up attached.

#include "binding.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

typedef struct roots_object {
    PyObject_HEAD
    module_state *state;
    PyObject *owner;   // owned: the Roots whose block it is; NULL: its own
    gh_slots *block;
    uint32_t heap;     // heap_entry.id
    Py_ssize_t start, step, len;
} roots_object;

static gh_slot *
slot_at(const roots_object *r, Py_ssize_t i)
{
    return gh_slots_at(r->block, (size_t)(r->start + i * r->step));
}

static heap_entry *
roots_use(const roots_object *r, const char *what)
{
    heap_entry *e = entry_use(r->state, r->heap);
    if (e == NULL) {
        PyErr_Format(r->state->closed_error,
                     "%s: the heap of these roots is closed or gone", what);
    }
    return e;
}

// roots_new makes a Roots with a block of n empty slots.
static roots_object *
roots_new(module_state *state, heap_entry *e, uint32_t heap, Py_ssize_t n)
{
    gh_slots *block;
    if (gh_slots_new(e->heap, (size_t)n, &block) != GH_OK) {
        set_memory_error(state, e, (uint64_t)n * sizeof(gh_slot), "Roots");
        return NULL;
    }
    roots_object *r = PyObject_New(roots_object, state->roots_type);
    if (r == NULL) {
        gh_slots_free(block);
        return NULL;
    }
    r->state = state;
    r->owner = NULL;
    r->block = block;
    r->heap = heap;
    r->start = 0;
    r->step = 1;
    r->len = n;
    return r;
}

static PyObject *
roots_view(roots_object *r, Py_ssize_t start, Py_ssize_t step, Py_ssize_t len)
{
    roots_object *v = PyObject_New(roots_object, r->state->roots_type);
    if (v == NULL) {
        return NULL;
    }
    v->state = r->state;
    v->owner = Py_NewRef(r->owner != NULL ? r->owner : (PyObject *)r);
    v->block = r->block;
    v->heap = r->heap;
    v->start = r->start + start * r->step;
    v->step = r->step * step;
    v->len = len;
    return (PyObject *)v;
}

static void
roots_dealloc(PyObject *op)
{
    roots_object *r = (roots_object *)op;
    PyTypeObject *type = Py_TYPE(op);
    if (r->owner != NULL) {
        Py_DECREF(r->owner);
    } else {
        heap_entry *e = entry_hold(r->state, r->heap);
        // A heap that is ending on another thread lets go of its blocks first. That
        // thread may not be in a forked child: what it had left is lost there.
        bool lost = false;
        while (e == NULL && !lost && !gh_slots_orphaned(r->block)) {
            (void)sched_yield();
            lost = table_lost(&r->state->heaps, r->heap);
        }
        if (!lost) {
            gh_slots_free(r->block);
        }
        if (e != NULL) {
            entry_unuse(r->state, e);
        }
    }
    PyObject_Free(op);
    Py_DECREF(type);
}

// ---- runs ---------------------------------------------------------------------------

void
run_note(Py_ssize_t done)
{
#if PY_VERSION_HEX >= 0x030c0000
    PyObject *exc = PyErr_GetRaisedException();
#else
    PyObject *type, *exc, *tb;
    PyErr_Fetch(&type, &exc, &tb);
    PyErr_NormalizeException(&type, &exc, &tb);
    if (tb != NULL) {
        (void)PyException_SetTraceback(exc, tb);
    }
#endif
    PyObject *n = PyLong_FromSsize_t(done);
    if (n == NULL || PyObject_SetAttrString(exc, "done", n) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(n);
    if (PyErr_GivenExceptionMatches(exc, PyExc_KeyboardInterrupt)) {
        PyObject *r = PyObject_CallMethod(exc, "add_note", "N",
                                          PyUnicode_FromFormat(
                                              "%zd steps were done", done));
        if (r == NULL) {
            PyErr_Clear();
        }
        Py_XDECREF(r);
    }
#if PY_VERSION_HEX >= 0x030c0000
    PyErr_SetRaisedException(exc);
#else
    PyErr_Restore(type, exc, tb);
#endif
}

#define CHUNK ((Py_ssize_t)1 << 16)  // steps between two looks at signals

// Objects of type type_id have the wanted class at off, or in an array at off in
// each period bytes.
typedef struct accept {
    uint32_t type_id;
    uint64_t period;  // 0: off is the offset
    uint64_t off;
} accept;

#define ACCEPTS 8

// wanted is a class that objects must have; NULL cls: any will do.
typedef struct wanted {
    class_object *cls;
    accept table[ACCEPTS];
    unsigned n, next;
} wanted;

typedef enum why { WHY_STATUS, WHY_NIL, WHY_CLASS, WHY_INDEX } why;

typedef struct run run;
typedef gh_status (*step_fn)(run *r, gh_mut *m, Py_ssize_t i);

// run is one bulk operation. A step that fails sets why, and for WHY_CLASS
// which of the two classes was missed and by what object.
struct run {
    module_state *state;
    heap_entry *e;
    gh_heap *heap;
    step_fn step;              // NULL: op_new_chunk
    const char *what;
    Py_ssize_t n, done, end;
    roots_object *self;        // objects, or NULL
    roots_object *other;       // values, or NULL
    const int64_t *index;      // into other or bits, or NULL
    Py_ssize_t nvalues;
    const uint64_t *bits;      // scalars
    uint64_t *words;           // out: addresses
    char *bytes;               // out: scalars
    const gh_type *type;       // of new objects
    uint64_t off, size;        // of the field
    wanted owner, target;
    why why;
    wanted *missed;
    gh_object object;
};

static gh_status
op_chunk(gh_mut *m, void *arg)
{
    run *r = arg;
    for (; r->done < r->end; r->done++) {
        const gh_status st = r->step(r, m, r->done);
        if (st != GH_OK) {
            return st;
        }
        if (r->done % 64 == 0) {
            (void)gh_poll(m);
        }
    }
    return GH_OK;
}

// op_new_chunk is op_chunk for new objects, without a call for each step.
static gh_status
op_new_chunk(gh_mut *m, void *arg)
{
    run *r = arg;
    const gh_type *type = r->type;
    Py_ssize_t i = r->done;
    gh_status st = GH_OK;
    while (i < r->end && st == GH_OK) {
        const Py_ssize_t end = r->end - i < 256 ? r->end : i + 256;
        gh_slot *slot = gh_slots_at(r->self->block, (size_t)i);
        for (; i < end; i++) {
            st = gh_new(m, slot++, type, 1);
            if (st != GH_OK) {
                break;
            }
        }
        (void)gh_poll(m);
    }
    r->done = i;
    return st;
}

static bool
accepted(const wanted *w, const gh_object *o)
{
    for (unsigned k = 0; k < w->n; k++) {
        const accept *a = &w->table[k];
        if (a->type_id == o->type_id
            && a->off == (a->period == 0 ? o->off : o->off % a->period)) {
            return true;
        }
    }
    return false;
}

// check_object checks that slot holds an object of the wanted class.
static inline gh_status
check_object(run *r, wanted *w, const gh_slot *slot)
{
    if (slot->word == 0) {
        r->why = WHY_NIL;
        return GH_ERR_INVAL;
    }
    if (w->cls == NULL) {
        return GH_OK;
    }
    const gh_status st = gh_object_at(r->heap, slot, &r->object);
    if (st != GH_OK) {
        r->why = WHY_STATUS;
        return st;
    }
    if (accepted(w, &r->object)) {
        return GH_OK;
    }
    r->why = WHY_CLASS;
    r->missed = w;
    return GH_ERR_INVAL;
}

// admit looks up whether the object that a step missed has the class after all,
// and remembers it.
static bool
admit(const run *r)
{
    const gh_object *o = &r->object;
    wanted *w = r->missed;
    class_object *c = NULL;
    if (o->type_id == GH_TYPE_BYTES) {
        c = (class_object *)r->state->block;
    } else if (o->type_id > GH_TYPE_BYTES) {
        const gh_type *t = gh_type_by_id(r->heap, o->type_id);
        gh_type_desc desc;
        gh_type_get(t, &desc);
        c = (class_object *)desc.user;
    }
    class_object *at = c == NULL ? NULL : class_at(c, o->off);
    // Of a part of a tiny block only its bytes are known: any class without
    // pointers that fits may be meant.
    if (o->elemsize == 16 && o->type_id == GH_TYPE_BYTES && o->off == 0
        && w->cls->role == ROLE_STRUCT && w->cls->ptrdata == 0
        && w->cls->size == o->size) {
        at = w->cls;
    }
    if (at == NULL
        || !PyType_IsSubtype((PyTypeObject *)at, (PyTypeObject *)w->cls)) {
        return false;
    }
    const uint64_t period = c->role == ROLE_ARRAY ? c->elem.size : 0;
    w->table[w->next] = (accept){
        .type_id = o->type_id,
        .period = period,
        .off = period == 0 ? o->off : o->off % period,
    };
    w->next = (w->next + 1) % ACCEPTS;
    w->n = w->n < ACCEPTS ? w->n + 1 : ACCEPTS;
    return true;
}

static void
run_error(const run *r, gh_status st, uint64_t bytes)
{
    if (st == GH_ERR_NOMEM) {
        set_memory_error(r->state, r->e, bytes, r->what);
        return;
    }
    switch (r->why) {
    case WHY_NIL:
        PyErr_Format(PyExc_ValueError, "%s: number %zd is nil", r->what, r->done);
        return;
    case WHY_CLASS:
        PyErr_Format(PyExc_TypeError, "%s: number %zd is no %s", r->what,
                     r->done, r->missed->cls->type.ht_type.tp_name);
        return;
    case WHY_INDEX:
        PyErr_Format(PyExc_IndexError,
                     "%s: index[%zd] is %lld, but there are %zd values", r->what,
                     r->done, (long long)r->index[r->done], r->nvalues);
        return;
    case WHY_STATUS:
        break;
    }
    set_status_error(r->state, st, r->what);
}

// run_all does all steps; bytes is what one of them may ask for. -1 with an
// exception that knows how many steps were done.
static int
run_all(run *r, uint64_t bytes)
{
    r->heap = r->e->heap;
    while (r->done < r->n) {
        r->end = r->n - r->done < CHUNK ? r->n : r->done + CHUNK;
        r->why = WHY_STATUS;
        const gh_status st = entry_run_detached(
            r->state, r->e, r->step == NULL ? op_new_chunk : op_chunk, r);
        if (st != GH_OK && !(r->why == WHY_CLASS && admit(r))) {
            run_error(r, st, bytes);
            run_note(r->done);
            return -1;
        }
        if (PyErr_CheckSignals() < 0) {
            run_note(r->done);
            return -1;
        }
    }
    return 0;
}

// ---- making them ----------------------------------------------------------------------

static int
count_arg(PyObject *arg, const char *what, Py_ssize_t *out)
{
    int64_t n;
    if (convert_int(arg, what, 0, (int64_t)1 << 40, &n) < 0) {
        return -1;
    }
    *out = (Py_ssize_t)n;
    return 0;
}

PyObject *
heap_roots(PyObject *op, PyObject *arg)
{
    heap_object *heap = (heap_object *)op;
    Py_ssize_t n;
    if (count_arg(arg, "n", &n) < 0) {
        return NULL;
    }
    heap_entry *e = heap_use(heap, "roots");
    if (e == NULL) {
        return NULL;
    }
    roots_object *r = roots_new(heap->state, e, heap->id, n);
    heap_unuse(heap, e);
    return (PyObject *)r;
}

typedef struct type_args {
    type_slot *slot;
    const gh_type *type;
} type_args;

static gh_status
op_type(gh_mut *m, void *arg)
{
    type_args *a = arg;
    return type_slot_get(m, a->slot, &a->type);
}

PyObject *
heap_new_many(PyObject *op, PyObject *args)
{
    heap_object *heap = (heap_object *)op;
    module_state *state = heap->state;
    PyObject *cls, *count;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "OO:new_many", &cls, &count)
        || count_arg(count, "n", &n) < 0) {
        return NULL;
    }
    class_object *c = ready_class(state, cls, "Heap.new_many");
    if (c == NULL) {
        return NULL;
    }
    heap_entry *e = heap_use(heap, "new_many");
    if (e == NULL) {
        return NULL;
    }
    roots_object *made = NULL;
    type_args t = {.slot = entry_type(state, e, c)};
    if (t.slot != NULL) {
        const gh_status st = entry_run(state, e, op_type, &t);
        if (st != GH_OK) {
            set_status_error(state, st, "Heap.new_many");
        } else {
            made = roots_new(state, e, heap->id, n);
        }
    }
    if (made != NULL) {
        run r = {
            .state = state, .e = e, .what = "Heap.new_many",
            .n = n, .self = made, .type = t.type,
        };
        if (run_all(&r, c->size) < 0) {
            PyObject *type, *value, *tb;
            PyErr_Fetch(&type, &value, &tb);
            Py_CLEAR(made);
            PyErr_Restore(type, value, tb);
        }
    }
    heap_unuse(heap, e);
    return (PyObject *)made;
}

// ---- single slots and views ---------------------------------------------------------------

static Py_ssize_t
roots_length(PyObject *op)
{
    return ((roots_object *)op)->len;
}

static PyObject *
roots_item(PyObject *op, Py_ssize_t i)
{
    roots_object *r = (roots_object *)op;
    if (i < 0 || i >= r->len) {
        PyErr_Format(PyExc_IndexError, "Roots: index %zd out of range (length "
                     "%zd)", i, r->len);
        return NULL;
    }
    heap_entry *e = roots_use(r, "Roots.__getitem__");
    if (e == NULL) {
        return NULL;
    }
    PyObject *h = handle_of_slot(r->state, e, r->heap, slot_at(r, i));
    entry_unuse(r->state, e);
    return h;
}

// key_number checks an index; -1 with an exception.
static Py_ssize_t
key_number(const roots_object *r, PyObject *key)
{
    if (!PyIndex_Check(key)) {
        PyErr_Format(PyExc_TypeError,
                     "Roots: an index is an int or a slice, not '%.100s'",
                     Py_TYPE(key)->tp_name);
        return -1;
    }
    const Py_ssize_t i = PyNumber_AsSsize_t(key, PyExc_IndexError);
    if (i == -1 && PyErr_Occurred()) {
        return -1;
    }
    const Py_ssize_t k = i < 0 ? i + r->len : i;
    if (k < 0 || k >= r->len) {
        PyErr_Format(PyExc_IndexError, "Roots: index %zd out of range (length "
                     "%zd)", i, r->len);
        return -1;
    }
    return k;
}

static PyObject *
roots_subscript(PyObject *op, PyObject *key)
{
    roots_object *r = (roots_object *)op;
    if (PySlice_Check(key)) {
        Py_ssize_t start, stop, step;
        if (PySlice_Unpack(key, &start, &stop, &step) < 0) {
            return NULL;
        }
        const Py_ssize_t n = PySlice_AdjustIndices(r->len, &start, &stop, step);
        return roots_view(r, start, step, n);
    }
    const Py_ssize_t i = key_number(r, key);
    return i < 0 ? NULL : roots_item(op, i);
}

static gh_status
step_clear(run *r, gh_mut *m, Py_ssize_t i)
{
    gh_clear(m, slot_at(r->self, i));
    return GH_OK;
}

static gh_status
step_copy(run *r, gh_mut *m, Py_ssize_t i)
{
    const gh_slot *from = slot_at(r->other, r->nvalues == 1 ? 0 : i);
    const gh_status st = gh_check_lost(m, from);
    if (st == GH_OK) {
        gh_set(m, slot_at(r->self, i), from);
    }
    return st;
}

static int
clear_slots(roots_object *r, const char *what)
{
    heap_entry *e = roots_use(r, what);
    if (e == NULL) {
        return -1;
    }
    run run = {.state = r->state, .e = e, .step = step_clear, .what = what,
               .n = r->len, .self = r};
    const int status = run_all(&run, 0);
    entry_unuse(r->state, e);
    return status;
}

// copy_slots sets the slots of to to those of from, or all to the only one.
static int
copy_slots(roots_object *to, roots_object *from, const char *what)
{
    heap_entry *e = roots_use(to, what);
    if (e == NULL) {
        return -1;
    }
    roots_object *between = NULL;
    int status = 0;
    if (to->block == from->block) {
        // The slots may overlap: all are read before the first is written.
        between = roots_new(to->state, e, to->heap, from->len);
        if (between == NULL) {
            status = -1;
        } else {
            run r = {.state = to->state, .e = e, .step = step_copy, .what = what,
                     .n = from->len, .self = between, .other = from};
            status = run_all(&r, 0);
            from = between;
        }
    }
    if (status == 0) {
        run r = {.state = to->state, .e = e, .step = step_copy, .what = what,
                 .n = to->len, .self = to, .other = from, .nvalues = from->len};
        status = run_all(&r, 0);
    }
    Py_XDECREF(between);
    entry_unuse(to->state, e);
    return status;
}

typedef struct set_args {
    gh_slot *to;
    const gh_slot *from;  // NULL: nil
} set_args;

static gh_status
op_set(gh_mut *m, void *arg)
{
    const set_args *a = arg;
    if (a->from == NULL) {
        gh_clear(m, a->to);
        return GH_OK;
    }
    const gh_status st = gh_check_lost(m, a->from);
    if (st == GH_OK) {
        gh_set(m, a->to, a->from);
    }
    return st;
}

// set_slot stores a handle or None, checked, in a slot of r.
static int
set_slot(roots_object *r, Py_ssize_t i, PyObject *value, const char *what)
{
    const bool nil = value == Py_None;
    if (!nil && !handle_check(r->state, value)) {
        PyErr_Format(PyExc_TypeError, "%s: a handle or None is needed, not "
                     "'%.100s'", what, Py_TYPE(value)->tp_name);
        return -1;
    }
    heap_entry *e = roots_use(r, what);
    if (e == NULL) {
        return -1;
    }
    int status = nil ? 0 : handle_of_heap(r->state, r->heap, value, what);
    if (status == 0) {
        set_args a = {.to = slot_at(r, i)};
        if (!nil) {
            a.from = gh_handle_slot(e->heap, ((handle_object *)value)->slot);
        }
        const gh_status st = entry_run(r->state, e, op_set, &a);
        if (st != GH_OK) {
            set_status_error(r->state, st, what);
            status = -1;
        }
    }
    entry_unuse(r->state, e);
    return status;
}

static bool
roots_check(const module_state *state, PyObject *o)
{
    return Py_TYPE(o) == state->roots_type;
}

static int
same_heap(const roots_object *a, const roots_object *b, const char *what)
{
    if (a->heap == b->heap) {
        return 0;
    }
    heap_entry *e = roots_use(b, what);
    if (e != NULL) {
        entry_unuse(b->state, e);
        PyErr_Format(a->state->foreign_error, "%s: these are roots of another "
                     "heap", what);
    }
    return -1;
}

static int
assign_slice(roots_object *r, PyObject *value)
{
    const char *what = "Roots.__setitem__";
    if (value == Py_None) {
        return clear_slots(r, what);
    }
    if (roots_check(r->state, value)) {
        roots_object *from = (roots_object *)value;
        if (from->len != r->len) {
            PyErr_Format(PyExc_ValueError, "Roots: %zd slots cannot be set from "
                         "%zd", r->len, from->len);
            return -1;
        }
        if (r->len == 0) {
            return 0;
        }
        return same_heap(r, from, what) < 0 ? -1 : copy_slots(r, from, what);
    }
    // One handle for all of them.
    heap_entry *e = roots_use(r, what);
    if (e == NULL) {
        return -1;
    }
    roots_object *one = roots_new(r->state, e, r->heap, 1);
    entry_unuse(r->state, e);
    int status = -1;
    if (one != NULL && set_slot(one, 0, value, what) == 0) {
        status = copy_slots(r, one, what);
    }
    Py_XDECREF(one);
    return status;
}

static int
roots_ass_subscript(PyObject *op, PyObject *key, PyObject *value)
{
    roots_object *r = (roots_object *)op;
    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError,
                        "Roots: a slot can be set or cleared, not deleted");
        return -1;
    }
    if (!PySlice_Check(key)) {
        const Py_ssize_t i = key_number(r, key);
        return i < 0 ? -1 : set_slot(r, i, value, "Roots.__setitem__");
    }
    PyObject *view = roots_subscript(op, key);
    if (view == NULL) {
        return -1;
    }
    const int status = assign_slice((roots_object *)view, value);
    Py_DECREF(view);
    return status;
}

static PyObject *
roots_clear(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    if (clear_slots((roots_object *)op, "Roots.clear") < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
roots_repr(PyObject *op)
{
    const roots_object *r = (roots_object *)op;
    heap_entry *e = entry_use(r->state, r->heap);
    if (e == NULL) {
        return PyUnicode_FromFormat("<Roots: %zd slots, heap ended>", r->len);
    }
    entry_unuse(r->state, e);
    return PyUnicode_FromFormat("<Roots: %zd slots>", r->len);
}

// ---- fields -------------------------------------------------------------------------------

// field_arg finds the field that arg names (borrowed): a Field of a finished
// class, or a str that is looked up in the class of the first object.
static field_object *
field_arg(roots_object *r, heap_entry *e, PyObject *arg, const char *what)
{
    module_state *state = r->state;
    if (PyObject_TypeCheck(arg, state->field_type)) {
        field_object *f = (field_object *)arg;
        if (f->owner == NULL) {
            PyErr_Format(PyExc_TypeError, "%s: %U is no field of a struct yet",
                         what, f->name);
            return NULL;
        }
        return f;
    }
    if (!PyUnicode_Check(arg)) {
        PyErr_Format(PyExc_TypeError,
                     "%s: a field (Node.key) or its name is needed, not "
                     "'%.100s'", what, Py_TYPE(arg)->tp_name);
        return NULL;
    }
    if (r->len == 0) {
        PyErr_Format(PyExc_ValueError, "%s: among no objects the name %R says "
                     "nothing; give the field itself", what, arg);
        return NULL;
    }
    PyObject *first = handle_of_slot(state, e, r->heap, slot_at(r, 0));
    if (first == NULL) {
        return NULL;
    }
    field_object *f = NULL;
    class_object *c = first == Py_None ? NULL : (class_object *)Py_TYPE(first);
    if (c == NULL) {
        PyErr_Format(PyExc_ValueError, "%s: number 0 is nil", what);
    } else if (c->fields != NULL) {
        f = (field_object *)PyDict_GetItemWithError(c->fields, arg);
    }
    if (f == NULL && !PyErr_Occurred()) {
        PyErr_Format(PyExc_TypeError, "%s: %s has no field %R", what,
                     c->type.ht_type.tp_name, arg);
    }
    Py_DECREF(first);
    return f;
}

static gh_status
step_load(run *r, gh_mut *m, Py_ssize_t i)
{
    // What is checked is what is used, whatever another thread does meanwhile.
    const gh_slot object = gh_slot_now(slot_at(r->self, i));
    const gh_status st = check_object(r, &r->owner, &object);
    return st != GH_OK ? st : gh_load(m, slot_at(r->other, i), &object,
                                      r->off / 8);
}

static PyObject *
roots_load(PyObject *op, PyObject *arg)
{
    roots_object *self = (roots_object *)op;
    const char *what = "Roots.load";
    heap_entry *e = roots_use(self, "Roots.load");
    if (e == NULL) {
        return NULL;
    }
    roots_object *out = NULL;
    field_object *f = field_arg(self, e, arg, what);
    if (f != NULL && !codec_is_ref(&f->codec)) {
        PyErr_Format(PyExc_TypeError, "%s: %U is no pointer; see Roots.values",
                     what, f->name);
    } else if (f != NULL) {
        out = roots_new(self->state, e, self->heap, self->len);
    }
    if (out != NULL) {
        run r = {
            .state = self->state, .e = e, .step = step_load, .what = what,
            .n = self->len, .self = self, .other = out,
            .off = f->offset + codec_ref_offset(&f->codec),
            .owner = {.cls = f->owner},
        };
        if (run_all(&r, 0) < 0) {
            Py_CLEAR(out);
        }
    }
    entry_unuse(self->state, e);
    return (PyObject *)out;
}

// value_number is where the value for object i stands.
static gh_status
value_number(run *r, Py_ssize_t i, Py_ssize_t *out)
{
    *out = i;
    if (r->index != NULL) {
        const int64_t k = r->index[i];
        if (k < 0 || k >= r->nvalues) {
            r->why = WHY_INDEX;
            return GH_ERR_INVAL;
        }
        *out = (Py_ssize_t)k;
    }
    return GH_OK;
}

static gh_status
step_store(run *r, gh_mut *m, Py_ssize_t i)
{
    const gh_slot object = gh_slot_now(slot_at(r->self, i));
    gh_status st = check_object(r, &r->owner, &object);
    gh_slot value = {0};
    if (st == GH_OK && r->other != NULL) {
        Py_ssize_t k;
        st = value_number(r, i, &k);
        if (st == GH_OK) {
            value = gh_slot_now(slot_at(r->other, k));
            if (value.word != 0) {
                st = check_object(r, &r->target, &value);
            }
        }
    }
    return st != GH_OK ? st : gh_store(m, &object, r->off / 8, &value);
}

static gh_status
step_put(run *r, gh_mut *m, Py_ssize_t i)
{
    (void)m;
    const gh_slot object = gh_slot_now(slot_at(r->self, i));
    gh_status st = check_object(r, &r->owner, &object);
    Py_ssize_t k;
    if (st == GH_OK) {
        st = value_number(r, i, &k);
    }
    if (st == GH_OK) {
        // Little-endian: the low bytes come first.
        memcpy((char *)gh_data(&object) + r->off, &r->bits[k], r->size);
    }
    return st;
}

static gh_status
step_get(run *r, gh_mut *m, Py_ssize_t i)
{
    (void)m;
    const gh_slot object = gh_slot_now(slot_at(r->self, i));
    const gh_status st = check_object(r, &r->owner, &object);
    if (st == GH_OK) {
        memcpy(r->bytes + (uint64_t)i * r->size,
               (const char *)gh_data(&object) + r->off, r->size);
    }
    return st;
}

// ---- numbers from buffers and sequences -------------------------------------------------------

// number_at reads element p of a buffer with that format as a Python number.
static PyObject *
number_at(char format, const char *p)
{
    union {
        signed char b;
        short h;
        int i;
        long l;
        long long q;
        unsigned short H;
        unsigned int I;
        unsigned long L;
        unsigned long long Q;
        float f;
        double d;
        bool t;
    } v;
    switch (format) {
    case '?': memcpy(&v.t, p, sizeof(v.t)); return PyBool_FromLong(v.t);
    case 'b': memcpy(&v.b, p, sizeof(v.b)); return PyLong_FromLong(v.b);
    case 'B': return PyLong_FromLong((unsigned char)*p);
    case 'h': memcpy(&v.h, p, sizeof(v.h)); return PyLong_FromLong(v.h);
    case 'H': memcpy(&v.H, p, sizeof(v.H)); return PyLong_FromLong(v.H);
    case 'i': memcpy(&v.i, p, sizeof(v.i)); return PyLong_FromLong(v.i);
    case 'I': memcpy(&v.I, p, sizeof(v.I)); return PyLong_FromUnsignedLong(v.I);
    case 'l':
    case 'n': memcpy(&v.l, p, sizeof(v.l)); return PyLong_FromLong(v.l);
    case 'L':
    case 'N': memcpy(&v.L, p, sizeof(v.L)); return PyLong_FromUnsignedLong(v.L);
    case 'q': memcpy(&v.q, p, sizeof(v.q)); return PyLong_FromLongLong(v.q);
    case 'Q':
        memcpy(&v.Q, p, sizeof(v.Q));
        return PyLong_FromUnsignedLongLong(v.Q);
    case 'f': memcpy(&v.f, p, sizeof(v.f)); return PyFloat_FromDouble(v.f);
    case 'd': memcpy(&v.d, p, sizeof(v.d)); return PyFloat_FromDouble(v.d);
    default: return NULL;
    }
}

// sink takes the numbers of a buffer or sequence, one by one.
typedef int (*sink_fn)(void *arg, Py_ssize_t i, PyObject *number);

// plain says that the buffer's elements lie as the sink wants them.
typedef bool (*plain_fn)(void *arg, char format, Py_ssize_t itemsize);

typedef struct numbers {
    sink_fn sink;
    plain_fn plain;
    int (*start)(void *arg, Py_ssize_t n);
    void (*take)(void *arg, const char *data, Py_ssize_t n);
    void *arg;
    const char *what;
} numbers;

static int
numbers_of_buffer(const numbers *s, Py_buffer *view)
{
    const char *format = view->format == NULL ? "B" : view->format;
    if (format[0] == '@' || format[0] == '=' || format[0] == '<') {
        // On our platforms the standard sizes are the native ones but for l.
        if (format[0] != '@' && (format[1] == 'l' || format[1] == 'L')) {
            format = format[1] == 'l' ? "i" : "I";
        } else {
            format++;
        }
    }
    if (format[0] == 0 || format[1] != 0
        || strchr("?bBhHiIlLnNqQfd", format[0]) == NULL || view->ndim != 1) {
        PyErr_Format(PyExc_TypeError,
                     "%s: a buffer of one dimension of numbers is needed, not "
                     "of format %s", s->what, view->format);
        return -1;
    }
    const Py_ssize_t n = view->shape[0];
    if (s->start(s->arg, n) < 0) {
        return -1;
    }
    if (view->strides[0] == view->itemsize
        && s->plain(s->arg, format[0], view->itemsize)) {
        s->take(s->arg, view->buf, n);
        return 0;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *v = number_at(format[0],
                                (const char *)view->buf + i * view->strides[0]);
        const int status = v == NULL ? -1 : s->sink(s->arg, i, v);
        Py_XDECREF(v);
        if (status < 0) {
            return -1;
        }
    }
    return 0;
}

// numbers_read gives s what o has: a buffer, or any sequence.
static int
numbers_read(const numbers *s, PyObject *o)
{
    if (PyObject_CheckBuffer(o)) {
        Py_buffer view;
        if (PyObject_GetBuffer(o, &view, PyBUF_STRIDES | PyBUF_FORMAT) < 0) {
            return -1;
        }
        const int status = numbers_of_buffer(s, &view);
        PyBuffer_Release(&view);
        return status;
    }
    if (PyUnicode_Check(o)) {
        PyErr_Format(PyExc_TypeError, "%s: numbers are needed, not a str",
                     s->what);
        return -1;
    }
    PyObject *items = PySequence_Fast(o, "numbers");
    if (items == NULL) {
        PyErr_Format(PyExc_TypeError,
                     "%s: a buffer or a sequence is needed, not '%.100s'",
                     s->what, Py_TYPE(o)->tp_name);
        return -1;
    }
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(items);
    int status = s->start(s->arg, n);
    for (Py_ssize_t i = 0; status == 0 && i < n; i++) {
        // The sink may run Python code, which may change a list.
        if (i >= PySequence_Fast_GET_SIZE(items)) {
            PyErr_Format(PyExc_RuntimeError, "%s: the list changed its length",
                         s->what);
            status = -1;
            break;
        }
        PyObject *v = Py_NewRef(PySequence_Fast_GET_ITEM(items, i));
        status = s->sink(s->arg, i, v);
        Py_DECREF(v);
    }
    Py_DECREF(items);
    return status;
}

// Indices, as int64_t.
typedef struct index_list {
    int64_t *at;
    Py_ssize_t n;
} index_list;

static int
index_start(void *arg, Py_ssize_t n)
{
    index_list *l = arg;
    l->n = n;
    l->at = PyMem_New(int64_t, (size_t)n + 1);
    if (l->at == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static int
index_sink(void *arg, Py_ssize_t i, PyObject *number)
{
    index_list *l = arg;
    return convert_int(number, "index", INT64_MIN, INT64_MAX, &l->at[i]);
}

static bool
index_plain(void *arg, char format, Py_ssize_t itemsize)
{
    (void)arg;
    return itemsize == 8 && strchr("lqn", format) != NULL;
}

static void
index_take(void *arg, const char *data, Py_ssize_t n)
{
    index_list *l = arg;
    memcpy(l->at, data, (size_t)n * 8);
}

// Values of a scalar field, as they lie in memory.
typedef struct scalar_list {
    module_state *state;
    field_object *field;
    uint32_t heap;
    uint64_t *bits;
    Py_ssize_t n;
} scalar_list;

static int
scalar_start(void *arg, Py_ssize_t n)
{
    scalar_list *l = arg;
    l->n = n;
    l->bits = PyMem_New(uint64_t, (size_t)n + 1);
    if (l->bits == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static int
scalar_sink(void *arg, Py_ssize_t i, PyObject *number)
{
    scalar_list *l = arg;
    const place at = {.field = l->field, .cls = l->field->owner};
    cell v;
    if (codec_convert(l->state, &l->field->codec, &at, l->heap, number, &v)
        < 0) {
        return -1;
    }
    l->bits[i] = v.bits;
    return 0;
}

static bool
scalar_plain(void *arg, char format, Py_ssize_t itemsize)
{
    const scalar_list *l = arg;
    const char own = codec_format(&l->field->codec);
    if (own == '?' || (uint64_t)itemsize != l->field->codec.size) {
        return false;
    }
    const char *const same[] = {"b", "B", "h", "H", "i", "I", "qln", "QLN", "f",
                                "d"};
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        if (strchr(same[i], own) != NULL) {
            return strchr(same[i], format) != NULL
                   || (itemsize == 4 && own == 'i' && format == 'l')
                   || (itemsize == 4 && own == 'I' && format == 'L');
        }
    }
    return false;
}

static void
scalar_take(void *arg, const char *data, Py_ssize_t n)
{
    scalar_list *l = arg;
    const size_t size = (size_t)l->field->codec.size;
    for (Py_ssize_t i = 0; i < n; i++) {
        l->bits[i] = 0;
        memcpy(&l->bits[i], data + (size_t)i * size, size);
    }
}

// refs_of makes a block with the handles of a sequence.
static roots_object *
refs_of(roots_object *self, heap_entry *e, PyObject *values, const char *what)
{
    PyObject *items = PyUnicode_Check(values)
                          ? NULL : PySequence_Fast(values, "Roots.values");
    if (items == NULL) {
        PyErr_Format(PyExc_TypeError,
                     "%s: Roots, a sequence of handles or None is needed, not "
                     "'%.100s'", what, Py_TYPE(values)->tp_name);
        return NULL;
    }
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(items);
    roots_object *out = roots_new(self->state, e, self->heap, n);
    for (Py_ssize_t i = 0; out != NULL && i < n; i++) {
        if (set_slot(out, i, PySequence_Fast_GET_ITEM(items, i), what) < 0) {
            Py_CLEAR(out);
        }
    }
    Py_DECREF(items);
    return out;
}

// ---- store and values ---------------------------------------------------------------------------

static int
check_lengths(const run *r, Py_ssize_t nindex, const char *what)
{
    const Py_ssize_t n = r->index != NULL ? nindex : r->nvalues;
    if (n != r->n) {
        PyErr_Format(PyExc_ValueError, "%s: %zd objects, but %zd %s", what, r->n,
                     n, r->index != NULL ? "indices" : "values");
        return -1;
    }
    return 0;
}

// store_refs stores pointers: from roots, from a sequence, or nil.
static int
store_refs(run *r, field_object *f, PyObject *values, const index_list *index)
{
    roots_object *self = r->self;
    r->step = step_store;
    r->off = f->offset + codec_ref_offset(&f->codec);
    if (values == Py_None) {
        if (r->index != NULL) {
            PyErr_Format(PyExc_TypeError, "%s: nil needs no index", r->what);
            return -1;
        }
        return run_all(r, 0);
    }
    const place at = {.field = f, .cls = f->owner};
    PyObject *target = codec_target(self->state, &f->codec, &at);
    if (target == NULL) {
        return -1;
    }
    r->target.cls = target == Py_None ? NULL : (class_object *)target;
    roots_object *from;
    if (roots_check(self->state, values)) {
        from = (roots_object *)Py_NewRef(values);
        if (same_heap(self, from, r->what) < 0) {
            Py_DECREF(from);
            return -1;
        }
    } else {
        from = refs_of(self, r->e, values, r->what);
    }
    if (from == NULL) {
        return -1;
    }
    r->other = from;
    r->nvalues = from->len;
    int status = check_lengths(r, index->n, r->what);
    if (status == 0) {
        status = run_all(r, 0);
    }
    Py_DECREF(from);
    return status;
}

static int
store_scalars(run *r, field_object *f, PyObject *values, const index_list *index)
{
    scalar_list list = {.state = r->state, .field = f, .heap = r->self->heap};
    const numbers s = {scalar_sink, scalar_plain, scalar_start, scalar_take,
                       &list, r->what};
    int status = numbers_read(&s, values);
    if (status == 0) {
        r->step = step_put;
        r->off = f->offset;
        r->size = f->codec.size;
        r->bits = list.bits;
        r->nvalues = list.n;
        status = check_lengths(r, index->n, r->what);
    }
    if (status == 0) {
        status = run_all(r, 0);
    }
    PyMem_Free(list.bits);
    return status;
}

static PyObject *
roots_store(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"", "", "index", NULL};
    roots_object *self = (roots_object *)op;
    PyObject *field, *values, *index = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|$O:store", names, &field,
                                     &values, &index)) {
        return NULL;
    }
    heap_entry *e = roots_use(self, "Roots.store");
    if (e == NULL) {
        return NULL;
    }
    run r = {.state = self->state, .e = e, .what = "Roots.store",
             .n = self->len, .self = self};
    index_list list = {0};
    const numbers s = {index_sink, index_plain, index_start, index_take, &list,
                       "Roots.store: index"};
    field_object *f = field_arg(self, e, field, r.what);
    int status = f == NULL ? -1 : 0;
    if (status == 0 && index != Py_None) {
        status = numbers_read(&s, index);
        r.index = list.at;
    }
    if (status == 0) {
        r.owner.cls = f->owner;
        if (codec_is_ref(&f->codec)) {
            status = store_refs(&r, f, values, &list);
        } else if (codec_format(&f->codec) != 0) {
            status = store_scalars(&r, f, values, &list);
        } else {
            PyErr_Format(PyExc_TypeError, "%s: %U is neither a number nor a "
                         "pointer", r.what, f->name);
            status = -1;
        }
    }
    PyMem_Free(list.at);
    entry_unuse(self->state, e);
    if (status < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

// as_numbers is a memoryview of bytes (taken over) with that format.
static PyObject *
as_numbers(PyObject *bytes, char format)
{
    PyObject *view = PyMemoryView_FromObject(bytes);
    Py_DECREF(bytes);
    if (view == NULL) {
        return NULL;
    }
    const char text[] = {format, 0};
    PyObject *cast = PyObject_CallMethod(view, "cast", "s", text);
    Py_DECREF(view);
    return cast;
}

static PyObject *
roots_values(PyObject *op, PyObject *arg)
{
    roots_object *self = (roots_object *)op;
    const char *what = "Roots.values";
    heap_entry *e = roots_use(self, "Roots.values");
    if (e == NULL) {
        return NULL;
    }
    PyObject *bytes = NULL;
    field_object *f = field_arg(self, e, arg, what);
    const char format = f == NULL ? 0 : codec_format(&f->codec);
    if (f != NULL && format == 0) {
        PyErr_Format(PyExc_TypeError, "%s: %U is no number; see Roots.load",
                     what, f->name);
    } else if (f != NULL) {
        bytes = PyBytes_FromStringAndSize(
            NULL, self->len * (Py_ssize_t)f->codec.size);
    }
    if (bytes != NULL) {
        run r = {
            .state = self->state, .e = e, .step = step_get, .what = what,
            .n = self->len, .self = self, .bytes = PyBytes_AS_STRING(bytes),
            .off = f->offset, .size = f->codec.size, .owner = {.cls = f->owner},
        };
        if (run_all(&r, 0) < 0) {
            Py_CLEAR(bytes);
        }
    }
    entry_unuse(self->state, e);
    return bytes == NULL ? NULL : as_numbers(bytes, format);
}

static gh_status
step_address(run *r, gh_mut *m, Py_ssize_t i)
{
    (void)m;
    r->words[i] = gh_addr(r->heap, slot_at(r->self, i));
    return GH_OK;
}

static PyObject *
roots_addresses(PyObject *op, void *Py_UNUSED(closure))
{
    roots_object *self = (roots_object *)op;
    heap_entry *e = roots_use(self, "Roots.addresses");
    if (e == NULL) {
        return NULL;
    }
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, self->len * 8);
    if (bytes != NULL) {
        run r = {
            .state = self->state, .e = e, .step = step_address,
            .what = "Roots.addresses", .n = self->len, .self = self,
            .words = (uint64_t *)(void *)PyBytes_AS_STRING(bytes),
        };
        if (run_all(&r, 0) < 0) {
            Py_CLEAR(bytes);
        }
    }
    entry_unuse(self->state, e);
    return bytes == NULL ? NULL : as_numbers(bytes, 'Q');
}

static PyObject *
roots_reduce(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    (void)op;
    PyErr_SetString(PyExc_TypeError,
                    "Roots are part of their heap: they are neither copied nor "
                    "pickled");
    return NULL;
}

// ---- the type -----------------------------------------------------------------------------------

static PyMethodDef roots_methods[] = {
    {"clear", roots_clear, METH_NOARGS,
     "clear($self, /)\n--\n\nSet every slot of the view to nil."},
    {"load", roots_load, METH_O,
     "load($self, field, /)\n--\n\n"
     "New slots with what a pointer field of each object holds. field is a "
     "field\n(Node.left) or its name."},
    {"store", (PyCFunction)(void (*)(void))roots_store,
     METH_VARARGS | METH_KEYWORDS,
     "store($self, field, values, /, *, index=None)\n--\n\n"
     "field of object i := values[i], or values[index[i]]. Pointers come from "
     "Roots, a\nsequence of handles, or None (nil for all); numbers from a "
     "buffer or a sequence,\nchecked before the first is stored."},
    {"values", roots_values, METH_O,
     "values($self, field, /)\n--\n\n"
     "A scalar field of each object, copied into one buffer."},
    {"__reduce__", roots_reduce, METH_NOARGS, NULL},
    {"__reduce_ex__", roots_reduce, METH_O, NULL},
    {"__copy__", roots_reduce, METH_NOARGS, NULL},
    {"__deepcopy__", roots_reduce, METH_O, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef roots_getset[] = {
    {"addresses", roots_addresses, NULL,
     "The addresses of the objects now, 0 for nil: a copy, format \"Q\".", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot roots_slots[] = {
    {Py_tp_doc,
     "A block of root slots outside the heap, or a view of one.\n\n"
     "Heap.roots and Heap.new_many make blocks; a slice is a view of the same "
     "slots.\nA slot holds an object or nil (None)."},
    {Py_tp_dealloc, (void *)(uintptr_t)roots_dealloc},
    {Py_tp_repr, (void *)(uintptr_t)roots_repr},
    {Py_tp_iter, (void *)(uintptr_t)PySeqIter_New},
    {Py_sq_length, (void *)(uintptr_t)roots_length},
    {Py_sq_item, (void *)(uintptr_t)roots_item},
    {Py_mp_length, (void *)(uintptr_t)roots_length},
    {Py_mp_subscript, (void *)(uintptr_t)roots_subscript},
    {Py_mp_ass_subscript, (void *)(uintptr_t)roots_ass_subscript},
    {Py_tp_methods, roots_methods},
    {Py_tp_getset, roots_getset},
    {0, NULL},
};

static PyType_Spec roots_spec = {
    .name = "goheap.Roots",
    .basicsize = sizeof(roots_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = roots_slots,
};

int
roots_type_init(PyObject *module, module_state *state)
{
    state->roots_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &roots_spec, NULL);
    if (state->roots_type == NULL) {
        return -1;
    }
    return PyModule_AddType(module, state->roots_type);
}
