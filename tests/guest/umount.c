/* umount2(2), pivot_root(2): in a mount namespace of our own; a sandbox has one of its own. */
#include "check.h"
#include <sched.h>
#include <sys/mount.h>

#ifndef MNT_DETACH
#define MNT_FORCE 1
#define MNT_DETACH 2
#define MNT_EXPIRE 4
#define UMOUNT_NOFOLLOW 8
#endif

/* From here on mounts are nobody else's. */
static void alone(void)
{
	const char *where = getenv("GUEST_IN");
	NEED_ROOT();
	if (where && !strcmp(where, "sandbox"))
		return;
	if (unshare(CLONE_NEWNS) == -1)
		SKIP("needs a mount namespace");
	OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

static void mount_at(const char *path)
{
	if (mkdir(path, 0755) == -1)
		EQ(errno, EEXIST);
	if (mount("tmpfs", path, "tmpfs", 0, NULL) == -1) {
		EQ(errno, EPERM);
		SKIP("needs CAP_SYS_ADMIN");
	}
}

static dev_t dev(const char *path)
{
	struct stat st;
	OK(stat(path, &st));
	return st.st_dev;
}

static long umount_raw(const char *path, int flags)
{
	return syscall(SYS_umount2, path, flags);
}

TEST(what_was_there_before)
{
	alone();
	mount_at("m");
	dev_t here = dev("."), there = dev("m");
	CHECK(here != there);
	make_file("m/f", "text");
	OK(umount_raw("m", 0));
	EQ(dev("m"), here);
	ERR(access("m/f", F_OK), ENOENT);
	mount_at("m");
	mount_at("m"); /* one upon the other: the upper goes first */
	make_file("m/upper", "");
	OK(umount_raw("m", 0));
	ERR(access("m/upper", F_OK), ENOENT);
	CHECK(dev("m") != here);
	OK(umount_raw("m", MNT_FORCE));
	EQ(dev("m"), here);
	ERR(umount_raw("m", 0), EINVAL);
}

TEST(busy)
{
	alone();
	mount_at("m");
	make_file("m/f", "text");
	int fd = OK(open("m/f", O_RDWR));
	ERR(umount_raw("m", 0), EBUSY);
	OK(close(fd));
	OK(chdir("m"));
	ERR(umount_raw("../m", 0), EBUSY);
	OK(chdir(".."));
	OK(mkdir("m/below", 0755));
	mount_at("m/below");
	ERR(umount_raw("m", 0), EBUSY);
	OK(umount_raw("m/below", 0));
	int dir = OK(open("m", O_RDONLY | O_DIRECTORY));
	ERR(umount_raw("m", 0), EBUSY);
	OK(close(dir));
	int path_fd = OK(open("m/f", O_PATH));
	ERR(umount_raw("m", 0), EBUSY);
	OK(close(path_fd));
	pid_t child = OK(fork());
	if (child == 0) {
		OK(chdir("m"));
		raise(SIGSTOP);
		_exit(0);
	}
	int status;
	EQ(waitpid(child, &status, WUNTRACED), child);
	ERR(umount_raw("m", 0), EBUSY); /* somebody else's place */
	OK(kill(child, SIGCONT));
	REAP_OK(child);
	OK(umount_raw("m", 0));
}

TEST(lazily)
{
	char buf[8];
	alone();
	mount_at("m");
	make_file("m/f", "text");
	mount_at("m/below");
	int fd = OK(open("m/f", O_RDWR)), dir = OK(open("m", O_RDONLY));
	OK(umount_raw("m", MNT_DETACH));
	ERR(access("m/f", F_OK), ENOENT);
	EQ(read(fd, buf, 8), 4); /* what is open goes on */
	EQ(write(fd, "more", 4), 4);
	int again = OK(openat(dir, "f", O_RDONLY));
	EQ(read(again, buf, 8), 8);
	CHECK(!memcmp(buf, "textmore", 8));
	OK(unlinkat(dir, "f", 0));
	ERR(umount_raw("m", MNT_DETACH), EINVAL);
}

TEST(links_and_flags)
{
	alone();
	mount_at("m");
	OK(symlink("m", "l"));
	ERR(umount_raw("l", UMOUNT_NOFOLLOW), EINVAL);
	OK(umount_raw("l", 0));
	mount_at("m");
	ERR(umount_raw("m", 16), EINVAL);
	ERR(umount_raw("m", MNT_EXPIRE | MNT_FORCE), EINVAL);
	ERR(umount_raw("m", MNT_EXPIRE | MNT_DETACH), EINVAL);
	ERR(umount_raw("m", MNT_EXPIRE), EAGAIN);
	OK(umount_raw("m", UMOUNT_NOFOLLOW));
	make_file("f", "");
	ERR(umount_raw("f", 0), EINVAL);
	ERR(umount_raw(".", 0), EINVAL);
	ERR(umount_raw("missing", 0), ENOENT);
	ERR(umount_raw("f/x", 0), ENOTDIR);
	ERR(umount_raw(BAD, 0), EFAULT);
	mount_at("m");
	IN_CHILD {
		OK(setuid(1000));
		ERR(umount_raw("m", 0), EPERM);
	}
	OK(umount_raw("m", 0));
}

static long pivot(const char *new_root, const char *put_old)
{
	return syscall(SYS_pivot_root, new_root, put_old);
}

TEST(pivot_there_and_back)
{
	char here[PATH_MAX], path[PATH_MAX * 2];
	alone();
	CHECK(getcwd(here, sizeof here));
	dev_t old = dev("/");
	mount_at("m");
	OK(mkdir("m/old", 0755));
	make_file("m/mark", "new");
	int child_goes[2], child_says[2];
	char c, seen[4] = {0};
	OK(pipe(child_goes));
	OK(pipe(child_says));
	pid_t child = OK(fork()); /* its root and working directory move along */
	if (child == 0) {
		OK(chdir("/"));
		EQ(write(child_says[1], "r", 1), 1);
		EQ(read(child_goes[0], &c, 1), 1);
		seen[0] = access("/mark", F_OK) == 0 ? 'y' : 'n';
		seen[1] = access("mark", F_OK) == 0 ? 'y' : 'n';
		EQ(write(child_says[1], seen, 2), 2);
		EQ(read(child_goes[0], &c, 1), 1);
		_exit(0);
	}
	EQ(read(child_says[0], &c, 1), 1);
	OK(pivot("m", "m/old"));
	int back_root = dev("/") != old;
	int mark = access("/mark", F_OK), under = dev("/old") == old;
	snprintf(path, sizeof path, "/old%s/m", here);
	int in_old = access(path, F_OK);
	int stayed = access("m/mark", F_OK); /* the working directory is the old one, and m in it is no mount any more */
	EQ(write(child_goes[1], "g", 1), 1);
	EQ(read(child_says[0], seen, 2), 2);
	OK(mkdir("/old/tmp/pivot-back", 0755)); /* and back, so that the rest of the world is there again */
	OK(chdir("/old"));
	snprintf(path, sizeof path, "/old%s/m", here);
	OK(pivot("/old", path));
	EQ(write(child_goes[1], "g", 1), 1);
	REAP_OK(child);
	OK(rmdir("/tmp/pivot-back"));
	OK(chdir(here));
	STR(seen, "yy");
	CHECK(back_root && under);
	EQ(mark, 0);
	EQ(in_old, 0);
	EQ(stayed, -1);
	EQ(dev("/"), old);
	OK(access("m/mark", F_OK));
	OK(umount_raw("m", MNT_DETACH));
}

TEST(errors_of_pivot)
{
	alone();
	mount_at("m");
	mount_at("n");
	OK(mkdir("m/old", 0755));
	OK(mkdir("d", 0755));
	OK(mkdir("d/old", 0755));
	make_file("f", "");
	ERR(pivot("m/old", "m/old"), EINVAL); /* no mount */
	ERR(pivot("m", "n"), EINVAL);         /* not below it */
	ERR(pivot("d", "d/old"), EBUSY);      /* the root's own mount */
	ERR(pivot("m", "d"), EBUSY);
	ERR(pivot("/", "/"), EBUSY);
	ERR(pivot("f", "m/old"), ENOTDIR);
	ERR(pivot("m", "f"), ENOTDIR);
	ERR(pivot("missing", "m/old"), ENOENT);
	ERR(pivot("m", "m/missing"), ENOENT);
	ERR(pivot(BAD, "m/old"), EFAULT);
	ERR(pivot("m", BAD), EFAULT);
	IN_CHILD {
		OK(setuid(1000));
		ERR(pivot("m", "m/old"), EPERM);
	}
	OK(umount_raw("n", 0));
	OK(umount_raw("m", MNT_DETACH));
}
