/* Processes of the host: kill(2), ptrace(2), process_vm_readv(2), pidfd_open(2), sched(7), prlimit(2), setns(2), seccomp(2). */
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
