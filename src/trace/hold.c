/* One writer a trace.
 *
 * The lock must conflict between processes and between two handles of one process, must vanish with a killed holder,
 * and must name its holder. No single kind of kernel lock does all three: an open-file-description lock (F_OFD_SETLK)
 * conflicts between handles but has no owner; a classic fcntl lock has an owner but never conflicts with its own
 * process. So a writer takes both, on two bytes far behind any content: the first excludes, the second names.
 *
 * A process drops its classic locks on a file when it closes any descriptor of it, a reader's too. The name is then
 * missing, never the exclusion, and each append takes the name again.
 *
 * Rejected: a file with the process id in it (stale after kill -9), flock() with a look into /proc/locks (absent in
 * some containers, and its device numbers are not those of stat on every file system). */
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "trace/trace_private.h"

static const off_t EXCLUDING_BYTE = (off_t)1 << 62, NAMING_BYTE = ((off_t)1 << 62) + 1;

static struct flock one_byte(off_t at) {
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
}

void trace_hold_name(int fd) {
    struct flock name = one_byte(NAMING_BYTE);
    (void)fcntl(fd, F_SETLK, &name); /* without it the holder is anonymous, no more */
}

/* The process id of the holder, 0 when it cannot be found out. A holder takes its name just after the lock, hence the
 * patience. */
static pid_t holder(int fd) {
    for (int attempt = 0; attempt < 20; attempt++) {
        struct flock name = one_byte(NAMING_BYTE);
        if (fcntl(fd, F_OFD_GETLK, &name) == 0 && name.l_type != F_UNLCK && name.l_pid > 0) return name.l_pid;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return 0;
}

bool trace_hold_take(int fd, const char *path, spak_error *err) {
    struct flock exclude = one_byte(EXCLUDING_BYTE);
    if (fcntl(fd, F_OFD_SETLK, &exclude) == 0) {
        trace_hold_name(fd);
        return true;
    }
    if (errno != EAGAIN && errno != EACCES)
        return spak_fail_errno(err, "%s: cannot lock this trace; put it on a file system that has locks", path);
    pid_t pid = holder(fd);
    if (pid == getpid())
        return spak_fail(err, "%s: this process (%ld) already has a writer on this trace; close that one first", path,
                         (long)pid);
    if (pid > 0)
        return spak_fail(err, "%s: process %ld is writing this trace; wait for it to end, or end it, and try again",
                         path, (long)pid);
    return spak_fail(err,
                     "%s: another process, whose id the kernel does not tell, is writing this trace; wait for it to "
                     "end and try again",
                     path);
}
