/*
 * Fuzz target: any bytes as a configuration file, and as an address.
 *
 * What comes out of config_parse is a whole configuration or errors with places, never both, never neither. A
 * configuration can be told in words, and differs in nothing from itself. An address that is read reads the same when it is
 * printed.
 */
#include "base/text.h"
#include "config/address.h"
#include "config/diff.h"
#include "config/errors.h"
#include "config/model.h"
#include "config/summary.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_route(const struct config *config, const struct route_spec *spec, int depth)
{
    require(spec != NULL && depth <= ROUTE_DEPTH_MAX && spec->branch_count <= ROUTE_BRANCHES_MAX);
    require(spec->kind < ROUTE_KIND_COUNT && (spec->kind != ROUTE_POOL || spec->pool < config->pool_count));
    bool is_leaf = spec->kind == ROUTE_POOL || spec->kind == ROUTE_ERROR || spec->kind == ROUTE_MISS;
    require(is_leaf == (spec->branch_count == 0));
    for (size_t i = 0; i < spec->branch_count; i++) {
        require(spec->branches[i].name != NULL);
        check_route(config, spec->branches[i].to, depth + 1);
    }
}

static void check_config(const struct config *config)
{
    require(config->pool_count > 0 && config->listen_count > 0);
    for (size_t i = 0; i < config->pool_count; i++) {
        const struct config_pool *pool = &config->pools[i];
        require(pool->name != NULL && pool->distribution != NULL && pool->hash != NULL && pool->server_count > 0);
        require(pool->health_probe_ms <= pool->health_probe_max_ms);
        for (size_t j = 0; j < pool->server_count; j++)
            require(pool->servers[j].label != NULL && pool->servers[j].address.host != NULL);
    }
    for (size_t i = 0; i < config->listen_count; i++) {
        const struct config_listen *listen = &config->listens[i];
        require(listen->has_tls == (listen->tls.identity.key != NULL) &&
                (listen->peer_count > 0) == (listen->peers != NULL));
        require(listen->tls.client_ca != NULL || listen->tls.client_certificate == TLS_CLIENT_CERTIFICATE_NONE);
    }
    for (size_t i = 0; i < config->access_count; i++)
        require(config->access[i].user != NULL && config->access[i].commands.count > 0);
    check_route(config, config->route, 1);
    struct text text;
    text_init(&text);
    config_summary(config, &text);
    require(!text.failed && text.len > 0 && memchr(text.data, '\0', text.len) == NULL);
    text_clear(&text);
    require(!config_diff(config, config, &text));
    text_fini(&text);
}

static void fuzz_file(const char *data, size_t size)
{
    struct config_errors errors;
    struct config *config = config_parse(data, size, "etc/x.yaml", &errors);
    require((config == NULL) == (errors.count > 0));
    for (size_t i = 0; i < errors.count; i++)
        require(errors.items[i].line >= 1 && errors.items[i].column >= 1 && errors.items[i].text[0] != '\0');
    if (config != NULL)
        check_config(config);
    config_errors_fini(&errors);
    config_destroy(&config);
}

static void check_address(const struct config_address *address)
{
    struct config_address again;
    const char *error;
    struct text text, text_again;
    text_init(&text);
    text_init(&text_again);
    config_address_print(address, &text);
    require(config_address_parse(text.data, 1, true, &again, &error) == 0);
    config_address_print(&again, &text_again);
    require(slice_equal(text_slice(&text), text_slice(&text_again)));
    require(again.port == address->port && again.is_unix == address->is_unix);
    text_clear(&text);
    config_address_identify(address, &text);
    require(text.len > 0);
    config_address_fini(&again);
    text_fini(&text);
    text_fini(&text_again);
}

static void fuzz_address(const char *data, size_t size)
{
    struct config_address address;
    const char *error = NULL;
    /* Not strndup: it may look one byte beyond what it was given. */
    char *text = malloc(size + 1);
    require(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    if (config_address_parse(text, 11211, true, &address, &error) == 0) {
        check_address(&address);
        config_address_fini(&address);
    } else {
        require(error != NULL);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_file((const char *)data, size);
    fuzz_address((const char *)data, size);
    return 0;
}
