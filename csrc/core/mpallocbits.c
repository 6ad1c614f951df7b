// mpallocbits.c: the bitmaps of one chunk and their summaries. See
// mpallocbits.h.

#include "mpallocbits.h"

// low_mask returns n ones from bit 0 on, n <= 64.
static inline uint64_t
low_mask(unsigned n)
{
    return n >= 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1;
}

// range_mask returns the bits of word k that belong to [i, i + n).
static inline uint64_t
range_mask(unsigned k, unsigned i, unsigned n)
{
    const unsigned word = k * 64;
    const unsigned from = i > word ? i - word : 0;
    const unsigned to = i + n < word + 64 ? i + n - word : 64;
    return low_mask(to - from) << from;
}

static void
check_range(unsigned i, unsigned n)
{
    (void)i;
    (void)n;
    GH_ASSERT(n > 0);
    GH_ASSERT(i < GH_PALLOC_CHUNK_PAGES);
    GH_ASSERT(n <= GH_PALLOC_CHUNK_PAGES - i);
}

void
gh_palloc_bits_set_range(gh_palloc_bits *b, unsigned i, unsigned n)
{
    check_range(i, n);
    const unsigned last = (i + n - 1) / 64;
    for (unsigned k = i / 64; k <= last; k++) {
        b->w[k] |= range_mask(k, i, n);
    }
}

void
gh_palloc_bits_clear_range(gh_palloc_bits *b, unsigned i, unsigned n)
{
    check_range(i, n);
    const unsigned last = (i + n - 1) / 64;
    for (unsigned k = i / 64; k <= last; k++) {
        b->w[k] &= ~range_mask(k, i, n);
    }
}

unsigned
gh_palloc_bits_popcnt_range(const gh_palloc_bits *b, unsigned i, unsigned n)
{
    check_range(i, n);
    const unsigned last = (i + n - 1) / 64;
    unsigned sum = 0;
    for (unsigned k = i / 64; k <= last; k++) {
        sum += gh_popcount64(b->w[k] & range_mask(k, i, n));
    }
    return sum;
}

unsigned
gh_find_bit_range64(uint64_t c, unsigned n)
{
    GH_ASSERT(n >= 1);
    GH_ASSERT(n <= 64);
    // After a round, bit i of c says that bits i .. i + width - 1 of the
    // original are all set. The width at most doubles each time.
    for (unsigned width = 1; width < n && c != 0;) {
        const unsigned step = width < n - width ? width : n - width;
        c &= c >> step;
        width += step;
    }
    return gh_ctz64(c);
}

// longest_run raises most to the length of the longest run of ones in c.
static unsigned
longest_run(uint64_t c, unsigned most)
{
    while (most < 64) {
        const unsigned i = gh_find_bit_range64(c, most + 1);
        if (i >= 64) {
            break;
        }
        most = gh_ctz64(~(c >> i));
    }
    return most;
}

gh_palloc_sum
gh_palloc_bits_summarize(const gh_palloc_bits *b)
{
    unsigned start = GH_PAGE_NOT_FOUND;
    unsigned most = 0;
    unsigned run = 0;  // free pages that end where the next word begins
    for (unsigned k = 0; k < GH_PALLOC_WORDS; k++) {
        const uint64_t x = b->w[k];
        if (x == 0) {
            run += 64;
            continue;
        }
        run += gh_ctz64(x);
        if (start == GH_PAGE_NOT_FOUND) {
            start = run;
        }
        most = run > most ? run : most;
        run = gh_clz64(x);
    }
    if (start == GH_PAGE_NOT_FOUND) {
        return gh_free_chunk_sum();
    }
    most = run > most ? run : most;
    // What is left are runs between two allocated pages of one word. They are
    // at most 62 long, so often there is no need to look.
    for (unsigned k = 0; k < GH_PALLOC_WORDS && most < 62; k++) {
        most = longest_run(~b->w[k], most);
    }
    return gh_palloc_sum_pack(start, most, run);
}

