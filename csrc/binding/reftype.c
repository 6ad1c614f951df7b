// reftype.c: handles. Ref, and what Array and Block add to it.
//
// A handle owns one root slot of its heap and nothing else. It is dropped
// without a P, without waiting and without running Python code: the slot's
// number goes on a list of the heap (gh_handle_drop).
//
// The classes Ref, Struct, Array and Block are made by the metaclass at exec,
// each over a C part with the slots; a class made by a class statement cannot
// carry C slots, and before Python 3.12 a C type could not have a metaclass.

#include "binding.h"

#include <stdlib.h>
#include <string.h>

#include "structmember.h"

heap_entry *
handle_use(module_state *state, const handle_object *h)
{
    heap_entry *e = entry_use(state, h->heap);
    if (e == NULL) {
        set_dead_error(state, h);
    }
    return e;
}

PyObject *
handle_make(heap_entry *e, handle_object *spare, uint32_t heap_id,
            class_object *cls, uint32_t id, uint64_t addr, int64_t len)
{
    if (spare == NULL) {
        spare = PyObject_Malloc(sizeof(*spare));
        if (spare == NULL) {
            gh_handle_drop(e->heap, id);
            return PyErr_NoMemory();
        }
        spare->slot = id;
    }
    return handle_init(spare, heap_id, cls, addr, len);
}

void
handle_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    const handle_object *h = (handle_object *)self;
    module_state *state = ((class_object *)type)->state;
    heap_entry *e = table_entry(&state->heaps, h->heap);
    if (entry_quiet(e, h->heap) && e->nspares < HANDLE_SPARES
        && gh_handle_empty(e->heap, h->slot)) {
        e->spare[e->nspares++] = (handle_object *)self;
        Py_DECREF(type);
        return;
    }
    e = entry_use_of(state, e, h->heap);
    if (e != NULL) {
        gh_handle_drop(e->heap, h->slot);
        entry_unuse(state, e);
    }
    PyObject_Free(self);
    Py_DECREF(type);
}

void
handle_put_back(heap_entry *e, handle_object *spare)
{
    if (spare == NULL) {
        return;
    }
    if (e->nspares < HANDLE_SPARES) {
        e->spare[e->nspares++] = spare;
        return;
    }
    gh_handle_drop(e->heap, spare->slot);  // others were dropped meanwhile
    PyObject_Free(spare);
}

// find_args go in and come out of the operations below.
typedef struct find_args {
    gh_heap *heap;
    const gh_slot *self;
    uint64_t off;
    bool want_object;
    handle_object *spare;  // or NULL
    uint32_t id;        // the new handle's slot; 0: nil
    uint64_t addr;
    bool has_object;    // object is filled
    gh_object object;
    uintptr_t user;     // of the object's type
} find_args;

// slot_new gets the slot of the new handle unless it has one.
static gh_status
slot_new(gh_mut *m, find_args *a)
{
    if (a->spare != NULL) {
        a->id = a->spare->slot;
        return GH_OK;
    }
    return gh_handle_new(m, &a->id);
}

// slot_undo: it is empty still.
static void
slot_undo(find_args *a)
{
    if (a->spare == NULL) {
        gh_handle_drop(a->heap, a->id);
    }
    a->id = 0;
}

static PyObject *
handle_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
           PyObject *Py_UNUSED(kwargs))
{
    PyErr_Format(PyExc_TypeError,
                 "a handle is made by a heap: heap.new(%.100s, ...)",
                 type->tp_name);
    return NULL;
}

static gh_status
op_check_lost(gh_mut *m, void *arg)
{
    return gh_check_lost(m, arg);
}

int
handle_check_lost_slow(module_state *state, heap_entry *e,
                       const handle_object *h, const char *what)
{
    const gh_status st =
        entry_look(e, op_check_lost, gh_handle_slot(e->heap, h->slot));
    if (st != GH_OK) {
        set_status_error(state, st, what);
        return -1;
    }
    return 0;
}

// ---- making handles on what is there already --------------------------------------

// describe fills what the core knows of the object in slot. A zero-size object
// lies in no span: nothing is known of it, and nothing need be.
static void
describe(find_args *a, const gh_slot *slot)
{
    a->addr = gh_addr(a->heap, slot);
    a->has_object = false;
    if (!a->want_object || gh_object_at(a->heap, slot, &a->object) != GH_OK) {
        return;
    }
    a->has_object = true;
    a->user = 0;
    if (a->object.type_id > GH_TYPE_BYTES) {
        const gh_type *t = gh_type_by_id(a->heap, a->object.type_id);
        if (t != NULL) {
            gh_type_desc desc;
            gh_type_get(t, &desc);
            a->user = desc.user;
        }
    }
}

