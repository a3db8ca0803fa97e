/*
 * Owns the process: the control loop, the registry of servers, the snapshot in force, the workers. Start-up reads top to
 * bottom in control_start, teardown is its mirror; see the picture in control.h.
 */
#include "proxy/control.h"

#include "base/log.h"
#include "config/diff.h"
#include "config/registry.h"
#include "config/snapshot.h"
#include "pool/probe.h"
#include "pool/resolve.h"
#include "proxy/certificates.h"
#include "proxy/process.h"
#include "proxy/sockets.h"
#include "proxy/worker.h"
#include "tls/password_check.h"

#include <errno.h>
#include <event2/event.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define EXIT_SYSTEM 3
/* Beyond limits.drain: for the workers to close what is left. */
#define DRAIN_GRACE_MS 1000
/* Descriptors beside those of clients and servers. */
#define DESCRIPTORS_OWN 64
/* Between two looks at whether certificate files have changed. */
#define CERTIFICATES_MS 2000

static const int signals[] = {SIGHUP, SIGTERM, SIGINT};
#define SIGNAL_COUNT (sizeof signals / sizeof signals[0])

struct control {
    struct loop loop;
    struct mailbox mailbox;
    struct resolver *resolver;
    struct prober prober;
    struct registry registry;
    struct fleet fleet;
    struct process_user user;
    struct snapshot *current;
    struct event *signal_events[SIGNAL_COUNT];
    control_load_fn *load;
    void *load_context;
    struct text changes; /* of the reload that is being put into force */
    unsigned barriers;   /* that have not come back */
    bool ending;
    unsigned drained;
    struct wheel_timer drain_timer;
    struct wheel_timer certificates_timer;
};

/* ---- Reports ---- */

static void on_down(void *context, struct server *server)
{
    struct control *control = context;
    prober_on_down(&control->prober, server);
}

static void on_gone(void *context, struct server *server)
{
    struct control *control = context;
    prober_forget(&control->prober, server);
}

static void on_released(void *context, const struct snapshot *snapshot)
{
    struct control *control = context;
    struct snapshot *own = (struct snapshot *)(uintptr_t)snapshot;
    if (--own->holders == 0)
        snapshot_destroy(&own, &control->registry);
}

static void on_drained(void *context)
{
    struct control *control = context;
    if (++control->drained == control->fleet.count)
        loop_stop(&control->loop);
}

/* ---- Listeners ---- */

/* The sockets of the listeners that a configuration adds: fds[listener][worker]. */
struct opened {
    const struct config_listen **listens;
    int *fds;
    size_t count;
    unsigned workers;
};

static bool has_listener(const struct config *config, const char *label)
{
    for (size_t i = 0; config != NULL && i < config->listen_count; i++) {
        if (strcmp(config->listens[i].label, label) == 0)
            return true;
    }
    return false;
}

static void opened_fini(struct opened *opened)
{
    free(opened->listens);
    free(opened->fds);
}

static void opened_close(struct opened *opened)
{
    for (size_t i = 0; i < opened->count; i++) {
        for (unsigned w = 0; w < opened->workers; w++)
            close(opened->fds[i * opened->workers + w]);
        sockets_remove(opened->listens[i]);
    }
    opened->count = 0;
}

/* Opens what `to` has and `from` (NULL: nothing) has not. false: *error_out says why, and nothing is open. */
static bool open_listeners(const struct config *from, const struct config *to, unsigned workers, struct opened *opened,
                           struct text *error_out)
{
    *opened = (struct opened){.workers = workers};
    opened->listens = calloc(to->listen_count, sizeof opened->listens[0]);
    opened->fds = calloc(to->listen_count * workers, sizeof(int));
    if (opened->listens == NULL || opened->fds == NULL) {
        text_append_string(error_out, "out of memory");
        return false;
    }
    for (size_t i = 0; i < to->listen_count; i++) {
        const struct config_listen *listen = &to->listens[i];
        if (has_listener(from, listen->label))
            continue;
        struct text bound;
        text_init(&bound);
        if (sockets_open(listen, &opened->fds[opened->count * workers], workers, &bound, error_out) != 0) {
            text_fini(&bound);
            opened_close(opened);
            return false;
        }
        opened->listens[opened->count++] = listen;
        log_info("listening", "listening on %s", bound.data != NULL ? bound.data : listen->label);
        text_fini(&bound);
    }
    return true;
}

/* ---- Publishing ---- */

/* Whether the configuration holds what a core dump must not. */
static bool has_secrets(const struct config *config)
{
    bool has = config->user != NULL || config->users_file != NULL;
    for (size_t i = 0; i < config->pool_count; i++)
        has |= config->pools[i].auth.user != NULL || config->pools[i].tls.identity.key != NULL;
    for (size_t i = 0; i < config->listen_count; i++)
        has |= config->listens[i].has_tls;
    return has;
}

