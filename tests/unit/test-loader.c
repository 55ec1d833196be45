/* SPDX-License-Identifier: MIT */
/* test-loader.c: plugin files: what is accepted, and each defect's own message. */
#include "loader.h"
#include "machine-fixture.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct loam_diag diag;
static char path[4096];

static struct loam__plugin *load(const char *name)
{
	loam__diag_init(&diag);
	snprintf(path, sizeof(path), "%s/%s.so", getenv("LOAM_TEST_PLUGINS"), name);
	return loam__plugin_load(path, "f", 3, &diag);
}

static const struct {
	const char *name, *says;
} broken[] = {
	{ "no-descriptor", "no descriptor" },
	{ "no-note", "no loam note" },
	{ "other-major", "built for plugin ABI 9.0" },
	{ "newer-host", "needs a host with plugin ABI 1.99" },
	{ "small", "a descriptor of 16 bytes" },
	{ "wrong-name", "calls itself 'another'" },
	{ "no-op", "role heap: no 'alloc'" },
	{ "half-pair", "'free_bulk' without 'alloc_bulk'" },
	{ "ops-small", "a table of 4 bytes" },
	{ "role-unknown", "unknown role 55" },
	{ "role-twice", "role heap twice" },
	{ "no-stat", "no 'stat'" },
	{ "area-large", "at most 65536" },
	{ "area-flush", "without 'flush'" },
	{ "threads", "unknown thread model 7" },
	{ "param-type", "unknown type 77" },
	{ "param-default", "default 'many'" },
	{ "param-twice", "declared twice" },
	{ "param-choices", "no choices" },
	{ "param-reserved", "'plugin' is the host's" },
	{ "port-role", "unknown role" },
	{ "filter-role", "a filter provides each role" },
};

START_TEST(each_broken_plugin_is_refused_in_one_line)
{
	ck_assert_ptr_null(load(broken[_i].name));
	ck_assert_uint_eq(diag.count, 1);
	ck_assert_str_eq(diag.first->file, "f");
	ck_assert_int_eq(diag.first->line, 3);
	ck_assert_msg(strstr(diag.first->text, broken[_i].says) != NULL, "%s", diag.first->text);
	loam__diag_clear(&diag);
}
END_TEST

START_TEST(a_good_plugin_is_loaded_once_and_completed)
{
	struct loam__plugin *one = load("good"), *two = load("good");
	const struct loam_heap_ops *ops;

	ck_assert_ptr_nonnull(one);
	ck_assert_ptr_eq(one, two);
	ops = loam__plugin_ops(one, LOAM_ROLE_HEAP);
	ck_assert_uint_eq(ops->size, sizeof(*ops));
	ck_assert_ptr_null(loam__plugin_ops(one, LOAM_ROLE_PAGES));
	loam__plugin_put(one);
	loam__plugin_put(two);
}
END_TEST

START_TEST(two_plugins_in_a_row_are_two_files)
{
	struct loam__plugin *one = load("good"), *two = load("filter");

	ck_assert_str_eq(one->desc.name, "good");
	ck_assert_str_eq(two->desc.name, "filter");
	loam__plugin_put(one);
	loam__plugin_put(two);
}
END_TEST

START_TEST(a_newer_minor_is_accepted_when_this_host_will_do)
{
	struct loam__plugin *plugin = load("newer-minor");

	ck_assert_ptr_nonnull(plugin);
	ck_assert_int_eq(plugin->abi_minor, 99);
	loam__plugin_put(plugin);
}
END_TEST

START_TEST(a_refused_plugin_has_run_no_code)
{
	char telltale[] = "/tmp/loam-telltale-XXXXXX";
	static const char *const names[] = { "no-note", "other-major", "newer-host" };

	close(mkstemp(telltale));
	unlink(telltale);
	setenv("LOAM_TELLTALE", telltale, 1);
	ck_assert_ptr_null(load(names[_i]));
	ck_assert_int_ne(access(telltale, F_OK), 0);
	loam__diag_clear(&diag);
}
END_TEST

