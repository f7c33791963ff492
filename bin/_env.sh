# Shared by bin/setup, bin/run and bin/test: finds Python, installs what is missing, and is quick when nothing is.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT"
# Many processes are started; without compiled files each would spend two seconds on compiling Django anew.
unset PYTHONDONTWRITEBYTECODE

say() { echo "$*" >&2; }

pick_python() { # prints the first Python that really runs and is of a version we know
  local candidate versions="${PYENV_ROOT:-$HOME/.pyenv}/versions"
  for candidate in "${PYTHON:-}" python3.13 "$versions"/3.13*/bin/python python3.14 "$versions"/3.14*/bin/python \
    python3.12 "$versions"/3.12*/bin/python python3 python; do
    [ -n "$candidate" ] || continue
    "$candidate" -c 'import sys, ssl, ensurepip, venv; raise SystemExit(not ((3, 12) <= sys.version_info[:2] < (3, 15)))' \
      >/dev/null 2>&1 && { "$candidate" -c 'import sys; print(sys.executable)'; return; }
  done
  return 1
}

apt_get() { # apt_get PACKAGE ...: as root or through sudo; the package lists are fetched only when needed
  command -v apt-get >/dev/null || { say "Please install: $*"; return 1; }
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null && sudo -n true 2>/dev/null || [ -t 0 ] || { say "Please install as root: apt-get install $*"; return 1; }
    as_root=(sudo)
  fi
  say "Installing $*"
  local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@")
  "${install[@]}" >/dev/null 2>&1 && return
  "${as_root[@]}" apt-get update -qq >/dev/null && "${install[@]}" >/dev/null
}

ensure_venv() { # ensure_venv base|dev: dev contains base
  local wanted python
  wanted="$(sha256sum "requirements/$1.txt" | cut -c1-16)"
  [ "$(cat ".venv/.stamp-$1" 2>/dev/null)" = "$wanted" ] && [ -x .venv/bin/python ] && return
  if ! .venv/bin/python -c 'import sys; raise SystemExit(sys.version_info < (3, 12))' >/dev/null 2>&1; then
    python="$(pick_python)" || { apt_get python3 python3-venv && python="$(pick_python)"; } ||
      { say "Python 3.12 or newer is needed (PYTHON=/path/to/python names one)."; return 1; }
    say "Making .venv with $python"
    "$python" -m venv --clear .venv
  fi
  say "Installing requirements/$1.txt"
  .venv/bin/python -m pip install -q --disable-pip-version-check --no-input --require-hashes --only-binary :all: --no-compile \
    -r "requirements/$1.txt"
  echo "$wanted" >".venv/.stamp-$1"
}

ensure_system() { # libraries of the PDF writer and of the embedded PostgreSQL
  [ -e .venv/.stamp-system ] && return
  .venv/bin/python -c 'import weasyprint' >/dev/null 2>&1 && ! fc_list_lacks_liberation ||
    apt_get libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fontconfig fonts-liberation
  local postgres
  postgres="$(.venv/bin/python -m config.devpg unpack)/postgres"
  if ! "$postgres" --version >/dev/null 2>&1 && [ -z "${DATABASE_URL:-}" ]; then
    apt_get libicu72 libxml2 libssl3 libgssapi-krb5-2 liblz4-1 liblzma5 libzstd1 zlib1g libreadline8 &&
      "$postgres" --version >/dev/null ||
      { say "The embedded PostgreSQL does not run on this machine: set DATABASE_URL to a server of yours."; return 1; }
  fi
  touch .venv/.stamp-system
}

fc_list_lacks_liberation() { ! { command -v fc-list >/dev/null && fc-list 2>/dev/null | grep -qi liberation; }; }

ensure_chromium() { command -v chromium >/dev/null || command -v google-chrome >/dev/null || apt_get chromium; }
ensure_pdf_tools() { command -v pdftoppm >/dev/null || apt_get poppler-utils; }
