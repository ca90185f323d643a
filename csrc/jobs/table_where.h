/* Conditions on the rows of a table, as sample -where gives them. */
#ifndef DN_TABLE_WHERE_H
#define DN_TABLE_WHERE_H
#include "darknet.h"

typedef enum where_op { WHERE_EQUAL, WHERE_OTHER, WHERE_BELOW, WHERE_AT_MOST, WHERE_ABOVE, WHERE_AT_LEAST } where_op;

typedef struct where_term {
    dn_column_info column;
    int index; /* in the table */
    where_op op;
    int given;        /* [condition] is told `code`: it holds for all rows */
    float code;       /* of the value, with = and != */
    double number;    /* of numbers and times: compared with the decoded value */
    uint8_t *allowed; /* of yes_no and categories: (classes) */
} where_term;

typedef struct dn_where {
    const dn_schema *schema;
    int n, left; /* left: of those that are not given */
    where_term *terms;
} dn_where;

/* "a=x,b>=3": every condition must hold. A condition with a comma stands in quotes, as a cell of a CSV row. DN_E_USAGE:
 * it is none, or about a column or a value that the schema does not know. To be freed, also after an error. */
dn_status dn_where_parse(dn_where *where, const dn_schema *schema, const char *text);
void dn_where_free(dn_where *where);
/* Which of the rows x (rows, coded) fulfil all of them: kept (rows), 1 or 0. Given
 * ones are not looked at. */
dn_status dn_where_test(const dn_where *where, const float *x, size_t rows, uint8_t *kept);
#endif
