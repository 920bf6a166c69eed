/* mcsd-gate: the OCI runtime that Docker calls. The gate itself is the Python program mcsd-gate.py, in the same
 * directory. This one stands in front of it, so that calls which need nothing of mcsd do not wait for an interpreter.
 *
 * Theory of operation
 *
 * A call has the form
 *
 *     mcsd-gate [OPTION OF OURS]... [OPTION OF THE RUNTIME]... COMMAND [WORD]...
 *
 * The real runtime is executed at once, in place of this program, if all of this holds:
 *
 * - every option before the command is in one of the tables below, and has its value if it takes one;
 * - the command is in `commands`; or it is the `delete --force` by which containerd cleans up after a container, the
 *   Python program has noted in the bundle that nothing is left to do, and the runtime has no container of that name;
 * - no word after the command could be an option of ours;
 * - there is a runtime that may be executed.
 *
 * All other calls go to the Python program, whose parser alone decides what such a call means. So an option or command
 * that this program does not know only makes the call slower. For the calls that go to the runtime, the Python program
 * would have executed the same runtime with the same words; for a clean-up, after repeating what is done already. Tests
 * compare the two programs.
 *
 * What always holds:
 *
 * - Words, environment, descriptors, current directory and signals reach the runtime unchanged: nothing is copied,
 *   opened, allocated or set before the exec. As options of ours come first, the words for the runtime are the end of
 *   `argv`. The runtime's path is written over the word before them: the last one of ours, or `argv[0]`.
 * - The environment is not used to decide anything. The Python program is the one in this file's own directory.
 * - If the runtime cannot be executed, the Python program gets the original call. It fails at the same point, and
 *   reports why.
 *
 * Errors: this program fails by itself only if the Python program cannot be executed. It then exits with status 1, and
 * writes the reason to the runtime's log, where Docker looks for the reason of a failed start, and to standard error.
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
#define ENDED "mcsd-ended" /* the Python program's note in the bundle */
#define ATTEMPTS 30 /* to execute PYTHON: while a package is replaced, it may be missing for a moment */
#define PAUSE 100000000L /* between two attempts, in nanoseconds */

static const char *const runtimes[] = {MCSD_RUNTIMES, NULL};

/* The commands of Docker and containerd that need nothing of the gate. */
static const char *const commands[] = {"events", "features", "kill",  "list",  "pause", "ps",
                                       "resume", "start",    "state", "update", NULL};

static const char *const ours[] = {"--mcsd-configuration", "--mcsd-runtime", "--mcsd-socket", NULL};
static const char *const with_value[] = {"--cgroup-manager", "--criu", "--log",      "--log-format",
                                         "--log-level",      "--root", "--rootless", NULL};
static const char *const without_value[] = {"--debug", "--systemd-cgroup", NULL};

/* A call, as far as it was understood. */
struct call {
    char **passed;       /* the first word for the runtime, inside argv; NULL: the Python program decides */
    const char *runtime; /* of --mcsd-runtime, "" if it is not given */
    const char *root;    /* of --root, where the runtime keeps the state of containers; NULL if it is not given */
    const char *log;     /* of --log, where the runtime reports errors; NULL if it is not given */
    bool is_json;        /* whether --log-format is json */
};

/* Tells whether a word, up to its "=" if it has one, is in the table. */
static bool is_in(const char *const *table, const char *word) {
    size_t length = strcspn(word, "=");
    for (; *table; table++)
        if (strlen(*table) == length && !memcmp(*table, word, length))
            return true;
    return false;
}

/* Tells whether a word is this option, with or without "=" and a value. */
static bool is_option(const char *word, const char *name) {
    const char *const table[] = {name, NULL};
    return is_in(table, word);
}

/* Returns the value of the option at `*word`, and moves `*word` to the last word of the option; NULL: it has none. */
static const char *value_at(char ***word) {
    const char *equals = strchr(**word, '=');
    if (equals)
        return equals + 1;
    return (*word)[1] ? *++*word : NULL;
}

/* Takes our options, which come first; false if one has no value. */
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

/* Takes the runtime's options before the command; false if one is not known, or has no value. */
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

/* Tells whether this is `delete --force ID`, called in ID's bundle, after a `delete` that left nothing to do. If the
 * bundle has been replaced by that of a new start, the current directory is a removed one, and getcwd() fails. */
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

/* Tells whether this command, with the words after it, needs nothing of mcsd. */
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

/* Returns the path of the real runtime: the one that was named, or else the first that may be executed; NULL: none. */
static const char *runtime_of(const struct call *call) {
    if (*call->runtime)
        return access(call->runtime, X_OK) ? NULL : call->runtime;
    for (const char *const *path = runtimes; *path; path++)
        if (!access(*path, X_OK))
            return *path;
    return NULL;
}

/* Executes the runtime; returns, with argv as it was, only if that fails. */
static void pass_on(const struct call *call) {
    const char *runtime = runtime_of(call);
    if (!runtime)
        return;
    char **words = call->passed - 1;
    char *former = *words;
    *words = (char *)runtime; /* execv() changes no word; its declaration only lacks the const */
    execv(runtime, words);
    *words = former;
}

/* Reports why the Python program cannot be executed, in the runtime's log and on standard error. */
static void tell(const struct call *call, const char *reason) {
    static const char text[] = "mcsd: the gate's program " PYTHON " cannot be executed";
    static const char hint[] = "install the package mcsd again";
    dprintf(STDERR_FILENO, "%s: %s; %s\n", text, reason, hint);
    int log = call->log ? open(call->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (log < 0)
        return; /* it is on standard error */
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

/* Executes the Python program beside this one; returns, with errno set, only if that fails. */
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
