/* See io_memory.h. Names are full paths in two flat tables, what is seen now and what is durable; contents
 * belong to inodes, so that a rename carries them along. Every change since the last sync is kept as a
 * record, to be applied to the durable state by a sync or, in part, by a crash. */
#include "store/io_memory.h"
#include "base/assert.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

enum { SECTOR_BYTES = 512, MAP_ALIGN = 4096 };

enum change_type { CHANGE_WRITE, CHANGE_SIZE, CHANGE_LINK, CHANGE_UNLINK, CHANGE_RENAME };

struct change {
	enum change_type type;
	struct inode *inode; /* WRITE, SIZE, LINK, RENAME */
	uint64_t offset;     /* WRITE; SIZE: the new size */
	struct buf bytes;    /* WRITE */
	char *path;          /* LINK, UNLINK, RENAME (to) */
	char *from;          /* RENAME */
	bool shrink;         /* SIZE: may cut; else only grows */
};

struct inode {
	uint32_t refs;
	bool is_dir;
	struct buf now;
	struct buf durable;
};

struct name {
	char *path;
	struct inode *inode;
};

struct names {
	struct name *all;
	size_t n, cap;
};

struct memory_disk {
	struct names now, durable;
	struct change *changes; /* not yet durable, in the order they were made */
	size_t n_changes, cap_changes;
	uint64_t count;
	uint64_t stop_at; /* value of count; 0: never */
	uint64_t capacity;
};

struct memory_file {
	struct memory_disk *disk;
	struct inode *inode;
	char *path; /* as opened, for messages */
};

/* ---- inodes and names ---- */

static struct inode *inode_ref(struct inode *i)
{
	i->refs++;
	return i;
}

static void inode_unref(struct inode *i)
{
	if (i == NULL || --i->refs != 0)
		return;
	buf_fini(&i->now);
	buf_fini(&i->durable);
	free(i);
}

static struct name *find(const struct names *names, const char *path)
{
	for (size_t i = 0; i < names->n; i++)
		if (strcmp(names->all[i].path, path) == 0)
			return &names->all[i];
	return NULL;
}

static void unset(struct names *names, const char *path)
{
	struct name *name = find(names, path);
	if (name == NULL)
		return;
	free(name->path);
	inode_unref(name->inode);
	*name = names->all[--names->n];
}

static void set(struct names *names, const char *path, struct inode *inode)
{
	inode_ref(inode);
	unset(names, path);
	if (names->n == names->cap) {
		names->cap = names->cap == 0 ? 16 : names->cap * 2;
		names->all = mem_resize(names->all, names->cap * sizeof(*names->all));
	}
	names->all[names->n++] = (struct name){mem_strdup(path), inode};
}

static void names_clear(struct names *names)
{
	for (size_t i = 0; i < names->n; i++) {
		free(names->all[i].path);
		inode_unref(names->all[i].inode);
	}
	free(names->all);
	*names = (struct names){0};
}

static bool is_child(const char *path, const char *folder)
{
	size_t n = strlen(folder);
	if (n == 0)
		return strchr(path, '/') == NULL;
	return strncmp(path, folder, n) == 0 && path[n] == '/' && strchr(path + n + 1, '/') == NULL;
}

static bool is_below(const char *path, const char *folder)
{
	size_t n = strlen(folder);
	return n == 0 || (strncmp(path, folder, n) == 0 && path[n] == '/');
}

/* ---- changes ---- */

static void resize(struct buf *b, uint64_t size, bool shrink)
{
	if (size > b->len) {
		size_t more = (size_t)size - b->len;
		memset(buf_extend(b, more), 0, more);
	} else if (shrink) {
		b->len = (size_t)size;
	}
}

static void put_bytes(struct buf *b, uint64_t offset, const uint8_t *bytes, size_t n)
{
	if (n == 0)
		return;
	resize(b, offset + n, false);
	memcpy(b->data + offset, bytes, n);
}

static void change_fini(struct change *c)
{
	inode_unref(c->inode);
	buf_fini(&c->bytes);
	free(c->path);
	free(c->from);
}

