/*
 * Owns the words on certificates in the log, and when their files are read again. What is read, and whether it is good, is
 * tls/context.c's affair.
 */
#include "proxy/certificates.h"

#include "base/log.h"

#include <time.h>

#define DAY_S 86400
/* Less than that is worth a warning. */
#define SOON_DAYS 14

static void warn_of_expiry(const char *kind, const char *name, const struct tls_context *context)
{
    int64_t expires_s = context != NULL ? tls_context_expires_unix_s(context) : 0;
    int64_t left_s = expires_s - (int64_t)time(NULL);
    if (expires_s == 0 || left_s > (int64_t)SOON_DAYS * DAY_S)
        return;
    if (left_s <= 0)
        log_warning("certificate_expired", "%s %s: its certificate has expired: replace the file", kind, name);
    else
        log_warning("certificate_expires", "%s %s: its certificate expires in %lld days: replace the file", kind, name,
                    (long long)(left_s / DAY_S));
}

void certificates_warn(const struct snapshot *snapshot)
{
    const struct config *config = snapshot->config;
    for (size_t i = 0; i < snapshot->listen_count; i++)
        warn_of_expiry("listener", config->listens[i].label, snapshot->listen_tls[i]);
    for (size_t i = 0; i < snapshot->pool_count; i++) {
        const struct config_pool *pool = &config->pools[i];
        warn_of_expiry("pool", pool->name, snapshot->pool_tls[i]);
        if (pool->has_tls && pool->tls.insecure)
            log_warning(
                "tls_insecure",
                "pool %s: tls.insecure is set: anybody between here and its servers can read and change all that "
                "is sent; name a `ca` instead",
                pool->name);
    }
}

void certificates_follow(struct registry *registry)
{
    for (size_t i = 0; i < registry->tls_count; i++) {
        struct tls_context *context = registry->tls[i].context;
        char error[TLS_ERROR_MAX];
        if (!tls_context_is_stale(context))
            continue;
        if (tls_context_refresh(context, error))
            log_info("certificate_changed", "%s was read again, with what belongs to it: new connections take it",
                     tls_context_name(context));
        else
            log_error("certificate_refused", "a changed file was not taken: %s; what was read before stays in force",
                      error);
    }
}
