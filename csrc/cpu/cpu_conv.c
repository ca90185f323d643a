/* Convolutions without im2col. All three passes are products whose left side is gathered from images by two tables of
 * offsets (isa_conv.c):
 *
 *   forward    y[pixel][filter]  = sum over taps    of x[pixel + tap]  w[tap][filter]
 *   data       dx[pixel][channel] = sum over taps   of dy[pixel - tap] w[tap][channel], for each of stride^2 phases:
 *              pixels with the same remainder by the stride meet the same taps
 *   weights    dw[tap][filter]   = sum over pixels  of x[tap + pixel]  dy[pixel][filter]
 *
 * Results with few channels per group, as in depthwise convolutions and at the image end of an autoencoder, have their
 * vectors along the pixels of a frame instead; a frame then keeps pixels with the same remainder by the stride
 * together.
 *
 * Images stay in CHW. A map with padding is copied into a frame with zero borders, the right side into panels, and
 * products are transposed back in registers. Work is cut into chunks, by the shape alone: a few images, or bands of
 * one, times panels; weight gradients are summed in a fixed number of parts that are added in order. */
#include "cpu/cpu_conv_kernels.h"
#include "cpu/cpu_ops.h"
#include "net/convolution.h"
#include <limits.h>
#include <stdatomic.h>
#include <string.h>

enum {
    CHUNK = 4000000,       /* flops of a chunk: about 50 us */
    FRAME = 1 << 17,       /* floats of a frame that fits a core's second-level cache */
    MAX_STRIDE = 8,        /* above this or the next limit, the composed passes are used */
    MAX_OFFSETS = 1 << 24, /* floats of a frame, entries of a table */
    MAX_SLOTS = 256,
    SUM_PIXELS = 256, /* pixels over which a weight gradient is summed in registers */
};

static size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }
static size_t padded(size_t floats) { return round_up(floats, 16); }
static int least(int a, int b) { return a < b ? a : b; }
static int most(int a, int b) { return a > b ? a : b; }
static int ceil_div(int a, int b) { return (a + b - 1) / b; }
/* Do the channels fill no more than half a vector? */
static int is_narrow(const dn_cpu_conv_kernels *k, int channels) { return channels * 2 <= k->width; }

/* ---- scratch of the chunks in flight: no more of them than threads ---- */

typedef struct slots {
    float *memory;
    size_t floats; /* of one chunk */
    int count;
    atomic_char busy[MAX_SLOTS];
} slots;

static void slots_init(slots *s, float *memory, size_t floats, int count) {
    s->memory = memory, s->floats = floats, s->count = count;
    for (int i = 0; i < count; i++) atomic_init(&s->busy[i], 0);
}
static int slots_claim(slots *s) {
    for (int i = 0;; i = (i + 1) % s->count)
        if (!atomic_exchange(&s->busy[i], 1)) return i;
}
static void slots_return(slots *s, int slot) { atomic_store(&s->busy[slot], 0); }
static int slots_wanted(dn_pool *pool) { return least(dn_pool_threads(pool), MAX_SLOTS); }

/* ---- frames ---- */

/* A window on the maps of a row and group: rows and columns from (y, x) on, zero outside the maps. `whole`: the window
 * lies inside the maps and is read in place. */
typedef struct frame {
    int channels, height, width; /* of the maps */
    int rows, cols;              /* of the window */
    int x;
    int whole, pitch, area; /* distance between lines and between maps of the window */
    int split, plane;       /* > 1: a map's pixels are sorted by remainder, into split^2 planes of `plane` values */
} frame;

static size_t frame_floats(const frame *f) { return f->whole ? 0 : (size_t)f->channels * f->area; }
static int frame_at(const frame *f, int c, int y, int x) {
    return c * f->area + (y % f->split * f->split + x % f->split) * f->plane + y / f->split * f->pitch + x / f->split;
}

/* split 0: not needed, so the maps may be read in place. */
static void frame_settle(frame *f, int y, int rows_of_all_bands, int split) {
    f->whole = !split && y >= 0 && f->x >= 0 && y + rows_of_all_bands <= f->height && f->x + f->cols <= f->width;
    f->split = most(1, split);
    f->pitch = f->whole ? f->width : ceil_div(f->cols, f->split);
    f->plane = f->pitch * ceil_div(f->rows, f->split);
    f->area = f->whole ? f->height * f->width : f->plane * f->split * f->split;
}

