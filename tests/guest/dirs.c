/* mkdir(2), rmdir(2), getdents(2), chdir(2), getcwd(2), chroot(2): directories. */
#include "check.h"
#include <dirent.h>

struct linux_dirent64 {
	uint64_t d_ino;
	int64_t d_off;
	unsigned short d_reclen;
	unsigned char d_type;
	char d_name[];
};

TEST(mkdir_rules)
{
	struct stat st;
	umask(022);
	OK(mkdir("d", 0777));
	OK(stat("d", &st));
	EQ(st.st_mode, S_IFDIR | 0755);
	EQ(st.st_nlink, st.st_nlink < 2 ? 1 : 2);
	ERR(mkdir("d", 0777), EEXIST);
	ERR(mkdir("d/", 0777), EEXIST);
	ERR(mkdir(".", 0777), EEXIST);
	ERR(mkdir("/", 0777), EEXIST);
	ERR(mkdir("x/y", 0777), ENOENT);
	make_file("f", "");
	ERR(mkdir("f", 0777), EEXIST);
	ERR(mkdir("f/x", 0777), ENOTDIR);
	ERR(mkdir("", 0777), ENOENT);
	ERR(mkdir(BAD, 0777), EFAULT);
	OK(mkdir("slash/", 0777));
	OK(mkdir("d/e", 01777));
	OK(stat("d/e", &st));
	EQ(st.st_mode, S_IFDIR | 01755);
	OK(symlink("nowhere", "dangling"));
	ERR(mkdir("dangling", 0777), EEXIST);
	int d = OK(open("d", O_RDONLY));
	OK(mkdirat(d, "at", 0777));
	OK(access("d/at", F_OK));
	ERR(mkdirat(999, "at", 0777), EBADF);
}

TEST(setgid_is_inherited)
{
	struct stat st;
	OK(mkdir("d", 0755));
	if (geteuid() == 0)
		OK(chown("d", -1, 1234));
	OK(chmod("d", 02755));
	OK(mkdir("d/sub", 0755));
	make_file("d/f", "");
	OK(stat("d/sub", &st));
	EQ(st.st_mode & 02000, 02000);
	if (geteuid() == 0)
		EQ(st.st_gid, 1234);
	OK(stat("d/f", &st));
	EQ(st.st_mode & 02000, 0);
	if (geteuid() == 0)
		EQ(st.st_gid, 1234);
}

TEST(rmdir_rules)
{
	OK(mkdir("d", 0755));
	OK(mkdir("d/e", 0755));
	make_file("f", "");
	ERR(rmdir("d"), ENOTEMPTY);
	OK(rmdir("d/e"));
	ERR(rmdir("d/."), EINVAL);
	ERR(rmdir("d/.."), ENOTEMPTY);
	ERR(rmdir("f"), ENOTDIR);
	ERR(rmdir("missing"), ENOENT);
	ERR(rmdir("/"), EBUSY);
	ERR(rmdir(BAD), EFAULT);
	OK(symlink("d", "l"));
	ERR(rmdir("l"), ENOTDIR);
	ERR(unlink("d"), EISDIR);
	OK(rmdir("d/"));
	ERR(access("d", F_OK), ENOENT);
	OK(mkdir("d", 0755));
	ERR(unlinkat(AT_FDCWD, "d", 0), EISDIR);
	ERR(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR), ENOTDIR);
	ERR(unlinkat(AT_FDCWD, "d", 0x8000), EINVAL);
	OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
}

/* Names 0..n-1 seen exactly once each, whatever the size of the buffer, also when some go and come meanwhile. */
static int list(const char *path, size_t buffer, int *seen, int n)
{
	char *buf = malloc(buffer);
	int fd = OK(open(path, O_RDONLY | O_DIRECTORY)), total = 0;
	for (long r; (r = OK(syscall(SYS_getdents64, fd, buf, buffer))) > 0;)
		for (long at = 0; at < r;) {
			struct linux_dirent64 *d = (void *)(buf + at);
			CHECK(d->d_reclen % 8 == 0 && d->d_reclen > 19 && at + d->d_reclen <= r);
			CHECK(d->d_ino != 0);
			total++;
			int i;
			if (sscanf(d->d_name, "name-%d", &i) == 1 && i < n) {
				seen[i]++;
				CHECK(d->d_type == DT_REG || d->d_type == DT_UNKNOWN);
			}
			at += d->d_reclen;
		}
	EQ(syscall(SYS_getdents64, fd, buf, buffer), 0);
	OK(close(fd));
	free(buf);
	return total;
}

TEST(getdents)
{
	int n = 500, seen[500];
	char name[64];
	OK(mkdir("d", 0755));
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof name, "d/name-%d%.*s", i, i % 30, "-------------------------------");
		make_file(name, "");
	}
	static const size_t buffers[] = {100, 512, 4096, 65536};
	for (int b = 0; b < 4; b++) {
		memset(seen, 0, sizeof seen);
		EQ(list("d", buffers[b], seen, n), n + 2);
		for (int i = 0; i < n; i++)
			EQ(seen[i], 1);
	}
}

