/* Preloaded into a program: one fsync or fdatasync fails with EIO, as that of a disk which is about
   to die. With FSYNC_FAIL_AT it is the one of that number; with FSYNC_FAIL_OF it is the first of
   the file of that name after the file FSYNC_FAIL_FROM exists. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long calls;

static int is_named(int file, const char *name)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return strcmp(path, name) == 0;
}

static int is_the_one(int file)
{
    const char *number = getenv("FSYNC_FAIL_AT");
    if (number)
        return atomic_fetch_add(&calls, 1) + 1 == atol(number);
    const char *name = getenv("FSYNC_FAIL_OF"), *from = getenv("FSYNC_FAIL_FROM");
    return name && from && access(from, F_OK) == 0 && is_named(file, name) && atomic_fetch_add(&calls, 1) == 0;
}

static int passed_on(const char *name, int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (!is_the_one(file))
        return real(file);
    static const char said[] = "bad_fsync: this one fails\n", of_a_folder[] = "bad_fsync: of a folder\n";
    struct stat what;
    if (fstat(file, &what) == 0 && S_ISDIR(what.st_mode) && write(STDERR_FILENO, of_a_folder, sizeof of_a_folder - 1) < 0)
        return -1;
    if (write(STDERR_FILENO, said, sizeof said - 1) < 0)
        return -1;
    errno = EIO;
    return -1;
}

int fsync(int file) { return passed_on("fsync", file); }
int fdatasync(int file) { return passed_on("fdatasync", file); }