/* Copy the window's values from line y on; its border is already zero. `from` is the first of `channels` maps. */
static void frame_fill(const dn_cpu_conv_kernels *k, const frame *f, const float *from, int y, int channels,
                       float *to) {
    int first = most(0, -y), last = least(f->rows, f->height - y), left = most(0, -f->x);
    int n = least(f->cols, f->width - f->x) - left;
    if (n <= 0 || last <= first) return;
    for (int c = 0; c < channels; c++) {
        const float *map = from + ((size_t)c * f->height + y + first) * f->width + f->x + left;
        if (f->split == 1) {
            k->copy_lines(last - first, n, map, f->width, to + frame_at(f, c, first, left), f->pitch);
            continue;
        }
        for (int r = first; r < last; r++, map += f->width)
            for (int b = 0; b < f->split; b++) {
                float *part = to + frame_at(f, c, r, left + b);
                for (int i = 0; b + i * f->split < n; i++) part[i] = map[b + i * f->split];
            }
    }
}

/* ---- forward and data: pixels of the result times panels of weights ---- */

typedef struct phase {
    int first, k;         /* its rows in a panel */
    int y, x, tall, wide; /* first pixel in a band, number of lines, pixels per line */
    int pixels;           /* where its pixels begin in the tables */
} phase;

typedef struct gather {
    const dn_cpu_conv_kernels *kernels;
    const dn_conv_layer *layer;
    int data, narrow;        /* this is the data pass; vectors run along pixels */
    int k, n, height, width; /* taps; channels and size of the result, for one group */
    int band, n_bands, step; /* result lines per band; distance between lines of a phase */
    int band_y, y;           /* source lines from one band to the next, and where the first band begins */
    frame source;
    int n_phases, n_panels;
    phase phases[MAX_STRIDE * MAX_STRIDE];
    size_t units, per_chunk; /* bands of all rows and groups */
    int ranges;              /* number of parts the panels are cut into */
    size_t panel_floats, tile_floats, slot_floats, floats;
    size_t flat; /* narrow: distance between channels of a tile */
    /* in the workspace: */
    float *panels;
    int *taps, *from, *to; /* offsets in the window by tap and by pixel; pixel number in the band */
    int *rows;             /* data: the row of a panel for a tap of the kernel */
    slots scratch;
    int add;
    const float *x, *w;
    float *y_out;
} gather;

static double chunks_of(double flops) { return flops < CHUNK ? 1 : flops / CHUNK; }

/* The lines of the window needed for `lines` lines of the result, for all bands or for one. */
static int gather_lines(const gather *g, int lines) {
    const dn_conv_shape *s = &g->layer->group;
    int reach = (s->size - 1) / s->stride;
    return g->data ? (s->padding % s->stride + lines - 1) / s->stride + 1 + reach : (lines - 1) * s->stride + s->size;
}

static void gather_phases(gather *g) {
    const dn_conv_shape *s = &g->layer->group;
    if (!g->data) {
        g->phases[0] = (phase){0, g->k, 0, 0, g->band, g->width, 0};
        g->n_phases = 1;
        return;
    }
    int first = 0, pixels = 0;
    for (int a = 0; a < s->stride; a++)
        for (int b = 0; b < s->stride; b++) {
            int ny = s->size > a ? ceil_div(s->size - a, s->stride) : 0,
                nx = s->size > b ? ceil_div(s->size - b, s->stride) : 0;
            int y = (a + s->stride - s->padding % s->stride) % s->stride;
            int x = (b + s->stride - s->padding % s->stride) % s->stride;
            phase p = {first,
                       g->layer->filters * ny * nx,
                       y,
                       x,
                       g->band > y ? ceil_div(g->band - y, s->stride) : 0,
                       g->width > x ? ceil_div(g->width - x, s->stride) : 0,
                       pixels};
            g->phases[g->n_phases++] = p;
            first += p.k, pixels += p.tall * p.wide;
        }
}

