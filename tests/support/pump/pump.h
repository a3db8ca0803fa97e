/*
 * pump: a load client that believes nothing. Many connections in one thread, each pipelining a random mix of commands;
 * every reply is checked: it must be a lawful answer to the oldest request without one, and a value must be the very
 * bytes that were stored under that key.
 *
 * A slot is one connection after another; its keys are its own, so what a key may hold is always known:
 *
 *     CONNECTING --> RUNNING --> DRAINING --> TOKEN --> DONE        at the end of the run
 *         ^             |            |
 *         +---- rude ---+-- polite --+                              with --lifetime: a new connection, new keys
 *
 *     ops:      [ get k7 | set k3 | mget k1 k9 k4      | ... ]  ring, oldest first; one for each reply that is due
 *     expects:  [ k7@5   | k3@9   | k1@2 | k9@8 | k4@0 | ... ]  ring, the keys of the ops and the number that each held
 *
 * A value is `KEY SEQ ` and filler made from both, laced with line ends and END. Without --loose the exact number is
 * demanded; with it any that was ever sent for that key, or a miss. The TOKEN step stores and reads one value on each
 * connection at the end and is never lenient: it proves that the connection is still in step.
 *
 * It does not measure latency, and it does not speak TLS.
 */
#ifndef RINGSIDE_TESTS_PUMP_H
#define RINGSIDE_TESTS_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

enum kind {
    KIND_GET,
    KIND_MULTI,
    KIND_SET,
    KIND_QUIET_SET,
    KIND_DELETE,
    KIND_TOUCH,
    KIND_MG,
    KIND_MS,
    KIND_VERSION,
    KIND_COUNT,
    KIND_TOKEN_SET = KIND_COUNT,
    KIND_TOKEN_GET,
};

extern const char *const kind_names[KIND_COUNT];

enum slot_state { SLOT_CONNECTING, SLOT_RUNNING, SLOT_DRAINING, SLOT_TOKEN, SLOT_DONE };

struct expect {
    uint32_t key;
    uint32_t seq; /* what the key held when the request was made; 0: nothing */
};

struct op {
    enum kind kind;
    uint32_t opaque;
    uint32_t keys;        /* entries in the ring of expectations */
    uint32_t keys_passed; /* of them, already answered or skipped */
};

struct key_state {
    uint32_t seq;  /* what it holds now, if all went well; 0: nothing */
    uint32_t last; /* the highest number ever sent */
};

struct buffer {
    char *data;
    size_t start, end, capacity;
};

struct slot {
    uint32_t index, generation;
    int fd;
    enum slot_state state;
    bool wants_write;
    uint64_t sent_in_life; /* requests on this connection, of `life` in all */
    uint64_t life;
    int64_t progress_ms;    /* when a byte came last */
    struct key_state *keys; /* opt.keys, and one more for the token */
    struct op *ops;
    struct expect *expects;
    size_t op_head, op_count, expect_head, expect_count;
    struct buffer out, in;
};

struct options {
    struct sockaddr_storage address;
    socklen_t address_len;
    uint32_t connections, depth, keys, multi;
    uint64_t requests, seconds, lifetime, seed;
    uint32_t rude_percent, stall_s, report_ms;
    size_t value_min, value_max;
    uint32_t weights[KIND_COUNT];
    uint32_t weight_sum;
    const char *prefix;
    bool loose, errors, closes;
};

struct totals {
    uint64_t requests, replies, values, misses, stored, errors, connects, closed, wrong, hung, tokens;
    uint64_t sent_bytes, received_bytes;
};

extern struct options opt;
extern struct totals total;
extern int64_t now_ms;
extern bool ending; /* no new requests: drain, prove the step, leave */

/* value.c: memory, text, random numbers, keys and values */

/* Ends the process with status 2. */
_Noreturn void die(const char *what);
/* calloc that never fails. */
void *grab(size_t count, size_t size);
uint64_t next_random(uint64_t *state);
void random_seed(uint64_t seed);
/* 0 .. bound - 1 */
uint32_t below(uint32_t bound);
/* Room for so many bytes at the end of the buffer; pointers into it are void afterwards. */
char *buffer_reserve(struct buffer *buffer, size_t bytes);
/* The put_ functions write at a place and return the place after it. */
char *put_text(char *at, const char *text, size_t len);
#define PUT(at, literal) put_text(at, literal, sizeof(literal) - 1)
char *put_number(char *at, uint64_t number);
#define KEY_ROOM 256
char *put_key(char *at, const struct slot *slot, uint32_t key);
size_t value_len(const struct slot *slot, uint32_t key, uint32_t seq);
char *put_value(char *at, const struct slot *slot, uint32_t key, uint32_t seq);
bool value_is_right(const char *data, size_t len, const struct slot *slot, uint32_t key, uint32_t seq);

/* judge.c: the replies */

enum verdict {
    VERDICT_MORE,  /* bytes are missing */
    VERDICT_UNIT,  /* a value was taken off; the reply goes on */
    VERDICT_DONE,  /* the oldest request is answered */
    VERDICT_WRONG, /* told on standard error; the connection is of no use any more */
};

/* Takes one line, or a line with its data block, off the slot's input, which is not empty. */
enum verdict judge_next(struct slot *slot);
/* Bytes as they can stand in a JSON string. */
void print_escaped(FILE *out, const char *data, size_t len, size_t limit);
/* The distinct SERVER_ERROR lines with their counts, as a JSON object. */
void print_error_kinds(FILE *out);

/* slot.c: requests and connections */

size_t op_ring(void);
size_t expect_ring(void);
struct expect *next_expect(const struct slot *slot);
void pass_expect(struct slot *slot, struct op *op);
/* Answered: the op and what is left of its expectations leave the rings. */
void finish_op(struct slot *slot, struct op *op);
void slot_open(struct slot *slot, int epoll_fd);
void slot_close(struct slot *slot, bool reset);
void slot_event(struct slot *slot, uint32_t events);
/* Sends what may be sent, and goes on to the next state when nothing is due any more. */
void slot_work(struct slot *slot);

#endif
