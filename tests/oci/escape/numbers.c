/* syscalls(2): every number up to argv[1] once with zeros and once with all ones, each in a process of its own that says so
 * first (access of "mark-NUMBER-ONES") and afterwards ("done"), so that a log of calls can be read. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long raw(long nr, long fill)
{
	register long r10 __asm__("r10") = fill, r8 __asm__("r8") = fill, r9 __asm__("r9") = fill;
	long out;
	__asm__ volatile("syscall" : "=a"(out) : "a"(nr), "D"(fill), "S"(fill), "d"(fill), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return out;
}

static int skipped(long nr)
{
	return nr == SYS_exit || nr == SYS_exit_group || nr == SYS_rt_sigreturn || nr == SYS_pause || nr == SYS_vfork ||
	       nr == SYS_fork || nr == SYS_clone || nr == SYS_clone3;
}

static void attempt(long nr, int ones)
{
	char mark[64];
	pid_t pid = fork();

	if (pid == 0) {
		snprintf(mark, sizeof mark, "mark-%ld-%d", nr, ones);
		setpgid(0, 0);
		syscall(SYS_access, mark, 0);
		raw(nr, ones ? -1L : 0L);
		syscall(SYS_access, "done", 0);
		syscall(SYS_kill, 0, SIGKILL);
		for (;;)
			;
	}
	for (int turns = 0;; turns++) {
		struct timespec ts = {0, 500000};
		int status;
		if (waitpid(pid, &status, WNOHANG | __WALL) == pid)
			return;
		if (turns == 200)
			kill(pid, SIGKILL); /* a call that waits */
		nanosleep(&ts, NULL);
	}
}

int main(int argc, char **argv)
{
	long last = argc > 1 ? atol(argv[1]) : 600;

	for (long nr = 0; nr <= last; nr++)
		for (int ones = 0; ones < 2 && !skipped(nr); ones++)
			attempt(nr, ones);
	puts("all made");
	return 0;
}
