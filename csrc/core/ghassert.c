// ghassert.c: the core's way to die. See ghassert.h.

#include "ghassert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void
gh_throw(const char *file, int line, const char *msg)
{
    fprintf(stderr, "fatal error: %s\n\tgoheap %s:%d\n", msg, file, line);
    abort();
}
