// fieldtype.c: fields of structs, and how values lie in memory.
//
// Field is a data descriptor. Its kinds (int64, Ptr, ...) are Python classes in
// goheap.types; what tells them apart here is the codec. Elements of arrays use
// the same codecs.
//
// A scalar is read and written without taking a P: the handle holds its object,
// objects don't move, and a word is written whole. Pointers go through the
// core.

#include "binding.h"

#include <float.h>
#include <math.h>
#include <string.h>

const uint8_t kind_size[NUM_KINDS] = {
    1, 1, 2, 4, 8, 1, 2, 4, 8, 8, 4, 8, 8, 0, 0, 16, 24, 16,
};

const char *const kind_name[NUM_KINDS] = {
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
    "uint64", "uintptr", "float32", "float64", "pointer", "struct", "array",
    "string", "slice", "interface",
};

static const char kind_format[NUM_KINDS] = {
    '?', 'b', 'h', 'i', 'q', 'B', 'H', 'I', 'Q', 'Q', 'f', 'd', 0, 0, 0, 0, 0, 0,
};

// ---- codecs --------------------------------------------------------------------

int
codec_init(codec *c, int code, uint64_t size, PyObject *target)
{
    if (code < 0 || code >= NUM_KINDS
        || (kind_size[code] != 0 && kind_size[code] != size)) {
        PyErr_SetString(PyExc_ValueError, "no such kind of field");
        return -1;
    }
    *c = (codec){.kind = (kind)code, .size = size};
    if (c->kind == KIND_EMBED || c->kind == KIND_FIXED) {
        // Only a finished class has a size and a mask to take over.
        const class_object *t = (class_object *)target;
        PyTypeObject *meta = Py_TYPE(target);
        module_state *state = PyType_Check(target)
                                  && PyType_IsSubtype(meta, &PyType_Type)
                                  ? state_of_type(meta) : NULL;
        if (state == NULL || !class_check(state, target) || !t->ready
            || t->size != size
            || t->role != (c->kind == KIND_EMBED ? ROLE_STRUCT : ROLE_ARRAY)
            || (c->kind == KIND_FIXED && t->fixed_n < 0)) {
            PyErr_SetString(PyExc_ValueError, "no such embedded class");
            return -1;
        }
        c->target = Py_NewRef(target);
    } else if (c->kind == KIND_PTR && PyUnicode_Check(target)) {
        c->name = Py_NewRef(target);
    } else if (c->kind == KIND_PTR) {
        c->target = Py_NewRef(target);
    } else if (codec_is_ref(c)) {
        c->target = Py_NewRef(Py_None);
    }
    return 0;
}

bool
codec_has_pointers(const codec *c)
{
    if (c->kind == KIND_EMBED || c->kind == KIND_FIXED) {
        return ((class_object *)c->target)->ptrdata != 0;
    }
    return codec_is_ref(c);
}

void
codec_words(const codec *c, uint64_t off, uint64_t *mask)
{
    if (codec_is_ref(c)) {
        const uint64_t w = (off + codec_ref_offset(c)) / 8;
        mask[w / 64] |= (uint64_t)1 << (w % 64);
    } else if (c->kind == KIND_EMBED || c->kind == KIND_FIXED) {
        const class_object *t = (class_object *)c->target;
        for (uint64_t w = 0; w * 8 < t->ptrdata; w++) {
            if (class_is_pointer(t, w)) {
                const uint64_t at = off / 8 + w;
                mask[at / 64] |= (uint64_t)1 << (at % 64);
            }
        }
    }
}

char
codec_format(const codec *c)
{
    return kind_format[c->kind];
}

void
codec_clear(codec *c)
{
    Py_CLEAR(c->target);
    Py_CLEAR(c->name);
}

