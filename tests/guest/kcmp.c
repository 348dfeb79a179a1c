/* kcmp(2). */
#include "check.h"
#include <linux/kcmp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

static long cmp(pid_t a, pid_t b, int kind, unsigned long i, unsigned long j)
{
	return syscall(SYS_kcmp, a, b, kind, i, j);
}

static void *other(void *arg)
{
	*(pid_t *)arg = gettid();
	pause();
	return NULL;
}

TEST(files)
{
	int fd = OK(open("/dev/null", O_RDONLY)), copy = OK(dup(fd)), again = OK(open("/dev/null", O_RDONLY));
	pid_t me = getpid();
	EQ(cmp(me, me, KCMP_FILE, fd, copy), 0);
	long a = cmp(me, me, KCMP_FILE, fd, again), b = cmp(me, me, KCMP_FILE, again, fd);
	CHECK((a == 1 && b == 2) || (a == 2 && b == 1));
	IN_CHILD
	{
		EQ(cmp(me, getpid(), KCMP_FILE, fd, fd), 0);
		CHECK(cmp(me, getpid(), KCMP_FILES, 0, 0) > 0);
		CHECK(cmp(me, getpid(), KCMP_VM, 0, 0) > 0);
		CHECK(cmp(me, getpid(), KCMP_FS, 0, 0) > 0);
		CHECK(cmp(me, getpid(), KCMP_SIGHAND, 0, 0) > 0);
	}
	ERR(cmp(me, me, KCMP_FILE, fd, 999), EBADF);
	ERR(cmp(me, me, 99, 0, 0), EINVAL);
	ERR(cmp(me, 0x3fffffff, KCMP_VM, 0, 0), ESRCH);
}

TEST(threads)
{
	pthread_t th;
	volatile pid_t tid = 0;
	EQ(pthread_create(&th, NULL, other, (void *)&tid), 0);
	while (!tid)
		sleep_ms(1);
	static const int kinds[] = {KCMP_VM, KCMP_FILES, KCMP_FS, KCMP_SIGHAND, KCMP_IO, KCMP_SYSVSEM};
	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
		EQ(cmp(getpid(), tid, kinds[i], 0, 0), 0);
}

TEST(epoll)
{
	int ep = OK(epoll_create1(0)), p[2];
	OK(pipe(p));
	struct epoll_event ev = {.events = EPOLLIN};
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev));
	struct kcmp_epoll_slot slot = {.efd = ep, .tfd = p[0], .toff = 0};
	pid_t me = getpid();
	EQ(cmp(me, me, KCMP_EPOLL_TFD, p[0], (uintptr_t)&slot), 0);
	CHECK(cmp(me, me, KCMP_EPOLL_TFD, p[1], (uintptr_t)&slot) > 0);
	slot.toff = 1;
	ERR(cmp(me, me, KCMP_EPOLL_TFD, p[0], (uintptr_t)&slot), ENOENT);
	slot.toff = 0, slot.tfd = p[1];
	ERR(cmp(me, me, KCMP_EPOLL_TFD, p[0], (uintptr_t)&slot), ENOENT);
	slot.efd = p[0];
	ERR(cmp(me, me, KCMP_EPOLL_TFD, p[0], (uintptr_t)&slot), EINVAL);
	ERR(cmp(me, me, KCMP_EPOLL_TFD, p[0], (uintptr_t)BAD), EFAULT);
}

TEST(rights)
{
	NEED_ROOT();
	pid_t root = getpid();
	IN_CHILD
	{
		OK(setgid(12345));
		OK(setuid(12345));
		ERR(cmp(getpid(), root, KCMP_VM, 0, 0), EPERM);
	}
}