static gh_status
op_view(gh_mut *m, void *arg)
{
    find_args *a = arg;
    gh_status st = slot_new(m, a);
    if (st != GH_OK) {
        return st;
    }
    gh_slot *slot = gh_handle_slot(a->heap, a->id);
    if (a->off == 0) {
        st = gh_check_lost(m, a->self);
        if (st == GH_OK) {
            gh_set(m, slot, a->self);
        }
    } else {
        st = gh_set_interior(m, slot, a->self, a->off);
    }
    if (st != GH_OK) {
        slot_undo(a);
        return st;
    }
    describe(a, slot);
    return GH_OK;
}

static gh_status
op_load(gh_mut *m, void *arg)
{
    find_args *a = arg;
    const char *word = (const char *)gh_data(a->self) + a->off;
    uintptr_t value;
    memcpy(&value, word, sizeof(value));
    if (value == 0) {
        a->id = 0;
        return GH_OK;
    }
    gh_status st = slot_new(m, a);
    if (st != GH_OK) {
        return st;
    }
    gh_slot *slot = gh_handle_slot(a->heap, a->id);
    st = gh_load(m, slot, a->self, a->off / 8);
    if (st != GH_OK || slot->word == 0) {  // nil since the look above
        slot_undo(a);
        return st;
    }
    describe(a, slot);
    return GH_OK;
}

PyObject *
handle_view(module_state *state, heap_entry *e, const handle_object *h,
            class_object *cls, uint64_t off)
{
    find_args a = {
        .heap = e->heap,
        .self = gh_handle_slot(e->heap, h->slot),
        // A part of size 0 may lie at the very end of its object.
        .off = cls->size == 0 ? 0 : off,
        .spare = handle_take(e),
    };
    const gh_status st = entry_run(state, e, op_view, &a);
    if (st != GH_OK) {
        handle_put_back(e, a.spare);
        return set_status_error(state, st, "handle");
    }
    return handle_make(e, a.spare, h->heap, cls, a.id, a.addr,
                       cls->role == ROLE_ARRAY ? cls->fixed_n : -1);
}

// recorded_class is the class of an object by what was recorded of it, and the
// length to put into a handle of it (-1: the heap knows).
static class_object *
recorded_class(module_state *state, const find_args *a, int64_t *len)
{
    *len = -1;
    if (!a->has_object) {
        *len = 0;  // zero-size
        return (class_object *)state->block;
    }
    if (a->user == 0) {
        const gh_object *o = &a->object;
        // A block that holds several tiny objects: where each ends was not
        // kept, so the handle reaches to the end of the block.
        *len = (int64_t)(o->size > o->off ? o->size - o->off : 0);
        return (class_object *)state->block;
    }
    class_object *c = (class_object *)a->user;
    class_object *at = class_at(c, a->object.off);
    if (at == NULL) {
        return (class_object *)state->ref;
    }
    if (at == c && c->role == ROLE_ARRAY) {
        *len = (int64_t)a->object.count;
    } else if (at->role == ROLE_ARRAY) {
        *len = at->fixed_n;
    }
    return at;
}

PyObject *
handle_load(module_state *state, heap_entry *e, PyObject *target,
            const handle_object *h, uint64_t off)
{
    class_object *declared =
        target == Py_None ? NULL : (class_object *)target;
    find_args a = {
        .heap = e->heap,
        .self = gh_handle_slot(e->heap, h->slot),
        .off = off,
        .want_object = declared == NULL || declared->role != ROLE_STRUCT,
        .spare = handle_take(e),
    };
    const gh_status st = entry_run(state, e, op_load, &a);
    if (st != GH_OK) {
        handle_put_back(e, a.spare);
        return set_status_error(state, st, "load");
    }
    if (a.id == 0) {
        handle_put_back(e, a.spare);
        Py_RETURN_NONE;
    }
    int64_t len = -1;
    class_object *cls = declared;
    if (a.want_object) {
        cls = recorded_class(state, &a, &len);
        if (declared != NULL && declared->role == ROLE_ARRAY
            && cls != declared) {
            // An array that shares a tiny block: see recorded_class.
            len = declared->elem.size == 0 || len < 0
                      ? 0 : len / (int64_t)declared->elem.size;
            cls = declared;
        }
    }
    return handle_make(e, a.spare, h->heap, cls, a.id, a.addr, len);
}

