/*
 * The configuration as data: what the file says, checked, with every default filled in. Plain and still: it knows no
 * sockets, and nobody changes it after config_load. Of certificates, users and passwords it holds the paths alone: the
 * files are read by config/security.h.
 */
#ifndef RINGSIDE_CONFIG_MODEL_H
#define RINGSIDE_CONFIG_MODEL_H

#include "routing/spec.h"
#include "tls/spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* HOST:PORT, [V6]:PORT, unix:PATH, for servers and listeners alike. */
struct config_address {
    char *host;    /* name or address without brackets; the path for a Unix socket */
    uint16_t port; /* 0 with is_unix */
    bool is_unix;
};

struct config_server {
    struct config_address address;
    char *name;      /* NULL: not given */
    char *label;     /* never NULL: the name if given, else the address as text (host:port, [v6]:port, unix:path) */
    uint32_t weight; /* 1 if not given */
    int line, column;
};

enum config_on_down { CONFIG_ON_DOWN_NEXT, CONFIG_ON_DOWN_HOLD };
enum config_on_error { CONFIG_ON_ERROR_ERROR, CONFIG_ON_ERROR_MISS };
enum config_on_return { CONFIG_ON_RETURN_KEEP, CONFIG_ON_RETURN_FLUSH };

/* A file that a `tls` names, so that what is wrong with the file can be told at its place. */
struct config_tls_file {
    const char *option; /* "certificate", "key", "client_ca", "ca", "crl"; static */
    const char *path;   /* the spec's */
    int line, column;
};

struct config_tls_files {
    struct config_tls_file *items;
    size_t count;
    int line, column; /* of the `tls` itself */
};

/* What a pool's servers are spoken to in. */
enum config_protocol { CONFIG_PROTOCOL_TEXT, CONFIG_PROTOCOL_BINARY };

/* How a pool shows its servers who it is: ascii over text, sasl (PLAIN) over binary. */
enum config_mechanism { CONFIG_MECHANISM_ASCII, CONFIG_MECHANISM_SASL };

struct config_pool_auth {
    char *user;          /* NULL: there is no authentication */
    char *password_file; /* exactly one of both */
    char *password_env;
    enum config_mechanism mechanism;
    int line, column; /* of the file's or the variable's name */
};

struct config_pool {
    char *name;
    struct config_server *servers;
    size_t server_count; /* at least 1 */
    char *distribution;  /* a name that ring_distributions() has */
    char *hash;          /* a name that hash_names() has */
    char hash_tag[2];    /* both 0: none */
    enum config_protocol protocol;
    uint32_t connections; /* to each server, from each worker */
    uint32_t connect_timeout_ms;
    uint32_t timeout_ms;
    uint32_t health_failures;
    uint32_t health_probe_ms;
    uint32_t health_probe_max_ms;
    uint32_t health_panic_percent;
    enum config_on_down on_down;
    enum config_on_error on_error;
    enum config_on_return on_return;
    bool has_tls;
    struct tls_client_spec tls;
    struct config_tls_files tls_files;
    struct config_pool_auth auth;
    int line, column;
};

enum config_auth {
    CONFIG_AUTH_NONE,     /* no password is taken; certificates and peers still say who a client is */
    CONFIG_AUTH_OPTIONAL, /* who does not log in is nobody, for whom the rules for everybody stand */
    CONFIG_AUTH_REQUIRED, /* who has not logged in may do nothing */
};

/* Which user a process at the other end of a Unix socket is. */
struct config_peer {
    char *name; /* of the system's user, or its number in digits */
    char *user; /* Ringside's */
    int line, column;
};

struct config_listen {
    struct config_address address;
    char *label;    /* the address as text */
    mode_t mode;    /* Unix sockets; 0700 by default */
    uint32_t *deny; /* denied commands, as enum verb values */
    size_t deny_count;
    bool has_tls;
    struct tls_server_spec tls;
    struct config_tls_files tls_files;
    enum config_auth auth;
    struct config_peer *peers; /* by name */
    size_t peer_count;
    int line, column;
};

struct config_strings {
    char **items;
    size_t count;
};

/* See tls/access.h. */
struct config_access_rule {
    char *user;
    struct config_strings keys;      /* none: every key */
    struct config_strings commands;  /* at least one */
    struct config_strings listeners; /* labels of listeners; none: every listener */
};

struct config_limits {
    uint32_t clients;
    uint64_t item_size_bytes;
    uint64_t memory_bytes;
    uint32_t pipeline;     /* requests of one client under way */
    uint32_t idle_ms;      /* 0: never */
    uint32_t stall_ms;     /* half a request, or replies not taken, without a byte of progress; 0: never */
    uint32_t handshakes;   /* of TLS with clients, under way at once, of all workers */
    uint32_t handshake_ms; /* for one of them */
    uint32_t drain_ms;
};

enum config_log_format { CONFIG_LOG_TEXT, CONFIG_LOG_JSON };

struct config {
    char *path;            /* the file, or NULL when it came from the command line */
    uint32_t workers;      /* 0: one a CPU */
    char *user;            /* whom to run as when started as root; NULL: not given */
    bool coalesce;         /* a busy worker lets requests gather: proxy/coalesce.h */
    uint32_t busy_poll_us; /* for so long a worker looks for events before it waits; 0: not at all */
    struct config_listen *listens;
    size_t listen_count;
    struct config_limits limits;
    int log_level; /* enum log_level of base/log.h */
    enum config_log_format log_format;
    struct config_pool *pools;
    size_t pool_count;
    struct route_spec *route; /* never NULL */
    char *users_file;         /* NULL: there are no passwords */
    int users_line, users_column;
    struct config_access_rule *access; /* in order; once there is one, what none allows is refused */
    size_t access_count;
};

/* One thing wrong. Lines and columns count from 1; 0: the file as a whole. */
struct config_error {
    int line, column;
    char *text; /* what was found, and what would be right */
};

struct config_errors {
    struct config_error *items;
    size_t count;
    int system_error; /* errno value when the system refused (file unreadable, memory out), else 0 */
};

/*
 * Reads and checks a file. NULL if anything is wrong: errors_out then holds every error found, in the order of the
 * file. Nothing is ever half-applied. errors_out is always to be given to config_errors_fini.
 */
struct config *config_load(const char *path, struct config_errors *errors_out);
/* The same over text in memory; path is only for messages and relative paths, and may be NULL. */
struct config *config_parse(const char *text, size_t len, const char *path, struct config_errors *errors_out);
/* One ketama pool `main` from the command line: --server and --listen arguments. Errors have line 0. */
struct config *config_from_servers(const char *const *servers, size_t server_count, const char *const *listens,
                                   size_t listen_count, struct config_errors *errors_out);
void config_destroy(struct config **config);
void config_errors_fini(struct config_errors *errors);

/* Parses HOST:PORT, HOST, [V6]:PORT, [V6], unix:PATH. 0, or -1 with *error_out a static text. Port 0 is allowed only
 * when allow_port_zero (listeners: the kernel chooses). default_port is used where none stands. */
int config_address_parse(const char *text, uint16_t default_port, bool allow_port_zero,
                         struct config_address *address_out, const char **error_out);
void config_address_fini(struct config_address *address);

#endif
