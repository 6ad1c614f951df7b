// idmap.h: a hash table from 64-bit numbers to pairs of them.
//
// Open addressing with linear probing; a deletion moves back what it left
// behind, so there are no tombstones. Pointers to a value hold until the next
// put or delete.

#ifndef GH_IDMAP_H
#define GH_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct gh_idval {
    uint64_t key;
    uint64_t a, b;
    uint64_t used;
} gh_idval;

typedef struct gh_idmap {
    gh_idval *slot;  // owned
    size_t cap, n;   // cap: 0 or a power of two, at least 4/3 of n
} gh_idmap;

static inline void
gh_idmap_fini(gh_idmap *m)
{
    free(m->slot);
    *m = (gh_idmap){0};
}

static inline size_t
gh_idmap_home(const gh_idmap *m, uint64_t key)
{
    uint64_t z = key * 0x9e3779b97f4a7c15u;
    z ^= z >> 32;
    return (size_t)z & (m->cap - 1);
}

static inline gh_idval *
gh_idmap_get(const gh_idmap *m, uint64_t key)
{
    if (m->n == 0) {
        return NULL;
    }
    size_t i = gh_idmap_home(m, key);
    while (m->slot[i].used) {
        if (m->slot[i].key == key) {
            return &m->slot[i];
        }
        i = (i + 1) & (m->cap - 1);
    }
    return NULL;
}

// gh_idmap_put finds the entry of key or makes one of zeros; NULL: no memory.
static inline gh_idval *
gh_idmap_put(gh_idmap *m, uint64_t key)
{
    gh_idval *v = gh_idmap_get(m, key);
    if (v != NULL) {
        return v;
    }
    if (m->n + 1 > m->cap - m->cap / 4) {
        gh_idmap big = {.cap = m->cap == 0 ? 64 : m->cap * 2, .n = m->n};
        big.slot = calloc(big.cap, sizeof(*big.slot));
        if (big.slot == NULL) {
            return NULL;
        }
        for (size_t i = 0; i < m->cap; i++) {
            if (m->slot[i].used) {
                size_t j = gh_idmap_home(&big, m->slot[i].key);
                while (big.slot[j].used) {
                    j = (j + 1) & (big.cap - 1);
                }
                big.slot[j] = m->slot[i];
            }
        }
        free(m->slot);
        *m = big;
    }
    size_t i = gh_idmap_home(m, key);
    while (m->slot[i].used) {
        i = (i + 1) & (m->cap - 1);
    }
    m->slot[i] = (gh_idval){.key = key, .used = 1};
    m->n++;
    return &m->slot[i];
}

static inline void
gh_idmap_delete(gh_idmap *m, uint64_t key)
{
    gh_idval *v = gh_idmap_get(m, key);
    if (v == NULL) {
        return;
    }
    size_t hole = (size_t)(v - m->slot), i = hole;
    for (;;) {
        i = (i + 1) & (m->cap - 1);
        if (!m->slot[i].used) {
            break;
        }
        // It may stay if its home lies behind the hole, on the way to it.
        const size_t home = gh_idmap_home(m, m->slot[i].key);
        if (((i - home) & (m->cap - 1)) < ((i - hole) & (m->cap - 1))) {
            continue;
        }
        m->slot[hole] = m->slot[i];
        hole = i;
    }
    m->slot[hole].used = 0;
    m->n--;
}

static inline void
gh_idmap_clear(gh_idmap *m)
{
    gh_idmap_fini(m);
}

#endif  // GH_IDMAP_H
