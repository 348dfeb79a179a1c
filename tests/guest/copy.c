/* sendfile(2), splice(2), tee(2), vmsplice(2), copy_file_range(2): moving bytes without a buffer. */
#include "check.h"
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

static int file_with(const char *name, const char *text)
{
	make_file(name, text);
	return OK(open(name, O_RDWR));
}

static const char *content(int fd)
{
	static char buf[256];
	ssize_t n = OK(pread(fd, buf, 255, 0));
	buf[n] = 0;
	return buf;
}

TEST(sendfile_to_all_kinds)
{
	int in = file_with("in", "0123456789"), out = file_with("out", ""), p[2], s[2];
	char buf[32] = {0};
	off_t at = 2;
	OK(pipe(p));
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	EQ(sendfile(out, in, NULL, 4), 4);
	STR(content(out), "0123");
	EQ(lseek(in, 0, SEEK_CUR), 4);
	EQ(sendfile(p[1], in, &at, 5), 5);
	EQ(at, 7);
	EQ(lseek(in, 0, SEEK_CUR), 4); /* an explicit offset leaves the file's alone */
	EQ(read(p[0], buf, 32), 5);
	STR(buf, "23456");
	EQ(sendfile(s[0], in, NULL, 100), 6);
	EQ(read(s[1], buf, 32), 6);
	EQ(sendfile(out, in, NULL, 100), 0);
	at = 100;
	EQ(sendfile(out, in, &at, 5), 0);
}

TEST(sendfile_errors)
{
	int in = file_with("in", "x"), ro = OK(open("in", O_RDONLY)), wo = OK(open("in", O_WRONLY)), p[2];
	int app = OK(open("in", O_WRONLY | O_APPEND));
	off_t neg = -1;
	OK(pipe(p));
	ERR(sendfile(999, in, NULL, 1), EBADF);
	ERR(sendfile(p[1], 999, NULL, 1), EBADF);
	ERR(sendfile(ro, in, NULL, 1), EBADF);
	ERR(sendfile(p[1], wo, NULL, 1), EBADF);
	ERR(sendfile(p[1], in, &neg, 1), EINVAL);
	ERR(sendfile(p[1], in, BAD, 1), EFAULT);
	ERR(sendfile(p[1], p[0], &(off_t){0}, 1), ESPIPE);
	ERR(sendfile(app, in, NULL, 1), EINVAL);
	signal(SIGPIPE, SIG_IGN);
	OK(close(p[0]));
	ERR(sendfile(p[1], in, NULL, 1), EPIPE);
}

TEST(sendfile_large)
{
	size_t size = 3 << 20, got = 0;
	char *buf = malloc(size), *back = malloc(size);
	int p[2], in = OK(open("in", O_RDWR | O_CREAT, 0600));
	for (size_t i = 0; i < size; i++)
		buf[i] = i * 7 + i / 251;
	EQ(write(in, buf, size), (ssize_t)size);
	OK(lseek(in, 0, SEEK_SET));
	OK(pipe(p));
	pid_t pid = OK(fork());
	if (pid == 0) {
		for (size_t left = size; left;)
			left -= OK(sendfile(p[1], in, NULL, left));
		_exit(0);
	}
	OK(close(p[1]));
	for (ssize_t n; (n = OK(read(p[0], back + got, size - got))) > 0; got += n)
		;
	EQ(got, size);
	EQ(memcmp(buf, back, size), 0);
	REAP_OK(pid);
}

