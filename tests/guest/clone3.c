/* clone3(2): the struct, its errors, and what parent and child find in their registers. */
#include "check.h"
#include <linux/sched.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif

typedef struct clone_args Args;

/* The call by hand; every register but rax, rcx and r11 must come back unchanged, in parent and child. `at` is filled by both. */
static long raw_clone3(Args *args, size_t size, uint64_t *at)
{
	long ret;
	register uint64_t r10 __asm__("r10") = 0x1010, r8 __asm__("r8") = 0x8080, r9 __asm__("r9") = 0x9090;
	uint64_t rdi = (uint64_t)args, rsi = size, rdx = 0xd0d0;
	__asm__ volatile("syscall" : "=a"(ret), "+D"(rdi), "+S"(rsi), "+d"(rdx), "+r"(r10), "+r"(r8), "+r"(r9) : "0"(SYS_clone3)
			 : "rcx", "r11", "memory");
	at[0] = rdi, at[1] = rsi, at[2] = rdx, at[3] = r10, at[4] = r8, at[5] = r9;
	return ret;
}

static int kept(Args *args, size_t size, const uint64_t *at)
{
	return at[0] == (uint64_t)args && at[1] == size && at[2] == 0xd0d0 && at[3] == 0x1010 && at[4] == 0x8080 && at[5] == 0x9090;
}

static void need_clone3(void)
{
	if (syscall(SYS_clone3, NULL, 1) == -1 && errno == ENOSYS)
		SKIP("no clone3");
}

TEST(like_fork)
{
	need_clone3();
	uint64_t at[6];
	for (int i = 0; i < 30; i++) {
		Args a = {.exit_signal = SIGCHLD};
		size_t size = i % 3 == 0 ? 64 : i % 3 == 1 ? 80 : sizeof a;
		long pid = raw_clone3(&a, size, at);
		if (pid == 0)
			_exit(kept(&a, size, at) && getppid() > 0 ? 33 : 1);
		CHECK(pid > 0);
		CHECK(kept(&a, size, at));
		REAP_EXIT(pid, 33);
	}
}

TEST(failure_keeps_registers)
{
	need_clone3();
	uint64_t at[6];
	Args a = {.flags = CLONE_SIGHAND, .exit_signal = SIGCHLD};
	EQ(raw_clone3(&a, sizeof a, at), -EINVAL);
	CHECK(kept(&a, sizeof a, at));
}

TEST(tids_and_pidfd)
{
	need_clone3();
	uint64_t at[6];
	int pidfd = -1, parent = 0;
	volatile int child = 0;
	siginfo_t info;
	Args a = {.flags = CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID, .exit_signal = SIGUSR1, .pidfd = (uintptr_t)&pidfd,
		  .parent_tid = (uintptr_t)&parent, .child_tid = (uintptr_t)&child};
	signal(SIGUSR1, SIG_IGN);
	long pid = raw_clone3(&a, sizeof a, at);
	if (pid == 0)
		_exit(kept(&a, sizeof a, at) && child == getpid() ? 34 : 1);
	CHECK(pid > 0);
	CHECK(kept(&a, sizeof a, at));
	EQ(parent, pid);
	EQ(child, 0);
	CHECK(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
	struct pollfd p = {pidfd, POLLIN, 0};
	EQ(poll(&p, 1, 20000), 1);
	ERR(waitid(P_PID, pid, &info, WEXITED), ECHILD); /* no SIGCHLD: only __WALL finds it */
	OK(waitid((idtype_t)3, pidfd, &info, WEXITED | __WALL));
	EQ(info.si_status, 34);
}

/* A child on a stack of its own, in the parent's memory. */
static volatile int seen __attribute__((used));
static Args shared;
static uint64_t child_at[6] __attribute__((used));

static __attribute__((noinline, noreturn, used)) void in_child(void)
{
	seen = kept(&shared, sizeof shared, child_at) ? 77 : 1;
	syscall(SYS_exit, 5);
	__builtin_unreachable();
}

static __attribute__((noinline)) long on_stack(Args *args, size_t size, uint64_t *at)
{
	long ret;
	register uint64_t r10 __asm__("r10") = 0x1010, r8 __asm__("r8") = 0x8080, r9 __asm__("r9") = 0x9090;
	uint64_t rdi = (uint64_t)args, rsi = size, rdx = 0xd0d0;
	__asm__ volatile("syscall\n"
			 "test %%eax, %%eax\n"
			 "jnz 1f\n"
			 "mov %%rdi, child_at(%%rip); mov %%rsi, 8+child_at(%%rip); mov %%rdx, 16+child_at(%%rip)\n"
			 "mov %%r10, 24+child_at(%%rip); mov %%r8, 32+child_at(%%rip); mov %%r9, 40+child_at(%%rip)\n"
			 "xor %%ebp, %%ebp\n"
			 "call in_child\n"
			 "1:\n"
			 : "=a"(ret), "+D"(rdi), "+S"(rsi), "+d"(rdx), "+r"(r10), "+r"(r8), "+r"(r9)
			 : "0"(SYS_clone3)
			 : "rcx", "r11", "memory", "cc");
	at[0] = rdi, at[1] = rsi, at[2] = rdx, at[3] = r10, at[4] = r8, at[5] = r9;
	return ret;
}

TEST(shared_memory)
{
	need_clone3();
	uint64_t at[6];
	char *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned long long more[] = {0, CLONE_FILES, CLONE_FS | CLONE_SIGHAND, CLONE_VFORK | CLONE_FILES};
	for (int i = 0; i < 40; i++) {
		seen = 0;
		shared = (Args){.flags = CLONE_VM | more[i % 4], .exit_signal = SIGCHLD, .stack = (uintptr_t)stack, .stack_size = 65536};
		long pid = on_stack(&shared, sizeof shared, at);
		CHECK(pid > 0);
		CHECK(kept(&shared, sizeof shared, at));
		if (shared.flags & CLONE_VFORK)
			EQ(seen, 77);
		REAP_EXIT(pid, 5);
		EQ(seen, 77);
	}
}

/* A thread: its end clears a word and wakes who waits for it. */
TEST(thread)
{
	need_clone3();
	uint64_t at[6];
	char *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 40; i++) {
		volatile int tid = -1;
		seen = 0;
		shared = (Args){.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_CHILD_CLEARTID,
				.child_tid = (uintptr_t)&tid, .stack = (uintptr_t)stack, .stack_size = 65536};
		long got = on_stack(&shared, sizeof shared, at);
		CHECK(got > 0);
		CHECK(kept(&shared, sizeof shared, at));
		for (int64_t end = now_ns() + 10000000000; tid && now_ns() < end;)
			sleep_ms(1);
		EQ(tid, 0);
		EQ(seen, 77);
	}
}

