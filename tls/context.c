/*
 * Owns what is read from certificate and key files, and how OpenSSL is told to use it.
 *
 *      context -> ssl_ctx (counted by OpenSSL; connections hold it on) -> further identities, for SNI
 *              -> ticket keys, which outlive a refresh
 *
 * A refresh makes a whole new ssl_ctx and swaps it in. Nothing is written to a file or a terminal; a key with a passphrase is
 * an error, not a question.
 */
#include "tls/context.h"

#include "tls/context_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX 64
#define TICKET_KEYS 3
#define TICKET_KEY_LIFE_S (12 * 3600)
#define TICKET_NAME_BYTES 16
/* How much ciphertext is read at once. */
#define READ_BYTES 65536

struct file_state {
    char *path;
    struct timespec changed;
    off_t size;
    ino_t inode;
};

struct ticket_key {
    int64_t made_s; /* monotonic; 0: none */
    unsigned char name[TICKET_NAME_BYTES];
    unsigned char cipher[32];
    unsigned char mac[32];
};

struct tls_context {
    atomic_uint refs;
    bool is_server;
    struct tls_server_spec server; /* strings are its own */
    struct tls_client_spec client;
    /* Guards all below: taken when a connection is opened, and for tickets; never for a request. */
    pthread_mutex_t lock;
    SSL_CTX *ssl_ctx;
    uint64_t generation;
    struct ticket_key tickets[TICKET_KEYS]; /* the newest first */
    /* The control thread's. */
    struct file_state files[FILES_MAX];
    size_t file_count;
    _Atomic int64_t expires_unix_s; /* any thread reads */
};

/* What is being read. */
struct reading {
    SSL_CTX *ssl_ctx;
    struct file_state files[FILES_MAX];
    size_t file_count;
    int64_t expires_unix_s;
    char *error;
    const char *field;
};

/* ---- Errors ---- */

static bool fail(struct reading *reading, const char *field, const char *path, const char *reason)
{
    reading->field = field;
    if (path != NULL)
        (void)snprintf(reading->error, TLS_ERROR_MAX, "%s: %s", path, reason);
    else
        (void)snprintf(reading->error, TLS_ERROR_MAX, "%s", reason);
    return false;
}

/* The same with OpenSSL's last word. */
static bool fail_openssl(struct reading *reading, const char *field, const char *path, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    char sentence[256];
    (void)snprintf(sentence, sizeof sentence, "%s%s%s%s", what, reason != NULL ? " (" : "",
                   reason != NULL ? reason : "", reason != NULL ? ")" : "");
    ERR_clear_error();
    return fail(reading, field, path, sentence);
}

/* ---- Files ---- */

static void file_state_of(const struct stat *status, struct file_state *state)
{
    state->changed = status->st_mtim;
    state->size = status->st_size;
    state->inode = status->st_ino;
}

/* Notes the file for tls_context_is_stale. false with an error when it cannot be read. */
static bool note_file(struct reading *reading, const char *field, const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail(reading, field, path, strerrordesc_np(errno));
    bool good = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    close(fd);
    if (!good)
        return fail(reading, field, path, "it is not a file");
    if (reading->file_count == FILES_MAX)
        return fail(reading, field, path, "too many files");
    struct file_state *state = &reading->files[reading->file_count];
    state->path = strdup(path);
    if (state->path == NULL)
        return fail(reading, NULL, NULL, "out of memory");
    file_state_of(&status, state);
    reading->file_count++;
    return true;
}

static void forget_files(struct file_state *files, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(files[i].path);
}

bool tls_context_is_stale(const struct tls_context *context)
{
    for (size_t i = 0; i < context->file_count; i++) {
        const struct file_state *file = &context->files[i];
        struct stat status;
        struct file_state now;
        /* One that is away for the moment is about to be replaced. */
        if (stat(file->path, &status) != 0)
            continue;
        file_state_of(&status, &now);
        if (now.changed.tv_sec != file->changed.tv_sec || now.changed.tv_nsec != file->changed.tv_nsec ||
            now.size != file->size || now.inode != file->inode)
            return true;
    }
    return false;
}

/* ---- Certificates ---- */

