/* mmap(2), munmap(2), mprotect(2), mremap(2), madvise(2), mlock(2), mincore(2), brk(2): anonymous memory. */
#include "check.h"
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define PAGE 4096L

static char *anon(size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

static sigjmp_buf jump;
static void on_fault(int sig)
{
	siglongjmp(jump, sig);
}

/* The signal that an access gives, or 0. */
static int touch(volatile char *p, int write)
{
	handle(SIGSEGV, on_fault, 0);
	handle(SIGBUS, on_fault, 0);
	int sig = sigsetjmp(jump, 1);
	if (sig)
		return sig;
	if (write)
		*p = 1;
	else
		(void)*p;
	return 0;
}

TEST(anonymous)
{
	char *p = anon(3 * PAGE);
	EQ((long)p % PAGE, 0);
	for (int i = 0; i < 3 * PAGE; i++)
		EQ(p[i], 0);
	p[PAGE] = 5;
	OK(munmap(p + PAGE, PAGE));
	EQ(touch(p, 1), 0);
	EQ(touch(p + PAGE, 0), SIGSEGV);
	EQ(touch(p + 2 * PAGE, 1), 0);
	OK(munmap(p, 3 * PAGE)); /* holes are no error */
	OK(munmap(p, PAGE));
}

TEST(protection)
{
	char *p = anon(2 * PAGE);
	OK(mprotect(p, PAGE, PROT_READ));
	EQ(touch(p, 0), 0);
	EQ(touch(p, 1), SIGSEGV);
	EQ(touch(p + PAGE, 1), 0);
	OK(mprotect(p, PAGE, PROT_NONE));
	EQ(touch(p, 0), SIGSEGV);
	OK(mprotect(p, PAGE, PROT_READ | PROT_WRITE));
	EQ(touch(p, 1), 0);
	static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42,%eax; ret */
	memcpy(p, code, sizeof code);
	OK(mprotect(p, PAGE, PROT_READ | PROT_EXEC));
	EQ(((int (*)(void))p)(), 42);
	ERR(mprotect(p + 1, PAGE, PROT_READ), EINVAL);
	ERR(mprotect((void *)PAGE, PAGE, PROT_READ), ENOMEM);
	OK(munmap(p + PAGE, PAGE));
	ERR(mprotect(p, 2 * PAGE, PROT_READ), ENOMEM);
}

TEST(errors)
{
	char *p = anon(PAGE);
	ERR((long)mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
	ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL);
	ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, -1, 0), EBADF);
	ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 999, 0), EBADF);
	ERR((long)mmap(p + 1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL);
	ERR((long)mmap(NULL, SIZE_MAX - 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
	ERR((long)mmap(p, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
	ERR(munmap(p + 1, PAGE), EINVAL);
	ERR(munmap(p, 0), EINVAL);
	ERR(munmap((void *)(1L << 62), PAGE), EINVAL);
}

TEST(fixed_replaces)
{
	char *p = anon(4 * PAGE);
	memset(p, 7, 4 * PAGE);
	char *q = mmap(p + PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(q == p + PAGE);
	EQ(p[0], 7);
	EQ(p[PAGE], 0);
	EQ(p[3 * PAGE], 7);
}

TEST(private_and_shared_over_fork)
{
	char *priv = anon(PAGE), *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	priv[0] = shared[0] = 1;
	IN_CHILD {
		EQ(priv[0], 1);
		priv[0] = 2;
		shared[0] = 2;
	}
	EQ(priv[0], 1);
	EQ(shared[0], 2);
}

TEST(mremap_rules)
{
	char *p = anon(4 * PAGE);
	memset(p, 9, 4 * PAGE);
	char *q = mremap(p, 4 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED);
	EQ(q[4 * PAGE - 1], 9);
	EQ(q[4 * PAGE], 0);
	q[63 * PAGE] = 1;
	EQ(mremap(q, 64 * PAGE, PAGE, 0) == q, 1);
	EQ(touch(q + PAGE, 0), SIGSEGV);
	char *to = anon(2 * PAGE);
	char *r = mremap(q, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	CHECK(r == to);
	EQ(r[0], 9);
	EQ(touch(q, 0), SIGSEGV);
	ERR((long)mremap(r + 1, PAGE, PAGE, 0), EINVAL);
	ERR((long)mremap(r, PAGE, 0, 0), EINVAL);
	ERR((long)mremap((void *)(PAGE * 16), PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
	char *block = anon(2 * PAGE);
	ERR((long)mremap(block, PAGE, 2 * PAGE, 0), ENOMEM); /* the next page is taken */
}

TEST(madvise_rules)
{
	char *p = anon(2 * PAGE);
	memset(p, 3, 2 * PAGE);
	OK(madvise(p, PAGE, MADV_DONTNEED));
	EQ(p[0], 0);
	EQ(p[PAGE], 3);
	OK(madvise(p, PAGE, MADV_WILLNEED));
	OK(madvise(p, PAGE, MADV_FREE));
	ERR(madvise(p + 1, PAGE, MADV_DONTNEED), EINVAL);
	ERR(madvise(p, PAGE, 9999), EINVAL);
	OK(munmap(p, PAGE));
	ERR(madvise(p, 2 * PAGE, MADV_DONTNEED), ENOMEM);
}

TEST(mincore_rules)
{
	unsigned char v[2] = {2, 2};
	char *p = anon(2 * PAGE);
	p[0] = 1;
	OK(mincore(p, 2 * PAGE, v));
	EQ(v[0] & 1, 1);
	ERR(mincore(p + 1, PAGE, v), EINVAL);
	ERR(mincore(p, PAGE, BAD), EFAULT);
	OK(munmap(p, PAGE));
	ERR(mincore(p, PAGE, v), ENOMEM);
}

TEST(mlock_rules)
{
	char *p = anon(2 * PAGE);
	OK(mlock(p, PAGE));
	OK(munlock(p, PAGE));
	OK(munmap(p, 2 * PAGE));
	ERR(mlock(p, PAGE), ENOMEM);
}

TEST(brk_moves)
{
	char *start = sbrk(0);
	EQ(brk(start + 10 * PAGE), 0);
	CHECK(sbrk(0) == start + 10 * PAGE);
	start[10 * PAGE - 1] = 1;
	EQ(brk(start), 0);
	EQ(brk(start + 10 * PAGE), 0);
	EQ(start[10 * PAGE - 1], 0); /* new pages are zero */
	ERR(brk((void *)(1L << 47)), ENOMEM);
	CHECK(sbrk(0) == start + 10 * PAGE);
	CHECK((char *)syscall(SYS_brk, 0) == start + 10 * PAGE);
}

TEST(address_space_limit)
{
	struct rlimit rl = {256L << 20, 256L << 20};
	OK(setrlimit(RLIMIT_AS, &rl));
	ERR((long)mmap(NULL, 512L << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
	char *p = anon(PAGE);
	OK(munmap(p, PAGE));
}

TEST(grows_down)
{
	volatile char deep[1 << 20];
	deep[0] = 1;
	EQ(deep[0], 1);
}
