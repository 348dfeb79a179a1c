/* signal(7): the kernel's private restart numbers (512..516) never reach a program. argv: seconds.
 * Four threads with random masks make blocking calls while a child bombards the group; every value of errno is looked at. */
#include "check.h"
#include <linux/futex.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#define THREADS 4
static int signals[6];
static atomic_int stop;
static int only_forks;
static atomic_long calls, handled;
static int feed_pipe[2], feed_pair[2], feed_event, full_pipe[2];
static sem_t feed_sem;
static uint32_t futex_word;

static void on_signal(int sig)
{
	(void)sig;
	atomic_fetch_add(&handled, 1);
}

static void sane(const char *what, long r)
{
	int e = errno;
	atomic_fetch_add(&calls, 1);
	if (r == -1 && (e >= 134 || e <= 0)) {
		fprintf(stderr, "%s: errno %d\n", what, e);
		_exit(1);
	}
	if (r < -1) {
		fprintf(stderr, "%s: returned %ld\n", what, r);
		_exit(1);
	}
}

static unsigned pick(unsigned *seed, unsigned n)
{
	return rand_r(seed) / 7 % n;
}

static void random_mask(unsigned *seed, sigset_t *s)
{
	sigemptyset(s);
	for (int i = 0; i < 6; i++)
		if (pick(seed, 3) == 0)
			sigaddset(s, signals[i]);
}

#define CALL(expr) sane(#expr, (long)(expr))

static void one_call(unsigned *seed)
{
	char buf[64];
	struct timespec ms = {0, 1000000};
	struct timeval tv = {0, 1000};
	struct pollfd pfd = {feed_pipe[0], POLLIN, 0};
	struct epoll_event ev = {.events = EPOLLIN};
	sigset_t s;
	fd_set set;
	siginfo_t info;
	uint64_t eight = 1;
	random_mask(seed, &s);
	switch (only_forks ? 14 : pick(seed, 17)) {
	case 0: CALL(read(feed_pipe[0], buf, 1)); break;
	case 1: CALL(poll(&pfd, 1, 2)); break;
	case 2: CALL(ppoll(&pfd, 1, &ms, &s)); break;
	case 3: CALL(syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, &ms, NULL, 0)); break;
	case 4: CALL(nanosleep(&ms, NULL)); break;
	case 5: {
		int r = clock_nanosleep(CLOCK_MONOTONIC, 0, &ms, NULL);
		errno = r;
		sane("clock_nanosleep", r ? -1 : 0);
		break;
	}
	case 6:
		FD_ZERO(&set);
		FD_SET(feed_pair[0], &set);
		CALL(select(feed_pair[0] + 1, &set, NULL, NULL, &tv));
		break;
	case 7:
		FD_ZERO(&set);
		FD_SET(feed_pair[0], &set);
		CALL(pselect(feed_pair[0] + 1, &set, NULL, NULL, &ms, &s));
		break;
	case 8: {
		int ep = epoll_create1(EPOLL_CLOEXEC);
		sane("epoll_create1", ep);
		CALL(epoll_ctl(ep, EPOLL_CTL_ADD, feed_pair[0], &ev));
		CALL(epoll_wait(ep, &ev, 1, 2));
		CALL(epoll_pwait(ep, &ev, 1, 2, &s));
		CALL(close(ep));
		break;
	}
	case 9: CALL(recv(feed_pair[0], buf, 1, 0)); break;
	case 10: CALL(sem_wait(&feed_sem)); break;
	case 11: CALL(read(feed_event, &eight, 8)); break;
	case 12: CALL(sigtimedwait(&s, &info, &ms)); break;
	case 13: CALL(write(full_pipe[1], buf, sizeof buf)); break;
	case 14: {
		pid_t pid = pick(seed, 2) ? vfork() : fork();
		if (pid == 0)
			_exit(0);
		sane("fork", pid);
		CALL(waitpid(pid, NULL, 0));
		while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
			;
		break;
	}
	case 15: {
		int fd = open("lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		sane("open", fd);
		CALL(flock(fd, LOCK_EX));
		CALL(close(fd));
		break;
	}
	case 16: {
		int tfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
		struct itimerspec it = {{0, 0}, {0, 500000}};
		sane("timerfd_create", tfd);
		CALL(timerfd_settime(tfd, 0, &it, NULL));
		CALL(read(tfd, &eight, 8));
		CALL(close(tfd));
		break;
	}
	}
}

