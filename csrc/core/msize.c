// msize.c: tables of size classes, and questions about them. See msize.h and
// goheap.h.

#include "msize.h"

#include <string.h>

#include "goheap.h"

static void
go_table(gh_size_table *t)
{
    t->n = GH_NUM_SIZE_CLASSES;
    memcpy(t->size, gh_class_to_size, sizeof(t->size));
    memcpy(t->npages, gh_class_to_alloc_npages, sizeof(t->npages));
    memcpy(t->divmagic, gh_class_to_divmagic, sizeof(t->divmagic));
    memcpy(t->to_class8, gh_size_to_class8, sizeof(t->to_class8));
    memcpy(t->to_class128, gh_size_to_class128, sizeof(t->to_class128));
}

static bool
sizes_are_valid(const uint16_t *sizes, uint32_t n)
{
    bool has_boundary = false;
    unsigned last = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (sizes[i] <= last || sizes[i] % (sizes[i] > 1024 ? 128 : 8) != 0) {
            return false;
        }
        last = sizes[i];
        has_boundary |= last == GH_MIN_SIZE_FOR_MALLOC_HEADER;
    }
    return n < GH_NUM_SIZE_CLASSES && has_boundary && last == GH_MAX_SMALL_SIZE;
}

// own_table derives what Go's mksizeclasses derives from a size. That the
// magic numbers divide exactly is tested for every size there can be.
static void
own_table(gh_size_table *t, const uint16_t *sizes, uint32_t n)
{
    t->n = n + 1;
    for (uint32_t i = 1; i <= n; i++) {
        const unsigned size = sizes[i - 1];
        unsigned span = GH_PAGE_SIZE;
        while (span % size > span / 8) {
            span += GH_PAGE_SIZE;
        }
        t->size[i] = (uint16_t)size;
        t->npages[i] = (uint8_t)(span / GH_PAGE_SIZE);
        t->divmagic[i] = UINT32_MAX / size + 1;
    }
    unsigned cls = 1;
    for (unsigned k = 1; k <= 128; k++) {
        cls += t->size[cls] < 8 * k;
        t->to_class8[k] = (uint8_t)cls;
    }
    for (unsigned k = 0; k <= 248; k++) {
        cls += t->size[cls] < 1024 + 128 * k;
        t->to_class128[k] = (uint8_t)cls;
    }
}

bool
gh_size_table_init(gh_size_table *t, const uint16_t *sizes, uint32_t n)
{
    *t = (gh_size_table){0};
    if (n == 0
        || (n == GH_NUM_SIZE_CLASSES - 1
            && memcmp(sizes, gh_class_to_size + 1, n * sizeof(*sizes)) == 0)) {
        // Go's spans of Go's sizes: some sizes grew after the spans were chosen.
        go_table(t);
    } else if (sizes_are_valid(sizes, n)) {
        own_table(t, sizes, n);
    } else {
        return false;
    }
    for (unsigned cls = 1; cls < t->n; cls++) {
        for (unsigned noscan = 0; noscan < 2; noscan++) {
            t->nelems[gh_make_spanclass(cls, noscan != 0)] =
                (uint16_t)gh_slots_of_span(t->size[cls], t->npages[cls],
                                           noscan != 0);
        }
        if (t->size[cls] == GH_TINY_SIZE) {
            t->tiny_spc = gh_make_spanclass(cls, true);
        }
    }
    return true;
}

// with_header adds the header, if there is one, to a small size.
static uint64_t
with_header(uint64_t size, bool noscan)
{
    return noscan || gh_heap_bits_in_span(size) ? size
                                                : size + GH_MALLOC_HEADER_SIZE;
}

static uint64_t
round_up_large(uint64_t size)
{
    const uint64_t bytes = gh_align_up(size, GH_PAGE_SIZE);
    return bytes < size ? size : bytes;
}

uint64_t
gh_table_round_up(const gh_size_table *t, uint64_t size, bool noscan)
{
    if (size > GH_MAX_SMALL_REQUEST || size == 0) {
        return round_up_large(size);
    }
    const uint64_t req = with_header(size, noscan);
    return t->size[gh_table_class(t, req)] - (req - size);
}

