/* get_robust_list(2), futex_waitv(2), and futex_wait, futex_wake, futex_requeue of Linux 6.7. */
#include "check.h"
#include <linux/futex.h>
#include <sys/mman.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef SYS_futex_wake
#define SYS_futex_wake 454
#define SYS_futex_wait 455
#define SYS_futex_requeue 456
#endif
#define SIZE_U32 2
#define PRIVATE 128

struct waitv {
	uint64_t val, uaddr;
	uint32_t flags, reserved;
};

static uint32_t *shared;

static void share(void)
{
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
}

static struct timespec in_ms(long ms)
{
	struct timespec ts;
	OK(clock_gettime(CLOCK_MONOTONIC, &ts));
	ts.tv_nsec += ms * 1000000;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	return ts;
}

static long waitv(struct waitv *v, unsigned n, unsigned flags, const struct timespec *until, int clock)
{
	return syscall(SYS_futex_waitv, v, n, flags, until, clock);
}

static long wait_raw(uint32_t *word, unsigned long val, unsigned long mask, unsigned flags, const struct timespec *until, int clock)
{
	return syscall(SYS_futex_wait, word, val, mask, flags, until, clock);
}

static long wake_raw(uint32_t *word, unsigned long mask, int n, unsigned flags)
{
	return syscall(SYS_futex_wake, word, mask, n, flags);
}

static void need_waitv(void)
{
	if (waitv(NULL, 0, 0, NULL, 0) == -1 && errno == ENOSYS)
		SKIP("no futex_waitv (Linux 5.16)");
}

static void need_futex2(void)
{
	uint32_t word = 0;
	if (wake_raw(&word, 1, 1, SIZE_U32 | PRIVATE) == -1) {
		EQ(errno, ENOSYS);
		SKIP("no futex_wake (Linux 6.7)");
	}
}

static void until_asleep(pid_t pid)
{
	for (int i = 0; i < 2000 && state_of(pid) != 'S'; i++)
		sleep_ms(2);
	EQ(state_of(pid), 'S');
}

TEST(the_robust_list)
{
	struct robust_list_head *head, mine = {.list = {&mine.list}};
	size_t size;
	OK(syscall(SYS_set_robust_list, &mine, sizeof mine));
	OK(syscall(SYS_get_robust_list, 0, &head, &size));
	CHECK(head == &mine);
	EQ(size, sizeof mine);
	OK(syscall(SYS_get_robust_list, getpid(), &head, &size));
	CHECK(head == &mine);
	ERR(syscall(SYS_set_robust_list, &mine, sizeof mine - 1), EINVAL);
	ERR(syscall(SYS_get_robust_list, 1 << 22, &head, &size), ESRCH);
	ERR(syscall(SYS_get_robust_list, 0, BAD, &size), EFAULT);
	ERR(syscall(SYS_get_robust_list, 0, &head, BAD), EFAULT);
	IN_CHILD { /* glibc sets the child's own after fork */
		OK(syscall(SYS_get_robust_list, 0, &head, &size));
		CHECK(head != &mine);
	}
}

static void *head_of_thread(void *unused)
{
	(void)unused;
	struct robust_list_head *head;
	size_t size;
	OK(syscall(SYS_get_robust_list, 0, &head, &size));
	return head;
}

TEST(each_thread_has_its_own)
{
	pthread_t th;
	void *other;
	EQ(pthread_create(&th, NULL, head_of_thread, NULL), 0);
	EQ(pthread_join(th, &other), 0);
	CHECK(other != head_of_thread(NULL));
}

TEST(the_list_of_another_process)
{
	struct robust_list_head *head = NULL;
	size_t size = 0;
	int ready[2];
	char c;
	OK(pipe(ready));
	static struct robust_list_head its = {.list = {&its.list}};
	pid_t child = OK(fork());
	if (child == 0) {
		OK(syscall(SYS_set_robust_list, &its, sizeof its));
		EQ(write(ready[1], "r", 1), 1);
		pause();
	}
	EQ(read(ready[0], &c, 1), 1);
	long r = syscall(SYS_get_robust_list, child, &head, &size);
	int e = errno;
	OK(kill(child, SIGKILL));
	REAP_SIGNAL(child, SIGKILL);
	if (r == -1) {
		EQ(e, EPERM); /* a process that may not be inspected */
		SKIP("the child's list is not shown");
	}
	CHECK(head == &its);
}

