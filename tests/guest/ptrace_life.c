/* ptrace(2): exec, fork and exit of tracees, waiting for them, the end of a tracer. */
#include "ptrace.h"

/* As a leak detector does it: a helper that shares memory stops the threads of its own maker. */
static int helper_attaches(void *arg)
{
	pid_t parent = *(pid_t *)arg;
	int status;
	if (trace(PTRACE_ATTACH, parent, 0, 0))
		return 21;
	if (waitpid(parent, &status, __WALL) != parent || status != STOPPED(SIGSTOP))
		return 22;
	struct user_regs_struct regs;
	if (trace(PTRACE_GETREGS, parent, 0, (long)&regs))
		return 23;
	return trace(PTRACE_DETACH, parent, 0, 0) ? 24 : 25;
}

TEST(helper_stops_its_maker)
{
	static char stack[65536] __attribute__((aligned(16)));
	pid_t self = getpid();
	int status;
	for (int i = 0; i < 10; i++) {
		pid_t pid = OK(clone(helper_attaches, stack + sizeof stack, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_UNTRACED, &self));
		EQ(OK(waitpid(pid, &status, __WALL)), pid);
		EQ(status, 25 << 8);
	}
}

static void exec_true(void)
{
	execl("/bin/true", "true", "one", (char *)NULL);
	_exit(98);
}

TEST(exec_traps)
{
	pid_t pid = traced_child(exec_true);
	long argc = 0, code = 0;
	OK(trace(PTRACE_CONT, pid, 0, 0));
	EQ(next_stop(pid), STOPPED(SIGTRAP));
	struct user_regs_struct regs = regs_of(pid);
	EQ(regs.rax, 0);
	OK(trace(PTRACE_PEEKDATA, pid, regs.rsp, (long)&argc));
	EQ(argc, 2);
	OK(trace(PTRACE_PEEKTEXT, pid, regs.rip, (long)&code));
	OK(trace(PTRACE_CONT, pid, 0, 0));
	REAP_OK(pid);
}

TEST(exec_event)
{
	pid_t pid = traced_child(exec_true);
	unsigned long message = 0;
	OK(trace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXEC));
	OK(trace(PTRACE_CONT, pid, 0, 0));
	EQ(next_stop(pid), EVENT(PTRACE_EVENT_EXEC));
	OK(trace(PTRACE_GETEVENTMSG, pid, 0, (long)&message));
	EQ(message, pid);
	OK(trace(PTRACE_CONT, pid, 0, 0));
	REAP_OK(pid);
}

TEST(exec_while_the_parent_waits)
{
	pid_t pid = OK(fork()); /* the parent waits before the child is traced */
	if (pid == 0) {
		sleep_ms(30);
		OK(trace(PTRACE_TRACEME, 0, 0, 0));
		exec_true();
	}
	EQ(next_stop(pid), STOPPED(SIGTRAP));
	detach(pid);
	REAP_OK(pid);
}

TEST(exec_of_a_seized_one_is_silent)
{
	int p[2];
	OK(pipe(p));
	pid_t pid = OK(fork());
	if (pid == 0) {
		char c;
		EQ(read(p[0], &c, 1), 1);
		exec_true();
	}
	OK(trace(PTRACE_SEIZE, pid, 0, 0));
	EQ(write(p[1], "x", 1), 1);
	REAP_OK(pid);
}

static void *exec_in_thread(void *arg)
{
	(void)arg;
	exec_true();
	return NULL;
}

static void thread_execs(void)
{
	pthread_t thread;
	EQ(pthread_create(&thread, NULL, exec_in_thread, NULL), 0);
	for (;;)
		pause();
}

TEST(exec_from_a_thread)
{
	pid_t pid = traced_child(thread_execs);
	unsigned long message = 0;
	OK(trace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE));
	OK(trace(PTRACE_CONT, pid, 0, 0));
	EQ(next_stop(pid), EVENT(PTRACE_EVENT_CLONE));
	OK(trace(PTRACE_GETEVENTMSG, pid, 0, (long)&message));
	pid_t tid = message;
	EQ(next_stop(tid), STOPPED(SIGSTOP));
	OK(trace(PTRACE_CONT, pid, 0, 0));
	OK(trace(PTRACE_CONT, tid, 0, 0));
	EQ(next_stop(pid), EVENT(PTRACE_EVENT_EXEC)); /* with the leader's number */
	OK(trace(PTRACE_GETEVENTMSG, pid, 0, (long)&message));
	EQ(message, tid);
	OK(trace(PTRACE_CONT, pid, 0, 0));
	REAP_OK(pid);
}

