/* Directories of the host as guests see them: getdents64(2) in one go, cut into answers; lstat(2) of a name in one. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct record { uint64_t ino; int64_t off; uint16_t length; uint8_t kind; char name[]; };

/*
 * The next records of the open directory `fd`, without "." and "..", with `cookie` and the numbers behind it as d_off.
 * Bytes written (`room` is 64 KiB at most), 0 at the end, or -errno.
 */
int64_t eng_list(int fd, char *out, uint64_t room, int64_t cookie)
{
	_Alignas(8) char from[65536];
	uint64_t used = 0;

	while (!used) { /* the two dots may be all that one call gives */
		long n = syscall(SYS_getdents64, fd, from, room < sizeof(from) ? room : sizeof(from));

		if (n <= 0)
			return n < 0 ? -errno : 0;
		for (long at = 0; at < n;) {
			struct record *r = (void *)(from + at);
			uint16_t length = r->length;

			at += length;
			if (r->name[0] == '.' && (!r->name[1] || (r->name[1] == '.' && !r->name[2])))
				continue;
			r->off = cookie++;
			memcpy(out + used, r, length);
			used += length;
		}
	}
	return used;
}

/*
 * An answer out of `records`: from byte `at` on, `skip` records are passed over, then as many are taken as `room` holds.
 * part[0] and part[1] become the begin and end of the answer; the number of records in it.
 */
int64_t eng_slice(const char *records, uint64_t size, uint64_t at, uint64_t skip, uint64_t room, uint64_t *part)
{
	int64_t count = 0;
	uint64_t begin;

	for (; skip && at < size; skip--)
		at += ((const struct record *)(records + at))->length;
	begin = at;
	while (at < size) {
		uint16_t length = ((const struct record *)(records + at))->length;

		if (at + length - begin > room)
			break;
		at += length;
		count++;
	}
	part[0] = begin;
	part[1] = at;
	return count;
}

/*
 * lstat(2) of one name in the directory `fd`, as a struct stat for a guest: with the number `dev` in place of the host's
 * `host_dev`. The mode; 0 for a file of another device; or -errno.
 */
int64_t eng_stat_name(int fd, const char *name, uint64_t host_dev, uint64_t dev, void *out)
{
	struct stat st;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (st.st_dev != host_dev)
		return 0;
	st.st_dev = dev;
	memcpy(out, &st, sizeof(st));
	return st.st_mode;
}
