// peer_scan.c: the kernels of Green Tea behind the C ABI of Go's own unit
// tests. See peer.c.
//
// Each case runs every kernel that this CPU can run; one that differs from the
// portable one is a reason to stop.

#define PEER_API __attribute__((visibility("default")))
#include "peer_abi.h"

#include <stdlib.h>
#include <string.h>

#include "ghassert.h"
#include "mgcscan.h"
#include "msize.h"

_Static_assert(sizeof(gh_page_mask) == 16 * sizeof(uintptr_t),
               "the tests' arrays of words are the core's masks");

static const gh_page_mask *
mask_of(const uintptr_t *m)
{
    return (const gh_page_mask *)(const void *)m;
}

static void
same(const void *a, const void *b, size_t n)
{
    GH_THROW_IF(n != 0 && memcmp(a, b, n) != 0,
                "peer: the kernels differ from each other");
}

int32_t
pr_scan_span_packed(const void *mem, uintptr_t *buf, const uintptr_t *obj_marks,
                    uint64_t size_class, const uintptr_t *ptr_mask)
{
    const unsigned obj_words = gh_class_to_size[size_class] / GH_PTR_SIZE;
    const unsigned n = gh_scan_kernels_portable()->scan_span(
        mem, obj_words, mask_of(obj_marks), mask_of(ptr_mask), buf);
    uintptr_t other[GH_PAGE_WORDS];
    GH_THROW_IF(gh_scan_kernels_best()->scan_span(mem, obj_words,
                                                  mask_of(obj_marks),
                                                  mask_of(ptr_mask), other)
                    != n,
                "peer: the kernels differ in number");
    same(buf, other, n * sizeof(buf[0]));
    return (int32_t)n;
}

void
pr_expand(int32_t size_class, const uintptr_t *packed, uintptr_t *unpacked)
{
    const unsigned obj_words = gh_class_to_size[size_class] / GH_PTR_SIZE;
    gh_page_mask a, b;
    gh_scan_kernels_portable()->expand(obj_words, mask_of(packed), &a);
    gh_scan_kernels_best()->expand(obj_words, mask_of(packed), &b);
    same(&a, &b, sizeof(a));
    memcpy(unpacked, &a, sizeof(a));
}

int32_t
pr_filter_nil(uintptr_t *buf, int32_t n)
{
    uintptr_t *other = malloc((size_t)n * sizeof(buf[0]) + 1);
    GH_THROW_IF(other == NULL, "peer: out of memory");
    if (n != 0) {
        memcpy(other, buf, (size_t)n * sizeof(buf[0]));
    }
    const size_t a = gh_scan_kernels_portable()->filter_nil(buf, (size_t)n);
    const size_t b = gh_scan_kernels_best()->filter_nil(other, (size_t)n);
    GH_THROW_IF(a != b, "peer: the kernels differ in number");
    same(buf, other, a * sizeof(buf[0]));
    free(other);
    return (int32_t)a;
}
