/* The short ptrace(2) sequences, and pidfds and signals for tasks. Nothing here blocks. Holds no policy. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

int eng_seize(int tid, unsigned options)
{
	return ptrace(PTRACE_SEIZE, tid, 0, options) ? -errno : 0;
}

int eng_set_options(int tid, unsigned options)
{
	return ptrace(PTRACE_SETOPTIONS, tid, 0, options) ? -errno : 0;
}

int eng_interrupt(int tid)
{
	return ptrace(PTRACE_INTERRUPT, tid, 0, 0) ? -errno : 0;
}

int eng_detach(int tid, int signo)
{
	return ptrace(PTRACE_DETACH, tid, 0, signo) ? -errno : 0;
}

int eng_cont(int tid, int signo)
{
	return ptrace(PTRACE_CONT, tid, 0, signo) ? -errno : 0;
}

/* Go on to the beginning or the end of a system call. */
int eng_cont_syscall(int tid, int signo)
{
	return ptrace(PTRACE_SYSCALL, tid, 0, signo) ? -errno : 0;
}

/* 27 words in the order of struct user_regs_struct. */
int eng_get_regs(int tid, uint64_t *regs)
{
	return ptrace(PTRACE_GETREGS, tid, 0, regs) ? -errno : 0;
}

int eng_set_regs(int tid, uint64_t *regs)
{
	return ptrace(PTRACE_SETREGS, tid, 0, regs) ? -errno : 0;
}

int64_t eng_event_message(int tid)
{
	unsigned long value = 0;

	return ptrace(PTRACE_GETEVENTMSG, tid, 0, &value) ? -errno : (int64_t)value;
}

int eng_get_siginfo(int tid, void *info)
{
	return ptrace(PTRACE_GETSIGINFO, tid, 0, info) ? -errno : 0;
}

int eng_set_siginfo(int tid, void *info)
{
	return ptrace(PTRACE_SETSIGINFO, tid, 0, info) ? -errno : 0;
}

/* One event of a child or tracee without waiting: its number (0 none, -errno), *status as of waitpid(2). */
int eng_wait_event(int *status)
{
	int tid = waitpid(-1, status, WNOHANG | __WALL);

	return tid < 0 ? -errno : tid;
}

int eng_pidfd_open(int pid, unsigned flags)
{
	int fd = syscall(SYS_pidfd_open, pid, flags);

	return fd < 0 ? -errno : fd;
}

int eng_pidfd_getfd(int pidfd, int fd)
{
	int got = syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	return got < 0 ? -errno : got;
}

int eng_kill(int pid, int signo)
{
	return kill(pid, signo) ? -errno : 0;
}

int eng_tgkill(int tgid, int tid, int signo)
{
	return syscall(SYS_tgkill, tgid, tid, signo) ? -errno : 0;
}

/* rt_tgsigqueueinfo(2), or rt_sigqueueinfo(2) when tid is 0; info is a siginfo_t of 128 bytes. */
int eng_queue_signal(int tgid, int tid, int signo, void *info)
{
	long rc = tid ? syscall(SYS_rt_tgsigqueueinfo, tgid, tid, signo, info)
		      : syscall(SYS_rt_sigqueueinfo, tgid, signo, info);

	return rc ? -errno : 0;
}

/* Block SIGCHLD and give a non-blocking signalfd for it. */
int eng_sigchld_fd(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* A signalfd for `mask` (fd -1), or another mask for the one that `fd` is. */
int eng_signalfd(int fd, uint64_t mask)
{
	int got = syscall(SYS_signalfd4, fd, &mask, 8, SFD_CLOEXEC);

	return got < 0 ? -errno : got;
}
