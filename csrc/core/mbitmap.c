// mbitmap.c: alloc, mark and pointer bits. See mbitmap.h.

#include "mbitmap.h"

// The areas grow by this many words at a time: 64 KiB, Go's gcBits chunk.
#define MAP_WORDS ((uint32_t)8192)

static size_t
area_bytes(size_t window_bytes)
{
    return window_bytes / 64;
}

static size_t
page_mask_bytes(size_t window_bytes)
{
    return window_bytes / GH_PAGE_SIZE * sizeof(uint64_t);
}

gh_status
gh_bitmaps_reserve(gh_bitmaps *b, gh_mem *mem, uintptr_t window,
                   size_t window_bytes, bool track_types, gh_sysstat *stat)
{
    GH_ASSERT(window_bytes % GH_HEAP_ARENA_BYTES == 0);
    const size_t bytes = area_bytes(window_bytes);
    void *a, *bb, *ptrs, *masks, *meta = NULL;
    gh_status st = gh_sys_reserve_aligned(mem, bytes, GH_PHYS_PAGE_SIZE, &a);
    if (st != GH_OK) {
        return st;
    }
    st = gh_sys_reserve_aligned(mem, bytes, GH_PHYS_PAGE_SIZE, &bb);
    if (st != GH_OK) {
        goto fail_b;
    }
    st = gh_sys_reserve_aligned(mem, bytes, GH_PHYS_PAGE_SIZE, &ptrs);
    if (st != GH_OK) {
        goto fail_ptrs;
    }
    st = gh_sys_reserve_aligned(mem, page_mask_bytes(window_bytes),
                                GH_PHYS_PAGE_SIZE, &masks);
    if (st != GH_OK) {
        goto fail_masks;
    }
    if (track_types) {
        st = gh_sys_reserve_aligned(mem, window_bytes, GH_PHYS_PAGE_SIZE,
                                    &meta);
        if (st != GH_OK) {
            goto fail_meta;
        }
    }
    *b = (gh_bitmaps){
        .area = {a, bb},
        .mark_area = 1,
        .ptr_bits = ptrs,
        .page_mask = masks,
        .meta = meta,
        .window = window,
        .limit = (uint32_t)(bytes / 8 > UINT32_MAX ? UINT32_MAX : bytes / 8),
        .stat = stat,
    };
    return GH_OK;

fail_meta:
    gh_sys_unreserve(mem, masks, page_mask_bytes(window_bytes));
fail_masks:
    gh_sys_unreserve(mem, ptrs, bytes);
fail_ptrs:
    gh_sys_unreserve(mem, bb, bytes);
fail_b:
    gh_sys_unreserve(mem, a, bytes);
    return st;
}

void
gh_bitmaps_release(gh_bitmaps *b, gh_mem *mem, size_t window_bytes)
{
    const size_t bytes = area_bytes(window_bytes);
    gh_sys_unreserve(mem, b->area[0], bytes);
    gh_sys_unreserve(mem, b->area[1], bytes);
    gh_sys_unreserve(mem, b->ptr_bits, bytes);
    gh_sys_unreserve(mem, b->page_mask, page_mask_bytes(window_bytes));
    if (b->meta != NULL) {
        gh_sys_unreserve(mem, b->meta, window_bytes);
    }
    *b = (gh_bitmaps){0};
}

// unmap_ready undoes gh_sys_map_ready, so that a step that fails half-way leaves the
// books as they were. Should the OS refuse even that, the pages stay mapped and
// uncounted; mapping them again later is legal.
static void
unmap_ready(gh_bitmaps *b, gh_mem *mem, void *v, size_t n)
{
    if (gh_sys_fault(mem, v, n) != GH_OK) {
        mem->mapped_ready -= n;  // benign: see above
    }
    b->stat->bytes -= n;
}

