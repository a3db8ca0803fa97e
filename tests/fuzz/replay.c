/*
 * Runs a fuzz target over the inputs of its corpus, so that `make check` covers them with any compiler.
 *
 * The program's own name chooses the corpus: replay_request reads $srcdir/tests/fuzz/corpus/request. Each input stands
 * alone at the end of its own heap block, where a sanitizer sees a read past it. Besides every whole input, its
 * prefixes are run. Finding new inputs is libFuzzer's work (tests/fuzz/run), not done here.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Of a long input, prefixes beyond this length are skipped: they would cost the square of the length. */
#define PREFIX_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run_one(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    if (copy == NULL)
        abort();
    if (len > 0)
        memcpy(copy, bytes, len);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

/* Runs the file's bytes and their prefixes. Gives 0 when the file cannot be read. */
static int run_file(const char *path)
{
    struct stat status;
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    int done = 0;

    if (file == NULL || fstat(fileno(file), &status) != 0 || !S_ISREG(status.st_mode))
        goto cleanup;
    bytes = malloc((size_t)status.st_size + 1);
    if (bytes == NULL || fread(bytes, 1, (size_t)status.st_size, file) != (size_t)status.st_size)
        goto cleanup;
    for (size_t len = 0; len < (size_t)status.st_size && len < PREFIX_MAX; len++)
        run_one(bytes, len);
    run_one(bytes, (size_t)status.st_size);
    done = 1;
cleanup:
    free(bytes);
    if (file != NULL)
        fclose(file);
    return done;
}

/* Runs every file of the directory. Gives how many, or -1 when it, or a file of it, cannot be read. */
static int run_directory(const char *path)
{
    char name[4096];
    struct dirent *entry;
    DIR *directory = opendir(path);
    int count = 0;

    if (directory == NULL)
        return -1;
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) >= (int)sizeof(name) || !run_file(name)) {
            fprintf(stderr, "cannot read %s/%s\n", path, entry->d_name);
            count = -1;
            break;
        }
        count++;
    }
    closedir(directory);
    return count;
}

int main(int argc, char **argv)
{
    char path[4096];
    const char *source = getenv("srcdir");
    const char *name = argc > 0 ? strstr(argv[0], "replay_") : NULL;
    int count;

    if (name == NULL) {
        fprintf(stderr, "the program's name does not say which corpus to run\n");
        return EXIT_FAILURE;
    }
    snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", source != NULL ? source : ".", name + strlen("replay_"));
    count = run_directory(path);
    if (count <= 0) {
        fprintf(stderr, "no inputs in %s\n", path);
        return EXIT_FAILURE;
    }
    printf("%d inputs of %s, whole and cut short\n", count, path);
    return EXIT_SUCCESS;
}
