/*
 * A TLS transport on a loop, and OpenSSL itself at the other end of a socket pair. The peer sits between two memory BIOs: bytes
 * get to the socket and from it by bench_pump alone, as few at a time as a test wants.
 *
 *      transport <-> socket pair <-> bench_pump <-> to_peer, from_peer <-> peer (SSL)
 *
 * What the transport gives is read as its users do: once for each on_ready, and collected in `got`. What is appended to `out` is
 * offered again and again, until it has gone.
 */
#ifndef RINGSIDE_TESTS_TLS_BENCH_H
#define RINGSIDE_TESTS_TLS_BENCH_H

#include "tests/support/turns.h"
#include "tests/tls/certificates.h"
#include "tls/context.h"
#include "tls/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct bench {
    struct loop loop;
    struct memory memory;
    struct transport transport;
    struct tls_session *session;
    struct tls_context *serving; /* bench_serve's */
    int fd;                      /* the peer's end; -1: closed */
    SSL_CTX *peer_context;
    SSL *peer;
    BIO *to_peer, *from_peer;
    bool peer_failed, peer_saw_end;
    char arrived[65536];
    char carry[65536]; /* on its way to the socket */
    size_t carry_len;
    size_t step, take; /* the most bytes to, and from, the transport in one pump */
    size_t capacity;   /* of a read */
    size_t limit;      /* of a write */
    bool closes;       /* on_ready closes the transport */
    unsigned ready;    /* what on_ready was told, in all */
    int calls;
    struct chain out;
    char *got;
    size_t got_len, got_room;
    ssize_t end; /* TRANSPORT_EOF or _ERROR; 0: not yet */
    int end_errno;
};

static inline void bench_flush(struct bench *bench)
{
    struct transport *transport = &bench->transport;
    if (!chain_is_empty(&bench->out)) {
        ssize_t n = transport_write_chain(transport, &bench->out, &bench->memory, bench->limit);
        if (n == TRANSPORT_ERROR) {
            bench->end = n;
            bench->end_errno = errno;
            chain_clear(&bench->out, &bench->memory);
        }
    }
    unsigned wanted = transport->wanted & ~(unsigned)TRANSPORT_WRITABLE;
    ck_assert_int_eq(transport_want(transport, wanted | (chain_is_empty(&bench->out) ? 0 : TRANSPORT_WRITABLE)), 0);
}

static inline void bench_read(struct bench *bench)
{
    while (bench->got_room < bench->got_len + bench->capacity) {
        bench->got_room = bench->got_room * 2 + bench->capacity;
        bench->got = realloc(bench->got, bench->got_room);
    }
    ssize_t n = transport_read(&bench->transport, bench->got + bench->got_len, bench->capacity);
    if (n > 0) {
        bench->got_len += (size_t)n;
    } else if (n < 0) {
        bench->end = n;
        bench->end_errno = errno;
        transport_want(&bench->transport, bench->transport.wanted & ~(unsigned)TRANSPORT_READABLE);
    }
}

static inline void bench_on_ready(struct transport *transport, unsigned ready)
{
    struct bench *bench = list_entry(transport, struct bench, transport);
    bench->ready |= ready;
    bench->calls++;
    if (bench->closes)
        transport_close(transport);
    else if (ready & TRANSPORT_WRITABLE)
        bench_flush(bench);
    else
        bench_read(bench);
}

static inline void bench_init(struct bench *bench)
{
    memset(bench, 0, sizeof *bench);
    ck_assert_int_eq(loop_init(&bench->loop), 0);
    memory_init(&bench->memory, SIZE_MAX);
    chain_init(&bench->out);
    transport_init(&bench->transport, bench_on_ready);
    bench->fd = -1;
    bench->step = bench->take = bench->limit = SIZE_MAX;
    bench->capacity = 65536;
}

/* The connection's end; the bench can be used for another one. */
static inline void bench_hang_up(struct bench *bench)
{
    transport_close(&bench->transport);
    if (bench->fd >= 0)
        close(bench->fd);
    /* Else it would not take its session up again. */
    if (bench->peer != NULL && SSL_is_init_finished(bench->peer))
        (void)SSL_shutdown(bench->peer);
    SSL_free(bench->peer);
    free(bench->got);
    chain_clear(&bench->out, &bench->memory);
    bench->fd = -1;
    bench->peer = NULL;
    bench->got = NULL;
    bench->got_len = bench->got_room = bench->carry_len = 0;
    bench->peer_failed = bench->peer_saw_end = false;
    bench->end = bench->end_errno = bench->calls = 0;
    bench->ready = 0;
}

