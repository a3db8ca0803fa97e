/*
 * Owns: the table of hash functions and their names, and the functions that libhashkit has not.
 *
 *   name (configuration) --hash_by_name--> function --hash_name--> canonical name
 *
 * Most are libhashkit's own functions. md5 is ours, equal and faster (md5.c); for the others, our own code would gain
 * nothing. Two names are aliases: `default` is libhashkit's word for one_at_a_time, `crc32` is twemproxy's word for the
 * 15 bits that libhashkit calls crc.
 *
 * The byte-wise ones take a key's bytes as plain `char`, here as in libhashkit and twemproxy: bytes from 0x80 on count
 * as negative where char is signed. That keeps us equal to those systems on the same processor.
 *
 * Does not do: the choice of a default (ring.c), hash tags (tag.h).
 */
#include "routing/hash.h"

#include "routing/md5.h"

#include <libhashkit-1.0/hashkit.h>
#include <strings.h>
#include <xxhash.h>

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

/*
 * Canonical names first, an alias behind the row of its function. The third column names what libhashkit must have been
 * built with, for without it its function answers 0 to every key.
 */
#define HASH_TABLE(row)                                                                                                \
    row("one_at_a_time", libhashkit_one_at_a_time, HASHKIT_HASH_DEFAULT)                                               \
        row("md5", md5_first_word, HASHKIT_HASH_DEFAULT) row("crc", libhashkit_crc32, HASHKIT_HASH_CRC)                \
            row("fnv1_64", libhashkit_fnv1_64, HASHKIT_HASH_FNV1_64)                                                   \
                row("fnv1a_64", libhashkit_fnv1a_64, HASHKIT_HASH_FNV1A_64)                                            \
                    row("fnv1_32", libhashkit_fnv1_32, HASHKIT_HASH_FNV1_32)                                           \
                        row("fnv1a_32", libhashkit_fnv1a_32, HASHKIT_HASH_FNV1A_32)                                    \
                            row("hsieh", hash_hsieh, HASHKIT_HASH_DEFAULT)                                             \
                                row("murmur", libhashkit_murmur, HASHKIT_HASH_MURMUR)                                  \
                                    row("jenkins", libhashkit_jenkins, HASHKIT_HASH_JENKINS)                           \
                                        row("murmur3", libhashkit_murmur3, HASHKIT_HASH_MURMUR3)                       \
                                            row("xxh3", hash_xxh3, HASHKIT_HASH_DEFAULT)                               \
                                                row("crc16", hash_crc16, HASHKIT_HASH_DEFAULT)                         \
                                                    row("crc32a", hash_crc32a, HASHKIT_HASH_DEFAULT)                   \
                                                        row("default", libhashkit_one_at_a_time, HASHKIT_HASH_DEFAULT) \
                                                            row("crc32", libhashkit_crc32, HASHKIT_HASH_CRC)

#define NAME_OF(name, fn, needs) name,
#define FUNCTION_OF(name, fn, needs) fn,
#define NEEDS_OF(name, fn, needs) needs,
static const char *const names[] = {HASH_TABLE(NAME_OF) NULL};
static hash_fn *const functions[] = {HASH_TABLE(FUNCTION_OF) NULL};
static const hashkit_hash_algorithm_t needs[] = {HASH_TABLE(NEEDS_OF)};

hash_fn *hash_by_name(const char *name)
{
    for (size_t i = 0; names[i] != NULL; i++)
        if (strcasecmp(names[i], name) == 0)
            return libhashkit_has_algorithm(needs[i]) ? functions[i] : NULL;
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
