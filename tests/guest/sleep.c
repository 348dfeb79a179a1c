/* nanosleep(2), clock_nanosleep(2), clock_gettime(2), gettimeofday(2), time(2): clocks and sleeping. */
#include "check.h"
#include <sys/time.h>
#include <sys/times.h>

#define MS 1000000L

TEST(sleeps_long_enough)
{
	static const long ms[] = {0, 1, 5, 20, 70};
	for (int i = 0; i < 5; i++) {
		struct timespec ts = {0, ms[i] * MS};
		int64_t t = now_ns();
		OK(nanosleep(&ts, NULL));
		CHECK(now_ns() - t >= ms[i] * MS);
		t = now_ns();
		EQ(clock_nanosleep(CLOCK_REALTIME, 0, &ts, NULL), 0);
		CHECK(now_ns() - t >= ms[i] * MS - MS);
	}
}

TEST(absolute_sleep)
{
	struct timespec ts, after;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += 30 * MS;
	if (ts.tv_nsec >= 1000 * MS)
		ts.tv_sec++, ts.tv_nsec -= 1000 * MS;
	EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK(after.tv_sec > ts.tv_sec || (after.tv_sec == ts.tv_sec && after.tv_nsec >= ts.tv_nsec));
	ts.tv_sec -= 100;
	EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL), 0);
}

TEST(errors)
{
	struct timespec bad = {0, 1000000000}, neg = {-1, 0};
	ERR(nanosleep(&bad, NULL), EINVAL);
	ERR(nanosleep(&neg, NULL), EINVAL);
	ERR(nanosleep(BAD, NULL), EFAULT);
	EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &bad, NULL), EINVAL);
	EQ(clock_nanosleep(99, 0, &neg, NULL), EINVAL);
	EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &neg, NULL), EINVAL);
	ERR(syscall(SYS_clock_gettime, 99, &bad), EINVAL);
	ERR(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, BAD), EFAULT);
	ERR(clock_getres(99, &bad), EINVAL);
	OK(clock_getres(CLOCK_MONOTONIC, NULL));
	struct timespec now = {0, 0};
	OK(clock_gettime(CLOCK_REALTIME, &now));
	now.tv_nsec = -1;
	ERR(clock_settime(CLOCK_REALTIME, &now), EINVAL);
	ERR(clock_settime(CLOCK_MONOTONIC, &now), EINVAL);
}

TEST(clocks_agree)
{
	struct timespec a, b, raw, boot, coarse, res;
	struct timeval tv;
	for (int i = 0; i < 1000; i++) {
		clock_gettime(CLOCK_MONOTONIC, &a);
		clock_gettime(CLOCK_MONOTONIC, &b);
		CHECK(b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec));
	}
	clock_gettime(CLOCK_REALTIME, &a);
	OK(gettimeofday(&tv, NULL));
	CHECK(tv.tv_sec - a.tv_sec <= 2);
	time_t t = time(NULL);
	CHECK(t >= a.tv_sec - 1 && t <= a.tv_sec + 2);
	EQ(syscall(SYS_time, NULL) >= t, 1);
	OK(clock_gettime(CLOCK_MONOTONIC_RAW, &raw));
	OK(clock_gettime(CLOCK_BOOTTIME, &boot));
	OK(clock_gettime(CLOCK_REALTIME_COARSE, &coarse));
	CHECK(coarse.tv_sec >= a.tv_sec - 1);
	OK(clock_getres(CLOCK_MONOTONIC, &res));
	CHECK(res.tv_sec == 0 && res.tv_nsec <= 10 * MS);
	/* the system call and the vDSO tell the same time */
	struct timespec v, s;
	clock_gettime(CLOCK_MONOTONIC, &v);
	OK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &s));
	CHECK(s.tv_sec - v.tv_sec <= 2 && s.tv_sec >= v.tv_sec);
	OK(syscall(SYS_clock_gettime, CLOCK_REALTIME, &s));
	CHECK(labs(s.tv_sec - time(NULL)) <= 2);
}

TEST(cpu_clocks)
{
	struct timespec a, b, th;
	struct tms tm;
	OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a));
	for (int64_t end = now_ns() + 30 * MS; now_ns() < end;)
		;
	OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b));
	CHECK((b.tv_sec - a.tv_sec) * 1000 * MS + b.tv_nsec - a.tv_nsec > MS);
	OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &th));
	clockid_t mine;
	EQ(clock_getcpuclockid(getpid(), &mine), 0);
	OK(clock_gettime(mine, &b));
	CHECK(times(&tm) != (clock_t)-1);
	CHECK(clock() != (clock_t)-1);
}

TEST(many_sleepers)
{
	int64_t t = now_ns();
	pid_t pids[20];
	for (int i = 0; i < 20; i++)
		if ((pids[i] = OK(fork())) == 0) {
			sleep_ms(100 + i);
			_exit(i);
		}
	for (int i = 0; i < 20; i++)
		REAP_EXIT(pids[i], i);
	CHECK(now_ns() - t >= 119 * MS);
}
