/* SPDX-License-Identifier: MIT */
/* child.c: inside the process of a test: its limits, what it tells the runner, and how it ends. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <unistd.h>

struct job job;
_Thread_local bool own_fork;
static pid_t test_pid;

const char *const kind_names[] = { "example", "model",    "exhaustion", "fault",
				   "threads", "lifetime", "hostile",    "introspection" };

/* ---- what the runner is told ---- */

/* One write a line, at the end of the file: lines of several threads and processes do not mix. */
void child_line(const char *kind, const char *id, const char *text)
{
	char line[1200];
	size_t n = 0;
	ssize_t written;

	for (const char *part = kind; *part && n < 20; part++)
		line[n++] = *part;
	line[n++] = '\t';
	for (const char *part = id; *part && n < 60; part++)
		line[n++] = *part;
	line[n++] = '\t';
	for (const char *part = text; *part && n < sizeof(line) - 1; part++)
		line[n++] = *part == '\n' || *part == '\t' ? ' ' : *part;
	line[n++] = '\n';
	written = write(job.results, line, n);
	(void)written;
}

static void __attribute__((noreturn)) end_badly(void)
{
	if (job.debugger)
		abort();
	_exit(1);
}

static void tell(const char *kind, const char *id, const char *fmt, va_list args) LOAM_PRINTF(3, 0);
static void tell(const char *kind, const char *id, const char *fmt, va_list args)
{
	char text[1000];

	vsnprintf(text, sizeof(text), fmt, args);
	child_line(kind, id, text);
	if (job.debugger)
		fprintf(stderr, "%s %s: %s\n", kind, id, text);
}

void broken(const char *id, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	tell("broken", id, fmt, args);
	va_end(args);
	end_badly();
}

void trouble(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	tell("trouble", "", fmt, args);
	va_end(args);
	end_badly();
}

void skip(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	tell("skip", "", fmt, args);
	va_end(args);
	_exit(0);
}

void note(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	tell("note", "", fmt, args);
	va_end(args);
}

/* ---- crashes and hangs ---- */

static void crashed(int sig, siginfo_t *info, void *context)
{
	char text[500], op[300];

	(void)context;
	op_text(op, sizeof(op));
	if (sig == SIGSEGV || sig == SIGBUS)
		snprintf(text, sizeof(text), "signal %d (%s) at %p in %s", sig, sigdescr_np(sig), info->si_addr, op);
	else
		snprintf(text, sizeof(text), "signal %d (%s) in %s", sig, sigdescr_np(sig), op);
	child_line("crash", RETURNS, text);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void too_long(int sig)
{
	char text[500], op[300];

	op_text(op, sizeof(op));
	snprintf(text, sizeof(text), "no end after %u s of %s, last in %s",
		 job.seconds * (sig == SIGALRM ? PATIENCE : 1), sig == SIGALRM ? "waiting" : "work", op);
	child_line("hang", RETURNS, text);
	_exit(1);
}

/* What loops uses the processor's time, which a busy computer makes no shorter; what waits for ever uses the clock's. */
static void set_timers(unsigned seconds)
{
	const struct itimerval work = { .it_value = { .tv_sec = seconds } };

	signal(SIGALRM, too_long);
	signal(SIGPROF, too_long);
	setitimer(ITIMER_PROF, &work, NULL);
	alarm(seconds * PATIENCE);
}

static void catch_signals(void)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS, SIGXFSZ };
	static char stack[64 << 10];
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	if (job.debugger)
		return;
	sigaltstack(&alternate, NULL);
	for (unsigned i = 0; i < LOAM_LEN(fatal); i++)
		sigaction(fatal[i], &action, NULL);
	set_timers(job.seconds);
}

void child_no_timers(void)
{
	set_timers(0);
}

/* ---- limits ---- */

static void limit(int what, rlim_t most)
{
	struct rlimit now;

	if (getrlimit(what, &now) || (now.rlim_max != RLIM_INFINITY && now.rlim_max < most))
		return;
	now.rlim_cur = now.rlim_max = most;
	setrlimit(what, &now);
}

/* A plugin gone wild takes this test's process with it, not the computer. A sanitizer's shadow needs all the addresses. */
static void set_limits(void)
{
	struct sysinfo info;

	if (!job.sanitizer)
		limit(RLIMIT_AS, (rlim_t)16 << 30);
	limit(RLIMIT_NOFILE, 128);
	limit(RLIMIT_FSIZE, (rlim_t)2 << 30);
	limit(RLIMIT_CORE, 0);
	if (!sysinfo(&info))
		limit(RLIMIT_NPROC, (rlim_t)info.procs + 256);
}

/* ---- forks that nobody asked for ---- */

static void before_fork(void)
{
	if (!own_fork && getpid() == test_pid)
		child_line("broken", RETURNS, "the plugin forks a process");
}

/* A process that the plugin ended comes by here, with the test not at its end. */
static void at_exit(void)
{
	char text[400], op[300];

	if (getpid() != test_pid || job.debugger || job.ended)
		return;
	op_text(op, sizeof(op));
	snprintf(text, sizeof(text), "the process was ended in %s", op);
	child_line("exit", RETURNS, text);
}

/* ---- the test ---- */

static void say_pid(void)
{
	char pid[20];

	test_pid = getpid();
	snprintf(pid, sizeof(pid), "%d", (int)test_pid);
	child_line("pid", "", pid);
}

void child_end(void)
{
	job.ended = true;
	set_timers(0);
	child_line("done", "", "");
}

int child_results(void)
{
	int fd = memfd_create("loam conform results", MFD_CLOEXEC);

	if (fd >= 0 && fcntl(fd, F_SETFL, O_APPEND)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

void child_again(int results, unsigned seconds)
{
	job.results = results;
	job.seconds = seconds;
	say_pid();
	set_timers(seconds);
}

void child_run(void)
{
	if (!job.debugger && (dup2(job.log, STDOUT_FILENO) < 0 || dup2(job.log, STDERR_FILENO) < 0))
		trouble("no file for the output");
	say_pid();
	test_rng.state = job.seed;
	set_limits();
	catch_signals();
	atexit(at_exit);
	pthread_atfork(before_fork, NULL, NULL);
	if (!(job.test->flags & NO_MACHINE))
		machine_up(NULL);
	job.test->run();
	if (machine_is_up() && job.test->flags & LEAVES)
		machine_halt();
	else if (machine_is_up())
		machine_down();
	child_end();
}
