/* Our search over the lists of IVF indexes: what FAISS finds over the same file is found, a batch answers as its
 * queries alone would, rows can be passed by, and the curve leads to the recall that is wished. */
#include "tests/unit/unit.h"

#include "base/bitset.h"
#include "tests/unit/index/index_util.h"
#include <math.h>

/* Training a product quantiser takes more rows, and long. */
enum { N = 3000, N_PQ = 11000, DIM = 20, N_QUERIES = 40, K = 10, NLIST = 60 };

static const enum quantizer quantizers[] = {QUANTIZER_NONE, QUANTIZER_SQ8, QUANTIZER_PQ};

struct pair {
	struct sample s;
	struct buf file;
	struct vindex *ours, *faiss;
};

static struct vindex *open_as(const struct pair *p, enum distance distance,
			      const struct index_config *config, bool faiss_only)
{
	const struct vindex_open o = {
		.bytes = p->file.data,
		.n_bytes = p->file.len,
		.rows = {.data = p->s.rows, .n = p->s.n, .dim = p->s.dim},
		.distance = distance,
		.config = *config,
		.faiss_only = faiss_only,
	};
	struct vindex *v = NULL;

	assert_int_equal(vindex_open(&o, &v, NULL), 0);
	return v;
}

static struct pair pair_new(enum distance distance, enum quantizer quantizer)
{
	const struct index_config config = {.kind = INDEX_IVF,
					    .nlist = NLIST,
					    .quantizer = quantizer};
	struct pair p = {.s = sample_new(quantizer == QUANTIZER_PQ ? N_PQ : N, DIM, N_QUERIES)};
	struct vindex *built = build_index(&p.s, distance, &config);

	assert_int_equal(vindex_save(built, save_to_buf, &p.file, NULL), 0);
	vindex_free(built);
	p.ours = open_as(&p, distance, &config, false);
	p.faiss = open_as(&p, distance, &config, true);
	return p;
}

static void pair_free(struct pair *p)
{
	vindex_free(p->ours);
	vindex_free(p->faiss);
	buf_fini(&p->file);
	sample_free(&p->s);
}

static struct vindex_query query(const struct pair *p, uint32_t i, uint32_t nprobe)
{
	return (struct vindex_query){.vector = p->s.queries + (size_t)i * DIM,
				     .k = K,
				     .nprobe = nprobe};
}

static uint32_t search(const struct vindex *v, const struct vindex_query *q, struct topk_item *out)
{
	uint32_t n;

	assert_int_equal(vindex_search(v, q, out, &n, NULL, NULL), 0);
	return n;
}

/* All candidates of both are compared by their rows, so that only what was a candidate can differ. */
static void check_pair(const struct pair *p, enum quantizer quantizer)
{
	struct topk_item a[K], b[K];
	uint32_t same = 0;

	for (uint32_t i = 0; i < N_QUERIES; i++) {
		struct vindex_query q = query(p, i, 8);

		q.ignore_codes = quantizer != QUANTIZER_NONE;
		uint32_t n_a = search(p->ours, &q, a), n_b = search(p->faiss, &q, b);

		assert_int_equal(n_a, K);
		assert_int_equal(n_b, K);
		same += overlap(a, n_a, b, n_b);
	}
	if (same < (uint32_t)(0.97 * N_QUERIES * K))
		fail_msg("%s: %u of %d are the same", quantizer_name(quantizer), same,
			 N_QUERIES * K);
}

static void check_batch(const struct pair *p)
{
	struct vindex_query q[N_QUERIES];
	struct vindex_answer answers[N_QUERIES];
	struct topk_item items[N_QUERIES][K], alone[K];
	struct bitset allow;

	bitset_init(&allow, p->s.n, false);
	for (uint32_t i = 0; i < p->s.n; i += 2)
		bitset_set(&allow, i);
	for (uint32_t i = 0; i < N_QUERIES; i++) {
		q[i] = query(p, i, 1 + i % 7);
		if (i % 5 == 1) {
			q[i].allow = &allow;
			q[i].n_allow = bitset_count(&allow);
		}
		q[i].k = i % 11 == 3 ? 0 : K;
		answers[i].items = items[i];
	}
	assert_int_equal(vindex_search_batch(p->ours, q, answers, N_QUERIES, NULL), 0);
	for (uint32_t i = 0; i < N_QUERIES; i++) {
		uint32_t n = search(p->ours, &q[i], alone);

		assert_int_equal(answers[i].n, n);
		assert_true(n == q[i].k);
		for (uint32_t j = 0; j < n; j++) {
			assert_int_equal(items[i][j].tag, alone[j].tag);
			assert_true(!q[i].allow || items[i][j].tag % 2 == 0);
		}
	}
	bitset_fini(&allow);
}

