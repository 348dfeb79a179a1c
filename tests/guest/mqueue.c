/* mq_overview(7): mq_open, mq_unlink, mq_timedsend, mq_timedreceive, mq_notify, mq_getsetattr. */
#include "check.h"
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

static char name[64];

static const char *fresh_name(void)
{
	snprintf(name, sizeof name, "/guest-%d", getpid());
	mq_unlink(name);
	return name;
}

static mqd_t fresh(int flags, long messages, long size)
{
	struct mq_attr a = {.mq_maxmsg = messages, .mq_msgsize = size};
	return OK(mq_open(fresh_name(), O_CREAT | O_EXCL | flags, 0600, &a));
}

TEST(open_and_unlink)
{
	const char *n = fresh_name();
	ERR(mq_open(n, O_RDWR), ENOENT);
	ERR(mq_unlink(n), ENOENT);
	mqd_t q = OK(mq_open(n, O_CREAT | O_RDWR, 0640, NULL));
	struct mq_attr a;
	OK(mq_getattr(q, &a));
	EQ(a.mq_flags, 0);
	EQ(a.mq_maxmsg, 10);
	EQ(a.mq_msgsize, 8192);
	EQ(a.mq_curmsgs, 0);
	struct stat st;
	OK(fstat(q, &st));
	EQ(st.st_mode, S_IFREG | 0640);
	EQ(st.st_size, 80);
	EQ(fcntl(q, F_GETFD), FD_CLOEXEC);
	ERR(mq_open(n, O_CREAT | O_EXCL | O_RDWR, 0600, NULL), EEXIST);
	mqd_t again = OK(mq_open(n, O_CREAT | O_RDONLY, 0600, NULL));
	OK(mq_unlink(n));
	ERR(mq_unlink(n), ENOENT);
	ERR(mq_open(n, O_RDWR), ENOENT);
	OK(mq_send(q, "x", 1, 0)); /* it lives on */
	char buf[8192];
	EQ(mq_receive(again, buf, sizeof buf, NULL), 1);
	OK(mq_close(q));
	OK(mq_close(again));
	ERR(mq_open("/a/b", O_RDWR), EACCES);
	ERR(syscall(SYS_mq_open, "", O_RDWR, 0, NULL), ENOENT);
	ERR(syscall(SYS_mq_open, "/x", O_RDWR, 0, NULL), EACCES);
	ERR(syscall(SYS_mq_open, ".", O_RDWR, 0, NULL), EACCES);
	ERR(syscall(SYS_mq_open, BAD, O_RDWR, 0, NULL), EFAULT);
	char longer[300];
	memset(longer, 'a', 299);
	longer[299] = 0;
	ERR(syscall(SYS_mq_open, longer, O_RDWR, 0, NULL), ENAMETOOLONG);
	ERR(syscall(SYS_mq_unlink, "/x"), EACCES);
}

