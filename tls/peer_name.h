/* The name in a certificate, such as can stand in a log and in a file of users. */
#ifndef RINGSIDE_TLS_PEER_NAME_H
#define RINGSIDE_TLS_PEER_NAME_H

#include <openssl/x509.h>

#define PEER_NAME_MAX_BYTES 256

/*
 * The first DNS, e-mail or URI subject alternative name, else the common name: visible ASCII without spaces, NUL-terminated. The
 * caller frees it. NULL: it has none.
 */
char *peer_name_of(const X509 *certificate);

#endif
