/* CRC-32 of IEEE 802.3, as zlib computes it: in portable C, and by carry-less multiplication where x86 has it. */

#include <stddef.h>
#include <stdint.h>

typedef uint32_t Checksum(uint32_t state, const uint8_t *at, size_t size);

static uint32_t crc_tables[8][256]; /* [n][b]: what a byte b does that stands n bytes before the last of eight */

static void make_crc_tables(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t state = b;
        for (int bit = 0; bit < 8; bit++) state = state >> 1 ^ (state & 1 ? 0xedb88320 : 0);
        crc_tables[0][b] = state;
    }
    for (int n = 1; n < 8; n++) {
        for (int b = 0; b < 256; b++) {
            uint32_t before = crc_tables[n - 1][b];
            crc_tables[n][b] = before >> 8 ^ crc_tables[0][before & 255];
        }
    }
}

static uint32_t checksum_portably(uint32_t state, const uint8_t *at, size_t size)
{
    for (; size >= 8; size -= 8, at += 8) {
        uint32_t mixed = state ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24);
        state = crc_tables[7][mixed & 255] ^ crc_tables[6][mixed >> 8 & 255] ^ crc_tables[5][mixed >> 16 & 255]
            ^ crc_tables[4][mixed >> 24] ^ crc_tables[3][at[4]] ^ crc_tables[2][at[5]] ^ crc_tables[1][at[6]]
            ^ crc_tables[0][at[7]];
    }
    for (; size; size--, at++) state = state >> 8 ^ crc_tables[0][(state ^ *at) & 255];
    return state;
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>

#define FOLDED(state, by, next) _mm_xor_si128(next, \
    _mm_xor_si128(_mm_clmulepi64_si128(state, by, 0x00), _mm_clmulepi64_si128(state, by, 0x11)))
#define LOADED(place) _mm_loadu_si128((const __m128i *)(place))

/* Folds 64 bytes at a time, then 16, then reduces by Barrett: Gopal et al., "Fast CRC Computation for Generic Polynomials
 * Using PCLMULQDQ Instruction" (Intel, 2009), whose constants for the reflected polynomial these are. */
__attribute__((target("pclmul,sse4.1"))) static uint32_t checksum_by_folding(uint32_t state, const uint8_t *at, size_t size)
{
    if (size < 64) return checksum_portably(state, at, size);
    const __m128i by_64 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4), by_16 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    const __m128i by_8 = _mm_set_epi64x(0, 0x163cd6124), polynomial = _mm_set_epi64x(0x1f7011641, 0x1db710641);
    const __m128i words = _mm_setr_epi32(~0, 0, ~0, 0);
    __m128i a = _mm_xor_si128(LOADED(at), _mm_cvtsi32_si128((int)state));
    __m128i b = LOADED(at + 16), c = LOADED(at + 32), d = LOADED(at + 48);
    for (at += 64, size -= 64; size >= 64; at += 64, size -= 64) {
        a = FOLDED(a, by_64, LOADED(at));
        b = FOLDED(b, by_64, LOADED(at + 16));
        c = FOLDED(c, by_64, LOADED(at + 32));
        d = FOLDED(d, by_64, LOADED(at + 48));
    }
    a = FOLDED(a, by_16, b);
    a = FOLDED(a, by_16, c);
    a = FOLDED(a, by_16, d);
    for (; size >= 16; at += 16, size -= 16) a = FOLDED(a, by_16, LOADED(at));
    a = _mm_xor_si128(_mm_srli_si128(a, 8), _mm_clmulepi64_si128(a, by_16, 0x10));
    a = _mm_xor_si128(_mm_srli_si128(a, 4), _mm_clmulepi64_si128(_mm_and_si128(a, words), by_8, 0x00));
    __m128i quotient = _mm_clmulepi64_si128(_mm_and_si128(a, words), polynomial, 0x10);
    a = _mm_xor_si128(a, _mm_clmulepi64_si128(_mm_and_si128(quotient, words), polynomial, 0x00));
    return checksum_portably((uint32_t)_mm_extract_epi32(a, 1), at, size);
}

static Checksum *best_checksum(void)
{
    unsigned a, b, c, d;
    int has_both = __get_cpuid(1, &a, &b, &c, &d) && c >> 19 & 1 && c >> 1 & 1;
    return has_both ? checksum_by_folding : checksum_portably;
}
#else
static Checksum *best_checksum(void) { return checksum_portably; }
#endif

static Checksum *checksum = checksum_portably;
