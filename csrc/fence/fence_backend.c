/* The CPU operations over memory that the host may not touch: every block is opened for the time of an operation only. A
 * layer that reads or writes device memory by itself, which works by chance on a CPU and crashes on a GPU, crashes here. */
#define _GNU_SOURCE
#include "backend/backend.h"
#include "base/sys.h"
#include <sys/mman.h>
#include <unistd.h>

typedef struct fence_block {
    struct fence_block *next;
    void *memory;
    size_t bytes; /* whole pages */
} fence_block;

/* PROT_NONE or PROT_READ | PROT_WRITE for all blocks of a network. */
static void fence_set(dn_pool *pool, int protection) {
    for (fence_block *b = *dn_pool_slot(pool); b; b = b->next) mprotect(b->memory, b->bytes, protection);
}
static void fence_open(dn_pool *pool) { fence_set(pool, PROT_READ | PROT_WRITE); }
static void fence_close(dn_pool *pool) { fence_set(pool, PROT_NONE); }

static void *fence_alloc(dn_pool *pool, size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    fence_block *b = dn_alloc(1, sizeof *b);
    if (!b) return NULL;
    b->bytes = (bytes / page + 1) * page;
    b->memory = mmap(NULL, b->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->memory == MAP_FAILED) {
        dn_free(b);
        dn_fail(DN_E_MEMORY, "out of memory: %zu bytes wanted", bytes);
        return NULL;
    }
    b->next = *dn_pool_slot(pool);
    *dn_pool_slot(pool) = b;
    return b->memory;
}

static void fence_free(dn_pool *pool, void *memory) {
    for (fence_block **at = (fence_block **)dn_pool_slot(pool); *at; at = &(*at)->next)
        if ((*at)->memory == memory) {
            fence_block *b = *at;
            *at = b->next;
            munmap(b->memory, b->bytes);
            dn_free(b);
            return;
        }
}

static dn_status fence_finish(dn_pool *pool) {
    (void)pool;
    return DN_OK;
}

#define OPERATION(name, parameters, ...)                                                                               \
    static void fence_##name parameters {                                                                              \
        fence_open(pool);                                                                                              \
        dn_cpu_ops.name(__VA_ARGS__);                                                                                  \
        fence_close(pool);                                                                                             \
    }

static size_t fence_dense_scratch(const dn_dense_shape *shape) { return dn_cpu_ops.dense_scratch(shape); }
static int fence_dense_takes_loss(const dn_dense_shape *shape, dn_loss loss) {
    return dn_cpu_ops.dense_takes_loss(shape, loss);
}

OPERATION(upload, (dn_pool *pool, void *to, const void *from_host, size_t bytes), pool, to, from_host, bytes)
OPERATION(download, (dn_pool *pool, void *to_host, const void *from, size_t bytes), pool, to_host, from, bytes)
OPERATION(fill, (dn_pool *pool, size_t n, float value, float *x), pool, n, value, x)
OPERATION(copy, (dn_pool *pool, size_t n, const float *x, float *y), pool, n, x, y)
OPERATION(scale, (dn_pool *pool, size_t n, float a, float *x), pool, n, a, x)
OPERATION(axpy, (dn_pool *pool, size_t n, float a, const float *x, float *y), pool, n, a, x, y)
OPERATION(mul_add, (dn_pool *pool, size_t n, float a, const float *x, const float *y, float *z), pool, n, a, x, y, z)
OPERATION(copy_rows, (dn_pool *pool, size_t rows, size_t cols, const float *x, size_t ldx, float *y, size_t ldy),
          pool, rows, cols, x, ldx, y, ldy)
OPERATION(add_rows, (dn_pool *pool, size_t rows, size_t cols, const float *x, size_t ldx, float *y, size_t ldy), pool,
          rows, cols, x, ldx, y, ldy)
OPERATION(gemm, (dn_pool *pool, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
          const float *b, int ldb, float beta, float *c, int ldc), pool, trans_a, trans_b, m, n, k, alpha, a, lda, b,
          ldb, beta, c, ldc)
OPERATION(im2col, (dn_pool *pool, const dn_conv_shape *shape, const float *image, float *columns), pool, shape, image,
          columns)
OPERATION(col2im, (dn_pool *pool, const dn_conv_shape *shape, const float *columns, float *image), pool, shape,
          columns, image)
OPERATION(bias_add, (dn_pool *pool, size_t rows, size_t channels, size_t spatial, const float *bias, float *y), pool,
          rows, channels, spatial, bias, y)
OPERATION(bias_gradient, (dn_pool *pool, size_t rows, size_t channels, size_t spatial, const float *dy, float *db),
          pool, rows, channels, spatial, dy, db)
