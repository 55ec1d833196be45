#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every allocator of the tree keeps the contract, and some under each filter; with one seed, so that a run can be repeated.
# make check-long takes all of them under each filter, with other seeds.
: "${srcdir:?}" "${builddir:?}"
[ -x "$builddir/tests/conformance/loam-conform" ] || { echo "built without Check"; exit 77; }
# Everything is slower under a sanitizer: there the allocators alone, and with the thread sanitizer what has threads.
case ${LOAM_SANITIZER:-no} in
no) what=(--few) ;;
# The libraries of foreign are none of ours, and not instrumented.
thread) what=(--plain --own --filter '*thread*,*beside*') ;;
*) what=(--plain) ;;
esac
exec bash "$srcdir/tests/conformance/subjects" "${what[@]}" --seed "${LOAM_TEST_SEED:-1}" --time quick
