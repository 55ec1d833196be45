/* SPDX-License-Identifier: MIT */
/*
 * plugin.h: all that the author of a plugin includes.
 *
 * A plugin is a shared object with one exported constant, its descriptor, and an ELF note that says which ABI it was built
 * for. It has no undefined loam symbol: whatever it needs from the host comes in `const struct loam_host *`. It declares its
 * parameters, ports, roles and thread model; the host parses and checks the configuration, wires, locks and allots memory.
 *
 *     static const struct loam_heap_ops heap = { .size = sizeof(heap), .alloc = my_alloc, .free = my_free, ... };
 *     static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_HEAP, &heap) };
 *     LOAM_PLUGIN(.name = "my", .version = "1.0", .summary = "...", LOAM_ROLES(roles), .create = my_create, ...);
 *
 * What a plugin may not have: __thread variables (use a local area), pthread keys, constructors, mutable globals, calls of
 * exit or abort. It takes memory for its own records from the host (meta_alloc), never from the C library.
 *
 * Growth: every struct that crosses the border begins with its size or is only ever passed by pointer with one; fields are
 * added at the end only, and the smaller of two sizes rules. A NULL op means the host's default or -ENOTSUP.
 *
 * Errors are negative errno values. Unless a text says otherwise, an op is called from many threads at once (when the plugin
 * declares LOAM_THREADS_PARALLEL), never sleeps, and takes no lock that is held across a call to another instance.
 */
#ifndef LOAM_PLUGIN_H
#define LOAM_PLUGIN_H

#include <loam/base.h>
#include <loam/gfp.h>
#include <loam/page.h>

LOAM_BEGIN_DECLS

/** The ABI of these headers. A host accepts a plugin of its own major whose `host_minor` it reaches. */
#define LOAM_ABI_MAJOR 1
#define LOAM_ABI_MINOR 2

/** The oldest host minor that this plugin can run on; define it before the include to ask for less than the headers have. */
#ifndef LOAM_ABI_HOST_MINOR
#define LOAM_ABI_HOST_MINOR LOAM_ABI_MINOR
#endif

/* ---- roles ------------------------------------------------------------------------------------------------------------ */

enum loam_role_id {
	LOAM_ROLE_BOOT,
	LOAM_ROLE_PAGES,
	LOAM_ROLE_OBJECTS,
	LOAM_ROLE_HEAP,
	LOAM_ROLE_POOL,
	LOAM_ROLE_PERCPU,
	LOAM_ROLE_VMAP,
	LOAM_ROLE_KMAP,
	LOAM_ROLE_DMA,
	LOAM_ROLE_DEVICE,
	LOAM_ROLE_COUNT
};

/** A role as a bit, for a port that accepts several. */
#define LOAM_ROLE_BIT(role) (1u << (role))

/** One role that a plugin provides; `ops` is the role's table of functions (loam/heap.h and so on). */
struct loam_role_decl {
	uint32_t size;   /* sizeof(struct loam_role_decl) */
	uint32_t role;   /* enum loam_role_id */
	const void *ops; /* begins with its own uint32_t size */
};

/* ---- links and ports -------------------------------------------------------------------------------------------------- */

/**
 * The pair through which every call goes. A client reads the pointer to it anew at each call: swapping a backend replaces
 * that pointer by one release store.
 */
struct loam_link {
	const void *ops; /* the role's table, completed by the host to its own size */
	void *inst;      /* first argument of every op */
};

/** A place to plug an instance in: a port of a plugin, or a face. The host writes it, clients only read. */
struct loam_port {
	const struct loam_link *link; /* NULL: an optional port that the configuration left out */
};

/** The link in force now. Acquire: it pairs with the release store of a swap, so the pair's contents are seen. */
static inline const struct loam_link *loam_port_link(const struct loam_port *port)
{
	return __atomic_load_n(&port->link, __ATOMIC_ACQUIRE);
}

