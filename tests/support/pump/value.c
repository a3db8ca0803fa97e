/*
 * Keys and values of the pump, and the small things under them.
 *
 *     key    PREFIX:SLOT.GENERATION:NUMBER
 *     value  KEY SEQ filler...      length and filler follow from key and number alone, so a reader can make them again
 *
 * What a key should hold now is the slot's business.
 */
#include "pump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t rng_state = 1;

_Noreturn void die(const char *what)
{
    fprintf(stderr, "pump: %s: %s\n", what, strerror(errno));
    exit(2);
}

void *grab(size_t count, size_t size)
{
    void *block = calloc(count, size);
    if (!block)
        die("memory");
    return block;
}

uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

void random_seed(uint64_t seed)
{
    rng_state = seed * 0x9e3779b97f4a7c15u | 1;
}

uint32_t below(uint32_t bound)
{
    return (uint32_t)((next_random(&rng_state) >> 32) * bound >> 32);
}

char *buffer_reserve(struct buffer *buffer, size_t bytes)
{
    if (buffer->start == buffer->end)
        buffer->start = buffer->end = 0;
    if (buffer->capacity - buffer->end < bytes && buffer->start) {
        memmove(buffer->data, buffer->data + buffer->start, buffer->end - buffer->start);
        buffer->end -= buffer->start;
        buffer->start = 0;
    }
    if (buffer->capacity - buffer->end < bytes) {
        buffer->capacity = (buffer->end + bytes) * 2;
        buffer->data = realloc(buffer->data, buffer->capacity);
        if (!buffer->data)
            die("memory");
    }
    return buffer->data + buffer->end;
}

char *put_text(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

char *put_number(char *at, uint64_t number)
{
    char digits[20];
    size_t n = sizeof(digits);
    do
        digits[--n] = (char)('0' + number % 10);
    while (number /= 10);
    return put_text(at, digits + n, sizeof(digits) - n);
}

char *put_key(char *at, const struct slot *slot, uint32_t key)
{
    at = put_text(at, opt.prefix, strlen(opt.prefix));
    *at++ = ':';
    at = put_number(at, slot->index);
    *at++ = '.';
    at = put_number(at, slot->generation);
    *at++ = ':';
    return put_number(at, key);
}

static uint64_t value_seed(const struct slot *slot, uint32_t key, uint32_t seq)
{
    uint64_t h = opt.seed * 0x9e3779b97f4a7c15u;
    h = (h ^ slot->index) * 0xff51afd7ed558ccdu;
    h = (h ^ slot->generation) * 0xc4ceb9fe1a85ec53u;
    h = (h ^ key) * 0xff51afd7ed558ccdu;
    h = (h ^ seq) * 0xc4ceb9fe1a85ec53u;
    return h | 1;
}

/* The length follows from key and number alone, so that a reader knows it too. Small ones are the most frequent. */
size_t value_len(const struct slot *slot, uint32_t key, uint32_t seq)
{
    uint64_t state = value_seed(slot, key, seq) ^ 0x5bd1e995;
    size_t span = opt.value_max - opt.value_min;
    unsigned halvings = (unsigned)(next_random(&state) >> 61);
    if (!span)
        return opt.value_min;
    return opt.value_min + (size_t)(next_random(&state) % ((span >> halvings) + 1));
}

char *put_value(char *at, const struct slot *slot, uint32_t key, uint32_t seq)
{
    static const char lace[] = "\r\nEND\r\n";
    size_t len = value_len(slot, key, seq);
    char head[KEY_ROOM + 32];
    char *end = put_key(head, slot, key);
    *end++ = ' ';
    end = put_number(end, seq);
    *end++ = ' ';
    size_t head_len = (size_t)(end - head);
    uint64_t state = value_seed(slot, key, seq);

    if (head_len > len) {
        fprintf(stderr, "pump: the smallest value must have room for the key and a number\n");
        exit(2);
    }
    memcpy(at, head, head_len);
    for (size_t i = head_len; i < len; i += 8) {
        uint64_t word = next_random(&state);
        if ((word & 7) == 0)
            memcpy(&word, lace, 7);
        memcpy(at + i, &word, len - i < 8 ? len - i : 8);
    }
    return at + len;
}

bool value_is_right(const char *data, size_t len, const struct slot *slot, uint32_t key, uint32_t seq)
{
    static char *scratch;
    static size_t scratch_bytes;
    if (len != value_len(slot, key, seq))
        return false;
    if (scratch_bytes < len) {
        free(scratch);
        scratch = grab(1, len);
        scratch_bytes = len;
    }
    put_value(scratch, slot, key, seq);
    return !memcmp(scratch, data, len);
}
