/* stat(2), lstat(2), fstatat(2), statx(2), statfs(2), utimensat(2): attributes of files. */
#include "check.h"
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

TEST(regular_file)
{
	struct stat st, again;
	struct timespec before, after;
	clock_gettime(CLOCK_REALTIME_COARSE, &before);
	make_file("f", "12345");
	OK(stat("f", &st));
	clock_gettime(CLOCK_REALTIME, &after);
	EQ(st.st_mode, S_IFREG | 0644);
	EQ(st.st_nlink, 1);
	EQ(st.st_size, 5);
	EQ(st.st_uid, geteuid());
	CHECK(st.st_blksize >= 512);
	CHECK(st.st_ino != 0);
	CHECK(st.st_mtim.tv_sec >= before.tv_sec - 1 && st.st_mtim.tv_sec <= after.tv_sec + 1);
	OK(stat("f", &again));
	EQ(memcmp(&st, &again, sizeof st), 0);
	OK(lstat("f", &again));
	EQ(again.st_ino, st.st_ino);
	int fd = OK(open("f", O_RDONLY));
	OK(fstat(fd, &again));
	EQ(again.st_ino, st.st_ino);
	EQ(again.st_dev, st.st_dev);
	OK(fstatat(fd, "", &again, AT_EMPTY_PATH));
	EQ(again.st_ino, st.st_ino);
	make_file("g", "");
	OK(stat("g", &again));
	CHECK(again.st_ino != st.st_ino);
	EQ(again.st_dev, st.st_dev);
	EQ(again.st_blocks, 0);
}

TEST(kinds)
{
	struct stat st;
	int p[2];
	OK(mkdir("d", 0750));
	OK(stat("d", &st));
	EQ(st.st_mode, S_IFDIR | 0750);
	OK(symlink("d", "l"));
	OK(lstat("l", &st));
	CHECK(S_ISLNK(st.st_mode));
	OK(stat("l", &st));
	CHECK(S_ISDIR(st.st_mode));
	OK(fstatat(AT_FDCWD, "l", &st, AT_SYMLINK_NOFOLLOW));
	CHECK(S_ISLNK(st.st_mode));
	OK(pipe(p));
	OK(fstat(p[0], &st));
	CHECK(S_ISFIFO(st.st_mode));
	OK(stat("/dev/null", &st));
	EQ(major(st.st_rdev), 1);
	EQ(minor(st.st_rdev), 3);
	OK(stat("/proc/self/", &st));
	CHECK(S_ISDIR(st.st_mode));
	OK(lstat("/proc/self", &st));
	CHECK(S_ISLNK(st.st_mode));
}

TEST(errors)
{
	struct stat st;
	make_file("f", "");
	ERR(stat("missing", &st), ENOENT);
	ERR(stat("", &st), ENOENT);
	ERR(stat("f/x", &st), ENOTDIR);
	ERR(stat("f/", &st), ENOTDIR);
	ERR(stat(BAD, &st), EFAULT);
	ERR(syscall(SYS_stat, "f", BAD), EFAULT);
	ERR(fstat(999, &st), EBADF);
	ERR(syscall(SYS_fstat, 0, BAD), EFAULT);
	ERR(fstatat(999, "f", &st, 0), EBADF);
	ERR(fstatat(AT_FDCWD, "f", &st, 0x10000), EINVAL);
	ERR(fstatat(AT_FDCWD, "", &st, 0), ENOENT);
	OK(fstatat(AT_FDCWD, "", &st, AT_EMPTY_PATH));
	CHECK(S_ISDIR(st.st_mode));
	int fd = OK(open("f", O_RDONLY));
	ERR(fstatat(fd, "x", &st, 0), ENOTDIR);
	OK(fstatat(999, "/", &st, 0));
}

TEST(statx_fields)
{
	struct statx sx;
	struct stat st;
	make_file("f", "1234567");
	if (statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &sx) == -1 && errno == ENOSYS)
		SKIP("no statx");
	OK(stat("f", &st));
	EQ(sx.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
	EQ(sx.stx_size, 7);
	EQ(sx.stx_mode, st.st_mode);
	EQ(sx.stx_ino, st.st_ino);
	EQ(sx.stx_nlink, 1);
	EQ(sx.stx_uid, st.st_uid);
	EQ(makedev(sx.stx_dev_major, sx.stx_dev_minor), st.st_dev);
	EQ(sx.stx_mtime.tv_sec, st.st_mtim.tv_sec);
	EQ(sx.stx_mtime.tv_nsec, st.st_mtim.tv_nsec);
	int fd = OK(open("f", O_RDONLY));
	OK(statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &sx));
	EQ(sx.stx_size, 7);
	ERR(statx(AT_FDCWD, "missing", 0, STATX_BASIC_STATS, &sx), ENOENT);
	ERR(statx(AT_FDCWD, "f", 0x8000000, STATX_BASIC_STATS, &sx), EINVAL);
	ERR(statx(AT_FDCWD, "f", 0, 0x80000000u, &sx), EINVAL);
	ERR(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_SIZE, &sx), EINVAL);
	ERR(statx(999, "f", 0, STATX_SIZE, &sx), EBADF);
	ERR(statx(AT_FDCWD, "f", 0, STATX_SIZE, BAD), EFAULT);
	ERR(statx(AT_FDCWD, BAD, 0, STATX_SIZE, &sx), EFAULT);
}

