/*
 * Owns keys, values and the bytes that travel: made once, so that the run itself only copies and compares.
 *
 *      key      key:00000012           fixed width: all requests of a kind have one length, which the relay needs
 *      opaque   of a binary request: the key's number
 *      value    key:00000012 key:00000012 key:... up to the length asked for
 */
#include "tests/bench/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES 12
#define ZIPF_SLOTS (1u << 20)

static struct {
    struct bytes request[KIND_COUNT], reply[KIND_COUNT];
    char key[KEY_BYTES + 1];
} * entries;
static uint32_t *zipf; /* ZIPF_SLOTS keys, each as often as it is due */
static uint64_t random_state;

_Noreturn void die(const char *what)
{
    fprintf(stderr, "load: %s%s%s\n", what, errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
    exit(2);
}

void *grab(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL)
        die("memory");
    return memory;
}

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static struct bytes print(const char *before, const char *key, const char *after, const char *value, const char *end)
{
    size_t len = strlen(before) + KEY_BYTES + strlen(after) + (value != NULL ? options.value_bytes : 0) + strlen(end);
    struct bytes bytes = {grab(1, len + 1), len};
    char *at = stpcpy(stpcpy(stpcpy(bytes.data, before), key), after);
    if (value != NULL)
        at = mempcpy(at, value, options.value_bytes);
    memcpy(at, end, strlen(end));
    return bytes;
}

enum { BINARY_REQUEST = 0x80, BINARY_REPLY = 0x81, BINARY_OPCODE_GET = 0 };
#define BINARY_FLAGS_BYTES 4

/* A get of memcached's binary protocol, or its reply: header, flags (in the reply alone; all are 0), body. */
static struct bytes binary(uint8_t magic, uint32_t opaque, const char *body, size_t body_len)
{
    uint8_t extras = magic == BINARY_REPLY ? BINARY_FLAGS_BYTES : 0;
    struct bytes bytes = {grab(1, BINARY_HEADER_BYTES + extras + body_len), BINARY_HEADER_BYTES + extras + body_len};
    uint16_t key_len = htons(magic == BINARY_REQUEST ? (uint16_t)body_len : 0);
    uint32_t total = htonl((uint32_t)(extras + body_len));
    bytes.data[0] = (char)magic;
    bytes.data[1] = BINARY_OPCODE_GET;
    memcpy(bytes.data + 2, &key_len, sizeof key_len);
    bytes.data[4] = (char)extras;
    memcpy(bytes.data + 8, &total, sizeof total);
    memcpy(bytes.data + 12, &opaque, sizeof opaque);
    memcpy(bytes.data + BINARY_HEADER_BYTES + extras, body, body_len);
    return bytes;
}

static void make_value(const char *key, char *value)
{
    for (size_t at = 0; at < options.value_bytes; at++)
        value[at] = at % (KEY_BYTES + 1) == KEY_BYTES ? ' ' : key[at % (KEY_BYTES + 1)];
}

static struct bytes same(const char *text)
{
    return (struct bytes){strdup(text), strlen(text)};
}

static void make_entry(uint32_t k, char *value)
{
    char *key = entries[k].key, length[32], meta_length[40], unit[40], va[32];
    snprintf(key, KEY_BYTES + 1, "key:%08u", k % 100000000u);
    make_value(key, value);
    snprintf(length, sizeof length, " 0 0 %u\r\n", options.value_bytes);
    snprintf(meta_length, sizeof meta_length, " %u\r\n", options.value_bytes);
    snprintf(unit, sizeof unit, " 0 %u\r\n", options.value_bytes);
    snprintf(va, sizeof va, "VA %u k", options.value_bytes);
    struct bytes *request = entries[k].request, *reply = entries[k].reply;
    request[KIND_GET] = print("get ", key, "\r\n", NULL, "");
    reply[KIND_GET] = reply[KIND_MULTI] = print("VALUE ", key, unit, value, "\r\n");
    request[KIND_SET] = print("set ", key, length, value, "\r\n");
    reply[KIND_SET] = same("STORED\r\n");
    request[KIND_MG] = print("mg ", key, " k v\r\n", NULL, "");
    reply[KIND_MG] = print(va, key, "\r\n", value, "\r\n");
    request[KIND_MS] = print("ms ", key, meta_length, value, "\r\n");
    reply[KIND_MS] = same("HD\r\n");
    request[KIND_BGET] = binary(BINARY_REQUEST, k, key, KEY_BYTES);
    reply[KIND_BGET] = binary(BINARY_REPLY, k, value, options.value_bytes);
}

static void make_zipf(void)
{
    zipf = grab(ZIPF_SLOTS, sizeof *zipf);
    double sum = 0;
    for (uint32_t k = 0; k < options.keys; k++)
        sum += 1 / pow(k + 1, options.zipf);
    double reached = 0;
    uint32_t slot = 0;
    for (uint32_t k = 0; k < options.keys; k++) {
        reached += 1 / pow(k + 1, options.zipf) / sum;
        while (slot < ZIPF_SLOTS && slot < reached * ZIPF_SLOTS)
            zipf[slot++] = k;
    }
    while (slot < ZIPF_SLOTS)
        zipf[slot++] = 0;
}

void corpus_make(void)
{
    random_state = options.seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    entries = grab(options.keys, sizeof *entries);
    char *value = grab(1, options.value_bytes + 1u);
    for (uint32_t k = 0; k < options.keys; k++)
        make_entry(k, value);
    free(value);
    if (options.zipf > 0)
        make_zipf();
}

uint32_t corpus_pick(void)
{
    uint64_t random = next_random() >> 32;
    return zipf != NULL ? zipf[random & (ZIPF_SLOTS - 1)] : (uint32_t)(random * options.keys >> 32);
}

enum kind corpus_pick_kind(void)
{
    uint32_t at = (uint32_t)((next_random() >> 32) * options.weight_sum >> 32);
    for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
        if (at < options.weights[kind])
            return kind;
        at -= options.weights[kind];
    }
    return KIND_GET;
}

struct bytes corpus_key(uint32_t key)
{
    return (struct bytes){entries[key].key, KEY_BYTES};
}

struct bytes corpus_request(enum kind kind, uint32_t key)
{
    return entries[key].request[kind];
}

struct bytes corpus_reply(enum kind kind, uint32_t key)
{
    return entries[key].reply[kind];
}
