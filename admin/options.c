/*
 * Owns the tables of commands and options, from which the command line is parsed and --help is made. docs/ringside.1
 * says the same; tests/flow/test_docs.py compares them.
 */
#include "admin/options.h"

#include "admin/commands.h"

#include <event2/event.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <yaml.h>

#ifndef RINGSIDE_VERSION
#define RINGSIDE_VERSION "unknown"
#endif

static const struct command commands[] = {
    {"", "-c FILE | --server H:P [--server H:P ...] [--listen ADDRESS ...] [--user NAME]",
     "serve in the foreground, with a file, or without one: then one ketama pool", commands_serve},
    {"check", "check -c FILE", "check a configuration and print a summary", commands_check},
    {"route", "route -c FILE KEY...", "tell where each key goes, and why", commands_route},
    {"plan", "plan OLD NEW [--keys FILE]", "tell what a change of the configuration would move", commands_plan},
    {"passwd", "passwd FILE NAME", "add a user to a file of users, or change the password", commands_passwd},
    {"--help", "--help", "print this", options_help},
    {"--version", "--version", "print the version and what was built in", options_version},
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

enum option_id { OPTION_CONFIG, OPTION_SERVER, OPTION_LISTEN, OPTION_USER, OPTION_KEYS };

static const struct {
    enum option_id id;
    const char *short_name;
    const char *long_name;
    const char *argument;
    const char *help;
} option_table[] = {
    {OPTION_CONFIG, "-c", "--config", "FILE", "the configuration file (YAML)"},
    {OPTION_SERVER, "-s", "--server", "H:P",
     "a server: HOST:PORT, [V6]:PORT or unix:PATH; may be given more than once"},
    {OPTION_LISTEN, "-l", "--listen", "ADDRESS",
     "where clients connect: as a server is written; 127.0.0.1:11211 if not given"},
    {OPTION_USER, "-u", "--user", "NAME", "whom to run as when started as root; goes before `user` in the file"},
    {OPTION_KEYS, "-k", "--keys", "FILE", "plan: the keys to look at, one a line; a million made-up ones if not given"},
};
#define OPTION_COUNT (sizeof option_table / sizeof option_table[0])

static int usage_error(const char *what, const char *argument)
{
    fprintf(stderr, "ringside: %s%s%s%s; see `ringside --help`\n", what, argument != NULL ? " `" : "",
            argument != NULL ? argument : "", argument != NULL ? "`" : "");
    return EXIT_STATUS_USAGE;
}

int options_help(const struct options *options)
{
    (void)options;
    printf("Ringside: a smart routing proxy for memcached, beside the application.\n\nUsage:\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  ringside %s\n        %s\n", commands[i].synopsis, commands[i].help);
    printf("\nOptions:\n");
    for (size_t i = 0; i < OPTION_COUNT; i++)
        printf("  %s, %s %s\n        %s\n", option_table[i].short_name, option_table[i].long_name,
               option_table[i].argument, option_table[i].help);
    printf(
        "\nSignals: HUP reads the configuration again; TERM and INT finish what is under way and exit, at once when "
        "sent twice.\nExit status: 0 done; 1 the input was wrong; 2 the command line was wrong; 3 the system refused.\n"
        "The manual: ringside(1).\n");
    return EXIT_STATUS_DONE;
}

int options_version(const struct options *options)
{
    (void)options;
    unsigned xxhash = XXH_versionNumber();
    printf("ringside %s\nbuilt with libevent %s, libyaml %s, xxHash %u.%u.%u, OpenSSL %s\n", RINGSIDE_VERSION,
           event_get_version(), yaml_get_version_string(), xxhash / 10000, xxhash / 100 % 100, xxhash % 100,
           OpenSSL_version(OPENSSL_VERSION_STRING));
    return EXIT_STATUS_DONE;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    if (strcmp(name, "-h") == 0)
        return find_command("--help");
    if (strcmp(name, "-V") == 0)
        return find_command("--version");
    return NULL;
}

static int take_option(struct options *options, enum option_id id, const char *value)
{
    switch (id) {
    case OPTION_CONFIG:
        if (options->config_path != NULL)
            return usage_error("-c is given twice", NULL);
        options->config_path = value;
        return 0;
    case OPTION_SERVER:
        options->servers[options->server_count++] = value;
        return 0;
    case OPTION_USER:
        if (options->user != NULL)
            return usage_error("--user is given twice", NULL);
        if (value[0] == '\0')
            return usage_error("a value is missing behind", "--user");
        options->user = value;
        return 0;
    case OPTION_KEYS:
        if (options->keys_path != NULL)
            return usage_error("--keys is given twice", NULL);
        options->keys_path = value;
        return 0;
    case OPTION_LISTEN:
        options->listens[options->listen_count++] = value;
        return 0;
    }
    return EXIT_STATUS_USAGE;
}

/* One option at argv[*i], with its value behind it or behind '='. */
static int parse_option(struct options *options, int argc, char **argv, int *i)
{
    const char *argument = argv[*i];
    for (size_t o = 0; o < OPTION_COUNT; o++) {
        size_t len = strlen(option_table[o].long_name);
        if (strncmp(argument, option_table[o].long_name, len) == 0 && argument[len] == '=')
            return take_option(options, option_table[o].id, argument + len + 1);
        if (strcmp(argument, option_table[o].short_name) != 0 && strcmp(argument, option_table[o].long_name) != 0)
            continue;
        if (*i + 1 >= argc)
            return usage_error("a value is missing behind", argument);
        return take_option(options, option_table[o].id, argv[++*i]);
    }
    return usage_error("unknown option", argument);
}

static int check_plan_options(const struct options *options)
{
    if (options->config_path != NULL || options->server_count + options->listen_count > 0)
        return usage_error("plan takes two files, without -c, --server and --listen", NULL);
    if (options->key_count < 2)
        return usage_error("OLD or NEW is missing", NULL);
    if (options->key_count > 2)
        return usage_error("nothing goes behind", options->keys[1]);
    return 0;
}

static int check_passwd_options(const struct options *options)
{
    if (options->config_path != NULL || options->keys_path != NULL || options->server_count + options->listen_count > 0)
        return usage_error("passwd takes a file and a name, without options", NULL);
    if (options->key_count < 2)
        return usage_error("FILE or NAME is missing", NULL);
    if (options->key_count > 2)
        return usage_error("nothing goes behind", options->keys[1]);
    return 0;
}

/* Whether the options given make sense together. */
static int check_options(const struct options *options)
{
    const struct command *command = options->command;
    if (command->run == options_help || command->run == options_version)
        return 0;
    if (options->user != NULL && command->run != commands_serve)
        return usage_error("--user goes with serving alone", NULL);
    if (command->run == commands_plan)
        return check_plan_options(options);
    if (command->run == commands_passwd)
        return check_passwd_options(options);
    if (options->keys_path != NULL)
        return usage_error("--keys goes with plan alone", NULL);
    if (options->config_path != NULL && options->server_count + options->listen_count > 0)
        return usage_error("-c goes without --server and --listen", NULL);
    if (command->run == commands_serve) {
        if (options->key_count > 0)
            return usage_error("unknown command", options->keys[0]);
        if (options->config_path == NULL && options->server_count == 0)
            return usage_error("-c FILE or --server H:P is missing", NULL);
        return 0;
    }
    if (options->config_path == NULL && (command->run != commands_route || options->server_count == 0))
        return usage_error("-c FILE is missing", NULL);
    if (command->run == commands_route && options->key_count == 0)
        return usage_error("a KEY is missing", NULL);
    if (command->run == commands_check && options->key_count > 0)
        return usage_error("check takes -c FILE and nothing more, not", options->keys[0]);
    return 0;
}

int options_parse(struct options *options, int argc, char **argv)
{
    *options = (struct options){.command = &commands[0]};
    size_t room = (size_t)argc + 1;
    options->servers = calloc(room, sizeof(char *));
    options->listens = calloc(room, sizeof(char *));
    options->keys = calloc(room, sizeof(char *));
    if (options->servers == NULL || options->listens == NULL || options->keys == NULL) {
        fprintf(stderr, "ringside: out of memory\n");
        return EXIT_STATUS_SYSTEM;
    }
    int i = 1;
    if (argc < 2)
        return usage_error("nothing to do", NULL);
    const struct command *command = argv[1][0] != '\0' ? find_command(argv[1]) : NULL;
    if (command != NULL) {
        options->command = command;
        i = 2;
    }
    bool only_keys = false;
    for (; i < argc; i++) {
        if (!only_keys && strcmp(argv[i], "--") == 0) {
            only_keys = true;
        } else if (!only_keys && argv[i][0] == '-' && argv[i][1] != '\0') {
            int status = parse_option(options, argc, argv, &i);
            if (status != 0)
                return status;
        } else {
            options->keys[options->key_count++] = argv[i];
        }
    }
    return check_options(options);
}

void options_fini(struct options *options)
{
    free(options->servers);
    free(options->listens);
    free(options->keys);
}
