// convert.c: numbers from Python, with messages that name argument and value.

#include "binding.h"

#include <string.h>

// to_index returns an exact int for what can stand for one, else TypeError. A
// bool is refused: where a number is meant, it is a slip.
static PyObject *
to_index(PyObject *o, const char *what, const char *wanted)
{
    if (PyLong_CheckExact(o)) {
        return Py_NewRef(o);
    }
    if (PyBool_Check(o) || !PyIndex_Check(o)) {
        PyErr_Format(PyExc_TypeError, "%s must be %s, not '%.100s'", what,
                     wanted, Py_TYPE(o)->tp_name);
        return NULL;
    }
    return PyNumber_Index(o);
}

static int
negative(PyObject *number)
{
    int overflow;
    const long long v = PyLong_AsLongLongAndOverflow(number, &overflow);
    return overflow < 0 || (overflow == 0 && v < 0);
}

int
convert_int(PyObject *o, const char *what, int64_t lo, int64_t hi, int64_t *out)
{
    PyObject *number = to_index(o, what, "an int");
    if (number == NULL) {
        return -1;
    }
    int overflow;
    const long long v = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow != 0 || v < lo || v > hi) {
        PyErr_Format(overflow != 0 ? PyExc_OverflowError : PyExc_ValueError,
                     "%s must be %lld..%lld, not %S", what, (long long)lo,
                     (long long)hi, number);
        Py_DECREF(number);
        return -1;
    }
    Py_DECREF(number);
    *out = v;
    return 0;
}

int
convert_uint64(PyObject *o, const char *what, uint64_t *out)
{
    PyObject *number = to_index(o, what, "an int");
    if (number == NULL) {
        return -1;
    }
    if (negative(number)) {
        PyErr_Format(PyExc_ValueError, "%s must not be negative, but is %S",
                     what, number);
        Py_DECREF(number);
        return -1;
    }
    *out = PyLong_AsUnsignedLongLong(number);
    if (*out == (uint64_t)-1 && PyErr_Occurred()) {
        PyErr_Format(PyExc_OverflowError, "%s must be below 2**64, not %S",
                     what, number);
        Py_DECREF(number);
        return -1;
    }
    Py_DECREF(number);
    return 0;
}

// parse_size reads Go's spelling of a byte count: digits and B, KiB, MiB, GiB,
// TiB, or digits alone. Go: runtime/string.go, parseByteCount.
static int
parse_size(PyObject *o, const char *what, uint64_t *out)
{
    static const struct {
        const char *name;
        unsigned shift;
    } units[] = {{"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30},
                 {"TiB", 40}};
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(o, &len);
    if (text == NULL) {
        return -1;
    }
    uint64_t n = 0;
    bool too_big = false;
    Py_ssize_t i = 0;
    for (; i < len && text[i] >= '0' && text[i] <= '9'; i++) {
        const uint64_t digit = (uint64_t)(text[i] - '0');
        too_big = too_big || n > (UINT64_MAX - digit) / 10;
        n = n * 10 + digit;
    }
    for (size_t u = 0; i > 0 && u < sizeof(units) / sizeof(units[0]); u++) {
        // The length too: a string may hold a zero character.
        if ((size_t)(len - i) == strlen(units[u].name)
            && memcmp(text + i, units[u].name, (size_t)(len - i)) == 0) {
            if (too_big || n > UINT64_MAX >> units[u].shift) {
                PyErr_Format(PyExc_OverflowError, "%s is too large: %R", what,
                             o);
                return -1;
            }
            *out = n << units[u].shift;
            return 0;
        }
    }
    PyErr_Format(PyExc_ValueError,
                 "%s: %R is no size; write bytes as an int, or a number with "
                 "B, KiB, MiB, GiB or TiB, such as \"64MiB\"", what, o);
    return -1;
}

int
convert_size(PyObject *o, const char *what, uint64_t max, uint64_t *out)
{
    uint64_t n;
    if (PyLong_CheckExact(o)) {
        int overflow;
        const long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
        if (overflow == 0 && v >= 0 && (uint64_t)v <= max) {
            *out = (uint64_t)v;
            return 0;
        }
    }
    if (PyUnicode_Check(o)) {
        if (parse_size(o, what, &n) < 0) {
            return -1;
        }
    } else {
        PyObject *number =
            to_index(o, what, "an int or a string such as \"64MiB\"");
        if (number == NULL) {
            return -1;
        }
        const int status = convert_uint64(number, what, &n);
        Py_DECREF(number);
        if (status < 0) {
            return -1;
        }
    }
    if (n > max) {
        PyErr_Format(PyExc_OverflowError, "%s must be at most %llu, not %llu",
                     what, (unsigned long long)max, (unsigned long long)n);
        return -1;
    }
    *out = n;
    return 0;
}

// is_off recognises None and "off".
static bool
is_off(PyObject *o)
{
    return o == Py_None
           || (PyUnicode_Check(o)
               && PyUnicode_CompareWithASCIIString(o, "off") == 0);
}

int
convert_percent(PyObject *o, const char *what, int32_t *out)
{
    if (is_off(o)) {
        *out = -1;
        return 0;
    }
    if (PyUnicode_Check(o)) {
        PyErr_Format(PyExc_ValueError,
                     "%s must be a percentage, \"off\" or None, not %R", what,
                     o);
        return -1;
    }
    PyObject *number = to_index(o, what, "an int, \"off\" or None");
    if (number == NULL) {
        return -1;
    }
    int64_t v = 0;
    int status = 0;
    if (negative(number)) {
        PyErr_Format(PyExc_ValueError,
                     "%s must not be negative, but is %S; \"off\" or None "
                     "switches it off", what, number);
        status = -1;
    } else {
        status = convert_int(number, what, 0, INT32_MAX, &v);
    }
    Py_DECREF(number);
    *out = (int32_t)v;
    return status;
}

int
convert_limit(PyObject *o, const char *what, int64_t *out)
{
    if (is_off(o)) {
        *out = GH_LIMIT_OFF;
        return 0;
    }
    uint64_t n;
    if (convert_size(o, what, GH_LIMIT_OFF - 1, &n) < 0) {
        return -1;
    }
    *out = (int64_t)n;
    return 0;
}
