/* getpid(2), getppid(2), getuid(2), geteuid(2), getgid(2), getegid(2): who the caller is. */
#include "check.h"
#include <sys/prctl.h>

static void *numbers_of_thread(void *main_tid)
{
	EQ(syscall(SYS_getpid), (long)main_tid);
	CHECK(syscall(SYS_gettid) != (long)main_tid);
	EQ(syscall(SYS_getppid), getppid());
	return NULL;
}

TEST(process_numbers)
{
	pthread_t th;
	pid_t me = syscall(SYS_getpid);
	CHECK(me > 0);
	EQ(me, getpid());
	EQ(syscall(SYS_gettid), me);
	EQ(pthread_create(&th, NULL, numbers_of_thread, (void *)(long)me), 0);
	EQ(pthread_join(th, NULL), 0);
	int seen[2];
	pid_t told[2];
	OK(pipe(seen));
	pid_t child = OK(fork());
	if (child == 0) {
		told[0] = syscall(SYS_getpid);
		told[1] = syscall(SYS_getppid);
		_exit(write(seen[1], told, sizeof told) != sizeof told);
	}
	EQ(read(seen[0], told, sizeof told), sizeof told);
	EQ(told[0], child);
	EQ(told[1], me);
	REAP_OK(child);
	EQ(syscall(SYS_getpid), me);
}

TEST(the_number_outlives_exec)
{
	IN_CHILD {
		char text[64];
		snprintf(text, sizeof text, "test $$ = %d && test $PPID = %d", getpid(), getppid());
		execl("/bin/sh", "sh", "-c", text, NULL);
		_exit(126);
	}
}

/* An orphan's parent is the nearest subreaper above it. */
TEST(the_parent_of_an_orphan)
{
	int told[2];
	pid_t parent;
	OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
	OK(pipe(told));
	pid_t middle = OK(fork());
	if (middle == 0) {
		pid_t first = getpid();
		if (OK(fork()) == 0) {
			for (int i = 0; i < 2000 && getppid() == first; i++)
				sleep_ms(5);
			parent = syscall(SYS_getppid);
			_exit(write(told[1], &parent, sizeof parent) != sizeof parent);
		}
		_exit(0);
	}
	REAP_OK(middle);
	EQ(read(told[0], &parent, sizeof parent), sizeof parent);
	EQ(parent, getpid());
	REAP_OK(-1);
}

TEST(real_and_effective)
{
	NEED_ROOT();
	EQ(syscall(SYS_geteuid), 0);
	IN_CHILD {
		OK(setresgid(11, 12, 13));
		OK(setresuid(21, 22, 23));
		EQ(syscall(SYS_getuid), 21);
		EQ(syscall(SYS_geteuid), 22);
		EQ(syscall(SYS_getgid), 11);
		EQ(syscall(SYS_getegid), 12);
		IN_CHILD {
			EQ(syscall(SYS_getuid), 21);
			EQ(syscall(SYS_getegid), 12);
		}
		OK(seteuid(23));
		EQ(syscall(SYS_getuid), 21);
		EQ(syscall(SYS_geteuid), 23);
		OK(setegid(13));
		EQ(syscall(SYS_getgid), 11);
		EQ(syscall(SYS_getegid), 13);
	}
	EQ(syscall(SYS_getuid), 0);
}

TEST(ids_over_31_bits)
{
	NEED_ROOT();
	IN_CHILD {
		uid_t big = 0xfffffffeu;
		OK(setgid(big));
		OK(setuid(big));
		EQ((uid_t)syscall(SYS_getuid), big);
		EQ((uid_t)syscall(SYS_geteuid), big);
		EQ((gid_t)syscall(SYS_getgid), big);
		EQ((gid_t)syscall(SYS_getegid), big);
		EQ(getuid(), big);
	}
}

static void *others_for_me_alone(void *unused)
{
	OK(syscall(SYS_setresgid, 31, 32, 33));
	OK(syscall(SYS_setresuid, 41, 42, 43));
	EQ(syscall(SYS_getuid), 41);
	EQ(syscall(SYS_geteuid), 42);
	EQ(syscall(SYS_getgid), 31);
	EQ(syscall(SYS_getegid), 32);
	return unused;
}

/* The ids are a thread's own; what makes them the process's is the C library (nptl(7)). */
TEST(ids_of_a_thread)
{
	pthread_t th;
	NEED_ROOT();
	EQ(pthread_create(&th, NULL, others_for_me_alone, NULL), 0);
	EQ(pthread_join(th, NULL), 0);
	EQ(syscall(SYS_getuid), 0);
	EQ(syscall(SYS_geteuid), 0);
	EQ(syscall(SYS_getgid), 0);
	EQ(syscall(SYS_getegid), 0);
}
