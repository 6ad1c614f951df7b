// mgcscan.c: the kernels of Green Tea. See mgcscan.h.

#include "mgcscan.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_AVX512 1
#include <immintrin.h>
#else
#define HAVE_AVX512 0
#endif

// ---- portable C -------------------------------------------------------------

// set_range sets the bits [from, to).
static void
set_range(gh_page_mask *m, unsigned from, unsigned to)
{
    const unsigned last = (to - 1) / 64;
    uint64_t bits = ~(uint64_t)0 << (from % 64);
    for (unsigned i = from / 64; i < last; i++) {
        m->w[i] |= bits;
        bits = ~(uint64_t)0;
    }
    m->w[last] |= bits & ~(uint64_t)0 >> (63 - (to - 1) % 64);
}

// One step for each run of ones, as marked objects tend to be neighbours.
static void
expand_portable(unsigned obj_words, const gh_page_mask *objects,
                gh_page_mask *words)
{
    GH_ASSERT(obj_words >= 1);
    GH_ASSERT(obj_words <= GH_SCAN_MAX_OBJ_WORDS);
    gh_page_mask out = {{0}};
    const unsigned used = (GH_PAGE_WORDS + obj_words - 1) / obj_words;
    for (unsigned i = 0; i * 64 < used; i++) {
        uint64_t m = objects->w[i];
        while (m != 0) {
            const unsigned first = gh_ctz64(m);
            // Adding at the lowest one carries through its run.
            const uint64_t carried = m + (m & -m);
            const unsigned end = gh_ctz64(~m & carried);
            const unsigned from = (i * 64 + first) * obj_words;
            if (from >= GH_PAGE_WORDS) {
                break;
            }
            const unsigned to = (i * 64 + end) * obj_words;
            set_range(&out, from, to < GH_PAGE_WORDS ? to : GH_PAGE_WORDS);
            m &= carried;
        }
    }
    *words = out;
}

static unsigned
scan_span_portable(const void *page, unsigned obj_words,
                   const gh_page_mask *objects, const gh_page_mask *pointers,
                   uintptr_t *buf)
{
    gh_page_mask words;
    expand_portable(obj_words, objects, &words);
    const uintptr_t *p = page;
    unsigned n = 0;
    for (unsigned i = 0; i < GH_PAGE_MASK_WORDS; i++, p += 64) {
        uint64_t m = words.w[i] & pointers->w[i];
        for (; m != 0; m &= m - 1) {
            const uintptr_t v =
                __atomic_load_n(&p[gh_ctz64(m)], __ATOMIC_RELAXED);
            // Branch-free: the entry counts only if n moves past it.
            buf[n] = v;
            n += v != 0;
        }
    }
    return n;
}

static size_t
filter_nil_portable(uintptr_t *buf, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const uintptr_t v = buf[i];
        buf[kept] = v;
        kept += v != 0;
    }
    return kept;
}

const gh_scan_kernels *
gh_scan_kernels_portable(void)
{
    static const gh_scan_kernels kernels = {
        .name = "portable",
        .expand = expand_portable,
        .scan_span = scan_span_portable,
        .filter_nil = filter_nil_portable,
    };
    return &kernels;
}

// ---- AVX-512 ----------------------------------------------------------------

#if HAVE_AVX512

// Only these functions are compiled for AVX-512, and they run only after the
// CPU was asked; the rest of the library runs on any x86-64.
#define AVX512                                                                 \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512bitalg,"            \
                          "avx512vbmi,popcnt")))

