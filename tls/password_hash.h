/*
 * A password's hash as text and as numbers: scrypt (RFC 7914), written so that the text tells how it was made:
 *
 *      $scrypt$ln=15,r=8,p=1$SALT$KEY          N = 2 to the ln; SALT and KEY in base64, with or without padding
 *
 * This is the form of the PHC string format, as Python's passlib writes it too. The numbers are bounded: 128 * r * N
 * bytes, the memory that one check takes, are at most 64 MiB, so that a wrong file cannot eat the machine. With r=1 the
 * ln is at most 15 (RFC 7914, 2).
 */
#ifndef RINGSIDE_TLS_PASSWORD_HASH_H
#define RINGSIDE_TLS_PASSWORD_HASH_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PASSWORD_LN_MIN 10
#define PASSWORD_LN_MAX 20
#define PASSWORD_R_MAX 16
#define PASSWORD_P_MAX 4
#define PASSWORD_MEMORY_MAX (UINT64_C(64) << 20)

#define PASSWORD_SALT_MIN 8
#define PASSWORD_KEY_MIN 16
#define PASSWORD_BYTES_MAX 64 /* of a salt, of a key */

/* What a new hash is made with: 32 MiB, about a tenth of a second. */
#define PASSWORD_LN 15
#define PASSWORD_R 8
#define PASSWORD_P 1
#define PASSWORD_SALT 16
#define PASSWORD_KEY 32

/* Room for the text of a new hash, with its NUL. */
#define PASSWORD_HASH_TEXT_MAX 128

struct password_cost {
    uint32_t ln, r, p;
};

struct password_hash {
    struct password_cost cost;
    uint8_t salt[PASSWORD_BYTES_MAX];
    uint8_t key[PASSWORD_BYTES_MAX];
    size_t salt_len, key_len;
};

/* false: *error_out is a sentence without its end, static. It never quotes the text. */
bool password_hash_parse(struct slice text, struct password_hash *hash_out, const char **error_out);

/*
 * Whether the password makes this hash. Takes the time and the memory of the hash's cost: not for an event loop. The
 * comparison takes the same time wherever the keys differ. false too when memory is out.
 */
bool password_hash_verify(const struct password_hash *hash, struct slice password);

/* The text of a new hash, with a salt by chance. false: no memory or no random bytes. */
bool password_hash_make(struct slice password, char text_out[PASSWORD_HASH_TEXT_MAX]);

/* How much work a check is; to compare. */
uint64_t password_cost_work(const struct password_cost *cost);

#endif
