/* shmget(2), shmat(2), shmdt(2), shmctl(2). */
#include "check.h"
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/time.h>

static int fresh(size_t size)
{
	return OK(shmget(IPC_PRIVATE, size, 0600));
}

static char *attach(int id, const void *at, int flags)
{
	char *p = shmat(id, at, flags);
	if (p == (void *)-1)
		check_failed(__FILE__, __LINE__, "shmat", "an address", check_errno(errno));
	return p;
}

static struct shmid_ds stat_of(int id)
{
	struct shmid_ds ds;
	OK(shmctl(id, IPC_STAT, &ds));
	return ds;
}

TEST(get)
{
	key_t key = 0x1e000000 + getpid();
	ERR(shmget(key, 4096, 0600), ENOENT);
	ERR(shmget(key, 0, IPC_CREAT | 0600), EINVAL);
	int id = OK(shmget(key, 5000, IPC_CREAT | 0640));
	EQ(shmget(key, 0, 0), id);
	EQ(shmget(key, 5000, 0), id);
	ERR(shmget(key, 5001, 0), EINVAL);
	ERR(shmget(key, 1, IPC_CREAT | IPC_EXCL), EEXIST);
	struct shmid_ds ds = stat_of(id);
	EQ(ds.shm_segsz, 5000);
	EQ(ds.shm_perm.mode, 0640);
	EQ(ds.shm_perm.__key, key);
	EQ(ds.shm_cpid, getpid());
	EQ(ds.shm_lpid, 0);
	EQ(ds.shm_nattch, 0);
	EQ(ds.shm_atime, 0);
	OK(shmctl(id, IPC_RMID, NULL));
	ERR(shmctl(id, IPC_STAT, &ds), EINVAL);
	ERR(shmget(key, 0, 0), ENOENT);
}

TEST(attach_detach)
{
	int id = fresh(8192);
	char *p = attach(id, NULL, 0);
	EQ((uintptr_t)p % 4096, 0);
	EQ(p[0] | p[8191], 0);
	strcpy(p + 4000, "across the end of a page, which is at 4096: here it goes on and on, far beyond that");
	char *q = attach(id, NULL, 0);
	CHECK(q != p);
	STR(q + 4000, p + 4000);
	struct shmid_ds ds = stat_of(id);
	EQ(ds.shm_nattch, 2);
	EQ(ds.shm_lpid, getpid());
	CHECK(ds.shm_atime >= time(NULL) - 5);
	EQ(ds.shm_dtime, 0);
	OK(shmdt(q));
	ERR(shmdt(q), EINVAL);
	ERR(shmdt(p + 1), EINVAL);
	ERR(shmdt(p + 4096), EINVAL);
	ds = stat_of(id);
	EQ(ds.shm_nattch, 1);
	CHECK(ds.shm_dtime >= time(NULL) - 5);
	OK(shmdt(p));
	p = attach(id, NULL, 0); /* contents stay */
	CHECK(!strncmp(p + 4000, "across", 6));
	OK(shmdt(p));
	EQ(stat_of(id).shm_nattch, 0);
	OK(shmctl(id, IPC_RMID, NULL));
	ERR((long)shmat(id, NULL, 0), EINVAL);
	ERR((long)shmat(-1, NULL, 0), EINVAL);
}

