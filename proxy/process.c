/*
 * Owns the process's user, and the kernel's switches over what it may do.
 *
 *     root --- sockets, files ---> initgroups -> setresgid -> setresuid -> root again? ---> user
 *                                  while root still  real, effective, saved    it must fail
 *
 * What the user database says is not kept: a user is looked up once, at the start.
 */
#include "proxy/process.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* LeakSanitizer looks at its own process as a debugger does, which process_protect_secrets would forbid. */
#if defined(__SANITIZE_ADDRESS__)
#define LOOKS_AT_ITSELF true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LOOKS_AT_ITSELF true
#endif
#endif
#ifndef LOOKS_AT_ITSELF
#define LOOKS_AT_ITSELF false
#endif

/* The database's entry, or NULL after saying why. */
static const struct passwd *look_up(const char *name, struct text *error_out)
{
    errno = 0;
    const struct passwd *entry = getpwnam(name);
    if (entry != NULL)
        return entry;
    /* These are the ways in which look-ups say that there is none. */
    bool none = errno == 0 || errno == ENOENT || errno == ESRCH || errno == EBADF || errno == EPERM;
    text_appendf(error_out, none ? "user `%s`: this machine has no such user" : "user `%s` cannot be looked up: %s",
                 name, strerror(errno));
    return NULL;
}

int process_find_user(const char *name, struct process_user *user_out, struct text *error_out)
{
    *user_out = (struct process_user){.name = name};
    if (name == NULL)
        return 0;
    const struct passwd *entry = look_up(name, error_out);
    if (entry == NULL)
        return -1;
    if (entry->pw_uid == geteuid())
        return 0;
    if (!process_is_root()) {
        text_appendf(error_out,
                     "user `%s`: only root can become another user, and this process has uid %lu; start it as root or "
                     "as that user, or leave `user` out",
                     name, (unsigned long)geteuid());
        return -1;
    }
    user_out->uid = entry->pw_uid;
    user_out->gid = entry->pw_gid;
    user_out->changes = true;
    return 0;
}

/* Whether every id is the user's, and root's are out of reach. */
static bool is_wholly(const struct process_user *user)
{
    uid_t uids[3];
    gid_t gids[3];
    if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 || getresgid(&gids[0], &gids[1], &gids[2]) != 0)
        return false;
    for (size_t i = 0; i < 3; i++) {
        if (uids[i] != user->uid || gids[i] != user->gid)
            return false;
    }
    return setresuid((uid_t)-1, 0, (uid_t)-1) != 0 && (user->gid == 0 || setresgid((gid_t)-1, 0, (gid_t)-1) != 0);
}

int process_become(const struct process_user *user, struct text *error_out)
{
    if (!user->changes)
        return 0;
    if (initgroups(user->name, user->gid) != 0 || setresgid(user->gid, user->gid, user->gid) != 0 ||
        setresuid(user->uid, user->uid, user->uid) != 0) {
        text_appendf(error_out, "cannot become the user `%s`: %s; it takes CAP_SETUID and CAP_SETGID", user->name,
                     strerror(errno));
        return -1;
    }
    if (!is_wholly(user)) {
        text_appendf(error_out, "cannot become the user `%s`: root could be had back", user->name);
        return -1;
    }
    return 0;
}

bool process_is_root(void)
{
    return geteuid() == 0;
}

int process_forbid_gains(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L);
}

void process_protect_secrets(void)
{
    if (!LOOKS_AT_ITSELF)
        (void)prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L);
}
