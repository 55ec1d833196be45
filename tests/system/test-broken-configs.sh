#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Broken configurations, one error each: one line that says where and what was expected, exit 1, nothing is started.
. "${srcdir:-.}/tests/system/lib.sh"
base='[frames]
plugin = buddy
[objects]
plugin = slub
pages = frames'

# broken LINE TEXT: the configuration on standard input; check, run, graph and exec refuse it.
broken() {
	cat >c.conf
	for command in check run graph exec; do
		if [ $command = exec ]; then run 1 "$LOAM" exec c.conf -- touch started
		else run 1 "$LOAM" $command c.conf; fi
		err_lines 1; err_has "c.conf:$1: "; err_has "$2"
		[ ! -e started ] || fail "the program was started"
	done
}
# One case: name, line, text; the configuration follows.
n=0
b() {
	local name=$1 line=$2 says=$3 text
	text=$(cat)
	one_case() { printf "$text\n" | broken "$line" "$says"; }
	try "$name" one_case
	n=$((n + 1))
}
b key-before-section 1 "key 'x' before the first [section]" <<<'x = 1'
b no-equals-sign 3 "expected 'key = value' or '[section]'" <<<$'[frames]\nplugin = buddy\norders 3'
b open-bracket 1 "no ']' behind it" <<<'[frames'
b text-behind-bracket 1 "text behind the section's ']'" <<<'[frames] x'
b empty-section-name 1 "bad section name" <<<'[]'
b space-in-section-name 1 "bad section name" <<<'[a b]'
b indented-line 3 "indented" <<<$'[frames]\nplugin = buddy\n orders = 3'
b no-value 3 "has no value" <<<$'[frames]\nplugin = buddy\norders ='
b colon-in-key 3 "':' in a key" <<<$'[frames]\nplugin = buddy\na:b = 1'
b key-twice 3 "the first is on line 2" <<<$'[frames]\nplugin = buddy\nplugin = buddy'
b section-twice 3 "section [frames] again; the first is on line 1" <<<$'[frames]\nplugin = buddy\n[frames]'
b line-too-long 3 "bytes in a line; at most" <<<$'[frames]\nplugin = buddy\n'"orders = $(printf 'x%.0s' $(seq 300))"
b nul-byte 3 "a NUL byte" <<<$'[frames]\nplugin = buddy\norders = 1\\0'
b no-plugin 1 "[frames] has no 'plugin'" <<<$'[frames]\norders = 3'
b unknown-plugin 2 "did you mean 'buddy'?" <<<$'[frames]\nplugin = budy'
b unknown-machine-key 2 "did you mean 'memory'?" <<<$'[machine]\nmemry = 64M'
b bad-size 2 "expected a size such as 64K or 16M" <<<$'[machine]\nmemory = 64Q'
b size-too-small 2 "at least 1M" <<<$'[machine]\nmemory = 300'
b unknown-zone 2 "zone" <<<$'[machine]\nzones = DMA:1M SWAP:*'
b zones-over-memory 3 "does not fit" <<<$'[machine]\nmemory = 64M\nzones = DMA:80M NORMAL:*'
b high-memory-in-private-memory 3 "HIGHMEM" <<<$'[machine]\nmemory = 64M\nzones = NORMAL:32M HIGHMEM:*\nbacking = anon'
b bad-bool 3 "expected on or off" <<<$'[frames]\nplugin = buddy\nshuffle = maybe'
b bad-enum 6 "expected one of kernel|fine" <<<"$base"$'\nclasses = coarse'
b int-over-range 3 "from 1 to 20" <<<$'[frames]\nplugin = buddy\norders = 99'
b int-that-is-none 3 "expected" <<<$'[frames]\nplugin = buddy\norders = many'
b real-over-range 8 "[f] probability = 7" <<<"$base"$'\n[f]\nplugin = fault\nprobability = 7\nlower = objects'
b unknown-key 3 "did you mean 'orders'?" <<<$'[frames]\nplugin = buddy\nordrs = 3'
b port-not-filled 3 "port 'pages' is not filled; expected an instance with the role pages (frames)" <<<$'[frames]\nplugin = buddy\n[objects]\nplugin = slub'
b port-to-nobody 5 "no section [frams]; did you mean 'frames'?" <<<$'[frames]\nplugin = buddy\n[objects]\nplugin = slub\npages = frams'
b port-to-itself 3 "an instance cannot stand on itself" <<<$'[f]\nplugin = stats\nlower = f'
b port-to-other-role 8 "expected an instance with the role pages; [objects] has" <<<"$base"$'\n[more]\nplugin = slab\npages = objects'
b a-cycle 1 "a cycle: f -> g -> f" <<<$'[f]\nplugin = stats\nlower = g\n[g]\nplugin = stats\nlower = f'
b two-filters-on-one 9 "which [f] filters already" <<<"$base"$'\n[f]\nplugin = stats\nlower = objects\n[g]\nplugin = stats\nlower = objects'
b around-a-filter 10 "stands behind the filter [f]" <<<"$base"$'\n[f]\nplugin = stats\nlower = objects\n[malloc]\nheap = objects'
b conversion-around-a-filter 7 "stands behind the filter [f]" <<<$'[frames]\nplugin = buddy\n[f]\nplugin = stats\nlower = frames\n[malloc]\nheap = frames'
b second-page-allocator 6 "a second page allocator" <<<"$base"$'\n[more]\nplugin = bitmap'
b second-foreign-heap 3 "a second heap with memory of its own" <<<$'[a]\nplugin = foreign\n[b]\nplugin = foreign'
b unknown-kernel-role 7 "did you mean 'heap'?" <<<"$base"$'\n[kernel]\nhep = objects'
b kernel-role-to-nobody 7 "no section [nobody]" <<<"$base"$'\n[kernel]\nheap = nobody'
b unknown-malloc-key 7 "did you mean 'large'?" <<<"$base"$'\n[malloc]\nlarg = 1M'

no_malloc() {
	printf '%s\n' "$base" >c.conf
	run 1 "$LOAM" exec c.conf -- touch started
	err_lines 1; err_has "[malloc] heap is missing"
}
shared_memory_for_a_program() {
	printf '%s\n[machine]\nbacking = memfd\n[malloc]\nheap = objects\n' "$base" >c.conf
	run 1 "$LOAM" exec c.conf -- touch started
	err_lines 1; err_has "backing = anon"
}
no_file() { run 1 "$LOAM" check nowhere.conf; err_lines 1; err_has "nowhere.conf: cannot read: No such file"; }
a_folder() { mkdir d; run 1 "$LOAM" check d; err_lines 1; err_has "d: cannot read: "; }
for t in no_malloc shared_memory_for_a_program no_file a_folder; do try "${t//_/-}" $t; done
[ $n -ge 25 ] || { echo "only $n cases"; exit 1; }
finish