static gh_status
op_of_slot(gh_mut *m, void *arg)
{
    find_args *a = arg;
    a->id = 0;
    const gh_slot now = gh_slot_now(a->self);
    if (now.word == 0) {
        return GH_OK;
    }
    gh_status st = gh_check_lost(m, a->self);
    if (st == GH_OK) {
        st = slot_new(m, a);
    }
    if (st == GH_OK) {
        gh_slot *slot = gh_handle_slot(a->heap, a->id);
        gh_set(m, slot, &now);
        describe(a, slot);
    }
    return st;
}

PyObject *
handle_of_slot(module_state *state, heap_entry *e, uint32_t heap_id,
               const gh_slot *slot)
{
    find_args a = {
        .heap = e->heap, .self = slot, .want_object = true, .spare = handle_take(e),
    };
    const gh_status st = entry_run(state, e, op_of_slot, &a);
    if (st != GH_OK) {
        handle_put_back(e, a.spare);
        return set_status_error(state, st, "handle");
    }
    if (a.id == 0) {
        handle_put_back(e, a.spare);
        Py_RETURN_NONE;
    }
    int64_t len;
    class_object *cls = recorded_class(state, &a, &len);
    return handle_make(e, a.spare, heap_id, cls, a.id, a.addr, len);
}

// ---- sizes ------------------------------------------------------------------------

static gh_status
op_describe(gh_mut *m, void *arg)
{
    find_args *a = arg;
    const gh_status st = gh_check_lost(m, a->self);
    if (st == GH_OK) {
        describe(a, a->self);
    }
    return st;
}

int64_t
handle_length(module_state *state, heap_entry *e, const handle_object *h)
{
    const class_object *c = handle_class(h);
    if (c->fixed_n >= 0) {
        return c->fixed_n;
    }
    const int64_t len = handle_short_len(h);
    if (len >= 0) {
        return len;
    }
    find_args a = {
        .heap = e->heap,
        .self = gh_handle_slot(e->heap, h->slot),
        .want_object = true,
    };
    const gh_status st = entry_look(e, op_describe, &a);
    if (st != GH_OK) {
        set_status_error(state, st, "len");
        return -1;
    }
    return a.has_object ? (int64_t)a.object.count : 0;
}

int64_t
handle_size(module_state *state, heap_entry *e, const handle_object *h)
{
    const class_object *c = handle_class(h);
    if (c->role == ROLE_STRUCT || c->role == ROLE_WORDS) {
        return (int64_t)c->size;
    }
    if (c->role == ROLE_ABSTRACT) {
        return 0;
    }
    const int64_t n = handle_length(state, e, h);
    return n < 0 ? -1
                 : n * (c->role == ROLE_ARRAY ? (int64_t)c->elem.size : 1);
}

// ---- Ref --------------------------------------------------------------------------

static PyObject *
handle_richcompare(PyObject *self, PyObject *other, int op)
{
    if (op != Py_EQ && op != Py_NE) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    module_state *state = handle_class((handle_object *)self)->state;
    bool equal = false;
    if (handle_check(state, other)) {
        const handle_object *a = (handle_object *)self;
        const handle_object *b = (handle_object *)other;
        equal = a->heap == b->heap && handle_addr(a) == handle_addr(b);
    }
    return PyBool_FromLong(equal == (op == Py_EQ));
}

static Py_hash_t
handle_hash(PyObject *self)
{
    // The low bits of addresses are mostly zero: turned to the top, as
    // CPython does with its own.
    const uint64_t a = handle_addr((handle_object *)self);
    const Py_hash_t hash = (Py_hash_t)(a >> 4 | a << 60);
    return hash == -1 ? -2 : hash;
}

static int
handle_bool(PyObject *Py_UNUSED(self))
{
    return 1;
}

// addr_text writes an address in hexadecimal, which PyUnicode_FromFormat cannot
// before Python 3.12.
#define ADDR_TEXT 20
static const char *
addr_text(char *buf, uint64_t addr)
{
    (void)snprintf(buf, ADDR_TEXT, "0x%llx", (unsigned long long)addr);
    return buf;
}

// repr_word is a scalar or pointer field as text; NULL, without an exception,
// for what is not shown.
static PyObject *
repr_word(module_state *state, heap_entry *e, field_object *f,
          const handle_object *h)
{
    if (codec_is_ref(&f->codec)) {
        uintptr_t word;
        memcpy(&word,
               handle_data(e, h) + f->offset + codec_ref_offset(&f->codec),
               sizeof(word));
        if (word == 0) {
            return PyUnicode_FromString("nil");
        }
        char text[ADDR_TEXT];
        return PyUnicode_FromString(
            addr_text(text, gh_addr_of_word(e->heap, word)));
    }
    if (f->codec.kind == KIND_EMBED || f->codec.kind == KIND_FIXED) {
        return PyUnicode_FromString("...");
    }
    const place at = {.field = f, .cls = f->owner};
    PyObject *v = codec_get(state, e, &f->codec, &at, h, f->offset);
    PyObject *text = v == NULL ? NULL : PyObject_Repr(v);
    Py_XDECREF(v);
    return text;
}