#define LOAM_PORT_OPTIONAL 1u /* the configuration may leave it out */
/**
 * What a filter stands on. The plugin provides each role that this port accepts; an instance of it provides those that its
 * lower instance has, and reaches them through args->lower.
 */
#define LOAM_PORT_LOWER 2u

/** A declared need. */
struct loam_port_decl {
	uint32_t size;    /* sizeof(struct loam_port_decl) */
	uint32_t roles;   /* LOAM_ROLE_BIT of each role that will do */
	uint32_t flags;   /* LOAM_PORT_* */
	const char *name; /* the key in the plugin's section of the configuration */
	const char *help; /* one line */
};

/* ---- parameters ------------------------------------------------------------------------------------------------------- */

enum loam_param_type {
	LOAM_PARAM_BOOL, /* on, off, true, false, yes, no, 1, 0 */
	LOAM_PARAM_INT,  /* signed, decimal or 0x */
	LOAM_PARAM_SIZE, /* bytes, with K, M, G, T */
	LOAM_PARAM_REAL,
	LOAM_PARAM_ENUM, /* one of `choices`; the value is its index */
	LOAM_PARAM_STRING
};

/** A declared parameter: the host parses it, checks the range, prints the help. */
struct loam_param {
	uint32_t size;              /* sizeof(struct loam_param) */
	uint32_t type;              /* enum loam_param_type */
	const char *name;           /* the key in the section */
	const char *def;            /* default as text; NULL: it must be given */
	const char *help;           /* one line */
	int64_t min, max;           /* INT, SIZE, REAL: inclusive range; both 0: any */
	const char *const *choices; /* ENUM: names, ended by NULL */
};

/** A parsed parameter; which member counts follows from the declared type. */
union loam_value {
	bool b;
	int64_t i;  /* INT, and the index of an ENUM */
	uint64_t u; /* SIZE */
	double r;
	const char *s; /* lives as long as the instance */
};

/* ---- local areas ------------------------------------------------------------------------------------------------------ */

/**
 * How to find the caller's local area: memory of the size that the descriptor declares, which only the caller touches while
 * an op runs. In a program's threads there is one a thread; in kernel code one a logical CPU.
 *
 * An area starts zeroed. `flush` empties it when its thread ends; what flush leaves in it is what the next thread that is
 * given the same memory finds, and the memory stays mapped until the machine halts, so another thread may hold a pointer
 * into it without fear.
 */
struct loam_local {
	ptrdiff_t tp_offset; /* of the host's one thread-local pointer, from the thread pointer */
	size_t offset;       /* of this instance's area in the thread's block */
};

/** The thread pointer's word at @offset. */
static inline char *loam__tp_load(ptrdiff_t offset)
{
	char *word;
#if defined(__x86_64__)
	__asm__ volatile("movq %%fs:(%1), %0" : "=r"(word) : "r"(offset));
#elif defined(__aarch64__)
	char *tp;
	__asm__ volatile("mrs %0, tpidr_el0" : "=r"(tp));
	word = *(char *volatile *)(tp + offset);
#else
#error "loam knows the thread pointer of x86-64 and aarch64"
#endif
	return word;
}

/** The caller's area, or NULL when it has none yet (then host->area opens it, in a slow path) or none any more. */
static inline void *loam_area(const struct loam_local *local)
{
	char *block = loam__tp_load(local->tp_offset);

	return loam_likely(block != NULL) ? block + local->offset : NULL;
}

/* ---- locks ------------------------------------------------------------------------------------------------------------ */

/**
 * A lock of a plugin: short sections only, taken inside one op. The host knows every lock: it takes them all before a fork, by
 * rising `rank` inside an instance and consumers before what they consume, and gives the child fresh ones. So an op that
 * holds one lock takes another only if that has a higher rank.
 */
struct LOAM_LOCKABLE loam_lock {
	uint32_t word; /* 0 free, 1 held, 2 held and waited for */
	uint32_t rank;
	const char *name;
	struct list_head all; /* host: the list of locks of this instance */
	struct loam_self *self;
};

