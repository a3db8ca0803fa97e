/* What libyaml refuses, told with its place. */
#ifndef RINGSIDE_CONFIG_YAML_SYNTAX_H
#define RINGSIDE_CONFIG_YAML_SYNTAX_H

#include "base/slice.h"
#include "config/model.h"

#include <yaml.h>

/* libyaml counts lines and columns from 0, we from 1. */
int yaml_mark_line(yaml_mark_t mark);
int yaml_mark_column(yaml_mark_t mark);

/* Adds the error that stopped the parser while it read input. */
void yaml_note_syntax_error(const yaml_parser_t *parser, struct slice input, struct config_errors *errors);

#endif
