/* SPDX-License-Identifier: MIT */
/* serial-kernel.c: one lock around the ops of the roles that kernel code uses: boot, pool, percpu, vmap, kmap. */
#include "serial.h"

/* ---- boot ---- */

static int boot_add(void *inst, loam_phys_t base, loam_phys_t bytes)
{
	struct serial *s = inst;

	return UNDER(s, s->boot->add(s->self->inst, base, bytes));
}

static int boot_remove(void *inst, loam_phys_t base, loam_phys_t bytes)
{
	struct serial *s = inst;

	return UNDER(s, s->boot->remove(s->self->inst, base, bytes));
}

static int boot_reserve(void *inst, loam_phys_t base, loam_phys_t bytes)
{
	struct serial *s = inst;

	return UNDER(s, s->boot->reserve(s->self->inst, base, bytes));
}

static int boot_alloc(void *inst, loam_phys_t bytes, loam_phys_t align, loam_phys_t low, loam_phys_t high,
		      uint32_t flags, loam_phys_t *at)
{
	struct serial *s = inst;

	return UNDER(s, s->boot->alloc(s->self->inst, bytes, align, low, high, flags, at));
}

static int boot_free(void *inst, loam_phys_t base, loam_phys_t bytes)
{
	struct serial *s = inst;

	return UNDER(s, s->boot->free(s->self->inst, base, bytes));
}

static int boot_next_free(void *inst, unsigned index, struct loam_boot_range *range)
{
	struct serial *s = inst;

	return UNDER(s, s->boot->next_free(s->self->inst, index, range));
}

static int boot_next_reserved(void *inst, unsigned index, struct loam_boot_range *range)
{
	struct serial *s = inst;

	return UNDER(s, s->boot->next_reserved(s->self->inst, index, range));
}

static void boot_limits(void *inst, struct loam_boot_limits *limits)
{
	struct serial *s = inst;

	UNDER_VOID(s, s->boot->limits(s->self->inst, limits));
}

static const void *wrap_boot(struct serial *s, const void *ops)
{
	s->boot = ops;
	s->boot_ops.size = sizeof(s->boot_ops);
	WRAP(s->boot_ops, s->boot, add, boot_add);
	WRAP(s->boot_ops, s->boot, remove, boot_remove);
	WRAP(s->boot_ops, s->boot, reserve, boot_reserve);
	WRAP(s->boot_ops, s->boot, alloc, boot_alloc);
	WRAP(s->boot_ops, s->boot, free, boot_free);
	WRAP(s->boot_ops, s->boot, next_free, boot_next_free);
	WRAP(s->boot_ops, s->boot, next_reserved, boot_next_reserved);
	WRAP(s->boot_ops, s->boot, limits, boot_limits);
	return &s->boot_ops;
}

/* ---- pool: a pool's own link leads here too ---- */

static int pool_create(void *inst, const struct loam_pool_args *args, struct loam_pool **pool)
{
	struct serial *s = inst;
	int error = UNDER(s, s->pool->create(s->self->inst, args, pool));

	if (!error)
		(*pool)->link = (struct loam_link){ &s->pool_ops, s };
	return error;
}

static void pool_destroy(struct loam_pool *pool)
{
	struct serial *s = pool->link.inst;

	UNDER_VOID(s, s->pool->destroy(pool));
}

static void *pool_take(struct loam_pool *pool)
{
	struct serial *s = pool->link.inst;

	return UNDER(s, s->pool->take(pool));
}

static int pool_give(struct loam_pool *pool, void *element)
{
	struct serial *s = pool->link.inst;

	return UNDER(s, s->pool->give(pool, element));
}

static int pool_resize(struct loam_pool *pool, uint32_t min_nr)
{
	struct serial *s = pool->link.inst;

	return UNDER(s, s->pool->resize(pool, min_nr));
}

static uint32_t pool_count(const struct loam_pool *pool)
{
	struct serial *s = pool->link.inst;

	return UNDER(s, s->pool->count(pool));
}

static void *pool_get(struct loam_pool *pool)
{
	struct serial *s = pool->link.inst;

	return UNDER(s, s->pool->get(pool));
}

static unsigned pool_get_bulk(struct loam_pool *pool, unsigned n, void **out)
{
	struct serial *s = pool->link.inst;

	return UNDER(s, s->pool->get_bulk(pool, n, out));
}

static unsigned pool_give_bulk(struct loam_pool *pool, unsigned n, void *const *elements)
{
	struct serial *s = pool->link.inst;

	return UNDER(s, s->pool->give_bulk(pool, n, elements));
}

static const void *wrap_pool(struct serial *s, const void *ops)
{
	s->pool = ops;
	s->pool_ops.size = sizeof(s->pool_ops);
	WRAP(s->pool_ops, s->pool, create, pool_create);
	WRAP(s->pool_ops, s->pool, destroy, pool_destroy);
	WRAP(s->pool_ops, s->pool, take, pool_take);
	WRAP(s->pool_ops, s->pool, give, pool_give);
	WRAP(s->pool_ops, s->pool, resize, pool_resize);
	WRAP(s->pool_ops, s->pool, count, pool_count);
	WRAP(s->pool_ops, s->pool, get, pool_get);
	WRAP(s->pool_ops, s->pool, get_bulk, pool_get_bulk);
	WRAP(s->pool_ops, s->pool, give_bulk, pool_give_bulk);
	return &s->pool_ops;
}

/* ---- percpu ---- */

static int percpu_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp, size_t *offset)
{
	struct serial *s = inst;

	return UNDER(s, s->percpu->alloc(s->self->inst, bytes, align, gfp, offset));
}

