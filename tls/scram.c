/*
 * Owns an exchange of SCRAM: what of the messages so far has to be kept, and the proofs over it.
 *
 *      struct scram: keys, and one text:
 *
 *      n=app,r=CLIENT , r=CLIENT+SERVER,s=SALT,i=15000 , biws            app
 *      |-- bare ----|   |-- challenge ---------------|   |-- binding -|  |-- name -|
 *      |-- signed, and then client-final up to ",p=" --|
 *
 *      proof XOR HMAC(STORED, signed) = ClientKey;  SHA-256(ClientKey) = STORED?
 *
 * Who may log in, how often, and what is answered, is proxy/gate.c's.
 */
#include "tls/scram.h"

#include "base/text.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

struct scram {
    struct scram_keys keys;
    bool known;
    struct slice signed_part, challenge, nonce, binding, name; /* in text */
    size_t size_bytes;
    char text[];
};

/* ---- messages ---- */

/* Takes a part up to the next comma. After the last one rest->data is NULL. */
static bool take_part(struct slice *rest, struct slice *part_out)
{
    if (rest->data == NULL)
        return false;
    if (!hash_text_take(rest, ',', part_out)) {
        *part_out = *rest;
        *rest = slice_make(NULL, 0);
    }
    return true;
}

/* The same of a part such as "r=VALUE", where the value is not empty. */
static bool take_value(struct slice *rest, char name, struct slice *value_out)
{
    struct slice part;
    if (!take_part(rest, &part) || part.len < 3 || part.data[0] != name || part.data[1] != '=')
        return false;
    *value_out = slice_make(part.data + 2, part.len - 2);
    return true;
}

static bool is_alpha(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* What is left are extensions that may be passed over: not "m=", which says that it may not, nor a proof. */
static bool may_be_passed_over(struct slice rest)
{
    struct slice part;
    while (take_part(&rest, &part)) {
        if (part.len < 3 || !is_alpha(part.data[0]) || part.data[1] != '=')
            return false;
        if (part.data[0] == 'm' || part.data[0] == 'p')
            return false;
    }
    return true;
}

static bool is_nonce(struct slice nonce)
{
    for (size_t i = 0; i < nonce.len; i++) {
        if (nonce.data[i] <= ' ' || nonce.data[i] > '~')
            return false;
    }
    return true;
}

/* A name as it is meant. out takes as many bytes as it has. false: an '=' that means neither comma nor itself. */
static bool read_name(struct slice text, char *out, size_t *len_out)
{
    *len_out = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '=') {
            struct slice code = slice_make(text.data + i, text.len - i < 3 ? text.len - i : 3);
            if (!slice_equal(code, SLICE_OF("=2C")) && !slice_equal(code, SLICE_OF("=3D")))
                return false;
            c = code.data[2] == 'C' ? ',' : '=';
            i += 2;
        }
        out[(*len_out)++] = c;
    }
    return true;
}

/* "n,," or "y,,", or with a name to act for, which is *acts_for_out; else that is empty. */
static bool read_gs2(struct slice *rest, struct slice *acts_for_out)
{
    struct slice flag, part;
    *acts_for_out = slice_make(NULL, 0);
    if (!take_part(rest, &flag) || !(slice_equal(flag, SLICE_OF("n")) || slice_equal(flag, SLICE_OF("y"))))
        return false;
    struct slice from = *rest;
    return take_part(rest, &part) && (part.len == 0 || take_value(&from, 'a', acts_for_out));
}

bool scram_first_parse(struct slice message, struct scram_first *first_out)
{
    char other[SCRAM_MESSAGE_MAX];
    size_t other_len;
    struct slice rest = message, acts_for, name;
    if (message.len == 0 || message.len > SCRAM_MESSAGE_MAX || memchr(message.data, '\0', message.len) != NULL)
        return false;
    if (!read_gs2(&rest, &acts_for) || rest.data == NULL)
        return false;
    first_out->gs2 = slice_make(message.data, (size_t)(rest.data - message.data));
    first_out->bare = rest;
    if (!take_value(&rest, 'n', &name) || !take_value(&rest, 'r', &first_out->nonce) || !is_nonce(first_out->nonce) ||
        !may_be_passed_over(rest))
        return false;
    if (!read_name(name, first_out->name, &first_out->name_len) || !read_name(acts_for, other, &other_len))
        return false;
    return other_len == 0 ||
           slice_equal(slice_make(other, other_len), slice_make(first_out->name, first_out->name_len));
}

/* A client-final, taken apart. All lies in the message. */
struct final {
    struct slice without_proof, binding, nonce, proof;
};

static bool parse_final(struct slice message, struct final *final_out)
{
    if (message.len == 0 || message.len > SCRAM_MESSAGE_MAX || memchr(message.data, '\0', message.len) != NULL)
        return false;
    const char *comma = memrchr(message.data, ',', message.len);
    if (comma == NULL)
        return false;
    struct slice rest = slice_make(message.data, (size_t)(comma - message.data));
    struct slice last = slice_make(comma + 1, message.len - rest.len - 1);
    final_out->without_proof = rest;
    return take_value(&rest, 'c', &final_out->binding) && take_value(&rest, 'r', &final_out->nonce) &&
           may_be_passed_over(rest) && take_value(&last, 'p', &final_out->proof);
}

/* ---- an exchange ---- */