PyObject *
codec_target(module_state *state, codec *c, const place *at)
{
    PyObject *target = __atomic_load_n(&c->target, __ATOMIC_ACQUIRE);
    if (target != NULL) {
        return target;
    }
    PyObject *types = state_types(state);
    if (types == NULL) {
        return NULL;
    }
    PyObject *cls = PyObject_CallMethod(
        types, "_resolve", "OO",
        at->field != NULL ? (PyObject *)at->field : (PyObject *)at->cls,
        c->name);
    if (cls == NULL) {
        return NULL;
    }
    if (!class_check(state, cls)) {
        PyErr_Format(PyExc_TypeError, "%U is no class of handles", c->name);
        Py_DECREF(cls);
        return NULL;
    }
    PyObject *none = NULL;
    if (!__atomic_compare_exchange_n(&c->target, &none, cls, false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        Py_DECREF(cls);  // looked up meanwhile
        return none;
    }
    return cls;
}

// place_error sets an exception whose message begins with where the value was
// to go, and goes on as format says.
static int
place_error(PyObject *exc, const place *at, const char *format, ...)
{
    va_list vargs;
    va_start(vargs, format);
    PyObject *text = PyUnicode_FromFormatV(format, vargs);
    va_end(vargs);
    if (text == NULL) {
        return -1;
    }
    if (at->field != NULL) {
        PyErr_Format(exc, "%s.%U: %U",
                     at->cls == NULL ? "?" : at->cls->type.ht_type.tp_name,
                     at->field->name, text);
    } else {
        PyErr_Format(exc, "%s[%lld]: %U", at->cls->type.ht_type.tp_name,
                     (long long)at->index, text);
    }
    Py_DECREF(text);
    return -1;
}

static int
convert_integer(const codec *c, const place *at, PyObject *value, cell *out)
{
    const char *name = kind_name[c->kind];
    if (!PyIndex_Check(value)) {
        return place_error(PyExc_TypeError, at, "%s takes an int, not '%.100s'",
                           name, Py_TYPE(value)->tp_name);
    }
    PyObject *number = PyNumber_Index(value);
    if (number == NULL) {
        return -1;
    }
    const unsigned bits = (unsigned)c->size * 8;
    int overflow;
    const long long v = PyLong_AsLongLongAndOverflow(number, &overflow);
    int status = 0;
    if (c->kind >= KIND_INT8 && c->kind <= KIND_INT64) {
        const long long max = (long long)(UINT64_MAX >> (65 - bits));
        if (overflow != 0 || v > max || v < -max - 1) {
            status = place_error(PyExc_OverflowError, at,
                                 "%S is out of range for %s (%lld..%lld)",
                                 number, name, -max - 1, max);
        }
        out->bits = (uint64_t)v;
    } else {
        const unsigned long long max = UINT64_MAX >> (64 - bits);
        unsigned long long u = (unsigned long long)v;
        bool fits = overflow == 0 && v >= 0 && u <= max;
        if (overflow > 0 && bits == 64) {
            u = PyLong_AsUnsignedLongLong(number);
            fits = !(u == (unsigned long long)-1 && PyErr_Occurred());
            if (!fits) {
                PyErr_Clear();
            }
        }
        if (!fits) {
            status = place_error(PyExc_OverflowError, at,
                                 "%S is out of range for %s (0..%llu)", number,
                                 name, max);
        }
        out->bits = u;
    }
    Py_DECREF(number);
    return status;
}

static int
convert_float(const codec *c, const place *at, PyObject *value, cell *out)
{
    const double d = PyFloat_AsDouble(value);
    if (d == -1.0 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            return place_error(PyExc_TypeError, at,
                               "%s takes a float, not '%.100s'",
                               kind_name[c->kind], Py_TYPE(value)->tp_name);
        }
        return -1;
    }
    if (c->kind == KIND_FLOAT64) {
        memcpy(&out->bits, &d, sizeof(d));
        return 0;
    }
    const float f = (float)d;
    if (isinf(f) && !isinf(d)) {
        return place_error(PyExc_OverflowError, at,
                           "%R is out of range for float32", value);
    }
    uint32_t bits;
    memcpy(&bits, &f, sizeof(f));
    out->bits = bits;
    return 0;
}

