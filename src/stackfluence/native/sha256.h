/* SHA-256, FIPS 180-4: in portable C, and with the instructions that x86 processors have for it, chosen when loading. */

#include <stdint.h>
#include <string.h>

typedef struct {
    uint32_t state[8];
    uint8_t block[64];
    size_t filled; /* bytes of the block, always below 64 */
    uint64_t size; /* bytes in all */
} Hash;

typedef void Compress(uint32_t state[8], const uint8_t *at, size_t blocks);

static const uint32_t SHA_START[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};
static const uint32_t SHA_ROUND[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t turned(uint32_t word, int bits) { return word >> bits | word << (32 - bits); }

static void compress_portably(uint32_t state[8], const uint8_t *at, size_t blocks)
{
    for (; blocks; blocks--, at += 64) {
        uint32_t w[64], s[8];
        for (int i = 0; i < 16; i++) {
            w[i] = (uint32_t)at[4 * i] << 24 | (uint32_t)at[4 * i + 1] << 16 | (uint32_t)at[4 * i + 2] << 8 | at[4 * i + 3];
        }
        for (int i = 16; i < 64; i++) {
            uint32_t a = turned(w[i - 15], 7) ^ turned(w[i - 15], 18) ^ w[i - 15] >> 3;
            uint32_t b = turned(w[i - 2], 17) ^ turned(w[i - 2], 19) ^ w[i - 2] >> 10;
            w[i] = w[i - 16] + a + w[i - 7] + b;
        }
        memcpy(s, state, sizeof s);
        for (int i = 0; i < 64; i += 8) {
#pragma GCC unroll 8
            for (int j = 0; j < 8; j++) { /* the eight words stay in place, and their names move on: s[-j & 7] is `a` */
                uint32_t a = s[-j & 7], b = s[(1 - j) & 7], c = s[(2 - j) & 7];
                uint32_t e = s[(4 - j) & 7], f = s[(5 - j) & 7], g = s[(6 - j) & 7];
                uint32_t first = s[(7 - j) & 7] + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g));
                first += SHA_ROUND[i + j] + w[i + j];
                s[(3 - j) & 7] += first;
                s[(7 - j) & 7] = first + (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            }
        }
        for (int i = 0; i < 8; i++) state[i] += s[i];
    }
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>

/* Four rounds at a time, in the order of registers that Intel's "SHA Extensions" paper (2013) gives. */
__attribute__((target("sha,sse4.1"))) static void compress_by_instruction(uint32_t state[8], const uint8_t *at, size_t blocks)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xb1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xf0);
    for (; blocks; blocks--, at += 64) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];
        for (int i = 0; i < 4; i++) w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(at + 16 * i)), big_endian);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            __m128i sum = _mm_add_epi32(w[i & 3], _mm_loadu_si128((const __m128i *)(SHA_ROUND + 4 * i)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
            if (i < 12) {
                const __m128i last = w[(i + 3) & 3];
                __m128i next = _mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]);
                next = _mm_add_epi32(next, _mm_alignr_epi8(last, w[(i + 2) & 3], 4));
                w[i & 3] = _mm_sha256msg2_epu32(next, last);
            }
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    low = _mm_shuffle_epi32(abef, 0x1b);
    high = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(low, high, 0xf0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(high, low, 8));
}

static Compress *best_compress(void)
{
    unsigned a, b, c, d;
    int has_sse41 = __get_cpuid(1, &a, &b, &c, &d) && c >> 19 & 1;
    int has_sha = __get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 29 & 1;
    return has_sse41 && has_sha ? compress_by_instruction : compress_portably;
}
#else
static Compress *best_compress(void) { return compress_portably; }
#endif

static Compress *compress = compress_portably;

static void begin(Hash *hash)
{
    memcpy(hash->state, SHA_START, sizeof SHA_START);
    hash->filled = 0;
    hash->size = 0;
}

static void absorb(Hash *hash, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    hash->size += size;
    if (hash->filled) {
        size_t room = 64 - hash->filled, some = size < room ? size : room;
        memcpy(hash->block + hash->filled, at, some);
        at += some, size -= some, hash->filled += some;
        if (hash->filled < 64) return;
        compress(hash->state, hash->block, 1);
    }
    compress(hash->state, at, size / 64);
    hash->filled = size % 64;
    memcpy(hash->block, at + (size - hash->filled), hash->filled);
}

static void put_big_endian(const uint32_t *words, int many, uint8_t *out)
{
    for (int i = 0; i < 4 * many; i++) out[i] = (uint8_t)(words[i / 4] >> (24 - 8 * (i % 4)));
}

static void finish(Hash *hash, uint8_t digest[32])
{
    uint64_t bits = hash->size * 8;
    hash->block[hash->filled++] = 0x80;
    if (hash->filled > 56) {
        memset(hash->block + hash->filled, 0, 64 - hash->filled);
        compress(hash->state, hash->block, 1);
        hash->filled = 0;
    }
    memset(hash->block + hash->filled, 0, 56 - hash->filled);
    put_big_endian((uint32_t[]){(uint32_t)(bits >> 32), (uint32_t)bits}, 2, hash->block + 56);
    compress(hash->state, hash->block, 1);
    put_big_endian(hash->state, 8, digest);
}