/* ---- introspection ---------------------------------------------------------------------------------------------------- */

/** Counters, mandatory at any time. A block that was handed out and not given back is live; cached blocks are free. */
struct loam_stat {
	uint32_t size; /* set by the caller: how much of this struct it has */
	uint32_t pad;
	uint64_t live_blocks;
	uint64_t live_bytes; /* usable bytes of the live blocks */
	uint64_t footprint;  /* bytes held from the ports, live or not */
	uint64_t allocs;     /* successful allocations since create; allocs - frees = live_blocks */
	uint64_t frees;
	uint64_t failures; /* allocations that returned NULL */
};

enum loam_span_kind { LOAM_SPAN_LIVE, LOAM_SPAN_FREE };

/** What walk shows: a live block or a free span. */
struct loam_span {
	uint32_t size;
	uint32_t kind;     /* enum loam_span_kind */
	struct page *page; /* the first frame, where frames are what is handed out; else NULL */
	void *addr;        /* NULL for high memory */
	size_t bytes;
	const char *label; /* cache or zone; may be NULL */
};

/** Called by walk for each span; calls no op. A non-zero return ends the walk, which returns it. */
typedef int (*loam_walk_fn)(void *arg, const struct loam_span *span);

/** Called by check for each broken invariant; calls no op. */
typedef void (*loam_check_fn)(void *arg, const char *text);

enum loam_report_kind {
	LOAM_REPORT_DOUBLE_FREE,
	LOAM_REPORT_BAD_FREE,   /* not the address of a live block */
	LOAM_REPORT_CORRUPTION, /* red zone, poison or links overwritten */
	LOAM_REPORT_WRONG_CACHE,
	LOAM_REPORT_LEAK,
	LOAM_REPORT_MISUSE, /* any other broken promise of a caller */
	LOAM_REPORT_KINDS
};

enum loam_log_level { LOAM_LOG_ERROR, LOAM_LOG_WARN, LOAM_LOG_INFO, LOAM_LOG_DEBUG };

enum loam_fork_phase { LOAM_FORK_BEFORE, LOAM_FORK_PARENT, LOAM_FORK_CHILD };

/* ---- the host's services ---------------------------------------------------------------------------------------------- */

struct loam_self;  /* the host's record of an instance */
struct loam_zone;  /* loam/pages.h */
struct loam_cache; /* loam/objects.h */
struct loam_cache_args;

/** What create is given. */
struct loam_args {
	uint32_t size;
	uint32_t owner;         /* the owner id under which this instance claims frames: the top of its filter chain */
	struct loam_self *self; /* names this instance in calls to the host */
	const char *name;       /* the section's name */
	const union loam_value *params;       /* in the order of the declaration */
	const struct loam_port *const *ports; /* in the order of the declaration */
	struct loam_local local;              /* this instance's local areas */
	/** Since minor 1. A filter's lower instance, by role (LOAM_ROLE_COUNT of them): NULL where it has not that role. */
	const struct loam_port *const *lower;
};

/**
 * What the host offers. The table is constant while the machine is up. Unless noted, a service may be called from any
 * thread, in any op, does not sleep and takes only locks of its own.
 */
struct loam_host {
	uint32_t size;
	uint16_t abi_major, abi_minor;
	const struct loam_map *map; /* the machine's memory */

	/**
	 * Memory for a plugin's own records, zeroed. @align: a power of two up to 4096, 0 for 16. NULL when the host's limit
	 * is reached. Freed with the same size. What is left at destroy is reported.
	 */
	void *(*meta_alloc)(struct loam_self *self, size_t bytes, size_t align);
	void (*meta_free)(struct loam_self *self, void *ptr, size_t bytes);

	/**
	 * The caller's local area, opened if it has none. NULL when its thread is ending or memory is short: then the op
	 * works without one, on shared state under a lock. Slow path only; loam_area() is the fast one.
	 */
	void *(*area)(struct loam_self *self);
	/** Call @fn for each area that was ever opened, under the host's area lock: for counters, read with relaxed loads. */
	void (*areas)(struct loam_self *self, void (*fn)(void *arg, void *area), void *arg);

