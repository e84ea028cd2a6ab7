/* JSON lines: one object a line with id, vector (or text) and payload; the names of the fields are
 * options. Without a payload field all other fields are the payload. A file whose last line is cut is
 * refused at opening; in what comes through standard input that is seen at the end only. */
#include "cli/source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/memory.h"
#include "http/json.h"
#include "model/id.h"

struct jsonl_file {
	struct source head;
	FILE *file;
	const char *id_field, *vector_field, *payload_field, *text_field;
	struct source_options options;
	char *line; /* of getline() */
	size_t line_room;
	uint64_t line_number, at, end; /* byte at which the next line begins, byte at which to stop;
			UINT64_MAX: not known, of standard input */
	uint64_t row;
	struct arena *arena;
	bool held; /* the line in `line` was read but not given out: its ids are of the other kind */
	size_t held_n;
};

static void jsonl_close(struct source *s)
{
	struct jsonl_file *f = (struct jsonl_file *)s;

	if (f->file && f->file != stdin)
		fclose(f->file);
	arena_free(f->arena);
	free(f->line);
	free(f);
}

static int wrong(const struct jsonl_file *f, struct error *err, int rc)
{
	return error_wrap(err, rc, "%s, line %" PRIu64 " (byte %" PRIu64 ")", f->head.name,
			  f->line_number, f->at);
}

/* Everything but id, vector and text; or the payload field alone. */
static int put_payload(struct jsonl_file *f, const struct json *v, struct buf *out,
		       struct error *err)
{
	const char *const others[] = {f->id_field, f->vector_field, f->payload_field, NULL};
	const struct json *payload = json_get(v, f->payload_field);

	if (payload && json_type(payload) != JSON_OBJECT)
		return error_set(err, ERR_FORMAT, "the field `%s` is no object", f->payload_field);
	buf_put_u8(out, '{');
	json_put_entries(out, payload ? payload : v, payload ? NULL : others);
	json_put_literal(out, "}\n");
	return 0;
}

static int read_id(struct jsonl_file *f, const struct json *v, struct point_id *id,
		   struct error *err)
{
	const struct json *given = json_get(v, f->id_field);
	const char *text;
	size_t n;

	if (given == NULL) {
		*id = id_from_u64(f->options.id_offset + f->row);
		return 0;
	}
	if (json_type(given) == JSON_UINT ||
	    (json_type(given) == JSON_INT && json_int(given) >= 0)) {
		*id = id_from_u64(json_uint(given));
		return 0;
	}
	if (json_type(given) == JSON_STRING) {
		text = json_string(given, &n);
		if (id_parse_uuid(text, n, id) == 0)
			return 0;
	}
	return error_set(err, ERR_FORMAT,
			 "the field `%s` is no id: a whole number from 0 or a UUID is expected",
			 f->id_field);
}

static int put_vector(struct jsonl_file *f, const struct json *v, struct batch *b,
		      struct error *err)
{
	const struct json *vector = json_get(v, f->vector_field);
	const float *values = vector ? json_floats(vector, f->arena, &(size_t){0}) : NULL;
	size_t n = vector ? json_count(vector) : 0;

	if (values == NULL || n == 0)
		return error_set(
			err, ERR_FORMAT,
			"the field `%s` is %s; a list of numbers is expected (--vector-field "
			"names another field, --text-field one with text to be embedded)",
			f->vector_field, vector ? "no vector" : "missing");
	if (f->head.dim == 0 && n <= LIMIT_DIMENSION)
		f->head.dim = (uint32_t)n;
	if (n != f->head.dim)
		return error_set(
			err, ERR_FORMAT,
			"the vector has %zu values, the first one of this file has %" PRIu32, n,
			f->head.dim);
	buf_put(&b->rows, values, n * sizeof(float));
	return 0;
}