OPERATION(activate, (dn_pool *pool, dn_activation kind, size_t n, float *x), pool, kind, n, x)
OPERATION(activate_gradient, (dn_pool *pool, dn_activation kind, size_t n, const float *y, float *dy), pool, kind, n,
          y, dy)
OPERATION(norm_forward, (dn_pool *pool, size_t rows, size_t channels, size_t spatial, int training, float eps, const
          float *x, const float *scale, const float *bias, float *mean, float *var, float *rolling_mean, float
          *rolling_var, float *xhat, float *y), pool, rows, channels, spatial, training, eps, x, scale, bias, mean,
          var, rolling_mean, rolling_var, xhat, y)
OPERATION(norm_backward, (dn_pool *pool, size_t rows, size_t channels, size_t spatial, int training, float eps, const
          float *xhat, const float *scale, const float *mean, const float *var, float *dy, float *dscale, float
          *dbias), pool, rows, channels, spatial, training, eps, xhat, scale, mean, var, dy, dscale, dbias)
OPERATION(maxpool_forward, (dn_pool *pool, size_t rows, const dn_conv_shape *shape, const float *x, float *y, int
          *index), pool, rows, shape, x, y, index)
OPERATION(maxpool_backward, (dn_pool *pool, size_t rows, const dn_conv_shape *shape, const int *index, const float *dy,
          float *dx), pool, rows, shape, index, dy, dx)
OPERATION(upsample_forward, (dn_pool *pool, size_t maps, int h, int w, int stride, float scale, const float *x, float
          *y), pool, maps, h, w, stride, scale, x, y)
OPERATION(upsample_backward, (dn_pool *pool, size_t maps, int h, int w, int stride, float scale, const float *dy,
          float *dx), pool, maps, h, w, stride, scale, dy, dx)
OPERATION(downsample_forward, (dn_pool *pool, size_t maps, int h, int w, int stride, float scale, const float *x,
          float *y), pool, maps, h, w, stride, scale, x, y)
OPERATION(downsample_backward, (dn_pool *pool, size_t maps, int h, int w, int stride, float scale, const float *dy,
          float *dx), pool, maps, h, w, stride, scale, dy, dx)
OPERATION(set_step, (dn_pool *pool, dn_step *to, const dn_step *value), pool, to, value)
OPERATION(gather_rows, (dn_pool *pool, const dn_step *step, size_t rows, size_t cols, const float *data, const uint32_t
          *order, float *to), pool, step, rows, cols, data, order, to)
OPERATION(normals, (dn_pool *pool, const dn_step *step, uint32_t stream, size_t n, float *eps), pool, step, stream, n,
          eps)
OPERATION(uniforms, (dn_pool *pool, const dn_step *step, uint32_t stream, size_t n, float *u), pool, step, stream, n, u)
OPERATION(dropout, (dn_pool *pool, size_t n, float p, const float *u, const float *x, float *y), pool, n, p, u, x, y)
OPERATION(dropout_gradient, (dn_pool *pool, size_t n, float p, const float *u, const float *dy, float *dx), pool, n,
          p, u, dy, dx)
OPERATION(reparameterise, (dn_pool *pool, size_t rows, size_t latent, const float *x, const float *eps, float *z,
          double *kl), pool, rows, latent, x, eps, z, kl)
OPERATION(reparameterise_gradient, (dn_pool *pool, size_t rows, size_t latent, float kl_weight, const float *x, const
          float *eps, const float *dz, float *dx), pool, rows, latent, kl_weight, x, eps, dz, dx)
OPERATION(loss, (dn_pool *pool, dn_loss kind, size_t n, const float *x, const float *truth, float *error, float
          *gradient, double *sum), pool, kind, n, x, truth, error, gradient, sum)
OPERATION(mask, (dn_pool *pool, size_t n, const float *truth, float *x), pool, n, truth, x)
OPERATION(update, (dn_pool *pool, const dn_optimizer *optimizer, const dn_step *step, size_t n, float factor, float
          decay, float *w, float *m, float *v, const float *g), pool, optimizer, step, n, factor, decay, w, m, v, g)
OPERATION(dense_forward, (dn_pool *pool, const dn_dense_shape *shape, const float *x, const float *w, const float *b,
          float *y), pool, shape, x, w, b, y)
OPERATION(dense_train, (dn_pool *pool, const dn_dense_pass *pass), pool, pass)
OPERATION(shortcut_forward, (dn_pool *pool, const dn_shortcut_shape *shape, float alpha, float beta, const float
          *source, float *y), pool, shape, alpha, beta, source, y)
OPERATION(shortcut_backward, (dn_pool *pool, const dn_shortcut_shape *shape, float alpha, float beta, const float *dy,
          float *dx, float *dsource), pool, shape, alpha, beta, dy, dx, dsource)
