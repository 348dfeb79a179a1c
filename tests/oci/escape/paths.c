/* Names that lead out: path_resolution(7), symlink(7), chroot(2), mount(2), mknod(2), open_by_handle_at(2). The file "secret"
 * lies one directory above the container's root; links to it were planted in /tmp. */
#include "escape.h"
#include <linux/openat2.h>
#include <pthread.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static const char *const planted[] = {"/tmp/abs", "/tmp/rel", "/tmp/up", "/tmp/proc1", "/tmp/procself", "/tmp/cwd",
	"/tmp/dir/secret", "/tmp/hostroot/secret", "/tmp/prog", "/tmp/dir/program"};
enum { PLANTED = sizeof planted / sizeof *planted };

static struct stat top;

static int is_top(int fd)
{
	struct stat st;
	return !fstat(fd, &st) && st.st_ino == top.st_ino && st.st_dev == top.st_dev;
}

/* `..` upwards from here must end at the container's root. */
static void climb_from(int fd)
{
	for (int i = 0; i < 60; i++) {
		int up = openat(fd, "..", O_PATH | O_DIRECTORY);
		if (up < 0)
			break;
		if (i)
			close(fd);
		fd = up;
	}
	int secret = openat(fd, "secret", O_RDONLY);
	if (secret >= 0)
		check_fd("secret from above", secret);
	BREACH_IF(secret >= 0);
	int dir = openat(fd, ".", O_RDONLY | O_DIRECTORY);
	BREACH_IF(dir >= 0 && !faccessat(dir, "rootfs", F_OK, 0));
	close(dir);
	close(fd);
}

static void look(void)
{
	char path[PATH_MAX];
	NEEDED(stat("/", &top));
	check_path("/../secret");
	check_path("../secret");
	check_path("secret");
	snprintf(path, sizeof path, "%s", given("path"));
	check_path(path);
	BREACH_IF(!access(path, F_OK));
}

CASE(dots_at_the_root)
{
	static const char *const tries[] = {"/../secret", "/../../secret", "/./.././/..//secret", "/..//..//../secret",
		"/tmp/../../secret", "/tmp/./../../secret", "/proc/../../secret", "/dev/../../secret", "/sys/../../secret",
		"/dev/pts/../../../secret", "/proc/self/../../../secret", "/bin/../../secret/", "/..", "/../rootfs/../secret"};
	look();
	for (unsigned i = 0; i < sizeof tries / sizeof *tries; i++)
		check_path(tries[i]);
	int fd = NEEDED(open("/..", O_PATH));
	BREACH_IF(!is_top(fd));
	climb_from(fd);
}

CASE(dots_by_chdir)
{
	look();
	for (int i = 0; i < 100; i++)
		NEEDED(chdir(".."));
	look();
	NEEDED(chdir("/proc/self"));
	for (int i = 0; i < 100; i++)
		NEEDED(chdir("../"));
	look();
}

CASE(dots_by_descriptor)
{
	look();
	climb_from(NEEDED(open("/", O_RDONLY | O_DIRECTORY)));
	climb_from(NEEDED(open("/tmp", O_PATH)));
	climb_from(NEEDED(open("/proc", O_PATH)));
	climb_from(NEEDED(open("/dev", O_PATH)));
	climb_from(NEEDED(open("/sys", O_PATH)));
}

CASE(planted_links_opened)
{
	for (int i = 0; i < PLANTED; i++) {
		check_path(planted[i]);
		BREACH_IF(open(planted[i], O_PATH) >= 0);
		BREACH_IF(open(planted[i], O_WRONLY) >= 0);
		BREACH_IF(open(planted[i], O_WRONLY | O_TRUNC) >= 0);
	}
}

CASE(planted_links_looked_at)
{
	struct stat st;
	struct statx sx;
	look();
	for (int i = 0; i < PLANTED; i++) {
		BREACH_IF(!stat(planted[i], &st));
		BREACH_IF(!statx(AT_FDCWD, planted[i], 0, STATX_ALL, &sx));
		BREACH_IF(!access(planted[i], F_OK));
		BREACH_IF(!chdir(planted[i]));
		BREACH_IF(getxattr(planted[i], "user.x", &st, sizeof st) >= 0);
	}
	BREACH_IF(!chdir("/tmp/dir"));
	NEEDED(chdir("/tmp/hostroot"));
	BREACH_IF(!is_top(open(".", O_PATH)));
}

CASE(planted_links_changed)
{
	struct timespec t[2] = {{1, 0}, {1, 0}};
	for (int i = 0; i < PLANTED; i++) {
		BREACH_IF(!chmod(planted[i], 0777));
		BREACH_IF(!chown(planted[i], 0, 0));
		BREACH_IF(!utimensat(AT_FDCWD, planted[i], t, 0));
		BREACH_IF(!truncate(planted[i], 0));
		BREACH_IF(!setxattr(planted[i], "user.x", "1", 1, 0));
	}
}

