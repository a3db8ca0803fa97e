/*
 * The node that changes the key on the way down: `strip` is taken off its front where it stands there, then `add` is put in front.
 * On the way up the client sees its own key again: that is done by whoever sends the legs, for all changed keys alike.
 */
#include "routing/run.h"

#include <string.h>

/* The changed key in buffer. len above KEY_LEN_MAX: it is too long, and not written. */
static struct slice rewrite(const struct route_node *node, struct slice key, char buffer[KEY_LEN_MAX])
{
    const char *add = node->spec->add != NULL ? node->spec->add : "";
    const char *strip = node->spec->strip != NULL ? node->spec->strip : "";
    size_t add_len = strlen(add), strip_len = strlen(strip);
    if (key.len <= strip_len || memcmp(key.data, strip, strip_len) != 0)
        strip_len = 0;
    size_t len = add_len + key.len - strip_len;
    if (len > KEY_LEN_MAX)
        return slice_make(NULL, len);
    memcpy(buffer, add, add_len);
    memcpy(buffer + add_len, key.data + strip_len, key.len - strip_len);
    return slice_make(buffer, len);
}

static void rewrite_resolve(const struct route_node *node, struct resolve *resolve)
{
    char buffer[KEY_LEN_MAX];
    if (slice_equal(rewrite(node, resolve->key, buffer), resolve->key))
        resolve_child(node, 0, resolve);
    else
        resolve_run(resolve);
}

static void rewrite_start(struct frame *frame)
{
    char *buffer = frame_text(frame, KEY_LEN_MAX);
    if (buffer == NULL) {
        frame_finish_line(frame, OUTCOME_ERROR, SLICE_OF("SERVER_ERROR out of memory\r\n"));
        return;
    }
    struct slice key = rewrite(frame->node, frame_key(frame), buffer);
    if (key.data == NULL) {
        frame_finish_line(
            frame, OUTCOME_INVALID,
            frame_printf(frame, "CLIENT_ERROR route %s: the key with its new prefix is too long", frame->node->path));
        return;
    }
    struct request_change change = frame->change;
    if (!slice_equal(key, frame_key(frame)))
        change.key = key;
    frame_start(frame, 0, &change);
}

static void rewrite_explain(const struct route_node *node, struct explain *explain)
{
    char buffer[KEY_LEN_MAX];
    struct slice before = explain->key, key = rewrite(node, before, buffer);
    if (key.data == NULL) {
        explain_end(explain, "too long with its new prefix");
        return;
    }
    explain->key = key;
    explain_child(node, 0, "rewrite.to", explain);
    explain->key = before;
}

const struct node_methods node_methods_rewrite = {
    .counters = {"requests"},
    .resolve = rewrite_resolve,
    .start = rewrite_start,
    .on_child = frame_pass,
    .explain = rewrite_explain,
};
