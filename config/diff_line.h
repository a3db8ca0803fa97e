/* The line of changes under construction: what the files that write it share (diff.c, diff_route.c). */
#ifndef RINGSIDE_CONFIG_DIFF_LINE_H
#define RINGSIDE_CONFIG_DIFF_LINE_H

#include "base/text.h"

#include <stdbool.h>

struct line {
    struct text *out;
    bool any;
};

/* Before each change: separates it from the one before. */
static inline void line_start_change(struct line *line)
{
    if (line->any)
        text_append_string(line->out, "; ");
    line->any = true;
}

#endif
