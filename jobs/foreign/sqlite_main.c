/* A shell for SQLite as small as can be: runs the SQL on standard input on the database that the
 * first argument names, and prints each row with bars between its columns. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

static int row(void *nothing, int columns, char **values, char **names) {
    (void)nothing, (void)names;
    for (int at = 0; at < columns; at++)
        printf("%s%s", at ? "|" : "", values[at] ? values[at] : "");
    putchar('\n');
    return 0;
}

int main(int count, char **words) {
    sqlite3 *database;
    char *text = malloc(1 << 20), *fault = NULL;
    size_t length = text ? fread(text, 1, (1 << 20) - 1, stdin) : 0;
    if (!text || !feof(stdin)) {
        fputs("SQL of less than 1 MiB is read from standard input\n", stderr);
        return 2;
    }
    text[length] = '\0';
    if (sqlite3_open(count > 1 ? words[1] : ":memory:", &database) != SQLITE_OK
        || sqlite3_exec(database, text, row, NULL, &fault) != SQLITE_OK) {
        fprintf(stderr, "%s\n", fault ? fault : sqlite3_errmsg(database));
        return 1;
    }
    return sqlite3_close(database) == SQLITE_OK ? 0 : 1;
}
