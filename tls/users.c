/*
 * Owns the users of one file.
 *
 *      text -- lines -- NAME : HASH [KEYS] --> entries[], by name ----------.
 *                                              dummy: a hash that no        +--> verify: always one scrypt
 *                                              password makes, at the ------'
 *                                              highest cost among entries
 *
 * Hashes as text are password_hash.c's, keys scram_keys.c's; threads are password_check.c's; what a user may do is access.c's.
 */
#include "tls/users.h"

#include "tls/password_hash.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct entry {
    char name[USERS_NAME_MAX + 1];
    uint8_t name_len;
    size_t line;
    struct password_hash hash;
    struct scram_keys scram; /* no iterations: it has none */
};

struct users {
    atomic_uint references;
    size_t count, room;
    struct entry *entries;
    struct password_hash dummy;
    struct scram_keys example; /* what an unknown user's keys are to look like */
    bool all_have_scram;
};

/* ---- errors ---- */

__attribute__((format(printf, 3, 4))) static void complain(struct users_errors *errors, size_t line, const char *format,
                                                           ...)
{
    if (errors->count == USERS_ERRORS_MAX)
        return;
    struct users_error *error = &errors->items[errors->count++];
    va_list arguments;
    va_start(arguments, format);
    error->line = line;
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
}

static void complain_of_system(struct users_errors *errors, int error)
{
    errors->system_error = error;
    complain(errors, 0, "cannot be read: %s", strerror(error));
}

/* ---- lines ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct slice trim(struct slice line)
{
    while (line.len > 0 && is_blank(line.data[0]))
        line = slice_make(line.data + 1, line.len - 1);
    while (line.len > 0 && is_blank(line.data[line.len - 1]))
        line.len--;
    return line;
}

/* Takes a line off the text, its LF included. false: nothing is left. */
static bool take_line(struct slice *text, struct slice *line_out)
{
    if (text->len == 0)
        return false;
    const char *end = memchr(text->data, '\n', text->len);
    size_t len = end != NULL ? (size_t)(end - text->data) + 1 : text->len;
    *line_out = slice_make(text->data, len);
    *text = slice_make(text->data + len, text->len - len);
    return true;
}

static struct slice without_end(struct slice line)
{
    return trim(slice_make(line.data, line.len - (line.len > 0 && line.data[line.len - 1] == '\n')));
}

/* A line that is no comment: what stands before the first colon, or all of it. */
static struct slice name_of(struct slice line)
{
    const char *colon = line.len > 0 ? memchr(line.data, ':', line.len) : NULL;
    return slice_make(line.data, colon != NULL ? (size_t)(colon - line.data) : line.len);
}

bool users_name_is_lawful(struct slice name)
{
    if (name.len == 0 || name.len > USERS_NAME_MAX || name.data[0] == '#' || slice_equal(name, SLICE_OF("*")))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] <= ' ' || name.data[i] > '~' || name.data[i] == ':')
            return false;
    }
    return true;
}

/* ---- reading ---- */

static bool make_room(struct users *users)
{
    if (users->count < users->room)
        return true;
    size_t room = users->room > 0 ? users->room * 2 : 16;
    struct entry *entries = realloc(users->entries, room * sizeof *entries);
    if (entries == NULL)
        return false;
    users->entries = entries;
    users->room = room;
    return true;
}

/* HASH, or HASH and KEYS. false: *error_out is a sentence. */
static bool parse_secrets(struct slice text, struct entry *entry, const char **error_out)
{
    size_t hash_len = 0;
    while (hash_len < text.len && !is_blank(text.data[hash_len]))
        hash_len++;
    struct slice keys = trim(slice_make(text.data + hash_len, text.len - hash_len));
    entry->scram = (struct scram_keys){0};
    return password_hash_parse(slice_make(text.data, hash_len), &entry->hash, error_out) &&
           (keys.len == 0 || scram_keys_parse(keys, &entry->scram, error_out));
}

