// graph.c: questions about the graph in a snapshot, answered on its columns.
//
// Objects are numbered 0..n-1. Edge i leads from object from[i] to object to[i];
// edges are in the order of from, and to is NO_OBJECT where the pointer leads to
// no object (the zero-size one). roots[i] is an object or NO_OBJECT. Nothing
// here needs a heap, recurses, or holds the GIL while it works.

#include "binding.h"

#include <stdlib.h>
#include <string.h>

#define NO_OBJECT UINT32_MAX
#define AT_ROOT   (UINT32_MAX - 1)  // in place of an edge's number

typedef struct graph {
    Py_buffer from_buf, to_buf, roots_buf;
    const uint32_t *from, *to, *roots;
    uint32_t n, nedges, nroots;
    uint32_t *start;  // edges of object v: start[v] .. start[v + 1] - 1
} graph;

static void
graph_fini(graph *g)
{
    free(g->start);
    PyBuffer_Release(&g->from_buf);
    PyBuffer_Release(&g->to_buf);
    PyBuffer_Release(&g->roots_buf);
}

// below reports whether every number is an object's or NO_OBJECT.
static bool
below(const uint32_t *v, uint32_t len, uint32_t n)
{
    for (uint32_t i = 0; i < len; i++) {
        if (v[i] >= n && v[i] != NO_OBJECT) {
            return false;
        }
    }
    return true;
}

// make_starts builds start; false if from isn't in order or out of range.
static bool
make_starts(graph *g)
{
    uint32_t v = 0;
    for (uint32_t i = 0; i < g->nedges; i++) {
        if (g->from[i] >= g->n || g->from[i] + 1 < v) {
            return false;
        }
        while (v <= g->from[i]) {
            g->start[v++] = i;
        }
    }
    while (v <= g->n) {
        g->start[v++] = g->nedges;
    }
    return true;
}

// graph_init takes the buffers that the caller parsed into g; -1 with an
// exception, the buffers released.
static int
graph_init(graph *g, Py_ssize_t n)
{
    const Py_ssize_t most = (Py_ssize_t)(AT_ROOT - 1);
    const Py_ssize_t nedges = g->from_buf.len / 4;
    const Py_ssize_t nroots = g->roots_buf.len / 4;
    if (n < 0 || n >= most || nedges > most || nroots > most
        || g->to_buf.len != g->from_buf.len) {
        graph_fini(g);
        PyErr_SetString(PyExc_ValueError, "graph: columns of another size");
        return -1;
    }
    g->n = (uint32_t)n;
    g->nedges = (uint32_t)nedges;
    g->nroots = (uint32_t)nroots;
    g->from = g->from_buf.buf;
    g->to = g->to_buf.buf;
    g->roots = g->roots_buf.buf;
    g->start = malloc(((size_t)n + 1) * sizeof(g->start[0]));
    if (g->start == NULL) {
        graph_fini(g);
        PyErr_NoMemory();
        return -1;
    }
    if (!below(g->to, g->nedges, g->n) || !below(g->roots, g->nroots, g->n)
        || !make_starts(g)) {
        graph_fini(g);
        PyErr_SetString(PyExc_ValueError, "graph: no such object");
        return -1;
    }
    return 0;
}

// ---- shortest paths -----------------------------------------------------------------

// find_parents writes for each object the edge by which a breadth-first walk from
// the roots came to it: AT_ROOT for a root's, NO_OBJECT if it never came.
static void
find_parents(const graph *g, uint32_t *parent, uint32_t *queue)
{
    uint32_t head = 0, tail = 0;
    memset(parent, 0xff, (size_t)g->n * sizeof(parent[0]));
    for (uint32_t i = 0; i < g->nroots; i++) {
        const uint32_t v = g->roots[i];
        if (v != NO_OBJECT && parent[v] == NO_OBJECT) {
            parent[v] = AT_ROOT;
            queue[tail++] = v;
        }
    }
    while (head < tail) {
        const uint32_t v = queue[head++];
        for (uint32_t i = g->start[v]; i < g->start[v + 1]; i++) {
            const uint32_t to = g->to[i];
            if (to != NO_OBJECT && parent[to] == NO_OBJECT) {
                parent[to] = i;
                queue[tail++] = to;
            }
        }
    }
}

