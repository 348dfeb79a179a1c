/* ptrace(2): stops, registers, memory, signals, exec, events, waiting for tracees, errors. */
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

static void raise_and_tell(void)
{
	handle(SIGUSR1, on_signal, 0);
	raise(SIGUSR1);
	int first = caught;
	caught = 0;
	raise(SIGUSR1);
	_exit(first == SIGUSR1 && caught == 0 ? 7 : 8);
}

TEST(signals_stop_and_are_chosen)
{
	pid_t pid = traced_child(raise_and_tell);
	OK(trace(PTRACE_CONT, pid, 0, 0));
	EQ(next_stop(pid), STOPPED(SIGUSR1));
	OK(trace(PTRACE_CONT, pid, 0, SIGUSR1)); /* handled */
	EQ(next_stop(pid), STOPPED(SIGUSR1));
	OK(trace(PTRACE_CONT, pid, 0, 0)); /* suppressed */
	REAP_EXIT(pid, 7);
}

static void other_signal(void)
{
	handle(SIGUSR2, on_signal, 0);
	raise(SIGUSR1);
	_exit(caught);
}

TEST(another_signal_in_its_place)
{
	pid_t pid = traced_child(other_signal);
	OK(trace(PTRACE_CONT, pid, 0, 0));
	EQ(next_stop(pid), STOPPED(SIGUSR1));
	OK(trace(PTRACE_CONT, pid, 0, SIGUSR2));
	REAP_EXIT(pid, SIGUSR2);
	pid = traced_child(other_signal);
	OK(trace(PTRACE_CONT, pid, 0, 0));
	EQ(next_stop(pid), STOPPED(SIGUSR1));
	OK(trace(PTRACE_CONT, pid, 0, SIGTERM));
	REAP_SIGNAL(pid, SIGTERM);
}

static void fault(void)
{
	int *volatile nowhere = (int *)8;
	*nowhere = 1;
}

TEST(fault_stops)
{
	pid_t pid = traced_child(fault);
	siginfo_t info;
	OK(trace(PTRACE_CONT, pid, 0, 0));
	EQ(next_stop(pid), STOPPED(SIGSEGV));
	OK(trace(PTRACE_GETSIGINFO, pid, 0, (long)&info));
	EQ(info.si_signo, SIGSEGV);
	OK(trace(PTRACE_CONT, pid, 0, SIGSEGV));
	REAP_SIGNAL(pid, SIGSEGV);
}

static void trap_with_register(void)
{
	long value;
	__asm__ volatile("mov $5, %%r12\n\tint3\n\tmov %%r12, %0" : "=r"(value) : : "r12");
	_exit(value);
}

TEST(registers)
{
	pid_t pid = traced_child(trap_with_register);
	OK(trace(PTRACE_CONT, pid, 0, 0));
	EQ(next_stop(pid), STOPPED(SIGTRAP));
	struct user_regs_struct regs = regs_of(pid), again;
	EQ(regs.r12, 5);
	struct iovec io = {&again, sizeof again};
	OK(trace(PTRACE_GETREGSET, pid, NT_PRSTATUS, (long)&io));
	EQ(io.iov_len, sizeof again);
	EQ(memcmp(&regs, &again, sizeof regs), 0);
	long word = 0;
	OK(trace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.r12), (long)&word));
	EQ(word, 5);
	ERR(trace(PTRACE_PEEKUSER, pid, 1, (long)&word), EIO);
	ERR(trace(PTRACE_GETREGS, pid, 0, (long)BAD), EFAULT);
	regs.r12 = 41;
	OK(trace(PTRACE_SETREGS, pid, 0, (long)&regs));
	OK(trace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.r12), 42));
	EQ(regs_of(pid).r12, 42);
	regs.r12 = 43;
	io = (struct iovec){&regs, sizeof regs};
	OK(trace(PTRACE_SETREGSET, pid, NT_PRSTATUS, (long)&io));
	OK(trace(PTRACE_CONT, pid, 0, 0));
	REAP_EXIT(pid, 43);
}

static void tell_word(void)
{
	_exit(shared_word == 0x1122334455667700 ? 6 : 9);
}

