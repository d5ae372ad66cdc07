/* test_graph_nn.c - shape rules of ops of neural networks: operands that fit, and each operand and attribute
 * wrong in turn. */
#include "tests/ir/graph_fixture.h"

typedef struct nn_case {
  const char *op;
  const char *operands[11]; /* types, "_": absent */
  const char *attrs;
  const char *shapes; /* of the outputs; NULL: refused, and ... */
  const char *error;  /* ... the message holds this */
} nn_case;

#define X "f32[n, 6, 9, 8]"
#define WINDOW(strides, dilations, pads) "strides = " strides ", dilations = " dilations ", pads = " pads
#define PLAIN WINDOW("[1, 1]", "[1, 1]", "[0, 0, 0, 0]")
#define CONV(window, group) "{" window ", group = " group "}"
#define TRANSPOSED(pads, shape) "{shape = " shape ", " WINDOW("[2, 2]", "[1, 1]", pads) ", group = 2}"
#define POOL(window, ceil, more) "{" window ", kernel = [3, 2], ceil = " ceil more "}"
#define RESAMPLE(axis) "{alpha = 0x0p+0, axis = " axis "}"
#define GRID(mode, padding) "{mode = " mode ", padding = " padding ", align_corners = 1}"
#define ROI(kernel, sampling, mode) \
  "{scale = 0x1p+0, mode = " mode ", kernel = " kernel ", half_pixel = 0, sampling = " sampling "}"
#define LRN(size) "{eps = 0x1p+0, alpha = 0x1p-10, size = " size ", beta = 0x1.8p-1}"
#define DFT(axis, inverse) "{axis = " axis ", inverse = " inverse "}"
#define UNITS(acts, factors, more) \
  "{reverse = 1, clip = 0x0p+0, activations = " acts ", factors = " factors more "}"
#define F2 "[0x1p+0, 0x1p+0]"
#define F4 "[0x1p+0, 0x1p+0, 0x0p+0, 0x0p+0]"
#define F6 "[0x1p+0, 0x1p+0, 0x0p+0, 0x0p+0, 0x0p+0, 0x0p+0]"
#define RNN UNITS("[1]", F2, "")
#define GRU UNITS("[0, 1]", F4, ", reset_after = 0")
#define LSTM UNITS("[0, 1, 1]", F6, ", coupled = 0")
#define TO_CODES(axis, to, block) "{axis = " axis ", to = " to ", saturate = 1, block = " block "}"
#define FROM_CODES(axis, block) "{axis = " axis ", block = " block "}"
#define W "f32[4, 6, 3, 2]"
#define CODED "u8[n, 6, 9, 8]", "i8[4, 6, 3, 2]"
#define FORMULA(text) "{formula = \"" text "\"}"
#define FORMULA_TO(text, to) "{formula = \"" text "\", to = " to "}"
#define CODES(text, to) "{" PLAIN ", group = 1, formula = \"" text "\", to = " to "}"
#define ENDED(text) "{" PLAIN ", group = 1, formula = \"" text "\"}"
#define WRONG(...) NULL, __VA_ARGS__

