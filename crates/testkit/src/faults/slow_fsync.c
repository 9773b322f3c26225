/* Preloaded into a program: every fsync and fdatasync takes FSYNC_SLOWER_US microseconds longer, as
   on a disk that is farther away. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int passed_on(const char *name, int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    const char *wait = getenv("FSYNC_SLOWER_US");
    if (wait)
        usleep((useconds_t)atol(wait));
    return real(file);
}

int fsync(int file) { return passed_on("fsync", file); }
int fdatasync(int file) { return passed_on("fdatasync", file); }