static int
convert_bool(const place *at, PyObject *value, cell *out)
{
    if (PyBool_Check(value)) {
        out->bits = value == Py_True;
        return 0;
    }
    if (PyLong_Check(value)) {
        int overflow;
        const long v = PyLong_AsLongAndOverflow(value, &overflow);
        if (overflow == 0 && (v == 0 || v == 1)) {
            out->bits = (uint64_t)v;
            return 0;
        }
        return place_error(PyExc_ValueError, at,
                           "bool takes True or False, not %R", value);
    }
    return place_error(PyExc_TypeError, at,
                       "bool takes True or False, not '%.100s'",
                       Py_TYPE(value)->tp_name);
}

// check_ref checks that value is a live handle of the heap.
static int
check_ref(module_state *state, const place *at, uint32_t heap, PyObject *value)
{
    const handle_object *h = (handle_object *)value;
    if (h->heap == heap) {
        return 0;
    }
    heap_entry *e = entry_use(state, h->heap);
    if (e == NULL) {
        set_dead_error(state, h);
        return -1;
    }
    entry_unuse(state, e);
    return place_error(state->foreign_error, at,
                       "%R is a handle of another heap", value);
}

static int
convert_pointer(module_state *state, codec *c, const place *at, uint32_t heap,
                PyObject *value, cell *out)
{
    if (value == Py_None) {
        return 0;
    }
    PyObject *target = codec_target(state, c, at);
    if (target == NULL) {
        return -1;
    }
    PyTypeObject *want = target == Py_None ? state->handle_type
                                           : (PyTypeObject *)target;
    if (!PyObject_TypeCheck(value, want)) {
        return place_error(PyExc_TypeError, at,
                           "a pointer to %s takes such a handle or None, not "
                           "'%.100s'",
                           target == Py_None ? "anything" : want->tp_name,
                           Py_TYPE(value)->tp_name);
    }
    if (check_ref(state, at, heap, value) < 0) {
        return -1;
    }
    out->ref = (handle_object *)value;
    return 0;
}

int
codec_convert(module_state *state, codec *c, const place *at, uint32_t heap,
              PyObject *value, cell *out)
{
    *out = (cell){0};
    switch (c->kind) {
    case KIND_BOOL:
        return convert_bool(at, value, out);
    case KIND_FLOAT32:
    case KIND_FLOAT64:
        return convert_float(c, at, value, out);
    case KIND_PTR:
    case KIND_STRING:
    case KIND_SLICE:
    case KIND_INTERFACE:
        return convert_pointer(state, c, at, heap, value, out);
    case KIND_EMBED:
        if ((PyObject *)Py_TYPE(value) != c->target) {
            return place_error(PyExc_TypeError, at,
                               "a struct is copied from a handle of %s, not "
                               "'%.100s'",
                               ((PyTypeObject *)c->target)->tp_name,
                               Py_TYPE(value)->tp_name);
        }
        if (check_ref(state, at, heap, value) < 0) {
            return -1;
        }
        out->ref = (handle_object *)value;
        return 0;
    case KIND_FIXED:
        return place_error(PyExc_TypeError, at,
                           "an array inside an object is set element by "
                           "element");
    default:
        return convert_integer(c, at, value, out);
    }
}

// put_args are for the operations below, which run on the core's side.
typedef struct put_args {
    gh_heap *heap;
    const codec *codec;
    gh_slot *self;
    const gh_slot *ref;
    uint64_t off;
} put_args;

static gh_status
op_store(gh_mut *m, void *arg)
{
    const put_args *a = arg;
    return gh_store(m, a->self, a->off / 8, a->ref);
}

