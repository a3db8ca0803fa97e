/*
 * The rounds of MD5 (RFC 1321) over MD5_WORD, which is a number, or a vector of numbers that each belong to a text of its
 * own. Included by md5.c alone, once for each kind of word: MD5_NAME(x) gives each copy its names, MD5_TARGET the
 * instructions that it may use.
 */

struct MD5_NAME(state) {
    MD5_WORD a, b, c, d;
};

MD5_TARGET static inline MD5_WORD MD5_NAME(rotate_left)(MD5_WORD x, unsigned bits)
{
    return x << bits | x >> (32 - bits);
}

/*
 * The four round functions, written for a short dependency chain: the part that depends on the youngest word comes
 * last. G's two halves never share a bit, so they can be added one after the other.
 */
#define F(a, b, c, d, x, s, k) a = MD5_NAME(rotate_left)(a + (x) + (k) + (d ^ (b & (c ^ d))), s) + b
#define G(a, b, c, d, x, s, k) a = MD5_NAME(rotate_left)(a + (x) + (k) + (c & ~d) + (b & d), s) + b
#define H(a, b, c, d, x, s, k) a = MD5_NAME(rotate_left)(a + (x) + (k) + (b ^ (c ^ d)), s) + b
#define I(a, b, c, d, x, s, k) a = MD5_NAME(rotate_left)(a + (x) + (k) + (c ^ (b | ~d)), s) + b

MD5_TARGET static inline void MD5_NAME(round_f)(struct MD5_NAME(state) * s, const MD5_WORD x[16])
{
    MD5_WORD a = s->a, b = s->b, c = s->c, d = s->d;
    F(a, b, c, d, x[0], 7, 0xd76aa478u), F(d, a, b, c, x[1], 12, 0xe8c7b756u);
    F(c, d, a, b, x[2], 17, 0x242070dbu), F(b, c, d, a, x[3], 22, 0xc1bdceeeu);
    F(a, b, c, d, x[4], 7, 0xf57c0fafu), F(d, a, b, c, x[5], 12, 0x4787c62au);
    F(c, d, a, b, x[6], 17, 0xa8304613u), F(b, c, d, a, x[7], 22, 0xfd469501u);
    F(a, b, c, d, x[8], 7, 0x698098d8u), F(d, a, b, c, x[9], 12, 0x8b44f7afu);
    F(c, d, a, b, x[10], 17, 0xffff5bb1u), F(b, c, d, a, x[11], 22, 0x895cd7beu);
    F(a, b, c, d, x[12], 7, 0x6b901122u), F(d, a, b, c, x[13], 12, 0xfd987193u);
    F(c, d, a, b, x[14], 17, 0xa679438eu), F(b, c, d, a, x[15], 22, 0x49b40821u);
    *s = (struct MD5_NAME(state)){a, b, c, d};
}

MD5_TARGET static inline void MD5_NAME(round_g)(struct MD5_NAME(state) * s, const MD5_WORD x[16])
{
    MD5_WORD a = s->a, b = s->b, c = s->c, d = s->d;
    G(a, b, c, d, x[1], 5, 0xf61e2562u), G(d, a, b, c, x[6], 9, 0xc040b340u);
    G(c, d, a, b, x[11], 14, 0x265e5a51u), G(b, c, d, a, x[0], 20, 0xe9b6c7aau);
    G(a, b, c, d, x[5], 5, 0xd62f105du), G(d, a, b, c, x[10], 9, 0x02441453u);
    G(c, d, a, b, x[15], 14, 0xd8a1e681u), G(b, c, d, a, x[4], 20, 0xe7d3fbc8u);
    G(a, b, c, d, x[9], 5, 0x21e1cde6u), G(d, a, b, c, x[14], 9, 0xc33707d6u);
    G(c, d, a, b, x[3], 14, 0xf4d50d87u), G(b, c, d, a, x[8], 20, 0x455a14edu);
    G(a, b, c, d, x[13], 5, 0xa9e3e905u), G(d, a, b, c, x[2], 9, 0xfcefa3f8u);
    G(c, d, a, b, x[7], 14, 0x676f02d9u), G(b, c, d, a, x[12], 20, 0x8d2a4c8au);
    *s = (struct MD5_NAME(state)){a, b, c, d};
}

