/* fsopen(2), fsconfig(2), fsmount(2), fspick(2), open_tree(2), open_tree_attr(2), move_mount(2), mount_setattr(2). */
#include "check.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467
#endif
#define RECURSIVE 0x8000
enum { FLAG, STRING, BINARY, PATHNAME, PATH_EMPTY, FD, CREATE, RECONFIGURE };
enum { CLONE_TREE = 1, F_EMPTY = 4, T_EMPTY = 0x40, BENEATH = 0x200 };
enum { RDONLY = 1, NOSUID = 2, NODEV = 4, NOEXEC = 8, NOATIME = 0x10, STRICT = 0x20, ATIME = 0x70 };

struct attr {
	uint64_t set, clear, propagation, userns;
};

static int fsopen_(const char *name, unsigned flags)
{
	return syscall(SYS_fsopen, name, flags);
}
static int config(int fd, unsigned cmd, const char *key, const void *value, int aux)
{
	return syscall(SYS_fsconfig, fd, cmd, key, value, aux);
}
static int fsmount_(int fd, unsigned flags, unsigned attr)
{
	return syscall(SYS_fsmount, fd, flags, attr);
}
static int tree(int dir, const char *path, unsigned flags)
{
	return syscall(SYS_open_tree, dir, path, flags);
}
static int move(int from, const char *a, int to, const char *b, unsigned flags)
{
	return syscall(SYS_move_mount, from, a, to, b, flags);
}
static int setattr(int dir, const char *path, unsigned flags, struct attr *a)
{
	return syscall(SYS_mount_setattr, dir, path, flags, a, sizeof *a);
}

