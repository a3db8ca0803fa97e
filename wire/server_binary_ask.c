/*
 * Owns what each request is in packets.
 *
 *      get k              GETK                     get k l m, gat     GETKQ GETKQ GETKQ NOOP (server_binary.c)
 *      set add replace    SET ADD REPLACE          append prepend     APPEND PREPEND
 *      cas                SET with the number      delete             DELETE
 *      incr decr          INCREMENT DECREMENT, with no item made     touch, gat k    TOUCH, GATK
 *      mg                 GET; with T GAT, or TOUCH where the value is not needed
 *      ms md ma           the same as the classic ones, with the header's CAS number
 *      version            NOOP VERSION: a server answers VERSION also to who has not logged in
 *      mn verbosity       NOOP, answered MN, OK (memcached 1.6 knows no verbosity, and falls out of step on it)
 *
 * A CAS number of 0 says in a header that none is named. On a line it is one that no item has: the highest one is sent.
 */
#include "wire/server_binary_internal.h"

#include "wire/number.h"
#include "wire/parse.h"
#include "wire/token.h"

#include <string.h>

#define NO_ITEM_CAS UINT64_MAX
/* An expiry time by which INCREMENT and DECREMENT make no item. */
#define MAKES_NO_ITEM UINT32_MAX
/* What servers take for a time long ago: memcached's REALTIME_MAXDELTA, and a second. */
#define TIME_PAST (60u * 60 * 24 * 30 + 1)

#define UNSUPPORTED SLICE_OF("CLIENT_ERROR unsupported over the binary protocol\r\n")
#define BAD_FLAG SLICE_OF("CLIENT_ERROR invalid or duplicate flag\r\n")
#define BAD_TOKEN SLICE_OF("CLIENT_ERROR bad token in command line format\r\n")

/* What the flags of a meta command say. */
struct flags {
    struct slice refusal; /* empty: none */
    bool has_time, wants_value, wants_size, has_cas, makes_item;
    char mode; /* 0: none named */
    uint32_t time, made_time, client_flags;
    uint64_t cas, delta, initial;
};

/* Letters that each command heeds, and those that it passes over. All others have no binary form. */
static const struct {
    const char *heeds, *ignores;
} letters[] = {
    [VERB_MG] = {"vfckbOsqT", "CDFIJM"},
    [VERB_MS] = {"bcCFkMOqT", "vDJ"},
    [VERB_MD] = {"bkOqC", "cfsvDFJMT"},
    [VERB_MA] = {"bcCDJkMNOqv", "fsFI"},
};

bool server_binary_time(int64_t seconds, uint32_t *time_out)
{
    *time_out = seconds < 0 ? TIME_PAST : (uint32_t)seconds;
    return seconds >= INT32_MIN && seconds <= INT32_MAX;
}

/* ---- Numbers of tokens that the parser has found good ---- */

/* A negative number is its two's complement, as for strtoull(3). */
static uint64_t number_of(struct slice token)
{
    struct number number = number_parse(token);
    return number.negative ? -number.magnitude : number.magnitude;
}

static bool time_of(struct slice token, uint32_t *time_out)
{
    struct number number = number_parse(token);
    if (number.magnitude > INT64_MAX)
        return false;
    return server_binary_time(number.negative ? -(int64_t)number.magnitude : (int64_t)number.magnitude, time_out);
}

static uint64_t cas_of(uint64_t number)
{
    return number != 0 ? number : NO_ITEM_CAS;
}

/* ---- Answers of our own ---- */

static void speak(struct ask *ask, struct slice text)
{
    ask->asked.packets = 1;
    ask->asked.last_opcode = OPCODE_NOOP;
    ask->asked.speaks = true;
    ask->text = text;
    ask->packets[0] = (struct packet){.opcode = OPCODE_NOOP};
}

static void refuse(const struct request *request, struct ask *ask, struct slice text)
{
    speak(ask, text);
    ask->drops_value = request->has_value;
}

