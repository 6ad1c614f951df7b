// snapshot.c: everything inside a heap at one instant, as columns.
//
// One stay inside the heap fills plain C arrays (no Python in there); after it
// they become bytes objects, one for each column, which are all that
// goheap.snapshot keeps. A snapshot makes no root and changes no figure.
//
// Objects are in address order and edges in that of their sources, so an edge's
// source is the number of an object that is known when the edge is found; its
// target is looked up afterwards, outside the heap.

#include "columns.h"

#include <stdlib.h>
#include <string.h>

enum { SPAN_BASE, SPAN_NPAGES, SPAN_CLASS, SPAN_ELEMSIZE, SPAN_NELEMS,
       SPAN_ALLOCATED, SPAN_FREE_INDEX, SPAN_SWEEPGEN, SPAN_CACHED_BY };
enum { PAGE_ADDR, PAGE_NPAGES, PAGE_STATE, PAGE_P, PAGE_CLASS };
enum { OBJ_ADDR, OBJ_SIZE, OBJ_ELEMSIZE, OBJ_TYPE, OBJ_LABEL, OBJ_COLOR,
       OBJ_SPAN, OBJ_SLOT, OBJ_CLASS, OBJ_END };
enum { EDGE_SOURCE, EDGE_OFFSET, EDGE_TARGET, EDGE_FROM, EDGE_TO };
enum { ROOT_TARGET, ROOT_KIND, ROOT_TO };
enum { CACHE_P, CACHE_CLASS, CACHE_SPAN, CACHE_FREE, CACHE_TINY,
       CACHE_TINY_OFFSET };

static const uint8_t span_widths[] = {8, 8, 1, 8, 4, 4, 4, 4, 4};
static const uint8_t page_widths[] = {8, 8, 1, 4, 1};
static const uint8_t object_widths[] = {8, 8, 8, 4, 4, 4, 8, 4, 1, 8};
static const uint8_t edge_widths[] = {8, 8, 8, 4, 4};
static const uint8_t root_widths[] = {8, 4, 4};
static const uint8_t cache_widths[] = {4, 1, 8, 4, 8, 4};

#define NO_OBJECT UINT32_MAX  // of an edge or root: it points at no object

typedef struct snapshot {
    columns spans, pages, objects, edges, roots, caches;
    bool want_objects, want_edges;
    const gh_type **types;  // from id 2 on; they live as long as the heap
    uint32_t ntypes;
    char *labels;           // one after the other, each with its 0
    size_t labels_len, labels_cap;
    int32_t nlabels;
    gh_memstats stats;
    uint64_t lost;          // where an edge leads to a lost object; 0: nowhere
} snapshot;

static bool
on_span(void *arg, const gh_span_info *s)
{
    columns *t = &((snapshot *)arg)->spans;
    if (!columns_add(t)) {
        return false;
    }
    PUT(t, SPAN_BASE, uint64_t, s->base);
    PUT(t, SPAN_NPAGES, uint64_t, s->npages);
    PUT(t, SPAN_CLASS, uint8_t, s->spanclass);
    PUT(t, SPAN_ELEMSIZE, uint64_t, s->elemsize);
    PUT(t, SPAN_NELEMS, uint32_t, s->nelems);
    PUT(t, SPAN_ALLOCATED, uint32_t, s->allocated);
    PUT(t, SPAN_FREE_INDEX, uint32_t, s->free_index);
    PUT(t, SPAN_SWEEPGEN, uint32_t, s->sweepgen);
    PUT(t, SPAN_CACHED_BY, int32_t, s->cached_by);
    return true;
}

static bool
on_pages(void *arg, const gh_page_run *r)
{
    columns *t = &((snapshot *)arg)->pages;
    if (!columns_add(t)) {
        return false;
    }
    PUT(t, PAGE_ADDR, uint64_t, r->addr);
    PUT(t, PAGE_NPAGES, uint64_t, r->npages);
    PUT(t, PAGE_STATE, uint8_t, (uint8_t)r->state);
    PUT(t, PAGE_P, int32_t, r->p);
    PUT(t, PAGE_CLASS, uint8_t, r->spanclass);
    return true;
}

