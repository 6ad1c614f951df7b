// binding.h: what the files of csrc/binding share. Never included by the core.
//
// The binding converts: Python values in, gh_* values out, statuses to
// exceptions. It decides nothing about memory. One file for each Python type,
// one for the module.
//
// Objects. A handle (handle_object) is 32 bytes: no gc header, no dict, no weak
// references, and no Python object but its class. It finds its heap by number
// in the table of the module state, so it holds no heap alive and may outlive
// one: then it is dead [inv:handle.dead]. A class of handles (class_object) is
// a Python class whose metaclass adds the layout; classes are immutable, so
// that no handle can be given another class than the one its object was made
// for [inv:handle.class].
//
// Threads. Every operation on a heap is a function on a gh_mut (op_fn), run by
// entry_run: with the GIL held when the heap is free at once, else detached
// from the interpreter, so that nobody waits for a P while holding the GIL
// [inv:binding.nowait]. The holder of a P may wait for the GIL, after a cycle
// that it was detached for: whoever has the GIL does not wait for the P, so the
// wait ends. Such a function touches no Python object.
//
// On builds without the GIL the table is read without a lock: entries are never
// freed while the module lives, and a use count decides who ends a heap.

#ifndef GOHEAP_BINDING_H
#define GOHEAP_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "goheap.h"

// ---- heaps by number ---------------------------------------------------------

#define HEAP_INDEX_BITS 16
#define HEAP_CHUNK      256u  // entries; as many chunks

typedef struct class_object class_object;
typedef struct module_state module_state;
typedef struct fault_run fault_run;
typedef struct tap tap;
typedef struct lost_note lost_note;
typedef struct handle_object handle_object;

// type_slot is a class that a heap knows and the type made for it.
typedef struct type_slot {
    class_object *cls;    // owned reference
    _Atomic(const gh_type *) type;  // NULL: not yet made; set by the holder of a
                                    // P, once: another one's is left unused
} type_slot;

// p_choice is what heap.on_p chose for one thread.
typedef struct p_choice {
    unsigned long thread;
    int32_t p;
} p_choice;

#define HANDLE_SPARES 32u

#define ENTRY_DEAD  ((uint64_t)1 << 63)
#define ENTRY_ENDED ((uint64_t)1 << 62)

// END_FORKED: it came here by a fork while others were inside, or with threads that
// stayed behind. It can be ended, and nothing else.
typedef enum heap_end { END_NONE, END_CLOSED, END_GONE, END_FORKED } heap_end;

// heap_entry is one place of the table: what the binding keeps of a heap.
typedef struct heap_entry {
    // Number of operations under way; ENTRY_DEAD when no further one may
    // begin. Whoever takes it from ENTRY_DEAD + 0 to ENTRY_DEAD | ENTRY_ENDED
    // ends the heap. Late comers still count up and down: they find the
    // number of another generation and go.
    _Atomic uint64_t users;
    _Atomic uint32_t id;    // generation << 16 | index of the present heap
    gh_heap *heap;
    PyObject *weak;         // weak reference to the Heap; owned
    // Under the table's lock. Slots are found by class, open addressing; they
    // do not move.
    type_slot **types;
    uint32_t ntypes, types_cap;
    p_choice *choices;
    _Atomic uint32_t nchoices;
    uint32_t choices_cap;
    uint32_t next_free;     // index + 1 of the next free entry
    heap_end end;           // how the heap of the last generation ended
    // It was ending, or had ended, at a fork: blocks of roots that it holds are lost.
    atomic_bool lost;
    tap *taps;              // listening: see watch.c. The holder's of a P
    // Of a heap whose barrier may lose objects: its scalars are read with a check.
    bool can_lose;
    module_state *state;    // that the table is in
    // Handles that were dropped, with their slots, which are empty. With a GIL only.
    uint32_t nspares;
    handle_object *spare[HANDLE_SPARES];
} heap_entry;

// runner is a thread that runs a heap's calls: see callbacks.c.
typedef struct runner {
    struct runner *next;
    unsigned long thread;
    long pid;       // a forked child has no other threads
    uint32_t heap;  // heap_entry.id
} runner;