gh_palloc_sum
gh_palloc_bits_sum_after_free(const gh_palloc_bits *b, gh_palloc_sum before, unsigned i,
                              unsigned n)
{
    check_range(i, n);
    unsigned k = i / 64;
    uint64_t used = b->w[k] & low_mask(i % 64);
    while (used == 0 && k > 0) {
        used = b->w[--k];
    }
    const unsigned from = used == 0 ? 0 : k * 64 + 64 - gh_clz64(used);
    k = (i + n - 1) / 64;
    used = b->w[k] & ~low_mask((i + n - 1) % 64 + 1);
    while (used == 0 && k + 1 < GH_PALLOC_WORDS) {
        used = b->w[++k];
    }
    const unsigned to = used == 0 ? GH_PALLOC_CHUNK_PAGES : k * 64 + gh_ctz64(used);

    const unsigned run = to - from;
    if (run == GH_PALLOC_CHUNK_PAGES) {
        return gh_free_chunk_sum();
    }
    const uint64_t most = gh_palloc_sum_max(before);
    return gh_palloc_sum_pack(from == 0 ? run : gh_palloc_sum_start(before),
                              run > most ? run : most,
                              to == GH_PALLOC_CHUNK_PAGES ? run
                                                          : gh_palloc_sum_end(before));
}

gh_palloc_sum
gh_merge_summaries(const gh_palloc_sum *sums, unsigned n,
                   unsigned log_max_pages)
{
    const uint64_t full = (uint64_t)1 << log_max_pages;
    uint64_t start, most, end;
    gh_palloc_sum_unpack(sums[0], &start, &most, &end);
    for (unsigned i = 1; i < n; i++) {
        if (sums[i] == 0) {  // nothing free: most often there is no memory yet
            most = end > most ? end : most;
            end = 0;
            continue;
        }
        uint64_t s, m, e;
        gh_palloc_sum_unpack(sums[i], &s, &m, &e);
        if (start == (uint64_t)i << log_max_pages) {
            start += s;  // all free so far
        }
        const uint64_t across = end + s;
        most = across > most ? across : most;
        most = m > most ? m : most;
        end = e == full ? end + full : e;
    }
    return gh_palloc_sum_pack(start, most, end);
}

unsigned
gh_palloc_bits_find(const gh_palloc_bits *b, uint64_t npages,
                    unsigned search_idx, unsigned *new_search_idx)
{
    if (npages == 1) {
        const unsigned i = gh_palloc_bits_find1(b, search_idx);
        *new_search_idx = i;
        return i;
    }
    if (npages <= 64) {
        return gh_palloc_bits_find_small_n(b, npages, search_idx,
                                           new_search_idx);
    }
    return gh_palloc_bits_find_large_n(b, npages, search_idx, new_search_idx);
}

unsigned
gh_palloc_bits_find1(const gh_palloc_bits *b, unsigned search_idx)
{
    for (unsigned k = search_idx / 64; k < GH_PALLOC_WORDS; k++) {
        if (b->w[k] != UINT64_MAX) {
            return k * 64 + gh_ctz64(~b->w[k]);
        }
    }
    return GH_PAGE_NOT_FOUND;
}

unsigned
gh_palloc_bits_find_small_n(const gh_palloc_bits *b, uint64_t npages,
                            unsigned search_idx, unsigned *new_search_idx)
{
    GH_ASSERT(npages <= 64);
    unsigned run = 0;  // free pages that end where this word begins
    *new_search_idx = GH_PAGE_NOT_FOUND;
    for (unsigned k = search_idx / 64; k < GH_PALLOC_WORDS; k++) {
        const uint64_t x = b->w[k];
        if (x == UINT64_MAX) {
            run = 0;
            continue;
        }
        if (*new_search_idx == GH_PAGE_NOT_FOUND) {
            *new_search_idx = k * 64 + gh_ctz64(~x);
        }
        if (run + gh_ctz64(x) >= npages) {
            return k * 64 - run;
        }
        const unsigned i = gh_find_bit_range64(~x, (unsigned)npages);
        if (i < 64) {
            return k * 64 + i;
        }
        run = gh_clz64(x);
    }
    return GH_PAGE_NOT_FOUND;
}

unsigned
gh_palloc_bits_find_large_n(const gh_palloc_bits *b, uint64_t npages,
                            unsigned search_idx, unsigned *new_search_idx)
{
    // More than 64 pages: a run always reaches the end of the word in which it
    // begins, so only the ends of words matter.
    unsigned run = 0;
    *new_search_idx = GH_PAGE_NOT_FOUND;
    for (unsigned k = search_idx / 64; k < GH_PALLOC_WORDS; k++) {
        const uint64_t x = b->w[k];
        if (x != UINT64_MAX && *new_search_idx == GH_PAGE_NOT_FOUND) {
            *new_search_idx = k * 64 + gh_ctz64(~x);
        }
        const unsigned front = gh_ctz64(x);
        if (run + front >= npages) {
            return k * 64 - run;
        }
        run = front == 64 ? run + 64 : gh_clz64(x);
    }
    return GH_PAGE_NOT_FOUND;
}

