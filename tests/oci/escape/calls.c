/* System calls that reach past a container, or deep into a kernel (syscalls(2)): each must be refused, even with every
 * capability, or be answered by the sandbox's own kernel without an effect on the host (test_escape.py looks there). */
#include "escape.h"
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <sys/fanotify.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/timex.h>

#define REFUSED(name, ...)                                                               \
	CASE(name)                                                                       \
	{                                                                                \
		long result = syscall(__VA_ARGS__);                                      \
		BREACH_IF(result != -1);                                                 \
	}

static char room[8192];
static struct timespec epoch;
static struct io_uring_params ring;
static struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof event, .config = PERF_COUNT_SW_CPU_CLOCK};
static union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
static union bpf_attr program = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER};

/* code in the kernel */
REFUSED(bpf_map, SYS_bpf, BPF_MAP_CREATE, &map, sizeof map)
REFUSED(bpf_program, SYS_bpf, BPF_PROG_LOAD, &program, sizeof program)
REFUSED(bpf_next_program, SYS_bpf, BPF_PROG_GET_NEXT_ID, &map, sizeof map)
REFUSED(perf_self, SYS_perf_event_open, &event, 0, -1, -1, 0)
REFUSED(perf_everybody, SYS_perf_event_open, &event, -1, 0, -1, 0)
REFUSED(page_faults, SYS_userfaultfd, O_CLOEXEC)
REFUSED(page_faults_of_the_user, SYS_userfaultfd, O_CLOEXEC | 1)
REFUSED(rings, SYS_io_uring_setup, 8, &ring)
REFUSED(rings_entered, SYS_io_uring_enter, 0, 1, 1, 0, NULL, 0)
REFUSED(rings_registered, SYS_io_uring_register, 0, 0, room, 1)
REFUSED(module, SYS_init_module, room, sizeof room, "")
REFUSED(module_from_a_file, SYS_finit_module, 0, "", 0)
REFUSED(module_removed, SYS_delete_module, "ext4", O_NONBLOCK)
REFUSED(other_kernel, SYS_kexec_load, 0, 0, NULL, 0)
REFUSED(other_kernel_from_a_file, SYS_kexec_file_load, 0, 1, 1, "", 0)
REFUSED(module_queried, SYS_query_module, NULL, 1, room, sizeof room, room)
REFUSED(module_made, SYS_create_module, "x", 4096)
REFUSED(lookup_cookie, SYS_lookup_dcookie, 0L, room, sizeof room)

/* the machine */
REFUSED(reboot_off, SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, NULL)
REFUSED(reboot_on, SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2 + 1, LINUX_REBOOT_CMD_RESTART, NULL)
REFUSED(ports, SYS_iopl, 3)
REFUSED(ports_by_bits, SYS_ioperm, 0x70, 2, 1)
REFUSED(local_descriptors, SYS_modify_ldt, 1, room, 16)
REFUSED(swap, SYS_swapon, "/tmp/ok", 0)
REFUSED(swap_off, SYS_swapoff, "/dev/vda")
REFUSED(accounts, SYS_acct, "/tmp/ok")
REFUSED(quotas, SYS_quotactl, 0x80000700, "/dev/vda", 0, room)
REFUSED(quotas_by_descriptor, SYS_quotactl_fd, 0, 0x80000700, 0, room)
REFUSED(time_of_day, SYS_settimeofday, &epoch, NULL)
REFUSED(real_time, SYS_clock_settime, CLOCK_REALTIME, &epoch)
REFUSED(hang_up, SYS_vhangup)
REFUSED(nfs_server, SYS_nfsservctl, 0, room, room)
REFUSED(old_library, 134L, "/bin/busybox")
REFUSED(statistics, SYS_ustat, 0xfe00, room)
REFUSED(old_sysctl, SYS__sysctl, room)

/* keys */
REFUSED(key_added, SYS_add_key, "user", "escape", "x", 1, KEY_SPEC_USER_KEYRING)
REFUSED(key_asked_for, SYS_request_key, "user", "escape", NULL, 0)
REFUSED(session_joined, SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "escape", 0, 0, 0)
REFUSED(key_described, SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, room, sizeof room, 0)
REFUSED(persistent_keys, SYS_keyctl, KEYCTL_GET_PERSISTENT, 0, KEY_SPEC_PROCESS_KEYRING, 0, 0)

/* watching */
REFUSED(everything_watched, SYS_fanotify_init, FAN_CLASS_CONTENT | FAN_UNLIMITED_QUEUE, O_RDONLY)
REFUSED(marks_set, SYS_fanotify_mark, 0, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN, AT_FDCWD, "/")


/* memory of others, and secret memory */
REFUSED(advice_for_others, SYS_process_madvise, 0, room, 1, 4, 0)
REFUSED(pages_of_others, SYS_move_pages, 4000000, 1, room, NULL, room, 0)
REFUSED(secret_memory, SYS_memfd_secret, 0)

