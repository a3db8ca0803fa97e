/*
 * Owns the run: options, the loop, and the report, one JSON object on standard output. See load.h.
 *
 * Exit status: 0; 1: a reply was wrong; 2: the run could not be made.
 */
#include "tests/bench/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 512
#define LINGER_NS UINT64_C(10000000000)
#define BULK_WAIT_NS 2000000
#define PRELOAD_BATCH 64
#define IDLE_BATCH 64

const char *const kind_names[KIND_COUNT] = {"get", "set", "multi", "mg", "ms", "bget"};

struct options options = {
    .connections = 50,
    .depth = 1,
    .keys = 10000,
    .value_bytes = 32,
    .multi = 1,
    .split = 1,
    .seconds = 3,
    .seed = 1,
};

static void usage(void)
{
    fputs("load [OPTION...] PORT\n"
          "  --connections N --depth N --keys N --value BYTES --multi KEYS --split LINES\n"
          "  --mix get=90,set=10      kinds: get set multi mg ms; bget (binary) goes with no other\n"
          "  --zipf EXPONENT          0: uniform\n"
          "  --rate PER_SECOND        open loop\n"
          "  --bulk on|off            closed loop: let replies gather before they are answered\n"
          "  --seconds S --seed N\n"
          "  --preload                store every key, and end; without TLS\n"
          "  --tls CA                 TLS 1.3; the server's certificate is for 127.0.0.1 and comes from CA, a file\n"
          "  --handshakes full|resumed  TLS, closed loop: a connection for each request\n"
          "  --idle N                 N more connections: one request each; then \"idle\" is printed, and they stay "
          "until this is killed\n",
          stderr);
    exit(2);
}

static void parse_mix(char *mix)
{
    memset(options.weights, 0, sizeof options.weights);
    options.weight_sum = 0;
    for (char *part = strtok(mix, ","); part != NULL; part = strtok(NULL, ",")) {
        char *equals = strchr(part, '=');
        enum kind kind = 0;
        size_t len = equals != NULL ? (size_t)(equals - part) : 0;
        while (kind < KIND_COUNT && (strlen(kind_names[kind]) != len || memcmp(kind_names[kind], part, len) != 0))
            kind++;
        if (equals == NULL || kind == KIND_COUNT)
            usage();
        options.weights[kind] = (uint32_t)strtoul(equals + 1, NULL, 10);
        options.weight_sum += options.weights[kind];
    }
}

static uint32_t number(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value > UINT32_MAX)
        usage();
    return (uint32_t)value;
}

enum {
    OPT_CONNECTIONS = 1,
    OPT_DEPTH,
    OPT_KEYS,
    OPT_VALUE,
    OPT_MULTI,
    OPT_SPLIT,
    OPT_MIX,
    OPT_ZIPF,
    OPT_RATE,
    OPT_BULK,
    OPT_SECONDS,
    OPT_SEED,
    OPT_PRELOAD,
    OPT_IDLE,
    OPT_TLS,
    OPT_HANDSHAKES
};

/* Whether the option's value is this word; it must be one of the two. */
static bool chosen(const char *word, const char *other)
{
    bool is = strcmp(optarg, word) == 0;
    if (!is && strcmp(optarg, other) != 0)
        usage();
    return is;
}

static void take_option(int option)
{
    switch (option) {
    case OPT_CONNECTIONS:
        options.connections = number(optarg);
        break;
    case OPT_DEPTH:
        options.depth = number(optarg);
        break;
    case OPT_KEYS:
        options.keys = number(optarg);
        break;
    case OPT_VALUE:
        options.value_bytes = number(optarg);
        break;
    case OPT_MULTI:
        options.multi = number(optarg);
        break;
    case OPT_SPLIT:
        options.split = number(optarg);
        break;
    case OPT_MIX:
        parse_mix(optarg);
        break;
    case OPT_ZIPF:
        options.zipf = atof(optarg);
        break;
    case OPT_RATE:
        options.rate = atof(optarg);
        break;
    case OPT_BULK:
        options.bulk = chosen("on", "off");
        break;
    case OPT_SECONDS:
        options.seconds = atof(optarg);
        break;
    case OPT_SEED:
        options.seed = number(optarg);
        break;
    case OPT_PRELOAD:
        options.preload = true;
        break;
    case OPT_IDLE:
        options.idle = number(optarg);
        break;
    case OPT_TLS:
        options.tls_ca = optarg;
        break;
    case OPT_HANDSHAKES:
        options.handshakes = true;
        options.resume = chosen("resumed", "full");
        break;
    default:
        usage();
    }
}

