/* The layout of a walk behind the graph in the index file, where FAISS does not look: whoever opens it copies what
 * searches touch onto pages of his own, and computes nothing.
 *
 *	magic, u32 version, u64 bytes of all of it, u64 bytes of the head, head, u64 hash of all that
 *	codes, links, the rest of long lists, norms
 *
 * The head has the shape, the scale of the codes and the levels above 0: it is hashed and checked when it is read.
 * The arrays are not: no code, norm or link of level 0 can lead a search out of bounds, and whether they are
 * those that were written is for the checksums of the file.
 */
#include "base/codec.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/memory.h"
#include "index/walk_layout.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, FRONT = 24, LEVELS_MAX = 255, WIDTH_MAX = 1 << 20, LIST_BYTES_MAX = 1 << 22 };

static const char magic[4] = {'Q', 'V', 'w', 'l'};

struct arrays {
	size_t codes, links, more, norms; /* bytes */
};

static struct arrays arrays_of(const struct walk *w)
{
	return (struct arrays){
		.codes = (size_t)w->n * w->stride,
		.links = (size_t)w->n * w->list_bytes,
		.more = (size_t)w->n_more * w->id_bytes,
		.norms = walk_has_norms(w) ? (size_t)w->n * sizeof(float) : 0,
	};
}

