/*
 * Owns what is read from certificate and key files, and how OpenSSL is told to use it.
 *
 *      context -> ssl_ctx (counted by OpenSSL; connections hold it on) -> further identities, for SNI
 *              -> ticket keys (tickets.h), which outlive a refresh
 *
 * A refresh makes a whole new ssl_ctx and swaps it in. Nothing is written to a file or a terminal; a key with a passphrase is
 * an error, not a question.
 */
#include "tls/context.h"

#include "tls/context_internal.h"
#include "tls/tickets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
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
/* How much ciphertext is read at once. */
#define READ_BYTES 65536

struct file_state {
    char *path;
    struct timespec changed;
    off_t size;
    ino_t inode;
};

struct tls_context {
    atomic_uint refs;
    bool is_server;
    struct tls_server_spec server; /* strings are its own */
    struct tls_client_spec client;
    struct tickets tickets;
    /* Guards the two below: taken when a connection is opened, never for a request. */
    pthread_mutex_t lock;
    SSL_CTX *ssl_ctx;
    uint64_t generation;
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
    uint64_t generation;
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

/*
 * SSL_verify_cb. A list is due of who issued the certificate itself; of the authorities above, where there is one. OpenSSL knows only
 * lists for all of the chain, or for the certificate alone.
 */
static int judge(int is_good, X509_STORE_CTX *verifying)
{
    if (is_good || X509_STORE_CTX_get_error(verifying) != X509_V_ERR_UNABLE_TO_GET_CRL ||
        X509_STORE_CTX_get_error_depth(verifying) == 0)
        return is_good;
    X509_STORE_CTX_set_error(verifying, X509_V_OK);
    return 1;
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
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
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

static int ex_further = -1, ex_context = -1, ex_generation = -1;
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

static void free_generation(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)argl;
    (void)argp;
    free(pointer);
}

static void make_indexes(void)
{
    ex_further = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_further);
    ex_context = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    ex_generation = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_generation);
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
        /* Else one of another kind of key would stand beside it, and the client might be shown that. */
        SSL_certs_clear(ssl);
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

/* As SSL_CTX_set_tlsext_ticket_key_evp_cb(3) wants it. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                     int encrypts)
{
    SSL_CTX *ssl_ctx = SSL_get_SSL_CTX(ssl);
    struct tls_context *context = SSL_CTX_get_ex_data(ssl_ctx, ex_context);
    const uint64_t *generation = SSL_CTX_get_ex_data(ssl_ctx, ex_generation);
    int result = tickets_use(&context->tickets, *generation, name, iv, cipher, mac, encrypts);
    /* A ticket of TLS 1.3 is used once (RFC 8446, C.4): each visit brings a new one. */
    return result == 1 && !encrypts && SSL_version(ssl) >= TLS1_3_VERSION ? 2 : result;
}

/* Tickets renew themselves for ever, but not beyond the certificate that was shown at first. */
static SSL_TICKET_RETURN on_ticket_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_len,
                                          SSL_TICKET_STATUS status, void *unused)
{
    (void)ssl;
    (void)name;
    (void)name_len;
    (void)unused;
    X509 *shown = session != NULL ? SSL_SESSION_get0_peer(session) : NULL;
    if (shown != NULL && X509_cmp_current_time(X509_get0_notAfter(shown)) <= 0)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (status == SSL_TICKET_SUCCESS)
        return SSL_TICKET_RETURN_USE;
    return status == SSL_TICKET_SUCCESS_RENEW ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_IGNORE_RENEW;
}

static bool use_client_ca(struct reading *reading, const struct tls_server_spec *spec)
{
    if (spec->client_certificate == TLS_CLIENT_CERTIFICATE_NONE)
        return true;
    if (!use_ca(reading, "client_ca", spec->client_ca) || !use_crl(reading, spec->crl))
        return false;
    SSL_CTX_set_client_CA_list(reading->ssl_ctx, SSL_load_client_CA_file(spec->client_ca));
    bool requires = spec->client_certificate == TLS_CLIENT_CERTIFICATE_REQUIRE;
    SSL_CTX_set_verify(reading->ssl_ctx, SSL_VERIFY_PEER | (requires ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), judge);
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
    SSL_CTX_set_session_ticket_cb(reading->ssl_ctx, NULL, on_ticket_opened, NULL);
    uint64_t *generation = malloc(sizeof *generation);
    if (generation == NULL || SSL_CTX_set_ex_data(reading->ssl_ctx, ex_context, context) != 1 ||
        SSL_CTX_set_ex_data(reading->ssl_ctx, ex_generation, generation) != 1) {
        free(generation);
        return fail(reading, NULL, NULL, "out of memory");
    }
    *generation = reading->generation;
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
    SSL_CTX_set_verify(reading->ssl_ctx, SSL_VERIFY_PEER, judge);
    if (spec->ca != NULL && !use_ca(reading, "ca", spec->ca))
        return false;
    if (spec->ca == NULL && SSL_CTX_set_default_verify_paths(reading->ssl_ctx) != 1)
        return fail_openssl(reading, "ca", NULL, "the system's authorities cannot be read");
    return use_crl(reading, spec->crl);
}

/* ---- Life ---- */

static bool read_files(struct tls_context *context, struct reading *reading)
{
    /* Never twice in a process: a session is of one generation, whatever has become of its context since. */
    static atomic_uint_least64_t generations;
    reading->generation = atomic_fetch_add_explicit(&generations, 1, memory_order_relaxed) + 1;
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
    context->generation = reading->generation;
    pthread_mutex_unlock(&context->lock);
    /* A ticket says that its client was verified: by what was in force then. */
    tickets_renew(&context->tickets, reading->generation,
                  context->server.client_certificate != TLS_CLIENT_CERTIFICATE_NONE);
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

static void context_free(struct tls_context *context)
{
    SSL_CTX_free(context->ssl_ctx);
    forget_files(context->files, context->file_count);
    tickets_fini(&context->tickets);
    tls_server_spec_fini(&context->server);
    tls_client_spec_fini(&context->client);
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
    tickets_init(&context->tickets);
    atomic_init(&context->refs, 1);
    context->is_server = server != NULL;
    bool copied = server != NULL ? tls_server_spec_copy(&context->server, server)
                                 : tls_client_spec_copy(&context->client, client);
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

bool tls_context_is_server(const struct tls_context *context, const struct tls_server_spec *spec)
{
    return context->is_server && tls_server_spec_equals(&context->server, spec);
}

bool tls_context_is_client(const struct tls_context *context, const struct tls_client_spec *spec)
{
    return !context->is_server && tls_client_spec_equals(&context->client, spec);
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

static bool is_ip_address(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* By name, with SNI, or by address. */
bool tls_context_expect(const struct tls_context *context, SSL *ssl, const char *host)
{
    if (context->client.server_name != NULL)
        host = context->client.server_name;
    bool is_ip = is_ip_address(host);
    if (!is_ip && SSL_set_tlsext_host_name(ssl, host) != 1)
        return false;
    if (context->client.insecure)
        return true;
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return is_ip ? X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1 : X509_VERIFY_PARAM_set1_host(param, host, 0) == 1;
}
