/*
 * Who a client is, and what it may do: logins, and the rules of `access`.
 *
 *      by its certificate, or its uid on a Unix socket   when its first bytes come
 *      by a password                                     "set KEY 0 0 N\r\nUSER PASSWORD\r\n", memcached's ASCII authentication
 *
 * Where a listener's auth is `required`, a client that is nobody gets past no other command. Where it is `optional`, a login is a
 * set of the key GATE_LOGIN_KEY; every other command stands for itself. Passwords are checked off the loop (tls/password_check.h);
 * meanwhile the client is not read, so that one client has one check under way. SCRAM's proofs take no time, and are checked
 * in the loop.
 *
 * Nothing of this is asked while worker->guarded is not set: no configuration has had rules or logins so far. It stays set: clients
 * of a listener that has gone may still have to log in.
 */
#ifndef RINGSIDE_PROXY_GATE_H
#define RINGSIDE_PROXY_GATE_H

#include "base/slice.h"
#include "proxy/requests.h"
#include "tls/access.h"
#include "tls/users.h"
#include "wire/binary.h"
#include "wire/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;
struct login;
struct snapshot;

#define GATE_LOGIN_KEY "ringside:login"
/* No login's data block is longer. */
#define GATE_LOGIN_BYTES_MAX (USERS_NAME_MAX + USERS_PASSWORD_MAX + 64)

/* What is known of a client. All zero: nothing yet, and it is nobody. */
struct gate {
    char *user; /* malloc'ed; NULL: nobody */
    bool by_password;
    const struct access_view *view; /* of the snapshot of that generation */
    uint64_t generation;
    struct login *login; /* a password is being checked, a SCRAM exchange waits for its step, or an answer is put off */
};

/* Whether the snapshot in force asks anything of any client. */
bool gate_guards(const struct snapshot *snapshot);

/* Whether what the client sends next is for the proxy: not before it has logged in, where it must. */
bool gate_passes(struct client *client);
/* One step of a client that gate_passes does not let in: a login, or a refusal. As requests_step. */
enum request_step gate_step(struct client *client, size_t *need_out);
/* Whether the client may do that; every key of a READY request is looked at. */
bool gate_allows(struct client *client, const struct request *request);
/* The same for a command of one key (decoded; empty: none), as a text command would be named. */
bool gate_allows_key(struct client *client, enum verb verb, struct slice key);
/* Whether this is the login of a client that gate_passes has let in: see GATE_LOGIN_KEY. */
bool gate_is_login(const struct client *client, const struct request *request);
/* Takes its data block, CRLF included, and wipes it where it lies. silent: the client wants no answer. */
void gate_take_login(struct client *client, struct slice body, bool silent);

/* Whether clients of the binary protocol may log in here, by SASL. */
bool gate_takes_sasl(const struct client *client);
/*
 * SASL PLAIN: [AUTHORIZE] NUL USER NUL PASSWORD, where AUTHORIZE is nothing or USER. The answer comes in binary, to the request
 * `asked`. The message is wiped where it lies. A wrong one leaves the client without the login that it had.
 */
void gate_take_sasl_plain(struct client *client, const struct binary_asked *asked, struct slice message);
/*
 * SCRAM-SHA-256 (tls/scram.h): the first message, answered with status CONTINUE and the challenge, or refused; and the
 * final one, only where gate_awaits_step, which ends the exchange in any case. Good or wrong are what they are of PLAIN.
 */
void gate_take_scram_first(struct client *client, const struct binary_asked *asked, struct slice message);
void gate_take_scram_final(struct client *client, const struct binary_asked *asked, struct slice message);
/* Whether an exchange is between its two messages. */
bool gate_awaits_step(const struct client *client);
/* Forgets such an exchange, if there is one. */
void gate_end_exchange(struct client *client);
/* The mechanisms' names, as memcached lists them. SCRAM is offered where no user is without it: who chooses it gets in. */
struct slice gate_sasl_mechanisms(const struct client *client);

/* The client goes. */
void gate_leave(struct client *client);

#endif
