// Where the elements of an array of several dimensions lie: shapes are numbers of elements, outermost dimension first,
// strides are distances in elements, and either is a std::array with one entry for each dimension.
//
//     shape (2, 3, 4), row by row: strides (12, 4, 1); element (1, 2, 3) is 12 + 8 + 3 = 23 after the first
//
//   operation           cost      what it does
//   row_major           O(rank)   the strides of an array that lies row by row without gaps, as C has it
//   column_major        O(rank)   ... column by column, as Fortran has it
//   numel               O(rank)   the number of elements
//   flat_offset         O(rank)   the distance of an element from the first one
//   unflatten           O(rank)   the element's index again, from its place in row-major order
//   broadcast_shapes    O(rank)   the shape that two operands have together
//   broadcast_strides   O(rank)   the strides with which an operand is repeated to a larger shape
//   memory_span         O(rank)   the elements from the first in memory to the last, gaps included
//
// Threads: functions of their arguments.
module;
#include <array>
#include <concepts>
#include <cstddef>
#include <mdspan>
#include <utility>
export module buffers.tensor:layout;
import buffers.core;

namespace buffers::detail {

// A shape of any rank. Not a std::span: whether it can be made of a std::array takes compilers long to find out, in
// each program again.
class shape_span {
 public:
  template <std::size_t N>
  constexpr shape_span(const std::array<std::size_t, N>& shape) noexcept : first_(shape.data()), rank_(N) {}

  [[nodiscard]] constexpr std::size_t size() const noexcept { return rank_; }
  [[nodiscard]] constexpr const std::size_t* begin() const noexcept { return first_; }
  [[nodiscard]] constexpr const std::size_t* end() const noexcept { return first_ + rank_; }
  [[nodiscard]] constexpr std::size_t operator[](std::size_t d) const noexcept { return first_[d]; }

 private:
  const std::size_t* first_;
  std::size_t rank_;
};

// "buffers: <what>: shapes (2, 3) and (4, 3) <why>".
[[noreturn]] void throw_shapes(const char* what, shape_span one, shape_span other, const char* why);

// The absolute value, that of the least number as well.
[[nodiscard]] constexpr std::size_t magnitude(std::ptrdiff_t number) noexcept {
  return number < 0 ? 0 - static_cast<std::size_t>(number) : static_cast<std::size_t>(number);
}

}  // namespace buffers::detail

