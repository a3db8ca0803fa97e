/*
 * The binary protocol of clients: requests parsed in place, said anew as meta lines, and servers' reply lines printed as
 * binary replies. No I/O, no allocation, values are never touched. Binary towards servers: server_binary.h.
 *
 *      client's bytes -> binary_parse -> binary_line -> a struct request as of any meta command
 *      server's line  -> binary_reply_line -> header, extras, key      (and what follows of the value: binary_stream)
 *
 * The reference is memcached 1.6.18 (proto_bin.c, protocol_binary.h): which lengths an opcode may have, status codes and
 * error texts, which answers of quiet commands are kept back. On the wire all numbers are big-endian:
 *
 *      0      magic 0x80, replies 0x81   opcode   key length (16)
 *      4      extras length   data type   status of replies (16)
 *      8      body length (32): extras, key and value together
 *      12     opaque (32)
 *      16     CAS number (64)
 *      24     extras, key, value
 */
#ifndef RINGSIDE_WIRE_BINARY_H
#define RINGSIDE_WIRE_BINARY_H

#include "base/slice.h"
#include "wire/reply.h"
#include "wire/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BINARY_MAGIC ((char)0x80)
#define BINARY_HEADER_BYTES 24
/* A key that is no lawful text key travels as base64, which is at most KEY_LEN_MAX long. */
#define BINARY_RAW_KEY_MAX 186

enum binary_status {
    BINARY_STATUS_SUCCESS = 0x00,
    BINARY_STATUS_NOT_FOUND = 0x01,
    BINARY_STATUS_EXISTS = 0x02,
    BINARY_STATUS_TOO_LARGE = 0x03,
    BINARY_STATUS_INVALID = 0x04,
    BINARY_STATUS_NOT_STORED = 0x05,
    BINARY_STATUS_NOT_A_NUMBER = 0x06,
    BINARY_STATUS_DENIED = 0x20,
    BINARY_STATUS_CONTINUE = 0x21, /* SASL: another step is wanted */
    BINARY_STATUS_UNKNOWN = 0x81,
    BINARY_STATUS_NO_MEMORY = 0x82,
    BINARY_STATUS_INTERNAL = 0x84,
    BINARY_STATUS_BUSY = 0x85,
    BINARY_STATUS_TEMPORARY = 0x86,
};

/* What an opcode asks for. */
enum binary_action {
    BINARY_UNKNOWN,
    BINARY_GET,
    BINARY_GET_TOUCH, /* gat */
    BINARY_TOUCH,
    BINARY_SET,
    BINARY_ADD,
    BINARY_REPLACE,
    BINARY_APPEND,
    BINARY_PREPEND,
    BINARY_DELETE,
    BINARY_INCREMENT,
    BINARY_DECREMENT,
    BINARY_NOOP,
    BINARY_VERSION,
    BINARY_STAT,
    BINARY_FLUSH,
    BINARY_VERBOSITY,
    BINARY_QUIT,
    BINARY_SASL, /* list, authenticate, step: which one the opcode says */
};

/* What a reply repeats of its request, and has to know. */
struct binary_asked {
    uint8_t opcode;
    uint32_t opaque;  /* as it came */
    struct slice key; /* empty: not wanted in the reply */
    bool is_copy;     /* a copy's server answers: its CAS number is given out so that it matches nowhere */
};

struct binary_request {
    struct binary_asked asked; /* its key lies in the input */
    enum binary_action action;
    enum verb
        verb; /* the ASCII command that does the same: by its name a listener denies it. VERB_COUNT: there is none */
    bool quiet;
    struct slice key; /* stat: the argument */
    uint64_t cas;     /* 0: none */
    uint32_t flags;
    uint32_t expiry;   /* as on the wire: seconds, or Unix time */
    bool has_expiry;   /* flush: there is a delay */
    uint64_t delta;    /* increment, decrement */
    uint64_t initial;  /* the same */
    size_t head_bytes; /* header, extras and key; PARTIAL: what is needed at least */
    size_t body_bytes; /* bytes behind them: the value. READY: of SET ... PREPEND and SASL; REFUSED: to be dropped */
    enum binary_status status; /* REFUSED, FATAL: to be answered, with its own text */
};

enum binary_parsed {
    BINARY_READY,
    BINARY_PARTIAL, /* more bytes are needed */
    BINARY_REFUSED, /* answer status, drop head and body, go on. TOO_LARGE: key and all are filled in */
    BINARY_FATAL,   /* answer status, close */
    BINARY_FOREIGN, /* not the binary protocol: close */
};

/* The request at the start of data. item_size_max: bytes, the largest value allowed through. */
enum binary_parsed binary_parse(const char *data, size_t len, uint64_t item_size_max,
                                struct binary_request *binary_out);

/* What an opcode asks for, and whether it is one of the quiet ones. */
enum binary_action binary_action_of(uint8_t opcode);
bool binary_is_quiet(uint8_t opcode);

/* ---- To servers ---- */

/* Longest line that binary_line writes. */
#define BINARY_LINE_MAX 512

/*
 * Says a READY request for one key, or a STAT, FLUSH or VERSION, in the servers' language: writes the line with its CRLF to
 * buffer (BINARY_LINE_MAX bytes), and fills in *request_out as if it had been parsed from there; its line_bytes are
 * head_bytes, its data block is to be body_bytes and CRLF. Returns the line's length; 0: the key cannot be written, it is
 * no text and longer than BINARY_RAW_KEY_MAX.
 */
size_t binary_line(const struct binary_request *binary, char *buffer, struct request *request_out);

/* ---- To clients ---- */

/* A value on its way: between the line that announces it and its end. All zero: none. */
struct binary_stream {
    uint64_t value_left; /* bytes of it still to come */
    uint32_t end_left;   /* bytes of its CRLF still to come */
    bool counts;         /* it is a counter's digits: answered as a number when all are there */
    uint64_t number;
    uint64_t cas;
};

static inline bool binary_stream_is_open(const struct binary_stream *stream)
{
    return stream->value_left > 0 || stream->end_left > 0;
}

/* Longest that binary_reply_line writes. */
#define BINARY_REPLY_MAX (BINARY_HEADER_BYTES + 4 + KEY_LEN_MAX + REPLY_LINE_MAX)

/*
 * Prints what a line (without CRLF, in any of the servers' words, or an error of Ringside's own) is in answer to this
 * request. Returns the length, 0 where a quiet command says nothing. Where a value follows *stream_out is opened: its bytes
 * go through binary_stream_take.
 */
size_t binary_reply_line(const struct binary_asked *asked, struct slice line, struct binary_stream *stream_out,
                         char buffer[BINARY_REPLY_MAX]);

/*
 * Takes bytes of an open stream from the start of data: returns how many. *pass_out: those of them that go to the client.
 * *printed_out: the length of what is to be sent in their place, which stands in buffer.
 */
size_t binary_stream_take(const struct binary_asked *asked, struct binary_stream *stream, const char *data, size_t len,
                          struct slice *pass_out, size_t *printed_out, char buffer[BINARY_HEADER_BYTES + 8]);

/* Prints a reply without value: success, or a status with a text; an empty text is that of the status. */
size_t binary_reply_status(const struct binary_asked *asked, enum binary_status status, struct slice text,
                           char buffer[BINARY_REPLY_MAX]);

#endif