/* Makes a change durable. With `random`, of a write each sector only by chance. */
static void apply(struct memory_disk *d, const struct change *c, struct prng *random)
{
	switch (c->type) {
	case CHANGE_WRITE:
		for (size_t at = 0; at < c->bytes.len;) {
			size_t n = SECTOR_BYTES - (size_t)((c->offset + at) % SECTOR_BYTES);
			n = n > c->bytes.len - at ? c->bytes.len - at : n;
			if (random == NULL || prng_below(random, 2) == 0)
				put_bytes(&c->inode->durable, c->offset + at, c->bytes.data + at,
					  n);
			at += n;
		}
		break;
	case CHANGE_SIZE: resize(&c->inode->durable, c->offset, c->shrink); break;
	case CHANGE_LINK: set(&d->durable, c->path, c->inode); break;
	case CHANGE_UNLINK: unset(&d->durable, c->path); break;
	case CHANGE_RENAME:
		set(&d->durable, c->path, c->inode);
		unset(&d->durable, c->from);
		break;
	}
}

/* Applies and forgets the changes that `match` picks, in order. */
static void settle(struct memory_disk *d, bool (*match)(const struct change *c, const void *arg),
		   const void *arg)
{
	size_t kept = 0;
	for (size_t i = 0; i < d->n_changes; i++) {
		if (match(&d->changes[i], arg)) {
			apply(d, &d->changes[i], NULL);
			change_fini(&d->changes[i]);
		} else {
			d->changes[kept++] = d->changes[i];
		}
	}
	d->n_changes = kept;
}

static bool of_inode(const struct change *c, const void *inode)
{
	return (c->type == CHANGE_WRITE || c->type == CHANGE_SIZE) && c->inode == inode;
}

static bool of_folder(const struct change *c, const void *folder)
{
	return c->path != NULL &&
	       (is_child(c->path, folder) || (c->from != NULL && is_child(c->from, folder)));
}

static void add_change(struct memory_disk *d, struct change c)
{
	if (c.inode != NULL)
		inode_ref(c.inode);
	if (d->n_changes == d->cap_changes) {
		d->cap_changes = d->cap_changes == 0 ? 64 : d->cap_changes * 2;
		d->changes = mem_resize(d->changes, d->cap_changes * sizeof(*d->changes));
	}
	d->changes[d->n_changes++] = c;
}

static bool stopped_now(struct memory_disk *d)
{
	d->count++;
	return d->stop_at != 0 && d->count >= d->stop_at;
}

static int no_power(struct error *err)
{
	return error_set(err, ERR_IO, "the power is off");
}

/* ---- store_io: files ---- */

static struct memory_file *file_of(struct store_file *f)
{
	return (struct memory_file *)f;
}

static int memory_open(void *ctx, const char *path, bool create, struct store_file **out,
		       struct error *err)
{
	struct memory_disk *d = ctx;
	struct name *name = find(&d->now, path);
	if (name == NULL && !create)
		return error_set(err, ERR_NOT_FOUND, "%s does not exist", path);
	if (name == NULL) {
		if (stopped_now(d))
			return no_power(err);
		struct inode *inode = mem_zalloc(sizeof(*inode));
		set(&d->now, path, inode);
		name = find(&d->now, path);
		add_change(d, (struct change){.type = CHANGE_LINK,
					      .inode = inode,
					      .path = mem_strdup(path)});
	}
	if (name->inode->is_dir)
		return error_set(err, ERR_IO, "%s is a folder", path);
	struct memory_file *f = mem_zalloc(sizeof(*f));
	f->disk = d;
	f->inode = inode_ref(name->inode);
	f->path = mem_strdup(path);
	*out = (struct store_file *)f;
	return 0;
}

static void memory_close(struct store_file *file)
{
	struct memory_file *f = file_of(file);
	if (f == NULL)
		return;
	inode_unref(f->inode);
	free(f->path);
	free(f);
}

