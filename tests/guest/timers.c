/* timer_create(2), setitimer(2), alarm(2): interval timers. */
#include "check.h"
#include <sys/time.h>

#define MS 1000000L
static volatile sig_atomic_t fired;
static void on_timer(int sig)
{
	(void)sig;
	fired++;
}

static void wait_for(int n, long ms)
{
	int64_t end = now_ns() + ms * MS;
	while (fired < n && now_ns() < end)
		sleep_ms(1);
	CHECK(fired >= n);
}

static timer_t create(clockid_t clock, int sig)
{
	timer_t t;
	struct sigevent ev = {.sigev_notify = sig ? SIGEV_SIGNAL : SIGEV_NONE, .sigev_signo = sig};
	OK(timer_create(clock, &ev, &t));
	return t;
}

TEST(one_shot_and_periodic)
{
	handle(SIGRTMIN, on_timer, SA_RESTART);
	timer_t t = create(CLOCK_MONOTONIC, SIGRTMIN);
	struct itimerspec it = {{0, 0}, {0, 20 * MS}}, cur;
	int64_t start = now_ns();
	OK(timer_settime(t, 0, &it, NULL));
	wait_for(1, 10000);
	CHECK(now_ns() - start >= 20 * MS);
	sleep_ms(60);
	EQ(fired, 1);
	OK(timer_gettime(t, &cur));
	EQ(cur.it_value.tv_sec + cur.it_value.tv_nsec, 0);
	it.it_interval.tv_nsec = 5 * MS;
	OK(timer_settime(t, 0, &it, NULL));
	wait_for(10, 20000);
	OK(timer_gettime(t, &cur));
	EQ(cur.it_interval.tv_nsec, 5 * MS);
	OK(timer_delete(t));
	int n = fired;
	sleep_ms(30);
	CHECK(fired <= n + 1);
	ERR(timer_gettime(t, &cur), EINVAL);
}

TEST(overrun)
{
	sigset_t s = set_of(SIGRTMIN);
	siginfo_t info;
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	timer_t t = create(CLOCK_MONOTONIC, SIGRTMIN);
	struct itimerspec it = {{0, 10 * MS}, {0, 10 * MS}};
	OK(timer_settime(t, 0, &it, NULL));
	sleep_ms(105);
	EQ(sigwaitinfo(&s, &info), SIGRTMIN);
	CHECK(info.si_overrun >= 8); /* one signal for all that were missed */
	EQ(timer_getoverrun(t), info.si_overrun);
	struct timespec zero = {0, 0};
	it = (struct itimerspec){0};
	OK(timer_settime(t, 0, &it, NULL));
	(void)sigtimedwait(&s, &info, &zero);
	ERR(sigtimedwait(&s, &info, &zero), EAGAIN);
}

TEST(absolute_time)
{
	handle(SIGRTMIN, on_timer, 0);
	timer_t t = create(CLOCK_REALTIME, SIGRTMIN);
	struct itimerspec it = {{0, 0}, {0, 0}};
	clock_gettime(CLOCK_REALTIME, &it.it_value);
	it.it_value.tv_sec -= 10;
	OK(timer_settime(t, TIMER_ABSTIME, &it, NULL));
	wait_for(1, 5000);
	clock_gettime(CLOCK_REALTIME, &it.it_value);
	it.it_value.tv_sec += 100;
	OK(timer_settime(t, TIMER_ABSTIME, &it, NULL));
	struct itimerspec cur;
	OK(timer_gettime(t, &cur));
	CHECK(cur.it_value.tv_sec >= 98 && cur.it_value.tv_sec <= 100); /* told relatively */
	EQ(fired, 1);
}

TEST(old_value_and_disarm)
{
	handle(SIGRTMIN, on_timer, 0);
	timer_t t = create(CLOCK_MONOTONIC, SIGRTMIN);
	struct itimerspec it = {{7, 0}, {50, 0}}, old, off = {0};
	OK(timer_settime(t, 0, &it, &old));
	EQ(old.it_value.tv_sec, 0);
	OK(timer_settime(t, 0, &off, &old));
	CHECK(old.it_value.tv_sec >= 48 && old.it_interval.tv_sec == 7);
	sleep_ms(10);
	EQ(fired, 0);
}

