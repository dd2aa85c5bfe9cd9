// Sums and products of what a program asks for, which could overflow. Sizes of memory that exists are added without.
module;
#include <bit>
#include <concepts>
#include <cstddef>
#include <limits>
#include <utility>
export module buffers.core:checked;
import :errors;

export namespace buffers::detail {

/// No object is larger than this; greater requests do not even go upstream.
inline constexpr std::size_t largest_request = std::numeric_limits<std::ptrdiff_t>::max();

/// a + b bytes; std::bad_alloc where no object can be as large.
[[nodiscard]] constexpr std::size_t add_bytes(std::size_t a, std::size_t b) {
  if (a > largest_request || b > largest_request - a) [[unlikely]]
    throw_bad_alloc();
  return a + b;
}

/// a * b, of element counts and sizes; std::bad_array_new_length where no array can be as large.
[[nodiscard]] constexpr std::size_t multiply(std::size_t a, std::size_t b) {
  std::size_t product = 0;
  if (__builtin_mul_overflow(a, b, &product) || product > largest_request) [[unlikely]]
    throw_bad_array_new_length();
  return product;
}

/// A dimension, or what else it is, as std::size_t; std::invalid_argument, naming it, for a negative one.
template <std::integral I>
[[nodiscard]] constexpr std::size_t to_size(I value, const char* what = "a dimension") {
  if (std::cmp_less(value, 0)) [[unlikely]]
    throw_negative(what, static_cast<std::ptrdiff_t>(value));
  return static_cast<std::size_t>(value);
}

/// The least multiple of a power of two that is not less than value; std::bad_alloc where there is none.
[[nodiscard]] constexpr std::size_t round_up(std::size_t value, std::size_t power_of_two) {
  return add_bytes(value, power_of_two - 1) & ~(power_of_two - 1);
}

/// std::invalid_argument unless alignment is a power of two.
constexpr void require_alignment(std::size_t alignment) {
  if (!std::has_single_bit(alignment)) [[unlikely]]
    throw_alignment(alignment);
}

}  // namespace buffers::detail
