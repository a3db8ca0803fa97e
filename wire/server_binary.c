/*
 * Owns the way to the server: lines become packets, data blocks lose their CRLF, and what was asked is kept in order.
 *
 *      LINE -> (storage) VALUE -> LINE        a value's last byte leaves when its CRLF has been seen
 *           -> (refused) NOTHING -> LINE      the data block is passed over
 *           -> (several keys) KEYS -> LINE    a packet a key, then NOOP
 *
 *      asked:  | gone | record, text | record, text | room |
 *                     asked_start                   asked_end
 */
#include "wire/server_binary_internal.h"

#include "wire/parse.h"
#include "wire/scan.h"
#include "wire/traits.h"

#include <stdlib.h>
#include <string.h>

#define ASKED_ROOM_MIN ((size_t)1024)
#define ASKED_ALIGN ((size_t)8)

void server_binary_init(struct server_binary *binary, bool logs_in)
{
    *binary = (struct server_binary){.logs_in = logs_in};
}

void server_binary_fini(struct server_binary *binary)
{
    free(binary->asked);
    binary->asked = NULL;
}

static enum server_binary_status wrong(struct server_binary *binary, const char *problem)
{
    binary->problem = problem;
    return SERVER_BINARY_WRONG;
}

/* ---- What is asked ---- */

struct asked *server_binary_first(const struct server_binary *binary)
{
    if (binary->asked_start == binary->asked_end)
        return NULL;
    return (struct asked *)(void *)(binary->asked + binary->asked_start);
}

void server_binary_pop(struct server_binary *binary)
{
    binary->asked_start += server_binary_first(binary)->size;
    if (binary->asked_start == binary->asked_end)
        binary->asked_start = binary->asked_end = 0;
}

/* Room for a record of that size behind the others. false: memory is out. */
static bool make_room(struct server_binary *binary, size_t size)
{
    size_t used = binary->asked_end - binary->asked_start, wanted = binary->asked_room;
    if (binary->asked_end + size <= binary->asked_room)
        return true;
    if (wanted < ASKED_ROOM_MIN)
        wanted = ASKED_ROOM_MIN;
    while (wanted < 2 * used + size)
        wanted *= 2;
    char *asked = wanted > binary->asked_room ? malloc(wanted) : binary->asked;
    if (asked == NULL)
        return false;
    if (used > 0)
        memmove(asked, binary->asked + binary->asked_start, used);
    if (asked != binary->asked)
        free(binary->asked);
    binary->asked = asked;
    binary->asked_room = wanted;
    binary->asked_start = 0;
    binary->asked_end = used;
    return true;
}

static bool push(struct server_binary *binary, const struct asked *asked, struct slice text)
{
    size_t size = (sizeof *asked + text.len + ASKED_ALIGN - 1) / ASKED_ALIGN * ASKED_ALIGN;
    if (!make_room(binary, size))
        return false;
    struct asked *record = (struct asked *)(void *)(binary->asked + binary->asked_end);
    *record = *asked;
    record->size = (uint32_t)size;
    record->opaque = record->next = binary->opaque;
    record->text_len = (uint32_t)text.len;
    if (text.len > 0)
        memcpy(asked_text(record), text.data, text.len);
    binary->asked_end += size;
    return true;
}

/* ---- Packets ---- */

static uint64_t packet_bytes(const struct packet *packet)
{
    return BINARY_HEADER_BYTES + packet->extras_len + packet->key.len + packet->value_bytes;
}

/* All but the value. */
static size_t print_packet(struct server_binary *binary, const struct packet *packet, char *at)
{
    memset(at, 0, BINARY_HEADER_BYTES);
    at[0] = BINARY_MAGIC;
    at[1] = (char)packet->opcode;
    big_endian_write(at + 2, 2, packet->key.len);
    at[4] = (char)packet->extras_len;
    big_endian_write(at + 8, 4, packet_bytes(packet) - BINARY_HEADER_BYTES);
    big_endian_write(at + 12, 4, binary->opaque++);
    big_endian_write(at + 16, 8, packet->cas);
    memcpy(at + BINARY_HEADER_BYTES, packet->extras, packet->extras_len);
    if (packet->key.len > 0)
        memcpy(at + BINARY_HEADER_BYTES + packet->extras_len, packet->key.data, packet->key.len);
    return BINARY_HEADER_BYTES + packet->extras_len + packet->key.len;
}

/* ---- A line with several keys ---- */

/* false: the time on the line is one that no server takes. */
static bool read_expiry(struct server_binary *binary, const struct request *request)
{
    struct request_traits traits;
    request_traits(request, &traits);
    return server_binary_time(traits.has_expiry ? traits.expiry : 0, &binary->key_expiry);
}

