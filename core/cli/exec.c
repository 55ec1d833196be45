/* SPDX-License-Identifier: MIT */
/*
 * exec.c: run a program with its malloc served by the configured heap.
 *
 * The configuration is checked here, so that an error is told before anything starts, and travels in the environment as text
 * with the plugins' full paths: the program may change its folder or root. What a preloaded library cannot reach is
 * refused: programs without a dynamic linker, and those that run with other rights than ours.
 */
#include "cli.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *const help[] = { "-o section.key=value",
				    "change or add a key",
				    "--summary[=FILE]",
				    "at exit, tell what the machine did (standard error)",
				    "--json",
				    "the summary as JSON",
				    "--help",
				    "this text",
				    NULL };

static int refuse(const char *program, const char *why)
{
	fprintf(stderr, "loam exec: %s: %s\n", program, why);
	return 1;
}

/* The file that execvp would run. Caller frees. */
static char *find_program(const char *name)
{
	const char *path = getenv("PATH");
	char *copy, *rest, *folder, *file = NULL;

	if (strchr(name, '/'))
		return access(name, F_OK) ? NULL : strdup(name);
	copy = rest = strdup(path ? path : "/bin:/usr/bin");
	while (!file && (folder = strsep(&rest, ":"))) {
		if (asprintf(&file, "%s/%s", *folder ? folder : ".", name) < 0)
			file = NULL;
		if (file && access(file, X_OK)) {
			free(file);
			file = NULL;
		}
	}
	free(copy);
	return file;
}

static const char *rights_differ(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "not a regular file";
	if ((st.st_mode & S_ISUID && st.st_uid != geteuid()) || (st.st_mode & S_ISGID && st.st_gid != getegid()))
		return "a setuid or setgid program; it would ignore the preloaded library";
	if (fgetxattr(fd, "security.capability", NULL, 0) > 0 && geteuid())
		return "a program with file capabilities; it would ignore the preloaded library";
	return NULL;
}

/* Whether the ELF file has a dynamic linker, and is for this machine. */
static const char *not_dynamic(int fd, const Elf64_Ehdr *header)
{
	const uint16_t machine =
#if defined(__x86_64__)
		EM_X86_64;
#else
		EM_AARCH64;
#endif
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != machine)
		return "a program for another machine";
	for (unsigned i = 0; i < header->e_phnum; i++) {
		Elf64_Phdr segment;

		if (pread(fd, &segment, sizeof(segment), (off_t)(header->e_phoff + i * sizeof(segment))) !=
		    sizeof(segment))
			return "a truncated program";
		if (segment.p_type == PT_INTERP)
			return NULL;
	}
	return "a static program; it has no dynamic linker to preload anything";
}

static const char *judge(const char *file, unsigned depth);

/* "#!interpreter argument": what counts is the interpreter. */
static const char *judge_script(char *line, unsigned depth)
{
	char *name = line + 2 + strspn(line + 2, " \t");

	name[strcspn(name, " \t\r\n")] = '\0';
	return depth < 4 ? judge(name, depth + 1) : "scripts that interpret scripts, too deep";
}

/* Why the program cannot be run with a preloaded malloc, or NULL. */
static const char *judge(const char *file, unsigned depth)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	union {
		Elf64_Ehdr header;
		char line[256];
	} start;
	const char *why;
	ssize_t n;

	/* Executable but not readable: nothing can be said, the system will. */
	if (fd < 0)
		return errno == EACCES && !access(file, X_OK) ? NULL : strerror(errno);
	memset(&start, 0, sizeof(start));
	n = pread(fd, &start, sizeof(start) - 1, 0);
	why = rights_differ(fd);
	if (!why && n >= (ssize_t)sizeof(start.header) && !memcmp(start.header.e_ident, ELFMAG, SELFMAG))
		why = not_dynamic(fd, &start.header);
	else if (!why && n > 2 && !memcmp(start.line, "#!", 2))
		why = judge_script(start.line, depth);
	close(fd);
	return why;
}

/* The configuration with the plugins' full paths. */
static char *resolved_text(struct loam__config *config, const struct loam__graph *graph)
{
	for (unsigned i = 0; i < graph->nr; i++) {
		struct loam__section *section = loam__config_section(config, graph->instances[i]->name);
		struct loam__entry *entry = section ? loam__section_entry(section, "plugin") : NULL;

		/* A conversion of roles has no section; it will be implied again. */
		if (!entry)
			continue;
		free(entry->value);
		entry->value = strdup(graph->instances[i]->plugin->path);
	}
	return loam__config_print(config);
}