OPERATION(binarize, (dn_pool *pool, size_t rows, size_t n, int mean, const float *x, float *y), pool, rows, n, mean,
          x, y)
OPERATION(avgpool_forward, (dn_pool *pool, size_t maps, size_t spatial, const float *x, float *y), pool, maps,
          spatial, x, y)
OPERATION(avgpool_backward, (dn_pool *pool, size_t maps, size_t spatial, const float *dy, float *dx), pool, maps,
          spatial, dy, dx)
OPERATION(gather, (dn_pool *pool, size_t rows, size_t n_in, size_t n_out, const int *index, float a, float b, const
          float *x, float *y), pool, rows, n_in, n_out, index, a, b, x, y)
OPERATION(scatter_add, (dn_pool *pool, size_t rows, size_t n_in, size_t n_out, const int *index, float a, const float
          *dy, float *dx), pool, rows, n_in, n_out, index, a, dy, dx)
OPERATION(softmax, (dn_pool *pool, const dn_softmax_shape *shape, float temperature, const float *x, float *y), pool,
          shape, temperature, x, y)
OPERATION(softmax_gradient, (dn_pool *pool, const dn_softmax_shape *shape, float temperature, const float *y, const
          float *dy, float *dx), pool, shape, temperature, y, dy, dx)
OPERATION(softmax_loss, (dn_pool *pool, const dn_softmax_shape *shape, float temperature, const float *y, const float
          *truth, float *error, float *gradient, double *sum), pool, shape, temperature, y, truth, error, gradient, sum)
OPERATION(l2norm_forward, (dn_pool *pool, size_t rows, size_t channels, size_t spatial, const float *x, float *y,
          float *norms), pool, rows, channels, spatial, x, y, norms)
OPERATION(l2norm_backward, (dn_pool *pool, size_t rows, size_t channels, size_t spatial, const float *y, const float
          *norms, const float *dy, float *dx), pool, rows, channels, spatial, y, norms, dy, dx)
OPERATION(lrn_forward, (dn_pool *pool, size_t rows, size_t channels, size_t spatial, int size, float alpha, float
          beta, float kappa, const float *x, float *norms, float *y), pool, rows, channels, spatial, size, alpha,
          beta, kappa, x, norms, y)
OPERATION(lrn_backward, (dn_pool *pool, size_t rows, size_t channels, size_t spatial, int size, float alpha, float
          beta, const float *x, const float *norms, const float *dy, float *dx), pool, rows, channels, spatial, size,
          alpha, beta, x, norms, dy, dx)

const dn_ops dn_fence_ops = {
    .name = "fence", .separate_memory = 1, .finish = fence_finish, .alloc = fence_alloc, .free = fence_free,
    .upload = fence_upload, .download = fence_download, .set_step = fence_set_step,
    .gather_rows = fence_gather_rows, .fill = fence_fill, .copy = fence_copy, .scale = fence_scale,
    .axpy = fence_axpy, .mul_add = fence_mul_add, .copy_rows = fence_copy_rows, .add_rows = fence_add_rows,
    .gemm = fence_gemm, .im2col = fence_im2col, .col2im = fence_col2im, .bias_add = fence_bias_add,
    .bias_gradient = fence_bias_gradient, .activate = fence_activate, .activate_gradient = fence_activate_gradient,
    .norm_forward = fence_norm_forward, .norm_backward = fence_norm_backward,
    .maxpool_forward = fence_maxpool_forward, .maxpool_backward = fence_maxpool_backward,
    .upsample_forward = fence_upsample_forward, .upsample_backward = fence_upsample_backward,
    .downsample_forward = fence_downsample_forward, .downsample_backward = fence_downsample_backward,
    .normals = fence_normals, .uniforms = fence_uniforms, .dropout = fence_dropout,
    .dropout_gradient = fence_dropout_gradient, .reparameterise = fence_reparameterise,
    .reparameterise_gradient = fence_reparameterise_gradient, .loss = fence_loss, .mask = fence_mask,
    .update = fence_update,
    .dense_forward = fence_dense_forward, .dense_train = fence_dense_train, .dense_scratch = fence_dense_scratch,
    .dense_takes_loss = fence_dense_takes_loss, .shortcut_forward = fence_shortcut_forward,
    .shortcut_backward = fence_shortcut_backward,
    .binarize = fence_binarize, .avgpool_forward = fence_avgpool_forward, .avgpool_backward = fence_avgpool_backward,
    .gather = fence_gather, .scatter_add = fence_scatter_add, .softmax = fence_softmax, .softmax_gradient =
    fence_softmax_gradient, .softmax_loss = fence_softmax_loss, .l2norm_forward = fence_l2norm_forward,
    .l2norm_backward = fence_l2norm_backward, .lrn_forward = fence_lrn_forward, .lrn_backward =
    fence_lrn_backward,
};
