#!/bin/sh
# reproduce.sh: its words, its exit statuses, and what it says to a user who may not install anything. Nothing is
# installed here: the tools of a bare machine are played by small scripts on a PATH of their own.
. tests/tap.sh
unset WERROR

for shell in sh dash bash; do
    command -v $shell >/dev/null || continue
    runs 0 $shell -n reproduce.sh
    check $? "$shell reads it"
done
if command -v shellcheck >/dev/null; then
    runs 0 shellcheck reproduce.sh .ci/run
    check $? 'shellcheck has nothing to say'
fi
runs 0 ./reproduce.sh --help && says '^usage: ./reproduce.sh ' && says './reproduce.sh test '
check $? '--help names both commands'
runs 2 ./reproduce.sh --nonsense && says 'unknown option --nonsense' && says '^usage:'
check $? 'an unknown option: status 2 and the usage'
runs 2 ./reproduce.sh test -x && says 'unknown option -x'
check $? 'also behind a target'

# A bare machine: the essential commands, no compiler, no make.
mkdir -p "$scratch/bin" "$scratch/clone/sub"
cp reproduce.sh "$scratch/clone/"
for tool in sh cat dirname mktemp mkdir rm grep id ls sed env tail sleep getconf flock touch; do
    at=$(command -v "$tool") && ln -s "$at" "$scratch/bin/$tool"
done
play() { # play NAME: the script on standard input takes the place of a command
    rm -f "$scratch/bin/$1" && { echo '#!/bin/sh'; cat; } >"$scratch/bin/$1" && chmod +x "$scratch/bin/$1"
}
bare() { want=$1 && shift && PATH=$scratch/bin runs "$want" "$scratch/clone/reproduce.sh" "$@"; }

bare 1 && says 'neither Debian nor Ubuntu' && says 'gcc libc6-dev make pkg-config liblua5.4-dev'
check $? 'no apt-get: the packages are named'
play apt-get <<'END'
echo "$@" >>"$APT_LOG"
END
export APT_LOG="$scratch/apt"
play id <<'END'
echo 1000
END
bare 1 && says "^su -c 'apt-get update && apt-get install -y --no-install-recommends gcc .* curl ca-certificates .* perl" && [ ! -e "$APT_LOG" ]
check $? 'no root, no sudo: the one line to type, and apt-get is left alone'
play sudo <<'END'
exit 1
END
bare 1 test && says '^sudo apt-get update && sudo apt-get install ' && [ ! -e "$APT_LOG" ]
check $? 'sudo that asks for a password: the line with sudo'
is "$(grep -c '^sudo apt-get' "$scratch/log")" 1 'it is one line'

# The archive cannot be reached.
play id <<'END'
echo 0
END
play dpkg <<'END'
END
play apt-get <<'END'
echo "$@" >>"$APT_LOG"
case $* in *' update'*) exit 0 ;; esac
echo "E: Could not resolve 'archive'" >&2
exit 100
END
bare 1 && says 'the package archive cannot be reached'
check $? 'offline: says so'

# The lock is held at first, then apt installs what is wanted: here, a make that tells what it was asked.
play sleep <<'END'
END
play apt-get <<'END'
echo "$@" >>"$APT_LOG"
case $* in
    *-s*) echo 'Inst make'; exit 0 ;;
    *' install '*) ;;
    *) exit 0 ;;
esac
if [ ! -e "$APT_LOG.held" ]; then
    : >"$APT_LOG.held"
    echo 'E: Could not get lock /var/lib/dpkg/lock-frontend' >&2
    exit 100
fi
echo 'pmstatus:make:50.0:Installing make' >&3
printf '#!/bin/sh\necho "make was asked: $@"\n' >"$BIN/make"
for name in cc pkg-config curl gnuplot pandoc prove ldconfig; do printf '#!/bin/sh\nexit 0\n' >"$BIN/$name"; done
printf '#!/bin/sh\necho "	libopenblas.so.0 (libc6) => x"\n' >"$BIN/ldconfig"
chmod +x "$BIN"/make "$BIN"/cc "$BIN"/pkg-config "$BIN"/curl "$BIN"/gnuplot "$BIN"/pandoc "$BIN"/prove "$BIN"/ldconfig
END
ln -s "$(command -v chmod)" "$scratch/bin/chmod"
BIN=$scratch/bin
export BIN
bare 0 OUT=elsewhere && says '\[2/3\] installing 1[0-9] packages' && says 'waiting for another package manager' &&
    says 'unpack 50 %' && says 'make was asked: -j[0-9]* WERROR= reproduce OUT=elsewhere'
check $? 'a lock is waited for, progress is shown, then make reproduce'
bare 0 test && says 'nothing to install' && says 'make was asked: -j[0-9]* WERROR= test'
check $? 'a second run installs nothing'
cd "$scratch/clone/sub" && bare 0 figures V=1 && says 'make was asked: .* figures V=1'
check $? 'from another folder, another target'
play make <<'END'
exit 7
END
bare 7
check $? "make's exit status is handed on"
: >"$scratch/clone/build/installing"
rm -f "$APT_LOG"
play dpkg <<'END'
[ "$1" = --audit ] && echo 'gcc is only half installed'
echo "dpkg $*" >>"$APT_LOG"
END
bare 7 && says 'an earlier installation was cut off' && grep -q 'dpkg .*--configure -a' "$APT_LOG" && grep -q fix-broken "$APT_LOG"
check $? 'an installation that was cut off is finished first'
[ ! -e "$scratch/clone/build/installing" ]
check $? 'and no more the next time'
done_testing
