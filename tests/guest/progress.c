/* tgkill(2): a thread that signals its sibling in a tight loop slows it down, and never stops it. argv: seconds calls. */
#include "check.h"

static atomic_long handled;
static atomic_int stop;
static pid_t victim;

static void on_signal(int sig)
{
	(void)sig;
	atomic_fetch_add(&handled, 1);
}

static void *bomb(void *arg)
{
	int sig = (int)(long)arg;
	while (!stop)
		if (syscall(SYS_tgkill, getpid(), victim, sig) == -1)
			CHECK(0);
	return NULL;
}

/* The victim makes calls until both the time is over and the count is reached. Between two calls never more than
 * five seconds pass: that is what "progress never stops" means here. */
static void under_fire(int sig, int flags)
{
	long seconds = size_arg(0, 1), calls = size_arg(1, 2000), done = 0;
	int64_t start = now_ns(), last = start, worst = 0;
	int p[2];
	struct stat st;
	char buf[16];
	pthread_t th;
	victim = syscall(SYS_gettid);
	stop = 0;
	handle(sig, on_signal, flags);
	OK(pipe(p));
	EQ(pthread_create(&th, NULL, bomb, (void *)(long)sig), 0);
	while (done < calls || now_ns() - start < seconds * 1000000000LL) {
		switch (done % 5) {
		case 0: EQ(write(p[1], &done, 8), 8); break;
		case 1: EQ(read(p[0], buf, 8), 8); break;
		case 2: EQ(stat(".", &st), 0); break;
		case 3: EQ(dup2(p[0], 60), 60); break;
		case 4: EQ(close(60), 0); break;
		}
		done++;
		int64_t now = now_ns();
		if (now - last > worst)
			worst = now - last;
		last = now;
		CHECK(worst < 5000000000LL);
	}
	stop = 1;
	EQ(pthread_join(th, NULL), 0);
	CHECK(handled > 0);
	fprintf(stderr, "%s: %ld calls, %ld signals, longest call %ld us\n", check_name, done, (long)handled, (long)(worst / 1000));
}

TEST(standard_signal_restart) { under_fire(SIGUSR1, SA_RESTART); }
TEST(standard_signal_no_restart) { under_fire(SIGUSR1, 0); }
/* Not with real-time signals: they queue, and a queue that fills faster than it drains starves its owner on Linux too (seen). */

/* A whole process under kill from another process. */
TEST(process_under_kill)
{
	long seconds = size_arg(0, 1);
	atomic_long *shared;
	extern void *mmap(void *, size_t, int, int, int, off_t);
	shared = mmap(NULL, 4096, 3, 0x21, -1, 0);
	CHECK(shared != (void *)-1);
	pid_t pid = OK(fork());
	if (pid == 0) {
		struct stat st;
		handle(SIGUSR1, on_signal, SA_RESTART);
		for (;;) {
			EQ(stat(".", &st), 0);
			atomic_fetch_add(shared, 1);
		}
	}
	while (atomic_load(shared) == 0)
		sleep_ms(1);
	int64_t start = now_ns(), seen = start;
	long before = 0, sent = 0;
	while (now_ns() - start < seconds * 1000000000LL) {
		OK(kill(pid, SIGUSR1));
		sent++;
		long now = atomic_load(shared);
		if (now != before)
			seen = now_ns(), before = now;
		CHECK(now_ns() - seen < 5000000000LL);
	}
	OK(kill(pid, SIGKILL));
	REAP_SIGNAL(pid, SIGKILL);
	CHECK(sent > 0);
}
