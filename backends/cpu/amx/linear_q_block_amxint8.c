/* linear_q_block_amxint8.c - products with types with blocks of 32: AMX. */
#include "backends/cpu/amx/linear_q_amx.h"

WH_LINEAR_Q_AMX(q4_0)
WH_LINEAR_Q_AMX(q4_1)
WH_LINEAR_Q_AMX(q5_0)
WH_LINEAR_Q_AMX(q5_1)
WH_LINEAR_Q_AMX(q8_0)
