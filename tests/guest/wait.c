/* wait(2), waitid(2), wait4(2): states, options, errors, stop and continue. */
#include "check.h"
#include <sys/prctl.h>
#include <sys/resource.h>

static pid_t idle_child(void)
{
	pid_t pid = OK(fork());
	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

static void finish(pid_t pid)
{
	OK(kill(pid, SIGKILL));
	REAP_SIGNAL(pid, SIGKILL);
}

TEST(exit_status)
{
	for (int code = 0; code < 256; code += 51) {
		pid_t pid = OK(fork());
		if (pid == 0)
			_exit(code);
		REAP_EXIT(pid, code);
	}
	pid_t pid = OK(fork());
	if (pid == 0)
		_exit(0x1234);
	REAP_EXIT(pid, 0x34);
}

TEST(signal_status)
{
	const int sigs[] = {SIGTERM, SIGKILL, SIGHUP, SIGALRM, SIGUSR1, SIGPIPE, SIGRTMIN, SIGSEGV, SIGQUIT};
	for (unsigned i = 0; i < sizeof sigs / sizeof *sigs; i++) {
		pid_t pid = idle_child();
		OK(kill(pid, sigs[i]));
		REAP_SIGNAL(pid, sigs[i]);
	}
}

TEST(errors)
{
	int status;
	siginfo_t info;
	ERR(waitpid(-1, &status, 0), ECHILD);
	ERR(waitpid(getpid(), &status, 0), ECHILD);
	ERR(waitpid(1 << 22, &status, WNOHANG), ECHILD);
	ERR(wait4(-1, &status, 0x100, NULL), EINVAL);
	ERR(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
	ERR(waitid(P_ALL, 0, &info, 0), EINVAL);
	ERR(waitid((idtype_t)9, 0, &info, WEXITED), EINVAL);
	ERR(waitid(P_PID, 0, &info, WEXITED), EINVAL);
	ERR(syscall(SYS_wait4, INT_MIN, &status, 0, NULL), ESRCH);
	pid_t pid = idle_child();
	EQ(waitpid(pid, &status, WNOHANG), 0);
	memset(&info, 1, sizeof info);
	EQ(waitid(P_PID, pid, &info, WEXITED | WNOHANG), 0);
	EQ(info.si_pid, 0);
	EQ(info.si_signo, 0);
	OK(kill(pid, SIGKILL));
	EQ(syscall(SYS_waitid, P_PID, pid, NULL, WEXITED | WNOWAIT, NULL), 0);
	ERR(syscall(SYS_wait4, pid, BAD, 0, NULL), EFAULT); /* the child is gone all the same */
	ERR(waitpid(pid, &status, 0), ECHILD);
}

TEST(stop_and_continue)
{
	int status;
	static const int stops[] = {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
	for (int i = 0; i < 4; i++) {
		pid_t pid = idle_child();
		OK(kill(pid, stops[i]));
		EQ(waitpid(pid, &status, WUNTRACED), pid);
		CHECK(WIFSTOPPED(status));
		EQ(WSTOPSIG(status), stops[i]);
		EQ(state_of(pid), 'T');
		EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0); /* told once */
		EQ(waitpid(pid, &status, WCONTINUED | WNOHANG), 0);
		OK(kill(pid, SIGCONT));
		EQ(waitpid(pid, &status, WCONTINUED), pid);
		CHECK(WIFCONTINUED(status));
		EQ(status, 0xffff);
		EQ(waitpid(pid, &status, WCONTINUED | WUNTRACED | WNOHANG), 0);
		finish(pid);
	}
}

TEST(stop_while_in_a_call)
{
	int p[2], q[2], status;
	char c;
	OK(pipe(p));
	OK(pipe(q));
	pid_t pid = OK(fork());
	if (pid == 0) {
		for (;;) {
			EQ(read(p[0], &c, 1), 1);
			EQ(write(q[1], &c, 1), 1);
		}
	}
	for (int i = 0; i < 20; i++) {
		OK(kill(pid, SIGSTOP));
		EQ(waitpid(pid, &status, WUNTRACED), pid);
		EQ(write(p[1], "z", 1), 1);
		OK(fcntl(q[0], F_SETFL, O_NONBLOCK));
		sleep_ms(2);
		ERR(read(q[0], &c, 1), EAGAIN); /* a stopped task does nothing */
		OK(fcntl(q[0], F_SETFL, 0));
		OK(kill(pid, SIGCONT));
		EQ(waitpid(pid, &status, WCONTINUED), pid);
		EQ(read(q[0], &c, 1), 1);
	}
	finish(pid);
}

TEST(killed_while_stopped)
{
	int status;
	pid_t pid = idle_child();
	OK(kill(pid, SIGSTOP));
	EQ(waitpid(pid, &status, WUNTRACED), pid);
	OK(kill(pid, SIGTERM)); /* waits for the SIGCONT */
	sleep_ms(10);
	EQ(state_of(pid), 'T');
	EQ(waitpid(pid, &status, WNOHANG), 0);
	OK(kill(pid, SIGCONT));
	REAP_SIGNAL(pid, SIGTERM);
	pid = idle_child();
	OK(kill(pid, SIGSTOP));
	EQ(waitpid(pid, &status, WUNTRACED), pid);
	finish(pid); /* SIGKILL does not wait */
}

TEST(waitid_fields)
{
	siginfo_t info = {0};
	pid_t pid = idle_child();
	OK(kill(pid, SIGSTOP));
	OK(waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT));
	OK(waitid(P_PID, pid, &info, WSTOPPED));
	EQ(info.si_signo, SIGCHLD);
	EQ(info.si_code, CLD_STOPPED);
	EQ(info.si_status, SIGSTOP);
	EQ(info.si_pid, pid);
	EQ(info.si_uid, getuid());
	OK(kill(pid, SIGCONT));
	OK(waitid(P_PID, pid, &info, WCONTINUED));
	EQ(info.si_code, CLD_CONTINUED);
	EQ(info.si_status, SIGCONT);
	OK(kill(pid, SIGTERM));
	OK(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT));
	EQ(info.si_code, CLD_KILLED);
	EQ(info.si_status, SIGTERM);
	struct rusage ru;
	OK(syscall(SYS_waitid, P_PID, pid, &info, WEXITED, &ru));
	EQ(info.si_pid, pid);
	pid = OK(fork());
	if (pid == 0)
		_exit(9);
	OK(waitid(P_PGID, getpgrp(), &info, WEXITED));
	EQ(info.si_code, CLD_EXITED);
	EQ(info.si_status, 9);
	ERR(waitid(P_PGID, getpgrp(), &info, WEXITED), ECHILD);
}

