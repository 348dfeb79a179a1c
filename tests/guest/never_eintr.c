/* signal(7): calls that never fail with EINTR, under a 200 us timer whose handler lacks SA_RESTART. argv: rounds [timer_us]. */
#include "check.h"
#include <sys/mman.h>
#include <sys/time.h>

static volatile sig_atomic_t fired;
static void on_alarm(int sig)
{
	(void)sig;
	fired++;
}

static long rounds(void)
{
	return size_arg(0, 1000);
}

static void start_timer(void)
{
	long us = size_arg(1, 200);
	struct itimerval it = {{us / 1000000, us % 1000000}, {us / 1000000, us % 1000000}};
	handle(SIGALRM, on_alarm, 0);
	OK(setitimer(ITIMER_REAL, &it, NULL));
}

/* The storm must have been one: a run that is over before the first tick waits for it. */
static void stop_timer(void)
{
	int64_t end = now_ns() + 5000000000LL;
	while (!fired && now_ns() < end)
		;
	struct itimerval off = {0};
	OK(setitimer(ITIMER_REAL, &off, NULL));
	CHECK(fired > 0);
}

TEST(dup2_never)
{
	start_timer();
	for (long i = 0; i < rounds(); i++)
		EQ(dup2(0, 50), 50);
	stop_timer();
}

TEST(dup_close_never)
{
	start_timer();
	for (long i = 0; i < rounds(); i++) {
		int fd = dup(0);
		CHECK(fd >= 0);
		EQ(close(fd), 0);
	}
	stop_timer();
}

TEST(stat_never)
{
	struct stat st;
	make_file("f", "12345");
	start_timer();
	for (long i = 0; i < rounds(); i++) {
		EQ(stat("f", &st), 0);
		EQ(st.st_size, 5);
	}
	stop_timer();
}

TEST(openat_close_never)
{
	make_file("f", "");
	start_timer();
	for (long i = 0; i < rounds(); i++) {
		int fd = openat(AT_FDCWD, "f", O_RDONLY);
		CHECK(fd >= 0);
		EQ(close(fd), 0);
	}
	stop_timer();
}

/* fork never gives EINTR; waitpid may. No child is lost or reaped twice. */
TEST(fork_wait)
{
	long n = rounds() / 10 > 100 ? rounds() : 100;
	start_timer();
	for (long i = 0; i < n; i++) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(i % 100);
		CHECK(pid > 0);
		REAP_EXIT(pid, i % 100);
	}
	ERR(waitpid(-1, NULL, 0), ECHILD);
	stop_timer();
}

TEST(other_calls_never)
{
	int p[2];
	char buf[8];
	sigset_t s;
	struct rlimit_stub { unsigned long a, b; } lim;
	start_timer();
	for (long i = 0; i < rounds() / 10; i++) {
		EQ(pipe(p), 0);
		EQ(fcntl(p[0], F_SETFL, O_NONBLOCK), 0);
		EQ(write(p[1], "abc", 3), 3);
		EQ(read(p[0], buf, 8), 3);
		EQ(close(p[0]), 0);
		EQ(close(p[1]), 0);
		EQ(access("/", R_OK), 0);
		EQ(mkdir("d", 0755), 0);
		EQ(rename("d", "e"), 0);
		EQ(rmdir("e"), 0);
		CHECK(umask(022) == 022);
		CHECK(getuid() == geteuid());
		EQ(syscall(SYS_prlimit64, 0, 7, NULL, &lim), 0);
		EQ(sigprocmask(SIG_SETMASK, NULL, &s), 0);
		char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(m != MAP_FAILED);
		m[0] = 1;
		EQ(munmap(m, 4096), 0);
	}
	stop_timer();
}

/* The same with a timer_create timer, and beside a thread: the signal may go to either. */
static void *spin(void *stop)
{
	while (!atomic_load((atomic_int *)stop))
		sleep_ms(1);
	return NULL;
}

TEST(dup2_never_posix_timer_threads)
{
	pthread_t th;
	atomic_int stop = 0;
	timer_t t;
	long us = size_arg(1, 200);
	struct itimerspec it = {{0, us * 1000}, {0, us * 1000}};
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
	handle(SIGRTMIN, on_alarm, 0);
	EQ(pthread_create(&th, NULL, spin, &stop), 0);
	OK(timer_create(CLOCK_MONOTONIC, &ev, &t));
	OK(timer_settime(t, 0, &it, NULL));
	for (long i = 0; i < rounds(); i++) {
		EQ(dup2(0, 50), 50);
		EQ(close(50), 0);
	}
	while (!fired)
		;
	OK(timer_delete(t));
	stop = 1;
	EQ(pthread_join(th, NULL), 0);
}

