/* Names that lead out: path_resolution(7), symlink(7), chroot(2). Links to "secret" were planted in /tmp. */
#include "paths.h"

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
