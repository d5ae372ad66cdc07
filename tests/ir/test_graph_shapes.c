/* test_graph_shapes.c - every op with operands that fit, and with each operand wrong in turn. Ops of neural
 * networks: test_graph_nn.c; of regions: test_graph_build.c. */
#include "tests/ir/graph_fixture.h"

#define N_OPERANDS 67
static const char preamble[] =
    "graph \"ops\" {\n"
    "  symbol t 1..64 symbol r 1..8 symbol c 1..128 symbol s 1..4\n"
    "  %1 = input \"x\" f32[t, 64]\n"
    "  %2 = input \"ids\" i32[t]\n"
    "  %3 = input \"rows\" i32[r]\n"
    "  %4 = const \"w\" f32[96, 64]\n"
    "  %5 = const \"wq\" q4_0[96, 64]\n"
    "  %6 = const \"b96\" f32[96]\n"
    "  %7 = input \"y\" f32[t, 96]\n"
    "  %8 = input \"xq\" q8a[t, 64]\n"
    "  %9 = const \"b64\" f32[64]\n"
    "  %10 = input \"q\" f32[t, 4, 16]\n"
    "  %11 = const \"freqs\" f32[8]\n"
    "  %12 = input \"table\" f32[t, 2, 8]\n"
    "  %13 = input \"k\" f32[t, 2, 16]\n"
    "  %14 = state \"keys\" f16[c, 2, 64, 16]\n"
    "  %15 = state \"values\" f16[c, 2, 64, 16]\n"
    "  %16 = state \"values32\" f32[c, 2, 64, 16]\n"
    "  %17 = state \"three\" f16[c, 3, 64, 16]\n"
    "  %18 = input \"scalar\" f32[]\n"
    "  %19 = input \"t\" f32[t]\n"
    "  %20 = input \"x48\" f32[t, 48]\n"
    "  %21 = const \"integers\" i64[96, 64]\n"
    "  %22 = const \"w16\" f16[96, 64]\n"
    "  %23 = input \"xr\" f32[r, 64]\n"
    "  %24 = const \"one\" f32[1]\n"
    "  %25 = input \"tt\" f32[t, t]\n"
    "  %26 = const \"b95\" f32[95]\n"
    "  %27 = input \"tabler\" f32[r, 2, 8]\n"
    "  %28 = input \"nostate\" f16[c, 2, 64, 16]\n"
    "  %29 = state \"wide\" f16[c, 2, 64, 32]\n"
    "  %30 = input \"long\" f32[t, 2, 9]\n"
    "  %31 = state \"blocks\" q8_0[c, 2, 64, 32]\n"
    "  %32 = input \"k32\" f32[t, 2, 32]\n"
    "  %33 = input \"q32\" f32[t, 4, 32]\n"
    "  %34 = state \"odd\" q8_0[c, 2, 64, 16]\n"
    "  %35 = const \"experts\" q4_0[6, 96, 64]\n"
    "  %36 = input \"scores\" f32[t, 6]\n"
    "  %37 = expert_select(%36) {used = 2} \"select\" : i32[t, 2]\n"
    "  %38 = input \"guesses\" i32[t, 2]\n"
    "  %39 = input \"slots\" f32[t, 2, 64]\n"
    "  %40 = input \"weights\" f32[t, 2]\n"
    "  %41 = input \"three slots\" f32[t, 3, 64]\n"
    "  %42 = input \"selectr\" i32[r, 2]\n"
    "  %43 = const \"halves\" i4[3, 5]\n"
    "  %44 = input \"words\" string[1, 3]\n"
    "  %45 = input \"pages\" i32[s, r]\n"
    "  %46 = state \"short\" f16[c, 2, 32, 16]\n"
    "  %47 = input \"xh\" q13a[t, 64]\n"
    "  %48 = const \"wh\" f16[96, 64]\n"
    "  %49 = input \"mask\" bool[t, 64]\n"
    "  %50 = input \"wide ids\" i64[t, 64]\n"
    "  %51 = input \"bytes\" u8[3, 5]\n"
    "  %52 = input \"cube\" f64[2, 3, 4]\n"
    "  %53 = input \"at\" i64[3]\n"
    "  %54 = input \"column\" f32[t, 1]\n"
    "  %55 = input \"row mask\" bool[64]\n"
    "  %56 = input \"pairs\" i64[5, 2]\n"
    "  %57 = input \"signed\" i8[5, 3]\n"
    "  %58 = input \"cube32\" f32[2, 3, 4]\n"
    "  %59 = input \"cube ids\" i64[2, 3, 4]\n"
    "  %60 = input \"zeros\" u8[3]\n"
    "  %61 = input \"zero\" i8[]\n"
    "  %62 = input \"updates\" f32[5, 4]\n"
    "  %63 = input \"zero64\" f64[]\n"
    "  %64 = input \"words\" u32[2, 8, 32]\n"
    "  %65 = input \"scales\" f32[2, 2, 32]\n"
    "  %66 = input \"zeros\" u8[2, 2, 32]\n"
    "  %67 = input \"odd words\" u32[2, 5, 32]\n";

typedef struct op_case {
  const char *op, *operands, *attrs;
  const char *shape; /* of the output; NULL: refused, and ... */
  const char *error; /* ... the message holds this */
} op_case;

#define EPS "{eps = 0x1p-10} "
#define ATTN "{scale = 0x1p-2, softcap = 0x0p+0, window = 0} "
#define WEIGHING "{normalise = 1, scale = 0x1p+0} "
#define CUSTOM "{name = \"n\", ints = [], floats = [0x1p+0], tensor = u4[3] \"2104\"} "
#define SCORES(text) "{formula = \"" text "\", perm = [0, 1, 0, 1, 0, 1, 0, 1]}"
#define FORMULA(text) "{formula = \"" text "\"}"
#define CODES(text, to) "{formula = \"" text "\", to = " to "}"
#define ALPHA "{alpha = 0x1p+0} "

