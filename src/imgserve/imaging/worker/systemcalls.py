"""System calls by number, for ``seccomp.py`` and ``landlock.py``: a call of one, the ones that are always denied, and
those that are judged by their arguments.

From the kernel's tables: arch/x86/entry/syscalls/syscall_64.tbl, and include/uapi/asm-generic/unistd.h for arm64. From
424 on a call has the same number on both.
"""

import ctypes
import os

MACHINES = ("x86_64", "aarch64")
# Calls from here on are newer than this list and answered ENOSYS: a libc that knows them falls back to older ones.
FIRST_UNKNOWN = 457
# Numbers without a call when this was written, which a kernel may assign (335 on x86-64 became uretprobe).
UNASSIGNED = {"x86_64": (range(335, 424),), "aarch64": (range(244, 260), range(295, 424))}
CLONE = {"x86_64": 56, "aarch64": 220}
CLONE3 = 435
FCNTL = {"x86_64": 72, "aarch64": 25}
IOCTL = {"x86_64": 16, "aarch64": 29}
PRCTL = {"x86_64": 157, "aarch64": 167}
PRLIMIT = {"x86_64": 302, "aarch64": 261}
SECCOMP = {"x86_64": 317, "aarch64": 277}
TGKILL = {"x86_64": 234, "aarch64": 131}

# Name, number on x86-64, number on arm64; a dash where the machine has no such call.
_DENIED = """
# sockets, all but recvmsg on the one that is there
socket 41 198   socketpair 53 199   connect 42 203   accept 43 202   accept4 288 242   bind 49 200
listen 50 201   sendto 44 206   sendmsg 46 211   sendmmsg 307 269   recvfrom 45 207   recvmmsg 299 243
shutdown 48 210   getsockname 51 204   getpeername 52 205   getsockopt 55 209   setsockopt 54 208
# processes and programs
fork 57 -   vfork 58 -   execve 59 221   execveat 322 281   wait4 61 260   waitid 247 95   uselib 134 -
setsid 112 157   setpgid 109 154
# signals to others, descriptors and memory of others
kill 62 129   tkill 200 130   rt_sigqueueinfo 129 138   rt_tgsigqueueinfo 297 240   pidfd_open 434 434
pidfd_send_signal 424 424   pidfd_getfd 438 438   ptrace 101 117   process_vm_readv 310 270
process_vm_writev 311 271   kcmp 312 272   process_madvise 440 440   process_mrelease 448 448
get_robust_list 274 100   migrate_pages 256 238   move_pages 279 239
# the kernel's larger machines
io_uring_setup 425 425   io_uring_enter 426 426   io_uring_register 427 427   io_setup 206 0
io_destroy 207 1   io_submit 209 2   io_cancel 210 3   io_getevents 208 4   io_pgetevents 333 292
bpf 321 280   perf_event_open 298 241   userfaultfd 323 282   modify_ldt 154 -
# copies inside the kernel
sendfile 40 71   splice 275 76   tee 276 77   vmsplice 278 75   copy_file_range 326 285
# names of files
truncate 76 45   rename 82 -   renameat 264 38   renameat2 316 276   mkdir 83 -   mkdirat 258 34
rmdir 84 -   creat 85 -   link 86 -   linkat 265 37   unlink 87 -   unlinkat 263 35   symlink 88 -
symlinkat 266 36   mknod 133 -   mknodat 259 33
# modes, owners, times, attributes, locks, watches
chmod 90 -   fchmod 91 52   fchmodat 268 53   fchmodat2 452 452   chown 92 -   fchown 93 55   lchown 94 -
fchownat 260 54   utime 132 -   utimes 235 -   futimesat 261 -   utimensat 280 88   setxattr 188 5
lsetxattr 189 6   fsetxattr 190 7   getxattr 191 8   lgetxattr 192 9   fgetxattr 193 10   listxattr 194 11
llistxattr 195 12   flistxattr 196 13   removexattr 197 14   lremovexattr 198 15   fremovexattr 199 16
flock 73 32   inotify_init 253 -   inotify_init1 294 26   inotify_add_watch 254 27   inotify_rm_watch 255 28
fanotify_init 300 262   fanotify_mark 301 263   cachestat 451 451
# mounts and namespaces
pivot_root 155 41   chroot 161 51   mount 165 40   umount2 166 39   unshare 272 97   setns 308 268
open_tree 428 428   move_mount 429 429   fsopen 430 430   fsconfig 431 431   fsmount 432 432
fspick 433 433   mount_setattr 442 442   quotactl 179 60   quotactl_fd 443 443   name_to_handle_at 303 264
open_by_handle_at 304 265   ustat 136 -   sysfs 139 -   lookup_dcookie 212 18
# queues of System V and POSIX, keys, memory without a name
shmget 29 194   shmat 30 196   shmdt 67 197   shmctl 31 195   semget 64 190   semop 65 193   semctl 66 191
semtimedop 220 192   msgget 68 186   msgsnd 69 189   msgrcv 70 188   msgctl 71 187   mq_open 240 180
mq_unlink 241 181   mq_timedsend 242 182   mq_timedreceive 243 183   mq_notify 244 184
mq_getsetattr 245 185   add_key 248 217   request_key 249 218   keyctl 250 219   memfd_create 319 279
memfd_secret 447 447
# users, groups, capabilities, schedules
setuid 105 146   setgid 106 144   setreuid 113 145   setregid 114 143   setresuid 117 147
setresgid 119 149   setgroups 116 159   setfsuid 122 151   setfsgid 123 152   capset 126 91
setpriority 141 140   ioprio_set 251 30   sched_setparam 142 118   sched_setscheduler 144 119
sched_setattr 314 274   sched_setaffinity 203 122   personality 135 92
# the machine
syslog 103 116   iopl 172 -   ioperm 173 -   vhangup 153 58   reboot 169 142   sethostname 170 161
setdomainname 171 162   init_module 175 105   finit_module 313 273   delete_module 176 106
kexec_load 246 104   kexec_file_load 320 294   acct 163 89   swapon 167 224   swapoff 168 225
settimeofday 164 170   clock_settime 227 112   clock_adjtime 305 266   adjtimex 159 171   sync 162 81
syncfs 306 267
# what kernels had once
_sysctl 156 -   create_module 174 -   get_kernel_syms 177 -   query_module 178 -   nfsservctl 180 42
getpmsg 181 -   putpmsg 182 -   afs_syscall 183 -   tuxcall 184 -   security 185 -   set_thread_area 205 -
get_thread_area 211 -   epoll_ctl_old 214 -   epoll_wait_old 215 -   vserver 236 -
# locks of this kind, which only the last one may set
seccomp 317 277   landlock_create_ruleset 444 444   landlock_add_rule 445 445
landlock_restrict_self 446 446
"""


_libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """This kernel or processor lacks the call, or refuses it."""


def call(number: int, *arguments: object) -> int:
    """Raises Unavailable."""
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise Unavailable(os.strerror(ctypes.get_errno()))
    return result


def denied(machine: str) -> dict[str, int]:
    """The calls that are denied with any arguments, by name."""
    words = [word for line in _DENIED.splitlines() if not line.startswith("#") for word in line.split()]
    numbers = words[1 + MACHINES.index(machine) :: 3]
    return {name: int(number) for name, number in zip(words[::3], numbers, strict=True) if number != "-"}
