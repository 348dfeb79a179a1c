/* cdef lines for cffi: what hostcalls.c offers. Every function returns a result >= 0, or -errno. */
int host_unshare(int flags);
int host_setns(int fd, int flags);
int host_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
int host_umount(const char *target, int flags);
int host_pivot_root(const char *new_root, const char *put_old);
int host_open_tree(int dirfd, const char *path, unsigned int flags);
int host_move_mount(int from_fd, const char *from_path, int to_fd, const char *to_path, unsigned int flags);
int host_mount_setattr(int dirfd, const char *path, unsigned int flags, uint64_t set, uint64_t clear, uint64_t propagation);
int host_fsopen(const char *type, unsigned int flags);
int host_fsconfig(int fd, unsigned int command, const char *key, const char *value, int aux);
int host_fsmount(int fd, unsigned int flags, unsigned int attributes);
int host_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int host_prctl(int option, unsigned long a2, unsigned long a3, unsigned long a4, unsigned long a5);
int host_capset(uint64_t effective, uint64_t permitted, uint64_t inheritable);
int host_capget(uint64_t sets[3]);
int host_close_range(unsigned int first, unsigned int last, unsigned int flags);
int host_execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags);
