/*
 * Owns one TLS connection each: OpenSSL's state of it, and the ciphertext that the socket has not taken yet.
 *
 *      read    socket -> OpenSSL's own buffer -> plaintext          (OpenSSL calls stream_receive)
 *      write   plaintext -> records -> this thread's scratch -> one send -> what is left: stream->held
 *              (OpenSSL calls stream_send, which only collects)
 *
 * What a write encrypted but could not send whole is not reported to the caller, who thus offers the same bytes again; transport->unreported
 * is how many of those are encrypted already. So nothing is lost when a caller closes after its last byte is reported.
 *
 *      CONNECTING -> SHAKING -> OPEN
 *             \---------\---------\--> FAILED
 */
#include "tls/transport.h"

#include "tls/context_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The most plaintext of one write. */
#define WRITE_MAX ((size_t)64 << 10)
#define RECORD_MAX ((size_t)16 << 10)
/* Its ciphertext, and what a handshake says at once. */
#define OUT_MAX ((size_t)128 << 10)
#define NAME_MAX_BYTES 256

enum stream_state { STREAM_CONNECTING, STREAM_SHAKING, STREAM_OPEN, STREAM_FAILED };

struct tls_session {
    SSL_SESSION *session;
    uint64_t generation;               /* of the context */
    const struct tls_context *context; /* only to be compared */
};

struct stream {
    struct transport *transport;
    enum stream_state state;
    bool drained; /* the socket has nothing more, as of this read */
    int error;    /* errno value, FAILED */
    SSL *ssl;
    struct tls_context *context;
    uint64_t generation;
    struct tls_session **session; /* where to keep it; NULL: nowhere */
    char *held;                   /* ciphertext, [held_start, held_end) */
    size_t held_start, held_end, held_room;
    size_t owed;                                                   /* plaintext that is encrypted and not reported */
    void (*on_ready)(struct transport *transport, unsigned ready); /* the owner's, while opening */
    char *problem;
    char *peer_name;
};

/* What one operation needs, and no longer; a thread has one at a time. */
struct scratch {
    size_t len;
    char out[OUT_MAX];       /* ciphertext of the operation that is going on: len bytes */
    char record[RECORD_MAX]; /* plaintext of one record */
};

static _Thread_local struct scratch *scratch;
static pthread_key_t scratch_key; /* frees it when the thread ends */

/* Makes this thread's. false: memory is out. */
static bool scratch_ready(void)
{
    if (scratch != NULL)
        return true;
    scratch = calloc(1, sizeof *scratch);
    return scratch != NULL && pthread_setspecific(scratch_key, scratch) == 0;
}

/* ---- Sessions ---- */

void tls_session_forget(struct tls_session **session)
{
    if (*session == NULL)
        return;
    SSL_SESSION_free((*session)->session);
    free(*session);
    *session = NULL;
}

int tls_on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct stream *stream = SSL_get_app_data(ssl);
    if (stream->session == NULL)
        return 0;
    struct tls_session *kept = *stream->session;
    if (kept == NULL && (kept = calloc(1, sizeof *kept)) == NULL)
        return 0;
    SSL_SESSION_free(kept->session);
    *kept = (struct tls_session){session, stream->generation, stream->context};
    *stream->session = kept;
    return 1; /* the reference is ours */
}

/* ---- Below OpenSSL ---- */

static int stream_receive(BIO *bio, char *buffer, int capacity)
{
    struct stream *stream = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (stream->drained) {
        BIO_set_retry_read(bio);
        return -1;
    }
    ssize_t n = recv(stream->transport->fd, buffer, (size_t)capacity, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        stream->drained = true;
        BIO_set_retry_read(bio);
    }
    if (n > 0 && n < capacity)
        stream->drained = true;
    return (int)n;
}

static int stream_send(BIO *bio, const char *data, int len)
{
    BIO_clear_retry_flags(bio);
    if ((size_t)len > OUT_MAX - scratch->len)
        return -1;
    memcpy(scratch->out + scratch->len, data, (size_t)len);
    scratch->len += (size_t)len;
    return len;
}

static long stream_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *bio_method;
static pthread_once_t prepared = PTHREAD_ONCE_INIT;