static void fork_once(void)
{
	pid_t pid = OK(fork());
	if (pid == 0)
		_exit(31);
	REAP_EXIT(pid, 31);
	_exit(32);
}

TEST(fork_event)
{
	pid_t pid = traced_child(fork_once);
	unsigned long message = 0;
	int status;
	OK(trace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE));
	OK(trace(PTRACE_CONT, pid, 0, 0));
	EQ(next_stop(pid) >> 16, PTRACE_EVENT_FORK);
	OK(trace(PTRACE_GETEVENTMSG, pid, 0, (long)&message));
	pid_t child = message;
	CHECK(child > 0 && child != pid);
	EQ(next_stop(child), STOPPED(SIGSTOP));
	OK(trace(PTRACE_CONT, pid, 0, 0));
	OK(trace(PTRACE_CONT, child, 0, 0));
	EQ(next_stop(child), 31 << 8); /* the tracer sees the end of one that is no child of its own */
	do {
		EQ(OK(waitpid(-1, &status, __WALL)), pid);
		if (WIFSTOPPED(status)) {
			EQ(status, STOPPED(SIGCHLD));
			OK(trace(PTRACE_CONT, pid, 0, SIGCHLD));
		}
	} while (WIFSTOPPED(status));
	EQ(status, 32 << 8);
	ERR(waitpid(-1, &status, __WALL), ECHILD);
}

static void end_well(void)
{
	_exit(12);
}

TEST(exit_event)
{
	pid_t pid = traced_child(end_well);
	unsigned long message = 0;
	OK(trace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXIT));
	OK(trace(PTRACE_CONT, pid, 0, 0));
	EQ(next_stop(pid), EVENT(PTRACE_EVENT_EXIT));
	OK(trace(PTRACE_GETEVENTMSG, pid, 0, (long)&message));
	EQ(message, 12 << 8);
	OK(trace(PTRACE_CONT, pid, 0, 0));
	REAP_EXIT(pid, 12);
}

TEST(seize_and_interrupt)
{
	int p[2], status;
	char c;
	OK(pipe(p));
	pid_t pid = OK(fork());
	if (pid == 0) {
		EQ(read(p[0], &c, 1), 1);
		_exit(c);
	}
	until_sleeping(pid);
	OK(trace(PTRACE_SEIZE, pid, 0, 0));
	EQ(waitpid(pid, &status, WNOHANG | __WALL), 0);
	for (int i = 0; i < 3; i++) {
		OK(trace(PTRACE_INTERRUPT, pid, 0, 0));
		EQ(next_stop(pid), EVENT(PTRACE_EVENT_STOP));
		OK(trace(PTRACE_CONT, pid, 0, 0));
	}
	EQ(write(p[1], "\4", 1), 1);
	REAP_EXIT(pid, 4);
}

TEST(signal_to_a_sleeping_tracee)
{
	pid_t pid = OK(fork());
	if (pid == 0) {
		handle(SIGUSR1, on_signal, 0);
		struct timespec ts = {10, 0};
		int r = nanosleep(&ts, NULL);
		_exit(r == -1 && errno == EINTR && caught == SIGUSR1 ? 13 : 14);
	}
	until_sleeping(pid);
	OK(trace(PTRACE_SEIZE, pid, 0, 0));
	OK(kill(pid, SIGUSR1));
	EQ(next_stop(pid), STOPPED(SIGUSR1));
	OK(trace(PTRACE_CONT, pid, 0, SIGUSR1));
	REAP_EXIT(pid, 13);
}

TEST(detach_with_signal)
{
	pid_t pid = idle_child();
	OK(trace(PTRACE_SEIZE, pid, 0, 0));
	OK(kill(pid, SIGUSR1));
	EQ(next_stop(pid), STOPPED(SIGUSR1));
	OK(trace(PTRACE_DETACH, pid, 0, SIGTERM));
	REAP_SIGNAL(pid, SIGTERM);
}

