/*
 * Owns the asking for a password and the writing of the file.
 *
 *      read FILE -- errors? --> told, status 1
 *      ask -- terminal: twice, echo off; signals put the terminal right first
 *      lock the folder -- read FILE again -- write FILE.XXXXXX -- fsync -- rename -- fsync the folder
 *
 * A reader sees the old file or the new one. What stands in it is tls/users.c's.
 */
#include "admin/passwd.h"

#include "admin/options.h"
#include "base/text.h"
#include "tls/password_hash.h"
#include "tls/scram_keys.h"
#include "tls/users.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

/* Room for a hash, a blank, and SCRAM's keys. */
#define SECRETS_TEXT_MAX (PASSWORD_HASH_TEXT_MAX + SCRAM_KEYS_TEXT_MAX)

struct password {
    char data[USERS_PASSWORD_MAX + 2];
    size_t len;
};

static int system_failure(const char *path, const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", path, what, strerror(errno));
    return EXIT_STATUS_SYSTEM;
}

static int input_failure(const char *what)
{
    fprintf(stderr, "ringside: %s\n", what);
    return EXIT_STATUS_INPUT;
}

/* ---- the password ---- */

static volatile sig_atomic_t caught_signal;

static void on_signal(int number)
{
    caught_signal = number;
}

static const int guarded_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
#define GUARDED_COUNT (sizeof guarded_signals / sizeof guarded_signals[0])

/* Signals that are blocked come only while it waits, and so end it: none gets lost before the read. */
static ssize_t read_byte(const sigset_t *waiting, char *c)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    if (ppoll(&in, 1, NULL, waiting) < 0 || caught_signal != 0)
        return -1;
    return read(STDIN_FILENO, c, 1);
}

/*
 * One line, without its end. waiting: the signals blocked while it waits; NULL: those that are. The bytes come singly, so that no buffer keeps them. false with errno; EINTR: a signal;
 * 0: the end before any byte.
 */
static bool read_line(const sigset_t *waiting, struct password *password)
{
    ssize_t got = 0;
    char c = '\0';
    password->len = 0;
    while ((got = read_byte(waiting, &c)) == 1 && c != '\n') {
        if (password->len < sizeof password->data)
            password->data[password->len++] = c;
    }
    if (caught_signal != 0)
        errno = EINTR;
    else if (got == 0 && password->len == 0)
        errno = 0;
    else if (got >= 0)
        return true;
    return false;
}

/* The same on a terminal that does not show it. A signal is taken when the terminal is as it was. */
static bool read_hidden(const char *prompt, struct password *password)
{
    struct termios before, hidden;
    struct sigaction saved[GUARDED_COUNT], action = {.sa_handler = on_signal};
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return false;
    sigset_t guarded, unguarded;
    sigemptyset(&guarded);
    for (size_t i = 0; i < GUARDED_COUNT; i++)
        sigaddset(&guarded, guarded_signals[i]);
    sigprocmask(SIG_BLOCK, &guarded, &unguarded);
    for (size_t i = 0; i < GUARDED_COUNT; i++)
        sigaction(guarded_signals[i], &action, &saved[i]);
    hidden = before;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    hidden.c_lflag |= ECHONL;
    bool done = tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) == 0;
    if (done) {
        fputs(prompt, stderr);
        done = read_line(&unguarded, password);
        int error = errno;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        errno = error;
    }
    int error = errno;
    for (size_t i = 0; i < GUARDED_COUNT; i++)
        sigaction(guarded_signals[i], &saved[i], NULL);
    sigprocmask(SIG_SETMASK, &unguarded, NULL);
    if (caught_signal != 0)
        raise(caught_signal);
    errno = error;
    return done;
}

static int explain_reading(void)
{
    return errno == 0 ? input_failure("there is no password") : system_failure("ringside", "no password can be read");
}

static int judge(const struct password *password)
{
    if (password->len == 0)
        return input_failure("the password is empty");
    if (password->len > USERS_PASSWORD_MAX)
        return input_failure("the password is longer than 1024 bytes");
    for (size_t i = 0; i < password->len; i++) {
        if ((unsigned char)password->data[i] < ' ' || password->data[i] == 0x7f)
            return input_failure("the password has control characters");
    }
    return EXIT_STATUS_DONE;
}

static int ask_twice(struct password *password)
{
    struct password again;
    int status = EXIT_STATUS_DONE;
    if (!read_hidden("Password: ", password))
        return explain_reading();
    status = judge(password);
    if (status != EXIT_STATUS_DONE)
        return status;
    if (!read_hidden("The same again: ", &again))
        status = explain_reading();
    else if (again.len != password->len || memcmp(again.data, password->data, again.len) != 0)
        status = input_failure("the two passwords differ; nothing was changed");
    OPENSSL_cleanse(&again, sizeof again);
    return status;
}

static int ask(struct password *password)
{
    if (isatty(STDIN_FILENO))
        return ask_twice(password);
    if (!read_line(NULL, password))
        return explain_reading();
    return judge(password);
}

/* ---- the file ---- */

