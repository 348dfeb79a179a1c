/* Flags that few programs use: MAP_HUGETLB, O_NOTIFICATION_PIPE, RENAME_WHITEOUT, MFD_NOEXEC_SEAL, MFD_HUGETLB, MADV_REMOVE,
 * MNT_EXPIRE, FALLOC_FL_COLLAPSE_RANGE, set_mempolicy(2), kcmp(2) of processes that share memory. */
#include "check.h"
#include <linux/kcmp.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8
#define MFD_EXEC 16
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 32
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static void no_huge_pages(void)
{
	char line[16] = "";
	int fd = open("/proc/sys/vm/nr_hugepages", O_RDONLY);
	if (fd < 0 || read(fd, line, 15) < 1 || atoi(line))
		SKIP("there are huge pages");
	close(fd);
}

TEST(huge_pages)
{
	no_huge_pages();
	ERR((long)mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0), ENOMEM);
	int fd = OK(memfd_create("huge", MFD_HUGETLB));
	struct stat st;
	OK(fstat(fd, &st));
	EQ(st.st_blksize, 2 << 20);
	EQ(st.st_size, 0);
	ERR(write(fd, "x", 1), EINVAL);
	ERR(ftruncate(fd, 4096), EINVAL);
	OK(ftruncate(fd, 2 << 20));
	ERR((long)mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), ENOMEM);
	OK(memfd_create("huge", MFD_HUGETLB | 21 << 26));
	ERR(memfd_create("huge", MFD_HUGETLB | 13 << 26), ENODEV);
	ERR(memfd_create("huge", 21 << 26), EINVAL);
}

TEST(notification_pipe)
{
	int p[2];
	errno = 0;
	if (pipe2(p, O_EXCL) == -1)
		EQ(errno, ENOPKG);
	ERR(pipe2(p, O_EXCL | O_APPEND), EINVAL);
}

/* On the host mounts shall be nobody else's; a sandbox has one namespace, which is its own. */
static void alone(void)
{
	NEED_ROOT();
	if (unshare(CLONE_NEWNS) == 0)
		OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

TEST(whiteout)
{
	alone();
	OK(mkdir("m", 0755));
	if (mount("tmpfs", "m", "tmpfs", 0, NULL))
		SKIP("may not mount");
	OK(chdir("m"));
	make_file("a", "one");
	OK(mkdir("dir", 0755));
	OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "dir/b", RENAME_WHITEOUT));
	struct stat st;
	OK(lstat("a", &st));
	EQ(st.st_mode, S_IFCHR);
	EQ(st.st_rdev, 0);
	OK(lstat("dir/b", &st));
	EQ(st.st_size, 3);
	make_file("c", "two");
	OK(renameat2(AT_FDCWD, "c", AT_FDCWD, "a", RENAME_WHITEOUT));
	OK(lstat("c", &st));
	EQ(st.st_mode, S_IFCHR);
	OK(lstat("a", &st));
	EQ(st.st_mode & S_IFMT, S_IFREG);
	make_file("d", "x");
	ERR(renameat2(AT_FDCWD, "d", AT_FDCWD, "a", RENAME_WHITEOUT | RENAME_NOREPLACE), EEXIST);
	OK(lstat("d", &st));
	EQ(st.st_mode & S_IFMT, S_IFREG);
	ERR(renameat2(AT_FDCWD, "d", AT_FDCWD, "a", RENAME_WHITEOUT | RENAME_EXCHANGE), EINVAL);
	ERR(renameat2(AT_FDCWD, "d", AT_FDCWD, "a", 8), EINVAL);
	OK(chmod(".", 0777));
	IN_CHILD
	{
		OK(setgid(12345));
		OK(setuid(12345));
		OK(renameat2(AT_FDCWD, "d", AT_FDCWD, "e", RENAME_WHITEOUT)); /* takes no capability since 5.8 */
		OK(lstat("d", &st));
		EQ(st.st_mode, S_IFCHR);
	}
	OK(chdir(".."));
	OK(umount("m"));
}

