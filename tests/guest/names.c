/* link(2), symlink(2), readlink(2), rename(2), renameat2(2), unlink(2): names of files. */
#include "check.h"
#include <sys/xattr.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#endif

static ino_t ino(const char *path)
{
	struct stat st;
	OK(lstat(path, &st));
	return st.st_ino;
}

static int links(const char *path)
{
	struct stat st;
	OK(lstat(path, &st));
	return st.st_nlink;
}

TEST(hard_links)
{
	make_file("a", "text");
	OK(link("a", "b"));
	EQ(ino("a"), ino("b"));
	EQ(links("a"), 2);
	OK(unlink("a"));
	EQ(links("b"), 1);
	ERR(link("a", "c"), ENOENT);
	make_file("a", "");
	ERR(link("a", "b"), EEXIST);
	OK(mkdir("d", 0755));
	ERR(link("d", "e"), EPERM);
	ERR(link("a/x", "c"), ENOTDIR);
	ERR(link("a", "missing/c"), ENOENT);
	ERR(link(BAD, "c"), EFAULT);
	ERR(link("a", BAD), EFAULT);
	ERR(link("", "c"), ENOENT);
	OK(symlink("a", "l"));
	OK(link("l", "l2")); /* the link itself */
	EQ(ino("l"), ino("l2"));
	OK(linkat(AT_FDCWD, "l", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
	EQ(ino("followed"), ino("a"));
	ERR(linkat(AT_FDCWD, "a", AT_FDCWD, "x", 0x8000), EINVAL);
	ERR(linkat(999, "a", AT_FDCWD, "x", 0), EBADF);
	if (access("/proc/self/stat", F_OK) == 0)
		ERR(link("/proc/self/stat", "x"), EXDEV);
}

TEST(symbolic_links)
{
	char buf[64];
	struct stat st;
	OK(symlink("some/where", "l"));
	EQ(readlink("l", buf, sizeof buf), 10);
	CHECK(!memcmp(buf, "some/where", 10));
	EQ(readlink("l", buf, 4), 4); /* cut, without a NUL */
	OK(lstat("l", &st));
	EQ(st.st_mode, S_IFLNK | 0777);
	EQ(st.st_size, 10);
	ERR(stat("l", &st), ENOENT);
	ERR(symlink("x", "l"), EEXIST);
	ERR(symlink("", "e"), ENOENT);
	ERR(symlink("x", ""), ENOENT);
	ERR(symlink("x", "missing/l"), ENOENT);
	ERR(symlink(BAD, "e"), EFAULT);
	ERR(symlink("x", BAD), EFAULT);
	make_file("f", "");
	ERR(readlink("f", buf, sizeof buf), EINVAL);
	ERR(readlink("missing", buf, sizeof buf), ENOENT);
	ERR(readlink("f/x", buf, sizeof buf), ENOTDIR);
	ERR(readlink("l", buf, 0), EINVAL);
	ERR(readlink("l", buf, -1), EINVAL);
	ERR(readlink("l", BAD, 64), EFAULT);
	OK(mkdir("d", 0755));
	int d = OK(open("d", O_RDONLY));
	OK(symlinkat("x", d, "in"));
	EQ(readlinkat(d, "in", buf, sizeof buf), 1);
	int l = OK(open("l", O_PATH | O_NOFOLLOW));
	EQ(readlinkat(l, "", buf, sizeof buf), 10);
	char *longer = calloc(1, 5000);
	memset(longer, 'a', 4095);
	OK(symlink(longer, "long"));
	longer[4095] = 'a';
	ERR(symlink(longer, "longer"), ENAMETOOLONG);
}

TEST(walk_through_links)
{
	OK(mkdir("a", 0755));
	OK(mkdir("a/b", 0755));
	make_file("a/b/f", "found");
	OK(symlink("a/b", "ab"));
	OK(access("ab/f", R_OK));
	OK(access("ab/../b/f", R_OK)); /* .. is the target's parent */
	ERR(access("ab/../f", R_OK), ENOENT);
	OK(symlink("../../a", "a/b/up"));
	OK(access("a/b/up/b/up/b/f", R_OK));
	OK(symlink("f", "a/b/l"));
	struct stat st;
	OK(lstat("a/b/l", &st));
	CHECK(S_ISLNK(st.st_mode));
	ERR(lstat("a/b/l/", &st), ENOTDIR); /* a slash at the end follows */
	OK(lstat("ab/", &st));
	CHECK(S_ISDIR(st.st_mode));
	OK(lstat("ab", &st));
	CHECK(S_ISLNK(st.st_mode));
}

TEST(rename_files)
{
	make_file("a", "A");
	make_file("b", "B");
	ino_t a = ino("a");
	OK(rename("a", "c"));
	EQ(ino("c"), a);
	ERR(access("a", F_OK), ENOENT);
	OK(rename("c", "b")); /* replaces */
	EQ(ino("b"), a);
	OK(rename("b", "b"));
	OK(link("b", "b2"));
	OK(rename("b", "b2")); /* the same file: nothing happens */
	OK(access("b", F_OK));
	OK(access("b2", F_OK));
	ERR(rename("missing", "x"), ENOENT);
	ERR(rename("b", "missing/x"), ENOENT);
	ERR(rename("b", "b2/x"), ENOTDIR);
	ERR(rename("", "x"), ENOENT);
	ERR(rename(BAD, "x"), EFAULT);
	ERR(rename("b", BAD), EFAULT);
	ERR(rename("b", "x/"), ENOTDIR);
	OK(symlink("nowhere", "l"));
	OK(rename("l", "l2")); /* links are moved, not followed */
	OK(rename("b", "l2"));
	EQ(ino("l2"), a);
}

TEST(rename_directories)
{
	OK(mkdir("d", 0755));
	OK(mkdir("d/e", 0755));
	OK(mkdir("empty", 0755));
	make_file("f", "");
	ERR(rename("d", "d/x"), EINVAL);
	ERR(rename("d", "d/e/x"), EINVAL);
	ERR(rename("d", "f"), ENOTDIR);
	ERR(rename("f", "d"), EISDIR);
	ERR(rename("empty", "d"), ENOTEMPTY);
	ERR(rename("d/e", "d"), ENOTEMPTY);
	ERR(rename("d/.", "x"), EBUSY);
	ERR(rename("d", "."), EBUSY);
	OK(rename("d", "empty"));
	OK(access("empty/e", F_OK));
	ERR(access("d", F_OK), ENOENT);
	int before = links("empty");
	OK(rename("empty/e", "e"));
	EQ(links("empty"), before < 2 ? before : before - 1);
	OK(rename("e/", "g/"));
	OK(access("g", F_OK));
	/* .. follows the move */
	OK(mkdir("p", 0755));
	OK(mkdir("p/q", 0755));
	OK(chdir("p/q"));
	OK(rename("../../p/q", "../../q"));
	OK(access("../p", F_OK));
	OK(access("../q", F_OK));
}

TEST(renameat2_flags)
{
	make_file("a", "");
	make_file("b", "");
	ino_t a = ino("a"), b = ino("b");
	int r = syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE);
	if (r == -1 && (errno == ENOSYS || errno == EINVAL))
		SKIP("no renameat2");
	CHECK(r == -1 && errno == EEXIST);
	EQ(ino("a"), a);
	OK(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE));
	EQ(ino("a"), b);
	EQ(ino("b"), a);
	OK(mkdir("d", 0755));
	OK(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "d", RENAME_EXCHANGE)); /* a file and a directory */
	EQ(ino("d"), b);
	ERR(syscall(SYS_renameat2, AT_FDCWD, "b", AT_FDCWD, "missing", RENAME_EXCHANGE), ENOENT);
	OK(syscall(SYS_renameat2, AT_FDCWD, "b", AT_FDCWD, "n", RENAME_NOREPLACE));
	EQ(ino("n"), a);
	ERR(syscall(SYS_renameat2, AT_FDCWD, "n", AT_FDCWD, "x", RENAME_NOREPLACE | RENAME_EXCHANGE), EINVAL);
	ERR(syscall(SYS_renameat2, AT_FDCWD, "n", AT_FDCWD, "x", 0x100), EINVAL);
	ERR(syscall(SYS_renameat2, 999, "n", AT_FDCWD, "x", 0), EBADF);
}

