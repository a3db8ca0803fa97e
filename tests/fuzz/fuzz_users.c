/*
 * Fuzz target: any bytes as a file of users, and as a hash.
 *
 * What comes out of users_parse is users or errors with sentences, never both, never neither. Every name is lawful and is
 * found. A user that is put into a good file leaves a good file, with that user and all others; putting it in once more
 * changes nothing. Whether a user has keys for SCRAM or not, there are some. A hash that is read keeps the bounds. No password is checked here: that is slow by design.
 */
#include "base/text.h"
#include "tls/password_hash.h"
#include "tls/users.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HASH "$scrypt$ln=10,r=1,p=1$c2FsdHNhbHQ$xmNhgvlNsLJFzANrdWsuAQ"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static struct users *parse(struct slice text)
{
    struct users_errors errors;
    struct users *users = users_parse(text, &errors);
    require((users == NULL) == (errors.count > 0));
    for (size_t i = 0; i < errors.count; i++)
        require(errors.items[i].line >= 1 && errors.items[i].text[0] != '\0' && errors.system_error == 0);
    return users;
}

/* One user more, unless the name was there. */
static void check_replacing(struct slice text, const struct users *users, struct slice name)
{
    struct text once, twice;
    bool known = users_find(users, name) != NULL;
    text_init(&once);
    text_init(&twice);
    require(users_replace_text(text, name, SLICE_OF(HASH), &once) == known);
    struct users *after = parse(text_slice(&once));
    require(after != NULL && users_count(after) == users_count(users) + !known && users_find(after, name) != NULL);
    for (size_t i = 0; i < users_count(users); i++)
        require(users_find(after, users_name(users, i)) != NULL);
    require(users_replace_text(text_slice(&once), name, SLICE_OF(HASH), &twice));
    require(slice_equal(text_slice(&once), text_slice(&twice)));
    users_unref(&after);
    text_fini(&once);
    text_fini(&twice);
}

/* Keys are the user's, or look like some. */
static void check_scram(const struct users *users, struct slice name)
{
    static const uint8_t secret[SCRAM_SECRET] = "a secret";
    struct scram_keys keys;
    bool has = users_scram_keys(users, name, secret, &keys);
    require(has || !users_all_have_scram(users));
    require(keys.iterations >= SCRAM_ITERATIONS_MIN && keys.iterations <= SCRAM_ITERATIONS_MAX);
    require(keys.salt_len >= SCRAM_SALT_MIN && keys.salt_len <= SCRAM_SALT_MAX);
}

static void check_users(struct slice text, const struct users *users)
{
    for (size_t i = 0; i < users_count(users); i++) {
        struct slice name = users_name(users, i);
        const char *found = users_find(users, name);
        require(users_name_is_lawful(name) && found != NULL && found == name.data && strlen(found) == name.len);
        check_scram(users, name);
    }
    check_replacing(text, users, SLICE_OF("app"));
    if (users_count(users) > 0)
        check_replacing(text, users, users_name(users, users_count(users) / 2));
}

static void check_hash(struct slice text)
{
    struct password_hash hash;
    const char *error = NULL;
    if (!password_hash_parse(text, &hash, &error)) {
        require(error != NULL);
        return;
    }
    require(hash.cost.ln >= PASSWORD_LN_MIN && hash.cost.ln <= PASSWORD_LN_MAX);
    require(hash.cost.r >= 1 && hash.cost.r <= PASSWORD_R_MAX && hash.cost.p >= 1 && hash.cost.p <= PASSWORD_P_MAX);
    require(hash.cost.ln < 16 * hash.cost.r);
    require((UINT64_C(128) * hash.cost.r << hash.cost.ln) <= PASSWORD_MEMORY_MAX);
    require(hash.salt_len >= PASSWORD_SALT_MIN && hash.salt_len <= PASSWORD_BYTES_MAX);
    require(hash.key_len >= PASSWORD_KEY_MIN && hash.key_len <= PASSWORD_BYTES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make((const char *)data, size);
    struct users *users = parse(text);
    if (users != NULL)
        check_users(text, users);
    users_unref(&users);
    check_hash(text);
    return 0;
}
