/* SPDX-License-Identifier: MIT */
/* test-param.c: parameters from text. */
#include "machine-fixture.h"
#include "param.h"

#include <string.h>

static const struct {
	const char *text;
	int error;
	uint64_t size;
} sizes[] = {
	{ "0", 0, 0 },
	{ "17", 0, 17 },
	{ "4K", 0, 4096 },
	{ "2m", 0, 2u << 20 },
	{ "1G", 0, 1u << 30 },
	{ "16777215T", 0, 16777215ull << 40 },
	{ "16777216T", -1, 0 },
	{ "-1", -1, 0 },
	{ "", -1, 0 },
	{ "4 K", -1, 0 },
	{ "4KB", -1, 0 },
	{ "K", -1, 0 },
	{ "99999999999999999999", -1, 0 },
	{ "1.5M", -1, 0 },
};

START_TEST(sizes_have_units_and_no_nonsense)
{
	uint64_t size = 0;
	int error = loam__size_parse(sizes[_i].text, &size);

	ck_assert_int_eq(!error, !sizes[_i].error);
	if (!error)
		ck_assert_uint_eq(size, sizes[_i].size);
}
END_TEST

static const char *const colours[] = { "red", "green", NULL };
static const struct loam_param params[] = {
	LOAM_PARAM(.type = LOAM_PARAM_BOOL, .name = "b", .def = "on"),
	LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "i", .def = "3", .min = -5, .max = 5),
	LOAM_PARAM(.type = LOAM_PARAM_SIZE, .name = "s", .def = "4K", .min = 4096, .max = 1 << 20),
	LOAM_PARAM(.type = LOAM_PARAM_REAL, .name = "r", .def = "0.5", .min = 0, .max = 1),
	LOAM_PARAM(.type = LOAM_PARAM_ENUM, .name = "e", .def = "red", .choices = colours),
	LOAM_PARAM(.type = LOAM_PARAM_STRING, .name = "t", .def = "x"),
};

static const struct {
	unsigned param;
	const char *text;
	bool ok;
	const char *says;
} values[] = {
	{ 0, "yes", true, NULL },
	{ 0, "maybe", false, "on or off" },
	{ 1, "-5", true, NULL },
	{ 1, "6", false, "from -5 to 5" },
	{ 1, "0x3", true, NULL },
	{ 1, "3x", false, "whole number" },
	{ 2, "64K", true, NULL },
	{ 2, "1K", false, "from 4K to 1M" },
	{ 3, "0.25", true, NULL },
	{ 3, "2", false, "a number" },
	{ 3, "nan", false, "a number" },
	{ 4, "green", true, NULL },
	{ 4, "gren", false, "did you mean 'green'" },
	{ 5, "any text", true, NULL },
};

START_TEST(values_are_parsed_and_ranges_kept)
{
	union loam_value value;
	char why[300] = "";
	int error = loam__param_parse(&params[values[_i].param], values[_i].text, &value, why, sizeof(why));

	ck_assert_int_eq(!error, values[_i].ok);
	if (error)
		ck_assert_msg(strstr(why, values[_i].says) != NULL, "%s", why);
}
END_TEST

START_TEST(defaults_and_unknown_keys)
{
	struct loam_diag diag;
	struct loam__config *config;
	union loam_value v[LOAM_LEN(params)];

	loam__diag_init(&diag);
	config = loam__config_text("f", "[a]\ni = -2\nextra = 1\nee = red\n", &diag);
	ck_assert_uint_eq(loam__params_read(loam__config_section(config, "a"), params, LOAM_LEN(params),
					    (const char *const[]){ "extra", NULL }, v, &diag),
			  1);
	ck_assert_int_eq(v[1].i, -2);
	ck_assert_uint_eq(v[2].u, 4096);
	ck_assert_int_eq(diag.first->line, 4);
	ck_assert_ptr_nonnull(strstr(diag.first->text, "did you mean 'e'"));
	loam__config_free(config);
	loam__diag_clear(&diag);
}
END_TEST

START_TEST(sizes_print_in_the_shortest_exact_form)
{
	char buf[24];

	ck_assert_str_eq(loam__size_print(4096, buf), "4K");
	ck_assert_str_eq(loam__size_print(4097, buf), "4097");
	ck_assert_str_eq(loam__size_print(0, buf), "0");
	ck_assert_str_eq(loam__size_print(3ull << 30, buf), "3G");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("param");
	TCase *t = tcase_create("param");

	tcase_add_loop_test(t, sizes_have_units_and_no_nonsense, 0, (int)LOAM_LEN(sizes));
	tcase_add_loop_test(t, values_are_parsed_and_ranges_kept, 0, (int)LOAM_LEN(values));
	tcase_add_test(t, defaults_and_unknown_keys);
	tcase_add_test(t, sizes_print_in_the_shortest_exact_form);
	suite_add_tcase(s, t);
	return fixture_run(s);
}