MD5_TARGET static inline void MD5_NAME(round_h)(struct MD5_NAME(state) * s, const MD5_WORD x[16])
{
    MD5_WORD a = s->a, b = s->b, c = s->c, d = s->d;
    H(a, b, c, d, x[5], 4, 0xfffa3942u), H(d, a, b, c, x[8], 11, 0x8771f681u);
    H(c, d, a, b, x[11], 16, 0x6d9d6122u), H(b, c, d, a, x[14], 23, 0xfde5380cu);
    H(a, b, c, d, x[1], 4, 0xa4beea44u), H(d, a, b, c, x[4], 11, 0x4bdecfa9u);
    H(c, d, a, b, x[7], 16, 0xf6bb4b60u), H(b, c, d, a, x[10], 23, 0xbebfbc70u);
    H(a, b, c, d, x[13], 4, 0x289b7ec6u), H(d, a, b, c, x[0], 11, 0xeaa127fau);
    H(c, d, a, b, x[3], 16, 0xd4ef3085u), H(b, c, d, a, x[6], 23, 0x04881d05u);
    H(a, b, c, d, x[9], 4, 0xd9d4d039u), H(d, a, b, c, x[12], 11, 0xe6db99e5u);
    H(c, d, a, b, x[15], 16, 0x1fa27cf8u), H(b, c, d, a, x[2], 23, 0xc4ac5665u);
    *s = (struct MD5_NAME(state)){a, b, c, d};
}

MD5_TARGET static inline void MD5_NAME(round_i)(struct MD5_NAME(state) * s, const MD5_WORD x[16])
{
    MD5_WORD a = s->a, b = s->b, c = s->c, d = s->d;
    I(a, b, c, d, x[0], 6, 0xf4292244u), I(d, a, b, c, x[7], 10, 0x432aff97u);
    I(c, d, a, b, x[14], 15, 0xab9423a7u), I(b, c, d, a, x[5], 21, 0xfc93a039u);
    I(a, b, c, d, x[12], 6, 0x655b59c3u), I(d, a, b, c, x[3], 10, 0x8f0ccc92u);
    I(c, d, a, b, x[10], 15, 0xffeff47du), I(b, c, d, a, x[1], 21, 0x85845dd1u);
    I(a, b, c, d, x[8], 6, 0x6fa87e4fu), I(d, a, b, c, x[15], 10, 0xfe2ce6e0u);
    I(c, d, a, b, x[6], 15, 0xa3014314u), I(b, c, d, a, x[13], 21, 0x4e0811a1u);
    I(a, b, c, d, x[4], 6, 0xf7537e82u), I(d, a, b, c, x[11], 10, 0xbd3af235u);
    I(c, d, a, b, x[2], 15, 0x2ad7d2bbu), I(b, c, d, a, x[9], 21, 0xeb86d391u);
    *s = (struct MD5_NAME(state)){a, b, c, d};
}

/* One block: the state after it. Always inline: where only word 0 is wanted, the compiler drops the last three steps. */
MD5_TARGET __attribute__((always_inline)) static inline struct MD5_NAME(state)
    MD5_NAME(block)(struct MD5_NAME(state) before, const MD5_WORD x[16])
{
    struct MD5_NAME(state) s = before;
    MD5_NAME(round_f)(&s, x);
    MD5_NAME(round_g)(&s, x);
    MD5_NAME(round_h)(&s, x);
    MD5_NAME(round_i)(&s, x);
    return (struct MD5_NAME(state)){before.a + s.a, before.b + s.b, before.c + s.c, before.d + s.d};
}

#undef F
#undef G
#undef H
#undef I
#undef MD5_WORD
#undef MD5_NAME
#undef MD5_TARGET