/* Returns 0 when the kernels do not handle the shape. */
static int gather_plan(gather *g, dn_pool *pool, const dn_conv_layer *l, size_t rows, int data) {
    const dn_conv_shape *s = &l->group;
    int reach = (s->size - 1) / s->stride, channels = data ? l->filters : s->channels;
    memset(g, 0, offsetof(gather, scratch));
    g->kernels = dn_cpu_conv_kernels_get(), g->layer = l, g->data = data;
    size_t taps = (size_t)channels * s->size * s->size;
    if (s->stride > MAX_STRIDE || s->size > 1 << 12 || s->padding > 1 << 12 || taps > MAX_OFFSETS) return 0;
    g->k = (int)taps, g->n = data ? s->channels : l->filters;
    g->height = data ? s->height : s->out_height, g->width = data ? s->width : s->out_width;
    g->step = data ? s->stride : 1;
    g->y = data ? s->padding / s->stride - reach : -s->padding;
    g->source = (frame){.channels = channels,
                        .height = data ? s->out_height : s->height,
                        .width = data ? s->out_width : s->width,
                        .cols = gather_lines(g, g->width),
                        .x = g->y};
    /* as many lines as fit the cache, but enough pixels to be worth one pass over the weights */
    int room = most(FRAME / most(channels * g->source.cols, 1) - s->size, 1);
    int lines = data ? room * s->stride : room / s->stride;
    lines = least(lines, FRAME / (g->width * g->kernels->panel));
    lines = most(lines, ceil_div(96, g->width));
    lines = (int)round_up((size_t)lines, (size_t)g->step);
    g->n_bands = ceil_div(g->height, least(lines, g->height));
    g->band = least((int)round_up((size_t)ceil_div(g->height, g->n_bands), (size_t)g->step), g->height);
    g->n_bands = ceil_div(g->height, g->band);
    g->band_y = data ? g->band / s->stride : g->band * s->stride;
    g->source.rows = gather_lines(g, g->band);
    if ((size_t)channels * (size_t)g->source.rows * (size_t)g->source.cols > MAX_OFFSETS) return 0;
    if ((size_t)g->band * (size_t)g->width > MAX_OFFSETS) return 0;
    g->narrow = is_narrow(g->kernels, g->n);
    frame_settle(&g->source, g->y, gather_lines(g, g->height), !g->narrow ? 0 : data ? 1 : s->stride);
    gather_phases(g);
    g->n_panels = ceil_div(g->n, g->kernels->panel);
    g->units = rows * (size_t)l->groups * (size_t)g->n_bands;
    double pixels = (double)g->band * g->width, flops = 2 * pixels * g->n * g->k / (data ? s->stride * s->stride : 1);
    flops += 30 * (pixels * g->n + (double)channels * g->source.rows * g->source.cols);
    double wanted = chunks_of(flops * (double)g->units);
    g->per_chunk = wanted < (double)g->units ? (size_t)((double)g->units / wanted) : 1;
    g->per_chunk = (g->units + dn_chunks(g->units, g->per_chunk) - 1) / dn_chunks(g->units, g->per_chunk);
    g->ranges = wanted < (double)g->units ? 1 : least(g->n_panels, (int)(wanted / (double)g->units / 2) + 1);
    g->panel_floats = (size_t)g->k * (g->narrow ? g->n : g->kernels->panel);
    g->tile_floats = round_up((size_t)g->band * g->width, g->kernels->width) * g->kernels->panel;
    g->flat = (size_t)g->source.plane + DN_NARROW;
    if (g->narrow) g->tile_floats = g->flat * g->n;
    g->slot_floats = padded(frame_floats(&g->source) + DN_NARROW) + padded(g->tile_floats);
    g->floats = padded(g->panel_floats * g->n_panels * l->groups) + padded((size_t)g->k) +
                padded((size_t)s->size * s->size) + 2 * padded((size_t)g->band * g->width) +
                g->slot_floats * (size_t)slots_wanted(pool);
    return 1;
}

