/*
 * Owns logins under way, and the answers on who may do what; see gate.h.
 *
 *      gate_step: "set k 0 0 9\r\napp secret\r\n" -> login -> password thread -> on_checked
 *                     good: STORED, and the client is read on
 *                     wrong: after the delay, CLIENT_ERROR authentication failure
 *
 *      SASL PLAIN: the same, in binary
 *      SCRAM: AUTH -> login, with a scram -> CONTINUE, read on;  STEP -> good at once, or wrong after the delay
 *
 * The words are memcached's (-Y). What users and rules there are is the snapshot's; hashes are tls/users.c's.
 */
#include "proxy/gate.h"

#include "base/log.h"
#include "config/snapshot.h"
#include "proxy/client.h"
#include "proxy/exchange.h"
#include "tls/login_source.h"
#include "tls/password_check.h"
#include "tls/scram.h"
#include "tls/transport.h"
#include "wire/credentials.h"
#include "wire/token.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct login {
    struct client *client;
    struct scram *scram;      /* an exchange, whose client is read on; else NULL */
    struct password_job *job; /* with the checker; both NULL: the answer is put off */
    struct wheel_timer delay;
    bool is_binary;
    struct binary_asked asked; /* the answer is to it, if so */
    bool silent;               /* noreply */
};

static const struct snapshot *current(const struct client *client)
{
    return client->worker->current->snapshot;
}

bool gate_guards(const struct snapshot *snapshot)
{
    const struct config *config = snapshot->config;
    for (size_t i = 0; i < config->listen_count; i++) {
        if (config->listens[i].auth != CONFIG_AUTH_NONE)
            return true;
    }
    return config->access_count > 0;
}

/* ---- Who it is ---- */

static void set_user(struct client *client, struct slice name, bool by_password)
{
    struct gate *gate = &client->gate;
    free(gate->user);
    gate->user = slice_copy(name);
    gate->by_password = by_password;
    gate->view = NULL;
}

static void forget_user(struct client *client)
{
    free(client->gate.user);
    client->gate.user = NULL;
    client->gate.by_password = false;
    client->gate.view = NULL;
}

