/*
 * Owns the questions to a server that is back; see the picture in homecoming.h. It knows no socket and no clock.
 */
#include "pool/homecoming.h"

#include "base/text.h"
#include "pool/server.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MARKER "ringside:flush:%s"

static enum homecoming_next ask(struct homecoming *h, enum homecoming_step step, enum verb verb, const char *format,
                                ...) __attribute__((format(printf, 4, 5)));

static enum homecoming_next ask(struct homecoming *h, enum homecoming_step step, enum verb verb, const char *format,
                                ...)
{
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(h->question, sizeof h->question, format, arguments);
    va_end(arguments);
    h->question_len = (size_t)len < sizeof h->question ? (size_t)len : 0;
    h->step = step;
    h->verb = verb;
    return HOMECOMING_ASK;
}

static enum homecoming_next again(struct homecoming *h, const char *reason)
{
    h->reason = reason;
    return HOMECOMING_AGAIN;
}

static enum homecoming_next ask_version(struct homecoming *h)
{
    return ask(h, HOMECOMING_VERSION, VERB_VERSION, "version\r\n");
}

void homecoming_begin(struct homecoming *homecoming, const char *pool, const struct secret *auth, bool flush,
                      uint64_t away_us)
{
    *homecoming = (struct homecoming){.pool = pool, .flush = flush, .away_us = away_us, .uptime_s = UINT64_MAX};
    if (auth == NULL) {
        ask_version(homecoming);
        return;
    }
    homecoming->step = HOMECOMING_LOGIN;
    homecoming->verb = VERB_SET;
    homecoming->question_len = secret_print_login(auth, homecoming->question);
}

static enum homecoming_next take_login(struct homecoming *h, const struct reply_unit *unit)
{
    OPENSSL_cleanse(h->question, h->question_len);
    return unit->code == REPLY_CODE_STORED ? ask_version(h) : again(h, "it does not let the pool's user in");
}

static enum homecoming_next take_version(struct homecoming *h, const struct reply_unit *unit)
{
    if (unit->code != REPLY_CODE_VERSION)
        return again(h, "the answer is not a version");
    h->version = server_version_pack(unit->rest.data, unit->rest.len);
    return h->flush ? ask(h, HOMECOMING_STATS, VERB_STATS, "stats\r\n") : HOMECOMING_UP;
}

static enum homecoming_next take_stats(struct homecoming *h, const struct reply_unit *unit)
{
    if (unit->code == REPLY_CODE_STAT) {
        if (slice_equal(unit->key, SLICE_OF("uptime")))
            text_parse_u64(unit->rest, &h->uptime_s);
        else if (slice_equal(unit->key, SLICE_OF("time")))
            text_parse_u64(unit->rest, &h->now_unix_s);
        return HOMECOMING_WAIT;
    }
    if (unit->code != REPLY_CODE_END || h->uptime_s == UINT64_MAX || h->now_unix_s == 0)
        return again(h, "its stats do not tell its uptime and time");
    /* Uptime is cut to whole seconds: in doubt it has not restarted. */
    if ((h->uptime_s + 1) * 1000000 <= h->away_us)
        return HOMECOMING_UP;
    return ask(h, HOMECOMING_MARKER, VERB_GETS, "gets " MARKER "\r\n", h->pool);
}

/* "VALUE KEY FLAGS BYTES UNIQUE", and "done T" or "flushing T" in the data block. What is neither counts as old. */
static void read_marker(struct homecoming *h, const struct reply_unit *unit, const char *data)
{
    const char *end = data + unit->head_bytes - 2, *unique = end;
    while (unique > data && unique[-1] != ' ')
        unique--;
    text_parse_u64(slice_make(unique, (size_t)(end - unique)), &h->marker_unique);
    h->has_marker = true;
    struct slice body = slice_make(data + unit->head_bytes, (size_t)unit->body_bytes - 2);
    const struct slice words[] = {SLICE_OF("flushing "), SLICE_OF("done ")};
    for (int i = 0; i < 2; i++) {
        size_t len = words[i].len;
        if (body.len > len && memcmp(body.data, words[i].data, len) == 0) {
            text_parse_u64(slice_make(body.data + len, body.len - len), &h->marker_unix_s);
            h->marker_done = i == 1;
        }
    }
}

static enum homecoming_next claim(struct homecoming *h)
{
    char value[40];
    int len = snprintf(value, sizeof value, "flushing %llu", (unsigned long long)h->now_unix_s);
    if (!h->has_marker)
        return ask(h, HOMECOMING_CLAIM, VERB_ADD, "add " MARKER " 0 %d %d\r\n%s\r\n", h->pool, HOMECOMING_MARKER_S, len,
                   value);
    return ask(h, HOMECOMING_CLAIM, VERB_CAS, "cas " MARKER " 0 %d %d %llu\r\n%s\r\n", h->pool, HOMECOMING_MARKER_S,
               len, (unsigned long long)h->marker_unique, value);
}

static enum homecoming_next take_marker(struct homecoming *h, const struct reply_unit *unit, const char *data)
{
    if (unit->code == REPLY_CODE_VALUE) {
        read_marker(h, unit, data);
        return HOMECOMING_WAIT;
    }
    if (unit->code != REPLY_CODE_END)
        return again(h, "its marker could not be read");
    uint64_t away_s = h->away_us / 1000000 + 1;
    bool of_this_outage = h->has_marker && h->marker_unix_s + away_s > h->now_unix_s;
    if (of_this_outage && h->marker_done)
        return HOMECOMING_UP;
    if (h->has_marker && !h->marker_done && h->marker_unix_s + HOMECOMING_PATIENCE_S > h->now_unix_s)
        return again(h, "another Ringside is flushing it");
    return claim(h);
}

static enum homecoming_next take_claim(struct homecoming *h, const struct reply_unit *unit)
{
    if (unit->code != REPLY_CODE_STORED)
        return again(h, "another Ringside is flushing it, or its marker could not be stored");
    char value[40];
    int len = snprintf(value, sizeof value, "done %llu", (unsigned long long)h->now_unix_s);
    return ask(h, HOMECOMING_FLUSH, VERB_FLUSH_ALL, "flush_all\r\nset " MARKER " 0 %d %d\r\n%s\r\n", h->pool,
               HOMECOMING_MARKER_S, len, value);
}

static enum homecoming_next take_flush(struct homecoming *h, const struct reply_unit *unit)
{
    h->flushed = unit->code == REPLY_CODE_OK;
    h->refused = unit->code == REPLY_CODE_ERROR || unit->code == REPLY_CODE_CLIENT_ERROR;
    if (!h->flushed && !h->refused)
        return again(h, "it could not be flushed");
    h->step = HOMECOMING_MARK;
    h->verb = VERB_SET;
    return HOMECOMING_WAIT;
}

enum homecoming_next homecoming_take(struct homecoming *homecoming, const struct reply_unit *unit, const char *data)
{
    switch (homecoming->step) {
    case HOMECOMING_LOGIN:
        return take_login(homecoming, unit);
    case HOMECOMING_VERSION:
        return take_version(homecoming, unit);
    case HOMECOMING_STATS:
        return take_stats(homecoming, unit);
    case HOMECOMING_MARKER:
        return take_marker(homecoming, unit, data);
    case HOMECOMING_CLAIM:
        return take_claim(homecoming, unit);
    case HOMECOMING_FLUSH:
        return take_flush(homecoming, unit);
    case HOMECOMING_MARK:
        return HOMECOMING_UP;
    }
    return again(homecoming, "it was not understood");
}
