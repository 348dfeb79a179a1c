/* sigaction(2), sigprocmask(2), sigaltstack(2), sigreturn(2), sigsuspend(2): handlers, masks and stacks. */
#include "check.h"
#include <fenv.h>
#include <setjmp.h>
#include <ucontext.h>

static volatile sig_atomic_t count, depth, deepest, last;
static volatile long in_handler;

static void on_signal(int sig)
{
	count++;
	last = sig;
}

static void on_nested(int sig)
{
	if (++depth > deepest)
		deepest = depth;
	if (count++ < 4)
		raise(sig);
	depth--;
}

TEST(set_and_query)
{
	struct sigaction sa, old;
	handle(SIGUSR1, on_signal, SA_RESTART | SA_NODEFER);
	OK(sigaction(SIGUSR1, NULL, &old));
	CHECK(old.sa_handler == on_signal);
	EQ(old.sa_flags & (SA_RESTART | SA_NODEFER | SA_SIGINFO), SA_RESTART | SA_NODEFER);
	sa = (struct sigaction){.sa_handler = SIG_IGN};
	OK(sigaction(SIGUSR1, &sa, &old));
	CHECK(old.sa_handler == on_signal);
	OK(raise(SIGUSR1));
	EQ(count, 0);
	ERR(sigaction(SIGKILL, &sa, NULL), EINVAL);
	ERR(sigaction(SIGSTOP, &sa, NULL), EINVAL);
	OK(sigaction(SIGKILL, NULL, &old));
	ERR(syscall(SYS_rt_sigaction, 65, &sa, NULL, 8), EINVAL);
	ERR(syscall(SYS_rt_sigaction, 0, &sa, NULL, 8), EINVAL);
	ERR(syscall(SYS_rt_sigaction, SIGUSR1, &sa, NULL, 4), EINVAL);
	ERR(syscall(SYS_rt_sigaction, SIGUSR1, BAD, NULL, 8), EFAULT);
	ERR(syscall(SYS_rt_sigaction, SIGUSR1, NULL, BAD, 8), EFAULT);
}

TEST(deferred_or_nested)
{
	handle(SIGUSR1, on_nested, 0);
	OK(raise(SIGUSR1));
	EQ(deepest, 1);
	EQ(count, 5);
	count = deepest = 0;
	handle(SIGUSR1, on_nested, SA_NODEFER);
	OK(raise(SIGUSR1));
	EQ(deepest, 5);
}

TEST(one_shot)
{
	handle(SIGUSR1, on_signal, SA_RESETHAND);
	pid_t pid = OK(fork());
	if (pid == 0) {
		raise(SIGUSR1);
		CHECK(count == 1);
		raise(SIGUSR1);
		_exit(0);
	}
	REAP_SIGNAL(pid, SIGUSR1);
}

TEST(mask_during_handler)
{
	struct sigaction sa = {.sa_handler = on_signal};
	sigset_t pend;
	sigemptyset(&sa.sa_mask);
	sigaddset(&sa.sa_mask, SIGUSR2);
	OK(sigaction(SIGUSR2, &sa, NULL));
	OK(sigaction(SIGUSR1, &sa, NULL));
	sigset_t s = set_of(SIGUSR1);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	OK(raise(SIGUSR1));
	OK(sigpending(&pend));
	EQ(sigismember(&pend, SIGUSR1), 1);
	EQ(count, 0);
	OK(sigprocmask(SIG_UNBLOCK, &s, NULL));
	EQ(count, 1);
	EQ(last, SIGUSR1);
}

TEST(procmask_rules)
{
	sigset_t all, old, now;
	sigfillset(&all);
	OK(sigprocmask(SIG_SETMASK, &all, &old));
	OK(sigprocmask(SIG_BLOCK, NULL, &now));
	EQ(sigismember(&now, SIGKILL), 0); /* silently left out */
	EQ(sigismember(&now, SIGSTOP), 0);
	EQ(sigismember(&now, SIGUSR1), 1);
	OK(sigprocmask(SIG_SETMASK, &old, NULL));
	ERR(syscall(SYS_rt_sigprocmask, 9, &all, NULL, 8), EINVAL);
	ERR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, 4), EINVAL);
	ERR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, BAD, NULL, 8), EFAULT);
	ERR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, BAD, 8), EFAULT);
	ERR(syscall(SYS_rt_sigpending, BAD, 8), EFAULT);
	ERR(syscall(SYS_rt_sigpending, &now, 16), EINVAL);
}

TEST(suspend)
{
	sigset_t s = set_of(SIGUSR1), none = set_of(0), now;
	handle(SIGUSR1, on_signal, SA_RESTART);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	OK(raise(SIGUSR1));
	ERR(sigsuspend(&none), EINTR);
	EQ(count, 1);
	OK(sigprocmask(SIG_BLOCK, NULL, &now));
	EQ(sigismember(&now, SIGUSR1), 1);
	ERR(syscall(SYS_rt_sigsuspend, &none, 4), EINVAL);
	ERR(syscall(SYS_rt_sigsuspend, BAD, 8), EFAULT);
}

static char stack[65536];
static void on_stack(int sig)
{
	volatile char here;
	stack_t ss;
	(void)sig;
	in_handler = &here >= stack && &here < stack + sizeof stack;
	OK(sigaltstack(NULL, &ss));
	CHECK(ss.ss_flags & SS_ONSTACK);
	ERR(sigaltstack(&ss, NULL), EPERM); /* in use */
}

