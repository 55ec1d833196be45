#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every mutant is caught, by a test of each clause that it breaks; with one seed, so that a run can be repeated; make
# check-long takes others.
: "${srcdir:?}" "${builddir:?}"
[ -x "$builddir/tests/conformance/loam-conform" ] || { echo "built without Check"; exit 77; }
[ "${LOAM_SANITIZER:-no}" = no ] || { echo "the mutants are judged without a sanitizer"; exit 77; }
perl -MJSON::PP -e 1 2>/dev/null || { echo "no perl with its modules"; exit 77; }
set -o pipefail
perl "$srcdir/tests/conformance/mutants/check" --seed "${LOAM_TEST_SEED:-1}" | sed 's/^caught  */ok /; s/^SURVIVED  */not ok survived: /'
