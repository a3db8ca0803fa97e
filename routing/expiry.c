/*
 * Owns the arithmetic of expiry times, for those nodes that change them: failover, warm, ttl.
 */
#include "routing/expiry.h"

/* Seconds from now; 0: never, or past. */
static int64_t seconds_left(int64_t expiry, int64_t now_unix_s)
{
    if (expiry <= EXPIRY_RELATIVE_MAX_S)
        return expiry > 0 ? expiry : 0;
    return expiry > now_unix_s ? expiry - now_unix_s : 0;
}

int64_t expiry_cap(const struct request_traits *traits, uint32_t max_s, int64_t now_unix_s)
{
    int64_t expiry = traits->has_expiry ? traits->expiry : 0;
    if (expiry == 0)
        return max_s;
    int64_t left = seconds_left(expiry, now_unix_s);
    return left > (int64_t)max_s ? (int64_t)max_s : expiry;
}

int64_t expiry_shorten(int64_t expiry, uint32_t taken, int64_t now_unix_s)
{
    int64_t left = seconds_left(expiry, now_unix_s);
    if (left <= 1)
        return expiry;
    int64_t off = (int64_t)(((unsigned __int128)left * taken) >> 32);
    if (off >= left)
        off = left - 1;
    return expiry - off;
}
