/* SPDX-License-Identifier: MIT */
/*
 * elfnote.c: the loam note of an ELF file, read without running or trusting a byte of it.
 *
 * Everything comes by pread into buffers of ours; each offset and size is checked against the file's length before it is
 * used, with arithmetic that cannot wrap.
 */
#include "loader.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#endif

#define MAX_HEADERS 256 /* program headers; a plugin has about ten */

struct elf {
	int fd;
	uint64_t size;
	Elf64_Ehdr header;
};

/* Exactly @n bytes at @off. */
static bool read_at(const struct elf *elf, void *to, uint64_t off, uint64_t n)
{
	if (off > elf->size || n > elf->size - off)
		return false;
	return pread(elf->fd, to, n, (off_t)off) == (ssize_t)n;
}

static const char *header_defect(const struct elf *elf)
{
	const Elf64_Ehdr *header = &elf->header;
	const uint16_t one = 1;
	int data = *(const unsigned char *)&one ? ELFDATA2LSB : ELFDATA2MSB;

	if (memcmp(header->e_ident, ELFMAG, SELFMAG))
		return "not an ELF file";
	if (header->e_ident[EI_CLASS] != ELFCLASS64)
		return "not a 64-bit ELF file";
	if (header->e_ident[EI_DATA] != data || header->e_machine != OUR_MACHINE)
		return "an ELF file for another machine";
	if (header->e_type != ET_DYN)
		return "not a shared object";
	if (header->e_phentsize != sizeof(Elf64_Phdr) || !header->e_phnum || header->e_phnum > MAX_HEADERS)
		return "a malformed ELF header";
	return NULL;
}

static uint32_t word(const unsigned char *at)
{
	uint32_t w;

	memcpy(&w, at, sizeof(w));
	return w;
}

static uint64_t padded(uint64_t n)
{
	return (n + 3) & ~(uint64_t)3;
}

/* The loam note in @n bytes of notes: 1 found, 0 not, -1 malformed. */
static int scan_notes(const unsigned char *notes, uint64_t n, uint32_t words[3])
{
	uint64_t at = 0;

	while (n - at >= 12) {
		uint64_t name = word(notes + at), desc = word(notes + at + 4), end;
		uint32_t type = word(notes + at + 8);

		end = at + 12 + padded(name) + padded(desc); /* 32-bit sizes: cannot wrap in 64 */
		if (end > n)
			return -1;
		if (name == 5 && !memcmp(notes + at + 12, "loam", 5) && type == 1) {
			if (desc != 12)
				return -1;
			for (int i = 0; i < 3; i++)
				words[i] = word(notes + at + 12 + padded(name) + 4 * (uint64_t)i);
			return 1;
		}
		at = end;
	}
	return 0;
}

static int scan_segment(const struct elf *elf, const Elf64_Phdr *segment, uint32_t words[3])
{
	unsigned char notes[4096];

	/* Notes of a plugin are some hundred bytes; more than a page of them is somebody's joke. */
	if (segment->p_filesz > sizeof(notes) || !read_at(elf, notes, segment->p_offset, segment->p_filesz))
		return -1;
	return scan_notes(notes, segment->p_filesz, words);
}

static int refuse(char *why, size_t size, const char *text)
{
	snprintf(why, size, "%s", text);
	return -ENOEXEC;
}

int loam__elfnote_read(int fd, uint32_t *major, uint32_t *minor, uint32_t *host_minor, char *why, size_t why_size)
{
	struct elf elf = { .fd = fd };
	uint32_t words[3];
	struct stat st;
	const char *defect;

	if (fstat(fd, &st) || st.st_size < 0)
		return refuse(why, why_size, strerror(errno));
	elf.size = (uint64_t)st.st_size;
	if (!read_at(&elf, &elf.header, 0, SELFMAG) || memcmp(elf.header.e_ident, ELFMAG, SELFMAG))
		return refuse(why, why_size, "not an ELF file");
	if (!read_at(&elf, &elf.header, 0, sizeof(elf.header)))
		return refuse(why, why_size, "a truncated ELF file");
	defect = header_defect(&elf);
	if (defect)
		return refuse(why, why_size, defect);
	for (unsigned i = 0; i < elf.header.e_phnum; i++) {
		Elf64_Phdr segment;
		int found;

		if (!read_at(&elf, &segment, elf.header.e_phoff + (uint64_t)i * sizeof(segment), sizeof(segment)))
			return refuse(why, why_size, "a truncated ELF file");
		if (segment.p_type == PT_LOAD &&
		    (segment.p_offset > elf.size || segment.p_filesz > elf.size - segment.p_offset))
			return refuse(why, why_size, "a truncated ELF file");
		if (segment.p_type != PT_NOTE)
			continue;
		found = scan_segment(&elf, &segment, words);
		if (found < 0)
			return refuse(why, why_size, "a malformed ELF note");
		if (found) {
			*major = words[0];
			*minor = words[1];
			*host_minor = words[2];
			return 0;
		}
	}
	return refuse(why, why_size, "no loam note: not built as a plugin with LOAM_PLUGIN");
}
