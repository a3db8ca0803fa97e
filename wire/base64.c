/*
 * Groups of four letters to three bytes.
 *
 *     A B C D  ->  AAAAAABB BBBBCCCC CCDDDDDD          '=' counts as a letter of value 0, and takes a byte off the end
 *
 * There is no encoder: keys are forwarded as they came.
 */
#include "wire/base64.h"

#include <stdint.h>

/* 0 to 63; -1: not of the alphabet. */
static int letter_value(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    if (c == '/')
        return 63;
    return c == '=' ? 0 : -1;
}

static size_t count_letters(struct slice text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += letter_value((unsigned char)text.data[i]) >= 0;
    return count;
}

static void put_group(uint32_t group, char *out)
{
    out[0] = (char)(group >> 16);
    out[1] = (char)(group >> 8);
    out[2] = (char)group;
}

size_t base64_decode(struct slice text, char *out)
{
    size_t letters = 0, written = 0;
    unsigned padding = 0;
    uint32_t group = 0;
    if (count_letters(text) % 4 != 0)
        return 0;
    for (size_t i = 0; i < text.len; i++) {
        int value = letter_value((unsigned char)text.data[i]);
        if (value < 0)
            continue;
        padding += text.data[i] == '=';
        group = group << 6 | (uint32_t)value;
        if (++letters % 4 != 0)
            continue;
        put_group(group, out + written);
        written += 3;
        group = 0;
        if (padding > 0)
            return padding > 2 ? 0 : written - padding;
    }
    return written;
}

size_t base64_encode(struct slice bytes, char *out)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t used = 0;
    for (size_t i = 0; i < bytes.len; i += 3) {
        uint32_t group = 0;
        size_t have = bytes.len - i < 3 ? bytes.len - i : 3;
        for (size_t k = 0; k < 3; k++)
            group = group << 8 | (k < have ? (unsigned char)bytes.data[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            out[used++] = k <= have ? letters[group >> (18 - 6 * k) & 63] : '=';
    }
    return used;
}
