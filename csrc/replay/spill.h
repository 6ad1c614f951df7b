// spill.h: an array that may grow far beyond what is kept of it in memory.
//
// While it is small it is memory as any other. Beyond a limit it moves into a file
// without a name, mapped: what was touched is let go of again after so many bytes,
// and comes back from the system's cache or the disk when it is asked for. The
// file's blocks are reserved before they are mapped, so a full disk is an error
// here and never a fault later [inv:spill.reserved].
//
// Elements are zero until they are written. A pointer to one holds until the next
// gh_spill_reserve. Many threads may read at a time; whoever writes is alone.

#ifndef GH_SPILL_H
#define GH_SPILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "goheap.h"

// What one access brings into memory at most: the kernel maps neighbours too.
#define GH_SPILL_BLOCK_SHIFT 16

typedef struct gh_spill {
    uint8_t *at;
    size_t bytes;      // usable
    const char *dir;   // for the file, not owned; NULL: never
    size_t keep;       // bytes in memory at most
    int fd;            // -1: all of it is in memory
    uint64_t *touched; // a bit for each block; NULL before there is a file
    size_t ntouched;
} gh_spill;

// gh_spill_init: keep bounds the bytes in memory, dir is where a file may be made.
void gh_spill_init(gh_spill *s, size_t keep, const char *dir);
void gh_spill_fini(gh_spill *s);
// gh_spill_reserve makes at least n bytes usable. GH_ERR_NOMEM: neither memory nor
// disk has them; nothing has changed.
GH_NODISCARD gh_status gh_spill_reserve(gh_spill *s, size_t n);

void gh_spill_note(gh_spill *s, size_t at);
// gh_spill_touch is the byte at `at`, for one who goes here and there.
static inline void *
gh_spill_touch(gh_spill *s, size_t at)
{
    if (s->fd >= 0) {
        gh_spill_note(s, at);
    }
    return s->at + at;
}

// gh_spill_release lets go of [from, to): for one who reads from end to end. It
// takes nothing away from others.
void gh_spill_release(const gh_spill *s, size_t from, size_t to);

#endif  // GH_SPILL_H