/* bio_method stays NULL if anything of it fails. */
static void prepare(void)
{
    if (pthread_key_create(&scratch_key, free) != 0)
        return;
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ringside");
    if (bio_method == NULL)
        return;
    BIO_meth_set_read(bio_method, stream_receive);
    BIO_meth_set_write(bio_method, stream_send);
    BIO_meth_set_ctrl(bio_method, stream_control);
}

/* ---- Ciphertext on its way out ---- */

static bool is_again(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

static bool reserve(char **data, size_t *room, size_t len)
{
    if (len <= *room)
        return true;
    size_t wanted = *room < 4096 ? 4096 : *room;
    while (wanted < len)
        wanted *= 2;
    char *larger = realloc(*data, wanted);
    if (larger == NULL)
        return false;
    *data = larger;
    *room = wanted;
    return true;
}

/* Keeps what the socket did not take. */
static int hold(struct stream *stream, const char *data, size_t len)
{
    if (stream->held_start == stream->held_end)
        stream->held_start = stream->held_end = 0;
    if (!reserve(&stream->held, &stream->held_room, stream->held_end + len)) {
        errno = ENOMEM;
        return -1;
    }
    memcpy(stream->held + stream->held_end, data, len);
    stream->held_end += len;
    return 0;
}

static int send_held(struct stream *stream)
{
    size_t len = stream->held_end - stream->held_start;
    if (len == 0)
        return 0;
    ssize_t n = send(stream->transport->fd, stream->held + stream->held_start, len, MSG_NOSIGNAL);
    if (n < 0 && !is_again())
        return -1;
    stream->held_start += n > 0 ? (size_t)n : 0;
    if (stream->held_start == stream->held_end) {
        free(stream->held);
        stream->held = NULL;
        stream->held_start = stream->held_end = stream->held_room = 0;
    }
    return 0;
}

/* Sends what the operation has made. 0, also when some of it is held now; -1 with errno. */
static int send_out(struct stream *stream)
{
    size_t len = scratch->len;
    scratch->len = 0;
    if (len == 0)
        return send_held(stream);
    if (stream->held != NULL)
        return hold(stream, scratch->out, len) != 0 ? -1 : send_held(stream);
    ssize_t n = send(stream->transport->fd, scratch->out, len, MSG_NOSIGNAL);
    if (n < 0 && !is_again())
        return -1;
    size_t sent = n > 0 ? (size_t)n : 0;
    return sent < len ? hold(stream, scratch->out + sent, len - sent) : 0;
}

/* ---- Failing ---- */

static void set_problem(struct stream *stream, const char *what, const char *why)
{
    if (stream->problem != NULL)
        return;
    if (asprintf(&stream->problem, "%s%s%s", what, why != NULL ? ": " : "", why != NULL ? why : "") < 0)
        stream->problem = NULL;
}

static void fail_errno(struct stream *stream, int error)
{
    stream->state = STREAM_FAILED;
    stream->error = error != 0 ? error : ECONNRESET;
}

/* After an OpenSSL call that has failed for good. */
static void fail_openssl(struct stream *stream, int reason, int error)
{
    unsigned long code = ERR_peek_last_error();
    long verified = SSL_get_verify_result(stream->ssl);
    bool cut = code != 0 && ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK)
        set_problem(stream, "TLS: the certificate is not good", X509_verify_cert_error_string(verified));
    else if (cut || (reason == SSL_ERROR_SYSCALL && error == 0))
        set_problem(stream, "TLS: the connection ended without close_notify", NULL);
    else if (code != 0)
        set_problem(stream, "TLS", ERR_reason_error_string(code));
    fail_errno(stream, cut || code == 0 ? (error != 0 ? error : ECONNRESET) : EPROTO);
    ERR_clear_error();
}

/* ---- Opening ---- */

