/* See the header. Updates of the model follow the words of model/op.h, not the code of shard/. */
#include "tests/unit/shard/model.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const tags[] = {"a", "b", "c", "d", NULL};

void model_schema(struct fixture *f, struct model *m, enum index_kind kind)
{
	fixture_add_space(f, "", MODEL_DIM, m->distance[0], kind);
	fixture_add_space(f, "b", MODEL_DIM, m->distance[1], kind);
	fixture_add_sparse(f, "s");
	fixture_add_field(f, "tag", FIELD_KEYWORD);
}

static uint64_t below(struct model *m, uint64_t n)
{
	return prng_below(&m->random, n);
}

/* ---- operations ---- */

static void send(const struct model *m, struct fixture *f, const struct write *w, uint64_t wanted)
{
	if (!m->dry)
		assert_int_equal(fixture_write(f, w), wanted);
}

static void random_vector(struct model *m, uint32_t space, float *out)
{
	for (uint32_t i = 0; i < MODEL_DIM; i++)
		out[i] = prng_gauss(&m->random);
	if (m->distance[space] == DISTANCE_COSINE)
		vector_normalize(out, MODEL_DIM);
}

static void random_vectors(struct model *m, struct model_point *p)
{
	for (uint32_t s = 0; s < 2; s++)
		if ((p->has_dense[s] = below(m, 10) > s))
			random_vector(m, s, p->dense[s]);
	p->n_sparse = (uint32_t)below(m, MODEL_SPARSE + 1);
	for (uint32_t i = 0; i < p->n_sparse; i++) {
		p->indices[i] = i * 10 + (uint32_t)below(m, 10);
		p->weights[i] = (float)prng_unit(&m->random) + 0.1f;
	}
}

static void vectors_of(struct fixture *f, const struct model_point *p, struct point *out)
{
	out->vectors = arena_zalloc(f->arena, 3 * sizeof *out->vectors);
	out->n_vectors = 0;
	for (uint32_t s = 0; s < 2; s++)
		if (p->has_dense[s])
			out->vectors[out->n_vectors++] = (struct vector){
				VECTOR_DENSE, s, MODEL_DIM,
				arena_copy(f->arena, p->dense[s], sizeof p->dense[s]), NULL};
	if (p->n_sparse)
		out->vectors[out->n_vectors++] =
			(struct vector){VECTOR_SPARSE, 0, p->n_sparse,
					arena_copy(f->arena, p->weights, sizeof p->weights),
					arena_copy(f->arena, p->indices, sizeof p->indices)};
}

static void step_upsert(struct model *m, struct fixture *f)
{
	uint32_t n = 1 + (uint32_t)below(m, 40);
	struct point *points = arena_zalloc(f->arena, n * sizeof *points);
	struct write w = {.op = {.type = OP_UPSERT, .n_points = n, .points = points},
			  .mode = (enum update_mode)below(m, 3)};
	bool fresh[MODEL_IDS] = {false};

	if (below(m, 2))
		w.mode = UPDATE_UPSERT;
	m->seq++;
	uint64_t wanted = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t id = below(m, MODEL_IDS);
		struct model_point p = {.exists = true,
					.version = m->seq,
					.has_n = true,
					.n = (int64_t)below(m, 100)};
		struct model_point *old = &m->points[id];

		p.tag = tags[below(m, 5)];
		random_vectors(m, &p);
		points[i] = (struct point){.id = test_id(id),
					   .payload = test_payload(f->arena, p.n, p.tag)};
		vectors_of(f, &p, &points[i]);
		/* what the batch itself wrote does not count as existing, but of two inserts the
		 * first stands */
		bool existed = old->exists && !fresh[id];
		if (w.mode == UPDATE_INSERT_ONLY && (existed || fresh[id]))
			continue;
		if (w.mode == UPDATE_UPDATE_ONLY && !old->exists)
			continue;
		fresh[id] = !existed;
		*old = p;
		wanted++;
	}
	send(m, f, &w, wanted);
	if (wanted == 0)
		m->seq--; /* nothing is logged */
}