TEST(memory)
{
	pid_t pid = traced_child(tell_word);
	long word = 0;
	OK(trace(PTRACE_PEEKDATA, pid, (long)&shared_word, (long)&word));
	EQ(word, 0x1122334455667788);
	OK(trace(PTRACE_POKEDATA, pid, (long)&shared_word, 0x1122334455667700));
	OK(trace(PTRACE_PEEKTEXT, pid, (long)&shared_word, (long)&word));
	EQ(word, 0x1122334455667700);
	EQ(shared_word, 0x1122334455667788);
	ERR(trace(PTRACE_PEEKDATA, pid, 8, (long)&word), EIO);
	ERR(trace(PTRACE_POKEDATA, pid, 8, 1), EIO);
	ERR(trace(PTRACE_PEEKDATA, pid, (long)&shared_word, (long)BAD), EFAULT);
	OK(trace(PTRACE_CONT, pid, 0, 0));
	REAP_EXIT(pid, 6);
}

TEST(attach_while_reading)
{
	for (int round = 0; round < 20; round++) {
		int p[2];
		char c = 0;
		OK(pipe(p));
		pid_t pid = OK(fork());
		if (pid == 0) {
			EQ(read(p[0], &c, 1), 1);
			_exit(c);
		}
		if (round & 1)
			until_sleeping(pid);
		attach(pid);
		struct user_regs_struct regs = regs_of(pid);
		if (round & 1)
			EQ(regs.orig_rax, SYS_read);
		detach(pid);
		sleep_ms(round % 3);
		EQ(write(p[1], "\5", 1), 1);
		REAP_EXIT(pid, 5);
		close(p[0]);
		close(p[1]);
	}
}

TEST(attach_while_sleeping)
{
	pid_t pid = OK(fork());
	if (pid == 0) {
		int64_t start = now_ns();
		struct timespec ts = {0, 200000000};
		EQ(nanosleep(&ts, NULL), 0);
		EQ(poll(NULL, 0, 200), 0);
		_exit(now_ns() - start >= 400000000 && now_ns() - start < 2000000000 ? 3 : 4);
	}
	for (int i = 0; i < 12; i++) {
		sleep_ms(25);
		attach(pid);
		detach(pid);
	}
	REAP_EXIT(pid, 3);
}

static volatile long go_on = 1;

TEST(attach_while_spinning)
{
	volatile long *turns = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(turns != MAP_FAILED);
	pid_t pid = OK(fork());
	if (pid == 0) {
		while (go_on)
			++*turns;
		_exit(2);
	}
	while (*turns < 1000)
		sleep_ms(1);
	for (int i = 0; i < 5; i++) {
		attach(pid);
		EQ(regs_of(pid).orig_rax, -1);
		detach(pid);
	}
	attach(pid);
	OK(trace(PTRACE_POKEDATA, pid, (long)&go_on, 0));
	detach(pid);
	REAP_EXIT(pid, 2);
}

/* Every call under way goes on unharmed while somebody attaches again and again. */
TEST(attach_while_calling)
{
	int p[2];
	OK(pipe(p));
	pid_t pid = OK(fork());
	if (pid == 0) {
		for (int i = 0; i < 1500; i++) {
			int fd = OK(dup(p[1]));
			EQ(write(fd, &i, sizeof i), sizeof i);
			OK(close(fd));
			int got = -1;
			EQ(read(p[0], &got, sizeof got), sizeof got);
			EQ(got, i);
		}
		_exit(0);
	}
	for (int i = 0; i < 60; i++) {
		if (trace(PTRACE_ATTACH, pid, 0, 0) == -1)
			break; /* it has ended */
		int status = next_stop(pid);
		if (!WIFSTOPPED(status)) {
			EQ(status, 0);
			return;
		}
		EQ(status, STOPPED(SIGSTOP));
		detach(pid);
		sleep_ms(1);
	}
	REAP_OK(pid);
}

static int thread_pipe[2];

static void *sleeper(void *arg)
{
	char c;
	*(pid_t *)arg = gettid();
	EQ(read(thread_pipe[0], &c, 1), 1);
	return NULL;
}

TEST(attach_to_threads)
{
	int p[2];
	pid_t tid;
	OK(pipe(p));
	OK(pipe(thread_pipe));
	pid_t pid = OK(fork());
	if (pid == 0) {
		pthread_t thread;
		volatile pid_t number = 0;
		EQ(pthread_create(&thread, NULL, sleeper, (void *)&number), 0);
		while (!number)
			sleep_ms(1);
		EQ(write(p[1], (void *)&number, sizeof number), sizeof number);
		EQ(pthread_join(thread, NULL), 0);
		_exit(11);
	}
	EQ(read(p[0], &tid, sizeof tid), sizeof tid);
	CHECK(tid != pid);
	attach(tid);
	attach(pid);
	CHECK(regs_of(tid).rsp != regs_of(pid).rsp);
	EQ(waitpid(tid, NULL, WNOHANG | __WALL), 0);
	detach(pid);
	detach(tid);
	EQ(write(thread_pipe[1], "x", 1), 1);
	REAP_EXIT(pid, 11);
}

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

