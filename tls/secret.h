/*
 * A user's name and password as a pool shows them to its servers: read once, counted, never changed, wiped at the end.
 */
#ifndef RINGSIDE_TLS_SECRET_H
#define RINGSIDE_TLS_SECRET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define SECRET_PASSWORD_MAX 1024
/* A sentence that names the file or the variable, and nothing of what it holds. */
#define SECRET_ERROR_MAX 512

struct secret {
    atomic_uint references;
    char *user;
    char *password; /* with a NUL behind it */
    size_t password_len;
};

/*
 * The password is what the file, or the environment variable, holds, without one line's end behind it: 1 to
 * SECRET_PASSWORD_MAX bytes, no further line, no NUL. With one reference, the caller's; NULL with the sentence. Reading
 * blocks.
 */
struct secret *secret_load(const char *user, const char *path, char error_out[SECRET_ERROR_MAX]);
struct secret *secret_from_environment(const char *user, const char *name, char error_out[SECRET_ERROR_MAX]);

/* Thread-safe, both. unref clears the pointer, which may be NULL; the last one wipes and frees. */
struct secret *secret_ref(struct secret *secret);
void secret_unref(struct secret **secret);

/*
 * Memcached's ASCII authentication: "set ringside 0 -1 N", USER PASSWORD. A server that wants none takes it for an item that has
 * expired already, so that nobody reads it. Returns the length, CRLFs included.
 */
#define SECRET_LOGIN_MAX (SECRET_PASSWORD_MAX + 256)
size_t secret_print_login(const struct secret *secret, char buffer[SECRET_LOGIN_MAX]);

/* Whether name and password are the same. Either may be NULL: none. */
bool secret_equal(const struct secret *a, const struct secret *b);

#endif
