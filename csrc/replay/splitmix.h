// splitmix.h: the random numbers of scripts, splitmix64.
//
// Client of goheap.h's layer: includes nothing of the core. The generator is
// part of the script language: a script's random operations must draw the same
// numbers everywhere.

#ifndef GH_SPLITMIX_H
#define GH_SPLITMIX_H

#include <stdint.h>

// gh_splitmix64 advances the state and returns the next draw.
static inline uint64_t
gh_splitmix64(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

#endif  // GH_SPLITMIX_H
