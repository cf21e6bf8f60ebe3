# To be sourced: the model of SQL Server (main.go) beside a script.

server=

# serve BINARY ADDRESS LOG SCRIPT...: starts it and waits until it has run the scripts.
# It ends with this shell at the latest, which holds its standard input.
serve() {
    local binary=$1 address=$2 log=$3; shift 3
    : > "$log"
    exec 8> >(exec "$binary" "$address" "$@" > "$log" 2>&1)
    server=$!
    for _ in $(seq 600); do
        grep -q '^ready' "$log" && return 0
        kill -0 "$server" 2> /dev/null || break
        sleep 0.1
    done
    echo "the model of SQL Server did not start:"
    tail -5 "$log"
    return 1
}

# stop ends it, and waits for that.
stop() {
    [ -z "$server" ] || { exec 8>&-; wait "$server"; server=; }
}
trap stop EXIT
