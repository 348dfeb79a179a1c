/* signalfd(2): signals read from a file descriptor. */
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

static sigset_t blocked(int a, int b)
{
	sigset_t s = set_of(a);
	if (b)
		sigaddset(&s, b);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	return s;
}

static int polled(int fd, int ms)
{
	struct pollfd p = {fd, POLLIN, 0};
	OK(poll(&p, 1, ms));
	return p.revents;
}

TEST(reads_pending)
{
	struct signalfd_siginfo si[3];
	sigset_t s = blocked(SIGUSR1, SIGRTMIN);
	int fd = OK(signalfd(-1, &s, SFD_NONBLOCK | SFD_CLOEXEC));
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ERR(read(fd, si, sizeof si), EAGAIN);
	EQ(polled(fd, 0), 0);
	OK(kill(getpid(), SIGUSR1));
	OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 42}));
	EQ(polled(fd, 0), POLLIN);
	EQ(read(fd, si, sizeof si), 2 * (long)sizeof *si);
	EQ(si[0].ssi_signo, SIGUSR1);
	EQ(si[0].ssi_code, SI_USER);
	EQ(si[0].ssi_pid, getpid());
	EQ(si[0].ssi_uid, getuid());
	EQ(si[1].ssi_signo, SIGRTMIN);
	EQ(si[1].ssi_code, SI_QUEUE);
	EQ(si[1].ssi_int, 42);
	EQ(polled(fd, 0), 0);
}

TEST(blocking_read)
{
	struct signalfd_siginfo si;
	sigset_t s = blocked(SIGUSR1, 0);
	int fd = OK(signalfd(-1, &s, 0));
	pid_t self = getpid(), pid = OK(fork());
	if (pid == 0) {
		sleep_ms(30);
		OK(kill(self, SIGUSR1));
		_exit(0);
	}
	EQ(read(fd, &si, sizeof si), sizeof si);
	EQ(si.ssi_signo, SIGUSR1);
	EQ(si.ssi_pid, pid);
	REAP_OK(pid);
}

TEST(child_by_signalfd_and_poll)
{
	struct signalfd_siginfo si;
	sigset_t s = blocked(SIGCHLD, 0);
	int fd = OK(signalfd(-1, &s, SFD_NONBLOCK));
	pid_t pid = OK(fork());
	if (pid == 0) {
		sleep_ms(30);
		_exit(9);
	}
	EQ(polled(fd, 20000), POLLIN);
	EQ(read(fd, &si, sizeof si), sizeof si);
	EQ(si.ssi_signo, SIGCHLD);
	EQ(si.ssi_code, CLD_EXITED);
	EQ(si.ssi_pid, pid);
	EQ(si.ssi_status, 9);
	REAP_EXIT(pid, 9);
}

TEST(epoll_wakes)
{
	struct signalfd_siginfo si;
	sigset_t s = blocked(SIGUSR1, 0);
	int fd = OK(signalfd(-1, &s, SFD_NONBLOCK)), ep = OK(epoll_create1(0));
	struct epoll_event ev = {.events = EPOLLIN};
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
	EQ(epoll_wait(ep, &ev, 1, 0), 0);
	pid_t self = getpid(), pid = OK(fork());
	if (pid == 0) {
		sleep_ms(30);
		OK(kill(self, SIGUSR1));
		_exit(0);
	}
	EQ(epoll_wait(ep, &ev, 1, 20000), 1);
	EQ(read(fd, &si, sizeof si), sizeof si);
	REAP_OK(pid);
}

TEST(change_mask)
{
	struct signalfd_siginfo si;
	sigset_t s = blocked(SIGUSR1, SIGUSR2), other = set_of(SIGUSR2);
	int fd = OK(signalfd(-1, &s, SFD_NONBLOCK));
	EQ(signalfd(fd, &other, 0), fd);
	OK(raise(SIGUSR1));
	ERR(read(fd, &si, sizeof si), EAGAIN);
	OK(raise(SIGUSR2));
	EQ(read(fd, &si, sizeof si), sizeof si);
	EQ(si.ssi_signo, SIGUSR2);
	EQ(signalfd(fd, &s, 0), fd);
	EQ(read(fd, &si, sizeof si), sizeof si);
	EQ(si.ssi_signo, SIGUSR1);
}

