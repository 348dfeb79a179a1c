/* Tasks in numbers: signals, timers, threads, processes, memory, terminals, mounts. */
#include "exhaust.h"

CASE(queued_signals)
{
	sigset_t set;
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	int n = 0;
	for (; n < 100000; n++) {
		union sigval v = {0};
		if (sigqueue(getpid(), SIGRTMIN, v))
			break;
	}
	dprintf(1, "  %d signals queued\n", n);
	healthy();
}

CASE(many_timers)
{
	struct itimerspec soon = {{0, 100000}, {0, 100000}};
	struct sigevent none = {.sigev_notify = SIGEV_NONE};
	int n = 0, k = 0;
	most_files();
	for (; n < 20000; n++) {
		timer_t t;
		if (timer_create(CLOCK_MONOTONIC, &none, &t) || timer_settime(t, 0, &soon, NULL))
			break;
	}
	for (; k < 2000; k++) {
		int fd = timerfd_create(CLOCK_MONOTONIC, 0);
		if (fd < 0 || timerfd_settime(fd, 0, &soon, NULL))
			break;
	}
	usleep(300000);
	dprintf(1, "  %d timers, %d timer descriptors\n", n, k);
	healthy();
}

static void *sleeper(void *unused)
{
	(void)unused;
	for (;;)
		poll(NULL, 0, 1000);
	return NULL;
}

CASE(many_threads)
{
	pthread_attr_t small;
	int n = 0;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 16384 * 2);
	for (; n < 1500; n++) {
		pthread_t t;
		if (pthread_create(&t, &small, sleeper, NULL))
			break;
	}
	dprintf(1, "  %d threads\n", n);
	healthy();
}

CASE(a_short_fork_bomb)
{
	for (int i = 0; i < 300; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			fork(), fork();
			poll(NULL, 0, 100);
			_exit(0);
		}
		if (pid < 0)
			break;
	}
	while (wait(NULL) > 0)
		;
	healthy();
}

CASE(orphans_and_zombies)
{
	for (int i = 0; i < 400; i++)
		if (fork() == 0)
			_exit(0); /* never waited for */
	healthy();
}

CASE(memory_of_a_file_system)
{
	/* /dev/shm has a size: it ends with ENOSPC, and what was taken comes back */
	int fd = NEEDED(open("/dev/full-shm", O_RDWR | O_CREAT, 0644));
	long total = 0;
	ssize_t n;
	while (total < 1L << 28 && (n = write(fd, block, sizeof block)) > 0)
		total += n;
	ftruncate(fd, 0x7fffffffffffffffL);
	ftruncate(fd, 0);
	fallocate(fd, 0, 0, 1L << 40);
	fallocate(fd, 3, 0, 1L << 40);
	unlink("/dev/full-shm");
	healthy();
}

CASE(far_offsets)
{
	int fd = NEEDED(open("/tmp/far", O_RDWR | O_CREAT, 0644));
	static const long offsets[] = {1L << 40, 1L << 62, 0x7fffffffffffefffL, 0x7fffffffffffffffL, -1, -4096};
	for (unsigned i = 0; i < sizeof offsets / sizeof *offsets; i++) {
		char c = 'x';
		lseek(fd, offsets[i], SEEK_SET);
		pwrite(fd, &c, 1, offsets[i]);
		pread(fd, &c, 1, offsets[i]);
		ftruncate(fd, offsets[i]);
		copy_file_range(fd, &(loff_t){0}, fd, &(loff_t){1 << 20}, 1UL << 40, 0);
		if (fallocate(fd, 0, offsets[i], 1))
			fallocate(fd, 3, 0, offsets[i]);
		ftruncate(fd, 0);
	}
	unlink("/tmp/far");
	healthy();
}

CASE(mappings_without_end)
{
	int fd = NEEDED(open("/tmp/ok", O_RDONLY)), n = 0;
	for (; n < 3000; n++)
		if (mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
			break;
	char path[64];
	snprintf(path, sizeof path, "/proc/self/maps");
	int maps = open(path, O_RDONLY);
	while (maps >= 0 && read(maps, block, sizeof block) > 0)
		;
	healthy();
}

CASE(copies_between_descriptors)
{
	int p[2], q[2], zero = NEEDED(open("/dev/zero", O_RDONLY)), null = NEEDED(open("/dev/null", O_WRONLY));
	NEEDED(pipe2(p, O_NONBLOCK)), NEEDED(pipe2(q, O_NONBLOCK));
	int file = NEEDED(open("/bin/busybox", O_RDONLY));
	for (int i = 0; i < 20; i++) {
		splice(zero, NULL, p[1], NULL, 1UL << 40, 0);
		tee(p[0], q[1], 1UL << 40, SPLICE_F_NONBLOCK);
		splice(p[0], NULL, null, NULL, 1UL << 40, SPLICE_F_NONBLOCK);
		sendfile(null, file, &(off_t){0}, 1UL << 40);
		struct iovec v = {block, sizeof block};
		vmsplice(q[1], &v, 1, SPLICE_F_NONBLOCK);
		splice(q[0], NULL, null, NULL, 1UL << 40, SPLICE_F_NONBLOCK);
	}
	healthy();
}

CASE(waiters_on_one_thing)
{
	int p[2];
	NEEDED(pipe(p));
	for (int i = 0; i < 200; i++)
		if (fork() == 0) {
			char c;
			read(p[0], &c, 1);
			_exit(0);
		}
	for (int i = 0; i < 200; i++)
		write(p[1], "x", 1);
	close(p[1]);
	for (int i = 0; i < 200; i++)
		wait(NULL);
	healthy();
}

CASE(terminals_without_end)
{
	int n = 0;
	most_files();
	for (; n < 6000; n++) {
		int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
		if (fd < 0)
			break;
		if (n < 3)
			for (int i = 0; i < 50 && write(fd, block, sizeof block) > 0; i++)
				;
	}
	dprintf(1, "  %d terminals\n", n);
	closefrom(3);
	healthy();
}

CASE(mounts_without_end)
{
	int n = 0;
	mkdir("/tmp/mounts", 0755);
	for (; n < 3000; n++)
		if (mount("none", "/tmp/mounts", "tmpfs", 0, ""))
			break;
	dprintf(1, "  %d mounts\n", n);
	int fd = open("/proc/self/mountinfo", O_RDONLY);
	while (fd >= 0 && read(fd, block, sizeof block) > 0)
		;
	for (int i = 0; i < n; i++)
		umount2("/tmp/mounts", MNT_DETACH);
	healthy();
}
