/*
 * Owns the text of SCRAM's keys, and what makes them of a password.
 *
 *      password, salt -- PBKDF2 --> salted -- HMAC "Client Key" -- SHA-256 --> STORED
 *                                      `----- HMAC "Server Key" -------------> SERVER
 *
 * The exchange that they are used in is scram.c's; users and files are users.c's.
 */
#include "tls/scram_keys.h"

#include "tls/hash_text.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>

/* ---- text to bytes ---- */

bool scram_keys_parse(struct slice text, struct scram_keys *keys_out, const char **error_out)
{
    struct slice nothing, scheme, cost, salt, stored;
    *keys_out = (struct scram_keys){0};
    *error_out =
        "SCRAM's keys are to look like `$scram-sha-256$i=15000$SALT$STORED$SERVER`; `ringside passwd` makes them";
    if (!hash_text_take(&text, '$', &nothing) || nothing.len > 0 || !hash_text_take(&text, '$', &scheme) ||
        !slice_equal(scheme, SLICE_OF("scram-sha-256")) || !hash_text_take(&text, '$', &cost) ||
        !hash_text_take(&text, '$', &salt) || !hash_text_take(&text, '$', &stored) ||
        !hash_text_number(cost, SLICE_OF("i="), &keys_out->iterations))
        return false;
    *error_out = "`i` of SCRAM's keys is to be 4096 to 10000000";
    if (keys_out->iterations < SCRAM_ITERATIONS_MIN || keys_out->iterations > SCRAM_ITERATIONS_MAX)
        return false;
    *error_out = "the salt of SCRAM's keys is to be 8 to 32 bytes in base64";
    keys_out->salt_len = (uint8_t)hash_text_decode(salt, HASH_TEXT_ANY, keys_out->salt, SCRAM_SALT_MAX);
    if (keys_out->salt_len < SCRAM_SALT_MIN)
        return false;
    *error_out = "SCRAM's keys are to be 32 bytes each in base64";
    return hash_text_decode(stored, HASH_TEXT_ANY, keys_out->stored, SCRAM_KEY) == SCRAM_KEY &&
           hash_text_decode(text, HASH_TEXT_ANY, keys_out->server, SCRAM_KEY) == SCRAM_KEY;
}

/* ---- a password's keys ---- */

bool scram_hmac(const uint8_t *key, size_t key_len, struct slice text, uint8_t out[SCRAM_KEY])
{
    return HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text.data, text.len, out, NULL) != NULL;
}

static bool derive(struct slice password, struct scram_keys *keys)
{
    uint8_t salted[SCRAM_KEY], client[SCRAM_KEY] = {0};
    bool made = PKCS5_PBKDF2_HMAC(password.len > 0 ? password.data : "", (int)password.len, keys->salt, keys->salt_len,
                                  (int)keys->iterations, EVP_sha256(), SCRAM_KEY, salted) == 1 &&
                scram_hmac(salted, SCRAM_KEY, SLICE_OF("Client Key"), client) &&
                scram_hmac(salted, SCRAM_KEY, SLICE_OF("Server Key"), keys->server) &&
                SHA256(client, SCRAM_KEY, keys->stored) != NULL;
    OPENSSL_cleanse(salted, sizeof salted);
    OPENSSL_cleanse(client, sizeof client);
    return made;
}

bool scram_keys_make(struct slice password, char text_out[SCRAM_KEYS_TEXT_MAX])
{
    char salt[HASH_TEXT_ROOM(SCRAM_SALT)], stored[HASH_TEXT_ROOM(SCRAM_KEY)], server[HASH_TEXT_ROOM(SCRAM_KEY)];
    struct scram_keys keys = {.iterations = SCRAM_ITERATIONS, .salt_len = SCRAM_SALT};
    if (RAND_bytes(keys.salt, SCRAM_SALT) != 1 || !derive(password, &keys))
        return false;
    hash_text_encode(keys.salt, SCRAM_SALT, HASH_TEXT_ANY, salt);
    hash_text_encode(keys.stored, SCRAM_KEY, HASH_TEXT_ANY, stored);
    hash_text_encode(keys.server, SCRAM_KEY, HASH_TEXT_ANY, server);
    int len =
        snprintf(text_out, SCRAM_KEYS_TEXT_MAX, "$scram-sha-256$i=%d$%s$%s$%s", SCRAM_ITERATIONS, salt, stored, server);
    OPENSSL_cleanse(&keys, sizeof keys);
    OPENSSL_cleanse(stored, sizeof stored);
    OPENSSL_cleanse(server, sizeof server);
    return len > 0 && len < SCRAM_KEYS_TEXT_MAX;
}

/* ---- nobody's keys ---- */

void scram_keys_pretend(const uint8_t secret[SCRAM_SECRET], struct slice name, const struct scram_keys *like,
                        struct scram_keys *keys_out)
{
    uint8_t of_name[SCRAM_KEY];
    *keys_out = (struct scram_keys){.iterations = like->iterations, .salt_len = like->salt_len};
    /* Two steps: the salt is told, and must not tell what the keys are. */
    if (!scram_hmac(secret, SCRAM_SECRET, name, of_name) ||
        !scram_hmac(of_name, SCRAM_KEY, SLICE_OF("Salt"), keys_out->salt) ||
        !scram_hmac(of_name, SCRAM_KEY, SLICE_OF("Client Key"), keys_out->stored) ||
        !scram_hmac(of_name, SCRAM_KEY, SLICE_OF("Server Key"), keys_out->server))
        *keys_out = (struct scram_keys){.iterations = like->iterations, .salt_len = like->salt_len};
    OPENSSL_cleanse(of_name, sizeof of_name);
}