static inline void bench_fini(struct bench *bench)
{
    bench_hang_up(bench);
    SSL_CTX_free(bench->peer_context);
    tls_session_forget(&bench->session);
    tls_context_unref(&bench->serving);
    ck_assert_uint_eq(bench->memory.blocks.held_bytes, 0);
    memory_fini(&bench->memory);
    loop_fini(&bench->loop);
}

/* ---- The peer ---- */

/* A context for the peer, verifying nothing; identity: NULL or what it shows. version: 0, or the only one it speaks. */
static inline void bench_peer_context(struct bench *bench, bool serves, const struct identity *identity, int version)
{
    SSL_CTX_free(bench->peer_context);
    bench->peer_context = SSL_CTX_new(serves ? TLS_server_method() : TLS_client_method());
    ck_assert_ptr_nonnull(bench->peer_context);
    if (identity != NULL) {
        ck_assert_int_eq(SSL_CTX_use_certificate(bench->peer_context, identity->certificate), 1);
        ck_assert_int_eq(SSL_CTX_use_PrivateKey(bench->peer_context, identity->key), 1);
    }
    if (version != 0) {
        SSL_CTX_set_min_proto_version(bench->peer_context, version);
        SSL_CTX_set_max_proto_version(bench->peer_context, version);
    }
    static const unsigned char id[] = "peer";
    SSL_CTX_set_session_id_context(bench->peer_context, id, sizeof id - 1);
}

