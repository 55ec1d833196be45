/* SPDX-License-Identifier: MIT */
/* boot-calls.c: calls of the subject's boot ops, watched. */
#include "boot-model.h"

static const struct loam_boot_ops *ops(void)
{
	return subject->links[LOAM_ROLE_BOOT].ops;
}

static void *inst(void)
{
	return subject->links[LOAM_ROLE_BOOT].inst;
}

/* The call of an op with a range. */
static int call(const char *name, int (*op)(void *inst, loam_phys_t base, loam_phys_t bytes), loam_phys_t base,
		loam_phys_t bytes)
{
	int result;

	op_enter("%s(%#llx, %llu)", name, (unsigned long long)base, (unsigned long long)bytes);
	result = op(inst(), base, bytes);
	op_leave();
	return result;
}

int boot_add(loam_phys_t base, loam_phys_t bytes)
{
	return call("add", ops()->add, base, bytes);
}

int boot_remove(loam_phys_t base, loam_phys_t bytes)
{
	return call("remove", ops()->remove, base, bytes);
}

int boot_reserve(loam_phys_t base, loam_phys_t bytes)
{
	return call("reserve", ops()->reserve, base, bytes);
}

int boot_free(loam_phys_t base, loam_phys_t bytes)
{
	return call("free", ops()->free, base, bytes);
}

int boot_alloc(const struct request *r, loam_phys_t *at)
{
	int result;

	op_enter("alloc(%llu, align %llu, from %#llx to %#llx, flags %u)", (unsigned long long)r->bytes,
		 (unsigned long long)r->align, (unsigned long long)r->low, (unsigned long long)r->high, r->flags);
	result = ops()->alloc(inst(), r->bytes, r->align, r->low, r->high, r->flags, at);
	op_leave();
	return result;
}

int boot_range(unsigned index, bool reserved, struct loam_boot_range *range)
{
	int result;

	op_enter("next_%s(%u)", reserved ? "reserved" : "free", index);
	result = (reserved ? ops()->next_reserved : ops()->next_free)(inst(), index, range);
	op_leave();
	return result;
}

bool boot_exact(void)
{
	struct loam_boot_limits limits = { .size = sizeof(limits) };

	op_enter("limits()");
	if (ops()->limits)
		ops()->limits(inst(), &limits);
	op_leave();
	return limits.caps & LOAM_BOOT_EXACT;
}
