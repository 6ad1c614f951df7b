// long_big_heap.c: 20 million live 64-byte objects with pointers: built,
// collected, verified, closed; then the process is what it was. Not part of
// `make check` (a minute and 2 GB): `make -C csrc big-heap`.

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "goheap.h"

static long
resident_bytes(void)
{
    long size, resident;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f != NULL);
    CHECK(fscanf(f, "%ld %ld", &size, &resident) == 2);
    fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

static int
map_lines(void)
{
    int n = 0, c;
    FILE *f = fopen("/proc/self/maps", "r");
    CHECK(f != NULL);
    while ((c = fgetc(f)) != EOF) {
        n += c == '\n';
    }
    fclose(f);
    return n;
}

static void
print_line(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

static void
build(size_t count)
{
    gh_options o;
    gh_options_init(&o);
    gh_heap *h;
    gh_mut *m;
    gh_slots *b;
    const uint64_t mask[1] = {0x83};
    const gh_type_desc d = {.name = "node", .size = 64, .align = 8,
                            .ptrdata = 64, .mask = mask};
    const gh_type *t;
    CHECK(gh_heap_new(&o, &h) == GH_OK);
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    CHECK(gh_type_new(m, &d, &t) == GH_OK);
    CHECK(gh_slots_new(h, 3, &b) == GH_OK);
    gh_slot *list = gh_slots_at(b, 0), *fresh = gh_slots_at(b, 1);
    for (size_t i = 0; i < count; i++) {
        CHECK(gh_new(m, fresh, t, 1) == GH_OK);
        CHECK(gh_store(m, fresh, 0, list) == GH_OK);
        CHECK(gh_store(m, fresh, 7, fresh) == GH_OK);
        gh_set(m, list, fresh);
    }
    gh_clear(m, fresh);
    CHECK(gh_gc(m) == GH_OK);
    gh_memstats s;
    gh_stats(m, &s);
    CHECK_EQ(s.heap_objects, count);
    if (count > 1000) {
        char line[256];
        gh_cycle c;
        CHECK(gh_cycle_get(h, gh_cycles(h) - 1, &c) == GH_OK);
        CHECK_EQ(c.scan_work, count * 64);
        gh_cycle_format(&c, line, sizeof(line));
        puts(line);
    }
    CHECK_EQ(gh_verify(m, print_line, NULL), 0);
    gh_slots_free(b);
    gh_leave(m);
    gh_heap_free(h);
}

int
main(void)
{
    build(1000);  // libc's own first uses are not the heap's
    const long resident = resident_bytes();
    const int lines = map_lines();
    build(20000000);
    const long grown = resident_bytes() - resident;
    printf("map lines %d -> %d, resident %+ld KiB\n", lines, map_lines(),
           grown / 1024);
    CHECK_EQ(map_lines(), lines);
    CHECK(grown < 4 << 20);
    return 0;
}
