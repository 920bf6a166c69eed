/* mcsd-gate: the OCI runtime that Docker calls. The program in Python beside it does the work of the gate; this one
 * stands in front of it, so that calls which need nothing of mcsd do not wait for an interpreter to start.
 *
 * Theory of operation
 *
 * A call has the shape
 *
 *     mcsd-gate [OPTION OF OURS]… [OPTION OF THE RUNTIME]… COMMAND [WORD]…
 *
 * It is passed on, by becoming the real runtime, where all of this holds:
 *
 * - every option before the command is in a table below, and has its value;
 * - the command is in `commands`, or is containerd's clean-up after an end of which the Python program has noted in the
 *   bundle that nothing is left to do, and no container of this name has been made since;
 * - no word after it could be an option of ours;
 * - there is a runtime that may be executed.
 *
 * Everything else is for the Python program, whose parser alone decides what such a call means: so a command or an
 * option that only a later one of either program knows is at worst slow. Where a call is passed on, that parser would
 * have chosen the same runtime and the same words (of a clean-up, after doing once more what has been done); tests hold
 * the two against each other.
 *
 * What always holds:
 *
 * - Words, environment, descriptors, directory and signals are handed on as they came: nothing is copied, opened,
 *   allocated or set before the exec. Options of ours come first, so what the runtime is to get is the end of `argv`,
 *   with its own name written over the last of them, or over ours.
 * - Nothing in the environment is read. The Python program is the one in this file's own directory.
 * - Where becoming the runtime fails, the Python program is told nothing of it: it fails in the same way, and says so.
 *
 * What a failure means: only that there is no Python program to be executed ends here, with status 1. Docker hears of
 * it by the runtime's log, as of all else that ends a start.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef MCSD_RUNTIMES /* tests have others */
#define MCSD_RUNTIMES "/usr/bin/runc", "/usr/sbin/runc", "/usr/bin/crun"
#endif

#define PYTHON "mcsd-gate.py"
#define ENDED "mcsd-ended" /* the note in the bundle */
#define ATTEMPTS 30 /* to execute it while a package is being replaced, which may lay it down after this program */
#define PAUSE 100000000L /* between two of them, in nanoseconds */

static const char *const runtimes[] = {MCSD_RUNTIMES, NULL};

/* What Docker and containerd call beside what the gate looks at. */
static const char *const commands[] = {"events", "features", "kill",  "list",  "pause", "ps",
                                       "resume", "start",    "state", "update", NULL};

static const char *const ours[] = {"--mcsd-configuration", "--mcsd-runtime", "--mcsd-socket", NULL};
static const char *const with_value[] = {"--cgroup-manager", "--criu", "--log",      "--log-format",
                                         "--log-level",      "--root", "--rootless", NULL};
static const char *const without_value[] = {"--debug", "--systemd-cgroup", NULL};

/* A call, taken apart as far as it was understood. */
struct call {
    char **passed;       /* the first word for the runtime, inside argv; NULL: the Python program is to decide */
    const char *runtime; /* the one that was named, "" where none was */
    const char *root;    /* where the runtime keeps what it knows of containers, NULL where that was not said */
    const char *log;     /* where the runtime is to tell what fails, NULL where nowhere */
    bool is_json;        /* and in which format */
};

/* Whether the part of a word before its "=", or all of it, is in the table. */
static bool is_in(const char *const *table, const char *word) {
    size_t length = strcspn(word, "=");
    for (; *table; table++)
        if (strlen(*table) == length && !memcmp(*table, word, length))
            return true;
    return false;
}

/* Whether a word is this option, with or without a value in it. */
static bool is_option(const char *word, const char *name) {
    const char *const table[] = {name, NULL};
    return is_in(table, word);
}

/* The value of the option at `*word`, which moves on to its last word; NULL where there is none. */
static const char *value_at(char ***word) {
    const char *equals = strchr(**word, '=');
    if (equals)
        return equals + 1;
    return (*word)[1] ? *++*word : NULL;
}

/* Takes the options of ours that come first; false where one has no value. */
static bool take_ours(struct call *call, char ***word) {
    for (; **word && is_in(ours, **word); ++*word) {
        bool names = is_option(**word, "--mcsd-runtime");
        const char *value = value_at(word);
        if (!value)
            return false;
        if (names)
            call->runtime = value;
    }
    return true;
}

