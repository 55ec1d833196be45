/* SPDX-License-Identifier: MIT */
/* plugin-threads.c: tests for every plugin: several threads on one instance. */
#include "plugin-tools.h"

#include <sched.h>
#include <stdlib.h>

#define BLOCKS 100
#define THREADS_MAX 64

/* At least two threads, or nothing is shown. */
static unsigned nr_threads(void)
{
	unsigned n = job.threads < 2 ? 2 : job.threads;

	return n < THREADS_MAX ? n : THREADS_MAX;
}

/* Numbers of blocks that no other thread has: their contents differ. */
static unsigned numbers_of(unsigned index)
{
	return (index + 1) * 1000000;
}

/*
 * How many blocks a test of several threads takes. Fewer under a sanitizer, which is many times as slow: races are the thread
 * sanitizer's to see, and it sees what is unordered whether threads meet or not.
 */
static unsigned many(void)
{
	unsigned n = job.suite->slow ? effort(1500) : work(effort(subject->lower ? 15000 : 40000));

	return job.sanitizer ? n / 4 : n;
}

static void open_for_threads(unsigned n)
{
	role_open();
	light_open(n);
}

static void close_for_threads(void)
{
	light_close();
	role_close();
}

/* How many blocks of a mixed kind each of @n threads may hold, so that all have room. */
static unsigned share(unsigned n)
{
	unsigned blocks = work(BLOCKS) * 4 / (n < 4 ? 4 : n);

	return blocks < 4 ? 4 : blocks;
}

/* ---- own blocks ---- */

static struct load loads[THREADS_MAX + 1]; /* one more looks on, or shrinks */

static void churn_own(void *arg, unsigned index)
{
	struct load *load = &loads[index];

	light_burst(index, many() / 8, arg);
	load_churn(load, 3 * BLOCKS, GFP_KERNEL, arg);
	load_intact(load, arg);
	while (load->n > load->max / 4)
		load_give(load);
}

/* Anew and anew: what threads left, half used, is taken over by all of the next ones at once. */
static void threads_have_their_own_blocks(void)
{
	unsigned n = nr_threads(), rounds = job.suite->slow || job.sanitizer ? 12 : 30;

	open_for_threads(n);
	for (unsigned i = 0; i < n; i++)
		loads[i] = load_new(share(n), numbers_of(i));
	for (unsigned round = 0; round < rounds; round++)
		threads_run_paused(n, churn_own, (void *)"PLUG-17");
	for (unsigned i = 0; i < n; i++) {
		kept("PLUG-17", !loads[i].refused, "%u blocks were refused with memory at hand", loads[i].refused);
		load_intact(&loads[i], "PLUG-17");
		load_give_all(&loads[i]);
		load_end(&loads[i]);
	}
	close_for_threads();
}

/* All at the end of memory at once: what one gives another takes at once. */
static void grab_and_give(void *arg, unsigned index)
{
	struct load load = load_new(4096, numbers_of(index));

	(void)arg;
	for (unsigned i = 0; i < effort(1); i++) {
		for (unsigned refused = 0; load.n < load.max && refused < 3; sched_yield())
			refused += !load_take(&load, GFP_NOWAIT | __GFP_NOWARN);
		load_intact(&load, "PLUG-17");
		while (load.n > load.max / 8)
			load_give(&load);
		load_intact(&load, "PLUG-17");
	}
	load_give_all(&load);
	load_end(&load);
}

static void threads_share_the_last_memory(void)
{
	role_open();
	threads_run_paused(nr_threads(), grab_and_give, NULL);
	role_close();
}

/* ---- blocks of another thread ---- */

/** What other threads sent to one: it gives it back. */
struct inbox {
	bool busy; /* atomic: the lock of the other two */
	unsigned n;
	struct held held[16];
};

/** Threads that send each block that they take to the next one of them. */
struct post {
	struct inbox inboxes[THREADS_MAX];
	unsigned threads;
	unsigned running;      /* atomic */
	uint64_t takes, gives; /* atomic, in the counters' units */
};

