/* Cuts the power of the ext4 that is mounted at the path given: EXT4_IOC_SHUTDOWN without flushing
   its journal. From then on every write fails, and what was not on the disk is gone. */
#include <fcntl.h>
#include <linux/types.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define EXT4_IOC_SHUTDOWN _IOR('X', 125, __u32)
#define WITHOUT_FLUSHING 2

int main(int count, char **arguments)
{
    __u32 how = WITHOUT_FLUSHING;
    int mounted = count == 2 ? open(arguments[1], O_RDONLY | O_DIRECTORY) : -1;
    if (mounted < 0 || ioctl(mounted, EXT4_IOC_SHUTDOWN, &how) != 0) {
        perror("cut_power");
        return 1;
    }
    return 0;
}
