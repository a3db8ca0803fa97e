/* Addresses as text: what config_address_parse reads, printed again, and told apart. */
#ifndef RINGSIDE_CONFIG_ADDRESS_H
#define RINGSIDE_CONFIG_ADDRESS_H

#include "base/text.h"
#include "config/model.h"

/* Appends host:port, [v6]:port or unix:path. */
void config_address_print(const struct config_address *address, struct text *out);

/*
 * Appends the same in one spelling only: names in small letters, IPv6 addresses in their short form. Two addresses
 * with equal identities are the same one. It does not look names up.
 */
void config_address_identify(const struct config_address *address, struct text *out);

/*
 * Puts directory (it ends with a slash, or is empty) before a relative path of a Unix socket. 0, or -1 with
 * *error_out a static text, and errno EINVAL or ENOMEM.
 */
int config_address_resolve(struct config_address *address, const char *directory, const char **error_out);

#endif
