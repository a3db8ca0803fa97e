/*
 * The control thread: signals, configuration, health's probes. It owns the workers, and speaks to them by mail.
 *
 *      SIGHUP  -> load -> build -> open new listeners -> publish to every worker
 *                  \______\________\-> log, and go on as before
 *      SIGTERM, SIGINT -> stop accepting -> finish what is under way -> exit; a second one exits at once
 */
#ifndef RINGSIDE_PROXY_CONTROL_H
#define RINGSIDE_PROXY_CONTROL_H

#include "config/model.h"

/* Gives a fresh configuration, or NULL with its errors. Called again at each reload. */
typedef struct config *control_load_fn(void *context, struct config_errors *errors_out);

/*
 * Serves with *config (taken over) until a signal ends it. The exit status: 0 done, 3 the system refused. load may be
 * NULL: then SIGHUP only says that there is nothing to reload.
 */
int control_run(struct config **config, control_load_fn *load, void *load_context);

#endif
