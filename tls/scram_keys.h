/*
 * What a server keeps of a password for SCRAM-SHA-256 (RFC 5802, RFC 7677): as text and as bytes:
 *
 *      $scram-sha-256$i=15000$SALT$STORED$SERVER       in base64, with or without padding
 *
 *      salted = PBKDF2-HMAC-SHA-256(password, SALT, i)
 *      STORED = SHA-256(HMAC(salted, "Client Key"))    SERVER = HMAC(salted, "Server Key")
 *
 * Passwords are used as the bytes that they are: SASLprep (RFC 4013), which leaves ASCII as it is, is not done.
 *
 * Nobody can log in with STORED alone; but who has it can try passwords against it, and SERVER lets him pass for the server.
 */
#ifndef RINGSIDE_TLS_SCRAM_KEYS_H
#define RINGSIDE_TLS_SCRAM_KEYS_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRAM_ITERATIONS_MIN 4096
#define SCRAM_ITERATIONS_MAX 10000000
#define SCRAM_SALT_MIN 8
#define SCRAM_SALT_MAX 32
#define SCRAM_KEY 32
#define SCRAM_SECRET 32

/* What new keys are made with. It is the client that pays for the iterations, at each login: some 10 ms. */
#define SCRAM_ITERATIONS 15000
#define SCRAM_SALT 16

/* Room for the text of new keys, with its NUL. */
#define SCRAM_KEYS_TEXT_MAX 192

struct scram_keys {
    uint32_t iterations;
    uint8_t salt_len;
    uint8_t salt[SCRAM_SALT_MAX];
    uint8_t stored[SCRAM_KEY];
    uint8_t server[SCRAM_KEY];
};

/* false: *error_out is a sentence without its end, static. It never quotes the text. */
bool scram_keys_parse(struct slice text, struct scram_keys *keys_out, const char **error_out);

/* The text of new keys, with a salt by chance. false: no memory or no random bytes. Takes some 10 ms. */
bool scram_keys_make(struct slice password, char text_out[SCRAM_KEYS_TEXT_MAX]);

/*
 * Keys that nobody has a password for, for a name that is not known: always the same for the name and the secret, with
 * the iterations and the length of the salt of `like`. All zeroes where memory is out.
 */
void scram_keys_pretend(const uint8_t secret[SCRAM_SECRET], struct slice name, const struct scram_keys *like,
                        struct scram_keys *keys_out);

/* HMAC-SHA-256. false when memory is out. */
bool scram_hmac(const uint8_t *key, size_t key_len, struct slice text, uint8_t out[SCRAM_KEY]);

#endif
