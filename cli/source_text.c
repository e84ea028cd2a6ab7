/* Folders of text as a source: every file becomes passages, every passage a record with its text, title,
 * path and number. Ids are UUIDs made from path and number, so that loading again overwrites. The folders
 * are taken in the order given, the files of each in the order of their paths. */
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/hash.h"
#include "base/memory.h"
#include "cli/markup.h"
#include "cli/passage.h"
#include "cli/source.h"
#include "http/json.h"

enum { FILE_BYTES = 16 << 20, FOLDER_DEPTH = 64, PAGE_BYTES = 60 };

struct text_file {
	char *path;
	uint64_t size;
	enum markup kind;
};

struct text_source {
	struct source head;
	struct source_options options;
	struct text_file *files;
	size_t n_files, room, file; /* file: the one whose passages are being given out, plus one */
	uint64_t bytes, done_bytes;
	struct passages passages;
	uint32_t passage; /* next of the current file */
	struct buf title;
};

static void text_close(struct source *s)
{
	struct text_source *t = (struct text_source *)s;

	for (size_t i = 0; i < t->n_files; i++)
		free(t->files[i].path);
	free(t->files);
	passages_fini(&t->passages);
	buf_fini(&t->title);
	free(t);
}

/* ---- finding the files ------------------------------------------------------------------------ */

static bool is_excluded(const char *patterns, const char *path)
{
	char pattern[1024];

	while (patterns && *patterns) {
		size_t n = strcspn(patterns, ",");

		if (n > 0 && n < sizeof(pattern)) {
			memcpy(pattern, patterns, n);
			pattern[n] = 0;
			if (fnmatch(pattern, path, 0) == 0)
				return true;
		}
		patterns += n + (patterns[n] == ',');
	}
	return false;
}

static void add_file(struct text_source *t, const char *path, const struct stat *st, bool named)
{
	enum markup kind;

	if (is_excluded(t->options.exclude, path))
		return;
	/* A file that was named by hand is read whatever it is called. */
	if ((!markup_of_name(path, t->options.extensions, &kind) && !named) || st->st_size == 0 ||
	    st->st_size > FILE_BYTES) {
		t->head.skipped++;
		return;
	}
	if (t->n_files == t->room) {
		t->room = t->room ? t->room * 2 : 256;
		t->files = mem_resize(t->files, t->room * sizeof(*t->files));
	}
	t->files[t->n_files++] = (struct text_file){mem_strdup(path), (uint64_t)st->st_size, kind};
	t->bytes += (uint64_t)st->st_size;
}

/* Links are not followed: those to folders may go round, and what one to a file says stands there. */
static void walk(struct text_source *t, const char *folder, int depth)
{
	DIR *d = depth < FOLDER_DEPTH ? opendir(folder) : NULL;
	struct dirent *entry;

	if (d == NULL) {
		t->head.skipped++;
		return;
	}
	while ((entry = readdir(d)) != NULL) {
		struct buf path = BUF_INIT;
		struct stat st;

		if (entry->d_name[0] == '.')
			continue;
		buf_printf(&path, "%s%s%s", folder, source_name_ends(folder, "/") ? "" : "/",
			   entry->d_name);
		buf_put_u8(&path, 0);
		const char *name = (const char *)path.data;
		if (lstat(name, &st) == 0) {
			if (S_ISDIR(st.st_mode))
				walk(t, name, depth + 1);
			else if (S_ISREG(st.st_mode))
				add_file(t, name, &st, false);
		}
		buf_fini(&path);
	}
	closedir(d);
}

static int compare_files(const void *a, const void *b)
{
	return strcmp(((const struct text_file *)a)->path, ((const struct text_file *)b)->path);
}

/* ---- reading one ------------------------------------------------------------------------------ */

/* gzread() also reads what is not compressed. */
static int read_document(const char *path, struct buf *out)
{
	gzFile f = gzopen(path, "rb");
	int got = 0;

	if (f == NULL)
		return ERR_IO;
	do {
		buf_reserve(out, 65536);
		got = gzread(f, out->data + out->len, 65536);
		if (got > 0)
			out->len += (size_t)got;
	} while (got > 0 && out->len < 4 * (size_t)FILE_BYTES);
	gzclose_r(f);
	return got < 0 ? ERR_FORMAT : 0;
}

static void default_title(struct buf *title, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (title->len == 0) {
		const char *name = slash ? slash + 1 : path;

		buf_put(title, name, strlen(name));
	}
}

/* The name of a README, a copyright and so on says little: "bash: README". */
static void prefix_title(struct buf *title, const char *path)
{
	static const char folder[] = "/usr/share/doc/";
	struct buf whole = BUF_INIT;
	const char *package;

	if (strncmp(path, folder, sizeof(folder) - 1) != 0)
		return;
	package = path + sizeof(folder) - 1;
	size_t n = strcspn(package, "/");
	if (package[n] != '/' || memmem(title->data, title->len, package, n) != NULL)
		return;
	buf_put(&whole, package, n);
	buf_put(&whole, ": ", 2);
	buf_put(&whole, title->data, title->len);
	buf_fini(title);
	*title = whole;
}

