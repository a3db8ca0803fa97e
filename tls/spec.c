/* Owns nothing: copies and comparisons of what a configuration says on TLS. */
#include "tls/spec.h"

#include <stdlib.h>
#include <string.h>

static char *copy(const char *string, bool *failed)
{
    char *own = string != NULL ? strdup(string) : NULL;
    *failed |= string != NULL && own == NULL;
    return own;
}

static struct tls_identity copy_identity(const struct tls_identity *identity, bool *failed)
{
    return (struct tls_identity){copy(identity->certificate, failed), copy(identity->key, failed)};
}

static void identity_fini(struct tls_identity *identity)
{
    free(identity->certificate);
    free(identity->key);
}

bool tls_server_spec_copy(struct tls_server_spec *own, const struct tls_server_spec *spec)
{
    bool failed = false;
    *own = *spec;
    own->identity = copy_identity(&spec->identity, &failed);
    own->client_ca = copy(spec->client_ca, &failed);
    own->crl = copy(spec->crl, &failed);
    own->further = calloc(spec->further_count + 1, sizeof *own->further);
    own->further_count = own->further != NULL ? spec->further_count : 0;
    for (size_t i = 0; i < own->further_count; i++)
        own->further[i] = copy_identity(&spec->further[i], &failed);
    return !failed && own->further != NULL;
}

bool tls_client_spec_copy(struct tls_client_spec *own, const struct tls_client_spec *spec)
{
    bool failed = false;
    *own = *spec;
    own->ca = copy(spec->ca, &failed);
    own->server_name = copy(spec->server_name, &failed);
    own->identity = copy_identity(&spec->identity, &failed);
    own->crl = copy(spec->crl, &failed);
    return !failed;
}

void tls_server_spec_fini(struct tls_server_spec *spec)
{
    identity_fini(&spec->identity);
    for (size_t i = 0; i < spec->further_count; i++)
        identity_fini(&spec->further[i]);
    free(spec->further);
    free(spec->client_ca);
    free(spec->crl);
}

void tls_client_spec_fini(struct tls_client_spec *spec)
{
    free(spec->ca);
    free(spec->server_name);
    identity_fini(&spec->identity);
    free(spec->crl);
}

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_identity(const struct tls_identity *a, const struct tls_identity *b)
{
    return same(a->certificate, b->certificate) && same(a->key, b->key);
}

bool tls_server_spec_equals(const struct tls_server_spec *a, const struct tls_server_spec *b)
{
    if (!same_identity(&a->identity, &b->identity) || !same(a->client_ca, b->client_ca) || !same(a->crl, b->crl) ||
        a->client_certificate != b->client_certificate || a->min_version != b->min_version ||
        a->further_count != b->further_count)
        return false;
    for (size_t i = 0; i < a->further_count; i++) {
        if (!same_identity(&a->further[i], &b->further[i]))
            return false;
    }
    return true;
}

bool tls_client_spec_equals(const struct tls_client_spec *a, const struct tls_client_spec *b)
{
    return same(a->ca, b->ca) && same(a->server_name, b->server_name) && same_identity(&a->identity, &b->identity) &&
           same(a->crl, b->crl) && a->insecure == b->insecure && a->min_version == b->min_version;
}