static uint64_t units_of(const struct held *held)
{
	if (held->units)
		return held->units;
	return held->page ? 1ull << held->order : 1;
}

static void enter(struct inbox *inbox)
{
	while (__atomic_test_and_set(&inbox->busy, __ATOMIC_ACQUIRE))
		sched_yield();
}

static void leave(struct inbox *inbox)
{
	__atomic_clear(&inbox->busy, __ATOMIC_RELEASE);
}

static bool send(struct inbox *to, const struct held *held)
{
	bool room;

	enter(to);
	room = to->n < LOAM_LEN(to->held);
	if (room)
		to->held[to->n++] = *held;
	leave(to);
	return room;
}

/* Give back what came. */
static void receive(struct post *post, unsigned index)
{
	struct inbox *inbox = &post->inboxes[index], came;

	enter(inbox);
	came = *inbox;
	inbox->n = 0;
	leave(inbox);
	for (unsigned i = 0; i < came.n; i++) {
		kept("PLUG-18", held_intact(&came.held[i]),
		     "a block that another thread took has not the contents that it wrote");
		__atomic_fetch_add(&post->gives, units_of(&came.held[i]), __ATOMIC_RELAXED);
		job.suite->give(&came.held[i]);
	}
}

/* One block for the next thread, which has room for it in the end. */
static void take_and_send(struct post *post, unsigned index, unsigned i)
{
	unsigned next = (index + 1) % post->threads;
	struct held held = { .ptr = NULL };

	if (!job.suite->take(&held, light_number(index, i), GFP_KERNEL))
		return;
	__atomic_fetch_add(&post->takes, units_of(&held), __ATOMIC_RELAXED);
	while (!send(&post->inboxes[next], &held)) {
		receive(post, index);
		sched_yield();
	}
}

/* This thread sends no more. */
static void receive_the_rest(struct post *post, unsigned index)
{
	__atomic_fetch_sub(&post->running, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&post->running, __ATOMIC_ACQUIRE)) {
		receive(post, index);
		sched_yield();
	}
}

static void hand_over(struct post *post, unsigned index, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		take_and_send(post, index, i);
		if (i % 8 == 7)
			receive(post, index);
	}
	receive_the_rest(post, index);
}

static void post_open(struct post *post, unsigned threads)
{
	post->threads = threads;
	__atomic_store_n(&post->running, threads, __ATOMIC_RELEASE);
}

/* What the last of them sent. */
static void post_close(struct post *post)
{
	for (unsigned i = 0; i < post->threads; i++)
		receive(post, i);
}

static struct post post;

static void hand_over_many(void *arg, unsigned index)
{
	(void)arg;
	hand_over(&post, index, many());
}

static void blocks_are_given_back_by_others(void)
{
	open_for_threads(nr_threads());
	post_open(&post, nr_threads());
	threads_run_paused(nr_threads(), hand_over_many, NULL);
	post_close(&post);
	close_for_threads();
}

static void take_some(void *arg)
{
	struct load *load = arg;

	load_fill(load, load->max, GFP_KERNEL);
}

static void blocks_outlive_their_thread(void)
{
	role_open();
	for (unsigned i = 0; i < effort(8); i++) {
		struct load first = load_new(BLOCKS, 1000 * i), second = load_new(BLOCKS, 1000 * i + 500);

		thread_once(take_some, &first);
		thread_once(take_some, &second);
		load_intact(&first, "PLUG-18");
		/* The one before last ended long ago, and its area may be another's. */
		load_give_all(&first);
		load_intact(&second, "PLUG-18");
		load_give_all(&second);
		load_end(&first);
		load_end(&second);
	}
	role_close();
}

/* ---- threads come and go ---- */

#define GENERATION 4

static pthread_barrier_t meet;

