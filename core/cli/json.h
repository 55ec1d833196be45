/* SPDX-License-Identifier: MIT */
/* json.h: a writer of JSON, which keeps track of commas and escapes strings. */
#ifndef LOAM_CLI_JSON_H
#define LOAM_CLI_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
	FILE *out;
	unsigned depth;
	bool comma;
};

/** Open an object or array; @key is NULL inside an array and at the top. */
void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);
/** A NULL string is written as null. */
void json_string(struct json *json, const char *key, const char *value);
void json_number(struct json *json, const char *key, uint64_t value);
void json_bool(struct json *json, const char *key, bool value);

#endif