/* ---- Packets ---- */

static struct packet *single(struct ask *ask, uint8_t opcode)
{
    ask->asked.packets = 1;
    ask->asked.last_opcode = opcode;
    ask->packets[0] = (struct packet){.opcode = opcode};
    return &ask->packets[0];
}

static void put_extras(struct packet *packet, unsigned bytes, uint64_t number)
{
    big_endian_write(packet->extras + packet->extras_len, bytes, number);
    packet->extras_len = (uint8_t)(packet->extras_len + bytes);
}

static void put_count(struct packet *packet, uint64_t delta, uint64_t initial, uint32_t expiry)
{
    put_extras(packet, 8, delta);
    put_extras(packet, 8, initial);
    put_extras(packet, 4, expiry);
}

/* ---- Classic commands ---- */

static uint8_t store_opcode(enum verb verb)
{
    switch (verb) {
    case VERB_ADD:
        return OPCODE_ADD;
    case VERB_REPLACE:
        return OPCODE_REPLACE;
    case VERB_APPEND:
        return OPCODE_APPEND;
    case VERB_PREPEND:
        return OPCODE_PREPEND;
    default:
        return OPCODE_SET;
    }
}

static bool joins(uint8_t opcode)
{
    return opcode == OPCODE_APPEND || opcode == OPCODE_PREPEND;
}

static void ask_store(const struct request *request, const struct tokens *tokens, struct ask *ask)
{
    uint32_t time = 0;
    (void)time_of(tokens->at[3], &time);
    struct packet *packet = single(ask, store_opcode(request->verb));
    if (!joins(packet->opcode)) {
        put_extras(packet, 4, number_of(tokens->at[2]));
        put_extras(packet, 4, time);
    }
    packet->value_bytes = request->value_bytes;
    ask->asked.has_cas = request->verb == VERB_CAS;
    if (ask->asked.has_cas)
        packet->cas = cas_of(number_of(tokens->at[5]));
}

static void ask_touch(const struct request *request, struct slice time_token, uint8_t opcode, struct ask *ask)
{
    uint32_t time;
    if (!time_of(time_token, &time)) {
        refuse(request, ask, PARSE_BAD_EXPTIME);
        return;
    }
    put_extras(single(ask, opcode), 4, time);
}

static void ask_flush(const struct request *request, struct ask *ask)
{
    uint32_t time = 0;
    struct number delay = number_parse(request->argument);
    if (request->argument.len > 0 && !time_of(request->argument, &time)) {
        refuse(request, ask, PARSE_BAD_EXPTIME);
        return;
    }
    struct packet *packet = single(ask, OPCODE_FLUSH);
    if (request->argument.len > 0 && !delay.negative && time > 0)
        put_extras(packet, 4, time);
}

static bool starts_with(struct slice text, struct slice start)
{
    return text.len >= start.len && memcmp(text.data, start.data, start.len) == 0;
}

static void ask_stats(const struct request *request, struct ask *ask)
{
    /* Its text has several lines, which no STAT is. */
    if (request->argument.len > KEY_LEN_MAX || starts_with(request->argument, SLICE_OF("detail dump"))) {
        refuse(request, ask, UNSUPPORTED);
        return;
    }
    single(ask, OPCODE_STAT)->key = request->argument;
    if (starts_with(request->argument, SLICE_OF("reset")))
        ask->text = SLICE_OF("RESET\r\n");
    else if (starts_with(request->argument, SLICE_OF("detail")))
        ask->text = SLICE_OF("OK\r\n");
    else
        ask->text = SLICE_OF("END\r\n");
}

static void ask_version(struct ask *ask)
{
    ask->asked.packets = 2;
    ask->asked.opcode = OPCODE_NOOP;
    ask->asked.last_opcode = OPCODE_VERSION;
    ask->packets[0] = (struct packet){.opcode = OPCODE_NOOP};
    ask->packets[1] = (struct packet){.opcode = OPCODE_VERSION};
}

