// mranges.c: ranges of addresses, and sorted sets of them. See mranges.h.

#include "mranges.h"

#include <string.h>

#include "ghassert.h"

#define INITIAL_CAP ((size_t)16)

// new_array asks source for room for cap ranges.
static gh_status
new_array(const gh_addr_ranges *a, size_t cap, gh_addr_range **out)
{
    void *mem;
    gh_status st = gh_persistentalloc(a->source, cap * sizeof(gh_addr_range),
                                      _Alignof(gh_addr_range), a->stat, &mem);
    if (st == GH_OK) {
        *out = mem;
    }
    return st;
}

static void
move(gh_addr_range *to, const gh_addr_range *from, size_t n)
{
    memmove(to, from, n * sizeof(*to));
}

gh_status
gh_addr_ranges_init(gh_addr_ranges *a, gh_persistent *source, gh_sysstat *stat)
{
    *a = (gh_addr_ranges){.source = source, .stat = stat};
    gh_status st = new_array(a, INITIAL_CAP, &a->ranges);
    if (st == GH_OK) {
        a->cap = INITIAL_CAP;
    }
    return st;
}

size_t
gh_addr_ranges_find_succ(const gh_addr_ranges *a, uint64_t addr)
{
    size_t lo = 0, hi = a->len;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (addr < a->ranges[mid].base) {
            hi = mid;
        } else {
            lo = mid + 1;
        }
    }
    return lo;
}

bool
gh_addr_ranges_find_addr_greater_equal(const gh_addr_ranges *a, uint64_t addr,
                                       uint64_t *out)
{
    const size_t i = gh_addr_ranges_find_succ(a, addr);
    if (i > 0 && gh_addr_range_contains(a->ranges[i - 1], addr)) {
        *out = addr;
        return true;
    }
    if (i < a->len) {
        *out = a->ranges[i].base;
        return true;
    }
    return false;
}

bool
gh_addr_ranges_contains(const gh_addr_ranges *a, uint64_t addr)
{
    const size_t i = gh_addr_ranges_find_succ(a, addr);
    return i > 0 && gh_addr_range_contains(a->ranges[i - 1], addr);
}

gh_status
gh_addr_ranges_add(gh_addr_ranges *a, gh_addr_range r)
{
    GH_THROW_IF(gh_addr_range_size(r) == 0, "empty address range added");

    const size_t i = gh_addr_ranges_find_succ(a, r.base);
    gh_addr_range *below = i > 0 ? &a->ranges[i - 1] : NULL;
    gh_addr_range *above = i < a->len ? &a->ranges[i] : NULL;
    GH_ASSERT(below == NULL || below->limit <= r.base);
    GH_ASSERT(above == NULL || r.limit <= above->base);
    const bool joins_below = below != NULL && below->limit == r.base;
    const bool joins_above = above != NULL && r.limit == above->base;

    if (joins_below && joins_above) {
        below->limit = above->limit;
        move(above, above + 1, a->len - i - 1);
        a->len--;
    } else if (joins_below) {
        below->limit = r.limit;
    } else if (joins_above) {
        above->base = r.base;
    } else {
        if (a->len == a->cap) {
            gh_addr_range *larger;
            gh_status st = new_array(a, 2 * a->cap, &larger);
            if (st != GH_OK) {
                return st;
            }
            move(larger, a->ranges, a->len);
            a->ranges = larger;
            a->cap *= 2;
        }
        move(&a->ranges[i + 1], &a->ranges[i], a->len - i);
        a->ranges[i] = r;
        a->len++;
    }
    a->total_bytes += gh_addr_range_size(r);
    GH_ASSERT_SLOW(gh_addr_ranges_check(a));
    return GH_OK;
}

gh_addr_range
gh_addr_ranges_remove_last(gh_addr_ranges *a, uint64_t nbytes)
{
    if (a->len == 0) {
        return (gh_addr_range){0, 0};
    }
    gh_addr_range *last = &a->ranges[a->len - 1];
    gh_addr_range cut = *last;
    if (gh_addr_range_size(*last) > nbytes) {
        last->limit -= nbytes;
        cut.base = last->limit;
    } else {
        a->len--;
    }
    a->total_bytes -= gh_addr_range_size(cut);
    return cut;
}

void
gh_addr_ranges_remove_greater_equal(gh_addr_ranges *a, uint64_t addr)
{
    while (a->len > 0) {
        gh_addr_range *last = &a->ranges[a->len - 1];
        if (last->limit <= addr) {
            break;
        }
        if (last->base < addr) {
            a->total_bytes -= last->limit - addr;
            last->limit = addr;
            break;
        }
        a->total_bytes -= gh_addr_range_size(*last);
        a->len--;
    }
}

gh_status
gh_addr_ranges_clone_into(const gh_addr_ranges *a, gh_addr_ranges *b)
{
    if (a->len > b->cap) {
        gh_status st = new_array(b, a->cap, &b->ranges);
        if (st != GH_OK) {
            return st;
        }
        b->cap = a->cap;
    }
    move(b->ranges, a->ranges, a->len);
    b->len = a->len;
    b->total_bytes = a->total_bytes;
    return GH_OK;
}

bool
gh_addr_ranges_check(const gh_addr_ranges *a)
{
    uint64_t total = 0;
    for (size_t i = 0; i < a->len; i++) {
        const gh_addr_range r = a->ranges[i];
        if (gh_addr_range_size(r) == 0
            || (i > 0 && r.base < a->ranges[i - 1].limit)) {
            return false;
        }
        total += gh_addr_range_size(r);
    }
    return total == a->total_bytes && a->len <= a->cap;
}
