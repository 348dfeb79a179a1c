/* The Sentry's own devices: its loader's call, its descriptors, its filter; calls of other architectures. */
#include "escape.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

CASE(notifications_of_my_own)
{
	for (int fd = 0; fd < 300; fd++) {
		char room[256] = "";
		BREACH_IF(ioctl(fd, 0xc0502100UL, room) == 0); /* SECCOMP_IOCTL_NOTIF_RECV */
		BREACH_IF(ioctl(fd, 0xc0182101UL, room) == 0);
		BREACH_IF(ioctl(fd, 0x40182103UL, room) >= 0);
	}
}

CASE(the_loaders_call)
{
	static char room[8192];
	for (int size = 0; size <= 8192; size += 512) {
		BREACH_IF(syscall(1000, room, size, room, 0x400000, 4096, 1) >= 0);
		BREACH_IF(syscall(1000, 0, size, 0, 0, ~0UL, 1) >= 0);
	}
	BREACH_IF(syscall(1001) >= 0 || syscall(999) >= 0 || syscall(-1L) >= 0);
}

static volatile int exec_stop;

static void *ask_for_plans(void *unused)
{
	static char room[8192];
	(void)unused;
	while (!exec_stop) {
		BREACH_IF(syscall(1000, room, 4096, room, 0x400000, 4096, 1) > 0);
		for (long fd = 60; fd < 66; fd++) {
			long m = syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 1L << 32 | fd, 0);
			BREACH_IF(m >= 0);
			syscall(SYS_close, 1L << 32 | fd);
		}
		char *argv[] = {"sh", "-c", "exit 7", NULL};
		syscall(SYS_execveat, 63, "", argv, argv + 3, AT_EMPTY_PATH);
	}
	return NULL;
}

/* Another thread makes the loader's calls while one execs, and a process that shares its descriptors maps them. */
CASE(exec_beside_forged_loader_calls)
{
	for (int i = 0; i < 60; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			pthread_t thread;
			NEEDED(-pthread_create(&thread, NULL, ask_for_plans, NULL));
			usleep(i * 50);
			execl("/bin/busybox", "sh", "-c", "exit 5", NULL);
			_exit(9);
		}
		int status;
		waitpid(pid, &status, 0);
		BREACH_IF(WIFEXITED(status) && WEXITSTATUS(status) != 5);
	}
}

static char **flipped_argv;

static void *flip_argv(void *unused)
{
	(void)unused;
	while (!exec_stop) {
		mprotect(flipped_argv, 4096, PROT_NONE);
		mprotect(flipped_argv, 4096, PROT_READ | PROT_WRITE);
	}
	return NULL;
}

/* An exec of a set-user-id program that only the host refuses (its arguments have gone meanwhile): the old program goes on,
 * makes the loader's call itself, and must not get the rights of the program. */
CASE(rights_of_a_program_that_was_not_run)
{
	static char room[8192];
	int failed = 0;
	pthread_t thread;
	flipped_argv = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct stat st;
	BREACH_IF(stat("/bin/setuid", &st) || !(st.st_mode & S_ISUID) || st.st_uid);
	NEEDED(setresgid(1000, 1000, 1000));
	NEEDED(setresuid(1000, 1000, 1000));
	for (int i = 0; i < 3000 && failed < 200; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			char *env[] = {NULL};
			exec_stop = 0;
			flipped_argv[0] = "true", flipped_argv[1] = NULL;
			NEEDED(-pthread_create(&thread, NULL, flip_argv, NULL));
			for (int tries = 0; tries < 50; tries++) {
				syscall(SYS_execve, "/bin/setuid", flipped_argv, env);
				long n = syscall(1000, room, 4096, room, 0x400000, 4096, 1);
				BREACH_IF(n > 0 || syscall(SYS_geteuid) != 1000);
			}
			_exit(7); /* all were refused */
		}
		int status;
		waitpid(pid, &status, 0);
		BREACH_IF(WIFEXITED(status) && WEXITSTATUS(status) == BREACHED);
		failed += WIFEXITED(status) && WEXITSTATUS(status) == 7;
		if (i > 60)
			break;
	}
}

static int share_files(void *unused)
{
	(void)unused;
	for (int i = 0; i < 40; i++) {
		pid_t pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
		if (pid == 0) {
			execl("/bin/busybox", "true", NULL);
			_exit(1);
		}
		waitpid(pid, NULL, 0);
	}
	_exit(0);
}

