/* SPDX-License-Identifier: MIT */
/* diag.c: a list of error messages, each with its place. */
#include "diag.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void loam__diag_init(struct loam_diag *diag)
{
	diag->first = NULL;
	diag->last = &diag->first;
	diag->count = 0;
}

void loam__diag_clear(struct loam_diag *diag)
{
	while (diag->first) {
		struct loam_diag_msg *msg = diag->first;

		diag->first = msg->next;
		free(msg->file);
		free(msg->text);
		free(msg);
	}
	loam__diag_init(diag);
}

/* Whether @a belongs behind @b: later lines of the same file. */
static bool later(const struct loam_diag_msg *a, const struct loam_diag_msg *b)
{
	return a->file && b->file && !strcmp(a->file, b->file) && a->line > b->line;
}

void loam__diag_add(struct loam_diag *diag, const char *file, int line, const char *fmt, ...)
{
	struct loam_diag_msg *msg, **at;
	va_list args;

	if (!diag)
		return;
	diag->count++;
	msg = calloc(1, sizeof(*msg));
	if (!msg)
		return;
	va_start(args, fmt);
	if (vasprintf(&msg->text, fmt, args) < 0)
		msg->text = NULL;
	va_end(args);
	msg->file = file ? strdup(file) : NULL;
	msg->line = line;
	/* Behind the last message that is not later in the same file. */
	for (at = diag->last; at != &diag->first;) {
		struct loam_diag_msg **before = &diag->first;

		while (*before && &(*before)->next != at)
			before = &(*before)->next;
		if (!*before || !later(*before, msg))
			break;
		at = before;
	}
	msg->next = *at;
	*at = msg;
	if (!msg->next)
		diag->last = &msg->next;
}

void loam__diag_print(const struct loam_diag *diag, FILE *out)
{
	for (const struct loam_diag_msg *msg = diag->first; msg; msg = msg->next) {
		const char *text = msg->text ? msg->text : "out of memory";

		if (msg->file && msg->line)
			fprintf(out, "%s:%d: %s\n", msg->file, msg->line, text);
		else
			fprintf(out, "%s: %s\n", msg->file ? msg->file : "loam", text);
	}
}

#define WORD_MAX 64

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

static unsigned min2(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Edit distance in which two neighbours that changed places count one. */
static unsigned distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned rows[3][WORD_MAX + 1];

	for (size_t j = 0; j <= nb; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			char x = lower(a[i - 1]), y = lower(b[j - 1]);

			now[j] = min2(min2(last[j], now[j - 1]) + 1, last[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == lower(b[j - 2]) && lower(a[i - 2]) == y)
				now[j] = min2(now[j], before[j - 2] + 1);
		}
	}
	return rows[na % 3][nb];
}

const char *loam__nearest(const char *word, const char *const *names)
{
	size_t n = strlen(word);
	unsigned best = n / 3 > 1 ? (unsigned)(n / 3) : 1;
	const char *found = NULL;

	if (!n || n > WORD_MAX)
		return NULL;
	for (; *names; names++) {
		size_t m = strlen(*names);
		unsigned d = m && m <= WORD_MAX ? distance(word, n, *names, m) : WORD_MAX;

		if (d <= best && (d < best || !found)) {
			best = d;
			found = *names;
		}
	}
	return found;
}