static int64_t unix_s_of(const ASN1_TIME *time)
{
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* No terminal is asked. */
static int no_passphrase(char *buffer, int size, int writes, void *context)
{
    (void)buffer;
    (void)size;
    (void)writes;
    (void)context;
    return -1;
}

static bool use_identity(struct reading *reading, SSL_CTX *ssl_ctx, const struct tls_identity *identity)
{
    if (!note_file(reading, "certificate", identity->certificate) || !note_file(reading, "key", identity->key))
        return false;
    if (SSL_CTX_use_certificate_chain_file(ssl_ctx, identity->certificate) != 1)
        return fail_openssl(reading, "certificate", identity->certificate, "it holds no certificate that can be used");
    if (SSL_CTX_use_PrivateKey_file(ssl_ctx, identity->key, SSL_FILETYPE_PEM) != 1) {
        bool mismatch = ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;
        return fail_openssl(reading, "key", identity->key,
                            mismatch ? "it is not the key of the certificate"
                                     : "it holds no private key that can be used; one with a passphrase cannot be");
    }
    if (SSL_CTX_check_private_key(ssl_ctx) != 1)
        return fail_openssl(reading, "key", identity->key, "it is not the key of the certificate");
    int64_t expires_s = unix_s_of(X509_get0_notAfter(SSL_CTX_get0_certificate(ssl_ctx)));
    if (reading->expires_unix_s == 0 || expires_s < reading->expires_unix_s)
        reading->expires_unix_s = expires_s;
    return true;
}

static bool use_crl(struct reading *reading, const char *path)
{
    if (path == NULL)
        return true;
    if (!note_file(reading, "crl", path))
        return false;
    X509_STORE *store = SSL_CTX_get_cert_store(reading->ssl_ctx);
    X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
    if (lookup == NULL || X509_load_crl_file(lookup, path, X509_FILETYPE_PEM) < 1)
        return fail_openssl(reading, "crl", path, "it holds no list of revoked certificates");
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    return true;
}

static bool use_ca(struct reading *reading, const char *field, const char *path)
{
    if (!note_file(reading, field, path))
        return false;
    if (SSL_CTX_load_verify_file(reading->ssl_ctx, path) != 1)
        return fail_openssl(reading, field, path, "it holds no certificate of an authority");
    return true;
}

/* ---- What both ends share ---- */

static bool begin(struct reading *reading, const SSL_METHOD *method, enum tls_version min_version)
{
    ERR_clear_error();
    SSL_CTX *ssl_ctx = SSL_CTX_new(method);
    if (ssl_ctx == NULL)
        return fail_openssl(reading, NULL, NULL, "OpenSSL refuses to make a context");
    reading->ssl_ctx = ssl_ctx;
    SSL_CTX_set_min_proto_version(ssl_ctx, min_version == TLS_VERSION_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ssl_ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ssl_ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ssl_ctx, READ_BYTES);
    SSL_CTX_set_default_passwd_cb(ssl_ctx, no_passphrase);
    return true;
}

/* ---- Servers ---- */

static int ex_further = -1, ex_context = -1;
static pthread_once_t indexes_once = PTHREAD_ONCE_INIT;

struct further {
    SSL_CTX **contexts; /* each with one identity */
    size_t count;
};

static void free_further(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)argl;
    (void)argp;
    struct further *further = pointer;
    if (further == NULL)
        return;
    for (size_t i = 0; i < further->count; i++)
        SSL_CTX_free(further->contexts[i]);
    free(further->contexts);
    free(further);
}

static void make_indexes(void)
{
    ex_further = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_further);
    ex_context = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

/* Chooses the identity by the name that the client asks for; the first one where none fits. */
static int choose_identity(SSL *ssl, void *unused)
{
    (void)unused;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    SSL_CTX *ssl_ctx = SSL_get_SSL_CTX(ssl);
    const struct further *further = SSL_CTX_get_ex_data(ssl_ctx, ex_further);
    if (name == NULL || further == NULL || X509_check_host(SSL_CTX_get0_certificate(ssl_ctx), name, 0, 0, NULL) == 1)
        return 1;
    for (size_t i = 0; i < further->count; i++) {
        SSL_CTX *other = further->contexts[i];
        X509 *certificate = SSL_CTX_get0_certificate(other);
        if (X509_check_host(certificate, name, 0, 0, NULL) != 1)
            continue;
        STACK_OF(X509) *chain = NULL;
        SSL_CTX_get0_chain_certs(other, &chain);
        return SSL_use_cert_and_key(ssl, certificate, SSL_CTX_get0_privatekey(other), chain, 1);
    }
    return 1;
}

