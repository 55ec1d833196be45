/* SPDX-License-Identifier: MIT */
/*
 * symbol.c: names of addresses of code: "fn+0x12/0x40 [module] at file.c:34". libdw finds static functions and lines, where it was
 * there when loam was built; else the dynamic linker's tables have to do.
 */
#include "kernel.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#ifdef HAVE_LIBDW
#include <elfutils/libdwfl.h>
#include <unistd.h>
#endif

/* The file's name without folder and without .so */
static void module_name(const char *path, char *buf, size_t size)
{
	const char *base = strrchr(path, '/');
	char *dot;

	snprintf(buf, size, "%s", base ? base + 1 : path);
	dot = strstr(buf, ".so");
	if (dot)
		*dot = '\0';
}

/* Of the same file as @other. */
static bool same_file(const Dl_info *info, const void *other)
{
	Dl_info there;

	return dladdr(other, &there) && info->dli_fbase == there.dli_fbase;
}

bool symbol_is_host(const void *at)
{
	const void *const host[] = { (const void *)symbol_is_host, (const void *)loam__boot, (const void *)abort,
				     (const void *)getauxval(AT_ENTRY) };
	Dl_info info;

	for (unsigned i = 0; i < LOAM_LEN(host) && dladdr(at, &info); i++)
		if (same_file(&info, host[i]))
			return true;
	return false;
}

#ifdef HAVE_LIBDW

/* What libdw knows, of the files that are mapped now. One at a time: it is not for threads. */
static bool debug_text(const void *at, bool offset, char *buf, size_t size)
{
	static const Dwfl_Callbacks callbacks = { .find_elf = dwfl_linux_proc_find_elf,
						  .find_debuginfo = dwfl_standard_find_debuginfo };
	static struct loam__mutex lock;
	Dwfl *dwfl;
	bool found = false;

	loam__lock(&lock);
	dwfl = dwfl_begin(&callbacks);
	if (dwfl && !dwfl_linux_proc_report(dwfl, getpid()) && !dwfl_report_end(dwfl, NULL, NULL)) {
		Dwfl_Module *module = dwfl_addrmodule(dwfl, (Dwarf_Addr)at);
		const char *path = module ? dwfl_module_info(module, NULL, NULL, NULL, NULL, NULL, NULL, NULL) : NULL;
		char name[64], line_text[100] = "", offset_text[40] = "";
		GElf_Off off = 0;
		GElf_Sym sym;
		const char *fn =
			module ? dwfl_module_addrinfo(module, (Dwarf_Addr)at, &off, &sym, NULL, NULL, NULL) : NULL;
		/* A return address lies behind the call. */
		Dwfl_Line *line = fn ? dwfl_module_getsrc(module, (Dwarf_Addr)at - 1) : NULL;
		const char *file;
		int number;

		if (line && (file = dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL)))
			snprintf(line_text, sizeof(line_text), " at %s:%d",
				 strrchr(file, '/') ? strrchr(file, '/') + 1 : file, number);
		if (offset)
			snprintf(offset_text, sizeof(offset_text), "+%#llx/%#llx", (unsigned long long)off,
				 (unsigned long long)sym.st_size);
		module_name(path ? path : "?", name, sizeof(name));
		found = fn;
		if (found)
			snprintf(buf, size, "%s%s [%s]%s", fn, offset_text, name, offset ? line_text : "");
	}
	dwfl_end(dwfl);
	loam__unlock(&lock);
	return found;
}
#else
static bool debug_text(const void *at, bool offset, char *buf, size_t size)
{
	(void)at, (void)offset, (void)buf, (void)size;
	return false;
}
#endif

/** What is to be found out, on the thread's own stack. */
struct question {
	const void *at;
	bool offset;
	char *buf;
	size_t size;
};

static void answer(void *arg)
{
	struct question *q = arg;
	Dl_info info;
	char name[64];

	if (debug_text(q->at, q->offset, q->buf, q->size))
		return;
	if (!dladdr(q->at, &info)) {
		snprintf(q->buf, q->size, "%p", q->at);
		return;
	}
	module_name(info.dli_fname, name, sizeof(name));
	if (info.dli_sname && q->offset)
		snprintf(q->buf, q->size, "%s+%#zx [%s]", info.dli_sname,
			 (size_t)((const char *)q->at - (const char *)info.dli_saddr), name);
	else if (info.dli_sname)
		snprintf(q->buf, q->size, "%s [%s]", info.dli_sname, name);
	else
		snprintf(q->buf, q->size, "%#zx [%s]", (size_t)((const char *)q->at - (const char *)info.dli_fbase),
			 name);
}

void symbol_text(const void *at, bool offset, char *buf, size_t size)
{
	struct question q = { at, offset, buf, size };

	loam__on_host_stack(answer, &q);
}
