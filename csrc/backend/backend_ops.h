/* The list of operations. It is included several times, and whoever includes it has defined what a row becomes:
 *
 *   DN_OP(group, name, parameters after the pool, arguments)          work, which may go on after the call returns
 *   DN_QUERY(group, type, name, parameters after the pool, arguments) a question, answered on the host at once
 *
 * From it come the fields of dn_ops (backend.h), the CPU's declarations and table, CUDA's launchers, wrappers and
 * table, all of fence, and the check of a table when a device is found. docs/add-an-operation.md leads through a new
 * row.
 *
 * Groups: every backend has all of REQUIRED. Of each other group it has all operations or none, which are NULL in its
 * table; what layers do without them stands beside the group. A backend says which groups it has where it makes its
 * table.
 *
 * Every matrix is row-major; every gradient-like argument is added to unless its comment says set. Pointers to float,
 * double, int, uint32_t and dn_step lie in the backend's memory; shapes, likelihoods, heads, a dn_optimizer and
 * a dn_dense_pass are the host's. */

/* ---- what changes from step to step; rows of data ---- */

/* `value` is the host's and may be gone when the operation is done. */
DN_OP(REQUIRED, set_step, (dn_step * to, const dn_step *value), (to, value))
/* to (rows, cols): row r is data row order[step->at + r] */
DN_OP(REQUIRED, gather_rows,
      (const dn_step *step, size_t rows, size_t cols, const float *data, const uint32_t *order, float *to),
      (step, rows, cols, data, order, to))

/* ---- plain vectors ---- */

DN_OP(REQUIRED, fill, (size_t n, float value, float *x), (n, value, x))
DN_OP(REQUIRED, copy, (size_t n, const float *x, float *y), (n, x, y))
DN_OP(REQUIRED, scale, (size_t n, float a, float *x), (n, a, x))
/* y += a x */
DN_OP(REQUIRED, axpy, (size_t n, float a, const float *x, float *y), (n, a, x, y))
/* z += a x y */
DN_OP(REQUIRED, mul_add, (size_t n, float a, const float *x, const float *y, float *z), (n, a, x, y, z))
/* Rows of `cols` values between matrices with row steps ldx, ldy: y = x, y += x */
DN_OP(REQUIRED, copy_rows, (size_t rows, size_t cols, const float *x, size_t ldx, float *y, size_t ldy),
      (rows, cols, x, ldx, y, ldy))
DN_OP(REQUIRED, add_rows, (size_t rows, size_t cols, const float *x, size_t ldx, float *y, size_t ldy),
      (rows, cols, x, ldx, y, ldy))
/* sums[r] = the sum of row r of x (rows, n), added up in double precision */
DN_OP(REQUIRED, row_sums, (size_t rows, size_t n, const float *x, float *sums), (rows, n, x, sums))

/* *sum += a * the sum of x, added up in double precision */
DN_OP(REQUIRED, add_sum, (size_t n, double a, const float *x, double *sum), (n, a, x, sum))

/* ---- products ---- */

/* C (m, n) = alpha op(A) op(B) + beta C; op(A) is (m, k), op(B) is (k, n) */
DN_OP(REQUIRED, gemm,
      (int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
       float beta, float *c, int ldc),
      (trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc))
/* im2col sets columns, col2im adds to image. */
DN_OP(REQUIRED, im2col, (const dn_conv_shape *shape, const float *image, float *columns), (shape, image, columns))
DN_OP(REQUIRED, col2im, (const dn_conv_shape *shape, const float *columns, float *image), (shape, columns, image))

/* CONV: the three passes of a convolution: y = or += x * w, dx = or += (its transpose) dy, dw += dy x. Without them
 * layers compose im2col and gemm (net/convolution.h). `workspace` holds as many floats as conv_workspace said for at
 * least these rows. */
DN_QUERY(CONV, size_t, conv_workspace, (const dn_conv_layer *layer, size_t rows), (layer, rows))
DN_OP(CONV, conv_forward,
      (const dn_conv_layer *layer, size_t rows, int add, const float *x, const float *w, float *y, float *workspace),
      (layer, rows, add, x, w, y, workspace))
DN_OP(CONV, conv_backward_data,
      (const dn_conv_layer *layer, size_t rows, int add, const float *dy, const float *w, float *dx, float *workspace),
      (layer, rows, add, dy, w, dx, workspace))