TEST(errors)
{
	need_clone3();
	struct {
		Args a;
		uint64_t more[4];
	} big = {.a = {.exit_signal = SIGCHLD}};
	Args a = big.a;
	ERR(syscall(SYS_clone3, &a, 63), EINVAL);
	ERR(syscall(SYS_clone3, &a, 5000), E2BIG);
	ERR(syscall(SYS_clone3, BAD, sizeof a), EFAULT);
	big.more[1] = 1;
	ERR(syscall(SYS_clone3, &big, sizeof big), E2BIG);
	big.more[1] = 0;
	pid_t pid = OK(syscall(SYS_clone3, &big, sizeof big));
	if (pid == 0)
		_exit(0);
	REAP_OK(pid);
#define BADARGS(e, ...)                                                                                                       \
	do {                                                                                                                   \
		a = (Args){__VA_ARGS__};                                                             \
		ERR(syscall(SYS_clone3, &a, sizeof a), e);                                                                     \
	} while (0)
	BADARGS(EINVAL, .exit_signal = 65);
	BADARGS(EINVAL, .exit_signal = 1ULL << 32);
	BADARGS(EINVAL, .flags = 1ULL << 63);
	BADARGS(EINVAL, .flags = 0x400000); /* CLONE_DETACHED */
	BADARGS(EINVAL, .flags = SIGCHLD);
	BADARGS(EINVAL, .flags = CLONE_PARENT, .exit_signal = SIGCHLD);
	BADARGS(EINVAL, .flags = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, .exit_signal = SIGCHLD);
	BADARGS(EINVAL, .flags = CLONE_VM | CLONE_SIGHAND | CLONE_CLEAR_SIGHAND);
	BADARGS(EINVAL, .stack = 4096);
	BADARGS(EINVAL, .stack_size = 4096);
	BADARGS(EINVAL, .stack = 1ULL << 60, .stack_size = 4096);
	BADARGS(EINVAL, .set_tid_size = 1);
	BADARGS(EINVAL, .set_tid = 1);
	BADARGS(EINVAL, .set_tid_size = 33, .set_tid = (uintptr_t)&a);
	BADARGS(EFAULT, .flags = CLONE_PIDFD, .pidfd = (uintptr_t)BAD);
	int same;
	BADARGS(EINVAL, .flags = CLONE_PIDFD | CLONE_PARENT_SETTID, .pidfd = (uintptr_t)&same, .parent_tid = (uintptr_t)&same);
	BADARGS(EBADF, .flags = CLONE_INTO_CGROUP, .cgroup = 999);
	BADARGS(EINVAL, .flags = CLONE_INTO_CGROUP, .cgroup = 1ULL << 32);
}

static volatile sig_atomic_t ticks;
static void on_tick(int sig)
{
	(void)sig;
	ticks++;
}

/* Signals on the way neither fail the call nor run it twice. */
TEST(under_a_storm)
{
	need_clone3();
	uint64_t at[6];
	handle(SIGALRM, on_tick, 0);
	struct itimerval it = {{0, 1000}, {0, 1000}}, off = {{0, 0}, {0, 0}};
	int children = 0;
	OK(setitimer(ITIMER_REAL, &it, NULL));
	for (int64_t end = now_ns() + 1500000000; now_ns() < end;) {
		int pidfd = -1;
		Args a = {.flags = children % 2 ? CLONE_PIDFD : 0, .exit_signal = SIGCHLD, .pidfd = (uintptr_t)&pidfd};
		long pid = raw_clone3(&a, sizeof a, at);
		if (pid == 0)
			_exit(kept(&a, sizeof a, at) ? 35 : 1);
		EQ(pid < 0 ? pid : 1, 1);
		CHECK(kept(&a, sizeof a, at));
		if (pidfd >= 0)
			OK(close(pidfd));
		REAP_EXIT(pid, 35);
		children++;
	}
	OK(setitimer(ITIMER_REAL, &off, NULL));
	CHECK(ticks > 0 && children > 0);
	ERR(waitpid(-1, NULL, WNOHANG), ECHILD);
}
