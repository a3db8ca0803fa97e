/*
 * Owns the way from the server: each packet is held against what was asked, and said in text.
 *
 *      HEAD -> VALUE -> TAIL -> HEAD          VALUE k f n, the value, CRLF and, where no more can come, END
 *      HEAD                                   all other replies: one line
 *
 *      status          set ...      cas          delete touch incr    mg    ms md ma
 *      success         STORED       STORED       DELETED TOUCHED 7    VA    HD, of ma VA
 *      not found       NOT_STORED   NOT_FOUND    NOT_FOUND            EN    NF; of ms without CAS number NS
 *      exists          (add) NOT_STORED   EXISTS                            EX; of ms in mode add NS
 *      not stored      NOT_STORED                                           NS
 *      others          SERVER_ERROR, CLIENT_ERROR
 *
 * wire/binary_reply.c has the other direction; tests/wire/test_server_binary.c holds both against each other.
 */
#include "wire/server_binary_internal.h"

#include "base/text.h"
#include "wire/parse.h"
#include "wire/token.h"

#include <string.h>

#define MAGIC_REPLY ((char)0x81)
/* Of replies that are said in one line. */
#define BODY_MAX 3500
#define COMPLAINT_MAX 256

struct reply {
    uint8_t opcode, extras;
    uint16_t status;
    size_t key;
    uint64_t body; /* all three */
    uint32_t opaque;
    uint64_t cas;
    const char *data; /* behind the header */
};

static enum server_binary_status wrong(struct server_binary *binary, const char *problem)
{
    binary->problem = problem;
    return SERVER_BINARY_WRONG;
}

static struct reply read_header(const char *data)
{
    return (struct reply){
        .opcode = (uint8_t)data[1],
        .key = (size_t)big_endian_read(data + 2, 2),
        .extras = (uint8_t)data[4],
        .status = (uint16_t)big_endian_read(data + 6, 2),
        .body = big_endian_read(data + 8, 4),
        .opaque = (uint32_t)big_endian_read(data + 12, 4),
        .cas = big_endian_read(data + 16, 8),
        .data = data + BINARY_HEADER_BYTES,
    };
}

static bool is_quiet(uint8_t opcode)
{
    return opcode == OPCODE_GETKQ || opcode == OPCODE_GATKQ;
}

/* Whether a value follows the head of its success. */
static bool fetches(uint8_t opcode)
{
    return opcode == OPCODE_GET || opcode == OPCODE_GETK || opcode == OPCODE_GAT || opcode == OPCODE_GATK ||
           is_quiet(opcode);
}

static bool names_key(uint8_t opcode)
{
    return opcode == OPCODE_GETK || opcode == OPCODE_GATK || is_quiet(opcode);
}

/* NULL: it is the answer to `asked`, of its packet *index_out. Else what it is. */
static const char *misfit(const struct asked *asked, const struct reply *reply, uint32_t *index_out)
{
    if (asked == NULL)
        return "a reply that nobody asked for";
    uint32_t index = reply->opaque - asked->opaque, due = asked->next - asked->opaque;
    *index_out = index;
    if (index >= asked->packets || index < due || (index > due && !is_quiet(asked->opcode)))
        return "a reply out of its order";
    if (reply->opcode != (index + 1 == asked->packets ? asked->last_opcode : asked->opcode))
        return "a reply that does not belong to its request";
    return NULL;
}

/* ---- Complaints ---- */

/* Of most statuses the server's own words are told. */
static struct slice own_words(enum verb verb, uint16_t status)
{
    bool stores = verb == VERB_MS || (verb >= VERB_SET && verb <= VERB_CAS);
    switch (status) {
    case BINARY_STATUS_TOO_LARGE:
        return SLICE_OF("SERVER_ERROR object too large for cache");
    case BINARY_STATUS_NOT_A_NUMBER:
        return SLICE_OF("CLIENT_ERROR cannot increment or decrement non-numeric value");
    case BINARY_STATUS_NO_MEMORY:
        return stores ? SLICE_OF("SERVER_ERROR out of memory storing object") : SLICE_OF("SERVER_ERROR out of memory");
    case BINARY_STATUS_DENIED:
        return verb == VERB_FLUSH_ALL ? SLICE_OF("CLIENT_ERROR flush_all not allowed") : slice_make(NULL, 0);
    default:
        return slice_make(NULL, 0);
    }
}

