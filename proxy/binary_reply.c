/*
 * Owns what binary clients are answered: every byte that an exchange of theirs emits comes through here.
 *
 *      "VA 5 f0 c7\r\n" "hel" "lo\r\n"    as a server sends it, in pieces
 *      [header, extras] "hel" "lo"        as the client gets it: the value's slices are passed on, not copied
 *
 * A line is whole within one piece; a value may come in any pieces (exchange->binary->stream).
 */
#include "proxy/binary.h"

#include "proxy/client.h"

#include <string.h>

/* ---- What an exchange keeps ---- */

bool binary_attach(struct exchange *exchange)
{
    const struct binary_asking *asking = exchange->client->asking;
    struct exchange_binary *binary = slab_alloc(&exchange->client->worker->binary_slab);
    if (binary == NULL)
        return false;
    exchange->binary = binary;
    binary->asked = asking->asked;
    binary->stream = (struct binary_stream){0};
    binary->block = asking->body.len > 0 ? block_ref(asking->block) : NULL;
    binary->body = asking->body;
    if (asking->asked.key.len > 0) {
        memcpy(binary->key, asking->asked.key.data, asking->asked.key.len);
        binary->asked.key.data = binary->key;
    }
    return true;
}

void binary_detach(struct exchange *exchange)
{
    block_unref(&exchange->binary->block);
    slab_free(&exchange->client->worker->binary_slab, exchange->binary);
    exchange->binary = NULL;
}

bool binary_append_body(const struct exchange *exchange, struct chain *chain)
{
    const struct exchange_binary *binary = exchange->binary;
    struct memory *memory = &exchange->client->worker->memory;
    if (binary->body.len == 0)
        return true;
    return chain_append(chain, memory, binary->block, binary->body.data, binary->body.len) &&
           chain_append_copy(chain, memory, "\r\n", 2);
}

/* ---- Emitting ---- */

/* The CRLF that ends the line at the start of data; NULL: none. Several times as fast as memmem. */
static const char *find_crlf(const char *data, size_t len)
{
    const char *at = data, *end = data + len;
    while (at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        if (at > data && at[-1] == '\r')
            return at - 1;
        at++;
    }
    return NULL;
}

/* The line at the start of data, CRLF included: its length. */
static size_t emit_line(struct exchange *exchange, const char *data, size_t len)
{
    struct exchange_binary *binary = exchange->binary;
    const char *end = find_crlf(data, len);
    size_t line = end != NULL ? (size_t)(end - data) : len;
    char buffer[BINARY_REPLY_MAX];
    size_t printed = binary_reply_line(&binary->asked, slice_make(data, line), &binary->stream, buffer);
    if (printed > 0)
        exchange_put_copy(exchange, slice_make(buffer, printed));
    return end != NULL ? line + 2 : len;
}

/* Bytes of the value. block NULL: they are static, or to be copied. */
static size_t emit_value(struct exchange *exchange, struct block *block, const char *data, size_t len)
{
    struct exchange_binary *binary = exchange->binary;
    char buffer[BINARY_HEADER_BYTES + 8];
    struct slice pass;
    size_t printed;
    size_t taken = binary_stream_take(&binary->asked, &binary->stream, data, len, &pass, &printed, buffer);
    if (pass.len > 0 && block != NULL)
        exchange_put(exchange, block, pass.data, pass.len);
    else if (pass.len > 0)
        exchange_put_copy(exchange, pass);
    if (printed > 0)
        exchange_put_copy(exchange, slice_make(buffer, printed));
    return taken;
}

void binary_emit(struct exchange *exchange, struct block *block, const char *data, size_t len)
{
    for (size_t n; len > 0; data += n, len -= n)
        n = binary_stream_is_open(&exchange->binary->stream) ? emit_value(exchange, block, data, len)
                                                             : emit_line(exchange, data, len);
}

/* Lines of Ringside's own: whatever was begun before has been taken back. */
void binary_emit_lines(struct exchange *exchange, struct slice lines)
{
    exchange->binary->stream = (struct binary_stream){0};
    binary_emit(exchange, NULL, lines.data, lines.len);
}

/* Its first line may lie in several segments. */
static void emit_chain_line(struct exchange *exchange, struct chain *chain)
{
    char line[REPLY_LINE_MAX];
    size_t n = chain_peek(chain, line, sizeof line);
    chain_consume(chain, &exchange->client->worker->memory, emit_line(exchange, line, n));
}

void binary_emit_chain(struct exchange *exchange, struct chain *chain)
{
    while (!chain_is_empty(chain)) {
        if (!binary_stream_is_open(&exchange->binary->stream)) {
            emit_chain_line(exchange, chain);
            continue;
        }
        const struct segment *head = chain->head;
        size_t n = emit_value(exchange, head->block, head->data, head->len);
        chain_consume(chain, &exchange->client->worker->memory, n);
    }
}

/* ---- Answers without a server ---- */

/* Each line as it is printed, one after the other: stats have many. */
static bool print_lines(const struct binary_asked *asked, struct slice lines, struct text *text)
{
    struct binary_stream stream;
    char buffer[BINARY_REPLY_MAX];
    while (lines.len > 0) {
        const char *end = find_crlf(lines.data, lines.len);
        size_t line = end != NULL ? (size_t)(end - lines.data) : lines.len;
        size_t printed = binary_reply_line(asked, slice_make(lines.data, line), &stream, buffer);
        text_append(text, buffer, printed);
        size_t n = end != NULL ? line + 2 : line;
        lines = slice_make(lines.data + n, lines.len - n);
    }
    return !text->failed;
}

static bool is_one_line(struct slice lines)
{
    const char *end = find_crlf(lines.data, lines.len);
    return end != NULL && end + 2 == lines.data + lines.len;
}

static void answer_line(struct client *client, struct slice line)
{
    struct binary_stream stream;
    char buffer[BINARY_REPLY_MAX];
    line.len -= 2;
    size_t printed = binary_reply_line(&client->asking->asked, line, &stream, buffer);
    exchange_answer_bytes(client, slice_make(buffer, printed));
}

void binary_answer(struct client *client, struct slice lines)
{
    if (is_one_line(lines)) {
        answer_line(client, lines);
        return;
    }
    struct text text;
    text_init(&text);
    if (print_lines(&client->asking->asked, lines, &text))
        exchange_answer_bytes(client, text_slice(&text));
    else
        client_close_soon(client);
    text_fini(&text);
}