static const op_case cases[] = {
    {"gather_rows", "%4, %2", "", "f32[t, 64]", NULL},
    {"gather_rows", "%5, %3", "", "f32[r, 64]", NULL},
    {"gather_rows", "%9, %2", "", NULL, "input 0: a table must have rank 2"},
    {"gather_rows", "%21, %2", "", NULL, "input 0: a table must hold numbers"},
    {"gather_rows", "%4, %1", "", NULL, "input 1 is f32, not i32"},
    {"gather_rows", "%4", "", NULL, "takes 2 to 2 inputs, not 1"},
    {"gather_rows", "%4, %2, %2", "", NULL, "takes 2 to 2 inputs, not 3"},
    {"select_rows", "%1, %3", "", "f32[r, 64]", NULL},
    {"select_rows", "%22, %3", "", NULL, "input 0 is f16, not f32"},
    {"select_rows", "%10, %3", "", NULL, "input 0 has rank 3, not 2"},
    {"select_rows", "%1, %1", "", NULL, "input 1 is f32, not i32"},
    {"linear", "%1, %4", "", "f32[t, 96]", NULL},
    {"linear", "%1, %22", "", "f32[t, 96]", NULL},
    {"linear", "%1, %5, %6", "", "f32[t, 96]", NULL},
    {"linear", "%1, %4, _, %7", "", "f32[t, 96]", NULL},
    {"linear", "%8, %5, %6, %7", "", "f32[t, 96]", NULL},
    {"linear", "%2, %4", "", NULL, "input 0: must be f32, q8a or q13a of rank 2"},
    {"linear", "%10, %4", "", NULL, "input 0: must be f32, q8a or q13a of rank 2"},
    {"linear", "%8, %4", "", NULL, "input 0: q8a activations need quantised weights"},
    {"linear", "%47, %48", "", "f32[t, 96]", NULL},
    {"linear", "%47, %4", "", NULL, "input 0: q13a activations need f16 or bf16 weights"},
    {"linear", "%47, %5", "", NULL, "input 0: q13a activations need f16 or bf16 weights"},
    {"linear", "%8, %48", "", NULL, "input 0: q8a activations need quantised weights"},
    {"linear", "%1, %9", "", NULL, "input 1: weights must have rank 2"},
    {"linear", "%1, %21", "", NULL, "input 1: weights must be f32, f16, bf16 or quantised"},
    {"linear", "%7, %4", "", NULL, "input 1 has 64 at axis 1 where 96 is needed"},
    {"linear", "%1, %4, %26", "", NULL, "input 2 has 95 at axis 0 where 96 is needed"},
    {"linear", "%1, %4, %7", "", NULL, "input 2 has rank 2, not 1"},
    {"linear", "%1, %4, _, %1", "", NULL, "input 3 has 64 at axis 1 where 96 is needed"},
    {"linear", "%23, %4, _, %7", "", NULL, "input 3 has t at axis 0 where r is needed"},
    {"linear", "_, %4", "", NULL, "input 0 is missing"},
    {"linear", "%1, _, %6", "", NULL, "input 1 is missing"},
    {"quantize_wide", "%1", "", "q13a[t, 64]", NULL},
    {"quantize_wide", "%20", "", "q13a[t, 48]", NULL},
    {"quantize_wide", "%10", "", "q13a[t, 4, 16]", NULL},
    {"quantize_wide", "%19", "", NULL, "input 0: must have rank 2 or more"},
    {"quantize_wide", "%2", "", NULL, "input 0 is i32, not f32"},
    {"quantize_act", "%1", "", "q8a[t, 64]", NULL},
    {"quantize_act", "%20", "", NULL, "input 0: its rows must be a multiple of 32 long"},
    {"quantize_act", "%25", "", NULL, "input 0: its rows must be a multiple of 32 long"},
    {"quantize_act", "%10", "", NULL, "input 0: its rows must be a multiple of 32 long"},
    {"quantize_act", "%9", "", NULL, "input 0: must have rank 2 or more"},
    {"quantize_act", "%2", "", NULL, "input 0 is i32, not f32"},
    {"rms_norm", "%1, %9", EPS, "f32[t, 64]", NULL},
    {"rms_norm", "%10", EPS, "f32[t, 4, 16]", NULL},
    {"rms_norm", "%2", EPS, NULL, "input 0 is i32, not f32"},
    {"rms_norm", "%18", EPS, NULL, "input 0: must have rank 1 or more"},
    {"rms_norm", "%1, %6", EPS, NULL, "input 1 has 96 at axis 0 where 64 is needed"},
    {"rms_norm", "%1, %9", "", NULL, "rms_norm lacks an attribute"},
    {"rms_norm", "%1, %9", "{eps = 0x1p+0, eps = 0x1p+0} ", NULL, "wrong attributes for rms_norm"},
    {"rms_norm_quantize", "%1, %9", EPS, "q8a[t, 64]", NULL},
    {"rms_norm_quantize", "%1", EPS, "q8a[t, 64]", NULL},
    {"rms_norm_quantize", "%20", EPS, NULL, "input 0: its rows must be a multiple of 32 long"},
    {"rms_norm_quantize", "%1, %6", EPS, NULL, "input 1 has 96 at axis 0 where 64 is needed"},
    {"layer_norm", "%1, %9, %9", EPS, "f32[t, 64]", NULL},
    {"layer_norm", "%1, _, %9", EPS, "f32[t, 64]", NULL},
    {"layer_norm", "%2, %9, %9", EPS, NULL, "input 0 is i32, not f32"},
    {"layer_norm", "%1, %6, %9", EPS, NULL, "input 1 has 96 at axis 0 where 64 is needed"},
    {"layer_norm", "%1, %9, %4", EPS, NULL, "input 2 has rank 2, not 1"},
    {"rope_table", "%2, %11", "{mscale = 0x1p+0} ", "f32[t, 2, 8]", NULL},
    {"rope_table", "%1, %11", "{mscale = 0x1p+0} ", NULL, "input 0 is f32, not i32"},
    {"rope_table", "%2, %1", "{mscale = 0x1p+0} ", "f32[t, 2, 64]", NULL},
    {"rope_table", "%2, %4", "{mscale = 0x1p+0} ", NULL, "input 1 has 96 at axis 0 where t is needed"},
    {"rope_table", "%2, %10", "{mscale = 0x1p+0} ", NULL, "input 1 has rank 3, not 1"},
    {"rope_table", "%2, _", "{mscale = 0x1p+0} ", NULL, "input 1 is missing"},
    {"rope", "%10, %12", "{neox = 1} ", "f32[t, 4, 16]", NULL},
    {"rope", "%1, %12", "{neox = 1} ", NULL, "input 0 has rank 2, not 3"},
    {"rope", "%10, %27", "{neox = 1} ", NULL, "input 1 has r at axis 0 where t is needed"},
    {"rope", "%10, %30", "{neox = 1} ", NULL, "input 1: rotates more elements than a head has"},
    {"kv_append", "%14, %13, %2, %2, %45", "{key = 1} ", "f16[c, 2, 64, 16]", NULL},
    {"kv_append", "%13, %13, %2, %2, %45", "{key = 1} ", NULL,
     "input 0: a KV state must be f16, f32 or q8_0 of rank 4"},
    {"kv_append", "%28, %13, %2, %2, %45", "{key = 1} ", NULL, "input 0: must be a state: it is written"},
    {"kv_append", "%14, %10, %2, %2, %45", "{key = 1} ", NULL, "input 1 has 4 at axis 1 where 2 is needed"},
    {"kv_append", "%29, %13, %2, %2, %45", "{key = 1} ", NULL, "input 1 has 16 at axis 2 where 32 is needed"},
    {"kv_append", "%14, %13, %3, %2, %45", "{key = 1} ", NULL, "input 2 has r at axis 0 where t is needed"},
    {"kv_append", "%14, %13, %2, %19, %45", "{key = 1} ", NULL, "input 3 is f32, not i32"},
    {"kv_append", "%31, %32, %2, %2, %45", "{key = 1} ", "q8_0[c, 2, 64, 32]", NULL},
    {"kv_append", "%14, %13, %2, %2, %3", "{key = 1} ", NULL, "input 4 has rank 1, not 2"},
    {"kv_append", "%14, %13, %2, %2, %1", "{key = 1} ", NULL, "input 4 is f32, not i32"},
    {"kv_append", "%14, %13, %2, %2", "{key = 1} ", NULL, "takes 5 to 5 inputs, not 4"},
    {"kv_append", "%46, %13, %2, %2, %45", "{key = 1} ", NULL, "input 0 has 32 at axis 2 where 64 is needed"},
    {"attention", "%10, %14, %15, %2, %2, %45", ATTN, "f32[t, 4, 16]", NULL},
    {"attention", "%10, %14, %15, %2, %2, %2", ATTN, NULL, "input 5 has rank 1, not 2"},
    {"attention", "%10, %46, %46, %2, %2, %45", ATTN, NULL, "input 1 has 32 at axis 2 where 64 is needed"},
    {"kv_append", "%34, %13, %2, %2, %45", "{key = 1} ", NULL,
     "input 0: the heads of a q8_0 state must be a multiple of 32"},
    {"attention", "%33, %31, %31, %2, %2, %45", ATTN, "f32[t, 4, 32]", NULL},
    {"attention", "%10, %14, %29, %2, %2, %45", ATTN, "f32[t, 4, 32]", NULL},
    {"attention", "%1, %14, %15, %2, %2, %45", ATTN, NULL, "input 0 has rank 2, not 3"},
    {"attention", "%10, %17, %17, %2, %2, %45", ATTN, NULL,
     "input 0: query heads must be a multiple of the KV heads"},
    {"attention", "%10, %13, %15, %2, %2, %45", ATTN, NULL, "input 1: a KV state must be"},
    {"attention", "%10, %29, %15, %2, %2, %45", ATTN, NULL, "input 1 has 32 at axis 3 where 16 is needed"},
    {"attention", "%10, %14, %17, %2, %2, %45", ATTN, NULL, "input 2 has 3 at axis 1 where 2 is needed"},
    {"attention", "%10, %14, %16, %2, %2, %45", ATTN, NULL, "input 2: keys and values must have one dtype"},
    {"attention", "%10, %14, %15, %3, %2, %45", ATTN, NULL, "input 3 has r at axis 0 where t is needed"},
    {"attention", "%10, %14, %15, %2, %3, %45", ATTN, NULL, "input 4 has r at axis 0 where t is needed"},
    {"swiglu", "%10, %10", "", "f32[t, 4, 16]", NULL},
    {"swiglu", "%2, %1", "", NULL, "input 0 is i32, not f32"},
    {"swiglu", "%1, %7", "", NULL, "input 1 has 96 at axis 1 where 64 is needed"},
    {"geglu", "%1, %1", "", "f32[t, 64]", NULL},
    {"geglu", "%2, %1", "", NULL, "input 0 is i32, not f32"},
    {"geglu", "%1, %9", "", NULL, "input 1 has rank 1, not 2"},
    {"swiglu_quantize", "%1, %1", "", "q8a[t, 64]", NULL},
    {"swiglu_quantize", "%20, %20", "", NULL, "input 0: its rows must be a multiple of 32 long"},
    {"swiglu_quantize", "%1, %7", "", NULL, "input 1 has 96 at axis 1 where 64 is needed"},
    {"geglu_quantize", "%1, %1", "", "q8a[t, 64]", NULL},
    {"geglu_quantize", "%39, %39", "", "q8a[t, 2, 64]", NULL},
    {"geglu_quantize", "%9, %9", "", NULL, "input 0: must have rank 2 or more"},
    {"geglu_quantize", "%10, %10", "", NULL, "input 0: its rows must be a multiple of 32 long"},
    {"geglu_quantize", "%1, %20", "", NULL, "input 1 has 48 at axis 1 where 64 is needed"},
    {"expert_select", "%1", "{used = 64} ", "i32[t, 64]", NULL},
    {"expert_select", "%1", "{used = 65} ", NULL, "input 0: has fewer experts than are used"},
    {"expert_select", "%1", "{used = 0} ", NULL, "input 0: has fewer experts than are used"},
    {"expert_select", "%1", "{used = -9223372036854775807} ", NULL, "input 0: has fewer experts"},
    {"expert_select", "%25", "{used = 1} ", NULL, "input 0: the number of experts must be constant"},
    {"expert_select", "%2", "{used = 1} ", NULL, "input 0 is i32, not f32"},
    {"expert_weights", "%36, %37", WEIGHING, "f32[t, 2]", NULL},
    {"expert_weights", "%2, %37", WEIGHING, NULL, "input 0 is i32, not f32"},
    {"expert_weights", "%36, %38", WEIGHING, NULL, "input 1: must come from expert_select"},
    {"expert_weights", "%1, %37", WEIGHING, NULL, "input 1: was chosen from another number of experts"},
    {"expert_weights", "%23, %37", WEIGHING, NULL, "input 1 has t at axis 0 where r is needed"},
    {"expert_linear", "%1, %35, %37", "", "f32[t, 2, 96]", NULL},
    {"expert_linear", "%8, %35, %37", "", "f32[t, 2, 96]", NULL},
    {"expert_linear", "%39, %35, %37", "", "f32[t, 2, 96]", NULL},
    {"expert_linear", "%2, %35, %37", "", NULL, "input 0: must be f32, q8a or q13a of rank 2 or 3"},
    {"expert_linear", "%41, %35, %37", "", NULL, "input 0 has 3 at axis 1 where 2 is needed"},
    {"expert_linear", "%1, %5, %37", "", NULL, "input 1: weights must have rank 3"},
    {"expert_linear", "%7, %35, %37", "", NULL, "input 1 has 64 at axis 2 where 96 is needed"},
    {"expert_linear", "%1, %35, %38", "", NULL, "input 2: must come from expert_select"},
    {"expert_linear", "%1, %35, %42", "", NULL, "input 2 has r at axis 0 where t is needed"},
    {"expert_linear", "%1, %35, %1", "", NULL, "input 2 is f32, not i32"},
    {"expert_sum", "%39, %40", "", "f32[t, 64]", NULL},
    {"expert_sum", "%39, %40, %1", "", "f32[t, 64]", NULL},
    {"expert_sum", "%1, %40", "", NULL, "input 0 has rank 2, not 3"},
    {"expert_sum", "%39, %36", "", NULL, "input 1 has 6 at axis 1 where 2 is needed"},
    {"expert_sum", "%39, %40, %7", "", NULL, "input 2 has 96 at axis 1 where 64 is needed"},
    {"add", "%1, %1", "", "f32[t, 64]", NULL},
    {"add", "%1, %9", "", "f32[t, 64]", NULL},
    {"add", "%1, %18", "", "f32[t, 64]", NULL},
    {"add", "%10, %24", "", "f32[t, 4, 16]", NULL},
    {"add", "%2, %1", "", NULL, "input 1 is f32, not i32"},
    {"add", "%44, %1", "", NULL, "input 0 is string, not f32, f64 or an integer of whole bytes"},
    {"add", "%9, %1", "", "f32[t, 64]", NULL},
    {"add", "%54, %9", "", "f32[t, 64]", NULL},
    {"add", "%54, %25", "", "f32[t, t]", NULL},
    {"add", "%24, %18", "", "f32[1]", NULL},
    {"add", "%51, %51", "", "u8[3, 5]", NULL},
    {"add", "%1, %6", "", NULL, "input 1 has 96 at axis 0 where 64 is needed"},
    {"sub", "%1, %1", "", "f32[t, 64]", NULL},
    {"sub", "%43, %43", "", NULL, "input 0 is i4, not f32, f64 or an integer"},
    {"sub", "%1, %23", "", NULL, "input 1 has r at axis 0 where t is needed"},
    {"mul", "%1, %9", "", "f32[t, 64]", NULL},
    {"mul", "%22, %1", "", NULL, "input 0 is f16, not f32, f64 or an integer"},
    {"mul", "%1, %2", "", NULL, "input 1 is i32, not f32"},
    {"div", "%1, %24", "", "f32[t, 64]", NULL},
    {"div", "%8, %1", "", NULL, "input 0 is q8a, not f32, f64 or an integer"},
    {"div", "%1, %19", "", NULL, "input 1 has t at axis 0 where 64 is needed"}, /* t and 64 are not one dim */
    {"scale", "%1", ALPHA, "f32[t, 64]", NULL},
    {"scale", "%18", ALPHA, "f32[]", NULL},
    {"scale", "%2", ALPHA, NULL, "input 0 is i32, not f32"},
    {"relu", "%18", "", "f32[]", NULL},
    {"chain_codes", "%51, %60, %61, %2", CODES("sub 0 2; mul 4 1", "8"), NULL,
     "input 1 has 3 at axis 0 where 5"},
    {"chain_codes", "%51, %61, %18", CODES("sub 0 1; mul 3 2", "8"), "u8[3, 5]", NULL},
    {"chain_codes", "%57, %18", CODES("mul 0 1", "0"), "f32[5, 3]", NULL},
    {"chain_codes", "%57, %18", CODES("mul 0 1", "6"), NULL, "attribute to: is not f32, i8 or u8"},
    {"chain_codes", "%57, %18", CODES("mul 0 2", "0"), NULL, "step 0 of the formula is none"},
    {"chain_codes", "%63", CODES("relu 0", "0"), NULL, "input 0: must be f32, i32, i8 or u8"},
    {"chain_codes", "%18, %63", CODES("relu 0", "0"), NULL, "input 1: must be f32, i32, i8 or u8"},
    {"chain_codes", "%18, %18, %63", CODES("relu 0", "0"), NULL, "input 2: must be f32, i32, i8 or u8"},
    {"chain_codes", "%18, %18, %18, %63", CODES("relu 0", "0"), NULL, "input 3: must be f32, i32, i8 or u8"},
    {"chain_codes", "%18, %18, %18, %18, %63", CODES("relu 0", "0"), NULL,
     "input 4: must be f32, i32, i8 or u8"},
    {"chain", "%1, %18, %19", FORMULA("add 0 1; relu 3"), NULL, "input 2 has t at axis 0 where 64 is needed"},
    {"chain", "%1, %18", FORMULA("add 0 1; relu 2"), "f32[t, 64]", NULL},
    {"chain", "%18, %1, %18, %18, %18, %1", FORMULA("max 1 5"), "f32[t, 64]", NULL},
    {"chain", "%2", FORMULA("relu 0"), NULL, "input 0 is i32, not f32"},
    {"chain", "%1, %2", FORMULA("add 0 1"), NULL, "input 1 is i32, not f32"},
    {"chain", "%1, %1, %1, %2", FORMULA("add 0 1"), NULL, "input 3 is i32, not f32"},
    {"chain", "%1, %1, %1, %1, %2", FORMULA("add 0 1"), NULL, "input 4 is i32, not f32"},
    {"chain", "%1, _, %1", FORMULA("relu 0"), NULL, "input 1"},
    {"chain", "%1", FORMULA(""), NULL, "step 0 of the formula is none"},
    {"chain", "%1", FORMULA("relu"), NULL, "step 0 of the formula is none"},
    {"chain", "%1", FORMULA("relu 1"), NULL, "step 0 of the formula is none"},
    {"chain", "%1", FORMULA("relu 0; "), NULL, "step 1 of the formula is none"},
    {"chain", "%1", FORMULA("relu 0;neg 1"), NULL, "step 0 of the formula is none"},
    {"chain", "%1", FORMULA("relu 0 "), NULL, "step 0 of the formula is none"},
    {"chain", "%1", FORMULA("add 0 99999999999"), NULL, "step 0 of the formula is none"},
    {"chain", "%1", FORMULA("sqrt 0"), NULL, "step 0 of the formula is none"},
    {"softcap", "%1", ALPHA, "f32[t, 64]", NULL},
    {"softcap", "%2", ALPHA, NULL, "input 0 is i32, not f32"},
    {"silu", "%1", "", "f32[t, 64]", NULL},
    {"silu", "%2", "", NULL, "input 0 is i32, not f32"},
    {"gelu", "%19", "", "f32[t]", NULL},
    {"gelu", "%2", "", NULL, "input 0 is i32, not f32"},
    {"gelu_erf", "%1", "", "f32[t, 64]", NULL},
    {"gelu_erf", "%2", "", NULL, "input 0 is i32, not f32"},
    {"relu", "%1", "", "f32[t, 64]", NULL},
    {"relu", "%2", "", NULL, "input 0 is i32, not f32"},
    {"tanh", "%1", "", "f32[t, 64]", NULL},
    {"tanh", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"tanh", "%52", "", "f64[2, 3, 4]", NULL},
    {"sigmoid", "%1", "", "f32[t, 64]", NULL},
    {"sigmoid", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"sigmoid", "%52", "", "f64[2, 3, 4]", NULL},
    {"exp", "%1", "", "f32[t, 64]", NULL},
    {"exp", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"exp", "%52", "", "f64[2, 3, 4]", NULL},
    {"neg", "%1", "", "f32[t, 64]", NULL},
    {"neg", "%8", "", NULL, "input 0 is q8a, not f32, f64 or an integer"},
    {"neg", "%50", "", "i64[t, 64]", NULL},
    {"sqrt", "%1", "", "f32[t, 64]", NULL},
    {"sqrt", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"sqrt", "%52", "", "f64[2, 3, 4]", NULL},
    {"softmax", "%1", "", "f32[t, 64]", NULL},
    {"softmax", "%18", "", NULL, "input 0: must have rank 1 or more"},
    {"custom", "%1, _, %44", CUSTOM, "q8a[r, 1]", NULL},
    {"custom", "", CUSTOM, "f32[]", NULL},
    {"custom", "%1", "{ints = []} ", NULL, "custom lacks an attribute"},
    {"reshape", "%1", "{shape = [t, 4, 16]} ", "f32[t, 4, 16]", NULL},
    {"reshape", "%2", "{shape = [1, t]} ", "i32[1, t]", NULL},
    {"reshape", "%24", "{shape = []} ", "f32[]", NULL},
    {"reshape", "%1", "{shape = [t, 65]} ", NULL, "input 0: the new shape has another number of elements"},
    {"reshape", "%1", "{shape = [r, 64]} ", NULL, "input 0: the new shape has another number of elements"},
    {"reshape", "%43", "{shape = [15]} ", NULL, "input 0: elements of a part of a byte stay in their rows"},
    {"reshape", "%43", "{shape = [1, 3, 5]} ", "i4[1, 3, 5]", NULL},
    {"reshape", "%44", "{shape = [3]} ", "string[3]", NULL},
    {"reshape", "%5", "{shape = [64, 96]} ", NULL, "input 0: blocks cannot be reshaped"},
    {"reshape", "%8", "{shape = [64, t]} ", NULL, "input 0: blocks cannot be reshaped"},
    {"min", "%1, %9", "", "f32[t, 64]", NULL},
    {"min", "%53, %53", "", "i64[3]", NULL},
    {"min", "%49, %1", "", NULL, "input 0 is bool, not f32, f64 or an integer of whole bytes"},
    {"min", "%1, %49", "", NULL, "input 1 is bool, not f32, f64 or an integer of whole bytes"},
    {"max", "%1, %9", "", "f32[t, 64]", NULL},
    {"max", "%53, %53", "", "i64[3]", NULL},
    {"max", "%49, %1", "", NULL, "input 0 is bool, not f32, f64 or an integer of whole bytes"},
    {"max", "%1, %49", "", NULL, "input 1 is bool, not f32, f64 or an integer of whole bytes"},
    {"mod", "%1, %9", "{fmod = 1} ", "f32[t, 64]", NULL},
    {"mod", "%53, %53", "{fmod = 1} ", "i64[3]", NULL},
    {"mod", "%49, %1", "{fmod = 1} ", NULL, "input 0 is bool, not f32, f64 or an integer of whole bytes"},
    {"mod", "%1, %49", "{fmod = 1} ", NULL, "input 1 is bool, not f32, f64 or an integer of whole bytes"},
    {"pow", "%1, %9", "", "f32[t, 64]", NULL},
    {"pow", "%53, %53", "", "i64[3]", NULL},
    {"pow", "%49, %1", "", NULL, "input 0 is bool, not f32, f64 or an integer of whole bytes"},
    {"pow", "%1, %49", "", NULL, "input 1 is bool, not f32, f64 or an integer of whole bytes"},
    {"mod", "%1, %1", "{fmod = 2} ", NULL, "attribute fmod: must be 0 or 1"},
    {"pow", "%1, %6", "", NULL, "input 1 has 96 at axis 0 where 64 is needed"},
    {"pow", "%24, %53", "", "f32[3]", NULL},
    {"bit_and", "%51, %51", "", "u8[3, 5]", NULL},
    {"bit_and", "%1, %1", "", NULL, "input 0 is f32, not an integer"},
    {"bit_and", "%51, %53", "", NULL, "input 1 is i64, not u8"},
    {"bit_or", "%51, %51", "", "u8[3, 5]", NULL},
    {"bit_or", "%1, %1", "", NULL, "input 0 is f32, not an integer"},
    {"bit_or", "%51, %53", "", NULL, "input 1 is i64, not u8"},
    {"bit_xor", "%51, %51", "", "u8[3, 5]", NULL},
    {"bit_xor", "%1, %1", "", NULL, "input 0 is f32, not an integer"},
    {"bit_xor", "%51, %53", "", NULL, "input 1 is i64, not u8"},
    {"shift_left", "%51, %51", "", "u8[3, 5]", NULL},
    {"shift_left", "%1, %1", "", NULL, "input 0 is f32, not an integer"},
    {"shift_left", "%51, %53", "", NULL, "input 1 is i64, not u8"},
    {"shift_right", "%51, %51", "", "u8[3, 5]", NULL},
    {"shift_right", "%1, %1", "", NULL, "input 0 is f32, not an integer"},
    {"shift_right", "%51, %53", "", NULL, "input 1 is i64, not u8"},
    {"and", "%49, %55", "", "bool[t, 64]", NULL},
    {"and", "%1, %49", "", NULL, "input 0 is f32, not bool"},
    {"and", "%49, %1", "", NULL, "input 1 is f32, not bool"},
    {"or", "%49, %55", "", "bool[t, 64]", NULL},
    {"or", "%1, %49", "", NULL, "input 0 is f32, not bool"},
    {"or", "%49, %1", "", NULL, "input 1 is f32, not bool"},
    {"xor", "%49, %55", "", "bool[t, 64]", NULL},
    {"xor", "%1, %49", "", NULL, "input 0 is f32, not bool"},
    {"xor", "%49, %1", "", NULL, "input 1 is f32, not bool"},
    {"equal", "%1, %9", "", "bool[t, 64]", NULL},
    {"equal", "%44, %44", "", NULL, "input 0 is string, not f32"},
    {"equal", "%1, %50", "", NULL, "input 1 is i64, not f32"},
    {"less", "%1, %9", "", "bool[t, 64]", NULL},
    {"less", "%44, %44", "", NULL, "input 0 is string, not f32"},
    {"less", "%1, %50", "", NULL, "input 1 is i64, not f32"},
    {"less_or_equal", "%1, %9", "", "bool[t, 64]", NULL},
    {"less_or_equal", "%44, %44", "", NULL, "input 0 is string, not f32"},
    {"less_or_equal", "%1, %50", "", NULL, "input 1 is i64, not f32"},
    {"equal", "%49, %55", "", "bool[t, 64]", NULL},
    {"less", "%49, %55", "", NULL, "input 0 is bool, not f32, f64 or an integer"},
    {"log", "%58", "", "f32[2, 3, 4]", NULL},
    {"log", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"sin", "%58", "", "f32[2, 3, 4]", NULL},
    {"sin", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"cos", "%58", "", "f32[2, 3, 4]", NULL},
    {"cos", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"tan", "%58", "", "f32[2, 3, 4]", NULL},
    {"tan", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"asin", "%58", "", "f32[2, 3, 4]", NULL},
    {"asin", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"acos", "%58", "", "f32[2, 3, 4]", NULL},
    {"acos", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"atan", "%58", "", "f32[2, 3, 4]", NULL},
    {"atan", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"sinh", "%58", "", "f32[2, 3, 4]", NULL},
    {"sinh", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"cosh", "%58", "", "f32[2, 3, 4]", NULL},
    {"cosh", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"asinh", "%58", "", "f32[2, 3, 4]", NULL},
    {"asinh", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"acosh", "%58", "", "f32[2, 3, 4]", NULL},
    {"acosh", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"atanh", "%58", "", "f32[2, 3, 4]", NULL},
    {"atanh", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"erf", "%58", "", "f32[2, 3, 4]", NULL},
    {"erf", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"softplus", "%58", "", "f32[2, 3, 4]", NULL},
    {"softplus", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"floor", "%58", "", "f32[2, 3, 4]", NULL},
    {"floor", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"ceil", "%58", "", "f32[2, 3, 4]", NULL},
    {"ceil", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"round", "%58", "", "f32[2, 3, 4]", NULL},
    {"round", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"abs", "%57", "", "i8[5, 3]", NULL},
    {"abs", "%49", "", NULL, "input 0 is bool, not f32"},
    {"sign", "%57", "", "i8[5, 3]", NULL},
    {"sign", "%49", "", NULL, "input 0 is bool, not f32"},
    {"bit_not", "%51", "", "u8[3, 5]", NULL},
    {"bit_not", "%1", "", NULL, "input 0 is f32, not an integer"},
    {"not", "%49", "", "bool[t, 64]", NULL},
    {"not", "%51", "", NULL, "input 0 is u8, not bool"},
    {"is_nan", "%52", "", "bool[2, 3, 4]", NULL},
    {"is_nan", "%2", "", NULL, "input 0 is i32, not f32 or f64"},
    {"is_inf", "%1", "{mode = 3} ", "bool[t, 64]", NULL},
    {"is_inf", "%2", "{mode = 3} ", NULL, "input 0 is i32, not f32 or f64"},
    {"is_inf", "%1", "{mode = 0} ", NULL, "attribute mode: must be 1, 2 or 3"},
    {"cast", "%43", "{to = 0, saturate = 1} ", "f32[3, 5]", NULL},
    {"cast", "%1", "{to = 64, saturate = 1} ", "f8e4m3fn[t, 64]", NULL},
    {"cast", "%44", "{to = 0, saturate = 1} ", NULL, "input 0 is string, not a number or bool"},
    {"cast", "%1", "{to = 70, saturate = 1} ", NULL, "attribute to: is no dtype of numbers or bool"},
    {"cast", "%1", "{to = -1, saturate = 1} ", NULL, "attribute to: is no dtype"},
    {"cast", "%1", "{to = 4294967296, saturate = 1} ", NULL, "attribute to: is no dtype"},
    {"cast", "%1", "{to = 0, saturate = 2} ", NULL, "attribute saturate: must be 0 or 1"},
    {"truncate_bf16", "%1", "", "bf16[t, 64]", NULL},
    {"truncate_bf16", "%52", "", NULL, "input 0 is f64, not f32"},
    {"where", "%55, %54, %1", "", "f32[t, 64]", NULL},
    {"where", "%49, %18, %18", "", "f32[t, 64]", NULL},
    {"where", "%1, %1, %1", "", NULL, "input 0 is f32, not bool"},
    {"where", "%49, %43, %43", "", NULL, "input 1: elements of a part of a byte"},
    {"where", "%49, %5, %5", "", NULL, "input 1: holds no elements that could be moved"},
    {"where", "%49, %1, %50", "", NULL, "input 2 is i64, not f32"},
    {"where", "%49, %1, %7", "", NULL, "input 2 has 96 at axis 1 where 64 is needed"},
    {"transpose", "%52", "{perm = [2, 0, 1]} ", "f64[4, 2, 3]", NULL},
    {"transpose", "%1", "{perm = [1, 0]} ", "f32[64, t]", NULL},
    {"transpose", "%44", "{perm = [1, 0]} ", NULL, "input 0: holds no elements"},
    {"transpose", "%1", "{perm = [0]} ", NULL, "attribute perm: has another number of entries"},
    {"transpose", "%1", "{perm = [0, 1, 2]} ", NULL, "attribute perm: has another number of entries"},
    {"transpose", "%1", "{perm = [0, 0]} ", NULL, "attribute perm: is no order of the axes"},
    {"transpose", "%1", "{perm = [0, 2]} ", NULL, "attribute perm: is no order of the axes"},
    {"transpose", "%1", "{perm = [-1, 0]} ", NULL, "attribute perm: is no order of the axes"},
    {"slice", "%52", "{shape = [1, 2, 2], starts = [1, 0, 3], steps = [1, 2, -2]} ", "f64[1, 2, 2]", NULL},
    {"slice", "%1", "{shape = [t, 8], starts = [0, 8], steps = [1, 7]} ", "f32[t, 8]", NULL},
    {"slice", "%1", "{shape = [(t - 1), 0], starts = [1, 0], steps = [1, 1]} ", "f32[(t - 1), 0]", NULL},
    {"slice", "%1", "{shape = [1, 64], starts = [0, 63], steps = [1, -1]} ", "f32[1, 64]", NULL},
    {"slice", "%43", "{shape = [1, 1], starts = [0, 0], steps = [1, 1]} ", NULL,
     "input 0: elements of a part of a byte"},
    {"slice", "%1", "{shape = [2, 64], starts = [0, 0], steps = [1, 1]} ", NULL,
     "input 0 may end before the slice of axis 0"},
    {"slice", "%1", "{shape = [t, 65], starts = [0, 0], steps = [1, 1]} ", NULL,
     "input 0 may end before the slice of axis 1"},
    {"slice", "%1", "{shape = [t, 9], starts = [0, 8], steps = [1, 7]} ", NULL,
     "input 0 may end before the slice of axis 1"},
    {"slice", "%1", "{shape = [t, 1], starts = [0, -1], steps = [1, 1]} ", NULL,
     "input 0 may end before the slice of axis 1"},
    {"slice", "%1", "{shape = [t, 1], starts = [0, 64], steps = [1, 1]} ", NULL,
     "input 0 may end before the slice of axis 1"},
    {"slice", "%1", "{shape = [t, 2], starts = [0, 0], steps = [1, -1]} ", NULL,
     "input 0 may end before the slice of axis 1"},
    {"slice", "%1", "{shape = [t, 2], starts = [0, 0], steps = [1, 9223372036854775807]} ", NULL,
     "input 0 may end before the slice of axis 1"},
    {"slice", "%1", "{shape = [t, 2], starts = [0, 0], steps = [1, 0]} ", NULL,
     "input 0 may end before the slice of axis 1"},
    {"slice", "%1", "{shape = [(t - 1), 64], starts = [0, 0], steps = [2, 1]} ", NULL,
     "input 0 may end before the slice of axis 0"},
    {"slice", "%1", "{shape = [t], starts = [0, 0], steps = [1, 1]} ", NULL,
     "attribute shape: has another rank"},
    {"slice", "%1", "{shape = [t, 64], starts = [0], steps = [1, 1]} ", NULL,
     "attribute starts: has another number"},
    {"slice", "%1", "{shape = [t, 64], starts = [0, 0], steps = [1]} ", NULL,
     "attribute steps: has another number"},
    {"concat", "%1, %7, %1", "{axis = 1} ", "f32[t, 224]", NULL},
    {"concat", "%25, %25", "{axis = 0} ", "f32[(t + t), t]", NULL},
    {"concat", "%51", "{axis = 0} ", "u8[3, 5]", NULL},
    {"concat", "%43, %43", "{axis = 0} ", NULL, "input 0: elements of a part of a byte"},
    {"concat", "%1, %50", "{axis = 1} ", NULL, "input 1 is i64, not f32"},
    {"concat", "%1, %1, %9", "{axis = 1} ", NULL, "input 2 has rank 1, not 2"},
    {"concat", "%1, %1, %1, %23", "{axis = 1} ", NULL, "input 3 has r at axis 0 where t is needed"},
    {"concat", "%1, %1, %1, %1, %50", "{axis = 1} ", NULL, "input 4 is i64, not f32"},
    {"concat", "%1, %1", "{axis = 2} ", NULL, "attribute axis: is no axis of input 0"},
    {"concat", "%18, %18", "{axis = 0} ", NULL, "attribute axis: is no axis"},
    {"pad", "%1", "{pads = [0, 1, 0, 2], mode = 1} ", "f32[t, 67]", NULL},
    {"pad", "%52, %63", "{pads = [1, 0, 0, 0, 0, 5], mode = 0} ", "f64[3, 3, 9]", NULL},
    {"pad", "%54", "{pads = [2, 0, 0, 0], mode = 3} ", "f32[(t + 2), 1]", NULL},
    {"pad", "%44", "{pads = [0, 0, 0, 0], mode = 0} ", NULL, "input 0: holds no elements"},
    {"pad", "%52, %18", "{pads = [0, 0, 0, 0, 0, 0], mode = 0} ", NULL, "input 1 is f32, not f64"},
    {"pad", "%1, %24", "{pads = [0, 0, 0, 0], mode = 0} ", NULL, "input 1 has rank 1, not 0"},
    {"pad", "%1, %18", "{pads = [0, 0, 0, 0], mode = 2} ", NULL,
     "input 1: only constant padding takes a value"},
    {"pad", "%1", "{pads = [0, 0], mode = 0} ", NULL, "attribute pads: has another number"},
    {"pad", "%1", "{pads = [0, 0, 0, -1], mode = 0} ", NULL, "attribute pads: must not be negative"},
    {"pad", "%1", "{pads = [0, 0, 9223372036854775807, 1], mode = 0} ", NULL,
     "attribute pads: must not be negative, nor larger"},
    {"pad", "%1", "{pads = [0, 0, 0, 0], mode = 4} ", NULL, "attribute mode: must be 0"},
    {"expand", "%54", "{shape = [2, t, 64]} ", "f32[2, t, 64]", NULL},
    {"expand", "%9", "{shape = [t, 64]} ", "f32[t, 64]", NULL},
    {"expand", "%18", "{shape = []} ", "f32[]", NULL},
    {"expand", "%43", "{shape = [3, 5]} ", NULL, "input 0: elements of a part of a byte"},
    {"expand", "%1", "{shape = [64]} ", NULL, "input 0: has a higher rank than the new shape"},
    {"expand", "%1", "{shape = [t, 1]} ", NULL, "input 0 has 64 at axis 1 where 1 is needed"},
    {"tile", "%1", "{repeats = [2, 3]} ", "f32[(2 * t), 192]", NULL},
    {"tile", "%51", "{repeats = [0, 1]} ", "u8[0, 5]", NULL},
    {"tile", "%44", "{repeats = [1, 1]} ", NULL, "input 0: holds no elements"},
    {"tile", "%1", "{repeats = [2]} ", NULL, "attribute repeats: has another number"},
    {"tile", "%1", "{repeats = [-1, 1]} ", NULL, "attribute repeats: must not be negative"},
    {"trilu", "%52", "{upper = 1, k = -2} ", "f64[2, 3, 4]", NULL},
    {"trilu", "%9", "{upper = 0, k = 0} ", NULL, "input 0: must have rank 2 or more"},
    {"trilu", "%1", "{upper = 2, k = 0} ", NULL, "attribute upper: must be 0 or 1"},
    {"reverse_sequence", "%51, %53", "{axis = 1, batch_axis = 0} ", "u8[3, 5]", NULL},
    {"reverse_sequence", "%43, %53", "{axis = 1, batch_axis = 0} ", NULL,
     "input 0: elements of a part of a byte"},
    {"reverse_sequence", "%51, %1", "{axis = 1, batch_axis = 0} ", NULL,
     "input 1: indices must be i32 or i64"},
    {"reverse_sequence", "%51, %53", "{axis = 0, batch_axis = 1} ", NULL,
     "input 1 has 3 at axis 0 where 5 is needed"},
    {"reverse_sequence", "%51, %53", "{axis = 0, batch_axis = 0} ", NULL,
     "attribute batch_axis: is the axis that is reversed"},
    {"gather", "%52, %56", "{axis = 1} ", "f64[2, 5, 2, 4]", NULL},
    {"gather", "%1, %3", "{axis = 0} ", "f32[r, 64]", NULL},
    {"gather", "%18, %53", "{axis = 0} ", NULL, "attribute axis: is no axis"},
    {"gather", "%5, %53", "{axis = 0} ", NULL, "input 0: holds no elements"},
    {"gather", "%1, %1", "{axis = 0} ", NULL, "input 1: indices must be i32 or i64"},
    {"gather_elements", "%58, %59", "{axis = 2} ", "f32[2, 3, 4]", NULL},
    {"gather_elements", "%44, %59", "{axis = 2} ", NULL, "input 0: holds no elements"},
    {"gather_elements", "%58, %53", "{axis = 2} ", NULL, "input 1 has rank 1, not 3"},
    {"gather_elements", "%51, %56", "{axis = 1} ", NULL, "input 1: may be larger than input 0 off the axis"},
    {"gather_elements", "%51, %56", "{axis = 2} ", NULL, "attribute axis: is no axis"},
    {"gather_nd", "%58, %56", "{batch_dims = 0} ", "f32[5, 4]", NULL},
    {"gather_nd", "%58, %53", "{batch_dims = 0} ", "f32[]", NULL},
    {"gather_nd", "%44, %56", "{batch_dims = 0} ", NULL, "input 0: holds no elements"},
    {"gather_nd", "%58, %1", "{batch_dims = 0} ", NULL, "input 1: indices must be i32 or i64"},
    {"gather_nd", "%9, %56", "{batch_dims = 0} ", NULL,
     "input 1: its tuples are longer than input 0 has axes"},
    {"gather_nd", "%58, %2", "{batch_dims = 0} ", NULL, "input 1: must end in an axis of a constant length"},
    {"gather_nd", "%58, %56", "{batch_dims = 1} ", NULL, "input 1 has 5 at axis 0 where 2 is needed"},
    {"gather_nd", "%58, %56", "{batch_dims = 4} ", NULL, "attribute batch_dims: are more axes"},
    {"scatter_elements", "%58, %59, %58", "{axis = 1, reduction = 4} ", "f32[2, 3, 4]", NULL},
    {"scatter_elements", "%49, %50, %49", "{axis = 0, reduction = 1} ", NULL, "input 0 is bool, not f32"},
    {"scatter_elements", "%49, %50, %49", "{axis = 0, reduction = 0} ", "bool[t, 64]", NULL},
    {"scatter_elements", "%58, %1, %58", "{axis = 0, reduction = 0} ", NULL, "input 1: indices must be"},
    {"scatter_elements", "%58, %59, %52", "{axis = 0, reduction = 0} ", NULL, "input 2 is f64, not f32"},
    {"scatter_elements", "%58, %59, %1", "{axis = 0, reduction = 0} ", NULL, "input 2 has rank 2, not 3"},
    {"scatter_elements", "%58, %59, %58", "{axis = 0, reduction = 5} ", NULL,
     "attribute reduction: must be 0 to 4"},
    {"scatter_nd", "%58, %56, %62", "{reduction = 1} ", "f32[2, 3, 4]", NULL},
    {"scatter_nd", "%43, %56, %43", "{reduction = 0} ", NULL, "input 0: elements of a part of a byte"},
    {"scatter_nd", "%9, %56, %9", "{reduction = 0} ", NULL, "input 1: its tuples are longer"},
    {"scatter_nd", "%58, %56, %58", "{reduction = 0} ", NULL, "input 2 has rank 3, not 2"},
    {"scatter_nd", "%58, %56, %1", "{reduction = 0} ", NULL, "input 2 has t at axis 0 where 5 is needed"},
    {"reduce_sum", "%52", "{axes = [2, 0], keep = 0} ", "f64[3]", NULL},
    {"reduce_sum", "%1", "{axes = [1], keep = 1} ", "f32[t, 1]", NULL},
    {"reduce_sum", "%49", "{axes = [0], keep = 0} ", NULL, "input 0 is bool, not f32"},
    {"reduce_prod", "%52", "{axes = [2, 0], keep = 0} ", "f64[3]", NULL},
    {"reduce_prod", "%1", "{axes = [1], keep = 1} ", "f32[t, 1]", NULL},
    {"reduce_prod", "%49", "{axes = [0], keep = 0} ", NULL, "input 0 is bool, not f32"},
    {"reduce_max", "%52", "{axes = [2, 0], keep = 0} ", "f64[3]", NULL},
    {"reduce_max", "%1", "{axes = [1], keep = 1} ", "f32[t, 1]", NULL},
    {"reduce_max", "%49", "{axes = [0], keep = 0} ", NULL, "input 0 is bool, not f32"},
    {"reduce_min", "%52", "{axes = [2, 0], keep = 0} ", "f64[3]", NULL},
    {"reduce_min", "%1", "{axes = [1], keep = 1} ", "f32[t, 1]", NULL},
    {"reduce_min", "%49", "{axes = [0], keep = 0} ", NULL, "input 0 is bool, not f32"},
    {"reduce_sum_square", "%52", "{axes = [2, 0], keep = 0} ", "f64[3]", NULL},
    {"reduce_sum_square", "%1", "{axes = [1], keep = 1} ", "f32[t, 1]", NULL},
    {"reduce_sum_square", "%49", "{axes = [0], keep = 0} ", NULL, "input 0 is bool, not f32"},
    {"reduce_l1", "%52", "{axes = [2, 0], keep = 0} ", "f64[3]", NULL},
    {"reduce_l1", "%1", "{axes = [1], keep = 1} ", "f32[t, 1]", NULL},
    {"reduce_l1", "%49", "{axes = [0], keep = 0} ", NULL, "input 0 is bool, not f32"},
    {"reduce_sum", "%51", "{axes = [], keep = 0} ", "u8[3, 5]", NULL},
    {"reduce_sum", "%52", "{axes = [3], keep = 0} ", NULL,
     "attribute axes: are no axes of input 0, each once"},
    {"reduce_sum", "%52", "{axes = [-1], keep = 0} ", NULL,
     "attribute axes: are no axes of input 0, each once"},
    {"reduce_sum", "%52", "{axes = [0, 0], keep = 0} ", NULL,
     "attribute axes: are no axes of input 0, each once"},
    {"reduce_sum", "%52", "{axes = [0], keep = 2} ", NULL, "attribute keep: must be 0 or 1"},
    {"arg_max", "%52", "{axis = 1, keep = 0, last = 0} ", "i64[2, 4]", NULL},
    {"arg_max", "%51", "{axis = 0, keep = 1, last = 1} ", "i64[1, 5]", NULL},
    {"arg_max", "%49", "{axis = 0, keep = 0, last = 0} ", NULL, "input 0 is bool, not f32"},
    {"arg_min", "%52", "{axis = 1, keep = 0, last = 0} ", "i64[2, 4]", NULL},
    {"arg_min", "%51", "{axis = 0, keep = 1, last = 1} ", "i64[1, 5]", NULL},
    {"arg_min", "%49", "{axis = 0, keep = 0, last = 0} ", NULL, "input 0 is bool, not f32"},
    {"arg_max", "%52", "{axis = 3, keep = 0, last = 0} ", NULL, "attribute axis: is no axis"},
    {"cumsum", "%52", "{axis = 2, exclusive = 1, reverse = 0} ", "f64[2, 3, 4]", NULL},
    {"cumsum", "%49", "{axis = 0, exclusive = 0, reverse = 0} ", NULL, "input 0 is bool, not f32"},
    {"cumsum", "%52", "{axis = 0, exclusive = 0, reverse = 2} ", NULL, "attribute reverse: must be 0 or 1"},
    {"topk", "%1", "{axis = 1, k = 3, largest = 1} ", "f32[t, 3], i64[t, 3]", NULL},
    {"topk", "%49", "{axis = 1, k = 3, largest = 1} ", NULL, "input 0 is bool, not f32"},
    {"topk", "%1", "{axis = 1, k = 65, largest = 1} ", NULL, "attribute k: is negative, or more than"},
    {"topk", "%1", "{axis = 1, k = -1, largest = 1} ", NULL, "attribute k: is negative"},
    {"topk", "%1", "{axis = 0, k = 2, largest = 1} ", NULL, "attribute k: is negative, or more than"},
    {"matmul", "%25, %1", "", "f32[t, 64]", NULL},
    {"matmul", "%25, %54", "", "f32[t, 1]", NULL},
    {"matmul", "%2, %1", "", NULL, "input 0 is i32, not f32 or f64"},
    {"matmul", "%9, %1", "", NULL, "input 0: must have rank 2 or more"},
    {"matmul", "%1, %52", "", NULL, "input 1 is f64, not f32"},
    {"matmul", "%1, %4", "", NULL, "input 1 has 96 at axis 0 where 64 is needed"},
    {"matmul_blocks", "%1, %64, %65, %66", "{size = 40, block = 32} ", "f32[t, 40]", NULL},
    {"matmul_blocks", "%47, %64, %65, %66", "{size = 40, block = 32} ", "f32[t, 40]", NULL},
    {"matmul_blocks", "%2, %64, %65, %66", "{size = 40, block = 32} ", NULL, "input 0 is i32, not f32"},
    {"matmul_blocks", "%18, %64, %65, %66", "{size = 40, block = 32} ", NULL, "input 0: must end in an axis"},
    {"matmul_blocks", "%1, %65, %65, %66", "{size = 40, block = 32} ", NULL, "input 1 is f32, not u32"},
    {"matmul_blocks", "%1, %64, %66, %66", "{size = 40, block = 32} ", NULL, "input 2 is u8, not f32"},
    {"matmul_blocks", "%1, %64, %65, %65", "{size = 40, block = 32} ", NULL, "input 3 is f32, not u8"},
    {"matmul_blocks", "%1, %64, %65, %66", "{size = 65, block = 32} ", NULL, "input 1: has another size"},
    {"matmul_blocks", "%1, %64, %65, %66", "{size = 40, block = 64} ", NULL, "input 2: has another size"},
    {"matmul_blocks", "%1, %67, %65, %66", "{size = 40, block = 32} ", NULL,
     "input 1: must have whole words"},
    {"matmul_blocks", "%1, %64, %65, %66", "{size = 40, block = 24} ", NULL,
     "attribute block: must be a power"},
    {"matmul_blocks", "%1, %64, %65, %66", "{size = 0, block = 32} ", NULL,
     "attribute size: is out of range"},
    {"matmul_attention", "%25, %25, %1, %54", SCORES("add 0 1"), "f32[t, 64]", NULL},
    {"matmul_attention", "%2, %25, %1", SCORES(""), NULL, "input 0 is i32, not f32"},
    {"matmul_attention", "%25, %2, %1", SCORES(""), NULL, "input 1 is i32, not f32"},
    {"matmul_attention", "%25, %25, %2", SCORES(""), NULL, "input 2 is i32, not f32"},
    {"matmul_attention", "%25, %25, %1, %2", SCORES("add 0 1"), NULL, "input 3 is i32, not f32"},
    {"matmul_attention", "%25, %25, %1, %54, %2", SCORES("add 0 1"), NULL, "input 4 is i32, not f32"},
    {"matmul_attention", "%25, %25, %1, %54, %54, %2", SCORES("add 0 1"), NULL, "input 5 is i32, not f32"},
    {"matmul_chain", "%25, %1, %9", FORMULA("add 0 1"), "f32[t, 64]", NULL},
    {"matmul_chain", "%2, %1", FORMULA("relu 0"), NULL, "input 0 is i32, not f32"},
    {"matmul_chain", "%1, %52", FORMULA("relu 0"), NULL, "input 1 is f64, not f32"},
    {"matmul_chain", "%25, %1, %2", FORMULA("add 0 1"), NULL, "input 2 is i32, not f32"},
    {"matmul_chain", "%25, %1, %9, %2", FORMULA("add 0 1"), NULL, "input 3 is i32, not f32"},
    {"matmul_chain", "%25, %1, %9, %9, %2", FORMULA("add 0 1"), NULL, "input 4 is i32, not f32"},
    {"matmul_codes", "%51, %57, %60, %61, %18, %51", CODES("mul 0 1", "0"), NULL,
     "input 5 has 5 at axis 1 where 3"},
    {"matmul_codes", "%51, %57, %60, %61, %18, %60", CODES("mul 0 1; add 3 2", "4"), "i8[3, 3]", NULL},
    {"matmul_codes", "%50, %57", CODES("relu 0", "0"), NULL, "input 0: must be i8 or u8"},
    {"matmul_codes", "%51, %50", CODES("relu 0", "0"), NULL, "input 1: must be i8 or u8"},
    {"matmul_codes", "%51, %57, %61", CODES("relu 0", "0"), NULL, "input 2 is i8, not u8"},
    {"matmul_codes", "%51, %57, _, %60", CODES("relu 0", "0"), NULL, "input 3 is u8, not i8"},
    {"matmul_codes", "%51, %57, _, _, %63", CODES("relu 0", "0"), NULL, "input 4: must be f32, i32"},
    {"matmul_integer", "%51, %57, %60", "", "i32[3, 3]", NULL},
    {"matmul_integer", "%51, %57, %60, %61", "", "i32[3, 3]", NULL},
    {"matmul_integer", "%50, %57", "", NULL, "input 0: must be i8 or u8"},
    {"matmul_integer", "%51, %50", "", NULL, "input 1: must be i8 or u8"},
    {"matmul_integer", "%51, %57, %61", "", NULL, "input 2 is i8, not u8"},
    {"matmul_integer", "%51, %57, _, %60", "", NULL, "input 3 is u8, not i8"},
    {"matmul_integer", "%51, %57, %51", "", NULL, "input 2 has rank 2, not 1"},
};
#define N_CASES (sizeof cases / sizeof cases[0])

