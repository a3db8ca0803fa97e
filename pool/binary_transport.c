/*
 * Owns the bytes between Ringside's text and a server's packets; what they are is wire/server_binary.c's affair.
 *
 *      write   text -> a batch: heads in this thread's scratch, values where they lie -> the base -> what is left: held
 *      read    the base -> this thread's scratch -> text -> the caller        what is no whole packet yet: raw
 *              (runs of large values: the base -> the caller)                 what the caller has no room for: text
 *
 * As in tls/transport.c, what was translated but has not left whole is not reported; transport->unreported is how much of the
 * caller's bytes that is, and the caller offers it again.
 *
 * Over TLS a batch is whole packets of at most one record, or one that is larger, to its end: see record_limit in
 * connection_write.c for the reason. So no record is shared by a packet that does not fit the server's buffer.
 */
#include "pool/binary_transport.h"

#include "tls/held.h"
#include "wire/server_binary.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/* The most that a batch has; over TLS, but for a packet that is larger. */
#define BATCH_MAX ((size_t)64 << 10)
#define RECORD_MAX ((size_t)16 << 10)
/* The most of one write, as long as the base takes it. */
#define WRITES_MAX ((size_t)512 << 10)
#define VECTORS_MAX 64
#define HEADS_MAX ((size_t)32 << 10)
/* A line that does not lie in one piece is gathered; the longest has 128 keys. */
#define LINE_MAX_BYTES ((size_t)64 << 10)
#define READ_MAX ((size_t)64 << 10)
/* From so much on a value is read to where it belongs. */
#define DIRECT_MIN ((size_t)16 << 10)

struct binary_transport {
    struct transport base;
    struct transport *transport; /* the owner's; NULL: not open yet */
    struct server_binary binary;
    struct held held; /* packets on their way out */
    struct held raw;  /* of the server's bytes: not translated yet */
    struct held text; /* translated, not read yet */
    int error;        /* errno value: EBADMSG, the server has said what it must not; 0: none */
};

/* What one operation needs, and no longer. */
static _Thread_local struct {
    char heads[HEADS_MAX];
    char line[LINE_MAX_BYTES];
    char raw[READ_MAX];
    char print[SERVER_BINARY_PRINT_MAX];
} scratch;

/* ---- Writing ---- */

/* What one write to the base takes: of `source` bytes of the caller's. */
struct batch {
    struct iovec vectors[VECTORS_MAX];
    int count;
    size_t bytes, source, heads;
    size_t packets_max; /* no packet is begun beyond it, but for the first one */
    bool alone;         /* it ends with the packet that is under way */
    bool is_secret;
};

/* A place in the caller's bytes. */
struct cursor {
    const struct iovec *vectors;
    int count, index;
    size_t offset;
};

static void cursor_move(struct cursor *cursor, size_t bytes)
{
    cursor->offset += bytes;
    while (cursor->index < cursor->count && cursor->offset >= cursor->vectors[cursor->index].iov_len)
        cursor->offset -= cursor->vectors[cursor->index++].iov_len;
}

static struct slice cursor_run(const struct cursor *cursor)
{
    if (cursor->index == cursor->count)
        return slice_make(NULL, 0);
    const struct iovec *vector = &cursor->vectors[cursor->index];
    return slice_make((const char *)vector->iov_base + cursor->offset, vector->iov_len - cursor->offset);
}

/* Copies what comes next to the scratch, of several vectors together. */
static struct slice cursor_gather(struct cursor cursor)
{
    size_t len = 0;
    while (len < LINE_MAX_BYTES) {
        struct slice run = cursor_run(&cursor);
        size_t part = run.len < LINE_MAX_BYTES - len ? run.len : LINE_MAX_BYTES - len;
        if (part == 0)
            break;
        memcpy(scratch.line + len, run.data, part);
        len += part;
        cursor_move(&cursor, part);
    }
    return slice_make(scratch.line, len);
}

static void batch_add(struct batch *batch, struct slice bytes)
{
    if (bytes.len == 0)
        return;
    struct iovec *last = batch->count > 0 ? &batch->vectors[batch->count - 1] : NULL;
    if (last != NULL && (const char *)last->iov_base + last->iov_len == bytes.data)
        last->iov_len += bytes.len;
    else
        batch->vectors[batch->count++] = (struct iovec){(void *)(uintptr_t)bytes.data, bytes.len};
    batch->bytes += bytes.len;
}

