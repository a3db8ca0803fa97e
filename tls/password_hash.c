/*
 * Owns the text of a password's hash, and the two calls of OpenSSL that make and check one.
 *
 *      "$scrypt$ln=15,r=8,p=1$SALT$KEY"
 *         |      |             |    `-- base64 -- compared with what scrypt makes of the password
 *         |      |             `------- base64 -. to scrypt
 *         |      `-------------------- bounded -'
 *         `------ the only scheme
 *
 * Parts, numbers and base64 are hash_text.c's; users and files are users.c's.
 */
#include "tls/password_hash.h"

#include "tls/hash_text.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

/* ---- text to numbers ---- */

static bool parse_cost(struct slice text, struct password_cost *cost_out)
{
    struct slice ln, r;
    return hash_text_take(&text, ',', &ln) && hash_text_take(&text, ',', &r) &&
           hash_text_number(ln, SLICE_OF("ln="), &cost_out->ln) && hash_text_number(r, SLICE_OF("r="), &cost_out->r) &&
           hash_text_number(text, SLICE_OF("p="), &cost_out->p);
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

bool password_hash_parse(struct slice text, struct password_hash *hash_out, const char **error_out)
{
    struct slice nothing, scheme, cost, salt;
    *hash_out = (struct password_hash){0};
    *error_out = "the hash is to look like `$scrypt$ln=15,r=8,p=1$SALT$KEY`; `ringside passwd` makes one";
    if (!hash_text_take(&text, '$', &nothing) || nothing.len > 0 || !hash_text_take(&text, '$', &scheme))
        return false;
    if (!slice_equal(scheme, SLICE_OF("scrypt"))) {
        *error_out = "the hash is of another kind than `$scrypt$`; `ringside passwd` makes one";
        return false;
    }
    if (!hash_text_take(&text, '$', &cost) || !hash_text_take(&text, '$', &salt) || !parse_cost(cost, &hash_out->cost))
        return false;
    *error_out = judge_cost(&hash_out->cost);
    if (*error_out != NULL)
        return false;
    hash_out->salt_len = hash_text_decode(salt, HASH_TEXT_ANY, hash_out->salt, PASSWORD_BYTES_MAX);
    *error_out = "the salt of the hash is to be 8 to 64 bytes in base64";
    if (hash_out->salt_len < PASSWORD_SALT_MIN)
        return false;
    hash_out->key_len = hash_text_decode(text, HASH_TEXT_ANY, hash_out->key, PASSWORD_BYTES_MAX);
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

bool password_hash_make(struct slice password, char text_out[PASSWORD_HASH_TEXT_MAX])
{
    char salt[HASH_TEXT_ROOM(PASSWORD_SALT)], key[HASH_TEXT_ROOM(PASSWORD_KEY)];
    struct password_hash hash = {
        .cost = {PASSWORD_LN, PASSWORD_R, PASSWORD_P}, .salt_len = PASSWORD_SALT, .key_len = PASSWORD_KEY};
    if (RAND_bytes(hash.salt, PASSWORD_SALT) != 1 || !derive(&hash, password, hash.key))
        return false;
    hash_text_encode(hash.salt, hash.salt_len, HASH_TEXT_ANY, salt);
    hash_text_encode(hash.key, hash.key_len, HASH_TEXT_ANY, key);
    int len = snprintf(text_out, PASSWORD_HASH_TEXT_MAX, "$scrypt$ln=%d,r=%d,p=%d$%s$%s", PASSWORD_LN, PASSWORD_R,
                       PASSWORD_P, salt, key);
    OPENSSL_cleanse(&hash, sizeof hash);
    OPENSSL_cleanse(key, sizeof key);
    return len > 0 && len < PASSWORD_HASH_TEXT_MAX;
}
