/* syscalls(2): long random sequences of calls whose arguments mean something more often than not: descriptors of every kind,
 * names, vectors, addresses, small sizes and flags. SEED and ROUNDS come as lines seed=N and rounds=N; a seed makes the same
 * sequence again (as far as the answers are the same). What counts is the sandbox's kernel afterwards, and its log. */
#include "escape.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

enum { CALLS = 400, PAGES = 16 };

static unsigned seed;
static char *memory;

static unsigned dice(unsigned n) { return rand_r(&seed) / 7 % n; }

static const char *const names[] = {"/tmp", "/tmp/ok", "/", ".", "..", "/proc/self", "/proc/self/fd/0", "/proc/self/maps", "/dev/null",
	"/dev/ptmx", "/dev/zero", "/tmp/new", "/tmp/dir2", "/tmp/dir2/x", "/tmp/abs", "/tmp/loop", "/bin/true", "/bin/busybox", "",
	"/proc/self/status", "/proc/1/mem", "/sys", "/dev/shm/y", "/tmp/fifo2", "/tmp/sock2", "/proc/self/attr", "/proc/sys/kernel/hostname",
	"new", "ok", "tmpfs", "proc", "user.x", "security.capability", "system.posix_acl_access", "/proc/self/task", "/dev/tty", "/dev/pts/0"};

static long pointer(void)
{
	char *at = memory + dice(PAGES) * 4096 + (dice(3) ? dice(64) * 64 : dice(4096));
	switch (dice(9)) {
	case 0: /* a name */
		strcpy(at > memory + PAGES * 4096 - 64 ? memory : at, names[dice(sizeof names / sizeof *names)]);
		break;
	case 1: { /* a vector */
		struct iovec *v = (struct iovec *)(memory + 4096 * 2);
		for (int i = 0; i < 4; i++)
			v[i] = (struct iovec){memory + dice(PAGES * 4096), dice(5000)};
		return (long)v;
	}
	case 2: { /* an address */
		struct sockaddr_un *a = (struct sockaddr_un *)(memory + 4096 * 3);
		*a = (struct sockaddr_un){dice(4) ? AF_UNIX : (int)dice(20), ""};
		if (dice(2))
			strcpy(a->sun_path, names[dice(sizeof names / sizeof *names)]);
		return (long)a;
	}
	case 3: /* small words */
		for (int i = 0; i < 16; i++)
			((long *)(memory + 4096 * 4))[i] = dice(3) ? (long)dice(40) : (long)dice(1 << 20) << dice(32);
		return (long)(memory + 4096 * 4);
	case 4: /* small halves */
		for (int i = 0; i < 32; i++)
			((int *)(memory + 4096 * 5))[i] = dice(4) ? (int)dice(40) : (int)rand_r(&seed);
		return (long)(memory + 4096 * 5);
	case 5: { /* a message */
		struct msghdr *m = (struct msghdr *)(memory + 4096 * 6);
		m->msg_iov = (struct iovec *)(memory + 4096 * 2), m->msg_iovlen = dice(5);
		m->msg_control = memory + 4096 * 4, m->msg_controllen = dice(200);
		m->msg_name = memory + 4096 * 3, m->msg_namelen = dice(140);
		return (long)m;
	}
	case 6: return (long)memory + PAGES * 4096 - dice(32); /* runs out of the map */
	case 7: return 0;
	}
	return (long)at;
}

static long name(void)
{
	char *at = memory + 4096 * (7 + dice(4));
	strcpy(at, names[dice(sizeof names / sizeof *names)]);
	return (long)at;
}

/* What usually stands at that place of a call: a descriptor or a name, then memory, then sizes and flags. */
static long argument(int place)
{
	if (!dice(12))
		return dice(2) ? -(long)dice(200) : (long)rand_r(&seed) << dice(33);
	if (place == 0)
		return dice(3) ? (long)dice(32) : dice(3) ? name() : pointer();
	if (place == 1 && dice(3))
		return dice(3) ? pointer() : name();
	switch (dice(7)) {
	case 0: case 1: return dice(34); /* a descriptor, a command, a small number */
	case 2: case 3: return pointer();
	case 4: return 1L << dice(20);
	case 5: return dice(2) ? 0 : dice(70000);
	}
	return dice(3) ? 0 : 1L << dice(20) | 1L << dice(12) | dice(8);
}

