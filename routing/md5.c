/*
 * Owns: MD5 (RFC 1321), tuned for texts that fit one block, which keys and server names nearly always do.
 *
 *   text, up to 55 bytes            padding                  length in bits
 *   +------------------------------+------+-- zeros --+------------------+
 *   | k e y : 1 2 3 4              | 0x80 | 0 … 0     | 64 bits          |   one block of 64 bytes
 *   +------------------------------+------+-----------+------------------+
 *
 * Longer texts take full blocks straight from the caller's memory first, and the same tail after them.
 * The rounds themselves stand in md5_rounds.h: for one text, and for eight side by side, as wide as the processor allows.
 *
 * Does not do: streaming, other digests, anything that needs a secure hash (that is OpenSSL's).
 */
#include "routing/md5.h"

#include <string.h>

#define MD5_BLOCK 64
#define MD5_LENGTH_AT 56

static inline uint32_t load_le32(const unsigned char *from)
{
    uint32_t word;
    memcpy(&word, from, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap32(word);
#endif
    return word;
}

#define MD5_WORD uint32_t
#define MD5_NAME(x) one_##x
#define MD5_TARGET
#include "routing/md5_rounds.h"

__attribute__((always_inline)) static inline struct one_state md5_block(struct one_state before,
                                                                        const unsigned char block[MD5_BLOCK])
{
    uint32_t x[16];
    for (int i = 0; i < 16; i++)
        x[i] = load_le32(block + 4 * i);
    return one_block(before, x);
}

static const struct one_state md5_start = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u};

/* All but the last block: afterwards block holds what the final md5_block needs. */
static struct one_state md5_long(const char *text, size_t len, unsigned char block[MD5_BLOCK])
{
    struct one_state state = md5_start;
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

/* The only block of a text of less than MD5_LENGTH_AT bytes. */
static inline void md5_short(const char *text, size_t len, unsigned char block[MD5_BLOCK])
{
    memset(block, 0, MD5_BLOCK);
    memcpy(block, text, len);
    block[len] = 0x80;
    block[MD5_LENGTH_AT] = (unsigned char)(len << 3);
    block[MD5_LENGTH_AT + 1] = (unsigned char)(len >> 5);
}

__attribute__((always_inline)) static inline struct one_state md5_of(const char *text, size_t len)
{
    unsigned char block[MD5_BLOCK];
    if (len < MD5_LENGTH_AT) {
        md5_short(text, len, block);
        return md5_block(md5_start, block);
    }
    struct one_state state = md5_long(text, len, block);
    put_length(block, len);
    return md5_block(state, block);
}

void md5_words(const char *text, size_t len, uint32_t words_out[4])
{
    struct one_state state = md5_of(text, len);
    words_out[0] = state.a;
    words_out[1] = state.b;
    words_out[2] = state.c;
    words_out[3] = state.d;
}

uint32_t md5_first_word(const char *text, size_t len)
{
    return md5_of(text, len).a;
}

/* ---- Side by side ---- */

/* A text longer than a block can hold is hashed by itself. */
static bool is_short(struct slice text)
{
    return text.len < MD5_LENGTH_AT;
}

/* The word in which a short text ends: its last bytes, of which there are len % 4, and the padding's first one. */
static inline uint32_t last_word(const unsigned char *text, size_t len)
{
    size_t rest = len % 4;
    uint32_t word = 0;
    if (len >= 4 && rest > 0)
        word = load_le32(text + len - 4) >> (32 - 8 * rest);
    for (size_t i = 0; len < 4 && i < rest; i++)
        word |= (uint32_t)text[i] << 8 * i;
    return word | UINT32_C(0x80) << 8 * rest;
}

/*
 * For n texts, at most MD5_LANES: word i of each text's block stands in words[i], text by text. Lanes without a short text
 * are empty texts.
 */
static void gather_lanes(const struct slice *texts, size_t n, uint32_t words[16][MD5_LANES])
{
    memset(words, 0, 16 * sizeof words[0]);
    for (size_t lane = 0; lane < MD5_LANES; lane++) {
        bool given = lane < n && is_short(texts[lane]);
        const unsigned char *text = (const unsigned char *)(given ? texts[lane].data : "");
        size_t len = given ? texts[lane].len : 0;
        for (size_t i = 0; i < len / 4; i++)
            words[i][lane] = load_le32(text + 4 * i);
        words[len / 4][lane] = last_word(text, len);
        words[MD5_LENGTH_AT / 4][lane] = (uint32_t)len * 8;
    }
}

#define MD5_LANES_FUNCTION(name, prefix, vector, target)                                                     \
    target static void name(uint32_t words[16][MD5_LANES], uint32_t first_words_out[MD5_LANES])              \
    {                                                                                                        \
        for (size_t at = 0; at < MD5_LANES; at += sizeof(vector) / sizeof(uint32_t)) {                       \
            vector x[16];                                                                                    \
            for (int i = 0; i < 16; i++)                                                                     \
                memcpy(&x[i], &words[i][at], sizeof x[i]);                                                   \
            const vector zero = {0};                                                                         \
            const struct prefix##_state start = {zero + md5_start.a, zero + md5_start.b, zero + md5_start.c, \
                                                 zero + md5_start.d};                                        \
            const struct prefix##_state state = prefix##_block(start, x);                                    \
            memcpy(first_words_out + at, &state.a, sizeof state.a);                                          \
        }                                                                                                    \
    }