gh_status
gh_bitmaps_map_arena(gh_bitmaps *b, gh_mem *mem, size_t arena)
{
    const size_t bytes = area_bytes(GH_HEAP_ARENA_BYTES);
    void *ptrs = (char *)b->ptr_bits + arena * bytes;
    gh_status st = gh_sys_map_ready(mem, ptrs, bytes, b->stat);
    if (st != GH_OK) {
        return st;
    }
    const size_t masks = page_mask_bytes(GH_HEAP_ARENA_BYTES);
    st = gh_sys_map_ready(mem, (char *)b->page_mask + arena * masks, masks,
                          b->stat);
    if (st != GH_OK) {
        unmap_ready(b, mem, ptrs, bytes);
    }
    return st;
}

static gh_status
grow(gh_bitmaps *b, gh_mem *mem)
{
    if (b->mapped + MAP_WORDS > b->limit || b->mapped + MAP_WORDS < b->mapped) {
        return GH_ERR_NOMEM;
    }
    const size_t bytes = MAP_WORDS * sizeof(uint64_t);
    uint64_t *a = b->area[0] + b->mapped;
    gh_status st = gh_sys_map_ready(mem, a, bytes, b->stat);
    if (st != GH_OK) {
        return st;
    }
    uint64_t *bb = b->area[1] + b->mapped;
    st = gh_sys_map_ready(mem, bb, bytes, b->stat);
    if (st != GH_OK) {
        unmap_ready(b, mem, a, bytes);
        return st;
    }
    if (b->meta != NULL) {
        const size_t meta_bytes = (size_t)MAP_WORDS * 64 * sizeof(gh_objmeta);
        st = gh_sys_map_own(mem, b->meta + (size_t)b->mapped * 64, meta_bytes);
        if (st != GH_OK) {
            unmap_ready(b, mem, a, bytes);
            unmap_ready(b, mem, bb, bytes);
            return st;
        }
    }
    b->mapped += MAP_WORDS;
    return GH_OK;
}

gh_status
gh_bitmaps_alloc(gh_bitmaps *b, gh_mem *mem, unsigned n, uint32_t *word)
{
    const unsigned nwords = (n + 63) / 64;
    GH_ASSERT(nwords >= 1);
    GH_ASSERT(nwords <= GH_BITS_MAX_WORDS);
    uint32_t head = b->free_head[nwords];
    if (head != 0) {
        const uint32_t w = head - 1;
        b->free_head[nwords] = (uint32_t)b->area[0][w];
        b->area[0][w] = 0;
        b->used += nwords;
        *word = w;
        return GH_OK;
    }
    if (b->next + nwords > b->mapped) {
        gh_status st = grow(b, mem);
        if (st != GH_OK) {
            return st;
        }
    }
    *word = b->next;
    b->next += nwords;
    b->used += nwords;
    return GH_OK;
}

void
gh_bitmaps_free(gh_bitmaps *b, uint32_t word, unsigned nwords)
{
    GH_ASSERT(nwords >= 1);
    GH_ASSERT(nwords <= GH_BITS_MAX_WORDS);
    gh_bits_clear(b->area[0] + word, nwords);
    gh_bits_clear(b->area[1] + word, nwords);
    b->area[0][word] = b->free_head[nwords];
    b->free_head[nwords] = word + 1;
    b->used -= nwords;
}