// graph_paths(n, from, to, roots): find_parents' column.
PyObject *
core_graph_paths(PyObject *Py_UNUSED(module), PyObject *args)
{
    graph g = {0};
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "ny*y*y*:graph_paths", &n, &g.from_buf,
                          &g.to_buf, &g.roots_buf)
        || graph_init(&g, n) < 0) {
        return NULL;
    }
    PyObject *result = PyBytes_FromStringAndSize(NULL, n * 4);
    uint32_t *queue = malloc(((size_t)n + 1) * sizeof(*queue));
    if (result != NULL && queue == NULL) {
        Py_CLEAR(result);
        PyErr_NoMemory();
    }
    if (result != NULL) {
        uint32_t *parent = (uint32_t *)PyBytes_AS_STRING(result);
        Py_BEGIN_ALLOW_THREADS
        find_parents(&g, parent, queue);
        Py_END_ALLOW_THREADS
    }
    free(queue);
    graph_fini(&g);
    return result;
}

// graph_referrers(to, object): the numbers of the edges that lead to object.
PyObject *
core_graph_referrers(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer buf;
    unsigned int object;
    if (!PyArg_ParseTuple(args, "y*I:graph_referrers", &buf, &object)) {
        return NULL;
    }
    const uint32_t *to = buf.buf;
    const size_t m = (size_t)buf.len / 4;
    size_t found = 0;
    for (size_t i = 0; i < m; i++) {
        found += to[i] == object;
    }
    PyObject *result =
        PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(found * 4));
    if (result != NULL) {
        uint32_t *out = (uint32_t *)PyBytes_AS_STRING(result);
        for (size_t i = 0, k = 0; k < found; i++) {
            if (to[i] == object) {
                out[k++] = (uint32_t)i;
            }
        }
    }
    PyBuffer_Release(&buf);
    return result;
}

// ---- dominators ---------------------------------------------------------------------

// Lengauer and Tarjan, "A fast algorithm for finding dominators in a flowgraph"
// (1979), with simple linking: O(m log n). Objects are numbered anew in the order
// of a depth-first walk from a node 0 that points at every root; all columns
// below are by that number.
typedef struct dominators {
    uint32_t count;     // numbers in use: the root node and reachable objects
    uint32_t *object;   // number -> object; of 0: none
    uint32_t *number;   // object -> number, 0: unreachable
    uint32_t *parent;   // in the walk's tree
    uint32_t *semi;     // semidominator
    uint32_t *idom;     // immediate dominator
    uint32_t *above;    // forest: ancestor, NO_OBJECT at a tree's root
    uint32_t *label;    // forest: the one of least semi on the way up
    uint32_t *bucket;   // first of those whose semidominator this is, 0: none
    uint32_t *next;     // in that list
    uint32_t *pred_start;  // of number w in pred: up to pred_start[w + 1]
    uint32_t *pred;        // numbers of those that point at it
    uint32_t *scratch;  // a path to be compressed; the walk's cursors
    uint32_t *memory;   // all of the above
} dominators;

#define COLUMNS_OF_NODES 11u

static bool
dominators_init(dominators *d, const graph *g)
{
    const size_t n = (size_t)g->n + 2;
    const size_t npred = (size_t)g->nedges + g->nroots;
    d->memory = calloc(COLUMNS_OF_NODES * n + npred, sizeof(uint32_t));
    if (d->memory == NULL) {
        return false;
    }
    uint32_t **const all[COLUMNS_OF_NODES] = {
        &d->object, &d->number, &d->parent, &d->semi, &d->idom, &d->above,
        &d->label, &d->bucket, &d->next, &d->pred_start, &d->scratch,
    };
    for (unsigned i = 0; i < COLUMNS_OF_NODES; i++) {
        *all[i] = d->memory + i * n;
    }
    d->pred = d->memory + COLUMNS_OF_NODES * n;
    return true;
}

// walk numbers what is reachable.
static void
walk(dominators *d, const graph *g)
{
    uint32_t *cursor = d->scratch;
    d->count = 1;
    for (uint32_t r = 0; r < g->nroots; r++) {
        uint32_t v = g->roots[r];
        uint32_t from = 0;
        for (;;) {
            if (v != NO_OBJECT && d->number[v] == 0) {
                const uint32_t w = d->count++;
                d->number[v] = w;
                d->object[w] = v;
                d->parent[w] = from;
                cursor[w] = g->start[v];
                from = w;
            }
            while (from != 0
                   && cursor[from] == g->start[d->object[from] + 1]) {
                from = d->parent[from];
            }
            if (from == 0) {
                break;
            }
            v = g->to[cursor[from]++];
        }
    }
}

// note_pred counts a predecessor of w, or in the second pass writes it down.
static void
note_pred(dominators *d, uint32_t w, uint32_t v, bool write)
{
    if (write) {
        d->pred[--d->pred_start[w]] = v;
    } else {
        d->pred_start[w]++;
    }
}

