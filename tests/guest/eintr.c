/* signal(7), "Interruption of system calls": which calls restart under SA_RESTART and which never do. */
#include "check.h"
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

static volatile sig_atomic_t fired;
static int wake_fd = -1;

static void on_alarm(int sig)
{
	(void)sig;
	fired++;
}

/* Signals every 20 ms; from the fifth on the handler also ends the restarted call, by writing to wake_fd. */
static void on_alarm_wake(int sig)
{
	(void)sig;
	int e = errno;
	if (++fired >= 5 && wake_fd >= 0 && write(wake_fd, "12345678", 8) != 8)
		_exit(9);
	errno = e;
}

static void ticks(int flags)
{
	struct itimerval it = {{0, 20000}, {0, 20000}};
	fired = 0;
	handle(SIGALRM, flags & SA_RESTART ? on_alarm_wake : on_alarm, flags);
	OK(setitimer(ITIMER_REAL, &it, NULL));
}

TEST(sem_wait_gives_eintr)
{
	sem_t s;
	OK(sem_init(&s, 0, 0));
	ticks(0);
	ERR(sem_wait(&s), EINTR);
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += 30;
	ERR(sem_timedwait(&s, &ts), EINTR);
}

static pid_t sleeper(void)
{
	pid_t pid = OK(fork());
	if (pid == 0) {
		signal(SIGALRM, SIG_DFL);
		sleep_ms(30000);
		_exit(1);
	}
	return pid;
}

TEST(wait4_gives_eintr)
{
	pid_t pid = sleeper();
	siginfo_t info;
	ticks(0);
	ERR(wait4(pid, NULL, 0, NULL), EINTR);
	ERR(wait4(-1, NULL, 0, NULL), EINTR);
	ERR(waitid(P_PID, pid, &info, WEXITED), EINTR);
	ERR(waitid(P_ALL, 0, &info, WEXITED | WSTOPPED), EINTR);
	struct itimerval off = {0};
	OK(setitimer(ITIMER_REAL, &off, NULL));
	OK(kill(pid, SIGKILL));
	REAP_SIGNAL(pid, SIGKILL);
}

TEST(wait4_restarts)
{
	pid_t pid = OK(fork());
	if (pid == 0) {
		sleep_ms(200);
		_exit(3);
	}
	int status;
	ticks(SA_RESTART);
	EQ(wait4(pid, &status, 0, NULL), pid);
	EQ(status, 3 << 8);
	CHECK(fired > 0);
}

TEST(slow_calls_give_eintr)
{
	int p[2], s[2], l;
	char buf[4096] = {0};
	OK(pipe(p));
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	ticks(0);
	ERR(read(p[0], buf, 1), EINTR);
	ERR(recv(s[0], buf, 1, 0), EINTR);
	ERR(recvfrom(s[0], buf, 1, 0, NULL, NULL), EINTR);
	struct iovec iov = {buf, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	ERR(recvmsg(s[0], &m, 0), EINTR);
	int ev = OK(eventfd(0, 0));
	ERR(read(ev, buf, 8), EINTR);
	OK(l = socket(AF_UNIX, SOCK_STREAM, 0));
	struct sockaddr_un a = {AF_UNIX, "sock"};
	OK(bind(l, (struct sockaddr *)&a, sizeof a));
	OK(listen(l, 1));
	ERR(accept(l, NULL, NULL), EINTR);
	OK(fcntl(p[1], F_SETFL, O_NONBLOCK));
	while (write(p[1], buf, sizeof buf) > 0)
		;
	OK(fcntl(p[1], F_SETFL, 0));
	ERR(write(p[1], buf, 1), EINTR);
	OK(mkfifo("fifo", 0600));
	ERR(open("fifo", O_RDONLY), EINTR);
}

/* A write that moved something before the signal says how much. */
TEST(partial_write_is_reported)
{
	int p[2];
	static char buf[200000];
	OK(pipe(p));
	ticks(0);
	ssize_t n = write(p[1], buf, sizeof buf);
	CHECK(n >= 4096 && n < (ssize_t)sizeof buf);
}

TEST(slow_calls_restart)
{
	int p[2], s[2];
	char buf[8];
	OK(pipe(p));
	wake_fd = p[1];
	ticks(SA_RESTART);
	EQ(read(p[0], buf, 8), 8);
	CHECK(fired >= 5);
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	fired = 0;
	wake_fd = s[1];
	EQ(recv(s[0], buf, 8, 0), 8);
	CHECK(fired >= 5);
	wake_fd = -1;
}

TEST(flock_waits_through_signals)
{
	pid_t pid = OK(fork());
	if (pid == 0) {
		int fd = OK(open("l", O_RDWR | O_CREAT, 0600));
		OK(flock(fd, LOCK_EX));
		make_file("held", "");
		sleep_ms(300);
		_exit(0);
	}
	while (access("held", F_OK))
		sleep_ms(1);
	int fd = OK(open("l", O_RDWR | O_CREAT, 0600));
	ticks(SA_RESTART);
	EQ(flock(fd, LOCK_EX), 0);
	CHECK(fired > 0);
	REAP_OK(pid);
	pid = OK(fork());
	if (pid == 0) {
		sleep_ms(60000);
		_exit(0);
	}
	/* the child holds the same description; a second one must wait, and here gives up */
	int other = OK(open("l", O_RDWR));
	ticks(0);
	ERR(flock(other, LOCK_EX), EINTR);
	struct flock fl = {.l_type = F_WRLCK};
	OK(kill(pid, SIGKILL));
	REAP_SIGNAL(pid, SIGKILL);
	OK(fcntl(fd, F_SETLK, &fl));
}

/* poll and its kin, sleeps and sigtimedwait never restart, SA_RESTART or not. */
static void never_restarted(int flags)
{
	struct timespec ten = {10, 0}, left = {0, 0};
	struct timeval tv = {10, 0};
	struct epoll_event ev;
	struct sockaddr_un a = {AF_UNIX, "sock"};
	char buf[8];
	int p[2], s[2];
	sigset_t none, usr2 = set_of(SIGUSR2);
	sigemptyset(&none);
	OK(pipe(p));
	struct pollfd pfd = {p[0], POLLIN, 0};
	int ep = OK(epoll_create1(0));
	ticks(flags);
	ERR(poll(&pfd, 1, 10000), EINTR);
	ERR(poll(NULL, 0, -1), EINTR);
	ERR(ppoll(&pfd, 1, &ten, &none), EINTR);
	ERR(ppoll(NULL, 0, NULL, NULL), EINTR);
	ERR(select(0, NULL, NULL, NULL, &tv), EINTR);
	ERR(pselect(0, NULL, NULL, NULL, &ten, &none), EINTR);
	ERR(epoll_wait(ep, &ev, 1, 10000), EINTR);
	ERR(epoll_pwait(ep, &ev, 1, -1, &none), EINTR);
	ERR(nanosleep(&ten, &left), EINTR);
	CHECK(left.tv_sec <= 9 && left.tv_sec >= 5);
	EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &ten, &left), EINTR);
	ERR(pause(), EINTR);
	ERR(sigsuspend(&none), EINTR);
	ERR(sigtimedwait(&usr2, NULL, &ten), EINTR);
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	struct timeval rcv = {10, 0};
	OK(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &rcv, sizeof rcv));
	ERR(recv(s[0], buf, 1, 0), EINTR);
	int l = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	OK(bind(l, (struct sockaddr *)&a, sizeof a));
	OK(listen(l, 1));
	OK(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &rcv, sizeof rcv));
	ERR(accept(l, NULL, NULL), EINTR);
}

