# Sourced by the other scripts: a virtual environment in .venv, made by the newest suitable Python.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then printf '\033[1m==> %s\033[0m\n' "$*" >&2; else echo "==> $*" >&2; fi; }

find_python() {
    for name in "${PYTHON:-}" python3.14 python3.13 python3.12 python3.11 python3 python; do
        if [ -n "$name" ] && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "claude-force needs Python 3.11 or newer; name one with PYTHON=/path/to/python3" >&2
    exit 1
}

# Tried three times: an index or a proxy that fails for a moment fails no check. Without the build backend's remark on
# editable installations, which a newcomer can do nothing about.
pip_install() {
    local attempt
    for attempt in 1 2 3; do
        PYTHONWARNINGS=ignore .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@" && return
        say "pip failed (attempt $attempt of 3)"
    done
    return 1
}

# install PIP-ARGUMENTS: into .venv, again only when pyproject.toml has changed since these, or these and more, were
# installed: scripts/demo takes nothing from under the tests that scripts/test is running.
install() {
    local stamp=.venv/installed wish
    if [ ! -x .venv/bin/python ]; then
        local python
        python=$(find_python)
        say "making .venv with $($python --version)"
        "$python" -m venv .venv
    fi
    wish="$(cksum < pyproject.toml) $*"
    if ! grep -qsF -- "$wish" "$stamp"; then
        say "installing into .venv"
        pip_install --upgrade 'pip>=25.1'
        pip_install "$@"
        echo "$wish" > "$stamp"
    fi
}
