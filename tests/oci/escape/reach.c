/* Processes of the host: kill(2), ptrace(2), process_vm_readv(2), pidfd_open(2), sched(7), prlimit(2), setns(2), and the
 * Sentry's own devices: its loader's call, its descriptors, its filter. */
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

static int others[64], other_count;

/* Numbers of the host's processes, those around, and everything that is no number of ours. */
static void find_others(void)
{
	for (char *p = strdup(given("pids")), *word; (word = strsep(&p, ","));) {
		int base = atoi(word);
		for (int near = -1; near <= 1 && other_count < 60; near++)
			if (base + near > 1000)
				others[other_count++] = base + near;
	}
	others[other_count++] = 0x7fffffff;
	BREACH_IF(other_count < 6);
}

#define EACH_OTHER(pid)                                                                  \
	int pid;                                                                         \
	find_others();                                                                   \
	for (int i_ = 0; i_ < other_count && (pid = others[i_], 1); i_++)

CASE(kill_by_number)
{
	EACH_OTHER(pid)
	{
		BREACH_IF(!kill(pid, 0) || errno != ESRCH);
		BREACH_IF(!kill(pid, SIGKILL));
		BREACH_IF(!kill(-pid, SIGKILL));
		BREACH_IF(!syscall(SYS_tkill, pid, SIGKILL));
		BREACH_IF(!syscall(SYS_tgkill, pid, pid, SIGKILL));
	}
}

CASE(kill_with_data)
{
	siginfo_t info = {.si_code = SI_QUEUE};
	EACH_OTHER(pid)
	{
		BREACH_IF(!syscall(SYS_rt_sigqueueinfo, pid, SIGKILL, &info));
		BREACH_IF(!syscall(SYS_rt_tgsigqueueinfo, pid, pid, SIGKILL, &info));
		union sigval v = {0};
		BREACH_IF(!sigqueue(pid, SIGKILL, v));
	}
}

CASE(every_number_there_is)
{
	int found = 0;
	for (int pid = 1; pid < 33000; pid++)
		if (!kill(pid, 0))
			found++;
	BREACH_IF(found < 2 || found > 4); /* pid 1 and this process, and what another case may have left a moment ago */
}

CASE(kill_everybody)
{
	kill(-1, SIGKILL); /* the victims on the host are looked at afterwards, and the Sentry must go on */
	kill(-1, SIGSTOP);
	kill(-1, SIGCONT);
	kill(0, SIGCONT);
}

CASE(kill_pid_1)
{
	for (int s = 1; s < 65; s++)
		if (s != SIGCHLD)
			kill(1, s);
	kill(1, SIGCONT);
}

CASE(pidfds)
{
	EACH_OTHER(pid)
	{
		BREACH_IF(syscall(SYS_pidfd_open, pid, 0) >= 0);
		BREACH_IF(syscall(SYS_pidfd_send_signal, pid, SIGKILL, NULL, 0) >= 0);
		BREACH_IF(syscall(SYS_pidfd_getfd, pid, 0, 0) >= 0);
	}
	int own = syscall(SYS_pidfd_open, getpid(), 0);
	if (own >= 0)
		for (int fd = 3; fd < 300; fd++)
			BREACH_IF(fd != own && syscall(SYS_pidfd_getfd, own, fd, 0) >= 0);
}

CASE(trace)
{
	EACH_OTHER(pid)
	{
		BREACH_IF(ptrace(PTRACE_ATTACH, pid, 0, 0) != -1);
		BREACH_IF(ptrace(PTRACE_SEIZE, pid, 0, 0) != -1);
		BREACH_IF(ptrace(PTRACE_PEEKDATA, pid, 0x400000, 0) != -1);
	}
	BREACH_IF(ptrace(PTRACE_ATTACH, 0, 0, 0) != -1);
	BREACH_IF(ptrace(PTRACE_SEIZE, 0, 0, 0) != -1);
}

CASE(memory_of_others)
{
	char data[4096];
	struct iovec local = {data, sizeof data}, remote = {(void *)0x400000, sizeof data};
	EACH_OTHER(pid)
	{
		BREACH_IF(process_vm_readv(pid, &local, 1, &remote, 1, 0) >= 0);
		BREACH_IF(process_vm_writev(pid, &local, 1, &remote, 1, 0) >= 0);
	}
	BREACH_IF(process_vm_readv(0, &local, 1, &remote, 1, 0) >= 0);
	for (int pid = 2; pid < 300; pid++)
		if (pid != getpid() && process_vm_readv(pid, &local, 1, &remote, 1, 0) > 0)
			check_bytes("memory", data, sizeof data);
}

CASE(comparison_and_lists)
{
	EACH_OTHER(pid)
	{
		void *head;
		size_t size;
		BREACH_IF(syscall(SYS_kcmp, pid, getpid(), 2, 0, 0) >= 0);
		BREACH_IF(syscall(SYS_get_robust_list, pid, &head, &size) >= 0);
		BREACH_IF(syscall(SYS_process_mrelease, pid, 0) >= 0);
		BREACH_IF(syscall(SYS_move_pages, pid, 0, NULL, NULL, NULL, 0) == 0);
		unsigned long nodes = 1;
		BREACH_IF(syscall(SYS_migrate_pages, pid, 64, &nodes, &nodes) >= 0);
	}
}

