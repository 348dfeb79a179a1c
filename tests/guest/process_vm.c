/* process_vm_readv(2), process_vm_writev(2), process_madvise(2), process_mrelease(2), move_pages(2), migrate_pages(2). */
#include "check.h"
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>

#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef SYS_process_mrelease
#define SYS_process_mrelease 448
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

static char target[8192] = "the original";

static pid_t sleeper(void)
{
	pid_t pid = OK(fork());
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static void done(pid_t pid)
{
	OK(kill(pid, SIGKILL));
	REAP_SIGNAL(pid, SIGKILL);
}

TEST(read_and_write)
{
	pid_t pid = sleeper();
	strcpy(target, "the parent's");
	char buf[64] = "";
	struct iovec l = {buf, 64}, r = {target, 13};
	EQ(process_vm_readv(pid, &l, 1, &r, 1, 0), 13);
	STR(buf, "the original");
	struct iovec l2[2] = {{"new ", 4}, {"text", 5}};
	EQ(process_vm_writev(pid, l2, 2, &r, 1, 0), 9);
	EQ(process_vm_readv(pid, &l, 1, &r, 1, 0), 13);
	STR(buf, "new text");
	STR(target, "the parent's");
	/* oneself */
	EQ(process_vm_readv(getpid(), &l, 1, &r, 1, 0), 13);
	STR(buf, target);
	/* many pieces */
	struct iovec l3[3] = {{buf, 2}, {buf + 10, 0}, {buf + 20, 5}}, r3[2] = {{target, 1}, {target + 4, 100}};
	memset(buf, 0, sizeof buf);
	EQ(process_vm_readv(getpid(), l3, 3, r3, 2, 0), 7);
	CHECK(!memcmp(buf, "tp", 2) && !memcmp(buf + 20, "arent", 5));
	done(pid);
}

TEST(long_ones)
{
	size_t n = 20 << 20;
	char *from = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *to = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(from != MAP_FAILED && to != MAP_FAILED);
	for (size_t i = 0; i < n; i += 4096)
		from[i] = i >> 12;
	pid_t pid = sleeper();
	struct iovec l = {to, n}, r = {from, n};
	EQ(process_vm_readv(pid, &l, 1, &r, 1, 0), (long)n);
	CHECK(!memcmp(from, to, n));
	done(pid);
}

TEST(faults)
{
	char *edge = page_end(), buf[100];
	strcpy(edge - 4, "abc");
	struct iovec l = {buf, 100}, r[2] = {{edge - 4, 100}, {target, 10}};
	EQ(process_vm_readv(getpid(), &l, 1, r, 2, 0), 4);
	r[0].iov_base = edge;
	ERR(process_vm_readv(getpid(), &l, 1, r, 2, 0), EFAULT);
	r[0].iov_base = edge - 4096, r[0].iov_len = 10;
	OK(mprotect(edge - 4096, 4096, PROT_READ));
	ERR(process_vm_writev(getpid(), &l, 1, r, 1, 0), EFAULT);
	l.iov_base = edge;
	ERR(process_vm_readv(getpid(), &l, 1, r, 1, 0), EFAULT);
	l.iov_base = buf;
	ERR(process_vm_readv(getpid(), BAD, 1, r, 1, 0), EFAULT);
	ERR(process_vm_readv(getpid(), &l, 1, BAD, 1, 0), EFAULT);
	ERR(process_vm_readv(getpid(), &l, 1, r, 1, 1), EINVAL);
	ERR(process_vm_readv(getpid(), &l, 1025, r, 1, 0), EINVAL);
	ERR(process_vm_readv(getpid(), &l, 1, r, 1025, 0), EINVAL);
	ERR(process_vm_readv(0x3fffffff, &l, 1, r, 1, 0), ESRCH);
	EQ(process_vm_readv(0x3fffffff, &l, 0, r, 1, 0), 0);
	EQ(process_vm_readv(getpid(), &l, 1, r, 0, 0), 0);
}

TEST(rights)
{
	NEED_ROOT();
	pid_t pid = sleeper();
	char buf[10];
	struct iovec l = {buf, 5}, r = {target, 5};
	IN_CHILD
	{
		OK(setgid(12345));
		OK(setuid(12345));
		ERR(process_vm_readv(pid, &l, 1, &r, 1, 0), EPERM);
		ERR(process_vm_writev(pid, &l, 1, &r, 1, 0), EPERM);
		EQ(process_vm_readv(getpid(), &l, 1, &r, 1, 0), 5);
	}
	done(pid);
}

TEST(advice)
{
	pid_t pid = sleeper();
	int fd = OK(syscall(SYS_pidfd_open, pid, 0)), own = OK(syscall(SYS_pidfd_open, getpid(), 0));
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p[0] = 1;
	struct iovec v = {p, 8192};
	EQ(syscall(SYS_process_madvise, own, &v, 1, MADV_COLD, 0), 8192);
	EQ(p[0], 1);
	ERR(syscall(SYS_process_madvise, own, &v, 1, MADV_COLD, 1), EINVAL);
	ERR(syscall(SYS_process_madvise, fd, &v, 1, 9999, 0), EINVAL);
	ERR(syscall(SYS_process_madvise, 99, &v, 1, MADV_COLD, 0), EBADF);
	ERR(syscall(SYS_process_madvise, own, BAD, 1, MADV_COLD, 0), EFAULT);
	ERR(syscall(SYS_process_madvise, own, &v, 1025, MADV_COLD, 0), EINVAL);
	done(pid);
	ERR(syscall(SYS_process_madvise, fd, &v, 1, MADV_COLD, 0), ESRCH);
}

TEST(release)
{
	pid_t pid = sleeper();
	int fd = OK(syscall(SYS_pidfd_open, pid, 0));
	ERR(syscall(SYS_process_mrelease, fd, 1), EINVAL);
	ERR(syscall(SYS_process_mrelease, fd, 0), EINVAL); /* it lives */
	ERR(syscall(SYS_process_mrelease, 99, 0), EBADF);
	OK(kill(pid, SIGKILL));
	errno = 0;
	long r = syscall(SYS_process_mrelease, fd, 0);
	CHECK(r == 0 || errno == ESRCH); /* its end may be quicker */
	REAP_SIGNAL(pid, SIGKILL);
	ERR(syscall(SYS_process_mrelease, fd, 0), ESRCH);
}

TEST(pages)
{
	char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p[0] = 1;
	void *pages[3] = {p, p + 4096, BAD};
	int status[3] = {99, 99, 99}, nodes[3] = {0, 0, 0};
	OK(syscall(SYS_move_pages, 0, 3, pages, NULL, status, 0));
	EQ(status[0], 0);
	EQ(status[1], -ENOENT);
	EQ(status[2], -EFAULT);
	OK(syscall(SYS_move_pages, 0, 1, pages, nodes, status, 2));
	EQ(status[0], 0);
	nodes[0] = 9999;
	ERR(syscall(SYS_move_pages, 0, 1, pages, nodes, status, 2), ENODEV);
	ERR(syscall(SYS_move_pages, 0, 1, pages, NULL, status, 1), EINVAL);
	ERR(syscall(SYS_move_pages, 0, 1, BAD, NULL, status, 0), EFAULT);
	ERR(syscall(SYS_move_pages, 0x3fffffff, 1, pages, NULL, status, 0), ESRCH);
	unsigned long node = 1;
	EQ(syscall(SYS_migrate_pages, 0, 65, &node, &node), 0);
	ERR(syscall(SYS_migrate_pages, 0x3fffffff, 65, &node, &node), ESRCH);
	ERR(syscall(SYS_migrate_pages, 0, 65, BAD, &node), EFAULT);
}
