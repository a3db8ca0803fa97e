/*
 * The binary protocol towards servers: Ringside's own stream of text and meta requests said in packets, and the packets
 * that come back said in text. No I/O; pool/binary_transport.c moves the bytes.
 *
 *      requests:  line [data block] -> server_binary_take -> header, extras, key [value, as it lies]
 *      replies:   header, extras, key [value, as it lies] -> server_binary_give -> line [data block]
 *
 *      asked: | what was asked, in order; its first opaque, and how many packets it is | ... |
 *
 * Every packet has the next number as its opaque. A reply must name the packet that is due, or, behind quiet ones, a later
 * one of the same request, and its opcode; else nothing more is taken: no reply ever reaches a request that is not its own.
 *
 * What has no binary form (me; of meta commands flags t h l N R and others, see the table in server_binary_ask.c) goes to
 * no server: a NOOP takes its place, and its reply is answered by words of our own. Sources: memcached 1.6.18, proto_bin.c
 * and proto_text.c.
 */
#ifndef RINGSIDE_WIRE_SERVER_BINARY_H
#define RINGSIDE_WIRE_SERVER_BINARY_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most that one call prints: packets of one line but for its value, or one line. */
#define SERVER_BINARY_PRINT_MAX 8192
/* The longest packet but for values of retrievals and storage commands. */
#define SERVER_BINARY_PACKET_MAX 3072

enum server_binary_status {
    SERVER_BINARY_TAKEN, /* *piece_out tells what has been done; there may be more to do */
    SERVER_BINARY_MORE,  /* nothing can be done without more input */
    SERVER_BINARY_FULL,  /* nothing was done: the packet does not fit into `room` */
    SERVER_BINARY_WRONG, /* not to be gone on with: `problem` says why */
};

/* First comes what was printed, then what passes. */
struct server_binary_piece {
    size_t consumed;       /* bytes of the input that are done with */
    size_t printed;        /* bytes that stand in the buffer */
    struct slice pass;     /* bytes of the input that go on as they lie */
    uint64_t packet_bytes; /* take: of the packet that begins here, its value included; 0: none does */
    bool ends;             /* take: a packet ends here */
    bool is_secret;        /* take: what was printed is to be wiped when it has gone */
};

enum server_binary_saying { SAYING_LINE, SAYING_KEYS, SAYING_VALUE, SAYING_NOTHING };
enum server_binary_hearing { HEARING_HEAD, HEARING_VALUE, HEARING_TAIL };

struct server_binary {
    bool logs_in;        /* the first request is a login of text (secret_print_login): it becomes SASL PLAIN */
    const char *problem; /* static; after WRONG: what the server has sent, or what cannot be sent */
    /* To the server. */
    enum server_binary_saying saying;
    uint64_t body_left; /* of the data block, CRLF included */
    bool has_kept;      /* the value's last byte waits until the CRLF behind it was seen */
    char kept;
    uint32_t opaque;    /* of the next packet */
    uint32_t keys_left; /* of a line with several keys */
    uint8_t key_opcode;
    bool key_has_expiry;
    uint32_t key_expiry;
    /* What was asked and is not answered yet: bytes [asked_start, asked_end) of a growing buffer. */
    char *asked;
    size_t asked_start, asked_end, asked_room;
    /* From the server. */
    enum server_binary_hearing hearing;
    uint64_t value_left;
    bool drops_value;
    struct slice tail; /* of text, behind the value */
};

void server_binary_init(struct server_binary *binary, bool logs_in);
void server_binary_fini(struct server_binary *binary);

/*
 * Says what stands at the start of data, at most one packet or one run of a value. A line must be in sight as a whole, of a
 * login its data block too: else MORE. A packet of more than `room` bytes is not begun. buffer: SERVER_BINARY_PRINT_MAX bytes.
 */
enum server_binary_status server_binary_take(struct server_binary *binary, const char *data, size_t len, uint64_t room,
                                             char *buffer, struct server_binary_piece *piece_out);

/*
 * Says in text what stands at the start of a server's bytes: a line, a run of a value, or, with no input, what is due behind
 * a value. A head must be in sight as a whole (of all but values: the packet): else MORE.
 */
enum server_binary_status server_binary_give(struct server_binary *binary, const char *data, size_t len, char *buffer,
                                             struct server_binary_piece *piece_out);

/* Bytes of a value that come next from the server, and pass as they are. */
static inline uint64_t server_binary_value_left(const struct server_binary *binary)
{
    return binary->hearing == HEARING_VALUE && !binary->drops_value ? binary->value_left : 0;
}
/* That many of them have passed without server_binary_give. */
void server_binary_passed(struct server_binary *binary, uint64_t bytes);

/* The next bytes to be taken are a data block's. */
static inline bool server_binary_is_in_value(const struct server_binary *binary)
{
    return binary->saying >= SAYING_VALUE;
}

#endif
