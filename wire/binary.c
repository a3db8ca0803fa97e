/*
 * Owns the binary requests as they come: header, extras, key; what lengths an opcode may have. See the picture in binary.h.
 *
 * A row of the table says all that is to know of an opcode. Its shape is the lengths that memcached 1.6.18 lets through
 * (proto_bin.c: dispatch_bin_command); with others it answers "Invalid arguments" and closes. Where it does not look at
 * what follows the key (touch, gat, stat), that is taken for the next request, here as there.
 *
 * Two places differ on purpose. The body of an unknown opcode is dropped as long as it is: memcached drops as many bytes
 * behind extras and key as they have, and falls out of step. And verbosity, which memcached 1.6 no longer knows, succeeds.
 */
#include "wire/binary.h"
#include "wire/binary_text.h"

#include "wire/parse.h"

enum shape {
    SHAPE_ANY,
    SHAPE_EMPTY, /* nothing but the header */
    SHAPE_KEY,   /* a key */
    SHAPE_TIME,  /* 4 bytes of extras, a key; anything behind it */
    SHAPE_STORE, /* 8 bytes of extras, a key, a value */
    SHAPE_JOIN,  /* a key, a value */
    SHAPE_COUNT, /* 20 bytes of extras, a key */
    SHAPE_STAT,  /* perhaps a key; anything behind it */
    SHAPE_FLUSH, /* perhaps 4 bytes of extras */
    SHAPE_LEVEL, /* 4 bytes of extras */
    SHAPE_SASL,  /* a key, a value */
};

struct opcode {
    uint8_t action; /* enum binary_action */
    uint8_t verb;   /* enum verb */
    uint8_t shape;
    bool quiet;
    bool names_key; /* in its reply */
};

#define LOUD false, false
#define QUIET true, false
#define LOUD_KEY false, true
#define QUIET_KEY true, true
#define NO_VERB VERB_COUNT

static const struct opcode opcodes[256] = {
    [0x00] = {BINARY_GET, VERB_GET, SHAPE_KEY, LOUD},
    [0x01] = {BINARY_SET, VERB_SET, SHAPE_STORE, LOUD},
    [0x02] = {BINARY_ADD, VERB_ADD, SHAPE_STORE, LOUD},
    [0x03] = {BINARY_REPLACE, VERB_REPLACE, SHAPE_STORE, LOUD},
    [0x04] = {BINARY_DELETE, VERB_DELETE, SHAPE_KEY, LOUD},
    [0x05] = {BINARY_INCREMENT, VERB_INCR, SHAPE_COUNT, LOUD},
    [0x06] = {BINARY_DECREMENT, VERB_DECR, SHAPE_COUNT, LOUD},
    [0x07] = {BINARY_QUIT, NO_VERB, SHAPE_EMPTY, LOUD},
    [0x08] = {BINARY_FLUSH, VERB_FLUSH_ALL, SHAPE_FLUSH, LOUD},
    [0x09] = {BINARY_GET, VERB_GET, SHAPE_KEY, QUIET},
    [0x0a] = {BINARY_NOOP, NO_VERB, SHAPE_EMPTY, LOUD},
    [0x0b] = {BINARY_VERSION, VERB_VERSION, SHAPE_EMPTY, LOUD},
    [0x0c] = {BINARY_GET, VERB_GET, SHAPE_KEY, LOUD_KEY},
    [0x0d] = {BINARY_GET, VERB_GET, SHAPE_KEY, QUIET_KEY},
    [0x0e] = {BINARY_APPEND, VERB_APPEND, SHAPE_JOIN, LOUD},
    [0x0f] = {BINARY_PREPEND, VERB_PREPEND, SHAPE_JOIN, LOUD},
    [0x10] = {BINARY_STAT, VERB_STATS, SHAPE_STAT, LOUD},
    [0x11] = {BINARY_SET, VERB_SET, SHAPE_STORE, QUIET},
    [0x12] = {BINARY_ADD, VERB_ADD, SHAPE_STORE, QUIET},
    [0x13] = {BINARY_REPLACE, VERB_REPLACE, SHAPE_STORE, QUIET},
    [0x14] = {BINARY_DELETE, VERB_DELETE, SHAPE_KEY, QUIET},
    [0x15] = {BINARY_INCREMENT, VERB_INCR, SHAPE_COUNT, QUIET},
    [0x16] = {BINARY_DECREMENT, VERB_DECR, SHAPE_COUNT, QUIET},
    [0x17] = {BINARY_QUIT, NO_VERB, SHAPE_EMPTY, QUIET},
    [0x18] = {BINARY_FLUSH, VERB_FLUSH_ALL, SHAPE_FLUSH, QUIET},
    [0x19] = {BINARY_APPEND, VERB_APPEND, SHAPE_JOIN, QUIET},
    [0x1a] = {BINARY_PREPEND, VERB_PREPEND, SHAPE_JOIN, QUIET},
    [0x1b] = {BINARY_VERBOSITY, VERB_VERBOSITY, SHAPE_LEVEL, LOUD},
    [0x1c] = {BINARY_TOUCH, VERB_TOUCH, SHAPE_TIME, LOUD},
    [0x1d] = {BINARY_GET_TOUCH, VERB_GAT, SHAPE_TIME, LOUD},
    [0x1e] = {BINARY_GET_TOUCH, VERB_GAT, SHAPE_TIME, QUIET},
    [0x20] = {BINARY_SASL, NO_VERB, SHAPE_EMPTY, LOUD},
    [0x21] = {BINARY_SASL, NO_VERB, SHAPE_SASL, LOUD},
    [0x22] = {BINARY_SASL, NO_VERB, SHAPE_SASL, LOUD},
    [0x23] = {BINARY_GET_TOUCH, VERB_GAT, SHAPE_TIME, LOUD_KEY},
    [0x24] = {BINARY_GET_TOUCH, VERB_GAT, SHAPE_TIME, QUIET_KEY},
};

