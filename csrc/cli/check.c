/* check: is the user's network computed right? */
#include "cli/cli.h"
#include <stdlib.h>

static void check_number(const char *name, double value) {
    printf("\"%s\": ", name);
    cli_json_number(stdout, value);
    printf(", ");
}

static void check_json(const dn_checks *checks) {
    printf("{\"ok\": %s, \"checks\": [", checks->n_failed ? "false" : "true");
    for (int i = 0; i < checks->n; i++) {
        const dn_check_line *l = &checks->lines[i];
        printf("%s\n  {\"layer\": ", i ? "," : "");
        printf(l->layer < 0 ? "null" : "%d", l->layer);
        printf(", \"type\": \"%s\", \"what\": ", l->type);
        cli_json_text(stdout, l->what);
        printf(", \"with\": \"%s\", \"values\": %zu, ", l->against, l->values);
        check_number("error", l->error);
        check_number("tolerance", l->tolerance);
        check_number("found", l->found);
        check_number("expected", l->expected);
        printf("\"ok\": %s}", l->ok < 0 ? "null" : l->ok ? "true" : "false");
    }
    printf("], \"summary\": ");
    cli_json_text(stdout, checks->summary);
    printf("}\n");
}

static void check_table(const dn_checks *checks) {
    printf("layer  type           what                     compared with values    error\n");
    for (int i = 0; i < checks->n; i++) {
        const dn_check_line *l = &checks->lines[i];
        if (l->layer < 0) /* of the whole network: `what` takes the place of the type too */
            printf("%7s%-40s%-13s", "", l->what, l->against);
        else
            printf("%5d  %-13.13s  %-25s%-13s", l->layer, l->type, l->what, l->against);
        if (l->ok < 0)
            printf("   not comparable\n");
        else
            printf(" %6zu  %7.1e %s\n", l->values, l->error, l->ok ? "ok" : "FAIL");
        if (!l->ok)
            printf("%8s%.9g, expected %.9g; the relative error may be %.0e\n", "", l->found, l->expected, l->tolerance);
    }
    cli_put(stdout, checks->summary);
}

/* The rows and their truth, if there is a table. */
static int check_rows(const cli_args *args, const dn_net *net, dn_table *table, float **truth) {
    dn_classes classes = {0};
    int code = cli_table(args, net, args->data, 0, table);
    if (!code && cli_own_truth(args, net)) code = cli_truth(args, net, args->data, table, &classes, truth);
    dn_classes_free(&classes);
    return code ? code : cli_rows_fit(args, net, args->data, table, *truth);
}

int cli_check_network(const cli_args *args) {
    cli_args own = *args;
    dn_net *net = NULL;
    dn_table table = {0};
    dn_checks checks = {0};
    float *truth = NULL;
    int code = cli_network(&own, &net);
    if (!code && args->data) code = check_rows(&own, net, &table, &truth);
    dn_rows rows = cli_rows(&table, truth);
    if (!code) code = cli_check(args, dn_net_check(net, &rows, &checks));
    if (!code) {
        (args->json ? check_json : check_table)(&checks);
        code = cli_flush(args);
        if (!code && checks.n_failed) code = DN_E_NUMERIC;
    }
    dn_checks_free(&checks);
    dn_table_free(&table);
    free(truth);
    dn_net_destroy(net);
    return code;
}
