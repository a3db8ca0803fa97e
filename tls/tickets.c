/* Owns the keys of session tickets; see the picture in tickets.h. No key is ever written anywhere. */
#include "tls/tickets.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>
#include <time.h>

void tickets_init(struct tickets *tickets)
{
    memset(tickets, 0, sizeof *tickets);
    pthread_mutex_init(&tickets->lock, NULL);
}

void tickets_fini(struct tickets *tickets)
{
    OPENSSL_cleanse(tickets->keys, sizeof tickets->keys);
    pthread_mutex_destroy(&tickets->lock);
}

void tickets_renew(struct tickets *tickets, uint64_t generation, bool judging)
{
    pthread_mutex_lock(&tickets->lock);
    if (judging) {
        OPENSSL_cleanse(tickets->keys, sizeof tickets->keys);
        tickets->generation = generation;
    }
    pthread_mutex_unlock(&tickets->lock);
}

static int64_t monotonic_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec + 1; /* never 0 */
}

static bool make_key(struct ticket_key *key, int64_t now_s)
{
    key->made_s = now_s;
    return RAND_bytes(key->name, sizeof key->name) == 1 && RAND_priv_bytes(key->cipher, sizeof key->cipher) == 1 &&
           RAND_priv_bytes(key->mac, sizeof key->mac) == 1;
}

/* Under the lock: the newest key, made if it is time. NULL: no randomness. */
static const struct ticket_key *newest_key(struct tickets *tickets)
{
    int64_t now_s = monotonic_s();
    struct ticket_key *keys = tickets->keys;
    if (keys[0].made_s != 0 && now_s - keys[0].made_s < TICKET_KEY_LIFE_S)
        return &keys[0];
    struct ticket_key fresh;
    if (!make_key(&fresh, now_s))
        return NULL;
    memmove(keys + 1, keys, (TICKET_KEYS - 1) * sizeof *keys);
    keys[0] = fresh;
    OPENSSL_cleanse(&fresh, sizeof fresh);
    return &keys[0];
}

/* Under the lock: the key of that name, if it is not too old. */
static const struct ticket_key *find_key(const struct tickets *tickets, const unsigned char *name)
{
    int64_t now_s = monotonic_s();
    for (size_t i = 0; i < TICKET_KEYS; i++) {
        const struct ticket_key *key = &tickets->keys[i];
        if (key->made_s != 0 && now_s - key->made_s < TICKET_KEYS * TICKET_KEY_LIFE_S &&
            memcmp(key->name, name, sizeof key->name) == 0)
            return key;
    }
    return NULL;
}

static bool set_key(const struct ticket_key *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                    int encrypts)
{
    char digest[] = "SHA256";
    unsigned char mac_key[sizeof key->mac];
    memcpy(mac_key, key->mac, sizeof mac_key);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac_key, sizeof mac_key),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    bool good = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, encrypts) == 1 &&
                EVP_MAC_CTX_set_params(mac, params) == 1;
    OPENSSL_cleanse(mac_key, sizeof mac_key);
    return good;
}

static int seal(const struct ticket_key *key, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                EVP_MAC_CTX *mac)
{
    if (key == NULL || RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
        return -1;
    memcpy(name, key->name, sizeof key->name);
    return set_key(key, iv, cipher, mac, 1) ? 1 : -1;
}

int tickets_use(struct tickets *tickets, uint64_t generation, unsigned char *name, unsigned char *iv,
                EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypts)
{
    struct ticket_key nobodys;
    int result = 0;
    pthread_mutex_lock(&tickets->lock);
    bool outdated = tickets->generation != 0 && generation != tickets->generation;
    const struct ticket_key *newest = newest_key(tickets);
    const struct ticket_key *key = encrypts || outdated ? NULL : find_key(tickets, name);
    if (encrypts && outdated)
        result = seal(make_key(&nobodys, 0) ? &nobodys : NULL, name, iv, cipher, mac);
    else if (encrypts)
        result = seal(newest, name, iv, cipher, mac);
    else if (key != NULL && set_key(key, iv, cipher, mac, 0))
        result = key == newest ? 1 : 2; /* 2: taken, and to be renewed */
    pthread_mutex_unlock(&tickets->lock);
    OPENSSL_cleanse(&nobodys, sizeof nobodys);
    return result;
}
