// Slices: what goes into t[...] beside integers.
//
//     t[-1, all]               the last row: an integer takes its dimension away; negative ones count from the end
//     t[range{1, 3}, all]      the rows 1 and 2
//     t[range{5, 0, -2}]       the elements 5, 3 and 1
//     t[range{2, all}]         from element 2 to the end
//     t[range{all, all, -1}]   all, in reverse
//
// As in Python, the bounds of a range are cut to what there is; a step of 0 is a std::invalid_argument, and an integer
// beside the array a std::out_of_range.
//
// Threads: values, and functions of their arguments. all(x) reads x as an expression does.
module;
#include <concepts>
#include <cstddef>
#include <limits>
#include <utility>
export module buffers.tensor:slice;
import buffers.core;
import :index;
import :expression;
import :reduction;

export namespace buffers {

/// In brackets, the whole of a dimension. As a function, whether all elements are true, or not zero; over some
/// dimensions, an expression.
inline constexpr struct all_t {
  template <class X, class... How>
    requires detail::reduced_over<X, How...>
  [[nodiscard]] auto operator()(X&& x, How... how) const {
    return detail::reduce<detail::all_of>("all", std::forward<X>(x), how...);
  }
} all{};

/// A bound of a range: an integer, which when negative counts from the end, or `all` for as far as there are elements.
struct bound {
  std::ptrdiff_t value;
  bool open;

  template <std::integral I>
  constexpr bound(I index) noexcept
      : value(std::in_range<std::ptrdiff_t>(index) ? static_cast<std::ptrdiff_t>(index)
                                                   : std::numeric_limits<std::ptrdiff_t>::max()),
        open(false) {}
  constexpr bound(all_t) noexcept : value(0), open(true) {}
};

/// The elements first, first + step, first + 2 * step, ... before `last`. The step is any integer but 0.
struct range {
  bound first = all;
  bound last = all;
  detail::number step = 1;
};

}  // namespace buffers

namespace buffers::detail {

// The elements of one dimension that an index picks.
struct picked {
  std::ptrdiff_t first = 0;
  std::size_t count = 1;
  std::ptrdiff_t step = 1;
};

template <class I>
concept slicing_index = std::same_as<I, all_t> || std::same_as<I, range>;
template <class I>
concept index_type = std::integral<I> || slicing_index<I>;

template <std::integral I>
[[nodiscard]] constexpr picked pick(I index, std::size_t extent) {
  return {static_cast<std::ptrdiff_t>(checked_place(index, extent)), 1, 1};
}
[[nodiscard]] constexpr picked pick(all_t, std::size_t extent) noexcept { return {0, extent, 1}; }
[[nodiscard]] constexpr picked pick(const range& wanted, std::size_t extent) {
  const std::ptrdiff_t step = wanted.step.value;
  if (step == 0) [[unlikely]]
    throw_step();
  const bool up = step > 0;
  const auto size = static_cast<std::ptrdiff_t>(extent);
  const std::ptrdiff_t lowest = up ? 0 : -1, highest = up ? size : size - 1;
  const auto cut = [&](const bound& b, std::ptrdiff_t open) {
    if (b.open) return open;
    const std::ptrdiff_t at = b.value < 0 ? b.value + size : b.value;
    return at < lowest ? lowest : at > highest ? highest : at;
  };
  const std::ptrdiff_t first = cut(wanted.first, up ? lowest : highest);
  const std::ptrdiff_t last = cut(wanted.last, up ? highest : lowest);
  const std::size_t way = up ? (last > first ? static_cast<std::size_t>(last - first) : 0)
                             : (first > last ? static_cast<std::size_t>(first - last) : 0);
  if (way == 0) return {0, 0, step};
  const std::size_t pace = up ? static_cast<std::size_t>(step) : 0 - static_cast<std::size_t>(step);
  return {first, (way - 1) / pace + 1, step};
}

}  // namespace buffers::detail
