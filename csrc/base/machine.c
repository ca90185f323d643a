/* Control groups grant a process less than the whole machine: in containers, services and batch systems.
 * /proc/self/cgroup names the process's group, in a single tree (version 2) or in one tree per controller (version 1).
 * Every group up to the root may set a limit, and the lowest one counts. In a container the root itself may be a group;
 * the mount tells. */
#define _GNU_SOURCE
#include "base/machine.h"
#include <limits.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __linux__
enum { LINE = 2 * PATH_MAX };

typedef struct machine_tree {
    const char *root, *controller;       /* version 1: "cpu" or "memory"; NULL: version 2 */
    char mount[PATH_MAX], top[PATH_MAX]; /* the mount point, and the group mounted there */
    char group[PATH_MAX];                /* of this process */
} machine_tree;

/* Is `name` one of the comma-separated words? */
static int machine_listed(const char *words, size_t size, const char *name) {
    size_t n = strlen(name);
    for (const char *p = words, *end = words + size; p < end;) {
        size_t word = 0;
        while (p + word < end && p[word] != ',' && p[word] != '\n' && p[word] != ' ') word++;
        if (word == n && !memcmp(p, name, n)) return 1;
        p += word + 1;
    }
    return 0;
}

static FILE *machine_open(const char *root, const char *path) {
    char name[LINE];
    if (snprintf(name, sizeof name, "%s%s", root, path) >= (int)sizeof name) return NULL;
    return fopen(name, "re");
}

/* A line of mountinfo: id, parent, device, root, mount point, options, ... - type, source, options. */
static int machine_is_mount(machine_tree *t, const char *line) {
    char type[32], options[512];
    const char *rest = strstr(line, " - ");
    if (!rest || sscanf(rest, " - %31s %*s %511s", type, options) != 2) return 0;
    if (strcmp(type, t->controller ? "cgroup" : "cgroup2")) return 0;
    if (t->controller && !machine_listed(options, strlen(options), t->controller)) return 0;
    return sscanf(line, "%*s %*s %*s %4095s %4095s", t->top, t->mount) == 2;
}

/* A line of /proc/self/cgroup: number:controllers:group, without controllers for version 2. */
static int machine_is_group(machine_tree *t, char *line) {
    char *names = strchr(line, ':'), *group = names ? strchr(names + 1, ':') : NULL;
    if (!group) return 0;
    size_t n = (size_t)(group - ++names);
    if (t->controller ? !machine_listed(names, n, t->controller) : n > 0) return 0;
    group[strcspn(group, "\n")] = 0;
    return snprintf(t->group, sizeof t->group, "%s", group + 1) < (int)sizeof t->group;
}

static int machine_find(machine_tree *t, const char *path, int mount) {
    char line[LINE];
    FILE *f = machine_open(t->root, path);
    int found = 0;
    while (f && !found && fgets(line, sizeof line, f))
        found = mount ? machine_is_mount(t, line) : machine_is_group(t, line);
    if (f) fclose(f);
    return found;
}

/* The group's folder under the mount, or the mount itself when the group lies outside what is mounted. */
static int machine_folder(const machine_tree *t, char *folder, size_t size) {
    size_t top = strcmp(t->top, "/") ? strlen(t->top) : 0;
    int inside = !strncmp(t->group, t->top, top) && (t->group[top] == '/' || !t->group[top]);
    inside &= !strstr(t->group, "/../") && strcmp(t->group, "/..") != 0;
    return snprintf(folder, size, "%s%s", t->mount, inside ? t->group + top : "") < (int)size;
}

/* The nth number in a file of the group; negative if there is none, as for "max". */
static double machine_number(const machine_tree *t, const char *folder, const char *name, int nth) {
    char path[LINE];
    double value = -1;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return -1;
    FILE *f = machine_open(t->root, path);
    if (!f) return -1;
    for (int i = 0; i <= nth && fscanf(f, "%lf", &value) == 1; i++)
        if (i < nth) value = -1;
    fclose(f);
    return value;
}

static double machine_share(const machine_tree *t, const char *folder) { /* CPU time granted, in processors */
    const char *quota_file = t->controller ? "cpu.cfs_quota_us" : "cpu.max";
    const char *period_file = t->controller ? "cpu.cfs_period_us" : "cpu.max";
    double quota = machine_number(t, folder, quota_file, 0),
           period = machine_number(t, folder, period_file, !t->controller);
    return quota > 0 && period > 0 ? quota / period : -1;
}

static double machine_bytes(const machine_tree *t, const char *folder) {
    double limit = machine_number(t, folder, t->controller ? "memory.limit_in_bytes" : "memory.max", 0);
    return limit >= 0 && limit < 0x1p60 ? limit : -1; /* version 1 writes a huge number for "no limit" */
}

/* The lowest limit of the group and its ancestors; negative if there is none. */
static double machine_least(const char *root, const char *controller,
                            double (*limit)(const machine_tree *, const char *)) {
    machine_tree t = {.root = root, .controller = controller};
    char folder[LINE];
    double least = -1;
    if (!machine_find(&t, "/proc/self/mountinfo", 1) || !machine_find(&t, "/proc/self/cgroup", 0)) return -1;
    if (!machine_folder(&t, folder, sizeof folder)) return -1;
    for (size_t n = strlen(folder), shortest = strlen(t.mount); n >= shortest; n--) {
        if (folder[n] && folder[n] != '/') continue;
        folder[n] = 0;
        double value = limit(&t, folder);
        if (value >= 0 && (least < 0 || value < least)) least = value;
        if (!n) break;
    }
    return least;
}

static double machine_least_of_both(const char *root, const char *controller,
                                    double (*limit)(const machine_tree *, const char *)) {
    double a = machine_least(root, NULL, limit), b = machine_least(root, controller, limit);
    return a < 0 || (b >= 0 && b < a) ? b : a;
}
#endif

int dn_machine_processors(const char *root) {
    int n = 0;
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
    if (n < 1) n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    double share = machine_least_of_both(root, "cpu", machine_share);
    if (share >= 0 && share <= n - 1) n = (int)share + (share > (int)share);
#else
    (void)root;
    n = (int)sysconf(_SC_NPROCESSORS_ONLN);
#endif
    return n < 1 ? 1 : n;
}

size_t dn_machine_memory(const char *root) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t bytes = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : 0;
#ifdef __linux__
    double limit = machine_least_of_both(root, "memory", machine_bytes);
    if (limit >= 0 && (!bytes || limit < (double)bytes)) bytes = (size_t)limit;
#else
    (void)root;
#endif
    return bytes;
}

int dn_machine_processor(void) {
#ifdef __linux__
    return sched_getcpu();
#else
    return -1;
#endif
}

int dn_machine_move_from(int processor) {
#ifdef __linux__
    cpu_set_t set, others;
    if (processor < 0 || processor >= CPU_SETSIZE || sched_getaffinity(0, sizeof set, &set)) return 0;
    others = set;
    CPU_CLR(processor, &others);
    if (!CPU_COUNT(&others) || sched_setaffinity(0, sizeof others, &others)) return 0;
    sched_setaffinity(0, sizeof set, &set);
    return 1;
#else
    (void)processor;
    return 0;
#endif
}
