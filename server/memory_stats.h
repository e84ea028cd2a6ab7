/* Memory of the process, from jemalloc (when it is linked) and the kernel. */
#pragma once
#include "base/codec.h"

/* Prometheus lines. */
void memory_stats_metrics(struct buf *out);