/* Children that end are a storm of their own: SIGCHLD without SA_RESTART, as dash has it. */
TEST(sigchld_storm)
{
	long n = rounds() / 10 > 100 ? rounds() / 10 : 100;
	struct stat st;
	handle(SIGCHLD, on_alarm, 0);
	for (long i = 0; i < n; i++) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(7);
		CHECK(pid > 0);
		for (int k = 0; k < 20; k++) {
			EQ(dup2(0, 50), 50);
			EQ(stat("/", &st), 0);
			EQ(close(50), 0);
		}
		REAP_EXIT(pid, 7);
	}
	EQ(fired, n);
}

/* kill itself may bring the SIGCHLD: the child dies at once, and the handler lacks SA_RESTART. */
TEST(kill_never)
{
	long n = rounds() / 10 > 100 ? rounds() / 10 : 100;
	handle(SIGCHLD, on_alarm, 0);
	for (long i = 0; i < n; i++) {
		int p[2];
		char c;
		EQ(pipe(p), 0);
		pid_t pid = fork();
		if (pid == 0) {
			signal(SIGTERM, SIG_DFL);
			if (write(p[1], "x", 1) != 1)
				_exit(1);
			for (;;)
				pause();
		}
		CHECK(pid > 0);
		EQ(read(p[0], &c, 1), 1);
		EQ(i % 2 ? kill(pid, SIGTERM) : syscall(SYS_tgkill, pid, pid, SIGKILL), 0);
		EQ(dup2(0, 50), 50);
		REAP_SIGNAL(pid, i % 2 ? SIGTERM : SIGKILL);
		EQ(close(p[0]), 0);
		EQ(close(p[1]), 0);
	}
	EQ(fired, n);
}

/* Stopping and continuing a child brings SIGCHLD too, at a time of its own. */
TEST(stop_and_continue_storm)
{
	long n = rounds() / 10 > 100 ? rounds() / 10 : 100;
	struct stat st;
	handle(SIGCHLD, on_alarm, 0);
	pid_t pid = OK(fork());
	if (pid == 0)
		for (;;)
			pause();
	for (long i = 0; i < n; i++) {
		EQ(kill(pid, SIGSTOP), 0);
		EQ(stat("/", &st), 0);
		EQ(dup2(0, 50), 50);
		EQ(kill(pid, SIGCONT), 0);
		EQ(stat("/", &st), 0);
		EQ(close(50), 0);
	}
	EQ(kill(pid, SIGKILL), 0);
	REAP_SIGNAL(pid, SIGKILL);
	CHECK(fired > 0);
}

/* Children that end at moments of their own, many at once, while the parent forks on. */
TEST(children_end_while_forking)
{
	long n = rounds() / 50 > 20 ? rounds() / 50 : 20;
	unsigned random = 7;
	struct stat st;
	handle(SIGCHLD, on_alarm, 0);
	for (long i = 0; i < n; i++) {
		pid_t pids[12];
		for (int k = 0; k < 12; k++) {
			long us = rand_r(&random) / 16 % 3000;
			int p[2];
			pids[k] = fork();
			if (pids[k] == 0) {
				if (i % 2)
					for (int64_t end = now_ns() + us * 1000; now_ns() < end;)
						;
				else
					usleep(us); /* asleep, the processor is the parent's */
				_exit(k);
			}
			CHECK(pids[k] > 0);
			EQ(pipe(p), 0);
			EQ(stat("/", &st), 0);
			EQ(dup2(p[0], 50), 50);
			EQ(close(p[0]), 0);
			EQ(close(p[1]), 0);
		}
		for (int k = 0; k < 12; k++)
			REAP_EXIT(pids[k], k);
	}
	CHECK(fired > 0);
}

/* No call between the forks: they are what the ends meet. */
TEST(children_end_during_forks)
{
	long n = rounds() / 500 > 2 ? rounds() / 500 : 2;
	handle(SIGCHLD, on_alarm, 0);
	for (long i = 0; i < n; i++) {
		pid_t pids[60];
		for (int k = 0; k < 60; k++) {
			pids[k] = fork();
			if (pids[k] == 0) {
				sleep_ms(k % 9 + 1);
				_exit(k);
			}
			CHECK(pids[k] > 0);
		}
		for (int k = 0; k < 60; k++)
			REAP_EXIT(pids[k], k);
	}
}

/* The same with vfork and exec, as a shell starts its pipelines. */
TEST(children_end_while_vforking)
{
	volatile long n = rounds() / 50 > 20 ? rounds() / 50 : 20;
	handle(SIGCHLD, on_alarm, 0);
	for (volatile long i = 0; i < n; i++) {
		volatile pid_t pids[4];
		for (volatile int k = 0; k < 4; k++) {
			pids[k] = vfork();
			if (pids[k] == 0) {
				execl("/bin/true", "true", NULL);
				_exit(1);
			}
			CHECK(pids[k] > 0);
			EQ(dup2(0, 50), 50);
		}
		for (int k = 0; k < 4; k++)
			REAP_OK(pids[k]);
	}
}
