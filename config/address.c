/*
 * Owns the reading and printing of addresses.
 *
 *     10.0.0.1:11211    cache.internal:11211    cache.internal    [2001:db8::1]:11211    [::1]    unix:/run/x.sock
 *     ---host--|port    -----host-----|port     ----host----      ----host---- |port      host         --host---
 *
 * It looks no name up and opens no socket.
 */
#include "config/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>

#define UNIX_PREFIX "unix:"
#define PATH_LEN_MAX (sizeof((struct sockaddr_un *)0)->sun_path - 1)
#define HOST_LEN_MAX 253
#define LABEL_LEN_MAX 63

_Static_assert(PATH_LEN_MAX == 107, "the messages below name the limit");

static const char shape_error[] = "is no address; write `HOST:PORT`, `[V6]:PORT` or `unix:PATH`";

/* ---- what a host may be ---- */

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static bool is_ipv4_like(struct slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        if (host.data[i] != '.' && (host.data[i] < '0' || host.data[i] > '9'))
            return false;
    }
    return true;
}

static bool is_ipv4(struct slice host)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr in;
    if (host.len >= sizeof text)
        return false;
    memcpy(text, host.data, host.len);
    text[host.len] = '\0';
    return inet_pton(AF_INET, text, &in) == 1;
}

/* An IPv6 address, with or without a zone behind a percent sign. in_out may be NULL. */
static bool is_ipv6(struct slice host, struct in6_addr *in_out)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr in;
    const char *zone = memchr(host.data, '%', host.len);
    size_t len = zone == NULL ? host.len : (size_t)(zone - host.data);
    for (size_t i = len + 1; i < host.len; i++) {
        if (!is_word_byte(host.data[i]) && host.data[i] != '.')
            return false;
    }
    if (len >= sizeof text || len + 1 == host.len)
        return false;
    memcpy(text, host.data, len);
    text[len] = '\0';
    return inet_pton(AF_INET6, text, in_out != NULL ? in_out : &in) == 1;
}

/* NULL, or what is wrong with a name or an IPv4 address. */
static const char *check_host(struct slice host)
{
    if (host.len == 0)
        return "has no host; write `HOST:PORT`, `[V6]:PORT` or `unix:PATH`";
    if (host.len == 4 && strncasecmp(host.data, "unix", 4) == 0)
        return "has no path; write `unix:PATH`";
    if (is_ipv4_like(host))
        return is_ipv4(host) ? NULL : "is no IPv4 address; it has four numbers from 0 to 255";
    size_t label = 0;
    for (size_t i = 0; i < host.len; i++) {
        if (host.data[i] == '.' && label == 0)
            return "has an empty part in its host name";
        if (host.data[i] != '.' && !is_word_byte(host.data[i]))
            return "has a character in its host name that no host name has";
        label = host.data[i] == '.' ? 0 : label + 1;
        if (label > LABEL_LEN_MAX)
            return "has a part of more than 63 bytes in its host name";
    }
    if (host.data[0] == '-')
        return "has a host name that starts with a hyphen";
    return host.len <= HOST_LEN_MAX ? NULL : "has a host name of more than 253 bytes";
}

static const char *check_path(struct slice path)
{
    if (path.len == 0)
        return "has no path; write `unix:PATH`";
    if (path.len > PATH_LEN_MAX)
        return "has a path of more than 107 bytes, which is the most that a Unix socket can have";
    for (size_t i = 0; i < path.len; i++) {
        if ((unsigned char)path.data[i] < 0x20 || path.data[i] == 0x7f)
            return "has a control character in its path";
    }
    return NULL;
}

/* ---- reading ---- */

static const char *read_port(struct slice text, bool allow_zero, uint16_t *port_out)
{
    uint64_t port = 0;
    if (!text_parse_u64(text, &port) || port > UINT16_MAX || (port == 0 && !allow_zero))
        return "has no valid port; a port is a number from 1 to 65535";
    *port_out = (uint16_t)port;
    return NULL;
}

/* What a text with more than one colon and no bracket is: an IPv6 address, or nothing that we know. */
static const char *colons_error(struct slice text)
{
    const char *last = memrchr(text.data, ':', text.len);
    bool whole = is_ipv6(text, NULL), with_port = is_ipv6(slice_make(text.data, (size_t)(last - text.data)), NULL);
    return whole || with_port ? "is an IPv6 address without brackets; write `[V6]:PORT`" : shape_error;
}

