/* Guest memory by process_vm_readv(2): page protection is respected, so a bad address is EFAULT. Holds no policy. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* Bytes read (may be fewer at a bad page) or -errno. */
int64_t eng_read(int tid, uint64_t addr, void *buf, uint64_t size)
{
	struct iovec local = { buf, size }, remote = { (void *)addr, size };
	ssize_t n = process_vm_readv(tid, &local, 1, &remote, 1, 0);

	return n < 0 ? -errno : n;
}

int64_t eng_write(int tid, uint64_t addr, const char *buf, uint64_t size)
{
	struct iovec local = { (void *)buf, size }, remote = { (void *)addr, size };
	ssize_t n = process_vm_writev(tid, &local, 1, &remote, 1, 0);

	return n < 0 ? -errno : n;
}

/* A NUL-terminated string into buf: its length, -ENAMETOOLONG when `limit` bytes hold no NUL, -EFAULT. */
int64_t eng_cstring(int tid, uint64_t addr, char *buf, uint64_t limit)
{
	uint64_t have = 0;

	while (have < limit) {
		uint64_t chunk = 4096 - ((addr + have) & 4095);
		int64_t n;
		char *nul;

		if (have == 0 && chunk > 256 && limit > 256)
			chunk = 256; /* most strings are short */
		if (chunk > limit - have)
			chunk = limit - have;
		n = eng_read(tid, addr + have, buf + have, chunk);
		if (n <= 0)
			return n < 0 ? n : -EFAULT;
		nul = memchr(buf + have, 0, n);
		if (nul)
			return nul - buf;
		have += n;
		if ((uint64_t)n < chunk)
			return -EFAULT;
	}
	return -ENAMETOOLONG;
}