static void gather_tables(gather *g) {
    const dn_conv_shape *s = &g->layer->group;
    const frame *f = &g->source;
    if (!g->data) {
        int *tap = g->taps;
        for (int c = 0; c < s->channels; c++)
            for (int ky = 0; ky < s->size; ky++)
                for (int kx = 0; kx < s->size; kx++) *tap++ = frame_at(f, c, ky, kx);
        for (int y = 0, i = 0; y < g->band; y++)
            for (int x = 0; x < g->width; x++, i++)
                g->from[i] = frame_at(f, 0, y * s->stride, x * s->stride), g->to[i] = i;
        return;
    }
    int reach = (s->size - 1) / s->stride, rest = s->padding % s->stride;
    for (int a = 0, i = 0; a < s->stride; a++)
        for (int b = 0; b < s->stride; b++, i++) {
            const phase *p = &g->phases[i];
            int *tap = g->taps + p->first, at = p->pixels, row = p->first;
            for (int ky = a; ky < s->size; ky += s->stride)
                for (int kx = b; kx < s->size; kx += s->stride, row += f->channels) {
                    g->rows[ky * s->size + kx] = row;
                    for (int c = 0; c < f->channels; c++)
                        *tap++ = frame_at(f, c, reach - ky / s->stride, reach - kx / s->stride);
                }
            for (int y = p->y; y < g->band; y += s->stride)
                for (int x = p->x; x < g->width; x += s->stride, at++) {
                    g->from[at] = frame_at(f, 0, (y + rest) / s->stride, (x + rest) / s->stride);
                    g->to[at] = y * g->width + x;
                }
        }
}

/* Panel `index`, counted over all groups: its columns are channels of the result. */
static void gather_pack(void *context, size_t index) {
    const gather *g = context;
    const dn_conv_shape *s = &g->layer->group;
    int group = (int)(index / g->n_panels), column = (int)(index % g->n_panels) * g->kernels->panel;
    int n = least(g->n - column, g->kernels->panel), square = s->size * s->size;
    const float *w = g->w + (size_t)group * g->layer->filters * s->channels * square;
    float *panel = g->panels + index * g->panel_floats;
    if (g->narrow) { /* one "panel": (n, k) as it is, in the data pass with its rows reordered */
        for (int i = 0; i < g->n; i++)
            for (int p = 0; p < g->k; p++) {
                int f = p / square, tap = p % square;
                if (g->data)
                    panel[i * g->k + g->rows[tap] + f] = w[((size_t)f * s->channels + i) * square + tap];
                else
                    panel[i * g->k + p] = w[(size_t)i * g->k + p];
            }
        return;
    }
    if (!g->data) {
        g->kernels->to_panel(n, g->k, w + (size_t)column * g->k, g->k, NULL, panel);
        return;
    }
    for (int f = 0; f < g->layer->filters; f++)
        g->kernels->to_panel(n, square, w + ((size_t)f * s->channels + column) * square, square, g->rows,
                             panel + (size_t)f * g->kernels->panel);
}

/* Compute a band of `lines` lines from the window into y, which points at the band's first value of the group's first
 * channel. */
static void gather_wide(const gather *g, const float *window, const float *panels, int lines, int range, float *tile,
                        float *y) {
    size_t map = (size_t)g->height * g->width;
    int panel = g->kernels->panel;
    for (int p = range * g->n_panels / g->ranges; p < (range + 1) * g->n_panels / g->ranges; p++) {
        const float *right = panels + p * g->panel_floats;
        int n = least(g->n - p * panel, panel);
        for (int i = 0; i < g->n_phases; i++) {
            const phase *ph = &g->phases[i];
            int tall = lines > ph->y ? ceil_div(lines - ph->y, g->step) : 0;
            g->kernels->multiply(tall * ph->wide, n, ph->k, window, g->from + ph->pixels, g->taps + ph->first,
                                 right + (size_t)ph->first * panel, 0, tile, g->to + ph->pixels);
        }
        g->kernels->from_panel(n, lines * g->width, tile, g->add, y + (size_t)p * panel * map, (ptrdiff_t)map);
    }
}

