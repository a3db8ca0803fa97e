/*
 * Fuzz target: any bytes as what a client says for SCRAM: a first message, and behind the first line feed a final one.
 *
 * What is taken apart lies in the message, and is neither too long nor empty. The challenge is what the messages say it is.
 * Without the password no final message is good, whatever the first was; with it the right one is, and it is no more once any
 * byte of it has changed. The text is read as keys, too.
 */
#include "tls/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONCE "AbCdEfGhIjKlMnOpQrStUvWx"
#define SALTED "the salted password, 32 bytes..."

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static bool lies_in(struct slice part, struct slice whole)
{
    return part.data >= whole.data && part.data + part.len <= whole.data + whole.len;
}

static struct scram_keys make_keys(uint8_t client_out[SCRAM_KEY])
{
    struct scram_keys keys = {.iterations = 4096, .salt_len = 8, .salt = "saltsalt"};
    const uint8_t *salted = (const uint8_t *)SALTED;
    require(scram_hmac(salted, SCRAM_KEY, SLICE_OF("Client Key"), client_out));
    require(scram_hmac(salted, SCRAM_KEY, SLICE_OF("Server Key"), keys.server));
    SHA256(client_out, SCRAM_KEY, keys.stored);
    return keys;
}

/* The right answer to the challenge. Returns its length. */
static size_t answer(const struct scram_first *first, struct slice challenge, char out[4 * SCRAM_MESSAGE_MAX])
{
    char text[4 * SCRAM_MESSAGE_MAX], binding[2 * SCRAM_MESSAGE_MAX];
    uint8_t proof[SCRAM_KEY], signature[SCRAM_KEY];
    struct scram_keys keys = make_keys(proof);
    EVP_EncodeBlock((unsigned char *)binding, (const unsigned char *)first->gs2.data, (int)first->gs2.len);
    int len =
        snprintf(out, 4 * SCRAM_MESSAGE_MAX, "c=%s,r=%.*s" NONCE, binding, (int)first->nonce.len, first->nonce.data);
    int text_len = snprintf(text, sizeof text, "%.*s,%.*s,%s", (int)first->bare.len, first->bare.data,
                            (int)challenge.len, challenge.data, out);
    require(scram_hmac(keys.stored, SCRAM_KEY, slice_make(text, (size_t)text_len), signature));
    for (size_t i = 0; i < SCRAM_KEY; i++)
        proof[i] ^= signature[i];
    len += snprintf(out + len, 8, ",p=");
    len += EVP_EncodeBlock((unsigned char *)out + len, proof, SCRAM_KEY);
    return (size_t)len;
}

static enum scram_verdict finish(const struct scram *scram, struct slice message)
{
    char final[SCRAM_FINAL_MAX];
    size_t len;
    enum scram_verdict verdict = scram_finish(scram, message, final, &len);
    require(verdict == SCRAM_GOOD ? len == 2 + 44 && memcmp(final, "v=", 2) == 0 : len == 0);
    return verdict;
}

static void check_answer(const struct scram_first *first, const struct scram *scram)
{
    char message[4 * SCRAM_MESSAGE_MAX];
    size_t len = answer(first, scram_challenge(scram), message);
    require((finish(scram, slice_make(message, len)) == SCRAM_GOOD) == (len <= SCRAM_MESSAGE_MAX));
    size_t at = (size_t)first->nonce.len * 7 % (len - 2); /* the last letter has two bits that mean nothing */
    message[at] ^= 1;
    require(finish(scram, slice_make(message, len)) != SCRAM_GOOD);
}

static void check_first(struct slice message, struct slice final, const struct scram_first *first)
{
    uint8_t client[SCRAM_KEY];
    struct scram_keys keys = make_keys(client);
    require(message.len <= SCRAM_MESSAGE_MAX && first->name_len > 0 && first->name_len < message.len);
    require(lies_in(first->gs2, message) && lies_in(first->bare, message) && lies_in(first->nonce, first->bare));
    require(first->gs2.len + first->bare.len == message.len && first->nonce.len > 0);
    struct scram *scram = scram_create(first, &keys, true, SLICE_OF(NONCE));
    require(scram != NULL);
    struct slice challenge = scram_challenge(scram);
    require(challenge.len == first->nonce.len + strlen("r=" NONCE ",s=c2FsdHNhbHQ=,i=4096"));
    require(memcmp(challenge.data + 2, first->nonce.data, first->nonce.len) == 0);
    require(slice_equal(scram_name(scram), slice_make(first->name, first->name_len)));
    require(finish(scram, final) != SCRAM_GOOD);
    check_answer(first, scram);
    scram_destroy(&scram);
}

static void check_keys(struct slice text)
{
    struct scram_keys keys;
    const char *error = NULL;
    if (!scram_keys_parse(text, &keys, &error)) {
        require(error != NULL);
        return;
    }
    require(keys.iterations >= SCRAM_ITERATIONS_MIN && keys.iterations <= SCRAM_ITERATIONS_MAX);
    require(keys.salt_len >= SCRAM_SALT_MIN && keys.salt_len <= SCRAM_SALT_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make((const char *)data, size);
    const char *end = size > 0 ? memchr(data, '\n', size) : NULL;
    struct slice message = end != NULL ? slice_make(text.data, (size_t)(end - text.data)) : text;
    struct slice final = end != NULL ? slice_make(end + 1, size - message.len - 1) : slice_make(NULL, 0);
    struct scram_first first;
    if (scram_first_parse(message, &first))
        check_first(message, final, &first);
    check_keys(text);
    return 0;
}