static void ask_classic(const struct request *request, struct ask *ask)
{
    struct tokens tokens;
    tokens_split(request->line, &tokens);
    switch (request->verb) {
    case VERB_GET:
    case VERB_GETS:
        single(ask, OPCODE_GETK);
        break;
    case VERB_GAT:
    case VERB_GATS:
        ask_touch(request, tokens.at[1], OPCODE_GATK, ask);
        break;
    case VERB_TOUCH:
        ask_touch(request, tokens.at[2], OPCODE_TOUCH, ask);
        break;
    case VERB_DELETE:
        single(ask, OPCODE_DELETE);
        break;
    case VERB_INCR:
    case VERB_DECR:
        put_count(single(ask, request->verb == VERB_INCR ? OPCODE_INCREMENT : OPCODE_DECREMENT),
                  number_of(tokens.at[2]), 0, MAKES_NO_ITEM);
        break;
    case VERB_VERSION:
        ask_version(ask);
        break;
    case VERB_STATS:
        ask_stats(request, ask);
        break;
    case VERB_FLUSH_ALL:
        ask_flush(request, ask);
        break;
    case VERB_VERBOSITY:
        speak(ask, SLICE_OF("OK\r\n"));
        break;
    case VERB_MN:
        speak(ask, SLICE_OF("MN\r\n"));
        break;
    default:
        if (request->has_value)
            ask_store(request, &tokens, ask);
        else
            refuse(request, ask, UNSUPPORTED);
        break;
    }
}

/* ---- Meta commands ---- */

static void read_argument(enum verb verb, struct slice token, struct flags *flags)
{
    struct slice argument = slice_make(token.data + 1, token.len - 1);
    struct slice bad_token = verb == VERB_MA ? BAD_FLAG : BAD_TOKEN;
    switch (token.data[0]) {
    case 'T':
        flags->has_time = true;
        if (!time_of(argument, &flags->time))
            flags->refusal = bad_token;
        break;
    case 'N':
        flags->makes_item = true;
        if (!time_of(argument, &flags->made_time))
            flags->refusal = bad_token;
        break;
    case 'F':
        flags->client_flags = (uint32_t)number_of(argument);
        if (number_of(argument) > UINT32_MAX)
            flags->refusal = PARSE_BAD_FORMAT;
        break;
    case 'C':
        flags->has_cas = true;
        flags->cas = number_of(argument);
        break;
    case 'D':
        flags->delta = number_of(argument);
        break;
    case 'J':
        flags->initial = number_of(argument);
        break;
    case 'M':
        flags->mode = argument.data[0];
        break;
    default:
        break;
    }
}

/* To a letter that is not heeded: memcached's own words where it knows it as little. */
static struct slice refusal_of(enum verb verb, char letter)
{
    if (strchr("bcfhklstuvqxaCDEFIJMNOPLRST", letter) != NULL)
        return UNSUPPORTED;
    return verb == VERB_MD || verb == VERB_MA ? BAD_FLAG : SLICE_OF("CLIENT_ERROR invalid flag\r\n");
}

static struct flags read_flags(const struct request *request)
{
    struct flags flags = {.delta = 1};
    enum verb verb = request->verb;
    struct slice rest = request->line, token;
    for (unsigned i = 0; token_next(&rest, &token); i++) {
        if (i < (verb == VERB_MS ? 3u : 2u) || strchr(letters[verb].ignores, token.data[0]) != NULL)
            continue;
        if (strchr(letters[verb].heeds, token.data[0]) == NULL) {
            flags.refusal = refusal_of(verb, token.data[0]);
            break;
        }
        flags.wants_value |= token.data[0] == 'v';
        flags.wants_size |= token.data[0] == 's';
        read_argument(verb, token, &flags);
    }
    return flags;
}

