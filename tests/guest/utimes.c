/* utime(2), utimes(2), futimesat(2): file times in seconds and microseconds. */
#include "check.h"
#include <sys/time.h>
#include <utime.h>

static struct stat of(const char *path)
{
	struct stat st;
	OK(lstat(path, &st));
	return st;
}

static long futimesat_raw(int dir, const char *path, const struct timeval *tv)
{
	return syscall(SYS_futimesat, dir, path, tv);
}

static void is_now(struct timespec ts)
{
	time_t now = time(NULL);
	CHECK(ts.tv_sec >= now - 60 && ts.tv_sec <= now + 1);
}

TEST(seconds)
{
	struct utimbuf t = {1000000000, 1234567890};
	make_file("f", "text");
	struct stat before = of("f");
	sleep_ms(20);
	OK(syscall(SYS_utime, "f", &t));
	struct stat st = of("f");
	EQ(st.st_atim.tv_sec, 1000000000);
	EQ(st.st_atim.tv_nsec, 0);
	EQ(st.st_mtim.tv_sec, 1234567890);
	EQ(st.st_mtim.tv_nsec, 0);
	CHECK(st.st_ctim.tv_sec > before.st_ctim.tv_sec || st.st_ctim.tv_nsec != before.st_ctim.tv_nsec);
	is_now(st.st_ctim);
	t = (struct utimbuf){-86400, -1};
	OK(syscall(SYS_utime, "f", &t));
	st = of("f");
	EQ(st.st_atim.tv_sec, -86400);
	EQ(st.st_mtim.tv_sec, -1);
	OK(syscall(SYS_utime, "f", NULL));
	st = of("f");
	is_now(st.st_atim);
	is_now(st.st_mtim);
	OK(mkdir("d", 0755));
	t = (struct utimbuf){5, 6};
	OK(syscall(SYS_utime, "d", &t));
	EQ(of("d").st_mtim.tv_sec, 6);
	ERR(syscall(SYS_utime, "missing", &t), ENOENT);
	ERR(syscall(SYS_utime, "", &t), ENOENT);
	ERR(syscall(SYS_utime, "f/x", &t), ENOTDIR);
	ERR(syscall(SYS_utime, BAD, &t), EFAULT);
	ERR(syscall(SYS_utime, NULL, &t), EFAULT);
	ERR(syscall(SYS_utime, "f", BAD), EFAULT);
}

TEST(microseconds)
{
	struct timeval tv[2] = {{100, 999999}, {200, 1}};
	make_file("f", "");
	OK(symlink("f", "l"));
	OK(syscall(SYS_utimes, "f", tv));
	struct stat st = of("f");
	EQ(st.st_atim.tv_sec, 100);
	EQ(st.st_atim.tv_nsec, 999999000);
	EQ(st.st_mtim.tv_sec, 200);
	EQ(st.st_mtim.tv_nsec, 1000);
	tv[0].tv_sec = 300;
	long link_time = of("l").st_mtim.tv_sec;
	OK(syscall(SYS_utimes, "l", tv)); /* a link is followed */
	EQ(of("f").st_atim.tv_sec, 300);
	EQ(of("l").st_mtim.tv_sec, link_time);
	OK(syscall(SYS_utimes, "f", NULL));
	is_now(of("f").st_mtim);
	tv[1].tv_usec = 1000000;
	ERR(syscall(SYS_utimes, "f", tv), EINVAL);
	tv[1].tv_usec = -1;
	ERR(syscall(SYS_utimes, "f", tv), EINVAL);
	tv[1].tv_usec = 0;
	tv[0].tv_usec = 1000000;
	ERR(syscall(SYS_utimes, "f", tv), EINVAL);
	ERR(syscall(SYS_utimes, "missing", tv), EINVAL); /* the times come first */
	tv[0].tv_usec = 0;
	ERR(syscall(SYS_utimes, "missing", tv), ENOENT);
	ERR(syscall(SYS_utimes, NULL, tv), EFAULT);
	ERR(syscall(SYS_utimes, "f", BAD), EFAULT);
	OK(symlink("nowhere", "broken"));
	ERR(syscall(SYS_utimes, "broken", tv), ENOENT);
}

