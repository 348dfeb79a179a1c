/* vfork(2), posix_spawn(3), clone(2): children that share memory with a parent that waits. argv: rounds. */
#include "check.h"
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>

extern char **environ;

static long rounds(void)
{
	return size_arg(0, 50);
}

TEST(memory_is_shared)
{
	for (long i = 0; i < rounds(); i++) {
		volatile int value = 1;
		pid_t pid = vfork();
		if (pid == 0) {
			value = 2;
			_exit(5);
		}
		CHECK(pid > 0);
		EQ(value, 2);
		REAP_EXIT(pid, 5);
	}
}

TEST(parent_waits_for_exec)
{
	for (long i = 0; i < rounds() / 5 + 1; i++) {
		volatile int failed = 0;
		int64_t t = now_ns();
		pid_t pid = vfork();
		if (pid == 0) {
			struct timespec ts = {0, 20000000};
			syscall(SYS_nanosleep, &ts, NULL);
			execl("/bin/true", "true", NULL);
			failed = 1;
			_exit(1);
		}
		CHECK(now_ns() - t >= 20000000);
		EQ(failed, 0);
		REAP_OK(pid);
	}
}

TEST(files_are_not_shared)
{
	pid_t pid = vfork();
	if (pid == 0) {
		dup2(0, 77);
		close(1);
		_exit(0);
	}
	REAP_OK(pid);
	ERR(fcntl(77, F_GETFD), EBADF);
	CHECK(fcntl(1, F_GETFD) >= 0);
}

TEST(failed_exec_is_told)
{
	for (long i = 0; i < rounds(); i++) {
		volatile int err = 0;
		pid_t pid = vfork();
		if (pid == 0) {
			execl("/no/such/file", "x", NULL);
			err = errno;
			_exit(127);
		}
		EQ(err, ENOENT);
		REAP_EXIT(pid, 127);
	}
}

TEST(killed_child_frees_parent)
{
	pid_t pid = vfork();
	if (pid == 0) {
		syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
		_exit(0);
	}
	REAP_SIGNAL(pid, SIGKILL);
}

TEST(spawn)
{
	char *argv[] = {"sh", "-c", "exit $((X + 1))", NULL}, *envp[] = {"X=41", NULL};
	for (long i = 0; i < rounds(); i++) {
		pid_t pid;
		EQ(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, envp), 0);
		REAP_EXIT(pid, 42);
	}
}

TEST(spawn_errors)
{
	char *argv[] = {"x", NULL};
	pid_t pid;
	make_file("plain", "no program\n");
	OK(setenv("PATH", "/usr/bin:/bin", 1)); /* a closed directory in it would say EACCES */
	for (long i = 0; i < rounds(); i++) {
		EQ(posix_spawn(&pid, "/no/such", NULL, NULL, argv, environ), ENOENT);
		EQ(posix_spawn(&pid, "./plain", NULL, NULL, argv, environ), EACCES);
		EQ(posix_spawn(&pid, "/", NULL, NULL, argv, environ), EACCES);
		EQ(posix_spawnp(&pid, "no-such-program-here", NULL, NULL, argv, environ), ENOENT);
		ERR(waitpid(-1, NULL, 0), ECHILD);
	}
}

TEST(spawn_actions)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	int p[2];
	char buf[64] = {0};
	char *argv[] = {"sh", "-c", "cat; echo err >&2; exit 3", NULL};
	pid_t pid;
	sigset_t s = set_of(SIGUSR1);
	OK(pipe2(p, O_CLOEXEC));
	make_file("in", "input\n");
	EQ(posix_spawn_file_actions_init(&fa), 0);
	EQ(posix_spawn_file_actions_addopen(&fa, 0, "in", O_RDONLY, 0), 0);
	EQ(posix_spawn_file_actions_adddup2(&fa, p[1], 1), 0);
	EQ(posix_spawn_file_actions_adddup2(&fa, 1, 2), 0);
	EQ(posix_spawnattr_init(&at), 0);
	EQ(posix_spawnattr_setflags(&at, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF), 0);
	EQ(posix_spawnattr_setsigmask(&at, &s), 0);
	EQ(posix_spawnattr_setsigdefault(&at, &s), 0);
	EQ(posix_spawn(&pid, "/bin/sh", &fa, &at, argv, environ), 0);
	EQ(getpgid(pid), pid);
	OK(close(p[1]));
	size_t n = 0;
	for (ssize_t r; (r = read(p[0], buf + n, sizeof buf - 1 - n)) > 0;)
		n += r;
	STR(buf, "input\nerr\n");
	REAP_EXIT(pid, 3);
}

