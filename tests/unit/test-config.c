/* SPDX-License-Identifier: MIT */
/* test-config.c: the configuration file: what is read, what is refused, where. */
#include "config.h"
#include "machine-fixture.h"

#include <string.h>

static struct loam_diag diag;

static struct loam__config *read_text(const char *text)
{
	loam__diag_init(&diag);
	return loam__config_text("f", text, &diag);
}

static const char *value(const struct loam__config *config, const char *section, const char *key)
{
	struct loam__entry *entry = loam__section_entry(loam__config_section(config, section), key);

	return entry ? entry->value : NULL;
}

START_TEST(sections_keys_comments_and_line_ends)
{
	struct loam__config *config =
		read_text("# first\r\n[a]\r\nx = one two \r\n; a comment\r\ny=2 ; behind\n\n[empty]\n[b]\nx = 3");

	ck_assert_uint_eq(diag.count, 0);
	ck_assert_str_eq(value(config, "a", "x"), "one two");
	ck_assert_str_eq(value(config, "a", "y"), "2");
	ck_assert_str_eq(value(config, "b", "x"), "3");
	ck_assert_ptr_nonnull(loam__config_section(config, "empty"));
	ck_assert_int_eq(loam__section_entry(loam__config_section(config, "b"), "x")->line, 9);
	loam__config_free(config);
}
END_TEST

static const struct {
	const char *text;
	int line;
	const char *says;
} bad[] = {
	{ "x = 1\n", 1, "before the first" },
	{ "[a]\nx 1\n", 2, "expected 'key = value'" },
	{ "[a\n", 1, "no ']'" },
	{ "[a] x\n", 1, "behind the section's" },
	{ "[a b]\n", 1, "bad section name" },
	{ "[]\n", 1, "bad section name" },
	{ "[a]\nx = 1\nx = 2\n", 3, "the first is on line 2" },
	{ "[a]\n[b]\n[a]\n", 3, "the first is on line 1" },
	{ "[a]\nx = 1\n y = 2\n", 3, "indented" },
	{ "[a]\nx =\n", 2, "no value" },
	{ "[a]\n= 1\n", 2, "bad key" },
	{ "[a]\nx y = 1\n", 2, "bad key" },
	{ "[a]\nx:y = 1\n", 2, "':' in a key" },
	{ "[a]\nx =;y\n", 2, "begins with ';'" },
};

START_TEST(each_defect_is_told_with_its_line)
{
	struct loam__config *config = read_text(bad[_i].text);

	ck_assert_uint_eq(diag.count, 1);
	ck_assert_int_eq(diag.first->line, bad[_i].line);
	ck_assert_msg(strstr(diag.first->text, bad[_i].says) != NULL, "%s", diag.first->text);
	loam__config_free(config);
	loam__diag_clear(&diag);
}
END_TEST

START_TEST(what_libinih_would_cut_is_refused)
{
	char text[700];
	struct loam__config *config;

	snprintf(text, sizeof(text), "[a]\nx = %0*d\n%0*d = 1\n", 300, 1, 60, 1);
	config = read_text(text);
	ck_assert_uint_eq(diag.count, 2);
	ck_assert_int_eq(diag.first->line, 2);
	ck_assert_int_eq(diag.first->next->line, 3);
	loam__config_free(config);
	loam__diag_clear(&diag);
}
END_TEST

START_TEST(five_errors_are_five_messages_in_order)
{
	struct loam__config *config = read_text("x = 1\n[a]\ny\n[a]\n[b]\nz = 1\nz = 2\n q = 1\n");
	int lines[5], n = 0;

	ck_assert_uint_eq(diag.count, 5);
	for (struct loam_diag_msg *msg = diag.first; msg; msg = msg->next)
		lines[n++] = msg->line;
	ck_assert_int_eq(n, 5);
	for (int i = 1; i < n; i++)
		ck_assert_int_gt(lines[i], lines[i - 1]);
	loam__config_free(config);
	loam__diag_clear(&diag);
}
END_TEST

