/* See rival_hnswlib.h. Compiled for the machine it runs on, as its authors advise. */
#include "bench/rival_hnswlib.h"

#include <atomic>
#include <cstdio>
#include <fstream>
#include <hnswlib/hnswlib.h>
#include <memory>
#include <thread>
#include <vector>

struct rival_hnswlib {
	std::unique_ptr<hnswlib::SpaceInterface<float>> space;
	std::unique_ptr<hnswlib::HierarchicalNSW<float>> index;
};

static std::unique_ptr<rival_hnswlib> make(const rival_shape *shape)
{
	auto r = std::make_unique<rival_hnswlib>();

	if (shape->inner_product)
		r->space = std::make_unique<hnswlib::InnerProductSpace>(shape->dim);
	else
		r->space = std::make_unique<hnswlib::L2Space>(shape->dim);
	return r;
}

struct rival_hnswlib *rival_hnswlib_build(const struct rival_shape *shape, const float *rows)
{
	auto r = make(shape);
	std::vector<std::thread> threads;
	std::atomic<uint32_t> next{1};

	r->index = std::make_unique<hnswlib::HierarchicalNSW<float>>(r->space.get(), shape->n,
								     shape->m, shape->ef_construct);
	r->index->addPoint(rows, 0);
	for (uint32_t t = 0; t < shape->threads; t++) {
		threads.emplace_back([&] {
			for (;;) {
				uint32_t row = next.fetch_add(1);

				if (row >= shape->n)
					return;
				r->index->addPoint(rows + static_cast<size_t>(row) * shape->dim,
						   row);
			}
		});
	}
	for (auto &t : threads)
		t.join();
	return r.release();
}

struct rival_hnswlib *rival_hnswlib_load(const struct rival_shape *shape, const char *path)
{
	auto r = make(shape);

	if (!std::ifstream(path).good())
		return nullptr;
	try {
		r->index = std::make_unique<hnswlib::HierarchicalNSW<float>>(r->space.get(), path);
	} catch (const std::exception &e) {
		fprintf(stderr, "hnswlib: %s: %s\n", path, e.what());
		return nullptr;
	}
	return r.release();
}

void rival_hnswlib_save(const struct rival_hnswlib *r, const char *path)
{
	r->index->saveIndex(path);
}

void rival_hnswlib_free(struct rival_hnswlib *r)
{
	delete r;
}

void rival_hnswlib_search(struct rival_hnswlib *r, const float *query, uint32_t k, uint32_t ef,
			  uint32_t *rows_out)
{
	r->index->setEf(ef);
	auto found = r->index->searchKnn(query, k);
	size_t i = found.size();

	for (size_t j = i; j < k; j++)
		rows_out[j] = UINT32_MAX;
	while (!found.empty()) {
		rows_out[--i] = static_cast<uint32_t>(found.top().second);
		found.pop();
	}
}