TEST(addresses)
{
	int id = fresh(3 * 4096);
	char *room = mmap(NULL, 16 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(room != MAP_FAILED);
	ERR((long)shmat(id, room, 0), EINVAL); /* taken */
	OK(munmap(room + 8 * 4096, 4 * 4096));
	EQ((long)attach(id, room + 8 * 4096, 0), (long)(room + 8 * 4096));
	ERR((long)shmat(id, room + 4096 + 7, 0), EINVAL);
	EQ((long)attach(id, room + 4096 + 7, SHM_RND | SHM_REMAP), (long)(room + 4096));
	*(volatile char *)(room + 4096) = 5; /* the same memory at two addresses */
	EQ(*(volatile char *)(room + 8 * 4096), 5);
	ERR((long)shmat(id, NULL, SHM_REMAP), EINVAL);
	ERR((long)shmat(id, (void *)0x7ffffffff000, 0), ENOMEM);
	OK(shmdt(room + 4096));
	OK(shmdt(room + 8 * 4096));
	EQ(stat_of(id).shm_nattch, 0);
	OK(shmctl(id, IPC_RMID, NULL));
}

TEST(partly_unmapped)
{
	int id = fresh(4 * 4096);
	char *p = attach(id, NULL, 0);
	OK(munmap(p + 4096, 4096));
	EQ(stat_of(id).shm_nattch, 2); /* Linux counts mappings */
	OK(shmdt(p));
	EQ(stat_of(id).shm_nattch, 0);
	p = attach(id, NULL, 0);
	OK(munmap(p, 4 * 4096)); /* as good as shmdt */
	EQ(stat_of(id).shm_nattch, 0);
	ERR(shmdt(p), EINVAL);
	OK(shmctl(id, IPC_RMID, NULL));
}

TEST(read_only)
{
	int id = fresh(4096);
	char *w = attach(id, NULL, 0);
	char *r = attach(id, NULL, SHM_RDONLY);
	strcpy(w, "seen");
	STR(r, "seen");
	ERR(mprotect(r, 4096, PROT_READ | PROT_WRITE), EACCES);
	pid_t pid = OK(fork());
	if (!pid) {
		r[0] = 1;
		_exit(0);
	}
	REAP_SIGNAL(pid, SIGSEGV);
	char *x = attach(id, NULL, SHM_EXEC);
	memcpy(w, "\xc3", 1); /* ret */
	if (sizeof(void *) == 8)
		((void (*)(void))(uintptr_t)x)();
	OK(shmctl(id, IPC_RMID, NULL));
}

TEST(processes)
{
	int id = fresh(4096);
	volatile int *p = (volatile int *)attach(id, NULL, 0);
	IN_CHILD
	{
		EQ(stat_of(id).shm_nattch, 2); /* a fork has it too */
		*p = 42;
		OK(shmdt((void *)p));
		EQ(stat_of(id).shm_nattch, 1);
		int *q = (int *)attach(id, NULL, 0);
		EQ(*q, 42);
		EQ(stat_of(id).shm_lpid, getpid());
	}
	EQ(*p, 42);
	EQ(stat_of(id).shm_nattch, 1);
	pid_t pid = OK(fork());
	if (!pid) {
		execl("/bin/sleep", "sleep", "5", NULL);
		_exit(1);
	}
	for (int i = 0; i < 3000 && stat_of(id).shm_nattch != 1; i++)
		sleep_ms(1);
	EQ(stat_of(id).shm_nattch, 1); /* an exec has not */
	OK(kill(pid, SIGKILL));
	reap(pid);
	OK(shmctl(id, IPC_RMID, NULL));
}

TEST(removal)
{
	key_t key = 0x2e000000 + getpid();
	int id = OK(shmget(key, 4096, IPC_CREAT | 0600));
	char *p = attach(id, NULL, 0);
	strcpy(p, "still there");
	OK(shmctl(id, IPC_RMID, NULL));
	struct shmid_ds ds = stat_of(id);
	EQ(ds.shm_perm.mode, 01600); /* SHM_DEST */
	EQ(ds.shm_perm.__key, 0);
	ERR(shmget(key, 4096, 0), ENOENT);
	char *q = attach(id, NULL, 0); /* by its number one still can */
	STR(q, "still there");
	IN_CHILD
	{
		STR(p, "still there");
	}
	OK(shmdt(p));
	EQ(stat_of(id).shm_nattch, 1);
	OK(shmdt(q));
	ERR(shmctl(id, IPC_STAT, &ds), EINVAL);
	/* with the end of the last process */
	id = fresh(4096);
	IN_CHILD
	{
		attach(id, NULL, 0);
		OK(shmctl(id, IPC_RMID, NULL));
	}
	ERR(shmctl(id, IPC_STAT, &ds), EINVAL);
}

static void *attacher(void *arg)
{
	int id = *(int *)arg;
	for (int i = 0; i < 40; i++) {
		int *p = (int *)attach(id, NULL, 0);
		EQ(*p, id);
		OK(shmdt(p));
	}
	return NULL;
}

TEST(threads)
{
	int ids[4];
	pthread_t th[4];
	for (int i = 0; i < 4; i++) {
		ids[i] = fresh(4096);
		int *p = (int *)attach(ids[i], NULL, 0);
		*p = ids[i];
		OK(shmdt(p));
	}
	for (int i = 0; i < 4; i++)
		EQ(pthread_create(&th[i], NULL, attacher, &ids[i]), 0);
	for (int i = 0; i < 4; i++)
		EQ(pthread_join(th[i], NULL), 0);
	for (int i = 0; i < 4; i++) {
		EQ(stat_of(ids[i]).shm_nattch, 0);
		OK(shmctl(ids[i], IPC_RMID, NULL));
	}
}

static volatile int ticks;
static void tick(int sig)
{
	(void)sig;
	ticks++;
}

/* Signals that come in the middle of it. */
static void between_signals(int flags)
{
	int id = fresh(4096);
	ticks = 0;
	handle(SIGALRM, tick, flags);
	struct itimerval it = {{0, 2000}, {0, 2000}};
	OK(setitimer(ITIMER_REAL, &it, NULL));
	int rounds = 0;
	for (int64_t end = now_ns() + 10000000000; ticks < 25 && now_ns() < end; rounds++) {
		int *p = (int *)attach(id, NULL, 0);
		p[0]++;
		OK(shmdt(p));
	}
	struct itimerval off = {{0, 0}, {0, 0}};
	OK(setitimer(ITIMER_REAL, &off, NULL));
	CHECK(ticks > 0);
	EQ(*(int *)attach(id, NULL, 0), rounds);
	OK(shmctl(id, IPC_RMID, NULL));
}

TEST(signals)
{
	between_signals(SA_RESTART);
	between_signals(0);
}

/* Stopped and continued from outside again and again. */
TEST(stops)
{
	int id = fresh(4096), *count = (int *)attach(id, NULL, 0);
	pid_t pid = OK(fork());
	if (!pid) {
		for (;;) {
			int *p = (int *)attach(id, NULL, 0);
			p[0]++;
			OK(shmdt(p));
		}
	}
	for (int i = 0; i < 40; i++) {
		int status;
		OK(kill(pid, SIGSTOP));
		EQ(waitpid(pid, &status, WUNTRACED), pid);
		CHECK(WIFSTOPPED(status));
		int before = *(volatile int *)count;
		sleep_ms(1);
		EQ(*(volatile int *)count, before);
		OK(kill(pid, SIGCONT));
		sleep_ms(2);
	}
	for (int i = 0; i < 5000 && !*(volatile int *)count; i++)
		sleep_ms(1);
	CHECK(*(volatile int *)count > 0);
	OK(kill(pid, SIGKILL));
	REAP_SIGNAL(pid, SIGKILL);
	EQ(stat_of(id).shm_nattch, 1);
	OK(shmctl(id, IPC_RMID, NULL));
}

TEST(rights)
{
	NEED_ROOT();
	int id = OK(shmget(IPC_PRIVATE, 4096, 0604));
	struct shmid_ds ds = stat_of(id);
	IN_CHILD
	{
		OK(setgid(12345));
		OK(setuid(12345));
		ERR((long)shmat(id, NULL, 0), EACCES);
		attach(id, NULL, SHM_RDONLY);
		ERR((long)shmat(id, NULL, SHM_RDONLY | SHM_EXEC), EACCES);
		ERR(shmctl(id, IPC_RMID, NULL), EPERM);
		ERR(shmctl(id, IPC_SET, &ds), EPERM);
		ERR(shmctl(id, SHM_LOCK, NULL), EPERM);
	}
	ds.shm_perm.uid = 12345;
	ds.shm_perm.mode = 0600;
	OK(shmctl(id, IPC_SET, &ds));
	IN_CHILD
	{
		OK(setgid(12345));
		OK(setuid(12345));
		attach(id, NULL, 0);
		OK(shmctl(id, SHM_LOCK, NULL));
		EQ(stat_of(id).shm_perm.mode, 02600);
		OK(shmctl(id, SHM_UNLOCK, NULL));
		OK(shmctl(id, IPC_RMID, NULL));
	}
	ERR(shmctl(id, IPC_STAT, &ds), EINVAL);
}

TEST(information)
{
	int id = OK(shmget(0x4e000000 + getpid(), 10000, IPC_CREAT | 0600));
	char *p = attach(id, NULL, 0);
	memset(p, 1, 10000);
	struct shm_info used;
	int top = OK(shmctl(0, SHM_INFO, (struct shmid_ds *)&used));
	CHECK(used.used_ids >= 1);
	CHECK(used.shm_tot >= 3);
	CHECK(used.shm_rss >= 3);
	struct shminfo most;
	OK(shmctl(0, IPC_INFO, (struct shmid_ds *)&most));
	EQ(most.shmmin, 1);
	EQ(most.shmmni, 4096);
	struct shmid_ds ds;
	int found = 0;
	for (int i = 0; i <= top; i++)
		found += shmctl(i, SHM_STAT, &ds) == id;
	EQ(found, 1);
	FILE *f = fopen("/proc/sysvipc/shm", "r");
	CHECK(f);
	char line[512], name[64];
	CHECK(fgets(line, sizeof line, f));
	found = 0;
	while (fgets(line, sizeof line, f)) {
		long key;
		int sid, mode, cpid, lpid, n;
		unsigned long size;
		EQ(sscanf(line, "%ld %d %o %lu %d %d %d", &key, &sid, &mode, &size, &cpid, &lpid, &n), 7);
		if (sid == id) {
			found = 1;
			EQ(size, 10000);
			EQ(cpid, getpid());
			EQ(n, 1);
		}
	}
	fclose(f);
	EQ(found, 1);
	snprintf(name, sizeof name, "/SYSV%08x (deleted)", 0x4e000000 + getpid());
	f = fopen("/proc/self/maps", "r");
	CHECK(f);
	found = 0;
	while (fgets(line, sizeof line, f))
		found += strstr(line, name) && strtoul(line, NULL, 16) == (unsigned long)p;
	fclose(f);
	EQ(found, 1);
	OK(shmctl(id, IPC_RMID, NULL));
}