static void publish(struct control *control, struct snapshot *next, struct opened *opened)
{
    struct fleet *fleet = &control->fleet;
    const struct config *old = control->current != NULL ? control->current->config : NULL;
    next->holders = fleet->count;
    snapshot_apply_health(next);
    if (has_secrets(next->config))
        process_protect_secrets();
    log_configure((enum log_level)next->config->log_level, next->config->log_format == CONFIG_LOG_JSON);
    certificates_warn(next);
    for (unsigned w = 0; w < fleet->count; w++) {
        worker_post_snapshot(fleet->workers[w], next);
        for (size_t i = 0; i < opened->count; i++)
            worker_post_listen(fleet->workers[w], opened->fds[i * opened->workers + w], opened->listens[i]->label);
        for (size_t i = 0; old != NULL && i < old->listen_count; i++) {
            if (!has_listener(next->config, old->listens[i].label))
                worker_post_unlisten(fleet->workers[w], old->listens[i].label);
        }
    }
    for (size_t i = 0; old != NULL && i < old->listen_count; i++) {
        if (!has_listener(next->config, old->listens[i].label))
            sockets_remove(&old->listens[i]);
    }
    control->current = next;
    atomic_store_explicit(&fleet->generation, next->generation, memory_order_relaxed);
}

/* ---- Reload ---- */

static void log_errors(const struct config *current, const struct config_errors *errors)
{
    const char *path = current->path != NULL ? current->path : "the configuration";
    for (size_t i = 0; i < errors->count; i++) {
        const struct config_error *error = &errors->items[i];
        if (error->line > 0)
            log_error("config_error", "%s:%d:%d: %s", path, error->line, error->column, error->text);
        else
            log_error("config_error", "%s: %s", path, error->text);
    }
}

static void reload_failed(struct control *control, const char *reason)
{
    atomic_fetch_add_explicit(&control->fleet.reload_failures, 1, memory_order_relaxed);
    log_error("reload_failed", "the configuration was not reloaded: %s; the old one stays in force", reason);
}

/* Every worker has done all that was posted: only now is it true that the configuration is in force. */
static void on_in_force(void *context)
{
    struct control *control = context;
    if (--control->barriers > 0)
        return;
    atomic_fetch_add_explicit(&control->fleet.reloads, 1, memory_order_relaxed);
    log_info("reload_done", "configuration %llu is in force: %s", (unsigned long long)control->current->generation,
             control->changes.data != NULL ? control->changes.data : "");
}

static void publish_reload(struct control *control, struct snapshot *next, struct opened *opened)
{
    text_clear(&control->changes);
    config_diff(control->current->config, next->config, &control->changes);
    double moved_percent = snapshot_moved_percent(control->current, next);
    if (moved_percent >= 0)
        text_appendf(&control->changes, "; %.1f%% of the keys move", moved_percent);
    publish(control, next, opened);
    for (unsigned w = 0; w < control->fleet.count; w++) {
        control->barriers++;
        worker_post_barrier(control->fleet.workers[w]);
    }
}

/* The thread for passwords, from the first configuration on that has users. false: *error_out says why there is none. */
static bool start_checker(struct control *control, const struct config *config, struct text *error_out)
{
    struct fleet *fleet = &control->fleet;
    if (config->users_file == NULL || fleet->checker != NULL)
        return true;
    fleet->checker = password_checker_create();
    if (fleet->checker == NULL)
        text_appendf(error_out, "the thread for passwords could not be started: %s", strerrordesc_np(errno));
    return fleet->checker != NULL;
}

/* Puts a checked configuration (taken over) into force, or says why not. */
static void reload_with(struct control *control, struct config *config)
{
    const char *reason;
    struct snapshot *next = snapshot_create(&config, &control->registry, control->current->generation + 1, &reason);
    if (next == NULL) {
        reload_failed(control, reason);
        return;
    }
    struct text error;
    text_init(&error);
    struct opened opened = {0};
    if (start_checker(control, next->config, &error) &&
        open_listeners(control->current->config, next->config, control->fleet.count, &opened, &error)) {
        publish_reload(control, next, &opened);
    } else {
        reload_failed(control, error.data != NULL ? error.data : "out of memory");
        snapshot_destroy(&next, &control->registry);
    }
    opened_fini(&opened);
    text_fini(&error);
}

static void reload(struct control *control)
{
    if (control->load == NULL) {
        log_warning("reload_ignored", "there is no configuration file to read again: started with --server");
        return;
    }
    struct config_errors errors = {0};
    struct config *config = control->load(control->load_context, &errors);
    if (config != NULL) {
        reload_with(control, config);
    } else {
        log_errors(control->current->config, &errors);
        reload_failed(control, errors.count == 1 ? "it has an error" : "it has errors");
    }
    config_errors_fini(&errors);
}

