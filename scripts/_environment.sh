# Sourced by the scripts, from the root of the repository.

say() { printf '== %s\n' "$*"; }
fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# For a script without arguments, called as no_arguments "$@": --help prints its comment, all else is refused.
no_arguments() {
    [ $# -gt 0 ] || return 0
    [ "$1" = --help ] || [ "$1" = -h ] || fail "takes no arguments: $*"
    sed -n '2,/^[^#]/s/^# //p' "scripts/$(basename "$0")"
    exit 0
}

find_python() {
    local name
    for name in python3.11 python3 python; do
        if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    fail "Python 3.11 or newer is needed; on Debian 12: apt-get install python3 python3-venv"
}

# Make .venv hold exactly what the hashed file $1 names; quick when it already does.
ensure_environment() {
    local requirements=$1 python stamp=.venv/installed-$1 wanted
    if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
        python=$(find_python) || exit 1
        say "Creating .venv with $("$python" --version)"
        "$python" -m venv .venv || fail "could not create .venv; on Debian 12: apt-get install python3-venv"
    fi
    wanted=$(sha256sum <"$requirements")
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    say "Installing $requirements"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes \
        --requirement "$requirements" || fail "could not install $requirements"
    echo "$wanted" >"$stamp"
}
