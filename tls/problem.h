/* What to tell people of a TLS connection that has failed. For tls/ alone. */
#ifndef RINGSIDE_TLS_PROBLEM_H
#define RINGSIDE_TLS_PROBLEM_H

#include <openssl/ssl.h>
#include <stdbool.h>

/* How far it had come. */
enum problem_stage {
    PROBLEM_SHAKING, /* in the handshake */
    PROBLEM_OPEN,
};

/*
 * A sentence's end, to be freed. code: OpenSSL's first error, 0 if it names none; cut: the peer's end came without its word.
 * NULL: nothing more is known than errno says, or memory is out.
 */
char *problem_of(const SSL *ssl, enum problem_stage stage, unsigned long code, bool cut);

/* Why a handshake that is still going on has come to nothing, for whom its time is over. Lives for ever. */
const char *problem_of_waiting(const SSL *ssl);

#endif
