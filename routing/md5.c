/*
 * Owns: MD5 (RFC 1321), tuned for texts that fit one block, which keys and server names nearly always do.
 *
 *   text, up to 55 bytes            padding                  length in bits
 *   +------------------------------+------+-- zeros --+------------------+
 *   | k e y : 1 2 3 4              | 0x80 | 0 … 0     | 64 bits          |   one block of 64 bytes
 *   +------------------------------+------+-----------+------------------+
 *
 * Longer texts take full blocks straight from the caller's memory first, and the same tail after them.
 * The block function is inline in both callers: where only word 0 is wanted, the compiler drops the last three steps.
 *
 * Does not do: streaming, other digests, anything that needs a secure hash (that is OpenSSL's).
 */
#include "routing/md5.h"

#include <string.h>

#define MD5_BLOCK 64
#define MD5_LENGTH_AT 56

struct md5_state {
    uint32_t a, b, c, d;
};

static inline uint32_t load_le32(const unsigned char *from)
{
    uint32_t word;
    memcpy(&word, from, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap32(word);
#endif
    return word;
}

static inline uint32_t rotate_left(uint32_t x, unsigned bits)
{
    return x << bits | x >> (32 - bits);
}

/*
 * The four round functions, written for a short dependency chain: the part that depends on the youngest word comes
 * last. G's two halves never share a bit, so they can be added one after the other.
 */
#define F(a, b, c, d, x, s, k) a = rotate_left(a + (x) + (k) + (d ^ (b & (c ^ d))), s) + b
#define G(a, b, c, d, x, s, k) a = rotate_left(a + (x) + (k) + (c & ~d) + (b & d), s) + b
#define H(a, b, c, d, x, s, k) a = rotate_left(a + (x) + (k) + (b ^ (c ^ d)), s) + b
#define I(a, b, c, d, x, s, k) a = rotate_left(a + (x) + (k) + (c ^ (b | ~d)), s) + b

static inline void round_f(struct md5_state *s, const uint32_t x[16])
{
    uint32_t a = s->a, b = s->b, c = s->c, d = s->d;
    F(a, b, c, d, x[0], 7, 0xd76aa478u), F(d, a, b, c, x[1], 12, 0xe8c7b756u);
    F(c, d, a, b, x[2], 17, 0x242070dbu), F(b, c, d, a, x[3], 22, 0xc1bdceeeu);
    F(a, b, c, d, x[4], 7, 0xf57c0fafu), F(d, a, b, c, x[5], 12, 0x4787c62au);
    F(c, d, a, b, x[6], 17, 0xa8304613u), F(b, c, d, a, x[7], 22, 0xfd469501u);
    F(a, b, c, d, x[8], 7, 0x698098d8u), F(d, a, b, c, x[9], 12, 0x8b44f7afu);
    F(c, d, a, b, x[10], 17, 0xffff5bb1u), F(b, c, d, a, x[11], 22, 0x895cd7beu);
    F(a, b, c, d, x[12], 7, 0x6b901122u), F(d, a, b, c, x[13], 12, 0xfd987193u);
    F(c, d, a, b, x[14], 17, 0xa679438eu), F(b, c, d, a, x[15], 22, 0x49b40821u);
    *s = (struct md5_state){a, b, c, d};
}

static inline void round_g(struct md5_state *s, const uint32_t x[16])
{
    uint32_t a = s->a, b = s->b, c = s->c, d = s->d;
    G(a, b, c, d, x[1], 5, 0xf61e2562u), G(d, a, b, c, x[6], 9, 0xc040b340u);
    G(c, d, a, b, x[11], 14, 0x265e5a51u), G(b, c, d, a, x[0], 20, 0xe9b6c7aau);
    G(a, b, c, d, x[5], 5, 0xd62f105du), G(d, a, b, c, x[10], 9, 0x02441453u);
    G(c, d, a, b, x[15], 14, 0xd8a1e681u), G(b, c, d, a, x[4], 20, 0xe7d3fbc8u);
    G(a, b, c, d, x[9], 5, 0x21e1cde6u), G(d, a, b, c, x[14], 9, 0xc33707d6u);
    G(c, d, a, b, x[3], 14, 0xf4d50d87u), G(b, c, d, a, x[8], 20, 0x455a14edu);
    G(a, b, c, d, x[13], 5, 0xa9e3e905u), G(d, a, b, c, x[2], 9, 0xfcefa3f8u);
    G(c, d, a, b, x[7], 14, 0x676f02d9u), G(b, c, d, a, x[12], 20, 0x8d2a4c8au);
    *s = (struct md5_state){a, b, c, d};
}

static inline void round_h(struct md5_state *s, const uint32_t x[16])
{
    uint32_t a = s->a, b = s->b, c = s->c, d = s->d;
    H(a, b, c, d, x[5], 4, 0xfffa3942u), H(d, a, b, c, x[8], 11, 0x8771f681u);
    H(c, d, a, b, x[11], 16, 0x6d9d6122u), H(b, c, d, a, x[14], 23, 0xfde5380cu);
    H(a, b, c, d, x[1], 4, 0xa4beea44u), H(d, a, b, c, x[4], 11, 0x4bdecfa9u);
    H(c, d, a, b, x[7], 16, 0xf6bb4b60u), H(b, c, d, a, x[10], 23, 0xbebfbc70u);
    H(a, b, c, d, x[13], 4, 0x289b7ec6u), H(d, a, b, c, x[0], 11, 0xeaa127fau);
    H(c, d, a, b, x[3], 16, 0xd4ef3085u), H(b, c, d, a, x[6], 23, 0x04881d05u);
    H(a, b, c, d, x[9], 4, 0xd9d4d039u), H(d, a, b, c, x[12], 11, 0xe6db99e5u);
    H(c, d, a, b, x[15], 16, 0x1fa27cf8u), H(b, c, d, a, x[2], 23, 0xc4ac5665u);
    *s = (struct md5_state){a, b, c, d};
}

static inline void round_i(struct md5_state *s, const uint32_t x[16])
{
    uint32_t a = s->a, b = s->b, c = s->c, d = s->d;
    I(a, b, c, d, x[0], 6, 0xf4292244u), I(d, a, b, c, x[7], 10, 0x432aff97u);
    I(c, d, a, b, x[14], 15, 0xab9423a7u), I(b, c, d, a, x[5], 21, 0xfc93a039u);
    I(a, b, c, d, x[12], 6, 0x655b59c3u), I(d, a, b, c, x[3], 10, 0x8f0ccc92u);
    I(c, d, a, b, x[10], 15, 0xffeff47du), I(b, c, d, a, x[1], 21, 0x85845dd1u);
    I(a, b, c, d, x[8], 6, 0x6fa87e4fu), I(d, a, b, c, x[15], 10, 0xfe2ce6e0u);
    I(c, d, a, b, x[6], 15, 0xa3014314u), I(b, c, d, a, x[13], 21, 0x4e0811a1u);
    I(a, b, c, d, x[4], 6, 0xf7537e82u), I(d, a, b, c, x[11], 10, 0xbd3af235u);
    I(c, d, a, b, x[2], 15, 0x2ad7d2bbu), I(b, c, d, a, x[9], 21, 0xeb86d391u);
    *s = (struct md5_state){a, b, c, d};
}

/* Always inline: see the file's head. */
__attribute__((always_inline)) static inline struct md5_state md5_block(struct md5_state before,
                                                                        const unsigned char block[MD5_BLOCK])
{
    uint32_t x[16];
    for (int i = 0; i < 16; i++)
        x[i] = load_le32(block + 4 * i);
    struct md5_state s = before;
    round_f(&s, x);
    round_g(&s, x);
    round_h(&s, x);
    round_i(&s, x);
    return (struct md5_state){before.a + s.a, before.b + s.b, before.c + s.c, before.d + s.d};
}

static const struct md5_state md5_start = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u};

