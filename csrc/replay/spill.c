// spill.c: arrays that outgrow memory. See spill.h.

#define _GNU_SOURCE

#include "spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCK ((size_t)1 << GH_SPILL_BLOCK_SHIFT)

void
gh_spill_init(gh_spill *s, size_t keep, const char *dir)
{
    *s = (gh_spill){.keep = keep < BLOCK ? BLOCK : keep, .dir = dir, .fd = -1};
}

void
gh_spill_fini(gh_spill *s)
{
    if (s->fd >= 0) {
        munmap(s->at, s->bytes);
        close(s->fd);
        free(s->touched);
    } else {
        free(s->at);
    }
    gh_spill_init(s, s->keep, s->dir);
}

static size_t
round_up(size_t n)
{
    return (n + BLOCK - 1) & ~(BLOCK - 1);
}

// make_file returns a file without a name in dir; -1: there is none.
static int
make_file(const char *dir)
{
#ifdef O_TMPFILE
    const int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) {
        return fd;
    }
#endif
    char name[4096];
    const int n = snprintf(name, sizeof(name), "%s/goheap-XXXXXX", dir);
    if (n < 0 || (size_t)n >= sizeof(name)) {
        return -1;
    }
    const int made = mkostemp(name, O_CLOEXEC);
    if (made >= 0) {
        unlink(name);
    }
    return made;
}

// allocate reserves the blocks of the file up to n bytes.
static bool
allocate(int fd, size_t from, size_t n)
{
    int e;
    do {
        e = posix_fallocate(fd, (off_t)from, (off_t)(n - from));
    } while (e == EINTR);
    return e == 0;
}

static bool
grow_bits(gh_spill *s, size_t n)
{
    const size_t have = (s->bytes / BLOCK + 63) / 64;
    const size_t want = (n / BLOCK + 63) / 64;
    uint64_t *bits = realloc(s->touched, want * sizeof(*bits));
    if (bits == NULL) {
        return false;
    }
    s->touched = bits;
    if (s->fd >= 0 && want > have) {
        memset(bits + have, 0, (want - have) * sizeof(*bits));
    } else if (s->fd < 0) {
        memset(bits, 0, want * sizeof(*bits));
    }
    return true;
}

// move_out puts what is in memory into a file of n bytes.
static bool
move_out(gh_spill *s, size_t n)
{
    const int fd = make_file(s->dir);
    if (fd < 0) {
        return false;
    }
    void *at = MAP_FAILED;
    if (allocate(fd, 0, n) && grow_bits(s, n)) {
        at = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (at == MAP_FAILED) {
        close(fd);
        free(s->touched);
        s->touched = NULL;
        return false;
    }
    if (s->bytes > 0) {
        memcpy(at, s->at, s->bytes);
        madvise(at, n, MADV_DONTNEED);
    }
    free(s->at);
    s->at = at;
    s->bytes = n;
    s->fd = fd;
    s->ntouched = 0;
    return true;
}

static bool
grow_file(gh_spill *s, size_t n)
{
    if (!allocate(s->fd, s->bytes, n) || !grow_bits(s, n)) {
        return false;
    }
    void *at = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (at == MAP_FAILED) {
        return false;
    }
    munmap(s->at, s->bytes);
    s->at = at;
    s->bytes = n;
    memset(s->touched, 0, (n / BLOCK + 63) / 64 * sizeof(*s->touched));
    s->ntouched = 0;
    return true;
}

gh_status
gh_spill_reserve(gh_spill *s, size_t n)
{
    if (n <= s->bytes) {
        return GH_OK;
    }
    if (n > SIZE_MAX / 4) {
        return GH_ERR_NOMEM;
    }
    // Memory doubles, the file grows by a quarter: it is reserved for real.
    const size_t more = s->fd >= 0 ? s->bytes / 4 : s->bytes;
    const size_t want = round_up(n > s->bytes + more ? n : s->bytes + more);
    if (s->fd >= 0) {
        return grow_file(s, want) ? GH_OK : GH_ERR_NOMEM;
    }
    if (want > s->keep && s->dir != NULL) {
        return move_out(s, want) ? GH_OK : GH_ERR_NOMEM;
    }
    uint8_t *at = realloc(s->at, want);
    if (at == NULL) {
        return GH_ERR_NOMEM;
    }
    memset(at + s->bytes, 0, want - s->bytes);
    s->at = at;
    s->bytes = want;
    return GH_OK;
}

// gh_spill_note counts blocks, and lets go of them all when they are too many:
// they are the system's again, and nothing is lost.
void
gh_spill_note(gh_spill *s, size_t at)
{
    const size_t block = at >> GH_SPILL_BLOCK_SHIFT;
    const uint64_t bit = (uint64_t)1 << (block % 64);
    if ((s->touched[block / 64] & bit) != 0) {
        return;
    }
    if (s->ntouched >= s->keep / BLOCK) {
        madvise(s->at, s->bytes, MADV_DONTNEED);
        memset(s->touched, 0, (s->bytes / BLOCK + 63) / 64 * sizeof(*s->touched));
        s->ntouched = 0;
    }
    s->touched[block / 64] |= bit;
    s->ntouched++;
}

void
gh_spill_release(const gh_spill *s, size_t from, size_t to)
{
    from = (from + BLOCK - 1) & ~(BLOCK - 1);
    to &= ~(BLOCK - 1);
    if (s->fd >= 0 && from < to && to <= s->bytes) {
        madvise(s->at + from, to - from, MADV_DONTNEED);
    }
}