/* A copy of good.so in a fresh folder, for changing. */
static void copy_good(const char *folder)
{
	char from[4096], buf[65536];
	int in, out;
	ssize_t n;

	snprintf(from, sizeof(from), "%s/good.so", getenv("LOAM_TEST_PLUGINS"));
	snprintf(path, sizeof(path), "%s/good.so", folder);
	in = open(from, O_RDONLY);
	out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		ck_assert_int_eq(write(out, buf, (size_t)n), n);
	close(in);
	close(out);
}

static void refused(const char *says)
{
	loam__diag_init(&diag);
	ck_assert_ptr_null(loam__plugin_load(path, "f", 1, &diag));
	ck_assert_uint_eq(diag.count, 1);
	ck_assert_msg(strstr(diag.first->text, says) != NULL, "%s", diag.first->text);
	loam__diag_clear(&diag);
}

START_TEST(files_and_folders_that_others_may_write_to_are_refused)
{
	char folder[] = "/tmp/loam-test-XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(folder));
	copy_good(folder);
	chmod(path, 0775);
	refused("others may write to it");
	chmod(path, 0755);
	chmod(folder, 0777);
	refused("others may write to its folder");
	chmod(folder, 01777);
	loam__diag_init(&diag);
	ck_assert_ptr_nonnull(loam__plugin_load(path, "f", 1, &diag));
	unlink(path);
	rmdir(folder);
}
END_TEST

static void cut(off_t bytes)
{
	ck_assert_int_eq(truncate(path, bytes), 0);
}

START_TEST(files_that_are_no_plugins_are_refused)
{
	char folder[] = "/tmp/loam-test-XXXXXX";
	unsigned char byte;
	int fd;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	copy_good(folder);
	cut(3000);
	refused("truncated");
	cut(40);
	refused("truncated");
	cut(0);
	refused("not an ELF file");
	copy_good(folder);
	fd = open(path, O_RDWR);
	byte = 1;
	ck_assert_int_eq(pwrite(fd, &byte, 1, 4), 1);
	refused("not a 64-bit");
	byte = 2;
	ck_assert_int_eq(pwrite(fd, &byte, 1, 4), 1);
	byte = 40;
	ck_assert_int_eq(pwrite(fd, &byte, 1, 18), 1);
	refused("another machine");
	close(fd);
	unlink(path);
	rmdir(folder);
	snprintf(path, sizeof(path), "/tmp/");
	refused("not a regular file");
	snprintf(path, sizeof(path), "/nonexistent/x.so");
	refused("no plugin file");
}
END_TEST

START_TEST(a_misspelt_name_gets_the_nearest_one)
{
	setenv("LOAM_PLUGIN_PATH", getenv("LOAM_TEST_PLUGINS"), 1);
	loam__diag_init(&diag);
	ck_assert_ptr_null(loam__plugin_load("godo", "f", 1, &diag));
	ck_assert_ptr_nonnull(strstr(diag.first->text, "did you mean 'good'"));
	loam__diag_clear(&diag);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("loader");
	TCase *t = tcase_create("loader");

	tcase_add_loop_test(t, each_broken_plugin_is_refused_in_one_line, 0, (int)LOAM_LEN(broken));
	tcase_add_test(t, a_good_plugin_is_loaded_once_and_completed);
	tcase_add_test(t, two_plugins_in_a_row_are_two_files);
	tcase_add_test(t, a_newer_minor_is_accepted_when_this_host_will_do);
	tcase_add_loop_test(t, a_refused_plugin_has_run_no_code, 0, 3);
	tcase_add_test(t, files_and_folders_that_others_may_write_to_are_refused);
	tcase_add_test(t, files_that_are_no_plugins_are_refused);
	tcase_add_test(t, a_misspelt_name_gets_the_nearest_one);
	suite_add_tcase(s, t);
	return fixture_run(s);
}