static enum server_binary_status begin_keys(struct server_binary *binary, const struct request *request,
                                            const char *data, struct server_binary_piece *piece)
{
    bool touches = request->verb == VERB_GAT || request->verb == VERB_GATS;
    struct asked asked = {
        .verb = (uint8_t)request->verb,
        .packets = request->key_count + 1,
        .opcode = touches ? OPCODE_GATKQ : OPCODE_GETKQ,
        .last_opcode = OPCODE_NOOP,
    };
    if (!push(binary, &asked, slice_make(NULL, 0)))
        return wrong(binary, "out of memory");
    binary->saying = SAYING_KEYS;
    binary->keys_left = request->key_count;
    binary->key_opcode = asked.opcode;
    binary->key_has_expiry = touches;
    piece->consumed = (size_t)(request->keys.data - data);
    return SERVER_BINARY_TAKEN;
}

/* Behind the last key: the line's end, for which NOOP stands. */
static enum server_binary_status end_keys(struct server_binary *binary, const char *data, size_t len, uint64_t room,
                                          char *buffer, struct server_binary_piece *piece)
{
    const struct packet noop = {.opcode = OPCODE_NOOP};
    const char *newline = memchr(data, '\n', len);
    if (newline == NULL)
        return SERVER_BINARY_MORE;
    if (packet_bytes(&noop) > room)
        return SERVER_BINARY_FULL;
    piece->consumed = (size_t)(newline - data) + 1;
    piece->packet_bytes = packet_bytes(&noop);
    piece->printed = print_packet(binary, &noop, buffer);
    piece->ends = true;
    binary->saying = SAYING_LINE;
    return SERVER_BINARY_TAKEN;
}

static enum server_binary_status take_key(struct server_binary *binary, const char *data, size_t len, uint64_t room,
                                          char *buffer, struct server_binary_piece *piece)
{
    const char *at = data, *end = data + len;
    if (binary->keys_left == 0)
        return end_keys(binary, data, len, room, buffer, piece);
    while (at < end && *at == ' ')
        at++;
    struct packet packet = {.opcode = binary->key_opcode};
    packet.key = slice_make(at, (size_t)(scan_key(at, end) - at));
    if (at + packet.key.len == end)
        return SERVER_BINARY_MORE;
    if (packet.key.len == 0 || packet.key.len > KEY_LEN_MAX)
        return wrong(binary, "a key that is none");
    if (binary->key_has_expiry) {
        packet.extras_len = 4;
        big_endian_write(packet.extras, 4, binary->key_expiry);
    }
    if (packet_bytes(&packet) > room)
        return SERVER_BINARY_FULL;
    piece->consumed = (size_t)(at - data) + packet.key.len;
    piece->packet_bytes = packet_bytes(&packet);
    piece->printed = print_packet(binary, &packet, buffer);
    piece->ends = true;
    binary->keys_left--;
    return SERVER_BINARY_TAKEN;
}

/* ---- Logins ---- */

/* The data block, USER PASSWORD, becomes NUL USER NUL PASSWORD: user names have no blank. */
static enum server_binary_status take_login(struct server_binary *binary, const struct request *request,
                                            const char *data, size_t len, char *buffer,
                                            struct server_binary_piece *piece)
{
    struct ask ask = {.asked = {.verb = VERB_SET, .packets = 1, .last_opcode = OPCODE_SASL_AUTH, .is_login = true}};
    struct packet packet = {.opcode = OPCODE_SASL_AUTH, .key = SLICE_OF("PLAIN")};
    size_t value = (size_t)request->value_bytes, total = request->line_bytes + value + 2;
    if (!request->has_value || request->value_bytes > SERVER_BINARY_PACKET_MAX / 2)
        return wrong(binary, "a login that is none");
    if (len < total)
        return SERVER_BINARY_MORE;
    const char *body = data + request->line_bytes;
    const char *blank = memchr(body, ' ', value);
    if (blank == NULL)
        return wrong(binary, "a login that is none");
    if (!push(binary, &ask.asked, slice_make(NULL, 0)))
        return wrong(binary, "out of memory");
    packet.value_bytes = value + 1;
    size_t printed = print_packet(binary, &packet, buffer);
    buffer[printed] = '\0';
    memcpy(buffer + printed + 1, body, value);
    buffer[printed + 1 + (size_t)(blank - body)] = '\0';
    binary->logs_in = false;
    *piece = (struct server_binary_piece){.consumed = total, .printed = printed + 1 + value, .ends = true};
    piece->packet_bytes = piece->printed;
    piece->is_secret = true;
    return SERVER_BINARY_TAKEN;
}

/* ---- Lines ---- */