#define REPR_FIELDS 8  // more would not be read

static PyObject *
repr_fields(module_state *state, heap_entry *e, const handle_object *h)
{
    const class_object *c = handle_class(h);
    PyObject *text = PyUnicode_FromString("");
    PyObject *name, *value;
    Py_ssize_t pos = 0, shown = 0;
    while (text != NULL && PyDict_Next(c->fields, &pos, &name, &value)) {
        if (shown++ == REPR_FIELDS) {
            PyObject *more = PyUnicode_FromFormat("%U ...", text);
            Py_SETREF(text, more);
            break;
        }
        PyObject *one = repr_word(state, e, (field_object *)value, h);
        PyObject *more = one == NULL
                             ? NULL
                             : PyUnicode_FromFormat("%U %U=%U", text, name, one);
        Py_XDECREF(one);
        Py_SETREF(text, more);
    }
    return text;
}

static PyObject *
handle_repr(PyObject *self)
{
    const handle_object *h = (handle_object *)self;
    const class_object *c = handle_class(h);
    module_state *state = c->state;
    const char *name = c->type.ht_type.tp_name;
    char addr[ADDR_TEXT];
    (void)addr_text(addr, handle_addr(h));
    heap_entry *e = entry_use(state, h->heap);
    if (e == NULL) {
        return PyUnicode_FromFormat("<%s at %s, heap ended>", name, addr);
    }
    PyObject *text = NULL;
    if (handle_check_lost(state, e, h, "repr") < 0) {
        PyErr_Clear();
        text = PyUnicode_FromFormat("<%s at %s, lost>", name, addr);
    } else if (c->role == ROLE_STRUCT) {
        PyObject *fields = repr_fields(state, e, h);
        if (fields != NULL) {
            text = PyUnicode_FromFormat("<%s at %s%U>", name, addr, fields);
            Py_DECREF(fields);
        }
    } else if (c->role == ROLE_ABSTRACT || c->role == ROLE_WORDS) {
        text = PyUnicode_FromFormat("<%s at %s>", name, addr);
    } else {
        const long long n = handle_length(state, e, h);
        if (n >= 0) {
            text = PyUnicode_FromFormat("<%s at %s, %lld %s>", name, addr,
                                        n, c->role == ROLE_ARRAY ? "elements"
                                                                 : "bytes");
        }
    }
    entry_unuse(state, e);
    return text;
}

static PyObject *
handle_reduce(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyErr_Format(PyExc_TypeError,
                 "a handle (%.100s) is a root of its own heap: it is neither "
                 "copied nor pickled. For a second reference bind a second "
                 "name; to send data, send the fields",
                 Py_TYPE(self)->tp_name);
    return NULL;
}

static PyObject *
handle_class_get(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(Py_TYPE(self));
}

// ---- the buffer -----------------------------------------------------------------

// export is what a view of an object holds: memory that outlives the heap.
typedef struct export {
    gh_pin *pin;  // NULL: of zero bytes
    Py_ssize_t shape, stride;
    char format[2];
} export;

typedef struct pin_args {
    const gh_slot *slot;
    gh_pin *pin;
} pin_args;

static gh_status
op_pin(gh_mut *m, void *arg)
{
    pin_args *a = arg;
    return gh_pin_new(m, a->slot, &a->pin);
}

static const char no_bytes[1];