DN_OP(CONV, conv_backward_weights,
      (const dn_conv_layer *layer, size_t rows, const float *x, const float *dy, float *dw, float *workspace),
      (layer, rows, x, dy, dw, workspace))

/* LOCAL: locally connected: one group, whose every pixel of y has weights of its own, w (pixels, filters, channels,
 * size, size). y = x * w, dx += its transpose dy, dw += dy x. Without them layers compose im2col and gemm. */
DN_OP(LOCAL, local_forward, (const dn_conv_layer *layer, size_t rows, const float *x, const float *w, float *y),
      (layer, rows, x, w, y))
DN_OP(LOCAL, local_backward_data, (const dn_conv_layer *layer, size_t rows, const float *dy, const float *w, float *dx),
      (layer, rows, dy, w, dx))
DN_OP(LOCAL, local_backward_weights,
      (const dn_conv_layer *layer, size_t rows, const float *x, const float *dy, float *dw), (layer, rows, x, dy, dw))

/* DENSE: dense layers in few passes over the weights. Without them layers compose gemm and the like. dense_scratch:
 * floats that dense_train needs. */
DN_OP(DENSE, dense_forward, (const dn_dense_shape *shape, const float *x, const float *w, const float *b, float *y),
      (shape, x, w, b, y))
DN_OP(DENSE, dense_train, (const dn_dense_pass *pass), (pass))
DN_QUERY(DENSE, size_t, dense_scratch, (const dn_dense_shape *shape), (shape))

/* LSTM: a step of a recurrence (layers/lstm_layer.c), whose gates lie side by side. Without them layers compose gemm,
 * activate and the like.
 *
 * lstm_forward: gates (rows, 4 outputs) += h w^T, which become i, f, o = logistic of them and g = tanh. next_c = f c +
 * i g, tanh_c = tanh(next_c), next_h = y = o tanh_c, all set.
 *
 * lstm_backward: gates become the gradients of what they were before the activation. later: what they have become in
 * the step after this one, NULL: there is none. dy: the gradient by y; dh (rows, outputs), set: dy + later w. dc: the
 * gradient by next_c from later steps, which becomes that by c. */
DN_OP(LSTM, lstm_forward,
      (const dn_lstm_shape *shape, const float *w, const float *h, const float *c, float *gates, float *tanh_c,
       float *next_c, float *next_h, float *y),
      (shape, w, h, c, gates, tanh_c, next_c, next_h, y))
DN_OP(LSTM, lstm_backward,
      (const dn_lstm_shape *shape, const float *w, const float *later, const float *dy, const float *c,
       const float *tanh_c, float *gates, float *dh, float *dc),
      (shape, w, later, dy, c, tanh_c, gates, dh, dc))

/* ---- biases and activations ---- */

/* y (rows, channels, spatial) += bias[channel]; db[channel] += sums of dy */
DN_OP(REQUIRED, bias_add, (size_t rows, size_t channels, size_t spatial, const float *bias, float *y),
      (rows, channels, spatial, bias, y))
DN_OP(REQUIRED, bias_gradient, (size_t rows, size_t channels, size_t spatial, const float *dy, float *db),
      (rows, channels, spatial, dy, db))
/* In place; dy *= act'(y) */
DN_OP(REQUIRED, activate, (dn_activation activation, size_t n, float *x), (activation, n, x))
DN_OP(REQUIRED, activate_gradient, (dn_activation activation, size_t n, const float *y, float *dy),
      (activation, n, y, dy))

/* BIAS_ACTIVATE: two of these in one: y = act(y + bias[channel]); dy *= act'(y), db[channel] += sums of that dy.
 * Without them layers call the two. */
DN_OP(BIAS_ACTIVATE, bias_activate,
      (size_t rows, size_t channels, size_t spatial, dn_activation activation, const float *bias, float *y),
      (rows, channels, spatial, activation, bias, y))
DN_OP(BIAS_ACTIVATE, bias_activate_gradient,
      (size_t rows, size_t channels, size_t spatial, dn_activation activation, const float *y, float *dy, float *db),
      (rows, channels, spatial, activation, y, dy, db))

/* ---- normalisation ---- */

/* Batch normalisation, x (rows, channels, spatial). eps < 0 is the legacy form: 1/(sqrt(v)+1e-6), else 1/sqrt(v+eps).
 * Training: mean and var are set (unbiased), rolling ones mixed by .99/.01; y = xhat*scale + bias, xhat is kept. With
 * one value per channel in training xhat and var are 0, and the rolling ones are left as they are. */
