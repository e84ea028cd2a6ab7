/* The write-ahead log as wal.c (writing), wal_open.c and wal_read.c share it. */
#pragma once
#include "store/wal_format.h"

struct wal_index_entry { /* one record in about every 64 KB, so that a read need not start at the head */
	uint64_t seq;
	uint64_t offset;
};

struct wal_file {
	struct wal_file_header header;
	uint64_t end; /* bytes in use */
	struct wal_index_entry *index;
	size_t n_index, cap_index;
};

struct wal {
	struct store_io io;
	char *dir;
	uint64_t segment_bytes;
	struct wal_file *files; /* ascending; the last is written to */
	size_t n_files, cap_files;
	struct store_file *current; /* of the last file; NULL when there is none */
	uint64_t allocated;         /* bytes reserved in it */
	uint64_t seed;              /* of the last file */
	uint64_t generation;
	struct wal_place place; /* of the last record */
	uint64_t synced;        /* last durable seq */
	bool unsynced;          /* something was written since the last sync */
	bool ends_in_mark;
	bool failed; /* memory and disk may differ: everything is refused until it is opened again */
	struct buf scratch;
};

enum { WAL_PATH_BYTES = 512, WAL_SEGMENT_BYTES = 64 << 20 };

void wal_file_path(const struct wal *w, uint64_t first_seq, char out[WAL_PATH_BYTES]);
struct wal_file *wal_add_file(struct wal *w, const struct wal_file_header *header);
void wal_drop_file_entry(struct wal *w, size_t i); /* the entry in memory only */
void wal_index_add(struct wal_file *f, uint64_t seq, uint64_t offset);
/* Creates the file of the next record and makes it current. Durable on return. */
int wal_begin_file(struct wal *w, struct error *err);
void wal_write_mark(struct wal *w);
/* Finds the head of record seq in file i: its offset and itself. */
int wal_locate(struct wal *w, size_t i, uint64_t seq, uint64_t *offset, struct wal_head *h,
	       struct error *err);
