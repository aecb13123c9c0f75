#!/bin/sh
# Sets a machine up and reproduces everything, on Debian or Ubuntu with nothing installed, and elsewhere when the tools
# are there already.
#
# How it works. Each tool and library is looked for first; only what is missing is installed, by apt-get, and only when
# this user may (root, or sudo without a password). Otherwise the one line to type is printed. Then make takes over.
# Every step can be cut off at any moment (Ctrl-C, kill -9, power) and started again: dpkg is brought back to order
# before anything is installed, make renames finished files into place, and a trace is only ever appended to.
# One run at a time works in this folder; a second one waits. A package manager that someone else is using is waited
# for as well, up to five minutes.
set -u
LC_ALL=C.UTF-8
export LC_ALL

usage() {
    cat <<'END'
usage: ./reproduce.sh                     install what is missing, then make reproduce
       ./reproduce.sh test                install what is missing, then make test
       ./reproduce.sh install             install what is missing, and no more
       ./reproduce.sh TARGET... [VAR=x]   install what is missing, then make TARGET... (make help lists them)
       ./reproduce.sh --help              this text

PROFILE=paper runs the experiments at full size, OUT=folder says where the results go. CUDA is not installed: where the
driver and the toolkit are, they are used (README.md, "With a GPU").
END
}

fail() {
    printf 'reproduce.sh: %s\n' "$*" >&2
    exit 1
}

# --- what was asked for ---

for argument in "$@"; do
    case $argument in
        -h | --help) usage; exit 0 ;;
        -*) printf 'reproduce.sh: unknown option %s\n\n' "$argument" >&2; usage >&2; exit 2 ;;
    esac
done
goal=reproduce
for argument in "$@"; do
    case $argument in
        *=*) ;;
        *) goal=$argument; break ;;
    esac
done
case $goal in
    install) steps=2 ;;
    *) steps=3 ;;
esac
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) && cd "$here" || exit 1

step() { printf '[%s/%s] %s\n' "$1" "$steps" "$2"; }

# --- what is missing: names of Debian packages, in $missing ---

want() { missing="$missing $*"; }

compiles() {
    printf '#include <stdio.h>\nint main(void) { return puts("") < 0; }\n' | "${CC:-cc}" -x c -o "$scratch/probe" - 2>/dev/null
}

