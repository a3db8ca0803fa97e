/*
 * What a configuration says by the names of files: certificates, users, passwords; and its rules. Read when a snapshot is
 * made, so that a file that cannot be used refuses the whole configuration.
 */
#ifndef RINGSIDE_CONFIG_SECURITY_H
#define RINGSIDE_CONFIG_SECURITY_H

#include "config/errors.h"
#include "config/model.h"
#include "config/registry.h"
#include "config/snapshot.h"

#include <stdbool.h>

/*
 * Fills in the snapshot's listen_*, pool_*, users and access. false: every error was added, each at the place where the
 * configuration names what is wrong; or none, and memory is out. Blocks on files, and on the system's list of users.
 */
bool security_load(struct snapshot *snapshot, const struct config *config, struct registry *registry,
                   struct config_errors *errors);
/* Gives back what was filled in, all or a part of it. */
void security_unload(struct snapshot *snapshot, struct registry *registry);

#endif
