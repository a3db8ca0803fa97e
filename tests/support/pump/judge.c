/*
 * The judge: is this line, with its data block, a lawful answer to the oldest request that has none?
 *
 *     input:  VALUE k1 1 30 | data CRLF | VALUE k4 ... | data CRLF | END | STORED | ...
 *             `---- UNIT: k1 is passed -'   `- k9 was a miss         DONE  DONE
 *
 * It only reads; connections and requests are the slot's business.
 */
#include "pump.h"

#include <inttypes.h>
#include <string.h>

#define LINE_MAX_BYTES 4096
#define COMPLAINTS_MAX 20
#define ERROR_KINDS_MAX 24

static struct {
    char text[160];
    uint64_t count;
} error_kinds[ERROR_KINDS_MAX];

void print_escaped(FILE *out, const char *data, size_t len, size_t limit)
{
    for (size_t i = 0; i < len && i < limit; i++) {
        if (data[i] >= 32 && data[i] < 127 && data[i] != '"' && data[i] != '\\')
            fputc(data[i], out);
        else
            fprintf(out, "\\\\x%02x", (unsigned char)data[i]);
    }
}

void print_error_kinds(FILE *out)
{
    fputc('{', out);
    for (size_t i = 0; i < ERROR_KINDS_MAX && error_kinds[i].count; i++) {
        fputs(i ? ", \"" : "\"", out);
        print_escaped(out, error_kinds[i].text, strlen(error_kinds[i].text), sizeof(error_kinds[i].text));
        fprintf(out, "\": %" PRIu64, error_kinds[i].count);
    }
    fputc('}', out);
}

static void complain(const struct slot *slot, const char *what, const char *data, size_t len)
{
    const struct op *op = slot->op_count ? &slot->ops[slot->op_head] : NULL;
    const char *name = !op ? "no request" : op->kind < KIND_COUNT ? kind_names[op->kind] : "token";
    if (++total.wrong > COMPLAINTS_MAX)
        return;
    fprintf(stderr, "pump: slot %" PRIu32 ".%" PRIu32 ", %s: %s: ", slot->index, slot->generation, name, what);
    print_escaped(stderr, data, len, 120);
    if (op && op->keys_passed < op->keys) {
        const struct expect *expect = next_expect(slot);
        fprintf(stderr, " (next key %" PRIu32 ", held %" PRIu32 ", highest %" PRIu32 ")", expect->key, expect->seq,
                slot->keys[expect->key].last);
    }
    fputc('\n', stderr);
}

static void count_error(const char *line, size_t len)
{
    size_t i;
    total.errors++;
    if (len >= sizeof(error_kinds[0].text))
        len = sizeof(error_kinds[0].text) - 1;
    for (i = 0; i < ERROR_KINDS_MAX && error_kinds[i].count; i++)
        if (strlen(error_kinds[i].text) == len && !memcmp(error_kinds[i].text, line, len))
            break;
    if (i == ERROR_KINDS_MAX)
        return;
    memcpy(error_kinds[i].text, line, len);
    error_kinds[i].count++;
}

/* ---- the judgement ---- */

/* The first line of the input. */
struct line {
    const char *text;
    size_t len;  /* without CRLF */
    size_t rest; /* bytes in the buffer after it */
};

static bool line_is(const struct line *line, const char *text)
{
    return line->len == strlen(text) && !memcmp(line->text, text, line->len);
}

static bool line_starts(const struct line *line, const char *text)
{
    return line->len >= strlen(text) && !memcmp(line->text, text, strlen(text));
}

static bool miss_is_right(struct slot *slot, struct op *op)
{
    struct expect *expect = next_expect(slot);
    bool right = op->kind == KIND_TOKEN_GET ? false : opt.loose || expect->seq == 0;
    total.misses++;
    pass_expect(slot, op);
    return right;
}

/* The number in `KEY SEQ filler` decides which value this claims to be; then every byte is compared. */
static bool hit_is_right(struct slot *slot, struct op *op, const char *data, size_t len, uint64_t flags)
{
    struct expect *expect = next_expect(slot);
    char key[KEY_ROOM];
    size_t key_len = (size_t)(put_key(key, slot, expect->key) - key);
    uint64_t seq = 0;
    for (size_t i = key_len + 1; i < len && data[i] >= '0' && data[i] <= '9' && seq <= UINT32_MAX; i++)
        seq = seq * 10 + (uint64_t)(data[i] - '0');
    bool lenient = opt.loose && op->kind != KIND_TOKEN_GET;
    bool known = lenient ? seq >= 1 && seq <= slot->keys[expect->key].last : seq == expect->seq && seq;
    total.values++;
    return known && flags == (seq & 0xffff) && value_is_right(data, len, slot, expect->key, (uint32_t)seq);
}

