/* Private to rpc/link.c: calls that wait for their answer, in lists, and the frames that carried them. Nothing here locks. */
#pragma once
#include "base/codec.h"
#include "rpc/rpc.h"

#include <stdlib.h>

/* A frame on its way: calls of it that have no answer yet. */
struct open_frame {
	unsigned left;
};

struct pending {
	struct pending *next;
	struct rpc_call *call; /* NULL: given up */
	uint64_t id;
	enum rpc_type type;
	uint64_t deadline_us;
	uint64_t queued_us;
	struct open_frame *frame; /* NULL: not sent, or given up */
	void *shape;              /* of the request: its response is read by it */
	struct buf body;          /* until it is sent */
};
struct list {
	struct pending *first, **end;
	unsigned n;
};

static inline void list_init(struct list *l)
{
	l->first = NULL;
	l->end = &l->first;
	l->n = 0;
}

static inline void list_add(struct list *l, struct pending *p)
{
	p->next = NULL;
	*l->end = p;
	l->end = &p->next;
	l->n++;
}

static inline struct pending *list_take_at(struct list *l, struct pending **at)
{
	struct pending *p = *at;

	*at = p->next;
	if (l->end == &p->next)
		l->end = at;
	l->n--;
	p->next = NULL;
	return p;
}

static inline void list_move_all(struct list *to, struct list *from)
{
	while (from->first != NULL)
		list_add(to, list_take_at(from, &from->first));
}

/* With the lock held, or when the pending entry is the caller's alone. */
static inline void leave_frame(struct pending *p, unsigned *n_open)
{
	if (p->frame != NULL && --p->frame->left == 0) {
		free(p->frame);
		(*n_open)--;
	}
	p->frame = NULL;
}