TEST(to_a_thread)
{
	timer_t t;
	handle(SIGRTMIN, on_timer, 0);
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN};
	ev._sigev_un._tid = syscall(SYS_gettid);
	OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &t));
	struct itimerspec it = {{0, 0}, {0, MS}};
	OK(timer_settime(t, 0, &it, NULL));
	wait_for(1, 5000);
	ev._sigev_un._tid = 1 << 22;
	ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &t), EINVAL);
}

TEST(none_and_default_event)
{
	timer_t t = create(CLOCK_MONOTONIC, 0);
	struct itimerspec it = {{0, 0}, {30, 0}}, cur;
	OK(timer_settime(t, 0, &it, NULL));
	OK(timer_gettime(t, &cur));
	CHECK(cur.it_value.tv_sec >= 28);
	handle(SIGALRM, on_timer, 0);
	OK(timer_create(CLOCK_MONOTONIC, NULL, &t)); /* SIGALRM, its id as value */
	it.it_value = (struct timespec){0, MS};
	OK(timer_settime(t, 0, &it, NULL));
	wait_for(1, 5000);
}

TEST(not_inherited)
{
	handle(SIGRTMIN, on_timer, 0);
	handle(SIGALRM, on_timer, 0);
	timer_t t = create(CLOCK_MONOTONIC, SIGRTMIN);
	struct itimerspec it = {{0, 0}, {0, 30 * MS}};
	OK(timer_settime(t, 0, &it, NULL));
	struct itimerval iv = {{0, 0}, {0, 30000}}, cur;
	OK(setitimer(ITIMER_REAL, &iv, NULL));
	IN_CHILD {
		OK(getitimer(ITIMER_REAL, &cur));
		EQ(cur.it_value.tv_sec + cur.it_value.tv_usec, 0);
		struct itimerspec none;
		ERR(timer_gettime(t, &none), EINVAL);
		sleep_ms(60);
		EQ(fired, 0);
	}
	wait_for(2, 5000);
}

TEST(posix_errors)
{
	timer_t t = create(CLOCK_MONOTONIC, SIGRTMIN);
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 99};
	struct itimerspec bad = {{0, 0}, {0, 1000000000}};
	timer_t u;
	ERR(timer_create(99, NULL, &u), EINVAL);
	ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &u), EINVAL);
	ev = (struct sigevent){.sigev_notify = 77};
	ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &u), EINVAL);
	ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC, BAD, &u), EFAULT);
	ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, BAD), EFAULT);
	ERR(timer_settime(t, 0, &bad, NULL), EINVAL);
	ERR(syscall(SYS_timer_settime, 777, 0, &bad, NULL), EINVAL);
	ERR(syscall(SYS_timer_settime, t, 0, BAD, NULL), EFAULT);
	ERR(syscall(SYS_timer_gettime, t, BAD), EFAULT);
	ERR(syscall(SYS_timer_delete, 777), EINVAL);
	ERR(syscall(SYS_timer_getoverrun, 777), EINVAL);
}

TEST(itimer_real)
{
	struct itimerval it = {{0, 10000}, {0, 20000}}, cur, old;
	handle(SIGALRM, on_timer, SA_RESTART);
	OK(setitimer(ITIMER_REAL, &it, NULL));
	OK(getitimer(ITIMER_REAL, &cur));
	CHECK(cur.it_value.tv_usec <= 20000 && cur.it_interval.tv_usec == 10000);
	wait_for(5, 10000);
	it = (struct itimerval){{0, 0}, {0, 0}};
	OK(setitimer(ITIMER_REAL, &it, &old));
	EQ(old.it_interval.tv_usec, 10000);
	int n = fired;
	sleep_ms(30);
	CHECK(fired <= n + 1);
	OK(setitimer(ITIMER_REAL, NULL, &old)); /* a null value disarms */
	it.it_value.tv_usec = 1000000;
	ERR(setitimer(ITIMER_REAL, &it, NULL), EINVAL);
	it.it_value.tv_usec = -1;
	ERR(setitimer(ITIMER_REAL, &it, NULL), EINVAL);
	ERR(setitimer((__itimer_which_t)7, &it, NULL), EINVAL);
	ERR(getitimer((__itimer_which_t)7, &it), EINVAL);
	ERR(setitimer(ITIMER_REAL, BAD, NULL), EFAULT);
	ERR(getitimer(ITIMER_REAL, BAD), EFAULT);
}