typedef struct heap_table {
    _Atomic(heap_entry *) chunk[HEAP_CHUNK];
    uint32_t made;       // entries handed out so far
    long pid;            // of who made the table, or heard of being forked
    uint32_t free_head;  // index + 1, 0: none
    PyThread_type_lock lock;
    runner *runners;     // in their C frames
} heap_table;

// ---- module state --------------------------------------------------------------

// Everything that would otherwise be a C global. One per module object, hence
// one per interpreter: types and exceptions are never shared between them.
struct module_state {
    PyTypeObject *handle_type;  // C part of Ref
    PyTypeObject *array_part;   // C part of Array
    PyTypeObject *block_part;   // C part of Block
    PyTypeObject *meta_type;    // C part of the metaclass
    PyTypeObject *field_type;   // base of the field kinds
    PyTypeObject *words_part;   // C part of Words
    PyTypeObject *iter_type;    // iterator over an Array
    PyTypeObject *roots_type;
    PyObject *pin_type;         // what Heap.pin gives
    PyTypeObject *heap_type;    // C part of Heap
    PyObject *ref;              // classes of handles, made at exec
    PyObject *struct_;
    PyObject *array;
    PyObject *block;
    PyObject *words;
    PyObject *heap_error;       // from goheap.errors
    PyObject *closed_error;
    PyObject *foreign_error;
    PyObject *state_error;
    PyObject *memory_error;
    PyObject *corruption_error;
    PyObject *script_error;
    PyObject *types;            // goheap.types, imported at first need
    heap_table heaps;
    fault_run *faults;          // of fault_begin; owned; NULL: off
    bool portable_kernels;      // heaps made from now on: see gh_policy
    PyObject *lost_error;       // from goheap.errors
    // What the last operation that met a lost object found out about it; taken
    // by whoever makes an exception of it.
    _Atomic(lost_note *) lost;
};

extern PyModuleDef goheap_module_def;  // constant: see module.c

// state_of_type finds the state through a type made by this module.
static inline module_state *
state_of_type(PyTypeObject *type)
{
    PyObject *module = PyType_GetModuleByDef(type, &goheap_module_def);
    return module == NULL ? NULL : PyModule_GetState(module);
}

// state_types returns goheap.types (borrowed), or NULL with an exception.
PyObject *state_types(module_state *state);

// ---- codecs: how a value lies in memory -----------------------------------------

typedef enum kind {
    KIND_BOOL, KIND_INT8, KIND_INT16, KIND_INT32, KIND_INT64,
    KIND_UINT8, KIND_UINT16, KIND_UINT32, KIND_UINT64, KIND_UINTPTR,
    KIND_FLOAT32, KIND_FLOAT64,
    KIND_PTR,     // target: class of handles, None: any, NULL: look up name
    KIND_EMBED,   // target: struct class
    KIND_FIXED,   // target: array class with a length
    // Go's types of two or three words of which one is a pointer; target: None.
    KIND_STRING, KIND_SLICE, KIND_INTERFACE,
    NUM_KINDS
} kind;

typedef struct codec {
    kind kind;
    uint64_t size;     // bytes
    PyObject *target;  // owned; NULL for scalars
    PyObject *name;    // owned; of a pointer's target, else NULL
} codec;

// ---- classes of handles -----------------------------------------------------------

typedef enum class_role {
    ROLE_ABSTRACT,  // Ref, Struct, Array: no object is of this class alone
    ROLE_STRUCT, ROLE_ARRAY, ROLE_BLOCK,
    ROLE_WORDS       // by size and pointer mask, without fields
} class_role;

struct class_object {
    PyHeapTypeObject type;  // first: a class is a type
    module_state *state;    // of module
    PyObject *module;       // owned: keeps state alive
    class_role role;
    bool ready;             // the layout stands; never changes afterwards
    uint64_t size;          // of the struct, of a fixed array; else 0
    uint32_t align;
    uint64_t ptrdata;
    uint64_t *mask;         // (ptrdata/8+63)/64 words; NULL if ptrdata is 0
    PyObject *fields;       // dict, name -> Field, in order; of structs
    PyObject *cache;        // dict for goheap.types: array classes by length
    codec elem;             // of arrays
    int64_t fixed_n;        // of arrays inside objects; -1: the object tells
};