TEST(waiting_for_one_of_many)
{
	need_waitv();
	share();
	for (int which = 0; which < 3; which++) {
		pid_t child = OK(fork());
		if (child == 0) {
			struct waitv v[3];
			for (int i = 0; i < 3; i++)
				v[i] = (struct waitv){0, (uintptr_t)(shared + i), SIZE_U32, 0};
			_exit(10 + waitv(v, 3, 0, NULL, 0));
		}
		until_asleep(child);
		EQ(syscall(SYS_futex, shared + which, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
		REAP_EXIT(child, 10 + which);
	}
}

TEST(waitv_does_not_wait)
{
	uint32_t word = 5, other = 6;
	need_waitv();
	struct waitv v[2] = {{5, (uintptr_t)&word, SIZE_U32 | PRIVATE, 0}, {5, (uintptr_t)&other, SIZE_U32 | PRIVATE, 0}};
	ERR(waitv(v, 2, 0, NULL, 0), EAGAIN); /* the second has another value */
	struct timespec until = in_ms(50);
	int64_t start = now_ns();
	ERR(waitv(v, 1, 0, &until, CLOCK_MONOTONIC), ETIMEDOUT);
	CHECK(now_ns() - start >= 45000000);
	until = (struct timespec){1, 0};
	ERR(waitv(v, 1, 0, &until, CLOCK_REALTIME), ETIMEDOUT);
	ERR(waitv(v, 0, 0, NULL, 0), EINVAL);
	ERR(waitv(v, 129, 0, NULL, 0), EINVAL);
	ERR(waitv(v, 1, 1, NULL, 0), EINVAL);
	ERR(waitv(NULL, 1, 0, NULL, 0), EINVAL);
	ERR(waitv(BAD, 1, 0, NULL, 0), EFAULT);
	ERR(waitv(v, 1, 0, &until, CLOCK_PROCESS_CPUTIME_ID), EINVAL);
	until.tv_nsec = -1;
	ERR(waitv(v, 1, 0, &until, CLOCK_MONOTONIC), EINVAL);
	v[0].reserved = 1;
	ERR(waitv(v, 1, 0, NULL, 0), EINVAL);
	v[0] = (struct waitv){5, (uintptr_t)&word, PRIVATE | 64, 0};
	ERR(waitv(v, 1, 0, NULL, 0), EINVAL);
	v[0] = (struct waitv){5, (uintptr_t)&word + 1, SIZE_U32 | PRIVATE, 0};
	ERR(waitv(v, 1, 0, NULL, 0), EINVAL);
	v[0] = (struct waitv){5, (uintptr_t)BAD, SIZE_U32 | PRIVATE, 0};
	ERR(waitv(v, 1, 0, NULL, 0), EFAULT);
}

static void nothing(int sig)
{
	(void)sig;
}

TEST(a_signal_ends_waitv)
{
	uint32_t word = 5;
	need_waitv();
	struct waitv v[1] = {{5, (uintptr_t)&word, SIZE_U32 | PRIVATE, 0}};
	handle(SIGALRM, nothing, 0);
	alarm(1);
	ERR(waitv(v, 1, 0, NULL, 0), EINTR);
}

TEST(wait_and_wake)
{
	need_futex2();
	share();
	EQ(wake_raw(shared, ~0u, 1, SIZE_U32), 0); /* nobody waits */
	pid_t child[3];
	for (int i = 0; i < 3; i++)
		if ((child[i] = OK(fork())) == 0)
			_exit(wait_raw(shared, 0, 1u << i, SIZE_U32, NULL, 0) != 0);
	for (int i = 0; i < 3; i++)
		until_asleep(child[i]);
	EQ(wake_raw(shared, 1 << 5, 9, SIZE_U32), 0); /* a mask that no one has */
	EQ(wake_raw(shared, 1 << 1, 9, SIZE_U32), 1);
	REAP_OK(child[1]);
	EQ(wake_raw(shared, ~0u, 1, SIZE_U32), 1);
	EQ(wake_raw(shared, ~0u, 9, SIZE_U32), 1);
	REAP_OK(child[0]);
	REAP_OK(child[2]);
	ERR(wait_raw(shared, 1, ~0u, SIZE_U32, NULL, 0), EAGAIN);
	struct timespec until = in_ms(50);
	ERR(wait_raw(shared, 0, ~0u, SIZE_U32, &until, CLOCK_MONOTONIC), ETIMEDOUT);
	ERR(wait_raw(shared, 0, 0, SIZE_U32, NULL, 0), EINVAL);
	ERR(wait_raw(shared, 0, ~0u, 64, NULL, 0), EINVAL);
	ERR(wait_raw(shared, 1ul << 32, ~0u, SIZE_U32, NULL, 0), EINVAL);
	ERR(wait_raw((void *)((char *)shared + 1), 0, ~0u, SIZE_U32, NULL, 0), EINVAL);
	ERR(wait_raw(BAD, 0, ~0u, SIZE_U32, NULL, 0), EFAULT);
	ERR(wake_raw(shared, 0, 1, SIZE_U32), EINVAL);
	ERR(wake_raw(shared, ~0u, 1, 64), EINVAL);
	ERR(wake_raw((void *)((char *)shared + 1), ~0u, 1, SIZE_U32), EINVAL);
}

TEST(moved_to_another_word)
{
	need_futex2();
	share();
	pid_t child[2];
	for (int i = 0; i < 2; i++)
		if ((child[i] = OK(fork())) == 0)
			_exit(wait_raw(shared, 0, ~0u, SIZE_U32, NULL, 0) != 0);
	for (int i = 0; i < 2; i++)
		until_asleep(child[i]);
	struct waitv v[2] = {{1, (uintptr_t)shared, SIZE_U32, 0}, {0, (uintptr_t)(shared + 1), SIZE_U32, 0}};
	ERR(syscall(SYS_futex_requeue, v, 0, 1, 1), EAGAIN);
	v[0].val = 0;
	ERR(syscall(SYS_futex_requeue, v, 1, 1, 1), EINVAL);
	ERR(syscall(SYS_futex_requeue, NULL, 0, 1, 1), EINVAL);
	ERR(syscall(SYS_futex_requeue, BAD, 0, 1, 1), EFAULT);
	EQ(syscall(SYS_futex_requeue, v, 0, 1, 1), 2); /* one woken, one moved */
	EQ(wake_raw(shared, ~0u, 9, SIZE_U32), 0);
	EQ(wake_raw(shared + 1, ~0u, 9, SIZE_U32), 1);
	REAP_OK(child[0]);
	REAP_OK(child[1]);
}
