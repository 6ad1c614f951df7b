// test_mem.c: memory in its four states; the books; refusals of the OS.

#define _POSIX_C_SOURCE 200809L  // sigaction and fork beside -std=c11

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "ghbits.h"
#include "mem.h"

#define PAGE GH_PHYS_PAGE_SIZE

// readable asks the kernel, which answers EFAULT where we would get a signal.
static bool
readable(const void *v)
{
    int fd[2];
    CHECK_EQ(pipe(fd), 0);
    const ssize_t n = write(fd[1], v, 1);
    CHECK(n == 1 || errno == EFAULT);
    close(fd[0]);
    close(fd[1]);
    return n == 1;
}

static bool
all_zero(const unsigned char *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (v[i] != 0) {
            return false;
        }
    }
    return true;
}

typedef struct fixture {
    gh_mem mem;
    gh_mem_fault os;
    gh_sysstat stat;
} fixture;

static void
setup(fixture *f)
{
    *f = (fixture){0};
    gh_mem_init(&f->mem, gh_mem_fault_ops(), &f->os);
}

static void
books(const fixture *f, uint64_t stat, uint64_t ready, uint64_t os)
{
    CHECK_EQ(f->stat.bytes, stat);
    CHECK_EQ(f->mem.mapped_ready, ready);
    CHECK_EQ(f->os.bytes, os);
}

static void
test_alloc(void)
{
    fixture f;
    void *v;
    setup(&f);
    CHECK(gh_sys_alloc(&f.mem, 3 * PAGE, &f.stat, &v) == GH_OK);
    CHECK_EQ((uintptr_t)v % PAGE, 0);
    CHECK(all_zero(v, 3 * PAGE));
    books(&f, 3 * PAGE, 3 * PAGE, 3 * PAGE);
    void *w;
    CHECK(gh_sys_alloc(&f.mem, 1, &f.stat, &w) == GH_OK);  // counts a page
    books(&f, 4 * PAGE, 4 * PAGE, 4 * PAGE);
    gh_sys_free(&f.mem, v, 3 * PAGE, 3 * PAGE, &f.stat);
    CHECK(!readable(v));
    books(&f, PAGE, PAGE, PAGE);
    gh_sys_free(&f.mem, w, PAGE, PAGE, &f.stat);
    books(&f, 0, 0, 0);
}

// None, Reserved, Prepared, Ready and back; each step with its books.
static void
test_states(void)
{
    fixture f;
    void *v;
    setup(&f);
    CHECK(gh_sys_reserve_aligned(&f.mem, 4 * PAGE, PAGE, &v) == GH_OK);
    unsigned char *b = v;
    CHECK(!readable(b));
    books(&f, 0, 0, 4 * PAGE);

    CHECK(gh_sys_map(&f.mem, b + PAGE, 2 * PAGE, &f.stat) == GH_OK);
    books(&f, 2 * PAGE, 0, 4 * PAGE);
    CHECK(!readable(b));
    CHECK(readable(b + PAGE));
    CHECK(readable(b + 3 * PAGE - 1));
    CHECK(!readable(b + 3 * PAGE));

    // Half of it was Ready already, says the caller: only the rest counts.
    gh_sys_used(&f.mem, b + PAGE, PAGE, PAGE);
    gh_sys_used(&f.mem, b + PAGE, 2 * PAGE, PAGE);
    books(&f, 2 * PAGE, 2 * PAGE, 4 * PAGE);
    CHECK(all_zero(b + PAGE, 2 * PAGE));
    memset(b + PAGE, 0x5a, 2 * PAGE);

    CHECK(gh_sys_unused(&f.mem, b + 2 * PAGE, PAGE) == GH_OK);
    books(&f, 2 * PAGE, PAGE, 4 * PAGE);
    CHECK(all_zero(b + 2 * PAGE, PAGE));  // the pages really went
    CHECK_EQ(b[PAGE], 0x5a);              // and their neighbour did not

    CHECK(gh_sys_fault(&f.mem, b + PAGE, PAGE) == GH_OK);
    books(&f, 2 * PAGE, 0, 4 * PAGE);
    CHECK(!readable(b + PAGE));
    CHECK(readable(b + 2 * PAGE));
    CHECK(gh_sys_map(&f.mem, b + PAGE, PAGE, &f.stat) == GH_OK);
    CHECK(all_zero(b + PAGE, PAGE));
    books(&f, 3 * PAGE, 0, 4 * PAGE);

    gh_sys_free(&f.mem, b + PAGE, 3 * PAGE, 0, &f.stat);
    books(&f, 0, 0, PAGE);
    gh_sys_unreserve(&f.mem, b, PAGE);
    books(&f, 0, 0, 0);
    CHECK_EQ(f.os.calls, 5);  // frees are not counted: they cannot fail
}

