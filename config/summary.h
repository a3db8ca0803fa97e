/* A configuration told to people, with every default filled in: what `ringside check` prints. */
#ifndef RINGSIDE_CONFIG_SUMMARY_H
#define RINGSIDE_CONFIG_SUMMARY_H

#include "base/text.h"
#include "config/model.h"

/* Appends some lines, each with its end. Want of memory shows in out->failed. */
void config_summary(const struct config *config, struct text *out);

#endif