// add_label keeps a label and returns its number, -1 without one.
static bool
add_label(snapshot *s, const char *label, int32_t *out)
{
    *out = -1;
    if (label == NULL) {
        return true;
    }
    const size_t n = strlen(label) + 1;
    if (s->labels_len + n > s->labels_cap) {
        const size_t cap = 2 * (s->labels_cap + n);
        char *more = realloc(s->labels, cap);
        if (more == NULL) {
            s->objects.lost = true;
            return false;
        }
        s->labels = more;
        s->labels_cap = cap;
    }
    memcpy(s->labels + s->labels_len, label, n);
    s->labels_len += n;
    *out = s->nlabels++;
    return true;
}

// type_code numbers type names: 0 unknown, 1 bytes, 2.. the heap's types, then
// tiny blocks.
static int32_t
type_code(const snapshot *s, uint32_t id)
{
    return id == GH_TYPE_TINY ? (int32_t)(2 + s->ntypes) : (int32_t)id;
}

static bool
on_object(void *arg, const gh_object *o, const char *label)
{
    snapshot *s = arg;
    columns *t = &s->objects;
    int32_t label_code;
    // Their numbers have 32 bits.
    if (t->n == NO_OBJECT - 1) {
        t->lost = true;
    }
    if (!columns_add(t) || !add_label(s, label, &label_code)) {
        return false;
    }
    PUT(t, OBJ_ADDR, uint64_t, o->addr);
    PUT(t, OBJ_SIZE, uint64_t, o->size);
    PUT(t, OBJ_ELEMSIZE, uint64_t, o->elemsize);
    PUT(t, OBJ_TYPE, int32_t, type_code(s, o->type_id));
    PUT(t, OBJ_LABEL, int32_t, label_code);
    // Outside a mark phase everything is white; in it marked objects are black,
    // but for those that on_grey finds.
    PUT(t, OBJ_COLOR, int32_t, o->marked ? 2 : 0);
    PUT(t, OBJ_SPAN, uint64_t, o->span_base);
    PUT(t, OBJ_SLOT, uint32_t, o->index);
    PUT(t, OBJ_CLASS, uint8_t, o->spanclass);
    // An address belongs to the object up to the end of its slot, of a large
    // one up to the end of what was asked for.
    PUT(t, OBJ_END, uint64_t,
        o->spanclass < 2 ? o->addr + o->size
                         : o->span_base + (o->index + 1) * o->elemsize);
    return true;
}

static bool
on_edge(void *arg, const gh_edge *e)
{
    snapshot *s = arg;
    columns *t = &s->edges;
    if (e->lost) {
        s->lost = e->target;
        return false;
    }
    if (!columns_add(t)) {
        return false;
    }
    PUT(t, EDGE_SOURCE, uint64_t, e->source);
    PUT(t, EDGE_OFFSET, uint64_t, e->offset);
    PUT(t, EDGE_TARGET, uint64_t, e->target);
    PUT(t, EDGE_FROM, uint32_t, (uint32_t)(s->objects.n - 1));
    PUT(t, EDGE_TO, uint32_t, NO_OBJECT);
    return true;
}

static bool
on_root(void *arg, const gh_root *r)
{
    columns *t = &((snapshot *)arg)->roots;
    if (!columns_add(t)) {
        return false;
    }
    PUT(t, ROOT_TARGET, uint64_t, r->target);
    PUT(t, ROOT_KIND, int32_t, (int32_t)r->kind);
    PUT(t, ROOT_TO, uint32_t, NO_OBJECT);
    return true;
}