enum binary_action binary_action_of(uint8_t opcode)
{
    return (enum binary_action)opcodes[opcode].action;
}

bool binary_is_quiet(uint8_t opcode)
{
    return opcodes[opcode].quiet;
}

/* The lengths that a header tells. */
struct lengths {
    size_t extras, key;
    uint64_t body;
};

static bool fits(enum shape shape, const struct lengths *lengths)
{
    size_t extras = lengths->extras, key = lengths->key;
    bool bare = lengths->body == extras + key;
    switch (shape) {
    case SHAPE_EMPTY:
        return lengths->body == 0;
    case SHAPE_KEY:
        return extras == 0 && key > 0 && bare;
    case SHAPE_TIME:
        return extras == 4 && key > 0;
    case SHAPE_STORE:
        return extras == 8 && key > 0;
    case SHAPE_JOIN:
    case SHAPE_SASL:
        return extras == 0 && key > 0;
    case SHAPE_COUNT:
        return extras == 20 && key > 0 && bare;
    case SHAPE_STAT:
        return extras == 0;
    case SHAPE_FLUSH:
        return key == 0 && bare && (extras == 0 || extras == 4);
    case SHAPE_LEVEL:
        return key == 0 && bare && extras == 4;
    default:
        return true;
    }
}

static void read_extras(enum shape shape, const char *extras, size_t len, struct binary_request *binary)
{
    switch (shape) {
    case SHAPE_TIME:
        binary->expiry = (uint32_t)big_endian_read(extras, 4);
        binary->has_expiry = true;
        break;
    case SHAPE_STORE:
        binary->flags = (uint32_t)big_endian_read(extras, 4);
        binary->expiry = (uint32_t)big_endian_read(extras + 4, 4);
        break;
    case SHAPE_COUNT:
        binary->delta = big_endian_read(extras, 8);
        binary->initial = big_endian_read(extras + 8, 8);
        binary->expiry = (uint32_t)big_endian_read(extras + 16, 4);
        break;
    case SHAPE_FLUSH:
        binary->has_expiry = len == 4;
        if (binary->has_expiry)
            binary->expiry = (uint32_t)big_endian_read(extras, 4);
        break;
    default:
        break;
    }
}

static enum binary_parsed stop(struct binary_request *binary, enum binary_parsed how, enum binary_status status)
{
    binary->status = status;
    return how;
}

static bool has_value(enum shape shape)
{
    return shape == SHAPE_STORE || shape == SHAPE_JOIN || shape == SHAPE_SASL || shape == SHAPE_ANY;
}

static void read_header(const char *data, struct binary_request *binary, struct lengths *lengths)
{
    *binary = (struct binary_request){.asked = {.opcode = (uint8_t)data[1]}};
    memcpy(&binary->asked.opaque, data + 12, sizeof binary->asked.opaque);
    binary->cas = big_endian_read(data + 16, 8);
    lengths->key = (size_t)big_endian_read(data + 2, 2);
    lengths->extras = (unsigned char)data[4];
    lengths->body = big_endian_read(data + 8, 4);
    binary->head_bytes = BINARY_HEADER_BYTES + lengths->extras + lengths->key;
}

/* Header, extras and key are here, and are what the opcode may have. */
static enum binary_parsed read_rest(const char *data, const struct lengths *lengths, uint64_t item_size_max,
                                    struct binary_request *binary)
{
    const struct opcode *opcode = &opcodes[binary->asked.opcode];
    enum shape shape = (enum shape)opcode->shape;
    binary->action = (enum binary_action)opcode->action;
    binary->quiet = opcode->quiet;
    binary->verb = (enum verb)opcode->verb;
    if (shape == SHAPE_STORE && binary->cas != 0)
        binary->verb = VERB_CAS;
    binary->key = slice_make(data + BINARY_HEADER_BYTES + lengths->extras, lengths->key);
    if (opcode->names_key)
        binary->asked.key = binary->key;
    read_extras(shape, data + BINARY_HEADER_BYTES, lengths->extras, binary);
    binary->body_bytes = has_value(shape) ? (size_t)(lengths->body - lengths->extras - lengths->key) : 0;
    if (shape == SHAPE_ANY)
        return stop(binary, BINARY_REFUSED, BINARY_STATUS_UNKNOWN);
    if ((shape == SHAPE_STORE || shape == SHAPE_JOIN) &&
        (binary->body_bytes > item_size_max || binary->body_bytes > PARSE_VALUE_MAX))
        return stop(binary, BINARY_REFUSED, BINARY_STATUS_TOO_LARGE);
    return BINARY_READY;
}

enum binary_parsed binary_parse(const char *data, size_t len, uint64_t item_size_max, struct binary_request *binary_out)
{
    struct lengths lengths;
    if (len > 0 && data[0] != BINARY_MAGIC)
        return BINARY_FOREIGN;
    if (len < BINARY_HEADER_BYTES) {
        binary_out->head_bytes = BINARY_HEADER_BYTES;
        return BINARY_PARTIAL;
    }
    read_header(data, binary_out, &lengths);
    if (lengths.extras + lengths.key > lengths.body)
        return stop(binary_out, BINARY_FATAL, BINARY_STATUS_UNKNOWN);
    if (lengths.key > KEY_LEN_MAX || !fits((enum shape)opcodes[binary_out->asked.opcode].shape, &lengths))
        return stop(binary_out, BINARY_FATAL, BINARY_STATUS_INVALID);
    if (len < binary_out->head_bytes)
        return BINARY_PARTIAL;
    return read_rest(data, &lengths, item_size_max, binary_out);
}
