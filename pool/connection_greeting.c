/*
 * Owns what is said on a new connection before all requests, and what the server may answer to it.
 *
 *      [login]  version                 gated: nothing further is sent before the version is known
 */
#include "pool/connection_internal.h"

#include "base/log.h"

#include <openssl/crypto.h>

#define GREETING "version\r\n"

/* ---- The greeting: the first call on every connection asks for the version, so that no client's request meets a peer
 * that does not speak the protocol. ---- */

/*
 * A server that does not know the meta commands would take an ms command's data block for commands: so nothing is sent
 * before its version is known, and nothing meta if that is too low. false: such a call waits here; all calls, of which
 * nothing has left, are to be placed anew, and those that need another server find no other.
 */
static bool pass_gate(const struct connection *connection)
{
    if (server_knows_meta(connection->upstream->server))
        return true;
    for (const struct call *call = connection->first; call != NULL; call = call->next) {
        if (verb_is_meta(call->verb))
            return false;
    }
    return true;
}

/* What a server answers to the login that goes before all else. */
static bool login_on_reply(const struct call *call, const struct call_reply *reply)
{
    const struct upstream *upstream = call->connection->upstream;
    if (reply->unit->code == REPLY_CODE_STORED)
        return true;
    log_warning("login_refused", "pool %s: server %s does not let the user `%s` in: `%.*s`",
                upstream->server->identity.pool, upstream->server->identity.label,
                upstream->settings.auth != NULL ? upstream->settings.auth->user : "", (int)reply->unit->head_bytes - 2,
                reply->data);
    return false;
}

static bool greeting_on_reply(struct call *call, const struct call_reply *reply)
{
    if (call->verb == VERB_SET)
        return login_on_reply(call, reply);
    if (reply->unit->code != REPLY_CODE_VERSION) {
        const struct server_identity *identity = &call->connection->upstream->server->identity;
        log_warning("greeting_refused",
                    "pool %s: server %s answered `%.*s` to `version`: it is no memcached, or takes no more "
                    "connections (memcached -c)",
                    identity->pool, identity->label, (int)reply->unit->head_bytes - 2, reply->data);
        return false;
    }
    unsigned version = server_version_pack(reply->unit->rest.data, reply->unit->rest.len);
    struct connection *connection = call->connection;
    atomic_store_explicit(&connection->upstream->server->version, version, memory_order_relaxed);
    if (connection->gated) {
        connection->gated = false;
        if (!pass_gate(connection))
            connection_fail_later(connection, CALL_FAILURE_RESET, "the server is too old for meta commands");
        connection_sent_more(connection);
    }
    return true;
}

static void greeting_on_failed(struct call *call, const struct call_failure *failure)
{
    (void)call;
    (void)failure;
}

const struct call_methods connection_greeting = {greeting_on_reply, greeting_on_failed};

/* What a reply that was not taken is to those whose requests wait behind it. */
const char *connection_rejection(const struct call *call)
{
    bool is_login = call->methods == &connection_greeting && call->verb == VERB_SET;
    return is_login ? "a refusal of the pool's login" : "a reply that does not belong to its request";
}

/* One of the connection's own calls, its request being `text`; a login leaves nothing behind. */
static bool say(struct connection *connection, enum verb verb, const char *text, size_t len)
{
    struct call *call = connection_make_call(connection, verb, &connection_greeting, connection);
    if (call == NULL)
        return false;
    connection_enqueue(connection, call);
    if (!chain_append_copy(&connection->out, connection_memory(connection), text, len)) {
        connection_dequeue(connection);
        return false;
    }
    connection->out.tail->block->is_secret |= verb == VERB_SET;
    /* The same clock as the calls behind it: deadlines stand in the order of the calls. */
    call->deadline_us = call->start_us + (uint64_t)connection->upstream->settings.timeout_ms * 1000;
    return true;
}

bool connection_greet(struct connection *connection)
{
    const struct secret *auth = connection->upstream->settings.auth;
    char login[SECRET_LOGIN_MAX];
    size_t login_len = auth != NULL ? secret_print_login(auth, login) : 0;
    connection->greeting_bytes = login_len + sizeof GREETING - 1;
    connection->retiring = false;
    connection->logs_in = auth != NULL;
    connection->binary = connection->upstream->settings.binary;
    connection->gated = atomic_load_explicit(&connection->upstream->server->version, memory_order_relaxed) == 0;
    bool said = (auth == NULL || say(connection, VERB_SET, login, login_len)) &&
                say(connection, VERB_VERSION, GREETING, sizeof GREETING - 1);
    OPENSSL_cleanse(login, login_len);
    while (!said && connection->first != NULL)
        connection_dequeue(connection);
    if (!said)
        chain_clear(&connection->out, connection_memory(connection));
    return said;
}