// ---- what clients ask --------------------------------------------------------------

// table_of makes the table of a policy; NULL: of Go's.
static bool
table_of(gh_size_table *t, const gh_policy *policy)
{
    return policy == NULL ? gh_size_table_init(t, NULL, 0)
                          : gh_size_table_init(t, policy->size_class,
                                               policy->num_size_classes);
}

uint32_t
gh_num_size_classes(void)
{
    return GH_NUM_SIZE_CLASSES;
}

// describe says what a class is whose smaller neighbour has slots of below bytes.
static gh_size_class
describe(uint32_t size, uint32_t below, uint32_t npages, uint32_t divmagic)
{
    const uint32_t span = npages * (uint32_t)GH_PAGE_SIZE;
    const uint32_t objects = span / size;
    const uint32_t smallest = below + 1u;
    return (gh_size_class){
        .size = size,
        .npages = npages,
        .nelems_noscan = gh_slots_of_span(size, npages, true),
        .nelems_scan = gh_slots_of_span(size, npages, false),
        .divmagic = divmagic,
        .tail_waste = span - objects * size,
        .max_waste = (double)((size - smallest) * objects
                              + (span - objects * size))
                     / (double)span,
    };
}

gh_size_class
gh_size_class_get(uint32_t cls)
{
    return cls == 0 || cls >= GH_NUM_SIZE_CLASSES
               ? (gh_size_class){0}
               : describe(gh_class_to_size[cls], gh_class_to_size[cls - 1],
                          gh_class_to_alloc_npages[cls],
                          gh_class_to_divmagic[cls]);
}

uint32_t
gh_size_classes_get(const gh_policy *policy, gh_size_class *out)
{
    gh_size_table t;
    if (!table_of(&t, policy)) {
        return 0;
    }
    out[0] = (gh_size_class){0};
    for (uint32_t i = 1; i < t.n; i++) {
        out[i] = describe(t.size[i], t.size[i - 1], t.npages[i], t.divmagic[i]);
    }
    return t.n;
}

uint64_t
gh_round_up_size(uint64_t size, bool noscan)
{
    if (size > GH_MAX_SMALL_REQUEST || size == 0) {
        return round_up_large(size);
    }
    const uint64_t req = with_header(size, noscan);
    return gh_class_to_size[gh_size_to_class(req)] - (req - size);
}

gh_explanation
gh_explain(uint64_t size, bool pointers, const gh_policy *policy)
{
    gh_explanation e = {.size = size};
    const bool tiny = policy == NULL || policy->tiny;
    if (size == 0) {
        e.path = GH_PATH_ZERO;
        return e;
    }
    if (size > GH_MAX_SMALL_REQUEST) {
        e.path = GH_PATH_LARGE;
        e.npages = size / GH_PAGE_SIZE + (size % GH_PAGE_SIZE != 0);
        e.spanclass = gh_make_spanclass(0, !pointers);
        e.nelems = 1;
        e.elemsize = e.npages * GH_PAGE_SIZE;
        e.waste = e.elemsize - size;
        return e;
    }
    uint64_t req = size;
    if (pointers) {
        e.header = !gh_heap_bits_in_span(size);
        req += e.header ? GH_MALLOC_HEADER_SIZE : 0;
        e.path = e.header ? GH_PATH_SMALL_HEADER : GH_PATH_SMALL_SCAN;
    } else if (tiny && size < GH_TINY_SIZE) {
        e.path = GH_PATH_TINY;
        req = GH_TINY_SIZE;
    } else {
        e.path = GH_PATH_SMALL_NOSCAN;
    }
    gh_size_table t;
    if (!table_of(&t, policy)) {
        (void)gh_size_table_init(&t, NULL, 0);
    }
    e.sizeclass = (uint8_t)gh_table_class(&t, req);
    e.spanclass = gh_make_spanclass(e.sizeclass, !pointers);
    e.elemsize = t.size[e.sizeclass];
    e.npages = t.npages[e.sizeclass];
    e.nelems = t.nelems[e.spanclass];
    e.waste = e.elemsize - size;
    return e;
}
