/* SPDX-License-Identifier: MIT */
/* test-wire.c: the graph: references, filters, cycles, order; every defect at its line. */
#include "machine-fixture.h"

#include <string.h>

static struct loam_diag diag;
static struct loam__config *config;

static void use_test_plugins(void)
{
	char path[8192];

	snprintf(path, sizeof(path), "%s:%s", getenv("LOAM_TEST_PLUGINS"), getenv("LOAM_PLUGIN_PATH"));
	setenv("LOAM_PLUGIN_PATH", path, 1);
}

static struct loam__graph *wire(const char *text)
{
	loam__diag_init(&diag);
	config = loam__config_text("f", text, &diag);
	return loam__wire(config, &diag);
}

static void end(struct loam__graph *graph)
{
	loam__graph_free(graph);
	loam__config_free(config);
	loam__diag_clear(&diag);
}

#define FRAMES "[frames]\nplugin = buddy\n"
#define HEAP "[h]\nplugin = good\npages = frames\n"

static const struct {
	const char *text;
	int line;
	const char *says;
} bad[] = {
	{ "[a]\nx = 1\n", 1, "has no 'plugin'" },
	{ "[frames]\nplugin = budy\n", 2, "did you mean 'buddy'" },
	{ FRAMES "[o]\nplugin = slub\n", 3,
	  "port 'pages' is not filled; expected an instance with the role pages (frames)" },
	{ FRAMES "[o]\nplugin = slub\npages = fames\n", 5, "did you mean 'frames'" },
	{ FRAMES HEAP "[o]\nplugin = slub\npages = h\n", 8, "expected an instance with the role pages; [h] has heap" },
	{ FRAMES "[o]\nplugin = slub\npages = frames\nclases = fine\n", 6, "did you mean 'classes'" },
	{ FRAMES "[o]\nplugin = slub\npages = frames\nclasses = fin\n", 6, "expected one of kernel|fine" },
	{ FRAMES "[f]\nplugin = filter\npages = frames\nheap = f\n", 6, "cannot stand on itself" },
	{ FRAMES "[f]\nplugin = filter\npages = frames\nheap = g\n[g]\nplugin = filter\npages = frames\nheap = f\n", 3,
	  "a cycle: f -> g -> f" },
	{ FRAMES HEAP
	  "[f]\nplugin = filter\npages = frames\nheap = h\n[g]\nplugin = filter\npages = frames\nheap = h\n",
	  10, "which [f] filters already" },
	{ FRAMES HEAP "[f]\nplugin = filter\npages = frames\nheap = h\n[malloc]\nheap = h\n", 11,
	  "stands behind the filter [f]" },
	{ FRAMES HEAP "[f]\nplugin = filter\npages = frames\nheap = h\n[kernel]\nheap = h\n", 11,
	  "stands behind the filter [f]" },
	{ FRAMES "[more]\nplugin = buddy\n", 3, "a second page allocator" },
	{ FRAMES "[kernel]\npages = frames\nheaps = frames\n", 5, "did you mean 'heap'" },
	{ FRAMES HEAP "[kernel]\npages = h\n", 7, "expected an instance with the role pages; [h] has heap" },
	{ "[a]\nplugin = foreign\n[b]\nplugin = foreign\n", 3, "a second heap with memory of its own; [a] has" },
	{ "[machine]\nmemory = 300\n", 2, "at least 1M" },
	{ "[machine]\nmemory = 64M\nzones = DMA:80M NORMAL:*\n", 3, "does not fit" },
	{ "[machine]\nbackng = anon\n", 2, "did you mean 'backing'" },
	{ "[machine]\nmemory = 64M\nmin_free = 64M\n", 3, "less than the machine's memory" },
};

