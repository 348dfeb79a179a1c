/* open(2), openat(2), creat(2), openat2(2), close(2): flags and errors. */
#include "check.h"
#include <linux/openat2.h>
#include <sys/resource.h>

TEST(create_and_modes)
{
	struct stat st;
	umask(027);
	int fd = OK(open("f", O_WRONLY | O_CREAT, 0666));
	OK(fstat(fd, &st));
	EQ(st.st_mode, S_IFREG | 0640);
	EQ(st.st_uid, geteuid());
	EQ(st.st_size, 0);
	EQ(st.st_nlink, 1);
	EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
	EQ(fcntl(fd, F_GETFD), 0);
	ERR(open("f", O_WRONLY | O_CREAT | O_EXCL, 0666), EEXIST);
	OK(open("g", O_RDWR | O_CREAT | O_EXCL, 06777));
	OK(stat("g", &st));
	EQ(st.st_mode, S_IFREG | 06750);
	fd = OK(creat("h", 0400));
	EQ(write(fd, "x", 1), 1); /* the mode matters from the next open on */
	OK(stat("h", &st));
	EQ(st.st_mode & 07777, 0400);
}

TEST(lowest_number)
{
	int a = OK(open("/", O_RDONLY)), b = OK(open("/", O_RDONLY)), c = OK(open("/", O_RDONLY));
	EQ(b, a + 1);
	EQ(c, a + 2);
	OK(close(b));
	OK(close(a));
	EQ(open("/", O_RDONLY), a);
	EQ(open("/", O_RDONLY), b);
	EQ(open("/", O_RDONLY), c + 1);
}

TEST(access_modes)
{
	char c;
	make_file("f", "abc");
	int r = OK(open("f", O_RDONLY)), w = OK(open("f", O_WRONLY)), rw = OK(open("f", O_RDWR)), p = OK(open("f", O_PATH));
	ERR(write(r, "x", 1), EBADF);
	ERR(read(w, &c, 1), EBADF);
	EQ(read(rw, &c, 1), 1);
	EQ(write(rw, "x", 1), 1);
	ERR(read(p, &c, 1), EBADF);
	ERR(write(p, &c, 1), EBADF);
	ERR(fchmod(p, 0600), EBADF);
	ERR(ftruncate(r, 0), EINVAL);
	ERR(lseek(p, 0, SEEK_SET), EBADF);
	struct stat st;
	OK(fstat(p, &st));
	EQ(fcntl(p, F_GETFL), O_PATH);
	OK(close(p));
	ERR(close(p), EBADF);
	ERR(close(-1), EBADF);
	ERR(close(100000), EBADF);
}

TEST(append)
{
	char buf[16] = {0};
	make_file("f", "12345");
	int a = OK(open("f", O_RDWR | O_APPEND)), b = OK(open("f", O_WRONLY | O_APPEND));
	EQ(write(a, "ab", 2), 2);
	EQ(write(b, "cd", 2), 2);
	EQ(lseek(a, 0, SEEK_SET), 0);
	EQ(write(a, "e", 1), 1);
	EQ(lseek(a, 0, SEEK_CUR), 10);
	EQ(pread(a, buf, 16, 0), 10);
	STR(buf, "12345abcde");
	EQ(pwrite(a, "f", 1, 0), 1); /* Linux appends even here */
	EQ(pread(a, buf, 16, 0), 11);
	STR(buf, "12345abcdef");
	OK(fcntl(a, F_SETFL, 0));
	EQ(pwrite(a, "X", 1, 0), 1);
	EQ(pread(a, buf, 16, 0), 11);
	STR(buf, "X2345abcdef");
}

TEST(truncating)
{
	struct stat st;
	make_file("f", "12345");
	OK(close(OK(open("f", O_RDONLY))));
	OK(stat("f", &st));
	EQ(st.st_size, 5);
	OK(close(OK(open("f", O_WRONLY | O_TRUNC))));
	OK(stat("f", &st));
	EQ(st.st_size, 0);
}

