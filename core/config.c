/* SPDX-License-Identifier: MIT */
/*
 * config.c: the configuration file.
 *
 * libinih parses; as Debian builds it, it tells no line numbers, cuts lines at 200 bytes and names at 49, joins an indented
 * line to the key before it, and says nothing of a section without keys. So it is fed line by line through a reader of
 * our own, which counts the lines, records the sections, and refuses what libinih would change in silence; a refused line
 * reaches libinih as a comment.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 198 /* libinih's buffer, less newline and NUL */
#define NAME_MAX_BYTES 49

struct reader {
	const char *text, *end; /* what is still to read */
	const char *file;
	int line;
	struct loam__config *config;
	struct loam__section *section;
	bool skip;    /* the section was refused: its keys are not looked at */
	bool printed; /* by us: comments say where the lines once stood */
	char *place;  /* the file that the last of those named */
	struct loam_diag *diag;
};

/* ---- building ---- */

static struct loam__section *section_add(struct loam__config *config, const char *name, const char *file, int line)
{
	struct loam__section **at = &config->sections, *section = calloc(1, sizeof(*section));

	if (!section)
		return NULL;
	section->name = strdup(name);
	section->file = strdup(file);
	section->line = line;
	while (*at)
		at = &(*at)->next;
	*at = section;
	return section;
}

static struct loam__entry *entry_add(struct loam__section *section, const char *key, const char *value,
				     const char *file, int line)
{
	struct loam__entry **at = &section->entries, *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->key = strdup(key);
	entry->value = strdup(value);
	entry->file = strdup(file);
	entry->line = line;
	while (*at)
		at = &(*at)->next;
	*at = entry;
	return entry;
}

static void entry_free(struct loam__entry *entry)
{
	free(entry->key);
	free(entry->value);
	free(entry->file);
	free(entry);
}

void loam__config_free(struct loam__config *config)
{
	if (!config)
		return;
	while (config->sections) {
		struct loam__section *section = config->sections;

		config->sections = section->next;
		while (section->entries) {
			struct loam__entry *entry = section->entries;

			section->entries = entry->next;
			entry_free(entry);
		}
		free(section->name);
		free(section->file);
		free(section);
	}
	free(config);
}

struct loam__section *loam__config_section(const struct loam__config *config, const char *name)
{
	for (struct loam__section *section = config->sections; section; section = section->next)
		if (!strcmp(section->name, name))
			return section;
	return NULL;
}

struct loam__entry *loam__section_entry(const struct loam__section *section, const char *key)
{
	for (struct loam__entry *entry = section ? section->entries : NULL; entry; entry = entry->next)
		if (!strcmp(entry->key, key))
			return entry;
	return NULL;
}

/* Letters, digits, - and _: what a section or key is called. */
static bool name_ok(const char *name, size_t n)
{
	if (!n || n > NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '_')
			return false;
	return true;
}

/* ---- reading ---- */

static void section_line(struct reader *reader, const char *line, size_t n)
{
	const char *close = memchr(line, ']', n);
	struct loam__section *before;
	const char *rest;
	char name[NAME_MAX_BYTES + 1];

	reader->skip = true;
	if (!close) {
		loam__diag_add(reader->diag, reader->file, reader->line, "a section's name has no ']' behind it");
		return;
	}
	if (!name_ok(line + 1, (size_t)(close - line - 1))) {
		loam__diag_add(reader->diag, reader->file, reader->line,
			       "bad section name '%.*s'; expected 1 to %d letters, digits, '-' and '_'",
			       (int)(close - line - 1), line + 1, NAME_MAX_BYTES);
		return;
	}
	for (rest = close + 1; rest < line + n && isspace((unsigned char)*rest); rest++)
		;
	if (rest < line + n && *rest != ';' && *rest != '#') {
		loam__diag_add(reader->diag, reader->file, reader->line, "text behind the section's ']'");
		return;
	}
	memcpy(name, line + 1, (size_t)(close - line - 1));
	name[close - line - 1] = '\0';
	before = loam__config_section(reader->config, name);
	if (before) {
		loam__diag_add(reader->diag, reader->file, reader->line, "section [%s] again; the first is on line %d",
			       name, before->line);
		return;
	}
	reader->skip = false;
	reader->section = section_add(reader->config, name, reader->file, reader->line);
}