/* Compilers have vectors of this size everywhere: SSE2, NEON, or four words. */
typedef uint32_t lanes4 __attribute__((vector_size(16)));
#define MD5_WORD lanes4
#define MD5_NAME(x) four_##x
#define MD5_TARGET
#include "routing/md5_rounds.h"
MD5_LANES_FUNCTION(hash_lanes, four, lanes4, )

#ifdef __x86_64__
#define WITH_AVX2 __attribute__((target("avx2")))
typedef uint32_t lanes8 __attribute__((vector_size(32)));
#define MD5_WORD lanes8
#define MD5_NAME(x) eight_##x
#define MD5_TARGET WITH_AVX2
#include "routing/md5_rounds.h"
MD5_LANES_FUNCTION(hash_lanes_avx2, eight, lanes8, WITH_AVX2)

/* The same vectors: this one can rotate, and has functions of three words. */
#define WITH_AVX512 __attribute__((target("avx512vl")))
#define MD5_WORD lanes8
#define MD5_NAME(x) rotating_##x
#define MD5_TARGET WITH_AVX512
#include "routing/md5_rounds.h"
MD5_LANES_FUNCTION(hash_lanes_avx512, rotating, lanes8, WITH_AVX512)
#endif

typedef void lanes_fn(uint32_t words[16][MD5_LANES], uint32_t first_words_out[MD5_LANES]);

static lanes_fn *widest(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512vl"))
        return hash_lanes_avx512;
    if (__builtin_cpu_supports("avx2"))
        return hash_lanes_avx2;
#endif
    return hash_lanes;
}

/* At most MD5_LANES texts. */
static void hash_group(const struct slice *texts, size_t n, uint32_t *words_out)
{
    uint32_t words[16][MD5_LANES];
    uint32_t first_words[MD5_LANES];
    gather_lanes(texts, n, words);
    widest()(words, first_words);
    for (size_t i = 0; i < n; i++)
        words_out[i] = is_short(texts[i]) ? first_words[i] : md5_first_word(texts[i].data, texts[i].len);
}

void md5_first_words(const struct slice *texts, size_t n, uint32_t *words_out)
{
    for (size_t i = 0; i < n; i += MD5_LANES) {
        size_t count = n - i < MD5_LANES ? n - i : MD5_LANES;
        if (count == 1)
            words_out[i] = md5_first_word(texts[i].data, texts[i].len);
        else
            hash_group(texts + i, count, words_out + i);
    }
}