/* The file's text, empty if it is not there; and what is wrong with it, told. */
static int read_users(const char *path, struct text *text)
{
    struct users_errors errors = {0};
    struct stat status;
    if (stat(path, &status) != 0)
        return errno == ENOENT ? EXIT_STATUS_DONE : system_failure(path, "cannot be read");
    if (!S_ISREG(status.st_mode)) {
        fprintf(stderr, "%s: is no regular file\n", path);
        return EXIT_STATUS_SYSTEM;
    }
    struct users *users = users_read(path, text, &errors) ? users_parse(text_slice(text), &errors) : NULL;
    for (size_t i = 0; i < errors.count; i++) {
        if (errors.items[i].line > 0)
            fprintf(stderr, "%s:%zu: %s\n", path, errors.items[i].line, errors.items[i].text);
        else
            fprintf(stderr, "%s: %s\n", path, errors.items[i].text);
    }
    bool good = users != NULL;
    users_unref(&users);
    return good ? EXIT_STATUS_DONE : errors.system_error != 0 ? EXIT_STATUS_SYSTEM : EXIT_STATUS_INPUT;
}

static bool write_all(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t written = write(fd, bytes.data, bytes.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        bytes = slice_make(bytes.data + written, bytes.len - (size_t)written);
    }
    return true;
}

/* Mode and owner of the file that is replaced. A new one keeps mkstemp's 0600. */
static bool take_over(int fd, const char *path)
{
    struct stat old, new;
    if (stat(path, &old) != 0)
        return errno == ENOENT;
    if (fstat(fd, &new) != 0)
        return false;
    if ((old.st_uid != new.st_uid || old.st_gid != new.st_gid) && fchown(fd, old.st_uid, old.st_gid) != 0)
        return false;
    return fchmod(fd, old.st_mode & 07777) == 0;
}

static int write_file(const char *path, struct slice bytes, int folder)
{
    char *temporary = NULL;
    if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
        return system_failure(path, "cannot be written");
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        int status = system_failure(path, "a new file beside it cannot be made");
        free(temporary);
        return status;
    }
    const char *wrong = NULL;
    if (!take_over(fd, path))
        wrong = "its mode and owner cannot be kept";
    else if (!write_all(fd, bytes) || fsync(fd) != 0)
        wrong = "cannot be written";
    else if (rename(temporary, path) != 0)
        wrong = "cannot be replaced";
    int status = wrong != NULL ? system_failure(path, wrong) : EXIT_STATUS_DONE;
    if (wrong != NULL)
        (void)unlink(temporary);
    else
        (void)fsync(folder);
    close(fd);
    free(temporary);
    return status;
}

/* The folder that the file lies in, open and locked against another passwd. -1 with errno. */
static int lock_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *name = slash == NULL   ? strdup(".")
                 : slash == path ? strdup("/")
                                 : slice_copy(slice_make(path, (size_t)(slash - path)));
    int fd = name != NULL ? open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(name);
    if (fd >= 0 && flock(fd, LOCK_EX) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int replace(const char *path, const char *name, const char *secrets)
{
    struct text old, new;
    text_init(&old);
    text_init(&new);
    int folder = lock_folder(path);
    int status = folder >= 0 ? read_users(path, &old) : system_failure(path, "its folder cannot be opened");
    if (status == EXIT_STATUS_DONE) {
        bool changed = users_replace_text(text_slice(&old), slice_make(name, strlen(name)),
                                          slice_make(secrets, strlen(secrets)), &new);
        errno = ENOMEM;
        status = new.failed ? system_failure(path, "cannot be written") : write_file(path, text_slice(&new), folder);
        if (status == EXIT_STATUS_DONE)
            printf("user %s %s\n", name, changed ? "changed" : "added");
    }
    if (folder >= 0)
        close(folder);
    text_fini(&old);
    text_fini(&new);
    return status;
}

/* What stands behind the colon: the hash, a blank, and SCRAM's keys. */
static bool make_secrets(const struct password *password, char out[SECRETS_TEXT_MAX])
{
    struct slice text = slice_make(password->data, password->len);
    if (!password_hash_make(text, out))
        return false;
    size_t len = strlen(out);
    out[len] = ' ';
    return scram_keys_make(text, out + len + 1);
}

/* With the file known to be good so far. */
static int ask_and_replace(const char *path, const char *name)
{
    char secrets[SECRETS_TEXT_MAX];
    struct password password;
    int status = ask(&password);
    if (status == EXIT_STATUS_DONE && !make_secrets(&password, secrets)) {
        fprintf(stderr, "ringside: no hash can be made: there is no memory, or there are no random bytes\n");
        status = EXIT_STATUS_SYSTEM;
    }
    OPENSSL_cleanse(&password, sizeof password);
    if (status == EXIT_STATUS_DONE)
        status = replace(path, name, secrets);
    return status;
}

int passwd_run(const char *path, const char *name)
{
    struct text text;
    if (!users_name_is_lawful(slice_make(name, strlen(name)))) {
        fprintf(stderr,
                "ringside: `%s` is no name: 1 to %d printable ASCII characters without space and colon; not `*`, no "
                "`#` first\n",
                name, USERS_NAME_MAX);
        return EXIT_STATUS_INPUT;
    }
    /* Through a symbolic link: the file itself is replaced, not the link. */
    char *real = realpath(path, NULL);
    if (real == NULL && errno != ENOENT)
        return system_failure(path, "cannot be read");
    text_init(&text);
    int status = read_users(real != NULL ? real : path, &text);
    text_fini(&text);
    if (status == EXIT_STATUS_DONE)
        status = ask_and_replace(real != NULL ? real : path, name);
    free(real);
    return status;
}
