/* getdents(2): the entries of a directory in the old form. */
#include "check.h"
#include <dirent.h>

struct entry {
	unsigned long ino;
	unsigned long next;
	unsigned short size;
	char name[];
};

static long getdents(int fd, void *buf, unsigned size)
{
	return syscall(SYS_getdents, fd, buf, size);
}

static char type_of(const struct entry *e)
{
	return ((const char *)e)[e->size - 1];
}

#define FILES 300

static void fill(void)
{
	char name[64];
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof name, "d/file-%d%.*s", i, i % 40, "----------------------------------------");
		make_file(name, "");
	}
}

TEST(every_name_once)
{
	char buf[512], seen[FILES] = {0};
	int dots = 0, count = 0;
	long n;
	OK(mkdir("d", 0755));
	fill();
	int d = OK(open("d", O_RDONLY | O_DIRECTORY));
	while ((n = OK(getdents(d, buf, sizeof buf))) > 0)
		for (long at = 0; at < n;) {
			struct entry *e = (void *)(buf + at);
			CHECK(e->size >= 24 && e->size % 8 == 0 && at + e->size <= n);
			CHECK(strlen(e->name) + 20 <= e->size);
			CHECK(e->ino != 0);
			if (!strcmp(e->name, ".") || !strcmp(e->name, ".."))
				dots++;
			else {
				int i = atoi(e->name + 5);
				CHECK(i >= 0 && i < FILES && !seen[i]);
				seen[i] = 1;
				count++;
			}
			at += e->size;
		}
	EQ(dots, 2);
	EQ(count, FILES);
	EQ(getdents(d, buf, sizeof buf), 0);
	EQ(lseek(d, 0, SEEK_SET), 0);
	CHECK(getdents(d, buf, sizeof buf) > 0);
}

static char found(int d, const char *wanted, ino_t *ino)
{
	char buf[4096];
	long n;
	OK(lseek(d, 0, SEEK_SET));
	while ((n = OK(getdents(d, buf, sizeof buf))) > 0)
		for (long at = 0; at < n; at += ((struct entry *)(buf + at))->size) {
			struct entry *e = (void *)(buf + at);
			if (!strcmp(e->name, wanted)) {
				*ino = e->ino;
				return type_of(e);
			}
		}
	return -1;
}

TEST(types_and_inodes)
{
	const struct {
		const char *name;
		char type;
	} want[] = {{"reg", DT_REG}, {"dir", DT_DIR}, {"lnk", DT_LNK}, {"fifo", DT_FIFO}, {".", DT_DIR}, {"..", DT_DIR}};
	struct stat st;
	ino_t ino;
	OK(mkdir("d", 0755));
	make_file("d/reg", "");
	OK(mkdir("d/dir", 0755));
	OK(symlink("nowhere", "d/lnk"));
	OK(mkfifo("d/fifo", 0644));
	int d = OK(open("d", O_RDONLY));
	for (unsigned i = 0; i < sizeof want / sizeof *want; i++) {
		check_name = want[i].name;
		EQ(found(d, want[i].name, &ino), want[i].type);
		OK(fstatat(d, want[i].name, &st, AT_SYMLINK_NOFOLLOW));
		EQ(ino, st.st_ino);
	}
	EQ(found(d, "missing", &ino), -1);
}

TEST(going_on_at_an_offset)
{
	char buf[4096], again[4096];
	OK(mkdir("d", 0755));
	fill();
	int d = OK(open("d", O_RDONLY));
	long n = OK(getdents(d, buf, sizeof buf));
	struct entry *first = (void *)buf, *second = (void *)(buf + first->size);
	CHECK(first->size < n);
	OK(lseek(d, first->next, SEEK_SET));
	CHECK(getdents(d, again, sizeof again) > 0);
	STR(((struct entry *)again)->name, second->name);
	EQ(((struct entry *)again)->ino, second->ino);
}

TEST(seeks_to_the_end_of_numbers)
{
	char buf[4096];
	const char *names[] = { "d", "/proc", "/dev", "/proc/self/fd", "/proc/self/status", "/proc/version", "f", "/" };
	OK(mkdir("d", 0755));
	make_file("f", "text");
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		int fd = OK(open(names[i], O_RDONLY));
		for (int turn = 0; turn < 5; turn++) {
			long at = lseek(fd, LLONG_MAX, turn ? SEEK_CUR : SEEK_SET);
			CHECK(at >= 0 || errno == EINVAL || errno == EOVERFLOW);
			CHECK(getdents(fd, buf, sizeof buf) >= 0 || errno == EINVAL || errno == ENOTDIR);
			CHECK(read(fd, buf, 8) >= 0 || errno == EINVAL || errno == EISDIR);
		}
		close(fd);
	}
}

TEST(errors)
{
	char buf[256];
	int p[2];
	OK(mkdir("d", 0755));
	make_file("d/a-name-of-some-length", "");
	make_file("f", "");
	int d = OK(open("d", O_RDONLY)), f = OK(open("f", O_RDONLY));
	ERR(getdents(-1, buf, sizeof buf), EBADF);
	ERR(getdents(999, buf, sizeof buf), EBADF);
	ERR(getdents(f, buf, sizeof buf), ENOTDIR);
	OK(pipe(p));
	ERR(getdents(p[0], buf, sizeof buf), ENOTDIR);
	ERR(getdents(d, buf, 8), EINVAL);
	ERR(getdents(d, buf, 0), EINVAL);
	ERR(getdents(d, BAD, 4096), EFAULT);
	CHECK(getdents(d, buf, sizeof buf) > 0); /* a failed call took nothing */
	ERR(getdents(OK(open("d", O_PATH)), buf, sizeof buf), EBADF);
	OK(mkdir("gone", 0755));
	int gone = OK(open("gone", O_RDONLY));
	OK(rmdir("gone"));
	ERR(getdents(gone, buf, sizeof buf), ENOENT);
}