static void parse_line(struct users *users, struct slice line, size_t number, struct users_errors *errors)
{
    const char *error;
    struct slice name = name_of(line);
    if (name.len == line.len) {
        complain(errors, number, "there is no colon; a line is NAME:HASH");
        return;
    }
    if (!users_name_is_lawful(name)) {
        complain(errors, number,
                 "a name is 1 to %d printable ASCII characters without space and colon; not `*`, no `#` first",
                 USERS_NAME_MAX);
        return;
    }
    if (!make_room(users)) {
        complain_of_system(errors, ENOMEM);
        return;
    }
    struct entry *entry = &users->entries[users->count];
    if (!parse_secrets(slice_make(line.data + name.len + 1, line.len - name.len - 1), entry, &error)) {
        complain(errors, number, "%s", error);
        return;
    }
    memcpy(entry->name, name.data, name.len);
    entry->name[name.len] = '\0';
    entry->name_len = (uint8_t)name.len;
    entry->line = number;
    users->count++;
}

static int compare_names(struct slice a, struct slice b)
{
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static struct slice entry_name(const struct entry *entry)
{
    return slice_make(entry->name, entry->name_len);
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    int order = compare_names(entry_name(left), entry_name(right));
    return order != 0 ? order : (left->line > right->line) - (left->line < right->line);
}

static void sort(struct users *users, struct users_errors *errors)
{
    if (users->count > 1)
        qsort(users->entries, users->count, sizeof *users->entries, compare_entries);
    for (size_t i = 1; i < users->count; i++) {
        const struct entry *before = &users->entries[i - 1], *entry = &users->entries[i];
        if (slice_equal(entry_name(before), entry_name(entry)))
            complain(errors, entry->line, "`%s` stands in line %zu already", entry->name, before->line);
    }
}

/* Salt and key are zeroes: nobody knows a password that makes them, and none would be let in. */
static void make_dummy(struct users *users)
{
    struct password_hash *dummy = &users->dummy;
    dummy->cost = (struct password_cost){PASSWORD_LN, PASSWORD_R, PASSWORD_P};
    dummy->salt_len = PASSWORD_SALT;
    dummy->key_len = PASSWORD_KEY;
    for (size_t i = 0; i < users->count; i++) {
        const struct password_cost *cost = &users->entries[i].hash.cost;
        if (i == 0 || password_cost_work(cost) > password_cost_work(&dummy->cost))
            dummy->cost = *cost;
    }
}

/* Of the first user that has keys: all have been made alike, unless somebody made them otherwise. */
static void look_at_scram(struct users *users)
{
    users->example = (struct scram_keys){.iterations = SCRAM_ITERATIONS, .salt_len = SCRAM_SALT};
    users->all_have_scram = true;
    for (size_t i = users->count; i > 0; i--) {
        const struct scram_keys *keys = &users->entries[i - 1].scram;
        users->all_have_scram &= keys->iterations > 0;
        if (keys->iterations > 0)
            users->example = (struct scram_keys){.iterations = keys->iterations, .salt_len = keys->salt_len};
    }
}

struct users *users_parse(struct slice text, struct users_errors *errors_out)
{
    struct slice line;
    *errors_out = (struct users_errors){0};
    struct users *users = calloc(1, sizeof *users);
    if (users == NULL) {
        complain_of_system(errors_out, ENOMEM);
        return NULL;
    }
    atomic_init(&users->references, 1);
    for (size_t number = 1; take_line(&text, &line) && errors_out->system_error == 0; number++) {
        line = without_end(line);
        if (line.len > 0 && line.data[0] != '#')
            parse_line(users, line, number, errors_out);
    }
    sort(users, errors_out);
    make_dummy(users);
    look_at_scram(users);
    if (errors_out->count > 0)
        users_unref(&users);
    return users;
}

bool users_read(const char *path, struct text *text_out, struct users_errors *errors_out)
{
    char buffer[4096];
    size_t total = 0;
    ssize_t got = -1;
    *errors_out = (struct users_errors){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && total <= USERS_FILE_MAX && (got = read(fd, buffer, sizeof buffer)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            break;
        text_append(text_out, buffer, (size_t)got);
        total += (size_t)got;
    }
    if (fd < 0 || got < 0)
        complain_of_system(errors_out, errno);
    else if (text_out->failed)
        complain_of_system(errors_out, ENOMEM);
    else if (total > USERS_FILE_MAX)
        complain(errors_out, 0, "the file is larger than 4 MiB");
    if (fd >= 0)
        close(fd);
    OPENSSL_cleanse(buffer, sizeof buffer);
    return errors_out->count == 0;
}

struct users *users_load(const char *path, struct users_errors *errors_out)
{
    struct text text;
    struct users *users = NULL;
    text_init(&text);
    if (users_read(path, &text, errors_out))
        users = users_parse(text_slice(&text), errors_out);
    if (text.data != NULL)
        OPENSSL_cleanse(text.data, text.len);
    text_fini(&text);
    return users;
}

/* ---- use ---- */

struct users *users_ref(struct users *users)
{
    atomic_fetch_add_explicit(&users->references, 1, memory_order_relaxed);
    return users;
}

void users_unref(struct users **users)
{
    struct users *u = *users;
    *users = NULL;
    if (u == NULL || atomic_fetch_sub_explicit(&u->references, 1, memory_order_acq_rel) > 1)
        return;
    if (u->entries != NULL)
        OPENSSL_cleanse(u->entries, u->room * sizeof *u->entries);
    free(u->entries);
    free(u);
}

size_t users_count(const struct users *users)
{
    return users->count;
}

struct slice users_name(const struct users *users, size_t i)
{
    return entry_name(&users->entries[i]);
}

static const struct entry *find(const struct users *users, struct slice name)
{
    size_t low = 0, high = name.len > 0 ? users->count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_names(name, entry_name(&users->entries[middle]));
        if (order == 0)
            return &users->entries[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *users_find(const struct users *users, struct slice name)
{
    const struct entry *entry = find(users, name);
    return entry != NULL ? entry->name : NULL;
}

bool users_verify(const struct users *users, struct slice name, struct slice password)
{
    const struct entry *entry = find(users, name);
    bool fits =
        password.len <= USERS_PASSWORD_MAX && (password.len == 0 || memchr(password.data, '\0', password.len) == NULL);
    if (password.len > USERS_PASSWORD_MAX)
        password.len = USERS_PASSWORD_MAX;
    bool good = password_hash_verify(entry != NULL ? &entry->hash : &users->dummy, password);
    return good && fits && entry != NULL;
}

bool users_scram_keys(const struct users *users, struct slice name, const uint8_t secret[SCRAM_SECRET],
                      struct scram_keys *keys_out)
{
    const struct entry *entry = find(users, name);
    bool known = entry != NULL && entry->scram.iterations > 0;
    scram_keys_pretend(secret, name, &users->example, keys_out);
    if (known)
        *keys_out = entry->scram;
    return known;
}

bool users_all_have_scram(const struct users *users)
{
    return users->all_have_scram;
}

/* ---- writing ---- */

static void append_user(struct slice name, struct slice hash, struct text *out)
{
    text_append_slice(out, name);
    text_append(out, ":", 1);
    text_append_slice(out, hash);
    text_append(out, "\n", 1);
}

bool users_replace_text(struct slice old, struct slice name, struct slice hash, struct text *out)
{
    bool there = false, whole = true;
    struct slice line;
    while (take_line(&old, &line)) {
        struct slice content = without_end(line);
        if (!there && content.len > 0 && content.data[0] != '#' && slice_equal(name_of(content), name)) {
            append_user(name, hash, out);
            there = whole = true;
            continue;
        }
        text_append_slice(out, line);
        whole = line.data[line.len - 1] == '\n';
    }
    if (!whole)
        text_append(out, "\n", 1);
    if (!there)
        append_user(name, hash, out);
    return there;
}