static uint32_t random_ids(struct model *m, struct fixture *f, struct op *op, uint64_t *ids,
			   uint32_t max)
{
	uint32_t n = 1 + (uint32_t)below(m, max);

	op->ids = arena_alloc(f->arena, n * sizeof *op->ids);
	op->n_ids = n;
	for (uint32_t i = 0; i < n; i++) {
		ids[i] = below(m, MODEL_IDS);
		op->ids[i] = test_id(ids[i]);
	}
	return n;
}

static void step_delete(struct model *m, struct fixture *f)
{
	struct write w = {.op.type = OP_DELETE};
	uint64_t ids[16], wanted = 0;
	uint32_t n = random_ids(m, f, &w.op, ids, 16);

	m->seq++;
	for (uint32_t i = 0; i < n; i++) {
		wanted += m->points[ids[i]].exists;
		m->points[ids[i]] = (struct model_point){0};
	}
	send(m, f, &w, wanted);
}

static bool in_range(const struct model_point *p, int64_t low, int64_t high)
{
	return p->exists && p->has_n && p->n >= low && p->n < high;
}

static void step_delete_by_filter(struct model *m, struct fixture *f)
{
	int64_t low = (int64_t)below(m, 100), high = low + 1 + (int64_t)below(m, 3);
	struct write w = {.op.type = OP_DELETE,
			  .select = test_range(f->arena, (double)low, (double)high)};
	uint64_t wanted = 0;

	for (uint32_t i = 0; i < MODEL_IDS; i++)
		if (in_range(&m->points[i], low, high)) {
			m->points[i] = (struct model_point){0};
			wanted++;
		}
	m->seq += wanted > 0;
	send(m, f, &w, wanted);
}

static void change_payload(struct model_point *p, enum op_type type, int64_t n, const char *tag)
{
	switch (type) {
	case OP_SET_PAYLOAD:
	case OP_OVERWRITE_PAYLOAD:
		p->has_n = true;
		p->n = n;
		if (tag || type == OP_OVERWRITE_PAYLOAD)
			p->tag = tag;
		break;
	case OP_DELETE_PAYLOAD: p->tag = NULL; break;
	default: p->has_n = false; p->tag = NULL;
	}
}

static void step_payload(struct model *m, struct fixture *f)
{
	static const enum op_type types[] = {OP_SET_PAYLOAD, OP_OVERWRITE_PAYLOAD,
					     OP_DELETE_PAYLOAD, OP_CLEAR_PAYLOAD};
	struct write w = {.op.type = types[below(m, 4)]};
	const char *tag = tags[below(m, 5)];
	int64_t value = (int64_t)below(m, 100);
	uint64_t ids[16], wanted = 0;
	uint32_t n = random_ids(m, f, &w.op, ids, 16);
	struct path path;

	assert_int_equal(path_parse("tag", 3, f->arena, &path, NULL), 0);
	w.op.payload = test_payload(f->arena, value, tag);
	w.op.paths = &path;
	w.op.n_paths = 1;
	if (below(m, 4) == 0)
		w.condition = test_tag(f->arena, "a");
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < i && w.condition; j++)
			if (ids[i] == ids[j])
				return; /* a condition looks at the state before the write */
	m->seq++;
	uint64_t sent = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct model_point *p = &m->points[ids[i]];

		if (w.condition && p->exists && !(p->tag && strcmp(p->tag, "a") == 0))
			continue;
		sent++;
		if (!p->exists)
			continue;
		change_payload(p, w.op.type, value, tag);
		p->version = m->seq;
		wanted++;
	}
	if (sent == 0)
		m->seq--;
	send(m, f, &w, wanted);
}

static void step_vectors(struct model *m, struct fixture *f)
{
	struct point point = {0};
	struct write w = {.op = {.type = OP_UPDATE_VECTORS, .n_points = 1, .points = &point}};
	uint64_t id = below(m, MODEL_IDS);
	struct model_point *p = &m->points[id], change = {0};

	random_vectors(m, &change);
	point.id = test_id(id);
	vectors_of(f, &change, &point);
	m->seq++;
	if (p->exists) {
		p->version = m->seq;
		for (uint32_t s = 0; s < 2; s++)
			if (change.has_dense[s]) {
				p->has_dense[s] = true;
				memcpy(p->dense[s], change.dense[s], sizeof p->dense[s]);
			}
		if (change.n_sparse) {
			p->n_sparse = change.n_sparse;
			memcpy(p->indices, change.indices, sizeof p->indices);
			memcpy(p->weights, change.weights, sizeof p->weights);
		}
	}
	send(m, f, &w, p->exists);
}

