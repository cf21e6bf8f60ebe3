#!/bin/bash
# Microsoft's own driver, mssql-jdbc, reads the model of SQL Server
# (internal/mssqltest): every type's values, metadata, transactions, prepared
# statements. What it prints must be mssql/jdbc.expected, which agrees with the
# values that the Go tests ask of go-mssqldb, pytds, pymssql and FreeTDS.
set -uo pipefail
cd "$(dirname "$0")/../.."
here=$PWD/tests/interop/mssql
home=$PWD/build/mssql-jdbc
version=12.8.1.jre11
mkdir -p "$home"
[ -f "$home/mssql-jdbc-$version.jar" ] ||
    mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy -Dartifact="com.microsoft.sqlserver:mssql-jdbc:$version" \
        -DoutputDirectory="$home" > "$home/mvn.log" 2>&1 || { tail -5 "$home/mvn.log"; exit 1; }
go build -o "$home/mssql" ./tests/interop/mssql || exit 1

rm -f "$home/in"
mkfifo "$home/in"
"$home/mssql" 127.0.0.1:21436 internal/mssqltest/testdata/types.sql < "$home/in" > "$home/server.log" 2>&1 &
server=$!
exec 8> "$home/in"
for _ in $(seq 50); do grep -q ready "$home/server.log" && break; sleep 0.1; done
for encrypt in false true; do
    java -cp "$home/mssql-jdbc-$version.jar" "$here/ReadTypes.java" \
        "jdbc:sqlserver://127.0.0.1:21436;user=sa;password=Secret1!;encrypt=$encrypt;trustServerCertificate=true;databaseName=crm" > "$home/out-$encrypt" 2>&1
    diff "$here/jdbc.expected" "$home/out-$encrypt" | cut -c1-200 | head -20
    [ "${PIPESTATUS[0]}" = 0 ] || { echo "FAILED with encrypt=$encrypt"; failed=1; }
done
exec 8>&-
wait "$server"
exit ${failed:-0}