static void read_file(struct text_source *t, const struct text_file *file)
{
	struct buf bytes = BUF_INIT, text = BUF_INIT;

	t->passages.n = 0;
	t->passage = 0;
	buf_clear(&t->title);
	if (read_document(file->path, &bytes) != 0 || markup_is_binary(bytes.data, bytes.len)) {
		t->head.skipped++;
	} else {
		markup_to_text(file->kind, (const char *)bytes.data, bytes.len, &text, &t->title);
		default_title(&t->title, file->path);
		prefix_title(&t->title, file->path);
		passages_split(&t->passages, (const char *)text.data, text.len);
		/* A page of three words only refers to another one; a note may be that short. */
		bool page = file->kind == MARKUP_MAN || file->kind == MARKUP_HTML;
		if (page && t->passages.n == 1 && t->passages.items[0].text_n < PAGE_BYTES)
			t->passages.n = 0;
		if (t->passages.n == 0)
			t->head.skipped++;
	}
	buf_fini(&bytes);
	buf_fini(&text);
}

/* ---- giving out ------------------------------------------------------------------------------- */

static void put_member(struct buf *out, const char *key, const void *text, size_t n)
{
	buf_printf(out, "%s\"%s\":", out->data[out->len - 1] == '{' ? "" : ",", key);
	json_put_string(out, text, n);
}

static void put_passage(struct text_source *t, const char *path, struct batch *b)
{
	const struct passage *p = &t->passages.items[t->passage];
	const uint8_t *text = t->passages.text.data + p->text_at;
	struct buf *out = &b->payloads;
	uint64_t hi = hash64_seed(path, strlen(path), 2 * (uint64_t)t->passage);
	uint64_t lo = hash64_seed(path, strlen(path), 2 * (uint64_t)t->passage + 1);

	/* RFC 9562: version 8 (made up by the application), variant 10. */
	batch_put_uuid(b, (hi & ~0xF000ULL) | 0x8000, (lo & ~(3ULL << 62)) | 2ULL << 62);
	buf_put_u8(out, '{');
	put_member(out, "title", t->title.data, t->title.len);
	put_member(out, "text", text, p->text_n);
	put_member(out, "path", path, strlen(path));
	if (p->section_n > 0)
		put_member(out, "section", t->passages.text.data + p->section_at, p->section_n);
	buf_printf(out, ",\"passage\":%" PRIu32 ",\"passages\":%" PRIu32 "}\n", t->passage,
		   t->passages.n);
	/* The title tells what it is about, so it is part of what is embedded. */
	buf_put(&b->texts, t->title.data, t->title.len);
	buf_put_u8(&b->texts, '\n');
	buf_put(&b->texts, text, p->text_n);
	buf_put_u8(&b->texts, 0);
	b->n++;
	t->passage++;
}

static int text_next(struct source *s, struct batch *b, uint32_t max, struct error *err)
{
	struct text_source *t = (struct text_source *)s;

	(void)err;
	while (b->n < max && b->payloads.len + b->texts.len < SOURCE_BATCH_BYTES) {
		if (t->options.limit && s->read + b->n == t->options.limit)
			break;
		if (t->passage == t->passages.n) {
			if (t->file == t->n_files)
				break;
			t->done_bytes += t->files[t->file].size;
			read_file(t, &t->files[t->file++]);
			continue;
		}
		put_passage(t, t->files[t->file - 1].path, b);
	}
	source_set_done(s, (double)t->done_bytes, (double)t->bytes, b->n, t->options.limit);
	return 0;
}

static const struct source_ops text_ops = {text_next, text_close};

static int add_argument(struct text_source *t, const char *path, struct error *err)
{
	/* Ids are made of paths, so the same file must have the same one however it is named. */
	char *whole = realpath(path, NULL);
	struct stat st;

	if (whole == NULL || stat(whole, &st) != 0) {
		int code = errno;

		free(whole);
		return error_errno(err, code, "cannot read %s", path);
	}
	if (S_ISDIR(st.st_mode))
		walk(t, whole, 0);
	else
		add_file(t, whole, &st, true);
	free(whole);
	return 0;
}

int source_open_text(struct source **out, const char *const *paths, size_t n,
		     const struct source_options *options, struct error *err)
{
	struct text_source *t = mem_zalloc(sizeof(*t));
	int rc = 0;

	t->head.ops = &text_ops;
	t->head.texts = true;
	t->options = *options;
	for (size_t i = 0; i < n && rc == 0; i++) {
		size_t first = t->n_files;

		rc = add_argument(t, paths[i], err);
		if (t->n_files > first)
			qsort(t->files + first, t->n_files - first, sizeof(*t->files),
			      compare_files);
	}
	t->head.name = source_names(paths, n);
	if (rc == 0 && t->n_files == 0)
		rc = error_set(err, ERR_INPUT, "no text was found in %s", t->head.name);
	if (rc != 0) {
		*out = NULL;
		source_close(&t->head);
		return rc;
	}
	*out = &t->head;
	return 0;
}