CASE(planted_links_executed)
{
	char *argv[] = {"program", NULL};
	char *env[] = {NULL};
	static const char *const tries[] = {"/tmp/prog", "/tmp/dir/program", "/tmp/script", "/tmp/abs", "/../program"};
	for (unsigned i = 0; i < sizeof tries / sizeof *tries; i++) {
		BREACH_IF(!execve(tries[i], argv, env));
		int fd = open(tries[i], O_PATH);
		if (fd >= 0)
			BREACH_IF(!syscall(SYS_execveat, fd, "", argv, env, AT_EMPTY_PATH));
	}
	BREACH_IF(!execve(given("program"), argv, env));
}

CASE(host_programs_as_interpreters)
{
	char text[PATH_MAX];
	char *argv[] = {"x", NULL};
	int fd = NEEDED(open("/tmp/hashbang", O_WRONLY | O_CREAT | O_TRUNC, 0755));
	int n = snprintf(text, sizeof text, "#!%s\n", given("program"));
	NEEDED(write(fd, text, n));
	close(fd);
	BREACH_IF(!execve("/tmp/hashbang", argv, argv + 1));
	static const char *const hosts[] = {"/usr/bin/python3", "/usr/bin/gcc", "/lib64/ld-linux-x86-64.so.2", "/usr/bin/podman"};
	for (unsigned i = 0; i < sizeof hosts / sizeof *hosts; i++)
		BREACH_IF(!execve(hosts[i], argv, argv + 1));
}

CASE(open_how)
{
	static const uint64_t resolve[] = {0, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS,
		RESOLVE_NO_SYMLINKS, RESOLVE_CACHED, RESOLVE_IN_ROOT | RESOLVE_NO_XDEV, ~0UL};
	int dir = NEEDED(open("/tmp", O_PATH));
	for (unsigned r = 0; r < sizeof resolve / sizeof *resolve; r++) {
		struct open_how how = {O_RDONLY, 0, resolve[r]};
		for (int i = 0; i < PLANTED; i++)
			BREACH_IF(syscall(SYS_openat2, dir, planted[i], &how, sizeof how) >= 0);
		int fd = syscall(SYS_openat2, dir, "../../secret", &how, sizeof how);
		BREACH_IF(fd >= 0);
		how.flags = O_PATH;
		fd = syscall(SYS_openat2, dir, "..", &how, sizeof how);
		if (fd >= 0)
			climb_from(fd);
	}
}

CASE(roots_in_proc)
{
	look();
	DIR *dir = opendir("/proc");
	struct dirent *e;
	BREACH_IF(!dir);
	while ((e = readdir(dir))) {
		static const char *const links[] = {"root", "cwd", "exe", "fd/63", "fd/62", "fd/61", "fd/64", "ns/mnt"};
		for (unsigned i = 0; i < sizeof links / sizeof *links; i++) {
			char path[PATH_MAX];
			snprintf(path, sizeof path, "/proc/%s/%s/../secret", e->d_name, links[i]);
			check_path(path);
			snprintf(path, sizeof path, "/proc/%s/%s", e->d_name, links[i]);
			int fd = open(path, O_PATH);
			if (fd >= 0)
				climb_from(fd);
			close(fd);
		}
	}
}

CASE(magic_links_of_descriptors)
{
	char path[PATH_MAX];
	look();
	int fd = NEEDED(open("/", O_PATH));
	snprintf(path, sizeof path, "/proc/self/fd/%d/../secret", fd);
	check_path(path);
	snprintf(path, sizeof path, "/proc/self/fd/%d/tmp/abs", fd);
	check_path(path);
	int link = NEEDED(open("/tmp/abs", O_PATH | O_NOFOLLOW));
	snprintf(path, sizeof path, "/proc/self/fd/%d", link);
	BREACH_IF(open(path, O_RDONLY) >= 0);
	BREACH_IF(openat(link, "", O_RDONLY) >= 0);
	for (int i = 0; i < 300; i++) {
		if (i == fd || i == link)
			continue;
		snprintf(path, sizeof path, "/proc/self/fd/%d", i);
		int up = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
		BREACH_IF(i > 2 && up >= 0);
		close(up);
	}
}

