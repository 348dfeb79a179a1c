/* What a pause may not change: every kind of sleep, by itself in a thread or process, with the time that it takes.
 *
 * usage: pauses SECONDS SLACK    each sleeper waits SECONDS; it may come late by SLACK, never early, never with EINTR.
 * Prints "up" when all sleep, then a line for each sleeper that is wrong, and last "all NUMBER right" or "wrong".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds, slack, all_began; /* all_began: before those start that others wait for */
static volatile int wrong, alarms, continued;
static volatile int started;

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static struct timespec span(double s)
{
	struct timespec ts = { (time_t)s, (long)((s - (time_t)s) * 1e9) };
	return ts;
}

static void begin(void)
{
	__sync_fetch_and_add(&started, 1);
}

/* `got` and errno as they should be, and the time too. */
static void judge(const char *what, double began, long got, long expected, int error)
{
	int code = errno;
	double took = now() - began;

	if (got == expected && (got != -1 || code == error) && took >= seconds - 0.02 && took <= seconds + slack)
		return;
	printf("%s: %ld errno %d (%s) after %.3f s\n", what, got, code, strerror(code), took);
	wrong = 1;
}

static void *native_sleep(void *unused)
{
	struct timespec ts = span(seconds);
	double began = now();

	begin();
	judge("nanosleep", began, nanosleep(&ts, NULL), 0, 0);
	return unused;
}

static void *absolute_sleep(void *unused)
{
	double began = now();
	struct timespec ts = span(began + seconds);

	begin();
	judge("clock_nanosleep", began, clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL), 0, 0);
	return unused;
}

static void *futex_wait(void *unused)
{
	int word = 0;
	struct timespec ts = span(seconds);
	double began = now();

	begin();
	judge("futex", began, syscall(SYS_futex, &word, FUTEX_WAIT, 0, &ts, NULL, 0), -1, ETIMEDOUT);
	return unused;
}

static void *poll_nothing(void *unused)
{
	int ends[2];
	double began;
	struct pollfd p = { .events = POLLIN };

	if (pipe(ends))
		abort();
	p.fd = ends[0];
	began = now();
	begin();
	judge("poll", began, poll(&p, 1, (int)(seconds * 1000)), 0, 0);
	return unused;
}

static void *ppoll_masked(void *unused)
{
	struct timespec ts = span(seconds);
	double began = now();
	sigset_t all;

	sigfillset(&all);
	begin();
	judge("ppoll", began, ppoll(NULL, 0, &ts, &all), 0, 0);
	return unused;
}

static void *select_nothing(void *unused)
{
	struct timeval tv = { (time_t)seconds, (long)((seconds - (time_t)seconds) * 1e6) };
	double began = now();

	begin();
	judge("select", began, select(0, NULL, NULL, NULL, &tv), 0, 0);
	return unused;
}

static void *epoll_nothing(void *unused)
{
	struct epoll_event event;
	int fd = epoll_create1(0);
	double began = now();

	begin();
	judge("epoll_wait", began, epoll_wait(fd, &event, 1, (int)(seconds * 1000)), 0, 0);
	return unused;
}

static void *timerfd(void *unused)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	struct itimerspec when = { { 0, 0 }, span(seconds) };
	uint64_t count = 0;
	double began = now();

	timerfd_settime(fd, 0, &when, NULL);
	begin();
	judge("timerfd", began, read(fd, &count, sizeof count), sizeof count, 0);
	return unused;
}

static void *recv_with_timeout(void *unused)
{
	int ends[2];
	struct timeval tv = { (time_t)seconds, (long)((seconds - (time_t)seconds) * 1e6) };
	double began;
	char byte;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) || setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv))
		abort();
	began = now();
	begin();
	judge("SO_RCVTIMEO", began, recv(ends[0], &byte, 1, 0), -1, EAGAIN);
	return unused;
}

static void *wait_for_signal(void *unused)
{
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	begin();
	errno = 0;
	/* with a time limit the wait would begin anew after the pause: another process sends it */
	judge("sigwaitinfo", all_began, sigwaitinfo(&set, &info), SIGRTMIN + 3, 0);
	return unused;
}

static void *wait_for_child(void *unused)
{
	double began = now();
	int status = 0;
	pid_t child = fork();

	if (!child) {
		usleep(seconds * 1e6);
		_exit(7);
	}
	begin();
	judge("waitpid", began, waitpid(child, &status, 0), child, 0);
	if (WEXITSTATUS(status) != 7) {
		printf("waitpid: status %x\n", status);
		wrong = 1;
	}
	return unused;
}