// class_check reports whether o is a class of handles.
static inline bool
class_check(const module_state *state, PyObject *o)
{
    return PyType_Check(o) && PyObject_TypeCheck(o, state->meta_type);
}

// class_is_pointer reports whether word of an element of c may hold a pointer.
static inline bool
class_is_pointer(const class_object *c, uint64_t word)
{
    return word * 8 < c->ptrdata && (c->mask[word / 64] >> (word % 64) & 1) != 0;
}

// class_at finds what begins off bytes into an object of class c: the class
// itself, an element, an embedded struct or array. NULL: nothing of its own.
class_object *class_at(class_object *c, uint64_t off);

// ---- handles ------------------------------------------------------------------------

#define HANDLE_ADDR_BITS 48
#define HANDLE_ADDR_MASK (((uint64_t)1 << HANDLE_ADDR_BITS) - 1)

struct handle_object {
    PyObject_HEAD
    uint64_t addr_len;  // address as shown; above it length + 1 of short arrays
                        // and blocks, 0: the heap knows
    uint32_t slot;      // gh_handle number; 0: none
    uint32_t heap;      // heap_entry.id
};

#if !defined(Py_GIL_DISABLED) && !defined(Py_TRACE_REFS)
_Static_assert(sizeof(handle_object) == 32, "a handle is 32 bytes");
#endif

static inline uint64_t
handle_addr(const handle_object *h)
{
    return h->addr_len & HANDLE_ADDR_MASK;
}

static inline class_object *
handle_class(const handle_object *h)
{
    return (class_object *)Py_TYPE(h);
}

// handle_check reports whether o is a handle.
static inline bool
handle_check(const module_state *state, PyObject *o)
{
    return PyObject_TypeCheck(o, state->handle_type);
}

// A length that needs no question to the heap, or -1.
#define HANDLE_LEN_MAX 65534u
static inline int64_t
handle_short_len(const handle_object *h)
{
    return (int64_t)(h->addr_len >> HANDLE_ADDR_BITS) - 1;
}

// ---- heaptable.c -----------------------------------------------------------------------

int table_init(heap_table *t);
void table_fini(heap_table *t);
// table_forked finds, in the child of a fork, the heaps that are no good there.
void table_forked(heap_table *t);
// table_lost: who was ending the heap is not in this process, a child of its own.
bool table_lost(heap_table *t, uint32_t id);

// table_add enters heap and returns its entry; NULL with an exception.
heap_entry *table_add(module_state *state, gh_heap *heap, PyObject *owner);

static inline heap_entry *
table_entry(heap_table *t, uint32_t id)
{
    const uint32_t i = id & ((1u << HEAP_INDEX_BITS) - 1);
    heap_entry *chunk = atomic_load_explicit(&t->chunk[i / HEAP_CHUNK],
                                             memory_order_acquire);
    return chunk == NULL ? NULL : &chunk[i % HEAP_CHUNK];
}

// entry_end frees the heap if nobody did and no operation is under way.
void entry_end(module_state *state, heap_entry *e);

static inline void
entry_unuse(module_state *state, heap_entry *e)
{
#ifdef Py_GIL_DISABLED
    const uint64_t left = atomic_fetch_sub(&e->users, 1) - 1;
#else
    const uint64_t left =
        atomic_load_explicit(&e->users, memory_order_relaxed) - 1;
    atomic_store_explicit(&e->users, left, memory_order_relaxed);
#endif
    if (left == ENTRY_DEAD) {
        entry_end(state, e);
    }
}

