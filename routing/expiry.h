/* Expiry times as memcached reads them: 0 never, negative at once, up to 30 days seconds from now, else Unix time. */
#ifndef RINGSIDE_ROUTING_EXPIRY_H
#define RINGSIDE_ROUTING_EXPIRY_H

#include "wire/traits.h"

#include <stdint.h>

/* Times above are Unix times. Source: memcached's REALTIME_MAXDELTA. */
#define EXPIRY_RELATIVE_MAX_S (60 * 60 * 24 * 30)

/* The request's time (none: never), but at most max_s (1 ... EXPIRY_RELATIVE_MAX_S) from now. */
int64_t expiry_cap(const struct request_traits *traits, uint32_t max_s, int64_t now_unix_s);

/* The time with `taken` (0 ... 2^32 - 1, as a share of 2^32) of what is left taken off; never and past times stay. */
int64_t expiry_shorten(int64_t expiry, uint32_t taken, int64_t now_unix_s);

#endif
