/*
 * Owns the registry's TLS contexts.
 *
 *     tls[] -> context, holders     taken by listeners and pools of snapshots; gone with the last
 *
 * A reload that asks for a spec which is here already gets the same context, so that clients' tickets and servers'
 * sessions stay good. What is new in its files comes into force in one step, registry_tls_refresh, after everything
 * else of the new configuration was found good: until then the files are read into a context that is thrown away.
 */
#include "config/registry.h"

#include <stdlib.h>

/* Takes a context over. false: memory is out. */
static bool add(struct registry *registry, struct tls_context **context)
{
    struct registry_tls *tls = realloc(registry->tls, (registry->tls_count + 1) * sizeof *tls);
    if (tls == NULL) {
        tls_context_unref(context);
        return false;
    }
    registry->tls = tls;
    tls[registry->tls_count++] = (struct registry_tls){*context, 1, false};
    return true;
}

/*
 * Settles on `known`, which may be NULL, or on what was just read of the same spec (taken over; NULL: it could not be
 * read).
 */
static struct tls_context *settle(struct registry *registry, struct registry_tls *known, struct tls_context *read,
                                  char error_out[TLS_ERROR_MAX])
{
    if (read == NULL)
        return NULL;
    if (known == NULL) {
        error_out[0] = '\0';
        return add(registry, &read) ? registry->tls[registry->tls_count - 1].context : NULL;
    }
    tls_context_unref(&read);
    known->holders++;
    known->again = true;
    return known->context;
}

struct tls_context *registry_tls_server(struct registry *registry, const struct tls_server_spec *spec,
                                        char error_out[TLS_ERROR_MAX], const char **error_field_out)
{
    struct registry_tls *known = NULL;
    for (size_t i = 0; i < registry->tls_count && known == NULL; i++) {
        if (tls_context_is_server(registry->tls[i].context, spec))
            known = &registry->tls[i];
    }
    *error_field_out = NULL;
    return settle(registry, known, tls_context_create_server(spec, error_out, error_field_out), error_out);
}

struct tls_context *registry_tls_client(struct registry *registry, const struct tls_client_spec *spec,
                                        char error_out[TLS_ERROR_MAX], const char **error_field_out)
{
    struct registry_tls *known = NULL;
    for (size_t i = 0; i < registry->tls_count && known == NULL; i++) {
        if (tls_context_is_client(registry->tls[i].context, spec))
            known = &registry->tls[i];
    }
    *error_field_out = NULL;
    return settle(registry, known, tls_context_create_client(spec, error_out, error_field_out), error_out);
}

bool registry_tls_refresh(struct registry *registry, char error_out[TLS_ERROR_MAX])
{
    for (size_t i = 0; i < registry->tls_count; i++) {
        struct registry_tls *tls = &registry->tls[i];
        if (tls->again && !tls_context_refresh(tls->context, error_out))
            return false;
        tls->again = false;
    }
    return true;
}

void registry_tls_give(struct registry *registry, struct tls_context **context)
{
    size_t i = 0;
    struct tls_context *given = *context;
    *context = NULL;
    while (i < registry->tls_count && registry->tls[i].context != given)
        i++;
    if (i == registry->tls_count)
        return;
    /* If it was taken for a snapshot that was refused in the end, its files are not to be read for that one. */
    registry->tls[i].again = false;
    if (--registry->tls[i].holders > 0)
        return;
    tls_context_unref(&registry->tls[i].context);
    registry->tls[i] = registry->tls[--registry->tls_count];
}