// entry_use begins an operation on the heap with that number; NULL, without an
// exception, if it has ended. entry_unuse ends the operation, attached to the
// interpreter. entry_use_of is entry_use for who knows the entry, or has NULL.
static inline heap_entry *
entry_use_of(module_state *state, heap_entry *e, uint32_t id)
{
#ifdef Py_GIL_DISABLED
    if (e == NULL) {
        return NULL;
    }
    const uint64_t users = atomic_fetch_add(&e->users, 1);
    if ((users & ENTRY_DEAD) != 0 || atomic_load(&e->id) != id) {
        entry_unuse(state, e);
        return NULL;
    }
#else
    (void)state;
    if (e == NULL || atomic_load_explicit(&e->id, memory_order_relaxed) != id) {
        return NULL;
    }
    const uint64_t users = atomic_load_explicit(&e->users, memory_order_relaxed);
    if ((users & ENTRY_DEAD) != 0) {
        return NULL;
    }
    atomic_store_explicit(&e->users, users + 1, memory_order_relaxed);
#endif
    return e;
}

static inline heap_entry *
entry_use(module_state *state, uint32_t id)
{
    return entry_use_of(state, table_entry(&state->heaps, id), id);
}

// entry_alone: no operation but the caller's is under way, so no other thread is in
// the heap, comes in or waits to [inv:binding.alone]. While the caller has the GIL
// it stays so.
static inline bool
entry_alone(const heap_entry *e)
{
#ifdef Py_GIL_DISABLED
    (void)e;
    return false;
#else
    return atomic_load_explicit(&e->users, memory_order_relaxed) == 1;
#endif
}

// entry_quiet is entry_alone for who has not begun an operation and needs none: no
// Python code runs and nobody waits before it is done. id is the heap's number.
static inline bool
entry_quiet(const heap_entry *e, uint32_t id)
{
#ifdef Py_GIL_DISABLED
    (void)e;
    (void)id;
    return false;
#else
    return e != NULL && atomic_load_explicit(&e->users, memory_order_relaxed) == 0
           && atomic_load_explicit(&e->id, memory_order_relaxed) == id;
#endif
}

// entry_leave gives m back. A cycle may have let others at the GIL since entering.
static inline void
entry_leave(const heap_entry *e, gh_mut *m)
{
    if (entry_alone(e)) {
        gh_leave_alone(m);
    } else {
        gh_leave(m);
    }
}

static inline gh_status
entry_enter(const heap_entry *e, int32_t p, gh_mut **out)
{
    return entry_alone(e) ? gh_enter_alone(e->heap, p, out)
                          : gh_try_enter(e->heap, p, out);
}

// entry_hold is entry_use for what must be given back: it also finds a heap that
// no new operation may enter but that others are still inside. NULL: the heap
// has ended, or is ending.
heap_entry *entry_hold(module_state *state, uint32_t id);

// entry_try_close marks e dead if no operation is under way; false otherwise.
bool entry_try_close(heap_entry *e);
// entry_kill marks e dead; the heap ends now or with the last operation.
void entry_kill(module_state *state, heap_entry *e);

// runner_enter makes r the runner of heap number id; false if it has one, or if
// this thread runs a call already: calls are never nested.
bool runner_enter(heap_table *t, runner *r, uint32_t id);
void runner_leave(heap_table *t, runner *r);

typedef gh_status (*op_fn)(gh_mut *m, void *arg);

// entry_choice is the P that this thread enters on.
int32_t entry_choice(module_state *state, heap_entry *e);
// entry_choose sets it (GH_ANY_P: none) and returns the one before through
// *old; -1 with MemoryError.
int entry_choose(module_state *state, heap_entry *e, int32_t p, int32_t *old);

// entry_run_detached is entry_run for what may take long.
gh_status entry_run_detached(module_state *state, heap_entry *e, op_fn fn,
                             void *arg);

// entry_look_detached is the same for what only looks: it enters on the P that
// was used last, so that asking doesn't choose the P of what comes next.
gh_status entry_look_detached(heap_entry *e, op_fn fn, void *arg);

// entry_around_cycle detaches from the interpreter while a cycle runs, and
// attaches again. So a holder of a P may wait for the GIL, but never somebody
// with the GIL for a P.
void entry_around_cycle(void *arg, bool begins);

// entry_note_lost keeps the path to the object of a GH_ERR_LOST that was just
// returned, for set_status_error.
void entry_note_lost(heap_entry *e, gh_mut *m);