/* Takes what comes next. Anything but TAKEN ends the batch before it. */
static enum server_binary_status batch_take(struct binary_transport *stream, struct batch *batch, struct cursor *cursor,
                                            struct server_binary_piece *piece)
{
    struct server_binary *binary = &stream->binary;
    struct slice run = cursor_run(cursor);
    uint64_t room = batch->bytes == 0 ? UINT64_MAX : batch->packets_max - batch->bytes;
    char *heads = scratch.heads + batch->heads;
    if (run.len == 0 || batch->bytes >= batch->packets_max || batch->count > VECTORS_MAX - 2 ||
        batch->heads > HEADS_MAX - SERVER_BINARY_PACKET_MAX)
        return SERVER_BINARY_FULL;
    if (server_binary_is_in_value(binary) && run.len > BATCH_MAX - batch->bytes)
        run.len = BATCH_MAX - batch->bytes;
    enum server_binary_status status = server_binary_take(binary, run.data, run.len, room, heads, piece);
    if (status != SERVER_BINARY_MORE)
        return status;
    run = cursor_gather(*cursor);
    return server_binary_take(binary, run.data, run.len, room, heads, piece);
}

/* Fills a batch from the cursor on. false: something cannot be said; the batch has what was before it. */
static bool batch_fill(struct binary_transport *stream, struct batch *batch, struct cursor *cursor)
{
    bool minds_borders = stream->base.methods->minds_borders, ended = false;
    enum server_binary_status status = SERVER_BINARY_TAKEN;
    *batch = (struct batch){.packets_max = minds_borders ? RECORD_MAX : BATCH_MAX};
    if (minds_borders && server_binary_is_in_value(&stream->binary)) {
        batch->packets_max = BATCH_MAX;
        batch->alone = true;
    }
    while (!ended) {
        struct server_binary_piece piece;
        status = batch_take(stream, batch, cursor, &piece);
        if (status != SERVER_BINARY_TAKEN)
            break;
        batch_add(batch, slice_make(scratch.heads + batch->heads, piece.printed));
        batch_add(batch, piece.pass);
        batch->heads += piece.printed;
        batch->source += piece.consumed;
        batch->is_secret |= piece.is_secret;
        cursor_move(cursor, piece.consumed);
        if (minds_borders && piece.packet_bytes > RECORD_MAX) {
            batch->packets_max = BATCH_MAX;
            batch->alone = true;
        }
        ended = piece.ends && batch->alone;
    }
    /* A request whose end is not in sight will not get one: who writes does it whole. */
    bool endless = status == SERVER_BINARY_MORE && batch->source == 0;
    if (endless)
        stream->binary.problem = "a request without its end";
    return status != SERVER_BINARY_WRONG && !endless;
}

/* Keeps what the base has not taken. false: memory is out. */
static bool batch_hold(struct binary_transport *stream, const struct batch *batch, size_t sent)
{
    for (int i = 0; i < batch->count; i++) {
        const struct iovec *vector = &batch->vectors[i];
        size_t gone = sent < vector->iov_len ? sent : vector->iov_len;
        sent -= gone;
        if (held_append(&stream->held, (const char *)vector->iov_base + gone, vector->iov_len - gone) != 0)
            return false;
    }
    return true;
}

static void drop_held(struct held *held)
{
    /* A login may have been in it. */
    if (held->data != NULL)
        OPENSSL_cleanse(held->data, held->room);
    held_fini(held);
}

/* Offers the base what is held. Bytes left (>= 0), or -1 with errno. */
static ssize_t send_held(struct binary_transport *stream)
{
    struct held *held = &stream->held;
    if (held_is_empty(held))
        return 0;
    const struct iovec vector = {held->data + held->start, held->end - held->start};
    ssize_t n = stream->base.methods->write(&stream->base, &vector, 1);
    if (n < 0)
        return -1;
    held->start += (size_t)n;
    if (!held_is_empty(held))
        return (ssize_t)(held->end - held->start);
    drop_held(held);
    return 0;
}