/* Half of what a thread takes its neighbour gives back, before both end. */
static void come_and_go(void *arg, unsigned index)
{
	struct load *load = &loads[index], *other = &loads[index ^ 1];

	(void)arg;
	*load = load_new(work(4 * BLOCKS), numbers_of(index));
	load_fill(load, load->max, GFP_KERNEL);
	load_intact(load, "PLUG-19");
	pthread_barrier_wait(&meet);
	while (other->n > other->max / 2)
		load_give(other);
	pthread_barrier_wait(&meet);
	load_give_all(load);
	load_end(load);
}

/*
 * Some blocks stay while threads come and go, in memory that is theirs too. What is in reserve may grow at first: that of the
 * second half of the rounds is held against the first.
 */
static void thread_ends_lose_nothing(void)
{
	struct load load = load_new(BLOCKS, 0);
	uint64_t most = 0, now = 0, before;
	unsigned rounds = 16 + effort(8);

	role_open();
	before = has_walk() ? walk_units() : 0;
	pthread_barrier_init(&meet, NULL, GENERATION);
	load_fill(&load, BLOCKS, GFP_KERNEL);
	for (unsigned i = 0; i < rounds; i++) {
		threads_run(GENERATION, come_and_go, NULL);
		now = footprint();
		if (i < rounds / 2 && now > most)
			most = now;
	}
	kept("PLUG-19", !has_walk() || walk_units() - before == load_units(&load),
	     "threads came and went, and walk shows %llu live blocks more than before, where %llu are held",
	     (unsigned long long)(walk_units() - before), (unsigned long long)load_units(&load));
	if (in_machine())
		kept("PLUG-19", now <= most + most / 2 + 64,
		     "%u times four threads came, gave all back and went: at half time %llu frames were held then, now "
		     "%llu",
		     rounds, (unsigned long long)most, (unsigned long long)now);
	load_intact(&load, "PLUG-19");
	load_give_all(&load);
	pthread_barrier_destroy(&meet);
	role_close();
	load_end(&load);
}

/* ---- counters ---- */

static void check_sums(const struct books *books)
{
	struct loam_stat now = stat_now();

	kept("PLUG-20", now.allocs - books->before.allocs == post.takes, "allocs grew by %llu, there were %llu takes",
	     (unsigned long long)(now.allocs - books->before.allocs), (unsigned long long)post.takes);
	kept("PLUG-20", now.frees - books->before.frees == post.gives, "frees grew by %llu, there were %llu gives",
	     (unsigned long long)(now.frees - books->before.frees), (unsigned long long)post.gives);
	kept("PLUG-20", now.live_blocks == now.allocs - now.frees, "live_blocks is %llu, allocs - frees is %llu",
	     (unsigned long long)now.live_blocks, (unsigned long long)(now.allocs - now.frees));
}

static void counters_are_exact_after_threads(void)
{
	struct books books;

	open_for_threads(nr_threads());
	books = books_open();
	for (unsigned i = 0; i < 2; i++) {
		post_open(&post, nr_threads());
		threads_run_paused(nr_threads(), hand_over_many, NULL);
		check_sums(&books);
	}
	post_close(&post);
	check_sums(&books);
	close_for_threads();
}

static pthread_key_t late_key;
static pthread_barrier_t all_late;
static unsigned numbers[THREADS_MAX];

/* Behind the host's own destructor in the round that takes the thread's area away; all of them at once. */
static void work_late(void *arg)
{
	if (loam__area_block) {
		pthread_setspecific(late_key, arg);
		return;
	}
	pthread_barrier_wait(&all_late);
	hand_over(&post, *(unsigned *)arg, many() / 2);
}

static void work_and_end(void *arg, unsigned index)
{
	struct held held = { .ptr = NULL };

	(void)arg;
	/* Each has an area until its end. */
	if (job.suite->take(&held, light_number(index, 0), GFP_KERNEL)) {
		__atomic_fetch_add(&post.takes, units_of(&held), __ATOMIC_RELAXED);
		__atomic_fetch_add(&post.gives, units_of(&held), __ATOMIC_RELAXED);
		job.suite->give(&held);
	}
	numbers[index] = index;
	pthread_setspecific(late_key, &numbers[index]);
}

