# shellcheck shell=bash
# Sourced by quickstart and tests/run: which packages of build-aux/packages are missing, and how to install them.

# packages_of FILE SECTION...: the names in those sections.
packages_of()
{
    local file=$1
    shift
    awk -v wanted=" $* " '/^[[:space:]]*(#|$)/ { next }
        /^\[/ { section = $0; gsub(/[][]/, "", section); next }
        index(wanted, " " section " ") { print $1 }' "$file"
}

# packages_missing FILE SECTION...: those that are not installed. On a system without dpkg: none can be told.
packages_missing()
{
    local name
    command -v dpkg-query >/dev/null 2>&1 || return 0
    for name in $(packages_of "$@"); do
        case $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) in
        installed*) ;;
        *) echo "$name" ;;
        esac
    done
}

# packages_install NAME...: by apt-get, as root or through sudo. Fails when neither may be had.
packages_install()
{
    local root=
    [ $# -gt 0 ] || return 0
    command -v apt-get >/dev/null 2>&1 || return 1
    if [ "$(id -u)" != 0 ]; then
        root=sudo
        if [ -t 0 ]; then
            command -v sudo >/dev/null 2>&1 || return 1
        else
            sudo -n true 2>/dev/null || return 1
        fi
    fi
    $root env DEBIAN_FRONTEND=noninteractive apt-get -q update &&
        $root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@" || return 1
    packages_quiet_daemons "$@"
}

# Debian starts memcached and nutcracker when it installs them, on the ports that are wanted here. Those that were
# installed just now, by us, are stopped again: these programs are started by hand.
packages_quiet_daemons()
{
    local name
    [ -d /run/systemd/system ] || return 0
    for name in "$@"; do
        case $name in
        memcached | nutcracker) $root systemctl disable --now "$name" || true ;;
        esac
    done
}
