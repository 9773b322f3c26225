/* Preloaded into a program: of its writes and fsyncs of files below IO_FAIL_BELOW some fail,
   IO_FAIL_PERMILLE of a thousand, drawn from IO_FAIL_SEED, once the file IO_FAIL_FROM exists: with EIO, or
   as on a disk that may only be read any more (EROFS) where IO_FAIL_READ_ONLY is set. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_ulong draws;

static int is_below(int file, const char *folder)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

static uint64_t chance(void)
{
    uint64_t mixed = strtoull(getenv("IO_FAIL_SEED"), NULL, 10) + 0x9E3779B97F4A7C15u * (atomic_fetch_add(&draws, 1) + 1);
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
    return mixed ^ (mixed >> 31);
}

static int fails(int file)
{
    const char *below = getenv("IO_FAIL_BELOW"), *from = getenv("IO_FAIL_FROM"), *share = getenv("IO_FAIL_PERMILLE");
    if (!below || !from || !share || !getenv("IO_FAIL_SEED") || access(from, F_OK) != 0 || !is_below(file, below))
        return 0;
    if (chance() % 1000 >= strtoull(share, NULL, 10))
        return 0;
    static const char said[] = "bad_io: this one fails\n";
    if (write(STDERR_FILENO, said, sizeof said - 1) < 0)
        return 0;
    errno = getenv("IO_FAIL_READ_ONLY") ? EROFS : EIO;
    return 1;
}

#define REAL(result, name, ...) ((result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

int fsync(int file) { return fails(file) ? -1 : REAL(int, "fsync", int)(file); }
int fdatasync(int file) { return fails(file) ? -1 : REAL(int, "fdatasync", int)(file); }

ssize_t pwrite(int file, const void *bytes, size_t length, off_t at)
{
    return fails(file) ? -1 : REAL(ssize_t, "pwrite", int, const void *, size_t, off_t)(file, bytes, length, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t at)
{
    return fails(file) ? -1 : REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t)(file, bytes, length, at);
}