static void step_delete_vectors(struct model *m, struct fixture *f)
{
	struct write w = {.op = {.type = OP_DELETE_VECTORS, .n_spaces = 1}};
	uint64_t ids[4], wanted = 0;
	uint32_t n = random_ids(m, f, &w.op, ids, 4);
	uint32_t which = (uint32_t)below(m, 3);

	w.op.spaces = arena_zalloc(f->arena, sizeof *w.op.spaces);
	w.op.spaces[0].kind = which == 2 ? VECTOR_SPARSE : VECTOR_DENSE;
	w.op.spaces[0].space = which == 2 ? 0 : which;
	m->seq++;
	for (uint32_t i = 0; i < n; i++) {
		struct model_point *p = &m->points[ids[i]];

		if (!p->exists)
			continue;
		p->version = m->seq;
		if (which == 2)
			p->n_sparse = 0;
		else
			p->has_dense[which] = false;
		wanted++;
	}
	send(m, f, &w, wanted);
}

void model_step(struct model *m, struct fixture *f)
{
	arena_reset(f->arena);
	switch (below(m, 10)) {
	case 0: step_delete(m, f); break;
	case 1: step_delete_by_filter(m, f); break;
	case 2:
	case 3: step_payload(m, f); break;
	case 4: step_vectors(m, f); break;
	case 5: step_delete_vectors(m, f); break;
	default: step_upsert(m, f);
	}
}

/* ---- checks ---- */

uint64_t model_count(const struct model *m)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < MODEL_IDS; i++)
		n += m->points[i].exists;
	return n;
}

static float dense_score(enum distance d, const float *a, const float *b)
{
	double dot = 0, square = 0, sum = 0;

	for (int i = 0; i < MODEL_DIM; i++) {
		dot += (double)a[i] * b[i];
		square += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
		sum += fabs((double)a[i] - b[i]);
	}
	return (float)(distance_larger_is_better(d) ? dot
		       : d == DISTANCE_EUCLID       ? sqrt(square)
						    : sum);
}

/* What a search looks for: a dense space, or the sparse one (space 2). */
struct question {
	uint32_t space;
	float vector[MODEL_DIM];
	uint32_t indices[2];
	float weights[2];
	uint32_t top;
	bool has_range, has_tag;
	int64_t low, high;
	const char *tag;
};

static struct question random_question(struct model *m)
{
	struct question q = {.space = (uint32_t)below(m, 3), .top = 1 + (uint32_t)below(m, 30)};

	if (q.space < 2)
		random_vector(m, q.space, q.vector);
	q.indices[0] = (uint32_t)below(m, 10);
	q.indices[1] = 10 + (uint32_t)below(m, 10);
	q.weights[0] = q.weights[1] = 1.5f;
	q.has_range = below(m, 3) == 0;
	q.has_tag = !q.has_range && below(m, 2) == 0;
	q.low = (int64_t)below(m, 80);
	q.high = q.low + 20;
	q.tag = tags[below(m, 4)];
	return q;
}

static bool answer_of(const struct model *m, const struct question *q, const struct model_point *p,
		      float *score)
{
	bool overlap = false;

	if (!p->exists || (q->has_range && !in_range(p, q->low, q->high)) ||
	    (q->has_tag && !(p->tag && strcmp(p->tag, q->tag) == 0)))
		return false;
	if (q->space < 2) {
		*score = dense_score(m->distance[q->space], q->vector, p->dense[q->space]);
		return p->has_dense[q->space];
	}
	*score = 0;
	for (uint32_t i = 0; i < p->n_sparse; i++)
		for (uint32_t j = 0; j < 2; j++)
			if (p->indices[i] == q->indices[j]) {
				*score += p->weights[i] * q->weights[j];
				overlap = true;
			}
	return overlap;
}