TEST(group_stop)
{
	pid_t pid = idle_child();
	siginfo_t info;
	attach(pid);
	OK(trace(PTRACE_CONT, pid, 0, SIGSTOP));
	EQ(next_stop(pid), STOPPED(SIGSTOP));
	ERR(trace(PTRACE_GETSIGINFO, pid, 0, (long)&info), EINVAL);
	OK(trace(PTRACE_CONT, pid, 0, 0));
	OK(kill(pid, SIGCONT));
	EQ(next_stop(pid), STOPPED(SIGCONT));
	OK(trace(PTRACE_CONT, pid, 0, SIGCONT));
	finish(pid);
}

TEST(waiting)
{
	pid_t pid = idle_child();
	siginfo_t info;
	int status;
	OK(trace(PTRACE_SEIZE, pid, 0, 0));
	EQ(waitpid(pid, &status, WNOHANG), 0);
	OK(trace(PTRACE_INTERRUPT, pid, 0, 0));
	for (int i = 0; i < 2; i++) { /* twice, as it is not taken */
		memset(&info, 0, sizeof info);
		OK(waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT));
		EQ(info.si_signo, SIGCHLD);
		EQ(info.si_code, CLD_TRAPPED);
		EQ(info.si_pid, pid);
		EQ(info.si_status, SIGTRAP | PTRACE_EVENT_STOP << 8);
	}
	EQ(waitpid(-1, &status, WNOHANG), pid); /* seen without WUNTRACED */
	EQ(status, EVENT(PTRACE_EVENT_STOP));
	EQ(waitpid(-1, &status, WNOHANG), 0); /* once only */
	finish(pid);
}

TEST(wait_for_another_child)
{
	pid_t pid = idle_child();
	attach(pid);
	pid_t other = OK(fork());
	if (other == 0) {
		sleep_ms(30);
		_exit(15);
	}
	int status;
	EQ(OK(waitpid(-1, &status, 0)), other);
	EQ(status, 15 << 8);
	detach(pid);
	finish(pid);
}

TEST(wait_is_not_interrupted_by_its_own_stop)
{
	handle(SIGCHLD, on_signal, 0); /* without SA_RESTART */
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(trace(PTRACE_TRACEME, 0, 0, 0));
		for (int i = 0; i < 50; i++)
			raise(SIGUSR1);
		_exit(16);
	}
	for (int i = 0; i < 50; i++) {
		EQ(next_stop(pid), STOPPED(SIGUSR1));
		OK(trace(PTRACE_CONT, pid, 0, 0));
	}
	EQ(next_stop(pid), 16 << 8);
	EQ(caught, SIGCHLD);
}

TEST(stranger)
{
	int p[2];
	char c;
	OK(pipe(p));
	pid_t target = OK(fork());
	if (target == 0) {
		EQ(read(p[0], &c, 1), 1);
		_exit(17);
	}
	IN_CHILD {
		attach(target);
		OK(trace(PTRACE_CONT, target, 0, 0));
		EQ(waitpid(target, NULL, WNOHANG | __WALL), 0);
		EQ(write(p[1], "x", 1), 1);
		EQ(next_stop(target), 17 << 8);
		ERR(waitpid(target, NULL, __WALL), ECHILD);
	}
	REAP_EXIT(target, 17);
}

TEST(tracer_ends)
{
	int p[2];
	char c;
	OK(pipe(p));
	pid_t target = OK(fork());
	if (target == 0) {
		EQ(read(p[0], &c, 1), 1);
		_exit(18);
	}
	IN_CHILD {
		OK(trace(PTRACE_SEIZE, target, 0, 0));
		OK(trace(PTRACE_INTERRUPT, target, 0, 0));
		EQ(next_stop(target), EVENT(PTRACE_EVENT_STOP));
	}
	EQ(write(p[1], "x", 1), 1);
	REAP_EXIT(target, 18);
	target = idle_child();
	IN_CHILD {
		OK(trace(PTRACE_SEIZE, target, 0, PTRACE_O_EXITKILL));
	}
	REAP_SIGNAL(target, SIGKILL);
}