CASE(shared_descriptors_during_exec)
{
	static char stack[1 << 16] __attribute__((aligned(16)));
	pid_t pid = clone(share_files, stack + sizeof stack, CLONE_FILES | SIGCHLD, NULL);
	NEEDED(pid);
	while (waitpid(pid, NULL, WNOHANG) == 0)
		for (long fd = 58; fd < 68; fd++) {
			long m = syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 1L << 32 | fd, 0);
			BREACH_IF(m >= 0);
		}
}

CASE(control_of_memory_layout)
{
	struct prctl_mm_map {
		uint64_t words[13];
		uint32_t size, exe_fd;
	} map = {{0}, 0, 0};
	for (int fd = -1; fd < 70; fd++) {
		map.exe_fd = fd;
		BREACH_IF(prctl(PR_SET_MM, 14, &map, sizeof map, 0) == 0);
		BREACH_IF(prctl(PR_SET_MM, 13, fd, 0, 0) == 0 && fd > 2);
	}
	BREACH_IF(syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 1L << 32, 0, 0) == 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 2);
}

CASE(own_ptrace_child)
{
	pid_t pid = fork();
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		check_path(given("path"));
		_exit(0);
	}
	int status;
	for (int i = 0; i < 100 && waitpid(pid, &status, WNOHANG | WUNTRACED) == 0; i++)
		usleep(10000);
	struct user_regs_struct regs;
	if (!ptrace(PTRACE_GETREGS, pid, 0, &regs)) {
		regs.orig_rax = SYS_execve; /* a tracer may change calls, but what is made of them is judged anew */
		ptrace(PTRACE_SETREGS, pid, 0, &regs);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}

static long call32(long nr, long a, long b, long c)
{
	long out;
	__asm__ volatile("int $0x80" : "=a"(out) : "a"(nr), "b"(a), "c"(b), "d"(c) : "r8", "r9", "r10", "r11", "memory");
	return out;
}

/* The path lies where 32 bits reach it. */
static char *low_path(void)
{
	char *page = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	BREACH_IF(page == MAP_FAILED);
	snprintf(page, 4096, "%s", given("path"));
	return page;
}

CASE(calls_of_i386)
{
	char *path = low_path();
	static const int numbers[] = {5, 295, 11, 37, 26, 120, 21, 217, 102, 359, 322, 61, 12, 33, 10, 38, 9, 14, 15, 106, 195};
	for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			int r = call32(numbers[i], (long)path, (long)path, 0);
			_exit(r >= 0 ? BREACHED : 0);
		}
		int status;
		waitpid(pid, &status, 0);
		BREACH_IF(WIFEXITED(status) && WEXITSTATUS(status) == BREACHED);
	}
}

CASE(calls_of_x32)
{
	for (long nr = 0; nr < 560; nr++) {
		pid_t pid = fork();
		if (pid == 0) {
			long r = syscall(0x40000000L | nr, given("path"), 0, 0, 0, 0, 0);
			_exit(r >= 0 || errno != ENOSYS ? BREACHED : 0);
		}
		int status;
		waitpid(pid, &status, 0);
		BREACH_IF(WIFEXITED(status) && WEXITSTATUS(status) == BREACHED);
	}
}

CASE(far_calls_into_32_bit_code)
{
	/* code segment 0x23 is 32 bits wide: sysenter and syscall from there are foreign calls as well */
	pid_t pid = fork();
	if (pid == 0) {
		unsigned char *code = mmap((void *)0x20000000, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
					   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		char *path = low_path();
		static const unsigned char text[] = {0xb8, 5, 0, 0, 0, 0xbb, 0, 0, 0, 0x10, 0x31, 0xc9, 0xcd, 0x80, 0xcb};
		memcpy(code, text, sizeof text);
		(void)path;
		struct {
			uint32_t at;
			uint16_t segment;
		} __attribute__((packed)) far = {0x20000000, 0x23};
		long r;
		__asm__ volatile("lcall *%1" : "=a"(r) : "m"(far) : "rbx", "rcx", "rdx", "memory");
		_exit((int)r >= 0 ? BREACHED : 0);
	}
	int status;
	waitpid(pid, &status, 0);
	BREACH_IF(WIFEXITED(status) && WEXITSTATUS(status) == BREACHED);
}

CASE(input_pushed_into_terminals)
{
	for (int fd = 0; fd < 3; fd++) {
		BREACH_IF(!ioctl(fd, 0x5412, "x")); /* TIOCSTI */
		BREACH_IF(!ioctl(fd, 0x540e, 1));   /* TIOCSCTTY */
		char sub = 2;
		BREACH_IF(!ioctl(fd, 0x541c, &sub)); /* TIOCLINUX */
	}
}
