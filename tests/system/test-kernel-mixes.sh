#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every backend beside every other: boots, runs a workload over all roles, gives all of it back. Without LOAM_ALL_MIXES each pair
# of two backends is there at least once; with it, all lawful mixes.
. "${srcdir:-.}/tests/system/lib.sh"
export PKG_CONFIG_PATH="$builddir${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
sanitizer=
case ${LOAM_SANITIZER:-no} in no) ;; *) sanitizer=-fsanitize=$LOAM_SANITIZER ;; esac
# shellcheck disable=SC2046
${CC:-cc} -std=gnu11 -O1 -g $sanitizer -shared -fPIC $(pkg-config --cflags loam-kernel) "$srcdir/tests/modules/mix.c" \
	-o "$work/mix.so" $(pkg-config --libs loam-kernel) || { echo "not ok mix builds"; exit 1; }

# A mix is a word for each factor. objects = pages or heap: made of these by the host.
mixes() {
	awk -v all="${LOAM_ALL_MIXES:-}" '
	function pairs(m,   i, j, n) { for (i = 1; i < F; i++) for (j = i + 1; j <= F; j++) n += !((i, m[i], j, m[j]) in seen); return n }
	function mark(m,   i, j) { for (i = 1; i < F; i++) for (j = i + 1; j <= F; j++) seen[i, m[i], j, m[j]] = 1 }
	function show(m,   i, line) { for (i = 1; i <= F; i++) line = line (i > 1 ? " " : "") value[i, m[i]]; print line }
	BEGIN {
		F = split("buddy bitmap|slub slab slob heap|slub slab slob frames|mempool ring|percpu percpu-flat|vmalloc vmap-flat|kmap kmap-flat|memblock bump none|none stats magazine fault", factor, "|")
		total = 1
		for (i = 1; i <= F; i++) {
			levels[i] = split(factor[i], words, " ")
			for (j = 1; j <= levels[i]; j++) value[i, j] = words[j]
			total *= levels[i]
		}
		for (k = 0; k < total; k++) {
			rest = k
			for (i = 1; i <= F; i++) { m[i] = rest % levels[i] + 1; rest = int(rest / levels[i]) }
			if (all) show(m)
			for (i = 1; i <= F; i++) combo[k, i] = m[i]
		}
		if (all) exit
		# Greedy: among some, the mix with the most new pairs.
		srand(7)
		do {
			best = 0
			for (t = 0; t < 400; t++) {
				k = int(rand() * total)
				for (i = 1; i <= F; i++) m[i] = combo[k, i]
				n = pairs(m)
				if (n > best) { best = n; bestk = k }
			}
			if (!best) for (k = 0; k < total && !best; k++) { for (i = 1; i <= F; i++) m[i] = combo[k, i]; best = pairs(m); bestk = k }
			if (best) { for (i = 1; i <= F; i++) m[i] = combo[bestk, i]; mark(m); show(m) }
		} while (best)
	}'
}
# one PAGES OBJECTS HEAP POOL PERCPU VMAP KMAP BOOT FILTER
one() {
	local top=objects
	{
		printf '[machine]\nmemory = 48M\nzones = DMA:16M NORMAL:16M HIGHMEM:*\ncpus = 2\nseed = 5\n'
		printf '[frames]\nplugin = %s\n' "$1"
		[ "$3" = frames ] || printf '[heap]\nplugin = %s\npages = frames\n' "$3"
		[ "$2" = heap ] || printf '[objects]\nplugin = %s\npages = frames\n' "$2"
		[ "$2" != heap ] || top=$([ "$3" = frames ] && echo frames || echo heap)
		# The filter stands in front of the objects, where these are no conversion.
		if [ "$9" != none ] && [ "$2" != heap ]; then
			printf '[filter]\nplugin = %s\nlower = objects\n' "$9"
			top=filter
		fi
		printf '[pools]\nplugin = %s\n[units]\nplugin = %s\npages = frames\n[areas]\nplugin = %s\n[slots]\nplugin = %s\n' "$4" "$5" "$6" "$7"
		[ "$8" = none ] || printf '[boot]\nplugin = %s\n' "$8"
		printf '[kernel]\npages = frames\nobjects = %s\nheap = %s\npool = pools\npercpu = units\nvmap = areas\nkmap = slots\n' \
			"$top" "$([ "$3" = frames ] && echo frames || echo heap)"
		[ "$8" = none ] || echo "boot = boot"
	} >mix.conf
	run 0 timeout 100 "$LOAM" run mix.conf "$work/mix.so" steps="${LOAM_MIX_STEPS:-300}" seed="$RANDOM"
	! grep -q "not ok" err || { cat err; fail "contents"; }
	out_has "no leaks"
}
mixes >"$work/list"
echo "$(wc -l <"$work/list") mixes"
n=0
while read -r pages objects heap pool percpu vmap kmap boot filter; do
	n=$((n + 1))
	mkdir -p "$work/mix"
	(set -e; cd "$work/mix"; one "$pages" "$objects" "$heap" "$pool" "$percpu" "$vmap" "$kmap" "$boot" "$filter") ||
		{ echo "not ok $pages $objects $heap $pool $percpu $vmap $kmap $boot $filter"; cat "$work/mix/mix.conf"; failures=$((failures + 1)); }
done <"$work/list"
[ "$failures" -ne 0 ] || echo "ok $n mixes of backends"
finish
