/* See io_fault.h. */
#include "store/io_fault.h"
#include "base/memory.h"
#include <stdlib.h>

struct fault_ctx {
	struct store_io inner;
	struct fault_plan *plan;
};

struct fault_file {
	struct fault_ctx *ctx;
	struct store_file *inner;
};

static struct fault_file *file_of(struct store_file *f)
{
	return (struct fault_file *)f;
}

/* Is it this operation's turn to fail? */
static bool due(struct fault_plan *plan, enum fault_op op)
{
	if ((plan->ops & op) == 0)
		return false;
	plan->seen++;
	if (plan->at == 0 || plan->seen < plan->at || (plan->seen > plan->at && !plan->lasting))
		return false;
	plan->fired = true;
	return true;
}

static int failed(const struct fault_plan *plan, struct error *err)
{
	return error_set(err, plan->code, "made to fail (operation %llu)",
			 (unsigned long long)plan->seen);
}

static int fault_mkdirs(void *ctx, const char *path, struct error *err)
{
	struct fault_ctx *c = ctx;
	if (due(c->plan, FAULT_MKDIRS))
		return failed(c->plan, err);
	return c->inner.mkdirs(c->inner.ctx, path, err);
}

static int fault_open(void *ctx, const char *path, bool create, struct store_file **out,
		      struct error *err)
{
	struct fault_ctx *c = ctx;
	if (due(c->plan, FAULT_OPEN))
		return failed(c->plan, err);
	struct store_file *inner = NULL;
	int rc = c->inner.open(c->inner.ctx, path, create, &inner, err);
	if (rc != 0)
		return rc;
	struct fault_file *f = mem_zalloc(sizeof(*f));
	*f = (struct fault_file){c, inner};
	*out = (struct store_file *)f;
	return 0;
}

static void fault_close(struct store_file *file)
{
	struct fault_file *f = file_of(file);
	if (f == NULL)
		return;
	f->ctx->inner.close(f->inner);
	free(f);
}

static int fault_read(struct store_file *file, uint64_t offset, void *bytes, size_t n, size_t *got,
		      struct error *err)
{
	struct fault_file *f = file_of(file);
	if (due(f->ctx->plan, FAULT_READ))
		return failed(f->ctx->plan, err);
	return f->ctx->inner.read(f->inner, offset, bytes, n, got, err);
}

static int fault_write(struct store_file *file, uint64_t offset, const void *bytes, size_t n,
		       struct error *err)
{
	struct fault_file *f = file_of(file);
	if (!due(f->ctx->plan, FAULT_WRITE))
		return f->ctx->inner.write(f->inner, offset, bytes, n, err);
	if (f->ctx->plan->partly)
		f->ctx->inner.write(f->inner, offset, bytes, n / 2, NULL);
	return failed(f->ctx->plan, err);
}

static int fault_allocate(struct store_file *file, uint64_t size, struct error *err)
{
	struct fault_file *f = file_of(file);
	if (due(f->ctx->plan, FAULT_ALLOCATE))
		return failed(f->ctx->plan, err);
	return f->ctx->inner.allocate(f->inner, size, err);
}

static int fault_truncate(struct store_file *file, uint64_t size, struct error *err)
{
	struct fault_file *f = file_of(file);
	if (due(f->ctx->plan, FAULT_TRUNCATE))
		return failed(f->ctx->plan, err);
	return f->ctx->inner.truncate(f->inner, size, err);
}

static int fault_size(struct store_file *file, uint64_t *out, struct error *err)
{
	struct fault_file *f = file_of(file);
	if (due(f->ctx->plan, FAULT_SIZE))
		return failed(f->ctx->plan, err);
	return f->ctx->inner.size(f->inner, out, err);
}

static void fault_sync(struct store_file *file)
{
	struct fault_file *f = file_of(file);
	f->ctx->inner.sync(f->inner);
}

static void fault_sync_dir(void *ctx, const char *path)
{
	struct fault_ctx *c = ctx;
	c->inner.sync_dir(c->inner.ctx, path);
}

static int fault_rename(void *ctx, const char *from, const char *to, struct error *err)
{
	struct fault_ctx *c = ctx;
	if (due(c->plan, FAULT_RENAME))
		return failed(c->plan, err);
	return c->inner.rename(c->inner.ctx, from, to, err);
}

static int fault_remove(void *ctx, const char *path, struct error *err)
{
	struct fault_ctx *c = ctx;
	if (due(c->plan, FAULT_REMOVE))
		return failed(c->plan, err);
	return c->inner.remove(c->inner.ctx, path, err);
}

static int fault_remove_tree(void *ctx, const char *path, struct error *err)
{
	struct fault_ctx *c = ctx;
	if (due(c->plan, FAULT_REMOVE))
		return failed(c->plan, err);
	return c->inner.remove_tree(c->inner.ctx, path, err);
}

static int fault_list(void *ctx, const char *path, int (*fn)(void *fn_ctx, const char *name),
		      void *fn_ctx, struct error *err)
{
	struct fault_ctx *c = ctx;
	if (due(c->plan, FAULT_LIST))
		return failed(c->plan, err);
	return c->inner.list(c->inner.ctx, path, fn, fn_ctx, err);
}

static int fault_map(void *ctx, const char *path, struct store_map *out, struct error *err)
{
	struct fault_ctx *c = ctx;
	if (due(c->plan, FAULT_MAP))
		return failed(c->plan, err);
	return c->inner.map(c->inner.ctx, path, out, err);
}

static int fault_free_bytes(void *ctx, uint64_t *out, struct error *err)
{
	struct fault_ctx *c = ctx;
	return c->inner.free_bytes(c->inner.ctx, out, err);
}

void fault_io(const struct store_io *inner, struct fault_plan *plan, struct store_io *out)
{
	struct fault_ctx *c = mem_zalloc(sizeof(*c));
	*c = (struct fault_ctx){*inner, plan};
	*out = (struct store_io){
		.ctx = c,
		.mkdirs = fault_mkdirs,
		.open = fault_open,
		.close = fault_close,
		.read = fault_read,
		.write = fault_write,
		.allocate = fault_allocate,
		.truncate = fault_truncate,
		.size = fault_size,
		.sync = fault_sync,
		.sync_dir = fault_sync_dir,
		.rename = fault_rename,
		.remove = fault_remove,
		.remove_tree = fault_remove_tree,
		.list = fault_list,
		.map = fault_map,
		.unmap = inner->unmap,
		.release = inner->release,
		.free_bytes = fault_free_bytes,
		.fini = free,
	};
}