static wh_status build_case(const op_case *c, wh_graph **g) {
  char text[8192], second[16] = "";
  wh_op op;
  if (wh_op_from_name(c->op, strlen(c->op), &op) && wh_op_get(op)->n_outputs == 2)
    (void)snprintf(second, sizeof second, ", %%%d", N_OPERANDS + 2);
  int n = snprintf(text, sizeof text, "%s  %%%d%s = %s(%s) %s\"the node\" : %s\n  output \"o\" %%%d\n}\n",
                   preamble, N_OPERANDS + 1, second, c->op, c->operands, c->attrs,
                   c->shape  ? c->shape
                   : *second ? "f32[], f32[]"
                             : "f32[]",
                   N_OPERANDS + 1);
  assert_in_range(n, 1, sizeof text - 1);
  return wh_graph_parse(text, (size_t)n, NULL, g);
}

static void every_shape_rule(void **state) {
  (void)state;
  bool good[WH_OP_COUNT] = {0}, bad[WH_OP_COUNT][5] = {{0}};
  for (size_t i = 0; i < N_CASES; i++) {
    const op_case *c = &cases[i];
    wh_graph *g = NULL;
    wh_op op;
    assert_true(wh_op_from_name(c->op, strlen(c->op), &op));
    wh_status st = build_case(c, &g);
    if (c->shape) {
      if (st != WH_OK) fail_msg("%s(%s): %s", c->op, c->operands, wh_last_error()->message);
      good[op] = true;
      wh_graph_destroy(g);
      continue;
    }
    if (st != WH_ERR_INVALID_ARGUMENT) fail_msg("%s(%s) gave %s", c->op, c->operands, wh_status_name(st));
    assert_null(g);
    assert_error_says("node 'the node'");
    assert_error_says(c->error);
    const char *operand = strstr(c->error, "input ");
    if (operand && operand[6] >= '0' && operand[6] <= '4') bad[op][operand[6] - '0'] = true;
  }
  for (int op = 0; op < WH_OP_COUNT; op++) { /* the table above must be complete */
    const wh_op_info *info = wh_op_get((wh_op)op);
    if (wh_op_n_regions((wh_op)op)) continue; /* region_rules of test_graph_build.c has these */
    if (op >= WH_OP_CONV && op <= WH_OP_DEQUANTIZE_LINEAR) continue; /* test_graph_nn.c has these */
    if (!good[op]) fail_msg("no good case of %s", info->name);
    for (unsigned k = 0; k < info->max_inputs && k < 5 && op != WH_OP_CUSTOM; k++) /* custom takes anything */
      if (!bad[op][k]) fail_msg("no bad input %u of %s", k, info->name);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_shape_rule)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
