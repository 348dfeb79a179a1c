/* pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2), waitid(2) P_PIDFD, clone(2) CLONE_PIDFD: processes as files. */
#include "check.h"
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#define P_PIDFD_ ((idtype_t)3)

static pid_t sleeper(void)
{
	pid_t pid = OK(fork());
	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

static int opened(pid_t pid, int flags)
{
	return OK(syscall(SYS_pidfd_open, pid, flags));
}

static int sent(int fd, int sig)
{
	return syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0);
}

static int polled(int fd, int ms)
{
	struct pollfd p = {fd, POLLIN, 0};
	OK(poll(&p, 1, ms));
	return p.revents;
}

TEST(end_is_readable)
{
	char c;
	pid_t pid = sleeper();
	int fd = opened(pid, 0), ep = OK(epoll_create1(0));
	struct epoll_event ev = {.events = EPOLLIN};
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ERR(read(fd, &c, 1), EINVAL);
	EQ(polled(fd, 0), 0);
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
	EQ(epoll_wait(ep, &ev, 1, 0), 0);
	pid_t killer = OK(fork());
	if (killer == 0) {
		sleep_ms(30);
		_exit(sent(fd, SIGTERM) ? 1 : 0);
	}
	EQ(epoll_wait(ep, &ev, 1, 20000), 1);
	EQ(polled(fd, 20000), POLLIN); /* a zombie */
	REAP_OK(killer);
	REAP_SIGNAL(pid, SIGTERM);
	CHECK(polled(fd, 0) & POLLIN); /* and stays so */
	ERR(sent(fd, 0), ESRCH);
}

static volatile sig_atomic_t got, got_pid, got_code, got_value;
static void on_info(int sig, siginfo_t *info, void *context)
{
	(void)context;
	got = sig;
	got_pid = info->si_pid;
	got_code = info->si_code;
	got_value = info->si_value.sival_int;
}

TEST(signals)
{
	handle_info(SIGUSR1, on_info, 0);
	int self = opened(getpid(), 0);
	OK(sent(self, 0));
	OK(sent(self, SIGUSR1));
	EQ(got, SIGUSR1);
	EQ(got_pid, getpid());
	EQ(got_code, SI_USER);
	siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
	info.si_value.sival_int = 77;
	OK(syscall(SYS_pidfd_send_signal, self, SIGUSR1, &info, 0));
	EQ(got_code, SI_QUEUE);
	EQ(got_value, 77);
	ERR(syscall(SYS_pidfd_send_signal, self, SIGUSR2, &info, 0), EINVAL);
	ERR(syscall(SYS_pidfd_send_signal, self, SIGUSR1, BAD, 0), EFAULT);
	ERR(sent(self, 65), EINVAL);
	ERR(syscall(SYS_pidfd_send_signal, self, SIGUSR1, NULL, 0x100), EINVAL);
	ERR(sent(0, SIGUSR1), EBADF);
	ERR(sent(999, SIGUSR1), EBADF);
	got = 0;
	IN_CHILD {
		int parent = opened(getppid(), 0);
		siginfo_t kernel = {.si_signo = SIGUSR1, .si_code = SI_USER};
		ERR(syscall(SYS_pidfd_send_signal, parent, SIGUSR1, &kernel, 0), EPERM);
		OK(sent(parent, SIGUSR1));
	}
	EQ(got, SIGUSR1);
	EQ(got_code, SI_USER);
	if (geteuid() == 0) {
		pid_t pid = sleeper();
		int fd = opened(pid, 0);
		IN_CHILD {
			OK(setuid(1000));
			ERR(sent(fd, SIGTERM), EPERM);
			ERR(sent(fd, 0), EPERM);
		}
		OK(sent(fd, SIGKILL));
		REAP_SIGNAL(pid, SIGKILL);
	}
}

TEST(waits)
{
	siginfo_t info = {0};
	pid_t pid = sleeper();
	int fd = opened(pid, 0);
	OK(waitid(P_PIDFD_, fd, &info, WEXITED | WNOHANG));
	EQ(info.si_pid, 0);
	OK(sent(fd, SIGSTOP));
	OK(waitid(P_PIDFD_, fd, &info, WSTOPPED));
	EQ(info.si_status, SIGSTOP);
	OK(sent(fd, SIGKILL));
	OK(waitid(P_PIDFD_, fd, &info, WEXITED | WNOWAIT));
	OK(waitid(P_PIDFD_, OK(dup(fd)), &info, WEXITED));
	EQ(info.si_pid, pid);
	ERR(waitid(P_PIDFD_, fd, &info, WEXITED), ECHILD);
	ERR(waitid(P_PIDFD_, opened(getpid(), 0), &info, WEXITED), ECHILD);
	ERR(waitid(P_PIDFD_, 0, &info, WEXITED), EBADF);
	ERR(waitid(P_PIDFD_, 999, &info, WEXITED), EBADF);
	ERR(waitid(P_PIDFD_, -1, &info, WEXITED), EINVAL);
	pid = sleeper();
	fd = opened(pid, O_NONBLOCK);
	ERR(waitid(P_PIDFD_, fd, &info, WEXITED), EAGAIN);
	OK(fcntl(fd, F_SETFL, 0));
	OK(sent(fd, SIGKILL));
	OK(waitid(P_PIDFD_, fd, &info, WEXITED));
	EQ(info.si_status, SIGKILL);
}