/* Takes the runtime's options before the command; false at one that is not known, or has no value. */
static bool take_theirs(struct call *call, char ***word) {
    for (; **word && ***word == '-'; ++*word) {
        const char *option = **word;
        if (is_in(without_value, option))
            continue;
        if (!is_in(with_value, option))
            return false;
        const char *value = value_at(word);
        if (!value)
            return false;
        if (is_option(option, "--root"))
            call->root = value;
        else if (is_option(option, "--log"))
            call->log = value;
        else if (is_option(option, "--log-format"))
            call->is_json = !strcmp(value, "json");
    }
    return true;
}

/* Whether this is `delete --force ID`, called from ID's bundle, where the first `delete` has left nothing to do. A
 * bundle that was replaced by that of a new start is no directory any more, and has no path. */
static bool is_clean_up(const struct call *call, char *const *word) {
    char path[PATH_MAX];
    if (!call->root || strcmp(word[0], "delete") || !word[1] || strcmp(word[1], "--force") || !word[2] || word[3])
        return false;
    const char *slash = getcwd(path, sizeof path) ? strrchr(path, '/') : NULL;
    if (!slash || !word[2][0] || strcmp(slash + 1, word[2]) || access(ENDED, F_OK))
        return false;
    int length = snprintf(path, sizeof path, "%s/%s", call->root, word[2]);
    return length > 0 && (size_t)length < sizeof path && access(path, F_OK) && errno == ENOENT;
}

/* Whether this command, with these words after it, needs nothing of mcsd. */
static bool is_passed_on(const struct call *call, char *const *word) {
    if (!*word || strchr(*word, '=') || !(is_in(commands, *word) || is_clean_up(call, word)))
        return false;
    while (*++word)
        if (!strncmp(*word, "--mcsd-", strlen("--mcsd-")))
            return false;
    return true;
}

static struct call understood(char **argv) {
    struct call call = {.passed = NULL, .runtime = "", .root = NULL, .log = NULL, .is_json = false};
    char **word = argv + 1;
    if (!take_ours(&call, &word))
        return call;
    char **passed = word;
    if (take_theirs(&call, &word) && is_passed_on(&call, word))
        call.passed = passed;
    return call;
}

/* The real runtime: the one that was named, or the first that is there; NULL where none may be executed. */
static const char *runtime_of(const struct call *call) {
    if (*call->runtime)
        return access(call->runtime, X_OK) ? NULL : call->runtime;
    for (const char *const *path = runtimes; *path; path++)
        if (!access(*path, X_OK))
            return *path;
    return NULL;
}

/* Becomes the runtime; comes back, with argv as it was, where that cannot be. */
static void pass_on(const struct call *call) {
    const char *runtime = runtime_of(call);
    if (!runtime)
        return;
    char **words = call->passed - 1;
    char *former = *words;
    *words = (char *)runtime; /* execv changes no word; its type is older than const */
    execv(runtime, words);
    *words = former;
}

/* Tells why the Python program cannot be executed, in the runtime's log and on standard error. */
static void tell(const struct call *call, const char *reason) {
    static const char text[] = "mcsd: the gate's program " PYTHON " cannot be executed";
    static const char hint[] = "install the package mcsd again";
    dprintf(STDERR_FILENO, "%s: %s; %s\n", text, reason, hint);
    int log = call->log ? open(call->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (log < 0)
        return; /* standard error has it */
    char stamp[sizeof "2026-01-01T00:00:00Z"] = "";
    time_t now = time(NULL);
    struct tm parts;
    if (gmtime_r(&now, &parts))
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &parts);
    if (call->is_json)
        dprintf(log, "{\"level\": \"error\", \"msg\": \"%s: %s; %s\", \"time\": \"%s\"}\n", text, reason, hint, stamp);
    else
        dprintf(log, "%s error: %s: %s; %s\n", stamp, text, reason, hint);
    close(log);
}

/* Becomes the Python program beside this one; comes back with errno where that cannot be. */
static void become_python(char **argv) {
    char path[PATH_MAX];
    const size_t most = sizeof path - sizeof PYTHON;
    ssize_t length = readlink("/proc/self/exe", path, most);
    if (length < 0)
        return;
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if ((size_t)length == most || !slash) {
        errno = ENAMETOOLONG;
        return;
    }
    memcpy(slash + 1, PYTHON, sizeof PYTHON);
    for (int left = ATTEMPTS;; left--) {
        execv(path, argv);
        if (errno != ENOENT || !left)
            return;
        nanosleep(&(const struct timespec){.tv_nsec = PAUSE}, NULL);
    }
}

int main(int argc, char **argv) {
    char *none[] = {"mcsd-gate", NULL};
    if (argc < 1)
        argv = none;
    struct call call = understood(argv);
    if (call.passed)
        pass_on(&call);
    become_python(argv);
    tell(&call, strerror(errno));
    return 1;
}
