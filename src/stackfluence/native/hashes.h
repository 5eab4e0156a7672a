/* Merkle trees of RFC 6962. Two hashes at a time: in one alone each instruction waits for the one before. */

#include "sha256.h"

enum { HASH_BYTES = 32 };

typedef void CompressTwo(uint32_t *const states[2], const uint8_t *const from[2], size_t blocks);

static void compress_two_portably(uint32_t *const states[2], const uint8_t *const from[2], size_t blocks)
{
    for (int lane = 0; lane < 2; lane++) compress(states[lane], from[lane], blocks);
}

#if defined(__x86_64__) && defined(__GNUC__)
/* As `compress_by_instruction`, in two lanes. */
__attribute__((target("sha,sse4.1"))) static void compress_two_by_instruction(
    uint32_t *const states[2], const uint8_t *const from[2], size_t blocks)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i abef[2], cdgh[2], abef_before[2], cdgh_before[2], w[2][4];
#define LANES _Pragma("GCC unroll 2") for (int lane = 0; lane < 2; lane++)
    LANES {
        __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)states[lane]), 0xb1);
        __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(states[lane] + 4)), 0x1b);
        abef[lane] = _mm_alignr_epi8(low, high, 8), cdgh[lane] = _mm_blend_epi16(high, low, 0xf0);
    }
    for (size_t block = 0; block < blocks; block++) {
        LANES {
            const __m128i *at = (const __m128i *)(from[lane] + 64 * block);
            abef_before[lane] = abef[lane], cdgh_before[lane] = cdgh[lane];
            _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) w[lane][i] = _mm_shuffle_epi8(_mm_loadu_si128(at + i), big_endian);
        }
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            const __m128i constants = _mm_loadu_si128((const __m128i *)(SHA_ROUND + 4 * i));
            LANES {
                __m128i sum = _mm_add_epi32(w[lane][i & 3], constants);
                cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], sum);
                abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], _mm_shuffle_epi32(sum, 0x0e));
                if (i < 12) {
                    const __m128i last = w[lane][(i + 3) & 3];
                    __m128i next = _mm_sha256msg1_epu32(w[lane][i & 3], w[lane][(i + 1) & 3]);
                    next = _mm_add_epi32(next, _mm_alignr_epi8(last, w[lane][(i + 2) & 3], 4));
                    w[lane][i & 3] = _mm_sha256msg2_epu32(next, last);
                }
            }
        }
        LANES {
            abef[lane] = _mm_add_epi32(abef[lane], abef_before[lane]);
            cdgh[lane] = _mm_add_epi32(cdgh[lane], cdgh_before[lane]);
        }
    }
    LANES {
        __m128i low = _mm_shuffle_epi32(abef[lane], 0x1b), high = _mm_shuffle_epi32(cdgh[lane], 0xb1);
        _mm_storeu_si128((__m128i *)states[lane], _mm_blend_epi16(low, high, 0xf0));
        _mm_storeu_si128((__m128i *)(states[lane] + 4), _mm_alignr_epi8(high, low, 8));
    }
#undef LANES
}

static CompressTwo *best_compress_two(void)
{
    return best_compress() == compress_by_instruction ? compress_two_by_instruction : compress_two_portably;
}
#else
static CompressTwo *best_compress_two(void) { return compress_two_portably; }
#endif

static CompressTwo *compress_two = compress_two_portably;

/* Write the hashes of one or two leaves, behind a zero byte, one behind the other. */
static void hash_leaves(const Span *leaves, int many, uint8_t *digests)
{
    Hash hashes[2];
    Span rest[2];
    for (int lane = 0; lane < many; lane++) {
        size_t first = leaves[lane].size < 63 ? leaves[lane].size : 63; /* with the zero byte a block */
        begin(hashes + lane);
        absorb(hashes + lane, "", 1);
        absorb(hashes + lane, leaves[lane].at, first);
        rest[lane] = (Span){leaves[lane].at + first, leaves[lane].size - first};
    }
    if (many == 2) {
        size_t blocks = (rest[0].size < rest[1].size ? rest[0].size : rest[1].size) / 64;
        uint32_t *const states[2] = {hashes[0].state, hashes[1].state};
        const uint8_t *const from[2] = {(const uint8_t *)rest[0].at, (const uint8_t *)rest[1].at};
        compress_two(states, from, blocks);
        for (int lane = 0; lane < 2; lane++) {
            hashes[lane].size += 64 * blocks;
            rest[lane] = (Span){rest[lane].at + 64 * blocks, rest[lane].size - 64 * blocks};
        }
    }
    for (int lane = 0; lane < many; lane++) {
        absorb(hashes + lane, rest[lane].at, rest[lane].size);
        finish(hashes + lane, digests + lane * HASH_BYTES);
    }
}

/* Put the hashes of pairs in place of these, each behind a byte of one; one without a neighbour stays as it is. */
static size_t hash_level(uint8_t *level, size_t many)
{
    enum { NODE_BYTES = 2 * HASH_BYTES, NODE_BITS = 8 * (1 + NODE_BYTES) };
    uint8_t blocks[2][128] = {{0}, {0}}; /* a node is padded to two */
    uint32_t words[2][8], *const states[2] = {words[0], words[1]};
    const uint8_t *const from[2] = {blocks[0], blocks[1]};
    size_t pairs = many / 2;
    for (int lane = 0; lane < 2; lane++) {
        blocks[lane][0] = 1;
        blocks[lane][1 + NODE_BYTES] = 0x80;
        blocks[lane][126] = NODE_BITS >> 8;
        blocks[lane][127] = NODE_BITS & 255;
    }
    for (size_t pair = 0; pair < pairs; pair += 2) {
        int lanes = pair + 1 < pairs ? 2 : 1;
        for (int lane = 0; lane < 2; lane++) {
            memcpy(words[lane], SHA_START, sizeof SHA_START);
            if (lane < lanes) memcpy(blocks[lane] + 1, level + (pair + (size_t)lane) * NODE_BYTES, NODE_BYTES);
        }
        compress_two(states, from, 2);
        for (int lane = 0; lane < lanes; lane++) put_big_endian(words[lane], 8, level + (pair + (size_t)lane) * HASH_BYTES);
    }
    if (many % 2) memmove(level + pairs * HASH_BYTES, level + (many - 1) * HASH_BYTES, HASH_BYTES);
    return pairs + many % 2;
}
