/* unshare(2), setns(2). */
#include "check.h"
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>

static int sem;

static void *part_files(void *arg)
{
	OK(unshare(CLONE_FILES));
	OK(close(*(int *)arg));
	int fd = OK(open("/dev/zero", O_RDWR));
	EQ(fd, *(int *)arg);
	char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0); /* the real tables have parted too */
	CHECK(p != MAP_FAILED);
	EQ(p[0], 0);
	return NULL;
}

TEST(files)
{
	make_file("file", "contents");
	int fd = OK(open("file", O_RDONLY));
	char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	pthread_t th;
	EQ(pthread_create(&th, NULL, part_files, &fd), 0);
	EQ(pthread_join(th, NULL), 0);
	char buf[9] = "";
	EQ(read(fd, buf, 8), 8);
	STR(buf, "contents");
	char *q = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(q != MAP_FAILED);
	EQ(memcmp(q, "contents", 8), 0);
}

static void *part_fs(void *arg)
{
	(void)arg;
	OK(unshare(CLONE_FS));
	OK(chdir("/"));
	umask(0);
	return NULL;
}

TEST(fs)
{
	char before[PATH_MAX], after[PATH_MAX];
	CHECK(getcwd(before, sizeof before));
	umask(027);
	pthread_t th;
	EQ(pthread_create(&th, NULL, part_fs, NULL), 0);
	EQ(pthread_join(th, NULL), 0);
	CHECK(getcwd(after, sizeof after));
	STR(after, before);
	EQ(umask(022), 027);
}

static void *part_sem(void *arg)
{
	(void)arg;
	struct sembuf up = {0, 1, SEM_UNDO};
	OK(unshare(CLONE_SYSVSEM));
	OK(semop(sem, &up, 1));
	return NULL;
}

TEST(semaphores)
{
	sem = OK(semget(IPC_PRIVATE, 1, 0600));
	pthread_t th;
	EQ(pthread_create(&th, NULL, part_sem, NULL), 0);
	EQ(pthread_join(th, NULL), 0);
	for (int i = 0; i < 1000 && semctl(sem, 0, GETVAL); i++)
		sleep_ms(1);
	EQ(semctl(sem, 0, GETVAL), 0); /* undone with the thread's end */
	struct sembuf up = {0, 1, SEM_UNDO};
	OK(semop(sem, &up, 1));
	EQ(semctl(sem, 0, GETVAL), 1);
	OK(unshare(CLONE_SYSVSEM)); /* undone at once */
	EQ(semctl(sem, 0, GETVAL), 0);
	OK(semctl(sem, 0, IPC_RMID));
}

static void *refused(void *arg)
{
	(void)arg;
	ERR(unshare(CLONE_THREAD), EINVAL);
	ERR(unshare(CLONE_SIGHAND), EINVAL);
	ERR(unshare(CLONE_VM), EINVAL);
	return NULL;
}

TEST(flags)
{
	OK(unshare(0));
	OK(unshare(CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)); /* alone already */
	OK(unshare(CLONE_FILES | CLONE_FS | CLONE_SYSVSEM));
	ERR(unshare(CLONE_VFORK), EINVAL);
	ERR(unshare(1), EINVAL);
	pthread_t th;
	EQ(pthread_create(&th, NULL, refused, NULL), 0);
	EQ(pthread_join(th, NULL), 0);
}

TEST(namespaces)
{
	int uts = OK(open("/proc/self/ns/uts", O_RDONLY)), user = OK(open("/proc/self/ns/user", O_RDONLY));
	ERR(setns(uts, CLONE_NEWNET), EINVAL);
	ERR(setns(99, 0), EBADF);
	int fd = OK(open("/dev/null", O_RDONLY));
	ERR(setns(fd, 0), EINVAL);
	ERR(setns(user, 0), EINVAL); /* one's own */
	int pidfd = OK(syscall(SYS_pidfd_open, getpid(), 0));
	ERR(setns(pidfd, 0), EINVAL);
	ERR(setns(pidfd, 1), EINVAL);
	if (geteuid() == 0) {
		OK(setns(uts, 0));
		OK(setns(uts, CLONE_NEWUTS));
		OK(setns(pidfd, CLONE_NEWUTS | CLONE_NEWIPC));
		int mnt = OK(open("/proc/self/ns/mnt", O_RDONLY));
		OK(setns(mnt, CLONE_NEWNS));
		char cwd[PATH_MAX];
		CHECK(getcwd(cwd, sizeof cwd));
		STR(cwd, "/");
		IN_CHILD
		{
			OK(setgid(12345));
			OK(setuid(12345));
			ERR(setns(uts, 0), EPERM);
			ERR(unshare(CLONE_NEWUTS), EPERM);
		}
	} else {
		ERR(setns(uts, 0), EPERM);
		ERR(unshare(CLONE_NEWUTS), EPERM);
	}
}
