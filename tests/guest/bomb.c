/* fork(2), getrlimit(2) RLIMIT_NPROC: a fork bomb at a limit ends, and the system stays usable. argv: limit. */
#include "check.h"
#include <sys/prctl.h>
#include <sys/resource.h>

#define NOBODY 54321

static long limit(void)
{
	return size_arg(0, 30);
}

/* Root is exempt from RLIMIT_NPROC, so the bomb is another user. */
static void become_limited(void)
{
	struct rlimit rl = {limit(), limit()};
	OK(setrlimit(RLIMIT_NPROC, &rl));
	OK(setgid(NOBODY));
	OK(setuid(NOBODY));
	OK(prctl(PR_SET_PDEATHSIG, SIGKILL));
}

TEST(fork_says_eagain)
{
	NEED_ROOT();
	pid_t pid = OK(fork());
	if (pid == 0) {
		become_limited();
		pid_t kids[1000];
		int n = 0;
		for (; n < 1000; n++) {
			kids[n] = fork();
			if (kids[n] == 0)
				for (;;)
					pause();
			if (kids[n] == -1)
				break;
		}
		EQ(errno, EAGAIN);
		EQ(n, limit() - 1); /* the caller counts */
		ERR(vfork(), EAGAIN);
		for (int i = 0; i < n; i++) {
			OK(kill(kids[i], SIGKILL));
			REAP_SIGNAL(kids[i], SIGKILL);
		}
		pid_t again = OK(fork());
		if (again == 0)
			_exit(0);
		REAP_OK(again);
		_exit(0);
	}
	REAP_OK(pid);
}

TEST(root_has_no_limit)
{
	NEED_ROOT();
	struct rlimit rl = {0, 0};
	OK(setrlimit(RLIMIT_NPROC, &rl));
	IN_CHILD {
		OK(setuid(NOBODY));
		ERR(fork(), EAGAIN);
	}
}

/* Threads count as well. */
static void *idle(void *arg)
{
	for (;;)
		pause();
	return arg;
}

TEST(threads_count)
{
	NEED_ROOT();
	pid_t pid = OK(fork());
	if (pid == 0) {
		pthread_t th;
		int n = 0, r = 0;
		become_limited();
		while (n < 1000 && (r = pthread_create(&th, NULL, idle, NULL)) == 0)
			n++;
		EQ(r, EAGAIN);
		EQ(n, limit() - 1);
		_exit(0);
	}
	REAP_OK(pid);
}

/* Every process forks as fast as it can; meanwhile others must be able to run programs. */
TEST(bomb)
{
	NEED_ROOT();
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(setsid());
		become_limited();
		int64_t end = now_ns() + 2000000000LL;
		while (now_ns() < end)
			if (fork() == -1)
				usleep(1000);
		_exit(0);
	}
	int64_t end = now_ns() + 1500000000LL;
	for (int i = 0; i < 10 || now_ns() < end; i++) {
		pid_t c = OK(fork());
		if (c == 0) {
			execl("/bin/true", "true", NULL);
			_exit(1);
		}
		REAP_OK(c);
	}
	REAP_OK(pid);
	for (int i = 0; i < 200; i++) { /* its children end by themselves, or with their parent */
		if (kill(-pid, SIGKILL) == -1)
			break;
		sleep_ms(50);
	}
	ERR(kill(-pid, 0), ESRCH);
}
