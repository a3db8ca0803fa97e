/*
 * Owns the thread that may block in getaddrinfo, and the queue of jobs in front of it. Which address is used, and when
 * a name is looked up again, is connection.c's and probe.c's affair.
 */
#include "pool/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct resolver {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct list jobs;
    bool stopping;
    bool busy;
};

static void look_up(struct resolve_job *job)
{
    char port[8];
    snprintf(port, sizeof port, "%u", (unsigned)job->port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(job->host, port, &hints, &found);
    /* RFC 6761, 6.3: that name is special. A minimal root may have no /etc/hosts to say so. */
    if (error != 0 && strcasecmp(job->host, "localhost") == 0)
        error = getaddrinfo("127.0.0.1", port, &hints, &found);
    if (error != 0) {
        job->error = gai_strerror(error);
        return;
    }
    for (struct addrinfo *a = found; a != NULL && job->address_count < SERVER_ADDRESSES_MAX; a = a->ai_next) {
        struct server_address *to = &job->addresses[job->address_count++];
        memcpy(&to->address, a->ai_addr, a->ai_addrlen);
        to->len = a->ai_addrlen;
    }
    freeaddrinfo(found);
    if (job->address_count == 0)
        job->error = "the name has no address";
}

static void deliver(struct mail *mail)
{
    struct resolve_job *job = list_entry(mail, struct resolve_job, mail);
    job->on_resolved(job);
}

static void *resolver_main(void *context)
{
    struct resolver *resolver = context;
    pthread_mutex_lock(&resolver->lock);
    while (!resolver->stopping) {
        struct list *node = list_pop_front(&resolver->jobs);
        if (node == NULL) {
            pthread_cond_wait(&resolver->changed, &resolver->lock);
            continue;
        }
        resolver->busy = true;
        pthread_mutex_unlock(&resolver->lock);
        struct resolve_job *job = list_entry(node, struct resolve_job, node);
        look_up(job);
        pthread_mutex_lock(&resolver->lock);
        resolver->busy = false;
        if (resolver->stopping) {
            /* The receiver may be gone. */
            resolve_job_destroy(&job);
            break;
        }
        job->mail.deliver = deliver;
        mailbox_post(job->reply_to, &job->mail);
    }
    pthread_mutex_unlock(&resolver->lock);
    return NULL;
}

struct resolver *resolver_create(void)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);
    if (resolver == NULL)
        return NULL;
    pthread_mutex_init(&resolver->lock, NULL);
    pthread_cond_init(&resolver->changed, NULL);
    list_init(&resolver->jobs);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&resolver->thread, NULL, resolver_main, resolver);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        free(resolver);
        errno = error;
        return NULL;
    }
    return resolver;
}

void resolver_destroy(struct resolver **resolver)
{
    struct resolver *r = *resolver;
    *resolver = NULL;
    if (r == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    bool busy = r->busy;
    struct list *node;
    while ((node = list_pop_front(&r->jobs)) != NULL) {
        struct resolve_job *job = list_entry(node, struct resolve_job, node);
        resolve_job_destroy(&job);
    }
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
    if (busy) {
        pthread_detach(r->thread);
        return;
    }
    pthread_join(r->thread, NULL);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

struct resolve_job *resolve_job_create(const char *host, uint16_t port, struct mailbox *reply_to,
                                       void (*on_resolved)(struct resolve_job *job), void *owner)
{
    struct resolve_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return NULL;
    list_init(&job->node);
    job->host = strdup(host);
    if (job->host == NULL) {
        free(job);
        return NULL;
    }
    job->port = port;
    job->reply_to = reply_to;
    job->on_resolved = on_resolved;
    job->owner = owner;
    return job;
}

void resolve_job_destroy(struct resolve_job **job)
{
    struct resolve_job *j = *job;
    *job = NULL;
    if (j == NULL)
        return;
    free(j->host);
    free(j);
}

void resolver_submit(struct resolver *resolver, struct resolve_job *job)
{
    pthread_mutex_lock(&resolver->lock);
    list_push_back(&resolver->jobs, &job->node);
    pthread_cond_signal(&resolver->changed);
    pthread_mutex_unlock(&resolver->lock);
}