// entry_run runs fn as the holder of a P and returns its status, or that of
// entering. No exception is set, but for GH_AGAIN: a signal handler raised while
// this waited.
static inline gh_status
entry_run(module_state *state, heap_entry *e, op_fn fn, void *arg)
{
    gh_mut *m;
    gh_status st = entry_enter(e, entry_choice(state, e), &m);
    if (st == GH_AGAIN) {
        return entry_run_detached(state, e, fn, arg);
    }
    if (st == GH_OK) {
        PyThreadState *ts;
        gh_around_cycles(m, entry_around_cycle, &ts);
        st = fn(m, arg);
        if (st == GH_ERR_LOST) {
            entry_note_lost(e, m);
        }
        entry_leave(e, m);
    }
    return st;
}

// entry_run_alone is entry_run of what attaches something to objects: nobody else
// may run beside it.
gh_status entry_run_alone(module_state *state, heap_entry *e, op_fn fn,
                          void *arg);

// entry_look is entry_run likewise. Nobody else runs beside it.
static inline gh_status
entry_look(heap_entry *e, op_fn fn, void *arg)
{
    gh_mut *m;
    gh_status st = entry_enter(e, GH_ANY_P, &m);
    if (st == GH_AGAIN) {
        return entry_look_detached(e, fn, arg);
    }
    if (st == GH_OK) {
        PyThreadState *ts;
        gh_around_cycles(m, entry_around_cycle, &ts);
        gh_stop_world(m);
        st = fn(m, arg);
        if (st == GH_ERR_LOST) {
            entry_note_lost(e, m);
        }
        gh_start_world(m);
        entry_leave(e, m);
    }
    return st;
}

// entry_type finds the slot of class c; NULL with MemoryError.
type_slot *entry_type(module_state *state, heap_entry *e, class_object *c);
// entry_type_made is the type of c if the heap has made it; else NULL. With a GIL.
const gh_type *entry_type_made(const heap_entry *e, const class_object *c);
// type_slot_get makes the heap's type if it isn't there. The caller holds a P.
gh_status type_slot_get(gh_mut *m, type_slot *slot, const gh_type **out);

// ---- status.c ----------------------------------------------------------------------------

// set_status_error sets the exception for st, which is not GH_OK; returns NULL
// so that callers can `return set_status_error(...)`. what names the operation.
PyObject *set_status_error(module_state *state, gh_status st, const char *what);
// set_memory_error is the same for an allocation of requested bytes.
PyObject *set_memory_error(module_state *state, heap_entry *e,
                           uint64_t requested, const char *what);
// set_dead_error sets HeapClosedError for an operation on a dead handle.
PyObject *set_dead_error(module_state *state, const handle_object *h);
int import_errors(module_state *state);
// lost_path_take returns the path of the last note, a tuple of labels and
// addresses, and what can be said of it through *says; NULL with an exception.
PyObject *lost_path_take(module_state *state, PyObject **says);

// ---- convert.c -----------------------------------------------------------------------------

// Converters return -1 with an exception whose message begins with what.

// convert_small is what a converter would make of o if it is an int of one digit, as
// most are; false: ask one.
static inline bool
convert_small(PyObject *o, uint64_t *out)
{
    if (!PyLong_CheckExact(o)) {
        return false;
    }
#if PY_VERSION_HEX >= 0x030c0000
    const PyLongObject *n = (const PyLongObject *)o;
    if (!PyUnstable_Long_IsCompact(n) || PyUnstable_Long_CompactValue(n) < 0) {
        return false;
    }
    *out = (uint64_t)PyUnstable_Long_CompactValue(n);
#else
    if ((size_t)Py_SIZE(o) > 1) {  // below zero: negative
        return false;
    }
    *out = Py_SIZE(o) == 0 ? 0 : ((const PyLongObject *)o)->ob_digit[0];
#endif
    return true;
}

// A Size: an int or Go's spelling, at most max.
int convert_size(PyObject *o, const char *what, uint64_t max, uint64_t *out);
// An int in lo..hi.
int convert_int(PyObject *o, const char *what, int64_t lo, int64_t hi,
                int64_t *out);