static const char *split_bracketed(struct slice text, struct slice *host_out, struct slice *port_out)
{
    const char *close = memchr(text.data, ']', text.len);
    if (close == NULL)
        return "has no `]` behind its IPv6 address";
    *host_out = slice_make(text.data + 1, (size_t)(close - text.data) - 1);
    struct slice rest = slice_make(close + 1, text.len - host_out->len - 2);
    if (!is_ipv6(*host_out, NULL))
        return "has no IPv6 address within its brackets";
    if (rest.len > 0 && rest.data[0] != ':')
        return shape_error;
    *port_out = rest.len == 0 ? slice_make(NULL, 0) : slice_make(rest.data + 1, rest.len - 1);
    return NULL;
}

static const char *split_plain(struct slice text, struct slice *host_out, struct slice *port_out)
{
    const char *colon = memchr(text.data, ':', text.len);
    *host_out = text;
    *port_out = slice_make(NULL, 0);
    if (colon != NULL) {
        if (memrchr(text.data, ':', text.len) != colon)
            return colons_error(text);
        *host_out = slice_make(text.data, (size_t)(colon - text.data));
        *port_out = slice_make(colon + 1, text.len - host_out->len - 1);
    }
    return check_host(*host_out);
}

/* The parts of an address; port_out is left alone where none stands. NULL, or what is wrong. */
static const char *read_address(struct slice text, bool allow_port_zero, struct slice *host_out, uint16_t *port_out,
                                bool *is_unix_out)
{
    size_t prefix = sizeof UNIX_PREFIX - 1;
    *is_unix_out = text.len >= prefix && memcmp(text.data, UNIX_PREFIX, prefix) == 0;
    if (*is_unix_out) {
        *port_out = 0;
        *host_out = slice_make(text.data + prefix, text.len - prefix);
        return check_path(*host_out);
    }
    struct slice port = {NULL, 0};
    const char *error = text.len > 0 && text.data[0] == '[' ? split_bracketed(text, host_out, &port)
                                                            : split_plain(text, host_out, &port);
    if (error == NULL && port.data != NULL)
        error = read_port(port, allow_port_zero, port_out);
    return error;
}

int config_address_parse(const char *text, uint16_t default_port, bool allow_port_zero,
                         struct config_address *address_out, const char **error_out)
{
    struct slice host;
    uint16_t port = default_port;
    bool is_unix;
    const char *error = read_address(slice_make(text, strlen(text)), allow_port_zero, &host, &port, &is_unix);
    if (error != NULL) {
        *error_out = error;
        errno = EINVAL;
        return -1;
    }
    char *copy = strndup(host.data, host.len);
    if (copy == NULL) {
        *error_out = "memory is out";
        errno = ENOMEM;
        return -1;
    }
    *address_out = (struct config_address){copy, port, is_unix};
    return 0;
}

int config_address_resolve(struct config_address *address, const char *directory, const char **error_out)
{
    if (!address->is_unix || address->host[0] == '/' || directory[0] == '\0')
        return 0;
    struct text path;
    text_init(&path);
    text_append_string(&path, directory);
    text_append_string(&path, address->host);
    const char *error = path.failed ? NULL : check_path(text_slice(&path));
    if (error != NULL) {
        text_fini(&path);
        *error_out = error;
        errno = EINVAL;
        return -1;
    }
    char *resolved = text_steal(&path, NULL);
    if (resolved == NULL) {
        *error_out = "memory is out";
        errno = ENOMEM;
        return -1;
    }
    free(address->host);
    address->host = resolved;
    return 0;
}

void config_address_fini(struct config_address *address)
{
    free(address->host);
    *address = (struct config_address){NULL, 0, false};
}

/* ---- printing ---- */

static void print_host_port(const char *host, uint16_t port, struct text *out)
{
    text_appendf(out, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
}

void config_address_print(const struct config_address *address, struct text *out)
{
    if (address->is_unix)
        text_appendf(out, UNIX_PREFIX "%s", address->host);
    else
        print_host_port(address->host, address->port, out);
}

void config_address_identify(const struct config_address *address, struct text *out)
{
    if (address->is_unix) {
        config_address_print(address, out);
        return;
    }
    struct in6_addr in;
    char text[INET6_ADDRSTRLEN];
    const char *zone = strchr(address->host, '%');
    if (is_ipv6(slice_make(address->host, strlen(address->host)), &in) && inet_ntop(AF_INET6, &in, text, sizeof text)) {
        text_appendf(out, "[%s%s]:%u", text, zone != NULL ? zone : "", (unsigned)address->port);
        return;
    }
    size_t start = out->len;
    print_host_port(address->host, address->port, out);
    for (size_t i = start; i < out->len; i++) {
        if (out->data[i] >= 'A' && out->data[i] <= 'Z')
            out->data[i] = (char)(out->data[i] - 'A' + 'a');
    }
}
