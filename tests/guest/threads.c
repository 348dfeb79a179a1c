/* clone(2) CLONE_THREAD, futex(2), pthreads(7): threads. argv: rounds. */
#include "check.h"
#include <linux/futex.h>
#include <semaphore.h>
#include <sys/mman.h>

static long rounds(void)
{
	return size_arg(0, 100);
}

static void *returns(void *arg)
{
	return (char *)arg + 1;
}

TEST(create_and_join)
{
	for (long i = 0; i < rounds(); i++) {
		pthread_t th;
		void *r;
		EQ(pthread_create(&th, NULL, returns, (void *)i), 0);
		EQ(pthread_join(th, &r), 0);
		EQ((long)r, i + 1);
	}
}

static void *ids(void *arg)
{
	pid_t *out = arg;
	out[0] = getpid();
	out[1] = syscall(SYS_gettid);
	out[2] = getppid();
	return NULL;
}

TEST(identity)
{
	pthread_t th;
	pid_t got[3];
	EQ(pthread_create(&th, NULL, ids, got), 0);
	EQ(pthread_join(th, NULL), 0);
	EQ(got[0], getpid());
	CHECK(got[1] != getpid());
	EQ(got[2], getppid());
	EQ(syscall(SYS_gettid), getpid());
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long counter, turn;

static void *counts(void *arg)
{
	(void)arg;
	for (long i = 0; i < rounds() * 20; i++) {
		pthread_mutex_lock(&mutex);
		counter++;
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

TEST(mutex_counts)
{
	pthread_t th[8];
	for (int i = 0; i < 8; i++)
		EQ(pthread_create(&th[i], NULL, counts, NULL), 0);
	for (int i = 0; i < 8; i++)
		EQ(pthread_join(th[i], NULL), 0);
	EQ(counter, 8 * rounds() * 20);
}

static void *takes_turns(void *arg)
{
	for (long i = 0; i < rounds(); i++) {
		pthread_mutex_lock(&mutex);
		while (turn % 2 != (long)arg)
			pthread_cond_wait(&cond, &mutex);
		turn++;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

TEST(condition_turns)
{
	pthread_t th[2];
	for (long i = 0; i < 2; i++)
		EQ(pthread_create(&th[i], NULL, takes_turns, (void *)i), 0);
	for (int i = 0; i < 2; i++)
		EQ(pthread_join(th[i], NULL), 0);
	EQ(turn, 2 * rounds());
}

static long futex(uint32_t *word, int op, uint32_t value, const struct timespec *ts)
{
	return syscall(SYS_futex, word, op, value, ts, NULL, 0);
}

TEST(futex_rules)
{
	uint32_t word = 5;
	struct timespec ts = {0, 20000000};
	ERR(futex(&word, FUTEX_WAIT, 4, NULL), EAGAIN);
	int64_t t = now_ns();
	ERR(futex(&word, FUTEX_WAIT, 5, &ts), ETIMEDOUT);
	CHECK(now_ns() - t >= 20000000);
	EQ(futex(&word, FUTEX_WAKE, 1, NULL), 0);
	ERR(futex(BAD, FUTEX_WAIT, 5, &ts), EFAULT);
	ERR(futex((uint32_t *)((char *)&word + 1), FUTEX_WAIT, 5, &ts), EINVAL);
	ERR(futex(&word, 99, 5, &ts), ENOSYS);
	ts.tv_nsec = -1;
	ERR(futex(&word, FUTEX_WAIT, 5, &ts), EINVAL);
}

TEST(futex_between_processes)
{
	uint32_t *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(word != MAP_FAILED);
	pid_t pid = OK(fork());
	if (pid == 0) {
		while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == 0)
			if (futex(word, FUTEX_WAIT, 0, NULL) == -1)
				CHECK(errno == EAGAIN || errno == EINTR);
		_exit(0);
	}
	sleep_ms(30);
	__atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
	OK(futex(word, FUTEX_WAKE, 1, NULL));
	REAP_OK(pid);
}

TEST(semaphore_between_processes)
{
	sem_t *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	OK(sem_init(s, 1, 0));
	OK(sem_init(s + 1, 1, 0));
	pid_t pid = OK(fork());
	if (pid == 0) {
		for (long i = 0; i < rounds(); i++) {
			OK(sem_wait(s));
			OK(sem_post(s + 1));
		}
		_exit(0);
	}
	for (long i = 0; i < rounds(); i++) {
		OK(sem_post(s));
		OK(sem_wait(s + 1));
	}
	REAP_OK(pid);
}

/* The owner of a robust mutex dies: the next one is told. */
static pthread_mutex_t robust;
static void *dies_with_it(void *arg)
{
	pthread_mutex_lock(&robust);
	return arg;
}

TEST(robust_mutex)
{
	pthread_mutexattr_t at;
	pthread_t th;
	EQ(pthread_mutexattr_init(&at), 0);
	EQ(pthread_mutexattr_setrobust(&at, PTHREAD_MUTEX_ROBUST), 0);
	EQ(pthread_mutex_init(&robust, &at), 0);
	EQ(pthread_create(&th, NULL, dies_with_it, NULL), 0);
	EQ(pthread_join(th, NULL), 0);
	EQ(pthread_mutex_lock(&robust), EOWNERDEAD);
	EQ(pthread_mutex_consistent(&robust), 0);
	EQ(pthread_mutex_unlock(&robust), 0);
}

static void *sleeps(void *arg)
{
	for (;;)
		pause();
	return arg;
}

TEST(exit_ends_all_threads)
{
	for (int i = 0; i < 10; i++) {
		pid_t pid = OK(fork());
		if (pid == 0) {
			pthread_t th;
			for (int n = 0; n < 5; n++)
				EQ(pthread_create(&th, NULL, sleeps, NULL), 0);
			_exit(i);
		}
		REAP_EXIT(pid, i);
	}
}

static void *exits_process(void *arg)
{
	sleep_ms(10);
	_exit((int)(long)arg);
}

TEST(thread_ends_the_process)
{
	int p[2];
	char c;
	OK(pipe(p));
	pid_t pid = OK(fork());
	if (pid == 0) {
		pthread_t th;
		EQ(pthread_create(&th, NULL, exits_process, (void *)6), 0);
		(void)!read(p[0], &c, 1); /* blocked for ever */
	}
	REAP_EXIT(pid, 6);
}

static void *outlives(void *arg)
{
	sleep_ms(50);
	exit((int)(long)arg);
}

TEST(leader_ends_first)
{
	pid_t pid = OK(fork());
	if (pid == 0) {
		pthread_t th;
		EQ(pthread_create(&th, NULL, outlives, (void *)9), 0);
		pthread_exit(NULL);
	}
	sleep_ms(20);
	EQ(waitpid(pid, NULL, WNOHANG), 0); /* the process lives on in the other thread */
	REAP_EXIT(pid, 9);
}

static void *crashes(void *arg)
{
	*(volatile int *)arg = 1;
	return NULL;
}

TEST(crash_ends_all_threads)
{
	pid_t pid = OK(fork());
	if (pid == 0) {
		pthread_t th;
		EQ(pthread_create(&th, NULL, sleeps, NULL), 0);
		EQ(pthread_create(&th, NULL, crashes, NULL), 0);
		for (;;)
			pause();
	}
	REAP_SIGNAL(pid, SIGSEGV);
}

static void *cancelled(void *arg)
{
	char c;
	(void)!read(*(int *)arg, &c, 1);
	return NULL;
}

TEST(cancel_in_read)
{
	int p[2];
	pthread_t th;
	void *r;
	OK(pipe(p));
	EQ(pthread_create(&th, NULL, cancelled, &p[0]), 0);
	sleep_ms(20);
	EQ(pthread_cancel(th), 0);
	EQ(pthread_join(th, &r), 0);
	CHECK(r == PTHREAD_CANCELED);
}

/* fork in a process with threads: the child has one. */
static void *forks(void *arg)
{
	for (long i = 0; i < rounds() / 10 + 1; i++) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(syscall(SYS_gettid) == getpid() ? 33 : 1);
		CHECK(pid > 0);
		REAP_EXIT(pid, 33);
	}
	return arg;
}

TEST(threads_fork)
{
	pthread_t th[4];
	for (int i = 0; i < 4; i++)
		EQ(pthread_create(&th[i], NULL, forks, NULL), 0);
	for (int i = 0; i < 4; i++)
		EQ(pthread_join(th[i], NULL), 0);
	ERR(waitpid(-1, NULL, 0), ECHILD);
}

TEST(registration_calls)
{
	void *head;
	size_t len;
	OK(syscall(SYS_get_robust_list, 0, &head, &len));
	EQ(len, 24);
	ERR(syscall(SYS_set_robust_list, head, 1), EINVAL);
	CHECK(syscall(SYS_membarrier, 0, 0, 0) >= 0 || errno == ENOSYS);
	int tid = 0;
	EQ(syscall(SYS_set_tid_address, &tid), syscall(SYS_gettid));
}
