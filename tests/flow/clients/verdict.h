/*
 * What the client programs share: a check that ends the program with a message, the line of one that held, and values
 * that name their key.
 */
#ifndef RINGSIDE_TESTS_VERDICT_H
#define RINGSIDE_TESTS_VERDICT_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEY_COUNT 500
#define KEY_SIZE 64
#define LARGE_SIZE 900000

/* Ends the program when the condition does not hold; the rest is a printf format and its arguments. */
#define CHECK(condition, ...)                                      \
    do {                                                           \
        if (!(condition)) {                                        \
            printf("%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            printf(__VA_ARGS__);                                   \
            printf("\n");                                          \
            exit(1);                                               \
        }                                                          \
    } while (0)

/* Says that a check of CHECKS in ../test_clients.py held. */
static inline void passed(const char *name)
{
    printf("%s: ok\n", name);
    fflush(stdout);
}

/* A tenth of a second, for as long as ten seconds. tries counts them. */
static inline void pause_for_expiry(int *tries)
{
    struct timespec tenth = {.tv_nsec = 100000000};
    CHECK(++*tries <= 100, "it does not expire");
    nanosleep(&tenth, NULL);
}

/* The i-th key. Returns its length. */
static inline size_t make_key(int i, char key[KEY_SIZE])
{
    return (size_t)snprintf(key, KEY_SIZE, "client:key:%d", i);
}

/* The value of the i-th key: its name, and some filler of a length of its own. */
static inline size_t make_value(int i, char *value, size_t size)
{
    size_t len = (size_t)snprintf(value, size, "value of client:key:%d\r\nEND\r\n", i);
    size_t filler = (size_t)i * 7 % 300;
    memset(value + len, 'a' + i % 26, filler);
    return len + filler;
}

/* A large value with every byte in it. */
static inline void make_large(char *value, size_t len)
{
    for (size_t i = 0; i < len; i++)
        value[i] = (char)(i * 31 + i / 256);
}

#endif
