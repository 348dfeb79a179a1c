/* What a system call costs the program that makes it: each in a loop, natively, ns a call as one JSON line.
 *
 * usage: calls DIR [NAME...]     DIR is a writable directory for the files that some calls need
 * Built static, so that the same file runs on the host and in any sandbox with nothing else in the root.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "measure.h"

#define BUDGET_NS 200000000ull   /* a call is repeated for so long ... */
#define BATCHES 15               /* ... in so many batches, of which the median counts */

static char block[4096];
static int file_fd, one_pipe[2];
static const char *file_path = "file";
static char self_path[PATH_MAX];

static void do_getppid(void) { need(syscall(SYS_getppid) >= 0, "getppid"); }
static void do_getuid(void) { need(syscall(SYS_getuid) >= 0, "getuid"); }
static void do_umask(void) { syscall(SYS_umask, 022); }
static void do_lseek(void) { need(lseek(file_fd, 0, SEEK_SET) == 0, "lseek"); }
static void do_fstat(void) { struct stat st; need(fstat(file_fd, &st) == 0, "fstat"); }
static void do_stat(void) { struct stat st; need(stat(file_path, &st) == 0, "stat"); }
static void do_pread(void) { need(pread(file_fd, block, 4096, 0) == 4096, "pread"); }
static void do_pwrite(void) { need(pwrite(file_fd, block, 4096, 0) == 4096, "pwrite"); }

static void do_open_close(void)
{
	int fd = open(file_path, O_RDONLY);
	need(fd >= 0 && close(fd) == 0, "open and close");
}

static void do_pipe(void)
{
	char byte = 1;
	need(write(one_pipe[1], &byte, 1) == 1 && read(one_pipe[0], &byte, 1) == 1, "pipe");
}

static void touch_map(size_t size)
{
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(at != MAP_FAILED, "mmap");
	for (size_t i = 0; i < size; i += 4096)
		((volatile char *)at)[i] = 1;
	need(munmap(at, size) == 0, "munmap");
}

static void do_mmap_4k(void) { touch_map(4096); }
static void do_mmap_1m(void) { touch_map(1 << 20); }

static void end_of(pid_t pid)
{
	int status;
	need(pid > 0, "fork");
	need(waitpid(pid, &status, 0) == pid, "waitpid");
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		fprintf(stderr, "the child ended with status %#x\n", status);
		exit(1);
	}
}

static void do_fork(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	end_of(pid);
}

static void do_fork_exec(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		execl(self_path, self_path, "--exit", (char *)NULL);
		_exit(127);
	}
	end_of(pid);
}

/* Two processes and two pipes; one call is a byte there and back. */
static int there[2], back[2];
static pid_t partner;

static void start_partner(void)
{
	char byte;
	need(pipe(there) == 0 && pipe(back) == 0, "pipe");
	partner = fork();
	need(partner >= 0, "fork");
	if (partner)
		return;
	close(there[1]);          /* else there would never be an end of file */
	close(back[0]);
	while (read(there[0], &byte, 1) == 1)
		if (write(back[1], &byte, 1) != 1)
			break;
	_exit(0);
}

static void do_ping_pong(void)
{
	char byte = 1;
	need(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "ping-pong");
}

static void stop_partner(void)
{
	close(there[1]);
	close(back[0]);
	end_of(partner);
}

/* Both on one CPU: without the time that waking an idle CPU takes, which hides everything else. */
static cpu_set_t all_cpus;

static void start_partner_here(void)
{
	cpu_set_t one;
	int cpu = 0;
	need(sched_getaffinity(0, sizeof all_cpus, &all_cpus) >= 0, "sched_getaffinity");
	while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &all_cpus))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	need(sched_setaffinity(0, sizeof one, &one) == 0, "sched_setaffinity");
	start_partner();
}

static void stop_partner_here(void)
{
	stop_partner();
	need(sched_setaffinity(0, sizeof all_cpus, &all_cpus) == 0, "sched_setaffinity");
}

static const struct {
	const char *name;
	void (*run)(void), (*before)(void), (*after)(void);
} calls[] = {
	{ "getppid", do_getppid }, { "getuid", do_getuid }, { "lseek", do_lseek }, { "fstat", do_fstat },
	{ "umask", do_umask }, { "pread", do_pread }, { "pwrite", do_pwrite }, { "stat", do_stat },
	{ "open_close", do_open_close }, { "pipe", do_pipe },
	{ "ping_pong", do_ping_pong, start_partner_here, stop_partner_here },
	{ "ping_pong_2cpu", do_ping_pong, start_partner, stop_partner },
	{ "mmap_4k", do_mmap_4k }, { "mmap_1m", do_mmap_1m }, { "fork", do_fork }, { "fork_exec", do_fork_exec },
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void measure(int which)
{
	double batch_ns[BATCHES];
	unsigned long long count = 1, total = 0, took;
	if (calls[which].before)
		calls[which].before();
	for (;; count *= 2) {            /* how many calls make a batch */
		unsigned long long began = now_ns();
		for (unsigned long long i = 0; i < count; i++)
			calls[which].run();
		took = now_ns() - began;
		if (took * BATCHES >= BUDGET_NS || count >= 1u << 22)
			break;
	}
	for (int b = 0; b < BATCHES; b++) {
		unsigned long long began = now_ns();
		for (unsigned long long i = 0; i < count; i++)
			calls[which].run();
		batch_ns[b] = (double)(now_ns() - began) / count;
		total += count;
	}
	if (calls[which].after)
		calls[which].after();
	qsort(batch_ns, BATCHES, sizeof batch_ns[0], by_value);
	printf("{\"call\": \"%s\", \"ns\": %.1f, \"count\": %llu}\n", calls[which].name, batch_ns[BATCHES / 2], total);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int count = sizeof calls / sizeof calls[0], known = 0;
	if (argc == 2 && strcmp(argv[1], "--exit") == 0)
		return 0;
	if (argc < 2) {
		fprintf(stderr, "usage: calls DIR [NAME...]\n");
		return 2;
	}
	need(realpath(argv[0], self_path) != NULL, argv[0]);
	need(chdir(argv[1]) == 0, argv[1]);
	file_fd = open(file_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	need(file_fd >= 0, file_path);
	need(pwrite(file_fd, block, sizeof block, 0) == sizeof block, file_path);
	need(pipe(one_pipe) == 0, "pipe");
	for (int i = 0; i < count; i++) {
		int wanted = argc == 2;
		for (int j = 2; j < argc; j++)
			wanted |= strcmp(argv[j], calls[i].name) == 0;
		if (wanted)
			measure(i);
		known += wanted;
	}
	need(unlink(file_path) == 0, "unlink");
	return known > 0 ? 0 : 2;
}
