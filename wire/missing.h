/* What a server answers when there is no such item, in the words of the command. */
#ifndef RINGSIDE_WIRE_MISSING_H
#define RINGSIDE_WIRE_MISSING_H

#include "wire/request.h"

#include <stddef.h>

/* Longest line that request_print_missing writes. */
#define REQUEST_MISSING_MAX (KEY_LEN_MAX + 64)

/*
 * Writes the reply to a READY request for one key whose item is not there: END, EN, NOT_FOUND, NF; and NOT_STORED or NS to
 * what would have stored one. Flags that a meta command wants echoed are. Returns the count with CRLF. capacity: at least
 * REQUEST_MISSING_MAX.
 */
size_t request_print_missing(const struct request *request, char *buffer, size_t capacity);

#endif
