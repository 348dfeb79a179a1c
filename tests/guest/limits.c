/* getrlimit(2), prlimit(2), getrusage(2): resource limits. */
#include "check.h"
#include <sys/resource.h>

TEST(get_and_set)
{
	struct rlimit a, b;
	for (int r = 0; r < 16; r++) {
		OK(getrlimit(r, &a));
		CHECK(a.rlim_cur <= a.rlim_max);
	}
	OK(getrlimit(RLIMIT_CORE, &a));
	OK(getrlimit(RLIMIT_NOFILE, &a));
	CHECK(a.rlim_cur >= 64);
	b = (struct rlimit){60, a.rlim_max};
	OK(setrlimit(RLIMIT_NOFILE, &b));
	OK(getrlimit(RLIMIT_NOFILE, &a));
	EQ(a.rlim_cur, 60);
	EQ(sysconf(_SC_OPEN_MAX), 60);
	b.rlim_cur = a.rlim_max; /* the soft one goes up again */
	OK(setrlimit(RLIMIT_NOFILE, &b));
	b = (struct rlimit){50, 50};
	OK(setrlimit(RLIMIT_NOFILE, &b));
	b.rlim_cur = 51;
	ERR(setrlimit(RLIMIT_NOFILE, &b), EINVAL);
	IN_CHILD {
		OK(getrlimit(RLIMIT_NOFILE, &a));
		EQ(a.rlim_max, 50);
		execl("/bin/sh", "sh", "-c", "test $(ulimit -n) = 50", NULL);
		_exit(126);
	}
}

TEST(raising_the_hard_limit)
{
	struct rlimit r = {10, 10};
	NEED_ROOT();
	IN_CHILD {
		OK(setuid(1000));
		OK(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}));
		ERR(setrlimit(RLIMIT_CORE, &r), EPERM);
	}
}

TEST(errors)
{
	struct rlimit r = {1, 0};
	ERR(syscall(SYS_getrlimit, 99, &r), EINVAL);
	ERR(syscall(SYS_getrlimit, RLIMIT_NOFILE, BAD), EFAULT);
	ERR(syscall(SYS_setrlimit, RLIMIT_NOFILE, BAD), EFAULT);
	ERR(syscall(SYS_setrlimit, RLIMIT_NOFILE, &r), EINVAL);
	ERR(syscall(SYS_setrlimit, 99, &r), EINVAL);
	ERR(syscall(SYS_prlimit64, 1 << 22, RLIMIT_NOFILE, NULL, &r), ESRCH);
	ERR(syscall(SYS_prlimit64, 0, 99, NULL, &r), EINVAL);
	ERR(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, BAD, NULL), EFAULT);
}

TEST(prlimit_of_child)
{
	struct rlimit old, r;
	pid_t pid = OK(fork());
	if (pid == 0)
		for (;;)
			pause();
	OK(getrlimit(RLIMIT_NOFILE, &r));
	r.rlim_cur = 33;
	OK(prlimit(pid, RLIMIT_NOFILE, &r, &old));
	CHECK(old.rlim_cur != 33);
	OK(prlimit(pid, RLIMIT_NOFILE, NULL, &old));
	EQ(old.rlim_cur, 33);
	OK(kill(pid, SIGKILL));
	reap(pid);
}

TEST(cpu_limit_kills)
{
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(setrlimit(RLIMIT_CPU, &(struct rlimit){1, 2}));
		for (;;)
			;
	}
	REAP_SIGNAL(pid, SIGXCPU);
}

TEST(usage)
{
	struct rusage a, b;
	OK(getrusage(RUSAGE_SELF, &a));
	for (volatile long i = 0; i < 20000000; i++)
		;
	OK(getrusage(RUSAGE_SELF, &b));
	CHECK(b.ru_utime.tv_sec * 1000000 + b.ru_utime.tv_usec > a.ru_utime.tv_sec * 1000000 + a.ru_utime.tv_usec);
	CHECK(b.ru_maxrss > 0);
	OK(getrusage(RUSAGE_THREAD, &b));
	IN_CHILD {
		for (volatile long i = 0; i < 50000000; i++)
			;
	}
	OK(getrusage(RUSAGE_CHILDREN, &b));
	CHECK(b.ru_utime.tv_sec * 1000000 + b.ru_utime.tv_usec > 1000);
	ERR(getrusage((__rusage_who_t)9, &b), EINVAL);
	ERR(getrusage(RUSAGE_SELF, BAD), EFAULT);
}
