/* How fast an upsert batch is read: quiver's reader beside yyjson, in one run on one thread.
 *
 *   bench_json [POINTS [DIMENSION]]      default: 200 points of 1,536 dimensions
 *
 * Three texts of the same points: numbers as Python's json.dumps writes doubles that were floats
 * (17 digits, with spaces), as the shortest text of a float, and as 6 digits. Per text the median
 * of ROUNDS rounds, in which the readers take turns:
 *
 *   quiver          json_parse: the document, and every vector as floats
 *   yyjson          yyjson_read: the document, vectors as values of 16 bytes
 *   yyjson + copy   the same, and the vectors converted into floats
 *
 * It ends with an error when the two do not give the same floats.
 */
#include "http/json.h"
#include "base/clock.h"
#include "base/prng.h"
#include "bench/target.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { ROUNDS = 15 };

enum style { STYLE_PYTHON, STYLE_SHORTEST, STYLE_SIX_DIGITS, STYLES };
static const char *const style_names[] = {"17 digits, spaces (Python)", "shortest float",
					  "6 digits"};

static void put_vector(struct buf *b, struct prng *p, size_t dimension, enum style style)
{
	for (size_t i = 0; i < dimension; i++) {
		float v = prng_gauss(p) * 0.03f;

		if (style == STYLE_PYTHON) {
			buf_put(b, i ? ", " : "[", i ? 2 : 1);
			json_put_double(b, (double)v);
		} else {
			buf_put_u8(b, i ? ',' : '[');
			if (style == STYLE_SHORTEST)
				json_put_float(b, v);
			else
				buf_printf(b, "%.6f", (double)v);
		}
	}
	buf_put_u8(b, ']');
}

static void make_batch(struct buf *b, size_t points, size_t dimension, enum style style)
{
	struct prng p;

	prng_seed(&p, 1);
	json_put_literal(b, "{\"points\":[");
	for (size_t i = 0; i < points; i++) {
		buf_printf(b, "%s{\"id\":%zu,\"vector\":", i ? "," : "", i);
		put_vector(b, &p, dimension, style);
		buf_printf(b,
			   ",\"payload\":{\"page_content\":\"Passage %zu of a document, long enough "
			   "to be one.\",\"metadata\":{\"source\":\"file-%zu.md\",\"page\":%zu}}}",
			   i, i % 100, i % 7);
	}
	json_put_literal(b, "]}");
}

/* Both: the sum of all floats, so that they are really made and can be compared. */

static double read_quiver(const struct buf *b, struct arena *arena, double *seconds)
{
	uint64_t start_ns = clock_thread_cpu_ns();
	const struct json *v;
	struct json_iter it;
	double sum = 0;
	size_t n;

	if (json_parse(b->data, b->len, arena, &v, NULL))
		abort();
	*seconds = (double)(clock_thread_cpu_ns() - start_ns) * 1e-9;
	for (it = json_iterate(json_get(v, "points")); json_next(&it);) {
		const float *f = json_floats(json_get(it.value, "vector"), arena, &n);

		for (size_t i = 0; i < n; i++)
			sum += (double)f[i];
	}
	return sum;
}

static double read_yyjson(const struct buf *b, float *floats, double *seconds, double *with_copy)
{
	uint64_t start_ns = clock_thread_cpu_ns();
	yyjson_doc *doc = yyjson_read((const char *)b->data, b->len, 0);
	yyjson_val *points, *point, *vector, *value;
	size_t i, n_points, k, n, at = 0;
	double sum = 0;

	if (!doc)
		abort();
	*seconds = (double)(clock_thread_cpu_ns() - start_ns) * 1e-9;
	points = yyjson_obj_get(yyjson_doc_get_root(doc), "points");
	yyjson_arr_foreach(points, i, n_points, point)
	{
		vector = yyjson_obj_get(point, "vector");
		yyjson_arr_foreach(vector, k, n, value) floats[at++] = (float)yyjson_get_num(value);
	}
	yyjson_doc_free(doc);
	*with_copy = (double)(clock_thread_cpu_ns() - start_ns) * 1e-9;
	for (i = 0; i < at; i++)
		sum += (double)floats[i];
	return sum;
}

static int measure(size_t points, size_t dimension, enum style style)
{
	double quiver[ROUNDS], yyjson[ROUNDS], copied[ROUNDS], sum = 0, other = 0, megabytes;
	float *floats = malloc(points * dimension * sizeof(*floats));
	struct arena *arena = arena_new(1 << 20);
	struct buf b = BUF_INIT;

	make_batch(&b, points, dimension, style);
	for (int i = 0; i < ROUNDS; i++) {
		arena_reset(arena);
		sum = read_quiver(&b, arena, &quiver[i]);
		other = read_yyjson(&b, floats, &yyjson[i], &copied[i]);
	}
	megabytes = (double)b.len * 1e-6;
	printf("| %-26s | %5.1f | %6.0f | %6.0f | %13.0f |\n", style_names[style], megabytes,
	       megabytes / median(quiver, ROUNDS), megabytes / median(yyjson, ROUNDS),
	       megabytes / median(copied, ROUNDS));
	buf_fini(&b);
	arena_free(arena);
	free(floats);
	if (sum == other)
		return 0;
	fprintf(stderr, "bench_json: the two readers disagree: %.17g and %.17g\n", sum, other);
	return 1;
}

int main(int argc, char **argv)
{
	size_t points = argc > 1 ? strtoul(argv[1], NULL, 10) : 200;
	size_t dimension = argc > 2 ? strtoul(argv[2], NULL, 10) : 1536;
	int rc = 0;

	if (points == 0 || dimension == 0) {
		fprintf(stderr, "usage: bench_json [POINTS [DIMENSION]]\n");
		return 2;
	}
	printf("JSON upsert batch of %zu x %zu-d, one thread, MB per second of CPU time (median of %d rounds)\n\n",
	       points, dimension, ROUNDS);
	printf("| numbers                    |    MB | quiver | yyjson | yyjson + copy |\n"
	       "|----------------------------|------:|-------:|-------:|--------------:|\n");
	for (int style = 0; style < STYLES; style++)
		rc |= measure(points, dimension, (enum style)style);
	return rc;
}