/* Whether they go together. */
static bool options_hold(void)
{
    uint32_t binary = options.weights[KIND_BGET];
    return options.connections > 0 && options.depth > 0 && options.keys > 0 && options.multi > 0 && options.split > 0 &&
           options.multi % options.split == 0 && options.weight_sum > 0 &&
           (binary == 0 || binary == options.weight_sum) &&
           (!options.handshakes || (options.tls_ca != NULL && options.rate <= 0));
}

static void parse_options(int argc, char **argv)
{
    static const struct option table[] = {
        {"connections", 1, NULL, OPT_CONNECTIONS},
        {"depth", 1, NULL, OPT_DEPTH},
        {"keys", 1, NULL, OPT_KEYS},
        {"value", 1, NULL, OPT_VALUE},
        {"multi", 1, NULL, OPT_MULTI},
        {"split", 1, NULL, OPT_SPLIT},
        {"mix", 1, NULL, OPT_MIX},
        {"zipf", 1, NULL, OPT_ZIPF},
        {"rate", 1, NULL, OPT_RATE},
        {"bulk", 1, NULL, OPT_BULK},
        {"seconds", 1, NULL, OPT_SECONDS},
        {"seed", 1, NULL, OPT_SEED},
        {"preload", 0, NULL, OPT_PRELOAD},
        {"idle", 1, NULL, OPT_IDLE},
        {"tls", 1, NULL, OPT_TLS},
        {"handshakes", 1, NULL, OPT_HANDSHAKES},
        {NULL, 0, NULL, 0},
    };
    options.weights[KIND_GET] = options.weight_sum = 1;
    int option;
    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1)
        take_option(option);
    if (optind != argc - 1 || !options_hold())
        usage();
    options.address.sin_family = AF_INET;
    options.address.sin_port = htons((uint16_t)number(argv[optind]));
    options.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

/*
 * Closed loop: lets replies gather, until half of the connections have some, or for BULK_WAIT_NS. A generator that answers each
 * reply at once makes proxy and server wake up for every few bytes; what is measured then is the price of waking up, the same for
 * all, and no proxy is ever busy. It yields and does not sleep: the servers on this core run, but the core never goes idle, which
 * a virtual one is long in coming back from.
 */
static void wait_for_bulk(int epoll_fd)
{
    struct epoll_event events[EVENTS];
    int enough = (int)(options.connections < 2 * EVENTS ? (options.connections + 1) / 2 : EVENTS);
    uint64_t end_ns = clock_ns() + BULK_WAIT_NS;
    while (epoll_wait(epoll_fd, events, EVENTS, 0) < enough && clock_ns() < end_ns)
        sched_yield();
}

/* Handles what is ready; waits at most until until_ns. Returns how many connections were. */
static int turn(int epoll_fd, uint64_t until_ns)
{
    struct epoll_event events[EVENTS];
    uint64_t now_ns = clock_ns();
    uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec wait = {(time_t)(wait_ns / 1000000000u), (long)(wait_ns % 1000000000u)};
    int n = epoll_pwait2(epoll_fd, events, EVENTS, &wait, NULL);
    if (n < 0 && errno != EINTR)
        die("epoll_pwait2");
    for (int i = 0; i < n; i++)
        client_on_ready(events[i].data.ptr, events[i].events);
    return n;
}

static void drain(int epoll_fd, struct client **clients, uint32_t count)
{
    stopping = true;
    uint64_t end_ns = clock_ns() + LINGER_NS;
    for (uint32_t i = 0; i < count; i++) {
        while (!client_is_idle(clients[i]) && clock_ns() < end_ns)
            turn(epoll_fd, end_ns);
        if (!client_is_idle(clients[i])) {
            errno = 0;
            die("a reply never came");
        }
    }
}

static void run_closed(int epoll_fd, struct client **clients, uint64_t end_ns)
{
    for (uint32_t i = 0; i < options.connections; i++) {
        client_fill(clients[i]);
        client_flush(clients[i]);
    }
    while (clock_ns() < end_ns) {
        if (options.bulk)
            wait_for_bulk(epoll_fd);
        turn(epoll_fd, end_ns);
    }
}

/* Never sleeps, for the same reason: the core's coming back from idleness would be counted as the proxy's latency. */
static void run_open(int epoll_fd, struct client **clients, uint64_t start_ns, uint64_t end_ns)
{
    uint64_t made = 0;
    double gap_ns = 1e9 / options.rate;
    for (;;) {
        uint64_t now_ns = clock_ns();
        if (now_ns >= end_ns)
            return;
        uint64_t due_ns;
        while ((due_ns = start_ns + (uint64_t)((double)made * gap_ns)) <= now_ns) {
            struct client *client = clients[made++ % options.connections];
            client_add(client, due_ns);
            client_flush(client);
        }
        if (turn(epoll_fd, now_ns) <= 0)
            sched_yield();
    }
}

