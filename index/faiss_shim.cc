/* See faiss_shim.h. The C++ here is only what FAISS's classes ask for. */
#include "index/faiss_shim.h"

#include <cstdio>
#include <cstring>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>
#include <faiss/impl/DistanceComputer.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <memory>
#include <new>
#include <omp.h>

extern "C" void openblas_set_num_threads(int);

namespace
{

using idx_t = faiss::Index::idx_t;

/* OpenMP's number of threads belongs to the calling thread; it is put back afterwards. OpenBLAS has one
 * number for the whole process: it is one, always, since our own threads give the parallelism. */
class Threads
{
      public:
	explicit Threads(uint32_t n) : before(omp_get_max_threads())
	{
		static const bool blas_once = [] {
			openblas_set_num_threads(1);
			return true;
		}();
		(void)blas_once;
		omp_set_num_threads(n ? static_cast<int>(n) : 1);
	}
	~Threads()
	{
		omp_set_num_threads(before);
	}
	Threads(const Threads &) = delete;
	Threads &operator=(const Threads &) = delete;

      private:
	int before;
};

/* Distances computed by this thread since it began: a search reports the difference. */
thread_local uint64_t computed_here = 0;

class RowsDistance final : public faiss::DistanceComputer
{
      public:
	RowsDistance(const float *data, size_t n_dims, shim_distance_fn fn)
		: query(nullptr), rows(data), dim(n_dims), distance(fn)
	{
	}
	void set_query(const float *x) override
	{
		query = x;
	}
	float operator()(idx_t i) override
	{
		computed_here++;
		return distance(query, row(i), dim);
	}
	float symmetric_dis(idx_t i, idx_t j) override
	{
		return distance(row(i), row(j), dim);
	}

      private:
	const float *row(idx_t i) const
	{
		return rows + static_cast<size_t>(i) * dim;
	}
	const float *query;
	const float *rows;
	size_t dim;
	shim_distance_fn distance;
};

/* Storage of an HNSW index: rows that somebody else keeps. Its metric is called L2 for every distance, so
 * that FAISS takes the keys, which are smaller for better already, as they are. */
class RowsInPlace final : public faiss::Index
{
      public:
	RowsInPlace(const float *data, size_t dim, shim_distance_fn fn)
		: faiss::Index(static_cast<idx_t>(dim), faiss::METRIC_L2), rows(data), distance(fn)
	{
		is_trained = true;
	}
	void add(idx_t n, const float *) override
	{
		ntotal += n;
	}
	void reset() override
	{
		ntotal = 0;
	}
	void search(idx_t, const float *, idx_t, float *, idx_t *,
		    const faiss::SearchParameters *) const override
	{
		FAISS_THROW_MSG("rows in place are searched through their graph only");
	}
	faiss::DistanceComputer *get_distance_computer() const override
	{
		return new RowsDistance(rows, static_cast<size_t>(d), distance);
	}
	const float *rows;
	shim_distance_fn distance;
};

class Writer final : public faiss::IOWriter
{
      public:
	Writer(shim_write_fn fn, void *fn_ctx) : write(fn), ctx(fn_ctx) {}
	size_t operator()(const void *bytes, size_t size, size_t n) override
	{
		if (rc == 0 && size * n > 0)
			rc = write(ctx, bytes, size * n);
		return rc == 0 ? n : 0;
	}
	int rc = 0;

      private:
	shim_write_fn write;
	void *ctx;
};

class Reader final : public faiss::IOReader
{
      public:
	Reader(const void *bytes, size_t n) : at(static_cast<const char *>(bytes)), left(n) {}
	size_t operator()(void *out, size_t size, size_t n) override
	{
		if (size == 0 || n == 0)
			return n;
		if (n > left / size)
			n = left / size;
		memcpy(out, at, size * n);
		at += size * n;
		left -= size * n;
		return n;
	}

      private:
	const char *at;
	size_t left;
};

/* Runs fn and turns whatever it throws into a code and a text. */
template <typename Fn> int guarded(shim_error *err, Fn fn) noexcept
{
	const char *text = "an unknown exception";

	try {
		fn();
		return SHIM_OK;
	} catch (const std::bad_alloc &) {
		snprintf(err->text, sizeof err->text, "FAISS ran out of memory");
		return SHIM_NOMEM;
	} catch (const std::exception &e) {
		text = e.what();
		snprintf(err->text, sizeof err->text, "FAISS: %s", text);
		return SHIM_FAILED;
	} catch (...) {
		snprintf(err->text, sizeof err->text, "FAISS: %s", text);
		return SHIM_FAILED;
	}
}

faiss::Index *index_of(FaissIndex_H *index)
{
	return reinterpret_cast<faiss::Index *>(index);
}

const faiss::Index *index_of(const FaissIndex_H *index)
{
	return reinterpret_cast<const faiss::Index *>(index);
}

const faiss::IndexHNSW *hnsw_of(const FaissIndex_H *index)
{
	return static_cast<const faiss::IndexHNSW *>(index_of(index));
}

template <typename T> void assign(std::vector<T> &to, const void *items, size_t n)
{
	to.resize(n);
	if (n)
		memcpy(to.data(), items, n * sizeof(T));
}

} /* namespace */