TEST(directories)
{
	OK(mkdir("d", 0755));
	make_file("f", "");
	int d = OK(open("d", O_RDONLY | O_DIRECTORY));
	char c;
	ERR(read(d, &c, 1), EISDIR);
	ERR(write(d, &c, 1), EBADF);
	ERR(open("d", O_WRONLY), EISDIR);
	ERR(open("d", O_RDWR), EISDIR);
	ERR(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
	ERR(open("f/", O_RDONLY), ENOTDIR);
	ERR(open("f/x", O_RDONLY | O_CREAT, 0600), ENOTDIR);
	ERR(open("new/", O_RDWR | O_CREAT, 0600), EISDIR);
	ERR(open("missing/x", O_RDWR | O_CREAT, 0600), ENOENT);
	ERR(open("d", O_RDONLY | O_CREAT, 0600), EISDIR);
	ERR(openat(d, "x", O_RDONLY), ENOENT);
	int in = OK(openat(d, "x", O_RDWR | O_CREAT, 0600));
	EQ(write(in, "1", 1), 1);
	OK(access("d/x", R_OK));
	int f = OK(open("f", O_RDONLY));
	ERR(openat(f, "x", O_RDONLY), ENOTDIR);
	ERR(openat(999, "x", O_RDONLY), EBADF);
	char path[PATH_MAX];
	CHECK(realpath("d/x", path));
	OK(close(OK(openat(999, path, O_RDONLY)))); /* an absolute path needs no directory */
	OK(rename("d", "moved"));
	OK(close(OK(openat(d, "x", O_RDONLY))));
	OK(close(OK(openat(d, "../f", O_RDONLY))));
}

TEST(symbolic_links)
{
	make_file("f", "");
	OK(symlink("f", "l"));
	OK(symlink("nowhere", "dangling"));
	OK(symlink(".", "here"));
	ERR(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
	OK(close(OK(open("l", O_RDONLY))));
	ERR(open("dangling", O_RDONLY), ENOENT);
	ERR(open("dangling", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
	ERR(open("here", O_RDONLY | O_NOFOLLOW | O_DIRECTORY), ENOTDIR);
	OK(close(OK(open("here/here/here/f", O_RDONLY | O_NOFOLLOW)))); /* only the last part counts */
	int p = OK(open("l", O_PATH | O_NOFOLLOW));
	struct stat st;
	OK(fstat(p, &st));
	CHECK(S_ISLNK(st.st_mode));
	OK(close(OK(open("dangling", O_RDWR | O_CREAT, 0600))));
	OK(access("nowhere", F_OK));
	OK(symlink("loop", "loop"));
	ERR(open("loop", O_RDONLY), ELOOP);
	char chain[16], to[16];
	make_file("c0", "");
	for (int i = 1; i <= 41; i++) {
		snprintf(chain, sizeof chain, "c%d", i);
		snprintf(to, sizeof to, "c%d", i - 1);
		OK(symlink(to, chain));
	}
	OK(close(OK(open("c40", O_RDONLY))));
	ERR(open("c41", O_RDONLY), ELOOP);
}

TEST(names)
{
	char name[300];
	memset(name, 'a', sizeof name);
	name[255] = 0;
	OK(close(OK(open(name, O_RDWR | O_CREAT, 0600))));
	name[255] = 'a';
	name[256] = 0;
	ERR(open(name, O_RDWR | O_CREAT, 0600), ENAMETOOLONG);
	char *path = calloc(1, 5000);
	for (int i = 0; i < 2047; i++)
		strcat(path, "./");
	path[4094] = 0;
	OK(close(OK(open(path, O_RDONLY)))); /* 4094 bytes and the NUL */
	strcat(path, "/.");
	ERR(open(path, O_RDONLY), ENAMETOOLONG);
	ERR(open("", O_RDONLY), ENOENT);
	ERR(open(BAD, O_RDONLY), EFAULT);
	ERR(open(NULL, O_RDONLY), EFAULT);
	char *end = page_end();
	memcpy(end - 3, "abc", 3);
	ERR(open(end - 3, O_RDONLY), EFAULT);
	memcpy(end - 2, "/", 2);
	OK(close(OK(open(end - 2, O_RDONLY))));
	OK(close(OK(open("//..//../", O_RDONLY))));
	/* any byte but NUL and slash may stand in a name */
	OK(close(OK(open("\xff\xfe\n\t \x01\\*", O_RDWR | O_CREAT | O_EXCL, 0600))));
	OK(access("\xff\xfe\n\t \x01\\*", F_OK));
}

TEST(cloexec_and_flags)
{
	make_file("f", "");
	int fd = OK(open("f", O_RDWR | O_CLOEXEC | O_NONBLOCK | O_APPEND | O_NOATIME * 0));
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_APPEND | O_CREAT | O_CLOEXEC), O_RDWR | O_NONBLOCK | O_APPEND);
	fd = OK(open("f", O_RDWR | O_CREAT | O_TRUNC | O_NOCTTY, 0600));
	EQ(fcntl(fd, F_GETFL) & (O_CREAT | O_TRUNC | O_NOCTTY | O_EXCL), 0); /* creation flags are not kept */
	OK(fcntl(fd, F_SETFL, O_NONBLOCK | O_WRONLY));
	EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDWR | O_NONBLOCK);
}

TEST(tmpfile_flag)
{
	struct stat st;
	char path[64], c;
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);
	if (fd == -1 && errno == EOPNOTSUPP)
		SKIP("no O_TMPFILE on this file system");
	OK(fd);
	OK(fstat(fd, &st));
	EQ(st.st_nlink, 0);
	EQ(write(fd, "t", 1), 1);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	OK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	fd = OK(open("named", O_RDONLY));
	EQ(read(fd, &c, 1), 1);
	ERR(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
}

TEST(descriptor_limit)
{
	struct rlimit rl;
	OK(getrlimit(RLIMIT_NOFILE, &rl));
	rl.rlim_cur = 64;
	OK(setrlimit(RLIMIT_NOFILE, &rl));
	int n = 0;
	while (open("/", O_RDONLY) >= 0)
		CHECK(++n < 64);
	EQ(errno, EMFILE);
	ERR(dup(0), EMFILE);
	ERR(pipe((int[2]){0}), EMFILE);
	ERR(dup2(0, 64), EBADF);
	ERR(fcntl(0, F_DUPFD, 64), EINVAL);
	OK(close(63));
	EQ(open("/", O_RDONLY), 63);
	/* numbers above a lowered limit stay open, and a free one below it can be had */
	rl.rlim_cur = 16;
	OK(setrlimit(RLIMIT_NOFILE, &rl));
	ERR(open("/", O_RDONLY), EMFILE);
	OK(close(40));
	ERR(open("/", O_RDONLY), EMFILE);
	OK(close(5));
	OK(close(7));
	EQ(open("/", O_RDONLY), 5);
	EQ(dup(63), 7);
	ERR(open("/", O_RDONLY), EMFILE);
}

TEST(special_files)
{
	char buf[64];
	int fd = OK(open("/dev/null", O_RDWR));
	EQ(read(fd, buf, 64), 0);
	EQ(write(fd, buf, 64), 64);
	EQ(lseek(fd, 100, SEEK_SET), 0);
	fd = OK(open("/dev/zero", O_RDWR));
	memset(buf, 1, sizeof buf);
	EQ(read(fd, buf, 64), 64);
	for (int i = 0; i < 64; i++)
		EQ(buf[i], 0);
	fd = OK(open("/dev/full", O_RDWR));
	ERR(write(fd, "x", 1), ENOSPC);
	EQ(read(fd, buf, 8), 8);
	fd = OK(open("/dev/urandom", O_RDONLY));
	EQ(read(fd, buf, 64), 64);
	struct stat st;
	OK(stat("/dev/null", &st));
	CHECK(S_ISCHR(st.st_mode));
	EQ(st.st_rdev, 0x103);
	OK(close(OK(open("/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0600))));
	OK(symlink("/dev/fd/0", "zero"));
	fd = OK(open("/proc/self/fd/1", O_PATH));
	OK(fstat(fd, &st));
}

static long openat2_(int fd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = {flags, mode, resolve};
	return syscall(SYS_openat2, fd, path, &how, sizeof how);
}

TEST(openat2_resolve)
{
	if (openat2_(AT_FDCWD, ".", O_RDONLY, 0, 0) == -1 && errno == ENOSYS)
		SKIP("no openat2");
	OK(mkdir("d", 0755));
	make_file("f", "");
	make_file("d/g", "");
	OK(symlink("g", "d/l"));
	OK(symlink("../f", "d/up"));
	OK(symlink("/etc/passwd", "d/abs"));
	int d = OK(open("d", O_RDONLY | O_DIRECTORY));
	OK(openat2_(d, "g", O_RDONLY, 0, RESOLVE_BENEATH));
	OK(openat2_(d, "l", O_RDONLY, 0, RESOLVE_BENEATH));
	ERR(openat2_(d, "up", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	ERR(openat2_(d, "../f", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	ERR(openat2_(d, "abs", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	ERR(openat2_(d, "/", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	ERR(openat2_(d, "l", O_RDONLY, 0, RESOLVE_NO_SYMLINKS), ELOOP);
	ERR(openat2_(d, "up", O_RDONLY, 0, RESOLVE_IN_ROOT), ENOENT);
	OK(openat2_(d, "/g", O_RDONLY, 0, RESOLVE_IN_ROOT));
	OK(openat2_(d, "../../g", O_RDONLY, 0, RESOLVE_IN_ROOT));
	ERR(openat2_(AT_FDCWD, "/proc/self/fd/0", O_PATH, 0, RESOLVE_NO_MAGICLINKS), ELOOP);
	ERR(openat2_(d, "g", O_RDONLY, 0, 1ull << 40), EINVAL);
	ERR(openat2_(d, "g", 1ull << 40, 0, 0), EINVAL);
	ERR(openat2_(d, "g", O_RDONLY, 0600, 0), EINVAL); /* a mode without O_CREAT */
	ERR(openat2_(d, "g", O_RDWR | O_CREAT, 010000, 0), EINVAL);
	struct open_how how = {O_RDONLY, 0, 0};
	ERR(syscall(SYS_openat2, d, "g", &how, 8), EINVAL);
	ERR(syscall(SYS_openat2, d, "g", BAD, sizeof how), EFAULT);
	struct { struct open_how how; uint64_t more; } big = {how, 1};
	ERR(syscall(SYS_openat2, d, "g", &big, sizeof big), E2BIG);
	big.more = 0;
	OK(syscall(SYS_openat2, d, "g", &big, sizeof big));
}
