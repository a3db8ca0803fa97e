/*
 * From the node tree to the model: the tables of all options, and what the parts of the configuration share in reading.
 */
#ifndef RINGSIDE_CONFIG_BIND_H
#define RINGSIDE_CONFIG_BIND_H

#include "config/model.h"
#include "config/option.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_PORT_DEFAULT 11211
#define CONFIG_LISTEN_DEFAULT "127.0.0.1:11211"
/* Pools and servers stand by name in error lines, statistics and metrics. */
#define CONFIG_NAME_LEN_MAX 128
/* A user's name may come from a certificate; it is longer there than a file of users takes. */
#define CONFIG_USER_LEN_MAX 255

extern const struct option_table config_table; /* over struct config */
extern const struct option_table limits_table; /* over struct config */
extern const struct option_table log_table;    /* over struct config */
extern const struct option_table listen_table; /* over struct config_listen */
extern const struct option_table pool_table;   /* over struct config_pool */
extern const struct option_table server_table; /* over struct config_server */

extern const struct option_table listen_tls_table; /* over struct config_listen */
extern const struct option_table identity_table;   /* over struct tls_identity */
extern const struct option_table pool_tls_table;   /* over struct config_pool */
extern const struct option_table pool_auth_table;  /* over struct config_pool */
extern const struct option_table users_table;      /* over struct config */
extern const struct option_table access_table;     /* over struct config_access_rule */

/* Reads a whole file's tree, from defaults to route, into binder->config. */
void bind_config(struct binder *binder, const struct yaml_node *root);

/* What a kind of route node may say, over struct route_spec; NULL: its value is no mapping of options. */
const struct option_table *bind_route_table(enum route_kind kind);
/* The route: when all pools are read. */
void bind_route(struct binder *binder, const struct yaml_node *root);

/* The parts of it; each of the type option_bind_fn. */
void bind_listens(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target);
void bind_pools(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target);
void bind_listen_tls(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target);
void bind_pool_tls(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target);
void bind_peers(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target);
void bind_pool_auth(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target);
/* When all of a pool has been read: its mechanism is the one that its protocol has. */
void bind_pool_mechanism(struct binder *binder, const struct yaml_node *value, struct config_pool *pool);
void bind_users(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target);
/* A path, made relative to the file's directory, into the option's char *. */
void bind_path(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target);

/* What each listener's clients log in with, and the rules: when listeners and users are read. */
void bind_auth(struct binder *binder, const struct yaml_node *root);
void bind_access(struct binder *binder);

/* Listens where nothing was said. */
void bind_default_listen(struct binder *binder);

/* Reads an address. what: "server" or "listener". On an error address_out stays all zero. */
void bind_address(struct binder *binder, const char *what, const struct yaml_node *value, bool allow_port_zero,
                  struct config_address *address_out);
/* The address as text, malloc'ed; NULL if there is none, or memory is out. */
char *bind_label(struct binder *binder, const struct config_address *address);
/* The same in one spelling only (config_address_identify). */
char *bind_identity(struct binder *binder, const struct config_address *address);
/* Whether text can be a name of what ("pool", "server"); if not, an error at node's place. */
bool bind_check_name(struct binder *binder, const char *what, const struct yaml_node *node, struct slice text);

/* One of several things of which no two may be the same. */
struct bind_twin {
    char *identity; /* malloc'ed; NULL: it takes no part */
    const struct yaml_node *place;
    size_t rank; /* its number among all */
    bool refused;
};

/*
 * Adds an error for each that is the same as an earlier one: before, its identity, after. Sets `refused` there, and
 * frees all identities. The order stays.
 */
void bind_refuse_twins(struct binder *binder, struct bind_twin *twins, size_t count, const char *before,
                       const char *after);

#endif
