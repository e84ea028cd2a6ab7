/* The binary form of PUT /collections/{c}/points (Content-Type: application/octet-stream), level 1.
 * All numbers little-endian.
 *
 *    0  4 bytes   magic "QVB1"
 *    4  u32       flags: BINARY_PAYLOADS or 0; other bits are refused
 *    8  u32       count of points, 1 .. LIMIT_BATCH_POINTS
 *   12  u32       dim of every row; 0 = points without vectors
 *   16  u8        id kind: BINARY_ID_U64 or BINARY_ID_UUID
 *   17  47 bytes  zero
 *   64  ids       count x 8 bytes (u64), or count x 16 bytes (a UUID's bytes in the order of its text)
 *       rows      count x dim float32, all finite
 *       payloads  with BINARY_PAYLOADS only: count lines, each a JSON object or empty (no payload), each
 *                 ended by '\n' (the last one may lack it)
 *
 * The rows are those of the unnamed vector, or of the one named by ?using=. The server reads them where
 * they lie in the body: nothing is converted. docs/api.md tells the same to users.
 */
#pragma once

#define BINARY_MAGIC "QVB1"
enum {
	BINARY_HEADER_BYTES = 64,
	BINARY_PAYLOADS = 1, /* flag */
	BINARY_ID_U64 = 0,
	BINARY_ID_UUID = 1,
};
