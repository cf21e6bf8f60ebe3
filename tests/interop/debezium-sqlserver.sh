#!/bin/bash
# The real Debezium SQL Server connector, 3.0 and 3.5, snapshots and streams from
# the model of SQL Server (internal/mssqltest), in every variant of the scenarios
# below capture/sqlserver/testdata/debezium. Its records must be those recorded
# there, which our own capture is tested against.
#
# SCENARIOS="crud" runs some only. RECORD=1 records anew.
set -uo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/needs.sh
here=$PWD/tests/interop/mssql
home=$PWD/build/debezium-sqlserver
fixtures=$PWD/capture/sqlserver/testdata/debezium
. "$here/serve.sh"
mkdir -p "$home"

libraries() { # VERSION
    [ "$home/$1/ready" -nt "$here/debezium.pom.xml" ] && [ "$home/$1/ready" -nt "$here/RunDebezium.java" ] && return 0
    rm -rf "${home:?}/$1"
    mkdir -p "$home/$1"
    mvn -q -B -f "$here/debezium.pom.xml" -Ddebezium="$1" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
        -DoutputDirectory="$home/$1/libs" -DincludeScope=runtime > "$home/$1/mvn.log" 2>&1 || { tail -5 "$home/$1/mvn.log"; return 1; }
    rm -f "$home/$1"/libs/reload4j* "$home/$1"/libs/slf4j-reload4j*
    javac -encoding UTF-8 -cp "$home/$1/libs/*" -d "$home/$1/classes" "$here/RunDebezium.java" || return 1
    touch "$home/$1/ready"
}
libraries 3.0.8.Final && libraries 3.5.0.Final || exit 1
go build -o "$home/mssql" ./tests/interop/mssql || exit 1

properties() { # DIRECTORY SCENARIO NAME PORT OPTIONS...
    local dir=$1 scenario=$2 name=$3 port=$4; shift 4
    cat <<-P
	name=$name
	connector.class=io.debezium.connector.sqlserver.SqlServerConnector
	topic.prefix=${name//-/_}_ms_$scenario
	database.hostname=127.0.0.1
	database.port=$port
	database.user=sa
	database.password=Secret1!
	database.names=crm
	driver.encrypt=false
	poll.interval.ms=100
	offset.storage=org.apache.kafka.connect.storage.FileOffsetBackingStore
	offset.storage.file.filename=$dir/$name.offsets
	offset.flush.interval.ms=1000
	schema.history.internal=io.debezium.storage.file.history.FileSchemaHistory
	schema.history.internal.file.filename=$dir/$name.history
	P
    printf '%s\n' "$@"
}

# part SCENARIO VERSION PORT: the variants of one version of Debezium.
part() {
    local scenario=$1 version=$2 port=$3 run=$home/run/$1 options name rest list=()
    while read -r name rest; do
        case $name in
        '#'* | '') continue ;;
        v35-*) [ "$version" = 3.5.0.Final ] || continue ;;
        *) [ "$version" = 3.0.8.Final ] || continue ;;
        esac
        read -ra options <<< "$rest"
        properties "$run" "$scenario" "$name" "$port" "${options[@]}" > "$run/$name.properties"
        list+=("$run/$name.properties")
    done < "$fixtures/$scenario/variants"
    [ ${#list[@]} -gt 0 ] || return 0
    serve "$home/mssql" "127.0.0.1:$port" "$run/server-$version.log" "$fixtures/$scenario/setup.sql" || return 1
    java -Xmx1g -Duser.timezone=UTC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$home/$version/classes:$home/$version/libs/*" RunDebezium \
        "jdbc:sqlserver://127.0.0.1:$port;user=sa;password=Secret1!;encrypt=false;databaseName=crm" \
        "$fixtures/$scenario/changes.sql" 300 "$run" "${list[@]}" > "$run/debezium-$version.log" 2>&1
    local rc=$?
    stop
    [ $rc = 0 ] || { echo "Debezium $version:"; grep -E '^failed|ERROR' "$run/debezium-$version.log" | head -20; }
    return $rc
}

failed=0
for scenario in ${SCENARIOS:-types crud alter odd signal}; do
    echo "== $scenario"
    rm -rf "$home/run/$scenario"
    mkdir -p "$home/run/$scenario"
    { part "$scenario" 3.0.8.Final 21434 && part "$scenario" 3.5.0.Final 21435; } || { failed=1; continue; }
    mode=check
    if [ -n "${RECORD:-}" ]; then
        mode=record
        rm -rf "${fixtures:?}/$scenario"/*/ "$fixtures/$scenario/schemas.json"
    fi
    python3 "$here/fixture.py" $mode "$home/run/$scenario" "$fixtures/$scenario" || failed=1
done
exit $failed
