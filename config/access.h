/* The rules of a configuration (struct config_access_rule): made ready, and in words. */
#ifndef RINGSIDE_CONFIG_ACCESS_H
#define RINGSIDE_CONFIG_ACCESS_H

#include "base/text.h"
#include "config/model.h"
#include "tls/access.h"

/* As access_compile, of all rules over all listeners. The configuration may go afterwards. */
struct access *config_access_compile(const struct config *config, access_error_fn *on_error, void *context);

/* Appends "app: commands read write, keys app:*, listeners 127.0.0.1:11211". */
void config_access_print(const struct config_access_rule *rule, struct text *out);

#endif