DN_OP(REQUIRED, norm_forward,
      (size_t rows, size_t channels, size_t spatial, int training, float eps, const float *x, const float *scale,
       const float *bias, float *mean, float *var, float *rolling_mean, float *rolling_var, float *xhat, float *y),
      (rows, channels, spatial, training, eps, x, scale, bias, mean, var, rolling_mean, rolling_var, xhat, y))
/* dy becomes dx in place; dscale, dbias add. */
DN_OP(REQUIRED, norm_backward,
      (size_t rows, size_t channels, size_t spatial, int training, float eps, const float *xhat, const float *scale,
       const float *mean, const float *var, float *dy, float *dscale, float *dbias),
      (rows, channels, spatial, training, eps, xhat, scale, mean, var, dy, dscale, dbias))
DN_OP(REQUIRED, l2norm_forward, (size_t rows, size_t channels, size_t spatial, const float *x, float *y, float *norms),
      (rows, channels, spatial, x, y, norms))
DN_OP(REQUIRED, l2norm_backward,
      (size_t rows, size_t channels, size_t spatial, const float *y, const float *norms, const float *dy, float *dx),
      (rows, channels, spatial, y, norms, dy, dx))
DN_OP(REQUIRED, lrn_forward,
      (size_t rows, size_t channels, size_t spatial, int size, float alpha, float beta, float kappa, const float *x,
       float *norms, float *y),
      (rows, channels, spatial, size, alpha, beta, kappa, x, norms, y))
DN_OP(REQUIRED, lrn_backward,
      (size_t rows, size_t channels, size_t spatial, int size, float alpha, float beta, const float *x,
       const float *norms, const float *dy, float *dx),
      (rows, channels, spatial, size, alpha, beta, x, norms, dy, dx))

/* ---- images ---- */

/* index: of each maximum in x, for the way back */
DN_OP(REQUIRED, maxpool_forward, (size_t rows, const dn_conv_shape *shape, const float *x, float *y, int *index),
      (rows, shape, x, y, index))
DN_OP(REQUIRED, maxpool_backward,
      (size_t rows, const dn_conv_shape *shape, const int *index, const float *dy, float *dx),
      (rows, shape, index, dy, dx))
DN_OP(REQUIRED, avgpool_forward, (size_t maps, size_t spatial, const float *x, float *y), (maps, spatial, x, y))
DN_OP(REQUIRED, avgpool_backward, (size_t maps, size_t spatial, const float *dy, float *dx), (maps, spatial, dy, dx))
DN_OP(REQUIRED, upsample_forward, (size_t maps, int h, int w, int stride, float scale, const float *x, float *y),
      (maps, h, w, stride, scale, x, y))
DN_OP(REQUIRED, upsample_backward, (size_t maps, int h, int w, int stride, float scale, const float *dy, float *dx),
      (maps, h, w, stride, scale, dy, dx))
DN_OP(REQUIRED, downsample_forward, (size_t maps, int h, int w, int stride, float scale, const float *x, float *y),
      (maps, h, w, stride, scale, x, y))
DN_OP(REQUIRED, downsample_backward, (size_t maps, int h, int w, int stride, float scale, const float *dy, float *dx),
      (maps, h, w, stride, scale, dy, dx))
/* On the overlap of the maps y (rows, c2, h2, w2) and source (rows, c1, h1, w1), in steps when one is larger:
 * y = alpha y + beta source. Backward: dx gets alpha dy on the overlap and dy elsewhere; dsource gets beta dy. */
DN_OP(REQUIRED, shortcut_forward,
      (const dn_shortcut_shape *shape, float alpha, float beta, const float *source, float *y),
      (shape, alpha, beta, source, y))
DN_OP(REQUIRED, shortcut_backward,
      (const dn_shortcut_shape *shape, float alpha, float beta, const float *dy, float *dx, float *dsource),
      (shape, alpha, beta, dy, dx, dsource))
/* y = sign(x), 0 counts as -1; mean: times the mean of |x| over the row */
DN_OP(REQUIRED, binarize, (size_t rows, size_t n, int mean, const float *x, float *y), (rows, n, mean, x, y))
/* y[i] = a x[index[i]] + b in every row, 0 where the index is -1; dx[index[i]] += a dy[i], for which no index stands
 * twice */
