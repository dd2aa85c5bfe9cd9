// The inner loops of tensors that have to be written by hand to run at the speed of the memory or of the vector units.
// Not for users: tensors and expressions call them.
//
//   kernel              cost per element                 what it does
//   exp, log            about a dozen vector operations  e to the power, natural logarithm; at most 1 ulp off
//   sum                 one load                         the sum of a row of elements
//   sum_rows            one load                         the sum of each row of a matrix
//   sum_columns         one load                         the sum of each column
//   max_rows, min_rows  one load                         the largest, or the smallest, element of each row
//   copy_transposed     one load, one store              rows become columns
//   stream_end          one instruction                  orders what was stored past the caches
//
// On x86-64 they are compiled for three generations of processors, and the one at hand is looked at once, when the
// first of them is called; elsewhere they are what the compiler makes of generic vectors. sum, sum_rows and sum_columns
// add in the same order everywhere, so that they come to the same bits. exp and log use fused multiply-adds where the
// processor has them, so that their last bit may differ between processors with and without.
//
// Threads: functions of their arguments. None allocates, none throws.
module;
#include <cstddef>
export module buffers.tensor:kernels;

export namespace buffers::detail::kernels {

/// y[i] = exp(x[i]) and log(x[i]) for i < n, at most 1 ulp from the exact value. Infinities, NaN and denormal numbers
/// are treated as in C: exp(-inf) = 0, log(0) = -inf, log of less than 0 is NaN. y may be x, but not overlap it
/// otherwise. With `past_caches`, y is written past the caches, which is faster where it is larger than they are; the
/// caller then calls stream_end().
void exp(const float* x, float* y, std::size_t n, bool past_caches = false) noexcept;
void exp(const double* x, double* y, std::size_t n, bool past_caches = false) noexcept;
void log(const float* x, float* y, std::size_t n, bool past_caches = false) noexcept;
void log(const double* x, double* y, std::size_t n, bool past_caches = false) noexcept;

/// The sum of n elements. They are added in blocks: in a block, at most sixteen elements one after the other, and these
/// partial sums in pairs. The sums of the blocks are added in double precision; those of doubles, with the rounding
/// error of each addition carried along. This is more exact than adding all in pairs.
[[nodiscard]] float sum(const float* x, std::size_t n) noexcept;
[[nodiscard]] double sum(const double* x, std::size_t n) noexcept;

/// out[r] = the sum of row r, whose `columns` elements begin at x + r * row_stride and lie side by side. As exact as
/// sum.
void sum_rows(const float* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, float* out) noexcept;
void sum_rows(const double* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, double* out) noexcept;

/// out[c] = the sum over r of x[r * row_stride + c]. As exact as sum.
void sum_columns(const float* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, float* out) noexcept;
void sum_columns(const double* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride,
                 double* out) noexcept;

/// out[r] = the largest, or the smallest, element of row r, which has `columns` elements, at least one; not-a-number
/// where one of them is. Of zeros of both signs it may be either.
void max_rows(const float* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, float* out) noexcept;
void max_rows(const double* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, double* out) noexcept;
void min_rows(const float* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, float* out) noexcept;
void min_rows(const double* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride, double* out) noexcept;

/// to[c * to_stride + r] = from[r * from_stride + c] for r < rows and c < columns; strides count elements, of 1, 2, 4
/// or 8 bytes. The two must not overlap. Large matrices are written past the caches.
void copy_transposed(const void* from, std::size_t rows, std::size_t columns, std::ptrdiff_t from_stride, void* to,
                     std::ptrdiff_t to_stride, std::size_t element_bytes) noexcept;

/// What was stored past the caches, by exp or log or by store_past_caches(), is seen by other threads before what is
/// stored after this.
void stream_end() noexcept;

}  // namespace buffers::detail::kernels
