/* Bundled files, and files that will be written. */
#include "base/nearest.h"
#include "cli/cli.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

/* ---- bundled files ----
 *
 * The networks and the digits are in one of several places: where DARKNET_SHARE says, beside the
 * binary in a source tree, in PREFIX/share/darknet-vae, or in the Python package whose `lib` holds the binary. */

static int program_name(char text[CLI_PATH]) {
#ifdef __APPLE__
    char name[CLI_PATH]; /* may be a link, or the path may contain some */
    uint32_t size = sizeof name;
    char *real = _NSGetExecutablePath(name, &size) ? NULL : realpath(name, NULL);
    int fits = real && snprintf(text, CLI_PATH, "%s", real) < CLI_PATH;
    free(real);
    return fits;
#else
    ssize_t n = readlink("/proc/self/exe", text, CLI_PATH - 1);
    if (n <= 0) return 0;
    text[n] = 0;
    return 1;
#endif
}

static int program_folder(char text[CLI_PATH]) {
    if (!program_name(text)) return 0;
    char *slash = strrchr(text, '/');
    if (!slash) return 0;
    *slash = 0;
    return 1;
}

static int is_folder(const char *path) {
    struct stat info;
    return !stat(path, &info) && S_ISDIR(info.st_mode);
}

/* The index-th place, 0, 1, ...; returns 0 after the last. An empty text is a place that does not exist. */
static int place(int index, char text[CLI_PATH]) {
    static const char *const beside[] = {"cfg", "data", "../share/darknet-vae", "../../darknet_vae/share"};
    char folder[CLI_PATH];
    const char *share = getenv("DARKNET_SHARE");
    *text = 0;
    if (index == 0 && share) snprintf(text, CLI_PATH, "%s", share);
    if (index == 0) return 1;
    if (index > (int)(sizeof beside / sizeof *beside) || !program_folder(folder)) return 0;
    const char *below = beside[index - 1];
    for (; !strncmp(below, "../", 3); below += 3) { /* the folder's name is shown, and has no links */
        char *slash = strrchr(folder, '/');
        if (slash) *slash = 0;
    }
    if (snprintf(text, CLI_PATH, "%s/%s", folder, below) >= CLI_PATH || !is_folder(text)) *text = 0;
    return 1;
}

const char *cli_find(const char *name, char text[CLI_PATH]) {
    char folder[CLI_PATH];
    if (strchr(name, '/') || !strcmp(name, "-") || !access(name, F_OK)) return name;
    for (int i = 0; place(i, folder); i++)
        if (*folder && snprintf(text, CLI_PATH, "%s/%s", folder, name) < CLI_PATH && !access(text, R_OK)) return text;
    return name;
}

static int is_cfg(const char *name) {
    size_t n = strlen(name);
    return n > 4 && !strcmp(name + n - 4, ".cfg");
}

static int compare_names(const void *a, const void *b) { return strcmp(a, b); }

/* The names, from the first place that has any. */
static int bundled_names(char names[64][64]) {
    char folder[CLI_PATH];
    int n = 0;
    for (int i = 0; !n && place(i, folder); i++) {
        DIR *dir = *folder ? opendir(folder) : NULL;
        for (struct dirent *e; dir && n < 64 && (e = readdir(dir));)
            if (is_cfg(e->d_name) && strlen(e->d_name) < sizeof names[0]) strcpy(names[n++], e->d_name);
        if (dir) closedir(dir);
    }
    qsort(names, (size_t)n, sizeof names[0], compare_names);
    return n;
}

void cli_bundled(char *text, size_t size) {
    char names[64][64];
    int n = bundled_names(names), column = 0;
    *text = 0;
    for (int i = 0; i < n; i++) {
        size_t at = strlen(text);
        int wraps = column + (int)strlen(names[i]) > 74;
        int added = snprintf(text + at, size - at, "%s%s%s", i ? "," : "", !i ? "" : wraps ? "\n  " : " ", names[i]);
        column = wraps ? (int)strlen(names[i]) : column + added;
    }
}

const char *cli_bundled_like(const char *name, char text[CLI_PATH]) {
    char names[64][64];
    int n = bundled_names(names);
    dn_nearest nearest;
    dn_nearest_begin(&nearest, name, strlen(name));
    for (int i = 0; i < n; i++) dn_nearest_try(&nearest, names[i], strlen(names[i]));
    if (!nearest.found) return NULL;
    snprintf(text, CLI_PATH, "%s", nearest.found);
    return text;
}

/* ---- files that will be written ---- */

int cli_ends_in(const char *path, const char *end) {
    size_t n = strlen(path), m = strlen(end);
    return n > m && !strcmp(path + n - m, end);
}

int cli_is_model_name(const char *path) { return cli_ends_in(path, ".safetensors"); }

int cli_is_file(const char *path) {
    struct stat info;
    return strcmp(path, "-") && (stat(path, &info) || S_ISREG(info.st_mode));
}

/* The folder that contains a path; returns its length in the path. */
static size_t folder_of(const char *path, struct stat *info) {
    char text[CLI_PATH];
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash + 1 - path) : 0;
    int fits = snprintf(text, sizeof text, "%.*s", size ? (int)size : 1, size ? path : ".") < (int)sizeof text;
    if (!fits || stat(text, info)) *info = (struct stat){0};
    return size;
}

const char *cli_base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int cli_same_file(const char *a, const char *b) {
    struct stat x, y;
    if (!strcmp(a, "-") || !strcmp(b, "-")) return 0;
    int there = !stat(a, &x);
    if (there != !stat(b, &y)) return 0;
    if (there) return S_ISREG(x.st_mode) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
    const char *name = a + folder_of(a, &x), *other = b + folder_of(b, &y);
    return x.st_ino && x.st_dev == y.st_dev && x.st_ino == y.st_ino && !strcmp(name, other);
}

int cli_writable(const cli_args *args, const char *option, const char *path) {
    const char *const inputs[] = {args->cfg, args->data, args->valid,
                                  strcmp(option, "checkpoint") ? args->resume : NULL};
    int again = !strcmp(option, "save") && cli_is_model_name(path) && args->cfg && dn_is_model_file(args->cfg);
    for (int i = again; i < 4; i++) /* a model that is trained further may take its own place */
        if (inputs[i] && !access(path, F_OK) && cli_same_file(path, inputs[i]))
            return cli_usage(args, "-%s %s would overwrite %s, which is read", option, path, inputs[i]);
    if (!strcmp(option, "save") && is_cfg(path))
        return cli_usage(args, "-save %s is the name of a cfg: weights are saved as F.weights, or F.safetensors", path);
    if (strcmp(option, "save") && args->weights && cli_same_file(path, args->weights))
        return cli_usage(args, "-%s %s would overwrite the weights, which are read", option, path);
    return cli_check(args, dn_writable(path));
}