static void ask_mg(const struct flags *flags, struct ask *ask)
{
    ask->asked.wants_value = flags->wants_value;
    if (!flags->has_time)
        single(ask, OPCODE_GET);
    else
        put_extras(single(ask, flags->wants_value || flags->wants_size ? OPCODE_GAT : OPCODE_TOUCH), 4, flags->time);
}

/* 0xff: there is no such mode. */
static uint8_t mode_opcode(char mode)
{
    switch (mode) {
    case 0:
    case 'S':
    case 's':
        return OPCODE_SET;
    case 'E':
    case 'e':
        return OPCODE_ADD;
    case 'R':
    case 'r':
        return OPCODE_REPLACE;
    case 'A':
    case 'a':
        return OPCODE_APPEND;
    case 'P':
    case 'p':
        return OPCODE_PREPEND;
    default:
        return 0xff;
    }
}

static void ask_ms(const struct request *request, const struct flags *flags, struct ask *ask)
{
    uint8_t opcode = mode_opcode(flags->mode);
    if (opcode == 0xff) {
        refuse(request, ask, SLICE_OF("CLIENT_ERROR invalid mode for ms M token\r\n"));
        return;
    }
    struct packet *packet = single(ask, opcode);
    packet->value_bytes = request->value_bytes;
    if (joins(opcode)) {
        packet->cas = flags->cas;
    } else {
        put_extras(packet, 4, flags->client_flags);
        put_extras(packet, 4, flags->time);
        /* memcached's meta add does not look at it; a binary add would become a cas. */
        ask->asked.has_cas = flags->has_cas && opcode != OPCODE_ADD;
        if (ask->asked.has_cas)
            packet->cas = cas_of(flags->cas);
    }
}

static void ask_md(const struct flags *flags, struct ask *ask)
{
    struct packet *packet = single(ask, OPCODE_DELETE);
    ask->asked.has_cas = flags->has_cas;
    if (flags->has_cas)
        packet->cas = cas_of(flags->cas);
}

static void ask_ma(const struct request *request, const struct flags *flags, struct ask *ask)
{
    bool down = flags->mode != 0 && strchr("Dd-", flags->mode) != NULL;
    if (!down && flags->mode != 0 && strchr("Ii+", flags->mode) == NULL) {
        refuse(request, ask, SLICE_OF("CLIENT_ERROR invalid mode for ma M token\r\n"));
        return;
    }
    struct packet *packet = single(ask, down ? OPCODE_DECREMENT : OPCODE_INCREMENT);
    put_count(packet, flags->delta, flags->initial, flags->makes_item ? flags->made_time : MAKES_NO_ITEM);
    /* Here memcached takes 0 for none, too. */
    packet->cas = flags->cas;
    ask->asked.wants_value = flags->wants_value;
}

static void ask_meta(const struct request *request, struct ask *ask)
{
    if (request->verb == VERB_ME) {
        refuse(request, ask, UNSUPPORTED);
        return;
    }
    struct flags flags = read_flags(request);
    ask->text = slice_make(request->key.data, (size_t)(request->line.data + request->line.len - request->key.data));
    if (flags.refusal.len > 0)
        refuse(request, ask, flags.refusal);
    else if (request->verb == VERB_MG)
        ask_mg(&flags, ask);
    else if (request->verb == VERB_MS)
        ask_ms(request, &flags, ask);
    else if (request->verb == VERB_MD)
        ask_md(&flags, ask);
    else
        ask_ma(request, &flags, ask);
}

void server_binary_ask(const struct request *request, struct ask *ask_out)
{
    ask_out->asked = (struct asked){.verb = (uint8_t)request->verb};
    ask_out->text = slice_make(NULL, 0);
    ask_out->drops_value = false;
    if (verb_is_meta(request->verb))
        ask_meta(request, ask_out);
    else
        ask_classic(request, ask_out);
    if (request->key_count > 0 && !ask_out->asked.speaks)
        ask_out->packets[0].key = request_route_key(request, ask_out->key);
}