TEST(wait_by_group)
{
	int status;
	pid_t a = OK(fork());
	if (a == 0) {
		OK(setpgid(0, 0));
		for (;;)
			pause();
	}
	OK(setpgid(a, a));
	pid_t b = OK(fork());
	if (b == 0)
		_exit(1);
	EQ(waitpid(0, &status, 0), b);
	EQ(waitpid(-a, &status, WNOHANG), 0);
	ERR(waitpid(0, &status, WNOHANG), ECHILD);
	OK(kill(-a, SIGTERM));
	EQ(waitpid(-a, &status, 0), a);
	EQ(WTERMSIG(status), SIGTERM);
}

TEST(sigchld_ignored_reaps)
{
	signal(SIGCHLD, SIG_IGN);
	pid_t pid = OK(fork());
	if (pid == 0) {
		sleep_ms(20);
		_exit(0);
	}
	ERR(waitpid(pid, NULL, 0), ECHILD); /* waits for its end first */
	ERR(kill(pid, 0), ESRCH);
	struct sigaction sa = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
	OK(sigaction(SIGCHLD, &sa, NULL));
	pid = OK(fork());
	if (pid == 0)
		_exit(0);
	ERR(waitpid(-1, NULL, 0), ECHILD);
}

TEST(rusage_of_child)
{
	struct rusage ru;
	int status;
	pid_t pid = OK(fork());
	if (pid == 0) {
		for (volatile long i = 0; i < 30000000; i++)
			;
		_exit(0);
	}
	EQ(wait4(pid, &status, 0, &ru), pid);
	CHECK(ru.ru_utime.tv_sec * 1000000 + ru.ru_utime.tv_usec > 1000);
	CHECK(ru.ru_maxrss > 0);
}

/* Orphans go to pid 1 or to a subreaper; a thread may reap what another forked. */

TEST(subreaper)
{
	OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
	int p[2];
	pid_t orphan;
	OK(pipe(p));
	pid_t pid = OK(fork());
	if (pid == 0) {
		pid_t grand = OK(fork());
		if (grand == 0) {
			while (getppid() != 0 && state_of(getppid()) == 0)
				;
			sleep_ms(30);
			_exit(getppid() == 0 ? 1 : 55);
		}
		EQ(write(p[1], &grand, sizeof grand), sizeof grand);
		_exit(0);
	}
	REAP_OK(pid);
	EQ(read(p[0], &orphan, sizeof orphan), sizeof orphan);
	REAP_EXIT(orphan, 55);
}

static void *reaper(void *arg)
{
	int status;
	EQ(waitpid(*(pid_t *)arg, &status, 0), *(pid_t *)arg);
	EQ(status, 4 << 8);
	ERR(waitpid(-1, &status, __WNOTHREAD), ECHILD);
	return NULL;
}

TEST(thread_reaps)
{
	pthread_t th;
	pid_t pid = OK(fork());
	if (pid == 0) {
		sleep_ms(20);
		_exit(4);
	}
	EQ(pthread_create(&th, NULL, reaper, &pid), 0);
	EQ(pthread_join(th, NULL), 0);
}

/* End of file on a pipe is never seen before the child that held it can be reaped, nor the other way round. */
TEST(exit_closes_files_first)
{
	for (int i = 0; i < 200; i++) {
		int p[2], status;
		char c;
		OK(pipe(p));
		pid_t pid = OK(fork());
		if (pid == 0)
			_exit(0);
		OK(close(p[1]));
		EQ(waitpid(pid, &status, 0), pid);
		OK(fcntl(p[0], F_SETFL, O_NONBLOCK));
		EQ(read(p[0], &c, 1), 0); /* not EAGAIN: the writer's files are closed by now */
		OK(close(p[0]));
	}
}

TEST(pidfd_wait)
{
	siginfo_t info;
	pid_t pid = idle_child();
	int fd = syscall(SYS_pidfd_open, pid, 0);
	if (fd == -1 && errno == ENOSYS)
		SKIP("no pidfd_open");
	OK(fd);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	OK(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
	OK(waitid((idtype_t)3 /* P_PIDFD */, fd, &info, WEXITED));
	EQ(info.si_pid, pid);
	EQ(info.si_status, SIGTERM);
	ERR(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
	ERR(syscall(SYS_pidfd_open, 0, 0), EINVAL);
	ERR(syscall(SYS_pidfd_open, pid, 0), ESRCH);
}