static enum verdict judge_body(struct slot *slot, struct op *op, const struct line *line, uint64_t len, uint64_t flags)
{
    const char *body = line->text + line->len + 2;
    if (len > opt.value_max) {
        complain(slot, "impossible length", line->text, line->len);
        return VERDICT_WRONG;
    }
    if (line->rest < len + 2)
        return VERDICT_MORE;
    if (memcmp(body + len, "\r\n", 2) || !hit_is_right(slot, op, body, len, flags)) {
        complain(slot, "wrong value", line->text, line->len + 2 + len);
        return VERDICT_WRONG;
    }
    pass_expect(slot, op);
    slot->in.start += line->len + 2 + len + 2;
    return op->kind == KIND_MG ? VERDICT_DONE : VERDICT_UNIT;
}

/* Skips the expectations that the server passed over: misses. false: none is for this key. */
static bool find_expect(struct slot *slot, struct op *op, const char *key, size_t len)
{
    while (op->keys_passed < op->keys) {
        char wanted[KEY_ROOM];
        size_t wanted_len = (size_t)(put_key(wanted, slot, next_expect(slot)->key) - wanted);
        if (wanted_len == len && !memcmp(wanted, key, len))
            return true;
        if (!miss_is_right(slot, op))
            return false;
    }
    return false;
}

/* Up to `count` numbers after a place in the line, each led by one space. false: something else stands there. */
static bool read_numbers(const char *at, const char *end, uint64_t *numbers, int count)
{
    for (int i = 0; i < count; i++) {
        if (at >= end || *at++ != ' ' || at >= end || *at < '0' || *at > '9')
            return false;
        for (numbers[i] = 0; at < end && *at >= '0' && *at <= '9'; at++)
            numbers[i] = numbers[i] * 10 + (uint64_t)(*at - '0');
    }
    return at == end;
}

static enum verdict judge_value(struct slot *slot, struct op *op, const struct line *line)
{
    const char *key = line->text + 6;
    const char *end = line->text + line->len;
    const char *key_end = memchr(key, ' ', (size_t)(end - key));
    uint64_t numbers[2];
    if (!key_end || !read_numbers(key_end, end, numbers, 2)) {
        complain(slot, "bad VALUE line", line->text, line->len);
        return VERDICT_WRONG;
    }
    if (!find_expect(slot, op, key, (size_t)(key_end - key))) {
        complain(slot, "a key that was not asked for, or a false miss before it", line->text, line->len);
        return VERDICT_WRONG;
    }
    return judge_body(slot, op, line, numbers[1], numbers[0]);
}

static enum verdict judge_retrieval(struct slot *slot, struct op *op, const struct line *line)
{
    if (line_starts(line, "VALUE "))
        return judge_value(slot, op, line);
    if (!line_is(line, "END")) {
        complain(slot, "not an answer to a get", line->text, line->len);
        return VERDICT_WRONG;
    }
    bool right = true;
    while (op->keys_passed < op->keys)
        right &= miss_is_right(slot, op);
    if (!right)
        complain(slot, "a miss where a value was stored", line->text, line->len);
    return right ? VERDICT_DONE : VERDICT_WRONG;
}

/* The flags of an mg reply as they were asked for: ` kKEY fFLAGS OOPAQUE`; a miss has no f. */
static bool read_mg_flags(struct slot *slot, struct op *op, const char *at, const char *end, uint64_t *flags_out)
{
    char wanted[KEY_ROOM + 8], opaque[32];
    size_t key_len = (size_t)(put_key(PUT(wanted, " k"), slot, next_expect(slot)->key) - wanted);
    size_t opaque_len = (size_t)(put_number(PUT(opaque, " O"), op->opaque) - opaque);
    if ((size_t)(end - at) < key_len + opaque_len || memcmp(at, wanted, key_len) ||
        memcmp(end - opaque_len, opaque, opaque_len))
        return false;
    at += key_len;
    end -= opaque_len;
    if (!flags_out)
        return at == end;
    if (end - at < 3 || at[0] != ' ' || at[1] != 'f')
        return false;
    for (at += 2, *flags_out = 0; at < end && *at >= '0' && *at <= '9'; at++)
        *flags_out = *flags_out * 10 + (uint64_t)(*at - '0');
    return at == end;
}

