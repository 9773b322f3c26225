/* Preloaded into a program: the fsync or fdatasync number FSYNC_FAIL_AT fails with EIO, as that of
   a disk which is about to die. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_long calls;

static int is_the_one(void)
{
    const char *number = getenv("FSYNC_FAIL_AT");
    return number && atomic_fetch_add(&calls, 1) + 1 == atol(number);
}

static int passed_on(const char *name, int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (!is_the_one())
        return real(file);
    static const char said[] = "bad_fsync: this one fails\n";
    if (write(STDERR_FILENO, said, sizeof said - 1) < 0)
        return -1;
    errno = EIO;
    return -1;
}

int fsync(int file) { return passed_on("fsync", file); }
int fdatasync(int file) { return passed_on("fdatasync", file); }
