// module.c: goheap._core, the extension module: its state, its functions, and
// the running of scripts.
//
// Multi-phase init; everything that would be a C global is in the module's
// state, so any number of interpreters may load it, each with a GIL of its own
// or none. run_script releases the GIL and comes back between steps to serve
// signals.

#include "binding.h"

#include <stdlib.h>
#include <string.h>

#include "calibrate.h"
#include "faults.h"
#include "replaytype.h"
#include "tracetype.h"
#include "script.h"

// Operations between two looks at signals: some tens of milliseconds at worst
// for small objects.
#define STEP_OPS 200000u

PyObject *
state_types(module_state *state)
{
    if (state->types == NULL) {
        state->types = PyImport_ImportModule("goheap.types");
    }
    return state->types;
}

static PyObject *
raise_script_error(const module_state *state, gh_script_status st,
                   const gh_script_error *e)
{
    if (st == GH_SCRIPT_NOMEM && e->line == 0) {
        return PyErr_NoMemory();
    }
    PyObject *text = PyUnicode_DecodeUTF8(e->text, (Py_ssize_t)strlen(e->text),
                                          "replace");
    if (text == NULL) {
        return NULL;
    }
    PyObject *error = PyObject_CallFunction(
        state->script_error, "siiNO", e->message, e->line, e->column, text,
        st == GH_SCRIPT_REFUSED ? Py_True : Py_False);
    if (error != NULL) {
        PyErr_SetObject(state->script_error, error);
        Py_DECREF(error);
    }
    return NULL;
}

static PyObject *
run_compiled(module_state *state, const gh_script *s, bool threads)
{
    gh_script_error e;
    gh_script_run *r;
    const gh_mem_ops *ops = NULL;
    void *ctx = NULL;
    fault_run *faults = faults_enter(state, &ops, &ctx);
    gh_script_status st = gh_script_run_new_on(s, ops, ctx, threads, &r, &e);
    faults_leave(faults);
    if (st != GH_SCRIPT_OK) {
        return raise_script_error(state, st, &e);
    }
    bool finished = false;
    while (!finished) {
        Py_BEGIN_ALLOW_THREADS
        st = gh_script_run_step(r, STEP_OPS, &finished, &e);
        Py_END_ALLOW_THREADS
        if (st != GH_SCRIPT_OK) {
            gh_script_run_free(r);
            return raise_script_error(state, st, &e);
        }
        if (PyErr_CheckSignals() < 0) {
            gh_script_run_free(r);
            return NULL;
        }
    }
    char *json;
    size_t len;
    const gh_status js = gh_script_run_json(r, &json, &len);
    gh_script_run_free(r);
    if (js != GH_OK) {
        return PyErr_NoMemory();
    }
    PyObject *out = PyUnicode_DecodeUTF8(json, (Py_ssize_t)len, "replace");
    free(json);
    return out;
}

PyDoc_STRVAR(run_script_doc,
"run_script(text, name, threads, /)\n--\n\n"
"Run a goheap-script 1 on a heap of its own; return the result as JSON text.");

static PyObject *
run_script(PyObject *module, PyObject *args)
{
    module_state *state = PyModule_GetState(module);
    const char *text, *name;
    Py_ssize_t len;
    int threads;
    if (!PyArg_ParseTuple(args, "s#sp:run_script", &text, &len, &name,
                          &threads)) {
        return NULL;
    }
    gh_script *s;
    gh_script_error e;
    const gh_script_status st =
        gh_script_compile(text, (size_t)len, name, &s, &e);
    if (st != GH_SCRIPT_OK) {
        return raise_script_error(state, st, &e);
    }
    PyObject *out = run_compiled(state, s, threads != 0);
    gh_script_free(s);
    return out;
}

PyDoc_STRVAR(cast_doc,
"cast(ref, cls, /)\n--\n\n"
"The same object seen as another struct class whose pointer words are the\n"
"same; TypeError if they aren't, or if cls is larger.");