// op_copy copies a struct: pointer words through the barrier, the bytes between
// them as they are. Go: typedmemmove.
static gh_status
op_copy(gh_mut *m, void *arg)
{
    const put_args *a = arg;
    const class_object *c = (class_object *)a->codec->target;
    uint32_t tmp = 0;
    if (c->ptrdata != 0) {
        const gh_status st = gh_handle_new(m, &tmp);
        if (st != GH_OK) {
            return st;
        }
    }
    char *dst = (char *)gh_data(a->self) + a->off;
    const char *src = gh_data(a->ref);
    gh_status st = gh_check_lost(m, a->ref);
    uint64_t done = 0;  // bytes copied
    for (uint64_t w = 0; w * 8 < c->ptrdata && st == GH_OK; w++) {
        if (!class_is_pointer(c, w)) {
            continue;
        }
        memmove(dst + done, src + done, w * 8 - done);
        done = w * 8 + 8;
        gh_slot *t = gh_handle_slot(a->heap, tmp);
        st = gh_load(m, t, a->ref, w);
        if (st == GH_OK) {
            st = gh_store(m, a->self, a->off / 8 + w, t);
        }
    }
    if (st == GH_OK) {
        memmove(dst + done, src + done, c->size - done);
    }
    if (tmp != 0) {
        gh_handle_drop(a->heap, tmp);
    }
    return st;
}

// put_scalar writes a scalar whole: a racing reader sees the old or the new one.
static void
put_scalar(char *p, uint64_t size, uint64_t bits)
{
    const uint8_t b1 = (uint8_t)bits;
    const uint16_t b2 = (uint16_t)bits;
    const uint32_t b4 = (uint32_t)bits;
    switch (size) {
    case 1: memcpy(p, &b1, 1); break;
    case 2: memcpy(p, &b2, 2); break;
    case 4: memcpy(p, &b4, 4); break;
    default: memcpy(p, &bits, 8); break;
    }
}

int
codec_put(module_state *state, heap_entry *e, const codec *c, const place *at,
          const handle_object *self, uint64_t off, const cell *v)
{
    if (handle_check_lost(state, e, self, "store") < 0) {
        return -1;
    }
    if (!codec_is_ref(c) && c->kind != KIND_EMBED) {
        put_scalar(handle_data(e, self) + off, c->size, v->bits);
        return 0;
    }
    put_args a = {
        .heap = e->heap,
        .codec = c,
        .self = gh_handle_slot(e->heap, self->slot),
        .ref = v->ref == NULL ? NULL : gh_handle_slot(e->heap, v->ref->slot),
        .off = off + codec_ref_offset(c),
    };
    if (c->kind == KIND_EMBED && c->size == 0) {
        return 0;
    }
    const gh_status st =
        entry_run(state, e, codec_is_ref(c) ? op_store : op_copy, &a);
    if (st != GH_OK) {
        (void)at;
        set_status_error(state, st, "store");
        return -1;
    }
    return 0;
}

PyObject *
codec_get(module_state *state, heap_entry *e, codec *c, const place *at,
          const handle_object *self, uint64_t off)
{
    if (handle_check_lost(state, e, self, "load") < 0) {
        return NULL;
    }
    const char *p = handle_data(e, self) + off;
    union {
        int8_t i8;
        int16_t i16;
        int32_t i32;
        int64_t i64;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
        float f32;
        double f64;
    } v;
    switch (c->kind) {
    case KIND_BOOL:
        return PyBool_FromLong(*p != 0);
    case KIND_INT8:
        memcpy(&v.i8, p, 1);
        return PyLong_FromLong(v.i8);
    case KIND_INT16:
        memcpy(&v.i16, p, 2);
        return PyLong_FromLong(v.i16);
    case KIND_INT32:
        memcpy(&v.i32, p, 4);
        return PyLong_FromLong(v.i32);
    case KIND_INT64:
        memcpy(&v.i64, p, 8);
        return PyLong_FromLongLong(v.i64);
    case KIND_UINT8:
        return PyLong_FromLong((unsigned char)*p);
    case KIND_UINT16:
        memcpy(&v.u16, p, 2);
        return PyLong_FromLong(v.u16);
    case KIND_UINT32:
        memcpy(&v.u32, p, 4);
        return PyLong_FromUnsignedLong(v.u32);
    case KIND_UINT64:
    case KIND_UINTPTR:
        memcpy(&v.u64, p, 8);
        return PyLong_FromUnsignedLongLong(v.u64);
    case KIND_FLOAT32:
        memcpy(&v.f32, p, 4);
        return PyFloat_FromDouble(v.f32);
    case KIND_FLOAT64:
        memcpy(&v.f64, p, 8);
        return PyFloat_FromDouble(v.f64);
    case KIND_PTR:
    case KIND_STRING:
    case KIND_SLICE:
    case KIND_INTERFACE: {
        PyObject *target = codec_target(state, c, at);
        return target == NULL ? NULL
                              : handle_load(state, e, target, self,
                                            off + codec_ref_offset(c));
    }
    case KIND_EMBED:
    case KIND_FIXED:
        return handle_view(state, e, self, (class_object *)c->target, off);
    case NUM_KINDS:
        break;
    }
    Py_UNREACHABLE();
}

