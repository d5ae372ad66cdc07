/* tensor_numbers.h - a tensor's elements as numbers, for summaries of what a model computed. */
#ifndef CLI_TENSOR_NUMBERS_H
#define CLI_TENSOR_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

#include <whimbrel/whimbrel.h>

/* False: strings, complex numbers and types of less than a byte have no numbers here. */
bool cli_has_numbers(const wh_tensor *t);
uint64_t cli_n_elements(const wh_tensor *t);
double cli_number_at(const wh_tensor *t, uint64_t i);

/* Of the elements that are numbers; the first of equals. */
typedef struct cli_range {
  uint64_t n_nan, n_numbers;
  uint64_t least_at, largest_at;
  double least, largest, mean; /* where n_numbers is not 0 */
} cli_range;
cli_range cli_range_of(const wh_tensor *t);

/* "f32[1, 3, 224, 224]" */
void cli_tensor_text(const wh_tensor *t, char *out, size_t n_bytes);

#endif
