/* Private to rpc/: bytes of the messages between the copies of a partition, see codec.h. */
#pragma once
#include "rpc/codec_declare.h"

CODEC_DECLARE(append)
CODEC_DECLARE(seed_open)
CODEC_DECLARE(seed_read)
CODEC_DECLARE(seed_close)
