"""Which test proves which line of the interface (tiers 1 and 2, bad input). Each that is named must be there; what they
prove is theirs. tests/clients runs its tests against three nodes, and so does `scripts/test api3` with those of tests/api."""
import ast
import os
import unittest

from harness import ROOT

API, NEW, OLD = "tests/api/", "tests/clients/new/", "tests/clients/old/"
LINES = {
    # tier 1
    "service, envelope, probes": "service.test_root service.test_probes service.test_unknown_routes service.test_bodies",
    "api-key, Bearer, read-only": "service.test_refusals service.test_read_only operator.test_rights",
    "collections: list, info, create, delete, exists": "collections.test_life collections.test_info_has_everything_that_clients_need "
    "collections.test_vectors_are_given_back_as_given collections.test_settings_are_accepted_and_given_back",
    "points: list form, retrieve, delete, scroll, count": "points.test_upsert_and_retrieve points.test_delete points.test_scroll "
    "points.test_count_and_facet points.test_wait_false_is_acknowledged points.test_payloads_come_back_as_they_were",
    "dense queries, every distance": "query.test_every_distance query.test_thresholds_are_strict query.test_huge_limits",
    "sparse, idf over the whole collection": "query.test_sparse differential.test_sparse",
    "no query: a listing": "query.test_listing differential.test_listing",
    "prefetch, nested; RRF with k and weights": "query.test_rrf query.test_rescoring query.test_hybrid_with_filters "
    "differential.test_rrf differential.test_prefetches_of_prefetches",
    "MMR": "query.test_mmr query_details.test_mmr_squares_euclidean_distances differential.test_mmr",
    "batches, groups": "query.test_batches query.test_groups differential.test_batch differential.test_groups",
    "older searches": "query.test_older_searches qdrant_client_old.test_search qdrant_client_old.test_search_groups",
    'points without vectors, the name ""': "points.test_vector_forms haystack.test_documents_without_embedding langchain.test_dense",
    "ties, the same over partitions": "ties.test_exact_search ties.test_sparse ties.test_the_same_when_it_is_sealed_and_indexed",
    "filters, with and without payload index": "filters.test_each_condition filters.test_random_trees filters.test_types_are_strict "
    "differential.test_every_single_condition differential.test_zz_filters_with_payload_indexes",
    # tier 2
    "batch form": "points.test_batch_form", "PATCH": "collections.test_patch quantization.test_an_update_changes_the_codes",
    "payload indexes come and go": "collections.test_payload_indexes collections.test_payload_index_refusals",
    "payload: set, overwrite, delete, clear": "points.test_payload_operations differential.test_random_changes",
    "vectors: update, delete": "points.test_vector_operations differential.test_random_changes",
    "points/batch in order": "points.test_operations_in_order differential.test_random_changes",
    "aliases": "collections.test_aliases qdrant_client.test_aliases",
    "order_by": "points.test_scroll_in_order_of_a_value query.test_order_by differential.test_order_by",
    "recommend, every strategy": "query.test_recommend recommend.test_every_distance recommend.test_sparse "
    "differential.test_recommend differential.test_recommend_sparse qdrant_client_old.test_recommend",
    "query by id": "query.test_by_id differential.test_query_by_id differential.test_sparse_by_id",
    "DBSF": "query.test_dbsf differential.test_dbsf", "random sample": "query.test_sample differential.test_sample",
    "facets": "points.test_count_and_facet differential.test_facets",
    "geo, nested, values_count, min_should, has_vector, is_null": "filters.test_each_condition differential.test_every_single_condition",
    "update_filter, update_mode": "points.test_update_modes selection.test_update_mode_in_every_form differential.test_random_changes",
    "GET points/{id}": "points.test_upsert_and_retrieve",
    "collection metadata": "collections.test_patch qdrant_client.test_everything_that_a_collection_is_made_of_comes_back",
    "cluster views": "collections.test_cluster_views operator.test_the_view_of_one_node",
    "metrics, telemetry, timeouts": "service.test_metrics service.test_telemetry service.test_parameters",
    "uint8, float16": "datatypes.test_every_type_and_distance datatypes.test_the_same_sealed_changed_and_after_a_restart",
    "quantisation with rescoring that saves memory": "quantization.test_codes_and_rescoring "
    "quantization.test_what_leaves_the_memory",
    "BM25 in the server": "bm25.test_scores_are_those_of_the_formula bm25.test_in_every_form_of_a_query bm25.test_options",
    "text index: tokenizers, phrase, stems": "text_index.test_tokenizers text_index.test_stemmer_and_stop_words "
    "text_index.test_the_same_after_a_restart filters.test_each_condition",
    "what is not supported is named": "documented.test_what_is_refused_is_refused_by_name errors.test_unsupported_features_are_named "
    "service.test_unsupported_routes documented.test_other_query_parameters_are_refused",
    # bad input, and the description
    "every mistake in every place": "matrix.test_mistakes_of_their_kind matrix.test_missing_fields matrix.test_wrong_types "
    "matrix.test_unknown_fields_at_every_depth matrix.test_unknown_collection errors.test_limits",
    "mutated requests": "errors.test_random_mutations", "every row of the error table": "error_table.test_every_row_is_proven",
    "the tables of docs/api.md": "documented.test_the_table_is_complete documented.test_the_parsers_know_what_the_table_has "
    "documented.test_no_object_takes_a_field_of_another documented.test_the_table_of_query_parameters_is_complete",
    "openapi.yaml": "description.test_every_route_is_described_and_no_other description.test_the_check_can_fail",
}


class Tiers(unittest.TestCase):
    def names_of_tests(self, file):
        """Names of the tests of a file, in whichever of the folders it is."""
        for folder in (API, NEW, OLD):
            path = os.path.join(ROOT, folder, "test_%s.py" % file)
            if os.path.exists(path):
                with open(path) as source:
                    tree = ast.parse(source.read())
                return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        return set()

    def test_what_is_named_is_there(self):
        for line, named in LINES.items():
            for test in named.split():
                file, _, name = test.partition(".")
                self.assertIn(name, self.names_of_tests(file), line)


if __name__ == "__main__":
    unittest.main()