static int put_text(struct jsonl_file *f, const struct json *v, struct batch *b, struct error *err)
{
	const struct json *text = json_get(v, f->text_field);
	const char *s;
	size_t n;

	if (text == NULL || json_type(text) != JSON_STRING)
		return error_set(err, ERR_FORMAT, "the field `%s` is missing or no text",
				 f->text_field);
	s = json_string(text, &n);
	buf_put(&b->texts, s, strnlen(s, n));
	buf_put_u8(&b->texts, 0);
	return 0;
}

/* The record of one line into the batch. 1: its id is of the other kind than those before. */
static int put_record(struct jsonl_file *f, size_t n, struct batch *b, struct error *err)
{
	const struct json *v;
	struct point_id id = {0};

	arena_reset(f->arena);
	int rc = json_parse((const uint8_t *)f->line, n, f->arena, &v, err);
	if (rc == 0 && json_type(v) != JSON_OBJECT)
		rc = error_set(err, ERR_FORMAT, "an object is expected on every line");
	if (rc == 0)
		rc = read_id(f, v, &id, err);
	if (rc != 0)
		return rc;
	if (b->n > 0 && b->uuids != (id.kind == ID_UUID))
		return 1;
	rc = f->head.texts ? put_text(f, v, b, err) : put_vector(f, v, b, err);
	if (rc == 0)
		rc = put_payload(f, v, &b->payloads, err);
	if (rc != 0)
		return rc;
	if (id.kind == ID_UUID)
		batch_put_uuid(b, id.hi, id.lo);
	else
		batch_put_u64_id(b, id.lo);
	b->n++;
	return 0;
}

static void note_cut(struct jsonl_file *f, uint64_t at)
{
	struct buf note = BUF_INIT;

	buf_printf(&note,
		   "%s ends in mid-record at byte %" PRIu64
		   ": the whole lines before it are kept, the rest is left out",
		   f->head.name, at);
	buf_put_u8(&note, 0);
	f->head.note = (char *)note.data;
}

/* The last line of standard input, without an end: whole when it is valid JSON. 1: it is left out. */
static int check_last(struct jsonl_file *f, size_t n, struct error *err)
{
	const struct json *v;

	arena_reset(f->arena);
	if (json_parse((const uint8_t *)f->line, n, f->arena, &v, NULL) == 0)
		return 0;
	if (f->options.partial) {
		note_cut(f, f->at);
		f->end = f->at;
		return 1;
	}
	return error_set(err, ERR_FORMAT,
			 "%s ends in mid-record: line %" PRIu64
			 " is cut. The whole lines before it are loaded, or will be when the same "
			 "comes again with --partial",
			 f->head.name, f->line_number);
}

/* The next line with content; 1 at the end. */
static int read_line(struct jsonl_file *f, size_t *n, struct error *err)
{
	while (f->at < f->end) {
		ssize_t got = getline(&f->line, &f->line_room, f->file);

		if (got <= 0 && f->head.once && feof(f->file)) {
			f->end = f->at;
			return 1;
		}
		if (got <= 0)
			return error_set(err, ERR_IO, "%s: cannot be read at byte %" PRIu64 ": %s",
					 f->head.name, f->at,
					 ferror(f->file) ? strerror(errno) : "it became shorter");
		f->line_number++;
		if (f->head.once && f->line[got - 1] != '\n') {
			int rc = check_last(f, (size_t)got, err);

			if (rc != 0)
				return rc;
		}
		if (strspn(f->line, " \t\r\n") < (size_t)got) {
			*n = (size_t)got;
			return 0;
		}
		f->at += (uint64_t)got;
	}
	return 1;
}

static int jsonl_next(struct source *s, struct batch *b, uint32_t max, struct error *err)
{
	struct jsonl_file *f = (struct jsonl_file *)s;

	while (b->n < max && b->rows.len + b->texts.len + b->payloads.len < SOURCE_BATCH_BYTES) {
		int rc;

		if (f->options.limit && f->row == f->options.limit)
			break;
		if (!f->held) {
			rc = read_line(f, &f->held_n, err);
			if (rc != 0) {
				if (rc < 0)
					return rc;
				break;
			}
			f->held = true;
		}
		rc = put_record(f, f->held_n, b, err);
		if (rc < 0)
			return wrong(f, err, rc);
		if (rc > 0)
			break;
		f->held = false;
		f->at += f->held_n;
		f->row++;
	}
	b->dim = f->head.dim;
	source_set_done(s, (double)f->at, (double)f->end, b->n, f->options.limit);
	return 0;
}

