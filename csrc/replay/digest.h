// digest.h: what a replay with the world stopped needs of a history, packed.
//
// The first such replay decodes the columns and writes the digest, the later ones
// read that: no deaths found, no spans and stacks, a stamp for each block of events
// and not for each event. It is the same for every setting.
//
//   block      of GH_DIGEST_BLOCK events: number of words that follow the header,
//              the stamp of the block's first event (two words, the low one first)
//   word       kind, place in the block, span class (or P), type
//     ALLOC    and EXIST: an object. Behind it the type, if it is GH_DIGEST_FAR,
//              and the pages of a large one
//     BUFFER   likewise, one of the recorder's buffers
//     TINY     a part of a tiny block
//     P        of the objects to come: where the span class is
//     GC_BEGIN behind it the stamp
//     PROCS    behind it the number, and how far the column of values was decoded
//
// Four bytes an object, four more for each other word and what stands behind one, twelve
// for 64 events; what is too much for memory spills
// (spill.h). One writes, and says when it is done; after that it never changes.

#ifndef GH_DIGEST_H
#define GH_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spill.h"

#define GH_DIGEST_BLOCK  64u
#define GH_DIGEST_HEADER 3u       // words
#define GH_DIGEST_FAR    0x7fffu  // the type is in a word of its own
#define GH_DIGEST_NO_P   255u

typedef enum gh_digest_kind {
    GH_DIGEST_ALLOC, GH_DIGEST_EXIST, GH_DIGEST_BUFFER, GH_DIGEST_TINY,
    GH_DIGEST_P, GH_DIGEST_GC_BEGIN, GH_DIGEST_PROCS,
} gh_digest_kind;

typedef struct gh_digest {
    gh_spill words;
    size_t n;         // words written
    size_t block;     // where the present block's header is
    size_t released;  // bytes that were let go of
    uint8_t p;        // of the object before
    bool failed;      // neither memory nor disk: of no use
    uint64_t end_stamp;  // of the last event
} gh_digest;

void gh_digest_init(gh_digest *d, size_t keep, const char *dir);
void gh_digest_fini(gh_digest *d);

// The writer's calls, event by event; event is its number.
void gh_digest_begin(gh_digest *d, uint64_t stamp);  // of each block
void gh_digest_object(gh_digest *d, gh_digest_kind kind, uint64_t event, uint8_t p,
                      uint8_t spanclass, uint32_t pages, uint32_t type);
void gh_digest_tiny(gh_digest *d, uint64_t event);
void gh_digest_gc_begin(gh_digest *d, uint64_t event, uint64_t stamp);
void gh_digest_procs(gh_digest *d, uint64_t event, uint64_t n, uint64_t offset);
void gh_digest_end(gh_digest *d, uint64_t stamp);

static inline uint32_t
gh_digest_word(gh_digest_kind kind, uint64_t event, uint8_t spanclass, uint32_t type)
{
    return (uint32_t)kind | (uint32_t)(event % GH_DIGEST_BLOCK) << 3
           | (uint32_t)spanclass << 9 | type << 17;
}

static inline gh_digest_kind
gh_digest_kind_of(uint32_t word)
{
    return (gh_digest_kind)(word & 7);
}

static inline uint32_t
gh_digest_place(uint32_t word)
{
    return word >> 3 & (GH_DIGEST_BLOCK - 1);
}

static inline uint8_t
gh_digest_spanclass(uint32_t word)
{
    return (uint8_t)(word >> 9);
}

static inline uint32_t
gh_digest_type(uint32_t word)
{
    return word >> 17;
}

static inline uint64_t
gh_digest_pair(const uint32_t *at)
{
    return at[0] | (uint64_t)at[1] << 32;
}

#endif  // GH_DIGEST_H