CASE(scheduling_of_others)
{
	struct sched_param p = {0};
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	EACH_OTHER(pid)
	{
		BREACH_IF(!sched_setaffinity(pid, sizeof set, &set) || !sched_getaffinity(pid, sizeof set, &set));
		BREACH_IF(!sched_setscheduler(pid, SCHED_IDLE, &p) || sched_getscheduler(pid) >= 0);
		BREACH_IF(!setpriority(PRIO_PROCESS, pid, 19) || !setpriority(PRIO_PGRP, pid, 19));
		BREACH_IF(syscall(SYS_ioprio_set, 1, pid, 3 << 13) == 0);
		BREACH_IF(syscall(SYS_sched_setattr, pid, &p, 0) == 0);
	}
	setpriority(PRIO_USER, 65534, 19);
	setpriority(PRIO_USER, 0, 1);
}

CASE(limits_of_others)
{
	struct rlimit r = {0, 0};
	EACH_OTHER(pid)
	{
		BREACH_IF(!prlimit(pid, RLIMIT_CPU, &r, NULL));
		BREACH_IF(!prlimit(pid, RLIMIT_NOFILE, NULL, &r));
	}
}

CASE(groups_and_sessions_of_others)
{
	EACH_OTHER(pid)
	{
		BREACH_IF(getpgid(pid) >= 0 || getsid(pid) >= 0);
		BREACH_IF(!setpgid(0, pid) || !setpgid(pid, 0));
		BREACH_IF(waitpid(pid, NULL, WNOHANG) >= 0);
		BREACH_IF(tcsetpgrp(0, pid) == 0);
	}
}

CASE(signals_by_other_ways)
{
	int p[2];
	NEEDED(pipe(p));
	EACH_OTHER(pid)
	{
		fcntl(p[0], F_SETOWN, pid), fcntl(p[0], F_SETSIG, SIGKILL), fcntl(p[0], F_SETFL, O_ASYNC);
		write(p[1], "x", 1);
		struct sigevent e = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGKILL};
		e._sigev_un._tid = pid;
		timer_t t;
		BREACH_IF(!timer_create(CLOCK_MONOTONIC, &e, &t));
		clockid_t clock = (~(clockid_t)pid << 3) | 2;
		struct timespec ts;
		BREACH_IF(pid < 1 << 28 && !clock_gettime(clock, &ts));
	}
}

CASE(namespaces_entered)
{
	static const char *const kinds[] = {"mnt", "pid", "net", "user", "uts", "ipc", "cgroup", "time", "pid_for_children"};
	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		char path[64];
		snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
		int fd = open(path, O_RDONLY);
		if (fd >= 0)
			setns(fd, 0);
		EACH_OTHER(pid)
		{
			snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, kinds[i]);
			BREACH_IF(open(path, O_RDONLY) >= 0);
		}
		other_count = 0;
	}
	BREACH_IF(!access("/rootfs", F_OK));
}

CASE(namespaces_made)
{
	static const long flags[] = {0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000};
	for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
		unshare(flags[i]); /* where it works it is the Sentry's own */
		pid_t pid = syscall(SYS_clone, flags[i] | SIGCHLD, 0, 0, 0, 0);
		if (pid == 0)
			_exit(0);
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
	char text[200] = "";
	int fd = open("/proc/self/uid_map", O_RDWR);
	if (fd >= 0) {
		write(fd, "0 0 1", 5);
		pread(fd, text, sizeof text, 0);
		BREACH_IF(strstr(text, "65534"));
	}
	BREACH_IF(!access("/rootfs", F_OK));
}

CASE(odd_clones)
{
	static const long flags[] = {CLONE_PARENT, CLONE_UNTRACED, CLONE_PTRACE, CLONE_THREAD, CLONE_SIGHAND, CLONE_VM | CLONE_VFORK,
		0x200000000L, CLONE_PIDFD, CLONE_IO, CLONE_CHILD_CLEARTID, ~0xffL, 0xff, CLONE_PARENT | CLONE_NEWPID};
	for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
		if (flags[i] & CLONE_VM || (flags[i] & CLONE_THREAD))
			continue; /* would share this stack */
		pid_t pid = syscall(SYS_clone, flags[i], 0, 0, 0, 0);
		if (pid == 0) {
			BREACH_IF(kill(1, 0));
			_exit(0);
		}
		struct {
			uint64_t words[11];
		} args = {{flags[i], 0, 0, 0, SIGCHLD, 0, 0, 0, 0, 0, 0}};
		pid = syscall(SYS_clone3, &args, sizeof args);
		if (pid == 0)
			_exit(0);
	}
}

CASE(second_listener)
{
	struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)};
	struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_filter trace_[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE)};
	struct sock_filter log_[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_LOG)};
	struct sock_filter *all[] = {code, allow, trace_, log_};
	find_others();
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	for (int i = 0; i < 4; i++) {
		struct sock_fprog prog = {1, all[i]};
		int fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
		BREACH_IF(fd >= 0 && i == 0);
		pid_t pid = fork();
		if (pid == 0) {
			prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
			/* an allowing filter must allow nothing new */
			BREACH_IF(syscall(SYS_open, given("path"), O_RDONLY) >= 0);
			BREACH_IF(syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) == 0 && syscall(SYS_kill, others[0], 0) == 0);
			_exit(0);
		}
		int status;
		waitpid(pid, &status, 0);
		BREACH_IF(WIFEXITED(status) && WEXITSTATUS(status) == BREACHED);
	}
}

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