static void gather_narrow(const gather *g, const float *window, const float *w, int lines, float *tile, float *y) {
    int pitch = g->source.pitch;
    for (int i = 0; i < g->n_phases; i++) {
        const phase *ph = &g->phases[i];
        int tall = lines > ph->y ? ceil_div(lines - ph->y, g->step) : 0;
        if (!tall || !ph->wide) continue;
        g->kernels->narrow(g->n, (tall - 1) * pitch + ph->wide, ph->k, w + ph->first, g->k,
                           window + g->from[ph->pixels], g->taps + ph->first, tile, (ptrdiff_t)g->flat);
        for (int c = 0; c < g->n; c++) {
            const float *from = tile + c * g->flat;
            float *to = y + ((size_t)c * g->height + ph->y) * g->width + ph->x;
            if (g->step == 1 && !g->add) {
                g->kernels->copy_lines(tall, ph->wide, from, pitch, to, g->width);
                continue;
            }
            for (int t = 0; t < tall; t++, from += pitch, to += (size_t)g->step * g->width)
                if (g->add)
                    for (int u = 0; u < ph->wide; u++) to[u * g->step] += from[u];
                else
                    for (int u = 0; u < ph->wide; u++) to[u * g->step] = from[u];
        }
    }
}

static void gather_chunk(void *context, size_t chunk) {
    gather *g = context;
    const frame *f = &g->source;
    int range = (int)(chunk % g->ranges), slot = slots_claim(&g->scratch);
    float *window = g->scratch.memory + (size_t)slot * g->scratch.floats,
          *tile = window + padded(frame_floats(f) + DN_NARROW);
    size_t from = chunk / g->ranges * g->per_chunk,
           end = from + g->per_chunk < g->units ? from + g->per_chunk : g->units;
    for (size_t unit = from; unit < end; unit++) {
        size_t image = unit / g->n_bands, group = image % g->layer->groups;
        int band = (int)(unit % g->n_bands), line = band * g->band, lines = least(g->band, g->height - line);
        int top = g->y + band * g->band_y;
        const float *x = g->x + image * f->channels * f->height * f->width;
        const float *panels = g->panels + group * g->n_panels * g->panel_floats;
        float *y = g->y_out + (image * g->n * g->height + line) * g->width;
        if (!f->whole) {
            if (unit == from || g->n_bands > 1) memset(window, 0, (frame_floats(f) + DN_NARROW) * sizeof *window);
            frame_fill(g->kernels, f, x, top, f->channels, window);
        }
        if (g->narrow)
            gather_narrow(g, window, panels, lines, tile, y);
        else
            gather_wide(g, f->whole ? x + (size_t)top * f->width + f->x : window, panels, lines, range, tile, y);
    }
    slots_return(&g->scratch, slot);
}

static void gather_run(gather *g, dn_pool *pool, int add, const float *x, const float *w, float *y, float *workspace) {
    size_t pixels = padded((size_t)g->band * g->width), n_panels = (size_t)g->n_panels * g->layer->groups;
    g->add = add, g->x = x, g->w = w, g->y_out = y;
    g->panels = workspace, workspace += padded(g->panel_floats * n_panels);
    g->taps = (int *)workspace, workspace += padded((size_t)g->k);
    g->rows = (int *)workspace, workspace += padded((size_t)g->layer->group.size * g->layer->group.size);
    g->from = (int *)workspace, g->to = (int *)workspace + pixels, workspace += 2 * pixels;
    slots_init(&g->scratch, workspace, g->slot_floats, slots_wanted(pool));
    gather_tables(g);
    int large = g->panel_floats * n_panels > DN_GRAIN;
    dn_pool_run(large ? pool : NULL, n_panels, gather_pack, g);
    dn_pool_run(pool, dn_chunks(g->units, g->per_chunk) * g->ranges, gather_chunk, g);
}

/* ---- weights: taps times pixels, summed over pixels ---- */

typedef struct scatter {
    const dn_cpu_conv_kernels *kernels;
    const dn_conv_layer *layer;
    int k, band, n_bands, images; /* taps; lines of y in a band; images in a piece when a band is a whole map */
    frame source;
    size_t units, pieces, parts;  /* rows times groups times bands; runs of `images` units; sums kept apart */
    int n_panels, ranges, splits; /* of panels, of channels */
    int narrow;
    size_t panel_floats, right_floats, slot_floats, floats;
    size_t step, flat; /* between images in the window; narrow: between channels of dy */
    float *sums;
    int *taps, *pixels;
    slots scratch;
    size_t rows;
    const float *x, *dy;
    float *dw;
} scatter;

