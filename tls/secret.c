/*
 * Owns a password from its file or variable to its end.
 *
 *     file | variable -> bytes -> without its line's end -> secret.password
 *                        wiped                              wiped by the last secret_unref
 *
 * What users log in with is users.c's.
 */
#include "tls/secret.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A password, CR and LF, and one byte to see that there is more. */
#define FILE_MAX (SECRET_PASSWORD_MAX + 3)

static struct secret *fail(const char *source, const char *reason, char error_out[SECRET_ERROR_MAX])
{
    (void)snprintf(error_out, SECRET_ERROR_MAX, "%s: %s", source, reason);
    return NULL;
}

/* NULL, or what is wrong. *len is without the line's end after. */
static const char *trim(const char *bytes, size_t *len)
{
    if (*len > 0 && bytes[*len - 1] == '\n')
        --*len;
    if (*len > 0 && bytes[*len - 1] == '\r')
        --*len;
    if (*len == 0)
        return "there is no password in it";
    if (*len > SECRET_PASSWORD_MAX)
        return "it is longer than 1024 bytes";
    if (memchr(bytes, '\n', *len) != NULL || memchr(bytes, '\r', *len) != NULL)
        return "it has more than one line; a password is one line";
    return memchr(bytes, '\0', *len) != NULL ? "it has a NUL in it" : NULL;
}

/* Copies; the bytes are the caller's to wipe. */
static struct secret *make(const char *user, const char *bytes, size_t len, const char *source,
                           char error_out[SECRET_ERROR_MAX])
{
    const char *wrong = trim(bytes, &len);
    if (wrong != NULL)
        return fail(source, wrong, error_out);
    struct secret *secret = calloc(1, sizeof *secret);
    if (secret == NULL)
        return fail(source, "out of memory", error_out);
    atomic_init(&secret->references, 1);
    secret->user = strdup(user);
    secret->password = malloc(len + 1);
    if (secret->user == NULL || secret->password == NULL) {
        secret_unref(&secret);
        return fail(source, "out of memory", error_out);
    }
    memcpy(secret->password, bytes, len);
    secret->password[len] = '\0';
    secret->password_len = len;
    return secret;
}

/* As many bytes as there are, up to FILE_MAX. An errno value, or 0. */
static int read_file(const char *path, char bytes[FILE_MAX], size_t *len_out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int error = fd < 0 ? errno : 0;
    *len_out = 0;
    while (error == 0 && *len_out < FILE_MAX) {
        ssize_t got = read(fd, bytes + *len_out, FILE_MAX - *len_out);
        if (got == 0)
            break;
        if (got > 0)
            *len_out += (size_t)got;
        else if (errno != EINTR)
            error = errno;
    }
    if (fd >= 0)
        close(fd);
    return error;
}

struct secret *secret_load(const char *user, const char *path, char error_out[SECRET_ERROR_MAX])
{
    char bytes[FILE_MAX];
    size_t len;
    char reason[128];
    int error = read_file(path, bytes, &len);
    (void)snprintf(reason, sizeof reason, "cannot be read: %s", strerror(error));
    struct secret *secret = error != 0 ? fail(path, reason, error_out) : make(user, bytes, len, path, error_out);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return secret;
}

struct secret *secret_from_environment(const char *user, const char *name, char error_out[SECRET_ERROR_MAX])
{
    const char *value = getenv(name);
    if (value == NULL)
        return fail(name, "there is no such environment variable", error_out);
    return make(user, value, strlen(value), name, error_out);
}

struct secret *secret_ref(struct secret *secret)
{
    atomic_fetch_add_explicit(&secret->references, 1, memory_order_relaxed);
    return secret;
}

void secret_unref(struct secret **secret)
{
    struct secret *s = *secret;
    *secret = NULL;
    if (s == NULL || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) > 1)
        return;
    if (s->password != NULL)
        OPENSSL_cleanse(s->password, s->password_len);
    free(s->password);
    free(s->user);
    free(s);
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return strcmp(a->user, b->user) == 0 && a->password_len == b->password_len &&
           CRYPTO_memcmp(a->password, b->password, a->password_len) == 0;
}

size_t secret_print_login(const struct secret *secret, char buffer[SECRET_LOGIN_MAX])
{
    size_t len = strlen(secret->user) + 1 + secret->password_len;
    int printed =
        snprintf(buffer, SECRET_LOGIN_MAX, "set ringside 0 -1 %zu\r\n%s %s\r\n", len, secret->user, secret->password);
    assert(printed > 0 && printed < (int)SECRET_LOGIN_MAX);
    return (size_t)printed;
}