/* ---- Signals ---- */

static void on_drain_due(struct wheel_timer *timer)
{
    struct control *control = list_entry(timer, struct control, drain_timer);
    loop_stop(&control->loop);
}

static void remove_sockets(const struct control *control)
{
    const struct config *config = control->current->config;
    for (size_t i = 0; i < config->listen_count; i++)
        sockets_remove(&config->listens[i]);
}

static void end(struct control *control)
{
    if (control->ending) {
        log_warning("ending", "a second signal: exiting at once");
        remove_sockets(control);
        _exit(0);
    }
    control->ending = true;
    uint32_t drain_ms = control->current->config->limits.drain_ms;
    log_info("ending", "no new connections are accepted; what is under way has %u ms to finish", drain_ms);
    for (unsigned w = 0; w < control->fleet.count; w++)
        worker_post_drain(control->fleet.workers[w], drain_ms);
    loop_arm(&control->loop, &control->drain_timer, (uint64_t)drain_ms + DRAIN_GRACE_MS);
}

static void on_signal(evutil_socket_t signal, short what, void *context)
{
    (void)what;
    struct control *control = context;
    if (signal != SIGHUP)
        end(control);
    else if (!control->ending)
        reload(control);
}

static int catch_signals(struct control *control)
{
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        control->signal_events[i] = evsignal_new(control->loop.base, signals[i], on_signal, control);
        if (control->signal_events[i] == NULL || evsignal_add(control->signal_events[i], NULL) != 0)
            return -1;
    }
    return 0;
}

/* ---- Life ---- */

static unsigned worker_count(const struct config *config)
{
    if (config->workers > 0)
        return config->workers;
    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof cpus, &cpus) != 0)
        return 1;
    int count = CPU_COUNT(&cpus);
    return count > 0 ? (unsigned)count : 1;
}

/* Raises the limit of open files as far as is allowed, and says so if that is too little. */
static void raise_descriptors(const struct snapshot *snapshot, unsigned workers)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    rlim_t wanted = snapshot->config->limits.clients + DESCRIPTORS_OWN;
    for (size_t i = 0; i < snapshot->pool_count; i++)
        wanted += snapshot->pools[i].server_count * snapshot->pools[i].settings.connections * workers;
    if (limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    if ((setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0) || limit.rlim_cur < wanted)
        log_warning("few_descriptors",
                    "limits.clients and the servers need %llu open files, but only %llu are allowed: raise the limit "
                    "(ulimit -n, LimitNOFILE=) or lower limits.clients",
                    (unsigned long long)wanted, (unsigned long long)limit.rlim_cur);
}

static int create_workers(struct control *control)
{
    struct fleet *fleet = &control->fleet;
    fleet->workers = calloc(fleet->count, sizeof(struct worker *));
    if (fleet->workers == NULL)
        return -1;
    for (unsigned w = 0; w < fleet->count; w++) {
        fleet->workers[w] = worker_create(fleet, w, control->resolver);
        if (fleet->workers[w] == NULL)
            return -1;
    }
    return 0;
}

static int start_workers(struct control *control)
{
    for (unsigned w = 0; w < control->fleet.count; w++) {
        int error = worker_start(control->fleet.workers[w]);
        if (error != 0) {
            errno = error;
            return -1;
        }
    }
    return 0;
}

/* Certificates that have changed are read again without being asked for. */
static void on_certificates_due(struct wheel_timer *timer)
{
    struct control *control = list_entry(timer, struct control, certificates_timer);
    certificates_follow(&control->registry);
    loop_arm(&control->loop, timer, CERTIFICATES_MS);
}

static int control_init(struct control *control, const struct config *config)
{
    if (loop_init(&control->loop) != 0 || mailbox_init(&control->mailbox, &control->loop) != 0)
        return -1;
    control->resolver = resolver_create();
    if (control->resolver == NULL)
        return -1;
    control->fleet = (struct fleet){
        .count = worker_count(config),
        .control = &control->mailbox,
        .registry = &control->registry,
        .started_us = loop_clock_us(),
        .on_released = on_released,
        .on_drained = on_drained,
        .on_in_force = on_in_force,
        .context = control,
    };
    prober_init(&control->prober, &control->loop, &control->mailbox, control->resolver);
    registry_init(&control->registry, control->fleet.count, on_down, on_gone, control);
    wheel_timer_init(&control->drain_timer, on_drain_due);
    wheel_timer_init(&control->certificates_timer, on_certificates_due);
    return create_workers(control);
}

