/* Private to rpc/: bytes of the messages between the control planes of nodes; codec.c has the others and the table. */
#pragma once
#include "rpc/codec_declare.h"

CODEC_DECLARE(meta)
CODEC_DECLARE(heartbeat)
CODEC_DECLARE(probe)
CODEC_DECLARE(join)