static bool use_further(struct reading *reading, const struct tls_server_spec *spec)
{
    if (spec->further_count == 0)
        return true;
    struct further *further = calloc(1, sizeof *further);
    SSL_CTX **contexts = calloc(spec->further_count, sizeof(SSL_CTX *));
    if (further == NULL || contexts == NULL || SSL_CTX_set_ex_data(reading->ssl_ctx, ex_further, further) != 1) {
        free(further);
        free(contexts);
        return fail(reading, NULL, NULL, "out of memory");
    }
    further->contexts = contexts;
    for (size_t i = 0; i < spec->further_count; i++) {
        contexts[i] = SSL_CTX_new(TLS_server_method());
        if (contexts[i] == NULL)
            return fail(reading, NULL, NULL, "out of memory");
        further->count++;
        SSL_CTX_set_default_passwd_cb(contexts[i], no_passphrase);
        if (!use_identity(reading, contexts[i], &spec->further[i]))
            return false;
    }
    SSL_CTX_set_cert_cb(reading->ssl_ctx, choose_identity, NULL);
    return true;
}

static int64_t monotonic_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec + 1; /* never 0 */
}

/* Under the lock: the newest key, made if it is time. NULL: no randomness. */
static struct ticket_key *ticket_key_now(struct tls_context *context)
{
    int64_t now_s = monotonic_s();
    struct ticket_key *keys = context->tickets;
    if (keys[0].made_s != 0 && now_s - keys[0].made_s < TICKET_KEY_LIFE_S)
        return &keys[0];
    struct ticket_key fresh = {.made_s = now_s};
    if (RAND_bytes(fresh.name, sizeof fresh.name) != 1 || RAND_priv_bytes(fresh.cipher, sizeof fresh.cipher) != 1 ||
        RAND_priv_bytes(fresh.mac, sizeof fresh.mac) != 1)
        return NULL;
    memmove(keys + 1, keys, (TICKET_KEYS - 1) * sizeof *keys);
    keys[0] = fresh;
    OPENSSL_cleanse(&fresh, sizeof fresh);
    return &keys[0];
}

/* Under the lock: the key of that name, if it is not too old. */
static struct ticket_key *ticket_key_find(struct tls_context *context, const unsigned char *name)
{
    int64_t now_s = monotonic_s();
    for (size_t i = 0; i < TICKET_KEYS; i++) {
        struct ticket_key *key = &context->tickets[i];
        if (key->made_s != 0 && now_s - key->made_s < TICKET_KEYS * TICKET_KEY_LIFE_S &&
            memcmp(key->name, name, sizeof key->name) == 0)
            return key;
    }
    return NULL;
}

static int use_ticket_key(struct ticket_key *key, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                          int encrypts)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, encrypts) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* As SSL_CTX_set_tlsext_ticket_key_evp_cb(3) wants it. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                     int encrypts)
{
    struct tls_context *context = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), ex_context);
    int result = 0;
    pthread_mutex_lock(&context->lock);
    struct ticket_key *newest = ticket_key_now(context);
    struct ticket_key *key = encrypts ? newest : ticket_key_find(context, name);
    if (encrypts && newest != NULL && RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1) {
        memcpy(name, newest->name, sizeof newest->name);
        result = use_ticket_key(newest, iv, cipher, mac, 1);
    } else if (encrypts) {
        result = -1;
    } else if (key != NULL && use_ticket_key(key, iv, cipher, mac, 0)) {
        result = key == newest ? 1 : 2; /* 2: taken, and to be renewed */
    }
    pthread_mutex_unlock(&context->lock);
    return result;
}

