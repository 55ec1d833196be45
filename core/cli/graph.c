/* SPDX-License-Identifier: MIT */
/* graph.c: draw the wiring: as a tree of text, for Graphviz, or as SVG. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const char *const help[] = { "--format=text|dot|svg",
				    "how to draw; text by default",
				    "-o section.key=value",
				    "change or add a key",
				    "--help",
				    "this text",
				    NULL };

/** An arrow: from a face or an instance to an instance, or to the machine (@to NULL). */
struct edge {
	const char *face; /* "[kernel] heap", or NULL */
	const struct loam_self *from, *to;
	const char *label; /* port, or key of the face */
	enum loam_role_id role;
};

typedef void (*edge_fn)(void *arg, const struct edge *edge);

static void face_edges(const struct loam__graph *graph, edge_fn fn, void *arg)
{
	for (int role = 0; role < LOAM_ROLE_COUNT; role++)
		if (graph->kernel[role])
			fn(arg, &(struct edge){ "kernel", NULL, graph->kernel[role], loam__role_name(role), role });
	if (graph->heap)
		fn(arg, &(struct edge){ "malloc", NULL, graph->heap, "heap", LOAM_ROLE_HEAP });
}

static void port_edges(const struct loam_self *self, edge_fn fn, void *arg)
{
	for (uint32_t p = 0; p < self->plugin->desc.nr_ports; p++)
		if (self->targets[p])
			fn(arg, &(struct edge){ NULL, self, self->targets[p], self->plugin->desc.ports[p].name,
						self->target_roles[p] });
}

static bool has_frames(const struct loam__graph *graph, const struct loam_self *self)
{
	const struct loam_self *bottom = graph->frames;

	while (bottom && bottom->lower)
		bottom = bottom->lower;
	return bottom == self;
}

/* ---- text ---- */

struct tree {
	const struct loam__graph *graph;
	unsigned depth;
};

static void tree_edge(void *arg, const struct edge *edge)
{
	struct tree *tree = arg;
	struct tree below = { tree->graph, tree->depth + 1 };

	if (edge->face)
		printf("[%s] %s", edge->face, edge->label);
	else
		printf("%*s%s", (int)tree->depth * 4, "", edge->label);
	printf(" -> [%s] %s\n", edge->to->name, edge->to->plugin->desc.name);
	port_edges(edge->to, tree_edge, &below);
	if (has_frames(tree->graph, edge->to))
		printf("%*sframes -> machine\n", (int)below.depth * 4, "");
}

static bool is_reached(const struct loam__graph *graph, const struct loam_self *self)
{
	for (int role = 0; role < LOAM_ROLE_COUNT; role++)
		if (graph->kernel[role] == self)
			return true;
	for (unsigned i = 0; i < graph->nr; i++)
		for (uint32_t p = 0; p < graph->instances[i]->plugin->desc.nr_ports; p++)
			if (graph->instances[i]->targets[p] == self)
				return true;
	return graph->heap == self;
}

static void draw_text(const struct loam__graph *graph)
{
	struct tree tree = { graph, 0 };

	face_edges(graph, tree_edge, &tree);
	for (unsigned i = 0; i < graph->nr; i++)
		if (!is_reached(graph, graph->instances[i])) {
			struct tree below = { graph, 1 };

			printf("(no face) -> [%s] %s\n", graph->instances[i]->name,
			       graph->instances[i]->plugin->desc.name);
			port_edges(graph->instances[i], tree_edge, &below);
		}
}

/* ---- DOT ---- */

static void dot_edge(void *arg, const struct edge *edge)
{
	(void)arg;
	printf("  \"%s%s\" -> \"%s\" [label=\"%s\"];\n", edge->face ? "face " : "",
	       edge->face ? edge->face : edge->from->name, edge->to->name, edge->label);
}