// ---- Field -----------------------------------------------------------------------

// Field(name, offset, code, size, target): only goheap.types makes them.
static PyObject *
field_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *name, *target;
    unsigned long long offset, size;
    int code;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0) {
        PyErr_SetString(PyExc_TypeError, "a field is made by a struct class");
        return NULL;
    }
    if (PyTuple_GET_SIZE(args) != 5) {
        PyErr_Format(PyExc_TypeError,
                     "%s is a kind of field: annotate with it in a class of "
                     "gh.Struct", type->tp_name);
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "UKiKO:Field", &name, &offset, &code, &size,
                          &target)) {
        return NULL;
    }
    codec c;
    if (codec_init(&c, code, size, target) < 0) {
        return NULL;
    }
    field_object *self = (field_object *)type->tp_alloc(type, 0);
    if (self == NULL) {
        codec_clear(&c);
        return NULL;
    }
    self->name = Py_NewRef(name);
    self->offset = offset;
    self->codec = c;
    return (PyObject *)self;
}

static int
field_traverse(PyObject *self, visitproc visit, void *arg)
{
    field_object *f = (field_object *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(f->name);
    Py_VISIT(f->codec.target);
    Py_VISIT(f->codec.name);
    Py_VISIT(f->owner);
    return 0;
}

static int
field_clear(PyObject *self)
{
    field_object *f = (field_object *)self;
    Py_CLEAR(f->owner);
    codec_clear(&f->codec);
    return 0;
}

static void
field_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)field_clear(self);
    Py_CLEAR(((field_object *)self)->name);
    type->tp_free(self);
    Py_DECREF(type);
}

// field_self checks that obj is a handle of the field's own class.
static inline int
field_self(const field_object *f, PyObject *obj)
{
    if ((PyObject *)Py_TYPE(obj) == (PyObject *)f->owner) {
        return 0;
    }
    if (f->owner == NULL) {
        PyErr_Format(PyExc_TypeError, "%U is no field of a struct yet", f->name);
    } else {
        PyErr_Format(PyExc_TypeError, "%U is a field of %s, not of '%.100s'",
                     f->name, f->owner->type.ht_type.tp_name,
                     Py_TYPE(obj)->tp_name);
    }
    return -1;
}

static PyObject *
field_get(PyObject *self, PyObject *obj, PyObject *Py_UNUSED(owner))
{
    field_object *f = (field_object *)self;
    if (obj == NULL || obj == Py_None) {
        return Py_NewRef(self);
    }
    if (field_self(f, obj) < 0) {
        return NULL;
    }
    module_state *state = f->owner->state;
    const handle_object *h = (handle_object *)obj;
    heap_entry *e = handle_use(state, h);
    if (e == NULL) {
        return NULL;
    }
    const place at = {.field = f, .cls = f->owner};
    PyObject *result = codec_get(state, e, &f->codec, &at, h, f->offset);
    entry_unuse(state, e);
    return result;
}

