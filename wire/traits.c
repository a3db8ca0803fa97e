/*
 * Owns what is known of each command: a row for each classic verb; meta commands by their flags. Source: memcached's
 * doc/protocol.txt and proto_text.c, 1.6.18.
 *
 *      mg   reads; T touches; N makes an item
 *      ms   M: set (S, the default), add (E), append (A), prepend (P), replace (R); C compares
 *      md   removes; I marks stale instead; C compares
 *      ma   counts; N makes an item; T touches
 */
#include "wire/traits.h"

#include "wire/number.h"
#include "wire/token.h"

#include <string.h>

static const struct request_traits traits_of_verb[VERB_COUNT] = {
    [VERB_GET] = {.reads = true, .repeats_well = true},
    [VERB_GETS] = {.reads = true, .repeats_well = true, .needs_cas = true},
    [VERB_GAT] = {.reads = true, .writes = true, .conditional = true, .repeats_well = true, .may_expire = true},
    [VERB_GATS] = {.reads = true,
                   .writes = true,
                   .conditional = true,
                   .repeats_well = true,
                   .needs_cas = true,
                   .may_expire = true},
    [VERB_SET] = {.writes = true, .repeats_well = true, .may_expire = true},
    [VERB_ADD] = {.writes = true, .conditional = true, .creates = true, .may_expire = true},
    [VERB_REPLACE] = {.writes = true, .conditional = true, .needs_item = true, .may_expire = true},
    [VERB_APPEND] = {.writes = true, .conditional = true, .needs_item = true},
    [VERB_PREPEND] = {.writes = true, .conditional = true, .needs_item = true},
    [VERB_CAS] = {.writes = true, .conditional = true, .needs_cas = true, .may_expire = true},
    [VERB_DELETE] = {.writes = true, .removes = true, .repeats_well = true},
    [VERB_INCR] = {.writes = true, .conditional = true},
    [VERB_DECR] = {.writes = true, .conditional = true},
    [VERB_TOUCH] = {.writes = true, .conditional = true, .repeats_well = true, .may_expire = true},
    [VERB_MG] = {.reads = true, .repeats_well = true},
    [VERB_MS] = {.writes = true, .repeats_well = true, .may_expire = true},
    [VERB_MD] = {.writes = true, .removes = true, .repeats_well = true},
    [VERB_MA] = {.writes = true, .conditional = true},
    [VERB_ME] = {.reads = true, .repeats_well = true},
    [VERB_FLUSH_ALL] = {.writes = true, .repeats_well = true},
};

static void take_expiry(struct slice token, struct request_traits *traits)
{
    struct number number = number_parse(token);
    if (!number.valid || number.magnitude > INT64_MAX)
        return;
    traits->has_expiry = true;
    traits->expiry = number.negative ? -(int64_t)number.magnitude : (int64_t)number.magnitude;
}

/* The i-th token of the line; empty: there is none. */
static struct slice token_at(struct slice line, unsigned i)
{
    struct slice token = {NULL, 0};
    for (unsigned n = 0; n <= i; n++) {
        if (!token_next(&line, &token))
            return slice_make(NULL, 0);
    }
    return token;
}

static void take_mode(char mode, struct request_traits *traits)
{
    switch (mode) {
    case 'E':
    case 'e':
        traits->creates = true;
        break;
    case 'A':
    case 'a':
    case 'P':
    case 'p':
    case 'R':
    case 'r':
        traits->needs_item = true;
        break;
    default:
        return;
    }
    traits->conditional = true;
    traits->repeats_well = false;
}

/* A flag that makes the command depend on what is stored. */
static void take_condition(struct request_traits *traits)
{
    traits->conditional = true;
    traits->removes = false;
}

static void take_flag(enum verb verb, struct slice token, struct request_traits *traits)
{
    struct slice argument = slice_make(token.data + 1, token.len - 1);
    switch (token.data[0]) {
    case 'c':
    case 'E':
        traits->needs_cas = true;
        break;
    case 'C':
        traits->needs_cas = true;
        traits->repeats_well = false;
        take_condition(traits);
        break;
    case 'I':
        if (verb == VERB_MD || verb == VERB_MS)
            take_condition(traits);
        break;
    case 'M':
        if (verb == VERB_MS && argument.len == 1)
            take_mode(argument.data[0], traits);
        break;
    case 'N':
        if (verb != VERB_MG && verb != VERB_MA)
            break;
        traits->writes = traits->creates = true;
        traits->repeats_well = false;
        take_condition(traits);
        break;
    case 'T':
        traits->may_expire = true;
        take_expiry(argument, traits);
        if (verb == VERB_MG) {
            traits->writes = true;
            take_condition(traits);
        }
        break;
    default:
        break;
    }
}

static void take_flags(const struct request *request, struct request_traits *traits)
{
    struct slice rest = request->line, token;
    unsigned first = request->verb == VERB_MS ? 3 : 2;
    for (unsigned i = 0; token_next(&rest, &token); i++) {
        bool offered = token.data[0] == 'c' && request->cas_offered;
        if (i >= first && !offered)
            take_flag(request->verb, token, traits);
    }
}

void request_traits(const struct request *request, struct request_traits *traits_out)
{
    *traits_out = traits_of_verb[request->verb];
    if (verb_is_meta(request->verb)) {
        if (request->verb != VERB_ME)
            take_flags(request, traits_out);
        return;
    }
    if (!traits_out->may_expire)
        return;
    struct slice line = verb_is_retrieval(request->verb) ? request->prefix : request->line;
    unsigned place = verb_is_retrieval(request->verb) ? 1 : request->verb == VERB_TOUCH ? 2 : 3;
    take_expiry(token_at(line, place), traits_out);
}

enum outcome_kind outcome_of_reply(const struct request_traits *traits, enum reply_code code)
{
    switch (code) {
    case REPLY_CODE_END:
    case REPLY_CODE_EN:
    case REPLY_CODE_NF:
    case REPLY_CODE_NOT_FOUND:
        return OUTCOME_MISS;
    case REPLY_CODE_NOT_STORED:
    case REPLY_CODE_NS:
        return traits->needs_item ? OUTCOME_MISS : OUTCOME_REFUSED;
    case REPLY_CODE_EXISTS:
    case REPLY_CODE_EX:
        return OUTCOME_REFUSED;
    case REPLY_CODE_ERROR:
    case REPLY_CODE_CLIENT_ERROR:
        return OUTCOME_INVALID;
    case REPLY_CODE_SERVER_ERROR:
        return OUTCOME_ERROR;
    default:
        return OUTCOME_DONE;
    }
}