/* Sends a batch. 1: all of it, 0: the rest is held, -1: errno. */
static int batch_send(struct binary_transport *stream, const struct batch *batch)
{
    ssize_t n = batch->bytes > 0 ? stream->base.methods->write(&stream->base, batch->vectors, batch->count) : 0;
    int error = errno;
    bool held = n >= 0 && (size_t)n < batch->bytes;
    if (held && !batch_hold(stream, batch, (size_t)n)) {
        n = -1;
        error = ENOMEM;
    }
    if (batch->is_secret) {
        OPENSSL_cleanse(scratch.heads, batch->heads);
        OPENSSL_cleanse(scratch.line, sizeof scratch.line);
    }
    errno = error;
    return n < 0 ? -1 : !held;
}

static size_t bytes_of(const struct iovec *vectors, int count)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += vectors[i].iov_len;
    return bytes;
}

static ssize_t binary_write(struct transport *transport, const struct iovec *vectors, int count)
{
    struct binary_transport *stream = transport->stream;
    ssize_t left = send_held(stream);
    if (left != 0)
        return left < 0 ? TRANSPORT_ERROR : TRANSPORT_AGAIN;
    size_t offered = bytes_of(vectors, count);
    size_t done = transport->unreported < offered ? transport->unreported : offered;
    transport->unreported -= done;
    struct cursor cursor = {vectors, count, 0, 0};
    cursor_move(&cursor, done);
    size_t most = done + WRITES_MAX;
    int sent = 1;
    while (sent == 1 && done < offered && done < most) {
        struct batch batch;
        bool said = batch_fill(stream, &batch, &cursor);
        if (batch.source == 0 && !said) {
            errno = EBADMSG;
            return done > 0 ? (ssize_t)done : TRANSPORT_ERROR;
        }
        sent = batch_send(stream, &batch);
        if (sent < 0)
            return TRANSPORT_ERROR;
        if (sent == 1)
            done += batch.source;
        else
            transport->unreported += batch.source;
    }
    return done > 0 ? (ssize_t)done : TRANSPORT_AGAIN;
}

/* ---- Reading ---- */

/* Where text goes. */
struct sink {
    char *buffer;
    size_t capacity, used;
};

static void take_text(struct held *text, struct sink *sink)
{
    size_t len = text->end - text->start, room = sink->capacity - sink->used;
    if (len == 0)
        return;
    size_t part = len < room ? len : room;
    memcpy(sink->buffer + sink->used, text->data + text->start, part);
    sink->used += part;
    text->start += part;
    if (held_is_empty(text))
        held_fini(text);
}

/* false: memory is out. */
static bool sink_put(struct binary_transport *stream, struct sink *sink, const char *data, size_t len)
{
    size_t room = sink->capacity - sink->used, part = len < room ? len : room;
    if (part > 0)
        memcpy(sink->buffer + sink->used, data, part);
    sink->used += part;
    return part == len || held_append(&stream->text, data + part, len - part) == 0;
}

static bool is_waiting(const struct server_binary *binary)
{
    return binary->hearing == HEARING_TAIL;
}

/* Translates from the server's bytes what the sink has room for. Returns how many are left; -1 with errno. */
static ssize_t translate(struct binary_transport *stream, const char *data, size_t len, struct sink *sink)
{
    struct server_binary *binary = &stream->binary;
    while ((len > 0 || is_waiting(binary)) && sink->used < sink->capacity) {
        struct server_binary_piece piece;
        size_t room = sink->capacity - sink->used;
        size_t given = server_binary_value_left(binary) > 0 && len > room ? room : len;
        enum server_binary_status status = server_binary_give(binary, data, given, scratch.print, &piece);
        if (status == SERVER_BINARY_MORE)
            break;
        if (status != SERVER_BINARY_TAKEN) {
            stream->error = EBADMSG;
            break;
        }
        data += piece.consumed;
        len -= piece.consumed;
        if (!sink_put(stream, sink, scratch.print, piece.printed) ||
            !sink_put(stream, sink, piece.pass.data, piece.pass.len))
            return -1;
    }
    return (ssize_t)len;
}

/* A large value's bytes, to where they belong. */
static ssize_t read_value(struct transport *transport, char *buffer, size_t capacity)
{
    struct binary_transport *stream = transport->stream;
    uint64_t left = server_binary_value_left(&stream->binary);
    ssize_t n = stream->base.methods->read(&stream->base, buffer, left < capacity ? (size_t)left : capacity);
    if (n > 0)
        server_binary_passed(&stream->binary, (uint64_t)n);
    /* What is due behind the value needs no further byte. */
    transport->buffered = is_waiting(&stream->binary);
    transport_nudge(transport);
    return n;
}