static int
field_set(PyObject *self, PyObject *obj, PyObject *value)
{
    field_object *f = (field_object *)self;
    if (field_self(f, obj) < 0) {
        return -1;
    }
    if (value == NULL) {
        PyErr_Format(PyExc_AttributeError,
                     "field %U of %s can be set, not deleted", f->name,
                     f->owner->type.ht_type.tp_name);
        return -1;
    }
    module_state *state = f->owner->state;
    const handle_object *h = (handle_object *)obj;
    const place at = {.field = f, .cls = f->owner};
    // Converting may run Python code, which may end the heap: first that.
    cell v;
    if (codec_convert(state, &f->codec, &at, h->heap, value, &v) < 0) {
        return -1;
    }
    heap_entry *e = handle_use(state, h);
    if (e == NULL) {
        return -1;
    }
    const int status = codec_put(state, e, &f->codec, &at, h, f->offset, &v);
    entry_unuse(state, e);
    return status;
}

static PyObject *
field_repr(PyObject *self)
{
    const field_object *f = (field_object *)self;
    if (f->owner == NULL) {
        return PyUnicode_FromFormat("<field %U: %s>", f->name,
                                    Py_TYPE(self)->tp_name);
    }
    return PyUnicode_FromFormat(
        "<field %s.%U: %s at %llu>", f->owner->type.ht_type.tp_name, f->name,
        Py_TYPE(self)->tp_name, (unsigned long long)f->offset);
}

static PyObject *
field_name(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(((field_object *)self)->name);
}

static PyObject *
field_offset(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(((field_object *)self)->offset);
}

static PyObject *
field_size(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(((field_object *)self)->codec.size);
}

// _target: what a pointer points at or what is embedded, for goheap.types.
static PyObject *
field_target(PyObject *self, void *Py_UNUSED(closure))
{
    const codec *c = &((field_object *)self)->codec;
    PyObject *t = c->target != NULL ? c->target : c->name;
    return Py_NewRef(t == NULL ? Py_None : t);
}

static PyObject *
field_owner(PyObject *self, void *Py_UNUSED(closure))
{
    class_object *c = ((field_object *)self)->owner;
    return Py_NewRef(c == NULL ? Py_None : (PyObject *)c);
}

static PyMethodDef field_methods[] = {
    // Field[int] is for annotations and type checkers.
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef field_getset[] = {
    {"name", field_name, NULL, "The field's name.", NULL},
    {"offset", field_offset, NULL, "Bytes from the start of the struct.", NULL},
    {"size", field_size, NULL, "Bytes.", NULL},
    {"_target", field_target, NULL, NULL, NULL},
    {"_owner", field_owner, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot field_slots[] = {
    {Py_tp_doc, "One field of a struct, as a class attribute: where it lies in "
                "the layout."},
    {Py_tp_new, (void *)(uintptr_t)field_new},
    {Py_tp_dealloc, (void *)(uintptr_t)field_dealloc},
    {Py_tp_traverse, (void *)(uintptr_t)field_traverse},
    {Py_tp_clear, (void *)(uintptr_t)field_clear},
    {Py_tp_descr_get, (void *)(uintptr_t)field_get},
    {Py_tp_descr_set, (void *)(uintptr_t)field_set},
    {Py_tp_repr, (void *)(uintptr_t)field_repr},
    {Py_tp_methods, field_methods},
    {Py_tp_getset, field_getset},
    {0, NULL},
};

static PyType_Spec field_spec = {
    .name = "goheap._core.Field",
    .basicsize = sizeof(field_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = field_slots,
};

int
field_type_init(PyObject *module, module_state *state)
{
    state->field_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &field_spec, NULL);
    if (state->field_type == NULL) {
        return -1;
    }
    return PyModule_AddType(module, state->field_type);
}