static inline void bench_connect(struct bench *bench, int *fd_out, bool serves)
{
    int ends[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    bench->fd = ends[1];
    *fd_out = ends[0];
    bench->to_peer = BIO_new(BIO_s_mem());
    bench->from_peer = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(bench->to_peer, -1);
    BIO_set_mem_eof_return(bench->from_peer, -1);
    bench->peer = SSL_new(bench->peer_context);
    SSL_set_bio(bench->peer, bench->to_peer, bench->from_peer);
    if (serves)
        SSL_set_accept_state(bench->peer);
    else
        SSL_set_connect_state(bench->peer);
}

/* The transport serves, the peer is a client. */
static inline void bench_open_server(struct bench *bench, struct tls_context *context)
{
    int fd;
    bench_connect(bench, &fd, false);
    ck_assert_int_eq(tls_transport_open_server(&bench->transport, &bench->loop, context, fd), 0);
    ck_assert_int_eq(transport_want(&bench->transport, TRANSPORT_READABLE), 0);
}

/* The transport connects to `host`, the peer serves. */
static inline void bench_open_client(struct bench *bench, struct tls_context *context, const char *host)
{
    int fd;
    bench_connect(bench, &fd, true);
    ck_assert_int_eq(tls_transport_open_client(&bench->transport, &bench->loop, context, fd, host, &bench->session), 0);
    ck_assert_int_eq(transport_want(&bench->transport, TRANSPORT_READABLE | TRANSPORT_WRITABLE), 0);
}

static inline void bench_push(struct bench *bench)
{
    size_t room = sizeof bench->carry - bench->carry_len;
    int n = room > 0 ? BIO_read(bench->from_peer, bench->carry + bench->carry_len, (int)room) : 0;
    if (n > 0)
        bench->carry_len += (size_t)n;
    size_t len = bench->carry_len < bench->step ? bench->carry_len : bench->step;
    ssize_t sent = len > 0 && bench->fd >= 0 ? send(bench->fd, bench->carry, len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (sent > 0) {
        bench->carry_len -= (size_t)sent;
        memmove(bench->carry, bench->carry + sent, bench->carry_len);
    }
}

/* Moves bytes both ways, and the peer's handshake on. */
static inline void bench_pump(struct bench *bench)
{
    size_t room = sizeof bench->arrived, most = bench->take < room ? bench->take : room;
    ssize_t n = bench->fd >= 0 && most > 0 ? recv(bench->fd, bench->arrived, most, MSG_DONTWAIT) : -1;
    if (n > 0)
        ck_assert_int_eq(BIO_write(bench->to_peer, bench->arrived, (int)n), n);
    bench->peer_saw_end |= n == 0;
    if (!SSL_is_init_finished(bench->peer) && !bench->peer_failed) {
        ERR_clear_error();
        int result = SSL_do_handshake(bench->peer);
        bench->peer_failed = result != 1 && SSL_get_error(bench->peer, result) != SSL_ERROR_WANT_READ;
    }
    bench_push(bench);
}

/* All that the peer has made reaches the socket. */
static inline bool bench_is_pushed(struct bench *bench)
{
    bench_pump(bench);
    return bench->carry_len == 0 && BIO_ctrl_pending(bench->from_peer) == 0;
}

/* Until the transport is open, or has failed. transport_connect_result. */
static inline int bench_shake(struct bench *bench)
{
    LOOP_UNTIL(&bench->loop, (bench_pump(bench), !tls_transport_is_opening(&bench->transport)));
    int result = transport_connect_result(&bench->transport);
    if (result == 0)
        LOOP_UNTIL(&bench->loop, (bench_pump(bench), SSL_is_init_finished(bench->peer) || bench->peer_failed));
    return result;
}

/* The peer reads all there is: at most room bytes; how many. -1: its end, by close_notify; -2: an error. */
static inline ssize_t bench_peer_read(struct bench *bench, char *buffer, size_t room)
{
    size_t total = 0;
    bench_pump(bench);
    while (total < room) {
        ERR_clear_error();
        int n = SSL_read(bench->peer, buffer + total, (int)(room - total));
        int reason = n > 0 ? SSL_ERROR_NONE : SSL_get_error(bench->peer, n);
        if (n > 0)
            total += (size_t)n;
        else if (total > 0 || reason == SSL_ERROR_WANT_READ)
            break;
        else
            return reason == SSL_ERROR_ZERO_RETURN ? -1 : -2;
    }
    bench_push(bench);
    return (ssize_t)total;
}

static inline void bench_peer_write(struct bench *bench, const char *data, size_t len)
{
    ck_assert_int_eq(SSL_write(bench->peer, data, (int)len), (int)len);
    bench_push(bench);
}

/* A line each way. */
static inline void bench_chat(struct bench *bench)
{
    char line[16];
    size_t before = bench->got_len;
    ssize_t n = 0;
    bench_peer_write(bench, "get a\r\n", 7);
    LOOP_UNTIL(&bench->loop, (bench_pump(bench), bench->got_len == before + 7));
    ck_assert_int_eq(memcmp(bench->got + before, "get a\r\n", 7), 0);
    ck_assert(chain_append_copy(&bench->out, &bench->memory, "END\r\n", 5));
    bench_flush(bench);
    LOOP_UNTIL(&bench->loop, (n += bench_peer_read(bench, line + n, 5 - (size_t)n)) == 5);
    ck_assert_int_eq(memcmp(line, "END\r\n", 5), 0);
}

/* ---- Contexts ---- */

static inline struct tls_server_spec server_spec_of(const char *certificate, const char *key)
{
    return (struct tls_server_spec){
        .identity = {(char *)(uintptr_t)tls_path(certificate), (char *)(uintptr_t)tls_path(key)}};
}

static inline struct tls_context *server_of(const struct tls_server_spec *spec)
{
    char error[TLS_ERROR_MAX];
    const char *field;
    struct tls_context *context = tls_context_create_server(spec, error, &field);
    ck_assert_msg(context != NULL, "%s", error);
    return context;
}

/* With the RSA certificate. */
static inline struct tls_context *plain_server(void)
{
    struct tls_server_spec spec = server_spec_of("server.pem", "server.key");
    return server_of(&spec);
}

static inline struct tls_context *client_of(const struct tls_client_spec *spec)
{
    char error[TLS_ERROR_MAX];
    const char *field;
    struct tls_context *context = tls_context_create_client(spec, error, &field);
    ck_assert_msg(context != NULL, "%s", error);
    return context;
}

/* An open connection, the transport as the server. version: the peer's. */
static inline void bench_serve(struct bench *bench, int version)
{
    bench_init(bench);
    bench->serving = plain_server();
    bench_peer_context(bench, false, NULL, version);
    bench_open_server(bench, bench->serving);
    ck_assert_int_eq(bench_shake(bench), 0);
}

/* Sockets that take as little as can be. */
static inline void bench_squeeze(const struct bench *bench)
{
    int small = 1;
    ck_assert_int_eq(setsockopt(bench->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    ck_assert_int_eq(setsockopt(bench->transport.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
}

/* That trusts the root. */
static inline struct tls_context *plain_client(void)
{
    struct tls_client_spec spec = {.ca = (char *)(uintptr_t)tls_path("root.pem")};
    return client_of(&spec);
}

#endif