void
gh_palloc_data_alloc_range(gh_palloc_data *d, unsigned i, unsigned n)
{
    gh_palloc_bits_set_range(&d->alloc, i, n);
    gh_palloc_bits_clear_range(&d->scavenged, i, n);
}

void
gh_palloc_data_alloc_all(gh_palloc_data *d)
{
    gh_palloc_data_alloc_range(d, 0, GH_PALLOC_CHUNK_PAGES);
}

void
gh_palloc_data_free_range(gh_palloc_data *d, unsigned i, unsigned n)
{
    gh_palloc_bits_clear_range(&d->alloc, i, n);
}

void
gh_palloc_data_free_all(gh_palloc_data *d)
{
    gh_palloc_data_free_range(d, 0, GH_PALLOC_CHUNK_PAGES);
}

uint64_t
gh_fill_aligned(uint64_t x, unsigned m)
{
    GH_THROW_IF(m > 64 || !gh_is_pow2(m), "fill_aligned: bad group size");
    // Fold each group onto its lowest bit, which then sees bits i .. i + m - 1,
    // its own group exactly; drop the others; spread by multiplication.
    for (unsigned s = 1; s < m; s *= 2) {
        x |= x >> s;
    }
    const uint64_t group = low_mask(m);
    return (x & UINT64_MAX / group) * group;
}

// taken returns word k with a 1 for every page that is allocated or scavenged,
// or shares its group of min pages with one.
static uint64_t
taken(const gh_palloc_data *d, unsigned k, uint64_t min)
{
    return gh_fill_aligned(d->alloc.w[k] | d->scavenged.w[k], (unsigned)min);
}

unsigned
gh_palloc_data_find_scavenge_candidate(const gh_palloc_data *d,
                                       unsigned search_idx, uint64_t min,
                                       uint64_t max, unsigned *n)
{
    GH_THROW_IF(!gh_is_pow2(min), "scavenge: min is no power of 2");
    GH_THROW_IF(min > 64, "scavenge: min is too large");
    *n = 0;
    // Whatever is taken is a multiple of min.
    if (max > GH_PALLOC_CHUNK_PAGES) {
        max = GH_PALLOC_CHUNK_PAGES;
    }
    max = max == 0 ? min : gh_align_up(max, min);

    // The highest word with a candidate, and in it the end of the run.
    unsigned k = search_idx / 64 + 1;
    uint64_t x = UINT64_MAX;
    while (k > 0 && (x = taken(d, k - 1, min)) == UINT64_MAX) {
        k--;
    }
    if (k == 0) {
        return 0;
    }
    k--;
    const unsigned above = gh_clz64(~x);
    const unsigned end = k * 64 + 64 - above;

    // Its length: down to the next taken page, over word borders.
    unsigned run = gh_clz64(x << above);
    if (run >= 64 - above) {
        run = 64 - above;
        while (k > 0) {
            k--;
            const unsigned more = gh_clz64(taken(d, k, min));
            run += more;
            if (more < 64) {
                break;
            }
        }
    }

    unsigned size = run < max ? run : (unsigned)max;
    unsigned start = end - size;

    // A huge page is given back whole or not at all. If one begins within what
    // we would take or at its end, and the one below start lies in the run, then
    // the cut at start would break that one: take it too.
    const unsigned huge = (unsigned)(GH_PHYS_HUGE_SIZE / GH_PAGE_SIZE);
    if (gh_align_up(start, huge) <= end) {
        const unsigned below = (unsigned)gh_align_down(start, huge);
        if (below >= end - run) {
            size += start - below;
            start = below;
        }
    }
    *n = size;
    return start;
}

bool
gh_palloc_data_has_scavenge_candidate(const gh_palloc_data *d, uint64_t min)
{
    for (unsigned k = 0; k < GH_PALLOC_WORDS; k++) {
        if (taken(d, k, min) != UINT64_MAX) {
            return true;
        }
    }
    return false;
}
