/* sched_get_priority_max(2), sched_rr_get_interval(2), sched_setattr(2): questions about scheduling. */
#include "check.h"
#include <sched.h>
#include <sys/resource.h>

struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};
#define SIZE_VER0 48

static long get_attr(pid_t pid, void *attr, unsigned size, unsigned flags)
{
	return syscall(SYS_sched_getattr, pid, attr, size, flags);
}

TEST(priority_ranges)
{
	const struct {
		int policy, min, max;
	} all[] = {{SCHED_OTHER, 0, 0}, {SCHED_BATCH, 0, 0}, {SCHED_IDLE, 0, 0}, {SCHED_FIFO, 1, 99}, {SCHED_RR, 1, 99}, {6, 0, 0}};
	for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
		EQ(syscall(SYS_sched_get_priority_min, all[i].policy), all[i].min);
		EQ(syscall(SYS_sched_get_priority_max, all[i].policy), all[i].max);
	}
	const int wrong[] = {-1, 4, 99, SCHED_FIFO | SCHED_RESET_ON_FORK};
	for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		ERR(syscall(SYS_sched_get_priority_min, wrong[i]), EINVAL);
		ERR(syscall(SYS_sched_get_priority_max, wrong[i]), EINVAL);
	}
}

TEST(interval)
{
	struct timespec ts = {-1, -1};
	OK(syscall(SYS_sched_rr_get_interval, 0, &ts));
	CHECK(ts.tv_sec == 0 && ts.tv_nsec >= 0 && ts.tv_nsec < 1000000000);
	ts.tv_sec = -1;
	OK(syscall(SYS_sched_rr_get_interval, getpid(), &ts));
	EQ(ts.tv_sec, 0);
	OK(syscall(SYS_sched_rr_get_interval, getppid() ? getppid() : 1, &ts));
	ERR(syscall(SYS_sched_rr_get_interval, -1, &ts), EINVAL);
	ERR(syscall(SYS_sched_rr_get_interval, 1 << 22, &ts), ESRCH);
	ERR(syscall(SYS_sched_rr_get_interval, 0, BAD), EFAULT);
	ERR(syscall(SYS_sched_rr_get_interval, 0, NULL), EFAULT);
}

TEST(attributes)
{
	struct attr a;
	errno = 0;
	int nice = getpriority(PRIO_PROCESS, 0);
	memset(&a, 0xff, sizeof a);
	OK(get_attr(0, &a, sizeof a, 0));
	CHECK(a.size >= SIZE_VER0 && a.size <= sizeof a);
	EQ(a.policy, SCHED_OTHER);
	EQ(a.flags & 1, 0);
	EQ(a.nice, nice);
	EQ(a.priority, 0);
	memset(&a, 0xff, sizeof a);
	OK(get_attr(getpid(), &a, SIZE_VER0, 0)); /* an older program's struct */
	EQ(a.size, SIZE_VER0);
	EQ(a.util_min, 0xffffffff);
	if (nice > 14)
		SKIP("already nice");
	IN_CHILD {
		struct sched_param none = {0};
		OK(setpriority(PRIO_PROCESS, 0, nice + 5));
		OK(sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &none));
		OK(get_attr(0, &a, sizeof a, 0));
		EQ(a.policy, SCHED_BATCH);
		EQ(a.flags & 1, 1);
		EQ(a.nice, nice + 5);
		IN_CHILD {
			OK(get_attr(getppid(), &a, sizeof a, 0));
			EQ(a.policy, SCHED_BATCH);
			EQ(a.nice, nice + 5);
		}
	}
}

/* SCHED_RESET_ON_FORK: the flag is not inherited, a fair policy and its nice value from 0 on are (sched(7)). */
TEST(reset_on_fork)
{
	struct attr a;
	struct sched_param none = {0};
	OK(sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &none));
	EQ(sched_getscheduler(0), SCHED_BATCH | SCHED_RESET_ON_FORK);
	IN_CHILD {
		OK(get_attr(0, &a, sizeof a, 0));
		EQ(a.flags & 1, 0);
		EQ(a.policy, SCHED_BATCH);
	}
	EQ(sched_getscheduler(0), SCHED_BATCH | SCHED_RESET_ON_FORK);
}

TEST(errors_of_getattr)
{
	struct attr a;
	ERR(get_attr(0, &a, SIZE_VER0 - 1, 0), EINVAL);
	ERR(get_attr(0, &a, 4097, 0), EINVAL);
	ERR(get_attr(0, &a, sizeof a, 1), EINVAL);
	ERR(get_attr(0, NULL, sizeof a, 0), EINVAL);
	ERR(get_attr(-1, &a, sizeof a, 0), EINVAL);
	ERR(get_attr(1 << 22, &a, sizeof a, 0), ESRCH);
	ERR(get_attr(0, BAD, sizeof a, 0), EFAULT);
}
