#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every clause of the contract has a test, every test a clause, and every clause and group its mutants.
. "${srcdir:-.}/tests/system/lib.sh"
[ -x "${builddir:-.}/tests/conformance/loam-conform" ] || { echo "built without Check"; exit 77; }

trace() { "$srcdir/tests/conformance/trace" "$builddir/tests/conformance/loam-conform" "$1"; }
every_clause_has_tests_and_mutants() { run 0 trace "$srcdir"; out_has "| HEAP-01 |"; tail -n 1 out; }
# The script itself finds what is missing.
copy() {
	mkdir -p tree/doc tree/tests/conformance
	cp -r "$srcdir/doc/contract" tree/doc/
	cp -r "$srcdir/tests/conformance/mutants" tree/tests/conformance/
	chmod -R u+w tree
}
a_clause_without_test_or_mutant_fails() {
	copy
	printf '\n**HEAP-99** (core): Nothing tests this.\n' >>tree/doc/contract/heap.md
	run 1 trace tree; err_has "HEAP-99 has no test"; err_has "HEAP-99 has no mutant"
}
a_mutant_of_no_clause_fails() {
	copy
	printf 'plugin: slub\nclauses: HEAP-98\nbreaks: nothing\n' >tree/tests/conformance/mutants/none.mutant
	run 1 trace tree; err_has "mutant none names HEAP-98"
}
a_group_with_few_mutants_fails() {
	copy
	rm tree/tests/conformance/mutants/pages-*.mutant
	run 1 trace tree; err_has "expected at least 3"
}
try every-clause-has-tests-and-mutants every_clause_has_tests_and_mutants
try a-clause-without-test-or-mutant-fails a_clause_without_test_or_mutant_fails
try a-mutant-of-no-clause-fails a_mutant_of_no_clause_fails
try a-group-with-few-mutants-fails a_group_with_few_mutants_fails
finish