static void *caller(void *arg)
{
	unsigned seed = 1234 + (unsigned)(long)arg;
	sigset_t s;
	while (!stop) {
		if (pick(&seed, 10) == 0) {
			random_mask(&seed, &s);
			pthread_sigmask(SIG_SETMASK, &s, NULL);
		}
		one_call(&seed);
	}
	return NULL;
}

/* Every blocking call above ends within a millisecond or two, signal or not. */
static void *feeder(void *arg)
{
	char buf[256] = {0};
	uint64_t eight = 4;
	(void)arg;
	while (atomic_load(&stop) < 2) {
		if (write(feed_pipe[1], buf, 4) == -1)
			CHECK(errno == EAGAIN);
		if (send(feed_pair[1], buf, 4, MSG_DONTWAIT) == -1)
			CHECK(errno == EAGAIN);
		if (write(feed_event, &eight, 8) == -1)
			CHECK(errno == EAGAIN);
		sem_post(&feed_sem);
		if (read(full_pipe[0], buf, sizeof buf) == -1)
			CHECK(errno == EAGAIN);
		sleep_ms(1);
	}
	return NULL;
}

static void under_fire(void)
{
	long seconds = size_arg(0, 1);
	pthread_t th[THREADS], feed;
	signals[0] = SIGUSR1, signals[1] = SIGUSR2, signals[2] = SIGWINCH;
	signals[3] = SIGRTMIN, signals[4] = SIGRTMIN + 1, signals[5] = SIGCHLD;
	for (int i = 0; i < 6; i++)
		handle(signals[i], on_signal, i % 2 ? 0 : SA_RESTART);
	OK(pipe(feed_pipe));
	OK(fcntl(feed_pipe[1], F_SETFL, O_NONBLOCK));
	OK(pipe(full_pipe));
	OK(fcntl(full_pipe[0], F_SETFL, O_NONBLOCK));
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, feed_pair));
	OK(feed_event = eventfd(0, EFD_NONBLOCK));
	OK(fcntl(feed_event, F_SETFL, 0));
	OK(sem_init(&feed_sem, 0, 0));
	pid_t self = getpid();
	pid_t bomber = OK(fork());
	if (bomber == 0) {
		unsigned seed = 99;
		for (;;) {
			if (kill(self, signals[pick(&seed, 6)]) == -1 && errno != EAGAIN)
				_exit(0);
			for (int64_t t = now_ns() + pick(&seed, 200000); now_ns() < t;)
				;
			if (getppid() != self)
				_exit(0);
		}
	}
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	EQ(pthread_create(&feed, NULL, feeder, NULL), 0);
	pthread_sigmask(SIG_UNBLOCK, &all, NULL);
	for (long i = 0; i < THREADS; i++)
		EQ(pthread_create(&th[i], NULL, caller, (void *)i), 0);
	int64_t end = now_ns() + seconds * 1000000000LL;
	long before = 0;
	int64_t moved = now_ns();
	while (now_ns() < end) {
		sleep_ms(100);
		long now = calls;
		if (now != before)
			moved = now_ns(), before = now;
		if (now_ns() - moved > 5000000000LL) {
			fprintf(stderr, "%s: no call has ended for 5 s, after %ld calls\n", check_name, now);
			_exit(1);
		}
	}
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		EQ(pthread_join(th[i], NULL), 0);
	stop = 2;
	EQ(pthread_join(feed, NULL), 0);
	OK(kill(bomber, SIGKILL));
	reap(bomber);
	CHECK(handled > 0);
	fprintf(stderr, "%s: %ld calls, %ld signals\n", check_name, (long)calls, (long)handled);
}

TEST(never_512)
{
	under_fire();
}

/* fork and vfork are restarted by a number of their own, 513, and their children end amid the storm. */
TEST(never_513)
{
	only_forks = 1;
	under_fire();
}
