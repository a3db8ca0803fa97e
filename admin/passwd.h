/* Adds users to a file, and changes their passwords: `ringside passwd`. */
#ifndef RINGSIDE_ADMIN_PASSWD_H
#define RINGSIDE_ADMIN_PASSWD_H

/*
 * Asks for the password (twice on a terminal; else standard input's first line), and puts the user into the file, which
 * may not be there yet. Prints what came of it. An exit status (admin/options.h).
 */
int passwd_run(const char *path, const char *name);

#endif