static const nn_case cases[] = {
    {"conv", {X, "f32[4, 6, 3, 2]"}, CONV(PLAIN, "1"), "f32[n, 4, 7, 7]", NULL},
    {"conv", {X, "f32[4, 3, 3, 2]", "f32[4]"}, CONV(PLAIN, "2"), "f32[n, 4, 7, 7]", NULL},
    {"conv", {X, "f32[4, 3, 3, 2]", "_", "f32[n, 4, 7, 7]"}, CONV(PLAIN, "2"), "f32[n, 4, 7, 7]", NULL},
    {"conv",
     {X, "f32[4, 6, 3, 2]"},
     CONV(WINDOW("[2, 3]", "[2, 1]", "[1, 0, 2, 1]"), "1"),
     "f32[n, 4, 4, 3]",
     NULL},
    {"conv",
     {"f32[n, 6, 9]", "f32[4, 6, 3]"},
     CONV(WINDOW("[1]", "[1]", "[1, 1]"), "1"),
     "f32[n, 4, 9]",
     NULL},
    {"conv",
     {"f32[n, 6, t]", "f32[4, 6, 3]"},
     CONV(WINDOW("[2]", "[1]", "[1, 1]"), "1"),
     "f32[n, 4, (((((t + 2) max 3) - 3) / 2) + 1)]",
     NULL},
    {"conv_chain", {X, W}, ENDED("relu 0"), "f32[n, 4, 7, 7]", NULL},
    {"conv_chain", {X, W, "f32[4]"}, ENDED("relu 0"), "f32[n, 4, 7, 7]", NULL},
    {"conv_chain",
     {X, W, "_", "f32[4, 1, 1]", "f32[]", "f32[n, 4, 7, 7]", "f32[n, 4, 1, 1]", "f32[7, 7]"},
     ENDED("mul 0 1; add 2 3; add 4 5"),
     "f32[n, 4, 7, 7]",
     NULL},
    {"conv_chain", {"i32[n, 6, 9, 8]", W}, ENDED("relu 0"), WRONG("input 0 is i32, not f32")},
    {"conv_chain", {X, "f16[4, 6, 3, 2]"}, ENDED("relu 0"), WRONG("input 1 is f16, not f32")},
    {"conv_chain", {X, W, "f32[5]"}, ENDED("relu 0"), WRONG("input 2 has 5 at axis 0 where 4 is needed")},
    {"conv_chain", {X, W, "_", "f32[5, 1, 1]"}, ENDED("relu 0"), WRONG("input 3 has 5 at axis 0 where 4")},
    {"conv_chain", {X, W, "_", "f32[1, 7]"}, ENDED("relu 0"), WRONG("input 3: has neither all nor one")},
    {"conv_chain", {X, W, "_", "f32[1, 1, 4, 7, 7]"}, ENDED("relu 0"), WRONG("input 3: has more axes")},
    {"conv_chain", {X, W, "_", "f32[]", "i32[]"}, ENDED("relu 0"), WRONG("input 4 is i32, not f32")},
    {"conv_chain", {X, W, "_", "f32[]", "f32[]", "i32[]"}, ENDED("relu 0"), WRONG("input 5 is i32, not f32")},
    {"conv_chain", {X, W, "_", "f32[]", "f32[]", "f32[]", "i32[]"}, ENDED("relu 0"), WRONG("input 6 is i32")},
    {"conv_chain",
     {X, W, "_", "f32[]", "f32[]", "f32[]", "f32[]", "i32[]"},
     ENDED("relu 0"),
     WRONG("input 7 is i32")},
    {"conv_chain",
     {X, W, "_", "f32[]", "f32[]", "f32[]", "f32[]", "f32[]", "i32[]"},
     ENDED("relu 0"),
     WRONG("input 8 is i32")},
    {"conv_chain",
     {X, W, "_", "f32[]", "f32[]", "f32[]", "f32[]", "f32[]", "f32[]", "i32[]"},
     ENDED("relu 0"),
     WRONG("input 9 is i32")},
    {"conv_chain", {X, W}, ENDED("relu 1"), WRONG("step 0 of the formula is none")},
    {"conv", {"i32[n, 6, 9, 8]", "f32[4, 6, 3, 2]"}, CONV(PLAIN, "1"), WRONG("input 0 is i32, not f32")},
    {"conv", {"f32[n, 6]", "f32[4, 6]"}, CONV(PLAIN, "1"), WRONG("input 0: must have rank 3 to 5")},
    {"conv",
     {"f32[n, 6, 2, 8]", "f32[4, 6, 3, 2]"},
     CONV(PLAIN, "1"),
     WRONG("input 0: is smaller than the window")},
    {"conv", {X, "f16[4, 6, 3, 2]"}, CONV(PLAIN, "1"), WRONG("input 1 is f16, not f32")},
    {"conv", {X, "f32[4, 6, 3]"}, CONV(PLAIN, "1"), WRONG("input 1: must have the rank of input 0")},
    {"conv", {X, "f32[4, 5, 3, 2]"}, CONV(PLAIN, "1"), WRONG("input 1: fits another number of channels")},
    {"conv", {X, "f32[5, 3, 3, 2]"}, CONV(PLAIN, "2"), WRONG("input 1: its outputs must be a multiple")},
    {"conv", {X, "f32[4, 6, t, 2]"}, CONV(PLAIN, "1"), WRONG("input 1: its kernel must be constant")},
    {"conv", {X, "f32[4, 6, 0, 2]"}, CONV(PLAIN, "1"), WRONG("input 1: its kernel is empty")},
    {"conv", {X, "f32[t, 6, 3, 2]"}, CONV(PLAIN, "1"), WRONG("input 1: channels must be constant")},
    {"conv",
     {X, "f32[4, 6, 3, 2]", "f32[5]"},
     CONV(PLAIN, "1"),
     WRONG("input 2 has 5 at axis 0 where 4 is needed")},
    {"conv",
     {X, "f32[4, 6, 3, 2]", "_", "f32[n, 4, 7, 6]"},
     CONV(PLAIN, "1"),
     WRONG("input 3 has 6 at axis 3")},
    {"conv", {X, "f32[4, 6, 3, 2]"}, CONV(PLAIN, "0"), WRONG("attribute group: is out of range")},
    {"conv",
     {X, "f32[4, 6, 3, 2]"},
     CONV(WINDOW("[0, 1]", "[1, 1]", "[0, 0, 0, 0]"), "1"),
     WRONG("attribute strides: has an entry out of range")},
    {"conv",
     {X, "f32[4, 6, 3, 2]"},
     CONV(WINDOW("[1, 1]", "[1]", "[0, 0, 0, 0]"), "1"),
     WRONG("attribute dilations: has another number of entries")},
    {"conv",
     {X, "f32[4, 6, 3, 2]"},
     CONV(WINDOW("[1, 1]", "[1, 1]", "[0, 0, -1, 0]"), "1"),
     WRONG("attribute pads: has an entry out of range")},
    {"conv",
     {X, "f32[4, 6, 3, 2]"},
     CONV(WINDOW("[1, 1]", "[2147483648, 1]", "[0, 0, 0, 0]"), "1"),
     WRONG("input 0: is smaller than the window")},
    {"conv_transpose",
     {X, "f32[6, 5, 3, 2]", "f32[10]"},
     TRANSPOSED("[1, 0]", "[18, 17]"),
     "f32[n, 10, 18, 17]",
     NULL},
    {"conv_transpose",
     {"i8[n, 6, 9, 8]", "f32[6, 5, 3, 2]"},
     TRANSPOSED("[1, 0]", "[18, 17]"),
     WRONG("input 0 is i8, not f32")},
    {"conv_transpose",
     {X, "f32[4, 5, 3, 2]"},
     TRANSPOSED("[1, 0]", "[18, 17]"),
     WRONG("input 1: fits another number of channels")},
    {"conv_transpose",
     {X, "f32[6, 5, 3, 2]", "f32[5]"},
     TRANSPOSED("[1, 0]", "[18, 17]"),
     WRONG("input 2 has 5")},
    {"conv_transpose",
     {X, "f32[6, 5, 3, 2]"},
     TRANSPOSED("[1, 0, 0, 0]", "[18, 17]"),
     WRONG("attribute pads")},
    {"conv_transpose",
     {X, "f32[6, 5, 3, 2]"},
     TRANSPOSED("[1, 0]", "[18]"),
     WRONG("attribute shape: must be the space of the output")},
    {"conv_integer",
     {"u8[n, 6, 9, 8]", "i8[4, 6, 3, 2]", "u8[]", "i8[4]"},
     CONV(PLAIN, "1"),
     "i32[n, 4, 7, 7]",
     NULL},
    {"conv_integer",
     {"i8[n, 6, 9, 8]", "u8[4, 6, 3, 2]", "_", "u8[1]"},
     CONV(PLAIN, "1"),
     "i32[n, 4, 7, 7]",
     NULL},
    {"conv_integer", {X, "i8[4, 6, 3, 2]"}, CONV(PLAIN, "1"), WRONG("input 0: must be i8 or u8")},
    {"conv_integer",
     {"u8[n, 6, 9, 8]", "f32[4, 6, 3, 2]"},
     CONV(PLAIN, "1"),
     WRONG("input 1: must be i8 or u8")},
    {"conv_integer",
     {"u8[n, 6, 9, 8]", "i8[4, 6, 3, 2]", "i8[]"},
     CONV(PLAIN, "1"),
     WRONG("input 2: must have the type")},
    {"conv_integer",
     {"u8[n, 6, 9, 8]", "i8[4, 6, 3, 2]", "u8[4]"},
     CONV(PLAIN, "1"),
     WRONG("input 2: must be one number")},
    {"conv_integer",
     {"u8[n, 6, 9, 8]", "i8[4, 6, 3, 2]", "_", "i8[5]"},
     CONV(PLAIN, "1"),
     WRONG("input 3 has 5")},
    {"conv_codes",
     {CODED, "u8[]", "_", "f32[4, 1, 1]", "u8[]", "i8[n, 4, 7, 7]", "i32[7, 7]"},
     CODES("mul 0 1; sub 5 2; add 6 3", "8"),
     "u8[n, 4, 7, 7]",
     NULL},
    {"conv_codes", {CODED}, CODES("relu 0", "0"), "f32[n, 4, 7, 7]", NULL},
    {"conv_codes", {X, "i8[4, 6, 3, 2]"}, CODES("relu 0", "0"), WRONG("input 0: must be i8 or u8")},
    {"conv_codes", {CODED}, CODES("relu 0", "6"), WRONG("attribute to: is not f32")},
    {"conv_codes", {CODED}, CODES("relu 1", "0"), WRONG("step 0 of the formula")},
    {"conv_codes",
     {"u8[n, 6, 9, 8]", "f32[4, 6, 3, 2]"},
     CODES("relu 0", "0"),
     WRONG("input 1: must be i8 or u8")},
    {"conv_codes", {CODED, "i8[]"}, CODES("relu 0", "0"), WRONG("input 2: must have the type")},
    {"conv_codes", {CODED, "_", "i8[5]"}, CODES("relu 0", "0"), WRONG("input 3 has 5")},
    {"conv_codes",
     {CODED, "_", "_", "f32[]", "f64[]"},
     CODES("relu 0", "0"),
     WRONG("input 5: must be f32, i32")},
    {"conv_codes",
     {CODED, "_", "_", "f32[]", "f32[]", "f64[]"},
     CODES("relu 0", "0"),
     WRONG("input 6: must be f32, i32")},
    {"conv_codes",
     {CODED, "_", "_", "f32[]", "f32[]", "f32[]", "f64[]"},
     CODES("relu 0", "0"),
     WRONG("input 7: must be f32, i32")},
    {"conv_codes",
     {CODED, "_", "_", "f32[]", "f32[]", "f32[]", "f32[]", "f64[]"},
     CODES("relu 0", "0"),
     WRONG("input 8: must be f32, i32")},
    {"conv_codes",
     {CODED, "_", "_", "f32[]", "f32[]", "f32[]", "f32[]", "f32[]", "f64[]"},
     CODES("relu 0", "0"),
     WRONG("input 9: must be f32, i32")},
    {"conv_codes",
     {CODED, "_", "_", "f32[]", "f32[]", "f32[]", "f32[]", "f32[]", "f32[]", "f64[]"},
     CODES("relu 0", "0"),
     WRONG("input 10: must be f32, i32")},
    {"conv_codes",
     {CODED, "_", "_", "f64[]"},
     CODES("relu 0", "0"),
     WRONG("input 4: must be f32, i32, i8 or u8")},
    {"conv_codes",
     {CODED, "_", "_", "f32[1, 7]"},
     CODES("relu 0", "0"),
     WRONG("input 4: has neither all nor one")},
    {"conv_codes",
     {CODED, "_", "_", "f32[5, 1, 1]"},
     CODES("relu 0", "0"),
     WRONG("input 4 has 5 at axis 0 where 4")},
    {"conv_codes",
     {CODED, "_", "_", "f32[1, 1, 1, 1, 1]"},
     CODES("relu 0", "0"),
     WRONG("input 4: has more axes")},
    {"matmul_codes",
     {"u8[n, 6]", "i8[6, 4]", "u8[]", "_", "f32[4]", "f32[n, 1]", "u8[n, 4]", "f32[]"},
     FORMULA_TO("mul 0 1; add 5 2", "0"),
     "f32[n, 4]",
     NULL},
    {"matmul_chain",
     {"f32[n, 6]", "f32[6, 4]", "f32[4]", "f32[n, 1]"},
     FORMULA("add 0 1; mul 3 2"),
     "f32[n, 4]",
     NULL},
    {"matmul_chain",
     {"f32[2, 5, 6]", "f32[2, 6, 4]", "f32[2, 1, 4]"},
     FORMULA("add 0 1"),
     "f32[2, 5, 4]",
     NULL},
    {"matmul_chain", {"f64[n, 6]", "f64[6, 4]"}, FORMULA("relu 0"), WRONG("input 0 is f64, not f32")},
    {"matmul_chain", {"f32[n, 6]", "f32[5, 4]"}, FORMULA("relu 0"), WRONG("input 1 has 5 at axis 0")},
    {"matmul_chain",
     {"f32[n, 6]", "f32[6, 4]", "i32[4]"},
     FORMULA("add 0 1"),
     WRONG("input 2 is i32, not f32")},
    {"matmul_chain",
     {"f32[n, 6]", "f32[6, 4]", "f32[3]"},
     FORMULA("add 0 1"),
     WRONG("input 2 has 3 at axis 0")},
    {"matmul_chain",
     {"f32[n, 6]", "f32[6, 4]", "f32[1, n, 4]"},
     FORMULA("add 0 1"),
     WRONG("input 2: has more axes")},
    {"matmul_chain",
     {"f32[n, 6]", "f32[6, 4]", "f32[4]"},
     FORMULA("add 0 2"),
     WRONG("step 0 of the formula")},
    {"matmul_codes",
     {"u8[2, 5, 6]", "i8[6, 4]", "_", "_", "f32[5, 4]"},
     FORMULA_TO("relu 0", "0"),
     WRONG("input 4: has neither all nor one")},
    {"max_pool", {X}, POOL(PLAIN, "0", ""), "f32[n, 6, 7, 7]", NULL},
    {"max_pool",
     {"u8[n, 6, 9, 8]"},
     POOL(WINDOW("[4, 4]", "[1, 1]", "[0, 0, 0, 0]"), "0", ""),
     "u8[n, 6, 2, 2]",
     NULL},
    {"max_pool",
     {"f64[n, 6, 9, 8]"},
     POOL(WINDOW("[4, 4]", "[1, 1]", "[0, 0, 0, 0]"), "1", ""),
     "f64[n, 6, 3, 2]",
     NULL},
    {"max_pool", {"i64[n, 6, 9, 8]"}, POOL(PLAIN, "0", ""), WRONG("input 0: must be f32, f64, i8 or u8")},
    {"max_pool", {X}, POOL(PLAIN, "2", ""), WRONG("attribute ceil: is out of range")},
    {"max_pool", {"f32[n, 6, 9]"}, POOL(PLAIN, "0", ""), WRONG("attribute strides")},
    {"max_pool_index", {X}, POOL(PLAIN, "1", ", column_major = 1"), "i64[n, 6, 7, 7]", NULL},
    {"max_pool_index",
     {"i64[n, 6, 9, 8]"},
     POOL(PLAIN, "1", ", column_major = 1"),
     WRONG("input 0: must be f32")},
    {"average_pool", {X}, POOL(PLAIN, "1", ", count_include_pad = 1"), "f32[n, 6, 7, 7]", NULL},
    {"average_pool",
     {"u8[n, 6, 9, 8]"},
     POOL(PLAIN, "1", ", count_include_pad = 1"),
     WRONG("input 0 is u8, not f32")},
    {"lp_pool", {X}, POOL(PLAIN, "1", ", p = 3"), "f32[n, 6, 7, 7]", NULL},
    {"lp_pool", {X}, POOL(PLAIN, "1", ", p = 0"), WRONG("attribute p: is out of range")},
    {"lp_pool", {"f64[n, 6, 9, 8]"}, POOL(PLAIN, "1", ", p = 3"), WRONG("input 0 is f64, not f32")},
    {"resample", {X, "i32[t, 2]", "f32[t, 2]"}, RESAMPLE("2"), "f32[n, 6, t, 8]", NULL},
    {"resample", {"f16[n]", "i32[t, 2]", "f32[t, 2]"}, RESAMPLE("0"), WRONG("input 0 is f16, not f32")},
    {"resample", {X, "i64[t, 2]", "f32[t, 2]"}, RESAMPLE("2"), WRONG("input 1 is i64, not i32")},
    {"resample",
     {X, "i32[t, 2]", "f32[t, 3]"},
     RESAMPLE("2"),
     WRONG("input 2 has 3 at axis 1 where 2 is needed")},
    {"resample", {X, "i32[t, 2]", "f32[t, 2]"}, RESAMPLE("4"), WRONG("attribute axis: is out of range")},
    {"grid_sample", {X, "f32[n, 5, t, 2]"}, GRID("2", "2"), "f32[n, 6, 5, t]", NULL},
    {"grid_sample", {"f32[n, 6, 3, 9, 8]", "f32[n, 4, 5, t, 3]"}, GRID("1", "0"), "f32[n, 6, 4, 5, t]", NULL},
    {"grid_sample",
     {"f32[n, 6, 9]", "f32[n, 5, t, 2]"},
     GRID("1", "0"),
     WRONG("input 0: must have rank 4 or 5")},
    {"grid_sample",
     {"f32[n, 6, 0, 8]", "f32[n, 5, t, 2]"},
     GRID("1", "0"),
     WRONG("input 0: its space must have 1")},
    {"grid_sample",
     {X, "f32[n, 5, t, 3]"},
     GRID("1", "0"),
     WRONG("input 1 has 3 at axis 3 where 2 is needed")},
    {"grid_sample", {X, "f32[n, 5, t, 2]"}, GRID("3", "0"), WRONG("attribute mode: is out of range")},
    {"roi_align", {X, "f32[t, 4]", "i64[t]"}, ROI("[2, 3]", "0", "1"), "f32[t, 6, 2, 3]", NULL},
    {"roi_align", {X, "f32[t, 4]", "i32[t]"}, ROI("[2, 3]", "7", "0"), "f32[t, 6, 2, 3]", NULL},
    {"roi_align",
     {"f32[n, 6, 9]", "f32[t, 4]", "i64[t]"},
     ROI("[2, 3]", "0", "1"),
     WRONG("input 0 has rank 3, not 4")},
    {"roi_align", {X, "f32[t, 5]", "i64[t]"}, ROI("[2, 3]", "0", "1"), WRONG("input 1 has 5 at axis 1")},
    {"roi_align", {X, "f32[t, 4]", "f32[t]"}, ROI("[2, 3]", "0", "1"), WRONG("input 2 is f32, not i32")},
    {"roi_align",
     {X, "f32[t, 4]", "i64[n]"},
     ROI("[2, 3]", "0", "1"),
     WRONG("input 2 has n at axis 0 where t is needed")},
    {"roi_align", {X, "f32[t, 4]", "i64[t]"}, ROI("[2]", "0", "1"), WRONG("attribute kernel")},
    {"roi_align",
     {X, "f32[t, 4]", "i64[t]"},
     ROI("[2, 3]", "1025", "1"),
     WRONG("attribute sampling: is out of range")},
    {"trees", {"f32[n, 6]", "i32[t, 4]", "i32[9]", "f32[t, 3]"}, "{mode = 0}", "f32[n, 3]", NULL},
    {"trees", {"f64[n, 6]", "i32[8, 5]", "i32[9]", "f64[7, t]"}, "{mode = 2}", "f64[n, t]", NULL},
    {"trees",
     {"f16[n, 6]", "i32[8, 4]", "i32[9]", "f32[7, 3]"},
     "{mode = 0}",
     WRONG("input 0 is f16, not f32")},
    {"trees", {"f32[6]", "i32[8, 4]", "i32[9]", "f32[7, 3]"}, "{mode = 0}", WRONG("input 0 has rank 1")},
    {"trees", {"f32[n, 6]", "i64[8, 4]", "i32[9]", "f32[7, 3]"}, "{mode = 0}", WRONG("input 1 is i64")},
    {"trees",
     {"f64[n, 6]", "i32[8, 4]", "i32[9]", "f64[7, 3]"},
     "{mode = 0}",
     WRONG("input 1 has 4 at axis 1 where 5 is needed")},
    {"trees", {"f32[n, 6]", "i32[8, 4]", "f32[9]", "f32[7, 3]"}, "{mode = 0}", WRONG("input 2 is f32")},
    {"trees", {"f32[n, 6]", "i32[8, 4]", "i32[9]", "f64[7, 3]"}, "{mode = 0}", WRONG("input 3 is f64")},
    {"trees",
     {"f32[n, 6]", "i32[8, 4]", "i32[9]", "f32[7, 3]"},
     "{mode = 3}",
     WRONG("attribute mode: is out of range")},
    {"lrn", {X}, LRN("5"), X, NULL},
    {"lrn", {"f32[n]"}, LRN("5"), WRONG("input 0: must have rank 2 or more")},
    {"lrn", {X}, LRN("0"), WRONG("attribute size: is out of range")},
    {"dft", {"f32[n, 5, 7, 2]", "f32[5, 2]"}, DFT("1", "0"), "f32[n, 5, 7, 2]", NULL},
    {"dft",
     {"f32[n, 5, 7, 3]", "f32[5, 2]"},
     DFT("1", "0"),
     WRONG("input 0 has 3 at axis 3 where 2 is needed")},
    {"dft", {"f32[2]", "f32[5, 2]"}, DFT("0", "0"), WRONG("input 0: must have rank 2 or more")},
    {"dft",
     {"f32[n, 5, 7, 2]", "f32[7, 2]"},
     DFT("1", "0"),
     WRONG("input 1 has 7 at axis 0 where 5 is needed")},
    {"dft", {"f32[n, 5, 7, 2]", "f32[5, 2]"}, DFT("3", "0"), WRONG("attribute axis: is out of range")},
    {"det", {"f32[n, 3, t, t]"}, "", "f32[n, 3]", NULL},
    {"det", {"f32[3, 3]"}, "", "f32[]", NULL},
    {"det", {"f32[n, 3, 4]"}, "", WRONG("input 0 has 4 at axis 2 where 3 is needed")},
    {"rnn", {"f32[t, n, 5]", "f32[5, 5]", "f32[n, 5]", "i32[n]"}, RNN, "f32[t, n, 5], f32[n, 5]", NULL},
    {"rnn", {"f32[t, n, 6]", "f32[5, 5]"}, RNN, WRONG("input 0 has 6 at axis 2 where 5 is needed")},
    {"rnn", {"f32[t, n, 5]", "f32[6, 5]"}, RNN, WRONG("input 1 has 6 at axis 0 where 5 is needed")},
    {"rnn",
     {"f32[t, n, 5]", "f32[5, 5]", "f32[n, 6]"},
     RNN,
     WRONG("input 2 has 6 at axis 1 where 5 is needed")},
    {"rnn", {"f32[t, n, 5]", "f32[5, 5]", "_", "i64[n]"}, RNN, WRONG("input 3 is i64, not i32")},
    {"rnn",
     {"f32[t, n, 5]", "f32[5, 5]"},
     UNITS("[11]", F2, ""),
     WRONG("attribute activations: has an entry out of")},
    {"rnn",
     {"f32[t, n, 5]", "f32[5, 5]"},
     UNITS("[1]", F4, ""),
     WRONG("attribute factors: needs two entries")},
    {"gru",
     {"f32[t, n, 15]", "f32[15, 5]", "f32[15]", "f32[n, 5]", "i32[n]"},
     GRU,
     "f32[t, n, 5], f32[n, 5]",
     NULL},
    {"gru", {"f32[t, n, 5]", "f32[15, 5]"}, GRU, WRONG("input 0 has 5 at axis 2 where 15 is needed")},
    {"gru", {"f32[t, n, 15]", "f32[5, 5]"}, GRU, WRONG("input 1 has 5 at axis 0 where 15 is needed")},
    {"gru",
     {"f32[t, n, 15]", "f32[15, 5]", "f32[5]"},
     GRU,
     WRONG("input 2 has 5 at axis 0 where 15 is needed")},
    {"gru",
     {"f32[t, n, 15]", "f32[15, 5]", "_", "f32[t, 5]"},
     GRU,
     WRONG("input 3 has t at axis 0 where n is needed")},
    {"gru",
     {"f32[t, n, 15]", "f32[15, 5]", "_", "_", "i32[t]"},
     GRU,
     WRONG("input 4 has t at axis 0 where n is needed")},
    {"lstm",
     {"f32[t, n, 20]", "f32[20, 5]", "f32[n, 5]", "f32[n, 5]", "i32[n]", "f32[15]"},
     LSTM,
     "f32[t, n, 5], f32[n, 5], f32[n, 5]",
     NULL},
    {"lstm", {"f32[t, n, 15]", "f32[20, 5]"}, LSTM, WRONG("input 0 has 15 at axis 2 where 20 is needed")},
    {"lstm", {"f32[t, n, 20]", "f32[15, 5]"}, LSTM, WRONG("input 1 has 15 at axis 0 where 20 is needed")},
    {"lstm", {"f32[t, n, 20]", "f32[20, 5]", "f32[5]"}, LSTM, WRONG("input 2 has rank 1, not 2")},
    {"lstm", {"f32[t, n, 20]", "f32[20, 5]", "_", "f32[5]"}, LSTM, WRONG("input 3 has rank 1, not 2")},
    {"lstm", {"f32[t, n, 20]", "f32[20, 5]", "_", "_", "f32[n]"}, LSTM, WRONG("input 4 is f32, not i32")},
    {"lstm",
     {"f32[t, n, 20]", "f32[20, 5]", "_", "_", "_", "f32[20]"},
     LSTM,
     WRONG("input 5 has 20 at axis 0 where 15")},
    {"quantize_linear", {X, "f32[]", "u8[]"}, TO_CODES("0", "8", "0"), "u8[n, 6, 9, 8]", NULL},
    {"quantize_linear", {X, "f32[6]", "i4[6]"}, TO_CODES("1", "13", "0"), "i4[n, 6, 9, 8]", NULL},
    {"quantize_linear",
     {X, "f32[n, 6, 3, 8]"},
     TO_CODES("2", "6", "4"),
     WRONG("attribute to: is no type of codes")},
    {"quantize_linear", {X, "f32[n, 6, 3, 8]"}, TO_CODES("2", "66", "4"), "f8e5m2[n, 6, 9, 8]", NULL},
    {"quantize_linear", {"f16[n]", "f32[]"}, TO_CODES("0", "8", "0"), WRONG("input 0 is f16, not f32")},
    {"quantize_linear",
     {X, "f32[7]"},
     TO_CODES("1", "8", "0"),
     WRONG("input 1 has 7 at axis 0 where 6 is needed")},
    {"quantize_linear",
     {X, "f32[n, 6, 4, 8]"},
     TO_CODES("2", "8", "4"),
     WRONG("input 1 has 4 at axis 2 where 3 is")},
    {"quantize_linear", {X, "f32[6]", "i8[6]"}, TO_CODES("1", "8", "0"), WRONG("input 2 is i8, not u8")},
    {"quantize_linear", {X, "f32[6]"}, TO_CODES("4", "8", "0"), WRONG("attribute axis: is out of range")},
    {"dequantize_linear", {"i32[n, 6]", "f32[6]", "i32[6]"}, FROM_CODES("1", "0"), "f32[n, 6]", NULL},
    {"dequantize_linear", {"i4[n, 6]", "f32[n, 2]", "i4[n, 2]"}, FROM_CODES("1", "5"), "f32[n, 6]", NULL},
    {"dequantize_linear", {"f32[n, 6]", "f32[6]"}, FROM_CODES("1", "0"), WRONG("input 0: holds no codes")},
    {"dequantize_linear", {"i8[n, 6]", "f64[6]"}, FROM_CODES("1", "0"), WRONG("input 1 is f64, not f32")},
    {"dequantize_linear",
     {"i8[n, 6]", "f32[6]", "i8[1]"},
     FROM_CODES("1", "0"),
     WRONG("input 2 has 1 at axis 0")},
};