static enum verdict judge_mg_miss(struct slot *slot, struct op *op, const struct line *line)
{
    const char *end = line->text + line->len;
    bool lawful = line->len == 2 || read_mg_flags(slot, op, line->text + 2, end, NULL);
    if (lawful && miss_is_right(slot, op))
        return VERDICT_DONE;
    complain(slot, lawful ? "a miss where a value was stored" : "not a miss of this mg", line->text, line->len);
    return VERDICT_WRONG;
}

static enum verdict judge_mg(struct slot *slot, struct op *op, const struct line *line)
{
    const char *end = line->text + line->len;
    uint64_t len, flags;
    if (line_starts(line, "EN"))
        return judge_mg_miss(slot, op, line);
    const char *tail = line_starts(line, "VA ") ? memchr(line->text + 3, ' ', line->len - 3) : NULL;
    if (!tail || !read_numbers(line->text + 2, tail, &len, 1) || !read_mg_flags(slot, op, tail, end, &flags)) {
        complain(slot, "not an answer to this mg", line->text, line->len);
        return VERDICT_WRONG;
    }
    return judge_body(slot, op, line, len, flags);
}

static bool word_is_right(struct slot *slot, struct op *op, const struct line *line)
{
    char wanted[KEY_ROOM + 32];
    bool present = op->keys && next_expect(slot)->seq != 0;
    switch (op->kind) {
    case KIND_SET:
    case KIND_TOKEN_SET:
        return line_is(line, "STORED");
    case KIND_DELETE:
        return opt.loose ? line_is(line, "DELETED") || line_is(line, "NOT_FOUND")
                         : line_is(line, present ? "DELETED" : "NOT_FOUND");
    case KIND_TOUCH:
        return opt.loose ? line_is(line, "TOUCHED") || line_is(line, "NOT_FOUND")
                         : line_is(line, present ? "TOUCHED" : "NOT_FOUND");
    case KIND_VERSION:
        return line_starts(line, "VERSION ") && line->len > 12;
    default:
        break;
    }
    char *end = put_number(PUT(wanted, "HD O"), op->opaque);
    end = put_key(PUT(end, " k"), slot, next_expect(slot)->key);
    return line->len == (size_t)(end - wanted) && !memcmp(line->text, wanted, line->len);
}

static enum verdict judge_word(struct slot *slot, struct op *op, const struct line *line)
{
    if (!word_is_right(slot, op, line)) {
        complain(slot, "not an answer to this request", line->text, line->len);
        return VERDICT_WRONG;
    }
    total.stored += op->kind == KIND_SET || op->kind == KIND_MS;
    return VERDICT_DONE;
}

static enum verdict judge_line(struct slot *slot, struct op *op, const struct line *line)
{
    if (opt.errors && op->kind < KIND_COUNT && line_starts(line, "SERVER_ERROR ")) {
        count_error(line->text, line->len);
        return VERDICT_DONE;
    }
    if (op->kind == KIND_GET || op->kind == KIND_MULTI || op->kind == KIND_TOKEN_GET)
        return judge_retrieval(slot, op, line);
    return op->kind == KIND_MG ? judge_mg(slot, op, line) : judge_word(slot, op, line);
}

enum verdict judge_next(struct slot *slot)
{
    const char *data = slot->in.data + slot->in.start;
    size_t len = slot->in.end - slot->in.start;
    const char *end = len ? memchr(data, '\n', len < LINE_MAX_BYTES ? len : LINE_MAX_BYTES) : NULL;
    if (!end && len < LINE_MAX_BYTES)
        return VERDICT_MORE;
    if (!slot->op_count || !end || end == data || end[-1] != '\r') {
        complain(slot, "bytes that are no answer", data, len);
        return VERDICT_WRONG;
    }
    struct op *op = &slot->ops[slot->op_head];
    struct line line = {data, (size_t)(end - data) - 1, len - (size_t)(end - data) - 1};
    size_t before = slot->in.start;
    enum verdict verdict = judge_line(slot, op, &line);
    if (verdict == VERDICT_DONE) {
        if (slot->in.start == before) /* no data block was taken */
            slot->in.start += line.len + 2;
        finish_op(slot, op);
    }
    return verdict;
}