static void counters_are_exact_without_areas(void)
{
	struct books books;

	if (pthread_key_create(&late_key, work_late))
		trouble("no key for the end of threads");
	pthread_barrier_init(&all_late, NULL, nr_threads());
	open_for_threads(nr_threads());
	books = books_open();
	post_open(&post, nr_threads());
	threads_run(nr_threads(), work_and_end, NULL);
	post_close(&post);
	check_sums(&books);
	close_for_threads();
}

/* ---- beside others ---- */

static bool stop;        /* atomic */
static unsigned looks;   /* atomic: how often who looks on has looked */
static unsigned running; /* atomic: threads that work */

static void ignore_line(void *arg, const char *text)
{
	(void)arg, (void)text;
}

static void look_on(const char *clause)
{
	struct loam_stat last = stat_now();

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		struct loam_stat now = stat_now();

		kept(clause, now.frees <= now.allocs, "frees %llu exceeds allocs %llu", (unsigned long long)now.frees,
		     (unsigned long long)now.allocs);
		kept(clause, now.live_blocks == now.allocs - now.frees, "live_blocks is %llu, allocs %llu, frees %llu",
		     (unsigned long long)now.live_blocks, (unsigned long long)now.allocs,
		     (unsigned long long)now.frees);
		kept(clause, now.allocs >= last.allocs, "allocs fell from %llu to %llu",
		     (unsigned long long)last.allocs, (unsigned long long)now.allocs);
		kept(clause, now.frees >= last.frees, "frees fell from %llu to %llu", (unsigned long long)last.frees,
		     (unsigned long long)now.frees);
		kept(clause, now.failures >= last.failures, "failures fell from %llu to %llu",
		     (unsigned long long)last.failures, (unsigned long long)now.failures);
		kept(clause, !in_machine() || now.live_bytes <= loam__machine.map.nr_pages << LOAM_PAGE_SHIFT,
		     "live_bytes is %llu, more than all memory", (unsigned long long)now.live_bytes);
		last = now;
		op_enter("tell()");
		loam__tell(subject, ignore_line, NULL);
		op_leave();
		__atomic_fetch_add(&looks, 1, __ATOMIC_RELAXED);
	}
}

/*
 * While the counters of one thread are read and those of the next are not, the threads hand over more than they have at once. As
 * long as they can: an op that waits for who looks on gives nothing back meanwhile.
 */
static void others_go_on(void)
{
	uint64_t from = __atomic_load_n(&post.gives, __ATOMIC_RELAXED);

	for (unsigned i = 0; i < 50 && __atomic_load_n(&post.gives, __ATOMIC_RELAXED) - from < 100; i++)
		sched_yield();
}

/*
 * One takes and the other gives back, so one area has the one count and one the other; then the other way round, since which
 * area is read first is not known.
 */
static void hand_over_one_way(unsigned index, unsigned wanted)
{
	unsigned seen;

	for (unsigned i = 0; (seen = __atomic_load_n(&looks, __ATOMIC_RELAXED)) < wanted; i++)
		if (index == (seen < wanted / 2)) {
			take_and_send(&post, index, i);
		} else {
			receive(&post, index);
			sched_yield();
		}
}

/* The last thread looks on. */
static void look_or_work(void *arg, unsigned index)
{
	if (index == post.threads) {
		look_on(arg);
		return;
	}
	hand_over_one_way(index, effort(60));
	hand_over(&post, index, many() / 6);
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
}

static void stat_is_sound_beside_ops(void)
{
	open_for_threads(2);
	post_open(&post, 2);
	shim_between_areas(others_go_on);
	threads_run(3, look_or_work, (void *)"PLUG-21");
	shim_between_areas(NULL);
	post_close(&post);
	close_for_threads();
}