TEST(takes_descriptors)
{
	int p[2], ready[2];
	char c;
	OK(pipe(ready));
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(pipe(p));
		OK(dup2(p[1], 40));
		OK(dup2(p[0], 41));
		EQ(write(ready[1], "r", 1), 1);
		for (;;)
			pause();
	}
	EQ(read(ready[0], &c, 1), 1);
	int fd = opened(pid, 0);
	int w = syscall(SYS_pidfd_getfd, fd, 40, 0);
	if (w == -1 && errno == EPERM)
		SKIP("ptrace is restricted here");
	OK(w);
	int r = OK(syscall(SYS_pidfd_getfd, fd, 41, 0));
	EQ(fcntl(w, F_GETFD), FD_CLOEXEC);
	EQ(write(w, "x", 1), 1);
	EQ(read(r, &c, 1), 1);
	EQ(c, 'x');
	ERR(syscall(SYS_pidfd_getfd, fd, 999, 0), EBADF);
	ERR(syscall(SYS_pidfd_getfd, 0, 0, 0), EBADF);
	ERR(syscall(SYS_pidfd_getfd, fd, 40, 1), EINVAL);
	if (geteuid() == 0)
		IN_CHILD {
			OK(setuid(1000));
			ERR(syscall(SYS_pidfd_getfd, fd, 40, 0), EPERM);
		}
	OK(kill(pid, SIGKILL));
	reap(pid);
	ERR(syscall(SYS_pidfd_getfd, fd, 40, 0), ESRCH);
}

static void *idle(void *tid)
{
	*(volatile pid_t *)tid = syscall(SYS_gettid);
	for (;;)
		pause();
	return NULL;
}

TEST(open_errors)
{
	ERR(syscall(SYS_pidfd_open, 0, 0), EINVAL);
	ERR(syscall(SYS_pidfd_open, -1, 0), EINVAL);
	ERR(syscall(SYS_pidfd_open, getpid(), 0x10), EINVAL);
	ERR(syscall(SYS_pidfd_open, 1 << 22, 0), ESRCH);
	pid_t pid = sleeper();
	OK(kill(pid, SIGKILL));
	sleep_ms(5);
	int fd = opened(pid, 0); /* of a zombie */
	EQ(polled(fd, 10000), POLLIN);
	reap(pid);
	ERR(syscall(SYS_pidfd_open, pid, 0), ESRCH);
	volatile pid_t tid = 0;
	pthread_t th;
	EQ(pthread_create(&th, NULL, idle, (void *)&tid), 0);
	while (!tid)
		sleep_ms(1);
	EQ(syscall(SYS_pidfd_open, tid, 0), -1);
	CHECK(errno == EINVAL || errno == ENOENT); /* a thread that leads no process */
}

/* The number and the end of a child of clone(2). */
static int clone_child(void *arg)
{
	(void)arg;
	_exit(21);
}

TEST(clone_gives_one)
{
	siginfo_t info;
	static char stack[65536] __attribute__((aligned(16)));
	for (int i = 0; i < 20; i++) {
		int fd = -1, before = OK(dup(0));
		OK(close(before));
		pid_t pid = OK(clone(clone_child, stack + sizeof stack, CLONE_PIDFD | (i % 2 ? CLONE_VM | CLONE_VFORK : 0) | SIGCHLD, NULL, &fd));
		EQ(fd, before);
		EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
		OK(waitid(P_PIDFD_, fd, &info, WEXITED));
		EQ(info.si_pid, pid);
		EQ(info.si_status, 21);
		OK(close(fd));
	}
	int fd;
	ERR(clone(clone_child, stack + sizeof stack, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, NULL, &fd), EINVAL);
	ERR(clone(clone_child, stack + sizeof stack, CLONE_PIDFD | SIGCHLD, NULL, BAD), EFAULT);
}

/* An open directory /proc/PID stands for the process too, one of a thread or of something else does not. */
static volatile sig_atomic_t took;
static void take(int sig, siginfo_t *info, void *context)
{
	(void)context;
	took = sig == SIGUSR1 && info->si_pid == getpid() && info->si_code == SI_USER;
}

TEST(signal_by_directory)
{
	char name[64];
	pid_t pid = sleeper();
	snprintf(name, sizeof name, "/proc/%d", pid);
	int fd = OK(open(name, O_RDONLY | O_DIRECTORY)), path = OK(open(name, O_PATH | O_DIRECTORY));
	OK(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
	ERR(syscall(SYS_pidfd_send_signal, fd, 99, NULL, 0), EINVAL);
	ERR(syscall(SYS_pidfd_send_signal, path, 0, NULL, 0), EBADF);
	OK(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
	REAP_SIGNAL(pid, SIGTERM);
	ERR(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
	const char *wrong[] = {"/proc", "/proc/self/fd", "/proc/self/task", "/proc/thread-self", "."};
	for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
		ERR(syscall(SYS_pidfd_send_signal, OK(open(wrong[i], O_RDONLY)), 0, NULL, 0), EBADF);
	fd = OK(open("/proc/self", O_RDONLY | O_DIRECTORY));
	for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
		handle_info(SIGUSR1, take, flags);
		took = 0;
		OK(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0));
		EQ(took, 1); /* before the call returned */
	}
}
