// Indices of elements, and the names of dimensions.
//
//     t[-1, 0]                 negative integers count from the end; not checked
//     t.at(-1, 0)              ... std::out_of_range for an element that is not there
//     sum(t, axes<0, -1>)      over the first and the last dimension
//
// Threads: values, and functions of their arguments.
module;
#include <array>
#include <concepts>
#include <cstddef>
#include <limits>
#include <utility>
export module buffers.tensor:index;
import buffers.core;

export namespace buffers {

/// The dimensions that a reduction goes over, each once; negative ones count from the last.
template <int... Axis>
struct axes_t {};
template <int... Axis>
inline constexpr axes_t<Axis...> axes{};

/// Says that a reduced dimension stays, with size 1.
inline constexpr struct keepdims_t {
} keepdims{};

}  // namespace buffers

namespace buffers::detail {

// One of the numbers in braces that say a shape or an order of dimensions, or a step, of any integer type.
struct number {
  std::ptrdiff_t value;  // the greatest there is for those that do not fit
  bool fits = true;

  template <std::integral I>
  constexpr number(I i) noexcept
      : value(std::in_range<std::ptrdiff_t>(i) ? static_cast<std::ptrdiff_t>(i)
                                               : std::numeric_limits<std::ptrdiff_t>::max()),
        fits(std::in_range<std::ptrdiff_t>(i)) {}

  [[nodiscard]] constexpr std::ptrdiff_t extent() const {
    if (!fits) [[unlikely]]
      throw_bad_array_new_length();
    return value;
  }
};

template <std::size_t N>
[[nodiscard]] constexpr std::array<std::size_t, N> shape_of(const number (&extents)[N]) {
  std::array<std::size_t, N> shape{};
  for (std::size_t d = 0; d < N; ++d) shape[d] = to_size(extents[d].extent());
  return shape;
}

[[noreturn]] void throw_index(std::ptrdiff_t index, std::size_t extent);
[[noreturn]] void throw_index(std::size_t index, std::size_t extent);
[[noreturn]] void throw_step();

template <class E>
concept expression_type = requires { typename E::expression_tag; };

// The place of an index that may count from the end. Not checked: negative or too large when the index is out of range.
template <std::integral I>
[[nodiscard, gnu::always_inline]] constexpr std::ptrdiff_t place(I index, std::size_t extent) noexcept {
  if constexpr (std::unsigned_integral<I>)
    return static_cast<std::ptrdiff_t>(index);
  else
    return static_cast<std::ptrdiff_t>(index) + (index < 0 ? static_cast<std::ptrdiff_t>(extent) : 0);
}

template <std::integral I>
[[nodiscard]] constexpr std::size_t checked_place(I index, std::size_t extent) {
  const std::ptrdiff_t at = place(index, extent);
  if (at < 0 || static_cast<std::size_t>(at) >= extent) [[unlikely]]
    throw_index(static_cast<std::conditional_t<std::is_signed_v<I>, std::ptrdiff_t, std::size_t>>(index), extent);
  return static_cast<std::size_t>(at);
}

// A bit for each dimension that the axes name; 0 when one is beside the array or is named twice, which does not
// compile.
template <std::size_t Rank, int... Axis>
inline constexpr unsigned axes_mask = [] {
  unsigned mask = 0;
  [[maybe_unused]] const auto add = [&](int axis) {
    if (axis < 0) axis += static_cast<int>(Rank);
    if (axis < 0 || axis >= static_cast<int>(Rank) || (mask >> axis & 1) != 0) return false;
    mask |= 1u << axis;
    return true;
  };
  return (add(Axis) && ...) ? mask : 0;
}();
template <std::size_t Rank, int... Axis>
inline constexpr bool axes_fit = sizeof...(Axis) == 0 || axes_mask<Rank, Axis...> != 0;
template <std::size_t Rank>
inline constexpr unsigned all_axes = (1u << Rank) - 1;

}  // namespace buffers::detail
