/* See identity.h. */
#include "server/identity.h"
#include "base/codec.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/secret.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IDENTITY_MAGIC = 0x444e5151, IDENTITY_VERSION = 1 }; /* "QQND" */
static const char FILE_NAME[] = "node";

static void take_text(struct reader *r, char *out, size_t size)
{
	uint32_t n = 0;
	const uint8_t *text = reader_blob(r, &n);
	if (text == NULL || n >= size)
		reader_fail(r);
	else
		memcpy(out, text, n);
	out[n < size ? n : 0] = 0;
}

int identity_load(const struct store_io *io, struct identity *out, struct error *err)
{
	struct buf b = BUF_INIT;
	struct error why = {0};
	int rc = store_get_file(io, FILE_NAME, &b, &why);
	memset(out, 0, sizeof(*out));
	if (rc == ERR_NOT_FOUND) {
		buf_fini(&b);
		return 1;
	}
	struct reader r = reader_make(b.data, b.len);
	if (rc == 0) {
		uint32_t magic = reader_u32(&r);
		uint16_t version = reader_u16(&r);
		out->cluster_id = reader_u64(&r);
		out->node_id = reader_u64(&r);
		take_text(&r, out->name, sizeof(out->name));
		take_text(&r, out->address, sizeof(out->address));
		out->coordinator = reader_u8(&r) != 0;
		out->shard = reader_u8(&r) != 0;
		if (magic != IDENTITY_MAGIC || !reader_done(&r) || out->node_id == 0)
			rc = error_set(&why, ERR_CORRUPT,
				       "the file `%s` of the data folder is malformed", FILE_NAME);
		else if (version != IDENTITY_VERSION)
			rc = error_set(&why, ERR_VERSION,
				       "the file `%s` of the data folder has version %u, this "
				       "program reads %d",
				       FILE_NAME, version, IDENTITY_VERSION);
	}
	if (rc != 0 && err)
		*err = why;
	buf_fini(&b);
	return rc;
}

int identity_save(const struct store_io *io, const struct identity *id, struct error *err)
{
	struct buf b = BUF_INIT;
	buf_put_u32(&b, IDENTITY_MAGIC);
	buf_put_u16(&b, IDENTITY_VERSION);
	buf_put_u64(&b, id->cluster_id);
	buf_put_u64(&b, id->node_id);
	buf_put_str(&b, id->name);
	buf_put_str(&b, id->address);
	buf_put_u8(&b, id->coordinator);
	buf_put_u8(&b, id->shard);
	int rc = store_put_file(io, FILE_NAME, b.data, b.len, err);
	buf_fini(&b);
	return rc;
}