TEST(unlink_rules)
{
	make_file("f", "");
	OK(mkdir("d", 0755));
	OK(symlink("f", "l"));
	OK(unlink("l"));
	OK(access("f", F_OK));
	ERR(unlink("d"), EISDIR);
	ERR(unlink("missing"), ENOENT);
	ERR(unlink("f/"), ENOTDIR);
	ERR(unlink("f/x"), ENOTDIR);
	ERR(unlink(""), ENOENT);
	ERR(unlink(BAD), EFAULT);
	OK(mkfifo("p", 0600));
	OK(unlink("p"));
	OK(unlink("f"));
	ERR(unlink("f"), ENOENT);
}

TEST(mknod_kinds)
{
	struct stat st;
	OK(mknod("r", S_IFREG | 0644, 0));
	OK(lstat("r", &st));
	EQ(st.st_mode, S_IFREG | 0644);
	OK(mknod("zero", 0644, 0));
	OK(lstat("zero", &st));
	EQ(st.st_mode, S_IFREG | 0644);
	OK(mknod("p", S_IFIFO | 0600, 0));
	OK(lstat("p", &st));
	EQ(st.st_mode, S_IFIFO | 0600);
	OK(mknod("s", S_IFSOCK | 0600, 0));
	OK(lstat("s", &st));
	EQ(st.st_mode, S_IFSOCK | 0600);
	ERR(open("s", O_RDONLY), ENXIO);
	ERR(mknod("d", S_IFDIR | 0755, 0), EPERM);
	ERR(mknod("x", 0170000 | 0755, 0), EINVAL);
	ERR(mknod("r", S_IFREG | 0644, 0), EEXIST);
	ERR(mknod(BAD, S_IFREG | 0644, 0), EFAULT);
}

TEST(extended_attributes)
{
	char buf[64];
	make_file("f", "");
	if (setxattr("f", "user.one", "value", 5, 0) == -1 && errno == EOPNOTSUPP)
		SKIP("no user attributes on this file system");
	EQ(getxattr("f", "user.one", buf, sizeof buf), 5);
	CHECK(!memcmp(buf, "value", 5));
	EQ(getxattr("f", "user.one", NULL, 0), 5);
	ERR(getxattr("f", "user.one", buf, 2), ERANGE);
	ERR(getxattr("f", "user.two", buf, 2), ENODATA);
	ERR(setxattr("f", "user.one", "v", 1, XATTR_CREATE), EEXIST);
	ERR(setxattr("f", "user.two", "v", 1, XATTR_REPLACE), ENODATA);
	CHECK(listxattr("f", buf, sizeof buf) >= 9);
	OK(removexattr("f", "user.one"));
	ERR(removexattr("f", "user.one"), ENODATA);
	ERR(getxattr("missing", "user.one", buf, 2), ENOENT);
	ERR(setxattr("f", "bogus.one", "v", 1, 0), EOPNOTSUPP);
}