static void send_all(int fd, struct bytes request)
{
    for (size_t sent = 0; sent < request.len;) {
        ssize_t n = send(fd, request.data + sent, request.len - sent, MSG_NOSIGNAL);
        if (n <= 0)
            die("send");
        sent += (size_t)n;
    }
}

/* Each key once, over one connection, a batch at a time. */
static void preload(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0 || connect(fd, (const struct sockaddr *)&options.address, sizeof options.address) != 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (uint32_t sent = 0, answered = 0; answered < options.keys; answered++) {
        while (answered == sent || (sent < options.keys && sent % PRELOAD_BATCH != 0))
            send_all(fd, corpus_request(KIND_SET, sent++));
        char reply[8] = {0};
        ssize_t n = recv(fd, reply, sizeof reply, MSG_WAITALL);
        if (n != sizeof reply || memcmp(reply, "STORED\r\n", sizeof reply) != 0) {
            fprintf(stderr, "load: key %u could not be stored: \"%.*s...\"\n", answered, (int)(n > 0 ? n : 0), reply);
            exit(2);
        }
    }
    close(fd);
}

/* The latency that this share of the replies did not exceed. */
static unsigned quantile_us(double share)
{
    uint64_t below = 0;
    for (size_t us = 0; us < LATENCY_MAX_US; us++) {
        below += totals.latency[us];
        if (below > 0 && (double)below >= share * (double)totals.replies)
            return (unsigned)us;
    }
    return 0;
}

static void report(double seconds)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"requests\": %llu, \"keys\": %llu, \"seconds\": %.3f, \"per_second\": %.0f, \"bytes_in\": %llu, "
           "\"p50_us\": %u, \"p90_us\": %u, \"p99_us\": %u, \"p999_us\": %u, \"own_cpu_s\": %.3f, "
           "\"handshakes\": %llu, \"resumed\": %llu}\n",
           (unsigned long long)totals.replies, (unsigned long long)totals.keys, seconds,
           (double)totals.replies / seconds, (unsigned long long)totals.bytes_in, quantile_us(0.5), quantile_us(0.9),
           quantile_us(0.99), quantile_us(0.999),
           (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
           (unsigned long long)totals.handshakes, (unsigned long long)totals.resumed);
}

/* Until the connections [from, to) have been answered. */
static void await(int epoll_fd, struct client **clients, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        while (!client_is_idle(clients[i]))
            turn(epoll_fd, clock_ns() + LINGER_NS);
}

static void ask(struct client *client)
{
    client_add(client, clock_ns());
    client_flush(client);
}

/* Connections that have sent a request each, one by one and then all at once, and stay. */
static _Noreturn void hold_idle(int epoll_fd)
{
    struct client **clients = grab(options.idle, sizeof(struct client *));
    for (uint32_t i = 0, answered = 0; i < options.idle; i++) {
        clients[i] = client_open(epoll_fd);
        ask(clients[i]);
        if (i % IDLE_BATCH != IDLE_BATCH - 1 && i != options.idle - 1)
            continue;
        await(epoll_fd, clients, answered, i + 1);
        answered = i + 1;
    }
    for (uint32_t i = 0; i < options.idle; i++)
        ask(clients[i]);
    await(epoll_fd, clients, 0, options.idle);
    puts("idle");
    fflush(stdout);
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1UL);
    parse_options(argc, argv);
    corpus_make();
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (options.preload) {
        preload();
        return 0;
    }
    if (options.tls_ca != NULL)
        tls_init(options.tls_ca);
    if (options.idle > 0) {
        stopping = true;
        hold_idle(epoll_fd);
    }
    struct client **clients = grab(options.connections, sizeof(struct client *));
    for (uint32_t i = 0; i < options.connections; i++)
        clients[i] = client_open(epoll_fd);
    uint64_t start_ns = clock_ns(), end_ns = start_ns + (uint64_t)(options.seconds * 1e9);
    if (options.rate > 0)
        run_open(epoll_fd, clients, start_ns, end_ns);
    else
        run_closed(epoll_fd, clients, end_ns);
    drain(epoll_fd, clients, options.connections);
    report((double)(clock_ns() - start_ns) / 1e9);
    return 0;
}