static bool blames_client(uint16_t status)
{
    return status == BINARY_STATUS_INVALID || status == BINARY_STATUS_DENIED || status == BINARY_STATUS_UNKNOWN;
}

/* Text of a server's, on one line. */
static void put_clean(struct line *line, const char *data, size_t len)
{
    for (size_t i = 0; i < len && i < COMPLAINT_MAX; i++) {
        char c = data[i];
        line->buffer[line->used++] = (unsigned char)c < ' ' || c == 0x7f ? '?' : c;
    }
}

static void put_complaint(struct line *line, enum verb verb, uint16_t status, struct slice text)
{
    struct slice words = own_words(verb, status);
    if (words.len > 0) {
        line_put(line, words);
    } else {
        line_put(line, blames_client(status) ? SLICE_OF("CLIENT_ERROR ") : SLICE_OF("SERVER_ERROR "));
        if (text.len > 0)
            put_clean(line, text.data, text.len);
        else
            line_put_number(line, SLICE_OF("status "), status);
    }
    line_put(line, SLICE_OF("\r\n"));
}

/* ---- Meta lines ---- */

/* What the flags ask to be told, in their order; flags: of the item, NULL where none are known. */
static void put_flags(struct line *line, struct asked *asked, const struct reply *reply, const uint32_t *flags,
                      uint64_t size)
{
    struct slice rest = slice_make(asked_text(asked), asked->text_len), key, token;
    bool encoded = false;
    (void)token_next(&rest, &key);
    if (asked->verb == VERB_MS)
        (void)token_next(&rest, &token);
    for (struct slice look = rest; token_next(&look, &token);)
        encoded |= token.data[0] == 'b';
    while (token_next(&rest, &token)) {
        char letter = token.data[0];
        if (letter == 'O') {
            line_put(line, SLICE_OF(" "));
            line_put(line, token);
        } else if (letter == 'k') {
            line_put(line, SLICE_OF(" k"));
            line_put(line, key);
            line_put(line, encoded ? SLICE_OF(" b") : SLICE_OF(""));
        } else if (letter == 'f' && flags != NULL) {
            line_put_number(line, SLICE_OF(" f"), *flags);
        } else if (letter == 's' && flags != NULL) {
            line_put_number(line, SLICE_OF(" s"), size);
        } else if (letter == 'c' && (asked->verb == VERB_MS || (asked->verb != VERB_MD && reply->status == 0))) {
            line_put_number(line, SLICE_OF(" c"), reply->cas);
        }
    }
}

static void put_meta(struct line *line, struct asked *asked, const struct reply *reply, struct slice word)
{
    line_put(line, word);
    put_flags(line, asked, reply, NULL, 0);
    line_put(line, SLICE_OF("\r\n"));
}

/* ---- Replies without a value ---- */

/* The word of a status that is no complaint; empty: it is one. */
static struct slice word_of(const struct asked *asked, uint16_t status)
{
    enum verb verb = (enum verb)asked->verb;
    bool adds = asked->last_opcode == OPCODE_ADD;
    bool known =
        status == BINARY_STATUS_NOT_FOUND || status == BINARY_STATUS_EXISTS || status == BINARY_STATUS_NOT_STORED;
    if (!known || asked->is_login)
        return slice_make(NULL, 0);
    switch (verb) {
    case VERB_MG:
        return status == BINARY_STATUS_NOT_FOUND ? SLICE_OF("EN") : slice_make(NULL, 0);
    case VERB_MS:
        if (status == BINARY_STATUS_EXISTS && !adds)
            return SLICE_OF("EX");
        return status == BINARY_STATUS_NOT_FOUND && asked->has_cas ? SLICE_OF("NF") : SLICE_OF("NS");
    case VERB_MD:
    case VERB_MA:
        return status == BINARY_STATUS_NOT_FOUND ? SLICE_OF("NF")
               : status == BINARY_STATUS_EXISTS  ? SLICE_OF("EX")
                                                 : SLICE_OF("NS");
    case VERB_DELETE:
    case VERB_TOUCH:
    case VERB_INCR:
    case VERB_DECR:
        return status == BINARY_STATUS_NOT_FOUND ? SLICE_OF("NOT_FOUND") : slice_make(NULL, 0);
    case VERB_STATS:
        return status == BINARY_STATUS_NOT_FOUND ? SLICE_OF("ERROR") : slice_make(NULL, 0);
    default:
        if (asked->has_cas && status != BINARY_STATUS_NOT_STORED)
            return status == BINARY_STATUS_EXISTS ? SLICE_OF("EXISTS") : SLICE_OF("NOT_FOUND");
        return SLICE_OF("NOT_STORED");
    }
}

