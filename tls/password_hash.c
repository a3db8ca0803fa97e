/*
 * Owns the text of a password's hash, and the two calls of OpenSSL that make and check one.
 *
 *      "$scrypt$ln=15,r=8,p=1$SALT$KEY"
 *         |      |             |    `-- base64 -- compared with what scrypt makes of the password
 *         |      |             `------- base64 -. to scrypt
 *         |      `-------------------- bounded -'
 *         `------ the only scheme
 *
 * Users and files are users.c's.
 */
#include "tls/password_hash.h"

#include "base/text.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#define BASE64_MAX ((PASSWORD_BYTES_MAX + 2) / 3 * 4)

/* ---- text to numbers ---- */

/* Takes the text up to the separator, and the separator, off `rest`. false: there is none. */
static bool take_until(struct slice *rest, char separator, struct slice *part_out)
{
    const char *end = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
    if (end == NULL)
        return false;
    *part_out = slice_make(rest->data, (size_t)(end - rest->data));
    *rest = slice_make(end + 1, rest->len - part_out->len - 1);
    return true;
}

static bool parse_number(struct slice part, struct slice name, uint32_t *value_out)
{
    if (part.len <= name.len || memcmp(part.data, name.data, name.len) != 0)
        return false;
    return text_parse_u32(slice_make(part.data + name.len, part.len - name.len), value_out);
}

static bool parse_cost(struct slice text, struct password_cost *cost_out)
{
    struct slice ln, r;
    return take_until(&text, ',', &ln) && take_until(&text, ',', &r) &&
           parse_number(ln, SLICE_OF("ln="), &cost_out->ln) && parse_number(r, SLICE_OF("r="), &cost_out->r) &&
           parse_number(text, SLICE_OF("p="), &cost_out->p);
}

static const char *judge_cost(const struct password_cost *cost)
{
    if (cost->ln < PASSWORD_LN_MIN || cost->ln > PASSWORD_LN_MAX)
        return "`ln` of the hash is to be 10 to 20";
    if (cost->r < 1 || cost->r > PASSWORD_R_MAX)
        return "`r` of the hash is to be 1 to 16";
    if (cost->p < 1 || cost->p > PASSWORD_P_MAX)
        return "`p` of the hash is to be 1 to 4";
    /* RFC 7914, 2: N is less than 2 to the 128 * r / 8. */
    if (cost->ln >= 16 * cost->r)
        return "`ln` of a hash with `r=1` is to be 10 to 15";
    if ((UINT64_C(128) * cost->r << cost->ln) > PASSWORD_MEMORY_MAX)
        return "to check the hash takes more than 64 MiB: `ln` or `r` is too large";
    return NULL;
}

static bool is_base64(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* The bytes of a text with or without padding. 0: it is no base64, or too long. */
static size_t decode(struct slice text, uint8_t out[PASSWORD_BYTES_MAX])
{
    unsigned char padded[BASE64_MAX], bytes[BASE64_MAX];
    size_t len = text.len, whole = (text.len + 3) / 4 * 4;
    if (whole > BASE64_MAX)
        return 0;
    while (len > 0 && whole == text.len && text.len - len < 2 && text.data[len - 1] == '=')
        len--;
    if (len == 0 || len % 4 == 1)
        return 0;
    for (size_t i = 0; i < len; i++) {
        if (!is_base64(text.data[i]))
            return 0;
    }
    memset(padded, '=', sizeof padded);
    memcpy(padded, text.data, len);
    int decoded = EVP_DecodeBlock(bytes, padded, (int)whole);
    /* It counts the padding as zero bytes. */
    size_t count = len * 3 / 4;
    if (decoded < 0 || (size_t)decoded < count || count > PASSWORD_BYTES_MAX)
        return 0;
    memcpy(out, bytes, count);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return count;
}

bool password_hash_parse(struct slice text, struct password_hash *hash_out, const char **error_out)
{
    struct slice nothing, scheme, cost, salt;
    *hash_out = (struct password_hash){0};
    *error_out = "the hash is to look like `$scrypt$ln=15,r=8,p=1$SALT$KEY`; `ringside passwd` makes one";
    if (!take_until(&text, '$', &nothing) || nothing.len > 0 || !take_until(&text, '$', &scheme))
        return false;
    if (!slice_equal(scheme, SLICE_OF("scrypt"))) {
        *error_out = "the hash is of another kind than `$scrypt$`; `ringside passwd` makes one";
        return false;
    }
    if (!take_until(&text, '$', &cost) || !take_until(&text, '$', &salt) || !parse_cost(cost, &hash_out->cost))
        return false;
    *error_out = judge_cost(&hash_out->cost);
    if (*error_out != NULL)
        return false;
    hash_out->salt_len = decode(salt, hash_out->salt);
    *error_out = "the salt of the hash is to be 8 to 64 bytes in base64";
    if (hash_out->salt_len < PASSWORD_SALT_MIN)
        return false;
    hash_out->key_len = decode(text, hash_out->key);
    *error_out = "the last part of the hash is to be 16 to 64 bytes in base64";
    return hash_out->key_len >= PASSWORD_KEY_MIN;
}

/* ---- scrypt ---- */

uint64_t password_cost_work(const struct password_cost *cost)
{
    return ((uint64_t)cost->r * cost->p) << cost->ln;
}

static bool derive(const struct password_hash *hash, struct slice password, uint8_t *key_out)
{
    const struct password_cost *cost = &hash->cost;
    /* OpenSSL counts a few blocks beside the bound. */
    uint64_t beside = UINT64_C(128) * cost->r * (cost->p + 2);
    return EVP_PBE_scrypt(password.len > 0 ? password.data : "", password.len, hash->salt, hash->salt_len,
                          UINT64_C(1) << cost->ln, cost->r, cost->p, PASSWORD_MEMORY_MAX + beside, key_out,
                          hash->key_len) == 1;
}

bool password_hash_verify(const struct password_hash *hash, struct slice password)
{
    uint8_t key[PASSWORD_BYTES_MAX] = {0};
    bool good = derive(hash, password, key) && CRYPTO_memcmp(key, hash->key, hash->key_len) == 0;
    OPENSSL_cleanse(key, sizeof key);
    return good;
}

/* Without padding, as the format has it. */
static size_t encode(const uint8_t *bytes, size_t len, char out[BASE64_MAX + 1])
{
    int encoded = EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
    while (encoded > 0 && out[encoded - 1] == '=')
        encoded--;
    out[encoded] = '\0';
    return (size_t)encoded;
}

bool password_hash_make(struct slice password, char text_out[PASSWORD_HASH_TEXT_MAX])
{
    char salt[BASE64_MAX + 1], key[BASE64_MAX + 1];
    struct password_hash hash = {
        .cost = {PASSWORD_LN, PASSWORD_R, PASSWORD_P}, .salt_len = PASSWORD_SALT, .key_len = PASSWORD_KEY};
    if (RAND_bytes(hash.salt, PASSWORD_SALT) != 1 || !derive(&hash, password, hash.key))
        return false;
    encode(hash.salt, hash.salt_len, salt);
    encode(hash.key, hash.key_len, key);
    int len = snprintf(text_out, PASSWORD_HASH_TEXT_MAX, "$scrypt$ln=%d,r=%d,p=%d$%s$%s", PASSWORD_LN, PASSWORD_R,
                       PASSWORD_P, salt, key);
    OPENSSL_cleanse(&hash, sizeof hash);
    OPENSSL_cleanse(key, sizeof key);
    return len > 0 && len < PASSWORD_HASH_TEXT_MAX;
}
