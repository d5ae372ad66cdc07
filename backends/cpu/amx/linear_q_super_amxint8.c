/* linear_q_super_amxint8.c - products with types with super-blocks of 256: AMX. */
#include "backends/cpu/amx/linear_q_amx.h"

WH_LINEAR_Q_AMX(q2_k)
WH_LINEAR_Q_AMX(q3_k)
WH_LINEAR_Q_AMX(q4_k)
WH_LINEAR_Q_AMX(q5_k)
WH_LINEAR_Q_AMX(q6_k)