static bool
on_cache(void *arg, const gh_cache_info *c)
{
    columns *t = &((snapshot *)arg)->caches;
    if (!columns_add(t)) {
        return false;
    }
    PUT(t, CACHE_P, int32_t, c->p);
    PUT(t, CACHE_CLASS, uint8_t, c->spanclass);
    PUT(t, CACHE_SPAN, uint64_t, c->span);
    PUT(t, CACHE_FREE, uint32_t, c->free);
    PUT(t, CACHE_TINY, uint64_t, c->tiny);
    PUT(t, CACHE_TINY_OFFSET, uint32_t, c->tiny_offset);
    return true;
}

// take_types notes the heap's types, which never change or go.
static bool
take_types(snapshot *s, const gh_heap *heap)
{
    while (gh_type_by_id(heap, 2 + s->ntypes) != NULL) {
        s->ntypes++;
    }
    s->types = malloc((s->ntypes + 1) * sizeof(s->types[0]));
    for (uint32_t i = 0; s->types != NULL && i < s->ntypes; i++) {
        s->types[i] = gh_type_by_id(heap, 2 + i);
    }
    return s->types != NULL;
}

// object_of finds the object that contains an address, by bisection.
static uint32_t
object_of(const snapshot *s, uint64_t addr)
{
    const uint64_t *at = (const uint64_t *)s->objects.col[OBJ_ADDR];
    const uint64_t *end = (const uint64_t *)s->objects.col[OBJ_END];
    size_t lo = 0, hi = s->objects.n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (at[mid] <= addr) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo > 0 && addr < end[lo - 1] ? (uint32_t)(lo - 1) : NO_OBJECT;
}

static void
on_grey(void *arg, uint64_t addr)
{
    snapshot *s = arg;
    const uint32_t i = object_of(s, addr);
    if (i != NO_OBJECT) {
        ((int32_t *)s->objects.col[OBJ_COLOR])[i] = 1;
    }
}

static gh_status
op_snapshot(gh_mut *m, void *arg)
{
    snapshot *s = arg;
    gh_heap *heap = gh_mut_heap(m);
    gh_stats(m, &s->stats);
    if (!take_types(s, heap)) {
        return GH_ERR_NOMEM;
    }
    gh_walk_spans(heap, on_span, s);
    gh_walk_pages(heap, on_pages, s);
    gh_walk_roots(heap, on_root, s);
    gh_walk_caches(heap, on_cache, s);
    if (s->want_objects) {
        columns_reserve(&s->objects, s->stats.heap_objects);
        const gh_graph_fns fns = {
            .object = on_object,
            .edge = s->want_edges ? on_edge : NULL,
        };
        gh_walk_graph(heap, &fns, s);
        gh_walk_grey(heap, on_grey, s);
    }
    if (s->lost != 0) {
        gh_object o;
        return gh_object_at_addr(heap, s->lost, &o);  // GH_ERR_LOST
    }
    return s->spans.lost || s->pages.lost || s->roots.lost || s->caches.lost
                   || s->objects.lost || s->edges.lost
               ? GH_ERR_NOMEM : GH_OK;
}

static int
compare_roots(const void *a, const void *b)
{
    const gh_root *x = a, *y = b;
    return x->kind != y->kind ? (x->kind < y->kind ? -1 : 1)
           : x->target < y->target ? -1 : x->target > y->target;
}

// sort_roots puts roots in the order of kind and target. Theirs in the heap goes
// by the numbers of handles, which depend on when dropped ones were noticed.
static bool
sort_roots(columns *t)
{
    gh_root *all = malloc((t->n + 1) * sizeof(*all));
    if (all == NULL) {
        return false;
    }
    uint64_t *target = (uint64_t *)t->col[ROOT_TARGET];
    int32_t *kind = (int32_t *)t->col[ROOT_KIND];
    for (size_t i = 0; i < t->n; i++) {
        all[i] = (gh_root){.target = target[i], .kind = (gh_root_kind)kind[i]};
    }
    qsort(all, t->n, sizeof(*all), compare_roots);
    for (size_t i = 0; i < t->n; i++) {
        target[i] = all[i].target;
        kind[i] = (int32_t)all[i].kind;
    }
    free(all);
    return true;
}

