/* uname(2), sysinfo(2), times(2), getcpu(2), getrandom(2), gethostname(2), sched(7): the system. */
#include "check.h"
#include <sched.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/utsname.h>

TEST(names)
{
	struct utsname u;
	char host[65];
	OK(uname(&u));
	STR(u.sysname, "Linux");
	STR(u.machine, "x86_64");
	CHECK(u.nodename[0] && u.version[0]);
	CHECK(atoi(u.release) >= 5);
	OK(gethostname(host, sizeof host));
	STR(host, u.nodename);
	ERR(syscall(SYS_uname, BAD), EFAULT);
	IN_CHILD {
		if (geteuid() == 0)
			OK(setuid(1000));
		ERR(sethostname("x", 1), EPERM);
		ERR(setdomainname("x", 1), EPERM);
	}
	if (geteuid() == 0)
		ERR(sethostname("x", -1), EINVAL);
}

TEST(information)
{
	struct sysinfo s;
	OK(sysinfo(&s));
	CHECK(s.uptime > 0 && s.totalram > 0 && s.freeram <= s.totalram && s.procs > 0 && s.mem_unit > 0);
	ERR(syscall(SYS_sysinfo, BAD), EFAULT);
	struct tms t;
	CHECK(times(&t) != (clock_t)-1);
	CHECK(times(NULL) != (clock_t)-1);
	ERR(syscall(SYS_times, BAD), EFAULT);
	CHECK(get_nprocs() >= 1);
	CHECK(sysconf(_SC_NPROCESSORS_CONF) >= 1);
	unsigned cpu = 9999, node;
	OK(syscall(SYS_getcpu, &cpu, &node, NULL));
	CHECK(cpu < 4096);
}

TEST(random_bytes)
{
	unsigned char a[64] = {0}, b[64] = {0};
	EQ(getrandom(a, 64, 0), 64);
	EQ(getrandom(b, 64, GRND_NONBLOCK), 64);
	CHECK(memcmp(a, b, 64));
	ERR(getrandom(a, 64, 0x100), EINVAL);
	ERR(syscall(SYS_getrandom, BAD, 64, 0), EFAULT); /* the C library may have its own way, in the vDSO */
	EQ(getrandom(a, 0, 0), 0);
}

TEST(scheduling)
{
	struct sched_param p = {0}, fifo = {1};
	struct timespec ts;
	EQ(sched_getscheduler(0), SCHED_OTHER);
	OK(sched_getparam(0, &p));
	EQ(p.sched_priority, 0);
	OK(sched_setscheduler(0, SCHED_BATCH, &p));
	EQ(sched_getscheduler(0), SCHED_BATCH);
	OK(sched_setscheduler(0, SCHED_OTHER, &p));
	ERR(sched_setscheduler(0, SCHED_OTHER, &fifo), EINVAL);
	ERR(sched_setscheduler(0, 99, &p), EINVAL);
	ERR(sched_setscheduler(-1, SCHED_OTHER, &p), EINVAL);
	ERR(sched_getscheduler(1 << 22), ESRCH);
	ERR(sched_getparam(0, BAD), EFAULT);
	EQ(sched_get_priority_max(SCHED_FIFO), 99);
	EQ(sched_get_priority_min(SCHED_FIFO), 1);
	EQ(sched_get_priority_max(SCHED_OTHER), 0);
	ERR(sched_get_priority_max(99), EINVAL);
	OK(sched_rr_get_interval(0, &ts));
	OK(sched_yield());
}

TEST(affinity)
{
	cpu_set_t set, one;
	CPU_ZERO(&set);
	OK(sched_getaffinity(0, sizeof set, &set));
	int n = CPU_COUNT(&set);
	CHECK(n >= 1);
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set)) {
			CPU_SET(i, &one);
			break;
		}
	OK(sched_setaffinity(0, sizeof one, &one));
	cpu_set_t got;
	OK(sched_getaffinity(0, sizeof got, &got));
	CHECK(CPU_EQUAL(&got, &one));
	IN_CHILD {
		OK(sched_getaffinity(0, sizeof got, &got));
		CHECK(CPU_EQUAL(&got, &one));
	}
	CPU_ZERO(&one);
	ERR(sched_setaffinity(0, sizeof one, &one), EINVAL);
	ERR(sched_getaffinity(0, 1, &got), EINVAL);
	ERR(sched_getaffinity(1 << 22, sizeof got, &got), ESRCH);
	ERR(sched_getaffinity(-1, sizeof got, &got), ESRCH); /* no other rule for these, unlike sched_getparam(2) */
	ERR(sched_setaffinity(-1, sizeof set, &set), ESRCH);
	ERR(syscall(SYS_sched_getaffinity, 0, sizeof got, BAD), EFAULT);
	OK(sched_setaffinity(0, sizeof set, &set));
}

TEST(niceness)
{
	errno = 0;
	int n = getpriority(PRIO_PROCESS, 0);
	EQ(errno, 0);
	if (n > 10)
		SKIP("already nice");
	OK(setpriority(PRIO_PROCESS, 0, n + 3));
	EQ(getpriority(PRIO_PROCESS, 0), n + 3);
	EQ(syscall(SYS_getpriority, PRIO_PROCESS, 0), 20 - (n + 3));
	IN_CHILD {
		EQ(getpriority(PRIO_PROCESS, 0), n + 3);
		if (geteuid() == 0)
			OK(setuid(1000));
		errno = 0;
		EQ(setpriority(PRIO_PROCESS, 0, n), -1);
		CHECK(errno == EACCES || errno == EPERM);
		OK(setpriority(PRIO_PROCESS, 0, 100)); /* clamped */
		EQ(getpriority(PRIO_PROCESS, 0), 19);
	}
	ERR(setpriority(99, 0, 5), EINVAL);
	ERR(getpriority(PRIO_PROCESS, 1 << 22), ESRCH);
}

TEST(unknown_numbers)
{
	ERR(syscall(500), ENOSYS);
	ERR(syscall(9999), ENOSYS);
	ERR(syscall(-5), ENOSYS);
	ERR(syscall(SYS_tuxcall), ENOSYS);
	ERR(syscall(SYS_create_module), ENOSYS);
}
