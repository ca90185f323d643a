/* A cfg for a table, as a teacher would write it: what was found in the table, then every key with what it is for. */
#include "base/text.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- how large, how long ---- */

/* Found on tables of 300 to 54,000 rows and 8 to 35 columns: see docs/tables.md. */
enum {
    HIDDEN = 128,
    HIDDEN_WIDE = 256, /* from so many values of the expanded row on: */
    WIDE = 500,
    LATENT = 16,
    BATCH = 64,
    BATCH_LONG = 128, /* of more rows than */
    LONG = 16000,
    STEPS = 1500,    /* at least, and for each value of the decoded row */
    STEPS_VALUE = 5, /* so many more, up to */
    STEPS_WIDE = 2500,
    EPOCHS = 70,          /* More rows than that takes are seen so often, until there have been */
    STEPS_ENOUGH = 12500, /* updates, and then */
    EPOCHS_LONG = 30,     /* times, but not in more updates than */
    STEPS_MOST = 20000,
    COMPONENTS = 10
};

typedef struct init_plan {
    int coded, numbers, yes_no, categories, classes; /* columns of the network; all but `coded` without conditions */
    int missing, conditions;                         /* 1: a number has gaps; conditions: given, not modelled */
    int outputs, latent, hidden, batch, steps, warm_up;
} init_plan;

static init_plan init_count(const dn_schema *schema) {
    init_plan p = {.coded = dn_schema_coded(schema)};
    dn_column_info c;
    for (int i = 0; i < dn_schema_columns(schema); i++) {
        if (!dn_schema_column(schema, i, &c) || c.coded < 0) continue;
        int number = c.kind == DN_COLUMN_NUMBER || c.kind == DN_COLUMN_TIME;
        p.missing |= number && c.missing;
        p.conditions += c.condition != 0;
        if (c.condition) continue;
        p.numbers += number;
        p.yes_no += c.kind == DN_COLUMN_YES_NO;
        p.categories += c.kind == DN_COLUMN_CATEGORY;
        p.classes += c.kind == DN_COLUMN_CATEGORY ? c.classes : 0;
    }
    p.outputs = p.numbers + p.yes_no + p.classes;
    return p;
}

/* A row with more values takes longer to learn, and many rows need not be seen as often as few. */
static int init_steps(int outputs, double epoch) {
    double least = fmin(STEPS + STEPS_VALUE * (double)outputs, STEPS_WIDE), usual = fmin(EPOCHS * epoch, STEPS_ENOUGH);
    return (int)fmax(fmax(least, usual), fmin(EPOCHS_LONG * epoch, STEPS_MOST));
}

static init_plan init_choose(const dn_schema *schema, size_t rows, int latent) {
    init_plan p = init_count(schema);
    p.latent = latent > 0 ? latent : p.coded >= LATENT ? LATENT : p.coded > 2 ? p.coded : 2;
    p.hidden = p.outputs > WIDE ? HIDDEN_WIDE : HIDDEN;
    p.batch = rows > LONG ? BATCH_LONG : BATCH;
    while (p.batch > 8 && (size_t)p.batch > rows) p.batch /= 2;
    p.steps = init_steps(p.outputs, (double)rows / p.batch);
    p.warm_up = p.steps * 4 / 10;
    return p;
}

/* ---- text ---- */