static int ascending(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static int descending(const void *a, const void *b)
{
	return ascending(b, a);
}

static uint32_t expected_scores(const struct model *m, const struct question *q, float *out)
{
	uint32_t n = 0;
	bool larger = q->space == 2 || distance_larger_is_better(m->distance[q->space]);

	for (uint32_t i = 0; i < MODEL_IDS; i++)
		n += answer_of(m, q, &m->points[i], &out[n]);
	qsort(out, n, sizeof *out, larger ? descending : ascending);
	return n < q->top ? n : q->top;
}

static uint64_t number_of(struct point_id id)
{
	return id.lo;
}

static struct hits ask(struct fixture *f, const struct question *q, bool exact)
{
	struct leaf leaf = {.top = q->top, .params.exact = exact, .params.ef = 200};
	struct rpc_search_request request = {.target = fixture_target(f, 0),
					     .leaves = &leaf,
					     .n_leaves = 1};
	struct rpc_search_response out = {0};

	leaf.vector = q->space == 2
			      ? (struct vector){VECTOR_SPARSE, 0, 2, q->weights, q->indices}
			      : (struct vector){VECTOR_DENSE, q->space, MODEL_DIM, q->vector, NULL};
	if (q->has_range)
		leaf.filter = test_range(f->arena, (double)q->low, (double)q->high);
	if (q->has_tag)
		leaf.filter = test_tag(f->arena, q->tag);
	if (fixture_call(f, RPC_TYPE_search, &request, &out))
		fail_msg("search: %s", f->err.text);
	return out.hits[0];
}

static void check_search(struct model *m, struct fixture *f)
{
	struct question q = random_question(m);
	float expected[MODEL_IDS];
	uint32_t n = expected_scores(m, &q, expected);
	struct hits hits = ask(f, &q, true);

	assert_int_equal(hits.n, n);
	for (uint32_t i = 0; i < n; i++) {
		float score;

		assert_float_equal(hits.items[i].score, expected[i], 1e-4);
		/* it is really that point's */
		assert_true(answer_of(m, &q, &m->points[number_of(hits.items[i].id)], &score));
		assert_float_equal(hits.items[i].score, score, 1e-4);
	}
}

static void check_hit(const struct model_point *p, const struct hit *h)
{
	struct pv root = pv_of(h->payload.bytes), v;
	uint32_t n_vectors = p->has_dense[0] + p->has_dense[1] + (p->n_sparse > 0);
	uint32_t tag_n;

	assert_true(p->exists);
	assert_int_equal(h->version, p->version);
	assert_int_equal(pv_get(root, "n", 1, &v), p->has_n);
	if (p->has_n)
		assert_int_equal(pv_int(v), p->n);
	assert_int_equal(pv_get(root, "tag", 3, &v), p->tag != NULL);
	if (p->tag)
		assert_memory_equal(pv_string(v, &tag_n), p->tag, strlen(p->tag));
	assert_int_equal(h->n_vectors, n_vectors);
	for (uint32_t i = 0; i < n_vectors; i++) {
		const struct vector *got = &h->vectors[i];

		if (got->kind == VECTOR_DENSE) {
			assert_memory_equal(got->values, p->dense[got->space], sizeof p->dense[0]);
			continue;
		}
		assert_int_equal(got->n, p->n_sparse);
		assert_memory_equal(got->indices, p->indices, p->n_sparse * sizeof *p->indices);
		assert_memory_equal(got->values, p->weights, p->n_sparse * sizeof *p->weights);
	}
}

static void check_retrieve(struct model *m, struct fixture *f)
{
	struct point_id ids[20];
	struct rpc_retrieve_request request = {.target = fixture_target(f, 0),
					       .ids = ids,
					       .n_ids = 20};
	struct rpc_retrieve_response out = {0};
	uint32_t at = 0;

	request.payload.enabled = request.vectors.enabled = true;
	for (int i = 0; i < 20; i++)
		ids[i] = test_id(below(m, MODEL_IDS));
	assert_int_equal(fixture_call(f, RPC_TYPE_retrieve, &request, &out), 0);
	for (int i = 0; i < 20; i++) {
		if (!m->points[number_of(ids[i])].exists)
			continue;
		assert_true(at < out.hits.n && id_equal(&out.hits.items[at].id, &ids[i]));
		check_hit(&m->points[number_of(ids[i])], &out.hits.items[at++]);
	}
	assert_int_equal(at, out.hits.n);
}

/* All pages together are all points (that match), in order, once. */
static void check_scroll(struct model *m, struct fixture *f, bool filtered)
{
	struct rpc_scroll_request request = {.target = fixture_target(f, 0), .order = SCROLL_BY_ID};
	uint32_t page = 1 + (uint32_t)below(m, 100);
	uint64_t seen = 0, expected = 0;
	struct point_id last = {0};

	request.limit = page + 1;
	request.payload.enabled = request.vectors.enabled = true;
	if (filtered)
		request.filter = test_tag(f->arena, "b");
	for (uint32_t i = 0; i < MODEL_IDS; i++)
		expected += m->points[i].exists &&
			    (!filtered || (m->points[i].tag && strcmp(m->points[i].tag, "b") == 0));
	for (;;) {
		struct rpc_scroll_response out = {0};

		assert_int_equal(fixture_call(f, RPC_TYPE_scroll, &request, &out), 0);
		for (uint32_t i = 0; i < out.hits.n && i < page; i++) {
			const struct hit *h = &out.hits.items[i];

			assert_true(seen == 0 || id_compare(&last, &h->id) < 0);
			last = h->id;
			check_hit(&m->points[number_of(h->id)], h);
			seen++;
		}
		if (out.hits.n <= page)
			break;
		request.has_offset = true;
		request.offset = out.hits.items[page].id;
	}
	assert_int_equal(seen, expected);
}

static void check_facet(struct model *m, struct fixture *f)
{
	struct rpc_facet_request request = {.target = fixture_target(f, 0)};
	struct rpc_facet_response out = {0};
	uint32_t n_tags = 0;

	assert_int_equal(path_parse("tag", 3, f->arena, &request.path, NULL), 0);
	assert_int_equal(fixture_call(f, RPC_TYPE_facet, &request, &out), 0);
	for (uint32_t t = 0; tags[t]; t++) {
		uint64_t expected = 0, got = 0;

		for (uint32_t i = 0; i < MODEL_IDS; i++)
			expected += m->points[i].exists && m->points[i].tag &&
				    strcmp(m->points[i].tag, tags[t]) == 0;
		for (uint32_t i = 0; i < out.n; i++) {
			uint32_t n;
			const char *s = pv_string(pv_of(out.values[i].value.bytes), &n);

			if (n == strlen(tags[t]) && memcmp(s, tags[t], n) == 0)
				got += out.values[i].count;
		}
		assert_int_equal(got, expected);
		n_tags += expected > 0;
	}
	assert_int_equal(out.n, n_tags);
}

void model_check(struct model *m, struct fixture *f)
{
	uint64_t in_tag = 0;

	arena_reset(f->arena);
	assert_int_equal(fixture_count(f, NULL), model_count(m));
	for (uint32_t i = 0; i < MODEL_IDS; i++)
		in_tag += m->points[i].exists && m->points[i].tag &&
			  strcmp(m->points[i].tag, "c") == 0;
	assert_int_equal(fixture_count(f, test_tag(f->arena, "c")), in_tag);
	for (int i = 0; i < 5; i++)
		check_search(m, f);
	check_retrieve(m, f);
	check_scroll(m, f, below(m, 2));
	check_facet(m, f);
}

double model_recall(struct model *m, struct fixture *f, uint32_t n_queries)
{
	uint64_t found = 0, wanted = 0;

	for (uint32_t i = 0; i < n_queries; i++) {
		struct question q = random_question(m);
		float expected[MODEL_IDS];
		uint32_t n;
		struct hits hits;

		arena_reset(f->arena);
		q.space %= 2;
		q.top = 10;
		n = expected_scores(m, &q, expected);
		hits = ask(f, &q, false);
		wanted += n;
		for (uint32_t j = 0; j < hits.n; j++) {
			float worst = n ? expected[n - 1] : 0;

			found += distance_larger_is_better(m->distance[q.space])
					 ? hits.items[j].score >= worst - 1e-4f
					 : hits.items[j].score <= worst + 1e-4f;
		}
	}
	return wanted ? (double)found / (double)wanted : 1;
}
