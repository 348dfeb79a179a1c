/*
 * The way to the spawner (spawner.c): namespaces with nothing of the host, no capabilities, then its program.
 * It is C because between fork and exec no Python may run. Every value comes from the caller.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

enum { MAX_SHARED = 16384 }; /* as sentry/kernel/limits.py tells the guest */
enum { LINK = 3, SPAWNER = 4, ABOVE = 100 }; /* the spawner's own end; first descriptors go above all that have a fixed number */

/* What the launch tells the Sentry, on a page that both share. `failed_step` names the line that went wrong. */
struct launch_state {
	volatile int spawner_ready, mapped, failed_step, failed_errno;
};

static void *scratch_state;

void *eng_launch_state(void)
{
	if (!scratch_state)
		scratch_state = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return scratch_state == MAP_FAILED ? NULL : scratch_state;
}

static _Noreturn void fail(struct launch_state *st, int step)
{
	st->failed_errno = errno;
	st->failed_step = step;
	_exit(1);
}

static void default_signals(void)
{
	struct sigaction act = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int s = 1; s <= 64; s++)
		sigaction(s, &act, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Queued signals and threads are the host's, where others share them (setrlimit(2)). */
static int lower(int resource, rlim_t most)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit))
		return -1;
	if (limit.rlim_max > most)
		limit.rlim_max = most;
	if (limit.rlim_cur > limit.rlim_max)
		limit.rlim_cur = limit.rlim_max;
	return setrlimit(resource, &limit);
}

/* channel_fd: what a platform without a listener hands descriptors over by; every guest has it at channel_at. -1: none. */
static _Noreturn void become_spawner(struct launch_state *st, int link, int loader_fd, int loader_at, int channel_fd,
				     int channel_at, int spawner_fd)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { { 0 } };
	struct rlimit no_core = { 1, 1 }; /* 1 byte: neither a file nor a core_pattern pipe gets a dump (core(5)) */
	char *argv[] = { "runsc-spawner", NULL }, *envp[] = { NULL };

	if (setsid() < 0)
		fail(st, 10);
	if (setresgid(0, 0, 0) || setresuid(0, 0, 0))
		fail(st, 11);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		fail(st, 12);
	if (mount("none", "/proc", "tmpfs", 0, "size=4k,nr_inodes=4,mode=555") || chdir("/proc"))
		fail(st, 13);
	if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
		fail(st, 14);
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
		fail(st, 15);
	link = fcntl(link, F_DUPFD_CLOEXEC, ABOVE);
	loader_fd = fcntl(loader_fd, F_DUPFD_CLOEXEC, ABOVE);
	spawner_fd = fcntl(spawner_fd, F_DUPFD_CLOEXEC, ABOVE);
	if (link < 0 || spawner_fd < 0 || dup2(loader_fd, loader_at) < 0 || dup2(link, LINK) < 0)
		fail(st, 16);
	if (channel_fd >= 0 && dup2(channel_fd, channel_at) < 0)
		fail(st, 16);
	if (channel_fd < 0)
		channel_at = loader_at;
	if (dup2(spawner_fd, SPAWNER) < 0 || fcntl(SPAWNER, F_SETFD, FD_CLOEXEC))
		fail(st, 16);
	if (syscall(SYS_close_range, 0, LINK - 1, 0) || syscall(SYS_close_range, SPAWNER + 1, loader_at - 1, 0) ||
	    (channel_at > loader_at + 1 && syscall(SYS_close_range, loader_at + 1, channel_at - 1, 0)) ||
	    syscall(SYS_close_range, channel_at + 1, ~0U, 0))
		fail(st, 17);
	if (setrlimit(RLIMIT_CORE, &no_core) || lower(RLIMIT_SIGPENDING, MAX_SHARED) || lower(RLIMIT_NPROC, MAX_SHARED))
		fail(st, 18);
	for (int cap = 0; cap < 64; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &head, none))
		fail(st, 19);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fail(st, 20);
	umask(0);
	default_signals();
	syscall(SYS_execveat, SPAWNER, "", argv, envp, AT_EMPTY_PATH);
	fail(st, 21);
}

/*
 * Fork the spawner; it returns only in the parent, with the spawner's pid. The parent writes the user namespace's maps
 * when `spawner_ready` is set and then sets `mapped`. The guests become the caller's children (CLONE_PARENT).
 */
int eng_spawn(int link, int loader_fd, int loader_at, int channel_fd, int channel_at, int spawner_fd)
{
	struct launch_state *st = scratch_state;
	int pid = fork();

	if (pid)
		return pid < 0 ? -errno : pid;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |
		    CLONE_NEWPID | CLONE_NEWTIME))
		fail(st, 1);
	st->spawner_ready = 1;
	while (!st->mapped)
		usleep(20);
	become_spawner(st, link, loader_fd, loader_at, channel_fd, channel_at, spawner_fd);
}