/* Opens what may need root, and gives root up. false: *error_out says why, and nothing is open. */
static bool open_and_become(struct control *control, const struct config *config, struct opened *opened,
                            struct text *error_out)
{
    const struct process_user *user = &control->user;
    if (!open_listeners(NULL, config, control->fleet.count, opened, error_out))
        return false;
    for (size_t i = 0; user->changes && i < opened->count; i++) {
        if (sockets_give(opened->listens[i], user->uid, user->gid, error_out) != 0)
            goto failed;
    }
    if (process_become(user, error_out) != 0)
        goto failed;
    if (user->changes)
        log_info("user_changed", "runs as user %s from now on: uid %lu, gid %lu", user->name, (unsigned long)user->uid,
                 (unsigned long)user->gid);
    else if (process_is_root() && config->user == NULL)
        log_warning("running_as_root", "runs as root, which it does not need: set `user` in the configuration, or "
                                       "start it with --user NAME or as another user");
    return true;

failed:
    opened_close(opened);
    return false;
}

/* Everything from the configuration (taken over) to serving. 0, or -1 after saying why. */
static int control_start(struct control *control, struct config *config)
{
    struct text error;
    text_init(&error);
    struct opened opened = {0};
    const char *reason;
    int result = -1;
    struct snapshot *first = snapshot_create(&config, &control->registry, 1, &reason);
    if (first == NULL) {
        log_error("start_failed", "%s", reason);
        goto done;
    }
    raise_descriptors(first, control->fleet.count);
    /* Signals first: whoever sees the sockets may send one. It waits for the loop. */
    if (catch_signals(control) != 0 || !start_checker(control, first->config, &error) ||
        !open_and_become(control, first->config, &opened, &error)) {
        log_error("start_failed", "%s", error.data != NULL ? error.data : "out of memory");
        snapshot_destroy(&first, &control->registry);
        goto done;
    }
    publish(control, first, &opened);
    if (start_workers(control) != 0) {
        log_error("start_failed", "the threads could not be started: %s", strerror(errno));
        goto done;
    }
    loop_arm(&control->loop, &control->certificates_timer, CERTIFICATES_MS);
    log_info("ready", "serving with %u workers, process %ld", control->fleet.count, (long)getpid());
    result = 0;

done:
    opened_fini(&opened);
    text_fini(&error);
    return result;
}

static void control_fini(struct control *control)
{
    if (control->current != NULL)
        remove_sockets(control);
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        if (control->signal_events[i] != NULL)
            event_free(control->signal_events[i]);
    }
    for (unsigned w = 0; w < control->fleet.count; w++)
        worker_stop(control->fleet.workers[w]);
    /* Both would answer by mail to the workers. */
    resolver_destroy(&control->resolver);
    password_checker_destroy(&control->fleet.checker);
    for (unsigned w = 0; w < control->fleet.count; w++)
        worker_destroy(&control->fleet.workers[w]);
    free(control->fleet.workers);
    loop_disarm(&control->loop, &control->drain_timer);
    loop_disarm(&control->loop, &control->certificates_timer);
    prober_fini(&control->prober);
    mailbox_deliver(&control->mailbox);
    if (control->current != NULL)
        snapshot_destroy(&control->current, &control->registry);
    registry_fini(&control->registry);
    text_fini(&control->changes);
    mailbox_fini(&control->mailbox);
    loop_fini(&control->loop);
}

/* What comes before the first thread: whom to run as, and nothing more than that. 0, or -1 after saying why. */
static int settle_rights(struct control *control, const struct config *config)
{
    struct text error;
    text_init(&error);
    int result = process_find_user(config->user, &control->user, &error);
    if (result != 0) {
        log_error("start_failed", "%s", error.data != NULL ? error.data : "out of memory");
    } else if (process_forbid_gains() != 0) {
        log_error("start_failed", "the system refused PR_SET_NO_NEW_PRIVS: %s", strerror(errno));
        result = -1;
    }
    text_fini(&error);
    return result;
}

int control_run(struct config **config, control_load_fn *load, void *load_context)
{
    struct config *c = *config;
    *config = NULL;
    static struct control control;
    control.load = load;
    control.load_context = load_context;
    log_configure((enum log_level)c->log_level, c->log_format == CONFIG_LOG_JSON);
    if (settle_rights(&control, c) != 0) {
        config_destroy(&c);
        return EXIT_SYSTEM;
    }
    if (control_init(&control, c) != 0) {
        log_error("start_failed", "the system refused what Ringside needs to start: %s", strerror(errno));
        config_destroy(&c);
        return EXIT_SYSTEM;
    }
    int status = EXIT_SYSTEM;
    if (control_start(&control, c) == 0) {
        loop_run(&control.loop);
        log_info("ended", "good-bye");
        status = 0;
    }
    control_fini(&control);
    return status;
}
