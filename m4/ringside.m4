dnl Macros of Ringside's configure.ac.

dnl RS_MISSING(WHAT, DEBIAN-PACKAGE)
dnl Stops with a message that says what to install.
AC_DEFUN([RS_MISSING],
  [AC_MSG_ERROR([$1 is missing; on Debian: apt-get install $2])])

dnl RS_FLAG(VARIABLE, FLAG)
dnl Adds FLAG to VARIABLE when the compiler takes it without a warning.
AC_DEFUN([RS_FLAG], [
  AC_MSG_CHECKING([whether $CC takes $2])
  rs_saved_CFLAGS=$CFLAGS
  CFLAGS="$CFLAGS -Werror $2"
  AC_COMPILE_IFELSE([AC_LANG_SOURCE([[#include <stdio.h>
int main(void);
int main(void) { return puts("ringside") < 0; }]])],
    [AC_MSG_RESULT([yes]); $1="${$1:+$$1 }$2"], [AC_MSG_RESULT([no])])
  CFLAGS=$rs_saved_CFLAGS
])

dnl RS_LINK_FLAG(VARIABLE, FLAG)
dnl The same, for a flag that must also link.
AC_DEFUN([RS_LINK_FLAG], [
  AC_MSG_CHECKING([whether $CC links with $2])
  rs_saved_CFLAGS=$CFLAGS
  CFLAGS="$CFLAGS -Werror $2"
  AC_LINK_IFELSE([AC_LANG_SOURCE([[int main(void);
int main(void) { return 0; }]])],
    [AC_MSG_RESULT([yes]); $1="${$1:+$$1 }$2"], [AC_MSG_RESULT([no])])
  CFLAGS=$rs_saved_CFLAGS
])

dnl RS_HARDEN(NAME, FLAGS, CONTRARY)
dnl Adds FLAGS to RS_CFLAGS (those that begin with -f) and RS_LDFLAGS (the others) when the compiler takes them, and NAME
dnl to hardening, unless the user's flags have one of CONTRARY (patterns, divided by |).
AC_DEFUN([RS_HARDEN], [
  AS_UNSET([rs_harden])
  RS_LINK_FLAG([rs_harden], [$2])
  AS_IF([test -n "$rs_harden"], [
    for rs_word in $rs_harden; do
      AS_CASE([$rs_word], [-f*], [RS_CFLAGS="$RS_CFLAGS $rs_word"], [RS_LDFLAGS="$RS_LDFLAGS $rs_word"])
    done
    rs_taken_back=
    for rs_word in $CC $CFLAGS $LDFLAGS; do
      AS_CASE([$rs_word], [$3], [rs_taken_back=yes])
    done
    AS_IF([test -z "$rs_taken_back"], [hardening="$hardening, $1"])
  ])
])

dnl RS_LIBRARY(PREFIX, PKG-CONFIG-MODULE, DEBIAN-PACKAGE)
dnl Sets PREFIX_CFLAGS, PREFIX_LIBS and PREFIX_VERSION, or stops and names the package.
AC_DEFUN([RS_LIBRARY], [
  PKG_CHECK_MODULES([$1], [$2], [RS_VERSION([$1], [$2])], [RS_MISSING([the library $2], [$3])])
])

dnl RS_TEST_LIBRARY(PREFIX, PKG-CONFIG-MODULE, DEBIAN-PACKAGE)
dnl The same for a library of the tests: a missing one is noted in test_missing.
AC_DEFUN([RS_TEST_LIBRARY], [
  PKG_CHECK_MODULES([$1], [$2], [RS_VERSION([$1], [$2])], [test_missing="$test_missing $3"])
])

AC_DEFUN([RS_VERSION], [
  $1_VERSION=`$PKG_CONFIG --modversion "m4_bpatsubst([$2], [ .*])"`
  AC_SUBST([$1_VERSION])
])