CASE(huge_memory_file)                  /* there may be such a file, but none of the host's huge pages in it */
{
	int fd = syscall(SYS_memfd_create, "x", 4);
	BREACH_IF(fd >= 0 && mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
}

/* file systems by descriptor */
CASE(mount_opened)                      /* of the sandbox's own file systems, none with code in the host's kernel */
{
	static const char *kinds[] = { "ext4", "xfs", "btrfs", "overlay", "fuse", "nfs", "9p", "bpf", "tracefs", "debugfs",
		"securityfs", "configfs", "efivarfs", "binfmt_misc", "autofs", "nsfs", "pipefs", "sockfs", "hugetlbfs" };

	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
		BREACH_IF(syscall(SYS_fsopen, kinds[i], 0) != -1);
}

REFUSED(mount_configured, SYS_fsconfig, 0, 6, NULL, NULL, 0)
REFUSED(mount_made, SYS_fsmount, 0, 0, 0)
static unsigned long mapped_ids[4] = { 0x100000, 0, 0, 3 };            /* MOUNT_ATTR_IDMAP, a user namespace */
REFUSED(mount_attributes, SYS_mount_setattr, AT_FDCWD, "/", 0, mapped_ids, sizeof mapped_ids)
REFUSED(mount_statistics, 457L, room, room, sizeof room, 0)
REFUSED(mounts_listed_of_a_namespace, 458L, "x", room, 8, 0)

/* security modules and machine features */
REFUSED(module_attributes, 459L, 100, room, room, 0)
REFUSED(module_attributes_set, 460L, 100, room, 32, 0)
REFUSED(rule_set, SYS_landlock_create_ruleset, NULL, 0, 2)
REFUSED(loaders_call, 1000L, room, sizeof room, room, 0x400000, 4096, 1)
REFUSED(beyond_the_table, 0x3fffL, 0, 0, 0, 0, 0, 0)

CASE(clocks_adjusted)
{
	struct timex t = {.modes = ADJ_FREQUENCY | ADJ_SETOFFSET, .freq = 1000000};
	BREACH_IF(syscall(SYS_adjtimex, &t) != -1);
	BREACH_IF(syscall(SYS_clock_adjtime, CLOCK_REALTIME, &t) != -1);
}

CASE(kernel_log_settings)
{
	syscall(SYS_syslog, 5, NULL, 0);
	syscall(SYS_syslog, 6, NULL, 0);
	syscall(SYS_syslog, 8, NULL, 1);
}

/* These may work inside; the test compares the host's afterwards. */
CASE(own_names)
{
	syscall(SYS_sethostname, "owned", 5);
	syscall(SYS_setdomainname, "owned", 5);
}

CASE(every_personality)
{
	for (unsigned long p = 0; p < 32; p++)
		syscall(SYS_personality, 1UL << p);
	syscall(SYS_personality, PER_LINUX32);
	char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	BREACH_IF(low == NULL);
	BREACH_IF(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
}

CASE(segment_registers)
{
	for (int code = 0x1001; code < 0x1013; code++)
		if (code != 0x1002) /* ARCH_SET_FS would end this process by itself */
			syscall(SYS_arch_prctl, code, room);
	for (int code = 0x2001; code < 0x2004; code++)
		syscall(SYS_arch_prctl, code, room);
}

CASE(every_prctl)
{
	for (int option = 0; option < 80; option++) {
		pid_t pid = fork();
		if (pid == 0) {
			for (long a = 0; a < 4; a++)
				syscall(SYS_prctl, option, a, room, room, 0);
			syscall(SYS_prctl, option, -1, -1, -1, -1);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
}

CASE(capabilities_are_only_ours)
{
	char text[8192] = "";
	/* whatever CapEff says, the host's answers are those for nobody */
	BREACH_IF(mount("proc", "/proc/sys", "proc", MS_REMOUNT, "hidepid=0") == 0 && access("/proc/sys/kernel/core_pattern", W_OK) == 0 &&
		  open("/proc/sys/kernel/core_pattern", O_WRONLY) >= 0 && write(open("/proc/sys/kernel/core_pattern", O_WRONLY), "x", 1) == 1);
	int fd = open("/proc/self/status", O_RDONLY);
	BREACH_IF(fd < 0 || read(fd, text, sizeof text - 1) <= 0);
	BREACH_IF(!strstr(text, "CapEff"));
}

CASE(every_ioctl_of_standard_descriptors)
{
	for (int fd = 0; fd < 3; fd++)
		for (unsigned long type = 0; type < 256; type += 1)
			for (unsigned long nr = 0; nr < 256; nr += 7) {
				ioctl(fd, type << 8 | nr, room);
				ioctl(fd, 0xc0000000UL | 64UL << 16 | type << 8 | nr, room);
			}
}

CASE(every_socket_family)
{
	for (int family = 0; family < 64; family++)
		for (int type = 1; type < 11; type++) {
			int s = socket(family, type, 0);
			if (s < 0)
				continue;
			BREACH_IF(family != AF_UNIX && family != AF_INET && family != AF_INET6 && family != AF_NETLINK && family != AF_PACKET);
			close(s);
		}
}

CASE(every_socket_option)
{
	static const int families[] = {AF_UNIX, AF_INET, AF_INET6};
	static const int levels[] = {0, 1, 6, 17, 41, 255, 263, 270, -1};
	for (unsigned f = 0; f < 3; f++)
		for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
			int s = socket(families[f], type, 0);
			for (unsigned l = 0; s >= 0 && l < sizeof levels / sizeof *levels; l++)
				for (int option = 0; option < 80; option++) {
					socklen_t n = sizeof room;
					memset(room, option, 64);
					setsockopt(s, levels[l], option, room, option % 3 ? 4 : 64);
					setsockopt(s, levels[l], option, room, 0x7fffffff);
					if (!getsockopt(s, levels[l], option, room, &n))
						BREACH_IF(n > sizeof room);
				}
			close(s);
		}
}
