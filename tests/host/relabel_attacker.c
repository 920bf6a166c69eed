/* Somebody who owns a volume and never rests: `relabel_attacker KIND BASE COUNTER`.
 *
 * BASE has `volume`, the tree that is walked, and `outside`, which nobody may label. A round is one change and its
 * undoing; COUNTER is a file of eight bytes in which rounds are counted while they happen. On SIGTERM the last round
 * is ended and the volume left as it was.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile sig_atomic_t is_over;
static unsigned long turn;

static void end(int number)
{
    (void)number;
    is_over = 1;
}

/* A step that must work: the attacker is alone with its names, and the walk changes none. */
static void must(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "attacker: %s: %s\n", what, strerror(errno));
        exit(1);
    }
}

static const char *at(const char *format, unsigned long number)
{
    static char rooms[4][64];
    static unsigned next;
    char *room = rooms[next++ % 4];
    snprintf(room, sizeof rooms[0], format, number);
    return room;
}

static void touch(const char *path, int flags)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    must(descriptor, path);
    must((int)write(descriptor, "x", 1), path);
    close(descriptor);
}

/* A directory becomes a symbolic link to one outside. */
static void swap(void)
{
    const char *place = at("volume/d%lu", turn % 10);
    must(rename(place, "volume/aside"), "swap");
    must(symlink("../outside", place), "swap");
    must(unlink(place), "swap");
    must(rename("volume/aside", place), "swap");
}

/* The same in one step, and for files. */
static void exchange(void)
{
    const char *place = at("volume/d%lu", turn % 10), *file = at("volume/d%lu/f1", turn % 7);
    for (int i = 0; i < 2; i++) {
        must(renameat2(AT_FDCWD, place, AT_FDCWD, "volume/to-outside", RENAME_EXCHANGE), "exchange");
        if (turn % 7 != turn % 10)
            must(renameat2(AT_FDCWD, file, AT_FDCWD, "volume/to-victim", RENAME_EXCHANGE), "exchange");
    }
}

/* A name of a victim, for a moment, in the place of a file: it has one name before and after. */
static void link_in(void)
{
    const char *file = at("volume/d%lu/f2", turn % 10);
    must(link("outside/f1", "volume/new"), "link");
    must(rename(file, "volume/kept"), "link");
    must(rename("volume/new", file), "link");
    must(unlink(file), "link");
    must(rename("volume/kept", file), "link");
}

/* The same with new content, so that the time of change is the content's. */
static void truncate_in(void)
{
    const char *name = at("volume/d%lu/new", turn % 10);
    must(link("outside/f2", name), "truncate");
    must(truncate(name, (off_t)(turn % 5)), "truncate");
    must(unlink(name), "truncate");
    touch(at("volume/d%lu/f3", turn % 10), turn % 2 ? O_TRUNC : O_APPEND);
}

static void mount_over(void)
{
    const char *place = at("volume/d%lu", turn % 10);
    must(mount("outside", place, NULL, MS_BIND, NULL), "mount");
    must(umount2(place, MNT_DETACH), "umount");
}

/* Directories leave the volume, and move in it. */
static void rename_out(void)
{
    const char *place = at("volume/d%lu", turn % 9);
    must(rename(place, "away"), "rename");
    must(rename("away", place), "rename");
    must(rename(at("volume/d%lu/sub", turn % 9), "volume/d9/other"), "rename");
    must(rename("volume/d9/other", at("volume/d%lu/sub", turn % 9)), "rename");
}

/* Names and inode numbers are given to others. */
static void unlink_again(void)
{
    const char *file = at("volume/d%lu/gone", turn % 10), *place = at("volume/d%lu/gone-too", turn % 10);
    touch(file, O_TRUNC);
    must(mkdir(place, 0755), "mkdir");
    must(unlink(file), "unlink");
    must(rmdir(place), "rmdir");
    touch("outside/new", O_TRUNC); /* which gets the number of one of them */
    must(unlink("outside/new"), "unlink");
}

/* In an overlay whose upper directory is the volume: copied up, whited out, renamed. */
static void through_overlay(void)
{
    const char *file = at("merged/low%lu", turn % 8);
    touch(file, O_APPEND);
    must(unlink(file), "overlay");
    touch(file, O_EXCL);
    must(rename(file, "merged/moved"), "overlay");
    must(rename("merged/moved", file), "overlay");
}

static const struct {
    const char *name;
    void (*attack)(void);
} kinds[] = {
    {"swap", swap},         {"link", link_in},        {"mount", mount_over},    {"rename", rename_out},
    {"exchange", exchange}, {"truncate", truncate_in}, {"unlink", unlink_again}, {"overlay", through_overlay},
};

int main(int count, char **arguments)
{
    if (count != 4 || chdir(arguments[2]) != 0)
        return 2;
    int descriptor = open(arguments[3], O_RDWR | O_CLOEXEC);
    must(descriptor, arguments[3]);
    _Atomic uint64_t *rounds = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (rounds == MAP_FAILED)
        return 2;
    signal(SIGTERM, end);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, arguments[1]) == 0)
            for (; !is_over; turn++, ++*rounds)
                kinds[i].attack();
    return turn ? 0 : 2;
}
