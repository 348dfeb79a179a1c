/* adjtimex(2), clock_adjtime(2), settimeofday(2), clock_settime(2): what the clock tells, and who may not set it. */
#include "check.h"
#include <sys/time.h>
#include <sys/timex.h>

static void is_told(int state, const struct timex *t)
{
	CHECK(state >= TIME_OK && state <= TIME_ERROR);
	time_t now = time(NULL);
	CHECK(t->time.tv_sec >= now - 5 && t->time.tv_sec <= now + 1);
	CHECK(t->tick > 0 && 1000000 / t->tick >= 1);
	CHECK(t->precision > 0 && t->constant >= 0);
	CHECK(t->tolerance > 0);
	long part = t->status & STA_NANO ? 1000000000 : 1000000;
	CHECK(t->time.tv_usec >= 0 && t->time.tv_usec < part);
}

TEST(questions)
{
	struct timex t;
	memset(&t, 0, sizeof t);
	is_told(OK(syscall(SYS_adjtimex, &t)), &t);
	memset(&t, 0, sizeof t);
	is_told(OK(syscall(SYS_clock_adjtime, CLOCK_REALTIME, &t)), &t);
	memset(&t, 0, sizeof t);
	t.modes = ADJ_OFFSET_SS_READ;
	CHECK(OK(syscall(SYS_adjtimex, &t)) >= 0);
	ERR(syscall(SYS_adjtimex, BAD), EFAULT);
	ERR(syscall(SYS_adjtimex, NULL), EFAULT);
	ERR(syscall(SYS_clock_adjtime, CLOCK_REALTIME, BAD), EFAULT);
	memset(&t, 0, sizeof t);
	ERR(syscall(SYS_clock_adjtime, CLOCK_MONOTONIC, &t), EOPNOTSUPP);
	ERR(syscall(SYS_clock_adjtime, CLOCK_BOOTTIME, &t), EOPNOTSUPP);
	ERR(syscall(SYS_clock_adjtime, 10, &t), EINVAL);
	ERR(syscall(SYS_clock_adjtime, 99, &t), EINVAL);
}

static void be_nobody(void)
{
	if (geteuid() == 0)
		OK(setuid(1000));
}

TEST(a_user_adjusts_nothing)
{
	be_nobody();
	const unsigned modes[] = {ADJ_OFFSET, ADJ_FREQUENCY, ADJ_STATUS, ADJ_TICK, ADJ_OFFSET_SINGLESHOT, ADJ_MAXERROR, ADJ_TAI};
	for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++) {
		struct timex t = {.modes = modes[i], .tick = 10000};
		ERR(syscall(SYS_adjtimex, &t), EPERM);
		t.modes = modes[i];
		ERR(syscall(SYS_clock_adjtime, CLOCK_REALTIME, &t), EPERM);
	}
	struct timex t = {0};
	is_told(OK(syscall(SYS_adjtimex, &t)), &t);
}

TEST(a_user_sets_nothing)
{
	struct timeval now;
	struct timezone zone = {0, 0}, odd = {16 * 60, 0};
	struct timespec ts;
	be_nobody();
	OK(gettimeofday(&now, NULL));
	OK(clock_gettime(CLOCK_REALTIME, &ts));
	ERR(syscall(SYS_settimeofday, &now, NULL), EPERM);
	ERR(syscall(SYS_settimeofday, NULL, &zone), EPERM);
	ERR(syscall(SYS_settimeofday, NULL, &odd), EPERM);
	ERR(syscall(SYS_settimeofday, NULL, NULL), EPERM);
	ERR(syscall(SYS_settimeofday, BAD, NULL), EFAULT);
	ERR(syscall(SYS_settimeofday, NULL, BAD), EFAULT);
	const struct timeval wrong[] = {{1, -1}, {1, 1000001}, {-1, 0}};
	for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
		ERR(syscall(SYS_settimeofday, &wrong[i], NULL), EINVAL);
	ERR(syscall(SYS_clock_settime, CLOCK_REALTIME, &ts), EPERM);
	ERR(syscall(SYS_clock_settime, CLOCK_REALTIME, BAD), EFAULT);
	ts.tv_nsec = 1000000000;
	ERR(syscall(SYS_clock_settime, CLOCK_REALTIME, &ts), EINVAL);
	ts.tv_nsec = 0;
	ERR(syscall(SYS_clock_settime, CLOCK_MONOTONIC, &ts), EINVAL);
	ERR(syscall(SYS_clock_settime, CLOCK_PROCESS_CPUTIME_ID, &ts), EINVAL);
	ERR(syscall(SYS_clock_settime, 99, &ts), EINVAL);
}
