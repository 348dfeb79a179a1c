/* ioprio_set(2), ioprio_get(2). */
#include "check.h"
#include <sys/resource.h>

enum { PROCESS = 1, PGRP, USER };
enum { NONE, RT, BE, IDLE };
#define VALUE(class, level) ((class) << 13 | (level))

static long get(int which, int who)
{
	return syscall(SYS_ioprio_get, which, who);
}
static long set(int which, int who, int value)
{
	return syscall(SYS_ioprio_set, which, who, value);
}

TEST(own)
{
	long first = get(PROCESS, 0);
	CHECK(first == VALUE(NONE, 0) || first == VALUE(BE, 4)); /* since 5.18 what the nice value says */
	OK(set(PROCESS, 0, VALUE(BE, 6)));
	EQ(get(PROCESS, 0), VALUE(BE, 6));
	EQ(get(PROCESS, getpid()), VALUE(BE, 6));
	IN_CHILD
	{
		EQ(get(PROCESS, 0), VALUE(BE, 6)); /* inherited */
		OK(set(PROCESS, 0, VALUE(IDLE, 0)));
		EQ(get(PROCESS, 0), VALUE(IDLE, 0));
	}
	EQ(get(PROCESS, 0), VALUE(BE, 6));
	OK(set(PROCESS, 0, VALUE(NONE, 0)));
	EQ(get(PROCESS, 0), first);
}

TEST(errors)
{
	ERR(set(PROCESS, 0, VALUE(NONE, 1)), EINVAL);
	ERR(set(PROCESS, 0, VALUE(5, 0)), EINVAL);
	ERR(set(9, 0, VALUE(BE, 0)), EINVAL);
	ERR(get(9, 0), EINVAL);
	ERR(get(PROCESS, 0x3fffffff), ESRCH);
	ERR(set(PROCESS, 0x3fffffff, VALUE(BE, 0)), ESRCH);
	ERR(get(PGRP, 0x3fffffff), ESRCH);
	ERR(get(USER, 987654), ESRCH);
}

TEST(groups)
{
	OK(set(PROCESS, 0, VALUE(BE, 5)));
	int p[2];
	OK(pipe(p));
	pid_t pid = OK(fork());
	if (!pid) {
		char c;
		OK(set(PROCESS, 0, VALUE(BE, 2)));
		OK(write(p[1], "x", 1));
		pause();
		(void)!read(p[0], &c, 1);
		_exit(0);
	}
	char c;
	EQ(read(p[0], &c, 1), 1);
	EQ(get(PROCESS, pid), VALUE(BE, 2));
	EQ(get(PGRP, 0), VALUE(BE, 2)); /* the best of all */
	OK(set(PGRP, 0, VALUE(IDLE, 0)));
	EQ(get(PROCESS, pid), VALUE(IDLE, 0));
	EQ(get(PROCESS, 0), VALUE(IDLE, 0));
	OK(kill(pid, SIGKILL));
	REAP_SIGNAL(pid, SIGKILL);
}

static void *other(void *arg)
{
	*(volatile pid_t *)arg = gettid();
	pause();
	return NULL;
}

TEST(threads)
{
	pthread_t th;
	volatile pid_t tid = 0;
	EQ(pthread_create(&th, NULL, other, (void *)&tid), 0);
	while (!tid)
		sleep_ms(1);
	OK(set(PROCESS, tid, VALUE(BE, 1)));
	EQ(get(PROCESS, tid), VALUE(BE, 1));
	CHECK(get(PROCESS, 0) != VALUE(BE, 1));
}

TEST(rights)
{
	NEED_ROOT();
	OK(set(PROCESS, 0, VALUE(RT, 3)));
	EQ(get(PROCESS, 0), VALUE(RT, 3));
	pid_t root = getpid();
	IN_CHILD
	{
		OK(setgid(12345));
		OK(setuid(12345));
		ERR(set(PROCESS, 0, VALUE(RT, 3)), EPERM);
		ERR(set(PROCESS, root, VALUE(BE, 3)), EPERM);
		OK(set(PROCESS, 0, VALUE(IDLE, 0)));
		EQ(get(PROCESS, root), VALUE(RT, 3));
		EQ(get(USER, 12345), VALUE(IDLE, 0));
	}
}
