// check.h: the whole test framework of tests/core. One test file, one program;
// exit status 0 is a pass. gh_throw is the real one, from ghassert.c.

#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(cond)                                                            \
    do {                                                                       \
        if (!(cond)) {                                                         \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);         \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

#define CHECK_EQ(a, b)                                                         \
    do {                                                                       \
        const unsigned long long a_ = (unsigned long long)(a);                 \
        const unsigned long long b_ = (unsigned long long)(b);                 \
        if (a_ != b_) {                                                        \
            fprintf(stderr, "%s:%d: %s is %llu, want %llu\n", __FILE__,        \
                    __LINE__, #a, a_, b_);                                     \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

#endif  // CHECK_H
