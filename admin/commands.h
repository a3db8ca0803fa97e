/* The sub-commands. Each takes the parsed command line and gives an exit status (admin/options.h). */
#ifndef RINGSIDE_ADMIN_COMMANDS_H
#define RINGSIDE_ADMIN_COMMANDS_H

struct options;

int commands_serve(const struct options *options);
int commands_check(const struct options *options);
int commands_route(const struct options *options);
int commands_plan(const struct options *options);
int commands_passwd(const struct options *options);

#endif