/* A comment, broken into lines of at most 78 characters. */
static void note(dn_text *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(dn_text *to, const char *format, ...) {
    enum { WIDTH = 76 };
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    for (const char *at = text; *at;) {
        size_t n = strlen(at), cut = WIDTH;
        while (n > WIDTH && cut > 1 && at[cut] != ' ') cut--;
        if (n > WIDTH) n = cut;
        dn_text_format(to, "# %.*s\n", (int)n, at);
        for (at += n; *at == ' ';) at++;
    }
}

/* Lines of another text as comments. */
static void note_lines(dn_text *to, const char *text) {
    for (const char *end; *text; text = *end ? end + 1 : end) {
        end = text + strcspn(text, "\n");
        dn_text_format(to, end > text ? "# %.*s\n" : "#\n", (int)(end - text), text);
    }
}

/* A name as a cell of a CSV row within a cfg: quoted where # ; or a quote would end it. */
static void put_cell(dn_text *to, const char *name) {
    size_t n = strlen(name);
    int quoted = !n || strpbrk(name, ",\"#;") || name[0] == ' ' || name[n - 1] == ' ';
    if (quoted) dn_text_add(to, "\"", 1);
    for (size_t i = 0; i < n; i++) {
        char c = (unsigned char)name[i] < ' ' ? ' ' : name[i];
        dn_text_add(to, &c, 1);
        if (c == '"') dn_text_add(to, &c, 1);
    }
    if (quoted) dn_text_add(to, "\"", 1);
}

/* A list of columns. */
static void put_name(dn_text *to, const char *name, int *n) {
    if ((*n)++) dn_text_add(to, ",", 1);
    put_cell(to, name);
}

/* All columns in coded order: their names, or their kinds. */
static void put_coded(dn_text *to, const dn_schema *schema, const char *key, int kinds) {
    dn_column_info c;
    dn_text_format(to, "%s=", key);
    for (int k = 0, n = 0; k < dn_schema_coded(schema); k++)
        for (int i = 0; dn_schema_column(schema, i, &c); i++) {
            if (c.coded != k) continue;
            if (!kinds)
                put_name(to, c.name, &n);
            else if (c.kind == DN_COLUMN_CATEGORY)
                dn_text_format(to, "%scategory:%d", k ? "," : "", c.classes);
            else
                dn_text_format(to, "%s%s", k ? "," : "", c.kind == DN_COLUMN_YES_NO ? "yes_no" : "number");
        }
    dn_text_add(to, "\n", 1);
}

/* The names of those of a kind, or with kind -1 of the conditions, below a comment; nothing if there are none. */
static void put_those(dn_text *to, const dn_schema *schema, int kind, const char *key, const char *comment) {
    dn_column_info c;
    int n = 0;
    for (int i = 0; dn_schema_column(schema, i, &c); i++) {
        if (kind < 0 ? !c.condition : c.kind != kind) continue;
        if (!n) note(to, "%s", comment), dn_text_format(to, "%s=", key);
        put_name(to, c.name, &n);
    }
    if (n) dn_text_add(to, "\n", 1);
}

/* ---- the sections ---- */

static void put_found(dn_text *to, const dn_schema *schema, size_t rows, const char *table) {
    dn_text found = {0};
    size_t size = dn_schema_text(schema, NULL, 0) + 1;
    char *text = dn_text_room(&found, size);
    note(to,
         "A network for %s, %zu row%s. Lines that begin with # explain; change the others as you like. What was found "
         "in the table:",
         table, rows, rows == 1 ? "" : "s");
    dn_text_format(to, "#\n");
    if (text) dn_schema_text(schema, text, size), note_lines(to, text);
    if (!text) to->status = DN_E_MEMORY;
    dn_text_free(&found);
}

/* "data/t.csv" gives "t" */
static void put_stem(char stem[128], const char *table) {
    const char *slash = strrchr(table, '/'), *name = slash ? slash + 1 : table;
    snprintf(stem, 128, "%s", name);
    char *gz = strstr(stem, ".gz"), *dot;
    if (gz && !gz[3]) *gz = 0;
    if ((dot = strrchr(stem, '.')) && dot > stem) *dot = 0;
}

static void put_use(dn_text *to, const char *table) {
    char stem[128];
    put_stem(stem, table);
    dn_text_format(to,
                   "#\n"
                   "# Saved as %s.cfg, train it with\n"
                   "#     darknet train %s.cfg %s\n"
                   "# which writes %s.safetensors, a model; then, for example,\n"
                   "#     darknet sample %s.safetensors -n 1000      draws new rows\n"
                   "#     darknet score %s.safetensors %s     finds unusual ones\n"
                   "#\n",
                   stem, stem, table, stem, stem, stem, table);
    note(to,
         "The network is a variational autoencoder. Its encoder, the layers down to [sampling], turns a row into a few "
         "latent numbers; its decoder, the layers after it, turns latent numbers into a row. They learn together: a "
         "row should come back as it was, and the latent numbers of all rows should look like draws from a simple "
         "distribution, the prior. New rows are then decoded from new draws.");
}

static void put_net(dn_text *to, const dn_schema *schema, const init_plan *p, size_t rows) {
    dn_text_format(to, "\n[net]\n");
    note(to, "Rows that the network looks at before it changes its weights once.");
    dn_text_format(to, "batch=%d\n", p->batch);
    note(to, "How they change: Adam finds a step of its own for each weight.");
    dn_text_format(to, "optimizer=adam\n");
    note(to, "Weights are not pulled towards 0.");
    dn_text_format(to, "decay=0\n");
    note(to, "The size of the first steps. If the loss jumps about, try half of it.");
    dn_text_format(to, "learning_rate=0.004\n");
    note(to, "Steps become smaller along half a cosine wave, to 0 at the end.");
    dn_text_format(to, "policy=cosine\n");
    size_t batch = (size_t)p->batch,
           each = rows > batch ? (rows + batch - 1) / batch : 1; /* the last one has the rest */
    note(to, "The length of the training in batches: every row is seen about %zu times. -epochs n overrides it.",
         ((size_t)p->steps + each - 1) / each);
    dn_text_format(to, "max_batches=%d\n", p->steps);
    note(to,
         "Early stopping, without the # before the keys: a tenth of the rows is held out, and the training ends when "
         "their loss has not fallen for so many passes; the best weights are kept. It helps when a small table is "
         "learned by heart.");
    int patience = rows ? (int)(STEPS / 5 / ((double)rows / p->batch + 1)) : 0;
    dn_text_format(to, "#holdout=0.1\n#early_stopping=%d\n", patience < 5 ? 5 : patience);
    put_those(to, schema, DN_COLUMN_LABEL, "label_column",
              "A column that is no data: it is kept aside, and written beside results.");
    put_those(to, schema, DN_COLUMN_ROW_WEIGHT, "row_weight",
              "The column that says how much each row counts. It is no data, and new rows do not need it.");
}

static void put_table(dn_text *to, const dn_schema *schema, const init_plan *p) {
    const char *coding = dn_schema_coding(schema);
    dn_text_format(to, "\n");
    note(to, "---- the encoder ----");
    dn_text_format(to, "\n[columns]\n");
    note(to, "The table's columns as the network reads them: first numbers (dates are numbers too), then yes/no, then "
             "categories with the number of their values. A number comes in as it is, a yes/no as -1 or 1, a category "
             "as a row of zeros with a 1 at its value.");
    put_coded(to, schema, "names", 0);
    put_coded(to, schema, "kinds", 1);
    if (p->missing) {
        note(to, "Some numbers are missing: beside each number stands a 1 where there is none. Missing cells cost "
                 "nothing in training.");
        dn_text_format(to, "missing=1\n");
    }
    put_those(to, schema, DN_COLUMN_DROPPED, "drop", "Columns that are left out.");
    if (coding && strcmp(coding, "quantiles")) {
        note(to, "How numbers are scaled for the network.");
        dn_text_format(to, "coding=%s\n", coding);
    }
}

static void put_hidden(dn_text *to, int n, const char *meaning) {
    dn_text_format(to, "\n[connected]\n");
    if (meaning) note(to, "%s", meaning);
    dn_text_format(to, "output=%d\nactivation=relu\n", n);
}

static void put_latent(dn_text *to, const init_plan *p) {
    dn_text_format(to, "\n[connected]\n");
    note(to, "%d latent numbers: of each the logarithm of its variance, then of each its mean.", p->latent);
    dn_text_format(to, "output=%d\nactivation=linear\n\n[sampling]\n", 2 * p->latent);
    note(to, "In training, latent numbers are drawn around their means. beta is what it costs when they do not look "
             "like draws from the prior: with 1, the loss is a bound on the likelihood of the table; with "
             "less, rows come back more exactly and new ones are less lifelike.");
    dn_text_format(to, "beta=1\n");
    note(to, "For so many batches beta rises from 0, so that the network first learns what rows look like.");
    dn_text_format(to, "beta_warmup=%d\n", p->warm_up);
    note(to, "What latent numbers should look like is learned too: a mixture of so many normal distributions, so that "
             "groups of rows may lie apart from each other. New rows are drawn from it.");
    dn_text_format(to, "prior=mixture\ncomponents=%d\n", COMPONENTS);
}

static void put_decoder(dn_text *to, const dn_schema *schema, const init_plan *p) {
    dn_text_format(to, "\n");
    note(to, "---- the decoder ----");
    if (p->conditions) {
        dn_text_format(to, "\n[condition]\n");
        put_those(to, schema, -1, "columns",
                  "Columns that the decoder is told instead of having to guess them: sample -where \"name=value\" then "
                  "draws rows with that value.");
    }
    put_hidden(to, p->hidden, NULL);
    put_hidden(to, p->hidden, NULL);
    dn_text_format(to, "\n[connected]\n");
    note(to,
         "What the columns need: 1 for each of %d numbers and %d yes/no, and 1 for each of the %d values of %d "
         "categories.",
         p->numbers, p->yes_no, p->classes, p->categories);
    dn_text_format(to, "output=%d\nactivation=linear\n\n[cost]\n", p->outputs);
    note(to, "How far a row is from what comes back, as minus the logarithm of its probability: a number is Gaussian, "
             "with a deviation that each column learns; yes/no and categories have a probability for each value.");
    dn_text_format(to, "type=columns\n");
}

size_t dn_schema_cfg(const dn_schema *schema, size_t rows, const dn_init_options *options, char *text, size_t size) {
    static const dn_init_options none;
    if (!options) options = &none;
    const char *table = options->table ? options->table : "data.csv";
    init_plan p = init_choose(schema, rows, options->latent);
    dn_text to = {0};
    put_found(&to, schema, rows, table);
    put_use(&to, table);
    put_net(&to, schema, &p, rows);
    put_table(&to, schema, &p);
    put_hidden(&to, p.hidden,
               "Hidden values. More of them can learn finer structure, and take more rows and time to learn it.");
    put_latent(&to, &p);
    put_decoder(&to, schema, &p);
    size_t length = to.status == DN_OK ? to.size : 0;
    if (size) {
        size_t n = length < size ? length : size - 1;
        if (n) memcpy(text, to.bytes, n);
        text[n] = 0;
    }
    dn_text_free(&to);
    return length;
}
