/* Private to select.c: the forms for x86-64; NULL where the processor lacks what they need. */
#pragma once

#include "index/select.h"

select_fn select_avx2(void);
select_fn select_avx512(void);
