/* ppoll(2), pselect(2), epoll_pwait(2), epoll_pwait2(2): the mask that holds for one call. */
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

static volatile sig_atomic_t handled, inner_blocked;
static int result_pipe = -1;

static void on_signal(int sig)
{
	sigset_t s;
	(void)result_pipe;
	handled++;
	pthread_sigmask(SIG_SETMASK, NULL, &s);
	inner_blocked = sigismember(&s, sig) | sigismember(&s, SIGUSR2) << 1;
}

enum call { PPOLL, PSELECT, EPOLL_PWAIT, EPOLL_PWAIT2, CALLS };
static const char *const names[] = {"ppoll", "pselect", "epoll_pwait", "epoll_pwait2"};

static int wait_masked(enum call c, int fd, int ms, const sigset_t *mask)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000L}, *limit = ms < 0 ? NULL : &ts;
	if (c == PPOLL) {
		struct pollfd p = {fd, POLLIN, 0};
		return ppoll(&p, 1, limit, mask);
	}
	if (c == PSELECT) {
		fd_set set;
		FD_ZERO(&set);
		FD_SET(fd, &set);
		return pselect(fd + 1, &set, NULL, NULL, limit, mask);
	}
	struct epoll_event ev = {.events = EPOLLIN};
	int ep = OK(epoll_create1(EPOLL_CLOEXEC));
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
	int r = c == EPOLL_PWAIT ? epoll_pwait(ep, &ev, 1, ms, mask) : (int)syscall(SYS_epoll_pwait2, ep, &ev, 1, limit, mask, 8);
	int e = errno;
	close(ep);
	errno = e;
	return r;
}

static int blocked(int sig)
{
	sigset_t s;
	EQ(pthread_sigmask(SIG_SETMASK, NULL, &s), 0);
	return sigismember(&s, sig);
}

static void block(int sig)
{
	sigset_t s = set_of(sig);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
}

static int pending(int sig)
{
	sigset_t s;
	OK(sigpending(&s));
	return sigismember(&s, sig);
}

static sigset_t empty(void)
{
	return set_of(0);
}

#define EACH(c) for (enum call c = 0; c < CALLS; c++)

/* Pending under the thread's mask, let in by the call's: the call ends at once, the handler runs exactly once, the mask is back. */
TEST(pending_before_the_call)
{
	int p[2];
	OK(pipe(p));
	EACH(c) {
		check_name = names[c];
		sigset_t none = empty();
		handle(SIGUSR1, on_signal, SA_RESTART);
		block(SIGUSR1);
		handled = 0;
		OK(raise(SIGUSR1));
		EQ(handled, 0);
		ERR(wait_masked(c, p[0], 20000, &none), EINTR);
		EQ(handled, 1);
		EQ(blocked(SIGUSR1), 1);
		EQ(pending(SIGUSR1), 0);
		ERR(wait_masked(c, p[0], -1, (handled = 0, raise(SIGUSR1), &none)), EINTR);
		EQ(handled, 1);
	}
}

/* Inside the handler the mask is the call's plus the signal itself, not the thread's (sigaction(2): the mask in force). */
TEST(mask_inside_handler)
{
	int p[2];
	OK(pipe(p));
	EACH(c) {
		check_name = names[c];
		sigset_t only2 = set_of(SIGUSR2);
		handle(SIGUSR1, on_signal, 0);
		block(SIGUSR1);
		OK(raise(SIGUSR1));
		ERR(wait_masked(c, p[0], 20000, &only2), EINTR);
		EQ(inner_blocked, 3);
		sigset_t none = empty();
		OK(raise(SIGUSR1));
		ERR(wait_masked(c, p[0], 20000, &none), EINTR);
		EQ(inner_blocked, 1);
		EQ(blocked(SIGUSR2), 0);
	}
}