static bool use_client_ca(struct reading *reading, const struct tls_server_spec *spec)
{
    if (spec->client_certificate == TLS_CLIENT_CERTIFICATE_NONE)
        return true;
    if (!use_ca(reading, "client_ca", spec->client_ca) || !use_crl(reading, spec->crl))
        return false;
    SSL_CTX_set_client_CA_list(reading->ssl_ctx, SSL_load_client_CA_file(spec->client_ca));
    bool requires = spec->client_certificate == TLS_CLIENT_CERTIFICATE_REQUIRE;
    SSL_CTX_set_verify(reading->ssl_ctx, SSL_VERIFY_PEER | (requires ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    return true;
}

static bool read_server(struct tls_context *context, struct reading *reading)
{
    static const unsigned char id[] = "ringside";
    const struct tls_server_spec *spec = &context->server;
    if (!begin(reading, TLS_server_method(), spec->min_version) ||
        !use_identity(reading, reading->ssl_ctx, &spec->identity) || !use_further(reading, spec) ||
        !use_client_ca(reading, spec))
        return false;
    /* Tickets alone: what is remembered lies with the clients. */
    SSL_CTX_set_session_cache_mode(reading->ssl_ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(reading->ssl_ctx, id, sizeof id - 1);
    SSL_CTX_set_timeout(reading->ssl_ctx, TICKET_KEY_LIFE_S);
    SSL_CTX_set_num_tickets(reading->ssl_ctx, 1);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(reading->ssl_ctx, on_ticket);
    if (SSL_CTX_set_ex_data(reading->ssl_ctx, ex_context, context) != 1)
        return fail(reading, NULL, NULL, "out of memory");
    return true;
}

/* ---- Clients ---- */

static bool read_client(struct tls_context *context, struct reading *reading)
{
    const struct tls_client_spec *spec = &context->client;
    if (!begin(reading, TLS_client_method(), spec->min_version))
        return false;
    if (spec->identity.certificate != NULL && !use_identity(reading, reading->ssl_ctx, &spec->identity))
        return false;
    SSL_CTX_set_session_cache_mode(reading->ssl_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(reading->ssl_ctx, tls_on_new_session);
    if (spec->insecure)
        return true;
    SSL_CTX_set_verify(reading->ssl_ctx, SSL_VERIFY_PEER, NULL);
    if (spec->ca != NULL && !use_ca(reading, "ca", spec->ca))
        return false;
    if (spec->ca == NULL && SSL_CTX_set_default_verify_paths(reading->ssl_ctx) != 1)
        return fail_openssl(reading, "ca", NULL, "the system's authorities cannot be read");
    return use_crl(reading, spec->crl);
}

/* ---- Life ---- */

static bool read_files(struct tls_context *context, struct reading *reading)
{
    reading->error[0] = '\0';
    bool good = context->is_server ? read_server(context, reading) : read_client(context, reading);
    if (!good) {
        SSL_CTX_free(reading->ssl_ctx);
        forget_files(reading->files, reading->file_count);
    }
    ERR_clear_error();
    return good;
}

/* Puts into force what was read. */
static void take_over(struct tls_context *context, struct reading *reading)
{
    pthread_mutex_lock(&context->lock);
    SSL_CTX *old = context->ssl_ctx;
    context->ssl_ctx = reading->ssl_ctx;
    context->generation++;
    /* A ticket says that its client was verified: by what was in force then. */
    if (context->is_server && context->server.client_certificate != TLS_CLIENT_CERTIFICATE_NONE)
        OPENSSL_cleanse(context->tickets, sizeof context->tickets);
    pthread_mutex_unlock(&context->lock);
    SSL_CTX_free(old);
    forget_files(context->files, context->file_count);
    memcpy(context->files, reading->files, sizeof context->files);
    context->file_count = reading->file_count;
    atomic_store_explicit(&context->expires_unix_s, reading->expires_unix_s, memory_order_relaxed);
}

/* The files as they are now are known, and not good. */
static void note_states(struct tls_context *context)
{
    for (size_t i = 0; i < context->file_count; i++) {
        struct stat status;
        if (stat(context->files[i].path, &status) == 0)
            file_state_of(&status, &context->files[i]);
    }
}

bool tls_context_refresh(struct tls_context *context, char error_out[TLS_ERROR_MAX])
{
    struct reading reading = {.error = error_out};
    if (!read_files(context, &reading)) {
        note_states(context);
        return false;
    }
    take_over(context, &reading);
    return true;
}

static char *copy(const char *string, bool *failed)
{
    char *own = string != NULL ? strdup(string) : NULL;
    *failed |= string != NULL && own == NULL;
    return own;
}

static struct tls_identity copy_identity(const struct tls_identity *identity, bool *failed)
{
    return (struct tls_identity){copy(identity->certificate, failed), copy(identity->key, failed)};
}

static void identity_fini(struct tls_identity *identity)
{
    free(identity->certificate);
    free(identity->key);
}

static bool copy_server_spec(struct tls_server_spec *own, const struct tls_server_spec *spec)
{
    bool failed = false;
    *own = *spec;
    own->identity = copy_identity(&spec->identity, &failed);
    own->client_ca = copy(spec->client_ca, &failed);
    own->crl = copy(spec->crl, &failed);
    own->further = calloc(spec->further_count + 1, sizeof *own->further);
    own->further_count = own->further != NULL ? spec->further_count : 0;
    for (size_t i = 0; i < own->further_count; i++)
        own->further[i] = copy_identity(&spec->further[i], &failed);
    return !failed && own->further != NULL;
}

static bool copy_client_spec(struct tls_client_spec *own, const struct tls_client_spec *spec)
{
    bool failed = false;
    *own = *spec;
    own->ca = copy(spec->ca, &failed);
    own->server_name = copy(spec->server_name, &failed);
    own->identity = copy_identity(&spec->identity, &failed);
    own->crl = copy(spec->crl, &failed);
    return !failed;
}

static void context_free(struct tls_context *context)
{
    SSL_CTX_free(context->ssl_ctx);
    forget_files(context->files, context->file_count);
    OPENSSL_cleanse(context->tickets, sizeof context->tickets);
    identity_fini(&context->server.identity);
    for (size_t i = 0; i < context->server.further_count; i++)
        identity_fini(&context->server.further[i]);
    free(context->server.further);
    free(context->server.client_ca);
    free(context->server.crl);
    free(context->client.ca);
    free(context->client.server_name);
    identity_fini(&context->client.identity);
    free(context->client.crl);
    pthread_mutex_destroy(&context->lock);
    free(context);
}

static struct tls_context *context_create(const struct tls_server_spec *server, const struct tls_client_spec *client,
                                          char *error_out, const char **field_out)
{
    pthread_once(&indexes_once, make_indexes);
    struct reading reading = {.error = error_out};
    struct tls_context *context = calloc(1, sizeof *context);
    *field_out = NULL;
    (void)snprintf(error_out, TLS_ERROR_MAX, "out of memory");
    if (context == NULL)
        return NULL;
    pthread_mutex_init(&context->lock, NULL);
    atomic_init(&context->refs, 1);
    context->is_server = server != NULL;
    bool copied =
        server != NULL ? copy_server_spec(&context->server, server) : copy_client_spec(&context->client, client);
    if (!copied || !read_files(context, &reading)) {
        *field_out = reading.field;
        context_free(context);
        return NULL;
    }
    take_over(context, &reading);
    return context;
}

struct tls_context *tls_context_create_server(const struct tls_server_spec *spec, char error_out[TLS_ERROR_MAX],
                                              const char **error_field_out)
{
    return context_create(spec, NULL, error_out, error_field_out);
}

struct tls_context *tls_context_create_client(const struct tls_client_spec *spec, char error_out[TLS_ERROR_MAX],
                                              const char **error_field_out)
{
    return context_create(NULL, spec, error_out, error_field_out);
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
    atomic_fetch_add_explicit(&context->refs, 1, memory_order_relaxed);
    return context;
}

void tls_context_unref(struct tls_context **context)
{
    struct tls_context *c = *context;
    *context = NULL;
    if (c != NULL && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        context_free(c);
}

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_identity(const struct tls_identity *a, const struct tls_identity *b)
{
    return same(a->certificate, b->certificate) && same(a->key, b->key);
}

bool tls_context_is_server(const struct tls_context *context, const struct tls_server_spec *spec)
{
    const struct tls_server_spec *own = &context->server;
    if (!context->is_server || !same_identity(&own->identity, &spec->identity) ||
        !same(own->client_ca, spec->client_ca) || !same(own->crl, spec->crl) ||
        own->client_certificate != spec->client_certificate || own->min_version != spec->min_version ||
        own->further_count != spec->further_count)
        return false;
    for (size_t i = 0; i < own->further_count; i++) {
        if (!same_identity(&own->further[i], &spec->further[i]))
            return false;
    }
    return true;
}

bool tls_context_is_client(const struct tls_context *context, const struct tls_client_spec *spec)
{
    const struct tls_client_spec *own = &context->client;
    return !context->is_server && same(own->ca, spec->ca) && same(own->server_name, spec->server_name) &&
           same_identity(&own->identity, &spec->identity) && same(own->crl, spec->crl) &&
           own->insecure == spec->insecure && own->min_version == spec->min_version;
}

int64_t tls_context_expires_unix_s(const struct tls_context *context)
{
    return atomic_load_explicit(&context->expires_unix_s, memory_order_relaxed);
}

const char *tls_context_name(const struct tls_context *context)
{
    const char *own = context->is_server ? context->server.identity.certificate : context->client.identity.certificate;
    if (own != NULL)
        return own;
    return context->client.ca != NULL ? context->client.ca : "the system's authorities";
}

/* ---- For transport.c ---- */

SSL *tls_context_open(struct tls_context *context, uint64_t *generation_out)
{
    pthread_mutex_lock(&context->lock);
    SSL_CTX *ssl_ctx = context->ssl_ctx;
    SSL_CTX_up_ref(ssl_ctx);
    *generation_out = context->generation;
    pthread_mutex_unlock(&context->lock);
    SSL *ssl = SSL_new(ssl_ctx);
    SSL_CTX_free(ssl_ctx);
    return ssl;
}

const struct tls_client_spec *tls_context_client_spec(const struct tls_context *context)
{
    return &context->client;
}