static wh_status build(const nn_case *c, wh_op op, wh_graph **out) {
  char text[4096], operands[256] = "", results[64] = "";
  size_t n = (size_t)snprintf(text, sizeof text, "graph \"nn\" {\n  symbol n 0..64 symbol t 1..100\n");
  int inputs = 0;
  for (int i = 0; i < 11 && c->operands[i]; i++) {
    char *at = operands + strlen(operands);
    const size_t left = sizeof operands - strlen(operands);
    if (strcmp(c->operands[i], "_") == 0) {
      (void)snprintf(at, left, "%s_", i ? ", " : "");
      continue;
    }
    n += (size_t)snprintf(text + n, sizeof text - n, "  %%%d = input \"%d\" %s\n", ++inputs, i,
                          c->operands[i]);
    (void)snprintf(at, left, "%s%%%d", i ? ", " : "", inputs);
  }
  for (uint32_t i = 0; i < wh_op_get(op)->n_outputs; i++)
    (void)snprintf(results + strlen(results), sizeof results - strlen(results), "%s%%%d", i ? ", " : "",
                   inputs + 1 + (int)i);
  static const char *const none[] = {"", "f32[]", "f32[], f32[]", "f32[], f32[], f32[]"};
  n += (size_t)snprintf(
      text + n, sizeof text - n, "  %s = %s(%s) %s \"the node\" : %s\n  output \"o\" %%%d\n}\n", results,
      c->op, operands, c->attrs, c->shapes ? c->shapes : none[wh_op_get(op)->n_outputs], inputs + 1);
  assert_true(n < sizeof text);
  return wh_graph_parse(text, n, NULL, out);
}

