# 300 separate inserts, a transaction each, into a file on tmpfs.
set -e
rm -f /tmp/bench.db*
{
	echo 'create table t (i integer primary key, s text);'
	i=0
	while [ $i -lt 300 ]; do
		echo "insert into t (s) values ('row $i');"
		i=$((i + 1))
	done
	echo 'select count(*) from t;'
} > /tmp/bench.sql
[ "$(sqlite3 /tmp/bench.db < /tmp/bench.sql)" = 300 ]