/* The signal comes during the call. */
TEST(arrives_during_the_call)
{
	int p[2];
	OK(pipe(p));
	EACH(c) {
		check_name = names[c];
		sigset_t none = empty();
		handle(SIGUSR1, on_signal, SA_RESTART);
		block(SIGUSR1);
		handled = 0;
		pid_t self = getpid(), pid = OK(fork());
		if (pid == 0) {
			sleep_ms(50);
			OK(kill(self, SIGUSR1));
			_exit(0);
		}
		ERR(wait_masked(c, p[0], 20000, &none), EINTR);
		EQ(handled, 1);
		EQ(blocked(SIGUSR1), 1);
		REAP_OK(pid);
		EQ(handled, 1);
	}
}

/* Blocked only for the call: it runs to its end, then the handler runs, once. */
TEST(blocked_only_during_the_call)
{
	int p[2];
	OK(pipe(p));
	EACH(c) {
		check_name = names[c];
		sigset_t usr1 = set_of(SIGUSR1);
		handle(SIGUSR1, on_signal, 0);
		OK(sigprocmask(SIG_UNBLOCK, &usr1, NULL));
		handled = 0;
		pid_t self = getpid(), pid = OK(fork());
		if (pid == 0) {
			sleep_ms(30);
			OK(kill(self, SIGUSR1));
			OK(kill(self, SIGUSR1));
			_exit(0);
		}
		int64_t t = now_ns();
		EQ(wait_masked(c, p[0], 200, &usr1), 0);
		CHECK(now_ns() - t >= 200000000);
		EQ(handled, 1);
		EQ(blocked(SIGUSR1), 0);
		REAP_OK(pid);
	}
}

/* A ready file wins over a pending signal; the signal stays pending under the old mask. */
TEST(ready_file_wins)
{
	int p[2];
	OK(pipe(p));
	EQ(write(p[1], "x", 1), 1);
	EACH(c) {
		check_name = names[c];
		sigset_t none = empty();
		handle(SIGUSR1, on_signal, 0);
		block(SIGUSR1);
		handled = 0;
		OK(raise(SIGUSR1));
		EQ(wait_masked(c, p[0], 20000, &none), 1);
		EQ(handled, 0);
		EQ(pending(SIGUSR1), 1);
		ERR(sigsuspend(&none), EINTR);
		EQ(handled, 1);
	}
}

/* With no time to wait: a file that is not ready and a pending signal give EINTR too. */
TEST(zero_timeout)
{
	int p[2];
	OK(pipe(p));
	EACH(c) {
		check_name = names[c];
		sigset_t none = empty(), usr1 = set_of(SIGUSR1);
		EQ(wait_masked(c, p[0], 0, &none), 0);
		EQ(wait_masked(c, p[0], 0, &usr1), 0);
		EQ(blocked(SIGUSR1), 0);
	}
}

/* A null mask leaves everything as it is. */
TEST(null_mask)
{
	int p[2];
	OK(pipe(p));
	EACH(c) {
		check_name = names[c];
		handle(SIGUSR1, on_signal, 0);
		block(SIGUSR1);
		handled = 0;
		OK(raise(SIGUSR1));
		EQ(wait_masked(c, p[0], 50, NULL), 0);
		EQ(handled, 0);
		EQ(pending(SIGUSR1), 1);
		sigset_t none = empty();
		ERR(sigsuspend(&none), EINTR);
	}
}

/* An ignored signal that the mask lets in does not end ppoll and pselect (ERESTARTNOHAND: they go on), but does end epoll_pwait,
 * which knows plain EINTR only. A default action acts. */
TEST(ignored_and_default)
{
	int p[2];
	OK(pipe(p));
	EACH(c) {
		check_name = names[c];
		sigset_t none = empty();
		signal(SIGUSR1, SIG_IGN);
		block(SIGUSR1);
		OK(raise(SIGUSR1));
		int r = wait_masked(c, p[0], 30, &none);
		CHECK(r == 0 || (r == -1 && errno == EINTR && c >= EPOLL_PWAIT));
		pid_t pid = OK(fork());
		if (pid == 0) {
			signal(SIGUSR1, SIG_DFL);
			OK(raise(SIGUSR1));
			wait_masked(c, p[0], 20000, &none);
			_exit(0);
		}
		REAP_SIGNAL(pid, SIGUSR1);
	}
}