TEST(sealed_memfd)
{
	errno = 0;
	int fd = memfd_create("n", MFD_NOEXEC_SEAL);
	if (fd == -1 && errno == EINVAL)
		SKIP("a kernel without it");
	struct stat st;
	OK(fstat(fd, &st));
	EQ(st.st_mode, S_IFREG | 0666);
	EQ(fcntl(fd, F_GET_SEALS), F_SEAL_EXEC);
	ERR(fchmod(fd, 0777), EPERM);
	OK(fchmod(fd, 0600));
	OK(fstat(fd, &st));
	EQ(st.st_mode, S_IFREG | 0600);
	EQ(write(fd, "x", 1), 1);
	OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	EQ(fcntl(fd, F_GET_SEALS), F_SEAL_EXEC | F_SEAL_SHRINK);
	ERR(memfd_create("n", MFD_NOEXEC_SEAL | MFD_EXEC), EINVAL);
	/* of one that is executable: then it may not be written any more */
	fd = OK(memfd_create("n", MFD_EXEC | MFD_ALLOW_SEALING));
	OK(fstat(fd, &st));
	EQ(st.st_mode, S_IFREG | 0777);
	EQ(fcntl(fd, F_GET_SEALS), 0);
	OK(fchmod(fd, 0700));
	OK(fcntl(fd, F_ADD_SEALS, F_SEAL_EXEC));
	EQ(fcntl(fd, F_GET_SEALS), F_SEAL_EXEC | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
	ERR(fchmod(fd, 0600), EPERM);
	ERR(write(fd, "x", 1), EPERM);
}

TEST(advice)
{
	int fd = OK(memfd_create("f", 0));
	OK(ftruncate(fd, 8192));
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	p[0] = 1, p[4096] = 2;
	OK(madvise(p, 4096, MADV_REMOVE));
	EQ(p[0], 0);
	EQ(p[4096], 2);
	char c = 9;
	EQ(pread(fd, &c, 1, 0), 1);
	EQ(c, 0);
	char *a = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	a[0] = 3;
	OK(madvise(a, 8192, 21)); /* MADV_PAGEOUT */
	EQ(a[0], 3);
	ERR(madvise(a, 8192, MADV_REMOVE), EINVAL); /* no file */
	errno = 0;
	if (madvise(a, 8192, MADV_COLLAPSE))
		CHECK(errno == EINVAL || errno == ENOMEM || errno == EAGAIN || errno == EBUSY);
	EQ(a[0], 3);
	ERR(madvise(a, 8192, 12345), EINVAL);
}

TEST(expiring)
{
	alone();
	OK(mkdir("m", 0755));
	if (mount("tmpfs", "m", "tmpfs", 0, NULL))
		SKIP("may not mount");
	ERR(umount2("m", MNT_EXPIRE | MNT_DETACH), EINVAL);
	ERR(umount2("m", MNT_EXPIRE), EAGAIN);
	struct stat st;
	OK(stat("m/.", &st)); /* used: it begins again */
	ERR(umount2("m", MNT_EXPIRE), EAGAIN);
	int fd = OK(open("m", O_RDONLY));
	ERR(umount2("m", MNT_EXPIRE), EBUSY);
	OK(close(fd));
	ERR(umount2("m", MNT_EXPIRE), EAGAIN);
	OK(umount2("m", MNT_EXPIRE));
	ERR(umount2("m", MNT_EXPIRE), EINVAL);
}

TEST(pieces)
{
	int fd = OK(open("file", O_CREAT | O_RDWR, 0600));
	char page[4096];
	for (int i = 0; i < 4; i++) {
		memset(page, 'a' + i, sizeof page);
		EQ(write(fd, page, 4096), 4096);
	}
	struct stat st;
	errno = 0;
	if (fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 4096, 4096) == 0) {
		OK(fstat(fd, &st));
		EQ(st.st_size, 3 * 4096);
		EQ(pread(fd, page, 1, 4096), 1);
		EQ(page[0], 'c');
		OK(fallocate(fd, FALLOC_FL_INSERT_RANGE, 4096, 4096));
		OK(fstat(fd, &st));
		EQ(st.st_size, 4 * 4096);
		EQ(pread(fd, page, 1, 4096), 1);
		EQ(page[0], 0);
	} else {
		EQ(errno, EOPNOTSUPP);
		ERR(fallocate(fd, FALLOC_FL_INSERT_RANGE, 4096, 4096), EOPNOTSUPP);
	}
	ERR(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096), EOPNOTSUPP);
	ERR(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 4096), EOPNOTSUPP);
	ERR(fallocate(fd, 0x1000, 0, 4096), EOPNOTSUPP);
}

TEST(memory_policy)
{
	int mode = 99;
	unsigned long nodes = 0, one = 1;
	errno = 0;
	if (syscall(SYS_get_mempolicy, &mode, &nodes, 65, NULL, 0) && errno == ENOSYS)
		SKIP("a kernel without it");
	EQ(mode, MPOL_DEFAULT);
	OK(syscall(SYS_set_mempolicy, MPOL_BIND, &one, 65));
	OK(syscall(SYS_get_mempolicy, &mode, &nodes, 65, NULL, 0));
	EQ(mode, MPOL_BIND);
	EQ(nodes, 1);
	IN_CHILD
	{
		OK(syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0));
		EQ(mode, MPOL_BIND);
	}
	OK(syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, &one, 65));
	OK(syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, MPOL_F_NODE));
	EQ(mode, 0);
	OK(syscall(SYS_set_mempolicy, MPOL_PREFERRED, NULL, 0));
	OK(syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0));
	EQ(mode, MPOL_LOCAL);
	ERR(syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, MPOL_F_NODE), EINVAL);
	ERR(syscall(SYS_set_mempolicy, MPOL_BIND, NULL, 0), EINVAL);
	ERR(syscall(SYS_set_mempolicy, 77, NULL, 0), EINVAL);
	OK(syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0));
	OK(syscall(SYS_get_mempolicy, &mode, &nodes, 65, NULL, 0));
	EQ(mode, MPOL_DEFAULT);
	EQ(nodes, 0);
}

static int sleeper(void *arg)
{
	(void)arg;
	sleep_ms(100000);
	return 0;
}

TEST(shared_memory)
{
	static char stack[65536];
	pid_t me = getpid(), pid = OK(clone(sleeper, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL));
	EQ(syscall(SYS_kcmp, me, pid, KCMP_VM, 0, 0), 0);
	CHECK(syscall(SYS_kcmp, me, pid, KCMP_FILES, 0, 0) > 0);
	OK(kill(pid, SIGKILL));
	REAP_SIGNAL(pid, SIGKILL);
}
