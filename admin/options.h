/* The command line, parsed: which sub-command, and its options. */
#ifndef RINGSIDE_ADMIN_OPTIONS_H
#define RINGSIDE_ADMIN_OPTIONS_H

#include <stddef.h>

enum exit_status {
    EXIT_STATUS_DONE = 0,
    EXIT_STATUS_INPUT = 1,  /* the input was wrong */
    EXIT_STATUS_USAGE = 2,  /* the command line was wrong */
    EXIT_STATUS_SYSTEM = 3, /* the system refused */
};

struct options;

struct command {
    const char *name; /* "" for serving */
    const char *synopsis;
    const char *help;
    int (*run)(const struct options *options); /* an exit status */
};

/* The strings are argv's. */
struct options {
    const struct command *command;
    const char *config_path; /* NULL: not given */
    const char **servers;
    size_t server_count;
    const char **listens;
    size_t listen_count;
    const char *user;      /* --user; NULL: not given */
    const char *keys_path; /* --keys; NULL: not given */
    const char **keys;     /* what stands behind the options: keys, plan's two files, passwd's file and name */
    size_t key_count;
};

/* 0; or EXIT_STATUS_USAGE or _SYSTEM after saying what is wrong. options_fini is to be called in every case. */
int options_parse(struct options *options, int argc, char **argv);
void options_fini(struct options *options);

/* --help and --version. */
int options_help(const struct options *options);
int options_version(const struct options *options);

#endif