static struct slice word_of_success(const struct asked *asked)
{
    switch (asked->verb) {
    case VERB_DELETE:
        return SLICE_OF("DELETED");
    case VERB_TOUCH:
        return SLICE_OF("TOUCHED");
    case VERB_FLUSH_ALL:
        return SLICE_OF("OK");
    case VERB_MG:
    case VERB_MS:
    case VERB_MD:
        return SLICE_OF("HD");
    default:
        return SLICE_OF("STORED");
    }
}

/* INCREMENT and DECREMENT: a number of 8 bytes. */
static void say_number(struct line *line, struct asked *asked, const struct reply *reply)
{
    char digits[TEXT_U64_DIGITS];
    struct slice number = slice_make(digits, text_print_u64(big_endian_read(reply->data, 8), digits));
    if (asked->verb == VERB_MA && !asked->wants_value) {
        put_meta(line, asked, reply, SLICE_OF("HD"));
        return;
    }
    if (asked->verb == VERB_MA) {
        line_put_number(line, SLICE_OF("VA "), number.len);
        put_meta(line, asked, reply, SLICE_OF(""));
    }
    line_put(line, number);
    line_put(line, SLICE_OF("\r\n"));
}

/* TOUCH in place of an mg without its value. */
static void say_touched(struct line *line, struct asked *asked, const struct reply *reply)
{
    uint32_t flags = reply->extras == 4 ? (uint32_t)big_endian_read(reply->data, 4) : 0;
    line_put(line, SLICE_OF("HD"));
    put_flags(line, asked, reply, &flags, 0);
    line_put(line, SLICE_OF("\r\n"));
}

/* Whether this is what the body of such a success can be. */
static bool body_fits(const struct asked *asked, const struct reply *reply)
{
    switch (reply->opcode) {
    case OPCODE_INCREMENT:
    case OPCODE_DECREMENT:
        return reply->extras == 0 && reply->key == 0 && reply->body == 8;
    case OPCODE_TOUCH:
        return reply->key == 0 && reply->body == reply->extras && (reply->extras == 0 || reply->extras == 4);
    case OPCODE_VERSION:
        return reply->extras == 0 && reply->key == 0 && reply->body <= COMPLAINT_MAX;
    case OPCODE_STAT:
        return reply->extras == 0 && (reply->key > 0 || reply->body == 0);
    default:
        return asked->is_login || reply->body == 0;
    }
}

static bool is_clean(const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\r' || data[i] == '\n' || data[i] == '\0')
            return false;
    }
    return true;
}

/* Whether the request is answered with it. */
static bool say_stat(struct line *line, struct asked *asked, const struct reply *reply)
{
    if (reply->key == 0) {
        line_put(line, slice_make(asked_text(asked), asked->text_len));
        return true;
    }
    line_put(line, SLICE_OF("STAT "));
    line_put(line, slice_make(reply->data, reply->key));
    line_put(line, SLICE_OF(" "));
    line_put(line, slice_make(reply->data + reply->key, (size_t)reply->body - reply->key));
    line_put(line, SLICE_OF("\r\n"));
    return false;
}

static void say_success(struct line *line, struct asked *asked, const struct reply *reply)
{
    enum verb verb = (enum verb)asked->verb;
    if (reply->opcode == OPCODE_INCREMENT || reply->opcode == OPCODE_DECREMENT) {
        say_number(line, asked, reply);
    } else if (reply->opcode == OPCODE_VERSION) {
        line_put(line, SLICE_OF("VERSION "));
        put_clean(line, reply->data, (size_t)reply->body);
        line_put(line, SLICE_OF("\r\n"));
    } else if (asked->speaks) {
        line_put(line, slice_make(asked_text(asked), asked->text_len));
    } else if (verb == VERB_MG) {
        say_touched(line, asked, reply);
    } else if (verb_is_meta(verb)) {
        put_meta(line, asked, reply, word_of_success(asked));
    } else {
        line_put(line, word_of_success(asked));
        line_put(line, SLICE_OF("\r\n"));
    }
}

