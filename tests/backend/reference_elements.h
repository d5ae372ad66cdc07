/* reference_elements.h - single elements of values of any type, and places by coordinates: what the
 * references of ops on tensors are written over. */
#ifndef WH_TESTS_REFERENCE_ELEMENTS_H
#define WH_TESTS_REFERENCE_ELEMENTS_H

#include "tests/backend/reference.h"

/* Element `flat` of a float value; of f16, bf16 and f8 exactly. */
double ref_float(const ref_value *v, int64_t flat);
/* Of an integer or bool: all of them fit. */
__int128 ref_integer(const ref_value *v, int64_t flat);
bool ref_holds_floats(const ref_value *v);
/* Rounded once, to nearest even. */
void ref_set_float(ref_value *v, int64_t flat, double x);
/* The low bits. */
void ref_set_bits(ref_value *v, int64_t i, unsigned code); /* of a part of a byte */
void ref_set_integer(ref_value *v, int64_t flat, __int128 x);
/* A copy of element `from` of `x`, of one type. */
void ref_copy(ref_value *v, int64_t to, const ref_value *x, int64_t from);

/* The code of x in a type of 8 or 16 bits. */
unsigned ref_encode(wh_dtype dtype, double x, bool saturate);

/* Coordinates of element `flat`, and back. */
void ref_coordinates(const ref_value *v, int64_t flat, int64_t at[WH_MAX_RANK]);
int64_t ref_flat(const ref_value *v, const int64_t *at);
/* Where input x is read for element `flat` of the output, over which it broadcasts. */
int64_t ref_broadcast(const ref_value *out, int64_t flat, const ref_value *x);
static inline int64_t ref_int_attr(const ref_node *n, wh_attr_key key) { return wh_node_i(n->node, key); }

#endif
