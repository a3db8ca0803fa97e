/*
 * What the process may do. Started as root it opens its sockets and reads its files, then becomes a user of no rights
 * for good; it never gains rights again; and what it holds in memory is kept from core dumps and debuggers.
 *
 *      process_forbid_gains    before the first thread: threads inherit it
 *      process_find_user       before anything is opened: an unknown user costs nothing
 *      process_become          when all that needs root is open; all threads change, those that run already too
 *      process_protect_secrets
 */
#ifndef RINGSIDE_PROXY_PROCESS_H
#define RINGSIDE_PROXY_PROCESS_H

#include "base/text.h"

#include <stdbool.h>
#include <sys/types.h>

/* Whom the process shall run as. */
struct process_user {
    const char *name; /* the caller's; NULL: whoever it is */
    uid_t uid;        /* these two only if it changes */
    gid_t gid;
    bool changes; /* it is root, and shall be somebody else */
};

/*
 * Looks a user up. name, kept: NULL for whoever it is. 0; or -1 with a sentence in *error_out: there is no such user,
 * or this process is not root and not that user.
 */
int process_find_user(const char *name, struct process_user *user_out, struct text *error_out);

/*
 * Becomes that user, with its groups and no capabilities, and makes sure that root cannot be had back. Nothing if it
 * does not change. 0; or -1 with a sentence in *error_out: the process has to end then, it may be half of each.
 */
int process_become(const struct process_user *user, struct text *error_out);

/* Runs as root, now. */
bool process_is_root(void);

/* From now on no program that is executed gains rights (set-user-ID, capabilities of files). 0, or -1 with errno. */
int process_forbid_gains(void);

/*
 * No core dump is written, and no process without CAP_SYS_PTRACE reads this one's memory. To be called after
 * process_become: the kernel forgets it there. May be called again.
 */
void process_protect_secrets(void);

#endif