/* A line that is no section and no comment: whether libinih will see in it what the writer meant. */
static bool key_line_ok(struct reader *reader, const char *line, size_t n)
{
	const char *equals = memchr(line, '=', n), *colon = memchr(line, ':', n);
	size_t key;

	if (!equals) {
		loam__diag_add(reader->diag, reader->file, reader->line, "expected 'key = value' or '[section]'");
		return false;
	}
	if (colon && colon < equals) {
		loam__diag_add(reader->diag, reader->file, reader->line, "':' in a key; expected 'key = value'");
		return false;
	}
	for (key = (size_t)(equals - line); key && isspace((unsigned char)line[key - 1]); key--)
		;
	if (!name_ok(line, key)) {
		loam__diag_add(reader->diag, reader->file, reader->line,
			       "bad key '%.*s'; expected 1 to %d letters, digits, '-' and '_'", (int)key, line,
			       NAME_MAX_BYTES);
		return false;
	}
	if (!reader->section && !reader->skip) {
		loam__diag_add(reader->diag, reader->file, reader->line, "key '%.*s' before the first [section]",
			       (int)key, line);
		return false;
	}
	return !reader->skip;
}

static bool line_ok(struct reader *reader, const char *line, size_t n)
{
	size_t blank = 0;

	while (blank < n && isspace((unsigned char)line[blank]))
		blank++;
	if (blank == n || line[blank] == ';' || line[blank] == '#')
		return false; /* nothing in it; a comment may be long */
	if (memchr(line, '\0', n)) {
		loam__diag_add(reader->diag, reader->file, reader->line, "a NUL byte");
		return false;
	}
	if (n > LINE_MAX_BYTES) {
		loam__diag_add(reader->diag, reader->file, reader->line, "%zu bytes in a line; at most %d", n,
			       LINE_MAX_BYTES);
		return false;
	}
	if (line[blank] == '[') {
		section_line(reader, line + blank, n - blank);
		return !reader->skip && !blank;
	}
	if (blank) {
		loam__diag_add(reader->diag, reader->file, reader->line,
			       "an indented line; values do not go on over several lines");
		return false;
	}
	return key_line_ok(reader, line, n);
}

/* ";@12 lab.conf": the next line stood on line 12 of lab.conf. */
static bool place_line(struct reader *reader, const char *line, size_t n)
{
	char *name;
	long at;

	if (!reader->printed || n < 4 || memcmp(line, ";@", 2))
		return false;
	at = strtol(line + 2, &name, 10);
	if (*name != ' ' || name >= line + n)
		return false;
	free(reader->place);
	reader->place = strndup(name + 1, (size_t)(line + n - name - 1));
	reader->file = reader->place ? reader->place : "?";
	reader->line = (int)at - 1;
	return true;
}

/* libinih's reader: the next line, or an empty comment in its place. */
static char *next_line(char *buffer, int size, void *stream)
{
	struct reader *reader = stream;
	const char *line = reader->text, *end;
	size_t n;

	if (line >= reader->end)
		return NULL;
	end = memchr(line, '\n', (size_t)(reader->end - line));
	end = end ? end : reader->end;
	reader->text = end + 1;
	reader->line++;
	n = (size_t)(end - line);
	if (n && line[n - 1] == '\r')
		n--;
	if (place_line(reader, line, n) || !line_ok(reader, line, n)) {
		strcpy(buffer, ";\n");
		return buffer;
	}
	/* How large the buffer is depends on how libinih was built. */
	if (n + 2 > (size_t)size) {
		loam__diag_add(reader->diag, reader->file, reader->line, "%zu bytes in a line; at most %d", n,
			       size - 2);
		strcpy(buffer, ";\n");
		return buffer;
	}
	memcpy(buffer, line, n);
	memcpy(buffer + n, "\n", 2);
	return buffer;
}

static int on_entry(void *user, const char *section, const char *key, const char *value)
{
	struct reader *reader = user;
	struct loam__entry *before;

	(void)section;
	before = loam__section_entry(reader->section, key);
	if (before) {
		loam__diag_add(reader->diag, reader->file, reader->line, "[%s] %s again; the first is on line %d",
			       reader->section->name, key, before->line);
		return 1;
	}
	if (!*value) {
		loam__diag_add(reader->diag, reader->file, reader->line, "[%s] %s has no value", reader->section->name,
			       key);
		return 1;
	}
	/* "x =;y" would be a value, "x = ;y" none: nobody means that. */
	if (*value == ';') {
		loam__diag_add(reader->diag, reader->file, reader->line, "[%s] %s: the value begins with ';'",
			       reader->section->name, key);
		return 1;
	}
	entry_add(reader->section, key, value, reader->file, reader->line);
	return 1;
}

static struct loam__config *read_text(const char *name, const char *text, size_t n, struct loam_diag *diag)
{
	struct reader reader = { .text = text, .end = text + n, .diag = diag };