TEST(statfs_fields)
{
	struct statfs fs;
	struct statvfs vfs;
	make_file("f", "");
	OK(statfs(".", &fs));
	CHECK(fs.f_bsize > 0);
	CHECK(fs.f_namelen == 255);
	CHECK(fs.f_bfree <= fs.f_blocks);
	int fd = OK(open("f", O_RDONLY));
	OK(fstatfs(fd, &fs));
	OK(statvfs(".", &vfs));
	EQ(vfs.f_bsize, fs.f_bsize);
	OK(statfs("/proc", &fs));
	EQ(fs.f_type, 0x9fa0);
	ERR(statfs("missing", &fs), ENOENT);
	ERR(statfs("f/x", &fs), ENOTDIR);
	ERR(statfs(BAD, &fs), EFAULT);
	ERR(syscall(SYS_statfs, ".", BAD), EFAULT);
	ERR(fstatfs(999, &fs), EBADF);
}

static struct stat times(const char *path)
{
	struct stat st;
	OK(lstat(path, &st));
	return st;
}

TEST(utimensat_rules)
{
	make_file("f", "");
	struct timespec ts[2] = {{1000000000, 123456789}, {1234567890, 987654321}};
	OK(utimensat(AT_FDCWD, "f", ts, 0));
	struct stat st = times("f");
	EQ(st.st_atim.tv_sec, 1000000000);
	EQ(st.st_atim.tv_nsec, 123456789);
	EQ(st.st_mtim.tv_sec, 1234567890);
	EQ(st.st_mtim.tv_nsec, 987654321);
	ts[0].tv_nsec = UTIME_OMIT;
	ts[1].tv_sec = 5, ts[1].tv_nsec = 0;
	OK(utimensat(AT_FDCWD, "f", ts, 0));
	st = times("f");
	EQ(st.st_atim.tv_sec, 1000000000);
	EQ(st.st_mtim.tv_sec, 5);
	ts[0].tv_nsec = UTIME_NOW;
	ts[1].tv_nsec = UTIME_OMIT;
	int fd = OK(open("f", O_RDONLY));
	OK(futimens(fd, ts));
	st = times("f");
	CHECK(st.st_atim.tv_sec > 1600000000);
	EQ(st.st_mtim.tv_sec, 5);
	OK(utimensat(AT_FDCWD, "f", NULL, 0));
	CHECK(times("f").st_mtim.tv_sec > 1600000000);
	OK(symlink("f", "l"));
	ts[0] = ts[1] = (struct timespec){77, 0};
	OK(utimensat(AT_FDCWD, "l", ts, AT_SYMLINK_NOFOLLOW));
	EQ(times("l").st_mtim.tv_sec, 77);
	CHECK(times("f").st_mtim.tv_sec > 77);
	ts[0].tv_nsec = 1000000000;
	ERR(utimensat(AT_FDCWD, "f", ts, 0), EINVAL);
	ERR(utimensat(AT_FDCWD, "missing", NULL, 0), ENOENT);
	ERR(utimensat(AT_FDCWD, "f", BAD, 0), EFAULT);
	ERR(utimensat(AT_FDCWD, "f", NULL, 0x8000), EINVAL);
	ERR(utimensat(999, "f", NULL, 0), EBADF);
	ERR(syscall(SYS_utimensat, 999, NULL, NULL, 0), EBADF);
	ts[0].tv_nsec = ts[1].tv_nsec = UTIME_OMIT;
	OK(utimensat(AT_FDCWD, "f", ts, 0));
}

/* What moves which time: content moves mtime and ctime, attributes ctime, entries those of the directory. */
TEST(times_move)
{
	OK(mkdir("d", 0755));
	make_file("d/f", "x");
	struct stat f = times("d/f"), d = times("d"), n;
	sleep_ms(30);
	int fd = OK(open("d/f", O_WRONLY));
	EQ(write(fd, "y", 1), 1);
	n = times("d/f");
	CHECK(memcmp(&n.st_mtim, &f.st_mtim, sizeof n.st_mtim));
	CHECK(memcmp(&n.st_ctim, &f.st_ctim, sizeof n.st_ctim));
	f = n;
	n = times("d");
	EQ(memcmp(&n.st_mtim, &d.st_mtim, sizeof n.st_mtim), 0);
	sleep_ms(30);
	OK(chmod("d/f", 0600));
	n = times("d/f");
	EQ(memcmp(&n.st_mtim, &f.st_mtim, sizeof n.st_mtim), 0);
	CHECK(memcmp(&n.st_ctim, &f.st_ctim, sizeof n.st_ctim));
	sleep_ms(30);
	make_file("d/g", "");
	n = times("d");
	CHECK(memcmp(&n.st_mtim, &d.st_mtim, sizeof n.st_mtim));
	d = n;
	sleep_ms(30);
	OK(unlink("d/g"));
	n = times("d");
	CHECK(memcmp(&n.st_mtim, &d.st_mtim, sizeof n.st_mtim));
}
