// mgcscavenge_index.c: which chunks are worth scavenging. See
// mgcscavenge_index.h.

#include "mgcscavenge_index.h"

#define IN_USE_BITS (GH_LOG_PALLOC_CHUNK_PAGES + 1u)  // 0..512
#define IN_USE_MASK ((1u << IN_USE_BITS) - 1u)
#define FLAG_MASK   ((1u << 6) - 1u)

_Static_assert(16 + IN_USE_BITS + 6 == 32, "flags end where gen begins");

// Layout, from bit 0: in_use in 16 bits, last_in_use in 10, flags in 6, gen.
uint64_t
gh_scav_chunk_pack(gh_scav_chunk_data sc)
{
    return (uint64_t)sc.in_use | (uint64_t)sc.last_in_use << 16
        | (uint64_t)sc.flags << (16 + IN_USE_BITS) | (uint64_t)sc.gen << 32;
}

gh_scav_chunk_data
gh_scav_chunk_unpack(uint64_t v)
{
    return (gh_scav_chunk_data){
        .in_use = (uint16_t)v,
        .last_in_use = (uint16_t)(v >> 16 & IN_USE_MASK),
        .flags = (uint8_t)(v >> (16 + IN_USE_BITS) & FLAG_MASK),
        .gen = (uint32_t)(v >> 32),
    };
}

// ---- cursors ----------------------------------------------------------------

static uint64_t
position(uint64_t ci, unsigned page)
{
    return ci * GH_PALLOC_CHUNK_PAGES + page + 1;
}

static void
cursor_clear(gh_scav_cursor *c)
{
    if (!c->marked) {
        c->pos = 0;
    }
}

static void
cursor_lower(gh_scav_cursor *c, uint64_t pos)
{
    if (c->marked) {
        c->pos = pos;
        c->marked = false;
    } else if (pos < c->pos) {
        c->pos = pos;
    }
}

static void
cursor_raise(gh_scav_cursor *c, uint64_t pos)
{
    if (c->pos < pos) {
        c->pos = pos;
        c->marked = true;
    }
}

// ---- the index --------------------------------------------------------------

gh_status
gh_scav_index_init(gh_scav_index *s, gh_mem *mem, gh_persistent *persistent,
                   gh_sysstat *stat, uint64_t nchunks)
{
    *s = (gh_scav_index){0};
    gh_status st = gh_sparse_init(&s->table, mem, persistent, stat,
                                  nchunks * sizeof(s->chunks[0]),
                                  GH_PHYS_PAGE_SIZE);
    if (st == GH_OK) {
        s->chunks = (uint64_t *)(void *)s->table.base;
    }
    return st;
}

void
gh_scav_index_fini(gh_scav_index *s)
{
    gh_sparse_fini(&s->table);
    *s = (gh_scav_index){0};
}

gh_status
gh_scav_index_reserve(gh_scav_index *s, uint64_t from, uint64_t to)
{
    // find walks over chunks that were never grown, so gaps are mapped too.
    if (s->min_chunk < s->max_chunk) {
        from = from < s->min_chunk ? from : s->min_chunk;
        to = to > s->max_chunk ? to : s->max_chunk;
    }
    return gh_sparse_ensure(&s->table, from * sizeof(s->chunks[0]),
                            to * sizeof(s->chunks[0]));
}

void
gh_scav_index_grow(gh_scav_index *s, uint64_t from, uint64_t to)
{
    if (s->min_chunk == s->max_chunk) {
        s->min_chunk = from;
        s->max_chunk = to;
        return;
    }
    s->min_chunk = from < s->min_chunk ? from : s->min_chunk;
    s->max_chunk = to > s->max_chunk ? to : s->max_chunk;
}

static bool
should_scavenge(gh_scav_chunk_data sc, uint32_t gen, bool force)
{
    if ((sc.flags & GH_SCAV_CHUNK_HAS_FREE) == 0) {
        return false;
    }
    if (force) {
        return true;
    }
    // Of an older generation: untouched since, so in_use stood all the time.
    return sc.in_use < GH_SCAV_CHUNK_HI_OCC_PAGES
        && (sc.gen != gen || sc.last_in_use < GH_SCAV_CHUNK_HI_OCC_PAGES);
}

bool
gh_scav_index_find(gh_scav_index *s, bool force, uint64_t *ci, unsigned *page)
{
    gh_scav_cursor *cursor = force ? &s->force : &s->bg;
    if (cursor->pos == 0) {
        return false;
    }
    const uint64_t start = (cursor->pos - 1) / GH_PALLOC_CHUNK_PAGES;
    GH_THROW_IF(start >= s->max_chunk, "scavenge index: cursor out of range");
    for (uint64_t i = start + 1; i > s->min_chunk;) {
        i--;
        if (!should_scavenge(gh_scav_index_get(s, i), s->gen, force)) {
            continue;
        }
        *ci = i;
        if (i == start) {
            *page = (unsigned)((cursor->pos - 1) % GH_PALLOC_CHUNK_PAGES);
            return true;
        }
        *page = GH_PALLOC_CHUNK_PAGES - 1;
        cursor_lower(cursor, position(i, *page));
        return true;
    }
    cursor_clear(cursor);
    return false;
}

// touch begins a new generation for a record that is about to change.
static void
touch(gh_scav_chunk_data *sc, uint32_t gen)
{
    if (sc->gen != gen) {
        sc->last_in_use = sc->in_use;
        sc->gen = gen;
    }
}

void
gh_scav_index_alloc(gh_scav_index *s, uint64_t ci, unsigned npages)
{
    gh_scav_chunk_data sc = gh_scav_index_get(s, ci);
    GH_THROW_IF(sc.in_use + npages > GH_PALLOC_CHUNK_PAGES,
                "too many pages allocated in chunk");
    touch(&sc, s->gen);
    sc.in_use = (uint16_t)(sc.in_use + npages);
    if (sc.in_use == GH_PALLOC_CHUNK_PAGES) {
        sc.flags &= (uint8_t)~GH_SCAV_CHUNK_HAS_FREE;
    }
    s->chunks[ci] = gh_scav_chunk_pack(sc);
}

void
gh_scav_index_free(gh_scav_index *s, uint64_t ci, unsigned page,
                   unsigned npages)
{
    gh_scav_chunk_data sc = gh_scav_index_get(s, ci);
    GH_THROW_IF(sc.in_use < npages, "allocated pages below zero");
    touch(&sc, s->gen);
    sc.in_use = (uint16_t)(sc.in_use - npages);
    sc.flags |= GH_SCAV_CHUNK_HAS_FREE;
    s->chunks[ci] = gh_scav_chunk_pack(sc);

    const uint64_t last = position(ci, page + npages - 1);
    if (s->free_hwm < last) {
        s->free_hwm = last;
    }
    cursor_raise(&s->force, last);
}

void
gh_scav_index_next_gen(gh_scav_index *s)
{
    s->gen++;
    cursor_raise(&s->bg, s->free_hwm);
    s->free_hwm = 0;
}

void
gh_scav_index_set_empty(gh_scav_index *s, uint64_t ci)
{
    gh_scav_chunk_data sc = gh_scav_index_get(s, ci);
    sc.flags &= (uint8_t)~GH_SCAV_CHUNK_HAS_FREE;
    s->chunks[ci] = gh_scav_chunk_pack(sc);
}

void
gh_scav_index_reset_search_addrs(gh_scav_index *s)
{
    s->bg = (gh_scav_cursor){0};
    s->force = (gh_scav_cursor){0};
    s->free_hwm = 0;
}