static enum server_binary_status begin_request(struct server_binary *binary, const struct request *request,
                                               uint64_t room, char *buffer, struct server_binary_piece *piece)
{
    struct ask ask;
    server_binary_ask(request, &ask);
    uint32_t count = ask.asked.packets;
    piece->packet_bytes = packet_bytes(&ask.packets[0]) + (count > 1 ? packet_bytes(&ask.packets[1]) : 0);
    if (piece->packet_bytes > room)
        return SERVER_BINARY_FULL;
    if (!push(binary, &ask.asked, ask.text))
        return wrong(binary, "out of memory");
    for (uint32_t i = 0; i < count; i++)
        piece->printed += print_packet(binary, &ask.packets[i], buffer + piece->printed);
    piece->consumed = request->line_bytes;
    piece->ends = !request->has_value || ask.drops_value;
    if (request->has_value) {
        binary->saying = ask.drops_value ? SAYING_NOTHING : SAYING_VALUE;
        binary->body_left = request->value_bytes + 2;
        binary->has_kept = false;
    }
    return SERVER_BINARY_TAKEN;
}

static enum server_binary_status take_line(struct server_binary *binary, const char *data, size_t len, uint64_t room,
                                           char *buffer, struct server_binary_piece *piece)
{
    struct request request;
    const char *newline = memchr(data, '\n', len);
    if (newline == NULL)
        return SERVER_BINARY_MORE;
    size_t line_len = (size_t)(newline - data) + 1;
    if (request_parse(data, line_len, UINT64_MAX, &request) != REQUEST_READY || request.line_bytes != line_len)
        return wrong(binary, "a request that cannot be said in binary");
    if (binary->logs_in)
        return take_login(binary, &request, data, len, buffer, piece);
    if (request.key_count > 1 && read_expiry(binary, &request))
        return begin_keys(binary, &request, data, piece);
    return begin_request(binary, &request, room, buffer, piece);
}

/* ---- Data blocks ---- */

static enum server_binary_status bad_end(struct server_binary *binary)
{
    return wrong(binary, "a data block without its end");
}

static void end_value(struct server_binary *binary, struct server_binary_piece *piece)
{
    binary->saying = SAYING_LINE;
    piece->ends = true;
}

/* One of the last three bytes: of the value, CR, LF. */
static enum server_binary_status take_end(struct server_binary *binary, char byte, char *buffer,
                                          struct server_binary_piece *piece)
{
    if ((binary->body_left == 2 && byte != '\r') || (binary->body_left == 1 && byte != '\n'))
        return bad_end(binary);
    if (binary->body_left == 3) {
        binary->kept = byte;
        binary->has_kept = true;
    }
    piece->consumed = 1;
    if (--binary->body_left > 0)
        return SERVER_BINARY_TAKEN;
    buffer[0] = binary->kept;
    piece->printed = binary->has_kept;
    end_value(binary, piece);
    return SERVER_BINARY_TAKEN;
}

static enum server_binary_status take_value(struct server_binary *binary, const char *data, size_t len, char *buffer,
                                            struct server_binary_piece *piece)
{
    if (len >= binary->body_left && !binary->has_kept && binary->body_left >= 2) {
        size_t value = (size_t)binary->body_left - 2;
        if (memcmp(data + value, "\r\n", 2) != 0)
            return bad_end(binary);
        *piece = (struct server_binary_piece){.consumed = value + 2, .pass = slice_make(data, value)};
        end_value(binary, piece);
        return SERVER_BINARY_TAKEN;
    }
    if (len == 0)
        return SERVER_BINARY_MORE;
    if (binary->body_left <= 3)
        return take_end(binary, data[0], buffer, piece);
    size_t value = len < binary->body_left - 3 ? len : (size_t)binary->body_left - 3;
    *piece = (struct server_binary_piece){.consumed = value, .pass = slice_make(data, value)};
    binary->body_left -= value;
    return SERVER_BINARY_TAKEN;
}

static enum server_binary_status pass_over(struct server_binary *binary, size_t len, struct server_binary_piece *piece)
{
    if (len == 0)
        return SERVER_BINARY_MORE;
    piece->consumed = len < binary->body_left ? len : (size_t)binary->body_left;
    binary->body_left -= piece->consumed;
    if (binary->body_left == 0)
        binary->saying = SAYING_LINE;
    return SERVER_BINARY_TAKEN;
}

enum server_binary_status server_binary_take(struct server_binary *binary, const char *data, size_t len, uint64_t room,
                                             char *buffer, struct server_binary_piece *piece_out)
{
    *piece_out = (struct server_binary_piece){0};
    switch (binary->saying) {
    case SAYING_KEYS:
        return take_key(binary, data, len, room, buffer, piece_out);
    case SAYING_VALUE:
        return take_value(binary, data, len, buffer, piece_out);
    case SAYING_NOTHING:
        return pass_over(binary, len, piece_out);
    default:
        return take_line(binary, data, len, room, buffer, piece_out);
    }
}
