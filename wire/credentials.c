/*
 * Owns the two lines of a login; see credentials.h. Who may log in, and what becomes of it, is proxy/gate.c's.
 *
 *     "set k 0 0 10\r\n" "app secret\r\n"
 *      |- line_bytes --| |--- body ---|
 *      |-------- total_bytes ---------|
 */
#include "wire/credentials.h"

#include "wire/number.h"
#include "wire/token.h"

#include <string.h>

/* The token of the data block's length; empty: the line is no login's. */
static struct slice find_length(struct slice line)
{
    struct slice token = slice_make(NULL, 0);
    for (int i = 0; i < 5; i++) {
        if (!token_next(&line, &token) || (i == 0 && !slice_equal(token, SLICE_OF("set"))))
            return slice_make(NULL, 0);
    }
    return token;
}

enum credentials_status credentials_parse(const char *data, size_t len, size_t body_max,
                                          struct credentials *credentials_out)
{
    *credentials_out = (struct credentials){0};
    const char *end = len > 0 ? memchr(data, '\n', len) : NULL;
    if (end == NULL)
        return len > CREDENTIALS_LINE_MAX ? CREDENTIALS_ENDLESS : CREDENTIALS_PARTIAL;
    size_t line_bytes = (size_t)(end - data) + 1;
    size_t line_len = line_bytes - 1;
    if (line_len > 0 && data[line_len - 1] == '\r')
        line_len--;
    credentials_out->line_bytes = line_bytes;
    struct slice length = find_length(slice_make(data, line_len));
    if (length.len == 0 || !number_is_u64(length) || line_bytes > CREDENTIALS_LINE_MAX)
        return CREDENTIALS_OTHER;
    uint64_t bytes = number_parse(length).magnitude;
    if (bytes > body_max)
        return CREDENTIALS_LARGE;
    credentials_out->total_bytes = line_bytes + (size_t)bytes + 2;
    if (len < credentials_out->total_bytes)
        return CREDENTIALS_PARTIAL;
    credentials_out->body = slice_make(data + line_bytes, (size_t)bytes + 2);
    return CREDENTIALS_READY;
}

struct slice credentials_split(struct slice body, struct slice *name_out, struct slice *password_out)
{
    struct slice text = slice_make(body.data, body.len - 2), name, password;
    if (memcmp(body.data + text.len, "\r\n", 2) != 0)
        return SLICE_OF("CLIENT_ERROR bad command line termination\r\n");
    if (!token_next(&text, &name) || !token_next(&text, &password))
        return SLICE_OF("CLIENT_ERROR bad authentication token format\r\n");
    *name_out = name;
    *password_out = password;
    return slice_make(NULL, 0);
}