int address_parse(const char *flag, const char *text, char *host, size_t host_size, uint16_t *port,
		  struct error *err)
{
	const char *colon = strrchr(text, ':');
	char *end = NULL;
	unsigned long number = colon ? strtoul(colon + 1, &end, 10) : 0;
	size_t n = colon ? (size_t)(colon - text) : 0;
	if (colon == NULL || n == 0 || n >= host_size || *end != 0 || end == colon + 1 ||
	    number > 65535)
		return error_set(err, ERR_INPUT,
				 "%s %s: write it as HOST:PORT, for example 127.0.0.1:6333", flag,
				 text);
	if (text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	memcpy(host, text, n);
	host[n] = 0;
	*port = (uint16_t)number;
	return 0;
}

bool address_is_loopback(const char *host)
{
	return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
	       strcmp(host, "localhost") == 0;
}

int roles_parse(const char *text, bool *coordinator, bool *shard, struct error *err)
{
	*coordinator = *shard = false;
	for (const char *at = text;;) {
		size_t n = strcspn(at, ",");
		if (n == strlen("coordinator") && memcmp(at, "coordinator", n) == 0)
			*coordinator = true;
		else if (n == strlen("shard") && memcmp(at, "shard", n) == 0)
			*shard = true;
		else
			return error_set(err, ERR_INPUT,
					 "--roles %s: the roles are coordinator and shard, with a "
					 "comma between them",
					 text);
		if (at[n] == 0)
			return 0;
		at += n + 1;
	}
}

/* ---- the first nodes ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct first_node *)a)->name, ((const struct first_node *)b)->name);
}

static int take_entry(char *entry, struct first_node *out, struct error *err)
{
	char host[ADDRESS_BYTES];
	uint16_t port = 0;
	char *at = strchr(entry, '@');
	if (at == NULL || at == entry || at - entry > LIMIT_NAME_BYTES ||
	    strlen(at + 1) >= ADDRESS_BYTES)
		return error_set(err, ERR_INPUT,
				 "--bootstrap: `%s` should be NAME@HOST:PORT, the port of --rpc",
				 entry);
	*at = 0;
	out->name = entry;
	out->voter.address = at + 1;
	int rc = address_parse("--bootstrap", at + 1, host, sizeof(host), &port, err);
	if (rc == 0 && port == 0)
		rc = error_set(err, ERR_INPUT, "--bootstrap: the port of `%s` must be given",
			       entry);
	return rc;
}

static int check_list(const struct first_nodes *list, struct error *err)
{
	for (size_t i = 0; i < list->n; i++) {
		for (size_t j = 0; j < i; j++) {
			if (strcmp(list->nodes[i].name, list->nodes[j].name) == 0)
				return error_set(err, ERR_INPUT,
						 "--bootstrap names `%s` twice; names of nodes are "
						 "unique",
						 list->nodes[i].name);
			if (strcmp(list->nodes[i].voter.address, list->nodes[j].voter.address) == 0)
				return error_set(err, ERR_INPUT,
						 "--bootstrap gives `%s` and `%s` the same address "
						 "%s",
						 list->nodes[j].name, list->nodes[i].name,
						 list->nodes[i].voter.address);
		}
	}
	if (list->n != 1 && list->n != 3 && list->n != 5)
		return error_set(err, ERR_INPUT,
				 "--bootstrap lists %zu nodes; a cluster begins with 1, 3 or 5 "
				 "coordinators (more nodes come with --join)",
				 list->n);
	return 0;
}

enum { OWN_PART = 32 }; /* bits of a cluster's id that are random when one node begins it */

uint64_t first_nodes_cluster(const struct first_nodes *list)
{
	uint32_t random;
	if (list->n > 1)
		return list->cluster_id;
	secret_random(&random, sizeof(random));
	return (uint64_t)random << OWN_PART | (uint32_t)list->cluster_id;
}

bool first_nodes_began(const struct first_nodes *list, uint64_t cluster_id)
{
	if (list->n > 1)
		return cluster_id == list->cluster_id;
	return (uint32_t)cluster_id == (uint32_t)list->cluster_id;
}

int first_nodes_parse(const char *list, struct arena *arena, struct first_nodes *out,
		      struct error *err)
{
	char *text = arena_strdup(arena, list);
	size_t cap = 1;
	int rc = 0;
	for (const char *c = list; *c; c++)
		cap += *c == ',';
	*out = (struct first_nodes){.nodes = arena_zalloc(arena, cap * sizeof(*out->nodes))};
	for (char *entry = text; rc == 0 && entry != NULL;) {
		char *comma = strchr(entry, ',');
		if (comma != NULL)
			*comma = 0;
		rc = take_entry(entry, &out->nodes[out->n++], err);
		entry = comma != NULL ? comma + 1 : NULL;
	}
	if (rc != 0)
		return rc;
	qsort(out->nodes, out->n, sizeof(*out->nodes), by_name);
	for (size_t i = 0; i < out->n; i++) {
		const struct first_node *f = &out->nodes[i];
		out->nodes[i].voter.id = i + 1;
		out->cluster_id =
			hash64_seed(f->name, strlen(f->name) + 1,
				    hash64_seed(f->voter.address, strlen(f->voter.address),
						out->cluster_id + 1));
	}
	return check_list(out, err);
}

const struct first_node *first_nodes_find(const struct first_nodes *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->nodes[i].name, name) == 0)
			return &list->nodes[i];
	return NULL;
}