/* The NOOP behind several keys. */
static void say_end(struct line *line, const struct asked *asked)
{
    if (asked->status != 0)
        put_complaint(line, (enum verb)asked->verb, asked->status, slice_make(NULL, 0));
    else
        line_put(line, SLICE_OF("END\r\n"));
}

static struct slice complaint_of(const struct reply *reply)
{
    size_t head = reply->extras + reply->key;
    return slice_make(reply->data + head, (size_t)reply->body - head);
}

/* Says what a status other than success is. false: the connection is not to be gone on with. */
static bool say_failure(struct server_binary *binary, struct line *line, struct asked *asked, const struct reply *reply)
{
    enum verb verb = (enum verb)asked->verb;
    if (asked->is_login && reply->status == BINARY_STATUS_UNKNOWN) {
        line_put(line, SLICE_OF("STORED\r\n")); /* it knows no SASL, and wants none */
        return true;
    }
    if (reply->status == BINARY_STATUS_DENIED && !asked->is_login && verb != VERB_FLUSH_ALL && verb != VERB_VERSION) {
        binary->problem = "a demand for a login";
        return false;
    }
    struct slice word = word_of(asked, reply->status);
    if (verb_is_retrieval(verb) && reply->status == BINARY_STATUS_NOT_FOUND) {
        line_put(line, SLICE_OF("END\r\n"));
    } else if (word.len == 0) {
        put_complaint(line, verb, reply->status, complaint_of(reply));
    } else if (verb_is_meta(verb)) {
        put_meta(line, asked, reply, word);
    } else {
        line_put(line, word);
        line_put(line, SLICE_OF("\r\n"));
    }
    return true;
}

/* ---- Packets ---- */

/* A quiet packet's answer, though it is no value: what is told of it comes with the NOOP. */
static void note_quiet(struct asked *asked, const struct reply *reply)
{
    if (reply->status != BINARY_STATUS_NOT_FOUND && asked->status == 0)
        asked->status = reply->status;
}

static enum server_binary_status give_whole(struct server_binary *binary, struct asked *asked, uint32_t index,
                                            const struct reply *reply, char *buffer, struct server_binary_piece *piece)
{
    struct line line = {buffer, 0};
    bool is_last = index + 1 == asked->packets, ends = is_last;
    if (reply->status == 0 && !body_fits(asked, reply))
        return wrong(binary, "a reply that does not fit its request");
    if (reply->opcode == OPCODE_STAT && reply->status == 0 && !is_clean(reply->data, (size_t)reply->body))
        return wrong(binary, "a statistic of several lines");
    if (is_quiet(reply->opcode)) {
        if (reply->status == BINARY_STATUS_DENIED)
            return wrong(binary, "a demand for a login");
        note_quiet(asked, reply);
    } else if (reply->status != 0) {
        if (!say_failure(binary, &line, asked, reply))
            return SERVER_BINARY_WRONG;
        ends = true;
    } else if (reply->opcode == OPCODE_STAT) {
        ends = say_stat(&line, asked, reply);
    } else if (verb_is_retrieval((enum verb)asked->verb)) {
        say_end(&line, asked);
    } else if (is_last) {
        say_success(&line, asked, reply);
    }
    if (reply->opcode != OPCODE_STAT)
        asked->next = reply->opaque + 1;
    piece->consumed = BINARY_HEADER_BYTES + (size_t)reply->body;
    piece->printed = line.used;
    if (ends)
        server_binary_pop(binary);
    return SERVER_BINARY_TAKEN;
}

static void say_value(struct line *line, struct asked *asked, const struct reply *reply, uint64_t size)
{
    uint32_t flags = (uint32_t)big_endian_read(reply->data, 4);
    bool has_unique = asked->verb == VERB_GETS || asked->verb == VERB_GATS;
    if (asked->verb == VERB_MG && asked->wants_value) {
        line_put_number(line, SLICE_OF("VA "), size);
        put_flags(line, asked, reply, &flags, size);
    } else if (asked->verb == VERB_MG) {
        line_put(line, SLICE_OF("HD"));
        put_flags(line, asked, reply, &flags, size);
    } else {
        line_put(line, SLICE_OF("VALUE "));
        line_put(line, slice_make(reply->data + 4, reply->key));
        line_put_number(line, SLICE_OF(" "), flags);
        line_put_number(line, SLICE_OF(" "), size);
    }
    if (has_unique)
        line_put_number(line, SLICE_OF(" "), reply->cas);
    line_put(line, SLICE_OF("\r\n"));
}