static void
visit_preds(dominators *d, const graph *g, bool write)
{
    for (uint32_t r = 0; r < g->nroots; r++) {
        if (g->roots[r] != NO_OBJECT) {
            note_pred(d, d->number[g->roots[r]], 0, write);
        }
    }
    for (uint32_t v = 1; v < d->count; v++) {
        const uint32_t o = d->object[v];
        for (uint32_t i = g->start[o]; i < g->start[o + 1]; i++) {
            if (g->to[i] != NO_OBJECT) {
                note_pred(d, d->number[g->to[i]], v, write);
            }
        }
    }
}

// gather_preds sorts the edges among numbered objects by where they lead: counts
// become ends, and writing turns ends into starts.
static void
gather_preds(dominators *d, const graph *g)
{
    visit_preds(d, g, false);
    for (uint32_t w = 1; w <= d->count; w++) {
        d->pred_start[w] += d->pred_start[w - 1];
    }
    visit_preds(d, g, true);
}

// least returns the node of least semidominator on the way from v to the root of
// its tree, the root left out, and makes the way short.
static uint32_t
least(dominators *d, uint32_t v)
{
    if (d->above[v] == NO_OBJECT) {
        return v;
    }
    uint32_t depth = 0;
    uint32_t at = v;
    while (d->above[d->above[at]] != NO_OBJECT) {
        d->scratch[depth++] = at;
        at = d->above[at];
    }
    while (depth > 0) {
        const uint32_t low = d->scratch[--depth];
        const uint32_t high = d->above[low];
        if (d->semi[d->label[high]] < d->semi[d->label[low]]) {
            d->label[low] = d->label[high];
        }
        d->above[low] = d->above[high];
    }
    return d->label[v];
}

static void
find_dominators(dominators *d, const graph *g)
{
    walk(d, g);
    gather_preds(d, g);
    for (uint32_t w = 0; w < d->count; w++) {
        d->semi[w] = d->label[w] = w;
        d->above[w] = NO_OBJECT;
    }
    for (uint32_t w = d->count - 1; w >= 1; w--) {
        for (uint32_t i = d->pred_start[w]; i < d->pred_start[w + 1]; i++) {
            const uint32_t u = least(d, d->pred[i]);
            if (d->semi[u] < d->semi[w]) {
                d->semi[w] = d->semi[u];
            }
        }
        d->next[w] = d->bucket[d->semi[w]];
        d->bucket[d->semi[w]] = w;
        const uint32_t p = d->parent[w];
        d->above[w] = p;
        for (uint32_t v = d->bucket[p]; v != 0; v = d->next[v]) {
            const uint32_t u = least(d, v);
            d->idom[v] = d->semi[u] < d->semi[v] ? u : p;
        }
        d->bucket[p] = 0;
    }
    for (uint32_t w = 1; w < d->count; w++) {
        if (d->idom[w] != d->semi[w]) {
            d->idom[w] = d->idom[d->idom[w]];
        }
    }
}

// sum_retained adds each object's weight to all that dominate it.
static void
sum_retained(const dominators *d, const uint64_t *weight, uint32_t n,
             uint64_t *out)
{
    memset(out, 0, (size_t)n * sizeof(out[0]));
    for (uint32_t w = d->count - 1; w >= 1; w--) {
        const uint32_t o = d->object[w];
        out[o] += weight[o];
        if (d->idom[w] != 0) {
            out[d->object[d->idom[w]]] += out[o];
        }
    }
}

// graph_retained(n, from, to, roots, weight): for each object the weight of all
// that is reachable through it only, itself included; 0 if it isn't reachable.
PyObject *
core_graph_retained(PyObject *Py_UNUSED(module), PyObject *args)
{
    graph g = {0};
    Py_buffer weight;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "ny*y*y*y*:graph_retained", &n, &g.from_buf,
                          &g.to_buf, &g.roots_buf, &weight)) {
        return NULL;
    }
    if (graph_init(&g, n) < 0) {
        PyBuffer_Release(&weight);
        return NULL;
    }
    PyObject *result = NULL;
    dominators d = {0};
    if (weight.len != n * 8) {
        PyErr_SetString(PyExc_ValueError, "graph: columns of another size");
    } else if (!dominators_init(&d, &g)) {
        PyErr_NoMemory();
    } else {
        result = PyBytes_FromStringAndSize(NULL, n * 8);
    }
    if (result != NULL) {
        uint64_t *out = (uint64_t *)PyBytes_AS_STRING(result);
        Py_BEGIN_ALLOW_THREADS
        find_dominators(&d, &g);
        sum_retained(&d, weight.buf, g.n, out);
        Py_END_ALLOW_THREADS
    }
    free(d.memory);
    graph_fini(&g);
    PyBuffer_Release(&weight);
    return result;
}