/* Signals are not lost over a vfork: a mask and a handler of the parent stay, the child's exec resets handlers. */
static volatile sig_atomic_t hits;
static void on_signal(int sig)
{
	(void)sig;
	hits++;
}

TEST(spawn_under_signals)
{
	char *argv[] = {"true", NULL};
	handle(SIGUSR1, on_signal, 0);
	pid_t self = getpid(), bomber = OK(fork());
	if (bomber == 0) {
		while (getppid() == self) {
			kill(self, SIGUSR1);
			for (int64_t t = now_ns() + 100000; now_ns() < t;)
				;
		}
		_exit(0);
	}
	for (long i = 0; i < rounds(); i++) {
		pid_t pid;
		EQ(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ), 0);
		REAP_OK(pid);
	}
	OK(kill(bomber, SIGKILL));
	reap(bomber);
	CHECK(hits > 0);
}

static void *spawner(void *arg)
{
	char *argv[] = {"sh", "-c", "exit 6", NULL};
	(void)arg;
	for (long i = 0; i < rounds() / 5 + 1; i++) {
		pid_t pid;
		EQ(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ), 0);
		REAP_EXIT(pid, 6);
		OK(pid = fork());
		if (pid == 0)
			_exit(8);
		REAP_EXIT(pid, 8);
	}
	return NULL;
}

TEST(threads_spawn)
{
	pthread_t th[6];
	for (int i = 0; i < 6; i++)
		EQ(pthread_create(&th[i], NULL, spawner, NULL), 0);
	for (int i = 0; i < 6; i++)
		EQ(pthread_join(th[i], NULL), 0);
	ERR(waitpid(-1, NULL, 0), ECHILD);
}

static int clone_child(void *arg)
{
	close(78);
	*(volatile int *)arg = getpid();
	return 11;
}

TEST(clone_flags)
{
	static char stack[65536] __attribute__((aligned(16)));
	volatile int seen = 0;
	EQ(dup2(0, 78), 78);
	pid_t pid = OK(clone(clone_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)&seen));
	EQ(seen, pid);
	REAP_EXIT(pid, 11);
	CHECK(fcntl(78, F_GETFD) >= 0);
	OK(pid = clone(clone_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, (void *)&seen));
	REAP_EXIT(pid, 11);
	ERR(fcntl(78, F_GETFD), EBADF); /* one table for both */
	OK(pid = clone(clone_child, stack + sizeof stack, SIGUSR2 * 0, (void *)&seen));
	int status;
	ERR(waitpid(pid, &status, 0), ECHILD); /* no exit signal: a "clone" child */
	EQ(waitpid(pid, &status, __WALL), pid);
	EQ(status, 11 << 8);
	ERR(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0), EINVAL);
	ERR(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0), EINVAL);
}

static int clone_chdir(void *arg)
{
	(void)arg;
	if (chdir("/"))
		return 1;
	umask(0123);
	return 0;
}

TEST(clone_fs)
{
	static char stack[65536] __attribute__((aligned(16)));
	char cwd[PATH_MAX], before[PATH_MAX];
	CHECK(getcwd(before, sizeof before));
	pid_t pid = OK(clone(clone_chdir, stack + sizeof stack, SIGCHLD, NULL));
	REAP_OK(pid);
	CHECK(getcwd(cwd, sizeof cwd));
	STR(cwd, before);
	OK(pid = clone(clone_chdir, stack + sizeof stack, CLONE_FS | SIGCHLD, NULL));
	REAP_OK(pid);
	CHECK(getcwd(cwd, sizeof cwd));
	STR(cwd, "/");
	EQ(umask(022), 0123);
}