static void opened(struct transport *transport)
{
    struct stream *stream = transport->stream;
    transport->on_ready = stream->on_ready;
    transport->opening = false;
    unsigned wanted = transport->wanted;
    bool failed = stream->state == STREAM_FAILED;
    transport->buffered = failed || SSL_has_pending(stream->ssl) || !stream->drained;
    if (transport_arm(transport, wanted) != 0)
        fail_errno(stream, ENOMEM);
    if (failed || wanted & TRANSPORT_WRITABLE)
        transport->on_ready(transport, wanted & TRANSPORT_WRITABLE ? TRANSPORT_WRITABLE : TRANSPORT_READABLE);
    else
        transport_nudge(transport);
}

static void shake(struct transport *transport)
{
    struct stream *stream = transport->stream;
    stream->drained = false;
    ERR_clear_error();
    int result = SSL_do_handshake(stream->ssl);
    int reason = result == 1 ? SSL_ERROR_NONE : SSL_get_error(stream->ssl, result);
    int error = errno;
    if (result == 1)
        stream->state = STREAM_OPEN;
    else if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE)
        fail_openssl(stream, reason, error);
    if (send_out(stream) != 0)
        fail_errno(stream, errno);
    if (stream->state != STREAM_SHAKING) {
        opened(transport);
        return;
    }
    unsigned writes = stream->held != NULL ? TRANSPORT_WRITABLE : 0;
    if (transport_arm(transport, TRANSPORT_READABLE | writes) != 0) {
        fail_errno(stream, ENOMEM);
        opened(transport);
    }
}

static void on_opening(struct transport *transport, unsigned ready)
{
    struct stream *stream = transport->stream;
    (void)ready;
    if (stream->state == STREAM_CONNECTING) {
        int error = transport_socket_error(transport);
        if (error != 0) {
            fail_errno(stream, error);
            opened(transport);
            return;
        }
        stream->state = STREAM_SHAKING;
    }
    shake(transport);
}

/* ---- The methods ---- */

static ssize_t failed_result(const struct stream *stream)
{
    errno = stream->error;
    return TRANSPORT_ERROR;
}

/* What ends a read, when OpenSSL gives no more bytes. */
static ssize_t read_end(struct stream *stream, int result, int error)
{
    int reason = SSL_get_error(stream->ssl, result);
    if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE)
        return TRANSPORT_AGAIN;
    if (reason == SSL_ERROR_ZERO_RETURN)
        return TRANSPORT_EOF;
    fail_openssl(stream, reason, error);
    return failed_result(stream);
}

static ssize_t tls_read(struct transport *transport, char *buffer, size_t capacity)
{
    struct stream *stream = transport->stream;
    if (stream->state != STREAM_OPEN)
        return stream->state == STREAM_FAILED ? failed_result(stream) : TRANSPORT_AGAIN;
    stream->drained = false;
    size_t total = 0;
    ssize_t end = 1;
    while (total < capacity && end > 0) {
        ERR_clear_error();
        errno = 0;
        int n = SSL_read(stream->ssl, buffer + total, (int)(capacity - total));
        if (n > 0)
            total += (size_t)n;
        else
            end = read_end(stream, n, errno);
    }
    if (send_out(stream) != 0 && stream->state == STREAM_OPEN)
        fail_errno(stream, errno);
    /* The end is told when all before it has been taken. */
    transport->buffered = end > 0 ? SSL_has_pending(stream->ssl) : end != TRANSPORT_AGAIN && total > 0;
    transport_nudge(transport);
    if (total > 0)
        return (ssize_t)total;
    return end;
}

/* Gathers the next record's plaintext: what is left of the vectors from *index, *offset on. */
static size_t gather(const struct iovec *vectors, int count, int *index, size_t *offset, size_t most)
{
    size_t len = 0;
    while (*index < count && len < most) {
        size_t left = vectors[*index].iov_len - *offset;
        size_t part = left < most - len ? left : most - len;
        memcpy(scratch->record + len, (const char *)vectors[*index].iov_base + *offset, part);
        len += part;
        *offset += part;
        if (*offset == vectors[*index].iov_len) {
            (*index)++;
            *offset = 0;
        }
    }
    return len;
}

