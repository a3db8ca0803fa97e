/*
 * The run: options, the loop over all slots, the totals.
 *
 * Prints one JSON object a line: progress (--report MS), and the totals at the end. SIGTERM ends the run in order. The
 * exit status is 0 only when nothing was wrong, nobody was left hanging, and no connection broke; what broke is told on
 * standard error.
 */
#include "pump.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

const char *const kind_names[KIND_COUNT] = {"get", "multi", "set", "quiet", "delete", "touch", "mg", "ms", "version"};
struct options opt = {.connections = 8,
                      .depth = 8,
                      .keys = 200,
                      .multi = 16,
                      .stall_s = 60,
                      .value_min = 48,
                      .value_max = 200,
                      .prefix = "pump",
                      .seed = 1};
struct totals total;
int64_t now_ms;
bool ending;

static const struct {
    const char *name;
    const uint64_t *value;
} total_names[] = {
    {"requests", &total.requests},
    {"replies", &total.replies},
    {"values", &total.values},
    {"misses", &total.misses},
    {"stored", &total.stored},
    {"errors", &total.errors},
    {"connects", &total.connects},
    {"closed", &total.closed},
    {"wrong", &total.wrong},
    {"hung", &total.hung},
    {"tokens", &total.tokens},
    {"sent_bytes", &total.sent_bytes},
    {"received_bytes", &total.received_bytes},
};

static struct slot *slots;
static int epoll_fd;
static int64_t start_ms;
static volatile sig_atomic_t stop_requested;

static int64_t clock_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void print_totals(bool final)
{
    printf("{\"final\": %s, \"elapsed_ms\": %" PRId64, final ? "true" : "false", now_ms - start_ms);
    for (size_t i = 0; i < sizeof(total_names) / sizeof(total_names[0]); i++)
        printf(", \"%s\": %" PRIu64, total_names[i].name, *total_names[i].value);
    printf(", \"error_kinds\": ");
    print_error_kinds(stdout);
    printf("}\n");
    fflush(stdout);
}

static bool limits_reached(void)
{
    return stop_requested || (opt.requests && total.requests >= opt.requests) ||
           (opt.seconds && now_ms - start_ms >= (int64_t)opt.seconds * 1000);
}

/* Looks after the slots that no event wakes: those that hang, and those with no reply due. Returns how many live. */
static size_t sweep(void)
{
    size_t alive = 0;
    for (uint32_t i = 0; i < opt.connections; i++) {
        struct slot *slot = &slots[i];
        if (slot->fd < 0)
            continue;
        alive++;
        bool waiting = slot->op_count || slot->state == SLOT_CONNECTING || slot->out.start != slot->out.end;
        if (waiting && now_ms - slot->progress_ms > (int64_t)opt.stall_s * 1000) {
            total.hung++;
            fprintf(stderr, "pump: slot %" PRIu32 ": no byte for %" PRIu32 " s with %zu replies due\n", slot->index,
                    opt.stall_s, slot->op_count);
            slot_close(slot, true);
        } else if (!waiting) {
            slot->progress_ms = now_ms;
            slot_work(slot);
        }
    }
    return alive;
}

static void run(void)
{
    struct epoll_event events[256];
    int64_t swept_ms = now_ms, reported_ms = now_ms;
    for (size_t alive = 1; alive;) {
        int n = epoll_wait(epoll_fd, events, 256, 20);
        now_ms = clock_ms();
        for (int i = 0; i < n; i++)
            slot_event(events[i].data.ptr, events[i].events);
        bool now_ending = limits_reached();
        if (now_ending != ending || now_ms - swept_ms >= 20) {
            ending = now_ending;
            swept_ms = now_ms;
            alive = sweep();
        }
        if (opt.report_ms && now_ms - reported_ms >= (int64_t)opt.report_ms) {
            reported_ms = now_ms;
            print_totals(false);
        }
    }
}

/* ---- options ---- */

static const char usage[] =
    "usage: pump [options] HOST:PORT | unix:PATH\n"
    "  --connections N  --depth N (requests under way on each)  --keys N (of each connection)  --multi N (keys of a "
    "get)\n"
    "  --value MIN:MAX  --mix get=60,multi=10,set=20,quiet=2,delete=2,touch=1,mg=3,ms=2,version=1  --prefix TEXT  "
    "--seed N\n"
    "  --requests N  --seconds N  (else until SIGTERM)\n"
    "  --lifetime N  mean requests of a connection before it is replaced   --rude PERCENT  of them by a reset in "
    "mid-request\n"
    "  --loose  misses and older values are right too   --errors  SERVER_ERROR is an answer   --closes  connections "
    "may break\n"
    "  --stall S  no byte for so long is a hang   --report MS  print progress\n";

static void fail_usage(const char *what, const char *value)
{
    fprintf(stderr, "pump: %s: %s\n%s", what, value, usage);
    exit(2);
}

static uint64_t number_of(const char *text, char end, const char **end_out)
{
    char *after;
    uint64_t number = strtoull(text, &after, 10);
    if (after == text || *after != end)
        fail_usage("not a number", text);
    if (end_out)
        *end_out = after + 1;
    return number;
}

static void parse_mix(const char *text)
{
    memset(opt.weights, 0, sizeof(opt.weights));
    for (opt.weight_sum = 0; *text;) {
        size_t name = strcspn(text, "=");
        int kind = 0;
        while (kind < KIND_COUNT && (strlen(kind_names[kind]) != name || memcmp(kind_names[kind], text, name)))
            kind++;
        if (kind == KIND_COUNT || text[name] != '=')
            fail_usage("not a mix", text);
        char *after;
        opt.weights[kind] = (uint32_t)strtoul(text + name + 1, &after, 10);
        opt.weight_sum += opt.weights[kind];
        text = *after == ',' ? after + 1 : after;
    }
    if (!opt.weight_sum)
        fail_usage("not a mix", "(empty)");
}

