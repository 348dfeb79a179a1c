/* Guest memory by process_vm_readv(2): page protection is respected, so a bad address is EFAULT. Holds no policy. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static struct timespec time_of(int64_t ns)
{
	int64_t s = ns / 1000000000, rest = ns % 1000000000;

	return rest < 0 ? (struct timespec){ s - 1, rest + 1000000000 } : (struct timespec){ s, rest };
}

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

/* A struct stat of stat(2), whose times are whole ns since the epoch; 0 or -errno. */
int eng_put_stat(int tid, uint64_t addr, uint64_t dev, uint64_t ino, unsigned mode, uint64_t nlink, unsigned uid,
		 unsigned gid, uint64_t rdev, int64_t size, int64_t blksize, int64_t blocks, int64_t atime, int64_t mtime,
		 int64_t ctime)
{
	struct stat st = {
		.st_dev = dev, .st_ino = ino, .st_mode = mode, .st_nlink = nlink, .st_uid = uid, .st_gid = gid,
		.st_rdev = rdev, .st_size = size, .st_blksize = blksize, .st_blocks = blocks,
		.st_atim = time_of(atime), .st_mtim = time_of(mtime), .st_ctim = time_of(ctime),
	};

	return eng_write(tid, addr, (void *)&st, sizeof(st)) == sizeof(st) ? 0 : -EFAULT;
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