/* All but the last block: afterwards block holds what the final md5_block needs. */
static struct md5_state md5_long(const char *text, size_t len, unsigned char block[MD5_BLOCK])
{
    struct md5_state state = md5_start;
    size_t rest = len;
    for (; rest >= MD5_BLOCK; rest -= MD5_BLOCK, text += MD5_BLOCK)
        state = md5_block(state, (const unsigned char *)text);
    memset(block, 0, MD5_BLOCK);
    memcpy(block, text, rest);
    block[rest] = 0x80;
    if (rest >= MD5_LENGTH_AT) {
        state = md5_block(state, block);
        memset(block, 0, MD5_BLOCK);
    }
    return state;
}

static void put_length(unsigned char block[MD5_BLOCK], size_t len)
{
    uint64_t bits = (uint64_t)len * 8;
    for (int i = 0; i < 8; i++)
        block[MD5_LENGTH_AT + i] = (unsigned char)(bits >> 8 * i);
}

__attribute__((always_inline)) static inline struct md5_state md5_of(const char *text, size_t len)
{
    unsigned char block[MD5_BLOCK];
    struct md5_state state = md5_start;
    if (len < MD5_LENGTH_AT) {
        memset(block, 0, sizeof block);
        memcpy(block, text, len);
        block[len] = 0x80;
    } else {
        state = md5_long(text, len, block);
    }
    put_length(block, len);
    return md5_block(state, block);
}

void md5_words(const char *text, size_t len, uint32_t words_out[4])
{
    struct md5_state state = md5_of(text, len);
    words_out[0] = state.a;
    words_out[1] = state.b;
    words_out[2] = state.c;
    words_out[3] = state.d;
}

uint32_t md5_first_word(const char *text, size_t len)
{
    return md5_of(text, len).a;
}
