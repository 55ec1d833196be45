/* SPDX-License-Identifier: MIT */
/* param.c: declared parameters from text. */
#include "param.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int loam__size_parse(const char *text, uint64_t *size)
{
	static const char units[] = "KMGT";
	uint64_t value = 0;
	const char *unit;
	unsigned shift;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	for (; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return -EINVAL;
	if (!*text) {
		*size = value;
		return 0;
	}
	unit = strchr(units, *text >= 'a' ? *text - 'a' + 'A' : *text);
	if (!unit || text[1])
		return -EINVAL;
	shift = 10 * (unsigned)(unit - units + 1);
	if (value >> (64 - shift))
		return -EINVAL;
	*size = value << shift;
	return 0;
}

char *loam__size_print(uint64_t size, char *buf)
{
	static const char units[] = "\0KMGT";
	unsigned unit = 0;

	while (size && !(size % 1024) && unit < 4) {
		size /= 1024;
		unit++;
	}
	snprintf(buf, 24, "%llu%c", (unsigned long long)size, units[unit]);
	return buf;
}

char *loam__param_type_name(const struct loam_param *param, char *buf, size_t size)
{
	static const char *const names[] = { "bool", "int", "size", "real", "enum", "string" };
	size_t n = 0;

	if (param->type != LOAM_PARAM_ENUM || !param->choices) {
		snprintf(buf, size, "%s", param->type < LOAM_LEN(names) ? names[param->type] : "?");
		return buf;
	}
	buf[0] = '\0';
	for (const char *const *choice = param->choices; *choice && n < size; choice++)
		n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? "|" : "", *choice);
	return buf;
}

static int parse_bool(const char *text, bool *value)
{
	static const char *const words[] = { "off", "on", "no", "yes", "false", "true", "0", "1" };

	for (unsigned i = 0; i < LOAM_LEN(words); i++)
		if (!strcasecmp(text, words[i])) {
			*value = i & 1;
			return 0;
		}
	return -EINVAL;
}

static int parse_int(const char *text, int64_t *value)
{
	char *end;

	if (!*text || strchr(" \t+", *text))
		return -EINVAL;
	errno = 0;
	*value = strtoll(text, &end, 0);
	return *end || errno ? -EINVAL : 0;
}

static int parse_real(const char *text, double *value)
{
	char *end;

	if (!*text || strchr(" \t+", *text))
		return -EINVAL;
	*value = strtod(text, &end);
	return *end || !isfinite(*value) ? -EINVAL : 0;
}

static bool in_range(const struct loam_param *param, const union loam_value *value)
{
	if (!param->min && !param->max)
		return true;
	switch (param->type) {
	case LOAM_PARAM_INT:
		return value->i >= param->min && value->i <= param->max;
	case LOAM_PARAM_SIZE:
		return value->u >= (uint64_t)param->min && value->u <= (uint64_t)param->max;
	case LOAM_PARAM_REAL:
		return value->r >= (double)param->min && value->r <= (double)param->max;
	default:
		return true;
	}
}

