module;
#include <cstddef>

#include "kernels/table.h"
module buffers.tensor;

namespace buffers::detail::kernels {

namespace {

// The first call decides; afterwards this is one test and one load.
const kernel_table& table() noexcept {
  static const kernel_table* const best = choose_kernels().tables[0];
  return *best;
}

}  // namespace

void exp(const float* x, float* y, std::size_t n, bool past_caches) noexcept {
  table().floats.exp(x, y, n, past_caches);
}
void exp(const double* x, double* y, std::size_t n, bool past_caches) noexcept {
  table().doubles.exp(x, y, n, past_caches);
}
void log(const float* x, float* y, std::size_t n, bool past_caches) noexcept {
  table().floats.log(x, y, n, past_caches);
}
void log(const double* x, double* y, std::size_t n, bool past_caches) noexcept {
  table().doubles.log(x, y, n, past_caches);
}

float sum(const float* x, std::size_t n) noexcept { return table().floats.sum(x, n); }
double sum(const double* x, std::size_t n) noexcept { return table().doubles.sum(x, n); }

void sum_rows(const float* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, float* out) noexcept {
  table().floats.sum_rows(x, rows, columns, row_stride, out);
}
void sum_rows(const double* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, double* out) noexcept {
  table().doubles.sum_rows(x, rows, columns, row_stride, out);
}

void sum_columns(const float* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride,
                 float* out) noexcept {
  table().floats.sum_columns(x, rows, columns, row_stride, out);
}
void sum_columns(const double* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride,
                 double* out) noexcept {
  table().doubles.sum_columns(x, rows, columns, row_stride, out);
}

void max_rows(const float* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, float* out) noexcept {
  table().floats.max_rows(x, rows, columns, row_stride, out);
}
void max_rows(const double* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, double* out) noexcept {
  table().doubles.max_rows(x, rows, columns, row_stride, out);
}
void min_rows(const float* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, float* out) noexcept {
  table().floats.min_rows(x, rows, columns, row_stride, out);
}
void min_rows(const double* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, double* out) noexcept {
  table().doubles.min_rows(x, rows, columns, row_stride, out);
}

void copy_transposed(const void* from, std::size_t rows, std::size_t columns, std::ptrdiff_t from_stride, void* to,
                     std::ptrdiff_t to_stride, std::size_t element_bytes) noexcept {
  const kernel_table& best = table();
  const transpose_kernel copy = element_bytes == 8   ? best.transpose8
                                : element_bytes == 4 ? best.transpose4
                                : element_bytes == 2 ? best.transpose2
                                                     : best.transpose1;
  copy(from, rows, columns, from_stride, to, to_stride);
}

void stream_end() noexcept { table().stream_end(); }

}  // namespace buffers::detail::kernels
