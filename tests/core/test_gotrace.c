// test_gotrace.c: traces made by hand, whole, in pieces and damaged; histories and
// rows. With arguments it is the long run of `make fuzz-traces`:
//
//	test_gotrace COUNT SEED FILE...   COUNT mutations of each file

#include <stdio.h>
#include <string.h>

#include "check.h"
#include "gotrace.h"
#include "history.h"
#include "rows.h"
#include "splitmix.h"

typedef struct bytes {
    uint8_t *p;
    size_t n, cap;
} bytes;

static void
put(bytes *b, const void *p, size_t n)
{
    if (b->n + n > b->cap) {
        b->cap = (b->n + n) * 2;
        b->p = realloc(b->p, b->cap);
        CHECK(b->p != NULL);
    }
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void
put_num(bytes *b, uint64_t v)
{
    do {
        const uint8_t c = (uint8_t)(v >= 0x80 ? v | 0x80 : v);
        put(b, &c, 1);
        v >>= 7;
    } while (v != 0);
}

// event appends an event with n arguments, 1 ns after the one before.
static void
event(bytes *b, uint8_t type, int n, uint64_t x, uint64_t y, uint64_t z)
{
    const uint64_t args[3] = {x, y, z};
    put(b, &type, 1);
    put_num(b, 1);
    for (int i = 0; i < n; i++) {
        put_num(b, args[i]);
    }
}

static void
batch(bytes *out, const char *head, uint64_t gen, uint64_t m, uint64_t time,
      const bytes *data)
{
    put(out, head, strlen(head));
    put_num(out, gen);
    put_num(out, m);
    put_num(out, time);
    put_num(out, data->n);
    put(out, data->p, data->n);
}

// make_trace is two generations of two threads. M1 makes the objects; M2 starts the
// goroutine that M1 has stopped, though its stamps are earlier: order decides.
static bytes
make_trace(void)
{
    bytes out = {0};
    put(&out, "go 1.26 trace\0\0\0", 16);
    for (uint64_t gen = 1; gen <= 2; gen++) {
        bytes m1 = {0}, m2 = {0}, clock = {0}, info = {0};
        event(&m1, 13, 2, 0, 1, 0);      // P 0 runs
        event(&m1, 13, 2, 1, 2, 0);      // P 1 is idle
        event(&m1, 25, 3, 7, 1, 2);      // goroutine 7 runs on M 1
        if (gen == 1) {
            event(&m1, 128, 3, 1, 2, 12 << 1);  // two pages of 64-byte slots
        }
        for (uint64_t i = 0; i < 5; i++) {
            event(&m1, 132, 2, 1024 + 8 * (i + 5 * gen), 9, 0);
        }
        event(&m1, 19, 2, 0, 0, 0);      // goroutine 7 stops
        event(&m2, 10, 2, 1, 1, 0);      // P 1 starts on M 2
        event(&m2, 16, 2, 7, 1, 0);      // goroutine 7 starts
        event(&m2, 133, 1, 1024 + 8 * 5 * gen, 0, 0);
        event(&m2, 37, 1, 4096, 0, 0);   // heap_live
        event(&m2, 19, 2, 0, 0, 0);
        if (gen == 1) {
            // Back to M 1, for the next generation's status.
            event(&m2, 11, 0, 0, 0, 0);
            event(&m1, 16, 2, 7, 2, 0);
        }
        put(&clock, "\x32\x08", 2);
        put_num(&clock, 1000000000);
        put(&clock, "\x33\0\0\0\0", 5);
        put(&info, "\1\0", 2);
        put_num(&info, 8192);
        put(&info, "\x08\x10", 2);
        const uint64_t at = gen * 1000;
        batch(&out, "\1", gen, 1, at, &m1);
        batch(&out, "\1", gen, 2, at - 500, &m2);
        batch(&out, "\1", gen, UINT64_MAX, at, &clock);
        batch(&out, "\x31\1", gen, UINT64_MAX, at, &info);
        put(&out, "\x34", 1);
        free(m1.p);
        free(m2.p);
        free(clock.p);
        free(info.p);
    }
    return out;
}

// read_all reads a trace in pieces of at most piece bytes, and checks that it comes
// to an end. Returns how many values each column had.
static gh_gotrace_result
read_all(const bytes *b, size_t piece, gh_gotrace_error *err, uint64_t *objects)
{
    gh_gotrace *g;
    CHECK(gh_gotrace_new(&g) == GH_OK);
    size_t at = 0;
    gh_gotrace_result res;
    while ((res = gh_gotrace_step(g, 1000, err)) == GH_GOTRACE_NEED
           || res == GH_GOTRACE_BUDGET) {
        const uint8_t *data;
        for (size_t c = 0; c < gh_gotrace_columns(&(const gh_gotrace_column *){0});
             c++) {
            CHECK(gh_gotrace_take(g, c, &data) <= gh_gotrace_count(g, c) * 10);
        }
        if (res == GH_GOTRACE_NEED) {
            const size_t n = b->n - at < piece ? b->n - at : piece;
            // A block of its own size: a read beyond it shows.
            uint8_t *copy = malloc(n + (n == 0));
            memcpy(copy, b->p + at, n);
            CHECK(gh_gotrace_feed(g, copy, n, n == 0) == GH_OK);
            free(copy);
            at += n;
        }
    }
    gh_gotrace_error again;
    CHECK(gh_gotrace_step(g, 1, &again) == res);
    gh_gotrace_summary s;
    gh_gotrace_summary_get(g, &s);
    *objects = s.objects;
    if (res == GH_GOTRACE_BAD) {
        CHECK(err->message[0] != '\0');
        CHECK(err->offset <= b->n);
    }
    gh_gotrace_free(g);
    return res;
}

static void
test_order_and_pieces(void)
{
    bytes b = make_trace();
    for (size_t piece = 1; piece <= b.n; piece = piece * 2 + 1) {
        gh_gotrace_error err = {0};
        uint64_t objects;
        const gh_gotrace_result res = read_all(&b, piece, &err, &objects);
        if (res != GH_GOTRACE_DONE) {
            printf("byte %llu: %s\n", (unsigned long long)err.offset, err.message);
        }
        CHECK(res == GH_GOTRACE_DONE);
        CHECK_EQ(objects, 10);
    }
    free(b.p);
}

static void
test_cut(void)
{
    const bytes b = make_trace();
    unsigned done = 0;
    for (size_t n = 0; n < b.n; n++) {
        const bytes shorter = {b.p, n, n};
        gh_gotrace_error err;
        uint64_t objects;
        if (read_all(&shorter, 100, &err, &objects) == GH_GOTRACE_DONE) {
            CHECK_EQ(objects, 5);  // the first generation
            done++;
        }
    }
    CHECK(done > 50);
    free(b.p);
}

static void
mutate(bytes *b, uint64_t *seed)
{
    const uint64_t times = 1 + gh_splitmix64(seed) % 6;
    for (uint64_t i = 0; i < times && b->n > 2; i++) {
        const uint64_t r = gh_splitmix64(seed);
        const size_t at = (size_t)(r >> 8) % b->n;
        switch (r % 5) {
        case 0: b->p[at] ^= (uint8_t)(1u << (r >> 60 & 7)); break;
        case 1: b->p[at] = (uint8_t)(r >> 50); break;
        case 2: b->p[at] = 0xff; break;
        case 3: {  // take some out
            size_t n = 1 + (size_t)(r >> 40) % 30;
            n = n > b->n - at ? b->n - at : n;
            memmove(b->p + at, b->p + at + n, b->n - at - n);
            b->n -= n;
            break;
        }
        default: {  // copy some over some
            const size_t from = (size_t)(r >> 20) % b->n;
            size_t n = 1 + (size_t)(r >> 44) % 60;
            n = n > b->n - at ? b->n - at : n;
            n = n > b->n - from ? b->n - from : n;
            memmove(b->p + at, b->p + from, n);
            break;
        }
        }
    }
}

static void
fuzz(const bytes *b, uint64_t count, uint64_t seed)
{
    uint64_t done = 0, bad = 0;
    bytes copy = {malloc(b->n), 0, b->n};
    for (uint64_t i = 0; i < count; i++) {
        copy.n = b->n;
        memcpy(copy.p, b->p, b->n);
        mutate(&copy, &seed);
        gh_gotrace_error err;
        uint64_t objects;
        const gh_gotrace_result res =
            read_all(&copy, 1 + (size_t)gh_splitmix64(&seed) % 5000, &err, &objects);
        CHECK(res == GH_GOTRACE_DONE || res == GH_GOTRACE_BAD);
        done += res == GH_GOTRACE_DONE;
        bad += res == GH_GOTRACE_BAD;
    }
    CHECK(count < 100 || (done > 0 && bad > 0));
    if (count >= 10000) {
        printf("%llu mutations: %llu read, %llu refused\n",
               (unsigned long long)count, (unsigned long long)done,
               (unsigned long long)bad);
    }
    free(copy.p);
}

static void
test_mutations(void)
{
    const bytes b = make_trace();
    fuzz(&b, 3000, 1);
    free(b.p);
}

// ---- histories --------------------------------------------------------------------

static void
test_history(void)
{
    gh_history *h;
    CHECK(gh_history_new(&h) == GH_OK);
    const char *why;
    gh_history_object o = {.size = 100, .scan = 40, .birth_ns = 5, .death_ns = 9};
    CHECK(gh_history_add(h, &o, &why) == GH_OK);
    o.birth_ns = 4;
    CHECK(gh_history_add(h, &o, &why) == GH_ERR_INVAL && why != NULL);
    o = (gh_history_object){.size = 3, .birth_ns = 9, .death_ns = GH_HISTORY_NEVER};
    CHECK(gh_history_add(h, &o, &why) == GH_OK);
    bool more;
    CHECK(gh_history_end(h, GH_HISTORY_MAX_TIME, 100, &more) == GH_OK && !more);
    gh_history_summary s;
    gh_history_summary_get(h, &s);
    CHECK_EQ(s.objects, 2);
    CHECK_EQ(s.end_bytes, 16);
    CHECK_EQ(s.peak_bytes, 112);  // the first dies before the second is born
    CHECK_EQ(gh_history_op_count(h, 2), 1);
    gh_history_free(h);
}

static void
test_workload(void)
{
    gh_history *h;
    CHECK(gh_history_new(&h) == GH_OK);
    gh_workload w = {.live = 1 << 20, .alloc_rate = 1 << 22, .mean_size = 64,
                     .scan_share = 0.5, .long_share = 0.1, .short_ns = 1e5,
                     .duration_ns = 1000000000, .procs = 3, .random = 7};
    bool more = true;
    while (more) {
        CHECK(gh_workload_add(&w, h, 1000, &more) == GH_OK);
        const uint8_t *data;
        CHECK(gh_history_take(h, 0, &data) > 0 || !more);
    }
    gh_history_summary s;
    gh_history_summary_get(h, &s);
    CHECK(s.alloc_bytes > 5u << 20 && s.alloc_bytes < 21u << 18);
    CHECK(s.end_bytes > 15u << 16 && s.end_bytes < 18u << 16);
    CHECK_EQ(s.procs, 3);
    gh_history_free(h);
}

static void
test_rows(void)
{
    static const char *const ops[] = {"alloc", "free", "heap_live"};
    static const uint8_t op[] = {0, 0, 1, 2}, t[] = {2, 2, 2, 2},
                         p[] = {0, 1, 0, 255}, sc[] = {13, 1}, pages[] = {3},
                         type[] = {1, 0}, back[] = {1}, val[] = {77};
    const uint8_t *data[GH_ROWS_COLUMNS] = {
        [GH_ROWS_OP] = op, [GH_ROWS_T] = t, [GH_ROWS_P] = p,
        [GH_ROWS_SPANCLASS] = sc, [GH_ROWS_PAGES] = pages, [GH_ROWS_TYPE] = type,
        [GH_ROWS_FREE] = back, [GH_ROWS_VAL] = val};
    size_t bytes_of[GH_ROWS_COLUMNS] = {
        [GH_ROWS_OP] = 4, [GH_ROWS_T] = 4, [GH_ROWS_P] = 4,
        [GH_ROWS_SPANCLASS] = 2, [GH_ROWS_PAGES] = 1, [GH_ROWS_TYPE] = 2,
        [GH_ROWS_FREE] = 1, [GH_ROWS_VAL] = 1};
    int64_t ts[4], object[4], size[4], g[4], v[4];
    int32_t o[4], ps[4], types[4];
    const gh_rows_out out = {ts, o, ps, object, size, types, g, v};
    gh_rows_error err;
    CHECK(gh_rows(ops, 3, data, bytes_of, 4, 2, &out, &err) == GH_OK);
    CHECK(ts[3] == 4 && ps[3] == -1 && v[3] == 77 && object[3] == -1);
    CHECK(object[2] == 0 && size[2] == 64 && size[1] == 3 * 8192 && types[0] == 1);
    // Each column too short, each byte another.
    for (int c = 0; c < GH_ROWS_COLUMNS; c++) {
        if (bytes_of[c] > 0) {
            bytes_of[c]--;
            CHECK(gh_rows(ops, 3, data, bytes_of, 4, 2, &out, &err)
                  == GH_ERR_INVAL);
            CHECK_EQ(err.column, c);
            bytes_of[c]++;
        }
    }
    CHECK(gh_rows(ops, 3, data, bytes_of, 4, 1, &out, &err) == GH_ERR_INVAL);
    CHECK(gh_rows(ops, 2, data, bytes_of, 4, 2, &out, &err) == GH_ERR_INVAL);
}

static bytes
read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL);
    bytes b = {0};
    char piece[4096];
    size_t n;
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0) {
        put(&b, piece, n);
    }
    fclose(f);
    return b;
}

int
main(int argc, char **argv)
{
    if (argc > 3) {
        const uint64_t count = strtoull(argv[1], NULL, 10);
        const uint64_t seed = strtoull(argv[2], NULL, 10);
        for (int i = 3; i < argc; i++) {
            const bytes b = read_file(argv[i]);
            fuzz(&b, count, seed);
            free(b.p);
        }
        return 0;
    }
    test_order_and_pieces();
    test_cut();
    test_mutations();
    test_history();
    test_workload();
    test_rows();
    return 0;
}