int convert_uint64(PyObject *o, const char *what, uint64_t *out);
// A Percent; -1 for off.
int convert_percent(PyObject *o, const char *what, int32_t *out);
// A Limit; GH_LIMIT_OFF for off.
int convert_limit(PyObject *o, const char *what, int64_t *out);

// ---- settings.c ------------------------------------------------------------------------------

// The most that a size among the settings may be: one PiB, so that sums of such
// figures stay far from 2**64.
#define MAX_SETTING ((uint64_t)1 << 50)

// Each fills *out from an object of goheap.settings; -1 with an exception. eager
// is what a policy's sweep=None means.
int settings_policy(PyObject *o, bool eager, gh_policy *out);
int settings_debug(PyObject *o, gh_debug *out);
int settings_costs(PyObject *o, gh_costs *out);

// ---- fieldtype.c -----------------------------------------------------------------------------

typedef struct field_object {
    PyObject_HEAD
    PyObject *name;       // str; owned
    uint64_t offset;
    codec codec;
    class_object *owner;  // owned; NULL before the class is finished
} field_object;

// cell is a converted value on its way into an object.
typedef struct cell {
    uint64_t bits;             // scalars, as they lie in memory
    const handle_object *ref;  // pointers (NULL: nil) and structs; borrowed
} cell;

// place says where a value goes, for messages: field, or element index of cls.
typedef struct place {
    const field_object *field;
    const class_object *cls;
    int64_t index;
} place;

extern const uint8_t kind_size[NUM_KINDS];
extern const char *const kind_name[NUM_KINDS];

// codec_init fills c from Python's (code, size, target).
int codec_init(codec *c, int code, uint64_t size, PyObject *target);

void codec_clear(codec *c);

// codec_target returns a pointer's target (borrowed), looking its name up if
// that hasn't been done; NULL with an exception. Python code may run.
PyObject *codec_target(module_state *state, codec *c, const place *at);

// codec_convert checks value for a place in a heap. Python code may run.
int codec_convert(module_state *state, codec *c, const place *at,
                  uint32_t heap, PyObject *value, cell *out);
// codec_put stores it off bytes into what self shows. The heap is in use.
int codec_put(module_state *state, heap_entry *e, const codec *c,
              const place *at, const handle_object *self, uint64_t off,
              const cell *v);
PyObject *codec_get(module_state *state, heap_entry *e, codec *c,
                    const place *at, const handle_object *self, uint64_t off);
// codec_words marks the pointer words of one element off bytes into mask.
void codec_words(const codec *c, uint64_t off, uint64_t *mask);
bool codec_has_pointers(const codec *c);

// codec_is_ref: one word of the value is a pointer, and reading it gives a
// handle; codec_ref_offset says where that word lies.
static inline bool
codec_is_ref(const codec *c)
{
    return c->kind == KIND_PTR || c->kind >= KIND_STRING;
}

static inline uint64_t
codec_ref_offset(const codec *c)
{
    return c->kind == KIND_INTERFACE ? 8 : 0;
}
char codec_format(const codec *c);  // of the buffer protocol; 0: none

int field_type_init(PyObject *module, module_state *state);

// ---- classtype.c ------------------------------------------------------------------------------

int class_type_init(PyObject *module, module_state *state);
PyObject *class_finish(PyObject *module, PyObject *args);
PyObject *class_finish_array(PyObject *module, PyObject *args);
PyObject *class_finish_words(PyObject *module, PyObject *args);
PyObject *class_cache(PyObject *module, PyObject *cls);
PyObject *class_layout(PyObject *module, PyObject *cls);

// ---- reftype.c --------------------------------------------------------------------------------

// handle_make makes a handle of class cls for slot number id, which it takes
// over: on failure the slot is dropped. len < 0: not known. spare: the object of
// handle_take, whose slot that is, or NULL.
PyObject *handle_make(heap_entry *e, handle_object *spare, uint32_t heap_id,
                      class_object *cls, uint32_t id, uint64_t addr, int64_t len);