static void every_rule(void **state) {
  (void)state;
  bool good[WH_OP_COUNT] = {0}, bad[WH_OP_COUNT][11] = {{0}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const nn_case *c = &cases[i];
    wh_graph *g = NULL;
    wh_op op;
    assert_true(wh_op_from_name(c->op, strlen(c->op), &op));
    const wh_status st = build(c, op, &g);
    if (c->shapes) {
      if (st != WH_OK) fail_msg("case %zu, %s: %s", i, c->op, wh_last_error()->message);
      assert_ok(wh_graph_verify(g));
      good[op] = true;
      wh_graph_destroy(g);
      continue;
    }
    if (st != WH_ERR_INVALID_ARGUMENT) fail_msg("case %zu, %s gave %s", i, c->op, wh_status_name(st));
    assert_null(g);
    if (!strstr(wh_last_error()->message, c->error))
      fail_msg("case %zu, %s: %s", i, c->op, wh_last_error()->message);
    const char *operand = strstr(c->error, "input ");
    if (operand && operand == c->error) bad[op][atoi(operand + 6)] = true;
  }
  for (wh_op op = WH_OP_CONV; op <= WH_OP_DEQUANTIZE_LINEAR; op++) { /* the table above must be complete */
    if (!good[op]) fail_msg("no good case of %s", wh_op_get(op)->name);
    for (uint32_t k = 0; k < wh_op_get(op)->max_inputs; k++)
      if (!bad[op][k]) fail_msg("no bad input %u of %s", k, wh_op_get(op)->name);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_rule)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