/* Encrypts what comes behind the bytes that are encrypted already. Bytes, or -1. */
static ssize_t encrypt(struct stream *stream, const struct iovec *vectors, int count, size_t skip)
{
    int index = 0;
    size_t total = 0;
    while (index < count && skip >= vectors[index].iov_len)
        skip -= vectors[index++].iov_len;
    while (total < WRITE_MAX) {
        size_t len = gather(vectors, count, &index, &skip, RECORD_MAX);
        if (len == 0)
            break;
        ERR_clear_error();
        int n = SSL_write(stream->ssl, scratch->record, (int)len);
        if (n != (int)len) {
            fail_openssl(stream, SSL_get_error(stream->ssl, n), ENOMEM);
            return -1;
        }
        total += len;
    }
    OPENSSL_cleanse(scratch->record, total < RECORD_MAX ? total : RECORD_MAX);
    return (ssize_t)total;
}

static ssize_t tls_write(struct transport *transport, const struct iovec *vectors, int count)
{
    struct stream *stream = transport->stream;
    if (stream->state != STREAM_OPEN)
        return stream->state == STREAM_FAILED ? failed_result(stream) : TRANSPORT_AGAIN;
    if (send_held(stream) != 0) {
        fail_errno(stream, errno);
        return failed_result(stream);
    }
    if (stream->held != NULL)
        return TRANSPORT_AGAIN;
    size_t offered = 0;
    for (int i = 0; i < count; i++)
        offered += vectors[i].iov_len;
    size_t done = transport->unreported < offered ? transport->unreported : offered;
    transport->unreported -= done;
    ssize_t more = encrypt(stream, vectors, count, done);
    if (send_out(stream) != 0 && stream->state == STREAM_OPEN)
        fail_errno(stream, errno);
    if (stream->state == STREAM_FAILED)
        return failed_result(stream);
    if (stream->held != NULL)
        transport->unreported = (size_t)more;
    else
        done += (size_t)more;
    return done > 0 ? (ssize_t)done : TRANSPORT_AGAIN;
}

static int tls_connect_result(const struct transport *transport)
{
    const struct stream *stream = transport->stream;
    return stream->state == STREAM_FAILED ? stream->error : 0;
}

static const char *tls_problem(const struct transport *transport)
{
    const struct stream *stream = transport->stream;
    return stream->problem;
}

/* close_notify, as far as the socket takes it. */
static void say_goodbye(struct stream *stream)
{
    if (stream->state != STREAM_OPEN)
        return;
    ERR_clear_error();
    (void)SSL_shutdown(stream->ssl);
    (void)send_out(stream);
    ERR_clear_error();
}

static void tls_end_writing(struct transport *transport)
{
    say_goodbye(transport->stream);
    (void)shutdown(transport->fd, SHUT_WR);
}

static void stream_free(struct stream *stream)
{
    SSL_free(stream->ssl);
    tls_context_unref(&stream->context);
    free(stream->held);
    free(stream->problem);
    free(stream->peer_name);
    free(stream);
}

static void tls_close(struct transport *transport)
{
    struct stream *stream = transport->stream;
    if (transport->opening)
        transport->on_ready = stream->on_ready;
    transport->opening = false;
    transport->buffered = false;
    say_goodbye(stream);
    stream_free(stream);
    transport->stream = NULL;
    close(transport->fd);
}

static const struct transport_methods transport_tls = {
    .name = "tls",
    .read = tls_read,
    .write = tls_write,
    .connect_result = tls_connect_result,
    .end_writing = tls_end_writing,
    .problem = tls_problem,
    .close = tls_close,
};

/* ---- Making ---- */

static struct stream *stream_create(struct tls_context *context)
{
    pthread_once(&prepared, prepare);
    struct stream *stream = bio_method != NULL && scratch_ready() ? calloc(1, sizeof *stream) : NULL;
    if (stream == NULL)
        return NULL;
    stream->context = tls_context_ref(context);
    stream->ssl = tls_context_open(context, &stream->generation);
    BIO *bio = stream->ssl != NULL ? BIO_new(bio_method) : NULL;
    if (bio == NULL) {
        stream_free(stream);
        return NULL;
    }
    BIO_set_data(bio, stream);
    BIO_set_init(bio, 1);
    SSL_set_bio(stream->ssl, bio, bio);
    SSL_set_app_data(stream->ssl, stream);
    return stream;
}

