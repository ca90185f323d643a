/* The preview: the first rows and the network's output for them, written as files after every epoch. */
#include "base/sys.h"
#include "jobs/trainer.h"
#include <stdio.h>

enum { PREVIEW_ROWS = 10 };

size_t dn_preview_path(const char *preview_path, const char *what, int epoch, char *text, size_t size) {
    int n = snprintf(text, size, "%.*s_%s_%d.txt", (int)dn_path_stem(preview_path), preview_path, what, epoch);
    return n < 0 ? 0 : (size_t)n;
}

static dn_status preview_save(const dn_trainer *t, const char *what, const float *values, size_t rows, int columns) {
    size_t size = dn_preview_path(t->preview, what, t->epoch, NULL, 0) + 1;
    char *path = dn_alloc(size, 1);
    if (!path) return DN_E_MEMORY;
    dn_preview_path(t->preview, what, t->epoch, path, size);
    dn_status status = dn_csv_save(path, values, rows, (size_t)columns);
    dn_free(path);
    return status;
}

/* A preview that cannot be written, or that memory does not suffice for, must not end a training: it is a warning, once
 * per epoch. */
static dn_status preview_outcome(dn_trainer *t, dn_status status, int *failed) {
    if (status != DN_E_IO && status != DN_E_MEMORY) return status;
    if (!*failed) dn_trainer_warn(t, "the preview of epoch %d is not written: %s", t->epoch, dn_error());
    *failed = 1;
    return DN_OK;
}

static dn_status preview_write(dn_trainer *t) {
    dn_net *net = t->net;
    size_t steps = (size_t)dn_net_steps(net), some = PREVIEW_ROWS < steps ? steps : PREVIEW_ROWS / steps * steps;
    dn_rows first = t->feed.all;
    first.n = t->feed.n < some ? t->feed.n : some;
    float *out = dn_alloc(first.n, (size_t)net->data_columns * sizeof *out);
    int failed = 0;
    dn_status made = out ? dn_net_reconstruct(net, &first, out) : DN_E_MEMORY;
    dn_status status = preview_outcome(t, made, &failed);
    if (status == DN_OK) status = preview_outcome(t, preview_save(t, "input", first.x, first.n, net->inputs), &failed);
    if (status == DN_OK && made == DN_OK)
        status = preview_outcome(t, preview_save(t, "output", out, first.n, net->data_columns), &failed);
    dn_free(out);
    return status;
}

dn_status dn_trainer_preview(dn_trainer *t) {
    if (t->preview && t->preview_due) DN_TRY(preview_write(t));
    t->preview_due = 0;
    return DN_OK;
}