static int check_config(const struct loam__graph *graph, const char *name)
{
	if (!graph->heap) {
		fprintf(stderr, "%s: [malloc] heap is missing: which instance serves malloc?\n", name);
		return 1;
	}
	if (graph->machine[LOAM_M_BACKING].i != LOAM_BACKING_ANON) {
		fprintf(stderr, "%s: a program's malloc needs [machine] backing = anon, which fork copies\n", name);
		return 1;
	}
	return 0;
}

static int set_preload(void)
{
	const char *ours = getenv("LOAM_MALLOC_LIB"), *others = getenv("LD_PRELOAD");
	char *preload;

	ours = ours ? ours : LOAM_LIB_DIR "/libloam-malloc.so.0";
	if (access(ours, R_OK)) {
		fprintf(stderr, "loam exec: %s: %s\n", ours, strerror(errno));
		return 1;
	}
	if (asprintf(&preload, "%s%s%s", ours, others && *others ? ":" : "", others ? others : "") < 0)
		return 1;
	setenv("LD_PRELOAD", preload, 1);
	free(preload);
	return 0;
}

/* A summary's file by its full path: the program may change its folder before it exits. */
static void set_summary(const struct cli_options *options)
{
	char *cwd, *path = NULL, pid[24];

	unsetenv("LOAM_SUMMARY_JSON");
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	setenv("LOAM_SUMMARY_PID", pid, 1);
	if (!options->summary) {
		unsetenv("LOAM_SUMMARY");
		return;
	}
	cwd = options->summary[0] == '/' || !strcmp(options->summary, "-") ? NULL : getcwd(NULL, 0);
	if (cwd && asprintf(&path, "%s/%s", cwd, options->summary) < 0)
		path = NULL;
	setenv("LOAM_SUMMARY", path ? path : options->summary, 1);
	if (options->json)
		setenv("LOAM_SUMMARY_JSON", "1", 1);
	free(path);
	free(cwd);
}

static int prepare(const char *path, const struct cli_options *options)
{
	struct loam__config *config;
	struct loam__graph *graph = cli_wire(path, options->overrides, options->nr_overrides, &config);
	char *text = NULL;
	int status;

	if (!graph)
		return 1;
	status = check_config(graph, path ? path : "default");
	cli_static_tls(graph);
	if (!status)
		text = resolved_text(config, graph);
	if (!status && (!text || setenv("LOAM_CONFIG_TEXT", text, 1)))
		status = refuse("configuration", strerror(errno));
	free(text);
	loam__graph_free(graph);
	loam__config_free(config);
	return status ? status : set_preload();
}

/* Comes back only when the program cannot be started. */
static int start(const char *file, char **argv, const char *config, const struct cli_options *options)
{
	const char *why = judge(file, 0);

	if (why)
		return refuse(file, why);
	if (prepare(config, options))
		return 1;
	set_summary(options);
	execv(file, argv);
	return refuse(file, strerror(errno));
}

static int run(int argc, char **argv)
{
	struct cli_options options;
	int program, status = cli_options(&cli_exec, argc, argv, "ojs", false, &options);
	const char *config = NULL;
	char *file;

	if (status >= 0)
		return status;
	/* getopt stops behind "--", or at the first other word: the configuration. */
	program = options.first;
	if (strcmp(argv[program - 1], "--") || program == 1) {
		struct cli_options more;

		if (program == argc)
			return cli_usage(&cli_exec, "expected [CONFIG] -- PROGRAM");
		config = argv[program];
		status = cli_options(&cli_exec, argc - program, argv + program, "ojs", false, &more);
		if (status >= 0)
			return status;
		for (unsigned i = 0; i < more.nr_overrides && options.nr_overrides < LOAM_LEN(options.overrides); i++)
			options.overrides[options.nr_overrides++] = more.overrides[i];
		options.json |= more.json;
		options.summary = more.summary ? more.summary : options.summary;
		program += more.first;
		if (strcmp(argv[program - 1], "--"))
			return cli_usage(&cli_exec, "no '--' before the program; expected [CONFIG] -- PROGRAM");
	}
	if (program == argc)
		return cli_usage(&cli_exec, "no PROGRAM behind '--'");
	file = find_program(argv[program]);
	if (!file)
		return refuse(argv[program], "no such program");
	status = start(file, argv + program, config, &options);
	free(file);
	return status;
}

const struct cli_command cli_exec = {
	"exec", "[CONFIG] [-o section.key=value]... [--summary[=FILE]] [--json] -- PROGRAM [ARGUMENT]...",
	"run a program with its malloc served by the configured heap", help, run
};
