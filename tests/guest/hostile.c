/* syscalls(2): every number with hostile arguments, x32 numbers and int 0x80; each may fail or end its caller, none may do harm.
 * argv: rounds with random arguments. GUEST_IN=sandbox says that a sandbox is around us: only then do calls run as root. */
#include "check.h"
#include <grp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>

#define NOBODY 54321
#define LAST 600

static char *scratch; /* a page of noise, between two holes */
static unsigned seed = 42;

static int in_sandbox(void)
{
	const char *where = getenv("GUEST_IN");
	return where && !strcmp(where, "sandbox");
}

/* On a host: namespaces of its own and no rights, so that nothing can hit the machine itself. */
static void confine(void)
{
	if (in_sandbox() || geteuid() != 0)
		return;
	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID) == -1)
		SKIP("cannot unshare namespaces");
	OK(chmod(".", 0777));
}

static void drop_rights(void)
{
	struct rlimit as = {1L << 30, 1L << 30}, files = {256, 256}, size = {1 << 20, 1 << 20}, none = {0, 0};
	OK(setrlimit(RLIMIT_AS, &as));
	OK(setrlimit(RLIMIT_NOFILE, &files));
	OK(setrlimit(RLIMIT_FSIZE, &size));
	OK(setrlimit(RLIMIT_CORE, &none));
	if (!in_sandbox() && geteuid() == 0) {
		OK(setgroups(0, NULL));
		OK(setgid(NOBODY));
		OK(setuid(NOBODY));
	}
}

/* Numbers 0 to 15 are one of each kind of file, so that hostile numbers hit something. */
static void fill_files(void)
{
	int f = OK(open("hostile-file", O_RDWR | O_CREAT, 0666)), p[2], s[2];
	for (int fd = 0; fd < 16; fd++)
		if (fd != f)
			close(fd);
	if (f != 0) {
		OK(dup2(f, 0));
		OK(close(f));
	}
	OK(pipe(p));
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	OK(open(".", O_RDONLY));
	OK(open("/dev/null", O_RDWR));
	OK(eventfd(0, 0));
	OK(epoll_create1(0));
	(void)!timerfd_create(CLOCK_MONOTONIC, 0);
	(void)!inotify_init();
	(void)!open("hostile-file", O_PATH);
}

enum { ZERO, MINUS_ONE, POINTERS, EDGES, FIXED };

static long argument(int round, int i)
{
	static const long edges[] = {1, 0x7fffffff, -4096, LONG_MIN, 0xffffffff, LONG_MAX};
	switch (round) {
	case ZERO: return 0;
	case MINUS_ONE: return -1;
	case POINTERS: return (long)scratch + 64 * i;
	case EDGES: return edges[i];
	}
	switch (rand_r(&seed) / 16 % 8) {
	case 0: return rand_r(&seed) / 16 % 16; /* a file */
	case 1: return (long)scratch + rand_r(&seed) / 16 % 4096;
	case 2: return (long)scratch + 4096 - rand_r(&seed) / 16 % 16; /* runs into the hole */
	case 3: return (long)scratch + 4096;
	case 4: return -(rand_r(&seed) / 16 % 4096);
	case 5: return (long)rand_r(&seed) << 32 | rand_r(&seed);
	case 6: return 1L << (rand_r(&seed) / 16 % 63);
	default: return rand_r(&seed) / 16 % 4096;
	}
}

/* Not made at all: signals to everybody, and whatever may hit the caller's parent; both would end the test itself. */
static int excluded(long nr, const long *a)
{
	if ((int)a[0] == getpid() || (int)a[1] == getpid())
		return 1;
	int sig = (int)(nr == SYS_tgkill || nr == SYS_rt_tgsigqueueinfo ? a[2] : a[1]);
	int kills = nr == SYS_kill || nr == SYS_tkill || nr == SYS_tgkill || nr == SYS_rt_sigqueueinfo;
	return (kills && (int)a[0] < 0 && sig > 0 && sig <= 64) || nr == SYS_sync;
}

static void ended(pid_t pid, long nr, const long *a)
{
	sigset_t chld = set_of(SIGCHLD);
	int64_t kill_at = now_ns() + 60000000, give_up = now_ns() + 20000000000LL;
	for (int killed = 0;;) {
		int status;
		pid_t got = waitpid(-1, &status, WNOHANG | WUNTRACED | __WALL);
		if (got == pid && !WIFSTOPPED(status))
			return;
		if (got > 0 && WIFSTOPPED(status))
			kill(got, SIGKILL);
		if (got > 0)
			continue;
		if (!killed && now_ns() > kill_at) {
			kill(pid, SIGKILL);
			kill(-pid, SIGKILL);
			killed = 1;
		}
		if (now_ns() > give_up) {
			fprintf(stderr, "call %ld(%#lx, %#lx, %#lx, %#lx, %#lx, %#lx): survives SIGKILL\n", nr, a[0], a[1], a[2], a[3], a[4], a[5]);
			_exit(1);
		}
		struct timespec ts = {0, 5000000};
		sigtimedwait(&chld, NULL, &ts);
	}
}

