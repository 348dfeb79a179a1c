/* Mounts, devices and handles that lead out: mount(2), mknod(2), open_by_handle_at(2), pivot_root(2), proc_sys(5). */
#include "paths.h"

CASE(bind_mounts)
{
	char path[PATH_MAX];
	look();
	mkdir("/tmp/mnt", 0755);
	static const char *const sources[] = {"/", "/..", "/proc/1/root", "/proc/self/root/..", "/tmp/dir", "/tmp/hostroot",
		"/proc/self/cwd", "/dev", "/proc"};
	for (unsigned i = 0; i < sizeof sources / sizeof *sources; i++) {
		if (mount(sources[i], "/tmp/mnt", NULL, MS_BIND | MS_REC, NULL))
			continue;
		check_path("/tmp/mnt/secret");
		check_path("/tmp/mnt/../../secret");
		int fd = open("/tmp/mnt", O_PATH);
		if (fd >= 0)
			climb_from(fd);
		BREACH_IF(!access("/tmp/mnt/rootfs", F_OK));
		umount2("/tmp/mnt", MNT_DETACH);
	}
	snprintf(path, sizeof path, "%s", given("bundle"));
	BREACH_IF(!mount(path, "/tmp/mnt", NULL, MS_BIND, NULL));
	BREACH_IF(!mount(given("path"), "/tmp/ok", NULL, MS_BIND, NULL));
}

CASE(file_systems_mounted)
{
	static const char *const types[] = {"ext4", "ext3", "xfs", "btrfs", "vfat", "iso9660", "squashfs", "overlay", "fuse", "fuseblk",
		"cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "bpf", "configfs", "hugetlbfs", "9p", "nfs", "cifs",
		"devtmpfs", "proc", "sysfs", "binfmt_misc", "pstore", "efivarfs", "rpc_pipefs", "nsfs", "virtiofs", "tmpfs",
		"ramfs", "devpts", "mqueue", "autofs", "rootfs", "bdev", "sockfs", "aufs", "fusectl"};
	look();
	mkdir("/tmp/fs", 0755);
	for (unsigned i = 0; i < sizeof types / sizeof *types; i++) {
		static const char *const sources[] = {"none", "/dev/sda", "/dev/vda", "/dev/vda1", "/", "127.0.0.1:/"};
		for (unsigned s = 0; s < sizeof sources / sizeof *sources; s++) {
			char data[PATH_MAX * 2] = "";
			if (!strcmp(types[i], "overlay"))
				snprintf(data, sizeof data, "lowerdir=%s:/..", given("bundle"));
			if (mount(sources[s], "/tmp/fs", types[i], 0, data))
				continue;
			struct stat st;
			check_path("/tmp/fs/secret");
			BREACH_IF(!access("/tmp/fs/rootfs", F_OK) || !access("/tmp/fs/boot", F_OK) || !access("/tmp/fs/release_agent", F_OK));
			BREACH_IF(!stat("/tmp/fs/vda", &st) || !stat("/tmp/fs/sda", &st) || !stat("/tmp/fs/mem", &st));
			int at = NEEDED(open("/tmp/fs", O_PATH));
			climb_from(at);
			close(at);
			umount2("/tmp/fs", MNT_DETACH);
		}
	}
}

CASE(device_nodes)
{
	/* memory, disks, loops, input, misc, tty, nvram, fuse, tun, kvm: every major that a host may have */
	for (int block = 0; block < 2; block++)
		for (unsigned major = 0; major < 260; major++)
			for (unsigned minor = 0; minor < (major == 1 || major == 10 ? 256 : 3); minor++) {
				mode_t kind = block ? S_IFBLK : S_IFCHR;
				unlink("/tmp/node");
				if (mknod("/tmp/node", kind | 0666, makedev(major, minor)))
					continue;
				int fd = open("/tmp/node", O_RDONLY | O_NONBLOCK | O_NOCTTY);
				int harmless = !block && ((major == 1 && (minor == 3 || minor == 5 || minor == 7 || minor == 8 || minor == 9)) ||
							  (major == 5 && minor < 3));
				if (fd >= 0 && !harmless)
					BREACH("%s %u:%u can be opened", block ? "block" : "char", major, minor);
				close(fd);
			}
}

CASE(file_handles)
{
	struct {
		struct file_handle h;
		unsigned char room[128];
	} handle = {.h = {.handle_bytes = 128}};
	int id, at = NEEDED(open("/", O_RDONLY));
	if (!name_to_handle_at(AT_FDCWD, "/", &handle.h, &id, 0))
		handle.h.handle_bytes = 8;
	for (int type = 0; type < 3; type++)
		for (uint32_t ino = 2; ino < 130; ino++) { /* the root of ext4 is 2, of xfs 128 */
			handle.h.handle_bytes = 8;
			handle.h.handle_type = type;
			memcpy(handle.h.f_handle, &ino, 4);
			memset(handle.h.f_handle + 4, 0, 4);
			int fd = open_by_handle_at(at, &handle.h, O_RDONLY);
			BREACH_IF(fd >= 0 && !is_top(fd));
		}
}

CASE(directories_sent_over_sockets)
{
	int pair[2], got;
	char byte = 0, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&byte, 1};
	look();
	NEEDED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	int sent = NEEDED(open("/", O_PATH));
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &sent, sizeof sent);
	NEEDED(sendmsg(pair[0], &m, 0));
	mkdir("/tmp/jail2", 0755);
	NEEDED(chroot("/tmp/jail2"));
	m.msg_controllen = sizeof control;
	NEEDED(recvmsg(pair[1], &m, 0));
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof got);
	climb_from(got);
}

