/* Tracees, and their stops (ptrace(2)), for the programs that test it. */
#pragma once
#include "check.h"
#include <elf.h>
#include <poll.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#define STOPPED(sig) ((sig) << 8 | 0x7f)
#define EVENT(event) ((event) << 16 | STOPPED(SIGTRAP))

static volatile sig_atomic_t caught;
static volatile long shared_word = 0x1122334455667788;

static void on_signal(int sig)
{
	caught = sig;
}

static long trace(long request, pid_t pid, long addr, long data)
{
	return syscall(SYS_ptrace, request, pid, addr, data); /* without the library's own meaning of PEEK */
}

static int next_stop(pid_t pid)
{
	int status;
	EQ(OK(waitpid(pid, &status, __WALL)), pid);
	return status;
}

static struct user_regs_struct regs_of(pid_t pid)
{
	struct user_regs_struct regs;
	OK(trace(PTRACE_GETREGS, pid, 0, (long)&regs));
	return regs;
}

static void attach(pid_t pid)
{
	OK(trace(PTRACE_ATTACH, pid, 0, 0));
	EQ(next_stop(pid), STOPPED(SIGSTOP));
}

static void detach(pid_t pid)
{
	OK(trace(PTRACE_DETACH, pid, 0, 0));
}

/* A child that asked to be traced and stands at its own SIGSTOP; then it runs `then`. */
static pid_t traced_child(void (*then)(void))
{
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(trace(PTRACE_TRACEME, 0, 0, 0));
		raise(SIGSTOP);
		then();
		_exit(99);
	}
	EQ(next_stop(pid), STOPPED(SIGSTOP));
	return pid;
}

static pid_t idle_child(void)
{
	pid_t pid = OK(fork());
	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

static void until_sleeping(pid_t pid)
{
	while (state_of(pid) != 'S')
		sleep_ms(1);
}

static void finish(pid_t pid)
{
	OK(kill(pid, SIGKILL));
	REAP_SIGNAL(pid, SIGKILL);
}
