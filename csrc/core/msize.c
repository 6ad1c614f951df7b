// msize.c: questions about size classes that clients ask. See msize.h and
// goheap.h.

#include "msize.h"

#include "goheap.h"

uint32_t
gh_num_size_classes(void)
{
    return GH_NUM_SIZE_CLASSES;
}

gh_size_class
gh_size_class_get(uint32_t cls)
{
    gh_size_class out = {0};
    if (cls == 0 || cls >= GH_NUM_SIZE_CLASSES) {
        return out;
    }
    const uint32_t size = gh_class_to_size[cls];
    const uint32_t npages = gh_class_to_alloc_npages[cls];
    const uint32_t span = npages * (uint32_t)GH_PAGE_SIZE;
    const uint32_t objects = span / size;
    const uint32_t smallest = gh_class_to_size[cls - 1] + 1u;
    out = (gh_size_class){
        .size = size,
        .npages = npages,
        .nelems_noscan = gh_class_nelems(gh_make_spanclass(cls, true)),
        .nelems_scan = gh_class_nelems(gh_make_spanclass(cls, false)),
        .divmagic = gh_class_to_divmagic[cls],
        .tail_waste = span - objects * size,
        .max_waste = (double)((size - smallest) * objects
                              + (span - objects * size))
                     / (double)span,
    };
    return out;
}

uint64_t
gh_round_up_size(uint64_t size, bool noscan)
{
    uint64_t req = size;
    if (size <= GH_MAX_SMALL_REQUEST && size > 0) {
        if (!noscan && !gh_heap_bits_in_span(size)) {
            req += GH_MALLOC_HEADER_SIZE;
        }
        return gh_class_to_size[gh_size_to_class(req)] - (req - size);
    }
    req = gh_align_up(size, GH_PAGE_SIZE);
    return req < size ? size : req;
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
    e.sizeclass = (uint8_t)gh_size_to_class(req);
    e.spanclass = gh_make_spanclass(e.sizeclass, !pointers);
    e.elemsize = gh_class_to_size[e.sizeclass];
    e.npages = gh_class_to_alloc_npages[e.sizeclass];
    e.nelems = gh_class_nelems(e.spanclass);
    e.waste = e.elemsize - size;
    return e;
}