static int skipped(long nr, const long *a)
{
	if (nr == SYS_exit || nr == SYS_exit_group || nr == SYS_rt_sigreturn || nr == SYS_pause || nr == SYS_vfork || nr == SYS_fork ||
	    nr == SYS_clone || nr == SYS_clone3 || nr == SYS_rt_sigsuspend || nr == SYS_munmap || nr == SYS_mremap || nr == SYS_sync ||
	    nr == SYS_rt_sigtimedwait || nr == SYS_futex || nr == SYS_nanosleep || nr == SYS_clock_nanosleep || nr == SYS_wait4 ||
	    nr == SYS_arch_prctl || nr == SYS_mprotect || nr == SYS_brk || nr == SYS_execve || nr == SYS_execveat || nr == 335 || nr == 336 ||
	    nr == SYS_alarm || nr == SYS_close_range || nr == SYS_setrlimit || nr == SYS_chroot || (nr == SYS_prlimit64 && a[2]) ||
	    (nr == SYS_close && dice(8)) || ((nr == SYS_read || nr == SYS_readv) && a[0] == 0))
		return 1;
	return (nr == SYS_kill || nr == SYS_tkill || nr == SYS_tgkill || nr == SYS_rt_sigqueueinfo || nr == SYS_pidfd_send_signal) &&
	       (a[1] || a[2]);
}

static void kinds(void)
{
	int p[2];
	int null = open("/dev/null", O_RDWR); /* the output is for verdicts */
	dup2(null, 1), dup2(null, 2), dup2(null, 0);
	open("/tmp/ok", O_RDWR);
	open("/tmp/new", O_RDWR | O_CREAT, 0644);
	(void)!pipe2(p, O_NONBLOCK);
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p);
	socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, p);
	socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	epoll_create1(0);
	eventfd(1, EFD_NONBLOCK);
	timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	inotify_init1(IN_NONBLOCK);
	memfd_create("m", 3);
	open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
	open("/proc/self/maps", O_RDONLY);
	open("/proc/self", O_RDONLY);
	open("/tmp", O_PATH);
	open("/tmp", O_RDONLY);
	open("/dev/zero", O_RDWR);
	open("/dev/shm/y", O_RDWR | O_CREAT, 0644);
	syscall(SYS_pidfd_open, getpid(), 0);
	syscall(SYS_signalfd4, -1, memory, 8, O_NONBLOCK);
	socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, 0);
}

static void sequence(void)
{
	memory = mmap(NULL, PAGES * 4096 + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(memory + PAGES * 4096, 4096, PROT_NONE);
	for (int i = 0; i < PAGES * 4096; i++)
		memory[i] = dice(3) ? 0 : rand_r(&seed) >> 8;
	kinds();
	alarm(2);
	signal(SIGPIPE, SIG_IGN), signal(SIGIO, SIG_IGN), signal(SIGXFSZ, SIG_IGN);
	for (int i = 0; i < CALLS; i++) {
		long nr = dice(5) ? (long)dice(335) : 424 + (long)dice(44), a[6];
		for (int k = 0; k < 6; k++)
			a[k] = argument(k);
		if (!skipped(nr, a))
			syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	}
}

CASE(sequences)
{
	int rounds = given("rounds") ? atoi(given("rounds")) : 100;
	unsigned first = given("seed") ? strtoul(given("seed"), NULL, 0) : 1;
	for (int i = 0; i < rounds; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			setpgid(0, 0);
			seed = first + i;
			sequence();
			syscall(SYS_kill, 0, SIGKILL);
			_exit(0);
		}
		int status;
		int64_t end = now_ms() + 3000;
		while (waitpid(pid, &status, WNOHANG | __WALL) == 0) {
			if (now_ms() > end) {
				kill(pid, SIGKILL);
				kill(-pid, SIGKILL);
				waitpid(pid, &status, __WALL);
				break;
			}
			usleep(2000);
		}
	}
}

CASE(everyday_work_afterwards)
{
	int p[2];
	char c;
	NEEDED(pipe(p));
	BREACH_IF(write(p[1], "x", 1) != 1 || read(p[0], &c, 1) != 1);
	pid_t pid = NEEDED(fork());
	if (!pid)
		_exit(5);
	int status;
	NEEDED(waitpid(pid, &status, 0));
	BREACH_IF(WEXITSTATUS(status) != 5);
}
