// mgcscan.h: the kernels of Green Tea, which look at a whole page of small
// objects at once.
//
// Layer 2. Includes ghassert.h, ghbits.h, ghconst.h.
// Go: internal/runtime/gc/scan.
//
// A page of 8 KiB is 1024 words, and so are three masks of it:
//
//   object mask   bit i: object i is to be scanned
//   word mask     bit w: word w belongs to such an object
//   pointer mask  bit w: word w holds a pointer, or nil
//
// Bit i is bit i % 64 of word i / 64. All objects of a page have the same size,
// 1 to 64 words, and object 0 begins where the page begins. The last object may
// not fit in whole; its bit then stands for the words that there are, and bits
// behind it stand for nothing.
//
// Each kernel exists in portable C and with AVX-512, and both give the same
// results: which one ran shows in the time alone. Go scans densely only where
// it has the fast one, so there the CPU decides about scan work and the next
// goal; here it must not.
//
// Locking: none. Kernels keep nothing. A page may be written meanwhile: each
// word is loaded once, whole, and comes out as it was then.

#ifndef MGCSCAN_H
#define MGCSCAN_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "ghassert.h"
#include "ghbits.h"
#include "ghconst.h"

#define GH_PAGE_WORDS          ((unsigned)(GH_PAGE_SIZE / GH_PTR_SIZE))
#define GH_PAGE_MASK_WORDS     (GH_PAGE_WORDS / 64)
#define GH_SCAN_MAX_OBJ_WORDS  64u

_Static_assert(GH_PAGE_WORDS == GH_MAX_OBJS_PER_SPAN,
               "an object mask has as many bits as a word mask");
_Static_assert(GH_MIN_SIZE_FOR_MALLOC_HEADER
                   == GH_SCAN_MAX_OBJ_WORDS * GH_PTR_SIZE,
               "kernels take every size that has pointer bits of its own");

typedef struct gh_page_mask {
    uint64_t w[GH_PAGE_MASK_WORDS];
} gh_page_mask;

typedef struct gh_scan_kernels {
    const char *name;

    // expand makes the word mask of an object mask. They may be the same.
    void (*expand)(unsigned obj_words, const gh_page_mask *objects,
                   gh_page_mask *words);

    // scan_span stores the pointer words that are not nil of the objects in the
    // mask, in address order, and returns how many there are. buf has room for
    // GH_PAGE_WORDS, and what it holds behind the result is undefined.
    unsigned (*scan_span)(const void *page, unsigned obj_words,
                          const gh_page_mask *objects,
                          const gh_page_mask *pointers, uintptr_t *buf);

    // filter_nil moves what is not nil of the n words to the front, in order,
    // and returns how many there are. What is behind them is undefined.
    size_t (*filter_nil)(uintptr_t *buf, size_t n);
} gh_scan_kernels;

const gh_scan_kernels *gh_scan_kernels_portable(void);

// gh_scan_kernels_avx512 is NULL if this CPU, its operating system or the
// compiler that built us does not have what they need.
const gh_scan_kernels *gh_scan_kernels_avx512(void);

// gh_scan_kernels_best are the fastest that run here.
const gh_scan_kernels *gh_scan_kernels_best(void);

#endif  // MGCSCAN_H
