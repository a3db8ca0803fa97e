/*
 * Owns one TLS connection each: OpenSSL's state of it, and the ciphertext that the socket has not taken yet.
 *
 *      read    socket -> OpenSSL's own buffer -> plaintext          (OpenSSL calls stream_receive)
 *      write   plaintext -> records -> this thread's scratch -> one send -> what is left: stream->held
 *              (OpenSSL calls stream_send, which only collects)
 *
 * What a write encrypted but could not send whole is not reported to the caller, who thus offers the same bytes again;
 * transport->unreported is how many of those are encrypted already. So nothing is lost when a caller closes after its
 * last byte is reported.
 *
 *      CONNECTING -> SHAKING -> SETTLING -> OPEN          SETTLING: the handshake's last words wait for the socket
 *             \---------\---------\---------\--> FAILED
 *
 * tls_end_writing leaves it `opening` until close_notify has left: only then the socket's end is shut.
 */
#include "tls/transport.h"

#include "tls/context_internal.h"
#include "tls/held.h"
#include "tls/peer_name.h"
#include "tls/problem.h"

#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The most plaintext that is encrypted before it is sent; and of one write, as long as the socket takes it. */
#define WRITE_MAX ((size_t)64 << 10)
#define WRITES_MAX ((size_t)512 << 10)
#define RECORD_MAX ((size_t)16 << 10)
/* Its ciphertext, and what a handshake says at once. */
#define OUT_MAX ((size_t)128 << 10)

enum stream_state { STREAM_CONNECTING, STREAM_SHAKING, STREAM_SETTLING, STREAM_OPEN, STREAM_FAILED };

struct tls_session {
    SSL_SESSION *session;
    uint64_t generation; /* of the context: no two have the same */
};

struct stream {
    struct transport *transport;
    enum stream_state state;
    bool drained; /* the socket has nothing more, as of this read */
    int error;    /* errno value, FAILED */
    SSL *ssl;
    struct tls_context *context;
    uint64_t generation;
    struct tls_session **session;                                  /* where to keep it; NULL: nowhere */
    struct held held;                                              /* ciphertext */
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
    *kept = (struct tls_session){session, stream->generation};
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
    if ((size_t)len > OUT_MAX - scratch->len) {
        errno = ENOBUFS;
        return -1;
    }
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

/* Sends what the operation has made, behind what is held. 0, also when some of it is held now; -1 with errno. */
static int send_out(struct stream *stream)
{
    int fd = stream->transport->fd;
    size_t len = scratch->len;
    scratch->len = 0;
    if (len == 0)
        return 0;
    if (!held_is_empty(&stream->held))
        return held_append(&stream->held, scratch->out, len) != 0 ? -1 : held_send(&stream->held, fd);
    ssize_t sent = held_send_now(fd, scratch->out, len);
    if (sent < 0)
        return -1;
    return (size_t)sent < len ? held_append(&stream->held, scratch->out + sent, len - (size_t)sent) : 0;
}

/* ---- Failing ---- */

static void fail_errno(struct stream *stream, int error)
{
    stream->state = STREAM_FAILED;
    stream->error = error != 0 ? error : ECONNRESET;
}

/* After an OpenSSL call that has failed for good. error: errno after it. */
static void fail_openssl(struct stream *stream, int reason, int error)
{
    unsigned long code = ERR_peek_last_error();
    bool cut = ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING ||
               (code == 0 && reason == SSL_ERROR_SYSCALL && error == 0);
    enum problem_stage stage = stream->state == STREAM_SHAKING ? PROBLEM_SHAKING : PROBLEM_OPEN;
    if (stream->problem == NULL)
        stream->problem = problem_of(stream->ssl, stage, code, cut);
    if (cut)
        error = ECONNRESET;
    else if (code != 0)
        error = EPROTO;
    fail_errno(stream, error);
    ERR_clear_error();
}

/* After a failed send. Why the peer went may lie in the socket still: in TLS 1.3 it looks at our certificate last of all. */
static void fail_send(struct stream *stream, int error)
{
    char byte;
    fail_errno(stream, error);
    if (error != EPIPE && error != ECONNRESET)
        return;
    stream->drained = false;
    ERR_clear_error();
    if (SSL_peek(stream->ssl, &byte, 1) <= 0 && ERR_GET_REASON(ERR_peek_last_error()) > SSL_AD_REASON_OFFSET)
        stream->problem = problem_of(stream->ssl, PROBLEM_OPEN, ERR_peek_last_error(), false);
    ERR_clear_error();
    scratch->len = 0; /* nobody is there for an answer */
}

/* ---- Opening ---- */

/* Hands the transport to its owner, who may free it. */
static void opened(struct transport *transport)
{
    struct stream *stream = transport->stream;
    transport->on_ready = stream->on_ready;
    transport->opening = false;
    unsigned wanted = transport->wanted;
    if (transport_arm(transport, wanted) != 0)
        fail_errno(stream, ENOMEM);
    bool failed = stream->state == STREAM_FAILED;
    /* Who was accepted is told that it is open, though nothing may be there to be read. */
    transport->buffered = failed || SSL_is_server(stream->ssl) || SSL_has_pending(stream->ssl);
    transport_nudge(transport);
    if (wanted & TRANSPORT_WRITABLE)
        transport->on_ready(transport, TRANSPORT_WRITABLE);
    else if (failed)
        transport->on_ready(transport, TRANSPORT_READABLE);
}

static void shake(struct stream *stream)
{
    stream->drained = false;
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(stream->ssl);
    int error = errno;
    int reason = result == 1 ? SSL_ERROR_NONE : SSL_get_error(stream->ssl, result);
    if (result == 1)
        stream->state = STREAM_SETTLING;
    else if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE)
        fail_openssl(stream, reason, error);
    if (send_out(stream) != 0 && stream->state != STREAM_FAILED)
        fail_errno(stream, errno);
}