DN_OP(REQUIRED, gather,
      (size_t rows, size_t n_in, size_t n_out, const int *index, float a, float b, const float *x, float *y),
      (rows, n_in, n_out, index, a, b, x, y))
DN_OP(REQUIRED, scatter_add,
      (size_t rows, size_t n_in, size_t n_out, const int *index, float a, const float *dy, float *dx),
      (rows, n_in, n_out, index, a, dy, dx))
/* y (rows, n_out): value o is dn_expanded(as[o], ...) of the value column[o] of x (rows, n_in); column, as (n_out) */
DN_OP(REQUIRED, expand,
      (size_t rows, size_t n_in, size_t n_out, const int *column, const int *as, const float *x, float *y),
      (rows, n_in, n_out, column, as, x, y))

/* ---- random numbers ---- */

/* eps[i] = N(0,1) number `i` of (seed, stream, pass); uniform in [0, 1) likewise */
DN_OP(REQUIRED, normals, (const dn_step *step, uint32_t stream, size_t n, float *eps), (step, stream, n, eps))
DN_OP(REQUIRED, uniforms, (const dn_step *step, uint32_t stream, size_t n, float *u), (step, stream, n, u))
/* x (rows, cols) = 1 with probability x, else 0, in place: by the uniform number r cols + c of (seed, stream, pass); or
 * by_row: number c of (seed, stream, number of the row), which is step->at + r, or order[step->at + r] */
DN_OP(REQUIRED, bernoulli,
      (const dn_step *step, uint32_t stream, size_t rows, size_t cols, int by_row, const uint32_t *order, float *x),
      (step, stream, rows, cols, by_row, order, x))
/* x[i] += deviation * N(0,1) number i of (seed, stream, pass) */
DN_OP(REQUIRED, noise, (const dn_step *step, uint32_t stream, size_t n, float deviation, float *x),
      (step, stream, n, deviation, x))
/* y = u < p ? 0 : x / (1 - p); the same for gradients, added */
DN_OP(REQUIRED, dropout, (size_t n, float p, const float *u, const float *x, float *y), (n, p, u, x, y))
DN_OP(REQUIRED, dropout_gradient, (size_t n, float p, const float *u, const float *dy, float *dx), (n, p, u, dy, dx))

/* ---- losses ---- */

/* x (rows, 2 latent) = [log-variance | mean]; z = mean + exp(b/2) eps (eps NULL: the mean), b the log-variance as it
 * counts (net/latent.h). sums[0] += the sum of KL, sums[1] += *weight times that; kl (rows), set: the KL of each row,
 * NULL: not wanted. The gradient is that of scale * *weight * KL. */
DN_OP(REQUIRED, reparameterise,
      (size_t rows, size_t latent, const float *weight, const float *x, const float *eps, float *z, double *sums,
       float *kl),
      (rows, latent, weight, x, eps, z, sums, kl))
DN_OP(REQUIRED, reparameterise_gradient,
      (size_t rows, size_t latent, double scale, const float *weight, const float *x, const float *eps, const float *dz,
       float *dx),
      (rows, latent, scale, weight, x, eps, dz, dx))
/* reparameterise with the prior of layers/mixture_prior.h: z (set), sums, kl as there, of log q(z|x) - log p(z);
 * without eps, where z is the mean, of its estimate there. means, log_variances (components, latent), logits
 * (components); work: of dn_mixture_work doubles, set, what the gradient needs. sums NULL: not wanted. The gradient is
 * that of a pass with eps. row_weight (rows): factors of the rows' KL, NULL: 1. dx NULL: not wanted; by_z (rows,
 * latent), NULL: not wanted: the gradient of minus log p(z) alone by z. */
DN_OP(REQUIRED, mixture_kl,
      (const dn_mixture_shape *shape, const float *means, const float *log_variances, const float *logits,
       const float *weight, const float *x, const float *eps, float *z, double *sums, float *kl, double *work),
      (shape, means, log_variances, logits, weight, x, eps, z, sums, kl, work))
DN_OP(REQUIRED, mixture_kl_gradient,
      (const dn_mixture_shape *shape, const float *means, const float *log_variances, double scale, const float *weight,
       const float *row_weight, const float *x, const float *eps, const float *z, const float *dz, const double *work,
       float *dx, float *by_z, float *d_means, float *d_log_variances, float *d_logits),
      (shape, means, log_variances, scale, weight, row_weight, x, eps, z, dz, work, dx, by_z, d_means, d_log_variances,
       d_logits))
