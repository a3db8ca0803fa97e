/*
 * ringside: the command line. What it can be told stands in tables here, from which --help is made; the man page says
 * the same. Serving is proxy/control.c's, the sub-commands are in commands.c.
 */
#include "admin/commands.h"
#include "admin/options.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct options options;
    int status = options_parse(&options, argc, argv);
    if (status == 0)
        status = options.command->run(&options);
    options_fini(&options);
    return status;
}