// object_of returns the object, counted from that of word 0, of each of the 32
// words from start on. Multiplying by 65536 / obj_words rounded up divides
// exactly: words are below 128, so the error stays below 128 / 65536, and that
// is less than the 1 / obj_words between a quotient and the next integer.
static inline AVX512 __m256i
object_of(unsigned start, __m512i reciprocal)
{
    const __m512i iota = _mm512_set_epi16(
        31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16,
        15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i word =
        _mm512_add_epi16(iota, _mm512_set1_epi16((short)start));
    return _mm512_cvtepi16_epi8(_mm512_mulhi_epu16(word, reciprocal));
}

// Each word of the word mask takes its bits from at most 33 neighbouring bits
// of the object mask. They are brought to the bottom of a register, and one
// instruction picks for each of 64 places the bit of the object that is there.
static AVX512 void
expand_avx512(unsigned obj_words, const gh_page_mask *objects,
              gh_page_mask *words)
{
    GH_ASSERT(obj_words >= 1);
    GH_ASSERT(obj_words <= GH_SCAN_MAX_OBJ_WORDS);
    if (obj_words == 1) {
        *words = *objects;
        return;
    }
    const __m512i reciprocal =
        _mm512_set1_epi16((short)((65536 + obj_words - 1) / obj_words));
    // The objects of words 0..63 and 64..127, if word 0 begins one.
    const __m512i low = _mm512_inserti64x4(
        _mm512_castsi256_si512(object_of(0, reciprocal)),
        object_of(32, reciprocal), 1);
    const __m512i high = _mm512_inserti64x4(
        _mm512_castsi256_si512(object_of(64, reciprocal)),
        object_of(96, reciprocal), 1);
    const __m512i iota = _mm512_set_epi64(
        0x3f3e3d3c3b3a3938, 0x3736353433323130, 0x2f2e2d2c2b2a2928,
        0x2726252423222120, 0x1f1e1d1c1b1a1918, 0x1716151413121110,
        0x0f0e0d0c0b0a0908, 0x0706050403020100);
    const unsigned step = 64 / obj_words, step_rest = 64 % obj_words;
    const gh_page_mask in = *objects;
    // The object that word 64 * i lies in, and how many words lie before.
    unsigned object = 0, before = 0;
    for (unsigned i = 0; i < GH_PAGE_MASK_WORDS; i++) {
        const unsigned at = object / 64, shift = object % 64;
        const uint64_t bits = in.w[at] >> shift
                              | (in.w[at + 1] << 1) << (63 - shift);
        const __m512i place =
            _mm512_add_epi8(iota, _mm512_set1_epi8((char)before));
        const __m512i pick = _mm512_permutex2var_epi8(low, place, high);
        words->w[i] = _cvtmask64_u64(_mm512_bitshuffle_epi64_mask(
            _mm512_set1_epi64((long long)bits), pick));
        object += step;
        before += step_rest;
        if (before >= obj_words) {
            before -= obj_words;
            object++;
        }
    }
}

// Eight words a step. The thread sanitizer would call a vector a racing load;
// it is not, since each aligned word of it is loaded whole.
static AVX512 __attribute__((no_sanitize("thread"))) unsigned
scan_span_avx512(const void *page, unsigned obj_words,
                 const gh_page_mask *objects, const gh_page_mask *pointers,
                 uintptr_t *buf)
{
    gh_page_mask words;
    expand_avx512(obj_words, objects, &words);
    for (unsigned i = 0; i < GH_PAGE_MASK_WORDS; i++) {
        words.w[i] &= pointers->w[i];
    }
    // A byte of the mask is a cache line of the page.
    const unsigned char *wanted = (const unsigned char *)&words;
    const uintptr_t *p = page;
    unsigned n = 0;
    for (unsigned i = 0; i < sizeof(words); i++) {
        if (wanted[i] == 0) {
            continue;
        }
        const __m512i v = _mm512_loadu_si512(&p[i * 8]);
        const __mmask8 keep =
            _mm512_mask_test_epi64_mask(_cvtu32_mask8(wanted[i]), v, v);
        // By way of a register: compressing straight to memory is slow on some
        // CPUs. n is at most the words passed, so all eight fit.
        _mm512_storeu_si512(&buf[n], _mm512_maskz_compress_epi64(keep, v));
        n += (unsigned)_mm_popcnt_u32(_cvtmask8_u32(keep));
    }
    return n;
}

static AVX512 size_t
filter_nil_avx512(uintptr_t *buf, size_t n)
{
    size_t kept = 0, i = 0;
    for (; n - i >= 8; i += 8) {
        const __m512i v = _mm512_loadu_si512(&buf[i]);
        const __mmask8 keep = _mm512_test_epi64_mask(v, v);
        _mm512_storeu_si512(&buf[kept], _mm512_maskz_compress_epi64(keep, v));
        kept += (unsigned)_mm_popcnt_u32(_cvtmask8_u32(keep));
    }
    const __mmask8 rest = _cvtu32_mask8((1u << (n - i)) - 1);
    const __m512i v = _mm512_maskz_loadu_epi64(rest, &buf[i]);
    const __mmask8 keep = _mm512_test_epi64_mask(v, v);
    _mm512_mask_storeu_epi64(&buf[kept], rest,
                             _mm512_maskz_compress_epi64(keep, v));
    return kept + (unsigned)_mm_popcnt_u32(_cvtmask8_u32(keep));
}

const gh_scan_kernels *
gh_scan_kernels_avx512(void)
{
    static const gh_scan_kernels kernels = {
        .name = "avx512",
        .expand = expand_avx512,
        .scan_span = scan_span_avx512,
        .filter_nil = filter_nil_avx512,
    };
    // The compiler's answer includes whether the system saves the registers.
    __builtin_cpu_init();
    const bool can = __builtin_cpu_supports("avx512f")
                     && __builtin_cpu_supports("avx512bw")
                     && __builtin_cpu_supports("avx512dq")
                     && __builtin_cpu_supports("avx512bitalg")
                     && __builtin_cpu_supports("avx512vbmi")
                     && __builtin_cpu_supports("popcnt");
    return can ? &kernels : NULL;
}

#else

const gh_scan_kernels *
gh_scan_kernels_avx512(void)
{
    return NULL;
}

#endif

const gh_scan_kernels *
gh_scan_kernels_best(void)
{
    const gh_scan_kernels *k = gh_scan_kernels_avx512();
    return k != NULL ? k : gh_scan_kernels_portable();
}