static void on_opening(struct transport *transport, unsigned ready)
{
    struct stream *stream = transport->stream;
    (void)ready;
    int error = 0;
    if (stream->state == STREAM_CONNECTING) {
        error = transport_socket_error(transport);
        stream->state = STREAM_SHAKING;
    }
    if (error == 0 && held_send(&stream->held, transport->fd) != 0)
        error = errno;
    if (error != 0)
        fail_errno(stream, error);
    if (stream->state == STREAM_SHAKING)
        shake(stream);
    bool blocked = !held_is_empty(&stream->held);
    if (stream->state == STREAM_SETTLING && !blocked)
        stream->state = STREAM_OPEN;
    /* What follows the handshake is left where it is for now. */
    unsigned events = stream->state == STREAM_SHAKING ? TRANSPORT_READABLE : 0;
    if (stream->state <= STREAM_SETTLING && transport_arm(transport, events | (blocked ? TRANSPORT_WRITABLE : 0)) != 0)
        fail_errno(stream, ENOMEM);
    if (stream->state >= STREAM_OPEN)
        opened(transport);
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
        /* Another call would only find that nothing is left. */
        if (n > 0 && stream->drained && !SSL_has_pending(stream->ssl))
            end = TRANSPORT_AGAIN;
    }
    if (send_out(stream) != 0 && stream->state == STREAM_OPEN)
        fail_errno(stream, errno);
    if (stream->state == STREAM_FAILED)
        end = TRANSPORT_ERROR;
    /* The end is told when all before it has been taken. */
    transport->buffered = end > 0 ? SSL_has_pending(stream->ssl) : end != TRANSPORT_AGAIN && total > 0;
    transport_nudge(transport);
    if (total > 0)
        return (ssize_t)total;
    if (end == TRANSPORT_ERROR)
        return failed_result(stream);
    return end > 0 ? TRANSPORT_AGAIN : end;
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
            fail_openssl(stream, SSL_get_error(stream->ssl, n), EPROTO);
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
    if (held_send(&stream->held, transport->fd) != 0) {
        fail_send(stream, errno);
        return failed_result(stream);
    }
    if (!held_is_empty(&stream->held))
        return TRANSPORT_AGAIN;
    size_t offered = 0;
    for (int i = 0; i < count; i++)
        offered += vectors[i].iov_len;
    size_t done = transport->unreported < offered ? transport->unreported : offered;
    transport->unreported -= done;
    size_t most = done + WRITES_MAX;
    ssize_t more;
    do {
        more = encrypt(stream, vectors, count, done);
        if (send_out(stream) != 0 && stream->state == STREAM_OPEN)
            fail_send(stream, errno);
        if (stream->state == STREAM_FAILED)
            return failed_result(stream);
        if (!held_is_empty(&stream->held))
            transport->unreported += (size_t)more;
        else
            done += (size_t)more;
    } while (more > 0 && held_is_empty(&stream->held) && done < offered && done < most);
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
    return stream->state == STREAM_SHAKING ? problem_of_waiting(stream->ssl) : stream->problem;
}