// handle_init makes a handle of a spare one, whose slot holds the object.
static inline PyObject *
handle_init(handle_object *spare, uint32_t heap_id, class_object *cls,
            uint64_t addr, int64_t len)
{
    handle_object *h =
        (handle_object *)PyObject_Init((PyObject *)spare, &cls->type.ht_type);
    const uint64_t tag = (uint64_t)len <= HANDLE_LEN_MAX ? (uint64_t)len + 1 : 0;
    h->addr_len = addr | tag << HANDLE_ADDR_BITS;
    h->heap = heap_id;
    return (PyObject *)h;
}

// handle_take takes a spare handle before an operation that is to fill its slot;
// NULL: there is none, get a slot inside. handle_put_back: it was not needed, and the
// slot is empty.
static inline handle_object *
handle_take(heap_entry *e)
{
    return e->nspares > 0 ? e->spare[--e->nspares] : NULL;
}

void handle_put_back(heap_entry *e, handle_object *spare);
// handle_use begins an operation on the heap of h; NULL with HeapClosedError.
heap_entry *handle_use(module_state *state, const handle_object *h);
void handle_dealloc(PyObject *self);
// handle_length is the number of elements or bytes; -1 with an exception.
int64_t handle_length(module_state *state, heap_entry *e,
                      const handle_object *h);
// handle_size is what gh.sizeof says; -1 with an exception.
int64_t handle_size(module_state *state, heap_entry *e, const handle_object *h);

// handle_view makes a handle of class cls on the place off bytes into h.
PyObject *handle_view(module_state *state, heap_entry *e,
                      const handle_object *h, class_object *cls, uint64_t off);
// handle_of_slot makes a handle of what a slot of the same heap holds, of the
// class that was recorded; None for nil.
PyObject *handle_of_slot(module_state *state, heap_entry *e, uint32_t heap_id,
                         const gh_slot *slot);
// handle_load makes a handle of the object that the word at off points at.
PyObject *handle_load(module_state *state, heap_entry *e, PyObject *target,
                      const handle_object *h, uint64_t off);

static inline char *
handle_data(const heap_entry *e, const handle_object *h)
{
    return gh_data(gh_handle_slot(e->heap, h->slot));
}

// handle_check_lost sets LostObjectError and returns -1 if h's object was lost.
int handle_check_lost_slow(module_state *state, heap_entry *e,
                           const handle_object *h, const char *what);
static inline int
handle_check_lost(module_state *state, heap_entry *e, const handle_object *h,
                  const char *what)
{
    return e->can_lose ? handle_check_lost_slow(state, e, h, what) : 0;
}

int ref_type_init(PyObject *module, module_state *state);
PyObject *ref_classes_init(PyObject *module, PyObject *args);
PyObject *ref_cast(PyObject *module, PyObject *args);

// ---- heaptype.c, statstype.c --------------------------------------------------------

typedef struct heap_object {
    PyObject_HEAD
    module_state *state;  // of the type's module
    heap_entry *entry;    // NULL before __new__ is done
    uint32_t id;          // entry->id while open
    bool manual;          // calls run in run_pending only
    bool concurrent;      // its mode
    PyObject *weaklist;
} heap_object;

// heap_use begins an operation on an open Heap; NULL with HeapClosedError.
heap_entry *heap_use(heap_object *self, const char *what);

// callbacks_run runs what waits for a heap, at the end of one of its methods. The
// present exception stays.
void callbacks_run(heap_object *self);
PyObject *heap_run_pending(PyObject *heap, PyObject *args);
PyObject *heap_quietly(PyObject *heap, PyObject *fn);
PyObject *heap_pending(PyObject *heap, void *closure);
PyObject *heap_cycle_calls(PyObject *heap, PyObject *on);
PyObject *core_unraisable(PyObject *module, PyObject *args);