TEST(at_a_directory)
{
	struct timeval tv[2] = {{100, 5}, {200, 6}};
	char path[PATH_MAX], here[PATH_MAX - 8];
	OK(mkdir("d", 0755));
	make_file("d/f", "");
	make_file("g", "");
	int d = OK(open("d", O_RDONLY)), f = OK(open("d/f", O_RDONLY));
	OK(futimesat_raw(d, "f", tv));
	EQ(of("d/f").st_mtim.tv_sec, 200);
	EQ(of("d/f").st_mtim.tv_nsec, 6000);
	OK(futimesat_raw(AT_FDCWD, "g", tv));
	EQ(of("g").st_atim.tv_sec, 100);
	tv[1].tv_sec = 201;
	OK(futimesat_raw(f, NULL, tv)); /* NULL: the file itself */
	EQ(of("d/f").st_mtim.tv_sec, 201);
	OK(futimesat_raw(d, NULL, tv));
	EQ(of("d").st_mtim.tv_sec, 201);
	CHECK(getcwd(here, sizeof here));
	snprintf(path, sizeof path, "%s/g", here);
	tv[1].tv_sec = 202;
	OK(futimesat_raw(999, path, tv)); /* the descriptor does not matter */
	EQ(of("g").st_mtim.tv_sec, 202);
	OK(futimesat_raw(d, "f", NULL));
	is_now(of("d/f").st_atim);
	ERR(futimesat_raw(d, "missing", tv), ENOENT);
	ERR(futimesat_raw(d, "", tv), ENOENT);
	ERR(futimesat_raw(f, "x", tv), ENOTDIR);
	ERR(futimesat_raw(999, "x", tv), EBADF);
	ERR(futimesat_raw(999, NULL, tv), EBADF);
	ERR(futimesat_raw(AT_FDCWD, NULL, tv), EFAULT);
	ERR(futimesat_raw(OK(open("g", O_PATH)), NULL, tv), EBADF);
	ERR(futimesat_raw(d, "f", BAD), EFAULT);
	tv[0].tv_usec = 1000000;
	ERR(futimesat_raw(d, "f", tv), EINVAL);
}

TEST(who_may)
{
	struct utimbuf t = {1, 2};
	struct timeval tv[2] = {{1, 0}, {2, 0}};
	NEED_ROOT();
	make_file("mine", "");
	make_file("open", "");
	OK(chmod("mine", 0644));
	OK(chmod("open", 0666));
	OK(mkdir("closed", 0700));
	make_file("closed/f", "");
	IN_CHILD {
		OK(setgid(1000));
		OK(setuid(1000));
		ERR(syscall(SYS_utime, "open", &t), EPERM);
		ERR(syscall(SYS_utimes, "open", tv), EPERM);
		ERR(futimesat_raw(AT_FDCWD, "open", tv), EPERM);
		OK(syscall(SYS_utime, "open", NULL)); /* whoever may write */
		OK(syscall(SYS_utimes, "open", NULL));
		ERR(syscall(SYS_utime, "mine", NULL), EACCES);
		ERR(syscall(SYS_utimes, "mine", NULL), EACCES);
		ERR(futimesat_raw(AT_FDCWD, "mine", NULL), EACCES);
		ERR(syscall(SYS_utime, "closed/f", NULL), EACCES);
	}
}

TEST(far_away)
{
	struct stat st;
	make_file("f", "text");
	const long far[] = {1L << 33, 1L << 35, -(1L << 35), (1L << 40) + 5};
	for (unsigned i = 0; i < sizeof far / sizeof *far; i++) {
		struct timespec ts[2] = {{far[i], 5}, {far[i] + 1, 999999999}};
		OK(utimensat(AT_FDCWD, "f", ts, 0));
		st = of("f");
		int fd = OK(open("f", O_RDONLY));
		struct stat same;
		struct statx sx;
		OK(fstat(fd, &same));
		OK(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx));
		EQ(same.st_mtim.tv_sec, st.st_mtim.tv_sec);
		EQ(sx.stx_mtime.tv_sec, st.st_mtim.tv_sec);
		OK(close(fd));
		if (st.st_mtim.tv_sec != far[i] + 1)
			continue; /* a file system that cannot say so takes its farthest time */
		EQ(st.st_atim.tv_sec, far[i]);
		EQ(st.st_atim.tv_nsec, 5);
		EQ(st.st_mtim.tv_nsec, 999999999);
	}
}
