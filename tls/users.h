/*
 * A file of users, read and made ready for logins.
 *
 *      # a comment; empty lines are passed over
 *      app:$scrypt$ln=15,r=8,p=1$SALT$KEY          NAME:HASH, see tls/password_hash.h
 *      bob:$scrypt$... $scram-sha-256$i=15000$...  the same, a blank, and SCRAM's keys, see tls/scram_keys.h
 *
 * Who has no keys has no SCRAM, and logs in with the password itself. Keys and hash need not be of one password.
 *
 * A name is 1 to 64 bytes of printable ASCII without space and ':'; it does not begin with '#' (a comment), and is not "*"
 * (everybody, in access rules). Blanks around a line, and CR before its end, are passed over.
 *
 * struct users never changes once it is read, and is counted: whoever holds a reference may use it in any thread. A
 * reload reads a new one; who still checks a password against the old one keeps it alive.
 */
#ifndef RINGSIDE_TLS_USERS_H
#define RINGSIDE_TLS_USERS_H

#include "base/slice.h"
#include "base/text.h"
#include "tls/scram_keys.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define USERS_NAME_MAX 64
/* A longer password is always wrong; so is one with a NUL, which scrypt would not tell from its absence at the end. */
#define USERS_PASSWORD_MAX 1024
#define USERS_FILE_MAX ((size_t)4 << 20)
/* More are not told. */
#define USERS_ERRORS_MAX 16

struct users;

struct users_error {
    size_t line; /* from 1; 0: the file as a whole */
    char text[160];
};

struct users_errors {
    size_t count; /* 0 where reading failed: memory is out */
    struct users_error items[USERS_ERRORS_MAX];
    int system_error; /* errno value: the file cannot be read, or memory is out; else 0 */
};

/* With one reference, the caller's. NULL: see *errors_out, which is always filled in. No text quotes a hash. */
struct users *users_parse(struct slice text, struct users_errors *errors_out);
/* The same of a file. Blocks. */
struct users *users_load(const char *path, struct users_errors *errors_out);
/* Reads a file of at most USERS_FILE_MAX bytes onto the end of *text_out. false: see *errors_out. */
bool users_read(const char *path, struct text *text_out, struct users_errors *errors_out);

/* Thread-safe, both. unref clears the pointer, which may be NULL; the last one frees. */
struct users *users_ref(struct users *users);
void users_unref(struct users **users);

size_t users_count(const struct users *users);
/* By the order of names, i < users_count. */
struct slice users_name(const struct users *users, size_t i);
/* The name as the users hold it, for as long as they live; NULL: there is no such user. */
const char *users_find(const struct users *users, struct slice name);

/*
 * Whether that is the user's password. Takes some 100 ms and up to 64 MiB: tls/password_check.h does it off the event
 * loops. An unknown name takes the work of the costliest known one, so that time does not tell which names there are.
 */
bool users_verify(const struct users *users, struct slice name, struct slice password);

/*
 * The user's keys for SCRAM. false: there is no such user, or it has none; then they are such as look like a user's,
 * always the same for the name and the secret, which is the process's. Both take the same time.
 */
bool users_scram_keys(const struct users *users, struct slice name, const uint8_t secret[SCRAM_SECRET],
                      struct scram_keys *keys_out);
/* Whether every user has keys for SCRAM, so that whoever chooses it where it is offered gets in. */
bool users_all_have_scram(const struct users *users);

/* ---- for making such a file ---- */

bool users_name_is_lawful(struct slice name);

/*
 * Appends the old file's text with the user's line put in place, or put at the end if there is none. All other lines
 * stay as they are. hash: with SCRAM's keys behind it, or without. Returns whether the name was there.
 */
bool users_replace_text(struct slice old, struct slice name, struct slice hash, struct text *out);

#endif