// final_run runs the call of a finalizer or cleanup that was taken; it ends the use
// of e.
void final_run(heap_object *self, heap_entry *e, const gh_call *call);
PyObject *heap_set_finalizer(PyObject *heap, PyObject *args);
PyObject *heap_clear_finalizer(PyObject *heap, PyObject *ref);
PyObject *heap_add_cleanup(PyObject *heap, PyObject *args);
PyObject *heap_stop_cleanup(PyObject *heap, PyObject *args);
PyObject *heap_weak(PyObject *heap, PyObject *ref);
PyObject *heap_weak_addr(PyObject *heap, PyObject *box);
PyObject *heap_ref_at(PyObject *heap, PyObject *addr);
PyObject *heap_pin(PyObject *heap, PyObject *ref);
PyObject *core_weak_strong(PyObject *module, PyObject *args);
PyObject *core_short_length(PyObject *module, PyObject *ref);
int final_types_init(PyObject *module, module_state *state);

// heap_unuse ends a method that may have changed the heap: entry_unuse, and then
// the calls that wait.
static inline void
heap_unuse(heap_object *self, heap_entry *e)
{
    const bool calls = gh_call_count(e->heap) != 0;
    entry_unuse(self->state, e);
    if (calls && !self->manual) {
        callbacks_run(self);
    }
}

// ready_class checks that cls can be the class of new objects (a struct class or
// one of words) and gives a struct without fields its layout; what begins the
// message. NULL with an exception.
class_object *ready_class(module_state *state, PyObject *cls, const char *what);
// handle_of_heap checks that arg is a live handle of heap number id.
int handle_of_heap(module_state *state, uint32_t id, PyObject *arg,
                   const char *what);
// run_note says on the present exception how many steps of a run were done.
void run_note(Py_ssize_t done);

PyObject *heap_adopt(PyObject *module, PyObject *cls);
int heap_type_init(PyObject *module, module_state *state);

// ---- rootstype.c ---------------------------------------------------------------------

int roots_type_init(PyObject *module, module_state *state);
PyObject *heap_roots(PyObject *heap, PyObject *n);
PyObject *heap_new_many(PyObject *heap, PyObject *args);
PyObject *ref_heap_of(PyObject *module, PyObject *arg);
PyObject *ref_address_of(PyObject *module, PyObject *arg);
PyObject *ref_sizeof(PyObject *module, PyObject *arg);

// A tuple of the fields of goheap.stats.MemStats, in order.
PyObject *memstats_tuple(const gh_memstats *s);
// A dict of goheap's metrics; histogram is the class of those that are one.
PyObject *metrics_dict(const gh_metrics *m, PyObject *histogram);
// A tuple of the fields of goheap.stats.GCCycle, in order.
PyObject *cycle_tuple(const gh_cycle *c);
PyObject *core_size_classes(PyObject *module, PyObject *ignored);
PyObject *core_class_table(PyObject *module, PyObject *policy);
PyObject *core_explain(PyObject *module, PyObject *args);

// ---- profile.c ---------------------------------------------------------------------

PyObject *heap_profile(PyObject *heap, PyObject *ignored);
PyObject *heap_profile_site(PyObject *heap, PyObject *site);
PyObject *heap_get_profile_rate(PyObject *heap, void *closure);
int heap_set_profile_rate(PyObject *heap, PyObject *value, void *closure);
PyObject *core_profile_scale(PyObject *module, PyObject *args);
// profile_of_heap is the rows of a heap that the caller has to itself.
PyObject *profile_of_heap(gh_heap *heap);

// ---- snapshot.c, graph.c, watch.c -------------------------------------------------

PyObject *core_snapshot(PyObject *module, PyObject *args);
PyObject *core_graph_paths(PyObject *module, PyObject *args);
PyObject *core_graph_referrers(PyObject *module, PyObject *args);
PyObject *core_graph_retained(PyObject *module, PyObject *args);
PyObject *core_tap_start(PyObject *module, PyObject *args);
PyObject *core_tap_stop(PyObject *module, PyObject *args);
PyObject *core_tap_read(PyObject *module, PyObject *args);
PyObject *core_tap_columns(PyObject *module, PyObject *ignored);
// taps_end lets go of what listens to a heap that has ended.
void taps_end(tap *taps);

#endif  // GOHEAP_BINDING_H