/* Two threads: the signal of the process goes to the one whose call lets it in. */
static void *waiter(void *arg)
{
	sigset_t none = empty();
	int p[2];
	OK(pipe(p));
	*(int *)arg = wait_masked(PPOLL, p[0], 20000, &none) == -1 ? errno : 0;
	return NULL;
}

TEST(thread_that_lets_it_in)
{
	pthread_t th;
	int result = -1;
	handle(SIGUSR1, on_signal, 0);
	block(SIGUSR1);
	EQ(pthread_create(&th, NULL, waiter, &result), 0);
	sleep_ms(50);
	OK(kill(getpid(), SIGUSR1));
	EQ(pthread_join(th, NULL), 0);
	EQ(result, EINTR);
	EQ(handled, 1);
}

/* Many rounds, so that each point of arrival is met: before, at and during the call. */
TEST(storm)
{
	long n = size_arg(0, 300);
	int p[2];
	OK(pipe(p));
	EACH(c) {
		check_name = names[c];
		sigset_t none = empty();
		handle(SIGUSR1, on_signal, 0);
		block(SIGUSR1);
		handled = 0;
		pid_t self = getpid(), pid = OK(fork());
		if (pid == 0) {
			unsigned seed = 5;
			char ch;
			for (long i = 0; i < n; i++) {
				OK(kill(self, SIGUSR1));
				for (int64_t t = now_ns() + rand_r(&seed) % 60000; now_ns() < t;)
					;
				EQ(read(p[0], &ch, 1), 1);
			}
			_exit(0);
		}
		int q[2];
		OK(pipe(q));
		for (long i = 0; i < n; i++) {
			ERR(wait_masked(c, q[0], 20000, &none), EINTR);
			EQ(handled, i + 1);
			EQ(write(p[1], "x", 1), 1);
		}
		REAP_OK(pid);
		EQ(handled, n);
		OK(close(q[0]));
		OK(close(q[1]));
	}
}

TEST(errors)
{
	sigset_t none = empty();
	struct timespec bad = {0, 1000000000}, neg = {-1, 0}, zero = {0, 0};
	struct pollfd p = {0, POLLIN, 0};
	struct epoll_event ev;
	int ep = OK(epoll_create1(0));
	struct { const void *s; size_t n; } arg = {&none, 4}, fault = {BAD, 8};
	ERR(syscall(SYS_ppoll, &p, 1, &bad, NULL, 8), EINVAL);
	ERR(syscall(SYS_ppoll, &p, 1, &neg, NULL, 8), EINVAL);
	ERR(syscall(SYS_ppoll, &p, 1, &zero, &none, 4), EINVAL);
	ERR(syscall(SYS_ppoll, &p, 1, &zero, BAD, 8), EFAULT);
	ERR(syscall(SYS_ppoll, &p, 1, BAD, &none, 8), EFAULT);
	ERR(syscall(SYS_ppoll, BAD, 1, &zero, &none, 8), EFAULT);
	ERR(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &zero, &arg), EINVAL);
	ERR(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &zero, &fault), EFAULT);
	ERR(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &zero, BAD), EFAULT);
	ERR(syscall(SYS_pselect6, -1, NULL, NULL, NULL, &zero, NULL), EINVAL);
	ERR(syscall(SYS_epoll_pwait, ep, &ev, 1, 0, &none, 4), EINVAL);
	ERR(syscall(SYS_epoll_pwait, ep, &ev, 1, 0, BAD, 8), EFAULT);
	ERR(syscall(SYS_epoll_pwait, ep, &ev, 0, 0, NULL, 8), EINVAL);
	EQ(blocked(SIGUSR1), 0);
}
