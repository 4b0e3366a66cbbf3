#!/usr/bin/env bash
# A PostgreSQL server for the time of one command, in a folder of its own; nothing of it is left afterwards.
#
#     tests/postgres.sh -- cargo test nodes::
#
# Exports CONNEX_TEST_POSTGRES, the URL of the server. Where that is set already, its server is used and none is started.
# Sourced, it brings `postgres_start`, `postgres_stop` and `interruptible`, and whoever sources it calls `postgres_stop`
# in a trap of EXIT.
set -euo pipefail

postgres_folder='' postgres_process='' interruptible_group=''

# Where the programs of the server are: CONNEX_TEST_POSTGRES_BIN, the newest of Debian's, or those of the search path.
postgres_bin() {
    local found
    found=${CONNEX_TEST_POSTGRES_BIN-}
    [[ -n $found ]] || found=$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n 1 | xargs dirname)
    [[ -x $found/postgres ]] || found=$(dirname "$(command -v postgres || echo /nowhere/postgres)")
    [[ -x $found/postgres && -x $found/initdb && -x $found/psql ]] && echo "$found"
}

postgres_install() {
    [[ -z $(postgres_bin) ]] || return 0
    if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
        echo "tests/postgres.sh: please install the PostgreSQL server (as root: apt-get install postgresql)" >&2
        exit 2
    fi
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql-common
    # Or the package would make a server of its own and leave it running.
    sed -i -E 's/^#?\s*create_main_cluster\s*=.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
    grep -q '^create_main_cluster = false' /etc/postgresql-common/createcluster.conf ||
        echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql
}

postgres_start() {
    [[ -z ${CONNEX_TEST_POSTGRES-} ]] || return 0
    postgres_install
    local bin password port try
    bin=$(postgres_bin)
    # The server refuses to run as root.
    local as=()
    [[ $EUID -ne 0 ]] || as=(setpriv --reuid=postgres --regid=postgres --init-groups)
    postgres_folder=$(mktemp -d "${TMPDIR:-/tmp}/connex-postgres.XXXXXX")
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    printf '%s\n' "$password" >"$postgres_folder/password"
    [[ $EUID -ne 0 ]] || chown -R postgres:postgres "$postgres_folder"
    # From within the folder: the present one may be closed to the user of the server. Log-in by MD5, since SCRAM's 4,096 rounds
    # for each connection would be most of the work of a program that is built for tests; one test has a role that asks for it.
    (cd "$postgres_folder" && "${as[@]}" "$bin/initdb" --pgdata=data --username=postgres --pwfile=password \
        --auth=md5 --encoding=UTF8 --locale=C.UTF-8 --no-sync >initdb.log 2>&1) ||
        { cat "$postgres_folder/initdb.log" >&2; exit 2; }
    for try in 1 2 3 4 5; do
        port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
        CONNEX_TEST_POSTGRES=postgres://postgres:$password@127.0.0.1:$port/postgres
        # What a power cut would take is of no worth here, so nothing waits for the disk.
        set -m
        (cd "$postgres_folder" && exec "${as[@]}" "$bin/postgres" -D data -c listen_addresses=127.0.0.1 -c port="$port" \
            -c unix_socket_directories="$postgres_folder" -c max_connections=400 -c shared_buffers=32MB -c fsync=off \
            -c full_page_writes=off >>server.log 2>&1 </dev/null) &
        postgres_process=$!
        set +m
        if postgres_answers "$bin"; then
            export CONNEX_TEST_POSTGRES
            return 0
        fi
        # Somebody else may have taken the port meanwhile.
        grep -q 'could not create any TCP/IP sockets' "$postgres_folder/server.log" || break
    done
    echo "tests/postgres.sh: PostgreSQL does not start (try $try):" >&2
    tail -n 20 "$postgres_folder/server.log" >&2
    exit 2
}

# Waits until the server answers; fails when it has ended or does not answer within a minute.
postgres_answers() {
    local deadline=$((SECONDS + 60))
    while kill -0 "$postgres_process" 2>/dev/null && ((SECONDS < deadline)); do
        PGCONNECT_TIMEOUT=5 "$1/psql" -X -At -c 'SELECT 1' "$CONNEX_TEST_POSTGRES" >/dev/null 2>&1 && return 0
        sleep 0.05
    done
    return 1
}

# Stops what `postgres_start` and `interruptible` started, by process id, and removes the folder. Never fails.
postgres_stop() {
    local signal deadline
    if [[ -n $interruptible_group ]]; then
        kill -TERM -- "-$interruptible_group" 2>/dev/null || true
        interruptible_group=''
    fi
    # Fast first; then without a checkpoint; then at once.
    for signal in INT QUIT KILL; do
        if [[ -z $postgres_process ]] || ! kill "-$signal" "$postgres_process" 2>/dev/null; then break; fi
        deadline=$((SECONDS + 10))
        while kill -0 "$postgres_process" 2>/dev/null && ((SECONDS < deadline)); do sleep 0.05; done
    done
    postgres_process=''
    [[ -z $postgres_folder ]] || rm -rf "$postgres_folder"
    postgres_folder=''
}

# Runs a command in a process group of its own and waits for it, so that a signal to this shell is not kept waiting until
# the command has ended, and ends all of it.
interruptible() {
    local status=0
    set -m
    "$@" &
    interruptible_group=$!
    set +m
    wait "$interruptible_group" || status=$?
    interruptible_group=''
    return "$status"
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    [[ ${1-} != -- ]] || shift
    (($#)) || { echo "usage: tests/postgres.sh -- COMMAND..." >&2; exit 2; }
    trap postgres_stop EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    postgres_start
    interruptible "$@"
fi