TEST(getdents_errors)
{
	char buf[512];
	make_file("f", "");
	OK(mkdir("d", 0755));
	int f = OK(open("f", O_RDONLY)), d = OK(open("d", O_RDONLY));
	ERR(syscall(SYS_getdents64, f, buf, sizeof buf), ENOTDIR);
	ERR(syscall(SYS_getdents64, 999, buf, sizeof buf), EBADF);
	ERR(syscall(SYS_getdents64, d, buf, 10), EINVAL);
	ERR(syscall(SYS_getdents64, d, BAD, 512), EFAULT);
	CHECK(syscall(SYS_getdents64, d, buf, sizeof buf) > 0);
	OK(rmdir("d"));
	OK(lseek(d, 0, SEEK_SET));
	ERR(syscall(SYS_getdents64, d, buf, sizeof buf), ENOENT);
}

TEST(seek_and_rewind)
{
	OK(mkdir("d", 0755));
	make_file("d/a", "");
	make_file("d/b", "");
	make_file("d/c", "");
	DIR *dir = opendir("d");
	CHECK(dir);
	int n = 0;
	char fourth[256] = "";
	long at = 0;
	struct dirent *e;
	while ((e = readdir(dir))) {
		if (++n == 3)
			at = telldir(dir);
		if (n == 4)
			strcpy(fourth, e->d_name);
	}
	EQ(n, 5);
	seekdir(dir, at);
	e = readdir(dir);
	CHECK(e);
	STR(e->d_name, fourth);
	rewinddir(dir);
	for (n = 0; readdir(dir); n++)
		;
	EQ(n, 5);
	make_file("d/new", "");
	rewinddir(dir);
	for (n = 0; readdir(dir); n++)
		;
	EQ(n, 6);
}

TEST(remove_while_reading)
{
	char name[32];
	OK(mkdir("d", 0755));
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "d/%d", i);
		make_file(name, "");
	}
	DIR *dir = opendir("d");
	CHECK(dir);
	int n = 0;
	for (struct dirent *e; (e = readdir(dir));)
		if (e->d_name[0] != '.') {
			OK(unlinkat(dirfd(dir), e->d_name, 0));
			n++;
		}
	EQ(n, 300);
	closedir(dir);
	OK(rmdir("d"));
}

TEST(chdir_and_getcwd)
{
	char a[PATH_MAX], b[PATH_MAX], want[PATH_MAX + 8];
	CHECK(getcwd(a, sizeof a));
	OK(mkdir("d", 0755));
	OK(symlink("d", "l"));
	OK(chdir("l"));
	CHECK(getcwd(b, sizeof b));
	snprintf(want, sizeof want, "%s/d", a);
	STR(b, want); /* links do not show */
	EQ(syscall(SYS_getcwd, b, sizeof b), (long)strlen(want) + 1);
	ERR(syscall(SYS_getcwd, b, strlen(want)), ERANGE);
	ERR(syscall(SYS_getcwd, BAD, 4096), EFAULT);
	ERR(syscall(SYS_getcwd, b, 0), ERANGE);
	OK(rename("../d", "../e"));
	CHECK(getcwd(b, sizeof b));
	snprintf(want, sizeof want, "%s/e", a);
	STR(b, want);
	OK(rmdir("../e"));
	CHECK(!getcwd(b, sizeof b));
	EQ(errno, ENOENT);
	ERR(open("x", O_RDWR | O_CREAT, 0600), ENOENT);
	ERR(mkdir("x", 0755), ENOENT);
	OK(chdir(".."));
	CHECK(getcwd(b, sizeof b));
	STR(b, a);
	make_file("f", "");
	ERR(chdir("f"), ENOTDIR);
	ERR(chdir("missing"), ENOENT);
	ERR(chdir(BAD), EFAULT);
	ERR(fchdir(999), EBADF);
	int f = OK(open("f", O_RDONLY));
	ERR(fchdir(f), ENOTDIR);
	int root = OK(open("/", O_PATH));
	OK(fchdir(root));
	CHECK(getcwd(b, sizeof b));
	STR(b, "/");
	OK(chdir("../../.."));
	CHECK(getcwd(b, sizeof b));
	STR(b, "/");
}

TEST(chroot_confines)
{
	NEED_ROOT();
	struct stat a, b;
	OK(mkdir("r", 0755));
	OK(mkdir("r/in", 0755));
	make_file("r/in/f", "");
	OK(symlink("/in/f", "r/link"));
	OK(stat("r", &a));
	IN_CHILD {
		char cwd[PATH_MAX];
		OK(chroot("r"));
		OK(chdir("/"));
		OK(stat("/", &b));
		EQ(b.st_ino, a.st_ino);
		OK(stat("../../..", &b));
		EQ(b.st_ino, a.st_ino);
		OK(access("/link", F_OK));
		OK(chdir("in"));
		CHECK(getcwd(cwd, sizeof cwd));
		STR(cwd, "/in");
		ERR(access("/etc/passwd", F_OK), ENOENT);
		OK(setuid(12345));
		ERR(chroot("/"), EPERM);
	}
	ERR(chroot("missing"), ENOENT);
	ERR(chroot("r/in/f"), ENOTDIR);
	ERR(chroot(BAD), EFAULT);
}
