/*
 * Owns what the parts of one long retrieval line have in common.
 *
 *      "get k1 k2 ... k300 | k301 ... | ... k9999\r\n"
 *          multiget          multiget    multiget    end: "END", or the first error of a part
 *
 * The parts are exchanges of their own, in the client's order (multiget.c); the end is one more, which knows its answer
 * only when its turn has come and every part has spoken.
 */
#include "proxy/exchange.h"

#include <stdlib.h>
#include <string.h>

struct long_get {
    struct request request;
    uint32_t refs; /* the client while it reads the line, the parts, and the end */
    char *prefix;
    char *error; /* the first one, a line; NULL: none */
    bool forbidden;
};

struct long_get *long_get_begin(const struct request *request)
{
    struct long_get *long_get = calloc(1, sizeof *long_get);
    char *prefix = malloc(request->prefix.len + 1);
    if (long_get == NULL || prefix == NULL) {
        free(long_get);
        free(prefix);
        return NULL;
    }
    memcpy(prefix, request->prefix.data, request->prefix.len);
    long_get->request = *request;
    long_get->request.prefix.data = prefix;
    long_get->prefix = prefix;
    long_get->refs = 1;
    return long_get;
}

struct request *long_get_request(struct long_get *long_get)
{
    return &long_get->request;
}

struct long_get *long_get_ref(struct long_get *long_get)
{
    long_get->refs++;
    return long_get;
}

void long_get_unref(struct long_get **long_get)
{
    struct long_get *l = *long_get;
    *long_get = NULL;
    if (l == NULL || --l->refs > 0)
        return;
    free(l->prefix);
    free(l->error);
    free(l);
}

void long_get_fail(struct long_get *long_get, struct slice line)
{
    if (long_get->error == NULL)
        long_get->error = slice_copy(line);
}

void long_get_forbid(struct long_get *long_get, struct slice line)
{
    long_get->forbidden = true;
    free(long_get->error);
    long_get->error = slice_copy(line);
}

bool long_get_is_forbidden(const struct long_get *long_get)
{
    return long_get->forbidden;
}

static void end_on_first(struct exchange *exchange)
{
    const char *error = exchange->long_get->error;
    exchange_emit_copy(exchange, error != NULL ? slice_make(error, strlen(error)) : SLICE_OF("END\r\n"));
    long_get_unref(&exchange->long_get);
    exchange_done(exchange);
}

static void end_abandon(struct exchange *exchange)
{
    long_get_unref(&exchange->long_get);
}

static const struct exchange_methods end_methods = {.abandon = end_abandon, .on_first = end_on_first};

void long_get_end(struct client *client, struct long_get **long_get)
{
    struct exchange *exchange = exchange_create(client, &(*long_get)->request, &end_methods);
    if (exchange == NULL) {
        client_close_soon(client);
        long_get_unref(long_get);
        return;
    }
    exchange->long_get = *long_get;
    *long_get = NULL;
    if (exchange == client->first)
        end_on_first(exchange);
}