TEST(splice_rules)
{
	int in = file_with("in", "0123456789"), out = file_with("out", ""), p[2], q[2];
	loff_t at = 3, to = 5;
	char buf[16] = {0};
	OK(pipe2(p, O_NONBLOCK));
	OK(pipe2(q, O_NONBLOCK));
	EQ(splice(in, &at, p[1], NULL, 4, 0), 4);
	EQ(at, 7);
	EQ(splice(p[0], NULL, q[1], NULL, 2, 0), 2); /* from pipe to pipe */
	EQ(read(q[0], buf, 16), 2);
	STR(buf, "34");
	EQ(splice(p[0], NULL, out, &to, 100, 0), 2);
	EQ(to, 7);
	char want[7] = {0, 0, 0, 0, 0, '5', '6'};
	EQ(pread(out, buf, 16, 0), 7);
	CHECK(!memcmp(buf, want, 7));
	ERR(splice(p[0], NULL, out, NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
	ERR(splice(in, NULL, out, NULL, 1, 0), EINVAL); /* one side must be a pipe */
	ERR(splice(p[0], &at, out, NULL, 1, 0), ESPIPE);
	ERR(splice(999, NULL, p[1], NULL, 1, 0), EBADF);
	ERR(splice(p[1], NULL, out, NULL, 1, 0), EBADF);
	ERR(splice(in, NULL, p[1], NULL, 1, 0x100), EINVAL);
	ERR(splice(p[0], NULL, p[1], NULL, 1, 0), EINVAL); /* a pipe into itself */
	EQ(splice(in, NULL, p[1], NULL, 0, 0), 0);
	OK(lseek(in, 0, SEEK_END));
	EQ(splice(in, NULL, p[1], NULL, 10, 0), 0);
	OK(close(p[1]));
	EQ(splice(p[0], NULL, out, NULL, 10, 0), 0);
}

TEST(tee_duplicates)
{
	int p[2], q[2];
	char buf[16] = {0};
	OK(pipe2(p, O_NONBLOCK));
	OK(pipe2(q, O_NONBLOCK));
	EQ(write(p[1], "twice", 5), 5);
	EQ(tee(p[0], q[1], 100, 0), 5);
	EQ(read(p[0], buf, 16), 5);
	STR(buf, "twice");
	memset(buf, 0, sizeof buf);
	EQ(read(q[0], buf, 16), 5);
	STR(buf, "twice");
	ERR(tee(p[0], q[1], 1, SPLICE_F_NONBLOCK), EAGAIN);
	ERR(tee(p[0], p[1], 1, 0), EINVAL);
	int f = file_with("f", "x");
	ERR(tee(f, q[1], 1, 0), EINVAL);
	ERR(tee(999, q[1], 1, 0), EBADF);
}

TEST(vmsplice_rules)
{
	int p[2];
	char buf[16] = {0};
	struct iovec v[2] = {{"ab", 2}, {"cde", 3}};
	OK(pipe(p));
	EQ(vmsplice(p[1], v, 2, 0), 5);
	EQ(read(p[0], buf, 16), 5);
	STR(buf, "abcde");
	int f = file_with("f", "x");
	ERR(vmsplice(f, v, 1, 0), EBADF);
	ERR(vmsplice(999, v, 1, 0), EBADF);
}

TEST(copy_file_range_rules)
{
	int in = file_with("in", "0123456789"), out = file_with("out", "----------");
	loff_t from = 2, to = 5;
	ssize_t n = copy_file_range(in, &from, out, &to, 3, 0);
	if (n == -1 && (errno == ENOSYS || errno == EOPNOTSUPP))
		SKIP("no copy_file_range");
	EQ(n, 3);
	EQ(from, 5);
	EQ(to, 8);
	STR(content(out), "-----234--");
	EQ(copy_file_range(in, NULL, out, NULL, 2, 0), 2);
	STR(content(out), "01---234--");
	EQ(lseek(in, 0, SEEK_CUR), 2);
	EQ(copy_file_range(in, NULL, out, NULL, 100, 0), 8);
	EQ(copy_file_range(in, NULL, out, NULL, 100, 0), 0);
	ERR(copy_file_range(in, NULL, out, NULL, 1, 1), EINVAL);
	int p[2], ro = OK(open("out", O_RDONLY)), app = OK(open("out", O_WRONLY | O_APPEND)), d = OK(open(".", O_RDONLY));
	OK(pipe(p));
	ERR(copy_file_range(in, NULL, p[1], NULL, 1, 0), EINVAL);
	ERR(copy_file_range(in, NULL, ro, NULL, 1, 0), EBADF);
	ERR(copy_file_range(in, NULL, app, NULL, 1, 0), EBADF);
	ERR(copy_file_range(d, NULL, out, NULL, 1, 0), EISDIR);
	ERR(copy_file_range(999, NULL, out, NULL, 1, 0), EBADF);
	from = 0, to = 2;
	ERR(copy_file_range(in, &from, in, &to, 5, 0), EINVAL); /* overlapping */
}

TEST(sendfile_moves_all)
{
	const off_t size = 9 << 20;
	int in = OK(open("big", O_RDWR | O_CREAT, 0600)), out = OK(open("copy", O_RDWR | O_CREAT, 0600));
	OK(ftruncate(in, size));
	EQ(pwrite(in, "end", 3, size - 3), 3);
	EQ(sendfile(out, in, NULL, size + 100), size);
	EQ(lseek(in, 0, SEEK_CUR), size);
	char buf[3];
	EQ(pread(out, buf, 3, size - 3), 3);
	CHECK(!memcmp(buf, "end", 3));

	int p[2]; /* into a socket that somebody empties: it waits for room */
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, p));
	pid_t pid = OK(fork());
	if (!pid) {
		close(p[1]);
		static char all[1 << 16];
		long total = 0, n;
		while ((n = read(p[0], all, sizeof all)) > 0)
			total += n;
		_exit(total != size);
	}
	off_t from = 0;
	EQ(sendfile(p[1], in, &from, size), size);
	EQ(from, size);
	close(p[1]);
	int status;
	OK(waitpid(pid, &status, 0));
	EQ(status, 0);

	OK(pipe(p)); /* a pipe is filled once */
	from = 0;
	EQ(sendfile(p[1], in, &from, size), 65536);
	OK(pipe2(p, O_NONBLOCK));
	from = 0;
	EQ(sendfile(p[1], in, &from, size), 65536);
	EQ(from, 65536);
	ERR(sendfile(p[1], in, &from, size), EAGAIN);
}
