/* See the header. */
#include "tests/unit/shard/fixture.h"
#include "base/clock.h"
#include "base/memory.h"
#include <dirent.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void fixture_init(struct fixture *f)
{
	memset(f, 0, sizeof *f);
	snprintf(f->root, sizeof f->root, "/tmp/quiver-shard-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	assert_int_equal(store_io_real(f->root, &f->disk, &f->err), 0);
	fault_io(&f->disk, &f->faults, &f->io);
	f->schema = collection_new();
	f->schema->id = 7;
	f->schema->revision = 1;
	f->schema->name = "test";
	f->arena = arena_new(1 << 16);
	f->options.self_node = 1;
}

void fixture_fini(struct fixture *f)
{
	char command[128];

	fixture_stop(f);
	store_io_fini(&f->io);
	store_io_fini(&f->disk);
	snprintf(command, sizeof command, "rm -rf '%s'", f->root);
	assert_int_equal(system(command), 0);
	collection_unref(f->schema);
	arena_free(f->arena);
}

void fixture_add_space(struct fixture *f, const char *name, uint32_t dim, enum distance distance,
		       enum index_kind kind)
{
	struct collection *c = f->schema;
	struct vector_space *spaces = arena_zalloc(c->arena, (c->n_spaces + 1) * sizeof *spaces);

	if (c->n_spaces)
		memcpy(spaces, c->spaces, c->n_spaces * sizeof *spaces);
	spaces[c->n_spaces++] = (struct vector_space){
		.name = name,
		.dim = dim,
		.distance = distance,
		.index = {.kind = kind, .m = 8, .ef_construct = 60},
	};
	c->spaces = spaces;
}

void fixture_add_sparse(struct fixture *f, const char *name)
{
	f->schema->sparse = arena_zalloc(f->schema->arena, sizeof *f->schema->sparse);
	f->schema->sparse[0].name = name;
	f->schema->n_sparse = 1;
}

struct collection *test_with_field(const struct collection *from, const char *path,
				   enum field_type type)
{
	struct collection *c = collection_clone(from);
	struct payload_field *fields = arena_zalloc(c->arena, (c->n_fields + 1) * sizeof *fields);

	if (c->n_fields)
		memcpy(fields, c->fields, c->n_fields * sizeof *fields);
	fields[c->n_fields] = (struct payload_field){.type = type, .text.lowercase = true};
	assert_int_equal(path_parse(path, strlen(path), c->arena, &fields[c->n_fields].path, NULL),
			 0);
	c->fields = fields;
	c->n_fields++;
	c->revision++;
	return c;
}

void fixture_add_field(struct fixture *f, const char *path, enum field_type type)
{
	struct collection *c = test_with_field(f->schema, path, type);

	collection_unref(f->schema);
	f->schema = c;
	if (f->shard)
		assert_int_equal(fixture_assign(f), 0);
}

struct shard_assignment fixture_assignment(const struct fixture *f, uint32_t partition)
{
	return (struct shard_assignment){.collection = f->schema,
					 .partition = partition,
					 .config = {.epoch = f->epoch ? f->epoch : 1,
						    .primary = 1,
						    .in_sync = {1},
						    .n_in_sync = 1,
						    .min_isr = 1}};
}

int fixture_assign(struct fixture *f)
{
	struct shard_assignment list[16];

	for (uint32_t i = 0; i < f->schema->n_partitions; i++)
		list[i] = fixture_assignment(f, i);
	return shard_assign(f->shard, list, f->schema->n_partitions, &f->err);
}

int fixture_try_start(struct fixture *f)
{
	f->options.io = f->io;
	f->options.clock = f->clock ? f->clock : clock_real();
	assert_int_equal(pool_new(&f->pool, 2, 1, &f->err), 0);
	f->options.pool = f->pool;
	assert_int_equal(shard_start(&f->shard, &f->options, &f->err), 0);
	assert_int_equal(rpc_new(&f->rpc, 1, &f->err), 0);
	rpc_serve_local(f->rpc, shard_service(f->shard));
	return fixture_assign(f);
}

void fixture_start(struct fixture *f)
{
	if (fixture_try_start(f))
		fail_msg("start: %s", f->err.text);
}

void fixture_stop(struct fixture *f)
{
	shard_stop(f->shard);
	pool_free(f->pool);
	rpc_free(f->rpc);
	f->shard = NULL;
	f->pool = NULL;
	f->rpc = NULL;
}

static void done(struct rpc_call *call)
{
	sem_post(call->ctx);
}

int fixture_send(struct fixture *f, enum rpc_type type, const void *request, void *response,
		 struct rpc_call *call)
{
	sem_t finished;

	call->type = type;
	call->request = request;
	call->response = response;
	call->arena = f->arena;
	call->done = done;
	call->ctx = &finished;
	sem_init(&finished, 0, 0);
	rpc_send(f->rpc, 1, call);
	while (sem_wait(&finished))
		;
	sem_destroy(&finished);
	f->err = call->err;
	return call->rc;
}

int fixture_call(struct fixture *f, enum rpc_type type, const void *request, void *response)
{
	struct rpc_call call = {0};

	return fixture_send(f, type, request, response, &call);
}

struct rpc_target fixture_target(const struct fixture *f, uint32_t partition)
{
	return (struct rpc_target){f->schema->id, f->schema->revision, partition,
				   f->epoch ? f->epoch : 1};
}

int fixture_try_write(struct fixture *f, const struct write *w, struct rpc_write_response *out)
{
	struct rpc_write_request request = {fixture_target(f, 0), w};

	*out = (struct rpc_write_response){0};
	return fixture_call(f, RPC_TYPE_write, &request, out);
}

uint64_t fixture_write(struct fixture *f, const struct write *w)
{
	struct rpc_write_response out;
	int rc;

	/* busy is an answer, not a failure: sealing fell behind */
	while ((rc = fixture_try_write(f, w, &out)) == ERR_BUSY)
		usleep(1000);
	if (rc)
		fail_msg("write: %s", f->err.text);
	return out.changed;
}

void fixture_upsert(struct fixture *f, uint64_t first, uint32_t n, int64_t value)
{
	struct point *points = arena_zalloc(f->arena, n * sizeof *points);
	struct write w = {.op = {.type = OP_UPSERT, .n_points = n, .points = points}};

	for (uint32_t i = 0; i < n; i++) {
		float v[] = {(float)(first + i), 1, 2, 3};

		test_point(f->arena, &points[i], first + i, v, 4,
			   test_payload(f->arena, value, "a"));
	}
	assert_int_equal(fixture_write(f, &w), n);
}

uint64_t fixture_count(struct fixture *f, const struct filter *filter)
{
	struct rpc_count_request request = {fixture_target(f, 0), filter, true};
	struct rpc_count_response out = {0};
	int rc = fixture_call(f, RPC_TYPE_count, &request, &out);

	if (rc)
		fail_msg("count: %s", f->err.text);
	return out.count;
}

struct rpc_info_response fixture_info(struct fixture *f)
{
	struct rpc_info_request request = {fixture_target(f, 0)};
	struct rpc_info_response out = {0};

	assert_int_equal(fixture_call(f, RPC_TYPE_info, &request, &out), 0);
	return out;
}

uint64_t test_counter(struct shard *shard, const char *name)
{
	struct buf b = BUF_INIT;
	char line[128];
	const char *at;
	uint64_t value;

	shard_metrics(shard, &b);
	buf_put_u8(&b, 0);
	snprintf(line, sizeof line, "\nquiver_shard_%s ", name);
	at = strstr((char *)b.data, line);
	assert_non_null(at);
	value = strtoull(at + strlen(line), NULL, 10);
	buf_fini(&b);
	return value;
}

uint64_t fixture_counter(struct fixture *f, const char *name)
{
	return test_counter(f->shard, name);
}

void fixture_wait_for(struct fixture *f, const char *name, uint64_t value)
{
	for (int i = 0; fixture_counter(f, name) < value; i++) {
		if (i == 6000)
			fail_msg("%s does not reach %llu", name, (unsigned long long)value);
		usleep(10000);
	}
}

void fixture_settle(struct fixture *f)
{
	/* Two looks in a row, because a job may begin between two others. */
	for (int quiet = 0; quiet < 3;) {
		usleep(120000);
		quiet = fixture_info(f).status == REPLICA_YELLOW ? 0 : quiet + 1;
	}
}

struct point_id test_id(uint64_t n)
{
	return n % 3 == 2 ? (struct point_id){n * 0x1234567, n, ID_UUID, 0} : id_from_u64(n);
}

struct pv_slice test_payload(struct arena *a, int64_t n, const char *tag)
{
	struct buf b = BUF_INIT;
	size_t mark = pv_open(&b, PV_OBJECT);
	struct pv_slice out;

	pv_put_key(&b, "n", 1);
	pv_put_int(&b, n);
	if (tag) {
		pv_put_key(&b, "tag", 3);
		pv_put_string(&b, tag, (uint32_t)strlen(tag));
	}
	pv_close(&b, mark, tag ? 2 : 1);
	out = (struct pv_slice){arena_copy(a, b.data, b.len), (uint32_t)b.len};
	buf_fini(&b);
	return out;
}

static struct filter *of_one(struct arena *a, enum cond_type type, const char *path,
			     struct cond **c)
{
	struct filter *f = arena_zalloc(a, sizeof *f);

	*c = arena_zalloc(a, sizeof **c);
	(*c)->type = type;
	path_parse(path, strlen(path), a, &(*c)->path, NULL);
	f->must = *c;
	f->n_must = 1;
	return f;
}

struct filter *test_range(struct arena *a, double gte, double lt)
{
	struct cond *c;
	struct filter *f = of_one(a, COND_RANGE, "n", &c);

	c->range = (struct range){.has_gte = true, .gte = gte, .has_lt = true, .lt = lt};
	return f;
}

struct filter *test_tag(struct arena *a, const char *tag)
{
	struct cond *c;
	struct filter *f = of_one(a, COND_MATCH_ANY, "tag", &c);

	c->values = arena_zalloc(a, sizeof *c->values);
	c->values[0] =
		(struct match_value){.kind = MATCH_STRING, .s = tag, .s_n = (uint32_t)strlen(tag)};
	c->n_values = 1;
	return f;
}

void test_point(struct arena *a, struct point *out, uint64_t id, const float *dense, uint32_t dim,
		struct pv_slice payload)
{
	*out = (struct point){.id = test_id(id), .payload = payload};
	if (!dense)
		return;
	out->n_vectors = 1;
	out->vectors = arena_zalloc(a, sizeof *out->vectors);
	out->vectors[0] = (struct vector){VECTOR_DENSE, 0, dim,
					  arena_copy(a, dense, dim * sizeof *dense), NULL};
}

static void flip_middle_byte(const char *path)
{
	int fd = open(path, O_RDWR);
	struct stat st;
	char c;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pread(fd, &c, 1, st.st_size / 2), 1);
	c ^= 0x55;
	assert_int_equal(pwrite(fd, &c, 1, st.st_size / 2), 1);
	close(fd);
}

int fixture_damage(struct fixture *f, int n, const char *file)
{
	char folder[128], path[512];
	struct dirent *e;
	int found = 0;

	snprintf(folder, sizeof folder, "%s/replicas/7/0", f->root);
	DIR *d = opendir(folder);
	assert_non_null(d);
	while ((e = readdir(d))) {
		if (strncmp(e->d_name, "seg-", 4) != 0 || found++ != n)
			continue;
		snprintf(path, sizeof path, "%s/%.90s/%s", folder, e->d_name, file);
		flip_middle_byte(path);
	}
	closedir(d);
	return found;
}