static void attempt(long nr, const long *a)
{
	if (excluded(nr, a))
		return;
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(setpgid(0, 0));
		pid_t self = syscall(SYS_getpid);
		syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
		if (syscall(SYS_getpid) == self)
			syscall(SYS_kill, 0, SIGKILL); /* whatever it made goes with it */
		syscall(SYS_exit_group, 0);
	}
	ended(pid, nr, a);
}

/* Everyday work goes on. */
static void healthy(long nr)
{
	char buf[8];
	int p[2];
	check_name = "healthy";
	pid_t pid = OK(fork());
	if (pid == 0) {
		if (pipe(p) || write(p[1], "ok", 2) != 2 || read(p[0], buf, 8) != 2)
			_exit(1);
		int fd = open("probe", O_RDWR | O_CREAT | O_TRUNC, 0666);
		if (fd < 0 || write(fd, "x", 1) != 1 || close(fd))
			_exit(2);
		_exit(0);
	}
	int status = reap(pid);
	if (status) {
		fprintf(stderr, "after call %ld: everyday work fails with status %#x\n", nr, status);
		_exit(1);
	}
}

static void all_numbers(long flag, long last)
{
	sigset_t chld = set_of(SIGCHLD);
	struct utsname before, after;
	confine();
	pid_t pid = OK(fork()); /* on a host pid 1 of its namespace: with it everything ends */
	if (pid) {
		int status = reap(pid);
		if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
			_exit(SKIPPED);
		EQ(status, 0);
		return;
	}
	OK(dup2(2, 200));
	char *m = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(m != MAP_FAILED);
	scratch = m + 4096;
	for (int i = 0; i < 4096; i++)
		scratch[i] = rand_r(&seed) / 16;
	OK(munmap(m, 4096));
	OK(munmap(m + 8192, 4096));
	OK(uname(&before));
	OK(sigprocmask(SIG_BLOCK, &chld, NULL));
	pid_t worker = OK(fork()); /* keeps pid 1's rights apart from those of the callers */
	if (worker == 0) {
		drop_rights();
		fill_files();
		OK(dup2(200, 2));
		for (long nr = 0; nr <= last; nr++) {
			for (int round = 0; round < FIXED + size_arg(0, 2); round++) {
				long a[6];
				for (int i = 0; i < 6; i++)
					a[i] = argument(round, i);
				attempt(nr | flag, a);
			}
			if (nr % 20 == 0)
				healthy(nr);
		}
		_exit(0);
	}
	EQ(reap(worker), 0);
	OK(uname(&after));
	if (!in_sandbox())
		EQ(memcmp(&before, &after, sizeof before), 0);
	_exit(0);
}

TEST(every_number)
{
	all_numbers(0, LAST);
}

TEST(numbers_with_high_bits)
{
	for (int bit = 10; bit < 64; bit++)
		if (bit != 30) {
			errno = 0;
			long r = syscall(1L << bit | SYS_getppid, 0, 0, 0, 0, 0, 0);
			/* Linux looks at the lower half only, as an int */
			CHECK((r == -1 && errno == ENOSYS) || (bit >= 32 && r == getppid()));
		}
}

/* x32: ENOSYS, or the end of the caller. */
TEST(x32_numbers)
{
	for (long nr = 0; nr < 550; nr += in_sandbox() ? 7 : 1) {
		pid_t pid = OK(fork());
		if (pid == 0) {
			long r = syscall(0x40000000 | nr, 0, 0, 0, 0, 0, 0);
			_exit(r == -1 && errno == ENOSYS ? 0 : 1);
		}
		int status = reap(pid);
		CHECK(status == 0 || WIFSIGNALED(status));
	}
	all_numbers(0x40000000, 30);
}

static long int80(long nr, long a, long b, long c)
{
	long r;
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(a), "c"(b), "d"(c) : "r8", "r9", "r10", "r11", "memory");
	return r;
}

/* i386 calls: in a sandbox ENOSYS or death; never a way round its rules. */
TEST(int80_calls)
{
	static const int numbers[] = {1, 2, 3, 4, 5, 6, 11, 20, 24, 37, 39, 45, 90, 102, 120, 192, 199, 224, 295, 9999};
	for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		pid_t pid = OK(fork());
		if (pid == 0) {
			long r = int80(numbers[i], 0, 0, 0);
			_exit(in_sandbox() && r != -ENOSYS && r != 0xffffffda ? 1 : 0);
		}
		int status = reap(pid);
		CHECK(status == 0 || WIFSIGNALED(status));
	}
	healthy(80);
}