// What was reserved too much for the alignment is given back.
static void
test_alignment(void)
{
    static const size_t sizes[] = {1, PAGE, 3 * PAGE, 5000000};
    for (size_t align = 1; align <= (size_t)64 << 20; align *= 2) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            const size_t n = (size_t)gh_align_up(sizes[i], PAGE);
            fixture f;
            void *v;
            setup(&f);
            CHECK(gh_sys_reserve_aligned(&f.mem, sizes[i], align, &v)
                  == GH_OK);
            CHECK_EQ((uintptr_t)v % align, 0);
            books(&f, 0, 0, n);
            CHECK(gh_sys_map(&f.mem, v, n, &f.stat) == GH_OK);
            CHECK(readable(v) && readable((unsigned char *)v + n - 1));
            gh_sys_free(&f.mem, v, sizes[i], 0, &f.stat);
            books(&f, 0, 0, 0);
        }
    }
}

static void
test_impossible_sizes(void)
{
    fixture f;
    void *v = &f;
    setup(&f);
    CHECK(gh_sys_alloc(&f.mem, SIZE_MAX, &f.stat, &v) == GH_ERR_NOMEM);
    CHECK(gh_sys_alloc(&f.mem, SIZE_MAX / 2, &f.stat, &v) == GH_ERR_NOMEM);
    CHECK(gh_sys_reserve_aligned(&f.mem, SIZE_MAX, PAGE, &v) == GH_ERR_NOMEM);
    CHECK(gh_sys_reserve_aligned(&f.mem, SIZE_MAX - 2 * PAGE, 64 * PAGE, &v)
          == GH_ERR_NOMEM);
    CHECK(gh_sys_reserve_aligned(&f.mem, SIZE_MAX / 2, PAGE, &v)
          == GH_ERR_NOMEM);
    CHECK(v == &f);
    books(&f, 0, 0, 0);
}

// scenario goes through all kinds of calls and stops at the first refusal. Then
// the books are those before the refused step, and memory is as it was.
static gh_status
scenario(fixture *f)
{
    void *a, *r;
    gh_status st = gh_sys_alloc(&f->mem, 2 * PAGE, &f->stat, &a);
    if (st != GH_OK) {
        books(f, 0, 0, 0);
        return st;
    }
    st = gh_sys_reserve_aligned(&f->mem, 4 * PAGE, 64 * PAGE, &r);
    if (st != GH_OK) {
        books(f, 2 * PAGE, 2 * PAGE, 2 * PAGE);
        goto free_a;
    }
    st = gh_sys_map(&f->mem, r, 4 * PAGE, &f->stat);
    if (st != GH_OK) {
        books(f, 2 * PAGE, 2 * PAGE, 6 * PAGE);
        CHECK(!readable(r));
        gh_sys_unreserve(&f->mem, r, 4 * PAGE);
        goto free_a;
    }
    gh_sys_used(&f->mem, r, 4 * PAGE, 4 * PAGE);
    memset(r, 1, 4 * PAGE);
    size_t ready = 4 * PAGE;
    st = gh_sys_unused(&f->mem, r, PAGE);
    if (st == GH_OK) {
        ready -= PAGE;
        st = gh_sys_fault(&f->mem, (unsigned char *)r + PAGE, PAGE);
        ready -= st == GH_OK ? PAGE : 0;
    }
    books(f, 6 * PAGE, 2 * PAGE + ready, 6 * PAGE);
    if (st != GH_OK) {
        const unsigned char *kept = (unsigned char *)r + 4 * PAGE - ready;
        CHECK(readable(kept));
        CHECK_EQ(*kept, 1);
    }
    gh_sys_free(&f->mem, r, 4 * PAGE, ready, &f->stat);
free_a:
    gh_sys_free(&f->mem, a, 2 * PAGE, 2 * PAGE, &f->stat);
    return st;
}

