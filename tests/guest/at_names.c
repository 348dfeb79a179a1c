/* mknodat(2), renameat(2), fchmodat2(2): names below a descriptor. */
#include "check.h"
#include <sys/sysmacros.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

static struct stat of(const char *path)
{
	struct stat st;
	OK(lstat(path, &st));
	return st;
}

static long mknodat_raw(int dir, const char *path, mode_t mode, dev_t dev)
{
	return syscall(SYS_mknodat, dir, path, mode, dev);
}

TEST(nodes)
{
	OK(mkdir("d", 0755));
	int d = OK(open("d", O_RDONLY)), f;
	umask(027);
	OK(mknodat_raw(d, "fifo", S_IFIFO | 0666, 0));
	EQ(of("d/fifo").st_mode, S_IFIFO | 0640);
	OK(mknodat_raw(d, "file", S_IFREG | 04777, 99)); /* the device number is ignored */
	EQ(of("d/file").st_mode, S_IFREG | 04750);
	EQ(of("d/file").st_rdev, 0);
	EQ(of("d/file").st_size, 0);
	OK(mknodat_raw(d, "plain", 0644, 0));
	EQ(of("d/plain").st_mode, S_IFREG | 0640);
	OK(mknodat_raw(d, "sock", S_IFSOCK | 0777, 0));
	EQ(of("d/sock").st_mode, S_IFSOCK | 0750);
	OK(mknodat_raw(AT_FDCWD, "here", S_IFIFO | 0600, 0));
	umask(0);
	f = OK(open("d/file", O_RDONLY));
	ERR(mknodat_raw(d, "fifo", S_IFIFO | 0666, 0), EEXIST);
	ERR(mknodat_raw(d, ".", S_IFIFO | 0666, 0), EEXIST);
	OK(symlink("nowhere", "d/link"));
	ERR(mknodat_raw(d, "link", S_IFREG | 0666, 0), EEXIST); /* not followed */
	ERR(mknodat_raw(d, "dir", S_IFDIR | 0755, 0), EPERM);
	ERR(mknodat_raw(d, "link2", S_IFLNK | 0755, 0), EINVAL);
	ERR(mknodat_raw(d, "odd", 0170000 | 0644, 0), EINVAL);
	ERR(mknodat_raw(d, "missing/x", S_IFIFO | 0666, 0), ENOENT);
	ERR(mknodat_raw(d, "", S_IFIFO | 0666, 0), ENOENT);
	ERR(mknodat_raw(d, "slash/", S_IFREG | 0666, 0), ENOENT);
	ERR(mknodat_raw(f, "x", S_IFIFO | 0666, 0), ENOTDIR);
	ERR(mknodat_raw(d, "file/x", S_IFIFO | 0666, 0), ENOTDIR);
	ERR(mknodat_raw(999, "x", S_IFIFO | 0666, 0), EBADF);
	ERR(mknodat_raw(d, BAD, S_IFIFO | 0666, 0), EFAULT);
	char name[300];
	memset(name, 'n', 256);
	name[256] = 0;
	ERR(mknodat_raw(d, name, S_IFIFO | 0666, 0), ENAMETOOLONG);
}

TEST(devices)
{
	NEED_ROOT();
	OK(mkdir("d", 0777));
	OK(chmod("d", 0777));
	int d = OK(open("d", O_RDONLY));
	if (mknodat_raw(d, "null", S_IFCHR | 0666, makedev(1, 3)) == -1) {
		EQ(errno, EPERM);
		SKIP("needs CAP_MKNOD");
	}
	struct stat st = of("d/null");
	EQ(st.st_mode, S_IFCHR | 0644);
	EQ(st.st_rdev, makedev(1, 3));
	OK(mknodat_raw(d, "block", S_IFBLK | 0600, makedev(7, 300)));
	EQ(of("d/block").st_rdev, makedev(7, 300));
	IN_CHILD {
		OK(setuid(1000));
		ERR(mknodat_raw(d, "char", S_IFCHR | 0666, makedev(1, 3)), EPERM);
		ERR(mknodat_raw(d, "blk", S_IFBLK | 0666, makedev(1, 3)), EPERM);
		OK(mknodat_raw(d, "fifo", S_IFIFO | 0666, 0));
		EQ(of("d/fifo").st_uid, 1000);
	}
	OK(mkdir("closed", 0755));
	IN_CHILD {
		OK(setuid(1000));
		ERR(mknodat_raw(AT_FDCWD, "closed/fifo", S_IFIFO | 0666, 0), EACCES);
	}
}

static long renameat_raw(int a, const char *old, int b, const char *new)
{
	return syscall(SYS_renameat, a, old, b, new);
}