	reader.file = name ? name : "configuration";
	reader.printed = !name;

	reader.config = calloc(1, sizeof(*reader.config));
	if (!reader.config)
		return NULL;
	if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		reader.text += 3;
	ini_parse_stream(next_line, &reader, on_entry, &reader);
	free(reader.place);
	return reader.config;
}

struct loam__config *loam__config_text(const char *name, const char *text, struct loam_diag *diag)
{
	return read_text(name, text, strlen(text), diag);
}

struct loam__config *loam__config_file(const char *path, struct loam_diag *diag)
{
	FILE *file = fopen(path, "re");
	struct loam__config *config = NULL;
	char *text = NULL, chunk[4096];
	size_t n = 0, got;
	FILE *all = file ? open_memstream(&text, &n) : NULL;

	if (!all) {
		loam__diag_add(diag, path, 0, "cannot read: %s", strerror(errno));
		if (file)
			fclose(file);
		return calloc(1, sizeof(*config));
	}
	while ((got = fread(chunk, 1, sizeof(chunk), file)) > 0)
		fwrite(chunk, 1, got, all);
	if (ferror(file))
		loam__diag_add(diag, path, 0, "cannot read: %s", strerror(errno));
	fclose(file);
	if (!fclose(all))
		config = read_text(path, text, n, diag);
	free(text);
	return config;
}

/* ---- overrides and printing ---- */

/* Whether a value would come back from the file as it is. */
static bool value_ok(const char *value)
{
	size_t n = strlen(value);

	if (!n || isspace((unsigned char)value[0]) || isspace((unsigned char)value[n - 1]) || strchr(value, '\n'))
		return false;
	for (size_t i = 1; i < n; i++)
		if (value[i] == ';' && isspace((unsigned char)value[i - 1]))
			return false;
	return value[0] != ';';
}

bool loam__config_set(struct loam__config *config, const char *spec, struct loam_diag *diag)
{
	const char *dot = strchr(spec, '.'), *equals = strchr(spec, '=');
	char section_name[NAME_MAX_BYTES + 1], key[NAME_MAX_BYTES + 1];
	struct loam__section *section;
	struct loam__entry *entry;

	if (!dot || !equals || dot > equals || !name_ok(spec, (size_t)(dot - spec)) ||
	    !name_ok(dot + 1, (size_t)(equals - dot - 1))) {
		loam__diag_add(diag, "-o", 0, "'%s': expected section.key=value", spec);
		return false;
	}
	if (!value_ok(equals + 1) || strlen(dot) > LINE_MAX_BYTES - 3) {
		loam__diag_add(diag, "-o", 0, "'%s': the value is empty, too long, or could not stand in a file", spec);
		return false;
	}
	snprintf(section_name, sizeof(section_name), "%.*s", (int)(dot - spec), spec);
	snprintf(key, sizeof(key), "%.*s", (int)(equals - dot - 1), dot + 1);
	section = loam__config_section(config, section_name);
	if (!section)
		section = section_add(config, section_name, "-o", 0);
	entry = loam__section_entry(section, key);
	if (!entry)
		return entry_add(section, key, equals + 1, "-o", 0) != NULL;
	free(entry->value);
	free(entry->file);
	entry->value = strdup(equals + 1);
	entry->file = strdup("-o");
	entry->line = 0;
	return true;
}

struct printing {
	FILE *out;
	const char *file;
	int line;
};

/* Where the next line stood, unless it is behind the last one. */
static void print_place(struct printing *printing, const char *file, int line)
{
	if (!printing->file || strcmp(printing->file, file) || line != printing->line + 1)
		fprintf(printing->out, ";@%d %s\n", line, strchr(file, '\n') ? "?" : file);
	printing->file = file;
	printing->line = line;
}

char *loam__config_print(const struct loam__config *config)
{
	char *text = NULL;
	size_t n;
	struct printing printing = { .out = open_memstream(&text, &n) };

	if (!printing.out)
		return NULL;
	for (const struct loam__section *section = config->sections; section; section = section->next) {
		print_place(&printing, section->file, section->line);
		fprintf(printing.out, "[%s]\n", section->name);
		for (const struct loam__entry *entry = section->entries; entry; entry = entry->next) {
			print_place(&printing, entry->file, entry->line);
			/* No spaces: a line that could be read is not too long when it is printed. */
			fprintf(printing.out, "%s=%s\n", entry->key, entry->value);
		}
	}
	return fclose(printing.out) ? NULL : text;
}
