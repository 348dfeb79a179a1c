/* restart_syscall(2): calls with a time that a stop interrupts go on with what is left of it. */
#include "check.h"
#include <linux/futex.h>
#include <poll.h>

#define WAIT_MS 400

static void stopped_and_continued(void (*wait)(void))
{
	int pipe_fd[2];
	int64_t took;
	OK(pipe(pipe_fd));
	pid_t child = OK(fork());
	if (child == 0) {
		int64_t start = now_ns();
		wait();
		took = now_ns() - start;
		_exit(write(pipe_fd[1], &took, sizeof took) != sizeof took);
	}
	for (int i = 0; i < 3; i++) {
		int status;
		sleep_ms(40);
		OK(kill(child, SIGSTOP));
		EQ(waitpid(child, &status, WUNTRACED), child);
		CHECK(WIFSTOPPED(status));
		OK(kill(child, SIGCONT));
	}
	EQ(read(pipe_fd[0], &took, sizeof took), sizeof took);
	REAP_OK(child);
	CHECK(took >= WAIT_MS * 1000000LL);
	CHECK(took < WAIT_MS * 1000000LL + 3000000000LL); /* once, not once more for every stop: see below */
}

static void sleeping(void)
{
	struct timespec ts = {WAIT_MS / 1000, WAIT_MS % 1000 * 1000000};
	OK(syscall(SYS_nanosleep, &ts, NULL));
}

static void clock_sleeping(void)
{
	struct timespec ts = {WAIT_MS / 1000, WAIT_MS % 1000 * 1000000};
	OK(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &ts, NULL));
}

static void polling(void)
{
	int p[2];
	OK(pipe(p));
	EQ(poll(&(struct pollfd){.fd = p[0], .events = POLLIN}, 1, WAIT_MS), 0);
}

static void at_a_futex(void)
{
	uint32_t word = 1;
	struct timespec ts = {WAIT_MS / 1000, WAIT_MS % 1000 * 1000000};
	ERR(syscall(SYS_futex, &word, FUTEX_WAIT, 1, &ts, NULL, 0), ETIMEDOUT);
}

TEST(nanosleep_goes_on)
{
	stopped_and_continued(sleeping);
}

TEST(clock_nanosleep_goes_on)
{
	stopped_and_continued(clock_sleeping);
}

TEST(poll_goes_on)
{
	stopped_and_continued(polling);
}

TEST(futex_goes_on)
{
	stopped_and_continued(at_a_futex);
}

/* A long sleep is interrupted so often that starting again from its beginning would never end. */
TEST(no_time_is_added)
{
	pid_t child = OK(fork());
	int64_t start = now_ns();
	int status;
	if (child == 0) {
		sleeping();
		_exit(0);
	}
	while (waitpid(child, &status, WNOHANG) == 0) {
		sleep_ms(WAIT_MS / 4);
		kill(child, SIGSTOP);
		kill(child, SIGCONT);
		CHECK(now_ns() - start < 20 * WAIT_MS * 1000000LL);
	}
	EQ(status, 0);
	CHECK(now_ns() - start >= WAIT_MS * 1000000LL);
}

/* A handler ends such a call for good: there is nothing to restart then, nor without any call before. */
static void nothing(int sig)
{
	(void)sig;
}

TEST(nothing_to_restart)
{
	ERR(syscall(SYS_restart_syscall), EINTR);
	handle(SIGALRM, nothing, SA_RESTART);
	alarm(1);
	struct timespec ts = {10, 0};
	ERR(syscall(SYS_nanosleep, &ts, &ts), EINTR);
	CHECK(ts.tv_sec >= 7);
	ERR(syscall(SYS_restart_syscall), EINTR);
}