/* Reads once, behind what is left of the last read, and translates. 0, or what ends the read. */
static ssize_t read_packets(struct binary_transport *stream, struct sink *sink, bool from_base)
{
    size_t kept = stream->raw.end - stream->raw.start;
    if (kept > 0)
        memcpy(scratch.raw, stream->raw.data + stream->raw.start, kept);
    if (from_base) {
        ssize_t n = stream->base.methods->read(&stream->base, scratch.raw + kept, READ_MAX - kept);
        if (n <= 0)
            return n;
        kept += (size_t)n;
    }
    held_fini(&stream->raw);
    ssize_t left = translate(stream, scratch.raw, kept, sink);
    if (left < 0 || (left > 0 && held_append(&stream->raw, scratch.raw + kept - (size_t)left, (size_t)left) != 0))
        stream->error = ENOMEM;
    return 0;
}

static ssize_t binary_read(struct transport *transport, char *buffer, size_t capacity)
{
    struct binary_transport *stream = transport->stream;
    struct sink sink = {buffer, capacity, 0};
    ssize_t end = 0;
    take_text(&stream->text, &sink);
    bool has_raw = !held_is_empty(&stream->raw);
    if (sink.used == 0 && !has_raw && stream->error == 0 && server_binary_value_left(&stream->binary) >= DIRECT_MIN)
        return read_value(transport, buffer, capacity);
    if (stream->error == 0 && sink.used < capacity && (has_raw || is_waiting(&stream->binary)))
        end = read_packets(stream, &sink, false);
    if (end == 0 && sink.used == 0 && stream->error == 0)
        end = read_packets(stream, &sink, true);
    if (end != 0 && sink.used == 0)
        return end;
    /* What could be had without the base. */
    bool has_more = sink.used == capacity && (!held_is_empty(&stream->raw) || is_waiting(&stream->binary));
    transport->buffered = !held_is_empty(&stream->text) || has_more || (stream->error != 0 && sink.used > 0);
    transport_nudge(transport);
    if (sink.used > 0 || stream->error == 0)
        return sink.used > 0 ? (ssize_t)sink.used : TRANSPORT_AGAIN;
    errno = stream->error;
    return TRANSPORT_ERROR;
}

/* ---- The other methods ---- */

static int binary_connect_result(const struct transport *transport)
{
    return transport_connect_result(transport->base);
}

static void binary_end_writing(struct transport *transport)
{
    transport_end_writing(transport->base);
}

static const char *binary_problem(const struct transport *transport)
{
    const struct binary_transport *stream = transport->stream;
    return stream->binary.problem != NULL ? stream->binary.problem : transport_problem(transport->base);
}

static void binary_close(struct transport *transport)
{
    struct binary_transport *stream = transport->stream;
    transport->stream = NULL;
    binary_transport_destroy(&stream);
}

static const struct transport_methods transport_binary = {
    .name = "binary",
    .read = binary_read,
    .write = binary_write,
    .connect_result = binary_connect_result,
    .end_writing = binary_end_writing,
    .problem = binary_problem,
    .close = binary_close,
};

/* ---- Life ---- */

static void on_base_ready(struct transport *base, unsigned ready)
{
    struct binary_transport *stream = list_entry(base, struct binary_transport, base);
    transport_base_is_ready(stream->transport, ready);
}

struct binary_transport *binary_transport_create(bool logs_in)
{
    struct binary_transport *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    transport_init(&stream->base, on_base_ready);
    server_binary_init(&stream->binary, logs_in);
    return stream;
}

void binary_transport_destroy(struct binary_transport **stream)
{
    struct binary_transport *s = *stream;
    *stream = NULL;
    transport_close(&s->base);
    server_binary_fini(&s->binary);
    drop_held(&s->held);
    held_fini(&s->raw);
    held_fini(&s->text);
    free(s);
}

struct transport *binary_transport_base(struct binary_transport *stream)
{
    return &stream->base;
}

void binary_transport_open(struct transport *transport, struct binary_transport **stream)
{
    struct binary_transport *s = *stream;
    *stream = NULL;
    s->transport = transport;
    transport_open_on(transport, &transport_binary, &s->base);
    transport->stream = s;
}