static int memory_read(struct store_file *file, uint64_t offset, void *bytes, size_t n, size_t *got,
		       struct error *err)
{
	const struct buf *b = &file_of(file)->inode->now;
	*got = 0;
	if (offset >= b->len)
		return 0;
	*got = n > b->len - offset ? b->len - (size_t)offset : n;
	memcpy(bytes, b->data + offset, *got);
	return 0;
}

static uint64_t room(const struct memory_disk *d)
{
	if (d->capacity == 0)
		return UINT64_MAX;
	uint64_t used = memory_disk_used(d);
	return used < d->capacity ? d->capacity - used : 0;
}

static int memory_write(struct store_file *file, uint64_t offset, const void *bytes, size_t n,
			struct error *err)
{
	struct memory_file *f = file_of(file);
	if (stopped_now(f->disk))
		return no_power(err);
	uint64_t size = f->inode->now.len, free_now = room(f->disk);
	size_t fits = n;
	if (offset + n > size && offset + n - size > free_now)
		fits = size + free_now > offset ? (size_t)(size + free_now - offset) : 0;
	put_bytes(&f->inode->now, offset, bytes, fits);
	struct change c = {.type = CHANGE_WRITE, .inode = f->inode, .offset = offset};
	buf_put(&c.bytes, bytes, fits);
	add_change(f->disk, c);
	return fits == n ? 0 : error_set(err, ERR_DISK_FULL, "write %s: the disk is full", f->path);
}

static int memory_allocate(struct store_file *file, uint64_t size, struct error *err)
{
	struct memory_file *f = file_of(file);
	if (size <= f->inode->now.len)
		return 0;
	if (stopped_now(f->disk))
		return no_power(err);
	if (size - f->inode->now.len > room(f->disk))
		return error_set(err, ERR_DISK_FULL, "reserve %s: the disk is full", f->path);
	resize(&f->inode->now, size, false);
	add_change(f->disk,
		   (struct change){.type = CHANGE_SIZE, .inode = f->inode, .offset = size});
	return 0;
}

static int memory_truncate(struct store_file *file, uint64_t size, struct error *err)
{
	struct memory_file *f = file_of(file);
	if (stopped_now(f->disk))
		return no_power(err);
	resize(&f->inode->now, size, true);
	add_change(f->disk, (struct change){.type = CHANGE_SIZE,
					    .inode = f->inode,
					    .offset = size,
					    .shrink = true});
	return 0;
}

static int memory_size(struct store_file *file, uint64_t *out, struct error *err)
{
	*out = file_of(file)->inode->now.len;
	return 0;
}

static void memory_sync(struct store_file *file)
{
	struct memory_file *f = file_of(file);
	if (!stopped_now(f->disk))
		settle(f->disk, of_inode, f->inode);
}

/* ---- store_io: folders ---- */

static bool of_name(const struct change *c, const void *path)
{
	return c->path != NULL && strcmp(c->path, path) == 0;
}

static void make_folder(struct memory_disk *d, const char *path)
{
	if (find(&d->now, path) != NULL)
		return;
	settle(d, of_name,
	       path); /* a removal before is as durable as the folder that comes after it */
	struct inode *inode = mem_zalloc(sizeof(*inode));
	inode->is_dir = true;
	set(&d->now, path, inode);
	set(&d->durable, path, inode);
}