static int
fill_buffer(module_state *state, heap_entry *e, PyObject *self, Py_buffer *view,
            int flags)
{
    const handle_object *h = (handle_object *)self;
    const class_object *c = handle_class(h);
    const bool readonly = c->ptrdata != 0 || c->role == ROLE_ABSTRACT;
    if (readonly && (flags & PyBUF_WRITABLE) != 0) {
        PyErr_Format(PyExc_BufferError,
                     "%.100s has pointers: its bytes are read-only",
                     Py_TYPE(self)->tp_name);
        return -1;
    }
    const int64_t size = handle_size(state, e, h);
    if (size < 0) {
        return -1;
    }
    export *x = calloc(1, sizeof(*x));
    if (x == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    void *data = (void *)(uintptr_t)no_bytes;
    if (size > 0) {
        pin_args a = {.slot = gh_handle_slot(e->heap, h->slot)};
        const gh_status st = entry_run(state, e, op_pin, &a);
        if (st != GH_OK) {
            free(x);
            set_status_error(state, st, "buffer");
            return -1;
        }
        x->pin = a.pin;
        data = gh_pin_data(a.pin);
    }
    const char format = c->role == ROLE_ARRAY ? codec_format(&c->elem) : 0;
    x->format[0] = format == 0 ? 'B' : format;
    x->stride = format == 0 ? 1 : (Py_ssize_t)c->elem.size;
    x->shape = (Py_ssize_t)size / x->stride;
    *view = (Py_buffer){
        .buf = data,
        .obj = Py_NewRef(self),
        .len = (Py_ssize_t)size,
        .itemsize = x->stride,
        .readonly = readonly,
        .ndim = 1,
        .internal = x,
    };
    if ((flags & PyBUF_FORMAT) == PyBUF_FORMAT) {
        view->format = x->format;
    }
    if ((flags & PyBUF_ND) == PyBUF_ND) {
        view->shape = &x->shape;
    }
    if ((flags & PyBUF_STRIDES) == PyBUF_STRIDES) {
        view->strides = &x->stride;
    }
    return 0;
}

static int
handle_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    view->obj = NULL;
    module_state *state = handle_class((handle_object *)self)->state;
    heap_entry *e = handle_use(state, (handle_object *)self);
    if (e == NULL) {
        return -1;
    }
    const int status = fill_buffer(state, e, self, view, flags);
    entry_unuse(state, e);
    return status;
}

static void
handle_releasebuffer(PyObject *Py_UNUSED(self), Py_buffer *view)
{
    export *x = view->internal;
    if (x->pin != NULL) {
        gh_pin_free(x->pin);
    }
    free(x);
}