/* The head of a value: its key and extras are there. */
static enum server_binary_status give_head(struct server_binary *binary, struct asked *asked, uint32_t index,
                                           const struct reply *reply, char *buffer, struct server_binary_piece *piece)
{
    struct line line = {buffer, 0};
    uint64_t size = reply->body - reply->extras - reply->key;
    bool is_last = index + 1 == asked->packets;
    if (names_key(reply->opcode) ? !parse_key_is_valid(slice_make(reply->data + 4, reply->key)) : reply->key != 0)
        return wrong(binary, "a value without its key");
    say_value(&line, asked, reply, size);
    asked->next = reply->opaque + 1;
    piece->consumed = BINARY_HEADER_BYTES + 4 + reply->key;
    piece->printed = line.used;
    binary->value_left = size;
    binary->drops_value = asked->verb == VERB_MG && !asked->wants_value;
    binary->tail = verb_is_retrieval((enum verb)asked->verb) && is_last ? SLICE_OF("\r\nEND\r\n") : SLICE_OF("\r\n");
    if (binary->drops_value)
        binary->tail = SLICE_OF("");
    binary->hearing = size > 0 ? HEARING_VALUE : HEARING_TAIL;
    if (is_last)
        server_binary_pop(binary);
    return SERVER_BINARY_TAKEN;
}

static enum server_binary_status give_packet(struct server_binary *binary, const char *data, size_t len, char *buffer,
                                             struct server_binary_piece *piece)
{
    uint32_t index = 0;
    if (len > 0 && data[0] != MAGIC_REPLY)
        return wrong(binary, "bytes that are no binary reply");
    if (len < BINARY_HEADER_BYTES)
        return SERVER_BINARY_MORE;
    struct asked *asked = server_binary_first(binary);
    struct reply reply = read_header(data);
    const char *misfits = misfit(asked, &reply, &index);
    if (misfits != NULL)
        return wrong(binary, misfits);
    if (data[5] != 0 || reply.extras + reply.key > reply.body)
        return wrong(binary, "a reply whose lengths cannot be");
    bool has_value = reply.status == 0 && fetches(reply.opcode);
    if (has_value && (reply.extras != 4 || reply.key > KEY_LEN_MAX || reply.body - 4 - reply.key > REPLY_VALUE_MAX))
        return wrong(binary, "a reply whose lengths cannot be");
    if (!has_value && reply.body > BODY_MAX)
        return wrong(binary, "a reply that is too long");
    if (len < BINARY_HEADER_BYTES + (has_value ? 4 + reply.key : (size_t)reply.body))
        return SERVER_BINARY_MORE;
    return has_value ? give_head(binary, asked, index, &reply, buffer, piece)
                     : give_whole(binary, asked, index, &reply, buffer, piece);
}

void server_binary_passed(struct server_binary *binary, uint64_t bytes)
{
    binary->value_left -= bytes;
    if (binary->value_left == 0)
        binary->hearing = HEARING_TAIL;
}

enum server_binary_status server_binary_give(struct server_binary *binary, const char *data, size_t len, char *buffer,
                                             struct server_binary_piece *piece_out)
{
    *piece_out = (struct server_binary_piece){0};
    if (binary->hearing == HEARING_HEAD)
        return give_packet(binary, data, len, buffer, piece_out);
    if (binary->hearing == HEARING_TAIL) {
        struct line line = {buffer, 0};
        line_put(&line, binary->tail);
        piece_out->printed = line.used;
        binary->hearing = HEARING_HEAD;
        return SERVER_BINARY_TAKEN;
    }
    if (len == 0)
        return SERVER_BINARY_MORE;
    piece_out->consumed = len < binary->value_left ? len : (size_t)binary->value_left;
    if (!binary->drops_value)
        piece_out->pass = slice_make(data, piece_out->consumed);
    server_binary_passed(binary, piece_out->consumed);
    return SERVER_BINARY_TAKEN;
}