TEST(attributes)
{
	struct mq_attr a = {.mq_maxmsg = 0, .mq_msgsize = 10};
	ERR(mq_open(fresh_name(), O_CREAT | O_RDWR, 0600, &a), EINVAL);
	a.mq_maxmsg = 5, a.mq_msgsize = -1;
	ERR(mq_open(fresh_name(), O_CREAT | O_RDWR, 0600, &a), EINVAL);
	a.mq_maxmsg = 70000, a.mq_msgsize = 10;
	ERR(mq_open(fresh_name(), O_CREAT | O_RDWR, 0600, &a), EINVAL);
	ERR(syscall(SYS_mq_open, "guest-bad", O_CREAT | O_RDWR, 0600, BAD), EFAULT);
	mqd_t q = fresh(O_RDWR, 3, 100);
	OK(mq_getattr(q, &a));
	EQ(a.mq_maxmsg, 3);
	EQ(a.mq_msgsize, 100);
	struct mq_attr set = {.mq_flags = O_NONBLOCK, .mq_maxmsg = 77}, old;
	OK(mq_setattr(q, &set, &old));
	EQ(old.mq_flags, 0);
	EQ(old.mq_maxmsg, 3);
	OK(mq_getattr(q, &a));
	EQ(a.mq_flags, O_NONBLOCK);
	EQ(a.mq_maxmsg, 3);
	EQ(fcntl(q, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	set.mq_flags = O_NONBLOCK | O_APPEND;
	ERR(mq_setattr(q, &set, NULL), EINVAL);
	int fd = OK(open("file", O_CREAT | O_RDWR, 0600));
	ERR(mq_getattr(fd, &a), EBADF);
	ERR(mq_send(fd, "x", 1, 0), EBADF);
	ERR(mq_receive(fd, (char *)&a, sizeof a, NULL), EBADF);
	ERR(mq_getattr(99, &a), EBADF);
	OK(mq_unlink(name));
}

TEST(order)
{
	mqd_t q = fresh(O_RDWR, 6, 10);
	char buf[10];
	unsigned prio;
	OK(mq_send(q, "low1", 4, 1));
	OK(mq_send(q, "high1", 5, 9));
	OK(mq_send(q, "low2", 4, 1));
	OK(mq_send(q, "", 0, 32767));
	OK(mq_send(q, "high2", 5, 9));
	static const struct {
		const char *text;
		unsigned prio;
	} expected[] = {{"", 32767}, {"high1", 9}, {"high2", 9}, {"low1", 1}, {"low2", 1}};
	for (int i = 0; i < 5; i++) {
		memset(buf, 0, sizeof buf);
		EQ(mq_receive(q, buf, sizeof buf, &prio), (long)strlen(expected[i].text));
		STR(buf, expected[i].text);
		EQ(prio, expected[i].prio);
	}
	ERR(mq_send(q, "x", 1, 32768), EINVAL);
	ERR(mq_send(q, "elevenbytes", 11, 0), EMSGSIZE);
	ERR(mq_receive(q, buf, 9, NULL), EMSGSIZE);
	ERR(mq_send(q, BAD, 5, 0), EFAULT);
	OK(mq_unlink(name));
}

TEST(rights_of_a_descriptor)
{
	mqd_t w = fresh(O_WRONLY, 2, 10);
	mqd_t r = OK(mq_open(name, O_RDONLY));
	char buf[10];
	ERR(mq_receive(w, buf, 10, NULL), EBADF);
	ERR(mq_send(r, "x", 1, 0), EBADF);
	OK(mq_unlink(name));
}

static void nothing(int sig)
{
	(void)sig;
}

TEST(waits)
{
	mqd_t q = fresh(O_RDWR, 1, 10);
	char buf[10];
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += 50000000;
	if (ts.tv_nsec >= 1000000000)
		ts.tv_sec++, ts.tv_nsec -= 1000000000;
	int64_t from = now_ns();
	ERR(mq_timedreceive(q, buf, 10, NULL, &ts), ETIMEDOUT);
	CHECK(now_ns() - from >= 40000000);
	OK(mq_timedsend(q, "x", 1, 0, &ts)); /* no wait, no timeout */
	ERR(mq_timedsend(q, "y", 1, 0, &ts), ETIMEDOUT);
	ts.tv_nsec = -1;
	ERR(mq_timedsend(q, "y", 1, 0, &ts), EINVAL);
	ERR(mq_timedsend(q, "y", 1, 0, BAD), EFAULT);
	struct mq_attr nb = {.mq_flags = O_NONBLOCK}, block = {0};
	OK(mq_setattr(q, &nb, NULL));
	ERR(mq_send(q, "y", 1, 0), EAGAIN);
	EQ(mq_receive(q, buf, 10, NULL), 1);
	ERR(mq_receive(q, buf, 10, NULL), EAGAIN);
	OK(mq_setattr(q, &block, NULL));
	pid_t pid = OK(fork());
	if (!pid) {
		EQ(mq_receive(q, buf, 10, NULL), 5);
		EQ(mq_receive(q, buf, 10, NULL), 3);
		_exit(0);
	}
	sleep_ms(50);
	OK(mq_send(q, "first", 5, 0));
	OK(mq_send(q, "2nd", 3, 0)); /* waits, should the child be slow */
	REAP_OK(pid);
	handle(SIGALRM, nothing, 0);
	alarm(1);
	ERR(mq_receive(q, buf, 10, NULL), EINTR);
	OK(mq_unlink(name));
}

TEST(polling)
{
	mqd_t q = fresh(O_RDWR, 1, 10);
	struct pollfd p = {q, POLLIN | POLLOUT, 0};
	EQ(poll(&p, 1, 0), 1);
	EQ(p.revents, POLLOUT);
	OK(mq_send(q, "abc", 3, 0));
	EQ(poll(&p, 1, 0), 1);
	EQ(p.revents, POLLIN);
	char text[100] = "", buf[10];
	EQ(read(q, text, sizeof text), 60);
	CHECK(!strncmp(text, "QSIZE:3 ", 8));
	CHECK(strstr(text, "NOTIFY_PID:0 "));
	EQ(mq_receive(q, buf, 10, NULL), 3);
	pid_t pid = OK(fork());
	if (!pid) {
		sleep_ms(30);
		OK(mq_send(q, "x", 1, 0));
		_exit(0);
	}
	p.events = POLLIN;
	EQ(poll(&p, 1, 5000), 1);
	REAP_OK(pid);
	OK(mq_unlink(name));
}

static volatile siginfo_t told;
static volatile int count;
static void tell(int sig, siginfo_t *si, void *u)
{
	(void)sig;
	(void)u;
	told = *si;
	count++;
}

TEST(notification)
{
	mqd_t q = fresh(O_RDWR, 3, 10);
	char buf[10];
	handle_info(SIGUSR1, tell, 0);
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 4711};
	OK(mq_notify(q, &ev));
	ERR(mq_notify(q, &ev), EBUSY);
	pid_t pid = OK(fork());
	if (!pid) {
		ERR(mq_notify(q, &ev), EBUSY);
		OK(mq_notify(q, NULL)); /* another's stays */
		OK(mq_send(q, "x", 1, 0));
		OK(mq_send(q, "y", 1, 0));
		_exit(0);
	}
	REAP_OK(pid);
	for (int i = 0; i < 1000 && !count; i++)
		sleep_ms(1);
	EQ(count, 1);
	EQ(told.si_code, SI_MESGQ);
	EQ(told.si_pid, pid);
	EQ(told.si_uid, getuid());
	EQ(told.si_value.sival_int, 4711);
	/* only for an empty queue, and only once */
	OK(mq_notify(q, &ev));
	OK(mq_send(q, "z", 1, 0));
	sleep_ms(20);
	EQ(count, 1);
	for (int i = 0; i < 3; i++)
		EQ(mq_receive(q, buf, 10, NULL), 1);
	OK(mq_send(q, "z", 1, 0));
	for (int i = 0; i < 1000 && count < 2; i++)
		sleep_ms(1);
	EQ(count, 2);
	EQ(told.si_pid, getpid());
	EQ(mq_receive(q, buf, 10, NULL), 1);
	OK(mq_send(q, "z", 1, 0));
	sleep_ms(20);
	EQ(count, 2);
	EQ(mq_receive(q, buf, 10, NULL), 1);
	/* whoever waits in mq_receive gets the message, and nobody is told */
	OK(mq_notify(q, &ev));
	pid = OK(fork());
	if (!pid) {
		EQ(mq_receive(q, buf, 10, NULL), 1);
		_exit(0);
	}
	sleep_ms(100);
	OK(mq_send(q, "w", 1, 0));
	REAP_OK(pid);
	EQ(count, 2);
	/* taken back */
	OK(mq_notify(q, NULL));
	OK(mq_send(q, "z", 1, 0));
	sleep_ms(20);
	EQ(count, 2);
	EQ(mq_receive(q, buf, 10, NULL), 1);
	/* SIGEV_NONE, and the close that ends it */
	ev.sigev_notify = SIGEV_NONE;
	mqd_t other = OK(mq_open(name, O_RDWR));
	OK(mq_notify(other, &ev));
	ERR(mq_notify(q, &ev), EBUSY);
	OK(mq_close(other));
	OK(mq_notify(q, &ev));
	ev.sigev_notify = 77;
	ERR(syscall(SYS_mq_notify, q, &ev), EINVAL);
	ev.sigev_notify = SIGEV_SIGNAL, ev.sigev_signo = 65;
	ERR(mq_notify(q, &ev), EINVAL);
	OK(mq_unlink(name));
}

/* On the host mounts shall be nobody else's; a sandbox has one namespace, which is its own. */
static void alone(void)
{
	NEED_ROOT();
	if (unshare(CLONE_NEWNS) == 0)
		OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

TEST(file_system)
{
	alone();
	OK(mkdir("m", 0755));
	if (mount("none", "m", "mqueue", 0, NULL)) {
		if (errno == EPERM)
			SKIP("may not mount");
		check_failed(__FILE__, __LINE__, "mount", "0", check_errno(errno));
	}
	mqd_t q = fresh(O_RDWR, 3, 10);
	char path[100];
	snprintf(path, sizeof path, "m%s", name);
	struct stat a, b;
	OK(stat(path, &a));
	OK(fstat(q, &b));
	EQ(a.st_ino, b.st_ino);
	OK(mq_send(q, "abc", 3, 0));
	int fd = OK(open(path, O_RDONLY));
	char text[100];
	EQ(read(fd, text, sizeof text), 60);
	CHECK(!strncmp(text, "QSIZE:3 ", 8));
	OK(close(fd));
	OK(unlink(path));
	ERR(mq_open(name, O_RDWR), ENOENT);
	fd = OK(open(path, O_CREAT | O_RDWR, 0600));
	OK(close(fd));
	q = OK(mq_open(name, O_RDWR));
	OK(stat("m", &a));
	EQ(a.st_mode, S_IFDIR | 01777);
	ERR(mkdir("m/dir", 0755), EPERM);
	OK(mq_unlink(name));
	OK(umount("m"));
}

TEST(limits)
{
	NEED_ROOT();
	mqd_t old = fresh(O_RDWR, 3, 10);
	(void)old;
	IN_CHILD
	{
		struct rlimit r = {10000, 10000};
		OK(setrlimit(RLIMIT_MSGQUEUE, &r));
		OK(setgid(12345));
		OK(setuid(12345));
		ERR(mq_open(name, O_RDWR), EACCES);
		char other[80];
		snprintf(other, sizeof other, "%s-b", name);
		struct mq_attr a = {.mq_maxmsg = 10, .mq_msgsize = 8192};
		ERR(mq_open(other, O_CREAT | O_RDWR, 0600, &a), EMFILE);
		a.mq_maxmsg = 11;
		ERR(mq_open(other, O_CREAT | O_RDWR, 0600, &a), EINVAL);
		a.mq_maxmsg = 10, a.mq_msgsize = 100;
		mqd_t q = OK(mq_open(other, O_CREAT | O_RDWR, 0600, &a));
		snprintf(other, sizeof other, "%s-c", name);
		ERR(mq_open(other, O_CREAT | O_RDWR, 0600, NULL), EMFILE);
		for (int i = 0; i < 100; i++) { /* what is given back can be had again */
			OK(mq_close(q));
			snprintf(other, sizeof other, "%s-b", name);
			OK(mq_unlink(other));
			q = OK(mq_open(other, O_CREAT | O_RDWR, 0600, &a));
		}
		OK(mq_unlink(other));
		ERR(syscall(SYS_mq_unlink, name + 1), EPERM); /* the directory is sticky */
	}
	OK(mq_unlink(name));
}