/* close_notify, as far as the socket takes it. */
static void say_goodbye(struct stream *stream)
{
    if (stream->state != STREAM_OPEN || SSL_get_shutdown(stream->ssl) & SSL_SENT_SHUTDOWN)
        return;
    /* At the process's end another thread closes what a worker had opened. */
    if (!scratch_ready())
        return;
    ERR_clear_error();
    (void)SSL_shutdown(stream->ssl);
    (void)send_out(stream);
    ERR_clear_error();
}

/* Until close_notify has left: the socket was full. Reading goes on meanwhile. */
static void on_ending(struct transport *transport, unsigned ready)
{
    struct stream *stream = transport->stream;
    if (ready & TRANSPORT_READABLE && transport->wanted & TRANSPORT_READABLE) {
        stream->on_ready(transport, TRANSPORT_READABLE);
        return;
    }
    if (held_send(&stream->held, transport->fd) != 0)
        fail_errno(stream, errno);
    bool blocked = stream->state == STREAM_OPEN && !held_is_empty(&stream->held);
    if (blocked && transport_arm(transport, TRANSPORT_WRITABLE | (transport->wanted & TRANSPORT_READABLE)) == 0)
        return;
    (void)shutdown(transport->fd, SHUT_WR);
    transport->on_ready = stream->on_ready;
    transport->opening = false;
    (void)transport_want(transport, transport->wanted);
}

static void tls_end_writing(struct transport *transport)
{
    struct stream *stream = transport->stream;
    if (transport->opening)
        return;
    say_goodbye(stream);
    if (stream->state == STREAM_OPEN && !held_is_empty(&stream->held) &&
        transport_arm(transport, TRANSPORT_READABLE | TRANSPORT_WRITABLE) == 0) {
        stream->on_ready = transport->on_ready;
        transport->on_ready = on_ending;
        transport->opening = true;
    } else {
        (void)shutdown(transport->fd, SHUT_WR);
    }
}

static void stream_free(struct stream *stream)
{
    SSL_free(stream->ssl);
    tls_context_unref(&stream->context);
    held_fini(&stream->held);
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
    .minds_borders = true,
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

int tls_transport_open_client(struct transport *transport, struct loop *loop, struct tls_context *context, int fd,
                              const char *host, struct tls_session **session)
{
    struct stream *stream = stream_create(context);
    if (stream == NULL) {
        close(fd);
        return -1;
    }
    stream->session = session;
    SSL_set_connect_state(stream->ssl);
    if (!tls_context_expect(context, stream->ssl, host)) {
        stream_free(stream);
        close(fd);
        return -1;
    }
    struct tls_session *kept = *session;
    if (kept != NULL && kept->generation == stream->generation)
        SSL_set_session(stream->ssl, kept->session);
    return begin(transport, loop, stream, fd, TRANSPORT_WRITABLE);
}

/* ---- Questions ---- */

bool tls_transport_is_opening(const struct transport *transport)
{
    const struct stream *stream = transport->stream;
    return transport->opening && stream->state < STREAM_OPEN;
}

bool tls_transport_is_resumed(const struct transport *transport)
{
    const struct stream *stream = transport->stream;
    return transport->methods == &transport_tls && stream->state == STREAM_OPEN && SSL_session_reused(stream->ssl) == 1;
}

struct slice tls_transport_peer_name(const struct transport *transport)
{
    if (transport->methods != &transport_tls)
        return slice_make(NULL, 0);
    struct stream *stream = transport->stream;
    bool verified = stream->state == STREAM_OPEN && SSL_get_verify_result(stream->ssl) == X509_V_OK;
    const X509 *certificate = verified ? SSL_get0_peer_certificate(stream->ssl) : NULL;
    if (certificate == NULL)
        return slice_make(NULL, 0);
    if (stream->peer_name == NULL)
        stream->peer_name = peer_name_of(certificate);
    return slice_make(stream->peer_name, stream->peer_name != NULL ? strlen(stream->peer_name) : 0);
}
