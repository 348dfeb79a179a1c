/* Waiting until the end of time and beyond (clock_gettime(2), struct timespec): as long as a signal lets it. */
#include "check.h"
#include <mqueue.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>

static const long seconds[] = { LONG_MAX, LONG_MAX / 2, 9223372036L, 9223372037L, LONG_MAX / 1000000000L + 1, 1L << 40 };

static void on_alarm(int signo) { (void)signo; }

/* SIGALRM every 5 ms from now on, whose handler ends calls. */
static void begin(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval often = { { 0, 5000 }, { 0, 5000 } };
	OK(sigaction(SIGALRM, &action, NULL));
	OK(setitimer(ITIMER_REAL, &often, NULL));
}

#define EACH(ts, ...)                                                                   \
	begin();                                                                        \
	for (unsigned i = 0; i < sizeof seconds / sizeof *seconds; i++) {               \
		struct timespec ts = { seconds[i], 999999999 };                         \
		__VA_ARGS__;                                                            \
	}

TEST(polling)
{
	int p[2], e = OK(epoll_create1(0));
	struct epoll_event event;
	OK(pipe(p));
	struct pollfd fd = { p[0], POLLIN, 0 };
	EACH(ts, {
		fd_set set;
		FD_ZERO(&set);
		FD_SET(p[0], &set);
		ERR(ppoll(&fd, 1, &ts, NULL), EINTR);
		ERR(pselect(p[0] + 1, &set, NULL, NULL, &ts, NULL), EINTR);
		ERR(syscall(SYS_epoll_pwait2, e, &event, 1, &ts, NULL, 8), EINTR);
	})
}

TEST(timerfds)
{
	int fd = OK(timerfd_create(CLOCK_MONOTONIC, 0));
	unsigned long count;
	EACH(ts, {
		struct itimerspec far = { ts, ts }, left;
		OK(timerfd_settime(fd, 0, &far, NULL));
		ERR(read(fd, &count, 8), EINTR);
		OK(timerfd_gettime(fd, &left));
		CHECK(left.it_value.tv_sec > 1L << 30);
	})
}

TEST(timers)
{
	timer_t timer;
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
	EACH(ts, {
		struct itimerspec far = { ts, ts }, left;
		OK(timer_settime(timer, 0, &far, NULL));
		ERR(pause(), EINTR);
		OK(timer_gettime(timer, &left));
		CHECK(left.it_value.tv_sec > 1L << 30);
	})
}

TEST(ipc)
{
	int set = OK(semget(IPC_PRIVATE, 1, 0600)), pair[2];
	struct sembuf take = { 0, -1, 0 };
	sigset_t usr;
	char byte;
	OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	sigemptyset(&usr);
	sigaddset(&usr, SIGUSR1);
	EACH(ts, {
		struct timeval tv = { ts.tv_sec, 999999 };
		ERR(semtimedop(set, &take, 1, &ts), EINTR);
		ERR(syscall(SYS_rt_sigtimedwait, &usr, NULL, &ts, 8), EINTR);
		CHECK(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) == 0 || errno == EDOM);
		ERR(recv(pair[0], &byte, 1, 0), EINTR);
	})
	OK(semctl(set, 0, IPC_RMID));
}