static void draw_dot(const struct loam__graph *graph)
{
	printf("digraph loam {\n  node [shape=box];\n  \"machine\" [shape=cylinder];\n");
	for (unsigned i = 0; i < graph->nr; i++)
		printf("  \"%s\" [label=\"%s\\n%s\"];\n", graph->instances[i]->name, graph->instances[i]->name,
		       graph->instances[i]->plugin->desc.name);
	printf("  \"face kernel\" [label=\"kernel API\", shape=ellipse];\n  \"face malloc\" [label=\"malloc\", "
	       "shape=ellipse];\n");
	face_edges(graph, dot_edge, NULL);
	for (unsigned i = 0; i < graph->nr; i++) {
		port_edges(graph->instances[i], dot_edge, NULL);
		if (has_frames(graph, graph->instances[i]))
			printf("  \"%s\" -> \"machine\" [label=\"frames\"];\n", graph->instances[i]->name);
	}
	printf("}\n");
}

/* ---- SVG: a row for each distance from the machine, faces on top ---- */

#define BOX_W 150
#define BOX_H 46
#define GAP_X 40
#define GAP_Y 54

struct drawing {
	const struct loam__graph *graph;
	unsigned *row, *column; /* by index */
	unsigned rows, columns;
};

static void lay_out(struct drawing *d)
{
	unsigned *used;

	/* Providers come first, so each row is known when it is asked for. Row 0 is the machine's. */
	for (unsigned i = 0; i < d->graph->nr; i++) {
		const struct loam_self *self = d->graph->instances[i];

		d->row[i] = 1;
		for (uint32_t p = 0; p < self->plugin->desc.nr_ports; p++)
			if (self->targets[p] && d->row[self->targets[p]->index] >= d->row[i])
				d->row[i] = d->row[self->targets[p]->index] + 1;
		d->rows = d->row[i] > d->rows ? d->row[i] : d->rows;
	}
	used = calloc(d->rows + 2, sizeof(*used));
	for (unsigned i = 0; used && i < d->graph->nr; i++) {
		d->column[i] = used[d->row[i]]++;
		d->columns = used[d->row[i]] > d->columns ? used[d->row[i]] : d->columns;
	}
	free(used);
	d->columns = d->columns < 2 ? 2 : d->columns;
}

static unsigned x_of(unsigned column)
{
	return 20 + column * (BOX_W + GAP_X);
}

static unsigned y_of(const struct drawing *d, unsigned row)
{
	return 20 + (d->rows + 1 - row) * (BOX_H + GAP_Y);
}

/* Names are letters, digits, - and _, so nothing needs escaping. */
static void svg_box(unsigned x, unsigned y, const char *fill, const char *name, const char *detail)
{
	printf("  <rect x=\"%u\" y=\"%u\" width=\"%d\" height=\"%d\" rx=\"6\" fill=\"%s\" stroke=\"#444\"/>\n", x, y,
	       BOX_W, BOX_H, fill);
	printf("  <text x=\"%u\" y=\"%u\" text-anchor=\"middle\" font-weight=\"bold\">%s</text>\n", x + BOX_W / 2,
	       y + 20, name);
	printf("  <text x=\"%u\" y=\"%u\" text-anchor=\"middle\" fill=\"#555\">%s</text>\n", x + BOX_W / 2, y + 37,
	       detail);
}

static void svg_arrow(unsigned x1, unsigned y1, unsigned x2, unsigned y2, const char *label)
{
	printf("  <line x1=\"%u\" y1=\"%u\" x2=\"%u\" y2=\"%u\" stroke=\"#444\" marker-end=\"url(#tip)\"/>\n", x1, y1,
	       x2, y2);
	printf("  <text x=\"%u\" y=\"%u\" fill=\"#06c\" font-size=\"11\">%s</text>\n", (x1 + x2) / 2 + 5,
	       (y1 + y2) / 2 + 4, label);
}

