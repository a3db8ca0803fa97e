/*
 * The keys that session tickets are sealed with (RFC 5077, RFC 8446 4.6.1). They are made here, live in memory alone, and are shared
 * by all threads that serve a context.
 *
 *      keys[0] seals and opens for TICKET_KEY_LIFE_S, then opens only: keys[1], keys[2], gone
 *
 * Thread-safe.
 */
#ifndef RINGSIDE_TLS_TICKETS_H
#define RINGSIDE_TLS_TICKETS_H

#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define TICKET_KEYS 3
#define TICKET_KEY_LIFE_S (12 * 3600)
#define TICKET_NAME_BYTES 16

struct ticket_key {
    int64_t made_s; /* monotonic; 0: none */
    unsigned char name[TICKET_NAME_BYTES];
    unsigned char cipher[32];
    unsigned char mac[32];
};

struct tickets {
    pthread_mutex_t lock;
    struct ticket_key keys[TICKET_KEYS]; /* the newest first */
    uint64_t generation;                 /* of the rules that its tickets' clients were judged by */
};

void tickets_init(struct tickets *tickets);
void tickets_fini(struct tickets *tickets);
/*
 * Other rules are in force. judging: no ticket of clients that were judged by earlier ones is taken from now on, nor made, though
 * their handshakes may still be going on.
 */
void tickets_renew(struct tickets *tickets, uint64_t generation, bool judging);

/*
 * As SSL_CTX_set_tlsext_ticket_key_evp_cb(3) wants it. generation: of the rules that the connection was opened by; where it is not
 * that of tickets_renew, and these judge, the ticket is one that nobody can open.
 */
int tickets_use(struct tickets *tickets, uint64_t generation, unsigned char *name, unsigned char *iv,
                EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypts);

#endif
