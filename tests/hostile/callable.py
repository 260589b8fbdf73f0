"""The system calls that a locked-in worker may make, whatever their arguments; all others are refused.

A list of its own, not made from the filter's: to let a worker do more means to change both.
"""

# Name, number on x86-64, number on arm64; a dash where the machine has no such call.
_ALLOWED = """
access 21 -   alarm 37 -   arch_prctl 158 -   brk 12 214   capget 125 90   chdir 80 49   clock_getres 229 114
clock_gettime 228 113   clock_nanosleep 230 115   close 3 57   close_range 436 436   dup 32 23   dup2 33 -
dup3 292 24   epoll_create 213 -   epoll_create1 291 20   epoll_ctl 233 21   epoll_pwait 281 22
epoll_pwait2 441 441   epoll_wait 232 -   eventfd 284 -   eventfd2 290 19   exit 60 93   exit_group 231 94
faccessat 269 48   faccessat2 439 439   fadvise64 221 223   fallocate 285 47   fchdir 81 50   fdatasync 75 83
fstat 5 80   fstatfs 138 44   fsync 74 82   ftruncate 77 46   futex 202 98   futex_requeue 456 456
futex_wait 455 455   futex_waitv 449 449   futex_wake 454 454   get_mempolicy 239 236   getcpu 309 168
getcwd 79 17   getdents 78 -   getdents64 217 61   getegid 108 177   geteuid 107 175   getgid 104 176
getgroups 115 158   getitimer 36 102   getpgid 121 155   getpgrp 111 -   getpid 39 172   getppid 110 173
getpriority 140 141   getrandom 318 278   getresgid 120 150   getresuid 118 148   getrlimit 97 163
getrusage 98 165   getsid 124 156   gettid 186 178   gettimeofday 96 169   getuid 102 174   ioprio_get 252 31
lseek 8 62   lstat 6 -   madvise 28 233   map_shadow_stack 453 453   mbind 237 235   membarrier 324 283
mincore 27 232   mlock 149 228   mlock2 325 284   mlockall 151 230   mmap 9 222   mprotect 10 226
mremap 25 216   msync 26 227   munlock 150 229   munlockall 152 231   munmap 11 215   nanosleep 35 101
newfstatat 262 79   open 2 -   openat 257 56   openat2 437 437   pause 34 -   pipe 22 -   pipe2 293 59
pkey_alloc 330 289   pkey_free 331 290   pkey_mprotect 329 288   poll 7 -   ppoll 271 73   pread64 17 67
preadv 295 69   preadv2 327 286   pselect6 270 72   pwrite64 18 68   pwritev 296 70   pwritev2 328 287
read 0 63   readahead 187 213   readlink 89 -   readlinkat 267 78   readv 19 65   recvmsg 47 212
remap_file_pages 216 234   restart_syscall 219 128   rseq 334 293   rt_sigaction 13 134   rt_sigpending 127 136
rt_sigprocmask 14 135   rt_sigreturn 15 139   rt_sigsuspend 130 133   rt_sigtimedwait 128 137
sched_get_priority_max 146 125   sched_get_priority_min 147 126   sched_getaffinity 204 123
sched_getattr 315 275   sched_getparam 143 121   sched_getscheduler 145 120   sched_rr_get_interval 148 127
sched_yield 24 124   select 23 -   set_mempolicy 238 237   set_mempolicy_home_node 450 450
set_robust_list 273 99   set_tid_address 218 96   setitimer 38 103   setrlimit 160 164   sigaltstack 131 132
signalfd 282 -   signalfd4 289 74   stat 4 -   statfs 137 43   statx 332 291   sync_file_range 277 84
sysinfo 99 179   time 201 -   timer_create 222 107   timer_delete 226 111   timer_getoverrun 225 109
timer_gettime 224 108   timer_settime 223 110   timerfd_create 283 85   timerfd_gettime 287 87
timerfd_settime 286 86   times 100 153   umask 95 166   uname 63 160   write 1 64   writev 20 66
"""

# Allowed with some arguments only. x86-64, arm64.
BY_ARGUMENT = {
    "fcntl": (72, 25),
    "ioctl": (16, 29),
    "prctl": (157, 167),
    "clone": (56, 220),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
}
MACHINES = ("x86_64", "aarch64")


def allowed(machine: str) -> dict[int, str]:
    words = _ALLOWED.split()
    numbers = words[1 + MACHINES.index(machine) :: 3]
    return {int(number): name for name, number in zip(words[::3], numbers, strict=True) if number != "-"}


def by_argument(machine: str) -> dict[int, str]:
    return {numbers[MACHINES.index(machine)]: name for name, numbers in BY_ARGUMENT.items()}