static void svg_edge(void *arg, const struct edge *edge)
{
	const struct drawing *d = arg;
	unsigned face = edge->face && !strcmp(edge->face, "malloc");
	unsigned from_x = edge->face ? x_of(face) : x_of(d->column[edge->from->index]);
	unsigned from_y = edge->face ? y_of(d, d->rows + 1) : y_of(d, d->row[edge->from->index]);
	/* Arrows of several roles from one face do not lie on each other. */
	unsigned shift = edge->face && !face ? edge->role * 26 : 0;

	svg_arrow(from_x + 20 + (shift ? shift : BOX_W / 2 - 20), from_y + BOX_H,
		  x_of(d->column[edge->to->index]) + 20 + (shift ? shift : BOX_W / 2 - 20),
		  y_of(d, d->row[edge->to->index]), edge->label);
}

static int draw_svg(const struct loam__graph *graph)
{
	struct drawing d = { .graph = graph, .rows = 0 };
	unsigned width, height;

	d.row = calloc(graph->nr + 1, sizeof(*d.row));
	d.column = calloc(graph->nr + 1, sizeof(*d.column));
	if (!d.row || !d.column) {
		free(d.row);
		free(d.column);
		return 1;
	}
	lay_out(&d);
	width = x_of(d.columns) - GAP_X + 20;
	height = y_of(&d, 0) + BOX_H + 20;
	printf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" font-family=\"sans-serif\" "
	       "font-size=\"13\">\n",
	       width, height);
	printf("  <defs><marker id=\"tip\" markerWidth=\"9\" markerHeight=\"9\" refX=\"8\" refY=\"4\" orient=\"auto\">"
	       "<path d=\"M0,0 L9,4 L0,8 z\" fill=\"#444\"/></marker></defs>\n");
	printf("  <rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n");
	svg_box(x_of(0), y_of(&d, d.rows + 1), "#e8f0fe", "kernel API", "face");
	svg_box(x_of(1), y_of(&d, d.rows + 1), "#e8f0fe", "malloc", "face");
	svg_box(x_of(0), y_of(&d, 0), "#f1f1f1", "machine", "memory");
	for (unsigned i = 0; i < graph->nr; i++)
		svg_box(x_of(d.column[i]), y_of(&d, d.row[i]), "#fff7e0", graph->instances[i]->name,
			graph->instances[i]->plugin->desc.name);
	face_edges(graph, svg_edge, &d);
	for (unsigned i = 0; i < graph->nr; i++) {
		port_edges(graph->instances[i], svg_edge, &d);
		if (has_frames(graph, graph->instances[i]))
			svg_arrow(x_of(d.column[i]) + BOX_W / 2, y_of(&d, d.row[i]) + BOX_H, x_of(0) + BOX_W / 2,
				  y_of(&d, 0), "frames");
	}
	printf("</svg>\n");
	free(d.row);
	free(d.column);
	return 0;
}

static int run(int argc, char **argv)
{
	struct loam__config *config;
	struct loam__graph *graph;
	struct cli_options options;
	const char *format;
	int status = cli_options(&cli_graph, argc, argv, "of", true, &options);

	if (status >= 0)
		return status;
	format = options.format ? options.format : "text";
	if (strcmp(format, "text") && strcmp(format, "dot") && strcmp(format, "svg"))
		return cli_usage(&cli_graph, "format '%s'; expected text, dot or svg", format);
	if (options.first + 1 != argc)
		return cli_usage(&cli_graph, "expected one CONFIG");
	graph = cli_wire(argv[options.first], options.overrides, options.nr_overrides, &config);
	if (!graph)
		return 1;
	status = 0;
	if (format[0] == 't')
		draw_text(graph);
	else if (format[0] == 'd')
		draw_dot(graph);
	else
		status = draw_svg(graph);
	loam__graph_free(graph);
	loam__config_free(config);
	return status;
}

const struct cli_command cli_graph = { "graph", "CONFIG [--format=text|dot|svg] [-o section.key=value]...",
				       "draw how a configuration is wired", help, run };
