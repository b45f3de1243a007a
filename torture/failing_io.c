/* Makes one call fail that writes: to preload into a process, which then says when.
 *
 * write, pwrite, fsync, fdatasync and ftruncate are counted on files under one folder. The call of a given number fails
 * with a given errno, and where it is asked for every later one too, as on a disk that stays full. Nothing is counted
 * before failing_io_arm is called.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

static char folder[PATH_MAX];
static long fails_at;
static int fails_with, goes_on;

/* In memory that a child shares with its parent, who reads it when the child is gone. */
static long *calls;

__attribute__((constructor)) static void make_calls(void)
{
    calls = mmap(NULL, sizeof *calls, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* The calls on files under `under` (with its last slash) are counted from now on; number `at` fails, 0 is none. */
void failing_io_arm(const char *under, long at, int with, int for_good)
{
    snprintf(folder, sizeof folder, "%s", under);
    fails_at = at;
    fails_with = with;
    goes_on = for_good;
    *calls = 0;
}

/* How many calls there were since then, also of a child. */
long failing_io_calls(void) { return *calls; }

static int is_under(int descriptor)
{
    char link[64], path[PATH_MAX];
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = '\0';
    return strncmp(path, folder, strlen(folder)) == 0;
}

static int fails(int descriptor)
{
    int before = errno, is_due;

    if (!folder[0] || !is_under(descriptor)) {
        errno = before;
        return 0;
    }
    ++*calls;
    is_due = fails_at && (*calls == fails_at || (goes_on && *calls > fails_at));
    errno = is_due ? fails_with : before;
    return is_due;
}

#define FAILING(type, name, parameters, arguments)                                  \
    type name parameters                                                            \
    {                                                                               \
        static type(*real) parameters;                                              \
        if (!real)                                                                  \
            *(void **)&real = dlsym(RTLD_NEXT, #name);                              \
        return fails(descriptor) ? -1 : real arguments;                             \
    }

FAILING(ssize_t, write, (int descriptor, const void *data, size_t size), (descriptor, data, size))
FAILING(ssize_t, pwrite, (int descriptor, const void *data, size_t size, off_t at), (descriptor, data, size, at))
FAILING(ssize_t, pwrite64, (int descriptor, const void *data, size_t size, off64_t at), (descriptor, data, size, at))
/* Power does not fail here: waiting for the disk would only take time. */
int fsync(int descriptor) { return fails(descriptor) ? -1 : 0; }
int fdatasync(int descriptor) { return fails(descriptor) ? -1 : 0; }

FAILING(int, ftruncate, (int descriptor, off_t size), (descriptor, size))
FAILING(int, ftruncate64, (int descriptor, off64_t size), (descriptor, size))