static PyMethodDef handle_methods[] = {
    {"__reduce__", handle_reduce, METH_NOARGS, NULL},
    {"__reduce_ex__", handle_reduce, METH_O, NULL},
    {"__copy__", handle_reduce, METH_NOARGS, NULL},
    {"__deepcopy__", handle_reduce, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef handle_getset[] = {
    {"__class__", handle_class_get, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot handle_slots[] = {
    {Py_tp_doc, "C part of goheap.Ref."},
    {Py_tp_new, (void *)(uintptr_t)handle_new},
    {Py_tp_dealloc, (void *)(uintptr_t)handle_dealloc},
    {Py_tp_richcompare, (void *)(uintptr_t)handle_richcompare},
    {Py_tp_hash, (void *)(uintptr_t)handle_hash},
    {Py_nb_bool, (void *)(uintptr_t)handle_bool},
    {Py_tp_repr, (void *)(uintptr_t)handle_repr},
    {Py_tp_methods, handle_methods},
    {Py_tp_getset, handle_getset},
    {Py_bf_getbuffer, (void *)(uintptr_t)handle_getbuffer},
    {Py_bf_releasebuffer, (void *)(uintptr_t)handle_releasebuffer},
    {0, NULL},
};

// BASETYPE is taken back once the classes are made: a class without our
// metaclass must not derive from it.
static PyType_Spec handle_spec = {
    .name = "goheap._core.Handle",
    .basicsize = sizeof(handle_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = handle_slots,
};

// ---- Array and Block ----------------------------------------------------------------

static Py_ssize_t
ref_length(PyObject *self)
{
    const handle_object *h = (handle_object *)self;
    module_state *state = handle_class(h)->state;
    heap_entry *e = handle_use(state, h);
    if (e == NULL) {
        return -1;
    }
    const int64_t n = handle_check_lost(state, e, h, "len") < 0
                          ? -1 : handle_length(state, e, h);
    entry_unuse(state, e);
    return (Py_ssize_t)n;
}

// index_of checks an index against the length. The heap is in use.
static int
index_of(module_state *state, heap_entry *e, const handle_object *h,
         PyObject *key, int64_t *out)
{
    const char *name = Py_TYPE(h)->tp_name;
    if (!PyIndex_Check(key)) {
        PyErr_Format(PyExc_TypeError, "%s: an index is an int, not '%.100s'",
                     name, Py_TYPE(key)->tp_name);
        return -1;
    }
    const Py_ssize_t i = PyNumber_AsSsize_t(key, PyExc_IndexError);
    if (i == -1 && PyErr_Occurred()) {
        return -1;
    }
    const int64_t n = handle_length(state, e, h);
    if (n < 0) {
        return -1;
    }
    *out = i < 0 ? i + n : i;
    if (*out < 0 || *out >= n) {
        PyErr_Format(PyExc_IndexError, "%s: index %zd out of range (length "
                     "%lld)", name, i, (long long)n);
        return -1;
    }
    return 0;
}

static PyObject *
array_get(module_state *state, heap_entry *e, const handle_object *h, int64_t i)
{
    class_object *c = handle_class(h);
    const place at = {.cls = c, .index = i};
    return codec_get(state, e, &c->elem, &at, h, (uint64_t)i * c->elem.size);
}

static PyObject *
array_subscript(PyObject *self, PyObject *key)
{
    const handle_object *h = (handle_object *)self;
    module_state *state = handle_class(h)->state;
    heap_entry *e = handle_use(state, h);
    if (e == NULL) {
        return NULL;
    }
    int64_t i;
    PyObject *result = index_of(state, e, h, key, &i) < 0
                           ? NULL : array_get(state, e, h, i);
    entry_unuse(state, e);
    return result;
}

static PyObject *
array_item(PyObject *self, Py_ssize_t i)
{
    const handle_object *h = (handle_object *)self;
    module_state *state = handle_class(h)->state;
    heap_entry *e = handle_use(state, h);
    if (e == NULL) {
        return NULL;
    }
    const int64_t n = handle_length(state, e, h);
    PyObject *result = NULL;
    if (i >= 0 && i < n) {
        result = array_get(state, e, h, i);
    } else if (n >= 0) {
        PyErr_SetString(PyExc_IndexError, "index out of range");
    }
    entry_unuse(state, e);
    return result;
}

static int
array_ass_subscript(PyObject *self, PyObject *key, PyObject *value)
{
    const handle_object *h = (handle_object *)self;
    class_object *c = handle_class(h);
    module_state *state = c->state;
    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, "an element can be set, not deleted");
        return -1;
    }
    heap_entry *e = handle_use(state, h);
    if (e == NULL) {
        return -1;
    }
    int64_t i;
    int status = index_of(state, e, h, key, &i);
    entry_unuse(state, e);
    cell v;
    const place at = {.cls = c, .index = i};
    if (status < 0
        || codec_convert(state, &c->elem, &at, h->heap, value, &v) < 0) {
        return -1;
    }
    // Converting may have run Python code: the heap is looked up again. The
    // length of an object never changes.
    e = handle_use(state, h);
    if (e == NULL) {
        return -1;
    }
    status = codec_put(state, e, &c->elem, &at, h, (uint64_t)i * c->elem.size,
                       &v);
    entry_unuse(state, e);
    return status;
}

typedef struct array_iter {
    PyObject_HEAD
    PyObject *array;  // owned; NULL when exhausted
    Py_ssize_t i;
} array_iter;

static PyObject *
array_iter_new(PyObject *self)
{
    module_state *state = handle_class((handle_object *)self)->state;
    array_iter *it = PyObject_New(array_iter, state->iter_type);
    if (it != NULL) {
        it->array = Py_NewRef(self);
        it->i = 0;
    }
    return (PyObject *)it;
}

static void
array_iter_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((array_iter *)self)->array);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *
array_iter_next(PyObject *self)
{
    array_iter *it = (array_iter *)self;
    if (it->array == NULL) {
        return NULL;
    }
    PyObject *v = array_item(it->array, it->i);
    if (v == NULL) {
        if (PyErr_ExceptionMatches(PyExc_IndexError)) {
            PyErr_Clear();
            Py_CLEAR(it->array);
        }
        return NULL;
    }
    it->i++;
    return v;
}

static PyType_Slot iter_slots[] = {
    {Py_tp_dealloc, (void *)(uintptr_t)array_iter_dealloc},
    {Py_tp_iter, (void *)(uintptr_t)PyObject_SelfIter},
    {Py_tp_iternext, (void *)(uintptr_t)array_iter_next},
    {0, NULL},
};

static PyType_Spec iter_spec = {
    .name = "goheap._core.ArrayIterator",
    .basicsize = sizeof(array_iter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = iter_slots,
};

static PyType_Slot array_slots[] = {
    {Py_tp_doc, "C part of goheap.Array."},
    {Py_mp_length, (void *)(uintptr_t)ref_length},
    {Py_mp_subscript, (void *)(uintptr_t)array_subscript},
    {Py_mp_ass_subscript, (void *)(uintptr_t)array_ass_subscript},
    {Py_tp_iter, (void *)(uintptr_t)array_iter_new},
    {0, NULL},
};

static PyType_Spec array_spec = {
    .name = "goheap._core.ArrayPart",
    .basicsize = sizeof(handle_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = array_slots,
};

static PyType_Slot block_slots[] = {
    {Py_tp_doc, "C part of goheap.Block."},
    {Py_mp_length, (void *)(uintptr_t)ref_length},
    {0, NULL},
};

static PyType_Spec block_spec = {
    .name = "goheap._core.BlockPart",
    .basicsize = sizeof(handle_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = block_slots,
};

// ---- Words --------------------------------------------------------------------------

static Py_ssize_t
words_length(PyObject *self)
{
    const handle_object *h = (handle_object *)self;
    const class_object *c = handle_class(h);
    heap_entry *e = handle_use(c->state, h);
    if (e == NULL) {
        return -1;
    }
    entry_unuse(c->state, e);
    return (Py_ssize_t)(c->size / 8);
}

// word_of checks a word's number and says how such a word is coded.
static int
word_of(const class_object *c, PyObject *key, int64_t *out, codec *word)
{
    const char *name = c->type.ht_type.tp_name;
    if (!PyIndex_Check(key)) {
        PyErr_Format(PyExc_TypeError, "%s: a word is an int, not '%.100s'",
                     name, Py_TYPE(key)->tp_name);
        return -1;
    }
    const Py_ssize_t i = PyNumber_AsSsize_t(key, PyExc_IndexError);
    if (i == -1 && PyErr_Occurred()) {
        return -1;
    }
    const int64_t n = (int64_t)(c->size / 8);
    *out = i < 0 ? i + n : i;
    if (*out < 0 || *out >= n) {
        PyErr_Format(PyExc_IndexError, "%s: word %zd out of range (%lld words)",
                     name, i, (long long)n);
        return -1;
    }
    *word = (codec){.kind = KIND_UINT64, .size = 8};
    if (class_is_pointer(c, (uint64_t)*out)) {
        *word = (codec){.kind = KIND_PTR, .size = 8, .target = Py_None};
    }
    return 0;
}

static PyObject *
words_subscript(PyObject *self, PyObject *key)
{
    const handle_object *h = (handle_object *)self;
    class_object *c = handle_class(h);
    int64_t i;
    codec word;
    heap_entry *e = handle_use(c->state, h);
    if (e == NULL) {
        return NULL;
    }
    PyObject *result = NULL;
    if (word_of(c, key, &i, &word) == 0) {
        const place at = {.cls = c, .index = i};
        result = codec_get(c->state, e, &word, &at, h, (uint64_t)i * 8);
    }
    entry_unuse(c->state, e);
    return result;
}

static int
words_ass_subscript(PyObject *self, PyObject *key, PyObject *value)
{
    const handle_object *h = (handle_object *)self;
    class_object *c = handle_class(h);
    int64_t i;
    codec word;
    cell v;
    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, "a word can be set, not deleted");
        return -1;
    }
    heap_entry *e = handle_use(c->state, h);
    if (e == NULL) {
        return -1;
    }
    entry_unuse(c->state, e);
    if (word_of(c, key, &i, &word) < 0) {
        return -1;
    }
    const place at = {.cls = c, .index = i};
    // Converting may run Python code: the heap is looked up again.
    if (codec_convert(c->state, &word, &at, h->heap, value, &v) < 0) {
        return -1;
    }
    e = handle_use(c->state, h);
    if (e == NULL) {
        return -1;
    }
    const int status =
        codec_put(c->state, e, &word, &at, h, (uint64_t)i * 8, &v);
    entry_unuse(c->state, e);
    return status;
}

static PyType_Slot words_slots[] = {
    {Py_tp_doc, "C part of goheap.Words."},
    {Py_mp_length, (void *)(uintptr_t)words_length},
    {Py_mp_subscript, (void *)(uintptr_t)words_subscript},
    {Py_mp_ass_subscript, (void *)(uintptr_t)words_ass_subscript},
    {0, NULL},
};

static PyType_Spec words_spec = {
    .name = "goheap._core.WordsPart",
    .basicsize = sizeof(handle_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = words_slots,
};

int
ref_type_init(PyObject *module, module_state *state)
{
    state->handle_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &handle_spec, NULL);
    state->iter_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &iter_spec, NULL);
    if (state->handle_type == NULL || state->iter_type == NULL) {
        return -1;
    }
    state->array_part = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &array_spec, (PyObject *)state->handle_type);
    state->block_part = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &block_spec, (PyObject *)state->handle_type);
    state->words_part = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &words_spec, (PyObject *)state->handle_type);
    return state->array_part == NULL || state->block_part == NULL
                   || state->words_part == NULL ? -1 : 0;
}

