/* Owns what is known of a client's next requests: see lookahead.h. */
#include "proxy/lookahead.h"

#include "proxy/client.h"

static void fill(struct lookahead *ahead, const struct input *in, uint64_t item_size_max)
{
    const char *data = input_data(in);
    size_t len = input_bytes(in);
    ahead->at = 0;
    ahead->count = 0;
    while (ahead->count < LOOKAHEAD_MAX) {
        struct request *request = &ahead->requests[ahead->count];
        if (!request_parse_frequent(data, len, item_size_max, request))
            return;
        uint64_t total = request->line_bytes + (request->has_value ? request->value_bytes + 2 : 0);
        ahead->count++;
        if (total >= len)
            return;
        data += total;
        len -= (size_t)total;
    }
}

static void hash_keys(const struct lookahead *ahead, struct route_worker *route)
{
    struct slice keys[LOOKAHEAD_MAX];
    for (uint32_t i = 0; i < ahead->count; i++)
        keys[i] = ahead->requests[i].key;
    ahead_hash(&route->ahead, keys, ahead->count);
}

const struct request *lookahead_next(struct client *client, uint64_t item_size_max)
{
    struct lookahead *ahead = &client->worker->lookahead;
    struct route_worker *route = &client->worker->current->route;
    if (!route->route->is_hashed_ahead)
        return NULL;
    if (ahead->at == ahead->count) {
        fill(ahead, &client->in, item_size_max);
        if (ahead->count > 1)
            hash_keys(ahead, route);
    }
    if (ahead->at == ahead->count || ahead->requests[ahead->at].line.data != input_data(&client->in))
        return NULL;
    return &ahead->requests[ahead->at++];
}

void lookahead_end(struct client *client)
{
    struct lookahead *ahead = &client->worker->lookahead;
    ahead->at = 0;
    ahead->count = 0;
    ahead_clear(&client->worker->current->route.ahead);
}
