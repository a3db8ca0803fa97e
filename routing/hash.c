/*
 * Owns: the table of hash functions and their names; our own code for the cheap ones.
 *
 *   name (configuration) --hash_by_name--> function --hash_name--> canonical name
 *
 * Three kinds stand in the table: our own code, where it is equal to libhashkit and saves its calls; libhashkit's
 * functions themselves; xxHash. Two names are aliases: `default` is libhashkit's word for one_at_a_time, `crc32` is
 * twemproxy's word for the 15 bits that libhashkit calls crc.
 *
 * The byte-wise ones take a key's bytes as plain `char`, as libhashkit and twemproxy do: bytes from 0x80 on count as
 * negative where char is signed. That keeps us equal to those systems on the same processor.
 *
 * Does not do: the choice of a default (ring.c), hash tags (tag.h).
 */
#include "routing/hash.h"

#include "routing/md5.h"

#include <libhashkit-1.0/hashkit.h>
#include <strings.h>
#include <xxhash.h>

#define FNV_32_BASIS 0x811c9dc5u
#define FNV_32_PRIME 0x01000193u
#define FNV_64_BASIS 0xcbf29ce484222325u
#define FNV_64_PRIME 0x00000100000001b3u

/* Source: Bob Jenkins, "Hash functions", Dr. Dobb's Journal, September 1997. */
static uint32_t hash_one_at_a_time(const char *key, size_t len)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < len; i++) {
        hash += (uint32_t)key[i];
        hash += hash << 10;
        hash ^= hash >> 6;
    }
    hash += hash << 3;
    hash ^= hash >> 11;
    hash += hash << 15;
    return hash;
}

/* Source of the four: Fowler, Noll, Vo; draft-eastlake-fnv. */
static uint32_t hash_fnv1_32(const char *key, size_t len)
{
    uint32_t hash = FNV_32_BASIS;
    for (size_t i = 0; i < len; i++)
        hash = (hash * FNV_32_PRIME) ^ (uint32_t)key[i];
    return hash;
}

static uint32_t hash_fnv1a_32(const char *key, size_t len)
{
    uint32_t hash = FNV_32_BASIS;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint32_t)key[i]) * FNV_32_PRIME;
    return hash;
}

/*
 * The low half of the two 64-bit variants, which is all that placement uses. The low half of a product depends on low
 * halves alone, so 32 bits are enough all the way.
 */
static uint32_t hash_fnv1_64(const char *key, size_t len)
{
    uint32_t hash = (uint32_t)FNV_64_BASIS;
    for (size_t i = 0; i < len; i++)
        hash = (hash * (uint32_t)FNV_64_PRIME) ^ (uint32_t)key[i];
    return hash;
}

static uint32_t hash_fnv1a_64(const char *key, size_t len)
{
    uint32_t hash = (uint32_t)FNV_64_BASIS;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint32_t)key[i]) * (uint32_t)FNV_64_PRIME;
    return hash;
}

/*
 * CRC tables. A CRC is linear: the entry of a byte is the exclusive or of the entries of its bits, so the eight
 * entries of single bits say the whole table, and the compiler writes it out.
 */
#define BIT(byte, bit, entry) ((byte) >> (bit)&1 ? (entry) : 0)
#define CRC32_ENTRY(b)                                                                                   \
    (BIT(b, 0, 0x77073096u) ^ BIT(b, 1, 0xee0e612cu) ^ BIT(b, 2, 0x076dc419u) ^ BIT(b, 3, 0x0edb8832u) ^ \
     BIT(b, 4, 0x1db71064u) ^ BIT(b, 5, 0x3b6e20c8u) ^ BIT(b, 6, 0x76dc4190u) ^ BIT(b, 7, 0xedb88320u))
#define CRC16_ENTRY(b)                                                                                   \
    (BIT(b, 0, 0x1021) ^ BIT(b, 1, 0x2042) ^ BIT(b, 2, 0x4084) ^ BIT(b, 3, 0x8108) ^ BIT(b, 4, 0x1231) ^ \
     BIT(b, 5, 0x2462) ^ BIT(b, 6, 0x48c4) ^ BIT(b, 7, 0x9188))
#define FOUR(entry, b) entry(b), entry((b) + 1), entry((b) + 2), entry((b) + 3)
#define SIXTEEN(entry, b) FOUR(entry, b), FOUR(entry, (b) + 4), FOUR(entry, (b) + 8), FOUR(entry, (b) + 12)
#define SIXTY_FOUR(entry, b) \
    SIXTEEN(entry, b), SIXTEEN(entry, (b) + 16), SIXTEEN(entry, (b) + 32), SIXTEEN(entry, (b) + 48)