static void
find_targets(const snapshot *s, columns *t, unsigned addr_col, unsigned to_col)
{
    for (size_t i = 0; i < t->n; i++) {
        const uint64_t addr = ((const uint64_t *)t->col[addr_col])[i];
        ((uint32_t *)t->col[to_col])[i] = object_of(s, addr);
    }
}

static void
snapshot_fini(snapshot *s)
{
    columns *const all[] = {&s->spans, &s->pages, &s->objects, &s->edges,
                            &s->roots, &s->caches};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        columns_fini(all[i]);
    }
    free(s->types);
    free(s->labels);
}

// type_rows lists (name, size, align, ptrdata, mask, class or None).
static PyObject *
type_rows(const snapshot *s)
{
    PyObject *list = PyList_New((Py_ssize_t)s->ntypes);
    for (uint32_t i = 0; list != NULL && i < s->ntypes; i++) {
        gh_type_desc d;
        gh_type_get(s->types[i], &d);
        const uint64_t words = d.ptrdata / 8;
        // The mask is little-endian words of 64 bits, that is, bytes in order.
        PyObject *row = Py_BuildValue(
            "sKIKy#O", d.name, (unsigned long long)d.size, (unsigned)d.align,
            (unsigned long long)d.ptrdata, words == 0 ? "" : (const char *)d.mask,
            (Py_ssize_t)((words + 7) / 8),
            d.user == 0 ? Py_None : (PyObject *)d.user);
        if (row == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, (Py_ssize_t)i, row);
        }
    }
    return list;
}

static PyObject *
label_list(const snapshot *s)
{
    PyObject *list = PyList_New((Py_ssize_t)s->nlabels);
    const char *at = s->labels;
    for (int32_t i = 0; list != NULL && i < s->nlabels; i++) {
        PyObject *label = PyUnicode_DecodeUTF8(at, (Py_ssize_t)strlen(at),
                                               "replace");
        if (label == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, (Py_ssize_t)i, label);
        }
        at += strlen(at) + 1;
    }
    return list;
}

// to_python consumes the columns of s.
static PyObject *
to_python(snapshot *s)
{
    return Py_BuildValue(
        "NNNNNNNNN", columns_take(&s->spans), columns_take(&s->pages),
        columns_take(&s->objects), columns_take(&s->edges),
        columns_take(&s->roots), columns_take(&s->caches), type_rows(s),
        label_list(s), memstats_tuple(&s->stats));
}

PyObject *
core_snapshot(PyObject *module, PyObject *args)
{
    module_state *state = PyModule_GetState(module);
    PyObject *heap;
    int objects, edges;
    if (!PyArg_ParseTuple(args, "O!pp:snapshot", state->heap_type, &heap,
                          &objects, &edges)) {
        return NULL;
    }
    heap_entry *e = heap_use((heap_object *)heap, "snapshot");
    if (e == NULL) {
        return NULL;
    }
    snapshot s = {
        .spans = COLUMNS(span_widths), .pages = COLUMNS(page_widths),
        .objects = COLUMNS(object_widths), .edges = COLUMNS(edge_widths),
        .roots = COLUMNS(root_widths), .caches = COLUMNS(cache_widths),
        .want_objects = objects != 0, .want_edges = edges != 0,
    };
    PyObject *result = NULL;
    gh_status st = entry_look_detached(e, op_snapshot, &s);
    if (st == GH_OK) {
        Py_BEGIN_ALLOW_THREADS
        if (!sort_roots(&s.roots)) {
            st = GH_ERR_NOMEM;
        }
        find_targets(&s, &s.edges, EDGE_TARGET, EDGE_TO);
        find_targets(&s, &s.roots, ROOT_TARGET, ROOT_TO);
        Py_END_ALLOW_THREADS
    }
    if (st == GH_OK) {
        result = to_python(&s);
    } else if (st == GH_ERR_NOMEM) {
        PyErr_NoMemory();
    } else {
        set_status_error(state, st, "Heap.snapshot");
    }
    snapshot_fini(&s);
    entry_unuse(state, e);
    return result;
}
