/*
 * Fuzz target: any bytes as what a client sends before it has logged in.
 *
 * A line that is told is within the bytes and ends in LF; a data block is whole and lies behind it. What is ready stays the same
 * when more bytes follow, and one byte less is not ready. A name and a password are tokens of the block.
 */
#include "wire/credentials.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX 1200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_token(struct slice token, struct slice body)
{
    require(token.len > 0 && token.data >= body.data && token.data + token.len <= body.data + body.len - 2);
    require(memchr(token.data, ' ', token.len) == NULL);
}

static void check_ready(const char *data, const struct credentials *credentials)
{
    struct credentials again;
    struct slice body = credentials->body, name, password;
    require(body.data == data + credentials->line_bytes && body.len >= 2 && body.len <= BODY_MAX + 2);
    require(credentials->total_bytes == credentials->line_bytes + body.len);
    require(credentials_parse(data, credentials->total_bytes, BODY_MAX, &again) == CREDENTIALS_READY);
    require(again.total_bytes == credentials->total_bytes);
    require(credentials_parse(data, credentials->total_bytes - 1, BODY_MAX, &again) == CREDENTIALS_PARTIAL);
    struct slice error = credentials_split(body, &name, &password);
    if (error.len > 0)
        return;
    check_token(name, body);
    check_token(password, body);
    require(name.data + name.len < password.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct credentials credentials;
    const char *text = (const char *)data;
    enum credentials_status status = credentials_parse(text, size, BODY_MAX, &credentials);
    if (status == CREDENTIALS_ENDLESS)
        require(size > CREDENTIALS_LINE_MAX);
    if (credentials.line_bytes > 0)
        require(credentials.line_bytes <= size && text[credentials.line_bytes - 1] == '\n');
    else
        require(status == CREDENTIALS_ENDLESS || status == CREDENTIALS_PARTIAL);
    if (status == CREDENTIALS_PARTIAL && credentials.total_bytes > 0)
        require(credentials.total_bytes > size);
    if (status == CREDENTIALS_READY)
        check_ready(text, &credentials);
    return 0;
}
