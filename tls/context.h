/*
 * A TLS context: certificates, keys and rules in memory, made of a spec and its files. It can be refreshed while
 * connections use it: those that are open go on as they are, new ones take what is new.
 *
 *      spec -> tls_context_create (reads the files) -> tls_transport_open_server | tls_transport_open_client
 *                     ^ tls_context_refresh: reads them again, and keeps the old ones if anything is wrong
 *
 * Made, refreshed and destroyed by the control thread; opened by any thread. Reading of files blocks.
 */
#ifndef RINGSIDE_TLS_CONTEXT_H
#define RINGSIDE_TLS_CONTEXT_H

#include "tls/spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A sentence that names the file and what is wrong with it. */
#define TLS_ERROR_MAX 512

struct tls_context;

/*
 * The spec's strings are copied. NULL with the sentence in error_out; *error_field_out is then what of the spec it is about,
 * by its name in a configuration ("certificate", "key", "client_ca", "ca", "crl"; NULL: none, memory is out).
 */
struct tls_context *tls_context_create_server(const struct tls_server_spec *spec, char error_out[TLS_ERROR_MAX],
                                              const char **error_field_out);
struct tls_context *tls_context_create_client(const struct tls_client_spec *spec, char error_out[TLS_ERROR_MAX],
                                              const char **error_field_out);

/* Counted, since connections that are being opened may outlive a configuration. Thread-safe. */
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context **context);

/* Whether it was made of the same spec. */
bool tls_context_is_server(const struct tls_context *context, const struct tls_server_spec *spec);
bool tls_context_is_client(const struct tls_context *context, const struct tls_client_spec *spec);

/* Whether a file has changed since it was read (by its time, size or inode). */
bool tls_context_is_stale(const struct tls_context *context);
/* Reads the files again. false: as of create; what was read before stays in force, and is stale only when they change again. */
bool tls_context_refresh(struct tls_context *context, char error_out[TLS_ERROR_MAX]);

/* Seconds since 1970 at which the first of its own certificates expires; 0: it has none. */
int64_t tls_context_expires_unix_s(const struct tls_context *context); /* thread-safe */
/* What it is called for people: its certificate's file, or its authority's. */
const char *tls_context_name(const struct tls_context *context);

#endif