TEST(alarm_rules)
{
	handle(SIGALRM, on_timer, 0);
	EQ(alarm(100), 0);
	CHECK(alarm(0) >= 99);
	EQ(alarm(0), 0);
	struct itimerval it = {{0, 0}, {5, 300000}};
	OK(setitimer(ITIMER_REAL, &it, NULL));
	EQ(alarm(1), 5); /* one timer for both; rounded */
	ERR(pause(), EINTR);
	EQ(fired, 1);
	pid_t pid = OK(fork());
	if (pid == 0) {
		signal(SIGALRM, SIG_DFL);
		alarm(1);
		pause();
		_exit(0);
	}
	REAP_SIGNAL(pid, SIGALRM);
}

TEST(cpu_clock_timer)
{
	handle(SIGRTMIN, on_timer, 0);
	timer_t t = create(CLOCK_PROCESS_CPUTIME_ID, SIGRTMIN);
	struct itimerspec it = {{0, 0}, {0, 20 * MS}};
	OK(timer_settime(t, 0, &it, NULL));
	sleep_ms(60);
	EQ(fired, 0); /* sleeping uses no time */
	for (int64_t end = now_ns() + 20000 * MS; !fired && now_ns() < end;)
		;
	EQ(fired, 1);
}

/* What was missed while the signal was blocked is told to the handler that asks. */
static timer_t asked;
static volatile int told;
static void on_overrun(int sig)
{
	(void)sig;
	fired++;
	if (!told)
		told = timer_getoverrun(asked);
}

TEST(overrun_in_handler)
{
	sigset_t s = set_of(SIGRTMIN);
	handle(SIGRTMIN, on_overrun, SA_RESTART);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	asked = create(CLOCK_MONOTONIC, SIGRTMIN);
	struct itimerspec it = {{0, 10 * MS}, {0, 10 * MS}}, off = {0};
	OK(timer_settime(asked, 0, &it, NULL));
	sleep_ms(105);
	OK(sigprocmask(SIG_UNBLOCK, &s, NULL));
	wait_for(1, 5000);
	OK(timer_settime(asked, 0, &off, NULL));
	CHECK(told >= 8);
	CHECK(fired <= 4);
}

TEST(cpu_clock_interval)
{
	handle(SIGRTMIN, on_timer, SA_RESTART);
	timer_t t = create(CLOCK_THREAD_CPUTIME_ID, SIGRTMIN);
	struct itimerspec it = {{0, 10 * MS}, {0, 10 * MS}}, cur;
	struct timespec used;
	OK(timer_settime(t, 0, &it, NULL));
	do {
		OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used));
	} while (used.tv_sec == 0 && used.tv_nsec < 200 * MS);
	CHECK(fired >= 3 && fired <= 20);
	OK(timer_gettime(t, &cur));
	CHECK(cur.it_value.tv_nsec > 0 && cur.it_value.tv_nsec <= 10 * MS);
	EQ(cur.it_interval.tv_nsec, 10 * MS);
	OK(timer_delete(t));
	clockid_t clock;
	EQ(clock_getcpuclockid(0, &clock), 0);
	OK(timer_create(clock, NULL, &t));
	OK(timer_delete(t));
	ERR(syscall(SYS_timer_create, (clockid_t)(~(1u << 22) << 3 | 2), NULL, &t), EINVAL); /* nobody's */
}
