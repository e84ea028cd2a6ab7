#include "cli/load_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/secret.h"

struct load_state {
	int fd;
	char *path;
	uint64_t *hashes; /* by the number of the batch; 0 = not committed */
	uint64_t room, n; /* n: committed before */
	uint64_t run;
	pthread_mutex_t mutex;
	struct buf header;
};

/* Creates the folders above the last slash. */
static int make_folders(char *path, struct error *err)
{
	for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = 0;
		int rc = mkdir(path, 0700);
		int code = errno;
		*at = '/';
		if (rc != 0 && code != EEXIST)
			return error_errno(err, code, "cannot create the folder of %s", path);
	}
	return 0;
}

static char *state_path(const char *key)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	struct buf b = BUF_INIT;

	if (state && *state)
		buf_printf(&b, "%s", state);
	else
		buf_printf(&b, "%s/.local/state", home && *home ? home : "/root");
	buf_printf(&b, "/quiver/ingest/%016" PRIx64 ".state", hash64(key, strlen(key)));
	buf_put_u8(&b, 0);
	return (char *)b.data;
}

/* A batch number that no load reaches is damage, not a reason to allocate. */
static void remember(struct load_state *s, uint64_t batch, uint64_t hash)
{
	if (batch > 1ULL << 32 || hash == 0)
		return;
	if (batch >= s->room) {
		uint64_t room = s->room ? s->room : 64;

		while (room <= batch)
			room *= 2;
		s->hashes = mem_resize(s->hashes, room * sizeof(*s->hashes));
		memset(s->hashes + s->room, 0, (room - s->room) * sizeof(*s->hashes));
		s->room = room;
	}
	s->n += s->hashes[batch] == 0;
	s->hashes[batch] = hash;
}

/* Lines that are not whole (killed while writing) or not of this key are left out. */
static void read_lines(struct load_state *s)
{
	FILE *f = fopen(s->path, "r");
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	if (f == NULL)
		return;
	n = getline(&line, &room, f);
	bool ours = n == (ssize_t)s->header.len && memcmp(line, s->header.data, s->header.len) == 0;
	unsigned long long run = 0;
	if (ours && getline(&line, &room, f) > 0 && sscanf(line, "run %llx", &run) == 1)
		s->run = run;
	ours = s->run != 0;
	while (ours && (n = getline(&line, &room, f)) > 0) {
		unsigned long long batch, hash;

		if (line[n - 1] == '\n' && sscanf(line, "%llu %llx", &batch, &hash) == 2)
			remember(s, batch, hash);
	}
	free(line);
	fclose(f);
	if (!ours)
		state_reset(s, NULL);
}

int state_open(struct load_state **out, const char *key, struct error *err)
{
	struct load_state *s = mem_zalloc(sizeof(*s));
	int rc;

	*out = NULL;
	s->fd = -1;
	s->path = state_path(key);
	pthread_mutex_init(&s->mutex, NULL);
	buf_printf(&s->header, "quiver ingest state 2: %s\n", key);
	rc = make_folders(s->path, err);
	if (rc == 0)
		s->fd = open(s->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (rc == 0 && s->fd < 0)
		rc = error_errno(err, errno, "cannot open %s", s->path);
	if (rc == 0 && flock(s->fd, LOCK_EX | LOCK_NB) != 0)
		rc = error_set(
			err, ERR_LOCKED,
			"another quiver ingest loads the same source into the same collection now "
			"(%s is locked)",
			s->path);
	if (rc != 0) {
		state_close(s);
		return rc;
	}
	read_lines(s);
	*out = s;
	return 0;
}

uint64_t state_run_new(void)
{
	uint64_t run;

	secret_random(&run, sizeof(run));
	return run | 1;
}

uint64_t state_run(const struct load_state *s)
{
	return s->run;
}

uint64_t state_batches(const struct load_state *s)
{
	return s->n;
}

bool state_has(const struct load_state *s, uint64_t batch, uint64_t hash)
{
	return batch < s->room && s->hashes[batch] == hash && hash != 0;
}

int state_add(struct load_state *s, uint64_t batch, uint64_t hash, struct error *err)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%" PRIu64 " %016" PRIx64 "\n", batch, hash);
	int rc = 0;

	pthread_mutex_lock(&s->mutex);
	if (write(s->fd, line, (size_t)n) != n)
		rc = error_errno(err, errno, "cannot write %s", s->path);
	pthread_mutex_unlock(&s->mutex);
	return rc;
}

int state_reset(struct load_state *s, struct error *err)
{
	struct buf head = BUF_INIT;
	int rc = 0;

	if (s->room > 0)
		memset(s->hashes, 0, s->room * sizeof(*s->hashes));
	s->n = 0;
	s->run = state_run_new();
	buf_put(&head, s->header.data, s->header.len);
	buf_printf(&head, "run %016" PRIx64 "\n", s->run);
	if (ftruncate(s->fd, 0) != 0 || write(s->fd, head.data, head.len) != (ssize_t)head.len)
		rc = error_errno(err, errno, "cannot write %s", s->path);
	buf_fini(&head);
	return rc;
}

void state_remove(struct load_state *s)
{
	unlink(s->path);
}

void state_close(struct load_state *s)
{
	if (s == NULL)
		return;
	if (s->fd >= 0)
		close(s->fd);
	pthread_mutex_destroy(&s->mutex);
	buf_fini(&s->header);
	free(s->hashes);
	free(s->path);
	free(s);
}
