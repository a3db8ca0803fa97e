/*
 * Owns the telling of syntax errors: libyaml's problem, its place in the text, and a hint at the mistakes that are made
 * most.
 *
 *     listen:
 *       - [::1]:11211
 *          ^ the problem's place        the line as a whole: an IPv6 address without quotes
 *
 * It does not read YAML.
 */
#include "config/yaml_syntax.h"

#include "config/errors.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

int yaml_mark_line(yaml_mark_t mark)
{
    return mark.line >= INT32_MAX ? INT32_MAX : (int)mark.line + 1;
}

int yaml_mark_column(yaml_mark_t mark)
{
    return mark.column >= INT32_MAX ? INT32_MAX : (int)mark.column + 1;
}

/* Where a byte of the input stands; libyaml gives no more than its offset for bytes that are no text. */
static void place_of(struct slice input, size_t offset, int *line_out, int *column_out)
{
    *line_out = 1;
    *column_out = 1;
    for (size_t i = 0; i < offset && i < input.len; i++) {
        if (input.data[i] == '\n') {
            ++*line_out;
            *column_out = 1;
        } else if (((unsigned char)input.data[i] & 0xc0) != 0x80) {
            ++*column_out;
        }
    }
}

/* The text of a line, without its end. */
static struct slice line_text(struct slice input, int line)
{
    const char *at = input.data, *end = input.data + input.len;
    for (; line > 1 && at < end; line--) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        at = newline == NULL ? end : newline + 1;
    }
    const char *newline = at == end ? NULL : memchr(at, '\n', (size_t)(end - at));
    return slice_make(at, (size_t)((newline == NULL ? end : newline) - at));
}

/* Whether something like an IPv6 address in brackets starts at data: hexadecimal digits and at least two colons. */
static bool is_bracketed_ipv6(const char *data, const char *end)
{
    int colons = 0;
    for (data++; data < end && strchr("0123456789abcdefABCDEF:.", *data) != NULL && *data != '\0'; data++)
        colons += *data == ':';
    return data < end && *data == ']' && colons >= 2;
}

/* What the line suggests that is behind a syntax error: the mistakes that are made most. "" if nothing. */
static const char *syntax_hint(struct slice line)
{
    const char *end = line.data + line.len, *at = line.data;
    while (at < end && *at == ' ')
        at++;
    if (at < end && *at == '\t')
        return "; indent with spaces, not with tabs";
    for (; at < end; at++) {
        bool quoted = at > line.data && (at[-1] == '"' || at[-1] == '\'');
        if (*at == '[' && !quoted && is_bracketed_ipv6(at, end))
            return "; put quotes around an IPv6 address: `\"[::1]:11211\"`";
    }
    return "";
}

void yaml_note_syntax_error(const yaml_parser_t *parser, struct slice input, struct config_errors *errors)
{
    const char *problem = parser->problem != NULL ? parser->problem : "it cannot be read";
    int line = yaml_mark_line(parser->problem_mark), column = yaml_mark_column(parser->problem_mark);
    if (parser->error == YAML_MEMORY_ERROR) {
        config_errors_no_memory(errors);
        return;
    }
    if (parser->error == YAML_READER_ERROR)
        place_of(input, parser->problem_offset, &line, &column);
    const char *hint = syntax_hint(line_text(input, line));
    if (parser->error == YAML_READER_ERROR || parser->context == NULL)
        config_errors_add(errors, line, column, "not valid YAML: %s%s", problem, hint);
    else
        config_errors_add(errors, line, column, "not valid YAML: %s (%s, from line %d, column %d)%s", problem,
                          parser->context, yaml_mark_line(parser->context_mark), yaml_mark_column(parser->context_mark),
                          hint);
}
