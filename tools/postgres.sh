#!/usr/bin/env bash
# Run a command beside a PostgreSQL server of its own, on loopback, from Debian's
# packages; it is gone afterwards.
#
#   bash tools/postgres.sh COMMAND...
#
# The command finds host:port:user:password in VIGITENSOR_POSTGRES. Where no
# server is installed it is run without.
set -euo pipefail
# The command runs where it was given; lib.sh goes elsewhere.
HERE="$PWD"
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$HERE"

# Debian keeps the server's programs off the PATH, one folder per version.
programs() {
  local folder
  for folder in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV) \
    "$(dirname "$(command -v initdb || echo /nowhere/initdb)")"; do
    [[ -x "$folder/initdb" ]] && echo "$folder" && return
  done
  return 1
}

# The server refuses to run as root.
as_postgres() {
  if [[ "$(id -u)" == 0 ]]; then
    (cd / && runuser -u postgres -- "$@")
  else
    "$@"
  fi
}

BIN="$(programs || true)"
if [[ -z "$BIN" || -n "${VIGITENSOR_POSTGRES:-}" ]]; then
  exec "$@"
fi

FOLDER="$(mktemp -d -t vigitensor-postgres-XXXXXX)"
stop() {
  as_postgres "$BIN/pg_ctl" -D "$FOLDER/data" -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$FOLDER"
}
trap stop EXIT

PASSWORD="$(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')"
printf '%s\n' "$PASSWORD" >"$FOLDER/secret"
if [[ "$(id -u)" == 0 ]]; then chown -R postgres "$FOLDER"; fi
as_postgres "$BIN/initdb" -D "$FOLDER/data" -U tester -E UTF8 --no-locale \
  --no-sync --auth scram-sha-256 --pwfile="$FOLDER/secret" >"$FOLDER/initdb.log"
for attempt in 1 2 3 4 5; do
  PORT=$((20000 + ($$ * 7 + attempt * 1009) % 40000))
  if as_postgres "$BIN/pg_ctl" -D "$FOLDER/data" -w -t 60 -l "$FOLDER/log" \
    -o "-p $PORT -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off" \
    start >/dev/null; then
    break
  fi
  ((attempt < 5)) || die "PostgreSQL did not start." "$(tail -n 3 "$FOLDER/log")"
done

export VIGITENSOR_POSTGRES="127.0.0.1:$PORT:tester:$PASSWORD"
"$@"