TEST(never_restarted_with_sa_restart) { never_restarted(SA_RESTART); }
TEST(never_restarted_without) { never_restarted(0); }

/* A signal that is ignored, blocked or only stops and continues interrupts none of these. */
TEST(ignored_signal_interrupts_nothing)
{
	int p[2];
	char c;
	struct pollfd pfd;
	OK(pipe(p));
	pfd = (struct pollfd){p[0], POLLIN, 0};
	signal(SIGUSR1, SIG_IGN);
	pid_t self = getpid(), pid = OK(fork());
	if (pid == 0) {
		sleep_ms(50);
		for (int i = 0; i < 10; i++) {
			OK(kill(self, SIGUSR1));
			OK(kill(self, SIGWINCH)); /* ignored by default */
			OK(kill(self, SIGURG));
			sleep_ms(5);
		}
		EQ(write(p[1], "ab", 2), 2);
		_exit(0);
	}
	EQ(poll(&pfd, 1, 30000), 1);
	EQ(read(p[0], &c, 1), 1);
	REAP_OK(pid);
}

TEST(stop_and_continue_interrupt)
{
	int p[2], r[2];
	char c;
	OK(pipe(p));
	OK(pipe(r));
	pid_t pid = OK(fork());
	if (pid == 0) {
		struct timespec ts = {0, 300000000}, left = {9, 9};
		int64_t t = now_ns();
		EQ(nanosleep(&ts, &left), 0); /* continued, not interrupted */
		CHECK(now_ns() - t >= 300000000);
		EQ(write(r[1], "x", 1), 1);
		EQ(read(p[0], &c, 1), 1);
		_exit(0);
	}
	for (int i = 0; i < 2; i++) {
		int status;
		sleep_ms(50);
		OK(kill(pid, SIGSTOP));
		EQ(waitpid(pid, &status, WUNTRACED), pid);
		CHECK(WIFSTOPPED(status));
		OK(kill(pid, SIGCONT));
		if (i == 0)
			EQ(read(r[0], &c, 1), 1);
	}
	EQ(write(p[1], "y", 1), 1);
	REAP_OK(pid);
}

/* Both handlers lack SA_RESTART, and there is another thread: a timer's signal may be on its way to the very caller. */
static volatile sig_atomic_t alarms, users;
static void count_both(int sig)
{
	if (sig == SIGALRM)
		alarms++;
	else
		users++;
}

static void *idle_thread(void *arg)
{
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	for (;;)
		pause();
	return arg;
}

TEST(own_kill_against_timer)
{
	pthread_t th;
	handle(SIGALRM, count_both, 0);
	handle(SIGUSR1, count_both, 0);
	EQ(pthread_create(&th, NULL, idle_thread, NULL), 0);
	for (int i = 1; i <= 4000; i++) {
		struct itimerval it = {.it_value = {0, 1 + i % 60}};
		OK(setitimer(ITIMER_REAL, &it, NULL));
		OK(kill(getpid(), SIGUSR1));
		for (int n = 0; users + alarms < 2 * i && n < 20000; n++)
			usleep(10);
		EQ(users, i);
		EQ(alarms, i);
	}
}