TEST(killing)
{
	pid_t pid = idle_child();
	attach(pid);
	OK(trace(PTRACE_KILL, pid, 0, 0));
	REAP_SIGNAL(pid, SIGKILL);
	pid = idle_child();
	attach(pid);
	finish(pid);
}

static void ask_user(void)
{
	for (int i = 0; i < 3; i++)
		EQ(syscall(SYS_getuid), getuid());
	_exit(19);
}

TEST(system_call_stops)
{
	pid_t pid = traced_child(ask_user);
	int entries = 0, exits = 0, status;
	OK(trace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD));
	for (;;) {
		OK(trace(PTRACE_SYSCALL, pid, 0, 0));
		status = next_stop(pid);
		if (!WIFSTOPPED(status))
			break;
		EQ(status, STOPPED(SIGTRAP | 0x80));
		struct user_regs_struct regs = regs_of(pid);
		if (regs.orig_rax != SYS_getuid)
			continue;
		if ((long)regs.rax == -ENOSYS)
			entries++;
		else {
			EQ(regs.rax, getuid());
			exits++;
		}
	}
	EQ(status, 19 << 8);
	EQ(entries, 6);
	EQ(exits, 6);
}

TEST(errors)
{
	struct user_regs_struct regs;
	pid_t pid = idle_child();
	ERR(trace(PTRACE_ATTACH, getpid(), 0, 0), EPERM);
	ERR(trace(PTRACE_ATTACH, 1 << 22, 0, 0), ESRCH);
	ERR(trace(PTRACE_ATTACH, 0, 0, 0), ESRCH);
	ERR(trace(PTRACE_GETREGS, pid, 0, (long)&regs), ESRCH);
	ERR(trace(PTRACE_CONT, pid, 0, 0), ESRCH);
	ERR(trace(PTRACE_SEIZE, pid, 1, 0), EIO);
	ERR(trace(PTRACE_SEIZE, pid, 0, 1L << 40), EIO);
	attach(pid);
	ERR(trace(PTRACE_ATTACH, pid, 0, 0), EPERM);
	ERR(trace(PTRACE_SEIZE, pid, 0, 0), EPERM);
	ERR(trace(PTRACE_INTERRUPT, pid, 0, 0), EIO);
	ERR(trace(PTRACE_CONT, pid, 0, 65), EIO);
	ERR(trace(PTRACE_SETOPTIONS, pid, 0, 1L << 40), EINVAL);
	ERR(trace(0x1234, pid, 0, 0), EIO);
	IN_CHILD {
		ERR(trace(PTRACE_GETREGS, pid, 0, (long)&regs), ESRCH);
		ERR(trace(PTRACE_ATTACH, pid, 0, 0), EPERM);
	}
	OK(trace(PTRACE_CONT, pid, 0, 0));
	ERR(trace(PTRACE_GETREGS, pid, 0, (long)&regs), ESRCH);
	ERR(trace(PTRACE_DETACH, pid, 0, 0), ESRCH);
	finish(pid);
	pid = OK(fork());
	if (pid == 0)
		_exit(0);
	while (state_of(pid) != 'Z')
		sleep_ms(1);
	ERR(trace(PTRACE_ATTACH, pid, 0, 0), EPERM);
	REAP_OK(pid);
	IN_CHILD {
		OK(trace(PTRACE_TRACEME, 0, 0, 0));
		ERR(trace(PTRACE_TRACEME, 0, 0, 0), EPERM);
	}
}

TEST(permission)
{
	NEED_ROOT();
	pid_t pid = idle_child();
	IN_CHILD {
		OK(setgid(1000));
		OK(setuid(1000));
		ERR(trace(PTRACE_ATTACH, pid, 0, 0), EPERM);
		pid_t own = idle_child();
		ERR(trace(PTRACE_ATTACH, own, 0, 0), EPERM); /* setuid(2) made it undumpable, and so its child */
		finish(own);
		OK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
		own = idle_child();
		attach(own);
		detach(own);
		finish(own);
	}
	finish(pid);
}
