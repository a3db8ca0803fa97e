/*
 * What a server that was down is asked before its keys come home: whether it speaks the protocol, and, where the pool wants it
 * (on_return: flush), that it holds nothing from before it was away. Data and decisions only: probe.c sends the questions.
 *
 *      (login)                                                   where the pool has an `auth`
 *      version --> up                                            on_return: keep
 *          \-> stats --> it has restarted: it is empty --> up
 *                  \-> gets MARKER --> "done T", T after it went down: another Ringside has flushed it --> up
 *                            |-----> "flushing T", of late: another is at it --> again later
 *                            \-----> none, or an old one: add or cas "flushing T" --> lost: again later
 *                                        \-> won: flush_all, set MARKER "done T" --> up
 *
 * The marker is an item on the server itself, so that all Ringsides that see the server see it, in pools of one server too. It names
 * the time of the flush by the server's own clock: so a flush of an earlier outage is not taken for one of this outage, and a
 * Ringside that died while flushing is replaced by another. The flush takes the marker along; it is set again right behind it, in
 * the same write: a Ringside that asks in between flushes once more, which harms nobody.
 */
#ifndef RINGSIDE_POOL_HOMECOMING_H
#define RINGSIDE_POOL_HOMECOMING_H

#include "base/slice.h"
#include "tls/secret.h"
#include "wire/reply.h"
#include "wire/verb.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOMECOMING_QUESTION_MAX 2048
/* A Ringside that said it was flushing, and has not been done for so long, is taken for dead. */
#define HOMECOMING_PATIENCE_S 10
/* How long a marker stays. */
#define HOMECOMING_MARKER_S 86400

enum homecoming_next {
    HOMECOMING_ASK,   /* send `question`; then units of a reply to `verb` are due */
    HOMECOMING_WAIT,  /* more units are due, of a reply to `verb` */
    HOMECOMING_UP,    /* the keys may come home */
    HOMECOMING_AGAIN, /* not yet; `reason` says why */
};

enum homecoming_step {
    HOMECOMING_LOGIN,
    HOMECOMING_VERSION,
    HOMECOMING_STATS,
    HOMECOMING_MARKER,
    HOMECOMING_CLAIM,
    HOMECOMING_FLUSH,
    HOMECOMING_MARK,
};

struct homecoming {
    const char *pool;
    bool flush;       /* on_return: flush */
    uint64_t away_us; /* how long it has been down */
    enum homecoming_step step;
    enum verb verb;
    char question[HOMECOMING_QUESTION_MAX];
    size_t question_len;
    unsigned version;    /* packed; once it has said so */
    uint64_t uptime_s;   /* of the server; UINT64_MAX: not heard */
    uint64_t now_unix_s; /* its clock; 0: not heard */
    bool has_marker, marker_done;
    uint64_t marker_unix_s, marker_unique;
    bool flushed;       /* by this one */
    bool refused;       /* the server does not allow it: its old values come home */
    const char *reason; /* static */
};

/* pool: its name, borrowed. auth: how to log in; NULL: not at all. The first question stands. */
void homecoming_begin(struct homecoming *homecoming, const char *pool, const struct secret *auth, bool flush,
                      uint64_t away_us);
/* The next unit of the server's reply; data: its line and its data block, whole. */
enum homecoming_next homecoming_take(struct homecoming *homecoming, const struct reply_unit *unit, const char *data);

#endif