static int scatter_plan(scatter *g, dn_pool *pool, const dn_conv_layer *l, size_t rows) {
    const dn_conv_shape *s = &l->group;
    memset(g, 0, offsetof(scatter, scratch));
    g->kernels = dn_cpu_conv_kernels_get(), g->layer = l, g->rows = rows;
    int panel = g->kernels->panel;
    size_t taps = (size_t)s->channels * s->size * s->size, map = (size_t)s->channels * s->height * s->width;
    if (s->size > 1 << 12 || s->padding > 1 << 12 || taps > MAX_OFFSETS) return 0;
    g->k = (int)taps;
    g->source = (frame){.channels = s->channels,
                        .height = s->height,
                        .width = s->width,
                        .cols = (s->out_width - 1) * s->stride + s->size,
                        .x = -s->padding};
    int lines =
        most(1, least(2 * SUM_PIXELS / s->out_width, FRAME / most(1, s->channels * g->source.cols * s->stride)));
    g->n_bands = ceil_div(s->out_height, least(lines, s->out_height));
    g->band = ceil_div(s->out_height, g->n_bands);
    g->n_bands = ceil_div(s->out_height, g->band);
    g->source.rows = (g->band - 1) * s->stride + s->size;
    size_t window = taps / (size_t)(s->size * s->size) * (size_t)g->source.rows * (size_t)g->source.cols;
    if (window > MAX_OFFSETS || (size_t)g->band * (size_t)s->out_width > MAX_OFFSETS) return 0;
    g->narrow = is_narrow(g->kernels, l->filters);
    frame_settle(&g->source, -s->padding, (s->out_height - 1) * s->stride + s->size, g->narrow ? s->stride : 0);
    window = frame_floats(&g->source);
    g->step = g->source.whole ? map * (size_t)l->groups : window;
    g->images = 1;
    if (g->n_bands == 1 && !g->narrow) {
        g->images = most(1, least(SUM_PIXELS / (s->out_height * s->out_width), (int)(FRAME / most(1, (int)window))));
        g->images = least(g->images, (int)(MAX_OFFSETS / (g->step + 1)) + 1);
    }
    /* pieces do not cross groups: a unit is one band of a row */
    g->units = rows * (size_t)g->n_bands;
    g->images = (size_t)g->images < g->units ? g->images : (int)g->units;
    g->pieces = (g->units + g->images - 1) / g->images;
    g->n_panels = ceil_div(l->filters, panel);
    double pixels = (double)rows * s->out_height * s->out_width, flops = 2 * pixels * l->filters * g->k;
    flops += 30 * (pixels * l->filters + (double)rows * (double)map);
    int wanted = (int)chunks_of(flops < 256.0 * CHUNK ? flops : 256.0 * CHUNK);
    g->panel_floats = padded((size_t)g->k * panel) + (size_t)panel * g->kernels->width; /* slack for from_panel */
    size_t all = g->panel_floats * g->n_panels;
    g->parts = (size_t)least(least(wanted, 16), most(1, (int)(pixels / 512 < 16 ? pixels / 512 : 16)));
    if (g->parts * all > 1 << 22) g->parts = all > 1 << 22 ? 1 : (1 << 22) / all;
    if (g->parts > g->pieces) g->parts = g->pieces;
    /* get more chunks by splitting what is cheaper to prepare repeatedly: dy for channels of x, or x for panels of
     * dy */
    wanted = ceil_div(least(wanted, 32), (int)g->parts * l->groups);
    int by_channels = most(1, least(least(wanted, s->channels), g->k / 64)), by_panels = least(wanted, g->n_panels);
    int dy_is_smaller = (size_t)l->filters * s->out_height * s->out_width < map;
    g->splits = dy_is_smaller ? by_channels : most(1, least(by_channels, ceil_div(wanted, by_panels)));
    g->ranges = dy_is_smaller ? least(by_panels, ceil_div(wanted, by_channels)) : by_panels;
    g->right_floats = round_up((size_t)g->band * s->out_width * (size_t)g->images, g->kernels->width) * panel;
    g->flat = round_up((size_t)g->source.pitch * g->band, g->kernels->width);
    if (g->narrow) g->right_floats = g->flat * l->filters;
    g->slot_floats = padded(window * (size_t)g->images + DN_NARROW) + padded(g->right_floats);
    g->floats = padded((size_t)g->k) + padded((size_t)g->band * s->out_width * (size_t)g->images) +
                all * g->parts * (size_t)l->groups + g->slot_floats * (size_t)slots_wanted(pool);
    return 1;
}