static void *wait_for_vfork(void *unused)
{
	double began = now();
	pid_t child;
	int status;

	begin();
	child = vfork();
	if (!child) {
		struct timespec ts = { (time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9) };
		nanosleep(&ts, NULL);
		_exit(0);
	}
	judge("vfork", began, child > 0 ? 0 : -1, 0, 0);
	waitpid(child, &status, 0);
	return unused;
}

static int full_pipe[2];

static void *pipe_reader(void *unused)
{
	char byte;

	begin();
	judge("read of a pipe", all_began, read(full_pipe[0], &byte, 1), 1, 0);
	return unused;
}

static void *pipe_writer(void *unused)
{
	usleep(seconds * 1e6);
	if (write(full_pipe[1], "x", 1) != 1)
		abort();
	return unused;
}

static void *worker(void *unused) /* never sleeps */
{
	double until = now() + seconds;
	unsigned long n = 0;

	begin();
	while (now() < until)
		for (int i = 0; i < 1000; i++)
			n += i ^ n;
	return unused;
}

static void *forker(void *unused) /* makes and ends processes all the time */
{
	double until = now() + seconds;

	begin();
	while (now() < until) {
		int status = -1;
		pid_t child = fork();

		if (!child)
			_exit(3);
		if (child < 0 || waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 3) {
			printf("fork: %d errno %d status %x\n", child, errno, status);
			wrong = 1;
		}
	}
	return unused;
}

static void on_alarm(int signo)
{
	(void)signo;
	alarms++;
}

static void on_continue(int signo)
{
	(void)signo;
	continued++;
}

/* A process with an interval timer and a handler without SA_RESTART: its own calls alone may be interrupted. */
static int alarm_process(void)
{
	struct sigaction act = { .sa_handler = on_alarm };
	struct itimerval every = { { 0, 50000 }, { 0, 50000 } };
	double until = now() + seconds;

	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	while (now() < until || (alarms < 3 && now() < until + slack)) { /* few came if all the time was a pause */
		int ends[2];

		if (pipe(ends) || close(ends[0]) || close(ends[1])) { /* calls that never fail with EINTR */
			printf("pipe beside a timer: %s\n", strerror(errno));
			fflush(stdout);
			return 1;
		}
	}
	return alarms < 3;
}

int main(int argc, char **argv)
{
	void *(*sleepers[])(void *) = { native_sleep, absolute_sleep, futex_wait, poll_nothing, ppoll_masked,
					select_nothing, epoll_nothing, timerfd, recv_with_timeout, wait_for_signal,
					wait_for_child, wait_for_vfork, pipe_reader, pipe_writer, worker, forker };
	enum { N = sizeof sleepers / sizeof *sleepers };
	pthread_t threads[N];
	struct sigaction act = { .sa_handler = on_continue };
	sigset_t set;
	pid_t timers, stopped, own = getpid();
	int status;

	if (argc != 3 || pipe(full_pipe))
		return 2;
	setvbuf(stdout, NULL, _IONBF, 0);
	seconds = atof(argv[1]);
	slack = atof(argv[2]);
	sigaction(SIGCONT, &act, NULL); /* a pause that is made of SIGSTOP and SIGCONT would be seen */
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	sigprocmask(SIG_BLOCK, &set, NULL);
	all_began = now();
	timers = fork();
	if (!timers)
		_exit(alarm_process());
	stopped = fork();
	if (!stopped) { /* stopped by job control before the pause, and still so after it */
		raise(SIGSTOP);
		_exit(5);
	}
	if (waitpid(stopped, &status, WUNTRACED) != stopped || !WIFSTOPPED(status))
		return 2;
	if (!fork()) {
		usleep(seconds * 1e6);
		kill(own, SIGRTMIN + 3);
		_exit(0);
	}
	for (int i = 0; i < N; i++)
		pthread_create(&threads[i], NULL, sleepers[i], NULL);
	while (started < N - 1)
		usleep(1000);
	printf("up\n");
	for (int i = 0; i < N; i++)
		pthread_join(threads[i], NULL);
	if (waitpid(timers, &status, 0) != timers || status) {
		printf("process with a timer: status %x\n", status);
		wrong = 1;
	}
	if (waitpid(stopped, &status, WNOHANG | WUNTRACED | WCONTINUED)) {
		printf("a stopped process changed: status %x\n", status);
		wrong = 1;
	}
	kill(stopped, SIGCONT);
	if (waitpid(stopped, &status, 0) != stopped || WEXITSTATUS(status) != 5) {
		printf("a stopped process did not go on: status %x\n", status);
		wrong = 1;
	}
	if (continued) {
		printf("SIGCONT came %d times\n", continued);
		wrong = 1;
	}
	printf(wrong ? "wrong\n" : "all %d right\n", N);
	return wrong;
}