static const struct source_ops jsonl_ops = {jsonl_next, jsonl_close};

/* Where the last line begins, when the file does not end with a line end; else its length. */
static uint64_t last_line(FILE *file, uint64_t size)
{
	uint64_t at = size;
	char block[4096];

	while (at > 0) {
		size_t n = at < sizeof(block) ? (size_t)at : sizeof(block);

		if (fseeko(file, (off_t)(at - n), SEEK_SET) != 0 || fread(block, 1, n, file) != n)
			return size;
		for (size_t i = n; i > 0; i--) {
			if (block[i - 1] == '\n')
				return at - n + i;
		}
		at -= n;
	}
	return 0;
}

/* A last line without an end is whole when it is valid JSON; else the file was cut there. */
static int check_end(struct jsonl_file *f, uint64_t size, struct error *err)
{
	uint64_t at = last_line(f->file, size);
	const struct json *v;
	ssize_t n;

	f->end = size;
	if (at == size)
		return 0;
	if (fseeko(f->file, (off_t)at, SEEK_SET) != 0)
		return error_errno(err, errno, "cannot read %s", f->head.name);
	n = getline(&f->line, &f->line_room, f->file);
	if (n <= 0 || json_parse((const uint8_t *)f->line, (size_t)n, f->arena, &v, NULL) == 0)
		return 0;
	if (!f->options.partial)
		return error_set(
			err, ERR_FORMAT,
			"%s ends in mid-record: the line that begins at byte %" PRIu64
			" is cut. Nothing was loaded; --partial loads the whole lines before "
			"it",
			f->head.name, at);
	f->end = at;
	note_cut(f, at);
	return 0;
}

/* The dimension, from the first line, so that the collection can be created before anything is sent. The
 * line is kept for the first batch. */
static int peek(struct jsonl_file *f, struct error *err)
{
	struct batch b = {0};
	int rc;

	if (!f->head.once)
		rewind(f->file);
	rc = read_line(f, &f->held_n, err);
	if (rc > 0)
		return error_set(err, ERR_FORMAT, "%s has no records", f->head.name);
	if (rc < 0)
		return rc;
	f->held = true;
	rc = put_record(f, f->held_n, &b, err);
	batch_fini(&b);
	return rc < 0 ? wrong(f, err, rc) : 0;
}

static const char *or_default(const char *given, const char *fallback)
{
	return given ? given : fallback;
}

static int open_file(struct jsonl_file *f, const char *path, struct error *err)
{
	struct stat st;

	f->file = fopen(path, "rb");
	if (f->file == NULL || fstat(fileno(f->file), &st) != 0)
		return error_errno(err, errno, "cannot read %s", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_INPUT, "%s is no plain file", path);
	return check_end(f, (uint64_t)st.st_size, err);
}

int source_open_jsonl(struct source **out, const char *path, const struct source_options *options,
		      struct error *err)
{
	struct jsonl_file *f = mem_zalloc(sizeof(*f));
	int rc = 0;

	*out = NULL;
	f->head.ops = &jsonl_ops;
	f->head.name = mem_strdup(path ? path : "standard input");
	f->head.texts = options->text_field != NULL;
	f->head.once = path == NULL;
	f->options = *options;
	f->id_field = or_default(options->id_field, "id");
	f->vector_field = or_default(options->vector_field, "vector");
	f->payload_field = or_default(options->payload_field, "payload");
	f->text_field = options->text_field;
	f->arena = arena_new(1 << 16);
	f->file = stdin;
	f->end = UINT64_MAX;
	if (path)
		rc = open_file(f, path, err);
	if (rc == 0)
		rc = peek(f, err);
	if (rc != 0) {
		source_close(&f->head);
		return rc;
	}
	*out = &f->head;
	return 0;
}