TEST(moving)
{
	char here[PATH_MAX - 8], path[PATH_MAX];
	OK(mkdir("a", 0755));
	OK(mkdir("b", 0755));
	int a = OK(open("a", O_RDONLY)), b = OK(open("b", O_RDONLY));
	make_file("a/f", "text");
	ino_t ino = of("a/f").st_ino;
	OK(renameat_raw(a, "f", b, "g"));
	ERR(access("a/f", F_OK), ENOENT);
	EQ(of("b/g").st_ino, ino);
	make_file("a/other", "");
	OK(renameat_raw(b, "g", a, "other")); /* replaces */
	EQ(of("a/other").st_ino, ino);
	OK(link("a/other", "b/same"));
	OK(renameat_raw(a, "other", b, "same")); /* two names of one file: nothing happens */
	OK(access("a/other", F_OK));
	OK(mkdir("a/dir", 0755));
	make_file("a/dir/in", "");
	OK(renameat_raw(a, "dir", b, "dir"));
	OK(access("b/dir/in", F_OK));
	OK(renameat_raw(AT_FDCWD, "b/dir/in", a, "in"));
	CHECK(getcwd(here, sizeof here));
	snprintf(path, sizeof path, "%s/a/in", here);
	OK(renameat_raw(999, path, b, "in")); /* an absolute path needs no descriptor */
	OK(mkdir("a/empty", 0755));
	OK(renameat_raw(a, "empty", b, "dir")); /* over an empty one */
	ERR(renameat_raw(a, "missing", b, "x"), ENOENT);
	ERR(renameat_raw(a, "other", b, "missing/x"), ENOENT);
	ERR(renameat_raw(a, "", b, "x"), ENOENT);
	ERR(renameat_raw(a, "other", b, "dir"), EISDIR);
	ERR(renameat_raw(b, "dir", a, "other"), ENOTDIR);
	ERR(renameat_raw(b, "dir", b, "dir/below"), EINVAL);
	OK(mkdir("a/full", 0755));
	make_file("a/full/f", "");
	ERR(renameat_raw(b, "dir", a, "full"), ENOTEMPTY);
	ERR(renameat_raw(a, ".", b, "x"), EBUSY);
	ERR(renameat_raw(a, "other", b, ".."), EBUSY);
	ERR(renameat_raw(a, "other/", b, "x"), ENOTDIR);
	int f = OK(open("a/other", O_RDONLY));
	ERR(renameat_raw(f, "x", b, "x"), ENOTDIR);
	ERR(renameat_raw(999, "x", b, "x"), EBADF);
	ERR(renameat_raw(a, "other", 999, "x"), EBADF);
	ERR(renameat_raw(a, BAD, b, "x"), EFAULT);
	ERR(renameat_raw(a, "other", b, BAD), EFAULT);
}

static long chmod2(int dir, const char *path, mode_t mode, unsigned flags)
{
	return syscall(SYS_fchmodat2, dir, path, mode, flags);
}

TEST(modes)
{
	make_file("probe", "");
	if (chmod2(AT_FDCWD, "probe", 0600, 0) == -1) {
		EQ(errno, ENOSYS);
		SKIP("no fchmodat2 (Linux 6.6)");
	}
	OK(mkdir("d", 0755));
	make_file("d/f", "");
	OK(symlink("f", "d/l"));
	int d = OK(open("d", O_RDONLY)), f = OK(open("d/f", O_RDONLY)), path_fd = OK(open("d/f", O_PATH));
	OK(chmod2(d, "f", 0751, 0));
	EQ(of("d/f").st_mode & 07777, 0751);
	OK(chmod2(d, "f", 0640, AT_SYMLINK_NOFOLLOW));
	EQ(of("d/f").st_mode & 07777, 0640);
	OK(chmod2(d, "l", 0644, 0));
	EQ(of("d/f").st_mode & 07777, 0644);
	ERR(chmod2(d, "l", 0600, AT_SYMLINK_NOFOLLOW), EOPNOTSUPP);
	EQ(of("d/f").st_mode & 07777, 0644);
	OK(chmod2(f, "", 0611, AT_EMPTY_PATH));
	EQ(of("d/f").st_mode & 07777, 0611);
	OK(chmod2(path_fd, "", 0622, AT_EMPTY_PATH)); /* which fchmod(2) refuses */
	EQ(of("d/f").st_mode & 07777, 0622);
	ERR(fchmod(path_fd, 0600), EBADF);
	OK(chmod2(d, "", 0700, AT_EMPTY_PATH));
	EQ(of("d").st_mode & 07777, 0700);
	ERR(chmod2(d, "", 0700, 0), ENOENT);
	ERR(chmod2(d, "f", 0700, 1), EINVAL);
	ERR(chmod2(d, "f", 0700, AT_SYMLINK_FOLLOW), EINVAL);
	ERR(chmod2(d, "missing", 0700, 0), ENOENT);
	ERR(chmod2(f, "x", 0700, 0), ENOTDIR);
	ERR(chmod2(999, "x", 0700, 0), EBADF);
	ERR(chmod2(d, BAD, 0700, 0), EFAULT);
	if (geteuid() == 0)
		IN_CHILD {
			OK(chmod("d", 0755));
			OK(setuid(1000));
			ERR(chmod2(d, "f", 0777, 0), EPERM);
		}
}