CASE(numbers_of_descriptors_not_mine)
{
	struct stat st;
	for (int fd = 3; fd < 300; fd++) {
		char c;
		BREACH_IF(!fstat(fd, &st) || dup(fd) >= 0 || openat(fd, ".", O_RDONLY) >= 0 || fchdir(fd) == 0);
		BREACH_IF(pread(fd, &c, 1, 0) >= 0 || ioctl(fd, 0x5401, &st) == 0);
		BREACH_IF(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
		BREACH_IF(syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_SHARED, 1L << 32 | fd, 0) >= 0);
		BREACH_IF(syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 1L << 32 | fd, 0) >= 0);
		BREACH_IF(syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, 1L << 32 | fd, 0) >= 0);
	}
	char *argv[] = {"x", NULL};
	BREACH_IF(!syscall(SYS_execveat, 63, "", argv, argv + 1, AT_EMPTY_PATH));
	BREACH_IF(!syscall(SYS_execveat, 1L << 32 | 63, "", argv, argv + 1, AT_EMPTY_PATH));
}

CASE(chroot_and_out)
{
	look();
	int out = NEEDED(open("/", O_RDONLY | O_DIRECTORY));
	mkdir("/tmp/jail", 0755);
	NEEDED(chroot("/tmp/jail"));
	NEEDED(fchdir(out));
	for (int i = 0; i < 50; i++)
		chdir("..");
	BREACH_IF(!access("secret", F_OK));
	NEEDED(chroot("."));
	look();
	BREACH_IF(!access("/rootfs", F_OK));
}

CASE(chroot_and_rename)
{
	look();
	mkdir("/tmp/a", 0755), mkdir("/tmp/a/b", 0755), mkdir("/tmp/c", 0755);
	pid_t pid = fork();
	if (!pid) {
		NEEDED(chroot("/tmp/a"));
		NEEDED(chdir("/b"));
		usleep(50000);
		for (int i = 0; i < 50; i++)
			chdir("..");
		BREACH_IF(!access("secret", F_OK) || !access("rootfs", F_OK));
		_exit(0);
	}
	usleep(20000);
	NEEDED(rename("/tmp/a/b", "/tmp/c/b"));
	int status;
	waitpid(pid, &status, 0);
	BREACH_IF(status);
}

static volatile int stop;
static const char *flip_from, *flip_to, *flip_third;

static void *flip_names(void *unused)
{
	(void)unused;
	while (!stop) {
		rename(flip_from, flip_to);
		rename(flip_to, flip_from);
	}
	return NULL;
}

static void *flip_exchange(void *unused)
{
	(void)unused;
	while (!stop)
		if (syscall(SYS_renameat2, AT_FDCWD, flip_from, AT_FDCWD, flip_to, 2)) {
			rename(flip_from, flip_third);
			rename(flip_to, flip_from);
			rename(flip_third, flip_to);
		}
	return NULL;
}

CASE(directory_moves_while_it_is_walked)
{
	pthread_t thread;
	look();
	mkdir("/tmp/x", 0755), mkdir("/tmp/x/y", 0755), mkdir("/tmp/x/y/z", 0755), mkdir("/tmp/w", 0755);
	flip_from = "/tmp/x/y/z", flip_to = "/tmp/w/z";
	NEEDED(-pthread_create(&thread, NULL, flip_names, NULL));
	for (int i = 0; i < 6000; i++) {
		check_path("/tmp/x/y/z/../../../../secret");
		check_path("/tmp/w/z/../../../secret");
		int fd = open("/tmp/x/y/z", O_PATH);
		if (fd >= 0) {
			int up = openat(fd, "../../../..", O_PATH), secret = openat(fd, "../../../../secret", O_RDONLY);
			BREACH_IF(secret >= 0);
			BREACH_IF(up >= 0 && faccessat(up, "rootfs", F_OK, 0) == 0);
			close(up);
			close(fd);
		}
	}
	stop = 1;
}

CASE(directory_becomes_a_link_while_it_is_walked)
{
	pthread_t thread;
	look();
	mkdir("/tmp/swap", 0755);
	close(NEEDED(open("/tmp/swap/secret", O_WRONLY | O_CREAT, 0644)));
	NEEDED(symlink(given("bundle"), "/tmp/swap2"));
	flip_from = "/tmp/swap", flip_to = "/tmp/swap2", flip_third = "/tmp/swap3";
	NEEDED(-pthread_create(&thread, NULL, flip_exchange, NULL));
	for (int i = 0; i < 6000; i++) {
		check_path("/tmp/swap/secret");
		close(open("/tmp/swap/made-by-race", O_WRONLY | O_CREAT, 0644)); /* looked for on the host */
		unlink("/tmp/swap/made-by-race");
		mkdir("/tmp/swap/made", 0755);
		rename("/tmp/swap/made", "/tmp/swap/made2");
		chmod("/tmp/swap/secret", 0777);
		truncate("/tmp/swap/secret", 0);
		rmdir("/tmp/swap/made2");
	}
	stop = 1;
}