static size_t arrays_bytes(const struct arrays *a)
{
	return a->codes + a->links + a->more + a->norms;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_level(struct buf *b, const struct walk_level *l)
{
	buf_put_u32(b, l->n);
	buf_put_u32(b, l->width);
	buf_put_u8(b, l->below != NULL);
	buf_put(b, l->nodes, (size_t)l->n * sizeof *l->nodes);
	buf_put(b, l->links, (size_t)l->n * l->width * sizeof *l->links);
	if (l->below)
		buf_put(b, l->below, (size_t)l->n * sizeof *l->below);
}

static void put_head(struct buf *b, const struct walk *w)
{
	buf_put_u32(b, (uint32_t)w->distance);
	buf_put_u8(b, walk_has_bits(w));
	buf_put_u8(b, w->compact);
	buf_put_u32(b, w->n);
	buf_put_u32(b, w->dim);
	buf_put_u32(b, w->width);
	buf_put_u32(b, w->id_bytes);
	buf_put_u32(b, w->slots);
	buf_put_u32(b, w->list_bytes);
	buf_put_u32(b, w->n_more);
	buf_put_u32(b, w->entry);
	buf_put(b, w->scale.middle, w->dim * sizeof(float));
	buf_put(b, w->scale.step, w->dim * sizeof(float));
	buf_put(b, w->scale.inverse, w->dim * sizeof(float));
	buf_put_u32(b, w->n_levels);
	for (uint32_t i = 0; i < w->n_levels; i++)
		put_level(b, &w->levels[i]);
}

int walk_write(const struct walk *w, vindex_write_fn write, void *ctx, struct error *err)
{
	struct arrays a = arrays_of(w);
	struct buf head = BUF_INIT, b = BUF_INIT;
	int rc;

	put_head(&head, w);
	buf_put(&b, magic, sizeof magic);
	buf_put_u32(&b, VERSION);
	buf_put_u64(&b, FRONT + head.len + 8 + arrays_bytes(&a));
	buf_put_u64(&b, head.len);
	buf_put(&b, head.data, head.len);
	buf_put_u64(&b, hash64(b.data, b.len));
	rc = write(ctx, b.data, b.len, err);
	if (!rc)
		rc = write(ctx, w->codes, a.codes, err);
	if (!rc)
		rc = write(ctx, w->links, a.links, err);
	if (!rc)
		rc = write(ctx, w->more, a.more, err);
	if (!rc && a.norms)
		rc = write(ctx, w->norms, a.norms, err);
	buf_fini(&head);
	buf_fini(&b);
	return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool take(struct reader *r, void *to, size_t bytes)
{
	const uint8_t *from = reader_bytes(r, bytes);

	if (from)
		memcpy(to, from, bytes);
	return from != NULL;
}

static bool all_below(const uint32_t *numbers, size_t n, uint32_t limit)
{
	for (size_t i = 0; i < n; i++) {
		if (numbers[i] >= limit)
			return false;
	}
	return true;
}

/* Every number of a level leads to a node that is there. */
static bool take_level(struct reader *r, const struct walk *w, struct walk_level *l,
		       uint32_t n_below)
{
	bool has_below;
	size_t n_links;

	l->n = reader_u32(r);
	l->width = reader_u32(r);
	has_below = reader_u8(r) != 0;
	if (!reader_ok(r) || l->n == 0 || l->n > w->n || l->width > WIDTH_MAX ||
	    has_below != (n_below > 0))
		return false;
	n_links = (size_t)l->n * l->width;
	if (reader_left(r) / sizeof(uint32_t) < n_links + l->n)
		return false;
	l->nodes = mem_array(l->n, sizeof *l->nodes);
	l->links = mem_array(n_links + 1, sizeof *l->links);
	if (!take(r, l->nodes, l->n * sizeof *l->nodes) ||
	    !take(r, l->links, n_links * sizeof *l->links) || !all_below(l->nodes, l->n, w->n))
		return false;
	for (size_t i = 0; i < n_links; i++) {
		if (l->links[i] >= l->n && l->links[i] != WALK_NONE)
			return false;
	}
	if (!has_below)
		return true;
	if (reader_left(r) / sizeof(uint32_t) < l->n)
		return false;
	l->below = mem_array(l->n, sizeof *l->below);
	return take(r, l->below, l->n * sizeof *l->below) && all_below(l->below, l->n, n_below);
}

static bool take_levels(struct reader *r, struct walk *w)
{
	uint32_t n = reader_u32(r), n_below = 0;

	if (!reader_ok(r) || n > LEVELS_MAX)
		return false;
	w->levels = mem_array(n, sizeof *w->levels);
	w->n_levels = n;
	for (uint32_t i = 0; i < n; i++) {
		if (!take_level(r, w, &w->levels[i], n_below))
			return false;
		n_below = w->levels[i].n;
	}
	return w->entry < (n ? n_below : w->n);
}

static bool take_scale(struct reader *r, struct walk *w)
{
	struct code_scale *s = &w->scale;
	size_t bytes = w->dim * sizeof(float);
	bool good;

	s->dim = w->dim;
	s->distance = w->distance;
	s->middle = mem_array(w->dim, sizeof(float));
	s->step = mem_array(w->dim, sizeof(float));
	s->inverse = mem_array(w->dim, sizeof(float));
	good = take(r, s->middle, bytes) && take(r, s->step, bytes) && take(r, s->inverse, bytes);
	for (uint32_t d = 0; d < w->dim && good; d++)
		good = isfinite(s->middle[d]) && isfinite(s->step[d]) && s->step[d] >= 0 &&
		       isfinite(s->inverse[d]);
	return good;
}

static bool take_head(struct reader *r, struct walk *w)
{
	if (reader_u32(r) != w->n || reader_u32(r) != w->dim)
		return false;
	w->width = reader_u32(r);
	w->id_bytes = reader_u32(r);
	w->slots = reader_u32(r);
	w->list_bytes = reader_u32(r);
	w->n_more = reader_u32(r);
	w->entry = reader_u32(r);
	if (!reader_ok(r) || (w->id_bytes != 3 && w->id_bytes != 4) || w->slots == 0 ||
	    w->width == 0 || w->width > WIDTH_MAX || w->list_bytes > LIST_BYTES_MAX ||
	    w->slots > w->list_bytes / w->id_bytes)
		return false;
	w->id_mask = UINT32_MAX >> 8 * (4 - w->id_bytes);
	return w->n < walk_flag(w) && w->n_more / WALK_MORE_UNIT < walk_flag(w) &&
	       take_scale(r, w) && take_levels(r, w) && reader_done(r);
}

static int take_arrays(struct walk *w, const uint8_t *from, struct error *err)
{
	struct arrays a = arrays_of(w);
	int rc = walk_map(w, err);

	if (rc)
		return rc;
	memcpy(w->codes, from, a.codes);
	memcpy(w->links, from + a.codes, a.links);
	memcpy(w->more, from + a.codes + a.links, a.more);
	if (a.norms)
		memcpy(w->norms, from + a.codes + a.links + a.more, a.norms);
	return 0;
}

static int damaged(struct error *err)
{
	return error_set(err, ERR_CORRUPT, "index file: the layout behind the graph is damaged");
}

/* The bytes of the section; 0: they are none. */
static size_t section_bytes(const uint8_t *bytes, size_t n)
{
	uint64_t size, head;

	if (n < FRONT + 8 || load_u32(bytes + 4) != VERSION)
		return 0;
	size = load_u64(bytes + 8);
	head = load_u64(bytes + 16);
	if (size > n || size < FRONT + 8 || head > size - FRONT - 8 ||
	    load_u64(bytes + FRONT + head) != hash64(bytes, FRONT + head))
		return 0;
	return size;
}

int walk_read(const struct walk_source *from, const struct vindex_rows *rows,
	      const struct walk_options *options, struct walk **out, struct error *err)
{
	const uint8_t *bytes = from->bytes;
	struct reader r;
	struct walk *w;
	size_t head;
	bool same, same_codes;
	int rc = 0;

	*out = NULL;
	*from->used = 0;
	if (from->other_codes)
		*from->other_codes = false;
	if (from->n < sizeof magic || memcmp(bytes, magic, sizeof magic) != 0)
		return 0;
	*from->used = section_bytes(bytes, from->n);
	if (*from->used == 0)
		return damaged(err);
	head = load_u64(bytes + 16);
	r = reader_make(bytes + FRONT, head);
	w = walk_alloc(rows, options);
	same = reader_u32(&r) == (uint32_t)w->distance;
	same_codes = (reader_u8(&r) != 0) == walk_has_bits(w);
	same &= same_codes && (reader_u8(&r) != 0) == w->compact;
	if (from->other_codes)
		*from->other_codes = !same_codes;
	if (!same) {
		walk_free(w);
		return 0;
	}
	if (take_head(&r, w)) {
		struct arrays a = arrays_of(w);

		rc = arrays_bytes(&a) == *from->used - FRONT - 8 - head
			     ? take_arrays(w, bytes + FRONT + head + 8, err)
			     : damaged(err);
	} else {
		rc = damaged(err);
	}
	if (rc)
		walk_free(w);
	else
		*out = w;
	return rc;
}