void
gh_bitmaps_trim(gh_bitmaps *b, gh_mem *mem)
{
    // Eight words are one OS page of records: a byte for each such group, a bit
    // for each word that is free.
    enum { GROUP = GH_PHYS_PAGE_SIZE / (64 * sizeof(gh_objmeta)) };
    _Static_assert(GROUP == 8, "a byte for each group of words");
    const size_t groups = b->next / GROUP;
    const size_t bytes = gh_align_up(groups + 1, GH_PHYS_PAGE_SIZE);
    void *scratch;
    if (b->meta == NULL || groups == 0
        || gh_sys_alloc(mem, bytes, b->stat, &scratch) != GH_OK) {
        return;
    }
    uint8_t *is_free = scratch;
    for (unsigned n = 1; n <= GH_BITS_MAX_WORDS; n++) {
        for (uint32_t head = b->free_head[n]; head != 0;) {
            const uint32_t w = head - 1;
            for (uint32_t i = w; i < w + n; i++) {
                is_free[i / GROUP] |= (uint8_t)(1u << i % GROUP);
            }
            head = (uint32_t)b->area[0][w];
        }
    }
    for (size_t i = 0, end; i < groups; i = end + 1) {
        for (end = i; end < groups && is_free[end] == 0xff; end++) {
        }
        if (end > i) {
            gh_sys_trim(mem, b->meta + i * GROUP * 64,
                        (end - i) * GH_PHYS_PAGE_SIZE);
        }
    }
    gh_sys_free(mem, scratch, bytes, bytes, b->stat);
}

void
gh_ptr_bits_trim(gh_bitmaps *b, gh_mem *mem, uintptr_t from, uintptr_t to)
{
    const size_t first = gh_align_up((from - b->window) / 64, GH_PHYS_PAGE_SIZE);
    const size_t limit = (to - b->window) / 64 & ~(GH_PHYS_PAGE_SIZE - 1);
    if (first < limit) {
        gh_sys_trim(mem, (char *)b->ptr_bits + first, limit - first);
    }
}

// fill_ptr_bits gives every slot of s the mask. What lies behind the last one
// gets bits too, where nobody looks.
static void
fill_ptr_bits(gh_bitmaps *b, const gh_mspan *s, uint64_t mask)
{
    const unsigned words = (unsigned)(s->elemsize / GH_PTR_SIZE);
    const uint64_t n = s->npages * GH_PAGE_SIZE / (64 * GH_PTR_SIZE);
    uint64_t *w = b->ptr_bits + (s->base - b->window) / (64 * GH_PTR_SIZE);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t bits;
        if (i >= words) {
            bits = w[i - words];  // so many words hold 64 masks: they repeat
        } else {
            unsigned have = words - (unsigned)(i * 64 % words);
            bits = mask >> (words - have);
            for (; have < 64; have += words) {
                bits |= mask << have;
            }
        }
        __atomic_store_n(&w[i], bits, __ATOMIC_RELAXED);
    }
}

void
gh_obj_ptr_bits_set_slow(gh_bitmaps *b, gh_mspan *s, uintptr_t p,
                         uint64_t mask)
{
    const bool alone = s->alloc_count == 1;
    uint64_t *all = gh_page_mask_at(b, s->base);
    s->mask = alone ? mask : 0;
    s->short_way = 0;
    for (uint64_t i = 0; i < s->npages; i++) {
        __atomic_store_n(&all[i], s->mask, __ATOMIC_RELAXED);
    }
    if (alone) {
        fill_ptr_bits(b, s, mask);
    } else {
        gh_ptr_bits_set(b, p, (unsigned)(s->elemsize / GH_PTR_SIZE), mask);
    }
}

unsigned
gh_mspan_next_free_index(const gh_bitmaps *b, gh_mspan *s)
{
    unsigned i = s->free_index;
    const unsigned n = s->nelems;
    GH_ASSERT(i <= n);
    if (i == n) {
        return n;
    }
    while (s->alloc_cache == 0) {
        i = (i + 64) & ~63u;
        if (i >= n) {
            s->free_index = (uint16_t)n;
            return n;
        }
        gh_mspan_refill_alloc_cache(b, s, i);
    }
    const unsigned skip = gh_ctz64(s->alloc_cache);
    const unsigned result = i + skip;
    if (result >= n) {
        s->free_index = (uint16_t)n;
        return n;
    }
    s->alloc_cache = s->alloc_cache >> skip >> 1;
    i = result + 1;
    if (i % 64 == 0 && i != n) {
        gh_mspan_refill_alloc_cache(b, s, i);
    }
    s->free_index = (uint16_t)i;
    return result;
}