TEST(errors)
{
	struct signalfd_siginfo si;
	sigset_t s = blocked(SIGUSR1, 0);
	int fd = OK(signalfd(-1, &s, SFD_NONBLOCK)), f = OK(open("f", O_RDWR | O_CREAT, 0600));
	ERR(signalfd(-1, &s, 0x100), EINVAL);
	ERR(signalfd(999, &s, 0), EBADF);
	ERR(signalfd(f, &s, 0), EINVAL);
	ERR(syscall(SYS_signalfd4, -1, &s, 4, 0), EINVAL);
	ERR(syscall(SYS_signalfd4, -1, BAD, 8, 0), EFAULT);
	ERR(read(fd, &si, sizeof si - 1), EINVAL);
	ERR(write(fd, &si, sizeof si), EINVAL);
}

/* Any number of the file will do, any kind of read, and each reader finds its own signals. */
TEST(other_numbers)
{
	struct signalfd_siginfo si[2];
	sigset_t s = blocked(SIGUSR1, SIGUSR2);
	int fd = OK(signalfd(-1, &s, 0)), other = OK(dup(fd)), pair[2];
	OK(raise(SIGUSR1));
	EQ(read(other, si, sizeof si), sizeof *si);
	EQ(si[0].ssi_signo, SIGUSR1);
	OK(fcntl(other, F_SETFL, O_NONBLOCK));
	ERR(read(fd, si, sizeof si), EAGAIN);
	OK(raise(SIGUSR2));
	IN_CHILD {
		EQ(polled(fd, 0), 0); /* pending in the parent only */
		ERR(read(fd, si, sizeof si), EAGAIN);
		OK(raise(SIGUSR1));
		EQ(polled(fd, 0), POLLIN);
		EQ(read(fd, si, sizeof si), sizeof *si);
		EQ(si[0].ssi_signo, SIGUSR1);
		EQ(si[0].ssi_pid, getpid());
	}
	struct iovec iov[2] = {{&si[0], sizeof *si}, {&si[1], sizeof *si}};
	EQ(readv(fd, iov, 2), sizeof *si);
	EQ(si[0].ssi_signo, SIGUSR2);
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.head = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
	struct iovec one = {"x", 1};
	struct msghdr msg = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	EQ(sendmsg(pair[0], &msg, 0), 1);
	OK(close(fd));
	OK(close(other));
	char byte;
	one.iov_base = &byte;
	EQ(recvmsg(pair[1], &msg, 0), 1);
	memcpy(&fd, CMSG_DATA(&control.head), sizeof fd);
	ERR(read(fd, si, sizeof si), EAGAIN);
	OK(raise(SIGUSR2));
	EQ(read(fd, si, sizeof si), sizeof *si);
}

TEST(after_exec)
{
	sigset_t s = blocked(SIGUSR1, 0);
	int fd = OK(signalfd(-1, &s, 0));
	OK(dup2(fd, 9));
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(raise(SIGUSR1)); /* stays pending through the exec */
		execl("/bin/sh", "sh", "-c", "exec head -c 128 <&9 >read", NULL);
		_exit(126);
	}
	REAP_OK(pid);
	struct stat st;
	OK(stat("read", &st));
	EQ(st.st_size, 128);
}

static void on_other(int sig)
{
	(void)sig;
}

TEST(read_is_interrupted)
{
	struct signalfd_siginfo si;
	sigset_t s = blocked(SIGUSR1, 0);
	int fd = OK(signalfd(-1, &s, 0));
	handle(SIGALRM, on_other, 0);
	alarm(1);
	ERR(read(fd, &si, sizeof si), EINTR);
	OK(raise(SIGUSR1));
	EQ(read(fd, &si, sizeof si), sizeof si);
}
