/* Mailbox: many threads post items, one loop thread takes them all at once. Items are intrusive
 * (struct mail is the first member of what is posted), so posting allocates nothing. FIFO. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct mail {
	struct mail *next;
};

struct mailbox;

struct mailbox *mailbox_new(void);
void mailbox_free(struct mailbox *m); /* must be empty; NULL ok */
/* Returns false when the mailbox is closed (the item stays the caller's). */
bool mailbox_post(struct mailbox *m, struct mail *item);
/* Takes everything posted, oldest first; waits up to timeout_us (UINT64_MAX: for ever) when there
 * is nothing. NULL on time-out, or when closed and empty. */
struct mail *mailbox_take(struct mailbox *m, uint64_t timeout_us);
void mailbox_close(struct mailbox *m);