/* Keys by codes alone are near those of the rows, and in the same units. */
static void check_keys(const struct pair *p, enum distance distance, enum quantizer quantizer)
{
	struct topk_item out[K];

	for (uint32_t i = 0; i < N_QUERIES; i++) {
		struct vindex_query q = query(p, i, NLIST);

		q.no_rescore = true;
		uint32_t n = search(p->ours, &q, out);
		for (uint32_t j = 0; j < n; j++) {
			float exact = vindex_distance(distance, q.vector,
						      p->s.rows + out[j].tag * DIM, DIM);

			assert_true(fabsf(exact - out[j].key) <
				    (quantizer == QUANTIZER_PQ ? 0.5f : 0.05f));
		}
	}
}

static void check_besides(const struct pair *p)
{
	struct topk_item out[K];

	for (uint32_t row = 0; row < p->s.n; row += 300) {
		struct vindex_query q = query(p, 0, 4);

		q.vector = p->s.rows + (size_t)row * DIM;
		q.besides = row + 1;
		uint32_t n = search(p->ours, &q, out);
		assert_int_equal(n, K);
		for (uint32_t j = 0; j < n; j++)
			assert_int_not_equal(out[j].tag, row);
	}
}

static void test_every_kind(void **state)
{
	for (size_t d = 0; d < 4; d++) {
		for (size_t i = 0; i < 3; i++) {
			if (quantizers[i] == QUANTIZER_PQ && all_distances[d] != DISTANCE_COSINE &&
			    all_distances[d] != DISTANCE_EUCLID)
				continue;
			struct pair p = pair_new(all_distances[d], quantizers[i]);

			check_pair(&p, quantizers[i]);
			check_batch(&p);
			check_besides(&p);
			if (all_distances[d] == DISTANCE_EUCLID)
				check_keys(&p, all_distances[d], quantizers[i]);
			pair_free(&p);
		}
	}
}

static double recall_at(const struct pair *p, uint32_t nprobe)
{
	const struct vindex_rows rows = {.data = p->s.rows, .n = N, .dim = DIM};
	struct topk_item found[K], truth[K];
	uint32_t same = 0;

	for (uint32_t i = 0; i < N_QUERIES; i++) {
		const struct vindex_query q = query(p, i, nprobe);
		uint32_t n = search(p->ours, &q, found), n_truth;

		vindex_scan(&rows, DISTANCE_EUCLID, &q, truth, &n_truth);
		same += overlap(found, n, truth, n_truth);
	}
	return (double)same / (N_QUERIES * K);
}

static void test_wishes(void **state)
{
	struct pair p = pair_new(DISTANCE_EUCLID, QUANTIZER_SQ8);
	struct vindex_wish wish = {.k = K};
	uint32_t before = 0;

	assert_int_equal(vindex_effort(p.ours, &wish), 0);
	for (wish.min_recall = 0.8f; wish.min_recall < 0.995f; wish.min_recall += 0.05f) {
		uint32_t nprobe = vindex_effort(p.ours, &wish);

		assert_in_range(nprobe, before > 1 ? before : 1, NLIST);
		assert_true(recall_at(&p, nprobe) >= (double)wish.min_recall - 0.03);
		before = nprobe;
	}
	wish.budget_us = 1;
	assert_int_equal(vindex_effort(p.ours, &wish), 1);
	wish = (struct vindex_wish){.k = K, .budget_us = 1000000};
	assert_in_range(vindex_effort(p.ours, &wish), 8, NLIST);
	pair_free(&p);
}

static void test_late(void **state)
{
	struct pair p = pair_new(DISTANCE_EUCLID, QUANTIZER_NONE);
	struct vindex_query q = query(&p, 0, NLIST);
	struct vindex_stats stats;
	struct topk_item out[K];
	uint32_t n;

	q.deadline_us = 1;
	assert_int_equal(vindex_search(p.ours, &q, out, &n, &stats, NULL), 0);
	assert_true(stats.cut);
	assert_int_equal(n, K);
	assert_true(stats.distances < N);
	pair_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kind),
		cmocka_unit_test(test_wishes),
		cmocka_unit_test(test_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