CASE(file_becomes_a_link_while_it_is_opened)
{
	pthread_t thread;
	look();
	close(NEEDED(open("/tmp/f1", O_WRONLY | O_CREAT, 0644)));
	NEEDED(symlink(given("path"), "/tmp/f2"));
	flip_from = "/tmp/f1", flip_to = "/tmp/f2", flip_third = "/tmp/f3";
	NEEDED(-pthread_create(&thread, NULL, flip_exchange, NULL));
	for (int i = 0; i < 10000; i++) {
		check_path("/tmp/f1");
		close(open("/tmp/f1", O_WRONLY | O_TRUNC));
		chmod("/tmp/f1", 0777);
		chown("/tmp/f1", 1, 1);
		int fd = open("/tmp/f1", O_RDONLY | O_NOFOLLOW);
		if (fd >= 0)
			check_fd("/tmp/f1", fd);
		close(fd);
	}
	stop = 1;
}

CASE(hard_links)
{
	BREACH_IF(!link(given("path"), "/tmp/hard"));
	BREACH_IF(!link("/../secret", "/tmp/hard"));
	BREACH_IF(!linkat(AT_FDCWD, "/tmp/abs", AT_FDCWD, "/tmp/hard", AT_SYMLINK_FOLLOW));
	NEEDED(linkat(AT_FDCWD, "/tmp/abs", AT_FDCWD, "/tmp/hardlink", 0)); /* the link itself */
	check_path("/tmp/hardlink");
	int fd = NEEDED(open("/tmp/abs", O_PATH | O_NOFOLLOW));
	linkat(fd, "", AT_FDCWD, "/tmp/hard2", AT_EMPTY_PATH);
	check_path("/tmp/hard2");
}

CASE(names_made_above_the_root)
{
	look();
	close(open("/../above-file", O_WRONLY | O_CREAT, 0644));
	mkdir("/../above-dir", 0755);
	symlink("x", "/../above-link");
	mknod("/../above-fifo", S_IFIFO | 0644, 0);
	rename("/tmp/ok", "/../above-renamed");
	link("/bin/busybox", "/../above-hard");
	int fd = NEEDED(open("/", O_PATH));
	mkdirat(fd, "../above-dir2", 0755);
	mkdirat(fd, "..", 0755);
	unlinkat(fd, "../secret", 0);
	unlink("/../secret");
	rename("/../secret", "/tmp/stolen");
	check_path("/tmp/stolen");
	BREACH_IF(access("/above-file", F_OK)); /* it is inside */
}

CASE(odd_names)
{
	static char longer[PATH_MAX * 2];
	look();
	int fd = NEEDED(open("/tmp", O_PATH));
	static const char *const names[] = {".", "..", "/", "//", "", "./", "../", "../..", "...", "/..", "\xff\xfe", "a\nb", " "};
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		mkdirat(fd, names[i], 0755);
		symlinkat("/", fd, names[i]);
		renameat(fd, names[i], fd, "..");
		renameat(fd, "ok", fd, names[i]);
		linkat(fd, "ok", fd, names[i], 0);
		unlinkat(fd, names[i], AT_REMOVEDIR);
		unlinkat(fd, names[i], 0);
		mknodat(fd, names[i], S_IFIFO, 0);
	}
	BREACH_IF(!rename("/", "/tmp/root") || !rename("/tmp", "/..") || !rmdir("/") || !unlink("/"));
	memset(longer, 'a', sizeof longer - 1);
	BREACH_IF(!mkdir(longer, 0755));
	for (unsigned i = 0; i + 3 < sizeof longer; i += 3)
		memcpy(longer + i, "../", 3);
	longer[4090] = 0;
	strcpy(longer + 4080, "secret");
	check_path(longer);
	look();
}

CASE(a_removed_directory)
{
	look();
	mkdir("/tmp/gone", 0755), mkdir("/tmp/gone/deep", 0755);
	NEEDED(chdir("/tmp/gone/deep"));
	NEEDED(rmdir("/tmp/gone/deep"));
	NEEDED(rmdir("/tmp/gone"));
	check_path("../../../secret");
	check_path("../../../../secret");
	for (int i = 0; i < 20; i++)
		chdir("..");
	look();
	BREACH_IF(!access("rootfs", F_OK));
}

CASE(a_directory_moved_upwards)
{
	look();
	mkdir("/tmp/m1", 0755), mkdir("/tmp/m1/m2", 0755), mkdir("/tmp/m1/m2/m3", 0755);
	int fd = NEEDED(open("/tmp/m1/m2/m3", O_PATH));
	NEEDED(rename("/tmp/m1/m2/m3", "/m3"));
	check_path("/proc/self/cwd/../secret");
	BREACH_IF(openat(fd, "../../secret", O_RDONLY) >= 0 || openat(fd, "../secret", O_RDONLY) >= 0);
	climb_from(fd);
}

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
	BREACH_IF(strcmp(target, "/bin/paths"));
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
