/* What both directions of the binary protocol towards servers share. For wire/server_binary*.c alone. */
#ifndef RINGSIDE_WIRE_SERVER_BINARY_INTERNAL_H
#define RINGSIDE_WIRE_SERVER_BINARY_INTERNAL_H

#include "wire/binary.h"
#include "wire/binary_text.h"
#include "wire/request.h"
#include "wire/server_binary.h"

/* The opcodes that are sent. */
enum {
    OPCODE_GET = 0x00,
    OPCODE_SET = 0x01,
    OPCODE_ADD = 0x02,
    OPCODE_REPLACE = 0x03,
    OPCODE_DELETE = 0x04,
    OPCODE_INCREMENT = 0x05,
    OPCODE_DECREMENT = 0x06,
    OPCODE_FLUSH = 0x08,
    OPCODE_NOOP = 0x0a,
    OPCODE_VERSION = 0x0b,
    OPCODE_GETK = 0x0c,
    OPCODE_GETKQ = 0x0d,
    OPCODE_APPEND = 0x0e,
    OPCODE_PREPEND = 0x0f,
    OPCODE_STAT = 0x10,
    OPCODE_TOUCH = 0x1c,
    OPCODE_GAT = 0x1d,
    OPCODE_SASL_AUTH = 0x21,
    OPCODE_GATK = 0x23,
    OPCODE_GATKQ = 0x24,
};

/*
 * One request that waits for its answer: `packets` of them, with the opaques from `opaque` on. All but the last have
 * `opcode`. A record of the buffer `asked`, its text behind it.
 */
struct asked {
    uint32_t size; /* of the record */
    uint32_t opaque;
    uint32_t packets;
    uint32_t next; /* the first one of them that may be answered yet */
    uint8_t opcode, last_opcode;
    uint8_t verb;
    bool is_login;
    bool has_cas;     /* a CAS number was named */
    bool wants_value; /* meta: flag v */
    bool speaks;      /* it is answered by its text */
    uint16_t status;  /* of a quiet packet that has failed: told at the end */
    uint32_t text_len;
};

static inline char *asked_text(struct asked *asked)
{
    return (char *)(asked + 1);
}

struct packet {
    uint8_t opcode;
    uint8_t extras_len;
    char extras[20];
    struct slice key;
    uint64_t value_bytes;
    uint64_t cas;
};

/* What becomes of one line: a record, and its packets. */
struct ask {
    struct asked asked;
    struct slice text;        /* the record's; a meta line from its key on, or an answer */
    struct packet packets[2]; /* as many as asked.packets, but for lines with several keys */
    char key[KEY_LEN_MAX];    /* room for a key in plain */
    bool drops_value;
};

/* Fills in what becomes of a request that is no retrieval with several keys. */
void server_binary_ask(const struct request *request, struct ask *ask_out);
/* A time as it stands on a line, for the wire. false: no server would take it. */
bool server_binary_time(int64_t seconds, uint32_t *time_out);

/* The first record; NULL: nothing is asked. */
struct asked *server_binary_first(const struct server_binary *binary);
void server_binary_pop(struct server_binary *binary);

#endif