static void scatter_tables(scatter *g) {
    const dn_conv_shape *s = &g->layer->group;
    const frame *f = &g->source;
    int *tap = g->taps, *pixel = g->pixels;
    for (int c = 0; c < s->channels; c++)
        for (int ky = 0; ky < s->size; ky++)
            for (int kx = 0; kx < s->size; kx++) *tap++ = frame_at(f, c, ky, kx);
    for (int i = 0; i < g->images; i++)
        for (int y = 0; y < g->band; y++)
            for (int x = 0; x < s->out_width; x++)
                *pixel++ = i * (int)g->step + frame_at(f, 0, y * s->stride, x * s->stride);
}

/* A chunk is ((group, part), range of panels, split of channels). */
static void scatter_chunk(void *context, size_t chunk) {
    scatter *g = context;
    const dn_conv_shape *s = &g->layer->group;
    const frame *f = &g->source;
    int split = (int)(chunk % g->splits), range = (int)(chunk / g->splits % g->ranges), panel = g->kernels->panel;
    size_t sum = chunk / g->splits / g->ranges, group = sum / g->parts, part = sum % g->parts;
    int c0 = split * s->channels / g->splits, channels = (split + 1) * s->channels / g->splits - c0;
    int square = s->size * s->size, slot = slots_claim(&g->scratch);
    float *window = g->scratch.memory + (size_t)slot * g->scratch.floats;
    float *right = window + g->scratch.floats - padded(g->right_floats);
    size_t map = (size_t)s->height * s->width, out_map = (size_t)s->out_height * s->out_width;
    size_t first = part * g->pieces / g->parts, end = (part + 1) * g->pieces / g->parts;
    for (size_t piece = first; piece < end; piece++) {
        size_t unit = piece * g->images, row = unit / g->n_bands;
        int band = (int)(unit % g->n_bands), line = band * g->band, lines = least(g->band, s->out_height - line);
        int images = (int)(g->units - unit < (size_t)g->images ? g->units - unit : (size_t)g->images);
        int y = line * s->stride - s->padding, pixels = lines * s->out_width;
        const float *left = window;
        for (int i = 0; i < images; i++) {
            const float *x = g->x + (((row + i) * g->layer->groups + group) * s->channels + c0) * map;
            if (f->whole) {
                if (!i) left = x + (size_t)y * f->width + f->x;
                continue;
            }
            float *to = window + i * g->step;
            if (piece == first || g->n_bands > 1) /* including what `dots` reads beyond the end, times 0 */
                memset(to, 0, ((size_t)channels * f->area + (g->narrow ? DN_NARROW : 0)) * sizeof *to);
            frame_fill(g->kernels, f, x, y, channels, to);
        }
        if (g->narrow) { /* dy with the frame's pitch, zero between lines */
            int count = (int)round_up((size_t)(lines - 1) * f->pitch + s->out_width, g->kernels->width);
            memset(right, 0, g->right_floats * sizeof *right);
            for (int c = 0; c < g->layer->filters; c++)
                g->kernels->copy_lines(
                    lines, s->out_width,
                    g->dy + (((row * g->layer->groups + group) * g->layer->filters + c) * s->out_height + line) *
                                s->out_width,
                    s->out_width, right + c * g->flat, f->pitch);
            g->kernels->dots(channels * square, g->layer->filters, count, left, g->taps, right, (ptrdiff_t)g->flat,
                             piece > first, g->sums + sum * g->panel_floats + (size_t)c0 * square * panel);
            continue;
        }
        for (int p = range * g->n_panels / g->ranges; p < (range + 1) * g->n_panels / g->ranges; p++) {
            int n = least(g->layer->filters - p * panel, panel);
            float *out = g->sums + (sum * g->n_panels + p) * g->panel_floats + (size_t)c0 * square * panel;
            for (int i = 0; i < images; i++)
                g->kernels->to_panel(
                    n, pixels,
                    g->dy + (((row + i) * g->layer->groups + group) * g->layer->filters + p * panel) * out_map +
                        (size_t)line * s->out_width,
                    (ptrdiff_t)out_map, NULL, right + (size_t)i * pixels * panel);
            g->kernels->multiply(channels * square, n, images * pixels, left, g->taps, g->pixels, right, piece > first,
                                 out, NULL);
        }
    }
    slots_return(&g->scratch, slot);
}

