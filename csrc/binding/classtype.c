// classtype.c: the C part of the metaclass of handle classes.
//
// goheap.types.StructMeta derives from it, reads annotations and computes the
// layout; here the layout is checked, turned into a pointer mask and fixed for
// good. What memory safety rests on is decided in this file alone: instances
// stay handle_objects without a dict, a class with a layout has no subclass and
// no other layout, and nothing of it can be reassigned [inv:handle.class].

#include "binding.h"

#include <stdlib.h>
#include <string.h>

#include "structmember.h"

#define MAX_STRUCT_BYTES ((uint64_t)1 << 30)

static int
check_instances(PyTypeObject *type, const module_state *state)
{
    if (type->tp_basicsize != (Py_ssize_t)sizeof(handle_object)
        || type->tp_dictoffset != 0 || type->tp_weaklistoffset != 0
        || !PyType_IsSubtype(type, state->handle_type)) {
        PyErr_Format(PyExc_TypeError,
                     "%s: instances of a handle class hold nothing but the "
                     "handle", type->tp_name);
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(type->tp_bases); i++) {
        PyObject *base = PyTuple_GET_ITEM(type->tp_bases, i);
        if (class_check(state, base) && ((class_object *)base)->ready) {
            PyErr_Format(PyExc_TypeError,
                         "%s: %s has a layout and no subclass; embed it "
                         "instead", type->tp_name,
                         ((PyTypeObject *)base)->tp_name);
            return -1;
        }
    }
    return 0;
}