/* The KL with a limit, or of rows with weights: row_weight (rows), NULL: 1. kl_columns: sums (latent + 1): [j] += the
 * KL of latent value j over all rows, [latent] += rows, each times its weight. kl_cost, of the mean KL of n columns
 * (kl_columns; kl NULL) or of the KL of n rows (columns NULL): *sum += *weight * the cost of all rows; factor (n), set:
 * its derivatives, without rows' weights. kl_gradient: dx += that of scale * *weight * the cost, by x as in
 * reparameterise. */
DN_OP(REQUIRED, kl_columns, (size_t rows, size_t latent, const float *row_weight, const float *x, double *sums),
      (rows, latent, row_weight, x, sums))
DN_OP(REQUIRED, kl_cost,
      (dn_kl_form form, size_t n, const float *weight, const float *limit, const float *row_weight, const float *kl,
       const double *columns, float *factor, double *sum),
      (form, n, weight, limit, row_weight, kl, columns, factor, sum))
DN_OP(REQUIRED, kl_gradient,
      (dn_kl_form form, size_t rows, size_t latent, double scale, const float *weight, const float *row_weight,
       const float *x, const float *factor, float *dx),
      (form, rows, latent, scale, weight, row_weight, x, factor, dx))
/* log_variance_limit=limit of a latent space: y (rows, 2 latent), set, is x with log-variances that count as those of x
 * do with that limit (net/latent.h); dx += the gradient by x, given dy by y */
DN_OP(REQUIRED, limit_variances, (size_t rows, size_t latent, float limit, const float *x, float *y),
      (rows, latent, limit, x, y))
DN_OP(REQUIRED, limit_variances_gradient,
      (size_t rows, size_t latent, float limit, const float *x, const float *dy, float *dx),
      (rows, latent, limit, x, dy, dx))
/* error (set), gradient (set: d of the descended loss by x, see docs/numerics.md); *sum += the errors */
DN_OP(REQUIRED, loss,
      (const dn_likelihood *likelihood, size_t n, const float *x, const float *truth, float *error, float *gradient,
       double *sum),
      (likelihood, n, x, truth, error, gradient, sum))
/* The likelihood of some columns of the truth; truth points at the first of them, x and gradient at the first of its
 * parameters. Row r of x is (columns); DN_SPREAD_VALUE: [location (columns) | spread (columns)]; categorical:
 * (columns, classes) with codes, or head->starts (in the backend's memory) where columns differ in their classes;
 * (groups, columns / groups) with one-hot truth (or other weights, as -t log p).
 * spread: 1 or `columns` learned numbers, NULL for the other kinds of it.
 *
 * loss (rows): -log p of the row is added. gradient: set, the derivative of the loss, times row_weight of the row
 * (NULL: 1). spread_gradient (as spread): the derivative by it, summed over the weighted rows, is added. Each of the
 * three may be NULL: not wanted. A code that no class has gives NaN. Of a one-hot group with a missing value all
 * counts as missing. */
DN_OP(REQUIRED, likelihood,
      (const dn_head *head, const float *x, const float *truth, const float *spread, const float *row_weight,
       float *loss, float *gradient, float *spread_gradient),
      (head, x, truth, spread, row_weight, loss, gradient, spread_gradient))
/* out (rows, columns), rows out_step floats apart, set: the mean of the distribution of each column (student_t and
 * laplace: the location; one-hot: probabilities; codes: the most probable code, the first of equals). out may be x
 * where a value takes one parameter. */
DN_OP(REQUIRED, likelihood_mean, (const dn_head *head, const float *x, size_t out_step, float *out),
      (head, x, out_step, out))
/* The variance that fits a head best: v is the mean of (truth - x)^2 over all known values, weighted by row_weight
 * (rows; NULL: 1), at least 1e-20. *spread (set) is the log-variance that counts as ln v (dn_log_variance), *running
 * the one of the mean of v over the passes, to which v adds 1 / n of its distance. *passes (set) is n, the number of
 * passes with this one, but at most 100. Without a known value, *spread becomes *running, and that is all. */
DN_OP(REQUIRED, optimal_spread,
      (const dn_head *head, const float *row_weight, const float *x, const float *truth, float *spread, float *running,
       float *passes),
      (head, row_weight, x, truth, spread, running, passes))
