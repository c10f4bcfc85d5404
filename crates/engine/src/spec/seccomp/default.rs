//! The default filter as data: which system calls every container may make, and which only with a
//! capability, on an architecture or with certain arguments. It allows what Docker's default profile
//! (moby/profiles, 2025) allows, since images are made and tested against that.
//!
//! Notable absences: `io_uring_*` (kernel attack surface), `keyctl`, `add_key`, `request_key` (keyrings are
//! not
//! namespaced), `userfaultfd`, `kexec_*`, `clone` and `unshare` of namespaces without CAP_SYS_ADMIN.
//! Names unknown to an architecture are skipped by the filter's builder.

/// Names, directories, attributes and descriptors of files.
pub(super) const FILES: &str = "access chdir chmod chown chown32 creat faccessat faccessat2 fchdir fchmod fchmodat fchmodat2 fchown \
    fchown32 fchownat fgetxattr flistxattr fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs \
    fstatfs64 futimesat getcwd getdents getdents64 getxattr getxattrat landlock_add_rule \
    landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listmount \
    listxattr listxattrat llistxattr lremovexattr lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat \
    name_to_handle_at newfstatat open openat openat2 readlink readlinkat removexattr removexattrat \
    rename renameat renameat2 rmdir setxattr setxattrat stat stat64 statfs statfs64 statmount statx \
    symlink symlinkat umask unlink unlinkat utime utimensat utimensat_time64 utimes";

/// Bytes through descriptors, and waiting for them.
pub(super) const IO: &str = "accept accept4 bind close close_range connect copy_file_range dup dup2 dup3 epoll_create \
    epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd \
    eventfd2 fadvise64 fadvise64_64 fallocate fanotify_mark fcntl fcntl64 fdatasync flock fsync \
    ftruncate ftruncate64 getpeername getsockname getsockopt inotify_add_watch inotify_init \
    inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 \
    io_setup io_submit ioctl listen _llseek lseek _newselect pipe pipe2 poll ppoll ppoll_time64 pread64 \
    preadv preadv2 pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readv recv recvfrom \
    recvmmsg recvmmsg_time64 recvmsg select send sendfile sendfile64 sendmmsg sendmsg sendto setsockopt \
    shutdown signalfd signalfd4 socketcall socketpair splice sync sync_file_range syncfs tee truncate \
    truncate64 vmsplice write writev";

/// Locks and messages between processes.
pub(super) const IPC: &str = "futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list ipc membarrier \
    mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend \
    mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd rseq semctl semget semop semtimedop \
    semtimedop_time64 set_robust_list shmat shmctl shmdt shmget";

/// Memory.
pub(super) const MEMORY: &str = "brk cachestat madvise map_shadow_stack memfd_create memfd_secret mincore mlock mlock2 mlockall mmap \
    mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect \
    process_mrelease remap_file_pages";

/// Clocks and timers (reading; `adjtimex` checks CAP_SYS_TIME itself).
pub(super) const TIME: &str = "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime \
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer \
    time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime \
    timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 \
    times";

/// Processes, their ids, signals, limits and scheduling.
pub(super) const PROCESSES: &str = "capget capset execve execveat exit exit_group fork get_thread_area getcpu getegid getegid32 geteuid \
    geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getrandom \
    getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 \
    ioprio_get ioprio_set kill pause pidfd_open pidfd_send_signal prctl prlimit64 process_vm_readv \
    process_vm_writev ptrace restart_syscall riscv_hwprobe rt_sigaction rt_sigpending rt_sigprocmask \
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo \
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam \
    sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity \
    sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_thread_area set_tid_address \
    setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority \
    setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid \
    setuid setuid32 sigaltstack sigprocmask sigreturn sysinfo tgkill tkill ugetrlimit uname uretprobe \
    vfork wait4 waitid waitpid";

/// Allowed with a capability.
pub(super) const BY_CAPABILITY: &[(&str, &str)] = &[
    ("CAP_BPF", "bpf"),
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    ("CAP_PERFMON", "perf_event_open"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr \
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl \
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module finit_module init_module"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    ("CAP_SYS_RAWIO", "ioperm iopl"),
    ("CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYSLOG", "syslog"),
];

/// Allowed on an architecture (Go's names, as profiles use them).
pub(super) const BY_ARCHITECTURE: &[(&[&str], &str)] = &[
    (&["amd64", "x32"], "arch_prctl"),
    (&["amd64", "x32", "x86"], "modify_ldt"),
    (
        &["arm", "arm64"],
        "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
    ),
    (&["riscv64"], "riscv_flush_icache"),
];

/// Address families that `socket` may name: all of those below 12, and these. Left out on purpose: 38
/// (AF_ALG, the kernel's
/// cryptography, a steady source of holes), 40 (AF_VSOCK, reaches the hypervisor) and dead protocols.
pub(super) const SOCKET_FAMILIES_BELOW: u64 = 12;
/// See [`SOCKET_FAMILIES_BELOW`].
pub(super) const SOCKET_FAMILIES: &[u64] =
    &[13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44, 45];

/// Execution domains that `personality` may set: Linux, 32-bit Linux, each with UNAME26, and asking.
pub(super) const PERSONALITIES: &[u64] = &[0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The flags of `clone` that make namespaces (CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID,
/// NEWNET).
pub(super) const CLONE_NAMESPACES: u64 = 0x7e02_0000;
