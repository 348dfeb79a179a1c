/* inotify(7): inotify_init(2), inotify_init1(2), inotify_add_watch(2), inotify_rm_watch(2). */
#include "check.h"
#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>

#ifndef IN_MASK_CREATE
#define IN_MASK_CREATE 0x10000000
#endif

static int watcher(void)
{
	return OK(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
}

/* The next event must be this one; its cookie. */
static uint32_t expect(int fd, int wd, uint32_t mask, const char *name)
{
	static char buf[65536];
	static ssize_t have, at;
	static int of = -1;
	if (of != fd || at >= have) {
		of = fd;
		at = 0;
		have = read(fd, buf, sizeof buf);
		if (have < 0) {
			char text[64];
			snprintf(text, sizeof text, "event %#x of %s", mask, name ? name : "itself");
			check_failed("event", 0, check_name, text, check_errno(errno));
		}
	}
	struct inotify_event *e = (void *)(buf + at);
	at += sizeof *e + e->len;
	if (e->wd != wd || e->mask != mask || strcmp(e->len ? e->name : "", name ? name : "")) {
		char want[300], got[300];
		snprintf(want, sizeof want, "%d %#x %s", wd, mask, name ? name : "");
		snprintf(got, sizeof got, "%d %#x %s", e->wd, e->mask, e->len ? e->name : "");
		check_failed("event", 0, check_name, want, got);
	}
	CHECK(e->len % sizeof *e == 0);
	return e->cookie;
}

static void no_more(int fd)
{
	char buf[4096];
	ERR(read(fd, buf, sizeof buf), EAGAIN);
}

TEST(descriptors)
{
	int a = OK(syscall(SYS_inotify_init)), b = OK(inotify_init1(0)), c = watcher();
	EQ(fcntl(a, F_GETFD), 0);
	EQ(fcntl(b, F_GETFD), 0);
	EQ(fcntl(c, F_GETFD), FD_CLOEXEC);
	EQ(fcntl(a, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_RDONLY);
	EQ(fcntl(c, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	ERR(inotify_init1(1), EINVAL);
	ERR(write(a, "x", 1), EBADF);
	EQ(lseek(a, 0, SEEK_CUR), 0); /* noop_llseek */
}

TEST(names_in_a_directory)
{
	int fd = watcher();
	OK(mkdir("d", 0755));
	int wd = OK(inotify_add_watch(fd, "d", IN_ALL_EVENTS));
	EQ(wd, 1);
	no_more(fd);
	int f = OK(open("d/file", O_RDWR | O_CREAT, 0644));
	expect(fd, wd, IN_CREATE, "file");
	expect(fd, wd, IN_OPEN, "file");
	EQ(write(f, "text", 4), 4);
	expect(fd, wd, IN_MODIFY, "file");
	char buf[8];
	EQ(pread(f, buf, 4, 0), 4);
	expect(fd, wd, IN_ACCESS, "file");
	OK(fchmod(f, 0600));
	expect(fd, wd, IN_ATTRIB, "file");
	OK(ftruncate(f, 1));
	expect(fd, wd, IN_MODIFY, "file");
	OK(close(f));
	expect(fd, wd, IN_CLOSE_WRITE, "file");
	OK(close(OK(open("d/file", O_RDONLY))));
	expect(fd, wd, IN_OPEN, "file");
	expect(fd, wd, IN_CLOSE_NOWRITE, "file");
	OK(mkdir("d/sub", 0755));
	expect(fd, wd, IN_CREATE | IN_ISDIR, "sub");
	OK(symlink("x", "d/link"));
	expect(fd, wd, IN_CREATE, "link");
	OK(link("d/file", "d/second"));
	OK(unlink("d/link"));
	OK(rmdir("d/sub"));
	OK(unlink("d/second"));
	expect(fd, wd, IN_CREATE, "second");
	expect(fd, wd, IN_DELETE, "link");
	expect(fd, wd, IN_DELETE | IN_ISDIR, "sub");
	expect(fd, wd, IN_DELETE, "second");
	no_more(fd);
}

TEST(renames)
{
	int fd = watcher();
	OK(mkdir("a", 0755));
	OK(mkdir("b", 0755));
	make_file("a/old", "");
	OK(mkdir("a/dir", 0755));
	int in_a = OK(inotify_add_watch(fd, "a", IN_MOVE)), in_b = OK(inotify_add_watch(fd, "b", IN_MOVE));
	int self = OK(inotify_add_watch(fd, "a/old", IN_MOVE_SELF));
	OK(rename("a/old", "a/new"));
	uint32_t cookie = expect(fd, in_a, IN_MOVED_FROM, "old");
	CHECK(cookie != 0);
	EQ(expect(fd, in_a, IN_MOVED_TO, "new"), cookie);
	EQ(expect(fd, self, IN_MOVE_SELF, NULL), 0);
	OK(rename("a/dir", "b/dir"));
	uint32_t other = expect(fd, in_a, IN_MOVED_FROM | IN_ISDIR, "dir");
	CHECK(other != cookie);
	EQ(expect(fd, in_b, IN_MOVED_TO | IN_ISDIR, "dir"), other);
	int dir = OK(inotify_add_watch(fd, "b/dir", IN_MOVE_SELF));
	OK(rename("b/dir", "b/again"));
	expect(fd, in_b, IN_MOVED_FROM | IN_ISDIR, "dir");
	expect(fd, in_b, IN_MOVED_TO | IN_ISDIR, "again");
	expect(fd, dir, IN_MOVE_SELF, NULL); /* without IN_ISDIR */
	make_file("b/over", "");
	int all = OK(inotify_add_watch(fd, "b", IN_ALL_EVENTS));
	EQ(all, in_b);
	OK(rename("a/new", "b/over")); /* what stood there goes without a word */
	expect(fd, in_a, IN_MOVED_FROM, "new");
	expect(fd, in_b, IN_MOVED_TO, "over");
	expect(fd, self, IN_MOVE_SELF, NULL);
	no_more(fd);
}

TEST(the_end_of_a_file)
{
	int fd = watcher();
	make_file("f", "");
	make_file("g", "");
	int wd = OK(inotify_add_watch(fd, "f", IN_ATTRIB | IN_DELETE_SELF | IN_CLOSE));
	OK(unlink("f"));
	expect(fd, wd, IN_ATTRIB, NULL); /* its link count */
	expect(fd, wd, IN_DELETE_SELF, NULL);
	expect(fd, wd, IN_IGNORED, NULL);
	ERR(inotify_rm_watch(fd, wd), EINVAL);
	int open_fd = OK(open("g", O_RDWR)); /* while it is open it is not gone */
	wd = OK(inotify_add_watch(fd, "g", IN_ATTRIB | IN_DELETE_SELF | IN_CLOSE));
	OK(unlink("g"));
	expect(fd, wd, IN_ATTRIB, NULL);
	no_more(fd);
	OK(close(open_fd));
	expect(fd, wd, IN_CLOSE_WRITE, NULL);
	expect(fd, wd, IN_DELETE_SELF, NULL);
	expect(fd, wd, IN_IGNORED, NULL);
	OK(mkdir("d", 0755));
	wd = OK(inotify_add_watch(fd, "d", IN_DELETE_SELF));
	OK(rmdir("d"));
	expect(fd, wd, IN_DELETE_SELF, NULL);
	expect(fd, wd, IN_IGNORED, NULL);
	make_file("over", "");
	make_file("by", "");
	wd = OK(inotify_add_watch(fd, "over", IN_DELETE_SELF)); /* replaced by a rename */
	OK(rename("by", "over"));
	expect(fd, wd, IN_DELETE_SELF, NULL);
	expect(fd, wd, IN_IGNORED, NULL);
	no_more(fd);
}

TEST(watches)
{
	int fd = watcher(), p[2];
	make_file("f", "");
	make_file("g", "");
	OK(symlink("f", "l"));
	int wd = OK(inotify_add_watch(fd, "f", IN_OPEN));
	EQ(inotify_add_watch(fd, "l", IN_ATTRIB), wd); /* the same file: the mask is replaced */
	OK(close(OK(open("f", O_RDONLY))));
	no_more(fd);
	EQ(inotify_add_watch(fd, "f", IN_MASK_ADD | IN_OPEN), wd);
	OK(close(OK(open("f", O_RDONLY))));
	OK(chmod("f", 0600));
	expect(fd, wd, IN_OPEN, NULL);
	expect(fd, wd, IN_ATTRIB, NULL);
	if (inotify_add_watch(fd, "f", IN_MASK_CREATE | IN_OPEN) == -1)
		EQ(errno, EEXIST);
	int of_link = OK(inotify_add_watch(fd, "l", IN_DONT_FOLLOW | IN_ATTRIB));
	CHECK(of_link != wd);
	OK(inotify_rm_watch(fd, wd));
	expect(fd, wd, IN_IGNORED, NULL);
	ERR(inotify_rm_watch(fd, wd), EINVAL);
	int later = OK(inotify_add_watch(fd, "f", IN_OPEN));
	CHECK(later > of_link); /* numbers are not given out again */
	int once = OK(inotify_add_watch(fd, "g", IN_OPEN | IN_ONESHOT));
	OK(close(OK(open("g", O_RDONLY))));
	OK(close(OK(open("g", O_RDONLY))));
	expect(fd, once, IN_OPEN, NULL);
	expect(fd, once, IN_IGNORED, NULL);
	no_more(fd);
	ERR(inotify_add_watch(fd, "f", IN_ONLYDIR | IN_OPEN), ENOTDIR);
	ERR(inotify_add_watch(fd, "f", 0), EINVAL);
	ERR(inotify_add_watch(fd, "missing", IN_OPEN), ENOENT);
	ERR(inotify_add_watch(fd, "f/x", IN_OPEN), ENOTDIR);
	ERR(inotify_add_watch(fd, BAD, IN_OPEN), EFAULT);
	ERR(inotify_add_watch(999, "f", IN_OPEN), EBADF);
	ERR(inotify_rm_watch(fd, 999), EINVAL);
	ERR(inotify_rm_watch(fd, -1), EINVAL);
	ERR(inotify_rm_watch(999, 1), EBADF);
	OK(pipe(p));
	ERR(inotify_rm_watch(p[0], 1), EINVAL);
	ERR(inotify_add_watch(p[0], "f", IN_OPEN), EINVAL);
}

TEST(reading)
{
	char buf[4096];
	int fd = watcher(), n;
	OK(mkdir("d", 0755));
	int wd = OK(inotify_add_watch(fd, "d", IN_CREATE | IN_DELETE));
	struct pollfd p = {.fd = fd, .events = POLLIN};
	EQ(poll(&p, 1, 0), 0);
	OK(ioctl(fd, FIONREAD, &n));
	EQ(n, 0);
	make_file("d/name", "");
	EQ(poll(&p, 1, 0), 1);
	EQ(p.revents, POLLIN);
	OK(ioctl(fd, FIONREAD, &n));
	EQ(n, 32); /* 16 and the name in steps of 16 */
	ERR(read(fd, buf, 31), EINVAL);
	ERR(read(fd, BAD, 4096), EFAULT);
	EQ(read(fd, buf, 32), 32);
	EQ(poll(&p, 1, 0), 0);
	for (int i = 0; i < 4; i++) {
		snprintf(buf, sizeof buf, "d/%d", i);
		make_file(buf, "");
	}
	OK(ioctl(fd, FIONREAD, &n));
	EQ(n, 4 * 32);
	EQ(read(fd, buf, 2 * 32 + 31), 2 * 32); /* whole events only */
	EQ(read(fd, buf, 1000), 2 * 32);
	OK(fcntl(fd, F_SETFL, 0)); /* and now with patience */
	pid_t child = OK(fork());
	if (child == 0) {
		sleep_ms(50);
		OK(unlink("d/0"));
		_exit(0);
	}
	EQ(read(fd, buf, sizeof buf), 32);
	struct inotify_event *e = (void *)buf;
	EQ(e->wd, wd);
	EQ(e->mask, IN_DELETE);
	REAP_OK(child);
}

TEST(the_same_again_is_one)
{
	int fd = watcher();
	make_file("f", "");
	int wd = OK(inotify_add_watch(fd, "f", IN_MODIFY | IN_ATTRIB)), f = OK(open("f", O_RDWR));
	EQ(write(f, "a", 1), 1);
	EQ(write(f, "a", 1), 1);
	EQ(write(f, "a", 1), 1);
	OK(fchmod(f, 0600));
	EQ(write(f, "a", 1), 1);
	expect(fd, wd, IN_MODIFY, NULL);
	expect(fd, wd, IN_ATTRIB, NULL);
	expect(fd, wd, IN_MODIFY, NULL);
	no_more(fd);
}

TEST(after_the_name_is_gone)
{
	char buf[8];
	int fd = watcher(), only = watcher();
	OK(mkdir("d", 0755));
	make_file("d/f", "text");
	int f = OK(open("d/f", O_RDWR));
	int wd = OK(inotify_add_watch(fd, "d", IN_ACCESS | IN_DELETE));
	int excl = OK(inotify_add_watch(only, "d", IN_ACCESS | IN_DELETE | IN_EXCL_UNLINK));
	OK(unlink("d/f"));
	EQ(pread(f, buf, 4, 0), 4);
	expect(only, excl, IN_DELETE, "f");
	no_more(only);
	expect(fd, wd, IN_DELETE, "f");
	expect(fd, wd, IN_ACCESS, "f"); /* without IN_EXCL_UNLINK the directory is still told */
	no_more(fd);
}

TEST(no_more_room)
{
	int fd = watcher(), limit = 16384;
	FILE *setting = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
	if (setting) {
		EQ(fscanf(setting, "%d", &limit), 1);
		fclose(setting);
	}
	if (limit > 20000 || !size_arg(0, 0))
		SKIP("takes long");
	make_file("f", "");
	int wd = OK(inotify_add_watch(fd, "f", IN_ATTRIB | IN_MODIFY)), f = OK(open("f", O_RDWR));
	for (int i = 0; i < limit / 2 + 10; i++) { /* two by two, so that none is the same as the one before */
		OK(fchmod(f, 0600));
		EQ(pwrite(f, "a", 1, 0), 1);
	}
	for (int i = 0; i < limit; i++)
		expect(fd, wd, i % 2 ? IN_MODIFY : IN_ATTRIB, NULL);
	expect(fd, -1, IN_Q_OVERFLOW, NULL);
	no_more(fd);
}

TEST(copies_and_listings)
{
	OK(mkdir("d", 0755));
	int from = OK(open("d/from", O_RDWR | O_CREAT, 0644)), to = OK(open("d/to", O_RDWR | O_CREAT, 0644));
	EQ(write(from, "0123456789", 10), 10);
	int fd = watcher(), wd = OK(inotify_add_watch(fd, "d", IN_ACCESS | IN_MODIFY));
	loff_t pos = 0;
	EQ(copy_file_range(from, &pos, to, NULL, 10, 0), 10);
	expect(fd, wd, IN_ACCESS, "from");
	expect(fd, wd, IN_MODIFY, "to");
	off_t offset = 0;
	EQ(sendfile(to, from, &offset, 5), 5);
	expect(fd, wd, IN_ACCESS, "from");
	expect(fd, wd, IN_MODIFY, "to");
	EQ(copy_file_range(from, &pos, to, NULL, 10, 0), 0);
	no_more(fd);
	char buf[4096];
	int dir = OK(open("d", O_RDONLY | O_DIRECTORY));
	CHECK(syscall(SYS_getdents64, dir, buf, sizeof buf) > 0);
	expect(fd, wd, IN_ACCESS | IN_ISDIR, NULL);
	EQ(syscall(SYS_getdents64, dir, buf, sizeof buf), 0);
	expect(fd, wd, IN_ACCESS | IN_ISDIR, NULL);
	no_more(fd);
}

TEST(the_directory_hears_first)
{
	OK(mkdir("d", 0755));
	OK(mkdir("d/sub", 0755));
	int fd = watcher(), sub = OK(inotify_add_watch(fd, "d/sub", IN_OPEN)), d = OK(inotify_add_watch(fd, "d", IN_OPEN));
	close(OK(open("d/sub", O_RDONLY | O_DIRECTORY)));
	expect(fd, d, IN_OPEN | IN_ISDIR, "sub");
	expect(fd, sub, IN_OPEN | IN_ISDIR, NULL);
	no_more(fd);
}

/* IN_IGNORED comes whatever was asked for. */
TEST(the_end_without_interest)
{
	OK(mkdir("d", 0755));
	close(OK(open("f", O_RDWR | O_CREAT, 0644)));
	int fd = watcher(), d = OK(inotify_add_watch(fd, "d", IN_CREATE)), f = OK(inotify_add_watch(fd, "f", IN_OPEN));
	OK(rmdir("d"));
	expect(fd, d, IN_IGNORED, NULL);
	ERR(inotify_rm_watch(fd, d), EINVAL);
	OK(unlink("f"));
	expect(fd, f, IN_IGNORED, NULL);
	no_more(fd);
}