/* x = DN_MASKED where truth = DN_MASKED */
DN_OP(REQUIRED, mask, (size_t n, const float *truth, float *x), (n, truth, x))
DN_OP(REQUIRED, softmax, (const dn_softmax_shape *shape, float temperature, const float *x, float *y),
      (shape, temperature, x, y))
DN_OP(REQUIRED, softmax_gradient,
      (const dn_softmax_shape *shape, float temperature, const float *y, const float *dy, float *dx),
      (shape, temperature, y, dy, dx))
/* error (set) = -t ln y, gradient (set) by the softmax's input; groups with a masked truth count nothing;
 * *sum += the errors */
DN_OP(REQUIRED, softmax_loss,
      (const dn_softmax_shape *shape, float temperature, const float *y, const float *truth, float *error,
       float *gradient, double *sum),
      (shape, temperature, y, truth, error, gradient, sum))

/* ---- several draws of a row; rows (rows, draws) are rows * draws rows, the draws of a row one after another ---- */

/* y (rows, draws, cols): row r of x (rows, cols), `draws` times; y (rows, cols) += the sum of row r's draws in x */
DN_OP(REQUIRED, repeat_rows, (size_t rows, size_t draws, size_t cols, const float *x, float *y),
      (rows, draws, cols, x, y))
DN_OP(REQUIRED, add_draws, (size_t rows, size_t draws, size_t cols, const float *x, float *y),
      (rows, draws, cols, x, y))
/* x (rows, cols): row r times a[r] */
DN_OP(REQUIRED, scale_rows, (size_t rows, size_t cols, const float *a, float *x), (rows, cols, a, x))
/* eps (rows, draws, cols): numbers N(0,1) that depend on the row and the draw, not on what else is computed with them.
 * Draw d of row r, counted from draw step->at and row step->pass, has blocks d ceil(cols / 4) and following of (seed,
 * stream, row). */
DN_OP(REQUIRED, row_normals, (const dn_step *step, uint32_t stream, size_t rows, size_t draws, size_t cols, float *eps),
      (step, stream, rows, draws, cols, eps))
/* x (rows, 2 latent) = [log-variance | mean]; z = mean + exp(b/2) eps, the draw that eps stands for. drawn (rows), set:
 * ln q(z|x), and with normal_prior minus ln p(z) of N(0,1). kl (rows), set: the KL of q to N(0,1). */
DN_OP(REQUIRED, draw,
      (size_t rows, size_t latent, int normal_prior, const float *x, const float *eps, float *z, float *drawn,
       float *kl),
      (rows, latent, normal_prior, x, eps, z, drawn, kl))
/* The gradient of weight[r] scale `drawn` by x, given that of the rest by z, dz: see dn_draw_gradient in backend.h.
 * share (rows): the importance weights in `weight`; both NULL: 1 */
DN_OP(REQUIRED, draw_gradient,
      (const dn_draw_gradient *of, size_t rows, size_t latent, const float *weight, const float *share, const float *x,
       const float *eps, const float *z, const float *dz, float *dx),
      (of, rows, latent, weight, share, x, eps, z, dz, dx))
/* loss (rows, draws) = -ln w. share (rows, draws), set: w of a draw over the sum of its row's; *sum += the rows'
 * -ln(mean of w), times row_weight (rows; NULL: 1) */
DN_OP(REQUIRED, importance,
      (size_t rows, size_t draws, const float *row_weight, const float *loss, float *share, double *sum),
      (rows, draws, row_weight, loss, share, sum))

/* ---- the update ---- */

/* *factor (set) = min(1, norm / (|g| / step->rows + 1e-6)): |g| is the Euclidean norm of the n values, whose squares
 * are added up in double precision. `factor` may be step->clip. */
DN_OP(REQUIRED, clip, (const dn_step *step, float norm, size_t n, const float *g, float *factor),
      (step, norm, n, g, factor))
/* One optimiser step over n values with rate step->rate * factor; m and v are its moments (SGD: v is not used); g is
 * the plain gradient summed over step->rows rows, of which step->clip is a factor, and is left as it is. */
DN_OP(REQUIRED, update,
      (const dn_optimizer *optimizer, const dn_step *step, size_t n, float factor, float decay, float *w, float *m,
       float *v, const float *g),
      (optimizer, step, n, factor, decay, w, m, v, g))
/* average += step->share (x - average); average = x if the share is 1, whatever it was */
DN_OP(REQUIRED, average, (const dn_step *step, size_t n, const float *x, float *average), (step, n, x, average))

#undef DN_OP
#undef DN_QUERY
