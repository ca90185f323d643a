/* Where the CUDA plugin is searched for, and whether a file found there may be opened. */
#define _GNU_SOURCE
#include "backend/plugin_find.h"
#include "backend/plugin.h"
#include "base/sys.h"
#include <dlfcn.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLUGIN "libdarknet_cuda.so"

/* Are only the user and root able to write it? Anybody else who could would have us run their code. */
static int plugin_is_ours(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && (info.st_uid == 0 || info.st_uid == geteuid()) && !(info.st_mode & 022);
}

/* Open a plugin that was found rather than named, by its real path, if it and its folder pass plugin_is_ours. If a file
 * exists but is skipped or cannot be opened, `why` says so. */
static void *plugin_try(const char *path, char *why, size_t size) {
    char *file = realpath(path, NULL), *slash;
    if (!file) return NULL;
    int ours = plugin_is_ours(file);
    if ((slash = strrchr(file, '/'))) *slash = 0;
    ours = ours && plugin_is_ours(slash == file ? "/" : file);
    if (slash) *slash = '/';
    void *library = ours ? dlopen(file, RTLD_NOW | RTLD_LOCAL) : NULL;
    const char *reason = library || !ours ? NULL : dlerror();
    if (!ours && !*why)
        snprintf(why, size,
                 "%.400s is skipped, as others than its owner may write it or its folder, or it is another "
                 "user's (DARKNET_CUDA_PLUGIN may name it)",
                 file);
    else if (!library && !*why)
        snprintf(why, size, "%s", reason ? reason : path);
    free(file);
    return library;
}

/* Looks in the folder of `file`; `way`, which may contain a wildcard, leads from there to the plugin. */
static void *plugin_beside(const char *file, const char *way, char *why, size_t size) {
    char pattern[PATH_MAX];
    const char *slash = strrchr(file, '/');
    void *library = NULL;
    glob_t found;
    if (!slash ||
        snprintf(pattern, sizeof pattern, "%.*s/%s" PLUGIN, (int)(slash - file), file, way) >= (int)sizeof pattern)
        return NULL;
    if (!strchr(way, '*')) return plugin_try(pattern, why, size);
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc && !library; i++) library = plugin_try(found.gl_pathv[i], why, size);
    globfree(&found);
    return library;
}

/* The absolute paths of this library and of the program. The dynamic linker may know them by a path relative to what
 * was the current folder at the time; such a path is no place to look. */
static void plugin_neighbours(char library[PATH_MAX], char program[PATH_MAX]) {
    Dl_info self;
    *library = *program = 0;
    if (dladdr(&dn_cpu_ops, &self) && self.dli_fname && *self.dli_fname == '/') {
        char *real = realpath(self.dli_fname, NULL);
        if (real) snprintf(library, PATH_MAX, "%s", real);
        free(real);
    }
    ssize_t n = readlink("/proc/self/exe", program, PATH_MAX - 1);
    program[n > 0 ? n : 0] = 0;
}

/* Never opens the plugin by its bare name: an empty entry in LD_LIBRARY_PATH would mean the current folder. */
static void *plugin_search(char *why, size_t size) {
    static const char *const ways[] = {"", "../lib/", "../lib/python3*/site-packages/darknet_vae/lib/"};
    static const char *const folders[] = {"/usr/local/lib/" PLUGIN, "/usr/lib/" PLUGIN};
    char files[2][PATH_MAX];
    void *library = NULL;
    plugin_neighbours(files[0], files[1]);
    for (size_t f = 0; f < 2; f++)
        for (size_t w = 0; w < sizeof ways / sizeof *ways && !library; w++)
            library = plugin_beside(files[f], ways[w], why, size);
    for (size_t f = 0; f < sizeof folders / sizeof *folders && !library; f++)
        library = plugin_try(folders[f], why, size);
    return library;
}