// ref_classes_init(meta, namespaces): make Ref, Struct, Array, Block and Words with
// the metaclass of goheap.types, which calls this once.
PyObject *
ref_classes_init(PyObject *module, PyObject *args)
{
    module_state *state = PyModule_GetState(module);
    PyObject *meta, *ref_ns, *struct_ns, *array_ns, *block_ns, *words_ns;
    if (!PyArg_ParseTuple(args, "OO!O!O!O!O!:ref_classes_init", &meta,
                          &PyDict_Type, &ref_ns, &PyDict_Type, &struct_ns,
                          &PyDict_Type, &array_ns, &PyDict_Type, &block_ns,
                          &PyDict_Type, &words_ns)) {
        return NULL;
    }
    if (!PyType_Check(meta)
        || !PyType_IsSubtype((PyTypeObject *)meta, state->meta_type)
        || state->ref != NULL) {
        PyErr_SetString(PyExc_TypeError, "the classes of handles are made once");
        return NULL;
    }
    const struct {
        PyObject **slot;
        const char *name;
        PyObject *base, *part, *ns;
    } wanted[] = {
        {&state->ref, "Ref", NULL, (PyObject *)state->handle_type, ref_ns},
        {&state->struct_, "Struct", (PyObject *)1, NULL, struct_ns},
        {&state->array, "Array", (PyObject *)1, (PyObject *)state->array_part,
         array_ns},
        {&state->block, "Block", (PyObject *)1, (PyObject *)state->block_part,
         block_ns},
        {&state->words, "Words", (PyObject *)1, (PyObject *)state->words_part,
         words_ns},
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        PyObject *bases = wanted[i].base == NULL
                              ? PyTuple_Pack(1, wanted[i].part)
                          : wanted[i].part == NULL
                              ? PyTuple_Pack(1, state->ref)
                              : PyTuple_Pack(2, state->ref, wanted[i].part);
        if (bases == NULL) {
            return NULL;
        }
        *wanted[i].slot = PyObject_CallFunction(meta, "sNO", wanted[i].name,
                                                bases, wanted[i].ns);
        if (*wanted[i].slot == NULL) {
            return NULL;
        }
        if (!class_check(state, *wanted[i].slot)) {
            PyErr_SetString(PyExc_TypeError, "no class of handles");
            return NULL;
        }
    }
    class_object *block = (class_object *)state->block;
    block->role = ROLE_BLOCK;
    block->align = 1;
    block->ready = true;
    state->handle_type->tp_flags &= ~Py_TPFLAGS_BASETYPE;
    state->array_part->tp_flags &= ~Py_TPFLAGS_BASETYPE;
    state->block_part->tp_flags &= ~Py_TPFLAGS_BASETYPE;
    state->words_part->tp_flags &= ~Py_TPFLAGS_BASETYPE;
    return Py_BuildValue("OOOOO", state->ref, state->struct_, state->array,
                         state->block, state->words);
}

