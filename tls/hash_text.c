/*
 * Owns the pieces of a hash's text; see hash_text.h. OpenSSL turns letters to bytes:
 *
 *      "c2FsdHNhbHQ" -- letters alone? -- "c2FsdHNhbHQ=" -- EVP_DecodeBlock -- "saltsalt\0" -- the zeroes of '=' taken off
 */
#include "tls/hash_text.h"

#include "base/text.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

bool hash_text_take(struct slice *rest, char separator, struct slice *part_out)
{
    const char *end = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
    if (end == NULL)
        return false;
    *part_out = slice_make(rest->data, (size_t)(end - rest->data));
    *rest = slice_make(end + 1, rest->len - part_out->len - 1);
    return true;
}

bool hash_text_number(struct slice part, struct slice name, uint32_t *value_out)
{
    if (part.len <= name.len || memcmp(part.data, name.data, name.len) != 0)
        return false;
    return text_parse_u32(slice_make(part.data + name.len, part.len - name.len), value_out);
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* How many letters stand before the padding. 0: it is no base64. */
static size_t count_letters(struct slice text, enum hash_text_padding padding)
{
    size_t len = text.len;
    if (padding == HASH_TEXT_PADDED && len % 4 != 0)
        return 0;
    while (len > 0 && text.len % 4 == 0 && text.len - len < 2 && text.data[len - 1] == '=')
        len--;
    if (len % 4 == 1)
        return 0;
    for (size_t i = 0; i < len; i++) {
        if (!is_letter(text.data[i]))
            return 0;
    }
    return len;
}

size_t hash_text_decode(struct slice text, enum hash_text_padding padding, uint8_t *out, size_t room)
{
    unsigned char padded[HASH_TEXT_ROOM(HASH_TEXT_BYTES_MAX)], bytes[HASH_TEXT_ROOM(HASH_TEXT_BYTES_MAX)];
    size_t whole = (text.len + 3) / 4 * 4;
    if (whole >= sizeof padded)
        return 0;
    size_t letters = count_letters(text, padding), count = letters * 3 / 4;
    if (letters == 0 || count > room)
        return 0;
    memset(padded, '=', sizeof padded);
    memcpy(padded, text.data, letters);
    /* It counts the padding as zero bytes. */
    int decoded = EVP_DecodeBlock(bytes, padded, (int)whole);
    bool good = decoded >= 0 && (size_t)decoded >= count;
    if (good)
        memcpy(out, bytes, count);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return good ? count : 0;
}

size_t hash_text_encode(const uint8_t *bytes, size_t len, enum hash_text_padding padding, char *out)
{
    int encoded = EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
    while (padding == HASH_TEXT_ANY && encoded > 0 && out[encoded - 1] == '=')
        encoded--;
    out[encoded] = '\0';
    return (size_t)encoded;
}