	/** Make @lock ready, free. @rank orders the locks of one instance: take only rising ranks. @name: static text. */
	void (*lock_init)(struct loam_self *self, struct loam_lock *lock, unsigned rank, const char *name);
	/** Forget @lock, which is free. */
	void (*lock_destroy)(struct loam_lock *lock);
	void (*lock_slow)(struct loam_lock *lock);   /* loam_lock() calls it when @lock is taken; waits */
	void (*unlock_slow)(struct loam_lock *lock); /* loam_unlock() calls it when somebody waits */

	/**
	 * A block of 2^@order frames from the page allocator behind @port, zone and watermarks by @gfp (kernel-semantics:
	 * fallback NORMAL to DMA and so on), refcount 1, claimed for @owner (frames point to the first one). Contents are
	 * undefined without __GFP_ZERO. NULL when there is none; __GFP_NOWARN silences the report of that.
	 * May sleep with __GFP_DIRECT_RECLAIM: call it with no lock held.
	 */
	struct page *(*pages_alloc)(const struct loam_port *port, gfp_t gfp, unsigned order, uint32_t owner);
	/**
	 * Give a block back, whole, or a naturally aligned part of it of 2^@order frames (the parts may go in any order, each
	 * once). The frames' owner words are cleared.
	 */
	void (*pages_free)(const struct loam_port *port, struct page *page, unsigned order);
	/** Up to @n single frames at once into @out; returns how many. They are claimed for @owner. */
	unsigned (*pages_alloc_bulk)(const struct loam_port *port, gfp_t gfp, unsigned n, struct page **out,
				     uint32_t owner);
	void (*pages_free_bulk)(const struct loam_port *port, unsigned n, struct page **pages);

	/**
	 * Create a cache through the objects port @port and register it as an owner of frames, so that an address leads back
	 * to it. May sleep. NULL with errno set. Destroy: -EBUSY while objects live, reported; the cache stays.
	 */
	struct loam_cache *(*cache_create)(const struct loam_port *port, const struct loam_cache_args *args);
	int (*cache_destroy)(struct loam_cache *cache);

	/**
	 * Tell of misuse that a plugin detected. The machine's policy decides: go on, or stop. @ptr may be NULL. The text is
	 * the finding in one line; further lines, up to 40 and 4 KiB in all, show what is around it, where LOAM_LOG's level
	 * has warnings, and come before a stop.
	 */
	void (*report)(struct loam_self *self, enum loam_report_kind kind, const void *ptr, const char *fmt, ...)
		LOAM_PRINTF(4, 5);
	/** A line for the log, under LOAM_LOG's level. */
	void (*log)(struct loam_self *self, enum loam_log_level level, const char *fmt, ...) LOAM_PRINTF(3, 4);
	/** 64 random bits from the machine's seed: the same seed and order of calls give the same bits. */
	uint64_t (*random)(struct loam_self *self);

	/* ---- since minor 1 ---- */

	/** Counters of the instance behind @port; @stat comes with its size set. Not from inside an op of that instance. */
	void (*stat)(const struct loam_port *port, struct loam_stat *stat);
	/** In create, before it returns an error: why, for the one message that the user sees. The last text counts. */
	void (*explain)(struct loam_self *self, const char *fmt, ...) LOAM_PRINTF(2, 3);
	/** Walk the instance behind @port: for a filter's own walk, on a quiesced machine. -ENOTSUP when it has no walk. */
	int (*walk)(const struct loam_port *port, loam_walk_fn fn, void *arg);

	/* ---- since minor 2: windows, where frames appear at addresses of the plugin's choice ---- */