static void parse_address(const char *text)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&opt.address;
    struct sockaddr_in *in = (struct sockaddr_in *)&opt.address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&opt.address;
    char host[64];
    const char *colon = strrchr(text, ':');
    if (!strncmp(text, "unix:", 5) && strlen(text + 5) < sizeof(un->sun_path)) {
        un->sun_family = AF_UNIX;
        strcpy(un->sun_path, text + 5);
        opt.address_len = sizeof(*un);
        return;
    }
    if (!colon || colon == text || (size_t)(colon - text) >= sizeof(host))
        fail_usage("not an address", text);
    uint16_t port = htons((uint16_t)number_of(colon + 1, '\0', NULL));
    bool brackets = text[0] == '[' && colon[-1] == ']';
    snprintf(host, sizeof(host), "%.*s", (int)(colon - text) - 2 * brackets, text + brackets);
    if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = port;
        opt.address_len = sizeof(*in);
    } else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = port;
        opt.address_len = sizeof(*in6);
    } else {
        fail_usage("not an address", text);
    }
}

static const struct option long_options[] = {
    {"connections", required_argument, 0, 'c'},
    {"depth", required_argument, 0, 'd'},
    {"keys", required_argument, 0, 'k'},
    {"multi", required_argument, 0, 'm'},
    {"value", required_argument, 0, 'v'},
    {"mix", required_argument, 0, 'x'},
    {"prefix", required_argument, 0, 'p'},
    {"seed", required_argument, 0, 's'},
    {"requests", required_argument, 0, 'n'},
    {"seconds", required_argument, 0, 't'},
    {"lifetime", required_argument, 0, 'l'},
    {"rude", required_argument, 0, 'r'},
    {"loose", no_argument, 0, 'L'},
    {"errors", no_argument, 0, 'E'},
    {"closes", no_argument, 0, 'C'},
    {"stall", required_argument, 0, 'S'},
    {"report", required_argument, 0, 'R'},
    {0, 0, 0, 0},
};

static void parse_option(int option, const char *value)
{
    const char *rest;
    switch (option) {
    case 'c':
        opt.connections = (uint32_t)number_of(value, '\0', NULL);
        break;
    case 'd':
        opt.depth = (uint32_t)number_of(value, '\0', NULL);
        break;
    case 'k':
        opt.keys = (uint32_t)number_of(value, '\0', NULL);
        break;
    case 'm':
        opt.multi = (uint32_t)number_of(value, '\0', NULL);
        break;
    case 'v':
        opt.value_min = number_of(value, ':', &rest);
        opt.value_max = number_of(rest, '\0', NULL);
        break;
    case 'x':
        parse_mix(value);
        break;
    case 'p':
        opt.prefix = value;
        break;
    case 's':
        opt.seed = number_of(value, '\0', NULL);
        break;
    case 'n':
        opt.requests = number_of(value, '\0', NULL);
        break;
    case 't':
        opt.seconds = number_of(value, '\0', NULL);
        break;
    case 'l':
        opt.lifetime = number_of(value, '\0', NULL);
        break;
    case 'r':
        opt.rude_percent = (uint32_t)number_of(value, '\0', NULL);
        break;
    case 'L':
        opt.loose = true;
        break;
    case 'E':
        opt.errors = true;
        break;
    case 'C':
        opt.closes = true;
        break;
    case 'S':
        opt.stall_s = (uint32_t)number_of(value, '\0', NULL);
        break;
    case 'R':
        opt.report_ms = (uint32_t)number_of(value, '\0', NULL);
        break;
    default:
        fail_usage("unknown option", "see above");
    }
}

static void on_signal(int signal_number)
{
    (void)signal_number;
    stop_requested = 1;
}

static void slots_create(void)
{
    slots = grab(opt.connections, sizeof(*slots));
    for (uint32_t i = 0; i < opt.connections; i++) {
        slots[i].index = i;
        slots[i].keys = grab((size_t)opt.keys + 1, sizeof(*slots[i].keys));
        slots[i].ops = grab(op_ring(), sizeof(*slots[i].ops));
        slots[i].expects = grab(expect_ring(), sizeof(*slots[i].expects));
        slot_open(&slots[i], epoll_fd);
    }
}

static void slots_destroy(void)
{
    for (uint32_t i = 0; i < opt.connections; i++) {
        free(slots[i].keys);
        free(slots[i].ops);
        free(slots[i].expects);
        free(slots[i].out.data);
        free(slots[i].in.data);
    }
    free(slots);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    parse_mix("get=60,multi=10,set=20,quiet=2,delete=2,touch=1,mg=3,ms=2");
    for (int option; (option = getopt_long(argc, argv, "", long_options, NULL)) != -1;)
        parse_option(option, optarg);
    if (optind + 1 != argc)
        fail_usage("one address", "is due");
    parse_address(argv[optind]);
    if (!opt.connections || !opt.depth || !opt.keys || !opt.multi || opt.value_min > opt.value_max ||
        strlen(opt.prefix) > 180)
        fail_usage("impossible", "sizes");
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    random_seed(opt.seed);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    start_ms = now_ms = clock_ms();
    slots_create();
    run();
    print_totals(true);
    slots_destroy();
    close(epoll_fd);
    return total.wrong || total.hung || (total.closed && !opt.closes) ? 1 : 0;
}
