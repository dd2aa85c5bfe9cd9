// What tensors are made of, and what those types are called elsewhere.
//
//     buffers::dtype_of<float>              // "float32"
//     buffers::dtype_of<std::int64_t>       // "int64"
//
// Threads: functions of their arguments.
module;
#include <concepts>
#include <limits>
#include <string_view>
#include <type_traits>
export module buffers.tensor:dtype;
import buffers.core;

export namespace buffers {

/// A type of tensors' elements: bool, the integer types of up to 64 bits and the floating-point types, those of
/// <stdfloat> included where the compiler has them.
template <class T>
concept element = std::is_arithmetic_v<T> && std::is_same_v<T, std::remove_cv_t<T>> &&
                  (std::is_floating_point_v<T> || sizeof(T) <= 8);

/// The name of an element type, of its size rather than of its C++ keyword, as NumPy and most others spell it.
template <element T>
inline constexpr std::string_view dtype_of = [] -> std::string_view {
  if constexpr (std::is_same_v<T, bool>)
    return "bool";
  else if constexpr (std::is_signed_v<T> && std::is_integral_v<T>)
    return sizeof(T) == 1 ? "int8" : sizeof(T) == 2 ? "int16" : sizeof(T) == 4 ? "int32" : "int64";
  else if constexpr (std::is_integral_v<T>)
    return sizeof(T) == 1 ? "uint8" : sizeof(T) == 2 ? "uint16" : sizeof(T) == 4 ? "uint32" : "uint64";
  constexpr int digits = std::numeric_limits<T>::digits;
  return digits == 8    ? "bfloat16"
         : digits == 11 ? "float16"
         : digits == 24 ? "float32"
         : digits == 53 ? "float64"
                        : "longdouble";
}();

}  // namespace buffers

namespace buffers::detail {

/// The value as a T: C++'s conversion, defined for all values. An integer from what is beyond all integers is the
/// nearest one, and 0 from NaN.
template <element T, element X>
[[nodiscard, gnu::always_inline]] constexpr T converted(X value) noexcept {
  if constexpr (!std::is_integral_v<T> || std::is_same_v<T, bool> || std::is_integral_v<X>) {
    return static_cast<T>(value);
  } else {
    using wide = std::conditional_t<(sizeof(X) < sizeof(float)), float, X>;
    using limits = std::numeric_limits<T>;
    const wide x = static_cast<wide>(value);
    constexpr wide least = static_cast<wide>(limits::min());
    // Each step for every value, so that vectors do it.
    if constexpr (limits::digits <= std::numeric_limits<wide>::digits) {
      constexpr wide most = static_cast<wide>(limits::max());
      const wide above = select(x > least, x, least);  // from NaN, the least
      const wide within = select(above < most, above, most);
      if constexpr (std::is_unsigned_v<T>)
        return static_cast<T>(within);
      else
        return static_cast<T>(select(x == x, within, wide{0}));  // NOLINT(misc-redundant-expression): a NaN
    } else {
      constexpr wide beyond = static_cast<wide>(limits::max() / 2 + 1) * 2;  // NOLINT(bugprone-integer-division)
      const T whole = static_cast<T>(select((x >= least) & (x < beyond), x, wide{0}));
      return select(x >= beyond, limits::max(), select(x < least, limits::min(), whole));
    }
  }
}

}  // namespace buffers::detail
