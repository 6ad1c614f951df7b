// calibrate.h: the prices of the virtual clock, measured on this machine.
//
// Each price is measured on the core's own work of that kind, in real time: what a
// program written in Go pays lies near it, but not at it. A second or two in all.
//
// Client of goheap.h. Threads: makes one, and ends it.

#ifndef GH_CALIBRATE_H
#define GH_CALIBRATE_H

#include "goheap.h"

#ifdef __cplusplus
extern "C" {
#endif

// gh_calibrate fills *out. GH_ERR_NOMEM: a heap or the thread could not be made.
GH_NODISCARD gh_status gh_calibrate(gh_costs *out);

#ifdef __cplusplus
}
#endif

#endif  // GH_CALIBRATE_H