static void
test_each_call_fails(void)
{
    fixture f;
    setup(&f);
    CHECK(scenario(&f) == GH_OK);
    const uint64_t calls = f.os.calls;
    CHECK_EQ(calls, 6);  // reserve, map; reserve, map, unused, fault
    CHECK_EQ(f.os.failed, 0);
    for (uint64_t i = 0; i < calls; i++) {
        setup(&f);
        f.os.fail_from = i;
        f.os.fail_count = 1;
        CHECK(scenario(&f) == GH_ERR_NOMEM);
        CHECK_EQ(f.os.failed, 1);
        CHECK_EQ(f.os.calls, i + 1);
        books(&f, 0, 0, 0);
        CHECK(scenario(&f) == GH_OK);  // it was the one call
        books(&f, 0, 0, 0);
    }
}

// fail_from and fail_count choose a run of calls, and no other.
static void
test_fault_window(void)
{
    fixture f;
    setup(&f);
    f.os.fail_from = 4;
    f.os.fail_count = 3;
    for (unsigned i = 0; i < 10; i++) {
        void *v = gh_mem_fault_ops()->reserve(&f.os, PAGE);
        CHECK((v == NULL) == (i >= 4 && i < 7));
        if (v != NULL) {
            gh_mem_fault_ops()->free(&f.os, v, PAGE);
        }
    }
    CHECK_EQ(f.os.failed, 3);
    CHECK_EQ(f.os.calls, 10);
    CHECK_EQ(f.os.bytes, 0);
    // A window up to the last number: no overflow.
    f.os.fail_from = 10;
    f.os.fail_count = UINT64_MAX;
    CHECK(gh_mem_fault_ops()->reserve(&f.os, PAGE) == NULL);
}

// Giving back more than was obtained is a broken invariant, not a status.
static void
test_books_below_zero(void)
{
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        fixture f;
        void *v;
        fclose(stderr);
        signal(SIGABRT, SIG_DFL);
        setup(&f);
        if (gh_sys_alloc(&f.mem, PAGE, &f.stat, &v) == GH_OK) {
            f.stat.bytes--;
            gh_sys_free(&f.mem, v, PAGE, PAGE, &f.stat);
        }
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGABRT);
}

// What Go has no counterpart of is in no figure, but hard_limit counts it.
static void
test_own(void)
{
    gh_mem_fault os = {0};
    gh_mem m;
    gh_sysstat stat = {0};
    gh_mem_init(&m, gh_mem_fault_ops(), &os);
    m.hard_limit = 3 * PAGE;
    void *v;
    CHECK(gh_sys_reserve_aligned(&m, 8 * PAGE, PAGE, &v) == GH_OK);
    unsigned char *b = v;
    CHECK(gh_sys_map_own(&m, b, 4 * PAGE) == GH_ERR_NOMEM);
    os.fail_from = os.calls;
    os.fail_count = 1;
    CHECK(gh_sys_map_own(&m, b, PAGE) == GH_ERR_NOMEM);
    CHECK_EQ(m.own, 0);
    CHECK_EQ(gh_sys_room(&m), 3 * PAGE);
    CHECK(gh_sys_map_own(&m, b, 2 * PAGE) == GH_OK);
    b[2 * PAGE - 1] = 1;
    CHECK_EQ(m.own, 2 * PAGE);
    CHECK_EQ(m.mapped_ready, 0);
    CHECK_EQ(stat.bytes, 0);
    CHECK_EQ(gh_sys_room(&m), PAGE);
    CHECK(gh_sys_map_ready(&m, b + 2 * PAGE, 2 * PAGE, &stat) == GH_ERR_NOMEM);
    CHECK(gh_sys_map_ready(&m, b + 2 * PAGE, PAGE, &stat) == GH_OK);
    CHECK_EQ(gh_sys_room(&m), 0);
    gh_sys_unreserve(&m, v, 8 * PAGE);
    m.hard_limit = UINT64_MAX;  // none: stays none
    CHECK(gh_sys_reserve_aligned(&m, PAGE, PAGE, &v) == GH_OK);
    CHECK(gh_sys_map_own(&m, v, PAGE) == GH_OK);
    CHECK_EQ(m.hard_limit, UINT64_MAX);
    gh_sys_unreserve(&m, v, PAGE);
}

int
main(void)
{
    test_alloc();
    test_states();
    test_alignment();
    test_impossible_sizes();
    test_each_call_fails();
    test_fault_window();
    test_books_below_zero();
    test_own();
    return 0;
}