bool scram_nonce_make(char nonce_out[SCRAM_NONCE_LEN + 1])
{
    uint8_t bytes[SCRAM_NONCE_LEN / 4 * 3];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    hash_text_encode(bytes, sizeof bytes, HASH_TEXT_PADDED, nonce_out);
    return true;
}

static char *put(char *at, struct slice part)
{
    if (part.len > 0)
        memcpy(at, part.data, part.len);
    return at + part.len;
}

/* Writes the text; see the picture above. */
static void write_text(struct scram *scram, const struct scram_first *first, struct slice nonce)
{
    char salt[HASH_TEXT_ROOM(SCRAM_SALT_MAX)], digits[TEXT_U64_DIGITS];
    size_t salt_len = hash_text_encode(scram->keys.salt, scram->keys.salt_len, HASH_TEXT_PADDED, salt);
    size_t digit_count = text_print_u64(scram->keys.iterations, digits);
    char *at = put(put(scram->text, first->bare), SLICE_OF(","));
    scram->challenge.data = at;
    at = put(at, SLICE_OF("r="));
    scram->nonce = slice_make(at, first->nonce.len + nonce.len);
    at = put(put(put(at, first->nonce), nonce), SLICE_OF(",s="));
    at = put(put(at, slice_make(salt, salt_len)), SLICE_OF(",i="));
    at = put(at, slice_make(digits, digit_count));
    scram->challenge.len = (size_t)(at - scram->challenge.data);
    at = put(at, SLICE_OF(","));
    scram->signed_part = slice_make(scram->text, (size_t)(at - scram->text));
    size_t binding_len = hash_text_encode((const uint8_t *)first->gs2.data, first->gs2.len, HASH_TEXT_PADDED, at);
    scram->binding = slice_make(at, binding_len);
    at += binding_len + 1;
    scram->name = slice_make(at, first->name_len);
    put(at, slice_make(first->name, first->name_len));
}

struct scram *scram_create(const struct scram_first *first, const struct scram_keys *keys, bool known,
                           struct slice nonce)
{
    size_t text_max = first->bare.len + first->nonce.len + nonce.len + sizeof ",r=,s=,i=," +
                      HASH_TEXT_ROOM(SCRAM_SALT_MAX) + TEXT_U64_DIGITS + HASH_TEXT_ROOM(first->gs2.len) +
                      first->name_len;
    struct scram *scram = malloc(sizeof *scram + text_max);
    if (scram == NULL)
        return NULL;
    scram->keys = *keys;
    scram->known = known;
    scram->size_bytes = sizeof *scram + text_max;
    write_text(scram, first, nonce);
    return scram;
}

void scram_destroy(struct scram **scram)
{
    struct scram *s = *scram;
    *scram = NULL;
    if (s == NULL)
        return;
    OPENSSL_cleanse(s, s->size_bytes);
    free(s);
}

struct slice scram_challenge(const struct scram *scram)
{
    return scram->challenge;
}

struct slice scram_name(const struct scram *scram)
{
    return scram->name;
}

/* ---- proofs ---- */

static bool is_same(struct slice a, struct slice b)
{
    return a.len == b.len && CRYPTO_memcmp(a.data, b.data, a.len) == 0;
}

/* Whether the proof, which is lost, shows the client's key. */
static bool shows_key(const struct scram *scram, struct slice signed_text, uint8_t proof[SCRAM_KEY])
{
    uint8_t signature[SCRAM_KEY], stored[SCRAM_KEY];
    bool made = scram_hmac(scram->keys.stored, SCRAM_KEY, signed_text, signature);
    for (size_t i = 0; made && i < SCRAM_KEY; i++)
        proof[i] ^= signature[i];
    made = made && SHA256(proof, SCRAM_KEY, stored) != NULL;
    bool same = made && CRYPTO_memcmp(stored, scram->keys.stored, SCRAM_KEY) == 0;
    OPENSSL_cleanse(signature, sizeof signature);
    return same && scram->known;
}

static size_t write_final(const struct scram *scram, struct slice signed_text, char *out)
{
    uint8_t signature[SCRAM_KEY];
    if (!scram_hmac(scram->keys.server, SCRAM_KEY, signed_text, signature))
        return 0;
    return 2 + hash_text_encode(signature, SCRAM_KEY, HASH_TEXT_PADDED, put(out, SLICE_OF("v=")));
}

enum scram_verdict scram_finish(const struct scram *scram, struct slice message, char final_out[SCRAM_FINAL_MAX],
                                size_t *len_out)
{
    struct final final;
    uint8_t proof[SCRAM_KEY];
    *len_out = 0;
    if (!parse_final(message, &final) || !is_same(final.binding, scram->binding) ||
        !is_same(final.nonce, scram->nonce) ||
        hash_text_decode(final.proof, HASH_TEXT_PADDED, proof, SCRAM_KEY) != SCRAM_KEY)
        return SCRAM_BROKEN;
    struct text text;
    text_init(&text);
    text_append_slice(&text, scram->signed_part);
    text_append_slice(&text, final.without_proof);
    if (!text.failed && shows_key(scram, text_slice(&text), proof))
        *len_out = write_final(scram, text_slice(&text), final_out);
    text_fini(&text);
    OPENSSL_cleanse(proof, sizeof proof);
    return *len_out > 0 ? SCRAM_GOOD : SCRAM_WRONG;
}