/* Add the partial sums of a panel in order. */
static void scatter_add(void *context, size_t index) {
    scatter *g = context;
    int panel = g->kernels->panel, p = (int)(index % g->n_panels);
    size_t group = index / g->n_panels;
    for (size_t part = 0; part < g->parts; part++)
        g->kernels->from_panel(least(g->layer->filters - p * panel, panel), g->k,
                               g->sums + ((group * g->parts + part) * g->n_panels + p) * g->panel_floats, 1,
                               g->dw + (group * g->layer->filters + (size_t)p * panel) * g->k, g->k);
}

/* ---- the operations ---- */

size_t cpu_conv_workspace(dn_pool *pool, const dn_conv_layer *l, size_t rows) {
    size_t most_floats = dn_conv_composed_workspace(l);
    gather g;
    for (int data = 0; data < 2; data++)
        if (gather_plan(&g, pool, l, rows, data) && g.floats > most_floats) most_floats = g.floats;
    scatter s;
    if (scatter_plan(&s, pool, l, rows) && s.floats > most_floats) most_floats = s.floats;
    return most_floats;
}

void cpu_conv_forward(dn_pool *pool, const dn_conv_layer *l, size_t rows, int add, const float *x, const float *w,
                      float *y, float *workspace) {
    gather g;
    if (gather_plan(&g, pool, l, rows, 0))
        gather_run(&g, pool, add, x, w, y, workspace);
    else
        dn_conv_composed_forward(&dn_cpu_ops, pool, l, rows, add, x, w, y, workspace);
}

void cpu_conv_backward_data(dn_pool *pool, const dn_conv_layer *l, size_t rows, int add, const float *dy,
                            const float *w, float *dx, float *workspace) {
    gather g;
    if (gather_plan(&g, pool, l, rows, 1))
        gather_run(&g, pool, add, dy, w, dx, workspace);
    else
        dn_conv_composed_backward_data(&dn_cpu_ops, pool, l, rows, add, dy, w, dx, workspace);
}

void cpu_conv_backward_weights(dn_pool *pool, const dn_conv_layer *l, size_t rows, const float *x, const float *dy,
                               float *dw, float *workspace) {
    scatter g;
    if (!scatter_plan(&g, pool, l, rows)) {
        dn_conv_composed_backward_weights(&dn_cpu_ops, pool, l, rows, x, dy, dw, workspace);
        return;
    }
    g.x = x, g.dy = dy, g.dw = dw;
    g.taps = (int *)workspace, workspace += padded((size_t)g.k);
    g.pixels = (int *)workspace, workspace += padded((size_t)g.band * l->group.out_width * (size_t)g.images);
    g.sums = workspace, workspace += g.panel_floats * g.n_panels * g.parts * (size_t)l->groups;
    slots_init(&g.scratch, workspace, g.slot_floats, slots_wanted(pool));
    scatter_tables(&g);
    dn_pool_run(pool, g.parts * (size_t)l->groups * g.ranges * g.splits, scatter_chunk, &g);
    int large = g.panel_floats * g.n_panels * g.parts * (size_t)l->groups > DN_GRAIN;
    dn_pool_run(large ? pool : NULL, (size_t)g.n_panels * l->groups, scatter_add, &g);
}
