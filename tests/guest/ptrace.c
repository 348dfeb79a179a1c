/* ptrace(2): stops, registers, memory, signals, attaching, system calls, errors. */
#include "ptrace.h"

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