	/**
	 * Addresses of @bytes (rounded up to whole pages) at a multiple of @align (a power of two; 0: a page) where nothing is
	 * mapped: touching them faults, and the report of the crash names @self. NULL when the system refuses. May sleep.
	 * What is left at destroy is closed and reported.
	 */
	void *(*window_open)(struct loam_self *self, size_t bytes, size_t align);
	/** Give the whole window back; what is mapped in it goes. @window is what window_open returned. May sleep. */
	void (*window_close)(struct loam_self *self, void *window);
	/**
	 * From @at on, a page aligned address in a window of @self, the @n frames @pages[0..n) appear behind each other, until
	 * something else is mapped there; LOAM_WINDOW_READONLY in @flags lets them be read only. One system call for each run
	 * of neighbouring frames. 0; or -ENOMEM when the system has no more mappings, and then nothing is mapped at the @n
	 * pages; or -ENOTSUP with backing = anon. The frames stay the caller's. Does not sleep for memory.
	 */
	int (*window_map)(struct loam_self *self, void *at, struct page *const *pages, unsigned long n, unsigned flags);
	/** The same for @n pages of physical memory from @phys on, a multiple of the page size: -EINVAL outside the memory. */
	int (*window_map_phys)(struct loam_self *self, void *at, uint64_t phys, unsigned long n, unsigned flags);
	/** Nothing is mapped at the @n pages from @at on any more. One system call. */
	void (*window_unmap)(struct loam_self *self, void *at, unsigned long n);
	/** Logical CPUs of the machine, 1 to 64. */
	uint32_t nr_cpus;
	uint32_t pad;
};

#define LOAM_WINDOW_READONLY 1u

/** Take a lock. Not from a context that already holds it. Acquire: what the last holder wrote is seen. */
static inline void loam_lock(const struct loam_host *host, struct loam_lock *lock) LOAM_ACQUIRES(*lock) LOAM_UNCHECKED
{
	uint32_t free_word = 0;

	if (loam_unlikely(!__atomic_compare_exchange_n(&lock->word, &free_word, 1, false, __ATOMIC_ACQUIRE,
						       __ATOMIC_RELAXED)))
		host->lock_slow(lock);
}

/** Let go of a lock. Release: what the holder wrote is seen by the next one. */
static inline void loam_unlock(const struct loam_host *host, struct loam_lock *lock) LOAM_RELEASES(*lock) LOAM_UNCHECKED
{
	if (loam_unlikely(__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) == 2))
		host->unlock_slow(lock);
}

/* ---- the descriptor --------------------------------------------------------------------------------------------------- */

enum loam_threads {
	LOAM_THREADS_PARALLEL,  /* ops are called from many threads at once */
	LOAM_THREADS_SERIALISED /* the host takes one lock around each op of an instance */
};

/** The descriptor. Made by LOAM_PLUGIN, never by hand. */
struct loam_plugin {
	uint32_t size;
	uint32_t threads;    /* enum loam_threads */
	const char *name;    /* as in `plugin = name`: letters, digits, - and _; at most 31 */
	const char *version; /* the plugin's own */
	const char *summary; /* one line */
	const struct loam_param *params;
	const struct loam_port_decl *ports;
	const struct loam_role_decl *roles;
	uint32_t nr_params, nr_ports, nr_roles; /* at most 32 ports, one role of a kind */
	uint32_t flags;                         /* LOAM_PLUGIN_* */
	size_t area_size;                       /* bytes of local area an instance wants; 0: none; at most 64 KiB */

	/**
	 * Make an instance. 0 and *@inst, or -EINVAL, -ENOMEM or -ENOTSUP with everything undone. May sleep. @args and what
	 * it points to live as long as the instance; ports can be called from here on.
	 */
	int (*create)(const struct loam_host *host, const struct loam_args *args, void **inst);
	/**
	 * Undo create. No call is in progress, the host has reported live blocks and flushed all areas; the instance gives
	 * back all that it holds from its ports, live blocks included.
	 */
	void (*destroy)(void *inst);
	/** Empty @area (its thread ends, or the instance goes). Called on any thread, never while its owner runs an op. */
	void (*flush)(void *inst, void *area);
	/** Around fork(). NULL is right for most: the host takes the locks that lock_init made, and renews them in the child. */
	void (*fork)(void *inst, enum loam_fork_phase phase);

