/* Prints what a process may use of the machine whose system files lie under the folder given: processors and bytes. Run
 * by tests/test_machine.py on trees of control groups that it makes up. */
#include "base/machine.h"
#include <stdio.h>

int main(int argc, char **argv) {
    const char *root = argc > 1 ? argv[1] : "";
    printf("%d %zu\n", dn_machine_processors(root), dn_machine_memory(root));
    return 0;
}