/* Begins to wait; from here on the transport is open. */
static int begin(struct transport *transport, struct loop *loop, struct stream *stream, int fd, unsigned events)
{
    transport_open(transport, loop, &transport_tls, fd);
    transport->stream = stream;
    stream->transport = transport;
    stream->on_ready = transport->on_ready;
    transport->on_ready = on_opening;
    transport->opening = true;
    if (transport_arm(transport, events) == 0)
        return 0;
    transport_close(transport);
    return -1;
}

int tls_transport_open_server(struct transport *transport, struct loop *loop, struct tls_context *context, int fd)
{
    struct stream *stream = stream_create(context);
    if (stream == NULL) {
        close(fd);
        return -1;
    }
    stream->state = STREAM_SHAKING;
    SSL_set_accept_state(stream->ssl);
    return begin(transport, loop, stream, fd, TRANSPORT_READABLE);
}

static bool is_ip_address(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* Whom to expect: by name, with SNI, or by address. false: memory is out. */
static bool expect_host(SSL *ssl, const char *host, bool insecure)
{
    bool is_ip = is_ip_address(host);
    if (!is_ip && SSL_set_tlsext_host_name(ssl, host) != 1)
        return false;
    if (insecure)
        return true;
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return is_ip ? X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1 : X509_VERIFY_PARAM_set1_host(param, host, 0) == 1;
}

int tls_transport_open_client(struct transport *transport, struct loop *loop, struct tls_context *context, int fd,
                              const char *host, struct tls_session **session)
{
    const struct tls_client_spec *spec = tls_context_client_spec(context);
    struct stream *stream = stream_create(context);
    if (stream == NULL) {
        close(fd);
        return -1;
    }
    stream->session = session;
    SSL_set_connect_state(stream->ssl);
    if (!expect_host(stream->ssl, spec->server_name != NULL ? spec->server_name : host, spec->insecure)) {
        stream_free(stream);
        close(fd);
        return -1;
    }
    struct tls_session *kept = *session;
    if (kept != NULL && kept->context == context && kept->generation == stream->generation)
        SSL_set_session(stream->ssl, kept->session);
    return begin(transport, loop, stream, fd, TRANSPORT_WRITABLE);
}

/* ---- Questions ---- */

bool tls_transport_is_opening(const struct transport *transport)
{
    return transport->opening;
}

bool tls_transport_is_resumed(const struct transport *transport)
{
    const struct stream *stream = transport->stream;
    return transport->methods == &transport_tls && stream->state == STREAM_OPEN && SSL_session_reused(stream->ssl) == 1;
}

/* Copies the name if it is one that can stand in a log and in a file of users. */
static char *lawful_name(const ASN1_STRING *string)
{
    const unsigned char *data = ASN1_STRING_get0_data(string);
    int len = ASN1_STRING_length(string);
    if (len <= 0 || len > NAME_MAX_BYTES)
        return NULL;
    for (int i = 0; i < len; i++) {
        if (data[i] <= ' ' || data[i] >= 0x7f)
            return NULL;
    }
    return strndup((const char *)data, (size_t)len);
}

static char *alternative_name(X509 *certificate)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    char *found = NULL;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && found == NULL; i++) {
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
        if (type == GEN_DNS || type == GEN_EMAIL || type == GEN_URI)
            found = lawful_name(value);
    }
    GENERAL_NAMES_free(names);
    return found;
}

static char *common_name(X509 *certificate)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    return index < 0 ? NULL : lawful_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
}

struct slice tls_transport_peer_name(const struct transport *transport)
{
    if (transport->methods != &transport_tls)
        return slice_make(NULL, 0);
    struct stream *stream = transport->stream;
    X509 *certificate = stream->state == STREAM_OPEN && SSL_get_verify_result(stream->ssl) == X509_V_OK
                            ? SSL_get0_peer_certificate(stream->ssl)
                            : NULL;
    if (certificate == NULL)
        return slice_make(NULL, 0);
    if (stream->peer_name == NULL)
        stream->peer_name = alternative_name(certificate);
    if (stream->peer_name == NULL)
        stream->peer_name = common_name(certificate);
    return slice_make(stream->peer_name, stream->peer_name != NULL ? strlen(stream->peer_name) : 0);
}
