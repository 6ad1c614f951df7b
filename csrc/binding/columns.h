// columns.h: rows that grow in C, column by column, and become bytes objects.
//
// Nothing but columns_take needs Python: rows are added inside a heap.

#ifndef GOHEAP_COLUMNS_H
#define GOHEAP_COLUMNS_H

#include "binding.h"

#define COLUMNS_MAX 64u

typedef struct columns {
    size_t n, cap;         // rows
    unsigned ncols;
    bool lost;             // a row found no memory; n has stopped
    const uint8_t *width;  // bytes of a cell, by column
    char *col[COLUMNS_MAX];
} columns;

#define COLUMNS(widths)                                                       \
    {.ncols = sizeof(widths) / sizeof((widths)[0]), .width = (widths)}

// PUT sets a cell of the row that columns_add added last.
#define PUT(t, c, type, value)                                                \
    (((type *)(t)->col[c])[(t)->n - 1] = (value))

// columns_reserve makes room for cap rows in all, if it can.
bool columns_reserve(columns *t, size_t cap);

// columns_add adds a row, whose cells are then PUT; false: no memory, lost.
static inline bool
columns_add(columns *t)
{
    if (t->lost
        || (t->n == t->cap
            && !columns_reserve(t, t->cap == 0 ? 64 : 2 * t->cap))) {
        t->lost = true;
        return false;
    }
    t->n++;
    return true;
}

void columns_fini(columns *t);

// columns_take returns a tuple of bytes objects and frees the columns one by one;
// NULL with MemoryError.
PyObject *columns_take(columns *t);

#endif  // GOHEAP_COLUMNS_H