/* By what the connection itself tells. Of a listener that has gone, what it told before holds. */
static void ask_connection(struct client *client)
{
    struct slice name = tls_transport_peer_name(&client->transport);
    if (name.len > 0) {
        set_user(client, name, false);
        return;
    }
    struct ucred peer;
    socklen_t len = sizeof peer;
    const struct listener *listener = client->listener;
    if (!listener->is_unix || listener->generation != current(client)->generation ||
        getsockopt(client->transport.fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return;
    const char *user = snapshot_peer_user(current(client), listener->index, peer.uid);
    if (user != NULL)
        set_user(client, slice_make(user, strlen(user)), false);
    else
        forget_user(client);
}

static struct slice user_name(const struct gate *gate)
{
    return slice_make(gate->user, gate->user != NULL ? strlen(gate->user) : 0);
}

/* What is known is brought up to the snapshot in force: a user that is no more is who the connection says. */
static void refresh(struct client *client)
{
    struct gate *gate = &client->gate;
    const struct snapshot *snapshot = current(client);
    if (gate->view != NULL && gate->generation == snapshot->generation)
        return;
    if (gate->by_password && (snapshot->users == NULL || users_find(snapshot->users, user_name(gate)) == NULL))
        forget_user(client);
    if (!gate->by_password)
        ask_connection(client);
    gate->view = access_for_user(snapshot->access, user_name(gate));
    gate->generation = snapshot->generation;
}

bool gate_passes(struct client *client)
{
    refresh(client);
    return client->gate.user != NULL || client->listener->auth != CONFIG_AUTH_REQUIRED;
}

/* ---- What it may do ---- */

/* Of a listener that the configuration no longer has, only its rules for every listener speak. */
static size_t listener_index(const struct client *client)
{
    const struct listener *listener = client->listener;
    return listener->generation == current(client)->generation ? listener->index : ACCESS_NO_LISTENER;
}

/* A meta get may change its item by its flags: T a new time, N and R a new item. */
static bool allows_meta_get(const struct access_view *view, size_t listener, const struct request *request,
                            struct slice key)
{
    struct slice rest = request->line, token;
    (void)token_next(&rest, &token);
    (void)token_next(&rest, &token);
    while (token_next(&rest, &token)) {
        char flag = token.data[0];
        if (flag == 'T' && !access_check(view, listener, VERB_GAT, key))
            return false;
        if ((flag == 'N' || flag == 'R') && !access_check(view, listener, VERB_MS, key))
            return false;
    }
    return true;
}

static bool allows_all_keys(const struct access_view *view, size_t listener, const struct request *request)
{
    struct slice keys = request->keys, key;
    while (request_next_key(&keys, &key)) {
        if (!access_check(view, listener, request->verb, key))
            return false;
    }
    return true;
}

bool gate_allows_key(struct client *client, enum verb verb, struct slice key)
{
    refresh(client);
    return access_check(client->gate.view, listener_index(client), verb, key);
}

bool gate_allows(struct client *client, const struct request *request)
{
    /* In the middle of a long line, a reload may have taken its user away. */
    if (!gate_passes(client))
        return false;
    const struct access_view *view = client->gate.view;
    size_t listener = listener_index(client);
    if (verb_is_retrieval(request->verb))
        return allows_all_keys(view, listener, request);
    char decoded[KEY_LEN_MAX];
    struct slice key = request->key_count > 0 ? request_route_key(request, decoded) : slice_make(NULL, 0);
    if (!access_check(view, listener, request->verb, key))
        return false;
    return request->verb != VERB_MG || allows_meta_get(view, listener, request, key);
}

/* ---- Logging in ---- */

static void answer(struct client *client, const char *line)
{
    exchange_answer(client, slice_make(line, strlen(line)));
}

#define TEXT(literal)                \
    {                                \
        literal, sizeof(literal) - 1 \
    }

/* What a login's answer is, in text and in binary. */
struct verdict {
    const char *line;
    enum binary_status status;
    struct slice text;
};

static const struct verdict is_good = {"STORED\r\n", BINARY_STATUS_SUCCESS, TEXT("Authenticated")};
static const struct verdict is_wrong = {"CLIENT_ERROR authentication failure\r\n", BINARY_STATUS_DENIED,
                                        TEXT("Auth failure.")};
static const struct verdict is_busy = {"SERVER_ERROR too many logins wait; try again\r\n", BINARY_STATUS_BUSY,
                                       TEXT("too many logins wait; try again")};
static const struct verdict is_short = {"SERVER_ERROR out of memory\r\n", BINARY_STATUS_NO_MEMORY, TEXT("")};

/* asked: NULL in the text protocol. silent: noreply. */
static void tell(struct client *client, const struct binary_asked *asked, bool silent, const struct verdict *verdict)
{
    char buffer[BINARY_REPLY_MAX];
    if (asked == NULL)
        answer(client, silent ? "" : verdict->line);
    else
        exchange_answer_bytes(client,
                              slice_make(buffer, binary_reply_status(asked, verdict->status, verdict->text, buffer)));
}

static void login_over(struct login *login, const struct verdict *verdict)
{
    struct client *client = login->client;
    client->gate.login = NULL;
    tell(client, login->is_binary ? &login->asked : NULL, login->silent, verdict);
    free(login);
    client_unpause(client, CLIENT_PAUSE_LOGIN);
}

static void on_delayed(struct wheel_timer *timer)
{
    login_over(list_entry(timer, struct login, delay), &is_wrong);
}

/* The client is not read meanwhile. */
static void login_refused(struct login *login, uint32_t delay_ms)
{
    struct worker *worker = login->client->worker;
    counter_add(&worker->stats.logins_failed, 1);
    log_info("login_failed", "a client of %s gave a wrong password, or a user that does not exist",
             login->client->listener->label);
    if (delay_ms == 0)
        login_over(login, &is_wrong);
    else
        loop_arm(&worker->loop, &login->delay, delay_ms);
}

static void on_checked(struct password_job *job)
{
    struct login *login = job->owner;
    if (login != NULL) {
        struct client *client = login->client;
        login->job = NULL;
        switch (job->verdict) {
        case PASSWORD_GOOD:
            counter_add(&client->worker->stats.logins, 1);
            set_user(client, slice_make(job->name, job->name_len), true);
            login_over(login, &is_good);
            break;
        case PASSWORD_WRONG:
            login_refused(login, job->delay_ms);
            break;
        case PASSWORD_BUSY:
            counter_add(&client->worker->stats.logins_failed, 1);
            login_over(login, &is_busy);
            break;
        }
    }
    password_job_destroy(&job);
}

static void login_set_asked(struct login *login, const struct binary_asked *asked)
{
    login->is_binary = asked != NULL;
    if (asked != NULL)
        login->asked = (struct binary_asked){.opcode = asked->opcode, .opaque = asked->opaque};
}

/* Not the client's yet. NULL when memory is out. */
static struct login *login_create(struct client *client, const struct binary_asked *asked, bool silent)
{
    struct login *login = calloc(1, sizeof *login);
    if (login == NULL)
        return NULL;
    login->client = client;
    login->silent = silent;
    login_set_asked(login, asked);
    wheel_timer_init(&login->delay, on_delayed);
    return login;
}

/* Name and password are on their way to be checked, or the answer says why not. asked, silent: see tell. */
static void login_start(struct client *client, const struct binary_asked *asked, bool silent, struct slice name,
                        struct slice password)
{
    struct worker *worker = client->worker;
    struct users *users = current(client)->users;
    if (users == NULL) {
        tell(client, asked, silent, &is_wrong);
        return;
    }
    struct login *login = login_create(client, asked, silent);
    struct password_job *job =
        login != NULL ? password_job_create(users, name, password, &worker->mailbox, on_checked, login) : NULL;
    if (job == NULL) {
        free(login);
        tell(client, asked, silent, &is_short);
        return;
    }
    login->job = job;
    job->source = login_source_of(client->transport.fd);
    client->gate.login = login;
    client_pause(client, CLIENT_PAUSE_LOGIN);
    password_checker_submit(worker->fleet->checker, job);
}

/* ---- SASL ---- */

bool gate_takes_sasl(const struct client *client)
{
    return client->listener->auth != CONFIG_AUTH_NONE && current(client)->users != NULL;
}

/* Takes what stands before the next NUL, or all that is left, off *text. */
static struct slice part_before_nul(struct slice *text)
{
    const char *nul = text->len > 0 ? memchr(text->data, '\0', text->len) : NULL;
    struct slice part = slice_make(text->data, nul != NULL ? (size_t)(nul - text->data) : text->len);
    size_t taken = part.len + (nul != NULL ? 1 : 0);
    *text = slice_make(text->data + taken, text->len - taken);
    return part;
}

struct slice gate_sasl_mechanisms(const struct client *client)
{
    const struct users *users = current(client)->users;
    return users != NULL && users_all_have_scram(users) ? SLICE_OF("PLAIN " SCRAM_MECHANISM) : SLICE_OF("PLAIN");
}

/* As in memcached, an attempt ends the login before it. */
static void forget_login(struct client *client)
{
    if (client->gate.by_password)
        forget_user(client);
}

static void wipe(struct slice message)
{
    OPENSSL_cleanse((char *)(uintptr_t)message.data, message.len);
}

void gate_take_sasl_plain(struct client *client, const struct binary_asked *asked, struct slice message)
{
    struct slice rest = message;
    struct slice acts_for = part_before_nul(&rest); /* nobody but the user itself */
    struct slice name = part_before_nul(&rest);
    forget_login(client);
    if (name.len == 0 || rest.len == 0 || (acts_for.len > 0 && !slice_equal(acts_for, name)))
        tell(client, asked, false, &is_wrong);
    else
        login_start(client, asked, false, name, rest);
    wipe(message);
}

bool gate_awaits_step(const struct client *client)
{
    return client->gate.login != NULL && client->gate.login->scram != NULL;
}

void gate_end_exchange(struct client *client)
{
    if (!gate_awaits_step(client))
        return;
    scram_destroy(&client->gate.login->scram);
    free(client->gate.login);
    client->gate.login = NULL;
}

/* NULL: no memory, or no random bytes. */
static struct scram *challenge(const struct client *client, const struct scram_first *first)
{
    struct scram_keys keys;
    char nonce[SCRAM_NONCE_LEN + 1];
    const uint8_t *secret = password_checker_secret(client->worker->fleet->checker);
    bool known = users_scram_keys(current(client)->users, slice_make(first->name, first->name_len), secret, &keys);
    struct scram *scram =
        scram_nonce_make(nonce) ? scram_create(first, &keys, known, slice_make(nonce, SCRAM_NONCE_LEN)) : NULL;
    OPENSSL_cleanse(&keys, sizeof keys);
    return scram;
}

void gate_take_scram_first(struct client *client, const struct binary_asked *asked, struct slice message)
{
    struct scram_first first;
    forget_login(client);
    if (!scram_first_parse(message, &first)) {
        tell(client, asked, false, &is_wrong);
        return;
    }
    struct login *login = login_create(client, asked, false);
    if (login != NULL)
        login->scram = challenge(client, &first);
    if (login == NULL || login->scram == NULL) {
        free(login);
        tell(client, asked, false, &is_short);
        return;
    }
    client->gate.login = login;
    const struct verdict go_on = {.status = BINARY_STATUS_CONTINUE, .text = scram_challenge(login->scram)};
    tell(client, asked, false, &go_on);
}

static void scram_good(struct client *client, const struct scram *scram, const struct binary_asked *asked,
                       struct slice signature)
{
    const struct verdict verdict = {.status = BINARY_STATUS_SUCCESS, .text = signature};
    counter_add(&client->worker->stats.logins, 1);
    set_user(client, scram_name(scram), true);
    tell(client, asked, false, &verdict);
}

/* The exchange has become an answer that is put off. */
static void scram_wrong(struct client *client, const struct binary_asked *asked)
{
    struct login *login = client->gate.login;
    uint32_t delay_ms = password_checker_count_failure(client->worker->fleet->checker, scram_name(login->scram));
    scram_destroy(&login->scram);
    login_set_asked(login, asked);
    client_pause(client, CLIENT_PAUSE_LOGIN);
    login_refused(login, delay_ms);
}

void gate_take_scram_final(struct client *client, const struct binary_asked *asked, struct slice message)
{
    const struct scram *scram = client->gate.login->scram;
    char final[SCRAM_FINAL_MAX];
    size_t len = 0;
    if (!password_checker_admits(client->worker->fleet->checker)) {
        counter_add(&client->worker->stats.logins_failed, 1);
        tell(client, asked, false, &is_busy);
    } else {
        switch (scram_finish(scram, message, final, &len)) {
        case SCRAM_GOOD:
            scram_good(client, scram, asked, slice_make(final, len));
            break;
        case SCRAM_WRONG:
            scram_wrong(client, asked);
            break;
        case SCRAM_BROKEN:
            tell(client, asked, false, &is_wrong);
            break;
        }
    }
    wipe(message);
    gate_end_exchange(client);
}

/* ---- Logging in, in text ---- */

bool gate_is_login(const struct client *client, const struct request *request)
{
    return client->listener->auth != CONFIG_AUTH_NONE && request->verb == VERB_SET &&
           slice_equal(request->key, SLICE_OF(GATE_LOGIN_KEY));
}

void gate_take_login(struct client *client, struct slice body, bool silent)
{
    struct slice name, password;
    struct slice error = credentials_split(body, &name, &password);
    if (error.len == 0)
        login_start(client, NULL, silent, name, password);
    else
        exchange_answer(client, silent ? slice_make(NULL, 0) : error);
    wipe(body);
}

enum request_step gate_step(struct client *client, size_t *need_out)
{
    struct input *in = &client->in;
    struct credentials credentials;
    enum credentials_status status =
        credentials_parse(input_data(in), input_bytes(in), GATE_LOGIN_BYTES_MAX, &credentials);
    *need_out = 0;
    switch (status) {
    case CREDENTIALS_READY:
        gate_take_login(client, credentials.body, false);
        input_consume(in, credentials.total_bytes);
        break;
    case CREDENTIALS_PARTIAL:
        *need_out = credentials.total_bytes;
        return REQUEST_STEP_WAIT;
    case CREDENTIALS_OTHER:
        answer(client, "CLIENT_ERROR unauthenticated\r\n");
        input_consume(in, credentials.line_bytes);
        break;
    case CREDENTIALS_LARGE:
        answer(client, "CLIENT_ERROR authentication failure\r\n");
        client_end_lingering(client);
        break;
    case CREDENTIALS_ENDLESS:
        client_end_lingering(client);
        break;
    }
    return REQUEST_STEP_ON;
}

void gate_leave(struct client *client)
{
    struct login *login = client->gate.login;
    if (login != NULL) {
        if (login->job != NULL)
            login->job->owner = NULL;
        loop_disarm(&client->worker->loop, &login->delay);
        scram_destroy(&login->scram);
        free(login);
        client->gate.login = NULL;
    }
    forget_user(client);
}
