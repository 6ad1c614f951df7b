// module.c: goheap._core, the extension module. It runs allocation scripts
// and, through ReplayEngine, recorded histories.
//
// Multi-phase init; the only state is one exception type, in the module's
// state, so any number of interpreters may load it. run_script releases the GIL
// and comes back between steps to serve signals.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>

#include "goheap.h"
#include "replaytype.h"
#include "script.h"

// Operations between two looks at signals: some tens of milliseconds at worst
// for small objects.
#define STEP_OPS 200000u

typedef struct module_state {
    PyObject *script_error;  // goheap.errors.ScriptError
} module_state;

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
run_compiled(const module_state *state, const gh_script *s)
{
    gh_script_error e;
    gh_script_run *r;
    gh_script_status st = gh_script_run_new(s, &r, &e);
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
"run_script(text, name, /)\n--\n\n"
"Run a goheap-script 1 on a heap of its own; return the result as JSON text.");

static PyObject *
run_script(PyObject *module, PyObject *args)
{
    const module_state *state = PyModule_GetState(module);
    const char *text, *name;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(args, "s#s:run_script", &text, &len, &name)) {
        return NULL;
    }
    gh_script *s;
    gh_script_error e;
    const gh_script_status st =
        gh_script_compile(text, (size_t)len, name, &s, &e);
    if (st != GH_SCRIPT_OK) {
        return raise_script_error(state, st, &e);
    }
    PyObject *out = run_compiled(state, s);
    gh_script_free(s);
    return out;
}

PyDoc_STRVAR(size_classes_doc,
"size_classes()\n--\n\n"
"Rows (size, span_bytes, objects, objects_scan, tail_waste, max_waste) of the\n"
"size classes, the dummy class 0 left out.");

static PyObject *
size_classes(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    const uint32_t n = gh_num_size_classes();
    PyObject *rows = PyTuple_New((Py_ssize_t)n - 1);
    for (uint32_t i = 1; rows != NULL && i < n; i++) {
        const gh_size_class c = gh_size_class_get(i);
        PyObject *row = Py_BuildValue("IIIIId", c.size, c.npages * 8192u,
                                      c.nelems_noscan, c.nelems_scan,
                                      c.tail_waste, c.max_waste);
        if (row == NULL) {
            Py_CLEAR(rows);
            break;
        }
        PyTuple_SET_ITEM(rows, (Py_ssize_t)i - 1, row);
    }
    return rows;
}

static PyMethodDef methods[] = {
    {"run_script", run_script, METH_VARARGS, run_script_doc},
    {"size_classes", size_classes, METH_NOARGS, size_classes_doc},
    {NULL, NULL, 0, NULL},
};

static int
module_exec(PyObject *module)
{
    module_state *state = PyModule_GetState(module);
    PyObject *errors = PyImport_ImportModule("goheap.errors");
    if (errors == NULL) {
        return -1;
    }
    state->script_error = PyObject_GetAttrString(errors, "ScriptError");
    Py_DECREF(errors);
    if (state->script_error == NULL) {
        return -1;
    }
    if (replay_type_init(module) < 0) {
        return -1;
    }
    return PyModule_AddStringConstant(module, "GO_VERSION", GH_GO_VERSION);
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    module_state *state = PyModule_GetState(module);
    Py_VISIT(state->script_error);
    return 0;
}

static int
module_clear(PyObject *module)
{
    module_state *state = PyModule_GetState(module);
    Py_CLEAR(state->script_error);
    return 0;
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

static PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "goheap._core",
    .m_doc = "The C core of goheap.",
    .m_size = sizeof(module_state),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