int shim_hnsw_new(const shim_hnsw *h, FaissIndex_H **out, shim_error *err)
{
	return guarded(err, [&] {
		auto storage = std::make_unique<RowsInPlace>(h->rows, h->dim, h->distance);
		auto index =
			std::make_unique<faiss::IndexHNSW>(storage.get(), static_cast<int>(h->m));
		storage.release();
		index->own_fields = true;
		index->is_trained = true;
		index->hnsw.efConstruction = static_cast<int>(h->ef_construction);
		*out = reinterpret_cast<FaissIndex_H *>(
			static_cast<faiss::Index *>(index.release()));
	});
}

int shim_hnsw_add(FaissIndex_H *index, uint32_t n, uint32_t threads, shim_error *err)
{
	return guarded(err, [&] {
		Threads scope(threads);
		auto *hnsw = static_cast<faiss::IndexHNSW *>(index_of(index));
		auto *storage = static_cast<RowsInPlace *>(hnsw->storage);
		hnsw->add(n, storage->rows + static_cast<size_t>(hnsw->ntotal) *
						     static_cast<size_t>(hnsw->d));
	});
}

void shim_hnsw_graph(const FaissIndex_H *index, shim_graph *out)
{
	const faiss::HNSW &h = hnsw_of(index)->hnsw;

	out->probas = h.assign_probas.data();
	out->n_probas = h.assign_probas.size();
	out->cumulative = h.cum_nneighbor_per_level.data();
	out->n_cumulative = h.cum_nneighbor_per_level.size();
	out->levels = h.levels.data();
	out->n_nodes = h.levels.size();
	out->offsets = h.offsets.data();
	out->neighbors = h.neighbors.data();
	out->n_neighbors = h.neighbors.size();
	out->entry = h.entry_point;
	out->max_level = h.max_level;
	out->ef_construction = h.efConstruction;
	out->ef_search = h.efSearch;
	out->upper_beam = h.upper_beam;
}

int shim_hnsw_set_graph(FaissIndex_H *index, const shim_graph *g, shim_error *err)
{
	return guarded(err, [&] {
		auto *to = static_cast<faiss::IndexHNSW *>(index_of(index));
		faiss::HNSW &h = to->hnsw;

		assign(h.assign_probas, g->probas, g->n_probas);
		assign(h.cum_nneighbor_per_level, g->cumulative, g->n_cumulative);
		assign(h.levels, g->levels, g->n_nodes);
		assign(h.offsets, g->offsets, g->n_nodes + 1);
		assign(h.neighbors, g->neighbors, g->n_neighbors);
		h.entry_point = g->entry;
		h.max_level = g->max_level;
		h.upper_beam = 1;
		to->ntotal = static_cast<idx_t>(g->n_nodes);
		to->storage->ntotal = to->ntotal;
	});
}

int shim_hnsw_search(const FaissIndex_H *index, const shim_query *q, float *distances,
		     int64_t *labels, uint64_t *computed, shim_error *err)
{
	return guarded(err, [&] {
		Threads one(1);
		const uint64_t before = computed_here;
		faiss::SearchParametersHNSW params;
		faiss::IDSelectorBitmap allow(q->bitmap_bytes,
					      static_cast<const uint8_t *>(q->bitmap));

		params.efSearch = static_cast<int>(q->ef);
		params.sel = q->bitmap ? &allow : nullptr;
		index_of(index)->search(1, q->vector, q->k, distances, labels, &params);
		*computed += computed_here - before;
	});
}

int shim_ivf_search(const FaissIndex_H *index, const shim_query *q, float *distances,
		    int64_t *labels, shim_error *err)
{
	return guarded(err, [&] {
		Threads one(1);
		faiss::SearchParametersIVF params;
		faiss::IDSelectorBitmap allow(q->bitmap_bytes,
					      static_cast<const uint8_t *>(q->bitmap));

		params.nprobe = q->nprobe;
		params.sel = q->bitmap ? &allow : nullptr;
		index_of(index)->search(1, q->vector, q->k, distances, labels, &params);
	});
}

int shim_train(FaissIndex_H *index, const float *rows, uint32_t n, uint32_t threads,
	       shim_error *err)
{
	return guarded(err, [&] {
		Threads scope(threads);
		index_of(index)->train(n, rows);
	});
}

int shim_add(FaissIndex_H *index, const float *rows, uint32_t n, uint32_t threads, shim_error *err)
{
	return guarded(err, [&] {
		Threads scope(threads);
		index_of(index)->add(n, rows);
	});
}

int shim_write(const FaissIndex_H *index, shim_write_fn write, void *ctx, int *write_rc,
	       shim_error *err)
{
	Writer writer(write, ctx);
	int rc = guarded(err, [&] { faiss::write_index(index_of(index), &writer); });

	*write_rc = writer.rc;
	return rc;
}

int shim_read(const void *bytes, size_t n, FaissIndex_H **out, shim_error *err)
{
	return guarded(err, [&] {
		Threads one(1);
		Reader reader(bytes, n);
		*out = reinterpret_cast<FaissIndex_H *>(faiss::read_index(&reader));
	});
}