static void *plugin_open(char *why, size_t size) {
    *why = 0;
    const char *named = getenv("DARKNET_CUDA_PLUGIN");
    if (named && *named) {
        void *library = dlopen(named, RTLD_NOW | RTLD_LOCAL);
        if (!library) snprintf(why, size, "DARKNET_CUDA_PLUGIN: %s", dlerror());
        return library;
    }
    void *library = plugin_search(why, size);
    if (!library && !*why)
        snprintf(why, size, "no " PLUGIN " was found (it is built where nvcc is; DARKNET_CUDA_PLUGIN may name one)");
    return library;
}

typedef struct plugin_row {
    const char *group, *name;
    int there;
} plugin_row;

/* An operation of the same group that the table does have. */
static const plugin_row *plugin_other(const plugin_row *rows, size_t n, const plugin_row *missing) {
    for (size_t i = 0; i < n; i++)
        if (rows[i].there && !strcmp(rows[i].group, missing->group)) return &rows[i];
    return NULL;
}

/* Returns 1, and a clause in `why`, when a table lacks an operation that every backend must have, or has only part of a
 * group. */
static int plugin_lacks(const dn_ops *ops, const char *path, char *why, size_t size) {
#define DN_OP(group, name, parameters, arguments) {#group, #name, ops->name != NULL},
#define DN_QUERY(group, type, name, parameters, arguments) {#group, #name, ops->name != NULL},
    const plugin_row rows[] = {
        {"REQUIRED", "finish", ops->finish != NULL},
        {"REQUIRED", "alloc", ops->alloc != NULL},
        {"REQUIRED", "free", ops->free != NULL},
        {"REQUIRED", "upload", ops->upload != NULL},
        {"REQUIRED", "download", ops->download != NULL},
        {"RECORD", "record_begin", ops->record_begin != NULL},
        {"RECORD", "record_end", ops->record_end != NULL},
        {"RECORD", "replay", ops->replay != NULL},
        {"RECORD", "record_free", ops->record_free != NULL},
#include "backend/backend_ops.h"
    };
    for (size_t i = 0, n = sizeof rows / sizeof *rows; i < n; i++) {
        int required = !strcmp(rows[i].group, "REQUIRED");
        const plugin_row *other = rows[i].there || required ? NULL : plugin_other(rows, n, &rows[i]);
        if (rows[i].there || (!required && !other)) continue;
        snprintf(why, size, "%s is incomplete: it has no '%s'%s%s%s", path, rows[i].name,
                 other ? ", which belongs to '" : "", other ? other->name : "", other ? "'" : "");
        return 1;
    }
    return 0;
}

/* The plugin's table and the number of its devices, or NULL and a clause in `why`. */
const dn_plugin *dn_plugin_find(int *devices, char *why, size_t size) {
    static const dn_plugin_host host = {dn_fail, dn_pool_slot, dn_alloc, dn_free};
    *devices = 0;
    void *library = plugin_open(why, size); /* stays open: operations in use must not vanish */
    if (!library) return NULL;
    dn_plugin_get_fn get = NULL;
    *(void **)&get = dlsym(library, DN_PLUGIN_SYMBOL);
    Dl_info info;
    const char *path = get && dladdr(*(void **)&get, &info) && info.dli_fname ? info.dli_fname : PLUGIN;
    if (!get) {
        const char *named = getenv("DARKNET_CUDA_PLUGIN");
        snprintf(why, size, "%s is no plugin of darknet-vae: it has no " DN_PLUGIN_SYMBOL,
                 named && *named ? named : PLUGIN);
        return NULL;
    }
    const dn_plugin *plugin = get(&host);
    if (!plugin || plugin->abi != DN_ABI) {
        snprintf(why, size, "%s is of another build (interface %u, wanted %u): build both together", path,
                 plugin ? plugin->abi : 0, DN_ABI);
        return NULL;
    }
    if (plugin_lacks(plugin->ops, path, why, size)) return NULL;
    *devices = plugin->devices(why, size);
    return *devices > 0 ? plugin : NULL;
}
