/* linear_q_codebook_amxint8.c - products with types whose codes index a table: AMX. */
#include "backends/cpu/amx/linear_q_amx.h"

WH_LINEAR_Q_AMX(iq4_nl)
WH_LINEAR_Q_AMX(iq4_xs)
WH_LINEAR_Q_AMX(mxfp4)
