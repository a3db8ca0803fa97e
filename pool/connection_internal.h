/* What the parts of a connection share. For connection*.c alone; connection.h is the door. */
#ifndef RINGSIDE_POOL_CONNECTION_INTERNAL_H
#define RINGSIDE_POOL_CONNECTION_INTERNAL_H

#include "pool/connection.h"

#include <stdbool.h>
#include <stddef.h>

static inline struct loop *connection_loop(const struct connection *connection)
{
    return connection->upstream->context->loop;
}

static inline struct memory *connection_memory(const struct connection *connection)
{
    return connection->upstream->context->memory;
}

/* ---- connection.c ---- */

/* A call that is in no order yet. NULL when memory is out. */
struct call *connection_make_call(struct connection *connection, enum verb verb, const struct call_methods *methods,
                                  void *owner);
/* Puts it last. */
void connection_enqueue(struct connection *connection, struct call *call);
/* Sets the timer to when the connection next needs looking at. */
void connection_set_timer(struct connection *connection);
void connection_wake_waiters(struct connection *connection);

static inline void connection_release_call(struct connection *connection, struct call *call)
{
    connection->call_count--;
    counter_sub(&connection->upstream->stats->queue, 1);
    slab_free(&connection->upstream->context->calls, call);
}

/* Ends the first one. */
static inline void connection_dequeue(struct connection *connection)
{
    struct call *call = connection->first;
    connection->first = call->next;
    if (connection->first == NULL)
        connection->last = NULL;
    if (connection->first_waiting == call)
        connection->first_waiting = call->next;
    if (connection->first_unsent == call)
        connection->first_unsent = call->next;
    connection_release_call(connection, call);
}

/* ---- connection_open.c ---- */

/* Opens a closed one. What goes wrong is told at the turn's end. */
void connection_open(struct connection *connection);
void connection_on_ready(struct transport *transport, unsigned ready);

/* ---- connection_greeting.c ---- */

/* Of the connection's own calls. */
extern const struct call_methods connection_greeting;
/* Appends what goes before all requests. false: memory is out, and nothing is appended. */
bool connection_greet(struct connection *connection);
/* What a reply that was not taken is to those whose requests wait behind it. */
const char *connection_rejection(const struct call *call);

/* ---- connection_write.c ---- */

/* Writes what can be written now: the connection's `flush`. */
void connection_flush(struct loop_task *task);

/* ---- connection_read.c ---- */

/* Reads once, and hands on what came. */
void connection_read(struct connection *connection);
/* Closes it if it is to be closed and has nothing under way. */
void connection_retire_if_idle(struct connection *connection);
/* What the transport knows of its failure, in a place that outlives it; else the given text. */
const char *connection_keep_problem(struct connection *connection, const char *text);

#endif
