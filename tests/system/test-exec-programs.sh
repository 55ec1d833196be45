#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Real programs under loam exec: the same output as without, and a machine that is consistent at exit.
. "${srcdir:-.}/tests/system/lib.sh"
skip_under_sanitizer

# What serves malloc: words of options, a line each.
settings=${LOAM_EXEC_SETTINGS:-objects.plugin=slub objects.classes=fine
objects.plugin=slub objects.classes=kernel
objects.plugin=slab objects.classes=fine
objects.plugin=slab objects.classes=kernel}

# under SETTING COMMAND...: with the summary in the file of that name.
under() {
	local word options=()
	# A word is an override, or the configuration.
	for word in $1; do case $word in *.conf) options+=("$word") ;; *) options+=(-o "$word") ;; esac; done
	shift
	"$LOAM" exec "${options[@]}" --summary="$PWD/summary" -- "$@"
}
consistent() { grep -q 'consistent  *yes' summary || { cat summary; fail "$1: not consistent"; }; }

# same COMMAND...: plain and under each setting.
same() {
	"$@" >plain 2>plain.err </dev/null || fail "plain: exit $?"
	while read -r setting; do
		under "$setting" "$@" >loam 2>loam.err </dev/null || { tail loam.err; fail "$setting: exit $?"; }
		cmp plain loam || fail "$setting: other output"
		consistent "$setting"
	done <<<"$settings"
}
# n NUMBER: the size of an input; smaller where a heap searches linearly.
n() { echo $(($1 / ${LOAM_EXEC_SCALE:-1})); }
need() { command -v "$1" >/dev/null || { echo "   (no $1 here)"; exit 0; }; }
python=/usr/bin/python3

perl_program() { need perl; same perl -e 'my %h; $h{$_ % 5000} .= "x" x ($_ % 50) for 1..'$(n 200000)'; print length(join "", map { "$_$h{$_}" } sort keys %h), "\n"'; }
sort_program() { seq 1 $(n 700000) | awk '{ print ($1 * 7919) % 1000003 }' >in; same sort -S 50M in; same sort -n --parallel=2 in; }
xz_program() { need xz; seq 1 $(n 1500000) >in; same xz -T2 -c in; }
git_program() {
	need git
	git init -q r; cd r; git config user.name t; git config user.email t@example.org
	for i in $(seq $(n 30)); do seq "$i" 2000 >f; git add f; git commit -qm "change $i"; done
	same git --no-pager log -p --stat
}
sqlite_program() {
	need sqlite3
	echo "create table t(a integer primary key, b text); begin;
	with recursive c(x) as (select 1 union all select x + 1 from c where x < $(n 1000000)) insert into t select x, 'value ' || (x * 7919) from c;
	commit; create index i on t(b); select count(*), sum(length(b)), max(b) from t; select b from t where b like '%99999%' order by b;" >in.sql
	same sqlite3 :memory: ".read in.sql"
}
gcc_program() {
	need gcc
	awk 'BEGIN { for (i = 0; i < '$(n 2500)'; i++) printf "int f%d(int a, int *b)\n{\n\tfor (int i = 0; i < a; i++) b[i] = b[i] * %d + a;\n\treturn b[a %% 7]; }\n", i, i + 3 }' >big.c
	[ "$(wc -l <big.c)" -ge $(n 10000) ] || fail "the file is too short"
	same gcc -O2 -S -o - big.c
}
python_program() {
	need $python
	cat >p.py <<-END
	import json, re, collections, threading
	d = [{"k": i, "s": "x" * (i % 97), "l": list(range(i % 13))} for i in range($(n 40000))]
	s = json.dumps(d)
	assert json.loads(s) == d
	c = collections.Counter(re.findall(r'"k": (\d)', s))
	def work(n, out):
	    out.append(sum(len("y" * (i % 200)) for i in range(n)))
	out = []
	ts = [threading.Thread(target=work, args=($(n 20000), out)) for _ in range(8)]
	[t.start() for t in ts]; [t.join() for t in ts]
	print(sorted(c.items()), sorted(out))
	END
	same $python p.py
}
python_own_tests() {
	need $python
	$python -c 'import test.test_json, test.test_dict, test.test_threading' 2>/dev/null || { echo "   (no libpython3-testsuite here)"; return 0; }
	while read -r setting; do
		for t in test_json test_dict test_threading; do
			# Its tests interrupt themselves, which a shell in the background would have them ignore.
			under "$setting" env --default-signal=INT $python -m test -q $t >out 2>&1 || { tail -n 30 out; fail "$setting: $t"; }
			consistent "$setting: $t"
		done
	done <<<"$settings"
}
redis_program() {
	need redis-server; need redis-benchmark
	while read -r setting; do
		redis_once "$setting"
	done <<<"$settings"
}
redis_once() {
	local port=$((20000 + RANDOM % 10000)) pid
	under "$1" redis-server --port $port --bind 127.0.0.1 --save '' --appendonly no --daemonize no >redis.log 2>&1 </dev/null &
	pid=$!
	for _ in $(seq 100); do redis-cli -p $port ping 2>/dev/null </dev/null | grep -q PONG && break; read -rt 0.1 <> <(:) || true; done
	redis-cli -p $port ping 2>/dev/null </dev/null | grep -q PONG || { kill $pid; tail redis.log; fail "$1: redis-server does not answer"; }
	timeout 300 redis-benchmark -p $port -n $(n 100000) -c 20 -q -t set,get,lpush >bench 2>&1 </dev/null || { kill $pid; fail "redis-benchmark"; }
	redis-cli -p $port info memory </dev/null | grep -q used_memory || fail "no answer"
	redis-cli -p $port shutdown nosave </dev/null || true
	wait $pid || fail "redis-server: exit $?"
	consistent "$1"
}
forking_shell() {
	cat >s.sh <<-END
	n=0
	for i in \$(seq ${LOAM_EXEC_FORKS:-150}); do
		x=\$(echo "\$i" | tr 0-9 a-j)
		(y=\$x\$x; echo "\$y" | sed s/a/b/) &
		n=\$((n + \${#x}))
	done | sort
	wait
	echo \$n
	END
	same bash s.sh
}
for t in ${LOAM_EXEC_ONLY:-perl_program sort_program xz_program git_program sqlite_program gcc_program python_program python_own_tests redis_program forking_shell}; do
	try "${t//_/-}" $t
done
finish