has_shared() { # a library that is loaded at run time, by file name
    { /sbin/ldconfig -p || ldconfig -p; } 2>/dev/null | grep -q "^[[:space:]]*$1 " && return 0
    for file in /usr/lib/"$1" /usr/lib/*/"$1" /usr/lib64/"$1" /usr/local/lib/"$1"; do
        [ -e "$file" ] && return 0
    done
    return 1
}

look() {
    missing=
    compiles || want gcc libc6-dev
    command -v make >/dev/null || want make
    command -v pkg-config >/dev/null || want pkg-config
    for pair in lua5.4=liblua5.4-dev jansson=libjansson-dev libcrypto=libssl-dev yaml-0.1=libyaml-dev zlib=zlib1g-dev; do
        pkg-config --exists "${pair%%=*}" 2>/dev/null || want "${pair#*=}"
    done
    command -v curl >/dev/null || want curl ca-certificates
    command -v gnuplot >/dev/null || want gnuplot-nox
    command -v pandoc >/dev/null || want pandoc
    command -v prove >/dev/null || want perl
    has_shared libopenblas.so.0 || want libopenblas0-pthread
    missing=${missing# }
}

# --- apt ---

as_root() {
    if [ "$(id -u)" = 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo -n env LC_ALL="$LC_ALL" DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

may_install() { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }

# A line that redraws itself on a terminal; elsewhere one line for each quarter done. Reads apt's status lines
# (dlstatus and pmstatus), keeps all other lines in the log, and returns the status on the line `exit:N`.
show_progress() {
    status=1
    shown=
    while IFS= read -r line; do
        case $line in
            dlstatus:*) verb=download; part=${line#*:*:} ;;
            pmstatus:*) verb=unpack; part=${line#*:*:} ;;
            exit:*) status=${line#exit:}; continue ;;
            *) printf '%s\n' "$line" >>"$log"; continue ;;
        esac
        part=${part%%[.:]*}
        if [ -t 1 ]; then
            printf '\r      %-8s %3s %%' "$verb" "$part"
        else
            quarter="$verb $((part / 25 * 25))"
            [ "$quarter" = "$shown" ] || printf '      %s %%\n' "$quarter"
            shown=$quarter
        fi
    done
    [ -t 1 ] && printf '\r                        \r'
    return "$status"
}

# Runs a package command as root; while another process holds the package manager's lock, tries again for five minutes.
# apt's status lines come on a descriptor of their own (apt closes it to the scripts of packages, which need their
# standard output), opened behind sudo, which passes on no more than three.
patiently() {
    tries=0
    while :; do
        : >"$log"
        { as_root sh -c 'exec "$@" 3>&1' sh "$@" 2>>"$log" </dev/null; echo "exit:$?"; } | show_progress && return 0
        grep -q -e 'Could not get lock' -e 'lock was locked' -e 'Unable to lock' -e 'Unable to acquire' "$log" || return 1
        [ "$tries" = 0 ] && echo '      waiting for another package manager to finish (up to 5 minutes)'
        tries=$((tries + 1))
        [ "$tries" -gt 60 ] && return 1
        sleep 5
    done
}

apt_get() {
    patiently apt-get -y -q -o DPkg::Lock::Timeout=300 -o APT::Status-Fd=3 -o Dpkg::Use-Pty=0 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o Acquire::Retries=2 "$@"
}

# Puts right what a run that was cut off left: packages unpacked and not set up, or half unpacked.
repair() {
    if [ -n "$(dpkg --audit 2>/dev/null)" ] || [ -n "$(ls /var/lib/dpkg/updates 2>/dev/null)" ]; then
        echo '      an earlier installation was cut off: finishing it'
        patiently dpkg --force-confdef --force-confold --configure -a
        apt_get --no-install-recommends --fix-broken install
    fi
}

# $missing is a list of words, split on purpose where it is used.
# shellcheck disable=SC2086
plan() { apt-get -s -q --no-install-recommends install $missing 2>/dev/null | grep -c '^Inst'; }

# shellcheck disable=SC2086
install() { apt_get --no-install-recommends install $missing; }

explain() {
    echo >&2
    tail -n 15 "$log" >&2
    if grep -q -e 'Could not resolve' -e 'Temporary failure' -e 'Could not connect' -e 'Network is unreachable' \
        -e 'Unable to fetch' -e 'Failed to fetch' -e 'Unable to locate' -e 'no installation candidate' "$log"; then
        fail "the package archive cannot be reached, or lacks a package. Check the network and /etc/apt, then run
the same command again. Without a network, install these packages by other means: $missing"
    fi
    fail "apt-get failed; its last lines stand above. Put that right, then run the same command again."
}

by_hand() {
    line="apt-get update && apt-get install -y --no-install-recommends $missing"
    if ! command -v apt-get >/dev/null; then
        fail "this is neither Debian nor Ubuntu, and some tools are missing. Install what these Debian packages
hold, with this system's package manager, then run the same command again:
    $missing"
    elif command -v sudo >/dev/null; then
        line="sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing"
    else
        line="su -c '$line'"
    fi
    printf 'Some packages are missing, and this user may not install them. Type this line, then the same command again:\n\n' >&2
    printf '%s\n' "$line" >&2
    exit 1
}

get_missing() {
    if ! command -v apt-get >/dev/null || ! may_install; then
        [ -n "$missing" ] && by_hand
        step 2 'nothing to install'
        return 0
    fi
    : >build/installing
    repair
    look # the repair may have brought all of it
    if [ -z "$missing" ]; then
        rm -f build/installing
        step 2 'nothing more to install'
        return 0
    fi
    count=$(plan)
    fresh=
    if [ "$count" = 0 ]; then
        echo '      reading the list of packages (about 10 seconds)'
        apt_get update || explain
        fresh=yes
        count=$(plan)
    fi
    # shellcheck disable=SC2086
    set -- $missing
    step 2 "installing $# packages, with what they need $count (about $((2 + count / 120)) minutes)"
    # A list of packages that is too old names files that the archive no longer has: read it anew, once.
    if ! install; then
        if [ -n "$fresh" ] || ! apt_get update || ! install; then explain; fi
    fi
    rm -f build/installing
    look
    [ -z "$missing" ] || fail "installed, and still not found: $missing. Is PATH or PKG_CONFIG_PATH set in an odd way?"
}

# --- the way ---

scratch=$(mktemp -d) || exit 1
log=$scratch/apt.log
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mkdir -p build || exit 1
if command -v flock >/dev/null; then
    exec 9>build/lock
    flock -n 9 || {
        echo 'another run is at work in this folder: waiting for it to end'
        flock 9
    }
fi

step 1 'looking for what is missing (a second)'
look
# The mark stays behind when an installation was cut off; then dpkg may want repair even with every tool in place.
if [ -n "$missing" ] || [ -e build/installing ]; then
    get_missing 9>&-
else
    step 2 'nothing to install'
fi
[ "$goal" = install ] && exit 0

# With variables alone, the goal is still to be named.
if [ "$goal" = reproduce ]; then
    case " $* " in
        *' reproduce '*) ;;
        *) set -- reproduce "$@" ;;
    esac
fi
case $goal in
    reproduce) time='every experiment: about 12 minutes; a second run less than a minute' ;;
    test) time='the quick tests: about 5 minutes' ;;
    *) time= ;;
esac
step 3 "make $*${time:+ ($time)}"
make -j"$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)" WERROR="${WERROR-}" "$@"