static PyObject *
meta_new(PyTypeObject *meta, PyObject *args, PyObject *kwargs)
{
    PyObject *module = PyType_GetModuleByDef(meta, &goheap_module_def);
    if (module == NULL) {
        return NULL;
    }
    module_state *state = PyModule_GetState(module);
    PyObject *self = PyType_Type.tp_new(meta, args, kwargs);
    if (self == NULL) {
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)self;
    class_object *c = (class_object *)self;
    if (!PyObject_TypeCheck(self, state->meta_type)
        || check_instances(type, state) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    c->state = state;
    c->module = Py_NewRef(module);
    c->fixed_n = -1;
    c->cache = PyDict_New();
    if (c->cache == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    // Every class statement asks for tracked instances. A handle refers to its
    // class alone, and classes are not collected before their handles.
    type->tp_flags &= ~Py_TPFLAGS_HAVE_GC;
    type->tp_traverse = NULL;
    type->tp_clear = NULL;
    type->tp_free = PyObject_Free;
    type->tp_dealloc = handle_dealloc;
    type->tp_flags |= Py_TPFLAGS_IMMUTABLETYPE;
    return self;
}

static int
meta_traverse(PyObject *self, visitproc visit, void *arg)
{
    class_object *c = (class_object *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(c->module);
    Py_VISIT(c->fields);
    Py_VISIT(c->cache);
    Py_VISIT(c->elem.target);
    Py_VISIT(c->elem.name);
    return PyType_Type.tp_traverse(self, visit, arg);
}

static int
meta_clear(PyObject *self)
{
    // module stays until the end: handles that still exist find their heap
    // through it, and module_clear breaks the cycles that lead through it.
    class_object *c = (class_object *)self;
    Py_CLEAR(c->fields);
    Py_CLEAR(c->cache);
    codec_clear(&c->elem);
    return PyType_Type.tp_clear(self);
}

static void
meta_dealloc(PyObject *self)
{
    PyTypeObject *meta = Py_TYPE(self);
    class_object *c = (class_object *)self;
    PyObject_GC_UnTrack(self);
    Py_CLEAR(c->fields);
    Py_CLEAR(c->cache);
    codec_clear(&c->elem);
    PyObject *module = c->module;
    free(c->mask);
    c->mask = NULL;
    PyObject_GC_Track(self);
    PyType_Type.tp_dealloc(self);
    Py_XDECREF(module);
    Py_DECREF(meta);
}

static PyType_Slot meta_slots[] = {
    {Py_tp_doc, "C part of the metaclass of handle classes."},
    {Py_tp_new, (void *)(uintptr_t)meta_new},
    {Py_tp_dealloc, (void *)(uintptr_t)meta_dealloc},
    {Py_tp_traverse, (void *)(uintptr_t)meta_traverse},
    {Py_tp_clear, (void *)(uintptr_t)meta_clear},
    {0, NULL},
};

static PyType_Spec meta_spec = {
    .name = "goheap._core.ClassMeta",
    .basicsize = sizeof(class_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = meta_slots,
};

int
class_type_init(PyObject *module, module_state *state)
{
    PyObject *bases = PyTuple_Pack(1, &PyType_Type);
    if (bases == NULL) {
        return -1;
    }
    state->meta_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &meta_spec, bases);
    Py_DECREF(bases);
    if (state->meta_type == NULL) {
        return -1;
    }
    return PyModule_AddType(module, state->meta_type);
}

class_object *
class_at(class_object *c, uint64_t off)
{
    while (off != 0) {
        const codec *inner = NULL;
        if (c->role == ROLE_ARRAY) {
            if (c->elem.size == 0) {
                return NULL;
            }
            off %= c->elem.size;
            inner = &c->elem;
        } else if (c->role == ROLE_STRUCT) {
            PyObject *name, *value;
            Py_ssize_t pos = 0;
            while (PyDict_Next(c->fields, &pos, &name, &value)) {
                const field_object *f = (field_object *)value;
                if (off >= f->offset && off - f->offset < f->codec.size) {
                    off -= f->offset;
                    inner = &f->codec;
                    break;
                }
            }
        }
        if (inner == NULL
            || (inner->kind != KIND_EMBED && inner->kind != KIND_FIXED)) {
            return NULL;
        }
        c = (class_object *)inner->target;
    }
    return c;
}

// set_mask gives c the pointer words that codec_words finds. nwords is the
// number of whole words of what is described.
static int
set_mask(class_object *c, uint64_t *mask, uint64_t nwords)
{
    uint64_t last = 0;
    for (uint64_t w = 0; w < nwords; w++) {
        if ((mask[w / 64] >> (w % 64) & 1) != 0) {
            last = w + 1;
        }
    }
    c->ptrdata = last * 8;
    if (last == 0) {
        free(mask);
        mask = NULL;
    }
    c->mask = mask;
    return 0;
}

static class_object *
unready_class(module_state *state, PyObject *cls, PyObject *base)
{
    if (!class_check(state, cls)
        || !PyType_IsSubtype((PyTypeObject *)cls, (PyTypeObject *)base)
        || cls == base) {
        PyErr_SetString(PyExc_TypeError, "not a class of handles to be given a "
                                         "layout");
        return NULL;
    }
    class_object *c = (class_object *)cls;
    if (c->ready) {
        PyErr_Format(PyExc_TypeError, "%s has its layout already",
                     c->type.ht_type.tp_name);
        return NULL;
    }
    return c;
}

static bool
is_align(unsigned long a)
{
    return a == 1 || a == 2 || a == 4 || a == 8;
}

// check_field says whether f fits into size bytes where it lies.
static bool
check_field(const field_object *f, uint64_t size)
{
    return f->owner == NULL && f->codec.size <= size
           && f->offset <= size - f->codec.size
           && (f->offset % 8 == 0 || !codec_has_pointers(&f->codec));
}

// class_finish(cls, fields, size, align): fix the layout of a struct class.
PyObject *
class_finish(PyObject *module, PyObject *args)
{
    module_state *state = PyModule_GetState(module);
    PyObject *cls, *fields;
    unsigned long long size;
    unsigned long align;
    if (!PyArg_ParseTuple(args, "OO!Kk:class_finish", &cls, &PyTuple_Type,
                          &fields, &size, &align)) {
        return NULL;
    }
    class_object *c = unready_class(state, cls, state->struct_);
    if (c == NULL) {
        return NULL;
    }
    if (size > MAX_STRUCT_BYTES) {
        PyErr_Format(PyExc_OverflowError,
                     "%s: a struct has at most %llu bytes, not %llu",
                     c->type.ht_type.tp_name,
                     (unsigned long long)MAX_STRUCT_BYTES, size);
        return NULL;
    }
    const Py_ssize_t n = PyTuple_GET_SIZE(fields);
    // With a subclass its handles would pass for handles of this class.
    PyObject *subclasses = PyObject_CallMethod(cls, "__subclasses__", NULL);
    if (subclasses == NULL) {
        return NULL;
    }
    const Py_ssize_t nsub = PyList_Check(subclasses)
                                ? PyList_GET_SIZE(subclasses) : 1;
    Py_DECREF(subclasses);
    if (n > 0 && nsub > 0) {
        PyErr_Format(PyExc_TypeError, "%s has subclasses and gets no fields",
                     c->type.ht_type.tp_name);
        return NULL;
    }
    const uint64_t nwords = size / 8;
    PyObject *by_name = PyDict_New();
    uint64_t *mask = calloc((nwords + 63) / 64 + 1, sizeof(*mask));
    if (by_name == NULL || mask == NULL || !is_align(align)) {
        if (by_name != NULL && mask != NULL) {
            PyErr_SetString(PyExc_ValueError, "class_finish: align");
        } else if (mask == NULL) {
            PyErr_NoMemory();
        }
        goto fail;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PyTuple_GET_ITEM(fields, i);
        field_object *f = (field_object *)item;
        if (!PyObject_TypeCheck(item, state->field_type)
            || !check_field(f, size)) {
            PyErr_SetString(PyExc_ValueError, "class_finish: field");
            goto fail;
        }
        codec_words(&f->codec, f->offset, mask);
        if (PyDict_SetItem(by_name, f->name, item) < 0) {
            goto fail;
        }
    }
    c->type.ht_type.tp_flags &= ~Py_TPFLAGS_IMMUTABLETYPE;
    int status = 0;
    for (Py_ssize_t i = 0; i < n && status == 0; i++) {
        field_object *f = (field_object *)PyTuple_GET_ITEM(fields, i);
        status = PyObject_SetAttr(cls, f->name, (PyObject *)f);
    }
    c->type.ht_type.tp_flags |= Py_TPFLAGS_IMMUTABLETYPE;
    if (status < 0) {
        goto fail;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        field_object *f = (field_object *)PyTuple_GET_ITEM(fields, i);
        f->owner = (class_object *)Py_NewRef(cls);
    }
    c->role = ROLE_STRUCT;
    c->size = size;
    c->align = (uint32_t)align;
    c->fields = by_name;
    if (set_mask(c, mask, nwords) < 0) {
        return NULL;
    }
    c->ready = true;
    Py_RETURN_NONE;

fail:
    Py_XDECREF(by_name);
    free(mask);
    return NULL;
}

// class_finish_array(cls, code, size, align, target, n): fix the layout of an
// array class; n < 0: as many elements as the object has.
PyObject *
class_finish_array(PyObject *module, PyObject *args)
{
    module_state *state = PyModule_GetState(module);
    PyObject *cls, *target;
    int code;
    unsigned long long size;
    unsigned long align;
    long long n;
    if (!PyArg_ParseTuple(args, "OiKkOL:class_finish_array", &cls, &code, &size,
                          &align, &target, &n)) {
        return NULL;
    }
    class_object *c = unready_class(state, cls, state->array);
    if (c == NULL) {
        return NULL;
    }
    if (!is_align(align) || size > MAX_STRUCT_BYTES
        || (n > 0 && size > 0 && (uint64_t)n > MAX_STRUCT_BYTES / size)) {
        PyErr_Format(PyExc_OverflowError,
                     "%s: an array inside an object has at most %llu bytes",
                     c->type.ht_type.tp_name,
                     (unsigned long long)MAX_STRUCT_BYTES);
        return NULL;
    }
    codec elem;
    if (codec_init(&elem, code, size, target) < 0) {
        return NULL;
    }
    const uint64_t count = n < 0 ? 1 : (uint64_t)n;
    const uint64_t nwords = count * size / 8;
    uint64_t *mask = calloc((nwords + 63) / 64 + 1, sizeof(*mask));
    if (mask == NULL) {
        codec_clear(&elem);
        return PyErr_NoMemory();
    }
    if (codec_has_pointers(&elem)) {
        for (uint64_t i = 0; i < count; i++) {
            codec_words(&elem, i * size, mask);
        }
    }
    c->role = ROLE_ARRAY;
    c->elem = elem;
    c->fixed_n = n < 0 ? -1 : n;
    c->size = n < 0 ? 0 : count * size;
    c->align = (uint32_t)align;
    (void)set_mask(c, mask, nwords);
    c->ready = true;
    Py_RETURN_NONE;
}

// class_finish_words(cls, size, mask): fix the layout of a class of words; mask
// has a bit for each word, little-endian bytes.
PyObject *
class_finish_words(PyObject *module, PyObject *args)
{
    module_state *state = PyModule_GetState(module);
    PyObject *cls;
    unsigned long long size;
    const char *bytes;
    Py_ssize_t nbytes;
    if (!PyArg_ParseTuple(args, "OKy#:class_finish_words", &cls, &size, &bytes,
                          &nbytes)) {
        return NULL;
    }
    class_object *c = unready_class(state, cls, state->words);
    if (c == NULL) {
        return NULL;
    }
    const uint64_t nwords = size / 8;
    if (size > MAX_STRUCT_BYTES || (uint64_t)nbytes != (nwords + 7) / 8) {
        PyErr_SetString(PyExc_ValueError, "class_finish_words: size");
        return NULL;
    }
    uint64_t *mask = calloc((nwords + 63) / 64 + 1, sizeof(*mask));
    if (mask == NULL) {
        return PyErr_NoMemory();
    }
    for (uint64_t w = 0; w < nwords; w++) {
        if (((unsigned char)bytes[w / 8] >> (w % 8) & 1) != 0) {
            mask[w / 64] |= (uint64_t)1 << (w % 64);
        }
    }
    c->role = ROLE_WORDS;
    c->size = size;
    c->align = 8;
    while (size % c->align != 0) {
        c->align /= 2;
    }
    (void)set_mask(c, mask, nwords);
    c->ready = true;
    Py_RETURN_NONE;
}

// class_cache(cls): the dict in which goheap.types keeps array classes.
PyObject *
class_cache(PyObject *module, PyObject *cls)
{
    module_state *state = PyModule_GetState(module);
    if (!class_check(state, cls) || ((class_object *)cls)->cache == NULL) {
        PyErr_SetString(PyExc_TypeError, "not a class of handles");
        return NULL;
    }
    return Py_NewRef(((class_object *)cls)->cache);
}

// class_layout(cls): (role, size, align, ptrdata, mask, fields, kind, target,
// n), or None while there is no layout. Of an array: of one element, if its
// length is the object's.
PyObject *
class_layout(PyObject *module, PyObject *cls)
{
    module_state *state = PyModule_GetState(module);
    if (!class_check(state, cls)) {
        PyErr_SetString(PyExc_TypeError, "not a class of handles");
        return NULL;
    }
    const class_object *c = (class_object *)cls;
    if (!c->ready) {
        Py_RETURN_NONE;
    }
    const Py_ssize_t nbytes = (Py_ssize_t)((c->ptrdata / 8 + 7) / 8);
    PyObject *mask = PyBytes_FromStringAndSize(NULL, nbytes);
    if (mask == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < nbytes; i++) {
        PyBytes_AS_STRING(mask)[i] = (char)(c->mask[i / 8] >> (i % 8 * 8));
    }
    const bool array = c->role == ROLE_ARRAY;
    PyObject *none = Py_None;
    return Py_BuildValue(
        "iKkKNOiOL", (int)c->role,
        (unsigned long long)(array && c->fixed_n < 0 ? c->elem.size : c->size),
        (unsigned long)c->align, (unsigned long long)c->ptrdata, mask,
        c->fields != NULL ? c->fields : none,
        array ? (int)c->elem.kind : -1,
        !array ? none
               : c->elem.target != NULL ? c->elem.target
               : c->elem.name != NULL ? c->elem.name : none,
        (long long)c->fixed_n);
}
