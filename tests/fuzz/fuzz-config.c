/* SPDX-License-Identifier: MIT */
/* fuzz-config.c: the reader of configurations. What is read prints, and what is printed reads back the same, places included. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct loam__config *config)
{
	char *text = loam__config_print(config), *again_text;
	struct loam_diag diag;
	struct loam__config *again;

	loam__diag_init(&diag);
	again = loam__config_text(NULL, text, &diag);
	again_text = loam__config_print(again);
	if (diag.count || strcmp(text, again_text))
		abort();
	free(text);
	free(again_text);
	loam__config_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), *spec = strrchr(text, '\n');
	struct loam__config *config;
	struct loam_diag diag;

	loam__diag_init(&diag);
	config = loam__config_text("fuzz", text, &diag);
	if (config && !diag.count)
		check(config);
	/* The last line as an override. */
	if (config && spec && loam__config_set(config, spec + 1, &diag) && !diag.count)
		check(config);
	loam__diag_clear(&diag);
	loam__config_free(config);
	free(text);
	return 0;
}