/* On the host mounts shall be nobody else's; a sandbox has one namespace, which is its own. */
static void alone(void)
{
	NEED_ROOT();
	if (unshare(CLONE_NEWNS) == 0)
		OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

/* A tmpfs that hangs nowhere. */
static int loose(const char *size, unsigned attr)
{
	int fd = OK(fsopen_("tmpfs", 1));
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	if (size)
		OK(config(fd, STRING, "size", size, 0));
	OK(config(fd, STRING, "source", "guest", 0));
	OK(config(fd, CREATE, NULL, NULL, 0));
	int m = OK(fsmount_(fd, 1, attr));
	EQ(fcntl(m, F_GETFD), FD_CLOEXEC);
	OK(close(fd));
	return m;
}

TEST(a_new_file_system)
{
	alone();
	int m = loose("64k", NOSUID | NOEXEC);
	OK(mkdirat(m, "before", 0755)); /* it can be used although it hangs nowhere */
	OK(mkdir("at", 0755));
	OK(move(m, "", AT_FDCWD, "at", F_EMPTY));
	struct stat st;
	OK(stat("at/before", &st));
	struct statfs fs;
	OK(statfs("at", &fs));
	EQ(fs.f_type, 0x01021994);
	EQ(fs.f_blocks * fs.f_bsize, 65536);
	EQ(fs.f_flags & (ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_RDONLY), ST_NOSUID | ST_NOEXEC);
	char line[512];
	int found = 0;
	FILE *f = fopen("/proc/self/mounts", "r");
	CHECK(f);
	while (fgets(line, sizeof line, f))
		found += !strncmp(line, "guest ", 6) && strstr(line, "size=64k") && strstr(line, "nosuid");
	fclose(f);
	EQ(found, 1);
	ERR(umount("at"), EBUSY); /* the descriptor */
	OK(close(m));
	OK(umount("at"));
	ERR(stat("at/before", &st), ENOENT);
}

TEST(errors)
{
	alone();
	ERR(fsopen_("nonesuch", 0), ENODEV);
	ERR(fsopen_("tmpfs", 2), EINVAL);
	ERR(fsopen_(BAD, 0), EFAULT);
	int fd = OK(fsopen_("tmpfs", 0));
	ERR(config(fd, FLAG, "ro", "x", 0), EINVAL);
	ERR(config(fd, STRING, "size", NULL, 0), EINVAL);
	ERR(config(fd, STRING, NULL, "x", 0), EINVAL);
	ERR(config(fd, STRING, "size", "many", 0), EINVAL);
	ERR(config(fd, STRING, "nonesuch", "1", 0), EINVAL);
	ERR(config(fd, CREATE, "x", NULL, 0), EINVAL);
	ERR(config(fd, 99, NULL, NULL, 0), EOPNOTSUPP);
	ERR(config(fd, STRING, BAD, "x", 0), EFAULT);
	ERR(config(-1, CREATE, NULL, NULL, 0), EINVAL);
	ERR(config(99, CREATE, NULL, NULL, 0), EBADF);
	int other = OK(open("/dev/null", O_RDONLY));
	ERR(config(other, CREATE, NULL, NULL, 0), EINVAL);
	ERR(fsmount_(other, 0, 0), EINVAL);
	ERR(config(fd, RECONFIGURE, NULL, NULL, 0), EBUSY);
	OK(config(fd, STRING, "source", "a", 0));
	ERR(config(fd, STRING, "source", "b", 0), EINVAL);
	OK(config(fd, CREATE, NULL, NULL, 0));
	ERR(config(fd, CREATE, NULL, NULL, 0), EBUSY);
	ERR(config(fd, STRING, "size", "4k", 0), EBUSY);
	ERR(fsmount_(fd, 8, 0), EINVAL);
	ERR(fsmount_(fd, 0, 0x1000), EINVAL);
	ERR(fsmount_(fd, 0, 0x70), EINVAL);
	char c;
	int fresh = OK(fsopen_("tmpfs", 0));
	ERR(read(fresh, &c, 1), ENODATA);
	IN_CHILD
	{
		OK(setgid(12345));
		OK(setuid(12345));
		ERR(fsopen_("tmpfs", 0), EPERM);
		ERR(fsmount_(fd, 0, 0), EPERM);
		ERR(tree(AT_FDCWD, "/", CLONE_TREE), EPERM);
		ERR(move(AT_FDCWD, "/", AT_FDCWD, "/", 0), EPERM);
		ERR(syscall(SYS_fspick, AT_FDCWD, "/", 0), EPERM);
		struct attr a = {RDONLY, 0, 0, 0};
		ERR(setattr(AT_FDCWD, "/", 0, &a), EPERM);
		int t = OK(tree(AT_FDCWD, "/", 0)); /* no more than O_PATH */
		EQ(fcntl(t, F_GETFL) & O_PATH, O_PATH);
	}
}

TEST(trees)
{
	alone();
	OK(mkdir("a", 0755));
	OK(mount("one", "a", "tmpfs", 0, NULL));
	OK(mkdir("a/sub", 0755));
	OK(mkdir("a/sub/in", 0755));
	OK(mount("two", "a/sub/in", "tmpfs", MS_NODEV, NULL));
	make_file("a/sub/in/file", "x");
	OK(mkdir("b", 0755));
	struct stat st;
	/* without what is mounted in it */
	int t = OK(tree(AT_FDCWD, "a/sub", CLONE_TREE | O_CLOEXEC));
	EQ(fcntl(t, F_GETFD), FD_CLOEXEC);
	OK(fstatat(t, "in", &st, 0));
	ERR(fstatat(t, "in/file", &st, 0), ENOENT);
	OK(move(t, "", AT_FDCWD, "b", F_EMPTY));
	OK(stat("b/in", &st));
	OK(close(t));
	OK(umount("b"));
	/* with it */
	t = OK(tree(AT_FDCWD, "a/sub", CLONE_TREE | RECURSIVE));
	OK(fstatat(t, "in/file", &st, 0));
	OK(move(t, "", AT_FDCWD, "b", F_EMPTY));
	OK(close(t));
	OK(stat("b/in/file", &st));
	OK(umount("b/in"));
	OK(umount("b"));
	OK(stat("a/sub/in/file", &st));
	/* given up */
	t = OK(tree(AT_FDCWD, "a/sub", CLONE_TREE | RECURSIVE));
	OK(close(t));
	OK(umount("a/sub/in"));
	OK(rmdir("a/sub/in"));
	/* a file */
	make_file("file", "contents");
	make_file("a/f", "");
	t = OK(tree(AT_FDCWD, "file", CLONE_TREE));
	ERR(move(t, "", AT_FDCWD, "b", F_EMPTY), EINVAL);
	OK(move(t, "", AT_FDCWD, "a/f", F_EMPTY));
	OK(close(t));
	OK(stat("a/f", &st));
	EQ(st.st_size, 8);
	OK(umount("a/f"));
	/* moves */
	OK(move(AT_FDCWD, "a", AT_FDCWD, "b", 0));
	OK(stat("b/sub", &st));
	ERR(stat("a/sub", &st), ENOENT);
	ERR(move(AT_FDCWD, "b/sub", AT_FDCWD, "a", 0), EINVAL); /* no mount */
	int d = OK(open("a", O_RDONLY | O_DIRECTORY));
	OK(move(AT_FDCWD, "b", d, "", T_EMPTY));
	OK(umount("a"));
	ERR(tree(AT_FDCWD, "a", RECURSIVE), EINVAL);
	ERR(tree(AT_FDCWD, "a", 2), EINVAL);
	ERR(tree(AT_FDCWD, "nonesuch", 0), ENOENT);
	ERR(tree(99, "x", 0), EBADF);
	ERR(tree(AT_FDCWD, "", 0), ENOENT);
	ERR(move(AT_FDCWD, "a", AT_FDCWD, "b", 0x8), EINVAL);
}

TEST(beneath)
{
	alone();
	OK(mkdir("m", 0755));
	OK(mount("top", "m", "tmpfs", 0, NULL));
	make_file("m/top", "x");
	int t = loose(NULL, 0), f = OK(openat(t, "below", O_CREAT | O_WRONLY, 0600));
	OK(close(f));
	errno = 0;
	if (move(t, "", AT_FDCWD, "m", F_EMPTY | BENEATH) == -1) {
		EQ(errno, EINVAL); /* before Linux 6.5 */
		SKIP("a kernel without it");
	}
	OK(close(t));
	struct stat st;
	OK(stat("m/top", &st));
	OK(umount("m"));
	OK(stat("m/below", &st));
	OK(umount("m"));
	ERR(umount("m"), EINVAL);
}

static unsigned long flags_of(const char *path)
{
	struct statvfs s;
	OK(statvfs(path, &s));
	return s.f_flag & (ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME | ST_RELATIME);
}

TEST(attributes)
{
	alone();
	OK(mkdir("m", 0755));
	OK(mount("top", "m", "tmpfs", 0, NULL));
	OK(mkdir("m/in", 0755));
	OK(mount("in", "m/in", "tmpfs", 0, NULL));
	struct attr a = {RDONLY | NOSUID, 0, 0, 0};
	OK(setattr(AT_FDCWD, "m", 0, &a));
	EQ(flags_of("m") & (ST_RDONLY | ST_NOSUID), ST_RDONLY | ST_NOSUID);
	EQ(flags_of("m/in") & ST_RDONLY, 0);
	ERR(mkdir("m/x", 0755), EROFS);
	OK(mkdir("m/in/x", 0755));
	a.set = NOEXEC, a.clear = RDONLY;
	OK(setattr(AT_FDCWD, "m", RECURSIVE, &a));
	EQ(flags_of("m") & (ST_RDONLY | ST_NOSUID | ST_NOEXEC), ST_NOSUID | ST_NOEXEC);
	EQ(flags_of("m/in") & (ST_RDONLY | ST_NOSUID | ST_NOEXEC), ST_NOEXEC);
	OK(mkdir("m/x", 0755));
	a.set = NOATIME, a.clear = ATIME;
	OK(setattr(AT_FDCWD, "m", 0, &a));
	EQ(flags_of("m") & (ST_NOATIME | ST_RELATIME), ST_NOATIME);
	a.set = 0;
	OK(setattr(AT_FDCWD, "m", 0, &a));
	EQ(flags_of("m") & (ST_NOATIME | ST_RELATIME), ST_RELATIME);
	a.set = 0, a.clear = 0, a.propagation = MS_PRIVATE;
	OK(setattr(AT_FDCWD, "m", 0, &a));
	a.propagation = MS_PRIVATE | MS_SHARED;
	ERR(setattr(AT_FDCWD, "m", 0, &a), EINVAL);
	a.propagation = 0;
	a.set = NOATIME;
	ERR(setattr(AT_FDCWD, "m", 0, &a), EINVAL); /* without clearing what there was */
	a.set = 0, a.clear = NOATIME;
	ERR(setattr(AT_FDCWD, "m", 0, &a), EINVAL);
	a.set = 1 << 30, a.clear = 0;
	ERR(setattr(AT_FDCWD, "m", 0, &a), EINVAL);
	a.set = RDONLY;
	ERR(setattr(AT_FDCWD, "m/x", 0, &a), EINVAL); /* no mount */
	ERR(setattr(AT_FDCWD, "m", 4, &a), EINVAL);
	ERR(syscall(SYS_mount_setattr, AT_FDCWD, "m", 0, &a, 8), EINVAL);
	ERR(syscall(SYS_mount_setattr, AT_FDCWD, "m", 0, &a, 5000), E2BIG);
	ERR(syscall(SYS_mount_setattr, AT_FDCWD, "m", 0, BAD, 32), EFAULT);
	memset(&a, 0, sizeof a);
	OK(setattr(AT_FDCWD, "nonesuch", 0, &a)); /* nothing to do */
	OK(umount("m/in"));
	OK(umount("m"));
}

TEST(with_attributes)
{
	alone();
	OK(mkdir("m", 0755));
	OK(mkdir("n", 0755));
	OK(mount("top", "m", "tmpfs", 0, NULL));
	struct attr a = {RDONLY | NODEV, 0, 0, 0};
	errno = 0;
	int t = syscall(SYS_open_tree_attr, AT_FDCWD, "m", CLONE_TREE, &a, sizeof a);
	if (t == -1 && errno == ENOSYS)
		SKIP("a kernel without it");
	CHECK(t >= 0);
	OK(move(t, "", AT_FDCWD, "n", F_EMPTY));
	OK(close(t));
	EQ(flags_of("n") & (ST_RDONLY | ST_NODEV), ST_RDONLY | ST_NODEV);
	EQ(flags_of("m") & (ST_RDONLY | ST_NODEV), 0);
	ERR(mkdir("n/x", 0755), EROFS);
	OK(umount("n"));
	OK(umount("m"));
}

TEST(picked)
{
	alone();
	OK(mkdir("m", 0755));
	OK(mount("top", "m", "tmpfs", 0, "size=64k"));
	OK(mkdir("m/x", 0755));
	ERR(syscall(SYS_fspick, AT_FDCWD, "m/x", 0), EINVAL);
	ERR(syscall(SYS_fspick, AT_FDCWD, "m", 0x10), EINVAL);
	ERR(syscall(SYS_fspick, AT_FDCWD, "nonesuch", 0), ENOENT);
	int fd = OK(syscall(SYS_fspick, AT_FDCWD, "m", 1));
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ERR(config(fd, CREATE, NULL, NULL, 0), EBUSY);
	ERR(fsmount_(fd, 0, 0), EBUSY);
	OK(config(fd, STRING, "size", "128k", 0));
	OK(config(fd, FLAG, "ro", NULL, 0));
	OK(config(fd, RECONFIGURE, NULL, NULL, 0));
	struct statfs fs;
	OK(statfs("m", &fs));
	EQ(fs.f_blocks * fs.f_bsize, 131072);
	ERR(mkdir("m/y", 0755), EROFS);
	OK(close(fd));
	fd = OK(syscall(SYS_fspick, AT_FDCWD, "m", 0));
	OK(config(fd, FLAG, "rw", NULL, 0));
	OK(config(fd, RECONFIGURE, NULL, NULL, 0));
	OK(mkdir("m/y", 0755));
	OK(close(fd));
	OK(umount("m"));
}
