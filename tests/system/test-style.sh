#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The sources are as the house's .clang-format sets them. Other versions of clang-format set some things otherwise.
. "${srcdir:-.}/tests/system/lib.sh"
clang-format --version 2>/dev/null | grep -q 'version 14\.' || { echo "no clang-format 14"; exit 77; }
formatted() {
	find "$srcdir"/{core,include,plugins,templates,tests} -name '*.[ch]' -print0 | xargs -0 clang-format -n -Werror 2>err || { head -n 20 err; fail "run clang-format -i"; }
}
try formatted formatted
finish