static void percpu_free(void *inst, size_t offset)
{
	struct serial *s = inst;

	UNDER_VOID(s, s->percpu->free(s->self->inst, offset));
}

static char *percpu_unit_base(void *inst, unsigned cpu)
{
	struct serial *s = inst;

	return UNDER(s, s->percpu->unit_base(s->self->inst, cpu));
}

static size_t percpu_unit_size(void *inst)
{
	struct serial *s = inst;

	return UNDER(s, s->percpu->unit_size(s->self->inst));
}

static int percpu_reserve_first(void *inst, size_t bytes)
{
	struct serial *s = inst;

	return UNDER(s, s->percpu->reserve_first(s->self->inst, bytes));
}

static const void *wrap_percpu(struct serial *s, const void *ops)
{
	s->percpu = ops;
	s->percpu_ops.size = sizeof(s->percpu_ops);
	WRAP(s->percpu_ops, s->percpu, alloc, percpu_alloc);
	WRAP(s->percpu_ops, s->percpu, free, percpu_free);
	WRAP(s->percpu_ops, s->percpu, unit_base, percpu_unit_base);
	WRAP(s->percpu_ops, s->percpu, unit_size, percpu_unit_size);
	WRAP(s->percpu_ops, s->percpu, reserve_first, percpu_reserve_first);
	return &s->percpu_ops;
}

/* ---- vmap ---- */

static int vmap_map(void *inst, struct page *const *pages, unsigned long nr, size_t align, bool writable,
		    struct loam_vmap_area **area)
{
	struct serial *s = inst;

	return UNDER(s, s->vmap->map(s->self->inst, pages, nr, align, writable, area));
}

static int vmap_map_phys(void *inst, uint64_t phys, unsigned long nr, size_t align, struct loam_vmap_area **area)
{
	struct serial *s = inst;

	return UNDER(s, s->vmap->map_phys(s->self->inst, phys, nr, align, area));
}

static void vmap_unmap(void *inst, struct loam_vmap_area *area)
{
	struct serial *s = inst;

	UNDER_VOID(s, s->vmap->unmap(s->self->inst, area));
}

static struct loam_vmap_area *vmap_find(void *inst, const void *addr)
{
	struct serial *s = inst;

	return UNDER(s, s->vmap->find(s->self->inst, addr));
}

static void vmap_flush_lazy(void *inst)
{
	struct serial *s = inst;

	UNDER_VOID(s, s->vmap->flush_lazy(s->self->inst));
}

static void vmap_range(void *inst, char **start, char **end)
{
	struct serial *s = inst;

	UNDER_VOID(s, s->vmap->range(s->self->inst, start, end));
}

static const void *wrap_vmap(struct serial *s, const void *ops)
{
	s->vmap = ops;
	s->vmap_ops.size = sizeof(s->vmap_ops);
	WRAP(s->vmap_ops, s->vmap, map, vmap_map);
	WRAP(s->vmap_ops, s->vmap, map_phys, vmap_map_phys);
	WRAP(s->vmap_ops, s->vmap, unmap, vmap_unmap);
	WRAP(s->vmap_ops, s->vmap, find, vmap_find);
	WRAP(s->vmap_ops, s->vmap, flush_lazy, vmap_flush_lazy);
	WRAP(s->vmap_ops, s->vmap, range, vmap_range);
	return &s->vmap_ops;
}

/* ---- kmap ---- */

static void *kmap_map(void *inst, struct page *page)
{
	struct serial *s = inst;

	return UNDER(s, s->kmap->map(s->self->inst, page));
}

static bool kmap_unmap(void *inst, struct page *page)
{
	struct serial *s = inst;

	return UNDER(s, s->kmap->unmap(s->self->inst, page));
}

static void *kmap_address(void *inst, struct page *page)
{
	struct serial *s = inst;

	return UNDER(s, s->kmap->address(s->self->inst, page));
}

static void *kmap_map_local(void *inst, unsigned cpu, unsigned index, struct page *page)
{
	struct serial *s = inst;

	return UNDER(s, s->kmap->map_local(s->self->inst, cpu, index, page));
}

static void kmap_unmap_local(void *inst, unsigned cpu, unsigned index)
{
	struct serial *s = inst;

	UNDER_VOID(s, s->kmap->unmap_local(s->self->inst, cpu, index));
}

static void kmap_limits(void *inst, struct loam_kmap_limits *limits)
{
	struct serial *s = inst;

	UNDER_VOID(s, s->kmap->limits(s->self->inst, limits));
}

static const void *wrap_kmap(struct serial *s, const void *ops)
{
	s->kmap = ops;
	s->kmap_ops.size = sizeof(s->kmap_ops);
	WRAP(s->kmap_ops, s->kmap, map, kmap_map);
	WRAP(s->kmap_ops, s->kmap, unmap, kmap_unmap);
	WRAP(s->kmap_ops, s->kmap, address, kmap_address);
	WRAP(s->kmap_ops, s->kmap, map_local, kmap_map_local);
	WRAP(s->kmap_ops, s->kmap, unmap_local, kmap_unmap_local);
	WRAP(s->kmap_ops, s->kmap, limits, kmap_limits);
	return &s->kmap_ops;
}

const void *loam__serial_wrap_kernel(struct serial *s, enum loam_role_id role, const void *ops)
{
	switch (role) {
	case LOAM_ROLE_BOOT:
		return wrap_boot(s, ops);
	case LOAM_ROLE_POOL:
		return wrap_pool(s, ops);
	case LOAM_ROLE_PERCPU:
		return wrap_percpu(s, ops);
	case LOAM_ROLE_VMAP:
		return wrap_vmap(s, ops);
	case LOAM_ROLE_KMAP:
		return wrap_kmap(s, ops);
	default:
		return NULL;
	}
}