	int (*stat)(void *inst, struct loam_stat *stat);     /* mandatory; any time; @stat comes zeroed but for size */
	int (*walk)(void *inst, loam_walk_fn fn, void *arg); /* quiesced machine only */
	int (*check)(void *inst, loam_check_fn fn, void *arg); /* quiesced; returns the number of broken invariants */
	/**
	 * Give back about @pages frames that are not in use to the ports: more, where several go at once. Returns how many. May
	 * sleep.
	 */
	unsigned long (*shrink)(void *inst, unsigned long pages);
	/**
	 * The block (live or free) that holds @addr, a linear address in a frame of this instance: 0 and *@span, or -ENOENT.
	 * Takes no lock and calls nothing, for it may run in a fault handler; the answer may be stale.
	 */
	int (*find)(void *inst, const void *addr, struct page *page, struct loam_span *span);

	/* ---- since minor 1 ---- */

	/** Call @line with each line that the instance has to tell people: shown at halt and in summaries. Any time. */
	void (*tell)(void *inst, void (*line)(void *arg, const char *text), void *arg);
	/** Bytes of static TLS that libraries want which create loads; 0: none. Programs raise the C library's surplus by it. */
	size_t static_tls;
};

/** flags: blocks of its heap lie outside the machine's memory. One such instance in a machine: unknown addresses are its. */
#define LOAM_PLUGIN_FOREIGN 1u

#define LOAM_ROLE(id, table)                                                                                           \
	{                                                                                                              \
		.size = sizeof(struct loam_role_decl), .role = (id), .ops = (table)                                    \
	}
#define LOAM_ROLES(array) .roles = (array), .nr_roles = LOAM_LEN(array)
#define LOAM_PORTS(array) .ports = (array), .nr_ports = LOAM_LEN(array)
#define LOAM_PARAMS(array) .params = (array), .nr_params = LOAM_LEN(array)
#define LOAM_PORT(...)                                                                                                 \
	{                                                                                                              \
		.size = sizeof(struct loam_port_decl), __VA_ARGS__                                                     \
	}
#define LOAM_PARAM(...)                                                                                                \
	{                                                                                                              \
		.size = sizeof(struct loam_param), __VA_ARGS__                                                         \
	}

#define LOAM__STR2(x) #x
#define LOAM__STR(x) LOAM__STR2(x)

/* Note type 1: three 32-bit words: ABI major, ABI minor, lowest host minor. Owner name "loam". */
#define LOAM__NOTE(major, minor, host_minor)                                                                           \
	__asm__(".pushsection .note.loam,\"a\",%note\n"                                                                \
		".balign 4\n.long 5\n.long 12\n.long 1\n.asciz \"loam\"\n.balign 4\n"                                  \
		".long " LOAM__STR(major) "\n.long " LOAM__STR(minor) "\n.long " LOAM__STR(                            \
			host_minor) "\n.popsection\n")

/** The one exported symbol of a plugin. */
#define LOAM_DESCRIPTOR loam_plugin_descriptor
#define LOAM_PLUGIN(...)                                                                                               \
	LOAM__NOTE(LOAM_ABI_MAJOR, LOAM_ABI_MINOR, LOAM_ABI_HOST_MINOR);                                               \
	extern LOAM_EXPORT const struct loam_plugin LOAM_DESCRIPTOR;                                                   \
	const struct loam_plugin LOAM_DESCRIPTOR = { .size = sizeof(struct loam_plugin), __VA_ARGS__ }

LOAM_END_DECLS

#include <loam/boot.h>
#include <loam/device.h>
#include <loam/dma.h>
#include <loam/heap.h>
#include <loam/kmap.h>
#include <loam/objects.h>
#include <loam/pages.h>
#include <loam/percpu.h>
#include <loam/pool.h>
#include <loam/vmap.h>

#endif
