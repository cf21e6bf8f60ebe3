#!/bin/bash
# Microsoft's own driver, mssql-jdbc, reads the model of SQL Server
# (internal/mssqltest): every type's values, metadata, transactions, prepared
# statements. What it prints must be mssql/jdbc.expected, which agrees with the
# values that the Go tests ask of go-mssqldb, pytds, pymssql and FreeTDS.
set -uo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/needs.sh
here=$PWD/tests/interop/mssql
home=$PWD/build/mssql-jdbc
version=12.8.1.jre11
. "$here/serve.sh"
mkdir -p "$home"
[ -f "$home/mssql-jdbc-$version.jar" ] ||
    mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy -Dartifact="com.microsoft.sqlserver:mssql-jdbc:$version" \
        -DoutputDirectory="$home" > "$home/mvn.log" 2>&1 || { tail -5 "$home/mvn.log"; exit 1; }
go build -o "$home/mssql" ./tests/interop/mssql || exit 1

serve "$home/mssql" 127.0.0.1:21436 "$home/server.log" internal/mssqltest/testdata/types.sql || exit 1
failed=0
for encrypt in false true; do
    java -Xmx512m -Duser.timezone=UTC -cp "$home/mssql-jdbc-$version.jar" "$here/ReadTypes.java" \
        "jdbc:sqlserver://127.0.0.1:21436;user=sa;password=Secret1!;encrypt=$encrypt;trustServerCertificate=true;databaseName=crm" > "$home/out-$encrypt" 2>&1
    diff "$here/jdbc.expected" "$home/out-$encrypt" | cut -c1-200 | head -20
    if [ "${PIPESTATUS[0]}" = 0 ]; then
        echo "mssql-jdbc $version, encrypt=$encrypt: $(wc -l < "$home/out-$encrypt") lines, none differs"
    else
        echo "FAILED mssql-jdbc $version, encrypt=$encrypt"
        failed=1
    fi
done
exit $failed