PyDoc_STRVAR(heap_of_doc,
"heap_of(ref, /)\n--\n\n"
"The Heap of a handle; HeapClosedError if it is closed or gone.");

PyDoc_STRVAR(address_of_doc,
"address_of(ref, /)\n--\n\n"
"Go's address (0xc000000000 + offset): the same in every run and never a\n"
"pointer of this process.");

// size(value, what): a Size as an int, for goheap.settings.
static PyObject *
core_size(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *value;
    const char *what;
    uint64_t size;
    if (!PyArg_ParseTuple(args, "Os:size", &value, &what)
        || convert_size(value, what, (uint64_t)1 << 50, &size) < 0) {
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(size);
}

// portable_kernels(on): as if this CPU had no AVX-512, for heaps made from now
// on. For tests.
static PyObject *
core_portable_kernels(PyObject *module, PyObject *on)
{
    module_state *state = PyModule_GetState(module);
    const int truth = PyObject_IsTrue(on);
    if (truth < 0) {
        return NULL;
    }
    state->portable_kernels = truth != 0;
    Py_RETURN_NONE;
}

static PyObject *
prices(const gh_costs *c)
{
    return Py_BuildValue("(dddddd)", c->alloc, c->alloc_byte, c->scan_byte,
                         c->sweep_page, c->page_fault, c->stop);
}

// calibrate(): the prices, in the order of COSTS, measured on this machine.
static PyObject *
core_calibrate(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    gh_costs c;
    gh_status st;
    Py_BEGIN_ALLOW_THREADS
    st = gh_calibrate(&c);
    Py_END_ALLOW_THREADS
    return st != GH_OK ? PyErr_NoMemory() : prices(&c);
}

// add_costs adds COSTS, the prices that a heap has by default.
static int
add_costs(PyObject *module)
{
    gh_costs c;
    gh_costs_init(&c);
    PyObject *costs = prices(&c);
    if (costs == NULL || PyModule_AddObjectRef(module, "COSTS", costs) < 0) {
        Py_XDECREF(costs);
        return -1;
    }
    Py_DECREF(costs);
    return 0;
}

// after_fork(): in the child.
static PyObject *
core_after_fork(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    module_state *state = PyModule_GetState(module);
    table_forked(&state->heaps);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"run_script", run_script, METH_VARARGS, run_script_doc},
    {"size_classes", core_size_classes, METH_NOARGS, NULL},
    {"class_table", core_class_table, METH_O, NULL},
    {"explain", core_explain, METH_VARARGS, NULL},
    {"ref_classes_init", ref_classes_init, METH_VARARGS, NULL},
    {"class_finish", class_finish, METH_VARARGS, NULL},
    {"class_finish_array", class_finish_array, METH_VARARGS, NULL},
    {"class_finish_words", class_finish_words, METH_VARARGS, NULL},
    {"class_cache", class_cache, METH_O, NULL},
    {"heap_adopt", heap_adopt, METH_O, NULL},
    {"class_layout", class_layout, METH_O, NULL},
    {"cast", ref_cast, METH_VARARGS, cast_doc},
    {"heap_of", ref_heap_of, METH_O, heap_of_doc},
    {"address_of", ref_address_of, METH_O, address_of_doc},
    {"sizeof", ref_sizeof, METH_O, NULL},
    {"size", core_size, METH_VARARGS, NULL},
    {"calibrate", core_calibrate, METH_NOARGS, NULL},
    {"portable_kernels", core_portable_kernels, METH_O, NULL},
    {"fault_begin", core_fault_begin, METH_VARARGS, NULL},
    {"fault_end", core_fault_end, METH_NOARGS, NULL},
    {"unraisable", core_unraisable, METH_VARARGS, NULL},
    {"live_heaps", core_live_heaps, METH_NOARGS, NULL},
    {"weak_strong", core_weak_strong, METH_VARARGS, NULL},
    {"short_length", core_short_length, METH_O, NULL},
    {"profile_scale", core_profile_scale, METH_VARARGS, NULL},
    {"snapshot", core_snapshot, METH_VARARGS, NULL},
    {"graph_paths", core_graph_paths, METH_VARARGS, NULL},
    {"graph_referrers", core_graph_referrers, METH_VARARGS, NULL},
    {"graph_retained", core_graph_retained, METH_VARARGS, NULL},
    {"tap_start", core_tap_start, METH_VARARGS, NULL},
    {"tap_stop", core_tap_stop, METH_VARARGS, NULL},
    {"tap_read", core_tap_read, METH_VARARGS, NULL},
    {"after_fork", core_after_fork, METH_NOARGS, NULL},
    {"tap_columns", core_tap_columns, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

// hear_of_forks has after_fork called in the child of each os.fork().
static int
hear_of_forks(PyObject *module)
{
    PyObject *os = PyImport_ImportModule("os");
    PyObject *at = os == NULL ? NULL
                              : PyObject_GetAttrString(os, "register_at_fork");
    PyObject *fn = at == NULL ? NULL
                              : PyObject_GetAttrString(module, "after_fork");
    PyObject *none = fn == NULL ? NULL : PyTuple_New(0);
    PyObject *names = none == NULL ? NULL
                                   : Py_BuildValue("{sO}", "after_in_child", fn);
    PyObject *done = names == NULL ? NULL : PyObject_Call(at, none, names);
    Py_XDECREF(os);
    Py_XDECREF(at);
    Py_XDECREF(fn);
    Py_XDECREF(none);
    Py_XDECREF(names);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static int
module_exec(PyObject *module)
{
    module_state *state = PyModule_GetState(module);
    if (table_init(&state->heaps) < 0 || import_errors(state) < 0
        || class_type_init(module, state) < 0
        || ref_type_init(module, state) < 0
        || field_type_init(module, state) < 0
        || heap_type_init(module, state) < 0
        || roots_type_init(module, state) < 0
        || final_types_init(module, state) < 0 || replay_type_init(module) < 0
        || trace_type_init(module) < 0
        || add_costs(module) < 0 || hear_of_forks(module) < 0) {
        return -1;
    }
    return PyModule_AddStringConstant(module, "GO_VERSION", GH_GO_VERSION);
}

// STATE_OBJECTS names every object of the state.
#define STATE_OBJECTS(DO)                                                     \
    DO(handle_type) DO(array_part) DO(block_part) DO(meta_type)               \
    DO(field_type) DO(iter_type) DO(heap_type)              \
    DO(words_part) DO(roots_type) DO(words) DO(ref) DO(struct_) DO(array)  \
    DO(block) DO(heap_error) DO(closed_error) DO(foreign_error)               \
    DO(state_error) DO(memory_error) DO(corruption_error) DO(script_error)    \
    DO(lost_error) DO(types) DO(pin_type)

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    module_state *state = PyModule_GetState(module);
#define VISIT(name) Py_VISIT(state->name);
    STATE_OBJECTS(VISIT)
#undef VISIT
    return 0;
}

static int
module_clear(PyObject *module)
{
    module_state *state = PyModule_GetState(module);
#define CLEAR(name) Py_CLEAR(state->name);
    STATE_OBJECTS(CLEAR)
#undef CLEAR
    return 0;
}

static void
module_free(void *module)
{
    (void)module_clear(module);
    module_state *state = PyModule_GetState(module);
    faults_drop(state);
    free(atomic_exchange(&state->lost, NULL));
    table_fini(&state->heaps);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)module_exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030d0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

PyModuleDef goheap_module_def = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "goheap._core",
    .m_doc = "The C core of goheap.",
    .m_size = sizeof(module_state),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&goheap_module_def);
}
