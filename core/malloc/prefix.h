/* SPDX-License-Identifier: MIT */
/* prefix.h: the malloc face under other names, for tests that run where malloc cannot be replaced. */
#ifndef LOAM_MALLOC_PREFIX_H
#define LOAM_MALLOC_PREFIX_H

#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/** Boot from @text; the preloaded library does it in its constructor. false: the messages are on standard error. */
bool loam_face_boot(const char *text);
void *loam_face_malloc(size_t bytes);
void *loam_face_calloc(size_t n, size_t size);
void *loam_face_realloc(void *ptr, size_t bytes);
void *loam_face_reallocarray(void *ptr, size_t n, size_t size);
void loam_face_free(void *ptr);
int loam_face_posix_memalign(void **out, size_t align, size_t bytes);
void *loam_face_aligned_alloc(size_t align, size_t bytes);
void *loam_face_memalign(size_t align, size_t bytes);
void *loam_face_valloc(size_t bytes);
void *loam_face_pvalloc(size_t bytes);
size_t loam_face_malloc_usable_size(void *ptr);
int loam_face_malloc_trim(size_t pad);
int loam_face_mallopt(int param, int value);
struct mallinfo loam_face_mallinfo(void);
struct mallinfo2 loam_face_mallinfo2(void);
int loam_face_malloc_info(int options, FILE *out);

#endif