/* "expected a size such as 64K, from 4K to 1G" */
static void explain(const struct loam_param *param, const char *text, char *why, size_t size)
{
	static const char *const what[] = { "on or off", "a whole number", "a size such as 64K or 16M",
					    "a number",  "one of",         "text" };
	char low[24], high[24], list[200];
	const char *near = NULL;
	int n;

	n = snprintf(why, size, "expected %s", param->type < LOAM_LEN(what) ? what[param->type] : "?");
	if (n < 0 || (size_t)n >= size)
		return;
	if (param->type == LOAM_PARAM_ENUM) {
		near = loam__nearest(text, param->choices);
		snprintf(why + n, size - (size_t)n, " %s%s%s%s", loam__param_type_name(param, list, sizeof(list)),
			 near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	} else if (param->type == LOAM_PARAM_SIZE && (param->min || param->max)) {
		snprintf(why + n, size - (size_t)n, ", from %s to %s", loam__size_print((uint64_t)param->min, low),
			 loam__size_print((uint64_t)param->max, high));
	} else if ((param->type == LOAM_PARAM_INT || param->type == LOAM_PARAM_REAL) && (param->min || param->max)) {
		snprintf(why + n, size - (size_t)n, " from %lld to %lld", (long long)param->min, (long long)param->max);
	}
}

int loam__param_parse(const struct loam_param *param, const char *text, union loam_value *value, char *why,
		      size_t why_size)
{
	int error = -EINVAL;

	memset(value, 0, sizeof(*value));
	switch (param->type) {
	case LOAM_PARAM_BOOL:
		error = parse_bool(text, &value->b);
		break;
	case LOAM_PARAM_INT:
		error = parse_int(text, &value->i);
		break;
	case LOAM_PARAM_SIZE:
		error = loam__size_parse(text, &value->u);
		break;
	case LOAM_PARAM_REAL:
		error = parse_real(text, &value->r);
		break;
	case LOAM_PARAM_ENUM:
		for (int64_t i = 0; param->choices[i]; i++)
			if (!strcmp(param->choices[i], text)) {
				value->i = i;
				error = 0;
			}
		break;
	case LOAM_PARAM_STRING:
		value->s = text;
		error = 0;
		break;
	}
	if (!error && !in_range(param, value))
		error = -EINVAL;
	if (error)
		explain(param, text, why, why_size);
	return error;
}

/* All names that the section may have, for the nearest one. */
static void unknown_key(const struct loam__section *section, const struct loam__entry *entry,
			const struct loam_param *params, unsigned n, const char *const *others, struct loam_diag *diag)
{
	const char *names[128], *near;
	unsigned nr = 0;

	for (unsigned i = 0; i < n && nr < LOAM_LEN(names) - 1; i++)
		names[nr++] = params[i].name;
	for (; others && *others && nr < LOAM_LEN(names) - 1; others++)
		names[nr++] = *others;
	names[nr] = NULL;
	near = loam__nearest(entry->key, names);
	if (near)
		loam__diag_add(diag, entry->file, entry->line, "[%s] unknown key '%s'; did you mean '%s'?",
			       section->name, entry->key, near);
	else
		loam__diag_add(diag, entry->file, entry->line, "[%s] unknown key '%s'", section->name, entry->key);
}

static bool known(const char *key, const struct loam_param *params, unsigned n, const char *const *others)
{
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(params[i].name, key))
			return true;
	for (; others && *others; others++)
		if (!strcmp(*others, key))
			return true;
	return false;
}

static unsigned read_one(const struct loam__section *section, const struct loam_param *param, union loam_value *value,
			 struct loam_diag *diag)
{
	const struct loam__entry *entry = loam__section_entry(section, param->name);
	const char *text = entry ? entry->value : param->def;
	char why[300];

	if (!text) {
		loam__diag_add(diag, section ? section->file : NULL, section ? section->line : 0,
			       "[%s] key '%s' is missing: %s", section ? section->name : "?", param->name,
			       param->help ? param->help : "it has no default");
		return 1;
	}
	if (!loam__param_parse(param, text, value, why, sizeof(why)))
		return 0;
	loam__diag_add(diag, entry ? entry->file : NULL, entry ? entry->line : 0, "[%s] %s = %s: %s",
		       section ? section->name : "?", param->name, text, why);
	return 1;
}

unsigned loam__params_read(const struct loam__section *section, const struct loam_param *params, unsigned n,
			   const char *const *others, union loam_value *values, struct loam_diag *diag)
{
	unsigned errors = 0;

	for (unsigned i = 0; i < n; i++)
		errors += read_one(section, &params[i], &values[i], diag);
	for (const struct loam__entry *entry = section ? section->entries : NULL; entry; entry = entry->next)
		if (!known(entry->key, params, n, others)) {
			unknown_key(section, entry, params, n, others, diag);
			errors++;
		}
	return errors;
}
