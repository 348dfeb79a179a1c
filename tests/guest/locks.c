/* flock(2), fcntl(2) F_SETLK and F_OFD_SETLK: locks on files. */
#include "check.h"
#include <sys/file.h>

static int opened(void)
{
	return OK(open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}

static int lock(int fd, int cmd, int type, off_t start, off_t len)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
	return fcntl(fd, cmd, &l);
}

static struct flock query(int fd, int cmd, int type, off_t start, off_t len)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
	OK(fcntl(fd, cmd, &l));
	return l;
}

TEST(flock_rules)
{
	int a = opened(), b = opened();
	OK(flock(a, LOCK_EX));
	ERR(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	ERR(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	OK(flock(a, LOCK_SH)); /* conversion */
	OK(flock(b, LOCK_SH | LOCK_NB));
	ERR(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	OK(flock(b, LOCK_UN));
	OK(flock(a, LOCK_EX | LOCK_NB));
	int d = OK(dup(a));
	OK(close(a));
	ERR(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK); /* the description holds it */
	IN_CHILD {
		OK(flock(d, LOCK_EX | LOCK_NB)); /* and is the child's as well */
		ERR(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	}
	OK(close(d));
	OK(flock(b, LOCK_EX | LOCK_NB));
	ERR(flock(b, 0), EINVAL);
	ERR(flock(999, LOCK_EX), EBADF);
	OK(flock(b, LOCK_UN));
	OK(flock(b, LOCK_UN));
}

TEST(flock_waits)
{
	int a = opened(), p[2];
	char c;
	OK(pipe(p));
	OK(flock(a, LOCK_EX));
	pid_t pid = OK(fork());
	if (pid == 0) {
		int b = opened();
		EQ(write(p[1], "x", 1), 1);
		OK(flock(b, LOCK_EX));
		_exit(0);
	}
	EQ(read(p[0], &c, 1), 1);
	sleep_ms(30);
	EQ(waitpid(pid, NULL, WNOHANG), 0);
	OK(flock(a, LOCK_UN));
	REAP_OK(pid);
	OK(flock(a, LOCK_EX | LOCK_NB)); /* it ended with the process */
}

TEST(posix_ranges)
{
	int fd = opened();
	OK(lock(fd, F_SETLK, F_WRLCK, 10, 10));
	OK(lock(fd, F_SETLK, F_RDLCK, 30, 0)); /* to the end, wherever it goes */
	OK(lock(fd, F_SETLK, F_WRLCK, 10, 10)); /* one's own never conflict */
	EQ(query(fd, F_GETLK, F_WRLCK, 0, 0).l_type, F_UNLCK);
	pid_t parent = getpid();
	IN_CHILD {
		int b = opened();
		struct flock l = query(b, F_GETLK, F_WRLCK, 0, 0);
		EQ(l.l_type, F_WRLCK);
		EQ(l.l_start, 10);
		EQ(l.l_len, 10);
		EQ(l.l_pid, parent);
		l = query(b, F_GETLK, F_WRLCK, 1000, 1);
		EQ(l.l_type, F_RDLCK);
		EQ(l.l_start, 30);
		EQ(l.l_len, 0);
		EQ(lock(b, F_SETLK, F_WRLCK, 15, 1), -1);
		CHECK(errno == EAGAIN || errno == EACCES);
		OK(lock(b, F_SETLK, F_WRLCK, 0, 10));
		OK(lock(b, F_SETLK, F_WRLCK, 20, 10));
		OK(lock(b, F_SETLK, F_RDLCK, 100, 5));
		EQ(lock(b, F_SETLK, F_WRLCK, 100, 5), -1);
	}
	/* splitting and joining */
	OK(lock(fd, F_SETLK, F_UNLCK, 12, 3));
	OK(lock(fd, F_SETLK, F_RDLCK, 15, 2));
	IN_CHILD {
		int b = opened();
		OK(lock(b, F_SETLK, F_WRLCK, 12, 3));
		EQ(lock(b, F_SETLK, F_WRLCK, 11, 1), -1);
		OK(lock(b, F_SETLK, F_RDLCK, 15, 2));
		EQ(lock(b, F_SETLK, F_RDLCK, 17, 1), -1);
	}
	OK(close(opened())); /* closing any description of the file drops the process's locks */
	IN_CHILD {
		int b = opened();
		OK(lock(b, F_SETLK, F_WRLCK, 0, 0));
	}
}

TEST(posix_waits_and_deadlock)
{
	int fd = opened(), p[2];
	char c;
	OK(pipe(p));
	OK(lock(fd, F_SETLK, F_WRLCK, 0, 1));
	pid_t pid = OK(fork());
	if (pid == 0) {
		int b = opened();
		OK(lock(b, F_SETLK, F_WRLCK, 1, 1));
		EQ(write(p[1], "x", 1), 1);
		OK(lock(b, F_SETLKW, F_WRLCK, 0, 1));
		_exit(0);
	}
	EQ(read(p[0], &c, 1), 1);
	while (state_of(pid) == 'R')
		sleep_ms(1);
	sleep_ms(50);
	ERR(lock(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
	EQ(waitpid(pid, NULL, WNOHANG), 0);
	OK(lock(fd, F_SETLK, F_UNLCK, 0, 0));
	REAP_OK(pid);
}

TEST(posix_errors)
{
	make_file("g", "0123456789");
	int fd = opened(), ro = OK(open("f", O_RDONLY)), wo = OK(open("f", O_WRONLY)), p[2];
	ERR(lock(fd, F_SETLK, 9, 0, 0), EINVAL);
	ERR(lock(fd, F_SETLK, F_WRLCK, -1, 5), EINVAL);
	ERR(lock(ro, F_SETLK, F_WRLCK, 0, 0), EBADF);
	ERR(lock(wo, F_SETLK, F_RDLCK, 0, 0), EBADF);
	ERR(fcntl(fd, F_SETLK, BAD), EFAULT);
	ERR(fcntl(fd, F_GETLK, BAD), EFAULT);
	ERR(lock(999, F_SETLK, F_WRLCK, 0, 0), EBADF);
	struct flock l = {.l_type = F_UNLCK};
	ERR(fcntl(fd, F_GETLK, &l), EINVAL);
	OK(pipe(p));
	int g = OK(open("g", O_RDWR));
	struct flock end = {.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -4, .l_len = 2};
	OK(fcntl(g, F_SETLK, &end));
	struct flock neg = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = -2};
	OK(fcntl(g, F_SETLK, &neg)); /* 3 and 4 */
	IN_CHILD {
		int b = OK(open("g", O_RDWR));
		struct flock q = query(b, F_GETLK, F_WRLCK, 0, 5);
		EQ(q.l_start, 3);
		EQ(q.l_len, 2);
		q = query(b, F_GETLK, F_WRLCK, 5, 0);
		EQ(q.l_start, 6);
		EQ(q.l_len, 2);
	}
}

TEST(open_file_description_locks)
{
	int a = opened(), b = opened();
	OK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	ERR(lock(b, F_OFD_SETLK, F_WRLCK, 5, 1), EAGAIN); /* also within one process */
	OK(lock(b, F_OFD_SETLK, F_WRLCK, 10, 1));
	struct flock l = query(b, F_OFD_GETLK, F_WRLCK, 0, 1);
	EQ(l.l_type, F_WRLCK);
	EQ(l.l_pid, -1);
	OK(close(opened()));
	ERR(lock(b, F_OFD_SETLK, F_WRLCK, 5, 1), EAGAIN); /* another's close changes nothing */
	OK(close(a));
	OK(lock(b, F_OFD_SETLK, F_WRLCK, 5, 1));
	struct flock bad = {.l_type = F_WRLCK, .l_pid = 1};
	ERR(fcntl(b, F_OFD_SETLK, &bad), EINVAL);
}
