/* timerfd_create(2): timers with a file descriptor. */
#include "check.h"
#include <poll.h>
#include <sys/timerfd.h>

#define MS 1000000L

static int polled(int fd, int ms)
{
	struct pollfd p = {fd, POLLIN, 0};
	OK(poll(&p, 1, ms));
	return p.revents;
}

TEST(one_shot)
{
	uint64_t n = 0;
	int fd = OK(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	struct itimerspec it = {{0, 0}, {0, 40 * MS}}, cur;
	int64_t t = now_ns();
	OK(timerfd_settime(fd, 0, &it, NULL));
	EQ(polled(fd, 0), 0);
	OK(timerfd_gettime(fd, &cur));
	CHECK(cur.it_value.tv_sec == 0 && cur.it_value.tv_nsec > 0 && cur.it_value.tv_nsec <= 40 * MS);
	EQ(read(fd, &n, 8), 8);
	EQ(n, 1);
	CHECK(now_ns() - t >= 40 * MS);
	OK(timerfd_gettime(fd, &cur));
	EQ(cur.it_value.tv_nsec, 0);
	EQ(polled(fd, 0), 0);
}

TEST(periodic_counts_what_was_missed)
{
	uint64_t n = 0;
	int fd = OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	struct itimerspec it = {{0, 10 * MS}, {0, 10 * MS}};
	OK(timerfd_settime(fd, 0, &it, NULL));
	sleep_ms(105);
	EQ(polled(fd, 0), POLLIN);
	EQ(read(fd, &n, 8), 8);
	CHECK(n >= 10);
	EQ(polled(fd, 10000), POLLIN);
	EQ(read(fd, &n, 8), 8);
	CHECK(n >= 1);
}

TEST(absolute)
{
	uint64_t n;
	static const int clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME};
	for (int i = 0; i < 3; i++) {
		struct itimerspec it = {{0, 0}, {0, 0}};
		struct timespec after;
		int fd = OK(timerfd_create(clocks[i], 0));
		clock_gettime(clocks[i], &it.it_value);
		it.it_value.tv_nsec += 30 * MS;
		if (it.it_value.tv_nsec >= 1000 * MS)
			it.it_value.tv_sec++, it.it_value.tv_nsec -= 1000 * MS;
		OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &it, NULL));
		EQ(read(fd, &n, 8), 8);
		clock_gettime(clocks[i], &after);
		CHECK(after.tv_sec > it.it_value.tv_sec ||
		      (after.tv_sec == it.it_value.tv_sec && after.tv_nsec >= it.it_value.tv_nsec));
		it.it_value.tv_sec -= 100; /* long past: at once */
		OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &it, NULL));
		EQ(read(fd, &n, 8), 8);
		EQ(n, 1);
	}
}

TEST(disarm_and_old_value)
{
	uint64_t n;
	int fd = OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	struct itimerspec it = {{5, 0}, {100, 0}}, old, off = {0};
	OK(timerfd_settime(fd, 0, &it, &old));
	EQ(old.it_value.tv_sec, 0);
	OK(timerfd_settime(fd, 0, &off, &old));
	CHECK(old.it_value.tv_sec >= 98 && old.it_interval.tv_sec == 5);
	ERR(read(fd, &n, 8), EAGAIN);
	it = (struct itimerspec){{0, 0}, {0, 1}};
	OK(timerfd_settime(fd, 0, &it, NULL));
	EQ(polled(fd, 5000), POLLIN);
	OK(timerfd_settime(fd, 0, &off, NULL)); /* forgets the expiry too */
	ERR(read(fd, &n, 8), EAGAIN);
}

TEST(blocking_and_shared)
{
	uint64_t n;
	int fd = OK(timerfd_create(CLOCK_MONOTONIC, 0));
	struct itimerspec it = {{0, 0}, {0, 30 * MS}};
	IN_CHILD {
		OK(timerfd_settime(fd, 0, &it, NULL)); /* lives on in the shared description */
	}
	EQ(read(fd, &n, 8), 8);
	EQ(n, 1);
}

TEST(errors)
{
	uint64_t n;
	int fd = OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)), f = OK(open("f", O_RDWR | O_CREAT, 0600));
	struct itimerspec it = {{0, 0}, {0, 1000000000}}, cur;
	ERR(timerfd_create(77, 0), EINVAL);
	ERR(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
	ERR(timerfd_settime(fd, 0, &it, NULL), EINVAL);
	it.it_value.tv_nsec = -1;
	ERR(timerfd_settime(fd, 0, &it, NULL), EINVAL);
	it.it_value.tv_nsec = 0;
	ERR(timerfd_settime(fd, 64, &it, NULL), EINVAL);
	ERR(timerfd_settime(f, 0, &it, NULL), EINVAL);
	ERR(timerfd_settime(999, 0, &it, NULL), EBADF);
	ERR(timerfd_settime(fd, 0, BAD, NULL), EFAULT);
	ERR(timerfd_gettime(fd, BAD), EFAULT);
	ERR(timerfd_gettime(f, &cur), EINVAL);
	ERR(read(fd, &n, 4), EINVAL);
	ERR(write(fd, &n, 8), EINVAL);
}