/* A thread that asks the subject to shrink while the others work; it works too, for it has an area that is shrunk. */
static void shrink_or_work(void *arg, unsigned index)
{
	struct load load = load_new(work(BLOCKS), 500000000);

	(void)arg;
	if (index) {
		for (unsigned i = 0; i < 4; i++)
			churn_own((void *)"PLUG-22", index);
		if (!__atomic_sub_fetch(&running, 1, __ATOMIC_ACQ_REL))
			__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	} else {
		while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
			load_churn(&load, BLOCKS / 4, GFP_KERNEL, "PLUG-22");
			shrink_now(~0ul);
		}
		load_intact(&load, "PLUG-22");
		load_give_all(&load);
	}
	load_end(&load);
}

static void shrink_beside_ops(void)
{
	unsigned n = nr_threads() + 1;
	struct books books;

	open_for_threads(n);
	for (unsigned i = 1; i < n; i++)
		loads[i] = load_new(share(n), numbers_of(i));
	books = books_open();
	__atomic_store_n(&running, n - 1, __ATOMIC_RELAXED);
	threads_run_paused(n, shrink_or_work, NULL);
	for (unsigned i = 1; i < n; i++) {
		kept("PLUG-22", !loads[i].refused, "beside a shrink %u blocks were refused with memory at hand",
		     loads[i].refused);
		load_intact(&loads[i], "PLUG-22");
		load_give_all(&loads[i]);
		load_end(&loads[i]);
	}
	kept("PLUG-22", stat_now().live_blocks == books.before.live_blocks,
	     "all was given back, and live_blocks is %llu more than before",
	     (unsigned long long)(stat_now().live_blocks - books.before.live_blocks));
	close_for_threads();
}

static void take_one_and_shrink(void *arg)
{
	struct load load = load_new(4, 3);

	(void)arg;
	load_fill(&load, 1, GFP_KERNEL);
	shrink_now(~0ul);
	load_intact(&load, "PLUG-22");
	load_fill(&load, 3, GFP_KERNEL);
	load_give_all(&load);
	load_end(&load);
}

static void take_and_give(void *arg)
{
	struct load load = load_new(2 * BLOCKS, 9000);

	(void)arg;
	load_fill(&load, load.max, GFP_KERNEL);
	load_give_all(&load);
	load_end(&load);
}

/* A thread finds an area in which another one left hardly anything as it was, and has used little of it. */
static void a_new_thread_shrinks(void)
{
	role_open();
	for (unsigned i = 0; i < effort(6); i++) {
		thread_once(take_and_give, NULL);
		thread_once(take_one_and_shrink, NULL);
	}
	role_close();
}

static const struct test tests[] = {
	{ "threads-have-their-own-blocks", "PLUG-17", threads_have_their_own_blocks, THREADS, 0, 0 },
	{ "threads-share-the-last-memory", "PLUG-17", threads_share_the_last_memory, THREADS, 0, 8 },
	{ "blocks-are-given-back-by-others", "PLUG-18", blocks_are_given_back_by_others, THREADS, 0, 0 },
	{ "blocks-outlive-their-thread", "PLUG-18", blocks_outlive_their_thread, THREADS, 0, 0 },
	{ "thread-ends-lose-nothing", "PLUG-19", thread_ends_lose_nothing, THREADS, 0, 0 },
	{ "counters-are-exact-after-threads", "PLUG-20", counters_are_exact_after_threads, THREADS, 0, 0 },
	{ "counters-are-exact-without-areas", "PLUG-20", counters_are_exact_without_areas, THREADS, 0, 0 },
	{ "stat-is-sound-beside-ops", "PLUG-21", stat_is_sound_beside_ops, THREADS, 0, 0 },
	{ "a-new-thread-shrinks", "PLUG-22", a_new_thread_shrinks, THREADS, 0, 0 },
	{ "shrink-beside-ops", "PLUG-22", shrink_beside_ops, THREADS, 0, 0 },
};

static const struct suite suite = {
	.name = "plugin",
	.general = true,
	TESTS(tests),
	.capabilities = plugin_capabilities,
};
SUITE(suite);