#define ALL_BYTES(entry) SIXTY_FOUR(entry, 0), SIXTY_FOUR(entry, 64), SIXTY_FOUR(entry, 128), SIXTY_FOUR(entry, 192)

static const uint32_t crc32_table[256] = {ALL_BYTES(CRC32_ENTRY)};
static const uint16_t crc16_table[256] = {ALL_BYTES(CRC16_ENTRY)};

/* The full CRC-32 of IEEE 802.3: twemproxy's crc32a, gomemcache's crc32. */
static uint32_t hash_crc32a(const char *key, size_t len)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++)
        crc = crc >> 8 ^ crc32_table[(crc ^ (uint8_t)key[i]) & 0xff];
    return ~crc;
}

/* libhashkit's crc, twemproxy's crc32: 15 bits of the CRC-32. */
static uint32_t hash_crc(const char *key, size_t len)
{
    return hash_crc32a(key, len) >> 16 & 0x7fff;
}

/* twemproxy's crc16: CRC-16/XMODEM in its low half; the register is never cut, so older remainders stand above it. */
static uint32_t hash_crc16(const char *key, size_t len)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < len; i++)
        crc = crc << 8 ^ crc16_table[(crc >> 8 ^ (uint8_t)key[i]) & 0xff];
    return crc;
}

static inline uint32_t load_le16(const char *from)
{
    return (uint32_t)(uint8_t)from[0] | (uint32_t)(uint8_t)from[1] << 8;
}

/*
 * Source: Paul Hsieh, SuperFastHash. Ours, because many builds of libhashkit (Debian's too) leave it out while
 * twemproxy has it. The last byte of three counts as plain char, a last single one as unsigned: so do the others.
 */
static uint32_t hash_hsieh(const char *key, size_t len)
{
    uint32_t hash = 0;
    if (len == 0)
        return 0;
    for (; len >= 4; len -= 4, key += 4) {
        hash += load_le16(key);
        hash = hash << 16 ^ (load_le16(key + 2) << 11 ^ hash);
        hash += hash >> 11;
    }
    if (len == 3) {
        hash += load_le16(key);
        hash ^= hash << 16;
        hash ^= (uint32_t)key[2] << 18;
        hash += hash >> 11;
    } else if (len == 2) {
        hash += load_le16(key);
        hash ^= hash << 11;
        hash += hash >> 17;
    } else if (len == 1) {
        hash += (uint8_t)key[0];
        hash ^= hash << 10;
        hash += hash >> 1;
    }
    hash ^= hash << 3;
    hash += hash >> 5;
    hash ^= hash << 4;
    hash += hash >> 17;
    hash ^= hash << 25;
    hash += hash >> 6;
    return hash;
}

static uint32_t hash_xxh3(const char *key, size_t len)
{
    return (uint32_t)XXH3_64bits(key, len);
}

/* Canonical names first; an alias stands after the row of its function. */
#define HASH_TABLE(row)                                                                                      \
    row("one_at_a_time", hash_one_at_a_time) row("md5", md5_first_word) row("crc", hash_crc)                 \
        row("fnv1_64", hash_fnv1_64) row("fnv1a_64", hash_fnv1a_64) row("fnv1_32", hash_fnv1_32)             \
            row("fnv1a_32", hash_fnv1a_32) row("hsieh", hash_hsieh) row("murmur", libhashkit_murmur)         \
                row("jenkins", libhashkit_jenkins) row("murmur3", libhashkit_murmur3) row("xxh3", hash_xxh3) \
                    row("crc16", hash_crc16) row("crc32a", hash_crc32a) row("default", hash_one_at_a_time)   \
                        row("crc32", hash_crc)

#define NAME_OF(name, fn) name,
#define FUNCTION_OF(name, fn) fn,
static const char *const names[] = {HASH_TABLE(NAME_OF) NULL};
static hash_fn *const functions[] = {HASH_TABLE(FUNCTION_OF) NULL};

hash_fn *hash_by_name(const char *name)
{
    for (size_t i = 0; names[i] != NULL; i++)
        if (strcasecmp(names[i], name) == 0)
            return functions[i];
    return NULL;
}

const char *const *hash_names(void)
{
    return names;
}

const char *hash_name(hash_fn *fn)
{
    for (size_t i = 0; functions[i] != NULL; i++)
        if (functions[i] == fn)
            return names[i];
    return NULL;
}
