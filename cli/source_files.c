/* Several files as one source. Each is opened once at the beginning, to be checked, and again when its
 * turn comes, so that any number of them takes one descriptor. */
#include "cli/source.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"

struct files {
	struct source head;
	struct source_options options;
	const char *const *paths; /* the caller's, as long as the source */
	size_t n, next;           /* next: to be opened */
	double *bytes;            /* of each */
	double all_bytes, done_bytes;
	struct source *now; /* NULL: between two files */
};

static void files_close(struct source *s)
{
	struct files *f = (struct files *)s;

	source_close(f->now);
	free(f->bytes);
	free(f);
}

/* The records that are left of the limit; row numbers go on behind those of the files before. */
static int open_one(struct files *f, size_t i, struct source **out, struct error *err)
{
	struct source_options options = f->options;
	const struct source *head = &f->head;
	int rc;

	options.id_offset += head->read;
	options.limit -= options.limit ? head->read : 0;
	rc = source_open(out, f->paths[i], &options, err);
	if (rc == 0 && (*out)->dim != head->dim && head->dim != 0)
		rc = error_set(err, ERR_INPUT, "%s has vectors of %u values, %s of %u", f->paths[i],
			       (*out)->dim, f->paths[0], head->dim);
	if (rc == 0 && (*out)->distance && head->distance &&
	    strcmp((*out)->distance, head->distance) != 0)
		rc = error_set(err, ERR_INPUT, "%s says that its distance is %s, %s says %s",
			       f->paths[i], (*out)->distance, f->paths[0], head->distance);
	if (rc != 0) {
		source_close(*out);
		*out = NULL;
	}
	return rc;
}

static void add_note(struct files *f, const char *note)
{
	struct buf all = BUF_INIT;

	buf_printf(&all, "%s%s%s", f->head.note ? f->head.note : "", f->head.note ? "; " : "",
		   note);
	buf_put_u8(&all, 0);
	free(f->head.note);
	f->head.note = (char *)all.data;
}

static int check_one(struct files *f, size_t i, struct error *err)
{
	struct source *s = NULL;
	struct stat st;
	int rc = open_one(f, i, &s, err);

	if (rc != 0)
		return rc;
	f->head.texts = s->texts;
	f->head.dim = s->dim;
	if (!f->head.distance)
		f->head.distance = s->distance; /* a constant */
	if (s->note)
		add_note(f, s->note);
	f->bytes[i] = stat(f->paths[i], &st) == 0 ? (double)st.st_size : 0;
	f->all_bytes += f->bytes[i];
	source_close(s);
	return 0;
}

static int files_next(struct source *s, struct batch *b, uint32_t max, struct error *err)
{
	struct files *f = (struct files *)s;
	int rc = 0;

	while (rc == 0 && b->n == 0) {
		if (f->options.limit && s->read == f->options.limit)
			break;
		if (!f->now && f->next == f->n)
			break;
		if (!f->now)
			rc = open_one(f, f->next++, &f->now, err);
		if (rc == 0)
			rc = source_next(f->now, b, max, err);
		if (rc == 0 && b->n == 0) {
			f->done_bytes += f->bytes[f->next - 1];
			source_close(f->now);
			f->now = NULL;
		}
	}
	if (rc == 0)
		source_set_done(s,
				f->done_bytes + (f->now ? f->now->done * f->bytes[f->next - 1] : 0),
				f->all_bytes, b->n, f->options.limit);
	return rc;
}

static const struct source_ops files_ops = {files_next, files_close};

int source_open_files(struct source **out, const char *const *paths, size_t n,
		      const struct source_options *options, struct error *err)
{
	struct files *f;
	int rc = 0;

	*out = NULL;
	if (n == 1)
		return strcmp(paths[0], "-") == 0 ? source_open_jsonl(out, NULL, options, err)
						  : source_open(out, paths[0], options, err);
	f = mem_zalloc(sizeof(*f));
	f->head.ops = &files_ops;
	f->head.name = source_names(paths, n);
	f->options = *options;
	f->paths = paths;
	f->n = n;
	f->bytes = mem_array(n, sizeof(*f->bytes));
	for (size_t i = 0; i < n && rc == 0; i++) {
		if (strcmp(paths[i], "-") == 0)
			rc = error_set(err, ERR_INPUT,
				       "standard input (-) cannot be loaded together with files");
		else
			rc = check_one(f, i, err);
	}
	if (rc != 0) {
		source_close(&f->head);
		return rc;
	}
	*out = &f->head;
	return 0;
}