START_TEST(overrides_change_and_add)
{
	struct loam__config *config = read_text("[a]\nx = 1\n");

	ck_assert(loam__config_set(config, "a.x=2", &diag));
	ck_assert(loam__config_set(config, "n.y=a=b", &diag));
	ck_assert_str_eq(value(config, "a", "x"), "2");
	ck_assert_str_eq(value(config, "n", "y"), "a=b");
	ck_assert(!loam__config_set(config, "ax=2", &diag));
	ck_assert(!loam__config_set(config, "a.x=", &diag));
	ck_assert(!loam__config_set(config, "a.x=1 ; 2", &diag));
	ck_assert_uint_eq(diag.count, 3);
	loam__config_free(config);
	loam__diag_clear(&diag);
}
END_TEST

START_TEST(what_is_printed_reads_back)
{
	struct loam__config *config = read_text("[a]\nx = one two\n[e]\n[b]\ny = 2\n"), *again;
	char *text = loam__config_print(config);

	again = loam__config_text(NULL, text, &diag);
	ck_assert_uint_eq(diag.count, 0);
	ck_assert_str_eq(value(again, "a", "x"), "one two");
	ck_assert_ptr_nonnull(loam__config_section(again, "e"));
	ck_assert_str_eq(value(again, "b", "y"), "2");
	free(text);
	loam__config_free(config);
	loam__config_free(again);
}
END_TEST

START_TEST(what_was_printed_knows_where_it_stood)
{
	struct loam__config *config = read_text("\n[a]\nx = 1\ny = 2\n\n\nz = 3\n"), *again;
	struct loam__entry *z;
	char *text;

	ck_assert(loam__config_set(config, "a.y=4", &diag));
	text = loam__config_print(config);
	again = loam__config_text(NULL, text, &diag);
	z = loam__section_entry(loam__config_section(again, "a"), "z");
	ck_assert_str_eq(z->file, "f");
	ck_assert_int_eq(z->line, 7);
	ck_assert_str_eq(loam__section_entry(loam__config_section(again, "a"), "y")->file, "-o");
	ck_assert_int_eq(loam__config_section(again, "a")->line, 2);
	free(text);
	loam__config_free(config);
	loam__config_free(again);
}
END_TEST

/* Only what we printed ourselves has such comments. */
START_TEST(a_comment_of_the_user_moves_no_line)
{
	struct loam__config *config = read_text(";@70 other.conf\n[a]\n");

	ck_assert_int_eq(loam__config_section(config, "a")->line, 2);
	loam__config_free(config);
}
END_TEST

START_TEST(a_file_that_is_not_there_is_an_error)
{
	struct loam__config *config;

	loam__diag_init(&diag);
	config = loam__config_file("/nonexistent/x.conf", &diag);
	ck_assert_uint_eq(diag.count, 1);
	loam__config_free(config);
	loam__diag_clear(&diag);
}
END_TEST

START_TEST(the_nearest_name_is_what_was_meant)
{
	static const char *const names[] = { "plugin", "pages", "classes", NULL };

	ck_assert_str_eq(loam__nearest("plguin", names), "plugin");
	ck_assert_str_eq(loam__nearest("Pages", names), "pages");
	ck_assert_str_eq(loam__nearest("clases", names), "classes");
	ck_assert_ptr_null(loam__nearest("zones", names));
	ck_assert_ptr_null(loam__nearest("", names));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("config");
	TCase *t = tcase_create("config");

	tcase_add_test(t, sections_keys_comments_and_line_ends);
	tcase_add_loop_test(t, each_defect_is_told_with_its_line, 0, (int)LOAM_LEN(bad));
	tcase_add_test(t, what_libinih_would_cut_is_refused);
	tcase_add_test(t, five_errors_are_five_messages_in_order);
	tcase_add_test(t, overrides_change_and_add);
	tcase_add_test(t, what_is_printed_reads_back);
	tcase_add_test(t, what_was_printed_knows_where_it_stood);
	tcase_add_test(t, a_comment_of_the_user_moves_no_line);
	tcase_add_test(t, a_file_that_is_not_there_is_an_error);
	tcase_add_test(t, the_nearest_name_is_what_was_meant);
	suite_add_tcase(s, t);
	return fixture_run(s);
}