export namespace buffers {

/// The number of elements of an array; std::bad_array_new_length where no array can have as many. With no
/// dimensions: 1.
template <std::size_t N>
[[nodiscard]] constexpr std::size_t numel(const std::array<std::size_t, N>& shape) {
  for (const std::size_t extent : shape)  // of an empty array, the product of the others may overflow
    if (extent == 0) return 0;
  std::size_t count = 1;
  for (const std::size_t extent : shape) count = detail::multiply(count, extent);
  return count;
}

/// The strides of an array of that shape that lies row by row without gaps.
template <std::size_t N>
[[nodiscard]] constexpr std::array<std::ptrdiff_t, N> row_major(const std::array<std::size_t, N>& shape) noexcept {
  std::array<std::ptrdiff_t, N> strides{};
  std::size_t next = 1;
  for (std::size_t d = N; d-- > 0; next *= shape[d]) strides[d] = static_cast<std::ptrdiff_t>(next);
  return strides;
}

/// ... column by column: the first dimension's elements are neighbours.
template <std::size_t N>
[[nodiscard]] constexpr std::array<std::ptrdiff_t, N> column_major(const std::array<std::size_t, N>& shape) noexcept {
  std::array<std::ptrdiff_t, N> strides{};
  std::size_t next = 1;
  for (std::size_t d = 0; d < N; next *= shape[d++]) strides[d] = static_cast<std::ptrdiff_t>(next);
  return strides;
}

/// The distance in elements of the element at that index from the one at (0, 0, ...).
template <std::size_t N>
[[nodiscard]] constexpr std::ptrdiff_t flat_offset(const std::array<std::size_t, N>& index,
                                                   const std::array<std::ptrdiff_t, N>& strides) noexcept {
  std::ptrdiff_t offset = 0;
  for (std::size_t d = 0; d < N; ++d) offset += static_cast<std::ptrdiff_t>(index[d]) * strides[d];
  return offset;
}

/// The index of the element that is `position` after the first one in row-major order; position < numel(shape).
template <std::size_t N>
[[nodiscard]] constexpr std::array<std::size_t, N> unflatten(std::size_t position,
                                                             const std::array<std::size_t, N>& shape) noexcept {
  std::array<std::size_t, N> index{};
  for (std::size_t d = N; d-- > 0; position /= shape[d]) index[d] = position % shape[d];
  return index;
}

/// The shape that two operands have together: aligned at the last dimension, dimensions of size 1 and missing ones take
/// the size of the other's. Throws std::invalid_argument, naming both shapes, when two sizes differ and neither is 1;
/// std::bad_array_new_length where both are repeated and no array can have as many elements.
template <std::size_t A, std::size_t B>
[[nodiscard]] constexpr auto broadcast_shapes(const std::array<std::size_t, A>& a,
                                              const std::array<std::size_t, B>& b) {
  constexpr std::size_t rank = A > B ? A : B;
  std::array<std::size_t, rank> both{};
  bool repeats_a = false, repeats_b = false;
  for (std::size_t d = 1; d <= rank; ++d) {
    const std::size_t x = d <= A ? a[A - d] : 1, y = d <= B ? b[B - d] : 1;
    if (x != y && x != 1 && y != 1) [[unlikely]]
      detail::throw_shapes("operands", a, b, "do not broadcast");
    repeats_a |= x != y && x == 1;
    repeats_b |= x != y && y == 1;
    both[rank - d] = x == 1 ? y : x;
  }
  if (repeats_a && repeats_b) [[unlikely]]
    static_cast<void>(numel(both));  // else it is one of the operands' own
  return both;
}

/// The strides with which an operand of that shape and those strides appears as one of the shape `to`: 0 in dimensions
/// that it repeats itself in. Throws std::invalid_argument, naming both shapes, where it cannot.
template <std::size_t From, std::size_t To>
  requires(From <= To)
[[nodiscard]] constexpr std::array<std::ptrdiff_t, To> broadcast_strides(
    const std::array<std::size_t, From>& shape, const std::array<std::ptrdiff_t, From>& strides,
    const std::array<std::size_t, To>& to, const char* what = "expand") {
  std::array<std::ptrdiff_t, To> result{};
  for (std::size_t d = 0; d < From; ++d) {
    const std::size_t wanted = to[To - From + d];
    if (shape[d] != wanted && shape[d] != 1) [[unlikely]]
      detail::throw_shapes(what, shape, to, "do not broadcast");
    result[To - From + d] = shape[d] == wanted && wanted != 1 ? strides[d] : 0;
  }
  return result;
}

/// The number of elements from the first in memory to the last, gaps included: what the array needs of a memory. 0 for
/// an empty array.
template <std::size_t N>
[[nodiscard]] constexpr std::size_t memory_span(const std::array<std::size_t, N>& shape,
                                                const std::array<std::ptrdiff_t, N>& strides) noexcept {
  std::size_t span = 1;
  for (std::size_t d = 0; d < N; ++d) {
    if (shape[d] == 0) return 0;
    span += (shape[d] - 1) * detail::magnitude(strides[d]);
  }
  return span;
}

}  // namespace buffers

namespace buffers::detail {

// Instead of std::array's operator==, for which compilers look through many candidates, in each program again.
template <class U, std::size_t N>
[[nodiscard]] constexpr bool are_equal(const std::array<U, N>& a, const std::array<U, N>& b) noexcept {
  bool equal = true;
  for (std::size_t d = 0; d < N; ++d) equal &= a[d] == b[d];
  return equal;
}

// numel() of what is known to fit into memory.
template <std::size_t N>
[[nodiscard]] constexpr std::size_t product(const std::array<std::size_t, N>& shape) noexcept {
  std::size_t count = 1;
  for (std::size_t d = 0; d < N; ++d) count *= shape[d];
  return count;
}

// Whether elements of that shape and those strides lie row by row without gaps. Dimensions of size 1 have no say.
template <std::size_t N>
[[nodiscard]] constexpr bool is_row_major(const std::array<std::size_t, N>& shape,
                                          const std::array<std::ptrdiff_t, N>& strides) noexcept {
  bool without_gaps = true;
  std::size_t next = 1;
  for (std::size_t d = N; d-- > 0; next *= shape[d]) {
    if (shape[d] == 0) return true;
    without_gaps &= shape[d] == 1 || strides[d] == static_cast<std::ptrdiff_t>(next);
  }
  return without_gaps;
}

template <class U, std::size_t N>
[[nodiscard]] constexpr std::array<U, N> reversed(std::array<U, N> values) noexcept {
  for (std::size_t i = 0; i < N / 2; ++i) std::swap(values[i], values[N - 1 - i]);
  return values;
}

template <class Layout>
concept layout_with_strides = std::same_as<Layout, std::layout_right> || std::same_as<Layout, std::layout_left> ||
                              std::same_as<Layout, std::layout_stride>;

}  // namespace buffers::detail