static int memory_mkdirs(void *ctx, const char *path, struct error *err)
{
	struct memory_disk *d = ctx;
	if (find(&d->now, path) != NULL)
		return 0;
	if (stopped_now(d))
		return no_power(err);
	char *part = mem_strdup(path);
	for (char *slash = strchr(part, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		make_folder(d, part);
		*slash = '/';
	}
	make_folder(d, part);
	free(part);
	return 0;
}

static void memory_sync_dir(void *ctx, const char *path)
{
	struct memory_disk *d = ctx;
	if (!stopped_now(d))
		settle(d, of_folder, path);
}

static int memory_rename(void *ctx, const char *from, const char *to, struct error *err)
{
	struct memory_disk *d = ctx;
	struct name *name = find(&d->now, from);
	if (name == NULL)
		return error_set(err, ERR_NOT_FOUND, "rename %s: it does not exist", from);
	if (stopped_now(d))
		return no_power(err);
	struct inode *inode = name->inode;
	add_change(d, (struct change){.type = CHANGE_RENAME,
				      .inode = inode,
				      .path = mem_strdup(to),
				      .from = mem_strdup(from)});
	set(&d->now, to, inode);
	unset(&d->now, from);
	return 0;
}

static int memory_remove(void *ctx, const char *path, struct error *err)
{
	struct memory_disk *d = ctx;
	if (find(&d->now, path) == NULL)
		return error_set(err, ERR_NOT_FOUND, "remove %s: it does not exist", path);
	if (stopped_now(d))
		return no_power(err);
	add_change(d, (struct change){.type = CHANGE_UNLINK, .path = mem_strdup(path)});
	unset(&d->now, path);
	return 0;
}

static int memory_remove_tree(void *ctx, const char *path, struct error *err)
{
	struct memory_disk *d = ctx;
	for (size_t i = 0; i < d->now.n;) {
		char *entry = d->now.all[i].path;
		if (!is_below(entry, path) && strcmp(entry, path) != 0) {
			i++;
			continue;
		}
		if (stopped_now(d))
			return no_power(err);
		add_change(d, (struct change){.type = CHANGE_UNLINK, .path = mem_strdup(entry)});
		unset(&d->now, entry); /* moves the last entry here */
	}
	return 0;
}

static int memory_list(void *ctx, const char *path, int (*fn)(void *fn_ctx, const char *name),
		       void *fn_ctx, struct error *err)
{
	struct memory_disk *d = ctx;
	if (path[0] != 0 && find(&d->now, path) == NULL)
		return error_set(err, ERR_NOT_FOUND, "folder %s does not exist", path);
	size_t skip = path[0] != 0 ? strlen(path) + 1 : 0;
	for (size_t i = 0; i < d->now.n; i++) {
		if (!is_child(d->now.all[i].path, path))
			continue;
		int rc = fn(fn_ctx, d->now.all[i].path + skip);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int memory_map(void *ctx, const char *path, struct store_map *out, struct error *err)
{
	struct memory_disk *d = ctx;
	const struct name *name = find(&d->now, path);
	if (name == NULL)
		return error_set(err, ERR_NOT_FOUND, "%s does not exist", path);
	const struct buf *b = &name->inode->now;
	size_t rounded = (b->len + MAP_ALIGN) & ~(size_t)(MAP_ALIGN - 1);
	out->handle = mem_aligned(MAP_ALIGN, rounded);
	if (b->len != 0)
		memcpy(out->handle, b->data, b->len);
	out->bytes = out->handle;
	out->n = b->len;
	out->of_file = false;
	return 0;
}

static void memory_unmap(struct store_map *m)
{
	free(m->handle);
	*m = (struct store_map){0};
}

static int memory_free_bytes(void *ctx, uint64_t *out, struct error *err)
{
	*out = room(ctx);
	return 0;
}

/* ---- the disk ---- */

struct memory_disk *memory_disk_new(void)
{
	return mem_zalloc(sizeof(struct memory_disk));
}

static void forget_changes(struct memory_disk *d)
{
	for (size_t i = 0; i < d->n_changes; i++)
		change_fini(&d->changes[i]);
	d->n_changes = 0;
}

void memory_disk_free(struct memory_disk *d)
{
	if (d == NULL)
		return;
	forget_changes(d);
	free(d->changes);
	names_clear(&d->now);
	names_clear(&d->durable);
	free(d);
}

void memory_disk_io(struct memory_disk *d, struct store_io *out)
{
	*out = (struct store_io){
		.ctx = d,
		.mkdirs = memory_mkdirs,
		.open = memory_open,
		.close = memory_close,
		.read = memory_read,
		.write = memory_write,
		.allocate = memory_allocate,
		.truncate = memory_truncate,
		.size = memory_size,
		.sync = memory_sync,
		.sync_dir = memory_sync_dir,
		.rename = memory_rename,
		.remove = memory_remove,
		.remove_tree = memory_remove_tree,
		.list = memory_list,
		.map = memory_map,
		.unmap = memory_unmap,
		.free_bytes = memory_free_bytes,
	};
}

uint64_t memory_disk_changes(const struct memory_disk *d)
{
	return d->count;
}

void memory_disk_stop_at(struct memory_disk *d, uint64_t n)
{
	d->stop_at = n == 0 ? 0 : d->count + n;
}

bool memory_disk_stopped(const struct memory_disk *d)
{
	return d->stop_at != 0 && d->count >= d->stop_at;
}

/* The durable state becomes what is seen. Inodes get new bodies, so that a file left open from before the
 * crash cannot reach them. */
static void restart_from_durable(struct memory_disk *d)
{
	struct names fresh = {0};
	for (size_t i = 0; i < d->durable.n; i++) {
		const struct inode *old = d->durable.all[i].inode;
		/* A name whose folder did not survive is not to be found. */
		struct inode *inode = mem_zalloc(sizeof(*inode));
		inode->is_dir = old->is_dir;
		buf_put(&inode->now, old->durable.data, old->durable.len);
		buf_put(&inode->durable, old->durable.data, old->durable.len);
		set(&fresh, d->durable.all[i].path, inode);
	}
	names_clear(&d->now);
	names_clear(&d->durable);
	for (size_t i = 0; i < fresh.n; i++)
		set(&d->durable, fresh.all[i].path, fresh.all[i].inode);
	d->now = fresh;
}

void memory_disk_crash(struct memory_disk *d, enum memory_crash mode, struct prng *random)
{
	size_t keep = mode == CRASH_DROP ? 0 : d->n_changes;
	d->stop_at = 0;
	if (mode == CRASH_KILL)
		return; /* the kernel still has everything, but it is no more durable than it was */
	if (mode == CRASH_PREFIX)
		keep = (size_t)prng_below(random, d->n_changes + 1);
	for (size_t i = 0; i < keep; i++) {
		if (mode == CRASH_ANY && d->changes[i].type != CHANGE_WRITE &&
		    prng_below(random, 2) == 0)
			continue;
		bool torn = mode == CRASH_ANY || (mode == CRASH_PREFIX && i + 1 == keep);
		apply(d, &d->changes[i], torn ? random : NULL);
	}
	forget_changes(d);
	restart_from_durable(d);
}

void memory_disk_set_capacity(struct memory_disk *d, uint64_t bytes)
{
	d->capacity = bytes;
}

uint64_t memory_disk_used(const struct memory_disk *d)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < d->now.n; i++)
		sum += d->now.all[i].inode->now.len;
	return sum;
}

struct memory_disk *memory_disk_clone(const struct memory_disk *d)
{
	struct memory_disk *copy = memory_disk_new();
	for (size_t i = 0; i < d->now.n; i++) {
		const struct inode *old = d->now.all[i].inode;
		struct inode *inode = mem_zalloc(sizeof(*inode));
		inode->is_dir = old->is_dir;
		buf_put(&inode->durable, old->now.data, old->now.len);
		set(&copy->durable, d->now.all[i].path, inode);
	}
	restart_from_durable(copy);
	return copy;
}

/* Contents are set to be the same in both states, or what is done to them would not last. */
uint8_t *memory_disk_bytes(struct memory_disk *d, const char *path, size_t *n)
{
	struct name *name = find(&d->now, path);
	*n = 0;
	if (name == NULL || name->inode->is_dir)
		return NULL;
	settle(d, of_inode, name->inode);
	*n = name->inode->now.len;
	return name->inode->now.data;
}

void memory_disk_cut(struct memory_disk *d, const char *path, size_t n)
{
	struct name *name = find(&d->now, path);
	assert(name != NULL);
	resize(&name->inode->now, n, true);
	resize(&name->inode->durable, n, true);
}

void memory_disk_each(struct memory_disk *d, void (*fn)(void *ctx, const char *path), void *ctx)
{
	for (size_t i = 0; i < d->now.n; i++)
		if (!d->now.all[i].inode->is_dir)
			fn(ctx, d->now.all[i].path);
}