CASE(own_program_overwritten)
{
	char target[PATH_MAX] = "";
	int fd = open("/proc/self/exe", O_WRONLY);
	BREACH_IF(fd >= 0);
	readlink("/proc/self/exe", target, sizeof target);
	BREACH_IF(strcmp(target, "/bin/mounts"));
	fd = NEEDED(open("/proc/self/exe", O_PATH));
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	BREACH_IF(open(path, O_WRONLY | O_TRUNC) >= 0);
	check_path("/tmp/fd63");
	BREACH_IF(open("/tmp/fd63", O_RDWR) >= 0);
}

static void scribble(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	if (fd >= 0)
		write(fd, text, strlen(text));
	close(fd);
}

/* What was written is compared on the host afterwards. */
CASE(settings_of_the_host)
{
	scribble("/proc/sys/kernel/core_pattern", "|/tmp/owned");
	scribble("/proc/sys/kernel/modprobe", "/tmp/owned");
	scribble("/proc/sys/kernel/hostname", "owned");
	scribble("/proc/sys/kernel/domainname", "owned");
	scribble("/proc/sys/vm/overcommit_memory", "2");
	scribble("/proc/sys/kernel/randomize_va_space", "0");
	scribble("/proc/sys/kernel/pid_max", "301");
	scribble("/proc/sys/fs/file-max", "10");
	scribble("/proc/sysrq-trigger", "h");
	scribble("/sys/kernel/uevent_helper", "/tmp/owned");
	scribble("/sys/kernel/mm/transparent_hugepage/enabled", "never");
	scribble("/sys/fs/cgroup/release_agent", "/tmp/owned");
	scribble("/sys/fs/cgroup/cgroup.procs", "1");
	scribble("/sys/power/state", "mem");
	scribble("/proc/self/oom_score_adj", "-1000");
	scribble("/proc/self/uid_map", "0 0 1");
	scribble("/proc/self/setgroups", "allow");
	scribble("/proc/1/oom_adj", "-17");
	scribble("/proc/self/attr/current", "unconfined");
	scribble("/proc/self/coredump_filter", "ff");
	scribble("/proc/self/loginuid", "0");
	scribble("/proc/acpi/wakeup", "x");
	scribble("/proc/mtrr", "x");
}

CASE(attributes_of_the_root)
{
	static const char *const names[] = {"trusted.overlay.opaque", "trusted.overlay.redirect", "security.selinux",
		"security.ima", "security.evm", "system.posix_acl_access", "trusted.x"};
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		BREACH_IF(!setxattr("/tmp", names[i], "y", 1, 0));
}

CASE(mounts_by_descriptor)
{
	int fd = syscall(SYS_open_tree, AT_FDCWD, given("bundle"), 1);
	BREACH_IF(fd >= 0);
	fd = syscall(SYS_open_tree, AT_FDCWD, "/..", 1);
	if (fd >= 0)
		climb_from(fd);
	BREACH_IF(syscall(SYS_fsopen, "ext4", 0) >= 0);
	BREACH_IF(syscall(SYS_fspick, AT_FDCWD, given("bundle"), 0) >= 0);
	BREACH_IF(syscall(SYS_move_mount, AT_FDCWD, given("bundle"), AT_FDCWD, "/tmp", 0) == 0);
}

CASE(symlink_loops)
{
	struct stat st;
	BREACH_IF(!stat("/tmp/loop", &st) || open("/tmp/loop/secret", O_RDONLY) >= 0);
	char target[64], name[64];
	for (int i = 0; i < 60; i++) {
		snprintf(target, sizeof target, i ? "/tmp/chain%d" : "/tmp/abs", i - 1);
		snprintf(name, sizeof name, "/tmp/chain%d", i);
		NEEDED(symlink(target, name));
		check_path(name);
	}
}

CASE(working_directory_above)
{
	static char text[PATH_MAX];
	NEEDED(chdir("/.."));
	BREACH_IF(syscall(SYS_getcwd, text, sizeof text) < 0 || strcmp(text, "/"));
	NEEDED(chdir("/tmp"));
	BREACH_IF(!getcwd(text, sizeof text) || strcmp(text, "/tmp"));
	check_bytes("getcwd", text, strlen(text));
}

/* The last ones: they take the mounts away. */
CASE(the_root_unmounted)
{
	look();
	umount2("/", MNT_DETACH);
	look();
	umount2("/proc", MNT_DETACH), umount2("/dev", MNT_DETACH), umount2("/sys", MNT_DETACH);
	check_path("/proc/self/environ");
	look();
	climb_from(open("/", O_PATH));
}

CASE(pivot_root_tricks)
{
	look();
	mkdir("/tmp/new", 0755), mkdir("/tmp/new/old", 0755);
	if (!mount("none", "/tmp/new", "tmpfs", 0, "")) {
		mkdir("/tmp/new/old", 0755);
		if (!syscall(SYS_pivot_root, "/tmp/new", "/tmp/new/old")) {
			BREACH_IF(!access("/old/../../secret", F_OK) || !access("/old/rootfs", F_OK));
			chdir("/old/..");
			look();
		}
	}
	syscall(SYS_pivot_root, "/", "/");
	syscall(SYS_pivot_root, ".", ".");
	look();
}
