/* main() of a fuzz target without libFuzzer: runs every file of the corpus folder (or the files named), and `--runs`
 * mutations of them, made from `--seed`. An input that ends the process is left in the file that is named first.
 *
 *   fuzz_json tests/fuzz/corpus/json
 *   fuzz_json --runs 100000 --seed 7 tests/fuzz/corpus/json
 *   fuzz_json crash-input
 */
#include "base/memory.h"
#include "base/prng.h"
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INPUT_BYTES_MAX = 1 << 20, MUTANT_BYTES_MAX = 1 << 16 };

struct corpus {
	struct buf *items;
	size_t n, cap;
};

static void add_file(struct corpus *c, const char *path)
{
	FILE *f = fopen(path, "rb");
	struct buf b = BUF_INIT;
	size_t got;

	if (f == NULL) {
		fprintf(stderr, "cannot read %s\n", path);
		exit(2);
	}
	buf_reserve(&b, INPUT_BYTES_MAX);
	got = fread(b.data, 1, INPUT_BYTES_MAX, f);
	b.len = got;
	fclose(f);
	if (c->n == c->cap) {
		c->cap = 2 * c->cap + 16;
		c->items = mem_resize(c->items, c->cap * sizeof(*c->items));
	}
	c->items[c->n++] = b;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void add_path(struct corpus *c, const char *path)
{
	struct dirent **names;
	struct stat st;
	int n;

	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
		add_file(c, path);
		return;
	}
	n = scandir(path, &names, NULL, by_name);
	for (int i = 0; i < n; i++) {
		char file[4096];

		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			add_file(c, file);
		free(names[i]);
	}
	free(names);
}

/* A block of exactly that size, so that a read past the end is seen. */
static void run(const uint8_t *bytes, size_t n)
{
	uint8_t *copy = malloc(n + (n == 0));

	if (n > 0)
		memcpy(copy, bytes, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static const uint64_t NUMBERS[] = {0,         1,          0x7f,       0x80,     0xff,
				   0x7fff,    0xffff,     0x7fffffff, 1u << 31, 0xffffffff,
				   INT64_MAX, UINT64_MAX, 64,         4096,     1u << 20};

static void mutate_once(struct buf *b, const struct corpus *c, struct prng *p)
{
	const struct buf *other = &c->items[prng_below(p, c->n)];
	size_t at = b->len == 0 ? 0 : (size_t)prng_below(p, b->len);
	uint64_t number = NUMBERS[prng_below(p, sizeof(NUMBERS) / sizeof(NUMBERS[0]))];
	size_t width = (size_t)1 << prng_below(p, 4), n;

	switch (b->len == 0 ? 4 : prng_below(p, 6)) {
	case 0: b->data[at] ^= (uint8_t)(1u << prng_below(p, 8)); break;
	case 1: b->data[at] = (uint8_t)prng_u64(p); break;
	case 2:
		if (at + width <= b->len)
			memcpy(b->data + at, &number, width);
		break;
	case 3: b->len = at; break;
	case 4: /* a piece of another one at the end */
		if (other->len == 0)
			break;
		at = (size_t)prng_below(p, other->len);
		n = 1 + (size_t)prng_below(p, other->len - at);
		if (b->len + n < MUTANT_BYTES_MAX)
			buf_put(b, other->data + at, n);
		break;
	case 5: /* a piece less */
		n = 1 + (size_t)prng_below(p, b->len - at);
		memmove(b->data + at, b->data + at + n, b->len - at - n);
		b->len -= n;
		break;
	}
}

static void save(const char *path, const struct buf *b)
{
	FILE *f = fopen(path, "wb");

	if (f != NULL) {
		fwrite(b->data, 1, b->len, f);
		fclose(f);
	}
}

static void run_mutants(const struct corpus *c, uint64_t seed, uint64_t runs)
{
	struct buf b = BUF_INIT;
	struct prng p;
	char path[96];

	/* A crash leaves the file behind. */
	snprintf(path, sizeof(path), "/tmp/quiver-fuzz-input-%d", (int)getpid());
	printf("# seed %lu; the last input is in %s if this ends here\n", (unsigned long)seed,
	       path);
	fflush(stdout);
	prng_seed(&p, seed);
	for (uint64_t i = 0; i < runs; i++) {
		const struct buf *from = &c->items[prng_below(&p, c->n)];

		buf_clear(&b);
		buf_put(&b, from->data,
			from->len < MUTANT_BYTES_MAX ? from->len : MUTANT_BYTES_MAX);
		for (uint64_t k = 1 + prng_below(&p, 4); k > 0; k--)
			mutate_once(&b, c, &p);
		save(path, &b);
		run(b.data, b.len);
	}
	unlink(path);
	buf_fini(&b);
}

int main(int argc, char **argv)
{
	struct corpus c = {0};
	uint64_t runs = 0, seed = 1;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc)
			runs = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
			seed = strtoull(argv[++i], NULL, 10);
		else
			add_path(&c, argv[i]);
	}
	if (c.n == 0) {
		fprintf(stderr, "no inputs\n");
		return 2;
	}
	printf("1..1\n");
	for (size_t i = 0; i < c.n; i++)
		run(c.items[i].data, c.items[i].len);
	run_mutants(&c, seed, runs);
	printf("ok 1 - %zu inputs, %lu mutations\n", c.n, (unsigned long)runs);
	for (size_t i = 0; i < c.n; i++)
		buf_fini(&c.items[i]);
	free(c.items);
	return 0;
}
