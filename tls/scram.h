/*
 * The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding; no I/O, nothing slow.
 *
 *      client-first   n,,n=app,r=CLIENT             scram_first_parse, scram_create
 *      server-first   r=CLIENT+SERVER,s=SALT,i=N    scram_challenge
 *      client-final   c=biws,r=...,p=PROOF          scram_finish
 *      server-final   v=SIGNATURE
 *
 * The client shows that it knows what made STORED (tls/scram_keys.h), and the server that it has SERVER; the password does
 * not travel. What is signed is all three messages, so that none can be changed under way.
 *
 * Taken are a name, one to act for that must be the same, and extensions that may be passed over; not "p=" (channel
 * binding, which is not offered) nor "m=" (an extension that may not).
 */
#ifndef RINGSIDE_TLS_SCRAM_H
#define RINGSIDE_TLS_SCRAM_H

#include "base/slice.h"
#include "tls/hash_text.h"
#include "tls/scram_keys.h"

#include <stdbool.h>
#include <stddef.h>

#define SCRAM_MECHANISM "SCRAM-SHA-256"

/* No message of a client may be longer. */
#define SCRAM_MESSAGE_MAX 1024
/* A server's share of the nonce: 18 bytes by chance, in base64. */
#define SCRAM_NONCE_LEN 24
/* Room for server-final, without NUL. */
#define SCRAM_FINAL_MAX (2 + HASH_TEXT_ROOM(SCRAM_KEY))

/* A client-first, taken apart. All slices but the name lie in the message. */
struct scram_first {
    struct slice gs2;             /* "n,," */
    struct slice bare;            /* what stands behind it */
    struct slice nonce;           /* the client's share */
    size_t name_len;              /* at least 1 */
    char name[SCRAM_MESSAGE_MAX]; /* "=2C" and "=3D" made ',' and '=' */
};

enum scram_verdict {
    SCRAM_GOOD,
    SCRAM_WRONG,  /* the proof is none of the password; or nobody has such a name; or memory is out */
    SCRAM_BROKEN, /* the message is malformed, or is no answer to this challenge */
};

/* One exchange, between client-first and client-final. */
struct scram;

/* false: it is malformed, asks for what there is not, or acts for somebody else. */
bool scram_first_parse(struct slice message, struct scram_first *first_out);

/* A share of the nonce. false: there are no random bytes. */
bool scram_nonce_make(char nonce_out[SCRAM_NONCE_LEN + 1]);

/*
 * The exchange that a client-first begins; all is copied. known: these are a user's keys; else the exchange goes the same
 * way, and ends SCRAM_WRONG. nonce: the server's share, printable ASCII without comma. NULL when memory is out.
 */
struct scram *scram_create(const struct scram_first *first, const struct scram_keys *keys, bool known,
                           struct slice nonce);
/* Wipes and frees it. NULL is allowed. */
void scram_destroy(struct scram **scram);

/* server-first, and the client's name; valid as long as the exchange. */
struct slice scram_challenge(const struct scram *scram);
struct slice scram_name(const struct scram *scram);

/*
 * Judges a client-final. GOOD: server-final is written to final_out, its length to *len_out. The time that it takes does
 * not tell a known name from another, nor how much of a proof is right. An exchange is to be finished once.
 */
enum scram_verdict scram_finish(const struct scram *scram, struct slice message, char final_out[SCRAM_FINAL_MAX],
                                size_t *len_out);

#endif
