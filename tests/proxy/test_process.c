/*
 * Tests of proxy/process: users that are there and that are not, becoming one for good, and the kernel's switches. What
 * needs root is left out where the test is not run as root. What cannot be taken back happens in a process of its own.
 */
#include "proxy/process.h"

#include "tests/support/suite.h"

#include <check.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OTHER "nobody"

/* Runs a step in a process of its own; it gives 0 if all went well, or the number of what did not. */
static void in_a_child(int (*step)(void))
{
    int status;
    (void)fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(step());
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %#x", status);
}

static void expect_stays(const char *name)
{
    struct process_user user;
    struct text error;
    text_init(&error);
    ck_assert_int_eq(process_find_user(name, &user, &error), 0);
    ck_assert(!user.changes);
    ck_assert_int_eq(process_become(&user, &error), 0);
    ck_assert_uint_eq(error.len, 0);
    text_fini(&error);
}

START_TEST(nobody_named_is_whoever_it_is)
{
    uid_t before = geteuid();
    expect_stays(NULL);
    const struct passwd *own = getpwuid(before);
    if (own != NULL)
        expect_stays(own->pw_name);
    ck_assert_uint_eq(geteuid(), before);
}
END_TEST

START_TEST(an_unknown_user_is_told)
{
    struct process_user user;
    struct text error;
    text_init(&error);
    ck_assert_int_eq(process_find_user("no-such-user", &user, &error), -1);
    ck_assert_str_eq(error.data, "user `no-such-user`: this machine has no such user");
    ck_assert(!user.changes);
    text_fini(&error);
}
END_TEST

/* As OTHER, with root's and another group given up. */
static int become_other(void)
{
    struct process_user user;
    struct text error;
    gid_t groups[64], strange = 12345;
    text_init(&error);
    if (setgroups(1, &strange) != 0 || process_find_user(OTHER, &user, &error) != 0 || !user.changes)
        return 1;
    uid_t uid = user.uid;
    if (process_become(&user, &error) != 0 || error.len != 0)
        return 2;
    if (getuid() != uid || geteuid() != uid || getgid() != user.gid || getegid() != user.gid)
        return 3;
    if (setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0 || setgroups(0, NULL) == 0)
        return 4;
    int count = getgroups(64, groups);
    for (int i = 0; i < count; i++) {
        if (groups[i] == strange)
            return 5;
    }
    return process_is_root() ? 6 : 0;
}

START_TEST(root_becomes_a_user_for_good)
{
    if (process_is_root())
        in_a_child(become_other);
}
END_TEST

/* Capabilities that outlive the change of user let root come back: this must be found out. */
static int become_with_capabilities_kept(void)
{
    struct process_user user;
    struct text error;
    struct stat tasks;
    text_init(&error);
    /* These bits are a thread's own, and ThreadSanitizer has a thread that would differ. */
    if (stat("/proc/self/task", &tasks) != 0 || tasks.st_nlink != 3)
        return 0;
    if (prctl(PR_SET_SECUREBITS, 1L << 2 /* SECBIT_NO_SETUID_FIXUP */, 0L, 0L, 0L) != 0)
        return 0;
    if (process_find_user(OTHER, &user, &error) != 0)
        return 1;
    if (process_become(&user, &error) != -1)
        return 2;
    return strcmp(error.data, "cannot become the user `" OTHER "`: root could be had back") == 0 ? 0 : 3;
}

START_TEST(a_way_back_to_root_is_found)
{
    if (process_is_root())
        in_a_child(become_with_capabilities_kept);
}
END_TEST

static int name_another_user(void)
{
    struct process_user user;
    struct text error;
    text_init(&error);
    if (process_is_root() && setresuid(54321, 54321, 54321) != 0)
        return 1;
    if (process_find_user("root", &user, &error) != -1 || user.changes)
        return 2;
    return strstr(error.data, "user `root`: only root can become another user") == error.data ? 0 : 3;
}

START_TEST(who_is_not_root_becomes_nobody_else)
{
    in_a_child(name_another_user);
}
END_TEST

/* A build with AddressSanitizer leaves it out: see process.c. */
static bool process_protects(void)
{
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
    return false;
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
    return false;
#else
    return true;
#endif
}

static int use_switches(void)
{
    if (process_forbid_gains() != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0L, 0L, 0L, 0L) != 1)
        return 1;
    process_protect_secrets();
    process_protect_secrets();
    return process_protects() && prctl(PR_GET_DUMPABLE, 0L, 0L, 0L, 0L) != 0 ? 2 : 0;
}

START_TEST(the_switches_are_on)
{
    in_a_child(use_switches);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("process");
    tcase_add_test(tcase, nobody_named_is_whoever_it_is);
    tcase_add_test(tcase, an_unknown_user_is_told);
    tcase_add_test(tcase, root_becomes_a_user_for_good);
    tcase_add_test(tcase, a_way_back_to_root_is_found);
    tcase_add_test(tcase, who_is_not_root_becomes_nobody_else);
    tcase_add_test(tcase, the_switches_are_on);
    return suite_run("proxy/process", tcase);
}
