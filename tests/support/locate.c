/*
 * locate: where a ring puts keys, for tests that compare it with other systems.
 *
 *   locate DISTRIBUTION HASH [--tag XY] SERVER[=WEIGHT[=NAME]]… < keys
 *
 * SERVER is HOST:PORT, [V6]:PORT, HOST (port 11211) or unix:PATH. Keys stand on standard input, one a line. Prints the
 * index of the server of each, one a line. Exit status 2: the command line was wrong.
 */
#include "routing/hash.h"
#include "routing/ring.h"
#include "routing/tag.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void refuse(const char *what, const char *text)
{
    fprintf(stderr, "locate: %s: %s\n", what, text);
    fprintf(stderr, "usage: locate DISTRIBUTION HASH [--tag XY] SERVER[=WEIGHT[=NAME]]... < keys\n");
    exit(2);
}

static uint32_t parse_number(const char *text, uint32_t min, uint32_t max, const char *what)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
        refuse(what, text);
    return (uint32_t)value;
}

/* Cuts text at the first c behind from; returns what stands after it, or NULL if there is none. */
static char *cut(char *from, char c)
{
    char *at = strchr(from, c);
    if (at == NULL)
        return NULL;
    *at = '\0';
    return at + 1;
}

static void parse_address(char *text, struct ring_member *member)
{
    member->host = text;
    if (strncmp(text, "unix:", 5) == 0) {
        member->host = text + 5;
        return;
    }
    char *rest = text;
    if (text[0] == '[') {
        member->host = text + 1;
        rest = cut(text, ']');
        if (rest == NULL)
            refuse("no closing bracket", text);
    }
    char *port = cut(rest, ':');
    member->port = port == NULL ? 11211 : (uint16_t)parse_number(port, 1, UINT16_MAX, "bad port");
}

static struct ring_member parse_member(char *text)
{
    struct ring_member member = {.weight = 1};
    char *weight = cut(text, '=');
    if (weight != NULL) {
        char *name = cut(weight, '=');
        member.name = name;
        member.weight = parse_number(weight, 1, RING_WEIGHT_MAX, "bad weight");
    }
    parse_address(text, &member);
    return member;
}

static struct ring *parse_ring(const char *distribution, const char *hash_name, char **servers, int count)
{
    struct ring_member *members = calloc((size_t)count + 1, sizeof *members);
    if (members == NULL)
        refuse("out of memory", distribution);
    for (int i = 0; i < count; i++)
        members[i] = parse_member(servers[i]);
    hash_fn *hash = hash_by_name(hash_name);
    if (hash == NULL)
        refuse("unknown hash", hash_name);
    const char *error;
    struct ring *ring = ring_create(distribution, hash, members, (size_t)count, &error);
    if (ring == NULL)
        refuse(error, distribution);
    free(members);
    return ring;
}

static void answer_keys(const struct ring *ring, const char tag[2])
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    while ((len = getline(&line, &size, stdin)) > 0) {
        if (line[len - 1] == '\n')
            len--;
        struct slice key = tag_apply(tag, slice_make(line, (size_t)len));
        printf("%u\n", (unsigned)ring_locate(ring, key.data, key.len));
    }
    free(line);
}

int main(int argc, char **argv)
{
    int at = 3;
    char tag[2] = {'\0', '\0'};
    if (argc < 4)
        refuse("too few arguments", argc > 1 ? argv[1] : "none");
    if (strcmp(argv[at], "--tag") == 0) {
        if (argc < 6 || strlen(argv[at + 1]) != 2)
            refuse("a tag is two characters", argc > at + 1 ? argv[at + 1] : "none");
        memcpy(tag, argv[at + 1], 2);
        at += 2;
    }
    struct ring *ring = parse_ring(argv[1], argv[2], argv + at, argc - at);
    answer_keys(ring, tag);
    ring_destroy(&ring);
    return fflush(stdout) == 0 ? 0 : 1;
}