START_TEST(each_defect_is_told_with_its_line)
{
	struct loam__graph *graph;

	use_test_plugins();
	graph = wire(bad[_i].text);
	ck_assert_ptr_null(graph);
	ck_assert_uint_ge(diag.count, 1);
	ck_assert_msg(strstr(diag.first->text, bad[_i].says) != NULL, "%s", diag.first->text);
	ck_assert_int_eq(diag.first->line, bad[_i].line);
	if (!strstr(bad[_i].says, "cycle"))
		ck_assert_uint_eq(diag.count, 1);
	end(graph);
}
END_TEST

START_TEST(one_error_does_not_hide_the_others)
{
	struct loam__graph *graph =
		wire("[machine]\ncpus = 99\n[frames]\nplugin = bady\n[o]\nplugin = slub\npages = frames\n"
		     "classes = big\n[kernel]\nheap = nobody\n[malloc]\nlarge = x\n");
	static const int lines[] = { 2, 4, 8, 10, 12 };
	int n = 0;

	ck_assert_ptr_null(graph);
	ck_assert_uint_eq(diag.count, 5);
	for (struct loam_diag_msg *msg = diag.first; msg; msg = msg->next)
		ck_assert_int_eq(msg->line, lines[n++]);
	end(graph);
}
END_TEST

START_TEST(providers_come_before_consumers)
{
	struct loam__graph *graph =
		wire("[o]\nplugin = slub\npages = frames\n" FRAMES "[kernel]\nobjects = o\nheap = o\npages = frames\n");

	ck_assert_uint_eq(diag.count, 0);
	ck_assert_uint_eq(graph->nr, 2);
	ck_assert_str_eq(graph->instances[0]->name, "frames");
	ck_assert_ptr_eq(graph->frames, graph->instances[0]);
	ck_assert_ptr_eq(graph->kernel[LOAM_ROLE_HEAP], graph->instances[1]);
	ck_assert_ptr_eq(graph->instances[1]->targets[0], graph->instances[0]);
	end(graph);
}
END_TEST

START_TEST(a_filter_knows_what_it_stands_on)
{
	struct loam__graph *graph;

	use_test_plugins();
	graph = wire(FRAMES HEAP "[f]\nplugin = filter\npages = frames\nheap = h\n[malloc]\nheap = f\n");
	ck_assert_uint_eq(diag.count, 0);
	ck_assert_ptr_eq(loam__graph_find(graph, "h")->filter, loam__graph_find(graph, "f"));
	ck_assert_ptr_eq(loam__graph_find(graph, "f")->lower, loam__graph_find(graph, "h"));
	ck_assert_ptr_eq(graph->heap, loam__graph_find(graph, "f"));
	end(graph);
}
END_TEST

START_TEST(two_instances_of_one_plugin)
{
	struct loam__graph *graph =
		wire(FRAMES "[a]\nplugin = slub\npages = frames\nclasses = fine\n[b]\nplugin = slub\npages = frames\n");

	ck_assert_uint_eq(graph->nr, 3);
	ck_assert_ptr_eq(graph->instances[1]->plugin, graph->instances[2]->plugin);
	ck_assert_int_ne(graph->instances[1]->params[0].i, graph->instances[2]->params[0].i);
	end(graph);
}
END_TEST

START_TEST(nothing_at_all_is_a_machine)
{
	struct loam__graph *graph = wire("");

	ck_assert_uint_eq(diag.count, 0);
	ck_assert_uint_eq(graph->nr, 0);
	end(graph);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("wire");
	TCase *t = tcase_create("wire");

	tcase_add_loop_test(t, each_defect_is_told_with_its_line, 0, (int)LOAM_LEN(bad));
	tcase_add_test(t, one_error_does_not_hide_the_others);
	tcase_add_test(t, providers_come_before_consumers);
	tcase_add_test(t, a_filter_knows_what_it_stands_on);
	tcase_add_test(t, two_instances_of_one_plugin);
	tcase_add_test(t, nothing_at_all_is_a_machine);
	suite_add_tcase(s, t);
	return fixture_run(s);
}
