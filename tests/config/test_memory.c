/*
 * Tests of config/ when memory runs out: every allocation fails once, in turn, and nothing crashes, leaks, or passes for
 * a whole configuration.
 *
 * The allocator's names are defined here, so that all of the process uses them, libyaml too. They pass on to the real
 * ones: glibc's, or the sanitizer's.
 */
#include "config/diff.h"
#include "config/model.h"
#include "config/summary.h"
#include "tests/config/support.h"
#include "tests/support/folder.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#elif __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif

#ifdef WITH_ASAN
#define REAL(name) __interceptor_##name
/* Its strdup passes our malloc by; it finds leaks itself. */
#define COUNTS 0
#else
#define REAL(name) __libc_##name
#define COUNTS 1
#endif

void *REAL(malloc)(size_t size);
void *REAL(calloc)(size_t count, size_t size);
void *REAL(realloc)(void *memory, size_t size);
void REAL(free)(void *memory);

static struct {
    bool armed;
    size_t until_failure; /* the allocation with this number fails, and no other; 0: none */
    bool failed;
    long live; /* blocks allocated less blocks freed, since armed */
} heap;

/* The thread sanitizer does not bear another malloc: there nothing fails, and each test runs once. */
#ifndef WITH_TSAN
static bool fails_now(void)
{
    if (!heap.armed || heap.until_failure == 0 || --heap.until_failure > 0)
        return false;
    heap.failed = true;
    errno = ENOMEM;
    return true;
}

static void *count(void *memory)
{
    if (heap.armed && memory != NULL)
        heap.live++;
    return memory;
}

void *malloc(size_t size)
{
    return fails_now() ? NULL : count(REAL(malloc)(size));
}

void *calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : count(REAL(calloc)(n, size));
}

void *realloc(void *memory, size_t size)
{
    if (fails_now())
        return NULL;
    return memory == NULL ? count(REAL(malloc)(size)) : REAL(realloc)(memory, size);
}

void free(void *memory)
{
    if (heap.armed && memory != NULL)
        heap.live--;
    REAL(free)(memory);
}
#endif

static void arm(size_t failure)
{
    heap.until_failure = failure;
    heap.failed = false;
    heap.live = 0;
    heap.armed = true;
}

/* Whether the failure came. Nothing may be left then. */
static bool disarm(void)
{
    heap.armed = false;
    ck_assert(heap.live == 0 || !COUNTS);
    return heap.failed;
}

static const char good[] =
    "user: nobody\n"
    "listen: [127.0.0.1:1, {address: 'unix:x', mode: '0660', deny: [flush_all], auth: required, peers: {1: a, b: c}, "
    "tls: {certificate: a, key: b, certificates: [{certificate: c, key: d}], client_ca: e, client_certificate: "
    "request}}]\n"
    "users: {file: users}\n"
    "access: [{user: a, keys: ['a:*'], commands: [read, set], listeners: ['unix:x']}, {user: '*', commands: [none]}]\n"
    "pools:\n"
    "  a: &a {servers: [&x 10.0.0.1, {address: b, name: c, weight: 2}, '[::1]'], hash_tag: '{}', tls: {ca: a, "
    "certificate: c, key: d}}\n"
    "  b: {<<: *a, hash: xxh3, distribution: jump, health: {failures: 1}, auth: {user: u, password_file: p}}\n"
    "route: {prefix: {'a:': {failover: {to: [a, {rewrite: {to: b, add: x}}], on: [miss]}}, '*': {error: no}}}\n";
static const char bad[] =
    "listn: 1\nlisten: [::x, ':', {mode: 1, deny: [flushall, zzz], auth: required, tls: {key: }, peers: {1: 1, a: "
    "~}}]\nworkers: 0\nlimits: {a: 1}\n"
    "access: [{}, {user: a, commands: [x], listeners: [q]}]\nusers: {}\n"
    "pools:\n"
    "  a: {servers: [10.0.0.1, 10.0.0.1, {name: c}], timeout: 1, timeout: 2, hash: q}\n"
    "  b: {servers: 1, distribution: r, on_down: x, tls: {key: a}, auth: {mechanism: sasl}, health: {failures: x}}\n"
    "route: {prefix: {'*': {failover: {to: [q, {x: 1}], on: [1]}}, '': {migrate: {start: 1}}}}\n";
static const char broken[] = "pools: [a\nb: c";

/* Parses once with each allocation failing; the last time none fails. */
static void parse_with_failures(const char *text, const char *path, bool expect_good)
{
    bool failed = true;
    for (size_t failure = 1; failed; failure++) {
        struct config_errors errors;
        arm(failure);
        struct config *config =
            path == NULL ? config_parse(text, strlen(text), "etc/x.yaml", &errors) : config_load(path, &errors);
        heap.armed = false;
        bool none = config != NULL, said = errors.system_error == ENOMEM || errors.count > 0;
        bool refused_only = errors.system_error == 0;
        heap.armed = true;
        config_destroy(&config);
        config_errors_fini(&errors);
        failed = disarm();
        ck_assert(none != said);
        /* A good text is only refused for want of memory. */
        ck_assert(!expect_good || none || !refused_only);
        ck_assert(failed || none == expect_good);
    }
}

START_TEST(reading_survives_every_failure)
{
    parse_with_failures(good, NULL, true);
    parse_with_failures(bad, NULL, false);
    parse_with_failures(broken, NULL, false);
}
END_TEST

START_TEST(loading_survives_every_failure)
{
    char path[FOLDER_PATH_MAX];
    folder_join("good.yaml", path);
    folder_write(path, good, strlen(good));
    parse_with_failures(NULL, path, true);
}
END_TEST

START_TEST(the_command_line_survives_every_failure)
{
    const char *servers[] = {"a", "b:1", "unix:x"}, *listens[] = {"127.0.0.1:0"};
    bool failed = true;
    for (size_t failure = 1; failed; failure++) {
        struct config_errors errors;
        arm(failure);
        struct config *config = config_from_servers(servers, 3, listens, 1, &errors);
        bool whole = config != NULL, said = errors.system_error == ENOMEM;
        config_destroy(&config);
        config_errors_fini(&errors);
        failed = disarm();
        ck_assert(whole != said);
        ck_assert(failed || whole);
    }
}
END_TEST

START_TEST(words_fail_as_a_whole)
{
    const char *other =
        "pools: {b: {servers: [x], hash: crc}, z: {servers: [a]}}\nroute: {prefix: {'a:': {failover: "
        "{to: [z]}}, '*': {error: x}}}\nworkers: 2\nusers: {file: a}\naccess: [{user: '*', commands: [get]}]\n"
        "listen: [{address: 'unix:x', peers: {1: b}, tls: {certificate: b, key: c}}]";
    struct config *old = parse_good(good, NULL), *new = parse_good(other, NULL);
    bool failed = true;
    for (size_t failure = 1; failed; failure++) {
        struct text text;
        text_init(&text);
        arm(failure);
        config_summary(old, &text);
        (void)config_diff(old, new, &text);
        bool marked = text.failed;
        text_fini(&text);
        failed = disarm();
        ck_assert(failed == marked);
    }
    config_destroy(&old);
    config_destroy(&new);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("memory");
    folder_use(tcase);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, reading_survives_every_failure);
    tcase_add_test(tcase, loading_survives_every_failure);
    tcase_add_test(tcase, the_command_line_survives_every_failure);
    tcase_add_test(tcase, words_fail_as_a_whole);
    return run_suite("config/memory", tcase);
}