// ---- cast -----------------------------------------------------------------------------

// ref_cast(ref, cls): the same place, seen as struct cls.
PyObject *
ref_cast(PyObject *module, PyObject *args)
{
    module_state *state = PyModule_GetState(module);
    PyObject *ref, *cls;
    if (!PyArg_ParseTuple(args, "OO:cast", &ref, &cls)) {
        return NULL;
    }
    if (!handle_check(state, ref)) {
        PyErr_Format(PyExc_TypeError, "cast: a handle is needed, not '%.100s'",
                     Py_TYPE(ref)->tp_name);
        return NULL;
    }
    if (!class_check(state, cls) || !((class_object *)cls)->ready
        || ((class_object *)cls)->role != ROLE_STRUCT) {
        PyErr_SetString(PyExc_TypeError, "cast: to a struct class only");
        return NULL;
    }
    const handle_object *h = (handle_object *)ref;
    const class_object *from = handle_class(h);
    class_object *to = (class_object *)cls;
    heap_entry *e = handle_use(state, h);
    if (e == NULL) {
        return NULL;
    }
    PyObject *result = NULL;
    const int64_t size = handle_size(state, e, h);
    if (size < 0) {
        goto out;
    }
    bool same = to->size <= (uint64_t)size;
    const uint64_t period = from->role == ROLE_ARRAY ? from->elem.size / 8 : 0;
    for (uint64_t w = 0; same && w < (uint64_t)size / 8; w++) {
        const bool is = class_is_pointer(from, period == 0 ? w : w % period);
        same = is == class_is_pointer(to, w);
    }
    if (!same) {
        PyErr_Format(PyExc_TypeError,
                     "cast: %s has other pointer words or more bytes than %s",
                     to->type.ht_type.tp_name, from->type.ht_type.tp_name);
        goto out;
    }
    result = handle_view(state, e, h, to, 0);
out:
    entry_unuse(state, e);
    return result;
}