TEST(alternate_stack)
{
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof stack}, old;
	OK(sigaltstack(&ss, &old));
	EQ(old.ss_flags & SS_DISABLE, SS_DISABLE);
	handle(SIGUSR1, on_stack, SA_ONSTACK);
	OK(raise(SIGUSR1));
	EQ(in_handler, 1);
	OK(sigaltstack(NULL, &old));
	CHECK(old.ss_sp == stack && old.ss_size == sizeof stack);
	ss.ss_size = 100;
	ERR(sigaltstack(&ss, NULL), ENOMEM);
	ss.ss_size = sizeof stack;
	ss.ss_flags = 77;
	ERR(sigaltstack(&ss, NULL), EINVAL);
	ERR(sigaltstack(BAD, NULL), EFAULT);
	IN_CHILD {
		OK(sigaltstack(NULL, &old));
		CHECK(old.ss_sp == stack); /* fork keeps it */
	}
}

/* An overflow of the stack can be handled on the other one. */
static sigjmp_buf jump;
static void on_overflow(int sig)
{
	siglongjmp(jump, sig);
}

static int deep(volatile char *p)
{
	volatile char buf[8192];
	buf[0] = *p;
	return *p ? deep(buf) + buf[0] : 0;
}

TEST(stack_overflow)
{
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof stack};
	OK(sigaltstack(&ss, NULL));
	handle(SIGSEGV, on_overflow, SA_ONSTACK);
	char c = 1;
	int sig = sigsetjmp(jump, 1);
	if (!sig)
		sig = -deep(&c);
	EQ(sig, SIGSEGV);
}

/* The handler may change the registers that it returns to, and all others come back as they were. */
static void on_change(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	(void)sig;
	(void)info;
	u->uc_mcontext.gregs[REG_RBX] = 0x1234;
	sigaddset(&u->uc_sigmask, SIGUSR2);
}

TEST(context)
{
	uint64_t rbx, r12;
	double x;
	handle_info(SIGUSR1, on_change, 0);
	__asm__ volatile("mov $39, %%eax; syscall; mov %%eax, %%edi; mov $186, %%eax; push %%rdi; syscall; pop %%rdi\n" /* getpid, gettid */
			 "mov %%eax, %%esi; mov $10, %%edx; mov $0x77, %%rbx; mov $0x5678, %%r12\n"
			 "mov $3, %%eax; cvtsi2sd %%eax, %%xmm3\n"
			 "mov $234, %%eax; syscall\n" /* tgkill to oneself: the handler runs before it returns */
			 "mov %%rbx, %0; mov %%r12, %1; movsd %%xmm3, %2"
			 : "=m"(rbx), "=m"(r12), "=m"(x)
			 :
			 : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r11", "r12", "xmm3", "memory", "cc");
	EQ(rbx, 0x1234);
	EQ(r12, 0x5678);
	CHECK(x == 3.0);
	sigset_t now;
	OK(sigprocmask(SIG_BLOCK, NULL, &now));
	EQ(sigismember(&now, SIGUSR2), 1); /* the mask of the context is restored too */
}

/* longjmp out of a handler that interrupted a blocking call; the call is over and the next works. */
TEST(longjmp_out_of_a_call)
{
	int p[2];
	char c;
	OK(pipe(p));
	handle(SIGALRM, on_overflow, SA_RESTART);
	for (volatile int i = 0; i < 20; i++) {
		if (!sigsetjmp(jump, 1)) {
			pid_t self = getpid(), pid = OK(fork());
			if (pid == 0) {
				sleep_ms(3);
				kill(self, SIGALRM);
				_exit(0);
			}
			EQ(read(p[0], &c, 1), -2); /* never returns */
		}
		REAP_OK(-1);
		EQ(write(p[1], "x", 1), 1);
		EQ(read(p[0], &c, 1), 1);
	}
}

TEST(thread_masks)
{
	sigset_t s = set_of(SIGUSR1), now;
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	IN_CHILD { /* inherited, and pending ones are not */
		OK(sigprocmask(SIG_BLOCK, NULL, &now));
		EQ(sigismember(&now, SIGUSR1), 1);
	}
	OK(raise(SIGUSR1));
	IN_CHILD {
		OK(sigpending(&now));
		EQ(sigismember(&now, SIGUSR1), 0);
	}
}

TEST(timedwait)
{
	sigset_t s = set_of(SIGUSR1);
	struct timespec ts = {0, 30000000};
	siginfo_t info;
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	int64_t t = now_ns();
	ERR(sigtimedwait(&s, &info, &ts), EAGAIN);
	CHECK(now_ns() - t >= 30000000);
	pid_t self = getpid(), pid = OK(fork());
	if (pid == 0) {
		sleep_ms(20);
		kill(self, SIGUSR1);
		_exit(0);
	}
	EQ(sigwaitinfo(&s, &info), SIGUSR1);
	EQ(info.si_pid, pid);
	REAP_OK(pid);
	ERR(syscall(SYS_rt_sigtimedwait, &s, &info, &(struct timespec){0, -1}, 8), EINVAL);
	ERR(syscall(SYS_rt_sigtimedwait, BAD, &info, &ts, 8), EFAULT);
}

/* A signal that is ignored or blocked at the time leaves no trace in a handler set later, or just one. */
TEST(ignored_then_handled)
{
	sigset_t s = set_of(SIGUSR1);
	signal(SIGUSR1, SIG_IGN);
	OK(raise(SIGUSR1));
	handle(SIGUSR1, on_signal, 0);
	EQ(count, 0);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	OK(raise(SIGUSR1));
	signal(SIGUSR1, SIG_IGN); /* throws the pending one away */
	handle(SIGUSR1, on_signal, 0);
	OK(sigprocmask(SIG_UNBLOCK, &s, NULL));
	EQ(count, 0);
}
